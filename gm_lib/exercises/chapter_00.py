"""Checks of chapter 0, the tools."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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

# 0.1


@exercise(
    "0.1",
    "All distances at once",
    hints=(
        "Give a and b a new dimension each, so that their difference has one entry for every pair and every "
        "coordinate: shape (n, m, d).",
        "a[:, None, :] has shape (n, 1, d), and b[None, :, :] has shape (1, m, d). Which shape has their "
        "difference?",
        "difference = a[:, None, :] - b[None, :, :]; its squares, added up over the last dimension.",
    ),
)
def _distances(answer: Any) -> str:
    a, b = torch.randn(5, 3), torch.randn(4, 3)
    found = tensor(call(answer, a, b), name="the result")
    right = torch.cdist(a, b)
    if found.shape == (4, 5) and is_close(found, right.T):
        raise Wrong(
            "rows and columns have changed places. Row i belongs to point i of a: a[:, None] - b[None, :]."
        )
    if found.shape == (5, 4, 3):
        raise Wrong(
            "this still has a number for each coordinate. Add up the squares over the last dimension."
        )
    if found.ndim == 0:
        raise Wrong("this is one number for all pairs. Add up over the coordinates only: sum(-1).")
    expect_close(
        tensor(found, shape=(5, 4), name="the result"),
        right,
        name="the distance",
        mistakes={
            "these are squared distances. Take the root.": right**2,
            "the squares were averaged over the coordinates. Pythagoras adds them: sum, not mean.": (
                right / math.sqrt(3)
            ),
            "these are averages of the squared differences: add up instead, and take the root.": right**2 / 3,
            "these are sums of absolute differences, the way through a city of blocks. Square, add up, take "
            "the root.": torch.cdist(a, b, p=1),
            "the differences were added up before squaring, so that they cancel. Square first.": (
                (a[:, None] - b[None]).sum(-1).abs()
            ),
        },
    )
    return "n·m distances and no loop."


# 0.2


@exercise(
    "0.2",
    "Gradient descent",
    hints=(
        "Each step needs a tensor that requires a gradient, the value of f there, and the slope.",
        "(slope,) = torch.autograd.grad(f(theta), theta) gives the slope and adds nothing to theta.grad. "
        "Downhill is against it.",
        "theta = start.detach().clone(); then, in each step, theta.requires_grad_(True), the slope, and "
        "theta = (theta - lr * slope).detach().",
    ),
    seconds=30,  # the first optimizer of a program takes seconds to load, and an answer may use one
)
def _gradient_descent(answer: Any) -> str:
    start = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    scale = torch.tensor([[1.0, 2.0], [0.5, 1.5]])

    def bowl(theta: Tensor) -> Tensor:
        return (scale * theta**2).sum()

    found = tensor(call(answer, bowl, start.clone(), 0.1, 5), shape=(2, 2), name="the end of the walk")
    factor = 1 - 0.2 * scale
    right = start * factor**5
    expect_close(
        found,
        right,
        name="the end of the walk",
        mistakes={
            "you went uphill. The slope points up: subtract it.": start * (1 + 0.2 * scale) ** 5,
            "this is still the start. Is the new value kept from one step to the next?": start,
            "this is one step, not five. Does the return stand inside the loop?": start * factor,
            "this is one step too few.": start * factor**4,
            "this is one step too many.": start * factor**6,
            "the slopes of earlier steps were added to the later ones. backward() adds to .grad: clear it, "
            "or use torch.autograd.grad.": _swing(start, scale, 5),
            "lr does not enter: each step went the whole slope.": start * (1 - 2 * scale) ** 5,
        },
    )
    if found.requires_grad:
        raise Wrong(
            "the way is right, but the result drags the history of all its steps along. Return it detached."
        )
    at_rest = tensor(call(answer, bowl, start.clone(), 0.1, 0), name="the end of no steps")
    expect_close(at_rest, start, name="the end of no steps at all")
    cubic = tensor(
        call(answer, lambda theta: (theta**3).sum(), torch.tensor([1.0]), 0.1, 2), name="the result"
    )
    expect_close(cubic, torch.tensor([0.7 - 0.3 * 0.49]), name="two steps down from 1 along theta³")
    return "That is all that training is; the rest is which f."


def _swing(start: Tensor, scale: Tensor, steps: int) -> Tensor:
    """Return where one ends who adds up the slopes."""
    theta, speed = start, torch.zeros_like(start)
    for _ in range(steps):
        speed = speed + 2 * scale * theta
        theta = theta - 0.1 * speed
    return theta


# 0.3


@exercise(
    "0.3",
    "Cross-entropy from logits",
    hints=(
        "The logarithm of a softmax is a difference. Which of its two terms needs care?",
        "log π_y = logits[y] - logsumexp(logits). torch.logsumexp does what the second identity says.",
        "log_probabilities = logits - logits.logsumexp(1, keepdim=True); then take, from each row, the entry "
        "of its label, with gather(1, y[:, None])[:, 0] or [torch.arange(n), y], and turn the sign.",
    ),
)
def _cross_entropy(answer: Any) -> str:
    logits = 3 * torch.randn(6, 4)
    y = torch.tensor([0, 3, 1, 1, 2, 0])
    found = tensor(call(answer, logits, y), name="the result")
    right = F.cross_entropy(logits, y, reduction="none")
    if found.ndim == 0 and is_close(found, right.mean()):
        raise Wrong("this is the mean over the images. One cost for each is asked for: shape (n,).")
    if found.ndim == 0:
        raise Wrong("this is one number for the whole batch. One cost for each image: shape (n,).")
    if found.shape == (6, 6):
        raise Wrong(
            "this has shape (n, n): for each image, the columns of all labels. Take one entry from each row: "
            "[torch.arange(n), y], or gather."
        )
    if found.shape == (6, 4):
        raise Wrong("this has a cost for each class. Only that of the right one, y, is asked for.")
    if found.shape == (6, 1):
        raise Wrong("the shape is (n, 1). Drop the last dimension: against a (n,), it would make pairs.")
    expect_close(
        tensor(found, shape=(6,), name="the result"),
        right,
        name="the cost",
        mistakes={
            "the sign is wrong. The logarithm of a probability is never positive, a cost never negative.": (
                -right
            ),
            "softmax was taken twice: cross_entropy wants logits, and does its own.": F.cross_entropy(
                logits.softmax(1), y, reduction="none"
            ),
            "these are probabilities. The cost is minus their logarithm.": (-right).exp(),
            "these are bits. Take the natural logarithm, for nats.": right / math.log(2),
            "this uses the logarithm to base 10. Take the natural one.": right / math.log(10),
            "the probabilities were normalized over the batch. Each row is an image: dimension 1.": (
                -logits.log_softmax(0)[torch.arange(6), y]
            ),
            "the logit is missing its normalizer: subtract the logsumexp of the row.": -logits[
                torch.arange(6), y
            ],
            "only the normalizer is there: the logit of the right class is missing.": logits.logsumexp(1),
        },
    )
    far = torch.tensor([[1000.0, 0.0, 0.0, 0.0], [1000.0, 0.0, 0.0, 0.0]])
    y_far = torch.tensor([1, 0])
    result = call(answer, far, y_far)
    at_1000 = "right for moderate logits, but at a logit of 1,000 the cost should be 1000"
    if isinstance(result, Tensor) and bool(result.isnan().any()):
        raise Wrong(f"{at_1000}, and yours is NaN: exp(1000) is infinite. Subtract before you exponentiate.")
    if not is_close(tensor(result, name="the result"), F.cross_entropy(far, y_far, reduction="none")):
        cost = tensor(result).flatten()[0].item()
        raise Wrong(f"{at_1000}, and yours is {cost:.4g}. Do not leave the logarithm: logsumexp.")
    return "In nats, image by image, and for any logits."


# 0.4


@exercise(
    "0.4",
    "One step of training",
    hints=(
        "Four things in the right order, and a return.",
        "Forward, forget, backward, step. What would the loss drag along if it were returned as it is?",
        "loss = F.cross_entropy(model(x), y); optimizer.zero_grad(); loss.backward(); optimizer.step(); "
        "return loss.detach().",
    ),
    seconds=30,  # the first optimizer of a program takes seconds to load
)
def _training_step(answer: Any) -> str:
    model = nn.Linear(5, 3)
    batches = [(torch.randn(8, 5), torch.randint(0, 3, (8,))) for _ in range(2)]
    reference = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses, after = [], []
    for x, y in batches:
        losses.append(call(answer, model, optimizer, x, y))
        after.append(F.cross_entropy(model(x), y).item())
    _expect_weights(model, reference, batches)
    before, _ = _steps(reference, batches, clear=True)
    if any(isinstance(loss, Tensor) and loss.requires_grad for loss in losses):
        raise Wrong(
            "the weights are right, but the loss still has its history: kept in a list, it would hold every "
            "step's record. Return loss.detach() or loss.item()."
        )
    expect_close(
        [number(loss, "the loss") for loss in losses],
        before,
        name="the loss",
        mistakes={
            "this is the loss after the step. The one before it is asked for.": after,
            "the losses of the images were added up. The mean is asked for.": [8 * loss for loss in before],
        },
    )
    return "Forward, forget, backward, step."


def _expect_weights(model: nn.Module, before: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> None:
    """Raise unless ``model`` has the weights that two right steps lead to, and say which step went wrong."""
    right = _steps(before, batches, clear=True)[1]
    kept = _steps(before, batches, clear=False)[1]
    found = torch.cat([p.detach().flatten() for p in model.parameters()])
    start = torch.cat([p.detach().flatten() for p in before.parameters()])
    late = _steps(before, batches[:1], clear=True)[1]
    summed = _steps(before, batches, clear=True, scale=8)[1]
    messages: dict[str, Tensor] = {
        "after two steps the weights are what they were before. Is optimizer.step() called, after backward()?"
        " A zero_grad() between the two would leave nothing to step along.": start,
        "the first step is right; in the second, the gradient of the first was still there. Call "
        "optimizer.zero_grad() before backward().": kept,
        "each step was taken along the gradient of the one before: step() comes after backward().": late,
        "the loss was summed over the batch, so that each step is as many times too long as there are "
        "images. Take the mean.": summed,
        "you went uphill.": _steps(before, batches, clear=True, scale=-1)[1],
    }
    for message, mistaken in messages.items():
        if is_close(found, mistaken) and not is_close(found, right):
            raise Wrong(message)
    expect(
        is_close(found, right),
        "after two steps the weights are not those that cross_entropy, zero_grad, backward and step lead to. "
        "Is the loss the mean cross-entropy of model(x), the logits, and y?",
    )


def _steps(
    model: nn.Module, batches: list[tuple[Tensor, Tensor]], *, clear: bool, scale: float = 1.0
) -> tuple[list[float], Tensor]:
    """Return the losses and the final weights of steps on a copy of ``model``."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        if clear:
            optimizer.zero_grad()
        (scale * loss).backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, torch.cat([p.detach().flatten() for p in model.parameters()])


