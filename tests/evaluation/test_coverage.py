import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from gm_lib.data import TOYS, toy
from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.evaluation import expected_histogram_kl, mode_coverage, stacked_mode_coverage
from gm_lib.evaluation.coverage import histogram_kl
from gm_lib.runtime import forked_rng

GRID = toy("gaussian_grid")
CENTRES = GRID.component_distribution.mean


def draws(mixture, n, seed=0):
    with forked_rng(seed):
        return mixture.sample((n,))


# --- mixtures of Gaussians


def test_samples_of_the_mixture_itself_score_its_floors():
    report = mode_coverage(draws(GRID, 5_000), GRID)
    assert report.good_floor == pytest.approx(1 - math.exp(-4.5))  # in the plane
    assert report.good == pytest.approx(report.good_floor, abs=4 * math.sqrt(0.011 / 5_000))
    assert (report.covered, report.modes, report.n) == (25, 25, 5_000)
    assert report.covered_floor == pytest.approx(25)
    assert 0 < report.kl < 2 * report.kl_floor


def test_a_sampler_that_dropped_modes_covers_fewer_and_its_histogram_is_farther():
    some = draws(GRID, 5_000)
    kept = some[some[:, 0] < 1]  # two of five columns are gone
    report = mode_coverage(kept, GRID)
    assert report.covered == 15
    assert report.good > 0.98
    assert report.kl == pytest.approx(math.log(25 / 15), abs=0.01)


def test_a_collapsed_sampler_covers_one_mode():
    report = mode_coverage(CENTRES[:1].repeat(100, 1), GRID)
    assert (report.good, report.covered) == (1, 1)
    assert report.kl == pytest.approx(math.log(25))


def test_samples_between_the_modes_are_not_good_and_cover_nothing():
    report = mode_coverage(CENTRES + torch.tensor([0.5, 0.0]), GRID)
    assert (report.good, report.covered) == (0, 0)
    assert report.kl == pytest.approx(0)  # the nearest mode of each is another one: the proportions are right


def test_good_is_within_three_standard_deviations_and_not_beyond():
    step = torch.tensor([[2.999 * 0.05, 0.0]]), torch.tensor([[3.001 * 0.05, 0.0]])
    assert [mode_coverage(CENTRES + s, GRID).good for s in step] == [1, 0]
    assert mode_coverage(CENTRES + step[1], GRID, radius=4).good == 1


def test_each_mode_is_measured_in_its_own_standard_deviations():
    wide_and_narrow = MixtureSameFamily(
        Categorical(torch.tensor([0.8, 0.2])),
        Independent(
            Normal(torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([[2.0, 1.0], [0.1, 0.1]])), 1
        ),
    )
    points = torch.tensor([[5.9, 0.0], [0.0, 3.1], [10.2, 0.0], [10.0, 0.4]])
    report = mode_coverage(points, wide_and_narrow)
    assert report.good == 0.5
    assert report.covered == 2
    assert mode_coverage(draws(wide_and_narrow, 4_000), wide_and_narrow).kl < 0.002


def test_the_floor_of_covered_modes_is_what_few_perfect_samples_cover():
    report = mode_coverage(draws(GRID, 30), GRID, radius=1)  # few draws, and few of them are good
    covered = [float(mode_coverage(draws(GRID, 30, seed), GRID, radius=1).covered) for seed in range(200)]
    assert_unbiased(covered, report.covered_floor)


@pytest.mark.parametrize("samples", [torch.zeros(5, 3), torch.zeros(5), torch.zeros(0, 2)])
def test_samples_of_another_shape_are_refused(samples):
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        mode_coverage(samples, GRID)


def test_distributions_without_modes_and_samples_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="MixtureSameFamily of Gaussians, not of _Checkerboard"):
        mode_coverage(torch.zeros(5, 2), TOYS["checkerboard"]())
    with pytest.raises(ValueError, match="NaN"):
        mode_coverage(torch.full((5, 2), math.nan), GRID)


# --- histograms and their floor


