"""Answers to the exercises of chapter 12: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
import torch.nn.functional as F

RIGHT = {}
WRONG = {}


# 12.1: the optimal discriminator ---------------------------------------------------------------------


def by_densities(log_p, log_p_G):
    return log_p.exp() / (log_p.exp() + log_p_G.exp())


def with_small_constant(log_p, log_p_G):
    return log_p.exp() / (log_p.exp() + log_p_G.exp() + 1e-12)


RIGHT["12.1"] = [
    lambda log_p, log_p_G: 1 / (1 + torch.exp(log_p_G - log_p)),
    lambda log_p, log_p_G: (log_p - torch.logaddexp(log_p, log_p_G)).exp(),
    lambda log_p, log_p_G: torch.stack([log_p, log_p_G]).softmax(0)[0],
]
WRONG["12.1"] = [
    (by_densities, "at e^-1000 both are rounded to zero"),
    (with_small_constant, "at e^-1000 both are rounded to zero"),
    (lambda log_p, log_p_G: torch.sigmoid(log_p_G - log_p), "changed places"),
    (lambda log_p, log_p_G: log_p - log_p_G, "one function is missing"),
    (lambda log_p, log_p_G: (log_p - log_p_G).exp(), "this is the ratio"),
    (lambda log_p, log_p_G: log_p / (log_p + log_p_G), "divided the logarithms"),
    (lambda log_p, log_p_G: (log_p - log_p_G).exp().sigmoid(), "the logarithm of the ratio"),
    (lambda log_p, log_p_G: log_p.exp(), "both densities"),
    (lambda log_p, log_p_G: 0.5, "should have shape (5,)"),
]


# 12.2: a bound on JS ---------------------------------------------------------------------------------


def value(real, fake):
    return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()


def with_cross_entropy(real, fake):
    logits = torch.cat([real, fake])
    labels = torch.cat([torch.ones_like(real), torch.zeros_like(fake)])
    return math.log(2) - F.binary_cross_entropy_with_logits(logits, labels)


RIGHT["12.2"] = [
    with_cross_entropy,
    lambda real, fake: math.log(2) - 0.5 * (F.softplus(-real) + F.softplus(fake)).mean(),
    lambda real, fake: (value(real, fake).item() + np.log(4)) / 2,
]
WRONG["12.2"] = [
    (value, "this is the value V itself"),
    (lambda real, fake: value(real, fake) + math.log(4), "the ½ is missing"),
    (lambda real, fake: value(real, fake) / 2 + math.log(4), "has to be halved too"),
    (lambda real, fake: (value(real, fake) - math.log(4)) / 2, "the sign of log 4"),
    (lambda real, fake: value(real, fake) / 2, "log 4 is missing"),
    (lambda real, fake: (math.log(4) - value(real, fake)) / 2, "takes the judge's loss"),
    (lambda real, fake: (value(real, fake) + math.log(2)) / 2, "log 2 for log 4"),
    (lambda real, fake: (value(fake, real) + math.log(4)) / 2, "changed places"),
    (lambda real, fake: (value(real, -fake) + math.log(4)) / 2, "is paid log(1 - D)"),
    (
        lambda real, fake: (F.logsigmoid(real) + F.logsigmoid(-fake) + math.log(4)) / 2,
        "for each pair of samples",
    ),
    (
        lambda real, fake: (
            ((real.sigmoid() + 1e-8).log().mean() + (1 - fake.sigmoid() + 1e-8).log().mean() + math.log(4))
            / 2
        ),
        "a small constant inside only hides it",
    ),
    (
        lambda real, fake: (
            (real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean() + math.log(4)) / 2
        ),
        "runs out of digits",
    ),
]


# 12.3: the forger's best answer ----------------------------------------------------------------------


def with_zeros(D):
    q = torch.zeros_like(D)
    q[D.argmax()] = 1.0
    return q


def by_trying_all(D):
    corners = np.eye(len(D))
    return corners[int(np.argmin(corners @ np.log(1 - D.numpy())))]


def all_of_the_largest(D):
    best = D.max() == D
    return best / best.sum()


RIGHT["12.3"] = [with_zeros, by_trying_all, all_of_the_largest]
WRONG["12.3"] = [
    (lambda D: F.one_hot(D.argmin(), len(D)).float(), "trusts least"),
    (lambda D: D / D.sum(), "in proportion to D"),
    (lambda D: D.softmax(0), "softmax shares q out"),
    (lambda D: torch.full_like(D, 1 / len(D)), "ignores the judge"),
    (lambda D: D.argmax(), "this is one number"),
    (lambda D: (1 - D).log().min(), "this is one number"),
    (lambda D: (D.max() == D).float(), "yours adds up to 3"),
    (lambda D: 1 - D, "q should be"),
]


# 12.4: how hard a forgery pulls ----------------------------------------------------------------------


def by_autograd(logits):
    slopes = []
    for loss in (lambda t: -F.softplus(t), lambda t: F.softplus(-t)):
        t = logits.clone().requires_grad_()
        slopes.append(torch.autograd.grad(loss(t).sum(), t)[0])
    return tuple(slopes)


def by_the_chain_rule(logits):
    D = logits.sigmoid()
    slope = D * (1 - D)
    return -slope / (1 - D), -slope / D


RIGHT["12.4"] = [
    by_autograd,
    lambda logits: [-logits.sigmoid(), logits.sigmoid() - 1],
    lambda logits: (-1 / (1 + np.exp(-logits.double().numpy())), -1 / (1 + np.exp(logits.double().numpy()))),
]
WRONG["12.4"] = [
    (lambda logits: (-torch.sigmoid(-logits), -torch.sigmoid(logits)), "in the other order"),
    (lambda logits: (torch.sigmoid(logits), torch.sigmoid(-logits)), "both signs are wrong"),
    (lambda logits: (torch.sigmoid(logits), -torch.sigmoid(-logits)), "the first has the wrong sign"),
    (lambda logits: (-torch.sigmoid(logits), torch.sigmoid(-logits)), "the second has the wrong sign"),
    (lambda logits: (-1 / (1 - logits.sigmoid()), -1 / logits.sigmoid()), "the first is a derivative by D"),
    (lambda logits: (-logits.sigmoid(), -1 / logits.sigmoid()), "the second is a derivative by D"),
    (lambda logits: (-logits.sigmoid(), -logits.sigmoid()), "the second is -D again"),
    (lambda logits: (-F.softplus(logits), F.softplus(-logits)), "the loss itself"),
    (by_the_chain_rule, "at ±200 it is not"),
    (lambda logits: -logits.sigmoid(), "two tensors are needed"),
]


# 12.5: which loss is it? -----------------------------------------------------------------------------

SOLUTION = {
    "a": "minimax",
    "b": "non-saturating",
    "c": "wrong",
    "d": "non-saturating",
    "e": "minimax",
    "f": "wrong",
}
NAMES = {"minimax": "non-saturating", "non-saturating": "minimax", "wrong": "wrong"}

RIGHT["12.5"] = [
    {letter: word.replace("-", "_") for letter, word in SOLUTION.items()},
    dict(sorted(((letter, word.title()) for letter, word in SOLUTION.items()), reverse=True)),
]
WRONG["12.5"] = [
    ({letter: NAMES[word] for letter, word in SOLUTION.items()}, "the two names are exchanged"),
    (SOLUTION | {"c": "minimax"}, "when the judge is sure"),
    (SOLUTION | {"d": "wrong"}, "asks to be called real"),
    (SOLUTION | {"e": "wrong", "f": "non-saturating"}, "2 of six"),
    (SOLUTION | {"f": "non-saturating"}, "without the minus"),
    (SOLUTION | {"a": "saturating"}, "is none of"),
    ({letter: word for letter, word in SOLUTION.items() if letter < "e"}, "e, f is missing"),
    (list(SOLUTION.values()), "a dictionary is needed"),
]


# 12.6: one round -------------------------------------------------------------------------------------


def judge_step(judge, forger, learn_judge, real, noise):
    loss = F.softplus(-judge(real())).mean() + F.softplus(judge(forger(noise()).detach())).mean()
    learn_judge.zero_grad()
    loss.backward()
    learn_judge.step()
    return loss.item()


def forger_step(judge, forger, learn_forger, noise, loss=lambda logits: F.softplus(-logits)):
    loss = loss(judge(forger(noise()))).mean()
    learn_forger.zero_grad()
    loss.backward()
    learn_forger.step()
    return loss.item()


def with_cross_entropy_round(judge, forger, learn_judge, learn_forger, real, noise, k):
    bce = F.binary_cross_entropy_with_logits
    for _ in range(k):
        learn_judge.zero_grad(set_to_none=True)
        with torch.no_grad():
            forged = forger(noise())
        on_real, on_forged = judge(real()), judge(forged)
        d_loss = bce(on_real, torch.ones_like(on_real)) + bce(on_forged, torch.zeros_like(on_forged))
        d_loss.backward()
        learn_judge.step()
    learn_forger.zero_grad(set_to_none=True)
    logits = judge(forger(noise()))
    g_loss = bce(logits, torch.ones_like(logits))
    g_loss.backward()
    learn_forger.step()
    return d_loss, g_loss


def without_detach(judge, forger, learn_judge, learn_forger, real, noise, k):
    """Wasteful, and right: the forger's gradient is set to zero before its own step."""
    for _ in range(k):
        forged = forger(noise())
        d_loss = (F.softplus(-judge(real())) + F.softplus(judge(forged))).mean()
        learn_judge.zero_grad()
        d_loss.backward()
        learn_judge.step()
    return d_loss.item(), forger_step(judge, forger, learn_forger, noise)


