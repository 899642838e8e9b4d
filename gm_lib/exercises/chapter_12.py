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
            "this is the probability of being forged: a and b have changed places.": 1 - right,
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
            "this is p by itself. The judge needs to know both densities.": log_p.exp(),
        },
    )
    far = torch.tensor([-1000.0, -1000.0])
    deep = call(answer, far, far - torch.tensor([0.5, -2.0]))
    deep_right = torch.tensor([0.5, -2.0]).sigmoid()
    expect(
        is_close(deep, deep_right),
        "right where the densities are ordinary numbers, but at e^-1000 both are rounded to zero, and 0/0 is "
        "nothing. Do not leave the logarithms before the ratio is taken.",
    )
    expect_close(tensor(deep, name="D far out"), deep_right, name="D far out")
    return "The logit of the best judge is the log-ratio of the densities."


# 12.2


@exercise(
    "12.2",
    "A bound on the Jensen–Shannon divergence",
    hints=(
        "The mean over real samples of log D, plus the mean over forged ones of log(1 - D), estimates V. "
        "How does V hang together with JS?",
        "V = 2 JS - log 4 for the best judge, so JS = (V + log 4) / 2. And log D = logsigmoid(logit), "
        "log(1 - D) = logsigmoid(-logit).",
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
            "the sign of log 4 is wrong: the value of a perfect forger is -log 4, and JS is then 0.": (
                (v - log_4) / 2
            ),
            "log 4 is missing: with a judge who tosses a coin, V = -log 4, the bound should be 0.": v / 2,
            "the sign is wrong: this takes the judge's loss -V for V.": (log_4 - v) / 2,
            "half of log 4 is log 2; you took log 2 for log 4.": (v + log_2) / 2,
            "real and forged have changed places.": (reversed_v + log_4) / 2,
            "log D for the forged ones too? The judge is paid log(1 - D) for them.": (passing_v + log_4) / 2,
        },
    )
    found = number(call(answer, torch.full((3,), -200.0), torch.full((3,), -200.0)), finite=False)
    expect(
        is_close(found, (-200 + log_4) / 2),
        f"right for moderate logits. But a real sample with the logit -200 has log D = -200, and the bound "
        f"is then {(-200 + log_4) / 2:.2f}; yours is {found:.4g}. log(sigmoid(...)) runs out of digits, and "
        "a small constant inside only hides it.",
    )
    return "A classifier's mean log-likelihood is a bound on a distance."


# 12.3


@exercise(
    "12.3",
    "The forger's best answer",
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
        raise Wrong("this is one number. q is a distribution: a probability for each thing, shape (K,).")
    expect_close(
        tensor(found, shape=(6,), name="q"),
        torch.eye(6)[D.argmax()],
        name="q",
        mistakes={
            "this puts everything on the thing that the judge trusts least. log(1 - D) is smallest where D "
            "is largest.": torch.eye(6)[D.argmin()],
            "this shares q out in proportion to D. Moving weight from a smaller D to the largest would "
            "lower V further.": D / D.sum(),
            "softmax shares q out. Moving weight from a smaller D to the largest would lower V further.": (
                D.softmax(0)
            ),
            "this is a forger that ignores the judge. Moving weight to the largest D would lower V.": (
                torch.full((6,), 1 / 6)
            ),
        },
    )
    other = torch.tensor([0.5, 0.1, 0.9, 0.2])
    expect_close(
        tensor(call(answer, other), shape=(4,), name="q for another judge"), torch.eye(4)[2], name="q"
    )
    tie = tensor(call(answer, torch.full((3,), 0.5)), shape=(3,), name="q when the judge says ½ to all")
    expect(
        is_close(tie.sum(), 1.0) and bool((tie >= 0).all()),
        f"when several D are the largest, q has to be a distribution all the same; yours adds up to "
        f"{tie.sum().item():.3g}.",
    )
    return "One thing only: V is linear in q, and a linear function is smallest in a corner."


# 12.4


@exercise(
    "12.4",
    "How hard a forgery pulls",
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
            "both signs are wrong. Both losses fall when the logit rises: the forger wants the judge to "
            "believe."
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
            "the second is -D again. Where the judge is sure, D = 0, -log D has to pull hardest.": -D,
            "the second is the loss itself, not its derivative.": softplus(-logits),
        },
    )
    extreme = call(answer, torch.tensor([-200.0, 200.0]))
    expect(
        all(bool(torch.as_tensor(part).isfinite().all()) for part in extreme)
        and is_close(extreme[0], [0.0, -1.0])
        and is_close(extreme[1], [-1.0, 0.0]),
        "right for moderate logits, but at ±200 it is not: D there is 0 or 1 to the last digit, and a "
        "division by it fails. Simplify first.",
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
    "a": "softplus(ℓ) is -log(1 - D), and there is a minus in front of it.",
    "b": "softplus(-ℓ) is -log D.",
    "c": "softplus(ℓ) is -log(1 - D): it is smallest when the judge is sure that it is forged.",
    "d": "cross-entropy against ones is -log D: the forger asks to be called real.",
    "e": "cross-entropy against zeros is -log(1 - D), and there is a minus in front of it.",
    "f": "logsigmoid(ℓ) is log D, without the minus: minimizing it makes D small.",
}


