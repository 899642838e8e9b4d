"""The variational autoencoder: encoder q(z | x), decoder p(x | z), and the one update that trains both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Normal
from torch.optim import Adam, Optimizer

from gm_lib.networks import VALUES_AT_ONCE, check_input, check_labels, labels_of
from gm_lib.system.parallel import randn
from gm_lib.vae.bounds import log_importance_weights
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.likelihoods import likelihood as _likelihood
from gm_lib.vae.networks import Decoder, GaussianEncoder, check_decoder

DIGIT_SHAPE = (1, 28, 28)
# However clear its gradient, Adam moves the Gaussian's log σ by no more than its step size. At this pace σ
# arrives together with the decoder's error, and no steps are spent on one number alone.
FASTER = 10


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

    ``encoder`` and ``decoder`` may be any modules that do what ``gm_lib.vae.networks`` says. Raises
    ``TypeError`` for a decoder that does not know its shapes, ``ValueError`` for one that does not fit.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        *,
        beta: float = 1.0,
        lr: float = 1e-3,
    ):
        super().__init__()
        check_decoder(decoder, likelihood)
        self.encoder: Any = encoder  # Any: a module's attributes have no types that mypy could know
        self.decoder: Any = decoder
        self.likelihood = likelihood
        self.beta, self.lr = beta, lr
        self.config: dict[str, Any] = {}
        self._prior_mean: Tensor
        self._prior_scale: Tensor
        self.register_buffer("_prior_mean", torch.zeros(self.latent_dim), persistent=False)
        self.register_buffer("_prior_scale", torch.ones(self.latent_dim), persistent=False)

    @property
    def latent_dim(self) -> int:
        """The number of latent dimensions."""
        return self.decoder.latent_dim

    @property
    def num_classes(self) -> int:
        """The number of labels of a conditional model, 0 for an unconditional one."""
        return self.decoder.num_classes

    @property
    def values_per_draw(self) -> int:
        """How many numbers the decoder puts out for one z: what memory to expect."""
        return math.prod(self.decoder.out_shape)

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

    def forward(self, x: Tensor, y: Tensor | None = None) -> ElboTerms:
        """Return :meth:`elbo_terms`: what is trained, and what hooks and ``model.compile()`` get to see."""
        return self.elbo_terms(x, y)

    def elbo_terms(self, x: Tensor, y: Tensor | None = None) -> ElboTerms:
        """Return the terms of the ELBO for each example, with one draw from q(z | x) that gradients pass.

        The KL is written out (Kingma and Welling 2014, appendix B), since ``torch.distributions`` takes more
        passes over small tensors, and this is the hot path.
        """
        mean, log_var = self._mean_and_log_var(x, y)
        z = mean + (0.5 * log_var).exp() * randn(mean.shape, device=mean.device, dtype=mean.dtype)
        return ElboTerms(
            reconstruction=-self.likelihood.log_prob(x, self.decode(z, y)),
            kl=0.5 * (mean.square() + log_var.exp() - 1 - log_var),
        )

    def elbo(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return an unbiased one-draw estimate of the ELBO for each example, in nats: (n,)."""
        return self.elbo_terms(x, y).elbo

    def log_joint(self, z: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x | z) + log p(z) in nats: (*lead, n), for z (*lead, n, latent_dim)."""
        check_input(x, self.likelihood.event_shape, self._prior_mean, "the model")
        return self.likelihood.log_prob(x, self.decode(z, y)) + self.prior.log_prob(z).sum(-1)

    def log_weights(
        self, x: Tensor, y: Tensor | None = None, *, k: int, generator: Generator | None = None
    ) -> Tensor:
        """Return log p(x | z) + log p(z) - log q(z | x) for k draws of z from q(z | x): (k, n)."""
        mean, log_var = self._mean_and_log_var(x, y)
        eps = torch.randn((k, *mean.shape), generator=generator, device=mean.device, dtype=mean.dtype)
        z = mean + (0.5 * log_var).exp() * eps
        # Exact, also where q is so narrow that rounding has taken eps out of z.
        log_q = -0.5 * (eps.square().sum(-1) + (log_var + math.log(2 * math.pi)).sum(-1))
        return log_importance_weights(
            log_p_x_given_z=self.likelihood.log_prob(x, self.decode(z, y)),
            log_p_z=self.prior.log_prob(z).sum(-1),
            log_q_z_given_x=log_q,
        )

    @torch.no_grad()
    def sample(
        self, n: int, y: Tensor | None = None, *, generator: Generator | None = None, noisy: bool = False
    ) -> Tensor:
        """Return n examples from the model: z from the prior, then the mean of p(x | z).

        ``y``: n labels, for a conditional model. ``noisy=True`` also draws x from p(x | z), which is what
        the model's own samples are; the mean is what papers show. Shape (n, *event_shape).
        """
        like = self._prior_mean
        y = labels_of(y, n, self.num_classes, like.device)
        z = torch.randn((n, self.latent_dim), generator=generator, device=like.device, dtype=like.dtype)
        at_once = max(1, VALUES_AT_ONCE // self.values_per_draw)
        made = []
        for part in (slice(i, i + at_once) for i in range(0, max(n, 1), at_once)):
            params = self.decode(z[part], None if y is None else y[part])
            made.append(self.likelihood.sample(params, generator) if noisy else self.likelihood.mean(params))
        return torch.cat(made)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the mean of p(x | z) at z = the mean of q(z | x): (n, *event_shape)."""
        return self.likelihood.mean(self.decode(self.encode(x, y).mean, y))

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the one optimizer. Call it when the model is on its device: a fused Adam is bound to it.

        What the likelihood itself learns, one number for all pixels, moves ``FASTER`` times as far in a step.
        """
        shared = list(self.likelihood.parameters())
        others = [p for p in self.parameters() if all(p is not q for q in shared)]
        groups: list[dict[str, Any]] = [{"params": others}]
        if shared:
            groups.append({"params": shared, "lr": FASTER * self.lr})
        return {"adam": Adam(groups, lr=self.lr, fused=True)}

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``; return the terms, means over the batch in nats."""
        x, y = batch
        terms = self(x, y)
        reconstruction, kl = terms.reconstruction.mean(), terms.kl.sum(-1).mean()
        loss = reconstruction + self.beta * kl
        self.zero_grad()  # the optimizer's own takes several times as long
        loss.backward()
        optimizers["adam"].step()
        return {"loss": loss.detach(), "reconstruction": reconstruction.detach(), "kl": kl.detach()}

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, y)`` is this model's kind of data. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for all else.
        """
        x, y = batch
        self.likelihood.check(x)
        check_input(x, self.likelihood.event_shape, self._prior_mean, "the model")
        if self.num_classes:
            check_labels(y, self.num_classes, len(x))

    def _mean_and_log_var(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the mean of q(z | x) and the logarithm of its variance, each (n, latent_dim)."""
        if hasattr(self.encoder, "mean_and_log_var"):
            return self.encoder.mean_and_log_var(x, y)
        q = self.encode(x, y)
        if not isinstance(q, Normal):
            raise TypeError(
                f"the encoder returned {type(q).__name__}: a torch.distributions.Normal of shape "
                "(n, latent_dim) is needed."
            )
        return q.mean, 2 * q.stddev.log()


def digit_vae(
    *,
    latent_dim: int = 20,
    hidden: int | Sequence[int] = 400,
    num_classes: int = 0,
    likelihood: str = "bernoulli",
    beta: float = 1.0,
    lr: float = 2e-3,
) -> VAE:
    """Return a VAE for 1×28×28 images, encoder and decoder with the ``hidden`` layers, mirrored.

    ``likelihood``: a key of ``gm_lib.vae.LIKELIHOODS``. The step size goes with averaged weights, such as
    ``gm_lib.training.fit`` keeps with ``average=0.998``. Raises ``ValueError`` for an unknown likelihood.
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
