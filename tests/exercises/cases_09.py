"""Answers to the exercises of chapter 9: other right ways, and known mistakes with their messages."""

import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.stats import norm
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

RIGHT = {}
WRONG = {}
REFUSED = {"9.3": {"as numpy": "a gradient has to pass", "without history": "a gradient has to pass"}}


# 9.1: a grey image and its tosses --------------------------------------------------------------------


def experiment(toss=torch.bernoulli, n=5000):
    def run():
        grey, logits = torch.rand(784), torch.randn(784)
        some = toss(grey.expand(n, 784))
        nats = [
            F.binary_cross_entropy_with_logits(logits.expand_as(x), x, reduction="none") for x in (some, grey)
        ]
        return (nats[0].sum(1).mean() - nats[1].sum()).item()

    return run


RIGHT["9.1"] = [(0, experiment()), (np.float64(0.5), experiment()), [torch.tensor([-0.4]), experiment()]]
WRONG["9.1"] = [
    ((46.0, experiment()), "you predicted that the tosses would cost more"),
    ((0.6, experiment()), "is linear in x"),
    ((-1, experiment()), "you predicted that the grey image would cost more"),
    ((0.0, experiment(toss=lambda x: x.round())), "was it changed?"),
    ((0.0, lambda: None), "the result is None"),
    (("the same", experiment()), "your prediction should be a number"),
    ((0.0, 0.1), "wants both in this order"),
]


# 9.2: the best answer of an encoder ------------------------------------------------------------------


def by_search(c, m, weight):
    def cost(at):
        mu, log_sigma = at
        variance = math.exp(2 * log_sigma)
        kl = 0.5 * (mu**2 + variance - 1 - 2 * log_sigma)
        return 0.5 * c * ((mu - m) ** 2 + variance) / weight + kl

    mu, log_sigma = minimize(cost, [0.0, 0.0], tol=1e-9).x
    return mu, math.exp(log_sigma)


def by_precision(c, m, weight):
    q = Normal(torch.tensor(m * c / weight / (1 + c / weight)), (1 + torch.tensor(c / weight)) ** -0.5)
    return q.mean, q.stddev


def best(mu=lambda c, m, w: c * m / (c + w), sigma=lambda c, w: math.sqrt(w / (c + w))):
    return lambda c, m, weight: (mu(c, m, weight), sigma(c, weight))


RIGHT["9.2"] = [
    by_search,
    by_precision,
    lambda c, m, weight: [m / (1 + weight / c), np.sqrt(1 / (1 + c / weight))],
    lambda c, m, weight: np.array([c * m, math.sqrt(weight * (c + weight))]) / (c + weight),
]
WRONG["9.2"] = [
    (best(sigma=lambda c, w: w / (c + w)), "in the place of sigma stands the variance"),
    (best(sigma=lambda c, w: 0.5 * math.log(w / (c + w))), "stands log σ"),
    (best(lambda c, m, w: c * m / (c + 1), lambda c, w: (c + 1) ** -0.5), "right for the weight 1 only"),
    (best(lambda c, m, w: m), "leaves the KL out of account"),
    (best(sigma=lambda c, w: math.sqrt(w / c)), "Your sigma leaves out the σ² of the KL"),
    (best(sigma=lambda c, w: math.sqrt(c / (c + w))), "the narrower the code"),
    (best(sigma=lambda c, w: (c + w) ** -0.5), "1 / (c + λ) would be σ²"),
    (best(lambda c, m, w: w * m / (c + w), lambda c, w: math.sqrt(c / (c + w))), "have changed places"),
    (lambda c, m, w: best()(c, m, 1 / w), "before the wrong term"),
    (lambda c, m, w: best()(2 * c, m, w), "the ½ in front of c is missing"),
    (lambda c, m, w: best()(c, m, 2 * w), "the ½ in front of the KL is missing"),
    (best(sigma=lambda c, w: (1 + c) ** -0.5), "λ is missing in it"),
    (best(lambda c, m, w: m / (c + w)), "m is multiplied by c"),
    (lambda c, m, w: (0.0, 1.0), "these are the prior's 0 and 1"),
    (lambda c, m, w: best()(c, m, w)[::-1], "mu comes first"),
    (best(sigma=lambda c, w: math.log(w / (c + w))), "stands log σ²"),
    (lambda c, m, w: (m, 0.0), "[mu, sigma] should be 1.5 at index [0], and is 2"),
    (lambda c, m, w: c * m / (c + w), "two numbers are asked for"),
    (lambda c, m, w: (c * m / (c + w), None), "sigma is None"),
    ((1.5, 0.5), "a function is needed"),
]


