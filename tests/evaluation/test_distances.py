import math

import numpy as np
import pytest
import torch
from scipy import linalg
from sklearn.neighbors import NearestNeighbors
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.evaluation import density_coverage, frechet_distance, kernel_distance, precision_recall


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

    assert frechet_distance(padded(real), padded(real) + 1e-6) == pytest.approx(0, abs=1e-6)
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
        precision_recall(cloud(9, seed=0), cloud(9, seed=1), k=0)


# --- density and coverage


def balls(x, y, k):
    """Which generated examples lie in which real examples' balls, by scikit-learn: bool (n, m)."""
    x, y = x.double().numpy(), y.double().numpy()
    radius = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(x).kneighbors()[0][:, -1]
    return np.linalg.norm(x[:, None] - y, axis=2) <= radius[:, None]


@pytest.mark.parametrize("k", [1, 5, 9])
def test_density_and_coverage_are_what_nearest_neighbours_say(real, other, k):
    inside, result = balls(real, other, k), density_coverage(real, other, k=k)
    assert result.density == pytest.approx(inside.sum() / (k * 300), rel=1e-12)
    assert result.coverage == pytest.approx(inside.any(1).mean(), rel=1e-12)
    assert 0.1 < result.coverage < 1
    assert (result.k, result.n_real, result.n_generated) == (k, 400, 300)


@pytest.mark.parametrize(("n", "m", "d", "k"), [(60, 60, 2, 5), (80, 30, 10, 3), (40, 90, 100, 5)])
def test_a_perfect_generator_has_density_1_and_the_coverage_stated(n, m, d, k):
    def gaussian(count, seed):
        return torch.randn(count, d, generator=torch.Generator().manual_seed(seed))

    found = [density_coverage(gaussian(n, s), gaussian(m, 10_000 + s), k=k) for s in range(400)]
    assert_unbiased([r.density for r in found], 1.0)
    assert_unbiased([r.coverage for r in found], found[0].coverage_perfect)


def test_the_perfect_coverage_is_about_1_minus_2_to_the_minus_k_for_equal_sizes():
    x, y = torch.randn(2, 1500, 2, generator=torch.Generator().manual_seed(0))
    # Identical Gaussians with k = 5: 0.969.
    assert density_coverage(x, y).coverage_perfect == pytest.approx(1 - 2**-5, abs=1e-3)
    assert density_coverage(x, y).coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_of_one_gaussian_twice_all_four_are_what_the_reference_implementation_prints():
    # Naeem et al. 2020: 10,000 points each in 1,000 dimensions, k = 5, one draw. Precision and recall are
    # far from 1 though nothing is to be told apart.
    x, y = torch.randn(2, 10_000, 1000, generator=torch.Generator().manual_seed(0))
    balls, counted = precision_recall(x, y, k=5), density_coverage(x, y, k=5)
    assert balls.precision == pytest.approx(0.4772, abs=0.03)
    assert balls.recall == pytest.approx(0.4705, abs=0.03)
    assert counted.density == pytest.approx(1.0555, abs=0.1)
    assert counted.coverage == pytest.approx(0.9735, abs=0.01)


def test_the_perfect_coverage_of_few_examples_is_the_share_of_orders_in_which_one_is_covered():
    # Of 5 real neighbours and m generated ones the k nearest are all real in C(5, k) of C(5 + m, k) cases.
    for m, k in ((1, 1), (1, 5), (2, 3)):
        result = density_coverage(cloud(6, seed=0), cloud(m, seed=1), k=k)
        assert result.coverage_perfect == pytest.approx(1 - math.comb(5, k) / math.comb(5 + m, k), rel=1e-12)


def test_one_outlier_raises_precision_for_all_and_density_hardly():
    real = cloud(300, seed=0)
    far = torch.cat([real, real[:1] + 1000])  # with a ball that reaches over everything
    made = real + 100 + cloud(300, seed=5)
    assert precision_recall(real, made).precision == 0
    assert precision_recall(far, made).precision == 1
    assert density_coverage(far, made).density == pytest.approx(1 / 5)
    assert density_coverage(far, made).coverage == pytest.approx(1 / 301)


