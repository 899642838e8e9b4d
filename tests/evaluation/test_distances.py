import math

import numpy as np
import pytest
import torch
from scipy import linalg
from sklearn.neighbors import NearestNeighbors
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.evaluation import frechet_distance, kernel_distance, precision_recall


def cloud(n, d=8, *, seed, shift=0.0, dtype=torch.float32):
    """n correlated, non-negative, skewed features: what a layer behind a ReLU puts out."""
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(99))
    z = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return (z @ mixing + 0.5 + shift).relu().to(dtype)


@pytest.fixture
def real():
    return cloud(400, seed=0)


@pytest.fixture
def other():
    return cloud(300, seed=1, shift=0.4)


class Features(torch.nn.Module):
    """Gives torchmetrics features in place of images."""

    num_features = 8

    def forward(self, x):
        return x


# --- the Fréchet distance


def test_the_frechet_distance_is_torchmetrics(real, other):
    oracle = FrechetInceptionDistance(feature=Features()).set_dtype(torch.float64)
    oracle.update(real.double(), real=True)
    oracle.update(other.double(), real=False)
    assert frechet_distance(real, other) == pytest.approx(oracle.compute().item(), rel=1e-3)


def test_the_frechet_distance_is_the_formula_with_the_matrix_root(real, other):
    x, y = real.double().numpy(), other.double().numpy()
    s, t = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)
    assert frechet_distance(real, other) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_of_two_gaussians_is_known():
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 2.0, 0.5])
    x = torch.randn(200_000, 3, generator=generator) * scale
    y = torch.randn(200_000, 3, generator=generator) * scale.flip(0) + torch.tensor([1.0, 0.0, -1.0])
    expected = 2 + ((scale - scale.flip(0)) ** 2).sum().item()  # commuting covariances
    assert frechet_distance(x, y) == pytest.approx(expected, abs=0.05)


def test_points_moved_all_alike_are_at_the_square_of_the_way(real):
    assert frechet_distance(real, real + 3) == pytest.approx(8 * 9, rel=1e-6)


def test_features_that_are_constant_or_copies_of_others_leave_the_distance_finite_and_right(real, other):
    def padded(x):
        return torch.cat([x, torch.zeros(len(x), 5), x[:, :1]], dim=1)

    assert frechet_distance(padded(real), padded(real)) == pytest.approx(0, abs=1e-6)
    x, y = padded(real).double().numpy(), padded(other).double().numpy()
    s, t = np.cov(x.T), np.cov(y.T)
    eigenvalues = np.clip(np.linalg.eigvals(s @ t).real, 0, None)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t) - 2 * np.sqrt(eigenvalues).sum()
    assert frechet_distance(padded(real), padded(other)) == pytest.approx(expected, rel=1e-6)


def test_a_small_distance_survives_a_large_mean():
    x = cloud(500, seed=0, dtype=torch.float64)
    y = x * 1.001
    moved = frechet_distance(x + 1e4, y + 1e4)
    assert moved == pytest.approx(frechet_distance(x, y), rel=1e-3)


def test_two_clouds_of_one_distribution_are_apart_the_less_the_larger_they_are():
    distances = [
        np.mean([frechet_distance(cloud(n, seed=s), cloud(n, seed=100 + s)) for s in range(10)])
        for n in (50, 200, 800)
    ]
    assert distances[0] > 2 * distances[1] > 4 * distances[2] > 0


@pytest.mark.parametrize(("n", "m", "which"), [(8, 50, "real"), (50, 8, "generated"), (50, 0, "generated")])
def test_too_few_examples_for_a_covariance_are_refused_with_the_number_needed(n, m, which):
    with pytest.raises(ValueError, match=rf"8 features needs at least 9 {which} examples.*rank"):
        frechet_distance(cloud(n, seed=0), cloud(m, seed=1))
    frechet_distance(cloud(9, seed=0), cloud(9, seed=1))


# --- the kernel distance


