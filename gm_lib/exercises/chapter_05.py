"""Checks of chapter 5, latent variables."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from gm_lib.exercises.core import Wrong, call, exercise, expect, expect_close, is_close, tensor


def _three_bells() -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and variances, none of them equal, each (3,)."""
    return torch.tensor([0.2, 0.5, 0.3]), torch.tensor([-1.0, 0.5, 3.0]), torch.tensor([0.25, 4.0, 0.64])


def _has_nan(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and bool(value.isnan().any())


def _several(result: Any, names: tuple[str, ...]) -> list[Any]:
    """Return the parts of a result that should be as many as ``names``; raises ``Wrong`` when it is not."""
    if not (isinstance(result, tuple | list) and len(result) == len(names)):
        raise Wrong(f"{len(names)} things should come back: return {', '.join(names)}.")
    return list(result)


# 5.1


@exercise(
    "5.1",
    "The log-density of a mixture",
    hints=(
        "log p(x, z = k) is log π_k plus the log-density of bell k. Make all of them first, shape (n, K): "
        "x[:, None] against the K bells.",
        "p(x) is the sum over k of exp(log p(x, z = k)). Which function of torch takes the log of a sum of "
        "exponentials without ever making the exponentials too small?",
        "(weights.log() + Normal(means, variances.sqrt()).log_prob(x[:, None])).logsumexp(1)",
    ),
)
def _mixture_log_prob(answer: Any) -> str:
    weights, means, variances = _three_bells()
    x = torch.tensor([-2.0, -0.7, 0.0, 1.3, 2.5, 4.0, 6.0])
    found = tensor(call(answer, x, weights, means, variances), name="the result")
    bells = Normal(means, variances.sqrt()).log_prob(x[:, None])
    joint = weights.log() + bells
    if is_close(found, joint):
        raise Wrong(
            "these are log p(x, z = k), one for each component. Sum the component out, in p, not in log p."
        )
    if tuple(found.shape) != (7,):
        raise Wrong(f"one number for each x is shape (7,), and yours is {tuple(found.shape)}.")
    wide = weights.log() + Normal(means, variances).log_prob(x[:, None])
    expect_close(
        found,
        joint.logsumexp(1),
        name="log p(x)",
        mistakes={
            "logarithms are added over the components. That is the log of a product of bells; a mixture is a "
            "sum of them.": joint.sum(1),
            "this is a product of bells, without their weights. A mixture is a weighted sum.": bells.sum(1),
            "this is the average of the logarithms. It must be the logarithm of the average, which is never "
            "smaller.": (weights * bells).sum(1),
            "the weights π_k are missing.": bells.logsumexp(1),
            "all components have the same weight in your answer. Use the weights π_k.": (
                bells.logsumexp(1) - math.log(3)
            ),
            "the weights are added as they are. In log p(x, z = k) it is their logarithm that is added.": (
                (weights + bells).logsumexp(1)
            ),
            "the bells have no height: log N has the terms -log σ_k and -½ log 2π beside the square.": (
                (weights.log() - (x[:, None] - means) ** 2 / (2 * variances)).logsumexp(1)
            ),
            "the constant -½ log 2π of each bell is missing.": joint.logsumexp(1)
            + 0.5 * math.log(2 * math.pi),
            "the term -log σ_k of each bell is missing: a narrow bell is a high one.": (
                (joint + 0.5 * variances.log()).logsumexp(1)
            ),
            "Normal takes the standard deviation, and was given the variance.": wide.logsumexp(1),
            "this is p(x). The task asks for its logarithm.": joint.exp().sum(1),
            "this is the largest term alone. The others are part of the sum.": joint.max(1).values,
            "the sign is wrong: this is -log p(x).": -joint.logsumexp(1),
        },
    )
    far = torch.tensor([300.0, 400.0])
    found = tensor(call(answer, far, weights, means, variances), shape=(2,), name="the result")
    floored = bool(found.isfinite().all()) and is_close(found[0], found[1])
    expect(
        not floored,
        f"right near the bells; far away every x gets the same {float(found[0]):.1f}. A small number added "
        "to a sum that has underflowed hides the error. Use log-sum-exp.",
    )
    expect_close(
        found,
        (weights.log() + Normal(means, variances.sqrt()).log_prob(far[:, None])).logsumexp(1),
        name="log p(x) far from all bells",
        mistakes={
            "right near the bells; far away every term rounds to zero before its logarithm is taken, and "
            "log 0 is -inf. Use log-sum-exp.": torch.full((2,), -math.inf)
        },
    )
    return "A sum inside a logarithm, and nothing underflows."


# 5.2


@exercise(
    "5.2",
    "Responsibilities",
    hints=(
        "Bayes' rule: the joint of this component over the sum of the joints. Which sum is it, over the "
        "components or over the data?",
        "exp(a_k) / Σ_j exp(a_j) has a name, and torch computes it without underflow.",
        "(weights.log() + Normal(means, variances.sqrt()).log_prob(x[:, None])).softmax(1)",
    ),
)
def _posterior_of_z(answer: Any) -> str:
    weights, means, variances = _three_bells()
    x = torch.tensor([-2.0, -0.7, 0.0, 1.3, 2.5, 4.0, 6.0])
    found = tensor(call(answer, x, weights, means, variances), name="the result")
    bells = Normal(means, variances.sqrt()).log_prob(x[:, None])
    joint = weights.log() + bells
    right = joint.softmax(1)
    if tuple(found.shape) == (3, 7):
        raise Wrong("rows and columns are exchanged: one row for each x, one column for each component.")
    if tuple(found.shape) == (7,):
        raise Wrong(
            "one number for each x is too few: each x has a probability for each component, shape (7, 3)."
        )
    expect_close(
        found,
        right,
        name="p(z = k | x)",
        mistakes={
            "each column adds up to one: this divides a component among the data. Each x has one unit of "
            "responsibility, so each row must add up to one.": joint.softmax(0),
            "the weights π_k are missing: the prior counts as much as the bell.": bells.softmax(1),
            "the weights are added as they are; in log p(x, z = k) it is their logarithm that is added.": (
                (weights + bells).softmax(1)
            ),
            "this is the joint p(x, z = k). Divide by its sum over the components.": joint.exp(),
            "this is the density p(x | z = k). Weights and a sum to divide by are missing.": bells.exp(),
            "these are log-probabilities. Responsibilities add up to one in each row.": right.log(),
            "this is log p(x, z = k). A softmax over the components makes probabilities of it.": joint,
            "Normal takes the standard deviation, and was given the variance.": (
                weights.log() + Normal(means, variances).log_prob(x[:, None])
            ).softmax(1),
            "the factor 1/σ_k of each bell is missing. It does not cancel, since it differs between them.": (
                weights.log() - (x[:, None] - means) ** 2 / (2 * variances)
            ).softmax(1),
            "this gives all of x to the most probable component. The posterior says how probable each is.": (
                torch.nn.functional.one_hot(joint.argmax(1), 3)
            ),
        },
    )
    pair = (torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.02]), torch.tensor([1.0, 1.0]))
    far = torch.tensor([50.0, -50.0])
    result = call(answer, far, *pair)
    underflow = (
        "right near the bells; far from them every density rounds to zero, and {}. Work with logarithms: "
        "softmax of log p(x, z = k)."
    )
    if _has_nan(result):
        raise Wrong(underflow.format("0/0 is NaN"))
    joint = pair[0].log() + Normal(pair[1], 1.0).log_prob(far[:, None])
    expect_close(
        tensor(result, shape=(2, 2), name="the result"),
        joint.softmax(1),
        rtol=1e-2,
        atol=1e-3,
        name="p(z = k | x) far from both bells",
        mistakes={
            underflow.format("the row adds up to zero, not one"): torch.zeros(2, 2),
            underflow.format("a small number put into the quotient decides"): torch.full((2, 2), 0.5),
        },
    )
    return "Each x shares out one unit among its possible causes."


