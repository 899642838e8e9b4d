"""Checks of chapter 15, judging a generative model."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import binom
from torch import Tensor, nn

from gm_lib.data import images
from gm_lib.evaluation import frechet_distance
from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    call,
    choices,
    exercise,
    expect,
    is_close,
    number,
    predicted,
)

# 15.1

_OUTLIERS = ("none", "one", "four")
_PRECISION = {"none": 0.0, "one": 1.0, "four": 0.0}
_WHY = {
    "none": "no real example lies near (6, 0), and the balls of those around (0, 0) are small.",
    "one": "the third nearest neighbour of the one at (12, 0) is nearly as far away as (0, 0): its ball is "
    "so wide that it holds all samples.",
    "four": "each of the four has the other three for neighbours, so that their balls are small. It was one "
    "alone that did the harm.",
}


def _shares(given: Any) -> dict[str, float]:
    if isinstance(given, list | tuple) and len(given) == len(_OUTLIERS):
        given = dict(zip(_OUTLIERS, given, strict=True))
    if not isinstance(given, Mapping) or set(given) != set(_OUTLIERS):
        raise Wrong('the prediction is a dictionary with the keys "none", "one" and "four".')
    shares = {key: number(given[key], f'the precision for "{key}"') for key in _OUTLIERS}
    for key, share in shares.items():
        expect(
            0 <= share <= 1,
            f'{share:g} for "{key}": a precision is a share, a number from 0 to 1.',
        )
    return shares


@exercise(
    "15.1",
    "What one outlier does",
    hints=(
        "Draw the ball of the example at (12, 0). How far away is its third nearest neighbour?",
        "With one outlier: its neighbours are all near (0, 0). Does a ball as wide as that reach (6, 0)?",
        "With four outliers close together, the third nearest neighbour of each is another outlier.",
    ),
)
def _one_outlier(answer: Any) -> str:
    prediction, outcome = predicted("15.1", answer, _shares)
    if not isinstance(outcome, Mapping) or set(outcome) != set(_OUTLIERS):
        raise Wrong("the experiment does not return its three numbers: was it changed?")
    found = {key: number(outcome[key], f'the precision for "{key}"') for key in _OUTLIERS}
    for key, right in _PRECISION.items():
        expect(
            abs(found[key] - right) < 0.1,
            f'the experiment gives {found[key]:.2f} for "{key}": was it changed? As given it comes to about '
            f"{right:.0f}.",
        )
    off = [key for key in _OUTLIERS if abs(prediction[key] - found[key]) > 0.1]
    if off:
        key = off[0]
        more = f" ({len(off)} of three are not right yet.)" if len(off) > 1 else ""
        raise Wrong(f'"{key}" comes to {found[key]:.2f}, not {prediction[key]:g}: {_WHY[key]}{more}')
    return (
        "One rare real example makes every sample good, and three more like it make them bad again. So the "
        "number can hang on single real examples."
    )


# 15.2


def _blurred(x: Tensor, width: float) -> Tensor:
    bump = torch.exp(-(torch.arange(-4.0, 5.0) ** 2) / (2 * width**2))
    bump = (bump / bump.sum()).reshape(1, 1, 1, 9)
    return F.conv2d(F.conv2d(x, bump, padding=(0, 4)), bump.mT, padding=(4, 0)).clamp(0, 1)


def _noisy(x: Tensor, sd: float) -> Tensor:
    return (x + sd * torch.randn_like(x)).clamp(0, 1)


def _sets() -> dict[str, list[Tensor]]:
    """Sets of 120 images: real ones, those of three libraries, and of models that repeat nothing."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = images("digits")
    x = torch.cat([part.x for part in (data.train, data.valid, data.test)])
    y = torch.cat([part.y for part in (data.train, data.valid, data.test)])
    order, n = torch.randperm(len(x)), 120
    x, y = x[order], y[order]
    real, rest = list(x[: 4 * n].split(n)), x[4 * n :]
    few = y[4 * n :] < 7
    return {
        "real images": real,
        "a library": [
            _noisy(library[torch.randint(5 * n, (n,))], 0.01)
            for library in (rest[: 5 * n], rest[300 : 300 + 5 * n], rest[-5 * n :])
        ],
        "a blurrer": [_blurred(rest[:n], 1.3)],
        "a noise adder": [_noisy(rest[n : 2 * n], 0.1)],
        "a mode dropper": [rest[few][-n:]],
    }


