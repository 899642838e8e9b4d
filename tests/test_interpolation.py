"""The path between two codes: its ends, its distribution, and what it refuses."""

import pytest
import torch
from scipy.spatial import geometric_slerp

from gm_lib.evaluation import assert_unbiased
from gm_lib.interpolation import slerp, variance_preserving_path
from gm_lib.runtime import forked_rng


def test_the_path_begins_and_ends_at_its_ends():
    z0, z1 = torch.tensor([[1.0, 2.0]]), torch.tensor([[-3.0, 0.5]])
    path = variance_preserving_path(z0, z1, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(path, torch.stack([z0, z1]), atol=1e-6, rtol=0)


def test_orthogonal_ends_of_one_length_are_joined_by_the_great_circle_at_constant_speed():
    z0, z1 = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    path = variance_preserving_path(z0, z1, torch.linspace(0, 1, 7))
    torch.testing.assert_close(path.norm(dim=1), torch.full((7,), 2.0))
    steps = path.diff(dim=0).norm(dim=1)
    torch.testing.assert_close(steps, steps[:1].expand(6))


def test_every_point_of_a_path_between_normal_draws_has_mean_zero_and_variance_one():
    with forked_rng(seed=0):
        z0, z1 = torch.randn(2, 20_000, 3)
    for point in variance_preserving_path(z0, z1, torch.linspace(0, 1, 5)):
        assert_unbiased(point, 0.0)
        assert_unbiased(point**2, 1.0)
        assert_unbiased(point[:, 0] * point[:, 1], 0.0)


@pytest.mark.parametrize(
    ("other", "t", "message"),
    [
        (torch.zeros(3), torch.tensor([0.5]), r"one shape, got \(2,\) and \(3,\)"),
        (torch.zeros(2), torch.tensor(0.5), "t must be a vector"),
        (torch.zeros(2), torch.tensor([0.5, 1.5]), "from 0 to 1"),
        (torch.zeros(2), torch.tensor([float("nan")]), "from 0 to 1"),
    ],
)
def test_what_makes_no_path_is_refused(other, t, message):
    with pytest.raises(ValueError, match=message):
        variance_preserving_path(torch.zeros(2), other, t)


def test_on_the_unit_sphere_slerp_is_that_of_scipy():
    with forked_rng(seed=1):
        z0, z1 = torch.nn.functional.normalize(torch.randn(2, 5, dtype=torch.float64), dim=1)
    for t in (0.0, 0.3, 0.5, 1.0):
        expected = torch.from_numpy(geometric_slerp(z0.numpy(), z1.numpy(), t))
        torch.testing.assert_close(slerp(z0, z1, t), expected)


def test_slerp_goes_row_by_row_and_refuses_other_shapes():
    with forked_rng(seed=2):
        z0, z1 = torch.randn(2, 4, 3)
    rows = torch.stack([slerp(a, b, 0.4) for a, b in zip(z0, z1, strict=True)])
    torch.testing.assert_close(slerp(z0, z1, 0.4), rows)
    with pytest.raises(ValueError, match="both ends need one shape"):
        slerp(z0, z1[:2], 0.4)
