"""Flow matching: noise is carried to data by a velocity, learned along straight lines between the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from gm_lib.beyond.networks import TimeUNet
from gm_lib.networks import check_input, check_labels, decay, evaluating, labels_of, require
from gm_lib.system.choose import whole_number
from gm_lib.system.parallel import randn

AT_ONCE = 500  # samples in the making at a time, for the memory's sake


class FlowMatching(nn.Module):
    """A velocity v(x_t, t) that carries z from N(0, I), at t = 0, to data x at t = 1. Lipman et al. 2023.

    The straight line x_t = (1 - t) z + t x from noise to an example has the velocity x - z. Regression on it
    learns the mean E[x - z | x_t], which carries the whole distribution of x_t along. ``network`` maps x
    (n, *shape), times (n,) and labels to (n, *shape) as ``TimeUNet`` and ``TimeMLP`` do. A shape of three
    numbers is that of images in [0, 1], which become [-1, 1] inside, where x_t and v are. A label is withheld
    in training with probability ``drop``. ``lr`` and ``decay_steps`` as of :class:`gm_lib.vae.VAE`;
    ``config``: :func:`digit_flow_matching`'s arguments.
    """

    def __init__(self, network: nn.Module, *, drop: float = 0.1, lr: float = 2e-3, decay_steps: int = 0):
        super().__init__()
        require(network, "network", shape="of an example", num_classes="0 without labels")
        if not 0 <= drop < 1:
            raise ValueError(f"drop is the share of labels withheld, from 0 to below 1, not {drop}.")
        known: Any = network  # Any: a module's attributes have no types that mypy could know
        self.network, self.shape, self.num_classes = known, known.shape, known.num_classes
        self.images = len(self.shape) == 3
        self.drop, self.lr, self.decay_steps = drop, lr, whole_number("decay_steps", decay_steps)
        self.config: dict[str, Any] = {}

    def velocity(
        self, x_t: Tensor, t: Tensor | float, y: Tensor | None = None, *, guidance: float = 0
    ) -> Tensor:
        """Return v(x_t, t), or v(x_t, t, y) with labels: as ``x_t`` (n, *shape). ``t``: (n,) or one number.

        With ``guidance`` w it is (1 + w) v(x_t, t, y) - w v(x_t, t): Ho and Salimans 2022, equation 6.
        """
        t = torch.as_tensor(t, dtype=x_t.dtype, device=x_t.device).expand(len(x_t))
        v = self.network(x_t, t, y)
        return v if not guidance else (1 + guidance) * v - guidance * self.network(x_t, t, None)

    def squared_error(self, x: Tensor, z: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return ‖v(x_t, t) - (x - z)‖² at times t (n,), on lines from z to x (n, *shape): (n,)."""
        x, at = 2 * x - 1 if self.images else x, t.view(-1, *[1] * len(self.shape))
        return (self.velocity((1 - at) * z + at * x, t, y) - (x - z)).square().flatten(1).sum(1)

    def optimizers(self) -> dict[str, Optimizer]:
        """Return Adam. Call it when the model is on its device."""
        return {"adam": Adam(self.parameters(), lr=self.lr, fused=True)}

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``, each x with a noise and a time; return the loss."""
        x, y = batch
        z = randn(x.shape, device=x.device, dtype=x.dtype)
        # Both uniform, of normal draws, which several processes know how to share.
        t, chance = torch.special.ndtr(randn((len(x), 2), device=x.device, dtype=x.dtype)).T
        if self.num_classes and y is not None:
            y = y.where(chance >= self.drop, self.num_classes)
        loss = self.squared_error(x, z, t, y).mean()
        self.zero_grad()
        loss.backward()
        decay(optimizers["adam"], step, self.decay_steps)
        optimizers["adam"].step()
        return {"loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise ``TypeError`` or ``ValueError`` unless the batch ``(x, y)`` is this model's kind of data."""
        x, y = batch
        check_input(x, self.shape, next(self.parameters(), x), "the model")
        if not x.isfinite().all():
            raise ValueError("x holds NaN or infinite values: look at how it was computed.")
        if self.images and x.numel() and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"images lie in [0, 1]; these go from {x.min():.3g} to {x.max():.3g}.")
        if self.num_classes:
            check_labels(y, self.num_classes, len(x))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        y: Any = None,
        *,
        steps: int = 32,
        guidance: float = 0,
        generator: Generator | None = None,
    ) -> Tensor:
        """Return n examples by so many of Euler's ``steps`` from noise: (n, *shape), images in [0, 1].

        ``y``: n labels; without them none is known. ``guidance``, as in :meth:`velocity`, needs them.
        """
        p, steps = next(self.parameters(), torch.zeros(())), whole_number("steps", steps, 1)
        if (labels := labels_of(y, n, self.num_classes, p.device)) is None and guidance:
            raise ValueError("guidance leads towards labels: give y, to a model that takes labels.")
        x = torch.randn((n, *self.shape), generator=generator, device=p.device, dtype=p.dtype)
        with evaluating(self):
            for rows in (slice(first, first + AT_ONCE) for first in range(0, n, AT_ONCE)):
                told = None if labels is None else labels[rows]
                for i in range(steps):
                    x[rows] += self.velocity(x[rows], i / steps, told, guidance=guidance) / steps
        return ((x + 1) / 2).clamp(0, 1) if self.images else x

    def log_prob(self, x: Tensor, y: Tensor | None = None, *, steps: int = 100) -> Tensor:
        """Return log p(x) of points (n, dim) in nats, by so many midpoint steps back to the noise: (n,).

        log p(x) = log N(x_0; 0, I) - ∫ tr(∂v/∂x_t) dt (Chen et al. 2018, theorem 1). No gradients pass.
        Raises ``ValueError`` for images: the trace takes a backward pass for each value.
        """
        if self.images:
            raise ValueError(f"an image's density takes {math.prod(self.shape)} backward passes a step.")
        self.check((x, y))
        log_volume, h = x.new_zeros(len(x)), 1 / whole_number("steps", steps, 1)
        with evaluating(self), torch.enable_grad():
            for t in (1 - i * h for i in range(steps)):
                middle = (x - self.velocity(x, t, y) * (h / 2)).detach().requires_grad_()
                for i, part in enumerate((v := self.velocity(middle, t - h / 2, y)).unbind(1)):
                    log_volume += h * torch.autograd.grad(part.sum(), middle, retain_graph=True)[0][:, i]
                x = x - h * v.detach()
        return -0.5 * (x.square() + math.log(2 * math.pi)).sum(1) - log_volume


def digit_flow_matching(
    *,
    shape: Sequence[int] = (1, 28, 28),
    width: int = 32,
    num_classes: int = 0,
    drop: float = 0.1,
    lr: float = 2e-3,
    decay_steps: int = 0,
) -> FlowMatching:
    """Return flow matching with a ``TimeUNet`` for images in [0, 1] of a ``shape`` (channels, h, w).

    ``width`` is the network's, the rest as of :class:`FlowMatching`. Raises what these two raise.
    """
    config = dict(locals()) | {"shape": list(shape)}
    unet = TimeUNet(shape, width=width, num_classes=num_classes)
    model = FlowMatching(unet, drop=drop, lr=lr, decay_steps=decay_steps)
    model.config = config
    return model
