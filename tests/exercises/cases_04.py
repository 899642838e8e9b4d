"""Answers to the exercises of chapter 4: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from scipy.integrate import quad
from torch.distributions import Normal, Poisson

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
    (lambda b, t: int((b.std() / t) ** 2), "Round up"),
    (lambda b, t: (b.std() / t) ** 2, "half a draw"),
    (lambda b, t: 100, "should be"),
    (100, "a function is needed"),
]


# 4.2: importance sampling ----------------------------------------------------------------------------


def weigh(value):
    """An answer made of the cost and the logarithms of the two densities."""
    return lambda cost, p, q, z: value(cost(z), p.log_prob(z), q.log_prob(z))


RIGHT["4.2"] = [
    weigh(lambda f, log_p, log_q: f * log_p.exp() / log_q.exp()),
    lambda cost, p, q, z: torch.exp(-q.log_prob(z)) * (cost(z) * torch.exp(p.log_prob(z))),
    lambda cost, p, q, z: torch.stack([cost(x) * (p.log_prob(x) - q.log_prob(x)).exp() for x in z]),
]
WRONG["4.2"] = [
    (weigh(lambda f, log_p, log_q: f * (log_q - log_p).exp()), "you weigh with q/p"),
    (weigh(lambda f, log_p, log_q: f * (log_p - log_q)), "Take the exponential"),
    (weigh(lambda f, log_p, log_q: (log_p - log_q).exp()), "the cost is missing"),
    (weigh(lambda f, log_p, log_q: f), "the costs alone"),
    (lambda cost, p, q, z: z * (p.log_prob(z) - q.log_prob(z)).exp(), "you weigh z itself"),
    (lambda cost, p, q, z: (z > 5) * (p.log_prob(z) - q.log_prob(z)).exp(), "the cost of the text"),
    (weigh(lambda f, log_p, log_q: f * (log_p - log_q).softmax(0)), "add up to one"),
    (weigh(lambda f, log_p, log_q: f * (log_p - log_q).softmax(0) * len(f)), "you normalized the weights"),
    (weigh(lambda f, log_p, log_q: f * log_p.exp()), "p alone"),
    (weigh(lambda f, log_p, log_q: f * log_p / log_q), "not the logarithm of a ratio"),
    (weigh(lambda f, log_p, log_q: (f * (log_p - log_q).exp()).mean()), "one value per draw, not their mean"),
    (weigh(lambda f, log_p, log_q: (f * (log_p - log_q).exp()).mean().item()), "one value per draw"),
    (lambda cost, p, q, z: cost((p.log_prob(z) - q.log_prob(z)).exp() * z), "outside the cost"),
    (
        lambda cost, p, q, z: weigh(lambda f, a, b: f * (a - b).exp())(cost, p, q, q.sample(z.shape)),
        "use the draws z",
    ),
    (lambda cost, p, q, z: cost(z) * p(z) / q(z), "your code stopped with TypeError"),
    (
        lambda cost, p, q, z: cost(z) * (Normal(0.0, 1.0).log_prob(z) - Normal(1.0, 2.0).log_prob(z)).exp(),
        "with exponential distributions",
    ),
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
    (lambda s: 1.0, "should be"),
]


# 4.4: the ESS from logarithms ------------------------------------------------------------------------


def ess_by_largest(log_w):
    w = (log_w - log_w.max(0).values).exp()
    return w.sum(0) ** 2 / (w * w).sum(0)


def ess_by_one_number(take_out):
    """As ess_by_largest, but what is taken out is another number."""

    def ess(log_w):
        w = (log_w - take_out(log_w)).exp()
        return w.sum(0) ** 2 / (w * w).sum(0)

    return ess


RIGHT["4.4"] = [
    ess_by_largest,
    ess_by_one_number(lambda a: a.amax(0, keepdim=True)),
    lambda log_w: 1 / (log_w.softmax(0) ** 2).sum(0),
    lambda log_w: torch.exp(-(2 * log_w.log_softmax(dim=0)).logsumexp(dim=0)),
]
WRONG["4.4"] = [
    (ess_by_one_number(lambda a: a.max()), "Take the largest of each column"),
    (ess_by_one_number(lambda a: a.mean(0)), "not the largest of them"),
    (ess_by_one_number(lambda a: a.min(0).values), "not the largest of them"),
    (ess_by_one_number(lambda a: a[0]), "not the largest of them"),
    (lambda a: a.exp().sum(0) ** 2 / (2 * a).exp().sum(0), "Do not leave the logarithm"),
    (lambda a: 1 / (a.softmax(0) ** 2).sum(0) / len(a), "the share ESS/k"),
    (lambda a: 2 * a.logsumexp(0) - (2 * a).logsumexp(0), "an exponential is missing"),
    (lambda a: (a.softmax(0) ** 2).sum(0), "exchanged"),
    (lambda a: a.logsumexp(0).exp() ** 2 / a.logsumexp(0).exp(), "in the denominator have to be squared"),
    (lambda a: 1 / (a.softmax(1) ** 2).sum(1), "you sum over the images"),
    (lambda a: (a.logsumexp(0) - (2 * a).logsumexp(0)).exp(), "has to be squared"),
    (lambda a: (2 * a.logsumexp(0) - (a**2).logsumexp(0)).exp(), "you squared the logarithm itself"),
    (lambda a: 1 / (a.flatten().softmax(0) ** 2).sum(), "one number for all images"),
    (lambda a: ess_by_largest(a.double()).expand(2, 3), "should have shape (3,)"),
    (lambda a: torch.full((3,), 4.0), "should be"),
]


# 4.5: a less biased logarithm ------------------------------------------------------------------------


def log_mean(a):
    return a.logsumexp(0) - math.log(len(a))


def by_scaled_weights(a):
    largest = a.amax(0)
    w = (a - largest).exp()
    return largest + w.mean(0).log() + w.var(0) / w.mean(0) ** 2 / (2 * len(a))


RIGHT["4.5"] = [
    by_scaled_weights,
    lambda a: log_mean(a) + 0.5 * ((a.softmax(0) ** 2).sum(0) - 1 / len(a)),
    lambda a: log_mean(a) + (torch.exp(log_mean(2 * a) - 2 * log_mean(a)) - 1) / (2 * len(a)),
]
WRONG["4.5"] = [
    (log_mean, "the correction is missing"),
    (lambda a: 0.5 * ((a.softmax(0) ** 2).sum(0) - 1 / len(a)), "the correction alone"),
    (lambda a: log_mean(a) + ((a.softmax(0) ** 2).sum(0) - 1) / (2 * len(a)), "k/ESS, not 1/ESS"),
    (lambda a: 2 * log_mean(a) - RIGHT["4.5"][1](a), "you subtract the correction"),
    (lambda a: log_mean(a) + ((a.softmax(0) ** 2).sum(0) - 1 / len(a)), "a factor ½"),
    (lambda a: log_mean(a) + (torch.exp(log_mean(2 * a) - 2 * log_mean(a)) - 1) / 2, "divide by k too"),
    (lambda a: log_mean(a) + 0.5 * (a.softmax(0) ** 2).sum(0), "the 1 that belongs to E[w]²"),
    (lambda a: log_mean(a) + a.exp().var(0) / (2 * len(a)), "divided by Z²"),
    (lambda a: log_mean(a) + a.exp().var(0, correction=0) / (2 * len(a)), "divided by Z²"),
    (lambda a: log_mean(a) + a.exp().var(0, correction=0) / a.exp().mean(0) / (2 * len(a)), "not by Z"),
    (lambda a: log_mean(a) + a.var(0) / (2 * len(a)), "the variance of the log-weights"),
    (lambda a: log_mean(a) + a.var(0, correction=0) / (2 * len(a)), "the variance of the log-weights"),
    (lambda a: RIGHT["4.5"][1](a) + math.log(len(a)), "log k is missing"),
    (
        lambda a: a.exp().mean(0).log() + a.exp().var(0) / a.exp().mean(0) ** 2 / (2 * len(a)),
        "take the largest out first",
    ),
    (lambda a: log_mean(a).mean(), "should have shape (3,)"),
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
]


# 4.7: leave one out ----------------------------------------------------------------------------------


def by_loop(costs, score):
    rows = []
    for i in range(len(costs)):
        rest = torch.cat([costs[:i], costs[i + 1 :]])
        rows.append((costs[i] - rest.mean()) * score[i])
    return torch.stack(rows)


def subtract(baseline):
    return lambda costs, score: (costs - baseline(costs)).unsqueeze(1) * score


RIGHT["4.7"] = [
    by_loop,
    lambda costs, score: (len(costs) / (len(costs) - 1) * (costs - costs.mean()))[:, None] * score,
    lambda costs, score: torch.einsum("n,nd->nd", costs - (costs.sum() - costs) / (len(costs) - 1), score),
]
WRONG["4.7"] = [
    (subtract(lambda b: b.mean()), "the draw's own cost"),
    (subtract(lambda b: 0), "no baseline at all"),
    (subtract(lambda b: (b.sum() - b) / len(b)), "you divide their sum by n"),
    (subtract(lambda b: b.sum() / (len(b) - 1)), "own cost is in the sum"),
    (subtract(lambda b: b.sum() - b), "is not their mean"),
    (lambda b, s: -by_loop(b, s), "the sign is turned round"),
    (subtract(lambda b: (b - b.sum()) / (len(b) - 1)), "you add the baseline"),
    (lambda b, s: ((b.sum() - b) / (len(b) - 1))[:, None] * s, "The cost itself is missing"),
    (lambda b, s: by_loop(b, s).mean(0), "for each draw and component"),
    (subtract(lambda b: (b.sum() - b) / 3), "for two draws"),
    (lambda b, s: (b - (b.sum() - b) / (len(b) - 1)) * s, "your code stopped with RuntimeError"),
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


RIGHT["4.8"] = [
    by_least_squares,
    by_cov_matrix,
    take_off(lambda y, x: np.polyfit(x.numpy(), y.numpy(), 1)[0]),
    lambda y, x, e: y - (y * (x - e)).mean() / ((x - e) ** 2).mean() * (x - e),
    lambda y, x, e: y - cov(y, x) / ((x - e) ** 2).mean() * (x - e),
]
WRONG["4.8"] = [
    (take_off(lambda y, x: -cov(y, x) / cov(x, x)), "you add the control's part"),
    (take_off(lambda y, x: cov(y, x) / cov(y, y)), "The control's is needed"),
    (take_off(lambda y, x: 1.0), "c = 1"),
    (take_off(lambda y, x: cov(y, x) / cov(x, x).sqrt()), "not by the variance"),
    (take_off(cov), "the covariance alone"),
    (take_off(lambda y, x: cov(y, x) / (cov(x, x) * cov(y, y)).sqrt()), "you use the correlation"),
    (take_off(lambda y, x: cov(y, x) / cov(x, x), lambda x, e: x.mean()), "nothing is gained"),
    (take_off(lambda y, x: cov(y, x) / cov(x, x), lambda x, e: 0), "is forgotten"),
    (take_off(lambda y, x: 0), "nothing was removed"),
    (take_off(lambda y, x: (y * x).mean() / (x * x).mean()), "the means have to be taken off"),
    (take_off(lambda y, x: cov(y, x) / x.var()), "n above and n - 1 below"),
    (
        take_off(lambda y, x: torch.cov(torch.stack([y, x]))[0, 1] / x.var(correction=0)),
        "n - 1 above and n below",
    ),
    (lambda y, x, e: by_cov_matrix(y, x, e).mean(), "one value per draw"),
]
