"""Answers to the exercises of chapter 9: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import norm
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

RIGHT = {}
WRONG = {}


# 9.1: the log-probability of an image ----------------------------------------------------------------


def cross_entropy(x, logits, **settings):
    return F.binary_cross_entropy_with_logits(logits, x, **settings)


def with_small_constant(x, logits):
    p = logits.sigmoid()
    return (x * (p + 1e-8).log() + (1 - x) * (1 - p + 1e-8).log()).sum((1, 2, 3))


def with_plain_log(x, logits):
    p = logits.sigmoid()
    return torch.where(x == 1, p.log(), (1 - p).log()).sum((1, 2, 3))


def logits_as_probabilities(x, logits):
    return (x * logits.log() + (1 - x) * (1 - logits).log()).sum((1, 2, 3))


RIGHT["9.1"] = [
    lambda x, logits: Independent(Bernoulli(logits=logits), 3).log_prob(x),
    lambda x, logits: Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3)),
    lambda x, logits: (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(dim=(-3, -2, -1)),
    lambda x, logits: (x * logits - F.softplus(logits)).flatten(1).sum(1),
    lambda x, logits: torch.stack(
        [-cross_entropy(a, b, reduction="sum") for a, b in zip(x, logits, strict=True)]
    ),
]
WRONG["9.1"] = [
    (lambda x, logits: -cross_entropy(x, logits, reduction="none").flatten(1).mean(1), "784 times too small"),
    (lambda x, logits: cross_entropy(x, logits, reduction="none").sum((1, 2, 3)), "never positive"),
    (lambda x, logits: cross_entropy(x, logits, reduction="none").mean((1, 2, 3)), "sign and sum are wrong"),
    (lambda x, logits: -cross_entropy(x, logits), "one number for the whole batch"),
    (lambda x, logits: -cross_entropy(x, logits, reduction="sum"), "Keep the images apart"),
    (lambda x, logits: -cross_entropy(x, logits, reduction="none"), "one number for each pixel"),
    (
        lambda x, logits: -cross_entropy(x, logits, reduction="none").sum(0),
        "one number for each image is shape",
    ),
    (lambda x, logits: -cross_entropy(logits, x, reduction="none").sum((1, 2, 3)), "have changed places"),
    (lambda x, logits: (x * F.logsigmoid(logits)).sum((1, 2, 3)), "black ones are not"),
    (with_small_constant, "yours costs 18.42"),
    (with_plain_log, "yours costs inf"),
    (
        lambda x, logits: -F.binary_cross_entropy(logits.sigmoid(), x, reduction="none").sum((1, 2, 3)),
        "costs 100",
    ),
    (logits_as_probabilities, "a logit is any real number"),
    (lambda x, logits: -F.binary_cross_entropy(logits, x), "your code stopped with RuntimeError"),
]


# 9.2: the KL of a code -------------------------------------------------------------------------------


def with_pytorch(mu, log_var):
    return kl_divergence(Normal(mu, (log_var / 2).exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu)))


def with_sigma(mu, log_var):
    sigma = (0.5 * log_var).exp()
    return (mu**2 + sigma**2 - 1) / 2 - sigma.log()


def other_kl(mu, log_var):
    return kl_divergence(Normal(0.0, 1.0), Normal(mu, (log_var / 2).exp()))


RIGHT["9.2"] = [
    with_pytorch,
    with_sigma,
    lambda mu, log_var: -0.5 * (1 + log_var - mu.pow(2) - torch.exp(log_var)),
]
WRONG["9.2"] = [
    (lambda mu, log_var: 0.5 * (1 + log_var - mu**2 - log_var.exp()), "A KL is never negative"),
    (lambda mu, log_var: mu**2 + log_var.exp() - 1 - log_var, "factor ½ is missing"),
    (lambda mu, log_var: 0.5 * (mu**2 + (2 * log_var).exp() - 1 - 2 * log_var), "taken for log σ"),
    (lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() ** 2 - 1 - log_var), "its square σ⁴"),
    (lambda mu, log_var: 0.5 * (mu**2 + (log_var / 2).exp() - 1 - log_var), "take no root"),
    (lambda mu, log_var: 0.5 * (mu + log_var.exp() - 1 - log_var), "mu enters as its square"),
    (lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 + log_var), "has to cost"),
    (lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - log_var), "the -1 is missing"),
    (other_kl, "the other KL"),
    (lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1) - log_var, "the ½ of log σ = ½ log σ² is missing"),
    (lambda mu, log_var: with_pytorch(mu, log_var).sum(1), "summed over the latent dimensions"),
    (lambda mu, log_var: with_pytorch(mu, log_var).sum(1).mean(), "one number for the whole batch"),
    (lambda mu, log_var: with_pytorch(mu, log_var).mean(1), "should have shape (7, 3)"),
    (lambda mu, log_var: 0.5 * (mu**2 + log_var - 1 - log_var.log()), "contains NaN"),
    (lambda mu, log_var: 0.5 * (mu**2 + log_var - 1 - log_var.abs().log()), "Undo the logarithm"),
]


# 9.3: the loss ---------------------------------------------------------------------------------------


def pieces(x, eps, encode, decode, scale=lambda log_var: (log_var / 2).exp()):
    mu, log_var = encode(x)
    price = cross_entropy(x, decode(mu + scale(log_var) * eps), reduction="none").flatten(1)
    return price, 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def loss_with(combine, **settings):
    return lambda x, eps, encode, decode: combine(*pieces(x, eps, encode, decode, **settings))


def with_distributions(x, eps, encode, decode):
    mu, log_var = encode(x)
    q = Normal(mu, (log_var / 2).exp())
    p = Independent(Bernoulli(logits=decode(q.mean + q.stddev * eps)), 3)
    return (kl_divergence(q, Normal(0.0, 1.0)).sum(-1) - p.log_prob(x)).mean()


def rolls_its_own_dice(x, eps, encode, decode):
    return loss_with(lambda price, kl: (price.sum(1) + kl.sum(1)).mean())(
        x, torch.randn_like(eps), encode, decode
    )


def without_noise(x, eps, encode, decode):
    return loss_with(lambda price, kl: price.sum(1).mean() + kl.sum(1).mean())(x, 0 * eps, encode, decode)


def without_mean(x, eps, encode, decode):
    mu, log_var = encode(x)
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
    price = cross_entropy(x, decode((log_var / 2).exp() * eps), reduction="none").flatten(1).sum(1)
    return (price + kl).mean()


def from_the_prior(x, eps, encode, decode):
    mu, log_var = encode(x)
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
    return (cross_entropy(x, decode(eps), reduction="none").flatten(1).sum(1) + kl).mean()


def three_densities(x, eps, encode, decode):
    mu, log_var = encode(x)
    q = Normal(mu, (log_var / 2).exp())
    z = q.mean + q.stddev * eps
    log_ratio = (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)
    return (log_ratio - Independent(Bernoulli(logits=decode(z)), 3).log_prob(x)).mean()


def deaf(x, eps, encode, decode):
    mu, log_var = encode(x)
    z = (mu + (log_var / 2).exp() * eps).detach()
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
    return (cross_entropy(x, decode(z), reduction="none").flatten(1).sum(1) + kl).mean()


def half_deaf(x, eps, encode, decode):
    mu, log_var = encode(x)
    z = mu + (log_var / 2).exp().detach() * eps
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
    return (cross_entropy(x, decode(z), reduction="none").flatten(1).sum(1) + kl).mean()


RIGHT["9.3"] = [
    with_distributions,
    loss_with(lambda price, kl: price.sum(1).mean() + kl.sum(1).mean()),
    loss_with(lambda price, kl: (price.sum() + kl.sum()) / len(price)),
    loss_with(lambda price, kl: 784 * price.mean() + kl.sum(1).mean()),
]
WRONG["9.3"] = [
    (loss_with(lambda price, kl: price.mean() + kl.sum(1).mean()), "the smudge"),
    (loss_with(lambda price, kl: price.mean() + kl.mean()), "everything is averaged"),
    (loss_with(lambda price, kl: price.sum(1).mean() + kl.mean()), "the KL is averaged over the latent"),
    (loss_with(lambda price, kl: price.sum() + kl.sum()), "the batch is summed"),
    (loss_with(lambda price, kl: (price.sum(1) - kl.sum(1)).mean()), "the KL has the wrong sign"),
    (loss_with(lambda price, kl: -(price.sum(1) + kl.sum(1)).mean()), "this is the ELBO"),
    (loss_with(lambda price, kl: (kl.sum(1) - price.sum(1)).mean()), "the reconstruction has the wrong sign"),
    (loss_with(lambda price, kl: price.sum(1).mean()), "the KL is missing"),
    (loss_with(lambda price, kl: kl.sum(1).mean()), "the reconstruction is missing"),
    (loss_with(lambda price, kl: price.sum(1) + kl.sum(1)), "one number for each image"),
    (
        loss_with(lambda price, kl: (price.sum(1) + kl.sum(1)).mean(), scale=torch.exp),
        "scaled by the variance",
    ),
    (loss_with(lambda price, kl: (price.sum(1) + kl.sum(1)).mean(), scale=lambda v: v), "by log_var itself"),
    (loss_with(lambda price, kl: (price.sum(1) + kl.sum(1)).mean().detach()), "no gradient passes"),
    (rolls_its_own_dice, "rolls dice of its own"),
    (without_noise, "eps is not used"),
    (without_mean, "mu is missing in z"),
    (from_the_prior, "a draw from the prior"),
    (three_densities, "the form with all three densities"),
    (deaf, "the gradient that reaches mu"),
    (half_deaf, "the gradient that reaches log_var"),
    (loss_with(lambda price, kl: (price.sum(1) + kl.sum(1)).mean().item()), "no gradient passes"),
]


# 9.4: the Gaussian behind a weighted loss ------------------------------------------------------------

RIGHT["9.4"] = [
    lambda weight, pixels: math.sqrt(weight * pixels / 2),
    lambda weight, pixels: np.sqrt(0.5 * pixels * weight),
    lambda weight, pixels: torch.tensor(weight * pixels).div(2).sqrt(),
]
WRONG["9.4"] = [
    (lambda weight, pixels: (weight * pixels) ** 0.5, "the 2 of the Gaussian's 1/(2σ²) is missing"),
    (lambda weight, pixels: weight * pixels / 2, "this is the variance"),
    (lambda weight, pixels: weight * pixels, "twice the variance"),
    (lambda weight, pixels: (2 / (weight * pixels)) ** 0.5, "upside down"),
    (lambda weight, pixels: (weight / 2) ** 0.5, "the number of pixels is missing"),
    (lambda weight, pixels: (2 * weight * pixels) ** 0.5, "wrong side"),
    (lambda weight, pixels: (1 / (2 * weight * pixels)) ** 0.5, "The weight divides"),
    (lambda weight, pixels: 1.24, "σ should be"),
    (1.24, "a function is needed"),
]


# 9.5: sampling ---------------------------------------------------------------------------------------


def one_by_one(decode, n, d):
    with torch.no_grad():
        return torch.cat([decode(torch.randn(1, d)) for _ in range(n)]).sigmoid()


RIGHT["9.5"] = [
    lambda decode, n, d: torch.sigmoid(decode(Normal(0.0, 1.0).sample((n, d)))),
    lambda decode, n, d: Bernoulli(logits=decode(torch.randn(n, d))).mean,
    lambda decode, n, d: 1 / (1 + torch.exp(-decode(torch.empty(n, d).normal_()))),
    one_by_one,
]
WRONG["9.5"] = [
    (lambda decode, n, d: decode(torch.rand(n, d)).sigmoid(), "rand draws uniformly"),
    (lambda decode, n, d: decode(2 * torch.rand(n, d) - 1).sigmoid(), "have standard deviation 0.58"),
    (lambda decode, n, d: decode((12**0.5) * (torch.rand(n, d) - 0.5)).sigmoid(), "they are not normal"),
    (lambda decode, n, d: decode(torch.randn(n, d) + 1).sigmoid(), "have mean"),
    (lambda decode, n, d: decode(torch.zeros(n, d)).sigmoid(), "the same code"),
    (
        lambda decode, n, d: decode(torch.randn(1, d)).sigmoid().expand(n, 1, 28, 28),
        "one code serves for all",
    ),
    (lambda decode, n, d: decode(torch.randn(d)).sigmoid(), "one code serves for all"),
    (lambda decode, n, d: decode(torch.randn(1, d).expand(n, d)).sigmoid(), "the same code"),
    (lambda decode, n, d: decode(torch.randn(n, 1).expand(n, d)).sigmoid(), "you drew (n, 1)"),
    (lambda decode, n, d: decode(torch.randn(n, 1)).sigmoid(), "your code stopped with RuntimeError"),
    (lambda decode, n, d: decode(torch.randn(n, d)), "these are logits"),
    (lambda decode, n, d: decode(torch.randn(n, d)).tanh(), "tanh reaches from -1 to 1"),
    (lambda decode, n, d: (decode(torch.randn(n, d)).tanh() + 1) / 2, "sigmoid(2 · logit)"),
    (lambda decode, n, d: decode(torch.randn(n, d)).clamp(0, 1), "clamping logits"),
    (lambda decode, n, d: Bernoulli(logits=decode(torch.randn(n, d))).sample(), "draws of pixels"),
    (lambda decode, n, d: torch.rand(n, 1, 28, 28), "decode was never called"),
]


# 9.6: active dimensions ------------------------------------------------------------------------------

RIGHT["9.6"] = [
    lambda mu, log_var: (mu.var(dim=0) > 0.01).sum(),
    lambda mu, log_var: int(np.sum(np.var(mu.numpy(), axis=0) > 0.01)),
    lambda mu, log_var: sum(1 for column in mu.T if column.std() > 0.1),
    lambda mu, log_var: (((mu - mu.mean(0)) ** 2).mean(0) > 1e-2).count_nonzero().item(),
]
WRONG["9.6"] = [
    (lambda mu, log_var: (mu.std(0) > 0.01).sum(), "compared the standard deviation"),
    (lambda mu, log_var: (mu.var(1) > 0.01).sum(), "over the dimensions of each code"),
    (lambda mu, log_var: (log_var.exp().mean(0) > 0.01).sum(), "variance of the code of one image"),
    (
        lambda mu, log_var: ((0.5 * (mu**2 + log_var.exp() - 1 - log_var)).mean(0) > 0.01).sum(),
        "whose KL is above 0.01",
    ),
    (lambda mu, log_var: ((mu**2).mean(0) > 0.01).sum(), "mean squares"),
    (lambda mu, log_var: (mu.mean(0).abs() > 0.01).sum(), "counts large means"),
    (lambda mu, log_var: (log_var.var(0) > 0.01).sum(), "let log_var itself vary"),
    (lambda mu, log_var: (mu.var(0) <= 0.01).sum(), "the inactive ones"),
    (lambda mu, log_var: mu.var(0) > 0.01, "one value for each dimension"),
    (lambda mu, log_var: mu.var(0), "one value for each dimension"),
    (
        lambda mu, log_var: ((mu + (log_var / 2).exp() * torch.randn_like(mu)).var(0) > 0.01).sum(),
        "the variance of z over everything",
    ),
    (lambda mu, log_var: 20, "and you count 20"),
]


# 9.7: the grid ---------------------------------------------------------------------------------------


def line(side):
    return Normal(0.0, 1.0).icdf((torch.arange(side) + 0.5) / side)


def grid(z):
    return torch.stack(torch.meshgrid(z, z, indexing="xy"), dim=-1)


def with_scipy(side):
    z = norm.ppf((np.arange(side) + 0.5) / side)
    return np.stack(np.meshgrid(z, z), axis=-1)


def with_loops(side):
    z = line(side).tolist()
    return [[[z[j], z[i]] for j in range(side)] for i in range(side)]


RIGHT["9.7"] = [
    with_scipy,
    with_loops,
    lambda side: torch.stack([line(side).expand(side, side), line(side)[:, None].expand(side, side)], dim=2),
]
WRONG["9.7"] = [
    (lambda side: grid(Normal(0.0, 1.0).icdf(torch.linspace(0, 1, side))), "contains infinity"),
    (lambda side: grid(torch.linspace(-2, 2, side)), "evenly spaced"),
    (lambda side: grid(torch.linspace(-2, 2, side)).flip(-1), "evenly spaced"),
    (lambda side: grid(line(side)).flip(-1), "rows and columns are exchanged"),
    (lambda side: torch.stack(torch.meshgrid(line(side), line(side), indexing="ij"), -1), "are exchanged"),
    (lambda side: grid(line(side)).flip(0), "runs upwards"),
    (lambda side: grid((torch.arange(side) + 0.5) / side), "these are probabilities u"),
    (lambda side: grid(Normal(0.0, 1.0).cdf((torch.arange(side) + 0.5) / side)), "this is Φ(u)"),
    (lambda side: torch.stack(torch.meshgrid(line(side), line(side), indexing="xy")), "come last"),
    (lambda side: grid(Normal(0.0, 1.0).icdf(torch.linspace(0, 1, side + 2)[1:-1])), "not equal"),
    (lambda side: grid(line(side)).reshape(-1, 2), "one long list"),
    (lambda side: grid(line(5)), "should have shape (4, 4, 2)"),
    (lambda side: grid(Normal(0.0, 1.0).icdf(torch.linspace(0.05, 0.95, side))), "should be"),
]


# 9.8: the k-sample bound -----------------------------------------------------------------------------

RIGHT["9.8"] = [
    lambda log_w: torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0]),
    lambda log_w: (log_w - log_w.max(0).values).exp().mean(0).log() + log_w.max(0).values,
    lambda log_w: torch.logsumexp(log_w - math.log(len(log_w)), 0),
    lambda log_w: np.logaddexp.reduce(log_w.numpy(), axis=0) - np.log(len(log_w)),
]
WRONG["9.8"] = [
    (lambda log_w: log_w.mean(0), "the ELBO"),
    (lambda log_w: log_w.logsumexp(0), "subtract log k"),
    (lambda log_w: log_w.logsumexp(0) + math.log(len(log_w)), "log k is added"),
    (lambda log_w: log_w.logsumexp(0) / len(log_w), "Divide inside"),
    (lambda log_w: (log_w.softmax(0) * log_w).sum(0), "It is no bound"),
    (lambda log_w: log_w.exp().mean(0).log(), "underflows to zero"),
    (lambda log_w: log_w.logsumexp(1) - math.log(log_w.shape[1]), "Draws come first"),
    (lambda log_w: log_w.logsumexp((0, 1)), "one number for all images"),
    (lambda log_w: math.log(len(log_w)) - log_w.logsumexp(0), "the sign is wrong"),
    (lambda log_w: log_w.exp().mean(0), "the logarithm is missing"),
    (lambda log_w: log_w.max(0).values, "the largest weight"),
    (lambda log_w: log_w.logsumexp(0) - math.log(log_w.shape[1]), "the bound should be"),
]
