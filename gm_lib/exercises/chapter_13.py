"""Checks of chapter 13, a GAN on handwritten digits."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gm_lib.exercises.core import (
    Snapshot,
    Wrong,
    call,
    exercise,
    expect,
    expect_close,
    expect_function,
    is_close,
    number,
    predicted,
    tensor,
)

# 13.1


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _logit_by_autograd(share: float, eps: float) -> float:
    """Halve an interval until the two gradients stand in the proportion asked for."""
    low, high = -60.0, 30.0
    for _ in range(50):
        t = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        (patched,) = torch.autograd.grad(-(t.sigmoid() + eps).log(), t)
        (exact,) = torch.autograd.grad(softplus(-t), t)
        low, high = (t.item(), high) if patched / exact < share else (low, t.item())
    return low


@exercise(
    "13.1",
    "What a small constant takes away",
    hints=(
        "The derivative of σ is σ(1 - σ). Write both gradients with it; a factor is common to both.",
        "-σ(1 - σ) / (σ + ε) against -(1 - σ): the share is σ / (σ + ε). Solve that for σ first.",
        "σ = s ε / (1 - s), and the logit of a probability p is log(p / (1 - p)).",
    ),
)
def _share_left(answer: Any) -> str:
    expect_function(
        answer,
        _logit_by_autograd,
        [
            {"share": share, "eps": eps}
            for share, eps in (
                (0.8, 0.15),  # far from tiny, and s is not 1 - s: few mistakes coincide
                (0.5, 1e-8),
                (0.9, 1e-8),
                (0.01, 1e-6),
                (0.99, 1e-4),
                (0.5, 0.1),
                (0.3, 0.2),
            )
        ],
        name="the logit",
        read=lambda value: number(value, "the logit", finite=False),
        mistakes={
            "this is σ(t), the probability. Its logit is asked for, log(p / (1 - p)).": (
                lambda share, eps: share * eps / (1 - share)
            ),
            "this is the logit where that share is lost. It should be left.": (
                lambda share, eps: _logit((1 - share) * eps / share)
            ),
            "the sign is wrong: the constant bites where the discriminator is sure that an image is "
            "generated, and there the logit is negative.": lambda share, eps: (
                -_logit(share * eps / (1 - share))
            ),
            "right for a tiny eps only: σ(t) is eᵗ / (1 + eᵗ), and not eᵗ.": (
                lambda share, eps: math.log(share * eps / (1 - share))
            ),
            "this is where σ(t) is eps, whatever the share: half of the gradient is left there.": (
                lambda share, eps: _logit(eps)
            ),
            "this is log eps, whatever the share. There about half of the gradient is left.": (
                lambda share, eps: math.log(eps)
            ),
            "this is where σ(t) is the share itself. Where does eps come in?": lambda share, eps: _logit(
                share
            ),
            "σ / (σ + ε) = s gives σ = s ε / (1 - s): the division by 1 - s is missing.": (
                lambda share, eps: _logit(share * eps)
            ),
            "σ / (σ + ε) = s gives σ = s ε / (1 - s): this has σ = (1 - s) ε.": (
                lambda share, eps: _logit((1 - share) * eps)
            ),
            "a sign is wrong: with σ = s ε / (1 - s), σ / (1 - σ) is s ε / (1 - s - s ε).": (
                lambda share, eps: math.log(share * eps / (1 - share + share * eps))
            ),
            "the logit has the natural logarithm, and this is to base 10.": (
                lambda share, eps: _logit(share * eps / (1 - share)) / math.log(10)
            ),
            "the logit has the natural logarithm, and this is to base 2.": (
                lambda share, eps: _logit(share * eps / (1 - share)) / math.log(2)
            ),
            "the arguments have changed places: share comes first, then eps.": (
                lambda share, eps: _logit(share * eps / (1 - eps))
            ),
            "this is one number, where half is left at eps = 1e-8. Compute it from share and eps.": (
                lambda share, eps: _logit(1e-8)
            ),
        },
    )
    return (
        "Half of the gradient is gone where σ(t) = ε. Ten times smaller, a small ε moves that by only "
        f"log 10 = {math.log(10):.1f}: softplus has no such place."
    )


# 13.2 and 13.3


class _Player(nn.Module):
    """A small network with batch norm: one batch of both halves is not two batches.

    It refuses examples of another shape than ``taken``, as a convolution would.
    """

    def __init__(self, taken: Sequence[int], made: Sequence[int]) -> None:
        super().__init__()
        self.taken, self.made = tuple(taken), tuple(made)
        first, last = nn.Linear(math.prod(taken), 6), nn.Linear(6, math.prod(made))
        maps, flat = nn.Unflatten(1, (6, 1, 1)), nn.Flatten()
        self.net = nn.Sequential(nn.Flatten(), first, maps, nn.BatchNorm2d(6), flat, nn.Tanh(), last)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.taken:
            wanted = ", ".join(["n", *map(str, self.taken)])
            raise ValueError(f"this network takes ({wanted}), and was given {tuple(x.shape)}")
        return self.net(x).reshape(len(x), *self.made)


def _weights(player: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in player.parameters()])


@dataclass(frozen=True)
class _Round:
    """What a turn is given."""

    generator: _Player
    discriminator: _Player
    x: Tensor
    z: Tensor
    lr: float

    def logits(self) -> tuple[Tensor, Tensor]:
        return self.discriminator(self.x), self.discriminator(self.generator(self.z))

    def changed(self, change: Callable[[_Round], Any]) -> _Round:
        """Return a copy to which something was done."""
        other = copy.deepcopy(self)
        change(other)
        return other


def _rounds() -> list[_Round]:
    """Rounds of several shapes, lengths of step and sizes; in the last one logits go from -100 to 100."""
    rounds = []
    for n, latent, image, lr in ((8, 3, (2,), 0.5), (5, 4, (1, 2, 3), 0.2), (16, 3, (3,), 0.05)):
        players = _Player((latent,), image), _Player(image, ())
        rounds.append(_Round(*players, torch.randn(n, *image) + 1, torch.randn(n, latent), lr))
    last = rounds[-1]
    with torch.no_grad():
        fake, layer = last.logits()[1], last.discriminator.net[-1]
        assert isinstance(layer, nn.Linear)
        scale = 200 / (fake.max() - fake.min())
        layer.bias.sub_((fake.max() + fake.min()) / 2).mul_(scale)
        layer.weight.mul_(scale)
    return rounds


Loss = Callable[[Tensor, Tensor], Tensor]  # of real and generated logits: (n,)


def _expect_turn(answer: Any, learner: str, loss: Loss, mistakes: Mapping[str, Loss]) -> None:
    """Check one player's turn: who has changed, by which step, and the loss returned.

    ``mistakes`` are other losses; the step that each leads to is told by its message.
    """
    rounds, other = _rounds(), "discriminator" if learner == "generator" else "generator"
    steps, results, later = [], [], []
    for r in (copy.deepcopy(r) for r in rounds):
        player = getattr(r, learner)
        before = {name: Snapshot(getattr(r, name), plant=True) for name in (learner, other)}
        start = _weights(player)
        noise: list[Tensor] = []
        r.generator.register_forward_pre_hook(lambda _, given, noise=noise: noise.append(given[0]))
        try:
            result, n_steps = _take_turn(answer, r, learner)
        except Wrong as error:
            raise Wrong(_named(str(error), learner)) from error
        _expect_undisturbed(r, before, other)
        steps.append(_weights(player) - start)
        expect(
            all(given.shape != r.z.shape or torch.equal(given, r.z) for given in noise),
            "the images were made of other noise than z: use the z that is given.",
        )
        expect(
            n_steps == 1 or not steps[-1].any(),
            f"the {learner} moved, but the optimizer that is given took {n_steps} steps: one step() of it is "
            "asked for. It may be an Adam, which takes no step like yours.",
        )
        results.append(result)
        later.append(loss(*r.logits()).mean().item())
    expect(
        any(step.any() for step in steps),
        f"the {learner} has not moved: backward() makes gradients, step() uses them, and zero_grad() belongs "
        "before both. " + ("Its images must not be detached here." if learner == "generator" else ""),
    )
    _expect_steps(rounds, learner, steps, loss, mistakes)

    wanted = [loss(*r.logits()).mean().item() for r in rounds]
    name = "the step is right. But the loss that you return"
    found = [number(result, name) for result in results]
    expect(
        not is_close(found, later) or is_close(found, wanted),
        f"{name} was computed after the step: return the one that the step was made from.",
    )
    for value, right in zip(found, wanted, strict=True):
        expect_close(value, right, name=name)
    expect(
        not any(isinstance(result, Tensor) and result.requires_grad for result in results),
        f"{name} drags its graph along, and with it all images of the batch, for as long as somebody keeps "
        "it. Return loss.detach() or loss.item().",
    )
    try:
        _take_turn(answer, copy.deepcopy(rounds[0]), learner)
    except Wrong as error:
        raise Wrong(
            "right in later rounds, but in the very first one no parameter has a gradient yet: .grad is "
            f"None, which optimizer.zero_grad() can deal with. Here {error}"
        ) from error


def _take_turn(answer: Any, r: _Round, learner: str) -> tuple[Any, int]:
    """Return what the answer returns, and how many steps its optimizer took."""
    optimizer = torch.optim.SGD(getattr(r, learner).parameters(), lr=r.lr)
    steps: list[Any] = []
    optimizer.register_step_post_hook(lambda *given: steps.append(given))
    given = (r.x, r.z) if learner == "discriminator" else (r.z,)
    return call(answer, r.generator, r.discriminator, optimizer, *given), len(steps)


def _named(message: str, learner: str) -> str:
    """Give what PyTorch says of a known mistake its name."""
    if "between 0 and 1" in message:
        return (
            "binary_cross_entropy wants probabilities, and these are logits. "
            "binary_cross_entropy_with_logits or softplus takes them as they are."
        )
    if "does not require grad" not in message:
        return message
    if learner == "generator":
        return (
            "no gradient reaches the generator: its images, or what is said of them, were cut from their "
            "history. no_grad and detach "
            f"belong to the discriminator's turn only. ({message.split(',')[0]}.)"
        )
    return (
        "no gradient reaches the discriminator. Only the images are made under no_grad; what it says of them "
        f"needs its history. ({message.split(',')[0]}.)"
    )


def _expect_undisturbed(r: _Round, before: Mapping[str, Snapshot], other: str) -> None:
    """Refuse a turn that froze or switched a player, or that moved the one whose turn it was not."""
    for name in before:
        player = getattr(r, name)
        expect(
            all(p.requires_grad for p in player.parameters()),
            f"the {name} was frozen and stays so: put requires_grad back, or it never learns again.",
        )
        expect(
            "modes" not in before[name].changed(),
            f"the {name} was left in evaluation mode: put its mode back, or a batch norm in it learns no "
            "statistics any more.",
        )
    changed, gradients = before[other].changed(), [p.grad for p in getattr(r, other).parameters()]
    expect(
        "weights" not in changed,
        f"the {other}'s weights moved. It is not its turn: step with the optimizer that is given, which is "
        "that of the player who learns.",
    )
    if other == "generator" and "gradients" in changed:
        expect(
            not all(g is None or not g.any() for g in gradients),
            "the generator's gradients were wiped. It is not its turn: leave them alone. If your step put "
            "gradients there, make the images under torch.no_grad(), or detach() them; and if zero_grad was "
            "meant for the discriminator, it belongs to its optimizer.",
        )
        raise Wrong(
            "gradients were left on the generator: they would be added to its own step. Make its images "
            "under torch.no_grad(), or detach() them."
        )


def _expect_steps(
    rounds: Sequence[_Round], learner: str, found: Sequence[Tensor], loss: Loss, mistakes: Mapping[str, Loss]
) -> None:
    """Compare the steps, each divided by the largest entry of the right one, and tell known mistakes."""

    def step(r: _Round, scalar: Tensor) -> Tensor:
        player = getattr(r, learner)
        gradients = torch.autograd.grad(scalar, list(player.parameters()), allow_unused=True)
        pairs = zip(gradients, player.parameters(), strict=True)
        return -r.lr * torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])

    def of(other: Loss) -> Callable[[_Round], Tensor]:
        def of_a_copy(r: _Round) -> Tensor:
            r = copy.deepcopy(r)  # running statistics move
            return step(r, other(*r.logits()).mean())

        return of_a_copy

    def joint(r: _Round) -> Tensor:
        return step(r, loss(*r.discriminator(torch.cat([r.x, r.generator(r.z)])).chunk(2)).mean())

    right = of(loss)
    units = [right(r).abs().max() for r in rounds]

    def evaluated(*players: str) -> Callable[[_Round], Tensor]:
        return lambda r: right(r.changed(lambda r: [getattr(r, name).eval() for name in players]))

    known: dict[str, Callable[[_Round], Tensor]] = {
        "zero_grad is missing, comes too late or clears the other player: gradients from before were added "
        "to this step's.": lambda r: right(r) - r.lr,
        f"the {learner} moved by old gradients alone: zero_grad is missing, and of this turn's loss no "
        "gradient reaches it.": lambda r: torch.full_like(right(r), -r.lr),
        "the batch is summed. Take the mean, or the step grows with the batch.": (
            lambda r: len(r.z) * right(r)
        ),
        "this step is half as long as it should be: a factor of one half"
        + (
            ", or one mean over real and generated together. Each part counts in full, its mean taken over "
            "its own images."
            if learner == "discriminator"
            else " in the loss."
        ): lambda r: right(r) / 2,
        "this step is twice as long as it should be: a factor of two in the loss.": lambda r: 2 * right(r),
        f"the {learner} went uphill: the loss has the wrong sign.": lambda r: -right(r),
    }
    for names in (("generator",), ("discriminator",), ("generator", "discriminator")):
        said = f"the {names[0]} was" if len(names) == 1 else "both networks were"
        known[
            f"{said} in evaluation mode. A batch norm then uses running statistics: leave modes as they are."
        ] = evaluated(*names)
    known |= {message: of(mistaken) for message, mistaken in mistakes.items()}
    if learner == "discriminator":
        known |= {
            "real and generated images were judged in one batch. Batch norm then mixes their statistics: "
            "judge each half in a batch of its own.": joint,
            "real and generated images were judged in one batch, and one mean was taken over both: judge "
            "each half in a batch of its own, and take its own mean.": lambda r: joint(r) / 2,
        }
    moderate, sure = range(len(rounds) - 1), len(rounds) - 1
    good = [
        is_close(found[i] / units[i], right(rounds[i]) / units[i], rtol=1e-3, atol=1e-3)
        for i in (*moderate, sure)
    ]
    expect(
        good[sure] or not all(good[i] for i in moderate),
        "right for moderate logits, and wrong where the discriminator is sure of the wrong answer. There "
        "log(sigmoid(t)) runs out of digits, and exp(t) overflows; a small constant, as in log(D + 1e-8), a "
        "clamp or a clipped gradient only hides it and takes gradient away. Work with the logits: softplus.",
    )

    def in_units(function: Callable[[_Round], Tensor]) -> Callable[[int], Tensor]:
        return lambda i: function(rounds[i]) / units[i]

    expect_function(
        lambda i: found[i] / units[i],
        in_units(right),
        [{"i": i} for i in range(len(rounds))],
        mistakes={message: in_units(mistaken) for message, mistaken in known.items()},
        name=lambda i: f"the step of one weight of the {learner} (the longest right one being 1)",
        rtol=1e-3,
        atol=1e-3,
    )


_AS_PROBABILITIES = "these are logits, and you took them for probabilities of being real: D is their sigmoid."
_OTHER_LOSS = "the loss asked for is the one of this chapter, with logarithms of D, and this one is"
_TWICE = "sigmoid was taken twice: softplus and the cross-entropy with logits want the logits themselves."


@exercise(
    "13.2",
    "The discriminator's turn",
    hints=(
        "Make the images, judge both streams, lower the discriminator's loss. Which of the two networks "
        "must not hear of it?",
        "Make the images under torch.no_grad(), or detach() them. Then the three lines of every step: "
        "zero_grad, backward, step.",
        "loss = (softplus(-discriminator(x)) + softplus(discriminator(fake))).mean()",
    ),
)
def _discriminator_turn(answer: Any) -> str:
    _expect_turn(
        answer,
        "discriminator",
        lambda real, fake: softplus(-real) + softplus(fake),
        {
            "only the real images count: both streams are needed, and no zero_grad() between two "
            "backward().": lambda real, fake: softplus(-real),
            "only the generated images count: both streams are needed, and no zero_grad() between two "
            "backward().": lambda real, fake: softplus(fake),
            "the labels are exchanged: the discriminator learns to call real images generated.": (
                lambda real, fake: softplus(real) + softplus(-fake)
            ),
            "generated images are graded as real here. That is the generator's wish; the discriminator's is "
            "the opposite.": lambda real, fake: softplus(-real) + softplus(-fake),
            _AS_PROBABILITIES: lambda real, fake: -real.log() - (1 - fake).log(),
            f"{_AS_PROBABILITIES} Bringing them between 0 and 1 by force does not help.": (
                lambda real, fake: -real.clamp(1e-8, 1).log() - (1 - fake).clamp(1e-8, 1).log()
            ),
            "no logarithm was taken: this makes the probabilities themselves large and small. The loss is "
            "-log D(x) - log(1 - D(G(z))).": lambda real, fake: fake.sigmoid() - real.sigmoid(),
            "no logarithm was taken: these are the logits themselves, without an end to how large they want "
            "to be.": lambda real, fake: fake - real,
            f"{_OTHER_LOSS} least squares.": lambda real, fake: (real - 1).square() + fake.square(),
            f"{_OTHER_LOSS} the hinge.": lambda real, fake: (1 - real).relu() + (1 + fake).relu(),
            _TWICE: lambda real, fake: softplus(-real.sigmoid()) + softplus(fake.sigmoid()),
        },
    )
    return "The discriminator has learned, and the generator has not moved."


@exercise(
    "13.3",
    "The generator's turn",
    hints=(
        "Judge images that still have their history. What would the loss be if they were real?",
        "The gradient flows through the discriminator; only the optimizer decides who moves. Do not detach "
        "here. zero_grad before backward.",
        "loss = softplus(-discriminator(generator(z))).mean(); optimizer.zero_grad(); loss.backward(); "
        "optimizer.step()",
    ),
)
def _generator_turn(answer: Any) -> str:
    _expect_turn(
        answer,
        "generator",
        lambda real, fake: softplus(-fake),
        {
            "this is the minimax loss, log(1 - D(G(z))), whose gradient vanishes where the generator loses. "
            "-log D(G(z)) is asked for.": lambda real, fake: -softplus(fake),
            "this generator learns to be found out: generated images are graded as generated. It wants them "
            "taken for real.": lambda real, fake: softplus(fake),
            _AS_PROBABILITIES: lambda real, fake: -fake.log(),
            f"{_AS_PROBABILITIES} Bringing them between 0 and 1 by force does not help.": (
                lambda real, fake: -fake.clamp(1e-8, 1).log()
            ),
            "no logarithm was taken: this makes the probability itself large. The loss is -log D(G(z)).": (
                lambda real, fake: -fake.sigmoid()
            ),
            "no logarithm was taken: these are the logits themselves.": lambda real, fake: -fake,
            f"{_OTHER_LOSS} least squares.": lambda real, fake: (fake - 1).square(),
            _TWICE: lambda real, fake: softplus(-fake.sigmoid()),
        },
    )
    return "The gradient came through the discriminator, and only the generator moved."


# 13.4


def _share(value: Any) -> float:
    share = number(value, "the prediction")
    expect(
        0 <= share <= 1, f"a share is a number from 0 to 1, and {share:g} is none. 30 per cent would be 0.3."
    )
    return share


@exercise(
    "13.4",
    "A batch of one kind",
    hints=(
        "What does the batch norm make of a batch of real examples, and what of generated ones?",
        "It subtracts the mean of the batch and divides by its standard deviation. What are the two kinds "
        "after that?",
        "Both come out as draws of a Gaussian of mean 0 and standard deviation 1. Nothing behind can tell "
        "them apart.",
    ),
)
def _one_kind(answer: Any) -> str:
    share, outcome = predicted("13.4", answer, _share)
    shares = outcome if isinstance(outcome, dict) else {}
    one, both = (
        number(shares.get(name), f"what the experiment gives for {name}")
        for name in ("one kind", "both kinds")
    )
    expect(
        abs(one - 0.5) < 0.04 and both > 0.95,
        f"the experiment gives {one:.1%} with one kind in a batch and {both:.1%} with both: was it changed?",
    )
    near = min(abs(share - one), abs(share - 0.5)) < 0.05 + 1e-6  # 0.05 counts, as a float or as a float32
    expect(
        near or share < 0.5,
        f"the share is {one:.1%}, no better than guessing. With both kinds in a batch it is {both:.1%}. What "
        "tells the kinds apart is their mean, and from a batch of one kind batch norm subtracts it.",
    )
    expect(
        near,
        f"the share is {one:.1%}. Fewer than half would be worse than guessing: who is wrong more often than "
        "right need only say the opposite.",
    )
    return (
        "In a batch of one kind batch norm hides the mean and the scale that the batch has in common, "
        "channel by channel. Behind a convolution, where the two kinds differ in more than these, the rest "
        "stays."
    )


# 13.5


class _TrainStep:
    """Steps that move weights and running statistics, each time in the same way."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def __call__(self, player: _Player) -> None:
        player(3 * torch.randn(16, *player.taken, generator=self.random) + 2)
        for p in player.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=self.random))