@exercise(
    "12.5",
    "Which loss is it?",
    hints=(
        "Write each line in terms of D: softplus(-ℓ) = -log D and softplus(ℓ) = -log(1 - D).",
        "Then ask what happens when the line is made small: does D(G(z)) go up or down? Down is wrong.",
        "Cross-entropy against ones is -log D, against zeros -log(1 - D). Two are minimax, two are "
        "non-saturating, two are wrong.",
    ),
)
def _which(answer: Any) -> str:
    if not isinstance(answer, dict):
        raise Wrong('a dictionary is needed: {"a": "…", "b": "…", …} with the words in quotation marks.')
    missing = [letter for letter in _KINDS if letter not in answer]
    expect(not missing, f"{', '.join(missing)} is missing: each of the letters a to f needs a word.")
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
        "Two blocks. In a loop over range(k): loss of the judge, zero_grad, backward, step, all with the "
        "judge's optimizer. After the loop the same for the forger.",
        "The judge's loss is softplus(-judge(real())) + softplus(judge(forged)), its mean; detach the forged "
        "samples. The forger's is softplus(-judge(forger(noise()))), with new noise.",
        "for _ in range(k): forged = forger(noise()).detach(); judge_loss = …; learn_judge.zero_grad(); "
        "judge_loss.backward(); learn_judge.step(). Then forger_loss with learn_forger, and return both.",
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
        for message, mistaken in _MISTAKEN_ROUNDS.items():
            if _same(found, _play(mistaken, k)[0]):
                raise Wrong(message)
        if drawn["real"] < k:
            raise Wrong(
                f"with k = {k} real() was called {drawn['real']} times: each step of the judge needs a "
                "new batch."
            )
        if drawn["noise"] != k + 1:
            raise Wrong(
                f"with k = {k} noise() was called {drawn['noise']} times; k steps of the judge and one of "
                f"the forger need {k + 1} batches of it."
            )
        if not _close(found["first_judge"], right["first_judge"]):
            raise Wrong(
                f"with k = {k} the judge does not end where it should. Its loss is the mean of "
                "softplus(-judge(real)) + softplus(judge(forged)), and its gradient is set to zero before "
                "each backward()."
            )
        expect(
            found["forger_moved"],
            "the judge is right, but the forger does not move. In its own step nothing is detached: the "
            "gradient comes to it through the judge.",
        )
        raise Wrong(
            f"the judge is right, but with k = {k} the forger does not end where it should: one step "
            "on the mean of softplus(-judge(forger(noise())))."
        )
    return "Each player in turn, each by its own optimizer."


class _Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(-1)


