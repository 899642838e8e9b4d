"""Probabilistic principal component analysis: the latent-variable model in which everything is exact.

z from N(0, I), x = W z + μ + noise from N(0, σ² I). Tipping and Bishop 1999; chapter 5 derives it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal


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
        eye = torch.eye(d, dtype=self.loadings.dtype, device=self.loadings.device)
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

    def elbo(self, x: Tensor, q: Distribution) -> Tensor:
        """Return E_q[log p(x | z) + log p(z) - log q(z)] in nats, exactly, for a Gaussian q of each x: (n,).

        ``q`` is a MultivariateNormal or Independent(Normal, 1) of batch shape (n,) and event shape (d,), or
        a Normal of batch shape (n, d). With its mean m and covariance S, and M = WᵀW + σ²I, minus twice the
        ELBO is D log 2πσ² + ‖x - μ - W m‖²/σ² + ‖m‖² + tr(M S)/σ² - d - log|S|.

        Raises ``TypeError`` for another kind of q, ``ValueError`` for one of another shape.
        """
        dims, d = self.loadings.shape
        mean, root = _gaussian(q, (len(x), d))
        residual = (x - self.decode(mean)).square().sum(1)
        trace = ((self._m @ root) * root).sum((1, 2))
        log_det = 2 * root.diagonal(dim1=1, dim2=2).log().sum(1)
        scaled = (residual + trace) / self.noise_variance + mean.square().sum(1)
        return -0.5 * (dims * math.log(2 * math.pi * self.noise_variance) + scaled - d - log_det)

    def best_diagonal(self, x: Tensor) -> Normal:
        """Return the q of largest ELBO among Gaussians with a diagonal covariance: Normal of shape (n, d).

        It is the nearest to the posterior in KL(q ‖ p(z | x)): the mean of the posterior and, as variances,
        the inverses of the diagonal of its precision M/σ²; no other entry meets a diagonal covariance.
        """
        mean = self.posterior(x).mean
        scale = (self.noise_variance / self._m.diagonal()).sqrt()
        return Normal(mean, scale.expand_as(mean))

    def rotated(self, rotation: Tensor) -> ProbabilisticPCA:
        """Return the model with loadings W R for an orthogonal R (d, d): another posterior, the same p(x).

        Raises ``ValueError`` for a rotation of another shape and one that is not orthogonal.
        """
        d = self.loadings.shape[1]
        if rotation.shape != (d, d):
            raise ValueError(
                f"a rotation of {d} latent dimensions has shape {(d, d)}, got {tuple(rotation.shape)}."
            )
        off = (rotation.T @ rotation - torch.eye(d, dtype=rotation.dtype, device=rotation.device)).abs().max()
        if not off < 1e-5:
            raise ValueError(
                f"rotation must be orthogonal, RᵀR = I; RᵀR is off by {off:.2g}. torch.linalg.qr(…).Q is one."
            )
        return ProbabilisticPCA(self.loadings @ rotation, self.mean, self.noise_variance)


def fit_ppca(x: Tensor, latent_dim: int) -> ProbabilisticPCA:
    """Return the maximum-likelihood model of x (n, D), in closed form. Equations 14, 15.

    With the eigenvalues λ₁ ≥ λ₂ ≥ … of the covariance S (divided by n) and its eigenvectors U,
    σ² = mean of the D - d smallest, W = U_d (Λ_d - σ²I)^½. W R with a rotation R is as good.

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


def _gaussian(q: Distribution, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the mean (n, d) of a Gaussian q and a triangular root of its covariance, (n, d, d)."""
    n, d = shape
    of_values = q.base_dist if isinstance(q, Independent) else q
    if not isinstance(of_values, MultivariateNormal | Normal):
        raise TypeError(
            f"q must be Gaussian, a MultivariateNormal, a Normal or Independent(Normal, 1), not {q!r}."
        )
    whole = q.batch_shape + q.event_shape
    if whole != shape or (not isinstance(q, Normal) and q.event_shape != (d,)):
        raise ValueError(
            f"q must have a mean of shape (n, d) = {shape}, one Gaussian over {d} dimensions for each of {n} "
            f"examples, got batch shape {tuple(q.batch_shape)} and event shape {tuple(q.event_shape)}."
        )
    if isinstance(of_values, MultivariateNormal):
        return of_values.mean, of_values.scale_tril
    return of_values.mean, torch.diag_embed(of_values.stddev)