# 9.3: the loss ---------------------------------------------------------------------------------------


def cross_entropy(x, logits, **settings):
    return F.binary_cross_entropy_with_logits(logits, x, **settings)


def pieces(x, eps, encode, decode, scale=lambda log_var: (log_var / 2).exp()):
    mu, log_var = encode(x)
    image = cross_entropy(x, decode(mu + scale(log_var) * eps), reduction="none").flatten(1)
    return image, 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def loss_with(combine, **settings):
    return lambda x, eps, encode, decode: combine(*pieces(x, eps, encode, decode, **settings))


def with_distributions(x, eps, encode, decode):
    mu, log_var = encode(x)
    q = Normal(mu, (log_var / 2).exp())
    p = Independent(Bernoulli(logits=decode(q.mean + q.stddev * eps)), 3)
    return (kl_divergence(q, Normal(0.0, 1.0)).sum(-1) - p.log_prob(x)).mean()


def draws_noise_of_its_own(x, eps, encode, decode):
    return loss_with(lambda image, kl: (image.sum(1) + kl.sum(1)).mean())(
        x, torch.randn_like(eps), encode, decode
    )


def without_noise(x, eps, encode, decode):
    return loss_with(lambda image, kl: image.sum(1).mean() + kl.sum(1).mean())(x, 0 * eps, encode, decode)


def without_mean(x, eps, encode, decode):
    mu, log_var = encode(x)
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
    image = cross_entropy(x, decode((log_var / 2).exp() * eps), reduction="none").flatten(1).sum(1)
    return (image + kl).mean()


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


def cut_off(x, eps, encode, decode):
    mu, log_var = encode(x)
    z = (mu + (log_var / 2).exp() * eps).detach()
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
    return (cross_entropy(x, decode(z), reduction="none").flatten(1).sum(1) + kl).mean()


def half_cut_off(x, eps, encode, decode):
    mu, log_var = encode(x)
    z = mu + (log_var / 2).exp().detach() * eps
    kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)
    return (cross_entropy(x, decode(z), reduction="none").flatten(1).sum(1) + kl).mean()


def rescaled(scale):
    return loss_with(lambda image, kl: (image.sum(1) + kl.sum(1)).mean(), scale=scale)


def with_another_kl(scale, variance, log_scale=1.0):
    """An answer with another scale of the noise, and another variance and log-variance in the KL."""

    def answer(x, eps, encode, decode):
        mu, log_var = encode(x)
        image = cross_entropy(x, decode(mu + scale(log_var) * eps), reduction="none").flatten(1)
        kl = 0.5 * (mu**2 + variance(log_var) - 1 - log_scale * log_var)
        return (image.sum(1) + kl.sum(1)).mean()

    return answer


def clamped(x, eps, encode, decode, low, high):
    mu, log_var = encode(x)
    return RIGHT["9.3"][0](x, eps, lambda x: (mu, log_var.clamp(low, high)), decode)


log_sigma_throughout = with_another_kl(torch.exp, lambda v: (2 * v).exp(), log_scale=2.0)

