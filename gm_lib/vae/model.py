"""The variational autoencoder: encoder q(z | x) and decoder p(x | z), trained together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution, Normal

from gm_lib.networks import check_input, labels_of
from gm_lib.system.choose import choose
from gm_lib.system.parallel import randn
from gm_lib.vae.bounds import doubly_reparameterized, iwae_bound, log_importance_weights
from gm_lib.vae.convolutional import ConvDecoder, ConvEncoder
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.likelihoods import likelihood as _likelihood
from gm_lib.vae.model_base import ElboTerms, LatentVariableModel, examples
from gm_lib.vae.networks import Decoder, GaussianEncoder, check_decoder
from gm_lib.vae.priors import MixturePrior, StandardNormal, VampPrior, log_prior

DIGIT_SHAPE = (1, 28, 28)
GRADIENTS = ("plain", "doubly reparameterized")
# Of encoder and decoder, each with its default of ``hidden``.
ARCHITECTURES = {"mlp": 400, "conv": 32}
PRIORS = ("normal", "mixture", "vamp")
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class VAE(LatentVariableModel):
    """A latent-variable model p(z) p(x | z), trained with q(z | x) on the ELBO.

    Kingma and Welling 2014, with the labels of Sohn et al. 2015 when encoder and decoder take them. The prior
    is N(0, I) or what ``gm_lib.vae.priors`` has. ``encoder`` and ``decoder`` may be any modules that do what
    ``gm_lib.vae.networks`` says. All reported terms are in nats per example. ``config`` holds
    :func:`digit_vae`'s arguments when that function built the model.

    What is trained on differs from what is reported by these:

    * ``beta`` weighs the KL in the loss (1: the ELBO), and ``free_bits`` nats of each latent dimension's KL,
      in the mean over a batch, are free (:func:`gm_lib.vae.free_bits`).
    * ``k`` > 1 trains on the importance-weighted bound of k draws (Burda et al. 2016) instead, with the
      ``gradient`` "plain" or "doubly reparameterized"; beta and free bits do not go with it.
    * ``lr`` is the step size of Adam, or, with ``optimizer="muon"``, of Adam for all but the weight matrices,
      which take steps ten times as long along the orthogonalized gradient (Jordan et al. 2024). Over
      ``decay_steps`` updates it falls to 0 as half a cosine does; without them it stays.

    Raises ``TypeError`` for a decoder that does not know its shapes, ``ValueError`` for one that does not
    fit, a prior of another dimension, and options that do not go together.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        *,
        prior: nn.Module | None = None,
        beta: float = 1.0,
        free_bits: float = 0.0,
        k: int = 1,
        gradient: str = "plain",
        lr: float = 1e-3,
        optimizer: str = "adam",
        decay_steps: int = 0,
    ):
        super().__init__(
            beta=beta, free_bits=free_bits, k=k, lr=lr, optimizer=optimizer, decay_steps=decay_steps
        )
        check_decoder(decoder, likelihood)
        self.encoder: Any = encoder  # Any: a module's attributes have no types that mypy could know
        self.decoder: Any = decoder
        self.likelihood = likelihood
        self.prior_network: Any = StandardNormal(self.latent_dim) if prior is None else prior
        if self.prior_network.latent_dim != self.latent_dim:
            dims = self.prior_network.latent_dim
            raise ValueError(f"the prior has {dims} dimensions and the decoder takes {self.latent_dim}.")
        self.gradient = choose("gradient", gradient, GRADIENTS)
        if self.k == 1 and self.gradient != "plain":
            raise ValueError("the doubly reparameterized gradient is for k > 1 draws.")

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
    def prior(self) -> Distribution:
        """p(z): a standard normal in each dimension, batch shape (latent_dim,), or one of event shape so."""
        return self.prior_network.distribution()

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
        mean, log_var = self._mean_and_log_var(x, y)
        eps = randn(mean.shape, device=mean.device, dtype=mean.dtype)
        z = mean + (0.5 * log_var).exp() * eps
        if isinstance(self.prior_network, StandardNormal):
            kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var)
        else:
            kl = (_log_q(eps, log_var) - log_prior(self.prior, z)).unsqueeze(-1)
        return ElboTerms(reconstruction=-self.likelihood.log_prob(x, self.decode(z, y)), kl=kl)

    def log_joint(self, z: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x | z) + log p(z) in nats: (*lead, n), for z (*lead, n, latent_dim)."""
        check_input(x, self.likelihood.event_shape, z, "the model")
        return self.likelihood.log_prob(x, self.decode(z, y)) + log_prior(self.prior, z)

    def log_weights(
        self, x: Tensor, y: Tensor | None = None, *, k: int, generator: Generator | None = None
    ) -> Tensor:
        """Return log p(x | z) + log p(z) - log q(z | x) for k draws of z from q(z | x): (k, n)."""
        mean, log_var = self._mean_and_log_var(x, y)
        eps = torch.randn((k, *mean.shape), generator=generator, device=mean.device, dtype=mean.dtype)
        z = mean + (0.5 * log_var).exp() * eps
        return log_importance_weights(
            log_p_x_given_z=self.likelihood.log_prob(x, self.decode(z, y)),
            log_p_z=log_prior(self.prior, z),
            log_q_z_given_x=_log_q(eps, log_var),
        )

    def importance_weighted(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the bound of ``k`` draws, (n,), and what its gradient is taken of, (n,).

        The second has the value of the first only with the plain gradient.
        """
        mean, log_var = self._mean_and_log_var(x, y)
        eps = randn((len(mean), self.k, mean.shape[1]), device=mean.device, dtype=mean.dtype).movedim(1, 0)
        z = mean + (0.5 * log_var).exp() * eps
        log_q = _log_q(eps, log_var)
        if self.gradient != "plain":  # q's parameters are constants, except where they made z
            off = (z - mean.detach()) * (-0.5 * log_var.detach()).exp()
            log_q = _log_q(off, log_var.detach())
        log_joint = self.likelihood.log_prob(x, self.decode(z, y)) + log_prior(self.prior, z)
        log_w = log_joint - log_q
        bound = iwae_bound(log_w)
        return bound, bound if self.gradient == "plain" else doubly_reparameterized(log_w, z)

    @torch.no_grad()
    def sample(
        self, n: int, y: Tensor | None = None, *, generator: Generator | None = None, noisy: bool = False
    ) -> Tensor:
        """Return n examples from the model: z from the prior, then the mean of p(x | z).

        ``y``: n labels, for a conditional model. ``noisy=True`` also draws x from p(x | z), which is what
        the model's own samples are; the mean is what papers show. Shape (n, *event_shape).
        """
        z = self.prior_network.sample(n, generator)
        y = labels_of(y, n, self.num_classes, z.device)
        return examples(
            self.likelihood,
            lambda rows: self.decode(z[rows], None if y is None else y[rows]),
            n,
            self.values_per_draw,
            generator,
            noisy,
        )

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the mean of p(x | z) at z = the mean of q(z | x): (n, *event_shape)."""
        return self.likelihood.mean(self.decode(self.encode(x, y).mean, y))

    def matrices(self) -> list[nn.Parameter]:
        """Return the weight matrices of encoder and decoder."""
        networks = self.encoder, self.decoder
        return [p for network in networks for p in network.parameters() if p.ndim == 2]

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
    shape: Sequence[int] = DIGIT_SHAPE,
    architecture: str = "mlp",
    latent_dim: int = 20,
    hidden: int | Sequence[int] | None = None,
    num_classes: int = 0,
    likelihood: str = "bernoulli",
    sigma: float | None = None,
    activation: str = "relu",
    prior: str = "normal",
    components: int = 100,
    beta: float = 1.0,
    free_bits: float = 0.0,
    k: int = 1,
    gradient: str = "plain",
    lr: float = 2e-3,
    optimizer: str = "adam",
    decay_steps: int = 0,
) -> VAE:
    """Return a VAE for images of a ``shape`` (channels, height, width), 1×28×28 if not given.

    ``architecture``: with "mlp", encoder and decoder have the ``hidden`` layers, mirrored, 400 units if none
    are given; with "conv" they are two convolutions each, and ``hidden`` is one number, their channels at
    half the height and width, of which there are twice as many at a quarter; 32 if not given.
    ``likelihood``: a key of ``gm_lib.vae.LIKELIHOODS``; ``sigma`` fixes the scale of "gaussian", which is
    learned otherwise. ``activation``: "relu" or "tanh". ``prior``: "normal", or a "mixture" or "vamp" of so
    many ``components``. The rest is what :class:`VAE` takes. The step size goes with averaged weights, such
    as ``gm_lib.training.fit`` keeps with ``average=0.998``.

    Raises ``ValueError`` for an unknown architecture, likelihood, activation or prior, several ``hidden``
    layers of convolutions, and a VampPrior with labels.
    """
    config = dict(locals()) | {"shape": list(shape)}
    default = choose("architecture", architecture, ARCHITECTURES)
    layers = [default] if hidden is None else [hidden] if isinstance(hidden, int) else list(hidden)
    p_x_given_z = _likelihood(likelihood, shape, sigma)
    between = choose("activation", activation, ACTIVATIONS)
    encoder: nn.Module
    decoder: nn.Module
    ends = shape, p_x_given_z.params_shape
    if architecture == "conv":
        if len(layers) != 1:
            raise ValueError(f"of convolutions, hidden is one number, the channels at first, not {layers}.")
        encoder = ConvEncoder(ends[0], layers[0], latent_dim, num_classes, between)
        decoder = ConvDecoder(latent_dim, layers[0], ends[1], num_classes, between)
    else:
        encoder = GaussianEncoder(ends[0], layers, latent_dim, num_classes, between)
        decoder = Decoder(latent_dim, layers[::-1], ends[1], num_classes, between)
    p_z: nn.Module | None = None
    if choose("prior", prior, PRIORS) == "mixture":
        p_z = MixturePrior(latent_dim, components)
    elif prior == "vamp":
        if num_classes:
            raise ValueError("a VampPrior is made of the encoder's answers, which depend on labels here.")
        p_z = VampPrior(encoder, latent_dim, shape, components)
    model = VAE(
        encoder,
        decoder,
        p_x_given_z,
        prior=p_z,
        beta=beta,
        free_bits=free_bits,
        k=k,
        gradient=gradient,
        lr=lr,
        optimizer=optimizer,
        decay_steps=decay_steps,
    )
    model.config = config | {"hidden": layers}
    return model


def _log_q(eps: Tensor, log_var: Tensor) -> Tensor:
    """Return log q(z | x) at z = mean + exp(log_var / 2) · eps in nats, (*lead,) for eps (*lead, latent_dim).

    From the noise, it is exact also where q is so narrow that rounding has taken eps out of z.
    """
    return -0.5 * (eps.square().sum(-1) + (log_var + math.log(2 * math.pi)).sum(-1))
