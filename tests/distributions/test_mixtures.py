"""Mixtures and EM against scikit-learn, torch.distributions, and what theory promises."""

import math

import pytest
import torch
from sklearn.mixture import GaussianMixture as SklearnMixture
from torch.distributions import Bernoulli, Categorical, Independent, MixtureSameFamily, Normal

from gm_lib.data import toy
from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.distributions.mixtures import BernoulliMixture, GaussianMixture, em, responsibilities
from gm_lib.runtime import forked_rng

START = GaussianMixture(
    torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64),
    torch.tensor([[-1.0, 0.0], [1.0, 1.0], [0.5, -1.5]], dtype=torch.float64),
    torch.tensor([[0.5, 1.0], [2.0, 0.3], [1.0, 1.0]], dtype=torch.float64),
)


def points(n: int = 400) -> torch.Tensor:
    with forked_rng(seed=0):
        return toy("two_moons").sample((n,)).double()


def coins() -> BernoulliMixture:
    return BernoulliMixture(torch.tensor([0.25, 0.75]), torch.tensor([[0.9, 0.2, 0.5], [0.3, 0.6, 0.1]]))


def by_torch(mixture: GaussianMixture) -> MixtureSameFamily:
    components = Independent(Normal(mixture.means, mixture.variances.sqrt()), 1)
    return MixtureSameFamily(Categorical(mixture.weights), components)


def test_the_density_of_a_gaussian_mixture_is_that_of_torch_distributions():
    x = points()
    torch.testing.assert_close(START.log_prob(x), by_torch(START).log_prob(x))


def test_the_probability_of_a_bernoulli_mixture_is_that_of_torch_distributions_and_sums_to_one():
    mixture = coins()
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    oracle = MixtureSameFamily(Categorical(mixture.weights), Independent(Bernoulli(mixture.probs), 1))
    torch.testing.assert_close(mixture.log_prob(x), oracle.log_prob(x))
    assert mixture.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_responsibilities_are_joint_over_marginal_and_survive_joints_that_underflow():
    log_joint = START.log_joint(points())
    r = responsibilities(log_joint)
    torch.testing.assert_close(r, log_joint.exp() / log_joint.exp().sum(1, keepdim=True))
    torch.testing.assert_close(responsibilities(log_joint - 2000), r)


def test_em_takes_the_same_steps_as_scikit_learn():
    x = points()
    for steps in (1, 2, 10):
        theirs = SklearnMixture(
            3,
            covariance_type="diag",
            reg_covar=0.0,
            tol=0.0,
            max_iter=steps,
            weights_init=START.weights.numpy(),
            means_init=START.means.numpy(),
            precisions_init=(1 / START.variances).numpy(),
        )
        with pytest.warns(match="did not converge"):
            theirs.fit(x.numpy())
        ours, scores = em(START, x, steps=steps)
        torch.testing.assert_close(ours.weights, torch.from_numpy(theirs.weights_), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(ours.means, torch.from_numpy(theirs.means_), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(
            ours.variances, torch.from_numpy(theirs.covariances_), rtol=1e-5, atol=1e-8
        )
        assert scores[-1].item() == pytest.approx(theirs.score(x.numpy()), rel=1e-8)


def test_the_likelihood_never_falls():
    _, scores = em(START, points(), steps=60)
    assert bool((scores.diff() > -1e-10).all())
    assert scores[-1] > scores[0] + 0.1


def test_refit_maximizes_the_expected_joint():
    x = points()
    r = responsibilities(START.log_joint(x))
    best = START.refit(x, r)

    def expected(mixture: GaussianMixture) -> float:
        return (r * mixture.log_joint(x)).sum().item()

    for k in range(3):
        for change in (1e-2, -1e-2):
            means, variances = best.means.clone(), best.variances.clone()
            means[k, 0] += change
            variances[k, 1] *= 1 + change
            assert expected(GaussianMixture(best.weights, means, best.variances)) < expected(best)
            assert expected(GaussianMixture(best.weights, best.means, variances)) < expected(best)


def test_samples_of_both_mixtures_have_their_proportions_and_means():
    generator = torch.Generator().manual_seed(1)
    for mixture, means in ((START, START.means), (coins(), coins().probs)):
        z, x = mixture.sample(20_000, generator)
        for k, (weight, mean) in enumerate(zip(mixture.weights, means, strict=True)):
            assert_unbiased((z == k).double(), weight.item())
            assert_unbiased(x[z == k], mean)


def test_sampling_uses_its_generator_alone():
    state = torch.get_rng_state()
    START.sample(10, torch.Generator().manual_seed(0))
    coins().sample(10, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_em_finds_the_coins_that_made_the_data():
    truth = BernoulliMixture(torch.tensor([0.3, 0.7]), torch.tensor([[0.9] * 10, [0.2] * 10]))
    _, x = truth.sample(5_000, torch.Generator().manual_seed(2))
    start = BernoulliMixture(torch.tensor([0.5, 0.5]), torch.tensor([[0.6] * 10, [0.4] * 10]))
    found, _ = em(start, x, steps=30)
    torch.testing.assert_close(found.weights, truth.weights, atol=0.03, rtol=0)  # 4 standard errors
    torch.testing.assert_close(found.probs, truth.probs, atol=0.04, rtol=0)


def test_a_pixel_that_was_never_white_is_not_impossible():
    start = BernoulliMixture(torch.tensor([1.0]), torch.full((1, 4), 0.5))
    found, _ = em(start, torch.zeros(10, 4), steps=1)
    torch.testing.assert_close(found.probs, torch.full((1, 4), 0.5 / 11))


def test_a_component_on_one_point_collapses_unless_there_is_a_floor():
    x = torch.cat([points(50), torch.tensor([[9.0, 9.0]], dtype=torch.float64)])
    means = torch.tensor([[0.5, 0.25], [9.0, 9.0]], dtype=torch.float64)
    start = GaussianMixture(torch.tensor([0.5, 0.5]).double(), means, torch.full_like(means, 1e-3))
    with pytest.raises(FloatingPointError, match="has shrunk onto a few"):
        em(start, x, steps=50)
    held, _ = em(start, x, steps=50, smallest=1e-2)
    assert float(held.variances.min()) == pytest.approx(1e-2)


@pytest.mark.parametrize("x", [torch.zeros(5), torch.full((3, 2), math.nan)])
def test_what_is_no_data_is_refused(x):
    with pytest.raises(ValueError, match=r"finite and of shape \(n, d\)"):
        em(START, x, steps=1)
