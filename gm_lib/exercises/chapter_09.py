"""Checks of chapter 9, a VAE on handwritten digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gm_lib.exercises.core import (
    Wrong,
    call,
    describe,
    exercise,
    expect,
    expect_close,
    expect_function,
    is_close,
    number,
    predicted,
    tensor,
)

_IMAGE = (1, 28, 28)


# 9.1


@exercise(
    "9.1",
    "A grey image and its tosses",
    hints=(
        "Write the cross-entropy of one pixel: -x log p - (1 - x) log(1 - p). What kind of function of x is "
        "it, with p fixed?",
        "A grey value is the mean of its tosses. When is the mean of f(x) the f of the mean of x?",
        "The cross-entropy is linear in x, so averaging the tosses first or last is the same.",
    ),
)
def _grey_and_tossed(answer: Any) -> str:
    def read(prediction: Any) -> float:
        return number(prediction, "your prediction")

    prediction, outcome = predicted("9.1", answer, read)
    difference = number(outcome, "what the experiment returns")
    expect(
        abs(difference) < 0.6,
        f"the experiment gives {difference:.4g} nats, which it cannot as it was given: was it changed? Bring "
        "it back.",
    )
    if abs(prediction) > 0.5:
        dearer = "tosses" if prediction > 0 else "grey image"
        raise Wrong(
            f"you predicted that the {dearer} would cost more. The experiment gives {difference:.2f} nats, "
            "which is 0 but for chance. Every toss is off from the grey value, but -x log p - (1 - x) "
            "log(1 - p) is linear in x: what one toss costs more, another costs less."
        )
    return (
        "The cross-entropy is linear in x, so for a fixed output of the decoder both agree on average. That "
        "is why grey pixels train at all. Results do not become comparable by it: an encoder that is shown "
        "the grey image does not see the toss that it is charged for. Its number is another, looser bound."
    )


# 9.2


def _pair(value: Any) -> Tensor:
    """The two numbers μ and σ."""
    if isinstance(value, Tensor) and value.numel() == 2:
        return value.flatten()
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise Wrong(f"two numbers are asked for, mu and sigma, and this is {describe(value)}.")
    pair = zip(value, ("mu", "sigma"), strict=True)
    return torch.tensor([number(v, name) for v, name in pair], dtype=torch.float64)


def _best(
    mu: Callable[[float, float, float], float] = lambda c, m, w: c * m / (c + w),
    sigma: Callable[[float, float], float] = lambda c, w: math.sqrt(w / (c + w)),
) -> Callable[..., tuple[float, float]]:
    return lambda c, m, weight: (mu(c, m, weight), sigma(c, weight))


@exercise(
    "9.2",
    "The best answer of an encoder",
    hints=(
        "E[(z - m)²] is (μ - m)² + σ². So the sum to minimize has one part with μ and one with σ.",
        "The part with μ: ½c(μ - m)² + ½λμ². The part with σ: ½cσ² + ½λ(σ² - log σ²). Set each derivative to "
        "zero.",
        "c(μ - m) + λμ = 0, and cσ + λ(σ - 1/σ) = 0. So μ = c m / (c + λ) and σ² = λ / (c + λ).",
    ),
)
def _best_code(answer: Any) -> str:
    expect_function(
        answer,
        _best(),
        [
            {"c": c, "m": m, "weight": weight}
            for c, m, weight in ((3.0, 2.0, 1.0), (0.5, -1.5, 4.0), (50.0, 1.0, 784.0), (20.0, 0.4, 0.1))
        ],
        name="[mu, sigma]",
        read=_pair,
        mistakes={
            "mu is right; in the place of sigma stands the variance σ². Take the root.": _best(
                sigma=lambda c, w: w / (c + w)
            ),
            "mu is right; in the place of sigma stands log σ.": _best(
                sigma=lambda c, w: 0.5 * math.log(w / (c + w))
            ),
            "mu is right; in the place of sigma stands log σ².": _best(
                sigma=lambda c, w: math.log(w / (c + w))
            ),
            "these are sigma and mu. mu comes first.": lambda c, m, weight: _best()(c, m, weight)[::-1],
            "right for the weight 1 only: λ multiplies the whole KL.": _best(
                lambda c, m, w: c * m / (c + 1), lambda c, w: math.sqrt(1 / (c + 1))
            ),
            "sigma is right. mu = m leaves the KL out of account, which draws mu to 0.": _best(
                lambda c, m, w: m
            ),
            "mu is right. Your sigma leaves out the σ² of the KL: its derivative is λ(σ - 1/σ).": _best(
                sigma=lambda c, w: math.sqrt(w / c)
            ),
            "mu is right. The larger c, the narrower the code: c stands below the line in σ², λ above it.": (
                _best(sigma=lambda c, w: math.sqrt(c / (c + w)))
            ),
            "mu is right. 1 / (c + λ) would be σ² without the weight of log σ², which is λ too.": _best(
                sigma=lambda c, w: math.sqrt(1 / (c + w))
            ),
            "mu is right. Your sigma is that of the weight 1: λ is missing in it.": _best(
                sigma=lambda c, w: math.sqrt(1 / (1 + c))
            ),
            "sigma is right. In mu, m is multiplied by c: c(μ - m) + λμ = 0.": _best(
                lambda c, m, w: m / (c + w)
            ),
            "c and λ have changed places.": _best(
                lambda c, m, w: w * m / (c + w), lambda c, w: math.sqrt(c / (c + w))
            ),
            "the weight stands before the wrong term: λ multiplies the KL.": _best(
                lambda c, m, w: c * m / (c + 1 / w), lambda c, w: math.sqrt(1 / (w * c + 1))
            ),
            "the ½ in front of c is missing: the cost is ½c(z - m)².": _best(
                lambda c, m, w: 2 * c * m / (2 * c + w), lambda c, w: math.sqrt(w / (2 * c + w))
            ),
            "the ½ in front of the KL is missing, or of its parts μ² and σ² - log σ².": _best(
                lambda c, m, w: c * m / (c + 2 * w), lambda c, w: math.sqrt(2 * w / (c + 2 * w))
            ),
            "these are the prior's 0 and 1, which cost no KL. The reconstruction counts, too.": _best(
                lambda c, m, w: 0.0, lambda c, w: 1.0
            ),
        },
    )
    return (
        "A dimension is used in the share c / (c + weight), c being what an error in it costs. With the "
        "weight 784 even c = 50 leaves μ at 6 % of m and σ at 0.97: for m near 1 nearly the prior. That is "
        "what posterior collapse looks like."
    )


# 9.3

_PIXELS = 784
Loss = Callable[[Tensor, Tensor, Any, Any], Any]


def _linear_model(d: int, level: float) -> tuple[Any, Any]:
    """An encoder, with log-variances around a level, and a decoder that are linear."""
    to_mu, to_log_var = (0.05 * torch.randn(_PIXELS, d) for _ in range(2))
    back = torch.randn(d, _PIXELS)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1).float()
        return (flat @ to_mu).requires_grad_(), (flat @ to_log_var + level).requires_grad_()

    def decode(z: Tensor) -> Tensor:
        return (z.float() @ back).reshape(-1, *_IMAGE)

    return encode, decode


def _sigma(log_var: Tensor) -> Tensor:
    return (0.5 * log_var).exp()


def _draw(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + _sigma(log_var) * eps


def _closed_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def _sum(by_pixel: Tensor, kl: Tensor) -> Tensor:
    return (by_pixel.sum(1) + kl.sum(1)).mean()


def _loss(
    combine: Callable[[Tensor, Tensor], Tensor] = _sum,
    draw: Callable[[Tensor, Tensor, Tensor], Tensor] = _draw,
    kl: Callable[[Tensor, Tensor], Tensor] = _closed_kl,
) -> Loss:
    """A loss made of cross-entropy (n, 784) and KL (n, d), right by default."""

    def loss(x: Tensor, eps: Tensor, encode: Any, decode: Any) -> Tensor:
        mu, log_var = encode(x)
        logits = decode(draw(mu, log_var, eps))
        by_pixel = binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1)
        return combine(by_pixel, kl(mu, log_var))

    return loss


def _three_densities(x: Tensor, eps: Tensor, encode: Any, decode: Any) -> Tensor:
    """With log q(z | x) - log p(z) at the draw in place of the KL."""
    mu, log_var = encode(x)
    at_draw = 0.5 * (_draw(mu, log_var, eps) ** 2 - eps**2 - log_var)
    return _loss(kl=lambda *_: at_draw)(x, eps, lambda _: (mu, log_var), decode)


_SIGMA_IS_ROOT = "exp(log_var) is the variance; the noise wants the standard deviation, exp(log_var / 2)."
_LOSSES: dict[str, Loss] = {
    "the noise is scaled by log_var itself. Undo the logarithm: exp(log_var / 2).": _loss(
        draw=lambda mu, log_var, eps: mu + log_var * eps
    ),
    "the noise is scaled by half of log_var. Undo the logarithm: exp(log_var / 2).": _loss(
        draw=lambda mu, log_var, eps: mu + 0.5 * log_var * eps
    ),
    "the noise is scaled by the square root of log_var. Undo the logarithm first: exp(log_var / 2).": _loss(
        draw=lambda mu, log_var, eps: mu + log_var.sqrt() * eps
    ),
    "the noise is scaled by exp(2 · log_var): log_var has to be halved.": _loss(
        draw=lambda mu, log_var, eps: mu + (2 * log_var).exp() * eps
    ),
    "now draw and KL agree, but both take log_var for log σ. It is log σ²: the draw was wrong, not the KL.": (
        _loss(
            draw=lambda mu, log_var, eps: mu + log_var.exp() * eps,
            kl=lambda mu, log_var: _closed_kl(mu, 2 * log_var),
        )
    ),
    "the draw is as it was, with the variance in the place of σ, and the KL, which was right, is changed. "
    + _SIGMA_IS_ROOT: _loss(
        draw=lambda mu, log_var, eps: mu + log_var.exp() * eps,
        kl=lambda mu, log_var: 0.5 * (mu**2 + (2 * log_var).exp() - 1 - log_var),
    ),
    "the draw is right now, and the KL no longer: log_var.exp() is σ², take no root there.": _loss(
        kl=lambda mu, log_var: 0.5 * (mu**2 + _sigma(log_var) - 1 - log_var)
    ),
    "the scale of the noise is 1/σ: check the sign in the exponent.": _loss(
        draw=lambda mu, log_var, eps: mu + _sigma(-log_var) * eps
    ),
    "this is the form with all three densities, log q(z | x) - log p(z) at the draw. It is right on "
    "average; asked for is the KL in closed form.": _three_densities,
    "the reconstruction is averaged over the pixels (the default of PyTorch's losses) while the KL is a sum: "
    "the smudge of this chapter's opening. The KL weighs 784 times too much.": _loss(
        lambda p, kl: p.mean() + kl.sum(1).mean()
    ),
    "everything is averaged, over pixels and latent dimensions too. Sum over both; only the images of a "
    "batch are averaged.": _loss(lambda p, kl: p.mean() + kl.mean()),
    "the KL is averaged over the latent dimensions. They all count: sum them.": _loss(
        lambda p, kl: p.sum(1).mean() + kl.mean()
    ),
    "the batch is summed: loss and gradients grow with the number of images. Plain SGD then takes larger "
    "steps; Adam, which divides by the gradients' size, hardly notices. Take the mean over the images.": (
        _loss(lambda p, kl: p.sum() + kl.sum())
    ),
    "the KL is summed over the batch, and the reconstruction averaged. Average both over the images.": _loss(
        lambda p, kl: p.sum(1).mean() + kl.sum()
    ),
    "the KL, which was right, has lost its ½.": _loss(lambda p, kl: _sum(p, 2 * kl)),
    "the KL has the wrong sign: the loss falls without end as codes leave the prior.": _loss(
        lambda p, kl: _sum(p, -kl)
    ),
    "this is the ELBO. A loss is made small, so it is minus the ELBO.": _loss(lambda p, kl: -_sum(p, kl)),
    "the reconstruction has the wrong sign: this model is rewarded for wrong pixels.": _loss(
        lambda p, kl: _sum(-p, kl)
    ),
    "the KL is missing: this is an autoencoder with noise.": _loss(lambda p, kl: _sum(p, 0 * kl)),
    "the reconstruction is missing.": _loss(lambda p, kl: _sum(0 * p, kl)),
    "eps is not used: z = mu is a point, not a draw from q(z | x).": _loss(draw=lambda mu, *_: mu),
    "mu is missing in z.": _loss(draw=lambda mu, log_var, eps: _sigma(log_var) * eps),
    "the noise is not scaled: std is missing.": _loss(draw=lambda mu, log_var, eps: mu + eps),
    "z is a draw from the prior here: eps alone. The encoder is not asked.": _loss(
        draw=lambda mu, log_var, eps: eps
    ),
}


@exercise(
    "9.3",
    "The loss of a VAE that promises too much",
    hints=(
        "Ask of every line: which distribution is this? Two lines speak of q(z | x). Is it the same q?",
        "The KL takes log_var.exp() for the variance. By what is the noise multiplied in z?",
        "The noise is multiplied by the standard deviation: std = (0.5 * log_var).exp().",
    ),
)
def _vae_loss(answer: Any) -> str:
    cases = []
    for n, d, level in ((6, 3, -9.0), (1, 2, -0.5), (4, 5, -0.5), (3, 4, 7.0)):
        x, eps = torch.randint(0, 2, (n, *_IMAGE)).float(), torch.randn(n, d)
        encode, decode = _linear_model(d, level)
        cases.append({"x": x, "eps": eps, "encode": encode, "decode": decode})
    once, again = (tensor(call(answer, *cases[2].values()), name="the loss", nan=True) for _ in range(2))
    if tuple(once.shape) == (4,):
        raise Wrong(
            "this is one number for each image. The loss is one number: take the mean over the batch."
        )
    if not is_close(once, again, equal_nan=True):
        raise Wrong(
            "your loss changes from call to call: it draws noise of its own. The noise is given as eps."
        )
    expect_function(
        answer,
        _loss(),
        cases,
        name="the loss",
        unchanged=_loss(draw=lambda mu, log_var, eps: mu + log_var.exp() * eps),
        mistakes=_LOSSES,
    )
    for case in cases:
        _expect_gradients_of_loss(answer, **case)
    return "The loss that gm_lib trains with: draw and KL now speak of the same q."


def _expect_gradients_of_loss(answer: Any, x: Tensor, eps: Tensor, encode: Any, decode: Any) -> None:
    def gradients(loss: Any) -> list[Tensor | None]:
        mu, log_var = encode(x)
        value = tensor(loss(x, eps, lambda _: (mu, log_var), decode))
        if not value.requires_grad:
            raise Wrong("the value is right, but no gradient passes: something on the way is detached.")
        return list(torch.autograd.grad(value, (mu, log_var), allow_unused=True))

    found, wanted = gradients(lambda *given: call(answer, *given)), gradients(_loss())
    for name, gradient, right in zip(("mu", "log_var"), found, wanted, strict=True):
        if gradient is None or not is_close(gradient, right, rtol=1e-3):
            raise Wrong(
                f"the value is right, but the gradient that reaches {name} is not: something on the way from "
                f"{name} is detached."
            )


# 9.4


@exercise(
    "9.4",
    "The Gaussian behind a weighted loss",
    hints=(
        "Divide the loss by the weight, so that the KL stands alone. What stands before the sum of squares?",
        "There it is 1 / (weight · pixels); in the Gaussian's -log density it is 1 / (2σ²). Set them equal.",
        "σ² = weight · pixels / 2; σ is its root.",
    ),
)
def _implied_sigma(answer: Any) -> str:
    expect_function(
        answer,
        lambda weight, pixels: math.sqrt(weight * pixels / 2),
        [
            {"weight": weight, "pixels": pixels}
            for weight, pixels in ((0.00025, 3 * 64 * 64), (1.0, 784), (0.01, 784), (0.5, 1))
        ],
        name="σ",
        read=lambda value: number(value, "σ"),
        mistakes={
            "the 2 of the Gaussian's 1/(2σ²) is missing.": lambda w, n: math.sqrt(w * n),
            "this is the variance σ². Take the root.": lambda w, n: w * n / 2,
            "the ½ belongs under the root.": lambda w, n: math.sqrt(w * n) / 2,
            "`pixels` counts all values, those of the three colours too: no other 3.": lambda w, n: math.sqrt(
                3 * w * n / 2
            ),
            "this is weight · pixels, twice the variance. Halve it, and take the root.": lambda w, n: w * n,
            "upside down: a heavier KL has to mean a wider Gaussian, one that cares less about pixels.": (
                lambda w, n: math.sqrt(2 / (w * n))
            ),
            "the number of pixels is missing: the error is a mean over them.": lambda w, n: math.sqrt(w / 2),
            "the number of pixels divides where it should multiply: before the squares stands 1/(λm).": (
                lambda w, n: math.sqrt(w / n / 2)
            ),
            "the 2 is on the wrong side: 1/(weight · pixels) = 1/(2σ²).": lambda w, n: math.sqrt(2 * w * n),
            "this is 1 / (2σ²) = weight · pixels. The weight divides: 1 / (weight · pixels).": lambda w, n: (
                math.sqrt(1 / (2 * w * n))
            ),
        },
    )
    return "The weight 0.00025 on these images implies σ = 1.24 on pixels between 0 and 1."


# 9.5


@exercise(
    "9.5",
    "Sampling from the model",
    hints=(
        "Two steps, as the model has it: a code from the prior for each image, then the decoder.",
        "The prior is N(0, I): torch.randn(n, d). The decoder puts out logits; their mean image is made of "
        "probabilities.",
        "decode(torch.randn(n, d)).sigmoid().",
    ),
)
def _sampling(answer: Any) -> str:
    _expect_samples(answer, 5000, 6)
    _expect_samples(answer, 400, 20)
    expect(
        not is_close(_expect_samples(answer, 1, 3), _expect_samples(answer, 1, 3)),
        "every call gives the same images: a seed is set inside. Leave it to the caller.",
    )
    return "A code from the prior, then the decoder. The encoder is not needed."


def _expect_samples(answer: Any, n: int, d: int) -> Tensor:
    """Return the codes that were decoded; raise ``Wrong`` unless they and the images are right."""
    back = torch.randn(d, _PIXELS) / d**0.5
    back[:, :20] *= 100  # pixels that are certain
    seen: list[Tensor] = []

    def decode(z: Tensor) -> Tensor:
        seen.append(z)
        return (z @ back).reshape(*z.shape[:-1], *_IMAGE)

    found = tensor(call(answer, decode, n, d), name=f"the result for n = {n} and d = {d}", nan=True)
    expect(seen, "decode was never called: where do the images come from?")
    if len(seen) == 1 or seen[-1].shape == (n, d):
        _expect_from_prior(seen[-1], n, d)
        z = seen[-1]
    else:
        z = torch.cat([code.reshape(-1, d) for code in seen])
        _expect_from_prior(z, n, d)
    logits = (z @ back).reshape(n, *_IMAGE).detach()
    if found.shape == (n, *_IMAGE) and bool(((found == 0) | (found == 1)).all()):
        raise Wrong(
            "these are draws of pixels. The mean of p(x | z) is asked for: the probabilities themselves."
        )
    expect(
        not found.isnan().any(),
        f"the result for n = {n} contains NaN. Logits may be hundreds, whose exp() is infinite: use sigmoid.",
    )
    expect_close(
        tensor(found, shape=(n, *_IMAGE), name=f"the result for n = {n}"),
        logits.sigmoid(),
        name="a pixel",
        mistakes={
            "these are logits, any real numbers. sigmoid makes probabilities of them.": logits,
            "tanh reaches from -1 to 1, and pixels from 0 to 1. The probability that belongs to a logit "
            "is its sigmoid.": logits.tanh(),
            "(tanh + 1) / 2 lies between 0 and 1, but it is sigmoid(2 · logit). The probability that "
            "belongs to a logit is its sigmoid.": (logits.tanh() + 1) / 2,
            "clamping logits does not make them probabilities; sigmoid does.": logits.clamp(0, 1),
            "softmax shares out one unit among all pixels. Each pixel is a coin of its own: sigmoid.": (
                logits.flatten(1).softmax(1).reshape(logits.shape)
            ),
            "sigmoid twice: once is enough.": logits.sigmoid().sigmoid(),
        },
    )
    return z


def _expect_from_prior(z: Tensor, n: int, d: int) -> None:
    """Raise ``Wrong`` unless z holds n separate codes of d numbers that look like draws from N(0, I)."""
    if z.shape != (n, d):
        if z.shape in ((d,), (1, d)):
            raise Wrong(f"one code serves for all {n} images. Draw one for each: shape (n, d).")
        raise Wrong(
            f"decode was given codes of shape {tuple(z.shape)}; n codes of d numbers are shape (n, d)."
        )
    if n * d < 30_000:  # too few to tell a distribution
        return
    z = z.detach().double()
    mean, spread = z.mean().item(), z.std().item()
    if bool((z == z[0]).all()):
        raise Wrong("all images have the same code. Draw one for each.")
    if z.std(1).max() < 1e-6:
        raise Wrong(
            "the d numbers of a code are all equal: you drew (n, 1). Each dimension has a draw of its own."
        )
    if z.min() >= 0 and z.max() <= 1:
        raise Wrong("your codes lie between 0 and 1: rand draws uniformly. The prior is normal: randn.")
    # n·d = 30,000 numbers: the mean strays by 0.006, the standard deviation by 0.004.
    if abs(mean) > 0.03:
        raise Wrong(f"your codes have mean {mean:.2f}; those of the prior N(0, I) have mean 0.")
    if abs(spread - 1) > 0.025:
        raise Wrong(f"your codes have standard deviation {spread:.2f}; those of the prior N(0, I) have 1.")
    if abs((z**4).mean().item() - 3) > 0.8:  # 0 for nothing but ±1, 1.8 for a uniform draw; strays by 0.06
        raise Wrong(
            "mean and spread of your codes are those of the prior, but they are not normal. Use randn."
        )
    expect(len(z.unique(dim=0)) == n, "some images share a code. Draw one for each.")
    expect(
        (torch.corrcoef(z.T) - torch.eye(d)).abs().max() < 0.1,  # strays by 0.014
        "the d numbers of a code are correlated. Each has a draw of its own.",
    )
    lengths = (z**2).sum(1)
    expect(
        abs(lengths.std().item() / (2 * d) ** 0.5 - 1) < 0.15,  # strays by 0.014
        "the lengths of your codes are not those of draws from N(0, I): leave what randn gives as it is.",
    )
    expect(len(z.abs().unique(dim=0)) == n, "each code comes with its mirror image, -z. Draw one for each.")
    expect(
        z.mean(0).abs().max() > 1e-5 and max(abs(mean), abs(spread - 1)) > 1e-5,
        "your codes have the mean 0 exactly: you standardized them. Draws of the prior are left as they are.",
    )
    expect(
        z.abs().max() > 3.3,  # 29 of the numbers are
        f"no number in your codes is beyond ±{z.abs().max():.1f}: they are cut off. The prior has tails.",
    )


# 9.6

Mask = Callable[[Tensor, Tensor, float], Tensor]


def _count(mask: Mask) -> Callable[..., int]:
    return lambda mu, log_var, threshold: int(mask(mu, log_var, threshold).sum())


@exercise(
    "9.6",
    "Active dimensions",
    hints=(
        "E[z_j | x] is the mean of q(z | x) in dimension j. Which of mu and log_var is that?",
        "Var_x is the variance over the images: over the rows of mu, one number for each dimension.",
        "(mu.var(0) > threshold).sum()",
    ),
)
def _active(answer: Any) -> str:
    # Made so that every known mistake leads to counts of its own. No variance lies near its threshold.
    cases = [
        _encoded(
            spread=[0.3, 0.02, 0.085, 1.0, 0.9, 0.5, 0.3, 0.2, 0.13, 0.07, 0.06, 0.03, 0.003, 0.0, 0.0],
            offset=[0.0] * 13 + [2.0, 0.0],
            level=[-6.0] * 10 + [-4.7, -3.0, -3.0, -1.0, 0.0],
            n=1000,
        )
        | {"threshold": 0.01},
        _encoded(
            spread=[1.2, 0.8, 0.65, 0.45, 0.2, 0.1, 0.0],
            offset=[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, -1.5],
            level=[-2.0, -2.0, -1.0, -1.0, -3.0, -0.2, -3.0],
            n=300,
        )
        | {"threshold": 0.3},
        _encoded(
            spread=[0.5, 0.01, 0.0, 0.0, 0.0],
            offset=[0.0, 1.0, 2.0, 0.0, -1.0],
            level=[-2.0, -2.0, -1.0, 0.0, 0.0],
            n=60,
        )
        | {"threshold": 0.0},
    ]
    d = cases[0]["mu"].shape[1]
    if tensor(call(answer, *cases[0].values()), name="the count").shape == (d,):
        raise Wrong("this is one value for each dimension. How many are active? Count them.")
    expect_function(
        answer,
        _count(lambda mu, log_var, t: mu.var(0) > t),
        cases,
        name="the count",
        read=lambda value: number(value, "the count"),
        mistakes={
            "you compared the standard deviation with the threshold, which is for the variance.": _count(
                lambda mu, log_var, t: mu.std(0) > t
            ),
            "you compared the mean absolute deviation with the threshold, which is for the variance.": _count(
                lambda mu, log_var, t: (mu - mu.mean(0)).abs().mean(0) > t
            ),
            "you compared the range with the threshold, which is for the variance.": _count(
                lambda mu, log_var, t: mu.amax(0) - mu.amin(0) > t
            ),
            "these are the deviations from the first image. The variance is about the mean.": _count(
                lambda mu, log_var, t: (mu - mu[0]).square().mean(0) > t
            ),
            "these are the deviations from the median. The variance is about the mean.": _count(
                lambda mu, log_var, t: (mu - mu.median(0).values).square().mean(0) > t
            ),
            "you added up the squares of all images. The variance is their mean.": _count(
                lambda mu, log_var, t: (mu - mu.mean(0)).square().sum(0) > t
            ),
            "you divided the variance of the mean by σ². The threshold is for the variance itself.": _count(
                lambda mu, log_var, t: mu.var(0) / log_var.exp().mean(0) > t
            ),
            "this is one variance of all numbers together. Each dimension has its own: var(0).": _count(
                lambda mu, log_var, t: mu.var() > t
            ),
            "this is the share of the active dimensions. Their number is asked for.": lambda mu, log_var, t: (
                (mu.var(0) > t).float().mean()
            ),
            "the threshold is 0.01 whatever was given. It is an argument.": _count(
                lambda mu, log_var, t: mu.var(0) > 0.01
            ),
            "you took the variance over the dimensions of each code. It is over the images: var(0).": (
                _count(lambda mu, log_var, t: mu.var(1) > t)
            ),
            "you took σ², the variance of the code of one image. It is the mean that has to move, from image "
            "to image.": _count(lambda mu, log_var, t: log_var.exp().mean(0) > t),
            "this counts dimensions whose KL is above the threshold. A dimension can cost and still say the "
            "same for every image: look at how its mean moves.": _count(
                lambda mu, log_var, t: _closed_kl(mu, log_var).mean(0) > t
            ),
            "this counts large means. A mean that is large for every image says nothing: it has to vary.": (
                _count(lambda mu, log_var, t: mu.mean(0).abs() > t)
            ),
            "this counts mean squares. A mean that is large for every image says nothing: it has to vary.": (
                _count(lambda mu, log_var, t: (mu**2).mean(0) > t)
            ),
            "you let log_var itself vary. The variance of E[z | x], of mu, over the images is asked for.": (
                _count(lambda mu, log_var, t: log_var.var(0) > t)
            ),
            "these are the inactive ones.": _count(lambda mu, log_var, t: mu.var(0) <= t),
            "a dimension whose mean is the same for all images is not active: its variance is 0, which is "
            "not above the threshold 0.": _count(lambda mu, log_var, t: mu.var(0) >= t),
            "this is the variance of z over everything, of the mean and of the noise together. Only the mean "
            "has to move: leave σ² out.": _count(
                lambda mu, log_var, t: mu.var(0) + log_var.exp().mean(0) > t
            ),
        },
    )
    return "Dimensions whose mean moves with the image."


def _encoded(spread: list[float], offset: list[float], level: list[float], n: int) -> dict[str, Any]:
    """Means with exactly these standard deviations over the images, and log-variances around a level."""
    noise = torch.randn(n, len(spread))
    noise[0, -5:] = 4.0  # an image unlike the others
    if n == 1000:  # two dimensions that tell the last images from the others, and one of two values
        noise[:, :2] = (torch.arange(n)[:, None] >= 950).float()
        noise[:, 2] = (torch.arange(n) % 5 < 2).float()
    noise = (noise - noise.mean(0)) / noise.std(0)
    wide = torch.tensor([0.3] * 2 + [0.02] * (len(level) - 2))
    return {
        "mu": torch.tensor(offset) + torch.tensor(spread) * noise,
        "log_var": torch.tensor(level) + wide * torch.randn(n, len(level)),
    }


# 9.7


@exercise(
    "9.7",
    "A grid that splits the prior evenly",
    hints=(
        "First the numbers along one side: u, the middles of equal parts of (0, 1), then z = Φ⁻¹(u).",
        "Normal(0.0, 1.0).icdf(u) is Φ⁻¹(u), with u = (torch.arange(side) + 0.5) / side.",
        "torch.stack(torch.meshgrid(z, z, indexing='xy'), dim=-1): 'xy' lets the first coordinate run "
        "along a row.",
    ),
)
def _grid(answer: Any) -> str:
    side = 5
    result = tensor(call(answer, side), name="the grid")
    if result.shape == (2, side, side):
        raise Wrong("the two coordinates come first here. They come last: torch.stack(..., dim=-1).")
    if result.shape == (side, 2):
        raise Wrong("these are the codes of one line. Pair each number with each: meshgrid.")
    if result.shape == (side * side, 2):
        raise Wrong("the codes are in one long list. Keep rows and columns: shape (side, side, 2).")
    expect(
        bool(result.isfinite().all()),
        "the grid contains infinity: Φ⁻¹(0) and Φ⁻¹(1) are -∞ and ∞. Use middles.",
    )
    if result.shape == (side, side, 2) and _evenly_spaced(result.double()):
        raise Wrong(
            "the codes are evenly spaced, but the prior is not even: its middle would get too little "
            "room. Space the probabilities evenly, and send them through Φ⁻¹."
        )
    expect_function(
        answer,
        lambda side: _square(torch.special.ndtri(_middles(side))),
        [{"side": side} for side in (5, 4, 1, 12, 40)],
        name=lambda side: f"the grid of side {side}",
        rtol=1e-3,
        atol=1e-4,
        mistakes={
            "rows and columns are exchanged: the first coordinate belongs to j.": lambda side: _square(
                torch.special.ndtri(_middles(side))
            ).flip(-1),
            "this grid runs upwards: in grid[i, j] the second coordinate grows with i.": lambda side: _square(
                torch.special.ndtri(_middles(side))
            ).flip(0),
            "this grid runs to the left: in grid[i, j] the first coordinate grows with j.": lambda side: (
                _square(torch.special.ndtri(_middles(side))).flip(1)
            ),
            "these are probabilities u, between 0 and 1. Φ⁻¹ makes codes of them.": lambda side: _square(
                _middles(side)
            ),
            "both coordinates are the same. In grid[i, j] one goes by j, and one by i.": lambda side: (
                torch.special.ndtri(_middles(side)).expand(side, side)[..., None].expand(side, side, 2)
            ),
            "a factor √2 is missing: Φ⁻¹(u) = √2 · erfinv(2u - 1).": lambda side: _square(
                torch.special.erfinv(2 * _middles(side) - 1)
            ),
            "this is Φ(u), the cdf. Its inverse is asked for: icdf.": lambda side: _square(
                torch.special.ndtr(_middles(side))
            ),
            "these parts are not equal: the outermost middles are ½/side and 1 - ½/side.": lambda side: (
                _square(torch.special.ndtri(torch.arange(1, side + 1, dtype=torch.float64) / (side + 1)))
            ),
        },
    )
    return "Every cell holds the same share of the prior."


def _middles(side: int) -> Tensor:
    return (torch.arange(side, dtype=torch.float64) + 0.5) / side


def _square(line: Tensor) -> Tensor:
    """The grid whose two coordinates run through a line: the first along j, the second along i."""
    side = len(line)
    return torch.stack([line.expand(side, side), line[:, None].expand(side, side)], dim=-1)


def _evenly_spaced(grid: Tensor) -> bool:
    """Tell whether codes were spaced evenly, beyond the interval of probabilities."""
    gaps = grid[0, :, 0].diff() if grid[0, 0, 0] != grid[0, 1, 0] else grid[:, 0, 0].diff()
    return bool((gaps - gaps.mean()).abs().max() < 1e-5) and float(grid.max()) > 1


# 9.8


class _Weights:
    """Log-weights that are handed out piece by piece, a row for each draw."""

    def __init__(self, log_w: Tensor) -> None:
        self.log_w, self.drawn, self.largest = log_w, 0, 0

    def __call__(self, m: int) -> Tensor:
        rows = self.log_w[self.drawn : self.drawn + m]
        self.drawn, self.largest = self.drawn + m, max(self.largest, m)
        return rows.clone()


def _of_pieces(combine: Callable[[Tensor, int, int], Tensor]) -> Callable[..., Tensor]:
    """A function of the bounds of all pieces, one a row, of k and of the size of a piece, as an answer."""

    def answer(log_w: Tensor, k: int, chunk: int) -> Tensor:
        pieces = log_w.reshape(k // chunk, chunk, -1)
        return combine(pieces.logsumexp(1) - math.log(chunk), k, chunk)

    return answer


@exercise(
    "9.8",
    "A bound that stops rising",
    hints=(
        "Try chunk = 1. Which bound is the mean of the logarithms of single weights?",
        "log((w₁ + … + w_k) / k): the mean over all k weights stands inside the logarithm. Each piece gives "
        "the log of a mean. How is the log of the mean of all k made of those?",
        "torch.stack(bounds).logsumexp(0) - np.log(len(bounds)).",
    ),
)
def _bound(answer: Any) -> str:
    cases: list[dict[str, Any]] = [
        {"log_w": level + spread * torch.randn(k, n), "k": k, "chunk": chunk}
        for k, chunk, n, level, spread in (
            (12, 3, 5, -5.0, 2.0),
            (9, 1, 1, -100.0, 3.0),
            (6, 6, 2, -2.0, 1.0),
            (10, 2, 4, torch.tensor([-1000.0, -5.0, 500.0, -100.0]), 2.0),
        )
    ]
    cases[-1]["log_w"][:8, :2] -= 1000.0  # only the last piece counts
    cases[-1]["log_w"][2:, 2:] -= 1000.0  # only the first
    for case in cases:
        draw, k = _Weights(case["log_w"]), case["k"]
        found = tensor(call(answer, draw, k, case["chunk"]), name="the bound", nan=True)
        drawn = f"you draw {draw.drawn} weights for each image, and k = {k} are asked for."
        expect(draw.drawn == k, drawn)
        expect(draw.largest <= case["chunk"], "you draw more than `chunk` at a time: they need not fit.")
        n = case["log_w"].shape[1]
        if found.ndim == 0:
            raise Wrong("this is one number for all images. Keep them apart: shape (n,).")
        if tuple(found.shape) != (n,):
            raise Wrong(f"the bound should have shape ({n},), and has shape {tuple(found.shape)}.")
        expect(
            not (found == -torch.inf).any(),
            "exp() of a log-weight near -1000 is zero. Stay in the logarithm, each image by itself, as "
            "logsumexp does.",
        )
        expect(
            found.isfinite().all(),
            "the bound is infinite: exp() of something large was taken. Before exp(), an image's logarithms "
            "are shifted by the largest of them, as logsumexp does.",
        )

    def replayed(log_w: Tensor, k: int, chunk: int) -> Any:
        return answer(_Weights(log_w), k, chunk)

    expect_function(
        replayed,
        _of_pieces(lambda bounds, k, chunk: bounds.logsumexp(0) - math.log(k // chunk)),
        cases,
        name=lambda log_w, k, chunk: f"the bound, for k = {k} and chunk = {chunk},",
        unchanged=_of_pieces(lambda bounds, k, chunk: bounds.mean(0)),
        mistakes={
            "the division by k is missing: subtract log k.": _of_pieces(
                lambda bounds, k, chunk: bounds.logsumexp(0) + math.log(chunk)
            ),
            "the means of the pieces are added, not averaged: subtract the log of their number.": _of_pieces(
                lambda bounds, k, chunk: bounds.logsumexp(0)
            ),
            "you divide by k, after each piece was divided by chunk. Divide by the number of pieces.": (
                _of_pieces(lambda bounds, k, chunk: bounds.logsumexp(0) - math.log(k))
            ),
            "the means of the pieces are averaged over chunk, and there are k / chunk of them.": (
                _of_pieces(lambda bounds, k, chunk: bounds.logsumexp(0) - math.log(chunk))
            ),
            "the bounds of the pieces are added. Their exponentials are what has to be averaged.": _of_pieces(
                lambda bounds, k, chunk: bounds.sum(0)
            ),
            "this is the largest bound of a piece. The others count too.": _of_pieces(
                lambda bounds, k, chunk: bounds.amax(0)
            ),
            "only the last piece is left.": _of_pieces(lambda bounds, k, chunk: bounds[-1]),
            "only the first piece is used.": _of_pieces(lambda bounds, k, chunk: bounds[0]),
            "this is the mean of the logarithms: the ELBO. The logarithm of the mean is asked for.": (
                lambda log_w, k, chunk: log_w.mean(0)
            ),
            "within a piece you average the logarithms. Average the weights there, too.": (
                lambda log_w, k, chunk: (
                    log_w.reshape(k // chunk, chunk, -1).mean(1).logsumexp(0) - math.log(k // chunk)
                )
            ),
            "this is Σ w̃ log w, the logarithms weighted by normalized weights. It is no bound.": (
                lambda log_w, k, chunk: (log_w.softmax(0) * log_w).sum(0)
            ),
            "the bounds are weighted by their normalized exponentials. That is no bound.": _of_pieces(
                lambda bounds, k, chunk: (bounds.softmax(0) * bounds).sum(0)
            ),
            "the sign is wrong: this bounds -log p(x). The bound is on log p(x).": _of_pieces(
                lambda bounds, k, chunk: math.log(k // chunk) - bounds.logsumexp(0)
            ),
        },
    )
    return "All k weights count as one sample, in pieces of any size: the bound reported as k's is k's."
