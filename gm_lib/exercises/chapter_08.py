"""Checks of chapter 8, the reparameterization trick."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

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
    expect_function,
    is_close,
    number,
    predicted,
    tensor,
)

Case = Mapping[str, Any]


def _given(**arguments: Tensor) -> str:
    """Say what was given, entry by entry where that is short, so that a student can try it."""
    shown = {n: v.double().round(decimals=6).tolist() if v.numel() <= 6 else v for n, v in arguments.items()}
    return ", ".join(f"{n} = {describe(v) if isinstance(v, Tensor) else v}" for n, v in shown.items())


# 8.1


def _moments(theta: float) -> tuple[float, float]:
    """Mean square and mean of z² (z - theta)."""
    return theta**4 + 18 * theta**2 + 15, 2 * theta


@exercise(
    "8.1",
    "The variance of a score-function estimate",
    hints=(
        "Write z² (z - θ) with z = θ + ε and multiply it out: a polynomial in ε of degree three. The "
        "variance is the mean of its square less the square of its mean, and the mean you know.",
        "(θ + ε)² ε = θ² ε + 2θ ε² + ε³. When you square the sum, one product of different terms has an "
        "even power.",
        "The square is θ⁴ ε² + 4θ² ε⁴ + ε⁶ + 2·θ² ε·ε³ + odd powers. Put in the moments 1, 3, 15, and "
        "subtract (2θ)².",
    ),
)
def _score_variance(answer: Any) -> str:
    once, again = (number(call(answer, 1.5), "the variance at theta = 1.5") for _ in range(2))
    expect(
        once == again,
        "your function gives another number at each call. A simulation is a good test; here the formula is "
        "asked for.",
    )

    def right(t: float) -> float:
        square, mean = _moments(t)
        return square - mean**2

    expect_function(
        answer,
        right,
        [{"theta": theta} for theta in (1.5, 0.5, -2.0, 7.0, 0.0)],
        name="the variance",
        read=lambda value: number(value, "the variance"),
        mistakes={
            "this is the mean of the square. The variance is less than that, by the square of the mean, "
            "(2θ)².": lambda t: right(t) + 4 * t**2,
            "this is the standard deviation. Its square is asked for.": lambda t: math.sqrt(right(t)),
            "you subtracted the mean. It is the square of the mean, (2θ)², that has to go.": lambda t: (
                right(t) + 4 * t**2 - 2 * t
            ),
            "a product is missing. Squaring a sum gives twice the product of θ²ε and ε³ too: 2θ²ε⁴, an even "
            "power.": lambda t: right(t) - 6 * t**2,
            "the product of θ²ε and ε³ is there once. Squaring a sum gives it twice.": lambda t: (
                right(t) - 3 * t**2
            ),
            "two things are missing: the product 2·θ²ε·ε³, an even power, and the square of the mean, "
            "(2θ)².": lambda t: right(t) - 2 * t**2,
            "the square of the mean is off: (2θ)² is 4θ².": lambda t: right(t) + 2 * t**2,
            "you subtracted (θ² + 1)², from the mean of z². The mean of z² (z - θ) is 2θ.": (
                lambda t: _moments(t)[0] - (t**2 + 1) ** 2
            ),
            "this is E[z⁴]: the score, z - θ, is missing.": lambda t: t**4 + 6 * t**2 + 3,
            "this is the variance of z² alone: the score, z - θ, is missing.": lambda t: 4 * t**2 + 2,
            "this is the variance with a baseline, (z² - θ² - 1)(z - θ). Here nothing is subtracted from "
            "z².": lambda t: 8 * t**2 + 10,
            "one of the moments is off: E[ε⁴] is 3, not 1.": lambda t: t**4 + 2 * t**2 + 15,
            "this is the variance at θ = 1.5, whatever θ is. Find the formula that gives it.": lambda t: (
                51.5625
            ),
            "4 is the variance of the pathwise estimate 2z. Here it is that of z² (z - θ).": lambda t: 4.0,
        },
    )
    return "θ⁴ + 14θ² + 15, and at θ = 1.5 that is the 51.5625 of the experiment."


# 8.2


def _scaled(scale: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda mu, log_var, eps: mu + scale(log_var) * eps


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
    small = [[[1.0, -2.0]], [[2.0, -1.0]], [[0.5, -1.5]]]
    extreme = [[[0.0, 1.0]], [[-20.0, 20.0]], [[1.5, -0.5]]]
    cases = [
        dict(zip(("mu", "log_var", "eps"), map(torch.tensor, values), strict=True))
        for values in (small, extreme)
    ]
    cases[1:1] = [
        {"mu": torch.randn(n, d), "log_var": level + spread * torch.randn(n, d), "eps": torch.randn(n, d)}
        for n, d, level, spread in ((6, 3, 2.0, 0.3), (3, 3, -3.0, 1.0))
    ]
    once, again = (call(answer, *cases[0].values()) for _ in range(2))
    expect(
        is_close(tensor(once, nan=True), tensor(again, nan=True), equal_nan=True),
        "the same eps gives other draws each time: you draw new noise. The noise is the argument eps.",
    )
    right = _scaled(lambda log_var: (0.5 * log_var).exp())
    expect_function(
        answer,
        right,
        cases,
        name=lambda mu, log_var, eps: f"the draw for {_given(mu=mu, log_var=log_var, eps=eps)}",
        mistakes={
            "your draws are too wide: at log_var = 2 their variance is 54.6, not 7.39. exp(log_var) is the "
            "variance; the noise must be scaled by its square root.": _scaled(torch.exp),
            "at log_var = 2 the noise is multiplied by 2. log_var is the logarithm of the variance: undo the "
            "logarithm first.": _scaled(lambda log_var: log_var),
            "you took the square root of the logarithm. Undo the logarithm first, then the root: "
            "exp(log_var / 2).": _scaled(torch.sqrt),
            "log_var is halved, but still a logarithm: σ = exp(log_var / 2).": _scaled(lambda v: v / 2),
            "log_var was taken for log σ, and then doubled. It is log σ²: halve it.": _scaled(
                lambda v: (2 * v).exp()
            ),
            "exp(log_var) / 2 is half the variance. Halve before exp: exp(log_var / 2).": _scaled(
                lambda v: v.exp() / 2
            ),
            "the noise is not scaled at all: log_var is missing.": _scaled(torch.ones_like),
            "your draws are centred at 0: mu is missing.": lambda mu, log_var, eps: (log_var / 2).exp() * eps,
            "you added the standard deviation. It multiplies the noise.": lambda mu, log_var, eps: (
                mu + (log_var / 2).exp() + eps
            ),
            "you added the standard deviation, and the noise is missing.": lambda mu, log_var, eps: (
                mu + (log_var / 2).exp()
            ),
            "the scale is 1/σ. It should be σ: check the sign in the exponent.": _scaled(
                lambda v: (-v / 2).exp()
            ),
            "mu is scaled too. Only the noise is.": lambda mu, log_var, eps: (log_var / 2).exp() * (mu + eps),
            "you scaled mu. It is the noise that σ multiplies.": lambda mu, log_var, eps: (
                mu * (log_var / 2).exp() + eps
            ),
            "mu and σ have changed places: σ multiplies the noise, mu is added.": lambda mu, log_var, eps: (
                mu * eps + (log_var / 2).exp()
            ),
            "this is the way back, from a draw to its noise: (z - mu) / σ. Solve it for z.": (
                lambda mu, log_var, eps: (eps - mu) / (log_var / 2).exp()
            ),
            "you subtract the noise. Such draws have the same distribution, but a larger eps is to give a "
            "larger draw: add it.": _scaled(lambda v: -(v / 2).exp()),
        },
    )
    for parameter in ("mu", "log_var"):
        _expect_gradients(
            answer, right, cases, parameter, "Is there a detach, no_grad, .data or sample?", "the draws"
        )
    return "And a gradient reaches both mu and log_var."


def _gradients(function: Callable[..., Any], cases: Sequence[Case], by: str) -> list[Tensor | None]:
    """The gradient of a weighted sum of the draws by one argument, case by case; None where none flows."""
    found = []
    for case in cases:
        given = {name: v.clone() if isinstance(v, Tensor) else v for name, v in case.items()}
        given[by].requires_grad_()
        draws = tensor(function(*given.values()), name="the result")
        gradient = None
        if draws.requires_grad:
            weights = torch.linspace(-1, 2, draws.numel()).reshape(draws.shape)
            (gradient,) = torch.autograd.grad((draws * weights).sum(), given[by], allow_unused=True)
        found.append(gradient)
    return found


def _expect_gradients(
    answer: Any, right: Callable[..., Any], cases: Sequence[Case], by: str, why_none: str, of: str
) -> None:
    """Compare the gradients of the answer's draws, whose values are right, with those of ``right``."""
    wanted = [gradient for gradient in _gradients(right, cases, by) if gradient is not None]
    found = []
    for gradient, other in zip(_gradients(lambda *a: call(answer, *a), cases, by), wanted, strict=True):
        if gradient is None or bool((gradient == 0).all() & (other != 0).any()):
            raise Wrong(f"the values of {of} are right, but no gradient reaches {by}. {why_none}")
        found.append(gradient.flatten())
    expected = torch.cat([gradient.flatten() for gradient in wanted])
    backwards = f"the values of {of} are right, but the gradient of {by} points backwards: what is detached?"
    name = f"the values of {of} are right, the gradient of {by} is not: an entry of it"
    expect_close(torch.cat(found), expected, name=name, mistakes={backwards: -expected}, rtol=1e-3)


