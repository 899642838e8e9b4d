"""Checks of chapter 12, the minimax game."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from gm_lib.exercises.core import (
    Snapshot,
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

# 12.1


def _smoothed(log_p: Tensor, log_q: Tensor, real: float, fake: float) -> Tensor:
    ratio = (log_p - log_q).double()
    return real * ratio.sigmoid() + fake * (-ratio).sigmoid()


@exercise(
    "12.1",
    "A discriminator with smoothed labels",
    hints=(
        "Collect what stands in front of log D, and what stands in front of log(1 - D). The maximum of "
        "A·log D + B·log(1 - D) you know.",
        "A = α·p + β·p_G, and A + B = p + p_G. So D = (α·p + β·p_G) / (p + p_G): a mixture of α and β, with "
        "the weights p / (p + p_G) and p_G / (p + p_G).",
        "s = torch.sigmoid(log_p - log_p_G) is the first weight: alpha * s + beta * (1 - s).",
    ),
)
def _smoothed_labels(answer: Any) -> str:
    log_p = torch.tensor([-1.0, -2.0, 0.5, -3.0, -9.0])
    log_q = torch.tensor([-1.5, -0.5, -2.0, -3.0, 1.0])
    cases = [
        {"log_p": log_p[:3], "log_p_G": log_q[:3], "alpha": 0.9, "beta": 0.2},
        {"log_p": log_p, "log_p_G": log_q, "alpha": 0.8, "beta": 0.3},
        {"log_p": log_q.reshape(1, 5), "log_p_G": log_p.reshape(1, 5), "alpha": 0.7, "beta": 0.0},
        {"log_p": log_p[:1], "log_p_G": log_q[:1], "alpha": 1.0, "beta": 0.35},
        {"log_p": log_q, "log_p_G": log_p, "alpha": 1.0, "beta": 0.0},
    ]
    expect_function(
        answer,
        _smoothed,
        cases,
        name="D",
        mistakes={
            "this is D* for the labels 1 and 0: alpha and beta do not enter.": (
                lambda p, q, a, b: (p - q).sigmoid()
            ),
            "the part of the generated samples in log D is missing: their label is beta, not 0.": (
                lambda p, q, a, b: a * (p - q).sigmoid()
            ),
            "alpha and beta have changed places, or p and p_G: where p_G is far below p, D is alpha.": (
                lambda p, q, a, b: _smoothed(q, p, a, b)
            ),
            "you took alpha and beta for the shares of real and of generated samples. They are labels: a "
            "real sample has the part alpha in log D, and 1 - alpha in log(1 - D).": (
                lambda p, q, a, b: a * p.exp() / (a * p.exp() + b * q.exp())
            ),
            "two parts are missing: a real sample also has 1 - alpha in log(1 - D), a generated one also "
            "beta in log D.": lambda p, q, a, b: a * p.exp() / (a * p.exp() + (1 - b) * q.exp()),
            "alpha is not the share of real samples, which is ½. It is the part of a real sample in log D.": (
                lambda p, q, a, b: (p - q + math.log(a / (1 - a))).sigmoid()
            ),
            "a generated sample has the part beta in log D; 1 - beta is its part in log(1 - D).": (
                lambda p, q, a, b: a * (p - q).sigmoid() + (1 - b) * (q - p).sigmoid()
            ),
            "the denominator is A + B, and both parts of a sample add up to 1: it is p + p_G.": (
                lambda p, q, a, b: (a * p.exp() + b * q.exp()) / (a * p.exp() + (1 - b) * q.exp())
            ),
            "this is the logit of D. A probability is asked for: one function is missing.": (
                lambda p, q, a, b: _smoothed(p, q, a, b).logit()
            ),
            "this is 1 - D, the probability of being generated.": lambda p, q, a, b: (
                1 - _smoothed(p, q, a, b)
            ),
            "this is log D. D itself is asked for.": lambda p, q, a, b: _smoothed(p, q, a, b).log(),
            "beta is a label of its own, not 1 - alpha.": lambda p, q, a, b: _smoothed(p, q, a, 1 - a),
            "where p_G is far below p, D is alpha, and this is alpha + beta: beta goes with p_G alone.": (
                lambda p, q, a, b: b + a * (p - q).sigmoid()
            ),
            "do not limit the log-ratio: where it is -10, D is nearer to beta than where it is -5.": (
                lambda p, q, a, b: _smoothed((p - q).clamp(-5, 5), 0 * q, a, b)
            ),
            "the best D is not cut off at alpha and beta: derive it, with the labels inside.": (
                lambda p, q, a, b: (p - q).sigmoid().clamp(b, a)
            ),
            "you mixed the logarithms. It is the densities that are mixed.": (
                lambda p, q, a, b: (a * p + b * q) / (p + q)
            ),
            "this is A, the sum in front of log D. Divide it by p + p_G.": (
                lambda p, q, a, b: a * p.exp() + b * q.exp()
            ),
            "this is A / B, the odds. D is A / (A + B).": lambda p, q, a, b: _odds(_smoothed(p, q, a, b)),
        },
    )
    far = torch.tensor([[-1000.0, -1.0, -1000.0], [1000.0, 1000.0, -2.0]])
    beside = torch.tensor([[-1000.5, -2.0, -2.0], [998.0, -1000.0, 1000.0]])
    for log_p, log_q in ((far, beside), (beside, far), (far[:, :1], beside[:, :1])):
        found = tensor(call(answer, log_p, log_q, 0.8, 0.1), shape=log_p.shape, name="D", nan=True)
        why = (
            "a small constant, a limit or a shift for all x together does not bring back a ratio that was "
            "rounded away. Take the difference of the two logarithms, at each x by itself."
            if bool(found.isfinite().all())
            else "the exponential of a log-density, or of a difference of two, is rounded to zero or to "
            "infinity there. Take the difference at each x by itself, and give it to a function that has "
            "limits at both ends."
        )
        expect(
            is_close(found, _smoothed(log_p, log_q, 0.8, 0.1)),
            "right where the densities are ordinary numbers, but not where they are e^-1000 or e^1000: "
            + why,
        )
    return (
        "The best D is squeezed between the two labels, beta + (alpha - beta)·p/(p + p_G): its logit is no "
        "longer the log-ratio, and with alpha below 1 no sample gets one above log(alpha / (1 - alpha))."
    )


def _odds(D: Tensor) -> Tensor:
    return D / (1 - D)


# 12.2


def _bound(real: Tensor, fake: Tensor) -> Tensor:
    return (_v(real, fake) + math.log(4)) / 2


def _v(real: Tensor, fake: Tensor) -> Tensor:
    return logsigmoid(real.double()).mean() + logsigmoid(-fake.double()).mean()


def _number_of(result: Any) -> Tensor:
    if isinstance(result, Tensor) and result.numel() > 1:
        raise Wrong("this is one number for each pair of samples. The bound is their mean: one number.")
    return torch.tensor(number(result, "the bound", finite=False), dtype=torch.float64)


@exercise(
    "12.2",
    "A bound on the Jensen–Shannon divergence",
    hints=(
        "The mean over real samples of log D, plus the mean over generated ones of log(1 - D), estimates V. "
        "What has V to do with JS?",
        "V = 2 JS - log 4 for the best discriminator, so JS = (V + log 4) / 2. And log D is "
        "logsigmoid(logit), log(1 - D) is logsigmoid(-logit).",
        "0.5 * (F.logsigmoid(real_logits).mean() + F.logsigmoid(-fake_logits).mean() + math.log(4)).",
    ),
)
def _js_bound(answer: Any) -> str:
    log_2, log_4 = math.log(2), math.log(4)
    expect_function(
        answer,
        _bound,
        [
            {"real_logits": torch.tensor([2.0, -0.5, 1.5]), "fake_logits": torch.tensor([-1.0, 0.4, -2.5])},
            {"real_logits": torch.randn(7), "fake_logits": 0.7 + torch.randn(7)},
            {"real_logits": 1 + torch.randn(40), "fake_logits": -0.5 + 1.5 * torch.randn(40)},
            {"real_logits": torch.tensor([2.5]), "fake_logits": torch.tensor([-0.4])},
        ],
        name="the bound",
        read=_number_of,
        mistakes={
            "this is the value V itself. Solve V = 2 JS - log 4 for JS.": _v,
            "the ½ is missing: V + log 4 is 2 JS.": lambda r, f: _v(r, f) + log_4,
            "log 4 has to be halved too: V = 2 JS - log 4, and JS = (V + log 4) / 2.": (
                lambda r, f: _v(r, f) / 2 + log_4
            ),
            "V has to be halved too: V = 2 JS - log 4, and JS = (V + log 4) / 2.": lambda r, f: (
                _v(r, f) + log_2
            ),
            "the sign of log 4 is wrong: the value of a perfect generator is -log 4, and JS is then 0.": (
                lambda r, f: (_v(r, f) - log_4) / 2
            ),
            "log 4 is missing: with a discriminator that always says ½, V = -log 4, and the bound is 0.": (
                lambda r, f: _v(r, f) / 2
            ),
            "the sign is wrong: this takes the discriminator's loss -V for V.": lambda r, f: (
                (log_4 - _v(r, f)) / 2
            ),
            "the sign is wrong: this is minus the bound.": lambda r, f: -_bound(r, f),
            "half of log 4 is log 2; you took log 2 for log 4.": lambda r, f: (_v(r, f) + log_2) / 2,
            "this is in bits: the bound is asked for in nats.": lambda r, f: _bound(r, f) / log_2,
            "these are logarithms of base 10: the bound is asked for in nats.": (
                lambda r, f: _bound(r, f) / math.log(10)
            ),
            "log 4 is a natural logarithm, 1.386; 2 is the one of base 2.": lambda r, f: (_v(r, f) + 2) / 2,
            "log 4 is a natural logarithm, 1.386; 0.602 is the one of base 10.": lambda r, f: (
                (_v(r, f) + math.log10(4)) / 2
            ),
            "this is the discriminator's loss, -V. Solve V = 2 JS - log 4 for JS.": lambda r, f: -_v(r, f),
            "this is half of the discriminator's loss, -V/2. V = 2 JS - log 4 has to be solved for JS.": (
                lambda r, f: -_v(r, f) / 2
            ),
            "the part of the generated samples is missing, the mean of log(1 - D).": lambda r, f: (
                (logsigmoid(r).mean() + log_4) / 2
            ),
            "the part of the real samples is missing, the mean of log D.": lambda r, f: (
                (logsigmoid(-f).mean() + log_4) / 2
            ),
            "log(1 - D) for the real ones too? The value has log D for them.": lambda r, f: _bound(-r, f),
            "a logit is log(D / (1 - D)), not log D; and minus a logit is not log(1 - D).": (
                lambda r, f: (r.mean() - f.mean() + log_4) / 2
            ),
            "do not take the absolute value: an estimate of a bound may be negative.": (
                lambda r, f: _bound(r, f).abs()
            ),
            "do not cut off below 0: an estimate of a bound may be negative, and its mean over many draws is "
            "the bound only if it is left as it is.": lambda r, f: _bound(r, f).clamp(min=0),
            "log 4 is not 4: the constant is a logarithm.": lambda r, f: (_v(r, f) + 4) / 2,
            "real and generated have changed places.": lambda r, f: _bound(f, r),
            "log D for the generated ones too? The value has log(1 - D) for them.": lambda r, f: _bound(
                r, -f
            ),
            "these are sums over the samples. V is made of two means.": (
                lambda r, f: len(r) * _v(r, f) / 2 + log_2
            ),
            "you divided by all 2n samples. Each of the two means has n.": lambda r, f: _v(r, f) / 4 + log_2,
            "the mean of D is not the mean of log D: take the logarithm of each sample's D first.": (
                lambda r, f: (r.sigmoid().mean().log() + (-f).sigmoid().mean().log() + log_4) / 2
            ),
            "logits are no probabilities: D is their sigmoid.": (
                lambda r, f: (r.log().mean() + (1 - f).log().mean() + log_4) / 2
            ),
            "D without its logarithm: V has log D and log(1 - D).": (
                lambda r, f: (r.sigmoid().mean() + (-f).sigmoid().mean() + log_4) / 2
            ),
        },
    )
    moderate, extreme = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([200.0, 0.5, -200.0])
    for real, fake in ((extreme, moderate), (moderate, extreme), (-extreme, extreme), (extreme, -extreme)):
        found, wanted = _number_of(call(answer, real, fake)), _bound(real, fake)
        which = "real" if fake is moderate else "generated" if real is moderate else "real and generated"
        expect(
            is_close(found, wanted),
            f"right for moderate logits. But with logits of 200 and -200 for {which} samples the bound "
            f"should be {wanted.item():.2f}; yours is {found.item():.4g}. exp(200) is infinite in float32, "
            f"and sigmoid(±200) exactly 0 or 1: the logarithm of such a number is lost, and a small constant "
            f"inside, or a limit, only hides it.",
        )
    return "A classifier's mean log-likelihood, shifted by a constant, is a bound on a distance."


# 12.3


def _varied(D: Tensor, tau: float) -> Tensor:
    return (-(1 - D).double().log() / tau).softmax(0)


_DATA = torch.tensor([0.10, 0.30, 0.20, 0.25, 0.15])  # the chapter's five outcomes


def _corner(index: Tensor, D: Tensor) -> Tensor:
    return torch.eye(len(D), dtype=torch.float64)[index]


@exercise(
    "12.3",
    "A bonus for variety",
    hints=(
        "The q_i add up to 1: bring that in by a multiplier λ, and set the derivative by q_i of "
        "Σ q_i log(1 - D_i) + τ Σ q_i log q_i + λ Σ q_i to zero.",
        "log(1 - D_i) + τ (log q_i + 1) + λ = 0, so log q_i = -log(1 - D_i) / τ + a constant. The constant "
        "makes the q_i add up to 1. Which function does that to a list of logarithms?",
        "torch.softmax(-torch.log(1 - D) / tau, dim=0)",
    ),
)
def _variety(answer: Any) -> str:
    def distribution(result: Any) -> Tensor:
        q = tensor(result, name="q", nan=True)
        expect(
            q.ndim > 0, "this is one number. q is a distribution: a probability for each of the K outcomes."
        )
        if bool(q.isfinite().all()) and len(q):
            expect(
                bool((q > -1e-6).all()), "q has an entry below 0. Is this log q? The exponential is missing."
            )
            expect(
                is_close(q.sum(), 1.0, rtol=1e-3),
                f"the q_i add up to {q.sum().item():.3g}, and should to 1: the constant, which comes from "
                f"the multiplier, is missing.",
            )
        return q

    five = torch.tensor([0.35, 0.60, 0.15, 0.80, 0.45])
    found = distribution(call(answer, five, 0.7))
    for copied in (_DATA, (_DATA.log() - (1 - five).log() / 0.7).softmax(0)):
        expect(
            not is_close(found, copied),
            "q depends on D and tau alone. The data's probabilities do not enter: the generator does not "
            "know them, and for a fixed D their part of V is a constant.",
        )
    expect_function(
        answer,
        _varied,
        [
            {"D": torch.tensor([0.5, 0.1, 0.9, 0.2]), "tau": 0.7},
            {"D": torch.tensor([0.30, 0.55, 0.62, 0.41, 0.20, 0.58]), "tau": 2.0},
            {"D": torch.tensor([0.7, 0.45, 0.7]), "tau": 1.0},
            {"D": torch.tensor([0.25, 0.85]), "tau": 0.2},
            {"D": five, "tau": 0.7},
        ],
        name="q",
        read=distribution,
        mistakes={
            "this prefers outcomes with a small D: the sign in front of log(1 - D) is wrong.": (
                lambda D, t: ((1 - D).log() / t).softmax(0)
            ),
            "the logarithm is missing, this is softmax(D / tau): V has log(1 - D_i) in front of q_i.": (
                lambda D, t: (D / t).softmax(0)
            ),
            "V has log(1 - D_i) in front of q_i; this has log D_i.": lambda D, t: (D.log() / t).softmax(0),
            "V has log(1 - D_i) in front of q_i; this has the logit of D_i.": lambda D, t: (
                D.logit() / t
            ).softmax(0),
            "tau multiplies where it should divide: the larger tau, the more even q.": (
                lambda D, t: (-(1 - D).log() * t).softmax(0)
            ),
            "tau does not enter: this is the answer for tau = 1.": lambda D, t: _varied(D, 1.0),
            "tau enters as it is, not squared.": lambda D, t: _varied(D, t**2),
            "tau enters as it is, not its root.": lambda D, t: _varied(D, t**0.5),
            "the logarithm is the natural one, as in V and in H; this has base 2.": lambda D, t: _varied(
                D, t * math.log(2)
            ),
            "the logarithm is the natural one, as in V and in H; this has base 10.": lambda D, t: _varied(
                D, t * math.log(10)
            ),
            "the logarithm of 1 - D is missing, and this prefers outcomes with a small D.": (
                lambda D, t: ((1 - D) / t).softmax(0)
            ),
            "this is the answer without the bonus: one outcome only. With it, moving a little weight to "
            "another outcome always pays.": lambda D, t: _corner(D.argmax(), D),
            "this puts everything on the outcome with the smallest D. log(1 - D) is smallest where D is "
            "largest.": (lambda D, t: _corner(D.argmin(), D)),
            "this is even whatever the discriminator says: right only for an endless tau.": (
                lambda D, t: torch.full_like(D, 1 / len(D))
            ),
            "the multiplier does not disappear by dividing by the sum of the logarithms: take the "
            "exponential first.": lambda D, t: (1 - D).log() / (1 - D).log().sum(),
        },
    )
    for D in (torch.tensor([0.99, 0.5, 0.98, 0.01, 0.99, 0.7]), torch.tensor([0.01, 0.03, 0.02])):
        found, wanted = tensor(call(answer, D, 0.001), shape=D.shape, nan=True), _varied(D, 0.001)
        expect(
            bool(found.isfinite().all()) and is_close(found.sum(), 1.0),
            "right for ordinary tau, but at 0.001 a power or an exponential leaves the range of the numbers, "
            "and q is no distribution. Take softmax of logarithms, which subtracts the largest first.",
        )
        expect_close(found, wanted, name="q for tau = 0.001")
    return (
        "As tau goes to 0 only the outcomes with the largest D are left; as it grows q becomes even. Against "
        "D = ½ it is even for every tau: the data are no longer an answer, unless they are even too. A bonus "
        "for variety does not know what is real."
    )


# 12.4


@exercise(
    "12.4",
    "How hard a sample pulls",
    hints=(
        "With ℓ the logit, log(1 - D) = -softplus(ℓ) and -log D = softplus(-ℓ). The derivative of softplus "
        "is the sigmoid.",
        "The first is -D. In the second the chain rule gives a minus for -ℓ: -sigmoid(-ℓ), that is -(1 - D).",
        "return -torch.sigmoid(logits), -torch.sigmoid(-logits)",
    ),
)
def _pulls(answer: Any) -> str:
    cases = (
        torch.tensor([-4.0, -1.5, -0.3, 0.7, 2.0]),
        torch.tensor([[0.2, -0.9, 3.0], [1.1, -2.2, 0.0]]),
        torch.tensor([1.7]),
    )
    given = [_two_slopes(call(answer, logits), logits) for logits in cases]
    first, second = (torch.cat([pair[i].flatten() for pair in given]) for i in range(2))
    logits = torch.cat([case.flatten() for case in cases]).double()
    size = torch.cat([torch.full((case.numel(),), float(case.numel())) for case in cases])
    D = logits.sigmoid()
    right = (-D, D - 1)
    if is_close(first, right[1]) and is_close(second, right[0]):
        raise Wrong("both are right, in the other order: first log(1 - D), then -log D.")
    if is_close(first, -right[0]) and is_close(second, -right[1]):
        raise Wrong(
            "both signs are wrong. Both losses fall when the logit rises: the generator wants to pass."
        )
    if is_close(first, -right[1]) and is_close(second, -right[0]):
        raise Wrong(
            "the order is the other way round, and both signs are wrong: both losses fall with the logit."
        )
    expect_close(
        first,
        right[0],
        name="the derivative of log(1 - D)",
        mistakes={
            "the first has the wrong sign: log(1 - D) falls when the logit rises.": D,
            "the first is a derivative by D. By the logit there is one more factor, dD/dℓ = D(1 - D).": (
                -1 / (1 - D)
            ),
            "the first is 1/(1 - D): a derivative by D, and without the minus of 1 - D.": 1 / (1 - D),
            "the first is dD/dℓ = D(1 - D) alone: the derivative of the logarithm is missing.": D * (1 - D),
            "the first is -D(1 - D): the derivative of the logarithm, 1/(1 - D), is missing.": D * (D - 1),
            "the first is the loss itself, not its derivative.": -softplus(logits),
            "the first is -(1 - D). Where the discriminator is sure that a sample is generated, log(1 - D) "
            "is flat.": D - 1,
            "the first is the derivative of the mean. Give one number for each sample, not divided by n.": (
                -D / size
            ),
            "the first takes the logit for D.": -1 / (1 - logits),
        },
    )
    expect_close(
        second,
        right[1],
        name="the derivative of -log D",
        mistakes={
            "the second has the wrong sign: -log D falls when the logit rises.": 1 - D,
            "the second is a derivative by D. By the logit there is one more factor, dD/dℓ = D(1 - D).": -1
            / D,
            "the second is -D again. Where the discriminator is sure that a sample is generated, D = 0, "
            "-log D has to pull hardest.": -D,
            "the second is D(1 - D), the derivative of D alone: that of the logarithm is missing.": D
            * (1 - D),
            "the second is -D(1 - D): the derivative of the logarithm, 1/D, is missing.": D * (D - 1),
            "the second is the loss itself, not its derivative.": softplus(-logits),
            "the second is the derivative of the mean. Give one number for each sample, not divided by n.": (
                (D - 1) / size
            ),
        },
    )
    wide = torch.tensor([[-200.0, 0.3, 200.0], [200.0, -0.5, -200.0]])
    for part, wanted in zip(
        _two_slopes(call(answer, wide), wide), (-wide.sigmoid(), -(-wide).sigmoid()), strict=True
    ):
        why = (
            "to limit the logit, or to add a small constant, moves the answer there"
            if bool(part.isfinite().all())
            else "an exponential overflows there, or a division by D or 1 - D fails, which are 0 or 1 to the "
            "last digit"
        )
        expect(
            is_close(part, wanted, atol=1e-30),  # e^-200 is 0 in float32, and 1e-7 is not
            f"right for moderate logits, but at ±200 it is not: {why}. Simplify until a sigmoid is left.",
        )
    return "One pulls with D, the other with 1 - D."


def _two_slopes(result: Any, logits: Tensor) -> list[Tensor]:
    """Return what exercise 12.4 asks for: two tensors like the logits."""
    if not isinstance(result, tuple | list | Tensor) or len(result) != 2:
        raise Wrong("two tensors are needed: the derivative of log(1 - D), then that of -log D.")
    names = ("the first derivative", "the second derivative")
    return [
        tensor(part, shape=logits.shape, name=name, nan=True).detach().double()
        for part, name in zip(result, names, strict=True)
    ]


# 12.5

_KINDS = {
    "a": "minimax",
    "b": "non-saturating",
    "c": "wrong",
    "d": "non-saturating",
    "e": "minimax",
    "f": "wrong",
}
_WHY = {
    "a": "logsigmoid(-ℓ) is log(1 - D), since 1 - sigmoid(ℓ) = sigmoid(-ℓ).",
    "b": "logsigmoid(ℓ) is log D, and there is a minus in front of it.",
    "c": "softplus(ℓ) is -log(1 - D): it is smallest when D is near 0.",
    "d": "cross-entropy against ones is -log D: the generator asks to be called real.",
    "e": "cross-entropy against zeros is -log(1 - D), and there is a minus in front of it.",
    "f": "softplus(-ℓ) is -log D, and the minus in front turns it round: minimizing it makes D small.",
}


@exercise(
    "12.5",
    "Which loss is it?",
    hints=(
        "Write each line in terms of D: logsigmoid(ℓ) = log D, softplus(-ℓ) = -log D, and "
        "softplus(ℓ) = -log(1 - D).",
        "Then ask what happens when the line is made small: does D(G(z)) go up or down? Down is wrong.",
        "Cross-entropy against ones is -log D, against zeros -log(1 - D). Two are minimax, two are "
        "non-saturating, two are wrong.",
    ),
)
def _which(answer: Any) -> str:
    if isinstance(answer, dict):
        answer = {key: _hyphened(word) for key, word in answer.items()}
    elif isinstance(answer, list | tuple):
        answer = [_hyphened(word) for word in answer]
    words = choices(answer, list(_KINDS), ["minimax", "non-saturating", "wrong"])
    off = [letter for letter in _KINDS if words[letter] != _KINDS[letter]]
    if off == [letter for letter, kind in _KINDS.items() if kind != "wrong"] and not any(
        words[letter] == "wrong" for letter in off
    ):
        raise Wrong('the wrong ones are found, but the two names are exchanged: -log D is "non-saturating".')
    if off:
        first = off[0]
        more = f" ({len(off)} of six are not right yet.)" if len(off) > 1 else ""
        raise Wrong(f'{first} is not "{words[first]}": {_WHY[first]}{more}')
    return "All six. Reading the sign beats finding it out after a night of training."


def _hyphened(word: Any) -> Any:
    """Return "non-saturating" for the same with a blank, with nothing or, as in the library, with "_"."""
    letters = "".join(filter(str.isalpha, word)).casefold() if isinstance(word, str) else ""
    return "non-saturating" if letters == "nonsaturating" else word


# 12.6


@exercise(
    "12.6",
    "One round of the game",
    hints=(
        "Two blocks. In a loop over range(k): the discriminator's loss, zero_grad, backward, step, all with "
        "its own optimizer. After the loop the same for the generator.",
        "The discriminator's loss is softplus(-discriminator(real())) + softplus(discriminator(fake)), its "
        "mean; detach the fake samples. The generator's is softplus(-discriminator(generator(noise()))), "
        "with new noise.",
        "for _ in range(k): fake = generator(noise()).detach(); loss_D = …; learn_D.zero_grad(); "
        "loss_D.backward(); learn_D.step(). Then loss_G with learn_G, and return both.",
    ),
)
def _round(answer: Any) -> str:
    for setting in _SETTINGS:
        found, right = _Game(setting), _Game(setting)
        losses = [(found.play(answer), right.play(_one_round)) for _ in range(2)]
        if not found.ends_like(right):
            _blame(found)
        for given, wanted in losses:
            _expect_losses(given, wanted)
        found.expect_modes()
    return "Each player in turn, each by its own optimizer."


@dataclass(frozen=True)
class _Setting:
    """A game: k, the batch size, the size of the logits, and what the players are like when it begins."""

    k: int
    batch: int
    size: float = 1.0
    adam: bool = False
    planted: bool = False
    training: bool = True


_SETTINGS = (
    _Setting(k=1, batch=16),
    _Setting(k=3, batch=5, planted=True),
    _Setting(k=2, batch=1, adam=True, training=False),
    _Setting(k=2, batch=6, size=60.0),
)


class _Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)


Parts = dict[str, list[Tensor]]  # what the players "D" and "G" have, one tensor for each parameter


@dataclass(eq=False)
class _Step:
    """A step of an optimizer: whose, from which weights, with which gradients in both networks, and which
    gradients there were after the step before; how often real() and noise() had been called in the round."""

    who: str
    weights: Parts
    gradients: Parts
    left: Parts
    drawn: dict[str, int]
    reached: bool


@dataclass(eq=False)
class _Record:
    """What happened in a round."""

    steps: list[_Step] = field(default_factory=list)
    real: list[Tensor] = field(default_factory=list)
    noise: list[Tensor] = field(default_factory=list)


class _Game:
    """Two small networks with their optimizers, and a record of all steps and draws of each round."""

    def __init__(self, setting: _Setting) -> None:
        self.setting = setting
        rng = torch.Generator().manual_seed(0)
        middle = nn.BatchNorm1d(4) if setting.batch > 1 else nn.Tanh()  # batch norm refuses a batch of one
        generator = nn.Sequential(nn.Linear(3, 4), middle, nn.Linear(4, 2))
        self.players: dict[str, nn.Module] = {"D": _Discriminator(), "G": generator}
        with torch.no_grad():
            for weight in self._parameters("D") + self._parameters("G"):
                weight.copy_(torch.randn(weight.shape, generator=rng))
            self._parameters("D")[2].mul_(setting.size)
        self.was = {}
        for who, player in self.players.items():
            player.train(setting.training)
            self.was[who] = Snapshot(player, plant=setting.planted)
            player.register_forward_pre_hook(self._expect_mode(who))
        self.learn = {"D": self._optimizer("D"), "G": self._optimizer("G")}
        self.rounds: list[_Record] = []
        self.left = self._gradients()

    def _parameters(self, who: str) -> list[nn.Parameter]:
        return list(self.players[who].parameters())

    def _optimizer(self, who: str) -> torch.optim.Optimizer:
        # A momentum would hide a forgotten zero_grad in part; plain steps show every mistake.
        weights, lr = self._parameters(who), {"D": 0.3, "G": 0.2}[who] / self.setting.size
        groups: list[dict[str, Any]] = [{"params": weights[:2]}, {"params": weights[2:], "lr": lr / 3}]
        optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(groups, lr=lr) if self.setting.adam else torch.optim.SGD(groups, lr=lr)
        )
        before: Parts = {}

        def remember(*_: Any) -> None:
            before.update(self._weights())

        def record(*_: Any) -> None:
            now = self.rounds[-1]
            drawn = {"real": len(now.real), "noise": len(now.noise)}
            reached = any(w.grad is not None for w in weights)
            now.steps.append(_Step(who, dict(before), self._gradients(), self.left, drawn, reached))
            self.left = self._gradients()

        optimizer.register_step_pre_hook(remember)
        optimizer.register_step_post_hook(record)
        return optimizer

    def _weights(self) -> Parts:
        return {who: [w.detach().clone() for w in self._parameters(who)] for who in self.players}

    def _gradients(self) -> Parts:
        return {
            who: [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in self._parameters(who)]
            for who in self.players
        }

    def _expect_mode(self, who: str) -> Callable[..., None]:
        def look(player: nn.Module, _: Any) -> None:
            self.moved_mode = self.moved_mode or (who if player.training != self.setting.training else "")

        return look

    moved_mode = ""

    def expect_modes(self) -> None:
        for who, was in self.was.items():
            if who == self.moved_mode or "modes" in was.changed():
                raise Wrong(
                    f"your code changes the mode of the {_NAMES[who]}, with train() or eval(). Both networks "
                    f"stay in the mode that they have."
                )

    def play(self, one_round: Callable[..., Any]) -> Any:
        """Play one round; return what it returns."""
        now = _Record()
        self.rounds.append(now)

        def real() -> Tensor:
            now.real.append(
                2 + torch.randn(self.setting.batch, 2, generator=self._rng("real", len(now.real)))
            )
            return now.real[-1].clone()

        def noise() -> Tensor:
            now.noise.append(torch.randn(self.setting.batch, 3, generator=self._rng("noise", len(now.noise))))
            return now.noise[-1].clone()

        players = (*self.players.values(), *self.learn.values())
        losses = call(one_round, *players, real, noise, self.setting.k)
        for who in self.players:
            expect(
                all(w.requires_grad for w in self._parameters(who)),
                f"the {_NAMES[who]} is frozen when the round is over, and can learn nothing in the next one: "
                f"after requires_grad_(False) comes requires_grad_(True).",
            )
        return losses

    def _rng(self, what: str, i: int) -> torch.Generator:
        """Return what the i-th batch of the round is drawn with, whatever was drawn before."""
        return torch.Generator().manual_seed(1000 * len(self.rounds) + 100 * len(what) + i)

    def ends_like(self, other: _Game) -> bool:
        mine, theirs = self._weights(), other._weights()
        return all(_close(mine[who], theirs[who]) for who in self.players)

    def slopes(
        self, step: _Step, loss: Callable[[_Logits], Tensor], real: Tensor | None, noise: Tensor
    ) -> Parts:
        """Return both players' gradients of a loss, at the weights that the step began with."""
        D, G = (copy.deepcopy(self.players[who]) for who in "DG")
        with torch.no_grad():
            for who, player in (("D", D), ("G", G)):
                for weight, was in zip(player.parameters(), step.weights[who], strict=True):
                    weight.copy_(was).requires_grad_()
        logits = _Logits(D(real) if real is not None else None, D(G(noise)))
        weights = {"D": list(D.parameters()), "G": list(G.parameters())}
        found = torch.autograd.grad(loss(logits), weights["D"] + weights["G"])
        return {"D": list(found[: len(weights["D"])]), "G": list(found[len(weights["D"]) :])}