def in_two_functions(judge, forger, learn_judge, learn_forger, real, noise, k):
    losses = [judge_step(judge, forger, learn_judge, real, noise) for _ in range(k)]
    return losses[-1], forger_step(judge, forger, learn_forger, noise)


def with_forger_loss(loss):
    def one_round(judge, forger, learn_judge, learn_forger, real, noise, k):
        losses = [judge_step(judge, forger, learn_judge, real, noise) for _ in range(k)]
        return losses[-1], forger_step(judge, forger, learn_forger, noise, loss)

    return one_round


def gradients_pile_up(judge, forger, learn_judge, learn_forger, real, noise, k):
    for _ in range(k):
        d_loss = (F.softplus(-judge(real())) + F.softplus(judge(forger(noise()).detach()))).mean()
        d_loss.backward()
        learn_judge.step()
    return d_loss.item(), forger_step(judge, forger, learn_forger, noise)


def forger_hears_the_judge(judge, forger, learn_judge, learn_forger, real, noise, k):
    for _ in range(k):
        d_loss = (F.softplus(-judge(real())) + F.softplus(judge(forger(noise())))).mean()
        learn_judge.zero_grad()
        d_loss.backward()
        learn_judge.step()
    g_loss = F.softplus(-judge(forger(noise()))).mean()
    g_loss.backward()
    learn_forger.step()
    return d_loss.item(), g_loss.item()


