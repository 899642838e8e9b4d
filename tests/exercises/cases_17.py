"""Answers to the exercises of chapter 17: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from torch.distributions import AffineTransform, Normal, SigmoidTransform

RIGHT = {}
WRONG = {}
REFUSED = {}


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


def flow_with(own=-1.0, logit=-1.0, scale=-1.0, total=torch.sum, at=None):
    """The density with signs for its parts, of which the right ones are all -1."""

    def log_density(x, inverse, edge):
        v, log_p_z, log_det = flow_parts(x, inverse, edge)
        u = v if at is None else at(x)
        stretch = total((u.log() + (1 - u).log() + scale * math.log(1 - 2 * edge)).flatten(1), 1)
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
    (lambda x, inverse, edge: flow_parts(x, inverse, edge)[1], "should be"),
]


# 17.8, flows: what the noise of dequantization costs -----------------------------------------------------

FLOW_COST = 0.5 * math.log2(2 * math.pi * math.e / 12)

RIGHT["17.8"] = [0.2546, FLOW_COST, np.float64(FLOW_COST), torch.tensor(FLOW_COST), 0.255]
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
    (0.27, "rounded too much"),
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
