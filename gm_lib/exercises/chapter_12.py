"""Checks of chapter 12, the minimax game."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from gm_lib.exercises.core import Wrong, call, exercise, expect, expect_close, is_close, number, tensor

# 12.1


@exercise(
    "12.1",
    "The optimal discriminator",
    hints=(
        "Differentiate a·log D + b·log(1 - D) by D: a/D - b/(1 - D). Where is it zero?",
        "D = a/(a + b). Divide numerator and denominator by a: 1/(1 + b/a), and b/a is "
        "exp(log_p_G - log_p). You know this function.",
        "1/(1 + exp(-t)) is the sigmoid of t: torch.sigmoid(log_p - log_p_G).",
    ),
)
def _optimal(answer: Any) -> str:
    log_p = torch.tensor([-1.0, -2.0, 0.5, -3.0, -1.2])
    log_q = torch.tensor([-1.5, -0.5, -2.0, -3.0, 1.0])
    found = tensor(call(answer, log_p, log_q), shape=(5,), name="D")
    right = (log_p - log_q).sigmoid()
    expect_close(
        found,
        right,
        name="D",
        mistakes={
            "this is the probability of being generated, 1 - D: a and b have changed places.": 1 - right,
            "this is the logit of D, log p - log p_G. A probability is asked for: one function is missing.": (
                log_p - log_q
            ),
            "this is the ratio p / p_G. D is p / (p + p_G), between 0 and 1.": (log_p - log_q).exp(),
            "you divided the logarithms. It is the densities that are divided: p / (p + p_G).": (
                log_p / (log_p + log_q)
            ),
            "sigmoid of the ratio p / p_G: the logit of D is the logarithm of the ratio.": (
                (log_p - log_q).exp().sigmoid()
            ),
            "this is p by itself. The discriminator needs to know both densities.": log_p.exp(),
        },
    )
    far = torch.tensor([-1000.0, -1000.0])
    deep = call(answer, far, far - torch.tensor([0.5, -2.0]))
    deep_right = torch.tensor([0.5, -2.0]).sigmoid()
    expect(
        is_close(deep, deep_right),
        "right where the densities are ordinary numbers, but at e^-1000 both are rounded to zero, and their "
        "ratio is lost. Do not leave the logarithms before the ratio is taken.",
    )
    expect_close(tensor(deep, name="D far out"), deep_right, name="D far out")
    return "The logit of the best discriminator is the log-ratio of the densities."


# 12.2


@exercise(
    "12.2",
    "A bound on the Jensen–Shannon divergence",
    hints=(
        "The mean over real samples of log D, plus the mean over generated ones of log(1 - D), estimates V. "
        "What has V to do with JS?",
        "V = 2 JS - log 4 for the best discriminator, so JS = (V + log 4) / 2. And log D is "
        "logsigmoid(logit), log(1 - D) is logsigmoid(-logit).",
        "0.5 * (F.logsigmoid(real_logits).mean() + F.logsigmoid(-fake_logits).mean() + math.log(4)).",
    ),
)
def _js_bound(answer: Any) -> str:
    real, fake = 1 + torch.randn(400), -0.5 + 1.5 * torch.randn(400)
    result = call(answer, real, fake)
    if isinstance(result, Tensor) and result.shape == (400,):
        raise Wrong("this is one number for each pair of samples. The bound is their mean: one number.")
    found = number(result, "the bound")
    v = (logsigmoid(real).mean() + logsigmoid(-fake).mean()).item()
    log_2, log_4 = math.log(2), math.log(4)
    reversed_v = (logsigmoid(-real).mean() + logsigmoid(fake).mean()).item()
    passing_v = (logsigmoid(real).mean() + logsigmoid(fake).mean()).item()
    expect_close(
        found,
        (v + log_4) / 2,
        name="the bound",
        mistakes={
            "this is the value V itself. Solve V = 2 JS - log 4 for JS.": v,
            "the ½ is missing: V + log 4 is 2 JS.": v + log_4,
            "log 4 has to be halved too: V = 2 JS - log 4, and JS = (V + log 4) / 2.": v / 2 + log_4,
            "the sign of log 4 is wrong: the value of a perfect generator is -log 4, and JS is then 0.": (
                (v - log_4) / 2
            ),
            "log 4 is missing: with a discriminator that always says ½, V = -log 4, and the bound is 0.": v
            / 2,
            "the sign is wrong: this takes the discriminator's loss -V for V.": (log_4 - v) / 2,
            "half of log 4 is log 2; you took log 2 for log 4.": (v + log_2) / 2,
            "real and generated have changed places.": (reversed_v + log_4) / 2,
            "log D for the generated ones too? The value has log(1 - D) for them.": (passing_v + log_4) / 2,
            "these are sums over the samples. V is made of two means.": 200 * v + log_2,
            "the sums over the samples are meant to be means: divide by n.": 400 * v + log_4,
            "you divided by all 2n samples. Each of the two means has n.": v / 4 + log_2,
        },
    )
    found = number(call(answer, torch.full((3,), -200.0), torch.full((3,), -200.0)), finite=False)
    expect(
        is_close(found, (-200 + log_4) / 2),
        f"right for moderate logits. But a real sample with the logit -200 has log D = -200, and the bound "
        f"is then {(-200 + log_4) / 2:.2f}; yours is {found:.4g}. log(sigmoid(...)) runs out of digits, and "
        "a small constant inside only hides it.",
    )
    return "A classifier's mean log-likelihood, shifted by a constant, is a bound on a distance."


# 12.3


@exercise(
    "12.3",
    "The generator's best answer",
    hints=(
        "Only the second sum of V contains q: Σ q_i log(1 - D_i). It is an average of five numbers, and you "
        "choose the weights.",
        "An average is smallest when all the weight lies on the smallest number. Which D_i makes "
        "log(1 - D_i) smallest?",
        "All of q on the largest D: F.one_hot(D.argmax(), len(D)).to(D.dtype).",
    ),
)
def _best_answer(answer: Any) -> str:
    D = torch.tensor([0.30, 0.55, 0.62, 0.41, 0.20, 0.58])
    found = tensor(call(answer, D), name="q")
    if found.ndim == 0:
        raise Wrong("this is one number. q is a distribution: a probability for each outcome, shape (K,).")
    expect(
        found.shape != (5,),
        "the check uses another number of outcomes than five: take K from D, len(D). And q depends on D "
        "alone; to copy the data's probabilities is not the best answer.",
    )
    expect_close(
        tensor(found, shape=(6,), name="q"),
        torch.eye(6)[D.argmax()],
        name="q",
        mistakes={
            "this puts everything on the outcome with the smallest D. log(1 - D) is smallest where D is "
            "largest.": torch.eye(6)[D.argmin()],
            "this shares q out in proportion to D. Moving weight from a smaller D to the largest would "
            "lower V further.": D / D.sum(),
            "softmax shares q out. Moving weight from a smaller D to the largest would lower V further.": (
                D.softmax(0)
            ),
            "this ignores the discriminator. Moving weight to the largest D would lower V.": (
                torch.full((6,), 1 / 6)
            ),
        },
    )
    other = torch.tensor([0.5, 0.1, 0.9, 0.2])
    expect_close(tensor(call(answer, other), shape=(4,), name="q for another D"), torch.eye(4)[2], name="q")
    tie = tensor(call(answer, torch.full((3,), 0.5)), shape=(3,), name="q when D is ½ everywhere")
    expect(
        is_close(tie.sum(), 1.0) and bool((tie >= 0).all()),
        f"when several D are the largest, q has to be a distribution all the same; yours adds up to "
        f"{tie.sum().item():.3g}.",
    )
    return "One outcome only: V is linear in q, and a linear function is smallest in a corner."


# 12.4


@exercise(
    "12.4",
    "How hard a sample pulls",
    hints=(
        "With ℓ the logit, log(1 - D) = -softplus(ℓ) and -log D = softplus(-ℓ). The derivative of softplus "
        "is the sigmoid.",
        "The first is -D. In the second the chain rule gives a minus for -ℓ: -sigmoid(-ℓ), that is -(1 - D).",
        "return -torch.sigmoid(logits), -torch.sigmoid(-logits)",
    ),
)
def _pulls(answer: Any) -> str:
    logits = torch.tensor([-4.0, -1.5, -0.3, 0.7, 2.0])
    result = call(answer, logits)
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong("two tensors are needed: the derivative of log(1 - D), then that of -log D.")
    saturating = tensor(result[0], shape=(5,), name="the first derivative")
    other = tensor(result[1], shape=(5,), name="the second derivative")
    D = logits.sigmoid()
    right = (-D, D - 1)
    if is_close(saturating, right[1]) and is_close(other, right[0]):
        raise Wrong("both are right, in the other order: first log(1 - D), then -log D.")
    if is_close(saturating, -right[0]) and is_close(other, -right[1]):
        raise Wrong(
            "both signs are wrong. Both losses fall when the logit rises: the generator wants to pass."
        )
    expect_close(
        saturating,
        right[0],
        name="the derivative of log(1 - D)",
        mistakes={
            "the first has the wrong sign: log(1 - D) falls when the logit rises.": D,
            "the first is a derivative by D. By the logit there is one more factor, dD/dℓ = D(1 - D).": (
                -1 / (1 - D)
            ),
            "the first is dD/dℓ = D(1 - D) alone: the derivative of the logarithm is missing.": D * (1 - D),
            "the first is the loss itself, not its derivative.": -softplus(logits),
        },
    )
    expect_close(
        other,
        right[1],
        name="the derivative of -log D",
        mistakes={
            "the second has the wrong sign: -log D falls when the logit rises.": 1 - D,
            "the second is a derivative by D. By the logit there is one more factor, dD/dℓ = D(1 - D).": -1
            / D,
            "the second is -D again. Where the discriminator is sure that a sample is generated, D = 0, "
            "-log D has to pull hardest.": -D,
            "the second is the loss itself, not its derivative.": softplus(-logits),
        },
    )
    extreme = call(answer, torch.tensor([-200.0, 200.0]))
    expect(
        all(bool(torch.as_tensor(part).isfinite().all()) for part in extreme)
        and is_close(extreme[0], [0.0, -1.0])
        and is_close(extreme[1], [-1.0, 0.0]),
        "right for moderate logits, but at ±200 it is not: an exponential overflows there, or a division by "
        "D or 1 - D fails, which are 0 or 1 to the last digit. Simplify until a sigmoid is left.",
    )
    return "One pulls with D, the other with 1 - D."


# 12.5

_KINDS = {
    "a": "minimax",
    "b": "non-saturating",
    "c": "wrong",
    "d": "non-saturating",
    "e": "minimax",
    "f": "wrong",
}
_WHY = {
    "a": "logsigmoid(-ℓ) is log(1 - D), since 1 - sigmoid(ℓ) = sigmoid(-ℓ).",
    "b": "logsigmoid(ℓ) is log D, and there is a minus in front of it.",
    "c": "softplus(ℓ) is -log(1 - D): it is smallest when D is near 0.",
    "d": "cross-entropy against ones is -log D: the generator asks to be called real.",
    "e": "cross-entropy against zeros is -log(1 - D), and there is a minus in front of it.",
    "f": "softplus(-ℓ) is -log D, and the minus in front turns it round: minimizing it makes D small.",
}


@exercise(
    "12.5",
    "Which loss is it?",
    hints=(
        "Write each line in terms of D: logsigmoid(ℓ) = log D, softplus(-ℓ) = -log D, and "
        "softplus(ℓ) = -log(1 - D).",
        "Then ask what happens when the line is made small: does D(G(z)) go up or down? Down is wrong.",
        "Cross-entropy against ones is -log D, against zeros -log(1 - D). Two are minimax, two are "
        "non-saturating, two are wrong.",
    ),
)
def _which(answer: Any) -> str:
    if not isinstance(answer, dict):
        raise Wrong('a dictionary is needed: {"a": "…", "b": "…", …} with the words in quotation marks.')
    missing = [letter for letter in _KINDS if letter not in answer]
    expect(not missing, f"missing: {', '.join(missing)}. Each of the letters a to f needs a word.")
    words = {letter: str(answer[letter]).strip().lower().replace("_", "-") for letter in _KINDS}
    known = set(_KINDS.values())
    for letter, word in words.items():
        expect(word in known, f'{letter}: "{word}" is none of "minimax", "non-saturating", "wrong".')
    if all((words[k] == "wrong") == (_KINDS[k] == "wrong") for k in _KINDS) and all(
        words[k] != _KINDS[k] for k in _KINDS if _KINDS[k] != "wrong"
    ):
        raise Wrong('the wrong ones are found, but the two names are exchanged: -log D is "non-saturating".')
    off = [letter for letter in _KINDS if words[letter] != _KINDS[letter]]
    if off:
        first = off[0]
        more = f" ({len(off)} of six are not right yet.)" if len(off) > 1 else ""
        raise Wrong(f'{first} is not "{words[first]}": {_WHY[first]}{more}')
    return "All six. Reading the sign beats finding it out after a night of training."


# 12.6


@exercise(
    "12.6",
    "One round of the game",
    hints=(
        "Two blocks. In a loop over range(k): the discriminator's loss, zero_grad, backward, step, all with "
        "its own optimizer. After the loop the same for the generator.",
        "The discriminator's loss is softplus(-discriminator(real())) + softplus(discriminator(fake)), its "
        "mean; detach the fake samples. The generator's is softplus(-discriminator(generator(noise()))), "
        "with new noise.",
        "for _ in range(k): fake = generator(noise()).detach(); loss_D = …; learn_D.zero_grad(); "
        "loss_D.backward(); learn_D.step(). Then loss_G with learn_G, and return both.",
    ),
    seconds=30.0,  # a session's first optimizer makes PyTorch load more of itself
)
def _round(answer: Any) -> str:
    for k in (1, 3):
        found, drawn = _play(answer, k)
        right, _ = _play(_one_round, k)
        if _same(found, right):
            _expect_losses(found, right)
            continue
        if drawn["noise"] == 0 or drawn["real"] == 0:
            raise Wrong("a round needs real samples and noise: call real() and noise().")
        for message, mistaken in _MISTAKEN_ROUNDS:
            if _same(found, _play(mistaken, k)[0]):
                raise Wrong(message)
        _blame(found, right, drawn, k)
    return "Each player in turn, each by its own optimizer."


def _blame(found: dict[str, Any], right: dict[str, Any], drawn: dict[str, int], k: int) -> None:
    """Say which part of a round is wrong when it is none of the known mistakes."""
    if drawn["real"] < k:
        raise Wrong(
            f"with k = {k} real() was called {_times(drawn['real'])}: each step of the discriminator needs a "
            "new batch."
        )
    if drawn["noise"] != k + 1:
        raise Wrong(
            f"with k = {k} noise() was called {_times(drawn['noise'])}; {_steps(k)} of the discriminator and "
            f"one of the generator need {k + 1} batches of it."
        )
    if not _close(found["first_D"], right["first_D"]):
        raise Wrong(
            f"with k = {k} the discriminator does not end where it should. Its loss is the mean of "
            "softplus(-discriminator(real())) + softplus(discriminator(fake)), on logits, and its gradient "
            "is set to zero before each backward()."
        )
    expect(
        found["generator_moved"],
        "the discriminator is right, but the generator does not move. In its own step nothing is detached: "
        "the gradient comes to it through the discriminator.",
    )
    if not _close(found["first_G"], right["first_G"]):
        raise Wrong(
            f"the discriminator is right, but with k = {k} the generator does not end where it should: one "
            "step on the mean of softplus(-discriminator(generator(noise())))."
        )
    raise Wrong(
        "the first round is right, and a second one after it is not: a gradient is left over. Call "
        "zero_grad() for each network just before its own backward()."
    )


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _steps(k: int) -> str:
    return "one step" if k == 1 else f"{k} steps"


class _Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)


def _play(one_round: Callable[..., Any], k: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Let ``one_round`` play twice from the same start; return where both end, and what was drawn."""
    rng = torch.Generator().manual_seed(0)
    discriminator, generator = _Discriminator(), nn.Linear(3, 2)
    with torch.no_grad():
        for weight in [*discriminator.parameters(), *generator.parameters()]:
            weight.copy_(torch.randn(weight.shape, generator=rng))
    # A momentum would hide a forgotten zero_grad in part; plain steps show every mistake.
    learn_D = torch.optim.SGD(discriminator.parameters(), lr=0.3)
    learn_G = torch.optim.SGD(generator.parameters(), lr=0.2)
    drawn = {"real": 0, "noise": 0}

    def draw(name: str, width: int) -> Callable[[], Tensor]:
        def batch() -> Tensor:
            drawn[name] += 1
            own = torch.Generator().manual_seed(1000 * width + drawn[name])
            return torch.randn(16, width, generator=own) + (2.0 if name == "real" else 0.0)

        return batch

    start = _weights(generator)
    players = discriminator, generator, learn_D, learn_G, draw("real", 2), draw("noise", 3)
    for once in range(2):
        losses = call(one_round, *players, k)
        if once == 0:
            first = dict(drawn)
            state: dict[str, Any] = {"first_D": _weights(discriminator), "first_G": _weights(generator)}
    state |= {
        "D": _weights(discriminator),
        "G": _weights(generator),
        "losses": losses,
        "generator_moved": not _close(state["first_G"], start),
    }
    return state, first


