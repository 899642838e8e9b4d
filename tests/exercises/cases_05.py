"""Answers to the exercises of chapter 5: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import norm
from torch.distributions import Bernoulli, Categorical, MixtureSameFamily, MultivariateNormal, Normal
from torch.nn.functional import one_hot

RIGHT = {}
WRONG = {}


# 5.1: the log-density of a mixture -------------------------------------------------------------------


def bells(x, means, variances):
    return Normal(means, variances.sqrt()).log_prob(x[:, None])


def joint(x, weights, means, variances):
    return weights.log() + bells(x, means, variances)


def with_torch_distributions(x, weights, means, variances):
    return MixtureSameFamily(Categorical(weights), Normal(means, variances.sqrt())).log_prob(x)


def largest_term_first(x, weights, means, variances):
    squares = (x.unsqueeze(1) - means) ** 2
    terms = weights.log() - 0.5 * (squares / variances + variances.log() + math.log(2 * math.pi))
    top = terms.max(dim=1, keepdim=True).values
    return (top + (terms - top).exp().sum(1, keepdim=True).log()).squeeze(1)


def with_scipy(x, weights, means, variances):
    densities = norm(means.numpy(), variances.numpy() ** 0.5).logpdf(x.numpy()[:, None])
    return logsumexp(densities, b=weights.numpy(), axis=1)


def one_bell_after_another(x, weights, means, variances):
    total = torch.full_like(x, -math.inf)
    for w, m, v in zip(weights, means, variances, strict=True):
        total = torch.logaddexp(total, w.log() + Normal(m, v.sqrt()).log_prob(x))
    return total


def log_of_a_sum(x, weights, means, variances):
    return joint(x, weights, means, variances).exp().sum(1).log()


RIGHT["5.1"] = [with_torch_distributions, largest_term_first, with_scipy, one_bell_after_another]
WRONG["5.1"] = [
    (joint, "one for each component"),
    (lambda x, w, m, v: joint(x, w, m, v).sum(1), "a product of bells"),
    (lambda x, w, m, v: bells(x, m, v).sum(1), "without their weights"),
    (lambda x, w, m, v: (w * bells(x, m, v)).sum(1), "the average of the logarithms"),
    (lambda x, w, m, v: bells(x, m, v).logsumexp(1), "the weights π_k are missing"),
    (lambda x, w, m, v: bells(x, m, v).exp().mean(1).log(), "the same weight"),
    (lambda x, w, m, v: (w + bells(x, m, v)).logsumexp(1), "it is their logarithm"),
    (lambda x, w, m, v: joint(x, w, m, v**2).logsumexp(1), "was given the variance"),
    (lambda x, w, m, v: joint(x, w, m, v).exp().sum(1), "this is p(x)"),
    (lambda x, w, m, v: joint(x, w, m, v).max(1).values, "the largest term alone"),
    (lambda x, w, m, v: -joint(x, w, m, v).logsumexp(1), "the sign is wrong"),
    (lambda x, w, m, v: joint(x, w, m, v).logsumexp(1).sum(), "shape (7,)"),
    (lambda x, w, m, v: joint(x, w, m, v).logsumexp(0), "shape (7,)"),
    (log_of_a_sum, "log 0 is -inf"),
    (lambda x, w, m, v: (joint(x, w, m, v).exp().sum(1) + 1e-12).log(), "hides the error"),
    (lambda x, w, m, v: log_of_a_sum(x, w, m, v).clamp(min=-100), "hides the error"),
    (lambda x, w, m, v: (w.log() - (x[:, None] - m) ** 2 / (2 * v)).logsumexp(1), "have no height"),
    (lambda x, w, m, v: joint(x, w, m, v).logsumexp(1) + 0.5 * math.log(2 * math.pi), "½ log 2π of each"),
    (lambda x, w, m, v: (joint(x, w, m, v) + 0.5 * v.log()).logsumexp(1), "the term -log σ_k"),
    (lambda x, w, m, v: joint(x, w, m, v).logsumexp(1) / math.log(2), "log p(x) should be"),
]


# 5.2: responsibilities -------------------------------------------------------------------------------


def joint_minus_marginal(x, weights, means, variances):
    log_joint = joint(x, weights, means, variances)
    return (log_joint - log_joint.logsumexp(1, keepdim=True)).exp()


def row_by_row(x, weights, means, variances):
    rows = []
    for value in x:
        scores = weights.log() + Normal(means, variances.sqrt()).log_prob(value)
        scores = (scores - scores.max()).exp()
        rows.append(scores / scores.sum())
    return torch.stack(rows)


def a_categorical(x, weights, means, variances):
    return Categorical(logits=joint(x, weights, means, variances)).probs


def quotient(x, weights, means, variances):
    p = joint(x, weights, means, variances).exp()
    return p / p.sum(1, keepdim=True)


def quotient_and_a_little(x, weights, means, variances):
    p = joint(x, weights, means, variances).exp()
    return p / (p.sum(1, keepdim=True) + 1e-12)


def quotient_of_a_little(x, weights, means, variances):
    p = joint(x, weights, means, variances).exp() + 1e-12
    return p / p.sum(1, keepdim=True)


def heightless(x, weights, means, variances):
    return (weights.log() - (x[:, None] - means) ** 2 / (2 * variances)).softmax(1)


RIGHT["5.2"] = [joint_minus_marginal, row_by_row, a_categorical]
WRONG["5.2"] = [
    (lambda x, w, m, v: joint(x, w, m, v).softmax(0), "each column adds up to one"),
    (lambda x, w, m, v: bells(x, m, v).softmax(1), "the weights π_k are missing"),
    (lambda x, w, m, v: (w + bells(x, m, v)).softmax(1), "it is their logarithm"),
    (lambda x, w, m, v: joint(x, w, m, v).exp(), "this is the joint"),
    (lambda x, w, m, v: bells(x, m, v).exp(), "the density p(x | z = k)"),
    (lambda x, w, m, v: joint(x, w, m, v).log_softmax(1), "these are log-probabilities"),
    (joint, "A softmax over the components"),
    (lambda x, w, m, v: joint(x, w, m, v**2).softmax(1), "was given the variance"),
    (heightless, "the factor 1/σ_k"),
    (lambda x, w, m, v: one_hot(joint(x, w, m, v).argmax(1), len(w)).float(), "the most probable component"),
    (lambda x, w, m, v: joint(x, w, m, v).softmax(1).T, "rows and columns"),
    (lambda x, w, m, v: joint(x, w, m, v).argmax(1), "too few"),
    (quotient, "0/0 is NaN"),
    (quotient_and_a_little, "the row adds up to zero"),
    (quotient_of_a_little, "a small number put into the quotient"),
    (lambda x, w, m, v: (0.5 * joint(x, w, m, v)).softmax(1), "p(z = k | x) should be"),
]


# 5.3: the bound --------------------------------------------------------------------------------------


def where_q_lives(log_joint, q):
    return torch.where(q > 0, q * (log_joint - q.clamp(min=1e-30).log()), 0.0).sum(1)


def log_p_minus_the_gap(log_joint, q):
    gap = (torch.xlogy(q, q) - q * log_joint.log_softmax(1)).sum(1)
    return log_joint.logsumexp(1) - gap


def in_a_loop(log_joint, q):
    total = torch.zeros(len(q))
    for k in range(q.shape[1]):
        log_q = q[:, k].log().nan_to_num(neginf=0.0)
        total = total + q[:, k] * (log_joint[:, k] - log_q)
    return total


def through_the_posterior(log_joint, q):
    return (log_joint.softmax(1) * (log_joint - q.log())).sum(1)


RIGHT["5.3"] = [
    where_q_lives,
    log_p_minus_the_gap,
    in_a_loop,
    lambda log_joint, q: (q * log_joint).sum(1) + Categorical(q).entropy(),
]
WRONG["5.3"] = [
    (lambda j, q: (q * (j + q.log())).sum(1), "the sign of log q"),
    (lambda j, q: (q * j).sum(1), "the entropy of q is missing"),
    (lambda j, q: Categorical(q).entropy(), "the entropy of q alone"),
    (lambda j, q: j.logsumexp(1), "this is log p(x)"),
    (lambda j, q: (q * (j.exp() / q)).sum(1).log(), "this is log p(x)"),
    (lambda j, q: (q * (q.log() - j.log_softmax(1))).sum(1), "this is the gap"),
    (lambda j, q: (q * (j.log_softmax(1) - q.log())).sum(1), "minus the KL"),
    (lambda j, q: (q * (q.log() - j)).sum(1), "a loss"),
    (lambda j, q: (j - q.log()).sum(1), "without their weights"),
    (lambda j, q: (j - q.log()).mean(1), "equally probable"),
    (lambda j, q: (q * (j - q.log())).mean(1), "averaged over the components"),
    (through_the_posterior, "under the posterior"),
    (lambda j, q: (q * (j.exp() - q.log())).sum(1), "a logarithm already"),
    (lambda j, q: (q * (j - q)).sum(1), "where log q belongs"),
    (lambda j, q: q * (j - q.log()), "the terms of the expectation"),
    (lambda j, q: (q * (j - q.log())).sum(), "shape (6,)"),
    (lambda j, q: (q * (j - q.log())).sum(1), "0 · -inf = NaN"),
    (lambda j, q: (q * j - 2 * torch.xlogy(q, q)).sum(1), "the bound should be"),
]


# 5.4: the M-step -------------------------------------------------------------------------------------


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


RIGHT["5.4"] = [second_moment_minus_square, component_by_component, with_numpy]
WRONG["5.4"] = [
    (lambda x, r: second_moment_minus_square(x, sharpened(r)), "to one component as a whole"),
    (lambda x, r: m_step(x, r, weights=r.sum(0)), "the weights are counts"),
    (lambda x, r: m_step(x, r, weights=r.sum(0) / 3), "the number of components"),
    (lambda x, r: m_step(x, r, weights=torch.full((3,), 1 / 3)), "all weights are equal"),
    (lambda x, r: m_step(x, r, weights=r.mean(1)), "Sum over the images"),
    (lambda x, r: m_step(x, r, means=(r * x[:, None]).mean(0)), "the number of all images"),
    (lambda x, r: m_step(x, r, means=r.T @ x), "these are sums"),
    (lambda x, r: m_step(x, r, means=x.mean().expand(3)), "the mean of all images"),
    (lambda x, r: m_step(x, r, variances=(r * squared(x, r)).mean(0)), "the number of all images"),
    (lambda x, r: m_step(x, r, variances=(r * squared(x, r)).sum(0)), "sums of squares"),
    (lambda x, r: m_step(x, r, variances=second_moment_minus_square(x, r)[2].sqrt()), "standard deviations"),
    (lambda x, r: m_step(x, r, variances=(r * squared(x, r)).sum(0) / (r.sum(0) - 1)), "n - 1"),
    (lambda x, r: m_step(x, r, variances=r.T @ (x - x.mean()) ** 2 / r.sum(0)), "a mean of its own"),
    (lambda x, r: m_step(x, r, variances=r.T @ x**2 / r.sum(0)), "averages of x²"),
    (lambda x, r: m_step(x, r, variances=(r**2 * squared(x, r)).sum(0) / r.sum(0)), "r is squared"),
    (lambda x, r: m_step(x, r, variances=squared(x, r).mean(0)), "not weighted"),
    (lambda x, r: m_step(x, r, variances=x.var(correction=0).expand(3)), "the variance of all images"),
    (lambda x, r: averages(x, r)[::-1], "3 things should come back"),
    (lambda x, r: (*second_moment_minus_square(x, r)[1:], r.mean(0)), "The order is"),
    (lambda x, r: m_step(x, r, means=averages(x, r)[1] + 1), "means should be"),
]


# 5.5: completing an image ----------------------------------------------------------------------------


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


def white_alone(x, w, p):
    known = x.shape[1]
    return (w.log() + x @ p[:, :known].log().T).softmax(1) @ p[:, known:]


def hidden(x, p):
    return p[:, x.shape[1] :]


RIGHT["5.5"] = [by_bernoulli, joint_over_marginal, by_logits]
WRONG["5.5"] = [
    (white_alone, "black ones are not"),
    (lambda x, w, p: evidence(x, p).softmax(1) @ hidden(x, p), "the weights are left out"),
    (lambda x, w, p: (w @ hidden(x, p)).expand(len(x), -1), "no influence"),
    (lambda x, w, p: (w + evidence(x, p)).softmax(1) @ hidden(x, p), "it is their logarithm"),
    (lambda x, w, p: hidden(x, p)[(w.log() + evidence(x, p)).argmax(1)], "decides for the most probable"),
    (lambda x, w, p: by_bernoulli(x, w, p).round(), "decides for black or white"),
    (lambda x, w, p: (w.log() + evidence(x, p)).softmax(0) @ hidden(x, p), "over the images"),
    (lambda x, w, p: (w.log() + evidence(x, p)).exp() @ hidden(x, p), "not divided by its weights"),
    (lambda x, w, p: (w.log() + evidence(x, p)).softmax(1) @ hidden(x, p).log(), "mean of the logarithms"),
    (lambda x, w, p: (w.log() + evidence(x, p)).softmax(1), "one column for each component"),
    (lambda x, w, p: torch.cat([x, by_bernoulli(x, w, p)], 1), "these are all pixels"),
    (by_products, "0/0 is NaN"),
    (lambda x, w, p: by_products(x, w, p, 1e-30), "rounds to zero. Add logarithms"),
    (lambda x, w, p: by_bernoulli(1 - x, w, p), "the expected value of a pixel should be"),
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
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, 1)), "M is WᵀW + I here"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ torch.linalg.pinv(W).T), "least squares"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ torch.linalg.inv(W.T @ W + s)), "to every entry of WᵀW"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W), "not yet divided by M"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W / s), "what stands beside zᵀ"),
    (with_mean(lambda x, W, mu, s: (mu - x) @ W @ m_inverse(W, s)), "the sign is wrong"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ torch.linalg.inv(m_inverse(W, s))), "has its inverse"),
    (with_mean(lambda x, W, mu, s: s * (x - mu) @ W @ m_inverse(W, s)), "too small by the factor σ²"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, s) / s), "accounts for already"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, s**0.5)), "M has σ"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, s**2)), "was squared"),
    (with_mean(lambda x, W, mu, s: m_inverse(W, s) @ W.T @ (x - mu).T), "transposed"),
    (with_mean(lambda x, W, mu, s: ((x - mu) @ W @ m_inverse(W, s))[0]), "one mean for each x"),
    (with_mean(lambda x, W, mu, s: (x - mu) @ W @ m_inverse(W, s) + 1), "the mean should be"),
    (with_covariance(lambda W, s: m_inverse(W, s)), "σ² is missing"),
    (with_covariance(lambda W, s: s * torch.linalg.inv(m_inverse(W, s))), "this is σ²M."),
    (with_covariance(lambda W, s: torch.linalg.inv(m_inverse(W, s))), "this is M itself"),
    (with_covariance(lambda W, s: torch.linalg.inv(m_inverse(W, s)) / s), "the precision"),
    (with_covariance(lambda W, s: m_inverse(W, s) / s), "this is M⁻¹/σ²"),
    (with_covariance(lambda W, s: s**0.5 * m_inverse(W, s)), "the square root of σ²"),
    (with_covariance(lambda W, s: s * m_inverse(W, 1)), "M is WᵀW + I here"),
    (with_covariance(lambda W, s: torch.eye(2)), "the prior's covariance"),
    (with_covariance(lambda W, s: (s * m_inverse(W, s)).diagonal().diag()), "outside its diagonal"),
    (with_covariance(lambda W, s: (s * m_inverse(W, s)).diagonal()), "the variances alone"),
    (with_covariance(lambda W, s: s * m_inverse(W, 0)), "forgets the prior"),
    (with_covariance(lambda W, s: (s * m_inverse(W, s)).expand(7, 2, 2)), "does not depend on x"),
    (lambda x, W, mu, s: by_the_precision(x, W, mu, s)[::-1], "the mean comes first"),
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
    (with_noise(lambda values, d: values[d:]), "one number for all directions"),
    (with_noise(lambda values, d: 2 * values[d:].mean()), "σ² should be"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top - s)), "the root is missing"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * top.sqrt()), "σ² is not subtracted"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top + s).sqrt()), "σ² is added"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top.sqrt() - s.sqrt())), "the roots are subtracted"),
    (with_loadings(lambda top, s, U, d: U[:, :d] * (top - s.sqrt()).sqrt()), "σ is subtracted"),
    (with_loadings(lambda top, s, U, d: U[:, :d]), "all columns have length one"),
    (with_loadings(lambda top, s, U, d: U[:, :d] @ (torch.diag(top) - s).sqrt()), "W contains NaN: a root"),
    (with_loadings(lambda top, s, U, d: U[:d].T * (top - s).sqrt()), "rows of `vectors`"),
    (with_loadings(lambda top, s, U, d: U[:, -d:] * (top - s).sqrt()), "the last d directions"),
    (with_loadings(lambda top, s, U, d: (U[:, :d] * (top - s).sqrt()).T), "W is transposed"),
    (with_loadings(lambda top, s, U, d: U), "shape (6, 2)"),
    (with_loadings(lambda top, s, U, d: 2 * U[:, :d] * (top - s).sqrt()), "what W adds"),
    (lambda values, U, d: by_a_diagonal_matrix(values, U, d)[::-1], "W comes first"),
]
