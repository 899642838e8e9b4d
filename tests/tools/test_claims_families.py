"""The claim about all families: each gets its time, and an interrupted run goes on with what is there."""

import json

import pytest
import torch

import claims_families
from claims import CLAIMS
from claims_families import FAMILIES, TIMED, WARM, fitted, seconds_of_a_step
from gm_lib.beyond import digit_flow
from gm_lib.data import Batches, ImageData, Split

IMAGES = (torch.rand(400, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
DIGITS = Split(IMAGES, torch.arange(400) % 10)


@pytest.fixture
def short(monkeypatch, tmp_path):
    """A training of one or two steps for each family, few samples, and noise in place of MNIST."""
    data = ImageData("mnist", "a generator", DIGITS, DIGITS, DIGITS)
    for name, value in {
        "mnist": lambda: data,
        "ROOT": tmp_path,
        "SECONDS": 0.01,
        "seconds_of_a_step": lambda build, batches: 0.005,
        "BATCH": 4,
        "JUDGED": 66,
        "SCORED": 3,
        "DRAWS": 2,
    }.items():
        monkeypatch.setattr(claims_families, name, value)
    return tmp_path / "runs" / "families" / "3"


def test_the_claim_gives_what_was_promised_and_measures_no_finished_family_again(short, monkeypatch):
    claim = CLAIMS["families"]
    measured = claim.measure(3)
    assert set(measured) == set(claim.quantities)
    units = {
        name: claim.quantities[f"score_{name}"].unit for name, family in FAMILIES.items() if family.score
    }
    nats = {name for name, unit in units.items() if unit == "nats per image"}
    assert nats == {name for name, family in FAMILIES.items() if family.binary}
    assert set(units) - nats == {"vae_gan", "flow"}
    assert 7 < measured["score_flow"] < 20
    kept = json.loads((short / "flow" / "measured.json").read_text())
    assert kept["score"] == measured["score_flow"]
    monkeypatch.setattr(claims_families, "trained", None)  # nothing is left to train
    assert claim.measure(3) == measured


def batches():
    return Batches(IMAGES, batch_size=4, seed=0, device="cpu")


def flow(steps):
    return digit_flow(width=4, couplings=(2, 2), decay_steps=steps)


def test_a_family_gets_as_many_steps_as_its_seconds_pay_for(tmp_path, monkeypatch):
    monkeypatch.setattr(claims_families, "seconds_of_a_step", lambda build, batches: 0.25)
    model, cost = fitted(flow, batches, 1.5, tmp_path, seed=0, average=0.5)
    assert cost["steps"] == 6
    assert model.decay_steps == 6
    assert cost["training"] > 0


def test_an_interrupted_training_goes_on_with_its_plan_and_adds_up_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(claims_families, "seconds_of_a_step", lambda build, batches: 0.25)
    of_library = claims_families.train

    def interrupted(model, batches, *, steps, **options):
        of_library(model, batches, steps=2, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(claims_families, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted(flow, batches, 1.5, tmp_path, seed=0, average=0.5)
    first = json.loads((tmp_path / "seconds.json").read_text())
    monkeypatch.setattr(claims_families, "train", of_library)
    monkeypatch.setattr(claims_families, "seconds_of_a_step", lambda build, batches: 0.001)
    model, cost = fitted(flow, batches, 1.5, tmp_path, seed=0, average=0.5)
    assert cost["steps"] == 6, "the plan of the first time"
    assert cost["training"] > first > 0
    whole, _ = fitted(flow, batches, 1.5, tmp_path, seed=0, average=0.5)
    other, _ = fitted_anew(tmp_path / "whole", monkeypatch)
    for ours, again, straight in zip(model.parameters(), whole.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, again)
        torch.testing.assert_close(ours, straight)


def fitted_anew(folder, monkeypatch):
    monkeypatch.setattr(claims_families, "seconds_of_a_step", lambda build, batches: 0.25)
    return fitted(flow, batches, 1.5, folder, seed=0, average=0.5)


def test_the_time_of_a_step_does_not_count_how_long_it_takes_to_begin(monkeypatch):
    clock = iter([0.0, 10.0 + WARM * 0.5, 0.0, 10.0 + (WARM + TIMED) * 0.5])
    monkeypatch.setattr(claims_families.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(claims_families, "train", lambda *given, **options: None)
    assert seconds_of_a_step(flow, batches) == pytest.approx(0.5)