def test_a_generator_of_some_modes_keeps_its_density_and_loses_coverage():
    def modes(n, seed, number):
        generator = torch.Generator().manual_seed(seed)
        where = torch.randint(number, (n, 1), generator=generator)
        return 100.0 * where + torch.randn(n, 2, generator=generator)

    real = modes(600, 0, 4)
    dropper, perfect = density_coverage(real, modes(600, 1, 2)), density_coverage(real, modes(600, 1, 4))
    assert dropper.density == pytest.approx(perfect.density, abs=0.15)
    assert dropper.coverage == pytest.approx(0.5, abs=0.06)
    assert perfect.coverage > 0.93


def test_copies_lie_in_their_own_balls_however_the_features_are_rounded():
    real = cloud(300, seed=0)
    copies = (real[:1] * (1 + torch.finfo(torch.float32).eps)).repeat(50, 1)
    doubled = torch.cat([real, real])  # every ball has no radius
    assert density_coverage(doubled, copies, k=1).coverage == 2 / 600


def test_density_and_coverage_need_k_neighbours_among_the_real_ones_alone():
    with pytest.raises(ValueError, match="at least 6 real examples are needed, got 5"):
        density_coverage(cloud(5, seed=0), cloud(9, seed=1))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        density_coverage(cloud(9, seed=0), cloud(9, seed=1), k=0)
    with pytest.raises(ValueError, match="at least 1 generated example"):
        density_coverage(cloud(9, seed=0), torch.zeros(0, 8))
    assert density_coverage(cloud(9, seed=0), cloud(1, seed=1)).n_generated == 1


def test_density_and_coverage_print_a_table_beside_what_is_perfect(real, other):
    result = density_coverage(real, other)
    lines = str(result).splitlines()
    assert lines[0].split() == ["300", "generated", "these", "perfect"]
    assert lines[1].split() == ["density", f"{result.density:.3f}", "1.000"]
    assert lines[2].split() == ["coverage", f"{result.coverage:.1%}", f"{result.coverage_perfect:.1%}"]
    assert result.as_dict()["coverage"] == result.coverage


# --- all of them


def measures(real, generated):
    kernel = kernel_distance(real, generated)
    return [
        frechet_distance(real, generated),
        kernel.mean,
        kernel.standard_error,
        *precision_recall(real, generated),
    ]


EVERY = [frechet_distance, kernel_distance, precision_recall, density_coverage]


def test_a_cloud_is_at_no_distance_of_its_like_with_full_precision_and_recall(real):
    real = real.double()
    frechet, kernel, _, *likeness = measures(real, real + 1e-9)
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


@pytest.mark.parametrize("measure", EVERY)
def test_a_cloud_compared_with_itself_is_refused_in_any_order_and_form(measure, real):
    shuffled = real[torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    for same in (real, real.clone(), real.double().numpy(), shuffled):
        with pytest.raises(ValueError, match="real examples and the generated ones are the same 400 rows"):
            measure(real, same)
    measure(real, torch.cat([real[:-1], real[:1]]))  # one row in another's place


def test_plus_and_minus_zero_are_the_same():
    x = torch.zeros(9, 1)
    x[5:] = 1
    with pytest.raises(ValueError, match="same 9 rows"):
        kernel_distance(x, torch.where(x == 0, -0.0, x))


@pytest.mark.parametrize("measure", EVERY)
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


@pytest.mark.parametrize("measure", EVERY)
def test_arrays_lists_and_tensors_with_a_graph_are_as_far_apart(measure):
    real, other = cloud(30, seed=0), cloud(30, seed=1)
    expected = measure(real, other)
    assert measure(real.numpy(), other.tolist()) == expected
    assert measure(real.clone().requires_grad_(), other.clone().requires_grad_()) == expected
    with pytest.raises(TypeError, match="numbers are needed"):
        measure(["a"], other)
