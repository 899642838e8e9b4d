"""Checks of chapter 17, where this leads."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    choices,
    exercise,
    expect,
    expect_function,
    predicted,
    tensor,
)

# 17.16, the map: a Gaussian, tilted towards its label


def _map_tilted(m: float, s: float, w: float) -> tuple[float, float]:
    precision = (1 + w) / s**2 - w
    return (1 + w) * m / s**2 / precision, precision**-0.5


def _map_product(m: float, s: float, w: float) -> tuple[float, float]:
    """Return those of p(x | y) to the power 1 + w, without the division by p(x)."""
    return m, s / math.sqrt(1 + w)


def _map_pair(result: Any) -> Tensor:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong("the result should be a pair, the mean and the standard deviation.")
    pair = tensor(list(result), shape=(2,), name="the result")
    expect(not pair.is_complex(), "the result is complex: the root of a negative number was taken.")
    return pair.double()


_MAP_CASES = [
    {"m": m, "s": s, "w": w}
    for m, s, w in ((1.5, 0.5, 1.0), (-2.0, 0.8, 0.5), (0.3, 0.2, 4.0), (1.0, 1.0, 2.0), (0.7, 0.6, 0.0))
]


@exercise(
    "17.16",
    "A Gaussian, tilted towards its label",
    hints=(
        "Write log p_w as a sum: (1 + w) log p(x|y) - w log p(x), and leave out what does not depend on x.",
        "-(1 + w) (x - m)²/(2 s²) + w x²/2 is a square again. What stands before x², and before x?",
        "A Gaussian's exponent is -precision · x²/2 + precision · mean · x. Here the precision is "
        "(1 + w)/s² - w, and what stands before x is (1 + w) m/s².",
    ),
)
def _map_gaussian(answer: Any) -> str:
    expect_function(
        answer,
        _map_tilted,
        _MAP_CASES,
        mistakes={
            "that is p(x | y) to the power 1 + w. It is divided by p(x) to the power w, which takes w from "
            "the precision, and moves the mean.": _map_product,
            "the second number is the variance; its square root is asked for.": lambda m, s, w: (
                _map_tilted(m, s, w)[0],
                _map_tilted(m, s, w)[1] ** 2,
            ),
            "the second number is the precision; the standard deviation is its inverse's square root.": (
                lambda m, s, w: (_map_tilted(m, s, w)[0], _map_tilted(m, s, w)[1] ** -2)
            ),
            "the width is right. The mean moves too: beyond m, since p(x) pulls to 0 and is divided by.": (
                lambda m, s, w: (m, _map_tilted(m, s, w)[1])
            ),
            "(1 + w) m/s² stands before x. Divided by the precision it is the mean.": lambda m, s, w: (
                (1 + w) * m / s**2,
                _map_tilted(m, s, w)[1],
            ),
            "p(x | y) is counted w times. It is there once before guidance: 1 + w times.": lambda m, s, w: (
                w * m / s**2 / (w / s**2 - w),
                (w / s**2 - w) ** -0.5,
            ),
            "p(x) is multiplied with, where p_w divides by it: take w from the precision.": lambda m, s, w: (
                (1 + w) * m / s**2 / ((1 + w) / s**2 + w),
                ((1 + w) / s**2 + w) ** -0.5,
            ),
        },
        name="the pair (mean, standard deviation)",
        read=_map_pair,
    )
    return "The mean lies beyond that of the label's own examples, and the width is less than theirs."


# 17.17, the map: what becomes of a form that nothing resembles

_MAP_WAYS = ("p_w", "guided")
_MAP_COURSES = ("falls", "rises", "same")
_MAP_REASONS = {
    "p_w": "At the far form p(A|x) is 1 already, as it is at the common one: both are multiplied by the same "
    "number.",
    "guided": "At early t, in much noise, what lies farther out looks more like A, and guidance goes there.",
}


@exercise(
    "17.17",
    "What nothing else resembles",
    hints=(
        "p_w is p(x|A) times p(A|x) to the power w, but for a constant. How large is p(A|x) at -2, and at "
        "-3.5?",
        "Both are nearly 1, so p_w has nothing to choose between the forms. And guided draws: at an early "
        "t all forms are blurred into each other. Which way does the label pull?",
        "Away from B. What lies farthest from B gets more, at every early t.",
    ),
)
def _map_far(answer: Any) -> str:
    given = answer[0] if isinstance(answer, tuple | list) and answer else None
    if isinstance(given, dict) and any(value is ... for value in given.values()):
        raise NotAttempted

    def read(prediction: Any) -> tuple[str, ...]:
        chosen = choices(prediction, _MAP_WAYS, _MAP_COURSES)
        return tuple(chosen[way] for way in _MAP_WAYS)

    prediction, outcome = predicted("17.17", answer, read)
    found = tensor(outcome, shape=(2, 2), name="what the experiment returns").double().tolist()
    mistaken = []
    for way, said, (before, after), right in zip(
        _MAP_WAYS, prediction, found, ("same", "rises"), strict=True
    ):
        change = after - before
        seen = "same" if abs(change) < 0.02 else "rises" if change > 0 else "falls"
        told = f"in {way} the share goes from {before:.0%} to {after:.0%}"
        expect(seen == right, f"{told}, which it cannot as it was given: was the experiment changed?")
        if said != right:
            mistaken.append(f'{told}, and you predicted "{said}". {_MAP_REASONS[way]}')
    if mistaken:
        raise Wrong(" ".join(text[0].upper() + text[1:] for text in mistaken))
    return f"From {found[1][0]:.0%} to {found[1][1]:.0%} in guided draws: the rare form has become the rule."


# 17.18, the map: which comparisons of likelihoods are fair

_MAP_CLAIMS = tuple("abcdefg")
_MAP_VERDICTS = ("fair", "unfair")
_MAP_RIGHT = dict(
    zip(_MAP_CLAIMS, ("fair", "unfair", "unfair", "fair", "unfair", "fair", "unfair"), strict=True)
)
_MAP_WHY = {
    "a": "Q's 84 is an upper bound: Q may have 80 and be the better model, or 84. Nothing is proved, as the "
    "sentence says.",
    "b": "one number is of grey levels, the other of tosses, which have thrown the grey away. They are not "
    "about the same data, in whatever unit.",
    "c": "p(x) is made of prior and decoder, which stayed. A better encoder makes the bound tighter, and "
    "nothing else.",
    "d": "p(x) is at least p(x|y)/10, so a label of ten is worth ln 10 = 2.3 nats at most. The rest has "
    "another reason.",
    "e": "it is the same model. Guidance makes it keep to what is typical; ask for the recall.",
    "f": "both numbers bound the same bits of the same levels with the same noise. Of the bounds, the second "
    "is better.",
    "g": "a Fréchet distance is of samples. A model can make good samples and give held-out images next to "
    "no probability, and the other way round.",
}


@exercise(
    "17.18",
    "Fair and unfair",
    hints=(
        "For each sentence: are both numbers about the same data, in the same unit, told the same? Is each "
        "exact or a bound?",
        "An upper bound of -log p(x) can prove that its model is good, never that it is worse. What an "
        "encoder does changes the bound alone.",
        "Three of the seven sentences are fair. They are those that claim least.",
    ),
)
def _map_fair(answer: Any) -> str:
    given = choices(answer, _MAP_CLAIMS, _MAP_VERDICTS)
    off = [key for key in _MAP_CLAIMS if given[key] != _MAP_RIGHT[key]]
    if off:
        more = f" ({len(off)} of seven are not right yet.)" if len(off) > 1 else ""
        raise Wrong(f"{off[0]} is not {given[off[0]]}: {_MAP_WHY[off[0]]}{more}")
    return "The same data, the same unit, told the same, and each bound called one."
