"""What a discriminator pays for its slope, per example.

A penalty is called with the discriminator, as a function from examples to logits, and with the real and the
generated examples of a batch; it returns (n,).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Penalty = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]


def r1(
    discriminator: Callable[[Tensor], Tensor], x_real: Tensor, x_fake: Tensor, *, gamma: float = 1.0
) -> Tensor:
    """Return γ/2 · ‖∇ₓ logit(x)‖² at the real examples: (n,). R1 of Mescheder et al. 2018.

    ``discriminator`` must judge each example by itself: with batch norm the gradient would be that of a whole
    batch. ``x_fake`` is not looked at. Bind another ``gamma`` with ``functools.partial``.
    """
    x = x_real.detach().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return 0.5 * gamma * slope.flatten(1).square().sum(1)
