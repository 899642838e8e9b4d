"""The families beyond VAE and GAN, one file each, with the same ways in: fit, sample, a likelihood."""

from gm_lib.beyond.vae_gan import VAEGAN, digit_vae_gan

__all__ = ["VAEGAN", "digit_vae_gan"]
from gm_lib.beyond.autoregressive import MaskedAutoregressive, digit_autoregressive

__all__ = ["MaskedAutoregressive", "digit_autoregressive"]
from gm_lib.beyond.diffusion import Diffusion, digit_diffusion
from gm_lib.beyond.networks import TimeMLP, TimeUNet, time_features
from gm_lib.beyond.noising import log_snr, noised, scales, slide_back, step_back

__all__ = [
    "Diffusion",
    "TimeMLP",
    "TimeUNet",
    "digit_diffusion",
    "log_snr",
    "noised",
    "scales",
    "slide_back",
    "step_back",
    "time_features",
]
from gm_lib.beyond.flow_matching import FlowMatching, digit_flow_matching

__all__ = ["FlowMatching", "digit_flow_matching"]
from gm_lib.beyond.flow import CouplingFlow, digit_flow, point_flow

__all__ = ["CouplingFlow", "digit_flow", "point_flow"]
