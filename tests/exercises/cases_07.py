"""Answers to the exercises of chapter 7: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import scipy.special
import scipy.stats
import torch
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

RIGHT = {}
WRONG = {}

LOG_2PI = math.log(2 * math.pi)


# 7.1: the ELBO of a linear-Gaussian model ------------------------------------------------------------


def fit(squares, s):
    """log N with these squares, averaged or not, and variance s."""
    return -0.5 * (LOG_2PI + s.log() + squares / s)


def squares(x, w, m, v):
    return (x - w * m) ** 2 + w**2 * v


def kl(m, v):
    return 0.5 * (m**2 + v - 1 - v.log())


def elbo(x, w, s, m, v):
    return fit(squares(x, w, m, v), s) - kl(m, v)


def entropy(v):
    return 0.5 * (LOG_2PI + 1 + v.log())


def evidence(x, w, s):
    return Normal(0.0, (w**2 + s).sqrt()).log_prob(x)


def with_distributions(x, w, noise_variance, mean, variance):
    at_mean = Normal(w * mean, noise_variance.sqrt()).log_prob(x)
    q, prior = Normal(mean, variance.sqrt()), Normal(0.0, 1.0)
    return at_mean - w**2 * variance / (2 * noise_variance) - kl_divergence(q, prior)


def evidence_minus_gap(x, w, noise_variance, mean, variance):
    total = w**2 + noise_variance
    posterior_mean, posterior_variance = w * x / total, noise_variance / total
    ratio = variance / posterior_variance
    gap = 0.5 * (ratio + (mean - posterior_mean) ** 2 / posterior_variance - 1 - ratio.log())
    return evidence(x, w, noise_variance) - gap


def three_expectations(x, w, noise_variance, mean, variance):
    log_prior = -0.5 * (LOG_2PI + mean**2 + variance)
    return fit(squares(x, w, mean, variance), noise_variance) + log_prior + entropy(variance)


def by_quadrature(x, w, noise_variance, mean, variance):
    """All three densities at the nodes of Gauss and Hermite, which are exact for polynomials."""
    x, w, s, m, v = (a.numpy().astype(float)[..., None] for a in (x, w, noise_variance, mean, variance))
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    z = m + np.sqrt(v) * nodes
    log_joint = scipy.stats.norm.logpdf(x, w * z, np.sqrt(s)) + scipy.stats.norm.logpdf(z)
    log_q = scipy.stats.norm.logpdf(nodes) - 0.5 * np.log(v)
    return (log_joint - log_q) @ (weights / weights.sum())


def by_numpy(x, w, noise_variance, mean, variance):
    x, w, s, m, v = map(np.asarray, (x, w, noise_variance, mean, variance))
    second_moment = x**2 - 2 * x * w * m + w**2 * (m**2 + v)
    return -0.5 * (np.log(2 * np.pi * s) + second_moment / s + m**2 + v - 1 - np.log(v))


def by_draws(x, w, noise_variance, mean, variance):
    z = mean + variance.sqrt() * torch.randn(100, *torch.broadcast_shapes(mean.shape, x.shape))
    log_p = Normal(w * z, noise_variance.sqrt()).log_prob(x) + Normal(0.0, 1.0).log_prob(z)
    return (log_p - Normal(mean, variance.sqrt()).log_prob(z)).mean(0)


def draws_and_no_kl(x, w, noise_variance, mean, variance):
    return by_draws(x, w, noise_variance, mean, variance) - kl(mean, variance)


def mean_in_place(x, w, noise_variance, mean, variance):
    mean *= w
    return fit((x - mean) ** 2 + w**2 * variance, noise_variance) - kl(mean / w, variance)


def root_in_place(x, w, noise_variance, mean, variance):
    sd = variance.data.sqrt_()
    return fit(squares(x, w, mean, sd**2), noise_variance) - kl(mean, sd**2)


def root_in_numpy(x, w, noise_variance, mean, variance):
    value = variance.numpy()
    value **= 2
    return elbo(x, w, noise_variance, mean, variance.sqrt())


def row_by_row(x, w, noise_variance, mean, variance):
    return torch.stack([elbo(*row) for row in zip(x, w, noise_variance, mean, variance, strict=True)])


def with_variance_as_scale(x, w, s, m, v):
    return Normal(w * m, s).log_prob(x) - kl_divergence(Normal(m, v), Normal(0.0, 1.0))


def jensen_turned_round(x, w, s, m, v):
    return Normal(w * m, (s + w**2 * v).sqrt()).log_prob(x) - kl(m, v)


def all_at_the_mean(x, w, s, m, v):
    """log p(x, z) - log q(z) at z = m."""
    at_mean = Normal(w * m, s.sqrt()).log_prob(x) + Normal(0.0, 1.0).log_prob(m)
    return at_mean - Normal(m, v.sqrt()).log_prob(m)


def the_other_kl(x, w, s, m, v):
    return fit(squares(x, w, m, v), s) - kl_divergence(Normal(0.0, 1.0), Normal(m, v.sqrt()))


def knows_rows_alone(x, w, s, m, v):
    """A known mistake for rows, another one for arguments that broadcast."""
    return elbo(x, w, s, m, v) + (kl(m, v) if x.dim() == 1 else 0.5 * s.log())


def a_little_in_the_logarithm(x, w, s, m, v):
    return fit(squares(x, w, m, v), s) - 0.5 * (m**2 + v - 1 - (v + 1e-8).log())


RIGHT["7.1"] = [
    with_distributions,
    evidence_minus_gap,
    three_expectations,
    by_quadrature,
    by_numpy,
    lambda x, w, s, m, v: elbo(x, w, s, m, v).tolist(),
    lambda *arguments: elbo(*(a.double() for a in arguments)),
]
WRONG["7.1"] = [
    (lambda x, w, s, m, v: fit((x - w * m) ** 2, s) - kl(m, v), "is more than (x - w m)²"),
    (lambda x, w, s, m, v: fit((x - w * m) ** 2 + w * v, s) - kl(m, v), "here it is w times"),
    (lambda x, w, s, m, v: fit((x - w * m) ** 2 + v, s) - kl(m, v), "the factor w² is missing"),
    (lambda x, w, s, m, v: fit(squares(x, w, m, v**2), s) - kl(m, v), "was squared where"),
    (lambda x, w, s, m, v: fit((x - w * m) ** 2 - w**2 * v, s) - kl(m, v), "fits x less well: add it"),
    (lambda x, w, s, m, v: fit((x - w * m) ** 2, s) - w**2 * v / 2 - kl(m, v), "not divided by s² as"),
    (jensen_turned_round, "the logarithm is taken of the average"),
    (all_at_the_mean, "at z = the mean of q"),
    (lambda x, w, s, m, v: fit(squares(x, w, m, v), s) + kl(m, v), "the KL is added"),
    (lambda x, w, s, m, v: fit(squares(x, w, m, v), s), "the KL from q to the prior is missing"),
    (lambda x, w, s, m, v: -kl(m, v) + 0 * x, "this is minus the KL"),
    (lambda x, w, s, m, v: kl(m, v) + 0 * x, "this is the KL"),
    (lambda x, w, s, m, v: -elbo(x, w, s, m, v), "a loss"),
    (lambda x, w, s, m, v: evidence(x, w, s), "this is log p(x), whatever q is"),
    (lambda x, w, s, m, v: evidence(x, w, s) - elbo(x, w, s, m, v), "this is the gap"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) - evidence(x, w, s), "this is minus KL(q ‖ posterior)"),
    (lambda x, w, s, m, v: fit(squares(x, w, m, v), s) + entropy(v), "E_q[log p(z)] is missing"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) - entropy(v), "the entropy of q is missing"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) - 2 * entropy(v), "E_q[log q(z)] is added"),
    (lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - 0.5 * (m**2 + v - v.log()), "½ too low everywhere"),
    (lambda x, w, s, m, v: fit(x**2 - 2 * x * w * m + w**2 * v, s) - kl(m, v), "v stands in its place"),
    (
        lambda x, w, s, m, v: fit((x - w * m) ** 2 + w**2 * (m**2 + v), s) - kl(m, v),
        "the mean in it once more",
    ),
    (
        lambda x, w, s, m, v: -0.5 * (LOG_2PI + s.log() + squares(x, w, m, v) / s**2) - kl(m, v),
        "divided by the",
    ),
    (lambda x, w, s, m, v: -LOG_2PI - s.log() - squares(x, w, m, v) / (2 * s) - kl(m, v), "½ of log(2πs²)"),
    (lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - 0.5 * (m**2 + v + 1 - v.log()), "where you have +1"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) + 0.5 * LOG_2PI, "the constant -½ log 2π"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) + 0.5 * s.log(), "the term -½ log s²"),
    (lambda x, w, s, m, v: -squares(x, w, m, v) / (2 * s) - kl(m, v), "only the square is there"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) - 0.5 * s.log(), "log s² enters with the factor 1"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) + LOG_2PI + s.log(), "A wide Gaussian is a low one"),
    (
        lambda x, w, s, m, v: -0.5 * (LOG_2PI + s.log() + squares(x, w, m, v)) - kl(m, v),
        "the squares are not divided by s²",
    ),
    (
        lambda x, w, s, m, v: -0.5 * (LOG_2PI + s.log()) - squares(x, w, m, v) / s - kl(m, v),
        "the factor ½ of the squares",
    ),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) - kl(m, v), "the factor ½ of the KL"),
    (
        lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - 0.5 * (m**2 + v - 1),
        "the term -½ log v of the KL is missing",
    ),
    (
        lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - 0.5 * (m**2 + v - 1 + v.log()),
        "log v enters the KL with a plus",
    ),
    (
        lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - 0.5 * (m**2 + v - 1) + v.log(),
        "the KL has -log v",
    ),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) + 0.5 * v, "the v of the KL, or of E_q[log p(z)], is missing"),
    (
        lambda x, w, s, m, v: fit((x - w * m) ** 2, s) - 0.5 * (m**2 - 1 - v.log()),
        "or of E_q[log p(z)], is missing too",
    ),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) - 0.5 * LOG_2PI, "log 2π enters with the factor 1"),
    (lambda x, w, s, m, v: elbo(x, -w, s, m, v), "that of x - w m"),
    (
        lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - 0.5 * (m + v - 1 - v.log()),
        "enters the KL as its square",
    ),
    (
        lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - 0.5 * (v - 1 - v.log()),
        "the m² of the KL, or of E_q[log p(z)], is missing",
    ),
    (
        lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - 0.5 * (LOG_2PI + v) + entropy(v),
        "the m² of the KL, or of E_q[log p(z)], is missing",
    ),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v**2), "where w z is averaged and in the KL."),
    (lambda x, w, s, m, v: elbo(x, w, s**2, m, v**2), "noise_variance is squared too"),
    (knows_rows_alone, "perhaps: the KL from q to the prior is missing"),
    (lambda x, w, s, m, v: -kl(m, v), "this is minus the KL. E_q[log p(x | z)] is missing. Nor has it"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v).reshape(-1, 1), "the ELBO should have shape (8,)"),
    (
        lambda x, w, s, m, v: elbo(x, w, s, m, v) if x.dim() else elbo(x, w, s, m, v)[None],
        "shape (), and has",
    ),
    (lambda x, w, s, m, v: elbo(x, w.abs(), s, m, v), "the ELBO should be"),
    (the_other_kl, "the other KL"),
    (
        lambda x, w, s, m, v: fit((x - w * m) ** 2 + w**2 * v.exp(), s) - 0.5 * (m**2 + v.exp() - 1 - v),
        "was taken for a logarithm",
    ),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) / math.log(2), "these are bits"),
    (lambda x, w, s, m, v: elbo(x, w, s**2, m, v), "in its place in log p(x | z)."),
    (
        lambda x, w, s, m, v: Normal(w * m, s).log_prob(x) - w**2 * v / (2 * s) - kl(m, v),
        "though not where",
    ),
    (lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - kl(m, v**2), "in its place in the KL."),
    (
        lambda x, w, s, m, v: fit(squares(x, w, m, v), s**2) - kl(m, v**2),
        "in log p(x | z) and in the KL.",
    ),
    (lambda x, w, s, m, v: Normal(w * m, s).log_prob(x) - kl(m, v), "in log p(x | z). Also, E_q"),
    (
        lambda x, w, s, m, v: Normal(w * m, s.sqrt()).log_prob(x) - kl(m, v**2),
        "in the KL. Also, E_q",
    ),
    (with_variance_as_scale, "in log p(x | z) and in the KL. Also, E_q"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v).mean(), "one number for all examples"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v).sum(), "no sum, no mean over them"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v).mean(0) + 0 * x, "at index"),
    (row_by_row, "your code stopped with"),
    (by_draws, "gives other numbers at each call"),
    (draws_and_no_kl, "the expectation is asked for"),
    (mean_in_place, "changes its argument mean in place"),
    (root_in_place, "changes its argument variance in place"),
    (root_in_numpy, "changes its argument variance in place"),
    (a_little_in_the_logarithm, "Perhaps a small number is added"),
    (lambda x, w, s, m, v: elbo(x, w, s.clamp(min=1e-6), m, v.clamp(min=1e-6)), "or a variance is clamped"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v.clamp(max=100.0)), "but the ELBO should be"),
    (lambda x, w, s, m, v: elbo(x.clamp(-10, 10), w, s, m, v), "but the ELBO should be"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v) + 0.01 * x, "the ELBO should be"),
    (lambda x, w, s, m, v: elbo(x, w, s, m, v.log()), "contains NaN"),
    (lambda x, w, s, m, v: fit(squares(x, w, m, v), s) - kl(m, v).sum(), "the ELBO should be"),
    (lambda x, w, s, m: elbo(x, w, s, m, s), "cannot be called with"),
    (-1.3, "a function is needed"),
]


# 7.2: what a diagonal q costs ------------------------------------------------------------------------


def logs(precision):
    return precision.diagonal().log().sum()


def half_gap_of(variances, precision):
    """KL(q ‖ posterior) for a q with these variances."""
    trace = (precision.diagonal() * variances).sum()
    return 0.5 * (trace - len(precision) - variances.log().sum() - torch.logdet(precision))


def by_kl_divergence(precision):
    zero = torch.zeros(len(precision), dtype=precision.dtype)
    q = MultivariateNormal(zero, covariance_matrix=torch.diag(1 / precision.diagonal()))
    return kl_divergence(q, MultivariateNormal(zero, precision_matrix=precision))


def by_correlations(precision):
    root = precision.diagonal().sqrt()
    return -0.5 * torch.logdet(precision / root / root[:, None])


def determinant_of_correlations(precision):
    root = precision.diagonal().sqrt()
    return -0.5 * torch.det(precision / root / root[:, None]).log()


def by_cholesky(precision):
    factor = torch.linalg.cholesky(precision)
    return sum(math.log(a) / 2 - math.log(b) for a, b in zip(precision.diag(), factor.diag(), strict=True))


def by_numpy_slogdet(precision):
    matrix = precision.numpy()
    return 0.5 * (np.log(np.diag(matrix)).sum() - np.linalg.slogdet(matrix)[1])


def one_dimension_after_another(precision):
    """Eliminate one dimension after another; what the diagonal loses is the gap."""
    remaining, total = precision.double(), 0.0
    while len(remaining) > 1:
        rest = remaining[1:, 1:] - torch.outer(remaining[1:, 0], remaining[0, 1:]) / remaining[0, 0]
        total += 0.5 * (remaining[1:, 1:].diagonal() / rest.diagonal()).log().sum()
        remaining = rest
    return torch.as_tensor(total)


def by_logdet_of_the_covariance(precision):
    return 0.5 * (logs(precision) + torch.logdet(torch.linalg.inv(precision)))


def determinant_and_a_little(precision):
    return 0.5 * (logs(precision) - (torch.det(precision) + 1e-8).log())


def two_dimensions(precision):
    rho = precision[0, 1] / (precision[0, 0] * precision[1, 1]).sqrt()
    return -0.5 * torch.log(1 - rho**2)


def diagonal_in_place(precision):
    diagonal = precision.diagonal().log_()
    return 0.5 * (diagonal.sum() - torch.logdet(precision))


def scaled_in_numpy(precision):
    matrix = precision.numpy()
    matrix /= np.sqrt(np.outer(np.diag(matrix).copy(), np.diag(matrix).copy()))
    return -0.5 * np.linalg.slogdet(matrix)[1]


def by_other_kl(precision):
    variances = torch.linalg.inv(precision).diagonal()
    return 0.5 * (variances.log().sum() + torch.logdet(precision))


RIGHT["7.2"] = [
    by_kl_divergence,
    by_correlations,
    by_cholesky,
    by_numpy_slogdet,
    one_dimension_after_another,
    by_logdet_of_the_covariance,
    lambda precision: half_gap_of(1 / precision.diagonal(), precision),
    lambda precision: 0.5 * (logs(precision) - torch.linalg.eigvalsh(precision).log().sum()).item(),
    lambda precision: [float(by_correlations(precision))],
]
WRONG["7.2"] = [
    (lambda p: 0.5 * (torch.logdet(p) - logs(p)), "A KL is never negative"),
    (lambda p: logs(p) - torch.logdet(p), "the factor ½ is missing"),
    (lambda p: torch.logdet(p) - logs(p), "the sign is wrong, and the factor ½"),
    (lambda p: 0.5 * logs(p) - torch.logdet(p), "the factor ½ of log det Λ"),
    (lambda p: logs(p) - 0.5 * torch.logdet(p), "the factor ½ of the sum"),
    (lambda p: 0.5 * (logs(p) - torch.linalg.cholesky(p).diagonal().log().sum()), "Take it twice"),
    (lambda p: 0.5 * (logs(p) - torch.linalg.slogdet(p)[0]), "gives the sign first"),
    (determinant_of_correlations, "In 150 that are strongly correlated"),
    (by_other_kl, "stands where that of Λ belongs"),
    (lambda p: by_correlations(torch.linalg.inv(p)), "in two dimensions but not in more"),
    (lambda p: half_gap_of(torch.linalg.inv(p).diagonal(), p), "the posterior's own variances"),
    (lambda p: half_gap_of(p.diagonal(), p), "They are precisions"),
    (lambda p: half_gap_of(torch.ones(len(p)), p), "the variances 1 of the prior"),
    (lambda p: 0.5 * (logs(p) + torch.logdet(p)), "opposite signs"),
    (lambda p: 0.5 * logs(p), "log det Λ is missing"),
    (lambda p: -0.5 * torch.logdet(p), "the sum of the log Λ_jj is missing"),
    (lambda p: 0.5 * torch.logdet(p), "this is ½ log det Λ"),
    (lambda p: by_correlations(p) / len(p), "divided by the number of dimensions"),
    (lambda p: 0.5 * (p.diagonal().log().mean() - torch.logdet(p)), "the average of the log Λ_jj"),
    (lambda p: 0.5 * (p.trace().log() - torch.logdet(p)), "the logarithm of the sum"),
    (lambda p: 0.5 * (logs(p) - torch.det(p)), "det Λ is subtracted"),
    (lambda p: 0.5 * (p.trace() - torch.logdet(p)), "the Λ_jj are added as they are"),
    (lambda p: by_correlations(p) - 0.5 * len(p), "the trace tr(Λ S) is missing"),
    (lambda p: by_correlations(p) + 0.5 * len(p), "the -d is missing"),
    (lambda p: by_correlations(p) / math.log(2), "these are bits"),
    (lambda p: by_correlations(p) / math.log(10), "to base 10"),
    (lambda p: torch.det(p) / p.diagonal().prod(), "Nats are logarithms"),
    (two_dimensions, "only at the first two dimensions"),
    (lambda p: torch.tensor(0.0), "as if a diagonal q were the posterior"),
    (
        lambda p: 0.5 * (torch.linalg.eigvalsh(p).log().sum() - torch.logdet(p)),
        "The product of the eigenvalues",
    ),
    (lambda p: 0.5 * (p.diagonal().log() - torch.logdet(p)), "the gap is one number"),
    (lambda p: 0.5 * (logs(p) - torch.det(p).log()), "Stay with logarithms"),
    (lambda p: 0.5 * (p.diagonal().prod() / torch.det(p)).log(), "Stay with logarithms"),
    (lambda p: 0.5 * math.log(p.diagonal().prod() / torch.det(p)), "your gap is no finite number"),
    (determinant_and_a_little, "the gap of 0.01 Λ, the same as that of Λ, should be"),
    (lambda p: 0.5 * (logs(p) - torch.logdet(p).clamp(-20, 20)), "the gap of 0.01 Λ"),
    (lambda p: 0.5 * (logs(p) - torch.logdet(p).clamp(-50, 50)), "the gap in 120 dimensions"),
    (lambda p: 0.5 * (p.log().sum() - torch.logdet(p)), "contains NaN"),
    (lambda p: 0.5 * ((1 / p.diagonal()).log().sum() - torch.logdet(p)), "log(1/Λ_jj) stands where"),
    (lambda p: by_correlations(p) - 20, "the gap in 3 dimensions should be"),
    (
        lambda p: by_correlations(p) - 2e-3 * (len(p) == 4),
        "the gap of a diagonal precision, which a diagonal q fits, should be 0",
    ),
    (lambda p: by_correlations(p) + 0.01, "the gap in 3 dimensions should be"),
    (diagonal_in_place, "changes its argument"),
    (scaled_in_numpy, "changes its argument precision in place"),
    (0.41, "a function is needed"),
]


# 7.3: a lower bound that lies above ------------------------------------------------------------------


def sigma(log_var):
    return (0.5 * log_var).exp()


def log_mean_exp(log_w):
    return log_w.logsumexp(0) - math.log(len(log_w))


def bound_with(
    *,
    noise=lambda mean, k, generator: torch.randn((k, *mean.shape), generator=generator),
    scale=sigma,
    log_q=lambda z, mean, log_var: Normal(mean, sigma(log_var)).log_prob(z).sum(-1),
    weigh=lambda log_joint, log_q: log_joint - log_q,
    average=log_mean_exp,
):
    """An answer made of these parts, right by default."""

    def answer(mean, log_var, log_joint, k, generator):
        z = mean + scale(log_var) * noise(mean, k, generator)
        return average(weigh(log_joint(z), log_q(z, mean, log_var)))

    return answer


def closed_kl(z, mean, log_var):
    return kl_divergence(Normal(mean, sigma(log_var)), Normal(0.0, 1.0)).sum(-1)


def centred(mean, k, generator):
    noise = torch.randn((k, *mean.shape), generator=generator)
    return noise - noise.mean(0)


def with_scale(scale):
    return bound_with(scale=scale, log_q=density(scale))


def density(scale):
    return lambda z, mean, log_var: Normal(mean, scale(log_var)).log_prob(z).sum(-1)


def by_the_noise(mean, log_var, log_joint, k, generator):
    """log q(z) from the noise: log N(ε; 0, I) minus log σ in each dimension."""
    eps = torch.empty(k, *mean.shape).normal_(generator=generator)
    log_q = -0.5 * (eps**2 + LOG_2PI + log_var).sum(-1)
    return torch.logsumexp(log_joint(mean + torch.sqrt(log_var.exp()) * eps) - log_q - math.log(k), dim=0)


def by_torch_normal(mean, log_var, log_joint, k, generator):
    shape = (k, *mean.shape)
    z = torch.normal(mean.expand(shape), log_var.div(2).exp().expand(shape), generator=generator)
    log_w = log_joint(z) - Independent(Normal(mean, sigma(log_var)), 1).log_prob(z)
    top = log_w.amax(0)
    return top + (log_w - top).exp().mean(0).log()


def draw_by_draw(mean, log_var, log_joint, k, generator):
    q = MultivariateNormal(mean, torch.diag_embed(log_var.exp()))
    total = torch.full((len(mean),), -math.inf)
    for _ in range(k):
        z = mean + sigma(log_var) * torch.randn(mean.shape, generator=generator)
        total = torch.logaddexp(total, log_joint(z) - q.log_prob(z))
    return total - math.log(k)


def by_scipy(mean, log_var, log_joint, k, generator):
    z = mean + sigma(log_var) * torch.randn((k, *mean.shape), generator=generator)
    log_q = scipy.stats.norm.logpdf(z, mean, sigma(log_var)).sum(-1)
    return scipy.special.logsumexp(log_joint(z).numpy() - log_q, axis=0, b=1 / k)


def example_by_example(mean, log_var, log_joint, k, generator):
    """One noise for all examples: each has its own bound all the same."""
    z = mean + sigma(log_var) * torch.randn(k, 1, mean.shape[1], generator=generator)
    log_w = log_joint(z) - density(sigma)(z, mean, log_var)
    return [log_mean_exp(column).item() for column in log_w.T]


def own_dice(mean, log_var, log_joint, k, generator):
    return bound_with()(mean, log_var, log_joint, k, None)


def own_seed(mean, log_var, log_joint, k, generator):
    return bound_with()(mean, log_var, log_joint, k, torch.Generator().manual_seed(0))


def log_var_in_place(mean, log_var, log_joint, k, generator):
    std = log_var.mul_(0.5).exp_()
    z = mean + std * torch.randn((k, *mean.shape), generator=generator)
    return log_mean_exp(log_joint(z) - Normal(mean, std).log_prob(z).sum(-1))


def log_var_halved_in_numpy(mean, log_var, log_joint, k, generator):
    half = log_var.numpy()
    half /= 2
    z = mean + log_var.exp() * torch.randn((k, *mean.shape), generator=generator)
    return log_mean_exp(log_joint(z) - Normal(mean, log_var.exp()).log_prob(z).sum(-1))


def never_asks(mean, log_var, log_joint, k, generator):
    return torch.zeros(len(mean))


def transposed_codes(mean, log_var, log_joint, k, generator):
    z = mean + sigma(log_var) * torch.randn((k, *mean.shape), generator=generator)
    return log_mean_exp(log_joint(z.movedim(0, 1)))


def shifted_by_the_batch(log_w):
    top = log_w.max()
    return top + (log_w - top).exp().mean(0).log()


def shifted_by_the_mean(log_w):
    middle = log_w.mean(0)
    return middle + (log_w - middle).exp().mean(0).log()


def twice_as_many(mean, log_var, log_joint, k, generator):
    return bound_with()(mean, log_var, log_joint, 2 * k, generator)


RIGHT["7.3"] = [
    by_the_noise,
    by_torch_normal,
    draw_by_draw,
    by_scipy,
    example_by_example,
    bound_with(),
    lambda *arguments: bound_with()(*arguments).numpy(),
]
WRONG["7.3"] = [
    (bound_with(log_q=density(lambda log_var: (2 * log_var).exp())), "the bound should be"),
    (
        bound_with(scale=torch.exp, log_q=density(torch.exp)),
        "They were right as given, mean + exp(½ log_var) ε",
    ),
    (bound_with(scale=torch.exp), "They were right as given, mean + exp(½ log_var) ε"),
    (bound_with(scale=torch.ones_like), "They were right as given, mean + exp(½ log_var) ε"),
    (
        bound_with(scale=lambda log_var: sigma(log_var).sqrt()),
        "They were right as given, mean + exp(½ log_var) ε",
    ),
    (
        bound_with(scale=lambda log_var: 2 * sigma(log_var)),
        "They were right as given, mean + exp(½ log_var) ε",
    ),
    (
        bound_with(scale=lambda log_var: (0.5 * log_var).abs()),
        "They were right as given, mean + exp(½ log_var) ε",
    ),
    (bound_with(scale=lambda log_var: 0.5 * log_var), "They were right as given, mean + exp(½ log_var) ε"),
    (bound_with(scale=torch.abs), "They were right as given, mean + exp(½ log_var) ε"),
    (bound_with(scale=torch.zeros_like), "z are no draws from q: all k of them are equal"),
    (bound_with(scale=torch.sqrt), "your code stopped with ValueError: log_joint was given NaN"),
    (bound_with(log_q=density(lambda log_var: sigma(log_var).sqrt())), "one square root too many"),
    (bound_with(log_q=density(lambda log_var: (-0.5 * log_var).exp())), "log q has the scale 1/σ"),
    (bound_with(log_q=density(lambda log_var: (0.5 * log_var).abs())), "log q has the scale |½ log_var|"),
    (bound_with(log_q=density(torch.abs)), "log q has the scale |log_var|"),
    (bound_with(log_q=density(lambda log_var: 0.5 * log_var.exp())), "exp comes before the product"),
    (
        bound_with(log_q=lambda z, mean, log_var: density(sigma)(z, mean, log_var) - 0.5 * log_var.sum(-1)),
        "which is -½ log_var",
    ),
    (bound_with(log_q=closed_kl), "the closed KL stands where"),
    (bound_with(average=lambda log_w: log_w.logsumexp(0) + math.log(len(log_w))), "log k is added"),
    (with_scale(lambda log_var: sigma(log_var).clamp(min=1e-3)), "but not for a σ of 1e-7"),
    (with_scale(lambda log_var: sigma(log_var) + 1e-8), "but not for a σ of 1e-7"),
    (bound_with(noise=centred), "for k = 1 and one example z is `mean` itself"),
    (bound_with(log_q=density(torch.ones_like)), "log q has the scale 1, whatever"),
    (bound_with(log_q=lambda z, mean, log_var: density(sigma)(z, 0.0, log_var)), "log q has the mean 0"),
    (
        bound_with(log_q=lambda z, mean, log_var: density(sigma)(z, mean, log_var).sum()),
        "Each weight has that",
    ),
    (bound_with(log_q=density(lambda log_var: log_var)), "your code stopped with ValueError"),
    (
        bound_with(
            log_q=lambda z, mean, log_var: Normal(0.0, 1.0).log_prob((z - mean) / sigma(log_var)).sum(-1)
        ),
        "the density of the noise, not of z",
    ),
    (
        bound_with(log_q=lambda z, mean, log_var: -0.5 * ((z - mean) ** 2 / log_var.exp() + log_var).sum(-1)),
        "½ log 2π is missing",
    ),
    (
        bound_with(log_q=lambda z, mean, log_var: Normal(mean, sigma(log_var)).log_prob(z).mean(-1)),
        "averaged over the dimensions",
    ),
    (
        bound_with(log_q=lambda z, mean, log_var: Normal(mean, sigma(log_var)).log_prob(z)),
        "your code stopped with RuntimeError",
    ),
    (bound_with(weigh=lambda log_joint, log_q: log_joint), "log q is missing in the weights"),
    (bound_with(weigh=lambda log_joint, log_q: -log_q), "log p(x, z) is missing in the weights"),
    (bound_with(weigh=lambda log_joint, log_q: log_joint + log_q), "log q is added"),
    (bound_with(average=lambda log_w: log_w.mean(0)), "the mean of the log-weights, the ELBO"),
    (bound_with(average=lambda log_w: log_w.logsumexp(0)), "the sum of the weights"),
    (bound_with(average=lambda log_w: log_w.logsumexp(0) / len(log_w)), "is divided by k"),
    (
        bound_with(average=lambda log_w: log_w.logsumexp(0) - math.log(log_w.shape[1])),
        "log n is subtracted",
    ),
    (bound_with(average=lambda log_w: log_w.amax(0)), "the largest log-weight"),
    (bound_with(average=lambda log_w: (log_w.softmax(0) * log_w).sum(0)), "It is no bound"),
    (bound_with(average=lambda log_w: -log_mean_exp(log_w)), "minus the bound"),
    (bound_with(average=lambda log_w: log_w.exp().mean(0)), "the logarithm is missing"),
    (bound_with(average=lambda log_w: log_mean_exp(log_w).clamp(max=-15.0)), "the bound should be"),
    (bound_with(average=lambda log_w: log_mean_exp(log_w).mean()), "one number for all examples"),
    (bound_with(average=lambda log_w: log_w.logsumexp(1)), "you averaged over the examples"),
    (bound_with(average=lambda log_w: log_w), "one number for each draw"),
    (bound_with(average=lambda log_w: log_w.exp().mean(0).log()), "makes infinity or 0 of them"),
    (bound_with(average=shifted_by_the_batch), "for each x its own"),
    (bound_with(average=shifted_by_the_mean), "for each x its own"),
    (bound_with(average=lambda log_w: log_w.double().exp().mean(0).log()), "makes infinity or 0 of them"),
    (
        bound_with(average=lambda log_w: (log_w.clamp(-80, 80).exp().mean(0) + 1e-30).log()),
        "for log-weights far from 0 should be",
    ),
    (
        bound_with(noise=lambda mean, k, g: torch.randn(mean.shape, generator=g).expand(k, *mean.shape)),
        "z are no draws from q: all k of them are equal",
    ),
    (
        bound_with(noise=lambda mean, k, g: torch.randn((1, *mean.shape), generator=g)),
        "one code is drawn for each x",
    ),
    (
        bound_with(noise=lambda mean, k, g: torch.randn((k, len(mean), 1), generator=g)),
        "z are no draws from q: the dimensions of a code share their noise",
    ),
    (
        bound_with(noise=lambda mean, k, g: torch.rand((k, *mean.shape), generator=g)),
        "They were right as given, mean + exp(½ log_var) ε",
    ),
    (
        bound_with(noise=lambda mean, k, g: 0.7 + torch.randn((k, *mean.shape), generator=g)),
        "their mean is not `mean`",
    ),
    (own_dice, "does not come from `generator`"),
    (bound_with(noise=lambda mean, k, g: torch.randn(k, *mean.shape)), "generators with the same seed"),
    (own_seed, "the noise ignores `generator`"),
    (log_var_in_place, "changes its argument log_var in place"),
    (log_var_halved_in_numpy, "changes its argument log_var in place"),
    (never_asks, "log_joint was never called"),
    (transposed_codes, "log_joint takes z of shape (k, 4, 3)"),
    (twice_as_many, "and k is 1000"),
    (lambda x, mean, log_var, log_joint, k, generator: mean, "cannot be called with"),
    ("log q", "a function is needed"),
]


# 7.4: the quietest estimator -------------------------------------------------------------------------

FAR, NEAR = "far from the posterior", "at the posterior"


def variances(**changes):
    """An experiment that gives about what the chapter's does, but for these changes at the posterior."""
    far = dict(zip(("three densities", "closed KL", "closed entropy"), (0.99, 0.295, 0.55), strict=True))
    near = {"three densities": torch.tensor(1e-13), "closed KL": 0.41, "closed entropy": 0.501}
    return lambda: {FAR: far, NEAR: near | changes}


