"""Answers to the exercises of chapter 5: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from scipy.special import softmax
from torch.distributions import Bernoulli, Categorical, MultivariateNormal, Normal
from torch.nn.functional import binary_cross_entropy, one_hot

from gm_lib.distributions.mixtures import GaussianMixture, em

RIGHT = {}
WRONG = {}


# 5.1: the quotient of two responsibilities ----------------------------------------------------------


def difference(x, weights, means, variances):
    log_joint = weights.log() + Normal(means, variances.sqrt()).log_prob(x[..., None])
    return log_joint[..., 1] - log_joint[..., 0]


def from_three_places(weights, means, variances):
    """The parabola through what Bayes' rule gives at -1, 0 and 1."""
    low, middle, high = difference(torch.tensor([-1.0, 0.0, 1.0]), weights, means, variances)
    return (low + high) / 2 - middle, (high - low) / 2, middle


def by_derivatives(weights, means, variances):
    with torch.enable_grad():
        x = torch.zeros((), requires_grad=True)
        value = difference(x, weights.detach(), means.detach(), variances.detach())
        (slope,) = torch.autograd.grad(value, x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, x)
    return torch.stack([curvature / 2, slope, value]).detach()


def term_by_term(weights, means, variances):
    """For each component the coefficients of log π + log N, as Python numbers."""
    rows = []
    for w, m, v in zip(weights.tolist(), means.tolist(), variances.tolist(), strict=True):
        rows.append([-0.5 / v, m / v, math.log(w) - 0.5 * math.log(2 * math.pi * v) - m * m / (2 * v)])
    return [one - zero for zero, one in zip(*rows, strict=True)]


def changed(a=lambda *_: 0.0, b=lambda *_: 0.0, c=lambda *_: 0.0):
    """The right coefficients, with something added."""

    def answer(weights, means, variances):
        given = (*weights.tolist(), *means.tolist(), *variances.tolist())
        return tuple(
            x + f(*given) for x, f in zip(term_by_term(weights, means, variances), (a, b, c), strict=True)
        )

    return answer


