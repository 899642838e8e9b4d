"""What the decoder's numbers mean: p(x | params) as an object that knows its kind of data.

Shapes, for data of ``event_shape`` = (C, *rest):

* ``x``: (*batch, C, *rest)
* ``params``, the decoder's raw unbounded output: (*lead, channels · C, *rest), with ``channels`` parameters
  for each data value, the first parameter of all values first. (*batch) broadcasts to (*lead).
* ``log_prob``: (*lead,), one number per example in nats, summed over all its values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, distributions, nn


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

    def distribution(self, params: Tensor) -> distributions.Distribution:
        """Return p(x | params) as torch knows it, for entropies and the like: batch (*lead,), event as x.

        Where data are levels 0, 1/(levels-1), …, 1, it is that of their numbers 0, 1, …, levels - 1.
        """
        of_values = self._distribution_of_values(self._split(params))
        return distributions.Independent(of_values, len(self.event_shape))

    def mean(self, params: Tensor) -> Tensor:
        """Return E[x | params]: (*lead, *event_shape)."""
        raise NotImplementedError

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return one draw from p(x | params), every value on its own: (*lead, *event_shape). No gradient."""
        raise NotImplementedError

    def check(self, x: Tensor) -> None:
        """Raise unless ``x`` (n, *event_shape) is this likelihood's kind of data. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for all else.
        """
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{self._name} expects a torch.Tensor, not {type(x).__name__}; torch.as_tensor may help."
            )
        if tuple(x.shape[1:]) != self.event_shape or x.numel() == 0:
            alone = " x[None] makes a batch of one example." if x.shape == self.event_shape else ""
            raise ValueError(
                f"{self._name} expects data of shape (n, {', '.join(map(str, self.event_shape))}), "
                f"got {tuple(x.shape)}.{alone}"
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

    def _distribution_of_values(self, params: Tensor) -> distributions.Distribution:
        """Return the distribution of every data value, batch (*lead, *event_shape), from split params."""
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
