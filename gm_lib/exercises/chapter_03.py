"""Checks of chapter 3, fitting a distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Set
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from gm_lib.exercises.core import (
    Wrong,
    call,
    choice,
    describe,
    exercise,
    expect,
    expect_close,
    expect_function,
    is_close,
    number,
    predicted,
    tensor,
)


def _pair(result: Any, first: str, second: str) -> Tensor:
    """Return the two numbers of a result as a tensor."""
    if isinstance(result, Tensor) and tuple(result.shape) == (2,):
        result = list(result)
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong(f"two numbers are needed, {first} and {second}, and this is {describe(result)}.")
    values = [number(value, name, finite=False) for value, name in zip(result, (first, second), strict=True)]
    return torch.tensor(values, dtype=torch.float64)


def _listed(x: Tensor) -> str:
    """Return the numbers of a tensor as one would write them."""
    return f"[{', '.join(f'{value:g}' for value in x.tolist())}]"


# 3.1


@exercise(
    "3.1",
    "The most likely Laplace distribution",
    hints=(
        "Write down the mean log-likelihood. Which part of it depends on m? Move m a little to the right: to "
        "which points does the distance grow, to which does it shrink, and by how much?",
        "Σ|x - m| falls as long as more points lie right of m than left of it. For b there is then one "
        "number A, the mean of |x - m|: where is -log 2b - A/b highest?",
        "m is the median, and b the mean distance from it: m = x.median(), b = (x - m).abs().mean().",
    ),
)
def _laplace_fit(answer: Any) -> str:
    def read(result: Any) -> Tensor:
        return _pair(result, "m", "b")

    def about_median(b: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Any]:
        return lambda x: (0.0, b(x - x.median()))

    def distance(d: Tensor) -> Tensor:
        return d.abs().mean()

    cases = [
        {"x": torch.tensor(x)}
        for x in (
            [2.0, -1.0, 9.0, 0.5, 1.0],
            [310.0, -40.0, 120.0],
            [0.3, 7.1, 0.1, 0.9, 0.4, 2.2, 0.2],
            [4.0, -2.0, 9.0, -2.0, -2.0],
        )
    ]
    expect_function(
        answer,
        lambda x: (x.median(), 0.0),
        cases,
        name=lambda x: f"m for x = {_listed(x)}",
        read=lambda result: read(result)[0],
        mistakes={
            "m is the mean, as in the Gaussian fit: that makes the sum of squares small. Which m makes "
            "Σ|x - m| small?": lambda x: (x.mean(), 0.0),
            "m and b have changed places: m comes first.": lambda x: (distance(x - x.median()), 0.0),
            "m is half-way between the smallest and the largest number. Those in between count too.": (
                lambda x: ((x.amin() + x.amax()) / 2, 0.0)
            ),
            "m is the middle entry of x as it stands. The middle of the sorted ones is meant.": (
                lambda x: (x[len(x) // 2], 0.0)
            ),
            "m is the median of the absolute values. The numbers themselves are meant, with their signs.": (
                lambda x: (x.abs().median(), 0.0)
            ),
            "m is the median of the different values. One that occurs several times counts several times.": (
                lambda x: (x.unique().median(), 0.0)
            ),
        },
    )
    expect_function(
        answer,
        about_median(distance),
        cases,
        name=lambda x: f"m is right; b for x = {_listed(x)}",
        read=lambda result: read(result)[1],
        mistakes={
            "m is right, and b is not the root of the mean square: derive -log 2b - A/b by b, where A is the "
            "mean of |x - m|.": about_median(lambda d: d.square().mean().sqrt()),
            "b is the standard deviation in your answer, and m the median: both terms of the log-likelihood "
            "have |x - m|.": lambda x: (0.0, x.std(correction=0)),
            "m is right, and b is the standard deviation with n - 1. It is no standard deviation at all.": (
                lambda x: (0.0, x.std())
            ),
            "m is right, and b makes the variance right, which is 2b². Likelihood asks for |x - m|.": (
                lambda x: (0.0, x.std(correction=0) / 2**0.5)
            ),
            "m is right, and b makes the variance (with n - 1) right, which is 2b². Likelihood asks for "
            "|x - m|.": lambda x: (0.0, x.std() / 2**0.5),
            "m is right, but b is the mean distance from the mean. It should be that from m.": lambda x: (
                0.0,
                distance(x - x.mean()),
            ),
            "m is right, but b is the mean distance from 0. It should be that from m.": lambda x: (
                0.0,
                distance(x),
            ),
            "m is right; but in b the absolute value is missing, so that both sides cancel.": about_median(
                torch.mean
            ),
            "m is right, and b has the wrong sign: it is a width.": about_median(lambda d: -distance(d)),
            "m is right, and so is the distance; but b is its mean, not its median.": about_median(
                lambda d: d.abs().median()
            ),
            "m is right, and b is the sum of the distances: divide by n.": about_median(
                lambda d: d.abs().sum()
            ),
            "m is right, and b is divided by n - 1. The most likely b divides by n.": about_median(
                lambda d: d.abs().sum() / (len(d) - 1)
            ),
            "m is right, and b twice too large: the 2 in 2b does not move the maximum.": about_median(
                lambda d: 2 * distance(d)
            ),
            "m is right, and b half of what it should be: the 2 in 2b does not move the maximum.": (
                about_median(lambda d: distance(d) / 2)
            ),
            "m is right, and b has the unit of x²: derive -log 2b - A/b by b once more.": about_median(
                lambda d: d.square().mean()
            ),
            "m is right, and this is 1/b: the density has b in the denominator.": about_median(
                lambda d: 1 / distance(d)
            ),
        },
    )
    for x in (torch.tensor([4.0, 0.0, 1.0, 9.0]), torch.tensor([-70.0, 30.0])):
        m, b = read(call(answer, x))
        low, high = x.sort().values[len(x) // 2 - 1 : len(x) // 2 + 1].tolist()
        expect(
            low - 1e-4 <= m <= high + 1e-4,
            f"right for an odd number of points. For x = {x.tolist()} every m from {low:g} to {high:g} is "
            f"equally good, and yours is {m:.4g}.",
        )
        expect_close(b, (x - m).abs().mean(), name=f"b for x = {x.tolist()}")
    return (
        "So fitting by absolute errors is maximum likelihood, too, with Laplace noise: a point far off pulls "
        "no harder than the others."
    )


# 3.2


@exercise(
    "3.2",
    "Bits per dimension, on the right scale",
    hints=(
        "Two things have to be done to nll: another unit and another scale. For a model that knows nothing "
        "nll is 0. What should come out?",
        "One bit is log 2 nats. Stretching one dimension by 256 divides the density by 256. How many bits "
        "more is that?",
        "nll / (d · log 2) + log2(256).",
    ),
)
def _bits_per_dim(answer: Any) -> str:
    log2 = math.log(2)
    expect_function(
        answer,
        lambda nll, d: nll / (d * log2) + 8,
        [{"nll": nll, "d": d} for nll, d in ((-1000.0, 784), (-4000.0, 3072), (250.5, 10), (0.0, 784))],
        name="the number of bits per dimension",
        read=lambda result: number(result, "the number of bits per dimension"),
        mistakes={
            "these are nats per dimension of pixels in [0, 1). Two steps are left: one bit is log 2 nats, "
            "and the levels lie 256 times as far apart.": lambda nll, d: nll / d,
            "these are bits per image of pixels in [0, 1). Two steps are left: divide by d, and the levels "
            "lie 256 times as far apart.": lambda nll, d: nll / log2,
            "these are the bits of pixels in [0, 1), negative ones among them. The levels lie 256 times as "
            "far apart: 8 bits more for each pixel.": lambda nll, d: nll / (d * log2),
            "the scale goes the wrong way. Stretching spreads the density thinner: more bits, not "
            "fewer.": lambda nll, d: nll / (d * log2) - 8,
            "these are nats per dimension. One bit is log 2 nats.": lambda nll, d: nll / d + 8 * log2,
            "8 is right in bits, but nll is still in nats: divide it by log 2.": lambda nll, d: nll / d + 8,
            "8 is in bits already: divide only nll by log 2.": lambda nll, d: (nll / d + 8) / log2,
            "log 256 is the 8 bits in nats, and nll is divided by log 2 already: add log2(256).": (
                lambda nll, d: nll / (d * log2) + 8 * log2
            ),
            "you multiply by log 2. One nat is more than one bit, so the number of bits is the larger "
            "one.": lambda nll, d: nll * log2 / d + 8,
            "these are bits per image: divide by d.": lambda nll, d: nll / log2 + 8 * d,
            "nll belongs to the whole image: divide it by d before you add the 8 bits of one dimension.": (
                lambda nll, d: nll / log2 + 8
            ),
            "the 8 bits belong to each dimension, not to the whole image: divide nll by d before adding "
            "them.": lambda nll, d: (nll / log2 + 8) / d,
            "the sign of nll is turned round: it is the negative log-density already.": (
                lambda nll, d: -nll / (d * log2) + 8
            ),
            "divide by log 256 and a density becomes bytes. Divide by log 2, then add the 8 bits.": (
                lambda nll, d: nll / (d * math.log(256)) + 8
            ),
            "the highest level is 255, but there are 256 of them, each as wide as 1/256.": (
                lambda nll, d: nll / (d * log2) + math.log2(255)
            ),
            "multiply nll by 256 and a length is stretched. It is the density that shrinks: its logarithm "
            "gets 8 bits less.": lambda nll, d: 256 * nll / (d * log2),
        },
        rtol=1e-5,
    )
    return "A density of 1 on the cube is 8 bits per dimension: nothing known about a byte."


# 3.3


@exercise(
    "3.3",
    "The KL of two tables",
    hints=(
        "An average over p of log p - log q.",
        "0 · log 0 is 0 by agreement, but NaN for a computer. Leave out what never happens under p.",
        "happens = p > 0, and then the sum of p * (p / q).log() over p[happens], q[happens].",
    ),
)
def _kl_of_tables(answer: Any) -> str:
    def read(result: Any) -> float:
        if isinstance(result, Tensor) and result.numel() in (3, 4):
            raise Wrong("this is one number for each category. Add them up.")
        return number(result, "KL(p || q)", finite=False)

    def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
        return (_kl(p, (p + q) / 2) + _kl(q, (p + q) / 2)) / 2

    expect_function(
        answer,
        _kl,
        [
            {"p": torch.tensor([0.5, 0.3, 0.2]), "q": torch.tensor([0.25, 0.25, 0.5])},
            {"p": torch.tensor([0.1, 0.2, 0.3, 0.4]), "q": torch.tensor([0.7, 0.1, 0.15, 0.05])},
            {"p": torch.tensor([0.2, 0.8]), "q": torch.tensor([0.2, 0.8])},
        ],
        name="KL(p || q)",
        read=read,
        mistakes={
            "this is KL(q || p): you average over q. The expectation runs over the first argument.": (
                lambda p, q: _kl(q, p)
            ),
            "the sign is turned round: a divergence is never negative.": lambda p, q: -_kl(p, q),
            "you average over q, and the sign is turned round.": lambda p, q: -_kl(q, p),
            "this is in bits: take the natural logarithm.": lambda p, q: _kl(p, q) / math.log(2),
            "this is the mean over the categories. The average is the one weighted by p: a sum.": (
                lambda p, q: _kl(p, q) / len(p)
            ),
            "the weights p are missing: this adds up log p - log q as if all categories were equally "
            "frequent.": lambda p, q: (p / q).log().sum(),
            "this is the logarithm of the mean ratio. The mean of the logarithms is asked for.": (
                lambda p, q: (p * p / q).sum().log()
            ),
            "this is the cross-entropy. Subtract the entropy of p.": lambda p, q: -(p * q.log()).sum(),
            "this is the entropy of p alone. Where is q?": lambda p, q: -(p * p.log()).sum(),
            "the cross-entropy is added to the entropy. The difference is the waste.": (
                lambda p, q: -(p * q.log()).sum() - (p * p.log()).sum()
            ),
            "this is the sum of both directions.": lambda p, q: _kl(p, q) + _kl(q, p),
            "this is the Jensen-Shannon divergence.": jensen_shannon,
            "this is the total variation.": lambda p, q: (p - q).abs().sum() / 2,
            "absolute values have no place here: single terms may be negative, only their sum is not.": (
                lambda p, q: (p * (p / q).log()).abs().sum()
            ),
        },
    )

    def wanted_by_both(p: Tensor, q: Tensor) -> Tensor:
        return _kl(p[q > 0], q[q > 0])

    for p, q in (([0.5, 0.5, 0.0], [0.25, 0.25, 0.5]), ([0.0, 0.0, 0.9, 0.1], [0.3, 0.1, 0.2, 0.4])):
        wanted = _kl(torch.tensor(p), torch.tensor(q))
        value = read(call(answer, torch.tensor(p), torch.tensor(q)))
        if math.isnan(value):
            raise Wrong(
                "right, until p has a zero: then your result is NaN, 0 times infinity. What never happens "
                "costs nothing."
            )
        expect_close(value, wanted, name=f"right until p has a zero. For p = {p}, q = {q} the KL")
        value = read(call(answer, torch.tensor(q), torch.tensor(p)))
        rare = f"for p = {q}, q = {p} your result is {value:.4g}"
        happens = wanted_by_both(torch.tensor(q), torch.tensor(p))
        expect(
            not is_close(value, happens),
            "you leave out what is impossible under q. If it happens under p, it must cost infinitely much; "
            f"{rare}.",
        )
        hidden = " A small constant inside the logarithm, or a clamp, only hides it." * (0 < value < 1000)
        expect(
            value == math.inf,
            f"what happens under p and is impossible under q must cost infinitely much; {rare}.{hidden}",
        )
    both = [0.5, 0.5, 0.0], [0.25, 0.75, 0.0]
    value = read(call(answer, *map(torch.tensor, both)))
    expect(
        is_close(value, 0.5 * math.log(2) + 0.5 * math.log(2 / 3)),
        "where p and q are both zero nothing happens, and nothing is to be paid: for "
        f"p = {both[0]}, q = {both[1]} your result is {value:.4g}.",
    )
    value = read(call(answer, torch.tensor([1.0, 1e-12]), torch.tensor([1.0, 0.0])))
    expect(
        value == math.inf,
        "what happens rarely under p does happen: for p = [1, 1e-12], q = [1, 0] the KL is infinite, and "
        f"yours is {value:.4g}. Leave out only what has the probability 0 exactly.",
    )
    value = read(call(answer, torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1e-20])))
    expect(
        is_close(value, little := math.log(0.5) + 10 * math.log(10)),
        f"right, until q is very small: for p = [0.5, 0.5], q = [1, 1e-20] the KL is {little:.4g}, and "
        f"yours {value:.4g}. Does something keep q from being small? A clamp and a small constant do, and so "
        "does Categorical, which lets no probability fall below 1e-7.",
    )
    return "Zero where p is zero, infinite where only q is."


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum()


# 3.4


@exercise(
    "3.4",
    "The covering Gaussian of a mixture",
    hints=(
        "The forward KL is smallest when q has the mean and the variance of p. What are those of a mixture?",
        "A mixture's variance has two parts: the variances within its components, and that of their means.",
        "mu = Σ w m, variance = Σ w (s² + (m - mu)²), and sigma is its root.",
    ),
)
def _covering_gaussian(answer: Any) -> str:
    def pair(result: Any) -> Tensor:
        return _pair(result, "mu", "sigma")

    def parts(w: Tensor, m: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mixture's mean, and its variance within and between the components."""
        mu = (w * m).sum()
        return mu, (w * s**2).sum(), (w * (m - mu) ** 2).sum()

    def of_parts(sigma: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Any]:
        return lambda w, m, s: (parts(w, m, s)[0], sigma(*parts(w, m, s)[1:]))

    def with_mean(sigma: Callable[..., Tensor]) -> Callable[..., Any]:
        return lambda w, m, s: ((w * m).sum(), sigma(w, m, s, (w * m).sum()))

    mixtures = [
        ([0.5, 0.2, 0.3], [-2.0, 1.0, 3.0], [0.3, 1.0, 0.5]),
        ([0.1, 0.9], [5.0, 4.0], [0.2, 2.0]),
        ([0.4, 0.3, 0.2, 0.1], [0.0, 10.0, -30.0, 7.0], [4.0, 1.0, 2.0, 9.0]),
        ([1.0], [6.0], [0.5]),
    ]
    cases = [
        dict(zip(("weights", "means", "sigmas"), map(torch.tensor, case), strict=True)) for case in mixtures
    ]
    expect_function(
        answer,
        lambda w, m, s: ((w * m).sum(), 0.0),
        cases,
        name="mu",
        read=lambda result: pair(result)[0],
        mistakes={
            "the weights are missing in the mean.": lambda w, m, s: (m.mean(), 0.0),
            "this is the mean of the heaviest component alone. It is the reverse KL that seeks one mode; the "
            "forward KL covers them all.": lambda w, m, s: (m[w.argmax()], 0.0),
            "the weights add up to 1: take the sum of w m, without dividing by K.": lambda w, m, s: (
                (w * m).mean(),
                0.0,
            ),
            "mu and sigma have changed places: mu comes first.": lambda w, m, s: (
                sum(parts(w, m, s)[1:]) ** 0.5,
                0.0,
            ),
        },
    )
    expect_function(
        answer,
        of_parts(lambda a, b: (a + b).sqrt()),
        cases,
        name="sigma",
        read=lambda result: pair(result)[1],
        mistakes={
            "this is the root of the mean variance within the components. The components also lie apart: add "
            "the variance of their means.": of_parts(lambda a, b: a.sqrt()),
            "this is the spread of the means alone. Each component has a width of its own, too.": of_parts(
                lambda a, b: b.sqrt()
            ),
            "sigma is the variance: take its root.": of_parts(lambda a, b: a + b),
            "you averaged the standard deviations. It is variances that add up.": with_mean(
                lambda w, m, s, mu: (w * s).sum()
            ),
            "you averaged the standard deviations, and added the variance of the means. It is variances that "
            "add up: s squared.": with_mean(
                lambda w, m, s, mu: ((w * s).sum() ** 2 + (w * (m - mu) ** 2).sum()).sqrt()
            ),
            "you added standard deviations, within and between. It is variances that add up.": of_parts(
                lambda a, b: a.sqrt() + b.sqrt()
            ),
            "the square of the mean has not been subtracted: Σ w (s² + m²) is the mean square of x.": (
                with_mean(lambda w, m, s, mu: (w * (s**2 + m**2)).sum().sqrt())
            ),
            "s is the standard deviation of a component. Its variance is s squared.": with_mean(
                lambda w, m, s, mu: (w * (s + (m - mu) ** 2)).sum().sqrt()
            ),
            "the weights are missing in the variance.": with_mean(
                lambda w, m, s, mu: (s**2 + (m - mu) ** 2).mean().sqrt()
            ),
            "the weights are missing within the components: Σ w s² is needed.": with_mean(
                lambda w, m, s, mu: (s.square().mean() + (w * (m - mu) ** 2).sum()).sqrt()
            ),
            "the weights are missing between the components: Σ w (m - mu)² is needed.": with_mean(
                lambda w, m, s, mu: ((w * s**2).sum() + m.var(correction=0)).sqrt()
            ),
            "between the components you take the variance with K - 1 and without weights: Σ w (m - mu)² is "
            "needed.": with_mean(
                lambda w, m, s, mu: ((w * s**2).sum() + (m - m.mean()).square().sum() / (len(m) - 1)).sqrt()
            ),
            "the weights are missing in the variance: this adds up all components as they are.": with_mean(
                lambda w, m, s, mu: (s**2 + (m - mu) ** 2).sum().sqrt()
            ),
            "mu² is added in the variance. The mean square is too large by it: subtract it.": with_mean(
                lambda w, m, s, mu: ((w * (s**2 + m**2)).sum() + mu**2).sqrt()
            ),
            "the weights are squared in the variance: Σ w (s² + (m - mu)²) has them once.": with_mean(
                lambda w, m, s, mu: (w**2 * (s**2 + (m - mu) ** 2)).sum().sqrt()
            ),
            "the weights add up to 1: take the sum, in the variance too, without dividing by K.": with_mean(
                lambda w, m, s, mu: (w * (s**2 + (m - mu) ** 2)).mean().sqrt()
            ),
            "this is the variance of a weighted sum of independent numbers: Σ w² s². A mixture is no sum: it "
            "is one of its components.": with_mean(lambda w, m, s, mu: (w**2 * s**2).sum().sqrt()),
        },
    )
    return "It has the mean and the variance of the whole mixture."


