"""Checks of chapter 4, Monte Carlo and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import StudentT

from gm_lib.distributions.monte_carlo import effective_sample_size, log_mean_exp
from gm_lib.exercises.core import (
    Wrong,
    call,
    describe,
    exercise,
    expect,
    expect_close,
    expect_function,
    number,
    predicted,
    tensor,
)


def _expect_one_of(
    answer: Any,
    rights: Sequence[Callable[..., Any]],
    cases: Sequence[Mapping[str, Any]],
    **kwargs: Any,
) -> Callable[..., Any]:
    """As ``expect_function``, for an answer that may do one of several things in all cases; return which."""
    try:
        expect_function(answer, rights[0], cases, **kwargs)
        return rights[0]
    except Wrong:
        for right in rights[1:]:
            try:
                expect_function(answer, right, cases, **(kwargs | {"mistakes": None, "unchanged": None}))
                return right
            except Wrong:
                continue
        raise


# 4.1


def _rounded_up(number_of: Callable[[Tensor, float], float]) -> Callable[[Tensor, float], float]:
    return lambda costs, target: math.ceil(number_of(costs, target))


@exercise(
    "4.1",
    "How many draws",
    hints=(
        "The standard error is the standard deviation of one cost over √n. Which of the two does the pilot "
        "tell you?",
        "Solve sd / √n = target for n.",
        "n = (sd / target)², rounded up, with sd = costs.std().",
    ),
)
def _draws_needed(answer: Any) -> str:
    def sd(costs: Tensor) -> float:
        return costs.double().std().item()

    def exact(costs: Tensor, target: float) -> float:
        return (sd(costs) / target) ** 2

    def by_n(costs: Tensor, target: float) -> float:
        return costs.double().var(correction=0).item() / target**2

    cases = [
        {"costs": torch.tensor([2.0, 5.0, 3.0, 9.0, 1.0, 4.0, 4.0, 8.0]), "target": 0.08},
        {"costs": torch.tensor([2.0, 5.0, 3.0, 9.0, 1.0, 4.0, 4.0, 8.0]), "target": 0.55},
        {"costs": torch.tensor([-310.0, 250.0, 40.0, 90.0, 0.0]), "target": 9.0},
        {"costs": torch.tensor([0.31, 0.25, 0.33]), "target": 0.012},
    ]
    rounded: dict[str, Callable[[Tensor, float], float]] = {
        "the standard error falls with √n, not with n: square the ratio.": lambda c, t: sd(c) / t,
        "this is the variance over the target. Solve sd/√n = target for n: both are squared.": lambda c, t: (
            sd(c) ** 2 / t
        ),
        "this is sd over target². Solve sd/√n = target for n: both are squared.": lambda c, t: sd(c) / t**2,
        "you put the pilot's standard error where the standard deviation of one cost belongs.": lambda c, t: (
            exact(c, t) / len(c)
        ),
        "you counted the variance twice: costs.var() is the square already.": lambda c, t: (
            (sd(c) ** 2 / t) ** 2
        ),
        "this is turned round: sd belongs above, and target below.": lambda c, t: 1 / exact(c, t),
        "the mean of the squares is not the variance: take the deviations from the mean.": lambda c, t: (
            c.double().square().mean().item() / t**2
        ),
        "a standard error is asked for, and you took an interval of 1.96 of them.": lambda c, t: (
            1.96**2 * exact(c, t)
        ),
        "a standard error is asked for, and you took an interval of two of them.": lambda c, t: (
            4 * exact(c, t)
        ),
        "you multiplied by the number of draws of the pilot, which has no say in it.": lambda c, t: (
            exact(c, t) * len(c)
        ),
        "this is the pilot's standard error over the target. Solve sd/√n = target for n.": lambda c, t: (
            sd(c) / math.sqrt(len(c)) / t
        ),
        "a standard error is asked for, and you took an interval whose whole length is one.": lambda c, t: (
            exact(c, t) / 4
        ),
        "the mean of the costs tells nothing of their spread: the standard deviation is needed.": (
            lambda c, t: abs(c.double().mean().item()) / t**2
        ),
    }
    mistakes: dict[str, Callable[[Tensor, float], float]] = {}
    for message, mistake in rounded.items():
        mistakes[message] = _rounded_up(mistake)
        mistakes[message + " (And round up.)"] = mistake
    mistakes |= {
        "these are the draws that are still missing. The task asks for how many in all.": lambda c, t: (
            math.ceil(exact(c, t)) - len(c)
        ),
        "these are the draws that are still missing. How many are needed in all?": lambda c, t: (
            math.ceil(by_n(c, t)) - len(c)
        ),
        "these are the draws of the pilot on top of those that are needed. It counts among them.": (
            lambda c, t: math.ceil(exact(c, t)) + len(c)
        ),
        "rounded down, the error is a little larger than the target. Round up.": lambda c, t: math.floor(
            exact(c, t)
        ),
        "rounded down, the error is larger than the target. Round up.": lambda c, t: math.floor(by_n(c, t)),
        "rounded to the nearest number, the error is sometimes larger than the target. Round up.": (
            lambda c, t: round(exact(c, t))
        ),
        "half a draw cannot be made: round up to a whole number.": exact,
        "half a draw cannot be made: round up, to a whole number.": by_n,
    }
    _expect_one_of(
        answer,
        [lambda c, t: math.ceil(exact(c, t)), lambda c, t: math.ceil(by_n(c, t))],
        cases,
        name=lambda costs, target: f"the number of draws for target = {target:g}",
        read=lambda result: number(result, "the number of draws"),
        mistakes=mistakes,
        rtol=1e-6,
        atol=1e-3,
    )
    return "Half the error takes four times the draws."


# 4.2


@exercise(
    "4.2",
    "How often the interval is right",
    hints=(
        "On average one draw of the thousand has the cost 1. How often is it none at all?",
        "If none has it, the mean is 0 and so is the standard error. Does that interval contain 0.001?",
        "None has it with the probability (1 - 1/1000)^1000, nearly 1/e = 0.37. With one or more, up "
        "to five, the interval contains the truth.",
    ),
)
def _share_covered(answer: Any) -> str:
    def read(value: Any) -> float:
        share = number(value, "the prediction")
        expect(0 <= share <= 1, f"the prediction should be a share between 0 and 1, and is {share:g}.")
        return share

    share, outcome = predicted("4.2", answer, read)
    outcome = number(outcome, "what the experiment returns")
    expect(
        abs(outcome - 0.632) < 0.03,  # 1 - 1/e, four standard errors
        f"the experiment gives {outcome:.3f}, which as the chapter has it it cannot: was it changed?",
    )
    found = f"the interval contains the truth in {outcome:.3f} of the runs,"
    expect(
        share < outcome + 0.05,
        f"{found} fewer than you predict. In more than a third of them no draw has the cost 1: mean and "
        "standard error are 0, and the interval is a point. The 95 % hold for a normally distributed "
        "mean.",
    )
    expect(
        share > outcome - 0.05,
        f"{found} more than you predict. One cost of 1 in the thousand gives 0.001 ± 0.001, and that "
        "interval is right.",
    )
    return (
        "Where nothing was hit, the runs are surest of all. Before you trust an interval, ask how many draws "
        "carry the mean."
    )


# 4.3


@exercise(
    "4.3",
    "The true effective share of a normal proposal",
    hints=(
        "Write p²/q as one exponential. Its exponent is -a z²/2: what is a?",
        "a = 2 - 1/σ². If a is not positive, the integral is infinite. Else put it into the reminder.",
        "E[w²] = σ/√(2π) · √(2π/a) = σ/√(2 - 1/σ²). The share is 1 over that, √(2σ² - 1)/σ², and 0 if "
        "2σ² ≤ 1.",
    ),
)
def _effective_share(answer: Any) -> str:
    def right(s: float) -> float:
        return math.sqrt(2 * s**2 - 1) / s**2

    expect_function(
        answer,
        right,
        [{"sigma": s} for s in (1.6, 3.0, 50.0, 1.0, 0.9, 0.75, 0.708)],
        name="the share",
        read=lambda result: number(result, "the share"),
        mistakes={
            "this is E[w²]. The share is 1 over it.": lambda s: s**2 / math.sqrt(2 * s**2 - 1),
            "this is the square of the share. Is the root of a lost?": lambda s: (2 * s**2 - 1) / s**4,
            "the root of 2π/a is forgotten, or taken of the wrong thing: ∫exp(-az²/2)dz = √(2π/a).": (
                lambda s: (2 - 1 / s**2) / s
            ),
            "the factor σ of the weights is missing: w = σ·exp(…), and q has 1/σ in front.": lambda s: (
                math.sqrt(2 - 1 / s**2)
            ),
            "w has the factor σ, w² has σ², and q has 1/σ: together σ, not σ².": lambda s: (
                math.sqrt(2 - 1 / s**2) / s**2
            ),
            "σ and 1/σ are exchanged: the proposal has the width σ, the target 1.": lambda s: (
                math.sqrt(max(0.0, 2 / s**2 - 1)) * s**2
            ),
            "this is 1/E[w²] for draws of the target. They come from the proposal: E_q[w²] = ∫p²/q dz.": (
                lambda s: math.sqrt(max(0.0, 3 - 2 / s**2)) / s**2
            ),
            "σ is the standard deviation of the proposal, and you took it for the variance.": lambda s: (
                math.sqrt(max(0.0, 2 * s - 1)) / s
            ),
        }
        | {
            f"the share is 0 only where the integral is infinite (2 - 1/σ² ≤ 0). At σ = {s} it is not.": (
                lambda sigma, s=s: right(sigma) if sigma > s else 0.0
            )
            for s in (0.708, 0.75, 0.9, 1.0)
        },
    )
    for s in (0.02, 0.3, 0.5, 0.7, 0.706):
        share = call(answer, s)
        narrow = f"at σ = {s} the integral of p²/q is infinite (2 - 1/σ² is negative), and the share is 0"
        root = f"{narrow}. Your formula takes the root of a negative number there."
        expect(not isinstance(share, complex), root)
        value = number(share, "the share", finite=False)
        expect(not math.isnan(value), root)
        expect(abs(value) < 1e-9, f"{narrow}; yours is {value:.3g}.")
    return "A narrower proposal than that has no finite variance, however many draws you make."


# 4.4


@exercise(
    "4.4",
    "A proposal for one cost",
    hints=(
        "The best proposal is proportional to |f| p, here to z² times the density of the t. How fast does "
        "that fall for large |z|, and where is it largest?",
        "z²·|z|⁻⁴ = |z|⁻²: heavier tails than those of the target itself. Which distribution of this chapter "
        "falls like that?",
        "A Cauchy distribution around 0. It has one more number, its width: z² times the density is largest "
        "at ±√3, so take a few units, for example 3.",
    ),
)
def _proposal(answer: Any) -> str:
    limit = 1.5
    expect(not isinstance(answer, type), f"{describe(answer)} needs its parameters, such as a width.")
    expect(
        callable(getattr(answer, "log_prob", None)) and callable(getattr(answer, "sample", None)),
        f"a distribution with the methods sample and log_prob is needed, and this is {describe(answer)}.",
    )
    near = torch.linspace(0, 50, 100_001, dtype=torch.float64)
    far = torch.logspace(math.log10(50), 12, 50_001, dtype=torch.float64)
    z = torch.cat([near, far[1:]])
    z = torch.cat([-z.flip(0), z[1:]])
    try:
        log_q = tensor(call(answer.log_prob, z), name="log_prob(z)").detach().double().flatten()
    except Wrong as wrong:
        if "support" not in str(wrong):
            raise
        raise Wrong(
            "the proposal has no density for some z. It has to come everywhere where cost times density is "
            "not zero."
        ) from wrong
    expect(log_q.shape == z.shape, "the proposal should be a distribution on the line.")
    mass = torch.trapezoid(log_q.exp(), z).item()
    for density, told in (
        (log_q, "log_prob returns the density itself. Its logarithm is needed."),
        (10**log_q, "log_prob returns the logarithm to base 10. The natural one is needed."),
    ):
        expect(abs(mass - 1) < 0.02 or abs(torch.trapezoid(density, z) - 1) > 0.02, told)
    expect(
        abs(mass - 1) < 0.02,
        f"the density of the proposal integrates to {mass:.3g}, not to 1: is it normalized?",
    )
    never = z[torch.isneginf(log_q) & (z != 0)].abs()  # at 0 nothing is lost: the cost is 0
    expect(
        not len(never),
        f"the proposal has no density for some z, such as {never.min() if len(never) else 0:.3g}. It has to "
        "come everywhere where cost times density is not zero.",
    )
    values = torch.where(z == 0, 0.0, (4 * z.abs().log() + 2 * StudentT(3.0).log_prob(z) - log_q).exp() / 9)
    beyond = z.abs() > 1e6
    ratio = torch.trapezoid(values, z).item()
    share_beyond = torch.trapezoid(torch.where(beyond, values, 0.0), z).item() / ratio
    if not math.isfinite(ratio) or share_beyond > 0.05:
        raise Wrong(
            "E[(wf)²] is infinite, or nearly so: the proposal's tails are too light for this cost. What a "
            "run reports may look fine all the same. f²p² falls like |z|⁻⁴; how slowly has q to fall?"
        )
    expect(
        ratio <= limit,
        f"E[(wf)²]/μ² is {ratio:.3g}, more than {limit:g}. The tails are heavy enough; does the proposal "
        "come often enough where z² times the density is large?",
    )
    n = 100_000
    draws = tensor(call(answer.sample, (n,)), name="the draws").detach().double().flatten()
    expect(len(draws) == n, f"sample(({n},)) should make {n} draws, and makes {len(draws)}.")
    below = torch.cumulative_trapezoid(log_q.exp(), z) / mass
    for at in (-300.0, -100.0, -30.0, -10.0, -3.0, -1.0, 0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0):
        wanted = below[int(torch.searchsorted(z, at)) - 1].item()
        share = (draws < at).double().mean().item()
        expect(
            abs(share - wanted) < 6 * math.sqrt(wanted * (1 - wanted) / n) + 2e-4,
            f"of its own draws {share:.4f} lie below {at:g}, and by its density it should be {wanted:.4f}: "
            "sample does not draw from the density that log_prob tells.",
        )
    return (
        f"E[(wf)²]/μ² is {ratio:.3f}, so a thousand draws have a true standard error of "
        f"{100 * math.sqrt(max(ratio - 1, 0) / 1000):.1f} % of μ. The target itself would be a proposal of "
        "infinite variance."
    )


# 4.5


def _scaled_by(take_out: Callable[[Tensor], Tensor], correction: int = 0) -> Callable[[Tensor], Tensor]:
    """Return the function of exercise 4.5 as it is with another number taken out of the logarithms."""

    def corrected(log_w: Tensor) -> Tensor:
        largest = take_out(log_w)
        w = (log_w - largest).exp()
        k, mean = len(w), w.mean(0)
        return largest + mean.log() + w.var(0, correction=correction) / mean**2 / (2 * k)

    return corrected


@exercise(
    "4.5",
    "A less biased logarithm",
    hints=(
        "Var(w)/Z² = E[w²]/E[w]² - 1. Estimate both expectations by means over the k weights.",
        "The mean of w² over the square of the mean of w is k·Σw²/(Σw)² = k/ESS.",
        "log-mean-exp, plus (k/ESS - 1)/(2k). The ESS is exp(2·logsumexp(log_w) - logsumexp(2·log_w)).",
    ),
)
def _less_biased(answer: Any) -> str:
    def plus(correction: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
        return lambda log_w: log_mean_exp(log_w) + correction(log_w)

    def bias(log_w: Tensor) -> Tensor:
        return (1 / effective_sample_size(log_w) - 1 / len(log_w)) / 2

    def var(log_w: Tensor, correction: int = 0) -> Tensor:
        return log_w.exp().var(0, correction=correction) / (2 * len(log_w))

    rights = [_scaled_by(lambda a: a.amax(0)), _scaled_by(lambda a: a.amax(0), 1)]
    right = _expect_one_of(
        answer,
        rights,
        [
            {"log_w": torch.randn(6, 3, dtype=torch.float64)},
            {"log_w": 2 * torch.randn(3, 5, dtype=torch.float64) - 3},
            {"log_w": torch.randn(8, 1, dtype=torch.float64) + 1},
        ],
        name="the result",
        mistakes={
            "this is the log of the mean weight: the correction is missing.": log_mean_exp,
            "this is the correction alone: add it to the log of the mean weight.": bias,
            "E[w²]/E[w]² is k/ESS, not 1/ESS: both expectations are means over the k weights.": plus(
                lambda a: (1 / effective_sample_size(a) - 1) / (2 * len(a))
            ),
            "E[w²]/E[w]² is k/ESS, not ESS/k.": plus(
                lambda a: (effective_sample_size(a) / len(a) - 1) / (2 * len(a))
            ),
            "E[w²]/E[w]² is k/ESS, not the ESS itself.": plus(
                lambda a: (effective_sample_size(a) - 1) / (2 * len(a))
            ),
            "you subtract the correction. log Ẑ is too low: add it.": plus(lambda a: -bias(a)),
            "twice too much: the bias has a factor ½.": plus(lambda a: 2 * bias(a)),
            "the bias shrinks with k: divide by k too.": plus(lambda a: len(a) * bias(a)),
            "divide by k once only: k/ESS is a ratio of means already.": plus(lambda a: bias(a) / len(a)),
            "Var(w) = E[w²] - E[w]²: the 1 that belongs to E[w]² is missing.": plus(
                lambda a: 1 / (2 * effective_sample_size(a))
            ),
            "Var(w) has to be divided by Z², the square of the mean weight; else it has units.": plus(var),
            "Var(w) has to be divided by Z², the square of the mean weight.": plus(lambda a: var(a, 1)),
            "divide the variance by Z², not by Z.": plus(lambda a: var(a) / a.exp().mean(0)),
            "divide the variance by Z², and not by Z.": plus(lambda a: var(a, 1) / a.exp().mean(0)),
            "this is the variance of the log-weights. The weights' own, relative to their mean, is needed.": (
                plus(lambda a: a.var(0, correction=0) / (2 * len(a)))
            ),
            "this is the variance of the log-weights. The weights' own is needed.": plus(
                lambda a: a.var(0) / (2 * len(a))
            ),
            "take off log k, for the k draws, and not log n, for the images.": lambda a: (
                a.logsumexp(0) - math.log(a.shape[1]) + bias(a)
            ),
            "log k is missing: the mean of the weights, not their sum.": lambda a: a.logsumexp(0) + bias(a),
            "you sum over the images. The draws are the first dimension, k: sum over that.": lambda a: rights[
                0
            ](a.T),
            "this is one number for all images. The mean runs over the draws, the first dimension.": (
                lambda a: rights[0](a.flatten())
            ),
            "this is the mean over the images: one number for each is asked for.": lambda a: rights[0](
                a
            ).mean(),
            "the mean of the logarithms is not the logarithm of the mean.": lambda a: a.mean(0) + bias(a),
            "this is an estimate of Z, not of its logarithm.": lambda a: rights[0](a).exp(),
        },
    )
    ordinary = torch.randn(4, 3, dtype=torch.float64)
    for shift in (-2000.0, 2000.0):
        _expect_stable(
            answer,
            right,
            ordinary + shift,
            f"near log w = {shift:g}",
            "exp(log_w) is out of range there. The ratio Var(w)/Z² does not change when all weights get a "
            "common factor: take the largest out first.",
        )
    _expect_stable(
        answer,
        right,
        ordinary + torch.tensor([-2000.0, 0.0, 2000.0]),
        "with images whose log-weights lie near -2000, 0 and 2000",
        "what you take out of the logarithms suits one image only. Take the largest of each column out of "
        "that column.",
    )
    for lonely in ([0.0, -2000.0, -2000.0], [-2000.0, 0.0, -2000.0], [-2000.0, -2000.0, 0.0]):
        wide = torch.tensor(lonely, dtype=torch.float64)
        _expect_stable(
            answer,
            right,
            torch.stack([wide, ordinary[:3, 0]], dim=1),
            f"with the log-weights {lonely} for one of two images",
            "what you take out is not the largest of them, and the exponential of the rest overflows.",
        )
    return "Where it is small, the bias of a logarithm can be told from the ESS. A large one it does not see."


def _expect_stable(
    answer: Any, right: Callable[[Tensor], Tensor], log_w: Tensor, where: str, advice: str
) -> None:
    wanted = right(log_w)
    found = tensor(call(answer, log_w.clone()), shape=wanted.shape, name="the result", nan=True)
    expect(
        bool(torch.isfinite(found).all()),
        f"{where} your result is {[round(v, 3) for v in found.tolist()]}: {advice}",
    )
    expect_close(found, wanted, name=f"{where} the result", rtol=1e-6, atol=1e-3)  # float32 at 2000


# 4.6


def _cube(z: Tensor) -> Tensor:
    return z**3 + 2


def _negative(z: Tensor) -> Tensor:
    return 1 - 4 * z


@exercise(
    "4.6",
    "The score function of a count",
    hints=(
        "You need the derivative of log p by the rate, not by z.",
        "log p = -λ + z log λ - log z!. Which of the terms contain λ?",
        "The score is z/λ - 1. Multiply the cost with it.",
    ),
)
def _poisson_slope(answer: Any) -> str:
    def times_cost(score: Callable[[Tensor, float], Any]) -> Callable[..., Tensor]:
        return lambda cost, z, rate: cost(z) * score(z, rate)

    def log_p(z: Tensor, rate: float) -> Tensor:
        return -rate + z * math.log(rate) - (z + 1).lgamma()

    def score(z: Tensor, rate: float) -> Tensor:
        return z / rate - 1

    def estimates(result: Any) -> Tensor:
        found = tensor(result, name="the result", nan=True)
        expect(
            found.dim() > 0, "one estimate per draw is asked for, shape (n,), also for n = 1: not their mean."
        )
        return found

    z = torch.tensor([0.0, 1.0, 2.0, 5.0, 9.0])
    expect_function(
        answer,
        times_cost(score),
        [
            {"cost": _cube, "z": z, "rate": 2.5},
            {"cost": _cube, "z": z[:4], "rate": 0.5},
            {"cost": _negative, "z": z[1:], "rate": 7.0},
            {"cost": _negative, "z": z[:1], "rate": 1.5},
        ],
        name=lambda cost, z, rate: f"at the rate {rate:g} the estimates",
        read=estimates,
        mistakes={
            "this is the score alone, whose mean is zero: the cost is missing.": lambda f, z, r: score(z, r),
            "the score has its sign turned round: at a count above the rate, a larger rate makes it "
            "likelier.": times_cost(lambda z, r: -score(z, r)),
            "the -1 is missing: e^{-λ} depends on λ too.": times_cost(lambda z, r: z / r),
            "the derivative of z log λ is z/λ. This is z - λ, the score by log λ.": times_cost(
                lambda z, r: z - r
            ),
            "the derivative of z log λ is z/λ: this is the score z/λ - 1 over λ once more.": times_cost(
                lambda z, r: (z - r) / r**2
            ),
            "z - λ over √λ is z standardized. The score is the derivative of log p by λ.": times_cost(
                lambda z, r: (z - r) / math.sqrt(r)
            ),
            "z and λ are exchanged: the derivative of z log λ by λ is z/λ.": times_cost(
                lambda z, r: r / z - 1
            ),
            "z and λ are exchanged, and the -1 is missing: e^{-λ} depends on λ too.": times_cost(
                lambda z, r: r / z
            ),
            "this is the derivative of p, not of log p: the draws bring p themselves.": times_cost(
                lambda z, r: log_p(z, r).exp() * score(z, r)
            ),
            "log λ stays as it is in your answer: its derivative is 1/λ.": times_cost(
                lambda z, r: z * math.log(r) - 1
            ),
            "this is the cost times log p. The score is its derivative by the rate.": times_cost(log_p),
            "this is the cost times p. The score, the derivative of its logarithm, is needed.": times_cost(
                lambda z, r: log_p(z, r).exp()
            ),
            "this is the cost times the part of log p with λ. The score is its derivative by λ.": times_cost(
                lambda z, r: z * math.log(r) - r
            ),
            "this is the derivative by z, with z taken for continuous: log λ less that of log z!. The "
            "derivative by λ is asked for.": times_cost(
                lambda z, r: math.log(r) - torch.special.digamma(z + 1)
            ),
            "you multiply the score by z itself. Call the function cost on z.": lambda f, z, r: (
                z * score(z, r)
            ),
            "the score is that of a normal distribution with variance 1. Differentiate the log p of the "
            "task.": times_cost(lambda z, r: z - r),
            "these are the costs alone: nothing tells how their frequency changes with λ.": times_cost(
                lambda z, r: torch.ones_like(z)
            ),
            "the cost is that of the text, z². Call the function cost that is handed to you.": (
                lambda f, z, r: z**2 * score(z, r)
            ),
        },
    )
    return "It never asked whether a count can be differentiated."


# 4.7


@exercise(
    "4.7",
    "A baseline that leaves one out",
    hints=(
        "Which dimension holds the draws of one image? Take the sum over it, and then what away from it, for "
        "draw i?",
        "The others are k - 1. costs.sum(0) - costs is a whole table of sums over the others.",
        "(costs - (costs.sum(0) - costs) / (k - 1))[..., None] * score.",
    ),
)
def _leave_one_out(answer: Any) -> str:
    def minus(baseline: Callable[[Tensor], Any]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda costs, score: (costs - baseline(costs))[..., None] * score

    def others(costs: Tensor) -> Tensor:
        return (costs.sum(0) - costs) / (len(costs) - 1)

    cases = [(4, 2, 3), (2, 5, 1), (3, 3, 3), (5, 1, 2)]
    levels = torch.tensor([0.0, 100.0, -40.0, 7.0, 30.0])

    def estimates(result: Any) -> Tensor:
        found = tensor(result, name="the result", nan=True)
        expect(
            found.dim() == 3,
            "one estimate for each draw, image and component is asked for, shape (k, n, d); yours has shape "
            f"{tuple(found.shape)}.",
        )
        return found

    expect_function(
        answer,
        minus(others),
        [{"costs": torch.randn(k, n) + levels[:n], "score": torch.randn(k, n, d)} for k, n, d in cases],
        name="the estimates",
        read=estimates,
        mistakes={
            "your baseline contains the draw's own cost, which shrinks the gradient by one part in k. Leave "
            "it out.": minus(lambda c: c.mean(0)),
            "your baseline is the mean of all costs, the draw's own among them. Take the other draws for the "
            "same image.": minus(lambda c: c.mean()),
            "your baseline is the mean of all other costs, those for other images among them. They lie at "
            "another level: take the draws for the same image.": minus(
                lambda c: (c.sum() - c) / (c.numel() - 1)
            ),
            "your baseline is the mean over the images. The draws for one image are the first dimension.": (
                minus(lambda c: c.mean(1, keepdim=True))
            ),
            "your baseline leaves out one image. The draws for one image are the first dimension: leave out "
            "one of those.": minus(lambda c: (c.sum(1, keepdim=True) - c) / (c.shape[1] - 1)),
            "no baseline at all: the costs are as they were.": minus(lambda c: 0.0),
            "the others are k - 1: you divide their sum by k.": minus(lambda c: (c.sum(0) - c) / len(c)),
            "you divide by k - 1, and the draw's own cost is in the sum.": minus(
                lambda c: c.sum(0) / (len(c) - 1)
            ),
            "you divide by n - 1, the number of images. The others are k - 1.": minus(
                lambda c: (c.sum(0) - c) / (c.shape[1] - 1)
            ),
            "the sum of the others is not their mean: divide by k - 1.": minus(lambda c: c.sum(0) - c),
            "the sign is turned round: the cost minus the baseline.": lambda c, s: -minus(others)(c, s),
            "you add the baseline. It has to be subtracted.": minus(lambda c: -others(c)),
            "these are the baselines times the score. The cost itself is missing.": lambda c, s: (
                others(c)[..., None] * s
            ),
            "the costs are divided by their standard deviation, too. That changes the gradient, and by an "
            "amount that depends on the draws.": lambda c, s: ((c - c.mean(0)) / c.std(0))[..., None] * s,
            "the costs less the baseline are divided by their standard deviation, too. That changes the "
            "gradient, and by an amount that depends on the draws.": lambda c, s: minus(others)(
                c / c.std(0), s
            ),
            "this is the best constant baseline, weighted by the squared score. It contains the draw's own "
            "cost; the mean cost of the other draws is asked for.": lambda c, s: (
                (c[..., None] - (c[..., None] * s**2).mean(0) / s.square().mean(0)) * s
            ),
        },
    )
    return "Unbiased with any number of draws for an image, from two on."


# 4.8


def _with_slope(
    slope: Callable[[Tensor, Tensor], Any], known: bool = True
) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Return the function of exercise 4.8 with another slope, or another mean of the control."""

    def quieter(values: Tensor, control: Tensor, expectation: float) -> Tensor:
        control = control - expectation
        part = control if known else control - control.mean()
        return values - slope(values, control) * part

    return quieter


