"""How likely does a model find the data? Of one with hidden variables bounds, of others log p(x) itself.

A model is known here by what it can do: ``log_prob(x, y)`` to (n,), ``elbo(x, y)`` to (n,),
``log_weights(x, y, k=…, generator=…)`` to (k, n), ``encode(x, y)`` to a distribution of shape
(n, latent_dim). If it has ``check((x, y))``, data that it
could not have been trained on is refused. ``values_per_draw``, the numbers that its decoder puts out for one
example and one z, decides how many are looked at at a time; without it they are as many as x has values.

Data may be tensors, arrays or lists, and are converted to the model's dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from tqdm.auto import tqdm

from gm_lib.data import dequantize
from gm_lib.distributions.estimates import Estimate, estimate
from gm_lib.evaluation.models import Model, batches_for, data_for, device_of, evaluating, values_per_draw
from gm_lib.networks import VALUES_AT_ONCE
from gm_lib.runtime import forked_rng


@dataclass(frozen=True, eq=False)
class LikelihoodEstimate:
    """A bound for each example and its mean over the data, in nats. Prints as ``102.6 ± 0.3``.

    ``bound``: (n,) float64. ``k``: draws of z or chains per example, 1 where log p(x) is exact.
    ``standard_error`` is over the examples: how far the mean would move with another sample of n; ``nan`` for
    a single example.
    """

    bound: Tensor
    k: int
    mean: float
    standard_error: float

    @classmethod
    def of(cls, bound: Tensor, k: int) -> LikelihoodEstimate:
        """Gather the bounds of n examples, (n,), each from ``k`` draws or chains."""
        single = Estimate(bound.mean().item(), math.nan, 1)
        result = estimate(bound) if len(bound) > 1 else single
        return cls(bound, k, result.mean, result.standard_error)

    def __str__(self) -> str:
        return str(Estimate(self.mean, self.standard_error, len(self.bound)))


def log_likelihood(
    model: Model,
    x: Tensor,
    y: Tensor | None = None,
    *,
    k: int,
    batch_size: int = 100,
    chunk: int = 50,
    seed: int = 0,
    progress: bool = False,
) -> LikelihoodEstimate:
    """Bound log p(x) from below with k importance-weighted draws per example. Burda et al. 2016, equation 8.

    Exactly k weights are drawn for each example, at most ``batch_size`` examples and ``chunk`` draws at a
    time, fewer where the decoder puts out many numbers, and merged exactly in float64: of a draw only its
    weight is kept. ``x``: (n, *event_shape), ``y``: (n,). The mean is a lower bound of the mean log p(x):
    report it with k, and with the kind of data.

    Raises ``ValueError`` for k < 1, no data, or data that the model's ``check`` refuses.
    """

    def bound(x: Tensor, y: Tensor | None, generator: Generator) -> Tensor:
        step = max(1, min(chunk, VALUES_AT_ONCE // (len(x) * values_per_draw(model, x))))
        counts = [min(step, k - drawn) for drawn in range(0, k, step)]
        log_w = [model.log_weights(x, y, k=count, generator=generator) for count in counts]
        return torch.cat(log_w).cpu().double().logsumexp(0) - math.log(k)  # one wait for the device

    return _per_example(bound, model, x, y, k, batch_size, seed, progress, "log-likelihood")


def negative_elbo(
    model: Model,
    x: Tensor,
    y: Tensor | None = None,
    *,
    k: int = 1,
    batch_size: int = 500,
    seed: int = 0,
    progress: bool = False,
) -> LikelihoodEstimate:
    """Estimate -ELBO for each example as the mean of k one-draw estimates ``-model.elbo(x, y)``.

    An upper bound of -log p(x), in nats; it is not the negative log-likelihood. Shapes and errors as
    :func:`log_likelihood`.
    """

    def bound(x: Tensor, y: Tensor | None, generator: Generator) -> Tensor:
        return -torch.stack([model.elbo(x, y) for _ in range(k)]).cpu().double().mean(0)

    return _per_example(bound, model, x, y, k, batch_size, seed, progress, "-ELBO")


def exact_log_likelihood(
    model: Model, x: Tensor, y: Tensor | None = None, *, batch_size: int = 500, seed: int = 0
) -> LikelihoodEstimate:
    """Return log p(x) of each example by ``model.log_prob(x, y)``, in nats: the number itself, no bound.

    Of pixels that are 0 or 1 it is the logarithm of a probability, of real values that of a density, whose
    value depends on the values' unit: the two do not compare. Shapes and errors as :func:`log_likelihood`.
    """

    def log_p(x: Tensor, y: Tensor | None, generator: Generator) -> Tensor:
        return model.log_prob(x, y).cpu().double()

    return _per_example(log_p, model, x, y, 1, batch_size, seed, False, "log p(x)")


def dequantized_bits_per_dim(
    model: Model,
    x: Tensor,
    y: Tensor | None = None,
    *,
    levels: int = 256,
    batch_size: int = 500,
    seed: int = 0,
) -> Estimate:
    """Estimate the bits per dimension of levels x by the model's density of the dequantized levels.

    ``x`` (n, *shape) holds 0, 1/(levels - 1), …, 1; each is moved within its bin by noise from ``seed``,
    as :func:`gm_lib.data.dequantize` does. On average an upper bound of the bits of the levels themselves
    (Theis et al. 2016, section 3.1). Errors as :func:`exact_log_likelihood`, and as ``dequantize`` raises.
    """
    noisy = dequantize(x.cpu(), levels, Generator().manual_seed(seed))
    log_p = exact_log_likelihood(model, noisy, y, batch_size=batch_size, seed=seed).bound
    return estimate(bits_per_dim(log_p, x[0].numel(), bin_width=1 / levels))


def bits_per_dim(log_p: Tensor, dims: int, *, bin_width: float = 1.0) -> Tensor:
    """Return -log p in bits per dimension, for log p in nats of examples with ``dims`` values. Any one shape.

    For the log-*density* of dequantized data ``bin_width`` is the width of a bin, 1/256 for 256 levels on
    [0, 1]: a density times that is a probability, and the result is, on average, an upper bound of the bits
    of the discrete data. For log-probabilities it is 1. Theis et al. 2016, section 3.1.

    Raises ``ValueError`` for dims below 1 and a bin width that is not positive.
    """
    if dims < 1 or not bin_width > 0:
        raise ValueError(f"dims must be at least 1 and bin_width positive, got {dims} and {bin_width}.")
    return -(log_p / dims + math.log(bin_width)) / math.log(2)


@dataclass(frozen=True, eq=False)
class ActiveUnits:
    """Which latent dimensions carry information about x. ``variance``: (latent_dim,), Cov_x(E[z | x])."""

    variance: Tensor
    threshold: float

    @property
    def active(self) -> Tensor:
        """True for each dimension whose variance exceeds the threshold: (latent_dim,)."""
        return self.variance > self.threshold

    @property
    def count(self) -> int:
        """The number of active dimensions."""
        return int(self.active.sum())


def active_units(model: Model, x: Tensor, y: Tensor | None = None, *, threshold: float = 0.01) -> ActiveUnits:
    """Measure how far the mean of q(z | x) moves over the data, Cov_x(E[z | x]), in each latent dimension.

    A dimension is active above ``threshold`` (Burda et al. 2016, section 5.2, with their 10⁻²).
    Raises ``ValueError`` for fewer than two examples, or data that the model's ``check`` refuses.
    """
    x, y = data_for(model, x, y)
    if len(x) < 2:
        raise ValueError(
            f"active units are a variance over the data: at least 2 examples are needed, got {len(x)}."
        )
    with evaluating(model):
        means = [model.encode(*batch).mean.cpu().double() for batch in batches_for(model, x, y, size=500)]
    return ActiveUnits(torch.cat(means).var(0), threshold)


def _per_example(
    bound: Callable[[Tensor, Tensor | None, Generator], Tensor],
    model: Model,
    x: Tensor,
    y: Tensor | None,
    k: int,
    batch_size: int,
    seed: int,
    progress: bool,
    title: str,
) -> LikelihoodEstimate:
    """Apply ``bound(x, y, generator)`` batch by batch and gather one number per example."""
    if k < 1:
        raise ValueError(f"k is the number of draws per example and must be at least 1, got {k}.")
    if len(x) == 0:
        raise ValueError("there is no data to evaluate: x has no examples.")
    x, y = data_for(model, x, y)
    batch_size = max(1, min(batch_size, VALUES_AT_ONCE // values_per_draw(model, x)))
    with evaluating(model), forked_rng(seed):
        generator = Generator(device=device_of(model)).manual_seed(seed)
        batches = tqdm(
            list(batches_for(model, x, y, size=batch_size)), desc=title, disable=not progress, leave=False
        )
        values = torch.cat([bound(*batch, generator) for batch in batches])
    return LikelihoodEstimate.of(values, k)
