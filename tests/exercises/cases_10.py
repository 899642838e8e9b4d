"""Answers to the exercises of chapter 10: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from torch.distributions import Bernoulli, Independent, Normal

RIGHT = {}
WRONG = {}
REFUSED = {
    "10.3": {"as numpy": "a gradient has to pass", "without history": "a gradient has to pass"},
    "10.7": {"as numpy": "a gradient has to pass", "without history": "a gradient has to pass"},
}


# 10.1: how far apart two tossed neighbours are -------------------------------------------------------


def by_enumeration(p, q):
    chances = [(a, b, (p if a else 1 - p) * (q if b else 1 - q)) for a in (0, 1) for b in (0, 1)]
    return sum(chance * (a - b) ** 2 for a, b, chance in chances)


def by_variances(p, q):
    a, b = Bernoulli(torch.tensor(p)), Bernoulli(torch.tensor(q))
    return (a.mean - b.mean) ** 2 + a.variance + b.variance


def simulated(p, q):
    return ((torch.rand(1000) < p).float() - (torch.rand(1000) < q).float()).square().mean()


RIGHT["10.1"] = [by_enumeration, by_variances, lambda p, q: p * (1 - q) + q * (1 - p)]
WRONG["10.1"] = [
    (lambda p, q: (p - q) ** 2, "the squared difference of the means"),
    (lambda p, q: p * (1 - q), "only one of the two ways to differ"),
    (lambda p, q: (1 - p) * q, "the first can be white and the second black"),
    (lambda p, q: p * (1 - p) + q * (1 - q), "(p - q)² is missing"),
    (lambda p, q: p + q - p * q, "it comes twice"),
    (lambda p, q: p + q, "a third term"),
    (lambda p, q: 2 * p * q, "two more terms"),
    (lambda p, q: p * q + (1 - p) * (1 - q), "the probability that they agree"),
    (lambda p, q: abs(p - q), "without its sign"),
    (lambda p, q: (p + q - 2 * p * q) ** 0.5, "this is the root of the answer"),
    (simulated, "another number at each call"),
    (lambda p, q: None, "is None"),
    (0.5, "a function is needed"),
]


# 10.2: other pixels, another β -----------------------------------------------------------------------


def experiment():
    return 4.0


RIGHT["10.2"] = [(4, experiment), (np.float64(4.0), experiment), [torch.tensor(4.0), experiment]]
WRONG["10.2"] = [
    ((1.0, experiment), "the squared error has grown, and the KL has not"),
    ((2, experiment), "it is their squares"),
    ((0.25, experiment), "that is upside down: the squared error counts more now"),
    ((0.5, experiment), "differences enter as squares"),
    ((16.0, experiment), "no fourth power"),
    ((3.0, experiment), "you predicted 3, the experiment gives 4"),
    ((4.0, lambda: 1.0), "was it changed?"),
    (("four", experiment), "your prediction should be a number"),
    ((4.0, 4.0), "wants both in this order"),
]


# 10.3: a width that is learned too wide --------------------------------------------------------------


def with_normal(x, mean, log_sigma, kl):
    p = Independent(Normal(mean, torch.as_tensor(log_sigma).exp()), 1)
    return (kl - p.log_prob(x)).mean()


def by_value(x, mean, log_sigma, kl):
    standardized = (x - mean) * (-log_sigma).exp()
    return (kl + (0.5 * standardized**2 + log_sigma + 0.5 * math.log(2 * math.pi)).sum(1)).mean()


def counted(terms=None, constants=None, power=2, spread=1.0):
    def answer(x, mean, log_sigma, kl):
        dims = x.shape[1]
        squares = (x - mean).square().sum(1) / (dims if spread is None else spread)
        by_image = squares / (2 * (power * log_sigma).exp())
        by_image = by_image + (dims if terms is None else terms) * log_sigma
        by_image = by_image + (dims if constants is None else constants) * 0.5 * math.log(2 * math.pi)
        return (by_image + kl).mean()

    return answer


def doubled(x, mean, log_sigma, kl):
    return counted(terms=2 * x.shape[1])(x, mean, log_sigma, kl)


def turned(x, mean, log_sigma, kl):
    return counted(terms=-x.shape[1])(x, mean, log_sigma, kl)


def by_images(x, mean, log_sigma, kl):
    return counted(len(x), len(x))(x, mean, log_sigma, kl)


def without_kl(x, mean, log_sigma, kl):
    return by_value(x, mean, log_sigma, 0 * kl)


def detached(x, mean, log_sigma, kl):
    return by_value(x, mean, log_sigma.detach(), kl)


def half_detached(x, mean, log_sigma, kl):
    squares = (x - mean).square().sum(1) / (2 * (2 * log_sigma.detach()).exp())
    return (squares + x.shape[1] * (log_sigma + 0.5 * math.log(2 * math.pi)) + kl).mean()


def of_each_image(x, mean, log_sigma, kl):
    return kl - Independent(Normal(mean, log_sigma.exp()), 1).log_prob(x)


RIGHT["10.3"] = [with_normal, by_value, counted()]
WRONG["10.3"] = [
    (counted(constants=1), "½ log 2π only once"),
    (counted(terms=1), "log σ, which is what pulls σ down, still once"),
    (counted(constants=0), "½ log 2π has gone"),
    (counted(terms=0), "σ grows without end"),
    (counted(784, 784), "D is not 784"),
    (by_images, "len(x) is the number of images"),
    (without_kl, "the KL has gone"),
    (lambda *given: len(given[0]) * by_value(*given), "the sum over the batch"),
    (lambda *given: by_value(*given) / given[0].shape[1], "divided by D"),
    (doubled, "twice too much"),
    (turned, "the sign of log σ is wrong"),
    (counted(power=1), "it is divided by 2σ²"),
    (counted(spread=None), "and is a mean here"),
    (counted(1, 1, spread=None), "the KL weighs D times too much"),
    (detached, "no gradient reaches log_sigma"),
    (half_detached, "the gradient that reaches log_sigma is not"),
    (of_each_image, "one number for each image"),
]


# 10.4: a floor for the widths ------------------------------------------------------------------------

RIGHT["10.4"] = [0.0125, np.float64(0.015), torch.tensor(0.01), 0.02, 0.0067, 0.025]
WRONG["10.4"] = [
    (0.001, "It is too small"),
    (0.003, "It is too small"),
    (0.05, "It is too large"),
    (1.0, "It is too large"),
    (0.0, "above 0"),
    (-0.01, "above 0"),
    (1e-6, "far below a grey level"),
    ("small", "the floor should be a number"),
    (lambda: 0.01, "the floor should be a number"),
]


# 10.5: rate and error of a direction -----------------------------------------------------------------


def linear(
    rate=lambda v, s, b: 0.5 * (v / (b * s)).log().clamp(min=0), error=lambda v, s, b: v.clamp(max=b * s)
):
    return lambda eigenvalues, noise_variance, beta: (
        rate(eigenvalues, noise_variance, beta),
        error(eigenvalues, noise_variance, beta),
    )


def by_the_posterior(eigenvalues, noise_variance, beta):
    s = beta * noise_variance
    square = (eigenvalues - s).clamp(min=0)  # w²
    spread = s / (square + s)  # the variance of q
    mean = eigenvalues * square / (square + s) ** 2  # of the squared mean of q
    rate = 0.5 * (mean + spread - 1 - spread.log())
    return rate, eigenvalues * spread**2 + square * spread


def with_numpy(eigenvalues, noise_variance, beta):
    values, level = eigenvalues.detach().numpy(), beta * noise_variance
    return np.maximum(0.0, 0.5 * np.log(values / level)), np.minimum(values, level)


def by_where(eigenvalues, noise_variance, beta):
    level = beta * noise_variance
    rate = torch.where(eigenvalues > level, (eigenvalues / level).sqrt().log(), 0.0)
    return [rate, torch.minimum(eigenvalues, torch.full_like(eigenvalues, level))]


def of_mean_code(v, s, b):
    return torch.where(v > b * s, (b * s) ** 2 / v, v)


RIGHT["10.5"] = [by_the_posterior, with_numpy, by_where]
WRONG["10.5"] = [
    (lambda v, s, b: linear()(v, s, 1.0), "right for β = 1 only"),
    (lambda v, s, b: linear()(v, s, b)[::-1], "The rate comes first"),
    (linear(lambda v, s, b: 0.5 * (v / (b * s)).log()), "the KL is never negative"),
    (linear(error=lambda v, s, b: torch.full_like(v, b * s)), "leaves its whole variance"),
    (linear(error=lambda v, s, b: (v - b * s).clamp(min=0)), "what the decoder explains"),
    (linear(error=lambda v, s, b: torch.where(v > b * s, b * s, 0.0)), "not 0"),
    (linear(lambda v, s, b: 0.5 * (1 + v / (b * s)).log()), "no 1 is added"),
    (linear(error=of_mean_code), "its spread adds to the error"),
    (linear(lambda v, s, b: (v / (b * s)).log().clamp(min=0)), "has a factor ½"),
    (linear(lambda v, s, b: 0.5 * (v / (b * s)).log2().clamp(min=0)), "in bits"),
    (linear(lambda v, s, b: 0.5 * b * (v / (b * s)).log().clamp(min=0)), "the KL itself"),
    (lambda v, s, b: linear()(v, s, 1 / b), "acts the other way"),
    (linear(lambda v, s, b: 0.5 * ((v - b * s) / (b * s)).clamp(min=1).log()), "in the place of λ"),
    (linear(error=lambda v, s, b: v.clamp(max=b * s) / (2 * b * s)), "not divided by twice"),
    (lambda v, s, b: linear()(v, s**2, b), "squared once more"),
    (lambda v, s, b: linear()(v, s, b)[0], "two tensors are asked for"),
    (lambda v, s, b: (linear()(v, s, b)[0], b * s), "one value for each direction"),
    ((1.0, 2.0), "a function is needed"),
]


# 10.6: the noise under which three directions stay ---------------------------------------------------


def draw(n, generator=None):
    mix = (torch.arange(1.0, 65).double() ** 2 / 13).sin().reshape(8, 8)
    return torch.randn(n, 8, generator=generator).double() @ mix.T / 8**0.5


RIGHT["10.6"] = [
    (0.43, draw),
    [np.float64(0.4), draw],
    (torch.tensor(0.49), draw),
]
WRONG["10.6"] = [
    ((0.36, draw), "more than three directions stay"),
    ((0.3, draw), "more than three directions stay"),
    ((0.51, draw), "Which way does σ² have to go?"),
    ((0.62, draw), "fewer than three directions stay"),
    ((0.67, draw), "Did you give σ? σ² is asked for"),
    ((1.0, draw), "fewer than three directions stay"),
    ((0.43, lambda n, g: torch.randn(n, 8, generator=g)), "other points than it did"),
    ((-1.5, draw), "a variance, above 0"),
    ((None, draw), "noise_variance is None"),
    ((0.43, 3), "wants the number, then the function"),
    (0.43, "wants the number, then the function"),
]


# 10.7: free bits -------------------------------------------------------------------------------------


def plain(kl, nats):
    return kl.sum(1).mean()


def of_mean(kl, nats):
    return kl.mean(0).clamp(min=nats).sum()


def of_each(kl, nats):
    return kl.clamp(min=nats).sum(1).mean()


def report(loss=of_mean, told=plain):
    return lambda reconstruction, kl, nats: (
        reconstruction.mean() + loss(kl, nats),
        reconstruction.mean() + told(kl, nats),
    )


def with_a_loop(reconstruction, kl, nats):
    loss = reconstruction.mean()
    for column in kl.T:
        loss = loss + max(column.mean(), torch.as_tensor(nats, dtype=kl.dtype))
    return [loss, (reconstruction + kl.sum(1)).mean()]


def with_maximum(reconstruction, kl, nats):
    mean = kl.mean(0)
    counted = torch.maximum(mean, torch.full_like(mean, nats)).sum()
    return reconstruction.mean() + counted, reconstruction.mean() + mean.sum().detach()


def detached(reconstruction, kl, nats):
    loss, told = report()(reconstruction, kl.detach(), nats)
    return loss, told


RIGHT["10.7"] = [
    with_a_loop,
    with_maximum,
    report(lambda kl, nats: (kl.mean(0) - nats).relu().sum() + nats * kl.shape[1]),
    report(lambda kl, nats: (kl.mean(0) - nats).relu().sum()),
]
WRONG["10.7"] = [
    (report(of_mean, of_mean), "What you report is still the loss"),
    (report(of_each), "gives each image its own allowance"),
    (report(lambda kl, nats: kl.mean(0).sum().clamp(min=nats)), "one allowance for all dimensions"),
    (
        report(lambda kl, nats: kl.mean(0).sum().clamp(min=nats * kl.shape[1])),
        "may use up those of the others",
    ),
    (report(lambda kl, nats: kl.sum(1).clamp(min=nats).mean()), "each image's total KL"),
    (report(lambda kl, nats: kl.mean(0).clamp(max=nats).sum()), "not cut off at it"),
    (report(lambda kl, nats: kl.mean(0).clamp(min=nats).mean(), lambda kl, nats: kl.mean()), "sum them"),
    (report(lambda kl, nats: kl.mean(0).clamp(min=nats).mean()), "averaged in the loss"),
    (report(plain), "the loss has no floor"),
    (lambda *given: report()(*given)[::-1], "have changed places"),
    (report(told=lambda kl, nats: 0 * kl.sum()), "the reconstruction alone"),
    (report(told=lambda kl, nats: -kl.sum(1).mean()), "the wrong sign of the KL"),
    (lambda *given: (report()(*given)[0], -report()(*given)[1]), "the report is the ELBO"),
    (report(told=lambda kl, nats: kl.mean()), "The report averages the dimensions"),
    (detached, "the gradient that reaches kl"),
    (lambda *given: tuple(part.item() for part in report()(*given)), "no gradient passes"),
    (lambda *given: report()(*given)[0], "two numbers are asked for"),
    (lambda r, kl, nats: (r + kl.sum(1), (r + kl.sum(1)).mean()), "should be one number"),
]


# 10.8: three worlds ----------------------------------------------------------------------------------

FACTORS, SAME, OTHER = "the factors", "the same other axes each time", "other axes each time"


def outcome(**changes):
    return lambda: {"A": (0.0, 0.0), "B": (26.2, 14.3), "C": (41.8, torch.tensor(0.0))} | changes


def worlds(a, b, c):
    return {"A": a, "B": b, "C": c}, outcome()


RIGHT["10.8"] = [
    worlds(FACTORS, OTHER, SAME),
    worlds("The factors", "Other axes each time", " the same other axes each time"),
    ([FACTORS, OTHER, SAME], outcome()),
]
WRONG["10.8"] = [
    (worlds(FACTORS, FACTORS, FACTORS), "Which axes does a circle prefer?"),
    (worlds(FACTORS, OTHER, FACTORS), "are not orthogonal, and with them"),
    (worlds(FACTORS, SAME, SAME), "What should choose"),
    (worlds(FACTORS, OTHER, OTHER), "Only, which pair?"),
    (worlds(SAME, OTHER, SAME), "Could other axes be better?"),
    (worlds(OTHER, OTHER, OTHER), "Turned axes tilt it"),
    (worlds(FACTORS, OTHER, "no idea"), "is none of the names"),
    (({"A": FACTORS, "B": OTHER}, outcome()), 'an answer for "C" is missing'),
    ((worlds(FACTORS, OTHER, SAME)[0], outcome(C=(3.0, 0.0))), "other numbers for C"),
    ((worlds(FACTORS, OTHER, SAME)[0], lambda: None), "the result is None"),
    ((worlds(FACTORS, OTHER, SAME)[0], lambda: 3.0), "other numbers for A"),
    (worlds(FACTORS, OTHER, SAME)[0], "wants both in this order"),
]