# 8.3

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
    wanted = f'a set of names is needed, such as {{"distance", "toll"}}, and this is {describe(answer)}.'
    expect(isinstance(answer, Iterable) and not isinstance(answer, str | bytes | Mapping | Tensor), wanted)
    given = list(answer)
    expect(all(isinstance(name, str) for name in given), f"{wanted} Each name is a text.")
    names = {name.strip().lower() for name in given}
    for name in sorted(names - set(_WHY)):
        raise Wrong(f"there is no cost {name!r}. The names are {', '.join(_WHY)}.")
    jump = {"rounded", "toll", "fraction"}
    turned = (
        "these are the three that jump, which the pathwise gradient gets wrong. Asked for are the others."
    )
    expect(names != jump, turned)
    for name, why in _WHY.items():
        expect(name not in names & jump, f"{name!r} should not be trusted: {why}")
        expect(name in names | jump, f"{name!r} is missing: {why}")
    return "Kinks are fine, jumps are not."


# 8.4


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
    cases = [
        {"u": torch.tensor([0.25, 0.5, 0.875])},
        {"u": torch.empty(3, 4).uniform_(0.02, 0.98)},
        {"u": torch.tensor([2**-12, 1 - 2**-12])},
    ]
    once, again = (call(answer, cases[0]["u"]) for _ in range(2))
    expect(
        is_close(tensor(once, nan=True), tensor(again, nan=True), equal_nan=True),
        "the same u gives other draws each time. Use the argument u.",
    )
    if bool(tensor(once, nan=True).isnan().any()):
        raise Wrong("some of your draws are NaN: a logarithm of a negative number. log u is below zero.")

    def right(u: Tensor) -> Tensor:
        return -torch.log(-torch.log(u))

    mistakes: dict[str, Callable[[Tensor], Tensor]] = {
        "these are exponential draws: the second logarithm is missing.": lambda u: -u.log(),
        "these are exponential draws with the sign turned round: log u is -exp(-z), so there is more to "
        "undo.": lambda u: u.log(),
        "these are Gumbel draws upside down: a sign is missing in front.": lambda u: (-u.log()).log(),
        "these are logistic draws. Their CDF is 1/(1 + exp(-z)); the Gumbel distribution's is "
        "exp(-exp(-z)).": torch.logit,
        "this is F(u). You need its inverse: solve u = F(z) for z.": lambda u: torch.exp(-torch.exp(-u)),
        "this is the density. Draws are made by the inverse of F: solve u = F(z) for z.": lambda u: torch.exp(
            -u - torch.exp(-u)
        ),
        "these logarithms are to base 10. The inverse of exp is torch.log.": lambda u: -(-u.log10()).log10(),
        "these logarithms are to base 2. The inverse of exp is torch.log.": lambda u: -(-u.log2()).log2(),
    }
    # 1 - u is as uniform as u, so whoever uses it has Gumbel draws too.
    mirrored = all(
        is_close(tensor(call(answer, case["u"]), name="the result"), right(1 - case["u"]), atol=1e-4)
        for case in cases
    )
    if not mirrored:
        turned = {text: lambda u, f=function: f(1 - u) for text, function in mistakes.items()}
        told = {**mistakes, **{f"{text} (Of 1 - u.)": function for text, function in turned.items()}}
        expect_function(answer, right, cases, name=lambda u: f"the draw for {_given(u=u)}", mistakes=told)
    return "-log u is an exponential draw, and -log of that a Gumbel one."


