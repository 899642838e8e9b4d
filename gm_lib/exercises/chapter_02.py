"""Checks of chapter 2, distributions, samples, densities."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from gm_lib.exercises.core import Wrong, call, exercise, expect, expect_close, is_close, tensor

# 2.1


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
    probs = torch.tensor([0.5, 0.25, 0.125, 0.125])
    u = torch.rand(4000)
    found = tensor(call(answer, u, probs), name="the result")
    if found.shape != u.shape:
        raise Wrong(f"one category for each u is shape ({len(u)},), and yours is {tuple(found.shape)}.")
    if found.is_floating_point() and not bool((found == found.round()).all()):
        raise Wrong("categories are whole numbers, 0 … K - 1, and these are not.")
    found = found.long()
    ends = probs.cumsum(0)
    right = torch.searchsorted(ends, u, right=True)
    mistakes = {
        "every u gives the most probable category. A draw must depend on u.": torch.zeros_like(right),
        "all pieces have the same length in your answer. Each should be as long as its probability.": (
            (u * 4).long()
        ),
        "this is the category before: the draw is one too low, and can be -1. Count all ends that u has "
        "passed.": right - 1,
        "this is one too high. A u below the first end belongs to category 0.": right + 1,
        "these are the right pieces from the wrong side: u = 0 should give category 0.": 3 - right,
        "these are the right probabilities, laid out in reverse order: the first piece belongs to category "
        "0.": 3 - torch.searchsorted(probs.flip(0).cumsum(0), u, right=True),
        "the pieces are those of the probabilities themselves, not of their running sums.": (
            (u[:, None] >= probs).sum(1)
        ),
    }
    expect_close(found, right, name="the category", mistakes=mistakes)
    edges = tensor(call(answer, torch.tensor([0.0, 0.5, 0.75]), probs), name="the result").long()
    expect(
        edges.tolist() == [0, 1, 2],
        "a u exactly at the end of a piece belongs to the next one (the first category whose running sum "
        f"*exceeds* u): at u = 0, 0.5, 0.75 it should be 0, 1, 2, and is {edges.tolist()}.",
    )
    nearly = torch.full((10,), 0.1) * (1 - 2e-7)
    top = tensor(call(answer, torch.tensor([1 - 2**-24]), nearly), name="the result").long()
    expect(
        int(top[0]) == 9,
        f"with ten equal probabilities and u just below one, the category is {int(top[0])}, and there are "
        "only 0 … 9: rounded, the running sum ends below u. Hold the result at the last category.",
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
    u = torch.linspace(0.02, 0.98, 25)
    location, scale = torch.tensor(3.0), torch.tensor(2.0)
    found = tensor(call(answer, u, location, scale), shape=(25,), name="the result")
    logit = torch.logit(u)
    expect_close(
        found,
        location + scale * logit,
        name="the inverse",
        mistakes={
            "this is F, not its inverse: it takes x to u.": torch.sigmoid((u - location) / scale),
            "this is F⁻¹(1 - u). Its draws are right, but a larger u must give a larger x.": (
                location - scale * logit
            ),
            "the scale divides. In F it divides; undone, it multiplies.": location + logit / scale,
            "shift and scale are undone in the wrong order: first times the scale, then plus the location.": (
                scale * (logit + location)
            ),
            "log u is not the inverse of the sigmoid; log(u / (1 - u)) is.": location + scale * u.log(),
            "this is the inverse for location 0 and scale 1.": logit,
            "the scale is missing.": location + logit,
            "this is a normal distribution's inverse. The logistic's has a closed form.": (
                Normal(location, scale).icdf(u)
            ),
        },
    )
    return "Half of a random number generator."


# 2.3


@exercise(
    "2.3",
    "A density in other units",
    hints=(
        "The length y in millimetres is y / 1000 in metres. What is its density per metre?",
        "A metre has a thousand millimetres. Is the density per millimetre larger or smaller?",
        "log_density(y / 1000) - math.log(1000).",
    ),
)
def _in_millimetres(answer: Any) -> str:
    law = Normal(1.7, 0.1)
    y = torch.linspace(1500, 1900, 9)
    found = tensor(call(answer, law.log_prob, y), shape=(9,), name="the result")
    per_metre, step = law.log_prob(y / 1000), math.log(1000)
    expect_close(
        found,
        per_metre - step,
        rtol=1e-4,
        atol=1e-3,
        name="the log-density",
        mistakes={
            "this is still the density per metre. A millimetre is a thousandth of a metre, and holds a "
            "thousandth of the probability.": per_metre,
            "the sign is wrong: a millimetre holds less probability than a metre, so the density gets "
            "smaller.": per_metre + step,
            "log_density wants metres, and was given millimetres.": law.log_prob(y) - step,
            "y is multiplied by 1000 on the way to metres. A length of 1700 mm is 1.7 m.": (
                law.log_prob(y * 1000) - step
            ),
            "a density is divided by 1000; its logarithm is not. Dividing inside the logarithm subtracts "
            "log 1000.": per_metre / 1000,
            "this is the density; its logarithm was asked for.": (per_metre - step).exp(),
        },
    )
    return "Units change a density, never a probability."


# 2.4


def _shear_and_stretch(z: Tensor) -> Tensor:
    return torch.stack([2 * z[:, 0], z[:, 1] * z[:, 0].exp()], dim=1)


def _back(x: Tensor) -> Tensor:
    z0 = x[:, 0] / 2
    return torch.stack([z0, x[:, 1] * (-z0).exp()], dim=1)


def _log_abs_det(z: Tensor) -> Tensor:
    return math.log(2) + z[:, 0]


def _log_normal(z: Tensor) -> Tensor:
    return Normal(0.0, 1.0).log_prob(z).sum(1)


@exercise(
    "2.4",
    "Change of variables",
    hints=(
        "Three things are given, and the rule has three parts. At which point is each to be evaluated?",
        "z = inverse(x). Both the density and the determinant are functions of z.",
        "z = inverse(x), then log_p_z(z) - log_abs_det(z).",
    ),
)
def _log_p_after(answer: Any) -> str:
    z = torch.randn(6, 2)
    x = _shear_and_stretch(z)
    found = tensor(call(answer, x, _log_normal, _back, _log_abs_det), name="the result")
    if found.shape != (6,):
        raise Wrong(f"one number for each row of x is shape (6,), and yours is {tuple(found.shape)}.")
    base, stretch = _log_normal(z), _log_abs_det(z)
    expect_close(
        found,
        base - stretch,
        rtol=1e-3,
        atol=1e-4,
        name="log p(x)",
        mistakes={
            "the sign of the determinant is wrong. Where the map stretches, the density gets smaller.": (
                base + stretch
            ),
            "the stretch is missing: this is the density of z, and does not integrate to one over x.": base,
            "x was put where z belongs: take it back by inverse first.": _log_normal(x) - stretch,
            "x was put where z belongs, in both places. Take it back by inverse first.": (
                _log_normal(x) - _log_abs_det(x)
            ),
            "the determinant is taken at x. log_abs_det is a function of z.": base - _log_abs_det(x),
            "the density is divided by log|det|. The logarithm of a quotient is a difference.": base
            / stretch,
            "the determinant itself was subtracted. log_abs_det is its logarithm already.": (
                base - stretch.exp()
            ),
        },
    )
    return "The rule behind every normalizing flow."


# 2.5


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
    counts = torch.tensor([[8.0, 1.0, 3.0, 0.0], [2.0, 3.0, 5.0, 0.0], [10.0, 4.0, 4.0, 0.0]])
    found = tensor(call(answer, counts[:, :3]), name="the result")
    _judge_table(found, counts[:, :3])
    result = call(answer, counts)
    if isinstance(result, Tensor) and bool(result.isnan().any()):
        raise Wrong(
            "right where a slant was seen. One that was never seen gives 0/0: put the marginal p(y) there."
        )
    found = tensor(result, shape=counts.shape, name="the result")
    marginal = counts.sum(1) / counts.sum()
    expect_close(
        found[:, 3],
        marginal,
        name="p(y | a slant never seen)",
        mistakes={
            "a slant that was never seen has the probabilities 0 here, which do not add up to one. Put the "
            "marginal p(y) there.": torch.zeros(3),
            "a slant that was never seen has equal probabilities here. Put the marginal p(y) there.": (
                torch.full((3,), 1 / 3)
            ),
        },
    )
    expect_close(found[:, :3], counts[:, :3] / counts[:, :3].sum(0), name="p(y | s)")
    return "Each column is a distribution."


def _judge_table(found: Tensor, counts: Tensor) -> None:
    right = counts / counts.sum(0)
    if found.shape == right.T.shape and is_close(found, right.T):
        raise Wrong("rows and columns are exchanged: rows are digits.")
    expect_close(
        found,
        right,
        name="p(y | s)",
        mistakes={
            "each row adds up to one: this is p(s | y). Given the slant, each column must.": (
                counts / counts.sum(1, keepdim=True)
            ),
            "the whole table adds up to one: this is the joint p(y, s).": counts / counts.sum(),
            "this is the marginal p(y) in every column, whatever the slant.": (
                (counts.sum(1, keepdim=True) / counts.sum()).expand_as(counts)
            ),
            "these are counts smoothed by one. The task asks for the shares as they are.": (
                (counts + 1) / (counts + 1).sum(0)
            ),
            "softmax makes probabilities of logits; these are counts. Divide by their sum.": counts.softmax(
                0
            ),
        },
    )


# 2.6


def _p_white(x: Tensor, i: int) -> Tensor:
    """A chain that remembers everything before: the more white so far, the more probable white."""
    before = x[:, :i]
    if bool((before != before.round()).any()):
        raise Wrong("p_white was given something else than zeros and ones.")
    return torch.sigmoid(before.sum(1) * 0.7 - 1.0 + 0.1 * i)


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
    x = torch.randint(0, 2, (7, 9)).float()
    found = tensor(call(answer, x, _p_white), name="the result")
    p = torch.stack([_p_white(x, i) for i in range(9)], dim=1)
    by_pixel = torch.where(x == 1, p, 1 - p).log()
    if found.shape == by_pixel.shape and is_close(found, by_pixel):
        raise Wrong("this is one number for each pixel. The logarithm of their product is the sum.")
    if found.shape != (7,):
        raise Wrong(f"one number for each image is shape (7,), and yours is {tuple(found.shape)}.")
    everywhere_white = torch.stack([_p_white(torch.ones_like(x), i) for i in range(9)], dim=1)
    expect_close(
        found,
        by_pixel.sum(1),
        name="log p(x)",
        mistakes={
            "white pixels are scored, black ones are not: a black pixel has probability 1 - p.": (
                (x * p.log()).sum(1)
            ),
            "this is the log-probability of an image that is white everywhere p_white was asked. A black "
            "pixel has probability 1 - p.": p.log().sum(1),
            "this is p(x). The task asks for its logarithm.": by_pixel.sum(1).exp(),
            "the sign is wrong: a log-probability is never positive.": -by_pixel.sum(1),
            "this is the mean over the pixels; a logarithm of a product is a sum.": by_pixel.mean(1),
            "these are bits. Nats were asked for: the natural logarithm.": by_pixel.sum(1) / math.log(2),
            "the first pixel is left out. It has nothing before it, and a probability all the same.": (
                by_pixel[:, 1:].sum(1)
            ),
            "the last pixel is left out.": by_pixel[:, :-1].sum(1),
            "p_white should see the image itself, not one that is all white.": (
                torch.where(x == 1, everywhere_white, 1 - everywhere_white).log().sum(1)
            ),
        },
    )
    blank = torch.zeros(2, 784)
    long = tensor(call(answer, blank, lambda x, i: torch.full((len(x),), 0.5)), name="the result")
    expect_close(
        long,
        torch.full((2,), 784 * math.log(0.5)),
        name="log p of 784 fair coins",
        mistakes={
            "right for nine pixels; for 784 the product of the probabilities is rounded to zero before its "
            "logarithm is taken. Add logarithms.": torch.full((2,), -math.inf)
        },
    )
    return "Any image, any chain, no underflow."


# 2.7


@exercise(
    "2.7",
    "Dequantization",
    hints=(
        "First get the number of the level back from x: which whole number is it?",
        "k = (x * (levels - 1)).round(). The bin of level k goes from k / levels to (k + 1) / levels.",
        "(k + u) / levels.",
    ),
)
def _spread(answer: Any) -> str:
    levels = 8
    k = torch.arange(levels).repeat(50).float()
    x, u = k / (levels - 1), torch.rand(50 * levels)
    found = tensor(call(answer, x, u, levels), shape=x.shape, name="the result")
    expect_close(
        found,
        (k + u) / levels,
        atol=1e-6,
        name="the dequantized value",
        mistakes={
            "this reaches beyond 1: x is k/(levels-1) and not k/levels, so level 7 of 8 begins at 1. Get k "
            "back first.": x + u / levels,
            "these bins are 1/(levels-1) wide, so the last one reaches beyond 1. There are `levels` bins, "
            "not one less.": (k + u) / (levels - 1),
            "the noise is as wide as the whole interval. It should stay in the bin of its level, 1/levels "
            "wide.": x + u,
            "the noise goes to both sides of the level, so values leave [0, 1).": (k + u - 0.5) / levels,
            "the result should lie in [0, 1); yours goes up to the number of levels. Divide by it.": k + u,
            "u is not used: these are the left ends of the bins.": k / levels,
            "nothing was added: these are still the levels themselves.": x,
            "x was multiplied by levels, and not by levels - 1: only then is it a whole number.": (
                (x * levels + u) / levels
            ),
        },
    )
    return "Every value in its own bin, and every bin evenly filled."


# 2.8


@exercise(
    "2.8",
    "A path of draws",
    hints=(
        "At t = 0 the weights should be 1 and 0, at t = 1 they should be 0 and 1, and their squares should "
        "always add up to one.",
        "The angle goes from 0 to π/2. t has shape (steps,) and a has shape (d,): t[:, None] * a is "
        "(steps, d).",
        "angle = t[:, None] * (math.pi / 2), then angle.cos() * a + angle.sin() * b.",
    ),
)
def _path_of_draws(answer: Any) -> str:
    a, b = torch.randn(2, 50)
    t = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
    found = tensor(call(answer, a, b, t), name="the result")
    if found.shape == (50, 5):
        raise Wrong("steps and dimensions are exchanged: the result should have shape (5, 50).")
    if found.shape != (5, 50):
        raise Wrong(f"one point for each step is shape (5, 50), and yours is {tuple(found.shape)}.")
    column = t[:, None]
    angle = column * (math.pi / 2)
    straight = (1 - column) * a + column * b
    omega = torch.arccos((a @ b) / (a.norm() * b.norm()))
    between = (torch.sin((1 - column) * omega) * a + torch.sin(column * omega) * b) / torch.sin(omega)
    mistakes = {
        "this is the straight line. In its middle the variance is a half: both weights are 1/2, and "
        "their squares add up to 1/2.": straight,
        "the path runs from b to a.": angle.sin() * a + angle.cos() * b,
        "the angle goes to π: cos(π) = -1, so the path ends at -a. It should go to π/2.": (
            (2 * angle).cos() * a + (2 * angle).sin() * b
        ),
        "the angle is t itself, and ends at 1 radian. It should end at π/2.": column.cos() * a
        + column.sin() * b,
        "this is the straight line, lengthened to the norm of its first end. Close, but its points are "
        "not distributed as N(0, I): every one has the norm of a.": (
            straight * a.norm() / straight.norm(dim=1, keepdim=True)
        ),
        "this is the great circle between these two points, whose weights depend on the angle between "
        "them. Their squares do not add up to one, so the points are not exactly N(0, I).": between,
    }
    for message, wrong in mistakes.items():
        if is_close(found, wrong, atol=1e-4):
            raise Wrong(message)
    ends = torch.stack([a, b], dim=1)
    weights = torch.linalg.lstsq(ends, found.to(ends.dtype).T).solution.T
    expect(
        is_close(found, weights @ ends.T, atol=1e-4),
        "these points are not a and b with a weight each.",
    )
    expect(
        is_close(weights[[0, -1]], torch.eye(2), atol=1e-4),
        "the path should be at a when t = 0, and at b when t = 1.",
    )
    worst = int(((weights**2).sum(1) - 1).abs().argmax())
    total = float((weights[worst] ** 2).sum())
    expect(
        abs(total - 1) < 1e-3,
        f"at t = {t[worst]:.1f} the squares of your weights add up to {total:.3f}, which is the variance of "
        "the point there. They should add up to one.",
    )
    return "Every step is as good a draw as the two ends."
