"""Can a classifier tell generated examples from real ones? A test whose power is stated."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from scipy.stats import beta, binom
from torch import Tensor

from gm_lib.distributions.estimates import Estimate
from gm_lib.evaluation.distances import feature_matrices
from gm_lib.evaluation.learner import small_network

LEVEL = 0.05  # a p-value below it counts as a difference found
POWER = 0.8  # the probability with which a difference of the size stated is found
HIDDEN = 20  # units of the network, as in the paper
FEWEST = 20  # examples on each side: with fewer, only accuracies above 80 % could be found


@dataclass(frozen=True)
class TwoSampleTest:
    """What :func:`two_sample_test` found; prints as a small table.

    ``accuracy``: the share of the test examples, half of them real and half generated, that the classifier
    names rightly, with its ``standard_error``; 1/2 is chance. ``p_value``: how often chance reaches as much.
    ``critical``: the least accuracy whose p-value is at most 5 %. ``detectable``: the smallest true accuracy
    of the classifier that lies above ``critical`` in 80 % of such tests. A difference that gives it less may
    well be there and not be found. ``n_train`` and ``n_test`` count real and generated examples together.
    """

    accuracy: float
    standard_error: float
    p_value: float
    critical: float
    detectable: float
    n_train: int
    n_test: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers by name, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        found = Estimate(100 * self.accuracy, 100 * self.standard_error, self.n_test)
        rows = [
            ("accuracy", f"{found} %"),
            ("  by chance", "50 %"),
            ("  p-value", f"{self.p_value:.3g}"),
            (f"  called different from (p ≤ {LEVEL:g})", f"{100 * self.critical:.1f} %"),
            (f"  found in {POWER:.0%} of tests from", f"{100 * self.detectable:.1f} %"),
        ]
        lines = [f"{name:<34}{value:>16}" for name, value in rows]
        lines.append(f"trained on {self.n_train:,} examples and tested on {self.n_test:,}, half of each real")
        return "\n".join(lines)


def two_sample_test(
    real: Tensor | ArrayLike, generated: Tensor | ArrayLike, *, seed: int = 0
) -> TwoSampleTest:
    """Test whether a classifier can tell generated examples from real ones. Lopez-Paz and Oquab 2017.

    ``real`` (n, d) and ``generated`` (m, d): features, one row per example. Of each, min(n, m) are taken at
    random; on one half of them the classifier learns which are which, and on the other half it is tested. If
    both come from one distribution, each answer is right with probability 1/2 whatever it has learned. So the
    number of right answers is compared with Binomial(n_test, 1/2): the p-value is its upper tail, which is
    exact, or too large if the classifier says *real* more often than *generated*.

    The classifier is a network with one hidden layer of 20 ReLU units, after Lopez-Paz and Oquab, on features
    brought to mean 0 and variance 1 by the training half. A logistic regression would be faster and, with few
    examples, steadier, but it sees nothing but a shift of the mean: it takes noise around the same mean, or a
    missing mode between two others, for the data. What the network has not learned from this many examples it
    does not find either; ``detectable`` speaks of *its* true accuracy, not of the best classifier's.

    The examples must be independent: real ones that the generator learned from belong to its samples. Half of
    the examples, the order and the network's start come from ``seed``, with generators of their own.

    Raises ``ValueError`` for matrices that are not (n, d) with one d, values that are not finite, a cloud
    compared with itself, and fewer than 20 examples on either side.
    """
    clouds = feature_matrices(real, generated)
    for name, cloud in zip(("real", "generated"), clouds, strict=True):
        if len(cloud) < FEWEST:
            raise ValueError(
                f"the two-sample test needs at least {FEWEST} {name} examples, got {len(cloud)}: with fewer "
                f"it would find only accuracies above {detectable_accuracy(FEWEST):.0%}. Take many more."
            )
    generator = torch.Generator("cpu").manual_seed(seed)
    half = min(map(len, clouds)) // 2
    train, test = [], []
    for cloud in clouds:
        order = torch.randperm(len(cloud), generator=generator, device="cpu")
        train.append(cloud[order[:half]])
        test.append(cloud[order[half : 2 * half]])
    is_real = torch.tensor([1, 0], device="cpu").repeat_interleave(half)
    known, unknown = torch.cat(train), torch.cat(test)
    middle, scale = known.mean(0), known.std(0)
    scale[scale == 0] = 1.0  # a constant feature says nothing, and becomes 0
    network = small_network(
        (known - middle) / scale, is_real, hidden=HIDDEN, batch_size=200, passes=100, seed=seed
    )
    right = int((network((unknown - middle) / scale) == is_real).sum())
    n = 2 * half
    accuracy = right / n
    return TwoSampleTest(
        accuracy=accuracy,
        standard_error=math.sqrt(accuracy * (1 - accuracy) / (n - 1)),
        p_value=float(binom.sf(right - 1, n, 0.5)),
        critical=_critical(n) / n,
        detectable=detectable_accuracy(n),
        n_train=n,
        n_test=n,
    )


def detectable_accuracy(n_test: int) -> float:
    """Return the smallest true accuracy that ``n_test`` answers find with a probability of 80 %.

    Found means that the p-value against 1/2 is at most 5 %. With c right answers needed for that, it is the p
    at which P(Binomial(n_test, p) ≥ c) = 0.8; this probability is the distribution function of a beta law.
    About 1/2 + 1.24 / √n_test. Raises ``ValueError`` for fewer than 5, which can find nothing.
    """
    if n_test < 5:
        raise ValueError(f"{n_test} answers can find nothing at a level of {LEVEL:g}: give at least 5.")
    c = _critical(n_test)
    return float(beta.ppf(POWER, c, n_test - c + 1))


def _critical(n: int) -> int:
    """Return the smallest number of right answers, of n, whose p-value is at most LEVEL."""
    return int(binom.isf(LEVEL, n, 0.5)) + 1
