"""Averages over weighted draws, weights kept as logarithms; and averages made quieter by control variates.

Draws come first: ``log_w`` has shape (n, ...), n draws for each of the remaining entries, as the log-weights
(k, n) of a VAE have. Chapter 4 derives what stands here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gm_lib.distributions.estimates import Estimate


def log_mean_exp(log_w: Tensor) -> Tensor:
    """log of the mean of w over the draws, (n, ...) to (...), without leaving the logarithm.

    Estimates the logarithm of the normalizer E[w]; too low on average, by about Var(w) / (2 n E[w]²).
    Raises ValueError when there are no draws.
    """
    _check(log_w)
    return log_w.logsumexp(0) - math.log(len(log_w))


def effective_sample_size(log_w: Tensor) -> Tensor:
    """(Σ w)² / Σ w² over the draws, (n, ...) to (...): between 1 and n.

    n equal weights give n, a single one that outweighs the rest gives 1. It sees only places that were
    visited: a proposal that misses a region can have the full n. NaN where no weight is positive.
    Raises ValueError when there are no draws.

    What it does and does not say: Elvira, Martino and Robert (2018), arXiv:1809.04129.
    """
    _check(log_w)
    return (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()


def self_normalized(values: Tensor, log_w: Tensor) -> Estimate:
    """Weighted mean Σ w f / Σ w of the ``values`` f, with its standard error. Both: shape (n,).

    The weights may lack a constant factor. Bias and standard error are those of large n: the error is
    √(Σ w² (f - mean)²) / Σ w, and means nothing when the weights have no finite variance.
    Raises ValueError for other or different shapes, or no draws.
    """
    _check(log_w)
    if values.shape != log_w.shape or log_w.ndim != 1:
        raise ValueError(
            "expected one value and one log-weight per draw, both of shape (n,), "
            f"got {tuple(values.shape)} and {tuple(log_w.shape)}."
        )
    share = log_w.double().softmax(0)
    mean = (share * values).sum()
    error = (share * (values - mean)).norm()
    return Estimate(mean.item(), error.item(), len(values))


def control_variate(values: Tensor, control: Tensor, expectation: Tensor | float = 0.0) -> Tensor:
    """``values`` less the part that ``control``, of known expectation, explains: the same mean, less noise.

    Returns values - c (control - expectation), one per draw. c = Cov(values, control) / Var(control) is
    estimated from these draws, for each component by itself; that leaves a bias of order 1/n. The variance
    falls to 1 - ρ² of what it was, ρ being the correlation of the two.

    ``values`` and ``control`` have the same shape (n, ...). Raises ValueError when the shapes differ, for
    fewer than two draws, or for a control that never varies.
    """
    if values.shape != control.shape:
        raise ValueError(
            "values and control need the same shape, one row per draw, "
            f"got {tuple(values.shape)} and {tuple(control.shape)}."
        )
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"a covariance needs at least 2 draws, got values of shape {tuple(values.shape)}.")
    deviation = control - control.mean(0)
    spread = (deviation**2).mean(0)
    if bool((spread == 0).any()):
        raise ValueError("the control is the same at every draw, so it can explain nothing: choose another.")
    coefficient = (deviation * (values - values.mean(0))).mean(0) / spread
    return values - coefficient * (control - expectation)


def mean_of_the_others(values: Tensor) -> Tensor:
    """For each draw the mean of all other draws' values, shape (n, ...) as ``values``.

    As a baseline it leaves the score-function estimator unbiased, since draws are independent; the mean of
    all draws would shrink it by the factor 1 - 1/n. Raises ValueError for fewer than two draws.
    """
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"there are no other draws in values of shape {tuple(values.shape)}: draw more.")
    return (values.sum(0) - values) / (len(values) - 1)


def _check(log_w: Tensor) -> None:
    if log_w.ndim == 0 or len(log_w) == 0:
        raise ValueError(
            f"expected log-weights with the draws first, shape (n, ...), got {tuple(log_w.shape)}."
        )
    if not torch.is_floating_point(log_w):
        raise ValueError(f"log-weights must be floating-point numbers, got {log_w.dtype}.")
