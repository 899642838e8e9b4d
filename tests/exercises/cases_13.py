"""Answers to the exercises of chapter 13: other right ways, and known mistakes with their messages."""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.functional import softplus

RIGHT = {}
WRONG = {}


# 13.1: what a small constant takes away ----------------------------------------------------------------


def logit(p):
    return math.log(p / (1 - p))


def by_halving(share, eps):
    low, high = -100.0, 100.0
    for _ in range(200):
        t = (low + high) / 2
        sigma = 1 / (1 + math.exp(-t))
        low, high = (t, high) if sigma / (sigma + eps) < share else (low, t)
    return low


def left(change):
    return lambda share, eps: change(share, eps, share * eps / (1 - share))


RIGHT["13.1"] = [
    by_halving,
    lambda share, eps: torch.tensor(share * eps / (1 - share)).logit(),
    lambda share, eps: np.log(share * eps) - np.log(1 - share - share * eps),
]
WRONG["13.1"] = [
    (left(lambda share, eps, p: p), "this is σ(t), the probability"),
    (left(lambda share, eps, p: -logit(p)), "the sign is wrong"),
    (left(lambda share, eps, p: math.log(p)), "right for a tiny eps only"),
    (lambda share, eps: logit((1 - share) * eps / share), "where that share is lost"),
    (lambda share, eps: logit(eps), "where σ(t) is eps"),
    (lambda share, eps: math.log(eps), "this is log eps"),
    (lambda share, eps: logit(share), "is the share itself"),
    (lambda share, eps: logit(share * eps), "the division by 1 - s is missing"),
    (lambda share, eps: logit((1 - share) * eps), "this has σ = (1 - s) ε"),
    (lambda share, eps: math.log(share * eps / (1 - share + share * eps)), "a sign is wrong"),
    (left(lambda share, eps, p: logit(p) / math.log(10)), "to base 10"),
    (left(lambda share, eps, p: math.log2(p / (1 - p))), "to base 2"),
    (lambda eps, share: logit(share * eps / (1 - share)), "have changed places"),
    (-18.42, "a function is needed"),
    (lambda share, eps: -18.42, "this is one number"),
    (lambda share, eps: left(lambda share, eps, p: logit(p))(share, eps) - eps, "the logit should be"),
]


# What the players pay


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


# 13.2: the discriminator's turn ----------------------------------------------------------------------


def discriminator_turn(
    loss=right_d, *, cut=True, zero=True, step=True, reduce=torch.mean, result=torch.Tensor.item
):
    def turn(generator, discriminator, optimizer, x, z):
        fake = generator(z).detach() if cut else generator(z)
        paid = reduce(loss(discriminator(x), discriminator(fake)))
        if zero:
            optimizer.zero_grad()
        paid.backward()
        if step:
            optimizer.step()
        return result(paid)

    return turn


def one_batch(generator, discriminator, optimizer, x, z):
    optimizer.zero_grad()
    with torch.no_grad():
        both = torch.cat([x, generator(z)])
    label = torch.cat([torch.ones(len(x)), torch.zeros(len(z))])
    loss = 2 * F.binary_cross_entropy_with_logits(discriminator(both), label)
    loss.backward()
    optimizer.step()
    return loss.detach()


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


def by_closure(generator, discriminator, optimizer, x, z):
    fake = generator(z).detach()

    def closure():
        optimizer.zero_grad()
        loss = F.softplus(-discriminator(x)).mean() + F.softplus(discriminator(fake)).mean()
        loss.backward()
        return loss

    return optimizer.step(closure).detach().numpy()


def by_groups(generator, discriminator, optimizer, x, z):
    with torch.no_grad():
        fake = generator(z)
    loss = (bce(discriminator(x), 1.0) + bce(discriminator(fake), 0.0)).mean()
    for group in optimizer.param_groups:
        for p, g in zip(group["params"], torch.autograd.grad(loss, group["params"]), strict=True):
            p.data -= group["lr"] * g
    return loss.item()


def keeps_statistics(generator, discriminator, optimizer, x, z):
    twin = copy.deepcopy(generator)
    return discriminator_turn()(twin, discriminator, optimizer, x, z)


