"""The Fréchet distance that infinitely many examples would have, from its bias in their number."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gm_lib.distributions.estimates import Estimate
from gm_lib.evaluation.distances import feature_matrices, frechet_of_matrices

PARTS = (1, 2, 3, 4)  # into how many parts the clouds are cut
GROUPS = 20  # left out one after the other for the standard error
FEWEST = 5  # examples for each feature in the smallest part: with fewer the bias is no line in 1/n
_PERIOD = math.lcm(*PARTS)  # so many examples in a row fall equally on the parts of each kind


@dataclass(frozen=True)
class FrechetAtInfinity:
    """What :func:`frechet_distance_at_infinity` found; prints as a small table.

    ``at_infinity``: where the line through the distances meets 1/n = 0, with its ``standard_error``. It may
    be negative. ``distance`` is the plain one, of all ``n_real`` and ``n_generated`` examples. ``distances``:
    the mean distance of the parts, for each number of ``parts`` that both clouds were cut into; ``slope``:
    what the line adds to ``at_infinity`` for each of them, so the bias of the plain distance.
    """

    at_infinity: float
    standard_error: float
    distance: float
    slope: float
    parts: tuple[int, ...]
    distances: tuple[float, ...]
    n_real: int
    n_generated: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers by name, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        found = Estimate(self.at_infinity, self.standard_error, self.n_generated)
        lines = [f"{'real':>10}{'generated':>12}{'Fréchet distance':>20}"]
        lines += [
            f"{self.n_real // part:>10,}{self.n_generated // part:>12,}{distance:>20.4g}"
            for part, distance in zip(self.parts, self.distances, strict=True)
        ]
        lines.append(f"{'∞':>10}{'∞':>12}{found!s:>20}")
        return "\n".join(lines)


def frechet_distance_at_infinity(
    real: Tensor | ArrayLike, generated: Tensor | ArrayLike, *, seed: int = 0
) -> FrechetAtInfinity:
    """Extrapolate the Fréchet distance to infinitely many examples. Chong and Forsyth 2020.

    The bias of :func:`frechet_distance` is about linear in 1/n, with a slope that depends on the
    distributions: of two generators the worse may have the smaller distance, at equal n. Here a straight line
    goes by least squares through the distances at four n, and what it says at 1/n = 0 is the result, unbiased
    up to terms in 1/n².

    Both sides shrink together: for q = 1, 2, 3, 4 the real examples (n, d) and the generated ones (m, d) are
    cut at random into q parts, and the mean is taken of the distances of the q pairs of parts. So what is
    extrapolated is the distance of the two *distributions*. Chong and Forsyth leave the real side whole,
    which takes the real examples for the distribution itself and keeps their part of the bias. They also
    draw the generator's z from a Sobol sequence, which steadies the line; here the examples are given.
    Different numbers on both sides are no obstacle, since both are divided by q.

    The standard error is the jackknife's: twentieths of both clouds are left out, one after the other, and
    the whole is done again. It knows of the spread of the examples, not of what the cuts add, which
    another ``seed`` shows. The bias is taken away and the spread grows: where it is larger than the bias
    was, the plain distance may be nearer.

    Raises ``ValueError`` for matrices that are not (n, d) with one d, values that are not finite, a cloud
    compared with itself, and fewer than 20 d examples in a cloud, or fewer than 480: a quarter of them must
    be 5 d, or the bias is no line in 1/n, and a twentieth must fill all parts.
    """
    clouds = feature_matrices(real, generated)
    needed = max(max(PARTS) * FEWEST * clouds[0].shape[1], 2 * GROUPS * _PERIOD)
    for name, cloud in zip(("real", "generated"), clouds, strict=True):
        if len(cloud) < needed:
            raise ValueError(
                f"to extrapolate the Fréchet distance of {cloud.shape[1]} features takes at least {needed} "
                f"{name} examples, got {len(cloud)}: of fewer, cut into {max(PARTS)} parts, the bias is no "
                "straight line in 1/n. Take more, or fewer features."
            )
    generator = torch.Generator("cpu").manual_seed(seed)
    x, y = (cloud[torch.randperm(len(cloud), generator=generator, device="cpu")] for cloud in clouds)
    distances = _mean_distances(x, y, None)
    without = torch.stack([_line(_mean_distances(x, y, group))[0] for group in range(GROUPS)])
    variance = (GROUPS - 1) / GROUPS * (without - without.mean()).square().sum()
    intercept, slope = _line(distances)
    return FrechetAtInfinity(
        at_infinity=intercept.item(),
        standard_error=variance.sqrt().item(),
        distance=distances[0].item(),
        slope=slope.item(),
        parts=PARTS,
        distances=tuple(distances.tolist()),
        n_real=len(x),
        n_generated=len(y),
    )


def _mean_distances(x: Tensor, y: Tensor, left_out: int | None) -> Tensor:
    """Return, for each q of PARTS, the mean distance of q pairs of parts of both clouds, without one group.

    An example's place decides on its part and its group, so that the parts stay as they are without it.
    """
    found = []
    for q in PARTS:
        pairs = [[_part(cloud, q, i, left_out) for cloud in (x, y)] for i in range(q)]
        found.append(sum(frechet_of_matrices(*pair) for pair in pairs) / q)
    return torch.tensor(found, dtype=torch.float64, device="cpu")


def _part(cloud: Tensor, q: int, i: int, left_out: int | None) -> Tensor:
    place = torch.arange(len(cloud), device="cpu")
    kept = place % q == i
    if left_out is not None:
        kept &= place // _PERIOD % GROUPS != left_out
    return cloud[kept]


def _line(distances: Tensor) -> tuple[Tensor, Tensor]:
    """Return intercept and slope of the line by least squares through the distances at q = PARTS."""
    q = torch.tensor(PARTS, dtype=torch.float64, device="cpu")
    slope = ((q - q.mean()) * distances).sum() / (q - q.mean()).square().sum()
    return distances.mean() - slope * q.mean(), slope
