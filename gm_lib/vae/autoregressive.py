"""A likelihood in which every pixel sees those before it: a decoder strong enough to do without z."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from gm_lib.vae.likelihoods import Bernoulli


class AutoregressiveBernoulli(Bernoulli):
    """Binary pixels in raster order, p(x | params) = ∏ᵢ p(xᵢ | x₁ … xᵢ₋₁, params).

    The logit of pixel i is paramsᵢ + Σ Wᵢⱼ xⱼ over the pixels j < i, with one learned W for all images: a
    fully visible belief network (Frey et al. 1996) to which the decoder adds. With params that z does not
    reach it is a model of images on its own. W starts at 0, where this is :class:`Bernoulli`.

    There is no mean in closed form, and no ``torch.distributions`` object for it: both raise
    ``NotImplementedError``.
    """

    def __init__(self, event_shape: Sequence[int]):
        super().__init__(event_shape)
        pixels = math.prod(self.event_shape)
        self.weight = nn.Parameter(torch.zeros(pixels, pixels))

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return log p(x | params) per example in nats: (*lead,)."""
        event = len(self.event_shape)
        seen = F.linear(x.flatten(-event), self.weight.tril(-1)).to(params.dtype)
        return super().log_prob(x, params + seen.unflatten(-1, self.event_shape))

    @torch.no_grad()
    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return zeros and ones, drawn one pixel after the other: as many steps as there are pixels."""
        logits = params.flatten(-len(self.event_shape))
        x, u = torch.zeros_like(logits), torch.empty_like(logits).uniform_(generator=generator)
        for i in range(logits.shape[-1]):
            seen = x[..., :i] @ self.weight[i, :i]
            x[..., i] = (u[..., i] < (logits[..., i] + seen).sigmoid()).to(x.dtype)
        return x.unflatten(-1, self.event_shape)

    def mean(self, params: Tensor) -> Tensor:
        """Raise ``NotImplementedError``: what to do instead is in its message."""
        raise NotImplementedError("an autoregressive likelihood has no mean in closed form: average draws.")

    def distribution(self, params: Tensor) -> torch.distributions.Distribution:
        """Raise ``NotImplementedError``: the pixels are not independent given the decoder's output."""
        raise NotImplementedError("its pixels are not independent given the decoder's output: use log_prob.")