def wipes_its_traces(generator, discriminator, optimizer, x, z):
    loss = discriminator_turn(cut=False)(generator, discriminator, optimizer, x, z)
    generator.zero_grad()
    return loss


def clears_between(generator, discriminator, optimizer, x, z):
    real = softplus(-discriminator(x)).mean()
    real.backward()
    optimizer.zero_grad()
    fake = softplus(discriminator(generator(z).detach())).mean()
    fake.backward()
    optimizer.step()
    return (real + fake).detach()


def clears_afterwards(generator, discriminator, optimizer, *data):
    turn = discriminator_turn if len(data) == 2 else generator_turn
    loss = turn(zero=False)(generator, discriminator, optimizer, *data)
    optimizer.zero_grad()
    return loss


def all_under_no_grad(generator, discriminator, optimizer, x, z):
    with torch.no_grad():
        return discriminator_turn()(generator, discriminator, optimizer, x, z)


def images_in_evaluation(generator, discriminator, optimizer, x, z):
    generator.eval()
    fake = generator(z)
    generator.train()
    return discriminator_turn()(lambda z: fake, discriminator, optimizer, x, z)


def cross_entropy_of_logits(real, fake):
    return F.binary_cross_entropy(real, torch.ones_like(real)) + F.binary_cross_entropy(
        fake, torch.zeros_like(fake)
    )


def cross_entropy_of_sigmoids(real, fake):
    return F.binary_cross_entropy(real.sigmoid(), torch.ones_like(real)) + F.binary_cross_entropy(
        fake.sigmoid(), torch.zeros_like(fake)
    )


def after_the_step(turn, loss):
    def told(generator, discriminator, optimizer, *data):
        turn(generator, discriminator, optimizer, *data)
        with torch.no_grad():
            judged = [discriminator(x) for x in (*data[:-1], generator(data[-1]))]
        return loss(*judged).mean().item()

    return told


def first_gradients_fail(turn, player):
    """Zero the gradients by hand, as if there always were some."""

    def zeroed(generator, discriminator, *rest):
        for p in (generator, discriminator)[player].parameters():
            p.grad.zero_()
        return turn(generator, discriminator, *rest)

    return zeroed


def flattened(generator, discriminator, optimizer, x, z):
    return discriminator_turn()(generator, lambda x: discriminator(x.flatten(1)), optimizer, x, z)


def other_noise(turn):
    return lambda *given: turn(*given[:-1], torch.randn_like(given[-1]))


def twice(turn):
    return lambda *given: turn(*given) + turn(*given)


def own_optimizer(turn, player):
    def turned(*given):
        return turn(*given[:2], torch.optim.Adam(given[player].parameters()), *given[3:])

    return turned


def in_evaluation(turn, *players):
    """A turn with players in evaluation mode, put back at its end."""

    def turned(*given):
        for player in players:
            given[player].eval()
        result = turn(*given)
        for player in players:
            given[player].train()
        return result

    return turned


