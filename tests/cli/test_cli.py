"""The command line, as a user meets it. Trainings are a few steps on scikit-learn's digits."""

import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gm_lib import __version__, runtime
from gm_lib.classifier import NUM_FEATURES
from gm_lib.cli import env, runs, train
from gm_lib.cli.main import main
from gm_lib.data import ImageData, images, sources, stacked
from gm_lib.distributions.estimates import Estimate
from gm_lib.evaluation import (
    NoisyDecoder,
    annealed_log_likelihood,
    judge_digits,
    log_likelihood,
    negative_elbo,
    stacked_mode_coverage,
)
from gm_lib.gan import LOSSES, PENALTIES, digit_gan, digits
from gm_lib.system import parallel
from gm_lib.training import latest_checkpoint, load_checkpoint, load_weights
from gm_lib.vae import (
    LIKELIHOODS,
    VAE,
    digit_hierarchical_vae,
    digit_vae,
    hierarchical,
    model,
    model_base,
)

SMALL_GAN = ("--data", "digits", "--steps", "6", "--width", "4", "--latent-dim", "3", "--device", "cpu")
SMALL = ("--data", "digits", "--steps", "30", "--hidden", "16", "--latent-dim", "3", "--device", "cpu")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def succeed(*arguments: str) -> str:
    """Call and return what was printed, having seen that nothing went wrong."""
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    """Call and return the message, having seen that it is one, and no traceback."""
    result = call(*arguments)
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return re.sub(r"\s+", " ", result.output)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a run with further options, trained once for all tests."""

    def train(*options: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / "-".join(("run", *options)).replace("/", "")
        if not folder.exists():
            succeed("train", "vae", *SMALL, "--out", str(folder), *options)
        return folder

    return train


@pytest.fixture(scope="module")
def trained_gan(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the folder of a GAN's run with further options, trained once for all tests."""

    def train(*options: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / "-".join(("gan", *options)).replace("/", "")
        if not folder.exists():
            succeed("train", "gan", *SMALL_GAN, "--out", str(folder), *options)
        return folder

    return train


def same_weights(run: Path, other: Path) -> bool:
    ours, theirs = load_checkpoint(run).weights, load_checkpoint(other).weights
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_training_writes_settings_record_checkpoint_and_samples(trained: Callable[..., Path]) -> None:
    run = trained()
    config = json.loads((run / "config.json").read_text())
    assert config["data"] == "digits"
    assert (config["latent_dim"], config["hidden"], config["batch_size"], config["seed"]) == (3, [16], 128, 0)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 30
    assert {"loss", "reconstruction", "kl", "valid_negative_elbo"} <= {name for row in rows for name in row}
    checkpoint = latest_checkpoint(run)
    assert checkpoint is not None
    assert load_checkpoint(checkpoint).step == 30
    width, height = picture_size(run / "samples.png")
    assert width == height > 10 * 28


def test_training_says_what_it_used_what_came_out_and_what_to_do_next() -> None:
    output = succeed("train", "vae", *SMALL)
    assert "digits, from scikit-learn: 1,197 train" in output
    assert re.search(
        r"runs/vae: loss [\d.]+ nats per image, [\d,]+ images/s; samples in runs/vae/samples\.png", output
    )
    assert "Next: python -m gm_lib evaluate runs/vae" in output


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_a_final_training_learns_from_the_validation_images_too_and_validates_nothing(kind: str) -> None:
    small = {"vae": SMALL, "gan": SMALL_GAN}[kind]
    shown = {}
    for options in ((), ("--final",)):
        succeed("train", kind, *small, "--steps", "2", "--out", "run", "--no-resume", *options)
        state = load_checkpoint(Path("run")).state
        shown[options] = state["batches"]["examples"], "valid_negative_elbo" in str(state["history"])
        assert ("final" in json.loads(Path("run/config.json").read_text())) == bool(options)
    assert shown == {(): (1_197, kind == "vae"), ("--final",): (1_497, False)}
    assert "final" in refused("train", kind, *small, "--out", "run")  # another run, not to be gone on with
    succeed("sample", "run")


def test_without_mnist_and_network_the_default_falls_back_and_says_so() -> None:
    output = succeed("train", "vae", *(option for option in SMALL if option not in ("--data", "digits")))
    assert "mnist is not on this machine" in output
    assert json.loads(Path("runs/vae/config.json").read_text())["data"] == "digits"


def test_the_seed_decides_the_weights(trained: Callable[..., Path]) -> None:
    with runtime.forked_rng(99):  # whatever the global state is
        succeed("train", "vae", *SMALL, "--out", "again")
    assert same_weights(trained(), Path("again"))
    assert not same_weights(trained(), trained("--seed", "1"))


def test_a_run_goes_on_to_more_steps_as_if_it_had_never_stopped(trained: Callable[..., Path]) -> None:
    succeed("train", "vae", *SMALL, "--steps", "12")
    output = succeed("train", "vae", *SMALL, "--steps", "30")
    assert "Going on from runs/vae/checkpoint-0000012" in output
    assert same_weights(Path("runs/vae"), trained())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--latent-dim", "4"), "latent_dim was 3 and is now 4"),
        (("--seed", "5"), "seed was 0 and is now 5"),
        (("--batch-size", "32"), "batch_size was 128 and is now 32"),
        (("--hidden", "8"), "hidden was [16] and is now [16, 8]"),
        (("--precision", "bfloat16"), "precision was 'float32' and is now 'bfloat16'"),
        (("--conditional",), "num_classes was 0 and is now 10"),
        (("--average", "0.5"), "average was 0.998 and is now 0.5"),
        (
            ("--beta", "2", "--learning-rate", "0.1"),
            "beta was 1.0 and is now 2.0; lr was 0.002 and is now 0.1",
        ),
    ],
)
def test_a_run_with_other_settings_is_not_overwritten(
    options: tuple[str, ...], message: str, trained: Callable[..., Path]
) -> None:
    run = trained()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    output = refused("train", "vae", *SMALL, "--out", str(run), *options)
    assert "was made with other settings" in output
    assert message in output
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_no_resume_replaces_a_run() -> None:
    succeed("train", "vae", *SMALL)
    output = succeed("train", "vae", *SMALL, "--latent-dim", "4", "--steps", "5", "--no-resume")
    assert "Going on" not in output
    assert load_checkpoint("runs/vae").step == 5
    assert json.loads(Path("runs/vae/config.json").read_text())["latent_dim"] == 4


