import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.vae import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Gaussian,
    PixelGaussian,
    SharedDiscretizedLogistic,
    digit_vae,
    likelihood,
)

LEVELLED = ("discretized_logistic", "shared_discretized_logistic", "categorical")  # of 256 levels
SHAPE = (2, 3, 5)  # channels, height, width: all different, so that a wrong reshape shows


def grey(*shape):
    return torch.randint(0, 256, shape).float() / 255


def data_for(name, *shape):
    return torch.randint(0, 2, shape).float() if name == "bernoulli" else grey(*shape)


def params_for(model, *lead, scale=2.0):
    return scale * torch.randn(*lead, *model.params_shape)


def test_bernoulli_equals_torchs():
    model, x = Bernoulli(SHAPE), data_for("bernoulli", 7, *SHAPE)
    params = params_for(model, 7, scale=10)
    expected = Independent(TorchBernoulli(logits=params), 3).log_prob(x)
    torch.testing.assert_close(model.log_prob(x, params), expected, rtol=1e-5, atol=1e-5)


def test_gaussian_equals_torchs_at_its_learned_scale():
    model, x = Gaussian(SHAPE), torch.randn(7, *SHAPE)
    torch.nn.init.constant_(model.log_scale, -0.7)
    params = params_for(model, 7)
    expected = Independent(Normal(params, math.exp(-0.7)), 3).log_prob(x)
    torch.testing.assert_close(model.log_prob(x, params), expected, rtol=1e-5, atol=1e-4)


def test_gaussian_equals_torchs_at_a_given_scale_and_has_nothing_to_learn():
    model, x = Gaussian(SHAPE, sigma=0.3), torch.randn(7, *SHAPE)
    params = params_for(model, 7)
    expected = Independent(Normal(params, 0.3), 3).log_prob(x)
    torch.testing.assert_close(model.log_prob(x, params), expected, rtol=1e-5, atol=1e-3)
    assert not list(model.parameters())


def test_a_learned_scale_comes_to_the_root_mean_squared_error_and_a_given_one_stays():
    x, mean = (t.double() for t in (0.2 * torch.randn(50, *SHAPE), torch.zeros(50, *SHAPE)))
    for model, expected in ((Gaussian(SHAPE), x.square().mean().sqrt()), (Gaussian(SHAPE, 0.7), 0.7)):
        model.double()  # in float32 a line search may stop early, on some processors
        if own := list(model.parameters()):
            lbfgs = torch.optim.LBFGS(own, line_search_fn="strong_wolfe")

            def loss(model=model, lbfgs=lbfgs):
                lbfgs.zero_grad()
                value = -model.log_prob(x, mean).mean()
                value.backward()
                return value

            lbfgs.step(loss)
        torch.testing.assert_close(model.log_scale.exp().item(), float(expected), rtol=1e-4, atol=0)


def test_a_pixel_gaussian_equals_torchs_with_a_scale_for_each_value():
    model, x = PixelGaussian(SHAPE), torch.randn(7, *SHAPE)
    mean, log_scale = torch.randn(7, *SHAPE), torch.randn(7, *SHAPE)
    expected = Independent(Normal(mean, log_scale.exp()), 3).log_prob(x)
    raw = model.least + (log_scale - model.least).expm1().log()  # softplus, undone
    params = torch.cat([mean, raw], dim=1)
    torch.testing.assert_close(model.log_prob(x, params), expected, rtol=1e-5, atol=1e-3)


def test_a_pixels_scale_stays_above_the_least_and_comes_back_from_there():
    model, x = PixelGaussian((1,), least=-2.0), torch.tensor([5.0])  # far off: a wider scale is better
    assert model.distribution(torch.tensor([0.0, -50.0])).stddev.item() == pytest.approx(math.exp(-2))
    params = torch.tensor([0.0, -5.0], requires_grad=True)
    assert torch.autograd.grad(model.log_prob(x, params), params)[0][1].item() > 0