# 0.5

Size = Callable[[int, int, int, int], float]

_CASES = [
    (h, k, s, p)
    for h in (7, 14, 15, 28)
    for k, s, p in ((3, 1, 1), (4, 2, 1), (3, 2, 0), (5, 3, 2), (1, 1, 0))
]


def _down(h: int, k: int, s: int, p: int) -> float:
    """Return the size after a convolution, by doing it."""
    return F.conv2d(torch.zeros(1, 1, h, h), torch.zeros(1, 1, k, k), stride=s, padding=p).shape[-1]


def _up(h: int, k: int, s: int, p: int) -> float:
    """Return the size after a transposed convolution, by doing it."""
    return F.conv_transpose2d(torch.zeros(1, 1, h, h), torch.zeros(1, 1, k, k), stride=s, padding=p).shape[-1]


_DOWN_MISTAKES: dict[str, Size] = {
    "a size is a whole number: a kernel that hangs over the edge is left out. Round down, with //.": (
        lambda h, k, s, p: (h + 2 * p - k) / s + 1
    ),
    "you rounded up. A kernel that hangs over the edge is left out: //.": (
        lambda h, k, s, p: math.ceil((h + 2 * p - k) / s) + 1
    ),
    "the padding is on both sides: 2 * padding.": lambda h, k, s, p: (h + p - k) // s + 1,
    "the padding is missing.": lambda h, k, s, p: (h - k) // s + 1,
    "the first place counts as well: + 1 at the end.": lambda h, k, s, p: (h + 2 * p - k) // s,
    "the + 1 stands outside the division.": lambda h, k, s, p: (h + 2 * p - k + 1) // s,
    "this is the size after the transposed one. First down, then up.": _up,
}
_UP_MISTAKES: dict[str, Size] = {
    "between h stamps there are only h - 1 strides.": lambda h, k, s, p: h * s + k - 2 * p,
    "padding cuts off here: it is subtracted.": lambda h, k, s, p: (h - 1) * s + k + 2 * p,
    "the padding is cut off on both sides: 2 * padding.": lambda h, k, s, p: (h - 1) * s + k - p,
    "the padding is missing: it cuts p pixels off on both sides.": lambda h, k, s, p: (h - 1) * s + k,
    "kernel and padding count too, not the stride alone.": lambda h, k, s, p: h * s,
}


