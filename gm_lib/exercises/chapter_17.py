"""Checks of chapter 17, where this leads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    call,
    choices,
    exercise,
    expect,
    expect_close,
    expect_function,
    is_close,
    number,
    predicted,
    tensor,
)

# 17.1, both at once: a judge that is not heard


def _both_losses(
    x: Tensor,
    rebuilt: Tensor,
    kl: Tensor,
    made: Tensor,
    discriminator: Callable[[Tensor], Tensor],
    judge: float,
    *,
    mean: bool = False,
    heard: bool = True,
    cut: bool = True,
    sign: float = -1.0,
    half: float = 0.5,
    minimax: bool = False,
    swapped: bool = False,
    whom: str = "made",
) -> tuple[Tensor, Tensor]:
    """Return what both sides pay, with the bugs that are asked for."""
    shown = {"made": made, "rebuilt": rebuilt}[whom]
    fake = discriminator(shown.detach() if cut else shown)
    squares = half * (x - rebuilt).square()
    pays = ((squares.mean(1) if mean else squares.sum(1)) + kl).mean()
    said = discriminator(shown) if heard else discriminator(shown.detach())
    pays_d = (F.softplus(-discriminator(x)) + F.softplus(fake)).mean()
    of_judge = -F.softplus(said) if minimax else F.softplus(sign * said)
    losses = pays + judge * of_judge.mean(), pays_d
    return losses[::-1] if swapped else losses


def _both_seen(function: Callable[..., Any], dims: int, judge: float) -> Tensor:
    """Return both losses and all their gradients, as one row of numbers."""
    generator = torch.Generator().manual_seed(dims)
    x, rebuilt, made = torch.randn(3, 6, dims, generator=generator)
    kl = torch.rand(6, generator=generator)
    network = nn.Sequential(nn.Linear(dims, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    leaves = [value.requires_grad_() for value in (rebuilt, kl, made)]
    given = function(x, *leaves, network, judge)
    expect(
        isinstance(given, tuple | list) and len(given) == 2,
        "two losses are asked for: what encoder and decoder pay, then what the discriminator pays.",
    )
    names = "what encoder and decoder pay", "what the discriminator pays"
    losses = [tensor(loss, name=name) for loss, name in zip(given, names, strict=True)]
    row = []
    for loss, name, parts in zip(losses, names, (leaves, [*leaves, *network.parameters()]), strict=True):
        expect(loss.numel() == 1, f"{name} should be one number, the mean over the batch.")
        expect(loss.requires_grad, f"no gradient passes through {name}: it is cut off, or made anew.")
        grads = torch.autograd.grad(loss.sum(), parts, allow_unused=True, retain_graph=True)
        found = (torch.zeros_like(p) if g is None else g for p, g in zip(parts, grads, strict=True))
        row += [loss.reshape(1), *(g.flatten() for g in found)]
    return torch.cat(row).detach()


_BOTH_BUGS: dict[str, dict[str, Any]] = {
    "the squares are summed now. The decoder still hears nothing: detach() is for the discriminator's loss, "
    "and its number was used in the decoder's too.": {"heard": False},
    "the decoder hears the judge now. The other bug: nats are summed over the values of an example. A mean "
    "makes them few, and the judge heavy.": {"mean": True},
    "the discriminator's loss reaches the decoder too, and would teach it to be found out. Cut made off "
    "there, and only there.": {"cut": False},
    "the discriminator's loss reaches the decoder too, and the squares are a mean over values.": {
        "cut": False,
        "mean": True,
    },
    "the decoder pays softplus(+logit), which is less the more surely it is found out.": {"sign": 1.0},
    "the decoder pays -softplus(logit), the minimax loss. -log D of what it made is softplus(-logit).": {
        "minimax": True
    },
    "the half of the squares is missing: -log p(x | z) is ½ (x - mean)² / σ², summed, and a constant.": {
        "half": 1.0
    },
    "the two losses are swapped: what encoder and decoder pay comes first.": {"swapped": True},
    "the discriminator is shown rebuilt. It should see what the decoder makes of the prior's codes.": {
        "whom": "rebuilt"
    },
}


@exercise(
    "17.1",
    "A judge that is not heard",
    hints=(
        "Which tensors does the gradient of `pays` reach? Ask torch.autograd.grad for made, with "
        "allow_unused=True.",
        "`fake` is cut off from made, as the discriminator's loss needs it. Can the decoder's loss use the "
        "same number?",
        "The second: in what unit is kl, and over what is -log p(x | z) summed?",
    ),
)
def _both_heard(answer: Any) -> str:
    cases = (3, 0.7), (5, 2.0)
    found = [_both_seen(lambda *given: call(answer, *given), *case) for case in cases]

    def explained(**bugs: Any) -> bool:
        made = [_both_seen(lambda *given: _both_losses(*given, **bugs), *case) for case in cases]
        return all(is_close(one, other) for one, other in zip(found, made, strict=True))

    if explained(mean=True, heard=False):
        raise NotAttempted("it still does what it did")
    for message, bugs in _BOTH_BUGS.items():
        expect(not explained(**bugs), message)
    for case, seen in zip(cases, found, strict=True):
        right = _both_seen(_both_losses, *case)
        values = {"what encoder and decoder pay": 0, "what the discriminator pays": 1 + (2 * case[0] + 1) * 6}
        for name, place in values.items():
            given, wanted = seen[place].item(), right[place].item()
            expect(
                math.isclose(given, wanted, rel_tol=1e-4),
                f"{name} should be {wanted:.4g}, and is {given:.4g}.",
            )
        if not is_close(seen, right):
            raise Wrong(
                "the numbers are right, and a gradient is not: something is cut off that should not be."
            )
    return "One pass of the discriminator cannot serve both: one side must be cut off, the other must not."


# 17.2, both at once: what means as wide as the data cost


def _both_cost(lam: Tensor, sigma: Tensor, *, half: float = 0.5, least: bool = True) -> Tensor:
    best = torch.maximum(lam, sigma**2) if least else lam
    wide = lam + sigma**2
    return half * ((wide / best).log() + lam / wide - lam / best)


def _both_nats(v: Tensor, lam: Tensor) -> Tensor:
    return 0.5 * (v.log() + lam / v)


def _both_noiseless(lam: Tensor, sigma: Tensor) -> Tensor:
    return _both_nats(lam, lam) - _both_nats((lam - sigma**2).clamp(min=0), lam)


@exercise(
    "17.2",
    "What means as wide as the data cost",
    hints=(
        "Call the model's variance v. -log p(x) is on average half of log 2π + log v + λ/v. What is v with "
        "the best w, and what is it with w² = λ?",
        "The best w² is λ - σ², so v is λ; but no w² is negative. Where λ is below σ², w is 0, and v is σ².",
        "With b = max(λ, σ²) and c = λ + σ²: half of log(c / b) + λ/c - λ/b. torch.maximum compares tensors.",
    ),
)
def _both_costs(answer: Any) -> str:
    expect_function(
        answer,
        _both_cost,
        [
            {"lam": torch.tensor([4.0, 1.0, 0.3]).double(), "sigma": torch.tensor([0.5, 0.5, 0.5]).double()},
            {"lam": torch.tensor([0.1, 0.25, 2.0]).double(), "sigma": torch.tensor([0.5, 0.5, 1.7]).double()},
        ],
        mistakes={
            "where λ is below σ² the best w is 0, and the model's variance σ² and not λ.": (
                lambda lam, sigma: _both_cost(lam, sigma, least=False)
            ),
            "the half is missing: a Gaussian's -log p is ½ log 2πv + x²/2v.": (
                lambda lam, sigma: _both_cost(lam, sigma, half=1.0)
            ),
            "sigma is a standard deviation: its square adds to w².": (
                lambda lam, sigma: _both_cost(lam, sigma.sqrt())
            ),
            "the sign is turned round: this is what is gained. The best w cannot be improved on.": (
                lambda lam, sigma: -_both_cost(lam, sigma)
            ),
            "w² is not the model's variance: the noise adds σ² to it.": _both_noiseless,
            "the noise adds σ² to the best w² too, so that the model's variance is at least σ².": (
                lambda lam, sigma: (
                    _both_nats(lam + sigma**2, lam) - _both_nats((lam - sigma**2).clamp(min=0), lam)
                )
            ),
            "this is in bits: take the natural logarithm.": (
                lambda lam, sigma: _both_cost(lam, sigma) / math.log(2)
            ),
            "the squares are missing: under a wider model they are cheaper, λ/v instead of λ/b.": (
                lambda lam, sigma: 0.5 * ((lam + sigma**2) / torch.maximum(lam, sigma**2)).log()
            ),
        },
        name="the cost",
    )
    return (
        "It is largest, 0.12 nats, at λ = 0.62 σ², where the data vary about as much as the noise. What "
        "varies far more (about σ⁴/4λ²) or far less costs nearly nothing."
    )


# 17.3, both at once: what a prior that looks back saves


def _both_saved(joint: Tensor) -> Tensor:
    product = joint.sum(1, keepdim=True) * joint.sum(0)
    return (torch.xlogy(joint, joint) - torch.xlogy(joint, product)).sum()


def _both_entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum()


@exercise(
    "17.3",
    "What a prior that looks back saves",
    hints=(
        "What do the codes cost on average under each prior? Each is a mean of -log under the joint table.",
        "The difference is the mean of log p(c₁, c₂) - log p(c₁) p(c₂): a KL divergence.",
        "Pairs that never occur count 0, and log 0 is infinite: torch.xlogy(p, q) is p log q, 0 if p is 0.",
    ),
)
def _both_saves(answer: Any) -> str:
    even = torch.full((4, 4), 1 / 16).double()
    some = torch.tensor([[4.0, 1.0, 0.0], [1.0, 0.0, 3.0], [2.0, 2.0, 7.0]]).double()
    wide = torch.tensor([[1.0, 0.0, 0.0, 5.0], [0.0, 2.0, 2.0, 2.0]]).double()
    expect_function(
        answer,
        _both_saved,
        [{"joint": some / some.sum()}, {"joint": even}, {"joint": wide / wide.sum()}],
        mistakes={
            "a pair that never occurs makes this NaN: 0 · log 0 has to count as 0.": lambda joint: (
                joint * (joint / (joint.sum(1, keepdim=True) * joint.sum(0))).log()
            ).sum(),
            "this is in bits: take the natural logarithm.": lambda joint: _both_saved(joint) / math.log(2),
            "this is what the pairs cost under the prior that looks back, not what it saves.": _both_entropy,
            "this is what the second code costs given the first. What would it cost alone?": lambda joint: (
                _both_entropy(joint) - _both_entropy(joint.sum(1))
            ),
            "the mean is over pairs from the joint table: weigh each by its share there.": lambda joint: (
                torch.xlogy(joint.sum(1, keepdim=True) * joint.sum(0), joint).sum()
            ),
            "the sign is turned round: looking back saves, and never costs.": lambda joint: (
                -_both_saved(joint)
            ),
            "this is saved beside equal chances, log K for each code, and not beside each place alone.": (
                lambda joint: math.log(joint.numel()) - _both_entropy(joint)
            ),
        },
        name="the nats saved",
    )
    return (
        "It is the mutual information of the two codes: 0 only where they have nothing to do with each other."
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


def _asked_given_last(answer: Any, log_q: Callable[[Tensor], Tensor], x: Tensor, k: int) -> Any:
    """Call the answer; say what log_q complains about as such, and what a slice does for k = 0."""
    try:
        return call(answer, log_q, x, k)
    except Wrong as error:
        cause = error.__cause__
        if cause is None:
            raise
        said = str(cause if isinstance(cause, Wrong) else error)
        if k == 0:
            said += " Is there an x[-k:]? For k = 0 that is all of x, and not nothing: write x[d - k:]."
        raise Wrong(said) from cause


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
                found = tensor(_asked_given_last(answer, log_q, x, k), name=name, nan=True)
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
                        "that is log q of the *first* pixels alone, as the model draws them anyway. To set "
                        "the last k is no conditioning: wanted is log q(x) less log q of the last pixels.": (
                            log_q(every[(every == x)[:, begins].all(1)]).logsumexp(0)
                        ),
                        "that is log q of the first k given the last d - k: go through all d - k first "
                        "pixels, and leave the last k as they are in x.": _given_last(
                            log_q, x, every, torch.arange(pixels) >= k
                        ),
                        "that is the probability: give its log.": right.exp(),
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


# 17.7, flows: two bugs in a density of images

_FLOW_WITHOUT = "the logit's stretch is missing: it is one more layer, and the last one before the images."


def _flow_case(shape: tuple[int, ...], edge: float, s: float, seed: int) -> dict[str, Any]:
    """Return images, a small flow of their logits and the edge: the flow scales by exp(s) and shifts."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))

    def inverse(logits: Tensor) -> tuple[Tensor, Tensor]:
        return (logits - 0.3) * math.exp(-s), logits.flatten(1).tanh().sum(1) * 0 + s * logits[0].numel()

    return {"x": x, "inverse": inverse, "edge": edge}


