"""Checks of chapter 1, what a generative model is."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gm_lib.exercises.core import Wrong, call, exercise, expect, expect_close, is_close, number, tensor

# 1.1


@exercise(
    "1.1",
    "A table by counting",
    hints=(
        "How often did each kind occur, among how many patches?",
        "torch.bincount counts whole numbers. It has an argument for kinds that lie beyond the largest "
        "one seen.",
        "torch.bincount(codes, minlength=kinds) / len(codes).",
    ),
)
def _table(answer: Any) -> str:
    codes, kinds = torch.tensor([2, 0, 2, 5, 2, 0, 3, 2]), 9
    count = torch.bincount(codes, minlength=kinds)
    found = tensor(call(answer, codes, kinds), name="the table")
    if found.shape == (6,) and is_close(found, count[:6] / 8):
        raise Wrong(
            "the table ends at the largest kind that occurred. Kinds that were never seen have a row too: "
            f"{kinds} probabilities are needed."
        )
    if found.ndim == 1 and len(found) == int((count > 0).sum()):
        raise Wrong(
            "only the kinds that occurred are listed, so that nobody knows which row is which. Give "
            "every kind "
            "a row, with 0 where it was never seen."
        )
    expect_close(
        tensor(found, shape=(kinds,), name="the table"),
        count / 8,
        name="the table",
        mistakes={
            "these are counts. Divide by how many patches there are, so that they sum to one.": count,
            "divided by the number of kinds. A frequency is a share of the patches seen.": count / kinds,
            "softmax makes probabilities out of logits. Counts become probabilities by dividing.": (
                count.double().softmax(0)
            ),
            "a pseudo-count was added to every row. That is smoothing, which comes later; here frequencies "
            "are asked for.": (count + 1) / (8 + kinds),
            "divided by the largest count. The table should sum to one.": count / count.max(),
        },
    )
    other = torch.tensor([0, 0, 0, 1, 1])
    expect_close(
        tensor(call(answer, other, 3), shape=(3,), name="the table"),
        torch.tensor([0.6, 0.4, 0.0]),
        name="the table of 0, 0, 0, 1, 1",
    )
    return "A model of everything that has a number."


# 1.2


@exercise(
    "1.2",
    "The cost of a table",
    hints=(
        "What does the table say about each of the patches that came? Look them up: p[codes].",
        "Each costs minus the logarithm of its probability, to base 2. The mean is over the patches that "
        "came.",
        "-p[codes].log2().mean().",
    ),
)
def _bits(answer: Any) -> str:
    p = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625])
    codes = torch.tensor([0, 2, 2, 4, 1, 2])
    looked_up = p[codes]
    right = -looked_up.log2().mean()
    result = tensor(call(answer, p, codes), name="the cost")
    if result.numel() != 1:
        raise Wrong(
            f"one number is asked for, the mean over the patches, and this has shape {tuple(result.shape)}."
        )
    expect_close(
        number(result, "the cost"),
        right,
        name="the cost",
        mistakes={
            "these are nats: the logarithm is the natural one. Bits take log2.": -looked_up.log().mean(),
            "the sign is wrong. A probability is at most one, so its logarithm is negative and the cost, "
            "minus "
            "that, is not.": -right,
            "the sign is wrong, and the logarithm is natural.": looked_up.log().mean(),
            "this is the logarithm of the mean probability. Take the logarithm of each patch first, then the "
            "mean: otherwise a zero is forgiven.": -looked_up.mean().log2(),
            "this is the sum over all patches. Per patch means: the mean.": right * len(codes),
            "this weighs the rows by p itself: what the table expects to pay if it is right. It never "
            "looked at "
            "the held-out patches.": -(p * p.log2()).sum(),
            "this is the mean over the rows of the table, each counted once. Weigh them by what came: "
            "p[codes].": -p.log2().mean(),
            "each cost was multiplied by its probability once more. The patches in codes already come as "
            "often "
            "as they come.": -(looked_up * looked_up.log2()).mean(),
            "the logarithm has base 10.": -looked_up.log10().mean(),
        },
    )
    never = number_or_inf(call(answer, torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0, 1, 2])))
    expect(
        never == math.inf,
        f"right where all patches were seen. One that has probability 0 costs infinitely many bits; "
        f"yours gives "
        f"{never:.4g}. Something hides the zero.",
    )
    return "One impossible patch, and the cost is infinite: that is next."


def number_or_inf(value: Any) -> float:
    """Return a number that may be infinite."""
    return float(tensor(value, name="the cost").double().reshape(()))


# 1.3


@exercise(
    "1.3",
    "A smoothed table",
    hints=(
        "m imaginary patches are spread over all rows. How many are that for each row, and how many "
        "patches are "
        "there now in all?",
        "Each row gets m / len(count). The sum of all rows grows from count.sum() by m.",
        "(count + m / len(count)) / (count.sum() + m).",
    ),
)
def _smoothed(answer: Any) -> str:
    count, m = torch.tensor([5.0, 0.0, 3.0, 0.0, 1.0]), 2.0
    n, kinds = 9.0, 5
    found = tensor(call(answer, count, m), shape=(kinds,), name="the table")
    expect_close(
        found,
        (count + m / kinds) / (n + m),
        name="the table",
        mistakes={
            "m was added to every row. There are m imaginary patches in all: each row gets m / len(count).": (
                (count + m) / (n + m * kinds)
            ),
            "m was added to every row, and the total was left too small: this does not sum to one.": (
                (count + m) / (n + m)
            ),
            "the rows have their pseudo-counts, but the total was not enlarged by m: this sums to more than "
            "one.": ((count + m / kinds) / n),
            "one imaginary patch was added to each row, whatever m is.": (count + 1) / (n + kinds),
            "the total was enlarged by m, and the rows got nothing: this sums to less than one, and "
            "zeros are "
            "still zeros.": count / (n + m),
            "there is no smoothing here: zeros are still zeros.": count / n,
            "only the rows never seen got something. Seen or not, every row gets the same.": torch.where(
                count == 0, m / 2, count
            )
            / (n + m),
            "this is half the counts and half the uniform table. How much each weighs depends on m and "
            "on how "
            "many patches were counted: n against m.": 0.5 * count / n + 0.5 / kinds,
        },
    )
    expect_close(
        tensor(call(answer, 100 * count, 7.0), shape=(kinds,), name="the table"),
        (100 * count + 7 / kinds) / (907),
        name="the table of a hundred times as many patches with m = 7",
    )
    return "It sums to one, and nothing is impossible."


# 1.4


@exercise(
    "1.4",
    "How much is still unseen",
    hints=(
        "Leave one training patch out. When is it news to the remaining ones? How many of the n patches "
        "are so?",
        "codes.unique(return_counts=True) gives for each kind how often it occurred. Which of these "
        "counts matter?",
        "_, count = codes.unique(return_counts=True); the share is (count == 1).sum() / len(codes).",
    ),
)
def _news(answer: Any) -> str:
    codes = torch.tensor([7, 7, 7, 1, 2, 2, 9, 4, 4, 4, 4, 3, 8, 8, 8])
    kinds, once, n = 7, 3, 15
    expect_close(
        number(call(answer, codes), "the share"),
        once / n,
        name="the share",
        mistakes={
            "this is how many occurred once. A share of the patches is asked for.": once,
            "this is the share of the *kinds* that occurred once. One patch in how many is news? Divide "
            "by the "
            "number of patches.": once / kinds,
            "this is the share of kinds among the patches: each kind was news once, when it first came. What "
            "comes next is asked.": kinds / n,
            "this is the share of patches that are not news, the complement.": 1 - once / n,
            "this counts the first coming of kinds that came again.": (kinds - once) / n,
            "these are numbers between 0 and the largest that did not occur. Patches that come next are "
            "asked for, "
            "not rows of the table.": 3 / 10,
        },
    )
    expect_close(
        number(call(answer, torch.arange(50)), "the share"),
        1.0,
        name="the share when every patch occurred once",
    )
    generator = torch.Generator().manual_seed(4)
    p = 1 / torch.arange(1, 2001, dtype=torch.float64)
    codes = torch.multinomial(p, 3000, replacement=True, generator=generator)
    truth = p[torch.bincount(codes, minlength=2000) == 0].sum() / p.sum()
    found = number(call(answer, codes), "the share")
    expect(
        abs(found - truth) < 0.04,
        f"in a case where the truth is known, {truth:.3f} of what comes is new, and your answer is "
        f"{found:.3f}.",
    )
    return f"Where the truth is known, {truth:.3f} of what comes is new; you estimate {found:.3f} without it."


# 1.5


@exercise(
    "1.5",
    "The bits of an image",
    hints=(
        "For one pixel: the coin shows 1 with probability p, so 0 with 1 - p. Which of them happened?",
        "The logarithm of the product is the sum of logarithms. Take the logarithm of each pixel before "
        "anything "
        "is multiplied.",
        "-(x * p.log2() + (1 - x) * (1 - p).log2()).sum(1).",
    ),
)
def _image_bits(answer: Any) -> str:
    n, pixels = 6, 784
    p = 0.02 + 0.96 * torch.rand(pixels)
    x = torch.bernoulli(p.expand(n, pixels))
    by_pixel = -torch.where(x == 1, p.log2(), (1 - p).log2())
    right = by_pixel.sum(1)
    found = tensor(call(answer, x, p), name="the result")
    if bool((found == math.inf).any()):
        raise Wrong(
            "your bits are infinite: the product of 784 probabilities is smaller than any float32 number and "
            "becomes 0. Add logarithms instead."
        )
    if found.ndim == 0:
        raise Wrong("this is one number for all images. Keep them apart: one for each, shape (n,).")
    if found.shape == (n, pixels):
        raise Wrong("this is one number for each pixel. Add up the pixels of an image.")
    if found.shape == (pixels,):
        raise Wrong("summed over the images. Add up the pixels of each image instead: dimension 1.")
    expect_close(
        tensor(found, shape=(n,), name="the result"),
        right,
        name="the bits",
        mistakes={
            "these are nats. Bits take log2, or divide by log 2.": right * math.log(2),
            "the sign is wrong: bits are minus the logarithm.": -right,
            "this is the mean over the pixels: bits per pixel. An image pays for all of its pixels.": (
                by_pixel.mean(1)
            ),
            "white pixels are counted, black ones are not. A pixel that is 0 has probability 1 - p, and "
            "costs too.": -(x * p.log2()).sum(1),
            "black and white are exchanged: p is the probability of 1.": (
                -torch.where(x == 0, p.log2(), (1 - p).log2()).sum(1)
            ),
            "p and 1 - p were mixed before the logarithm was taken over the whole image: a sum of "
            "probabilities is not a product.": -(torch.where(x == 1, p, 1 - p).sum(1)).log2(),
        },
    )
    return "Summed in the logarithm, where nothing can vanish."


# 1.6


@exercise(
    "1.6",
    "A mixture",
    hints=(
        "weight · a is a product: what does it become in the logarithm? Then two probabilities have to "
        "be added, "
        "of which only logarithms are known.",
        "torch.logaddexp(u, v) is log(exp(u) + exp(v)), computed so that nothing underflows.",
        "torch.logaddexp(log_a + math.log(weight), log_b + math.log(1 - weight)).",
    ),
)
def _mixture(answer: Any) -> str:
    log_a = torch.tensor([-1.0, -2.0, -math.inf, -4.0], dtype=torch.float64)
    log_b = torch.tensor([-3.0, -0.5, -2.0, -4.0], dtype=torch.float64)
    weight = 0.8
    u, v = math.log(weight), math.log(1 - weight)
    right = torch.logaddexp(log_a + u, log_b + v)
    result = call(answer, log_a, log_b, weight)
    if isinstance(result, Tensor) and bool(result.isnan().any()):
        raise Wrong("the result is NaN where one part is impossible. torch.logaddexp copes with -inf.")
    found = tensor(result, shape=(4,), name="the result")
    expect_close(
        found,
        right,
        name="log p",
        mistakes={
            "this is the weighted mean of the logarithms. Probabilities are mixed, not their logarithms: "
            "one part "
            "that says impossible would forbid everything.": weight * log_a + (1 - weight) * log_b,
            "the weights are missing: this sums to two.": torch.logaddexp(log_a, log_b),
            "the weights are exchanged: weight belongs to a.": torch.logaddexp(log_a + v, log_b + u),
            "the weights stand outside the logarithm as factors. log(weight · a) = log(weight) + log(a).": (
                torch.logaddexp(weight * log_a, (1 - weight) * log_b)
            ),
            "the weights themselves were added. In the logarithm it is their logarithms that are added.": (
                torch.logaddexp(log_a + weight, log_b + 1 - weight)
            ),
            "this is the probability. The logarithm of it is asked for.": right.exp(),
            "both parts were weighed by weight. The other one has 1 - weight.": (
                torch.logaddexp(log_a, log_b) + u
            ),
            "this is the larger part alone; the other one counts as well.": torch.maximum(
                log_a + u, log_b + v
            ),
        },
    )
    far = tensor(
        call(answer, torch.tensor([-900.0, -math.inf]), torch.tensor([-905.0, -2000.0]), weight),
        shape=(2,),
        name="the result for improbable images",
    )
    expect_close(
        far,
        torch.logaddexp(torch.tensor([-900.0 + u, -math.inf]), torch.tensor([-905.0 + v, -2000.0 + v])),
        name="log p of improbable images",
        mistakes={
            "right for probable things. A probability of e^-900 is 0 for the computer, and its logarithm "
            "-inf: "
            "add without leaving the logarithm, torch.logaddexp.": torch.full((2,), -math.inf),
        },
    )
    return "A part that says impossible costs only the logarithm of the other's weight."


# 1.7


@exercise(
    "1.7",
    "Bayes' rule",
    hints=(
        "The numerator is a product, so a sum of logarithms. What has to be done to make each row sum to "
        "one?",
        "Exponentials, divided by their sum over the labels, without underflow: chapter 0 has a function for "
        "that.",
        "(log_p_x_given_y + log_p_y).softmax(1).",
    ),
)
def _posterior(answer: Any) -> str:
    n, kinds = 5, 3
    log_p_y = torch.tensor([0.7, 0.2, 0.1]).log()
    log_p_x_given_y = -2 + 1.5 * torch.randn(n, kinds)
    joint = log_p_x_given_y + log_p_y
    result = call(answer, log_p_x_given_y, log_p_y)
    found = tensor(result, name="the result")
    if found.shape == (n,):
        raise Wrong(
            "this is one number for each image. The probability of each label is asked for, (n, kinds)."
        )
    expect_close(
        tensor(found, shape=(n, kinds), name="the result"),
        joint.softmax(1),
        name="p(y | x)",
        mistakes={
            "p(y) is missing: a digit that is rare needs more evidence.": log_p_x_given_y.softmax(1),
            "normalized over the images. The labels of one image have to sum to one: dimension 1.": (
                joint.softmax(0)
            ),
            "this is the logarithm. Probabilities are asked for.": joint.log_softmax(1),
            "this is p(x | y) p(y), which does not sum to one yet. Divide by the sum over y.": joint.exp(),
            "p(y) was multiplied onto a logarithm. In the logarithm, its logarithm is added.": (
                (log_p_x_given_y * log_p_y.exp()).softmax(1)
            ),
            "logarithms were divided by their sum. Divide probabilities.": joint / joint.sum(1, keepdim=True),
            "p(y) came after the normalization, and the rows no longer sum to one.": (
                log_p_x_given_y.softmax(1) * log_p_y.exp()
            ),
            "log p(y) was subtracted. Frequent labels should gain by it.": (
                (log_p_x_given_y - log_p_y).softmax(1)
            ),
        },
    )
    small = call(answer, log_p_x_given_y - 900, log_p_y)
    if isinstance(small, Tensor) and (bool(small.isnan().any()) or bool((small == 0).all())):
        raise Wrong(
            "right for probable images. At log p(x | y) around -900 the exponential is 0 for the "
            "computer, and "
            "0 / 0 is NaN. softmax subtracts the largest first."
        )
    expect_close(
        tensor(small, shape=(n, kinds), name="the result for improbable images"),
        joint.softmax(1),
        name="p(y | x) for improbable images",
        rtol=1e-3,
    )
    return "A generative model that classifies."
