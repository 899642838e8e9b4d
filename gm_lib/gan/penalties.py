"""What a discriminator pays for its slope, per logit.

A penalty is called with the discriminator, as a function from examples to logits, and with the real and the
generated examples of a batch; it returns one number for each logit: (n,), or (n/m,) where packs of m are
judged, with the slope in all m examples together. The discriminator must judge each example, or pack, by
itself: with batch norm the gradient would be that of a whole batch. ``functools.partial`` binds ``gamma``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gm_lib.system.parallel import uniform

Judge = Callable[[Tensor], Tensor]
Penalty = Callable[[Judge, Tensor, Tensor], Tensor]


def r1(discriminator: Judge, x_real: Tensor, x_fake: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Return γ/2 · ‖∇ₓ logit(x)‖² at the real examples: (n,). Mescheder et al. 2018, R1."""
    return 0.5 * gamma * _slopes(discriminator, x_real).square().sum(1)


def r2(discriminator: Judge, x_real: Tensor, x_fake: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Return γ/2 · ‖∇ₓ logit(x)‖² at the generated examples: (n,). Mescheder et al. 2018, R2."""
    return 0.5 * gamma * _slopes(discriminator, x_fake).square().sum(1)


def r1_and_r2(discriminator: Judge, x_real: Tensor, x_fake: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Return the sum of :func:`r1` and :func:`r2`, with the same γ: (n,). Huang et al. 2024."""
    return r1(discriminator, x_real, x_fake, gamma=gamma) + r2(discriminator, x_real, x_fake, gamma=gamma)


def gradient_penalty(discriminator: Judge, x_real: Tensor, x_fake: Tensor, *, gamma: float = 10.0) -> Tensor:
    """Return γ (‖∇ₓ logit(x)‖ - 1)² between real and generated examples: (n,). Gulrajani et al. 2017.

    Each x is a point drawn uniformly on the line from a generated example to its real neighbour in the batch.
    """
    each = len(x_real), *[1] * (x_real.ndim - 1)
    mixed = uniform(each, device=x_real.device, dtype=x_real.dtype)
    slopes = _slopes(discriminator, torch.lerp(x_fake, x_real, mixed))
    # The norm's own gradient is taken as 0 where the slope is 0.
    return gamma * (torch.linalg.vector_norm(slopes, dim=1) - 1).square()


PENALTIES: dict[str, Callable[..., Tensor]] = {
    "r1": r1,
    "r2": r2,
    "r1+r2": r1_and_r2,
    "gradient_penalty": gradient_penalty,
}


def _slopes(discriminator: Judge, x: Tensor) -> Tensor:
    """Return the gradient of each logit, as a row: (n, numbers of one example)."""
    x = x.detach().requires_grad_()
    logits = discriminator(x)
    (slopes,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return slopes.reshape(len(logits), -1)
