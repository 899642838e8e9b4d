"""Answers to the exercises of chapter 4: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from scipy.integrate import quad
from scipy.special import logsumexp, softmax
from torch.distributions import (
    Categorical,
    Cauchy,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
    StudentT,
    Uniform,
)

RIGHT = {}
WRONG = {}


# 4.1: how many draws ---------------------------------------------------------------------------------


def by_search(costs, target):
    n = 1
    while costs.std() / n**0.5 > target:
        n += 1
    return n


RIGHT["4.1"] = [
    by_search,
    lambda costs, target: int(np.ceil(np.var(costs.numpy(), ddof=1) / target**2)),
    lambda costs, target: torch.ceil(costs.var(correction=0) / target**2),
]
WRONG["4.1"] = [
    (lambda b, t: math.ceil(b.std() / t), "not with n: square the ratio"),
    (lambda b, t: math.ceil(b.var() / t), "the variance over the target"),
    (lambda b, t: math.ceil((b.std() / len(b) ** 0.5 / t) ** 2), "the pilot's standard error"),
    (lambda b, t: math.ceil((b.std() / t) ** 2) - len(b), "how many in all"),
    (lambda b, t: math.ceil((b.var() / t) ** 2), "the square already"),
    (lambda b, t: int((b.std() / t) ** 2), "rounded down"),
    (lambda b, t: int(b.var(correction=0) / t**2), "rounded down"),
    (lambda b, t: round(((b.std() / t) ** 2).item()), "to the nearest number"),
    (lambda b, t: b.std() / t, "square the ratio"),
    (lambda b, t: math.ceil(b.std() / t**2), "sd over target²"),
    (lambda b, t: math.ceil((1.96 * b.std() / t) ** 2), "1.96 of them"),
    (lambda b, t: math.ceil((2 * b.std() / t) ** 2), "two of them"),
    (lambda b, t: math.ceil((b**2).mean() / t**2), "the deviations from the mean"),
    (lambda b, t: math.ceil((b.std() / t) ** 2) + len(b), "on top of those"),
    (lambda b, t: math.ceil((t / b.std()) ** 2), "turned round"),
    (lambda b, t: math.ceil((b.std() / 0.08) ** 2), "the number of draws for target = 0.55"),
    (lambda b, t: math.ceil(b.std() / len(b) ** 0.5 / t), "standard error over the target"),
    (lambda b, t: math.ceil(b.var() / (4 * t**2)), "whose whole length"),
    (lambda b, t: math.ceil(b.mean().abs() / t**2), "tells nothing of their spread"),
    (lambda b, t: (b.std() / t) ** 2, "half a draw"),
    (lambda b, t: 100, "should be"),
    (100, "a function is needed"),
]


# 4.2: how often the interval is right ----------------------------------------------------------------


def experiment(n=1000):
    """The outcome of the chapter's experiment: with up to five hits of n draws the interval is right."""
    return lambda: sum(math.comb(n, i) * 0.001**i * 0.999 ** (n - i) for i in range(1, 6))


RIGHT["4.2"] = [
    (0.6, experiment()),
    (1 - 1 / math.e, lambda: torch.tensor(experiment()())),
    (np.float32(2 / 3), experiment()),
]
WRONG["4.2"] = [
    ((0.95, experiment()), "fewer than you predict"),
    ((0.7, experiment()), "fewer than you predict"),
    ((1 / math.e, experiment()), "more than you predict"),
    ((0.0, experiment()), "more than you predict"),
    ((63, experiment()), "between 0 and 1"),
    (("often", experiment()), "should be a number"),
    ((0.63, experiment(n=3000)), "was it changed?"),
]


# 4.3: the effective share ----------------------------------------------------------------------------


def share_by_quadrature(s):
    if s <= 0.5**0.5:
        return 0

    def integrand(z):
        return s / math.sqrt(2 * math.pi) * math.exp(-0.5 * z**2 * (2 - 1 / s**2))

    return 1 / quad(integrand, -60, 60, points=[-5, 0, 5])[0]