# 5.3


@exercise(
    "5.3",
    "The bound",
    hints=(
        "An expectation under q is a sum over k, each term weighted with q_k.",
        "(q * (log_joint - q.log())).sum(1) is right as long as no q is zero. What does q * q.log() give "
        "there, and which function of torch gives 0?",
        "(q * log_joint - torch.xlogy(q, q)).sum(1)",
    ),
)
def _lower_bound(answer: Any) -> str:
    log_joint = 2 * torch.randn(6, 4) - 3
    q = torch.randn(6, 4).softmax(1)
    found = tensor(call(answer, log_joint, q), name="the result")
    log_p, posterior, log_q = log_joint.logsumexp(1), log_joint.softmax(1), q.log()
    terms = q * (log_joint - log_q)
    if is_close(found, terms):
        raise Wrong("these are the terms of the expectation. It is their sum over the components.")
    if tuple(found.shape) != (6,):
        raise Wrong(f"one number for each x is shape (6,), and yours is {tuple(found.shape)}.")
    expect_close(
        found,
        terms.sum(1),
        name="the bound",
        mistakes={
            "the sign of log q is wrong. The entropy -E_q[log q] is added: a q that commits itself pays.": (
                (q * (log_joint + log_q)).sum(1)
            ),
            "the entropy of q is missing: subtract log q inside the expectation.": (q * log_joint).sum(1),
            "this is the entropy of q alone. Where is log p(x, z)?": -(q * log_q).sum(1),
            "this is log p(x), whatever q is: the logarithm was taken of the expectation. It belongs inside, "
            "and then the result is lower.": log_p,
            "this is the gap, KL(q ‖ p(z|x)). The bound is log p(x) minus it.": log_p - terms.sum(1),
            "this is minus the bound, a loss.": -terms.sum(1),
            "the terms are added without their weights. An expectation under q weights each with q_k.": (
                (log_joint - log_q).sum(1)
            ),
            "the terms are averaged as if all were equally probable. Weight each with q_k.": (
                (log_joint - log_q).mean(1)
            ),
            "the weighted terms are averaged over the components. An expectation is their sum: q adds up to "
            "one already.": terms.mean(1),
            "the expectation is under the posterior. It should be under q, whatever q is.": (
                (posterior * (log_joint - log_q)).sum(1)
            ),
            "log_joint is a logarithm already; it was taken for a probability.": (
                (q * (log_joint.exp() - log_q)).sum(1)
            ),
            "q was put where log q belongs.": (q * (log_joint - q)).sum(1),
            "this is minus the KL from q to the posterior: log p(x, z), not log p(z | x), belongs inside.": (
                terms.sum(1) - log_p
            ),
        },
    )
    certain = torch.eye(4)
    result = call(answer, log_joint[:4], certain)
    if _has_nan(result):
        raise Wrong(
            "right as long as no q is zero. Where one is, 0 · log 0 is computed as 0 · -inf = NaN; it counts "
            "as 0. torch.xlogy(q, q) knows that."
        )
    expect_close(
        tensor(result, shape=(4,), name="the result"),
        log_joint[:4].diagonal(),
        name="the bound for a q that is sure (its entropy is 0)",
        rtol=1e-3,
        atol=1e-3,
    )
    return "Whatever q is, log p(x) is no lower."


