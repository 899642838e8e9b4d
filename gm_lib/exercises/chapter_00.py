"""Checks of chapter 0, the tools."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gm_lib.exercises.core import (
    NotAttempted,
    Snapshot,
    Wrong,
    call,
    describe,
    exercise,
    expect,
    expect_function,
    is_close,
    number,
    predicted,
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
    def read(result: Any) -> Tensor:
        found = tensor(result, name="the result", nan=True)
        expect(
            found.ndim != 3 or found.shape[-1] != 1,
            f"the shape is {tuple(found.shape)}: one dimension too many. Is there a keepdim=True?",
        )
        expect(
            found.ndim != 3,
            "this still has a number for each coordinate. Add up the squares over the last dimension.",
        )
        expect(found.ndim > 0, "this is one number for all pairs. Add up over the coordinates only: sum(-1).")
        return found

    sizes = ((5, 4, 3), (4, 4, 4), (1, 6, 2), (3, 1, 1))
    expect_function(
        answer,
        torch.cdist,
        [{"a": 2 * torch.randn(n, d), "b": 2 * torch.randn(m, d) + 1} for n, m, d in sizes],
        name="a distance",
        read=read,
        mistakes={
            "rows and columns have changed places. Row i belongs to point i of a: a[:, None] - b[None, :].": (
                lambda a, b: torch.cdist(b, a)
            ),
            "these are squared distances. Take the root.": lambda a, b: torch.cdist(a, b) ** 2,
            "the squares were averaged over the coordinates. Pythagoras adds them: sum, not mean.": (
                lambda a, b: torch.cdist(a, b) / math.sqrt(a.shape[1])
            ),
            "these are averages of the squared differences: add up instead, and take the root.": (
                lambda a, b: torch.cdist(a, b) ** 2 / a.shape[1]
            ),
            "these are sums of absolute differences, the way through a city of blocks. Square, add up, take "
            "the root.": lambda a, b: torch.cdist(a, b, p=1),
            "this is the largest difference of a coordinate. Square all of them, add up, take the root.": (
                lambda a, b: torch.cdist(a, b, p=math.inf)
            ),
            "the differences were added up before squaring, so that they cancel. Square first.": (
                lambda a, b: (a[:, None] - b[None]).sum(-1).abs()
            ),
            "this is the difference of two lengths. Take the length of the difference.": (
                lambda a, b: (a.norm(dim=1)[:, None] - b.norm(dim=1)).abs()
            ),
            "the points were added. Subtract them.": lambda a, b: torch.cdist(a, -b),
            "these are inner products. Take the length of the difference.": lambda a, b: a @ b.T,
        },
    )
    near = 100 + 0.02 * torch.randn(6, 2)
    found = read(call(answer, near.clone(), near[:4].clone()))
    expect(
        is_close(found, torch.cdist(near, near[:4]), atol=1e-3),
        "right for points that lie apart, but not for points close together and far from the origin, or for "
        "a point and itself. If you use |a|² + |b|² - 2ab: rounding takes all digits of what is left there, "
        "or makes it negative, and the root nan. Subtract first, then square.",
    )
    return "All n·m of them, and right between points that lie close together, too."


# 0.2


def _walk(
    f: Callable[[Tensor], Tensor],
    start: Tensor,
    lr: float,
    steps: int,
    *,
    sign: float = -1.0,
    kept: float = 0.0,
    fresh: bool = True,
    along: Callable[[Tensor], Tensor] = lambda slope: slope,
) -> Tensor:
    """Return where gradient descent ends.

    ``kept`` is the share of the last step's slopes that is added; not ``fresh``: each is the first again;
    ``along`` turns a slope into the step's direction.
    """
    theta, total = start.detach(), torch.zeros_like(start)
    for _ in range(steps):
        at = (theta if fresh else start).detach().clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(f(at), at)
        total = total * kept + along(slope)
        theta = theta + sign * lr * total
    return theta


def _while_falling(f: Callable[[Tensor], Tensor], start: Tensor, lr: float, steps: int) -> Tensor:
    """Return where gradient descent ends that stops before a step upwards."""
    theta = start
    for _ in range(steps):
        after = _walk(f, theta, lr, 1)
        if f(after) > f(theta):
            break
        theta = after
    return theta


@contextlib.contextmanager
def _explaining(meanings: Mapping[str, str]) -> Iterator[None]:
    """Add to a ``Wrong`` that quotes one of these pieces of an exception what it means here."""
    try:
        yield
    except Wrong as wrong:
        for piece, meaning in meanings.items():
            expect(piece not in str(wrong), f"{wrong} {meaning}")
        raise


# What PyTorch says where an answer to 0.2 stops, and what it means there.
_STOPPED = {
    "NoneType": "theta - … is a new tensor, made by an operation: it is no leaf, and backward() leaves no "
    ".grad in it. Detach it and let it require a gradient anew, or change theta in place under no_grad().",
    "does not require grad": "A tensor made under torch.no_grad() is new and requires no gradient: change "
    "theta in place there (theta -= …), or call requires_grad_() on the new one. f itself must run outside.",
    "leaf Variable": "The step is no part of the function: put it under torch.no_grad().",
}


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
)
def _gradient_descent(answer: Any) -> str:
    def bowl(theta: Tensor) -> Tensor:
        """(theta**2).sum()."""
        return (theta**2).sum()

    def quartic(theta: Tensor) -> Tensor:
        """(theta**4).mean() + theta.sum()."""
        return (theta**4).mean() + theta.sum()

    def wave(theta: Tensor) -> Tensor:
        """theta.sin()."""
        return theta.sin()

    start = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    walks = [
        {"f": bowl, "start": start, "lr": 0.1, "steps": 5},
        {"f": quartic, "start": torch.tensor([1.0, -0.5, 0.75]), "lr": 0.05, "steps": 3},
        {"f": wave, "start": torch.tensor(1.0), "lr": 0.7, "steps": 2},
        {"f": bowl, "start": -0.25 * start, "lr": 0.02, "steps": 1},
        {"f": bowl, "start": start, "lr": 0.1, "steps": 0},
        {"f": bowl, "start": torch.tensor([3.0, -40.0]), "lr": 1.1, "steps": 2},  # each step too long
    ]

    def what(f: Callable[[Tensor], Tensor], start: Tensor, lr: float, steps: int) -> str:
        of = (f.__doc__ or "").rstrip(".")
        return f"the end of {steps or 'no'} steps of lr {lr:g} on {of} from {start.tolist()}"

    mistakes: dict[str, Callable[..., Tensor]] = {
        "you went uphill. The slope points up: subtract it.": (
            lambda f, start, lr, steps: _walk(f, start, lr, steps, sign=1.0)
        ),
        "this is still the start. Is the new value kept from one step to the next?": (
            lambda f, start, lr, steps: start
        ),
        "this is one step, however many are asked for. Does the return stand inside the loop?": (
            lambda f, start, lr, steps: _walk(f, start, lr, min(steps, 1))
        ),
        "where no step is asked for, it takes one. Is the loop entered in any case?": (
            lambda f, start, lr, steps: _walk(f, start, lr, max(steps, 1))
        ),
        "this is one step too few.": lambda f, start, lr, steps: _walk(f, start, lr, steps - 1),
        "this is one step too many.": lambda f, start, lr, steps: _walk(f, start, lr, steps + 1),
        "the slopes of earlier steps were added to the later ones. backward() adds to .grad: clear it, "
        "or use torch.autograd.grad.": (lambda f, start, lr, steps: _walk(f, start, lr, steps, kept=1.0)),
        "every step takes the slope at the start. Take it anew, where the walk has come to.": (
            lambda f, start, lr, steps: _walk(f, start, lr, steps, fresh=False)
        ),
        "lr does not enter: each step went the whole slope.": (
            lambda f, start, lr, steps: _walk(f, start, 1.0, steps)
        ),
        "each step has another size than lr times the slope: it is always a tenth of it.": (
            lambda f, start, lr, steps: _walk(f, start, 0.1, steps)
        ),
        "each step takes the sign of the slope, and not its size.": (
            lambda f, start, lr, steps: _walk(f, start, lr, steps, along=torch.sign)
        ),
        "the slopes were scaled to length 1. Each step is lr times the slope, however steep.": (
            lambda f, start, lr, steps: _walk(f, start, lr, steps, along=lambda slope: slope / slope.norm())
        ),
        "the slopes were averaged over the coordinates: a division by their number is too much.": (
            lambda f, start, lr, steps: _walk(f, start, lr / start.numel(), steps)
        ),
        "the slope is multiplied by lr twice.": lambda f, start, lr, steps: _walk(f, start, lr**2, steps),
        "the steps have momentum: nine tenths of the one before are added. Plain descent has none.": (
            lambda f, start, lr, steps: _walk(f, start, lr, steps, kept=0.9)
        ),
        "you stop, or go back to the best point, where f rises. All steps are asked for, and where they end: "
        "with lr 1.1 they leave the bowl.": _while_falling,
        "this is the value of f at the end. Where is that?": (
            lambda f, start, lr, steps: f(_walk(f, start, lr, steps))
        ),
        "this is the value of f at the start. Take steps, and return where they end.": (
            lambda f, start, lr, steps: f(start)
        ),
    }
    with _explaining(_STOPPED):
        expect_function(answer, _walk, walks, name=what, mistakes=mistakes)
    own = start.clone()
    end = call(answer, bowl, own, 0.1, 5)
    expect(
        not own.requires_grad and own.grad is None,
        "the way is right, but start is not what it was: it requires a gradient now. Work on a copy.",
    )
    expect(
        not (isinstance(end, Tensor) and end.is_leaf and end.requires_grad),
        "the way is right, but the result still requires a gradient. Return it detached.",
    )
    expect(
        not (isinstance(end, Tensor) and end.requires_grad),
        "the way is right, but the result drags the history of all its steps along. Return it detached.",
    )
    return "That is all that training is; the rest is which f."


# 0.3


def _without(logits: Tensor, y: Tensor, value: float = -math.inf) -> Tensor:
    """Return the logits with another value for that of y, in each row."""
    return logits.scatter(1, y[:, None], value)


def _log_other(logits: Tensor, y: Tensor) -> Tensor:
    """Return log(1 - softmax(logits)[y]) of each row."""
    return _without(logits, y).logsumexp(1) - logits.logsumexp(1)


def _masked(mask: float, logits: Tensor, y: Tensor) -> Tensor:
    """Return what comes out when y is left out by a finite logit."""
    return _without(logits, y, mask).logsumexp(1) - logits.logsumexp(1)


def _floored(floor: float, logits: Tensor, y: Tensor) -> Tensor:
    """Return what comes out when 1 - π_y may not fall below ``floor``."""
    return (1 - _probability(logits, y)).clamp_min(floor).log()


def _centred(logits: Tensor) -> Tensor:
    """Return log Σ e^(ℓ - m) of each row, m its largest entry."""
    return logits.logsumexp(1) - logits.amax(1)


def _probability(logits: Tensor, y: Tensor) -> Tensor:
    return logits.softmax(1).gather(1, y[:, None])[:, 0]


@exercise(
    "0.3",
    "The logarithm of what is left",
    hints=(
        "1 - π_y is the sum of the other probabilities: a fraction. What stands above, what below?",
        "log(1 - π_y) is the difference of two logsumexp: over the other logits, and over all.",
        "e^(-∞) is 0: others = logits.clone(); others[torch.arange(n), y] = -math.inf leaves the others. The "
        "largest of all logits may be that of y, so each logsumexp needs a shift of its own.",
    ),
)
def _log_not(answer: Any) -> str:
    ordinary = [
        {"logits": 1.5 * torch.randn(6, 4), "y": torch.tensor([0, 3, 1, 1, 2, 0])},
        {"logits": torch.randn(3, 7) + 2, "y": torch.tensor([6, 2, 5])},
        {"logits": torch.tensor([[0.5, -1.0]]), "y": torch.tensor([0])},
        {"logits": torch.tensor([[1.0, 1.0, 0.0], [0.5, 2.0, 2.0]]), "y": torch.tensor([0, 2])},  # ties
    ]
    first = tensor(call(answer, *(value.clone() for value in ordinary[0].values())), nan=True)
    expect(first.ndim > 0, "this is one number for the whole batch. One for each image: shape (n,).")
    names = {
        "this is log π_y. Asked for is the logarithm of 1 - π_y, of all that is left.": (
            lambda logits, y: logits.log_softmax(1).gather(1, y[:, None])[:, 0]
        ),
        "this is -log π_y, the cross-entropy. Asked for is log(1 - π_y).": (
            lambda logits, y: F.cross_entropy(logits, y, reduction="none")
        ),
        "the sign is wrong: the logarithm of a probability is never positive.": (
            lambda logits, y: -_log_other(logits, y)
        ),
        "this is 1 - π_y itself. Its logarithm is asked for.": lambda logits, y: _log_other(logits, y).exp(),
        "these are bits. Take the natural logarithm.": lambda logits, y: _log_other(logits, y) / math.log(2),
        "this uses the logarithm to base 10. Take the natural one.": (
            lambda logits, y: _log_other(logits, y) / math.log(10)
        ),
        "the logsumexp of all logits, the denominator, is missing.": (
            lambda logits, y: _without(logits, y).logsumexp(1)
        ),
        "the logarithms of the other probabilities were added. The logarithm of a sum is asked for.": (
            lambda logits, y: _without(logits.log_softmax(1), y, 0.0).sum(1)
        ),
        "only the most probable of the other digits is counted. Add up all of them.": (
            lambda logits, y: _without(logits, y).amax(1) - logits.logsumexp(1)
        ),
        "the logit of y was set to 0, and e⁰ is 1: it still counts. To leave it out, it has to be -∞.": (
            lambda logits, y: _without(logits, y, 0.0).logsumexp(1) - logits.logsumexp(1)
        ),
        "the probabilities were normalized over the batch. Each row is an image: dimension 1.": (
            lambda logits, y: (1 - logits.softmax(0).gather(1, y[:, None])[:, 0]).log()
        ),
        "1 - log π_y is not the logarithm of 1 - π_y.": (
            lambda logits, y: 1 + F.cross_entropy(logits, y, reduction="none")
        ),
        "this is log π_y - log(1 - π_y), or its negative. Only the second is asked for.": (
            lambda logits, y: logits.gather(1, y[:, None])[:, 0] - _without(logits, y).logsumexp(1)
        ),
        "a batch of one has lost its dimension. Is there a squeeze()? Say which: squeeze(1).": (
            lambda logits, y: _log_other(logits, y).squeeze()
        ),
        "all logits equal to that of y were left out. Others may be equal to it: leave out by place.": (
            lambda logits, y: (
                logits.masked_fill(logits == logits.gather(1, y[:, None]), -math.inf).logsumexp(1)
                - logits.logsumexp(1)
            )
        ),
        "[:, y] takes all these columns out of every row. One of each: [torch.arange(len(y)), y].": (
            lambda logits, y: logits.index_fill(1, y, -math.inf).logsumexp(1) - logits.logsumexp(1)
        ),
        "each sum was shifted, and the shifts are not added back: log Σ e^ℓ = m + log Σ e^(ℓ - m).": (
            lambda logits, y: _centred(_without(logits, y)) - _centred(logits)
        ),
        "this takes the logit of y for a single one, against 0. There are others: softplus(ℓ_y - m), with m "
        "the logsumexp of the others.": lambda logits, y: -F.softplus(logits.gather(1, y[:, None])[:, 0]),
        "the most probable digit was left out, whichever y is. Leave out y.": (
            lambda logits, y: _log_other(logits, logits.argmax(1))
        ),
    }
    expect_function(
        answer, _log_other, ordinary, mistakes=names, read=_read_log_not, name="log(1 - π_y)", atol=1e-4
    )
    far = [
        [[1000.0, 0.0, -3.0, 2.0], [-1000.0, -1002.0, -999.0, -1001.0], [0.5, -0.3, 0.1, -1.0]],
        [[500.0, -500.0, 0.0], [500.0, -500.0, -1.0], [1000.0, 999.0, 998.5], [0.0, 1.0, 0.5]],
        [[1000.0, -1000.0], [-1000.0, 1000.0], [-1000.0, -1000.0]],
        [[-1000.0, -1000.0, -1000.0, -990.0, 1000.0], [-1000.0, -1000.0, -1000.0, -990.0, 1000.0]],
        [[40.0, 0.0, -3.0, 2.0]],  # 1 - π_y rounds to 0, the others do not
    ]
    labels = [[0, 2, 1], [0, 1, 0, 2], [0, 0, 1], [4, 0], [0]]
    extreme = [
        {"logits": torch.tensor(logits), "y": torch.tensor(y)} for logits, y in zip(far, labels, strict=True)
    ]
    gone = "right for moderate logits. Up to 1,000 "
    floors = {
        f"{gone}the {floor:g} that keeps 1 - π_y from 0 decides: its logarithm never falls below "
        f"{math.log(floor):.0f}.": functools.partial(_floored, floor)
        for floor in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-20, 1e-30)
    }
    masks = {
        f"{gone}the {mask:g} in the place of y is too large: all others may be as small. It has to be -∞.": (
            functools.partial(_masked, mask)
        )
        for mask in (-100.0, -1000.0)
    }
    expect_function(
        answer,
        _log_other,
        extreme,
        read=_read_extreme_log_not,
        name=lambda logits, y: "right for moderate logits; with some of 500 to 1,000, log(1 - π_y)",
        atol=1e-3,
        mistakes={
            f"{gone}it is -inf where π_y rounds to 1, for then 1 - π_y is 0. Do not leave the logarithm.": (
                lambda logits, y: (1 - _probability(logits, y)).log()
            ),
            f"{gone}it is -inf where the others round to 0 beside the logit of y, in a softmax or after a "
            "shift by the largest of all. Shift their sum by the largest of the others.": (
                lambda logits, y: _without(logits.softmax(1), y, 0.0).sum(1).log()
            ),
            f"{gone}it is -inf in a row far below the others of the batch: the shift is the largest of all "
            "rows. Each row needs its own: amax(1, keepdim=True).": (
                lambda logits, y: (
                    (_without(logits, y) - _without(logits, y).max()).exp().sum(1).log()
                    + _without(logits, y).max()
                    - logits.logsumexp(1)
                )
            ),
            **floors,
            **masks,
        },
    )
    return "With two classes it is -softplus(t): log(1 - σ(t)), which a generator of chapter 12 makes small."


def _read_log_not(result: Any) -> Tensor:
    found = tensor(result, name="log(1 - π_y)", nan=True)
    expect(
        found.ndim <= 1,
        f"one number for each image is asked for, shape (n,), and this has shape {tuple(found.shape)}.",
    )
    return found


def _read_extreme_log_not(result: Any) -> Tensor:
    found = _read_log_not(result)
    expect(
        not found.isnan().any(),
        "right for moderate logits. Up to 1,000 it is not a number: an exponential is infinite, or all of a "
        "sum round to 0. Subtract the largest logit first: in each row, for each of the two sums, its own.",
    )
    return found


# 0.4


@dataclass(frozen=True)
class _Run:
    """One pass over a few batches: the network, its optimizer and the batches; ``once``: as an iterator."""

    network: nn.Module
    make: Callable[[Any], torch.optim.Optimizer]
    batches: list[tuple[Tensor, Tensor]]
    once: bool = False

    def of(self, answer: Callable[..., Any]) -> tuple[Tensor, Any]:
        """Return the weights, in a row, after ``answer`` on a copy of the network, and what it returned."""
        network = copy.deepcopy(self.network)
        optimizer = self.make(network.parameters())
        before = Snapshot(network, plant=True)  # what is in .grad must not matter
        result = call(answer, network, optimizer, iter(self.batches) if self.once else self.batches)
        expect(
            "modes" not in before.changed(),
            "the model came in training mode and leaves in evaluation mode, or the other way round. The "
            "mode is the caller's: neither train() nor eval() belongs here.",
        )
        return torch.cat([p.detach().flatten() for p in network.parameters()]), result


def _passing(
    *,
    cost_of: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    clear: str = "each",
    step: str = "each",
    scale: Callable[[int], float] = lambda n: 1.0,
    loss: str = "mean",
    history: bool = False,
) -> Callable[..., Any]:
    """Return a pass over batches, the right one or with mistakes.

    ``clear``: before "each" backward, "once", "never", or "late", after each step; ``step``: after "each"
    backward, "never", or "once", at the end. ``scale`` multiplies the cost, given the size of the batch.
    ``loss`` is "mean", "sum", "last", "after" the step, "images", summed over those of a batch, "weighted",
    the mean over all images, or "per image", the sum divided by their number.
    """

    def passing(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Any) -> Any:
        if clear == "once":
            optimizer.zero_grad()
        losses, sizes = [], []
        for x, y in batches:
            cost = cost_of(model(x), y)
            if clear == "each":
                optimizer.zero_grad()
            (scale(len(x)) * cost).backward()
            if step == "each":
                optimizer.step()
            if clear == "late":
                optimizer.zero_grad()
            if loss == "after":
                cost = cost_of(model(x), y)
            losses.append(cost * len(x) if loss in ("images", "weighted") else cost)
            sizes.append(len(x))
        if step == "once":
            optimizer.step()
        total = torch.stack(losses if loss != "last" else losses[-1:])
        result = total.sum() if loss in ("sum", "weighted", "per image") else total.mean()
        if loss in ("weighted", "per image"):
            result = result / sum(sizes)
        return result if history else result.item()

    return passing


def _softmax_twice(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits.softmax(1), y)


def _likelihood_of(of: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the cost that nll_loss makes of a function of the logits."""
    return lambda logits, y: F.nll_loss(of(logits), y)