RIGHT["5.1"] = [from_three_places, by_derivatives, term_by_term]
WRONG["5.1"] = [
    (lambda w, m, v: [-x for x in term_by_term(w, m, v)], "the other way round"),
    (lambda w, m, v: term_by_term(w, m, v)[::-1], "these are c, b, a"),
    (lambda w, m, v: term_by_term(torch.ones(2), m, v), "the weights π_k are missing"),
    (lambda w, m, v: term_by_term(w.exp(), m, v), "the weights stand as they are"),
    (lambda w, m, v: term_by_term(w.flip(0), m, v), "log(π_1/π_0) has the wrong sign"),
    (changed(c=lambda p, q, m, n, v, u: -0.5 * math.log(v / u)), "the heights are missing"),
    (changed(c=lambda p, q, m, n, v, u: 0.5 * math.log(v / u)), "half as much"),
    (changed(c=lambda p, q, m, n, v, u: -math.log(v / u)), "the heights in c have the wrong sign"),
    (changed(c=lambda p, q, m, n, v, u: -0.5 * math.log(v / u) - math.log(q / p)), "weights and heights"),
    (
        changed(c=lambda p, q, m, n, v, u: -math.log(v / u) - 2 * math.log(q / p)),
        "only the squares are right",
    ),
    (changed(c=lambda p, q, m, n, v, u: -0.5 * (m * m / v - n * n / u)), "μ_k² is missing"),
    (changed(c=lambda p, q, m, n, v, u: -(m * m / v - n * n / u)), "the part of c with μ_k²"),
    (changed(b=lambda p, q, m, n, v, u: -2 * (n / u - m / v)), "b has the wrong sign"),
    (changed(b=lambda p, q, m, n, v, u: n / u - m / v), "b is twice too large"),
    (changed(b=lambda p, q, m, n, v, u: -0.5 * (n / u - m / v)), "b is half"),
    (changed(a=lambda p, q, m, n, v, u: 1 / u - 1 / v), "a has the wrong sign"),
    (changed(a=lambda p, q, m, n, v, u: 0.5 / v - 0.5 / u), "a is twice too large"),
    (changed(a=lambda p, q, m, n, v, u: 0.5 / u - 0.5 / v), "a is zero only if"),
    (lambda w, m, v: term_by_term(w, m, v.mean().expand(2)), "one width"),
    (lambda w, m, v: term_by_term(w, m, v**2), "were squared"),
    (lambda w, m, v: term_by_term(w, m, v.sqrt()), "the square root of the variance"),
    (changed(c=lambda p, q, *_: q / p - math.log(q / p)), "the quotient of the weights"),
    (changed(c=lambda p, q, *_: -0.5 * math.log(q / p)), "log(π_1/π_0) is halved"),
    (lambda w, m, v: (*term_by_term(w, m, v)[:2], 0.0), "c is not zero"),
    (lambda w, m, v: (*term_by_term(w, m, v)[:2], -term_by_term(w, m, v)[2]), "c has the wrong sign, all"),
    (lambda w, m, v: 2 * torch.tensor(term_by_term(w, m, v)), "all three are twice too large"),
    (changed(c=lambda p, q, m, n, v, u: 0.5 * (m * m / v - n * n / u)), "½ is missing before μ_k²"),
    (changed(c=lambda p, q, m, n, v, u: 0.5 * ((m - m * m) / v - (n - n * n) / u)), "μ_k stands in c"),
    (changed(b=lambda p, q, m, n, v, u: n / u**0.5 - n / u - m / v**0.5 + m / v), "b has σ_k"),
    (changed(c=lambda *_: -0.5 * math.log(2 * math.pi)), "it cancels"),
    (
        changed(
            c=lambda p, q, m, n, v, u: (
                math.log2(q / p) - math.log(q / p) + 0.5 * (math.log2(v / u) - math.log(v / u))
            )
        ),
        "base 2",
    ),
    (lambda w, m, v: term_by_term(w, m, v[:1].expand(2)), "σ_0² stands for both"),
    (lambda w, m, v: [round(x, 3) for x in term_by_term(w, m, v)], "[a, b, c] should be"),
    (lambda w, m, v: (*term_by_term(w, m, v)[:2], (w[1] / w[0]).log()), "c is log(π_1/π_0) alone"),
    (changed(c=lambda *_: 1.0), "[a, b, c] should be"),
    (lambda w, m, v: term_by_term(w, m, v)[:2], "3 things should come back"),
    (lambda w, m, v: (v, m, w), "a should be one number"),
]


# 5.2: the best q at another temperature ---------------------------------------------------------------


def a_categorical(log_joint, temperature):
    return Categorical(logits=log_joint / temperature).probs


def less_its_log_sum(log_joint, temperature):
    scores = log_joint / temperature
    return (scores - scores.logsumexp(1, keepdim=True)).exp()


def row_by_row(log_joint, temperature):
    rows = []
    for row in log_joint:
        p = ((row - row.max()) / temperature).exp()
        rows.append(p / p.sum())
    return torch.stack(rows)


def by_scipy(log_joint, temperature):
    return softmax(log_joint.numpy() / temperature, axis=1)


def quotient(log_joint, temperature, little=0.0, by=lambda scores: 0.0):
    scores = log_joint / temperature
    p = (scores - by(scores)).exp()
    return p / (p.sum(1, keepdim=True) + little)


def root_of_posterior(log_joint, temperature):
    p = log_joint.softmax(1) ** (1 / temperature)
    return p / p.sum(1, keepdim=True)


