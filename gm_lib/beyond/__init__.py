"""The families beyond VAE and GAN, one file each, with the same ways in: fit, sample, a likelihood."""

from gm_lib.beyond.vae_gan import VAEGAN, digit_vae_gan

__all__ = ["VAEGAN", "digit_vae_gan"]
from gm_lib.beyond.autoregressive import MaskedAutoregressive, digit_autoregressive

__all__ = ["MaskedAutoregressive", "digit_autoregressive"]