def _first_only(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Any) -> Any:
    return _passing()(model, optimizer, list(islice(batches, 1)))


_FAULTY = _passing(cost_of=_softmax_twice, clear="once", history=True)
_PROBABILITIES = "the cost is not the cross-entropy of the logits: the loss cannot come near 0"
_PILED = "from the second batch on, the gradients of earlier batches are still there when a step is taken"


# What Python and PyTorch say where an answer to 0.4 stops, and what it means there.
_LOOP_STOPPED = {
    "has no len()": "The batches may come from a generator: count them as they come.",
    "inplace operation": "Does step() stand before backward()? It changes the weights that backward() needs.",
    "is not subscriptable": "The batches may come from a generator: go through them with for.",
}


@exercise(
    "0.4",
    "Three faults in a training loop",
    hints=(
        "Follow one batch from the images to the changed weights. What does each line take, and what does it "
        "hand on? Then follow the second batch: what is left over from the first?",
        "Look at three places: what cross_entropy is given, how often the gradients are cleared, and what "
        "the total remembers.",
        "cross_entropy takes logits; zero_grad() belongs into the loop, before backward(); .item() makes "
        "a plain number of a loss.",
    ),
)
def _three_faults(answer: Any) -> str:
    def batches(n: int, sizes: tuple[int, ...], classes: int) -> list[tuple[Tensor, Tensor]]:
        return [(2 * torch.randn(size, n), torch.randint(0, classes, (size,))) for size in sizes]

    several = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 5))
    sure = nn.Linear(3, 4)
    with torch.no_grad():
        sure.weight.mul_(300)  # far too sure, and of the wrong class as often as not
    runs = [
        _Run(nn.Linear(5, 3), lambda p: torch.optim.SGD(p, lr=0.5), batches(5, (8, 8), 3)),
        _Run(several, lambda p: torch.optim.Adam(p, lr=0.05, eps=1e-3), batches(4, (6, 9, 4), 5), once=True),
        _Run(nn.Linear(2, 4), lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.5), batches(2, (3,), 4)),
        _Run(nn.Linear(2, 2).eval(), lambda p: torch.optim.SGD(p, lr=0.1), batches(2, (1, 4, 2, 5), 2)),
        _Run(sure, lambda p: torch.optim.SGD(p, lr=0.1), batches(3, (5, 4), 4)),
    ]
    with _explaining(_LOOP_STOPPED):
        found = [run.of(answer) for run in runs]
    faulty = [run.of(_FAULTY) for run in runs]
    drags = [isinstance(loss, Tensor) and loss.requires_grad for _, loss in found]
    losses = [number(loss, "the result", finite=False) for _, loss in found]
    if (
        all(drags)
        and all(is_close(weights, was) for (weights, _), (was, _) in zip(found, faulty, strict=True))
        and is_close(losses, [loss.item() for _, loss in faulty])
    ):
        raise NotAttempted("it still does what it did")

    def what(run: int) -> str:
        sizes = ", ".join(str(len(x)) for x, _ in runs[run].batches)
        of = " of a network that is far too sure" if runs[run].network is sure else ""
        return f"{len(runs[run].batches)} batches{of}, sizes {sizes}"

    def weights_of(**changes: Any) -> Callable[[int], Tensor]:
        return lambda run: runs[run].of(_passing(**changes))[0]

    expect_function(
        lambda run: found[run][0],
        weights_of(),
        [{"run": run} for run in range(len(runs))],
        name=lambda run: f"after {what(run)}, a weight",
        mistakes={
            f"{_PROBABILITIES}; and {_PILED}.": weights_of(cost_of=_softmax_twice, clear="once"),
            f"one fault less, but {_PROBABILITIES}. What does cross_entropy take?": weights_of(
                cost_of=_softmax_twice
            ),
            f"one fault less, but {_PILED}.": weights_of(clear="once"),
            "the gradients are cleared nowhere: they pile up, with what was in .grad before.": weights_of(
                clear="never"
            ),
            "the weights have not moved. Is optimizer.step() called for each batch, after backward(), with "
            "no zero_grad() between the two?": weights_of(step="never"),
            "what was in .grad before the first batch counts in its step. Clear before backward(), not after "
            "the step.": weights_of(clear="late"),
            "there is one step, at the end. Each batch should have its own, inside the loop.": weights_of(
                step="once"
            ),
            "the loss was summed over the batch, so that each step is as many times too long as there are "
            "images. Take the mean.": weights_of(scale=lambda n: n),
            "there is one step, at the end, and along the gradients of all batches together. Each batch "
            "should have its own, inside the loop.": weights_of(step="once", clear="once"),
            "minus the probability itself is made small here: nll_loss takes log-probabilities.": weights_of(
                cost_of=_likelihood_of(lambda logits: logits.softmax(1))
            ),
            "nll_loss takes log-probabilities, and these are logits. cross_entropy takes logits.": weights_of(
                cost_of=_likelihood_of(lambda logits: logits)
            ),
            f"{_PROBABILITIES}. And softmax(0) normalizes over the batch.": weights_of(
                cost_of=lambda logits, y: F.cross_entropy(logits.softmax(0), y)
            ),
            f"{_PROBABILITIES}. A sigmoid is no more needed before it than a softmax.": weights_of(
                cost_of=lambda logits, y: F.cross_entropy(logits.sigmoid(), y)
            ),
            "right for moderate logits. Where the network is far too sure, a softmax is 0 and its logarithm "
            "-inf: take cross_entropy of the logits.": weights_of(
                cost_of=_likelihood_of(lambda logits: logits.softmax(1).log())
            ),
            "right for moderate logits. Where the network is far too sure, the constant added to the softmax "
            "decides, and no gradient is left: take cross_entropy of the logits.": weights_of(
                cost_of=_likelihood_of(lambda logits: (logits.softmax(1) + 1e-8).log())
            ),
            "only the first batch took a step. Does the return stand inside the loop?": (
                lambda run: runs[run].of(_first_only)[0]
            ),
            "you went uphill.": weights_of(scale=lambda n: -1.0),
        },
    )
    if any(drags):
        raise Wrong(
            "the weights are right, but the result still has its history: the record of every step is kept "
            "as long as the number is. Add up plain numbers: loss.item()."
        )

    def loss_of(**changes: Any) -> Callable[[int], float]:
        return lambda run: runs[run].of(_passing(**changes))[1]

    expect_function(
        lambda run: losses[run],
        loss_of(),
        [{"run": run} for run in range(len(runs))],
        name=lambda run: f"the weights are right, but after {what(run)}, the mean loss",
        mistakes={
            "the weights are right; these are losses after the step. Those before it are asked for.": loss_of(
                loss="after"
            ),
            "the weights are right; the losses were added up. The mean over the batches is asked for.": (
                loss_of(loss="sum")
            ),
            "the weights are right; this is the loss of the last batch alone.": loss_of(loss="last"),
            "the weights are right; the losses of all images of a batch were added up.": loss_of(
                loss="images"
            ),
            "the weights are right; this is the mean over all images. The mean of the batches' losses is "
            "asked for, whatever their sizes.": loss_of(loss="weighted"),
            "the weights are right; the sum of the losses was divided by the number of images. Each is a "
            "mean already: divide by the number of batches.": loss_of(loss="per image"),
        },
    )
    return "Logits, gradients cleared for each batch, and numbers without history."


