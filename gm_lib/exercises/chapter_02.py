"""Checks of chapter 2, distributions, samples, densities."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from gm_lib.exercises.core import Wrong, exercise, expect, expect_function, number, predicted, tensor

# 2.1


def _category(u: Tensor, probs: Tensor) -> Tensor:
    return torch.searchsorted(probs.cumsum(0), u, right=True).clamp(max=len(probs) - 1)


def _whole_numbers(value: Any) -> Tensor:
    found = tensor(value, name="the result", nan=True)
    whole = not found.is_floating_point() or bool((found == found.round()).all())
    expect(whole, "categories are whole numbers, 0 … K - 1, and these are not.")
    expect(
        not found.is_floating_point(),
        "these are floats, and nothing can be looked up with them. Integers are asked for.",
    )
    return found


@exercise(
    "2.1",
    "Categories from uniform numbers",
    hints=(
        "The ends of the pieces are probs.cumsum(0). For one u: in which piece does it lie?",
        "The category is the number of ends that u has reached or passed. Comparing u[:, None] with the ends "
        "and counting does it; so does torch.searchsorted.",
        "torch.searchsorted(ends, u, right=True), then .clamp(max=len(probs) - 1), because rounding may "
        "leave the last end a little below one.",
    ),
)
def _draw_category(answer: Any) -> str:
    edges = torch.tensor([0.0, 0.3, 0.5, 0.75, 0.8])
    nearly = [torch.full((k,), 1 / k) * (1 - 2e-7) for k in (10, 25)]  # their running sums end below u
    cases = [
        {"u": torch.rand(500), "probs": torch.tensor([0.5, 0.25, 0.125, 0.125])},
        {"u": torch.rand(40), "probs": torch.tensor([0.1, 0.2, 0.7])},
        {"u": edges, "probs": torch.tensor([0.0, 0.5, 0.0, 0.25, 0.25])},
        {"u": torch.rand(3), "probs": torch.ones(1)},
        *({"u": torch.tensor([1 - 2**-24]), "probs": probs} for probs in nearly),
    ]
    expect_function(
        answer,
        _category,
        cases,
        name="the category",
        read=_whole_numbers,
        mistakes={
            "with 10 or 25 equal probabilities and u just below one, the category is 0: rounded, the running "
            "sum ends below u, and no piece is found. The last category should be drawn then.": (
                lambda u, probs: (u[:, None] < probs.cumsum(0)).int().argmax(1)
            ),
            "with 25 equal probabilities and u just below one, the category is 25, and there are only "
            "0 … 24: rounded, the running sum may end below u, even after a division by the sum. Hold the "
            "result at the last category.": (
                lambda u, probs: torch.searchsorted(probs.cumsum(0), u, right=True)
            ),
            "every u gives the most probable category. A draw must depend on u.": lambda u, probs: torch.full(
                u.shape, int(probs.argmax())
            ),
            "all pieces have the same length in your answer. Each should be as long as its probability.": (
                lambda u, probs: (u * len(probs)).long()
            ),
            "this is the category before: the draw is one too low, and can be -1. Count all ends that u has "
            "passed.": lambda u, probs: _category(u, probs) - 1,
            "this is one too high. A u below the first end belongs to category 0.": lambda u, probs: (
                _category(u, probs) + 1
            ),
            "these are the right pieces from the wrong side: u = 0 should give category 0.": (
                lambda u, probs: len(probs) - 1 - _category(u, probs)
            ),
            "these are the right probabilities, laid out in reverse order: the first piece belongs to "
            "category 0.": lambda u, probs: len(probs) - 1 - _category(u, probs.flip(0)),
            "the pieces are those of the probabilities themselves, not of their running sums.": (
                lambda u, probs: (u[:, None] >= probs).sum(1)
            ),
            "the running sums are missing: the pieces end there, and not at the probabilities themselves.": (
                lambda u, probs: (u[:, None] >= probs).sum(1).clamp(max=len(probs) - 1)
            ),
            "the first category whose *running sum* exceeds u is asked for, not whose probability does.": (
                lambda u, probs: (u[:, None] < probs).int().argmax(1)
            ),
            "the ends of the pieces are running sums of probs, and here u is looked up in probs itself.": (
                lambda u, probs: torch.searchsorted(probs, u, right=True)
            ),
            "the result is held at the last category, but u is looked up in probs itself. The ends of the "
            "pieces are its running sums.": lambda u, probs: torch.searchsorted(probs, u, right=True).clamp(
                max=len(probs) - 1
            ),
            "a u exactly at the end of a piece belongs to the next one: the first category whose running "
            "sum *exceeds* u.": lambda u, probs: torch.searchsorted(probs.cumsum(0), u).clamp(
                max=len(probs) - 1
            ),
            "the last category is never drawn here: the result is held at K - 2. The last one is K - 1.": (
                lambda u, probs: _category(u, probs).clamp(max=len(probs) - 2)
            ),
        },
    )
    return "Any table of probabilities can be drawn from now."


# 2.2


@exercise(
    "2.2",
    "The inverse of a distribution function",
    hints=(
        "First undo the sigmoid, then the shift and the scale.",
        "t = sigmoid(a) means a = log(t / (1 - t)). PyTorch calls this torch.logit.",
        "x = location + scale * log(u / (1 - u)).",
    ),
)
def _logistic_icdf(answer: Any) -> str:
    extreme = torch.tensor([1e-6, 1e-3, 0.999, 1 - 1e-6], dtype=torch.float64)
    cases = [
        {"u": torch.linspace(0.02, 0.98, 25), "location": torch.tensor(3.0), "scale": torch.tensor(2.5)},
        {"u": torch.tensor([0.1, 0.5, 0.7]), "location": torch.tensor(-1.0), "scale": torch.tensor(0.3)},
        {"u": torch.tensor([0.9]), "location": torch.tensor(0.0), "scale": torch.tensor(1.0)},
        dict(zip(("u", "location", "scale"), (extreme, extreme[0] + 5, extreme[1] + 7), strict=True)),
    ]
    expect_function(
        answer,
        lambda u, m, s: m + s * u.logit(),
        cases,
        name="the inverse",
        mistakes={
            "this is F, not its inverse: it takes x to u.": lambda u, m, s: torch.sigmoid((u - m) / s),
            "this is F⁻¹(1 - u). Its draws are right, but a larger u must give a larger x.": (
                lambda u, m, s: m - s * u.logit()
            ),
            "the scale divides. In F it divides; undone, it multiplies.": lambda u, m, s: m + u.logit() / s,
            "shift and scale are undone in the wrong order: first times the scale, then plus the location.": (
                lambda u, m, s: s * (u.logit() + m)
            ),
            "the location is subtracted. In F it is subtracted; undone, it is added.": lambda u, m, s: (
                s * u.logit() - m
            ),
            "log u is not the inverse of the sigmoid; log(u / (1 - u)) is.": lambda u, m, s: m + s * u.log(),
            "this is the inverse for location 0 and scale 1.": lambda u, m, s: u.logit(),
            "the scale is missing.": lambda u, m, s: m + u.logit(),
            "atanh(2u - 1) is half of log(u / (1 - u)): sigmoid(a) = (1 + tanh(a/2)) / 2.": (
                lambda u, m, s: m + s * (2 * u - 1).atanh()
            ),
            "-log(1 - u) is the inverse of 1 - exp(-x). The sigmoid's is log(u / (1 - u)).": (
                lambda u, m, s: m - s * (1 - u).log()
            ),
            "u / (u - 1) is negative, and has no logarithm: from u = 1 / (1 + e^-a) follows u / (1 - u).": (
                lambda u, m, s: m + s * (u / (u - 1)).log()
            ),
            "the location is missing.": lambda u, m, s: s * u.logit(),
            "the logarithm is missing: u / (1 - u) is the exponential of what is needed.": lambda u, m, s: (
                m + s * u / (1 - u)
            ),
            "this is the density, the steepness of F. Its inverse is asked for.": lambda u, m, s: (
                torch.sigmoid((u - m) / s) * torch.sigmoid((m - u) / s) / s
            ),
            "this is a normal distribution's inverse. The logistic's has a closed form.": lambda u, m, s: (
                Normal(m, s).icdf(u)
            ),
        },
    )
    return "Half of a random number generator."


# 2.3


def _mean_log_density(mu: Tensor, sigma: Tensor, m: Tensor, s: Tensor) -> Tensor:
    """Return the mean of log N(x; m, s²) over x from N(mu, sigma²), by quadrature."""
    x = mu + sigma * torch.linspace(-9, 9, 2001, dtype=torch.float64)
    return torch.trapezoid(Normal(mu, sigma).log_prob(x).exp() * Normal(m, s).log_prob(x), x)


def _with_square(square: Callable[..., Any]) -> Callable[..., Any]:
    """Return the mean log-density, were ``square`` the mean of (x - m)²."""
    return lambda mu, sigma, m, s: (
        -s.log() - 0.5 * math.log(2 * math.pi) - square(mu, sigma, m, s) / (2 * s**2)
    )


def _squared(mu: Tensor, sigma: Tensor, m: Tensor, s: Tensor) -> Tensor:
    return sigma**2 + (mu - m) ** 2


@exercise(
    "2.3",
    "The mean log-density under a normal that is wrong",
    hints=(
        "log p(x) has a part without x, and one with (x - m)². The expectation of a sum is the sum of the "
        "expectations.",
        "Write x - m as (x - μ) + (μ - m) and square it. What is the mean of each of the three terms?",
        "The mean of (x - m)² is σ² + (μ - m)². Put it into log p(x) = -log s - log(2π)/2 - (x - m)²/(2s²).",
    ),
)
def _under_another_normal(answer: Any) -> str:
    rows = [(1.7, 0.3, 1.5, 0.2), (-3.0, 2.0, 1.0, 1.5), (5.0, 0.5, 5.0, 3.0), (0.0, 1.0, 0.0, 1.0)]
    names = ("mu", "sigma", "m", "s")
    cases = [
        dict(zip(names, torch.tensor(row, dtype=torch.float64), strict=True))
        for row in [*rows, (0.4, 2.5, -0.6, 0.1)]
    ]
    expect_function(
        answer,
        _mean_log_density,
        cases,
        name="the mean log-density",
        read=lambda value: number(value, "the mean log-density", finite=False),
        mistakes={
            "this is log p at the mean of x. Other x lie farther from m, and cost more: the mean of (x - m)² "
            "is more than (μ - m)².": _with_square(lambda mu, sigma, m, s: (mu - m) ** 2),
            "the mean of (x - m)² is σ² only if m = μ. Else (μ - m)² is added.": _with_square(
                lambda mu, sigma, m, s: sigma**2
            ),
            "this is right for a normal that fits, m = μ and s = σ. There (x - m)²/s² has the mean 1.": (
                _with_square(lambda mu, sigma, m, s: s**2)
            ),
            "the two are added: σ² and (μ - m)² both drive x away from m.": _with_square(
                lambda mu, sigma, m, s: sigma**2 - (mu - m) ** 2
            ),
            "the distance of the means is to be squared: (x - m)² has the mean σ² + (μ - m)².": _with_square(
                lambda mu, sigma, m, s: sigma**2 + (mu - m).abs()
            ),
            "s is taken for the variance. It is the standard deviation: the variance is s².": (
                lambda mu, sigma, m, s: _mean_log_density(mu, sigma, m, s.sqrt())
            ),
            "√(2πs²) = s√(2π): the term is -log s, once, and not -log s².": lambda *row: (
                _mean_log_density(*row) - row[3].log()
            ),
            "the variance is σ², not σ.": _with_square(lambda mu, sigma, m, s: sigma + (mu - m) ** 2),
            "the mean of (x - m)² is σ² + (μ - m)². The two are added before anything is squared.": (
                _with_square(lambda mu, sigma, m, s: (sigma + mu - m) ** 2)
            ),
            "the mean of x² is σ² + μ², and here (x - m)² is needed.": _with_square(
                lambda mu, sigma, m, s: sigma**2 + mu**2
            ),
            "(x - m)² is divided by 2s², not by s².": _with_square(lambda *row: 2 * _squared(*row)),
            "(x - m)² is divided by 2s², not by 2s.": _with_square(lambda *row: row[3] * _squared(*row)),
            "the roles are exchanged: x has μ and σ, the density m and s.": lambda mu, sigma, m, s: (
                _mean_log_density(m, s, mu, sigma)
            ),
            "log √(2π) is missing: the density has 1/(s√(2π)) in front.": lambda *row: (
                _mean_log_density(*row) + 0.5 * math.log(2 * math.pi)
            ),
            "log s is missing: the density has 1/(s√(2π)) in front.": lambda *row: (
                _mean_log_density(*row) + row[3].log()
            ),
            "log s has the wrong sign: a wide density is a low one.": lambda *row: (
                _mean_log_density(*row) + 2 * row[3].log()
            ),
            "log √(2π) is half of log 2π, since √a = a^(1/2).": lambda *row: (
                _mean_log_density(*row) - 0.5 * math.log(2 * math.pi)
            ),
            "√(2πs²) has s, and not √s, outside the root: the term is -log s, without a half.": lambda *row: (
                _mean_log_density(*row) + 0.5 * row[3].log()
            ),
            "this is the logarithm of the mean density. The mean of the logarithm is asked for.": (
                lambda mu, sigma, m, s: Normal(m, (s**2 + sigma**2).sqrt()).log_prob(mu)
            ),
            "this is the mean under N(μ, σ²), the normal that fits. Here the model is N(m, s²).": (
                lambda mu, sigma, m, s: _mean_log_density(mu, sigma, mu, sigma)
            ),
            "only the exponent is averaged. The density has 1/(s√(2π)) in front.": lambda *row: (
                -_squared(*row) / (2 * row[3] ** 2)
            ),
            "this is the cost, minus the mean of log p.": lambda *row: -_mean_log_density(*row),
            "these are bits. Nats were asked for: the natural logarithm.": lambda *row: (
                _mean_log_density(*row) / math.log(2)
            ),
        },
    )
    return (
        "Only mean and standard deviation of x enter: it need not be normal. Which m and s make it largest, "
        "chapter 3 asks."
    )


# 2.4

Layer = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def _scale(c: float) -> Layer:
    """Multiply by c."""
    return lambda x: x / c, lambda z: torch.full((len(z),), z.shape[1] * math.log(abs(c)))


def _unbend(x: Tensor) -> Tensor:
    return torch.stack([x[:, 0], (x[:, 1] - x[:, 0] ** 2 / 2) * (-x[:, 0] / 2).exp()], dim=1)


def _log_p_of_flow(x: Tensor, layers: list[Layer]) -> Tensor:
    log_p = torch.zeros(len(x))
    for inverse, log_abs_det in reversed(layers):
        x = inverse(x)
        log_p = log_p - log_abs_det(x)
    return log_p + _base(x)


def _base(z: Tensor) -> Tensor:
    return Normal(0.0, 1.0).log_prob(z).sum(1)


def _on_the_way(x: Tensor, layers: list[Layer]) -> list[Tensor]:
    """Return x and what it is after each inverse, the last is z."""
    points = [x]
    for inverse, _ in reversed(layers):
        points.append(inverse(points[-1]))
    return points


def _too_early(x: Tensor, layers: list[Layer]) -> Tensor:
    """Return the log-density with each determinant at the wrong end of its layer."""
    points = _on_the_way(x, layers)
    stretches = [det(at) for (_, det), at in zip(reversed(layers), points, strict=False)]
    return _base(points[-1]) - sum(stretches, torch.zeros(len(x)))


@exercise(
    "2.4",
    "A flow whose density has the wrong area",
    hints=(
        "Why does the mistake not show with a layer that multiplies by a constant?",
        "log|det J_f| is a function of the point that f is applied to, not of the one that comes out. Which "
        "of the two is x, when log_abs_det is called?",
        "First x = inverse(x), and then log_p - log_abs_det(x): at z = f⁻¹(x), as the rule says.",
    ),
)
def _flow(answer: Any) -> str:
    bend: Layer = (_unbend, lambda z: z[:, 0] / 2)
    sinh: Layer = (torch.asinh, lambda z: z.cosh().log().sum(1))
    far = 3 + 7 * torch.rand(4, 2)
    cases = [
        {"x": torch.randn(6, 2), "layers": [bend]},
        {"x": far * torch.tensor([-1.0, 1.0]), "layers": [sinh]},  # where each end has another stretch
        {"x": 3 * far, "layers": [sinh, sinh]},
        {"x": torch.randn(1, 3), "layers": [_scale(0.5), sinh, _scale(-3.0)]},
        {"x": torch.randn(4, 2), "layers": [bend, sinh, _scale(2.0), bend]},
        {"x": torch.randn(5, 2), "layers": [_scale(3.0)]},
    ]

    def with_stretch(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
        """Return the answer in which log p(z) and the sum of log|det| are combined in another way."""

        def combined(x: Tensor, layers: list[Layer]) -> Tensor:
            base = _base(_on_the_way(x, layers)[-1])
            return change(base, base - _log_p_of_flow(x, layers))

        return combined

    expect_function(
        answer,
        _log_p_of_flow,
        cases,
        name="log p(x)",
        unchanged=_too_early,
        rtol=1e-3,
        atol=1e-4,
        mistakes={
            "the sign of the determinant is wrong now. Where a map stretches, the density gets smaller.": (
                with_stretch(lambda base, stretch: base + stretch)
            ),
            "the sign of the determinant was right, and the point at which it is taken is not.": (
                lambda x, layers: 2 * _base(_on_the_way(x, layers)[-1]) - _too_early(x, layers)
            ),
            "the stretch is missing: this is the density of z, and does not integrate to one over x.": (
                with_stretch(lambda base, stretch: base)
            ),
            "the determinant itself is subtracted now. log_abs_det is its logarithm already.": (
                lambda x, layers: (
                    _base(_on_the_way(x, layers)[-1])
                    - sum(
                        (
                            det(at).exp()
                            for (_, det), at in zip(reversed(layers), _on_the_way(x, layers)[1:], strict=True)
                        ),
                        torch.zeros(len(x)),
                    )
                )
            ),
            "the layers are undone in the wrong order: the last one, f_K, first. That was right.": (
                lambda x, layers: _log_p_of_flow(x, layers[::-1])
            ),
            "the determinants are all taken at z now. Each belongs to the point that its own map is applied "
            "to.": lambda x, layers: (
                _base(_on_the_way(x, layers)[-1])
                - sum((det(_on_the_way(x, layers)[-1]) for _, det in layers), torch.zeros(len(x)))
            ),
            "x is not replaced any more: each map has to start from where the one after it came from.": (
                lambda x, layers: (
                    _base(x) - sum((det(inverse(x)) for inverse, det in layers), torch.zeros(len(x)))
                )
            ),
            "only the stretch of f_1, the last one undone, is left. Those of all maps are added up.": (
                lambda x, layers: _base(_on_the_way(x, layers)[-1]) - layers[0][1](_on_the_way(x, layers)[-1])
            ),
            "each determinant is taken a step too far now: x has been undone already, and is undone again.": (
                lambda x, layers: (
                    _base(_on_the_way(x, layers)[-1])
                    - sum(
                        (
                            det(inverse(at))
                            for (inverse, det), at in zip(
                                reversed(layers), _on_the_way(x, layers)[1:], strict=True
                            )
                        ),
                        torch.zeros(len(x)),
                    )
                )
            ),
            "the normal density is taken at x now. It belongs to z, at the end of the way back.": (
                lambda x, layers: _base(x) + _log_p_of_flow(x, layers) - _base(_on_the_way(x, layers)[-1])
            ),
        },
    )
    return "The rule behind every normalizing flow, with each determinant in its place."


# 2.5


def _given_slant(counts: Tensor) -> Tensor:
    seen = counts.sum(0)
    return torch.where(seen > 0, counts / seen, counts.sum(1, keepdim=True) / counts.sum())


@exercise(
    "2.5",
    "Turning a table around",
    hints=(
        "p(y | s): for one slant s, the digits' shares. Which sum has to be one, over rows or over columns?",
        "Divide each column by its sum, counts.sum(0). Where that is zero, something else must stand.",
        "torch.where(seen > 0, counts / seen.clamp(min=1), counts.sum(1, keepdim=True) / counts.sum()).",
    ),
)
def _digits_given_slant(answer: Any) -> str:
    tables = [
        [[8.0, 1.0, 3.0], [2.0, 3.0, 5.0], [10.0, 4.0, 4.0], [7.0, 1.0, 0.0]],
        [[8.0, 1.0, 3.0, 0.0, 0.0, 0.0], [2.0, 3.0, 5.0, 0.0, 0.0, 0.0], [10.0, 4.0, 4.0, 0.0, 0.0, 1.0]],
        [[0.0, 2.0, 1.0], [0.0, 3.0, 0.0]],
    ]
    cases = [{"counts": torch.tensor(table)} for table in tables]
    expect_function(
        answer,
        _given_slant,
        cases,
        name="p(y | s)",
        mistakes={
            "rows and columns are exchanged: rows are digits.": lambda counts: _given_slant(counts).T,
            "each row adds up to one: this is p(s | y). Given the slant, each column must.": (
                lambda counts: counts / counts.sum(1, keepdim=True)
            ),
            "the whole table adds up to one: this is the joint p(y, s).": lambda counts: (
                counts / counts.sum()
            ),
            "this is the marginal p(y) in every column, whatever the slant.": lambda counts: (
                counts.sum(1, keepdim=True) / counts.sum()
            ).expand_as(counts),
            "these are counts smoothed by one. The task asks for the shares as they are.": (
                lambda counts: (counts + 1) / (counts + 1).sum(0)
            ),
            "softmax makes probabilities of logits; these are counts. Divide by their sum.": (
                lambda counts: counts.softmax(0)
            ),
            "right where a slant was seen. One that was never seen gives 0/0: put the marginal p(y) there.": (
                lambda counts: counts / counts.sum(0)
            ),
            "a slant that was never seen has the probabilities 0 here, which do not add up to one. Put the "
            "marginal p(y) there.": lambda counts: counts / counts.sum(0).clamp(min=1),
            "a slant that was never seen has equal probabilities here. Put the marginal p(y) there.": (
                lambda counts: (counts / counts.sum(0)).nan_to_num(1 / len(counts))
            ),
            "a slant that was never seen has the counts of the digits here. Divide them by their sum.": (
                lambda counts: torch.where(
                    counts.sum(0) > 0, counts / counts.sum(0), counts.sum(1, keepdim=True)
                )
            ),
        },
    )
    return "Each column is a distribution."


# 2.6


def _p_white(x: Tensor, i: int) -> Tensor:
    """A chain that remembers everything before: the more white so far, the more probable white."""
    before = x[:, :i]
    if bool((before != before.round()).any()):
        raise Wrong("p_white was given something else than zeros and ones.")
    return torch.sigmoid(before.sum(1) * 0.7 - 1.0 + 0.1 * i)


def _p_like_the_first(x: Tensor, i: int) -> Tensor:
    """A chain in which every pixel is probably like the first one."""
    return torch.full((len(x),), 0.3) if i == 0 else 0.1 + 0.7 * x[:, 0]


def _mostly_black(x: Tensor, i: int) -> Tensor:
    return torch.full((len(x),), 0.1)


def _nearly_sure(x: Tensor, i: int) -> Tensor:
    return torch.full((len(x),), 1e-6 if i % 2 else 1 - 1e-6)


def _each_p(x: Tensor, p_white: Callable[[Tensor, int], Tensor]) -> Tensor:
    return torch.stack([p_white(x, i) for i in range(x.shape[1])], dim=1)


def _by_pixel(x: Tensor, p: Tensor) -> Tensor:
    return torch.where(x == 1, p, 1 - p).log()


@exercise(
    "2.6",
    "The chain rule, in logarithms",
    hints=(
        "For one pixel: its probability is p if it is white, 1 - p if it is black.",
        "Go through the pixels in a loop, ask p_white(x, i), take the logarithm of the probability of what "
        "is there, and add.",
        "total = total + torch.where(x[:, i] == 1, p, 1 - p).log() in the loop over range(x.shape[1]).",
    ),
)
def _log_p_by_chain_rule(answer: Any) -> str:
    cases = [
        {"x": torch.randint(0, 2, (7, 9)).float(), "p_white": _p_white},
        {"x": torch.tensor([[1.0, 0.0, 0.0, 1.0]]), "p_white": _p_like_the_first},
        {"x": torch.randint(0, 2, (2, 784)).float(), "p_white": _mostly_black},
        {
            "x": torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0, 1.0], [1.0, 0.0] * 2 + [0.0, 1.0]]),
            "p_white": _nearly_sure,
        },
    ]

    def combined(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        return lambda x, p_white: change(_by_pixel(x, _each_p(x, p_white)))

    def asked_about(other: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        return lambda x, p_white: _by_pixel(x, _each_p(other(x), p_white)).sum(1)

    expect_function(
        answer,
        combined(lambda logs: logs.sum(1)),
        cases,
        name="log p(x)",
        mistakes={
            "this is one number for each pixel. The logarithm of their product is the sum.": combined(
                lambda logs: logs
            ),
            "this is one number for all images. Keep them apart: one for each, shape (n,).": combined(
                lambda logs: logs.sum()
            ),
            "white pixels are scored, black ones are not: a black pixel has probability 1 - p.": (
                lambda x, p_white: (x * _each_p(x, p_white).log()).sum(1)
            ),
            "this is the log-probability of an image that is white everywhere p_white was asked. A black "
            "pixel has probability 1 - p.": lambda x, p_white: _each_p(x, p_white).log().sum(1),
            "black and white are exchanged: p_white gives the probability of a one.": (
                lambda x, p_white: _by_pixel(1 - x, _each_p(x, p_white)).sum(1)
            ),
            "this is p(x). The task asks for its logarithm.": combined(lambda logs: logs.sum(1).exp()),
            "the sign is wrong: a log-probability is never positive.": combined(lambda logs: -logs.sum(1)),
            "this is the mean over the pixels; a logarithm of a product is a sum.": combined(
                lambda logs: logs.mean(1)
            ),
            "these are bits. Nats were asked for: the natural logarithm.": combined(
                lambda logs: logs.sum(1) / math.log(2)
            ),
            "this is the cost in bits. The natural logarithm itself was asked for, without a minus.": (
                combined(lambda logs: -logs.sum(1) / math.log(2))
            ),
            "a small number is added to the probabilities. None is zero here, and what hardly ever occurs "
            "gets too much.": combined(lambda logs: (logs.exp() + 1e-8).log().sum(1)),
            "the first pixel is left out. It has nothing before it, and a probability all the same.": (
                combined(lambda logs: logs[:, 1:].sum(1))
            ),
            "the last pixel is left out.": combined(lambda logs: logs[:, :-1].sum(1)),
            "p_white should see the image itself, not one that is all white.": asked_about(torch.ones_like),
            "p_white should see the image itself, not one that is all black.": asked_about(torch.zeros_like),
            "right for few pixels; for 784 the product of the probabilities is rounded to zero before its "
            "logarithm is taken. Add logarithms.": combined(lambda logs: logs.exp().prod(1).log()),
        },
    )
    return "Any image, any chain, no underflow."


# 2.7


def _flat(value: Tensor) -> Tensor:
    return torch.where((value >= 0) & (value < 1), 0.0, -math.inf)


def _dark(value: Tensor) -> Tensor:
    return Normal(0.1, 0.4).log_prob(value)


def _steep(value: Tensor) -> Tensor:
    return math.log(2) + value.clamp(min=0).log()  # p(x) = 2x


def _bits(smooth: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the bits per pixel of images whose pixels are spread in this way."""

    def bits(x: Tensor, u: Tensor, levels: int, log_density: Callable[[Tensor], Tensor]) -> Tensor:
        return -(log_density(smooth(x, u, levels)) - math.log(levels)).mean(1) / math.log(2)

    return bits