RIGHT["5.2"] = [a_categorical, less_its_log_sum, row_by_row, by_scipy]
WRONG["5.2"] = [
    (lambda j, t: j.softmax(1), "the best q at T = 1"),
    (lambda j, t: (t * j).softmax(1), "multiplied by T"),
    (lambda j, t: (-j / t).softmax(1), "the least probable"),
    (lambda j, t: j.softmax(1) / t, "the posterior divided by T"),
    (lambda j, t: j.softmax(1) ** (1 / t), "the posterior to the power 1/T"),
    (lambda j, t: (j / t).exp(), "not divided by its sum over z"),
    (lambda j, t: (j / t).log_softmax(1), "logarithms of probabilities"),
    (lambda j, t: j / t, "A softmax over z"),
    (lambda j, t: (j / t).softmax(0), "each column adds up to one"),
    (lambda j, t: one_hot(j.argmax(1), j.shape[1]), "T = 0"),
    (lambda j, t: torch.full_like(j, 1 / j.shape[1]), "if there were only the entropy"),
    (lambda j, t: t * (j / t).logsumexp(1), "the value at the top"),
    (lambda j, t: (j / t**2).softmax(1), "divides by T²"),
    (lambda j, t: (j / t**0.5).softmax(1), "divides by the root of T"),
    (lambda j, t: (j / (1 + t)).softmax(1), "divides by 1 + T"),
    (lambda j, t: (j / max(t, 1)).softmax(1), "below one is taken for one"),
    (lambda j, t: (j / max(1, int(t))).softmax(1), "perhaps: a temperature below one"),
    (lambda j, t: (j / t).flatten().softmax(0).view_as(j), "over the whole table"),
    (lambda j, t: (j / t - 1).exp(), "a multiplier for that"),
    (lambda j, t: (j / t).clamp(-60, 60).softmax(1), "Cut off at one size"),
    (lambda j, t: (j.clamp(-80, 80) / t).softmax(1), "Cut off at one size"),
    (lambda j, t: quotient(j, t, by=lambda s: s.mean(1, keepdim=True)), "each row's mean is subtracted"),
    (lambda j, t: quotient(j, t, by=lambda s: s.amin(1, keepdim=True)), "each row's smallest number"),
    (lambda j, t: (j.double().softmax(1).log() / t).softmax(1), "even in double precision"),
    (lambda j, t: quotient(j.double(), t), "0/0 is NaN"),
    (quotient, "0/0 is NaN"),
    (lambda j, t: quotient(j, t).nan_to_num(), "only hides it"),
    (lambda j, t: quotient(j, t, 1e-12), "the row adds up to zero"),
    (root_of_posterior, "before its root is taken"),
    (lambda j, t: quotient(j, t, by=torch.max), "the largest of all"),
    (lambda j, t: quotient(j, t, by=torch.mean), "the mean of all"),
    (lambda j, t: quotient(j, t, by=torch.min), "the smallest of all"),
    (lambda j, t: (j.clamp(min=-500) / t).softmax(1), "q should be"),
    (lambda j, t: (j / t).softmax(1).T, "q should have shape"),
]


# 5.3: the M-step -------------------------------------------------------------------------------------


def averages(x, r):
    counts = r.sum(0)
    return counts, (r * x[:, None]).sum(0) / counts


def squared(x, r):
    return (x[:, None] - averages(x, r)[1]) ** 2


def second_moment_minus_square(x, r):
    counts = r.sum(0)
    means = r.T @ x / counts
    return r.mean(0), means, r.T @ x**2 / counts - means**2


def component_by_component(x, r):
    rows = []
    for column in r.T:
        share = column / column.sum()
        mean = (share * x).sum()
        rows.append(torch.stack([column.mean(), mean, (share * (x - mean) ** 2).sum()]))
    return torch.stack(rows).unbind(1)


def with_numpy(x, r):
    x, r = x.numpy(), r.numpy()
    means = [np.average(x, weights=column) for column in r.T]
    spreads = [np.cov(x, aweights=column, ddof=0) for column in r.T]
    return r.mean(0), np.array(means), np.array(spreads)


def m_step(x, r, weights=None, means=None, variances=None):
    """The right answer, with one part of it replaced."""
    right = second_moment_minus_square(x, r)
    return tuple(
        new if new is not None else old for new, old in zip((weights, means, variances), right, strict=True)
    )


def sharpened(r):
    return one_hot(r.argmax(1), r.shape[1]).float()


