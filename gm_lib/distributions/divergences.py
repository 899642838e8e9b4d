"""How far is one distribution from another? Exact on tables and grids, bounded or estimated from samples.

A distribution is given by the logarithms of its probabilities, the cells of a table along the last dimension:
``(..., K)``. A density becomes such a table on a grid of points: pass log-densities, and as ``cell`` the
width of a grid cell. All values are in nats. Chapter 3 derives and compares them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def kl(log_p: Tensor, log_q: Tensor, *, cell: float = 1.0) -> Tensor:
    """Kullback-Leibler divergence KL(p || q) = E_p[log p - log q] in nats: (..., K) → (...).

    Cells that p never visits (log_p = -∞) add nothing; one that p visits and q does not makes it infinite.
    Differentiable in both. Raises ``ValueError`` unless the cells of p, and those of q, hold a mass of 1
    within a thousandth. Kullback and Leibler (1951).
    """
    return _kl(*_tables(log_p, log_q, cell), cell)


def js(log_p: Tensor, log_q: Tensor, *, cell: float = 1.0) -> Tensor:
    """Jensen-Shannon divergence ½ KL(p || m) + ½ KL(q || m) with m = (p + q)/2, in nats: (..., K) → (...).

    Between 0, for equal distributions, and log 2, for those that share no cell. Errors as :func:`kl`.
    Lin (1991).
    """
    p, q = _tables(log_p, log_q, cell)
    visited = (p > -math.inf) | (q > -math.inf)  # elsewhere logaddexp would have the gradient NaN
    log_m = torch.logaddexp(torch.where(visited, p, 0.0), torch.where(visited, q, 0.0)) - math.log(2.0)
    return (_kl(p, log_m, cell) + _kl(q, log_m, cell)) / 2


def total_variation(log_p: Tensor, log_q: Tensor, *, cell: float = 1.0) -> Tensor:
    """Total variation ½ Σ |p - q|, between 0 and 1: (..., K) → (...). Errors as :func:`kl`.

    Whoever has to guess which of the two made a draw, both equally likely, is right with probability at
    most ½ (1 + total variation).
    """
    p, q = _tables(log_p, log_q, cell)
    return (p.exp() - q.exp()).abs().sum(-1) * (cell / 2)


def wasserstein1(x: Tensor, y: Tensor) -> Tensor:
    """Wasserstein-1 distance between two samples of numbers, (n,) and (m,), in the units of the numbers.

    The mean distance over which the mass of one has to be carried to become the other, which on the line is
    the area between the two distribution functions, ∫ |F - G|. Differentiable in both samples.

    Raises ``ValueError`` for a sample that is empty or has more than one dimension.
    """
    for name, sample in (("x", x), ("y", y)):
        if sample.ndim != 1 or len(sample) == 0:
            raise ValueError(
                f"{name} must be a sample of numbers, shape (n,) with n ≥ 1, got shape {tuple(sample.shape)}."
            )
    x, y = x.sort().values, y.sort().values
    steps = torch.cat([x, y]).sort().values
    here = steps[:-1].detach().contiguous()  # between here and the next step both functions are flat
    f = torch.searchsorted(x.detach(), here, right=True) / len(x)
    g = torch.searchsorted(y.detach(), here, right=True) / len(y)
    return ((f - g).abs() * steps.diff()).sum()


def js_lower_bound(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """What a judge's logits prove about JS(p, q): one term per pair of draws, (n,) and (n,) → (n,), in nats.

    ``logits_p`` are the judge's logits at n draws from p, ``logits_q`` at n draws from q; a large logit says
    "from p". The expectation of log 2 + ½ log σ(t(x)) + ½ log(1 - σ(t(y))) is at most JS(p, q), whatever the
    judge t, and equal to it for the logit log p - log q. It is a bound only on draws that the judge was not
    fitted to. Goodfellow et al. (2014), section 4.1; Nguyen et al. (2010) for other divergences.

    Raises ``ValueError`` unless both have the same shape (n,).
    """
    if logits_p.ndim != 1 or logits_p.shape != logits_q.shape:
        raise ValueError(
            "the judge needs one logit for each of n draws of either side, shape (n,), "
            f"got {tuple(logits_p.shape)} and {tuple(logits_q.shape)}."
        )
    return math.log(2.0) + (logsigmoid(logits_p) + logsigmoid(-logits_q)) / 2


def _kl(p: Tensor, q: Tensor, cell: float) -> Tensor:
    # Where p is zero, the logarithms are replaced before they meet: 0 · ∞ would be NaN, in the gradient too.
    visited = p > -math.inf
    log_ratio = torch.where(visited, p, 0.0) - torch.where(visited, q, 0.0)
    return (p.exp() * log_ratio).sum(-1) * cell


def _tables(log_p: Tensor, log_q: Tensor, cell: float) -> tuple[Tensor, Tensor]:
    """Return both tables with one shape, after a look at whether each is one."""
    for name, table in (("log_p", log_p), ("log_q", log_q)):
        mass = table.detach().exp().sum(-1) * cell
        if not bool(((mass - 1).abs() < 1e-3).all()):
            worst = mass.flatten()[(mass - 1).abs().flatten().nan_to_num(nan=math.inf).argmax()].item()
            raise ValueError(
                f"{name} holds a mass of {worst:.4g} where a distribution holds 1. Give logarithms of "
                "probabilities; of densities, on a grid wide and fine enough, with cell = its step."
            )
    p, q = torch.broadcast_tensors(log_p, log_q)
    return p, q
