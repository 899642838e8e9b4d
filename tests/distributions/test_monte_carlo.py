"""Weighted averages and control variates against closed forms and independent computations."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch.distributions import Normal, StudentT

from gm_lib.distributions.estimates import assert_unbiased, estimate
from gm_lib.distributions.gradients import score_function_gradient
from gm_lib.distributions.monte_carlo import (
    control_variate,
    effective_sample_size,
    log_mean_exp,
    mean_of_the_others,
    self_normalized,
)


def test_log_mean_exp_agrees_with_scipy():
    log_w = 30 * torch.randn(50, 3, 2, dtype=torch.float64)
    oracle = logsumexp(log_w.numpy(), axis=0, b=1 / 50)
    np.testing.assert_allclose(log_mean_exp(log_w), oracle)


def test_log_mean_exp_survives_weights_that_no_float_can_hold():
    log_w = torch.tensor([-5000.0, -5000.0 + math.log(3.0)])
    torch.testing.assert_close(log_mean_exp(log_w), torch.tensor(-5000.0 + math.log(2.0)))
    torch.testing.assert_close(log_mean_exp(-log_w), torch.tensor(5000.0 + math.log(2 / 3)))


def test_weights_of_zero_are_allowed():
    log_w = torch.tensor([0.0, -math.inf, 0.0, -math.inf])
    torch.testing.assert_close(log_mean_exp(log_w), torch.tensor(math.log(0.5)))
    torch.testing.assert_close(effective_sample_size(log_w), torch.tensor(2.0))


@pytest.mark.parametrize("shift", [0.0, -4000.0, 4000.0])
def test_effective_sample_size_does_not_see_a_common_factor(shift):
    log_w = torch.randn(20, 3, dtype=torch.float64)
    w = log_w.exp()
    torch.testing.assert_close(effective_sample_size(log_w + shift), w.sum(0) ** 2 / (w**2).sum(0))


def test_effective_sample_size_lies_between_one_and_n():
    torch.testing.assert_close(effective_sample_size(torch.full((7,), -8.0)), torch.tensor(7.0))
    torch.testing.assert_close(effective_sample_size(torch.tensor([0.0, -90.0, -95.0])), torch.tensor(1.0))


@pytest.mark.parametrize("width", [0.9, 1.5, 3.0])
def test_effective_share_for_two_normals_has_its_closed_form(width):
    """E[w]² / E[w²] = √(2s² - 1) / s² for the target N(0, 1) and the proposal N(0, s²)."""
    z = width * torch.randn(400_000, dtype=torch.float64)
    log_w = Normal(0.0, 1.0).log_prob(z) - Normal(0.0, width).log_prob(z)
    w_squared = (2 * log_w).exp()
    share = math.sqrt(2 * width**2 - 1) / width**2
    if width > 1:  # the fourth moment is finite too, so that the error of the squares means something
        assert_unbiased(w_squared, 1 / share)
    assert effective_sample_size(log_w).item() / len(z) == pytest.approx(share, rel=0.03)


def test_weighted_mean_and_its_error_cover_the_truth_as_often_as_they_should():
    """Target t with 5 degrees of freedom, proposal t with 3: |weights| are bounded, E[z²] = 5/3."""
    target, proposal = StudentT(torch.tensor(5.0)), StudentT(torch.tensor(3.0))
    away = []
    for _ in range(400):
        z = proposal.sample((500,)).double()
        result = self_normalized(z**2, target.log_prob(z) - proposal.log_prob(z) - 3000.0)
        away.append((result.mean - 5 / 3) / result.standard_error)
        assert result.n == 500
    assert_unbiased((torch.tensor(away).abs() < 2).double(), 0.94, standard_errors=4)


def test_equal_weights_give_the_plain_mean_and_its_error():
    values = torch.randn(1000, dtype=torch.float64)
    weighted, plain = self_normalized(values, torch.full((1000,), -7.0)), estimate(values)
    assert weighted.mean == pytest.approx(plain.mean)
    assert weighted.standard_error == pytest.approx(plain.standard_error * math.sqrt(999 / 1000))


def test_a_control_leaves_one_minus_rho_squared_of_the_variance():
    """E[exp z] under N(0, 1) with control z: ρ² = 1 / (e - 1)."""
    z = torch.randn(200_000, dtype=torch.float64)
    quiet = control_variate(z.exp(), z, 0.0)
    assert_unbiased(quiet, math.exp(0.5))
    variance = (1 - 1 / (math.e - 1)) * (math.e**2 - math.e)
    assert_unbiased((quiet - math.exp(0.5)) ** 2, variance, standard_errors=5)


def test_the_expectation_of_the_control_is_taken_into_account():
    z = torch.randn(100_000, dtype=torch.float64)
    assert_unbiased(control_variate(z.exp(), z + 3.0, 3.0), math.exp(0.5))
    torch.testing.assert_close(control_variate(z.exp(), 5 * z + 3.0, 3.0), control_variate(z.exp(), z))


def test_each_component_has_its_own_coefficient():
    control = torch.randn(300, 4, dtype=torch.float64)
    slopes = torch.tensor([1.0, -2.0, 0.0, 10.0], dtype=torch.float64)
    quiet = control_variate(7.0 + slopes * control, control)
    torch.testing.assert_close(quiet, torch.full_like(quiet, 7.0))


def test_the_score_as_control_finds_the_best_baseline():
    """One bit: with the best baseline a score-function estimate has no variance left."""
    logit = torch.tensor(-2.2, dtype=torch.float64)
    p = logit.sigmoid()
    z = (torch.rand(5000, dtype=torch.float64) < p).double()
    quiet = control_variate(3 * z * (z - p), z - p)
    torch.testing.assert_close(quiet, (3 * p * (1 - p)).expand(5000))


def test_the_mean_of_the_others_leaves_the_score_function_unbiased_even_for_two_draws():
    aim = torch.tensor(1.5, dtype=torch.float64)
    pairs = 50_000
    z = 1.5 + torch.randn(2, pairs, dtype=torch.float64)
    bills, score = z**2, z - aim
    assert_unbiased(((bills - mean_of_the_others(bills)) * score).mean(0), 3.0)
    assert_unbiased(((bills - bills.mean(0)) * score).mean(0), 1.5)  # all draws: half of the truth
    plain = score_function_gradient(lambda z: z**2, lambda t: Normal(t, 1.0), aim, n=pairs)
    assert ((bills - mean_of_the_others(bills)) * score).mean(0).var() < plain.var() / 2


def test_the_mean_of_the_others_by_hand():
    values = torch.tensor([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])
    expected = torch.tensor([[4.0, 40.0], [3.5, 35.0], [1.5, 15.0]])
    torch.testing.assert_close(mean_of_the_others(values), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_mean_exp(torch.zeros(0)), "draws first"),
        (lambda: effective_sample_size(torch.tensor(1.0)), "draws first"),
        (lambda: log_mean_exp(torch.zeros(3, dtype=torch.long)), "floating-point"),
        (lambda: self_normalized(torch.zeros(3), torch.zeros(4)), r"\(3,\) and \(4,\)"),
        (lambda: self_normalized(torch.zeros(3, 2), torch.zeros(3, 2)), "one value and one log-weight"),
        (lambda: control_variate(torch.zeros(3), torch.zeros(3, 1)), "the same shape"),
        (lambda: control_variate(torch.zeros(1), torch.zeros(1)), "at least 2 draws"),
        (lambda: control_variate(torch.randn(3), torch.ones(3)), "explain nothing"),
        (lambda: mean_of_the_others(torch.zeros(1)), "no other draws"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
