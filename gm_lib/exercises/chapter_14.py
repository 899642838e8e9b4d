"""Checks of chapter 14, what goes wrong and what helps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gm_lib.data.toys import gaussian_grid
from gm_lib.evaluation import mode_coverage
from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    call,
    choice,
    choices,
    exercise,
    expect,
    expect_function,
    is_close,
    number,
    predicted,
    tensor,
)
from gm_lib.gan import GAN, MLPDiscriminator, MLPGenerator, r1
from gm_lib.runtime import forked_rng

# 14.1


@exercise(
    "14.1",
    "Instance noise as a penalty",
    hints=(
        "Only the discriminator's own derivative changes: how does what it pays depend on ψ when θ = 0?",
        "At θ = 0 it pays E[softplus(-ψσε)] + E[softplus(ψσε)]. softplus(t) is log 2 + t/2 + t²/8 near 0.",
        "The sum is 2 log 2 + ψ²σ²/4 near ψ = 0, and R1 adds γ/2 · ψ².",
    ),
)
def _instance_noise(answer: Any) -> str:
    once, again = (number(call(answer, 0.7), "the result at sigma = 0.7") for _ in range(2))
    expect(
        once == again,
        "your function gives another number at each call. A simulation is a good test; here the formula is "
        "asked for.",
    )
    expect_function(
        answer,
        lambda sigma: sigma**2 / 2,
        [{"sigma": sigma} for sigma in (0.7, 1.0, 2.0, 0.1, 0.0, 1.5)],
        name="gamma",
        read=lambda value: number(value, "gamma"),
        mistakes={
            "half of it is missing. Is this the noise of one batch? Real and generated examples are both "
            "noised. Or is it the factor of ψ² in what the discriminator pays? In R1 that factor is γ/2.": (
                lambda sigma: sigma**2 / 4
            ),
            "twice too much. What is the second derivative of softplus at 0?": lambda sigma: sigma**2,
            "this is the factor of one of the two terms in what the discriminator pays, ψ²σ²/8.": (
                lambda sigma: sigma**2 / 8
            ),
            "noise of twice the sd has four times the variance, and it is ψ²σ²ε² whose mean counts.": (
                lambda sigma: sigma / 2
            ),
            "this is σ itself: it is σ²ε² whose mean counts, and softplus has a second derivative.": (
                lambda sigma: sigma
            ),
            "the sign is wrong: softplus is convex, so noise costs the discriminator something, as R1.": (
                lambda sigma: -(sigma**2) / 2
            ),
            "this is the real part of the eigenvalues, -γ/2. γ is asked for.": lambda sigma: -(sigma**2) / 4,
            "upside down: without noise there is no penalty.": lambda sigma: 2 / sigma**2,
        },
    )
    return (
        "Noise of the sd σ acts like R1 with γ = σ²/2: it smooths what the discriminator may use, and the "
        "first thing it takes away is slope."
    )


# 14.2

_SLOW, _FAST = "γ = 0, η = 0.2, at once", "γ = 0, η = 1, in turns"
_AT_ONCE, _IN_TURNS = "γ = 1, η = 2, at once", "γ = 1, η = 2, in turns"
_ENDS = {_SLOW: "outwards", _FAST: "round", _AT_ONCE: "inwards", _IN_TURNS: "outwards"}
_COUNTER = {
    _SLOW: "at once |1 + ηλ|² is 1 + η²/4, above 1 at every step size. It is little per round, and there are "
    "1,000 of them.",
    _FAST: "in turns both half-steps have the determinant 1, and below η = 4 both factors have the size 1. "
    "So near the middle the players stay on an ellipse.",
    _AT_ONCE: "γ = 1 has the eigenvalue -½ twice, and 1 + 2 · (-½) is 0: no step size is better here.",
    _IN_TURNS: "in turns the discriminator's step, -γψ and -θ/2, and the generator's answer add up: the two "
    "half-steps have the trace 2 - ηγ - η²/4 = -1 and the determinant 1 - ηγ = -1. One factor is below -1.",
}


@exercise(
    "14.2",
    "Is it better to take turns?",
    hints=(
        "Write each game as a matrix: I + ηJ at once; in turns the product of two matrices, as in the text, "
        "now with -ηγ added to the entry of ψ.",
        "At once the product of the two factors is 1 - ηγ + η²/4, in turns it is 1 - ηγ. The factors sum to "
        "2 - ηγ at once, and to 2 - ηγ - η²/4 in turns.",
        "Two go outwards, one round, one inwards.",
    ),
)
def _turns(answer: Any) -> str:
    names = ("inwards", "round", "outwards")
    prediction, outcome = predicted("14.2", answer, lambda given: choices(given, list(_ENDS), names))
    if not isinstance(outcome, dict) or set(outcome) != set(_ENDS):
        raise Wrong("the experiment does not return its four numbers: was it changed?")
    found = {game: number(outcome[game], f'the number for "{game}"', finite=False) for game in _ENDS}
    for game, distance in found.items():
        went = "inwards" if distance < 0.05 else "round" if distance <= 0.3 else "outwards"
        went = "nowhere" if math.isnan(distance) else went
        expect(
            went == _ENDS[game],
            f'the experiment gives {distance:.3g} for "{game}": was it changed? As given that game goes '
            f"{_ENDS[game]}.",
        )
    off = [game for game in _ENDS if prediction[game] != _ENDS[game]]
    if off:
        game = off[0]
        more = f" ({len(off)} of four are not right yet.)" if len(off) > 1 else ""
        raise Wrong(f'"{game}" goes {_ENDS[game]}, to {found[game]:.3g}: {_COUNTER[game]}{more}')
    return (
        "Near the middle, taking turns keeps the game without a penalty from running away. With γ = 1 it "
        "costs step size: in turns the limit is 4(√(1 + γ²) - γ) = 1.66, at once it is 4."
    )


# 14.3

_POINTS = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0], [0.0, 4.0]], dtype=torch.float64)
_NAMES = "ABCD"
_LEAVES, _ARRIVES = torch.tensor([0.6, 0.4]).double(), torch.tensor([0.5, 0.5]).double()
_CHEAPEST = 4.1


@exercise(
    "14.3",
    "A plan and its proof",
    hints=(
        "The four distances are 4 (A to D, B to C) and 5 (A to C, B to D). Which of the long ways can you do "
        "without, and which not?",
        "A has 0.6 and D takes only 0.5: 0.1 goes from A to C. For the potential: on every way that the plan "
        "uses, f falls by exactly the distance. Three ways are used, so one number is free; set it to 0.",
        "The plan is A to D 0.5, A to C 0.1, B to C 0.4. With f(C) = 0 the three ways give f(A), f(B), f(D).",
    ),
)
def _plan_and_proof(answer: Any) -> str:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong('check("14.3", (plan, potential)) wants both, the plan first.')
    plan = tensor(answer[0], name="the plan").detach().double().cpu()
    heights = _in_order(answer[1]) if isinstance(answer[1], Mapping) else answer[1]
    potential = tensor(heights, name="the potential").detach().double().cpu()
    expect(
        plan.shape == (2, 2),
        f"the plan should have a row for A and one for B, a column for C and one for D: shape (2, 2), not "
        f"{tuple(plan.shape)}.",
    )
    expect(
        potential.shape == (4,),
        f"the potential is four numbers, at A, B, C and D: shape (4,), and not {tuple(potential.shape)}.",
    )
    cost = _expect_plan(plan)
    proven = _expect_potential(potential)
    expect(
        not is_close(-proven, _CHEAPEST),
        "the signs of the potential are turned: it has to be high at the real points, A and B.",
    )
    best, reached = is_close(cost, _CHEAPEST), is_close(proven, _CHEAPEST)
    both = f"Your plan costs {cost:.4g}, and your potential proves that none costs less than {proven:.4g}."
    expect(
        best or reached,
        f"{both} They have to meet: a cheaper plan is to be had, and a potential that proves more.",
    )
    expect(best, f"{both} The potential is the best one. So there is a cheaper plan.")
    expect(
        reached,
        f"{both} The plan is the cheapest. On each way that it uses f should fall by the whole distance.",
    )
    return "Both are 4.1: no plan is cheaper, and no potential proves more. That is a proof without a solver."


def _in_order(potential: Mapping[Any, Any]) -> list[float]:
    """Return the heights of a potential that is given by the points' names."""
    if set(potential) != set(_NAMES):
        raise Wrong(
            "the potential is four numbers: a list for A, B, C and D, or a dictionary with these keys."
        )
    return [number(potential[name], f"the potential at {name}") for name in _NAMES]