RIGHT["13.2"] = [two_backwards, discriminator_turn(), by_closure, keeps_statistics]
WRONG["13.2"] = [
    (by_groups, "took 0 steps"),
    (own_optimizer(discriminator_turn(), 1), "took 0 steps"),
    (twice(discriminator_turn()), "took 2 steps"),
    (first_gradients_fail(discriminator_turn(), 1), "in the very first one"),
    (flattened, "this network takes (n, 1, 2, 3)"),
    (other_noise(discriminator_turn()), "other noise than z"),
    (in_evaluation(discriminator_turn(), 1), "the discriminator was in evaluation mode"),
    (in_evaluation(discriminator_turn(), 0, 1), "both networks were in evaluation mode"),
    (discriminator_turn(lambda real, fake: (real - 1) ** 2 + fake**2), "least squares"),
    (discriminator_turn(lambda real, fake: F.relu(1 - real) + F.relu(1 + fake)), "the hinge"),
    (discriminator_turn(lambda real, fake: right_d(real.clamp(-30, 30), fake.clamp(-30, 30))), "a clamp"),
    (discriminator_turn(lambda real, fake: (1 + (-real).exp()).log() + (1 + fake.exp()).log()), "overflows"),
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
    (lambda *players: discriminator_turn()(*players) and 0.0, "But the loss that you return should be"),
    (discriminator_turn(patched_d), "log(D + 1e-8)"),
    (
        discriminator_turn(lambda real, fake: -real.sigmoid().log() - (1 - fake.sigmoid()).log()),
        "runs out of",
    ),
    (discriminator_turn(cross_entropy_of_sigmoids), "runs out of digits"),
    (discriminator_turn(cross_entropy_of_logits), "binary_cross_entropy wants probabilities"),
    (discriminator_turn(lambda real, fake: -real.log() - (1 - fake).log()), "took them for probabilities"),
    (
        discriminator_turn(lambda real, fake: -(real.clamp(1e-8, 1) * (1 - fake).clamp(1e-8, 1)).log()),
        "by force does not help",
    ),
    (
        discriminator_turn(lambda real, fake: right_d(real.sigmoid(), fake.sigmoid())),
        "sigmoid was taken twice",
    ),
    (discriminator_turn(lambda real, fake: fake.sigmoid() - real.sigmoid()), "no logarithm was taken"),
    (discriminator_turn(lambda real, fake: 2 * right_d(real, fake)), "twice as long"),
    (wipes_its_traces, "the generator's gradients were wiped"),
    (clears_between, "only the generated images count"),
    (clears_afterwards, "comes too late"),
    (all_under_no_grad, "what it says of them needs its history"),
    (images_in_evaluation, "the generator was in evaluation mode"),
    (after_the_step(discriminator_turn(), right_d), "was computed after the step"),
    (discriminator_turn(result=lambda loss: loss), "drags its graph along"),
]


# 13.3: the generator's turn --------------------------------------------------------------------------


def generator_turn(
    loss=right_g, *, cut=False, zero=True, step=True, reduce=torch.mean, result=torch.Tensor.item
):
    def turn(generator, discriminator, optimizer, z):
        fake = generator(z).detach() if cut else generator(z)
        paid = reduce(loss(discriminator(fake)))
        if zero:
            optimizer.zero_grad()
        paid.backward()
        if step:
            optimizer.step()
        return result(paid)

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


def by_closure_g(generator, discriminator, optimizer, z):
    def closure():
        optimizer.zero_grad()
        loss = -F.logsigmoid(discriminator(generator(z))).mean()
        loss.backward()
        return loss

    return optimizer.step(closure).item()


def clears_both(generator, discriminator, optimizer, z):
    loss = generator_turn()(generator, discriminator, optimizer, z)
    discriminator.zero_grad()
    return loss


def clears_the_other(generator, discriminator, optimizer, z):
    discriminator.zero_grad()
    return generator_turn(zero=False)(generator, discriminator, optimizer, z)


def judged_in_evaluation(generator, discriminator, optimizer, z):
    discriminator.eval()
    loss = generator_turn()(generator, discriminator, optimizer, z)
    discriminator.train()
    return loss


