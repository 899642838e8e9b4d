"""Checks of chapter 10, blur and collapse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from gm_lib.data import dequantize, images
from gm_lib.distributions.estimates import estimate
from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    call,
    choices,
    describe,
    exercise,
    expect,
    expect_function,
    is_close,
    number,
    predicted,
    tensor,
)

# 10.1


@exercise(
    "10.1",
    "How far apart two tossed neighbours are",
    hints=(
        "The two tosses are 0 or 1. Which values can (a - b)² take?",
        "It is 1 when they differ and 0 when they agree: its mean is the probability that they differ.",
        "They differ as (1, 0) or as (0, 1): p(1 - q) + (1 - p)q.",
    ),
)
def _tossed_energy(answer: Any) -> str:
    once, again = (number(call(answer, 0.37, 0.81), "the result at p = 0.37, q = 0.81") for _ in range(2))
    expect(
        once == again,
        "your function gives another number at each call. A simulation is a good test; here the formula is "
        "asked for.",
    )
    expect_function(
        answer,
        lambda p, q: p + q - 2 * p * q,
        [
            {"p": p, "q": q}
            for p, q in ((0.37, 0.81), (0.5, 0.5), (0.0, 1.0), (1.0, 1.0), (0.9, 0.2), (0.0, 0.0), (0.0, 0.6))
        ],
        read=lambda value: number(value, "the result"),
        mistakes={
            "this is the squared difference of the means. Even two pixels with the same probability differ "
            "in many tosses.": lambda p, q: (p - q) ** 2,
            "only one of the two ways to differ: the first can be black and the second white, too.": (
                lambda p, q: p * (1 - q)
            ),
            "only one of the two ways to differ: the first can be white and the second black, too.": (
                lambda p, q: q * (1 - p)
            ),
            "these are the two variances. The means differ as well: (p - q)² is missing.": (
                lambda p, q: p * (1 - p) + q * (1 - q)
            ),
            "a b is 1 only if both are white, and it comes twice in (a - b)²: 2pq.": lambda p, q: (
                p + q - p * q
            ),
            "E a² + E b² is p + q. The square has a third term, -2ab, with a mean of its own.": lambda p, q: (
                p + q
            ),
            "this is the mean of 2ab. The square has two more terms, a² and b².": lambda p, q: 2 * p * q,
            "this is the probability that they agree.": lambda p, q: 1 - p - q + 2 * p * q,
            "this is the difference of p and q, without its sign; the tosses are 0 or 1.": (
                lambda p, q: abs(p - q)
            ),
            "this is the root of the answer. The mean of (a - b)² is asked for.": lambda p, q: math.sqrt(
                p + q - 2 * p * q
            ),
        },
    )
    return (
        "p + q - 2pq = (p - q)² + p(1 - p) + q(1 - q): the energy of the means, and the variance of both "
        "tosses. That is why draws are rougher than means, and the more so the greyer the means are."
    )


# 10.2


@exercise(
    "10.2",
    "Other pixels, another β",
    hints=(
        "By what does a squared error grow when all values are doubled? Does the KL change?",
        "The model is set by σ²β, and an axis is kept or dropped by comparing that with its variance λ.",
        "On the new scale every λ is four times as large. σ²β has to be, too, and σ stays.",
    ),
)
def _another_scale(answer: Any) -> str:
    prediction, outcome = predicted("10.2", answer, lambda given: number(given, "your prediction"))
    found = number(outcome, "what the experiment returns")
    expect(
        found == 4.0,
        f"the experiment gives β = {found:g}, which it cannot as it was given: was it changed? Bring it "
        "back.",
    )
    for value, message in (
        (1.0, "β = 1 does not give the old images: the squared error has grown, and the KL has not"),
        (2.0, "the differences are doubled, but it is their squares that are weighed against the KL"),
        (0.25, "that is upside down: the squared error counts more now, so the KL has to count more, too"),
        (0.5, "that is upside down, and differences enter as squares"),
        (
            16.0,
            "the squared error has four times its size, and one square is all that there is: no fourth power",
        ),
    ):
        if math.isclose(prediction, value, rel_tol=1e-6):
            raise Wrong(f"{message}. The experiment gives {found:g}.")
    expect(
        math.isclose(prediction, found, rel_tol=1e-6),
        f"you predicted {prediction:g}, the experiment gives {found:g}. Doubled values have four times the "
        "squared error, and the KL is what it was.",
    )
    return (
        "Twice the values, four times the squared error: σ²β has to grow by four. A σ, a β or a weight of "
        "the KL means nothing without the scale of the pixels."
    )


# 10.3


def _loss(
    terms: float | None = None,
    constants: float | None = None,
    scale: Any = lambda squares, log_sigma: squares / (2 * math.exp(2 * log_sigma)),
) -> Any:
    """A loss that counts log σ and the constant so many times; None: once for each value of an image."""

    def loss(x: Tensor, mean: Tensor, log_sigma: Any, kl: Tensor) -> Tensor:
        dims, log_sigma = x.shape[1], float(log_sigma)
        reconstruction = scale((x - mean).square().sum(1), log_sigma)
        reconstruction = reconstruction + (dims if terms is None else terms) * log_sigma
        constant = dims if constants is None else constants
        return (reconstruction + 0.5 * constant * math.log(2 * math.pi) + kl).mean()

    return loss


@exercise(
    "10.3",
    "A width that is learned too wide",
    hints=(
        "28² is 784. What is there 784 times in one of the terms, and only once in another?",
        "-log p of an image is a sum over its values. Each of them brings a squared error, and what else?",
        "Each value has a density of its own, with log σ + ½ log 2π: D times that.",
    ),
)
def _learned_width(answer: Any) -> str:
    cases = []
    for n, dims, log_sigma in ((5, 784, -1.5), (1, 12, 0.4), (3, 30, 0.0), (4, 100, -3.0)):
        x, off = torch.rand(n, dims), 0.3 * torch.randn(n, dims)
        given = {"x": x, "mean": x + off, "log_sigma": torch.tensor(log_sigma), "kl": 20 * torch.rand(n)}
        cases.append(given)
    shape = tensor(call(answer, *cases[0].values()), name="the loss", nan=True).shape
    expect(
        tuple(shape) != (5,),
        "this is one number for each image. The loss is one: take the mean over the batch.",
    )
    expect_function(
        answer,
        _loss(),
        cases,
        name="the loss",
        unchanged=_loss(terms=1, constants=1),
        mistakes={
            "log σ is counted D times now, but ½ log 2π only once. It is a constant and moves no optimum; "
            "the loss is no -ELBO in nats without it, though.": _loss(constants=1),
            "½ log 2π is counted D times now, but log σ, which is what pulls σ down, still once.": _loss(
                terms=1
            ),
            "½ log 2π has gone. It is a constant and moves no optimum, but the loss is to be -ELBO.": (
                _loss(constants=0)
            ),
            "log σ has gone: then σ grows without end.": _loss(terms=0),
            "D is not 784 for all images: take it from x.": _loss(terms=784, constants=784),
            "len(x) is the number of images. D is how many values one of them has, x.shape[1].": _by_images,
            "the KL has gone: the loss is to be -ELBO.": _without_kl,
            "this is the sum over the batch. The loss is the mean over it.": _summed,
            "this is -ELBO per value, -ELBO divided by D. Nats per image are asked for.": _per_value,
            "this is D times log σ², twice too much. Before log σ² there would be a ½.": _wrong_twice,
            "the sign of log σ is wrong: a wide Gaussian is low, so -log p grows with log σ.": _negative,
            "the squared error was right: it is divided by 2σ², and now by something else.": _loss(
                scale=lambda squares, log_sigma: squares / (2 * math.exp(log_sigma))
            ),
            "log σ and ½ log 2π are right now. The squared error was a sum, and is a mean here.": (
                _mean_of_squares
            ),
            "the squared error is now a mean over the values, and log σ is counted once. The optimal σ is "
            "right; but the KL weighs D times too much beside a mean.": _all_means,
        },
    )
    _expect_gradient(answer, cases[0])
    return (
        "Now σ is what makes D log σ + Σ(x - m)²/2σ² smallest: the root mean squared error. With log σ "
        "counted once it was √D = 28 times as much, and the KL weighed as with β = 784."
    )


def _wrong_twice(x: Tensor, mean: Tensor, log_sigma: Any, kl: Tensor) -> Tensor:
    return _loss(terms=2 * x.shape[1])(x, mean, log_sigma, kl)


def _negative(x: Tensor, mean: Tensor, log_sigma: Any, kl: Tensor) -> Tensor:
    return _loss(terms=-x.shape[1])(x, mean, log_sigma, kl)


def _mean_of_squares(x: Tensor, mean: Tensor, log_sigma: Any, kl: Tensor) -> Tensor:
    dims = x.shape[1]
    return _loss(scale=lambda squares, log: squares / dims / (2 * math.exp(2 * log)))(x, mean, log_sigma, kl)


def _by_images(x: Tensor, mean: Tensor, log_sigma: Any, kl: Tensor) -> Tensor:
    return _loss(len(x), len(x))(x, mean, log_sigma, kl)


def _without_kl(x: Tensor, mean: Tensor, log_sigma: Any, kl: Tensor) -> Tensor:
    return _loss()(x, mean, log_sigma, torch.zeros_like(kl))


def _summed(x: Tensor, mean: Tensor, log_sigma: Any, kl: Tensor) -> Tensor:
    return len(x) * _loss()(x, mean, log_sigma, kl)


def _per_value(x: Tensor, mean: Tensor, log_sigma: Any, kl: Tensor) -> Tensor:
    return _loss()(x, mean, log_sigma, kl) / x.shape[1]


def _all_means(x: Tensor, mean: Tensor, log_sigma: Any, kl: Tensor) -> Tensor:
    dims = x.shape[1]
    by_value = _loss(1, 1, lambda squares, log: squares / dims / (2 * math.exp(2 * log)))
    return by_value(x, mean, log_sigma, kl)


def _expect_gradient(answer: Any, case: dict[str, Tensor]) -> None:
    """Raise ``Wrong`` unless log σ gets its gradient, D less the squared error over σ²."""
    log_sigma = case["log_sigma"].clone().requires_grad_()
    value = tensor(call(answer, case["x"], case["mean"], log_sigma, case["kl"]))
    if not value.requires_grad:
        raise Wrong(
            "the value is right, but no gradient reaches log_sigma: something on the way is detached."
        )
    (found,) = torch.autograd.grad(value, log_sigma)
    squares = (case["x"] - case["mean"]).square().sum(1).mean()
    right = case["x"].shape[1] - squares / (2 * case["log_sigma"]).exp()
    expect(
        is_close(found, right, rtol=1e-3),
        "the value is right, but the gradient that reaches log_sigma is not: something on the way is "
        "detached.",
    )


# 10.4

_ALLOWED, _ERRORS = 100.0, 2.0
_FITTED, _SEEN = 100, 600  # images that the student has: the means and σ are of the first
_BEST_IN = torch.logspace(-3, 0, 61)


@exercise(
    "10.4",
    "A floor for the widths",
    hints=(
        "The images whose means and σ are used are no judges of the floor: to them the smallest is the best. "
        "Which images were not used?",
        "Take log_density(others, floor).mean() for many floors from 0.001 to 1.",
        "Evenly spaced on a logarithmic scale: torch.logspace(-3, 0, 31). The best lies between 0.01 and "
        "0.02.",
    ),
)
def _floor(answer: Any) -> str:
    floor = number(answer, "the floor")
    expect(floor > 0, f"a floor is a standard deviation, above 0, and this is {floor:g}.")
    expect(
        floor >= 1e-4,
        f"the floor is a σ on the scale of the pixels, and {floor:g} is far below a grey level.",
    )
    data = images("digits")
    fitted = dequantize(data.train.x[:_FITTED]).flatten(1)
    unseen = dequantize(torch.cat([data.train.x[_SEEN:], data.valid.x, data.test.x])).flatten(1)

    def log_density(floor: float) -> Tensor:
        sigma = fitted.std(0).clamp(min=floor)
        return Normal(fitted.mean(0), sigma).log_prob(unseen).sum(1)

    best = max(_BEST_IN.tolist(), key=lambda f: log_density(f).mean().item())
    behind = estimate(log_density(best) - log_density(floor))
    told = f"it is {behind} nats per image behind the best, on {len(unseen)} images that you do not have"
    if behind.mean - _ERRORS * behind.standard_error > _ALLOWED:
        raise Wrong(
            f"{told}: clearly more than {_ALLOWED:.0f}. "
            + (
                "It is too small: where 100 images are all black the floor is σ, and another image that is "
                "not black there pays its square over 2σ²."
                if floor < best
                else "It is too large: most pixels are better known than that."
            )
        )
    return (
        f"{told.capitalize()}. By the 100 images themselves the smallest floor would be best: where they do "
        "not vary, their density can be bought by thousands of nats."
    )


# 10.5


def _two_tensors(value: Any) -> Tensor:
    """Rate and error of each direction, one under the other."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Wrong(f"two tensors are asked for, rate and error, and this is {describe(value)}.")
    rate, error = (
        tensor(part, name=name) for part, name in zip(value, ("the rate", "the error"), strict=True)
    )
    if rate.shape != error.shape:
        raise Wrong(
            f"rate and error should have one value for each direction, and have the shapes "
            f"{tuple(rate.shape)} and {tuple(error.shape)}."
        )
    return torch.stack([rate.detach().double().cpu(), error.detach().double().cpu()])