# Categorical is left out: its decoder has 256 outputs per pixel, which takes long even for a few steps.
@pytest.mark.parametrize("likelihood", sorted(set(LIKELIHOODS) - {"categorical"}))
def test_every_likelihood_can_be_trained_sampled_and_evaluated(
    likelihood: str, trained: Callable[..., Path]
) -> None:
    run = str(trained("--likelihood", likelihood))
    succeed("sample", run, "--n", "4")
    output = succeed("evaluate", run, "--k", "2", "--limit", "5")
    assert ("dynamically binarized" if likelihood == "bernoulli" else "grey values in [0, 1]") in output


def test_the_names_offered_are_those_there_are() -> None:
    assert set(train.LIKELIHOODS) == set(LIKELIHOODS)
    assert set(train.GAN_LOSSES) == set(LOSSES)
    assert set(train.PENALTIES) == set(PENALTIES)
    assert set(train.GAN_ARCHITECTURES) == set(digits.ARCHITECTURES)
    assert set(train.ACTIVATIONS) == set(model.ACTIVATIONS)
    assert (train.PRIORS, train.GRADIENTS, train.OPTIMIZERS) == (
        model.PRIORS,
        model.GRADIENTS,
        model_base.OPTIMIZERS,
    )
    built = {"vae": set(model.ARCHITECTURES), "hierarchical_vae": set(hierarchical.NETWORKS)}
    for kind, known in built.items():
        assert {name for of, name in train.ARCHITECTURES.values() if of == kind} == known
    assert train.PRECISIONS == runtime.PRECISIONS


@pytest.mark.parametrize(
    ("command", "build"),
    [
        (train.train_vae, digit_vae),
        (train.train_vae, digit_hierarchical_vae),
        (train.train_gan, digit_gan),
    ],
)
def test_the_options_of_train_are_the_arguments_of_the_model(
    command: click.Command, build: Callable[..., object]
) -> None:
    options = {parameter.name: parameter.default for parameter in command.params}
    for name, parameter in inspect.signature(build).parameters.items():
        if name == "shape":  # is that of --data
            continue
        option = {"num_classes": "conditional", "lr": "learning_rate"}.get(name, name)
        assert option in options
        if name == "likelihood":
            assert parameter.default == "bernoulli"  # and that of grey images; it depends on --data
        elif name not in ("num_classes", "hidden"):
            assert options[option] == parameter.default


def test_a_vae_with_another_prior_on_more_draws_is_trained_sampled_and_evaluated() -> None:
    options = [
        "--prior",
        "vamp",
        "--components",
        "5",
        "--k",
        "3",
        "--optimizer",
        "muon",
        "--decay-steps",
        "4",
    ]
    succeed("train", "vae", *SMALL, *options)
    succeed("sample", "runs/vae", "--n", "4")
    assert "log p" in succeed("evaluate", "runs/vae", "--k", "2", "--limit", "5")


@pytest.mark.parametrize("architecture", ["conv", "hierarchical", "hierarchical-conv"])
def test_every_architecture_is_trained_resumed_sampled_evaluated_and_exported(architecture: str) -> None:
    settings = ("--data", "digits", "--hidden", "4", "--latent-dim", "2", "--device", "cpu")
    options = (*settings, "--architecture", architecture, "--out", "run")
    succeed("train", "vae", *options, "--steps", "4")
    succeed("train", "vae", *options, "--steps", "8", "--out", "at-once")
    assert "Going on from run/checkpoint-0000004" in succeed("train", "vae", *options, "--steps", "8")
    assert same_weights(Path("run"), Path("at-once"))
    succeed("sample", "run", "--n", "4")
    assert "-ELBO" in succeed("evaluate", "run", "--k", "2", "--limit", "5", "--samples", "65")
    succeed("export", "run", "--out", "grid.png")
    model, _, _ = runs.load(Path("run"), "cpu")
    assert f"z (batch, {model.latent_dim}) to x" in succeed("export", "run", "--out", "run.onnx")
    z = torch.randn(5, model.latent_dim, generator=torch.Generator().manual_seed(4))
    (x,) = onnxruntime.InferenceSession("run.onnx").run(None, {"z": z.numpy()})
    torch.testing.assert_close(torch.from_numpy(x), runs.draw(model, 5, None, 4), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("hierarchical", ("--conditional",), "does not go with --conditional"),
        ("hierarchical", ("--prior", "vamp"), "does not go with --prior"),
        ("hierarchical", ("--components", "7"), "does not go with --components"),
        ("hierarchical", ("--activation", "tanh"), "does not go with --activation"),
        ("hierarchical-conv", ("--gradient", "plain"), "does not go with --gradient"),
        ("hierarchical-conv", ("--optimizer", "muon"), "take 'adam'"),
        ("hierarchical", ("--hidden", "8"), "give --hidden once"),
        ("conv", ("--hidden", "8"), "give --hidden once"),
        ("conv", ("--levels", "2"), "does not go with --levels"),
        ("mlp", ("--levels", "3"), "does not go with --levels"),
    ],
)
def test_what_an_architecture_has_no_use_for_is_refused_before_any_work(
    architecture: str, options: tuple[str, ...], message: str
) -> None:
    assert message in refused("train", "vae", *SMALL, "--architecture", architecture, *options)
    assert not Path("runs").exists()


