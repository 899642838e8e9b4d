"""Answers to the exercises of chapter 17: other right ways, and known mistakes with their messages."""

import math
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch.distributions import AffineTransform, Normal, SigmoidTransform, kl_divergence

RIGHT = {}
WRONG = {}
REFUSED = {}


# 17.1, both at once: a judge that is not heard -----------------------------------------------------------


def both_with_bce(x, rebuilt, kl, made, discriminator, judge):
    def pays_as(logits, label):
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

    pays_d = pays_as(discriminator(x), 1.0) + pays_as(discriminator(made.detach()), 0.0)
    squares = 0.5 * ((x - rebuilt) ** 2).sum(-1)
    return squares.mean() + kl.mean() + judge * pays_as(discriminator(made), 1.0), pays_d


def both_in_turn(x, rebuilt, kl, made, discriminator, judge):
    cut = made.clone().detach()
    pays_d = (1 + torch.exp(-discriminator(x))).log().mean() + (1 + discriminator(cut).exp()).log().mean()
    pays = torch.stack([0.5 * (x - rebuilt).square().sum(1), kl]).sum(0).mean()
    return pays - judge * F.logsigmoid(discriminator(made)).mean(), pays_d


def both_wrong(how):
    def losses(x, rebuilt, kl, made, discriminator, judge):
        pays, pays_d = both_with_bce(x, rebuilt, kl, made, discriminator, judge)
        squares, said = 0.5 * (x - rebuilt).square(), F.softplus(-discriminator(made)).mean()
        real = F.softplus(-discriminator(x)).mean()
        if how == "deaf":
            said = F.softplus(-discriminator(made.detach())).mean()
        elif how == "turned":
            said = F.softplus(discriminator(made)).mean()
        if "uncut" in how:
            pays_d = real + F.softplus(discriminator(made)).mean()
        nats = squares.mean(1) if "mean" in how else squares.sum(1)
        pays = (nats + kl).mean() + judge * said
        if how == "rebuilt":
            pays_d = real + F.softplus(discriminator(rebuilt.detach())).mean()
            pays = (nats + kl).mean() + judge * F.softplus(-discriminator(rebuilt)).mean()
        if how == "minimax":
            pays = (nats + kl).mean() - judge * F.softplus(discriminator(made)).mean()
        if how == "whole":
            pays = (2 * nats + kl).mean() + judge * said
        if how == "swapped":
            return pays_d, pays
        if how == "weightless":
            pays = (nats + kl).mean() + said
        if how == "one":
            return pays
        if how == "rows":
            pays = nats + kl + judge * said
        if how == "cut":
            pays = pays.detach()
        if how == "kl cut":
            pays = (nats + kl.detach()).mean() + judge * said
        return pays, pays_d

    return losses


RIGHT["17.1"] = [both_with_bce, both_in_turn]
REFUSED["17.1"] = {"as numpy": "both losses are trained on", "without history": "both losses are trained on"}
WRONG["17.1"] = [
    (both_wrong("deaf"), "still hears nothing"),
    (both_wrong("mean"), "hears the judge now"),
    (both_wrong("uncut"), "to be found out"),
    (both_wrong("uncut mean"), "and the squares are a mean"),
    (both_wrong("turned"), "softplus(+logit)"),
    (both_wrong("rebuilt"), "is shown rebuilt"),
    (both_wrong("minimax"), "the minimax loss"),
    (both_wrong("whole"), "half of the squares"),
    (both_wrong("swapped"), "are swapped"),
    (both_wrong("weightless"), "what encoder and decoder pay should be"),
    (both_wrong("one"), "two losses"),
    (both_wrong("rows"), "one number"),
    (both_wrong("cut"), "no gradient passes"),
    (both_wrong("kl cut"), "a gradient is not"),
]


# 17.2, both at once: what means as wide as the data cost -------------------------------------------------


def both_by_kl(lam, sigma):
    data = Normal(0.0, lam.sqrt())
    wide, best = Normal(0.0, (lam + sigma**2).sqrt()), Normal(0.0, torch.maximum(lam, sigma**2).sqrt())
    return kl_divergence(data, wide) - kl_divergence(data, best)


def both_by_cases(lam, sigma):
    def nats(v):
        return 0.5 * (torch.log(2 * math.pi * v) + lam / v)

    return nats(lam + sigma**2) - torch.where(lam > sigma**2, nats(lam), nats(sigma**2))


def both_without_noise(lam, sigma):
    """Nats with w² as the variance, and no floor under it."""
    return (lam.log() + 1 - (lam - sigma**2).log() - lam / (lam - sigma**2)) / 2


def both_noise_forgotten(lam, sigma):
    """The wide one with its noise, the best without."""
    best, wide = (lam - sigma**2).clamp(min=0), lam + sigma**2
    return (wide.log() + lam / wide - best.log() - lam / best) / 2


