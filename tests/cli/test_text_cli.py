"""Models of text on the command line: trained, sampled, evaluated."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from gm_lib.cli.main import main
from gm_lib.data import names

SMALL = ("--width", "8", "--steps", "4", "--batch-size", "20", "--device", "cpu")
KINDS = {
    "names": SMALL,
    "vae": (*SMALL, "--latent-dim", "2", "--free-bits", "0.5", "--dropout", "0.3"),
    "prose": (*SMALL, "--data", "shakespeare"),
}


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return re.sub(r"\s+", " ", result.output)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a run of the kind, trained once for all tests."""

    def train(kind: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"text-{kind}"
        if not folder.exists():
            call("train", "text", *KINDS[kind], "--out", str(folder))
        return folder

    return train


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_text_is_sampled_and_evaluated(kind: str, run: Callable[[str], Path], tmp_path: Path):
    folder, out = run(kind), tmp_path / "some.txt"
    assert "synthesized" in (folder / "config.json").read_text()
    assert (folder / "samples.txt").read_text().count("\n") >= 20
    call("sample", str(folder), "--n", "5", "--out", str(out))
    assert set(out.read_text()) <= set(names("synthesized").alphabet.characters) | {"\n"}
    said = call("evaluate", str(folder), "--limit", "30", "--k", "3", "--samples", "20")
    measures = json.loads((folder / "evaluation.json").read_text())["measures"]
    assert "nats per character" in said
    assert 1.5 < measures["counting, context 2"][0] < 2
    assert ("active units" in measures) == (kind == "vae")
    assert f"not for this model: {'bounded by -ELBO' if kind == 'vae' else 'it has no code'}" in said
    assert ("samples in training" in measures) == (kind != "prose")


def test_the_same_seed_writes_the_same_texts(run: Callable[[str], Path], tmp_path: Path):
    texts = []
    for seed in ("3", "3", "4"):
        out = tmp_path / "texts.txt"
        call("sample", str(run("names")), "--n", "8", "--seed", seed, "--out", str(out))
        texts.append(out.read_text())
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train text --free-bits 1", "--latent-dim"),
        ("train text --data name", "names"),
        ("sample {run} --out a.png", "let --out end in .txt"),
        ("sample {run} --label 3", "takes no labels"),
        ("export {run} --out a.png", "makes texts, symbol by symbol"),
    ],
)
def test_what_does_not_go_together_is_refused(command: str, message: str, run: Callable[[str], Path]):
    assert message in call(*command.format(run=run("names")).split(), code=2)
