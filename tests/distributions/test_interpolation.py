"""The path between two codes: its ends, its distribution, and what it refuses."""

import pytest
import torch
from scipy.spatial import geometric_slerp

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.distributions.interpolation import slerp, variance_preserving_path
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
        (torch.zeros(2), torch.zeros(1, 1), "a number or a vector"),
        (torch.zeros(2), torch.tensor([0.5, 1.5]), "from 0 to 1"),
        (torch.zeros(2), torch.tensor([float("nan")]), "from 0 to 1"),
    ],
)
@pytest.mark.parametrize("way", [slerp, variance_preserving_path])
def test_what_makes_no_path_is_refused(way, other, t, message):
    with pytest.raises(ValueError, match=message):
        way(torch.zeros(2), other, t)


@pytest.mark.parametrize("way", [slerp, variance_preserving_path])
def test_a_vector_of_steps_gives_a_path_and_a_number_one_of_its_points(way):
    with forked_rng(seed=3):
        z0, z1 = torch.randn(2, 4, 5)
    t = torch.linspace(0, 1, 5)  # as many steps as latent dimensions, which must not meet each other
    path = way(z0, z1, t)
    assert path.shape == (5, 4, 5)
    for step, point in zip(t, path, strict=True):
        torch.testing.assert_close(way(z0, z1, step), point)
        torch.testing.assert_close(way(z0, z1, step.item()), point)


@pytest.mark.parametrize("apart", [0.0, 1e-8, 1e-6, 1e-4, 1e-2])
def test_slerp_between_equal_or_nearly_equal_ends_stays_between_them_and_has_a_gradient(apart):
    with forked_rng(seed=4):
        z0 = torch.randn(2000, 32, requires_grad=True)
        z1 = z0.detach() + apart * torch.randn(2000, 32)
    point = slerp(z0, z1, 0.3)
    torch.testing.assert_close(point, 0.7 * z0 + 0.3 * z1, atol=1e-4, rtol=1e-4)
    (gradient,) = torch.autograd.grad(point.sum(), z0)
    torch.testing.assert_close(gradient, torch.full_like(gradient, 0.7), atol=1e-2, rtol=0)


@pytest.mark.parametrize("apart", [0.0, 1e-6, 1e-4, 1e-2])
def test_slerp_between_nearly_opposite_ends_does_not_leave_the_shell_for_the_outside(apart):
    with forked_rng(seed=5):
        z0 = torch.randn(2000, 32, requires_grad=True)
        z1 = -z0.detach() + apart * torch.randn(2000, 32)
    point = slerp(z0, z1, 0.3)
    assert (point.norm(dim=1) < 1.6 * z0.norm(dim=1)).all()
    (gradient,) = torch.autograd.grad(point.sum(), z0)
    assert gradient.isfinite().all()


def test_nearly_opposite_ends_of_one_length_are_joined_by_the_half_circle_between_them():
    angle = torch.tensor(3.14)
    z0, z1 = torch.tensor([2.0, 0.0]), 2 * torch.stack([angle.cos(), angle.sin()])
    middle = 2 * torch.stack([(angle / 2).cos(), (angle / 2).sin()])
    torch.testing.assert_close(slerp(z0, z1, 0.5), middle, atol=1e-2, rtol=0)


@pytest.mark.parametrize("end", [torch.zeros(3), torch.ones(3)])
def test_from_the_origin_there_is_no_arc_and_slerp_goes_straight(end):
    z0 = torch.zeros(3, requires_grad=True)
    point = slerp(z0, end, 0.25)
    torch.testing.assert_close(point, 0.25 * end)
    torch.testing.assert_close(torch.autograd.grad(point.sum(), z0)[0], torch.full((3,), 0.75))


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
