"""Checks of chapter 17, where this leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gm_lib.exercises.core import (
    Wrong,
    choices,
    exercise,
    expect,
    expect_function,
    number,
    predicted,
)

# 17.10, diffusion: what a step costs with the variance of the encoder


def _diffusion_cost(v: Tensor, snr_t: Tensor, snr_s: Tensor) -> Tensor:
    return 0.5 * (snr_s - snr_t) * v / (1 + v * snr_t)


@exercise(
    "17.10",
    "What a step costs",
    hints=(
        "On the page: half the difference of the ratios, times the mean squared error. The error of the best "
        "guess is the variance of x given z_t.",
        "z_t / α_t is x plus noise of the variance 1 / SNR_t. What is known of x before has the variance v.",
        "Precisions add up: 1 / error = 1 / v + SNR_t.",
    ),
)
def _diffusion_step_cost(answer: Any) -> str:
    snr_t = torch.tensor([0.01, 0.3, 1.0, 20.0])
    cases = [
        {"v": torch.tensor(v), "snr_t": snr_t, "snr_s": snr_t * ratio}
        for v, ratio in ((1.0, 1.5), (0.25, 1.1), (4.0, 3.0))
    ]
    expect_function(
        answer,
        _diffusion_cost,
        cases,
        mistakes={
            "the ½ is missing.": lambda v, t, s: 2 * _diffusion_cost(v, t, s),
            "that is the cost of a decoder which fits its variance, too. Here it has that of q.": (
                lambda v, t, s: 0.5 * torch.log((1 + v * s) / (1 + v * t))
            ),
            "the error is that of a guess from z_s. The decoder sees z_t.": (
                lambda v, t, s: 0.5 * (s - t) * v / (1 + v * s)
            ),
            "v is the error of a guess that does not look at z_t.": lambda v, t, s: 0.5 * (s - t) * v,
            "1 / SNR_t is the error of z_t / α_t itself, which forgets that x is from N(0, v).": (
                lambda v, t, s: 0.5 * (s - t) / t
            ),
            "that is right for v = 1 only.": lambda v, t, s: 0.5 * (s - t) / (1 + t),
            "1 / v + SNR_t is a precision; the error is one over it.": (
                lambda v, t, s: 0.5 * (s - t) * (1 / v + t)
            ),
            "the sign: SNR_s is the larger one, and a KL is not negative.": (
                lambda v, t, s: -_diffusion_cost(v, t, s)
            ),
            "v is a variance; here it stands as a standard deviation.": (
                lambda v, t, s: _diffusion_cost(v**2, t, s)
            ),
            "the error is a variance already: no square of it, and no root.": (
                lambda v, t, s: 0.5 * (s - t) * (v / (1 + v * t)).square()
            ),
            "a root of the error was taken. It is squared already.": (
                lambda v, t, s: 0.5 * (s - t) * (v / (1 + v * t)).sqrt()
            ),
        },
        name="the cost of the step",
    )
    return (
        "A decoder that fits its variance, too, pays less: ½ log((1 + v SNR_s) / (1 + v SNR_t)), what z_s "
        "knows of x and z_t does not. The smaller the step, the nearer the two."
    )


# 17.11, diffusion: two bugs of one step


def _diffusion_step(
    z: Tensor,
    guess: Tensor,
    snr_t: Any,
    snr_s: Any,
    noise: Tensor,
    *,
    unscaled: bool = False,
    variance: bool = False,
) -> Tensor:
    """Make a step, with those of the two bugs that are asked for."""
    alpha_t, alpha_s = (torch.as_tensor(snr / (1 + snr)).sqrt() for snr in (snr_t, snr_s))
    new = torch.as_tensor(1 - snr_t / snr_s)
    mean = alpha_s * ((1 - new) * (z if unscaled else z / alpha_t) + new * guess)
    return mean + ((new / (1 + snr_s)) if variance else (new / (1 + snr_s)).sqrt()) * noise


def _diffusion_whole_noise(z: Tensor, guess: Tensor, snr_t: Any, snr_s: Any, noise: Tensor) -> Tensor:
    right = _diffusion_step(z, guess, snr_t, snr_s, torch.zeros_like(noise))
    return right + torch.as_tensor(1 / (1 + snr_s)).sqrt() * noise


@exercise(
    "17.11",
    "Two bugs of one step",
    hints=(
        "Units: what does z_t hold, x or a smaller x? And what does noise from N(0, I) have to be multiplied "
        "with, to get a given variance?",
        "z / α_t is x plus noise, and comparable with a guess of x. z is not.",
        "new / (1 + snr_s) is the variance of z_s. Noise wants its root.",
    ),
)
def _diffusion_bugs(answer: Any) -> str:
    cases = [
        {
            "z": torch.randn(3, 2),
            "guess": torch.randn(3, 2),
            "snr_t": torch.tensor(t),
            "snr_s": torch.tensor(s),
            "noise": torch.randn(3, 2),
        }
        for t, s in ((0.2, 0.3), (1.5, 4.0), (0.01, 0.5))
    ]

    def without(z: Tensor, guess: Tensor, snr_t: Any, snr_s: Any, noise: Tensor) -> Tensor:
        return _diffusion_step(z, guess, snr_t, snr_s, torch.zeros_like(noise))

    expect_function(
        answer,
        _diffusion_step,
        cases,
        mistakes={
            "one bug is mended, in the noise. The other: z holds α_t x, not x. Bring it to the scale of the "
            "guess before the two are mixed.": lambda *given: _diffusion_step(*given, unscaled=True),
            "one bug is mended, in the mean. The other: the noise is multiplied with a variance.": (
                lambda *given: _diffusion_step(*given, variance=True)
            ),
            "the mean is right; the noise has all the variance of z_s, and a part of that is in z already.": (
                _diffusion_whole_noise
            ),
            "the mean is right, and the noise is missing: that is no draw.": without,
            "the mean is right; its noise is that of z_t, 1 / (1 + snr_t).": (
                lambda z, guess, t, s, noise: (
                    without(z, guess, t, s, noise) + ((1 - t / s) / (1 + t)).sqrt() * noise
                )
            ),
            "z and guess have changed places: the new part is the guess's.": (
                lambda z, guess, t, s, noise: (
                    (s / (1 + s)).sqrt() * ((1 - t / s) * z / (t / (1 + t)).sqrt() + t / s * guess)
                    + ((1 - t / s) / (1 + s)).sqrt() * noise
                )
            ),
            "z is multiplied with α_t. It holds α_t x already: divide.": (
                lambda z, guess, t, s, noise: _diffusion_step(z * t / (1 + t), guess, t, s, noise)
            ),
        },
        unchanged=lambda *given: _diffusion_step(*given, unscaled=True, variance=True),
        name="z at the level below",
    )
    return "Try a step with the true x as the guess: z_s must then have the mean α_s x and the variance σ_s²."


# 17.12, diffusion: two ways down without noise

_DIFFUSION_WAYS, _DIFFUSION_WIDTHS = ("noise left out", "deterministic"), ("too narrow", "right", "too wide")
_DIFFUSION_WHY = {
    "noise left out": "each step of ancestral sampling moves towards a mean, and its noise is what keeps the "
    "spread. Without it only the moves towards means are left.",
    "deterministic": "the deterministic step keeps the noise that it finds in z, and scales it: z goes on to "
    "have the variance of its level.",
}


@exercise(
    "17.12",
    "Two ways down without noise",
    hints=(
        "What would z_s be, on average over the noise? And is the spread of a mean that of the thing?",
        "The variance of z_s is that of its mean, and that of the noise. One way drops the second.",
        "The deterministic step puts α_s x̂ and σ_s ε̂ together, and both are there: x̂ = αz, ε̂ = σz.",
    ),
)
def _diffusion_ways(answer: Any) -> str:
    prediction, outcome = predicted(
        "17.12", answer, lambda given: choices(given, _DIFFUSION_WAYS, _DIFFUSION_WIDTHS)
    )
    if not isinstance(outcome, Mapping) or set(outcome) != set(_DIFFUSION_WAYS):
        raise Wrong("the experiment does not return its two standard deviations: was it changed?")
    found = {}
    for way, expected in zip(_DIFFUSION_WAYS, ("too narrow", "right"), strict=True):
        sd = number(outcome[way], f'the standard deviation for "{way}"')
        found[way] = "right" if abs(sd - 1) < 0.1 else "too narrow" if sd < 1 else "too wide"
        expect(found[way] == expected, f'the experiment gives {sd:.2f} for "{way}": was it changed?')
    wrong = [
        f'"{way}" is {found[way]}, with a standard deviation of {float(outcome[way]):.2f}, not '
        f"{prediction[way]}: {_DIFFUSION_WHY[way]}"
        for way in _DIFFUSION_WAYS
        if prediction[way] != found[way]
    ]
    expect(not wrong, " And ".join(wrong))
    return "To leave the noise out is not the same as to do without it."