@exercise(
    "0.5",
    "Sizes, down and up",
    hints=(
        "Both formulas stand above. The lower brackets ⌊ ⌋ mean rounding down: in Python, //.",
        "Down: (h + 2 * padding - kernel) // stride + 1. Up: (h - 1) * stride + kernel - 2 * padding.",
        "For the kernel, solve (7 - 1) * 2 + k - 2 = 14.",
    ),
)
def _sizes(answer: Any) -> str:
    expect(
        isinstance(answer, tuple) and len(answer) == 2,
        f"the function and the kernel are needed, (sizes, doubling_kernel), and this is {describe(answer)}.",
    )
    function, kernel = answer
    found = []
    for case in _CASES:
        result = call(function, *case)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise Wrong(f"two numbers are asked for, down and up, and this is {describe(result)}.")
        found.append([number(value, "a size") for value in result])
    _expect_sizes("a convolution", [down for down, _ in found], _down, _DOWN_MISTAKES)
    _expect_sizes("a transposed convolution", [up for _, up in found], _up, _UP_MISTAKES)
    size = number(kernel, "the kernel")
    expect(
        size == 4,
        f"the sizes are right, but at stride 2 and padding 1 kernel {size:.4g} takes 7 to {10 + size:.4g}.",
    )
    return "Kernel 4, stride 2, padding 1: halves on the way down, doubles on the way up."


