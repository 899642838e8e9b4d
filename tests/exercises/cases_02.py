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
]
WRONG["2.1"] = [
    (lambda u, probs: torch.full(u.shape, probs.argmax().item()), "most probable category"),
    (lambda u, probs: (u * len(probs)).long(), "all pieces have the same length"),
    (lambda u, probs: by_counting(u, probs) - 1, "one too low"),
    (lambda u, probs: by_counting(u, probs) + 1, "one too high"),
    (lambda u, probs: (u[:, None] >= probs).sum(1), "not of their running sums"),
    (lambda u, probs: len(probs) - 1 - by_counting(u, probs), "from the wrong side"),
    (lambda u, probs: by_counting(u, probs)[:, None], "shape (4000,)"),
    (lambda u, probs: u * len(probs), "whole numbers"),
    (on_the_left, "belongs to the next one"),
    (lambda u, probs: torch.searchsorted(probs.cumsum(0), u, right=True), "Hold the result"),
    (lambda u, probs: 3 - by_counting(u, probs.flip(0)), "in reverse order"),
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
    (lambda u, location, scale: location + scale * torch.logit(u).exp(), "the inverse should be"),
]


# 2.3: a density in other units -----------------------------------------------------------------------


def by_the_rule(log_density, y):
    dx_dy = torch.tensor(1e-3)
    return log_density(y * 1e-3) + dx_dy.log()


def by_transform(log_density, y):
    base = Normal(0.0, 1.0)
    base.log_prob = log_density
    return TransformedDistribution(base, [AffineTransform(0.0, 1000.0)], validate_args=False).log_prob(y)


RIGHT["2.3"] = [
    by_the_rule,
    by_transform,
    lambda log_density, y: torch.log(log_density(y / 1000).exp() / 1000),
]
WRONG["2.3"] = [
    (lambda log_density, y: log_density(y / 1000), "still the density per metre"),
    (lambda log_density, y: log_density(y / 1000) + math.log(1000), "the sign is wrong"),
    (lambda log_density, y: log_density(y) - math.log(1000), "was given millimetres"),
    (lambda log_density, y: log_density(y), "was given millimetres"),
    (lambda log_density, y: log_density(1000 * y) - math.log(1000), "1700 mm is 1.7 m"),
    (lambda log_density, y: log_density(y / 1000) / 1000, "Dividing inside the logarithm"),
    (lambda log_density, y: log_density(y / 1000).exp() / 1000, "its logarithm was asked for"),
    (lambda log_density, y: log_density(y / 1000) - math.log10(1000), "the log-density should be"),
]


# 2.4: change of variables ----------------------------------------------------------------------------


def in_one_line(x, log_p_z, inverse, log_abs_det):
    return log_p_z(inverse(x)).sub(log_abs_det(inverse(x)))


def by_autograd(x, log_p_z, inverse, log_abs_det):
    def one(row):
        return inverse(row[None])[0]

    jacobian = torch.func.vmap(torch.func.jacrev(one))(x)
    return log_p_z(inverse(x)) + torch.linalg.slogdet(jacobian).logabsdet


RIGHT["2.4"] = [
    in_one_line,
    by_autograd,
    lambda x, log_p_z, inverse, log_abs_det: torch.log(
        log_p_z(inverse(x)).exp() / log_abs_det(inverse(x)).exp()
    ),
]
WRONG["2.4"] = [
    (lambda x, p, back, det: p(back(x)) + det(back(x)), "the sign of the determinant"),
    (lambda x, p, back, det: p(back(x)), "the stretch is missing"),
    (lambda x, p, back, det: p(x) - det(back(x)), "x was put where z belongs"),
    (lambda x, p, back, det: p(x) - det(x), "in both places"),
    (lambda x, p, back, det: p(back(x)) - det(x), "the determinant is taken at x"),
    (lambda x, p, back, det: p(back(x)) / det(back(x)), "a difference"),
    (lambda x, p, back, det: p(back(x)) - det(back(x)).exp(), "its logarithm already"),
    (lambda x, p, back, det: (p(back(x)) - det(back(x))).sum(), "one number for each row"),
    (lambda x, p, back, det: p(back(x)) - 2 * det(back(x)), "log p(x) should be"),
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


def with_numpy(counts):
    counts = counts.numpy()
    filled = np.where(counts.sum(0) > 0, counts, counts.sum(1, keepdims=True))
    return filled / filled.sum(0)


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
    (lambda counts: (counts / counts.sum(0)).nan_to_num(1 / 3), "equal probabilities here"),
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
    (lambda x, p_white: by_pixel(x, p_white).sum(), "one number for each image"),
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
    (given_halves, "something else than zeros and ones"),
    (backwards, "log p(x) should be"),
]


