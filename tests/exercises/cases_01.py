"""Answers to the exercises of chapter 1: other right ways, and known mistakes with their messages."""

import math
from collections import Counter

import numpy as np
import torch
from scipy.special import logsumexp
from torch.distributions import Bernoulli, Categorical, Independent

RIGHT = {}
WRONG = {}


# 1.1: a table that learns from its own draws ---------------------------------------------------------


def generations():
    p = torch.full((200, 16), 1 / 16)
    for _ in range(100):
        p = torch.nn.functional.one_hot(torch.multinomial(p, 100, replacement=True), 16).double().mean(1)
    return (p > 0).sum(1).double().mean().item()


def fewer_draws():
    return generations() / 2


RIGHT["1.1"] = [(1, generations), (np.float64(2.5), generations), (torch.tensor([3]), generations)]
WRONG["1.1"] = [
    ((16, generations), "nothing pulls the shares back"),
    ((4, generations), "you said 4"),
    ((0, generations), "between 1 and 16"),
    (("all", generations), "should be a number"),
    ((2, fewer_draws), "Was it changed?"),
]


# 1.2: a table that halves ----------------------------------------------------------------------------


def term_by_term(kinds):
    length = [*range(1, kinds), kinds - 1]
    return sum(bits * 0.5**bits for bits in length), sum(length) / kinds


def from_the_table(kinds):
    p = 0.5 ** torch.tensor([*range(1, kinds), kinds - 1])
    return torch.stack([-(p * p.log2()).sum(), -p.log2().mean()])


def second(function):
    return lambda kinds: (2 - 2 ** (2 - kinds), function(kinds))


RIGHT["1.2"] = [
    term_by_term,
    from_the_table,
    lambda kinds: [2 - 0.5 ** (kinds - 2), (kinds + 1) / 2 - 1 / kinds],
    lambda kinds: np.array([2 * (1 - 0.5 ** (kinds - 1)), (kinds + 1 - 2 / kinds) / 2]),
    lambda kinds: (torch.tensor(2 - 2.0 ** (2 - kinds)), (kinds**2 + kinds - 2) / (2 * kinds)),
]
WRONG["1.2"] = [
    (lambda kinds: 2 - 2 ** (2 - kinds), "two numbers are asked for"),
    (lambda kinds: term_by_term(kinds)[::-1], "are exchanged"),
    (lambda kinds: (2 - (kinds + 2) / 2**kinds, (kinds + 1) / 2), "K - 1 bits, not K"),
    (lambda kinds: (2 - (kinds + 1) / 2 ** (kinds - 1), 0.0), "last kind is missing"),
    (lambda kinds: (math.log2(kinds), 0.0), "equal probabilities"),
    (lambda kinds: (2, 0.0), "the limit for many kinds"),
    (lambda kinds: (2 - kinds * 0.5**kinds, 0.0), "if the table is right should be"),
    (lambda kinds: tuple(math.log(2) * x for x in term_by_term(kinds)), "in nats"),
    (lambda kinds: tuple(-x for x in term_by_term(kinds)), "the sign is wrong"),
    (second(lambda kinds: (kinds + 1) / 2), "K - 1 bits and not K"),
    (second(lambda kinds: kinds / 2), "last kind is missing"),
    (second(lambda kinds: (kinds - 1) / 2), "missing from the sum"),
    (lambda kinds: (2 - 0.5**14, 0.0), "should be 1.5"),  # right for 16
    (lambda kinds: {"right": 1.5, "alike": 5 / 3}, "two numbers are asked for"),
    (second(math.log2), "The halving table does not"),
    (second(lambda kinds: (kinds - 1) * (kinds + 2) / 2), "divide by K"),
    (second(lambda kinds: 2 - 2 ** (2 - kinds)), "once more"),
    (second(lambda kinds: kinds / 4 + 11 / 12), "if all kinds are alike should be"),  # right for three
]


# 1.3: smoothing without held-out patches -------------------------------------------------------------

RIGHT["1.3"] = [50, 100.0, np.float32(125.0), torch.tensor([200])]
WRONG["1.3"] = [
    (0, "the cost is infinite"),
    (-3, "cannot be -3"),
    (4096, "too large"),
    (400, "too large"),
    (1.0, "too small"),
    (20, "too small"),
    (0.025, "Is this α"),
    (math.inf, "not a finite number"),
]