def _flow_density(
    x: Tensor,
    inverse: Callable[[Tensor], tuple[Tensor, Tensor]],
    edge: float,
    *,
    own: float = 1,
    sigmoid: float = 1,
    cut: float = 1,
    mean: bool = False,
    once: bool = False,
    of_x: bool = False,
) -> Tensor:
    """Return the log-density, with weights in place of 1 for the parts that a mistake leaves out or turns."""
    v = edge + (1 - 2 * edge) * x
    z, log_det = inverse(v.logit())
    log_p_z = -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
    at = x if of_x else v
    of_cut = -cut * math.log(1 - 2 * edge)
    stretch = (sigmoid * (at.log() + (1 - at).log()) + (0 if once else of_cut)).flatten(1)
    of_logit = (stretch.mean(1) if mean else stretch.sum(1)) + (of_cut if once else 0)
    return log_p_z - own * log_det - of_logit


_FlowChange = tuple[str, dict[str, Any]]  # what is said of a mistake, and what it changes above
_FLOW_OWN: list[_FlowChange] = [
    ("", {}),
    ("the flow's own log_det is still added: a density is divided by it.", {"own": -1}),
    ("the flow's own log_det is missing: a density is divided by it.", {"own": 0}),
]
_FLOW_LOGIT: list[_FlowChange] = [
    ("", {}),
    (_FLOW_WITHOUT, {"sigmoid": 0, "cut": 0}),
    (
        "the logit's stretch has the wrong sign: from logits to x, a density is divided by it.",
        {"sigmoid": -1, "cut": -1},
    ),
    (
        "the logarithms of the values' stretches are averaged. A determinant is a product: sum them.",
        {"mean": True},
    ),
]
_FLOW_SIGMOID: list[_FlowChange] = [
    ("", {}),
    ("the sigmoid's stretch v (1 - v) is missing.", {"sigmoid": 0}),
    ("the sigmoid's stretch v (1 - v) has the wrong sign in the logarithm.", {"sigmoid": -1}),
    ("the stretch is v (1 - v) with v = σ(l), and x is not v where there is an edge.", {"of_x": True}),
    (
        "the stretch is v (1 - v) with v = σ(l), and x is not v where there is an edge; and a density is "
        "divided by it.",
        {"of_x": True, "sigmoid": -1},
    ),
]
_FLOW_CUT: list[_FlowChange] = [
    ("", {}),
    (
        "the factor 1/(1 - 2a) is missing: edges are cut off after the sigmoid, and that stretches, too.",
        {"cut": 0},
    ),
    ("the factor 1/(1 - 2a) has the wrong sign in the logarithm.", {"cut": -1}),
    ("the factor 1/(1 - 2a) is counted once for each image: every value is stretched.", {"once": True}),
    (
        "the factor 1/(1 - 2a) is counted once for each image, and with the wrong sign: every value is "
        "stretched.",
        {"once": True, "cut": -1},
    ),
]