RIGHT["5.3"] = [
    second_moment_minus_square,
    component_by_component,
    with_numpy,
    lambda x, r: torch.stack(second_moment_minus_square(x, r)),
]
WRONG["5.3"] = [
    (lambda x, r: second_moment_minus_square(x, sharpened(r)), "to one component as a whole"),
    (lambda x, r: m_step(x, r, weights=r.sum(0)), "the weights are counts"),
    (lambda x, r: m_step(x, r, weights=r.sum(0) / r.shape[1]), "the number of components"),
    (lambda x, r: m_step(x, r, weights=torch.full_like(r[0], 1 / r.shape[1])), "all weights are equal"),
    (lambda x, r: m_step(x, r, weights=r.mean(1)), "averaged over the components"),
    (lambda x, r: m_step(x, r, weights=(r / r.sum(0)).sum(0)), "each weight is one"),
    (lambda x, r: m_step(x, r, weights=(r / r.sum(0)).mean(0)), "each weight is 1/n"),
    (lambda x, r: m_step(x, r, variances=1 / m_step(x, r)[2]), "precisions"),
    (lambda x, r: m_step(x, r, variances=len(x) / (len(x) - 1) * m_step(x, r)[2]), "n/(n - 1) times"),
    (
        lambda x, r: m_step(x, r, variances=(r.mean(0) @ m_step(x, r)[2]).expand(r.shape[1])),
        "shared by all components",
    ),
    (lambda x, r: m_step(x, r, weights=r.sum(1)), "which gives one"),
    (lambda x, r: m_step(x, r, means=(r * x[:, None]).mean(0)), "the number of all images"),
    (lambda x, r: m_step(x, r, means=r.T @ x), "these are sums"),
    (lambda x, r: m_step(x, r, means=x.mean().expand(r.shape[1])), "the mean of all images"),
    (lambda x, r: m_step(x, r, variances=(r * squared(x, r)).mean(0)), "the number of all images"),
    (lambda x, r: m_step(x, r, variances=(r * squared(x, r)).sum(0)), "sums of squares"),
    (lambda x, r: m_step(x, r, variances=second_moment_minus_square(x, r)[2].sqrt()), "standard deviations"),
    (lambda x, r: m_step(x, r, variances=(r * squared(x, r)).sum(0) / (r.sum(0) - 1)), "n - 1"),
    (lambda x, r: m_step(x, r, variances=r.T @ (x - x.mean()) ** 2 / r.sum(0)), "a mean of its own"),
    (lambda x, r: m_step(x, r, variances=r.T @ x**2 / r.sum(0)), "averages of x²"),
    (lambda x, r: m_step(x, r, variances=(r**2 * squared(x, r)).sum(0) / r.sum(0)), "r is squared"),
    (lambda x, r: m_step(x, r, variances=squared(x, r).mean(0)), "not weighted"),
    (
        lambda x, r: m_step(x, r, variances=x.var(correction=0).expand(r.shape[1])),
        "the variance of all images",
    ),
    (lambda x, r: m_step(x, r, weights=r.sum(0) / (len(x) - 1)), "by n - 1"),
    (lambda x, r: m_step(x, r, weights=r.sum(0).softmax(0)), "the softmax of the counts"),
    (
        lambda x, r: m_step(
            x, r, variances=r.T.mul((x - averages(x, r)[1][:, None]).abs()).sum(1) / r.sum(0)
        ),
        "Square them",
    ),
    (lambda x, r: (r.mean(0), *second_moment_minus_square(x, r)[:0:-1]), "the variances come second"),
    (lambda x, r: second_moment_minus_square(x, r)[::-1], "the variances come first"),
    (lambda x, r: averages(x, r)[::-1], "3 things should come back"),
    (lambda x, r: (*second_moment_minus_square(x, r)[1:], r.mean(0)), "The order is"),
    (lambda x, r: m_step(x, r, means=averages(x, r)[1] + 1), "means should be"),
]


# 5.4: two components that begin in one place -----------------------------------------------------------


def experiment(start=20.0, steps=40):
    """As in the chapter."""
    truth = GaussianMixture(
        torch.tensor([0.3, 0.7]).double(),
        torch.tensor([[10.0], [50.0]]).double(),
        torch.tensor([[25.0], [100.0]]).double(),
    )
    _, points = truth.sample(500, torch.Generator().manual_seed(8))
    means = torch.tensor([[20.0], [start]]).double()
    begin = GaussianMixture(torch.tensor([0.9, 0.1]).double(), means, torch.full((2, 1), 200.0).double())
    return em(begin, points, steps=steps)[0].means[0].item()


