"""Bernoulli, two Gaussians, three for grey levels. ``gm_lib.vae.likelihood_base`` says what they share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, distributions, nn

from gm_lib.system.choose import choose
from gm_lib.vae.likelihood_base import Likelihood

LEVELS_8_BIT = 256


class Bernoulli(Likelihood):
    """Binary pixels. ``params`` are logits: p(x = 1) = sigmoid(params). Probabilities in nats."""

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return log p(x | params) per example in nats: (*lead,)."""
        # The sign comes last, when there is one number an example: each pass over all pixels counts here.
        values = F.binary_cross_entropy_with_logits(params, x.expand_as(params), reduction="none")
        return -values.flatten(-len(self.event_shape)).sum(-1)

    def _distribution_of_values(self, params: Tensor) -> distributions.Distribution:
        return distributions.Bernoulli(logits=params[0])

    def mean(self, params: Tensor) -> Tensor:
        """Return p(x = 1)."""
        return params.sigmoid()

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return zeros and ones."""
        return torch.bernoulli(self.mean(params).detach(), generator=generator)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` for anything but zeros and ones."""
        super().check(x)
        if not bool(((x == 0) | (x == 1)).all()):
            raise ValueError(
                "the Bernoulli likelihood expects pixels that are exactly 0 or 1, got values between "
                f"{float(x.min()):.3g} and {float(x.max()):.3g}. Grey is no outcome of a coin: binarize "
                "first (gm_lib.data.binarize, or Batches(..., dynamic_binarization=True))."
            )


