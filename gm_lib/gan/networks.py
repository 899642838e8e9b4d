"""Generators, from noise to examples, and discriminators, from examples to one logit each.

Generators know their ``latent_dim`` and ``out_shape``, discriminators their ``in_shape``, and both their
``num_classes``: with 0 they take no labels and do not look at any. A generator may have ``check(x)``, which
raises for data that it could never make. What they return has the dtype of their input, also where autocast
computes in a shorter one.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gm_lib.data import check_images
from gm_lib.gan.penalties import Penalty
from gm_lib.networks import FromMaps, ToMaps, check_input, conv_down, conv_up, mlp, one_hot, require

DIGIT_SHAPE = (1, 28, 28)


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
        return self.net(_with_label(z, y, self.num_classes)).to(z.dtype).unflatten(-1, self.out_shape)


class MLPDiscriminator(nn.Module):
    """The logit of D(x) for points: (n, *in_shape) to (n,)."""

    def __init__(self, in_shape: Sequence[int], hidden: Sequence[int], num_classes: int = 0):
        super().__init__()
        self.in_shape, self.num_classes = tuple(in_shape), num_classes
        self.net = mlp([math.prod(in_shape) + num_classes, *hidden, 1], partial(nn.LeakyReLU, 0.2))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return logits (n,) for x (n, *in_shape) and, if it takes them, labels y (n,)."""
        check_input(x, self.in_shape, self.net[0].weight, "the discriminator")
        return self.net(_with_label(x.flatten(1), y, self.num_classes)).to(x.dtype).squeeze(-1)


class DCGANGenerator(nn.Module):
    """G(z) for images of 1×28×28 in [0, 1]: 7×7, then 14×14, then 28×28. Radford et al. 2016.

    ``width``: channels at 14×14, half of those at 7×7.
    """

    def __init__(self, latent_dim: int, width: int, num_classes: int = 0):
        super().__init__()
        self.latent_dim, self.out_shape, self.num_classes = latent_dim, DIGIT_SHAPE, num_classes
        self.net = nn.Sequential(
            nn.Linear(latent_dim + num_classes, 7 * 7 * 2 * width, bias=False),
            ToMaps(2 * width, 7),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            conv_up(2 * width, width),
            nn.ConvTranspose2d(width, 1, kernel_size=4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return images (n, 1, 28, 28) for z (n, latent_dim) and, if it takes them, labels y (n,)."""
        return self.net(_with_label(z, y, self.num_classes)).to(z.dtype)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` for images out of [0, 1], which a sigmoid never leaves."""
        check_images(x)


class DCGANDiscriminator(nn.Module):
    """The logit of D(x) for images of 1×28×28: to 14×14, to 7×7, to one number. Radford et al. 2016.

    ``width``: channels at 14×14, half of those at 7×7. A label is one more plane for each class, all ones
    for the image's own and zeros for the others. Without ``batch_norm`` each image is judged by itself, also
    in training mode, as a penalty on the gradient needs it.
    """

    def __init__(self, width: int, num_classes: int = 0, *, batch_norm: bool = True):
        super().__init__()
        self.in_shape, self.num_classes = DIGIT_SHAPE, num_classes
        self.net = nn.Sequential(
            conv_down(1 + num_classes, width, batch_norm=False),  # it would hide how bright an image is
            conv_down(width, 2 * width, batch_norm=batch_norm),
            FromMaps(),
            nn.Linear(7 * 7 * 2 * width, 1),
        )

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return logits (n,) for x (n, 1, 28, 28) and, if it takes them, labels y (n,)."""
        check_input(x, self.in_shape, self.net[-1].weight, "the discriminator")
        if self.num_classes:
            planes = _label(y, self.num_classes).to(x.dtype)[:, :, None, None]
            x = torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], dim=1)
        return self.net(x).to(x.dtype).squeeze(-1)


def check_players(generator: Any, discriminator: Any, penalty: Penalty | None) -> None:
    """Raise unless the players can play with each other, under this ``penalty``.

    ``TypeError`` for one that does not know what it must, ``ValueError`` for two that do not fit.
    """
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
    if penalty is not None and any(isinstance(part, _BatchNorm) for part in discriminator.modules()):
        raise ValueError(
            "a penalty is on the gradient of each example's logit, and through batch norm that is the "
            "gradient of a whole batch: take batch norm out of the discriminator."
        )


def _with_label(features: Tensor, y: Tensor | None, num_classes: int) -> Tensor:
    """Append the one-hot label (n, num_classes) to features (n, d)."""
    if not num_classes:
        return features
    return torch.cat([features, _label(y, num_classes).to(features.dtype)], dim=-1)


def _label(y: Tensor | None, num_classes: int) -> Tensor:
    if y is None:
        raise ValueError(f"a conditional GAN needs labels: one integer in 0 … {num_classes - 1} per example.")
    return one_hot(y, num_classes)