RIGHT["9.3"] = [
    with_distributions,
    loss_with(lambda image, kl: image.sum(1).mean() + kl.sum(1).mean()),
    loss_with(lambda image, kl: (image.sum() + kl.sum()) / len(image)),
    loss_with(lambda image, kl: 784 * image.mean() + kl.sum(1).mean()),
]
WRONG["9.3"] = [
    (loss_with(lambda image, kl: image.mean() + kl.sum(1).mean()), "the smudge"),
    (loss_with(lambda image, kl: image.mean() + kl.mean()), "everything is averaged"),
    (loss_with(lambda image, kl: image.sum(1).mean() + kl.mean()), "the KL is averaged over the latent"),
    (loss_with(lambda image, kl: image.sum() + kl.sum()), "the batch is summed"),
    (loss_with(lambda image, kl: (image.sum(1) - kl.sum(1)).mean()), "the KL has the wrong sign"),
    (loss_with(lambda image, kl: -(image.sum(1) + kl.sum(1)).mean()), "this is the ELBO"),
    (loss_with(lambda image, kl: (kl.sum(1) - image.sum(1)).mean()), "the reconstruction has the wrong sign"),
    (loss_with(lambda image, kl: image.sum(1).mean()), "the KL is missing"),
    (loss_with(lambda image, kl: kl.sum(1).mean()), "the reconstruction is missing"),
    (loss_with(lambda image, kl: image.sum(1) + kl.sum(1)), "one number for each image"),
    (rescaled(lambda v: v), "by log_var itself"),
    (rescaled(lambda v: v / 2), "by half of log_var"),
    (rescaled(torch.sqrt), "the square root of log_var"),
    (rescaled(lambda v: (2 * v).exp()), "log_var has to be halved"),
    (rescaled(lambda v: (-v / 2).exp()), "the scale of the noise is 1/σ"),
    (rescaled(torch.ones_like), "the noise is not scaled"),
    (log_sigma_throughout, "both take log_var for log σ"),
    (with_another_kl(torch.exp, lambda v: (2 * v).exp()), "and the KL, which was right, is changed"),
    (with_another_kl(lambda v: (v / 2).exp(), lambda v: (v / 2).exp()), "take no root there"),
    (loss_with(lambda image, kl: (image.sum(1) + kl.sum(1)).mean().detach()), "no gradient passes"),
    (draws_noise_of_its_own, "draws noise of its own"),
    (without_noise, "eps is not used"),
    (without_mean, "mu is missing in z"),
    (from_the_prior, "a draw from the prior"),
    (loss_with(lambda image, kl: image.sum(1).mean() + kl.sum()), "the KL is summed over the batch"),
    (loss_with(lambda image, kl: (image.sum(1) + 2 * kl.sum(1)).mean()), "has lost its ½"),
    (partial(clamped, low=-4, high=20), "the loss should be"),
    (partial(clamped, low=-20, high=4), "the loss should be"),
    (partial(clamped, low=-3, high=3), "the loss should be"),
    (three_densities, "the form with all three densities"),
    (cut_off, "the gradient that reaches mu"),
    (half_cut_off, "the gradient that reaches log_var"),
    (loss_with(lambda image, kl: (image.sum(1) + kl.sum(1)).mean().item()), "no gradient passes"),
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
    (lambda weight, pixels: (weight * pixels) ** 0.5 / 2, "the ½ belongs under the root"),
    (lambda weight, pixels: (3 * weight * pixels / 2) ** 0.5, "no other 3"),
    (lambda weight, pixels: weight * pixels, "twice the variance"),
    (lambda weight, pixels: (2 / (weight * pixels)) ** 0.5, "upside down"),
    (lambda weight, pixels: (weight / 2) ** 0.5, "the number of pixels is missing"),
    (lambda weight, pixels: (2 * weight * pixels) ** 0.5, "wrong side"),
    (lambda weight, pixels: (weight / pixels / 2) ** 0.5, "divides where it should multiply"),
    (lambda weight, pixels: (1 / (2 * weight * pixels)) ** 0.5, "The weight divides"),
    (lambda weight, pixels: 1.24, "σ should be"),
    (1.24, "a function is needed"),
]


# 9.5: sampling ---------------------------------------------------------------------------------------


def one_by_one(decode, n, d):
    with torch.no_grad():
        return torch.cat([decode(torch.randn(1, d)) for _ in range(n)]).sigmoid()


def of_codes(make):
    return lambda decode, n, d: decode(make(n, d)).sigmoid()


def seeded(n, d):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0))


def standardized(n, d):
    z = torch.randn(n, d)
    return (z - z.mean(0)) / z.std(0)


def antithetic(n, d):
    half = torch.randn((n + 1) // 2, d)
    return torch.cat([half, -half])[:n]


def shifted_by_the_batch(decode, n, d):
    logits = decode(torch.randn(n, d))
    top = (logits - logits.max()).exp()
    return top / (top + (-logits.max()).exp())


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
    (of_codes(lambda n, d: 0.95 * torch.randn(n, d)), "have standard deviation 0.9"),
    (of_codes(lambda n, d: torch.randn(n, d).clamp(-2.5, 2.5)), "they are cut off"),
    (of_codes(lambda n, d: (torch.randn(n, d) + torch.randn(n, 1)) / 2**0.5), "are correlated"),
    (of_codes(lambda n, d: F.normalize(torch.randn(n, d)) * d**0.5), "the lengths of your codes"),
    (of_codes(lambda n, d: torch.randn(n, 1) * torch.randn(n, d).sign()), "the lengths of your codes"),
    (of_codes(lambda n, d: torch.randn(n, d).repeat_interleave(2, 0)[:n]), "some images share a code"),
    (of_codes(antithetic), "with its mirror image"),
    (of_codes(standardized), "you standardized them"),
    (of_codes(lambda n, d: (z := torch.randn(n, d)).sub(z.mean()) / z.std()), "you standardized them"),
    (of_codes(seeded), "every call gives the same images"),
    (shifted_by_the_batch, "contains NaN. Logits may be hundreds"),
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
    (lambda decode, n, d: decode(torch.randn(1500, 6)).sigmoid(), "n codes of d numbers are shape (n, d)"),
    (lambda decode, n, d: decode(torch.randn(n, d)).sigmoid().squeeze(0), "should have shape (1, 1, 28, 28)"),
]


