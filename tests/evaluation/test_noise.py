"""A density for generators, where log p(x) is known exactly."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal

from gm_lib.distributions.estimates import assert_unbiased, estimate
from gm_lib.distributions.ppca import ProbabilisticPCA
from gm_lib.evaluation import NoisyDecoder, annealed_log_likelihood
from gm_lib.gan import digit_gan
from gm_lib.vae import digit_vae

SIGMA = 0.5


def linear():
    """Probabilistic PCA of 6 dimensions with 2 hidden ones, and its decoder with noise."""
    W, mean = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    exact = ProbabilisticPCA(W, mean, SIGMA**2)
    return exact, NoisyDecoder(exact.decode, sigma=SIGMA, prior=standard(2))


def standard(dims):
    return Normal(torch.zeros(dims, dtype=torch.float64), torch.ones(dims, dtype=torch.float64))


def test_of_a_linear_decoder_one_chain_is_unbiased_for_the_likelihood_of_probabilistic_pca():
    exact, model = linear()
    x = exact.sample(1).expand(20_000, 6)
    result = annealed_log_likelihood(model, x, temperatures=10, chains=1, leapfrog=4, batch_size=20_000)
    assert_unbiased((result.bound - exact.log_prob(x)).exp(), 1.0, standard_errors=5)


def test_of_a_linear_decoder_both_directions_meet_at_the_likelihood_of_probabilistic_pca():
    exact, model = linear()
    z = torch.randn(100, 2, dtype=torch.float64)
    x = model.means(z) + SIGMA * torch.randn(100, 6, dtype=torch.float64)
    settings = {"temperatures": 150, "chains": 8, "leapfrog": 4}
    lower = annealed_log_likelihood(model, x, **settings)
    upper = annealed_log_likelihood(model, x, posterior=z, **settings)
    below, above = estimate(exact.log_prob(x) - lower.bound), estimate(upper.bound - exact.log_prob(x))
    for gap, bound in ((below, lower), (above, upper)):
        assert gap.mean > -4 * gap.standard_error
        assert gap.mean < bound.standard_error  # the bound is within its own error


def test_a_decoder_that_does_not_look_at_z_has_the_likelihood_of_its_noise():
    mean = torch.rand(3, 4)
    x = torch.rand(5, 3, 4)
    model = NoisyDecoder(
        lambda z: mean + 0 * z.sum(1)[:, None, None], sigma=0.2, prior=Normal(torch.zeros(2), 1)
    )
    result = annealed_log_likelihood(model, x, temperatures=5, chains=2)
    torch.testing.assert_close(result.bound.float(), Normal(mean, 0.2).log_prob(x).sum((1, 2)))
    tossed = NoisyDecoder(model.decode, prior=model.prior)
    result = annealed_log_likelihood(tossed, x.round(), temperatures=5, chains=2)
    torch.testing.assert_close(result.bound.float(), Bernoulli(mean).log_prob(x.round()).sum((1, 2)))


@pytest.mark.parametrize(("kind", "sigma"), [("gaussian", 0.3), ("bernoulli", None)])
@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_with_a_vaes_means_and_noise_it_is_the_vae(kind, sigma, prior):
    vae = digit_vae(hidden=8, latent_dim=3, likelihood=kind, sigma=sigma, num_classes=10, prior=prior)

    def means(z, y):
        return vae.likelihood.mean(vae.decode(z, y))

    model = NoisyDecoder(means, sigma=sigma, prior=vae.prior)
    x, y, z = torch.rand(4, 1, 28, 28).round(), torch.arange(4), torch.randn(5, 4, 3)
    torch.testing.assert_close(model.log_joint(z, x, y), vae.log_joint(z, x, y))
    assert model.latent_dim == 3
    ours, theirs = (annealed_log_likelihood(m, x, y, temperatures=3, chains=2).bound for m in (model, vae))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=0.01)


@pytest.mark.parametrize("num_classes", [0, 10])
@pytest.mark.parametrize("steps", [1, 4])
def test_a_gan_is_measured_by_the_generator_that_it_samples_with_and_left_as_it_was(num_classes, steps):
    gan = digit_gan(width=4, latent_dim=3, num_classes=num_classes, discriminator_steps=steps).train()
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    x, y, z = torch.rand(5, 1, 28, 28), torch.arange(5), torch.randn(2, 5, 3)
    model = NoisyDecoder(gan, sigma=0.2)
    for rows in (0, 1):
        expected = Normal(gan.generate(z[rows], y), 0.2).log_prob(x).sum((1, 2, 3))
        expected = expected + Independent(Normal(torch.zeros(3), 1.0), 1).log_prob(z[rows])
        torch.testing.assert_close(model.log_joint(z, x, y)[rows], expected)
    bound = annealed_log_likelihood(model, x, y, temperatures=4, chains=2).bound
    assert bound.isfinite().all()
    again = annealed_log_likelihood(NoisyDecoder(gan.averaged, sigma=0.2), x, y, temperatures=4, chains=2)
    torch.testing.assert_close(bound, again.bound)
    assert gan.training
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())
    assert all(p.grad is None for p in gan.parameters())


def test_a_conditional_gan_wants_the_labels():
    model = NoisyDecoder(digit_gan(width=4, latent_dim=3, num_classes=10), sigma=0.2)
    with pytest.raises(ValueError, match="labels are needed"):
        annealed_log_likelihood(model, torch.rand(5, 1, 28, 28))


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_a_sigma_that_is_no_standard_deviation_is_refused(sigma):
    with pytest.raises(ValueError, match="standard deviation, finite and above 0"):
        NoisyDecoder(lambda z: z, sigma=sigma, prior=standard(2))


def test_a_function_must_be_told_what_its_z_are():
    with pytest.raises(TypeError, match="function does not say how many dimensions its z has: give a prior"):
        NoisyDecoder(lambda z: z, sigma=1.0)


def sigmoid(z):
    return z.repeat(1, 50).sigmoid()


@pytest.mark.parametrize(
    ("decode", "sigma", "x", "message"),
    [
        (lambda z: z[:, :1], 0.1, torch.rand(3, 2), r"the decoder makes \(3, 1\) of 3 z, and 3 examples of"),
        (lambda z: z[:1], 0.1, torch.rand(3, 2), r"the decoder makes \(1, 2\) of 3 z"),
        (lambda z: z / 0, 0.1, torch.rand(3, 2), "the decoder puts out NaN or infinite values"),
        (lambda z: z, None, torch.ones(3, 2), r"probabilities, in \[0, 1\], got values between"),
        (sigmoid, None, torch.full((3, 100), 0.5), "tossed, 0 or 1, got values between 0.5 and 0.5"),
        (sigmoid, 0.1, torch.full((3, 100), -1.0), r"one is scaled to \[-1, 1\] and the other to \[0, 1\]"),
        (lambda z: (9 * z).repeat(1, 50).tanh(), 0.1, torch.rand(3, 100), "Bring both to the same scale"),
        (sigmoid, 0.1, torch.full((3, 100), math.nan), "x holds NaN or infinite values"),
        (sigmoid, 0.1, torch.ones(3, 100).long(), "convert it with x.float"),
    ],
)  # fmt: skip
def test_a_decoder_and_data_that_do_not_fit_are_refused(decode, sigma, x, message):
    model = NoisyDecoder(decode, sigma=sigma, prior=Normal(torch.zeros(2), 1))
    with pytest.raises(ValueError, match=message):
        annealed_log_likelihood(model, x, temperatures=2)


def test_data_with_noise_of_the_model_itself_pass_though_they_leave_the_images_range():
    gan = digit_gan(width=4, latent_dim=3)
    z = torch.randn(3, 3)
    x = gan.generate(z) + 0.5 * torch.randn(3, 1, 28, 28)
    model = NoisyDecoder(gan, sigma=0.5)
    assert annealed_log_likelihood(model, x, posterior=z, temperatures=2).bound.isfinite().all()


def test_means_that_happen_to_lie_between_minus_one_and_one_are_no_other_scale():
    model = NoisyDecoder(lambda z: torch.erf(z / 2**0.5).repeat(1, 50), sigma=0.5, prior=standard(2))
    model.check((torch.rand(200, 100), None))  # a twentieth of them is below -0.9


def test_looking_at_data_leaves_the_global_random_state():
    model, state = linear()[1], torch.get_rng_state()
    model.check((torch.zeros(3, 6), None))
    assert torch.equal(torch.get_rng_state(), state)
