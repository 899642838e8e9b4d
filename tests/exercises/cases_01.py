"""Answers to the exercises of chapter 1: other right ways, and known mistakes with their messages."""

import math
from collections import Counter

import numpy as np
import torch
from scipy.special import logsumexp
from torch.distributions import Bernoulli, Categorical, Independent

RIGHT = {}
WRONG = {}


# 1.1: a table by counting ----------------------------------------------------------------------------


def with_a_loop(codes, kinds):
    table = torch.zeros(kinds)
    for code in codes:
        table[code] += 1
    return table / table.sum()


def only_seen(codes, kinds):
    _, count = codes.unique(return_counts=True)
    return count / len(codes)


RIGHT["1.1"] = [
    with_a_loop,
    lambda codes, kinds: torch.nn.functional.one_hot(codes, kinds).double().mean(0),
    lambda codes, kinds: np.bincount(codes.numpy(), minlength=kinds) / len(codes),
    lambda codes, kinds: [(codes == kind).float().mean().item() for kind in range(kinds)],
    lambda codes, kinds: torch.histc(codes.float(), kinds, -0.5, kinds - 0.5) / len(codes),
]
WRONG["1.1"] = [
    (lambda codes, kinds: torch.bincount(codes) / len(codes), "ends at the largest kind"),
    (only_seen, "only the kinds that occurred are listed"),
    (lambda codes, kinds: torch.bincount(codes, minlength=kinds), "these are counts"),
    (lambda codes, kinds: torch.bincount(codes, minlength=kinds) / kinds, "divided by the number of kinds"),
    (lambda codes, kinds: torch.bincount(codes, minlength=kinds).float().softmax(0), "softmax makes"),
    (
        lambda codes, kinds: (torch.bincount(codes, minlength=kinds) + 1) / (len(codes) + kinds),
        "a pseudo-count was added",
    ),
    (lambda codes, kinds: torch.full((kinds,), 1 / kinds), "the table should be"),
]


# 1.2: the cost of a table ----------------------------------------------------------------------------


def clipped(p, codes):
    return -(p[codes] + 1e-8).log2().mean()


RIGHT["1.2"] = [
    lambda p, codes: -sum(math.log2(p[c]) if p[c] > 0 else -math.inf for c in codes) / len(codes),
    lambda p, codes: (
        -Categorical(probs=p, validate_args=False).log_prob(codes).mean() / math.log(2)
        if (p > 0).all()
        else torch.tensor(math.inf)
    ),
    lambda p, codes: (1 / p[codes]).log2().mean(),
    lambda p, codes: -p.gather(0, codes).log().mean().div(math.log(2)),
]
WRONG["1.2"] = [
    (lambda p, codes: -p[codes].log().mean(), "these are nats"),
    (lambda p, codes: p[codes].log2().mean(), "the sign is wrong"),
    (lambda p, codes: p[codes].log().mean(), "the logarithm is natural"),
    (lambda p, codes: -p[codes].mean().log2(), "logarithm of the mean"),
    (lambda p, codes: -p[codes].log2().sum(), "the sum over all patches"),
    (lambda p, codes: -p[codes].log2(), "has shape (6,)"),
    (lambda p, codes: -(p * p.log2()).sum(), "never looked at the held-out"),
    (lambda p, codes: -p.log2().mean(), "each counted once"),
    (lambda p, codes: -(p[codes] * p[codes].log2()).mean(), "once more"),
    (clipped, "hides the zero"),
]


# 1.3: a smoothed table -------------------------------------------------------------------------------


def with_a_mixture(count, m):
    n = count.sum()
    uniform = torch.full_like(count, 1 / len(count))
    return n / (n + m) * (count / n) + m / (n + m) * uniform


def then_normalized(count, m):
    more = count + m / count.numel()
    return more / more.sum()