def test_the_kernel_distance_is_torchmetrics():
    x, y = cloud(300, seed=0, dtype=torch.float64), cloud(300, seed=1, shift=0.4, dtype=torch.float64)
    oracle = KernelInceptionDistance(feature=Features(), subsets=1, subset_size=300)
    oracle.update(x, real=True)
    oracle.update(y, real=False)
    assert kernel_distance(x, y).mean == pytest.approx(oracle.compute()[0].item(), rel=1e-3)


def test_the_kernel_distance_is_the_sum_over_all_pairs_of_different_examples():
    x, y = cloud(5, 2, seed=0, dtype=torch.float64), cloud(4, 2, seed=1, dtype=torch.float64)

    def k(a, b):
        return (float(a @ b) / 2 + 1) ** 3

    within = [
        np.mean([k(c[i], c[j]) for i in range(len(c)) for j in range(len(c)) if i != j]) for c in (x, y)
    ]
    expected = sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y).mean == pytest.approx(expected, rel=1e-12)


def leaving_one_out(x, y):
    """The jackknife's standard error by its definition."""
    variance = 0.0
    for cloud_, distance in ((x, lambda c: kernel_distance(c, y)), (y, lambda c: kernel_distance(x, c))):
        n = len(cloud_)
        rest = [distance(torch.cat([cloud_[:i], cloud_[i + 1 :]])).mean for i in range(n)]
        variance += (n - 1) / n * np.square(np.array(rest) - np.mean(rest)).sum()
    return math.sqrt(variance)


def test_the_error_of_the_kernel_distance_is_the_jackknife_of_both_clouds():
    x, y = cloud(30, 3, seed=0, dtype=torch.float64), cloud(20, 3, seed=1, shift=1, dtype=torch.float64)
    assert kernel_distance(x, y).standard_error == pytest.approx(leaving_one_out(x, y), rel=1e-9)


def test_the_kernel_distance_of_one_distribution_is_zero_on_average_whatever_the_sizes():
    estimates = [kernel_distance(cloud(20, 3, seed=s), cloud(50, 3, seed=1_000 + s)).mean for s in range(400)]
    assert_unbiased(estimates, 0.0)


def test_the_error_of_the_kernel_distance_is_its_spread_and_no_less():
    def spread_and_error(shift):
        results = [
            kernel_distance(cloud(60, 3, seed=s), cloud(60, 3, seed=1_000 + s, shift=shift))
            for s in range(300)
        ]
        return np.std([r.mean for r in results]), math.sqrt(np.mean([r.standard_error**2 for r in results]))

    spread, error = spread_and_error(shift=1.0)
    assert error == pytest.approx(spread, rel=0.25)
    spread, error = spread_and_error(shift=0.0)
    assert error > 0.9 * spread


def test_the_kernel_distance_needs_three_examples():
    with pytest.raises(ValueError, match="at least 3 generated examples, got 2"):
        kernel_distance(cloud(5, seed=0), cloud(2, seed=0))


# --- precision and recall


@pytest.mark.parametrize("k", [1, 3, 7])
def test_precision_and_recall_are_what_nearest_neighbours_say(real, other, k):
    def share(cloud_, points):
        cloud_, points = cloud_.double().numpy(), points.double().numpy()
        neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(cloud_)
        radius = neighbours.kneighbors()[0][:, -1]  # without arguments it leaves each example itself out
        distance = np.linalg.norm(points[:, None] - cloud_, axis=2)
        return (distance <= radius).any(1).mean()

    result = precision_recall(real, other, k=k)
    assert 0.2 < result.precision < 1
    assert result == pytest.approx((share(real, other), share(other, real)))


def test_the_chunks_leave_no_pair_out(monkeypatch, real, other):
    whole = (precision_recall(real, other), kernel_distance(real, other))
    monkeypatch.setattr("gm_lib.evaluation.distances._ROWS", 7)
    chunked = (precision_recall(real, other), kernel_distance(real, other))
    assert chunked[0] == whole[0]
    assert chunked[1].mean == pytest.approx(whole[1].mean, rel=1e-9)
    assert chunked[1].standard_error == pytest.approx(whole[1].standard_error, rel=1e-9)