# 3.5

_FORWARD = {
    "photographer": "the mean log-density over photographs is the likelihood, and that is the forward KL.",
    "forecaster": "the average runs over the days, which come from p: it is a likelihood.",
    "insurer": "where p can and q cannot, the forward KL is infinite. It forbids to miss anything.",
}
_REVERSE = {
    "physicist": "the mean energy is that of -log p over q, up to a constant, and minus the entropy that "
    "of log q over q: the reverse one.",
    "forger": "he is hurt where q is and p is not. Only an average over q sees that: the reverse one.",
    "encoder": "the average runs over draws from q, and log p(x, z) is the posterior's log-density up to a "
    "constant: minus the reverse one.",
}


@exercise(
    "3.5",
    "Forward or reverse?",
    hints=(
        "Ask of each: over whose draws does the average run?",
        "For those who do not average: is it worse for them when p is somewhere and q is not, or the other "
        "way round?",
        "Three are forward. The photographer is one of them: that is maximum likelihood.",
    ),
)
def _forward(answer: Any) -> str:
    expect(
        isinstance(answer, Set | list | tuple),
        f'a set of names is needed, such as {{"photographer", "forger"}}, and this is {describe(answer)}.',
    )
    names = {choice(name, (*_FORWARD, *_REVERSE), "one of the six") for name in answer}
    if names == set(_REVERSE):
        raise Wrong(
            "exactly the wrong way round: these three have the reverse one. Over whom do they average?"
        )
    for name in _REVERSE:
        if name in names:
            raise Wrong(f"{name!r} does not belong there: {_REVERSE[name]}")
    for name in _FORWARD:
        if name not in names:
            raise Wrong(f"{name!r} is missing: {_FORWARD[name]}")
    return "For each of them it matters over whose draws the average runs."


