"""Generative adversarial networks."""

from gm_lib.gan.losses import (
    LOSSES,
    Loss,
    discriminator_loss,
    minimax_generator_loss,
    non_saturating_generator_loss,
)
from gm_lib.gan.model import GAN, digit_gan
from gm_lib.gan.networks import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator
from gm_lib.gan.penalties import r1

__all__ = [
    "GAN",
    "LOSSES",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Loss",
    "MLPDiscriminator",
    "MLPGenerator",
    "digit_gan",
    "discriminator_loss",
    "minimax_generator_loss",
    "non_saturating_generator_loss",
    "r1",
]