def _learned(player: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weights, the running means and the running variances."""
    norms = [part for part in player.modules() if isinstance(part, nn.BatchNorm2d)]
    statistics = [(n.running_mean, n.running_var) for n in norms if n.running_mean is not None]
    expect(
        statistics,
        "the average has lost its running statistics: batch norm then takes those of each batch, and an "
        "image depends on its company.",
    )
    means, variances = (torch.cat(list(of)).clone() for of in zip(*statistics, strict=True))
    return _weights(player), means, variances


@exercise(
    "13.5",
    "An average that forgets",
    hints=(
        "The weights are averaged as they should be. What else does an image depend on in evaluation mode?",
        "Batch norm has running statistics. They are not among parameters(): the copy keeps those that it "
        "was made with.",
        "state_dict() holds them, and so does buffers(). Average them as well, or copy the "
        "latest; only num_batches_tracked, a whole number, cannot be averaged.",
    ),
)
def _averaged(answer: Any) -> str:
    found, paths = [], []  # the average, as a vector; and weights, means, variances from step to step
    decays = (0.9, 0.5, 0.0, 0.8)
    for i, (decay, steps) in enumerate(zip(decays, (3, 6, 2, 1), strict=True)):
        generator = _Player((3 + i,), (2,))
        _TrainStep(99)(generator)  # it does not come new
        twin, train = copy.deepcopy(generator), _TrainStep(i)
        path = [_learned(twin)]
        for _ in range(steps):
            train(twin)
            path.append(_learned(twin))
        train = _TrainStep(i)
        try:
            average = call(answer, generator, train, steps, decay)
        except Wrong as error:
            expect(
                "to the desired output type Long" not in str(error) and "cast to Long" not in str(error),
                "num_batches_tracked is a whole number, the count of batches, and cannot be averaged: leave "
                f"it out. ({error})",
            )
            raise
        kind = f"a trained average is asked for, a network, and this is of type {type(average).__name__}."
        expect(isinstance(average, nn.Module), kind)
        expect(average is not generator, "this is the trained generator itself. An average is a copy.")
        expect(
            is_close(torch.cat(_learned(generator)), torch.cat(path[-1])),
            "the generator itself is not what train_step makes of it. The average follows it and changes "
            "nothing in it.",
        )
        expect(
            not any(part.training for part in average.modules()),
            "the average should come in evaluation mode, ready to sample from.",
        )
        expect(
            all(part.training for part in generator.modules()),
            "the generator was left in evaluation mode: it could not go on learning as before.",
        )
        found.append(torch.cat(_learned(average)))
        paths.append(path)
        train(generator)
        expect(
            is_close(torch.cat(_learned(average)), found[-1]),
            "the average shares tensors with the generator: when that one learns on, the average changes "
            "too. Copy the numbers, with copy_.",
        )

    def made(i: int, *how: str) -> Tensor:
        """Return a vector whose parts, weights, means and variances, came about in these ways."""
        parts = []
        for part, way in enumerate(how):
            points = [point[part] for point in paths[i]]
            keep = 1 - decays[i] if way == "exchanged" else decays[i]
            value = {"latest": points[-1], "earlier": points[-2]}.get(way, points[0])
            followed = {"averaged": points[1:], "exchanged": points[1:], "before": points[1:-1]}
            for latest in followed.get(way, []):
                value = keep * value + (1 - keep) * latest
            parts.append(value)
        return torch.cat(parts)

    def explained(*how: str) -> bool:
        return all(is_close(value, made(i, *how)) for i, value in enumerate(found))

    right = ("averaged", "latest", "latest")  # as good
    if not explained(*right):
        right = ("averaged", "averaged", "averaged")
    either = "averaged", "latest"
    known: dict[str, list[tuple[str, str, str]]] = {
        "nothing is averaged any more: these are the latest weights and statistics.": [("latest",) * 3],
        "decay and 1 - decay have changed places.": [
            ("exchanged", way, way) for way in (*either, "exchanged", "kept")
        ],
        "for the statistics, decay and 1 - decay have changed places.": [
            ("averaged", "exchanged", "exchanged")
        ],
        "now the statistics follow, but the weights do not.": [("kept", way, way) for way in either],
        "now the running means follow, but the running variances do not.": [
            ("averaged", way, "kept") for way in either
        ],
        "now the running variances follow, but the running means do not.": [
            ("averaged", "kept", way) for way in either
        ],
        "the average moves before the generator learns, so that it misses the last step: train_step comes "
        "first.": [("before", way, way) for way in ("before", "earlier", "latest")],
    }
    for message, ways in known.items():
        expect(not any(explained(*how) for how in ways), message)
    expect_function(
        lambda i: found[i],
        lambda i: made(i, *right),
        [{"i": i} for i in range(len(found))],
        unchanged=lambda i: made(i, "averaged", "kept", "kept"),
        name=lambda i: f"a weight or a running statistic of the average, at decay = {decays[i]},",
    )
    return (
        "The weights alone do not make the image: batch norm's statistics belong to them. Look for the same "
        "omission wherever weights are saved."
    )


# 13.6


def _spread_after(n: int) -> Callable[[float], float]:
    def spread(eps: float) -> float:
        sigma = 1.0
        for _ in range(n):
            sigma /= math.sqrt(sigma**2 + eps)
        return sigma

    return spread


def _limit(value: Any) -> float:
    return math.nan if isinstance(value, complex) else number(value, "the limit", finite=False)


@exercise(
    "13.6",
    "What eps does, layer after layer",
    hints=(
        "One batch norm makes σ / √(σ² + eps) of σ. Which σ does it leave as it is?",
        "σ = σ / √(σ² + eps): either σ = 0, or σ² + eps = 1. For which eps is there a second one?",
        "Up to eps = 1 it is √(1 - eps). Above, 1/σ² becomes 1 + eps/σ² and grows without an end: σ tends "
        "to 0.",
    ),
)
def _spread(answer: Any) -> str:
    right = _spread_after(2000)
    expect_function(
        answer,
        right,
        [{"eps": eps} for eps in (0.3, 0.8, 1e-5, 0.1, 0.5)],
        name="the limit",
        read=_limit,
        atol=5e-3,
        mistakes={
            "this would be so if eps did nothing. Start at σ = 1, eps = 0.8: after one batch norm it is "
            "0.75, after two 0.64.": lambda eps: 1.0,
            "this is the variance. Its root is asked for.": lambda eps: 1 - eps,
            "it does become smaller in each, at eps = 1.5 without an end. But at eps = 0.8 it begins to "
            "stand still: which σ does a batch norm leave as it is?": lambda eps: 0.0,
            "this is what one batch norm makes of σ = 1, as a variance. Go on, and take the root.": (
                lambda eps: 1 / (1 + eps)
            ),
            "this is 1/σ², not σ.": lambda eps: 1 / (1 - eps),
            "eps is added to the variance as it is: this has its square.": lambda eps: math.sqrt(1 - eps**2),
            **{
                f"this is what {make} of σ = 1. The value that ever more of them tend to is asked for: which "
                "σ does one leave as it is?": _spread_after(n)
                for n in (1, 2, 3, 5, 10, 20)
                for make in ["one batch norm makes" if n == 1 else f"{n} batch norms make"]
            },
        },
    )
    for eps in (1.5, 4.0):
        try:
            value = _limit(call(answer, eps))
        except Wrong as error:
            raise Wrong(
                f"right for eps below 1. Above, 1 - eps is negative and has no root: {error}"
            ) from error
        expect(
            is_close(value, 0.0, atol=5e-3),
            f"right for eps below 1, and not above: at eps = {eps:g} it gives {value:.4g}. There no σ but 0 "
            "stays as it is. What becomes of σ?",
        )
    for eps, limit in ((1.0, 0.0), (0.95, right(0.95)), (1.05, right(1.05))):
        value = _limit(call(answer, eps))
        expect(
            is_close(value, limit, atol=5e-3),
            f"right far from eps = 1, and not near it: at eps = {eps:g} the limit is {limit:.4g}, and this "
            f"gives {value:.4g}. A loop comes there very slowly, and the bound is at 1: solve for σ.",
        )
    return (
        f"At eps = 0.8, √0.2 = {0.2**0.5:.2f} is left where one expects 1; from eps = 1 on, nothing. The "
        "default of 1e-5 cannot be seen."
    )


# 13.7


class _Normed(nn.Module):
    """A generator with two batch norms, three levels down, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU()),
            nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.ReLU()),
            nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 2)),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