RIGHT["13.3"] = [with_frozen_judge, with_labels, generator_turn(), by_closure_g, clears_both]
WRONG["13.3"] = [
    (own_optimizer(generator_turn(), 0), "took 0 steps"),
    (twice(generator_turn()), "took 2 steps"),
    (first_gradients_fail(generator_turn(), 0), "in the very first one"),
    (other_noise(generator_turn()), "other noise than z"),
    (in_evaluation(generator_turn(), 0), "the generator was in evaluation mode"),
    (in_evaluation(generator_turn(), 0, 1), "both networks were in evaluation mode"),
    (generator_turn(lambda fake: (fake - 1) ** 2), "least squares"),
    (generator_turn(lambda fake: right_g(fake) / 2), "a factor of one half in the loss."),
    (generator_turn(cut=True), "the generator has not moved"),
    (cut_by_no_grad, "no gradient reaches the generator"),
    (steps_the_judge, "the discriminator's weights moved"),
    (stays_frozen, "was frozen and stays so"),
    (generator_turn(zero=False), "zero_grad is missing"),
    (generator_turn(step=False), "the generator has not moved"),
    (cleared_too_late(generator_turn()), "zero_grad() belongs before both"),
    (before_that(lambda g, d: d.eval(), generator_turn()), "left in evaluation mode"),
    (generator_turn(reduce=torch.sum), "the batch is summed"),
    (generator_turn(lambda fake: -softplus(fake)), "this is the minimax loss"),
    (generator_turn(lambda fake: softplus(fake)), "learns to be found out"),
    (generator_turn(lambda fake: -softplus(-fake)), "went uphill"),
    (lambda *players: generator_turn()(*players) and 0.0, "But the loss that you return should be"),
    (generator_turn(patched_g), "log(D + 1e-8)"),
    (generator_turn(lambda fake: -fake.sigmoid().log()), "runs out of digits"),
    (generator_turn(lambda fake: F.binary_cross_entropy(fake, torch.ones_like(fake))), "wants probabilities"),
    (generator_turn(lambda fake: -fake.log()), "took them for probabilities"),
    (generator_turn(lambda fake: -fake.clamp(1e-8, 1).log()), "by force does not help"),
    (generator_turn(lambda fake: right_g(fake.sigmoid())), "sigmoid was taken twice"),
    (generator_turn(lambda fake: -fake.sigmoid()), "makes the probability itself large"),
    (generator_turn(lambda fake: -fake), "the logits themselves"),
    (generator_turn(cut=True, zero=False), "moved by old gradients alone"),
    (clears_the_other, "clears the other player"),
    (clears_afterwards, "comes too late"),
    (judged_in_evaluation, "the discriminator was in evaluation mode"),
    (after_the_step(generator_turn(), right_g), "was computed after the step"),
    (generator_turn(result=lambda loss: loss), "drags its graph along"),
]


# 13.4: a batch of one kind ---------------------------------------------------------------------------


def given():
    return {"one kind": 0.492, "both kinds": 0.979}


RIGHT["13.4"] = [(0.5, given), (0.443, given), (np.float64(0.55), given), (torch.tensor(0.45), given)]
WRONG["13.4"] = [
    ((0.977, given), "no better than guessing"),
    ((0.551, given), "batch norm subtracts it"),
    ((0.02, given), "worse than guessing"),
    ((0.441, given), "worse than guessing"),
    ((50, given), "50 is none"),
    (("half", given), "should be a number"),
    ((0.5, lambda: {"one kind": 0.9, "both kinds": 0.979}), "was it changed?"),
    ((0.5, lambda: {"one kind": 0.5}), "what the experiment gives for both kinds"),
    ((0.5, lambda: 0.5), "what the experiment gives for one kind"),
]


# 13.5: an average that forgets -----------------------------------------------------------------------


def train_averaged(follow, finish=lambda average, generator: None):
    """The function of the chapter; ``follow`` moves the average by one step, ``finish`` by the last."""

    def train(generator, train_step, steps, decay):
        average = copy.deepcopy(generator)
        for _ in range(steps):
            train_step(generator)
            with torch.no_grad():
                follow(average, generator, decay)
        finish(average, generator)
        return average.eval()

    return train


def move(old, new, decay):
    for a, b in zip(old, new, strict=True):
        if a.is_floating_point():
            a.lerp_(b, 1 - decay)


def weights(average, generator, decay):
    move(average.parameters(), generator.parameters(), decay)


def statistics(average, generator, decay):
    move(average.buffers(), generator.buffers(), decay)


def both(average, generator, decay):
    weights(average, generator, decay)
    statistics(average, generator, decay)


def copied(average, generator):
    for a, b in zip(average.buffers(), generator.buffers(), strict=True):
        a.copy_(b)


def by_state(generator, train_step, steps, decay):
    state = {name: value.clone() for name, value in generator.state_dict().items()}
    for _ in range(steps):
        train_step(generator)
        for name, value in generator.state_dict().items():
            state[name] = decay * state[name] + (1 - decay) * value
    average = copy.deepcopy(generator).eval()
    average.load_state_dict(state)
    return average


