"""Checks of chapter 17, where this leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor

from gm_lib.exercises.core import (
    Wrong,
    call,
    choices,
    exercise,
    expect,
    expect_close,
    expect_function,
    number,
    predicted,
    tensor,
)

# 17.4, autoregression: the order of the pixels

_ORDER_KEYS, _ORDER_NAMES = ("sum", "linear", "tables"), ("the same", "different")
_ORDER_WHY = {
    "sum": "each factor is a distribution of its own pixel, whatever it stands behind. Sum over the last "
    "pixel first.",
    "linear": "a logistic regression cannot be every conditional, and each order asks for others.",
    "tables": "a table can be any conditional, so each one is exact, and their product is p in every order.",
}


@exercise(
    "17.4",
    "The order of the pixels",
    hints=(
        "The chain rule holds in every order. Which of the three numbers needs more than that?",
        "Which model has the exact conditionals in the raster order? Which has them in the other one?",
        "If each factor is exact, the product is p, and its nats are the entropy. If it is not, what is "
        "missing depends on the factor, and another order has other factors.",
    ),
)
def _order(answer: Any) -> str:
    prediction, outcome = predicted("17.4", answer, lambda given: choices(given, _ORDER_KEYS, _ORDER_NAMES))
    if not isinstance(outcome, Mapping) or set(outcome) != set(_ORDER_KEYS):
        raise Wrong("the experiment does not return its three pairs of numbers: was it changed?")
    wrong = []
    for key in _ORDER_KEYS:
        a, b = (number(value, f'a number of "{key}"') for value in outcome[key])
        found = "the same" if abs(a - b) < 1e-3 else "different"
        expect(
            found == ("different" if key == "linear" else "the same"),
            f'the experiment gives {a:.4f} and {b:.4f} for "{key}": was it changed?',
        )
        if prediction[key] != found:
            wrong.append(f'"{key}" comes out {found} ({a:.4f} and {b:.4f}): {_ORDER_WHY[key]}')
    expect(not wrong, " And ".join(wrong))
    linear, tables = (outcome[key] for key in ("linear", "tables"))
    return (
        f"The linear model takes {linear[0]:.3f} and {linear[1]:.3f} nats, the tables {tables[0]:.3f} twice."
    )


# 17.5, autoregression: the masks of a MADE


def _made(pixels: int, degrees: Tensor, *, more_in: int = 0, more_out: int = 0) -> tuple[Tensor, Tensor]:
    """Return the masks; so many pixels more are seen, and so many more pixels reached, than is right."""
    place = torch.arange(pixels)
    return (place < degrees[:, None] + more_in).float(), (degrees <= place[:, None] + more_out).float()


def _made_read(result: Any) -> Tensor:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong("return both masks, into the hidden units and out of them.")
    into, out = (tensor(mask, name=name) for mask, name in zip(result, ("into", "out"), strict=True))
    shapes = f"{tuple(into.shape)} and {tuple(out.shape)}"
    expect(
        into.ndim == 2 and out.shape == into.T.shape,
        f"the masks should be (hidden, pixels) and (pixels, hidden), not {shapes}.",
    )
    return torch.stack([into.double(), out.T.double()])


@exercise(
    "17.5",
    "The masks of a MADE",
    hints=(
        "Take a unit of degree 1. Which pixels may it see, which logits may see it? What do the masks say?",
        "Multiply the two masks: out @ into tells how many ways lead from pixel j to logit i. For j ≥ i "
        "there may be none.",
        "The first m pixels are 0 to m - 1. So a unit of degree m sees the pixels below m, and the logit of "
        "pixel m may see the unit.",
    ),
)
def _made_masks(answer: Any) -> str:
    cases = [
        {"pixels": 4, "degrees": torch.tensor([1, 2, 3])},
        {"pixels": 3, "degrees": torch.tensor([2, 0, 1, 3, 2])},
        {"pixels": 1, "degrees": torch.tensor([0, 1])},
    ]
    expect_function(
        answer,
        _made,
        cases,
        mistakes={
            "the masks let no pixel see itself, but connections are missing: a unit of degree m has seen the "
            "pixels 0 to m - 1, so the logit of pixel m may see it.": lambda pixels, degrees: _made(
                pixels, degrees, more_out=-1
            ),
            "no pixel sees itself now. But a unit of degree m is to see the first m pixels, 0 to m - 1, and "
            "this one sees one more: the bug is in the other mask.": lambda pixels, degrees: _made(
                pixels, degrees, more_in=1, more_out=-1
            ),
            "a pixel still reaches its own logit: a unit that has seen pixel i is seen by logit i.": (
                lambda pixels, degrees: _made(pixels, degrees, more_out=1)
            ),
            "the masks are exchanged: the one into the hidden units comes first.": lambda pixels, degrees: (
                _made(pixels, degrees)[::-1]
            ),
            "connections are missing: a unit of degree m sees m pixels, 0 to m - 1.": (
                lambda pixels, degrees: _made(pixels, degrees, more_in=-1)
            ),
        },
        unchanged=lambda pixels, degrees: _made(pixels, degrees, more_in=1),
        name="the pair of masks, the second transposed,",
        read=_made_read,
    )
    return "No way leads from a pixel to its own logit, and none that may be there is missing."


# 17.6, autoregression: the first pixels, given the last


def _given_tiles(pixels: int, shift: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return log q of tiles of so many pixels, not normalized if shifted, and all tiles."""
    every = torch.tensor(list(product((0.0, 1.0), repeat=pixels)))
    log_p = (2 * torch.randn(2**pixels)).log_softmax(0) + shift

    def log_q(x: Tensor) -> Tensor:
        x = tensor(x, name="what log_q is given")
        expect(
            x.ndim == 2 and x.shape[1] == pixels,
            f"log_q takes tiles (n, {pixels}), and was given the shape {tuple(x.shape)}.",
        )
        expect(bool(((x == 0) | (x == 1)).all()), "log_q takes zeros and ones, and was given other values.")
        return log_p[(x.double() @ 2.0 ** torch.arange(pixels - 1, -1, -1).double()).long()]

    return log_q, every


