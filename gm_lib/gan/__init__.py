"""Generative adversarial networks."""

from gm_lib.gan.augment import augment_images
from gm_lib.gan.digits import digit_gan
from gm_lib.gan.images import DCGANDiscriminator, DCGANGenerator, ResNetDiscriminator, ResNetGenerator
from gm_lib.gan.losses import (
    LOSSES,
    Loss,
    discriminator_loss,
    minimax_generator_loss,
    non_saturating_generator_loss,
)
from gm_lib.gan.model import GAN
from gm_lib.gan.networks import MLPDiscriminator, MLPGenerator, Packed, spectrally_normalized
from gm_lib.gan.penalties import PENALTIES, gradient_penalty, r1, r2
from gm_lib.gan.text import TextDiscriminator, TextGenerator, text_gan
from gm_lib.gan.waves import WaveDiscriminator, WaveGenerator

__all__ = [
    "GAN",
    "LOSSES",
    "PENALTIES",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "Loss",
    "MLPDiscriminator",
    "MLPGenerator",
    "Packed",
    "ResNetDiscriminator",
    "ResNetGenerator",
    "TextDiscriminator",
    "TextGenerator",
    "WaveDiscriminator",
    "WaveGenerator",
    "augment_images",
    "digit_gan",
    "discriminator_loss",
    "gradient_penalty",
    "minimax_generator_loss",
    "non_saturating_generator_loss",
    "r1",
    "r2",
    "spectrally_normalized",
    "text_gan",
]