def _expect_plan(plan: Tensor) -> Tensor:
    """Return what a plan costs; raise ``Wrong`` for what is none."""
    rows, columns = plan.sum(1), plan.sum(0)
    if is_close(rows, _ARRIVES) and is_close(columns, _LEAVES):
        raise Wrong("the plan is turned: its rows are A and B, its columns C and D.")
    for i, (found, wanted) in enumerate(zip(rows, _LEAVES, strict=True)):
        expect(
            is_close(found, wanted),
            f"from {_NAMES[i]} goes {found:.3g} in all, and its weight is {wanted:.2g}: that is what row "
            f"{i + 1} of the plan should add up to.",
        )
    for j, (found, wanted) in enumerate(zip(columns, _ARRIVES, strict=True)):
        expect(
            is_close(found, wanted),
            f"at {_NAMES[2 + j]} arrives {found:.3g} in all, and its weight is {wanted:.2g}: that is what "
            f"column {j + 1} of the plan should add up to.",
        )
    expect(bool((plan >= -1e-9).all()), "an entry of the plan is negative: nothing can be carried backwards.")
    return (plan * torch.cdist(_POINTS[:2], _POINTS[2:])).sum()


def _expect_potential(f: Tensor) -> Tensor:
    """Return what a potential proves; raise ``Wrong`` for one that is too steep."""
    distance = torch.cdist(_POINTS, _POINTS)
    for a in range(4):
        for b in range(4):
            expect(
                bool(f[a] - f[b] <= distance[a, b] + 1e-6),
                f"the potential is no 1-Lipschitz one: from {_NAMES[b]} to {_NAMES[a]} it rises by "
                f"{f[a] - f[b]:.3g}, over a distance of {distance[a, b]:.3g}.",
            )
    return (f[:2] * _LEAVES).sum() - (f[2:] * _ARRIVES).sum()


