"""The divergences against closed forms, SciPy and torch.distributions."""

import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, wasserstein_distance
from torch.distributions import Categorical, Normal, kl_divergence

from gm_lib.distributions.divergences import js, js_lower_bound, kl, total_variation, wasserstein1
from gm_lib.distributions.estimates import assert_unbiased

DIVERGENCES = [kl, js, total_variation]
GRID = torch.linspace(-12, 12, 4801, dtype=torch.float64)
CELL = 0.005


@pytest.fixture
def tables():
    """Two tables of seven rows each, (7, 5), as logarithms."""
    return torch.randn(2, 7, 5, dtype=torch.float64).log_softmax(-1)


def normal(mu, sigma):
    return Normal(torch.tensor(mu, dtype=torch.float64), torch.tensor(sigma, dtype=torch.float64))


def test_kl_of_tables_is_that_of_torch_and_scipy(tables):
    log_p, log_q = tables
    found = kl(log_p, log_q)
    assert found.shape == (7,)
    torch.testing.assert_close(found, kl_divergence(Categorical(logits=log_p), Categorical(logits=log_q)))
    torch.testing.assert_close(found, torch.from_numpy(entropy(log_p.exp(), log_q.exp(), axis=1)))


def test_kl_of_gaussians_on_a_grid_is_the_closed_form_both_ways():
    p, q = normal(0.5, 1.0), normal(-1.0, 1.4)
    on_grid = p.log_prob(GRID), q.log_prob(GRID)
    torch.testing.assert_close(kl(*on_grid, cell=CELL), kl_divergence(p, q))
    torch.testing.assert_close(kl(*on_grid[::-1], cell=CELL), kl_divergence(q, p))


def test_kl_is_exact_where_densities_underflow():
    p, q = normal(4.0, 0.1), normal(-4.0, 0.1)
    assert q.log_prob(GRID).exp().min() == 0
    torch.testing.assert_close(
        kl(p.log_prob(GRID), q.log_prob(GRID), cell=CELL), kl_divergence(p, q), rtol=1e-6, atol=0
    )


def test_kl_ignores_what_p_never_does_and_is_infinite_where_q_never_does():
    p, q = torch.tensor([0.5, 0.5, 0.0]).log(), torch.tensor([0.25, 0.5, 0.25]).log()
    torch.testing.assert_close(kl(p, q), torch.tensor(math.log(2) / 2))
    assert kl(q, p) == math.inf
    assert kl(p, p) == 0


def test_kl_has_a_finite_gradient_beside_cells_that_p_never_visits():
    logits = torch.zeros(3, requires_grad=True)
    p = torch.tensor([0.5, 0.5, 0.0])
    kl(p.log(), logits.log_softmax(0)).backward()
    torch.testing.assert_close(logits.grad, torch.full((3,), 1 / 3) - p)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_cells_that_neither_visits_leave_value_and_gradient_alone(divergence, tables):
    log_p, log_q = tables
    corner = torch.full((7, 1), -math.inf, dtype=torch.float64)
    values, gradients = [], []
    for extra in ([], [corner]):
        logits = log_q.clone().requires_grad_()
        # The empty cell enters before the softmax, so that a NaN in its gradient would reach all the others.
        log_model = torch.cat([logits, *extra], -1).log_softmax(-1)
        value = divergence(torch.cat([log_p, *extra], -1), log_model)
        values.append(value.detach())
        gradients.append(torch.autograd.grad(value.sum(), logits)[0])
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().max() > 1e-2


def test_js_of_tables_is_the_square_of_scipys_distance(tables):
    log_p, log_q = tables
    distance = torch.from_numpy(jensenshannon(log_p.exp(), log_q.exp(), axis=1))
    torch.testing.assert_close(js(log_p, log_q), distance**2)


def test_js_and_total_variation_are_symmetric_and_bounded(tables):
    for divergence, most in ((js, math.log(2)), (total_variation, 1.0)):
        torch.testing.assert_close(divergence(*tables), divergence(*tables.flip(0)))
        assert (divergence(tables[0], tables[0]).abs() < 1e-15).all()
        assert ((divergence(*tables) > 0) & (divergence(*tables) < most)).all()
        corners = torch.eye(2).log()
        torch.testing.assert_close(divergence(corners[0], corners[1]), torch.tensor(most))


