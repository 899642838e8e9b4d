"""Probabilistic PCA against the multivariate normal, scikit-learn's PCA, and Bayes' rule."""

import pytest
import torch
from sklearn.decomposition import PCA
from torch.distributions import MultivariateNormal, Normal

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.distributions.ppca import ProbabilisticPCA, fit_ppca
from gm_lib.runtime import forked_rng


def a_model() -> ProbabilisticPCA:
    with forked_rng(seed=0):
        return ProbabilisticPCA(torch.randn(6, 2).double(), torch.randn(6).double(), 0.3)


def covariance(model: ProbabilisticPCA) -> torch.Tensor:
    w = model.loadings
    return w @ w.T + model.noise_variance * torch.eye(len(w), dtype=w.dtype)


def data(n: int = 500) -> torch.Tensor:
    return a_model().sample(n, torch.Generator().manual_seed(1))


def test_the_density_is_that_of_the_multivariate_normal():
    model, x = a_model(), data()
    oracle = MultivariateNormal(model.mean, covariance(model))
    torch.testing.assert_close(model.log_prob(x), oracle.log_prob(x))


def test_prior_times_likelihood_over_posterior_is_the_evidence_at_every_z():
    model, x = a_model(), data(8)
    z = torch.randn(8, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    log_prior = Normal(0.0, 1.0).log_prob(z).sum(1)
    log_likelihood = Normal(model.decode(z), model.noise_variance**0.5).log_prob(x).sum(1)
    evidence = log_prior + log_likelihood - model.posterior(x).log_prob(z)
    torch.testing.assert_close(evidence, model.log_prob(x))


def test_samples_have_the_mean_and_covariance_of_the_model():
    model = a_model()
    x = model.sample(50_000, torch.Generator().manual_seed(3))
    centred = x - model.mean
    assert_unbiased(x, model.mean)
    assert_unbiased(centred[:, :, None] * centred[:, None, :], covariance(model), standard_errors=5)


def test_the_fit_has_the_likelihood_of_scikit_learns_pca_once_its_covariance_is_divided_by_n():
    x = data()
    n = len(x)
    model = fit_ppca(x, 2)
    theirs = PCA(2, svd_solver="full").fit(x.numpy())
    shrunk = torch.from_numpy(theirs.get_covariance()) * (n - 1) / n  # theirs divides by n - 1
    torch.testing.assert_close(covariance(model), shrunk)
    oracle = MultivariateNormal(torch.from_numpy(theirs.mean_), shrunk)
    torch.testing.assert_close(model.log_prob(x), oracle.log_prob(x))
    assert model.log_prob(x).mean().item() > theirs.score(x.numpy())


def test_no_small_change_of_the_fit_is_more_likely():
    x = data()
    model = fit_ppca(x, 2)
    best = model.log_prob(x).mean().item()
    generator = torch.Generator().manual_seed(4)
    for _ in range(20):
        change = 1e-2 * torch.randn(model.loadings.shape, generator=generator, dtype=torch.float64)
        assert ProbabilisticPCA(model.loadings + change, model.mean, model.noise_variance).log_prob(
            x
        ).mean().item() <= (best)
    for factor in (0.99, 1.01):
        other = ProbabilisticPCA(model.loadings, model.mean, factor * model.noise_variance)
        assert other.log_prob(x).mean().item() < best


def test_a_rotation_of_the_latent_space_changes_no_probability():
    model, x = a_model(), data(20)
    rotation = torch.linalg.qr(torch.randn(2, 2, generator=torch.Generator().manual_seed(5)).double()).Q
    turned = ProbabilisticPCA(model.loadings @ rotation, model.mean, model.noise_variance)
    torch.testing.assert_close(turned.log_prob(x), model.log_prob(x))


@pytest.mark.parametrize(
    ("x", "latent_dim", "message"),
    [
        (torch.zeros(4), 1, r"shape \(n, D\)"),
        (torch.full((4, 3), float("inf")), 1, "finite"),
        (torch.randn(9, 3), 0, "from 1 to 2"),
        (torch.randn(9, 3), 3, "from 1 to 2"),
        (torch.randn(9, 1) * torch.ones(1, 3), 1, "no noise is left"),
    ],
)
def test_what_cannot_be_fitted_is_refused(x, latent_dim, message):
    with pytest.raises(ValueError, match=message):
        fit_ppca(x.double(), latent_dim)
