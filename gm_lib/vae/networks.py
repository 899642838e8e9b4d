"""Encoders, from examples to q(z | x), and decoders, from z to the parameters of p(x | z).

What a :class:`gm_lib.vae.VAE` asks of networks of your own:

* ``encoder(x, y)`` returns a ``torch.distributions.Normal`` of shape (n, latent_dim). It may also have
  ``mean_and_log_var(x, y)``, both (n, latent_dim), which saves the steps through the distribution.
* ``decoder(z, y)`` returns the likelihood's raw parameters, (*lead, *out_shape), for z (*lead, latent_dim).
  It knows its ``latent_dim``, ``out_shape`` and ``num_classes``: 0 for a model without labels, whose y is
  None or not looked at.

What they return has the dtype of their input, also where autocast computes in a shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from gm_lib.networks import check_input, mlp, one_hot, require
from gm_lib.vae.likelihood_base import Likelihood


class GaussianEncoder(nn.Module):
    """q(z | x): a Gaussian with its own mean and standard deviation in each latent dimension.

    ``in_shape``: the shape of one example. ``num_classes`` > 0 makes it q(z | x, y), with the label as input.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        hidden: Sequence[int],
        latent_dim: int,
        num_classes: int = 0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__()
        self.in_shape = tuple(in_shape)
        self.num_classes = num_classes
        self.net = mlp([math.prod(in_shape) + num_classes, *hidden, 2 * latent_dim], activation)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Normal:
        """Return q(z | x), mean and scale of shape (n, latent_dim), for x of shape (n, *in_shape)."""
        mean, log_var = self.mean_and_log_var(x, y)
        return Normal(mean, (0.5 * log_var).exp(), validate_args=False)

    def mean_and_log_var(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean of q(z | x) and the logarithm of its variance, each (n, latent_dim)."""
        check_input(x, self.in_shape, self.net[0].weight, "the encoder")
        features = x.flatten(-len(self.in_shape))
        out = self.net(_with_label(features, y, self.num_classes)).to(x.dtype)  # autocast's may be shorter
        mean, log_var = out.chunk(2, dim=-1)
        return mean, log_var


class Decoder(nn.Module):
    """The network from z to the parameters of p(x | z), raw and unbounded; the likelihood gives them meaning.

    ``out_shape``: the likelihood's ``params_shape``. ``num_classes`` > 0 makes it p(x | z, y).
    """

    def __init__(
        self,
        latent_dim: int,
        hidden: Sequence[int],
        out_shape: Sequence[int],
        num_classes: int = 0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.out_shape = tuple(out_shape)
        self.num_classes = num_classes
        self.net = mlp([latent_dim + num_classes, *hidden, math.prod(out_shape)], activation)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return params of shape (*lead, *out_shape) for z of shape (*lead, latent_dim)."""
        return self.net(_with_label(z, y, self.num_classes)).to(z.dtype).unflatten(-1, self.out_shape)


def check_decoder(decoder: Any, likelihood: Likelihood) -> None:
    """Raise ``TypeError`` for a decoder that lacks an attribute, ``ValueError`` for one that does not fit."""
    require(
        decoder,
        "decoder",
        latent_dim="the number of dimensions of z",
        out_shape="the shape of what it makes of one z, likelihood.params_shape",
        num_classes="the number of labels, 0 for none",
    )
    made = tuple(decoder.out_shape)
    if made != likelihood.params_shape:
        raise ValueError(
            f"the decoder puts out {made} numbers, the {type(likelihood).__name__} likelihood wants "
            f"{likelihood.params_shape}: pass out_shape=likelihood.params_shape."
        )


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
