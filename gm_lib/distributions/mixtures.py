"""Mixtures: a hidden choice among K components, and expectation–maximization to fit them.

A mixture knows log p(x, z = k), its joint; everything else follows from that. Shapes: x (n, d), results with
one column for each component (n, K), all log-probabilities in nats. Chapter 5 derives it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Generator, Tensor
from torch.distributions import Normal


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Component k, with probability ``weights[k]``, is normal with its own mean and variance per dimension.

    ``weights``: (K,), adding up to one; ``means`` and ``variances``: (K, d). Draws and densities agree with
    ``torch.distributions.MixtureSameFamily``.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor

    def log_joint(self, x: Tensor) -> Tensor:
        """Return log p(x, z = k) = log π_k + log N(x; μ_k, σ²_k) for x (n, d): (n, K)."""
        components = Normal(self.means, self.variances.sqrt(), validate_args=False)
        return self.weights.log() + components.log_prob(x[:, None, :]).sum(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), the hidden choice summed out: (n,)."""
        return self.log_joint(x).logsumexp(1)

    def sample(self, n: int, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw the component, then the example: z (n,) and x (n, d)."""
        z = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(self.means[z].shape, generator=generator, dtype=self.means.dtype)
        return z, self.means[z] + self.variances[z].sqrt() * noise

    def refit(self, x: Tensor, responsibilities: Tensor, *, smallest: float = 0.0) -> GaussianMixture:
        """Return the mixture that maximizes the expected joint, the M-step: x (n, d), (n, K).

        Variances below ``smallest`` are raised to it. Without such a floor a component that holds a single
        example shrinks onto it, and the likelihood grows without end.
        """
        counts = responsibilities.sum(0)
        means = responsibilities.T @ x / counts[:, None]
        squares = torch.stack(
            [r @ (x - mean) ** 2 for r, mean in zip(responsibilities.T, means, strict=True)]
        )
        return GaussianMixture(counts / len(x), means, (squares / counts[:, None]).clamp(min=smallest))


@dataclass(frozen=True, eq=False)
class BernoulliMixture:
    """Component k, with probability ``weights[k]``, tosses a coin of its own for each of d pixels.

    ``weights``: (K,), adding up to one; ``probs``: (K, d), each strictly between 0 and 1.
    """

    weights: Tensor
    probs: Tensor

    def log_joint(self, x: Tensor) -> Tensor:
        """Return log p(x, z = k) for x (n, d) of zeros and ones: (n, K)."""
        logits = self.probs.logit()
        return self.weights.log() + x @ logits.T + torch.log1p(-self.probs).sum(1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x), the hidden choice summed out: (n,)."""
        return self.log_joint(x).logsumexp(1)

    def sample(self, n: int, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw the component, then toss its coins: z (n,) and x (n, d)."""
        z = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        return z, torch.bernoulli(self.probs[z], generator=generator)

    def refit(self, x: Tensor, responsibilities: Tensor) -> BernoulliMixture:
        """Return the M-step's mixture. Each coin is smoothed by half a head and half a tail.

        That is the mode under a Beta(3/2, 3/2) prior, so that no pixel is ever held impossible.
        """
        counts = responsibilities.sum(0)
        probs = (responsibilities.T @ x + 0.5) / (counts[:, None] + 1)
        return BernoulliMixture(counts / len(x), probs)


Mixture = TypeVar("Mixture", GaussianMixture, BernoulliMixture)


def responsibilities(log_joint: Tensor) -> Tensor:
    """Return the posterior p(z = k | x) from log p(x, z = k), (n, K) to (n, K): the E-step."""
    return log_joint.softmax(1)


def em(mixture: Mixture, x: Tensor, *, steps: int, **refit_options: float) -> tuple[Mixture, Tensor]:
    """Take ``steps`` steps of expectation–maximization on x (n, d). Dempster, Laird and Rubin 1977.

    Returns the mixture and the mean log-likelihood in nats before each step and after the last,
    (steps + 1,); it never falls while nothing holds ``refit`` back from the maximum. ``refit_options`` go to
    the mixture's ``refit``.

    Raises ``ValueError`` for data that is not (n, d) or not finite, and ``FloatingPointError`` when the
    likelihood stops being finite, which happens when a component loses all its examples or shrinks onto one.
    """
    if x.dim() != 2 or not bool(x.isfinite().all()):
        raise ValueError(f"x must be finite and of shape (n, d), got shape {tuple(x.shape)}.")
    scores = []
    for step in range(steps + 1):
        log_joint = mixture.log_joint(x)
        scores.append(log_joint.logsumexp(1).mean().item())
        if not math.isfinite(scores[-1]):
            raise FloatingPointError(
                f"step {step}: the mean log-likelihood is {scores[-1]}. A component has lost its examples or "
                "has shrunk onto a few: use fewer components, or hold variances up with smallest=…"
            )
        if step < steps:
            mixture = mixture.refit(x, responsibilities(log_joint), **refit_options)
    return mixture, torch.tensor(scores, dtype=torch.float64)
