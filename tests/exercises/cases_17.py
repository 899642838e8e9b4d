"""Answers to the exercises of chapter 17: other right ways, and known mistakes with their messages."""

import math

import torch

RIGHT = {}
WRONG = {}
REFUSED = {}


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
    (lambda m, s, w: m, "should be a pair"),
    (lambda m, s, w: (m, s), "(mean, standard deviation)"),
    (lambda m, s, w: tuple(reversed(map_by_natural(m, s, w))), "(mean, standard deviation)"),
]


# 17.17, the map: what becomes of a form that nothing resembles ---------------------------------------------


def map_experiment(*shares):
    return lambda: ([0.2, shares[0]], [0.2, shares[1]])


map_far, map_expected = map_experiment(0.2, 0.65), {"p_w": "same", "guided": "rises"}

RIGHT["17.17"] = [
    (map_expected, map_far),
    [["same", "Rises"], map_far],
    (map_expected, lambda: torch.tensor([[0.2, 0.201], [0.19, 0.9]])),
]
WRONG["17.17"] = [
    ((map_expected | {"p_w": "rises"}, map_far), "multiplied by the same number"),
    ((map_expected | {"guided": "falls"}, map_far), 'from 20% to 65%, and you predicted "falls". At early t'),
    ((dict.fromkeys(map_expected, "same"), map_far), "guidance goes there"),
    ((map_expected, map_experiment(0.1, 0.65)), "was the experiment changed?"),
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
            "a": "Q may have 80",
            "b": "not about the same data",
            "c": "makes the bound tighter",
            "d": "ln 10",
            "e": "ask for the recall",
            "f": "bound the same bits",
            "g": "of samples",
        }.items()
    ),
    (dict.fromkeys(map_fair, "fair"), "4 of seven"),
    (map_fair | {"a": "perhaps"}, "none of the names"),
    ({"a": "fair"}, "is missing"),
    ("fair", "a dictionary"),
]