# 14.4


class _Judge:
    """A critic that keeps what it is shown; ``score`` makes one number of each image.

    ``places`` are all images that it was shown, or the last batch: an answer may show them one by one.
    """

    def __init__(self, score: Callable[[Tensor], Tensor]) -> None:
        self.score = score
        self.shown: list[Tensor] = []

    def places(self, n: int) -> Tensor:
        every = torch.cat(self.shown) if len({x.shape[1:] for x in self.shown}) == 1 else self.shown[-1]
        return every if len(every) == n else self.shown[-1]

    def __call__(self, x: Tensor) -> Tensor:
        self.shown.append(x.detach().double())
        return self.score(x)


def _plane(x: Tensor) -> Tensor:
    """A linear score, whose slope is 1 everywhere."""
    flat = x.flatten(1)
    return flat.sum(1) / math.sqrt(flat.shape[1])


def _asked(answer: Any, judge: _Judge, real: Tensor, fake: Tensor) -> Tensor:
    result = tensor(call(answer, judge, real, fake), name="the result")
    expect(bool(judge.shown), "the critic was not asked.")
    places = judge.places(len(real))
    expect(
        places.shape == real.shape,
        f"the critic is shown something of the shape {tuple(places.shape)}: it takes images of the shape "
        f"{tuple(real.shape)}.",
    )
    return result


@exercise(
    "14.4",
    "A penalty with two mistakes",
    hints=(
        "Print the shape of the gradient, and of its norm. Whose slope is that?",
        "Each image has its own slope: one norm for each row of gradient.flatten(1). And where lies a place "
        "whose weight is 2, or -1?",
        "gradient.flatten(1).norm(dim=1), and weights from torch.rand, uniform between 0 and 1.",
    ),
)
def _penalty(answer: Any) -> str:
    n, size = 16, 3 * 2 * 3
    own = 10.0 * torch.arange(n).reshape(n, 1, 1, 1) + torch.ones(n, 3, 2, 3)  # 1 to 3 from another pair
    flat = _asked(answer, _Judge(_plane), torch.rand(n, 3, 2, 3), torch.rand(n, 3, 2, 3))
    whole_batch = flat.numel() in (1, n) and is_close(flat.reshape(-1)[0], 9.0, rtol=1e-3)
    _expect_weights(answer, own, own + 2, whole_batch)
    expect(
        not whole_batch,
        "the places are right. The norm is still that of the gradients of all images together: with slope "
        "1 for each of 16 images it is 4, and (4 - 1)² = 9.",
    )
    expect(
        flat.shape == (n,),
        f"one number for each image is asked for, shape ({n},), and not {tuple(flat.shape)}.",
    )
    _expect_values(answer)
    expect(
        is_close(flat, torch.zeros(n), atol=1e-6),
        f"a critic whose slope is 1 everywhere should pay nothing, and pays {flat.mean():.3g} per image "
        f"({size} pixels).",
    )
    return (
        "Each image has a slope of its own, and it is looked at between a real and a generated image, where "
        "the best potential falls with a slope of one."
    )


def _expect_weights(answer: Any, real: Tensor, fake: Tensor, whole_batch: bool) -> None:
    """Look at where the slope is taken: each image is of one value, so that pixels show their weights."""
    shown = []
    for _ in range(40):
        judge = _Judge(_plane)
        _asked(answer, judge, real, fake)
        shown.append(((fake - judge.places(len(real))) / (fake - real)).flatten(1))
    pixels = torch.cat(shown)
    outside = ((pixels < -1e-5) | (pixels > 1 + 1e-5)).double().mean().item()
    if outside:
        if whole_batch:
            raise NotAttempted("it still does what it did")
        raise Wrong(
            f"{outside:.0%} of your places are not between a real image and its generated one: there "
            "w · real + (1 - w) · fake has a w between 0 and 1."
        )
    expect(
        is_close(pixels.std(1), torch.zeros(len(pixels)), atol=1e-5),
        "pixels of one image have different weights. One weight for each image makes a place on the line.",
    )
    weights = pixels[:, 0].reshape(40, -1)
    expect(
        float(weights.std(1).min()) > 1e-3,
        "all images of the batch have the same weight. Each should have its own.",
    )
    weights = weights.flatten()
    error = 4 * math.sqrt(1 / 12 / len(weights))
    expect(
        abs(float(weights.mean()) - 0.5) < error and abs(float(weights.var()) - 1 / 12) < 0.01,
        f"the weights should be uniform between 0 and 1: mean ½ and variance 1/12 = 0.083. Yours have "
        f"{weights.mean():.2f} and {weights.var():.3f}.",
    )


