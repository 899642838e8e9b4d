"""Runs of chapter 17's families by the command line: trained, sampled, evaluated. A few steps each."""

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from gm_lib.cli.beyond import FAMILIES
from gm_lib.cli.main import main
from gm_lib.cli.runs import builder, load
from gm_lib.data import images

WIDTH = {"diffusion": "8", "flow-matching": "8"}  # as narrow as they can be; of the others
LABELLED = ("diffusion", "flow-matching", "vae-gan")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    assert code == 0 or "Traceback" not in result.output
    return re.sub(r"\s+", " ", result.output)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a family's run with further options, trained once for all tests."""

    def train(family: str, *options: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / "-".join((family, *options)).replace("--", "")
        if not folder.exists():
            small = ("--data", "digits", "--steps", "2", "--batch-size", "4", "--device", "cpu")
            width = ("--width", WIDTH.get(family, "4"))
            call("train", "beyond", "--family", family, *small, *width, "--out", str(folder), *options)
        return folder

    return train


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_trained_found_again_and_sampled(family: str, run: Callable[..., Path]) -> None:
    folder = run(family)
    model, config, step = load(folder, "cpu")
    assert (config["model"], config["data"], step) == (FAMILIES[family][0], "digits", 2)
    own = inspect.signature(builder(config["model"])).parameters["lr"].default
    assert config["lr"] == own
    assert config == {**config, **model.config}
    assert "4 samples in a.png" in call("sample", str(folder), "--n", "4", "--out", "a.png")
    call("sample", str(folder), "--n", "4", "--out", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    x = images("digits").valid.x[:2]
    if FAMILIES[family][1]:
        with pytest.raises(ValueError, match=r"0 or 1|binar"):
            model.check((x, None))
    else:
        model.check((x, None))


@pytest.mark.parametrize(
    ("family", "title", "unit"),
    [
        ("autoregressive", "negative_log_likelihood", "nats per image"),
        ("flow", "bits_per_dim", "bits per dimension"),
        ("diffusion", "negative_elbo", "nats per image"),
        ("vae-gan", "negative_log_likelihood_bound", "nats per image"),
    ],
)
def test_evaluate_gives_each_family_the_likelihood_that_it_has(
    family: str, title: str, unit: str, run: Callable[..., Path]
) -> None:
    folder = run(family)
    call("evaluate", str(folder), "--samples", "2", "--limit", "3", "--k", "2")
    measures = json.loads((folder / "evaluation.json").read_text())["measures"]
    assert measures[title]["unit"] == unit
    assert measures[title]["images"] == 3
    kinds = ("negative_log_likelihood", "bits_per_dim", "negative_elbo", "negative_log_likelihood_bound")
    expected = {title} | ({"negative_elbo"} if family == "vae-gan" else set())
    assert {name for name in kinds if "missing" not in measures[name]} == expected


def test_of_flow_matching_no_likelihood_is_computed_and_the_table_says_why(run: Callable[..., Path]) -> None:
    output = call("evaluate", str(run("flow-matching")), "--samples", "2", "--limit", "3")
    assert re.search(r"bits per dimension, dequantized not computed: .*backward passes", output)


@pytest.mark.parametrize("family", LABELLED)
def test_a_conditional_run_writes_the_digit_that_it_is_asked_for(
    family: str, run: Callable[..., Path]
) -> None:
    folder = run(family, "--conditional")
    assert load(folder, "cpu")[0].num_classes == 10
    call("sample", str(folder), "--n", "4", "--label", "7", "--out", "a.png")
    if family == "vae-gan":
        refusal = call("sample", str(folder), "--guidance", "1", code=2)
        assert "knows no --guidance" in refusal
        return
    model = load(folder, "cpu")[0]
    with torch.no_grad():  # after two steps labels say nothing yet
        model.network.label.weight.normal_(std=3, generator=torch.Generator().manual_seed(0))
        model.network.out.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    y = torch.arange(4)
    plain, guided = (
        model.sample(4, y, guidance=w, generator=torch.Generator().manual_seed(0)) for w in (0.0, 3.0)
    )
    assert not torch.equal(plain, guided)
    call("sample", str(folder), "--n", "4", "--guidance", "2", "--out", "b.png")


def test_what_makes_no_sense_is_refused_by_name(run: Callable[..., Path]) -> None:
    assert "takes no labels: leave out --conditional" in call(
        "train", "beyond", "--family", "flow", "--conditional", code=2
    )
    assert "did you mean 'diffusion'" in call("train", "beyond", "--family", "difusion", code=2)
    assert "Missing option '--family'" in call("train", "beyond", code=2)
    assert "cifar10" in call("train", "beyond", "--family", "flow", "--data", "cifar10", code=2)
    diffusion = str(run("diffusion"))
    assert "takes none; train one with --conditional" in call("sample", diffusion, "--guidance", "1", code=2)
    assert "takes no labels" in call("sample", diffusion, "--label", "3", code=2)
    assert "sample draws from it" in call("export", diffusion, "--out", "a.png", code=2)
    assert "other" in call(
        "train", "beyond", "--family", "flow", "--data", "digits", "--out", diffusion, "--steps", "1",
        "--device", "cpu", code=1,
    )  # fmt: skip


def test_the_same_command_goes_on_with_a_run(run: Callable[..., Path]) -> None:
    folder = run("flow")
    arguments = (
        "--family",
        "flow",
        "--data",
        "digits",
        "--batch-size",
        "4",
        "--device",
        "cpu",
        "--width",
        "4",
    )
    call("train", "beyond", *arguments, "--steps", "3", "--out", str(folder))
    assert load(folder, "cpu")[2] == 3