# 1.4: how much is still unseen -----------------------------------------------------------------------


def leave_one_out(codes):
    counter = Counter(codes.tolist())
    return np.mean([counter[code] - 1 == 0 for code in codes.tolist()])


def with_bincount(codes):
    return (torch.bincount(codes) == 1).sum() / codes.numel()


def kinds_once(codes):
    _, count = codes.unique(return_counts=True)
    return (count == 1).double().mean()


def seen_again(codes):
    _, count = codes.unique(return_counts=True)
    return (count > 1).sum() / len(codes)


RIGHT["1.4"] = [
    leave_one_out,
    with_bincount,
    lambda codes: ((codes[:, None] == codes[None]).sum(1) == 1).double().mean(),
]
WRONG["1.4"] = [
    (lambda codes: (torch.bincount(codes) == 1).sum(), "this is how many"),
    (kinds_once, "Divide by the number of patches"),
    (lambda codes: len(codes.unique()) / len(codes), "each kind was news once"),
    (lambda codes: 1 - with_bincount(codes), "the complement"),
    (seen_again, "came again"),
    (lambda codes: (torch.bincount(codes) == 0).double().mean(), "not rows of the table"),
    (lambda codes: 0.2, "the share should be"),  # right for the first sample
    (lambda codes: (torch.bincount(codes) == 1).double().mean(), "the rows up to the largest"),
    (lambda codes: 1 - len(codes.unique()) / len(codes), "all but one of each kind"),
    (lambda codes: (torch.bincount(codes) == 1).sum() / (len(codes) - 1), "Each of all n"),
    (lambda codes: (torch.bincount(codes) == 1).sum() / (len(codes) + 1), "one more than"),
    (lambda codes: ((torch.bincount(codes) == 1).sum() + 1) / (len(codes) + 1), "as in smoothing"),
    (lambda codes: (torch.bincount(codes) == 2).sum() / len(codes), "it is no news"),
    (
        lambda codes: (codes.unique(return_counts=True)[1] <= 2).sum() / len(codes),
        "the other is left.",
    ),
    (lambda codes: ((codes[:, None] == codes[None]).sum(1) < 2).sum(), "this is how many"),
]


# 1.5: the bits of an image ---------------------------------------------------------------------------


def product(x, p):
    return -torch.where(x == 1, p, 1 - p).prod(1).log2()


RIGHT["1.5"] = [
    lambda x, p: -Independent(Bernoulli(probs=p), 1).log_prob(x) / math.log(2),
    lambda x, p: -torch.where(x == 1, p, 1 - p).log2().sum(1),
    lambda x, p: -(x @ p.log2() + (1 - x) @ (1 - p).log2()),
    lambda x, p: torch.stack([-(image * p + (1 - image) * (1 - p)).log2().sum() for image in x]),
]
WRONG["1.5"] = [
    (product, "the product of 784 probabilities"),
    (lambda x, p: product(x, p.double()), "the product of 784 probabilities"),  # but for unlikely images
    (lambda x, p: -((1 - x) * (1 - p).log2()).sum(1), "white ones are not"),
    (lambda x, p: -(torch.where(x == 1, p, 1 - p) + 1e-5).log2().sum(1), "the bits should be"),
    (lambda x, p: -(torch.where(x == 1, p, 1 - p) + 1e-8).log2().sum(1), "a small number is added"),
    (lambda x, p: -torch.where(x == 1, p, 1 - p).clamp(0.02).log2().sum(1), "the bits should be"),
    (lambda x, p: -torch.where(x == 1, p, 1 - p).log2().sum(1).squeeze(), "a batch of one image"),
    (lambda x, p: -(x * p.log2() - (1 - x) * (1 - p).log2()).sum(1), "the wrong sign"),
    (lambda x, p: -(x * p.log2() + (1 - p).log2()).sum(1), "the black ones alone"),
    (lambda x, p: -(x * p.log() + (1 - x) * (1 - p).log()).sum(1), "these are nats"),
    (lambda x, p: (x * p.log2() + (1 - x) * (1 - p).log2()).sum(1), "the sign is wrong"),
    (lambda x, p: -(x * p.log2() + (1 - x) * (1 - p).log2()).mean(1), "bits per pixel"),
    (lambda x, p: -(x * p.log2()).sum(1), "black ones are not"),
    (lambda x, p: -((1 - x) * p.log2() + x * (1 - p).log2()).sum(1), "exchanged"),
    (lambda x, p: -(x * p.log2() + (1 - x) * (1 - p).log2()).sum(), "one number for all images"),
    (lambda x, p: -(x * p.log2() + (1 - x) * (1 - p).log2()), "one number for each pixel"),
    (lambda x, p: -(x * p.log2() + (1 - x) * (1 - p).log2()).sum(0), "summed over the images"),
    (lambda x, p: -torch.where(x == 1, p, 1 - p).sum(1).log2(), "is not a product"),
]