# 0.5

_ALL = 784 * 64 + 64 + 64 * 10 + 10


@exercise(
    "0.5",
    "Training from zeros",
    hints=(
        "What are the 64 hidden numbers when all weights and biases are 0?",
        "The gradient of a weight is the input it multiplies, times the slope of what it makes. Which of the "
        "two is 0 for the last layer's weights, and which for those of the first?",
        "Only the last layer's biases have a gradient: their input is, as it were, 1. And then nothing has "
        "changed for the others.",
    ),
)
def _from_zeros(answer: Any) -> str:
    expect(
        isinstance(answer, tuple | list) and len(answer) == 2,
        f"the prediction and the experiment are needed, (moved, experiment), and this is {describe(answer)}.",
    )

    def read(prediction: Any) -> int:
        count = number(prediction, "your prediction")
        expect(
            count == int(count) and 0 <= count <= _ALL,
            f"a count of parameters is asked for: a whole number from 0 to {_ALL:,}.",
        )
        return int(count)

    count, outcome = predicted("0.5", answer, read)
    moved = number(outcome, "what the experiment returns")
    expect(moved == 10, f"the experiment gives {moved:g}: was it changed? Run its cell as it was.")
    reasons = {
        0: "some do have a gradient: a bias of the last layer changes the cost, whatever lies below it.",
        650: "the weights of the last layer multiply the hidden numbers, and those are 0 for every image.",
        74: "the biases of the hidden layer reach the cost through the last layer's weights: all 0.",
        64: "that is how many hidden numbers there are, and between them and the cost stand weights of 0.",
        _ALL: "most never do. That equal weights stay equal is true and only half of it: a gradient is a "
        "product, and here one of its factors is 0.",
        _ALL - 10: "it is the other way round: these are the ones that stay.",
    }
    other = (
        "multiply, along the way back, the factors of a gradient: those of weights and hidden numbers are 0."
    )
    expect(
        count == 10,
        f"you predicted {count:,}, and it is 10. Counter to intuition: {reasons.get(count, other)}",
    )
    return (
        "Only the last biases move, and learn how frequent each digit is. So weights do not begin at 0; they "
        "begin at random, since equal hidden numbers would stay equal."
    )