RIGHT["17.2"] = [both_by_kl, both_by_cases]
WRONG["17.2"] = [
    (
        lambda lam, sigma: kl_divergence(Normal(0.0, lam.sqrt()), Normal(0.0, (lam + sigma**2).sqrt())),
        "σ² and not λ",
    ),
    (lambda lam, sigma: 2 * both_by_kl(lam, sigma), "half is missing"),
    (lambda lam, sigma: both_by_kl(lam, sigma**0.5), "standard deviation"),
    (lambda lam, sigma: -both_by_kl(lam, sigma), "sign is turned round"),
    (
        lambda lam, sigma: 0.5 * torch.log((lam + sigma**2) / torch.maximum(lam, sigma**2)),
        "squares are missing",
    ),
    (both_without_noise, "the noise adds"),
    (lambda lam, sigma: both_by_kl(lam, sigma) / math.log(2), "in bits"),
    (both_noise_forgotten, "at least σ²"),
    (lambda lam, sigma: lam - sigma**2, "the cost"),
]


# 17.3, both at once: what a prior that looks back saves --------------------------------------------------


def both_entropy(p):
    p = p[p > 0]
    return -(p * p.log()).sum()


def both_by_entropies(joint):
    return both_entropy(joint.sum(0)) + both_entropy(joint.sum(1)) - both_entropy(joint)


def both_pair_by_pair(joint):
    rows, columns, total = joint.sum(1).tolist(), joint.sum(0).tolist(), 0.0
    for i, row in enumerate(joint.tolist()):
        for j, p in enumerate(row):
            total += p * math.log(p / rows[i] / columns[j]) if p else 0.0
    return total


RIGHT["17.3"] = [both_by_entropies, both_pair_by_pair]
WRONG["17.3"] = [
    (lambda joint: (joint * (joint / (joint.sum(1)[:, None] * joint.sum(0))).log()).sum(), "0 · log 0"),
    (lambda joint: both_by_entropies(joint) / math.log(2), "in bits"),
    (both_entropy, "not what it saves"),
    (lambda joint: both_entropy(joint) - both_entropy(joint.sum(1)), "What would it cost alone"),
    (lambda joint: -both_by_entropies(joint), "sign is turned round"),
    (lambda joint: math.log(joint.numel()) - both_entropy(joint), "beside equal chances"),
    (lambda joint: (joint.sum(1)[:, None] * joint.sum(0) * joint.log()).sum(), "from the joint table"),
    (lambda joint: (joint / (joint.sum(1)[:, None] * joint.sum(0))).log().mean(), "from the joint table"),
    (lambda joint: joint.max(), "the nats saved"),
]


# 17.4, autoregression: the order of the pixels ------------------------------------------------------------


def orders_ran(**changes):
    return lambda: {"sum": [1.0, 1.0], "linear": [4.1, 4.2], "tables": [3.9, 3.9]} | changes


ORDERS = {"sum": "the same", "linear": "different", "tables": "the same"}

RIGHT["17.4"] = [
    (ORDERS, orders_ran()),
    (("The same", "different", "the_same"), orders_ran(linear=np.array([4.1, 4.0]))),
]
WRONG["17.4"] = [
    ((ORDERS | {"sum": "different"}, orders_ran()), "each factor is a distribution"),
    ((ORDERS | {"linear": "the same"}, orders_ran()), "cannot be every conditional"),
    ((ORDERS | {"tables": "different"}, orders_ran()), "their product is p in every order"),
    ((dict.fromkeys(ORDERS, "different"), orders_ran()), 'And "tables" comes out the same'),
    ((ORDERS, orders_ran(linear=[4.1, 4.1])), 'for "linear": was it changed?'),
    ((ORDERS, orders_ran(tables=[3.9, 4.0])), 'for "tables": was it changed?'),
    ((ORDERS, lambda: 3.0), "does not return its three pairs"),
    ((ORDERS | {"sum": "bigger"}, orders_ran()), "none of the names"),
]


# 17.5, autoregression: the masks of a MADE ----------------------------------------------------------------


def made_by_loops(pixels, degrees):
    into = torch.zeros(len(degrees), pixels)
    for unit, degree in enumerate(degrees.tolist()):
        into[unit, :degree] = 1
    return into, 1 - into.T


def made_with(more_in=0, more_out=0):
    def masks(pixels, degrees):
        place = torch.arange(pixels)
        return place < degrees[:, None] + more_in, degrees <= place[:, None] + more_out

    return masks


RIGHT["17.5"] = [made_by_loops, made_with(), lambda p, d: tuple(m.int() for m in made_with()(p, d))]
WRONG["17.5"] = [
    (made_with(more_out=-1), "connections are missing: a unit of degree m has seen"),
    (made_with(more_in=1, more_out=-1), "the bug is in the other mask"),
    (made_with(more_out=1), "still reaches its own logit"),
    (made_with(more_in=-1), "sees m pixels"),
    (lambda p, d: made_with()(p, d)[0], "return both masks"),
    (lambda p, d: made_with()(p, d)[::-1], "the masks are exchanged"),
    (lambda p, d: (made_with()(p, d)[0],) * 2, "should be (hidden, pixels)"),
    (lambda p, d: (torch.ones(len(d), p), torch.ones(p, len(d))), "the pair of masks"),
]


