"""The rate of a VAE, the mean KL(q(z | x) ‖ p(z)), split into what z tells about x and what the prior misses.

A model is known here by ``encode(x, y)``, a ``torch.distributions.Normal`` of shape (n, latent_dim), and
``prior``, a Normal of batch shape (latent_dim,), or a distribution of event shape (latent_dim,). If it has
``check((x, y))``, it is asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.distributions import Normal, kl_divergence
from tqdm.auto import tqdm

from gm_lib.distributions.estimates import Estimate, estimate
from gm_lib.evaluation.models import (
    Model,
    batches_for,
    data_for,
    device_of,
    dtype_of,
    evaluating,
    log_prior,
)
from gm_lib.networks import VALUES_AT_ONCE


@dataclass(frozen=True, eq=False)
class RateSplit:
    """``rate`` = ``mutual_information`` + ``prior_kl``, in nats per example, each with its standard error.

    ``rate``: the mean of KL(q(z | x) ‖ p(z)). ``mutual_information``: between z and the number of the example
    that it was drawn for, at most log ``n``. ``prior_kl``: KL(q(z) ‖ p(z)), with q(z) the mean of the
    densities q(z | x) of all ``n`` examples. With a Normal prior the rate is computed exactly for each
    example, and the equation holds within the errors; with another one it is estimated from the same draws,
    and holds exactly. The standard errors are over the examples, with q(z) taken as given.
    """

    rate: Estimate
    mutual_information: Estimate
    prior_kl: Estimate
    n: int

    def __str__(self) -> str:
        return (
            f"rate                {self.rate} nats\n"
            f"mutual information  {self.mutual_information} nats, at most log {self.n:,} = "
            f"{math.log(self.n):.2f}\n"
            f"KL(q(z) ‖ p(z))     {self.prior_kl} nats"
        )


def split_rate(
    model: Model,
    x: Tensor,
    y: Tensor | None = None,
    *,
    draws: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> RateSplit:
    """Split the mean KL(q(z | x) ‖ p(z)) over the data into two parts. Hoffman and Johnson 2016.

    With z drawn from q(z | x), ``draws`` times for each example, and q(z) the mean of the n densities
    q(z | x), that of the draw's own example among them:

    * mutual information: the mean of log q(z | x) - log q(z);
    * KL(q(z) ‖ p(z)): the mean of log q(z) - log p(z).

    All n · n · draws densities are computed, some rows at a time, in float64. ``x``: (n, *event_shape),
    ``y``: (n,). Raises ``ValueError`` for fewer than two examples, draws below 1, or data that the model's
    ``check`` refuses.
    """
    x, y = data_for(model, x, y)
    if len(x) < 2 or draws < 1:
        raise ValueError(
            f"at least 2 examples and 1 draw for each are needed, got {len(x)} examples and draws={draws}."
        )
    with evaluating(model):
        parts = [_on_cpu(model.encode(*batch)) for batch in batches_for(model, x, y, size=500)]
    q = Normal(torch.cat([part.mean for part in parts]), torch.cat([part.stddev for part in parts]))
    generator = Generator(device="cpu").manual_seed(seed)
    noise = torch.randn(draws, *q.mean.shape, generator=generator, dtype=torch.float64, device="cpu")
    z = q.mean + q.stddev * noise
    log_q_given_x = q.log_prob(z).sum(-1)
    log_q = _log_mean_density(z.flatten(0, 1), q, progress).reshape(draws, -1)
    with evaluating(model):
        like = device_of(model), dtype_of(model, z)
        rows = z.flatten(0, 1).split(10_000)
        log_p = torch.cat([log_prior(model, part.to(*like)).cpu().double() for part in rows])
    log_p = log_p.reshape(draws, -1)
    if isinstance(model.prior, Normal):
        rate = kl_divergence(q, _on_cpu(model.prior)).sum(-1)
    else:
        rate = (log_q_given_x - log_p).mean(0)
    return RateSplit(
        rate=estimate(rate.detach()),
        mutual_information=estimate((log_q_given_x - log_q).mean(0)),
        prior_kl=estimate((log_q - log_p).mean(0)),
        n=len(x),
    )


def _log_mean_density(z: Tensor, q: Normal, progress: bool) -> Tensor:
    """Return the log of the mean of the n densities ``q`` at z (m, d): (m,). q has the batch shape (n, d)."""
    n, precision = len(q.mean), q.variance.reciprocal()
    # The square (z - mean)² written out makes two matrix products of n · m · d differences. In float64 the
    # rounding is below 10⁻³ nats as long as the deviations are above 10⁻⁶ of z.
    own = -0.5 * (q.mean.square() * precision + (2 * math.pi * q.variance).log()).sum(-1)
    rows = z.split(max(1, VALUES_AT_ONCE // n))
    found = [
        (own + part @ (q.mean * precision).T - 0.5 * part.square() @ precision.T).logsumexp(-1)
        for part in tqdm(rows, desc="q(z)", disable=not progress, leave=False)
    ]
    return torch.cat(found) - math.log(n)


def _on_cpu(q: Normal) -> Normal:
    if not isinstance(q, Normal):
        raise TypeError(f"the rate is split where q(z | x) is a Normal, not {type(q).__name__}.")
    return Normal(q.mean.cpu().double(), q.stddev.cpu().double())