# 0.6

_CASES = [
    {"h": 29, "kernel": 8, "stride": 11, "padding": 3},
    *(
        {"h": h, "kernel": kernel, "stride": stride, "padding": padding}
        for h in (7, 14, 15, 28)
        for kernel, stride, padding in (
            (4, 2, 1),
            (3, 1, 1),
            (3, 2, 0),
            (5, 3, 2),
            (1, 4, 0),
            (6, 5, 1),
            (2, 3, 1),
        )
    ),
]


def _down(h: int, kernel: int, stride: int, padding: int) -> int:
    """Return the size after a convolution, by doing it."""
    image, weight = torch.zeros(1, 1, h, h), torch.zeros(1, 1, kernel, kernel)
    return F.conv2d(image, weight, stride=stride, padding=padding).shape[-1]


def _up(h: int, kernel: int, stride: int, padding: int) -> int:
    """Return the size after a transposed convolution, by doing it."""
    image, weight = torch.zeros(1, 1, h, h), torch.zeros(1, 1, kernel, kernel)
    return F.conv_transpose2d(image, weight, stride=stride, padding=padding).shape[-1]


def _lost(h: int, kernel: int, stride: int, padding: int) -> int:
    return h - _up(_down(h, kernel, stride, padding), kernel, stride, padding)


