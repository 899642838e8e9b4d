"""The families beyond VAE and GAN, one file each, with the same ways in: fit, sample, a likelihood."""

from gm_lib.beyond.flow import CouplingFlow, digit_flow, point_flow

__all__ = ["CouplingFlow", "digit_flow", "point_flow"]