RIGHT["1.3"] = [
    with_a_mixture,
    then_normalized,
    lambda count, m: np.array([(c + m / len(count)) / (sum(count) + m) for c in count]),
]
WRONG["1.3"] = [
    (lambda count, m: (count + m) / (count.sum() + m * len(count)), "m was added to every row. There are"),
    (lambda count, m: (count + m) / (count.sum() + m), "the total was left too small"),
    (lambda count, m: (count + m / len(count)) / count.sum(), "sums to more than one"),
    (lambda count, m: (count + 1) / (count.sum() + len(count)), "whatever m is"),
    (lambda count, m: count / (count.sum() + m), "the rows got nothing"),
    (lambda count, m: count / count.sum(), "no smoothing here"),
    (
        lambda count, m: torch.where(count == 0, m / (count == 0).sum(), count) / (count.sum() + m),
        "Seen or not",
    ),
    (lambda count, m: 0.5 * count / count.sum() + 0.5 / len(count), "half the counts"),
    (lambda count, m: (count + 0.4) / (count.sum() + 2.0), "a hundred times as many"),
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
    (lambda codes: 0.2, "when every patch occurred once"),
]


# 1.5: the bits of an image ---------------------------------------------------------------------------


def product(x, p):
    return -torch.where(x == 1, p, 1 - p).prod(1).log2()


RIGHT["1.5"] = [
    lambda x, p: -Independent(Bernoulli(probs=p), 1).log_prob(x) / math.log(2),
    lambda x, p: -torch.where(x == 1, p, 1 - p).log2().sum(1),
    lambda x, p: -(x @ p.log2() + (1 - x) @ (1 - p).log2()),
    lambda x, p: -torch.where(x == 1, p, 1 - p).double().prod(1).log2(),
]
WRONG["1.5"] = [
    (product, "the product of 784 probabilities"),
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


def subtract_the_largest(log_a, log_b, weight):
    largest = torch.maximum(log_a, log_b)
    rest = weight * (log_a - largest).exp() + (1 - weight) * (log_b - largest).exp()
    return largest + rest.log()


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
        "copes with -inf",
    ),
]


# 1.7: Bayes' rule ------------------------------------------------------------------------------------


def by_logsumexp(log_p_x_given_y, log_p_y):
    joint = log_p_x_given_y + log_p_y[None]
    return (joint - joint.logsumexp(dim=1, keepdim=True)).exp()


def in_the_open(log_p_x_given_y, log_p_y):
    joint = log_p_x_given_y.exp() * log_p_y.exp()
    return joint / joint.sum(1, keepdim=True)


RIGHT["1.7"] = [
    by_logsumexp,
    lambda log_p_x_given_y, log_p_y: Categorical(logits=log_p_x_given_y + log_p_y).probs,
    lambda log_p_x_given_y, log_p_y: in_the_open(
        log_p_x_given_y - log_p_x_given_y.max(1, keepdim=True).values, log_p_y
    ),
    lambda log_p_x_given_y, log_p_y: torch.stack(
        [torch.softmax(row + log_p_y, 0) for row in log_p_x_given_y]
    ),
]
WRONG["1.7"] = [
    (in_the_open, "0 / 0 is NaN"),
    (lambda log_p_x_given_y, log_p_y: log_p_x_given_y.softmax(1), "p(y) is missing"),
    (lambda log_p_x_given_y, log_p_y: (log_p_x_given_y + log_p_y).softmax(0), "over the images"),
    (lambda log_p_x_given_y, log_p_y: (log_p_x_given_y + log_p_y).log_softmax(1), "this is the logarithm"),
    (lambda log_p_x_given_y, log_p_y: (log_p_x_given_y + log_p_y).exp(), "does not sum to one yet"),
    (
        lambda log_p_x_given_y, log_p_y: (log_p_x_given_y * log_p_y.exp()).softmax(1),
        "multiplied onto a logarithm",
    ),
    (
        lambda log_p_x_given_y, log_p_y: (
            (log_p_x_given_y + log_p_y) / (log_p_x_given_y + log_p_y).sum(1, keepdim=True)
        ),
        "Divide probabilities",
    ),
    (
        lambda log_p_x_given_y, log_p_y: log_p_x_given_y.softmax(1) * log_p_y.exp(),
        "after the normalization",
    ),
    (lambda log_p_x_given_y, log_p_y: (log_p_x_given_y - log_p_y).softmax(1), "should gain"),
    (lambda log_p_x_given_y, log_p_y: (log_p_x_given_y + log_p_y).argmax(1), "one number for each image"),
]