@exercise(
    "15.2",
    "A measure of repetition",
    hints=(
        "Two picks of one image differ by the noise alone. How near are they, beside two other images?",
        "All distances between two samples: torch.cdist of the flattened images. The distance of a sample to "
        "itself does not count. Near beside what? A fixed limit does not suit blurred images, which are "
        "nearer to each other.",
        "For example: the share of samples whose nearest other one is nearer than a tenth of the median "
        "distance.",
    ),
    seconds=20.0,
)
def _repetition(answer: Any) -> str:
    sets = _sets()
    praise = _sees_the_library(answer, sets)
    faint = {name: [0.05 * x for x in several] for name, several in sets.items()}
    try:
        _sees_the_library(answer, faint)
    except Wrong as wrong:
        raise Wrong(
            "it is right for these images, but not when all of them, noise included, have a twentieth of the "
            f"brightness. Is near measured by a fixed limit? There, {wrong}"
        ) from wrong
    return praise


def _sees_the_library(answer: Any, sets: Mapping[str, Sequence[Tensor]]) -> str:
    """Return the numbers found, in a sentence; raises Wrong if they do not tell the library from the rest."""
    found = {
        name: [number(call(answer, x.clone()), f"the number for {name}") for x in several]
        for name, several in sets.items()
    }
    everything = [value for values in found.values() for value in values]
    expect(
        max(everything) > min(everything),
        f"your number is {everything[0]:.4g} for every set of images. Is an image compared with itself? Or "
        "are only exact repetitions counted? The noise makes any two picks different.",
    )
    real, library = torch.tensor(found["real images"]), torch.tensor(found["a library"])
    middle, sd = real.mean().item(), real.std().item()
    off = library - middle
    told = f"real images: {_listed(real)}; a library: {_listed(library)}"
    # torch.cdist rounds, so that an image may be 0.002 away from itself.
    itself = "Is an image compared with itself? " if max(map(abs, everything)) < 0.01 else ""
    expect(
        bool((off > 4 * sd).all() or (off < -4 * sd).all()),
        f"your number does not see the library. {told}. {itself}All of its numbers should lie on one side, "
        "more than four sd of real images away.",
    )
    nearest = off.abs().min().item()
    for name in ("a blurrer", "a noise adder", "a mode dropper"):
        value = found[name][0]
        expect(
            (value - middle) * off[0].sign().item() < nearest / 2,
            f"a false alarm: {name} repeats nothing and gets {value:.4g}. ({told}.) Its images can be nearer "
            "to each other than real ones, for other reasons. Two picks of one image are much nearer: "
            "count only such pairs.",
        )
    return f"It sees the library and nothing else: {told}."


def _listed(values: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in values.tolist())


# 15.3

_CASES = [(0.7, 100, 200), (1.0, 50, 50), (1.5, 400, 60), (0.5, 80, 300), (1.2, 200, 100)]
_SIZES = (20, 50, 200, 1000)


def _distance(sigma: float, n: float, m: float) -> float:
    return 1 / n + sigma**2 / m + (1 - sigma) ** 2 + sigma / 2 * (1 / n + 1 / m)


def _best(n: float) -> float:
    return (1 - 1 / (2 * n)) / (1 + 1 / n)


