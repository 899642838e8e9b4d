"""Annealed importance sampling, where log p(x) is known exactly."""

import math

import pytest
import torch
from linear_gaussian import LinearGaussian
from torch.distributions import MultivariateNormal, Normal

from gm_lib.distributions.estimates import assert_unbiased, estimate
from gm_lib.evaluation import annealed_log_likelihood
from gm_lib.vae import VAE, Decoder, Gaussian, GaussianEncoder, digit_vae

FAST = {"leapfrog": 4}


def made_by(exact, n):
    """Examples, the z that made them, and their exact log p(x)."""
    z = exact.model.prior.sample((n,))
    x = exact.model.likelihood.sample(exact.model.decode(z))
    return x, z, exact.marginal.log_prob(x)


@pytest.mark.parametrize("temperatures", [1, 2, 12])
def test_one_chain_has_a_weight_whose_expectation_is_exactly_the_likelihood(temperatures):
    exact = LinearGaussian(d=3)
    x = exact.marginal.sample((1,)).expand(20_000, 3)
    result = annealed_log_likelihood(
        exact.model, x, temperatures=temperatures, chains=1, batch_size=20_000, **FAST
    )
    assert_unbiased((result.bound - exact.marginal.log_prob(x)).exp(), 1.0, standard_errors=5)


def test_a_chain_backwards_from_the_posterior_has_the_inverse_likelihood_as_its_expectation():
    exact = LinearGaussian(d=3)
    x, z, log_p = made_by(exact, 20_000)
    result = annealed_log_likelihood(
        exact.model, x, temperatures=12, chains=1, posterior=z, batch_size=20_000, **FAST
    )
    assert_unbiased((log_p - result.bound).exp(), 1.0, standard_errors=5)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_both_directions_hold_the_exact_value_between_them_and_close_in_on_it(orthogonal):
    exact = LinearGaussian(orthogonal=orthogonal)
    x, z, log_p = made_by(exact, 800)
    below, above = [], []
    for temperatures in (2, 60):
        settings = {"temperatures": temperatures, "chains": 2, "batch_size": 800, **FAST}
        below.append(estimate(log_p - annealed_log_likelihood(exact.model, x, **settings).bound))
        upper = annealed_log_likelihood(exact.model, x, posterior=z, **settings)
        above.append(estimate(upper.bound - log_p))
    for wide, narrow in (below, above):
        assert wide.mean > 4 * wide.standard_error
        assert narrow.mean > -4 * narrow.standard_error
        assert wide.mean - narrow.mean > 4 * math.hypot(wide.standard_error, narrow.standard_error)
        assert narrow.mean < 0.3 * wide.mean


def test_many_temperatures_find_the_value_of_each_example_batch_by_batch():
    exact = LinearGaussian()
    x, z, log_p = made_by(exact, 6)
    for posterior in (None, z):
        result = annealed_log_likelihood(
            exact.model, x, temperatures=100, chains=64, posterior=posterior, batch_size=4, **FAST
        )
        assert (result.bound.shape, result.bound.dtype, result.k) == ((6,), torch.float64, 64)
        torch.testing.assert_close(result.bound, log_p, rtol=0, atol=0.6)
        assert result.mean == pytest.approx(log_p.mean().item(), abs=0.2)
        assert result.standard_error == pytest.approx(log_p.std().item() / math.sqrt(6), rel=0.2)


def test_the_step_sizes_follow_a_posterior_twenty_times_as_narrow_as_the_prior():
    exact = LinearGaussian(sigma=0.05)
    x, z, log_p = made_by(exact, 30)
    lower = annealed_log_likelihood(exact.model, x, temperatures=300, **FAST)
    upper = annealed_log_likelihood(exact.model, x, temperatures=300, posterior=z, **FAST)
    assert lower.mean == pytest.approx(log_p.mean().item(), abs=0.4)
    assert upper.mean == pytest.approx(log_p.mean().item(), abs=0.4)


def test_paths_that_run_away_to_infinity_are_refused_and_the_steps_become_shorter(monkeypatch):
    monkeypatch.setattr("gm_lib.evaluation.annealed.FIRST_STEP", 1e12)
    exact = LinearGaussian(sigma=0.2)
    x, _, log_p = made_by(exact, 30)
    result = annealed_log_likelihood(exact.model.float(), x, temperatures=400, **FAST)
    assert result.mean == pytest.approx(log_p.mean().item(), abs=0.4)


def test_backwards_at_one_temperature_each_example_is_measured_at_its_own_z():
    exact = LinearGaussian()
    x, z, _ = made_by(exact, 5)
    result = annealed_log_likelihood(exact.model, x, temperatures=1, posterior=z, batch_size=2)
    expected = exact.model.likelihood.log_prob(x, exact.model.decode(z)).detach()
    torch.testing.assert_close(result.bound, expected)


