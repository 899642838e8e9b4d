"""The bounds, where log p(x) and the posterior are known exactly."""

import math
from itertools import combinations, pairwise

import pytest
import torch
from linear_gaussian import LinearGaussian
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.evaluation import log_likelihood, negative_elbo
from gm_lib.vae import ElboEstimates, elbo, elbo_estimates, iwae_bound, log_importance_weights


def repeated_elbo(model, x, times):
    """`times` independent one-draw estimates for each x: (times, n)."""
    n = len(x)
    return model.elbo(x.repeat(times, *[1] * (x.ndim - 1))).detach().reshape(times, n)


def test_every_weight_equals_the_likelihood_when_q_is_the_posterior():
    exact = LinearGaussian()
    x = exact.marginal.sample((20,))
    log_w = exact.model.log_weights(x, k=7)
    expected = exact.marginal.log_prob(x).expand(7, 20)
    torch.testing.assert_close(log_w, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(iwae_bound(log_w), expected[0], rtol=1e-5, atol=1e-5)


def test_elbo_equals_log_likelihood_when_q_is_the_posterior():
    exact = LinearGaussian()
    x = exact.marginal.sample((10,))
    assert_unbiased(repeated_elbo(exact.model, x, 4_000), exact.marginal.log_prob(x), standard_errors=5)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_elbo_lies_below_by_exactly_the_kl_from_q_to_the_posterior(orthogonal):
    exact = LinearGaussian(orthogonal=orthogonal)
    exact.disturb_encoder(0.3)
    x = exact.marginal.sample((10,))
    q = exact.model.encode(x)
    gap = kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.variance)), exact.posterior(x))
    assert bool((gap > 0).all())
    expected = (exact.marginal.log_prob(x) - gap).detach()
    assert_unbiased(repeated_elbo(exact.model, x, 20_000), expected, standard_errors=5)
    assert_unbiased(exact.model.log_weights(x, k=20_000), expected, standard_errors=5)


def test_the_bound_rises_with_k_and_reaches_the_likelihood():
    exact = LinearGaussian()
    with torch.no_grad():  # too wide a q: its weights are bounded, so their mean converges
        exact.model.encoder.net[0].bias += torch.tensor([0.3, -0.3, 1.0, 1.0])
    x = exact.marginal.sample((1,))
    log_p = exact.marginal.log_prob(x).item()
    log_w = exact.model.log_weights(x, k=400_000).detach()[:, 0]
    means, errors = [], []
    for k in (1, 2, 8, 64):
        bounds = iwae_bound(log_w.reshape(-1, k).T)
        means.append(bounds.mean().item())
        errors.append(bounds.std().item() / math.sqrt(len(bounds)))
    for (low, high), (e_low, e_high) in zip(pairwise(means), pairwise(errors), strict=True):
        assert high - low > 4 * math.hypot(e_low, e_high)
    assert max(means) < log_p + 4 * errors[-1]
    # Averaged over all draws the weights themselves are unbiased: E[w] = p(x).
    assert_unbiased((log_w - log_p).exp(), 1.0, standard_errors=5)
    # To second order the bound at k lies Var(w / p) / 2k below log p(x).
    distance = (log_w - log_p).exp().var().item() / (2 * 64)
    assert means[-1] == pytest.approx(log_p - distance, abs=4 * errors[-1] + 0.1 * distance)


def test_log_likelihood_finds_the_exact_value_of_a_linear_gaussian_model():
    exact = LinearGaussian()
    with torch.no_grad():  # q wider than the posterior, so that the weights are bounded
        exact.model.encoder.net[0].bias += torch.tensor([0.2, -0.2, 0.5, 0.5])
    x = exact.marginal.sample((40,))
    log_p = exact.marginal.log_prob(x)
    result = log_likelihood(exact.model, x, k=5_000, chunk=1_000)
    # One weight has Var(w / p) < 2 here, so the bound is off by less than 1/k with standard deviation √(2/k).
    torch.testing.assert_close(result.bound, log_p, rtol=0, atol=5 * math.sqrt(2 / 5_000))
    assert result.mean == pytest.approx(log_p.mean().item(), abs=5 * math.sqrt(2 / 5_000 / 40))
    assert result.standard_error == pytest.approx(log_p.std().item() / math.sqrt(40), rel=0.05)


