"""Distributions on the plane whose density is known exactly: what a model learns of them can be checked.

Each function returns a ``torch.distributions.Distribution`` with event shape (2,): ``sample((n,))`` gives
(n, 2) and ``log_prob`` of (n, 2) gives (n,), in nats. Draws come from PyTorch's global generator, like
those of all its distributions.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal, constraints

from gm_lib.system.choose import choose

_Shape = torch.Size | list[int] | tuple[int, ...]
_ONE = torch.Size()


def eight_gaussians() -> Distribution:
    """Eight equally likely Gaussians (σ = 0.1) spaced evenly on the circle of radius 2."""
    angle = torch.arange(8) * (math.pi / 4)
    return _equal_gaussians(_polar(torch.tensor(2.0), angle), scale=0.1)


def gaussian_grid(side: int = 5) -> Distribution:
    """``side``² equally likely Gaussians (σ = 0.05) on a square grid of spacing 2 around the origin.

    With ``side=5`` the customary test for dropped modes: a sample is good within 3σ of a centre, and a mode
    is covered when it has a good sample.
    """
    ticks = 2.0 * torch.arange(side) - (side - 1)
    return _equal_gaussians(torch.cartesian_prod(ticks, ticks), scale=0.05)


def two_moons() -> Distribution:
    """Two interleaved half circles of radius 1, blurred by σ = 0.1.

    The curves are those of scikit-learn's ``make_moons``, (cos t, sin t) and (1 - cos t, ½ - sin t) with
    0 < t < π. Each is a mixture of 32 Gaussians a tenth apart, so close that the ridge between them is flat.
    """
    angle = (torch.arange(32) + 0.5) * (math.pi / 32)
    upper = _polar(torch.tensor(1.0), angle)
    lower = torch.tensor([1.0, 0.5]) - upper
    return _equal_gaussians(torch.cat([upper, lower]), scale=0.1)


def spiral() -> Distribution:
    """A spiral of two turns out to the radius 3, blurred by σ = 0.1 and equally likely along its length.

    A mixture of 200 Gaussians on the Archimedean spiral r = 3 t / 4π, 0 < t < 4π. They are spaced evenly in
    t², which away from the centre is evenly along the curve.
    """
    turn = ((torch.arange(200) + 0.5) / 200).sqrt() * (4 * math.pi)
    return _equal_gaussians(_polar(3.0 * turn / (4 * math.pi), turn), scale=0.1)


def checkerboard() -> Distribution:
    """Uniform on the eight dark squares of a 4×4 board that covers [-2, 2]²: jumps and holes."""
    return _Checkerboard()


class _Checkerboard(Distribution):
    """The uniform distribution of :func:`checkerboard`: dark squares are those with an even corner sum."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 (torch's own declare it so)
    support = constraints.independent(constraints.real, 1)

    def __init__(self) -> None:
        super().__init__(event_shape=torch.Size([2]))

    def sample(self, sample_shape: _Shape = _ONE) -> Tensor:
        """Choose one of the eight squares, then a point of it: (*sample_shape, 2)."""
        column = torch.randint(4, tuple(sample_shape))
        row = 2 * torch.randint(2, tuple(sample_shape)) + column % 2
        within = torch.rand(*sample_shape, 2).clamp(max=1 - 2**-22)  # rounding must not carry it over an edge
        return torch.stack([column, row], dim=-1) - 2 + within

    def log_prob(self, value: Tensor) -> Tensor:
        """Return -log 8 on a dark square (their area is 8) and -∞ elsewhere; (..., 2) → (...)."""
        if self._validate_args:
            self._validate_sample(value)
        corner = value.floor()
        on_board = ((corner >= -2) & (corner <= 1)).all(dim=-1)
        dark = corner.sum(dim=-1) % 2 == 0
        return (on_board & dark).to(value.dtype).log() - math.log(8.0)


def _equal_gaussians(means: Tensor, scale: float) -> Distribution:
    """Return the mixture of round Gaussians of the width ``scale`` at ``means`` (k, 2), equally likely."""
    components = Independent(Normal(means, torch.full_like(means, scale)), 1)
    return MixtureSameFamily(Categorical(torch.ones(len(means))), components)


def _polar(radius: Tensor, angle: Tensor) -> Tensor:
    """Return the points (k, 2) at ``radius`` () or (k,) and ``angle`` (k,)."""
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)


TOYS: dict[str, Callable[[], Distribution]] = {
    "eight_gaussians": eight_gaussians,
    "gaussian_grid": gaussian_grid,
    "two_moons": two_moons,
    "spiral": spiral,
    "checkerboard": checkerboard,
}


def toy(name: str) -> Distribution:
    """Return the distribution called ``name`` in ``TOYS``; ``ValueError`` with near names otherwise."""
    return choose("toy distribution", name, TOYS)()
