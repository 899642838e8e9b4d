"""The GAN of the book's images and sounds, by its settings: what a run's ``config.json`` builds again."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from gm_lib.gan import images, waves
from gm_lib.gan.augment import augment_images
from gm_lib.gan.model import GAN
from gm_lib.gan.networks import Packed
from gm_lib.gan.penalties import PENALTIES
from gm_lib.system.choose import choose, whole_number

ARCHITECTURES: dict[str, tuple[Any, Any]] = {
    "dcgan": (images.DCGANGenerator, images.DCGANDiscriminator),
    "resnet": (images.ResNetGenerator, images.ResNetDiscriminator),
    "wave": (waves.WaveGenerator, waves.WaveDiscriminator),
}


def digit_gan(
    *,
    shape: Sequence[int] = images.DIGIT_SHAPE,
    architecture: str = "dcgan",
    latent_dim: int = 32,
    width: int = 32,
    num_classes: int = 0,
    loss: str = "non_saturating",
    penalty: str | None = None,
    gamma: float = 0.0,
    norm: str | None = None,
    pack: int = 1,
    clip: float | None = None,
    augment: bool = False,
    lr: float = 2e-3,
    discriminator_lr: float | None = None,
    betas: Sequence[float] = (0.5, 0.999),
    decay_steps: int = 0,
    discriminator_steps: int = 1,
    average: float = 0.999,
) -> GAN:
    """Return a GAN for images in [0, 1] of a ``shape`` (channels, height, width), 1×28×28 if not given.

    ``architecture``: "dcgan" or "resnet", with ``width`` channels at half the height and width of the image
    and twice as many at a quarter; or "wave", for waveforms in [-1, 1] of a ``shape`` (channels, samples),
    which is to be given, with ``width`` channels at a quarter of the length. ``loss``: a key of
    ``gm_lib.gan.LOSSES``. ``gamma`` > 0 is the weight of the ``penalty``, a key of ``gm_lib.gan.PENALTIES``,
    "r1" if not given. ``norm``, the discriminator's: "batch", "spectral" or "none"; if not given, "none"
    for "resnet" and with a penalty, which is on the gradient of each example by itself, else "batch". The
    discriminator judges ``pack`` examples together; with ``augment`` it sees images moved and with a hole
    (:func:`augment_images`). ``discriminator_lr``: ``lr`` if not given. The rest is what :class:`GAN` takes.

    Raises ``ValueError`` for unknown names, a penalty without a weight, and what the parts raise.
    """
    config = dict(locals())
    if penalty is not None and not gamma:
        raise ValueError(f"the penalty {penalty!r} needs its weight, gamma greater than 0.")
    weighted = partial(choose("penalty", penalty or "r1", PENALTIES), gamma=gamma) if gamma else None
    if norm is None:
        norm = "none" if gamma or architecture == "resnet" else "batch"
    make_generator, make_discriminator = choose("architecture", architecture, ARCHITECTURES)
    judged = whole_number("pack", pack, 1) * shape[0], *shape[1:]
    generator = make_generator(latent_dim, width, num_classes, shape=shape)
    discriminator = make_discriminator(width, num_classes, shape=judged, norm=norm)
    model = GAN(
        generator,
        discriminator if pack == 1 else Packed(discriminator, pack),
        loss=loss,
        penalty=weighted,
        clip=clip,
        augment=augment_images if augment else None,
        lr=lr if discriminator_lr is None else (lr, discriminator_lr),
        betas=(betas[0], betas[1]),
        decay_steps=decay_steps,
        discriminator_steps=discriminator_steps,
        average=average,
    )
    model.config = config | {"shape": list(shape), "betas": list(betas)}
    # The layout in which convolutions are fastest, on the CPU and on tensor cores; the numbers are the same.
    return model.to(memory_format=torch.channels_last)