# 8.5


def _phi(z: Tensor) -> Tensor:
    """The density of N(0, 1)."""
    return torch.exp(-0.5 * z.double() ** 2) / math.sqrt(2 * math.pi)


def _parts(z: Tensor, weight: float, a: float, b: float) -> tuple[Tensor, Tensor]:
    """The two summands of the density of the mixture."""
    return weight * _phi(z - a), (1 - weight) * _phi(z - b)


def _share(z: Tensor, weight: float, a: float, b: float) -> Tensor:
    first, second = _parts(z, weight, a, b)
    return first / (first + second)


def _mixed(shape: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The density of the mixture, with something else in the place of φ."""
    return lambda z, weight, a, b: weight * shape(z.double() - a) + (1 - weight) * shape(z.double() - b)


def _by_weight(z: Tensor, weight: float, a: float, b: float) -> Tensor:
    change = torch.special.ndtr(z.double() - a) - torch.special.ndtr(z.double() - b)
    return -change / sum(_parts(z, weight, a, b))


@exercise(
    "8.5",
    "How a draw from a mixture moves",
    hints=(
        "First F(z): a sum of two normal distribution functions, each with its weight. In which of the two "
        "does a stand?",
        "F(z) = w Φ(z - a) + (1 - w) Φ(z - b). Its derivative by a is -w φ(z - a), by the chain rule. And "
        "by z?",
        "w φ(z - a) / (w φ(z - a) + (1 - w) φ(z - b)), where φ(z - a) is Normal(a, 1.0).log_prob(z).exp().",
    ),
)
def _mixture_slope(answer: Any) -> str:
    density, distribution = _mixed(_phi), _mixed(torch.special.ndtr)
    cases = [
        {"z": torch.tensor([0.25]), "weight": 0.25, "a": -1.0, "b": 2.0},
        {"z": torch.linspace(-3, 4, 8), "weight": 0.3, "a": -1.0, "b": 2.0},
        {"z": torch.linspace(-2, 3, 5), "weight": 0.8, "a": 1.5, "b": -0.5},
        {"z": torch.tensor([0.7]), "weight": 0.5, "a": 1.0, "b": -2.0},
    ]
    expect_function(
        answer,
        _share,
        cases,
        name="dz/da",
        rtol=1e-3,
        atol=1e-4,
        mistakes={
            "the sign is wrong. F falls when a grows, so the draw moves to the right to keep its u.": (
                lambda *given: -_share(*given)
            ),
            "the density is missing: this is -∂F/∂a. Divide by the density of the mixture.": (
                lambda *given: _parts(*given)[0]
            ),
            "this is ∂F/∂a itself. Turn its sign round, and divide by the density of the mixture.": (
                lambda *given: -_parts(*given)[0]
            ),
            "this is φ(z - a), the density of the first component. ∂F/∂a has its weight too, and is divided "
            "by the density of the mixture.": lambda z, w, a, b: _phi(z - a),
            "the weight is missing in the numerator: ∂F/∂a = -w φ(z - a).": lambda z, w, a, b: (
                _share(z, w, a, b) / w
            ),
            "the weights are missing in the density of the mixture: it is w φ(z - a) + (1 - w) φ(z - b).": (
                lambda z, w, a, b: _share(z, 0.5, a, b)
            ),
            "the weights are missing in the denominator, which is the density of the mixture.": (
                lambda z, w, a, b: w * _share(z, 0.5, a, b)
            ),
            "the weight is missing in the numerator, ∂F/∂a = -w φ(z - a), and the sign is wrong: the draw "
            "moves to the right when a grows.": lambda z, w, a, b: -_share(z, w, a, b) / w,
            "w and 1 - w have changed places: w is the probability of the component at a.": (
                lambda z, w, a, b: _share(z, 1 - w, a, b)
            ),
            "this is upside down: the density of the mixture divides.": lambda *given: 1 / _share(*given),
            "the numerator has Φ(z - a) in it. The derivative of Φ is φ, the density.": (
                lambda z, w, a, b: w * torch.special.ndtr(z.double() - a) / density(z, w, a, b)
            ),
            "you divide by F. It is the derivative of F by z that divides, the density of the mixture.": (
                lambda *given: _parts(*given)[0] / distribution(*given)
            ),
            "Φ stands where φ belongs: the derivatives of F by a and by z hold the density φ.": (
                lambda z, w, a, b: w * torch.special.ndtr(z.double() - a) / distribution(z, w, a, b)
            ),
            "in the density of N(a, 1) the square is halved: φ(z - a) ∝ exp(-(z - a)²/2).": (
                lambda z, w, a, b: _share(math.sqrt(2) * z, w, math.sqrt(2) * a, math.sqrt(2) * b)
            ),
            "1 / density is missing its numerator: minus the derivative of F by a.": (
                lambda *given: 1 / density(*given)
            ),
            "φ(z - a) is missing in the numerator: the derivative of Φ(z - a) by a is -φ(z - a).": (
                lambda z, w, a, b: w / density(z, w, a, b)
            ),
            "this is how the draw moves with b: the other component.": lambda *given: 1 - _share(*given),
            "you divide by the density of the first component. At z lies the density of the mixture.": (
                lambda z, w, a, b: torch.full_like(z, w)
            ),
            "1 would be right for a draw that is known to come from the first component. Here u is kept, and "
            "F is that of the mixture.": lambda z, w, a, b: torch.ones_like(z),
            "you multiply by the density. The flatter F, the farther the draw has to move: divide.": (
                lambda *given: _parts(*given)[0] * sum(_parts(*given))
            ),
            "this is the derivative by the weight. Asked for is that by a.": _by_weight,
            "this is the derivative by the weight, with the sign turned round. Asked for is that by a.": (
                lambda *given: -_by_weight(*given)
            ),
            "this is the logarithm. dz/da itself is asked for.": lambda *given: _share(*given).log(),
        },
    )
    return (
        "It is the probability that z came from the first component. So a gradient passes a mixture, though "
        "which component was drawn is discrete."
    )


# 8.6


def _wheel(make: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A function of cost of each draw (n, 1), one-hot draws, probabilities and logits, as an answer."""
    return lambda costs, logits, j: make(
        costs[j].unsqueeze(1), one_hot(j, len(logits)), logits.softmax(0), logits
    )


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
    cases = [
        {
            "costs": torch.tensor(costs),
            "logits": torch.tensor(logits),
            "j": torch.tensor(j),
        }
        for costs, logits, j in (
            ([-2.0, 0.5, 1.0], [0.25, 2.0, -0.5], [2, 0, 2]),
            ([0.5, -1.0, 3.0, 2.0], [1.0, 0.25, -1.0, 0.0], [0, 1, 2, 3, 2, 0, 1]),
            ([4.0, 1.5], [-0.5, 1.5], [0]),
        )
    ]
    costs, logits, j = cases[0].values()
    along = costs[j] * (one_hot(j, 3) - logits.softmax(0))
    expect(
        not is_close(tensor(call(answer, costs, logits, j), nan=True), along),
        "the costs of the spins run along the columns here. The cost of a spin multiplies its row: make "
        "costs[j], of shape (n,), a column of shape (n, 1).",
    )
    shape = tensor(call(answer, *cases[1].values()), name="the result", nan=True).shape
    expect(
        shape != (4,),
        "this is one vector for all spins. Return one estimate per spin, shape (7, 4): averaging comes "
        "later.",
    )
    expect(
        shape != (7,),
        "this is one number per spin. The gradient has an entry for each logit: return shape (7, 4).",
    )
    expect_function(
        answer,
        _wheel(lambda f, corner, p, _: f * (corner - p)),
        cases,
        name="the estimate",
        mistakes={
            "the sign of the score is turned round. A logit pushes up the probability of its own sector: "
            "one-hot minus softmax.": _wheel(lambda f, corner, p, _: f * (p - corner)),
            "this is the score alone. Each spin's score is multiplied by its cost.": _wheel(
                lambda f, corner, p, _: corner - p
            ),
            "the one-hot vector is only half of the score: log Σ exp(ℓ_i) has a derivative too.": _wheel(
                lambda f, corner, p, _: f * corner
            ),
            "softmax is only half of the score: ℓ_j itself has a derivative too, at i = j.": _wheel(
                lambda f, corner, p, _: -f * p
            ),
            "you differentiated π_j. The score is the derivative of log π_j: divide by π_j.": _wheel(
                lambda f, corner, p, _: f * (corner - p) * (corner * p).sum(1, keepdim=True)
            ),
            "you subtract the logits. What the logarithm of the sum leaves is their softmax.": _wheel(
                lambda f, corner, p, logits: f * (corner - logits)
            ),
            "you subtract 1/K. The sectors have different probabilities: softmax(logits).": _wheel(
                lambda f, corner, p, _: f * (corner - 1 / len(p))
            ),
            "you subtract log π. The derivative of log Σ exp(ℓ_i) is π, the softmax.": (
                _wheel(lambda f, corner, p, _: f * (corner - p.log()))
            ),
            "one_hot(j) has only as many columns as the largest j needs. Say how many: one_hot(j, K).": (
                lambda costs, logits, j: costs[j].unsqueeze(1) * (one_hot(j) - logits.softmax(0))
            ),
            "the score is not zero at sectors that were not drawn: log Σ exp(ℓ_i) depends on all logits.": (
                _wheel(lambda f, corner, p, _: f * corner * (1 - p))
            ),
            "each entry is multiplied by the cost of its own sector. All entries of a spin are multiplied by "
            "one cost, that of the sector drawn.": lambda costs, logits, j: (
                costs * (one_hot(j, len(costs)) - logits.softmax(0))
            ),
            "this is the exact gradient in every row. Each spin has an estimate of its own.": (
                lambda costs, logits, j: (logits.softmax(0) * (costs - logits.softmax(0) @ costs)).expand(
                    len(j), -1
                )
            ),
            "you divided by the number of spins. Return one estimate per spin: averaging comes later.": (
                lambda costs, logits, j: (
                    costs[j].unsqueeze(1) * (one_hot(j, len(costs)) - logits.softmax(0)) / len(j)
                )
            ),
            "softmax is subtracted: in log π_j, the log of the sum has a minus sign.": _wheel(
                lambda f, corner, p, _: f * (corner + p)
            ),
            "you subtract exp(ℓ). The derivative of log Σ exp(ℓ_i) divides it by the sum: softmax.": _wheel(
                lambda f, corner, p, logits: f * (corner - logits.exp())
            ),
            "you subtracted the mean cost of these spins as a baseline. That is not asked for, and with each "
            "spin's own cost in it the estimates are biased.": _wheel(
                lambda f, corner, p, _: (f - f.mean()) * (corner - p)
            ),
            "you subtracted the mean cost as a baseline. That helps, and is not asked for yet.": (
                lambda costs, logits, j: (
                    (costs[j] - logits.softmax(0) @ costs)[:, None]
                    * (one_hot(j, len(costs)) - logits.softmax(0))
                )
            ),
        },
    )
    return "No look inside the draw: only its probability was needed."


# 8.7

Scores = Callable[[Tensor, Tensor, float], Tensor]


def _gumbel(u: Tensor) -> Tensor:
    return -torch.log(-torch.log(u))


def _corner(scores: Tensor) -> Tensor:
    return one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)