def both_move(judge, forger, learn_judge, learn_forger, real, noise, k):
    for _ in range(k):
        d_loss = judge_step(judge, forger, learn_judge, real, noise)
    learn_judge.zero_grad()
    g_loss = forger_step(judge, forger, learn_forger, noise)
    learn_judge.step()
    return d_loss, g_loss


def one_judge_step(judge, forger, learn_judge, learn_forger, real, noise, k):
    return in_two_functions(judge, forger, learn_judge, learn_forger, real, noise, 1)


def forger_too_keen(judge, forger, learn_judge, learn_forger, real, noise, k):
    for _ in range(k):
        d_loss = judge_step(judge, forger, learn_judge, real, noise)
    for _ in range(k):
        g_loss = forger_step(judge, forger, learn_forger, noise)
    return d_loss, g_loss


def forger_before_judge(judge, forger, learn_judge, learn_forger, real, noise, k):
    g_loss = forger_step(judge, forger, learn_forger, noise)
    for _ in range(k):
        d_loss = judge_step(judge, forger, learn_judge, real, noise)
    return d_loss, g_loss


def one_real_batch(judge, forger, learn_judge, learn_forger, real, noise, k):
    x = real()
    return in_two_functions(judge, forger, learn_judge, learn_forger, lambda: x, noise, k)


