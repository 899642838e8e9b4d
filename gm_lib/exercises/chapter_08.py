"""Checks of chapter 8, the reparameterization trick."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gm_lib.exercises.core import (
    Wrong,
    call,
    describe,
    exercise,
    expect,
    expect_close,
    is_close,
    number,
    tensor,
)


@exercise(
    "8.1",
    "The variance of a score-function estimate",
    hints=(
        "Write z² (z - θ) with z = θ + ε and multiply it out: a polynomial in ε of degree three. The "
        "variance is the mean "
        "of its square less the square of its mean, and the mean you know.",
        "(θ + ε)² ε = θ² ε + 2θ ε² + ε³. When you square the sum, one product of different terms has an "
        "even power.",
        "The square is θ⁴ ε² + 4θ² ε⁴ + ε⁶ + 2·θ² ε·ε³ + odd powers. Put in the moments 1, 3, 15, and "
        "subtract (2θ)².",
    ),
)
def _score_variance(answer: Any) -> str:
    thetas = (0.0, 0.5, 1.5, -2.0)
    found = [number(call(answer, theta), f"the variance at theta = {theta}") for theta in thetas]
    again = [number(call(answer, theta)) for theta in thetas]
    expect(
        found == again,
        "your function gives another number at each call. A simulation is a good test; here the formula is "
        "asked for.",
    )
    t = torch.tensor(thetas, dtype=torch.float64)
    right = t**4 + 14 * t**2 + 15
    mistakes = {
        "this is the mean of the square. The variance is less than that, by the square of the mean, (2θ)².": (
            right + 4 * t**2
        ),
        "this is the standard deviation. Its square is asked for.": right.sqrt(),
        "you subtracted the mean. It is the square of the mean, (2θ)², that has to go.": right
        + 4 * t**2
        - 2 * t,
        "a product is missing. Squaring a sum gives twice the product of θ²ε and ε³ too: 2θ²ε⁴, an even "
        "power.": (right - 6 * t**2),
        "one of the moments is off: E[ε⁴] is 3, not 1.": t**4 + 2 * t**2 + 15,
        "this is the variance at θ = 1.5, whatever θ is. Find the formula that gives it.": torch.full_like(
            t, 51.5625
        ),
        "4 is the variance of the pathwise estimate 2z. Here it is that of z² (z - θ).": torch.full_like(
            t, 4.0
        ),
    }
    expect_close(torch.tensor(found), right, name="the variance at θ = 0, 0.5, 1.5, -2", mistakes=mistakes)
    return "θ⁴ + 14θ² + 15, and at θ = 1.5 that is the 51.5625 of the experiment."


@exercise(
    "8.2",
    "Draws that a gradient passes",
    hints=(
        "One of the three arguments is random already; nothing else may be.",
        "log_var is log σ². What must eps be multiplied by, so that its variance becomes σ²?",
        "mu + σ * eps, and σ = sqrt(exp(log_var)) = exp(log_var / 2).",
    ),
)
def _location_scale(answer: Any) -> str:
    mu, eps = torch.randn(6, 3), torch.randn(6, 3)
    two = torch.full((6, 3), 2.0)
    draws = tensor(call(answer, mu, two, eps), shape=(6, 3), name="the result")
    expect(
        is_close(draws, call(answer, mu, two, eps)),
        "the same eps gives other draws each time: you draw new noise. The noise is the argument eps.",
    )
    mistakes = {
        "your draws are too wide: at log_var = 2 their variance is 54.6, not 7.39. exp(log_var) is the "
        "variance; the "
        "noise must be scaled by its square root.": mu + two.exp() * eps,
        "at log_var = 2 the noise is multiplied by 2. log_var is the logarithm of the variance: undo the "
        "logarithm "
        "first.": mu + two * eps,
        "you took the square root of the logarithm. Undo the logarithm first, then the root: exp(log_var / "
        "2).": (mu + two.sqrt() * eps),
        "the noise is not scaled at all: log_var is missing.": mu + eps,
        "your draws are centred at 0: mu is missing.": two.div(2).exp() * eps,
        "you added the standard deviation. It multiplies the noise.": mu + two.div(2).exp() + eps,
        "the scale is 1/σ. It should be σ: check the sign in the exponent.": mu + (-two / 2).exp() * eps,
    }
    expect_close(draws, mu + math.e * eps, name="the draw", mistakes=mistakes)

    mu.requires_grad_()
    log_var = torch.randn(6, 3).requires_grad_()
    draws = tensor(call(answer, mu, log_var, eps), shape=(6, 3), name="the result")
    expect_close(draws, mu + (0.5 * log_var).exp() * eps, name="the draw")
    for name, parameter, derivative in (
        ("mu", mu, torch.ones(6, 3)),
        ("log_var", log_var, 0.5 * (0.5 * log_var).exp() * eps),
    ):
        gradient = _gradient(draws.sum(), parameter)
        if gradient is None:
            raise Wrong(
                f"the values are right, but no gradient reaches {name}. Is there a detach, no_grad, .data "
                f"or sample?"
            )
        expect_close(gradient, derivative, name=f"the derivative of the draws by {name}")
    return "And a gradient reaches both mu and log_var."


_WHY = {
    "distance": "|z| has a kink at 0 but no jump: it is continuous, and the pathwise gradient is right.",
    "rounded": "rounding jumps at every half, and is flat in between: the pathwise gradient is always 0.",
    "overshoot": "relu(z - 1) has a kink at 1 but no jump: it is continuous, and the pathwise gradient is "
    "right.",
    "toll": "the toll jumps at 1, from 0 to 1. The pathwise gradient sees the slope beyond it, but not the "
    "jump.",
    "fraction": "z - floor(z) falls from 1 to 0 at every whole number. The pathwise gradient sees the slope "
    "1 between "
    "them, and no jump.",
    "cube": "z³ is smooth everywhere. Steep makes the estimate noisy, not biased.",
}


@exercise(
    "8.3",
    "Which costs the pathwise gradient can be trusted with",
    hints=(
        "Draw the six costs on paper.",
        "Kinks are fine. What is not?",
        "Three of them jump. Multiplying by (z > 1) makes a jump unless the other factor is 0 there.",
    ),
)
def _trusted(answer: Any) -> str:
    expect(
        isinstance(answer, set | frozenset | list | tuple),
        f'a set of names is needed, such as {{"distance", "cube"}}, and this is {describe(answer)}.',
    )
    names = set(answer)
    unknown = [name for name in names if name not in _WHY]
    if unknown:
        raise Wrong(f"there is no cost {unknown[0]!r}. The names are {', '.join(_WHY)}.")
    jump = {"rounded", "toll", "fraction"}
    for name in _WHY:
        if name in names and name in jump:
            raise Wrong(f"{name!r} should not be trusted: {_WHY[name]}")
        if name not in names and name not in jump:
            raise Wrong(f"{name!r} is missing: {_WHY[name]}")
    return "Kinks are fine, jumps are not."


@exercise(
    "8.4",
    "Gumbel draws by inverse CDF",
    hints=(
        "Solve u = exp(-exp(-z)) for z, one function at a time from the outside.",
        "log u = -exp(-z). Which sign has log u, and what does the next logarithm need?",
        "-log u = exp(-z), so z = -log(-log u).",
    ),
)
def _gumbel_from_uniform(answer: Any) -> str:
    # Symmetric about 1/2: whoever uses 1 - u, as uniform as u, has the same draws in another order.
    u = torch.linspace(0.02, 0.98, 12).reshape(3, 4)
    raw = call(answer, u)
    if isinstance(raw, Tensor) and bool(raw.isnan().any()):
        raise Wrong("some of your draws are NaN: a logarithm of a negative number. log u is below zero.")
    draws = tensor(raw, shape=(3, 4), name="the result")
    expect(is_close(draws, call(answer, u)), "the same u gives other draws each time. Use the argument u.")

    def ascending(values: Tensor) -> Tensor:
        return values.flatten().sort().values

    log = u.log()
    mistakes = {
        "these are exponential draws: the second logarithm is missing.": -log,
        "these are Gumbel draws upside down: a sign is missing in front.": torch.log(-log),
        "these are logistic draws. Their CDF is 1/(1 + exp(-z)); the Gumbel distribution's is "
        "exp(-exp(-z)).": (torch.logit(u)),
        "this is F(u). You need its inverse: solve u = F(z) for z.": torch.exp(-torch.exp(-u)),
    }
    expect_close(
        ascending(draws),
        ascending(-torch.log(-log)),
        name="the draws, sorted,",
        mistakes={message: ascending(value) for message, value in mistakes.items()},
    )
    return "-log u is an exponential draw, and -log of that a Gumbel one."


def _rate_cdf(z: Any, rate: Any) -> Any:
    return 1 - np.exp(-rate * z)


def _rate_pdf(z: Any, rate: Any) -> Any:
    return rate * np.exp(-rate * z)


def _power_cdf(z: Any, power: Any) -> Any:
    return z**power


def _power_pdf(z: Any, power: Any) -> Any:
    return power * z ** (power - 1)


@exercise(
    "8.5",
    "Implicit reparameterization",
    hints=(
        "The formula stands right above: a derivative by alpha in the numerator, the density in the "
        "denominator.",
        "The derivative of F by alpha, z held fixed: evaluate cdf at alpha + h and at alpha - h. How far "
        "apart are those?",
        "-(cdf(z, alpha + h) - cdf(z, alpha - h)) / (2 * h) / pdf(z, alpha).",
    ),
)
def _implicit_derivative(answer: Any) -> str:
    # F = 1 - exp(-rate z) has dz/drate = -z/rate; F = z^power on (0, 1) has dz/dpower = -z log z / power.
    cases: tuple[tuple[str, Callable[..., Any], Callable[..., Any], float, Any, Any], ...] = (
        ("an exponential draw", _rate_cdf, _rate_pdf, 2.0, np.linspace(0.1, 1.5, 5), lambda z, a: -z / a),
        (
            "a draw with F(z) = z^alpha",
            _power_cdf,
            _power_pdf,
            3.0,
            np.linspace(0.1, 0.9, 5),
            lambda z, a: -z * np.log(z) / a,
        ),
    )
    for name, cdf, pdf, alpha, z, derivative in cases:
        right = torch.from_numpy(derivative(z, alpha))
        density = torch.from_numpy(pdf(z, alpha))
        mistakes = {
            "the sign is wrong. When F rises with alpha, the draw has to move left to keep its u.": -right,
            "the density is missing. Divide by it: the flatter F, the farther the draw moves.": (
                right * density
            ),
            "this is the change of F itself. Turn its sign round, and divide by the density.": (
                -right * density
            ),
            "you multiply by the density. The flatter F, the farther the draw has to move: divide.": (
                right * density**2
            ),
            "twice too large: alpha + h and alpha - h lie 2h apart.": 2 * right,
            "half of what it should be: from alpha to alpha + h the distance is h, not 2h.": right / 2,
            "the result is -1 everywhere: you moved z. It is alpha that turns, z stays.": -torch.ones_like(
                right
            ),
            "the result is 1 everywhere: you moved z. It is alpha that turns, z stays.": torch.ones_like(
                right
            ),
            "the difference is not divided by the step: 2h is missing.": right * 2e-5,
        }
        found = tensor(call(answer, cdf, pdf, z, alpha), shape=(5,), name="the result")
        expect_close(found, right, name=f"dz/dalpha of {name}", mistakes=mistakes, rtol=1e-3, atol=1e-7)
    return "The inverse of the CDF was never needed."


@exercise(
    "8.6",
    "The score function on a wheel",
    hints=(
        "Differentiate ℓ_j - log Σ exp(ℓ_i) by ℓ_i, once for i = j and once for i ≠ j.",
        "The score is a one-hot vector at j minus a vector that does not depend on j.",
        "costs[j] for each draw, times (one_hot(j) - softmax(logits)). Mind the shapes: (n, 1) times (n, K).",
    ),
)
def _wheel_score(answer: Any) -> str:
    bills, logits = torch.tensor([0.5, -1.0, 3.0, 2.0]), torch.tensor([1.0, 0.2, -1.0, 0.0])
    j = torch.tensor([0, 1, 2, 3, 2, 0, 1])
    raw = tensor(call(answer, bills, logits, j), name="the result")
    corner, probs = one_hot(j, 4), logits.softmax(0)
    bill = bills[j].unsqueeze(1)
    right = bill * (corner - probs)
    if raw.shape == (4,):
        raise Wrong(
            "this is one vector for all spins. Return one estimate per spin, shape (7, 4): averaging comes "
            "later."
        )
    found = tensor(raw, shape=(7, 4), name="the result, for 7 spins and 4 sectors,")
    mistakes = {
        "the sign of the score is turned round. A logit pushes up the probability of its own sector: "
        "one-hot minus "
        "softmax.": -right,
        "this is the score alone. Each spin's score is multiplied by its cost.": corner - probs,
        "the one-hot vector is only half of the score: log Σ exp(ℓ_i) has a derivative too.": bill * corner,
        "softmax is only half of the score: ℓ_j itself has a derivative too, at i = j.": -bill * probs,
        "you differentiated π_j. The score is the derivative of log π_j: divide by π_j.": (
            right * probs[j].unsqueeze(1)
        ),
        "you subtract the logits. What the logarithm of the sum leaves is their softmax.": bill
        * (corner - logits),
        "you subtract 1/K. The sectors have different probabilities: softmax(logits).": bill
        * (corner - 0.25),
    }
    expect_close(found, right, name="the estimate", mistakes=mistakes)
    return "No look inside the draw: only its probability was needed."


@exercise(
    "8.7",
    "Gumbel-softmax with straight-through",
    hints=(
        "Without hard it is one line: add, divide, softmax along the last dimension.",
        "With hard: the value of the result must be the corner, its derivative that of soft. What has the "
        "value 0 and "
        "the derivative of soft?",
        "corner + (soft - soft.detach()), where corner is one_hot(soft.argmax(dim=-1), K).",
    ),
)
def _relax(answer: Any) -> str:
    logits, gumbel, temperature = 1.5 * torch.randn(5, 5), torch.randn(5, 5), 0.4
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0])
    soft = ((logits + gumbel) / temperature).softmax(-1)
    corner = one_hot(soft.argmax(-1), 5).float()

    found = tensor(call(answer, logits, gumbel, temperature, False), shape=(5, 5), name="the relaxed draw")
    mistakes = {
        "there is no temperature in your draws. Divide by it before the softmax.": (logits + gumbel).softmax(
            -1
        ),
        "the noise is not divided by the temperature. Add first, then divide the sum.": (
            logits / temperature + gumbel
        ).softmax(-1),
        "the logits are not divided by the temperature. Add first, then divide the sum.": (
            logits + gumbel / temperature
        ).softmax(-1),
        "you multiply by the temperature: your draws get softer when it gets colder. Divide.": (
            (logits + gumbel) * temperature
        ).softmax(-1),
        "the noise is missing: this is the same softmax at every draw.": (logits / temperature).softmax(-1),
        "the temperature comes after the softmax, so the rows no longer add up to 1. Divide before.": (
            (logits + gumbel).softmax(-1) / temperature
        ),
        "your columns add up to 1, not your rows: take the softmax along the last dimension.": (
            (logits + gumbel) / temperature
        ).softmax(0),
        "these are the logarithms. softmax, not log_softmax.": soft.log(),
        "with hard=False the relaxed draw is asked for, not the corner.": corner,
    }
    expect_close(found, soft, name="the relaxed draw", mistakes=mistakes)
    _same_gradient(answer, logits, gumbel, temperature, False, weights)

    found = tensor(
        call(answer, logits, gumbel, temperature, True), shape=(5, 5), name="the draw with hard=True"
    )
    mistakes = {
        "hard=True changes nothing yet: the value should be one-hot.": soft,
        "with hard=True you return corner + soft. Subtract something with the value, but not the "
        "derivative, of "
        "soft.": corner + soft,
        "with hard=True the values are those of 2·soft - corner. What must be detached is the difference.": (
            2 * soft - corner
        ),
        "with hard=True the one-hot vector marks the largest logit. The draw's winner is the largest of "
        "logits plus "
        "noise.": one_hot(logits.argmax(-1), 5).float(),
    }
    expect_close(found, corner, name="the draw with hard=True", mistakes=mistakes)
    _same_gradient(answer, logits, gumbel, temperature, True, weights)
    return "Discrete on the way forward, soft on the way back."


def _same_gradient(
    answer: Any, logits: Tensor, gumbel: Tensor, temperature: float, hard: bool, weights: Tensor
) -> None:
    """Compare the gradient of a weighted sum of the draws with that of the relaxed ones."""
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    right = _gradient((((ours + gumbel) / temperature).softmax(-1) * weights).sum(), ours)
    draws = tensor(call(answer, theirs, gumbel, temperature, hard), name="the result")
    found = _gradient((draws * weights).sum(), theirs)
    where = f"with hard={hard} "
    if found is None or bool((found == 0).all()):
        why = "a one-hot vector alone has none." if hard else "is there a detach, no_grad or .data?"
        raise Wrong(f"{where}the values are right, but no gradient reaches the logits: {why}")
    assert right is not None
    backwards = (
        f"{where}the values are right, but the gradient points backwards: check which soft is detached."
    )
    mistakes = {backwards: -right}
    expect_close(found, right, name=f"{where}the gradient", mistakes=mistakes, rtol=1e-3)


@exercise(
    "8.8",
    "The log-density of the encoder's draw",
    hints=(
        "log N(z; μ, σ²) = -½ ((z-μ)/σ)² - log σ - ½ log 2π in each dimension.",
        "log σ is log_var / 2. Independent components: their densities multiply, so their logarithms add.",
        "eps = (z - mu) / (log_var / 2).exp(), then -½ (eps² + log_var + log 2π), summed over dim=1.",
    ),
)
def _log_q(answer: Any) -> str:
    z, mu, log_var = torch.randn(6, 3), torch.randn(6, 3), torch.randn(6, 3) + 0.2
    raw = tensor(call(answer, z, mu, log_var), name="the result")
    if raw.shape == (6, 3):
        raise Wrong("one number per example is needed, shape (6,): the dimensions' logarithms add up.")
    if raw.shape == ():
        raise Wrong("one number per example is needed, shape (6,), and yours is one for the whole batch.")
    if raw.shape == (3,):
        raise Wrong(
            "you combined the examples. Keep them apart, shape (6,), and add over the dimensions, dim=1."
        )
    found = tensor(raw, shape=(6,), name="the result, for 6 examples,")

    def density(eps: Tensor, rest: Tensor) -> Tensor:
        return (-0.5 * eps**2 - rest).sum(1)

    sigma, log_two_pi = (0.5 * log_var).exp(), math.log(2 * math.pi)
    eps, rest = (z - mu) / sigma, 0.5 * log_var + 0.5 * log_two_pi
    right = density(eps, rest)
    mistakes: Mapping[str, Tensor] = {
        "you averaged over the dimensions. Densities of independent components multiply, so their "
        "logarithms add: "
        "sum.": right / 3,
        "you divide z - mu by log_var. The noise is (z - mu)/σ, and σ = exp(log_var / 2).": density(
            (z - mu) / log_var, rest
        ),
        "you divide z - mu by the variance exp(log_var). Divide by the standard deviation, its square "
        "root.": density((z - mu) / log_var.exp(), rest),
        "you divide (z - mu)² by σ. It is the variance σ² that belongs there.": density(
            (z - mu) / sigma.sqrt(), rest
        ),
        "z - mu is not divided by the standard deviation.": density(z - mu, rest),
        "½ log 2π is missing in each dimension.": density(eps, 0.5 * log_var),
        "log σ is missing: without it the density does not add up to 1.": density(
            eps, torch.full_like(eps, 0.5 * log_two_pi)
        ),
        "you subtract log σ². A density has 1/σ in front, so subtract log σ, which is half of that.": density(
            eps, log_var + 0.5 * log_two_pi
        ),
        "log σ has the wrong sign: a wider density is lower.": density(
            eps, -0.5 * log_var + 0.5 * log_two_pi
        ),
        "the factor ½ in front of the square is missing.": density(math.sqrt(2) * eps, rest),
        "this is -log q: the sign is turned round.": -right,
        "this is the density. Its logarithm is asked for.": right.exp(),
    }
    expect_close(found, right, mistakes=mistakes, name="log q")
    return "The same (z - mu)/σ that eps was before it became z."


def _gradient(value: Tensor, by: Tensor) -> Tensor | None:
    """d value / d by, or None where no gradient flows."""
    if not value.requires_grad:
        return None
    return torch.autograd.grad(value, by, allow_unused=True, retain_graph=True)[0]
