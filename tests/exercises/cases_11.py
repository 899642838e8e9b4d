"""Answers to the exercises of chapter 11: other right ways, and known mistakes with their messages."""

import math
import warnings

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


def without_infinity(delta, s, square_root):
    left = 2 * s**2 - 1
    return 0.5 * (s**2 / square_root(left) * math.exp(delta**2 / left) - 1)


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
    (lambda delta, s: (delta**2 + s**2 - 1 - 2 * math.log(s)) / 2, "this is KL(q"),
    (lambda delta, s: abs(2 * s**2 - 1) ** -0.5, "should be"),
    (lambda delta, s: 0.5 * (s**2 / (2 * s**2 - 1) ** 0.5 - 1), "right for δ = 0"),
    (lambda delta, s: math.inf if s < 1 else by_precisions(delta, s), "for 2s² ≤ 1 only. Between"),
    (lambda delta, s: math.inf if s <= 1 else by_precisions(delta, s), "at s = 1 it is finite"),
    (lambda delta, s: -by_precisions(delta, s), "the sign is wrong"),
    (
        lambda delta, s: (root(delta, s, exponent=lambda delta, left: -(delta**2) / left) - 1) / 2,
        "the sign in the exponent",
    ),
    (
        lambda delta, s: (root(delta, s, exponent=lambda delta, left: abs(delta) / left) - 1) / 2,
        "δ², and not |δ|",
    ),
    (lambda delta, s: (root(delta, s, exponent=lambda delta, left: delta / left) - 1) / 2, "to either side"),
    (lambda delta, s: ((2 * math.pi) ** 0.5 * root(delta, s) - 1) / 2, "a √2π is left over"),
    (lambda delta, s: (root(delta, s) / (2 * math.pi) ** 0.5 - 1) / 2, "a √2π is lost"),
    # right where it is finite, and something else than math.inf where it is not
    (lambda delta, s: without_infinity(delta, s, math.sqrt), "math.inf is wanted there; your code stopped"),
    (lambda delta, s: without_infinity(delta, s, lambda x: x**0.5), "math.inf is wanted there, and c is"),
    (lambda delta, s: without_infinity(delta, s, lambda x: abs(x) ** 0.5), "math.inf is wanted there, and c"),
    (lambda delta, s: without_infinity(delta, s, np.emath.sqrt), "math.inf is wanted there, and c is"),
    (lambda delta, s: math.nan if 2 * s**2 < 1 else by_precisions(delta, s), "and c is the number nan"),
    (lambda delta, s: math.inf if s < 0.3 else without_infinity(delta, s, math.sqrt), "for s = 0.7"),
    (lambda delta, s: math.inf, "and is inf"),
    (0.5, "a function is needed"),
]


# 11.2: sixty-four draws -------------------------------------------------------------------------------


def one_bound_or_many(draws=64, n=1000):
    """The experiment of the chapter, with fewer repetitions."""

    def run():
        eps = torch.randn(draws, n, 20)
        z = 0.1 + (2 / 3) ** 0.5 * eps
        share = (0.5 * eps**2 - z**2).sum(-1).softmax(0).unsqueeze(-1)
        of_one, of_many = (share * -2 * z).sum(0), (-2 * z).mean(0)
        clearer = (share**2 * (-2 * z + 1.5**0.5 * eps)).sum(0)
        one = clearer.mean(0).norm() / of_one.var(0).sum().sqrt()
        return (of_many.mean(0).norm() / of_many.var(0).sum().sqrt() / one).item()

    return run


RIGHT["11.2"] = [
    (64, one_bound_or_many()),
    (np.float64(50.0), one_bound_or_many()),
    [torch.tensor(60.0), one_bound_or_many()],
]
WRONG["11.2"] = [
    ((value, one_bound_or_many()), piece)
    for value, piece in (
        (1.0, "both ways would be equal"),
        (8.0, "one of two effects"),
        (1 / 8, "more signal from one bound"),
        (0.1, "more signal from one bound"),
        (-3.0, "more signal from one bound"),
        (16.0, "are multiplied, not added"),
        (20.0, "two factors of √64"),
        (35.0, "two factors of √64"),
        (75.0, "make it smaller, not larger"),
        (90.0, "make it smaller, not larger"),
        (100, "make it smaller, not larger"),
        (128, "make it smaller, not larger"),
        (256, "more than both effects together"),
        (512, "one of the two effects is counted as 64"),
        (4096, "both effects are counted as 64"),
        (1e6, "more than both effects together"),
    )
]
WRONG["11.2"] += [
    ((64.0, one_bound_or_many(draws=4)), "was it changed?"),
    ((64.0, lambda: None), "the result is None"),
    (("more", one_bound_or_many()), "your prediction should be a number"),
    ((64.0, 64.0), "wants both in this order"),
]


