"""What runs learn from music: trained, sampled into MIDI and WAV files, evaluated per time step."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from gm_lib.cli.main import main
from gm_lib.data import music
from gm_lib.sound import RATE, STEP, read_wav

STEPS = 64 + 2  # of a piece in a file, and the silence behind it


@pytest.fixture(autouse=True)
def _few_pieces_and_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(music, "SYNTHESIZED", {"train": 12, "valid": 5, "test": 6})
    monkeypatch.chdir(tmp_path)


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return re.sub(r"\s+", " ", result.output)


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a run with these options, trained once for all tests."""

    def train(*options: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / "-".join(["music", *options]).replace("--", "")
        if not folder.exists():
            size = ("--hidden", "6", "--latent-dim", "2", "--batch-size", "6", "--steps", "3")
            where = ("--data", "synthesized", "--device", "cpu", "--out", str(folder))
            call("train", "music", *size, *where, *options)
        return folder

    return train


def test_a_run_that_learned_music_is_seen_heard_and_written_down(run: Callable[..., Path]) -> None:
    folder = run()
    assert json.loads((folder / "config.json").read_text())["data"] == "synthesized"
    assert len(read_wav(folder / "samples.wav")) == round(4 * STEPS * STEP * RATE)
    assert (folder / "samples.mid").read_bytes().startswith(b"MThd")
    with Image.open(folder / "samples.png") as picture:
        assert picture.size == (2 * 64 + 2, 2 * 88 + 2)
    assert "valid_nats_per_step" in (folder / "metrics.jsonl").read_text()


def test_sample_writes_midi_and_sound_of_the_same_pieces(run: Callable[..., Path]) -> None:
    assert "4 pieces in samples.mid and samples.wav" in call("sample", str(run()))
    assert "1 piece in one.wav" in call("sample", str(run()), "--n", "1", "--out", "one.wav")
    assert len(read_wav(Path("one.wav"))) == round(STEPS * STEP * RATE)
    first = Path("samples.mid").read_bytes()
    call("sample", str(run()), "--out", "again.mid")
    assert Path("again.mid").read_bytes() == first
    call("sample", str(run()), "--out", "other.mid", "--seed", "1")
    assert Path("other.mid").read_bytes() != first
    assert not torch.equal(read_wav(Path("samples.wav"))[:1000], torch.zeros(1000))


def test_evaluate_gives_nats_per_step_and_what_a_musician_counts(run: Callable[..., Path]) -> None:
    for options in ((), ("--output", "independent")):
        folder = run(*options)
        output = call("evaluate", str(folder), "--k", "3", "--split", "test")
        assert "on 6 test pieces of synthesized" in output
        measures = json.loads((folder / "evaluation.json").read_text())["measures"]
        assert all(math.isfinite(value["mean"]) for value in measures.values() if value)
        assert 2 < measures["bound of -log p, nats per step, k = 3"]["mean"] < 70
        assert measures["span of real"]["mean"] > 12
        assert {"repeats of samples", "surprise of the chords of samples, nats per step"} <= set(measures)


def test_a_run_with_final_learns_from_the_validation_pieces_too(run: Callable[..., Path]) -> None:
    folder = run("--final")
    assert "valid_nats_per_step" not in (folder / "metrics.jsonl").read_text()
    assert "take --split test" in call("evaluate", str(folder), "--k", "1")


def test_what_does_not_go_with_music_is_refused(run: Callable[..., Path]) -> None:
    folder = str(run())
    assert "takes no labels" in call("sample", folder, "--label", "3", code=2)
    assert "makes music step by step" in call("export", folder, "--out", "a.png", code=2)
    assert "jsb" in call("train", "music", "--data", "jbs", code=2)
    call("train", "gan", "--data", "digits", "--steps", "1", "--width", "2", "--device", "cpu", "--out", "g")
    assert "makes no music" in call("sample", "g", "--out", "a.mid", code=2)
