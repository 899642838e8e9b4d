"""Answers to the exercises of chapter 17: other right ways, and known mistakes with their messages."""

from itertools import product

import numpy as np
import torch

RIGHT = {}
WRONG = {}
REFUSED = {}


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
    (lambda log_q, x, k: log_q(alike(x, last_of(x, k))), "one number"),
    (lambda log_q, x, k: log_q(x), "log_q takes tiles"),
    (lambda log_q, x, k: log_q(x[None] + 0.5)[0], "zeros and ones"),
]
