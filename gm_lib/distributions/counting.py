"""The smallest generative models that work: they count what they have seen, in images of zeros and ones."""

from __future__ import annotations

import math
from collections import Counter
from copy import copy
from itertools import repeat

import numpy as np
import torch
from torch import Tensor


def log_smoothed(count: Tensor, *, n: int, pixels: int, imaginary: float) -> Tensor:
    """Log-probability in nats of a pattern that occurred ``count`` times among ``n``: float64, any shape.

    To the n patterns seen, ``imaginary`` ones are added, spread evenly over all 2**pixels that there are::

        p(x) = (count(x) + imaginary / 2**pixels) / (n + imaginary)

    With ``imaginary`` = 0 that is the relative frequency, and -inf for what never occurred. It holds for any
    number of pixels: 2**pixels never leaves the logarithm.

    Raises ``ValueError`` for a negative or infinite ``imaginary``.
    """
    _check_imaginary(imaginary)
    seen = count.double().log()
    if imaginary == 0:
        return seen - math.log(n)
    floor = torch.full_like(seen, math.log(imaginary) - pixels * math.log(2))
    return torch.logaddexp(seen, floor) - math.log(n + imaginary)


class TileCounts:
    """A distribution of images of zeros and ones: cut into square tiles, and counted tile by tile.

    In each place of the image, it is counted how often which tile occurred there, smoothed by ``imaginary``
    observations as in :func:`log_smoothed`. The places are taken for independent, so the probability of an
    image is the product over its tiles. With ``side`` 1 every pixel stands alone (:class:`PixelCounts` is
    the same, and faster); with the side of the image nothing is cut, and the model knows images by heart.

    ``x``: training images, (n, 1, size, size). Attributes: ``n``, ``side``, ``imaginary``.

    Raises ``TypeError`` for what is no tensor, and ``ValueError`` for other shapes, no images, other values
    than 0 and 1, a side that does not divide the size, and a negative or infinite ``imaginary``.
    """

    def __init__(self, x: Tensor, side: int, *, imaginary: float = 0.0) -> None:
        self.shape = _check(x)
        if len(self.shape) != 3 or self.shape[0] != 1 or self.shape[1] != self.shape[2]:
            raise ValueError(f"images must have the shape (n, 1, size, size), not {tuple(x.shape)}.")
        if side < 1 or self.shape[1] % side:
            raise ValueError(f"tiles of side {side} do not fill an image of side {self.shape[1]}.")
        _check_imaginary(imaginary)
        self.side = side
        self.imaginary = imaginary
        self.n = len(x)
        self._seen = self._tiles(x)
        self._counters = [Counter(_keys(tiles)) for tiles in self._seen]

    def smoothed(self, imaginary: float) -> TileCounts:
        """Return a model of the same counts with another smoothing; nothing is counted anew."""
        _check_imaginary(imaginary)
        model = copy(self)
        model.imaginary = imaginary
        return model

    def count(self, x: Tensor) -> Tensor:
        """Return how often each tile of ``x`` occurred in its place: int64 (n, tiles), row by row."""
        _check(x, self.shape)
        counts = [
            np.fromiter(map(counter.get, _keys(tiles), repeat(0)), np.int64, len(x))
            for counter, tiles in zip(self._counters, self._tiles(x), strict=True)
        ]
        return torch.from_numpy(np.stack(counts, axis=1))

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability in nats of each image, float64 (n,), for ``x`` of shape (n, 1, size, size)."""
        count = self.count(x)
        return log_smoothed(count, n=self.n, pixels=self.side**2, imaginary=self.imaginary).sum(1)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n`` images, float32 (n, 1, size, size), each tile without a look at the others.

        A tile is a copy of one that was seen in its place, or, with probability imaginary / (n + imaginary),
        where n is the number of training images, tosses of a fair coin.
        """
        tiles, pixels = len(self._seen), self.side**2
        chosen = torch.randint(self.n, (tiles, n), generator=generator).numpy()
        copies = np.unpackbits(self._seen[np.arange(tiles)[:, None], chosen], axis=2, count=pixels)
        coins = torch.randint(2, (tiles, n, pixels), generator=generator).float()
        remembered = torch.rand(tiles, n, 1, generator=generator) < self.n / (self.n + self.imaginary)
        drawn = torch.where(remembered, torch.from_numpy(copies).float(), coins)
        across = self.shape[-1] // self.side
        grid = drawn.reshape(across, across, n, self.side, self.side)
        return grid.permute(2, 0, 3, 1, 4).reshape(n, *self.shape)

    def _tiles(self, x: Tensor) -> np.ndarray:
        """Return the tiles of images, eight pixels in a byte: uint8 (tiles, n, bytes)."""
        tiles = x[:, 0].unfold(1, self.side, self.side).unfold(2, self.side, self.side).flatten(1, 2)
        return np.packbits(tiles.transpose(0, 1).flatten(2).to(torch.uint8).cpu().numpy(), axis=2)


class PixelCounts:
    """A distribution of images of zeros and ones in which every pixel is a coin of its own.

    ``probs``: how often each pixel is 1, float64, of the shape of an image. To the n training images ``x``
    (n, ...), ``imaginary`` ones are added, half of them 0 and half 1 in every pixel.

    Raises ``TypeError`` for what is no tensor, and ``ValueError`` for no images, other values than 0 and 1,
    and a negative or infinite ``imaginary``.
    """

    def __init__(self, x: Tensor, *, imaginary: float = 1.0) -> None:
        self.shape = _check(x)
        _check_imaginary(imaginary)
        self.probs = (x.double().sum(0) + imaginary / 2) / (len(x) + imaginary)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability in nats of each image, float64 (n,)."""
        _check(x, self.shape)
        p = self.probs.flatten()
        return torch.where(x.flatten(1) == 1, p.log(), (1 - p).log()).sum(1)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n`` images, float32 (n, ...), each pixel without a look at the others."""
        return torch.bernoulli(self.probs.float().expand(n, *self.shape), generator=generator)


def _check(x: Tensor, shape: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return the shape of one image; raise unless ``x`` holds at least one, of zeros and ones."""
    if not isinstance(x, Tensor):
        raise TypeError(f"images must be a torch.Tensor, not {type(x).__name__}; torch.as_tensor may help.")
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"images must have the shape (n, ...) with n > 0, not {tuple(x.shape)}.")
    found = tuple(x.shape[1:])
    if shape is not None and found != shape:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"images must have the shape (n, {wanted}), as in training, not {tuple(x.shape)}.")
    if not bool(((x == 0) | (x == 1)).all()):
        raise ValueError("only zeros and ones can be counted: threshold grey images, (x >= 0.5).float().")
    return found


def _check_imaginary(imaginary: float) -> None:
    if not 0 <= imaginary < math.inf:
        raise ValueError(f"imaginary is {imaginary}, but must be a number of observations, 0 or more.")


def _keys(packed: np.ndarray) -> list[bytes]:
    """Return rows of bytes as objects that a dictionary can hold."""
    return np.ascontiguousarray(packed).view(f"V{packed.shape[1]}")[:, 0].tolist()