RIGHT["4.3"] = [
    share_by_quadrature,
    lambda s: np.sqrt(max(0.0, 2 - s**-2)) / s,
    lambda s: torch.tensor(2 * s**2 - 1).clamp(min=0).sqrt() / s**2,
]
WRONG["4.3"] = [
    (lambda s: s**2 / math.sqrt(2 * s**2 - 1) if 2 * s**2 > 1 else math.inf, "this is E[w²]"),
    (lambda s: (2 * s**2 - 1) / s**4, "the square of the share"),
    (lambda s: (2 - 1 / s**2) / s, "√(2π/a)"),
    (lambda s: math.sqrt(2 - 1 / s**2), "the factor σ of the weights is missing"),
    (lambda s: math.sqrt(2 - 1 / s**2) / s**2, "together σ, not σ²"),
    (lambda s: math.sqrt(max(0, 2 / s**2 - 1)) * s**2, "exchanged"),
    (lambda s: torch.tensor(2 * s**2 - 1).sqrt() / s**2, "the root of a negative number"),
    (lambda s: (2 * s**2 - 1) ** 0.5 / s**2, "the root of a negative number"),
    (lambda s: math.sqrt(abs(2 * s**2 - 1)) / s**2, "the share is 0; yours is"),
    (lambda s: math.sqrt(2 * s**2 - 1) / s**2, "your code stopped with ValueError"),
    *[
        (lambda s, least=least: math.sqrt(2 * s**2 - 1) / s**2 if s > least else 0.0, "the share is 0 only")
        for least in (0.71, 0.72, 0.75, 0.8, 1.0)
    ],
    (lambda s: math.sqrt(abs(2 * s**2 - 1)) / s**2 if s > 0.705 else 0.0, "at σ = 0.706"),
    (lambda s: 1.0, "should be"),
    (lambda s: max(0, 3 - 2 / s**2) ** 0.5 / s**2, "for draws of the target"),
    (lambda s: max(0, 2 * s - 1) ** 0.5 / s, "you took it for the variance"),
    (lambda s: math.sqrt(max(0, 2 * s**2 - 1)) / s**2 + 0.01, "should be"),
    (lambda s: None, "is None"),
]


# 4.4: a proposal for one cost -------------------------------------------------------------------------


class Mixture:
    """With probability alpha a draw of wide, else one of near. ``told`` is the alpha of the density."""

    def __init__(self, near, wide, alpha, told=None):
        self.near, self.wide, self.alpha = near, wide, alpha
        self.told = alpha if told is None else told

    def sample(self, shape):
        return torch.where(torch.rand(shape) < self.alpha, self.wide.sample(shape), self.near.sample(shape))

    def log_prob(self, z):
        near = self.near.log_prob(z) + math.log(1 - self.told)
        return torch.logaddexp(near, self.wide.log_prob(z) + math.log(self.told))


class Unnormalized(Cauchy):
    def log_prob(self, z):
        return super().log_prob(z) + math.log(2)


class Optimum:
    """|f| p over its integral, z² p / 3: its density at 0 is 0."""

    def log_prob(self, z):
        return 2 * z.abs().log() + StudentT(3.0).log_prob(z) - math.log(3)

    def sample(self, shape):
        # With z = √3 tan u the density is (2/π) sin²u: its distribution function, by a table.
        u = torch.linspace(-math.pi / 2, math.pi / 2, 100_001, dtype=torch.float64)
        below = 0.5 + (u - torch.sin(2 * u) / 2) / math.pi
        return torch.from_numpy(
            math.sqrt(3) * np.tan(np.interp(torch.rand(shape).double().numpy(), below, u))
        )


class Pair:
    """The density of one, and the draws of another."""

    def __init__(self, log_prob, sample):
        self.log_prob, self.sample = log_prob, sample