_OF_DISTANCE: dict[str, Callable[[float, float, float], float]] = {
    "this is the distance of the two distributions. The draws add something to it: their means differ from "
    "the true ones, and so do their standard deviations.": lambda s, n, m: (1 - s) ** 2,
    "the means are right. The standard deviations of the draws are random, too, and their bias enters: "
    "E(σ̂₁ - σ̂₂)² is not (1 - σ)².": lambda s, n, m: 1 / n + s**2 / m + (1 - s) ** 2,
    "E σ̂² is σ², exactly, and E σ̂₁σ̂₂ is the product of the two means. Their bias lowers that product: "
    "was it added with the wrong sign?": lambda s, n, m: (
        1 / n + s**2 / m + (1 - s) ** 2 - s / 2 * (1 / n + 1 / m)
    ),
    "perhaps the spread of each σ̂ was added, σ²/(2n), and its bias left out: E σ̂² is σ² exactly.": (
        lambda s, n, m: 1 / n + s**2 / m + (1 - s) ** 2 + 1 / (2 * n) + s**2 / (2 * m)
    ),
    "the bias of the real cloud's standard deviation is missing: both σ̂₁ and σ̂₂ are too small.": (
        lambda s, n, m: 1 / n + s**2 / m + (1 - s) ** 2 + s / (2 * m)
    ),
    "the bias of the model's standard deviation is missing: both σ̂₁ and σ̂₂ are too small.": (
        lambda s, n, m: 1 / n + s**2 / m + (1 - s) ** 2 + s / (2 * n)
    ),
    "this takes the square of E σ̂₁ - E σ̂₂. The expectation of a square is larger: it holds the variance of "
    "each σ̂, too.": lambda s, n, m: 1 / n + s**2 / m + (1 - s) ** 2 - (1 - s) / 2 * (1 / n - s / m),
    "the mean of the real draws is random, too: its variance is missing.": (
        lambda s, n, m: s**2 / m + (1 - s) ** 2 + s / 2 * (1 / n + 1 / m)
    ),
    "the mean of the model's draws is random, too: its variance is missing.": (
        lambda s, n, m: 1 / n + (1 - s) ** 2 + s / 2 * (1 / n + 1 / m)
    ),
    "n and m need not be equal: the model's cloud has m draws.": lambda s, n, m: _distance(s, n, n),
    "n and m are exchanged: the real ones are n draws.": lambda s, n, m: _distance(s, m, n),
    "the bias of σ̂ enters twice as much: E σ̂₁σ̂₂ stands in the square with a factor of 2.": (
        lambda s, n, m: 1 / n + s**2 / m + (1 - s) ** 2 + s / 4 * (1 / n + 1 / m)
    ),
    "only the errors of the real cloud are counted.": lambda s, n, m: 1 / n + (1 - s) ** 2 + s / 2 * (1 / n),
    "only the errors of the model's cloud are counted.": lambda s, n, m: (
        s**2 / m + (1 - s) ** 2 + s / 2 * (1 / m)
    ),
    "the mean of n draws of N(0, σ²) has the variance σ²/m, not σ/m.": lambda s, n, m: (
        1 / n + s / m + (1 - s) ** 2 + s / 2 * (1 / n + 1 / m)
    ),
}
_OF_BEST: dict[str, Callable[[float], float]] = {
    "1 is the true one. It is not where your expected distance is smallest.": lambda n: 1.0,
    "only the bias of the standard deviations is in it. The means count, too: their part grows with σ².": (
        lambda n: 1 - 1 / (2 * n)
    ),
    "only the means are in it. The bias of the standard deviations counts, too.": lambda n: 1 / (1 + 1 / n),
    "on the other side: the part of the means grows with σ², so that the best σ is below 1.": (
        lambda n: 1 + 3 / (2 * n)
    ),
}


@exercise(
    "15.3",
    "A distance that prefers too narrow a model",
    hints=(
        "The squared difference of the means: its expectation is the sum of two variances.",
        "Write out the other square: E σ̂₁² - 2 E σ̂₁σ̂₂ + E σ̂₂². With n - 1 the squares are unbiased; the two "
        "clouds are independent, so the middle is a product of two means.",
        "1/n + σ²/m + (1 - σ)² + (σ/2)(1/n + 1/m). Set n = m and the derivative by σ to 0.",
    ),
)
def _expected(answer: Any) -> str:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong('check("15.3", (expected_distance, best_sigma)) wants both functions.')
    distances = [number(call(answer[0], *case), "expected_distance") for case in _CASES]
    again = number(call(answer[0], *_CASES[0]), "expected_distance")
    expect(
        is_close(again, distances[0], rtol=1e-9),
        "expected_distance gives another number at each call. A simulation is a good test; here the formula "
        "is asked for.",
    )

    def fits(function: Callable[..., float]) -> bool:
        return all(
            abs(found - function(*case)) <= 3e-3 * abs(function(*case)) + 2 / min(case[1:]) ** 2
            for found, case in zip(distances, _CASES, strict=True)
        )

    if not fits(_distance):
        for message, mistaken in _OF_DISTANCE.items():
            expect(not fits(mistaken), f"expected_distance: {message}")
        gaps = [abs(d / _distance(*case) - 1) for d, case in zip(distances, _CASES, strict=True)]
        worst = gaps.index(max(gaps))
        raise Wrong(
            f"expected_distance should be {_distance(*_CASES[worst]):.4g} for (sigma, n, m) = "
            f"{_CASES[worst]}, and is {distances[worst]:.4g}."
        )
    best = [number(call(answer[1], n), "best_sigma") for n in _SIZES]
    close = {n: 2 / n**2 + 6e-5 for n in _SIZES}  # higher orders, and the steps of a fine grid

    def is_best(function: Callable[[float], float]) -> bool:
        return all(abs(b - function(n)) <= close[n] for b, n in zip(best, _SIZES, strict=True))

    if not is_best(_best):
        for message, mistaken_best in _OF_BEST.items():
            expect(not is_best(mistaken_best), f"expected_distance is right. best_sigma: {message}")
        n = next(n for n, b in zip(_SIZES, best, strict=True) if abs(b - _best(n)) > close[n])
        raise Wrong(
            f"expected_distance is right. For n = m = {n} it is smallest at a σ of {_best(n):.4f}, and "
            f"best_sigma gives {best[_SIZES.index(n)]:.4f}."
        )
    return (
        "The best σ is about 1 - 3/(2n): a little too narrow. Its own draws then err less, and that counts "
        "for more than the true width."
    )