# 17.6, autoregression: the first pixels, given the last ---------------------------------------------------


def alike(x, fixed):
    """All tiles that agree with x where ``fixed``."""
    every = torch.tensor(list(product((0.0, 1.0), repeat=len(x))), dtype=x.dtype)
    return every[(every == x)[:, fixed].all(1)]


def given_places(log_q, x, fixed, total=lambda v: v.logsumexp(0)):
    return log_q(x[None])[0] - total(log_q(alike(x, fixed)))


def last_of(x, k):
    return torch.arange(len(x)) >= len(x) - k


def given_one_by_one(log_q, x, k):
    total = torch.tensor(-torch.inf)
    for first in product((0.0, 1.0), repeat=len(x) - k):
        tile = torch.cat([torch.tensor(first, dtype=x.dtype), x[len(x) - k :]])
        total = torch.logaddexp(total, log_q(tile[None])[0])
    return (log_q(x[None])[0] - total).item()


def given_by_minus_k(log_q, x, k):
    """For k = 0 there are twice as many pixels."""
    parts = torch.tensor(list(product((0.0, 1.0), repeat=len(x) - k)), dtype=x.dtype)
    total = log_q(torch.cat([parts, x[-k:].expand(len(parts), -1)], 1)).logsumexp(0)
    return log_q(x[None])[0] - total


RIGHT["17.6"] = [
    lambda log_q, x, k: given_places(log_q, x, last_of(x, k)),
    given_one_by_one,
]
WRONG["17.6"] = [
    (
        lambda log_q, x, k: given_places(log_q, x, torch.arange(len(x)) < k),
        "has to go over the *first* parts",
    ),
    (lambda log_q, x, k: given_places(log_q, x, ~last_of(x, k)), "The other way round"),
    (lambda log_q, x, k: log_q(x[None])[0], "log q(x) itself"),
    (lambda log_q, x, k: log_q(alike(x, last_of(x, k))).logsumexp(0), "of the last pixels alone"),
    (lambda log_q, x, k: -given_places(log_q, x, last_of(x, k)), "sign is wrong"),
    (
        lambda log_q, x, k: given_places(log_q, x, last_of(x, k), lambda v: v.exp().mean().log()),
        "was made a mean",
    ),
    (
        lambda log_q, x, k: given_places(log_q, x, last_of(x, k), lambda v: v.exp().sum().log()),
        "Use logsumexp",
    ),
    (lambda log_q, x, k: log_q(alike(x, ~last_of(x, k))).logsumexp(0), "is no conditioning"),
    (
        lambda log_q, x, k: given_places(log_q, x, torch.arange(len(x)) >= k),
        "log q of the first k given the last d - k",
    ),
    (lambda log_q, x, k: given_places(log_q, x, last_of(x, k)).exp(), "give its log"),
    (given_by_minus_k, "write x[d - k:]"),
    (lambda log_q, x, k: log_q(alike(x, last_of(x, k))), "one number"),
    (lambda log_q, x, k: log_q(x), "log_q takes tiles"),
    (lambda log_q, x, k: log_q(x[None] + 0.5)[0], "zeros and ones"),
]


# 17.7, flows: two bugs in a density of images ------------------------------------------------------------


def flow_parts(x, inverse, edge):
    v = edge + (1 - 2 * edge) * x
    z, log_det = inverse(v.logit())
    return v, Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1), log_det


def flow_by_torch(x, inverse, edge):
    """The logit's stretch by torch's own transforms."""
    _, log_p_z, log_det = flow_parts(x, inverse, edge)
    scale = 1 / (1 - 2 * edge)
    to_v, cut = SigmoidTransform(), AffineTransform(-edge * scale, scale)
    v = cut.inv(x)
    stretch = to_v.log_abs_det_jacobian(to_v.inv(v), v) + cut.log_abs_det_jacobian(v, x)
    return log_p_z - log_det - stretch.flatten(1).sum(1)


def flow_by_inverse(x, inverse, edge):
    """By the stretch of the way back, which is added."""
    v, log_p_z, log_det = flow_parts(x, inverse, edge)
    back = (1 - 2 * edge) / (v * (1 - v))
    return log_p_z + back.log().flatten(1).sum(1) - log_det


def flow_with(own=-1.0, logit=-1.0, scale=-1.0, total=torch.sum, at=None, sigmoid=1.0, once=False):
    """The density with signs for its parts, of which the right ones are all -1, but for the sigmoid's."""

    def log_density(x, inverse, edge):
        v, log_p_z, log_det = flow_parts(x, inverse, edge)
        u = v if at is None else at(x)
        cut = scale * math.log(1 - 2 * edge)
        of_each = sigmoid * (u.log() + (1 - u).log()) + (0.0 if once else cut)
        stretch = total(of_each.flatten(1), 1) + (cut if once else 0.0)
        return log_p_z + own * log_det + logit * stretch

    return log_density


