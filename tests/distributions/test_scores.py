"""The score of x and Tweedie's formula, where densities and posterior means are known in closed form."""

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from gm_lib.distributions.mixtures import GaussianMixture, responsibilities
from gm_lib.distributions.scores import score_of_x, tweedie


def a_gaussian() -> MultivariateNormal:
    root = torch.tensor([[1.2, 0.0], [0.5, 0.4]]).double()
    return MultivariateNormal(torch.tensor([1.0, -2.0]).double(), root @ root.T)


def a_mixture() -> GaussianMixture:
    weights, means = torch.tensor([0.3, 0.7]), torch.tensor([[-2.0, 0.0], [1.0, 1.0]])
    return GaussianMixture(weights.double(), means.double(), torch.tensor([[0.5, 1.0], [2.0, 0.25]]).double())


def test_the_score_of_a_gaussian_is_linear_in_x():
    p = a_gaussian()
    x = p.sample((7,))
    expected = -(x - p.mean) @ p.precision_matrix
    torch.testing.assert_close(score_of_x(p.log_prob, x), expected)


def test_the_score_of_images_has_their_shape_and_needs_no_normalizing_constant():
    p = Independent(Normal(torch.full((1, 3, 3), 0.4), 2.0), 3)
    x = p.sample((5,))
    score = score_of_x(lambda x: p.log_prob(x) + 123.0, x)
    assert score.shape == x.shape
    torch.testing.assert_close(score, (0.4 - x) / 4)


def test_the_score_is_computed_also_without_gradients_and_leaves_no_trace():
    net = nn.Linear(2, 1).double()
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        score = score_of_x(lambda x: net(x).squeeze(1), x)
    torch.testing.assert_close(score, net.weight.detach().expand(4, 2))
    assert not score.requires_grad
    assert x.grad is None
    assert net.weight.grad is None
    data = torch.randn(4, 2, dtype=torch.float64)
    score_of_x(lambda x: net(x).squeeze(1), data)
    assert not data.requires_grad


@pytest.mark.parametrize(
    ("log_prob", "x", "message"),
    [
        (Normal(0.0, 1.0).log_prob, torch.randn(4, 2), r"one number per example, shape \(n,\).*\(4, 2\)"),
        (lambda x: Normal(0.0, 1.0).log_prob(x).sum(), torch.randn(4, 2), r"returned shape \(\)"),
        (lambda x: Normal(0.0, 1.0).log_prob(x.detach()), torch.randn(4), "no gradient flows"),
        (lambda x: x.sum(1), torch.zeros(4, 2, dtype=torch.long), r"convert with x\.float"),
        (Normal(0.0, 1.0).log_prob, torch.tensor(1.0), "one number per example"),
    ],
)
def test_what_has_no_score_per_example_is_refused(log_prob, x, message):
    with pytest.raises(ValueError, match=message):
        score_of_x(log_prob, x)


def test_tweedies_formula_gives_the_posterior_mean_of_a_gaussian():
    prior, noise_variance = a_gaussian(), 0.7
    eye = torch.eye(2).double()
    noisy_density = MultivariateNormal(prior.mean, prior.covariance_matrix + noise_variance * eye)
    noisy = noisy_density.sample((9,))
    # Bayes' rule for Gaussians: precisions add up.
    covariance = torch.linalg.inv(prior.precision_matrix + eye / noise_variance)
    expected = (prior.precision_matrix @ prior.mean + noisy / noise_variance) @ covariance
    score = score_of_x(noisy_density.log_prob, noisy)
    torch.testing.assert_close(tweedie(noisy, score, noise_variance), expected)


def test_tweedies_formula_gives_the_posterior_mean_of_a_mixture():
    clean, noise_variance = a_mixture(), 0.3
    noisy_density = GaussianMixture(clean.weights, clean.means, clean.variances + noise_variance)
    noisy = noisy_density.sample(9)[1]
    # Within each component a Gaussian's posterior mean, weighed by the component's probability.
    gain = clean.variances / (clean.variances + noise_variance)
    within = clean.means + gain * (noisy[:, None] - clean.means)
    expected = (responsibilities(noisy_density.log_joint(noisy))[..., None] * within).sum(1)
    score = score_of_x(noisy_density.log_prob, noisy)
    torch.testing.assert_close(tweedie(noisy, score, noise_variance), expected)


def test_without_noise_the_noisy_is_the_clean():
    noisy = torch.randn(3, 2)
    assert torch.equal(tweedie(noisy, torch.randn(3, 2), 0.0), noisy)


@pytest.mark.parametrize(
    ("score", "noise_variance", "message"),
    [
        (torch.zeros(4), 1.0, r"the noisy data's shape \(4, 1\), not \(4,\)"),
        (torch.zeros(4, 1), -0.1, r"at least 0, not -0\.1"),
        (torch.zeros(4, 1), float("nan"), "finite"),
    ],
)
def test_a_score_of_another_shape_or_an_impossible_variance_is_refused(score, noise_variance, message):
    with pytest.raises(ValueError, match=message):
        tweedie(torch.zeros(4, 1), score, noise_variance)
