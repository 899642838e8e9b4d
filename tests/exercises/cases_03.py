"""Answers to the exercises of chapter 3: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from scipy.stats import entropy, wasserstein_distance
from sklearn.neighbors import KernelDensity
from torch.distributions import Bernoulli, Categorical, MixtureSameFamily, Normal
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    kl_div,
    logsigmoid,
    softplus,
)

RIGHT = {}
WRONG = {}

# 3.1: the loss of a Gaussian -------------------------------------------------------------------------

TWO_PI = 2 * math.pi


def nll(x, mu, log_var):
    return -Normal(mu, (log_var / 2).exp()).log_prob(x)


def nll_without(x, mu, log_var, *, height=True, constant=True):
    squares = 0.5 * (x - mu) ** 2 / log_var.exp()
    return (squares + 0.5 * log_var * height + 0.5 * math.log(TWO_PI) * constant).mean()


RIGHT["3.1"] = [
    lambda x, mu, log_var: nll(x, mu, log_var).mean(),
    lambda x, mu, log_var: gaussian_nll_loss(mu.expand(len(x)), x, log_var.exp().expand(len(x)), full=True),
    lambda x, mu, log_var: nll(x, mu, log_var).sum() / len(x),
]
WRONG["3.1"] = [
    (lambda x, mu, log_var: -nll(x, mu, log_var).mean(), "the sign is wrong"),
    (lambda x, mu, log_var: nll(x, mu, log_var).sum(), "the sum over the data"),
    (lambda x, mu, log_var: nll(x, mu, log_var), "one number for each x"),
    (lambda x, mu, log_var: nll_without(x, mu, log_var, constant=False), "½ log 2π is missing"),
    (lambda x, mu, log_var: nll_without(x, mu, log_var, height=False), "the wider Gaussian always wins"),
    (lambda x, mu, log_var: nll_without(x, mu, log_var, height=False, constant=False), "only the squares"),
    (lambda x, mu, log_var: nll(x, mu, log_var).mean() + log_var / 2, "half of log_var"),
    (lambda x, mu, log_var: -Normal(mu, log_var.exp()).log_prob(x).mean(), "exp(log_var) for σ"),
    (lambda x, mu, log_var: -Normal(mu, log_var.sqrt()).log_prob(x).mean(), "log_var for the variance"),
    (
        lambda x, mu, log_var: (
            0.5 * (math.log(TWO_PI) + log_var + (x - mu) ** 2 / (log_var / 2).exp()).mean()
        ),
        "divided by σ, not by σ²",
    ),
    (
        lambda x, mu, log_var: (0.5 * math.log(TWO_PI) + log_var / 2 + (x - mu) ** 2 / log_var.exp()).mean(),
        "the 2 in 2σ² is missing",
    ),
    (lambda x, mu, log_var: nll(x, mu.detach(), log_var).mean(), "no gradient reaches mu"),
    (lambda x, mu, log_var: nll(x, mu, log_var.detach()).mean(), "no gradient reaches log_var"),
    (lambda x, mu, log_var: nll(x, mu, log_var).mean().item(), "no gradient reaches mu"),
    (lambda x, mu, log_var: 2.0 * nll(x, mu, log_var).mean(), "the loss should be"),
]

# 3.2: bits per dimension -----------------------------------------------------------------------------

RIGHT["3.2"] = [
    lambda nll, d: (nll + d * math.log(256)) / d / math.log(2),
    lambda nll, d: np.log2(np.e) * nll / d + np.log2(256),
    lambda nll, d: torch.tensor(nll / d / math.log(2) + 8.0),
]
WRONG["3.2"] = [
    (lambda nll, d: nll / (d * math.log(2)), "8 bits more for each pixel"),
    (lambda nll, d: nll / (d * math.log(2)) - 8, "the wrong way"),
    (lambda nll, d: nll / d + math.log(256), "nats per dimension"),
    (lambda nll, d: nll / d + 8, "nll is still in nats"),
    (lambda nll, d: nll / d * math.log(2) + 8, "you multiply by log 2"),
    (lambda nll, d: nll / math.log(2) + 8 * d, "bits per image"),
    (lambda nll, d: (nll / math.log(2) + 8) / d, "before adding"),
    (lambda nll, d: -nll / (d * math.log(2)) + 8, "the negative log-density already"),
    (lambda nll, d: nll / (d * math.log(256)) + 8, "becomes bytes"),
    (lambda nll, d: nll / (d * math.log(2)) + math.log2(255), "256 of them"),
    (lambda nll, d: 8.0, "should be"),
    (lambda nll, d: math.log2(nll), "your code stopped with ValueError"),
]

# 3.3: the KL of tables -------------------------------------------------------------------------------


def with_loop(p, q):
    total = 0.0
    for a, b in zip(p.tolist(), q.tolist(), strict=True):
        if a > 0:
            total += math.inf if b == 0 else a * math.log(a / b)
    return total


def hidden_by_a_constant(p, q):
    return (p * ((p + 1e-8) / (q + 1e-8)).log()).sum()


def skips_what_q_never_does(p, q):
    both = (p > 0) & (q > 0)
    return (p[both] * (p[both] / q[both]).log()).sum()


RIGHT["3.3"] = [
    with_loop,
    lambda p, q: np.float32(entropy(p.numpy(), q.numpy())),
    lambda p, q: (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(),
    lambda p, q: (
        kl_div(q.log(), p, reduction="sum")
        if ((q > 0) | (p == 0)).all() and (q > 0).all()
        else with_loop(p, q)
    ),
    lambda p, q: float(entropy(p, q)),
]
WRONG["3.3"] = [
    (lambda p, q: with_loop(q, p), "you average over q"),
    (lambda p, q: -with_loop(p, q), "never negative"),
    (lambda p, q: with_loop(p, q) / math.log(2), "in bits"),
    (lambda p, q: (p * (p / q).log()).mean(), "the mean over the categories"),
    (lambda p, q: (p / q).log().sum(), "the weights p are missing"),
    (lambda p, q: -(p * q.log()).sum(), "the cross-entropy"),
    (lambda p, q: Categorical(p).entropy(), "Where is q?"),
    (lambda p, q: with_loop(p, q) + with_loop(q, p), "both directions"),
    (lambda p, q: (with_loop(p, (p + q) / 2) + with_loop(q, (p + q) / 2)) / 2, "Jensen-Shannon"),
    (lambda p, q: p * (p / q).log(), "Add them up"),
    (lambda p, q: (p * (p / q).log()).sum(), "until p has a zero"),
    (hidden_by_a_constant, "only hides it"),
    (skips_what_q_never_does, "must cost infinitely much"),
]

# 3.4: the covering Gaussian --------------------------------------------------------------------------


def covering(w, m, s):
    mu = (w * m).sum()
    return mu, (w * s**2).sum(), (w * (m - mu) ** 2).sum()


def covering_with(combine):
    return lambda w, m, s: combine(*covering(w, m, s))


def by_torch(w, m, s):
    mixture = MixtureSameFamily(Categorical(w), Normal(m, s))
    return mixture.mean, mixture.variance.sqrt()


def by_moments(w, m, s):
    mean = float(w @ m)
    return mean, math.sqrt(float(w @ (s**2 + m**2)) - mean**2)


RIGHT["3.4"] = [by_torch, by_moments, covering_with(lambda mu, a, b: [mu, (a + b) ** 0.5])]
WRONG["3.4"] = [
    (covering_with(lambda mu, a, b: (mu, a.sqrt())), "The components also lie apart"),
    (covering_with(lambda mu, a, b: (mu, b.sqrt())), "a width of its own"),
    (covering_with(lambda mu, a, b: (mu, a + b)), "sigma is the variance"),
    (covering_with(lambda mu, a, b: (mu, a.sqrt() + b.sqrt())), "within and between"),
    (lambda w, m, s: ((w * m).sum(), (w * s).sum()), "averaged the standard deviations"),
    (lambda w, m, s: ((w * m).sum(), (w * (s**2 + m**2)).sum().sqrt()), "has not been subtracted"),
    (lambda w, m, s: (m.mean(), covering(w, m, s)[1].sqrt()), "missing in the mean"),
    (lambda w, m, s: ((w * m).sum(), (s**2 + (m - (w * m).sum()) ** 2).mean().sqrt()), "in the variance"),
    (lambda w, m, s: ((w * m).sum(), (w**2 * s**2).sum().sqrt()), "A mixture is no sum"),
    (lambda w, m, s: (w * m).sum(), "two numbers are needed"),
    (lambda w, m, s: (w * m, s), "mu should be a number"),
    (covering_with(lambda mu, a, b: (mu, (a + 2 * b).sqrt())), "should be"),
]

# 3.5: forward or reverse -----------------------------------------------------------------------------

RIGHT["3.5"] = [
    ["photographer", "forecaster", "insurer"],
    frozenset({"insurer", "forecaster", "photographer"}),
    ("insurer", "insurer", "photographer", "forecaster"),
]
WRONG["3.5"] = [
    ({"physicist", "forger", "encoder"}, "exactly the wrong way round"),
    ({"photographer"}, "'forecaster' is missing"),
    ({"photographer", "forecaster"}, "It forbids to miss anything"),
    ({"forecaster", "insurer"}, "'photographer' is missing"),
    ({"photographer", "forecaster", "forger"}, "Only an average over q sees that"),
    ({"photographer", "forecaster", "insurer", "encoder"}, "'encoder' does not belong there"),
    ({"photographer", "physicist"}, "she averages over draws from q"),
    ({"photograph"}, "nobody called 'photograph'"),
    ("photographer", "a set of names is needed"),
]

# 3.6: what logits prove -------------------------------------------------------------------------------

LOG2 = math.log(2)


def bound_with(combine):
    return lambda a, b: combine(logsigmoid(a).mean(), logsigmoid(-b).mean())


def by_cross_entropy(a, b):
    on_p = binary_cross_entropy_with_logits(a, torch.ones_like(a))
    on_q = binary_cross_entropy_with_logits(b, torch.zeros_like(b))
    return LOG2 - (on_p + on_q) / 2


RIGHT["3.6"] = [
    lambda a, b: LOG2 - (softplus(-a).mean() + softplus(b).mean()) / 2,
    by_cross_entropy,
    lambda a, b: (
        (Bernoulli(logits=a).log_prob(torch.tensor(1.0)).mean() + logsigmoid(-b).mean()).item() / 2 + LOG2
    ),
]
WRONG["3.6"] = [
    (bound_with(lambda p, q: (p + q) / 2), "log 2 is missing"),
    (bound_with(lambda p, q: 2 * LOG2 + p + q), "twice the bound"),
    (bound_with(lambda p, q: LOG2 + p + q), "the halves are missing"),
    (bound_with(lambda p, q: p + q), "the value of the game"),
    (bound_with(lambda p, q: -(p + q)), "the discriminator's loss"),
    (bound_with(lambda p, q: -(p + q) / 2), "half the discriminator's loss"),
    (lambda a, b: LOG2 + (logsigmoid(-a).mean() + logsigmoid(b).mean()) / 2, "p and q are exchanged"),
    (lambda a, b: LOG2 + (logsigmoid(a).mean() + logsigmoid(b).mean()) / 2, "both sides use"),
    (lambda a, b: LOG2 + (a.sigmoid().mean() + (1 - b.sigmoid()).mean()) / 2, "their logarithms that count"),
    (lambda a, b: LOG2 + torch.cat([logsigmoid(a), logsigmoid(-b)]).mean(), "a mean of its own"),
    (lambda a, b: LOG2 + (logsigmoid(a).sum() + logsigmoid(-b).sum()) / 2, "not divided"),
    (lambda a, b: LOG2 + logsigmoid(a) / 2, "one number for each draw"),
    (
        lambda a, b: LOG2 + (a.sigmoid().log().mean() + (1 - b.sigmoid()).log().mean()) / 2,
        "wrong for large ones",
    ),
    (
        lambda a, b: LOG2 + ((a.sigmoid() + 1e-8).log().mean() + (1 - b.sigmoid() + 1e-8).log().mean()) / 2,
        "only hides it",
    ),
]

# 3.7: Wasserstein-1 ----------------------------------------------------------------------------------


def by_cdf(x, y):
    steps = torch.cat([x, y]).sort().values
    f, g = ((s[:, None] <= steps[:-1]).float().mean(0) for s in (x, y))
    return ((f - g).abs() * steps.diff()).sum()


RIGHT["3.7"] = [
    lambda x, y: wasserstein_distance(x.numpy(), y.numpy()),
    by_cdf,
    lambda x, y: np.abs(np.sort(x.numpy()) - np.sort(y.numpy())).mean(),
    lambda x, y: (x.sort(descending=True).values - y.sort(descending=True).values).abs().sum() / len(x),
]
WRONG["3.7"] = [
    (lambda x, y: (x - y).abs().mean(), "not sorted"),
    (lambda x, y: (x.sort().values - y.sort().values).mean(), "cancel"),
    (lambda x, y: (x.mean() - y.mean()).abs(), "cancel"),
    (lambda x, y: ((x.sort().values - y.sort().values) ** 2).mean(), "the mean of the squares"),
    (lambda x, y: ((x.sort().values - y.sort().values) ** 2).mean().sqrt(), "second Wasserstein"),
    (lambda x, y: (x.sort().values - y.sort().values).abs().sum(), "the sum of the ways"),
    (lambda x, y: (x.sort().values - y.sort().values).abs().max(), "the longest way"),
    (lambda x, y: (x.sort().values - y.sort(descending=True).values).abs().mean(), "the worst plan"),
    (lambda x, y: (x.sort().values - y).abs().mean(), "only one of the two"),
    (lambda x, y: (x - y.sort().values).abs().mean(), "only one of the two"),
    (lambda x, y: (x[:, None] - y).abs().min(1).values.mean(), "nearest neighbour"),
    (lambda x, y: (x[:, None] - y).abs().mean(), "everybody goes everywhere"),
    (lambda x, y: (x.sort() - y.sort()).abs().mean(), "your code stopped with TypeError"),
    (lambda x, y: (x.sort().values - y.sort().values).abs(), "should be a number"),
]

# 3.8: a kernel density -------------------------------------------------------------------------------


def kernels(x, data, h):
    return Normal(data, h).log_prob(x[:, None])


def by_sklearn(x, data, h):
    return KernelDensity(bandwidth=h).fit(data[:, None].numpy()).score_samples(x[:, None].numpy())


def by_mixture(x, data, h):
    return MixtureSameFamily(Categorical(torch.ones(len(data))), Normal(data, torch.tensor(h))).log_prob(x)


def by_formula(x, data, h):
    scaled = -((x - data[:, None]) ** 2) / (2 * h**2)
    return torch.logsumexp(scaled, dim=0) - math.log(len(data) * h * math.sqrt(TWO_PI))


RIGHT["3.8"] = [by_sklearn, by_mixture, by_formula]
WRONG["3.8"] = [
    (lambda x, data, h: kernels(x, data, h).mean(1), "the mean of the logarithms"),
    (lambda x, data, h: kernels(x, data, h).logsumexp(1), "Subtract log n"),
    (lambda x, data, h: kernels(x, data, h).logsumexp(1) / len(data), "do not divide by n"),
    (lambda x, data, h: kernels(x, data, h).exp().mean(1), "Its logarithm is asked for"),
    (lambda x, data, h: kernels(x, data, h).exp().mean(1).log(), "underflow to zero"),
    (
        lambda x, data, h: by_formula(x, data, h) + math.log(h * math.sqrt(TWO_PI)),
        "the height of the kernels is missing",
    ),
    (lambda x, data, h: by_formula(x, data, h**0.5), "too wide"),
    (lambda x, data, h: by_formula(x, data, h**2), "too narrow"),
    (lambda x, data, h: by_formula(x, data, h) - math.log(h), "already has the factor 1/h"),
    (lambda x, data, h: kernels(x, data, h).max(1).values - math.log(len(data)), "only the nearest centre"),
    (lambda x, data, h: -by_formula(x, data, h), "the sign is turned round"),
    (kernels, "each pair of x and centre"),
    (lambda x, data, h: kernels(x, data, h).logsumexp(0) - math.log(len(x)), "each centre"),
    (lambda x, data, h: kernels(x, data, h).logsumexp(1).mean(), "should have shape (7,)"),
    (lambda x, data, h: Normal(data, h).log_prob(x), "your code stopped with RuntimeError"),
]