def test_options_of_train_that_do_not_go_together_are_refused() -> None:
    assert "has none" in refused("train", "vae", *SMALL, "--k", "3", "--beta", "2")
    assert "labels" in refused("train", "vae", *SMALL, "--prior", "vamp", "--conditional")


def test_a_run_made_before_an_option_was_there_is_loaded() -> None:
    succeed("train", "vae", *SMALL)
    path = Path("runs/vae/config.json")
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in config.items() if key not in runs.NEWER}))
    succeed("sample", "runs/vae", "--n", "4")


def test_a_gan_is_trained_and_its_run_says_what_came_out() -> None:
    output = succeed("train", "gan", *SMALL_GAN)
    assert re.search(
        r"runs/gan: D gives 0\.\d\d to real and 0\.\d\d to generated examples, [\d,]+ images/s; "
        r"samples in runs/gan/samples\.png\. Next: python -m gm_lib evaluate runs/gan",
        output,
    )
    config = json.loads(Path("runs/gan/config.json").read_text())
    assert (config["model"], config["width"], config["loss"], config["batch_size"]) == (
        "gan",
        4,
        "non_saturating",
        64,
    )
    width, height = picture_size(Path("runs/gan/samples.png"))
    assert width == height > 10 * 28


def test_a_gan_goes_on_to_more_steps_as_if_it_had_never_stopped(trained_gan: Callable[..., Path]) -> None:
    succeed("train", "gan", *SMALL_GAN, "--steps", "2")
    assert "Going on from runs/gan/checkpoint-0000002" in succeed("train", "gan", *SMALL_GAN)
    assert same_weights(Path("runs/gan"), trained_gan())
    assert "gamma was 0.0 and is now 2.0" in refused("train", "gan", *SMALL_GAN, "--gamma", "2")
    assert "model was 'gan' and is now 'vae'" in refused("train", "vae", *SMALL, "--out", "runs/gan")


def test_every_option_of_a_gan_reaches_its_model(trained_gan: Callable[..., Path]) -> None:
    options = ("--conditional", "--loss", "minimax", "--gamma", "1", "--average", "0.5")
    model, config, _ = runs.load(trained_gan(*options), "cpu")
    assert (config["num_classes"], config["loss"], config["gamma"]) == (10, "minimax", 1.0)
    assert (model.num_classes, model.loss, model.average) == (10, LOSSES["minimax"], 0.5)
    assert model.penalty is not None
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(runs.draw(model, 4, 7, 0), model.generate(z, torch.full((4,), 7)))


def test_the_rules_of_a_gan_reach_its_model_and_what_came_out_is_said_in_scores(
    trained_gan: Callable[..., Path],
) -> None:
    rules = (
        "--loss wasserstein --penalty gradient_penalty --gamma 10 --pack 2 --discriminator-steps 4 --augment"
    )
    rates = "--discriminator-learning-rate 0.004 --betas 0 0.9 --decay-steps 6"
    output = succeed("train", "gan", *SMALL_GAN, *rules.split(), *rates.split())
    assert re.search(r"D scores real examples -?\d+\.\d\d and generated ones -?\d+\.\d\d, ", output)
    model, config, _ = runs.load(Path("runs/gan"), "cpu")
    assert model.loss == LOSSES["wasserstein"]
    assert (model.penalty.func, model.penalty.keywords) == (PENALTIES["gradient_penalty"], {"gamma": 10.0})
    assert (model.discriminator.m, model.discriminator_steps, model.decay_steps) == (2, 4, 6)
    assert (model.lr, model.betas, model.clip) == ((0.002, 0.004), (0.0, 0.9), None)
    assert model.augment is not None
    assert (config["shape"], config["norm"]) == ([1, 28, 28], None)
    model, _, _ = runs.load(trained_gan("--clip", "0.01", "--loss", "hinge"), "cpu")
    assert max(p.abs().max() for p in model.discriminator.parameters()) <= 0.01
    spectral, _, _ = runs.load(trained_gan("--norm", "spectral"), "cpu")
    assert any("parametrizations" in name for name in spectral.state_dict())