RIGHT["17.7"] = [flow_by_torch, flow_by_inverse]
WRONG["17.7"] = [
    (flow_with(logit=0), "the logit's stretch is missing"),
    (flow_with(own=1), "log_det is still added"),
    (flow_with(logit=1), "the logit's stretch has the wrong sign"),
    (flow_with(own=1, logit=1), "both stretches are added"),
    (flow_with(scale=0), "1/(1 - 2a) is missing"),
    (flow_with(scale=1), "1/(1 - 2a) has the wrong sign"),
    (flow_with(total=torch.mean), "are averaged"),
    (flow_with(at=lambda x: x), "x is not v"),
    (flow_with(sigmoid=-1), "v (1 - v) has the wrong sign"),
    (flow_with(sigmoid=0), "v (1 - v) is missing"),
    (flow_with(once=True), "once for each image"),
    (flow_with(once=True, scale=1), "and with the wrong sign: every value"),
    (flow_with(own=0), "own log_det is missing"),
    (flow_with(at=lambda x: x, own=1), "log_det is still added: a density is divided by it. Besides, the"),
    (flow_with(at=lambda x: x, scale=0), "where there is an edge. Besides, the factor 1/(1 - 2a) is missing"),
    (flow_with(at=lambda x: x, sigmoid=-1), "where there is an edge; and a density is divided"),
    (flow_with(own=1, scale=1), "Besides, the factor 1/(1 - 2a) has the wrong sign"),
    (
        lambda x, inverse, edge: flow_parts(x, inverse, edge)[1],
        "missing: a density is divided by it. Besides",
    ),
    (lambda x, inverse, edge: 2 * flow_parts(x, inverse, edge)[1], "Compare the three terms one by one"),
    (
        lambda x, inverse, edge: flow_parts(x, inverse, edge)[1].sum(),
        "should have shape (3,), and has shape ()",
    ),
]


# 17.8, flows: what the noise of dequantization costs -----------------------------------------------------

FLOW_COST = 0.5 * math.log2(2 * math.pi * math.e / 12)

RIGHT["17.8"] = [0.2546, FLOW_COST, np.float64(FLOW_COST), torch.tensor(FLOW_COST), 0.255, 0.254]
WRONG["17.8"] = [
    (FLOW_COST * math.log(2), "in nats"),
    (0, "what the level itself costs"),
    (8, "the width of the bin, alone"),
    (0.5 * math.log2(2 * math.pi * math.e / 3), "not w²/3"),
    (0.5 * math.log2(2 * math.pi * math.e / 4), "two points at the ends"),
    (0.5 * math.log2(2 * math.pi * math.e) - math.log2(12), "taken for w/12"),
    (0.5 * math.log2(2 * math.pi) + 1 / (24 * math.log(2)), "The width itself".lower()),
    (0.5 * math.log2(2 * math.pi / 12), "with 2π in place of 2πe"),
    (-FLOW_COST, "the sign"),
    (FLOW_COST - 8, "add log₂ 256"),
    (FLOW_COST + 8, "has them already"),
    (0.5 * math.log2(2 * math.pi * math.e), "taken for 1"),
    (0.25, "right to 2 digits: three"),
    (0.3, "right to 1 digit: three"),
    (0.26, "no rounding of the right number"),
    (0.27, "a slip in the arithmetic"),
    (3.0, "3 is not it"),
    ("a quarter", "should be a number"),
]


# 17.9, flows: likelihood and looks -----------------------------------------------------------------------


def flow_ran(**changes):
    return lambda: {"flow": 1.5, "noise": 1.5085, "copies": 2600.0} | changes


FLOW_SEEN = {"noise": "about the same", "copies": "far more"}
RIGHT["17.9"] = [
    (FLOW_SEEN, flow_ran()),
    (("About the same", "FAR MORE"), flow_ran()),
    (FLOW_SEEN, flow_ran(noise=torch.tensor(1.5085))),
]
WRONG["17.9"] = [
    ((FLOW_SEEN | {"noise": "far more"}, flow_ran()), "but for the whole image"),
    ((FLOW_SEEN | {"noise": "about 1 more"}, flow_ran()), '"noise" has about the same, not about 1 more'),
    ((FLOW_SEEN | {"copies": "about the same"}, flow_ran()), "Good looks are no likelihood"),
    (({"noise": "far more", "copies": "about 1 more"}, flow_ran()), 'And "copies" has far more'),
    ((FLOW_SEEN | {"noise": "many"}, flow_ran()), "none of the names"),
    (({"noise": "far more"}, flow_ran()), "is missing"),
    ((FLOW_SEEN, flow_ran(noise=2.5)), 'for "noise": was it changed?'),
    ((FLOW_SEEN, flow_ran(copies=2.5)), 'for "copies": was it changed?'),
    ((FLOW_SEEN, lambda: 3.0), "does not return the bits"),
    ((FLOW_SEEN, lambda: {"noise": 1.0, "copies": 3.0}), "does not return the bits"),
]