def _mistaken(g: Tensor) -> dict[str, Tensor]:
    """Return what known mistakes make of the images' gradients (n, c, h, w), by what to say of them."""
    n, flat = len(g), g.flatten(1)
    slope, of_all = flat.norm(dim=1), g.norm()
    spread = "the norm of all images' gradients is spread over the images. Each should have its own norm."
    averaged = "is averaged over the batch. Each image is charged for its own."
    return {
        "slopes above 1 have to be charged more the larger they are, below 1 too: (slope - 1)².": slope - 1,
        "this is the squared norm in the place of the norm.": (slope**2 - 1) ** 2,
        "the target is a slope of 1, not of 0.": slope**2,
        f"{spread} Divided by n it is no slope.": ((of_all / n - 1) ** 2).expand(n),
        f"{spread} Divided by √n it is a root of a mean square.": ((of_all / n**0.5 - 1) ** 2).expand(n),
        f"the slope {averaged}": ((slope.mean() - 1) ** 2).expand(n),
        f"the penalty {averaged}": ((slope - 1) ** 2).mean().expand(n),
        "this is the root of the mean square of an image's gradient. The slope is the norm: sum.": (
            (flat.square().mean(1).sqrt() - 1) ** 2
        ),
        "this is the sum of the absolute values. The slope is the root of the sum of squares.": (
            (flat.abs().sum(1) - 1) ** 2
        ),
        "each channel has a norm of its own here. The slope is one norm, over all channels and pixels.": (
            (g.flatten(2).norm(dim=2).mean(1) - 1) ** 2
        ),
        "this is the gradient of the mean of the scores, 1/n of each image's own: sum the scores.": (
            (slope / n - 1) ** 2
        ),
        "half of it is missing.": 0.5 * (slope - 1) ** 2,
        "it is multiplied by 10. The weight of the penalty is not part of this function.": (
            10 * (slope - 1) ** 2
        ),
    }


def _expect_values(answer: Any) -> None:
    """Compare with the penalty of a critic that is known, and see that gradients reach its parameter."""
    steepness = torch.tensor(0.8, requires_grad=True)

    def bowl(x: Tensor) -> Tensor:
        return steepness * 0.5 * x.flatten(1).square().sum(1)

    judge = _Judge(bowl)
    real, fake = torch.rand(6, 3, 2, 2), 2 + torch.rand(6, 3, 2, 2)
    found = _asked(answer, judge, real, fake)
    places = judge.places(len(real))
    norms = places.flatten(1).norm(dim=1)
    for message, mistaken in _mistaken(0.8 * places).items():
        expect(not is_close(found, mistaken, rtol=1e-3), message)
    expect(
        is_close(found, (0.8 * norms - 1) ** 2, rtol=1e-3),
        "the penalty of a critic of known slope is not (slope - 1)².",
    )
    cone = _Judge(lambda x: 0.5 * x.flatten(1).norm(dim=1))
    below = _asked(answer, cone, real, fake)
    expect(
        is_close(below, torch.full((6,), 0.25), rtol=1e-3),
        "a slope of ½ should be charged (½ - 1)² = ¼: slopes below 1 count as well.",
    )
    if not found.requires_grad:
        raise Wrong(
            "no gradient reaches the critic's parameters: create_graph=True has to stay, and nothing after "
            "it may be detached."
        )
    (gradient,) = torch.autograd.grad(found.sum(), steepness, allow_unused=True)
    expected = (2 * (0.8 * norms - 1) * norms).sum()
    expect(
        gradient is not None and is_close(gradient, expected, rtol=1e-3),
        "the value is right, but not the gradient that reaches the critic's parameters: is a part detached?",
    )


# Rounds of a small game, for 14.5 and 14.8


@dataclass(frozen=True)
class _Setting:
    """A game: its seed, the batch size, and how large the logits are."""

    seed: int
    batch: int
    size: float = 1.0


_SETTINGS = (_Setting(0, 5), _Setting(1, 16), _Setting(3, 4, 60.0), _Setting(7, 16, 20.0), _Setting(3, 1))


