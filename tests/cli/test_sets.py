"""What runs learn from beside handwritten digits: sounds and colours, seen, heard and judged."""

import functools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from gm_lib.cli import sets
from gm_lib.cli.main import main
from gm_lib.data import speech
from gm_lib.sound import RATE, SAMPLES, log_mel, read_wav

SOUNDS = ("--data", "synthesized", "--steps", "2", "--batch-size", "20", "--device", "cpu", "--conditional")
KINDS = {
    "vae": ("vae", *SOUNDS, "--architecture", "conv", "--hidden", "2", "--latent-dim", "3"),
    "gan": ("gan", *SOUNDS, "--width", "2", "--latent-dim", "3"),
    "wave": ("gan", *SOUNDS, "--width", "2", "--latent-dim", "3", "--architecture", "wave"),
}
ONE = SAMPLES + round(sets.PAUSE * RATE)


made_once = functools.cache(speech.synthesized_digits)


@pytest.fixture(autouse=True)
def _few_of_each_and_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "SYNTHESIZED", 13)
    monkeypatch.setattr(speech, "synthesized_digits", made_once)
    monkeypatch.setattr(sets, "JUDGE_STEPS", 20)
    monkeypatch.chdir(tmp_path)


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return re.sub(r"\s+", " ", result.output)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a run of the kind, trained once for all tests."""

    def train(kind: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"sounds-{kind}"
        if not folder.exists():
            call("train", *KINDS[kind], "--out", str(folder))
        return folder

    return train


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_learned_sounds_is_seen_and_heard(kind: str, run: Callable[[str], Path]) -> None:
    folder = run(kind)
    assert json.loads((folder / "config.json").read_text())["data"] == "synthesized"
    with Image.open(folder / "samples.png") as picture:
        assert picture.size == (10 * 48 + 9 * 2, 10 * 64 + 9 * 2)
    assert len(read_wav(folder / "samples.wav")) == 10 * ONE


@pytest.mark.parametrize("kind", KINDS)
def test_sample_writes_sounds_one_after_another_with_silence_between(
    kind: str, run: Callable[[str], Path]
) -> None:
    assert "3 samples in samples.wav" in call("sample", str(run(kind)), "--n", "3", "--label", "7")
    sounds = read_wav(Path("samples.wav")).reshape(3, ONE)
    assert bool(sounds[:, :SAMPLES].any(1).all())
    assert not bool(sounds[:, SAMPLES:].any())
    assert "2 samples in two.png" in call("sample", str(run(kind)), "--n", "2", "--out", "two.png")


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_judges_sounds_by_a_classifier_of_the_same_set(
    kind: str, run: Callable[[str], Path]
) -> None:
    output = call("evaluate", str(run(kind)), "--samples", "70", "--k", "2", "--limit", "3")
    assert re.search(r"learned synthesized for 20 steps and reads \d+\.\d% of the validation split", output)
    measures = json.loads((run(kind) / "evaluation.json").read_text())["measures"]
    assert measures["digits"]["n_samples"] == 70
    assert math.isfinite(measures["digits"]["frechet"])
    assert ("mean" in measures["negative_elbo"]) == (kind == "vae")
    assert "ratio" in measures["copies"]


def test_sounds_are_learned_with_a_likelihood_of_real_numbers(run: Callable[[str], Path]) -> None:
    assert json.loads((run("vae") / "config.json").read_text())["likelihood"] == "gaussian"


def test_in_the_picture_of_a_sound_low_tones_are_below() -> None:
    tone = torch.sin(2 * math.pi * 200 * torch.arange(SAMPLES) / RATE)
    for x in (tone.reshape(1, 1, -1), log_mel(tone)[None]):
        above, below = sets.pictures(x, "fsdd").chunk(2, -2)
        assert below.sum() > 2 * above.sum()


def test_an_image_is_its_own_picture() -> None:
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(sets.pictures(x, "shapes"), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--architecture wave", "--architecture wave makes waveforms: --data fsdd or synthesized."),
        (
            "--architecture wave --data fsdd --augment",
            "--augment moves pictures, which --architecture wave does not make.",
        ),
    ],
)
def test_options_for_sounds_that_do_not_go_together_are_refused(options: str, message: str) -> None:
    assert message in call("train", "gan", *options.split(), code=2)
    assert not Path("runs").exists()


def test_a_model_of_images_writes_no_sound() -> None:
    call(
        "train", "gan", "--data", "digits", "--steps", "1", "--width", "2", "--device", "cpu", "--out", "run"
    )
    assert "the model in run makes images: let --out end in .png." in call(
        "sample", "run", "--out", "a.wav", code=2
    )
    assert not Path("a.wav").exists()


def test_colours_are_learned_with_a_likelihood_of_levels_and_judged_by_the_shipped_classifier() -> None:
    call(
        *("train", "vae", "--data", "shapes", "--architecture", "conv", "--hidden", "2", "--latent-dim", "3"),
        *("--steps", "1", "--batch-size", "10", "--device", "cpu", "--out", "run"),
    )
    assert json.loads(Path("run/config.json").read_text())["likelihood"] == "discretized_logistic"
    with Image.open("run/samples.png") as picture:
        assert picture.mode == "RGB"
    output = call("evaluate", "run", "--samples", "70", "--k", "2", "--limit", "3")
    assert "validation images of shapes" in output
    assert "judged by" not in output
    measures = json.loads(Path("run/evaluation.json").read_text())["measures"]
    assert len(measures["digits"]["shares"]) == 10
    assert "stacks" not in measures
