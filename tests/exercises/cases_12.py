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
    (lambda real, fake: (math.log(4) - value(real, fake)) / 2, "takes the discriminator's loss"),
    (lambda real, fake: (value(real, fake) + math.log(2)) / 2, "log 2 for log 4"),
    (lambda real, fake: (value(fake, real) + math.log(4)) / 2, "changed places"),
    (lambda real, fake: (value(real, -fake) + math.log(4)) / 2, "has log(1 - D) for them"),
    (lambda real, fake: (len(real) * value(real, fake) + math.log(4)) / 2, "these are sums"),
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


# 12.3: the generator's best answer ----------------------------------------------------------------------


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
    (lambda D: F.one_hot(D.argmin(), len(D)).float(), "smallest D"),
    (lambda D: D / D.sum(), "in proportion to D"),
    (lambda D: D.softmax(0), "softmax shares q out"),
    (lambda D: torch.full_like(D, 1 / len(D)), "ignores the discriminator"),
    (lambda D: D.argmax(), "this is one number"),
    (lambda D: (1 - D).log().min(), "this is one number"),
    (lambda D: (D.max() == D).float(), "yours adds up to 3"),
    (lambda D: 1 - D, "q should be"),
    (lambda D: torch.tensor([0.10, 0.30, 0.20, 0.25, 0.15]), "take K from D"),
    (lambda D: torch.eye(5)[D.argmax() - 1], "take K from D"),
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
    (SOLUTION | {"c": "minimax"}, "smallest when D is near 0"),
    (SOLUTION | {"d": "wrong"}, "asks to be called real"),
    (SOLUTION | {"e": "wrong", "f": "non-saturating"}, "2 of six"),
    (SOLUTION | {"f": "non-saturating"}, "turns it round"),
    (SOLUTION | {"a": "saturating"}, "is none of"),
    ({letter: word for letter, word in SOLUTION.items() if letter < "e"}, "missing: e, f"),
    (list(SOLUTION.values()), "a dictionary is needed"),
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


def left_over_in_the_second_round(discriminator, generator, learn_D, learn_G, real, noise, k):
    """Zeroes the discriminator's gradient where it is none yet, in the first round only."""
    for _ in range(k):
        fake = generator(noise()).detach()
        d_loss = (F.softplus(-discriminator(real())) + F.softplus(discriminator(fake))).mean()
        for w in discriminator.parameters():
            w.grad = None if w.grad is None else 0.5 * w.grad
        d_loss.backward()
        learn_D.step()
    return d_loss.item(), generator_step(discriminator, generator, learn_G, noise)


def probabilities_for_logits(discriminator, generator, learn_D, learn_G, real, noise, k):
    for _ in range(k):
        on_real, on_fake = discriminator(real()), discriminator(generator(noise()).detach())
        d_loss = -(on_real.log() + (1 - on_fake).log()).mean()
        learn_D.zero_grad()
        d_loss.backward()
        learn_D.step()
    return d_loss.item(), generator_step(discriminator, generator, learn_G, noise)


RIGHT["12.6"] = [with_cross_entropy_round, without_detach, in_two_functions]
WRONG["12.6"] = [
    (gradients_accumulate, "the discriminator's gradients accumulate"),
    (never_zero, "gradients accumulate in both networks"),
    (generator_never_zero, "the generator's gradients accumulate"),
    (zero_after_step, "leaves a gradient in the discriminator"),
    (both_zero_before_the_generator, "leaves a gradient in the discriminator"),
    (discriminator_steps_again, "the discriminator moves in the generator's step"),
    (left_over_in_the_second_round, "a gradient is left over"),
    (probabilities_for_logits, "on logits"),
    (generator_hears_the_discriminator, "also feels the discriminator's loss"),
    (with_generator_loss(lambda logits: -F.softplus(logits)), "minimizes log(1 - D)"),
    (with_generator_loss(F.softplus), "learns to be caught"),
    (with_generator_loss(F.logsigmoid), "the sign is wrong"),
    (exchanged_labels, "call generated samples real"),
    (generator_too_keen, "the generator takes k steps too"),
    (one_discriminator_step, "one step, whatever k is"),
    (generator_before_discriminator, "the generator moved first"),
    (both_move, "the discriminator moves in the generator's step"),
    (one_real_batch, "the same real samples"),
    (one_noise_batch, "noise() was called once"),
    (cut_off_generator, "the generator does not move"),
    (generator_reuses_discriminator_noise, "the generator does not end where it should"),
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