# 15.4


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def _between(mu_1: Tensor, cov_1: Tensor, mu_2: Tensor, cov_2: Tensor, cross: Tensor) -> Tensor:
    return (mu_1 - mu_2).square().sum() + cov_1.trace() + cov_2.trace() - 2 * cross


def _of_gaussians(mu_1: Tensor, cov_1: Tensor, mu_2: Tensor, cov_2: Tensor) -> Tensor:
    half = _root(cov_1)
    return _between(mu_1, cov_1, mu_2, cov_2, _root(half @ cov_2 @ half).trace())


def _of_features(real: Tensor, generated: Tensor, cov: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    cov = cov or (lambda x: torch.cov(x.T))
    return _of_gaussians(real.mean(0), cov(real), generated.mean(0), cov(generated))


def _stretched(x: Tensor, dims: tuple[int, ...] = (1, 2, 3)) -> Tensor:
    low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    return (x - low) / (high - low)


def _of_images(network: Any, real: Tensor, generated: Tensor) -> Tensor:
    return torch.tensor(frechet_distance(network(real).detach(), network(generated).detach()))


def _by_symmetric_routine(mu_1: Tensor, cov_1: Tensor, mu_2: Tensor, cov_2: Tensor) -> Tensor:
    values = torch.linalg.eigvalsh(cov_1 @ cov_2)
    return _between(mu_1, cov_1, mu_2, cov_2, values.clamp_min(0).sqrt().sum())


_UNCHANGED: tuple[Callable[..., Tensor], ...] = (
    lambda network, real, generated: _of_images(network, real, _stretched(generated)),
    lambda real, generated: _of_features(real, generated, torch.cov),
    _by_symmetric_routine,
)
_RIGHT: tuple[Callable[..., Tensor], ...] = (_of_images, _of_features, _of_gaussians)
_WAYS = ("from_images", "from_features", "from_gaussians")
_STILL = (
    "a model whose images are all too faint gets nearly the same distance as one that writes them rightly. "
    "What reaches the network is not what the model made.",
    "look at the shape of cov_1, for {n} images and {d} features. Whose covariance is that?",
    "it depends on which of the two Gaussians comes first, and a distance should not. eigvalsh, and eigh in "
    "root, read one triangle of a matrix only. Which matrices may they be given?",
)
_MISTAKES: tuple[dict[str, Callable[..., Tensor]], ...] = (
    {
        "now all generated images together are stretched to their own range. That is still another range "
        "than the real ones have.": lambda network, real, generated: _of_images(
            network, real, _stretched(generated, (0, 1, 2, 3))
        ),
        "now the real images are stretched as well. Both are treated alike, and a model's faint images still "
        "look as dark as real ones.": lambda network, real, generated: _of_images(
            network, _stretched(real), _stretched(generated)
        ),
        "now the generated images are cut off. Images in [0, 1] need nothing.": (
            lambda network, real, generated: _of_images(network, real, generated.clamp(0.1, 0.9))
        ),
        "now the real images are stretched, in place of the generated ones.": (
            lambda network, real, generated: _of_images(network, _stretched(real), generated)
        ),
    },
    {
        "it is right but for the divisor: divide by n - 1, as torch.cov does.": lambda real, generated: (
            _of_features(real, generated, lambda x: torch.cov(x.T, correction=0))
        ),
        "the means are not subtracted: a covariance is about the mean.": lambda real, generated: _of_features(
            real, generated, lambda x: x.T @ x / len(x)
        ),
        "features are taken for uncorrelated now: only their variances are left.": (
            lambda real, generated: _of_features(real, generated, lambda x: x.var(0).diag())
        ),
        "torch.corrcoef gives correlations. The covariance is asked for, in squared units of the features.": (
            lambda real, generated: _of_features(real, generated, lambda x: torch.corrcoef(x.T))
        ),
    },
    {
        "roots are taken element by element now. The root of a matrix is another thing.": (
            lambda mu_1, cov_1, mu_2, cov_2: _between(
                mu_1, cov_1, mu_2, cov_2, (cov_1 @ cov_2).clamp_min(0).sqrt().trace()
            )
        ),
        "these are the roots of each covariance, multiplied. Where the two do not commute, that is not the "
        "root of the product.": lambda mu_1, cov_1, mu_2, cov_2: _between(
            mu_1, cov_1, mu_2, cov_2, (_root(cov_1) @ _root(cov_2)).trace()
        ),
        "the product is made symmetric now, by the mean of it and its transpose. It has other eigenvalues.": (
            lambda mu_1, cov_1, mu_2, cov_2: _between(
                mu_1,
                cov_1,
                mu_2,
                cov_2,
                torch.linalg.eigvalsh((cov_1 @ cov_2 + cov_2 @ cov_1) / 2).clamp_min(0).sqrt().sum(),
            )
        ),
        "singular values in place of eigenvalues: for a product of two covariances they are not the same.": (
            lambda mu_1, cov_1, mu_2, cov_2: _between(
                mu_1, cov_1, mu_2, cov_2, torch.linalg.svdvals(cov_1 @ cov_2).sqrt().sum()
            )
        ),
    },
)


def _inputs() -> tuple[list[tuple[Any, ...]], ...]:
    """Return two inputs for each of the three ways; the first has as many real as generated examples."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.Tanh()).requires_grad_(False)
    faint = [torch.rand(n, 1, 6, 6) * (0.3 + 0.3 * torch.rand(n, 1, 1, 1)) + 0.02 for n in (60, 45)]
    drawings = [(network, torch.rand(60, 1, 6, 6), x) for x in faint]
    d = 5
    mix, shift = torch.randn(2, d, d).double(), torch.tensor([0.0, 1.0, 0.0, -2.0, 0.5]).double()
    clouds = [
        (torch.randn(60, d).double() @ mix[0], torch.randn(n, d).double() @ mix[1] + shift) for n in (60, 45)
    ]
    gaussians: list[tuple[Any, ...]] = [
        (x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T)) for x, y in clouds
    ]
    gaussians.append((shift, gaussians[0][1], shift, gaussians[0][3]))
    return drawings, clouds, gaussians


def _result(place: int, way: Any, given: tuple[Any, ...]) -> float:
    """Return what one of the three ways gives, with a message of its own for complex numbers."""
    try:
        result = call(way, *given)
    except Wrong as wrong:
        if "complex" not in str(wrong.__cause__):
            raise
        result = torch.tensor(1j)
    expect(
        not (isinstance(result, complex) or (isinstance(result, Tensor) and result.is_complex())),
        f"{_WAYS[place]}: these numbers are complex now. eigvals returns complex numbers for every matrix; "
        "the eigenvalues of a product of two covariances are real, their imaginary parts 0.",
    )
    return number(result, f"{_WAYS[place]}, its result,", finite=False)


def _judge(place: int, way: Any, inputs: Sequence[tuple[Any, ...]]) -> str | None:
    """Return what is wrong with one of the three ways, "" where it is unchanged, None if it is right."""
    right = [_RIGHT[place](*given) for given in inputs]

    def fits(found: Sequence[float], wanted: Sequence[Any]) -> bool:
        return all(is_close(f, w, rtol=1e-3, atol=1e-4) for f, w in zip(found, wanted, strict=True))

    # Alone at first: the given bug cannot be computed for different numbers of images.
    found = [_result(place, way, inputs[0])]
    if fits(found, [_UNCHANGED[place](*inputs[0])]):
        return ""
    for given in inputs[1:]:
        found.append(_result(place, way, given))
    if fits(found, right):
        return None
    for message, mistaken in _MISTAKES[place].items():
        if fits(found, [mistaken(*given) for given in inputs]):
            return message
    off = next(i for i in range(len(found)) if not fits([found[i]], [right[i]]))
    return f"it should be {float(right[off]):.4g} in a test, and is {found[off]:.4g}."


@exercise(
    "15.4",
    "Three ways that are wrong",
    hints=(
        "from_images: what happens to a generated image that is a little too faint, and what to a real one? "
        "from_features: print the shape of cov_1. from_gaussians: exchange the two Gaussians.",
        "Real and generated images have to reach the network as they are. torch.cov wants one row for each "
        "variable. The product of two symmetric matrices is in general not symmetric.",
        "No stretching; torch.cov(real.T); torch.linalg.eigvals(cov_1 @ cov_2).real, or the symmetric matrix "
        "half @ cov_2 @ half with half = root(cov_1).",
    ),
)
def _three_ways(answer: Any) -> str:
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise Wrong(f'check("15.4", ({", ".join(_WAYS)})) wants the three functions.')
    inputs = _inputs()
    verdicts = [_judge(place, way, inputs[place]) for place, way in enumerate(answer)]
    if all(verdict == "" for verdict in verdicts):
        raise NotAttempted("all three still do what they did")
    n, d = inputs[1][0][0].shape
    wrong = [
        f"{name} gives what it gave before: {still.format(n=n, d=d)}" if not verdict else f"{name}: {verdict}"
        for name, verdict, still in zip(_WAYS, verdicts, _STILL, strict=True)
        if verdict is not None
    ]
    if wrong:
        right = [name for name, verdict in zip(_WAYS, verdicts, strict=True) if verdict is None]
        so_far = f"{' and '.join(right)} {'is' if len(right) == 1 else 'are'} right. " if right else ""
        raise Wrong(so_far + " ".join(wrong))
    return (
        "Generated images must reach the network as real ones do; torch.cov has its variables in rows; and a "
        "product of symmetric matrices is not symmetric. None of the three raised an error."
    )


# 15.5

_ABOVE, _POWER, _TWO_SIDED = 1.645, 0.842, 1.96
_ACCURACIES = (0.6, 0.55, 0.65, 0.7, 0.75)


@exercise(
    "15.5",
    "How many judgements?",
    hints=(
        "Two Gaussians for the share of right answers: one around 1/2, of guessers, and one around p, of "
        "people who are right with the probability p. What are their standard deviations?",
        "The limit lies 1.645 standard deviations of the first above 1/2. For a power of 80 % it must lie "
        "0.842 standard deviations of the second below p. So these two distances add up to p - 1/2.",
        "The standard deviations are 0.5/√n and √(p(1 - p))/√n. Solve for √n, and square.",
    ),
)
def _judgements(answer: Any) -> str:
    found = {p: number(call(answer, p), f"the number at p = {p}") for p in _ACCURACIES}
    if all(_fits(p, n) for p, n in found.items()):
        simple = all(abs(n - _simple(p)) <= 1 for p, n in found.items())
        return (
            "Half the distance from 1/2 takes about four times as many judgements. Counted by the binomial "
            f"distribution, 60 % takes {_exact(0.6)[0]}; yours are {found[0.6]:.0f}."
        ) + simple * (
            " You take 1/2 for both standard deviations. That is good enough up to p = 0.75; the second is "
            f"√(p(1 - p)), and at p = 0.9 that makes {_right(0.9):.1f} judgements of {_simple(0.9):.1f}."
        )
    for message, mistaken in _OF_JUDGEMENTS.items():
        expect(
            not all(math.isclose(n, mistaken(p), rel_tol=0.03, abs_tol=0.5) for p, n in found.items()),
            message,
        )
    for p, n in found.items():
        expect(n > 0, f"at p = {p} your number is {n:.4g}: how many judgements is that?")
        expect(
            _fits(p, n),
            f"at p = {p} yours is {n:.4g}, too {'many' if n > _right(p) else 'few'}: with so many judgements "
            f"the power is {_power_of(round(n), p):.0%}.",
        )
    raise AssertionError("unreachable: some number did not fit")


def _right(p: float) -> float:
    return float(((_ABOVE * 0.5 + _POWER * math.sqrt(p * (1 - p))) / (p - 0.5)) ** 2)


def _simple(p: float) -> float:
    return ((_ABOVE + _POWER) * 0.5 / (p - 0.5)) ** 2


def _power_of(n: Any, p: float) -> Any:
    return binom.sf(binom.isf(0.05, n, 0.5), n, p)


def _exact(p: float) -> tuple[int, int]:
    """Return the first n whose power is 80 %, and the first from which on every n has it."""
    n = np.arange(5, 1000)
    has_power = _power_of(n, p) >= 0.8
    return int(n[has_power][0]), int(n[~has_power][-1]) + 1


def _fits(p: float, n: float) -> bool:
    """Tell whether n is the approximation, rounded or not, or one of the exact numbers."""
    return 0.97 * _right(p) - 0.5 <= n <= 1.02 * _exact(p)[1] + 1


_OF_JUDGEMENTS = {
    "this n has a power of only one half: people whose accuracy is p stay below the limit as often as above. "
    "The share of 80 % has to enter too.": lambda p: (_ABOVE * 0.5 / (p - 0.5)) ** 2,
    "this is the number for a test in both directions, with 1.96. Asked for is a limit that 5 % of guessers "
    "reach.": lambda p: ((_TWO_SIDED * 0.5 + _POWER * math.sqrt(p * (1 - p))) / (p - 0.5)) ** 2,
    "the limit is set by guessers, whose standard deviation is 0.5/√n. You give both √(p(1 - p))/√n.": (
        lambda p: (_ABOVE + _POWER) ** 2 * p * (1 - p) / (p - 0.5) ** 2
    ),
    "the two standard deviations are exchanged: the limit belongs to guessers, the power to people who are "
    "right with the probability p.": (
        lambda p: ((_ABOVE * math.sqrt(p * (1 - p)) + _POWER * 0.5) / (p - 0.5)) ** 2
    ),
    "this is √n. Is a square missing?": lambda p: math.sqrt(_right(p)),
    "the two distances have to add up to p - 1/2: with a minus between them, the limit lies above p.": (
        lambda p: ((_ABOVE * 0.5 - _POWER * math.sqrt(p * (1 - p))) / (p - 0.5)) ** 2
    ),
    "1.645 and 0.842 are distances in standard deviations, and yours look like those in variances.": (
        lambda p: ((_ABOVE * 0.25 + _POWER * p * (1 - p)) / (p - 0.5)) ** 2
    ),
    "divide by p - 1/2, the distance from guessing, not by p.": (
        lambda p: ((_ABOVE * 0.5 + _POWER * math.sqrt(p * (1 - p))) / p) ** 2
    ),
    "two things are missing: the limit is set by guessers, whose standard deviation is 0.5/√n, and the share "
    "of 80 % has to enter too.": lambda p: _ABOVE**2 * p * (1 - p) / (p - 0.5) ** 2,
    "first add the two distances, then square: you add the squares.": (
        lambda p: ((_ABOVE * 0.5) ** 2 + _POWER**2 * p * (1 - p)) / (p - 0.5) ** 2
    ),
    "1.645 and 0.842 count standard deviations. That of a share is not 1/√n: what is it for guessers, and "
    "what for people who are right with the probability p?": lambda p: ((_ABOVE + _POWER) / (p - 0.5)) ** 2,
    # Without the limit, 0.842 s, and with probabilities, 0.05/2 + 0.8 s, are too near to be told apart.
    "the limit is missing, 1.645 standard deviations of guessers above 1/2; or its 0.05 and the 0.8 stand "
    "there, which are probabilities: the distances that belong to them are 1.645 and 0.842.": (
        lambda p: ((0.0125 + 0.821 * math.sqrt(p * (1 - p))) / (p - 0.5)) ** 2
    ),
    "p comes as a share, 0.6 and not 60: yours reads it in per cent.": lambda p: _right(p / 100),
}

# 15.6

_COPY, _FRECHET, _KERNEL = "copy test", "Fréchet distance", "kernel distance"
_PRECISE, _COVERAGE, _LIKELIHOOD = "precision", "coverage", "held-out likelihood"
_PEOPLE, _TRAIN = "people", "classifier trained on samples"
_MEASURES = (_COPY, _FRECHET, _KERNEL, _PRECISE, _COVERAGE, _LIKELIHOOD, _PEOPLE, _TRAIN)
_QUESTIONS = {
    "patients": (_COPY,),
    "rare disease": (_TRAIN,),
    "compression": (_LIKELIHOOD,),
    "left out": (_COVERAGE,),
    "game": (_PEOPLE,),
    "two counts": (_KERNEL,),
}
_REASONS = {
    "patients": "what is to be known is whether samples are near to training images, nearer than to others.",
    "rare disease": "what the samples are for can be done and measured: train with them, test on real ones.",
    "compression": "the length of a code is -log q(x), and that is what a likelihood is.",
    "left out": "ask for each real image whether a sample is near it.",
    "game": "it is people who are not to notice, looking at one image at a time.",
    "two counts": "a number for the whole distribution is needed whose mean does not depend on how many "
    "samples there are.",
}
_TEMPTING = {
    (
        "patients",
        _PEOPLE,
    ): "people who do not know the training images take a copy for a real image, which it is.",
    (
        "patients",
        _FRECHET,
    ): "a copy of the training images has nearly the smallest Fréchet distance there is.",
    ("patients", _PRECISE): "a copy is as precise as a real image: precision rewards it.",
    (
        "patients",
        _LIKELIHOOD,
    ): "copies spoil it, but so do many other things: a bad likelihood accuses nobody.",
    (
        "rare disease",
        _FRECHET,
    ): "it is small too if few images of the rare class are wrong, or not of that class.",
    (
        "rare disease",
        _PEOPLE,
    ): "that its images look right does not say that they show enough variety to learn from.",
    ("rare disease", _COVERAGE): "it does not see whether the image shows the class that was asked for.",
    ("compression", _FRECHET): "it knows nothing of the probability that the model gives to an image.",
    ("compression", _PEOPLE): "nobody looks at a sample here, and good samples do not make short codes.",
    ("left out", _PRECISE): "it asks whether the images that are there are good, and these are.",
    ("left out", _PEOPLE): "no single image tells that others are missing.",
    ("left out", _FRECHET): "it is one number for all: it does not say which real images no sample is near.",
    ("left out", _KERNEL): "it is one number for all: it does not say which real images no sample is near.",
    ("left out", _LIKELIHOOD): "it would suffer, if the model has one, but does not say why.",
    (
        "game",
        _PRECISE,
    ): "it is the measure of single images, but by the features of a classifier, not by our eyes.",
    (
        "game",
        _FRECHET,
    ): "it looks at all images together by a classifier's features. Here there are players to ask.",
    (
        "two counts",
        _FRECHET,
    ): "with few images it comes out larger, and so the model with 200 would seem the worse.",
    (
        "two counts",
        _PRECISE,
    ): "it sees one side only: whether samples are good, and not what they leave out.",
    (
        "two counts",
        _COVERAGE,
    ): "with more samples more balls are hit: the model with 2,000 would seem the better.",
}


@exercise(
    "15.6",
    "Which measure?",
    hints=(
        "Say first what would be wrong if it were wrong: single images, what is missing among all of them, "
        "copies, a probability, or what the samples are used for.",
        "Each question has another answer. Who or what is to decide: players, a file's length, a second "
        "network, the training images?",
        "Not used are the Fréchet distance, which comes out larger with fewer samples, and precision. The "
        "mean of the kernel distance is the same for every number of samples.",
    ),
)
def _which_measure(answer: Any) -> str:
    chosen = choices(_written_out(answer), tuple(_QUESTIONS), _MEASURES)
    off = [key for key, right in _QUESTIONS.items() if chosen[key] not in right]
    if off:
        key = off[0]
        why = _TEMPTING.get((key, chosen[key]), _REASONS[key])
        more = f" ({len(off)} of six are not right yet.)" if len(off) > 1 else ""
        raise Wrong(f'"{chosen[key]}" for "{key}": {why}{more}')
    return (
        "Six questions, six measures. The Fréchet distance was none of them: it is a summary for when you do "
        "not know yet what you ask. And a warning to the hospital: the copy test can accuse and not acquit. "
        "Where it finds no copy, there may still be one."
    )


def _written_out(answer: Any) -> Any:
    """Return the answer with the accent of Fréchet, and say which question has none."""
    if isinstance(answer, Mapping):
        empty = [key for key, name in answer.items() if name is None]
        expect(not empty, f'an answer for "{empty[0] if empty else ""}" is missing: it is None.')
        return {key: _written_out(name) for key, name in answer.items()}
    if isinstance(answer, list | tuple):
        return [_written_out(name) for name in answer]
    return answer.lower().replace("frechet", "fréchet") if isinstance(answer, str) else answer