def by_swa(generator, train_step, steps, decay):
    from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

    average = AveragedModel(generator, avg_fn=get_ema_avg_fn(decay), use_buffers=True)
    average.update_parameters(generator)  # the first call copies
    for _ in range(steps):
        train_step(generator)
        average.update_parameters(generator)
    return average.module.eval()


def in_training(generator, *rest):
    return train_averaged(both)(generator, *rest).train()


def the_same(generator, train_step, steps, decay):
    for _ in range(steps):
        train_step(generator)
    return generator.eval()


def by_kind(average, generator, decay):
    """Copy the statistics of every BatchNorm2d, which are those of this chapter's generator."""
    weights(average, generator, decay)
    for a, b in zip(average.modules(), generator.modules(), strict=True):
        if isinstance(a, torch.nn.BatchNorm2d):
            a.running_mean.copy_(b.running_mean)
            a.running_var.copy_(b.running_var)


def only(kind):
    """Average the weights, and of the statistics one kind."""

    def follow(average, generator, decay):
        weights(average, generator, decay)
        old, new = (dict(net.named_buffers()) for net in (average, generator))
        move(*([b for name, b in side.items() if kind in name] for side in (old, new)), decay)

    return follow


def share(average, generator):
    for a, b in zip(average.buffers(), generator.buffers(), strict=True):
        a.data = b.data


def without_statistics(average, generator):
    for part in average.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean = part.running_var = None


def average_first(follow):
    def train(generator, train_step, steps, decay):
        average = copy.deepcopy(generator)
        for _ in range(steps):
            with torch.no_grad():
                follow(average, generator, decay)
            train_step(generator)
        return average.eval()

    return train


def averages_counts(average, generator, decay):
    weights(average, generator, decay)
    for a, b in zip(average.buffers(), generator.buffers(), strict=True):
        a.mul_(decay).add_(b, alpha=1 - decay)


RIGHT["13.5"] = [
    train_averaged(by_kind),
    train_averaged(both),
    train_averaged(weights, copied),
    train_averaged(lambda a, g, decay: (weights(a, g, decay), copied(a, g))),
    by_state,
    by_swa,
]
WRONG["13.5"] = [
    (train_averaged(lambda a, g, decay: a.load_state_dict(g.state_dict())), "nothing is averaged any more"),
    (train_averaged(lambda a, g, decay: both(a, g, 1 - decay)), "have changed places"),
    (
        train_averaged(lambda a, g, decay: (weights(a, g, decay), statistics(a, g, 1 - decay))),
        "for the statistics",
    ),
    (train_averaged(statistics), "but the weights do not"),
    (train_averaged(lambda a, g, decay: copied(a, g)), "but the weights do not"),
    (train_averaged(lambda a, g, decay: weights(a, g, 1 - decay), copied), "have changed places"),
    (train_averaged(only("mean")), "the running variances do not"),
    (train_averaged(only("var")), "the running means do not"),
    (average_first(both), "train_step comes first"),
    (average_first(lambda a, g, decay: (weights(a, g, decay), copied(a, g))), "train_step comes first"),
    (train_averaged(averages_counts), "num_batches_tracked is a whole number"),
    (train_averaged(weights, share), "shares tensors"),
    (train_averaged(weights, without_statistics), "has lost its running statistics"),
    (train_averaged(both, lambda a, g: g.eval()), "the generator was left in evaluation"),
    (train_averaged(both, lambda a, g: g.load_state_dict(a.state_dict())), "changes nothing in it"),
    (train_averaged(weights, lambda a, g: statistics(a, g, 0.9)), "a running statistic of the average"),
    (the_same, "the trained generator itself"),
    (in_training, "in evaluation mode, ready"),
    (lambda *given: train_averaged(both)(*given).state_dict(), "a network"),
]


# 13.6: what eps does, layer after layer -----------------------------------------------------------------


def layer_after_layer(n):
    def limit(eps):
        sigma = 1.0
        for _ in range(n):
            sigma /= math.sqrt(sigma**2 + eps)
        return sigma

    return limit