def test_a_residual_gan_is_trained_resumed_sampled_and_exported() -> None:
    options = (
        *SMALL_GAN,
        "--architecture",
        "resnet",
        "--loss",
        "relativistic",
        "--gamma",
        "1",
        "--out",
        "run",
    )
    rules = (*options, "--penalty", "r1+r2", "--decay-steps", "6")
    succeed("train", "gan", *rules, "--steps", "3")
    succeed("train", "gan", *rules, "--out", "at-once")
    assert "Going on from run/checkpoint-0000003" in succeed("train", "gan", *rules)
    assert same_weights(Path("run"), Path("at-once"))
    succeed("sample", "run", "--n", "4")
    model, _, _ = runs.load(Path("run"), "cpu")
    succeed("export", "run", "--out", "run.onnx")
    z = torch.randn(5, model.latent_dim, generator=torch.Generator().manual_seed(4))
    (x,) = onnxruntime.InferenceSession("run.onnx").run(None, {"z": z.numpy()})
    torch.testing.assert_close(torch.from_numpy(x), runs.draw(model, 5, None, 4), rtol=0, atol=1e-5)


def test_a_gans_run_made_before_its_rules_were_options_is_loaded(trained_gan: Callable[..., Path]) -> None:
    shutil.copytree(trained_gan("--gamma", "2"), "old")
    config = json.loads(Path("old/config.json").read_text())
    known = ("model", "data", "latent_dim", "width", "num_classes", "loss", "gamma", "lr", "average")
    Path("old/config.json").write_text(json.dumps({name: config[name] for name in known}))
    model, _, _ = runs.load(Path("old"), "cpu")
    assert (model.penalty.func, model.penalty.keywords) == (PENALTIES["r1"], {"gamma": 2.0})
    assert (model.lr, model.betas, model.discriminator_steps) == (0.002, (0.5, 0.999), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--penalty r2", "--penalty needs its weight, --gamma"),
        ("--gamma 1 --norm batch", "which --norm batch mixes"),
        ("--clip 0.01 --norm spectral", "--clip bounds what --norm spectral then rescales"),
        ("--loss wasserstein", "without --gamma, --clip or --norm spectral"),
        ("--loss wasserstein --norm none", "without --gamma, --clip or --norm spectral"),
        ("--architecture resnet --norm batch", "resnet has no batch norm"),
        ("--pack 2 --conditional", "--pack does not go with --conditional"),
        ("--batch-size 24 --pack 4 --discriminator-steps 4", "--pack, 16"),
        ("--loss wassertein --clip 1", "did you mean 'wasserstein'"),
    ],
)
def test_rules_that_make_no_sense_together_are_refused_before_any_work(options: str, message: str) -> None:
    assert message in refused("train", "gan", *SMALL_GAN, *options.split())
    assert not Path("runs").exists()


def test_sampling_draws_the_number_asked_for_and_the_seed_decides(trained: Callable[..., Path]) -> None:
    run = str(trained())
    assert succeed("sample", run) == "64 samples in samples.png\n"
    assert picture_size(Path("samples.png"))[0] > 8 * 28
    succeed("sample", run, "--out", "folder/same.png")
    succeed("sample", run, "--seed", "1", "--out", "other.png")
    assert Path("folder/same.png").read_bytes() == Path("samples.png").read_bytes()
    assert Path("other.png").read_bytes() != Path("samples.png").read_bytes()


def test_a_conditional_model_draws_the_label_asked_for_or_all_in_turn(trained: Callable[..., Path]) -> None:
    run = trained("--conditional")
    model, _, _ = runs.load(run, "cpu")
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for label, y in ((7, torch.full((4,), 7)), (None, torch.arange(4))):
        assert torch.equal(runs.draw(model, 4, label, 0), model.likelihood.mean(model.decode(z, y)))
    succeed("sample", str(run), "--label", "7", "--n", "4")


def test_a_label_for_a_model_without_labels_is_refused(trained: Callable[..., Path]) -> None:
    assert "takes no labels; train one with --conditional" in refused(
        "sample", str(trained()), "--label", "3"
    )
    assert "10 is not in the range 0<=x<=9" in refused("sample", str(trained()), "--label", "10")


def test_evaluation_prints_and_keeps_what_the_library_computes(trained: Callable[..., Path]) -> None:
    run = trained()
    output = succeed("evaluate", str(run), "--split", "test", "--k", "7", "--limit", "40", "--seed", "3")
    data = images("digits").test
    model = digit_vae(latent_dim=3, hidden=16)
    load_weights(run, model)
    x = torch.bernoulli(data.x[:40], generator=torch.Generator().manual_seed(3))
    upper = negative_elbo(model, x, seed=3)
    lower = log_likelihood(model, x, k=7, seed=3)
    assert output.endswith(f"all of it in {run / 'evaluation.json'}\n")
    result = json.loads((run / "evaluation.json").read_text())
    assert (result["split"], result["seed"], result["step"]) == ("test", 3, 30)
    found = result["measures"]
    for name, mean, bound in (
        ("negative_elbo", upper.mean, upper),
        ("negative_log_likelihood_bound", -lower.mean, lower),
    ):
        assert (found[name]["mean"], found[name]["standard_error"]) == (mean, bound.standard_error)
        assert (found[name]["images"], found[name]["unit"]) == (40, "nats per image")
    assert found["negative_log_likelihood_bound"]["k"] == 7
    assert output.count("on 300 test images of digits\n") == 1
    assert re.search(rf"-ELBO +{upper} +nats per image; 40 images, dynamically binarized\n", output)
    shown = Estimate(-lower.mean, lower.standard_error, 40)
    assert re.search(rf"bound from k = 7 draws +{shown} +nats per image; 40 images", output)