def test_negative_elbo_lies_above_the_negative_log_likelihood():
    exact = LinearGaussian()
    exact.disturb_encoder(0.3)
    x = exact.marginal.sample((200,))
    assert negative_elbo(exact.model, x, k=50).mean > -exact.marginal.log_prob(x).mean().item()


def test_the_bound_of_one_draw_is_the_elbo_of_that_draw():
    parts = torch.randn(3, 1, 6)
    torch.testing.assert_close(iwae_bound(log_importance_weights(*parts)), elbo(*parts))


def test_bounds_survive_weights_that_underflow():
    log_w = torch.tensor([[-1_000.0], [-1_001.0], [-2_000.0]])
    expected = -1_000 + math.log1p(math.exp(-1)) - math.log(3)
    assert iwae_bound(log_w).item() == pytest.approx(expected, rel=1e-6)


# Three estimates of one ELBO


def three_estimates(exact, x, k):
    """The estimates for x from k draws, and the exact value of the ELBO: (k, n) thrice and (n,)."""
    q = Independent(exact.model.encode(x), 1)
    posterior = exact.posterior(x)
    z = q.sample((k,))
    estimates = elbo_estimates(
        Independent(Normal(exact.model.decode(z), exact.sigma), 1).log_prob(x),
        Independent(exact.model.prior, 1).log_prob(z),
        q.log_prob(z),
        kl=kl_divergence(q, Independent(exact.model.prior.expand(q.mean.shape), 1)),
        entropy=q.entropy(),
    )
    as_multivariate = MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    value = exact.marginal.log_prob(x) - kl_divergence(as_multivariate, posterior)
    return ElboEstimates(*(e.detach() for e in estimates)), value.detach()


def test_three_estimates_have_the_elbo_as_their_mean_and_not_the_same_variance():
    exact = LinearGaussian()
    with torch.no_grad():
        exact.model.encoder.net[0].bias[:2] += 0.5
    estimates, value = three_estimates(exact, exact.marginal.sample((10,)), 20_000)
    for found in estimates:
        assert found.shape == (20_000, 10)
        assert_unbiased(found, value, standard_errors=5)
    for one, other in combinations([found.var(0) for found in estimates], 2):
        assert (one / other).log().abs().max() > 0.2


def test_at_the_posterior_the_three_densities_alone_have_no_variance():
    exact = LinearGaussian()
    x = exact.marginal.sample((10,))
    estimates, value = three_estimates(exact, x, 1_000)
    torch.testing.assert_close(estimates.three_densities, value.expand(1_000, 10), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(value, exact.marginal.log_prob(x), rtol=1e-5, atol=1e-5)
    assert bool((estimates.closed_kl.std(0) > 0.1).all())
    assert bool((estimates.closed_entropy.std(0) > 0.1).all())


def test_where_z_tells_nothing_of_x_the_closed_kl_has_no_variance():
    exact = LinearGaussian()
    with torch.no_grad():
        exact.model.decoder.net[0].weight.zero_()
    exact.disturb_encoder(0.3)
    estimates, _ = three_estimates(exact, exact.marginal.sample((10,)), 1_000)
    assert estimates.closed_kl.std(0).max() < 1e-10
    assert estimates.three_densities.std(0).min() > 1e-3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kl": torch.zeros(6, 6)}, r"kl \(6, 6\)"),
        ({"entropy": torch.zeros(1)}, r"entropy \(1,\)"),
        ({"log_p_z": torch.zeros(6)}, r"log_p_z \(6,\)"),
        ({"log_q_z_given_x": torch.zeros(6, 1)}, r"log_q_z_given_x \(6, 1\)"),
        ({"log_p_x_given_z": torch.zeros(6)}, r"log_p_x_given_z is \(6,\)"),
    ],
)
def test_shapes_that_would_broadcast_to_nonsense_are_refused(changed, message):
    given = {name: torch.zeros(6, 6) for name in ("log_p_x_given_z", "log_p_z", "log_q_z_given_x")}
    given |= {"kl": torch.zeros(6), "entropy": torch.zeros(6)} | changed
    with pytest.raises(ValueError, match=message):
        elbo_estimates(**given)