# 3.6


@exercise(
    "3.6",
    "A tenth of a standard deviation",
    hints=(
        "The pixels are independent, so the logit of an image is a sum over its pixels. How does the mean "
        "of a sum of d independent terms grow with d, and how its standard deviation?",
        "Of the 784 terms the mean grows 784-fold and the standard deviation 28-fold. So it is as if one "
        "number were shifted by 28 times as much.",
        "One normal number, shifted by 28 · 0.1 = 2.8 standard deviations: the border lies 1.4 from both "
        "means. How much of a normal distribution lies below 1.4?",
    ),
)
def _share_named_rightly(answer: Any) -> str:
    def read(value: Any) -> float:
        share = number(value, "the prediction")
        expect(
            0 <= share <= 1,
            f"the prediction should be a share between 0 and 1, and is {share:g}.",
        )
        return share

    share, outcome = predicted("3.6", answer, read)
    outcome = number(outcome, "what the experiment returns")
    exact = 0.919  # Φ(1.4)
    expect(
        abs(outcome - exact) < 0.025,  # six standard errors
        f"the experiment gives {outcome:.3f}, and the one of the chapter does not: was it changed?",
    )
    expect(
        share >= 0.45,
        "this is worse than guessing. A discriminator that is wrong more often than right would only have to "
        "say the opposite.",
    )
    expect(
        share > min(outcome, exact) - 0.05,
        f"it names {outcome:.3f} of the images rightly, more than you predict. Each pixel tells it next to "
        "nothing, but the log ratios of 784 pixels add up: their mean grows like d, their noise only like "
        "√d.",
    )
    expect(
        share < max(outcome, exact) + 0.05,
        f"it names {outcome:.3f} of the images rightly, fewer than you predict. The log ratios of the pixels "
        "add up, but so does their noise, like √d.",
    )
    return (
        "What one pixel hardly shows, all of them together show clearly, to a discriminator that knows both "
        "densities. A difference too small to see can be plain to it."
    )