@pytest.mark.parametrize("temperatures", [1, 7])
def test_where_x_does_not_depend_on_z_every_weight_is_the_likelihood(temperatures):
    exact = LinearGaussian()
    torch.nn.init.zeros_(exact.model.decoder.net[0].weight)
    x = exact.marginal.sample((5,))
    expected = Normal(exact.b, exact.sigma).log_prob(x).sum(-1)
    for posterior in (None, torch.randn(5, 2)):
        result = annealed_log_likelihood(
            exact.model, x, temperatures=temperatures, posterior=posterior, **FAST
        )
        torch.testing.assert_close(result.bound, expected, rtol=1e-6, atol=1e-6)


def test_a_conditional_model_is_measured_with_each_examples_own_label():
    decoder, likelihood = Decoder(2, [], (4,), num_classes=3), Gaussian((4,))
    model = VAE(GaussianEncoder((4,), [], 2, num_classes=3), decoder, likelihood).double()
    with torch.no_grad():
        decoder.net[0].weight.normal_()
        decoder.net[0].weight[:, 2:] *= 3
    W, shifts = decoder.net[0].weight.detach().split([2, 3], dim=1)
    y = torch.arange(6) % 3
    mean = shifts.T[y] + decoder.net[0].bias.detach()
    marginal = MultivariateNormal(mean, W @ W.T + torch.eye(4))
    x = marginal.sample()
    result = annealed_log_likelihood(model, x, y, temperatures=60, chains=64, batch_size=4, **FAST)
    torch.testing.assert_close(result.bound, marginal.log_prob(x), rtol=0, atol=0.4)


def test_the_same_seed_gives_the_same_bound_and_the_global_state_stays():
    exact = LinearGaussian()
    x = exact.marginal.sample((3,))
    state = torch.get_rng_state()
    first, second, other = (
        annealed_log_likelihood(exact.model, x, temperatures=5, seed=seed, **FAST).bound for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    exact = LinearGaussian()
    x, z, _ = made_by(exact, 3)
    model = exact.model.train(training)
    model.elbo(x).sum().backward()
    before = [(p.detach().clone(), p.grad.clone(), p.requires_grad) for p in model.parameters()]
    for posterior in (None, z):
        annealed_log_likelihood(model, x, temperatures=3, posterior=posterior, **FAST)
    assert model.training is training
    for p, (value, grad, learns) in zip(model.parameters(), before, strict=True):
        assert torch.equal(p, value)
        assert torch.equal(p.grad, grad)
        assert p.requires_grad is learns


class Flat(torch.nn.Module):
    """log p(x | z) = log x for every z; notes how many z it is asked for at a time."""

    values_per_draw = 2**20
    latent_dim = 1
    prior = Normal(torch.zeros(1), torch.ones(1), validate_args=False)

    def __init__(self):
        super().__init__()
        self.draws = []

    def log_joint(self, z, x, y=None):
        assert not self.training
        self.draws.append(z.shape[0] * z.shape[1])
        return self.prior.log_prob(z).sum(-1) + x[:, 0].log()


def test_impossible_data_has_likelihood_minus_infinity_and_not_nan():
    result = annealed_log_likelihood(Flat(), torch.tensor([[0.0], [0.5]]), temperatures=4, chains=3)
    torch.testing.assert_close(result.bound, torch.tensor([-math.inf, math.log(0.5)], dtype=torch.float64))


def test_a_decoder_that_puts_out_many_numbers_is_asked_for_few_draws_at_a_time():
    model = Flat()
    result = annealed_log_likelihood(model, torch.ones(5, 1), temperatures=2, chains=4)
    assert len(result.bound) == 5
    assert max(model.draws) == 4  # 2²² numbers, 16 MiB


def test_one_example_has_a_bound_but_no_standard_error():
    result = annealed_log_likelihood(Flat(), torch.ones(1, 1), temperatures=2)
    assert math.isfinite(result.mean)
    assert math.isnan(result.standard_error)


@pytest.mark.parametrize("wrong", ["temperatures", "chains", "leapfrog"])
def test_numbers_below_one_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"{wrong} must be at least 1, got 0"):
        annealed_log_likelihood(Flat(), torch.ones(2, 1), **{wrong: 0})


def test_no_data_and_draws_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="no data to evaluate"):
        annealed_log_likelihood(Flat(), torch.ones(0, 1))
    for shape in ((2,), (3, 1), (2, 2), (1, 2, 1)):
        with pytest.raises(ValueError, match=r"its shape must be \(2, 1\), got"):
            annealed_log_likelihood(Flat(), torch.ones(2, 1), posterior=torch.zeros(shape))


def test_draws_from_the_posterior_may_be_an_array_of_another_precision():
    model = digit_vae(hidden=4, latent_dim=2)
    x, z = torch.randint(0, 2, (3, 1, 28, 28)).float(), torch.randn(3, 2)
    first, second = (
        annealed_log_likelihood(model, x, posterior=draws, temperatures=3, chains=2).bound
        for draws in (z, z.double().numpy())
    )
    assert torch.equal(first, second)