def _flow_mistakes() -> dict[str, Callable[..., Tensor]]:
    """Return a mistake in each of the parts, and in several at once, by what is said of it."""
    both: dict[str, Any] = {"own": -1, "sigmoid": -1, "cut": -1}
    mistakes: dict[str, Callable[..., Tensor]] = {
        "both stretches are added. A density is divided by them.": partial(_flow_density, **both),
        "the logit's stretch is there now. The flow's own log_det is still added: a density is divided by "
        "it.": partial(_flow_density, own=-1),
    }
    of_logit = [*product(_FLOW_LOGIT, [_FLOW_CUT[0]]), *product(_FLOW_SIGMOID, _FLOW_CUT)]
    for parts in ((own, *two) for own, two in product(_FLOW_OWN, of_logit)):
        said = " Besides, ".join(words for words, _ in parts if words)
        changes = {key: value for _, change in parts for key, value in change.items()}
        if said:
            mistakes.setdefault(said, partial(_flow_density, **changes))
    return mistakes


@exercise(
    "17.7",
    "Two bugs in a density of images",
    hints=(
        "Look at area_under(log_density), the mean of exp(log p) over a grid of one-pixel images. Its "
        "flow is l = z / 2: log_det with the wrong sign makes the area 4 times too small.",
        "The flow tells log|det J| of the way from noise to logits. Is a density multiplied by a stretch, or "
        "divided? And which map is between the logits and x?",
        "x = (σ(l) - a) / (1 - 2a), so one value is stretched by v (1 - v) / (1 - 2a) with v = σ(l). Its "
        "logarithm, summed over the values, is subtracted, as log_det is.",
    ),
)
def _flow_bugs(answer: Any) -> str:
    try:
        expect_function(
            answer,
            _flow_density,
            [
                _flow_case((3, 1, 2, 2), 0.05, 0.7, 0),
                _flow_case((1, 1, 1, 1), 0.01, -0.4, 1),
                _flow_case((4, 2, 3, 3), 0.2, 1.3, 2),
            ],
            mistakes=_flow_mistakes(),
            unchanged=lambda x, f, a: _flow_density(x, f, a, own=-1, sigmoid=0, cut=0),
            name="log p(x)",
        )
    except Wrong as wrong:
        expect(
            "should be" not in str(wrong),
            f"{wrong} Compare the three terms one by one: log p(z), the flow's log_det, the logit's stretch.",
        )
        raise
    return (
        "Every layer counts. The logit has no parameters: without its stretch the flow learns the same, and "
        "no sample shows that it was forgotten."
    )


