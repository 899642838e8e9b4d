"""Autoregression: p(x) by the chain rule, one pixel after the other, each given those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from gm_lib.networks import OneAdam, descend
from gm_lib.system.choose import whole_number
from gm_lib.vae.likelihoods import Bernoulli

AT_ONCE = 100  # images whose windows are held in memory together


class MaskedAutoregressive(OneAdam):
    """p(x) = ∏ᵢ p(xᵢ | x₁ … xᵢ₋₁) for images of zeros and ones, (n, 1, height, width), in raster order.

    One network gives the logit of every pixel. It sees the pixels before it in a window: ``reach`` rows above
    and ``reach`` columns to either side. ``width`` features of them, to which each place adds its own, go
    through ``layers`` residual layers. That is :class:`gm_lib.vae.CodePrior`'s one wide look, of a PixelCNN
    (van den Oord et al. 2016), for pixels; which of the window is before the pixel is the mask of a MADE
    (Germain et al. 2015). No layer looks at another place, so drawing a pixel takes one window and no more.

    ``log_prob`` is exact, and probabilities of all images sum to 1. There are no labels. ``lr`` and
    ``decay_steps`` are as in :class:`gm_lib.vae.VAE`.

    Raises ``ValueError`` for a shape that is not (1, height, width), and sizes below 1.
    """

    num_classes = 0
    config: dict[str, Any]

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        *,
        width: int = 128,
        layers: int = 2,
        reach: int = 9,
        lr: float = 4e-3,
        decay_steps: int = 0,
    ):
        super().__init__()
        self.shape = tuple(whole_number("each of the shape", size, 1) for size in shape)
        if len(self.shape) != 3 or self.shape[0] != 1:
            raise ValueError(f"shape must be (1, height, width), one bit for each pixel, not {self.shape}.")
        self.reach, width = whole_number("reach", reach, 1), whole_number("width", width, 1)
        self.lr, self.decay_steps = lr, decay_steps
        _, height, across = self.shape
        self.pixels = Bernoulli(self.shape)
        # Of a window (reach + 1, 2 reach + 1), the pixel in the middle of its last row: what is before it.
        before = torch.arange((self.reach + 1) * (2 * self.reach + 1) - self.reach - 1)
        row, column = before // (2 * self.reach + 1), before % (2 * self.reach + 1)
        padded = across + 2 * self.reach
        start = torch.arange(height)[:, None] * padded + torch.arange(across)
        self.before: Tensor
        self.register_buffer(
            "before", start.flatten()[:, None] + row * padded + column, persistent=False
        )  # of each pixel, where in the padded image: (pixels, seen)
        self.look = nn.Linear(len(before), width)
        self.place = nn.Parameter(torch.zeros(height * across, width))
        self.hidden = nn.ModuleList([nn.Linear(width, width) for _ in range(whole_number("layers", layers))])
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logit of p(xᵢ = 1 | x₁ … xᵢ₋₁) for each pixel: (n, 1, height, width)."""
        seen = self._with_edge(x).flatten(1)
        where = self.before.flatten()  # index_select is six times as fast as seen[:, self.before]
        windows = (
            part.index_select(1, where).unflatten(1, self.before.shape) for part in seen.split(AT_ONCE)
        )
        return torch.cat([self._logits(part, self.place) for part in windows]).view(len(x), *self.shape)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x) = Σᵢ log p(xᵢ | x₁ … xᵢ₋₁) in nats: (n,)."""
        return self.pixels.log_prob(x, self(x))

    def sample(self, n: int, y: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw n images of zeros and ones, (n, 1, height, width), in as many steps as there are pixels."""
        return self.complete(torch.zeros(n, *self.shape, device=self.place.device), 0, generator=generator)

    @torch.no_grad()
    def complete(self, x: Tensor, known: int, *, generator: Generator | None = None) -> Tensor:
        """Draw images that begin with the first ``known`` pixels of x, each other one given those before.

        x: (n, 1, height, width); its other pixels mean nothing. Returns images of that shape. Raises
        ``ValueError`` for more known pixels than there are.
        """
        if whole_number("known", known) > len(self.place):
            raise ValueError(f"an image has {len(self.place)} pixels, so known cannot be {known}.")
        drawn = self._with_edge(x.to(self.place.dtype)).flatten(1)
        u = torch.rand(len(x), len(self.place), generator=generator, device=drawn.device, dtype=drawn.dtype)
        for i in range(known, len(self.place)):
            p = self._logits(drawn[:, self.before[i]], self.place[i]).sigmoid()
            drawn[:, self.before[i, -1] + 1] = 2 * (u[:, i] < p).to(drawn.dtype) - 1
        inner = drawn.view(len(x), self.shape[1] + self.reach, -1)[:, self.reach :, self.reach : -self.reach]
        return (inner[:, None] + 1) / 2

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``; return the mean of -log p in nats."""
        loss = -self.log_prob(batch[0]).mean()
        descend(self, loss, optimizers, step, self.decay_steps)
        return {"loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, y)`` holds images of zeros and ones of this shape. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for all else.
        """
        self.pixels.check(batch[0])

    def _with_edge(self, x: Tensor) -> Tensor:
        """Return -1 for black and 1 for white, with 0 for what is beyond the edge: (n, rows, columns)."""
        return F.pad(2 * x[:, 0] - 1, (self.reach, self.reach, self.reach, 0))

    def _logits(self, seen: Tensor, place: Tensor) -> Tensor:
        """Return logits (*lead) from what is before each pixel, (*lead, seen), and its place's features."""
        features = self.look(seen) + place
        for layer in self.hidden:
            features = features + layer(features.relu())
        return self.out(features.relu())[..., 0].to(self.place.dtype)  # autocast's may be shorter
