"""How far are generated examples from real ones? Distances between two clouds of features.

Every function takes feature matrices, (n, d) for the real and (m, d) for the generated examples, one row per
example: tensors on any device, arrays or lists, of any real dtype. All arithmetic is in float64 on the CPU,
and nothing here is random. A distance means little without the two sample counts, what the features are, and
what other real examples score in place of the generated ones. So two clouds that are the same rows, in any
order, are refused.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gm_lib.distributions.estimates import Estimate, as_tensor
from gm_lib.evaluation.refusals import refuse_itself

_ROWS = 500  # of a matrix of all pairs that are in memory at a time


def frechet_distance(real: Tensor | ArrayLike, generated: Tensor | ArrayLike) -> float:
    """Fréchet distance between the Gaussians fitted to two clouds of features. Heusel et al. 2017.

    With means μ and covariances Σ (n - 1 in the denominator) it is

        ‖μ₁ - μ₂‖² + tr Σ₁ + tr Σ₂ - 2 tr (Σ₁Σ₂)^½,

    the square of the Wasserstein-2 distance of the two Gaussians, in squared units of the features. It sees
    nothing of the clouds but mean and covariance, and it is biased: two clouds from one distribution are
    apart, the less the more examples there are.

    Raises ``ValueError`` for matrices that are not (n, d) with one d, values that are not finite, a cloud
    compared with itself, and n ≤ d: a covariance of n examples has the rank n - 1 at most, and below d it is
    a guess about directions in which nothing was seen.
    """
    clouds = feature_matrices(real, generated)
    for name, cloud in zip(("real", "generated"), clouds, strict=True):
        n, d = cloud.shape
        if n <= d:
            raise ValueError(
                f"the Fréchet distance of {d} features needs at least {d + 1} {name} examples, got {n}: "
                f"their covariance would have the rank {max(n - 1, 0)} in place of {d}. Take many more."
            )
    return frechet_of_matrices(*clouds)


def frechet_of_matrices(*clouds: Tensor) -> float:
    """Return :func:`frechet_distance` of two matrices that :func:`feature_matrices` gave, with n > d rows."""
    means = [cloud.mean(0) for cloud in clouds]
    # Σ = RᵀR with the triangular factor R of the centred examples. The eigenvalues of Σ₁Σ₂ are the squared
    # singular values of R₁R₂ᵀ, so the root needs no square, and nothing can turn negative or complex.
    factors = [
        torch.linalg.qr(cloud - mean, mode="r").R / math.sqrt(len(cloud) - 1)
        for cloud, mean in zip(clouds, means, strict=True)
    ]
    cross = torch.linalg.svdvals(factors[0] @ factors[1].T).sum()
    distance = (means[0] - means[1]).square().sum() + sum(r.square().sum() for r in factors) - 2 * cross
    return max(0.0, distance.item())  # equal clouds may differ by rounding


def kernel_distance(real: Tensor | ArrayLike, generated: Tensor | ArrayLike) -> Estimate:
    """Squared maximum mean discrepancy with the kernel (x·y/d + 1)³: the *kernel distance*, unbiased.

    Bińkowski et al. 2018: k̄(x, x') + k̄(y, y') - 2 k̄(x, y), each mean over all pairs of different
    examples. On average it is 0 for two clouds from one distribution, whatever their sizes; a single estimate
    may be negative.

    The mean over random subsets that others report estimates the same number from fewer pairs. Here all pairs
    are used, so there is no subset to choose and nothing random. The standard error is the jackknife's over
    the examples of both clouds; for clouds from one distribution it is too large rather than too small.
    ``n`` of the result is the number of generated examples.

    Raises ``ValueError`` for matrices that are not (n, d) with one d, values that are not finite, a cloud
    compared with itself, and fewer than 3 examples in a cloud.
    """
    x, y = feature_matrices(real, generated)
    for name, cloud in (("real", x), ("generated", y)):
        if len(cloud) < 3:
            raise ValueError(
                f"the kernel distance and its error need at least 3 {name} examples, got {len(cloud)}."
            )
    n, m = len(x), len(y)
    within_x, within_y = (_kernel_sums(cloud, cloud)[0] - _kernel_to_itself(cloud) for cloud in (x, y))
    x_to_y, y_to_x = _kernel_sums(x, y)
    mean_xx, mean_yy = within_x.sum() / (n * (n - 1)), within_y.sum() / (m * (m - 1))
    mean_xy = x_to_y.sum() / (n * m)

    def jackknife(within: Tensor, across: Tensor, own: Tensor, others: int) -> Tensor:
        """Variance of the distance that comes from the cloud with these sums, leaving out one at a time."""
        count = len(within)
        left = (own * count * (count - 1) - 2 * within) / ((count - 1) * (count - 2))
        left = left - 2 * (mean_xy * n * m - across) / ((count - 1) * others)
        return (count - 1) / count * (left - left.mean()).square().sum()

    variance = jackknife(within_x, x_to_y, mean_xx, m) + jackknife(within_y, y_to_x, mean_yy, n)
    return Estimate((mean_xx + mean_yy - 2 * mean_xy).item(), variance.sqrt().item(), m)


class PrecisionRecall(NamedTuple):
    """Two shares in [0, 1], see :func:`precision_recall`."""

    precision: float
    """The share of generated examples that lie where real ones do: fidelity."""
    recall: float
    """The share of real examples that lie where generated ones do: diversity."""


def precision_recall(real: Tensor | ArrayLike, generated: Tensor | ArrayLike, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall. Kynkäänniemi et al. 2019.

    A cloud covers the balls around its examples that reach to the k-th nearest *other* example of the cloud.
    Precision is the share of the generated examples within the real cloud's balls, recall the share of the
    real ones within the generated cloud's. Exact, by all pairs. Other real examples do not score 1 either:
    compare with them, and only clouds of equal size, for a few examples have wide balls.

    Raises ``ValueError`` for matrices that are not (n, d) with one d, values that are not finite, a cloud
    compared with itself, k < 1, and clouds without k other examples.
    """
    x, y, tolerance = _about_the_middle(real, generated)
    _check_neighbours(k, real=x, generated=y)
    reach_x, reach_y = (_squared_reach(cloud, k) + tolerance for cloud in (x, y))
    inside_x = torch.zeros(len(y), dtype=torch.bool, device="cpu")
    inside_y = []
    for rows, reach in zip(x.split(_ROWS), reach_x.split(_ROWS), strict=True):
        distance = _squared_distances(rows, y)
        inside_x |= (distance <= reach[:, None]).any(0)
        inside_y.append((distance <= reach_y).any(1))
    return PrecisionRecall(inside_x.double().mean().item(), torch.cat(inside_y).double().mean().item())