# 17.8, flows: what the noise of dequantization costs

_FLOW_COST = 0.5 * math.log2(2 * math.pi * math.e / 12)
_FLOW_COSTS = {
    "in nats. Bits were asked for: divide by ln 2.": 0.5 * math.log(2 * math.pi * math.e / 12),
    "0 is what the level itself costs: it is certain. But a normal density is not the uniform one of the "
    "noise, and the difference is paid.": 0.0,
    "that counts in grey values, where a bin is 1/256 wide. The bin's width is not taken into account: add "
    "log₂ 256, 8 bits.": _FLOW_COST - 8,
    "the bin's 8 bits were added to a cost that has them already. Measured in bins, the width is 1.": (
        _FLOW_COST + 8
    ),
    "the variance of the noise was taken for 1. Uniform over a width of 1, it has 1/12.": (
        0.5 * math.log2(2 * math.pi * math.e)
    ),
    "8 is the width of the bin, alone. A normal density may be as narrow as the noise.": 8.0,
    "the variance of noise that is uniform over a width w is w²/12, not w²/3.": (
        0.5 * math.log2(2 * math.pi * math.e / 3)
    ),
    "the variance was taken for w²/4, that of two points at the ends.": (
        0.5 * math.log2(2 * math.pi * math.e / 4)
    ),
    "the standard deviation was taken for w/12; that is the variance, of w = 1.": (
        0.5 * math.log2(2 * math.pi * math.e / 144)
    ),
    "the width itself was taken for the standard deviation. The best one is that of the noise.": (
        0.5 * math.log2(2 * math.pi) + (1 / 24) / math.log(2)
    ),
    "the entropy of the normal density was taken with 2π in place of 2πe: the square counts, too.": (
        0.5 * math.log2(2 * math.pi / 12)
    ),
    "the sign: nothing costs less than a certain level, 0 bits.": -_FLOW_COST,
}