@exercise(
    "0.6",
    "What down and up again loses",
    hints=(
        "Put the size after the convolution into the formula of the transposed one, and subtract from h.",
        "Write a = h + 2p - k. What remains is a - s⌊a/s⌋.",
        "That is the remainder when a is divided by the stride: in Python, a % stride.",
    ),
)
def _missing(answer: Any) -> str:
    expect_function(
        answer,
        _lost,
        _CASES,
        name="what is missing",
        mistakes={
            "padding counts on both sides: 2 * padding.": lambda h, kernel, stride, padding: (
                (h + padding - kernel) % stride
            ),
            "the padding is missing.": lambda h, kernel, stride, padding: (h - kernel) % stride,
            "a convolution adds padding: the sign is wrong.": lambda h, kernel, stride, padding: (
                (h - 2 * padding - kernel) % stride
            ),
            "the kernel is missing.": lambda h, kernel, stride, padding: (h + 2 * padding) % stride,
            "kernel and padding count too, not the stride alone.": lambda h, kernel, stride, padding: (
                h % stride
            ),
            "the kernel is subtracted: h + 2p - k.": lambda h, kernel, stride, padding: (
                (h + 2 * padding + kernel) % stride
            ),
            "there is a 1 too much: what counts is h + 2p - k, with no - 1.": (
                lambda h, kernel, stride, padding: (h + 2 * padding - kernel - 1) % stride
            ),
            "kernel and stride have changed places.": lambda h, kernel, stride, padding: (
                (h + 2 * padding - stride) % kernel
            ),
            "the way down rounds down, whatever is left; you rounded to the nearest.": (
                lambda h, kernel, stride, padding: (
                    h + 2 * padding - kernel - round((h + 2 * padding - kernel) / stride) * stride
                )
            ),
            "the sign is wrong: h minus the size at the end, never negative.": (lambda *case: -_lost(*case)),
            "this is the size at the end. How many pixels fewer than h are there?": lambda *case: (
                case[0] - _lost(*case)
            ),
            "this is the size after the convolution, before the way up.": lambda *case: _down(*case),
            "this is h minus the size after the convolution, before the way up.": lambda *case: (
                case[0] - _down(*case)
            ),
            "something is lost where the stride does not divide h + 2p - k: the convolution rounds down. (Up "
            "first and then down nothing would be; here it goes down first.)": (
                lambda h, kernel, stride, padding: 0
            ),
            "the + 1 of the convolution cancels on the way up: between n stamps there are n - 1 strides.": (
                lambda h, kernel, stride, padding: (h + 2 * padding - kernel + 1) % stride
            ),
            "a stride larger than 2 can lose more than one.": lambda *case: min(_lost(*case), 1),
            "the transposed one cuts the padding off on both sides: - 2 * padding.": lambda *case: (
                _lost(*case) - 2 * case[3]
            ),
            "you rounded up: this is what would be too much. The convolution rounds down.": (
                lambda h, kernel, stride, padding: -(h + 2 * padding - kernel) % stride
            ),
            "you rounded up on the way down, where the convolution rounds down.": (
                lambda h, kernel, stride, padding: -(-(h + 2 * padding - kernel) % stride)
            ),
            "this is the stride minus what is missing.": lambda *case: case[2] - _lost(*case),
            "between n stamps there are only n - 1 strides.": lambda *case: _lost(*case) - case[2],
            "this is a stride too much: the convolution's size has a + 1, after rounding down.": (
                lambda *case: _lost(*case) + case[2]
            ),
            "this is a quotient. What does the division leave over: % and not /?": (
                lambda h, kernel, stride, padding: (h + 2 * padding - kernel) / stride
            ),
            "this is the quotient. What does the division leave over?": (
                lambda h, kernel, stride, padding: (h + 2 * padding - kernel) // stride
            ),
        },
    )
    return "PyTorch's layer adds it when told so: nn.ConvTranspose2d(…, output_padding=…)."


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
    clouds = [_cloud(400, (0.3, 1.0, 3.0)), _cloud(60, (2.0, 0.5)), _cloud(90, (0.1, 0.4, 1.0, 0.2, 0.6))]
    clouds[2] = clouds[2].float()
    skew = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [1.5, 0.0], [-1.5, 0.0], [0.0, 5.0]], dtype=torch.float64)
    clouds.append(skew @ torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64) + 2)
    found = [_direction(call(answer, points.clone()), points) for points in clouds]
    right = [_eigenvectors(points.T.cov())[:, -1] for points in clouds]

    def along(mistaken: Callable[[Tensor], Tensor]) -> bool:
        return all(_parallel(v, mistaken(points)) for v, points in zip(found, clouds, strict=True))

    mistakes: dict[str, Callable[[Tensor], Tensor]] = {
        "this is the direction in which the points vary least. eigh counts upwards: take the last column.": (
            lambda points: _eigenvectors(points.T.cov())[:, 0]
        ),
        "this is the second direction. Take the eigenvector of the largest eigenvalue.": (
            lambda points: _eigenvectors(points.T.cov())[:, -2]
        ),
        "this is a row of the matrix. The eigenvectors are its columns: vectors[:, -1].": (
            lambda points: _eigenvectors(points.T.cov())[-1]
        ),
        "this is the first row of the matrix. The eigenvectors are its columns: vectors[:, -1].": (
            lambda points: _eigenvectors(points.T.cov())[0]
        ),
        "the mean was not subtracted: this points from the origin to the middle of the cloud.": (
            lambda points: _second_moments(points)[:, -1]
        ),
        "this is the middle of the cloud.": lambda points: points.mean(0),
        "the median was subtracted. A variance is measured from the mean.": (
            lambda points: _second_moments(points - points.median(0).values)[:, -1]
        ),
        "one number, the mean of all coordinates, was subtracted. Each has its own: points.mean(0).": (
            lambda points: _second_moments(points - points.mean())[:, -1]
        ),
        "each coordinate was divided by its standard deviation: this is an axis of the correlations.": (
            lambda points: _eigenvectors(points.T.corrcoef())[:, -1]
        ),
        "eig sorts nothing, so that its last column is no one in particular. Take eigh.": (
            lambda points: torch.linalg.eig(points.T.cov().double()).eigenvectors.real[:, -1]
        ),
        "eig sorts nothing, so that its first column is no one in particular. Take eigh.": (
            lambda points: torch.linalg.eig(points.T.cov().double()).eigenvectors.real[:, 0]
        ),
        "this is a column of Vh. The directions are its rows: Vh[0].": (
            lambda points: torch.linalg.svd((points - points.mean(0)).double()).Vh[:, 0]
        ),
        "the signs of its coordinates are lost: is there an abs()?": (
            lambda points: _eigenvectors(points.T.cov())[:, -1].abs()
        ),
        "these are the eigenvalues, the variances. The directions are the eigenvectors.": (
            lambda points: torch.linalg.eigvalsh(points.T.cov())
        ),
        "this is the axis along which the points vary most. The widest direction may lie between the axes.": (
            lambda points: F.one_hot(points.var(0).argmax(), points.shape[1])
        ),
    }
    for message, mistaken in mistakes.items():
        expect(not along(mistaken), message)
    for v, best, points in zip(found, right, clouds, strict=True):
        length = float(v.norm())
        if _parallel(v, best):
            expect(
                abs(length - 1) < 1e-4,
                f"the direction is right, its length is {length:.4g}. A unit vector has length 1.",
            )
            continue
        expect(abs(length - 1) < 1e-4, f"a unit vector has length 1, and this one {length:.4g}.")
        share = float((points.double() @ v).var() / (points.double() @ best).var())
        raise Wrong(
            f"along this direction {len(points)} points in {points.shape[1]} dimensions have {share:.2%} of "
            "the variance that the widest one has."
        )
    return "Its variance is the largest eigenvalue."


