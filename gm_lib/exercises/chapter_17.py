"""Checks of chapter 17, where this leads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    call,
    exercise,
    expect_function,
    is_close,
    tensor,
)

# 17.13, flow matching: the velocity to Gaussian data


def _fm_velocity(x_t: Tensor, t: Tensor, m: Tensor, s: Tensor) -> Tensor:
    return m + (t * s**2 - (1 - t)) / (t**2 * s**2 + (1 - t) ** 2) * (x_t - t * m)


def _fm_by(
    slope: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return the velocity with another ``slope`` of t and s."""
    return lambda x_t, t, m, s: m + slope(t, s) * (x_t - t * m)


def _fm_slope(t: Tensor, s: Tensor) -> Tensor:
    return (t * s**2 - (1 - t)) / (t**2 * s**2 + (1 - t) ** 2)


_FM_VELOCITY: dict[str, Callable[..., Tensor]] = {
    "the mean is missing: it moves too. The mean of x - z is m, and the mean of x_t is t m.": (
        lambda x_t, t, m, s: _fm_slope(t, s) * x_t
    ),
    "x_t has the mean t m. The slope belongs to what x_t differs from it by.": (
        lambda x_t, t, m, s: m + _fm_slope(t, s) * x_t
    ),
    "x_t does not have the mean m: the noise has the mean 0, and so x_t has t m.": (
        lambda x_t, t, m, s: m + _fm_slope(t, s) * (x_t - m)
    ),
    "the mean of x - z, which is m, is not added again.": (
        lambda x_t, t, m, s: _fm_slope(t, s) * (x_t - t * m)
    ),
    "s is the standard deviation; the covariance has its square.": _fm_by(
        lambda t, s: (t * s - (1 - t)) / (t**2 * s + (1 - t) ** 2)
    ),
    "this is the slope for s = 1. The variance of the data is s².": _fm_by(
        lambda t, s: (2 * t - 1) / (t**2 + (1 - t) ** 2)
    ),
    "the variance of a sum of independent parts has the squares of their factors: t²s² + (1 - t)².": _fm_by(
        lambda t, s: (t * s**2 - (1 - t)) / (t * s**2 + (1 - t))
    ),
    "the covariance was divided by the standard deviation of x_t. Its variance belongs there.": _fm_by(
        lambda t, s: (t * s**2 - (1 - t)) / (t**2 * s**2 + (1 - t) ** 2).sqrt()
    ),
    "the covariance of x - z and x_t has a minus: z counts against x - z.": _fm_by(
        lambda t, s: (t * s**2 + (1 - t)) / (t**2 * s**2 + (1 - t) ** 2)
    ),
    "the covariance has t s² and (1 - t), once each: their squares belong to the variance.": _fm_by(
        lambda t, s: (t**2 * s**2 - (1 - t) ** 2) / (t**2 * s**2 + (1 - t) ** 2)
    ),
    "this is E[z - x | x_t], the way back.": lambda *given: -_fm_velocity(*given),
    "this is E[x | x_t]. What is asked for is E[x - z | x_t].": _fm_by(
        lambda t, s: t * s**2 / (t**2 * s**2 + (1 - t) ** 2)
    ),
    "this goes to the mean of all data. What x_t says of its own x is left out.": (
        lambda x_t, t, m, s: (m - x_t) / (1 - t) + 0 * s
    ),
    "t and 1 - t have changed places: at t = 0 there is noise.": lambda x_t, t, m, s: _fm_velocity(
        x_t, 1 - t, m, s
    ),
}