def quietest(far, near):
    return {FAR: far, NEAR: near}, variances()


RIGHT["7.4"] = [
    quietest("closed KL", "three densities"),
    quietest("closed_kl", "three_densities"),
    quietest(" Closed KL ", "Three Densities"),
    quietest(np.str_("closed KL"), ["three densities"]),
    quietest({"closed KL"}, ("three densities",)),
    ({"At the posterior": "three densities", "Far from the posterior": "closed KL"}, variances()),
    (("closed KL", "three densities"), variances()),
    (["closed KL", "three densities"], variances()),
]
WRONG["7.4"] = [
    (
        quietest("three densities", "three densities"),
        "far from the posterior, 'three densities' has the variance",
    ),
    (quietest("closed entropy", "three densities"), "and their noise adds up"),
    (quietest("closed KL", "closed KL"), "log p(x | z) alone still varies"),
    (quietest("closed KL", "closed entropy"), "so that log p(x) is left for every single z"),
    (quietest("three densities", "closed KL"), "there nothing cancels"),
    (quietest("closed entropy", "closed entropy"), "Which estimator replaces one of the two"),
    (quietest("closed KL", "closed form"), "the text 'closed form' for \"at the posterior\" is none"),
    (quietest("closed KL", None), '"at the posterior" is None'),
    (quietest(["closed KL", "closed entropy"], "three densities"), "choose one name"),
    (({FAR: "closed KL"}, variances()), 'an answer for "at the posterior" is missing'),
    (({"far": "closed KL", "near": "three densities"}, variances()), "there is no key 'far'"),
    (("closed KL", variances()), "a dictionary with the keys"),
    (({"closed KL", "three densities"}, variances()), "a dictionary with the keys"),
    ((("three densities", "closed KL"), variances()), "there nothing cancels"),
    (([], variances()), "a dictionary with the keys"),
    (
        (quietest("closed KL", "three densities")[0], variances(**{"closed KL": 0.3})),
        "0.413 for closed KL at",
    ),
    ((quietest("closed KL", "three densities")[0], lambda: {FAR: 0.3}), "was it changed?"),
    ((quietest("closed KL", "three densities")[0], lambda: (0.3, 0.5)), "was it changed?"),
    ((quietest("closed KL", "three densities")[0], variances()()), "the experiment as a function"),
]