def _rate(values: Tensor, level: Tensor | float) -> Tensor:
    return 0.5 * (values / level).log().clamp(min=0)


def _linear(
    rate: Callable[[Tensor, float, float], Tensor] = lambda v, s, b: _rate(v, b * s),
    error: Callable[[Tensor, float, float], Tensor] = lambda v, s, b: v.clamp(max=b * s),
) -> Callable[..., tuple[Tensor, Tensor]]:
    def answer(eigenvalues: Tensor, noise_variance: float, beta: float) -> tuple[Tensor, Tensor]:
        values = eigenvalues.double()
        return rate(values, noise_variance, beta), error(values, noise_variance, beta)

    return answer


def _error_of_mean_code(values: Tensor, s: float, b: float) -> Tensor:
    """The squared error with the code at the mean of q, without its spread."""
    return torch.where(values > b * s, (b * s) ** 2 / values, values)


@exercise(
    "10.5",
    "Rate and error of a direction",
    hints=(
        "With the noise variance c = βσ² the optimum is that of probabilistic PCA. Which directions stay, "
        "and which w² do they have?",
        "At the optimum q is the posterior. For one direction that is N(w x / λ, c / λ), because "
        "w² + c = λ. Its mean varies over the data with the variance w² / λ. Put that into the mean KL.",
        "In the mean KL all but a logarithm cancels. The error is the mean of (x - w z)²: (c / λ)² λ from "
        "the mean of z, w² c / λ from its spread. Their sum is simple. What does a collapsed one leave?",
    ),
)
def _rate_and_error(answer: Any) -> str:
    spectrum = torch.tensor([8.0, 0.3, 4.0, 1.0, 2.5])
    cases = [
        {"eigenvalues": spectrum, "noise_variance": 0.7, "beta": 1.0},
        {"eigenvalues": spectrum, "noise_variance": 0.7, "beta": 3.0},
        {"eigenvalues": spectrum, "noise_variance": 1.6, "beta": 0.25},
        {"eigenvalues": torch.tensor([0.2, 0.9]), "noise_variance": 0.5, "beta": 5.0},
        {"eigenvalues": torch.tensor([6.0]), "noise_variance": 1e-6, "beta": 2.0},
    ]
    expect_function(
        answer,
        _linear(),
        cases,
        name="[rate, error]",
        read=_two_tensors,
        rtol=1e-3,
        atol=1e-6,
        mistakes={
            "right for β = 1 only: the weight moves the level at which directions collapse, from σ² to "
            "βσ².": _linear(lambda v, s, b: _rate(v, s), lambda v, s, b: v.clamp(max=s)),
            "these are error and rate. The rate comes first.": lambda *given: _linear()(*given)[::-1],
            "right where directions stay. One that collapsed has the rate 0, not less: the KL is never "
            "negative.": _linear(lambda v, s, b: 0.5 * (v / (b * s)).log()),
            "the rate is right. A direction that collapsed leaves its whole variance λ unexplained, not "
            "βσ².": _linear(error=lambda v, s, b: torch.full_like(v, b * s)),
            "the rate is right. Your error holds for the mean of q; the code is drawn from q, and its spread "
            "adds to the error.": _linear(error=_error_of_mean_code),
            "the rate is right. λ - βσ² is what the decoder explains; the error is what it leaves.": _linear(
                error=lambda v, s, b: (v - b * s).clamp(min=0)
            ),
            "right where directions stay. One that collapsed is not explained at all: its error is its whole "
            "variance, not 0.": _linear(error=lambda v, s, b: torch.where(v > b * s, b * s, 0.0)),
            "the error is right. In the rate λ is the whole variance already, signal and noise: no 1 is added"
            " to λ / βσ².": _linear(lambda v, s, b: 0.5 * (1 + v / (b * s)).log()),
            "the error is right. The rate has a factor ½: the log of a standard deviation, not of a variance."
            "": _linear(lambda v, s, b: 2 * _rate(v, b * s)),
            "the error is right, and the rate is in bits. Nats are asked for.": _linear(
                lambda v, s, b: _rate(v, b * s) / math.log(2)
            ),
            "the rate should be the KL itself; β weighs it in the loss, not in what is reported.": _linear(
                lambda v, s, b: b * _rate(v, b * s)
            ),
            "the weight acts the other way: the level is βσ², not σ²/β.": _linear(
                lambda v, s, b: _rate(v, s / b), lambda v, s, b: v.clamp(max=s / b)
            ),
            "the error is right. In the rate w² stands in the place of λ = w² + βσ².": _linear(
                lambda v, s, b: 0.5 * ((v - b * s).clamp(min=0) / (b * s)).clamp(min=1).log()
            ),
            "the rate is right; the error is the squared error itself, not divided by twice the noise "
            "variance.": _linear(error=lambda v, s, b: v.clamp(max=b * s) / (2 * b * s)),
            "this σ is squared once more: noise_variance is σ² already.": _linear(
                lambda v, s, b: _rate(v, b * s**2), lambda v, s, b: v.clamp(max=b * s**2)
            ),
        },
    )
    return (
        "Every direction that stays has the same error βσ², and pays ½ log(λ / βσ²) nats for it. Weaker ones "
        "are left as they are."
    )