# 5.4

_M_STEP = ("weights", "means", "variances")


@exercise(
    "5.4",
    "The M-step",
    hints=(
        "For μ_k and σ_k² it is the log-likelihood of one normal in which image i counts r_ik times; for π, "
        "a cross-entropy. How many images does component k hold, fractions counted? Call it counts[k].",
        "Each mean is a sum of r * x over the images divided by the component's counts, not by n. The "
        "variance is the same kind of average, of squared distances from the mean that was just found.",
        "counts = r.sum(0); means = (r * x[:, None]).sum(0) / counts; variances = (r * (x[:, None] - "
        "means) ** 2).sum(0) / counts; return counts / len(x), means, variances",
    ),
)
def _m_step(answer: Any) -> str:
    x = 2 * torch.randn(40) + 5
    r = (2 * torch.randn(40, 3)).softmax(1)
    parts = _several(call(answer, x, r), _M_STEP)
    found = {name: tensor(part, name=name) for name, part in zip(_M_STEP, parts, strict=True)}
    counts = r.sum(0)
    means = (r * x[:, None]).sum(0) / counts
    squares = (x[:, None] - means) ** 2
    variances = (r * squares).sum(0) / counts
    if is_close(found["weights"], means):
        raise Wrong("the means come first in your result. The order is weights, means, variances.")
    for name, part in found.items():
        if tuple(part.shape) != (3,):
            raise Wrong(
                f"{name} should have shape (3,), one for each component, and has {tuple(part.shape)}. Sum "
                "over the images."
            )
    sharp = torch.nn.functional.one_hot(r.argmax(1), 3).float()
    hard = "each image is given to one component as a whole. It counts for each with the weight r_ik."
    expect_close(
        found["weights"],
        counts / 40,
        name="weights",
        mistakes={
            "the weights are counts, and do not add up to one. Divide by the number of images.": counts,
            "the counts are divided by the number of components. Divide by the number of images.": (
                counts / 3
            ),
            "all weights are equal. Component k has the share of the images that it is responsible for.": (
                torch.full((3,), 1 / 3)
            ),
            hard: sharp.mean(0),
        },
    )
    expect_close(
        found["means"],
        means,
        name="means",
        mistakes={
            "the sums are divided by the number of all images. Component k holds Σ_i r_ik of them.": (
                (r * x[:, None]).mean(0)
            ),
            "these are sums. Divide by Σ_i r_ik, how many images the component holds.": (r * x[:, None]).sum(
                0
            ),
            "every component has the mean of all images. Weight the images with r_ik.": x.mean().expand(3),
            hard: (sharp * x[:, None]).sum(0) / sharp.sum(0),
        },
    )
    centred = (x - x.mean())[:, None]
    expect_close(
        found["variances"],
        variances,
        rtol=1e-3,
        name="variances",
        mistakes={
            "the sums are divided by the number of all images. Component k holds Σ_i r_ik of them.": (
                (r * squares).mean(0)
            ),
            "these are sums of squares. Divide by Σ_i r_ik.": (r * squares).sum(0),
            "these are standard deviations.": variances.sqrt(),
            "this is n - 1 in the place of n. Maximum likelihood divides by Σ_i r_ik.": (
                (r * squares).sum(0) / (counts - 1)
            ),
            "the distances are taken from the mean of all images. Each component has a mean of its own.": (
                (r * centred**2).sum(0) / counts
            ),
            "these are averages of x². Subtract the mean first.": (r * x[:, None] ** 2).sum(0) / counts,
            "r is squared together with the distance. It weights the square: r * (x - mean) ** 2.": (
                (r**2 * squares).sum(0) / counts
            ),
            "the squares are not weighted with r_ik.": squares.mean(0),
            "every component has the variance of all images. Weight the images with r_ik.": (
                x.var(correction=0).expand(3)
            ),
            hard: (sharp * squares).sum(0) / sharp.sum(0),
        },
    )
    return "Weighted averages, and the bound is at its top."