@exercise(
    "13.7",
    "Sampling that can be trusted",
    hints=(
        "Three things to arrange around generator(z): the mode, the graph, and the mode again.",
        "generator.eval() before, torch.no_grad() around. Every part of generator.modules() has its own "
        "mode: note before which parts are training.",
        "trained = [part for part in generator.modules() if part.training]; generator.eval(); ...; "
        "for part in trained: part.training = True",
    ),
)
def _sample(answer: Any) -> str:
    generator = _Normed()
    for _ in range(5):  # statistics of its own
        generator(3 * torch.randn(32, 3) + 1)
    generator.get_parameter("net.2.1.bias").requires_grad_(False)
    learning = [p.requires_grad for p in generator.parameters()]
    reference = copy.deepcopy(generator).eval()
    training_parts: list[bool] = []  # whether there were any, at each call of the generator or of a copy
    generator.register_forward_pre_hook(
        lambda part, _: training_parts.append(any(p.training for p in part.modules()))
    )
    others: dict[str, Callable[[], Any]] = {
        "none": lambda: None,
        "norm": generator.get_submodule("net.0.1").eval,  # for good, as in fine-tuning
        "dropout": generator.get_submodule("net.2.0").train,  # for good, as in Monte Carlo dropout
    }
    for n, training, part in (
        (8, True, "none"),
        (8, False, "none"),
        (1, True, "norm"),
        (5, False, "dropout"),
    ):
        z = torch.randn(n, 3)
        with torch.no_grad():
            right = reference(z)
        generator.train(training)
        others[part]()
        before, mode = Snapshot(generator, plant=True), "training" if training else "evaluation"
        training_parts.clear()
        found = tensor(call(answer, generator, z), shape=(n, 2), name="the result")
        changed = before.changed()
        expect(
            "buffers" not in changed,
            "your sampling changed the model: in training mode batch norm gathers statistics at every "
            "call. Use evaluation mode.",
        )
        expect("weights" not in changed, "your sampling changed the weights of the model.")
        expect(
            is_close(found, right) or not any(training_parts),
            f"called in {mode} mode, the images are not those of evaluation mode: a part was training when "
            "they were made, so they depend on their batch, or on chance. Call generator.eval() first, "
            "whatever the mode of the whole.",
        )
        expect(
            is_close(found, right),
            "the generator was in evaluation mode, but these are not its images of this noise: give it z as "
            "it is, and return what it makes as it is.",
        )
        expect(
            not found.requires_grad,
            "the result drags its graph along: memory grows with every sample. Use torch.no_grad().",
        )
        expect(
            generator.training == training,
            f"the generator came in {mode} mode and left in the other. Its next step would be another.",
        )
        expect(
            [p.requires_grad for p in generator.parameters()] == learning,
            "the generator was frozen and stays so, or a part that was frozen no longer is: it would learn "
            "otherwise after your sampling.",
        )
        expect(
            "gradients" not in changed,
            "the gradients on the generator are not what they were: somebody may be collecting them.",
        )
        expect(
            "modes" not in changed,
            f"the generator came in {mode} mode, and a part of it, at whatever depth, did not come back to "
            "its own mode. train() sets all parts alike; a part may have a mode of its own for good. (A copy "
            "made by copy.copy shares the parts.)",
        )
    return "The same noise, the same image, in any company."