wide = Cauchy(0.0, 3.0)
two_sided = MixtureSameFamily(
    Categorical(torch.ones(2)), Cauchy(torch.tensor([-1.8, 1.8]), torch.full((2,), 1.5))
)
RIGHT["4.4"] = [
    Cauchy(0.0, 2.0),
    Cauchy(torch.tensor([0.0]), torch.tensor([4.0])),
    StudentT(1.5, 0.0, 3.0),
    Mixture(Normal(0.0, 2.5), Cauchy(0.0, 4.0), 0.8),
    two_sided,
    Optimum(),
]
WRONG["4.4"] = [
    (Normal(0.0, 1.5), "tails are too light"),
    (Normal(0.0, 30.0), "tails are too light"),
    (StudentT(3.0), "tails are too light"),
    (StudentT(2.0, 0.0, 3.0), "tails are too light"),
    (Mixture(Normal(0.0, 1.5), StudentT(3.0, 0.0, 3.0), 0.5), "tails are too light"),
    (Cauchy(0.0, 1.0), "more than 1.5"),
    (Cauchy(0.0, 30.0), "more than 1.5"),
    (Cauchy(5.0, 1.0), "more than 1.5"),
    (Mixture(Normal(0.0, 1.5), Cauchy(0.0, 3.0), 0.1), "E[(wf)²]/μ² is 5.99"),
    (Uniform(-50.0, 50.0), "no density for some z"),
    (
        Pair(lambda z: torch.where(z.abs() < 0.3, -torch.inf, wide.log_prob(z) + 0.0657), wide.sample),
        "no density for some z",
    ),
    (Pair(lambda z: wide.log_prob(z).exp(), wide.sample), "the density itself"),
    (Pair(lambda z: wide.log_prob(z) / math.log(10), wide.sample), "base 10"),
    (Pair(Optimum().log_prob, Normal(0.0, 1.0).sample), "sample does not draw"),
    (Pair(wide.log_prob, lambda shape: wide.sample(shape).abs()), "sample does not draw"),
    (Pair(wide.log_prob, lambda shape: wide.sample(shape).clamp(-100, 100)), "sample does not draw"),
    (Pair(wide.log_prob, lambda shape: wide.sample((7,))), "and makes 7"),
    (Unnormalized(0.0, 3.0), "integrates to 2"),
    (Mixture(Normal(0.0, 1.5), Cauchy(0.0, 3.0), 0.5, told=0.8), "sample does not draw"),
    (MultivariateNormal(torch.zeros(2), torch.eye(2)), "your code stopped with"),
    (Cauchy, "needs its parameters"),
    ((0.0, 3.0), "a distribution with the methods"),
]


# 4.5: a less biased logarithm ------------------------------------------------------------------------


def log_mean(a):
    return a.logsumexp(0) - math.log(len(a))


def by_scaled_weights(a):
    largest = a.amax(0)
    w = (a - largest).exp()
    return largest + w.mean(0).log() + w.var(0) / w.mean(0) ** 2 / (2 * len(a))


def with_softmax(a):
    return log_mean(a) + 0.5 * ((a.softmax(0) ** 2).sum(0) - 1 / len(a))


def scaled(take_out):
    """As by_scaled_weights, with another number taken out of the logarithms."""

    def corrected(a):
        largest = take_out(a)
        w = (a - largest).exp()
        return largest + w.mean(0).log() + ((w**2).mean(0) / w.mean(0) ** 2 - 1) / (2 * len(a))

    return corrected


def with_ess(take_out):
    """The logarithm by logsumexp, and the ESS from weights that a number was taken out of."""

    def corrected(a):
        w = (a - take_out(a)).exp()
        return log_mean(a) + 0.5 * ((w * w).sum(0) / w.sum(0) ** 2 - 1 / len(a))

    return corrected


