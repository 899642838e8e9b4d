"""The families beyond VAE and GAN, one file each, with the same ways in: fit, sample, a likelihood."""

from gm_lib.beyond.autoregressive import MaskedAutoregressive, digit_autoregressive
from gm_lib.beyond.diffusion import Diffusion, digit_diffusion
from gm_lib.beyond.flow import CouplingFlow, digit_flow, point_flow
from gm_lib.beyond.flow_matching import FlowMatching, digit_flow_matching
from gm_lib.beyond.networks import TimeMLP, TimeUNet, time_features
from gm_lib.beyond.noising import log_snr, noised, scales, slide_back, step_back
from gm_lib.beyond.vae_gan import VAEGAN, digit_vae_gan

__all__ = [
    "VAEGAN",
    "CouplingFlow",
    "Diffusion",
    "FlowMatching",
    "MaskedAutoregressive",
    "TimeMLP",
    "TimeUNet",
    "digit_autoregressive",
    "digit_diffusion",
    "digit_flow",
    "digit_flow_matching",
    "digit_vae_gan",
    "log_snr",
    "noised",
    "point_flow",
    "scales",
    "slide_back",
    "step_back",
    "time_features",
]