# 7.5: the log-density of the aggregated posterior ----------------------------------------------------


def pairs(z, mean, std):
    return Normal(mean, std).log_prob(z[:, None])


def mixture(log_densities):
    return log_densities.logsumexp(1) - math.log(log_densities.shape[1])


def by_a_mixture(z, mean, std):
    components = Independent(Normal(mean, std), 1)
    return MixtureSameFamily(Categorical(torch.ones(len(mean))), components).log_prob(z)


def by_squares(z, mean, std):
    distance = (((z.unsqueeze(1) - mean) / std) ** 2).sum(-1)
    joint = -0.5 * distance - std.log().sum(-1) - 0.5 * z.shape[1] * LOG_2PI
    top = joint.max(dim=1, keepdim=True).values
    return (top + (joint - top).exp().mean(1, keepdim=True).log()).squeeze(1)


def one_encoder_after_another(z, mean, std):
    total = torch.full((len(z),), -math.inf)
    for m, s in zip(mean, std, strict=True):
        total = torch.logaddexp(total, Normal(m, s).log_prob(z).sum(1))
    return total - math.log(len(mean))


def one_code_after_another(z, mean, std):
    return [mixture(pairs(code[None], mean, std).sum(2)).item() for code in z]


def with_scipy(z, mean, std):
    log_densities = scipy.stats.norm.logpdf(z.numpy()[:, None], mean.numpy(), std.numpy()).sum(2)
    return scipy.special.logsumexp(log_densities, axis=1, b=1 / len(mean))


