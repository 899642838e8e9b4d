"""Encoders and decoders of convolutions, for images of any height and width: see ``gm_lib.vae.networks``.

There is no batch norm in them: what a model says of an image must not depend on the others in the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.distributions import Normal

from gm_lib.networks import check_input
from gm_lib.vae.networks import _with_label


class ConvEncoder(nn.Module):
    """q(z | x) for images x (C, H, W): two convolutions of stride 2, then a linear layer.

    ``width``: channels at half the height and width; twice as many at a quarter. ``num_classes`` > 0 makes it
    q(z | x, y); the label moves the features of the first layer.

    Raises ``ValueError`` for an ``in_shape`` that is no image's.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        width: int,
        latent_dim: int,
        num_classes: int = 0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__()
        channels, *size = self.in_shape = image_shape(in_shape)
        self.num_classes = num_classes
        self.first = halving(channels, width)
        self.label = nn.Linear(num_classes, width, bias=False) if num_classes else None
        self.rest = nn.Sequential(activation(), halving(width, 2 * width), activation(), nn.Flatten())
        self.last = nn.Linear(2 * width * math.prod(half(half(size))), 2 * latent_dim)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Normal:
        """Return q(z | x), mean and scale of shape (n, latent_dim), for x of shape (n, *in_shape)."""
        mean, log_var = self.mean_and_log_var(x, y)
        return Normal(mean, (0.5 * log_var).exp(), validate_args=False)

    def mean_and_log_var(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean of q(z | x) and the logarithm of its variance, each (n, latent_dim)."""
        check_input(x, self.in_shape, self.last.weight, "the encoder")
        h = self.first(x)
        if self.label is not None:
            label = _with_label(x.new_empty(len(x), 0), y, self.num_classes)
            h = h + self.label(label)[:, :, None, None]
        out = self.last(self.rest(h)).to(x.dtype)  # autocast's may be shorter
        mean, log_var = out.chunk(2, dim=-1)
        return mean, log_var


class ConvDecoder(nn.Module):
    """The network from z to the raw parameters of p(x | z), maps of ``out_shape`` = (channels, H, W).

    A linear layer makes maps of a quarter of the height and width, two transposed convolutions double them.
    ``out_shape``: the likelihood's ``params_shape``. ``width``, ``num_classes``: as in :class:`ConvEncoder`.

    Raises ``ValueError`` for an ``out_shape`` that is no image's.
    """

    def __init__(
        self,
        latent_dim: int,
        width: int,
        out_shape: Sequence[int],
        num_classes: int = 0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__()
        self.latent_dim, self.num_classes = latent_dim, num_classes
        channels, *size = self.out_shape = image_shape(out_shape)
        small = half(half(size))
        self.first = nn.Linear(latent_dim + num_classes, 2 * width * math.prod(small))
        self.rest = nn.Sequential(
            nn.Unflatten(1, (2 * width, *small)),
            activation(),
            Doubling(2 * width, width, half(size)),
            activation(),
            Doubling(width, channels, size),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return params of shape (*lead, *out_shape) for z of shape (*lead, latent_dim)."""
        h = self.first(_with_label(z, y, self.num_classes))
        return self.rest(h.reshape(-1, h.shape[-1])).to(z.dtype).reshape(*z.shape[:-1], *self.out_shape)


class Doubling(nn.Module):
    """A transposed convolution that doubles height and width, cut to ``size`` (H, W), which may be odd."""

    def __init__(self, channels_in: int, channels_out: int, size: Sequence[int]):
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels_in, channels_out, kernel_size=4, stride=2, padding=1)
        self.size = tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (n, channels_out, H, W) for maps (n, channels_in, ⌈H/2⌉, ⌈W/2⌉)."""
        return self.conv(x)[..., : self.size[0], : self.size[1]]


def halving(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Return a convolution that halves height and width, rounding up."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=2, padding=1)


def half(size: Sequence[int]) -> list[int]:
    """Return half of each number, rounded up: the size of the maps that :func:`halving` makes."""
    return [-(-side // 2) for side in size]


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return ``shape`` as a tuple; raise ``ValueError`` unless it is (channels, height, width), from 1 on."""
    found = tuple(shape)
    if len(found) != 3 or min(found) < 1:
        raise ValueError(f"convolutions need images of a shape (channels, height, width), not {found}.")
    return found