def test_a_memorized_part_is_precise_and_recalls_little():
    real = cloud(600, seed=0)
    result = precision_recall(real, real[:30].repeat(20, 1))
    assert result == (1, 30 / 600)
    fresh = precision_recall(real, cloud(600, seed=1))
    assert fresh.precision < 1
    assert fresh.recall > 0.8


def test_few_examples_have_wide_balls_and_so_their_recall_says_little():
    real = cloud(600, seed=0)
    assert precision_recall(real, real[:30]).recall > 0.8


def test_copies_of_one_example_cover_only_their_like():
    real = cloud(300, seed=0)
    assert precision_recall(real, real[:1].repeat(50, 1)) == (1, 1 / 300)
    rounded = real[:1] * (1 + torch.finfo(torch.float32).eps)  # as a network gives them in another batch
    assert precision_recall(real, rounded.repeat(50, 1)) == (1, 1 / 300)


def test_far_away_examples_score_nothing(real):
    assert precision_recall(real, real + 100) == (0, 0)


def test_precision_and_recall_need_k_neighbours():
    with pytest.raises(ValueError, match="at least 4 generated examples are needed, got 3"):
        precision_recall(cloud(9, seed=0), cloud(3, seed=0))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        precision_recall(cloud(9, seed=0), cloud(9, seed=0), k=0)


# --- all of them


def measures(real, generated):
    kernel = kernel_distance(real, generated)
    return [
        frechet_distance(real, generated),
        kernel.mean,
        kernel.standard_error,
        *precision_recall(real, generated),
    ]


def test_a_cloud_is_at_no_distance_of_itself_with_full_precision_and_recall(real):
    frechet, kernel, _, *likeness = measures(real, real)
    assert frechet == pytest.approx(0, abs=1e-9)
    assert kernel <= 0  # unbiased, and here every example meets its double
    assert likeness == [1, 1]


def test_the_order_of_the_examples_does_not_matter(real, other):
    turned = measures(real.flip(0), other[torch.randperm(300, generator=torch.Generator().manual_seed(0))])
    assert turned == pytest.approx(measures(real, other), rel=1e-9)


def test_distances_are_symmetric_and_precision_is_recall_the_other_way_round(real, other):
    forth, back = measures(real, other), measures(other, real)
    assert back[:3] == pytest.approx(forth[:3], rel=1e-9)
    assert back[3:] == forth[:2:-1]


def test_nothing_is_drawn_at_random_and_no_gradient_is_kept(real, other):
    state = torch.get_rng_state()
    first = measures(real, other.requires_grad_())
    assert first == measures(real, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, precision_recall])
def test_what_is_no_pair_of_feature_matrices_is_refused(measure, real):
    with pytest.raises(ValueError, match=r"real features must have the shape \(n, d\).*got \(400, 8, 1\)"):
        measure(real[..., None], real)
    with pytest.raises(ValueError, match=r"generated features must have the shape .*got \(8,\)"):
        measure(real, real[0])
    with pytest.raises(ValueError, match="real examples have 8 features and generated ones 7"):
        measure(real, real[:, :7])
    for value in (math.nan, math.inf):
        bad = real.clone()
        bad[3, 2] = value
        with pytest.raises(ValueError, match="generated features hold NaN or infinite"):
            measure(real, bad)


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, precision_recall])
def test_arrays_lists_and_tensors_with_a_graph_are_as_far_apart(measure):
    real, other = cloud(30, seed=0), cloud(30, seed=1)
    expected = measure(real, other)
    assert measure(real.numpy(), other.tolist()) == expected
    assert measure(real.clone().requires_grad_(), other.clone().requires_grad_()) == expected
    with pytest.raises(TypeError, match="numbers are needed"):
        measure(["a"], other)
