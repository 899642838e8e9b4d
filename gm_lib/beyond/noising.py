"""The encoder of a diffusion model, which learns nothing: how x turns to noise, and the way back.

At a time t in [0, 1] the latent variable is z_t = α_t x + σ_t ε, with ε from N(0, I):

    q(z_t | x) = N(α_t x, σ_t² I),    α_t² + σ_t² = 1,    α_t² / σ_t² = exp(log_snr(t)).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Generator, Tensor

from gm_lib.system.parallel import randn, uniform

HIGHEST, LOWEST = 8.0, -10.0  # of log_snr


def log_snr(t: Tensor) -> Tensor:
    """Return log(α_t² / σ_t²), which falls evenly from ``HIGHEST`` at t = 0 to ``LOWEST`` at t = 1; as t."""
    return HIGHEST + (LOWEST - HIGHEST) * t


def scales(t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return α and σ at times t (n,) or (1,), to be multiplied with ``like`` (n, ...): each (n, 1, ...)."""
    snr = log_snr(t).view(-1, *[1] * (like.ndim - 1))
    return snr.sigmoid().sqrt(), (-snr).sigmoid().sqrt()


def noised(x: Tensor, t: Tensor) -> Tensor:
    """Return a draw of z_t for each example x (n, ...) at times t (n,)."""
    alpha, sigma = scales(t, x)
    return alpha * x + sigma * randn(x.shape, device=x.device, dtype=x.dtype)


def step_back(z: Tensor, x: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean, as z, and standard deviation of q(z_s | z_t = z, x) at times s < t, (n,) or (1,).

    Kingma et al. 2021: between what z says of x and x itself, the more x the longer the step.
    """
    (alpha, _), (alpha_s, sigma_s) = scales(t, z), scales(s, z)
    new = -torch.expm1(log_snr(t) - log_snr(s)).view(alpha.shape)  # share of the SNR that z_s has above z_t
    return alpha_s * ((1 - new) * z / alpha + new * x), new.sqrt() * sigma_s


def draw_back(z: Tensor, x: Tensor, t: Tensor, s: Tensor, generator: Generator | None = None) -> Tensor:
    """Return a draw of what :func:`step_back` describes, q(z_s | z_t = z, x) at times s < t: as z."""
    mean, sd = step_back(z, x, t, s)
    return mean + sd * torch.randn(z.shape, generator=generator, device=z.device, dtype=z.dtype)


def slide_back(z: Tensor, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Return z_s at the times s < t, (n,), made of x and of the noise that is in z_t = z if x is right: as z.

    It has the distribution q(z_s | x), too. Song, Meng and Ermon 2021, equation 12 with σ = 0.
    """
    (alpha, sigma), (alpha_s, sigma_s) = scales(t, z), scales(s, z)
    return alpha_s * x + sigma_s * (z - alpha * x) / sigma


def downward(times: Tensor, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Return the steps from the last of ``times`` (rising) to the first: pairs of times t > s, each (n,)."""
    return pairwise(times.flip(0).expand(n, -1).unbind(1))


def spread(x: Tensor) -> Tensor:
    """Return a number in [0, 1) for each example x (n, ...), uniform, evenly spaced over the batch: (n,).

    Kingma et al. 2021: a mean over the batch has less variance so.
    """
    first = uniform((len(x),), device=x.device, dtype=x.dtype)[:1]
    u = first + torch.arange(len(x), device=x.device, dtype=x.dtype) / len(x)
    return (u % 1).clamp(max=1 - 2**-20)  # rounding must not make it 1