# 10.6

_STAY, _LEAST = 3, 0.1
_EIGENVALUES = (1.1540, 0.6097, 0.3667)  # the first, third and fourth of draw_8d


@exercise(
    "10.6",
    "The noise under which three directions stay",
    hints=(
        "A direction stays if its eigenvalue is above σ². Draw many points and look at the eigenvalues of "
        "their covariance matrix.",
        "Between which two eigenvalues must σ² lie, so that three are above it? The second condition is one "
        "on the third eigenvalue alone: use exercise 10.5 with β = 1.",
        "½ log(λ₃ / σ²) ≥ 0.1 means σ² ≤ λ₃ exp(-0.2). With that, σ² has to be above λ₄. Take the middle.",
    ),
    seconds=10.0,
)
def _three_stay(answer: Any) -> str:
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not callable(answer[1]):
        raise Wrong('check("10.6", (noise_variance, draw_8d)) wants the number, then the function.')
    chosen = number(answer[0], "noise_variance")
    expect(chosen > 0, f"noise_variance is a variance, above 0, and not {chosen:.4g}.")
    n = 20_000
    generator = torch.Generator().manual_seed(0)
    points = tensor(call(answer[1], n, generator), shape=(n, 8), name="what draw_8d gives").double()
    points = points - points.mean(0)
    values = torch.linalg.eigvalsh(points.T @ points / n).flip(0)
    expect(
        is_close(values[[0, 2, 3]], torch.tensor(_EIGENVALUES), rtol=0.1),
        "draw_8d gives other points than it did: bring it back as it was given.",
    )
    _, third, fourth = _EIGENVALUES
    told, mistake = f"σ² = {chosen:.4g}", " Did you give σ? σ² is asked for."
    given_root = mistake if fourth < chosen**2 < third * math.exp(-2 * _LEAST) else ""
    expect(
        chosen > fourth,
        f"with {told} more than three directions stay: the fourth eigenvalue is {fourth:.3f}.",
    )
    expect(
        chosen < third,
        f"with {told} fewer than three directions stay: the third eigenvalue is {third:.3f}.{given_root}",
    )
    rate = 0.5 * math.log(third / chosen)
    expect(
        rate >= _LEAST,
        f"three directions stay, but with {told} the weakest of them tells {rate:.3f} nats, and at least "
        f"{_LEAST} are asked for. Which way does σ² have to go?",
    )
    return f"Three directions stay, and the weakest tells {rate:.2f} nats."


