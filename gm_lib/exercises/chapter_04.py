"""Checks of chapter 4, Monte Carlo and gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Exponential, Normal

from gm_lib.distributions.monte_carlo import control_variate, effective_sample_size, log_mean_exp
from gm_lib.exercises.core import call, exercise, expect, expect_close, is_close, number, tensor


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
    costs = torch.tensor([2.0, 5.0, 3.0, 9.0, 1.0, 4.0, 4.0, 8.0])
    sd = costs.std().item()
    for target in (0.5, 0.07):
        found = number(call(answer, costs, target), "the number of draws")
        exact = (sd / target) ** 2
        biased = (costs.std(correction=0).item() / target) ** 2
        right = {math.ceil(exact), math.ceil(biased)}
        if found in right:
            continue
        mistakes: dict[str, set[float]] = {
            "the standard error falls with √n, not with n: square the ratio.": {
                math.ceil(sd / target),
                sd / target,
            },
            "this is the variance over the target. sd/√n = target, solved for n, has both squared.": {
                math.ceil(sd**2 / target),
                sd**2 / target,
            },
            "you put the pilot's standard error where the standard deviation of one cost belongs.": {
                math.ceil(exact / len(costs)),
                exact / len(costs),
            },
            "these are the draws that are still missing. The task asks for how many in all.": {
                n - len(costs) for n in right
            },
            "you counted the variance twice: costs.var() is the square already.": {
                math.ceil((sd**2 / target) ** 2)
            },
            "rounded down, the error is a little larger than the target. Round up.": {math.floor(exact)},
            "half a draw cannot be made: round up to a whole number.": {exact, biased},
        }
        for message, values in mistakes.items():
            expect(not any(is_close(found, value, rtol=1e-6, atol=1e-3) for value in values), message)
        expect_close(found, math.ceil(exact), name=f"the number of draws for target = {target}")
    return "Half the error takes four times the draws."


def _cube(z: Tensor) -> Tensor:
    return z**3 + 2


@exercise(
    "4.2",
    "Importance sampling",
    hints=(
        "z comes to places where q is large too often. Should such draws count more or less?",
        "The weight is p/q. torch distributions give the logarithm of their density: log_prob.",
        "cost(z) * exp(p.log_prob(z) - q.log_prob(z)), and no mean.",
    ),
)
def _importance_values(answer: Any) -> str:
    p, q, z = Normal(0.0, 1.0), Normal(1.0, 2.0), torch.tensor([-1.5, 0.2, 0.9, 3.0])
    found = tensor(call(answer, _cube, p, q, z), name="the result")
    log_w = p.log_prob(z) - q.log_prob(z)
    w, f = log_w.exp(), _cube(z)
    expect(
        found.dim() > 0,
        "return one value per draw, not their mean: the caller wants the standard error too.",
    )
    again = tensor(call(answer, _cube, p, q, z))
    expect(is_close(found, again), "your values change from call to call: use the draws z that are given.")
    mistakes = {
        "you weigh with q/p. A place that q visits too often must count less: p/q.": f / w,
        "this is the cost times the logarithm of the weight. Take the exponential of the difference.": f
        * log_w,
        "these are the weights alone: the cost is missing.": w,
        "these are the costs alone: nothing corrects for drawing from q.": f,
        "you weigh z itself. Call the function cost on it: the task has w(z) · cost(z).": z * w,
        "you use the cost of the text, 1 for z > 5. Call the function cost that is handed to you.": (z > 5)
        * w,
        "you normalized the weights. Both densities are complete here: the weights need no dividing.": f
        * log_w.softmax(0)
        * len(z),
        "the weights add up to one in your answer, so that a mean over draws is too small by a factor of n, "
        "and self-normalized as well. Use p/q as it is.": f * log_w.softmax(0),
        "you multiply by p alone. The draws come from q: divide by its density.": f * p.log_prob(z).exp(),
        "the weight belongs outside the cost: w(z) f(z), not f(w(z) z).": _cube(w * z),
        "a ratio of logarithms is not the logarithm of a ratio: exp(log p - log q).": f
        * p.log_prob(z)
        / q.log_prob(z),
    }
    expect_close(found, f * w, name="the values", mistakes=mistakes)
    fast, slow, z = Exponential(2.0), Exponential(0.5), torch.tensor([0.1, 0.8, 2.0])
    expect_close(
        call(answer, _cube, fast, slow, z),
        _cube(z) * (fast.log_prob(z) - slow.log_prob(z)).exp(),
        name="with exponential distributions the values",
    )
    return "Drawn here, answered for there."


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
    wide = torch.tensor([0.75, 0.9, 1.0, 1.6, 3.0], dtype=torch.float64)
    found = [number(call(answer, s), f"the share at σ = {s:g}") for s in wide.tolist()]
    right = (2 * wide**2 - 1).sqrt() / wide**2
    mistakes = {
        "this is E[w²]. The share is 1 over it.": 1 / right,
        "this is the square of the share. Is the root of a lost?": right**2,
        "the root of 2π/a is forgotten, or taken of the wrong thing: ∫exp(-az²/2)dz = √(2π/a).": 1
        / (wide / (2 - 1 / wide**2)),
        "the factor σ of the weights is missing: w = σ·exp(…), and q has 1/σ in front.": (
            2 - 1 / wide**2
        ).sqrt(),
        "w has the factor σ, w² has σ², and q has 1/σ: together σ, not σ².": (2 - 1 / wide**2).sqrt()
        / wide**2,
        "σ and 1/σ are exchanged: the proposal has the width σ, the target 1.": (2 / wide**2 - 1)
        .clamp(min=0)
        .sqrt()
        * wide**2,
    }
    expect_close(torch.tensor(found), right, name="the share at σ = 0.75, 0.9, 1, 1.6, 3", mistakes=mistakes)
    for s in (0.3, 0.5, 0.7):
        share = call(answer, s)
        narrow = f"at σ = {s} the integral of p²/q is infinite (2 - 1/σ² is negative), and the share is 0"
        if isinstance(share, complex):
            share = math.nan
        value = float(share)
        expect(not math.isnan(value), f"{narrow}. Your formula takes the root of a negative number there.")
        expect(value == 0, f"{narrow}; yours is {value:.3g}.")
    return "A narrower proposal than that has no finite variance, however many draws you make."


@exercise(
    "4.4",
    "The effective sample size from logarithms",
    hints=(
        "Which logarithms do you have of Σw, and of Σw²? The square of w has the logarithm 2·log w.",
        "Take the logarithm of the whole fraction; the exponential comes at the very end.",
        "exp(2·logsumexp(log_w) - logsumexp(2·log_w)), over the first dimension.",
    ),
)
def _ess_from_logs(answer: Any) -> str:
    log_w = torch.tensor([[0.0, -1.0, 0.3], [-1.0, -1.0, 4.0], [0.5, -1.0, -2.0], [-3.0, -1.0, 1.0]])
    right = effective_sample_size(log_w)
    found = tensor(call(answer, log_w), name="the result")
    w = log_w.exp()
    expect(
        not is_close(found, effective_sample_size(log_w.T)),
        "you sum over the images. The draws are the first dimension, k: sum over that.",
    )
    expect(found.dim() > 0, "this is one number for all images: sum over the draws, the first dimension.")
    mistakes = {
        "this is the share ESS/k. The number of draws is asked for.": right / 4,
        "this is the logarithm of the ESS: an exponential is missing at the end.": right.log(),
        "this is one over the ESS: numerator and denominator are exchanged.": 1 / right,
        "the weights in the denominator have to be squared.": w.sum(0),
        "the sum in the numerator has to be squared.": w.sum(0) / (w**2).sum(0),
        "the square of w has the logarithm 2·log w; you squared the logarithm itself.": (
            2 * log_w.logsumexp(0) - (log_w**2).logsumexp(0)
        ).exp(),
    }
    expect(tuple(found.shape) == (3,), f"the result should have shape (3,), and has {tuple(found.shape)}.")
    expect_close(found, right, name="the ESS", mistakes=mistakes)
    for shift in (-1000.0, 1000.0):
        far = torch.as_tensor(call(answer, log_w + shift))
        expect(
            bool(torch.isfinite(far).all()),
            f"near log w = {shift:g} your result is {far.flatten()[0].item()}: exp(log_w) is out of "
            "range. Do not leave the logarithm before the end.",
        )
        # float32 at 1000 is exact to 1e-4 only
        expect_close(far, right, name=f"the ESS near log w = {shift:g}", rtol=2e-3)
    apart = log_w + torch.tensor([-1500.0, -500.0, 0.0])
    far = torch.as_tensor(call(answer, apart))
    expect(
        bool(torch.isfinite(far).all()),
        "with images whose log-weights lie near -1500, -500 and 0 your result is "
        f"{[round(v, 2) for v in far.flatten().tolist()]}: what you take out of the logarithms suits one "
        "image only. Take the largest of each column out of that column.",
    )
    expect_close(far, right, name="the ESS of images with log-weights near -1500, -500 and 0", rtol=2e-3)
    for lonely in ([0.0, -1000.0, -1000.0], [-1000.0, 0.0, -1000.0], [0.0, -2000.0, 0.0]):
        far = torch.as_tensor(call(answer, torch.tensor(lonely)[:, None]))
        expect(
            bool(torch.isfinite(far).all()),
            f"with the log-weights {lonely} your result is {far.flatten()[0].item()}: what you take out is "
            "not the largest of them, and the exponential of the rest overflows.",
        )
        expect_close(far, torch.tensor([float(lonely.count(0.0))]), name=f"the ESS of log-weights {lonely}")
    return "A common factor of all weights, however small, makes no difference."


@exercise(
    "4.5",
    "A less biased logarithm",
    hints=(
        "Var(w)/Z² = E[w²]/E[w]² - 1. Estimate both expectations by means over the k weights.",
        "The mean of w² over the square of the mean of w is k·Σw²/(Σw)² = k/ESS.",
        "log-mean-exp, plus (k/ESS - 1)/(2k), with the ESS of exercise 4.4.",
    ),
)
def _less_biased(answer: Any) -> str:
    log_w = torch.randn(6, 3, dtype=torch.float64)
    found = tensor(call(answer, log_w), shape=(3,), name="the result")
    k = len(log_w)
    w, plain = log_w.exp(), log_mean_exp(log_w)
    bias = (k / effective_sample_size(log_w) - 1) / (2 * k)
    unbiased_variance = w.var(0) / w.mean(0) ** 2 / (2 * k)
    if not is_close(found, plain + unbiased_variance):
        share = effective_sample_size(log_w) / k
        mistakes = {
            "this is the log of the mean weight: the correction is missing.": plain,
            "this is the correction alone: add it to the log of the mean weight.": bias,
            "E[w²]/E[w]² is k/ESS, not 1/ESS: both expectations are means over the k weights.": plain
            + (share.reciprocal() / k - 1) / (2 * k),
            "you subtract the correction. log Ẑ is too low: add it.": plain - bias,
            "twice too much: the bias has a factor ½.": plain + 2 * bias,
            "the bias shrinks with k: divide by k too.": plain + k * bias,
            "Var(w) = E[w²] - E[w]²: the 1 that belongs to E[w]² is missing.": plain + 1 / (2 * k * share),
            "Var(w) has to be divided by Z², the square of the mean weight; else it has units.": plain
            + w.var(0, correction=0) / (2 * k),
            "divide the variance by Z², not by Z.": plain + w.var(0, correction=0) / w.mean(0) / (2 * k),
            "this is the variance of the log-weights. The weights' own, relative to their mean, is needed.": (
                plain + log_w.var(0, correction=0) / (2 * k)
            ),
            "log k is missing: the mean of the weights, not their sum.": plain + bias + math.log(k),
            "this is the variance of the log-weights. The weights' own is needed.": plain
            + log_w.var(0) / (2 * k),
            "Var(w) has to be divided by Z², the square of the mean weight.": plain + w.var(0) / (2 * k),
        }
        expect_close(found, plain + bias, name="the corrected log-mean", mistakes=mistakes)
    far = torch.as_tensor(call(answer, log_w - 2000.0))
    expect(
        bool(torch.isfinite(far).all()),
        f"near log w = -2000 your result is {far.flatten()[0].item()}: exp(log_w) is zero there. The ratio "
        "Var(w)/Z² does not change when all weights get a common factor: take the largest out first.",
    )
    expect_close(far, found - 2000.0, name="the result near log w = -2000")
    return "Another thing that the ESS is good for: it knows the bias of a logarithm."


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
    z, rate = torch.tensor([0.0, 1.0, 2.0, 5.0, 9.0]), 2.5
    found = tensor(call(answer, _cube, z, rate), name="the result")
    f = _cube(z)
    score = z / rate - 1
    p = (-rate + z * math.log(rate) - (z + 1).lgamma()).exp()
    expect(found.dim() > 0, "one estimate per draw is asked for, shape (n,), not their mean.")
    mistakes = {
        "this is the score alone, whose mean is zero: the cost is missing.": score,
        "the score has its sign turned round: at a count above the rate, a larger rate makes it likelier.": -f
        * score,
        "the -1 is missing: e^{-λ} depends on λ too.": f * z / rate,
        "the derivative of z log λ is z/λ. This is z - λ, the score by log λ.": f * (z - rate),
        "this is the derivative of p, not of log p: the draws bring p themselves.": f * p * score,
        "log λ stays as it is in your answer: its derivative is 1/λ.": f * (z * math.log(rate) - 1),
        "this is the cost times log p. The score is its derivative by the rate.": f * p.log(),
        "this is the cost times the part of log p with λ. The score is its derivative by λ.": f
        * (z * math.log(rate) - rate),
        "you multiply the score by z itself. Call the function cost on z.": z * score,
    }
    expect_close(found, f * score, name="the estimates", mistakes=mistakes)
    expect_close(call(answer, _cube, z, 0.5), f * (z / 0.5 - 1), name="at the rate 0.5 the estimates")
    return "It never asked whether a count can be differentiated."


@exercise(
    "4.7",
    "A baseline that leaves one out",
    hints=(
        "Take the sum over all costs, and then what away from it, for draw i?",
        "The others are n - 1. costs.sum() - costs is a whole vector of sums over the others.",
        "(costs - (costs.sum() - costs)/(n - 1))[:, None] * score.",
    ),
)
def _leave_one_out(answer: Any) -> str:
    costs, score = torch.tensor([1.0, 4.0, -2.0, 10.0]), torch.randn(4, 3)
    found = tensor(call(answer, costs, score), name="the result")
    expect(
        tuple(found.shape) == (4, 3),
        "one estimate for each draw and component is asked for, shape (4, 3); yours has "
        f"{tuple(found.shape)}.",
    )
    others = (costs.sum() - costs) / 3

    def with_baseline(baseline: Any) -> Tensor:
        return (costs - baseline)[:, None] * score

    mistakes = {
        "your baseline contains the draw's own cost, which shrinks the gradient by one part in n. Leave it "
        "out.": with_baseline(costs.mean()),
        "no baseline at all: the costs are as they were.": with_baseline(0.0),
        "the others are n - 1: you divide their sum by n.": with_baseline((costs.sum() - costs) / 4),
        "you divide by n - 1, and the draw's own cost is in the sum.": with_baseline(costs.sum() / 3),
        "the sum of the others is not their mean: divide by n - 1.": with_baseline(costs.sum() - costs),
        "the sign is turned round: the cost minus the baseline.": -with_baseline(others),
        "you add the baseline. It has to be subtracted.": with_baseline(-others),
        "these are the baselines times the score. The cost itself is missing.": others[:, None] * score,
    }
    expect_close(found, with_baseline(others), name="the estimates", mistakes=mistakes)
    two, score = torch.tensor([3.0, 5.0]), torch.tensor([[1.0], [2.0]])
    expect_close(call(answer, two, score), torch.tensor([[-2.0], [4.0]]), name="for two draws the estimates")
    return "Unbiased with any number of draws, from two on."


@exercise(
    "4.8",
    "A control variate",
    hints=(
        "Which c makes the parabola lowest? It stands under “The rule behind the baseline”.",
        "c = Cov(values, control)/Var(control), each a mean over the draws of a product of deviations.",
        "values - c * (control - expectation), with the known expectation, not the control's own mean.",
    ),
)
def _with_control(answer: Any) -> str:
    control = torch.randn(50, dtype=torch.float64) + 2.0
    values = 3.0 - 1.5 * control + 0.4 * torch.randn(50, dtype=torch.float64)
    found = tensor(call(answer, values, control, 2.0), name="the result")
    expect(found.dim() > 0, "one value per draw is asked for, shape (n,), not their mean.")
    right = control_variate(values, control, 2.0)
    deviation, known = control - control.mean(), control - 2.0
    cov, var = (deviation * (values - values.mean())).mean(), (deviation**2).mean()
    slack = {"rtol": 1e-6, "atol": 1e-6}

    def less(c: Any, centre: Any = 2.0) -> Tensor:
        return values - c * (control - centre)

    # E[control - expectation] = 0, so these estimate the same c from the known mean.
    for_the_known_mean = [
        (values * known).mean() / (known**2).mean(),
        cov / (known**2).mean(),
        (values * known).mean() / var,
    ]
    if any(is_close(found, less(c), **slack) for c in for_the_known_mean):
        return "What is left is 1 - ρ² of the variance."
    mistakes = {
        "you add the control's part. With the sign of c as it is, it has to be subtracted.": less(-cov / var),
        "you divide by the variance of the values. The control's is needed.": less(
            cov / ((values - values.mean()) ** 2).mean()
        ),
        "c = 1 is right only by accident. Estimate the best c.": less(1.0),
        "you divide the covariance by the standard deviation, not by the variance.": less(cov / var.sqrt()),
        "c is the covariance alone: divide by the variance of the control.": less(cov),
        "you use the correlation for c. It lacks the ratio of the standard deviations.": less(
            cov / var.sqrt() / (values - values.mean()).square().mean().sqrt()
        ),
        "you subtract the control's mean over the draws: then the mean of the result is that of the values, "
        "and nothing is gained. Subtract the expectation that is known.": less(cov / var, control.mean()),
        "the expectation of the control is forgotten: its part has another mean than zero.": less(
            cov / var, 0.0
        ),
        "nothing was removed.": values,
        "E[values·control]/E[control²] is not Cov/Var: the means have to be taken off first.": less(
            (values * control).mean() / (control**2).mean()
        ),
        "numerator and denominator divide by different numbers, n - 1 above and n below.": less(
            cov / var * 50 / 49
        ),
        "numerator and denominator divide by different numbers, n above and n - 1 below.": less(
            cov / var * 49 / 50
        ),
    }
    expect_close(found, right, name="the values", mistakes=mistakes, **slack)
    return "What is left is 1 - ρ² of the variance."