RIGHT["4.5"] = [
    by_scaled_weights,
    scaled(lambda a: a.amax(0, keepdim=True)[0]),
    with_ess(log_mean),
    lambda a: by_scaled_weights(a.float()),
    lambda a: (
        logsumexp(a.numpy(), axis=0) - np.log(len(a)) + (softmax(a.numpy(), 0) ** 2).sum(0) / 2 - 0.5 / len(a)
    ),
    with_softmax,
    lambda a: log_mean(a) + (torch.exp(log_mean(2 * a) - 2 * log_mean(a)) - 1) / (2 * len(a)),
]
WRONG["4.5"] = [
    (log_mean, "the correction is missing"),
    (lambda a: 0.5 * ((a.softmax(0) ** 2).sum(0) - 1 / len(a)), "the correction alone"),
    (lambda a: log_mean(a) + ((a.softmax(0) ** 2).sum(0) - 1) / (2 * len(a)), "k/ESS, not 1/ESS"),
    (lambda a: 2 * log_mean(a) - with_softmax(a), "you subtract the correction"),
    (lambda a: log_mean(a) + ((a.softmax(0) ** 2).sum(0) - 1 / len(a)), "a factor ½"),
    (lambda a: log_mean(a) + (torch.exp(log_mean(2 * a) - 2 * log_mean(a)) - 1) / 2, "divide by k too"),
    (lambda a: log_mean(a) + 0.5 * (a.softmax(0) ** 2).sum(0), "the 1 that belongs to E[w]²"),
    (lambda a: log_mean(a) + a.exp().var(0) / (2 * len(a)), "divided by Z²"),
    (lambda a: log_mean(a) + a.exp().var(0, correction=0) / (2 * len(a)), "divided by Z²"),
    (lambda a: log_mean(a) + a.exp().var(0, correction=0) / a.exp().mean(0) / (2 * len(a)), "not by Z"),
    (lambda a: log_mean(a) + a.var(0) / (2 * len(a)), "the variance of the log-weights"),
    (lambda a: log_mean(a) + a.var(0, correction=0) / (2 * len(a)), "the variance of the log-weights"),
    (lambda a: with_softmax(a) + math.log(len(a)), "log k is missing"),
    (lambda a: with_softmax(a) + math.log(len(a) / a.shape[1]), "not log n"),
    (scaled(lambda a: 0.0), "take the largest out first"),
    *[
        (form(take_out), piece)
        for form in (scaled, with_ess)
        for take_out, piece in (
            (lambda a: a.max(), "suits one image only"),
            (lambda a: a.mean(), "suits one image only"),
            (lambda a: a.min(), "suits one image only"),
            (lambda a: a.amax(1).mean(), "suits one image only"),
            (lambda a: a.mean(0), "not the largest of them"),
            (lambda a: a.min(0).values, "not the largest of them"),
            (lambda a: a.median(0).values, "not the largest of them"),
            (lambda a: a[0], "not the largest of them"),
            (lambda a: a[-1], "not the largest of them"),
            (lambda a: (a.max(0).values + a.min(0).values) / 2, "not the largest of them"),
        )
    ],
    (lambda a: by_scaled_weights(a.clamp(min=-700)), "near log w = -2000"),
    (lambda a: log_mean(a) + 0.5 * ((2 * a).exp().sum(0) / a.exp().sum(0) ** 2 - 1 / len(a)), "near log w"),
    (lambda a: with_softmax(a.T), "you sum over the images"),
    (lambda a: with_softmax(a.flatten()), "one number for all images"),
    (lambda a: with_softmax(a).exp(), "not of its logarithm"),
    (lambda a: a.mean(0) + 0.5 * ((a.softmax(0) ** 2).sum(0) - 1 / len(a)), "the mean of the logarithms"),
    (lambda a: with_softmax(a).mean(), "the mean over the images"),
    (lambda a: log_mean(a) + 0.5 * ((a.softmax(0) ** 2).sum(0) - 1 / 6), "the result should be"),
]


# 4.6: the score of a count ---------------------------------------------------------------------------


def poisson_by_autograd(cost, z, rate):
    copies = torch.full(z.shape, rate, requires_grad=True)
    (score,) = torch.autograd.grad(Poisson(copies).log_prob(z).sum(), copies)
    return cost(z) * score


def times_cost(score):
    return lambda cost, z, rate: cost(z) * score(z, rate)