# 9.6: active dimensions ------------------------------------------------------------------------------


def count(mask):
    return lambda mu, log_var, threshold: mask(mu, log_var, threshold).sum()


RIGHT["9.6"] = [
    count(lambda mu, log_var, t: mu.var(dim=0) > t),
    lambda mu, log_var, t: int(np.sum(np.var(mu.detach().numpy(), axis=0) > t)),
    lambda mu, log_var, t: sum(1 for column in mu.T if column.std() > t**0.5),
    lambda mu, log_var, t: (((mu - mu.mean(0)) ** 2).mean(0) > t).count_nonzero().item(),
    lambda mu, log_var, t: float(len([v for v in torch.cov(mu.T).diagonal() if v > t])),
]
WRONG["9.6"] = [
    (count(lambda mu, log_var, t: mu.std(0) > t), "compared the standard deviation"),
    (count(lambda mu, log_var, t: mu.var(0) > 0.01), "0.01 whatever was given"),
    (count(lambda mu, log_var, t: mu.var(0) >= t), "which is not above the threshold 0"),
    (count(lambda mu, log_var, t: mu.var(1) > t), "over the dimensions of each code"),
    (count(lambda mu, log_var, t: log_var.exp().mean(0) > t), "variance of the code of one image"),
    (
        count(lambda mu, log_var, t: (0.5 * (mu**2 + log_var.exp() - 1 - log_var)).mean(0) > t),
        "whose KL is above the threshold",
    ),
    (count(lambda mu, log_var, t: (mu**2).mean(0) > t), "mean squares"),
    (count(lambda mu, log_var, t: mu.mean(0).abs() > t), "counts large means"),
    (count(lambda mu, log_var, t: log_var.var(0) > t), "let log_var itself vary"),
    (count(lambda mu, log_var, t: mu.var(0) <= t), "the inactive ones"),
    (
        count(lambda mu, log_var, t: mu.var(0) + log_var.exp().mean(0) > t),
        "the variance of z over everything",
    ),
    (lambda mu, log_var, t: mu.var(0) > t, "one value for each dimension"),
    (lambda mu, log_var, t: mu.var(0), "one value for each dimension"),
    (count(lambda mu, log_var, t: (mu - mu.mean(0)).abs().mean(0) > t), "the mean absolute deviation"),
    (count(lambda mu, log_var, t: mu.amax(0) - mu.amin(0) > t), "compared the range"),
    (count(lambda mu, log_var, t: ((mu - mu[0]) ** 2).mean(0) > t), "deviations from the first image"),
    (count(lambda mu, log_var, t: ((mu - mu.median(0)[0]) ** 2).mean(0) > t), "deviations from the median"),
    (count(lambda mu, log_var, t: ((mu - mu.mean(0)) ** 2).sum(0) > t), "added up the squares"),
    (count(lambda mu, log_var, t: mu.var(0) / log_var.exp().mean(0) > t), "you divided the variance"),
    (count(lambda mu, log_var, t: mu.var() > t), "one variance of all numbers"),
    (lambda mu, log_var, t: (mu.var(0) > t).float().mean(), "the share of the active"),
    (count(lambda mu, log_var, t: mu[:100].var(0) > t), "the count should be 7"),
    (lambda mu, log_var, t: 20, "the count should be 7, and is 20"),
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
    (lambda side: torch.stack([line(side), line(side)], -1), "the codes of one line"),
    (lambda side: torch.stack([line(side).expand(side, side)] * 2, -1), "both coordinates are the same"),
    (lambda side: grid(torch.erfinv((2 * torch.arange(side) + 1) / side - 1)), "a factor √2 is missing"),
    (
        lambda side: grid(Normal(0.0, 1.0).icdf(((torch.arange(side) + 0.5) / side).clamp(0.02, 0.98))),
        "side 40",
    ),
    (lambda side: grid(line(5)), "should have shape (4, 4, 2)"),
    (lambda side: grid(line(side)).flip(1), "runs to the left"),
    (lambda side: grid(line(side))[None], "should have shape (5, 5, 2)"),
    (lambda side: grid(Normal(0.0, 1.0).icdf(torch.linspace(0.05, 0.95, side))), "should be"),
]


