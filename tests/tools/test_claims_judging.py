"""The claim about VAE and GAN measures what it promises, the same again, and looks late in the training."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import claims_judging
from claims import CLAIMS
from claims_judging import MODELS, drawn, of_images, trained
from gm_lib.data import ImageData, Split
from gm_lib.gan import digit_gan
from gm_lib.vae import digit_vae


@pytest.fixture
def short(monkeypatch):
    """Ten steps for each model, few samples, and noise in place of MNIST."""
    x = torch.rand(3, 1200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    data = ImageData("mnist", "a generator", *(Split(part, torch.arange(1200) % 10) for part in x))
    monkeypatch.setattr(claims_judging, "mnist", lambda: data)
    small = {"SAMPLES": 600, "COPIES": 100, "SCORED": 20, "DRAWS": 2, "LOOK_SAMPLES": 100}
    for name, value in small.items():
        monkeypatch.setattr(claims_judging, name, value)
    for name, model in MODELS.items():
        monkeypatch.setitem(MODELS, name, dataclasses.replace(model, steps=10, batch_size=8))


@pytest.mark.usefixtures("short")
def test_a_seed_gives_what_was_promised(monkeypatch):
    slow = SimpleNamespace(distance=2.0, at_infinity=1.0)
    monkeypatch.setattr(claims_judging, "frechet_distance_at_infinity", lambda *clouds, seed: slow)
    claim = CLAIMS["vae_and_gan"]
    measured = claim.measure(3)
    assert set(measured) == set(claim.quantities)
    assert measured["kernel_vae"] > measured["kernel_real"], "after ten steps no noise is written"


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", MODELS)
def test_a_seed_gives_the_same_model_again(name, monkeypatch):
    monkeypatch.setattr(claims_judging, "frechet_distance", lambda known, made: 0.0)
    monkeypatch.setattr(claims_judging, "features", lambda x: x)  # nobody looks
    (one, _), (again, _), (other, _) = (trained(MODELS[name], seed) for seed in (3, 3, 4))
    samples = [drawn(model, 5, seed=0) for model in (one, again, other)]
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])


@pytest.mark.usefixtures("short")
def test_the_looks_are_at_the_last_half_of_the_training_whose_step_sizes_fall_to_0(monkeypatch):
    seen = iter([9.0, 9.0, 9.0, 9.0, 9.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    monkeypatch.setattr(claims_judging, "frechet_distance", lambda known, made: next(seen))
    model, found = trained(MODELS["vae"], 0)
    assert model.decay_steps == MODELS["vae"].steps
    assert model.latent_dim == 50
    assert found["last"] == 3
    assert found["steady"] == pytest.approx(2.5**0.5)


def stripes(n, seed):
    """Images of smooth noise, which differ in more than their pixels' noise."""
    coarse = torch.rand(n, 1, 7, 7, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (28, 28))


def test_images_without_a_flaw_are_as_good_as_the_reference():
    one, other = stripes(1300, seed=0), stripes(1300, seed=1)
    found = of_images(one, other, seed=0)
    assert abs(found["infinity"]) < 0.3 * found["frechet"], "the bias of 1,300 examples is most of it"
    assert found["energy"] == pytest.approx(1, abs=0.05)
    assert found["density"] == pytest.approx(1, abs=0.1)
    assert found["told"] == pytest.approx(0.5, abs=0.06)
    flat = of_images(nn.functional.avg_pool2d(one, 3, 1, 1), other, seed=0)
    assert flat["energy"] < 0.8
    assert flat["frechet"] > 10 * found["frechet"]
    assert flat["told"] > 0.9


def test_the_models_differ_in_kind_and_not_in_what_was_tuned():
    assert {model.make for model in MODELS.values()} == {digit_vae, digit_gan}
    settings = {key for model in MODELS.values() for key in model.settings}
    assert settings == {"latent_dim", "architecture"}