class _Logit(nn.Module):
    """A discriminator of pairs of numbers, whose logits are about as large as ``size``."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.out = nn.Linear(6, 1)
        self.net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), self.out)
        with torch.no_grad():
            self.out.weight.mul_(4 * size)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)


def _after(one_round: Callable[..., Any], setting: _Setting, *given: Any) -> Tensor:
    """Play one round and return, as one vector, the weights of G, those of D, and the two losses.

    Each optimizer takes plain steps over one player. Both players hold old gradients when the round begins.
    """
    with forked_rng(seed=setting.seed):
        G = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        D = _Logit(setting.size)
        x, z = 1.5 + torch.randn(setting.batch, 2), torch.randn(setting.batch, 3)
        if setting.size > 1:  # the discriminator is as wrong as it can be: every real example seems generated
            with torch.no_grad():
                up = (D(x).mean() > D(G(z)).mean()).float()
                D.out.weight.mul_(1 - 2 * up)
    learn_G = torch.optim.SGD(G.parameters(), lr=0.3 / setting.size)
    learn_D = torch.optim.SGD(D.parameters(), lr=0.3 / setting.size)
    for p in (*G.parameters(), *D.parameters()):
        p.grad = torch.ones_like(p)
    returned = call(one_round, G, D, learn_G, learn_D, *given, x, z)
    expect(
        isinstance(returned, tuple | list) and len(returned) == 2,
        "the round should return two losses, the discriminator's and the generator's.",
    )
    losses = [
        number(loss, f"the loss of the {who}", finite=False)
        for loss, who in zip(returned, ("discriminator", "generator"), strict=True)
    ]
    weights = [p.detach().flatten() for p in (*G.parameters(), *D.parameters())]
    return torch.cat([*weights, torch.tensor(losses)])


def _expect_rounds(
    answer: Any,
    right: Callable[..., Any],
    unchanged: Callable[..., Any],
    mistakes: dict[str, Callable[..., Any]],
    *given: Any,
) -> None:
    """Raise unless a round of the answer's leaves the players where a right one does, in every setting."""
    found = [_after(answer, setting, *given) for setting in _SETTINGS]

    def ends(one_round: Callable[..., Any]) -> Callable[[int], Tensor]:
        return lambda i: _after(one_round, _SETTINGS[i], *given)

    expect_function(
        lambda i: found[i],
        ends(right),
        [{"i": i} for i in range(len(_SETTINGS))],
        mistakes={message: ends(mistake) for message, mistake in mistakes.items()},
        unchanged=ends(unchanged),
        name=lambda i: (
            f"the vector of G's weights, D's weights and the two losses, after a round with "
            f"{_SETTINGS[i].batch} pairs" + (" and large logits," if _SETTINGS[i].size > 1 else ",")
        ),
    )


def _descend(optimizers: Sequence[Any], cleared: Any, loss: Tensor) -> None:
    if cleared is not None:
        cleared.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()


# 14.5


def _patched(t: Tensor) -> Tensor:
    """-log sigmoid(t) with the small constant."""
    return -(t.sigmoid() + 1e-8).log()


def _limited(t: Tensor) -> Tensor:
    return -t.sigmoid().clamp(min=1e-8).log()


def _exact(t: Tensor) -> Tensor:
    return softplus(-t)


def _linear(t: Tensor) -> Tensor:
    return -t


def _saturating(t: Tensor) -> Tensor:
    return -softplus(t)


Paid = Callable[[Tensor], Tensor]  # by a player who wants its argument to be large, per pair