def test_the_kl_of_a_histogram_is_scipys():
    counts, p = torch.tensor([3, 0, 5, 2]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert histogram_kl(counts, p) == pytest.approx(stats.entropy(counts / 10, p))
    assert histogram_kl(counts, torch.tensor([0.0, 0.2, 0.4, 0.4])) == math.inf


@pytest.mark.parametrize("p", [[0.25] * 4, [0.7, 0.2, 0.1], [0.999, 0.001], [0.5, 0.5, 0.0]])
def test_the_expected_kl_of_a_histogram_is_that_of_simulated_ones(p):
    counts = np.random.default_rng(0).multinomial(40, p, size=20_000)
    kls = [histogram_kl(torch.tensor(c), torch.tensor(p, dtype=torch.float64)) for c in counts[:4_000]]
    assert_unbiased(kls, expected_histogram_kl(40, torch.tensor(p, dtype=torch.float64)))


def test_the_floor_of_26_000_stacked_digits_is_known():
    floor = expected_histogram_kl(26_000, torch.full((1_000,), 1e-3, dtype=torch.float64))
    assert floor == pytest.approx(0.0193, abs=5e-5)
    assert floor == pytest.approx(999 / 52_000, rel=0.01)


# --- stacked digits


class Reader(torch.nn.Module):
    """Reads the digit from the first pixel, d/10, and its confidence from the second."""

    def forward(self, x):
        assert not self.training
        digit = (10 * x[:, 0, 0, 0]).round().long()
        return torch.nn.functional.one_hot(digit, 10) * (20 * x[:, 0, 0, 1:2])


def stacked(modes, confidence=1.0):
    modes = torch.as_tensor(modes)
    x = torch.zeros(len(modes), 3, 28, 28)
    x[:, :, 0, 0] = torch.stack([modes // 100, modes // 10 % 10, modes % 10], dim=1) / 10
    x[:, :, 0, 1] = confidence
    return x


def test_three_channels_are_one_of_a_thousand_modes():
    report = stacked_mode_coverage(stacked(range(1_000)), classifier=Reader())
    assert (report.covered, report.modes, report.good) == (1_000, 1_000, 1)
    assert report.kl == pytest.approx(0, abs=1e-12)
    assert report.kl_floor == pytest.approx(
        expected_histogram_kl(1_000, torch.full((1_000,), 1e-3)), rel=1e-6
    )
    few = stacked_mode_coverage(stacked([7, 70, 700, 707, 707]), classifier=Reader())
    assert few.covered == 4
    assert few.kl == pytest.approx(math.log(1_000) - stats.entropy([0.2, 0.2, 0.2, 0.4]))
    assert few.covered_floor == pytest.approx(1_000 * (1 - 0.999**5))


def test_a_stack_is_good_when_all_three_digits_are_read_with_confidence():
    x = stacked([123, 456])
    x[0, 2, 0, 1] = 0.1
    report = stacked_mode_coverage(x, classifier=Reader())
    assert report.good == 0.5
    assert report.good_floor is None
    assert report.covered == 2


def test_proportions_other_than_equal_ones_can_be_the_reference():
    weights = torch.zeros(1_000)
    weights[:2] = torch.tensor([0.75, 0.25])
    report = stacked_mode_coverage(stacked([0, 0, 0, 1]), classifier=Reader(), weights=weights)
    assert report.kl == pytest.approx(0, abs=1e-7)
    assert report.kl_floor == pytest.approx(expected_histogram_kl(4, torch.tensor([0.75, 0.25])), rel=1e-6)
    for bad in (torch.ones(1_000), torch.full((10,), 0.1), weights - 1e-3):
        with pytest.raises(ValueError, match=r"1,000 proportions"):
            stacked_mode_coverage(stacked([0]), classifier=Reader(), weights=bad)


def test_what_is_no_stack_of_digits_is_refused():
    with pytest.raises(ValueError, match=r"shape \(n, 3, 28, 28\), got \(2, 1, 28, 28\)"):
        stacked_mode_coverage(torch.zeros(2, 1, 28, 28), classifier=Reader())
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        stacked_mode_coverage(stacked([1]) - 1, classifier=Reader())


def test_the_classifier_is_left_in_its_mode():
    reader = Reader().train()
    stacked_mode_coverage(stacked([1]), classifier=reader)
    assert reader.training


# --- the report


def test_the_report_prints_a_table_and_gives_plain_numbers():
    report = mode_coverage(draws(GRID, 1_000), GRID)
    lines = str(report).splitlines()
    assert lines[0].split() == ["1,000", "samples", "these", "perfect"]
    assert lines[1].split() == ["good", "samples", f"{report.good:.1%}", "98.9%"]
    assert lines[2].split() == ["modes", "covered,", "of", "25", "25", "25.0"]
    assert lines[3].split()[-2:] == [f"{report.kl:.4f}", f"{report.kl_floor:.4f}"]
    assert report.as_dict()["kl_floor"] == report.kl_floor
    stacks = stacked_mode_coverage(stacked([1]), classifier=Reader())
    assert str(stacks).splitlines()[1].split() == ["good", "samples", "100.0%"]


def test_a_histogram_of_no_draws_is_refused():
    with pytest.raises(ValueError, match="at least 1 draw, got n=0"):
        expected_histogram_kl(0, torch.full((4,), 0.25))
