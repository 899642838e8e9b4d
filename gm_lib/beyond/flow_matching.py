"""Flow matching: noise is carried to data by a velocity, learned along straight lines between the two."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from gm_lib.beyond.guidance import wanted_labels, withheld_share, withhold
from gm_lib.data import check_images
from gm_lib.networks import OneAdam, check_batch, descend, evaluating, require
from gm_lib.system.choose import whole_number
from gm_lib.system.parallel import randn, uniform

AT_ONCE = 500  # samples in the making at a time, for the memory's sake


class FlowMatching(OneAdam):
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
        known: Any = network  # Any: a module's attributes have no types that mypy could know
        self.network, self.shape, self.num_classes = known, known.shape, known.num_classes
        self.images = len(self.shape) == 3
        self.drop, self.lr = withheld_share(drop), lr
        self.decay_steps = whole_number("decay_steps", decay_steps)
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

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``, each x with a noise and a time; return the loss."""
        x, y = batch
        z = randn(x.shape, device=x.device, dtype=x.dtype)
        t, u = uniform((len(x), 2), device=x.device, dtype=x.dtype).T
        loss = self.squared_error(x, z, t, withhold(y, self.drop, self.num_classes, u)).mean()
        descend(self, loss, optimizers, step, self.decay_steps)
        return {"loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise ``TypeError`` or ``ValueError`` unless the batch ``(x, y)`` is this model's kind of data."""
        check_batch(batch, self.shape, self.num_classes, next(self.parameters(), batch[0]), "the model")
        if self.images:
            check_images(batch[0])

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
        labels = wanted_labels(y, n, self.num_classes, p.device, guidance)
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