class Gaussian(Likelihood):
    """Real values with one standard deviation for all, learned or given as ``sigma``. ``params``: the means.

    log p is a density: in nats, but not comparable with the nats of the discrete likelihoods. With a fixed σ
    it is -(squared error) / 2σ² and a constant: σ² weighs the KL as β would. Learned, it is the maximum
    likelihood σ, the root mean squared error per value; Rybkin et al. 2021.

    Raises ``ValueError`` for a ``sigma`` that is no positive finite number.
    """

    def __init__(self, event_shape: Sequence[int], sigma: float | None = None):
        super().__init__(event_shape)
        if sigma is not None and not 0 < sigma < math.inf:
            raise ValueError(f"sigma is a standard deviation, finite and above 0, not {sigma}.")
        log_scale = torch.tensor(0.0 if sigma is None else math.log(sigma))
        self.log_scale: Tensor
        if sigma is None:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def _log_prob_of_values(self, x: Tensor, params: Tensor) -> Tensor:
        (mean,) = params
        standardized = (x - mean) * (-self.log_scale).exp()
        return -0.5 * standardized**2 - self.log_scale - 0.5 * math.log(2 * math.pi)

    def _distribution_of_values(self, params: Tensor) -> distributions.Distribution:
        return distributions.Normal(params[0], self.log_scale.exp())

    def mean(self, params: Tensor) -> Tensor:
        """Return the means."""
        return self._split(params)[0]

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return means plus noise of that standard deviation."""
        mean = self.mean(params).detach()
        return mean + self.log_scale.detach().exp() * _randn_like(mean, generator)


class PixelGaussian(Likelihood):
    """Real values, each with a standard deviation of its own. ``params``: the means, then the log σ.

    The log σ stay above ``least``, bent smoothly (least + softplus(params - least)): where the decoder can be
    sure of a value, such as a border that is always black, the density has no upper limit, and the likelihood
    would be bought there.
    log p is a density, as that of :class:`Gaussian`.
    """

    channels = 2

    def __init__(self, event_shape: Sequence[int], least: float = -5.0):
        super().__init__(event_shape)
        self.least = least

    def _log_prob_of_values(self, x: Tensor, params: Tensor) -> Tensor:
        mean, log_scale = self._mean_and_log_scale(params)
        standardized = (x - mean) * (-log_scale).exp()
        return -0.5 * standardized**2 - log_scale - 0.5 * math.log(2 * math.pi)

    def _distribution_of_values(self, params: Tensor) -> distributions.Distribution:
        mean, log_scale = self._mean_and_log_scale(params)
        return distributions.Normal(mean, log_scale.exp())

    def mean(self, params: Tensor) -> Tensor:
        """Return the means."""
        return self._split(params)[0]

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return means plus noise, each with its own standard deviation."""
        mean, log_scale = self._mean_and_log_scale(self._split(params.detach()))
        return mean + log_scale.exp() * _randn_like(mean, generator)

    def _mean_and_log_scale(self, params: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = params
        # Not held by a clamp: with the gradient passed on, the parameter would go on falling for ever.
        return mean, self.least + F.softplus(log_scale - self.least)


class DiscretizedLogistic(Likelihood):
    """Grey levels 0, 1/255, …, 1: a logistic distribution cut into 256 bins, the outer two reaching to ±∞.

    ``params``: the location on the scale of the data, then the log of the logistic's scale, which is held in
    [-8, 8]: from all in one bin to nearly flat. Salimans et al. 2017, PixelCNN++, section 2.1.
    """

    channels = 2

    def _log_prob_of_values(self, x: Tensor, params: Tensor) -> Tensor:
        location, log_scale = self._location_and_log_scale(params)
        width = 1 / (LEVELS_8_BIT - 1)
        upper = (x + width / 2 - location) * (-log_scale).exp()  # the bin's edges, standardized
        lower = (x - width / 2 - location) * (-log_scale).exp()
        below_upper, above_lower = F.logsigmoid(upper), F.logsigmoid(-lower)
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), without its cancellation.
        inside = below_upper + above_lower + torch.log(-torch.expm1(-width * (-log_scale).exp()))
        return torch.where(x < width / 2, below_upper, torch.where(x > 1 - width / 2, above_lower, inside))

    def _distribution_of_values(self, params: Tensor) -> distributions.Distribution:
        levels = [params.new_full(self.event_shape, j / (LEVELS_8_BIT - 1)) for j in range(LEVELS_8_BIT)]
        logits = torch.stack([self._log_prob_of_values(x, params) for x in levels], dim=-1)
        return distributions.Categorical(logits=logits)

    def mean(self, params: Tensor) -> Tensor:
        """Return the mean over the 256 levels, which the outer bins pull inwards."""
        location, log_scale = self._location_and_log_scale(self._split(params))
        steps = LEVELS_8_BIT - 1
        # E[x] = sum over levels j ≥ 1 of P(x ≥ level j) / 255; one level at a time, for the memory's sake.
        above = torch.zeros_like(location)
        for j in range(1, steps + 1):
            above = above + torch.sigmoid((location - (j - 0.5) / steps) * (-log_scale).exp())
        return above / steps

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return grey levels in [0, 1]."""
        location, log_scale = self._location_and_log_scale(self._split(params.detach()))
        u = torch.rand(location.shape, generator=generator, device=location.device, dtype=location.dtype)
        draw = location + log_scale.detach().exp() * torch.logit(u, eps=1e-7)
        return (draw.clamp(0, 1) * (LEVELS_8_BIT - 1)).round() / (LEVELS_8_BIT - 1)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` for values that are no multiple of 1/255 in [0, 1]."""
        super().check(x)
        self._check_levels(x, LEVELS_8_BIT)

    def _location_and_log_scale(self, params: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale = params
        return location, self._held(log_scale)

    @staticmethod
    def _held(log_scale: Tensor) -> Tensor:
        # The gradient passes as if nothing were held: a gradient of zero outside would leave no way back.
        return log_scale + (log_scale.clamp(-8, 8) - log_scale).detach()


class SharedDiscretizedLogistic(DiscretizedLogistic):
    """The discretized logistic with one scale for all values, learned. ``params``: the locations.

    A decoder cannot buy likelihood by a wide logistic where it is wrong: it has to come nearer. The scale
    belongs to the likelihood, as that of :class:`Gaussian` does. So in the code of Kingma et al. 2016.
    """

    channels = 1

    def __init__(self, event_shape: Sequence[int]):
        super().__init__(event_shape)
        self.log_scale = nn.Parameter(torch.tensor(0.0))

    def _location_and_log_scale(self, params: Tensor) -> tuple[Tensor, Tensor]:
        (location,) = params
        return location, self._held(self.log_scale)


class Categorical(Likelihood):
    """The values 0, 1/(levels-1), …, 1 with a free probability each. ``params``: unnormalized log p."""

    def __init__(self, event_shape: Sequence[int], levels: int = LEVELS_8_BIT):
        super().__init__(event_shape)
        if levels < 2:
            raise ValueError(f"a Categorical likelihood needs at least 2 levels, got {levels}.")
        self.channels = levels

    def _log_prob_of_values(self, x: Tensor, params: Tensor) -> Tensor:
        level = (x * (self.channels - 1)).round().long().expand(params.shape[1:])
        return params.log_softmax(0).gather(0, level.unsqueeze(0)).squeeze(0)

    def _distribution_of_values(self, params: Tensor) -> distributions.Distribution:
        return distributions.Categorical(logits=params.movedim(0, -1))

    def mean(self, params: Tensor) -> Tensor:
        """Return the mean over the levels."""
        probabilities = self._split(params).softmax(0)
        values = torch.linspace(0, 1, self.channels, device=params.device, dtype=params.dtype)
        return torch.einsum("l...,l->...", probabilities, values)

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return levels in [0, 1]."""
        probabilities = self._split(params.detach()).softmax(0).movedim(0, -1)
        level = torch.multinomial(probabilities.reshape(-1, self.channels), 1, generator=generator)
        return level.reshape(probabilities.shape[:-1]).to(params.dtype) / (self.channels - 1)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` for values that are none of the levels."""
        super().check(x)
        self._check_levels(x, self.channels)


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "pixel_gaussian": PixelGaussian,
    "discretized_logistic": DiscretizedLogistic,
    "shared_discretized_logistic": SharedDiscretizedLogistic,
    "categorical": Categorical,
}


def likelihood(name: str, event_shape: Sequence[int], sigma: float | None = None) -> Likelihood:
    """Return the likelihood called ``name`` (a key of ``LIKELIHOODS``) for data of ``event_shape``.

    ``sigma`` fixes the scale of "gaussian". Raises ``ValueError`` for an unknown name, offering the nearest
    ones, and a ``sigma`` for another likelihood.
    """
    chosen = choose("likelihood", name, LIKELIHOODS)
    if sigma is None:
        return chosen(event_shape)
    if chosen is not Gaussian:
        raise ValueError(f"sigma fixes the scale of likelihood='gaussian', and {name!r} was chosen.")
    return Gaussian(event_shape, sigma)


def _randn_like(x: Tensor, generator: Generator | None) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
