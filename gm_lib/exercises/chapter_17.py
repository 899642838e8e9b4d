"""Checks of chapter 17, where this leads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    call,
    exercise,
    expect,
    expect_function,
    is_close,
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


def _both_noiseless(lam: Tensor, sigma: Tensor) -> Tensor:
    wide, best = (0.5 * (v.log() + lam / v) for v in (lam, (lam - sigma**2).clamp(min=0)))
    return wide - best


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
