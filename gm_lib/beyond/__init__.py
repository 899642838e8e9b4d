"""The families beyond VAE and GAN, one file each, with the same ways in: fit, sample, a likelihood."""

from gm_lib.beyond.autoregressive import MaskedAutoregressive
from gm_lib.beyond.diffusion import Diffusion
from gm_lib.beyond.digits import (
    digit_autoregressive,
    digit_diffusion,
    digit_flow,
    digit_flow_matching,
    digit_vae_gan,
)
from gm_lib.beyond.flow import CouplingFlow, point_flow
from gm_lib.beyond.flow_matching import FlowMatching
from gm_lib.beyond.networks import TimeMLP, TimeUNet, time_features
from gm_lib.beyond.noising import log_snr, noised, scales, slide_back, step_back
from gm_lib.beyond.vae_gan import VAEGAN

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