def by_covariances(z, mean, std):
    log_densities = MultivariateNormal(mean, torch.diag_embed(std**2)).log_prob(z[:, None])
    return torch.logsumexp(log_densities + math.log(1 / len(mean)), dim=-1)


def one_gaussian(z, mean, std):
    variance = (std**2).mean(0) + mean.var(0, correction=0)
    return Normal(mean.mean(0), variance.sqrt()).log_prob(z).sum(1)


def average(z, mean, std):
    return pairs(z, mean, std).sum(2).exp().mean(1).log()


def average_and_a_little(z, mean, std):
    return (pairs(z, mean, std).sum(2).exp().mean(1) + 1e-12).log()


def shifted_by_all(z, mean, std):
    joint = pairs(z, mean, std).sum(2)
    return joint.max() + (joint - joint.max()).exp().mean(1).log()


def shifted_by_the_row_mean(z, mean, std):
    joint = pairs(z, mean, std).sum(2)
    middle = joint.mean(1, keepdim=True)
    return (middle + (joint - middle).exp().mean(1, keepdim=True).log()).squeeze(1)


def shifted_by_the_row_least(z, mean, std):
    joint = pairs(z, mean, std).sum(2)
    least = joint.amin(1, keepdim=True)
    return (least + (joint - least).exp().mean(1, keepdim=True).log()).squeeze(1)


