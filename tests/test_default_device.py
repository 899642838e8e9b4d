"""Where new tensors would be made by default does not matter. ``meta`` keeps no values: using it shows."""

import pytest
import torch

from gm_lib import evaluation
from gm_lib.data import toy
from gm_lib.distributions.estimates import estimate
from gm_lib.exercises.core import grade
from gm_lib.gan import digit_gan
from gm_lib.runtime import forked_rng
from gm_lib.vae import LIKELIHOODS, digit_autoencoder, digit_vae, refine

VAES = {name: digit_vae(likelihood=name, hidden=4, latent_dim=2, num_classes=10) for name in LIKELIHOODS}
GAN = digit_gan(latent_dim=4, width=4, num_classes=10)
AUTOENCODER = digit_autoencoder(hidden=4, noise=0.1)
CLOUDS = torch.randn(2, 40, 3).unbind()
LARGE_CLOUDS = torch.randn(2, 500, 3).unbind()
LABELLED = [(torch.rand(100, 1, 4, 4), torch.arange(100) % 2) for _ in range(3)]  # samples, test, real
DIGITS = torch.rand(300, 1, 28, 28)
LABELS = torch.arange(8) % 10
EIGHT = toy("gaussian_grid")
POINTS = EIGHT.sample((100,))


@pytest.fixture
def elsewhere():
    with forked_rng(0), torch.device("meta"):
        yield


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_vae_is_trained_sampled_and_measured_on_its_own_device(name):
    model, x = VAES[name], torch.zeros(8, 1, 28, 28, device="cpu")
    model.update((x, LABELS), model.optimizers(), 1)
    assert model.sample(8, LABELS, noisy=True).device.type == "cpu"
    assert model.likelihood.distribution(model.decode(model.encode(x, LABELS).mean, LABELS)).sample().is_cpu
    assert evaluation.log_likelihood(model, x, LABELS, k=3).bound.is_cpu
    assert evaluation.negative_elbo(model, x, LABELS).bound.is_cpu
    assert evaluation.active_units(model, x, LABELS).variance.is_cpu
    annealed = evaluation.annealed_log_likelihood(model, x, LABELS, temperatures=2, chains=2, leapfrog=2)
    assert annealed.bound.is_cpu
    assert evaluation.split_rate(model, x, LABELS).n == 8
    assert refine(model, x, LABELS, steps=1).mean.is_cpu


@pytest.mark.usefixtures("elsewhere")
def test_a_gan_is_trained_and_sampled_on_its_own_device():
    GAN.update((DIGITS[:8], LABELS), GAN.optimizers(), 1)
    assert GAN.sample(8, LABELS).is_cpu
    assert GAN.sample(2, [1, 2]).is_cpu


@pytest.mark.usefixtures("elsewhere")
def test_an_autoencoder_is_trained_and_used_on_its_own_device():
    AUTOENCODER.update((DIGITS[:8], None), AUTOENCODER.optimizers(), 1)
    assert AUTOENCODER.reconstruct(DIGITS[:8]).is_cpu
    assert AUTOENCODER.errors(DIGITS[:8]).is_cpu


@pytest.mark.usefixtures("elsewhere")
def test_samples_are_measured_on_the_cpu():
    assert evaluation.frechet_distance(*CLOUDS) > 0
    assert evaluation.kernel_distance(*CLOUDS).n == 40
    assert 0 <= evaluation.precision_recall(*CLOUDS).recall <= 1
    assert 0 <= evaluation.density_coverage(*CLOUDS).coverage <= 1
    assert evaluation.two_sample_test(*CLOUDS).n_test == 40
    assert evaluation.frechet_distance_at_infinity(*LARGE_CLOUDS).standard_error > 0
    assert evaluation.train_on_samples(*LABELLED[0], *LABELLED[1:]).n == 20
    assert evaluation.mode_coverage(POINTS, EIGHT).n == 100
    assert evaluation.stacked_mode_coverage(DIGITS.reshape(100, 3, 28, 28)).n == 100
    assert evaluation.judge_digits(DIGITS[:100], DIGITS).n_samples == 100
    assert estimate([1.0, 2.0]).mean == 1.5


@pytest.mark.usefixtures("elsewhere")
def test_an_exercise_is_checked_on_the_cpu():
    def kl(p, q):
        return torch.where(p > 0, p * (p.log() - q.log()), torch.zeros(len(p))).sum()

    assert grade("3.3", kl).outcome == "right", grade("3.3", kl).message