RIGHT["5.4"] = [(38, experiment), (np.float64(37.5), experiment), (torch.tensor([40.0]), experiment)]
WRONG["5.4"] = [
    ((50, experiment), "where most points are"),
    ((10, experiment), "in 40 steps nothing has parted the two"),
    ((14, experiment), "with 0.9 and 0.1"),
    ((46, experiment), "with 0.1 and 0.9"),
    ((30, experiment), "halfway"),
    ((22.0, experiment), "with 0.7 and 0.3"),
    ((20, experiment), "EM does leave its start"),
    ((35.9, experiment), "the mean comes to 38.4. Where both"),
    (("38", experiment), "should be a number"),
    ((38, lambda: experiment(21.0)), "was it changed?"),
]


# 5.5: completions with too much ink --------------------------------------------------------------------


def evidence(x, probs):
    return Bernoulli(probs[:, : x.shape[1]]).log_prob(x[:, None]).sum(2)


def by_bernoulli(x_known, weights, probs):
    posterior = Categorical(logits=evidence(x_known, probs) + weights.log()).probs
    return posterior @ probs[:, x_known.shape[1] :]


def joint_over_marginal(x_known, weights, probs):
    """p(this pixel white, known pixels) / p(known pixels), for each pixel on its own."""
    log_joint = evidence(x_known, probs) + weights.log()
    hidden = probs[:, x_known.shape[1] :]
    with_pixel = (log_joint[:, :, None] + hidden.log()).logsumexp(1)
    return (with_pixel - log_joint.logsumexp(1, keepdim=True)).exp()


def by_logits(x_known, weights, probs):
    known = x_known.shape[1]
    seen = probs[:, :known]
    scores = weights.log() + x_known @ seen.logit().T + torch.log1p(-seen).sum(1)
    return torch.einsum("nk,kd->nd", scores.softmax(1), probs[:, known:])


def by_products(x_known, weights, probs, little=0.0):
    seen = probs[:, : x_known.shape[1]]
    p = weights * torch.where(x_known[:, None] == 1, seen, 1 - seen).prod(2)
    return (p / (p.sum(1, keepdim=True) + little)) @ probs[:, x_known.shape[1] :]


def instead(log_pixels, prior=torch.log):
    """The chapter's function with another log-probability of each pixel, from x and p."""

    def answer(x_known, weights, probs):
        known = x_known.shape[1]
        log_joint = [
            prior(w) + log_pixels(x_known, p[:known]).sum(1) for w, p in zip(weights, probs, strict=True)
        ]
        return torch.stack(log_joint, 1).softmax(1) @ probs[:, known:]

    return answer


def coins(x, p):
    return x * p.log() + (1 - x) * (1 - p).log()


def minus_cross_entropy(x, p):
    return -binary_cross_entropy(p.expand(len(x), -1), x, reduction="none")


def shifted_by_all(x_known, weights, probs):
    scores = evidence(x_known, probs) + weights.log()
    p = (scores - scores.max()).exp()
    return p / p.sum(1, keepdim=True) @ probs[:, x_known.shape[1] :]


def hidden(x, p):
    return p[:, x.shape[1] :]


def clamped(x_known, weights, probs, little=0.001):
    score = evidence(x_known, probs.clamp(little, 1 - little)) + weights.log()
    return score.softmax(1) @ hidden(x_known, probs)


def products_in_double(x_known, weights, probs):
    return by_products(x_known.double(), weights.double(), probs.double())


def equal_if_nothing_is_left(x_known, weights, probs):
    seen = probs[:, : x_known.shape[1]]
    p = weights * torch.where(x_known[:, None] == 1, seen, 1 - seen).prod(2)
    return (p / p.sum(1, keepdim=True)).nan_to_num(1 / len(weights)) @ hidden(x_known, probs)