def density_of_each_dimension(z, mean, std):
    """The densities multiplied before the logarithm, and the logarithm of the mean by log-sum-exp."""
    return mixture(pairs(z, mean, std).exp().prod(2).log())


def clamped(z, mean, std):
    return mixture(pairs(z, mean, std).sum(2).clamp(min=-100.0))


def std_in_place(z, mean, std):
    variance = std.pow_(2)
    return mixture(pairs(z, mean, variance.sqrt()).sum(2))


def codes_in_numpy(z, mean, std):
    centred = z.numpy()
    centred -= mean.numpy().mean(0)
    return mixture(pairs(z, mean - mean.mean(0), std).sum(2))


def heightless(z, mean, std):
    return mixture((-0.5 * ((z[:, None] - mean) / std) ** 2).sum(2))


RIGHT["7.5"] = [
    by_a_mixture,
    by_squares,
    one_encoder_after_another,
    one_code_after_another,
    with_scipy,
    by_covariances,
    lambda z, mean, std: by_squares(z.double(), mean.double(), std.double()),
]
WRONG["7.5"] = [
    (lambda z, m, s: pairs(z, m, s).sum(2).logsumexp(1), "sums over the n encoders"),
    (lambda z, m, s: pairs(z, m, s).sum(2).logsumexp(1) - math.log(len(z)), "log m is subtracted"),
    (lambda z, m, s: pairs(z, m, s).sum(2).logsumexp(1) + math.log(len(m)), "log n is added"),
    (lambda z, m, s: pairs(z, m, s).logsumexp(1).sum(1) - math.log(len(m)), "log n is subtracted once"),
    (lambda z, m, s: pairs(z, m, s).sum(2).logsumexp(1) / len(m), "the sum is divided by n"),
    (lambda z, m, s: pairs(z, m, s).sum(2).mean(1), "the mean of the logarithms"),
    (lambda z, m, s: pairs(z, m, s).sum((1, 2)), "the log of a product"),
    (lambda z, m, s: mixture(pairs(z, m, s)).sum(1), "averages each dimension over the encoders"),
    (lambda z, m, s: mixture(pairs(z, m, s).mean(2)), "averaged over the d dimensions"),
    (lambda z, m, s: pairs(z, m, s).sum(2).amax(1), "the largest of the n densities. The"),
    (lambda z, m, s: pairs(z, m, s).sum(2).amax(1) - math.log(len(m)), "the largest of the n densities over"),
    (lambda z, m, s: pairs(z, m, s).sum(2).exp().mean(1), "this is q(z), the density"),
    (lambda z, m, s: -by_a_mixture(z, m, s), "this is -log q(z)"),
    (lambda z, m, s: mixture(pairs(z, m, s**2).sum(2)), "was given its square"),
    (lambda z, m, s: mixture(pairs(z, m, s.sqrt()).sum(2)), "its square root was taken"),
    (lambda z, m, s: mixture(pairs(z, m, s.exp()).sum(2)), "its exp for the scale"),
    (lambda z, m, s: mixture(pairs(z, m, (s / 2).exp()).sum(2)), "std was taken for log σ²"),
    (lambda z, m, s: by_a_mixture(z, m, s) + 0.5 * z.shape[1] * LOG_2PI, "½ log 2π is missing"),
    (lambda z, m, s: mixture(pairs(z, m, s).sum(2) + s.log().sum(1)), "-log σ is missing"),
    (heightless, "have no height"),
    (lambda z, m, s: Normal(m.mean(0), s.mean(0)).log_prob(z).sum(1), "the average std"),
    (one_gaussian, "with mean and variance of the mixture"),
    (lambda z, m, s: Normal(0.0, 1.0).log_prob(z).sum(1), "this is the prior"),
    (lambda z, m, s: Normal(m, s).log_prob(z).sum(1), "one encoder alone"),
    (lambda z, m, s: pairs(z, m, s).sum(2).logsumexp(0) - math.log(len(z)), "for each encoder. Average over"),
    (lambda z, m, s: pairs(z, m, s).sum(2).logsumexp(0), "and the division is missing"),
    (lambda z, m, s: pairs(z, m, s).sum(2), "for each code and each example"),
    (lambda z, m, s: mixture(pairs(z, m, s)), "one number for each dimension"),
    (lambda z, m, s: by_a_mixture(z, m, s).mean(), "one number for all codes"),
    (lambda z, m, s: by_a_mixture(z, m, s) / math.log(2), "these are bits"),
    (lambda z, m, s: by_a_mixture(z, m, s) / math.log(10), "6 encoders in 3 dimensions should be"),
    (lambda z, m, s: by_a_mixture(z, m, s) + 0.5 * (z.shape[1] - 1) * LOG_2PI, "once for each code"),
    (
        lambda z, m, s: mixture((pairs(z, m, s) - 0.5 * ((z[:, None] - m) / s) ** 2).sum(2)),
        "the factor ½ of the squares",
    ),
    (lambda z, m, s: mixture((pairs(z, m, s) - s.log()).sum(2)), "log σ is subtracted twice"),
    (lambda z, m, s: by_a_mixture(z, m, s.clamp(min=1e-3)), "deviations from 1e-7 to 1 should be"),
    (lambda z, m, s: by_a_mixture(z, m, s + 1e-8), "deviations from 1e-7 to 1 should be"),
    (lambda z, m, s: mixture(pairs(z, m, s).sum(2))[:, None], "should have shape (6,), and has shape (6, 1)"),
    (lambda z, m, s: mixture(pairs(z, m, s).sum(2)) + 0.01 * (len(z) == 1), "for 1 codes and 3 encoders"),
    (shifted_by_the_row_least, "for each code its own"),
    (average, "for each code its own"),
    (average_and_a_little, "a clamp, hides the error"),
    (clamped, "a clamp, hides the error"),
    (shifted_by_all, "for each code its own"),
    (shifted_by_the_row_mean, "for each code its own"),
    (density_of_each_dimension, "for each code its own"),
    (
        lambda z, m, s: mixture(pairs(z, m, s).sum(2).clamp(max=500.0)),
        "log q(z) in 256 dimensions and with standard deviations",
    ),
    (std_in_place, "changes its argument"),
    (codes_in_numpy, "changes its argument z in place"),
    (lambda z, m: z.sum(1), "cannot be called with"),
    (-3.0, "a function is needed"),
]


