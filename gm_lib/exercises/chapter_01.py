"""Checks of chapter 1, what a generative model is."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gm_lib.exercises.core import (
    Wrong,
    call,
    exercise,
    expect,
    expect_function,
    number,
    predicted,
    tensor,
)

# 1.1


def _kinds_left(value: Any) -> float:
    """Return a predicted number of kinds."""
    kinds = number(value, "the prediction")
    expect(1 <= kinds <= 16, f"of sixteen kinds, between 1 and 16 are left, and {kinds:g} is not.")
    return kinds


@exercise(
    "1.1",
    "A table that learns from its own draws",
    hints=(
        "What becomes of a kind that does not occur among the 100 draws of one generation?",
        "A share of 1/16 counted in 100 draws is off by a few percentage points. Does the next generation "
        "know what the share once was, or does it start from the wrong one?",
        "The shares wander at random, and one that meets zero stays there. There are as many generations "
        "as draws: far enough for most kinds to meet zero. Is one left in every chain, or a little more?",
    ),
)
def _own_draws(answer: Any) -> str:
    prediction, outcome = predicted("1.1", answer, _kinds_left)
    outcome = number(outcome, "what the experiment returns")
    expect(
        abs(outcome - 2.2) < 0.35,
        f"the experiment gives {outcome:.2f}, and as it was given it gives about 2.2. Was it changed?",
    )
    why = (
        "Each count is right on average, and nothing pulls the shares back: a kind that one generation "
        "does not draw has the probability 0 for ever."
    )
    expect(
        prediction <= outcome + 1.5, f"only {outcome:.2f} kinds are left, and you said {prediction:g}. {why}"
    )
    return f"{outcome:.2f} kinds of sixteen are left. {why}"


# 1.2


def _halving(kinds: int) -> tuple[Tensor, Tensor]:
    """Return the probabilities of the halving table, and the bits of each kind."""
    length = torch.arange(1, kinds + 1, dtype=torch.float64)
    length[-1] = kinds - 1
    return 0.5**length, length


def _if_right(kinds: int) -> float:
    p, length = _halving(kinds)
    return float((p * length).sum())


def _if_all_alike(kinds: int) -> float:
    return float(_halving(kinds)[1].mean())


def _both(value: Any) -> Tensor:
    both = None
    with contextlib.suppress(Wrong):
        both = tensor(value, name="the result", nan=True)
    if both is None or both.shape != (2,):
        raise Wrong("two numbers are asked for: the cost if the table is right, then if all kinds are alike.")
    return both


def _expect_cost(answer: Any, place: int, name: str, right: Any, mistakes: dict[str, Any]) -> None:
    """Judge one of the two numbers, with functions of the number of kinds that give it alone."""

    def twice(function: Any) -> Any:
        return lambda kinds: (function(kinds), function(kinds))

    expect_function(
        answer,
        twice(right),
        [{"kinds": kinds} for kinds in (3, 2, 4, 7, 40)],
        name=name,
        read=lambda value: _both(value)[place],
        mistakes={message: twice(function) for message, function in mistakes.items()},
        rtol=1e-5,
    )


@exercise(
    "1.2",
    "A table that halves",
    hints=(
        "The first kind costs one bit, the second two, and so on. What do the last two cost?",
        "If the table is right, S = 1/2 + 2/4 + 3/8 + … Subtract S/2 from S: what is left is a sum of "
        "halves. If all are alike, the mean of 1, 2, …, K - 1 and once more K - 1 is wanted.",
        "For K = 3 the two are 1.5 and 5/3, for K = 4 they are 1.75 and 9/4. The first approaches 2, the "
        "second grows like K/2.",
    ),
)
def _halving_bits(answer: Any) -> str:
    _expect_cost(
        answer,
        0,
        "the cost if the table is right",
        _if_right,
        {
            "the two numbers are exchanged: first the cost if the table is right.": _if_all_alike,
            "the last kind is as probable as the one before it, or the table would not sum to one: it costs "
            "K - 1 bits, not K.": lambda k: 2 - (k + 2) / 2**k,
            "the last kind is missing. Two of them cost K - 1 bits.": lambda k: 2 - (k + 1) / 2 ** (k - 1),
            "this is what a table of equal probabilities costs. Here some kinds come more often, and "
            "cost less.": math.log2,
            "this is the limit for many kinds; with few of them it is less.": lambda k: 2.0,
            "this is in nats. Bits have the logarithm to base 2.": lambda k: _if_right(k) * math.log(2),
            "the sign is wrong: a cost is minus the logarithm.": lambda k: -_if_right(k),
        },
    )
    _expect_cost(
        answer,
        1,
        "the cost if all kinds are alike",
        _if_all_alike,
        {
            "the last kind costs as much as the one before it, K - 1 bits and not K.": lambda k: (k + 1) / 2,
            "the last kind is missing. Two of them cost K - 1 bits.": lambda k: k / 2,
            "the last kind is missing from the sum. Two of them cost K - 1 bits.": lambda k: (k - 1) / 2,
            "this is the cost under a table that knows that all are alike. The halving table does not.": (
                math.log2
            ),
            "this is the sum over the kinds. Each comes once in K: divide by K.": lambda k: (
                (k - 1) * (k + 2) / 2
            ),
            "this is in nats. Bits have the logarithm to base 2.": lambda k: _if_all_alike(k) * math.log(2),
            "this is the cost if the table is right, once more. Now every kind comes once in K.": _if_right,
        },
    )
    return (
        "A table that is right may have any number of kinds and cost less than two bits. Where all kinds "
        "are alike, it costs about K/2, and log₂ K would do."
    )


# 1.3


def _strips(n: int, seed: int) -> Tensor:
    """Return the numbers of n strips of twelve pixels, as the chapter draws them."""
    generator = torch.Generator().manual_seed(seed)
    fresh = torch.rand(n, 12, generator=generator) < 0.35
    anew = torch.rand(n, 12, generator=generator) < 0.25
    x = fresh.clone()
    for i in range(1, 12):
        x[:, i] = torch.where(anew[:, i], fresh[:, i], x[:, i - 1])
    return (x * 2 ** torch.arange(12)).sum(1)


@exercise(
    "1.3",
    "Smoothing without held-out patches",
    hints=(
        "The patches that were counted always like m = 0 best. How can some of them be made to count as "
        "unseen?",
        "Count a part of the strips and measure the rest, for many m. Or measure every strip under the "
        "table of the other 399: its own count is then smaller by one.",
        "For each m the mean of -log2((count[codes] - 1 + m / 4096) / (399 + m)). Take m from 0.1 to 10,000, "
        "each a little larger than the one before, and choose the one with the smallest mean.",
    ),
)
def _smoothing(answer: Any) -> str:
    m = number(answer, "m")
    count = torch.bincount(_strips(400, 1), minlength=4096).double()
    fresh = _strips(20_000, 2)
    expect(m >= 0, f"m is a number of patches that are added, and cannot be {m:g}.")
    expect(
        m > 0,
        f"nothing is added, and {(count[fresh] == 0).double().mean():.0%} of the fresh strips are "
        "impossible for this table: the cost is infinite.",
    )
    offered = 10 ** torch.linspace(1, 3, 101, dtype=torch.float64)
    costs = _cost_with(count, fresh, offered)
    best = int(costs.mean(1).argmin())

    def excess(m: float) -> tuple[float, float]:
        """Return how much more m costs than the best, and three standard errors of that in 400 strips."""
        more = _cost_with(count, fresh, torch.tensor([m], dtype=torch.float64))[0] - costs[best]
        return float(more.mean()), 3 * float(more.std()) / math.sqrt(400)

    def is_good(m: float) -> bool:
        more, allowed = excess(m)
        return more <= allowed

    more, allowed = excess(m)
    told = (
        f"m = {m:.4g} costs {more:.3f} bits per fresh strip more than the best m; 400 strips tell "
        f"differences from {allowed:.3f} on"
    )
    if not is_good(m):
        expect(
            not is_good(m * 4096),
            f"{told}. Is this α, what is added to each row? m is added in all: 4096 times as much.",
        )
        expect(m < offered[best], f"{told}. It is too large: the table forgets what was counted.")
        raise Wrong(
            f"{told}. It is too small. A strip that the table has counted asks for less smoothing than new "
            "ones do. If yours were left out, a few of them are a noisy measure: leave out each in its turn, "
            "and try more values of m."
        )
    return (
        f"It costs {more:.3f} bits per fresh strip more than the best m, {offered[best]:.0f}; 400 strips "
        f"tell differences only from {allowed:.3f} on. Others near it are as good."
    )


def _cost_with(count: Tensor, codes: Tensor, m: Tensor) -> Tensor:
    """Return the bits of each patch for each m, (m, patches)."""
    return -((count[codes] + m[:, None] / len(count)) / (count.sum() + m[:, None])).log2()


# 1.4


def _counts(codes: Tensor) -> Tensor:
    return codes.unique(return_counts=True)[1]


def _once(codes: Tensor) -> Tensor:
    return (_counts(codes) == 1).sum()


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
    generator = torch.Generator().manual_seed(4)
    p = 1 / torch.arange(1, 2001, dtype=torch.float64)
    many = torch.multinomial(p, 3000, replacement=True, generator=generator)
    samples = [
        torch.tensor([7, 7, 7, 1, 2, 2, 13, 4, 4, 4, 4, 3, 8, 8, 8]),
        torch.tensor([5, 0, 5, 11, 3, 3, 5, 60_000]),
        torch.tensor([2, 2, 6, 6, 6]),
        torch.arange(50),
        torch.tensor([3]),
        many,
    ]
    expect_function(
        answer,
        lambda codes: _once(codes) / len(codes),
        [{"codes": codes} for codes in samples],
        name="the share",
        read=lambda value: number(value, "the share", finite=False),
        mistakes={
            "this is how many occurred once. A share of the patches is asked for.": _once,
            "this is the share of the *kinds* that occurred once. One patch in how many is news? Divide "
            "by the number of patches.": lambda codes: _once(codes) / len(_counts(codes)),
            "this is the share of kinds among the patches: each kind was news once, when it first came. What "
            "comes next is asked.": lambda codes: len(_counts(codes)) / len(codes),
            "this is the share of patches that are not news, the complement.": (
                lambda codes: 1 - _once(codes) / len(codes)
            ),
            "this counts the first coming of kinds that came again.": (
                lambda codes: (_counts(codes) > 1).sum() / len(codes)
            ),
            "this is the share of patches that came again: all but one of each kind.": (
                lambda codes: 1 - len(_counts(codes)) / len(codes)
            ),
            "these are numbers between 0 and the largest that did not occur. Patches that come next are "
            "asked for, not rows of the table.": lambda codes: (torch.bincount(codes) == 0).double().mean(),
            "divided by the rows up to the largest number that occurred. A share of the patches is asked "
            "for: divide by how many there are.": lambda codes: (torch.bincount(codes) == 1).double().mean(),
            "divided by one less than there are patches. Each of all n was left out once.": (
                lambda codes: _once(codes) / (len(codes) - 1)
            ),
            "divided by one more than there are patches. Each of all n was left out once.": (
                lambda codes: _once(codes) / (len(codes) + 1)
            ),
            "one is added above and below, as in smoothing. The share itself is asked for.": (
                lambda codes: (_once(codes) + 1) / (len(codes) + 1)
            ),
            "kinds that occurred twice are counted. With one of the two taken away, the other is left: it is "
            "no news.": lambda codes: (_counts(codes) == 2).sum() / len(codes),
            "kinds that occurred twice count here, too. With one of the two taken away, the other is left.": (
                lambda codes: (_counts(codes) <= 2).sum() / len(codes)
            ),
        },
    )
    truth = p[torch.bincount(many, minlength=2000) == 0].sum() / p.sum()
    found = number(call(answer, many), "the share")
    return f"Where the truth is known, {truth:.3f} of what comes is new; you estimate {found:.3f} without it."


# 1.5


def _by_pixel(x: Tensor, p: Tensor) -> Tensor:
    return -torch.where(x == 1, p.log2(), (1 - p).log2())


def _for_each_image(value: Any) -> Tensor:
    found = tensor(value, name="the result", nan=True)
    expect(
        not bool((found == math.inf).any()),
        "your bits are infinite: the product of 784 probabilities is smaller than any number that the "
        "computer has, and becomes 0. Add logarithms instead.",
    )
    if found.ndim > 0 and found.shape[-1] == 784:
        raise Wrong(
            "this is one number for each pixel. Add up the pixels of an image."
            if found.ndim > 1
            else "summed over the images. Add up the pixels of each image instead: dimension 1."
        )
    return found


@exercise(
    "1.5",
    "The bits of an image",
    hints=(
        "For one pixel: the coin shows 1 with probability p, so 0 with 1 - p. Which of them happened?",
        "The logarithm of the product is the sum of logarithms. Take the logarithm of each pixel before "
        "anything is multiplied.",
        "-(x * p.log2() + (1 - x) * (1 - p).log2()).sum(1).",
    ),
)
def _image_bits(answer: Any) -> str:
    p, other = 0.02 + 0.96 * torch.rand(2, 784)
    x, one = torch.bernoulli(p.expand(6, 784)), torch.bernoulli(other[None])
    unlikely = torch.cat([(p < 0.5).float()[None], x[:2]])  # every pixel shows what it rarely shows
    sure = torch.tensor([1e-6, 1 - 1e-6]).repeat(392)  # the first image shows what hardly ever occurs
    cases = [
        {"x": x, "p": p},
        {"x": one, "p": other},
        {"x": unlikely, "p": p},
        {"x": torch.stack([1 - sure.round(), x[0]]), "p": sure},
    ]
    expect_function(
        answer,
        lambda x, p: _by_pixel(x, p).sum(1),
        cases,
        name="the bits",
        read=_for_each_image,
        mistakes={
            "these are nats. Bits take log2, or divide by log 2.": lambda x, p: (
                _by_pixel(x, p).sum(1) * math.log(2)
            ),
            "the sign is wrong: bits are minus the logarithm.": lambda x, p: -_by_pixel(x, p).sum(1),
            "this is the mean over the pixels: bits per pixel. An image pays for all of its pixels.": (
                lambda x, p: _by_pixel(x, p).mean(1)
            ),
            "white pixels are counted, black ones are not. A pixel that is 0 has probability 1 - p, and "
            "costs too.": lambda x, p: -(x * p.log2()).sum(1),
            "black pixels are counted, white ones are not. A pixel that is 1 has probability p, and costs "
            "too.": lambda x, p: -((1 - x) * (1 - p).log2()).sum(1),
            "black and white are exchanged: p is the probability of 1.": lambda x, p: _by_pixel(1 - x, p).sum(
                1
            ),
            "this is one number for all images. Keep them apart: one for each, shape (n,).": lambda x, p: (
                _by_pixel(x, p).sum()
            ),
            "for a batch of one image this is a number without dimensions. Its shape should be (1,), as that "
            "of any other batch is (n,).": lambda x, p: _by_pixel(x, p).sum(1).squeeze(),
            "a black pixel counts with the wrong sign: its bits are added, too.": lambda x, p: (
                -(x * p.log2() - (1 - x) * (1 - p).log2()).sum(1)
            ),
            "1 - p is counted for every pixel, and not for the black ones alone.": lambda x, p: (
                -(x * p.log2() + (1 - p).log2()).sum(1)
            ),
            "a small number is added to the probabilities. None is zero here, and rare pixels then cost too "
            "little.": lambda x, p: -(torch.where(x == 1, p, 1 - p) + 1e-8).log2().sum(1),
            "p and 1 - p were mixed before the logarithm was taken over the whole image: a sum of "
            "probabilities is not a product.": lambda x, p: -torch.where(x == 1, p, 1 - p).sum(1).log2(),
        },
    )
    return "Summed in the logarithm, where nothing can vanish."


# 1.6


def _log_mixture(log_a: Tensor, log_b: Tensor, weight: float) -> Tensor:
    return torch.logaddexp(log_a + math.log(weight), log_b + math.log(1 - weight))


def _shifted(log_a: Tensor, log_b: Tensor, weight: float, shift: Tensor) -> Tensor:
    return shift + (weight * (log_a - shift).exp() + (1 - weight) * (log_b - shift).exp()).log()


@exercise(
    "1.6",
    "A mixture",
    hints=(
        "weight · a is a product: what does it become in the logarithm? Then two probabilities have to "
        "be added, of which only logarithms are known.",
        "torch.logaddexp(u, v) is log(exp(u) + exp(v)), computed so that nothing underflows.",
        "torch.logaddexp(log_a + math.log(weight), log_b + math.log(1 - weight)).",
    ),
)
def _mixture(answer: Any) -> str:
    inf = math.inf
    cases = [
        {
            "log_a": torch.tensor([-1.0, -2.0, -inf, -4.0, -2.0], dtype=torch.float64),
            "log_b": torch.tensor([-3.0, -0.5, -2.0, -4.0, -inf], dtype=torch.float64),
            "weight": 0.8,
        },
        {"log_a": torch.tensor([-7.0]), "log_b": torch.tensor([-7.5]), "weight": 0.3},
        {
            "log_a": torch.tensor([-900.0, -1.0, -1900.0, -1.0, -inf]),
            "log_b": torch.tensor([-905.0, -3.0, -1500.0, -900.0, -2000.0]),
            "weight": 0.99,
        },
        {
            "log_a": torch.tensor([-800.0, -1400.0, -1900.0]),
            "log_b": torch.tensor([-802.0, -1405.0, -1500.0]),
            "weight": 0.1,
        },
    ]
    expect_function(
        answer,
        _log_mixture,
        cases,
        name="log p",
        mistakes={
            "this is the weighted mean of the logarithms. Probabilities are mixed, not their logarithms: "
            "one part that says impossible would forbid everything.": lambda a, b, w: w * a + (1 - w) * b,
            "the weights are missing: this sums to two.": lambda a, b, w: torch.logaddexp(a, b),
            "the weights are exchanged: weight belongs to a.": lambda a, b, w: _log_mixture(b, a, w),
            "the weights stand outside the logarithm as factors. log(weight · a) = log(weight) + log(a).": (
                lambda a, b, w: torch.logaddexp(w * a, (1 - w) * b)
            ),
            "the weights themselves were added. In the logarithm it is their logarithms that are added.": (
                lambda a, b, w: torch.logaddexp(a + w, b + 1 - w)
            ),
            "this is the probability. The logarithm of it is asked for.": (
                lambda a, b, w: w * a.exp() + (1 - w) * b.exp()
            ),
            "both parts were weighed by weight. The other one has 1 - weight.": (
                lambda a, b, w: torch.logaddexp(a, b) + math.log(w)
            ),
            "this is the larger part alone; the other one counts as well.": (
                lambda a, b, w: torch.maximum(a + math.log(w), b + math.log(1 - w))
            ),
            "right for probable things. A probability of e^-900 is 0 for the computer, even in float64, and "
            "its logarithm -inf: add without leaving the logarithm, torch.logaddexp.": (
                lambda a, b, w: (w * a.exp() + (1 - w) * b.exp()).log()
            ),
            "right for images that are about equally probable. The largest logarithm of the whole batch was "
            "subtracted, and beside it e^-900 is 0: each image has its own largest.": (
                lambda a, b, w: _shifted(a, b, w, torch.maximum(a, b).max())
            ),
            "right where a is possible. Where log_a is -inf, it is subtracted from itself, and the result "
            "is NaN: subtract the larger of the two, or use torch.logaddexp.": (
                lambda a, b, w: a + (w + (1 - w) * (b - a).exp()).log()
            ),
            "right where b is possible. Where log_b is -inf, it is subtracted from itself, and the result "
            "is NaN: subtract the larger of the two, or use torch.logaddexp.": (
                lambda a, b, w: _shifted(a, b, w, b)
            ),
            "right where both are possible and about equally probable. The smaller of the two is subtracted, "
            "and e^(larger - smaller) may be infinite: subtract the larger.": (
                lambda a, b, w: _shifted(a, b, w, torch.minimum(a, b))
            ),
            "this is the cost: minus the logarithm of the probability. The logarithm itself is asked for.": (
                lambda a, b, w: -_log_mixture(a, b, w)
            ),
            "this is the logarithm to base 2. The two that are given are natural ones: so should this be.": (
                lambda a, b, w: _log_mixture(a, b, w) / math.log(2)
            ),
            "this is the logarithm of the product of the two. A mixture is their weighted sum.": (
                lambda a, b, w: a + math.log(w) + b + math.log(1 - w)
            ),
        },
    )
    return "A part that says impossible costs only the logarithm of the other's weight."


# 1.7


def _log_x_given_y(x: Tensor, p: Tensor) -> Tensor:
    """Return log p(x | y) of each pixel, (n, K, d)."""
    return torch.where(x[:, None] == 1, p.log(), (1 - p).log())


def _log_joint(x: Tensor, p: Tensor, p_y: Tensor) -> Tensor:
    return _log_x_given_y(x, p).sum(2) + p_y.log()


@exercise(
    "1.7",
    "A classifier that is never sure",
    hints=(
        "Follow one image of 784 pixels. About how many nats does log p(x | y) come to, and what has "
        "log_joint?",
        "The sureness comes from differences between the labels. Which line makes them 784 times too small?",
        "The probabilities of the pixels are multiplied, so their logarithms are added: a mean over the "
        "pixels is the logarithm of a 784th root.",
    ),
)
def _posterior(answer: Any) -> str:
    p = 0.05 + 0.9 * torch.rand(3, 784)
    p_y = torch.tensor([0.7, 0.2, 0.1])
    dark = 0.03 + 0.05 * torch.rand(3, 784)  # for which a white sheet has less than e^-2000
    alike = (0.4 + 0.03 * torch.randn(4, 30)).clamp(0.1, 0.9)
    x = torch.cat([torch.bernoulli(p), (p[:1] < 0.5).float(), (p[2:] < 0.5).float()])  # typical, unlikely
    cases = [
        {"x": torch.bernoulli(alike[0].expand(6, 30)), "p": alike, "p_y": torch.tensor([0.1, 0.2, 0.3, 0.4])},
        {"x": torch.bernoulli(alike[:1, :9]), "p": alike[:2, :9], "p_y": torch.tensor([0.6, 0.4])},
        {"x": x, "p": p, "p_y": p_y},
        {"x": torch.cat([torch.ones(1, 784), torch.bernoulli(dark)]), "p": dark, "p_y": p_y},
    ]

    def repaired(change: Any) -> Any:
        return lambda x, p, p_y: change(_log_x_given_y(x, p), p_y).softmax(1)

    expect_function(
        answer,
        lambda x, p, p_y: _log_joint(x, p, p_y).softmax(1),
        cases,
        name="p(y | x)",
        unchanged=repaired(lambda pixels, p_y: pixels.mean(2) + p_y.log()),
        rtol=1e-3,
        mistakes={
            "the pixels are added now, and p(y) got lost: a rare label needs more evidence.": repaired(
                lambda pixels, p_y: pixels.sum(2)
            ),
            "now p(y) is divided, too: the best label is the same as in Bayes' rule, and never sure. A "
            "product of probabilities is a sum of logarithms.": repaired(
                lambda pixels, p_y: (pixels.sum(2) + p_y.log()) / pixels.shape[2]
            ),
            "log p(y) is counted once for each pixel. An image has one label.": repaired(
                lambda pixels, p_y: (pixels + p_y.log()[:, None]).sum(2)
            ),
            "p(y) itself is added. Beside logarithms stands its logarithm.": repaired(
                lambda pixels, p_y: pixels.sum(2) + p_y
            ),
            "the mean over the pixels is multiplied by the number of images. There are as many terms as "
            "pixels.": repaired(lambda pixels, p_y: pixels.mean(2) * len(pixels) + p_y.log()),
            "the mean over the pixels is still there, and p(y) is gone, which is not to blame: no label "
            "is sure without it either.": repaired(lambda pixels, p_y: pixels.mean(2)),
            "the mean is multiplied by 784, and that is right for 784 pixels only: add them up.": repaired(
                lambda pixels, p_y: pixels.mean(2) * 784 + p_y.log()
            ),
            "the probabilities of the pixels are added. They are multiplied, so it is their logarithms that "
            "are added.": repaired(lambda pixels, p_y: pixels.exp().sum(2).log() + p_y.log()),
            "black and white are exchanged now: p is the probability of a one.": lambda x, p, p_y: _log_joint(
                1 - x, p, p_y
            ).softmax(1),
            "black pixels are left out now. A pixel that is 0 has probability 1 - p, and tells something, "
            "too.": lambda x, p, p_y: (x @ p.log().T + p_y.log()).softmax(1),
            "the most probable label has 1 here, and the others 0. How sure the model is was asked.": (
                lambda x, p, p_y: F.one_hot(_log_joint(x, p, p_y).argmax(1), len(p_y))
            ),
            "normalized over the images. The labels of one image have to sum to one: dimension 1.": (
                lambda x, p, p_y: _log_joint(x, p, p_y).softmax(0)
            ),
            "this is the logarithm. Probabilities are asked for.": (
                lambda x, p, p_y: _log_joint(x, p, p_y).log_softmax(1)
            ),
            "this is p(x | y) p(y), which does not sum to one. Divide by the sum over y.": (
                lambda x, p, p_y: _log_joint(x, p, p_y).exp()
            ),
            "right for small images. With 784 pixels the product of the probabilities is 0 for the computer, "
            "and the result NaN: add the logarithms of the pixels, and divide in the logarithm, too.": (
                lambda x, p, p_y: F.normalize(_log_joint(x, p, p_y).exp(), p=1, dim=1, eps=0.0)
            ),
            "right for images that are not too improbable. For others the product of the probabilities is 0 "
            "even in float64, and the result NaN: add the logarithms, and divide in the logarithm, too.": (
                lambda x, p, p_y: F.normalize(_log_joint(x, p, p_y).double().exp(), p=1, dim=1, eps=0.0)
            ),
            "right for images that are about equally probable. The largest logarithm of the whole batch was "
            "subtracted: each image has its own.": (
                lambda x, p, p_y: _by_the_largest_of_all(_log_joint(x, p, p_y))
            ),
        },
    )
    return "Added up, the pixels make it sure. Surer than it should be? That is next."


def _by_the_largest_of_all(log_joint: Tensor) -> Tensor:
    p = (log_joint - log_joint.max()).exp()
    return p / p.sum(1, keepdim=True)