# 17.10, diffusion: what a step costs ---------------------------------------------------------------------


def diffusion_cost(v, snr_t, snr_s):
    return (snr_s - snr_t) / (2 * (1 / v + snr_t))


def diffusion_error(change):
    return lambda v, snr_t, snr_s: 0.5 * (snr_s - snr_t) * change(v, snr_t, snr_s)


RIGHT["17.10"] = [
    diffusion_cost,
    lambda v, t, s: 0.5 * (s - t) * (v - v**2 * t / (1 + v * t)),
]
WRONG["17.10"] = [
    (lambda v, t, s: 2 * diffusion_cost(v, t, s), "the ½ is missing"),
    (diffusion_error(lambda v, t, s: v / (1 + v * s)), "a guess from z_s"),
    (diffusion_error(lambda v, t, s: v), "does not look at z_t"),
    (diffusion_error(lambda v, t, s: 1 / t), "forgets that x is from"),
    (diffusion_error(lambda v, t, s: 1 / (1 + t)), "for v = 1 only"),
    (diffusion_error(lambda v, t, s: 1 / v + t), "1 / v + SNR_t is a precision"),
    (diffusion_error(lambda v, t, s: 1 / (1 / v + 1 / t)), "Its precision, to add to 1 / v"),
    (diffusion_error(lambda v, t, s: 1 / v + 1 / t), "1 / v is a precision and 1 / SNR_t a variance"),
    (diffusion_error(lambda v, t, s: v + 1 / t), "is the variance of z_t / α_t. The error is what is left"),
    (diffusion_error(lambda v, t, s: 1 / (v + 1 / t)), "v and 1 / SNR_t are variances"),
    (diffusion_error(lambda v, t, s: 1 / (v + t)), "turn v over"),
    (diffusion_error(lambda v, t, s: v + t), "a precision. The precisions are 1 / v and SNR_t"),
    (lambda v, t, s: -diffusion_cost(v, t, s), "the sign"),
    (lambda v, t, s: diffusion_cost(v**2, t, s), "as a standard deviation"),
    (diffusion_error(lambda v, t, s: (v / (1 + v * t)) ** 2), "no square of it"),
    (diffusion_error(lambda v, t, s: (v / (1 + v * t)) ** 0.5), "squared already"),
    (lambda v, t, s: diffusion_cost(v, t, s) + 1, "the cost of the step"),
    (lambda v, t, s: 0.5 * torch.log((1 + v * s) / (1 + v * t)), "which fits its variance"),
]


# 17.11, diffusion: two bugs of one step ------------------------------------------------------------------


def diffusion_moments(z, guess, snr_t, snr_s):
    """Mean and variance by Bayes' rule: the precisions of z_t's message and of z_s given x."""
    alpha_t, alpha_s = (snr_t / (1 + snr_t)) ** 0.5, (snr_s / (1 + snr_s)) ** 0.5
    on = alpha_t / alpha_s
    var_s = 1 / (1 + snr_s)
    var_on = 1 / (1 + snr_t) - on**2 * var_s
    variance = 1 / (1 / var_s + on**2 / var_on)
    return variance * (alpha_s * guess / var_s + on * z / var_on), variance


def diffusion_by_bayes(z, guess, snr_t, snr_s, noise):
    mean, variance = diffusion_moments(z, guess, snr_t, snr_s)
    return mean + variance**0.5 * noise


def diffusion_broken(unscaled=False, noise_of=lambda new, t, s: (new / (1 + s)) ** 0.5, times=False):
    def answer(z, guess, snr_t, snr_s, noise):
        alpha_t, alpha_s = (snr_t / (1 + snr_t)) ** 0.5, (snr_s / (1 + snr_s)) ** 0.5
        new = 1 - snr_t / snr_s
        held = z if unscaled else z * alpha_t if times else z / alpha_t
        return alpha_s * ((1 - new) * held + new * guess) + noise_of(new, snr_t, snr_s) * noise

    return answer


def diffusion_by_alpha_s(noise_of):
    def answer(z, guess, snr_t, snr_s, noise):
        alpha_s = (snr_s / (1 + snr_s)) ** 0.5
        return diffusion_broken(True, noise_of)(z / alpha_s, guess, snr_t, snr_s, noise)

    return answer


def diffusion_exchanged(z, guess, snr_t, snr_s, noise):
    alpha_t = (snr_t / (1 + snr_t)) ** 0.5
    return diffusion_by_bayes(guess * alpha_t, z / alpha_t, snr_t, snr_s, noise)


