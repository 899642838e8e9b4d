"""A density for a generator that has none: p(x | z) is what it makes of z, and noise in every value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Normal

from gm_lib.evaluation.models import device_of, dtype_of, evaluating, log_prior
from gm_lib.networks import check_labels
from gm_lib.runtime import forked_rng

_PROBES = 16  # examples that a decoder is asked for, to see whether they are like the data


class NoisyDecoder(nn.Module):
    """The model z ~ ``prior``, x ~ N(G(z), σ² I), for the decoder G: what annealing asks of a model.

    A GAN's generator gives each z one x, so the data have no density under it. Wu et al. 2017 give it one by
    noise of standard deviation ``sigma``, in the units of the data, around what it makes.
    :func:`gm_lib.evaluation.annealed_log_likelihood` then bounds log p(x), in nats. **State sigma with the
    number**: it is no part of the generator, and the number depends on it. Nor does a log-density compare
    with the log-probabilities of binary data. Without ``sigma`` G(z) holds the probabilities of pixels that
    are tossed, 0 or 1; probabilities nearer to 0 or 1 than floats can tell are moved to where they can.

    ``decode`` maps z (n, latent_dim) to means (n, *event_shape), in the units of x; labels y (n,) are handed
    to it as a second argument where there are any. It is a GAN, a generator, or any function through which
    gradients pass: ``lambda z: vae.likelihood.mean(vae.decode(z))`` for a VAE, ``lambda z: (g(z) + 1) / 2``
    for a g that puts out values in [-1, 1]. ``prior``: a distribution of batch shape or event shape
    (latent_dim,), whose device and dtype are those of z; None for N(0, I) with ``decode.latent_dim``.

    One way to choose sigma is the best of a few on validation images, with the test images kept for later:

        def bound(sigma):
            return annealed_log_likelihood(NoisyDecoder(gan, sigma=sigma), valid, temperatures=100).mean
        best = max([0.05, 0.1, 0.2, 0.4], key=bound)

    Raises ``ValueError`` for a sigma that is not positive and finite, ``TypeError`` for a decoder without
    ``latent_dim`` where no prior is given.
    """

    def __init__(
        self, decode: Callable[..., Tensor], *, sigma: float | None = None, prior: Distribution | None = None
    ):
        super().__init__()
        if sigma is not None and not 0 < sigma < math.inf:
            raise ValueError(f"sigma is the noise's standard deviation, finite and above 0, not {sigma}.")
        if prior is None and not hasattr(decode, "latent_dim"):
            raise TypeError(
                f"{type(decode).__name__} does not say how many dimensions its z has: give a prior, such as "
                "torch.distributions.Normal(torch.zeros(2), torch.ones(2)), or set latent_dim."
            )
        self.decode: Any = decode
        self.sigma, self._given = sigma, prior

    @property
    def prior(self) -> Distribution:
        """p(z)."""
        if self._given is not None:
            return self._given
        dtype = dtype_of(self, torch.empty(0))
        mean = torch.zeros(self.decode.latent_dim, device=device_of(self), dtype=dtype)
        return Normal(mean, torch.ones_like(mean), validate_args=False)

    @property
    def latent_dim(self) -> int:
        """The number of dimensions of z."""
        return (*self.prior.batch_shape, *self.prior.event_shape)[-1]

    def means(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return E[x | z], (*lead, n, *event_shape), for z (*lead, n, latent_dim) and labels y (n,)."""
        lead, rows = z.shape[:-1], z.reshape(-1, z.shape[-1])
        made = self.decode(rows) if y is None else self.decode(rows, y.expand(lead).reshape(-1))
        return made.reshape(*lead, *made.shape[1:])

    def log_joint(self, z: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x | z) + log p(z) in nats: (*lead, n), for z (*lead, n, latent_dim)."""
        means = self.means(z, y)
        noise: Distribution = (
            Bernoulli(probs=means, validate_args=False)
            if self.sigma is None
            else Normal(means, self.sigma, validate_args=False)
        )
        return noise.log_prob(x).flatten(z.ndim - 1).sum(-1) + log_prior(self, z)

    def check(self, batch: Any) -> None:
        """Raise ``ValueError`` unless the decoder makes examples like those of ``(x, y)``. Reads the values.

        It is asked for a few, at draws from the prior.
        """
        x, y = batch
        if not x.is_floating_point():
            raise ValueError(f"x must be floating point, got {x.dtype}: convert it with x.float().")
        if num_classes := getattr(self.decode, "num_classes", 0):
            check_labels(y, num_classes, len(x))
        n = min(len(x), _PROBES)
        with forked_rng(0), evaluating(self):
            z = self.prior.sample((n,))
            made = self.decode(z) if y is None else self.decode(z, y[:n].to(z.device))
        if made.shape != x[:n].shape:
            raise ValueError(
                f"the decoder makes {tuple(made.shape)} of {n} z, and {n} examples of x are "
                f"{tuple(x[:n].shape)}: reshape what it puts out, or x."
            )
        if not made.isfinite().all():
            raise ValueError("the decoder puts out NaN or infinite values at z from the prior.")
        if self.sigma is None:
            if not ((made >= 0) & (made <= 1)).all():
                raise ValueError(
                    "without sigma the decoder's values are probabilities, in [0, 1], got values between "
                    f"{_range(made)}: give sigma, or bring them to [0, 1]."
                )
            if not ((x == 0) | (x == 1)).all():
                raise ValueError(
                    f"without sigma each value of x is tossed, 0 or 1, got values between {_range(x)}: "
                    "binarize them, or give sigma for grey ones."
                )
        elif {_scale(made), _scale(x)} == {"[0, 1]", "[-1, 1]"}:
            raise ValueError(
                f"the decoder's values lie between {_range(made)} and those of x between {_range(x)}: one "
                "is scaled to [-1, 1] and the other to [0, 1]. Bring both to the same scale."
            )


def _range(values: Tensor) -> str:
    return f"{float(values.min()):.3g} and {float(values.max()):.3g}"


def _scale(values: Tensor) -> str:
    """Name the scale of images, if values look like some: many dark pixels at 0, or at -1."""
    if float(values.max()) > 1 or float(values.min()) < -1:
        return ""
    dark = float((values < -0.9).double().mean())
    return "[-1, 1]" if dark > 0.25 else "[0, 1]" if float(values.min()) >= 0 else ""
