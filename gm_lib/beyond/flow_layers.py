"""Invertible layers of flows, whose Jacobian determinants can be read off.

A layer is a map f. ``layer(z)`` is x = f(z); ``layer.inverse(x)`` is z and log|det J_f(z)|, shape (n,).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EDGE = 0.005  # logits are of values between this and 1 minus this, so that black and white have one
STEEPEST = 3.0  # of |s| in a coupling


class Coupling(nn.Module):
    """x = z in the ``kept`` channels k; in the others, m, x_m = z_m · exp(s(z_k)) + t(z_k).

    J_f is triangular with 1 and exp(s) on its diagonal, so log|det J_f| = Σ s; neither s nor t is ever
    inverted. Dinh et al. 2017, equations 4 to 8. ``kept``: bool (channels,). ``network(channels_in,
    channels_out)`` makes the network of s and t. It ends in a layer of zeros: f is the identity at first.
    """

    def __init__(self, kept: Tensor, network: Callable[[int, int], nn.Sequential]):
        super().__init__()
        self.kept: Tensor
        self.moved: Tensor
        self.register_buffer("kept", kept.nonzero().flatten(), persistent=False)
        self.register_buffer("moved", (~kept).nonzero().flatten(), persistent=False)
        self.network = network(len(self.kept), 2 * len(self.moved))
        for values in self.network[-1].parameters():
            nn.init.zeros_(values)

    def forward(self, z: Tensor) -> Tensor:
        """Return x (n, channels, ...) of z."""
        s, t = self._scale_and_shift(z)
        return z.index_copy(1, self.moved, z[:, self.moved] * s.exp() + t)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and log|det J_f(z)|."""
        s, t = self._scale_and_shift(x)  # of the channels that z and x have in common
        z = x.index_copy(1, self.moved, (x[:, self.moved] - t) * (-s).exp())
        return z, s.flatten(1).sum(1)

    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return s and t, each of the shape of the moved channels; autocast's may be shorter numbers."""
        s, t = self.network(x[:, self.kept]).to(x.dtype).chunk(2, dim=1)
        return STEEPEST * (s / STEEPEST).tanh(), t


class Scaling(nn.Module):
    """x = z · exp(s) + t with a learned s and t for every value of a ``shape``; log|det J_f| = Σ s."""

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self.s, self.t = nn.Parameter(torch.zeros(*shape)), nn.Parameter(torch.zeros(*shape))

    def forward(self, z: Tensor) -> Tensor:
        """Return x (n, *shape) of z."""
        return z * self.s.exp() + self.t

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and log|det J_f(z)|."""
        return (x - self.t) * (-self.s).exp(), self.s.sum().expand(len(x))


class Shuffle(nn.Module):
    """Four channels become 2×2 places: (n, 4c, h, w) to (n, c, 2h, 2w). Volumes stay as they are."""

    def forward(self, z: Tensor) -> Tensor:
        """Return x of z."""
        return F.pixel_shuffle(z, 2)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and log|det J_f(z)| = 0."""
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))


class Squash(nn.Module):
    """x = (σ(z) - a) / (1 - 2a), a = ``EDGE``: logits to grey values, after Dinh et al. 2017, section 4.1.

    With v = σ(z), one value is stretched by v (1 - v) / (1 - 2a). The edge is about a bin of 1/256 wide: the
    levels next to black are then far apart in z, and black is not torn to infinity.
    """

    def forward(self, z: Tensor) -> Tensor:
        """Return x of z; a little of it outside [0, 1]."""
        return (z.sigmoid() - EDGE) / (1 - 2 * EDGE)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z and log|det J_f(z)|."""
        v = EDGE + (1 - 2 * EDGE) * x
        stretch = v.log() + (1 - v).log() - math.log(1 - 2 * EDGE)
        return v.logit(), stretch.flatten(1).sum(1)


def halves(channels: int, number: int) -> list[Tensor]:
    """Return masks (channels,) of kept channels, each followed by its complement, in changing patterns.

    The i-th pattern asks whether the channel's number has an even count of the binary digits of i in common.
    Of 2×2 places those are columns, rows and a checkerboard; of two channels, the one and the other.
    """
    masks = []
    for i in range(number):
        pattern = 1 + (i // 2) % (channels - 1)
        odd = torch.tensor([(channel & pattern).bit_count() % 2 for channel in range(channels)])
        masks.append(odd == i % 2)
    return masks
