"""The score of x, ∇ₓ log p(x), and what it says about the removal of noise.

It is a gradient with respect to the data, not to the parameters: chapter 4's score is that of θ.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


@torch.enable_grad()
def score_of_x(log_prob: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ∇ₓ log p(x) at each example, by automatic differentiation: as x, (n, ...), without a graph.

    ``log_prob`` maps (n, ...) to (n,), each example's log-density from that example alone; log Z need not be
    in it. Leaves no gradient on its parameters.

    Raises ``ValueError`` for x that is not floating point, another shape of the log-densities, and
    log-densities that carry no gradient back to x.
    """
    if not x.is_floating_point():
        raise ValueError(
            f"x must be floating point to have a gradient, got {x.dtype}: convert with x.float()."
        )
    leaf = x.detach().clone().requires_grad_()
    log_p = log_prob(leaf)
    if log_p.shape != x.shape[:1] or x.ndim == 0:
        raise ValueError(
            f"log_prob must return one number per example, shape (n,), for x of shape {tuple(x.shape)}; it "
            f"returned shape {tuple(log_p.shape)}. Sum over an example's own values, not over examples."
        )
    if not log_p.requires_grad:
        raise ValueError(
            "no gradient flows from log_prob back to x: it does not depend on x, or a detach, no_grad or "
            "rounding stands in between."
        )
    (score,) = torch.autograd.grad(log_p.sum(), leaf)
    return score


def tweedie(noisy: Tensor, score: Tensor, noise_variance: float) -> Tensor:
    """Return E[x | noisy] = noisy + σ² ∇ log p(noisy), where noisy = x + ε, ε from N(0, σ²I): as noisy.

    ``score`` is that of the *noisy* data's density, at ``noisy``, of the same shape; ``noise_variance`` is
    σ². Exact for any distribution of x. Robbins 1956, who has it from Tweedie; Efron 2011.

    Raises ``ValueError`` for a score of another shape and a variance that is negative or not finite.
    """
    if score.shape != noisy.shape:
        raise ValueError(
            f"the score must have the noisy data's shape {tuple(noisy.shape)}, not {tuple(score.shape)}."
        )
    if not (noise_variance >= 0 and math.isfinite(noise_variance)):
        raise ValueError(f"noise_variance must be finite and at least 0, not {noise_variance}.")
    return noisy + noise_variance * score
