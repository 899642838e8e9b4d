"""Checks of chapter 11, beyond the plain VAE."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.distributions import Normal

from gm_lib.data.toys import two_moons
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
from gm_lib.runtime import forked_rng
from gm_lib.vae import VectorQuantizer, used

# 11.1


def _mean_square(delta: float, s: float) -> float:
    """∫ posterior² / q, the mean of (w / p(x))², where it is finite."""
    left = 2 * s**2 - 1
    return s**2 / math.sqrt(left) * math.exp(delta**2 / left)


def _shortfall(delta: float, s: float) -> float:
    return 0.5 * (_mean_square(delta, s) - 1)


def _expect_infinite(answer: Any, delta: float, s: float) -> None:
    reason = (
        f"for s = {s:g} q has at most half of the posterior's variance, and ∫ posterior² / q is infinite: "
        "math.inf is wanted there"
    )
    try:
        c = call(answer, delta, s)
    except Wrong as wrong:
        if isinstance(wrong.__cause__, ArithmeticError | ValueError):  # the root of a number below zero
            raise Wrong(f"{reason}; {wrong}") from wrong
        raise
    try:
        infinite = number(c, "c", finite=False) == math.inf
    except Wrong:  # what ** 0.5 makes of a negative number is complex
        infinite = False
    expect(infinite, f"{reason}, and c is {describe(c)}.")


@exercise(
    "11.1",
    "What many draws still lack",
    hints=(
        "w / p(x) is posterior over q, and its mean is 1. So Var(w) / p(x)² is ∫ posterior² / q, less 1.",
        "The exponent of posterior² / q is -z² + (z - δ)² / 2s². Collect z² and z: A is 2 - 1/s², B is "
        "-δ/s², and a δ² / 2s² is left over.",
        "∫ posterior² / q = s² / √(2s² - 1) · exp(δ² / (2s² - 1)), for 2s² > 1. The bound falls short by "
        "Var(w) / (2k p(x)²).",
    ),
)
def _what_is_short(answer: Any) -> str:
    expect_function(
        answer,
        _shortfall,
        [
            {"delta": delta, "s": s}
            for delta, s in ((0.0, 1.3), (0.5, 1.0), (-0.8, 0.9), (1.5, 2.0), (0.1, 0.72), (0.0, 1.0))
        ],
        name="c",
        mistakes={
            "this is Var(w) / p(x)². The bound falls short by half of it over k.": (
                lambda delta, s: 2 * _shortfall(delta, s)
            ),
            "this is half of the mean of (w / p(x))². From it the square of the mean, 1, has to go.": (
                lambda delta, s: _shortfall(delta, s) + 0.5
            ),
            "this is the mean of (w / p(x))²: take off the square of the mean, and halve it.": (_mean_square),
            "the 1 has to go before you halve.": lambda delta, s: _shortfall(delta, s) - 0.5,
            "right for δ = 0. A q that is off the centre has larger weights on one side.": (
                lambda delta, s: _shortfall(0.0, s)
            ),
            "in the exponent δ² is halved once too often: B²/2A and δ²/2s² add up to δ² / (2s² - 1).": (
                lambda delta, s: _shortfall(delta / math.sqrt(2), s)
            ),
            "before the exponential stands s² / √(2s² - 1): 1/q brings one s, the root of A another.": (
                lambda delta, s: 0.5 * (_mean_square(delta, s) / s - 1)
            ),
            "s is a standard deviation, and you take it for the variance.": (
                lambda delta, s: _shortfall(delta, math.sqrt(s))
            ),
            "the δ²/2s² that stays outside the square is missing: it comes from 1/q.": (
                lambda delta, s: 0.5 * (_mean_square(delta, s) * math.exp(-(delta**2) / (2 * s**2)) - 1)
            ),
            "posterior and q have changed places: the posterior stands in the square.": (
                lambda delta, s: 0.5 * (1 / (s * math.sqrt(2 - s**2)) * math.exp(delta**2 / (2 - s**2)) - 1)
            ),
            "the variance is infinite for 2s² ≤ 1 only. Between that and s = 1 q is narrower than the "
            "posterior, and the weights still have a variance.": (
                lambda delta, s: math.inf if s < 1 else _shortfall(delta, s)
            ),
            "the variance is infinite for 2s² ≤ 1 only, and at s = 1 it is finite: for δ = 0 q is the "
            "posterior there.": (lambda delta, s: math.inf if s <= 1 else _shortfall(delta, s)),
            "the sign is wrong: the bound lies below log p(x), and c is what it lacks.": (
                lambda delta, s: -_shortfall(delta, s)
            ),
            "the sign in the exponent is wrong: the further q is off, the more is lacking.": (
                lambda delta, s: 0.5 * (_mean_square(0.0, s) ** 2 / _mean_square(delta, s) - 1)
            ),
            "in the exponent stands δ², and not |δ|: twice as far costs more than twice.": (
                lambda delta, s: 0.5 * (_mean_square(math.sqrt(abs(delta)), s) - 1)
            ),
            "δ stands squared in the exponent: q may be off to either side.": (
                lambda delta, s: 0.5 * (_mean_square(0.0, s) * math.exp(delta / (2 * s**2 - 1)) - 1)
            ),
            "a √2π is left over: 1/2π of posterior², √2π · s of 1/q and √2π of the integral cancel.": (
                lambda delta, s: 0.5 * (math.sqrt(2 * math.pi) * _mean_square(delta, s) - 1)
            ),
            "a √2π is lost: 1/2π of posterior², √2π · s of 1/q and √2π of the integral cancel.": (
                lambda delta, s: 0.5 * (_mean_square(delta, s) / math.sqrt(2 * math.pi) - 1)
            ),
            "this is KL(q ‖ posterior), what the bound of one draw lacks. With many draws it is the variance "
            "of the weights.": lambda delta, s: 0.5 * (delta**2 + s**2 - 1 - 2 * math.log(s)),
        },
    )
    # What is finite comes first: a formula with another mistake should not be told of its infinity.
    for delta, s in ((0.0, 0.7), (0.4, 0.5), (-1.0, 0.1)):
        _expect_infinite(answer, delta, s)
    return (
        "For δ = 0 c is 0 at s = 1, and for other δ the best s is larger than 1: a proposal that is off had "
        "better be wide. In one dimension being too wide costs little, being too narrow everything; in many, "
        "being too wide costs a factor for each."
    )


# 11.2


@exercise(
    "11.2",
    "Sixty-four draws, together or apart",
    hints=(
        "How does signal over noise of one bound depend on k? And how does that of a mean of M independent "
        "gradients depend on M?",
        "One bound of 64 draws: 1/√64 of what one draw gives. The mean of 64 gradients: its noise is divided "
        "by √64, its signal stays.",
        "The first way loses a factor of about 8 against a single draw, the second gains 8. (Constants that "
        "√k leaves out make the product somewhat smaller.)",
    ),
)
def _together_or_apart(answer: Any) -> str:
    def read(prediction: Any) -> float:
        return number(prediction, "your prediction")

    prediction, outcome = predicted("11.2", answer, read)
    factor = number(outcome, "what the experiment returns")
    expect(
        45 < factor < 62,
        f"the experiment gives {factor:.4g}, which it cannot as it was given: was it changed? Bring it back.",
    )
    told = f"The experiment gives {factor:.0f}."
    if not factor / 1.3 <= prediction <= factor * 1.3:
        for message, low, high in _PREDICTED:
            expect(not low <= prediction <= high, f"you predicted {prediction:.4g}: {message} {told}")
        raise Wrong(f"you predicted {prediction:.4g}. {told} There are two factors of √64.")
    return (
        f"{told} Draws of one bound lose √k, independent bounds gain √M: about √64 · √64, up to constants. "
        "So Rainforth et al. average M bounds of k draws for the encoder, and train the decoder on one bound "
        "of all M·k. It is the price of the plain gradient; the next section mends the gradient itself."
    )


_PREDICTED = (
    (
        "the encoder would get more signal from one bound. More draws in one bound leave it less to learn.",
        -math.inf,
        0.8,
    ),
    ("both ways would be equal. They use as many draws, but not alike.", 0.8, 1.25),
    ("about 8 is one of two effects. The mean of 64 divides the noise by √64; k = 64 loses √64.", 6, 10),
    ("two factors of √64 are multiplied, not added.", 15, 17),
    (
        "√64 · √64 is 64, and the constants that √k leaves out make it smaller, not larger.",
        64,
        130,
    ),
    ("one of the two effects is counted as 64. Each is √64.", 450, 580),
    ("both effects are counted as 64. Each is √64.", 3600, 4600),
    ("this is more than both effects together: each is √64.", 130, math.inf),
)


# 11.3

Surrogate = Callable[[Tensor, Tensor, Tensor, Any], Tensor]


def _surrogate(
    q_of: Callable[[Tensor, Tensor], Normal] = lambda m, log_var: Normal(
        m.detach(), (0.5 * log_var.detach()).exp()
    ),
    combine: Callable[[Tensor], Tensor] = lambda log_w: (log_w.detach().softmax(0) ** 2 * log_w).sum(),
    keep: Callable[[Tensor], Tensor] = lambda log_q: log_q,
    draw: Callable[[Tensor], Tensor] = lambda z: z,
    seen: Callable[[Tensor], Tensor] = lambda z: z,
) -> Surrogate:
    """A surrogate that is right by default, of a q, of a way to combine log w, and of what is detached."""

    def surrogate(m: Tensor, log_var: Tensor, eps: Tensor, log_joint: Any) -> Tensor:
        z = draw(m + (0.5 * log_var).exp() * eps)
        return combine(log_joint(z) - keep(q_of(m, log_var).log_prob(seen(z)).sum(-1)))

    return surrogate


def _alive(m: Tensor, log_var: Tensor) -> Normal:
    return Normal(m, (0.5 * log_var).exp())


_SURROGATES: dict[str, Surrogate] = {
    "q is right now, and the square is gone: this is sticking the landing, biased for k > 1.": _surrogate(
        combine=lambda log_w: (log_w.detach().softmax(0) * log_w).sum()
    ),
    "this is the plain gradient of the bound: right on average, but its signal drowns. With the score gone "
    "from log w, the shares count by their square.": _surrogate(
        q_of=_alive, combine=lambda log_w: (log_w.detach().softmax(0) * log_w).sum()
    ),
    "the shares were detached, and they have to stay so: they weigh gradients, and have none.": (
        _surrogate(combine=lambda log_w: (log_w.softmax(0) ** 2 * log_w).sum())
    ),
    "all of log q is detached now. It also depends on z, and z moves: only q's own parameters stand still.": (
        _surrogate(q_of=_alive, keep=lambda log_q: log_q.detach())
    ),
    "m stands still in q now, and log_var does not: both are parameters of q.": _surrogate(
        q_of=lambda m, log_var: Normal(m.detach(), (0.5 * log_var).exp())
    ),
    "log_var stands still in q now, and m does not: both are parameters of q.": _surrogate(
        q_of=lambda m, log_var: Normal(m, (0.5 * log_var.detach()).exp())
    ),
    "z is detached in log_prob, and q's own parameters are not. It is to be the other way: z moves there, "
    "and the parameters stand still.": _surrogate(q_of=_alive, seen=lambda z: z.detach()),
    "z is detached: no path is left, only the score.": _surrogate(q_of=_alive, draw=lambda z: z.detach()),
    "the gradient is a mean over the n examples. Here it is asked for as a sum.": _surrogate(
        combine=lambda log_w: (log_w.detach().softmax(0) ** 2 * log_w).sum() / log_w.shape[1]
    ),
    "the gradient is a mean over the k draws. The shares v add up to one over them: v² g is summed.": (
        _surrogate(combine=lambda log_w: (log_w.detach().softmax(0) ** 2 * log_w).sum() / len(log_w))
    ),
    "the gradient is a mean over draws and examples. Over both a sum is asked for.": _surrogate(
        combine=lambda log_w: (log_w.detach().softmax(0) ** 2 * log_w).mean()
    ),
    "the sign is wrong: the bound is to be climbed, this is its negative.": _surrogate(
        combine=lambda log_w: -(log_w.detach().softmax(0) ** 2 * log_w).sum()
    ),
}


def _cases_of_surrogate() -> list[tuple[Tensor, Tensor, Tensor, Any]]:
    cases = []
    for k, n, d in ((3, 2, 2), (6, 1, 3), (1, 4, 2), (4, 3, 1)):
        centre, tilt = torch.randn(n, d), torch.randn(d)

        def log_joint(z: Tensor, centre: Tensor = centre, tilt: Tensor = tilt) -> Tensor:
            off = z - centre
            return -0.5 * off.square().sum(-1) - 0.2 * (off * tilt).sum(-1) ** 2

        cases.append((torch.randn(n, d), 0.7 * torch.randn(n, d), torch.randn(k, n, d), log_joint))
    return cases


def _gradient(surrogate: Any, case: Sequence[Any]) -> Tensor:
    """The gradient by m and log_var, side by side: (2, n, d)."""
    m, log_var = (value.clone().requires_grad_() for value in case[:2])
    value = tensor(surrogate(m, log_var, *case[2:]), name="the surrogate")
    expect(value.numel() == 1, f"one number is asked for, a sum, and this is {describe(value)}.")
    if not value.requires_grad:
        raise Wrong("no gradient passes: your result depends on neither m nor log_var for autograd.")
    found = torch.autograd.grad(value.sum(), (m, log_var), allow_unused=True)
    pair = zip(found, (m, log_var), strict=True)
    return torch.stack([torch.zeros_like(leaf) if g is None else g for g, leaf in pair]).detach()


@exercise(
    "11.3",
    "A surrogate that hears the score",
    hints=(
        "For k = 1 it is right on average. What has mean zero for k = 1 only?",
        "The score must go from the gradient of log w. Where do m and log_var enter it besides in z?",
        "They are the parameters of q in log_prob: detach both there, and leave z as it is.",
    ),
)
def _encoder_surrogate(answer: Any) -> str:
    cases = _cases_of_surrogate()
    found = [_gradient(lambda *given: call(answer, *given), case) for case in cases]

    def explains(surrogate: Surrogate) -> bool:
        pairs = zip(found, cases, strict=True)
        return all(is_close(g, _gradient(surrogate, case), rtol=1e-3, atol=1e-5) for g, case in pairs)

    if explains(_surrogate()):
        return "Detached where it is q's own, alive where it made z: the path, times v², and nothing else."
    if explains(_surrogate(q_of=_alive)):
        raise NotAttempted("it still does what it did")
    for message, mistaken in _SURROGATES.items():
        expect(not explains(mistaken), message)
    for g, case in zip(found, cases, strict=True):
        wanted = _gradient(_surrogate(), case)
        for name, mine, right in zip(("m", "log_var"), g, wanted, strict=True):
            expect(
                is_close(mine, right, rtol=1e-3, atol=1e-5),
                f"for k = {len(case[2])} the gradient by {name} should be {right.flatten()[0]:.4g} in its "
                f"first number, and is {mine.flatten()[0]:.4g}.",
            )
    raise AssertionError("unreachable: some case is off")


# 11.4


def _mean_and_covariance(value: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Wrong(f"two things are asked for, m and C, and this is {describe(value)}.")
    m, c = (tensor(part, name=name, nan=True) for part, name in zip(value, ("m", "C"), strict=True))
    expect(m.ndim == 1, f"m is a vector of d numbers, and yours has shape {tuple(m.shape)}.")
    expect(
        c.shape == (len(m), len(m)),
        f"C is a covariance matrix of shape (d, d), and yours has shape {tuple(c.shape)}.",
    )
    return m, c


def _prior(
    covariance: Callable[[Tensor, Tensor], Tensor], m: Callable[[Tensor], Tensor] = lambda mu: mu.mean(0)
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return lambda mu, sigma: (m(mu), covariance(mu, sigma))


def _of_means(mu: Tensor) -> Tensor:
    away = mu - mu.mean(0)
    return away.T @ away / len(mu)


def _within(sigma: Tensor) -> Tensor:
    return (sigma**2).mean(0).diag()


@exercise(
    "11.4",
    "The best Gaussian prior",
    hints=(
        "The rate is the mean of log q(z|x) - log p(z). Which of the two depends on the prior?",
        "So log p(z) is to be as large as possible, on average over codes of q(z). For a Gaussian chapter 3 "
        "knows the answer: the mean and covariance of q(z).",
        "q(z) is a mixture of n Gaussians, each with weight 1/n. C is a sum of two matrices: the mean of "
        "their covariances, and the covariance of their means μᵢ. The second is the mean over i of "
        "(μᵢ - m)(μᵢ - m)ᵀ.",
    ),
)
def _best_gaussian(answer: Any) -> str:
    cases = []
    for n, d in ((5, 2), (1, 3), (40, 2), (3, 4)):
        mu = torch.randn(n, d) @ torch.randn(d, d) + 2 * torch.randn(d)
        cases.append({"mu": mu, "sigma": 0.2 + torch.rand(n, d)})
    right = _prior(lambda mu, sigma: _of_means(mu) + _within(sigma))
    expect_function(
        answer,
        right,
        cases,
        name="m",
        read=lambda value: _mean_and_covariance(value)[0],
        mistakes={
            "m is 0, as in N(0, I), the prior that we have. The best one lies where the codes do.": (
                lambda mu, sigma: (torch.zeros(mu.shape[1]), torch.eye(mu.shape[1]))
            ),
            "m is the sum of the means, and not their mean.": lambda mu, sigma: (
                mu.sum(0),
                torch.eye(mu.shape[1]),
            ),
            "m weighs the means by their precisions. In q(z) all images have the same weight.": (
                lambda mu, sigma: ((mu / sigma**2).sum(0) / (1 / sigma**2).sum(0), torch.eye(mu.shape[1]))
            ),
        },
    )
    expect_function(
        answer,
        right,
        cases,
        name="C",
        read=lambda value: _mean_and_covariance(value)[1],
        mistakes={
            "C is the covariance of the means alone. Each image's codes also spread around their mean.": (
                _prior(lambda mu, sigma: _of_means(mu))
            ),
            "C is the mean of the encoder's variances alone. The means differ from image to image.": (
                _prior(lambda mu, sigma: _within(sigma))
            ),
            "sigma is a standard deviation: its square belongs into C.": _prior(
                lambda mu, sigma: _of_means(mu) + sigma.mean(0).diag()
            ),
            "the square of the mean of sigma is not the mean of its square.": _prior(
                lambda mu, sigma: _of_means(mu) + (sigma.mean(0) ** 2).diag()
            ),
            "the means' covariance is divided by n - 1. q(z) is made of exactly these n.": _prior(
                lambda mu, sigma: _of_means(mu) * len(mu) / (len(mu) - 1) + _within(sigma)
            ),
            "C keeps only its diagonal. The prior may have any, and the means are correlated.": _prior(
                lambda mu, sigma: _of_means(mu).diag().diag() + _within(sigma)
            ),
            "the means' second moments are taken around 0, and not around m.": _prior(
                lambda mu, sigma: mu.T @ mu / len(mu) + _within(sigma)
            ),
            "the encoder's variances are added to all entries. Given an image the dimensions are "
            "independent: they belong on the diagonal.": _prior(
                lambda mu, sigma: _of_means(mu) + (sigma**2).mean(0)
            ),
            "the squares around m are summed over the images, and not averaged.": _prior(
                lambda mu, sigma: len(mu) * _of_means(mu) + _within(sigma)
            ),
            "the encoder's variances are summed over the images, and not averaged.": _prior(
                lambda mu, sigma: _of_means(mu) + len(mu) * _within(sigma)
            ),
            "both parts are summed over the images, and not averaged.": _prior(
                lambda mu, sigma: len(mu) * (_of_means(mu) + _within(sigma))
            ),
            "the means' squares are summed, around 0. They are to be averaged, around m.": (
                _prior(lambda mu, sigma: mu.T @ mu + _within(sigma))
            ),
            "the second moments are summed over the images, around 0: they are to be averaged, around m.": (
                _prior(lambda mu, sigma: mu.T @ mu + len(mu) * _within(sigma))
            ),
            "this is the inverse of C, the precision.": _prior(
                lambda mu, sigma: torch.linalg.inv(_of_means(mu) + _within(sigma))
            ),
        },
    )
    return (
        "The Gaussian with the mean and covariance of q(z), as a fit by maximum likelihood has. Where the "
        "codes' dependence is no correlation, no Gaussian has it: chapter 9's fitted Gaussian hardly helped."
    )


# 11.5

_CODES, _BATCHES, _STARTS, _PACE, _ENOUGH = 32, 100, 5, 0.01, 1.3


@functools.cache
def _best_distortion() -> float:
    """Mean squared distance of new points of the moons to the nearest of so many k-means centres."""
    with forked_rng(seed=0):  # of its own: a first check, which fills the cache, draws what later ones draw
        points, fresh = two_moons().sample((4000,)), two_moons().sample((20_000,))
    means = KMeans(_CODES, n_init=3, random_state=0).fit(points.numpy())
    return _squared_distances(fresh, torch.from_numpy(means.cluster_centers_).to(fresh)).mean().item()


def _squared_distances(points: Tensor, codebook: Tensor) -> Tensor:
    return torch.cdist(points, codebook).amin(1).square()


@functools.cache
def _follow(decay: float, revive_below: float, pace: float) -> tuple[float, float, float]:
    """Train codebooks from several starts on points that move by ``pace`` in each batch.

    Returns the mean, with its standard error, of the distortions over that of k-means, and the share of codes
    that are in use at the end.
    """
    ratios, shares = [], []
    for start in range(_STARTS):
        with forked_rng(seed=start):
            quantizer = VectorQuantizer(_CODES, 2, decay=decay, revive_below=revive_below)
            points, fresh = two_moons().sample((_BATCHES, 256)), two_moons().sample((2000,))
            to_the_right = torch.tensor([pace, 0.0])
            for batch, h in enumerate(points):
                quantizer(h + batch * to_the_right)
        fresh = fresh + (_BATCHES - 1) * to_the_right
        ratios.append(_squared_distances(fresh, quantizer.codebook).mean().item() / _best_distortion())
        shares.append(used(quantizer.indices(fresh), _CODES).item())
    spread = statistics.stdev(ratios) / math.sqrt(_STARTS)
    return statistics.fmean(ratios), spread, statistics.fmean(shares)


def _age(decay: float) -> float:
    """By how many batches a moving average that began at zero is behind, on average, at the end."""
    weights = [decay**back for back in range(_BATCHES)]
    return sum(back * weight for back, weight in enumerate(weights)) / sum(weights)


def _read_settings(answer: Any) -> tuple[float, float]:
    names = "decay", "revive_below"
    if not isinstance(answer, Mapping):
        raise Wrong(
            f'a dictionary with "decay" and "revive_below" is needed, and this is {describe(answer)}.'
        )
    for name in names:
        expect(name in answer, f'"{name}" is missing. The settings are "decay" and "revive_below".')
    expect(len(answer) == 2, 'there are two settings, "decay" and "revive_below", and no others.')
    settings = {name: number(answer[name], name) for name in names}
    for name, value in settings.items():
        expect(0 <= value < 1, f"{name} must be from 0 to below 1, and is {value:g}.")
    return settings["decay"], settings["revive_below"]


@exercise(
    "11.5",
    "A codebook that follows",
    hints=(
        "A code is an average over the past. Over about how many batches, with decay = 0.99? How far do the "
        "points move meanwhile? And what happens to a code whose points have moved away?",
        "In the long run it lags behind by decay / (1 - decay) batches, and the points move by 0.01 in each. "
        "The moons are two arcs of length π, so 32 codes lie some 0.2 apart: the lag should be small against "
        "that. In a batch of 256 a code has about 8 points, by chance more or fewer: one that has some is "
        "not dead.",
        "A decay of 0.8 or less, so that the lag is at most 4 batches, and dead codes found early, but not "
        "among those in use: try 0.8 and 0.3.",
    ),
    seconds=60.0,
)
def _codebook_that_follows(answer: Any) -> str:
    decay, revive_below = _read_settings(answer)
    mean, error, share = _follow(decay, revive_below, _PACE)
    found = (
        f"The mean distortion of {_STARTS} codebooks is {mean:.2f} ± {error:.2f} times that of k-means, and "
        f"{share:.0%} of their codes are in use"
    )
    age = _age(decay)
    way = f"An average is {age:.1f} batches behind, in which the points move by {_PACE * age:.2f}"
    if mean <= _ENOUGH:
        memory = f"{way}: little, where the codes lie some 0.2 apart" if age >= 0.5 else _NO_MEMORY
        return f"{found}. {memory}."
    found = f"{found}. At most {_ENOUGH:g} is asked for"
    if share < 0.9 and revive_below == 0:
        raise Wrong(f"{found}. With revive_below = 0 a code without points stays dead.")
    still, _, _ = _follow(decay, revive_below, 0.0)
    if still > _AT_EASE:
        raise Wrong(
            f"{found}. With points that stand still the same settings come to {still:.2f}, so it is not the "
            f"lag alone: {revive_below:g} of the average number of points calls codes dead that "
            "are in use, and puts them elsewhere."
        )
    found = f"{found}. With points that stand still the same settings come to {still:.2f}: the motion costs."
    if _follow(decay, 0.3, _PACE)[0] <= _ENOUGH:
        raise Wrong(f"{found} The memory is short enough, but a code without points is found dead too late.")
    raise Wrong(f"{found} {way}, and the codes lie some 0.2 apart: the codes lag behind.")


_AT_EASE = 1.2  # the ratio up to which settings are called good on points that stand still
_NO_MEMORY = (
    "With so short a memory a code is the mean of a batch's points, about 8 for each, and follows them"
)


# 11.6


def _chain(before: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """log p of sequences, given which symbol comes before each code."""
    return lambda codes, log_table: log_table[before(codes, log_table.shape[1]), codes].sum(1)


def _after(first: Tensor, codes: Tensor) -> Tensor:
    return torch.cat([first, codes[:, :-1]], dim=1)


def _right_chain(codes: Tensor, k: int) -> Tensor:
    return _after(torch.full_like(codes[:, :1], k), codes)


def _rolled(codes: Tensor, k: int) -> Tensor:
    return codes.roll(1, dims=1)


@exercise(
    "11.6",
    "Probabilities that do not add up to one",
    hints=(
        "Which code does the first place of a sequence see? Has it been drawn by then?",
        "torch.roll moves the last code to the front. At the first place stands the symbol K, the start.",
        "Put a column of K before codes[:, :-1]: torch.cat([start, codes[:, :-1]], dim=1).",
    ),
)
def _codes_in_order(answer: Any) -> str:
    cases = []
    for n, length, k in ((6, 5, 3), (4, 2, 4), (3, 1, 5), (5, 9, 2)):
        log_table = torch.randn(k + 1, k).log_softmax(1)
        cases.append({"codes": torch.randint(k, (n, length)), "log_table": log_table})
    try:
        _expect_function_of_sequences(answer, cases)
    except NotAttempted as same:
        if not str(same):
            raise
        raise NotAttempted(
            "it still returns what it did. (If you normalized log_table: its rows add up to one already. "
            "Look at what each code is given.)"
        ) from same
    return "Each code is given what comes before it and nothing else: over all sequences it adds up to one."


def _expect_function_of_sequences(answer: Any, cases: list[dict[str, Tensor]]) -> None:
    try:
        result = call(answer, *(value.clone() for value in cases[0].values()))
    except Wrong as wrong:
        if isinstance(wrong.__cause__, IndexError):
            raise Wrong(
                f"{wrong} log_table has K + 1 rows, with the numbers 0 … K, and K columns, 0 … K - 1: the "
                "start is row K, and K is log_table.shape[1]."
            ) from wrong
        raise
    first = tensor(result, name="the result", nan=True)
    if first.shape == cases[0]["codes"].shape:
        raise Wrong("this is one number for each place. The log-probability of a sequence is their sum.")
    expect_function(
        answer,
        _chain(_right_chain),
        cases,
        name="log p of the sequences",
        unchanged=_chain(_rolled),
        mistakes={
            "the first code is given the code 0. Nothing comes before it: its row is the last, number K.": (
                _chain(lambda codes, k: _after(torch.zeros_like(codes[:, :1]), codes))
            ),
            "the first code is given itself, which it is to predict. Its row is the last, number K.": _chain(
                lambda codes, k: _after(codes[:, :1], codes)
            ),
            "each code is given the one after it, and the last the start. The order is the other way: the "
            "start stands first.": _chain(
                lambda codes, k: torch.cat([codes[:, 1:], torch.full_like(codes[:, :1], k)], dim=1)
            ),
            "each code is given the one after it.": _chain(lambda codes, k: codes.roll(-1, dims=1)),
            "each code is given itself, which it is to predict.": _chain(lambda codes, k: codes),
            "all codes are given the start: then no code looks at another.": _chain(
                lambda codes, k: torch.full_like(codes, k)
            ),
            "the start stands first, but the codes are not moved: the second place sees itself.": _chain(
                lambda codes, k: torch.cat([torch.full_like(codes[:, :1], k), codes[:, 1:]], dim=1)
            ),
            "the first code is left out. It costs nats, too: given the start, row K.": (
                lambda codes, t: t[codes[:, :-1], codes[:, 1:]].sum(1)
            ),
            "this is the mean over the places. The log of a product is a sum.": (
                lambda codes, t: t[_right_chain(codes, t.shape[1]), codes].mean(1)
            ),
            "the sign is wrong: these are nats, -log p.": lambda codes, t: -_chain(_right_chain)(codes, t),
        },
    )


# 11.7

_WHAT = ("renamed", "reversed", "exchanged")
_MORE, _FEWER, _SAME = "more", "fewer", "same"


@exercise(
    "11.7",
    "Names and places",
    hints=(
        "What does the table know of a code: which number it is, or which codes it follows?",
        "Counted anew, the table of renamed codes is the old one with rows and columns in another order.",
        "Read backwards, each code still stands beside its old neighbour, and a table of pairs can be read "
        "both ways. After an exchange of places, which codes are neighbours?",
    ),
)
def _names_and_places(answer: Any) -> str:
    given = answer[0] if isinstance(answer, tuple | list) and answer else None
    if isinstance(given, dict) and any(value is ... for value in given.values()):
        raise NotAttempted
    names = _MORE, _FEWER, _SAME
    prediction, outcome = predicted("11.7", answer, lambda given: choices(given, _WHAT, names))
    found = tensor(outcome, shape=(4,), name="what the experiment returns").double().tolist()
    as_they_are, *changed = found
    mistaken = []
    for what, nats, right in zip(_WHAT, changed, (_SAME, _SAME, _MORE), strict=True):
        more = nats - as_they_are
        seen = _SAME if abs(more) < 2 else _MORE if more > 0 else _FEWER
        expect(
            seen == right,
            f'for "{what}" the experiment gives {more:+.1f} nats, which it cannot as it was given: was it '
            "changed? Bring it back.",
        )
        if (said := prediction[what]) != right:
            mistaken.append(f'for "{what}" you predicted "{said}", and it is "{right}", {nats:.1f} nats. ')
            mistaken[-1] += _REASONS[what]
    if mistaken:
        told = " ".join(text[0].upper() + text[1:] for text in mistaken)
        raise Wrong(f"as they are the sequences cost {as_they_are:.1f} nats. {told}")
    return (
        f"{as_they_are:.1f} nats as they are, {changed[0]:.1f} renamed, {changed[1]:.1f} reversed, "
        f"{changed[2]:.1f} with places exchanged. What a prior can save depends on which codes it looks at."
    )


_REASONS = {
    "renamed": "The table counts which code follows which. Renamed, it is the same table, rows and columns "
    "in another order.",
    "reversed": "Reversed, the pairs of neighbours are the same, and a chain of pairs is a chain again: "
    "given the code after it, each is as hard to guess as given the one before.",
    "exchanged": "After an exchange of places the codes that were neighbours, and alike, are far apart: the "
    "table sees pairs that have little to do with each other.",
}


# 11.8

Levels = Callable[[float, float], tuple[float, float]]


def _total(s: float) -> float:
    return 0.5 * math.log(1 + 1 / s**2)


def _top(a: float, s: float) -> float:
    return -0.5 * math.log(1 - a**2 / (1 + s**2))


def _kept(a: float, s: float) -> float:
    """The variance of z₂ given x and z₁, over that of z₂ given z₁."""
    return s**2 / (s**2 + 1 - a**2)


def _without_mean(v: float) -> float:
    """The KL of two Gaussians with one mean, of variances in the ratio v."""
    return 0.5 * (v - 1 - math.log(v))


def _levels(top: Callable[[float, float], float], bottom: Callable[[float, float], float]) -> Levels:
    return lambda a, s: (top(a, s), bottom(a, s))


def _rest(top: Callable[[float, float], float]) -> Levels:
    """What a top and the right total make."""
    return _levels(top, lambda a, s: _total(s) - top(a, s))


def _pair(value: Any) -> Tensor:
    """The nats of the top and of the bottom level."""
    if isinstance(value, Tensor) and value.numel() == 2:
        return value.flatten()
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Wrong(f"two numbers are asked for, of the top and the bottom, and this is {describe(value)}.")
    pair = zip(value, ("the top's nats", "the bottom's nats"), strict=True)
    return torch.tensor([number(v, name) for v, name in pair], dtype=torch.float64)


@exercise(
    "11.8",
    "The cost of two levels",
    hints=(
        "With exact posteriors a level's mean KL is a mutual information: the top's is that of z₁ and x. For "
        "two Gaussians with correlation ρ it is -½ log(1 - ρ²).",
        "x has variance 1 + s² and covariance a with z₁. So ρ² = a² / (1 + s²).",
        "Both levels together cost what z₂ by itself would, its mutual information with x: ½ log(1 + 1/s²). "
        "The bottom has the rest.",
    ),
)
def _cost_of_levels(answer: Any) -> str:
    expect_function(
        answer,
        _rest(_top),
        [{"a": a, "s": s} for a, s in ((0.9, 0.5), (0.3, 1.0), (0.99, 0.1), (-0.7, 2.0), (0.0, 0.3))],
        name="[top, bottom]",
        read=_pair,
        mistakes={
            "these are bottom and top. The top comes first.": lambda a, s: _rest(_top)(a, s)[::-1],
            "the sum is right. The top's is log q(z₁|z₂) - log p(z₁), as from the bottom up: the mutual "
            "information of z₁ and z₂. Asked for is that of z₁ and x.": (
                _rest(lambda a, s: -0.5 * math.log(1 - a**2))
            ),
            "the ½ is missing in front of both logarithms.": lambda a, s: (
                2 * _top(a, s),
                2 * (_total(s) - _top(a, s)),
            ),
            "these are bits. Nats are asked for: natural logarithms.": lambda a, s: (
                _top(a, s) / math.log(2),
                (_total(s) - _top(a, s)) / math.log(2),
            ),
            "the top is right. The bottom is what z₂ says about x by itself: that is both levels together, "
            "and the top has paid for a part.": _levels(_top, lambda a, s: _total(s)),
            "the sum is right. In the top's, a is the covariance of z₁ and x: it stands squared in ρ².": (
                _rest(lambda a, s: -0.5 * math.log(1 - abs(a) / (1 + s**2)))
            ),
            "the sum is right. In the top's, the variance of x stands once: ρ² = a² / (1 + s²).": (
                _rest(lambda a, s: -0.5 * math.log(1 - a**2 / (1 + s**2) ** 2))
            ),
            "the top is right. The noise s is a standard deviation: the total is ½ log(1 + 1/s²).": _levels(
                _top, lambda a, s: 0.5 * math.log(1 + 1 / s) - _top(a, s)
            ),
            "s is a standard deviation, and you take it for the variance: x has variance 1 + s².": (
                lambda a, s: _rest(_top)(a, math.sqrt(s))
            ),
            "the sum is right. In the top's, ρ stands squared: -½ log(1 - ρ²).": (
                _rest(lambda a, s: -0.5 * math.log(1 - abs(a) / math.sqrt(1 + s**2)))
            ),
            "in both the means are missing: KL(N(μ, v) ‖ N(0, 1)) is ½(v + μ² - 1 - log v). On average over "
            "x μ² is what v lacks of 1.": _levels(
                lambda a, s: _without_mean(1 - a**2 / (1 + s**2)), lambda a, s: _without_mean(_kept(a, s))
            ),
            "the bottom is right. In the top the mean of q is missing: KL(N(μ, v) ‖ N(0, 1)) is "
            "½(v + μ² - 1 - log v). On average over x μ² is what v lacks of 1.": _levels(
                lambda a, s: _without_mean(1 - a**2 / (1 + s**2)), lambda a, s: _total(s) - _top(a, s)
            ),
            "the top is right. In the bottom the difference of the means is missing: q(z₂|x, z₁) is also "
            "moved away from p(z₂|z₁).": _levels(_top, lambda a, s: _without_mean(_kept(a, s))),
            "the bottom is right. The ½ of the top is missing.": _levels(
                lambda a, s: 2 * _top(a, s), lambda a, s: _total(s) - _top(a, s)
            ),
            "the top is right. The ½ of the bottom is missing.": _levels(
                _top, lambda a, s: 2 * (_total(s) - _top(a, s))
            ),
            "the top is right. The total is ½ log(1 + 1/s²): its ½ is missing.": _levels(
                _top, lambda a, s: 2 * _total(s) - _top(a, s)
            ),
            "the total is right. The ½ of the top is missing, and the bottom has the rest.": _rest(
                lambda a, s: 2 * _top(a, s)
            ),
            "the top says nothing here. The image tells something about z₁, too, if a is not 0.": _levels(
                lambda a, s: 0.0, lambda a, s: _total(s)
            ),
        },
    )
    return (
        "The sum does not depend on a: p(x) is N(0, 1 + s²) for every a. How a hierarchy divides its nats "
        "between the levels is not settled by the likelihood alone."
    )
