"""Probabilistic principal component analysis: the latent-variable model in which everything is exact.

z from N(0, I), x = W z + μ + noise from N(0, σ² I). Tipping and Bishop 1999; chapter 5 derives it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.distributions import MultivariateNormal


@dataclass(frozen=True, eq=False)
class ProbabilisticPCA:
    """A linear-Gaussian model of x (n, D) with latent z (n, d).

    ``loadings``: W, (D, d); ``mean``: μ, (D,); ``noise_variance``: σ², one positive number.
    """

    loadings: Tensor
    mean: Tensor
    noise_variance: float

    @property
    def _m(self) -> Tensor:
        """M = WᵀW + σ²I, (d, d)."""
        d = self.loadings.shape[1]
        eye = torch.eye(d, dtype=self.loadings.dtype)
        return self.loadings.T @ self.loadings + self.noise_variance * eye

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) = log N(x; μ, WWᵀ + σ²I) in nats: (n,). No D×D matrix is ever made.

        By the determinant lemma |WWᵀ + σ²I| = σ^(2(D - d)) |M|, and by Woodbury's identity the squared
        Mahalanobis distance is (‖x - μ‖² - (x - μ)ᵀ W M⁻¹ Wᵀ (x - μ)) / σ².
        """
        dims, d = self.loadings.shape
        centred = x - self.mean
        root = torch.linalg.cholesky(self._m)
        inner = torch.linalg.solve_triangular(root, (centred @ self.loadings).T, upper=False)
        distance = (centred.square().sum(1) - inner.square().sum(0)) / self.noise_variance
        log_det = (dims - d) * math.log(self.noise_variance) + 2 * root.diagonal().log().sum()
        return -0.5 * (distance + log_det + dims * math.log(2 * math.pi))

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """Return p(z | x) = N(M⁻¹Wᵀ(x - μ), σ²M⁻¹): batch shape (n,), event shape (d,). Equation 7."""
        mean = torch.linalg.solve(self._m, self.loadings.T @ (x - self.mean).T).T
        return MultivariateNormal(mean, precision_matrix=self._m / self.noise_variance)

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean of p(x | z), W z + μ: (..., D)."""
        return z @ self.loadings.T + self.mean

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Draw z, then x given z: (n, D)."""
        dims, d = self.loadings.shape
        z = torch.randn((n, d), generator=generator, dtype=self.mean.dtype)
        noise = torch.randn((n, dims), generator=generator, dtype=self.mean.dtype)
        return self.decode(z) + math.sqrt(self.noise_variance) * noise


def fit_ppca(x: Tensor, latent_dim: int) -> ProbabilisticPCA:
    """Return the maximum-likelihood model of x (n, D), in closed form. Equations 14, 15.

    With the eigenvalues λ₁ ≥ λ₂ ≥ … of the covariance S (divided by n) and its eigenvectors U,
    σ² = mean of the D - d smallest, W = U_d (Λ_d - σ²I)^½. Any rotation of W's columns is as good.

    Raises ``ValueError`` unless 1 ≤ latent_dim < D, x is a finite matrix, and some variance is left for the
    noise.
    """
    if x.dim() != 2 or not bool(x.isfinite().all()):
        raise ValueError(f"x must be finite and of shape (n, D), got shape {tuple(x.shape)}.")
    n, dims = x.shape
    if not 1 <= latent_dim < dims:
        raise ValueError(f"latent_dim must be from 1 to {dims - 1}, one below the data's, got {latent_dim}.")
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / n
    values, vectors = (part.flip(-1) for part in torch.linalg.eigh(covariance))
    noise_variance = values[latent_dim:].mean().item()
    if not noise_variance > 1e-10 * values[0].item():
        raise ValueError(
            f"{latent_dim} dimensions hold all of the variance of this data: no noise is left, and the "
            "density is infinite on a plane. Take fewer latent dimensions, or dequantize the data."
        )
    loadings = vectors[:, :latent_dim] * (values[:latent_dim] - noise_variance).clamp(min=0).sqrt()
    return ProbabilisticPCA(loadings, mean, noise_variance)
