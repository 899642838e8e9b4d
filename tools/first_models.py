"""The models of chapters 1, 2 and 5 on the scoreboard's data: tossed digits, and grey ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gm_lib.data import dequantize
from gm_lib.distributions.counting import TileCounts
from gm_lib.distributions.mixtures import BernoulliMixture, em
from gm_lib.distributions.ppca import fit_ppca
from gm_lib.evaluation import bits_per_dim

CANDIDATES = (1.0, 10.0, 100.0, 1000.0, 10_000.0)  # imaginary observations that smooth a table
LEVELS = 256


class Neighbours:
    """Chapter 2's counts of each pixel given its left, upper left, upper and upper right neighbour.

    ``white``: (28, 28, 16), the probability of a white pixel for each place and each pattern of the four,
    smoothed by half an observation of each colour. ``x``: training images of zeros and ones, (n, 1, 28, 28).
    """

    def __init__(self, x: Tensor) -> None:
        case = (16 * torch.arange(784).reshape(28, 28) + self.pattern(x)).flatten()
        seen = torch.bincount(case, minlength=784 * 16)
        white = torch.bincount(case, weights=x.double().flatten(), minlength=784 * 16)
        self.white = ((white + 0.5) / (seen + 1)).reshape(28, 28, 16)

    @staticmethod
    def pattern(x: Tensor) -> Tensor:
        """Return the number of the pattern that each pixel of x (n, 1, 28, 28) has before it: (n, 28, 28)."""
        q = F.pad(x[:, 0], (1, 1, 1, 0)).long()
        return 8 * q[:, 1:, :-2] + 4 * q[:, :-1, :-2] + 2 * q[:, :-1, 1:-1] + q[:, :-1, 2:]

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) in nats for x (n, 1, 28, 28): (n,)."""
        row, column = torch.arange(28)[:, None], torch.arange(28)
        p = self.white[row, column, self.pattern(x)]
        return torch.where(x[:, 0] == 1, p, 1 - p).log().sum((1, 2))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n images, pixel after pixel: (n, 1, 28, 28)."""
        q = torch.zeros(n, 29, 30, dtype=torch.long)  # black around the image
        for i in range(28):
            for j in range(28):
                pattern = 8 * q[:, i + 1, j] + 4 * q[:, i, j] + 2 * q[:, i, j + 1] + q[:, i, j + 2]
                q[:, i + 1, j + 1] = torch.bernoulli(self.white[i, j, pattern], generator=generator)
        return q[:, None, 1:, 1:-1].float()


def tiles(x: Tensor, valid: Tensor, side: int) -> TileCounts:
    """Return chapter 1's tiles of ``x``, smoothed as is best for ``valid``."""
    counted = TileCounts(x, side)
    return max(
        (counted.smoothed(m) for m in CANDIDATES), key=lambda model: model.log_prob(valid).mean().item()
    )


def tiles_by_digit(x: Tensor, y: Tensor, valid: Tensor, side: int) -> Callable[[Tensor], Tensor]:
    """Return log p(x) of ten tile models, one for each digit, summed over digits; smoothed as ``tiles``."""
    each = [TileCounts(x[y == digit], side) for digit in range(10)]
    shares = (torch.bincount(y, minlength=10) / len(y)).double().log()

    def log_prob(m: float, of: Tensor) -> Tensor:
        return torch.stack([model.smoothed(m).log_prob(of) for model in each], dim=1).add(shares).logsumexp(1)

    best = max(CANDIDATES, key=lambda m: log_prob(m, valid).mean().item())
    return lambda of: log_prob(best, of)


def causes(x: Tensor, components: int, steps: int, generator: torch.Generator) -> BernoulliMixture:
    """Return chapter 5's mixture of coins, fitted to x (n, 784) by EM from images of x that were faded."""
    chosen = torch.randperm(len(x), generator=generator)[:components]
    start = BernoulliMixture(torch.full((components,), 1 / components), 0.25 + 0.5 * x[chosen])
    return em(start, x, steps=steps)[0]


def histogram_bits(train: Tensor, test: Tensor) -> dict[str, float]:
    """Return the bits per pixel of grey images (n, 1, 28, 28), by one histogram and by one for each pixel."""
    seen, asked = (((LEVELS - 1) * x.flatten(1)).round().long() for x in (train, test))
    one = torch.bincount(seen.flatten(), minlength=LEVELS).double() + 1
    one = one / one.sum()
    place = torch.arange(784)
    each = torch.bincount((LEVELS * place + seen).flatten(), minlength=784 * LEVELS).reshape(784, LEVELS)
    each = each.double() + one  # and one observation more, spread as in the pixels together
    log_p = {
        "histogram": one.log()[asked].sum(1),
        "histograms": (each / each.sum(1, keepdim=True)).log()[place, asked].sum(1),
    }
    return {name: bits_per_dim(of_images, 784).mean().item() for name, of_images in log_p.items()}


def density_bits(train: Tensor, test: Tensor, generator: torch.Generator) -> dict[str, float]:
    """Return the bits per pixel of grey images (n, 1, 28, 28) by a Gaussian for each pixel, and by PPCA.

    They are densities of the dequantized levels, and bound the bits of the levels from above, on average.
    """
    grey, asked = (dequantize(x.flatten(1), generator=generator).double() for x in (train, test))
    alone = torch.distributions.Normal(grey.mean(0), grey.std(0, correction=0))
    log_p = {"gaussians": alone.log_prob(asked).sum(1)}
    for d in (2, 50, 150):
        log_p[f"ppca_{d}"] = fit_ppca(grey, d).log_prob(asked)
    return {
        name: bits_per_dim(of_images, 784, bin_width=1 / LEVELS).mean().item()
        for name, of_images in log_p.items()
    }