def _cloud(n: int, spread: tuple[float, ...]) -> Tensor:
    """Return n points with these standard deviations along axes of their own, far from the origin."""
    d = len(spread)
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q
    narrow = sorted(range(d), key=lambda axis: spread[axis])[0 if d == 2 else 1]
    return torch.randn(n, d, dtype=torch.float64) * torch.tensor(spread) @ turn.T + 10 * turn[:, narrow]


def _eigenvectors(matrix: Tensor) -> Tensor:
    return torch.linalg.eigh(matrix.double()).eigenvectors


def _second_moments(away: Tensor) -> Tensor:
    """Return the eigenvectors of the mean square of points, from wherever they are measured."""
    return _eigenvectors(away.T @ away)


def _direction(result: Any, points: Tensor) -> Tensor:
    """Return what was found for the points as a vector (d,) in double precision."""
    found, d = tensor(result, name="the result"), points.shape[1]
    expect(found.ndim > 0, "this is one number: an eigenvalue? The direction is an eigenvector.")
    expect(
        found.shape != (len(points),),
        "this has an entry for each point, not for each coordinate. cov takes a variable in each row: "
        "points.T.cov().",
    )
    if found.shape in ((d, 1), (1, d)):
        raise Wrong(f"the shape should be ({d},), and is {tuple(found.shape)}. Take out one dimension.")
    return tensor(found, shape=(d,), name="the result").detach().double()