RIGHT["17.11"] = [diffusion_by_bayes, diffusion_broken()]
WRONG["17.11"] = [
    (diffusion_broken(unscaled=True), "z holds α_t x, not x"),
    (diffusion_broken(noise_of=lambda new, t, s: new / (1 + s)), "multiplied with a variance"),
    (diffusion_broken(noise_of=lambda new, t, s: (1 / (1 + s)) ** 0.5), "all the variance of z_s"),
    (diffusion_broken(noise_of=lambda new, t, s: 0.0), "the noise is missing"),
    (diffusion_broken(noise_of=lambda new, t, s: (new / (1 + t)) ** 0.5), "its noise is that of z_t"),
    (diffusion_broken(times=True), "divide"),
    (diffusion_by_alpha_s(lambda new, t, s: (new / (1 + s)) ** 0.5), "It is from the level t"),
    (diffusion_by_alpha_s(lambda new, t, s: new / (1 + s)), "And the noise is multiplied with a variance"),
    (diffusion_broken(noise_of=lambda new, t, s: new**0.5 / (1 + s)), "only new has its root"),
    (diffusion_broken(noise_of=lambda new, t, s: new / (1 + s) ** 0.5), "only 1 + snr_s has its root"),
    (lambda *given: diffusion_by_bayes(*given) + 1, "z at the level below"),
    (lambda *given: diffusion_by_bayes(*given)[0], "should have shape"),
]


# 17.12, diffusion: two ways down without noise -----------------------------------------------------------


def diffusion_outcome(left_out=0.1, deterministic=0.98):
    return lambda: {"noise left out": left_out, "deterministic": deterministic}


DIFFUSION_RIGHT = {"noise left out": "too narrow", "deterministic": "right"}

RIGHT["17.12"] = [
    (DIFFUSION_RIGHT, diffusion_outcome()),
    ({"deterministic": "right", "noise left out": "too narrow"}, diffusion_outcome(0.3, 1.05)),
]
WRONG["17.12"] = [
    (
        (DIFFUSION_RIGHT | {"noise left out": "right"}, diffusion_outcome()),
        "its noise is what keeps the spread",
    ),
    (
        (DIFFUSION_RIGHT | {"deterministic": "too narrow"}, diffusion_outcome()),
        "keeps the noise that it finds",
    ),
    ((DIFFUSION_RIGHT | {"deterministic": "too wide"}, diffusion_outcome()), "not too wide"),
    (
        ({"noise left out": "too wide", "deterministic": "too narrow"}, diffusion_outcome()),
        'And "deterministic" is right',
    ),
    ((DIFFUSION_RIGHT, diffusion_outcome(left_out=1.0)), "was it changed"),
    ((DIFFUSION_RIGHT, lambda: 1.0), "does not return its two"),
    (({"noise left out": "small", "deterministic": "right"}, diffusion_outcome()), "too narrow"),
]


# 17.13, flow matching: the velocity to Gaussian data ----------------------------------------------------


def fm_by_ends(x_t, t, m, s):
    """The difference of the two conditional means."""
    variance = t**2 * s**2 + (1 - t) ** 2
    x = m + t * s**2 / variance * (x_t - t * m)
    z = (1 - t) / variance * (x_t - t * m)
    return x - z


def fm_by_score(x_t, t, m, s):
    score = -(x_t - t * m) / (t**2 * s**2 + (1 - t) ** 2)
    return (x_t + (1 - t) * score) / t


def fm_known(x, t, *_):
    return (2 * t - 1) / ((1 - t) ** 2 + t**2) * x


def fm_slope(t, s):
    return (t * s**2 - (1 - t)) / (t**2 * s**2 + (1 - t) ** 2)


RIGHT["17.13"] = [fm_by_ends, fm_by_score, lambda x, t, m, s: fm_by_ends(x, t, m, -s)]
WRONG["17.13"] = [
    (lambda x, t, m, s: fm_slope(t, s) * x, "the mean is missing"),
    (lambda x, t, m, s: m + fm_slope(t, s) * x, "differs from it by"),
    (lambda x, t, m, s: m + fm_slope(t, s) * (x - m), "does not have the mean m"),
    (lambda x, t, m, s: fm_slope(t, s) * (x - t * m), "is not added again"),
    (lambda x, t, m, s: fm_by_ends(x, t, m, s.sqrt()), "s is the standard deviation"),
    (lambda x, t, m, s: fm_by_ends(x, t, m, 1), "the slope for s = 1"),
    (fm_known, "this is `known`"),
    (lambda x, t, m, s: fm_known((x - m) / s, t), "/ s was put in. But"),
    (lambda x, t, m, s: s * fm_known((x - m) / s, t), "and s times"),
    (lambda x, t, m, s: m + s * fm_known((x - m) / s, t), "m + s v taken"),
    (
        lambda x, t, m, s: m + (t * s - 1 + t) / (t**2 * s**2 + (1 - t) ** 2) * (x - t * m),
        "above the line",
    ),
    (
        lambda x, t, m, s: m + (t * s**2 - 1 + t) / (t**2 * s + (1 - t) ** 2) * (x - t * m),
        "below the line",
    ),
    (
        lambda x, t, m, s: m + (t * s**2 - 1 + t) / (t * s**2 + 1 - t) * (x - t * m),
        "squares of their factors",
    ),
    (
        lambda x, t, m, s: m + (t * s**2 - 1 + t) / (t**2 * s**2 + (1 - t) ** 2).sqrt() * (x - t * m),
        "Its variance belongs there",
    ),
    (
        lambda x, t, m, s: m + (t * s**2 + 1 - t) / (t**2 * s**2 + (1 - t) ** 2) * (x - t * m),
        "z counts against",
    ),
    (
        lambda x, t, m, s: m + (t**2 * s**2 - (1 - t) ** 2) / (t**2 * s**2 + (1 - t) ** 2) * (x - t * m),
        "once each",
    ),
    (lambda x, t, m, s: -fm_by_ends(x, t, m, s), "the way back"),
    (
        lambda x, t, m, s: m + t * s**2 / (t**2 * s**2 + (1 - t) ** 2) * (x - t * m),
        "this is E[x | x_t]",
    ),
    (lambda x, t, m, s: (m - x) / (1 - t), "the mean of all data"),
    (lambda x, t, m, s: fm_by_ends(x, 1 - t, m, s), "changed places"),
    (lambda x, t, m, s: x, "the velocity"),
]


