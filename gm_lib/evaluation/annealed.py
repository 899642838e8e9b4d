"""Bounds of log p(x) by annealed importance sampling: from the prior to the posterior in many small moves.

A model is known here by what it can do: ``prior``, a distribution of batch shape (latent_dim,), its
``latent_dim``, and ``log_joint(z, x, y)`` to (k, n), log p(x | z) + log p(z) in nats, for z of shape
(k, n, latent_dim), whose gradients pass. No encoder is asked; a generator without a density gets one from
``gm_lib.evaluation.NoisyDecoder``. ``check`` and ``values_per_draw`` are those of
``gm_lib.evaluation.likelihood``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from gm_lib.distributions.estimates import as_tensor
from gm_lib.distributions.monte_carlo import log_mean_exp
from gm_lib.evaluation.likelihood import LikelihoodEstimate
from gm_lib.evaluation.models import (
    Model,
    batches_for,
    data_for,
    evaluating,
    log_prior,
    values_per_draw,
)
from gm_lib.networks import VALUES_AT_ONCE
from gm_lib.runtime import forked_rng

PILOTS = 4  # chains that find the step sizes, and are left out of the estimate
ACCEPTANCE = 0.65  # the mean acceptance that they look for, and the pace at which a step's logarithm follows
PACE = 0.3
FIRST_STEP = 0.5
POWER = 4  # small increments where the density changes fastest, near the prior


def annealed_log_likelihood(
    model: Model,
    x: Tensor,
    y: Tensor | None = None,
    *,
    temperatures: int = 500,
    chains: int = 16,
    leapfrog: int = 10,
    posterior: Tensor | None = None,
    batch_size: int = 100,
    seed: int = 0,
    progress: bool = False,
) -> LikelihoodEstimate:
    """Bound log p(x) by annealed importance sampling with ``chains`` chains for each example.

    A chain starts at a draw from the prior p(z) and follows the densities p(z) p(x | z)^β, while β rises from
    0 to 1 in ``temperatures`` increments. Between them z moves by Hamiltonian Monte Carlo, with ``leapfrog``
    steps and a Metropolis test. The product of p(x | z)^(increment) along the chain is a weight whose
    expectation is exactly p(x). ``bound``, (n,) float64 in nats, is the logarithm of its mean over chains: on
    average below log p(x), and more than b nats above it with a probability of at most exp(-b). More
    temperatures bring it closer. Neal 2001; for decoders, Wu et al. 2017. A single temperature makes it
    importance sampling from the prior.

    With ``posterior``, (n, latent_dim), the chains run backwards, from a draw of p(z | x) to the prior, and
    ``bound`` is on average *above* log p(x): bidirectional Monte Carlo, Grosse et al. 2015. The draws must be
    exact, or it bounds nothing. They are known where the model itself made the data: draw z from ``prior``
    and x from p(x | z), then z is a draw from the posterior of that x. For real data there are none, and
    draws from an encoder are no substitute.

    The step sizes of an example come from separate chains, so that the weights stay exact. The decoder is
    computed temperatures · leapfrog times for n · (chains + 4) values of z. ``x``: (n, *event_shape), ``y``:
    (n,). Raises ``ValueError`` for a number below 1, no data, data that the model's ``check`` refuses, or
    ``posterior`` of another shape.
    """
    for name, number in (("temperatures", temperatures), ("chains", chains), ("leapfrog", leapfrog)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}.")
    if len(x) == 0:
        raise ValueError("there is no data to evaluate: x has no examples.")
    x, y = data_for(model, x, y)
    ends = None if posterior is None else _posterior_for(model, posterior, len(x))
    size = max(1, min(batch_size, VALUES_AT_ONCE // (chains * values_per_draw(model, x))))
    betas = _schedule(temperatures)
    bounds = []
    total = 2 * temperatures * -(-len(x) // size)
    with (
        evaluating(model),
        forked_rng(seed),
        tqdm(total=total, desc="annealing", disable=not progress, leave=False) as bar,
    ):
        for i, batch in enumerate(batches_for(model, x, y, size=size)):
            path, n = _Path(model, *batch, leapfrog, bar), len(batch[0])
            pilots = model.prior.sample((PILOTS, n))
            _, steps = path.follow(betas, pilots)
            if ends is None:
                log_w, _ = path.follow(betas, model.prior.sample((chains, n)), steps)
                bounds.append(log_mean_exp(log_w))
            else:
                z = ends[i * size : i * size + n].to(pilots).expand(chains, -1, -1)
                log_w, _ = path.follow(betas[::-1], z, steps[::-1])
                bounds.append(-log_mean_exp(log_w))
    return LikelihoodEstimate.of(torch.cat(bounds), chains)


class _Point(NamedTuple):
    """Where the chains are, z (k, n, d), with what is known there; nothing in it depends on β."""

    z: Tensor
    log_prior: Tensor
    log_joint: Tensor
    prior_slope: Tensor
    joint_slope: Tensor

    @property
    def log_likelihood(self) -> Tensor:
        """log p(x | z): (k, n)."""
        return self.log_joint - self.log_prior

    def log_density(self, beta: float) -> Tensor:
        """log p(z) + β log p(x | z): (k, n)."""
        return (1 - beta) * self.log_prior + beta * self.log_joint

    def slope(self, beta: float) -> Tensor:
        """The gradient of :meth:`log_density` in z: (k, n, d)."""
        return (1 - beta) * self.prior_slope + beta * self.joint_slope


@dataclass(frozen=True, eq=False)
class _Path:
    """The densities p(z) p(x | z)^β of one batch, and how chains move along them."""

    model: Model
    x: Tensor
    y: Tensor | None
    leapfrog: int
    bar: Any

    def follow(
        self, betas: list[float], z: Tensor, steps: list[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the log-weights (k, n), float64, of chains from z (k, n, d), and the step sizes used.

        ``steps``: one (n,) for each β but the first and the last; None adapts them along the way.
        """
        here, seen, used = self.look(z), [], []
        step = torch.full_like(here.log_prior[0], FIRST_STEP)
        for i, beta in enumerate(betas[1:]):
            seen.append(here.log_likelihood)
            self.bar.update()
            if i == len(betas) - 2:
                break
            step = step if steps is None else steps[i]
            used.append(step)
            here, acceptance = self.move(here, beta, step)
            if steps is None:
                step = step * (PACE * (acceptance.mean(0) - ACCEPTANCE)).exp()
        increments = torch.tensor(betas, dtype=torch.float64, device="cpu").diff()
        return (increments.reshape(-1, 1, 1) * torch.stack(seen).cpu().double()).sum(0), used

    def move(self, here: _Point, beta: float, step: Tensor) -> tuple[_Point, Tensor]:
        """Move by Hamiltonian Monte Carlo, which leaves the density at β as it is; step (n,).

        Returns the new point and the probabilities of acceptance, (k, n). Neal 2011.
        """
        # Steps of one length could make every path a full period, which ends where it began.
        step = (step * (0.8 + 0.4 * torch.rand_like(here.log_prior))).unsqueeze(-1)
        start = torch.randn_like(here.z)
        end, momentum = here, start + 0.5 * step * here.slope(beta)
        for _ in range(self.leapfrog):
            end = self.look(end.z + step * momentum)
            momentum = momentum + step * end.slope(beta)
        momentum = momentum - 0.5 * step * end.slope(beta)  # the last was half a step too long
        kinetic = 0.5 * (momentum.square() - start.square()).sum(-1)
        gain = end.log_density(beta) - here.log_density(beta) - kinetic
        gain = gain.nan_to_num(nan=-torch.inf)  # a path that ran away is refused
        accept = torch.rand_like(gain).log() < gain
        columns = (accept.unsqueeze(-1) if new.ndim > accept.ndim else accept for new in end)
        moved = (torch.where(c, new, old) for c, new, old in zip(columns, end, here, strict=True))
        return _Point(*moved), gain.clamp(max=0).exp()

    def look(self, z: Tensor) -> _Point:
        """Return what is known at z (k, n, d). The gradients are those of z alone: parameters get none."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            log_p_z = log_prior(self.model, z)
            log_joint = self.model.log_joint(z, self.x, self.y)
            (prior_slope,) = torch.autograd.grad(log_p_z.sum(), z)
            (joint_slope,) = torch.autograd.grad(log_joint.sum(), z)
        return _Point(z.detach(), log_p_z.detach(), log_joint.detach(), prior_slope, joint_slope)


def _schedule(temperatures: int) -> list[float]:
    """Return 0 = β₀ < … < 1, ``temperatures`` + 1 of them, evenly spaced numbers to a power."""
    return [(i / temperatures) ** POWER for i in range(temperatures + 1)]


def _posterior_for(model: Model, posterior: Any, n: int) -> Tensor:
    """Return ``posterior`` as a tensor, or refuse another shape than (n, latent_dim)."""
    draws = as_tensor(posterior)
    if draws.shape != (n, model.latent_dim):
        raise ValueError(
            f"posterior holds the z that made each x: its shape must be ({n}, {model.latent_dim}), "
            f"got {tuple(draws.shape)}."
        )
    return draws
