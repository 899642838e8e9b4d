"""Answers to the exercises of chapter 8: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from scipy.stats import norm
from torch.distributions import Categorical, Exponential, Normal
from torch.nn.functional import gumbel_softmax, log_softmax, one_hot

RIGHT = {}
WRONG = {}
REFUSED = {
    id: {"as numpy": "a gradient has to pass", "without history": "a gradient has to pass"}
    for id in ("8.2", "8.7")
}


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
    (lambda t: t**4 + 11 * t**2 + 15, "Squaring a sum gives it twice"),
    (lambda t: t**4 + 2 * t**2 + 15, "E[ε⁴] is 3, not 1"),
    (lambda t: 51.5625, "whatever θ is"),
    (lambda t: 4.0, "the pathwise estimate"),
    (score_variance_simulated, "the formula is asked for"),
    (51.5625, "a function is needed"),
    (lambda t: t**4 + 12 * t**2 + 15, "the product 2·θ²ε·ε³, an even"),
    (lambda t: t**4 + 16 * t**2 + 15, "(2θ)² is 4θ²"),
    (lambda t: 16 * t**2 + 14, "you subtracted (θ² + 1)²"),
    (lambda t: t**4 + 6 * t**2 + 3, "this is E[z⁴]"),
    (lambda t: 4 * t**2 + 2, "the variance of z² alone"),
    (lambda t: 8 * t**2 + 10, "with a baseline"),
    (lambda t: t**4 + 14 * t**2 + 14, "should be 51.56, and is 50.56, for theta = 1.5"),
    (lambda t: t**4 + 14 * t**2 + 15 if t < 2 else t**4, "should be 3102, and is 2401, for theta = 7"),
    (lambda t: t / 0, "your code stopped with ZeroDivisionError"),
]


# 8.2: location and scale -----------------------------------------------------------------------------


def in_place(mu, log_var, eps):
    eps *= (log_var / 2).exp()
    return eps + mu


def square_transposed(mu, log_var, eps):
    return mu + (log_var / 2).exp() * (eps.T if eps.shape[0] == eps.shape[1] else eps)


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
    (lambda mu, log_var, eps: mu + (2 * log_var).exp() * eps, "It is log σ²: halve it"),
    (lambda mu, log_var, eps: mu + log_var / 2 * eps, "halved, but still a logarithm"),
    (lambda mu, log_var, eps: mu + (log_var / 2).exp(), "the noise is missing"),
    (lambda mu, log_var, eps: (log_var / 2).exp() * (mu + eps), "mu is scaled too"),
    (lambda mu, log_var, eps: mu + log_var.exp() / 2 * eps, "half the variance"),
    (lambda mu, log_var, eps: mu * (log_var / 2).exp() + eps, "you scaled mu"),
    (lambda mu, log_var, eps: mu * eps + (log_var / 2).exp(), "have changed places"),
    (lambda mu, log_var, eps: (eps - mu) / (log_var / 2).exp(), "the way back"),
    (lambda mu, log_var, eps: mu - (log_var / 2).exp() * eps, "you subtract the noise"),
    (
        lambda mu, log_var, eps: mu + (log_var.mean() / 2).exp() * eps,
        "the draw for mu = [[1.0, -2.0]], log_var = [[2.0, -1.0]], eps = [[0.5, -1.5]] should be -2.91",
    ),
    (lambda mu, log_var, eps: mu + (log_var.exp() + 1e-6).sqrt() * eps, "log_var = [[-20.0, 20.0]]"),
    (lambda mu, log_var, eps: mu + (log_var.clamp(-10, 10) / 2).exp() * eps, "log_var = [[-20.0, 20.0]]"),
    (square_transposed, "a tensor of shape (3, 3)"),
    (lambda mu, log_var, eps: mu.detach() + (log_var / 2).exp() * eps, "no gradient reaches mu"),
    (lambda mu, log_var, eps: Normal(mu, (log_var / 2).exp()).rsample(), "you draw new noise"),
    (lambda mu, log_var, eps: mu + (log_var / 2).exp().detach() * eps, "no gradient reaches log_var"),
    (lambda mu, log_var, eps: (mu + (log_var / 2).exp() * eps).detach(), "no gradient reaches mu"),
    (lambda mu, log_var, eps: (mu + (log_var / 2).exp() * eps).mean(), "should have shape (1, 2)"),
    (
        lambda mu, log_var, eps: (mu + (log_var / 2).exp() * eps).numpy(),
        "your code stopped with RuntimeError",
    ),
    (in_place, "changes its argument eps in place"),
    (lambda mu, log_var: mu, "cannot be called with"),
]


# 8.3: which costs jump -------------------------------------------------------------------------------

RIGHT["8.3"] = [
    ["cube", "distance", "overshoot"],
    ("overshoot", "distance", "cube", "cube"),
    frozenset({"distance", "overshoot", "cube"}),
    np.array(["cube", "distance", "overshoot"]),
    {" Cube", "distance", "overshoot"},
]
WRONG["8.3"] = [
    ({"cube"}, "'distance' is missing: |z| has a kink"),
    ({"distance", "cube"}, "'overshoot' is missing"),
    ({"distance", "overshoot"}, "Steep makes the estimate noisy, not biased"),
    ({"distance", "overshoot", "cube", "toll"}, "'toll' should not be trusted"),
    ({"distance", "overshoot", "cube", "fraction"}, "sees the slope 1 between them"),
    ({"distance", "rounded", "overshoot", "cube"}, "always 0"),
    (set(), "'distance' is missing"),
    (["toll", "rounded", "fraction"], "the three that jump"),
    ({"distance", "overshot", "cube"}, "there is no cost 'overshot'"),
    ("distance", "a set of names is needed"),
    ({"distance": True}, "a set of names is needed"),
    ([True, False, True, False, False, True], "Each name is a text"),
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
    (lambda u: -torch.log(1 - u), "(Of 1 - u.)"),
    (lambda u: torch.log(u), "with the sign turned round"),
    (lambda u: (-torch.log(-torch.log(u))).flip(0), "the draw for u = [0.25, 0.5, 0.875] should be"),
    (lambda u: torch.where(u < 0.5, u, 1 - u).log().neg().log().neg(), "the draw for u = [0.25, 0.5, 0.875]"),
    (lambda u: -torch.log(-torch.log(u.clamp(1e-3, 1 - 1e-3))), "the draw for u = [0.000244, 0.999756]"),
    (lambda u: -torch.log10(-torch.log10(u)), "to base 10"),
    (lambda u: -torch.log2(-torch.log2(1 - u)), "to base 2. The inverse of exp is torch.log. (Of 1 - u.)"),
    (lambda u: torch.exp(-u - torch.exp(-u)), "this is the density"),
    (lambda u: torch.exp(-torch.exp(-u)), "You need its inverse"),
    (lambda u: -torch.log(-torch.log(torch.rand_like(u))), "Use the argument u"),
    (lambda u: -Exponential(1.0).sample(u.shape).log(), "Use the argument u"),
    (lambda u: (-torch.log(-torch.log(u))).mean(), "should have shape (3,)"),
]


# 8.5: how a draw from a mixture moves ----------------------------------------------------------------


def parts(z, weight, a, b):
    return weight * norm.pdf(z.numpy() - a), (1 - weight) * norm.pdf(z.numpy() - b)


def mixture(combine):
    return lambda z, weight, a, b: combine(*parts(z, weight, a, b))


def by_bayes(z, weight, a, b):
    odds = (z - (a + b) / 2) * (a - b) + math.log(weight / (1 - weight))
    return torch.sigmoid(odds)


def by_difference(z, weight, a, b, h=1e-4):
    def cdf(a):
        return weight * norm.cdf(z.numpy() - a) + (1 - weight) * norm.cdf(z.numpy() - b)

    return -(cdf(a + h) - cdf(a - h)) / (2 * h) / sum(parts(z, weight, a, b))


def by_autograd(z, weight, a, b):
    z, a = z.double().requires_grad_(), torch.tensor(a, dtype=torch.float64, requires_grad=True)
    u = (weight * torch.special.ndtr(z - a) + (1 - weight) * torch.special.ndtr(z - b)).sum()
    (by_z,) = torch.autograd.grad(u, z, retain_graph=True)
    rows = [torch.autograd.grad(weight * torch.special.ndtr(x - a), a)[0] for x in z.detach()]
    return -torch.stack(rows) / by_z


def mixture_cdf(z, weight, a, b):
    return weight * norm.cdf(z - a) + (1 - weight) * norm.cdf(z - b)


def without_half(z, weight, a, b):
    first, second = weight * torch.exp(-((z - a) ** 2)), (1 - weight) * torch.exp(-((z - b) ** 2))
    return first / (first + second)


RIGHT["8.5"] = [mixture(lambda f, s: f / (f + s)), by_bayes, by_difference, by_autograd]
WRONG["8.5"] = [
    (mixture(lambda f, s: -f / (f + s)), "the sign is wrong"),
    (mixture(lambda f, s: f), "the density is missing"),
    (mixture(lambda f, s: -f), "Turn its sign round"),
    (mixture(lambda f, s: s / (f + s)), "how the draw moves with b"),
    (mixture(lambda f, s: (f + s) / f), "upside down"),
    (mixture(lambda f, s: 1 / (f + s)), "missing its numerator"),
    (lambda z, w, a, b: w / sum(parts(z, w, a, b)), "φ(z - a) is missing in the numerator"),
    (lambda z, w, a, b: -by_bayes(z, w, a, b) / w, "in the numerator, ∂F/∂a = -w φ(z - a), and the sign"),
    (lambda z, w, a, b: by_bayes(z, 1 - w, a, b), "w and 1 - w have changed places"),
    (lambda z, w, a, b: w * norm.cdf(z - a) / sum(parts(z, w, a, b)), "the numerator has Φ(z - a)"),
    (lambda z, w, a, b: parts(z, w, a, b)[0] / mixture_cdf(z, w, a, b), "you divide by F"),
    (lambda z, w, a, b: w * norm.cdf(z - a) / mixture_cdf(z, w, a, b), "Φ stands where φ belongs"),
    (without_half, "the square is halved"),
    (mixture(lambda f, s: f * (f + s)), "you multiply by the density"),
    (mixture(lambda f, s: np.log(f / (f + s))), "this is the logarithm"),
    (lambda z, w, a, b: norm.pdf(z - a), "the density of the first component. ∂F/∂a has its weight"),
    (lambda z, w, a, b: torch.ones_like(z), "1 would be right"),
    (lambda z, w, a, b: torch.full_like(z, w), "you divide by the density of the first component"),
    (lambda z, w, a, b: by_bayes(z, w, a, b) / w, "the weight is missing in the numerator"),
    (lambda z, w, a, b: by_bayes(z, 0.5, a, b), "the weights are missing in the density"),
    (lambda z, w, a, b: w * by_bayes(z, 0.5, a, b), "the weights are missing in the denominator"),
    (
        lambda z, w, a, b: (norm.cdf(z - b) - norm.cdf(z - a)) / sum(parts(z, w, a, b)),
        "this is the derivative by the weight. Asked",
    ),
    (lambda z, w, a, b: by_bayes(z, w, a, b).sum(), "should have shape (1,)"),
    (0.3, "a function is needed"),
]


# 8.6: the score function of a categorical draw -------------------------------------------------------


def score_by_autograd(costs, logits, j):
    copies = logits.expand(len(j), -1).clone().requires_grad_()
    (score,) = torch.autograd.grad(Categorical(logits=copies).log_prob(j).sum(), copies)
    return costs[j][:, None] * score


def score_by_jacobian(costs, logits, j):
    jacobian = torch.autograd.functional.jacobian(lambda x: log_softmax(x, dim=0), logits)
    return jacobian[j] * costs[j].unsqueeze(-1)


def score_by_loop(costs, logits, j):
    rows = []
    for sector in j.tolist():
        row = -logits.softmax(0)
        row[sector] += 1
        rows.append(costs[sector] * row)
    return torch.stack(rows)


def wheel(costs, logits, j):
    return costs[j].unsqueeze(1), one_hot(j, len(logits)), logits.softmax(0)


def wheel_answer(estimate):
    return lambda costs, logits, j: estimate(*wheel(costs, logits, j))


RIGHT["8.6"] = [score_by_autograd, score_by_jacobian, score_by_loop]
WRONG["8.6"] = [
    (wheel_answer(lambda f, corner, p: f * (p - corner)), "the sign of the score is turned round"),
    (wheel_answer(lambda f, corner, p: corner - p), "the score alone"),
    (wheel_answer(lambda f, corner, p: f * corner), "has a derivative too"),
    (wheel_answer(lambda f, corner, p: -f * p), "softmax is only half of the score"),
    (wheel_answer(lambda f, corner, p: (f * (corner - p)).mean(0)), "one estimate per spin"),
    (wheel_answer(lambda f, corner, p: (f * (corner - p)).sum(0)), "one estimate per spin"),
    (wheel_answer(lambda f, corner, p: f * (corner - 1 / len(p))), "different probabilities"),
    (lambda f, logits, j: f[j][:, None] * (one_hot(j, len(f)) - logits), "you subtract the logits"),
    (
        lambda f, logits, j: (
            f[j][:, None] * logits.softmax(0)[j][:, None] * (one_hot(j, len(f)) - logits.softmax(0))
        ),
        "The score is the derivative of log π_j",
    ),
    (lambda f, logits, j: f[j] * (one_hot(j, len(f)) - logits.softmax(0)), "make costs[j], of shape (n,), a"),
    (lambda f, logits, j: f[j] * logits.log_softmax(0)[j], "this is one number per spin"),
    (wheel_answer(lambda f, corner, p: f * (corner - p) / len(f)), "you divided by the number of spins"),
    (wheel_answer(lambda f, corner, p: f * (corner + p)), "softmax is subtracted"),
    (wheel_answer(lambda f, corner, p: (f - f.mean()) * (corner - p)), "the mean cost of these spins"),
    (lambda f, logits, j: f[j][:, None] * (one_hot(j, len(f)) - logits.exp()), "you subtract exp(ℓ)"),
    (wheel_answer(lambda f, corner, p: f.abs() * (corner - p)), "for costs = the tensor [-2, 0.5, 1]"),
    (lambda f, logits, j: f * (one_hot(j, len(f)) - logits.softmax(0)), "the cost of its own sector"),
    (wheel_answer(lambda f, corner, p: f * (corner - p.log())), "you subtract log π"),
    (wheel_answer(lambda f, corner, p: f * corner * (1 - p)), "is not zero at sectors that were not drawn"),
    (lambda f, logits, j: f[j][:, None] * (one_hot(j) - logits.softmax(0)), "Say how many: one_hot(j, K)"),
    (
        lambda f, logits, j: (
            (f[j] - logits.softmax(0) @ f)[:, None] * (one_hot(j, len(f)) - logits.softmax(0))
        ),
        "as a baseline",
    ),
]


# 8.7: winners in the wrong proportions ----------------------------------------------------------------


def gumbel(u):
    return -torch.log(-torch.log(u))


def relax(
    scores=lambda a, g, t: (a + g) / t,
    soft=lambda s: s.softmax(-1),
    hard_value=lambda soft, corner: corner + (soft - soft.detach()),
    winner=None,
):
    """An answer made of the given parts, right by default."""

    def answer(logits, u, temperature, hard):
        s = scores(logits, gumbel(u), temperature)
        w = s if winner is None else winner(logits, gumbel(u), temperature)
        corner = one_hot(w.argmax(-1), w.shape[-1])
        return hard_value(soft(s), corner) if hard else soft(s)

    return answer


def relax_by_scatter(logits, u, temperature, hard):
    scores = (logits - torch.log(-torch.log(u))) / temperature
    soft = torch.exp(scores - scores.logsumexp(1, keepdim=True))
    corner = torch.zeros_like(soft).scatter_(1, scores.argmax(1, keepdim=True), 1.0)
    return corner - soft.detach() + soft if hard else soft


def last_of_equals(logits, u, temperature, hard):
    return relax(winner=lambda a, g, t: a + g)(logits.flip(1), u.flip(1), temperature, hard).flip(1)


def two_winners(soft, corner):
    return (soft == soft.amax(1, keepdim=True)).float() + soft - soft.detach()


def unmended(a, g, t):
    return a / t + g


def drawn_anew(logits, u, temperature, hard):
    soft = relax()(logits, u, temperature, hard=False)
    return one_hot(soft.multinomial(1)[:, 0], soft.shape[1]) + soft - soft.detach() if hard else soft


RIGHT["8.7"] = [
    relax(hard_value=lambda soft, corner: soft + (corner - soft).detach()),
    relax(scores=lambda a, g, t: a / t + g / t),
    relax_by_scatter,
    last_of_equals,
]
WRONG["8.7"] = [
    (relax(lambda a, g, t: (a + g) / t / t), "you divide by the temperature twice"),
    (lambda a, u, t, hard: relax()(a, 1 - u, t, hard), "made of 1 - u"),
    (lambda a, u, t, hard: relax(*([] if hard else [unmended]))(a, u, t, hard), "With hard=False it still"),
    (relax(lambda a, g, t: (a + g) / max(t, 0.1)), "temperature = 0.01"),
    (relax(lambda a, g, t: ((a + g) / t).clamp(-30, 30)), "temperature = 0.01"),
    (relax(soft=lambda s: s.exp() / s.exp().sum(-1, keepdim=True)), "contains NaN"),
    (relax(soft=lambda s: (s - s.max()).exp() / (s - s.max()).exp().sum(-1, keepdim=True)), "contains NaN"),
    (lambda a, u, t, hard: relax()(a, u.clamp(1e-3, 1 - 1e-3), t, hard), "u = [[0.000244, 0.5, 0.999756]]"),
    (relax(winner=lambda a, g, t: g), "marks the largest noise"),
    (drawn_anew, "The noise is the argument u"),
    (lambda a, u, t, hard: relax()(a.detach(), u, t, hard), "reaches logits. Is there a detach"),
    (relax(lambda a, g, t: a + g), "there is no temperature left"),
    (relax(lambda a, g, t: a + g / t), "now the logits are not divided by the temperature"),
    (relax(lambda a, g, t: (a + g) * t), "you multiply by the temperature"),
    (relax(lambda a, g, t: a * t + g), "the logits are multiplied by the temperature"),
    (relax(lambda a, g, t: a / t), "the noise is missing"),
    (relax(lambda a, g, t: (a - g) / t), "the noise is turned round"),
    (
        lambda a, u, t, hard: (
            one_hot((a + gumbel(u)).argmax(1), a.shape[1]) if hard else relax()(a, u, 1, 0) / t
        ),
        "the temperature comes after the softmax",
    ),
    (relax(soft=lambda s: s.softmax(0)), "softmax along the last dimension"),
    (relax(soft=lambda s: s.log_softmax(-1)), "not log_softmax"),
    (
        relax(soft=lambda s: one_hot(s.argmax(-1), s.shape[-1])),
        "the relaxed draw is asked for, not the corner",
    ),
    (relax(hard_value=lambda soft, corner: soft), "hard=True changes nothing"),
    (relax(hard_value=lambda soft, corner: corner), "no gradient reaches logits"),
    (relax(hard_value=lambda soft, corner: corner + soft), "you return corner + soft"),
    (relax(hard_value=lambda soft, corner: soft + (soft - corner).detach()), "2·soft - corner"),
    (relax(hard_value=lambda soft, corner: corner + (soft.detach() - soft)), "points backwards"),
    (
        relax(hard_value=lambda soft, corner: corner + 2 * (soft - soft.detach())),
        "the gradient of logits is not",
    ),
    (relax(hard_value=two_winners), "Of entries that are equally large one wins"),
    (relax(soft=lambda s: s.softmax(-1).detach()), "no gradient reaches logits"),
    (relax(winner=lambda a, g, t: a), "the largest of logits plus noise"),
    (relax(winner=lambda a, g, t: a / t + g), "the winner is still chosen by"),
    (lambda a, u, t, hard: gumbel_softmax(a, t, hard), "The noise is the argument u"),
]


# 8.8: a surrogate with rsample -----------------------------------------------------------------------


def experiment(draw=lambda q: q.rsample()):
    def run():
        theta = torch.full((20_000,), 1.5, requires_grad=True)
        q = Normal(theta, 1.0)
        z = draw(q)
        cost = (z**2).detach()
        (slopes,) = torch.autograd.grad(((cost - cost.mean()) * q.log_prob(z)).sum(), theta)
        return slopes.mean().item()

    return run


RIGHT["8.8"] = [(0, experiment()), (np.float32(0.05), experiment()), [torch.tensor(-0.05), experiment()]]
WRONG["8.8"] = [
    (
        (3.0, experiment()),
        "3 is what sample gives, where z stays when θ moves, and what the cost itself would give",
    ),
    ((6, experiment()), "you added the two ways"),
    ((-3.0, experiment()), "you predicted -3. The experiment gives"),
    ((0.2, experiment()), "what is left of θ"),
    ((0.0, experiment(draw=lambda q: q.sample())), "was it changed?"),
    ((0.0, lambda: None), "the result is None"),
    (("none", experiment()), "your prediction should be a number"),
    ((None, experiment()), "your prediction is None"),
    ((0.0, 3.0), "the experiment as a function"),
]