# 5.5


@exercise(
    "5.5",
    "Completing an image",
    hints=(
        "First find out which component it may have been: its posterior given the known pixels. Then average "
        "the components' other pixels with it.",
        "A white pixel has the probability p, a black one 1 - p. In logarithms: x @ log p + (1 - x) @ "
        "log(1 - p), summed over the known pixels.",
        "seen = probs[:, :known]; log_joint = weights.log() + x_known @ seen.log().T + (1 - x_known) @ "
        "(1 - seen).log().T; the result is log_joint.softmax(1) @ probs[:, known:]",
    ),
)
def _complete(answer: Any) -> str:
    weights = torch.tensor([0.6, 0.1, 0.3])
    probs = 0.05 + 0.9 * torch.rand(3, 9)
    x = torch.randint(0, 2, (8, 4)).float()
    found = tensor(call(answer, x, weights, probs), name="the result")
    seen, hidden = probs[:, :4], probs[:, 4:]
    white, black = x @ seen.log().T, (1 - x) @ (1 - seen).log().T
    joint = weights.log() + white + black
    right = joint.softmax(1) @ hidden
    if tuple(found.shape) == (8, 9):
        raise Wrong(
            "these are all pixels. Return the ones that were not given: probs[:, known:] for each component."
        )
    if tuple(found.shape) == (8, 3):
        raise Wrong("this is one column for each component. Average the components' other pixels with it.")
    decided = "this decides for {}. The expected value is an average over what is possible."
    expect_close(
        found,
        right,
        name="the expected value of a pixel",
        mistakes={
            "white pixels are evidence in your answer, black ones are not. A black pixel has the probability "
            "1 - p.": (weights.log() + white).softmax(1) @ hidden,
            "the weights are left out. Before any pixel is seen, a component has the probability π_k.": (
                (white + black).softmax(1) @ hidden
            ),
            "the known pixels have no influence: these are the prior's averages.": (
                (weights @ hidden).expand(8, 5)
            ),
            "the weights are added as they are; it is their logarithm that is added.": (
                (weights + white + black).softmax(1) @ hidden
            ),
            decided.format("the most probable component"): hidden[joint.argmax(1)],
            decided.format("black or white"): right.round(),
            "responsibilities are normalized over the images. Each image has one unit to share out.": (
                joint.softmax(0) @ hidden
            ),
            "the average is not divided by its weights: p(x, z) stands where p(z | x) belongs.": (
                joint.exp() @ hidden
            ),
            "this is the mean of the logarithms. Average the probabilities.": joint.softmax(1) @ hidden.log(),
        },
    )
    many = 0.2 + 0.6 * torch.rand(2, 1200)
    halves = torch.tensor([0.5, 0.5])
    x = torch.bernoulli(many[:, :1000])
    result = call(answer, x, halves, many)
    underflow = (
        "right for four pixels; with a thousand their product rounds to zero{}. Add logarithms, then softmax."
    )
    if _has_nan(result):
        raise Wrong(underflow.format(", and 0/0 is NaN"))
    expect_close(
        tensor(result, shape=(2, 200), name="the result"),
        many[:, 1000:],  # so many pixels leave no doubt
        rtol=1e-3,
        atol=1e-3,
        name="the expected value of a pixel, a thousand being known",
        mistakes={underflow.format(""): torch.zeros(2, 200)},
    )
    return "A joint distribution answers what it was never trained for."


