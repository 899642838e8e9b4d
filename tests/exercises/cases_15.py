"""Answers to the exercises of chapter 15: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import scipy.linalg
import torch
from scipy.optimize import brentq
from scipy.stats import binom, norm

from gm_lib.evaluation import frechet_distance

RIGHT = {}
WRONG = {}
REFUSED = {}


# 15.1: one outlier ---------------------------------------------------------------------------------------


def ran(**changes):
    return lambda: {"none": 0.0, "one": 1.0, "four": 0.005} | changes


RIGHT["15.1"] = [
    ({"none": 0.05, "one": 0.95, "four": 0.0}, ran()),
    ([0, 1, torch.tensor(0.0)], ran()),
]
WRONG["15.1"] = [
    ({"none": 0.0, "one": 0.0, "four": 0.0}, ran()),
    ({"none": 0.0, "one": 1.0, "four": 1.0}, ran()),
    ({"none": 1.0, "one": 0.0, "four": 1.0}, ran()),
    ({"none": 0, "one": 100, "four": 0}, ran()),
    ({"none": 0.0, "one": 1.0}, ran()),
    (ran(), {"none": 0.0, "one": 1.0, "four": 0.0}),
    ({"none": 0.0, "one": 1.0, "four": 0.0}, ran(one=0.5)),
    ({"none": 0.0, "one": 1.0, "four": 0.0}, lambda: 1.0),
    ({"none": 0.0, "one": "much", "four": 0.0}, ran()),
]
WRONG["15.1"] = [
    (answer, piece)
    for answer, piece in zip(
        WRONG["15.1"],
        [
            "its ball is so wide",
            "one alone that did the harm",
            "(3 of three are not right yet.)",
            "a number from 0 to 1",
            'keys "none", "one" and "four"',
            "wants both in this order",
            'gives 0.50 for "one"',
            "does not return its three numbers",
            "should be a number",
        ],
        strict=True,
    )
]


# 15.2: a measure of repetition ---------------------------------------------------------------------------


def apart(x):
    flat = x.flatten(1)
    return torch.cdist(flat, flat)


def nearest(x):
    return apart(x).fill_diagonal_(math.inf).amin(1)


def beside_the_second(x):
    """How many lie much nearer to their first neighbour than to their second, or to two at once."""
    near = apart(x).fill_diagonal_(math.inf).topk(6, largest=False).values
    return (near[:, 0] / near[:, 5] < 0.25).sum()


def smallest_pair(x):
    gaps = apart(x)
    return nearest(x).min() / gaps.median()


def clusters(x):
    """Minus the number of groups that are left when twins are joined."""
    gaps = np.asarray(apart(x))
    return -len(np.unique((gaps < 0.1 * np.median(gaps)).argmax(1)))


RIGHT["15.2"] = [beside_the_second, smallest_pair, clusters]
WRONG["15.2"] = [
    (lambda x: nearest(x).mean(), "a false alarm"),
    (lambda x: apart(x).mean(), "does not see the library"),
    (lambda x: apart(x).amin(1).mean() + 1e-3, "compared with itself"),
    (lambda x: x.std().item(), "does not see the library"),
    (lambda x: len(torch.unique(x, dim=0)), "Or are only exact repetitions counted?"),
    (lambda x: (apart(x) < 1e-3).float().mean().item(), "compared with itself"),
    (lambda x: (apart(x).amin(1) < 1).float().mean().item(), "for every set of images"),
    (lambda x: (nearest(x) < 1.5).float().mean().item(), "a false alarm"),
    *[
        (lambda x, limit=limit: (nearest(x) < limit).float().mean().item(), "a fixed limit?")
        for limit in (0.3, 0.6, 1.0)
    ],
    (lambda x: ((x[:, None] - x).flatten(2).abs().mean(2) < 0.02).float().mean().item(), "a fixed limit?"),
    (lambda x: (nearest(x) < 0.35 * apart(x).median()).float().mean().item(), "does not see the library"),
    (lambda x: nearest(x).mean() / apart(x).median(), "count only such pairs"),
    (nearest, "should be a number"),
    (lambda x: math.nan, "not a finite number"),
    (lambda x: x.mul_(0.5).sum().item(), "in place"),
]


# 15.3: the expected distance -----------------------------------------------------------------------------


def written_out(sigma, n, m):
    """E of each square and of the product, with the exact bias of a standard deviation."""

    def c(k):
        return math.sqrt(2 / (k - 1)) * math.exp(math.lgamma(k / 2) - math.lgamma((k - 1) / 2))

    return 1 / n + sigma**2 / m + 1 + sigma**2 - 2 * sigma * c(n) * c(m)


def to_second_order(sigma, n, m):
    return 1 / n + sigma**2 / m + 1 + sigma**2 - 2 * sigma * (1 - 1 / (4 * n)) * (1 - 1 / (4 * m))


def by_search(n):
    sigmas = np.linspace(0.8, 1.1, 30_001)
    return sigmas[np.argmin(written_out(sigmas, n, n))]


def right_distance(sigma, n, m):
    return (1 - sigma) ** 2 + (1 / n + 1 / m) * sigma / 2 + 1 / n + sigma**2 / m


def right_best(n):
    return 1 / (1 + 3 / (2 * n))


def with_distance(changed):
    return lambda sigma, n, m: right_distance(sigma, n, m) + changed(sigma, n, m), right_best


RIGHT["15.3"] = [
    (written_out, by_search),
    (written_out, lambda n: (grid := np.linspace(0.01, 2, 20_001))[np.argmin(written_out(grid, n, n))]),
    (to_second_order, lambda n: 1 - 3 / (2 * n)),
    (right_distance, lambda n: torch.tensor(right_best(n))),
]
WRONG["15.3"] = [
    (with_distance(lambda s, n, m: -1 / n - s**2 / m - s / 2 * (1 / n + 1 / m)), "of the two distributions"),
    (with_distance(lambda s, n, m: -s / 2 * (1 / n + 1 / m)), "their bias enters"),
    (with_distance(lambda s, n, m: -s * (1 / n + 1 / m)), "with the wrong sign"),
    (
        with_distance(lambda s, n, m: 1 / (2 * n) + s**2 / (2 * m) - s / 2 * (1 / n + 1 / m)),
        "its bias left out",
    ),
    (with_distance(lambda s, n, m: -s / 4 * (1 / n + 1 / m)), "enters twice as much"),
    ((lambda s, n, m: right_distance(s, m, n), right_best), "n and m are exchanged"),
    (with_distance(lambda s, n, m: -(s**2) / m - s / 2 / m), "errors of the real cloud"),
    (with_distance(lambda s, n, m: -1 / n - s / 2 / n), "errors of the model's cloud"),
    (with_distance(lambda s, n, m: (s - s**2) / m), "the variance σ²/m"),
    (with_distance(lambda s, n, m: -s / 2 / n), "bias of the real cloud's standard deviation"),
    (with_distance(lambda s, n, m: -s / 2 / m), "bias of the model's standard deviation"),
    (
        (
            lambda s, n, m: 1 / n + s**2 / m + ((1 - 1 / (4 * n)) - s * (1 - 1 / (4 * m))) ** 2,
            right_best,
        ),
        "the square of E σ̂₁ - E σ̂₂",
    ),
    (with_distance(lambda s, n, m: -1 / n), "the mean of the real draws is random"),
    (with_distance(lambda s, n, m: -(s**2) / m), "the mean of the model's draws is random"),
    ((lambda s, n, m: right_distance(s, n, n), right_best), "the model's cloud has m draws"),
    (with_distance(lambda s, n, m: 0.1), "expected_distance should be"),
    (with_distance(lambda s, n, m: 0.01 * torch.randn(()).item()), "another number at each call"),
    ((right_distance, lambda n: 1.0), "1 is the true one"),
    ((right_distance, lambda n: 1 - 1 / (2 * n)), "The means count, too"),
    ((right_distance, lambda n: n / (n + 1)), "only the means are in it"),
    ((right_distance, lambda n: 1 + 3 / (2 * n)), "on the other side"),
    ((right_distance, lambda n: 1 - 3 / n), "it is smallest at a σ of"),
    (right_distance, "wants both functions"),
]


# 15.4: three ways that are wrong -------------------------------------------------------------------------


def from_images(network, real, generated):
    return frechet_distance(network(real), network(generated))


def stretched(x, dims=(1, 2, 3)):
    low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    return (x - low) / (high - low)


def given_images(network, real, generated):
    return from_images(network, real, stretched(generated))


def by_scipy(mu_1, cov_1, mu_2, cov_2):
    middle = np.trace(scipy.linalg.sqrtm(np.asarray(cov_1) @ np.asarray(cov_2)).real)
    return float(((mu_1 - mu_2) ** 2).sum() + cov_1.trace() + cov_2.trace() - 2 * middle)


def with_cross(cross):
    def way(mu_1, cov_1, mu_2, cov_2):
        return (mu_1 - mu_2).square().sum() + (cov_1 + cov_2).trace() - 2 * cross(cov_1, cov_2)

    return way


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


given_gaussians = with_cross(lambda a, b: torch.linalg.eigvalsh(a @ b).clamp_min(0).sqrt().sum())
symmetric = with_cross(lambda a, b: root(root(a) @ b @ root(a)).trace())


def with_cov(cov):
    return lambda real, generated: symmetric(real.mean(0), cov(real), generated.mean(0), cov(generated))


given_features = with_cov(torch.cov)


def by_numpy(x):
    return torch.from_numpy(np.cov(np.asarray(x), rowvar=False))


def half_mended(real, generated):
    return symmetric(real.mean(0), torch.cov(real.T), generated.mean(0), torch.cov(generated))


fine = with_cov(lambda x: torch.cov(x.T))

RIGHT["15.4"] = [
    (from_images, frechet_distance, by_scipy),
    (
        lambda network, real, generated: fine(network(real).double(), network(generated).double()),
        with_cov(by_numpy),
        symmetric,
    ),
    (
        from_images,
        fine,
        with_cross(lambda a, b: torch.linalg.eigvals(b @ a).sqrt().real.sum()),
    ),
]
WRONG["15.4"] = [
    ((given_images, fine, symmetric), "from_images gives what it gave before"),
    ((from_images, given_features, symmetric), "from_features gives what it gave before"),
    ((from_images, fine, given_gaussians), "from_gaussians gives what it gave before"),
    ((given_images, given_features, symmetric), "from_gaussians is right. from_images gives"),
    (
        (lambda n, r, g: from_images(n, r, stretched(g, (0, 1, 2, 3))), fine, symmetric),
        "all generated images together",
    ),
    ((lambda n, r, g: from_images(n, stretched(r), stretched(g)), fine, symmetric), "stretched as well"),
    ((lambda n, r, g: from_images(n, stretched(r), g), fine, symmetric), "in place of the generated"),
    ((lambda n, r, g: from_images(n, r, g.clamp(0.1, 0.9)), fine, symmetric), "cut off"),
    ((from_images, half_mended, symmetric), "your code stopped with"),
    ((from_images, with_cov(lambda x: x.T @ x / len(x)), symmetric), "the means are not subtracted"),
    ((from_images, with_cov(lambda x: torch.cov(x.T, correction=0)), symmetric), "but for the divisor"),
    ((from_images, with_cov(lambda x: x.var(0).diag()), symmetric), "taken for uncorrelated"),
    ((from_images, with_cov(lambda x: torch.corrcoef(x.T)), symmetric), "gives correlations"),
    ((from_images, lambda r, g: fine(r, g) + 1, symmetric), "from_features: it should be"),
    (
        (from_images, fine, with_cross(lambda a, b: (a @ b).clamp_min(0).sqrt().trace())),
        "element by element",
    ),
    ((from_images, fine, with_cross(lambda a, b: (root(a) @ root(b)).trace())), "do not commute"),
    (
        (
            from_images,
            fine,
            with_cross(lambda a, b: torch.linalg.eigvalsh((a @ b + b @ a) / 2).clamp_min(0).sqrt().sum()),
        ),
        "made symmetric now",
    ),
    (
        (from_images, fine, with_cross(lambda a, b: torch.linalg.svdvals(a @ b).sqrt().sum())),
        "singular values",
    ),
    (
        (from_images, fine, with_cross(lambda a, b: torch.linalg.eigvals(a @ b).clamp_min(0).sqrt().sum())),
        "these numbers are complex now",
    ),
    (
        (from_images, fine, with_cross(lambda a, b: torch.linalg.eigvals(a @ b).sqrt().sum())),
        "these numbers are complex now",
    ),
    ((from_images, fine, with_cross(lambda a, b: root(a @ b).trace())), "and eigh in root"),
    ((from_images, fine), "wants the three functions"),
    (from_images, "wants the three functions"),
    ((from_images, lambda r, g: None, symmetric), "the result is None"),
]


# 15.5: how many judgements ---------------------------------------------------------------------------


def needed(above=1.645, power=0.842, guessing=lambda p: 0.5, telling=lambda p: math.sqrt(p * (1 - p))):
    return lambda p: ((above * guessing(p) + power * telling(p)) / (p - 0.5)) ** 2


def counted(p):
    """The first n whose power is 80 %, by the binomial distribution."""
    n = 5
    while binom.sf(binom.isf(0.05, n, 0.5), n, float(p)) < 0.8:
        n += 1
    return n


def counted_for_good(p):
    """The first n from which on the power is 80 %."""
    return max(n for n in range(5, 1000) if binom.sf(binom.isf(0.05, n, 0.5), n, float(p)) < 0.8) + 1


def by_solving(p):
    """The n at which the two limits meet."""
    p = float(p)

    def gap(n):
        return norm.isf(0.05, 0.5, 0.5 / n**0.5) - norm.isf(0.8, p, (p * (1 - p) / n) ** 0.5)

    return brentq(gap, 1, 1e5)


RIGHT["15.5"] = [
    needed(),
    lambda p: math.ceil(needed()(p)),
    lambda p: torch.tensor(needed()(p)),
    counted,
    counted_for_good,
    by_solving,
    needed(telling=lambda p: 0.5),  # as good an approximation
]
WRONG["15.5"] = [
    (needed(power=0), "a power of only one half"),
    (needed(above=1.96), "a test in both directions"),
    (lambda p: math.ceil(needed(above=1.96)(p)), "a test in both directions"),
    (needed(guessing=lambda p: math.sqrt(p * (1 - p))), "the limit is set by guessers"),
    (
        needed(guessing=lambda p: math.sqrt(p * (1 - p)), telling=lambda p: 0.5),
        "the two standard deviations are exchanged",
    ),
    (lambda p: needed()(p) ** 0.5, "Is a square missing"),
    (needed(power=-0.842), "add up to p - 1/2"),
    (needed(guessing=lambda p: 0.25, telling=lambda p: p * (1 - p)), "those in variances"),
    (lambda p: needed()(p) * ((p - 0.5) / p) ** 2, "not by p"),
    (needed(power=0, guessing=lambda p: math.sqrt(p * (1 - p))), "two things are missing"),
    (lambda p: needed(power=0)(p) + needed(above=0)(p), "you add the squares"),
    (needed(guessing=lambda p: 1, telling=lambda p: 1), "not 1/√n"),
    (needed(above=0), "the limit is missing"),
    (needed(above=0.05, power=0.8), "which are probabilities"),
    (lambda p: needed()(p / 100), "reads it in per cent"),
    (lambda p: 158, "at p = 0.55 yours is 158, too few: with so many judgements the power is 34%"),
    (lambda p: 10 * needed()(p), "at p = 0.6 yours is 1525, too many"),
    (lambda p: 0.1, "too few: with so many judgements the power is 0%"),
    (lambda p: -needed()(p), "how many judgements is that"),
    (lambda p: None, "is None"),
    (158, "a function is needed"),
]


# 15.6: which measure ---------------------------------------------------------------------------------

QUESTIONS = ("patients", "rare disease", "compression", "left out", "game", "two counts")
MEASURES = (
    "copy test",
    "classifier trained on samples",
    "held-out likelihood",
    "coverage",
    "people",
    "kernel distance",
)


def measures(**changes):
    words = dict(zip(QUESTIONS, MEASURES, strict=True))
    return words | {key.replace("_", " "): value for key, value in changes.items()}


RIGHT["15.6"] = [
    list(MEASURES),
    measures(game="People", patients=" copy  test"),
    measures(two_counts="kernel_distance"),
]
WRONG["15.6"] = [
    (measures(patients="people"), "take a copy for a real image"),
    (measures(patients="Fréchet distance"), "nearly the smallest Fréchet distance"),
    (measures(patients="precision"), "precision rewards it"),
    (measures(patients="held-out likelihood"), "accuses nobody"),
    (measures(patients="coverage"), "near to training images"),
    (measures(rare_disease="Fréchet distance"), "few images of the rare class"),
    (measures(rare_disease="people"), "enough variety to learn from"),
    (measures(rare_disease="coverage"), "the class that was asked for"),
    (measures(compression="Fréchet distance"), "nothing of the probability"),
    (measures(compression="people"), "do not make short codes"),
    (measures(left_out="precision"), "the images that are there are good"),
    (measures(left_out="people"), "no single image tells"),
    (measures(left_out="Fréchet distance"), "does not say which"),
    (measures(left_out="frechet  distance"), "does not say which"),
    (measures(left_out="kernel distance"), "does not say which"),
    (measures(left_out="held-out likelihood"), "if the model has one"),
    (measures(game="precision"), "not by our eyes"),
    (measures(game="Fréchet distance"), "there are players to ask"),
    (measures(two_counts="Fréchet distance"), "would seem the worse"),
    (measures(two_counts="precision"), "one side only"),
    (measures(two_counts="coverage"), "would seem the better"),
    (measures(game="precision", patients="people"), "(2 of six are not right yet.)"),
    (measures(game="the Inception score"), "is none of the names"),
    (measures(game=None), 'an answer for "game" is missing'),
    ({"game": "people"}, 'an answer for "patients" is missing'),
    ("people", "a dictionary with the keys"),
]