@dataclass(frozen=True)
class DensityCoverage:
    """What :func:`density_coverage` found; prints as a small table.

    ``density``: in how many of the real examples' balls a generated one lies, on average and in units of
    ``k``: fidelity. It is not bounded by 1. ``coverage``: the share in [0, 1] of the real examples with a
    generated one in their ball: diversity. ``coverage_perfect`` is what the coverage is on average for
    ``n_generated`` draws from the distribution of the ``n_real`` examples; the density is then 1 on average.
    """

    density: float
    coverage: float
    coverage_perfect: float
    k: int
    n_real: int
    n_generated: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers by name, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{f'{self.n_generated:,} generated':<24}{'these':>10}{'perfect':>12}",
                f"{'density':<24}{self.density:>10.3f}{1:>12.3f}",
                f"{'coverage':<24}{self.coverage:>10.1%}{self.coverage_perfect:>12.1%}",
                f"beside {self.n_real:,} real examples; balls to the neighbour number {self.k}",
            ]
        )


def density_coverage(real: Tensor | ArrayLike, generated: Tensor | ArrayLike, k: int = 5) -> DensityCoverage:
    """Density and coverage. Naeem et al. 2020.

    Only the real examples have balls, each to its k-th nearest *other* real example. Density is the number of
    pairs of a generated example and a ball that holds it, over k times the number of generated examples;
    coverage is the share of the balls that hold at least one. Precision asks whether a generated example lies
    in any ball: one outlier among the real examples, whose ball is wide, can raise it for all. Density counts
    the balls, and so an outlier's is one of many.

    What a perfect generator scores is known for every continuous distribution. A draw is as
    likely to be the nearest, second, … n-th neighbour of a real example: it lies in its ball with the
    probability k/n, so the density is 1 on average. And a ball is empty if the k nearest of n - 1 real and m
    generated examples are all real: coverage is 1 - ∏ (n - 1 - i) / (n + m - 1 - i) over i < k on average,
    about 1 - 2⁻ᵏ for n = m. No standard error is given: balls overlap, and neither the examples nor their
    balls are independent. Draw again to see the spread; in many dimensions that of the density is wide.

    Raises ``ValueError`` for matrices that are not (n, d) with one d, values that are not finite, a cloud
    compared with itself, k < 1, no generated examples, and fewer than k + 1 real ones.
    """
    x, y, tolerance = _about_the_middle(real, generated)
    _check_neighbours(k, real=x)
    if len(y) == 0:
        raise ValueError("density and coverage need at least 1 generated example, got 0.")
    reach = _squared_reach(x, k) + tolerance
    counts = torch.cat(
        [
            (_squared_distances(rows, y) <= edge[:, None]).sum(1)
            for rows, edge in zip(x.split(_ROWS), reach.split(_ROWS), strict=True)
        ]
    )
    n, m = len(x), len(y)
    return DensityCoverage(
        density=counts.sum().item() / (k * m),
        coverage=(counts > 0).double().mean().item(),
        coverage_perfect=1 - math.prod((n - 1 - i) / (n + m - 1 - i) for i in range(k)),
        k=k,
        n_real=n,
        n_generated=m,
    )