# 5.6


@exercise(
    "5.6",
    "The posterior of probabilistic PCA",
    hints=(
        "Multiply out the square ‖x - μ - Wz‖². Collect the terms that are quadratic in z, and those "
        "that are linear. The prior has a quadratic one too.",
        "What stands between zᵀ and z is C⁻¹ = I + WᵀW/σ², and what zᵀ is multiplied with is C⁻¹m = "
        "Wᵀ(x - μ)/σ². x has a row for each image, so (x - mu) @ W has the rows Wᵀ(x - μ).",
        "M = W.T @ W + noise_variance * torch.eye(W.shape[1]); inverse = torch.linalg.inv(M); return "
        "(x - mu) @ W @ inverse, noise_variance * inverse",
    ),
)
def _posterior_of_code(answer: Any) -> str:
    W, mu, noise = torch.randn(5, 2), torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0]), 0.3
    x = mu + 2 * torch.randn(7, 5)
    mean, covariance = _several(call(answer, x, W, mu, noise), ("the mean", "the covariance"))
    mean, covariance = tensor(mean, name="the mean"), tensor(covariance, name="the covariance")
    eye = torch.eye(2)
    if tuple(mean.shape) == (2, 2) and tuple(covariance.shape) == (7, 2):
        raise Wrong("the mean comes first, then the covariance.")
    if tuple(mean.shape) == (2, 7):
        raise Wrong("the means are transposed: one row for each x, shape (7, 2).")
    if tuple(mean.shape) != (7, 2):
        raise Wrong(f"one mean for each x is shape (7, 2), and yours is {tuple(mean.shape)}.")
    M = W.T @ W + noise * eye
    inverse = torch.linalg.inv(M)
    with_one = torch.linalg.inv(W.T @ W + eye)
    projected = (x - mu) @ W
    expect_close(
        mean,
        projected @ inverse,
        rtol=1e-3,
        atol=1e-4,
        name="the mean",
        mistakes={
            "σ² was added to every entry of WᵀW. σ²I has it on the diagonal only: noise_variance * "
            "torch.eye(d).": projected @ torch.linalg.inv(W.T @ W + noise),
            "μ is not subtracted. The code explains how x differs from the mean.": x @ W @ inverse,
            "μ is added. The code explains how x differs from the mean: x - μ.": (x + mu) @ W @ inverse,
            "M is WᵀW + I here. The noise decides how far the data are trusted: WᵀW + σ²I.": (
                projected @ with_one
            ),
            "this is least squares, without the prior: σ²I is missing in M.": (
                projected @ torch.linalg.inv(W.T @ W)
            ),
            "this is Wᵀ(x - μ), not yet divided by M.": projected,
            "this is what stands beside zᵀ, C⁻¹m. Multiply it by C to get the mean m.": projected / noise,
            "the sign is wrong. The square has -2 zᵀWᵀ(x - μ), and half of minus that is positive.": (
                -projected @ inverse
            ),
            "it is multiplied by M. The mean has its inverse.": projected @ M,
            "it is too small by the factor σ². With I + WᵀW/σ² for M, divide Wᵀ(x - μ) by σ² too.": (
                noise * projected @ inverse
            ),
            "it is divided by σ², which M accounts for already.": projected @ inverse / noise,
            "M has σ where σ² belongs.": projected @ torch.linalg.inv(W.T @ W + math.sqrt(noise) * eye),
            "noise_variance is σ² already, and was squared.": (
                projected @ torch.linalg.inv(W.T @ W + noise**2 * eye)
            ),
        },
    )
    right = noise * inverse
    if tuple(covariance.shape) == (2,) and is_close(covariance, right.diagonal()):
        raise Wrong(
            "these are the variances alone. The coordinates of the code are correlated: return the matrix."
        )
    if tuple(covariance.shape) == (7, 2, 2):
        raise Wrong("one covariance for each x is too many: it does not depend on x. Shape (2, 2).")
    if tuple(covariance.shape) != (2, 2):
        raise Wrong(f"the covariance should have shape (2, 2), and has {tuple(covariance.shape)}.")
    expect_close(
        covariance,
        right,
        rtol=1e-3,
        atol=1e-5,
        name="the covariance",
        mistakes={
            "σ² is missing: the covariance is σ²M⁻¹.": inverse,
            "this is σ²M. The more W says about z, the *smaller* the covariance: σ²M⁻¹.": noise * M,
            "this is M itself. The covariance is σ²M⁻¹.": M,
            "this is the precision, M/σ². The covariance is its inverse.": M / noise,
            "this is M⁻¹/σ². The less noise, the smaller the covariance: multiply.": inverse / noise,
            "the square root of σ² stands where σ² belongs.": math.sqrt(noise) * inverse,
            "M is WᵀW + I here. The noise decides how far the data are trusted: WᵀW + σ²I.": noise * with_one,
            "this is the prior's covariance. Having seen x, we know more.": eye,
            "outside its diagonal the covariance is not zero: the coordinates of the code are correlated.": (
                torch.diag(right.diagonal())
            ),
            "σ²I is missing in M: this forgets the prior.": noise * torch.linalg.inv(W.T @ W),
        },
    )
    return "No sampling, no network: the exact posterior."


