"""Probabilistic PCA against the multivariate normal, scikit-learn's PCA, and Bayes' rule."""

import math

import pytest
import torch
from sklearn.decomposition import PCA
from torch.distributions import Distribution, Independent, Laplace, MultivariateNormal, Normal, kl_divergence

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


# The bound of an approximate posterior


def a_tilted_model() -> ProbabilisticPCA:
    """A model whose posterior is far from diagonal."""
    model = a_model()
    tilt = torch.tensor([[1.0, 0.8], [0.0, 0.6]], dtype=torch.float64)
    return ProbabilisticPCA(model.loadings @ tilt, model.mean, model.noise_variance)


def some_gaussians(x: torch.Tensor) -> list[Distribution]:
    """Gaussians over z for each x, none of them the posterior, in the three forms that elbo takes."""
    generator = torch.Generator().manual_seed(6)
    mean = torch.randn(len(x), 2, generator=generator).double()
    scale = torch.rand(len(x), 2, generator=generator).double() + 0.2
    root = torch.diag_embed(scale)
    root[:, 1, 0] = 0.7
    wide = Normal(mean, scale)
    return [MultivariateNormal(mean, scale_tril=root), wide, Independent(wide, 1)]


def as_multivariate(q: Distribution) -> MultivariateNormal:
    if isinstance(q, MultivariateNormal):
        return q
    return MultivariateNormal(q.mean, torch.diag_embed(q.variance))


def test_the_elbo_lies_below_the_likelihood_by_the_kl_from_q_to_the_posterior():
    model, x = a_tilted_model(), data(6)
    for q in some_gaussians(x):
        gap = kl_divergence(as_multivariate(q), model.posterior(x))
        assert bool((gap > 0.1).all())
        torch.testing.assert_close(model.elbo(x, q), model.log_prob(x) - gap)


def test_the_elbo_of_the_posterior_is_the_likelihood():
    model, x = a_tilted_model(), data(6)
    torch.testing.assert_close(model.elbo(x, model.posterior(x)), model.log_prob(x))


def test_the_elbo_is_the_mean_of_joint_minus_q_over_draws_from_q():
    model, x = a_tilted_model(), data(3)
    with forked_rng(seed=7):
        for q in map(as_multivariate, some_gaussians(x)):
            z = q.sample((50_000,))
            log_joint = Normal(0.0, 1.0).log_prob(z).sum(-1)
            log_joint += Normal(model.decode(z), model.noise_variance**0.5).log_prob(x).sum(-1)
            assert_unbiased(log_joint - q.log_prob(z), model.elbo(x, q))


def test_no_diagonal_gaussian_has_a_larger_elbo_than_the_best():
    model, x = a_tilted_model(), data(5)
    best = model.best_diagonal(x)
    assert best.batch_shape == (5, 2)
    mean, log_scale = (v.clone().requires_grad_() for v in (best.mean, best.stddev.log()))
    bound = model.elbo(x, Normal(mean, log_scale.exp()))
    gradients = torch.autograd.grad(bound.sum(), (mean, log_scale))
    for gradient in gradients:
        torch.testing.assert_close(gradient, torch.zeros_like(gradient))
    generator = torch.Generator().manual_seed(8)
    for _ in range(20):
        shift, widen = 0.1 * torch.randn(2, 5, 2, generator=generator, dtype=torch.float64)
        other = Normal(best.mean + shift, best.stddev * widen.exp())
        assert bool((model.elbo(x, other) < bound).all())


def test_the_gap_of_the_best_diagonal_is_that_of_the_determinants_and_the_same_for_every_x():
    model, x = a_tilted_model(), data(5)
    precision = model.posterior(x).precision_matrix
    gap = 0.5 * (precision.diagonal(dim1=1, dim2=2).log().sum(1) - precision.logdet())
    assert gap[0] > 0.1
    torch.testing.assert_close(model.log_prob(x) - model.elbo(x, model.best_diagonal(x)), gap)


def rotation(angle: float) -> torch.Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)


def test_a_rotated_model_has_the_same_density_and_a_rotated_posterior():
    model, x = a_tilted_model(), data(20)
    turned = model.rotated(rotation(0.5))
    torch.testing.assert_close(turned.log_prob(x), model.log_prob(x))
    torch.testing.assert_close(turned.posterior(x).mean, model.posterior(x).mean @ rotation(0.5))
    assert not torch.allclose(turned.posterior(x).mean, model.posterior(x).mean)


def test_turned_to_its_principal_axes_the_best_diagonal_is_the_posterior():
    model, x = a_tilted_model(), data(5)
    axes = torch.linalg.eigh(model.loadings.T @ model.loadings).eigenvectors
    turned = model.rotated(axes)
    torch.testing.assert_close(turned.elbo(x, turned.best_diagonal(x)), model.log_prob(x))
    assert bool((model.elbo(x, model.best_diagonal(x)) < model.log_prob(x) - 0.1).all())


@pytest.mark.parametrize(
    ("q", "error", "message"),
    [
        (Laplace(torch.zeros(4, 2), torch.ones(4, 2)), TypeError, "q must be Gaussian"),
        (Normal(torch.zeros(4, 3), 1.0), ValueError, r"\(n, d\) = \(4, 2\).*batch shape \(4, 3\)"),
        (Normal(torch.zeros(2), 1.0), ValueError, r"got batch shape \(2,\)"),
        (Independent(Normal(torch.zeros(4, 2), 1.0), 2), ValueError, r"event shape \(4, 2\)"),
        (MultivariateNormal(torch.zeros(2), torch.eye(2)), ValueError, r"batch shape \(\)"),
        (MultivariateNormal(torch.zeros(4, 3), torch.eye(3)), ValueError, r"event shape \(3,\)"),
    ],
)
def test_a_q_of_another_kind_or_shape_is_refused(q, error, message):
    with pytest.raises(error, match=message):
        a_model().elbo(data(4), q)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.eye(3), r"shape \(2, 2\), got \(3, 3\)"),
        (2 * torch.eye(2), r"off by 3\b"),
        (torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "must be orthogonal"),
        (torch.full((2, 2), float("nan")), "must be orthogonal"),
    ],
)
def test_what_is_no_rotation_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        a_model().rotated(matrix.double())