def test_a_pixels_scale_of_which_none_is_small_enough_settles():
    model, x = PixelGaussian((1,), least=-2.0), torch.zeros(1)
    params = torch.zeros(2, requires_grad=True)
    sgd = torch.optim.SGD([params], lr=0.1)
    places = []
    for _ in range(4000):
        sgd.zero_grad()
        (-model.log_prob(x, params)).backward()
        sgd.step()
        places.append(params[1].item())
    assert places[-1] > -12  # passed on undiminished, the gradient would have led to -400


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf, math.nan])
def test_a_scale_that_is_none_is_refused(sigma):
    with pytest.raises(ValueError, match="finite and above 0"):
        Gaussian(SHAPE, sigma)


def test_a_scale_for_another_likelihood_is_refused():
    assert digit_vae(likelihood="gaussian", sigma=0.3).likelihood.log_scale.exp().item() == pytest.approx(0.3)
    with pytest.raises(ValueError, match="sigma fixes the scale of likelihood='gaussian', and 'bernoulli'"):
        digit_vae(sigma=0.3)


def test_categorical_equals_torchs():
    model, x = Categorical(SHAPE, levels=5), torch.randint(0, 5, (7, *SHAPE)).float() / 4
    params = params_for(model, 7)
    logits = params.reshape(7, 5, *SHAPE).movedim(1, -1)
    expected = Independent(TorchCategorical(logits=logits), 3).log_prob(x * 4)
    torch.testing.assert_close(model.log_prob(x, params), expected, rtol=1e-5, atol=1e-4)


def test_discretized_logistic_equals_the_difference_of_scipys_cdf():
    model, x = DiscretizedLogistic(SHAPE), grey(7, *SHAPE)
    location, log_scale = x + 0.1 * torch.randn(7, *SHAPE), -3 + 0.5 * torch.randn(7, *SHAPE)
    dist = stats.logistic(location.double().numpy(), log_scale.double().exp().numpy())
    level = x.double().numpy()
    upper = np.where(x == 1, np.inf, level + 0.5 / 255)
    lower = np.where(x == 0, -np.inf, level - 0.5 / 255)
    expected = np.log(dist.cdf(upper) - dist.cdf(lower)).sum((1, 2, 3))
    params = torch.cat([location, log_scale], dim=1)
    np.testing.assert_allclose(model.log_prob(x, params).numpy(), expected, rtol=1e-5)


def test_with_one_scale_for_all_it_is_the_discretized_logistic_of_equal_scales():
    own, shared, x = DiscretizedLogistic(SHAPE), SharedDiscretizedLogistic(SHAPE), grey(7, *SHAPE)
    torch.nn.init.constant_(shared.log_scale, -2.5)
    location = x + 0.1 * torch.randn(7, *SHAPE)
    params = torch.cat([location, torch.full_like(location, -2.5)], dim=1)
    torch.testing.assert_close(shared.log_prob(x, location), own.log_prob(x, params))
    torch.testing.assert_close(shared.mean(location), own.mean(params))
    assert shared.params_shape == SHAPE
    assert [p.numel() for p in shared.parameters()] == [1]


def test_one_learned_scale_comes_to_the_most_likely_one_by_scipy():
    # Narrow bins and no outer ones: the discretized logistic is then a logistic density.
    x = (0.5 + 0.05 * torch.randn(1, 60, 1).clamp(-3, 3)).mul(255).round() / 255
    model = SharedDiscretizedLogistic((60, 1))
    lbfgs = torch.optim.LBFGS(list(model.parameters()), line_search_fn="strong_wolfe")

    def loss():
        lbfgs.zero_grad()
        value = -model.log_prob(x, torch.full_like(x, 0.5)).mean()
        value.backward()
        return value

    lbfgs.step(loss)
    _, expected = stats.logistic.fit(x.flatten().double().numpy(), floc=0.5)
    assert model.log_scale.exp().item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("location", [-5.0, 0.0, 0.3, 0.5, 1.0, 7.0])