@exercise(
    "17.13",
    "The velocity to Gaussian data",
    hints=(
        "x - z and x_t are both made of the independent x and z. What are their means, the variance of x_t "
        "and the covariance of the two?",
        "E[b | a] = E[b] + Cov(a, b) / Var(a) · (a - E[a]), with a = x_t and b = x - z. E[a] is not 0.",
        "E[a] = t m, E[b] = m, Var(a) = t²s² + (1 - t)², Cov(a, b) = t s² - (1 - t).",
    ),
)
def _fm_gaussian(answer: Any) -> str:
    cases = [
        {
            "x_t": torch.tensor([-1.0, 0.3, 2.5]),
            "t": torch.tensor(0.3),
            "m": torch.tensor(1.5),
            "s": torch.tensor(0.7),
        },
        {
            "x_t": torch.tensor([[-2.0], [0.5], [3.0]]),
            "t": torch.tensor([0.1, 0.5, 0.6, 0.9]),
            "m": torch.tensor([-1.0, 0.5, 2.0, 4.0]),
            "s": torch.tensor([2.0, 0.2, 3.0, 1.3]),
        },
    ]
    expect_function(answer, _fm_velocity, cases, mistakes=_FM_VELOCITY, name="the velocity")
    return "One step from t = 0 ends at m, whatever s is: the slope there is -1."


# 17.14, flow matching: two bugs in the lines


