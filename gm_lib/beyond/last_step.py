"""The last step of a diffusion, from z_1 to x, by the kind of data: real values, or pixels that are 0 or 1.

A kind says what x is inside, which guess of x a network's answer means, and what p(x | z_1) is. The answer 0
is right of standard normal values, and of fair coins.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn

from gm_lib.beyond.noising import scales
from gm_lib.vae.likelihoods import Bernoulli


class RealValues(nn.Module):
    """Values of mean 0 and variance 1 or so; p(x | z_1) = N(x̂, σ_1² / α_1²). A guess is x̂ itself."""

    def inside(self, x: Tensor) -> Tensor:
        """Return x as it is noised."""
        return x

    def guess(self, answer: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Return x̂ = α z - σ · answer: what is added to the best guess for x from N(0, I)."""
        alpha, sigma = scales(t, z)
        return alpha * z - sigma * answer

    def mean(self, guess: Tensor) -> Tensor:
        """Return x̂."""
        return guess

    def log_prob(self, x: Tensor, guess: Tensor, t: Tensor) -> Tensor:
        """Return log p(x | z_t) in nats: (n,)."""
        alpha, sigma = scales(t, x)
        return torch.distributions.Normal(guess, sigma / alpha).log_prob(x).flatten(1).sum(1)

    def draw(self, guess: Tensor, t: Tensor, generator: Generator | None) -> Tensor:
        """Return a draw of p(x | z_t)."""
        alpha, sigma = scales(t, guess)
        return guess + sigma / alpha * torch.empty_like(guess).normal_(generator=generator)

    def mode(self, guess: Tensor) -> Tensor:
        """Return the likeliest x."""
        return guess

    def check(self, x: Tensor) -> None:
        """Accept any x."""


class Pixels(nn.Module):
    """Pixels 0 and 1, which are -1 and 1 inside. A guess is logits l, of which x̂ = tanh(l / 2)."""

    def __init__(self, shape: Any):
        super().__init__()
        self.bernoulli = Bernoulli(shape)

    def inside(self, x: Tensor) -> Tensor:
        """Return -1 and 1."""
        return 2 * x - 1

    def guess(self, answer: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Return 2αz / σ² + answer: the logits of fair coins seen through the noise, and what is added."""
        alpha, sigma = scales(t, z)
        return 2 * alpha / sigma.square() * z + answer

    def mean(self, guess: Tensor) -> Tensor:
        """Return x̂ in (-1, 1)."""
        return (0.5 * guess).tanh()

    def log_prob(self, x: Tensor, guess: Tensor, t: Tensor) -> Tensor:
        """Return log p(x | z_t) in nats: (n,)."""
        return self.bernoulli.log_prob(x, guess)

    def draw(self, guess: Tensor, t: Tensor, generator: Generator | None) -> Tensor:
        """Return zeros and ones."""
        return self.bernoulli.sample(guess, generator)

    def mode(self, guess: Tensor) -> Tensor:
        """Return the likeliest x."""
        return (guess > 0).to(guess.dtype)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` for anything but zeros and ones."""
        self.bernoulli.check(x)