RIGHT["13.6"] = [
    layer_after_layer(50_000),
    lambda eps: math.sqrt(1 - eps) if eps < 1 else 0,
    lambda eps: np.sqrt(np.maximum(0, 1 - eps)),
]
WRONG["13.6"] = [
    (lambda eps: 1.0, "if eps did nothing"),
    (lambda eps: max(0, 1 - eps), "this is the variance"),
    (lambda eps: (1 - eps) ** 0.5, "There no σ but 0 stays"),
    (lambda eps: torch.tensor(1 - eps).sqrt(), "There no σ but 0 stays"),
    (lambda eps: abs(1 - eps) ** 0.5, "There no σ but 0 stays"),
    (lambda eps: math.sqrt(1 - eps) if eps < 1 else 1.0, "There no σ but 0 stays"),
    (lambda eps: math.sqrt(1 - eps), "has no root: your code stopped"),
    (lambda eps: math.sqrt(1 - eps) if eps < 1 else None, "has no root: the result is None"),
    (layer_after_layer(100), "not near it: at eps = 1 "),
    (layer_after_layer(1000), "not near it: at eps = 1 "),
    (lambda eps: math.sqrt(1 - eps) if eps < 0.9 else 0, "at eps = 0.95"),
    (lambda eps: math.sqrt(abs(1 - eps)) if eps < 1.2 else 0, "at eps = 1.05"),
    (lambda eps: math.sqrt(max(0, 1 - eps**2)), "this has its square"),
    (lambda eps: 1 / max(0.1, 1 - eps), "this is 1/σ²"),
    (lambda eps: 0.0, "begins to stand still"),
    (lambda eps: 1 / (1 + eps) ** 0.5, "one batch norm makes of σ = 1"),
    (lambda eps: 1 / (1 + eps), "as a variance"),
    (layer_after_layer(3), "what 3 batch norms make"),
    (layer_after_layer(7), "the limit should be"),
    (0.447, "a function is needed"),
]


# 13.7: sampling --------------------------------------------------------------------------------------


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
    with torch.inference_mode():
        return copy.deepcopy(generator).eval()(z)


def always_trains_again(generator, z):
    x = sampler(restore=False)(generator, z)
    generator.train()
    return x


def one_by_one(generator, z):
    return torch.cat([with_modes(generator, row[None]) for row in z])


def only_the_norms(generator, z):
    for part in generator.modules():
        if isinstance(part, torch.nn.BatchNorm1d):
            part.eval()
    with torch.no_grad():
        return generator(z)


def restored_to_depth(depth):
    """Note and restore modes down to this depth only."""

    def sample(generator, z):
        parts = {name: part for name, part in generator.named_modules() if name.count(".") < depth}
        modes = {part: part.training for part in parts.values()}
        x = sampler(restore=False)(generator, z)
        for part, training in modes.items():
            part.train(training)
        return x

    return sample


def restored_by_kind(generator, z):
    modes = {type(part): part.training for part in generator.modules()}
    x = sampler(restore=False)(generator, z)
    for part in generator.modules():
        part.training = modes[type(part)]
    return x


def shallow(generator, z):
    with torch.no_grad():
        return copy.copy(generator).eval()(z)


RIGHT["13.7"] = [with_a_copy, one_by_one, with_modes]
WRONG["13.7"] = [
    (sampler(), "back to its own mode"),
    (lambda generator, z: generator(z), "your sampling changed the model"),
    (sampler(evaluate=False), "your sampling changed the model"),
    (sampler(no_grad=False), "drags its graph along"),
    (sampler(restore=False), "left in the other"),
    (always_trains_again, "left in the other"),
    (restored_to_depth(1), "at whatever depth"),
    (restored_to_depth(2), "at whatever depth"),
    (restored_by_kind, "at whatever depth"),
    (shallow, "copy.copy shares the parts"),
    (lambda generator, z: with_modes(generator, z).sigmoid(), "return what it makes as it is"),
    (lambda generator, z: with_modes(generator, torch.randn_like(z)), "give it z as it is"),
    (only_the_norms, "not those of evaluation mode"),
    (lambda generator, z: sampler()(generator.requires_grad_(False), z), "was frozen and stays so"),
    (lambda generator, z: sampler()(generator, z)[0], "should have shape (8, 2)"),
]