@pytest.mark.parametrize("log_scale", [-50.0, -8.0, -5.0, 0.0, 8.0, 50.0])
def test_discretized_logistic_sums_to_one_over_its_256_levels(location, log_scale):
    model = DiscretizedLogistic((1,))
    levels = (torch.arange(256, dtype=torch.float64) / 255).unsqueeze(-1)
    params = torch.tensor([location, log_scale], dtype=torch.float64, requires_grad=True)
    log_p = model.log_prob(levels, params.expand(256, 2))
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-10)
    assert bool(log_p.isfinite().all())
    assert bool(torch.autograd.grad(log_p.sum(), params)[0].isfinite().all())


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0, 1e4])
def test_categorical_sums_to_one_over_its_256_levels(scale):
    model = Categorical((1,))
    levels = (torch.arange(256, dtype=torch.float64) / 255).unsqueeze(-1)
    params = scale * torch.randn(256, dtype=torch.float64)
    assert model.log_prob(levels, params.expand(256, 256)).logsumexp(0).item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("logit", [-1e4, -30.0, 0.0, 30.0, 1e4])
def test_bernoulli_sums_to_one_and_its_gradient_never_saturates_on_a_wrong_pixel(logit):
    params = torch.full((2, 1), logit, dtype=torch.float64, requires_grad=True)
    log_p = Bernoulli((1,)).log_prob(torch.tensor([[0.0], [1.0]]), params)
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-10)
    (gradient,) = torch.autograd.grad(log_p.sum(), params)
    torch.testing.assert_close(gradient[1] - gradient[0], torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_prob_broadcasts_over_draws_and_gives_one_number_per_example(name):
    model = likelihood(name, SHAPE)
    x, params = data_for(name, 4, *SHAPE), params_for(model, 6, 4)
    log_p = model.log_prob(x, params)
    assert log_p.shape == (6, 4)
    torch.testing.assert_close(log_p[5, 2], model.log_prob(x[2], params[5, 2]), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["discretized_logistic", "categorical"])
def test_the_mean_weighs_each_level_by_its_probability(name):
    model = likelihood(name, (1,))
    levels = (torch.arange(256, dtype=torch.float64) / 255).unsqueeze(-1)
    for params in (torch.tensor([0.4, -2.5]), torch.tensor([1.1, -1.0]), torch.tensor([0.0, -5.0])):
        params = params.double() if name == "discretized_logistic" else torch.randn(256, dtype=torch.float64)
        expected = (model.log_prob(levels, params.expand(256, -1)).exp() * levels[:, 0]).sum()
        torch.testing.assert_close(model.mean(params)[0], expected)


def test_a_logistic_narrower_or_wider_than_the_bounds_is_held_at_them():
    model, x = DiscretizedLogistic((1,)), torch.tensor([0.2])
    for extreme, held in ((-9.0, -8.0), (9.0, 8.0)):
        outside, inside = (model.log_prob(x, torch.tensor([0.2, s])) for s in (extreme, held))
        assert torch.equal(outside, inside)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_mean_is_the_mean_of_the_samples(name):
    model = likelihood(name, SHAPE)
    params = params_for(model, 2, scale=0.5)
    draws = torch.stack([model.sample(params) for _ in range(2_000)])
    assert draws.shape == (2_000, 2, *SHAPE)
    assert not draws.requires_grad
    assert_unbiased(draws, model.mean(params), standard_errors=5)


@pytest.mark.parametrize("name", ["bernoulli", "discretized_logistic", "categorical"])
def test_samples_fall_on_each_level_as_often_as_log_prob_says(name):
    model = likelihood(name, (1,))
    params = torch.tensor([0.4, -2.5]) if name == "discretized_logistic" else torch.randn(model.params_shape)
    top = 1 if name == "bernoulli" else 255
    levels = (torch.arange(top + 1) / top).unsqueeze(-1)
    cdf = model.log_prob(levels, params.expand(top + 1, -1)).exp().cumsum(0)
    draws = model.sample(params.expand(20_000, -1))
    model.check(draws)
    grid = torch.arange(0, top, max(1, top // 16))
    assert_unbiased((draws <= levels[grid].T + 1e-4).float(), cdf[grid], standard_errors=5)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_sampling_with_a_generator_repeats_itself_and_leaves_the_global_state_alone(name):
    model = likelihood(name, SHAPE)
    params = params_for(model, 3)
    state = torch.get_rng_state()
    first, second = (model.sample(params, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_its_own_kind_of_data_is_accepted(name):
    likelihood(name, SHAPE).check(data_for(name, 4, *SHAPE))


def test_grey_pixels_are_no_bernoulli_outcomes():
    with pytest.raises(ValueError, match=r"exactly 0 or 1.*binarize"):
        Bernoulli(SHAPE).check(grey(4, *SHAPE))


@pytest.mark.parametrize("bad", [torch.rand(4, *SHAPE), grey(4, *SHAPE) * 255, 2 * grey(4, *SHAPE) - 1])
@pytest.mark.parametrize("name", LEVELLED)
def test_values_between_or_outside_the_levels_are_refused(name, bad):
    with pytest.raises(ValueError, match=r"256 levels 0, 1/255"):
        likelihood(name, SHAPE).check(bad)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(4, 3, 5), r"\(n, 2, 3, 5\), got \(4, 3, 5\)"),
        (torch.zeros(0, *SHAPE), r"got \(0, 2, 3, 5\)"),
        (torch.zeros(4, *SHAPE, dtype=torch.uint8), "floating-point"),
        (torch.full((4, *SHAPE), math.nan), "NaN or infinity"),
    ],
)
def test_wrong_shape_type_or_nan_is_refused_by_all(name, bad, message):
    with pytest.raises(ValueError, match=message):
        likelihood(name, SHAPE).check(bad)


def test_a_misspelt_likelihood_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown likelihood 'bernouli'; did you mean 'bernoulli'"):
        likelihood("bernouli", SHAPE)


def test_a_categorical_of_one_level_is_refused():
    with pytest.raises(ValueError, match="at least 2 levels"):
        Categorical(SHAPE, levels=1)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_distribution_of_torch_agrees_in_log_prob_mean_and_shape(name):
    model = likelihood(name, SHAPE)
    x, params = data_for(name, 4, *SHAPE), params_for(model, 6, 4, scale=0.5)
    law = model.distribution(params)
    assert (law.batch_shape, law.event_shape) == ((6, 4), SHAPE)
    levels = name in LEVELLED
    torch.testing.assert_close(
        law.log_prob((x * 255).round() if levels else x), model.log_prob(x, params), rtol=1e-4, atol=1e-3
    )
    mean = law.base_dist.probs @ torch.linspace(0, 1, 256) if levels else law.mean
    torch.testing.assert_close(mean, model.mean(params), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("outside", [-9.0, 9.0])
def test_a_logistics_scale_that_has_left_the_bounds_comes_back(outside):
    model = DiscretizedLogistic((1,))
    levels = torch.tensor([[100.0], [110.0], [120.0], [130.0]]) / 255  # neither all in one bin nor flat
    params = torch.tensor([115 / 255, outside], requires_grad=True)
    adam = torch.optim.Adam([params], lr=0.1)
    for _ in range(200):
        adam.zero_grad()
        (-model.log_prob(levels, params.expand(4, 2)).mean()).backward()
        adam.step()
    assert -5 < params[1].item() < -2


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_one_example_without_a_batch_and_what_is_no_tensor_are_refused_with_a_remedy(name):
    model = likelihood(name, SHAPE)
    with pytest.raises(ValueError, match=r"got \(2, 3, 5\)\. x\[None\] makes a batch"):
        model.check(data_for(name, *SHAPE))
    with pytest.raises(TypeError, match=r"expects a torch\.Tensor, not ndarray"):
        model.check(np.zeros((4, *SHAPE)))