def _paired(
    d_pays: Paid = _exact,
    g_pays: Paid = _exact,
    moves: str = "G",
    d_wants: float = 1.0,
    g_wants: float = 1.0,
    cut: bool = False,
    first: bool = True,
    stale: bool = False,
    pairs: bool = True,
    total: bool = False,
    cleared: bool = True,
) -> Callable[..., tuple[Tensor, Tensor]]:
    """A round of the relativistic game, ``moves`` being who steps in the second turn.

    ``stale``: the generator is compared with what D said of real examples before it moved. ``pairs``:
    whether the generator is compared. ``total``: a sum over the batch. ``cleared``: whether the generator's
    old gradients are.
    """
    over = torch.sum if total else torch.mean

    def one_round(G: Any, D: Any, learn_G: Any, learn_D: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        fake = G(z)
        before = D(x).detach()
        loss_D = over(d_pays(d_wants * (D(x) - D(fake.detach()))))
        _descend([learn_D] if first else [], learn_D, loss_D)
        real = (before if stale else D(x)) * pairs
        loss_G = over(g_pays(g_wants * (D(fake.detach() if cut else fake) - real)))
        _descend([{"G": learn_G, "D": learn_D}[who] for who in moves], learn_G if cleared else None, loss_G)
        return loss_D.detach(), loss_G.detach()

    return one_round


def _unpaired(G: Any, D: Any, learn_G: Any, learn_D: Any, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    fake = G(z)
    loss_D = (softplus(-D(x)) + softplus(D(fake.detach()))).mean()
    _descend([learn_D], learn_D, loss_D)
    loss_G = softplus(-D(fake)).mean()
    _descend([learn_G], learn_G, loss_G)
    return loss_D.detach(), loss_G.detach()


@exercise(
    "14.5",
    "A round that lets the wrong one move",
    hints=(
        "Go through the second turn and ask who moves. Then put ahead = -40 into each loss: what is the "
        "gradient?",
        "In the second turn the discriminator steps, along a gradient that was meant for the generator. And "
        "where sigmoid(ahead) is far below 1e-8, the constant is all that the logarithm sees.",
        "learn_G.step(), F.softplus(-ahead).mean() for the discriminator, F.softplus(ahead).mean() for the "
        "generator.",
    ),
)
def _paired_round(answer: Any) -> str:
    still = "the loss is mended, but the wrong player moves in the second turn: whose gradient is it?"
    dies = "the right player moves now. But put logits of -40 into the loss: its gradient is gone."
    _expect_rounds(
        answer,
        _paired(),
        _paired(_patched, _patched, moves="D"),
        {
            dies: _paired(_patched, _patched),
            f"{dies} A limit on the probability does the same as the constant.": _paired(_limited, _limited),
            "the discriminator's loss is mended; the generator's still has a constant under its logarithm.": (
                _paired(_exact, _patched)
            ),
            "the generator's loss is mended; the discriminator's still has a constant under its logarithm.": (
                _paired(_patched, _exact)
            ),
            still: _paired(moves="D"),
            f"{still} (And one of the two losses still has the constant.)": _paired(_patched, moves="D"),
            f"{still} (And one of the two losses still has its constant.)": _paired(
                g_pays=_patched, moves="D"
            ),
            "in the second turn both players move now. The discriminator goes along a gradient that helps "
            "its opponent.": _paired(moves="GD"),
            "the generator does not move in the second turn: does learn_G step, and does a gradient reach "
            "the generator, or are its examples cut from their history?": _paired(cut=True),
            "the generator goes along old gradients too: learn_G.zero_grad() before its loss.": (
                _paired(cleared=False)
            ),
            "the generator is compared with what the discriminator said of real examples before it moved: "
            "ask it anew.": _paired(stale=True),
            "the generator pays minus what the discriminator pays. Far behind, that has no slope.": (
                _paired(g_pays=_saturating)
            ),
            "only the discriminator compares. The generator's loss has to compare with real examples, too.": (
                _paired(pairs=False)
            ),
            "the losses are sums over the batch, and should be means.": _paired(total=True),
            "nobody moves in the first turn: learn_D has to step.": _paired(first=False),
            "the discriminator's sign is wrong: it should want real examples to be ahead.": (
                _paired(d_wants=-1.0)
            ),
            "the generator's sign is wrong: it should want real examples to fall behind.": (
                _paired(g_wants=-1.0)
            ),
            "both signs are wrong: the discriminator wants real examples to be ahead, the generator does "
            "not.": _paired(d_wants=-1.0, g_wants=-1.0),
            "without the logarithm the losses are linear, which is another game: -log sigmoid stays, and has "
            "to be written otherwise.": _paired(_linear, _linear),
            "this is the non-saturating game, which judges each example by itself. Here a real one is "
            "compared with a generated one.": _unpaired,
        },
    )
    return (
        "With softplus a generator that is far behind has the full gradient, and it is the generator that "
        "follows it."
    )


# 14.6

_PARTS = {
    "a weight matrix": (0.98, 1.01),
    "a convolution": (1.05, 2.01),
    "three layers": (0.001, 1.01),
    "three layers, weights × 100": (0.001, 1.01),
    "x + f(x)": (1.02, 2.01),
}
_AT_MOST, _MORE = "at most 1", "more than 1"
_BECAUSE = {
    "a weight matrix": "That is what was divided by.",
    "a convolution": (
        "A pixel belongs to several patches, and counts in each. What was divided by is the largest singular "
        "value of the kernel as a matrix, which takes one patch by itself."
    ),
    "three layers": (
        "Linear layers stretch by at most 1, leaky ReLUs too, and stretches multiply: at most 1·1·1."
    ),
    "three layers, weights × 100": "The factor is in the largest singular value too, and is divided out.",
    "x + f(x)": "f may stretch by 1, and x is added: together up to 2.",
}


@exercise(
    "14.6",
    "What spectral norm bounds",
    hints=(
        "Stretches multiply where one layer follows another. What do they do where two ways are added?",
        "In a convolution with kernel 4 and stride 2 a pixel enters four patches. If each patch alone is "
        "stretched by at most 1, what about the whole image?",
        "Two of the five can be more than 1: the convolution, and x + f(x).",
    ),
    seconds=20.0,
)
def _bounded(answer: Any) -> str:
    names = _AT_MOST, _MORE
    chosen, outcome = predicted("14.6", answer, lambda given: choices(given, tuple(_PARTS), names))
    found = outcome if isinstance(outcome, dict) else {}
    for part, (low, high) in _PARTS.items():
        stretch = number(found.get(part, float("nan")), f'the stretch of "{part}"', finite=False)
        expect(
            low <= stretch <= high,
            f'the experiment gives {stretch:.3g} for "{part}": was it changed? Take it from the chapter '
            "again.",
        )
    wrong = [
        part for part, (_, high) in _PARTS.items() if chosen[part] != (_MORE if high > 1.5 else _AT_MOST)
    ]
    if wrong:
        part = wrong[0]
        more = f" ({len(wrong)} of five are not right yet.)" if len(wrong) > 1 else ""
        raise Wrong(f'"{part}" stretches by {float(found[part]):.3g}. {_BECAUSE[part]}{more}')
    return (
        "Spectral norm bounds matrices, and by them chains of linear layers. A convolution may stretch more "
        "than its kernel's matrix, and a sum of two ways more than either."
    )


# 14.7

_ROUNDS, _GAMES, _EVEN, _ENOUGH = 300, 3, 0.1, 0.05
_GIVEN = {"loss": "non_saturating", "gamma": 0.0, "beta_1": 0.9, "lr_G": 2e-3, "lr_D": 2e-3}
_LOSSES = ("non_saturating", "minimax", "hinge", "relativistic")


def _read_settings(answer: Any) -> dict[str, Any]:
    names = ("loss", "gamma", "beta_1", "lr_G", "lr_D")
    listed = ", ".join(f'"{name}"' for name in names)
    expect(isinstance(answer, dict), f"a dictionary with the keys {listed} is needed.")
    strange = [key for key in answer if key not in names]
    expect(not strange, f"there is no setting {strange[0] if strange else ''!r}. There are {listed}.")
    settings: dict[str, Any] = {}
    for name, low, high in (("gamma", 0, 1e4), ("beta_1", 0, 0.9999), ("lr_G", 1e-7, 1), ("lr_D", 1e-7, 1)):
        expect(name in answer, f'"{name}" is missing.')
        settings[name] = number(answer[name], f'"{name}"')
        expect(
            low <= settings[name] <= high,
            f'"{name}" should be from {low:g} to {high:g}, and is {settings[name]:g}.',
        )
    expect("loss" in answer, '"loss" is missing.')
    return settings | {"loss": choice(answer["loss"].replace("-", "_"), _LOSSES, '"loss"')}


@lru_cache(maxsize=100)  # the same settings give the same game
def _play_nine(seed: int, *, loss: str, gamma: float, beta_1: float, lr_G: float, lr_D: float) -> Any:
    """Return how the samples of a game on nine Gaussians fall on the modes."""
    nine = gaussian_grid(3)
    with forked_rng(seed=seed):
        model = GAN(
            MLPGenerator(2, [64, 64], (2,)),
            MLPDiscriminator((2,), [64, 64]),
            loss=loss,
            penalty=partial(r1, gamma=gamma) if gamma else None,
            lr=(lr_G, lr_D),
            betas=(beta_1, 0.999),
            average=0.99,
        )
        optimizers = model.optimizers()
        for step in range(1, _ROUNDS + 1):
            model.update((nine.sample((128,)), None), optimizers, step)
        return mode_coverage(model.sample(2000), nine)


@exercise(
    "14.7",
    "Nine Gaussians in 300 rounds",
    hints=(
        "The settings that stand there are those of the failed game. Which of them was its cause?",
        "Without the memory (beta_1 = 0) the modes are found. 300 rounds are few: larger steps help. "
        "But keep both rates alike: a generator that is much faster loses modes.",
        'Try {"loss": "non_saturating", "gamma": 0.1, "beta_1": 0.0, "lr_G": 4e-3, "lr_D": 4e-3}.',
    ),
    seconds=120.0,
)
def _nine(answer: Any) -> str:
    settings = _read_settings(answer)
    if settings == _GIVEN:
        raise NotAttempted("these are the settings of the failed game")
    try:
        reports = [_play_nine(seed, **settings) for seed in range(700, 700 + _GAMES)]
    except (ValueError, FloatingPointError) as error:
        raise Wrong(f"the game broke down: {error}") from error
    good = torch.tensor([report.good for report in reports])
    mean, chance = good.mean().item(), (good.std() / _GAMES**0.5).item()
    kl = [report.kl for report in reports]
    nats = ", ".join(f"{value:.3f}" for value in kl)
    found = f"In {_GAMES} games the KL of the modes was {nats}, and {mean:.0%} ± {chance:.0%} were good"
    if max(kl) > _EVEN or mean + 2 * chance < _ENOUGH:
        raise Wrong(f"{found}. {_advice(settings, max(kl))}")
    luck = f" With two standard errors that is no less than {_ENOUGH:.0%}." if mean < _ENOUGH else ""
    return f"{found}.{luck} Several choices do."


def _advice(settings: dict[str, Any], kl: float) -> str:
    if kl <= _EVEN:
        return f"No mode is lost. But at least {_ENOUGH:.0%} should be good, two standard errors allowed for."
    if settings["beta_1"] > 0.6:
        return "The memory is still long: in this chapter that was what lost the modes."
    if settings["lr_G"] > 4 * settings["lr_D"]:
        return "The generator is much faster than the discriminator, and goes from mode to mode."
    if settings["gamma"] > 20:
        return "The penalty is so large that the discriminator hardly has a slope left to show the way."
    if settings["lr_G"] < 1e-3:
        return "The generator's steps are so small that 300 rounds are too few."
    if settings["lr_G"] > 2e-2:
        return "The steps are so large that the players jump about."
    return f"The KL should be at most {_EVEN:g} nats in each game. Is it the step sizes, or the loss?"


# 14.8


def _bent(x: Tensor) -> Tensor:
    """An augmentation without chance, so that the order of calls does not matter."""
    return torch.sin(2 * x) + 0.5 * x.roll(1, dims=1)


def _augmented(
    real: bool = True,
    fake: bool = True,
    again: bool = True,
    moves: bool = True,
    only: bool = False,
    twice: bool = False,
    generator: Paid = _exact,
) -> Callable[..., tuple[Tensor, Tensor]]:
    """A round in which D sees real, generated, and in G's turn generated examples changed, or not.

    ``moves``: whether the generator's examples keep their history. ``only``: whether the change is cut out of
    the gradient, as when it is made without one. ``twice``: an augmented example is augmented again.
    """

    def one_round(
        G: Any, D: Any, learn_G: Any, learn_D: Any, augment: Any, x: Tensor, z: Tensor
    ) -> tuple[Tensor, Tensor]:
        made = augment(G(z)) if twice else G(z)
        on_real = D(augment(x) if real else x)
        on_fake = D(augment(made.detach()) if fake else made.detach())
        _descend([learn_D], learn_D, (loss_D := (softplus(-on_real) + softplus(on_fake)).mean()))
        shown = made if moves else made.detach()
        if only:
            shown = shown + (augment(shown) - shown).detach()
        elif again:
            shown = augment(shown)
        loss_G = generator(D(shown)).mean()
        _descend([learn_G] if moves else [], learn_G, loss_G)
        return loss_D.detach(), loss_G.detach()

    return one_round


@exercise(
    "14.8",
    "Augmentation that leaks",
    hints=(
        "Write down what the discriminator sees in its turn, and what in the generator's. Then ask which of "
        "the two networks a gradient reaches.",
        "It sees changed real and unchanged generated examples: the change alone tells them apart. And "
        "detach() cuts the generator off, in both turns.",
        "fake = G(z) keeps its history; D(augment(fake.detach())) in the first turn, D(augment(fake)) in the "
        "second.",
    ),
)
def _augmented_round(answer: Any) -> str:
    still = (
        "the generator does not move: does learn_G step, and does a gradient reach the generator (no detach, "
        "no no_grad) in its turn?"
    )
    leaks = (
        "the discriminator sees changed real and unchanged generated examples in its turn: it will say "
        "“real” of whatever is changed, and the generator learns to make changed examples."
    )
    unseen = (
        "in the generator's turn the discriminator sees unchanged examples, of a kind that it has never seen "
        "in its own."
    )
    _expect_rounds(
        answer,
        _augmented(),
        _augmented(fake=False, again=False, moves=False),
        {
            still: _augmented(moves=False),
            f"{still} And {unseen}": _augmented(again=False, moves=False),
            f"{still} And {leaks}": _augmented(fake=False, moves=False),
            leaks: _augmented(fake=False),
            f"the generator moves now. But {leaks} And {unseen}": _augmented(fake=False, again=False),
            unseen: _augmented(again=False),
            "generated examples are changed now, and real ones no longer: the change still tells them "
            "apart.": _augmented(real=False),
            "nothing is changed any more. That is a game without augmentation.": _augmented(
                real=False, fake=False, again=False
            ),
            "the augmentation is cut out of the gradient. The generator has to learn what its example "
            "becomes: the gradient passes through the change.": _augmented(only=True),
            "generated examples are changed twice, and real ones once: that tells them apart.": (
                _augmented(twice=True)
            ),
            "the generator's sign is wrong: it wants its examples taken for real.": _augmented(
                generator=softplus
            ),
        },
        _bent,
    )
    return "Whatever the discriminator sees is changed, in both turns, and only detach tells the turns apart."
