"""The variational autoencoder: encoder q(z | x), decoder p(x | z), and the one update that trains both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Normal
from torch.optim import Adam, Optimizer

from gm_lib.networks import check_labels, mlp, one_hot
from gm_lib.parallel import randn
from gm_lib.vae.bounds import log_importance_weights
from gm_lib.vae.likelihoods import Likelihood
from gm_lib.vae.likelihoods import likelihood as _likelihood

DIGIT_SHAPE = (1, 28, 28)


class GaussianEncoder(nn.Module):
    """q(z | x): a Gaussian with its own mean and standard deviation in each latent dimension.

    ``in_shape``: the shape of one example. ``num_classes`` > 0 makes it q(z | x, y), with the label as input.
    """

    def __init__(self, in_shape: Sequence[int], hidden: Sequence[int], latent_dim: int, num_classes: int = 0):
        super().__init__()
        self.in_shape = tuple(in_shape)
        self.num_classes = num_classes
        self.net = mlp([math.prod(in_shape) + num_classes, *hidden, 2 * latent_dim])

    def forward(self, x: Tensor, y: Tensor | None = None) -> Normal:
        """Return q(z | x), mean and scale of shape (n, latent_dim), for x of shape (n, *in_shape)."""
        mean, log_var = self.mean_and_log_var(x, y)
        return Normal(mean, (0.5 * log_var).exp(), validate_args=False)

    def mean_and_log_var(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean of q(z | x) and the logarithm of its variance, each (n, latent_dim)."""
        if x.shape[-len(self.in_shape) :] != self.in_shape:
            expected = ", ".join(map(str, self.in_shape))
            raise ValueError(f"the encoder expects x of shape (n, {expected}), got {tuple(x.shape)}.")
        features = x.flatten(-len(self.in_shape))
        out = self.net(_with_label(features, y, self.num_classes)).to(x.dtype)  # autocast's may be shorter
        mean, log_var = out.chunk(2, dim=-1)
        return mean, log_var