def _sum_scaled(logits: Tensor, u: Tensor, temperature: float) -> Tensor:
    return (logits + _gumbel(u)) / temperature


def _relaxed(
    scores: Scores = _sum_scaled,
    soft: Callable[[Tensor], Tensor] = lambda scores: scores.softmax(-1),
    hard_value: Callable[[Tensor, Tensor], Tensor] = lambda soft, corner: corner + (soft - soft.detach()),
    winner: Scores | None = None,
) -> Callable[..., Tensor]:
    """An answer made of the given parts, right by default."""

    def answer(logits: Tensor, u: Tensor, temperature: float, hard: bool) -> Tensor:
        s = scores(logits, u, temperature)
        corner = _corner(s if winner is None else winner(logits, u, temperature))
        return hard_value(soft(s), corner) if hard else soft(s)

    return answer


@exercise(
    "8.7",
    "Winners in the wrong proportions",
    hints=(
        "Which line decides who wins? Put in a very small temperature, then a very large one: what is left "
        "of the noise, and what of the logits, when they are compared?",
        "By the Gumbel-max trick the largest of logits + gumbel wins in the right proportions. The "
        "temperature must not change which is the largest.",
        "Add first, then divide the sum: scores = (logits + gumbel) / temperature.",
    ),
)
def _relax(answer: Any) -> str:
    given = [
        (torch.tensor([[0.5, -1.0, 1.0]]), torch.tensor([[0.25, 0.75, 0.5]]), 0.5),
        *(
            (1.5 * torch.randn(n, k), torch.empty(n, k).uniform_(0.02, 0.98), temperature)
            for n, k, temperature in ((6, 6, 1.0), (5, 3, 0.4), (2, 4, 2.5))
        ),
        # Two close scores far up, and two far down, when divided by a small temperature.
        (torch.tensor([[5.0, 4.9921875, -5.0], [-5.0, -4.9921875, -6.0]]), torch.full((2, 3), 0.5), 0.01),
        (torch.tensor([[0.0, -2.0, -8.0]]), torch.tensor([[2**-12, 0.5, 1 - 2**-12]]), 1.5),
    ]
    cases = [
        {"logits": logits, "u": u, "temperature": temperature, "hard": hard}
        for logits, u, temperature in given
        for hard in (False, True)
    ]
    for case in cases[2:4]:
        once, again = (tensor(call(answer, *case.values()), nan=True) for _ in range(2))
        expect(
            is_close(once, again, equal_nan=True),
            "the same u gives other draws each time. The noise is the argument u.",
        )
    right, buggy = _relaxed(), _relaxed(lambda a, u, t: a / t + _gumbel(u))
    expect_function(
        answer,
        right,
        cases,
        name=lambda logits, u, temperature, hard: (
            f"the draw for {_given(logits=logits, u=u)}, temperature = {temperature}, hard = {hard}"
        ),
        unchanged=buggy,
        mistakes={
            "you divide by the temperature twice. Once is enough.": _relaxed(
                lambda a, u, t: (a + _gumbel(u)) / t**2
            ),
            "your noise is made of 1 - u. Those are Gumbel draws too, but others: leave that line as it "
            "was.": _relaxed(lambda a, u, t: (a + _gumbel(1 - u)) / t),
            "with hard=True it is right. With hard=False it still does what it did.": (
                lambda a, u, t, hard: (right if hard else buggy)(a, u, t, hard)
            ),
            "there is no temperature left in your draws. Divide by it before the softmax.": _relaxed(
                lambda a, u, t: a + _gumbel(u)
            ),
            "now the logits are not divided by the temperature. Add first, then divide the sum.": _relaxed(
                lambda a, u, t: a + _gumbel(u) / t
            ),
            "you multiply by the temperature: your draws get softer when it gets colder. Divide.": _relaxed(
                lambda a, u, t: (a + _gumbel(u)) * t
            ),
            "the logits are multiplied by the temperature. Add the noise first, then divide the sum.": (
                _relaxed(lambda a, u, t: a * t + _gumbel(u))
            ),
            "the noise is missing: this is the same softmax at every draw.": _relaxed(lambda a, u, t: a / t),
            "the noise is turned round: logits minus a Gumbel draw have other winners.": _relaxed(
                lambda a, u, t: (a - _gumbel(u)) / t
            ),
            "the temperature comes after the softmax, so the rows no longer add up to 1. Divide before.": (
                lambda a, u, t, hard: _corner(a + _gumbel(u)) if hard else (a + _gumbel(u)).softmax(-1) / t
            ),
            "your columns add up to 1, not your rows: take the softmax along the last dimension.": _relaxed(
                soft=lambda scores: scores.softmax(0)
            ),
            "these are the logarithms. softmax, not log_softmax.": _relaxed(
                soft=lambda scores: scores.log_softmax(-1)
            ),
            "with hard=False the relaxed draw is asked for, not the corner.": _relaxed(soft=_corner),
            "hard=True changes nothing: the value should be one-hot.": _relaxed(hard_value=lambda s, c: s),
            "with hard=True you return corner + soft. Subtract something with the value, but not the "
            "derivative, of soft.": _relaxed(hard_value=lambda s, c: c + s),
            "with hard=True the values are those of 2·soft - corner. What must be detached is the "
            "difference.": _relaxed(hard_value=lambda s, c: 2 * s - c),
            "with hard=True the one-hot vector marks the largest logit. The draw's winner is the largest of "
            "logits plus noise.": _relaxed(winner=lambda a, u, t: a),
            "with hard=True the one-hot vector marks the largest noise. The draw's winner is the largest of "
            "logits plus noise.": _relaxed(winner=lambda a, u, t: _gumbel(u)),
            "the relaxed draws are right, but with hard=True the winner is still chosen by logits / "
            "temperature + gumbel.": _relaxed(winner=lambda a, u, t: a / t + _gumbel(u)),
        },
    )
    why_none = "Is there a detach, no_grad or .data?"
    for hard in (False, True):
        why_none = f"A one-hot vector alone has none. {why_none}" if hard else why_none
        some = [case for case in cases if case["hard"] is hard]
        _expect_gradients(answer, right, some, "logits", why_none, f"the draws with hard={hard}")
    _expect_one_winner(answer)
    return "Now the temperature decides how soft a draw is, and no longer who wins."