RIGHT["5.5"] = [
    by_bernoulli,
    joint_over_marginal,
    by_logits,
    instead(minus_cross_entropy),
    instead(lambda x, p: torch.where(x == 1, p, 1 - p).log()),
]
WRONG["5.5"] = [
    (instead(lambda x, p: (1 - x) * (1 - p).log()), "white pixels are no evidence"),
    (instead(lambda x, p: x * p.log() - (1 - x) * (1 - p).log()), "counted with the wrong sign"),
    (instead(lambda x, p: x * p.log() + (1 - x) * p.log()), "a black pixel is counted with log p"),
    (instead(lambda x, p: x * p.log() - (1 - x) * p.log()), "a black pixel is counted with -log p"),
    (instead(lambda x, p: x * p.log() + (1 - p).log()), "times 1 - x"),
    (instead(lambda x, p: coins(x, p) / x.shape[1]), "averaged over the pixels"),
    (instead(lambda x, p: coins(1 - x, p)), "white and black are exchanged"),
    (instead(coins, prior=lambda w: 0 * w), "the weights are left out"),
    (instead(coins, prior=lambda w: w), "it is their logarithm"),
    (instead(lambda x, p: 0 * x), "no influence"),
    (instead(lambda x, p: x * p), "the expected value of the pixels should be"),
    (lambda x, w, p: hidden(x, p)[(w.log() + evidence(x, p)).argmax(1)], "decides for the most probable"),
    (lambda x, w, p: by_bernoulli(x, w, p).round(), "decides for black or white"),
    (lambda x, w, p: (w.log() + evidence(x, p)).softmax(0) @ hidden(x, p), "over the images"),
    (lambda x, w, p: (w.log() + evidence(x, p)).exp() @ hidden(x, p), "not divided by its weights"),
    (lambda x, w, p: (w.log() + evidence(x, p)).softmax(1) @ hidden(x, p).log(), "mean of the logarithms"),
    (lambda x, w, p: (w.log() + evidence(x, p)).softmax(1), "one column for each component"),
    (lambda x, w, p: torch.cat([x, by_bernoulli(x, w, p)], 1), "these are all pixels"),
    (instead(lambda x, p: x * p.log() + (1 - x) * (1 - p)), "counted with 1 - p itself"),
    (instead(lambda x, p: x * p.log() + x * (1 - p).log()), "multiplied by x"),
    (lambda *given: 1 - by_bernoulli(*given), "the probability of black"),
    (lambda x, w, p: by_bernoulli(x, w, p)[:1].expand(len(x), -1), "what belongs to the first"),
    (lambda x, w, p: (w.log() + evidence(x, p)).softmax(1) @ p, "the averages of all pixels"),
    (lambda x, w, p: (w.log() + evidence(x, p)).softmax(1) @ p[:, : x.shape[1]], "that were given. Return"),
    (clamped, "cut off at 0.001"),
    (lambda x, w, p: clamped(x, w, p, 0.01), "cut off at 0.01"),
    (products_in_double, "✗ 5.5: right while few pixels are known; with a thousand"),
    (equal_if_nothing_is_left, "equal responsibilities are no answer"),
    (lambda *given: by_products(*given).nan_to_num(), "rounds to zero. Stay"),
    (by_products, "0/0 is NaN"),
    (lambda x, w, p: by_products(x, w, p, 1e-30), "rounds to zero. Stay"),
    (shifted_by_all, "the largest of all"),
]


# 5.6: the posterior of probabilistic PCA -------------------------------------------------------------


def by_the_precision(x, W, mu, noise_variance):
    covariance = torch.linalg.inv(torch.eye(W.shape[1]) + W.T @ W / noise_variance)
    return (x - mu) @ W @ covariance / noise_variance, covariance


def conditioning_the_joint(x, W, mu, noise_variance):
    """The rule for a part of a normal vector given the other, with the (D, D) covariance of x."""
    gain = W.T @ torch.linalg.inv(W @ W.T + noise_variance * torch.eye(len(W)))
    return (gain @ (x - mu).T).T, torch.eye(W.shape[1]) - gain @ W


def by_torch_distributions(x, W, mu, noise_variance):
    M = W.T @ W + noise_variance * torch.eye(W.shape[1])
    mean = torch.cholesky_solve(((x - mu) @ W).T, torch.linalg.cholesky(M)).T
    return mean, MultivariateNormal(
        torch.zeros(W.shape[1]), precision_matrix=M / noise_variance
    ).covariance_matrix


def m_inverse(W, share):
    return torch.linalg.inv(W.T @ W + share * torch.eye(W.shape[1]))


def with_mean(mean):
    return lambda x, W, mu, s: (mean(x, W, mu, s), s * m_inverse(W, s))


def with_covariance(covariance):
    return lambda x, W, mu, s: (by_the_precision(x, W, mu, s)[0], covariance(W, s))


