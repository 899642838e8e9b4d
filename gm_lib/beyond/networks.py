"""Networks that are told how far along they are: of noisy data, and a time t in [0, 1], to a guess."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gm_lib.networks import check_labels, mlp
from gm_lib.system.choose import whole_number

FEATURES = 32  # of the time: sines and cosines of 16 frequencies


def time_features(t: Tensor) -> Tensor:
    """Return sines and cosines of t (n,), in [0, 1], at frequencies from 1 to 1,000: (n, ``FEATURES``).

    As the positions of Vaswani et al. 2017, section 3.5; Ho et al. 2020 give a network its time so.
    """
    frequencies = torch.logspace(0, 3, FEATURES // 2, device=t.device, dtype=t.dtype)
    angles = t[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], -1)


class TimeMLP(nn.Module):
    """Linear layers for points: x (n, dim) and t (n,) to (n, dim). It takes no labels."""

    num_classes = 0

    def __init__(self, dim: int = 2, hidden: Sequence[int] = (128, 128, 128)):
        super().__init__()
        self.shape = (whole_number("dim", dim, 1),)
        self.layers = mlp([dim + FEATURES, *hidden, dim], nn.SiLU)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return as many numbers as x has, unbounded."""
        return self.layers(torch.cat([x, time_features(t).to(x.dtype)], -1))


class TimeUNet(nn.Module):
    """A small U-Net for images: x (n, c, h, w), t (n,) and labels y (n,) to (n, c, h, w).

    Every 2×2 pixels become channels of one place. There are ``width`` channels at that size and twice as many
    at half of it; two residual blocks on the way down at each size, two on the way up, which also see what
    passed on the way down (Ronneberger et al. 2015). Each block is told the time, and the label: one more
    label, ``num_classes``, says that none is known (Ho and Salimans 2022). With ``num_classes`` 0 there are
    no labels.

    Raises ``ValueError`` for a height or width that is no multiple of 4.
    """

    def __init__(self, shape: Sequence[int] = (1, 28, 28), *, width: int = 32, num_classes: int = 0):
        super().__init__()
        self.shape = tuple(whole_number("each of the shape", size, 1) for size in shape)
        if len(self.shape) != 3 or self.shape[1] % 4 or self.shape[2] % 4:
            raise ValueError(f"shape must be (channels, h, w), h and w multiples of 4, not {self.shape}.")
        self.num_classes = whole_number("num_classes", num_classes)
        width, told = whole_number("width", width, 8), 4 * width
        self.time = mlp([FEATURES, told, told], nn.SiLU)
        self.label = nn.Embedding(num_classes + 1, told) if num_classes else None
        self.into = nn.Conv2d(4 * self.shape[0], width, 3, padding=1)
        self.down = nn.ModuleList([_Block(width, width, told), _Block(width, width, told)])
        self.shrink = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([_Block(2 * width, 2 * width, told) for _ in range(2)])
        self.enlarge = nn.Conv2d(2 * width, width, 3, padding=1)
        self.up = nn.ModuleList([_Block(2 * width, width, told), _Block(2 * width, width, told)])
        self.out = nn.Conv2d(width, 4 * self.shape[0], 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return as many numbers as x has, unbounded; 0 before training. Without ``y`` no label is known."""
        told = self.time(time_features(t).to(x.dtype))
        if self.label is not None:
            unknown = torch.full((len(x),), self.num_classes, device=x.device)
            told = told + self.label(unknown if y is None else y)
        h, seen = self.into(F.pixel_unshuffle(x, 2)), []
        for block in self.down:
            h = block(h, told)
            seen.append(h)
        h = self.shrink(h)
        for block in self.middle:
            h = block(h, told)
        h = self.enlarge(F.interpolate(h, size=seen[-1].shape[-2:]))
        for block in self.up:
            h = block(torch.cat([h, seen.pop()], 1), told)
        return F.pixel_shuffle(self.out(F.silu(h)), 2)

    def check(self, y: Tensor | None, n: int) -> None:
        """Raise ``ValueError`` unless y holds n labels in range; of one without labels it may be anything."""
        if self.num_classes and y is not None:
            check_labels(y, self.num_classes + 1, n)


class _Block(nn.Module):
    """Two convolutions beside a short cut, told a vector: maps to maps of the same height and width."""

    def __init__(self, channels_in: int, channels_out: int, told: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels_in), nn.GroupNorm(8, channels_out)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.told = nn.Linear(told, channels_out)
        same = channels_in == channels_out
        self.short = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.told(F.silu(told))[..., None, None]
        return self.short(x) + self.conv2(F.silu(self.norm2(h)))
