"""What the decoder's numbers mean: p(x | params) as an object that knows its kind of data.

Shapes, for data of ``event_shape`` = (C, *rest):

* ``x``: (*batch, C, *rest)
* ``params``, the decoder's raw unbounded output: (*lead, channels · C, *rest), with ``channels`` parameters
  for each data value, the first parameter of all values first. (*batch) broadcasts to (*lead).
* ``log_prob``: (*lead,), one number per example in nats, summed over all its values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from gm_lib.choose import choose

LEVELS_8_BIT = 256


class Likelihood(nn.Module):
    """A conditional distribution of data given a decoder's output. See the module's docstring for shapes."""

    channels: int = 1

    def __init__(self, event_shape: Sequence[int]):
        super().__init__()
        self.event_shape = tuple(event_shape)

    @property
    def params_shape(self) -> tuple[int, ...]:
        """The shape (channels · C, *rest) that a decoder must put out for one example."""
        first, *rest = self.event_shape
        return (self.channels * first, *rest)

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return log p(x | params) per example in nats: (*lead,)."""
        return self._log_prob_of_values(x, self._split(params)).flatten(-len(self.event_shape)).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """Return E[x | params]: (*lead, *event_shape)."""
        raise NotImplementedError

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return one draw from p(x | params), every value on its own: (*lead, *event_shape). No gradient."""
        raise NotImplementedError

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless ``x`` is this likelihood's kind of data. Reads the values."""
        if tuple(x.shape[-len(self.event_shape) :]) != self.event_shape or x.numel() == 0:
            raise ValueError(
                f"{self._name} expects data of shape (n, {', '.join(map(str, self.event_shape))}), "
                f"got {tuple(x.shape)}."
            )
        if not x.is_floating_point():
            raise ValueError(
                f"{self._name} expects floating-point data, got {x.dtype}: convert with x.float()."
            )
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"{self._name} expects finite data, got NaN or infinity.")

    def _log_prob_of_values(self, x: Tensor, params: Tensor) -> Tensor:
        """Return log p of every data value, (*lead, *event_shape), from params split by :meth:`_split`."""
        raise NotImplementedError

    def _split(self, params: Tensor) -> Tensor:
        """Move ``channels`` to the front: (*lead, channels · C, *rest) → (channels, *lead, *event_shape)."""
        lead = params.shape[: params.ndim - len(self.event_shape)]
        return params.reshape(*lead, self.channels, *self.event_shape).movedim(len(lead), 0)

    def _check_levels(self, x: Tensor, levels: int) -> None:
        """Raise unless ``x`` holds only the values 0, 1/(levels-1), …, 1."""
        steps = x * (levels - 1)
        on_a_level = (steps - steps.round()).abs() < 1e-3
        if not bool((on_a_level & (x >= 0) & (x <= 1)).all()):
            raise ValueError(
                f"{self._name} expects the {levels} levels 0, 1/{levels - 1}, …, 1; got other values between "
                f"{float(x.min()):.3g} and {float(x.max()):.3g}: scale to [0, 1], then round with "
                f"(x * {levels - 1}).round() / {levels - 1}."
            )

    @property
    def _name(self) -> str:
        return f"the {type(self).__name__} likelihood"


class Bernoulli(Likelihood):
    """Binary pixels. ``params`` are logits: p(x = 1) = sigmoid(params). Probabilities in nats."""

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return log p(x | params) per example in nats: (*lead,)."""
        # The sign comes last, when there is one number an example: each pass over all pixels counts here.
        values = F.binary_cross_entropy_with_logits(params, x.expand_as(params), reduction="none")
        return -values.flatten(-len(self.event_shape)).sum(-1)

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
    """Real values with one learned standard deviation for all. ``params`` are the means.

    log p is a density: in nats, but not comparable with the nats of the discrete likelihoods.
    """

    def __init__(self, event_shape: Sequence[int]):
        super().__init__(event_shape)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def _log_prob_of_values(self, x: Tensor, params: Tensor) -> Tensor:
        (mean,) = params
        standardized = (x - mean) * (-self.log_scale).exp()
        return -0.5 * standardized**2 - self.log_scale - 0.5 * math.log(2 * math.pi)

    def mean(self, params: Tensor) -> Tensor:
        """Return the means."""
        return self._split(params)[0]

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return means plus noise of the learned standard deviation."""
        mean = self.mean(params).detach()
        return mean + self.log_scale.detach().exp() * _randn_like(mean, generator)


class DiscretizedLogistic(Likelihood):
    """Grey levels 0, 1/255, …, 1: a logistic distribution cut into 256 bins, the outer two reaching to ±∞.

    ``params``: the location on the scale of the data, then the log of the logistic's scale, which is held in
    [-8, 8]: from all in one bin to as good as flat. Salimans et al. 2017, PixelCNN++, section 2.1.
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

    def mean(self, params: Tensor) -> Tensor:
        """Return the mean over the 256 levels, which the outer bins pull inwards."""
        location, log_scale = self._location_and_log_scale(self._split(params))
        steps = LEVELS_8_BIT - 1
        # E[x] = sum over levels j ≥ 1 of P(x ≥ level j) / 255; one level at a time, for the memory's sake.
        above = [
            torch.sigmoid((location - (j - 0.5) / steps) * (-log_scale).exp()) for j in range(1, steps + 1)
        ]
        return torch.stack(above).sum(0) / steps

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return grey levels in [0, 1]."""
        location, log_scale = self._location_and_log_scale(self._split(params.detach()))
        u = torch.rand(location.shape, generator=generator, device=location.device, dtype=location.dtype)
        draw = location + log_scale.exp() * torch.logit(u, eps=1e-7)
        return (draw.clamp(0, 1) * (LEVELS_8_BIT - 1)).round() / (LEVELS_8_BIT - 1)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` for values that are no multiple of 1/255 in [0, 1]."""
        super().check(x)
        self._check_levels(x, LEVELS_8_BIT)

    @staticmethod
    def _location_and_log_scale(params: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale = params
        return location, log_scale.clamp(-8, 8)


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
    "discretized_logistic": DiscretizedLogistic,
    "categorical": Categorical,
}


def likelihood(name: str, event_shape: Sequence[int]) -> Likelihood:
    """Return the likelihood called ``name`` (a key of ``LIKELIHOODS``) for data of ``event_shape``.

    Raises ``ValueError`` for an unknown name, offering the nearest ones.
    """
    return choose("likelihood", name, LIKELIHOODS)(event_shape)


def _randn_like(x: Tensor, generator: Generator | None) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