def _about_the_middle(
    real: Tensor | ArrayLike, generated: Tensor | ArrayLike
) -> tuple[Tensor, Tensor, float]:
    """Return both clouds about the real one's middle, and by how much squared distances may be off.

    About the middle, products of rows lose fewer digits. The tolerance is wider than the rounding of features
    in float32: a network may give equal images nearly equal ones.
    """
    x, y = feature_matrices(real, generated)
    x, y = x - x.mean(0), y - x.mean(0)
    squares = torch.cat([x, y]).square().sum(1)
    return x, y, 1e-12 * squares.max().item() if len(squares) else 0.0


def _check_neighbours(k: int, **clouds: Tensor) -> None:
    """Raise ``ValueError`` unless k is at least 1 and every example of these clouds has k neighbours."""
    if k < 1:
        raise ValueError(f"k counts neighbours and must be at least 1, got {k}.")
    for name, cloud in clouds.items():
        if len(cloud) <= k:
            raise ValueError(
                f"the ball of an example reaches to its {k}-th neighbour: at least {k + 1} {name} "
                f"examples are needed, got {len(cloud)}."
            )


def _squared_reach(cloud: Tensor, k: int) -> Tensor:
    """Return the squared distance of each example to its k-th nearest other example: (n,)."""
    # Each example is its own nearest neighbour, at distance 0, hence k + 1.
    nearest = [
        _squared_distances(rows, cloud).topk(k + 1, dim=1, largest=False).values[:, k]
        for rows in cloud.split(_ROWS)
    ]
    return torch.cat(nearest)


def _squared_distances(rows: Tensor, cloud: Tensor) -> Tensor:
    return torch.addmm(cloud.square().sum(1), rows, cloud.T, alpha=-2) + rows.square().sum(1, keepdim=True)


def _kernel_to_itself(x: Tensor) -> Tensor:
    return (x.square().sum(1) / x.shape[1] + 1) ** 3


def _kernel_sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sum (x·y/d + 1)³ over all y for each x, (n,), and over all x for each y, (m,)."""
    over_y, over_x = [], torch.zeros_like(y[:, 0])
    for rows in x.split(_ROWS):
        root = torch.addmm(rows.new_ones(()), rows, y.T, alpha=1 / x.shape[1])
        kernel = (root * root).mul_(root)
        over_y.append(kernel.sum(1))
        over_x += kernel.sum(0)
    return torch.cat(over_y), over_x


def feature_matrices(real: Tensor | ArrayLike, generated: Tensor | ArrayLike) -> tuple[Tensor, Tensor]:
    """Return both as float64 on the CPU, having seen that they are finite matrices with the same columns."""
    real, generated = as_tensor(real), as_tensor(generated)
    for name, cloud in (("real", real), ("generated", generated)):
        if cloud.ndim != 2 or cloud.shape[1] == 0:
            raise ValueError(
                f"the {name} features must have the shape (n, d), one row per example, got "
                f"{tuple(cloud.shape)}: flatten images, or take the features of a classifier."
            )
        if not cloud.isfinite().all():
            raise ValueError(f"the {name} features hold NaN or infinite values.")
    if real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"real examples have {real.shape[1]} features and generated ones {generated.shape[1]}: take both "
            "from the same classifier."
        )
    refuse_itself("real examples", real, "generated ones", generated)
    return real.cpu().double(), generated.cpu().double()