# 10.7


def _pair(value: Any) -> Tensor:
    """Loss and report."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Wrong(f"two numbers are asked for, loss and report, and this is {describe(value)}.")
    both = [tensor(part, name=name) for part, name in zip(value, ("the loss", "the report"), strict=True)]
    for part, name in zip(both, ("the loss", "the report"), strict=True):
        if part.numel() != 1:
            raise Wrong(f"{name} should be one number, the mean over the batch: shape {tuple(part.shape)}.")
    return torch.stack([part.detach().double().cpu().reshape(()) for part in both])


Counted = Callable[[Tensor, float], Tensor]


def _floor_of_mean(kl: Tensor, nats: float) -> Tensor:
    return kl.mean(0).clamp(min=nats).sum()


def _floor_of_each(kl: Tensor, nats: float) -> Tensor:
    return kl.clamp(min=nats).sum(1).mean()


def _allowance_subtracted(kl: Tensor, nats: float) -> Tensor:
    return (kl.mean(0) - nats).clamp(min=0).sum()


def _plain(kl: Tensor, nats: float) -> Tensor:
    return kl.sum(1).mean()


def _report(loss: Counted = _floor_of_mean, report: Counted = _plain) -> Callable[..., tuple[Tensor, Tensor]]:
    def answer(reconstruction: Tensor, kl: Tensor, nats: float) -> tuple[Tensor, Tensor]:
        mean = reconstruction.double().mean()
        return mean + loss(kl.double(), nats), mean + report(kl.double(), nats)

    return answer


def _negative_report(*given: Any) -> tuple[Tensor, Tensor]:
    loss, report = _report()(*given)
    return loss, -report


@exercise(
    "10.7",
    "Free bits that are not free",
    hints=(
        "Write down the KL of that dimension for ten images: 6, 0, 0, … What does the loss count for it with "
        "nats = 1, and what is its gradient at the 6?",
        "The allowance is for the mean over the batch. What comes first, the mean or the floor?",
        "Take the mean over the batch of each dimension, then clamp it, then add up. The report is the "
        "reconstruction plus the KL as it is, without a floor.",
    ),
)
def _free_bits(answer: Any) -> str:
    rare = torch.zeros(10, 3)
    rare[0, 0], rare[:, 1], rare[:, 2] = 6.0, 0.2, torch.linspace(1.5, 2.5, 10)
    uneven = torch.tensor([[0.1, 0.2], [3.0, 1.0], [0.3, 0.1], [2.0, 2.5]])
    busy = torch.tensor([[4.0, 0.1, 0.3]]).repeat(4, 1)
    reconstruction = 80 + 10 * torch.rand(10)
    cases = [
        {"reconstruction": reconstruction, "kl": rare, "nats": 1.0},
        {"reconstruction": 90 + 10 * torch.rand(7), "kl": 3 * torch.rand(7, 4) ** 3, "nats": 0.5},
        {"reconstruction": 60 + torch.rand(1), "kl": 2 * torch.rand(1, 5), "nats": 0.8},
        {"reconstruction": 70 + torch.rand(6), "kl": torch.rand(6, 2), "nats": 0.0},
        {
            "reconstruction": 75 + torch.rand(4),
            "kl": busy,
            "nats": 2.0,
        },
        {"reconstruction": 75 + torch.rand(4), "kl": uneven, "nats": 3.0},
    ]
    subtracted = _report(_allowance_subtracted)  # another constant in the loss, and the same gradients
    charged = _pair(call(answer, *cases[0].values()))
    expect_function(
        answer,
        subtracted if is_close(charged, _pair(subtracted(*cases[0].values()))) else _report(),
        cases,
        name="[loss, report]",
        read=_pair,
        unchanged=_report(_floor_of_each, _floor_of_each),
        mistakes={
            "the loss is right. What you report is still the loss; free bits are a way to train, and the "
            "bound is judged without them.": _report(report=_floor_of_mean),
            "the report is right. The loss still gives each image its own allowance: what is said of few "
            "images is charged though the mean is below it. The mean over the batch comes first.": _report(
                _floor_of_each
            ),
            "the report is right. The loss compares the total KL with one allowance for all dimensions; each "
            "dimension has its own.": _report(lambda kl, nats: kl.mean(0).sum().clamp(min=nats)),
            "the report is right. The loss compares the total KL with the allowances of all dimensions "
            "together; then one dimension may use up those of the others.": _report(
                lambda kl, nats: kl.mean(0).sum().clamp(min=nats * kl.shape[1])
            ),
            "the report is right. The loss compares each image's total KL with an allowance; each dimension "
            "has its own, for the mean over the batch.": _report(
                lambda kl, nats: kl.sum(1).clamp(min=nats).mean()
            ),
            "clamp(max=…) rewards what should be free, and frees what should cost: the KL is raised to the "
            "allowance, not cut off at it.": _report(lambda kl, nats: kl.mean(0).clamp(max=nats).sum()),
            "the dimensions are averaged. They all count: sum them.": _report(
                lambda kl, nats: kl.mean(0).clamp(min=nats).mean(), lambda kl, nats: kl.mean()
            ),
            "the dimensions are averaged in the loss. They all count: sum them.": _report(
                lambda kl, nats: kl.mean(0).clamp(min=nats).mean()
            ),
            "the loss has no floor: these are no free bits.": _report(_plain),
            "loss and report have changed places.": lambda *given: _report()(*given)[::-1],
            "the report should be -ELBO, and this is the reconstruction alone.": _report(
                report=lambda kl, nats: kl.sum() * 0
            ),
            "the report has the wrong sign of the KL.": _report(report=lambda kl, nats: -_plain(kl, nats)),
            "the report is the ELBO. -ELBO is asked for.": _negative_report,
            "the loss is right. The report averages the dimensions. They all count: sum them.": _report(
                report=lambda kl, nats: kl.mean()
            ),
        },
    )
    _expect_gradient_of_free_bits(answer, reconstruction, rare)
    return "What is rare is free too, and the number to report has no floor in it."


def _expect_gradient_of_free_bits(answer: Any, reconstruction: Tensor, kl: Tensor) -> None:
    kl, reconstruction = kl.clone().requires_grad_(), reconstruction.clone().requires_grad_()
    loss = tensor(call(answer, reconstruction, kl, 1.0)[0], name="the loss")
    if not loss.requires_grad:
        raise Wrong("the value is right, but no gradient passes to the loss: something is detached.")
    found = torch.autograd.grad(loss.sum(), (reconstruction, kl), allow_unused=True)
    right = torch.zeros(10, 3)
    right[:, 2] = 0.1
    wanted = torch.full((10,), 0.1), right
    for name, gradient, expected in zip(("reconstruction", "kl"), found, wanted, strict=True):
        if gradient is None or not is_close(gradient, expected):
            raise Wrong(
                f"the value of the loss is right, but the gradient that reaches {name} is not: is something "
                "detached?"
            )


# 10.8

_FACTORS = "the factors"
_SAME, _OTHER = "the same other axes each time", "other axes each time"
_WORLDS = {"A": _FACTORS, "B": _OTHER, "C": _SAME}
_WHY_NOT = {
    ("A", _SAME): (
        "There the factors' columns are orthogonal, so with them as axes the posterior is not tilted, and a "
        "diagonal q loses nothing. Could other axes be better?"
    ),
    ("A", _OTHER): (
        "There the two directions differ in strength, so the posterior is an ellipse, no circle. Turned axes "
        "tilt it, and that costs a diagonal q something."
    ),
    ("B", _FACTORS): (
        "There both directions are equally strong, so the posterior is a circle. Which axes does a circle "
        "prefer?"
    ),
    ("B", _SAME): (
        "There both directions are equally strong, so the posterior is a circle, whatever the axes. What "
        "should choose the same ones each time?"
    ),
    ("C", _FACTORS): (
        "There the factors' columns are not orthogonal, and with them as axes the posterior is tilted. For a "
        "diagonal q it is not tilted exactly if the columns of W are orthogonal."
    ),
    ("C", _OTHER): (
        "There the variances along the principal axes differ, as in A: the posterior is an ellipse, and the "
        "ELBO prefers one pair of axes. Only, which pair?"
    ),
}


@exercise(
    "10.8",
    "Three worlds and their axes",
    hints=(
        "The likelihood leaves the axes open in all three. So ask of each: with the factors as axes, is the "
        "posterior tilted?",
        "The posterior's precision is I + WᵀW/σ². It is diagonal if the columns of W are orthogonal, and a "
        "multiple of I if they are also equally long.",
        "In A the right W has orthogonal columns of different length: these axes and no others. In B every "
        "rotation of W has orthogonal columns. In C the factors' columns are not orthogonal; some rotation "
        "of them is.",
    ),
    seconds=20.0,
)
def _three_worlds(answer: Any) -> str:
    given = answer[0] if isinstance(answer, tuple | list) and answer else None
    if isinstance(given, dict) and any(value is ... for value in given.values()):
        raise NotAttempted
    names = _FACTORS, _SAME, _OTHER
    chosen, outcome = predicted("10.8", answer, lambda given: choices(given, tuple(_WORLDS), names))
    for world in _WORLDS:
        try:
            off, spread = (number(value, f"the degrees of {world}") for value in outcome[world])
        except (KeyError, TypeError, IndexError, ValueError):
            off = spread = math.nan
        held = {
            "A": off < 2 and spread < 1,
            "B": 5 < off < 45 and 3 < spread < 30,
            "C": 35 < off < 45 and spread < 1,
        }
        expect(
            held[world],
            f"the experiment gives other numbers for {world} than it should: was it changed? Take it from "
            "the chapter again.",
        )
    for world, right in _WORLDS.items():
        if chosen[world] != right:
            off, spread = outcome[world]
            raise Wrong(
                f"{world} does not end at {chosen[world]!r}: it ends {float(off):.0f}° off, with a standard "
                f"deviation over the starts of {float(spread):.0f}°. {_WHY_NOT[world, chosen[world]]}"
            )
    return (
        "Only in A are the factors the principal axes. For C there is a world like A with the very same p(x):"
        " no data tell these two apart."
    )
