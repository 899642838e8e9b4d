"""Answers to the exercises of chapter 12: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
import torch.nn.functional as F

RIGHT = {}
WRONG = {}


# 12.1: smoothed labels ------------------------------------------------------------------------------


def by_densities(log_p, log_q, alpha, beta):
    p, q = log_p.exp(), log_q.exp()
    return (alpha * p + beta * q) / (p + q)


def with_small_constant(log_p, log_q, alpha, beta):
    p, q = log_p.exp(), log_q.exp()
    return (alpha * p + beta * q) / (p + q + 1e-12)


def shifted_by_the_largest_of_all(log_p, log_q, alpha, beta):
    largest = torch.maximum(log_p.max(), log_q.max())
    return by_densities(log_p - largest, log_q - largest, alpha, beta)


def shifted_by_the_mean(log_p, log_q, alpha, beta):
    mean = (log_p + log_q) / 2
    return by_densities(log_p - mean, log_q - mean, alpha, beta)


def shifted_at_each_x(log_p, log_q, alpha, beta):
    largest = torch.maximum(log_p, log_q)
    return by_densities(log_p - largest, log_q - largest, alpha, beta)


def by_two_logs(log_p, log_q, alpha, beta):
    """log A - log B, with the logarithms of labels that may be 0."""
    on, off = torch.tensor([alpha, beta]).log(), torch.tensor([1 - alpha, 1 - beta]).log()
    return torch.sigmoid(
        torch.logaddexp(log_p + on[0], log_q + on[1]) - torch.logaddexp(log_p + off[0], log_q + off[1])
    )


def by_the_exponential_of_the_difference(log_p, log_q, alpha, beta):
    odds = (log_q - log_p).exp()
    return (alpha + beta * odds) / (1 + odds)


def D_star(log_p, log_q):
    return torch.sigmoid(log_p - log_q)


RIGHT["12.1"] = [
    lambda log_p, log_q, alpha, beta: beta + (alpha - beta) / (1 + torch.exp(log_q - log_p)),
    lambda log_p, log_q, a, b: (torch.stack([log_p, log_q], -1).softmax(-1) * torch.tensor([a, b])).sum(-1),
    shifted_at_each_x,
    by_two_logs,
]
WRONG["12.1"] = [
    (by_densities, "not where they are e^-1000"),
    (with_small_constant, "not where they are e^-1000"),
    (shifted_by_the_largest_of_all, "at each x by itself"),
    (shifted_by_the_mean, "not where they are e^-1000"),
    (lambda log_p, log_q, a, b: D_star(log_p, log_q), "alpha and beta do not enter"),
    (lambda log_p, log_q, a, b: a * D_star(log_p, log_q), "their label is beta, not 0"),
    (lambda log_p, log_q, a, b: a * D_star(log_q, log_p) + b * D_star(log_p, log_q), "changed places"),
    (lambda log_p, log_q, a, b: a + (b - a) * D_star(log_p, log_q), "changed places"),
    (lambda log_p, log_q, a, b: a * log_p.exp() / (a * log_p.exp() + b * log_q.exp()), "They are labels"),
    (
        lambda log_p, log_q, a, b: torch.sigmoid(log_p - log_q + math.log(a) - math.log(1 - b)),
        "two parts are missing",
    ),
    (lambda *given: shifted_at_each_x(*given).logit(), "one function is missing"),
    (lambda *given: 1 - shifted_at_each_x(*given), "the probability of being generated"),
    (lambda log_p, log_q, a, b: D_star(log_p, log_q).clamp(b, a), "not cut off"),
    (lambda log_p, log_q, a, b: (a * log_p + b * log_q) / (log_p + log_q), "mixed the logarithms"),
    (lambda log_p, log_q, a, b: a * log_p.exp() + b * log_q.exp(), "Divide it by p + p_G"),
    (
        lambda log_p, log_q, a, b: torch.sigmoid(log_p - log_q + math.log(a / (1 - a + 1e-12))),
        "share of real",
    ),
    (
        lambda log_p, log_q, a, b: a * D_star(log_p, log_q) + (1 - b) * D_star(log_q, log_p),
        "1 - beta is its part in log(1 - D)",
    ),
    (lambda log_p, log_q, a, b: torch.sigmoid(a * log_p - b * log_q), "log_p = the tensor [-1, -2, 0.5]"),
    (lambda *given: shifted_at_each_x(*given).log(), "this is log D"),
    (lambda log_p, log_q, a, b: by_densities(log_p, log_q, a, 1 - a), "not 1 - alpha"),
    (lambda log_p, log_q, a, b: b + a * D_star(log_p, log_q), "this is alpha + beta"),
    (lambda log_p, log_q, a, b: b + (a - b) * (log_p - log_q).clamp(-5, 5).sigmoid(), "do not limit"),
    (lambda log_p, log_q, a, b: b + (a - b) * (log_p - log_q).clamp(-10, 10).sigmoid(), "a limit or a shift"),
    (by_the_exponential_of_the_difference, "or of a difference of two"),
    (lambda log_p, log_q, a, b: (a + b) / 2, "should have shape (3,)"),
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
    (lambda real, fake: (math.log(4) - value(real, fake)) / 2, "takes the discriminator's loss"),
    (lambda real, fake: (value(real, fake) + math.log(2)) / 2, "log 2 for log 4"),
    (lambda real, fake: (value(fake, real) + math.log(4)) / 2, "changed places"),
    (lambda real, fake: (value(real, -fake) + math.log(4)) / 2, "has log(1 - D) for them"),
    (lambda real, fake: (len(real) * value(real, fake) + math.log(4)) / 2, "these are sums"),
    (lambda real, fake: value(real, fake) + math.log(2), "V has to be halved too"),
    (lambda real, fake: value(real, fake) / 4 + math.log(2), "all 2n samples"),
    (lambda real, fake: value(real, fake) / math.log(4) + 1, "in bits"),
    (lambda real, fake: ((value(real, fake) + math.log(4)) / 2).clamp(min=0), "do not cut off below 0"),
    (lambda real, fake: (value(real, fake) + 4) / 2, "log 4 is not 4"),
    (lambda real, fake: ((value(real, fake) + math.log(4)) / 2).abs(), "do not take the absolute value"),
    (lambda real, fake: (value(real, fake) + math.log(4)) / math.log(100), "of base 10"),
    (lambda real, fake: (value(real, fake) + np.log2(4)) / 2, "2 is the one of base 2"),
    (lambda real, fake: (value(real, fake) + np.log10(4)) / 2, "0.602 is the one of base 10"),
    (lambda real, fake: -value(real, fake), "this is the discriminator's loss"),
    (lambda real, fake: -value(real, fake) / 2, "half of the discriminator's loss"),
    (lambda real, fake: (F.logsigmoid(real).mean() + math.log(4)) / 2, "part of the generated samples"),
    (lambda real, fake: (F.logsigmoid(-fake).mean() + math.log(4)) / 2, "part of the real samples"),
    (lambda real, fake: (value(-real, fake) + math.log(4)) / 2, "has log D for them"),
    (lambda real, fake: (real.mean() - fake.mean() + math.log(4)) / 2, "not log D; and minus a logit"),
    (lambda real, fake: (-value(real, fake) - math.log(4)) / 2, "minus the bound"),
    (
        lambda real, fake: (real.sigmoid().mean().log() + (-fake).sigmoid().mean().log() + math.log(4)) / 2,
        "not the mean of log D",
    ),
    (lambda real, fake: (real.log().mean() + (1 - fake).log().mean() + math.log(4)) / 2, "no probabilities"),
    (
        lambda real, fake: (
            math.log(2)
            - (
                F.binary_cross_entropy(real.sigmoid(), torch.ones_like(real))
                + F.binary_cross_entropy(fake.sigmoid(), torch.zeros_like(fake))
            )
            / 2
        ),
        "or a limit",
    ),
    (
        lambda real, fake: math.log(2) - 0.5 * (F.softplus(-real).mean() + fake.exp().log1p().mean()),
        "with logits of 200 and -200",
    ),
    (
        lambda real, fake: math.log(2) - 0.5 * ((-real).exp().log1p().mean() + F.softplus(fake).mean()),
        "with logits of 200 and -200",
    ),
    (lambda real, fake: value(real.clamp(-100, 100), fake.clamp(-100, 100)) / 2 + math.log(2), "or a limit"),
    (
        lambda real, fake: (F.logsigmoid(real) + F.logsigmoid(-fake) + math.log(4)) / 2,
        "for each pair of samples",
    ),
    (
        lambda real, fake: (
            ((real.sigmoid() + 1e-8).log().mean() + (1 - fake.sigmoid() + 1e-8).log().mean() + math.log(4))
            / 2
        ),
        "a small constant inside",
    ),
    (
        lambda real, fake: (
            (real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean() + math.log(4)) / 2
        ),
        "exactly 0 or 1",
    ),
]


# 12.3: a bonus for variety -----------------------------------------------------------------------------


P5 = torch.tensor([0.10, 0.30, 0.20, 0.25, 0.15])  # the chapter's data


def by_powers(D, tau):
    q = (1 - D) ** (-1 / tau)
    return q / q.sum()


def by_ratios(D, tau):
    q = ((1 - D) / (1 - D).min()) ** (-1 / tau)
    return q / q.sum()


def by_descent(D, tau):
    """Mirror descent: each step goes part of the way to log q = -log(1 - D) / tau + a constant."""
    log_q = torch.zeros_like(D)
    for _ in range(200):
        log_q = log_q - 0.5 * ((1 - D).log() + tau * log_q) / tau
    return log_q.softmax(0)


def by_numpy(D, tau):
    log_q = -np.log1p(-D.double().numpy()) / tau
    return np.exp(log_q - np.logaddexp.reduce(log_q))


RIGHT["12.3"] = [
    by_ratios,
    by_descent,
    lambda D, tau: (F.softplus(D.logit()) / tau).softmax(0),
    by_numpy,
]
WRONG["12.3"] = [
    (by_powers, "at 0.001 a power"),
    (lambda D, tau: ((1 - D).log() / tau).softmax(0), "the sign in front of log(1 - D)"),
    (lambda D, tau: (D / tau).softmax(0), "the logarithm is missing, this is softmax(D / tau)"),
    (lambda D, tau: (D.log() / tau).softmax(0), "this has log D_i"),
    (lambda D, tau: (D.logit() / tau).softmax(0), "the logit of D_i"),
    (lambda D, tau: (-(1 - D).log() * tau).softmax(0), "multiplies where it should divide"),
    (lambda D, tau: (-(1 - D).log()).softmax(0), "tau does not enter"),
    (lambda D, tau: F.one_hot(D.argmax(), len(D)).to(D.dtype), "without the bonus"),
    (lambda D, tau: F.one_hot(D.argmin(), len(D)).to(D.dtype), "with the smallest D"),
    (lambda D, tau: torch.full_like(D, 1 / len(D)), "whatever the discriminator says"),
    (lambda D, tau: (1 - D) ** (-1 / tau), "the constant, which comes from the multiplier, is missing"),
    (
        lambda D, tau: (-(1 - D).log() / tau - 1).exp(),
        "the constant, which comes from the multiplier, is missing",
    ),
    (lambda D, tau: (-(1 - D).log() / tau).log_softmax(0), "Is this log q?"),
    (lambda D, tau: (-(1 - D).log()).softmax(0) ** (1 / tau), "the q_i add up to"),
    (lambda D, tau: (-(1 - D).log() / (tau + 0.01)).softmax(0), "q should be"),
    (lambda D, tau: ((1 - D).log() + tau).min(), "this is one number"),
    (lambda D, tau: P5, "The data's probabilities do not enter"),
    (lambda D, tau: by_ratios(1 - P5 ** (-tau) * (1 - D), tau), "The data's probabilities do not enter"),
    (lambda D, tau: torch.full((5,), 0.2), "q should have shape (4,), and has shape (5,)"),
    (lambda D, tau: by_ratios(D, tau) if len(D) != 5 else by_ratios(D, tau).flip(0), "q should be"),
    (lambda D, tau: by_powers(D, tau).nan_to_num(), "at 0.001 a power"),
    (lambda D, tau: by_ratios(D, tau**2), "not squared"),
    (lambda D, tau: by_ratios(D, tau**0.5), "not its root"),
    (lambda D, tau: (-(1 - D).log2() / tau).softmax(0), "this has base 2"),
    (lambda D, tau: (-(1 - D).log10() / tau).softmax(0), "this has base 10"),
    (lambda D, tau: ((1 - D) / tau).softmax(0), "and this prefers outcomes with a small D"),
    (lambda D, tau: (-(1 - D) / tau).softmax(0), "the logarithm is missing, this is softmax(D / tau)"),
]


# 12.4: how hard a sample pulls ----------------------------------------------------------------------


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


def D_slope(logits):
    return logits.sigmoid() * (-logits).sigmoid()


RIGHT["12.4"] = [
    lambda logits: torch.stack([-logits.sigmoid(), logits.sigmoid() - 1]),
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
    (lambda logits: (-logits.sigmoid(), -D_slope(logits)), "the second is -D(1 - D)"),
    (lambda logits: (D_slope(logits), D_slope(logits)), "the first is dD/dℓ"),
    (lambda logits: (-torch.sigmoid(-logits), -torch.sigmoid(-logits)), "the first is -(1 - D)"),
    (
        lambda logits: (-logits.sigmoid() / logits.numel(), -(-logits).sigmoid() / logits.numel()),
        "derivative of the mean",
    ),
    (lambda logits: (-logits.sigmoid().mean(), -(-logits).sigmoid().mean()), "should have shape (5,)"),
    (lambda logits: (torch.sigmoid(-logits), torch.sigmoid(logits)), "the order is the other way round"),
    (by_the_chain_rule, "a division by D"),
    (
        lambda logits: (-logits.clamp(-15, 15).sigmoid(), -(-logits.clamp(-15, 15)).sigmoid()),
        "to limit the logit",
    ),
    (lambda logits: (-logits.sigmoid(), -D_slope(logits) / (logits.sigmoid() + 1e-8)), "a small constant"),
    (
        lambda logits: (-logits.exp() / (1 + logits.exp()), -1 / (1 + logits.exp())),
        "an exponential overflows",
    ),
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
    list(SOLUTION.values()),
    [word.replace("-", " ") for word in SOLUTION.values()],
]
WRONG["12.5"] = [
    ({letter: NAMES[word] for letter, word in SOLUTION.items()}, "the two names are exchanged"),
    (SOLUTION | {"c": "minimax"}, "smallest when D is near 0"),
    (SOLUTION | {"d": "wrong"}, "asks to be called real"),
    (SOLUTION | {"e": "wrong", "f": "non-saturating"}, "2 of six"),
    (SOLUTION | {"f": "non-saturating"}, "turns it round"),
    (SOLUTION | {"a": "saturating"}, "is none of"),
    ({letter: word for letter, word in SOLUTION.items() if letter < "e"}, 'an answer for "e" is missing'),
    (list(SOLUTION.values())[:5], "a dictionary with the keys"),
    (SOLUTION | {"g": "wrong"}, "no key 'g'"),
    (dict.fromkeys(SOLUTION, "wrong"), "a is not"),
]


# 12.6: one round -------------------------------------------------------------------------------------


def discriminator_step(discriminator, generator, learn_D, real, noise):
    loss = (
        F.softplus(-discriminator(real())).mean()
        + F.softplus(discriminator(generator(noise()).detach())).mean()
    )
    learn_D.zero_grad()
    loss.backward()
    learn_D.step()
    return loss.item()


def generator_step(discriminator, generator, learn_G, noise, loss=lambda logits: F.softplus(-logits)):
    loss = loss(discriminator(generator(noise()))).mean()
    learn_G.zero_grad()
    loss.backward()
    learn_G.step()
    return loss.item()


def with_cross_entropy_round(discriminator, generator, learn_D, learn_G, real, noise, k):
    bce = F.binary_cross_entropy_with_logits
    for _ in range(k):
        learn_D.zero_grad(set_to_none=True)
        with torch.no_grad():
            fake = generator(noise())
        on_real, on_fake = discriminator(real()), discriminator(fake)
        d_loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
        d_loss.backward()
        learn_D.step()
    learn_G.zero_grad(set_to_none=True)
    logits = discriminator(generator(noise()))
    g_loss = bce(logits, torch.ones_like(logits))
    g_loss.backward()
    learn_G.step()
    return d_loss, g_loss


def without_detach(discriminator, generator, learn_D, learn_G, real, noise, k):
    """Wasteful, and right: the generator's gradient is set to zero before its own step."""
    for _ in range(k):
        fake = generator(noise())
        d_loss = (F.softplus(-discriminator(real())) + F.softplus(discriminator(fake))).mean()
        learn_D.zero_grad()
        d_loss.backward()
        learn_D.step()
    return d_loss.item(), generator_step(discriminator, generator, learn_G, noise)