def test_a_conditional_model_is_evaluated_given_the_labels(trained: Callable[..., Path]) -> None:
    run = trained("--conditional")
    output = succeed("evaluate", str(run), "--k", "2", "--limit", "5", "--learn")
    assert "dynamically binarized, given their labels" in output
    found = json.loads((run / "evaluation.json").read_text())["measures"]
    assert found["negative_elbo"]["kind"].endswith("given their labels")
    assert found["train_on_samples"]["labels_read"] is False


def test_a_gan_gets_a_likelihood_by_annealing_under_noise_of_the_sd_asked_for(
    trained_gan: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gm_lib.evaluation.judgement.TEMPERATURES", 3)
    run = trained_gan()
    output = succeed("evaluate", str(run), "--ais", "2", "--sigma", "0.3", "--samples", "65")
    model, _, _ = runs.load(run, "cpu")
    bound = annealed_log_likelihood(
        NoisyDecoder(model, sigma=0.3), images("digits").valid.x[:2], temperatures=3, chains=8
    )
    found = json.loads((run / "evaluation.json").read_text())["measures"]["annealed"]
    assert found["mean"] == pytest.approx(-bound.mean, rel=1e-6)
    assert "2 images, grey values in [0, 1], Gaussian noise of sd 0.3" in output
    assert "-ELBO" in output
    assert "not for this model: a generator has no density" in output
    assert "sigma" in refused("evaluate", str(run), "--ais", "2", "--sigma", "0")


def test_copies_are_looked_for_in_all_that_a_run_learned_from() -> None:
    succeed("train", "vae", *SMALL, "--final", "--steps", "2", "--out", "run")
    succeed("evaluate", "run", "--k", "2", "--limit", "5", "--split", "test", "--samples", "65")
    found = json.loads(Path("run/evaluation.json").read_text())["measures"]
    assert found["copies"]["n_training"] == 1_197 + 300
    output = succeed("evaluate", "run", "--k", "2", "--limit", "5", "--samples", "65")
    assert "it learned from these images (--final): take --split test" in output
    assert "are training examples too" in output


def test_a_gan_of_stacked_digits_is_trained_resumed_and_judged_by_its_modes() -> None:
    small = (*SMALL_GAN, "--data", "stacked", "--pack", "2")
    succeed("train", "gan", *small, "--out", "run", "--steps", "3")
    assert "Going on from run/checkpoint-0000003" in succeed("train", "gan", *small, "--out", "run")
    succeed("train", "gan", *small, "--out", "at-once")
    assert same_weights(Path("run"), Path("at-once"))
    model, config, _ = runs.load(Path("run"), "cpu")
    assert (config["data"], config["stacked"], config["shape"]) == ("digits", True, [3, 28, 28])
    with Image.open("run/samples.png") as picture:
        assert picture.mode == "RGB"

    output = succeed("evaluate", "run", "--samples", "70", "--split", "test")
    generated = stacked_mode_coverage(model.sample(70, generator=torch.Generator().manual_seed(0)))
    real = stacked_mode_coverage(stacked(images("digits").test.x, 70))
    assert re.search(rf"modes covered, of 1,000 +{generated.covered} +{real.covered} ", output)
    found = json.loads(Path("run/evaluation.json").read_text())["measures"]["stacks"]
    assert found == {"generated": generated.as_dict(), "real": real.as_dict()}
    assert real.covered > generated.covered


def test_stacked_digits_are_for_gans_and_have_no_labels() -> None:
    assert "no labels for --conditional" in refused("train", "gan", "--data", "stacked", "--conditional")
    assert "unknown data set 'stacked'" in refused("train", "vae", "--data", "stacked")
    assert "three images in each stack it must be from 1 to 399" in refused(
        "train", "gan", *SMALL_GAN, "--data", "stacked", "--batch-size", "400"
    )


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_the_samples_of_every_model_are_judged_beside_real_images_of_the_split(
    kind: str, trained: Callable[..., Path], trained_gan: Callable[..., Path]
) -> None:
    run = trained() if kind == "vae" else trained_gan()
    output = succeed(
        "evaluate",
        str(run),
        "--split",
        "test",
        "--samples",
        "140",
        "--limit",
        "5",
        "--k",
        "2",
        "--out",
        "by/test.json",
    )
    model, _, _ = runs.load(run, "cpu")
    x = model.sample(140, generator=torch.Generator().manual_seed(0))
    report = judge_digits(x, images("digits").test.x, against="300 test images of digits")
    result = json.loads(Path("by/test.json").read_text())
    assert result["measures"]["digits"] == json.loads(json.dumps(report.as_dict()))
    assert re.search(rf"Fréchet distance +{report.frechet:.2f} +{report.frechet_floor:.2f} ", output)
    assert ("missing" in result["measures"]["negative_elbo"]) == (kind == "gan")


def test_a_conditional_gan_is_judged_on_all_digits_in_turn(trained_gan: Callable[..., Path]) -> None:
    output = succeed("evaluate", str(trained_gan("--conditional")))
    assert "150 samples, and as many real images, beside 150 others" in output


def test_too_few_samples_for_a_measure_leave_a_gap_with_its_reason(
    trained_gan: Callable[..., Path],
) -> None:
    run = trained_gan("--seed", "1")
    assert "1 is not in the range x>=2" in refused("evaluate", str(run), "--samples", "1")
    assert not (run / "evaluation.json").exists()
    for samples, enough in ((NUM_FEATURES, False), (NUM_FEATURES + 1, True)):
        output = succeed("evaluate", str(run), "--samples", str(samples))
        assert ("not computed: judging samples by 64 features needs at least 65 samples" in output) != enough


@pytest.mark.parametrize(
    "command",
    [("evaluate", "--k", "2", "--limit", "5"), ("export",), ("sample",)],
    ids=lambda command: command[0],
)
def test_a_place_that_cannot_be_written_is_named_before_any_work(
    command: tuple[str, ...], trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained()
    Path("file").touch()
    for work in ("cli.sample.draw", "evaluation.judge", "cli.onnx_files.onnx_bytes"):
        monkeypatch.setattr(f"gm_lib.{work}", lambda *_, **__: pytest.fail("work was done first"))
    out = {"evaluate": "result.json", "export": "model.onnx", "sample": "a.png"}[command[0]]
    output = refused(command[0], str(run), *command[1:], "--out", f"file/{out}")
    assert re.search(f"Error: file/{out}: (Not a directory|File exists) ", output)


def test_what_is_measured_is_saved_before_it_is_printed(
    trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    echo = click.echo
    monkeypatch.setattr(click, "echo", lambda text, **how: full() if "-ELBO" in text else echo(text, **how))
    refused("evaluate", str(trained()), "--k", "2", "--limit", "5", "--out", "result.json")
    assert {"negative_elbo", "digits"} <= json.loads(Path("result.json").read_text())["measures"].keys()


def test_a_terminal_that_knows_few_signs_gets_the_result_all_the_same(trained: Callable[..., Path]) -> None:
    arguments = ["evaluate", str(trained()), "--k", "2", "--limit", "5", "--out", "result.json"]
    result = CliRunner(charset="latin-1").invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "read with ? 90% confidence" in result.stdout_bytes.decode("latin-1")
    assert "± standard error, here and below" in result.stdout_bytes.decode("latin-1")


def test_a_run_is_not_evaluated_on_other_data_than_it_learned(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    config = json.loads((trained() / "config.json").read_text())
    run = tmp_path / "moved"
    shutil.copytree(trained(), run)
    (run / "config.json").write_text(json.dumps({**config, "data": "mnist"}))
    assert "mnist is not on this machine" in refused("evaluate", str(run))


@pytest.mark.parametrize("command", ["sample", "evaluate", "export"])
def test_a_folder_without_a_run_is_refused_with_the_command_that_makes_one(command: str) -> None:
    output = refused(command, "runs/nothing")
    assert "there is no run in runs/nothing" in output
    assert "python -m gm_lib train vae --out runs/nothing" in output
    assert "python -m gm_lib train vae --out 'my runs/a'," in refused(command, "my runs/a")


def test_a_checkpoint_stands_for_its_run_at_its_step(trained: Callable[..., Path]) -> None:
    shutil.copytree(trained(), "run")
    succeed("train", "vae", *SMALL, "--steps", "40", "--out", "run")
    for step in (30, 40):
        succeed("sample", f"run/checkpoint-00000{step}", "--n", "4", "--out", f"{step}.png")
    succeed("sample", "run", "--n", "4", "--out", "last.png")
    assert Path("30.png").read_bytes() != Path("40.png").read_bytes() == Path("last.png").read_bytes()
    output = succeed("evaluate", "run/checkpoint-0000030", "--k", "2", "--limit", "5")
    assert "run/checkpoint-0000030, step 30, on" in output
    assert json.loads(Path("run/evaluation.json").read_text())["step"] == 30


def test_a_next_command_can_be_copied_as_it_is() -> None:
    output = succeed("train", "vae", *SMALL, "--out", "my runs/it's")
    command = shlex.split(output.partition("Next: ")[2])
    assert command == ["python", "-m", "gm_lib", "evaluate", "my runs/it's"]


@pytest.mark.parametrize("option", ["--out=~/run", "--out ~/run"])
def test_a_home_folder_is_meant_where_a_shell_would_mean_it(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    succeed("train", "vae", *SMALL, *option.split())
    succeed("sample", "~/run", "--n", "4", "--out=~/a.png")
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["a.png", "run"]
    assert not Path("~").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "config.json is damaged"),
        ("[]", "does not describe a model"),
        (
            '{"model": "gna"}',
            "does not describe a model that this command knows (vae, gan, hierarchical_vae, music_vae, "
            "character_model, text_vae, autoregressive, flow, diffusion, flow_matching, vae_gan)",
        ),
        ('{"model": "vae"}', "config.json lacks data, latent_dim, hidden, num_classes, likelihood, beta, lr"),
    ],
)
def test_a_config_that_is_none_is_refused(content: str, message: str) -> None:
    Path("config.json").write_text(content)
    assert message in refused("sample", ".")


def test_a_checkpoint_of_another_model_is_refused_with_the_keys_that_differ(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    config = json.loads((trained() / "config.json").read_text())
    run = tmp_path / "altered"
    shutil.copytree(trained(), run)
    (run / "config.json").write_text(json.dumps({**config, "latent_dim": 5}))
    assert "holds the weights of another model than this VAE" in refused("sample", str(run))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--data", "mnits"),
            "unknown data set 'mnits'; did you mean 'mnist' or 'kmnist'? Known: cifar10, digits,",
        ),
        (("--likelihood", "bernouli"), "unknown likelihood 'bernouli'; did you mean 'bernoulli'?"),
        (("--device", "cdua"), "unknown device 'cdua'; did you mean 'cuda'?"),
        (("--steps", "0"), "0 is not in the range x>=1"),
        (("--learning-rate", "0"), "0.0 is not in the range x>0"),
        (("--learning-rate", "nan"), "nan is not a finite number"),
        (("--beta", "inf"), "inf is not a finite number"),
        (("--batch-size", "5000"), "batch_size is 5000, but must be from 1 to the number of examples, 1197"),
        (("--latnt-dim", "3"), "No such option"),
    ],
)
def test_mistakes_are_answered_with_what_was_meant(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused("train", "vae", *SMALL, *arguments)
    assert not Path("runs").exists()


def test_a_gm_data_that_does_not_exist_is_reported_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GM_DATA", "nowhere")
    assert "GM_DATA is set to 'nowhere', but there is no folder" in refused("train", "vae", "--steps", "1")


def test_a_torchvision_that_cannot_be_imported_is_reported_without_a_traceback(
    mnist: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert "torchvision cannot be imported" in refused("train", "vae", "--steps", "1", "--device", "cpu")


def test_an_unknown_profile_is_reported_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_PROFILE", "quik")
    assert "did you mean 'quick'" in refused("train", "vae", "--data", "digits", "--device", "cpu")


def test_a_folder_that_cannot_be_written_is_reported_without_a_traceback() -> None:
    Path("file").touch()
    assert "Error: " in refused("train", "vae", *SMALL, "--out", "file/run")


def test_a_learning_rate_that_explodes_is_reported_with_step_and_term() -> None:
    output = refused("train", "vae", *SMALL, "--learning-rate", "1e30")
    assert re.search(r"step \d+: '\w+' is (nan|-?inf)", output)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_stopped_by_a_signal_says_how_to_go_on_and_does(
    number: int, code: int, trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    update = VAE.update

    def stopped(self: VAE, batch: object, optimizers: dict, step: int) -> dict:
        if step == 10:
            os.kill(os.getpid(), number)
        return update(self, batch, optimizers, step)

    with monkeypatch.context() as patch:
        patch.setattr(VAE, "update", stopped)
        result = call("train", "vae", *SMALL)
    assert result.exit_code == code
    assert "Stopped after 10 of 30 steps. Run it again to go on from runs/vae, step 10." in result.output
    assert "Next:" not in result.output
    succeed("train", "vae", *SMALL)
    assert same_weights(Path("runs/vae"), trained())


def test_a_run_shows_what_the_same_noise_gave_in_the_course_of_training() -> None:
    output = succeed("train", "vae", *SMALL, "--steps", "200")
    names = [f"step-{step:07d}.png" for step in (100, 200)]
    assert sorted(path.name for path in Path("runs/vae/samples").iterdir()) == names
    early, late = ((Path("runs/vae/samples") / name).read_bytes() for name in names)
    assert early != late == Path("runs/vae/samples.png").read_bytes()
    assert re.search(
        r"^step 100 of 200: loss [\d.]+, reconstruction [\d.]+, kl [\d.]+$", output, re.MULTILINE
    )
    assert re.search(r"^step 200 of 200: valid_negative_elbo [\d.]+$", output, re.MULTILINE)


def test_tensorboard_shows_what_metrics_has(trained: Callable[..., Path]) -> None:
    run = trained("--tensorboard")
    curves = EventAccumulator(str(run)).Reload()
    shown = {
        (event.step, name): event.value for name in curves.Tags()["scalars"] for event in curves.Scalars(name)
    }
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    recorded = {(row["step"], name): row[name] for row in rows for name in row if name != "step"}
    assert shown == pytest.approx(recorded, rel=1e-6)
    assert same_weights(run, trained())  # watching changes nothing


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("tensorboard", ("train", "vae", *SMALL, "--tensorboard")),
        ("onnx", ("export", "nothing")),
        ("onnxscript", ("export", "nothing", "--out", "a.onnx")),
    ],
)
def test_a_missing_package_is_named_before_anything_is_done(
    package: str, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert f"{package} must be there for this: pip install {package}." in refused(*command)
    assert list(Path().iterdir()) == []


def test_the_exported_network_makes_the_samples_of_the_run(trained: Callable[..., Path]) -> None:
    run = trained("--conditional")
    output = succeed("export", str(run), "--out", "folder/by-digit.onnx")
    assert "z (batch, 3), y (batch) to x (batch, 1, 28, 28), ONNX opset 18, in folder/by-digit.onnx" in output
    model, _, _ = runs.load(run, "cpu")
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(4))
    session = onnxruntime.InferenceSession("folder/by-digit.onnx")
    (x,) = session.run(None, {"z": z.numpy(), "y": (torch.arange(20) % 10).numpy()})
    torch.testing.assert_close(torch.from_numpy(x), runs.draw(model, 20, None, 4), rtol=0, atol=1e-5)


def test_the_name_says_what_is_exported(trained: Callable[..., Path]) -> None:
    run = str(trained())
    assert succeed("export", run, "--out", "grid.PNG") == "a grid of images in grid.PNG\n"
    assert picture_size(Path("grid.PNG")) == picture_size(Path(run) / "samples.png")
    succeed("export", run, "--out", "other.png", "--seed", "1")
    assert Path("other.png").read_bytes() != Path("grid.PNG").read_bytes()
    output = refused("export", run, "--out", "model.onxx")
    assert "unknown kind of export '.onxx'; did you mean '.onnx'? Known: .onnx, .png." in output
    assert not Path("model.onxx").exists()


def test_help_explains_every_command_with_an_example_and_every_option() -> None:
    for command in (("train", "vae"), ("train", "gan"), ("sample",), ("evaluate",), ("export",)):
        output = succeed(*command, "--help")
        assert re.search(r"Examples?:\n +python -m gm_lib " + " ".join(command), output)
        assert "[default: " in output
    assert "python -m gm_lib train vae" in succeed("--help")
    group: list = [main]
    while group:
        command = group.pop()
        assert command.help
        group += getattr(command, "commands", {}).values()
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.help


def env_lines() -> tuple[int, dict[str, str]]:
    """The exit code of `env`, and its lines by the requirement they are about."""
    result = call("env")
    lines = [line.split(maxsplit=2) for line in result.output.splitlines()]
    return result.exit_code, {name: f"{mark} {text}" for mark, name, text in lines}


def test_env_is_ok_where_everything_is_there() -> None:
    code, lines = env_lines()
    assert code == 0
    assert all(line.startswith("[OK] ") for line in lines.values())
    assert lines["gm_lib"] == f"[OK] {__version__}"
    assert lines["torch"].startswith(f"[OK] {version('torch')} (>=")
    assert lines["device"].startswith(f"[OK] {runtime.device().type} (")
    assert {"python", "platform", "numpy", "click", "profile", "data", "cache"} <= set(lines)
    assert not {"jupyter-book", "pytest"} & set(lines)


def test_env_counts_missing_data_as_no_fault() -> None:
    assert env_lines()[1]["data"] == "[OK] MNIST is not here: it is downloaded when it is first used"


def test_env_says_that_gm_offline_forbids_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_OFFLINE", "1")
    said = "[OK] MNIST is not here, and GM_OFFLINE is set: digits take its place"
    assert env_lines()[1]["data"] == said


def test_env_says_where_the_data_is(mnist: ImageData) -> None:
    assert env_lines()[1]["data"] == f"[OK] MNIST in {mnist.source}"


def test_env_fails_for_a_package_below_its_floor_or_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    version = env.metadata.version

    def other(name: str) -> str:
        if name == "scipy":
            raise env.metadata.PackageNotFoundError(name)
        return "1.9" if name == "torch" else version(name)

    monkeypatch.setattr(env.metadata, "version", other)
    code, lines = env_lines()
    assert code == 1
    assert re.match(r"\[FAIL\] 1.9 found, >=2.\d+ needed: run pip install", lines["torch"])
    assert lines["scipy"].startswith("[FAIL] missing: run pip install")
    assert lines["numpy"].startswith("[OK]")


def test_env_fails_for_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env.platform, "python_version", lambda: "3.9.1")
    code, lines = env_lines()
    assert code == 1
    assert lines["python"].startswith("[FAIL] 3.9.1 found, ")