# 5.7


@exercise(
    "5.7",
    "Fitting by eigenvalues",
    hints=(
        "σ² is what is left in a direction that W does not use, on average. Which eigenvalues are these?",
        "values[d:].mean() is σ². A direction's variance λ is W's part plus the noise's part σ², and W's "
        "columns are standard deviations.",
        "noise_variance = values[d:].mean(); return vectors[:, :d] * (values[:d] - noise_variance).sqrt(), "
        "noise_variance",
    ),
)
def _fit_by_eigenvalues(answer: Any) -> str:
    values = torch.tensor([9.0, 5.0, 2.0, 0.9, 0.5, 0.1])
    vectors = torch.linalg.qr(torch.randn(6, 6)).Q
    W, noise = _several(call(answer, values, vectors, 2), ("W", "σ²"))
    if _has_nan(W):
        raise Wrong(
            "W contains NaN: a root of negative numbers. σ²I has σ² on the diagonal only; subtract σ² from "
            "the eigenvalues themselves, take the roots, and multiply the columns with them."
        )
    W, noise = tensor(W, name="W"), tensor(noise, name="σ²")
    if W.numel() == 1 and tuple(noise.shape) == (6, 2):
        raise Wrong("W comes first, then σ².")
    if noise.numel() != 1:
        raise Wrong(
            f"σ² is one number for all directions that are left, and yours has shape {tuple(noise.shape)}."
        )
    rest = values[2:]
    expect_close(
        noise.reshape(()),
        rest.mean(),
        name="σ²",
        mistakes={
            "this is the sum of the eigenvalues that are left out. σ² is their mean.": (rest.sum()),
            "the sum is divided by all D dimensions. The noise is estimated from the D - d that are left.": (
                rest.sum() / 6
            ),
            "σ² is the mean of all eigenvalues. The first d belong to W.": values.mean(),
            "σ² is the mean of the first d eigenvalues. It is what they do *not* explain.": values[:2].mean(),
            "one eigenvalue too many: values[d:] begins behind the first d.": values[1:].mean(),
            "one eigenvalue is left out: values[d:] begins behind the first d.": values[3:].mean(),
            "this is the smallest eigenvalue. Maximum likelihood takes the mean of all that are left.": rest[
                -1
            ],
            "this is the largest that is left. Maximum likelihood takes the mean of all of them.": rest[0],
            "this is σ. Return the variance.": rest.mean().sqrt(),
        },
    )
    if tuple(W.shape) == (2, 6):
        raise Wrong("W is transposed: it takes d numbers to D, shape (6, 2).")
    if tuple(W.shape) != (6, 2):
        raise Wrong(f"W should have shape (6, 2), and has {tuple(W.shape)}.")
    excess, U = values[:2] - rest.mean(), vectors[:, :2]

    def explained(scale: Tensor, directions: Tensor = U) -> Tensor:
        """W Wᵀ, which is all of W that the model's density knows: W R with a rotation R is as good."""
        return (directions * scale**2) @ directions.T

    expect_close(
        W @ W.T,
        explained(excess.sqrt()),
        rtol=1e-3,
        atol=1e-3,
        name="W Wᵀ, what W adds to the covariance,",
        mistakes={
            "the root is missing: W's columns are standard deviations, the root of λ - σ².": explained(
                excess
            ),
            "σ² is not subtracted. The noise adds it again in every direction, and the model would have more "
            "variance than the data.": explained(values[:2].sqrt()),
            "σ² is added to the eigenvalues; subtract it.": explained((values[:2] + rest.mean()).sqrt()),
            "the roots are subtracted. It is the variances that are, and then the root is taken.": (
                explained(values[:2].sqrt() - rest.mean().sqrt())
            ),
            "σ is subtracted, and should be σ².": explained((values[:2] - rest.mean().sqrt()).sqrt()),
            "W has the right directions, but all columns have length one.": explained(torch.ones(2)),
            "rows of `vectors` were taken. The eigenvectors are its columns.": (
                explained(excess.sqrt(), vectors[:2].T)
            ),
            "the last d directions were taken. The largest eigenvalues come first.": (
                explained(excess.sqrt(), vectors[:, -2:])
            ),
        },
    )
    return "The maximum of a likelihood, without a single step of training."