@dataclass
class _Logits:
    real: Any
    fake: Tensor


_NAMES = {"D": "discriminator", "G": "generator"}


def _close(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(is_close(x, y, rtol=1e-4, atol=1e-5, equal_nan=True) for x, y in zip(a, b, strict=True))


def _minus(a: Sequence[Tensor], b: Sequence[Tensor]) -> list[Tensor]:
    return [x - y for x, y in zip(a, b, strict=True)]


def _loss_D(logits: _Logits) -> Tensor:
    return (softplus(-logits.real) + softplus(logits.fake)).mean()


def _loss_G(logits: _Logits) -> Tensor:
    return softplus(-logits.fake).mean()


_ANEW = "it is computed anew after the step. Return the loss that the step was taken on."


def _one_round(D: Any, G: Any, learn_D: Any, learn_G: Any, real: Any, noise: Any, k: int) -> Any:
    """A round as exercise 12.6 asks for it: both losses, each with what mistakes would make of it."""

    def step(learn: Any, loss: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        before = loss()
        learn.zero_grad()
        before.backward()
        learn.step()
        return before.detach(), loss().detach()

    on_D = []
    for _ in range(k):
        x, fake = real(), G(noise()).detach()
        on_D.append(step(learn_D, lambda x=x, fake=fake: _loss_D(_Logits(D(x), D(fake)))))  # type: ignore[misc]
    z = noise()
    loss_G, anew = step(learn_G, lambda: _loss_G(_Logits(None, D(G(z)))))
    loss_D = torch.stack([before for before, _ in on_D])
    mistakes = {
        _ANEW: on_D[-1][1],
        "it is the mean of the k losses. The last one is asked for.": loss_D.mean(),
        "it is the sum of the k losses. The last one is asked for.": loss_D.sum(),
        "it is the first of the k losses. The last one is asked for.": loss_D[0],
    }
    return [(loss_D[-1], mistakes), (loss_G, {_ANEW: anew})]


def _expect_losses(losses: Any, right: Any) -> None:
    if not isinstance(losses, tuple | list) or len(losses) != 2:
        raise Wrong("the players end where they should. Return both losses: (loss_D, loss_G).")
    names = ("the discriminator's loss", "the generator's loss")
    given = [number(loss, name, finite=False) for loss, name in zip(losses, names, strict=True)]
    wanted = [loss.item() for loss, _ in right]
    if is_close(given, wanted[::-1]) and not is_close(given, wanted):
        raise Wrong(
            "the players end where they should; the losses are in the wrong order: the discriminator's first."
        )
    for loss, (should_be, mistakes), name in zip(given, right, names, strict=True):
        start = f"the players end where they should, but {name}"
        for message, mistaken in mistakes.items():
            expect(
                is_close(loss, should_be) or not is_close(loss, mistaken),
                f"{start} is not the one asked for: {message}",
            )
        expect_close(loss, should_be, name=start)


def _blame(game: _Game) -> None:
    """Say what is wrong with a round after which a player is not where it should be."""
    k = game.setting.k
    game.expect_modes()
    for now in game.rounds:
        _expect_order(game, now)
    steps = [(now, step) for now in game.rounds for step in now.steps]
    faults = {who: [_fault(game, now, step) for now, step in steps if step.who == who] for who in "DG"}
    kept = {who: [fault for fault in found if fault in _KEPT[who]] for who, found in faults.items()}
    if all(_KEPT[who][0] in kept[who] for who in "DG"):
        raise Wrong(_NEVER_ZERO)
    for who in "DG":
        for reason in _KEPT[who]:
            expect(reason not in kept[who], reason)
    moderate = game.setting.size == 1
    for who, found in faults.items():
        for fault in filter(None, found):
            if fault != "?":
                raise Wrong(fault)
            expect(
                moderate,
                f"right for moderate logits, but the {_NAMES[who]} does not move as it should where logits "
                f"are near ±100. The gradient of log(D + 1e-8), or of the logarithm of a sigmoid, is lost "
                f"there: use softplus on logits, or logsigmoid.",
            )
            raise Wrong(
                f"with k = {k} the {_NAMES[who]}'s gradient is not what it should be: that of the mean of "
                + _FORMULAS[who]
                + ", and nothing else."
            )
    raise Wrong(
        f"with k = {k} each optimizer steps when it should, with the right gradient, and yet a network does "
        f"not end where it should: something else than its optimizer changes the weights."
    )


_FORMULAS = {
    "D": "softplus(-discriminator(real())) + softplus(discriminator(generator(noise())))",
    "G": "softplus(-discriminator(generator(noise())))",
}
_AT_THE_START = (
    "the {} uses a gradient that was there before the round began. Whatever a round finds has to be set to "
    "zero: call {}.zero_grad() just before the {}'s own backward(), not only after the step."
)
_KEPT = {  # the first reason says that zero_grad is missing altogether
    "D": (
        "the discriminator's gradients accumulate: learn_D.zero_grad() is missing before its backward().",
        "the generator's backward() leaves a gradient in the discriminator too, and the discriminator's next "
        "step uses it. Call learn_D.zero_grad() just before the discriminator's own backward().",
        _AT_THE_START.format("discriminator", "learn_D", "discriminator"),
    ),
    "G": (
        "the generator's gradients accumulate: learn_G.zero_grad() is missing before its backward().",
        "the generator also feels the discriminator's loss: its gradient was never set to zero before its "
        "own backward().",
        _AT_THE_START.format("generator", "learn_G", "generator"),
    ),
}
_NEVER_ZERO = (
    "gradients accumulate in both networks: zero_grad() is missing. Call learn_D.zero_grad() before the "
    "discriminator's backward(), and learn_G.zero_grad() before the generator's."
)


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _steps(n: int) -> str:
    return "one step" if n == 1 else f"{n} steps"


def _expect_order(game: _Game, now: _Record) -> None:
    """Refuse a round in which steps or draws are too many, too few, or in another order."""
    k, order = game.setting.k, "".join(step.who for step in now.steps)
    reals, noises, n_D, n_G = len(now.real), len(now.noise), order.count("D"), order.count("G")
    if not reals or not noises:
        raise Wrong("a round needs real samples and noise: call real() and noise().")
    expect(
        order,
        "no optimizer takes a step: learn_D.step() belongs after the discriminator's backward(), "
        "learn_G.step() after the generator's.",
    )
    if order[0] == "G" and now.steps[0].drawn["real"]:
        wanted = game.slopes(now.steps[0], _loss_D, now.real[0], now.noise[0])["D"]
        found = now.steps[0].gradients["D"]
        if _close(found, wanted) or _close(_minus(found, now.steps[0].left["D"]), wanted):
            raise Wrong(
                "the wrong player steps: after the backward() of the discriminator's loss you call "
                "learn_G.step(). learn_D.step() belongs there, and learn_G.step() after the generator's own."
            )
    expect(n_D, "learn_D.step() is never called: the discriminator moves by its optimizer.")
    expect(n_G, "learn_G.step() is never called: the generator moves by its optimizer.")
    if n_G == k + 1:
        raise Wrong(
            "the generator moves in the discriminator's steps too. Only learn_D.step() belongs there, and "
            "learn_G.step() only after the generator's own backward()."
        )
    if n_G == k > 1:
        raise Wrong("the generator takes k steps too. It takes one.")
    expect(n_G == 1, f"with k = {k} learn_G.step() is called {_times(n_G)}. The generator takes one step.")
    expect(order[0] == "D", "the generator moved first. The discriminator's k steps come first.")
    expect(
        n_D == k or order[-1] == "G",
        "the discriminator moves in the generator's step too, and helps it. Only learn_G.step() belongs "
        "there.",
    )
    if n_D == 1 < k:
        raise Wrong("the discriminator takes one step, whatever k is.")
    expect(n_D == k, f"with k = {k} learn_D.step() is called {_times(n_D)}.")
    expect(order[-1] == "G", "the generator's step comes last, after all k of the discriminator.")
    if reals == 1 < k:
        raise Wrong(
            "real() is called once in a round. Each step of the discriminator takes a new batch: call it in "
            "each."
        )
    expect(
        reals != k + 1 or noises != k + 1,
        "real() is called once more than the discriminator steps. The generator's step needs no real "
        "samples: its loss is -log D(G(z)) alone.",
    )
    expect(
        reals == k,
        f"with k = {k} real() was called {_times(reals)}: each step of the discriminator needs one new "
        "batch.",
    )
    expect(
        noises == k + 1,
        f"with k = {k} noise() was called {_times(noises)}; {_steps(k)} of the discriminator and "
        f"one of the generator need {k + 1} batches of it.",
    )


def _fault(game: _Game, now: _Record, step: _Step) -> str:
    """Return what is wrong with a step's gradient: a sentence, "" for nothing, "?" for what is not known."""
    who = step.who
    turn = [s for s in now.steps if s.who == who].index(step)
    real = now.real[turn] if who == "D" else None
    noise = now.noise[turn] if who == "D" else now.noise[-1]
    found, left = step.gradients[who], step.left[who]
    loss = _loss_D if who == "D" else _loss_G
    wanted = game.slopes(step, loss, real, noise)[who]
    if _close(found, wanted):
        return ""
    if not step.reached:
        return _NO_GRADIENT[who]
    fresh = _minus(found, left)
    if _close(fresh, wanted):
        return _whose(game, now, step)
    for message, mistaken in _MISTAKEN[who] if game.setting.size == 1 else ():  # else the reason may be false
        slopes = game.slopes(step, mistaken, real, noise)[who]
        if _close(found, slopes) or _close(fresh, slopes):
            return message
    if who == "D":
        for earlier in now.noise[:turn]:
            slopes = game.slopes(step, _loss_D, real, earlier)["D"]
            if _close(found, slopes) or _close(fresh, slopes):
                return (
                    "the discriminator sees generated samples that it has already seen: each step takes new "
                    "noise."
                )
    if who == "G":
        for earlier in now.noise[:-1]:
            slopes = game.slopes(step, _loss_G, None, earlier)["G"]
            if _close(found, slopes) or _close(fresh, slopes):
                return (
                    "the generator learns from noise that the discriminator has already seen. Its step takes "
                    "the new batch."
                )
    return "?"


def _whose(game: _Game, now: _Record, step: _Step) -> str:
    """Return which gradient a step used besides its own."""
    own, others, at_the_start = _KEPT[step.who]
    steps = [s for r in game.rounds for s in r.steps]
    i = steps.index(step)
    if i == 0:
        return at_the_start if game.setting.planted else "?"
    last = steps[i - 1]
    if last.who == step.who:
        return own
    if step.who == "D":  # the other player's backward filled it: was it empty before?
        noise = game.rounds[game.rounds.index(now) - 1].noise[-1]
        passed = game.slopes(last, _loss_G, None, noise)["D"]
        return others if _close(step.left["D"], passed) else own
    turns = [s for s in now.steps if s.who == "D"]
    passed = [torch.zeros_like(w) for w in step.left["G"]]
    for turn, real, noise in zip(turns, now.real, now.noise, strict=False):
        slopes = game.slopes(turn, _loss_D, real, noise)["G"]
        passed = [a + b for a, b in zip(passed, slopes, strict=True)]
    if _close(step.left["G"], passed):
        return others
    return at_the_start if game.setting.planted and now is game.rounds[0] else own


_NO_GRADIENT = {
    "D": "the discriminator does not move: when learn_D.step() is called it has no gradient. Is backward() "
    "missing, or does zero_grad() stand between backward() and step()?",
    "G": "the generator does not move: when learn_G.step() is called it has no gradient. In its own step "
    "nothing is detached, since the gradient comes to it through the discriminator; and zero_grad() stands "
    "before backward().",
}
_LOGITS = (
    "the {}'s loss takes logits for probabilities: discriminator(x) is a logit, and D(x) its sigmoid. -log D "
    "is softplus(-logit), -log(1 - D) is softplus(logit)."
)
_TWICE = "the {}'s loss takes a sigmoid twice: softplus(-logit) is -log D already."
_CONSTANT = (
    "the {}'s loss has a small constant in its logarithm, as in log(D + 1e-8): it changes the gradient. Use "
    "softplus on logits."
)
_SUMMED = "the losses are summed over the batch. Take means, or the step size depends on the batch size."

Mistakes = list[tuple[str, Callable[[_Logits], Tensor]]]


def _with_constant(name: str, loss: Callable[..., Tensor]) -> Mistakes:
    """Return a loss of log(D + constant), log(1 - D + constant) with constants large enough to be seen."""
    sizes = (1e-2, 1e-3, 1e-4, 1e-5)
    return [(_CONSTANT.format(name), functools.partial(loss, constant=size)) for size in sizes]


def _minus_log(logits: Tensor, constant: float) -> Tensor:
    return -(logits.sigmoid() + constant).log()


_MISTAKEN: dict[str, Mistakes] = {
    "D": [
        (
            "the discriminator's labels are exchanged: it learns to call generated samples real.",
            lambda t: (softplus(t.real) + softplus(-t.fake)).mean(),
        ),
        (
            "the discriminator's loss has the wrong sign: it minimizes V, and should maximize it.",
            lambda t: -_loss_D(t),
        ),
        (
            "the discriminator's loss is halved. Sum the means over real and over generated samples.",
            lambda t: _loss_D(t) / 2,
        ),
        (_SUMMED, lambda t: (softplus(-t.real) + softplus(t.fake)).sum()),
        (
            "the discriminator's loss has no part for generated samples, -log(1 - D(G(z))).",
            lambda t: softplus(-t.real).mean() + 0 * t.fake.sum(),
        ),
        (
            "the discriminator's loss has no part for real samples, -log D(x).",
            lambda t: softplus(t.fake).mean() + 0 * t.real.sum(),
        ),
        (
            "the discriminator learns to call generated samples real too: their part is -log(1 - D), not "
            "-log D.",
            lambda t: (softplus(-t.real) + softplus(-t.fake)).mean(),
        ),
        (
            "the discriminator's loss has +log D for generated samples. Their part is -log(1 - D).",
            lambda t: (softplus(-t.real) - softplus(-t.fake)).mean(),
        ),
        (_LOGITS.format("discriminator"), lambda t: -(t.real.log() + (1 - t.fake).log()).mean()),
        (
            _TWICE.format("discriminator"),
            lambda t: (softplus(-t.real.sigmoid()) + softplus(t.fake.sigmoid())).mean(),
        ),
        (
            "the discriminator's loss is a difference of mean logits. Each logit has its softplus.",
            lambda t: (t.fake - t.real).mean(),
        ),
        *_with_constant(
            "discriminator",
            lambda t, constant: (_minus_log(t.real, constant) + _minus_log(-t.fake, constant)).mean(),
        ),
    ],
    "G": [
        (
            "this generator minimizes log(1 - D). The task asks for -log D, softplus(-logits).",
            lambda t: -softplus(t.fake).mean(),
        ),
        (
            "this generator learns to be caught: softplus(logits) is -log(1 - D). It wants "
            "softplus(-logits).",
            lambda t: softplus(t.fake).mean(),
        ),
        ("this generator maximizes -log D: the sign is wrong.", lambda t: -_loss_G(t)),
        (_SUMMED, lambda t: softplus(-t.fake).sum()),
        ("the generator's loss is halved.", lambda t: _loss_G(t) / 2),
        (_LOGITS.format("generator"), lambda t: -t.fake.log().mean()),
        (_LOGITS.format("generator"), lambda t: (1 - t.fake).log().mean()),
        (_TWICE.format("generator"), lambda t: softplus(-t.fake.sigmoid()).mean()),
        (
            "the generator's loss is minus the mean logit. Each logit has its softplus.",
            lambda t: -t.fake.mean(),
        ),
        *_with_constant("generator", lambda t, constant: _minus_log(t.fake, constant).mean()),
    ],
}


# 12.7

_WAYS = {
    "momentum 0.5": "outwards",
    "momentum -0.5": "inwards",
    "five steps of y": "round",
    "look ahead": "inwards",
}
_COUNTER = {
    "momentum 0.5": "momentum speeds a descent, where gradients agree from step to step. In a rotation the "
    "last step is a tangent to where the players have just been, and seen from where they are it points "
    "outwards.",
    "momentum -0.5": "taking back half of the last step looks like a waste. But in a rotation the last step "
    "points outwards, and minus half of it inwards.",
    "five steps of y": "for x fixed, y's five steps are one of five times the size. The path in turns is "
    "closed for unequal steps too, as long as they are small: more steps of one player do not stop a "
    "rotation.",
    "look ahead": "a step with the gradient that the players would find after a step is turned a little "
    "inwards: what the step at once loses to the rotation is won back.",
}


@exercise(
    "12.7",
    "What stops the rotation",
    hints=(
        "Without momentum the players go round for ever. With momentum a step is the sum of all gradients so "
        "far, each counted by how old it is: which way do the older ones point, seen from here?",
        "Five steps of y with the same x: y + η·x + η·x + … = y + 5η·x. In turns, with unequal step sizes, "
        "is there still a closed curve? And look ahead: x - η(y + ηx) = (1 - η²)x - ηy.",
        "One goes outwards, one round, two inwards.",
    ),
)
def _rotation(answer: Any) -> str:
    names = ("inwards", "round", "outwards")
    prediction, outcome = predicted("12.7", answer, lambda given: choices(given, list(_WAYS), names))
    found = _ends(outcome)
    for way, x in found.items():
        expect(
            is_close(x, _far(way), rtol=1e-3),
            f'the experiment gives {x:.3g} for "{way}": was it changed? As given it ends at {_far(way):.3g}.',
        )
    off = [way for way in _WAYS if prediction[way] != _WAYS[way]]
    if off:
        way = off[0]
        more = f" ({len(off)} of four are not right yet.)" if len(off) > 1 else ""
        raise Wrong(f'"{way}" goes {_WAYS[way]}, to {found[way]:.3g}: {_COUNTER[way]}{more}')
    return (
        "What speeds a descent can drive a game apart. The game with eight modes is played with Adam's "
        "β₁ = 0."
    )


def _ends(outcome: Any) -> dict[str, float]:
    if not isinstance(outcome, dict) or set(outcome) != set(_WAYS):
        raise Wrong("the experiment does not return its four numbers: was it changed?")
    return {way: number(outcome[way], f'the experiment\'s number for "{way}"', finite=False) for way in _WAYS}


def _far(way: str, eta: float = 0.2, rounds: int = 400) -> float:
    """Return the largest |x| of the last fifty rounds of a way of playing x·y from (1, 0)."""
    momentum = {"momentum 0.5": 0.5, "momentum -0.5": -0.5}.get(way, 0.0)
    x, y, by_x, by_y, seen = 1.0, 0.0, 0.0, 0.0, []
    for _ in range(rounds):
        if way == "look ahead":
            x, y = x - eta * (y + eta * x), y + eta * (x - eta * y)
        else:
            by_x = momentum * by_x - eta * y
            x += by_x
            for _ in range(5 if way == "five steps of y" else 1):
                by_y = momentum * by_y + eta * x
                y += by_y
        seen.append(abs(x))
    return max(seen[-50:])