def _expect_sizes(layer: str, found: list[float], right: Size, mistakes: dict[str, Size]) -> None:
    """Raise unless ``found`` are the sizes of all cases, naming the mistake that explains them all."""
    wanted = [right(*case) for case in _CASES]
    if found == wanted:
        return
    for message, mistaken in mistakes.items():
        if found == [mistaken(*case) for case in _CASES]:
            raise Wrong(f"{layer}: {message}")
    (h, k, s, p), is_, should_be = next(
        row for row in zip(_CASES, found, wanted, strict=True) if row[1] != row[2]
    )
    raise Wrong(
        f"on a side of {h}, with kernel {k}, stride {s} and padding {p}, {layer} leaves {should_be:.4g}, and "
        f"yours {is_:.4g}."
    )


# 0.6


@exercise(
    "0.6",
    "Batch norm in training mode",
    hints=(
        "Which dimensions of (n, c, height, width) does the mean run over, so that each channel is left with "
        "one number?",
        "Over 0, 2 and 3. keepdim=True leaves the shape (1, c, 1, 1), which broadcasts against h.",
        "mean = h.mean((0, 2, 3), keepdim=True); variance = ((h - mean)**2).mean((0, 2, 3), keepdim=True); "
        "(h - mean) / (variance + eps).sqrt().",
    ),
)
def _batch_norm(answer: Any) -> str:
    channel = torch.arange(1.0, 4.0).view(1, 3, 1, 1)
    image = torch.arange(4.0).view(4, 1, 1, 1)
    row, column = torch.arange(2.0).view(1, 1, 2, 1), torch.arange(2.0)
    h = channel * torch.randn(4, 3, 2, 2) + 5 * channel + image + row + 2 * column
    found = tensor(call(answer, h), name="the result")
    if found.shape != h.shape:
        raise Wrong(f"the shape should stay {tuple(h.shape)}, and is {tuple(found.shape)}.")
    right = F.batch_norm(h, None, None, training=True, eps=1e-5)
    mean = h.mean((0, 2, 3), keepdim=True)
    variance = h.var((0, 2, 3), keepdim=True, correction=0)

    def over(dims: tuple[int, ...]) -> Tensor:
        away = h - h.mean(dims, keepdim=True)
        return away / (h.var(dims, keepdim=True, correction=0) + 1e-5).sqrt()

    expect_close(
        found,
        right,
        name="the normalized h",
        mistakes={
            "this normalizes each image by itself, over its channels: a layer norm. Channels stay apart, "
            "images do not: dimensions 0, 2 and 3.": over((1, 2, 3)),
            "this normalizes each channel of each image by itself: an instance norm. The batch, dimension 0, "
            "belongs in.": over((2, 3)),
            "this normalizes every pixel by itself, over the batch. Rows and columns belong in.": over((0,)),
            "this normalizes everything together. Each channel has its own mean and variance.": over(
                (0, 1, 2, 3)
            ),
            "the variance is divided by n - 1 here. Batch norm divides by n: correction=0.": (
                (h - mean) / (h.var((0, 2, 3), keepdim=True) + 1e-5).sqrt()
            ),
            "the mean is right; but you divided by the variance, not by its root.": (h - mean)
            / (variance + 1e-5),
            "the mean is subtracted, the spread left as it was. Divide by the root of the variance.": h
            - mean,
            "the spread is right; the mean was not subtracted.": h / (variance + 1e-5).sqrt(),
        },
    )
    flat = torch.full((4, 3, 2, 2), 2.0)
    result = call(answer, flat)
    if isinstance(result, Tensor) and not bool(result.isfinite().all()):
        raise Wrong("a channel that is the same everywhere has variance 0, and 0/0 is NaN: add eps inside.")
    small = torch.randn(4, 3, 2, 2) * 1e-2
    expect_close(
        tensor(call(answer, small, 1e-2), name="the result with eps = 0.01"),
        F.batch_norm(small, None, None, training=True, eps=1e-2),
        name="the result with eps = 0.01",
        mistakes={
            "eps was added to the root. It stands inside: sqrt(variance + eps).": (
                (small - small.mean((0, 2, 3), keepdim=True))
                / (small.var((0, 2, 3), keepdim=True, correction=0).sqrt() + 1e-2)
            ),
            "eps is not used, or a fixed one: pass the argument on.": F.batch_norm(
                small, None, None, training=True, eps=1e-5
            ),
        },
    )
    return "And every image's answer now depends on all the others."