def test_env_fails_for_settings_that_point_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_DATA", "nowhere")
    monkeypatch.setenv("GM_PROFILE", "quik")
    code, lines = env_lines()
    assert code == 1
    assert lines["data"].startswith("[FAIL] GM_DATA is set to 'nowhere'")
    assert lines["profile"].startswith("[FAIL] unknown profile in GM_PROFILE 'quik'; did you mean 'quick'")


def test_env_fails_for_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setattr(sources, "cache_folder", lambda: Path("file").absolute() / "gm_lib")
    code, lines = env_lines()
    assert code == 1
    assert "gm_lib cannot be written (Not a directory)" in lines["cache"]


def test_env_fails_for_a_device_that_does_not_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the driver is too old")

    monkeypatch.setattr(torch, "ones", broken)
    code, lines = env_lines()
    assert code == 1
    assert lines["device"] == "[FAIL] the driver is too old"


def test_the_installed_command_runs_from_a_shell(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gm_lib", "train", "vae", *SMALL, "--out", "run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    # No bar where it would fill a file, but signs of life.
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["step 30 of 30"] * 2
    assert "Next: python -m gm_lib evaluate run" in done.stdout


def test_two_processes_train_one_model_and_one_speaks(tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, "-m", "gm_lib", "train", "vae", *SMALL, "--out", "run", "--tensorboard"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    for said in ("gm_lib.data: digits", "Next: python -m gm_lib evaluate run"):
        assert done.stdout.count(said) == 1
    assert done.stderr.count("step 30 of 30: loss") == 1
    run = tmp_path / "run"
    assert load_checkpoint(run).state["processes"] == 2
    assert (run / "samples.png").exists()
    assert len(list(run.glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize("command", ["sample", "evaluate", "export"])
def test_what_one_process_can_do_is_not_done_by_several(
    command: str, trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "size", lambda: 2)
    assert "start it without torchrun" in refused(command, str(trained()))