# 17.14, flow matching: two bugs in the lines ------------------------------------------------------------


def fm_lines(z, x, t):
    at = t.view(len(t), *(1 for _ in x.shape[1:]))
    return torch.lerp(z, x, at.expand_as(x)), x - z


def fm_one_by_one(z, x, t):
    places = [(1 - at) * a + at * b for a, b, at in zip(z, x, t, strict=True)]
    return [torch.stack(places), x - z]


def fm_turned(z, x, t):
    return fm_lines(z, x, 1 - t)


RIGHT["17.14"] = [fm_lines, fm_one_by_one]
WRONG["17.14"] = [
    (lambda z, x, t: ((1 - t) * z + t * x, x - z), "one bug is gone. t (n,) meets"),
    (fm_turned, "At t = 0 the place is still x"),
    (lambda z, x, t: (fm_turned(z, x, t)[0], z - x), "noise stands at t = 1. It should"),
    (lambda z, x, t: (t * z + (1 - t) * x, z - x), "noise stands at t = 1, and t (n,)"),
    (lambda z, x, t: (fm_lines(z, x, t)[0], z - x), "leads from x to z"),
    (lambda z, x, t: (z + t[:, None, None, None] * (x - z), x - z), "points have fewer dimensions"),
    (lambda z, x, t: (fm_lines(z, x, t)[0], (x - z)[:1]), "have the shapes"),
    (lambda z, x, t: (fm_lines(z, x, t)[0], 0 * x), "0 the places, 1 the velocities"),
    (lambda z, x, t: (z + t[:, None] * (x - z), x - z), "Images have more dimensions"),
    (lambda z, x, t: fm_lines(z, x, t)[::-1], "the two results"),
    (lambda z, x, t: (fm_lines(z, x, t)[0], x - fm_lines(z, x, t)[0]), "all along the line"),
    (lambda z, x, t: fm_lines(z, x, t)[0], "the pair of places"),
    (lambda z, x, t: (z, x), "the pair"),
]


# 17.15, energies: the normalized density ----------------------------------------------------------------


def fm_log_z(draws):
    return draws.logsumexp(0) - math.log(len(draws))


def fm_shifted(logit, log_p_g, draws):
    top = draws.max()
    return log_p_g + (logit - top) - (draws - top).exp().mean().log()


RIGHT["17.15"] = [
    fm_shifted,
    lambda a, p, d: a + p - torch.logsumexp(d - math.log(d.numel()), dim=0),
    lambda a, p, d: (a.double() + p - torch.log(torch.exp(d.double()).mean())).float(),
]
WRONG["17.15"] = [
    (lambda a, p, d: a + p, "Z is missing"),
    (lambda a, p, d: a + p - d.mean(), "the mean of the logits"),
    (lambda a, p, d: a + p - d.logsumexp(0), "log m is missing"),
    (lambda a, p, d: a + p + fm_log_z(d), "has to be subtracted"),
    (lambda a, p, d: a + p - d.logsumexp(0) - math.log(len(d)), "twice over"),
    (lambda a, p, d: a + p - d.exp().mean(), "Z itself"),
    (lambda a, p, d: a + p - d.exp().mean().log(), "use logsumexp"),
    (lambda a, p, d: ((a + p).exp() / d.exp().mean()).log(), "use logsumexp"),
    (lambda a, p, d: fm_shifted(a, p, d.clamp(-100, 100)), "log p_model"),
    (lambda a, p, d: a - fm_log_z(d), "log p_g is missing"),
    (lambda a, p, d: p - fm_log_z(d), "the logit is missing"),
    (lambda a, p, d: a - p - fm_log_z(d), "log p_g is subtracted"),
    (lambda a, p, d: a + p - fm_log_z(a), "the logits at x"),
    (lambda a, p, d: (a + p - fm_log_z(d)).exp(), "this is the density"),
    (lambda a, p, d: a.log() + p - fm_log_z(d), "a logarithm already"),
    (lambda a, p, d: F.logsigmoid(a) + p - d.sigmoid().mean().log(), "without a sigmoid"),
    (lambda a, p, d: d, "log p_model"),
]


