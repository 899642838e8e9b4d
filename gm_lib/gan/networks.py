"""Generators, from noise to examples, and discriminators, from examples to one logit each.

Generators know their ``latent_dim`` and ``out_shape``, discriminators their ``in_shape``, and both their
``num_classes``: with 0 they take no labels and do not look at any. A generator may have ``check(x)``, which
raises for data that it could never make. What they return has the dtype of their input, also where autocast
computes in a shorter one.

Here are those for points, and what changes any discriminator. Those for images: ``gm_lib.gan.images``.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

from gm_lib.gan.losses import LOSSES
from gm_lib.networks import check_input, mlp, one_hot, require
from gm_lib.system.choose import whole_number

Network = TypeVar("Network", bound=nn.Module)


class MLPGenerator(nn.Module):
    """G(z) with unbounded values, for points: (n, latent_dim) to (n, *out_shape)."""

    def __init__(
        self, latent_dim: int, hidden: Sequence[int], out_shape: Sequence[int], num_classes: int = 0
    ):
        super().__init__()
        self.latent_dim, self.out_shape, self.num_classes = latent_dim, tuple(out_shape), num_classes
        self.net = mlp([latent_dim + num_classes, *hidden, math.prod(out_shape)])

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return examples (n, *out_shape) for z (n, latent_dim) and, if it takes them, labels y (n,)."""
        return self.net(with_label(z, y, self.num_classes)).to(z.dtype).unflatten(-1, self.out_shape)


class MLPDiscriminator(nn.Module):
    """The logit of D(x) for points: (n, *in_shape) to (n,)."""

    def __init__(self, in_shape: Sequence[int], hidden: Sequence[int], num_classes: int = 0):
        super().__init__()
        self.in_shape, self.num_classes = tuple(in_shape), num_classes
        self.net = mlp([math.prod(in_shape) + num_classes, *hidden, 1], partial(nn.LeakyReLU, 0.2))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return logits (n,) for x (n, *in_shape) and, if it takes them, labels y (n,)."""
        # The bias, since to look at a weight under spectral norm is to change it.
        check_input(x, self.in_shape, self.net[0].bias, "the discriminator")
        return self.net(with_label(x.flatten(1), y, self.num_classes)).to(x.dtype).squeeze(-1)


class Packed(nn.Module):
    """A discriminator that judges ``m`` examples together: (n, *in_shape) to (n/m,). Lin et al. 2018.

    The ``discriminator`` within sees m neighbours in the batch as one example with m times the channels of an
    image, or the features of a point, so that it notices samples that are too much alike.

    Raises ``ValueError`` for a discriminator of examples that cannot be m together, or with labels.
    """

    def __init__(self, discriminator: nn.Module, m: int):
        super().__init__()
        require(discriminator, "discriminator", in_shape="the shape of one pack to judge")
        self.m, self.num_classes = whole_number("m", m, 1), 0
        first, *rest = tuple(discriminator.in_shape)  # type: ignore[arg-type]
        if first % self.m:
            raise ValueError(
                f"a discriminator of examples of shape {(first, *rest)} cannot judge packs of {m}: give it "
                f"{m} times the channels (or features) of one example."
            )
        if getattr(discriminator, "num_classes", 0):
            raise ValueError("packs have no labels: give a discriminator with num_classes = 0.")
        self.in_shape = (first // self.m, *rest)
        self.discriminator = discriminator

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the logits (n/m,) of the packs for x (n, *in_shape)."""
        check_input(x, self.in_shape, next(self.parameters()), "the discriminator")
        if len(x) % self.m:
            raise ValueError(f"{len(x)} examples cannot be put into packs of {self.m}: give a multiple.")
        return self.discriminator(x.unflatten(0, (-1, self.m)).flatten(1, 2))


def spectrally_normalized(network: Network) -> Network:
    """Divide the weights of all linear layers and convolutions by their largest singular value, in place.

    Miyato et al. 2018. That of a convolution is its kernel's, as a matrix (out, in · height · width), and not
    the convolution's own. In training mode each pass brings the estimate one step of the power method nearer.
    Returns the ``network``. Raises ``ValueError`` for weights that are all zero.
    """
    for layer in weighted_layers(network):
        if not bool(layer.weight.count_nonzero()):
            raise ValueError(f"a {type(layer).__name__} whose weights are all zero has no spectral norm.")
        parametrizations.spectral_norm(layer)
    return network


def weighted_layers(network: nn.Module) -> list[Any]:
    """Return the linear layers and the convolutions."""
    return [part for part in network.modules() if isinstance(part, nn.Linear | nn.modules.conv._ConvNd)]


def with_label(features: Tensor, y: Tensor | None, num_classes: int) -> Tensor:
    """Append the one-hot label (n, num_classes) to features (n, d)."""
    return torch.cat([features, label(y, num_classes).to(features.dtype)], -1) if num_classes else features


def label(y: Tensor | None, num_classes: int) -> Tensor:
    """Return the one-hot label (n, num_classes); raise ``ValueError`` if there is none."""
    if y is None:
        raise ValueError(f"a conditional GAN needs labels: one integer in 0 … {num_classes - 1} per example.")
    return one_hot(y, num_classes)


def check_players(generator: Any, discriminator: Any) -> None:
    """Raise ``TypeError`` for players that lack an attribute, ``ValueError`` for two that do not fit."""
    classes = "the number of labels it takes, 0 for none"
    require(
        generator,
        "generator",
        latent_dim="the number of dimensions of z",
        out_shape="the shape of one example that it makes",
        num_classes=classes,
    )
    require(discriminator, "discriminator", in_shape="the shape of one example to judge", num_classes=classes)
    made, judged = tuple(generator.out_shape), tuple(discriminator.in_shape)
    if made != judged:
        raise ValueError(f"the generator makes examples of shape {made}, the discriminator judges {judged}.")
    if generator.num_classes != discriminator.num_classes:
        raise ValueError(
            f"the generator takes {generator.num_classes} classes, the discriminator "
            f"{discriminator.num_classes}: give both players the labels, or neither."
        )


def check_rules(gan: Any) -> None:
    """Raise ``ValueError`` with the reason for rules of the game that make no sense together."""
    judge, shape = gan.discriminator, tuple(gan.discriminator.in_shape)
    computed = [is_parametrized(layer, "weight") for layer in weighted_layers(judge)]
    if gan.penalty is not None and any(isinstance(part, _BatchNorm) for part in judge.modules()):
        raise ValueError(
            "a penalty is on the gradient of each example's logit, and through batch norm that is the "
            "gradient of a whole batch: take batch norm out of the discriminator."
        )
    if gan.clip is not None and not gan.clip > 0:
        raise ValueError(
            f"clip must be greater than 0, not {gan.clip}: it bounds the discriminator's weights."
        )
    if gan.clip is not None and any(computed):
        raise ValueError("clip bounds the numbers that spectral norm then rescales: choose one of the two.")
    limited = gan.penalty is not None or gan.clip is not None or (computed and all(computed))
    if gan.loss.discriminator is LOSSES["wasserstein"].discriminator and not limited:
        raise ValueError(
            "the loss 'wasserstein' has no minimum while the discriminator may be as steep as it likes: add "
            "a penalty or clip, or put spectral norm on all of its layers (spectrally_normalized)."
        )
    if gan.augment is not None and len(shape) != 3:
        raise ValueError(f"augment changes images (channels, height, width), not examples of shape {shape}.")
