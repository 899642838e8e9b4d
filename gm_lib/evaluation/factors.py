"""Do samples of shapes have a cause that exists, all causes in their proportions, and each factor by itself?

For images whose factors are known: ``gm_lib.data.shapes``. Beside each number stands what real images score.
"""

import itertools
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gm_lib.data.shapes import FACTORS, read_factors
from gm_lib.evaluation.coverage import expected_histogram_kl, histogram_kl

# Levels of 255, root mean square. Two renderings are at least 5.2 apart: an image nearer to one than half of
# that is near to no other. Grain alone makes 1.
VALID = 2.5


@dataclass(frozen=True)
class FactorReport:
    """What :func:`factor_report` found; prints as a small table.

    ``distance``: the median over the samples of the distance to the nearest rendering, in levels of 255, by
    root mean square. ``valid``: the share of samples nearer than ``VALID``, with its standard error; only
    these are asked for more. ``covered``: how many of the ``values`` of all factors occur among them.
    ``uneven``: KL(histogram ‖ equal shares), the sum over the factors. ``dependence``: the mutual information
    of two factors, the sum over all pairs. Both are in bits, and the ``_floor`` of each is what as many
    independent draws have on average; nan without valid samples. ``known``: the share of the valid whose six
    factors stood together in a training image.
    """

    distance: float
    valid: float
    valid_error: float
    covered: int
    values: int
    uneven: float
    uneven_floor: float
    dependence: float
    dependence_floor: float
    known: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers by name, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [
            (f"{self.n:,} samples", "these", "by chance"),
            ("distance to a rendering, levels", f"{self.distance:.1f}", ""),
            (f"valid: nearer than {VALID:g}", f"{self.valid:.1%} ± {self.valid_error:.1%}", ""),
            (f"values of factors, of {self.values}", f"{self.covered}", ""),
            ("uneven shares, bits", f"{self.uneven:.3f}", f"{self.uneven_floor:.3f}"),
            ("dependence of factors, bits", f"{self.dependence:.3f}", f"{self.dependence_floor:.3f}"),
            ("factors known from training", f"{self.known:.1%}", ""),
        ]
        return "\n".join(f"{name:<32}{ours:>16}{chance:>12}".rstrip() for name, ours, chance in rows)


def factor_report(samples: Tensor, training: Tensor | None = None) -> FactorReport:
    """Read the factors of samples (n, 3, 32, 32) in [0, 1] of shapes, and count.

    ``training``: factors (m, 6) of the training images, to see which combinations are new.

    The floors are exact for n independent draws with equal shares: :func:`expected_histogram_kl`.

    Raises what ``gm_lib.data.shapes.read_factors`` does.
    """
    found = read_factors(samples)
    levels = 255 * found.distance
    good = levels < VALID
    factors, share = found.factors[good], good.double().mean().item()
    sizes = list(FACTORS.values())
    single = [_uneven(column, k) for column, k in zip(factors.T, sizes, strict=True)]
    # I(a; b) = KL(joint) - KL(a) - KL(b), each beside equal shares.
    pairs = [
        (_uneven(factors[:, i] * sizes[j] + factors[:, j], sizes[i] * sizes[j]), single[i], single[j])
        for i, j in itertools.combinations(range(len(sizes)), 2)
    ]
    uneven, dependence = (
        [sum(values) for values in zip(*terms, strict=True)]
        for terms in (single, [[j - a - b for j, a, b in zip(*three, strict=True)] for three in pairs])
    )
    return FactorReport(
        distance=levels.median().item(),
        valid=share,
        valid_error=math.sqrt(share * (1 - share) / max(len(samples) - 1, 1)),
        covered=sum(len(column.unique()) for column in factors.T),
        values=sum(sizes),
        uneven=uneven[0],
        uneven_floor=uneven[1],
        dependence=dependence[0],
        dependence_floor=dependence[1],
        known=math.nan if training is None else _among(factors, training),
        n=len(samples),
    )


def _uneven(values: Tensor, k: int) -> tuple[float, float]:
    """Return KL(histogram of values 0 to k - 1 ‖ equal shares) in bits, and its floor; nan of no values."""
    if len(values) == 0:
        return math.nan, math.nan
    p = torch.full((k,), 1 / k, dtype=torch.float64, device="cpu")
    found, floor = histogram_kl(values.bincount(minlength=k), p), expected_histogram_kl(len(values), p)
    return found / math.log(2), floor / math.log(2)


def _among(factors: Tensor, training: Tensor) -> float:
    """Return the share of the rows of ``factors`` that are rows of ``training``, nan of none."""
    known = set(map(tuple, training.tolist()))
    return (
        sum(row in known for row in map(tuple, factors.tolist())) / len(factors) if len(factors) else math.nan
    )
