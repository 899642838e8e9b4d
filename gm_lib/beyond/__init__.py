"""The families beyond VAE and GAN, one file each, with the same ways in: fit, sample, a likelihood."""

from gm_lib.beyond.flow_matching import FlowMatching, digit_flow_matching

__all__ = ["FlowMatching", "digit_flow_matching"]