def in_two_functions(discriminator, generator, learn_D, learn_G, real, noise, k):
    losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
    return losses[-1], generator_step(discriminator, generator, learn_G, noise)


def with_generator_loss(loss):
    def one_round(discriminator, generator, learn_D, learn_G, real, noise, k):
        losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
        return losses[-1], generator_step(discriminator, generator, learn_G, noise, loss)

    return one_round


def gradients_accumulate(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = (
            F.softplus(-discriminator(real())) + F.softplus(discriminator(generator(noise()).detach()))
        ).mean()
        d_loss.backward()
        learn_D.step()
    return d_loss.item(), generator_step(discriminator, generator, learn_G, noise)


def generator_hears_the_discriminator(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = (F.softplus(-discriminator(real())) + F.softplus(discriminator(generator(noise())))).mean()
        learn_D.zero_grad()
        d_loss.backward()
        learn_D.step()
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    g_loss.backward()
    learn_G.step()
    return d_loss.item(), g_loss.item()


def both_move(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = discriminator_step(discriminator, generator, learn_D, real, noise)
    learn_D.zero_grad()
    g_loss = generator_step(discriminator, generator, learn_G, noise)
    learn_D.step()
    return d_loss, g_loss


def one_discriminator_step(discriminator, generator, learn_D, learn_G, real, noise, k):
    return in_two_functions(discriminator, generator, learn_D, learn_G, real, noise, 1)


def generator_too_keen(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = discriminator_step(discriminator, generator, learn_D, real, noise)
    for _ in range(k):
        g_loss = generator_step(discriminator, generator, learn_G, noise)
    return d_loss, g_loss


def generator_before_discriminator(discriminator, generator, learn_D, learn_G, real, noise, k):
    g_loss = generator_step(discriminator, generator, learn_G, noise)
    for _ in range(k):
        d_loss = discriminator_step(discriminator, generator, learn_D, real, noise)
    return d_loss, g_loss


def one_real_batch(discriminator, generator, learn_D, learn_G, real, noise, k):
    x = real()
    return in_two_functions(discriminator, generator, learn_D, learn_G, lambda: x, noise, k)


def one_noise_batch(discriminator, generator, learn_D, learn_G, real, noise, k):
    z = noise()
    return in_two_functions(discriminator, generator, learn_D, learn_G, real, lambda: z, k)


def cut_off_generator(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = discriminator_step(discriminator, generator, learn_D, real, noise)
    g_loss = F.softplus(-discriminator(generator(noise()).detach())).mean()
    learn_G.zero_grad()
    g_loss.backward()
    learn_G.step()
    return d_loss, g_loss.item()


def generator_reuses_discriminator_noise(discriminator, generator, learn_D, learn_G, real, noise, k):
    """Draws new noise and does not use it."""
    for _ in range(k):
        z = noise()
        d_loss = discriminator_step(discriminator, generator, learn_D, real, lambda z=z: z)
    noise()
    return d_loss, generator_step(discriminator, generator, learn_G, lambda: z)


def exchanged_labels(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = (
            F.softplus(discriminator(real())) + F.softplus(-discriminator(generator(noise()).detach()))
        ).mean()
        learn_D.zero_grad()
        d_loss.backward()
        learn_D.step()
    return d_loss.item(), generator_step(discriminator, generator, learn_G, noise)


def never_zero(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        fake = generator(noise()).detach()
        d_loss = (F.softplus(-discriminator(real())) + F.softplus(discriminator(fake))).mean()
        d_loss.backward()
        learn_D.step()
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    g_loss.backward()
    learn_G.step()
    return d_loss.item(), g_loss.item()


def generator_never_zero(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = discriminator_step(discriminator, generator, learn_D, real, noise)
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    g_loss.backward()
    learn_G.step()
    return d_loss, g_loss.item()


def zero_after_step(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        fake = generator(noise()).detach()
        d_loss = (F.softplus(-discriminator(real())) + F.softplus(discriminator(fake))).mean()
        d_loss.backward()
        learn_D.step()
        learn_D.zero_grad()
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    g_loss.backward()
    learn_G.step()
    learn_G.zero_grad()
    return d_loss.item(), g_loss.item()


def both_zero_before_the_generator(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        fake = generator(noise()).detach()
        d_loss = (F.softplus(-discriminator(real())) + F.softplus(discriminator(fake))).mean()
        d_loss.backward()
        learn_D.step()
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    learn_D.zero_grad()
    learn_G.zero_grad()
    g_loss.backward()
    learn_G.step()
    return d_loss.item(), g_loss.item()


def discriminator_steps_again(discriminator, generator, learn_D, learn_G, real, noise, k):
    losses = in_two_functions(discriminator, generator, learn_D, learn_G, real, noise, k)
    learn_D.step()
    return losses


def half_of_the_gradient_is_kept(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = loss_of_D(discriminator, generator, real, noise)
        for w in discriminator.parameters():
            w.grad = None if w.grad is None else 0.5 * w.grad
        d_loss.backward()
        learn_D.step()
    return d_loss.item(), generator_step(discriminator, generator, learn_G, noise)


def loss_of_D(discriminator, generator, real, noise):
    return (
        F.softplus(-discriminator(real())) + F.softplus(discriminator(generator(noise()).detach()))
    ).mean()


def zero_of_both_at_the_end_of_each_step(discriminator, generator, learn_D, learn_G, real, noise, k):
    """Right as long as every gradient is zero when a round begins."""
    for _ in range(k):
        d_loss = loss_of_D(discriminator, generator, real, noise)
        d_loss.backward()
        learn_D.step()
        learn_D.zero_grad()
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    g_loss.backward()
    learn_G.step()
    learn_D.zero_grad()
    learn_G.zero_grad()
    return d_loss.item(), g_loss.item()


def zero_of_the_other(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = loss_of_D(discriminator, generator, real, noise)
        learn_G.zero_grad()
        d_loss.backward()
        learn_D.step()
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    learn_D.zero_grad()
    g_loss.backward()
    learn_G.step()
    return d_loss.item(), g_loss.item()


def zero_before_the_loop_only(discriminator, generator, learn_D, learn_G, real, noise, k):
    learn_D.zero_grad()
    for _ in range(k):
        d_loss = loss_of_D(discriminator, generator, real, noise)
        d_loss.backward()
        learn_D.step()
    return d_loss.item(), generator_step(discriminator, generator, learn_G, noise)


def zero_after_backward(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = loss_of_D(discriminator, generator, real, noise)
        d_loss.backward()
        learn_D.zero_grad()
        learn_D.step()
    return d_loss.item(), generator_step(discriminator, generator, learn_G, noise)


def generator_zero_after_backward(discriminator, generator, learn_D, learn_G, real, noise, k):
    d_losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    g_loss.backward()
    learn_G.zero_grad()
    learn_G.step()
    return d_losses[-1], g_loss


def optimizers_exchanged(discriminator, generator, learn_D, learn_G, real, noise, k):
    return in_two_functions(discriminator, generator, learn_G, learn_D, real, noise, k)


def both_step_in_each_block(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = loss_of_D(discriminator, generator, real, noise)
        learn_D.zero_grad()
        d_loss.backward()
        learn_D.step()
        learn_G.step()
    return d_loss, generator_step(discriminator, generator, learn_G, noise)


def only_the_discriminator_steps(discriminator, generator, learn_D, learn_G, real, noise, k):
    d_losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
    return d_losses[-1], generator_step(discriminator, generator, learn_D, noise)


def with_discriminator_loss(loss):
    """A round with another loss of the discriminator, of its logits on real and on generated samples."""

    def one_round(discriminator, generator, learn_D, learn_G, real, noise, k):
        for _ in range(k):
            fake = generator(noise()).detach()
            d_loss = loss(discriminator(real()), discriminator(fake))
            learn_D.zero_grad()
            d_loss.backward()
            learn_D.step()
        return d_loss.item(), generator_step(discriminator, generator, learn_G, noise)

    return one_round


def minus_log(logits, constant=0.0):
    return -(logits.sigmoid() + constant).log()


def with_closures(discriminator, generator, learn_D, learn_G, real, noise, k):
    def closure_of(learn, loss):
        def closure():
            learn.zero_grad()
            value = loss()
            value.backward()
            return value

        return closure

    on_D = closure_of(learn_D, lambda: loss_of_D(discriminator, generator, real, noise))
    on_G = closure_of(learn_G, lambda: F.softplus(-discriminator(generator(noise()))).mean())
    d_losses = [learn_D.step(on_D) for _ in range(k)]
    return d_losses[-1], learn_G.step(on_G)


def with_param_groups(discriminator, generator, learn_D, learn_G, real, noise, k):
    """Gradients by autograd.grad, put where the optimizers look for them; draws made ahead."""
    reals, noises = [real() for _ in range(k)], [noise() for _ in range(k + 1)]

    def step(learn, loss):
        weights = [w for group in learn.param_groups for w in group["params"]]
        for w, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            w.grad = slope
        learn.step()
        return loss.item()

    for x, z in zip(reals, noises, strict=False):
        both = discriminator(torch.cat([x, generator(z)]))
        signs = torch.cat([-torch.ones(len(x)), torch.ones(len(x))])
        d_loss = step(learn_D, 2 * F.softplus(signs * both).mean())
    return d_loss, step(learn_G, F.softplus(-discriminator(generator(noises[-1]))).mean())


def discriminator_frozen_meanwhile(discriminator, generator, learn_D, learn_G, real, noise, k):
    d_losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
    discriminator.requires_grad_(False)
    g_loss = generator_step(discriminator, generator, learn_G, noise)
    discriminator.requires_grad_(True)
    return torch.tensor(d_losses[-1]), np.float32(g_loss)


def steps_by_hand(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = loss_of_D(discriminator, generator, real, noise)
        learn_D.zero_grad()
        d_loss.backward()
        with torch.no_grad():
            for w in discriminator.parameters():
                w -= learn_D.param_groups[0]["lr"] * w.grad
    return d_loss, generator_step(discriminator, generator, learn_G, noise)


def weights_clipped(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = discriminator_step(discriminator, generator, learn_D, real, noise)
        for w in discriminator.parameters():
            w.data.clamp_(-0.1, 0.1)
    return d_loss, generator_step(discriminator, generator, learn_G, noise)


def evaluation_mode_for_the_discriminator(discriminator, generator, learn_D, learn_G, real, noise, k):
    generator.eval()
    d_losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
    generator.train()
    return d_losses[-1], generator_step(discriminator, generator, learn_G, noise)


def one_batch_of_fakes(discriminator, generator, learn_D, learn_G, real, noise, k):
    """Draws all noise, and shows the discriminator the first of it k times."""
    noises = [noise() for _ in range(k + 1)]
    d_losses = [
        discriminator_step(discriminator, generator, learn_D, real, lambda: noises[0]) for _ in range(k)
    ]
    return d_losses[-1], generator_step(discriminator, generator, learn_G, lambda: noises[-1])


def never_zero_and_never_detached(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = (F.softplus(-discriminator(real())) + F.softplus(discriminator(generator(noise())))).mean()
        d_loss.backward()
        learn_D.step()
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    g_loss.backward()
    learn_G.step()
    return d_loss, g_loss


def generator_zero_after_its_step(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        d_loss = (F.softplus(-discriminator(real())) + F.softplus(discriminator(generator(noise())))).mean()
        learn_D.zero_grad()
        d_loss.backward()
        learn_D.step()
    g_loss = F.softplus(-discriminator(generator(noise()))).mean()
    g_loss.backward()
    learn_G.step()
    learn_G.zero_grad()
    return d_loss, g_loss


def training_mode(discriminator, generator, learn_D, learn_G, real, noise, k):
    discriminator.train()
    generator.train()
    return in_two_functions(discriminator, generator, learn_D, learn_G, real, noise, k)


def one_backward_for_both(discriminator, generator, learn_D, learn_G, real, noise, k):
    for i in range(k):
        d_loss = loss_of_D(discriminator, generator, real, noise)
        g_loss = F.softplus(-discriminator(generator(noise()))).mean() if i == k - 1 else 0
        learn_D.zero_grad()
        learn_G.zero_grad()
        (d_loss + g_loss).backward()
        learn_D.step()
    learn_G.step()
    return d_loss, g_loss


def discriminator_frozen_afterwards(discriminator, generator, learn_D, learn_G, real, noise, k):
    discriminator.requires_grad_(True)
    d_losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
    discriminator.requires_grad_(False)
    return d_losses[-1], generator_step(discriminator, generator, learn_G, noise)


def one_real_batch_in_parts(discriminator, generator, learn_D, learn_G, real, noise, k):
    parts = iter(real().chunk(k))
    return in_two_functions(discriminator, generator, learn_D, learn_G, lambda: next(parts), noise, k)


def generator_minimizes_the_value(discriminator, generator, learn_D, learn_G, real, noise, k):
    d_losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
    value = F.logsigmoid(discriminator(real())).mean() - F.softplus(discriminator(generator(noise()))).mean()
    learn_G.zero_grad()
    value.backward()
    learn_G.step()
    return d_losses[-1], value


def losses_anew(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        x, z = real(), noise()
        discriminator_step(discriminator, generator, learn_D, lambda x=x: x, lambda z=z: z)
    d_loss = loss_of_D(discriminator, generator, lambda: x, lambda: z).item()
    return d_loss, generator_step(discriminator, generator, learn_G, noise)


def generator_loss_anew(discriminator, generator, learn_D, learn_G, real, noise, k):
    d_losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
    z = noise()
    generator_step(discriminator, generator, learn_G, lambda: z)
    return d_losses[-1], F.softplus(-discriminator(generator(z))).mean()


def with_losses(choose):
    """A round that returns something else of the discriminator's losses than the last."""

    def one_round(discriminator, generator, learn_D, learn_G, real, noise, k):
        d_losses = [discriminator_step(discriminator, generator, learn_D, real, noise) for _ in range(k)]
        return choose(d_losses), generator_step(discriminator, generator, learn_G, noise)

    return one_round


RIGHT["12.6"] = [
    with_cross_entropy_round,
    without_detach,
    in_two_functions,
    with_closures,
    with_param_groups,
    discriminator_frozen_meanwhile,
]
WRONG["12.6"] = [
    (never_zero_and_never_detached, "gradients accumulate in both networks"),
    (training_mode, "changes the mode"),
    (one_backward_for_both, "the discriminator's gradient is not what it should be"),
    (gradients_accumulate, "the discriminator's gradients accumulate"),
    (never_zero, "gradients accumulate in both networks"),
    (generator_never_zero, "the generator's gradients accumulate"),
    (zero_after_step, "leaves a gradient in the discriminator"),
    (both_zero_before_the_generator, "leaves a gradient in the discriminator"),
    (discriminator_steps_again, "the discriminator moves in the generator's step"),
    (zero_of_both_at_the_end_of_each_step, "was there before the round began"),
    (zero_of_the_other, "leaves a gradient in the discriminator"),
    (zero_before_the_loop_only, "the discriminator's gradients accumulate"),
    (zero_after_backward, "does zero_grad() stand between backward() and step()"),
    (generator_zero_after_backward, "the generator does not move"),
    (optimizers_exchanged, "the wrong player steps"),
    (both_step_in_each_block, "the generator moves in the discriminator's steps too"),
    (only_the_discriminator_steps, "learn_G.step() is never called"),
    (steps_by_hand, "learn_D.step() is never called"),
    (weights_clipped, "something else than its optimizer"),
    (evaluation_mode_for_the_discriminator, "changes the mode of the generator"),
    (one_batch_of_fakes, "that it has already seen: each step"),
    (with_losses(lambda losses: sum(losses) / len(losses)), "the mean of the k losses"),
    (with_losses(sum), "the sum of the k losses"),
    (with_losses(lambda losses: losses[0]), "the first of the k losses"),
    (with_losses(lambda losses: losses[-1] / 2), "but the discriminator's loss should be"),
    (losses_anew, "the discriminator's loss is not the one asked for: it is computed anew"),
    (generator_loss_anew, "the generator's loss is not the one asked for: it is computed anew"),
    (discriminator_frozen_afterwards, "is frozen when the round is over"),
    (one_real_batch_in_parts, "real() is called once in a round"),
    (generator_minimizes_the_value, "The generator's step needs no real samples"),
    (half_of_the_gradient_is_kept, "the discriminator's gradient is not what it should be"),
    (
        with_discriminator_loss(lambda real, fake: -(real.log() + (1 - fake).log()).mean()),
        "the discriminator's loss takes logits for probabilities",
    ),
    (
        with_generator_loss(lambda logits: -logits.log()),
        "the generator's loss takes logits for probabilities",
    ),
    (
        with_discriminator_loss(lambda real, fake: (minus_log(real, 1e-8) + minus_log(-fake, 1e-8)).mean()),
        "log(D + 1e-8)",
    ),
    (
        with_discriminator_loss(lambda real, fake: (minus_log(real, 1e-3) + minus_log(-fake, 1e-3)).mean()),
        "the discriminator's loss has a small constant",
    ),
    (
        with_discriminator_loss(
            lambda real, fake: (
                -(real.sigmoid() + 1e-8).log().mean() - (1 - fake.sigmoid() + 1e-8).log().mean()
            )
        ),
        "the discriminator does not move as it should where logits are near ±100",
    ),
    (
        with_discriminator_loss(
            lambda real, fake: (
                F.binary_cross_entropy(real.sigmoid(), torch.ones_like(real))
                + F.binary_cross_entropy(fake.sigmoid(), torch.zeros_like(fake))
            )
        ),
        "near ±100",
    ),
    (with_generator_loss(lambda logits: minus_log(logits, 1e-8)), "the generator does not move as it should"),
    (with_generator_loss(minus_log), "the generator does not move as it should where logits are near ±100"),
    (
        with_generator_loss(lambda logits: minus_log(logits, 1e-3)),
        "the generator's loss has a small constant",
    ),
    (with_generator_loss(lambda logits: F.softplus(-logits.sigmoid())), "takes a sigmoid twice"),
    (with_discriminator_loss(lambda real, fake: F.softplus(-real).mean()), "no part for generated"),
    (
        with_discriminator_loss(lambda real, fake: (F.softplus(-real) + F.softplus(fake)).mean() / 2),
        "the discriminator's loss is halved",
    ),
    (
        with_discriminator_loss(lambda real, fake: (F.softplus(-real) + F.softplus(fake)).sum()),
        "summed over the batch",
    ),
    (generator_hears_the_discriminator, "the generator's gradients accumulate"),
    (generator_zero_after_its_step, "also feels the discriminator's loss"),
    (with_generator_loss(lambda logits: -F.softplus(logits)), "minimizes log(1 - D)"),
    (with_generator_loss(F.softplus), "learns to be caught"),
    (with_generator_loss(F.logsigmoid), "the sign is wrong"),
    (exchanged_labels, "call generated samples real"),
    (generator_too_keen, "the generator takes k steps too"),
    (one_discriminator_step, "one step, whatever k is"),
    (generator_before_discriminator, "the generator moved first"),
    (both_move, "the discriminator moves in the generator's step"),
    (one_real_batch, "real() is called once in a round"),
    (one_noise_batch, "noise() was called once"),
    (cut_off_generator, "the generator does not move"),
    (generator_reuses_discriminator_noise, "noise that the discriminator has already seen"),
    (lambda *players: in_two_functions(*players)[::-1], "the wrong order"),
    (lambda *players: in_two_functions(*players)[0], "Return both losses"),
    (lambda *players: (0.0, 0.0), "call real() and noise()"),
    (lambda *players: None, "Is a return missing?"),
]


# 12.7: what stops the rotation ------------------------------------------------------------------------


def four_ways(eta=0.2, rounds=400, momentum=0.5):
    """The experiment, by the matrices of a round; with other settings it is a changed one."""
    ends = {}
    for way, m, steps in (
        ("momentum 0.5", momentum, 1),
        ("momentum -0.5", -momentum, 1),
        ("five steps of y", 0.0, 5),
    ):
        x_moves = np.eye(4)  # of the state x, y and both last steps
        x_moves[2] = [0, -eta, m, 0]
        x_moves[0] += x_moves[2]
        y_moves = np.eye(4)
        y_moves[3] = [eta, 0, 0, m]
        y_moves[1] += y_moves[3]
        ends[way] = largest_x(np.linalg.matrix_power(y_moves, steps) @ x_moves, rounds)
    ahead = np.array([[1 - eta**2, -eta], [eta, 1 - eta**2]])
    return ends | {"look ahead": largest_x(ahead, rounds)}


def largest_x(matrix, rounds):
    state, seen = np.eye(len(matrix))[0], []
    for _ in range(rounds):
        state = matrix @ state
        seen.append(abs(state[0]))
    return max(seen[-50:])


HAPPENS = {
    "momentum 0.5": "outwards",
    "momentum -0.5": "inwards",
    "five steps of y": "round",
    "look ahead": "inwards",
}

RIGHT["12.7"] = [
    (HAPPENS, four_ways),
    (["Outwards", "inwards", "round", "inwards"], four_ways),
]
WRONG["12.7"] = [
    *(
        ((predictions, four_ways), piece)
        for predictions, piece in (
            (HAPPENS | {"momentum 0.5": "inwards"}, "it points outwards"),
            (HAPPENS | {"momentum -0.5": "outwards"}, "minus half of it inwards"),
            (HAPPENS | {"five steps of y": "inwards"}, "do not stop a rotation"),
            (HAPPENS | {"look ahead": "round", "five steps of y": "inwards"}, "2 of four"),
            (HAPPENS | {"look ahead": "round"}, "turned a little inwards"),
            (HAPPENS | {"look ahead": "away"}, "is none of the names"),
            ({"momentum 0.5": "outwards"}, "is missing"),
            ("outwards", "a dictionary with the keys"),
        )
    ),
    ((HAPPENS, lambda: four_ways(eta=0.1)), "was it changed?"),
    ((HAPPENS, lambda: four_ways(momentum=0.3)), "was it changed?"),
    ((HAPPENS, lambda: {}), "does not return its four numbers"),
    ((HAPPENS, lambda: four_ways() | {"look ahead": math.nan}), "was it changed?"),
]
