import numpy as np
import pytest
import torch
from scipy import stats

from gm_lib.distributions.estimates import Estimate, assert_unbiased, estimate, report, standard_error


def test_standard_error_equals_scipys():
    values = np.random.default_rng(0).gamma(2.0, size=(50, 3))
    np.testing.assert_allclose(standard_error(values).numpy(), stats.sem(values), rtol=1e-12)
    np.testing.assert_allclose(standard_error(values.T, dim=1).numpy(), stats.sem(values), rtol=1e-12)


def test_standard_error_shrinks_with_the_root_of_the_number_of_draws():
    draws = torch.randn(40_000)
    ratio = standard_error(draws[:400]) / standard_error(draws)
    assert ratio.item() == pytest.approx(10, rel=0.2)  # 5 standard errors of a standard deviation from 400


def test_a_standard_error_needs_two_draws():
    with pytest.raises(ValueError, match="at least 2 draws, got 1"):
        standard_error(torch.ones(1))


def test_an_estimate_is_one_number_per_draw():
    with pytest.raises(ValueError, match=r"shape \(n,\), got shape \(4, 2\)"):
        estimate(torch.ones(4, 2))


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (2.9735, 0.0226, "2.97 ± 0.02"),
        (102.63, 0.19, "102.63 ± 0.19"),
        (1234.4, 56.0, "1234 ± 56"),
        (1.0, 0.0996, "1.00 ± 0.10"),
        (3.0, 0.0, "3.00 ± 0.00"),
        (1.0, float("nan"), "1.00 ± nan"),
    ],
)
def test_an_estimate_shows_no_more_digits_than_its_error_allows(mean, error, text):
    assert str(Estimate(mean, error, 10)) == text


def test_report_prints_and_returns_the_estimate(capsys):
    result = report("score", [1.0, 2.0, 3.0])
    assert capsys.readouterr().out == f"score: {result}  (3 draws)\n"
    assert (result.mean, result.n) == (2.0, 3)


def test_a_gradient_can_be_judged_while_attached_to_its_graph():
    draws = torch.randn(100, requires_grad=True) * 2
    assert report("attached", draws).n == 100


def test_unbiased_draws_pass_and_biased_ones_fail():
    draws = torch.randn(10_000, 3)
    assert_unbiased(draws, [0.0, 0.0, 0.0], standard_errors=5)
    with pytest.raises(AssertionError, match=r"component 2 of 3.*expected 0\.2"):
        assert_unbiased(draws, [0.0, 0.0, 0.2])


def test_an_unbiased_estimate_fails_about_as_rarely_as_its_standard_errors_say():
    draws = torch.randn(2_000, 100)
    failures = 0
    for row in draws:
        try:
            assert_unbiased(row, 0.0, standard_errors=2)
        except AssertionError:
            failures += 1
    # Binomial(2000, P(|t_99| > 2) = 0.048): standard deviation 9.6
    assert abs(failures - 2_000 * 2 * stats.t.sf(2, 99)) < 50


def test_draws_without_noise_must_be_right_to_rounding():
    assert_unbiased(torch.full((10,), 0.1), 0.1)
    with pytest.raises(AssertionError, match="infinitely many"):
        assert_unbiased(torch.full((10,), 0.1), 0.101)


def test_a_nan_is_never_unbiased():
    with pytest.raises(AssertionError, match="nan"):
        assert_unbiased([1.0, float("nan"), 1.0], 1.0)