# 7.6: which part to mend -----------------------------------------------------------------------------

ENCODER, FAMILY, DECODER = "a better encoder", "a richer family for q", "a better decoder"


def remedies(a, b, c):
    return {"A": a, "B": b, "C": c}


RIGHT["7.6"] = [
    remedies(FAMILY, ENCODER, DECODER),
    remedies("richer family for q", "better encoder", "better decoder"),
    remedies("A richer family for q", "A better encoder", " a  better decoder "),
    {"c": [DECODER], "b": {ENCODER}, "a": (FAMILY,)},
    (FAMILY, ENCODER, DECODER),
    [np.str_(FAMILY), ENCODER, DECODER],
]
WRONG["7.6"] = [
    (remedies(ENCODER, FAMILY, DECODER), "A does not need a better encoder"),
    (remedies(DECODER, ENCODER, FAMILY), "A does not need a better decoder"),
    (remedies(DECODER, ENCODER, DECODER), "Turning the codes to other axes is ruled out here"),
    (remedies(FAMILY, FAMILY, DECODER), "this family is rich enough"),
    (remedies(FAMILY, DECODER, DECODER), "What does not find this q?"),
    (remedies(FAMILY, ENCODER, ENCODER), "C does not need a better encoder"),
    (remedies(FAMILY, ENCODER, FAMILY), "no q lifts the ELBO"),
    (remedies(ENCODER, ENCODER, ENCODER), "A does not need"),
    (remedies(FAMILY, ENCODER, "more data"), "the text 'more data' for \"C\" is none of the names"),
    (remedies(FAMILY, ENCODER, [ENCODER, DECODER]), "choose one name"),
    (remedies(FAMILY, ENCODER, 3), "the number 3"),
    ({"A": FAMILY, "B": ENCODER}, 'an answer for "C" is missing'),
    ({**remedies(FAMILY, ENCODER, DECODER), "D": DECODER}, "there is no key 'D'"),
    ({FAMILY: "A", ENCODER: "B", DECODER: "C"}, "there is no key 'a richer family for q'"),
    (FAMILY, "a dictionary with the keys"),
    ((FAMILY, ENCODER), "a dictionary with the keys"),
    ({FAMILY, ENCODER, DECODER}, "a dictionary with the keys"),
]