@exercise(
    "17.8",
    "What the noise costs",
    hints=(
        "Measure in bins: the pixel is u, uniform on [0, 1), and the width of a bin is 1. Which mean and "
        "standard deviation has the best normal density?",
        "The expected -log p is ½ log(2πσ²) + (variance of u) / (2σ²), and the best σ² is the variance of u.",
        "The variance of u is 1/12. At σ² = 1/12 the second term is ½: ½ log₂(2πe/12) bits.",
    ),
)
def _flow_noise(answer: Any) -> str:
    found = number(answer)
    if not is_close(found, _FLOW_COST, rtol=1e-2, atol=0):
        for message, mistaken in _FLOW_COSTS.items():
            expect(not is_close(found, mistaken, rtol=1e-2, atol=1e-9), f"perhaps: {message}")
        for digits in (1, 2):
            rounded = round(_FLOW_COST, digits)
            expect(
                not is_close(found, rounded, rtol=1e-6, atol=0),
                f"{found:.4g} is right to {digits} digit{'s' * (digits > 1)}: three are asked for.",
            )
        expect(
            not is_close(found, _FLOW_COST, rtol=0.1, atol=0),
            f"{found:.4g} is near, but no rounding of the right number: look for a slip in the arithmetic.",
        )
        raise Wrong(
            f"{found:.4g} is not it. Write down E[-log p(u)] for a normal density and u uniform on [0, 1)."
        )
    return (
        "A quarter of a bit for a pixel that is always black: the price of uniform noise under a normal "
        "density. No σ avoids it; another shape of noise, or a map that is not affine, can."
    )


# 17.9, flows: likelihood and looks

_FLOW_KEYS = ("noise", "copies")
_FLOW_NAMES = ("about the same", "about 1 more", "far more")
_FLOW_RIGHT = {"noise": "about the same", "copies": "far more"}
_FLOW_WHY = {
    "noise": "a mixture has at least a hundredth of the flow's density, and log₂ 100 is not 7 bits for each "
    "dimension but for the whole image.",
    "copies": "a test image is far from each training image, measured in bins, and the density falls with "
    "the square of that. Good looks are no likelihood.",
}


