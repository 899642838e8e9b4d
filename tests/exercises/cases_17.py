"""Answers to the exercises of chapter 17: other right ways, and known mistakes with their messages."""

import math

import torch
import torch.nn.functional as F

RIGHT = {}
WRONG = {}
REFUSED = {}


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
    (lambda a, p, d: a - fm_log_z(d), "log p_g is missing"),
    (lambda a, p, d: p - fm_log_z(d), "the logit is missing"),
    (lambda a, p, d: a - p - fm_log_z(d), "log p_g is subtracted"),
    (lambda a, p, d: a + p - fm_log_z(a), "the logits at x"),
    (lambda a, p, d: (a + p - fm_log_z(d)).exp(), "this is the density"),
    (lambda a, p, d: a.log() + p - fm_log_z(d), "a logarithm already"),
    (lambda a, p, d: F.logsigmoid(a) + p - d.sigmoid().mean().log(), "without a sigmoid"),
    (lambda a, p, d: d, "log p_model"),
]