# 11.3: the surrogate ----------------------------------------------------------------------------------


def surrogate(combine, q_of=None, log_q_of=lambda log_q: log_q, z_of=lambda z: z, seen=lambda z: z):
    def answer(m, log_var, eps, log_joint):
        z = z_of(m + (log_var / 2).exp() * eps)
        q = (q_of or stopped)(m, log_var)
        return combine(log_joint(z) - log_q_of(q.log_prob(seen(z)).sum(-1)))

    return answer


def stopped(m, log_var):
    return Normal(m.detach(), (log_var / 2).exp().detach())


def alive(m, log_var):
    return Normal(m, (log_var / 2).exp())


def squared(log_w):
    return (log_w.detach().softmax(0) ** 2 * log_w).sum()


def plain(log_w):
    return (log_w.detach().softmax(0) * log_w).sum()


def with_hook(m, log_var, eps, log_joint):
    z = m + (log_var / 2).exp() * eps
    log_w = log_joint(z) - stopped(m, log_var).log_prob(z).sum(-1)
    share = log_w.softmax(0).detach()
    if z.requires_grad:
        z.register_hook(lambda gradient: share.unsqueeze(-1) * gradient)
    return log_w.logsumexp(0).sum()


def without_grad(m, log_var, eps, log_joint):
    z = m + torch.exp(log_var / 2) * eps
    with torch.no_grad():
        q = Independent(Normal(m + 0, torch.exp(log_var / 2)), 1)
    log_w = log_joint(z) - q.log_prob(z)
    with torch.no_grad():
        share = (log_w - log_w.logsumexp(0)).exp()
    return (share * share * log_w).sum(0).sum()


def half_stopped(which):
    def q_of(m, log_var):
        if which == "m":
            m = m.detach()
        else:
            log_var = log_var.detach()
        return Normal(m, (log_var / 2).exp())

    return q_of


RIGHT["11.3"] = [surrogate(squared), with_hook, without_grad]
WRONG["11.3"] = [
    (surrogate(plain), "this is sticking the landing"),
    (surrogate(plain, alive), "this is the plain gradient"),
    (surrogate(lambda log_w: log_w.logsumexp(0).sum(), alive), "this is the plain gradient"),
    (surrogate(lambda log_w: (log_w.softmax(0) ** 2 * log_w).sum()), "they have to stay so"),
    (surrogate(squared, alive, log_q_of=torch.Tensor.detach), "all of log q is detached"),
    (surrogate(squared, half_stopped("m")), "and log_var does not"),
    (surrogate(squared, half_stopped("log_var")), "and m does not"),
    (surrogate(squared, alive, z_of=torch.Tensor.detach), "only the score"),
    (surrogate(squared, z_of=torch.Tensor.detach), "no gradient passes"),
    (surrogate(lambda log_w: squared(log_w) / log_w.shape[1]), "a mean over the n examples"),
    (surrogate(lambda log_w: squared(log_w) / len(log_w)), "a mean over the k draws"),
    (
        surrogate(lambda log_w: (log_w.detach().softmax(0) ** 2 * log_w).mean()),
        "a mean over draws and examples",
    ),
    (surrogate(squared, alive, seen=torch.Tensor.detach), "z is detached in log_prob"),
    (surrogate(squared, seen=torch.Tensor.detach), "all of log q is detached"),
    (surrogate(lambda log_w: -squared(log_w)), "the sign is wrong"),
    (surrogate(lambda log_w: 2 * squared(log_w)), "the gradient by m should be"),
    (surrogate(lambda log_w: (log_w.detach().softmax(0) ** 3 * log_w).sum()), "the gradient by m should be"),
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


def with_torch_cov(mu):
    with warnings.catch_warnings():  # of one row: NaN
        warnings.simplefilter("ignore")
        return mu.T.cov()


def with_numpy_cov(mu):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.from_numpy(np.cov(mu.numpy(), rowvar=False))


def weighted_by_precision(mu, sigma):
    precision = 1 / sigma**2
    return (mu * precision).sum(0) / precision.sum(0), torch.diag(1 / precision.sum(0))


def last(d):
    """A vector that is 1 in its last place, 0 in all others."""
    return torch.eye(d)[-1]


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
        lambda mu, sigma: (mu.mean(0), with_torch_cov(mu) + within(sigma)),
        "4: the means' covariance is divided",
    ),
    (
        lambda mu, sigma: (mu.mean(0), with_numpy_cov(mu) + within(sigma)),
        "4: the means' covariance is divided",
    ),
    (
        prior(lambda mu, away, sigma: away.T @ away / (len(mu) - 1) + within(sigma)),
        "4: the means' covariance is divided",
    ),
    (prior(lambda mu, away, sigma: away.T @ away + torch.diag((sigma**2).sum(0))), "both parts are summed"),
    (prior(lambda mu, away, sigma: mu.T @ mu + within(sigma)), "squares are summed, around 0"),
    (
        prior(lambda mu, away, sigma: mu.T @ mu + torch.diag((sigma**2).sum(0))),
        "second moments are summed over the images",
    ),
    (prior(lambda mu, away, sigma: torch.linalg.inv(between(away) + within(sigma))), "the precision"),
    (prior(lambda mu, away, sigma: between(away) + within(sigma), lambda mu: mu.sum(0)), "m is the sum"),
    (lambda mu, sigma: weighted_by_precision(mu, sigma), "weighs the means by their precisions"),
    (
        prior(lambda mu, away, sigma: between(away) + within(sigma) + torch.diag(last(mu.shape[1]))),
        "C should be",
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
        prior(lambda mu, away, sigma: between(away) + within(sigma), mean=lambda mu: mu[0]),
        "m should be",
    ),
]


