"""The gradient estimators against gradients, variances and frequencies that are known exactly."""

import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Exponential,
    Gamma,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
)

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.distributions.gradients import gumbel_softmax, pathwise_gradient, score_function_gradient

N = 100_000
ESTIMATORS = [score_function_gradient, pathwise_gradient]
THETA = torch.tensor(1.5, dtype=torch.float64)


def unit_normal(theta):
    return Normal(theta, 1.0)


def square(z):
    return z**2


def assert_variance(values, expected, standard_errors=4):
    """The sample variance lies within its own standard errors of the closed form."""
    squares = (values - values.mean(0)) ** 2
    assert_unbiased(squares, torch.as_tensor(expected), standard_errors=standard_errors)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_mean_is_the_gradient_of_the_expected_square(estimator):
    values = estimator(square, unit_normal, THETA, n=N)
    assert values.shape == (N,)
    assert not values.requires_grad
    assert_unbiased(values, 2 * THETA)


def test_score_function_variance_has_its_closed_form():
    values = score_function_gradient(square, unit_normal, THETA, n=N)
    assert_variance(values, 1.5**4 + 14 * 1.5**2 + 15)


def test_pathwise_variance_has_its_closed_form():
    assert_variance(pathwise_gradient(square, unit_normal, THETA, n=N), 4.0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_each_draw_has_an_estimate_for_every_entry_of_theta(estimator):
    theta = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.3, 1.0]], dtype=torch.float64)

    def cost(z):
        return (z**2).sum(dim=(1, 2))

    values = estimator(cost, unit_normal, theta, n=N)
    assert values.shape == (N, 2, 3)
    assert_unbiased(values, 2 * theta, standard_errors=5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_mean_and_log_scale_in_one_theta(estimator):
    # E[z²] = mu² + exp(2s), with theta = (mu, s).
    theta = torch.tensor([0.7, -0.4], dtype=torch.float64)
    values = estimator(square, lambda t: Normal(t[..., 0], t[..., 1].exp()), theta, n=N)
    assert_unbiased(values, torch.tensor([2 * 0.7, 2 * math.exp(-0.8)]))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_components_of_an_event_belong_together(estimator):
    """Correlated components: E[z₀ z₁] = theta₀ theta₁ + covariance, whose gradient swaps the entries."""
    theta = torch.tensor([1.0, -2.0], dtype=torch.float64)
    covariance = torch.tensor([[1.0, 0.5], [0.5, 2.0]], dtype=torch.float64)
    values = estimator(lambda z: z.prod(dim=-1), lambda t: MultivariateNormal(t, covariance), theta, n=N)
    assert_unbiased(values, theta.flip(0))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_independent_normals_agree_with_plain_ones(estimator):
    theta = torch.tensor([1.0, -2.0], dtype=torch.float64)

    def cost(z):
        return z.sum(dim=-1).cos()

    torch.manual_seed(1)
    plain = estimator(cost, unit_normal, theta, n=100)
    torch.manual_seed(1)
    event = estimator(cost, lambda t: Independent(Normal(t, 1.0), 1), theta, n=100)
    torch.testing.assert_close(plain, event)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gamma_mean_has_derivative_one_in_its_shape(estimator):
    alpha = torch.tensor(2.5, dtype=torch.float64)
    assert_unbiased(estimator(lambda z: z, lambda a: Gamma(a, torch.ones_like(a)), alpha, n=N), 1.0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_exponential_mean_falls_with_the_square_of_its_rate(estimator):
    rate = torch.tensor(2.0, dtype=torch.float64)
    assert_unbiased(estimator(lambda z: z, Exponential, rate, n=N), -1 / rate**2)


def test_score_function_is_right_at_a_jump_where_pathwise_is_zero():
    def step(z):
        return (z.sign() + 1) / 2

    density = Normal(0.0, 1.0).log_prob(THETA).exp()
    assert_unbiased(score_function_gradient(step, unit_normal, THETA, n=N), density)
    assert torch.equal(
        pathwise_gradient(step, unit_normal, THETA, n=100), torch.zeros(100, dtype=torch.float64)
    )


def test_score_function_of_a_categorical_matches_enumeration():
    logits = torch.tensor([1.0, 0.0, -0.5], dtype=torch.float64)
    bills = torch.tensor([0.5, -1.0, 3.0], dtype=torch.float64)
    p = logits.softmax(0)
    values = score_function_gradient(lambda k: bills[k], lambda t: Categorical(logits=t), logits, n=N)
    assert_unbiased(values, p * (bills - (p * bills).sum()))


def test_neither_theta_nor_its_gradient_is_touched():
    theta = torch.tensor(1.5, requires_grad=True)
    for estimator in ESTIMATORS:
        estimator(square, unit_normal, theta, n=3)
    assert theta.grad is None


def test_estimates_do_not_need_gradients_to_be_enabled_by_the_caller():
    with torch.no_grad():
        for estimator in ESTIMATORS:
            assert estimator(square, unit_normal, THETA, n=3).shape == (3,)


@pytest.mark.parametrize(
    "family", [Poisson, lambda t: Bernoulli(logits=t), lambda t: OneHotCategorical(logits=t)]
)
def test_pathwise_refuses_a_distribution_without_rsample(family):
    with pytest.raises(ValueError, match=r"has no rsample.*score_function_gradient"):
        pathwise_gradient(lambda z: z.sum(-1), family, torch.tensor([0.5, 1.0]), n=4)


def test_pathwise_refuses_a_cost_that_cuts_the_gradient():
    with pytest.raises(ValueError, match="zero whatever the truth"):
        pathwise_gradient(lambda z: (z > 0).float(), unit_normal, THETA, n=4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_cost_averaged_over_draws_is_refused(estimator):
    with pytest.raises(ValueError, match=r"one number per draw.*\(4,\).*returned shape \(\)"):
        estimator(lambda z: (z**2).mean(), unit_normal, THETA, n=4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_draws_and_integer_parameters_are_refused(estimator):
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        estimator(square, unit_normal, THETA, n=0)
    with pytest.raises(ValueError, match="floating-point"):
        estimator(square, unit_normal, torch.tensor(1), n=4)


def test_score_function_refuses_a_distribution_that_ignores_theta():
    with pytest.raises(ValueError, match="does not depend on theta"):
        score_function_gradient(square, lambda t: Normal(torch.zeros(4), 1.0), THETA, n=4)


LOGITS = torch.tensor([1.0, 0.0, -1.0, 0.3])


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_equals_pytorch_s_on_the_same_noise(temperature, hard):
    ours, theirs = (LOGITS.repeat(1000, 1).requires_grad_() for _ in range(2))
    weights = torch.arange(4.0)
    torch.manual_seed(3)
    y = gumbel_softmax(ours, temperature, hard)
    torch.manual_seed(3)
    expected = torch.nn.functional.gumbel_softmax(theirs, temperature, hard)
    torch.testing.assert_close(y, expected)
    ((y * weights) ** 2).sum().backward()
    ((expected * weights) ** 2).sum().backward()
    # PyTorch's one-hot values carry a rounding error, which a steep softmax magnifies.
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_gumbel_softmax_has_its_largest_entry_at_k_with_the_softmax_probability(temperature):
    y = gumbel_softmax(LOGITS.expand(N, 4), temperature, hard=True)
    assert_unbiased(y, LOGITS.softmax(0), standard_errors=5)


def test_relaxed_draws_are_distributions_and_hard_draws_exactly_one_hot():
    soft = gumbel_softmax(LOGITS.expand(2, 500, 4), 0.5)
    torch.testing.assert_close(soft.sum(-1), torch.ones(2, 500))
    assert soft.min() >= 0
    hard = gumbel_softmax(LOGITS.expand(2, 500, 4), 0.5, hard=True)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(hard.sum(-1), torch.ones(2, 500))


def test_relaxed_draw_of_two_categories_is_a_logistic_sigmoid():
    """log y₀/y₁ = (difference of logits + a standard logistic) / temperature: mean and variance are known."""
    y = gumbel_softmax(torch.tensor([0.8, 0.0], dtype=torch.float64).expand(N, 2), 2.0)
    log_odds = 2.0 * (y[:, 0] / y[:, 1]).log()
    assert_unbiased(log_odds, 0.8)
    assert_variance(log_odds, math.pi**2 / 3)


def test_a_generator_makes_gumbel_softmax_repeatable_and_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    first, second = (
        gumbel_softmax(LOGITS, 1.0, generator=torch.Generator().manual_seed(7)) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        gumbel_softmax(LOGITS, temperature)


def test_gumbel_softmax_takes_its_categories_along_any_dimension():
    logits = torch.randn(3, 5, 4)
    for hard in (False, True):
        along, last = (
            gumbel_softmax(x, 0.7, hard, dim=dim).sum(dim)
            for x, dim in ((logits, 1), (logits.movedim(1, -1), -1))
        )
        torch.testing.assert_close(along, torch.ones(3, 4))
        torch.testing.assert_close(last, torch.ones(3, 4))
    draws = gumbel_softmax(torch.tensor([[0.0, 0.0], [50.0, -50.0]]), 0.1, hard=True, dim=0)
    assert draws.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_gumbel_softmax_takes_a_tensor_of_temperatures_and_refuses_one_that_is_not_positive():
    logits, temperature = torch.randn(2, 5), torch.tensor([[0.1], [3.0]])
    both = gumbel_softmax(logits, temperature, generator=torch.Generator().manual_seed(0))
    for row, t in enumerate((0.1, 3.0)):
        alone = gumbel_softmax(logits, t, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(both[row], alone[row])
    with pytest.raises(ValueError, match="temperature must be positive"):
        gumbel_softmax(logits, torch.tensor([[0.1], [0.0]]))
