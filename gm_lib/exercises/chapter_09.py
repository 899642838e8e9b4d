"""Checks of chapter 9, a VAE on handwritten digits."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from gm_lib.exercises.core import Wrong, call, exercise, expect, expect_close, is_close, number, tensor

_IMAGE = (1, 28, 28)


# 9.1


@exercise(
    "9.1",
    "The log-probability of an image",
    hints=(
        "The probability of an image is a product over its pixels. What does the logarithm make of a "
        "product?",
        "For one pixel: log p if it is 1, log(1 - p) if it is 0, with p = sigmoid(logit). PyTorch has minus "
        "this, for all pixels at once, as F.binary_cross_entropy_with_logits(..., reduction='none').",
        "by_pixel = -F.binary_cross_entropy_with_logits(logits, x, reduction='none'), then add up all but "
        "the first dimension: by_pixel.flatten(1).sum(1).",
    ),
)
def _log_likelihood(answer: Any) -> str:
    x = torch.randint(0, 2, (5, *_IMAGE)).float()
    logits = 2 * torch.randn(5, *_IMAGE)
    result = call(answer, x, logits)
    if isinstance(result, Tensor) and bool(result.isnan().any()):
        raise Wrong("the result is NaN: a logit is any real number, not a probability. sigmoid makes it one.")
    found = tensor(result, name="the result")
    by_pixel = -binary_cross_entropy_with_logits(logits, x, reduction="none")
    right = by_pixel.flatten(1).sum(1)
    _expect_one_each(found, by_pixel)
    expect_close(
        found,
        right,
        name="log p(x | z)",
        mistakes={
            "this is the mean over the 784 pixels of an image. The logarithm of a product is a sum: yours is "
            "784 times too small.": by_pixel.flatten(1).mean(1),
            "the sign is wrong. A log-probability is never positive; cross-entropy is minus it.": -right,
            "sign and sum are wrong: this is the mean cross-entropy of a pixel. A log-probability is never "
            "positive, and that of an image is a sum over its pixels.": -by_pixel.flatten(1).mean(1),
            "white pixels are scored, black ones are not. A pixel that is 0 has log(1 - p).": (
                -(x * softplus(-logits)).flatten(1).sum(1)
            ),
            "x and logits have changed places.": (
                -binary_cross_entropy_with_logits(x, logits, reduction="none").flatten(1).sum(1)
            ),
        },
    )
    sure = torch.where(x == 1, 200.0, -200.0)
    wrong_everywhere = tensor(call(answer, x, -sure), name="the result at logits of ±200")
    expect(
        is_close(wrong_everywhere, torch.full((5,), -784 * 200.0)),
        "right for moderate logits, wrong for large ones. A pixel that is wrong at a logit of 200 must "
        f"cost 200 nats; yours costs {-wrong_everywhere[0].item() / 784:.4g}. log(sigmoid(...)) runs out "
        "of digits, and a small constant inside only hides it: work with the logits.",
    )
    return "One number for each image, in nats, and right for any logit."


def _expect_one_each(found: Tensor, by_pixel: Tensor) -> None:
    """Say by the shape over what was summed too much or too little."""
    n = len(by_pixel)
    if found.ndim == 0 or found.numel() == 1:
        raise Wrong("this is one number for the whole batch. Keep the images apart: one number for each.")
    if found.shape == by_pixel.shape:
        raise Wrong(
            "this is one number for each pixel. Add up the pixels of an image: one number for each image."
        )
    if found.shape != (n,):
        raise Wrong(
            f"the result has shape {tuple(found.shape)}; one number for each image is shape ({n},). Sum "
            "over the last three dimensions."
        )


# 9.2


@exercise(
    "9.2",
    "The KL of a code",
    hints=(
        "Put z = mu + sigma·eps into log q(z) - log p(z). What are the means of eps and eps²?",
        "σ² is log_var.exp(), and log σ² is log_var itself.",
        "0.5 * (mu**2 + log_var.exp() - 1 - log_var), element by element; nothing is summed.",
    ),
)
def _kl(answer: Any) -> str:
    mu, log_var = torch.randn(7, 3), torch.randn(7, 3)
    found = tensor(call(answer, mu, log_var), name="the result")
    right = 0.5 * (mu**2 + log_var.exp() - 1 - log_var)
    if found.shape != right.shape and is_close(found, right.sum(1)):
        raise Wrong("this is summed over the latent dimensions. Leave them apart for now: shape (n, d).")
    if found.ndim == 0:
        raise Wrong(
            "this is one number for the whole batch. One for each image and dimension is asked for: (n, d)."
        )
    expect_close(
        tensor(found, shape=(7, 3), name="the result"),
        right,
        name="the KL",
        mistakes={
            "the sign is wrong. A KL is never negative; with this sign, encoders would be rewarded "
            "for leaving the prior.": -right,
            "the factor ½ is missing.": 2 * right,
            "log_var was taken for log σ. It is log σ², so log_var.exp() is already the variance.": (
                0.5 * (mu**2 + (2 * log_var).exp() - 1 - 2 * log_var)
            ),
            "log_var was taken for the variance itself. Undo the logarithm: log_var.exp().": (
                0.5 * (mu**2 + log_var - 1 - log_var.abs().log())
            ),
            "log_var.exp() is σ², and its square σ⁴. The formula wants σ².": (
                0.5 * (mu**2 + log_var.exp() ** 2 - 1 - log_var)
            ),
            "σ stands where σ² belongs: log_var.exp() is the variance, take no root.": (
                0.5 * (mu**2 + (0.5 * log_var).exp() - 1 - log_var)
            ),
            "this is the other KL, from the prior to q. Its draws come from the prior; those of the ELBO "
            "come from q.": 0.5 * ((1 + mu**2) / log_var.exp() - 1 + log_var),
            "mu enters as its square: left and right of 0 cost the same.": 0.5
            * (mu + log_var.exp() - 1 - log_var),
            "log σ² enters with a minus: a small σ, an exact answer, has to cost.": (
                0.5 * (mu**2 + log_var.exp() - 1 + log_var)
            ),
            "the -1 is missing: an encoder that answers with the prior has a KL of 0, and yours has ½ in "
            "each dimension.": right + 0.5,
            "the ½ of log σ = ½ log σ² is missing: the term is -½ log_var.": (
                0.5 * (mu**2 + log_var.exp() - 1) - log_var
            ),
        },
    )
    return "Zero exactly where q is the prior, and positive everywhere else."


# 9.3

_PIXELS, _D = 784, 3


def _linear_model() -> tuple[Any, Any]:
    """An encoder and a decoder that are linear, with mild outputs."""
    to_mu, to_log_var = (0.05 * torch.randn(_PIXELS, _D) for _ in range(2))
    back = torch.randn(_D, _PIXELS)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        return (flat @ to_mu).requires_grad_(), (flat @ to_log_var - 0.5).requires_grad_()

    def decode(z: Tensor) -> Tensor:
        return (z @ back).reshape(-1, *_IMAGE)

    return encode, decode


@exercise(
    "9.3",
    "The loss of a VAE",
    hints=(
        "Five lines: encode, draw z with chapter 8's trick, the reconstruction (exercise 9.1), the "
        "KL (9.2), their sum.",
        "Keep one number per image as long as you can: reconstruction (n,) is summed over pixels, KL (n,) is "
        "summed over latent dimensions. The mean over the images comes last.",
        "z = mu + (0.5 * log_var).exp() * eps; reconstruction = "
        "F.binary_cross_entropy_with_logits(decode(z), x, reduction='none').flatten(1).sum(1); kl = your "
        "9.2, .sum(1); return (reconstruction + kl).mean().",
    ),
)
def _loss(answer: Any) -> str:
    n = 6
    x, eps = torch.randint(0, 2, (n, *_IMAGE)).float(), torch.randn(n, _D)
    encode, decode = _linear_model()
    given: list[tuple[Tensor, Tensor]] = []

    def watched(x: Tensor) -> tuple[Tensor, Tensor]:
        given.append(encode(x))
        return given[-1]

    found = tensor(call(answer, x, eps, watched, decode), name="the loss")
    if tuple(found.shape) == (n,):
        raise Wrong(
            "this is one number for each image. The loss is one number: take the mean over the batch."
        )
    found = tensor(found, shape=(), name="the loss")
    again = tensor(call(answer, x, eps, encode, decode))
    if not is_close(found, again):
        raise Wrong(
            "your loss changes from call to call: it rolls dice of its own. The noise is given as eps."
        )
    mu, log_var = (v.detach() for v in encode(x))
    expect_close(
        found,
        _minus_elbo(x, mu, log_var, eps, decode),
        name="the loss",
        mistakes=_losses(x, mu, log_var, eps, decode),
    )
    if not found.requires_grad:
        raise Wrong("the value is right, but no gradient passes: something on the way is detached.")
    gradients = torch.autograd.grad(found, given[0], allow_unused=True)
    for gradient, name, expected in zip(
        gradients, ("mu", "log_var"), _gradients(x, mu, log_var, eps, decode), strict=True
    ):
        if gradient is None or not is_close(gradient, expected, rtol=1e-3):
            raise Wrong(
                f"the value is right, but the gradient that reaches {name} is not: something on the way from "
                f"{name} is detached."
            )
    return "The loss that gm_lib trains with."


def _terms(x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor, decode: Any) -> tuple[Tensor, Tensor]:
    by_pixel = binary_cross_entropy_with_logits(decode(z), x, reduction="none").flatten(1)
    return by_pixel, 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def _minus_elbo(x: Tensor, mu: Tensor, log_var: Tensor, eps: Tensor, decode: Any) -> Tensor:
    by_pixel, kl = _terms(x, mu, log_var, mu + (0.5 * log_var).exp() * eps, decode)
    return (by_pixel.sum(1) + kl.sum(1)).mean()


def _gradients(x: Tensor, mu: Tensor, log_var: Tensor, eps: Tensor, decode: Any) -> tuple[Tensor, ...]:
    inputs = (mu.clone().requires_grad_(), log_var.clone().requires_grad_())
    return torch.autograd.grad(_minus_elbo(x, *inputs, eps, decode), inputs)


def _losses(x: Tensor, mu: Tensor, log_var: Tensor, eps: Tensor, decode: Any) -> dict[str, Tensor]:
    """What the known mistakes lead to."""
    by_pixel, kl = _terms(x, mu, log_var, mu + (0.5 * log_var).exp() * eps, decode)
    image, code = by_pixel.sum(1), kl.sum(1)
    z = mu + (0.5 * log_var).exp() * eps
    drawn = 0.5 * (z**2 - eps**2 - log_var).sum(1)  # log q(z | x) - log p(z) at the draw

    def with_draw(z: Tensor) -> Tensor:
        return (_terms(x, mu, log_var, z, decode)[0].sum(1) + code).mean()

    return {
        "this is the form with all three densities, log q(z | x) - log p(z) at the draw. It is right on "
        "average; asked for is the KL in closed form, exercise 9.2.": (image + drawn).mean(),
        "the reconstruction is averaged over the pixels (the default of PyTorch's losses) while the KL is "
        "a sum: the smudge of this chapter's opening. The KL weighs 784 times too much.": by_pixel.mean()
        + code.mean(),
        "everything is averaged, over pixels and latent dimensions too. Sum over both; only the images of "
        "a batch are averaged.": by_pixel.mean() + kl.mean(),
        "the KL is averaged over the latent dimensions. They all count: sum them.": image.mean() + kl.mean(),
        "the batch is summed. Gradients then grow with the batch, and under plain SGD the steps: take the "
        "mean over the images.": (image + code).sum(),
        "the KL has the wrong sign: the loss falls without end as codes leave the prior.": (
            image - code
        ).mean(),
        "this is the ELBO. A loss is made small, so it is minus the ELBO.": -(image + code).mean(),
        "the reconstruction has the wrong sign: this model is rewarded for wrong pixels.": (
            code - image
        ).mean(),
        "the KL is missing: this is an autoencoder with noise.": image.mean(),
        "the reconstruction is missing.": code.mean(),
        "the noise is scaled by the variance, exp(log_var). It wants the standard deviation, exp(log_var "
        "/ 2).": (with_draw(mu + log_var.exp() * eps)),
        "the noise is scaled by log_var itself. Undo the logarithm: exp(log_var / 2).": with_draw(
            mu + log_var * eps
        ),
        "eps is not used: z = mu is a point, not a draw from q(z | x).": with_draw(mu),
        "mu is missing in z.": with_draw((0.5 * log_var).exp() * eps),
        "z is a draw from the prior here: eps alone. The encoder is not asked.": with_draw(eps),
    }


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
def _sigma(answer: Any) -> str:
    cases = ((0.00025, 3 * 64 * 64), (1.0, 784), (0.01, 784), (0.5, 1))
    found = torch.tensor(
        [number(call(answer, w, n), f"σ at weight = {w}, pixels = {n}") for w, n in cases],
        dtype=torch.float64,
    )
    product = torch.tensor([w * n for w, n in cases], dtype=torch.float64)
    expect_close(
        found,
        (product / 2).sqrt(),
        name="σ",
        mistakes={
            "the 2 of the Gaussian's 1/(2σ²) is missing.": product.sqrt(),
            "this is the variance σ². Take the root.": product / 2,
            "this is weight · pixels, twice the variance. Halve it, and take the root.": product,
            "upside down: a heavier KL has to mean a wider Gaussian, one that cares less about pixels.": (
                2 / product
            ).sqrt(),
            "the number of pixels is missing: the error is a mean over them.": torch.tensor(
                [math.sqrt(w / 2) for w, _ in cases], dtype=torch.float64
            ),
            "the 2 is on the wrong side: 1/(weight · pixels) = 1/(2σ²).": (2 * product).sqrt(),
            "this is 1 / (2σ²) = weight · pixels. The weight divides: 1 / (weight · pixels).": (
                1 / (2 * product)
            ).sqrt(),
        },
    )
    return f"The weight 0.00025 on these images implies σ = {found[0]:.2f} on pixels between 0 and 1."


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
    n, d = 1500, 6
    back = torch.randn(d, _PIXELS) / d**0.5
    seen: list[Tensor] = []

    def decode(z: Tensor) -> Tensor:
        seen.append(z)
        return (z @ back).reshape(*z.shape[:-1], *_IMAGE)

    found = tensor(call(answer, decode, n, d), name="the result")
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
    expect_close(
        tensor(found, shape=(n, *_IMAGE), name="the result"),
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
    return "A code from the prior, then the decoder. The encoder is not needed."


def _expect_from_prior(z: Tensor, n: int, d: int) -> None:
    """Raise ``Wrong`` unless z holds n separate codes of d numbers that look like draws from N(0, I)."""
    if z.shape != (n, d):
        if z.shape in ((d,), (1, d)):
            raise Wrong(f"one code serves for all {n} images. Draw one for each: shape (n, d).")
        raise Wrong(
            f"decode was given codes of shape {tuple(z.shape)}; n codes of d numbers are shape (n, d)."
        )
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
    # n·d = 9000 numbers: the mean strays by 0.011, the standard deviation by 0.0075.
    if abs(mean) > 0.06:
        raise Wrong(f"your codes have mean {mean:.2f}; those of the prior N(0, I) have mean 0.")
    if abs(spread - 1) > 0.05:
        raise Wrong(f"your codes have standard deviation {spread:.2f}; those of the prior N(0, I) have 1.")
    if abs((z**4).mean().item() - 3) > 0.8:  # 0 for nothing but ±1, 1.8 for a uniform draw; strays by 0.1
        raise Wrong(
            "mean and spread of your codes are those of the prior, but they are not normal. Use randn."
        )


# 9.6


@exercise(
    "9.6",
    "Active dimensions",
    hints=(
        "E[z_j | x] is the mean of q(z | x) in dimension j. Which of your two arguments is that?",
        "Var_x is the variance over the images: over the rows of mu, one number for each dimension.",
        "(mu.var(0) > 0.01).sum()",
    ),
)
def _active(answer: Any) -> str:
    n, d = 1000, 9  # made so that every known mistake leads to a count of its own
    spread = torch.tensor([1.0, 0.9, 0.5, 0.3, 0.2, 0.06, 0.03, 0.0, 0.0])  # root of 0.01 is 0.1
    offset = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0])
    mu = spread * torch.randn(n, d)
    mu = offset + mu - mu.mean(0)
    level = torch.tensor([-6.0, -6.0, -6.0, -6.0, -6.0, -4.7, -3.0, -1.0, 0.0])
    log_var = level + torch.tensor([0.3] * 2 + [0.02] * 7) * torch.randn(n, d)
    result = call(answer, mu, log_var)
    if isinstance(result, Tensor) and result.shape == (d,):
        raise Wrong("this is one value for each dimension. How many are active? Count them.")
    found = number(result, "the count")
    right = int((mu.var(0) > 0.01).sum())
    variance = log_var.exp()
    kl = 0.5 * (mu**2 + variance - 1 - log_var)
    known = {
        "you compared the standard deviation with 0.01. The threshold is for the variance.": mu.std(0) > 0.01,
        "you took the variance over the dimensions of each code. It is over the images, the rows: var(0).": (
            mu.var(1) > 0.01
        ),
        "you took σ², the variance of the code of one image. It is the mean that has to move, from image to "
        "image.": variance.mean(0) > 0.01,
        "this counts dimensions whose KL is above 0.01. A dimension can cost and still say the same for "
        "every image: look at how its mean moves.": kl.mean(0) > 0.01,
        "this counts large means. A mean that is large for every image says nothing: it has to vary.": (
            mu.mean(0).abs() > 0.01
        ),
        "this counts mean squares. A mean that is large for every image says nothing: it has to vary.": (
            (mu**2).mean(0) > 0.01
        ),
        "you let log_var itself vary. The variance of E[z | x], of mu, over the images is asked for.": (
            log_var.var(0) > 0.01
        ),
        "these are the inactive ones.": mu.var(0) <= 0.01,
        "this is the variance of z over everything, of the mean and of the noise together. Only the mean has "
        "to move: leave σ² out.": mu.var(0) + variance.mean(0) > 0.01,
    }
    if found != right:
        for message, mask in known.items():
            if found == int(mask.sum()):
                raise Wrong(message)
        raise Wrong(f"of {d} dimensions {right} are active, and you count {found:g}.")
    return "Dimensions whose mean moves with the image."


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
    if result.shape == (side * side, 2):
        raise Wrong("the codes are in one long list. Keep rows and columns: shape (side, side, 2).")
    expect(
        bool(result.isfinite().all()),
        "the grid contains infinity: Φ⁻¹(0) and Φ⁻¹(1) are -∞ and ∞. Use middles.",
    )
    found = tensor(result, shape=(side, side, 2), name="the grid").double()
    steps = torch.arange(side, dtype=torch.float64)
    u = (steps + 0.5) / side

    def square(line: Tensor) -> Tensor:
        return torch.stack([line.expand(side, side), line[:, None].expand(side, side)], dim=-1)

    right = square(torch.special.ndtri(u))
    if _evenly_spaced(found):
        raise Wrong(
            "the codes are evenly spaced, but the prior is not even: its middle would get too little "
            "room. Space the probabilities evenly, and send them through Φ⁻¹."
        )
    expect_close(
        found,
        right,
        name="the grid",
        rtol=1e-3,
        atol=1e-4,
        mistakes={
            "rows and columns are exchanged: the first coordinate belongs to j, "
            "the second index.": right.flip(-1),
            "this grid runs upwards: in grid[i, j] the second coordinate grows with i.": right.flip(0),
            "these are probabilities u, between 0 and 1. Φ⁻¹ makes codes of them.": square(u),
            "this is Φ(u), the cdf. Its inverse is asked for: icdf.": square(torch.special.ndtr(u)),
            "these parts are not equal: the outermost middles are ½/side and 1 - ½/side.": square(
                torch.special.ndtri((steps + 1) / (side + 1))
            ),
        },
    )
    other = tensor(call(answer, 4), shape=(4, 4, 2), name="the grid of side 4").double()
    u = (torch.arange(4, dtype=torch.float64) + 0.5) / 4
    expect(is_close(other[0, :, 0], torch.special.ndtri(u), rtol=1e-3), "right for side 5, wrong for side 4.")
    return "Every cell holds the same share of the prior."


def _evenly_spaced(grid: Tensor) -> bool:
    """Tell whether codes were spaced evenly, beyond the interval of probabilities."""
    gaps = grid[0, :, 0].diff() if grid[0, 0, 0] != grid[0, 1, 0] else grid[:, 0, 0].diff()
    return bool((gaps - gaps.mean()).abs().max() < 1e-5) and float(grid.max()) > 1


# 9.8


@exercise(
    "9.8",
    "The k-sample bound",
    hints=(
        "The log of a mean: log((w₁ + … + w_k) / k). Over which dimension of log_w is that?",
        "torch.logsumexp adds up weights that are given by their logarithms, without leaving the logarithm. "
        "Dividing by k is subtracting log k.",
        "log_w.logsumexp(0) - math.log(k), with k = len(log_w).",
    ),
)
def _bound(answer: Any) -> str:
    k, n = 9, 4
    log_w = -5 + 2 * torch.randn(k, n)
    found = tensor(call(answer, log_w), name="the result")
    if found.ndim == 0:
        raise Wrong("this is one number for all images. Keep them apart: shape (n,).")
    if found.shape == (k,):
        raise Wrong(
            f"this is shape ({k},), one number for each draw: you averaged over the images. Draws come first."
        )
    share = log_w.softmax(0)
    right = log_w.logsumexp(0) - math.log(k)
    expect_close(
        tensor(found, shape=(n,), name="the result"),
        right,
        name="the bound",
        mistakes={
            "this is the mean of the logarithms: the ELBO. The logarithm of the "
            "mean is asked for.": log_w.mean(0),
            "the division by k is missing: subtract log k.": log_w.logsumexp(0),
            "log k is added. Dividing by k subtracts it.": log_w.logsumexp(0) + math.log(k),
            "the logarithm of a sum is divided by k. Divide inside: subtract log k.": log_w.logsumexp(0) / k,
            "this is Σ w̃ log w, the logarithms weighted by normalized weights. It is no bound.": (
                share * log_w
            ).sum(0),
            "the sign is wrong: this bounds -log p(x). The bound is on log p(x).": -right,
            "the logarithm is missing: this is the mean weight.": log_w.exp().mean(0),
            "this is the largest weight of each image. The others count too.": log_w.max(0).values,
        },
    )
    far = tensor(call(answer, log_w - 1000))
    expect(
        is_close(far, right - 1000),
        f"right for weights near 1, but at e^-1000 it gives {far[0].item():.4g}: exp() underflows to zero. "
        "Use logsumexp.",
    )
    return "The logarithm of the mean weight, safe at any size."