def _from_level(change: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return _bits(lambda x, u, levels: change((x * (levels - 1)).round(), u, levels))


@exercise(
    "2.7",
    "Images with white pixels cost too much",
    hints=(
        "Take a white pixel, x = 1. Which values can smooth have, and where is its bin?",
        "x is k / (levels - 1), and the bin of level k goes from k / levels to (k + 1) / levels. Get the "
        "whole number k back first.",
        "level = (x * (levels - 1)).round(), and then smooth = (level + u) * width.",
    ),
)
def _smooth_bits(answer: Any) -> str:
    cases = []
    for levels, shape, log_density in (
        (8, (5, 4), _dark),
        (256, (2, 50), _steep),
        (3, (1, 7), _flat),
        (42, (42, 1), _dark),
        (2, (3, 2), _steep),
    ):
        k = torch.arange(math.prod(shape)).remainder(levels).reshape(shape).float()
        u = 0.02 + 0.96 * torch.rand(shape)
        cases.append({"x": k / (levels - 1), "u": u, "levels": levels, "log_density": log_density})
    expect_function(
        answer,
        _from_level(lambda k, u, levels: (k + u) / levels),
        cases,
        name="the bits per pixel",
        unchanged=_bits(lambda x, u, levels: x + u / levels),
        mistakes={
            "the width is 1/(levels - 1) now, in the bin and in the logarithm. `levels` bins of that width "
            "do not fit into [0, 1).": lambda x, u, levels, log_density: (
                _from_level(lambda k, u, levels: (k + u) / (levels - 1))(x, u, levels, log_density)
                - math.log2(levels / (levels - 1))
            ),
            "these bins are 1/(levels - 1) wide, so the last one still reaches beyond 1. There are `levels` "
            "bins, not one less.": _from_level(lambda k, u, levels: (k + u) / (levels - 1)),
            "values beyond 1 are held at 1 now. The bins still leave gaps: each level needs one of its "
            "own.": _bits(lambda x, u, levels: (x + u / levels).clamp(max=1 - 1e-6)),
            "values are now wrapped round: white becomes black. Each level needs its own bin.": _bits(
                lambda x, u, levels: (x + u / levels).remainder(1)
            ),
            "the noise now goes downwards from the level, and black pixels leave [0, 1).": _bits(
                lambda x, u, levels: x - u / levels
            ),
            "the noise now goes to both sides of the level, and values still leave [0, 1).": _bits(
                lambda x, u, levels: x + (u - 0.5) / levels
            ),
            "the noise now goes to both sides of the bin's left end, and black pixels leave [0, 1).": (
                _from_level(lambda k, u, levels: (k + u - 0.5) / levels)
            ),
            "no noise is added now: these are the levels, single points that a density can put a spike on.": (
                _bits(lambda x, u, levels: x)
            ),
            "no noise is added now: these are the left ends of the bins.": _from_level(
                lambda k, u, levels: k / levels
            ),
            "x was multiplied by levels, and not by levels - 1: only then is it a whole number.": _bits(
                lambda x, u, levels: ((x * levels).round() + u) / levels
            ),
            "x was multiplied by levels, and the last level held back. x * (levels - 1) is a whole number "
            "already.": _bits(lambda x, u, levels: ((x * levels).round().clamp(max=levels - 1) + u) / levels),
            "this takes 256 levels for granted. There are `levels`.": _bits(
                lambda x, u, levels: x * 255 / 256 + u / levels
            ),
            "255 and 256 belong to images of 256 levels. Here there are `levels`.": _bits(
                lambda x, u, levels: ((x * 255).round() + u) / 256
            ),
            "these are nats now. Dividing by log 2, as it was, makes bits of them.": (
                lambda x, u, levels, log_density: (
                    _from_level(lambda k, u, levels: (k + u) / levels)(x, u, levels, log_density)
                    * math.log(2)
                )
            ),
            "the levels are not divided by their number now: values should lie in [0, 1).": _from_level(
                lambda k, u, levels: k + u
            ),
            "rounded down, a few levels fall into the bin before theirs, because x * (levels - 1) may be a "
            "little less than a whole number. Round to the nearest.": _bits(
                lambda x, u, levels: ((x * (levels - 1)).floor() + u) / levels
            ),
            "the width of the bin is missing now: a density is not the probability of a level.": (
                lambda x, u, levels, log_density: (
                    _from_level(lambda k, u, levels: (k + u) / levels)(x, u, levels, log_density)
                    - math.log2(levels)
                )
            ),
        },
    )
    return "Every value in its own bin, every bin evenly filled, and none beyond 1."


# 2.8


def _distance(value: Any) -> float:
    """Return a predicted distance."""
    distance = number(value, "the prediction")
    expect(distance >= 0, f"a distance is not negative, and {distance:g} is.")
    return distance


@exercise(
    "2.8",
    "The two draws that are closest",
    hints=(
        "How is the difference a - b of two independent draws distributed?",
        "a - b is from N(0, 2I), so its length is √2 times that of a draw: mean and standard deviation of "
        "the latter stand in the table above. Now take the smallest of half a million such lengths.",
        "A typical pair is √(2·784) apart, with a standard deviation of 1. In half a million normal numbers "
        "the smallest lies about 4.7 standard deviations below the mean.",
    ),
)
def _closest(answer: Any) -> str:
    prediction, outcome = predicted("2.8", answer, _distance)
    outcome = number(outcome, "what the experiment returns")
    expect(
        abs(outcome - 35) < 1,
        f"the experiment gives {outcome:.1f}, and as it was given it gives about 35. Was it changed?",
    )
    expect(
        prediction > outcome - 1.5,
        f"even the closest two are {outcome:.1f} apart, and you said {prediction:g}. Two draws are nearly at "
        "right angles to each other, and the shell has so much room that none has a near neighbour.",
    )
    expect(
        prediction < outcome + 1.5,
        f"the closest two are {outcome:.1f} apart, and you said {prediction:g}. A typical pair is √(2·784) = "
        "39.6 apart, but the closest of half a million lies some standard deviations below.",
    )
    return (
        f"They are {outcome:.1f} apart. To every draw the origin, at 28, is nearer than any other draw, "
        "though no draw is near the origin."
    )
