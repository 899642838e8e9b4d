"""Answers to the exercises of chapter 13: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.functional import softplus

RIGHT = {}
WRONG = {}


# 13.1: what the players pay --------------------------------------------------------------------------


def bce(logits, label):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label), reduction="none")


def right_d(real, fake):
    return softplus(-real) + softplus(fake)


def right_g(fake):
    return softplus(-fake)


def patched_g(fake):
    return -(fake.sigmoid() + 1e-8).log()


def patched_d(real, fake):
    return -(real.sigmoid() + 1e-8).log() - (1 - fake.sigmoid() + 1e-8).log()


RIGHT["13.1"] = [
    (
        lambda real, fake: np.logaddexp(0, -real.numpy()) + np.logaddexp(0, fake.numpy()),
        lambda fake: np.logaddexp(0, -fake.numpy()).tolist(),
    ),
    (lambda real, fake: bce(real, 1.0) + bce(fake, 0.0), lambda fake: bce(fake, 1.0)),
    (lambda real, fake: -F.logsigmoid(real) - F.logsigmoid(-fake), lambda fake: -F.logsigmoid(fake)),
    (lambda real, fake: softplus(-real) + fake + softplus(-fake), lambda fake: softplus(fake) - fake),
]
WRONG["13.1"] = [
    ((lambda real, fake: -right_d(real, fake), right_g), "which it wants"),
    ((lambda real, fake: right_d(fake, real), right_g), "labels are exchanged"),
    ((lambda real, fake: softplus(-real) + softplus(-fake), right_g), "as if they were real"),
    ((lambda real, fake: softplus(-real), right_g), "generated images are missing"),
    ((lambda real, fake: right_d(real, fake) / 2, right_g), "this is half of it"),
    ((lambda real, fake: right_d(real, fake).mean(), right_g), "one number for the whole batch"),
    ((lambda real, fake: -real.log() - (1 - fake).log(), right_g), "returns NaN"),
    ((patched_d, right_g), "wrong for large ones"),
    ((right_d, patched_g), "wrong for large ones"),
    ((right_d, lambda fake: -fake.sigmoid().log()), "wrong for large ones"),
    ((right_d, lambda fake: -softplus(fake)), "the minimax loss"),
    ((right_d, lambda fake: softplus(fake)), "wants the opposite"),
    ((right_d, lambda fake: -softplus(-fake)), "the sign is wrong"),
    (right_d, "two functions are asked for"),
]


# 13.2: the discriminator's turn ----------------------------------------------------------------------


def discriminator_turn(loss=right_d, *, cut=True, zero=True, step=True, reduce=torch.mean):
    def turn(generator, discriminator, optimizer, x, z):
        fake = generator(z).detach() if cut else generator(z)
        paid = reduce(loss(discriminator(x), discriminator(fake)))
        if zero:
            optimizer.zero_grad()
        paid.backward()
        if step:
            optimizer.step()
        return paid.item()

    return turn


def one_batch(generator, discriminator, optimizer, x, z):
    optimizer.zero_grad()
    with torch.no_grad():
        both = torch.cat([x, generator(z)])
    label = torch.cat([torch.ones(len(x)), torch.zeros(len(z))])
    loss = 2 * F.binary_cross_entropy_with_logits(discriminator(both), label)
    loss.backward()
    optimizer.step()
    return loss


def two_backwards(generator, discriminator, optimizer, x, z):
    optimizer.zero_grad(set_to_none=True)
    real = softplus(-discriminator(x)).mean()
    real.backward()
    fake = softplus(discriminator(generator(z).detach())).mean()
    fake.backward()
    optimizer.step()
    return (real + fake).detach()


def descend(player):
    with torch.no_grad():
        for p in player.parameters():
            p -= 0.1 * p.grad


def both_move(generator, discriminator, optimizer, x, z):
    loss = right_d(discriminator(x), discriminator(generator(z))).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    descend(generator)
    return loss


def before_that(change, turn):
    """A turn before which something is done to the generator or the discriminator, and not undone."""

    def changed(generator, discriminator, *rest):
        change(generator, discriminator)
        return turn(generator, discriminator, *rest)

    return changed


def cleared_too_late(turn):
    """A turn whose gradients are cleared between backward() and step()."""

    def cleared(generator, discriminator, optimizer, *rest):
        class Late:
            def zero_grad(self):
                pass

            def step(self):
                optimizer.zero_grad()
                optimizer.step()

        return turn(generator, discriminator, Late(), *rest)

    return cleared


RIGHT["13.2"] = [two_backwards, discriminator_turn()]
WRONG["13.2"] = [
    (one_batch, "judged in one batch"),
    (discriminator_turn(cut=False), "gradients were left on the generator"),
    (both_move, "the generator's weights moved"),
    (discriminator_turn(zero=False), "zero_grad is missing"),
    (discriminator_turn(step=False), "has not moved"),
    (cleared_too_late(discriminator_turn()), "zero_grad() belongs before both"),
    (before_that(lambda g, d: g.requires_grad_(False), discriminator_turn()), "was frozen and stays so"),
    (before_that(lambda g, d: g.eval(), discriminator_turn()), "left in evaluation mode"),
    (discriminator_turn(lambda real, fake: right_d(real, fake) / 2), "half as long"),
    (discriminator_turn(reduce=torch.sum), "the batch is summed"),
    (discriminator_turn(lambda real, fake: softplus(-real)), "only the real images"),
    (discriminator_turn(lambda real, fake: softplus(fake)), "only the generated images"),
    (discriminator_turn(lambda real, fake: right_d(fake, real)), "labels are exchanged"),
    (discriminator_turn(lambda real, fake: softplus(-real) + softplus(-fake)), "graded as real"),
    (discriminator_turn(lambda real, fake: -right_d(real, fake)), "went uphill"),
    (lambda *players: discriminator_turn()(*players) and 0.0, "the loss you return should be"),
]


# 13.3: the generator's turn --------------------------------------------------------------------------


def generator_turn(loss=right_g, *, cut=False, zero=True, step=True, reduce=torch.mean):
    def turn(generator, discriminator, optimizer, z):
        fake = generator(z).detach() if cut else generator(z)
        paid = reduce(loss(discriminator(fake)))
        if zero:
            optimizer.zero_grad()
        paid.backward()
        if step:
            optimizer.step()
        return paid.item()

    return turn


def with_frozen_judge(generator, discriminator, optimizer, z):
    discriminator.requires_grad_(False)
    loss = generator_turn()(generator, discriminator, optimizer, z)
    discriminator.requires_grad_(True)
    return loss


def stays_frozen(generator, discriminator, optimizer, z):
    discriminator.requires_grad_(False)
    return generator_turn()(generator, discriminator, optimizer, z)


def cut_by_no_grad(generator, discriminator, optimizer, z):
    with torch.no_grad():
        fake = generator(z)
        loss = right_g(discriminator(fake)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def steps_the_judge(generator, discriminator, optimizer, z):
    loss = right_g(discriminator(generator(z))).mean()
    discriminator.zero_grad()
    loss.backward()
    descend(discriminator)
    return loss


def with_labels(generator, discriminator, optimizer, z):
    logits = discriminator(generator(z))
    loss = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    gradients = torch.autograd.grad(loss, list(generator.parameters()))
    for p, g in zip(generator.parameters(), gradients, strict=True):
        p.grad = g
    optimizer.step()
    return loss.detach()


RIGHT["13.3"] = [with_frozen_judge, with_labels, generator_turn()]
WRONG["13.3"] = [
    (generator_turn(cut=True), "the generator has not moved"),
    (cut_by_no_grad, "no gradient reaches the generator"),
    (steps_the_judge, "the discriminator's weights moved"),
    (stays_frozen, "was frozen and stays so"),
    (generator_turn(zero=False), "zero_grad is missing"),
    (generator_turn(step=False), "the generator has not moved"),
    (cleared_too_late(generator_turn()), "zero_grad() called between"),
    (before_that(lambda g, d: d.eval(), generator_turn()), "left in evaluation mode"),
    (generator_turn(reduce=torch.sum), "the batch is summed"),
    (generator_turn(lambda fake: -softplus(fake)), "this is the minimax loss"),
    (generator_turn(lambda fake: softplus(fake)), "learns to be found out"),
    (generator_turn(lambda fake: -softplus(-fake)), "went uphill"),
    (lambda *players: generator_turn()(*players) and 0.0, "the loss you return should be"),
]


# 13.4: what eps does ---------------------------------------------------------------------------------

RIGHT["13.4"] = [
    lambda sigma, eps: math.sqrt(sigma**2 / (sigma**2 + eps)),
    lambda sigma, eps: 1 / np.sqrt(1 + eps / sigma**2),
    lambda sigma, eps: torch.tensor(sigma) / torch.tensor(sigma**2 + eps).sqrt(),
]
WRONG["13.4"] = [
    (lambda sigma, eps: 1.0, "if eps did nothing"),
    (lambda sigma, eps: sigma / (sigma + eps), "added to the variance"),
    (lambda sigma, eps: sigma**2 / (sigma**2 + eps), "this is the variance"),
    (lambda sigma, eps: sigma / (sigma**2 + eps), "the root is missing"),
    (lambda sigma, eps: sigma / (sigma + eps) ** 0.5, "has to be squared"),
    (lambda sigma, eps: (sigma**2 + eps) ** 0.5, "Divide"),
    (lambda sigma, eps: (sigma**2 + eps) ** 0.5 / sigma, "upside down"),
    (lambda sigma, eps: eps + (1 - eps) * sigma, "taken for a momentum"),
    (0.488, "a function is needed"),
]


# 13.5: sampling --------------------------------------------------------------------------------------


def sampler(*, evaluate=True, no_grad=True, restore=True):
    def sample(generator, z):
        training = generator.training
        if evaluate:
            generator.eval()
        with torch.set_grad_enabled(not no_grad):
            x = generator(z)
        if restore:
            generator.train(training)
        return x

    return sample


def with_modes(generator, z):
    modes = {part: part.training for part in generator.modules()}
    x = sampler(restore=False)(generator, z)
    for part, training in modes.items():
        part.training = training
    return x


def with_a_copy(generator, z):
    import copy

    with torch.inference_mode():
        return copy.deepcopy(generator).eval()(z)


def always_trains_again(generator, z):
    x = sampler(restore=False)(generator, z)
    generator.train()
    return x


def one_by_one(generator, z):
    return torch.cat([with_modes(generator, row[None]) for row in z])


def only_the_norm(generator, z):
    generator.norm.eval()
    with torch.no_grad():
        return generator(z)


RIGHT["13.5"] = [with_a_copy, one_by_one, with_modes]
WRONG["13.5"] = [
    (sampler(), "back to its own mode"),
    (lambda generator, z: generator(z), "your sampling changed the model"),
    (sampler(evaluate=False), "your sampling changed the model"),
    (sampler(no_grad=False), "drags its graph along"),
    (sampler(restore=False), "left in the other"),
    (always_trains_again, "left in the other"),
    (only_the_norm, "not those of evaluation mode"),
    (lambda generator, z: sampler()(generator.requires_grad_(False), z), "was frozen and stays so"),
    (lambda generator, z: sampler()(generator, z)[0], "should have shape (8, 2)"),
]


# 13.6: walking on a sphere ---------------------------------------------------------------------------


def angle(a, b):
    return F.cosine_similarity(a, b, dim=1).acos()[:, None]


def mix(a, b, t, omega):
    return (((1 - t) * omega).sin() * a + (t * omega).sin() * b) / omega.sin()


def robust(a, b, t):
    u, v = F.normalize(a, dim=1), F.normalize(b, dim=1)
    omega = 2 * torch.atan2((u - v).norm(dim=1), (u + v).norm(dim=1))[:, None]
    return torch.where(omega < 1e-3, torch.lerp(a, b, t), mix(a, b, t, omega))


def with_loops(a, b, t):
    rows = []
    for one, other in zip(a.double(), b.double(), strict=True):
        omega = math.acos(min(1.0, float(one @ other / one.norm() / other.norm())))
        if omega < 1e-3:
            rows.append((1 - t) * one + t * other)
            continue
        part = math.sin((1 - t) * omega) * one + math.sin(t * omega) * other
        rows.append(part / math.sin(omega))
    return torch.stack(rows)


def with_numpy(a, b, t):
    a, b = a.numpy(), b.numpy()
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    omega = np.arccos(cosine.clip(-1, 1))[:, None]
    arc = (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega).clip(1e-9)
    return np.where(omega < 1e-2, (1 - t) * a + t * b, arc)


RIGHT["13.6"] = [robust, with_loops, with_numpy]
WRONG["13.6"] = [
    (lambda a, b, t: mix(a, b, t, angle(a, b)), "right for ends that lie apart"),
    (lambda a, b, t: mix(a, b, t, angle(a, b)).nan_to_num(), "right for ends that lie apart"),
    (lambda a, b, t: (1 - t) * a + t * b, "straight line, (1 - t)"),
    (lambda a, b, t: torch.lerp(a, b, t), "straight line, (1 - t)"),
    (lambda a, b, t: mix(b, a, t, angle(a, b)), "changed places"),
    (lambda a, b, t: mix(a, b, t, F.cosine_similarity(a, b, dim=1)[:, None]), "ω is the cosine"),
    (lambda a, b, t: mix(a, b, t, angle(a, b)) * angle(a, b).sin(), "division by sin ω"),
    (lambda a, b, t: mix(a, b, t, (a * b).sum(1, keepdim=True).acos()), "acos wants a cosine"),
    (lambda a, b, t: mix(a, b, t, angle(a, b)[:, 0]), "give omega the shape (n, 1)"),
    (lambda a, b, t: mix(a, b, t, F.cosine_similarity(a, b, dim=0).acos()), "along the columns"),
    (lambda a, b, t: mix(F.normalize(a), F.normalize(b), t, angle(a, b)), "brought to length 1 first"),
    (lambda a, b, t: F.normalize((1 - t) * a + t * b), "the angle grows unevenly"),
]


# 13.7: a label as planes -----------------------------------------------------------------------------


def planes(x, y):
    return F.one_hot(y, 10).float()[:, :, None, None].expand(-1, -1, *x.shape[2:])


def by_filling(x, y):
    out = torch.zeros(len(x), 11, *x.shape[2:])
    out[:, 0] = x[:, 0]
    for i, label in enumerate(y.tolist()):
        out[i, 1 + label] = 1
    return out


def grey(x, y):
    return torch.cat([x, y[:, None, None, None].expand_as(x) / 9], dim=1)


RIGHT["13.7"] = [
    by_filling,
    lambda x, y: torch.cat([x, torch.eye(10)[y][..., None, None] * torch.ones_like(x)], dim=1),
    lambda x, y: torch.cat([x, planes(x, y)], dim=1),
]
WRONG["13.7"] = [
    (grey, "as if it were a grey value"),
    (lambda x, y: torch.cat([x, F.one_hot(y).float()[..., None, None] + 0 * x], dim=1), "the largest label"),
    (lambda x, y: torch.cat([planes(x, y), x], dim=1), "the planes come first"),
    (lambda x, y: planes(x, y), "the planes alone"),
    (lambda x, y: torch.cat([x, x * planes(x, y)], dim=1), "multiplied by its label's planes"),
    (lambda x, y: torch.cat([x, y[:, None, None, None] * planes(x, y)], dim=1), "the label's number"),
    (lambda x, y: torch.cat([x, 1 - planes(x, y)], dim=1), "wrong way round"),
    (lambda x, y: torch.cat([x, planes(x, y)[:, :1]], dim=0), "has shape (10, 1, 4, 6)"),
    (lambda x, y: torch.cat([x, planes(x, y)], dim=1).long(), "holds integers"),
]
