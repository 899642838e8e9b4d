"""Checks of chapter 3, fitting a distribution."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import logsigmoid

from gm_lib.exercises.core import (
    Wrong,
    call,
    describe,
    exercise,
    expect,
    expect_close,
    is_close,
    number,
    tensor,
)

# 3.1


@exercise(
    "3.1",
    "The loss of a Gaussian",
    hints=(
        "The log-density of a Gaussian stands in the box at the top of the chapter. Which of its terms "
        "depend on x?",
        "σ² is log_var.exp(), and log σ is half of log_var.",
        "0.5 * (log 2π + log_var + (x - mu)² / log_var.exp()), and the mean of that over x.",
    ),
)
def _gaussian_nll(answer: Any) -> str:
    x = 1.5 + 2 * torch.randn(40)
    mu, log_var = torch.tensor(0.7, requires_grad=True), torch.tensor(1.2, requires_grad=True)
    result = call(answer, x, mu, log_var)
    if isinstance(result, Tensor) and result.numel() == len(x):
        raise Wrong("this is one number for each x. A loss is one number: take the mean.")
    found = number(result, "the loss")
    var, half_log_2pi = log_var.exp(), 0.5 * math.log(2 * math.pi)
    squares = ((x - mu) ** 2).mean()
    right = half_log_2pi + 0.5 * log_var + 0.5 * squares / var
    expect_close(
        found,
        right,
        name="the loss",
        mistakes={
            "the sign is wrong: this is the mean log-density. A loss is to be made small.": -right,
            "this is the sum over the data. Divide by their number.": len(x) * right,
            "the constant ½ log 2π is missing. It changes no gradient, but without it the number is no "
            "likelihood and compares with nobody's.": right - half_log_2pi,
            "log σ is missing. Without it the wider Gaussian always wins.": right - 0.5 * log_var,
            "log σ is half of log_var, which is log σ².": right + 0.5 * log_var,
            "only the squares are there. The density also has a height, 1/(σ √2π), and its logarithm "
            "counts.": 0.5 * squares / var,
            "the squares are divided by σ, not by σ².": right
            - 0.5 * squares / var
            + 0.5 * squares / var.sqrt(),
            "you took exp(log_var) for σ. It is the variance, σ².": half_log_2pi
            + log_var
            + 0.5 * squares / var**2,
            "you took log_var for the variance. Undo the logarithm: log_var.exp().": half_log_2pi
            + 0.5 * log_var.log()
            + 0.5 * squares / log_var,
            "the 2 in 2σ² is missing.": right + 0.5 * squares / var,
        },
    )
    _expect_gradients(result, {"mu": mu, "log_var": log_var}, right)
    return "In nats, and a gradient reaches both parameters."


def _expect_gradients(result: Any, parameters: dict[str, Tensor], right: Tensor) -> None:
    for name, parameter in parameters.items():
        gradient = None
        if isinstance(result, Tensor) and result.requires_grad:
            (gradient,) = torch.autograd.grad(result, parameter, retain_graph=True, allow_unused=True)
        if gradient is None:
            raise Wrong(
                f"the value is right, but no gradient reaches {name}: nothing can descend. Is there a "
                "detach, item() or a function of math where one of torch is needed?"
            )
        (wanted,) = torch.autograd.grad(right, parameter, retain_graph=True)
        expect_close(gradient, wanted, name=f"the derivative by {name}")


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
    cases = [(0.0, 784), (-1000.0, 784), (-4000.0, 3072), (250.0, 10)]
    found = torch.tensor([number(call(answer, nll, d), "the bits per dimension") for nll, d in cases])
    nll, d = torch.tensor(cases, dtype=torch.float64).T
    log2 = math.log(2)
    right = nll / (d * log2) + 8
    expect_close(
        found,
        right,
        name="the bits per dimension of four models",
        mistakes={
            "these are the bits of pixels in [0, 1), negative ones among them. The levels lie 256 times as "
            "far apart: 8 bits more for each pixel.": right - 8,
            "the scale goes the wrong way. Stretching spreads the density thinner: more bits, not "
            "fewer.": right - 16,
            "these are nats per dimension. One bit is log 2 nats.": right * log2,
            "8 is right in bits, but nll is still in nats: divide it by log 2.": nll / d + 8,
            "you multiply by log 2. One nat is more than one bit, so the number of bits is the larger "
            "one.": nll * log2 / d + 8,
            "these are bits per image: divide by d.": nll / log2 + 8 * d,
            "the 8 bits belong to each dimension, not to the whole image: divide nll by d before adding "
            "them.": (nll / log2 + 8) / d,
            "the sign of nll is turned round: it is the negative log-density already.": -nll / (d * log2) + 8,
            "divide by log 256 and a density becomes bytes. Divide by log 2, then add the 8 bits.": nll
            / (d * math.log(256))
            + 8,
            "the highest level is 255, but there are 256 of them, each as wide as 1/256.": nll / (d * log2)
            + math.log2(255),
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
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.25, 0.25, 0.5])
    found = _one_number(call(answer, p, q), 3)
    right, reverse = _kl(p, q), _kl(q, p)
    cross = -(p * q.log()).sum()
    m = (p + q) / 2
    expect_close(
        found,
        right,
        name="KL(p || q)",
        mistakes={
            "this is KL(q || p): you average over q. The expectation runs over the first argument.": reverse,
            "the sign is turned round: a divergence is never negative.": -right,
            "this is in bits: take the natural logarithm.": right / math.log(2),
            "this is the mean over the categories. The average is the one weighted by p: a sum.": right / 3,
            "the weights p are missing: this adds up log p - log q as if all categories were equally "
            "frequent.": (p / q).log().sum(),
            "this is the cross-entropy. Subtract the entropy of p.": cross,
            "this is the entropy of p alone. Where is q?": -(p * p.log()).sum(),
            "this is the sum of both directions.": right + reverse,
            "this is the Jensen-Shannon divergence.": (_kl(p, m) + _kl(q, m)) / 2,
        },
    )
    p_zero = torch.tensor([0.5, 0.5, 0.0])
    found = call(answer, p_zero, q)
    if isinstance(found, Tensor) and bool(found.isnan().any()):
        raise Wrong(
            "right, until p has a zero: then your result is NaN, 0 times infinity. What never happens costs "
            "nothing."
        )
    rest = "what never happens under p costs nothing, and the rest as before."
    found = _one_number(found, 3)
    expect(
        is_close(found, _kl(p_zero, q)), f"for p = (0.5, 0.5, 0) it should be {_kl(p_zero, q):.4f}: {rest}"
    )
    found = number(call(answer, q, p_zero), "KL(p || q)", finite=False)
    expect(
        found == math.inf,
        "what happens under p and is impossible under q must cost infinitely much; your result is "
        f"{found:.4g}. A small constant inside the logarithm only hides it.",
    )
    both = call(answer, p_zero, torch.tensor([0.25, 0.75, 0.0]))
    expect(
        is_close(_one_number(both, 3), 0.5 * math.log(2) + 0.5 * math.log(2 / 3)),
        "where p and q are both zero nothing happens, and nothing is to be paid.",
    )
    return "Zero where p is zero, infinite where only q is."


def _one_number(result: Any, cells: int) -> float:
    if isinstance(result, Tensor) and result.numel() == cells:
        raise Wrong("this is one number for each category. Add them up.")
    return number(result, "KL(p || q)")


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
    w = torch.tensor([0.5, 0.2, 0.3])
    m, s = torch.tensor([-2.0, 1.0, 3.0]), torch.tensor([0.3, 1.0, 0.5])
    result = call(answer, w, m, s)
    expect(
        isinstance(result, tuple | list) and len(result) == 2,
        f"two numbers are needed, mu and sigma, and this is {describe(result)}.",
    )
    found = torch.tensor([number(result[0], "mu"), number(result[1], "sigma")])
    mu = (w * m).sum()
    within, between = (w * s**2).sum(), (w * (m - mu) ** 2).sum()

    def pair(mean: Tensor, sigma: Tensor) -> Tensor:
        return torch.stack([mean, sigma])

    expect_close(found[0], mu, name="mu", mistakes={"the weights are missing in the mean.": m.mean()})
    expect_close(
        found,
        pair(mu, (within + between).sqrt()),
        name="(mu, sigma)",
        mistakes={
            "this is the root of the mean variance within the components. The components also lie apart: add "
            "the variance of their means.": pair(mu, within.sqrt()),
            "this is the spread of the means alone. Each component has a width of its own, too.": pair(
                mu, between.sqrt()
            ),
            "sigma is the variance: take its root.": pair(mu, within + between),
            "you averaged the standard deviations. It is variances that add up.": pair(mu, (w * s).sum()),
            "you added standard deviations, within and between. It is variances that add up.": pair(
                mu, within.sqrt() + between.sqrt()
            ),
            "the square of the mean has not been subtracted: Σ w (s² + m²) is the mean square of x.": pair(
                mu, (w * (s**2 + m**2)).sum().sqrt()
            ),
            "the weights are missing in the variance.": pair(mu, (s**2 + (m - mu) ** 2).mean().sqrt()),
            "this is the variance of a weighted sum of independent numbers: Σ w² s². A mixture is no sum: it "
            "is one of its components.": pair(mu, (w**2 * s**2).sum().sqrt()),
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
    "physicist": "she averages over draws from q: the reverse one.",
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
        isinstance(answer, set | frozenset | list | tuple),
        f'a set of names is needed, such as {{"photographer", "forger"}}, and this is {describe(answer)}.',
    )
    names = set(answer)
    everybody = _FORWARD | _REVERSE
    if unknown := [name for name in names if name not in everybody]:
        raise Wrong(f"there is nobody called {unknown[0]!r}. They are {', '.join(everybody)}.")
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
    "What a judge's logits prove",
    hints=(
        "The formula stands above: three terms. Which of the logits belong to which expectation?",
        "log sigmoid(t) is F.logsigmoid(t), and log(1 - sigmoid(t)) is F.logsigmoid(-t).",
        "log 2 + (F.logsigmoid(logits_p).mean() + F.logsigmoid(-logits_q).mean()) / 2.",
    ),
)
def _judges_bound(answer: Any) -> str:
    a, b = 0.8 + torch.randn(30), -0.5 + torch.randn(20)
    result = call(answer, a, b)
    expect(
        not isinstance(result, Tensor) or result.numel() == 1,
        "this is one number for each draw. Take the mean over the draws of each side: one number.",
    )
    found = number(result, "the bound")
    on_p, on_q, log2 = logsigmoid(a).mean(), logsigmoid(-b).mean(), math.log(2)
    right = log2 + (on_p + on_q) / 2
    expect_close(
        found,
        right,
        name="the bound",
        mistakes={
            "log 2 is missing: a discriminator that only guesses proves nothing, and its bound is 0, not "
            "-log 2.": right - log2,
            "this is twice the bound: the two means are halved, for each side has half of the draws.": 2
            * right,
            "the halves are missing: 2 log 2 would have to go with that.": log2 + on_p + on_q,
            "this is half the discriminator's loss: turn its sign, and add log 2.": -(on_p + on_q) / 2,
            "this is the discriminator's loss: turn its sign, halve it and add log 2.": -(on_p + on_q),
            "the value of the game, log D on p plus log(1 - D) on q, is 2 JS - 2 log 2 at best. Halve it and "
            "add log 2.": on_p + on_q,
            "p and q are exchanged: the logits at draws from p should be large.": (
                log2 + (logsigmoid(-a).mean() + logsigmoid(b).mean()) / 2
            ),
            "both sides use log sigmoid(t). On draws from q it is log(1 - sigmoid(t)) that counts.": (
                log2 + (on_p + logsigmoid(b).mean()) / 2
            ),
            "these are the probabilities. It is their logarithms that count.": (
                log2 + (a.sigmoid().mean() + (-b).sigmoid().mean()) / 2
            ),
            "the mean runs over all draws together. Each side has a mean of its own.": log2
            + (logsigmoid(a).sum() + logsigmoid(-b).sum()) / (len(a) + len(b)),
            "the two sums are not divided by the numbers of draws.": (
                log2 + (logsigmoid(a).sum() + logsigmoid(-b).sum()) / 2
            ),
        },
    )
    result = call(answer, torch.tensor([-200.0]), torch.tensor([200.0]))
    value = number(result, "the bound", finite=False)
    expect(
        is_close(value, log2 - 200.0),
        "right for moderate logits, wrong for large ones: a discriminator that is sure (logits of ∓200) "
        f"and wrong has log 2 - 200, and yours has {value:.4g}. log(sigmoid(t)) runs out of digits; a small "
        "constant inside only hides it.",
    )
    return "At most JS(p, q) in expectation, whatever the discriminator."


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
    # Chosen so that every mistake below leads to another number.
    x = torch.tensor([-2.3, -1.9, 7.2, -3.5, -2.9])
    y = torch.tensor([-4.9, 1.7, 7.1, 7.1, -3.8])
    found = number(call(answer, x, y), "the distance")
    a, b = x.sort().values, y.sort().values
    ways = (a - b).abs()
    expect_close(
        found,
        ways.mean(),
        name="the distance",
        mistakes={
            "the samples are not sorted: this carries x[0] to y[0], x[1] to y[1], by the chance of their "
            "order.": (x - y).abs().mean(),
            "the absolute value comes too late, or is missing: ways to the left and to the right cancel. "
            "This is the difference of the means.": (a - b).mean(),
            "this is the distance between the means: ways to the left and to the right cancel. Take absolute "
            "values before the mean.": (a - b).mean().abs(),
            "this is the mean of the squares. The first Wasserstein distance takes the ways themselves.": (
                ways**2
            ).mean(),
            "this is the second Wasserstein distance: the root of the mean square.": (ways**2).mean().sqrt(),
            "this is the sum of the ways: divide by their number.": ways.sum(),
            "this is the longest way. The mean is asked for.": ways.max(),
            "one of the two is sorted the other way round: that is the worst plan.": (
                (a - b.flip(0)).abs().mean()
            ),
            "only one of the two is sorted.": (a - y).abs().mean(),
            "only one of the two is sorted. Sort the other one, too.": (x - b).abs().mean(),
            "each goes to its nearest neighbour, so some places get more than one grain and others none.": (
                (x[:, None] - y).abs().min(1).values.mean()
            ),
            "this is the mean distance of all pairs: everybody goes everywhere. Only the best plan counts.": (
                (x[:, None] - y).abs().mean()
            ),
        },
    )
    crossing = number(call(answer, y, x), "the distance the other way")
    expect_close(crossing, ways.mean(), name="the distance the other way")
    a, b = torch.tensor([-1.0, 1.0]), torch.tensor([-3.0, 3.0])
    expect_close(
        number(call(answer, a, b), "the distance"),
        2.0,
        name="the distance from (-1, 1) to (-3, 3)",
        mistakes={"ways to the left and to the right cancel: take absolute values before the mean.": 0.0},
    )
    return "No plan carries less far."


# 3.8


@exercise(
    "3.8",
    "A kernel density",
    hints=(
        "Each x meets each centre: a table of shape (m, n). x[:, None] - data makes it.",
        "The logarithm of a mean is logsumexp less log n.",
        "Normal(data, h).log_prob(x[:, None]).logsumexp(1) - math.log(len(data))",
    ),
)
def _kernel_log_density(answer: Any) -> str:
    x, data, h = torch.linspace(-2, 3, 7), torch.tensor([-1.0, 0.2, 0.5, 2.0]), 0.4
    raw = call(answer, x, data, h)
    if isinstance(raw, Tensor) and raw.shape == (4,):
        raise Wrong("this is one number for each centre. One for each x is asked for: sum over the centres.")
    if isinstance(raw, Tensor) and raw.shape in {(7, 4), (4, 7)}:
        raise Wrong("this is one number for each pair of x and centre. Average over the centres.")
    found = tensor(raw, shape=(7,), name="the result")
    each = Normal(data, h).log_prob(x[:, None])
    log_n = math.log(4)
    right = each.logsumexp(1) - log_n
    scaled = -0.5 * ((x[:, None] - data) / h) ** 2
    expect_close(
        found,
        right,
        name="the log-density",
        mistakes={
            "this is the mean of the logarithms. The logarithm of the mean is asked for: one near centre is "
            "enough for a point.": each.mean(1),
            "this is a sum of n densities, whose total mass is n. Subtract log n.": each.logsumexp(1),
            "divide the sum inside the logarithm: subtract log n, do not divide by n.": each.logsumexp(1) / 4,
            "this is the density. Its logarithm is asked for.": right.exp(),
            "the height of the kernels is missing, 1/(h √2π): this is no density.": (
                scaled.logsumexp(1) - log_n
            ),
            "the kernels are too wide: h is their standard deviation, and you took it for the variance.": (
                Normal(data, h**0.5).log_prob(x[:, None]).logsumexp(1) - log_n
            ),
            "the kernels are too narrow: h² is their variance, and you took it for the standard deviation.": (
                Normal(data, h**2).log_prob(x[:, None]).logsumexp(1) - log_n
            ),
            "you divided by h twice: Normal already has the factor 1/h.": right - math.log(h),
            "only the nearest centre counts in your answer. The others add their part.": (
                each.max(1).values - log_n
            ),
            "the sign is turned round.": -right,
        },
    )
    far = torch.tensor([40.0])
    raw = call(answer, far, data, h)
    wanted = Normal(data, h).log_prob(far[:, None]).logsumexp(1) - log_n
    value = tensor(raw, shape=(1,), name="the result far from all data")
    expect(
        is_close(value, wanted),
        f"right near the data. At x = 40 the log-density is {wanted.item():.0f}, and yours is "
        f"{value.item():.4g}: the densities underflow to zero. Stay with logarithms, by logsumexp.",
    )
    return "And it holds far from all data."
