import json
import math

import numpy as np
import pytest
import torch

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.evaluation import frechet_distance, frechet_distance_at_infinity


def gaussian(n, d, seed, shift=0.0, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + shift


def results(n, m, d, shift, scale, times):
    """Repeat it on fresh clouds of N(0, I) and N(shift, scale² I), whose distance is known."""
    return [
        frechet_distance_at_infinity(gaussian(n, d, s), gaussian(m, d, 10_000 + s, shift, scale))
        for s in range(times)
    ]


@pytest.fixture(scope="module")
def unequal():
    """The true distance is 8 (0.3² + 0.1²) = 0.8."""
    return results(500, 900, 8, 0.3, 1.1, times=60)


def test_it_is_the_closed_form_of_gaussians_on_average_and_the_plain_distance_is_above(unequal):
    assert_unbiased([r.at_infinity for r in unequal], 0.8)
    plain = torch.tensor([r.distance for r in unequal])
    assert plain.mean() - 0.8 > 4 * plain.std() / 60**0.5


def test_it_is_nearer_to_the_closed_form_than_the_plain_distance():
    truth = 32 * (0.1**2 + 0.1**2)
    for r in results(1000, 1000, 32, 0.1, 1.1, times=5):
        assert abs(r.at_infinity - truth) < 0.3 * abs(r.distance - truth)


def test_two_clouds_of_one_distribution_are_at_no_distance_on_average():
    found = results(500, 500, 8, 0.0, 1.0, times=40)
    assert_unbiased([r.at_infinity for r in found], 0.0)
    assert min(r.at_infinity for r in found) < 0 < min(r.distance for r in found)


def test_the_standard_error_is_the_spread_and_no_less_at_distance_zero(unequal):
    def spread_and_error(found):
        spread = np.std([r.at_infinity for r in found], ddof=1)
        return spread, math.sqrt(np.mean([r.standard_error**2 for r in found]))

    spread, error = spread_and_error(unequal)
    assert error == pytest.approx(spread, rel=0.4)  # four standard errors of a spread of 60
    spread, error = spread_and_error(results(500, 500, 8, 0.0, 1.0, times=40))
    assert error > spread


def test_the_line_goes_through_the_distances_by_least_squares(unequal):
    r = unequal[0]
    slope, intercept = np.polyfit(r.parts, r.distances, 1)
    assert (r.at_infinity, r.slope) == pytest.approx((intercept, slope), rel=1e-9)
    assert r.distance == r.distances[0]
    assert r.distance == pytest.approx(
        frechet_distance(gaussian(500, 8, 0), gaussian(900, 8, 10_000, 0.3, 1.1)), rel=1e-9
    )


def test_the_bias_of_the_parts_is_what_clouds_of_their_size_have(unequal):
    for place, q in enumerate((1, 2, 3, 4)):
        fresh = [
            frechet_distance(gaussian(500 // q, 8, 500 + s), gaussian(900 // q, 8, 900 + s, 0.3, 1.1))
            for s in range(60)
        ]
        parts = torch.tensor([r.distances[place] for r in unequal])
        error = (np.var(fresh) / 60 + parts.var().item() / 60) ** 0.5
        assert abs(parts.mean().item() - np.mean(fresh)) < 4 * error


def test_the_seed_decides_on_the_cuts_and_the_global_random_state_stays():
    x, y = gaussian(500, 3, 0), gaussian(600, 3, 1)
    state = torch.get_rng_state()
    first, same, other = (frechet_distance_at_infinity(x, y, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first.at_infinity != other.at_infinity
    assert first.distance == pytest.approx(other.distance, rel=1e-9)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("n", "m", "which"), [(639, 640, "real"), (640, 639, "generated")])
def test_too_few_examples_for_a_straight_line_are_refused_with_the_number_needed(n, m, which):
    with pytest.raises(ValueError, match=f"32 features takes at least 640 {which} examples, got 639"):
        frechet_distance_at_infinity(gaussian(n, 32, 0), gaussian(m, 32, 1))
    frechet_distance_at_infinity(gaussian(640, 32, 0), gaussian(640, 32, 1))


def test_what_is_no_pair_of_clouds_is_refused():
    x, y = gaussian(500, 3, 0), gaussian(500, 3, 1)
    with pytest.raises(ValueError, match="at least 480 real examples"):
        frechet_distance_at_infinity(x[:479], y)
    with pytest.raises(ValueError, match="the same 500 rows"):
        frechet_distance_at_infinity(x, x.flip(0))
    with pytest.raises(ValueError, match="generated features hold NaN"):
        frechet_distance_at_infinity(x, y * math.nan)
    with pytest.raises(ValueError, match=r"shape \(n, d\)"):
        frechet_distance_at_infinity(x[..., None], y)


def test_it_prints_the_distances_at_each_n_and_goes_into_json(unequal):
    r = unequal[0]
    lines = str(r).splitlines()
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["500", "900"],
        ["250", "450"],
        ["166", "300"],
        ["125", "225"],
    ]
    assert lines[5].split()[:2] == ["∞", "∞"]
    assert f"{r.at_infinity:.2f}"[:3] in lines[5]
    assert json.loads(json.dumps(r.as_dict()))["distances"] == list(r.distances)
