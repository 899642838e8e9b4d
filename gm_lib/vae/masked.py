"""A likelihood in which every value sees those before it, through a hidden layer that the decoder steers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from gm_lib.system.choose import whole_number
from gm_lib.vae.autoregressive import AutoregressiveBernoulli


class MaskedBernoulli(AutoregressiveBernoulli):
    """Binary values in their order, p(x | params) = ∏ᵢ p(xᵢ | x₁ … xᵢ₋₁, params), with hidden units.

    ``units`` hidden units belong to each value j; they see the values before j, and are seen by the logits
    from j on: a masked autoencoder (Germain et al. 2015). Where a NADE (Larochelle and Murray 2011; with an
    RNN in front, Boulanger-Lewandowski et al. 2012) is told by biases, so is this: ``params`` (*lead,
    (1 + units) · values) are the biases of the logits, then those of the hidden units. In front stands
    :class:`AutoregressiveBernoulli`'s direct way from values to logits.
    """

    sees: Tensor
    seen: Tensor

    def __init__(self, event_shape: Sequence[int], units: int = 4):
        super().__init__(event_shape)
        self.channels = 1 + whole_number("units", units, 1)
        values = math.prod(self.event_shape)
        self.into = nn.Parameter(torch.randn(units * values, values) / math.sqrt(values))
        self.out = nn.Parameter(torch.zeros(values, units * values))
        owner = torch.arange(values).repeat(units)
        # Not kept with the weights: they follow from the shape.
        self.register_buffer("sees", (torch.arange(values) < owner[:, None]).float(), persistent=False)
        self.register_buffer("seen", (owner <= torch.arange(values)[:, None]).float(), persistent=False)

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return log p(x | params) per example in nats: (*lead,)."""
        bias, told = self._biases(params)
        hidden = F.relu(F.linear(x, self.into * self.sees) + told)
        logits = bias + F.linear(hidden, self.out * self.seen)
        return super().log_prob(x, logits)

    @torch.no_grad()
    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return zeros and ones, drawn one value after the other: as many steps as there are values."""
        bias, told = self._biases(params)
        x, u = torch.zeros_like(bias), torch.empty_like(bias).uniform_(generator=generator)
        direct, out = self.weight.tril(-1), self.out * self.seen
        into = (self.into * self.sees).T.contiguous()
        for i in range(bias.shape[-1]):
            logit = bias[..., i] + x @ direct[i] + F.relu(told) @ out[i]
            now = (u[..., i] < logit.sigmoid()).to(x.dtype)
            x[..., i] = now
            told = told + now[..., None] * into[i]
        return x

    def _biases(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Split params (*lead, (1 + units) · values) into those of logits and of hidden units."""
        values = self.event_shape[0]
        return params[..., :values], params[..., values:]