def one_noise_batch(judge, forger, learn_judge, learn_forger, real, noise, k):
    z = noise()
    return in_two_functions(judge, forger, learn_judge, learn_forger, real, lambda: z, k)


def cut_off_forger(judge, forger, learn_judge, learn_forger, real, noise, k):
    for _ in range(k):
        d_loss = judge_step(judge, forger, learn_judge, real, noise)
    g_loss = F.softplus(-judge(forger(noise()).detach())).mean()
    learn_forger.zero_grad()
    g_loss.backward()
    learn_forger.step()
    return d_loss, g_loss.item()


def forger_reuses_judge_noise(judge, forger, learn_judge, learn_forger, real, noise, k):
    """Draws new noise and does not use it."""
    for _ in range(k):
        z = noise()
        d_loss = judge_step(judge, forger, learn_judge, real, lambda z=z: z)
    noise()
    return d_loss, forger_step(judge, forger, learn_forger, lambda: z)


def exchanged_labels(judge, forger, learn_judge, learn_forger, real, noise, k):
    for _ in range(k):
        d_loss = (F.softplus(judge(real())) + F.softplus(-judge(forger(noise()).detach()))).mean()
        learn_judge.zero_grad()
        d_loss.backward()
        learn_judge.step()
    return d_loss.item(), forger_step(judge, forger, learn_forger, noise)


RIGHT["12.6"] = [with_cross_entropy_round, without_detach, in_two_functions]
WRONG["12.6"] = [
    (gradients_pile_up, "gradients pile up"),
    (forger_hears_the_judge, "also feels the judge's loss"),
    (with_forger_loss(lambda logits: -F.softplus(logits)), "minimizes log(1 - D)"),
    (with_forger_loss(F.softplus), "learns to be caught"),
    (with_forger_loss(F.logsigmoid), "the sign is wrong"),
    (exchanged_labels, "call forgeries real"),
    (forger_too_keen, "the forger takes k steps too"),
    (one_judge_step, "one step, whatever k is"),
    (forger_before_judge, "the forger moved first"),
    (both_move, "the judge moves in the forger's step"),
    (one_real_batch, "the same real samples"),
    (one_noise_batch, "noise() was called 1 times"),
    (cut_off_forger, "the forger does not move"),
    (forger_reuses_judge_noise, "the forger does not end where it should"),
    (lambda *players: in_two_functions(*players)[::-1], "the wrong order"),
    (lambda *players: in_two_functions(*players)[0], "Return both losses"),
    (lambda *players: (0.0, 0.0), "call real() and noise()"),
    (lambda *players: None, "Is a return missing?"),
]


# 12.7: taking turns ----------------------------------------------------------------------------------


def with_autograd(x, y, eta):
    x = torch.tensor(float(x), requires_grad=True)
    (slope,) = torch.autograd.grad(x * y, x)
    x = x.detach() - eta * slope
    y = torch.tensor(float(y), requires_grad=True)
    (slope,) = torch.autograd.grad(x * y, y)
    return x.item(), (y + eta * slope).item()


RIGHT["12.7"] = [
    with_autograd,
    lambda x, y, eta: (x - eta * y, y + eta * (x - eta * y)),
    lambda x, y, eta: np.array([[1, -eta], [eta, 1 - eta**2]]).dot([x, y]).tolist(),
]
WRONG["12.7"] = [
    (lambda x, y, eta: (x - eta * y, y + eta * x), "both at once"),
    (lambda x, y, eta: (x - eta * (y + eta * x), y + eta * x), "y moved first"),
    (lambda x, y, eta: (x - eta * y, y - eta * (x - eta * y)), "both go down"),
    (lambda x, y, eta: (x + eta * y, y + eta * (x + eta * y)), "both go up"),
    (lambda x, y, eta: (x + eta * y, y - eta * (x + eta * y)), "the signs are exchanged"),
    (lambda x, y, eta: (x - eta * x, y + eta * y), "by its own place"),
    (lambda x, y, eta: x - eta * y, "return two numbers"),
]