# 9.8: the k-sample bound, in pieces -------------------------------------------------------------------


def in_pieces(combine):
    """An answer that combines the bounds of the pieces, a row for each."""

    def answer(draw, k, chunk):
        return combine(
            torch.stack([draw(chunk).logsumexp(0) - math.log(chunk) for _ in range(k // chunk)]), k, chunk
        )

    return answer


def all_weights(combine):
    return lambda draw, k, chunk: combine(torch.cat([draw(chunk) for _ in range(k // chunk)]))


def running(draw, k, chunk):
    total = torch.tensor(-torch.inf)
    for _ in range(k // chunk):
        total = torch.logaddexp(total, draw(chunk).logsumexp(0))
    return total - math.log(k)


def with_numpy(draw, k, chunk):
    sums = [np.logaddexp.reduce(draw(chunk).double().numpy(), axis=0) for _ in range(k // chunk)]
    return np.logaddexp.reduce(sums, axis=0) - np.log(k)


def all_pieces_averaged(draw, k, chunk):
    means = torch.stack([draw(chunk).mean(0) for _ in range(k // chunk)])
    return means.logsumexp(0) - math.log(len(means))


def shifted(log_w):
    best = log_w.max(0).values
    return (log_w - best).exp().mean(0).log() + best


def shifted_by_one_number(log_w):
    return (log_w - log_w.max()).exp().mean(0).log() + log_w.max()


def shifted_by(choose, dtype=torch.float64):
    """An answer that shifts the bounds of the pieces by what is chosen of them."""

    def combine(bounds, k, chunk):
        shift = choose(bounds.to(dtype))
        return (bounds - shift).exp().mean(0).log() + shift

    return in_pieces(combine)


RIGHT["9.8"] = [
    running,
    with_numpy,
    all_weights(shifted),
    all_weights(lambda log_w: torch.logsumexp(log_w, 0) - math.log(len(log_w))),
    lambda draw, k, chunk: shifted(torch.cat([draw(1) for _ in range(k)])),
]
WRONG["9.8"] = [
    (in_pieces(lambda b, k, chunk: b.logsumexp(0)), "subtract the log of their number"),
    (in_pieces(lambda b, k, chunk: b.logsumexp(0) - math.log(k)), "after each piece was divided by chunk"),
    (in_pieces(lambda b, k, chunk: b.logsumexp(0) - math.log(chunk)), "there are k / chunk of them"),
    (in_pieces(lambda b, k, chunk: b.sum(0)), "the bounds of the pieces are added"),
    (in_pieces(lambda b, k, chunk: b.amax(0)), "the largest bound of a piece"),
    (in_pieces(lambda b, k, chunk: b[-1]), "only the last piece is left"),
    (in_pieces(lambda b, k, chunk: b[0]), "only the first piece is used"),
    (in_pieces(lambda b, k, chunk: b.exp().mean(0).log()), "Stay in the logarithm"),
    (in_pieces(lambda b, k, chunk: (b.softmax(0) * b).sum(0)), "weighted by their normalized exponentials"),
    (in_pieces(lambda b, k, chunk: math.log(len(b)) - b.logsumexp(0)), "the sign is wrong"),
    (in_pieces(lambda b, k, chunk: b.logsumexp((0, 1))), "one number for all images"),
    (in_pieces(lambda b, k, chunk: b.logsumexp(1)), "should have shape (5,), and has shape (4,)"),
    (in_pieces(lambda b, k, chunk: b), "should have shape"),
    (all_weights(lambda log_w: log_w.logsumexp(0)), "the division by k is missing"),
    (all_weights(lambda log_w: log_w.mean(0)), "the ELBO"),
    (all_weights(lambda log_w: (log_w.softmax(0) * log_w).sum(0)), "Σ w̃ log w"),
    (all_weights(lambda log_w: log_w.double().exp().mean(0).log()), "Stay in the logarithm"),
    (all_weights(shifted_by_one_number), "each image by itself"),
    (shifted_by(lambda b: b[0]), "shifted by the largest of them"),
    (shifted_by(lambda b: b[-1]), "shifted by the largest of them"),
    (shifted_by(lambda b: b.mean(0)), "shifted by the largest of them"),
    (shifted_by(lambda b: b.mean(0), torch.float32), "shifted by the largest of them"),
    (all_pieces_averaged, "within a piece you average the logarithms"),
    (lambda draw, k, chunk: shifted(draw(k)), "more than `chunk` at a time"),
    (lambda draw, k, chunk: draw(chunk).logsumexp(0) - math.log(chunk), "you draw 3 weights"),
]
