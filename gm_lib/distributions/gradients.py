"""Gradients of expectations from random draws: score function, pathwise, and Gumbel-softmax.

Both estimators look for the gradient of E[cost(z)] with respect to theta, where z is drawn from
``distribution(theta)``, and return one estimate per draw: their mean estimates the gradient, their spread
says how far to trust it. Chapter 8 derives and compares them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

Cost = Callable[[Tensor], Tensor]
Family = Callable[[Tensor], Distribution]


@torch.enable_grad()
def score_function_gradient(cost: Cost, distribution: Family, theta: Tensor, *, n: int) -> Tensor:
    """Per-draw estimates cost(z) · ∇ log p_theta(z) of ∇ E[cost(z)], for n draws z.

    Asks nothing of `cost` but its value, so that z may be discrete and `cost` may jump.

    `distribution(theta)` must treat leading dimensions of theta as independent copies, as
    `lambda theta: Normal(theta, 1.0)` and `lambda theta: Normal(theta[..., 0], theta[..., 1].exp())` do.
    `cost` maps draws of shape (n, ...) to shape (n,). The components of a draw belong together: their
    log-probabilities are added.

    Returns shape (n, *theta.shape), detached. Raises ValueError when n is below 1, `cost` returns another
    shape, or the log-probability does not depend on theta.

    Williams (1992), "Simple statistical gradient-following algorithms", there called REINFORCE.
    """
    copies = _one_copy_per_draw(theta, n)
    law = distribution(copies)
    with torch.no_grad():
        z = law.sample()
        costs = _costs(cost, z, n)
    log_p = law.log_prob(z).reshape(n, -1).sum(dim=1)
    if not log_p.requires_grad:
        raise ValueError(
            "the log-probability does not depend on theta: build the distribution from its argument."
        )
    (score,) = torch.autograd.grad(log_p.sum(), copies)
    return costs.reshape(n, *[1] * theta.dim()) * score


@torch.enable_grad()
def pathwise_gradient(cost: Cost, distribution: Family, theta: Tensor, *, n: int) -> Tensor:
    """Per-draw estimates d cost(z(theta, noise)) / d theta of ∇ E[cost(z)], for n draws of the noise.

    Unbiased when `cost` is Lipschitz continuous, as every continuous cost made of finitely many smooth pieces
    with bounded slopes is: kinks are allowed, jumps are not. Arguments and result as in
    `score_function_gradient`, but autograd must be able to follow `cost`.

    Raises ValueError when n is below 1, the distribution has no `rsample`, `cost` returns another shape,
    or no gradient can flow through `cost` at all.

    Kingma & Welling (2014), Rezende et al. (2014); surveyed by Mohamed et al. (2020).
    """
    copies = _one_copy_per_draw(theta, n)
    law = distribution(copies)
    if not law.has_rsample:
        raise ValueError(
            f"{type(law).__name__} has no rsample: its draws carry no gradient back to their parameters. "
            "Use score_function_gradient, or relax the distribution."
        )
    costs = _costs(cost, law.rsample(), n)
    if not costs.requires_grad:
        raise ValueError(
            "no gradient flows from the cost back to theta (a comparison, a rounding or a detach stands in "
            "between): the pathwise gradient would be zero whatever the truth. Use score_function_gradient."
        )
    (gradient,) = torch.autograd.grad(costs.sum(), copies)
    return gradient


def gumbel_softmax(
    logits: Tensor,
    temperature: float | Tensor,
    hard: bool = False,
    generator: Generator | None = None,
    *,
    dim: int = -1,
) -> Tensor:
    """Relaxed one-hot draws softmax((logits + Gumbel noise) / temperature), differentiable in `logits`.

    The largest entry of a draw sits at k with probability softmax(logits)[k], at every temperature. With
    `hard`, the value is the exact one-hot vector of that entry, and the gradient that of the relaxed draw
    (straight-through; biased).

    `logits` has its K categories along `dim`, the last one by default; so has the result. A tensor of
    temperatures broadcasts to it. `generator` must live on its device.
    Raises ValueError unless every temperature is positive.

    Jang et al. (2017), Maddison et al. (2017).
    """
    if not bool(torch.as_tensor(temperature > 0).all()):
        raise ValueError(f"the temperature must be positive, got {temperature}.")
    # If E is exponential, -log E is Gumbel: -log(-log u) without the risk of log 0.
    gumbel = -torch.empty_like(logits).exponential_(generator=generator).log()
    soft = ((logits + gumbel) / temperature).softmax(dim)
    if not hard:
        return soft
    corner = torch.zeros_like(soft).scatter_(dim, soft.argmax(dim, keepdim=True), 1.0)
    # The bracket is exactly zero, so that the value is exactly one-hot.
    return corner + (soft - soft.detach())


def _one_copy_per_draw(theta: Tensor, n: int) -> Tensor:
    """theta repeated, (n, *theta.shape): one backward pass then gives each draw a gradient of its own."""
    if n < 1:
        raise ValueError(f"the number of draws n must be at least 1, got {n}.")
    if not theta.is_floating_point():
        raise ValueError(f"theta must be a floating-point tensor to have a gradient, got {theta.dtype}.")
    return theta.detach().expand(n, *theta.shape).clone().requires_grad_()


def _costs(cost: Cost, z: Tensor, n: int) -> Tensor:
    costs = cost(z)
    if costs.shape != (n,):
        raise ValueError(
            f"cost must return one number per draw, shape ({n},), for draws of shape {tuple(z.shape)}; "
            f"it returned shape {tuple(costs.shape)}. Sum over a draw's own components, not over draws."
        )
    return costs