def _given_last(log_q: Callable[[Tensor], Tensor], x: Tensor, every: Tensor, which: Tensor) -> Tensor:
    """Return log q(x) less the log of the sum over all tiles that agree with x where ``which`` says."""
    alike = every[(every == x)[:, which].all(1)]
    return log_q(x[None])[0] - log_q(alike).logsumexp(0)


@exercise(
    "17.6",
    "The first pixels, given the last",
    hints=(
        "p(a | b) = p(a, b) / p(b). Here b are the last pixels: what is their probability a sum over?",
        "Make all 2^(d - k) first parts, put the same last k pixels of x behind each, and ask log_q about "
        "all of them at once.",
        "log_q of x itself, less the logsumexp of those. Exponentials of -2,000 are 0.",
    ),
)
def _first_given_last(answer: Any) -> str:
    for pixels, shift in ((5, 0.0), (4, -2000.0)):
        log_q, every = _given_tiles(pixels, shift)
        for k in sorted(range(pixels + 1), key=lambda k: abs(k - 2)):  # 0 and all, where mistakes agree, late
            for x in every[torch.randperm(len(every))[:3]]:
                name = f"the result for d = {pixels}, k = {k}"
                last, first = torch.arange(pixels) >= pixels - k, torch.arange(pixels) < k
                begins = torch.arange(pixels) < pixels - k
                found = tensor(call(answer, log_q, x, k), name=name, nan=True)
                expect(found.numel() == 1, f"{name} should be one number, and has {found.numel()}.")
                right = _given_last(log_q, x, every, last)
                of_all = right - log_q(x[None])[0]
                expect(
                    bool(found.isfinite().all()),
                    f"{name} is {found.item()}. The values of log_q lie around {shift:.0f}: a sum of their "
                    "exponentials is 0. Use logsumexp.",
                )
                count = 2 ** (pixels - k)
                expect_close(
                    found.reshape(()),
                    right,
                    name=name,
                    atol=2e-3 if shift else 1e-5,
                    mistakes={
                        "that is log q of the last pixels given the first k: the sum has to go over the "
                        "*first* parts, the last k pixels being those of x.": _given_last(
                            log_q, x, every, first
                        ),
                        "that is log q of the last k given the first d - k. The other way round is asked "
                        "for.": _given_last(log_q, x, every, begins),
                        "that is log q(x) itself: divide by the probability of the last pixels.": log_q(
                            x[None]
                        )[0],
                        "that is log q of the last pixels alone: it is what log q(x) has to be divided by.": (
                            -of_all
                        ),
                        "the sign is wrong: log q(x) comes first, and the logsumexp is subtracted.": -right,
                        "the sum was made a mean: logsumexp of all first parts, nothing is divided.": (
                            right + torch.tensor(float(count)).log()
                        ),
                    },
                )
    return "2^(d - k) terms: 256 for half a tile of 16 pixels, and 2^392 for half a digit."