# 0.7


@exercise(
    "0.7",
    "The widest direction",
    hints=(
        "It is an eigenvector of the covariance matrix. Which one?",
        "torch.linalg.eigh gives the eigenvalues in ascending order, the eigenvectors as columns.",
        "away = points - points.mean(0); _, vectors = torch.linalg.eigh(away.T @ away / len(points)); "
        "vectors[:, -1].",
    ),
)
def _principal_axis(answer: Any) -> str:
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    centre = 10 * turn[:, 1]  # far out, in a direction that is not the widest
    points = torch.randn(400, 3, dtype=torch.float64) * torch.tensor([0.3, 1.0, 3.0]) @ turn.T + centre
    found = tensor(call(answer, points), name="the result")
    if found.shape in ((3, 1), (1, 3)):
        raise Wrong(f"the shape should be (3,), and is {tuple(found.shape)}. Take out one dimension.")
    found = tensor(found, shape=(3,), name="the result").double()
    _, vectors = torch.linalg.eigh(points.T.cov())
    _, not_centred = torch.linalg.eigh(points.T @ points)
    right = vectors[:, -1]

    def along(v: Tensor) -> bool:
        return bool(found.norm() > 0) and abs(abs(float(found @ v / found.norm())) - 1) < 1e-6

    length = found.norm().item()
    if along(right) and abs(length - 1) > 1e-4:
        raise Wrong(f"the direction is right, its length is {length:.4g}. A unit vector has length 1.")
    if along(right):
        return "Its variance is the largest eigenvalue."
    mistakes: dict[str, Tensor] = {
        "this is the direction in which the points vary least. eigh counts upwards: take the last column.": (
            vectors[:, 0]
        ),
        "this is the second direction. Take the eigenvector of the largest eigenvalue.": vectors[:, 1],
        "this is a row of the matrix. The eigenvectors are its columns: vectors[:, -1].": vectors[-1],
        "this is the first row of the matrix. The eigenvectors are its columns: vectors[:, -1].": vectors[0],
        "the mean was not subtracted: this points from the origin to the middle of the cloud.": not_centred[
            :, -1
        ],
        "this is the middle of the cloud.": points.mean(0),
    }
    for message, mistaken in mistakes.items():
        if along(mistaken):
            raise Wrong(message)
    expect(abs(length - 1) < 1e-4, f"a unit vector has length 1, and this one {length:.4g}.")
    share = (points @ found).var() / (points @ right).var()
    raise Wrong(f"along this direction the points have {share:.0%} of the variance that the widest one has.")