def _parallel(v: Tensor, other: Tensor) -> bool:
    lengths = v.norm() * other.double().norm()
    return bool(lengths > 0) and abs(abs(float(v @ other.double() / lengths)) - 1) < 1e-4


# 0.8

_SHAPES, _AUTOGRAD, _LOGITS = "Tensors have shapes", "Derivatives for free", "From logits to probabilities"
_CONVOLUTION, _TRANSPOSE = "Convolution: one small pattern, everywhere", "The transpose: from small to large"
_MODES, _COVARIANCE = "Batch norm has two modes", "A picture of covariance"

# Question, what is right, and the section to read again; special mistakes get a word of their own.
_QUESTIONS: list[tuple[str, Callable[[Any], bool], str]] = [
    ("the shape", lambda a: _is_shape(a, (5, 4, 3)), _SHAPES),
    ("the derivative with detach", lambda a: _is_number(a, 18), _AUTOGRAD),
    ("the gradient after two backwards", lambda a: _is_number(a, 10), _AUTOGRAD),
    ("the cost of wavering between four", lambda a: _is_number(a, math.log(4), 0.01), _LOGITS),
    ("the parameters of the convolution", lambda a: _is_number(a, 3216), _CONVOLUTION),
    ("the height after the transposed convolution", lambda a: _is_number(a, 19), _TRANSPOSE),
    ("the mode", lambda a: _is_mode(a, "train", "training"), _MODES),
    ("the largest variance", lambda a: _is_number(a, 3, 1e-3), _COVARIANCE),
]
_BETWEEN: dict[tuple[int, Any], str] = {
    (2, 27): "detach makes a constant of one factor, it has no derivative",
    (2, 9): "it is theta**2 that has a derivative, not the detached factor, which is only a constant",
    (2, 6): "the detached factor has no derivative, and still its value, 3",
    (2, 0): "only the detached factor is a constant",
    (3, 5): "backward adds to .grad",
    (3, 25): "backward adds to .grad and does not multiply",
    (3, 0): "the gradient of a linear function is its slope",
    (4, 0.25): "that is the probability; the cost is minus its logarithm",
    (4, 2): "that is in bits; nats are natural logarithms",
    (4, math.log10(4)): "that is the base-10 logarithm; nats are natural ones",
    (4, -math.log(4)): "the cost is minus the logarithm of the probability: positive",
    (4, 4): "that is how many are left; the cost is a logarithm",
    (4, math.log(10)): "six of the ten have no probability, so four share it",
    (5, 3200): "the biases are missing",
    (5, 416): "each kernel covers all 8 channels of the input",
    (5, 3208): "there is a bias for each channel that comes out, and those are 16",
    (5, 216): "that is one kernel, over 8 channels, and there are 16",
    (5, 656): "a kernel has 5 rows and 5 columns",
    (6, 1): "that is the size after the convolution",
    (6, 21): "padding cuts off here",
    (6, 20): "padding cuts off on both sides",
    (6, 23): "padding cuts off here, it does not add",
    (6, 22): "between six stamps there are five strides",
    (6, 18): "between six stamps there are five strides, and then kernel and padding count",
    (8, 2): "that is the variance along the coordinate axes",
    (8, 1): "that is the smallest",
    (8, 4): "that is the sum of both variances",
    (8, 6): "a direction has length 1: (1, 1)/√2",
    (8, math.sqrt(3)): "that is the standard deviation",
    (8, 9): "the eigenvalue is the variance: no square",
}


@exercise(
    "0.8",
    "A self-test",
    hints=(
        "(1) Align at the right: (5, 1, 3) with (4, 1). (2) A detached factor is a constant. (3) backward() "
        "adds. (4) Four digits share all the probability.",
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
                if q == place and _is_number(given, value, 0.01)
            )
            if place == 7 and _is_mode(given, "eval", "evaluation"):
                why = ", for there running averages are used, and each image is answered for itself"
            wrong.append(f"({place}) {name}: read “{section}” again{why}")
    expect(not wrong, f"{len(answer) - len(wrong)} of {len(answer)} are right. {'; '.join(wrong)}.")
    return "All eight. Nothing here needs to be read again."


def _is_number(given: Any, right: float, tolerance: float = 1e-4) -> bool:
    try:
        return abs(number(given) - right) <= tolerance
    except Wrong:
        return False


def _is_mode(given: Any, *names: str) -> bool:
    """Tell whether a mode was named, as a word or as the call that sets it."""
    text = given.strip().lower() if isinstance(given, str) else ""
    return text.removeprefix("model").strip(".() ").removesuffix("mode").strip() in names


def _is_shape(given: Any, right: tuple[int, ...]) -> bool:
    return isinstance(given, tuple | list) and tuple(given) == right