def test_total_variation_of_shifted_gaussians_has_its_closed_form():
    p, q = normal(0.0, 1.0), normal(1.5, 1.0)
    found = total_variation(p.log_prob(GRID), q.log_prob(GRID), cell=CELL)
    half = torch.tensor(0.75, dtype=torch.float64)
    torch.testing.assert_close(found, 2 * p.cdf(half) - 1, rtol=1e-5, atol=0)


def test_total_variation_and_js_obey_the_inequalities_between_them(tables):
    tv = total_variation(*tables)
    assert (tv**2 / 2 <= js(*tables)).all()  # Pinsker, for both halves
    assert (js(*tables) <= math.log(2) * tv).all()
    assert (tv <= (kl(*tables) / 2).sqrt()).all()


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_what_is_no_distribution_is_refused_by_name(divergence):
    table = torch.tensor([0.5, 0.5]).log()
    with pytest.raises(ValueError, match="log_q holds a mass of 2 where"):
        divergence(table, torch.zeros(2))
    with pytest.raises(ValueError, match=r"log_p holds a mass of 0\.501 where"):
        divergence(normal(12.0, 1.0).log_prob(GRID), normal(0.0, 1.0).log_prob(GRID), cell=CELL)
    with pytest.raises(ValueError, match="log_p holds a mass of nan"):
        divergence(torch.full((2,), math.nan), table)


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 37), (1, 20)])
def test_wasserstein_distance_is_that_of_scipy(n, m):
    x, y = torch.randn(n, dtype=torch.float64), 0.5 + 2 * torch.randn(m, dtype=torch.float64)
    expected = torch.tensor(wasserstein_distance(x, y), dtype=torch.float64)
    torch.testing.assert_close(wasserstein1(x, y), expected)
    torch.testing.assert_close(wasserstein1(y, x), expected)


def test_wasserstein_distance_of_a_shifted_sample_is_the_shift_and_has_slope_one():
    x = torch.randn(100, dtype=torch.float64)
    theta = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    distance = wasserstein1(x, x + theta)
    torch.testing.assert_close(distance, theta)
    (slope,) = torch.autograd.grad(distance, theta)
    torch.testing.assert_close(slope, torch.ones_like(slope))


def test_wasserstein_distance_does_not_look_at_the_order():
    x, y = torch.randn(20), torch.randn(20)
    torch.testing.assert_close(wasserstein1(x[torch.randperm(20)], y), wasserstein1(x, y))
    assert wasserstein1(x, x[torch.randperm(20)]) == 0


@pytest.mark.parametrize("bad", [torch.zeros(0), torch.zeros(3, 2), torch.tensor(1.0)])
def test_wasserstein_distance_refuses_what_is_no_sample_of_numbers(bad):
    with pytest.raises(ValueError, match="y must be a sample of numbers"):
        wasserstein1(torch.zeros(3), bad)


P, Q = normal(0.0, 1.0), normal(1.0, 1.5)


def test_the_bound_is_js_for_the_true_log_ratio():
    x, y = P.sample((100_000,)), Q.sample((100_000,))
    terms = js_lower_bound(P.log_prob(x) - Q.log_prob(x), P.log_prob(y) - Q.log_prob(y))
    assert terms.shape == (100_000,)
    assert_unbiased(terms, js(P.log_prob(GRID), Q.log_prob(GRID), cell=CELL))


@pytest.mark.parametrize("judge", [lambda t: 2 * t, lambda t: t + 0.5, lambda t: -t, lambda t: 0 * t])
def test_the_bound_of_any_other_judge_is_lower(judge):
    log_p, log_q = P.log_prob(GRID), Q.log_prob(GRID)
    t = judge(log_p - log_q)
    sure = torch.full_like(t, 1e3)  # a term for one player when the other is certain
    terms_p, terms_q = js_lower_bound(t, -sure), js_lower_bound(sure, t)
    value = ((log_p.exp() * terms_p + log_q.exp() * terms_q) * CELL).sum() - math.log(2)
    assert value < js(log_p, log_q, cell=CELL) - 1e-3


def test_the_bound_stays_finite_for_a_judge_that_is_sure_and_wrong():
    sure = torch.tensor([300.0])
    torch.testing.assert_close(js_lower_bound(-sure, sure), math.log(2) - sure)
    torch.testing.assert_close(js_lower_bound(sure, -sure), torch.tensor([math.log(2)]))


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((3, 1), (3, 1)), ((), ())])
def test_the_bound_needs_one_logit_for_each_draw(shapes):
    with pytest.raises(ValueError, match=r"shape \(n,\)"):
        js_lower_bound(*(torch.zeros(shape) for shape in shapes))
