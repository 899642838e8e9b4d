"""Priors p(z): what a :class:`gm_lib.vae.VAE` asks of one, and three of them.

A prior is an ``nn.Module`` that knows its ``latent_dim`` and has ``distribution()``, the
``torch.distributions.Distribution`` that it stands for: a Normal of batch shape (latent_dim,), for which the
KL from a Gaussian has a closed form, or one with event shape (latent_dim,), for which it is estimated from
the draws. ``sample(n, generator)`` draws (n, latent_dim).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from gm_lib.system.choose import whole_number


class StandardNormal(nn.Module):
    """p(z) = N(0, I). Kingma and Welling 2014."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def distribution(self) -> Normal:
        """Return N(0, 1) for each dimension: batch shape (latent_dim,)."""
        return Normal(self.mean, self.scale, validate_args=False)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Draw n codes: (n, latent_dim)."""
        shape = n, self.latent_dim
        return torch.randn(shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)


class MixturePrior(nn.Module):
    """A mixture of diagonal Gaussians, learned with the model: weights, means and scales.

    The means start as draws from N(0, I), the scales at 1, the weights equal.
    """

    def __init__(self, latent_dim: int, components: int):
        super().__init__()
        self.latent_dim = latent_dim
        components = whole_number("components", components, 1)
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, latent_dim))
        self.log_scales = nn.Parameter(torch.zeros(components, latent_dim))

    def distribution(self) -> MixtureSameFamily:
        """Return the mixture: event shape (latent_dim,)."""
        return _mixture(self.logits, self.means, self.log_scales.exp())

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Draw n codes: (n, latent_dim)."""
        return _draw(self.distribution(), n, generator)


class VampPrior(nn.Module):
    """The mean of q(z | u) over ``components`` inputs u that are learned with the model, in equal parts.

    "Variational mixture of posteriors": with enough of them it can become the aggregate posterior, the best
    prior for a given encoder. Tomczak and Welling 2018. ``encoder`` is the model's own, used but
    not owned; ``in_shape`` the shape of one example. The inputs are kept in (0, 1) by a sigmoid; they start
    at random around ``start``, which may be a number or examples (components, *in_shape) of the data.
    """

    def __init__(
        self,
        encoder: nn.Module,
        latent_dim: int,
        in_shape: Sequence[int],
        components: int,
        start: float | Tensor = 0.1,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        components = whole_number("components", components, 1)
        self._encoder: list[Any] = [encoder]  # in a list: its weights are the model's, not the prior's
        if not isinstance(start, Tensor):
            start = torch.full((components, *in_shape), float(start))
        if start.shape != (components, *in_shape):
            shape = tuple(start.shape)
            raise ValueError(f"start must have the shape {(components, *in_shape)}, got {shape}.")
        logits = torch.logit(start.detach().clone().float(), eps=0.05)
        self.input_logits = nn.Parameter(logits + 0.1 * torch.randn_like(logits))

    @property
    def inputs(self) -> Tensor:
        """The learned inputs, (components, *in_shape), in (0, 1)."""
        return self.input_logits.sigmoid()

    def distribution(self) -> MixtureSameFamily:
        """Return the mixture of the encoder's answers: event shape (latent_dim,)."""
        q = self._encoder[0](self.inputs, None)
        return _mixture(q.mean.new_zeros(len(q.mean)), q.mean, q.stddev)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Draw n codes: (n, latent_dim)."""
        return _draw(self.distribution(), n, generator)


def log_prior(prior: Distribution, z: Tensor) -> Tensor:
    """Return log p(z) in nats for z (*lead, latent_dim): (*lead,), whichever of the two forms p(z) has."""
    log_p = prior.log_prob(z)
    return log_p if prior.event_shape else log_p.sum(-1)


def _mixture(logits: Tensor, means: Tensor, scales: Tensor) -> MixtureSameFamily:
    parts = Independent(Normal(means, scales, validate_args=False), 1, validate_args=False)
    return MixtureSameFamily(Categorical(logits=logits, validate_args=False), parts, validate_args=False)


def _draw(mixture: MixtureSameFamily, n: int, generator: Generator | None) -> Tensor:
    """Draw from a mixture of Gaussians by a generator, which torch's own ``sample`` does not take."""
    parts: Any = mixture.component_distribution
    probs = mixture.mixture_distribution.probs
    which = torch.multinomial(probs, n, replacement=True, generator=generator)
    means, scales = parts.base_dist.mean[which], parts.base_dist.stddev[which]
    noise = torch.randn(means.shape, generator=generator, device=means.device, dtype=means.dtype)
    return means + scales * noise