# 11.5: a codebook that follows -----------------------------------------------------------------------


RIGHT["11.5"] = [
    {"decay": 0.7, "revive_below": 0.2},
    {"decay": np.float64(0.5), "revive_below": torch.tensor(0.1)},
    {"revive_below": 0.3, "decay": 0.75},
    {"decay": 0.0, "revive_below": 0.1},
]
WRONG["11.5"] = [
    ({"decay": 0.99, "revive_below": 0.1}, "the codes lag behind"),
    (
        {"decay": 0.9, "revive_below": 0.1},
        "An average is 9.0 batches behind, in which the points move by 0.09",
    ),
    ({"decay": 0.9, "revive_below": 0.3}, "the codes lag behind"),
    ({"decay": 0.8, "revive_below": 0.01}, "is found dead too late"),
    ({"decay": 0.8, "revive_below": 0.0}, "a code without points stays dead"),
    ({"decay": 0.0, "revive_below": 0.0}, "a code without points stays dead"),
    ({"decay": 0.9, "revive_below": 0.9}, "calls codes dead that are in use"),
    ({"decay": 0.0, "revive_below": 0.95}, "calls codes dead that are in use"),
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
    (
        lambda codes, t: t[torch.cat([start(codes, t.shape[1] + 1), codes[:, :-1]], 1), codes].sum(1),
        "the start is row K, and K is log_table.shape[1]",
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
    ((expected | {"renamed": "more"}, usual), 'For "renamed" you predicted "more"'),
    ((expected | {"reversed": "more"}, usual), "a chain of pairs is a chain again"),
    ((expected | {"exchanged": "same"}, usual), 'it is "more", 130.0 nats. After an exchange'),
    ((dict.fromkeys(expected, "fewer"), usual), 'For "exchanged" you predicted "fewer"'),
    ((dict.fromkeys(expected, "more"), usual), 'another order. For "reversed" you predicted "more"'),
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


def unmoved(v):
    """KL(N(0, v) ‖ N(0, 1))."""
    return kl_divergence(Normal(0.0, v**0.5), Normal(0.0, 1.0)).item()


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
    (lambda a, s: split(right_top)(a, s**0.5), "you take it for the variance"),
    (split(lambda a, s: -0.5 * math.log(1 - abs(a) / (1 + s**2) ** 0.5)), "ρ stands squared"),
    (
        lambda a, s: (unmoved(1 - a**2 / (1 + s**2)), unmoved(1 / (1 + (1 - a**2) / s**2))),
        "in both the means are missing",
    ),
    (
        lambda a, s: (unmoved(1 - a**2 / (1 + s**2)), split(right_top)(a, s)[1]),
        "In the top the mean of q is missing",
    ),
    (
        lambda a, s: (right_top(a, s), unmoved(1 / (1 + (1 - a**2) / s**2))),
        "In the bottom the difference of the means",
    ),
    (lambda a, s: (2 * right_top(a, s), split(right_top)(a, s)[1]), "The ½ of the top is missing"),
    (lambda a, s: (right_top(a, s), 2 * split(right_top)(a, s)[1]), "The ½ of the bottom is missing"),
    (lambda a, s: (right_top(a, s), 2 * total(s) - right_top(a, s)), "its ½ is missing"),
    (split(lambda a, s: 2 * right_top(a, s)), "and the bottom has the rest"),
    (lambda a, s: (0.0, total(s)), "the top says nothing here"),
    (lambda a, s: right_top(a, s), "two numbers are asked for"),
    ((0.1, 0.2), "a function is needed"),
]