RIGHT["5.6"] = [by_the_precision, conditioning_the_joint, by_torch_distributions]
WRONG["5.6"] = [
    (with_mean(lambda x, W, mu, s: x @ W @ m_inverse(W, s)), "μ is not subtracted"),
    (with_mean(lambda x, W, mu, s: (x + mu) @ W @ m_inverse(W, s)), "μ is added"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, 1)), "in C⁻¹ and beside zᵀ"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ torch.linalg.pinv(W).T), "least squares"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ torch.linalg.inv(W.T @ W + s)), "to every entry of WᵀW"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W), "this is Wᵀ(x - μ)."),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W / s), "Multiply it by C"),
    (with_mean(lambda x, W, mu, s: (mu - x) @ W @ m_inverse(W, s)), "the sign is wrong"),
    (
        with_mean(lambda x, W, mu, s: (x - mu) @ W @ torch.linalg.inv(m_inverse(W, s)) / s**2),
        "multiplied by C⁻¹",
    ),
    (with_mean(lambda x, W, mu, s: 2 * (x - mu) @ W @ m_inverse(W, s)), "it is twice too large"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, s) / 2), "it is half of"),
    (with_mean(lambda x, W, mu, s: 2 * (x - mu) @ W @ m_inverse(W, 2 * s)), "WᵀW is halved"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ torch.linalg.inv(m_inverse(W, s))), "by its inverse"),
    (with_mean(lambda x, W, mu, s: s * (x - mu) @ W @ m_inverse(W, s)), "too small by the factor σ²"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, s) / s), "once too often"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, s**0.5)), "σ stands where"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, s**2)), "was squared"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, 1 / s) / s**2), "multiplied by σ² in C⁻¹"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, 1) / s), "σ² is missing in C⁻¹"),
    (with_mean(lambda x, W, mu, s: m_inverse(W, s) @ W.T @ (x - mu).T), "transposed"),
    (with_mean(lambda x, W, mu, s: ((x - mu) @ W @ m_inverse(W, s))[0]), "the mean should have shape"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, s) + 1), "the mean should be"),
    (with_covariance(lambda W, s: m_inverse(W, s)), "C is σ² times that."),
    (with_covariance(lambda W, s: m_inverse(W, s) / s), "C is σ² times that inverse"),
    (with_covariance(lambda W, s: torch.linalg.inv(m_inverse(W, s))), "C is σ² times the inverse"),
    (with_covariance(lambda W, s: torch.linalg.inv(m_inverse(W, s)) / s), "the precision"),
    (with_covariance(lambda W, s: 2 * s * m_inverse(W, s)), "it is twice too large"),
    (with_covariance(lambda W, s: s * m_inverse(W, s) / 2), "it is half of"),
    (with_covariance(lambda W, s: 2 * s * m_inverse(W, 2 * s)), "WᵀW is halved"),
    (with_covariance(lambda W, s: s * torch.linalg.inv(W.T @ W + s)), "to every entry of WᵀW"),
    (with_covariance(lambda W, s: s**0.5 * m_inverse(W, s**0.5)), "σ stands where"),
    (with_covariance(lambda W, s: s * m_inverse(W, 1)), "I stands without σ²"),
    (with_covariance(lambda W, s: m_inverse(W, 1)), "σ² is missing in C⁻¹"),
    (with_covariance(lambda W, s: m_inverse(W, 1 / s) / s), "multiplied by σ² in C⁻¹"),
    (with_covariance(lambda W, s: s * m_inverse(W.T, s)), "WWᵀ stands where"),
    (with_covariance(lambda W, s: W @ W.T + s * torch.eye(len(W))), "the covariance of x"),
    (with_covariance(lambda W, s: torch.eye(W.shape[1])), "the prior's covariance"),
    (with_covariance(lambda W, s: (s * m_inverse(W, s)).diagonal().diag()), "outside its diagonal"),
    (with_covariance(lambda W, s: (s * m_inverse(W, s)).diagonal()), "the variances alone"),
    (with_covariance(lambda W, s: s * m_inverse(W, 0)), "comes from the prior"),
    (with_covariance(lambda W, s: (s * m_inverse(W, s)).expand(7, -1, -1)), "does not depend on x"),
    (lambda x, W, mu, s: by_the_precision(x, W, mu, s)[::-1], "the covariance comes first"),
    (lambda x, W, mu, s: by_the_precision(x, W, mu, s)[0], "2 things should come back"),
]