def _fm_lines(z: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    at = t.reshape(-1, *[1] * (x.ndim - 1))
    return (1 - at) * z + at * x, x - z


def _fm_along_dimensions(z: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    return (1 - t) * z + t * x, x - z


def _fm_turned(z: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    return _fm_lines(z, x, 1 - t)


_FM_ALONG = (
    "t (n,) meets the last dimension: each coordinate has a time there. Each example has one. Give t as many "
    "dimensions as x has, all of size 1 but the first."
)
_FM_LINES: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    f"one bug is gone. {_FM_ALONG}": _fm_along_dimensions,
    "one bug is gone. At t = 0 the place is still x, and it should be z, while the velocity leads from z to "
    "x.": _fm_turned,
    "place and velocity fit each other now, but noise stands at t = 1. It should be at t = 0.": (
        lambda z, x, t: (_fm_turned(z, x, t)[0], z - x)
    ),
    f"place and velocity fit each other, but noise stands at t = 1, and {_FM_ALONG}": (
        lambda z, x, t: (t * z + (1 - t) * x, z - x)
    ),
    "the velocity leads from x to z. On a line that starts at z it is x - z.": (
        lambda z, x, t: (_fm_lines(z, x, t)[0], z - x)
    ),
    "t[:, None] is right for points. Images have more dimensions: t needs as many as x has.": (
        lambda z, x, t: ((1 - t[:, None]) * z + t[:, None] * x, x - z)
    ),
    "the two results have changed places: first the place, then the velocity.": (
        lambda z, x, t: _fm_lines(z, x, t)[::-1]
    ),
    "the velocity is taken at t here. It is x - z all along the line.": (
        lambda z, x, t: (_fm_lines(z, x, t)[0], x - _fm_lines(z, x, t)[0])
    ),
}


@exercise(
    "17.14",
    "Two bugs in straight lines",
    hints=(
        "Put t = 0 into x_t. What should stand there, and where does the velocity lead from it?",
        "t has the shape (n,). Which dimension of z (n, d) does PyTorch lay it along?",
        "t.reshape(-1, 1, …, 1) with as many dimensions as x has; and the factor of z is 1 - t.",
    ),
)
def _fm_two_bugs(answer: Any) -> str:
    def case(*shape: int) -> dict[str, Tensor]:
        return {"z": torch.randn(shape), "x": torch.randn(shape) + 2, "t": torch.rand(shape[0])}

    def pair(result: Any) -> Tensor:
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise Wrong("the result should be the pair of places and velocities.")
        return torch.stack([tensor(part, name="each of the two") for part in result])

    square = case(3, 3)
    given = {name: value.clone() for name, value in square.items()}
    found, bugs = pair(call(answer, *given.values())), dict(square)
    untouched = bugs["t"] * bugs["z"] + (1 - bugs["t"]) * bugs["x"], bugs["x"] - bugs["z"]
    if is_close(found, torch.stack(untouched)):
        raise NotAttempted("it still does what it did")
    expect_function(answer, _fm_lines, [square], mistakes=_FM_LINES, name="the pair", read=pair)
    cases = [case(3, 1, 3, 3), case(4, 2), case(1, 5)]
    expect_function(answer, _fm_lines, cases, mistakes=_FM_LINES, name="the pair", read=pair)
    return "With as many examples as dimensions the second bug makes no error at all."


# 17.15, energies: the normalized density


def _fm_log_density(logit: Tensor, log_p_g: Tensor, draws: Tensor) -> Tensor:
    return logit + log_p_g - (draws.logsumexp(0) - math.log(len(draws)))


_FM_DENSITY: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "Z is missing: the sum of the two is the logarithm of a density only if the logits are the best "
    "ones.": lambda a, p, d: a + p,
    "the mean of the logits is not log Z. Z is the mean of their exponentials, and log Z its logarithm.": (
        lambda a, p, d: a + p - d.mean()
    ),
    "Z is a mean over the draws, and this is the sum: log m is missing.": (
        lambda a, p, d: a + p - d.logsumexp(0)
    ),
    "log Z has to be subtracted: Z stands below the line.": lambda a, p, d: (
        a + p + (d.logsumexp(0) - math.log(len(d)))
    ),
    "log m is subtracted twice over, or with the wrong sign: log Z = logsumexp - log m.": (
        lambda a, p, d: a + p - d.logsumexp(0) - math.log(len(d))
    ),
    "Z itself is subtracted. Its logarithm is wanted.": lambda a, p, d: a + p - d.exp().mean(),
    "right where logits are small. exp(200) is infinite and exp(-200) is 0 in float32: use logsumexp.": (
        lambda a, p, d: a + p - d.exp().mean().log()
    ),
    "log p_g is missing: the logit is a ratio of densities.": lambda a, p, d: (
        a - (d.logsumexp(0) - math.log(len(d)))
    ),
    "the logit is missing.": lambda a, p, d: p - (d.logsumexp(0) - math.log(len(d))) + 0 * a,
    "log p_g is subtracted. The logit is log p_data - log p_g: add it.": lambda a, p, d: (
        a - p - (d.logsumexp(0) - math.log(len(d)))
    ),
    "Z is taken from the logits at x. It is a mean over draws of p_g, and x may be anything.": (
        lambda a, p, d: a + p - (a.logsumexp(0) - math.log(len(a)))
    ),
    "this is the density. Its logarithm is wanted.": lambda *given: _fm_log_density(*given).exp(),
    "the logarithm of the logit was taken, and it is a logarithm already.": (
        lambda a, p, d: a.log() + p - (d.logsumexp(0) - math.log(len(d)))
    ),
    "the probability of being real was taken for the ratio. That is exp of the logit, without a sigmoid.": (
        lambda a, p, d: torch.nn.functional.logsigmoid(a) + p - d.sigmoid().mean().log()
    ),
}


@exercise(
    "17.15",
    "A density from a discriminator",
    hints=(
        "log(exp(D) p_g / Z) is a sum of three terms.",
        "log Z is the logarithm of a mean of exponentials. What did chapter 4 do to keep it finite?",
        "log Z = logsumexp of the m logits, minus log m.",
    ),
)
def _fm_energy(answer: Any) -> str:
    def case(shift: float, n: int, m: int) -> dict[str, Tensor]:
        return {
            "logit": torch.randn(n) + shift,
            "log_p_g": -1 - torch.rand(n),
            "logits_of_draws": 2 * torch.randn(m) + shift,
        }

    cases = [case(0.5, 3, 5), case(200.0, 2, 4), case(-200.0, 2, 6), case(-1.0, 4, 1)]
    expect_function(answer, _fm_log_density, cases, mistakes=_FM_DENSITY, name="log p_model")
    return "A constant added to all logits changes nothing: a normalized model does not see it."
