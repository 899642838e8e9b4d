"""Claims about measuring: a finished seed is not measured twice, and a record holds what was measured."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import metadata

import pytest
import torch
from torch import nn

import measure
from chapters import ROOT
from measure import CLAIMS, Asked, Claim, at_least, at_most, main
from records import read


@pytest.fixture
def course(tmp_path):
    (tmp_path / "book").mkdir()
    return tmp_path


class Toy:
    """A claim whose measurements are counted, and may be stopped."""

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.stop_at: int | None = None
        self.error: BaseException = KeyboardInterrupt()

    def of(self, seed: int) -> dict[str, float]:
        if seed == self.stop_at:
            raise self.error
        self.seeds.append(seed)
        return {"share": 0.5 + seed / 100, "nats": 102.6 + seed**2}


@pytest.fixture
def toy(monkeypatch):
    """The counted claim, entered as ``toy``."""
    counted = Toy()

    def toy(seed: int) -> dict[str, float]:
        return counted.of(seed)

    asked = {
        "share": Asked("share", "share", gate=at_least(0.35)),
        "nats": Asked("−ELBO", "nats", gate=at_most(120)),
    }
    monkeypatch.setitem(CLAIMS, "toy", Claim("A toy", "It works.", "a toy set", asked, toy))
    return counted


def test_the_record_holds_each_seeds_values_and_how_they_were_measured(toy, course):
    assert main(["toy", "--seeds", "2", "0", "4"], course) == 0
    record = read(course / "results" / "toy.json")
    assert record.seeds == (2, 0, 4)
    assert record.quantities["share"].values == (0.52, 0.5, 0.54)
    assert record.quantities["share"].mean == pytest.approx(0.52)
    assert record.quantities["share"].sd == pytest.approx(0.02)
    assert record.command == "python tools/measure.py toy --seeds 2 0 4"
    assert record.versions["torch"] == metadata.version("torch")
    assert "CPU cores" in record.hardware
    assert '<a id="toy"></a>' in (course / "book" / "results.md").read_text("utf-8")
    assert [path.name for path in (course / "results").iterdir()] == ["toy.json"]


def test_an_interrupted_run_goes_on_with_the_seeds_that_are_to_do(toy, course, capsys):
    toy.stop_at = 2
    assert main(["toy"], course) == 130
    assert not (course / "results" / "toy.json").exists()
    assert "the same command goes on" in capsys.readouterr().err
    toy.stop_at = None
    assert main(["toy"], course) == 0
    assert toy.seeds == [0, 1, 2]
    assert read(course / "results" / "toy.json").quantities["nats"].values == (102.6, 103.6, 106.6)


def test_seeds_are_added_to_a_record_as_if_all_had_been_measured_at_once(toy, course):
    assert main(["toy", "--seeds", "0", "1"], course) == 0
    assert main(["toy", "--seeds", "1", "2", "--add"], course) == 0
    assert toy.seeds == [0, 1, 2]
    added = read(course / "results" / "toy.json")
    assert main(["toy"], course) == 0
    together = read(course / "results" / "toy.json")
    assert added.quantities == together.quantities
    assert (added.seeds, added.command) == (together.seeds, together.command)


def test_seeds_are_not_added_to_the_record_of_another_claim(toy, course, monkeypatch, capsys):
    assert main(["toy", "--seeds", "0"], course) == 0
    before = (course / "results" / "toy.json").read_bytes()
    asked = CLAIMS["toy"].quantities | {"nats": Asked("−ELBO", "nats", gate=at_most(130))}
    other = replace(CLAIMS["toy"], claim="It works otherwise.", quantities=asked)
    monkeypatch.setitem(CLAIMS, "toy", other)
    assert main(["toy", "--seeds", "1", "--add"], course) == 1
    assert "of another claim, set of quantities than now" in capsys.readouterr().err
    assert (course / "results" / "toy.json").read_bytes() == before


def test_seeds_cannot_be_added_to_nothing(toy, course, capsys):
    assert main(["toy", "--seeds", "0", "--add"], course) == 1
    assert "toy.json" in capsys.readouterr().err
    assert toy.seeds == []


def test_seeds_of_other_code_or_data_are_measured_again(toy, course, monkeypatch):
    toy.stop_at = 2
    main(["toy"], course)
    monkeypatch.setattr(measure, "fingerprint", lambda claim: "another")
    toy.stop_at = None
    assert main(["toy"], course) == 0
    assert toy.seeds == [0, 1, 0, 1, 2]


def test_the_fingerprint_is_of_the_code_and_not_of_its_comments_or_its_title():
    def one(seed: int) -> dict[str, float]:
        return {"x": seed + 1}

    def same(seed: int) -> dict[str, float]:
        return {"x": seed + 1}  # said in other words

    def other(seed: int) -> dict[str, float]:
        return {"x": seed + 2}

    prints = [
        measure.fingerprint(Claim(name, "", "", {}, f)) for name, f in (("a", one), ("b", same), ("c", other))
    ]
    assert prints[0] == prints[1] != prints[2]


def test_a_gate_that_does_not_hold_leaves_no_record_and_an_older_one_alone(toy, course, capsys):
    main(["toy"], course)
    before = (course / "results" / "toy.json").read_bytes()
    assert main(["toy", "--seeds", "0", "9"], course) == 1
    assert "toy: nats is (102.6, 183.6), its gate is at most 120" in capsys.readouterr().err
    assert (course / "results" / "toy.json").read_bytes() == before
    kept = json.loads((course / "results" / ".toy.partial.json").read_text("utf-8"))
    assert list(kept["seeds"]) == ["0", "9"]


def test_a_failure_is_told_in_a_line(toy, course, capsys):
    toy.stop_at, toy.error = 0, OSError("MNIST is not here.")
    assert main(["toy"], course) == 1
    assert capsys.readouterr().err == "MNIST is not here.\n"


def test_values_that_were_not_promised_are_refused(toy, course, monkeypatch, capsys):
    promised = CLAIMS["toy"].quantities | {"more": Asked("more", "nats")}
    monkeypatch.setitem(
        CLAIMS, "toy", Claim("A toy", "It works.", "a toy set", promised, CLAIMS["toy"].measure)
    )
    assert main(["toy"], course) == 1
    assert "promises ['more', 'nats', 'share'] and measured ['nats', 'share']" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a claim"),
        (["tyo"], "invalid choice: 'tyo'"),
        (["toy", "--seeds", "-1"], "a seed is 0 or more"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(toy, course, arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments, course)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_quantity_without_a_unit_is_refused_before_anything_is_measured():
    with pytest.raises(ValueError, match="'length' needs a unit"):
        Asked("length", "")


def test_the_list_names_every_claim(capsys):
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == sorted(CLAIMS)


def test_without_mnist_nothing_is_measured():
    measure.mnist.cache_clear()
    with pytest.raises(OSError, match="set GM_DATA"):
        measure.mnist()


class Restless(nn.Module):
    """A model in whose second step somebody presses Ctrl-C."""

    def optimizers(self):
        return {}

    def update(self, batch, optimizers, step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        return {"loss": torch.tensor(0.0)}


def test_a_training_that_was_stopped_counts_for_nothing():
    with pytest.raises(KeyboardInterrupt):
        measure.train(Restless(), [torch.zeros(1)], steps=5, seed=0)


def test_help_says_how_it_is_used():
    shown = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "measure.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "python tools/measure.py vae_quick" in shown
