"""Answers to the exercises of chapter 0: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

RIGHT = {}
WRONG = {}


# 0.1: all distances at once --------------------------------------------------------------------------


def by_expanding(a, b):
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    return squared.clamp_min(0).sqrt()


def by_loops(a, b):
    return torch.stack([torch.stack([(p - q).norm() for q in b]) for p in a])


RIGHT["0.1"] = [
    torch.cdist,
    by_expanding,
    lambda a, b: (a.unsqueeze(1) - b).norm(dim=-1),
    lambda a, b: torch.linalg.vector_norm(a[:, None] - b[None], dim=2),
    by_loops,
]
WRONG["0.1"] = [
    (lambda a, b: ((b[:, None] - a[None]) ** 2).sum(-1).sqrt(), "have changed places"),
    (lambda a, b: ((a[:, None] - b[None]) ** 2).sum(-1), "Take the root"),
    (lambda a, b: ((a[:, None] - b[None]) ** 2).mean(-1).sqrt(), "Pythagoras adds them"),
    (lambda a, b: ((a[:, None] - b[None]) ** 2).mean(-1), "add up instead"),
    (lambda a, b: (a[:, None] - b[None]).abs().sum(-1), "a city of blocks"),
    (lambda a, b: (a[:, None] - b[None]).sum(-1).abs(), "Square first"),
    (lambda a, b: a[:, None] - b[None], "a number for each coordinate"),
    (lambda a, b: ((a[:, None] - b[None]) ** 2).sum().sqrt(), "one number for all pairs"),
    (lambda a, b: (a - b).norm(dim=-1), "your code stopped with RuntimeError"),
    (lambda a, b: torch.cdist(a, b) + 1, "the distance should be"),
]


# 0.2: gradient descent -------------------------------------------------------------------------------


def with_backward(f, start, lr, steps):
    theta = start.clone().detach().requires_grad_()
    for _ in range(steps):
        theta.grad = None
        f(theta).backward()
        with torch.no_grad():
            theta -= lr * theta.grad
    return theta.detach()


def with_optimizer(f, start, lr, steps):
    theta = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([theta], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        f(theta).backward()
        optimizer.step()
    return theta.data


def accumulating(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    for _ in range(steps):
        f(theta).backward()
        with torch.no_grad():
            theta -= lr * theta.grad
    return theta.detach()


def with_history(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    for _ in range(steps):
        theta = theta - lr * torch.autograd.grad(f(theta), theta, create_graph=True)[0]
    return theta


def descent(sign=-1.0, extra=0, by_lr=True, keep=True):
    """Gradient descent with one thing changed."""

    def answer(f, start, lr, steps):
        theta = start.clone()
        for _ in range(steps + extra):
            theta.requires_grad_()
            slope = torch.autograd.grad(f(theta), theta)[0]
            new = theta.detach() + sign * (lr if by_lr else 1.0) * slope
            theta = new if keep else theta.detach()
        return theta.detach()

    return answer


def returns_in_the_loop(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    for _ in range(steps):
        return (theta - lr * torch.autograd.grad(f(theta), theta)[0]).detach()
    return start


def at_least_one_step(f, start, lr, steps):
    return descent()(f, start, lr, max(steps, 1))


def in_place(f, start, lr, steps):
    start.requires_grad_()
    for _ in range(steps):
        slope = torch.autograd.grad(f(start), start)[0]
        with torch.no_grad():
            start -= lr * slope
    return start.detach()


RIGHT["0.2"] = [with_backward, with_optimizer, descent()]
WRONG["0.2"] = [
    (descent(sign=1.0), "you went uphill"),
    (accumulating, "the slopes of earlier steps were added"),
    (with_history, "drags the history"),
    (descent(extra=-1), "one step too few"),
    (descent(extra=1), "one step too many"),
    (descent(by_lr=False), "lr does not enter"),
    (descent(keep=False), "this is still the start"),
    (returns_in_the_loop, "one step, not five"),
    (at_least_one_step, "the end of no steps at all"),
    (in_place, "changes its argument start in place"),
    (lambda f, start, lr, steps: f(start), "should have shape (2, 2)"),
]


# 0.3: cross-entropy from logits ----------------------------------------------------------------------


def by_subtracting_the_largest(logits, y):
    shifted = logits - logits.max(1, keepdim=True).values
    log_normalizer = shifted.exp().sum(1).log()
    return log_normalizer - shifted[range(len(y)), y]


RIGHT["0.3"] = [
    lambda logits, y: F.cross_entropy(logits, y, reduction="none"),
    lambda logits, y: -torch.distributions.Categorical(logits=logits).log_prob(y),
    lambda logits, y: -(logits.log_softmax(1) * F.one_hot(y, logits.shape[1])).sum(1),
    by_subtracting_the_largest,
]
WRONG["0.3"] = [
    (F.cross_entropy, "this is the mean over the images"),
    (lambda logits, y: F.cross_entropy(logits, y, reduction="sum"), "one number for the whole batch"),
    (lambda logits, y: -logits.softmax(1)[range(len(y)), y].log(), "at a logit of 1,000"),
    (lambda logits, y: -(logits.softmax(1)[range(len(y)), y] + 1e-12).log(), "and yours is 27.63"),
    (lambda logits, y: -(logits.exp() / logits.exp().sum(1, True))[range(len(y)), y].log(), "yours is NaN"),
    (lambda logits, y: logits.log_softmax(1)[range(len(y)), y], "the sign is wrong"),
    (lambda logits, y: F.cross_entropy(logits.softmax(1), y, reduction="none"), "softmax was taken twice"),
    (lambda logits, y: logits.softmax(1)[range(len(y)), y], "these are probabilities"),
    (lambda logits, y: -logits.softmax(1)[range(len(y)), y].log2(), "these are bits"),
    (lambda logits, y: -logits.softmax(1)[range(len(y)), y].log10(), "base 10"),
    (lambda logits, y: -logits.log_softmax(0)[range(len(y)), y], "normalized over the batch"),
    (lambda logits, y: -logits[range(len(y)), y], "missing its normalizer"),
    (lambda logits, y: logits.logsumexp(1), "only the normalizer"),
    (lambda logits, y: -logits.log_softmax(1)[:, y], "columns of all labels"),
    (lambda logits, y: -logits.log_softmax(1), "a cost for each class"),
    (lambda logits, y: -logits.log_softmax(1).gather(1, y[:, None]), "Drop the last dimension"),
]


# 0.4: one step of training ---------------------------------------------------------------------------


def clearing_last(model, optimizer, x, y):
    loss = F.nll_loss(model(x).log_softmax(1), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def by_the_model(model, optimizer, x, y):
    model.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def step(*, clear=True, backward=True, move=True, order="usual", reduction="mean", sign=1, detach=True):
    """One step of training with one thing changed."""

    def answer(model, optimizer, x, y):
        loss = F.cross_entropy(model(x), y, reduction=reduction)
        if clear and order != "clears late":
            optimizer.zero_grad()
        if move and order == "steps early":
            optimizer.step()
        if backward:
            (sign * loss).backward()
        if order == "clears late":
            optimizer.zero_grad()
        if move and order != "steps early":
            optimizer.step()
        if order == "looks again":
            loss = F.cross_entropy(model(x), y)
        return loss.detach() if detach else loss

    return answer


def steps_before_backward(model, optimizer, x, y):
    loss = F.cross_entropy(model(x), y)
    optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    return loss.detach()


def mean_step_but_summed_loss(model, optimizer, x, y):
    return len(x) * step()(model, optimizer, x, y)


RIGHT["0.4"] = [step(), clearing_last, by_the_model]
WRONG["0.4"] = [
    (step(clear=False), "the gradient of the first was still there"),
    (step(move=False), "the weights are what they were before"),
    (step(backward=False), "the weights are what they were before"),
    (step(order="clears late"), "A zero_grad() between the two"),
    (step(order="steps early"), "the weights are what they were before"),
    (steps_before_backward, "step() comes after backward()"),
    (step(reduction="sum"), "the loss was summed over the batch"),
    (step(sign=-1), "you went uphill"),
    (step(detach=False), "still has its history"),
    (step(order="looks again"), "the loss after the step"),
    (mean_step_but_summed_loss, "were added up"),
    (lambda model, optimizer, x, y: None, "Is a return missing?"),
    (
        lambda model, optimizer, x, y: step()(lambda x: model(x).softmax(1), optimizer, x, y),
        "are not those that cross_entropy",
    ),
]


# 0.5: sizes, down and up -----------------------------------------------------------------------------


def down(h, k, s, p):
    return (h + 2 * p - k) // s + 1


def up(h, k, s, p):
    return (h - 1) * s + k - 2 * p


def by_trying(h, kernel, stride, padding):
    image, weight = torch.zeros(1, 1, h, h), torch.zeros(1, 1, kernel, kernel)
    return (
        F.conv2d(image, weight, stride=stride, padding=padding).shape[-1],
        F.conv_transpose2d(image, weight, stride=stride, padding=padding).shape[-1],
    )


def both(first=down, second=up):
    return lambda h, kernel, stride, padding: (
        first(h, kernel, stride, padding),
        second(h, kernel, stride, padding),
    )


RIGHT["0.5"] = [
    (by_trying, 4),
    (both(first=lambda h, k, s, p: math.floor((h + 2 * p - k) / s + 1)), 4.0),
    (both(), torch.tensor(4)),
]
WRONG["0.5"] = [
    ((both(first=lambda h, k, s, p: (h + 2 * p - k) / s + 1), 4), "a size is a whole number"),
    ((both(first=lambda h, k, s, p: math.ceil((h + 2 * p - k) / s) + 1), 4), "you rounded up"),
    ((both(first=lambda h, k, s, p: (h + p - k) // s + 1), 4), "the padding is on both sides"),
    ((both(first=lambda h, k, s, p: (h + 2 * p - k) // s), 4), "the first place counts as well"),
    ((both(first=lambda h, k, s, p: (h + 2 * p - k + 1) // s), 4), "outside the division"),
    ((both(up, down), 4), "First down, then up"),
    ((both(first=lambda h, k, s, p: (h - k) // s + 1), 4), "the padding is missing"),
    ((both(first=lambda h, k, s, p: h // s), 4), "a convolution leaves"),
    ((both(second=lambda h, k, s, p: h * s + k - 2 * p), 4), "only h - 1 strides"),
    ((both(second=lambda h, k, s, p: (h - 1) * s + k + 2 * p), 4), "padding cuts off here"),
    ((both(second=lambda h, k, s, p: (h - 1) * s + k - p), 4), "cut off on both sides"),
    ((both(second=lambda h, k, s, p: (h - 1) * s + k), 4), "the padding is missing"),
    ((both(second=lambda h, k, s, p: h * s), 4), "kernel and padding count too"),
    ((both(), 3), "kernel 3 takes 7 to 13"),
    ((down, 4), "two numbers are asked for"),
    (both(), "the function and the kernel are needed"),
]


# 0.6: batch norm in training mode --------------------------------------------------------------------


def by_var_mean(h, eps=1e-5):
    variance, mean = torch.var_mean(h, dim=(0, 2, 3), keepdim=True, correction=0)
    return (h - mean) * torch.rsqrt(variance + eps)


def by_flattening(h, eps=1e-5):
    by_channel = h.transpose(0, 1).flatten(1)
    away = by_channel - by_channel.mean(1, keepdim=True)
    normal = away / (away.pow(2).mean(1, keepdim=True) + eps).sqrt()
    return normal.view(h.shape[1], h.shape[0], *h.shape[2:]).transpose(0, 1)


def normalized(dims=(0, 2, 3), correction=0, centred=True, eps_outside=False, power=0.5, fixed_eps=None):
    """Batch norm with one thing changed."""

    def answer(h, eps=1e-5):
        eps = eps if fixed_eps is None else fixed_eps
        mean = h.mean(dims, keepdim=True) if centred else 0
        variance = h.var(dims, keepdim=True, correction=correction)
        return (h - mean) / (variance.sqrt() + eps if eps_outside else (variance + eps) ** power)

    return answer


RIGHT["0.6"] = [
    by_var_mean,
    by_flattening,
    lambda h, eps=1e-5: F.batch_norm(h, None, None, training=True, eps=eps),
    lambda h, eps=1e-5: torch.nn.BatchNorm2d(h.shape[1], eps=eps, affine=False)(h),
]
WRONG["0.6"] = [
    (normalized(dims=(1, 2, 3)), "a layer norm"),
    (normalized(dims=(2, 3)), "an instance norm"),
    (normalized(dims=(0,)), "every pixel by itself"),
    (normalized(dims=(0, 1, 2, 3)), "Each channel has its own"),
    (normalized(correction=1), "divided by n - 1"),
    (normalized(power=1), "divided by the variance"),
    (normalized(power=0), "the spread left as it was"),
    (normalized(centred=False), "the mean was not subtracted"),
    (normalized(eps_outside=True), "It stands inside"),
    (normalized(fixed_eps=1e-5), "pass the argument on"),
    (normalized(fixed_eps=0), "0/0 is NaN"),
    (lambda h, eps=1e-5: torch.nn.BatchNorm2d(h.shape[1]).eval()(h), "should be"),
    (lambda h, eps=1e-5: (h - h.mean((0, 2, 3))) / h.std((0, 2, 3)), "your code stopped with RuntimeError"),
    (lambda h, eps=1e-5: h.mean((0, 2, 3)), "the shape should stay"),
]


# 0.7: the widest direction ---------------------------------------------------------------------------


def by_svd(points):
    return torch.linalg.svd(points - points.mean(0), full_matrices=False).Vh[0]


def by_sklearn(points):
    return PCA(1).fit(points.numpy()).components_[0]


def by_power_iteration(points):
    covariance = points.T.cov()
    v = torch.ones(points.shape[1], dtype=points.dtype)
    for _ in range(500):
        v = covariance @ v
        v = v / v.norm()
    return -v


def eigenvectors(points):
    return torch.linalg.eigh(points.T.cov()).eigenvectors


RIGHT["0.7"] = [by_svd, by_sklearn, by_power_iteration]
WRONG["0.7"] = [
    (lambda points: eigenvectors(points)[:, 0], "vary least"),
    (lambda points: eigenvectors(points)[:, 1], "the second direction"),
    (lambda points: eigenvectors(points)[-1], "a row of the matrix"),
    (lambda points: eigenvectors(points)[0], "the first row of the matrix"),
    (lambda points: torch.linalg.eigh(points.T @ points).eigenvectors[:, -1], "the mean was not subtracted"),
    (lambda points: F.normalize(points.mean(0), dim=0) * 1.0, "to the middle of the cloud"),
    (lambda points: 3 * by_svd(points), "its length is 3"),
    (lambda points: by_svd(points)[:, None], "Take out one dimension"),
    (lambda points: eigenvectors(points), "should have shape (3,)"),
    (lambda points: np.array([1.0, 0.0, 0.0]), "of the variance that the widest one has"),
    (lambda points: np.array([1.0, 1.0, 0.0]), "a unit vector has length 1"),
]


# 0.8: a self-test ------------------------------------------------------------------------------------

ALL_RIGHT = ((5, 4, 3), 3, 10, math.log(10), 3216, 20, "train", 3)


def but(place, given):
    """Return the right answers, with another one for the question at ``place``."""
    return (*ALL_RIGHT[: place - 1], given, *ALL_RIGHT[place:])


RIGHT["0.8"] = [
    ALL_RIGHT,
    [torch.Size([5, 4, 3]), 3.0, torch.tensor(10.0), 2.303, 3216, 20, "Train", torch.tensor(3)],
    but(1, [5, 4, 3]),
]
WRONG["0.8"] = [
    (but(1, (5, 1, 3)), "7 of 8 are right. (1) the shape: read “Tensors have shapes” again."),
    (but(2, 6), "“Derivatives for free” again, for detach makes a constant"),
    (but(3, 5), "backward adds to .grad"),
    (but(4, 0.1), "that is the probability"),
    (but(4, math.log10(10)), "base-10"),
    (but(5, 3200), "the biases are missing"),
    (but(5, 416), "all 8 channels"),
    (but(6, 5), "the size after the convolution"),
    (but(7, "eval"), "“Batch norm has two modes” again"),
    (but(8, 2), "along the coordinate axes"),
    (but(8, "3"), "“A picture of covariance” again"),
    (but(6, None), "(6) the height after the transposed convolution: read “The transpose"),
    ((*ALL_RIGHT[:2], None, 1.0, *ALL_RIGHT[4:]), "6 of 8 are right"),
    (ALL_RIGHT[:7], "eight answers are needed"),
]