@exercise(
    "17.9",
    "Likelihood and looks",
    hints=(
        "Bits per dimension are -log₂ p(x) / 784. What does a factor of 1/100 in p(x) do to them?",
        "The copies are bells as narrow as a bin around the training images. How many bins away is the "
        "nearest one, for a typical test image?",
        "log₂ 100 / 784 is less than 0.01. And a distance of 1,700 bins, which is typical, costs about "
        "1,700² / 2 nats: divide by 784 ln 2, and each dimension pays thousands of bits.",
    ),
)
def _flow_looks(answer: Any) -> str:
    prediction, outcome = predicted("17.9", answer, lambda given: choices(given, _FLOW_KEYS, _FLOW_NAMES))
    if not isinstance(outcome, Mapping) or set(outcome) != {"flow", *_FLOW_KEYS}:
        raise Wrong("the experiment does not return the bits of its three models: was it changed?")
    bits = {key: number(value, f'the bits of "{key}"') for key, value in outcome.items()}
    more = {key: bits[key] - bits["flow"] for key in _FLOW_KEYS}
    for key, change in more.items():
        expected = abs(change) < 0.02 if key == "noise" else change > 10
        expect(expected, f'the experiment gives {bits[key]:.4g} bits for "{key}": was it changed?')
    wrong = [
        f'"{key}" has {_FLOW_RIGHT[key]}, not {prediction[key]}: {bits[key]:,.3f} bits, and the flow '
        f"{bits['flow']:.3f}. {_FLOW_WHY[key][0].upper()}{_FLOW_WHY[key][1:]}"
        for key in _FLOW_KEYS
        if prediction[key] != _FLOW_RIGHT[key]
    ]
    expect(not wrong, " And ".join(wrong))
    return (
        f"A model whose samples are noise 99 times in 100 loses {more['noise']:.4f} bits, and one whose "
        f"samples all look real has {bits['copies']:,.0f}."
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
            "1 / SNR_t is a variance, of the noise in z_t / α_t. Its precision, to add to 1 / v, is SNR_t.": (
                lambda v, t, s: 0.5 * (s - t) / (1 / v + 1 / t)
            ),
            "1 / v is a precision and 1 / SNR_t a variance. The precisions are 1 / v and SNR_t, the error is "
            "one over their sum.": lambda v, t, s: 0.5 * (s - t) * (1 / v + 1 / t),
            "v + 1 / SNR_t is the variance of z_t / α_t. The error is what is left of that of x when z_t is "
            "known, and less than v.": lambda v, t, s: 0.5 * (s - t) * (v + 1 / t),
            "v and 1 / SNR_t are variances. Precisions add up here, 1 / v and SNR_t.": (
                lambda v, t, s: 0.5 * (s - t) / (v + 1 / t)
            ),
            "v is a variance and SNR_t a precision: turn v over before you add them.": (
                lambda v, t, s: 0.5 * (s - t) / (v + t)
            ),
            "v is a variance and SNR_t a precision. The precisions are 1 / v and SNR_t, and the error is one "
            "over their sum.": lambda v, t, s: 0.5 * (s - t) * (v + t),
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
        "new / (1 + snr_s) is the variance of z_s given z_t and x. Noise wants its root.",
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
            "z is divided by α_s. It is from the level t, and holds α_t x.": (
                lambda z, guess, t, s, noise: _diffusion_step(
                    z * (t / (1 + t) * (1 + s) / s).sqrt(), guess, t, s, noise
                )
            ),
            "z is divided by α_s, and holds α_t x. And the noise is multiplied with a variance.": (
                lambda z, guess, t, s, noise: _diffusion_step(
                    z * (t / (1 + t) * (1 + s) / s).sqrt(), guess, t, s, noise, variance=True
                )
            ),
            "the mean is right; only new has its root. It is wanted of all of new / (1 + snr_s).": (
                lambda z, guess, t, s, noise: (
                    without(z, guess, t, s, noise) + (1 - t / s).sqrt() / (1 + s) * noise
                )
            ),
            "the mean is right; only 1 + snr_s has its root. It is wanted of all of new / (1 + snr_s).": (
                lambda z, guess, t, s, noise: (
                    without(z, guess, t, s, noise) + (1 - t / s) / (1 + s).sqrt() * noise
                )
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


def _fm_whitened(back: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Return the velocity for N(0, 1) at (x_t - m) / s, turned ``back`` by m and s."""
    return lambda x_t, t, m, s: back(_fm_slope(t, torch.ones_like(t)) * (x_t - m) / s, m, s)


_FM_WHITE = (
    "But x_t has noise in it: its mean is not m, nor its sd s. Take the mean and variance of x_t itself, and "
    "its covariance with x - z."
)
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
    "this is `known`: the velocity for m = 0 and s = 1.": (
        lambda x_t, t, m, s: (2 * t - 1) / (t**2 + (1 - t) ** 2) * x_t
    ),
    f"(x_t - m) / s was put in. {_FM_WHITE}": _fm_whitened(lambda v, m, s: v + 0 * m),
    f"(x_t - m) / s was put in, and s times the result taken. {_FM_WHITE}": (
        _fm_whitened(lambda v, m, s: s * v)
    ),
    f"(x_t - m) / s was put in, and m + s v taken of the result. {_FM_WHITE}": (
        _fm_whitened(lambda v, m, s: m + s * v)
    ),
    "s is the standard deviation; the covariance has its square.": _fm_by(
        lambda t, s: (t * s - (1 - t)) / (t**2 * s + (1 - t) ** 2)
    ),
    "above the line, s stands for s²: the covariance of x with itself is its variance, s².": _fm_by(
        lambda t, s: (t * s - (1 - t)) / (t**2 * s**2 + (1 - t) ** 2)
    ),
    "below the line, s stands for s²: the variance of t x is t²s².": _fm_by(
        lambda t, s: (t * s**2 - (1 - t)) / (t**2 * s + (1 - t) ** 2)
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
_FM_PAIR = "the pair (first index: 0 the places, 1 the velocities)"
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
        places, velocities = (tensor(part, name="each of the two") for part in result)
        expect(
            places.ndim <= velocities.ndim,
            f"the places have {places.ndim} dimensions and the velocities {velocities.ndim}: t has more than "
            "x. t[:, None, None, None] is right for images; points have fewer dimensions.",
        )
        expect(
            places.shape == velocities.shape,
            f"places and velocities should be as z and x, and have the shapes {tuple(places.shape)} and "
            f"{tuple(velocities.shape)}.",
        )
        return torch.stack([places, velocities])

    square = case(3, 3)
    given = {name: value.clone() for name, value in square.items()}
    found, bugs = pair(call(answer, *given.values())), dict(square)
    untouched = bugs["t"] * bugs["z"] + (1 - bugs["t"]) * bugs["x"], bugs["x"] - bugs["z"]
    if is_close(found, torch.stack(untouched)):
        raise NotAttempted("it still does what it did")
    expect_function(answer, _fm_lines, [square], mistakes=_FM_LINES, name=_FM_PAIR, read=pair)
    cases = [case(3, 1, 3, 3), case(4, 2), case(1, 5)]
    expect_function(answer, _fm_lines, cases, mistakes=_FM_LINES, name=_FM_PAIR, read=pair)
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
        "log Z is the logarithm of a mean of exponentials. To keep it finite, take the largest logit out "
        "first, as chapter 4 did: logsumexp.",
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

    small, large = [case(0.5, 3, 5), case(-1.0, 4, 1)], [case(200.0, 2, 4), case(-200.0, 2, 6)]
    expect_function(answer, _fm_log_density, small, mistakes=_FM_DENSITY, name="log p_model")
    for given in large:
        copies = (value.clone() for value in given.values())
        expect(
            bool(tensor(call(answer, *copies), name="log p_model", nan=True).isfinite().all()),
            "right where logits are small. exp(200) is infinite and exp(-200) is 0 in float32: use "
            "logsumexp.",
        )
    expect_function(answer, _fm_log_density, large, mistakes=_FM_DENSITY, name="log p_model")
    return "A constant added to all logits changes nothing: a normalized model does not see it."


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
    for m, s, w in ((1.5, 0.5, 1.0), (-2.0, 0.8, 0.5), (0.3, 0.2, 4.0), (1.0, 0.9, 2.0), (0.7, 0.6, 0.0))
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
            "that is p(x | y) itself, as if w were 0.": lambda m, s, w: (m, s),
            "w - 1 stands where w should: that is with w as the scale. Here w = 0 is no guidance.": (
                lambda m, s, w: _map_tilted(m, s, w - 1)
            ),
            "the width is right. The means are weighed like the scores, (1 + w) m - w · 0, but each is "
            "weighed by its precision too: (1 + w) m/s² stands before x.": lambda m, s, w: (
                (1 + w) * m,
                _map_tilted(m, s, w)[1],
            ),
            "the means are weighed like the scores, and the width stayed. Each is weighed by its precision "
            "too: collect what stands before x² and before x.": lambda m, s, w: ((1 + w) * m, s),
            "the means are weighed like the scores, and the width is that of p(x | y) to the power 1 + w. "
            "Both come from what stands before x² and before x.": lambda m, s, w: (
                (1 + w) * m,
                s / math.sqrt(1 + w),
            ),
            "p(x) is multiplied with, where p_w divides by it: take w from the precision.": lambda m, s, w: (
                (1 + w) * m / s**2 / ((1 + w) / s**2 + w),
                ((1 + w) / s**2 + w) ** -0.5,
            ),
        },
        name="the pair (mean, standard deviation)",
        read=_map_pair,
    )
    return "For w > 0 the mean lies beyond that of the label's own examples, and the width is less."


# 17.17, the map: what becomes of a rare form on the far side

_MAP_WAYS = ("p_w", "guided")
_MAP_COURSES = ("falls", "rises", "same")
_MAP_REASONS = {
    "p_w": "At the far form p(A|x) is 1 already, as it is at the common one: both are multiplied by the same "
    "number.",
    "guided": "At early t, in much noise, what lies farther out looks more like A, and guidance goes there.",
}


@exercise(
    "17.17",
    "A rare form on the far side",
    hints=(
        "p_w is p(x|A) times p(A|x) to the power w, but for a constant. How large is p(A|x) at -2, and at "
        "-4.5?",
        "Both are nearly 1, so p_w has nothing to choose between the forms. And guided draws: at an early "
        "t all forms are blurred into each other. Which way does the label pull?",
        "Away from B. What lies farthest from B gets more, at every early t.",
    ),
)
def _map_far(answer: Any) -> str:
    given = answer[0] if isinstance(answer, tuple | list) and answer else None
    if isinstance(given, dict) and any(value is ... for value in given.values()):
        raise NotAttempted
    prediction, outcome = predicted("17.17", answer, lambda given: choices(given, _MAP_WAYS, _MAP_COURSES))
    found = tensor(outcome, shape=(2, 2), name="what the experiment returns").double().tolist()
    mistaken = []
    for way, (before, after), right in zip(_MAP_WAYS, found, ("same", "rises"), strict=True):
        change = after - before
        seen = "same" if abs(change) < 0.02 else "rises" if change > 0 else "falls"
        told = f"in {way} the share goes from {before:.0%} to {after:.0%}"
        expect(seen == right, f"{told}, which it cannot as it was given: was the experiment changed?")
        if (said := prediction[way]) != right:
            mistaken.append(f'{told}, and you predicted "{said}". {_MAP_REASONS[way]}')
    if mistaken:
        raise Wrong(" ".join(text[0].upper() + text[1:] for text in mistaken))
    return f"From {found[1][0]:.0%} to {found[1][1]:.0%} in guided draws: the rare form has more than half."


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
    "d": "both numbers are exact and of one model, which says log p(x|y) - log p(x) of its label. That is at "
    "most ln 10 = 2.3 nats for one of ten, so 2 can be.",
    "e": "it is the same model. Guidance makes it keep to what is typical; ask for the recall.",
    "f": "on average over the noise both numbers bound the same bits of the same levels, and the paired "
    "difference is ten times its error. Of the bounds, the second is better.",
    "g": "a Fréchet distance is of samples. A model can make good samples and give held-out images next to "
    "no probability, and the other way round.",
}


_MAP_ASKS = {
    "a": "What can an upper bound of -log p(x) prove, and what not?",
    "b": "Are both numbers about the same data?",
    "c": "Which networks does p(x) depend on, and which does the ELBO?",
    "d": "Are both numbers exact, and of one model? How much can one label of ten be worth?",
    "e": "Did anything learn? Which other measure should have been reported?",
    "f": "Do both numbers bound the same thing, and how large is the difference beside its error?",
    "g": "Which numbers does the distance come from, and are held-out images' probabilities among them?",
}


@exercise(
    "17.18",
    "Fair and unfair",
    hints=(
        "For each sentence: are both numbers about the same data, in the same unit, told the same? Is each "
        "exact or a bound?",
        "An upper bound of -log p(x) can prove that its model is good, never that it is worse. What an "
        "encoder does changes the bound alone.",
    ),
)
def _map_fair(answer: Any) -> str:
    given = choices(answer, _MAP_CLAIMS, _MAP_VERDICTS)
    off = [key for key in _MAP_CLAIMS if given[key] != _MAP_RIGHT[key]]
    if off:
        count = "one of seven is" if len(off) == 1 else f"{len(off)} of seven are"
        raise Wrong(f"{count} not right yet. A question that one of them turns on: {_MAP_ASKS[off[0]]}")
    for key, why in _MAP_WHY.items():
        print(f"{key} is {_MAP_RIGHT[key]}: {why}")
    return "The same data, the same unit, told the same, and each bound called one."