# 1.6: a mixture --------------------------------------------------------------------------------------


def with_distributions(log_a, log_b, weight):
    both = torch.stack([log_a, log_b])
    return both.add(torch.tensor([weight, 1 - weight]).log()[:, None]).logsumexp(0)


def with_a_shift(log_a, log_b, weight, shift):
    return shift + (weight * (log_a - shift).exp() + (1 - weight) * (log_b - shift).exp()).log()


def subtract_the_largest(log_a, log_b, weight):
    return with_a_shift(log_a, log_b, weight, torch.maximum(log_a, log_b))


def one_shift_for_all(log_a, log_b, weight):
    return with_a_shift(log_a, log_b, weight, torch.maximum(log_a, log_b).max())


RIGHT["1.6"] = [
    with_distributions,
    subtract_the_largest,
    lambda log_a, log_b, weight: logsumexp(
        np.stack([log_a.numpy(), log_b.numpy()]), axis=0, b=np.array([[weight], [1 - weight]])
    ),
]
WRONG["1.6"] = [
    (lambda log_a, log_b, weight: weight * log_a + (1 - weight) * log_b, "weighted mean of the logarithms"),
    (lambda log_a, log_b, weight: torch.logaddexp(log_a, log_b), "the weights are missing"),
    (
        lambda log_a, log_b, weight: torch.logaddexp(log_a + math.log(1 - weight), log_b + math.log(weight)),
        "are exchanged",
    ),
    (
        lambda log_a, log_b, weight: torch.logaddexp(weight * log_a, (1 - weight) * log_b),
        "outside the logarithm",
    ),
    (
        lambda log_a, log_b, weight: torch.logaddexp(log_a + weight, log_b + 1 - weight),
        "weights themselves were added",
    ),
    (
        lambda log_a, log_b, weight: weight * log_a.exp() + (1 - weight) * log_b.exp(),
        "this is the probability",
    ),
    (
        lambda log_a, log_b, weight: (weight * log_a.exp() + (1 - weight) * log_b.exp()).log(),
        "without leaving the logarithm",
    ),
    (
        lambda log_a, log_b, weight: torch.logaddexp(log_a, log_b) + math.log(weight),
        "The other one has",
    ),
    (
        lambda log_a, log_b, weight: torch.maximum(log_a + math.log(weight), log_b + math.log(1 - weight)),
        "the larger part alone",
    ),
    (
        lambda log_a, log_b, weight: log_a + (weight + (1 - weight) * (log_b - log_a).exp()).log(),
        "subtracted from itself",
    ),
    (
        lambda log_a, log_b, weight: with_a_shift(log_a, log_b, weight, log_a.max()),
        "each image has its own largest",
    ),
    (
        lambda log_a, log_b, weight: (
            weight * log_a.double().exp() + (1 - weight) * log_b.double().exp()
        ).log(),
        "even in float64",
    ),
    (one_shift_for_all, "each image has its own largest"),
    (lambda log_a, log_b, weight: with_a_shift(log_a, log_b, weight, log_b), "right where b is possible"),
    (
        lambda log_a, log_b, weight: with_a_shift(log_a, log_b, weight, torch.minimum(log_a, log_b)),
        "The smaller of the two",
    ),
    (lambda log_a, log_b, weight: -with_distributions(log_a, log_b, weight), "this is the cost"),
    (lambda *given: with_distributions(*given) / math.log(2), "to base 2"),
    (
        lambda log_a, log_b, weight: log_a + log_b + math.log(weight) + math.log(1 - weight),
        "logarithm of the product",
    ),
    (lambda log_a, log_b, weight: with_distributions(log_a, log_b, 0.8), "log p should be"),
]