RIGHT["4.6"] = [
    poisson_by_autograd,
    times_cost(lambda z, rate: (z - rate) / rate),
    times_cost(lambda z, rate: -1 + z * rate**-1),
]
WRONG["4.6"] = [
    (lambda cost, z, rate: z / rate - 1, "the score alone"),
    (times_cost(lambda z, rate: 1 - z / rate), "turned round"),
    (times_cost(lambda z, rate: z / rate), "the -1 is missing"),
    (times_cost(lambda z, rate: z - rate), "the score by log λ"),
    (times_cost(lambda z, rate: Poisson(rate).log_prob(z).exp() * (z / rate - 1)), "not of log p"),
    (times_cost(lambda z, rate: z * math.log(rate) - 1), "its derivative is 1/λ"),
    (times_cost(lambda z, rate: Poisson(rate).log_prob(z)), "times log p"),
    (times_cost(lambda z, rate: z * math.log(rate) - rate), "the part of log p with λ"),
    (lambda cost, z, rate: z * (z / rate - 1), "by z itself"),
    (lambda cost, z, rate: (cost(z) * (z / rate - 1)).mean(), "one estimate per draw"),
    (times_cost(lambda z, rate: z / 2.5 - 1), "at the rate 0.5"),
    (times_cost(lambda z, rate: z), "should be"),
    (times_cost(lambda z, rate: (z - rate) / rate**2), "over λ once more"),
    (times_cost(lambda z, rate: (z - rate) / rate**0.5), "z standardized"),
    (times_cost(lambda z, rate: rate / z), "exchanged, and"),
    (times_cost(lambda z, rate: rate / z - 1), "are exchanged: "),
    (lambda cost, z, rate: (cost(z) * (z / rate - 1)).squeeze(), "also for n = 1"),
    (times_cost(lambda z, rate: Poisson(rate).log_prob(z).exp()), "the cost times p."),
    (times_cost(lambda z, rate: math.log(rate) - torch.digamma(z + 1)), "the derivative by z"),
    (times_cost(lambda z, rate: z**0), "the costs alone"),
    (lambda cost, z, rate: z**2 * (z / rate - 1), "that of the text"),
    (lambda cost, z, rate: (z**3 + 2) * (z / rate - 1), "at the rate 7"),
]


# 4.7: leave one out ----------------------------------------------------------------------------------


def by_loop(costs, score):
    rows = []
    for i in range(len(costs)):
        rest = torch.cat([costs[:i], costs[i + 1 :]])
        rows.append((costs[i] - rest.mean(0))[:, None] * score[i])
    return torch.stack(rows)


def subtract(baseline):
    return lambda costs, score: (costs - baseline(costs)).unsqueeze(-1) * score


def by_matrix(costs):
    k = len(costs)
    return (1 - torch.eye(k, dtype=costs.dtype)) @ costs / (k - 1)


RIGHT["4.7"] = [
    by_loop,
    subtract(by_matrix),
    lambda costs, score: (len(costs) / (len(costs) - 1) * (costs - costs.mean(0)))[:, :, None] * score,
    lambda costs, score: torch.einsum(
        "kn,knd->knd", costs - (costs.sum(0) - costs) / (len(costs) - 1), score
    ),
]
WRONG["4.7"] = [
    (subtract(lambda b: b.mean(0)), "the draw's own cost"),
    (subtract(lambda b: b.mean()), "the mean of all costs"),
    (subtract(lambda b: (b.sum() - b) / (b.numel() - 1)), "the mean of all other costs"),
    (subtract(lambda b: (b.sum() - b) / (len(b) - 1)), "should be"),
    (subtract(lambda b: b.mean(1, keepdim=True)), "the mean over the images"),
    (lambda b, s: by_loop(b.T, s.transpose(0, 1)).transpose(0, 1), "leaves out one image"),
    (subtract(lambda b: 0), "no baseline at all"),
    (subtract(lambda b: (b.sum(0) - b) / len(b)), "you divide their sum by k"),
    (subtract(lambda b: (b.sum(0) - b) / (b.shape[1] - 1)), "the number of images"),
    (subtract(lambda b: b.sum(0) / (len(b) - 1)), "own cost is in the sum"),
    (subtract(lambda b: b.sum(0) - b), "is not their mean"),
    (lambda b, s: -by_loop(b, s), "the sign is turned round"),
    (subtract(lambda b: (b - b.sum(0)) / (len(b) - 1)), "you add the baseline"),
    (lambda b, s: ((b.sum(0) - b) / (len(b) - 1))[..., None] * s, "The cost itself is missing"),
    (lambda b, s: ((b - b.mean(0)) / b.std(0))[..., None] * s, "divided by their standard deviation"),
    (lambda b, s: by_loop(b, s) / b.std(0)[:, None], "less the baseline are divided"),
    (
        lambda b, s: (b[..., None] - (b[..., None] * s**2).sum(0) / (s**2).sum(0)) * s,
        "weighted by the squared score",
    ),
    (lambda b, s: by_loop(b, s).mean(0), "for each draw, image and component"),
    (subtract(lambda b: (b.sum(0) - b) / 3), "the estimates should be"),
    (lambda b, s: (b - (b.sum(0) - b) / (len(b) - 1)) * s, "your code stopped with RuntimeError"),
]