def _play(one_round: Callable[..., Any], k: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Let ``one_round`` play twice from the same start; return where the players end, and what was drawn."""
    generator = torch.Generator().manual_seed(0)
    judge, forger = _Judge(), nn.Linear(3, 2)
    with torch.no_grad():
        for weight in [*judge.parameters(), *forger.parameters()]:
            weight.copy_(torch.randn(weight.shape, generator=generator))
    # A momentum would hide a forgotten zero_grad in part; plain steps show every mistake.
    optimizers = torch.optim.SGD(judge.parameters(), lr=0.3), torch.optim.SGD(forger.parameters(), lr=0.2)
    drawn = {"real": 0, "noise": 0}

    def draw(name: str, width: int) -> Callable[[], Tensor]:
        def batch() -> Tensor:
            drawn[name] += 1
            own = torch.Generator().manual_seed(1000 * width + drawn[name])
            return torch.randn(16, width, generator=own) + (2.0 if name == "real" else 0.0)

        return batch

    start = _weights(forger)
    for once in range(2):
        losses = call(one_round, judge, forger, *optimizers, draw("real", 2), draw("noise", 3), k)
        if once == 0:
            first, first_judge, forger_moved = (
                dict(drawn),
                _weights(judge),
                not _close(_weights(forger), start),
            )
    state = {
        "judge": _weights(judge),
        "forger": _weights(forger),
        "losses": losses,
        "first_judge": first_judge,
        "forger_moved": forger_moved,
    }
    return state, first


def _weights(player: nn.Module) -> list[Tensor]:
    return [w.detach().clone() for w in player.parameters()]


def _close(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(is_close(x, y, rtol=1e-4, atol=1e-5) for x, y in zip(a, b, strict=True))


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return _close(a["judge"], b["judge"]) and _close(a["forger"], b["forger"])


def _expect_losses(found: dict[str, Any], right: dict[str, Any]) -> None:
    losses = found["losses"]
    if not isinstance(losses, tuple | list) or len(losses) != 2:
        raise Wrong("the players end where they should. Return both losses: (judge_loss, forger_loss).")
    given = [float(torch.as_tensor(loss).detach()) for loss in losses]
    wanted = [float(loss) for loss in right["losses"]]
    if is_close(given, wanted[::-1]) and not is_close(given, wanted):
        raise Wrong(
            "the players end where they should; the losses are in the wrong order: the judge's first."
        )
    expect(
        is_close(given, wanted),
        f"the players end where they should, but the losses should be {wanted[0]:.4g} and {wanted[1]:.4g}, "
        f"and are {given[0]:.4g} and {given[1]:.4g}.",
    )


def _one_round(
    judge: Any,
    forger: Any,
    learn_judge: Any,
    learn_forger: Any,
    real: Any,
    noise: Any,
    k: int,
    *,
    keep_judge_gradient: bool = False,
    keep_forger_gradient: bool = False,
    forger_pays: Callable[[Tensor], Tensor] = lambda logits: softplus(-logits),
    judge_pays: Callable[[Tensor, Tensor], Tensor] = lambda r, f: softplus(-r) + softplus(f),
    forger_steps: Callable[[int], int] = lambda k: 1,
    judge_steps: Callable[[int], int] = lambda k: k,
    forger_first: bool = False,
    judge_moves_too: bool = False,
    same_real: bool = False,
    reduce: Callable[[Tensor], Tensor] = torch.mean,
) -> tuple[Tensor, Tensor]:
    """A round as exercise 12.6 asks for it, or with one of the known mistakes."""
    batch = real() if same_real else None

    def forger_step() -> Tensor:
        loss = reduce(forger_pays(judge(forger(noise()))))
        if not keep_forger_gradient:
            learn_forger.zero_grad()
        if judge_moves_too:
            learn_judge.zero_grad()
        loss.backward()
        learn_forger.step()
        if judge_moves_too:
            learn_judge.step()
        return loss.detach()

    if forger_first:
        forger_loss = forger_step()
    for _ in range(judge_steps(k)):
        forged = forger(noise())
        if not keep_forger_gradient:
            forged = forged.detach()
        judge_loss = reduce(judge_pays(judge(real() if batch is None else batch), judge(forged)))
        if not keep_judge_gradient:
            learn_judge.zero_grad()
        judge_loss.backward()
        learn_judge.step()
    if not forger_first:
        for _ in range(forger_steps(k)):
            forger_loss = forger_step()
    return judge_loss.detach(), forger_loss


def _mistaken(**mistake: Any) -> Callable[..., Any]:
    def one_round(
        judge: Any, forger: Any, learn_judge: Any, learn_forger: Any, real: Any, noise: Any, k: int
    ) -> Any:
        return _one_round(judge, forger, learn_judge, learn_forger, real, noise, k, **mistake)

    return one_round


_MISTAKEN_ROUNDS = {
    "the judge's gradients pile up: learn_judge.zero_grad() is missing before its backward().": _mistaken(
        keep_judge_gradient=True
    ),
    "the forger also feels the judge's loss: its gradient was never set to zero before its own "
    "backward().": _mistaken(keep_forger_gradient=True),
    "this forger minimizes log(1 - D). The task asks for -log D, softplus(-logits).": _mistaken(
        forger_pays=lambda logits: -softplus(logits)
    ),
    "this forger learns to be caught: softplus(logits) is -log(1 - D). It wants "
    "softplus(-logits).": _mistaken(forger_pays=softplus),
    "this forger maximizes -log D: the sign is wrong.": _mistaken(
        forger_pays=lambda logits: -softplus(-logits)
    ),
    "the judge's labels are exchanged: it learns to call forgeries real.": _mistaken(
        judge_pays=lambda r, f: softplus(r) + softplus(-f)
    ),
    "the judge's loss has the wrong sign: it minimizes V, and should maximize it.": _mistaken(
        judge_pays=lambda r, f: -softplus(-r) - softplus(f)
    ),
    "the judge's loss is halved. Sum the means over real and over forged samples.": _mistaken(
        judge_pays=lambda r, f: 0.5 * (softplus(-r) + softplus(f))
    ),
    "the forger takes k steps too. It takes one.": _mistaken(forger_steps=lambda k: k),
    "the judge takes one step, whatever k is.": _mistaken(judge_steps=lambda k: 1),
    "the forger moved first. The judge's k steps come first.": _mistaken(forger_first=True),
    "the judge moves in the forger's step too, and helps it. Only learn_forger.step() there.": _mistaken(
        judge_moves_too=True
    ),
    "the judge sees the same real samples in all its steps: call real() anew in each.": _mistaken(
        same_real=True
    ),
    "the losses are summed over the batch. Take means, or the step size depends on the batch "
    "size.": _mistaken(reduce=torch.sum),
}


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
