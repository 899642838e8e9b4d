"""Answers to the exercises of chapter 11: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

RIGHT = {}
WRONG = {}
REFUSED = {"11.3": {"as numpy": "a gradient has to pass", "without history": "a gradient has to pass"}}


# 11.1: what many draws still lack ---------------------------------------------------------------------


def by_quadrature(delta, s):
    if s**2 <= 0.5:
        return math.inf
    mass, _ = quad(
        lambda z: math.exp(2 * norm.logpdf(z) - norm.logpdf(z, delta, s)),
        -30,
        30,
        points=[0, delta],
        limit=200,
    )
    return 0.5 * (mass - 1)


def by_precisions(delta, s):
    precision = 1 / s**2
    left = 2 - precision
    if left <= 0:
        return float("inf")
    log_mass = -0.5 * (math.log(precision) + math.log(left)) + delta**2 * precision / left
    return math.expm1(log_mass) / 2


def root(delta, s, factor=lambda s: s**2, exponent=lambda delta, left: delta**2 / left):
    left = 2 * s**2 - 1
    return math.inf if left <= 0 else factor(s) / math.sqrt(left) * math.exp(exponent(delta, left))


RIGHT["11.1"] = [
    by_quadrature,
    by_precisions,
    lambda delta, s: np.float64(by_precisions(delta, s)),
    lambda delta, s: (torch.tensor(root(delta, s)) - 1) / 2,
]
WRONG["11.1"] = [
    (lambda delta, s: root(delta, s) - 1, "this is Var(w) / p(x)²"),
    (lambda delta, s: root(delta, s) / 2, "From it the square of the mean, 1, has to go"),
    (lambda delta, s: root(delta, s), "take off the square of the mean, and halve it"),
    (lambda delta, s: root(delta, s) / 2 - 1, "before you halve"),
    (lambda delta, s: (root(0, s) - 1) / 2, "right for δ = 0"),
    (lambda delta, s: (root(delta / 2**0.5, s) - 1) / 2, "halved once too often"),
    (lambda delta, s: (root(delta, s, factor=lambda s: s) - 1) / 2, "1/q brings one s"),
    (lambda delta, s: math.inf if s < 0.71 else (root(delta, s**0.5) - 1) / 2, "take it for the variance"),
    (lambda delta, s: (delta**2 + s**2 - 1 - 2 * math.log(s)) / 2, "infinite"),
    (lambda delta, s: abs(2 * s**2 - 1) ** -0.5, "infinite"),
    (lambda delta, s: 0.5 * (s**2 / (2 * s**2 - 1) ** 0.5 - 1), "should be"),
    (lambda delta, s: math.inf, "and is inf"),
    (0.5, "a function is needed"),
]


# 11.2: sixty-four draws -------------------------------------------------------------------------------


def experiment(draws=64, n=3000):
    """The experiment of the chapter, with fewer repetitions."""

    def run():
        eps = torch.randn(draws, n, 20)
        z = 0.1 + (2 / 3) ** 0.5 * eps
        shares = (0.5 * eps**2 - z**2).sum(-1).softmax(0).unsqueeze(-1)
        found = [(shares * -2 * z).sum(0), (-2 * z).mean(0)]
        one, many = ((g.mean(0) ** 2 - g.var(0) / n).sum().abs() / g.var(0).sum() for g in found)
        return (many / one).sqrt().item()

    return run


RIGHT["11.2"] = [(64, experiment()), (np.float64(50.0), experiment()), [torch.tensor(60.0), experiment()]]
WRONG["11.2"] = [
    ((1.0, experiment()), "both ways are equal"),
    ((8.0, experiment()), "one of two effects"),
    ((1 / 8, experiment()), "hears more from one bound"),
    ((0.1, experiment()), "hears more from one bound"),
    ((4096, experiment()), "two factors of √64"),
    ((20.0, experiment()), "two factors of √64"),
    ((64.0, experiment(draws=4)), "was it changed?"),
    ((64.0, lambda: None), "the result is None"),
    (("more", experiment()), "your prediction should be a number"),
    ((64.0, 64.0), "wants both in this order"),
]


# 11.3: the surrogate ----------------------------------------------------------------------------------


def surrogate(combine, q_of=None, log_q_of=lambda log_q: log_q, z_of=lambda z: z):
    def answer(mu, log_var, eps, log_joint):
        z = z_of(mu + (log_var / 2).exp() * eps)
        q = (q_of or stopped)(mu, log_var)
        return combine(log_joint(z) - log_q_of(q.log_prob(z).sum(-1)))

    return answer


def stopped(mu, log_var):
    return Normal(mu.detach(), (log_var / 2).exp().detach())


def alive(mu, log_var):
    return Normal(mu, (log_var / 2).exp())


def squared(log_w):
    return (log_w.detach().softmax(0) ** 2 * log_w).sum()


def plain(log_w):
    return (log_w.detach().softmax(0) * log_w).sum()


def with_hook(mu, log_var, eps, log_joint):
    z = mu + (log_var / 2).exp() * eps
    log_w = log_joint(z) - stopped(mu, log_var).log_prob(z).sum(-1)
    share = log_w.softmax(0).detach()
    if z.requires_grad:
        z.register_hook(lambda gradient: share.unsqueeze(-1) * gradient)
    return log_w.logsumexp(0).sum()


def without_grad(mu, log_var, eps, log_joint):
    z = mu + torch.exp(log_var / 2) * eps
    with torch.no_grad():
        q = Independent(Normal(mu + 0, torch.exp(log_var / 2)), 1)
    log_w = log_joint(z) - q.log_prob(z)
    with torch.no_grad():
        share = (log_w - log_w.logsumexp(0)).exp()
    return (share * share * log_w).sum(0).sum()


def half_stopped(which):
    def q_of(mu, log_var):
        if which == "mu":
            mu = mu.detach()
        else:
            log_var = log_var.detach()
        return Normal(mu, (log_var / 2).exp())

    return q_of


RIGHT["11.3"] = [surrogate(squared), with_hook, without_grad]
WRONG["11.3"] = [
    (surrogate(plain), "this is sticking the landing"),
    (surrogate(plain, alive), "this is the plain gradient"),
    (surrogate(lambda log_w: log_w.logsumexp(0).sum(), alive), "this is the plain gradient"),
    (surrogate(lambda log_w: (log_w.softmax(0) ** 2 * log_w).sum()), "they have to stay so"),
    (surrogate(squared, alive, log_q_of=torch.Tensor.detach), "all of log q is detached"),
    (surrogate(squared, half_stopped("mu")), "and log_var does not"),
    (surrogate(squared, half_stopped("log_var")), "and mu does not"),
    (surrogate(squared, alive, z_of=torch.Tensor.detach), "only the score"),
    (surrogate(squared, z_of=torch.Tensor.detach), "no gradient passes"),
    (surrogate(lambda log_w: squared(log_w) / log_w.shape[1]), "a mean over the n examples"),
    (surrogate(lambda log_w: -squared(log_w)), "the sign is wrong"),
    (surrogate(lambda log_w: 2 * squared(log_w)), "the gradient by mu should be"),
    (surrogate(lambda log_w: (log_w.detach().softmax(0) ** 3 * log_w).sum()), "the gradient by mu should be"),
    (surrogate(lambda log_w: (log_w.detach().softmax(0) ** 2 * log_w).sum(0)), "one number is asked for"),
    (surrogate(lambda log_w: squared(log_w).item()), "no gradient passes"),
]


# 11.4: the best Gaussian prior ------------------------------------------------------------------------


def with_moments(mu, sigma):
    m = mu.mean(0)
    second = torch.einsum("ni,nj->ij", mu, mu) + (sigma**2).sum(0).diag()
    return m, second / len(mu) - torch.outer(m, m)


def with_numpy(mu, sigma):
    mu, sigma = mu.detach().numpy(), sigma.detach().numpy()
    c = np.cov(mu, rowvar=False, bias=True).reshape(mu.shape[1], mu.shape[1])
    return mu.mean(0), c + np.diag((sigma**2).mean(0))


def one_by_one(mu, sigma):
    m = mu.mean(0)
    parts = [torch.outer(a - m, a - m) + torch.diag(b**2) for a, b in zip(mu, sigma, strict=True)]
    return [m, torch.stack(parts).mean(0)]


def prior(covariance, mean=lambda mu: mu.mean(0)):
    return lambda mu, sigma: (mean(mu), covariance(mu, mu - mu.mean(0), sigma))


def between(away):
    return away.T @ away / len(away)


def within(sigma):
    return torch.diag((sigma**2).mean(0))


RIGHT["11.4"] = [with_moments, with_numpy, one_by_one]
WRONG["11.4"] = [
    (prior(lambda mu, away, sigma: between(away)), "the covariance of the means alone"),
    (prior(lambda mu, away, sigma: within(sigma)), "the mean of the encoder's variances alone"),
    (
        prior(lambda mu, away, sigma: between(away) + torch.diag(sigma.mean(0))),
        "sigma is a standard deviation",
    ),
    (prior(lambda mu, away, sigma: between(away) + torch.diag(sigma.mean(0) ** 2)), "the mean of its square"),
    (
        prior(lambda mu, away, sigma: between(away) * len(mu) / max(len(mu) - 1, 1) + within(sigma)),
        "divided by n - 1",
    ),
    (
        prior(lambda mu, away, sigma: torch.diag((away**2).mean(0)) + within(sigma)),
        "C keeps only its diagonal",
    ),
    (prior(lambda mu, away, sigma: mu.T @ mu / len(mu) + within(sigma)), "around 0, and not around m"),
    (prior(lambda mu, away, sigma: between(away) + (sigma**2).mean(0)), "they belong on the diagonal"),
    (prior(lambda mu, away, sigma: away.T @ away + within(sigma)), "summed over the images"),
    (
        prior(lambda mu, away, sigma: between(away) + torch.diag((sigma**2).sum(0))),
        "the encoder's variances are summed",
    ),
    (lambda mu, sigma: (torch.zeros(mu.shape[1]), torch.eye(mu.shape[1])), "the prior that we have"),
    (prior(lambda mu, away, sigma: (away**2).mean(0) + (sigma**2).mean(0)), "of shape (d, d)"),
    (lambda mu, sigma: (mu, between(mu)), "m is a vector of d numbers"),
    (lambda mu, sigma: mu.mean(0), "two things are asked for"),
    (
        prior(lambda mu, away, sigma: between(away) + within(sigma), mean=lambda mu: 0 * mu[0]),
        "should be",
    ),
]


# 11.5: a codebook that follows -----------------------------------------------------------------------


RIGHT["11.5"] = [
    {"decay": 0.7, "revive_below": 0.2},
    {"decay": np.float64(0.5), "revive_below": torch.tensor(0.1)},
    {"revive_below": 0.3, "decay": 0.75},
]
WRONG["11.5"] = [
    ({"decay": 0.99, "revive_below": 0.1}, "the codes lag behind"),
    ({"decay": 0.95, "revive_below": 0.6}, "the codes lag behind"),
    ({"decay": 0.8, "revive_below": 0.0}, "a code without points stays dead"),
    ({"decay": 0.0, "revive_below": 0.95}, "are disturbed too much"),
    ({"decay": 1.0, "revive_below": 0.1}, "decay must be from 0 to below 1"),
    ({"decay": 0.8, "revive_below": -0.1}, "revive_below must be from 0 to below 1"),
    ({"decay": 0.8, "revive_below": "often"}, "revive_below should be a number"),
    ({"decay": 0.8}, '"revive_below" is missing'),
    ({"decay": 0.8, "revive_below": 0.3, "dim": 2}, "no others"),
    ((0.8, 0.3), 'a dictionary with "decay" and "revive_below" is needed'),
]


# 11.6: log-probabilities of sequences of codes ---------------------------------------------------------


def in_a_loop(codes, log_table):
    """One code after the other, in plain Python."""
    totals = []
    for sequence in codes.tolist():
        before, total = log_table.shape[1], 0.0
        for code in sequence:
            total = total + log_table[before, code]
            before = code
        totals.append(total)
    return torch.stack([torch.as_tensor(total) for total in totals])


def by_pieces(codes, log_table):
    first = log_table[-1, codes[:, 0]]
    return first + log_table[codes[:, :-1], codes[:, 1:]].sum(1)


def padded(codes, log_table):
    before = torch.nn.functional.pad(codes[:, :-1], (1, 0), value=log_table.shape[1])
    return log_table[before].gather(2, codes.unsqueeze(2)).squeeze(2).sum(1)


def given(before):
    return lambda codes, log_table: log_table[before(codes, log_table.shape[1]), codes].sum(1)


def after(first):
    return given(lambda codes, k: torch.cat([first(codes, k), codes[:, :-1]], dim=1))


def start(codes, k):
    return torch.full_like(codes[:, :1], k)


RIGHT["11.6"] = [in_a_loop, by_pieces, padded]
WRONG["11.6"] = [
    (after(lambda codes, k: torch.zeros_like(codes[:, :1])), "the first code is given the code 0"),
    (after(lambda codes, k: codes[:, :1]), "the first code is given itself"),
    (given(lambda codes, k: torch.cat([codes[:, 1:], start(codes, k)], dim=1)), "The order is the other way"),
    (given(lambda codes, k: codes.roll(-1, dims=1)), "given the one after it"),
    (given(lambda codes, k: codes), "each code is given itself"),
    (given(torch.full_like), "no code looks at another"),
    (given(lambda codes, k: torch.cat([start(codes, k), codes[:, 1:]], dim=1)), "codes are not moved"),
    (lambda codes, t: t[codes[:, :-1], codes[:, 1:]].sum(1), "the first code is left out"),
    (lambda codes, t: by_pieces(codes, t) / codes.shape[1], "this is the mean over the places"),
    (lambda codes, t: -by_pieces(codes, t), "the sign is wrong"),
    (
        lambda codes, t: t[torch.cat([start(codes, t.shape[1]), codes[:, :-1]], 1), codes],
        "one number for each place",
    ),
    (0.0, "a function is needed"),
]


# 11.7: names and places --------------------------------------------------------------------------------


def experiment(*nats):
    return lambda: nats


usual = experiment(51.0, 51.1, 50.9, 130.0)
expected = {"renamed": "same", "reversed": "same", "exchanged": "more"}
RIGHT["11.7"] = [
    (expected, usual),
    [["same", "Same", "MORE"], usual],
    (expected, lambda: torch.tensor([51.0, 51.0, 51.0, 130.0])),
]
WRONG["11.7"] = [
    ((expected | {"renamed": "more"}, usual), "where the codes got other names"),
    ((expected | {"reversed": "more"}, usual), "where they are read backwards"),
    ((expected | {"exchanged": "same"}, usual), "where the places were exchanged"),
    ((expected | {"exchanged": "less"}, usual), "is none of the names"),
    (({"renamed": "same", "reversed": "same"}, usual), 'an answer for "exchanged" is missing'),
    ((expected, experiment(51.0, 60.0, 51.0, 130.0)), "was it changed?"),
    ((expected, experiment(51.0, 51.0)), "should have shape (4,)"),
    ((None, usual), "your prediction is None"),
    ((expected, 3.0), "wants both in this order"),
]


# 11.8: the cost of two levels --------------------------------------------------------------------------


def total(s):
    return 0.5 * math.log(1 + 1 / s**2)


def by_precision(a, s):
    """From the variance of z₁ given x, and of z₂ given both."""
    of_top = 1 - a**2 / (1 + s**2)
    of_bottom = 1 / (1 / (1 - a**2) + 1 / s**2)
    return 0.5 * np.log(1 / of_top), 0.5 * np.log((1 - a**2) / of_bottom)


def by_drawing(a, s, n=200_000):
    """The means of the two KLs over draws, with the posteriors; exact in the variances."""
    joint = torch.tensor([[1.0, a, a], [a, 1.0, 1.0], [a, 1.0, 1.0 + s**2]], dtype=torch.float64)
    joint = joint + 1e-12 * torch.eye(3, dtype=torch.float64)
    z_1, _, x = MultivariateNormal(torch.zeros(3, dtype=torch.float64), joint).sample((n,)).T
    top = Normal(a / (1 + s**2) * x, (1 - a**2 / (1 + s**2)) ** 0.5)
    variance = 1 / (1 / (1 - a**2) + 1 / s**2)
    bottom = Normal(variance * (a * z_1 / (1 - a**2) + x / s**2), variance**0.5)
    kls = kl_divergence(top, Normal(0.0, 1.0)), kl_divergence(bottom, Normal(a * z_1, (1 - a**2) ** 0.5))
    found = [kl.mean().item() for kl in kls]
    exact = by_precision(a, s)
    assert all(abs(f - e) < 0.02 for f, e in zip(found, exact, strict=True))
    return exact


def split(top):
    return lambda a, s: (top(a, s), total(s) - top(a, s))


def right_top(a, s):
    return -0.5 * math.log1p(-(a**2) / (1 + s**2))


RIGHT["11.8"] = [
    by_precision,
    by_drawing,
    split(right_top),
    lambda a, s: torch.tensor([right_top(a, s), 0.5 * math.log1p((1 - a**2) / s**2)]),
]
WRONG["11.8"] = [
    (lambda a, s: split(right_top)(a, s)[::-1], "The top comes first"),
    (split(lambda a, s: -0.5 * math.log(1 - a**2)), "as from the bottom up"),
    (lambda a, s: [2 * nats for nats in split(right_top)(a, s)], "the ½ is missing"),
    (lambda a, s: [nats / math.log(2) for nats in split(right_top)(a, s)], "these are bits"),
    (lambda a, s: (right_top(a, s), total(s)), "both levels together"),
    (split(lambda a, s: -0.5 * math.log(1 - abs(a) / (1 + s**2))), "it stands squared"),
    (split(lambda a, s: -0.5 * math.log(1 - a**2 / (1 + s**2) ** 2)), "the variance of x stands once"),
    (
        lambda a, s: (right_top(a, s), 0.5 * math.log(1 + 1 / s) - right_top(a, s)),
        "s is a standard deviation",
    ),
    (lambda a, s: (0.0, total(s)), "the top says nothing here"),
    (lambda a, s: right_top(a, s), "two numbers are asked for"),
    ((0.1, 0.2), "a function is needed"),
]