# 2.7: dequantization ---------------------------------------------------------------------------------


def by_rounding(x, u, levels):
    return (torch.round(x * (levels - 1)) + u) / levels


RIGHT["2.7"] = [
    by_rounding,
    lambda x, u, levels: (x * (levels - 1) + 0.5).floor() / levels + u / levels,
    lambda x, u, levels: (np.rint(x.numpy() * (levels - 1)) + u.numpy()) / levels,
]
WRONG["2.7"] = [
    (lambda x, u, levels: x + u / levels, "Get k back first"),
    (lambda x, u, levels: x + u / (levels - 1), "not one less"),
    (lambda x, u, levels: x + u, "as wide as the whole interval"),
    (lambda x, u, levels: (x * (levels - 1) + u - 0.5) / levels, "to both sides"),
    (lambda x, u, levels: x * (levels - 1) + u, "Divide by it"),
    (lambda x, u, levels: (x * (levels - 1)) / levels, "left ends of the bins"),
    (lambda x, u, levels: x, "nothing was added"),
    (lambda x, u, levels: torch.rand_like(x), "the dequantized value should be"),
]


# 2.8: a path of draws --------------------------------------------------------------------------------


def stepwise(a, b, t):
    return torch.stack([math.cos(s * math.pi / 2) * a + math.sin(s * math.pi / 2) * b for s in t.tolist()])


def with_roots(a, b, t):
    sine = torch.sin(t * math.pi / 2)
    return torch.outer((1 - sine**2).clamp(min=0).sqrt(), a) + torch.outer(sine, b)


def on_the_great_circle(a, b, t):
    omega = torch.arccos((a @ b) / (a.norm() * b.norm()))
    return (torch.outer(torch.sin((1 - t) * omega), a) + torch.outer(torch.sin(t * omega), b)) / omega.sin()


def lengthened(a, b, t):
    line = torch.lerp(a, b, t[:, None])
    return line / line.norm(dim=1, keepdim=True) * a.norm()


RIGHT["2.8"] = [
    stepwise,
    with_roots,
    lambda a, b, t: torch.outer((1 - t).sqrt(), a) + torch.outer(t.sqrt(), b),
    lambda a, b, t: torch.outer(t**2, b) + torch.outer((1 - t**4).sqrt(), a),
    lambda a, b, t: torch.einsum(
        "ts,sd->td",
        torch.stack([(t * math.pi / 2).cos(), (t * math.pi / 2).sin()], dim=1),
        torch.stack([a, b]),
    ),
]
WRONG["2.8"] = [
    (lambda a, b, t: torch.lerp(a, b, t[:, None]), "the straight line"),
    (lambda a, b, t: stepwise(b, a, t), "from b to a"),
    (lambda a, b, t: stepwise(a, b, 2 * t), "ends at -a"),
    (lambda a, b, t: torch.outer(t.cos(), a) + torch.outer(t.sin(), b), "ends at 1 radian"),
    (lengthened, "every one has the norm of a"),
    (on_the_great_circle, "great circle between these two"),
    (lambda a, b, t: stepwise(a, b, t).T, "are exchanged"),
    (lambda a, b, t: stepwise(a, b, t[:1]), "one point for each step"),
    (lambda a, b, t: torch.outer(1 - t**2, a) + torch.outer(t**2, b), "add up to"),
    (lambda a, b, t: torch.outer((t / 2 * math.pi / 2).cos(), a) + torch.outer(t, b), "at a when t = 0"),
    (lambda a, b, t: stepwise(a, b, t) + 1, "with a weight each"),
]
