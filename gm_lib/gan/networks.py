"""Generators, from noise to examples, and discriminators, from examples to one logit each.

Generators know their ``latent_dim`` and ``out_shape``, discriminators their ``in_shape``, and both their
``num_classes``: with 0 they take no labels and do not look at any. A generator may have ``check(x)``, which
raises for data that it could never make. What they return has the dtype of their input, also where autocast
computes in a shorter one.

Here are those for points, and what turns any discriminator into another; ``gm_lib.gan.images`` has those for
images.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

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
    image, or the features of a point, so that it notices samples that are too much alike. ``in_shape`` is the
    shape of one example.

    Raises ``ValueError`` for a discriminator whose first dimension is no multiple of m, and for one with
    labels, which the examples of a pack need not share.
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
            raise ValueError(
                f"{len(x)} examples cannot be put into packs of {self.m}: give a multiple of it."
            )
        return self.discriminator(x.unflatten(0, (-1, self.m)).flatten(1, 2))


def spectrally_normalized(network: Network) -> Network:
    """Divide the weights of all linear layers and convolutions by their largest singular value, in place.

    Miyato et al. 2018; that of a convolution is its kernel's, as a matrix (out, in · height · width), and not
    the convolution's own. It is followed by one step of the power method at each pass in training mode, so it
    is nearly, not exactly, divided out while weights change. Returns the ``network``.

    Raises ``ValueError`` for weights that are all zero, which have nothing to be divided by.
    """
    for layer in weighted_layers(network):
        if spectral_norm_of(layer):
            continue
        if not bool(layer.weight.count_nonzero()):
            raise ValueError(f"a {type(layer).__name__} whose weights are all zero has no spectral norm.")
        parametrizations.spectral_norm(layer)
    return network


def weighted_layers(network: nn.Module) -> list[Any]:
    """Return the linear layers and the convolutions."""
    return [part for part in network.modules() if isinstance(part, nn.Linear | nn.modules.conv._ConvNd)]


def spectral_norm_of(layer: nn.Module) -> bool:
    """Tell whether the layer's weight is under spectral norm."""
    return parametrize.is_parametrized(layer, "weight") and any(
        isinstance(part, parametrizations._SpectralNorm)
        for part in layer.parametrizations["weight"]  # type: ignore[index]
    )


def with_label(features: Tensor, y: Tensor | None, num_classes: int) -> Tensor:
    """Append the one-hot label (n, num_classes) to features (n, d)."""
    if not num_classes:
        return features
    return torch.cat([features, label(y, num_classes).to(features.dtype)], dim=-1)


def label(y: Tensor | None, num_classes: int) -> Tensor:
    """Return the one-hot label (n, num_classes); raise ``ValueError`` if there is none."""
    if y is None:
        raise ValueError(f"a conditional GAN needs labels: one integer in 0 … {num_classes - 1} per example.")
    return one_hot(y, num_classes)
