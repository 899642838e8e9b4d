"""A VAE unrolled in time: a code for every step of a sequence, and networks that remember the past."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from gm_lib.networks import check_lengths, mlp
from gm_lib.system.choose import choose, whole_number
from gm_lib.system.parallel import randn
from gm_lib.vae.bounds import iwae_bound, log_importance_weights
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.likelihoods import Bernoulli
from gm_lib.vae.masked import MaskedBernoulli
from gm_lib.vae.model_base import ElboTerms, LatentVariableModel

STEPS = 64  # of a sample whose length is not asked for
OUTPUTS = ("independent", "autoregressive")


class Moments(NamedTuple):
    """Mean and logarithm of the variance of normal distributions, each (*lead, latent_dim)."""

    mean: Tensor
    log_var: Tensor


class SequenceVAE(LatentVariableModel):
    """Sequences x₁ … x_T with a code z_t for every step, p(x, z) = ∏ p(z_t | z_{t-1}, h_t) p(x_t | z_t, h_t).

    h_t = GRU(x₁ … x_{t-1}) is what is remembered of the past. The posterior's factors are
    q(z_t | z_{t-1}, h_t, a_t), where a_t = GRU(x_T … x_t) runs backward over what is still to come: the
    stochastic recurrent network of Fraccaro et al. 2016, a variational RNN (Chung et al. 2015) with the
    structured posterior of the deep Markov model (Krishnan et al. 2017). All distributions of codes are
    normal with independent dimensions.

    Shapes: ``x`` (n, steps, values), binary, and in place of labels ``lengths``, int64 (n,): steps beyond a
    sequence's length are no part of it and count nowhere. All terms are in nats per *sequence*; divide the
    sum over sequences by the sum of their lengths for nats per step, the first included.

    ``likelihood``: of one step, of event shape (values,). ``hidden``: units of every hidden layer.
    ``dropout``: share of what the networks remember, and of the decoder's hidden units, that is dropped in
    training. The other options are those of :class:`gm_lib.vae.VAE`.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        *,
        latent_dim: int = 16,
        hidden: int = 128,
        dropout: float = 0.0,
        beta: float = 1.0,
        free_bits: float = 0.0,
        k: int = 1,
        lr: float = 2e-3,
        decay_steps: int = 0,
    ):
        super().__init__(
            beta=beta, free_bits=free_bits, k=k, lr=lr, optimizer="adam", decay_steps=decay_steps
        )
        (values,) = likelihood.event_shape
        self.likelihood, self.latent_dim = likelihood, whole_number("latent_dim", latent_dim, 1)
        self.hidden = whole_number("hidden", hidden, 1)
        self.past = nn.GRU(values + 1, hidden, batch_first=True)
        self.future = nn.GRU(values, hidden, batch_first=True)
        self.prior_in, self.posterior_in = nn.Linear(hidden, hidden), nn.Linear(2 * hidden, hidden)
        self.prior_back = nn.Linear(latent_dim, hidden, bias=False)
        self.posterior_back = nn.Linear(latent_dim, hidden, bias=False)
        self.prior_out, self.posterior_out = (nn.Linear(hidden, 2 * latent_dim) for _ in range(2))
        self.decoder = mlp([hidden + latent_dim, hidden, likelihood.params_shape[0]])
        self.decoder.insert(2, nn.Dropout(dropout))
        self.dropout = nn.Dropout(dropout)

    @property
    def values_per_draw(self) -> int:
        """How many numbers the decoder puts out for one step and one z: what memory to expect."""
        return STEPS * self.likelihood.params_shape[0]

    def remember(self, x: Tensor) -> Tensor:
        """Return h_t, what is known before each step: (n, steps, values) to (n, steps, hidden).

        A further input, 1 at the first step alone, tells the beginning from silence.
        """
        before = F.pad(x[:, :-1], (0, 1, 1, 0))
        before[:, 0, -1] = 1
        return self.dropout(self.past(before)[0])

    def infer(self, x: Tensor, lengths: Tensor, h: Tensor, eps: Tensor) -> tuple[Tensor, Moments]:
        """Draw codes from the posterior, z = mean + σ · eps: (*lead, n, steps, latent_dim), and its moments.

        ``eps`` has the shape of the codes: one draw (n, …), or k draws (k, n, …).
        """
        step = torch.arange(x.shape[1], device=x.device)
        back = (lengths[:, None] - 1 - step).where(step < lengths[:, None], step)[..., None]
        turned = self.future(x.gather(1, back.expand_as(x)))[0]  # each sequence from its own end
        a = self.dropout(turned.gather(1, back.expand_as(turned)))
        told = self.posterior_in(torch.cat([h, a], -1)).unbind(1)
        z, codes, moments = torch.zeros_like(eps[..., 0, :]), [], []
        for now, noise in zip(told, eps.unbind(-2), strict=True):
            out = self.posterior_out((now + self.posterior_back(z)).tanh())
            mean, log_var = out.chunk(2, -1)
            z = mean + (0.5 * log_var).exp() * noise
            codes.append(z)
            moments.append(out)
        return torch.stack(codes, -2), Moments(*torch.stack(moments, -2).chunk(2, -1))

    def predict(self, z: Tensor, h: Tensor) -> Moments:
        """Return p(z_t | z_{t-1}, h_t) for all steps, given the codes (*lead, n, steps, latent_dim)."""
        before = F.pad(z[..., :-1, :], (0, 0, 1, 0))
        out = self.prior_out((self.prior_in(h) + self.prior_back(before)).tanh())
        return Moments(*out.chunk(2, -1))

    def decode(self, z: Tensor, h: Tensor) -> Tensor:
        """Return the parameters of p(x_t | z_t, h_t): (*lead, n, steps, *params_shape)."""
        return self.decoder(torch.cat([h.expand(*z.shape[:-1], -1), z], -1))

    def elbo_terms(self, x: Tensor, y: Tensor | None = None) -> ElboTerms:
        """Return the terms of the ELBO for each sequence; ``kl`` (n, latent_dim), summed over the steps.

        Each step's KL is in closed form, given the draw of the code before.
        """
        inside, lengths = self._inside(x, y)
        h = self.remember(x)
        eps = randn((*x.shape[:2], self.latent_dim), device=x.device, dtype=x.dtype)
        z, q = self.infer(x, lengths, h, eps)
        p = self.predict(z, h)
        ratio = (q.log_var - p.log_var).exp() + (q.mean - p.mean).square() * (-p.log_var).exp()
        kl = 0.5 * (ratio - 1 - q.log_var + p.log_var)
        log_p_x = self.likelihood.log_prob(x, self.decode(z, h))
        return ElboTerms(-(log_p_x * inside).sum(1), (kl * inside[..., None]).sum(1))

    def log_weights(
        self, x: Tensor, y: Tensor | None = None, *, k: int, generator: Generator | None = None
    ) -> Tensor:
        """Return log p(x, z) - log q(z | x) for k draws of whole sequences of codes: (k, n)."""
        inside, lengths = self._inside(x, y)
        h = self.remember(x)
        shape = (k, *x.shape[:2], self.latent_dim)
        eps = torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)
        z, q = self.infer(x, lengths, h, eps)
        p = self.predict(z, h)
        log_w = log_importance_weights(
            log_p_x_given_z=self.likelihood.log_prob(x, self.decode(z, h)),
            log_p_z=_log_normal((z - p.mean) * (-0.5 * p.log_var).exp(), p.log_var),
            log_q_z_given_x=_log_normal(eps, q.log_var),
        )
        return (log_w * inside).sum(-1)

    def importance_weighted(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the bound of ``k`` draws of whole sequences, (n,), twice: its gradient is the plain one."""
        bound = iwae_bound(self.log_weights(x, y, k=self.k))
        return bound, bound

    @torch.no_grad()
    def sample(self, n: int, y: Any = None, *, generator: Generator | None = None) -> Tensor:
        """Return n sequences from the model, step by step: (n, steps, values), zeros behind shorter ones.

        ``y``: their lengths (n,); 64 each if not given.

        Raises ``ValueError`` for lengths that are not n whole numbers from 1.
        """
        weight = self.prior_out.weight
        y = torch.full((n,), STEPS) if y is None else torch.as_tensor(y)
        lengths = check_lengths(y, n).to(weight.device)
        told = torch.zeros(n, 1, self.past.input_size, dtype=weight.dtype, device=weight.device)
        told[..., -1] = 1
        z = torch.zeros(n, 1, self.latent_dim, dtype=weight.dtype, device=weight.device)
        state, steps = None, []
        for _ in range(int(lengths.max()) if n else 0):
            h, state = self.past(told, state)
            out = self.prior_out((self.prior_in(h) + self.prior_back(z)).tanh())
            mean, log_var = out.chunk(2, -1)
            noise = torch.empty_like(mean).normal_(generator=generator)
            z = mean + (0.5 * log_var).exp() * noise
            x = self.likelihood.sample(self.decode(z, h), generator)
            told = F.pad(x, (0, 1))
            steps.append(x)
        made = torch.cat(steps, 1)
        return made * self._inside(made, lengths)[0][..., None]

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, lengths)`` is this model's kind of data. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for all else.
        """
        x, y = batch
        values = self.likelihood.event_shape[0]
        if isinstance(x, Tensor) and (x.ndim != 3 or x.shape[2] != values):
            raise ValueError(
                f"the model expects sequences of shape (n, steps, {values}), got {tuple(x.shape)}."
            )
        self.likelihood.check(x.flatten(0, 1) if isinstance(x, Tensor) else x)
        check_lengths(y, len(x), x.shape[1])

    def _inside(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return which steps are part of a sequence, 1 or 0, (n, steps), and the lengths."""
        if lengths is None:
            lengths = torch.full((len(x),), x.shape[1], device=x.device)
        step = torch.arange(x.shape[1], device=x.device)
        return (step < lengths[:, None]).to(x.dtype), lengths


def music_vae(
    *,
    values: int = 88,
    output: str = "autoregressive",
    latent_dim: int = 16,
    hidden: int = 128,
    units: int = 4,
    dropout: float = 0.3,
    beta: float = 1.0,
    free_bits: float = 0.0,
    k: int = 1,
    lr: float = 2e-3,
    decay_steps: int = 0,
) -> SequenceVAE:
    """Return a model of piano rolls (n, steps, ``values``), whose keys are on or off.

    ``output``: given code and past, the keys of a step are "independent", or "autoregressive", each given
    those below it, through ``units`` hidden units for each key (:class:`gm_lib.vae.MaskedBernoulli`). The
    rest is what :class:`SequenceVAE` takes.

    Raises ``ValueError`` for another output.
    """
    config = dict(locals())
    single = choose("output", output, OUTPUTS) == "independent"
    model = SequenceVAE(
        Bernoulli([values]) if single else MaskedBernoulli([values], units),
        latent_dim=latent_dim,
        hidden=hidden,
        dropout=dropout,
        beta=beta,
        free_bits=free_bits,
        k=k,
        lr=lr,
        decay_steps=decay_steps,
    )
    model.config = config
    return model


def _log_normal(off: Tensor, log_var: Tensor) -> Tensor:
    """Return the log-density of normals at ``off`` standard deviations from the mean, summed: (*lead,)."""
    return -0.5 * (off.square() + log_var + math.log(2 * math.pi)).sum(-1)