def _expect_one_winner(answer: Any) -> None:
    """Raise ``Wrong`` unless a draw in which several entries are largest is one-hot, too."""
    logits = torch.tensor([[1.0, 1.0, -2.0], [0.5, 2.0, 2.0], [0.0, 0.0, 0.0]])
    u = torch.tensor([[0.6, 0.6, 0.5], [0.1, 0.7, 0.7], [0.3, 0.3, 0.3]])
    found = tensor(call(answer, logits, u, 0.5, True), shape=(3, 3), name="the draw with hard=True")
    scores = _sum_scaled(logits, u, 0.5)
    largest = scores == scores.amax(1, keepdim=True)
    for row, best in zip(found.detach(), largest, strict=True):
        one = is_close(row.sort().values, torch.tensor([0.0, 0.0, 1.0])) and bool(best[row.argmax()])
        expect(
            one,
            f"right without ties. Of entries that are equally large one wins; your value is {describe(row)}.",
        )


# 8.8


@exercise(
    "8.8",
    "A surrogate with rsample",
    hints=(
        "Write log q(z) for this q, and put z = θ + ε into it.",
        "The cost is detached, so all that autograd differentiates is log q(z), by θ and by z, and z "
        "depends on θ as well. What do the two add up to?",
        "log q(z) = -½(z - θ)² - ½ log 2π, and z - θ = ε, whatever θ is.",
    ),
)
def _slope_with_rsample(answer: Any) -> str:
    def read(prediction: Any) -> float:
        return number(prediction, "your prediction")

    prediction, outcome = predicted("8.8", answer, read)
    slope = number(outcome, "what the experiment returns")
    expect(
        abs(slope) < 0.01,
        f"the experiment gives {slope:.4g}, which it cannot as it was given: was it changed? Bring it back.",
    )
    off = f"The experiment gives {slope:.4g}."
    if abs(prediction - 3) <= 0.1:
        raise Wrong(
            f"3 is what sample gives, where z stays when θ moves, and what the cost itself would give if it "
            f"stood in the loss beside the surrogate. {off} With rsample z moves along with θ, and log q(z) "
            "depends on z - θ alone."
        )
    if abs(prediction - 6) <= 0.1:
        raise Wrong(
            f"you added the two ways, 3 by the score and 3 by the path. {off} The path of the cost is "
            "detached; what z adds comes through log q(z)."
        )
    expect(
        abs(prediction - slope) <= 0.1,
        f"you predicted {prediction:.4g}. {off} Put z = θ + ε into log q(z): what is left of θ?",
    )
    return (
        "log q(z) has a derivative by θ and one by z, which moves with θ, and for a location they cancel "
        "draw by draw. No error, no warning, no gradient from the surrogate: a score needs a draw that stays "
        "where it is."
    )
