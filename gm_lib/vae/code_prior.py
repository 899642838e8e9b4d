"""A distribution over arrays of codes, such as those of a VQ-VAE, learned one code after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from gm_lib.networks import OneAdam, descend
from gm_lib.system.choose import whole_number
from gm_lib.vae.quantizers import check_indices

ROWS, COLUMNS = 3, 3  # what a CodePrior sees: of the rows above, and to either side
CHANNELS = 16  # the numbers by which it tells codes apart


class CodePrior(OneAdam):
    """p(codes), one place after the other in raster order: each given a window of those before it.

    For indices (n, *places). A masked convolution sees, of the codes before a place, those in the ``ROWS``
    rows above its own and in its own, up to ``COLUMNS`` to either side; ``width`` features of them, and of
    the place, go through two more layers to the logits. So it is a PixelCNN (van den Oord et al. 2016) with
    one wide look instead of many narrow ones, which is fast on arrays as small as 7×7. An array of more than
    two dimensions is laid out as rows of the last, one of a single dimension is one row.

    Trained by -log p on batches of indices, as of ``Batches(model.indices(x))``; ``lr`` is Adam's step size.
    """

    def __init__(self, num_codes: int, places: Sequence[int], *, width: int = 64, lr: float = 5e-3):
        super().__init__()
        self.num_codes = whole_number("num_codes", num_codes, 1)
        self.places = tuple(whole_number("each of the places", place, 1) for place in places)
        self.width, self.lr = whole_number("width", width, 1), lr
        self.codes = nn.Embedding(num_codes + 1, CHANNELS)  # the last: there is no code, beyond the edge
        self.look = nn.Conv2d(CHANNELS, width, (ROWS + 1, 2 * COLUMNS + 1))
        self.place = nn.Parameter(torch.zeros(math.prod(self.places), width))
        self.hidden = nn.Linear(width, width)
        self.logits = nn.Linear(width, num_codes)
        self.before: Tensor
        before = torch.ones(self.look.kernel_size)
        before[ROWS, COLUMNS:] = 0
        self.register_buffer("before", before, persistent=False)

    def forward(self, indices: Tensor) -> Tensor:
        """Return log p of every code at each place, but for a constant: (n, *places, num_codes)."""
        logits = self._logits(self._with_edge(indices), self.place)
        return logits.view(*indices.shape, self.num_codes)

    def log_prob(self, indices: Tensor) -> Tensor:
        """Return log p(indices) in nats, (n,), for indices (n, *places)."""
        log_p = self(indices).log_softmax(-1).gather(-1, indices.unsqueeze(-1))
        return log_p.flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw n arrays of indices: (n, *places), int64."""
        drawn = self._with_edge(torch.zeros(n, *self.places, dtype=torch.int64, device=self.place.device))
        for i, place in enumerate(self.place):
            row, column = divmod(i, self.places[-1])
            window = drawn[:, row : row + ROWS + 1, column : column + 2 * COLUMNS + 1]
            chances = self._logits(window, place)[:, 0].softmax(-1)
            window[:, ROWS, COLUMNS] = torch.multinomial(chances, 1, generator=generator)[:, 0]
        return drawn[:, ROWS:, COLUMNS:-COLUMNS].reshape(n, *self.places)

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(indices, y)``; return the mean of -log p in nats."""
        loss = -self.log_prob(batch[0]).mean()
        descend(self, loss, optimizers)
        return {"loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(indices, y)`` holds indices (n, *places) in range. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for all else.
        """
        indices, _ = batch
        check_indices(indices, self.num_codes)
        if tuple(indices.shape[1:]) != self.places:
            expected = ", ".join(map(str, self.places))
            raise ValueError(f"the prior is over indices (n, {expected}), got {tuple(indices.shape)}.")

    def _with_edge(self, indices: Tensor) -> Tensor:
        """Return indices (n, *places) as rows, with what is seen beyond their edge: (n, height, width)."""
        rows = indices.reshape(len(indices), -1, self.places[-1])
        return F.pad(rows, (COLUMNS, COLUMNS, ROWS, 0), value=self.num_codes)

    def _logits(self, seen: Tensor, place: Tensor) -> Tensor:
        """Return the logits of the places whose windows lie in ``seen``, (n, places, num_codes)."""
        weight = self.look.weight * self.before
        features = F.conv2d(self.codes(seen).permute(0, 3, 1, 2), weight, self.look.bias)
        features = features.permute(0, 2, 3, 1).flatten(1, 2) + place
        features = features + self.hidden(features.relu())
        return self.logits(features.relu()).to(self.place.dtype)  # autocast's may be shorter