# 17.16, the map: a Gaussian, tilted towards its label ------------------------------------------------------


def map_by_natural(m, s, w):
    """By the numbers before x² and before x."""
    square, linear = -(1 + w) / (2 * s**2) + w / 2, (1 + w) * m / s**2
    return linear / (-2 * square), math.sqrt(-1 / (2 * square))


def map_one_fraction(m, s, w):
    below = 1 + w - w * s**2
    return [(1 + w) * m / below, s / math.sqrt(below)]


def map_as_tensors(m, s, w):
    m, s, w = (torch.tensor(float(value), dtype=torch.float64) for value in (m, s, w))
    below = 1 + w * (1 - s**2)
    return torch.stack([(1 + w) * m / below, s / below.sqrt()]).unbind()


def map_variance(m, s, w):
    mean, sd = map_by_natural(m, s, w)
    return mean, sd**2


def map_precision(m, s, w):
    mean, sd = map_by_natural(m, s, w)
    return mean, 1 / sd**2


RIGHT["17.16"] = [map_by_natural, map_one_fraction, map_as_tensors]
WRONG["17.16"] = [
    (lambda m, s, w: (m, s / math.sqrt(1 + w)), "takes w from the precision"),
    (map_variance, "its square root is asked for"),
    (map_precision, "its inverse's square root"),
    (lambda m, s, w: (m, map_by_natural(m, s, w)[1]), "The mean moves too"),
    (lambda m, s, w: ((1 + w) * m / s**2, map_by_natural(m, s, w)[1]), "Divided by the precision"),
    (
        lambda m, s, w: ((1 + w) * m / (1 + w + w * s**2), s / math.sqrt(1 + w + w * s**2)),
        "where p_w divides by it",
    ),
    (lambda m, s, w: map_by_natural(m, s, w - 1), "w as the scale"),
    (lambda m, s, w: ((1 + w) * m, map_by_natural(m, s, w)[1]), "by its precision too: (1 + w) m/s²"),
    (lambda m, s, w: ((1 + w) * m, s), "the width stayed"),
    (lambda m, s, w: ((1 + w) * m, s / math.sqrt(1 + w)), "to the power 1 + w. Both"),
    (lambda m, s, w: m, "should be a pair"),
    (lambda m, s, w: (m, s), "as if w were 0"),
    (lambda m, s, w: tuple(reversed(map_by_natural(m, s, w))), "(mean, standard deviation)"),
]


# 17.17, the map: what becomes of a rare form on the far side -----------------------------------------------


def map_experiment(*shares):
    return lambda: ([0.2, shares[0]], [0.2, shares[1]])


map_far, map_expected = map_experiment(0.2, 0.6), {"p_w": "same", "guided": "rises"}

RIGHT["17.17"] = [
    (map_expected, map_far),
    [["same", "Rises"], map_far],
    (map_expected, lambda: torch.tensor([[0.2, 0.201], [0.19, 0.9]])),
]
WRONG["17.17"] = [
    ((map_expected | {"p_w": "rises"}, map_far), "multiplied by the same number"),
    ((map_expected | {"guided": "falls"}, map_far), 'from 20% to 60%, and you predicted "falls". At early t'),
    ((dict.fromkeys(map_expected, "same"), map_far), "guidance goes there"),
    ((map_expected, map_experiment(0.1, 0.6)), "was the experiment changed?"),
    ((map_expected, lambda: ([0.2], [0.2])), "should have shape (2, 2)"),
    ((map_expected | {"guided": "grows"}, map_far), "is none of the names"),
    (({"p_w": "same"}, map_far), 'an answer for "guided" is missing'),
    ((None, map_far), "your prediction is None"),
    (map_expected, "wants both in this order"),
]


# 17.18, the map: which comparisons of likelihoods are fair -------------------------------------------------

map_fair = dict(zip("abcdefg", ("fair", "unfair", "unfair", "fair", "unfair", "fair", "unfair"), strict=True))
map_other = {"fair": "unfair", "unfair": "fair"}

RIGHT["17.18"] = [map_fair, list(map_fair.values()), {key.upper(): value for key, value in map_fair.items()}]
WRONG["17.18"] = [
    *(
        (map_fair | {key: map_other[map_fair[key]]}, piece)
        for key, piece in {
            "a": "one of seven is not right yet. A question that one of them turns on: What can",
            "b": "about the same data?",
            "c": "Which networks does p(x) depend on",
            "d": "one label of ten be worth?",
            "e": "Did anything learn?",
            "f": "beside its error?",
            "g": "Which numbers does the distance come from",
        }.items()
    ),
    (dict.fromkeys(map_fair, "fair"), "4 of seven are not right yet"),
    (map_fair | {"a": "perhaps"}, "none of the names"),
    ({"a": "fair"}, "is missing"),
    ("fair", "a dictionary"),
]