# 0.8

_SHAPES, _AUTOGRAD, _LOGITS = "Tensors have shapes", "Derivatives for free", "From logits to probabilities"
_CONVOLUTION, _TRANSPOSE = "Convolution: one small pattern, everywhere", "The transpose: from small to large"
_MODES, _COVARIANCE = "Batch norm has two modes", "A picture of covariance"

# Question, what is right, and the section to read again; special mistakes get a word of their own.
_QUESTIONS: list[tuple[str, Callable[[Any], bool], str]] = [
    ("the shape", lambda a: _is_shape(a, (5, 4, 3)), _SHAPES),
    ("the derivative with detach", lambda a: _is_number(a, 3), _AUTOGRAD),
    ("the gradient after two backwards", lambda a: _is_number(a, 10), _AUTOGRAD),
    ("the cost of no idea", lambda a: _is_number(a, math.log(10), 0.01), _LOGITS),
    ("the parameters of the convolution", lambda a: _is_number(a, 3216), _CONVOLUTION),
    ("the height after the transposed convolution", lambda a: _is_number(a, 20), _TRANSPOSE),
    (
        "the mode",
        lambda a: isinstance(a, str) and a.strip().lower() in ("train", "training", "train()"),
        _MODES,
    ),
    ("the largest variance", lambda a: _is_number(a, 3), _COVARIANCE),
]
_BETWEEN: dict[tuple[int, Any], str] = {
    (2, 6): "detach makes a constant of one factor, it has no derivative",
    (3, 5): "backward adds to .grad",
    (4, 0.1): "that is the probability; the cost is minus its logarithm",
    (4, 1.0): "that is the base-10 logarithm; nats are natural ones",
    (5, 3200): "the biases are missing",
    (5, 416): "each kernel covers all 8 channels of the input",
    (6, 5): "that is the size after the convolution",
    (6, 22): "padding cuts off here",
    (8, 2): "that is the variance along the coordinate axes",
    (8, 1): "that is the smallest",
}


@exercise(
    "0.8",
    "A self-test",
    hints=(
        "(1) Align at the right: (5, 1, 3) with (4, 1). (2) A detached factor is a constant. (3) backward() "
        "adds. (4) Each digit gets the probability 1/10.",
        "(5) 16 kernels of 5 × 5 over 8 channels, and 16 biases. (6) (h - 1) s + k - 2p. (7) One mode takes "
        "its statistics from the batch, the other from a running average. (8) An eigenvalue.",
        "(8) Try v = (1, 1)/√2: v C v is half the sum of the four entries.",
    ),
)
def _self_test(answer: Any) -> str:
    expect(
        isinstance(answer, tuple | list) and len(answer) == len(_QUESTIONS),
        f"eight answers are needed, in the order of the questions, and this is {describe(answer)}.",
    )
    wrong = []
    for place, (given, (name, is_right, section)) in enumerate(zip(answer, _QUESTIONS, strict=True), 1):
        if not is_right(given):
            why = "".join(
                f", for {reason}"
                for (q, value), reason in _BETWEEN.items()
                if q == place and _is_number(given, value)
            )
            wrong.append(f"({place}) {name}: read “{section}” again{why}")
    expect(not wrong, f"{len(answer) - len(wrong)} of {len(answer)} are right. {'; '.join(wrong)}.")
    return "All eight. Nothing here needs to be read again."


def _is_number(given: Any, right: float, tolerance: float = 1e-4) -> bool:
    try:
        return abs(number(given) - right) <= tolerance
    except Wrong:
        return False


def _is_shape(given: Any, right: tuple[int, ...]) -> bool:
    return isinstance(given, tuple | list) and tuple(given) == right
