import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from sklearn.linear_model import LogisticRegression

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.evaluation import detectable_accuracy, two_sample_test


def gaussian(n, d, seed, shift=0.0, scale=1.0):
    """N((shift, 0, …), scale² I)."""
    x = scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    x[:, 0] += shift
    return x


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0])
def test_its_accuracy_approaches_that_of_the_best_classifier_of_two_gaussians(distance):
    found = [
        two_sample_test(gaussian(2000, 2, s), gaussian(2000, 2, 100 + s, distance)).accuracy for s in range(5)
    ]
    best = norm.cdf(distance / 2)
    error = math.sqrt(best * (1 - best) / 2000 / 5)
    assert np.mean(found) == pytest.approx(best, abs=4 * error + 0.005)  # and half a per cent to learn


def test_one_distribution_is_called_two_as_often_as_said_and_no_more():
    found = [two_sample_test(gaussian(60, 3, s), gaussian(60, 3, 5_000 + s), seed=s) for s in range(200)]
    assert_unbiased([r.accuracy for r in found], 0.5)
    for level in (0.05, 0.2, 0.5):
        share = np.mean([r.p_value <= level for r in found])
        assert share < level + 4 * math.sqrt(level * (1 - level) / 200)
    assert np.mean([r.p_value <= 0.2 for r in found]) > 0.05  # nor is it always 1


def test_the_p_value_is_that_of_the_binomial_test():
    for shift in (0.0, 0.3, 1.0):
        r = two_sample_test(gaussian(150, 2, 0), gaussian(150, 2, 1, shift))
        right = round(r.accuracy * r.n_test)
        expected = binomtest(right, r.n_test, 0.5, alternative="greater").pvalue
        assert r.p_value == pytest.approx(expected, rel=1e-9)
        assert (r.p_value <= 0.05) == (r.accuracy >= r.critical)
        assert r.standard_error == pytest.approx(np.sqrt(r.accuracy * (1 - r.accuracy) / 149))


@pytest.mark.parametrize("n", [20, 101, 1000])
def test_the_power_stated_is_what_a_simulation_finds(n):
    p, times = detectable_accuracy(n), 20_000
    right = np.random.default_rng(0).binomial(n, [p, p - 0.5 / math.sqrt(n)], (times, 2))
    tails = np.array([binomtest(c, n, 0.5, alternative="greater").pvalue for c in range(n + 1)])
    power, power_below = (tails[right] <= 0.05).mean(0)
    assert power == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / times))
    assert power_below < 0.6


def test_a_difference_of_the_size_stated_is_found_in_about_eight_tests_of_ten():
    n = 400
    distance = 2 * norm.ppf(detectable_accuracy(n))  # so far apart, the best classifier has this accuracy
    found = [
        two_sample_test(gaussian(n, 1, s), gaussian(n, 1, 7_000 + s, distance)).p_value <= 0.05
        for s in range(100)
    ]
    # What the network has not quite learned takes from the power.
    assert 0.8 - 0.1 - 4 * 0.04 < np.mean(found) < 0.8 + 4 * 0.04


def test_the_detectable_accuracy_comes_near_to_chance_like_one_over_the_root_of_n():
    for n in (1_000, 100_000):
        assert detectable_accuracy(n) == pytest.approx(0.5 + 1.243 / math.sqrt(n), abs=1 / n)
    assert detectable_accuracy(5) == pytest.approx(0.8**0.2)  # all five must be right
    with pytest.raises(ValueError, match="4 answers can find nothing"):
        detectable_accuracy(4)


def test_it_sees_a_spread_and_a_missing_mode_where_a_logistic_regression_sees_nothing():
    real = gaussian(1000, 4, 0)
    wider = gaussian(1000, 4, 1, scale=1.5)
    modes = gaussian(1000, 4, 2, scale=0.3)
    modes[:, 0] += 3.0 * torch.randint(-1, 2, (1000,), generator=torch.Generator().manual_seed(3))
    dropped = gaussian(1000, 4, 4, scale=0.3)
    dropped[:, 0] += 3.0 * (2 * torch.randint(2, (1000,), generator=torch.Generator().manual_seed(5)) - 1)
    for x, y in ((real, wider), (modes, dropped)):
        assert two_sample_test(x, y).p_value < 1e-6
        label = np.repeat([0, 1], 500)
        linear = LogisticRegression().fit(torch.cat([x[:500], y[:500]]), label)
        assert linear.score(torch.cat([x[500:], y[500:]]), label) < 0.55


def test_the_unit_of_a_feature_and_a_constant_one_do_not_matter():
    x, y = gaussian(200, 3, 0).double(), gaussian(200, 3, 1, 0.8).double()
    plain = two_sample_test(x, y)
    scale = torch.tensor([1e4, 1e-4, 1.0], dtype=torch.float64)
    assert two_sample_test(x * scale + 7, y * scale + 7).accuracy == pytest.approx(plain.accuracy, abs=0.01)
    constant = torch.full((200, 1), 3.0, dtype=torch.float64)
    r = two_sample_test(torch.cat([x, constant], 1), torch.cat([y, constant], 1))
    assert r.accuracy > 0.55


def test_the_larger_cloud_is_cut_to_the_smaller_at_random():
    both = torch.cat([gaussian(500, 2, 0), 50 + gaussian(500, 2, 1)])  # sorted, as by label
    mixed = gaussian(301, 2, 2) + 50 * torch.randint(2, (301, 1), generator=torch.Generator().manual_seed(3))
    r = two_sample_test(both, mixed)
    assert (r.n_train, r.n_test) == (300, 300)
    assert r.p_value > 1e-3


def test_the_seed_decides_and_the_global_random_state_stays():
    x, y = gaussian(200, 2, 0), gaussian(200, 2, 1, 0.5)
    state = torch.get_rng_state()
    first, same, other = (two_sample_test(x, y, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first.accuracy != other.accuracy
    assert torch.equal(torch.get_rng_state(), state)
    assert two_sample_test(x.numpy(), y.tolist()).accuracy == first.accuracy


@pytest.mark.parametrize(("n", "m", "which"), [(19, 50, "real"), (50, 19, "generated")])
def test_too_few_examples_are_refused_with_what_they_could_find(n, m, which):
    with pytest.raises(ValueError, match=f"at least 20 {which} examples, got 19: .* accuracies above 80%"):
        two_sample_test(gaussian(n, 2, 0), gaussian(m, 2, 1))
    two_sample_test(gaussian(20, 2, 0), gaussian(20, 2, 1))


def test_what_is_no_pair_of_clouds_is_refused():
    x, y = gaussian(50, 2, 0), gaussian(50, 2, 1)
    with pytest.raises(ValueError, match="the same 50 rows"):
        two_sample_test(x, x.flip(0))
    with pytest.raises(ValueError, match="real features hold NaN"):
        two_sample_test(x / 0 * 0, y)
    with pytest.raises(ValueError, match="2 features and generated ones 1"):
        two_sample_test(x, y[:, :1])


def test_it_prints_a_table_with_its_power_and_goes_into_json():
    r = two_sample_test(gaussian(100, 2, 0), gaussian(100, 2, 1, 1.0))
    lines = str(r).splitlines()
    assert lines[0].split()[0] == "accuracy"
    assert lines[2].split()[-1] == f"{r.p_value:.3g}"
    assert lines[4].split()[-2:] == [f"{100 * r.detectable:.1f}", "%"]
    assert lines[-1] == "trained on 100 examples and tested on 100, half of each real"
    assert json.loads(json.dumps(r.as_dict())) == r.as_dict()