class Decoder(nn.Module):
    """The network from z to the parameters of p(x | z), raw and unbounded; the likelihood gives them meaning.

    ``out_shape``: the likelihood's ``params_shape``. ``num_classes`` > 0 makes it p(x | z, y).
    """

    def __init__(
        self, latent_dim: int, hidden: Sequence[int], out_shape: Sequence[int], num_classes: int = 0
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.out_shape = tuple(out_shape)
        self.num_classes = num_classes
        self.net = mlp([latent_dim + num_classes, *hidden, math.prod(out_shape)])

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return params of shape (*lead, *out_shape) for z of shape (*lead, latent_dim)."""
        return self.net(_with_label(z, y, self.num_classes)).to(z.dtype).unflatten(-1, self.out_shape)


class ElboTerms(NamedTuple):
    """The two prices in -ELBO = reconstruction + KL, per example and in nats."""

    reconstruction: Tensor
    """-log p(x | z) for one draw z from q(z | x): (n,)."""
    kl: Tensor
    """KL(q(z | x) ‖ p(z)) in closed form, dimension by dimension: (n, latent_dim)."""

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound: (n,)."""
        return -self.reconstruction - self.kl.sum(-1)


class VAE(nn.Module):
    """A latent-variable model p(z) p(x | z) with prior N(0, I), trained with q(z | x) on the ELBO.

    Kingma and Welling 2014, with the labels of Sohn et al. 2015 when encoder and decoder take them. ``beta``
    weighs the KL in the training loss only (1: the ELBO); ``lr`` is Adam's step size. All reported terms are
    in nats per example. ``config`` holds :func:`digit_vae`'s arguments when that function built the model.
    """

    def __init__(
        self,
        encoder: GaussianEncoder,
        decoder: Decoder,
        likelihood: Likelihood,
        *,
        beta: float = 1.0,
        lr: float = 1e-3,
    ):
        super().__init__()
        if tuple(decoder.out_shape) != likelihood.params_shape:
            raise ValueError(
                f"the decoder puts out {tuple(decoder.out_shape)} numbers, the {type(likelihood).__name__} "
                f"likelihood wants {likelihood.params_shape}: pass out_shape=likelihood.params_shape."
            )
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.beta, self.lr = beta, lr
        self.config: dict[str, Any] = {}
        self._prior_mean: Tensor
        self._prior_scale: Tensor
        self.register_buffer("_prior_mean", torch.zeros(decoder.latent_dim), persistent=False)
        self.register_buffer("_prior_scale", torch.ones(decoder.latent_dim), persistent=False)

    @property
    def latent_dim(self) -> int:
        """The number of latent dimensions."""
        return self.decoder.latent_dim

    @property
    def num_classes(self) -> int:
        """The number of labels of a conditional model, 0 for an unconditional one."""
        return self.decoder.num_classes

    @property
    def prior(self) -> Normal:
        """p(z), a standard normal in each dimension: batch shape (latent_dim,)."""
        return Normal(self._prior_mean, self._prior_scale, validate_args=False)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Normal:
        """Return q(z | x), or q(z | x, y): Normal of shape (n, latent_dim). Only conditional models use y."""
        return self.encoder(x, y)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the parameters of p(x | z), or p(x | z, y): (*lead, *params_shape)."""
        return self.decoder(z, y)

    def elbo_terms(self, x: Tensor, y: Tensor | None = None) -> ElboTerms:
        """Return the terms of the ELBO for each example, with one draw from q(z | x) that gradients pass.

        The KL is written out (Kingma and Welling 2014, appendix B), since ``torch.distributions`` takes more
        passes over small tensors, and this is the hot path.
        """
        mean, log_var = self.encoder.mean_and_log_var(x, y)
        z = mean + (0.5 * log_var).exp() * randn(mean.shape, device=mean.device, dtype=mean.dtype)
        return ElboTerms(
            reconstruction=-self.likelihood.log_prob(x, self.decode(z, y)),
            kl=0.5 * (mean.square() + log_var.exp() - 1 - log_var),
        )

    def elbo(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return an unbiased one-draw estimate of the ELBO for each example, in nats: (n,)."""
        return self.elbo_terms(x, y).elbo

    def log_weights(
        self, x: Tensor, y: Tensor | None = None, *, k: int, generator: Generator | None = None
    ) -> Tensor:
        """Return log p(x | z) + log p(z) - log q(z | x) for k draws of z from q(z | x): (k, n)."""
        q = self.encode(x, y)
        eps = torch.randn((k, *q.mean.shape), generator=generator, device=q.mean.device, dtype=q.mean.dtype)
        z = q.mean + q.stddev * eps
        return log_importance_weights(
            log_p_x_given_z=self.likelihood.log_prob(x, self.decode(z, y)),
            log_p_z=self.prior.log_prob(z).sum(-1),
            log_q_z_given_x=q.log_prob(z).sum(-1),
        )

    @torch.no_grad()
    def sample(
        self, n: int, y: Tensor | None = None, *, generator: Generator | None = None, noisy: bool = False
    ) -> Tensor:
        """Return n examples from the model: z from the prior, then the mean of p(x | z).

        ``y``: (n,) labels, for a conditional model. ``noisy=True`` also draws x from p(x | z), which is what
        the model's own samples are; the mean is what papers show. Shape (n, *event_shape).
        """
        if self.num_classes and y is not None and y.shape != (n,):
            raise ValueError(f"sampling {n} examples needs {n} labels, got shape {tuple(y.shape)}.")
        z = torch.randn((n, self.latent_dim), generator=generator, device=self._prior_mean.device)
        params = self.decode(z, y)
        return self.likelihood.sample(params, generator) if noisy else self.likelihood.mean(params)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the mean of p(x | z) at z = the mean of q(z | x): (n, *event_shape)."""
        return self.likelihood.mean(self.decode(self.encode(x, y).mean, y))

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the one optimizer. Call it when the model is on its device: a fused Adam is bound to it."""
        return {"adam": Adam(self.parameters(), lr=self.lr, fused=True)}

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``; return the terms, means over the batch in nats."""
        x, y = batch
        terms = self.elbo_terms(x, y)
        reconstruction, kl = terms.reconstruction.mean(), terms.kl.sum(-1).mean()
        loss = reconstruction + self.beta * kl
        self.zero_grad()  # the optimizer's own takes several times as long
        loss.backward()
        optimizers["adam"].step()
        return {"loss": loss.detach(), "reconstruction": reconstruction.detach(), "kl": kl.detach()}

    def check(self, batch: Any) -> None:
        """Raise ``ValueError`` unless this model can learn from the batch ``(x, y)``. Reads the values."""
        x, y = batch
        self.likelihood.check(x)
        if self.num_classes:
            check_labels(y, self.num_classes)


def digit_vae(
    *,
    latent_dim: int = 20,
    hidden: int | Sequence[int] = 400,
    num_classes: int = 0,
    likelihood: str = "bernoulli",
    beta: float = 1.0,
    lr: float = 1e-3,
) -> VAE:
    """Return a VAE for 1×28×28 images, encoder and decoder with the ``hidden`` layers, mirrored.

    ``likelihood``: a key of ``gm_lib.vae.LIKELIHOODS``. Raises ``ValueError`` for an unknown one.
    """
    layers = [hidden] if isinstance(hidden, int) else list(hidden)
    p_x_given_z = _likelihood(likelihood, DIGIT_SHAPE)
    model = VAE(
        GaussianEncoder(DIGIT_SHAPE, layers, latent_dim, num_classes),
        Decoder(latent_dim, layers[::-1], p_x_given_z.params_shape, num_classes),
        p_x_given_z,
        beta=beta,
        lr=lr,
    )
    model.config = {
        "latent_dim": latent_dim,
        "hidden": layers,
        "num_classes": num_classes,
        "likelihood": likelihood,
        "beta": beta,
        "lr": lr,
    }
    return model


def _with_label(features: Tensor, y: Tensor | None, num_classes: int) -> Tensor:
    """Append the one-hot label to the last dimension; y (n,) broadcasts over further leading ones."""
    if not num_classes:
        return features
    if y is None:
        raise ValueError(
            f"a conditional model needs labels: one integer in 0 … {num_classes - 1} per example."
        )
    label = one_hot(y, num_classes).to(features.dtype).expand(*features.shape[:-1], num_classes)
    return torch.cat([features, label], dim=-1)