# 4.8: a control variate ------------------------------------------------------------------------------


def by_least_squares(values, control, expectation):
    columns = torch.stack([torch.ones_like(control), control], dim=1)
    c = torch.linalg.lstsq(columns, values[:, None]).solution[1, 0]
    return values - c * (control - expectation)


def by_cov_matrix(values, control, expectation):
    matrix = torch.cov(torch.stack([values, control]))
    return values + matrix[0, 1] / matrix[1, 1] * (expectation - control)


def take_off(c, centre=lambda control, expectation: expectation):
    return lambda y, x, expectation: y - c(y, x) * (x - centre(x, expectation))


def cov(y, x):
    return ((y - y.mean()) * (x - x.mean())).mean()


def slope(y, x):
    return cov(y, x) / cov(x, x)


RIGHT["4.8"] = [
    by_least_squares,
    by_cov_matrix,
    take_off(lambda y, x: np.polyfit(x.numpy(), y.numpy(), 1)[0]),
    lambda y, x, e: y - slope(y, x) * (x - x.mean()) + slope(y, x) * (e - x.mean()),
    lambda y, x, e: y - cov(y, x) / ((x - e) ** 2).mean() * (x - e),
]
WRONG["4.8"] = [
    (lambda y, x, e: y - slope(y, x) * x, "known mean is forgotten"),
    (take_off(slope, lambda x, e: 2 * e), "subtracted twice"),
    (lambda y, x, e: y - (y * (x - e)).mean() / ((x - e) ** 2).mean() * (x - e), "keep their mean in it"),
    (lambda y, x, e: y - (y * (x - e)).mean() / cov(x, x) * (x - e), "in its numerator"),
    (lambda y, x, e: y - y.mean() - slope(y, x) * (x - e), "the mean of the values is lost"),
    (lambda y, x, e: y - slope(y, x) * (e - x.mean() + x - x.mean()), "is added"),
    (take_off(lambda y, x: -slope(y, x)), "you add the control's part"),
    (take_off(lambda y, x: cov(y, x) / cov(y, y)), "not of the values"),
    (take_off(lambda y, x: 1.0), "it is not 1"),
    (take_off(lambda y, x: cov(y, x) / cov(x, x).sqrt()), "should be"),
    (take_off(cov), "not divided by the variance"),
    (take_off(lambda y, x: cov(y, x) / (cov(x, x) * cov(y, y)).sqrt()), "the correlation"),
    (take_off(lambda y, x: 0), "nothing was removed"),
    (take_off(lambda y, x: (y * x).mean() / (x * x).mean()), "should be"),
    (take_off(lambda y, x: cov(y, x) / x.var()), "divide by different numbers"),
    (
        take_off(lambda y, x: torch.cov(torch.stack([y, x]))[0, 1] / x.var(correction=0)),
        "divide by different numbers",
    ),
    (
        lambda y, x, e: y - (y * (x - e)).mean() / ((x - e) ** 2).mean() * (x - x.mean()),
        "still has the mean of the draws taken off",
    ),
    (lambda y, x, e: by_cov_matrix(y, x, e).mean(), "one value per draw"),
]
