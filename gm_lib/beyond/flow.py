"""Normalizing flows: noise goes through invertible layers to data, so that the density is known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from gm_lib.beyond.flow_layers import Coupling, Scaling, halves
from gm_lib.data import check_images
from gm_lib.networks import check_batch, descend, mlp
from gm_lib.system.choose import whole_number
from gm_lib.system.parallel import uniform

LEVELS = 256  # of grey


class CouplingFlow(nn.Module):
    """x = f(z), z from N(0, I), with f the ``layers`` one after the other, the one next to the noise first.

    Of points (n, dim), or of images (n, c, h, w) with ``LEVELS`` of grey between 0 and 1. Images are
    dequantized anew in each update: level k becomes (k + u) / ``LEVELS``, u uniform. ``lr`` is Adam's step
    size, five times as large for :class:`Scaling`; with ``decay_steps`` it falls to 0. ``config``: what a
    builder made it from.
    """

    num_classes = 0

    def __init__(
        self, shape: Sequence[int], layers: Sequence[nn.Module], *, lr: float = 2e-3, decay_steps: int = 0
    ):
        super().__init__()
        self.config: dict[str, Any] = {}  # of the builder, if one made it
        self.shape, self.lr, self.decay_steps = tuple(shape), lr, decay_steps
        self.layers: Any = nn.ModuleList(layers)
        with torch.no_grad():
            self.noise_shape = self.inverse(torch.zeros(1, *shape))[0].shape[1:]

    def forward(self, z: Tensor) -> Tensor:
        """Return x = f(z), (n, *shape)."""
        for layer in self.layers:
            z = layer(z)
        return z

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z with f(z) = x, (n, *noise_shape), and log|det J_f(z)|, (n,), the sum over the layers."""
        log_det = x.new_zeros(len(x))
        for layer in reversed(self.layers):
            x, of_layer = layer.inverse(x)
            log_det = log_det + of_layer
        return x, log_det

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the log-density log p(x) = log p(z) - log|det J_f(z)| in nats, (n,); x (n, *shape).

        Of images it is the density of dequantized values in [0, 1), ``gm_lib.data.dequantize``.
        """
        z, log_det = self.inverse(x)
        log_p_z = -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        return log_p_z - log_det

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw n examples (n, *shape): f of noise; of images the level in whose bin it falls."""
        at = next(self.parameters())
        z = torch.randn(n, *self.noise_shape, generator=generator, device=at.device, dtype=at.dtype)
        x = self(z)
        return x if len(self.shape) == 1 else (LEVELS * x).floor().clamp(0, LEVELS - 1) / (LEVELS - 1)

    def optimizers(self) -> dict[str, Optimizer]:
        """Return Adam."""
        scalings = nn.ModuleList(layer for layer in self.layers if isinstance(layer, Scaling))
        others = nn.ModuleList(layer for layer in self.layers if not isinstance(layer, Scaling))
        groups: Any = [(others.parameters(), self.lr), (scalings.parameters(), 5 * self.lr)]
        return {"adam": Adam([{"params": params, "lr": lr} for params, lr in groups], fused=True)}

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one step on a batch ``(x, y)``, y unused; return the mean of -log p(x) in nats, ``loss``."""
        x, _ = batch
        if len(self.shape) == 3:
            u = uniform(x.shape, device=x.device, dtype=x.dtype).clamp(max=1 - 2**-16)
            x = ((x * (LEVELS - 1)).round() + u) / LEVELS
        loss = -self.log_prob(x).mean()
        descend(self, loss / math.prod(self.shape), optimizers, step, self.decay_steps, clip=1.0)
        return {"loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise unless x of the batch ``(x, y)`` holds finite points, or images in [0, 1], of the shape."""
        check_batch(batch, self.shape, self.num_classes, next(self.parameters()), "the flow")
        if len(self.shape) == 3:
            check_images(batch[0])


def point_flow(
    dim: int = 2, *, couplings: int = 8, hidden: int = 64, lr: float = 2e-3, decay_steps: int = 0
) -> CouplingFlow:
    """Return a flow of points (n, ``dim``): ``couplings`` with two layers of ``hidden`` units each."""
    config = dict(locals())
    whole_number("dim", dim, 2)

    def network(n_in: int, n_out: int) -> nn.Sequential:
        return mlp([n_in, hidden, hidden, n_out], nn.SiLU)

    layers = [Coupling(kept, network) for kept in halves(dim, couplings)]
    model = CouplingFlow((dim,), [*layers, Scaling((dim,))], lr=lr, decay_steps=decay_steps)
    model.config = config
    return model