@exercise(
    "4.8",
    "Less noise, and no gain",
    hints=(
        "Take values = control: what should come out, and what does? Then look at the mean of what comes "
        "out, and compare it with that of the values.",
        "The mean of the result is exactly that of the values, whatever the slope is. What is it that is "
        "known of the control, and where is that used?",
        "For the slope, deviations from the draws' own mean are right. What is subtracted in the end is the "
        "slope times the control's deviation from its *known* mean: slope * control.",
    ),
)
def _quieter(answer: Any) -> str:
    def cov(a: Tensor, b: Tensor) -> Tensor:
        return ((a - a.mean()) * (b - b.mean())).mean()

    def best(values: Tensor, control: Tensor) -> Tensor:
        return cov(values, control) / cov(control, control)

    def case(n: int, expectation: float, slope: float, noise: float, level: float) -> dict[str, Any]:
        control = torch.randn(n, dtype=torch.float64) + expectation
        values = level + slope * control + noise * torch.randn(n, dtype=torch.float64)
        return {"values": values, "control": control, "expectation": expectation}

    # E[control - expectation] = 0, so the second estimates the same variance from the known mean.
    _expect_one_of(
        answer,
        [
            _with_slope(best),
            _with_slope(lambda y, c: cov(y, c) / c.square().mean()),
        ],
        [case(50, 2.0, -1.5, 0.4, 10.0), case(8, -1.0, 0.7, 0.2, 3.0), case(20, 0.0, 10.0, 3.0, 100.0)],
        unchanged=_with_slope(best, known=False),
        name="the values",
        read=_one_per_draw,
        mistakes={
            "now the control's known mean is forgotten: it is subtracted in the first line, so that what is "
            "taken off has the mean 0.": lambda y, c, e: y - best(y, c) * c,
            "the known mean is subtracted twice: the first line has done it.": lambda y, c, e: (
                y - best(y, c) * (c - 2 * e)
            ),
            "you add the control's part. With the sign of the slope as it is, it has to be subtracted.": (
                _with_slope(lambda y, c: -best(y, c))
            ),
            "you changed the slope: with deviations from the known mean it is not 1.": _with_slope(
                lambda y, c: 1.0
            ),
            "you changed the slope: the values keep their mean in it. Where that is large, the slope is off "
            "by much, and the noise grows.": _with_slope(lambda y, c: (y * c).mean() / c.square().mean()),
            "you changed the slope: the values keep their mean in its numerator. Where that is large, the "
            "slope is off by much, and the noise grows.": _with_slope(
                lambda y, c: (y * c).mean() / cov(c, c)
            ),
            "the mean of the values is lost: subtract from the values themselves.": lambda y, c, e: (
                y - y.mean() - best(y, c) * (c - e)
            ),
            "what the control's draws missed is added. It has to be subtracted, like the rest.": (
                lambda y, c, e: y - best(y, c) * (c - c.mean()) + best(y, c) * (c - e).mean()
            ),
            "nothing was removed.": _with_slope(lambda y, c: 0.0),
            "the slope is right as it was: covariance over the variance of the control, not of the values.": (
                _with_slope(lambda y, c: cov(y, c) / cov(y, y))
            ),
            "the slope is right as it was: now it is the covariance, not divided by the variance.": (
                _with_slope(cov)
            ),
            "the slope is right as it was: now it is the correlation.": _with_slope(
                lambda y, c: cov(y, c) / (cov(y, y) * cov(c, c)).sqrt()
            ),
            "the slope is right as it was; now numerator and denominator divide by different numbers.": (
                _with_slope(lambda y, c: best(y, c) * (len(c) - 1) / len(c))
            ),
            "the slope is right as it was; numerator and denominator now divide by different numbers.": (
                _with_slope(lambda y, c: best(y, c) * len(c) / (len(c) - 1))
            ),
            "you changed the slope, and what is subtracted still has the mean of the draws taken off.": (
                _with_slope(lambda y, c: (y * c).mean() / c.square().mean(), known=False)
            ),
        },
        rtol=1e-5,
        atol=1e-5,
    )
    return "Now the mean moves, by the slope times what the control's draws missed."


def _one_per_draw(result: Any) -> Tensor:
    found = tensor(result, name="the result", nan=True)
    expect(found.dim() > 0, "one value per draw is asked for, shape (n,), not their mean.")
    return found
