"""Claims about how remedies are measured: with the same players, by the same numbers, and as promised."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import claims_gan
from claims import CLAIMS
from claims_gan import DIGIT_GANS, GRID_REMEDIES, HOURS, OURS, SMALL, STACK_REMEDIES, grid_gan, look
from gm_lib.data import ImageData, Split
from gm_lib.networks import count_parameters

IMAGES = torch.rand(300, 1, 28, 28, generator=torch.Generator().manual_seed(0))
DIGITS = Split(IMAGES, torch.arange(300) % 10)


@pytest.fixture
def short(monkeypatch, tmp_path):
    """Two steps for each remedy, few samples, and noise in place of MNIST."""

    def two_steps(remedies):
        for name, remedy in remedies.items():
            settings = {key: 2 if key == "decay_steps" else value for key, value in remedy.settings.items()}
            monkeypatch.setitem(remedies, name, dataclasses.replace(remedy, steps=2, settings=settings))

    for remedies in (GRID_REMEDIES, STACK_REMEDIES, HOURS, DIGIT_GANS):
        two_steps(remedies)
    data = ImageData("mnist", "a generator", DIGITS, DIGITS, DIGITS)
    monkeypatch.setattr(claims_gan, "mnist", lambda: data)
    monkeypatch.setattr(claims_gan, "ROOT", tmp_path)
    monkeypatch.setattr(claims_gan, "STACK_BATCH", 4)
    monkeypatch.setattr(claims_gan, "STACK_SAMPLES", 20)
    monkeypatch.setattr(claims_gan, "FEW", 150)


def but_seconds(measured):
    return {key: value for key, value in measured.items() if not key.startswith(("seconds", "hours"))}


@pytest.fixture
def many_digits(short, monkeypatch):
    """Noise again, as many images of it as judging needs, others in each part."""
    images = torch.rand(3, 1300, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    parts = (Split(part, torch.arange(1300) % 10) for part in images)
    data = ImageData("mnist", "a generator", *parts)
    monkeypatch.setattr(claims_gan, "mnist", lambda: data)
    monkeypatch.setattr(claims_gan, "DIGIT_SAMPLES", 650)


@pytest.mark.usefixtures("many_digits")
def test_two_gans_on_digits_give_what_was_promised():
    claim = CLAIMS["gan_mnist"]
    measured = claim.measure(3)
    assert set(measured) == set(claim.quantities)
    assert measured["frechet_dcgan"] > measured["frechet_floor"], "two steps are not enough to be noise"


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("name", ["remedies_grid", "remedies_stacked"])
def test_a_seed_gives_what_was_promised_and_the_same_again(name):
    claim = CLAIMS[name]
    first = claim.measure(3)
    assert set(first) == set(claim.quantities)
    if name == "remedies_grid":
        assert but_seconds(claim.measure(3)) == but_seconds(first)


@pytest.mark.usefixtures("short")
def test_a_long_training_goes_on_with_what_is_there(tmp_path, capsys):
    claim = CLAIMS["stacked_best"]
    first = claim.measure(3)
    assert set(first) == set(claim.quantities)
    assert {path.name for path in (tmp_path / "runs" / "stacked").iterdir()} == {"dcgan-3", "best-3"}
    assert but_seconds(claim.measure(3)) == but_seconds(first)
    assert capsys.readouterr().out.count("nothing is left to do") == 2


@pytest.mark.usefixtures("short")
def test_few_digits_are_looked_at_as_often_as_promised(monkeypatch):
    monkeypatch.setattr(claims_gan, "LOOKS", (1, 2))
    for name in list(SMALL)[1:]:
        monkeypatch.delitem(SMALL, name)
    claim = CLAIMS["small_data"]
    promised = {f"{key}_all_{step}" for key in ("gap", "above", "frechet") for step in (1, 2)}
    assert set(claim.measure(0)) == promised | {"frechet_copies"}


def test_players_are_equally_large_under_every_remedy():
    sizes = {
        name: (count_parameters(model.generator), count_parameters(model.discriminator))
        for name, remedy in GRID_REMEDIES.items()
        for model in [grid_gan(**remedy.settings)]
    }
    generator, discriminator = sizes["plain"]
    for name, size in sizes.items():
        more = 2 * claims_gan.HIDDEN[0] if name == "packed" else 0  # it sees two points at a time
        assert size == (generator, discriminator + more), name


def test_the_best_is_among_the_remedies_that_are_compared():
    assert HOURS["best"].settings == STACK_REMEDIES["best"].settings == OURS


class Remembers(nn.Module):
    """A discriminator whose logit is 1 for images that it was shown and 0 for others."""

    def __init__(self, known):
        super().__init__()
        self.known = known

    def forward(self, x):
        return (x[:, None] == self.known).flatten(2).all(2).any(1).float()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("known", "gap"), [(150, 0.5), (75, 0.25), (0, 0.0)])
def test_what_is_known_by_heart_shows_in_the_logits(known, gap):
    """The first half of the validation images is looked at as if it had been trained on."""
    samples = torch.rand(100, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    model = SimpleNamespace(
        discriminator=Remembers(IMAGES[:known]),
        parameters=lambda: iter([torch.zeros(1)]),
        sample=lambda n, generator: samples,
    )
    seen = look(model, IMAGES[:150])
    assert seen["gap"] == pytest.approx(gap)
    assert seen["above"] == pytest.approx(known / 150 * (1 - known / 300))
