"""Answers to the exercises of chapter 2: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from scipy.special import logit as scipy_logit
from torch.distributions import AffineTransform, Normal, SigmoidTransform, TransformedDistribution, Uniform

RIGHT = {}
WRONG = {}


# 2.1: categories from uniform numbers ----------------------------------------------------------------


def by_counting(u, probs):
    return (u[:, None] >= probs.cumsum(0)[:-1]).sum(1)


def with_a_loop(u, probs):
    drawn = torch.zeros(len(u), dtype=torch.long)
    end = 0.0
    for p in probs[:-1]:
        end = end + p
        drawn += u >= end
    return drawn


def on_the_left(u, probs):
    return torch.searchsorted(probs.cumsum(0), u, right=False)


RIGHT["2.1"] = [
    by_counting,
    with_a_loop,
    lambda u, probs: torch.bucketize(u, probs.cumsum(0)[:-1], right=True),
    lambda u, probs: np.minimum(
        np.searchsorted(probs.numpy().cumsum(), u.numpy(), side="right"), len(probs) - 1
    ),
    lambda u, probs: by_counting(u, probs).int(),
]
WRONG["2.1"] = [
    (lambda u, probs: torch.full(u.shape, probs.argmax().item()), "most probable category"),
    (lambda u, probs: (u * len(probs)).long(), "all pieces have the same length"),
    (lambda u, probs: by_counting(u, probs) - 1, "one too low"),
    (lambda u, probs: by_counting(u, probs) + 1, "one too high"),
    (lambda u, probs: (u[:, None] >= probs).sum(1), "not of their running sums"),
    (lambda u, probs: len(probs) - 1 - by_counting(u, probs), "from the wrong side"),
    (lambda u, probs: by_counting(u, probs)[:, None], "should have shape (500,)"),
    (lambda u, probs: u * len(probs), "whole numbers, 0"),
    (lambda u, probs: by_counting(u, probs).float(), "Integers are asked for"),
    (lambda u, probs: torch.searchsorted((probs / probs.sum()).cumsum(0), u, right=True), "Hold the result"),
    (lambda u, probs: by_counting(u, probs).clamp(max=9), "should be 24"),
    (lambda u, probs: (u[:, None] >= probs).sum(1).clamp(max=len(probs) - 1), "running sums are missing"),
    (lambda u, probs: (u[:, None] < probs).int().argmax(1), "whose probability does"),
    (lambda u, probs: torch.searchsorted(probs, u, right=True), "here u is looked up in probs itself"),
    (
        lambda u, probs: torch.searchsorted(probs, u, right=True).clamp(max=len(probs) - 1),
        "but u is looked up in probs itself",
    ),
    (lambda u, probs: by_counting(u, probs).clamp(max=len(probs) - 2), "is never drawn here"),
    (lambda u, probs: (u[:, None] < probs.cumsum(0)).int().argmax(1), "no piece is found"),
    (lambda u, probs: by_counting(u, probs).clamp(max=3), "perhaps: the last category"),
    (lambda u, probs: torch.multinomial(probs, len(u), replacement=True), "the category should be"),
    (lambda u, probs: on_the_left(u, probs).clamp(max=len(probs) - 1), "belongs to the next one"),
    (on_the_left, "belongs to the next one"),
    (lambda u, probs: torch.searchsorted(probs.cumsum(0), u, right=True), "Hold the result"),
    (lambda u, probs: len(probs) - 1 - by_counting(u, probs.flip(0)), "in reverse order"),
    (lambda u, probs: 3 - by_counting(u, probs.flip(0)), "perhaps: these are the right probabilities"),
]


# 2.2: the inverse of a distribution function ---------------------------------------------------------


def with_pytorch(u, location, scale):
    transforms = [SigmoidTransform().inv, AffineTransform(location, scale)]
    return TransformedDistribution(Uniform(0.0, 1.0), transforms).icdf(u)


RIGHT["2.2"] = [
    with_pytorch,
    lambda u, location, scale: location + scale * torch.logit(u),
    lambda u, location, scale: location - scale * (1 / u - 1).log(),
    lambda u, location, scale: location.numpy() + scale.numpy() * scipy_logit(u.numpy()),
]
WRONG["2.2"] = [
    (lambda u, location, scale: torch.sigmoid((u - location) / scale), "not its inverse"),
    (lambda u, location, scale: location + scale * ((1 - u) / u).log(), "a larger u must give a larger x"),
    (lambda u, location, scale: location + torch.logit(u) / scale, "In F it divides"),
    (lambda u, location, scale: (torch.logit(u) + location) * scale, "in the wrong order"),
    (lambda u, location, scale: location + scale * u.log(), "not the inverse of the sigmoid"),
    (lambda u, location, scale: torch.logit(u), "location 0 and scale 1"),
    (lambda u, location, scale: location + torch.logit(u), "the scale is missing"),
    (lambda u, location, scale: Normal(location, scale).icdf(u), "normal distribution"),
    (lambda u, location, scale: location + scale * torch.logit(u).exp(), "the logarithm is missing"),
    (lambda u, location, scale: scale * torch.logit(u), "the location is missing"),
    (lambda u, location, scale: scale * torch.logit(u) - location, "it is subtracted"),
    (
        lambda u, location, scale: (
            torch.sigmoid((u - location) / scale) * torch.sigmoid((location - u) / scale) / scale
        ),
        "this is the density",
    ),
    (lambda u, location, scale: 3.0 + 2.5 * torch.logit(u), "the inverse should be"),
    (lambda u, location, scale: location + scale * torch.logit(u, eps=1e-5), "the inverse should be"),
    (lambda u, location, scale: location + scale * torch.atanh(2 * u - 1), "is half of"),
    (lambda u, location, scale: location - scale * (1 - u).log(), "-log(1 - u) is"),
    (lambda u, location, scale: location + scale * (u / (u - 1)).log(), "has no logarithm"),
]


# 2.3: the mean log-density under a normal that is wrong ----------------------------------------------


def from_the_square(mu, sigma, m, s, square):
    return -torch.log(s) - 0.5 * math.log(2 * math.pi) - square / (2 * s**2)


def the_answer(mu, sigma, m, s):
    return from_the_square(mu, sigma, m, s, sigma**2 + (mu - m) ** 2)


def by_two_points(mu, sigma, m, s):
    return (Normal(m, s).log_prob(mu + sigma) + Normal(m, s).log_prob(mu - sigma)) / 2


def at_the_mean(mu, sigma, m, s):
    return Normal(m, s).log_prob(mu)


RIGHT["2.3"] = [
    by_two_points,
    lambda mu, sigma, m, s: at_the_mean(mu, sigma, m, s) - (sigma / s) ** 2 / 2,
    lambda mu, sigma, m, s: (
        -math.log(2 * math.pi * s**2) / 2 - float(sigma**2 + mu**2 - 2 * mu * m + m**2) / float(2 * s * s)
    ),
    lambda mu, sigma, m, s: (
        -0.5 * (np.log(2 * np.pi * s.item() ** 2) + (sigma.item() ** 2 + (mu.item() - m.item()) ** 2) / s**2)
    ),
]
WRONG["2.3"] = [
    (at_the_mean, "this is log p at the mean"),
    (lambda mu, sigma, m, s: from_the_square(mu, sigma, m, s, sigma**2), "only if m = μ"),
    (lambda mu, sigma, m, s: -Normal(m, s).entropy(), "a normal that fits"),
    (lambda mu, sigma, m, s: from_the_square(mu, sigma, m, s, sigma + (mu - m) ** 2), "not σ"),
    (lambda mu, sigma, m, s: from_the_square(mu, sigma, m, s, sigma**2 - (mu - m) ** 2), "both drive"),
    (lambda mu, sigma, m, s: from_the_square(mu, sigma, m, s, sigma**2 + abs(mu - m)), "to be squared"),
    (lambda mu, sigma, m, s: the_answer(mu, sigma, m, s**0.5), "taken for the variance"),
    (lambda *row: the_answer(*row) - row[3].log(), "and not -log s²"),
    (lambda mu, sigma, m, s: from_the_square(mu, sigma, m, s, (sigma + mu - m) ** 2), "before anything"),
    (lambda mu, sigma, m, s: from_the_square(mu, sigma, m, s, sigma**2 + mu**2), "here (x - m)²"),
    (lambda mu, sigma, m, s: from_the_square(mu, sigma, m, s, 2 * sigma**2 + 2 * (mu - m) ** 2), "not by s²"),
    (lambda mu, sigma, m, s: from_the_square(mu, sigma, m, s, s * (sigma**2 + (mu - m) ** 2)), "not by 2s"),
    (lambda mu, sigma, m, s: the_answer(m, s, mu, sigma), "the roles are exchanged"),
    (lambda *row: the_answer(*row) + 0.5 * math.log(2 * math.pi), "log √(2π) is missing"),
    (lambda *row: the_answer(*row) + row[3].log(), "log s is missing"),
    (lambda *row: the_answer(*row) + 2 * row[3].log(), "has the wrong sign"),
    (lambda *row: the_answer(*row) - 0.5 * math.log(2 * math.pi), "is half of log 2π"),
    (lambda *row: the_answer(*row) + 0.5 * row[3].log(), "without a half"),
    (lambda mu, sigma, m, s: Normal(m, (s**2 + sigma**2) ** 0.5).log_prob(mu), "of the mean density"),
    (lambda mu, sigma, m, s: -Normal(mu, sigma).entropy(), "Here the model is"),
    (lambda mu, sigma, m, s: -(sigma**2 + (mu - m) ** 2) / (2 * s**2), "only the exponent"),
    (lambda *row: -the_answer(*row), "minus the mean"),
    (lambda *row: the_answer(*row) / math.log(2), "these are bits"),
    (lambda mu, sigma, m, s: torch.stack([mu, sigma]), "should be a number"),
]


# 2.4: a flow whose density has the wrong area --------------------------------------------------------


def base(z):
    return Normal(0.0, 1.0).log_prob(z).sum(1)


def with_a_list(x, layers):
    stretch = []
    for inverse, log_abs_det in layers[::-1]:
        x = inverse(x)
        stretch.append(log_abs_det(x))
    return base(x) - sum(stretch)


def by_autograd(x, layers):
    def back(row):
        point = row[None]
        for inverse, _ in reversed(layers):
            point = inverse(point)
        return point[0]

    jacobian = torch.func.vmap(torch.func.jacrev(back))(x)
    return base(torch.func.vmap(back)(x)) + torch.linalg.slogdet(jacobian).logabsdet


def one_layer(x, layers):
    """The answer by recursion: the density before the last map, divided by its stretch."""
    if not layers:
        return base(x)
    *before, (inverse, log_abs_det) = layers
    z = inverse(x)
    return one_layer(z, before) - log_abs_det(z)


def flow(x, layers, *, stretch=lambda s: s, at="z", sign=-1, backwards=True):
    """The answer, or one with a mistake in it."""
    start, log_p = x, torch.zeros(len(x))
    for inverse, log_abs_det in layers[::-1] if backwards else layers:
        z = inverse(x)
        points = {"z": z, "x": x, "start": start, "middle": (x + z) / 2, "farther": inverse(z)}
        log_p = log_p + sign * stretch(log_abs_det(points[at]))
        x = z
    return log_p + base(x)


def all_at_the_end(x, layers):
    for inverse, _ in reversed(layers):
        x = inverse(x)
    return base(x) - sum(log_abs_det(x) for _, log_abs_det in layers)


def mended_only_at_the_end(x, layers):
    """The last map is counted rightly, and the others are as they were."""
    inverse, log_abs_det = layers[-1]
    z = inverse(x)
    return flow(z, layers[:-1], at="x") - log_abs_det(z)


def the_last_one_alone(x, layers):
    for inverse, log_abs_det in reversed(layers):
        x = inverse(x)
        log_p = -log_abs_det(x)
    return log_p + base(x)


RIGHT["2.4"] = [with_a_list, by_autograd, one_layer]
WRONG["2.4"] = [
    (lambda x, layers: flow(x, layers, sign=1), "the sign of the determinant is wrong now"),
    (lambda x, layers: flow(x, layers, sign=1, at="x"), "was right, and the point"),
    (lambda x, layers: flow(x, layers, sign=0), "the stretch is missing"),
    (lambda x, layers: flow(x, layers, stretch=torch.exp), "its logarithm already"),
    (lambda x, layers: flow(x, layers, backwards=False), "in the wrong order"),
    (all_at_the_end, "are all taken at z"),
    (lambda x, layers: flow(x, layers, at="middle"), "log p(x) should be"),
    (lambda x, layers: (flow(x, layers) + flow(x, layers, at="x")) / 2, "log p(x) should be"),
    (mended_only_at_the_end, "log p(x) should be"),
    (lambda x, layers: base(x) - sum(det(inverse(x)) for inverse, det in layers), "not replaced any more"),
    (the_last_one_alone, "Those of all maps"),
    (lambda x, layers: flow(x, layers, at="farther"), "a step too far"),
    (lambda x, layers: flow(x, layers, at="start"), "log p(x) should be"),
    (lambda x, layers: flow(x, layers).sum(), "should have shape (6,)"),
    (lambda x, layers: base(x) - flow(x, layers, sign=0) + flow(x, layers), "is taken at x now"),
]


# 2.5: turning a table around -------------------------------------------------------------------------


def column_by_column(counts):
    columns = []
    for column in counts.T:
        source = column if column.sum() > 0 else counts.sum(1)
        columns.append(source / source.sum())
    return torch.stack(columns, dim=1)


def fill_the_holes(counts):
    table = counts / counts.sum(0)
    return table.where(~table.isnan(), counts.sum(1, keepdim=True) / counts.sum())


def marginal(counts):
    return counts.sum(1, keepdim=True) / counts.sum()


def with_numpy(counts):
    counts = counts.numpy()
    filled = np.where(counts.sum(0) > 0, counts, counts.sum(1, keepdims=True))
    return filled / filled.sum(0)


def fill_the_first_hole(counts):
    table = counts / counts.sum(0)
    empty = (counts.sum(0) == 0).nonzero()
    if len(empty):
        table[:, empty[0]] = marginal(counts)
    return table.nan_to_num(0.0)


RIGHT["2.5"] = [column_by_column, fill_the_holes, with_numpy]
WRONG["2.5"] = [
    (lambda counts: counts / counts.sum(1, keepdim=True), "this is p(s | y)"),
    (lambda counts: counts / counts.sum(), "the joint"),
    (lambda counts: (counts / counts.sum(0)).T, "rows and columns are exchanged"),
    (lambda counts: (counts.sum(1, keepdim=True) / counts.sum()).expand_as(counts), "whatever the slant"),
    (lambda counts: counts.softmax(0), "these are counts"),
    (lambda counts: (counts + 1) / (counts + 1).sum(0), "smoothed by one"),
    (lambda counts: counts / counts.sum(0), "gives 0/0"),
    (lambda counts: counts / counts.sum(0).clamp(min=1), "do not add up to one"),
    (lambda counts: (counts / counts.sum(0)).nan_to_num(1 / len(counts)), "equal probabilities here"),
    (fill_the_first_hole, "p(y | s) should be"),
    (lambda counts: (counts / counts.sum(0)).nan_to_num(1 / 3), "perhaps: a slant that was never"),
    (
        lambda counts: torch.where(counts.sum(0) > 1, counts / counts.sum(0), marginal(counts)),
        "p(y | s) should be",
    ),
    (lambda counts: torch.where(counts.sum(0) > 0, counts / counts.sum(0), counts.sum(1)[:, None]), "Divide"),
]


# 2.6: the chain rule, in logarithms ------------------------------------------------------------------


def all_white_probs(x, p_white):
    return torch.stack([p_white(x, i) for i in range(x.shape[1])], dim=1)


def multiply(x, p_white):
    p = all_white_probs(x, p_white)
    return torch.where(x == 1, p, 1 - p).prod(1).log()


def by_pixel(x, p_white):
    return torch.distributions.Bernoulli(all_white_probs(x, p_white)).log_prob(x)


def backwards(x, p_white):
    return sum((x[:, i] * p_white(x.flip(1), i).log()) for i in range(x.shape[1]))


def given_halves(x, p_white):
    return by_pixel(0.5 * x, p_white).sum(1)


RIGHT["2.6"] = [
    lambda x, p_white: by_pixel(x, p_white).sum(1),
    lambda x, p_white: (
        -torch.nn.functional.binary_cross_entropy(all_white_probs(x, p_white), x, reduction="none").sum(1)
    ),
    lambda x, p_white: sum(
        (x[:, i] * p_white(x, i) + (1 - x[:, i]) * (1 - p_white(x, i))).log() for i in range(x.shape[1])
    ),
]
WRONG["2.6"] = [
    (by_pixel, "one number for each pixel"),
    (lambda x, p_white: by_pixel(x, p_white).sum(), "one number for all images"),
    (lambda x, p_white: (x * all_white_probs(x, p_white).log()).sum(1), "black ones are not"),
    (lambda x, p_white: all_white_probs(x, p_white).log().sum(1), "white everywhere"),
    (lambda x, p_white: by_pixel(x, p_white).sum(1).exp(), "asks for its logarithm"),
    (lambda x, p_white: -by_pixel(x, p_white).sum(1), "never positive"),
    (lambda x, p_white: by_pixel(x, p_white).mean(1), "the mean over the pixels"),
    (lambda x, p_white: by_pixel(x, p_white).sum(1) / math.log(2), "these are bits"),
    (lambda x, p_white: by_pixel(x, p_white)[:, 1:].sum(1), "first pixel is left out"),
    (lambda x, p_white: by_pixel(x, p_white)[:, :-1].sum(1), "last pixel is left out"),
    (
        lambda x, p_white: (
            torch.distributions.Bernoulli(all_white_probs(torch.ones_like(x), p_white)).log_prob(x).sum(1)
        ),
        "not one that is all white",
    ),
    (multiply, "rounded to zero"),
    (lambda x, p_white: multiply(x, lambda x, i: p_white(x, i).double()), "rounded to zero"),
    (given_halves, "something else than zeros and ones"),
    (backwards, "log p(x) should be"),
    (lambda x, p_white: by_pixel(1 - x, p_white).sum(1), "log p(x) should be"),
    (
        lambda x, p_white: torch.distributions.Bernoulli(all_white_probs(x, p_white)).log_prob(1 - x).sum(1),
        "black and white are exchanged",
    ),
    (lambda x, p_white: (by_pixel(x, p_white).exp() + 1e-6).log().sum(1), "log p(x) should be"),
    (lambda x, p_white: (by_pixel(x, p_white).exp() + 1e-8).log().sum(1), "a small number is added"),
    (lambda x, p_white: by_pixel(x, p_white).exp().clamp(1e-2).log().sum(1), "log p(x) should be"),
    (lambda x, p_white: -by_pixel(x, p_white).sum(1) / math.log(2), "the cost in bits"),
]


# 2.7: images with white pixels cost too much ---------------------------------------------------------


def bits_with(smooth):
    """The code of the exercise with another line in the place of the wrong one."""

    def image_bits(x, u, levels, log_density):
        log_p = log_density(smooth(x, u, levels)) + math.log(1 / levels)
        return -log_p.sum(1) / (x.shape[1] * math.log(2))

    return image_bits


def in_its_bin(x, u, levels):
    return (torch.round(x * (levels - 1)) + u) / levels


def with_wider_bins(x, u, levels, log_density):
    width = 1 / (levels - 1)
    log_p = log_density(((x * (levels - 1)).round() + u) * width) + math.log(width)
    return -log_p.mean(1) / math.log(2)


RIGHT["2.7"] = [
    bits_with(in_its_bin),
    bits_with(lambda x, u, levels: (x * (levels - 1) + u) / levels),
    bits_with(lambda x, u, levels: (x * (levels - 1) + 0.5).floor() / levels + u / levels),
    bits_with(lambda x, u, levels: x + (u - x) / levels),
    bits_with(
        lambda x, u, levels: torch.from_numpy((np.rint(x.numpy() * (levels - 1)) + u.numpy()) / levels)
    ),
]
WRONG["2.7"] = [
    (bits_with(lambda x, u, levels: x + u / (levels - 1)), "not one less"),
    (bits_with(lambda x, u, levels: (x + u / levels).clamp(max=1 - 1e-7)), "are held at 1"),
    (bits_with(lambda x, u, levels: (x + u / levels) % 1), "wrapped round"),
    (bits_with(lambda x, u, levels: x - u / levels), "goes downwards"),
    (bits_with(lambda x, u, levels: x + (u - 0.5) / levels), "both sides of the level"),
    (bits_with(lambda x, u, levels: (x * (levels - 1) + u - 0.5) / levels), "the bin's left end"),
    (bits_with(lambda x, u, levels: x), "these are the levels"),
    (bits_with(lambda x, u, levels: x * (levels - 1) / levels), "the left ends of the bins"),
    (bits_with(lambda x, u, levels: ((x * levels).round() + u) / levels), "not by levels - 1"),
    (bits_with(lambda x, u, levels: x * (levels - 1) + u), "should lie in [0, 1)"),
    (bits_with(lambda x, u, levels: ((x * (levels - 1)).long() + u) / levels), "Round to the nearest"),
    (bits_with(lambda x, u, levels: ((x * 255).round() + u) / 256), "belong to images of 256 levels"),
    (bits_with(lambda x, u, levels: x * 255 / 256 + u / levels), "takes 256 levels for granted"),
    (
        bits_with(lambda x, u, levels: ((x * levels).round().clamp(max=levels - 1) + u) / levels),
        "the last level held back",
    ),
    (lambda *given: bits_with(in_its_bin)(*given) * math.log(2), "these are nats now"),
    (with_wider_bins, "in the bin and in the logarithm"),
    (bits_with(lambda x, u, levels: in_its_bin(x, 1 - u, levels)), "the bits per pixel should be"),
    (
        bits_with(lambda x, u, levels: (x + u / levels) * (levels - 1) / levels),
        "the bits per pixel should be",
    ),
    (
        lambda x, u, levels, log_density: -log_density(in_its_bin(x, u, levels)).mean(1) / math.log(2),
        "the width of the bin is missing",
    ),
]


# 2.8: the two draws that are closest -----------------------------------------------------------------


def closest_pair():
    return torch.pdist(torch.randn(1000, 784)).min().item()


RIGHT["2.8"] = [(35, closest_pair), (np.float64(34.1), closest_pair), (torch.tensor([34.8]), closest_pair)]
WRONG["2.8"] = [
    ((28, closest_pair), "none has a near neighbour"),
    ((0.5, closest_pair), "none has a near neighbour"),
    ((39.6, closest_pair), "some standard deviations below"),
    ((-1, closest_pair), "a distance is not negative"),
    (("near", closest_pair), "should be a number"),
    ((2.5, lambda: closest_pair() / 14), "Was it changed?"),
]
