"""Answers to the exercises of chapter 17: other right ways, and known mistakes with their messages."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

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
