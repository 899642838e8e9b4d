"""Checks of chapter 17, where this leads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gm_lib.exercises.core import (
    Wrong,
    choices,
    exercise,
    expect,
    expect_function,
    is_close,
    number,
    predicted,
)

# 17.7, flows: two bugs in a density of images

_FLOW_WITHOUT = "the logit's stretch is missing: it is one more layer, and the last one before the images."


def _flow_case(shape: tuple[int, ...], edge: float, s: float, seed: int) -> dict[str, Any]:
    """Return images, a small flow of their logits and the edge: the flow scales by exp(s) and shifts."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))

    def inverse(logits: Tensor) -> tuple[Tensor, Tensor]:
        return (logits - 0.3) * math.exp(-s), logits.flatten(1).tanh().sum(1) * 0 + s * logits[0].numel()

    return {"x": x, "inverse": inverse, "edge": edge}


def _flow_density(
    x: Tensor,
    inverse: Callable[[Tensor], tuple[Tensor, Tensor]],
    edge: float,
    *,
    own: float = 1,
    logit: float = 1,
    scale: float = 1,
    mean: bool = False,
    of_x: bool = False,
) -> Tensor:
    """Return the log-density, with weights in place of 1 for the parts that a mistake leaves out or turns."""
    v = edge + (1 - 2 * edge) * x
    z, log_det = inverse(v.logit())
    log_p_z = -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
    at = x if of_x else v
    stretch = (at.log() + (1 - at).log() - scale * math.log(1 - 2 * edge)).flatten(1)
    return log_p_z - own * log_det - logit * (stretch.mean(1) if mean else stretch.sum(1))


@exercise(
    "17.7",
    "Two bugs in a density of images",
    hints=(
        "Try it on one pixel: add exp(log p) over a fine grid of x in [0, 1]. The area should be nearly 1.",
        "The flow tells log|det J| of the way from noise to logits. Is a density multiplied by a stretch, or "
        "divided? And which map is between the logits and x?",
        "x = (σ(l) - a) / (1 - 2a), so one value is stretched by v (1 - v) / (1 - 2a) with v = σ(l). Its "
        "logarithm, summed over the values, is subtracted, as log_det is.",
    ),
)
def _flow_bugs(answer: Any) -> str:
    mistakes = {
        _FLOW_WITHOUT: lambda x, f, a: _flow_density(x, f, a, logit=0),
        "the logit's stretch is there now. The flow's own log_det is still added: a density is divided by "
        "it.": lambda x, f, a: _flow_density(x, f, a, own=-1),
        "the logit's stretch has the wrong sign: from logits to x, a density is divided by it.": (
            lambda x, f, a: _flow_density(x, f, a, logit=-1)
        ),
        "both stretches are added. A density is divided by them.": (
            lambda x, f, a: _flow_density(x, f, a, own=-1, logit=-1)
        ),
        "the factor 1/(1 - 2a) is missing: edges are cut off after the sigmoid, and that stretches, too.": (
            lambda x, f, a: _flow_density(x, f, a, scale=0)
        ),
        "the factor 1/(1 - 2a) has the wrong sign in the logarithm.": (
            lambda x, f, a: _flow_density(x, f, a, scale=-1)
        ),
        "the logarithms of the values' stretches are averaged. A determinant is a product: sum them.": (
            lambda x, f, a: _flow_density(x, f, a, mean=True)
        ),
        "the stretch is v (1 - v) with v = σ(l), and x is not v where there is an edge.": (
            lambda x, f, a: _flow_density(x, f, a, of_x=True)
        ),
    }
    expect_function(
        answer,
        _flow_density,
        [
            _flow_case((3, 1, 2, 2), 0.05, 0.7, 0),
            _flow_case((1, 1, 1, 1), 0.01, -0.4, 1),
            _flow_case((4, 2, 3, 3), 0.2, 1.3, 2),
        ],
        mistakes=mistakes,
        unchanged=lambda x, f, a: _flow_density(x, f, a, own=-1, logit=0),
        name="log p(x)",
    )
    return "Every layer counts, the logit too. No picture of samples would have shown either bug."


# 17.8, flows: what the noise of dequantization costs