def _weights(player: nn.Module) -> list[Tensor]:
    return [w.detach().clone() for w in player.parameters()]


def _close(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(is_close(x, y, rtol=1e-4, atol=1e-5) for x, y in zip(a, b, strict=True))


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return _close(a["D"], b["D"]) and _close(a["G"], b["G"])


def _expect_losses(found: dict[str, Any], right: dict[str, Any]) -> None:
    losses = found["losses"]
    if not isinstance(losses, tuple | list) or len(losses) != 2:
        raise Wrong("the players end where they should. Return both losses: (loss_D, loss_G).")
    given = [float(torch.as_tensor(loss).detach()) for loss in losses]
    wanted = [float(loss) for loss in right["losses"]]
    if is_close(given, wanted[::-1]) and not is_close(given, wanted):
        raise Wrong(
            "the players end where they should; the losses are in the wrong order: the discriminator's first."
        )
    expect(
        is_close(given, wanted),
        f"the players end where they should, but the losses should be {wanted[0]:.4g} and {wanted[1]:.4g}, "
        f"and are {given[0]:.4g} and {given[1]:.4g}.",
    )


def _one_round(
    discriminator: Any,
    generator: Any,
    learn_D: Any,
    learn_G: Any,
    real: Any,
    noise: Any,
    k: int,
    *,
    zero_D: bool = True,
    zero_G: bool = True,
    zero_after: bool = False,
    detach: bool = True,
    loss_of_D: Callable[[Tensor, Tensor], Tensor] = lambda r, f: softplus(-r) + softplus(f),
    loss_of_G: Callable[[Tensor], Tensor] = lambda logits: softplus(-logits),
    steps_of_D: Callable[[int], int] = lambda k: k,
    steps_of_G: Callable[[int], int] = lambda k: 1,
    generator_first: bool = False,
    both_move: bool = False,
    zero_D_again: bool = True,
    same_real: bool = False,
    reduce: Callable[[Tensor], Tensor] = torch.mean,
) -> tuple[Tensor, Tensor]:
    """A round as exercise 12.6 asks for it, or with one of the known mistakes."""
    batch = real() if same_real else None

    def generator_step() -> Tensor:
        loss = reduce(loss_of_G(discriminator(generator(noise()))))
        if zero_G:
            learn_G.zero_grad()
        if both_move and zero_D_again:
            learn_D.zero_grad()
        loss.backward()
        learn_G.step()
        if both_move:
            learn_D.step()
        return loss.detach()

    if generator_first:
        loss_G = generator_step()
    for _ in range(steps_of_D(k)):
        fake = generator(noise())
        if detach:
            fake = fake.detach()
        on_real = discriminator(real() if batch is None else batch)
        loss_D = reduce(loss_of_D(on_real, discriminator(fake)))
        if zero_D and not zero_after:
            learn_D.zero_grad()
        loss_D.backward()
        learn_D.step()
        if zero_after:
            learn_D.zero_grad()
    if not generator_first:
        for _ in range(steps_of_G(k)):
            loss_G = generator_step()
    return loss_D.detach(), loss_G


def _mistaken(**mistake: Any) -> Callable[..., Any]:
    def one_round(
        discriminator: Any, generator: Any, learn_D: Any, learn_G: Any, real: Any, noise: Any, k: int
    ) -> Any:
        return _one_round(discriminator, generator, learn_D, learn_G, real, noise, k, **mistake)

    return one_round


_NEVER_ZERO = (
    "gradients accumulate in both networks: zero_grad() is missing. Call learn_D.zero_grad() before the "
    "discriminator's backward(), and learn_G.zero_grad() before the generator's."
)
_BOTH_MOVE = (
    "the discriminator moves in the generator's step too, and helps it. Only learn_G.step() belongs there."
)
_MISTAKEN_ROUNDS = (
    (
        "the discriminator's gradients accumulate: learn_D.zero_grad() is missing before its backward().",
        _mistaken(zero_D=False),
    ),
    (_NEVER_ZERO, _mistaken(zero_D=False, zero_G=False)),
    (_NEVER_ZERO, _mistaken(zero_D=False, zero_G=False, detach=False)),
    (
        "the generator's gradients accumulate: learn_G.zero_grad() is missing before its backward().",
        _mistaken(zero_G=False),
    ),
    (
        "the generator's backward() leaves a gradient in the discriminator too, and the discriminator's next "
        "step uses it. Call learn_D.zero_grad() just before the discriminator's own backward().",
        _mistaken(zero_after=True),
    ),
    (
        "the generator also feels the discriminator's loss: its gradient was never set to zero before its "
        "own backward().",
        _mistaken(zero_G=False, detach=False),
    ),
    (
        "this generator minimizes log(1 - D). The task asks for -log D, softplus(-logits).",
        _mistaken(loss_of_G=lambda logits: -softplus(logits)),
    ),
    (
        "this generator learns to be caught: softplus(logits) is -log(1 - D). It wants softplus(-logits).",
        _mistaken(loss_of_G=softplus),
    ),
    (
        "this generator maximizes -log D: the sign is wrong.",
        _mistaken(loss_of_G=lambda logits: -softplus(-logits)),
    ),
    (
        "the discriminator's labels are exchanged: it learns to call generated samples real.",
        _mistaken(loss_of_D=lambda r, f: softplus(r) + softplus(-f)),
    ),
    (
        "the discriminator's loss has the wrong sign: it minimizes V, and should maximize it.",
        _mistaken(loss_of_D=lambda r, f: -softplus(-r) - softplus(f)),
    ),
    (
        "the discriminator's loss is halved. Sum the means over real and over generated samples.",
        _mistaken(loss_of_D=lambda r, f: 0.5 * (softplus(-r) + softplus(f))),
    ),
    ("the generator takes k steps too. It takes one.", _mistaken(steps_of_G=lambda k: k)),
    ("the discriminator takes one step, whatever k is.", _mistaken(steps_of_D=lambda k: 1)),
    ("the generator moved first. The discriminator's k steps come first.", _mistaken(generator_first=True)),
    (_BOTH_MOVE, _mistaken(both_move=True)),
    (_BOTH_MOVE, _mistaken(both_move=True, zero_D_again=False)),
    (
        "the discriminator sees the same real samples in all its steps: call real() anew in each.",
        _mistaken(same_real=True),
    ),
    (
        "the losses are summed over the batch. Take means, or the step size depends on the batch size.",
        _mistaken(reduce=torch.sum),
    ),
)


# 12.7


@exercise(
    "12.7",
    "Taking turns on xy",
    hints=(
        "The slope of x·y in x is y; x goes down it: x - eta * y. The slope in y is x; y goes up.",
        "In turns: y's step uses the x that has just moved.",
        "x = x - eta * y; then y = y + eta * x; return x, y.",
    ),
)
def _in_turns(answer: Any) -> str:
    x, y, eta = 1.3, -0.7, 0.2
    result = call(answer, x, y, eta)
    expect(isinstance(result, tuple | list) and len(result) == 2, "return two numbers: the new x and y.")
    found = [number(value, name) for value, name in zip(result, ("x", "y"), strict=True)]
    new_x = x - eta * y
    new_y = y + eta * x
    expect_close(
        found,
        [new_x, y + eta * new_x],
        name="(x, y)",
        mistakes={
            "this is both at once: y moved by the old x. In turns it sees the x that has just moved.": [
                new_x,
                new_y,
            ],
            "y moved first, and x after it. x comes first.": [x - eta * new_y, new_y],
            "both go down: y wants xy large.": [new_x, y - eta * new_x],
            "both go up: x wants xy small.": [x + eta * y, y + eta * (x + eta * y)],
            "the signs are exchanged: x wants xy small, y wants it large.": [
                x + eta * y,
                y - eta * (x + eta * y),
            ],
            "each moves by its own place. The slope of x·y in x is y.": [x - eta * x, y + eta * y],
        },
    )
    return "x² + y² - η·xy stays what it was."