# 1.7: a classifier that is never sure ----------------------------------------------------------------


def log_pixels(x, p):
    return torch.where(x[:, None] == 1, p.log(), (1 - p).log())


def log_joint(x, p, p_y):
    return log_pixels(x, p).sum(2) + p_y.log()


def by_hand(x, p, p_y):
    joint = log_joint(x, p, p_y)
    joint = (joint - joint.amax(1, keepdim=True)).exp()
    return joint / joint.sum(1, keepdim=True)


def in_the_open(x, p, p_y):
    joint = log_joint(x, p, p_y).exp()
    return joint / joint.sum(1, keepdim=True)


def one_for_all(x, p, p_y):
    joint = log_joint(x, p, p_y)
    joint = (joint - joint.max()).exp()
    return joint / joint.sum(1, keepdim=True)


def by_the_mean_of_a_row(x, p, p_y):
    joint = log_joint(x, p, p_y)
    joint = (joint - joint.mean(1, keepdim=True)).exp()
    return joint / joint.sum(1, keepdim=True)


RIGHT["1.7"] = [
    by_hand,
    lambda x, p, p_y: (log_pixels(x, p).mean(2) * x.shape[1] + p_y.log()).softmax(1),
    lambda x, p, p_y: (x @ p.log().T + (1 - x) @ (1 - p).log().T + p_y.log()).softmax(1),
    lambda x, p, p_y: (
        Categorical(
            logits=torch.stack([Independent(Bernoulli(probs=q), 1).log_prob(x) for q in p], 1) + p_y.log()
        ).probs
    ),
]
WRONG["1.7"] = [
    (lambda x, p, p_y: log_pixels(x, p).sum(2).softmax(1), "p(y) got lost"),
    (lambda x, p, p_y: log_pixels(x, p).mean(2).softmax(1), "is gone"),
    (lambda x, p, p_y: (log_joint(x, p, p_y) / x.shape[1]).softmax(1), "never sure"),
    (lambda x, p, p_y: (log_pixels(x, p) + p_y.log()[:, None]).sum(2).softmax(1), "once for each pixel"),
    (lambda x, p, p_y: (log_pixels(x, p).sum(2) + p_y).softmax(1), "p(y) itself"),
    (lambda x, p, p_y: (log_pixels(x, p).mean(2) * len(x) + p_y.log()).softmax(1), "number of images"),
    (lambda x, p, p_y: (log_pixels(x, p).mean(2) * 784 + p_y.log()).softmax(1), "784 pixels only"),
    (lambda x, p, p_y: (log_pixels(x, p).exp().sum(2).log() + p_y.log()).softmax(1), "are added. They"),
    (lambda x, p, p_y: (log_pixels(x, p).exp().prod(2).log() + p_y.log()).softmax(1), "the product of"),
    (lambda x, p, p_y: log_joint(1 - x, p, p_y).softmax(1), "black and white"),
    (lambda x, p, p_y: (x @ p.log().T + p_y.log()).softmax(1), "black pixels are left out"),
    (
        lambda x, p, p_y: torch.nn.functional.one_hot(log_joint(x, p, p_y).argmax(1), len(p_y)),
        "most probable label",
    ),
    (lambda x, p, p_y: log_joint(x, p, p_y).softmax(0), "over the images"),
    (lambda x, p, p_y: log_joint(x, p, p_y).log_softmax(1), "this is the logarithm"),
    (lambda x, p, p_y: log_joint(x, p, p_y).exp(), "which does not sum to one"),
    (in_the_open, "the product of the probabilities"),
    (lambda x, p, p_y: in_the_open(x, p.double(), p_y), "even in float64"),
    (one_for_all, "each image has its own"),
    (by_the_mean_of_a_row, "p(y | x) contains NaN"),
    (lambda x, p, p_y: log_joint(x, p, p_y).argmax(1), "should have shape"),
]