_FLOW_COST = 0.5 * math.log2(2 * math.pi * math.e / 12)
_FLOW_COSTS = {
    "in nats. Bits were asked for: divide by ln 2.": 0.5 * math.log(2 * math.pi * math.e / 12),
    "0 is what the level itself costs: it is certain. But a normal density is not the uniform one of the "
    "noise, and the difference is paid.": 0.0,
    "8 is the width of the bin, alone. A normal density may be as narrow as the noise.": 8.0,
    "the variance of noise that is uniform over a width w is w²/12, not w²/3.": (
        0.5 * math.log2(2 * math.pi * math.e / 3)
    ),
    "the variance was taken for w²/4, that of two points at the ends.": (
        0.5 * math.log2(2 * math.pi * math.e / 4)
    ),
    "the standard deviation was taken for w/12; that is the variance, of w = 1.": (
        0.5 * math.log2(2 * math.pi * math.e / 144)
    ),
    "the width itself was taken for the standard deviation. The best one is that of the noise.": (
        0.5 * math.log2(2 * math.pi) + (1 / 24) / math.log(2)
    ),
    "the entropy of the normal density was taken with 2π in place of 2πe: the square counts, too.": (
        0.5 * math.log2(2 * math.pi / 12)
    ),
    "the sign: nothing costs less than a certain level, 0 bits.": -_FLOW_COST,
}


@exercise(
    "17.8",
    "What the noise costs",
    hints=(
        "Measure in bins: the pixel is u, uniform on [0, 1), and the width of a bin is 1. Which mean and "
        "standard deviation has the best normal density?",
        "The expected -log p is ½ log(2πσ²) + (variance of u) / (2σ²), and the best σ² is the variance of u.",
        "The variance of u is 1/12. At σ² = 1/12 the second term is ½: ½ log₂(2πe/12) bits.",
    ),
)
def _flow_noise(answer: Any) -> str:
    found = number(answer)
    if not is_close(found, _FLOW_COST, rtol=1e-2, atol=0):
        for message, mistaken in _FLOW_COSTS.items():
            expect(not is_close(found, mistaken, rtol=1e-2, atol=1e-9), f"perhaps: {message}")
        expect(
            not is_close(found, _FLOW_COST, rtol=0.1, atol=0),
            f"{found:.4g} is near, but rounded too much: two significant digits are wanted.",
        )
        raise Wrong(
            f"{found:.4g} is not it. Write down E[-log p(u)] for a normal density and u uniform on [0, 1)."
        )
    return (
        "So a pixel that is always black costs a quarter of a bit: the price of uniform noise under a normal "
        "density. No choice of σ avoids it; another shape of noise, or of map, would."
    )


# 17.9, flows: likelihood and looks

_FLOW_KEYS = ("noise", "copies")
_FLOW_NAMES = ("about the same", "about 1 more", "far more")
_FLOW_RIGHT = {"noise": "about the same", "copies": "far more"}
_FLOW_WHY = {
    "noise": "a mixture has at least a hundredth of the flow's density, and log₂ 100 is not 7 bits for each "
    "dimension but for the whole image.",
    "copies": "a test image is far from each training image, measured in bins, and the density falls with "
    "the square of that. Good looks are no likelihood.",
}


@exercise(
    "17.9",
    "Likelihood and looks",
    hints=(
        "Bits per dimension are -log₂ p(x) / 784. What does a factor of 1/100 in p(x) do to them?",
        "The copies are bells as narrow as a bin around the training images. How many bins away is the "
        "nearest one, for a typical test image?",
        "log₂ 100 / 784 is less than 0.01. And a distance of 1,000 bins costs about 1,000² / 2 nats.",
    ),
)
def _flow_looks(answer: Any) -> str:
    prediction, outcome = predicted("17.9", answer, lambda given: choices(given, _FLOW_KEYS, _FLOW_NAMES))
    if not isinstance(outcome, Mapping) or set(outcome) != {"flow", *_FLOW_KEYS}:
        raise Wrong("the experiment does not return the bits of its three models: was it changed?")
    bits = {key: number(value, f'the bits of "{key}"') for key, value in outcome.items()}
    more = {key: bits[key] - bits["flow"] for key in _FLOW_KEYS}
    for key, change in more.items():
        expected = abs(change) < 0.02 if key == "noise" else change > 10
        expect(expected, f'the experiment gives {bits[key]:.4g} bits for "{key}": was it changed?')
    wrong = [
        f'"{key}" has {_FLOW_RIGHT[key]}, not {prediction[key]}: {bits[key]:,.3f} bits, and the flow '
        f"{bits['flow']:.3f}. {_FLOW_WHY[key][0].upper()}{_FLOW_WHY[key][1:]}"
        for key in _FLOW_KEYS
        if prediction[key] != _FLOW_RIGHT[key]
    ]
    expect(not wrong, " And ".join(wrong))
    return (
        f"A model whose samples are noise 99 times in 100 loses {more['noise']:.4f} bits, and one whose "
        f"samples all look real has {bits['copies']:,.0f}."
    )
