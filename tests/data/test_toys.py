import math

import pytest
import torch
from sklearn.datasets import make_moons
from torch.distributions import Distribution

from gm_lib.data import TOYS, toy
from gm_lib.data.toys import gaussian_grid
from gm_lib.runtime import forked_rng

SIDE = 5.0  # all mass, but for what Gaussians leave beyond ten σ, lies in [-SIDE, SIDE]²
CELL = 0.25  # side of the cells in which samples are counted; a divisor of the checkerboard's squares
FINE = 6  # points per cell and axis at which the density is summed: closer than the smallest σ, 0.05


@pytest.fixture(params=sorted(TOYS), scope="module")
def distribution(request: pytest.FixtureRequest) -> Distribution:
    return toy(request.param)


@pytest.fixture(scope="module")
def cell_probabilities(distribution: Distribution) -> torch.Tensor:
    """The integral of the density over each cell, by the midpoint rule: (cells, cells)."""
    step = CELL / FINE
    axis = torch.arange(-SIDE + step / 2, SIDE, step)
    points = torch.cartesian_prod(axis, axis)
    density = torch.cat([distribution.log_prob(part).exp() for part in points.split(20_000)])
    cells = len(axis) // FINE
    return density.double().reshape(cells, FINE, cells, FINE).sum(dim=(1, 3)) * step**2


def test_the_density_integrates_to_one(cell_probabilities: torch.Tensor) -> None:
    assert cell_probabilities.sum().item() == pytest.approx(1, abs=1e-4)


def test_samples_agree_with_the_density(distribution: Distribution, cell_probabilities: torch.Tensor) -> None:
    """Pearson's χ² over the cells has mean k and variance 2k for k degrees of freedom."""
    n = 40_000
    with forked_rng(0):
        column, row = ((distribution.sample((n,)) + SIDE) / CELL).floor().long().unbind(-1)
    probability = cell_probabilities.flatten()
    cells = math.isqrt(len(probability))
    count = torch.bincount(column * cells + row, minlength=cells**2).double()
    usual = n * probability >= 5  # the χ² approximation needs some; the rest is counted together
    observed = torch.cat([count[usual], count[~usual].sum().view(1)])
    expected = n * torch.cat([probability[usual], probability[~usual].sum().view(1)])
    if expected[-1] < 5:
        assert observed[-1] < 25
        observed, expected = observed[:-1], expected[:-1]
    chi2 = ((observed - expected) ** 2 / expected).sum().item()
    freedom = len(expected) - 1
    assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom)


def test_shapes_are_those_of_torch_distributions(distribution: Distribution) -> None:
    assert distribution.event_shape == (2,)
    assert distribution.sample().shape == (2,)
    assert distribution.sample((3, 4)).shape == (3, 4, 2)
    assert distribution.log_prob(torch.zeros(3, 4, 2)).shape == (3, 4)


def test_the_grid_has_its_modes_on_even_numbers_around_the_origin() -> None:
    centres = gaussian_grid(side=3).component_distribution.mean  # type: ignore[attr-defined]
    assert sorted(map(tuple, centres.tolist())) == [
        (x, y) for x in (-2.0, 0.0, 2.0) for y in (-2.0, 0.0, 2.0)
    ]


def test_the_moons_lie_where_scikit_learn_draws_them() -> None:
    curve = torch.from_numpy(make_moons(200, noise=None)[0]).float()
    distribution = toy("two_moons")
    along = distribution.log_prob(curve)
    # Half of the mass is spread over each arc of length π: across it, a normal density of σ = 0.1.
    ridge = math.log(0.5 / math.pi / (math.sqrt(2 * math.pi) * 0.1))
    assert along.median().item() == pytest.approx(ridge, abs=0.02)
    assert along.min().item() > ridge - 1  # the ends of an arc have half the density


def test_the_light_squares_of_the_checkerboard_are_impossible() -> None:
    board = toy("checkerboard")
    light = torch.tensor([[-1.5, -0.5], [0.5, 1.5], [2.5, 0.5], [-2.5, -1.5]])
    assert board.log_prob(light).tolist() == [-math.inf] * 4
    assert board.log_prob(torch.tensor([0.5, 0.5])).item() == pytest.approx(-math.log(8))


def test_an_unknown_toy_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown toy distribution 'spirals'; did you mean 'spiral'"):
        toy("spirals")
