"""Answers to the exercises of chapter 8: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from torch.distributions import Categorical, Exponential, MultivariateNormal, Normal
from torch.nn.functional import gaussian_nll_loss, log_softmax, one_hot

RIGHT = {}
WRONG = {}


# 8.1: the variance of z² (z - theta) -----------------------------------------------------------------


def score_variance_by_quadrature(theta):
    nodes, weights = np.polynomial.hermite_e.hermegauss(10)
    values = (theta + nodes) ** 2 * nodes
    weights = weights / weights.sum()
    return weights @ values**2 - (weights @ values) ** 2


def score_variance_simulated(theta):
    z = theta + torch.randn(10_000)
    return (z**2 * (z - theta)).var()


RIGHT["8.1"] = [
    lambda theta: 15 + 14 * theta**2 + theta**4,
    lambda theta: torch.tensor(theta**4 + 14 * theta**2 + 15),
    score_variance_by_quadrature,
]
WRONG["8.1"] = [
    (lambda t: t**4 + 18 * t**2 + 15, "this is the mean of the square"),
    (lambda t: math.sqrt(t**4 + 14 * t**2 + 15), "this is the standard deviation"),
    (lambda t: t**4 + 18 * t**2 + 15 - 2 * t, "the square of the mean, (2θ)², that has to go"),
    (lambda t: t**4 + 8 * t**2 + 15, "twice the product of θ²ε and ε³"),
    (lambda t: t**4 + 2 * t**2 + 15, "E[ε⁴] is 3, not 1"),
    (lambda t: 51.5625, "whatever θ is"),
    (lambda t: 4.0, "the pathwise estimate"),
    (score_variance_simulated, "the formula is asked for"),
    (51.5625, "a function is needed"),
    (lambda t: t**4 + 14 * t**2 + 14, "should be 15"),
    (lambda t: t / 0, "your code stopped with ZeroDivisionError"),
]


# 8.2: location and scale -----------------------------------------------------------------------------


def in_place(mu, log_var, eps):
    eps *= (log_var / 2).exp()
    return eps + mu


RIGHT["8.2"] = [
    lambda mu, log_var, eps: mu + torch.sqrt(torch.exp(log_var)) * eps,
    lambda mu, log_var, eps: torch.addcmul(mu, eps, log_var.div(2).exp()),
    lambda mu, log_var, eps: eps * math.e ** (log_var / 2) + mu,
]
WRONG["8.2"] = [
    (lambda mu, log_var, eps: mu + log_var.exp() * eps, "their variance is 54.6, not 7.39"),
    (lambda mu, log_var, eps: mu + log_var * eps, "undo the logarithm first"),
    (lambda mu, log_var, eps: mu + log_var.sqrt() * eps, "square root of the logarithm"),
    (lambda mu, log_var, eps: mu + eps, "log_var is missing"),
    (lambda mu, log_var, eps: (log_var / 2).exp() * eps, "mu is missing"),
    (lambda mu, log_var, eps: mu + (log_var / 2).exp() + eps, "It multiplies the noise"),
    (lambda mu, log_var, eps: mu + (-log_var / 2).exp() * eps, "check the sign in the exponent"),
    (lambda mu, log_var, eps: Normal(mu, (log_var / 2).exp()).rsample(), "you draw new noise"),
    (lambda mu, log_var, eps: mu + (log_var / 2).exp().detach() * eps, "no gradient reaches log_var"),
    (lambda mu, log_var, eps: (mu + (log_var / 2).exp() * eps).detach(), "no gradient reaches mu"),
    (lambda mu, log_var, eps: (mu + (log_var / 2).exp() * eps).mean(), "should have shape (6, 3)"),
    (
        lambda mu, log_var, eps: (mu + (log_var / 2).exp() * eps).numpy(),
        "your code stopped with RuntimeError",
    ),
    (in_place, "changes its argument eps in place"),
    (lambda mu, log_var: mu, "cannot be called with"),
]


# 8.3: which bills jump -------------------------------------------------------------------------------

RIGHT["8.3"] = [
    ["cube", "distance", "overshoot"],
    ("overshoot", "distance", "cube", "cube"),
    frozenset({"distance", "overshoot", "cube"}),
]
WRONG["8.3"] = [
    ({"cube"}, "'distance' is missing: |z| has a kink"),
    ({"distance", "cube"}, "'overshoot' is missing"),
    ({"distance", "overshoot"}, "Steep makes the estimate noisy, not biased"),
    ({"distance", "overshoot", "cube", "toll"}, "'toll' should not be trusted"),
    ({"distance", "overshoot", "cube", "fraction"}, "sees the slope 1 between them"),
    ({"distance", "rounded", "overshoot", "cube"}, "always 0"),
    (set(), "'distance' is missing"),
    ({"distance", "overshot", "cube"}, "there is no cost 'overshot'"),
    ("distance", "a set of names is needed"),
]


# 8.4: Gumbel draws -----------------------------------------------------------------------------------

RIGHT["8.4"] = [
    lambda u: -(-u.log()).log(),
    lambda u: -torch.log(-torch.log1p(-u)),  # 1 - u is uniform too
    lambda u: torch.log(1 / torch.log(1 / u)),
]
WRONG["8.4"] = [
    (lambda u: -torch.log(u), "the second logarithm is missing"),
    (lambda u: torch.log(-torch.log(u)), "upside down"),
    (lambda u: -torch.log(torch.log(u)), "a logarithm of a negative number"),
    (lambda u: torch.log(u / (1 - u)), "logistic draws"),
    (lambda u: torch.exp(-torch.exp(-u)), "You need its inverse"),
    (lambda u: -torch.log(-torch.log(torch.rand_like(u))), "Use the argument u"),
    (lambda u: -Exponential(1.0).sample(u.shape).log(), "Use the argument u"),
    (lambda u: (-torch.log(-torch.log(u))).mean(), "should have shape (3, 4)"),
]


# 8.5: implicit reparameterization --------------------------------------------------------------------


def implicit(factor, density_power=-1, by_z=False):
    """An answer that multiplies the central difference by `factor` and by a power of the density."""

    def answer(cdf, pdf, z, alpha, h=1e-5):
        change = cdf(z + h, alpha) - cdf(z - h, alpha) if by_z else cdf(z, alpha + h) - cdf(z, alpha - h)
        return factor * change / (2 * h) * pdf(z, alpha) ** density_power

    return answer


def one_sided(cdf, pdf, z, alpha, h=1e-5):
    return (cdf(z, alpha) - cdf(z, alpha + h)) / h / pdf(z, alpha)


def five_points(cdf, pdf, z, alpha, h=1e-5):
    near = cdf(z, alpha + h) - cdf(z, alpha - h)
    far = cdf(z, alpha + 2 * h) - cdf(z, alpha - 2 * h)
    return torch.from_numpy(-(8 * near - far) / (12 * h) / pdf(z, alpha))


RIGHT["8.5"] = [one_sided, five_points, lambda *args: np.negative(implicit(1)(*args))]
WRONG["8.5"] = [
    (implicit(1), "the sign is wrong"),
    (implicit(-1, density_power=0), "the density is missing"),
    (implicit(1, density_power=0), "Turn its sign round"),
    (implicit(-1, density_power=1), "you multiply by the density"),
    (implicit(-2), "lie 2h apart"),
    (implicit(-0.5), "half of what it should be"),
    (implicit(-1, by_z=True), "you moved z"),
    (implicit(1, by_z=True), "you moved z"),
    (implicit(-2e-5), "2h is missing"),
    (lambda cdf, pdf, z, alpha, h=1e-5: cdf(alpha + h, z) - cdf(alpha - h, z), "should be"),
    (lambda cdf, pdf, z, alpha, h=1e-5: implicit(-1)(cdf, pdf, z, alpha).sum(), "should have shape (5,)"),
]


# 8.6: the score function of a categorical draw -------------------------------------------------------


def score_by_autograd(bills, logits, j):
    copies = logits.expand(len(j), -1).clone().requires_grad_()
    (score,) = torch.autograd.grad(Categorical(logits=copies).log_prob(j).sum(), copies)
    return bills[j][:, None] * score


def score_by_jacobian(bills, logits, j):
    jacobian = torch.autograd.functional.jacobian(lambda x: log_softmax(x, dim=0), logits)
    return jacobian[j] * bills[j].unsqueeze(-1)


def score_by_loop(bills, logits, j):
    rows = []
    for sector in j.tolist():
        row = -logits.softmax(0)
        row[sector] += 1
        rows.append(bills[sector] * row)
    return torch.stack(rows)


def wheel(bills, logits, j):
    return bills[j].unsqueeze(1), one_hot(j, len(logits)), logits.softmax(0)


def wheel_answer(estimate):
    return lambda bills, logits, j: estimate(*wheel(bills, logits, j))


RIGHT["8.6"] = [score_by_autograd, score_by_jacobian, score_by_loop]
WRONG["8.6"] = [
    (wheel_answer(lambda f, corner, p: f * (p - corner)), "the sign of the score is turned round"),
    (wheel_answer(lambda f, corner, p: corner - p), "the score alone"),
    (wheel_answer(lambda f, corner, p: f * corner), "has a derivative too"),
    (wheel_answer(lambda f, corner, p: -f * p), "softmax is only half of the score"),
    (wheel_answer(lambda f, corner, p: (f * (corner - p)).mean(0)), "one estimate per spin"),
    (wheel_answer(lambda f, corner, p: (f * (corner - p)).sum(0)), "one estimate per spin"),
    (wheel_answer(lambda f, corner, p: f * (corner - 0.25)), "different probabilities"),
    (lambda f, logits, j: f[j][:, None] * (one_hot(j, 4) - logits), "you subtract the logits"),
    (
        lambda f, logits, j: (
            f[j][:, None] * logits.softmax(0)[j][:, None] * (one_hot(j, 4) - logits.softmax(0))
        ),
        "The score is the derivative of log π_j",
    ),
    (lambda f, logits, j: f[j] * (one_hot(j, 4) - logits.softmax(0)), "your code stopped with RuntimeError"),
]


# 8.7: Gumbel-softmax with straight-through -----------------------------------------------------------


def relaxed(logits, gumbel, temperature):
    return torch.softmax((logits + gumbel) / temperature, dim=-1)


def corner_of(soft):
    return one_hot(soft.argmax(-1), soft.shape[-1]).float()


def with_hard(value):
    """An answer whose relaxed draws are right, and whose hard draws are `value(soft, corner)`."""

    def answer(logits, gumbel, temperature, hard):
        soft = relaxed(logits, gumbel, temperature)
        return value(soft, corner_of(soft)) if hard else soft

    return answer


def with_soft(soft):
    return lambda logits, gumbel, temperature, hard: soft(logits, gumbel, temperature)


def relax_by_scatter(logits, gumbel, temperature, hard):
    scores = (logits + gumbel) / temperature
    soft = torch.exp(scores - scores.logsumexp(1, keepdim=True))
    corner = torch.zeros_like(soft).scatter_(1, scores.argmax(1, keepdim=True), 1.0)
    return corner - soft.detach() + soft if hard else soft


def winner_of_the_logits(logits, gumbel, temperature, hard):
    soft = relaxed(logits, gumbel, temperature)
    return corner_of(logits) + (soft - soft.detach()) if hard else soft


RIGHT["8.7"] = [
    with_hard(lambda soft, corner: soft + (corner - soft).detach()),
    with_hard(lambda soft, corner: (soft == soft.amax(1, keepdim=True)).float() + soft - soft.detach()),
    relax_by_scatter,
]
WRONG["8.7"] = [
    (with_soft(lambda a, g, t: (a + g).softmax(-1)), "there is no temperature"),
    (with_soft(lambda a, g, t: (a / t + g).softmax(-1)), "the noise is not divided by the temperature"),
    (with_soft(lambda a, g, t: (a + g / t).softmax(-1)), "the logits are not divided by the temperature"),
    (with_soft(lambda a, g, t: ((a + g) * t).softmax(-1)), "you multiply by the temperature"),
    (with_soft(lambda a, g, t: (a / t).softmax(-1)), "the noise is missing"),
    (with_soft(lambda a, g, t: (a + g).softmax(-1) / t), "the temperature comes after the softmax"),
    (with_soft(lambda a, g, t: ((a + g) / t).softmax(0)), "softmax along the last dimension"),
    (with_soft(lambda a, g, t: ((a + g) / t).log_softmax(-1)), "not log_softmax"),
    (with_soft(lambda a, g, t: corner_of(a + g)), "the relaxed draw is asked for, not the corner"),
    (with_hard(lambda soft, corner: soft), "hard=True changes nothing yet"),
    (with_hard(lambda soft, corner: corner), "no gradient reaches the logits"),
    (with_hard(lambda soft, corner: corner + soft), "you return corner + soft"),
    (with_hard(lambda soft, corner: soft + (soft - corner).detach()), "2·soft - corner"),
    (with_hard(lambda soft, corner: corner + (soft.detach() - soft)), "points backwards"),
    (
        with_hard(lambda soft, corner: corner + 2 * (soft - soft.detach())),
        "with hard=True the gradient should be",
    ),
    (with_soft(lambda a, g, t: relaxed(a, g, t).detach()), "no gradient reaches the logits"),
    (winner_of_the_logits, "the largest of logits plus noise"),
]


# 8.8: log q ------------------------------------------------------------------------------------------

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def log_q(eps=lambda z, mu, log_var: (z - mu) / (log_var / 2).exp(), log_scale=0.5, constant=HALF_LOG_TWO_PI):
    """An answer made of the given parts, right by default."""

    def answer(z, mu, log_var):
        return (-0.5 * eps(z, mu, log_var) ** 2 - log_scale * log_var - constant).sum(1)

    return answer


def log_q_by_nll(z, mu, log_var):
    return -gaussian_nll_loss(mu, z, log_var.exp(), full=True, reduction="none").sum(dim=1)


def log_q_by_covariance(z, mu, log_var):
    return MultivariateNormal(mu, torch.diag_embed(log_var.exp())).log_prob(z)


RIGHT["8.8"] = [
    lambda z, mu, log_var: Normal(mu, (0.5 * log_var).exp()).log_prob(z).sum(-1),
    log_q_by_nll,
    log_q_by_covariance,
    log_q(),
]
WRONG["8.8"] = [
    (lambda z, mu, log_var: log_q()(z, mu, log_var) / 3, "you averaged over the dimensions"),
    (log_q(eps=lambda z, mu, log_var: (z - mu) / log_var), "you divide z - mu by log_var"),
    (log_q(eps=lambda z, mu, log_var: (z - mu) / log_var.exp()), "by the variance exp(log_var)"),
    (log_q(eps=lambda z, mu, log_var: (z - mu) / (log_var / 4).exp()), "the variance σ² that belongs there"),
    (log_q(eps=lambda z, mu, log_var: z - mu), "not divided by the standard deviation"),
    (log_q(constant=0.0), "½ log 2π is missing"),
    (log_q(log_scale=0.0), "log σ is missing"),
    (log_q(log_scale=1.0), "you subtract log σ²"),
    (log_q(log_scale=-0.5), "log σ has the wrong sign"),
    (lambda *a: log_q(eps=lambda z, m, v: 2**0.5 * (z - m) / (v / 2).exp())(*a), "the factor ½"),
    (lambda z, mu, log_var: -log_q()(z, mu, log_var), "this is -log q"),
    (lambda z, mu, log_var: log_q()(z, mu, log_var).exp(), "this is the density"),
    (lambda z, mu, log_var: Normal(mu, (log_var / 2).exp()).log_prob(z), "the dimensions' logarithms add up"),
    (lambda z, mu, log_var: Normal(mu, (log_var / 2).exp()).log_prob(z).sum(), "one for the whole batch"),
    (lambda z, mu, log_var: Normal(mu, (log_var / 2).exp()).log_prob(z).sum(0), "add over the dimensions"),
    (lambda z, mu, log_var: Normal(mu, log_var.exp()).log_prob(z).sum(1), "should be"),
    (lambda z, mu, log_var: Normal(mu, log_var).log_prob(z).sum(1), "your code stopped with ValueError"),
]