# 3.7


@exercise(
    "3.7",
    "Carrying one sample to another",
    hints=(
        "The best plan keeps the order.",
        "Sort both. A tensor's sort() returns two things, the values and where they came from.",
        "(x.sort().values - y.sort().values).abs().mean()",
    ),
)
def _carried(answer: Any) -> str:
    def in_order(combine: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, y: combine(x.sort().values - y.sort().values)

    def number_of(result: Any) -> float:
        if isinstance(result, Tensor) and result.numel() in (4, 5):
            raise Wrong(
                f"the distance should be a number, and this has shape {tuple(result.shape)}, one for each. "
                "Take the mean."
            )
        return number(result, "the distance", finite=False)

    expect_function(
        answer,
        in_order(lambda way: way.abs().mean()),
        [
            {
                "x": torch.tensor([-2.3, -1.9, 7.2, -3.5, -2.9]),
                "y": torch.tensor([-4.9, 1.7, 7.1, 7.1, -3.8]),
            },
            {"x": torch.tensor([-1.0, 1.0]), "y": torch.tensor([3.0, -3.0])},
            {"x": torch.tensor([50.0, 20.0, 90.0, 20.0]), "y": torch.tensor([0.0, 60.0, 10.0, 40.0])},
            {"x": torch.tensor([2.0]), "y": torch.tensor([-0.125])},
        ],
        name=lambda x, y: f"the distance between {_listed(x)} and {_listed(y)}",
        read=number_of,
        mistakes={
            "the samples are not sorted: this carries x[0] to y[0], x[1] to y[1], by the chance of their "
            "order.": lambda x, y: (x - y).abs().mean(),
            "the absolute value comes too late, or is missing: ways to the left and to the right cancel. "
            "This is the difference of the means.": in_order(torch.mean),
            "this is the distance between the means: ways to the left and to the right cancel. Take absolute "
            "values before the mean.": in_order(lambda way: way.mean().abs()),
            "this is the mean of the squares. The first Wasserstein distance takes the ways themselves.": (
                in_order(lambda way: way.square().mean())
            ),
            "this is the second Wasserstein distance: the root of the mean square.": in_order(
                lambda way: way.square().mean().sqrt()
            ),
            "this is the sum of the ways: divide by their number.": in_order(lambda way: way.abs().sum()),
            "this is the longest way. The mean is asked for.": in_order(lambda way: way.abs().max()),
            "this is the way in the middle. The mean is asked for.": in_order(lambda way: way.abs().median()),
            "the sum is divided by n - 1. The mean divides by n.": lambda x, y: (
                (x.sort().values - y.sort().values).abs().sum() / (len(x) - 1)
            ),
            "this is the length of the difference as a vector, the root of the sum of squares. The mean of "
            "the ways is asked for.": in_order(torch.linalg.vector_norm),
            "this is the distance between the medians: one grain's way. The mean of all is asked for.": (
                lambda x, y: (x.median() - y.median()).abs()
            ),
            "the samples are sorted by their absolute values. The order on the line goes by the numbers with "
            "their signs.": lambda x, y: (x[x.abs().argsort()] - y[y.abs().argsort()]).abs().mean(),
            "one of the two is sorted the other way round: that is the worst plan.": (
                lambda x, y: (x.sort().values - y.sort(descending=True).values).abs().mean()
            ),
            "only one of the two is sorted.": lambda x, y: (x.sort().values - y).abs().mean(),
            "only one of the two is sorted. Sort the other one, too.": (
                lambda x, y: (x - y.sort().values).abs().mean()
            ),
            "sort() returns two things, the sorted values and where they stood. These are the places.": (
                lambda x, y: (x.argsort() - y.argsort()).abs().double().mean()
            ),
            "each goes to its nearest neighbour, so some places get more than one grain and others none.": (
                lambda x, y: (x[:, None] - y).abs().min(1).values.mean()
            ),
            "each place fetches its nearest grain, so some grains are carried twice and others never.": (
                lambda x, y: (x[:, None] - y).abs().min(0).values.mean()
            ),
            "this is the mean distance of all pairs: everybody goes everywhere. Only the best plan counts.": (
                lambda x, y: (x[:, None] - y).abs().mean()
            ),
        },
    )
    return "No plan carries less far."


# 3.8


def _logs(data: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the kernels' log-densities (width, point, centre), and which are a point's own."""
    each = Normal(data, widths[:, None, None]).log_prob(data[:, None])
    return each, torch.eye(len(data), dtype=torch.bool)


def _leave_one_out(own: float, others: int = 1) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function of exercise 3.8 with another entry for a point's own kernel."""

    def scores(data: Tensor, widths: Tensor) -> Tensor:
        each, alone = _logs(data, widths)
        return each.masked_fill(alone, own).logsumexp(2).mean(1) - math.log(len(data) - others)

    return scores


def _with_itself(others: int) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda data, widths: _logs(data, widths)[0].logsumexp(2).mean(1) - math.log(len(data) - others)


def _by_densities(data: Tensor, widths: Tensor) -> Tensor:
    each, alone = _logs(data, widths)
    return each.exp().masked_fill(alone, 0.0).sum(2).log().mean(1) - math.log(len(data) - 1)


def _without_equals(data: Tensor, widths: Tensor) -> Tensor:
    each = _logs(data, widths)[0].masked_fill(data[:, None] == data, -math.inf)
    return each.logsumexp(2).mean(1) - math.log(len(data) - 1)


@exercise(
    "3.8",
    "A width that depends on the unit",
    hints=(
        "With another unit only logarithms of the unit should be added to every score. Take two points and "
        "one width, work out by hand what the score should be, and print `each` on the way.",
        "`each` holds logarithms. What density does the point itself get after the line with fill_diagonal_? "
        "And what would it get if the diagonal were multiplied by 0?",
        "A logarithm of 0 is a density of 1, and that is much when x is in millimetres. The density should "
        "be 0: fill the diagonal with -math.inf.",
    ),
)
def _width_without_itself(answer: Any) -> str:
    right = _leave_one_out(-math.inf)
    data = torch.tensor([-2.1, 1.8, 0.3, -1.7, 2.2, 1.8])
    away = torch.tensor([0.0, 1.0, 0.5, 30.0])
    # Seen from so narrow kernels all points are far off, and a finite own entry is all that is left.
    narrow = {"data": away, "widths": torch.tensor([1e-6])}
    alone = tensor(call(answer, *narrow.values()), shape=(1,), name="the scores for one width", nan=True)
    own = alone.item() + math.log(len(away) - 1)
    stops = {
        f"far from all others your score stops, as if a point had from itself the density exp({own:g}). It "
        "should have nothing: what is the logarithm of 0?": _leave_one_out(own)
    }

    def standardized(data: Tensor, widths: Tensor) -> Tensor:
        return _leave_one_out(0.0)(data / data.std(), widths / data.std())

    def log_of(scores: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the function that makes scores of the points' summed log-densities and of n - 1."""

        def all_scores(data: Tensor, widths: Tensor) -> Tensor:
            each, alone = _logs(data, widths)
            return scores(each.masked_fill(alone, -math.inf).logsumexp(2), len(data) - 1)

        return all_scores

    expect_function(
        answer,
        right,
        [
            {"data": data, "widths": torch.tensor([0.05, 0.3, 1.5])},
            {"data": 1000 * data, "widths": torch.tensor([50.0, 300.0, 1500.0, 9000.0])},
            {"data": away, "widths": torch.tensor([0.2, 2.0])},
            narrow,
        ],
        unchanged=_leave_one_out(0.0),
        name=lambda data, widths: f"the scores for points {_listed(data)} and widths {_listed(widths)}",
        mistakes={
            "now each point meets its own kernel, the highest of all: that is the training likelihood. Its "
            "own density should count nothing.": _with_itself(1),
            "each point meets its own kernel, and the sum is divided by n: the training likelihood itself.": (
                _with_itself(0)
            ),
            "the own kernel is gone; but far from all others their densities underflow to zero. Stay with "
            "logarithms, also for what should count nothing.": _by_densities,
            "the own kernel is gone; but far from all others even densities in double precision underflow to "
            "zero. Stay with logarithms.": lambda data, widths: _by_densities(data.double(), widths.double()),
            "a point has lost the kernels at the points equal to it, too. Only its own should go.": (
                _without_equals
            ),
            "the diagonal is right; but the others are n - 1, and you divide by n.": _leave_one_out(
                -math.inf, 0
            ),
            "a bug of another line was mended, which was none: the others are n - 1.": _leave_one_out(0.0, 0),
            "the diagonal is right; but the densities of the others are averaged: - log(n - 1) is missing.": (
                log_of(lambda logs, others: logs.mean(1))
            ),
            "the diagonal is right; but dividing by n - 1 means to subtract its logarithm.": log_of(
                lambda logs, others: logs.mean(1) + math.log(others)
            ),
            "the diagonal is right; but these are sums over the points. The mean is asked for.": log_of(
                lambda logs, others: (logs - math.log(others)).sum(1)
            ),
            "this is the logarithm of the mean density. The mean of the logarithms is asked for.": log_of(
                lambda logs, others: logs.logsumexp(1) - math.log(others * (others + 1))
            ),
            "the sign is turned round: the highest score is to be the best.": lambda data, widths: (
                -right(data, widths)
            ),
            "the scores remain mean log-densities: add no log h.": lambda data, widths: (
                right(data, widths) + widths.log()
            ),
            "with the data in units of their own spread the choice no longer depends on the unit, but the "
            "bug is still there: a point gets something from itself.": standardized,
            **(stops if math.isfinite(own) else {}),
        },
    )
    return (
        "Now data and widths in another unit make the same choice. A 0 among logarithms is a one, not a "
        "nothing: attention masks are -inf for the same reason."
    )