# 5.7: fitting by eigenvalues -------------------------------------------------------------------------


def column_by_column(values, vectors, d):
    noise = sum(values[d:]) / (len(values) - d)
    return torch.stack([math.sqrt(values[j] - noise) * vectors[:, j] for j in range(d)], dim=1), noise


def by_a_diagonal_matrix(values, vectors, d):
    noise = (values.sum() - values[:d].sum()) / (len(values) - d)
    return vectors[:, :d] @ torch.diag(values[:d].sub(noise) ** 0.5), noise


def turned(values, vectors, d):
    """Any rotation of the columns, and any sign, gives the same density."""
    W, noise = by_a_diagonal_matrix(values, vectors, d)
    return W @ torch.linalg.qr(torch.randn(d, d)).Q, float(noise)


def with_noise(noise):
    return lambda values, U, d: (by_a_diagonal_matrix(values, U, d)[0], noise(values, d))


def with_loadings(loadings):
    return lambda values, U, d: (loadings(values[:d], values[d:].mean(), U, d), values[d:].mean())


RIGHT["5.7"] = [column_by_column, by_a_diagonal_matrix, turned]
WRONG["5.7"] = [
    (with_noise(lambda values, d: values[d:].sum()), "this is the sum"),
    (with_noise(lambda values, d: values[d:].sum() / len(values)), "divided by all D"),
    (with_noise(lambda values, d: values.mean()), "the mean of all eigenvalues"),
    (with_noise(lambda values, d: values[:d].mean()), "do *not* explain"),
    (with_noise(lambda values, d: values[d - 1 :].mean()), "one eigenvalue too many"),
    (with_noise(lambda values, d: values[d + 1 :].mean()), "one eigenvalue is left out"),
    (with_noise(lambda values, d: values[-1]), "the smallest eigenvalue"),
    (with_noise(lambda values, d: values[d]), "the largest that is left"),
    (with_noise(lambda values, d: values[d:].mean().sqrt()), "this is σ."),
    (with_noise(lambda values, d: values[d:].median()), "this is the median"),
    (with_noise(lambda values, d: values[d:].sum() / d), "divided by d."),
    (with_noise(lambda values, d: values[d:].sum() / (len(values) - d - 1)), "divided by D - d - 1"),
    (with_noise(lambda values, d: values[-d:].mean()), "the mean of the last d"),
    (with_noise(lambda values, d: values[:-d].mean()), "the last d eigenvalues are left out"),
    (with_noise(lambda values, d: values[d:].mean() ** 2), "their mean was squared"),
    (lambda values, U, d: by_a_diagonal_matrix(values, U, 2), "W should have shape (D, d) = (4, 1)"),
    (with_noise(lambda values, d: values[d:]), "one number for all directions"),
    (with_noise(lambda values, d: 2 * values[d:].mean()), "σ² should be"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top - s)), "the root is missing"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * top.sqrt()), "σ² is not subtracted"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top + s).sqrt()), "σ² is added"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top.sqrt() - s.sqrt())), "the roots are subtracted"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top - s.sqrt()).sqrt()), "σ is subtracted"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * top), "eigenvalues times directions"),
    (with_loadings(lambda top, s, U, d: U[:, :d]), "all columns have length one"),
    (with_loadings(lambda top, s, U, d: U[:, :d] @ (torch.diag(top) - s).sqrt()), "W contains NaN: a root"),
    (with_loadings(lambda top, s, U, d: U[:d].T * (top - s).sqrt()), "rows of `vectors`"),
    (with_loadings(lambda top, s, U, d: U[:, -d:] * (top - s).sqrt()), "the last d directions"),
    (with_loadings(lambda top, s, U, d: (U[:, :d] * (top - s).sqrt()).T), "W is transposed"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top.sqrt() - s)), "subtracted from the root"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top - s) @ U[:, :d].T), "W should have shape"),
    (with_loadings(lambda top, s, U, d: U), "W should have shape"),
    (with_loadings(lambda top, s, U, d: 2 * U[:, :d] * (top - s).sqrt()), "what W adds"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top - s).sqrt() @ U[:, :d].T), "W should have shape"),
    (lambda values, U, d: by_a_diagonal_matrix(values, U, d)[::-1], "W comes first"),
]
