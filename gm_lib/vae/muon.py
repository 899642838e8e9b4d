"""Muon, an optimizer for weight matrices.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

# a·s + b·s³ + c·s⁵ five times over takes every singular value s in [0.01, 1] to between 0.68 and 1.14.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


class Muon(Optimizer):
    """Momentum whose matrices are made nearly orthogonal: W ← W - lr · √max(1, rows / columns) · O(M).

    M is the gradient's running mean, at the rate 1 - ``momentum``, looked at one step ahead (Nesterov). The
    step is about equally long in all directions of the matrix. ``torch.optim.Muon`` computes O in bfloat16,
    which a processor without instructions for it does many times more slowly; here it is float32.

    Raises ``ValueError`` for parameters that are no matrices, and for lr or momentum out of range.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95):
        if lr < 0 or not 0 <= momentum < 1:
            raise ValueError(f"Muon takes lr ≥ 0 and 0 ≤ momentum < 1, not {lr} and {momentum}.")
        super().__init__(params, {"lr": lr, "momentum": momentum})
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"Muon takes matrices, not a parameter of the shape {tuple(p.shape)}.")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step. Parameters without a gradient stay."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                mean = state["mean"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalized(p.grad.lerp(mean, group["momentum"]))
                p.sub_(update, alpha=group["lr"] * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return about U V^T of a matrix U S V^T (rows, columns): its singular values brought near 1.

    Newton-Schulz iteration: odd polynomials of S from products of the matrix with itself. Singular values
    below a hundredth of the Frobenius norm arrive below 0.68; a matrix of zeros stays.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / wide.norm().clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide is matrix else x.T
