"""Checks of chapter 13, a GAN on handwritten digits."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from gm_lib.exercises.core import Wrong, call, exercise, expect, expect_close, is_close, number, tensor

# 13.1


@exercise(
    "13.1",
    "The losses of the two players",
    hints=(
        "D(x) is the sigmoid of the logit t. What is -log sigmoid(t), written without a sigmoid?",
        "-log D is softplus(-t), and -log(1 - D) is softplus(t): F.softplus does both, at any size of t.",
        "The discriminator: softplus(-real_logits) + softplus(fake_logits). The generator: what a real image "
        "would cost, softplus(-fake_logits).",
    ),
)
def _losses(answer: Any) -> str:
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise Wrong("two functions are asked for: (loss_of_discriminator, loss_of_generator).")
    of_discriminator, of_generator = answer
    real, fake = 2 * torch.randn(6), 2 * torch.randn(6)
    found = _one_each(call(of_discriminator, real, fake), 6, "loss_of_discriminator")
    expect_close(
        found,
        softplus(-real) + softplus(fake),
        name="the discriminator's loss",
        mistakes={
            "the discriminator's loss has the wrong sign: this is its part of the value, which it wants "
            "large. A loss is made small.": -softplus(-real) - softplus(fake),
            "the labels are exchanged: this discriminator gains by calling real images generated.": softplus(
                real
            )
            + softplus(-fake),
            "the generated images are graded as if they were real: their part is -log(1 - D).": (
                softplus(-real) + softplus(-fake)
            ),
            "the generated images are missing in the discriminator's loss.": softplus(-real),
            "the real images are missing in the discriminator's loss.": softplus(fake),
            "this is half of it. Both parts count in full; a factor would only change the step size.": 0.5
            * (softplus(-real) + softplus(fake)),
            "these are logits, and you took them for probabilities of being real: D is their sigmoid.": -(
                real.clamp(1e-8, 1).log() + (1 - fake).clamp(1e-8, 1).log()
            ),
        },
    )
    found = _one_each(call(of_generator, fake), 6, "loss_of_generator")
    expect_close(
        found,
        softplus(-fake),
        name="the generator's loss",
        mistakes={
            "this is log(1 - D(G(z))), the minimax loss. It vanishes where the generator loses; -log D(G(z)) "
            "is asked for.": -softplus(fake),
            "this is the discriminator's loss on generated images. The generator wants the "
            "opposite.": softplus(fake),
            "the sign is wrong: this is log D(G(z)), which the generator wants large.": -softplus(-fake),
        },
    )
    big = torch.tensor([-200.0, 200.0])
    for name, value, right in (
        ("loss_of_discriminator", call(of_discriminator, big, -big), torch.tensor([400.0, 0.0])),
        ("loss_of_generator", call(of_generator, big), torch.tensor([200.0, 0.0])),
    ):
        expect(
            is_close(tensor(value, shape=(2,), name=f"the result of {name}"), right),
            f"{name} is right for moderate logits and wrong for large ones: at a logit of 200 on the wrong "
            "side an example costs 200. log(sigmoid(...)) runs out of digits, and a small constant inside "
            "only hides it. Work with the logits: softplus.",
        )
    return "One number for each example, and right for any logit."


def _one_each(value: Any, n: int, name: str) -> Tensor:
    found = value if isinstance(value, Tensor) else tensor(value, name=f"the result of {name}")
    if found.ndim == 0:
        raise Wrong(f"{name} returns one number for the whole batch. Keep the examples apart: shape (n,).")
    if found.isnan().any():
        raise Wrong(
            f"{name} returns NaN: a logit is any real number, not a probability. sigmoid makes it one."
        )
    return tensor(found, shape=(n,), name=f"the result of {name}")


# 13.2 and 13.3


class _Player(nn.Module):
    """A small network with batch norm: one batch of both halves is not two batches."""

    def __init__(self, n_in: int, n_out: int, squeeze: bool):
        super().__init__()
        self.latent_dim, self.squeeze = n_in, squeeze
        self.net = nn.Sequential(nn.Linear(n_in, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, n_out))

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        return out.squeeze(-1) if self.squeeze else out


def _weights(player: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in player.parameters()])


def _after(player: nn.Module, loss: Tensor, lr: float) -> Tensor:
    """Where one step of plain gradient descent would bring the weights."""
    gradients = torch.autograd.grad(loss, list(player.parameters()), retain_graph=True)
    return _weights(player) - lr * torch.cat([g.flatten() for g in gradients])


_LR = 0.5


class _Descent:
    """Plain gradient descent: the first real optimizer imports more than checks have time for."""

    def __init__(self, player: nn.Module):
        self.parameters = list(player.parameters())

    def zero_grad(self, set_to_none: bool = True) -> None:
        for p in self.parameters:
            p.grad = None if set_to_none else torch.zeros_like(p)

    @torch.no_grad()
    def step(self) -> None:
        for p in self.parameters:
            if p.grad is not None:
                p.sub_(_LR * p.grad)


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
    generator, judge = _Player(3, 2, squeeze=False), _Player(2, 1, squeeze=True)
    x, z = torch.randn(8, 2) + 1, torch.randn(8, 3)
    optimizer = _Descent(judge)
    for p in judge.parameters():  # gradients that lie about from an earlier turn
        p.grad = torch.ones_like(p)
    with torch.no_grad():
        fake = generator(z)
    real_logits, fake_logits = judge(x), judge(fake)
    loss = (softplus(-real_logits) + softplus(fake_logits)).mean()
    right, start = _after(judge, loss, _LR), _weights(judge)
    stale = right - _LR
    both = judge(torch.cat([x, fake]))
    mixed = (softplus(-both[:8]) + softplus(both[8:])).mean()
    wrong_targets = {
        "zero_grad is missing: gradients from before were added to this step's.": stale,
        "the batch is summed. Take the mean, or the step grows with the batch.": _after(judge, 8 * loss, _LR),
        "this step is half as long as it should be: a factor of one half, or one mean over real and "
        "generated together. Each part is paid in full, its mean taken over its own images.": _after(
            judge, 0.5 * loss, _LR
        ),
        "only the real images were judged: both streams are needed.": _after(
            judge, softplus(-real_logits).mean(), _LR
        ),
        "only the generated images were judged: both streams are needed.": _after(
            judge, softplus(fake_logits).mean(), _LR
        ),
        "the labels are exchanged: the discriminator learns to call real images generated.": _after(
            judge, (softplus(real_logits) + softplus(-fake_logits)).mean(), _LR
        ),
        "generated images are graded as real here. That is the generator's wish; the discriminator's is the "
        "opposite.": _after(judge, (softplus(-real_logits) + softplus(-fake_logits)).mean(), _LR),
        "the discriminator went uphill: the loss has the wrong sign.": _after(judge, -loss, _LR),
        "real and generated images were judged in one batch. Batch norm then mixes their statistics: judge "
        "each half in a batch of its own.": _after(judge, mixed, _LR),
    }
    generator_start = _weights(generator)
    result = call(answer, generator, judge, optimizer, x, z)
    _expect_untouched(
        generator,
        generator_start,
        "gradients were left on the generator: they would be added to its own step. Make its images under "
        "torch.no_grad(), or detach() them.",
        "the generator's weights moved. It is not its turn.",
    )
    _expect_able_to_learn(generator, judge)
    _expect_moved(judge, start, right, wrong_targets, "the discriminator")
    expect(
        is_close(number(result, "the loss"), loss.item()),
        f"the step is right, but the loss you return should be {loss.item():.4g}, as it was before the step.",
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
    generator, judge = _Player(3, 2, squeeze=False), _Player(2, 1, squeeze=True)
    z = torch.randn(8, 3)
    optimizer = _Descent(generator)
    for p in (*generator.parameters(), *judge.parameters()):
        p.grad = torch.ones_like(p)
    logits = judge(generator(z))
    loss = softplus(-logits).mean()
    right, start = _after(generator, loss, _LR), _weights(generator)
    wrong_targets = {
        "zero_grad is missing: gradients from before were added to this step's.": right - _LR,
        "the batch is summed. Take the mean, or the step grows with the batch.": _after(
            generator, 8 * loss, _LR
        ),
        "this is the minimax loss, log(1 - D(G(z))), whose gradient vanishes where the generator loses. "
        "-log D(G(z)) is asked for.": _after(generator, -softplus(logits).mean(), _LR),
        "this generator learns to be found out: generated images are graded as generated. It wants them "
        "taken for real.": _after(generator, softplus(logits).mean(), _LR),
        "the generator went uphill: the loss has the wrong sign.": _after(generator, -loss, _LR),
    }
    judge_start = _weights(judge)
    try:
        result = call(answer, generator, judge, optimizer, z)
    except Wrong as error:
        if "does not require grad" in str(error):
            raise Wrong(
                "no gradient reaches the generator: its images were cut from their history. no_grad and "
                "detach belong to the discriminator's turn only."
            ) from error
        raise
    expect(
        torch.equal(_weights(judge), judge_start),
        "the discriminator's weights moved. It is not its turn: step the generator's optimizer only.",
    )
    _expect_able_to_learn(generator, judge)
    if torch.equal(_weights(generator), start):
        raise Wrong(
            "the generator has not moved. Were its images detached (they must not be here), was step() "
            "forgotten, or zero_grad() called between backward() and step()?"
        )
    _expect_moved(generator, start, right, wrong_targets, "the generator")
    expect(
        is_close(number(result, "the loss"), loss.item()),
        f"the step is right, but the loss you return should be {loss.item():.4g}, as it was before the step.",
    )
    return "The gradient came through the discriminator, and only the generator moved."


def _expect_able_to_learn(generator: nn.Module, judge: nn.Module) -> None:
    for name, player in (("generator", generator), ("discriminator", judge)):
        expect(
            all(p.requires_grad for p in player.parameters()),
            f"the {name} was frozen and stays so: put requires_grad back, or it never learns again.",
        )
        expect(
            all(part.training for part in player.modules()),
            f"the {name} was left in evaluation mode: put its mode back, or a batch norm in it learns no "
            "statistics any more.",
        )


def _expect_untouched(player: nn.Module, start: Tensor, gradient: str, weights: str) -> None:
    expect(torch.equal(_weights(player), start), weights)
    expect(all(p.grad is None or not p.grad.any() for p in player.parameters()), gradient)


def _expect_moved(
    player: nn.Module, start: Tensor, right: Tensor, wrong: dict[str, Tensor], name: str
) -> None:
    found = _weights(player)
    if torch.equal(found, start):
        raise Wrong(
            f"{name} has not moved: backward() makes gradients, step() uses them, and zero_grad() belongs "
            "before both."
        )
    expect_close(found, right, name=f"a weight of {name} after the step", mistakes=wrong)


# 13.4


@exercise(
    "13.4",
    "What eps does to a channel",
    hints=(
        "Subtracting the mean changes no standard deviation. What does the division do?",
        "Everything is divided by √(σ² + eps), and so is the standard deviation.",
        "sigma / (sigma**2 + eps) ** 0.5",
    ),
)
def _spread(answer: Any) -> str:
    cases = ((0.5, 0.8), (2.0, 0.8), (1.0, 1e-5), (0.01, 1e-5))
    found = torch.tensor(
        [number(call(answer, s, e), f"the result at sigma = {s}, eps = {e}") for s, e in cases],
        dtype=torch.float64,
    )
    sigma, eps = torch.tensor(cases, dtype=torch.float64).T
    variance = sigma**2
    expect_close(
        found,
        sigma / (variance + eps).sqrt(),
        name="the standard deviation",
        mistakes={
            "this would be so if eps did nothing. At σ = 0.5, eps = 0.8 is larger than the "
            "variance.": torch.ones_like(sigma),
            "eps is added to the variance, under the root, and not to the standard deviation.": (
                sigma / (sigma + eps)
            ),
            "this is the variance. Its root is asked for.": variance / (variance + eps),
            "the root is missing below.": sigma / (variance + eps),
            "σ has to be squared before eps is added.": sigma / (sigma + eps).sqrt(),
            "upside down: the channel is divided by √(σ² + eps).": (variance + eps).sqrt() / sigma,
            "this is what it is divided by. Divide.": (variance + eps).sqrt(),
            "0.8 was taken for a momentum: eps is no mixture of old and new statistics.": (
                eps + (1 - eps) * sigma
            ),
        },
    )
    return "eps counts beside σ²: the quieter a channel, the more it loses."


# 13.5


class _Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.5)
        self.last = nn.Linear(5, 2)
        self.calls: list[int] = []

    def forward(self, z: Tensor) -> Tensor:
        self.calls.append(len(z))
        return self.last(self.drop(self.norm(self.first(z)).relu()))


@exercise(
    "13.5",
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
    z = torch.randn(8, 3)
    reference = copy.deepcopy(generator).eval()
    with torch.no_grad():
        right = reference(z)
    for training, frozen in ((True, False), (False, False), (True, True)):
        generator.train(training)
        if frozen:
            generator.norm.eval()  # for good, as in fine-tuning
        modes = [part.training for part in generator.modules()]
        before = {name: value.clone() for name, value in generator.state_dict().items()}
        found = tensor(call(answer, generator, z), shape=(8, 2), name="the result")
        mode = "training" if training else "evaluation"
        if any(not torch.equal(before[k], v) for k, v in generator.state_dict().items()):
            raise Wrong(
                "your sampling changed the model: in training mode batch norm gathers statistics at every "
                "call. Use evaluation mode."
            )
        expect(
            is_close(found, right),
            f"called in {mode} mode, the images are not those of evaluation mode: they depend on their "
            "batch. Call generator.eval() first.",
        )
        expect(
            not found.requires_grad,
            "the result drags its graph along: memory grows with every sample. Use torch.no_grad().",
        )
        if generator.training != training:
            raise Wrong(
                f"the generator came in {mode} mode and left in the other. Its next step would be another."
            )
        expect(
            all(p.requires_grad for p in generator.parameters()),
            "the generator was frozen and stays so: after your sampling it would never learn again.",
        )
        expect(
            [part.training for part in generator.modules()] == modes,
            f"the generator came in {mode} mode, and a part of it did not come back to its own mode. train() "
            "sets all parts alike; a part may have been in evaluation mode for good.",
        )
    return "The same noise, the same image, in any company."


# 13.6


@exercise(
    "13.6",
    "Walking on a sphere",
    hints=(
        "First the angle ω: u = F.normalize(a, dim=1) and v likewise, then 2 atan2(|u - v|, |u + v|), row by "
        "row.",
        "(u - v).norm(dim=1, keepdim=True) has the shape (n, 1), and so has ω: it can multiply (n, d). Where "
        "sin ω is nearly zero the formula divides 0 by 0; torch.where chooses the straight line there.",
        "torch.where(omega < 1e-3, (1 - t) * a + t * b, arc), where arc is "
        "(((1 - t) * omega).sin() * a + (t * omega).sin() * b) / omega.sin().",
    ),
)
def _slerp(answer: Any) -> str:
    a, b = torch.randn(6, 6), torch.randn(6, 6)  # as many rows as columns: a wrong dimension still runs
    b[0] = -a[0] + 0.1 * b[0]  # more than a right angle
    t = 0.3
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1)
    omega = cosine.acos()[:, None]

    def mix(angle: Tensor) -> Tensor:
        return (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()

    right = mix(omega)
    result = call(answer, a, b, t)
    if isinstance(result, Tensor) and result.shape == (6, 6) and result.isnan().any():
        raise Wrong("the result is NaN: acos wants a cosine, a·b divided by both norms.")
    found = tensor(result, shape=(6, 6), name="the result")
    whole = (a * b).sum() / (a.norm() * b.norm())
    expect_close(
        found,
        right,
        name="the point",
        mistakes={
            "this is the straight line, (1 - t) a + t b.": (1 - t) * a + t * b,
            "a and b have changed places: t = 0 is a, and t = 1 is b.": (
                ((t * omega).sin() * a + ((1 - t) * omega).sin() * b) / omega.sin()
            ),
            "ω is the cosine here. acos makes the angle of it.": mix(cosine[:, None]),
            "the division by sin ω is missing.": right * omega.sin(),
            "the angle is that between the whole batches. Each pair has its own.": mix(whole.acos()),
            "the angles belong to the rows: give omega the shape (n, 1), or row i gets the angle of another "
            "pair.": mix(omega.T),
            "the angles were taken along the columns: dim=1 is that of a row.": mix(
                torch.nn.functional.cosine_similarity(a, b, dim=0).acos()
            ),
            "a straight line, brought to length 1: the angle grows unevenly, and the shell has another "
            "radius.": torch.nn.functional.normalize((1 - t) * a + t * b, dim=1),
            "both were brought to length 1 first. The angle needs that, the points do not: the shell has "
            "radius √d.": (
                ((1 - t) * omega).sin() * torch.nn.functional.normalize(a, dim=1)
                + (t * omega).sin() * torch.nn.functional.normalize(b, dim=1)
            )
            / omega.sin(),
        },
    )
    ends = tensor(call(answer, a, b, 0.0)), tensor(call(answer, a, b, 1.0))
    expect(
        is_close(ends[0], a) and is_close(ends[1], b), "at t = 0 it should be a, and at t = 1 it should be b."
    )
    z = torch.randn(50, 32)
    for other, how in ((z.clone(), "equal"), (z + 1e-6 * torch.randn(50, 32), "nearly equal")):
        expect(
            is_close(call(answer, z, other, t), z),
            f"right for ends that lie apart, wrong for {how} ones: a cosine is rounded, acos makes NaN "
            "of one above 1, and sin ω may be 0. Take ω from atan2, and the straight line where ω is tiny.",
        )
    return f"Half-way between draws in 32 dimensions it stays near √32 = {math.sqrt(32):.2f}."


# 13.7


@exercise(
    "13.7",
    "A label as planes",
    hints=(
        "What does the label look like as ten numbers, and how does a number become a plane?",
        "F.one_hot(y, 10) is (n, 10). [:, :, None, None] gives it a height and a width of 1, expand makes "
        "planes of them.",
        "torch.cat([x, planes], dim=1), with planes of shape (n, 10, h, w) and the dtype of x.",
    ),
)
def _planes(answer: Any) -> str:
    x, y = torch.rand(5, 1, 4, 6), torch.tensor([3, 0, 7, 3, 1])
    result = call(answer, x, y)
    found = tensor(result, name="the result")
    if found.shape == (5, 2, 4, 6):
        raise Wrong(
            "the label became one plane, as if it were a grey value: then 9 is three times a 3. Ten planes, "
            "one for each class."
        )
    if found.shape == (5, 9, 4, 6):
        raise Wrong(
            "there are only as many planes as the largest label in this batch needs. Another batch would "
            "have another number: say how many classes there are, F.one_hot(y, 10)."
        )
    if found.shape == (15, 1, 4, 6):
        raise Wrong("the planes are beside the images in the batch. They are channels: dim=1.")
    if found.shape == (5, 10, 4, 6):
        raise Wrong("these are the planes alone. The image stays, as the first channel.")
    found = tensor(found, shape=(5, 11, 4, 6), name="the result")
    if not found.is_floating_point():
        raise Wrong("the result holds integers: the image's grey values are gone. Give the planes x's dtype.")
    planes = one_hot(y, 10).float()[:, :, None, None].expand(5, 10, 4, 6)
    right = torch.cat([x, planes], dim=1)
    expect_close(
        found,
        right,
        name="the result",
        mistakes={
            "the planes come first. The image is the first channel, the planes stand behind it.": torch.cat(
                [planes, x], dim=1
            ),
            "the image was multiplied by its label's planes. The planes are all ones, so that the label is "
            "seen where the image is black.": torch.cat([x, x * planes], dim=1),
            "the planes hold the label's number. Ones and zeros say which class, and nothing about its "
            "size.": torch.cat([x, planes * y[:, None, None, None]], dim=1),
            "the planes are the wrong way round: ones for the nine other classes.": torch.cat(
                [x, 1 - planes], dim=1
            ),
        },
    )
    return "The label is now everywhere in the image."
