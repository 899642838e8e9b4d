"""The networks of a :class:`gm_lib.vae.HierarchicalVAE`: linear layers for vectors, convolutions for maps.

They are put together alike. Units or channels are dimension 1: states and features have the shape
(n, width, *size), where vectors have no ``size``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from gm_lib.vae.convolutional import Doubling, half, halving, image_shape

LIMIT = 8.0  # of log-variances: a step that went too far must not end in infinity
SMALL = 0.1  # what scales last layers: new blocks change h little, and new posteriors are near their priors
Layer = Callable[[int, int], Any]


class Level(nn.Module):
    """One level of the way down: prior and posterior of z (n, channels, *size), and where z goes.

    ``wide`` makes the layers between states h (n, width, *size), ``narrow`` those to and from z.
    """

    def __init__(self, wide: Layer, narrow: Layer, width: int, channels: int, size: Sequence[int]):
        super().__init__()
        self.size = tuple(size)
        self.shape = (channels, *size)
        self.p, self.q = _small(narrow(width, 2 * channels)), _small(narrow(width, 2 * channels))
        self.seen, self.above = wide(width, width), wide(width, width)
        self.enter, self.block = narrow(channels, width), Residual(wide, width)

    def prior(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of p(z_l | z_<l), each (n, channels, *size)."""
        return self._mean_and_log_var(self.p(F.silu(h)))

    def see(self, features: Tensor) -> Tensor:
        """Return what the posterior looks at of features of x (n, width, *size): as they are."""
        return self.seen(F.silu(features))

    def posterior(self, h: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(u_l | x, z_<l), each (k · n, channels, *size).

        k draws of h, (k · n, width, *size), go with each example's ``seen``, (n, width, *size).
        """
        both = self.above(F.silu(h)).unflatten(0, (-1, len(seen))) + seen
        return self._mean_and_log_var(self.q(F.silu(both.flatten(0, 1))))

    def below(self, h: Tensor, z: Tensor) -> Tensor:
        """Return the state that has taken z in: as h."""
        return self.block(h + self.enter(z))

    def _mean_and_log_var(self, out: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = out.to(self.p.weight.dtype).chunk(2, dim=1)  # autocast's may be shorter
        return mean, LIMIT * (log_var / LIMIT).tanh()


class Residual(nn.Module):
    """h plus what two layers make of it: (n, width, *size) to the same."""

    def __init__(self, wide: Layer, width: int):
        super().__init__()
        self.first, self.second = wide(width, width), _small(wide(width, width))

    def forward(self, h: Tensor) -> Tensor:
        """Return the new h."""
        return h + self.second(F.silu(self.first(F.silu(h))))


def dense(
    in_shape: Sequence[int], out_shape: Sequence[int], width: int, levels: int
) -> tuple[Layer, Layer, nn.Module, nn.Module, list[list[int]]]:
    """Return what a hierarchy of vectors is made of: wide and narrow layers, stem, head, sizes of levels.

    The stem makes a state of x (n, *in_shape), the head params (n, *out_shape) of a state.
    """
    stem = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(in_shape), width))
    head = nn.Sequential(nn.SiLU(), nn.Linear(width, math.prod(out_shape)), nn.Unflatten(1, tuple(out_shape)))
    return nn.Linear, nn.Linear, stem, head, [[]] * levels


def convolutional(
    in_shape: Sequence[int], out_shape: Sequence[int], width: int, levels: int
) -> tuple[Layer, Layer, nn.Module, nn.Module, list[list[int]]]:
    """Return the same for maps: the upper levels of a quarter, the lower ones of half the height and width.

    Of an odd number of levels the upper half gets one more. Raises ``ValueError`` for shapes that are no
    images'.
    """
    channels_in, *size = image_shape(in_shape)
    channels_out, *_ = image_shape(out_shape)
    head = nn.Sequential(
        nn.SiLU(),
        Doubling(width, width // 2 + 1, size),
        nn.SiLU(),
        nn.Conv2d(width // 2 + 1, channels_out, kernel_size=3, padding=1),
    )
    upper = (levels + 1) // 2
    sizes = [half(half(size))] * upper + [half(size)] * (levels - upper)
    wide, narrow = (partial(nn.Conv2d, kernel_size=side, padding=side // 2) for side in (3, 1))
    return wide, narrow, halving(channels_in, width), head, sizes


def resized(h: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return h (n, width, *any) with maps of ``size``: averages of h where it is larger, else copies."""
    if h.shape[2:] == size:
        return h
    height, width = size
    return F.adaptive_avg_pool2d(h, (height, width)) if h.shape[2] > height else F.interpolate(h, size)


def _small(layer: Any) -> Any:
    layer.weight.data.mul_(SMALL)
    return layer
