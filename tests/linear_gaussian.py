"""A VAE whose every quantity is known: z ~ N(0, I), x | z ~ N(W z + b, σ² I), q(z | x) linear in x."""

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from gm_lib.vae import VAE, Decoder, Gaussian, GaussianEncoder


class LinearGaussian:
    """Holds the model (float64), its exact marginal and posterior: ``d`` data, ``m`` latent dimensions."""

    def __init__(self, d: int = 5, m: int = 2, sigma: float = 0.8, *, orthogonal: bool = True):
        W = torch.randn(d, m, dtype=torch.float64)
        if orthogonal:  # then the posterior's covariance is diagonal, within the encoder's reach
            W = torch.linalg.qr(W).Q * torch.tensor([1.5, 0.6][:m], dtype=torch.float64)
        b = torch.randn(d, dtype=torch.float64)
        self.W, self.b, self.sigma = W, b, sigma
        self.marginal = MultivariateNormal(b, W @ W.T + sigma**2 * torch.eye(d))
        self.covariance = torch.linalg.inv(torch.eye(m) + W.T @ W / sigma**2)
        self.projection = self.covariance @ W.T / sigma**2

        self.model = VAE(GaussianEncoder((d,), [], m), Decoder(m, [], (d,)), Gaussian((d,))).double()
        with torch.no_grad():
            decoder, encoder = self.model.decoder.net[0], self.model.encoder.net[0]
            decoder.weight.copy_(W)
            decoder.bias.copy_(b)
            self.model.likelihood.log_scale.fill_(torch.tensor(sigma).log())
            encoder.weight.zero_()
            encoder.weight[:m].copy_(self.projection)
            encoder.bias[:m].copy_(-self.projection @ b)
            encoder.bias[m:].copy_(self.covariance.diagonal().log())

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """The exact p(z | x)."""
        return MultivariateNormal((x - self.b) @ self.projection.T, self.covariance)

    def disturb_encoder(self, amount: float) -> None:
        """Move q(z | x) away from the posterior."""
        with torch.no_grad():
            for p in self.model.encoder.parameters():
                p += amount * torch.randn_like(p)
