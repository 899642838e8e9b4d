"""The loop: what it records, what it leaves alone, how it stops and goes on, what it refuses."""

import json
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from noisy_model import NoisyModel, data, evaluate
from same_state import assert_same_state, checkpointed
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gm_lib.data import Batch, Batches
from gm_lib.data.images import Split
from gm_lib.gan import digit_gan
from gm_lib.runtime import PRECISIONS
from gm_lib.system import files, parallel
from gm_lib.training import History, fit, latest_checkpoint, load_checkpoint, load_weights, run
from gm_lib.vae import digit_autoencoder, digit_vae


class Scripted(nn.Module):
    """A model whose update() returns what a test wants it to."""

    def __init__(self, terms: Callable[[int], Any]):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.terms = terms

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"sgd": torch.optim.SGD(self.parameters(), lr=0.1)}

    def update(self, batch: Any, optimizers: Any, step: int) -> Any:
        with torch.no_grad():
            self.weight += 1
        return self.terms(step)


def train(model: nn.Module, batches: Any = None, **options: Any) -> History:
    options = {"steps": 60, "device": "cpu", "log_every": 10, "progress": False} | options
    return fit(model, data() if batches is None else batches, **options)


# What it records


def test_history_holds_the_mean_of_each_term_over_each_window() -> None:
    model = Scripted(lambda step: {"loss": torch.tensor(float(step)), "square": torch.tensor(step**2)})
    history = train(model, steps=25)
    assert history.steps.tolist() == [10, 20, 25]
    assert history["loss"].tolist() == [np.mean(range(1, 11)), np.mean(range(11, 21)), np.mean(range(21, 26))]
    squares = np.arange(1, 26) ** 2.0
    assert history["square"].tolist() == [squares[:10].mean(), squares[10:20].mean(), squares[20:].mean()]
    assert history.final("loss") == 23
    assert history.images == 25 * 8
    assert history.seconds > 0
    assert history.images_per_second == history.images / history.seconds


def test_updates_are_counted_from_one_to_steps() -> None:
    counted: list[int] = []
    train(Scripted(lambda step: counted.append(step) or {"loss": torch.tensor(0.0)}), steps=7)
    assert counted == [1, 2, 3, 4, 5, 6, 7]


def test_evaluation_runs_in_evaluation_mode_and_does_not_change_the_training() -> None:
    modes = []

    def look(model: NoisyModel) -> dict[str, float]:
        modes.append((model.training, model.norm.training, torch.is_grad_enabled()))
        return evaluate(model)

    watched, alone = NoisyModel(), NoisyModel()
    history = train(watched, evaluate=look, evaluate_every=15)
    plain = train(alone)
    assert modes == [(False, False, False)] * 4
    assert history.at("score").tolist() == [15, 30, 45, 60]
    assert history["loss"].tolist() == plain["loss"].tolist()
    assert_same_state(watched.state_dict(), alone.state_dict())


class Walker(nn.Module):
    """A model that walks: after step k its weight is k², and its statistics with it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("statistics", torch.zeros(2))
        self.register_buffer("count", torch.tensor(0))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"sgd": torch.optim.SGD(self.parameters(), lr=0.1)}

    @torch.no_grad()
    def update(self, batch: Any, optimizers: Any, step: int) -> dict[str, Tensor]:
        assert self.weight.tolist() == [(step - 1) ** 2] * 2, "a model learns from its own weights"
        self.weight.fill_(step**2)
        self.statistics.fill_(-(step**2))
        self.count.fill_(step)
        return {"loss": torch.tensor(0.0)}


def averaged_squares(steps: int, average: float) -> float:
    """The average of k² that starts with 0 and takes in one step after the other."""
    value = 0.0
    for step in range(1, steps + 1):
        kept = min(average, (1 + step) / (10 + step))
        value = kept * value + (1 - kept) * step**2
    return value


def test_averaged_weights_are_evaluated_recorded_and_left_while_the_models_own_are_trained() -> None:
    model, seen, told = Walker(), [], []

    def look(model: Walker) -> dict[str, float]:
        seen.append(float(model.weight[0]))
        return {"weight": seen[-1]}

    train(
        model,
        steps=40,
        average=0.7,
        evaluate=look,
        evaluate_every=15,
        on_record=lambda row: told.append((row["step"], float(model.statistics[1]))),
    )
    assert seen == pytest.approx([averaged_squares(15, 0.7), averaged_squares(30, 0.7)])
    steps = [10, 15, 20, 30, 30, 40]
    assert [step for step, _ in told] == steps
    assert [value for _, value in told] == pytest.approx([-averaged_squares(step, 0.7) for step in steps])
    assert model.weight.tolist() == pytest.approx([averaged_squares(40, 0.7)] * 2)
    assert model.statistics.tolist() == pytest.approx([-averaged_squares(40, 0.7)] * 2)
    assert model.count == 40


def test_averaging_changes_nothing_of_the_training() -> None:
    plain, averaging = NoisyModel(), NoisyModel()
    histories = [train(plain), train(averaging, average=0.9)]
    assert histories[0].rows == histories[1].rows
    assert not torch.equal(plain.first.weight, averaging.first.weight)


def test_a_run_with_averaged_weights_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    options: dict[str, Any] = {"average": 0.9, "evaluate": evaluate, "evaluate_every": 20}
    straight, stopped = NoisyModel(), NoisyModel()
    expected = train(straight, out=tmp_path / "straight", **options)
    train(NoisyModel(), out=tmp_path / "stopped", steps=33, **options)
    history = train(stopped, out=tmp_path / "stopped", **options)
    # at step 33 there is a record more: the end of what was a run
    assert [row for row in history.rows if row["step"] != 33][-3:] == expected.rows[-3:]
    assert_same_state(stopped.state_dict(), straight.state_dict())
    assert_same_state(load_checkpoint(tmp_path / "stopped").weights, straight.state_dict())
    again = NoisyModel()
    train(again, out=tmp_path / "stopped", **options)
    assert_same_state(again.state_dict(), straight.state_dict())


def test_a_run_goes_on_with_the_average_that_it_began_with(tmp_path: Path) -> None:
    train(NoisyModel(), out=tmp_path, steps=20, average=0.9)
    with pytest.raises(ValueError, match=r"average was 0\.9 and is now 0\.5"):
        train(NoisyModel(), out=tmp_path, average=0.5)
    with pytest.raises(ValueError, match=r"average was 0\.9 and is now 'not set'"):
        train(NoisyModel(), out=tmp_path)


@pytest.mark.parametrize("average", [-0.1, 1.0, float("nan")])
def test_an_average_out_of_range_is_refused(average: float) -> None:
    with pytest.raises(ValueError, match=r"average must be in \[0, 1\)"):
        train(NoisyModel(), average=average)


def test_a_frozen_part_stays_in_evaluation_mode_through_an_evaluation() -> None:
    model = NoisyModel()
    seen = []

    def update(batch: Any, optimizers: Any, step: int) -> dict[str, Tensor]:
        if step == 1:
            model.norm.eval()
        seen.append((model.training, model.norm.training))
        return {"loss": torch.tensor(0.0)}

    model.update = update  # type: ignore[method-assign]
    train(model, steps=4, evaluate=evaluate, evaluate_every=2)
    assert seen == [(True, False)] * 4


def test_every_evaluation_draws_the_same_random_numbers() -> None:
    history = train(NoisyModel(), evaluate=lambda model: {"draw": float(torch.randn(()))}, evaluate_every=20)
    assert len(set(history["draw"].tolist())) == 1


def test_the_run_depends_on_its_seed_and_not_on_the_global_random_state() -> None:
    models = [NoisyModel(), NoisyModel(), NoisyModel()]
    losses = []
    for model, seed, noise in zip(models, (1, 1, 2), (10, 11, 12), strict=True):
        torch.manual_seed(noise)
        random.seed(noise)
        losses.append(train(model, seed=seed)["loss"].tolist())
    assert losses[0] == losses[1] != losses[2]


def test_the_global_random_state_is_left_as_it_was() -> None:
    torch.manual_seed(1), random.seed(2), np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    train(NoisyModel(), seed=9)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002


def test_the_model_is_left_in_evaluation_mode() -> None:
    model = NoisyModel().train()
    train(model)
    assert not model.training


def test_without_out_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(NoisyModel(), checkpoint_every=10, settings={"a": 1})
    assert list(tmp_path.iterdir()) == []


def test_out_holds_settings_metrics_and_two_checkpoints(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "a"
    options = {"evaluate": evaluate, "evaluate_every": 25, "settings": {"sizes": (3, 4)}}
    history = train(NoisyModel(), out=out, checkpoint_every=20, **options)
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoint-0000040",
        "checkpoint-0000060",
        "config.json",
        "metrics.jsonl",
    ]
    assert json.loads((out / "config.json").read_text()) == {
        "seed": 0,
        "log_every": 10,
        "precision": "float32",
        "sizes": [3, 4],
    }
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows == history.rows
    assert [row["step"] for row in rows] == [10, 20, 25, 30, 40, 50, 50, 60]


def test_a_step_reads_nothing_back_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    for name in ("cpu", "item", "tolist", "numpy", "__bool__", "__float__"):
        original = getattr(Tensor, name)

        def spy(self: Tensor, *args: Any, name: str = name, original: Any = original, **kwargs: Any) -> Any:
            reads.append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(Tensor, name, spy)
    model = Scripted(lambda step: {"loss": torch.zeros(()), "kl": torch.zeros(())})
    batches = [torch.zeros(4, 3)]
    train(model, batches, steps=50, log_every=50)
    of_fifty_steps = len(reads)
    train(model, batches, steps=100, log_every=100)
    assert len(reads) == 2 * of_fifty_steps > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_no_step_waits_for_cuda() -> None:
    def terms(step: int) -> dict[str, Tensor]:
        torch.cuda.set_sync_debug_mode("default" if step % 50 == 0 else "error")
        return {"loss": torch.zeros((), device="cuda")}

    train(Scripted(terms), [torch.zeros(4, 3, device="cuda")], device="cuda", steps=200, log_every=50)


# Batches


def test_a_list_is_gone_through_again_and_again() -> None:
    model = NoisyModel()
    pieces = [torch.randn(8, 3) for _ in range(3)]
    train(model, [(piece, None) for piece in pieces], steps=7)
    assert_same_state(model.seen, [pieces[i % 3] for i in range(7)])


def test_no_batches_is_an_error() -> None:
    with pytest.raises(ValueError, match="no \\(more\\) batches"):
        train(NoisyModel(), [])


def test_a_generator_that_ends_too_early_is_an_error() -> None:
    with pytest.raises(ValueError, match="generator that does not end"):
        train(NoisyModel(), ((torch.randn(8, 3),) for _ in range(5)))


def test_an_empty_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="a batch is empty"):
        train(NoisyModel(), [(torch.empty(0, 3), None)])


@pytest.mark.parametrize(
    "batch", ["text", {"x": torch.zeros(2, 3)}, (), (3, torch.zeros(2)), torch.tensor(1.0)]
)
def test_a_batch_that_is_no_tensor_of_examples_is_an_error(batch: Any) -> None:
    with pytest.raises(TypeError, match="a batch must be a tensor of examples"):
        train(NoisyModel(), [batch])


class Named(NamedTuple):
    image: Tensor
    caption: Tensor


X, Y = torch.rand(6, 3), torch.arange(6)


@pytest.mark.parametrize(
    ("given", "x", "y"),
    [(X, X, None), ((X,), X, None), ([X], X, None), ((X, Y), X, Y), ([X, Y], X, Y), ((X, None), X, None)],
)
def test_a_batch_reaches_the_model_as_the_pair_of_examples_and_labels(given: Any, x: Tensor, y: Any) -> None:
    model = NoisyModel()
    shown: list[Any] = []
    model.check = shown.append  # type: ignore[assignment]
    train(model, [given], steps=1)
    ((seen_x, seen_y),) = shown
    assert torch.equal(seen_x, x)
    assert seen_y is y is None or torch.equal(seen_y, y)


def test_a_longer_batch_and_one_with_names_reach_the_model_as_they_are() -> None:
    for given in ((X, Y, Y + 1), Named(X, Y)):
        model = NoisyModel()
        shown: list[Any] = []
        model.check = shown.append  # type: ignore[assignment]
        train(model, [given], steps=1)
        assert type(shown[0]) is type(given)
        assert_same_state(list(shown[0]), list(given))


def test_a_dataloader_without_labels_and_a_tensor_of_images_train_on_every_image() -> None:
    x = torch.rand(2, 1, 28, 28).round()
    for batches in ([x], DataLoader(TensorDataset(x), batch_size=2)):
        assert train(digit_vae(hidden=4), batches, steps=3).images == 6


@pytest.mark.parametrize(
    "batches",
    [
        X,
        Batch(X, Y),
        (X, Y),
        TensorDataset(X, Y),
        Split(torch.zeros(2, 1, 28, 28), torch.zeros(2)),
        5,
    ],
    ids=lambda batches: type(batches).__name__,
)
def test_data_that_nobody_has_put_into_batches_is_answered_with_what_does(batches: Any) -> None:
    kind = type(batches).__name__
    with pytest.raises(TypeError, match=rf"a {kind} is not: give gm_lib.data.Batches\(x, y\), a DataLoader"):
        train(NoisyModel(), batches)


def test_labels_in_a_batch_of_their_own_are_noticed() -> None:
    with pytest.raises(
        ValueError, match=r"batch 2 is torch.int64 of shape \(6,\), the first one torch.float32"
    ):
        train(NoisyModel(), [X, Y])


@pytest.mark.parametrize(
    ("of_the_data", "of_the_model"),
    [(torch.float64, torch.float32), (torch.float32, torch.float64), (torch.float16, torch.float32)],
)
def test_data_comes_in_the_dtype_of_the_model(of_the_data: torch.dtype, of_the_model: torch.dtype) -> None:
    x = torch.rand(8, 3, generator=torch.Generator().manual_seed(1)).to(of_the_data)
    model = NoisyModel().to(of_the_model)
    train(model, Batches(x, Y.repeat(2)[:8], batch_size=4, device="cpu"), steps=3)
    assert {seen.dtype for seen in model.seen} == {of_the_model}


def test_a_last_batch_of_one_that_batch_norm_cannot_use_is_named() -> None:
    with pytest.raises(ValueError, match=r"single example.*Expected more than 1.*drop_last=True"):
        train(NoisyModel(), DataLoader(TensorDataset(torch.rand(9, 3)), batch_size=4))

    def update(batch: Any, optimizers: Any, step: int) -> Any:
        raise ValueError("the model's own")

    model = NoisyModel()
    model.update = update  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"^the model's own$"):
        train(model)


def test_the_models_own_check_sees_the_first_batch_only_and_may_refuse_it() -> None:
    model = NoisyModel()
    shown: list[Tensor] = []
    model.check = lambda batch: shown.append(batch.x)  # type: ignore[assignment]
    train(model, steps=20)
    assert_same_state(shown, model.seen[:1])

    def refuse(batch: Any) -> None:
        raise ValueError("grey pixels")

    fresh = NoisyModel()
    fresh.check = refuse  # type: ignore[assignment]
    with pytest.raises(ValueError, match="grey pixels"):
        train(fresh)
    assert fresh.seen == []


# Terms and values that cannot be


@pytest.mark.parametrize(
    ("terms", "error", "message"),
    [
        ({"loss": 1.5}, TypeError, "'loss' as a float"),
        ({"loss": torch.zeros(3)}, ValueError, r"'loss' of shape \(3,\)"),
        ({"loss": torch.zeros((), requires_grad=True)}, ValueError, r"return loss.detach\(\)"),
        ({"loss": torch.zeros((), device="meta")}, ValueError, "'loss' on meta"),
        ({}, TypeError, "must return a dictionary"),
        (None, TypeError, "must return a dictionary"),
        ({"step": torch.zeros(())}, TypeError, "none called 'step'"),
    ],
)
def test_a_term_that_cannot_be_recorded_is_named(terms: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train(Scripted(lambda step: terms))


@pytest.mark.parametrize("other", ["kl", "loss2"])
def test_terms_that_change_between_steps_are_an_error(other: str) -> None:
    def terms(step: int) -> dict[str, Tensor]:
        return {"loss": torch.tensor(1.0)} | ({other: torch.tensor(1.0)} if step == 13 else {})

    with pytest.raises(ValueError, match=f"step 13: .*{other}.*\\['loss'\\] before"):
        train(Scripted(terms))


def test_a_term_that_goes_missing_is_an_error() -> None:
    def terms(step: int) -> dict[str, Tensor]:
        return {"loss": torch.tensor(1.0)} | ({"kl": torch.tensor(1.0)} if step != 13 else {})

    with pytest.raises(ValueError, match=r"step 13: .*\['loss'\], but \['kl', 'loss'\] before"):
        train(Scripted(terms))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_stops_with_its_step_and_term(value: float) -> None:
    def terms(step: int) -> dict[str, Tensor]:
        return {"loss": torch.tensor(2.5), "kl": torch.tensor(value if step >= 37 else 1.0)}

    with pytest.raises(FloatingPointError, match=rf"step 37: 'kl' is {value} \(loss 2.5, kl {value}\)"):
        train(Scripted(terms), steps=100, log_every=20)


def test_nothing_is_saved_after_a_value_that_is_not_finite(tmp_path: Path) -> None:
    def terms(step: int) -> dict[str, Tensor]:
        return {"loss": torch.tensor(float("nan") if step == 15 else 1.0)}

    with pytest.raises(FloatingPointError, match="step 15"):
        train(Scripted(terms), out=tmp_path, log_every=100, checkpoint_every=6)
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.step == 12
    assert checkpoint.weights["weight"].tolist() == [12, 12]


def test_an_evaluation_that_is_not_finite_or_takes_a_name_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match=r"step 20: evaluate.* nan as 'score'"):
        train(NoisyModel(), evaluate=lambda model: {"score": float("nan")}, evaluate_every=20)
    with pytest.raises(ValueError, match="'loss', a name that is taken"):
        train(NoisyModel(), evaluate=lambda model: {"loss": 1.0}, evaluate_every=20)


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number, at least 1, not 0"),
        ({"steps": -3}, "steps must be"),
        ({"steps": 10.0}, "steps must be a whole number"),
        ({"log_every": 0}, "log_every must be"),
        ({"checkpoint_every": -1}, "checkpoint_every must be"),
        ({"evaluate_every": -1}, "evaluate_every must be"),
        ({"evaluate_every": 5}, "evaluate and evaluate_every go together"),
        ({"evaluate": evaluate}, "evaluate and evaluate_every go together"),
        ({"device": "gpu7"}, "device"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"out": "run/checkpoint-0000040"}, "is a checkpoint: give the folder of its run as out, run"),
    ],
)
def test_arguments_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(NoisyModel(), **options)


def test_numbers_may_be_numpys_and_the_run_can_be_gone_on_with(tmp_path: Path) -> None:
    straight = train(NoisyModel(), out=tmp_path / "straight", settings={"sizes": [1, 2.5]})
    counts = {"steps": 30, "log_every": 10, "seed": 0, "checkpoint_every": 20, "evaluate_every": 0}
    out, settings = tmp_path / "numpys", {"sizes": (np.int32(1), np.float32(2.5))}
    numpys = {name: np.int64(value) for name, value in counts.items()}
    train(NoisyModel(lr=np.float64(1e-2)), out=out, settings=settings, **numpys)
    again = train(NoisyModel(), out=out, settings={"sizes": [1, 2.5]})
    assert again.rows == straight.rows
    assert_same_state(checkpointed(out), checkpointed(tmp_path / "straight"))


def test_a_home_folder_is_meant_where_a_shell_would_mean_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    train(NoisyModel(), out="~/run", steps=5)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert latest_checkpoint("~/run") == tmp_path / "home/run/checkpoint-0000005"
    assert load_checkpoint("~/run").step == 5
    load_weights("~/run", NoisyModel())


@pytest.mark.parametrize("part", ["the model", "a part"])
def test_a_run_of_a_compiled_model_is_that_of_the_model(part: str, tmp_path: Path) -> None:
    def compiled() -> Any:
        model = NoisyModel()
        if part == "the model":
            return torch.compile(model, backend="eager")
        model.first = torch.compile(model.first, backend="eager")  # type: ignore[assignment]
        return model

    train(NoisyModel(), out=tmp_path / "plain")
    train(compiled(), out=tmp_path / "compiled", steps=33)
    train(NoisyModel(), out=tmp_path / "compiled", steps=44)
    train(compiled(), out=tmp_path / "compiled")
    assert_same_state(checkpointed(tmp_path / "compiled"), checkpointed(tmp_path / "plain"))


def test_another_default_device_plays_no_part_in_a_run(tmp_path: Path) -> None:
    options: dict[str, Any] = {"evaluate": lambda model: {"score": 1.0}, "evaluate_every": 20}
    straight = train(NoisyModel(), **options)
    model, batches = NoisyModel(), data()
    with torch.device("meta"):
        train(model, batches, out=tmp_path, steps=30, **options)
    model, batches = NoisyModel(), data()
    with torch.device("meta"):
        assert train(model, batches, out=tmp_path, **options).rows == straight.rows


def test_a_setting_that_json_cannot_hold_is_named() -> None:
    with pytest.raises(TypeError, match="setting 'data' is not a JSON value"):
        train(NoisyModel(), settings={"lr": 0.1, "data": torch.zeros(2)})


@pytest.mark.parametrize("model", [nn.Linear(2, 2), object(), None])
def test_what_cannot_be_trained_is_refused(model: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot be trained: fit needs an nn.Module"):
        train(model)


# Stopping and going on


@pytest.mark.parametrize("parts", [(25, 60), (60, 60), (20, 60), (3, 25, 26, 60)])
def test_a_resumed_run_equals_one_that_never_stopped(parts: tuple[int, ...], tmp_path: Path) -> None:
    options: dict[str, Any] = {"evaluate": evaluate, "evaluate_every": 15, "checkpoint_every": 1000}
    straight = train(NoisyModel(), out=tmp_path / "straight", **options)
    for steps in parts:
        model = NoisyModel()  # everything anew, as in a new process
        resumed = train(model, data(), out=tmp_path / "parts", steps=steps, **options)
    assert_same_state(checkpointed(tmp_path / "parts"), checkpointed(tmp_path / "straight"))
    assert resumed.rows == straight.rows
    assert resumed.images == straight.images
    for name in ("metrics.jsonl", "config.json"):
        assert (tmp_path / "parts" / name).read_text() == (tmp_path / "straight" / name).read_text()


def test_what_several_processes_record_does_not_depend_on_when_they_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As eight processes do it that have the same: in float32, the mean of equal numbers may be another.
    monkeypatch.setattr(parallel, "mean", lambda x: x.copy_(sum([x] * 8) / 8))
    straight = train(NoisyModel())
    assert train(NoisyModel(), out=tmp_path, checkpoint_every=3).rows == straight.rows


def test_a_run_killed_between_checkpoints_goes_on_from_the_last_one(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    straight = train(NoisyModel(), out=tmp_path / "straight")
    model = NoisyModel()
    own_update = model.update

    def update(batch: Any, optimizers: Any, step: int) -> dict[str, Tensor]:
        if step == 38:
            raise Killed
        return own_update(batch, optimizers, step)

    model.update = update  # type: ignore[method-assign]
    with pytest.raises(Killed):
        train(model, out=tmp_path / "killed", checkpoint_every=25)
    assert len((tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()) == 3
    resumed = train(NoisyModel(), out=tmp_path / "killed")
    assert resumed.rows == straight.rows
    assert_same_state(checkpointed(tmp_path / "killed"), checkpointed(tmp_path / "straight"))


def test_a_run_that_has_its_steps_already_returns_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    done = train(NoisyModel(), out=tmp_path, steps=40)
    for steps in (40, 30):
        model = NoisyModel()
        history = train(model, out=tmp_path, steps=steps)
        assert f"has 40 steps, {steps} were asked for: nothing is left to do" in capsys.readouterr().out
        assert model.seen == []
        assert not model.training
        assert history.rows == done.rows
        assert_same_state(model.state_dict(), load_checkpoint(tmp_path).weights)


def test_a_finished_run_asked_again_has_all_its_records(tmp_path: Path) -> None:
    done = train(NoisyModel(), out=tmp_path, steps=43)
    record = (tmp_path / "metrics.jsonl").read_bytes()
    again = train(NoisyModel(), out=tmp_path, steps=43)
    assert again.rows == done.rows
    assert again.steps.tolist() == [10, 20, 30, 40, 43]
    assert (tmp_path / "metrics.jsonl").read_bytes() == record


def test_a_finished_run_asked_again_has_not_trained_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 1e6)
    for _ in range(2):
        assert train(NoisyModel(), out=tmp_path, steps=43).seconds == 0


def test_a_run_that_starts_over_and_is_killed_before_it_saves_does_not_go_on_from_the_old_one(
    tmp_path: Path,
) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    train(NoisyModel(), out=tmp_path, steps=60, checkpoint_every=20)
    with pytest.raises(Killed):
        train(interrupting(NoisyModel(), 5, kill), out=tmp_path, resume=False)
    model = NoisyModel()
    train(model, out=tmp_path)
    assert len(model.seen) == 60


def test_resume_false_starts_over(tmp_path: Path) -> None:
    first = train(NoisyModel(), out=tmp_path, steps=40)
    model = NoisyModel()
    again = train(model, out=tmp_path, steps=40, resume=False)
    assert len(model.seen) == 40
    assert again.rows == first.rows
    train(NoisyModel(lr=0.5), out=tmp_path, steps=20, resume=False)
    assert [path.name for path in tmp_path.glob("checkpoint*")] == ["checkpoint-0000020"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"settings": {"beta": 1}}, {"settings": {"beta": 4}}, "beta was 1 and is now 4"),
        ({"settings": {"beta": 1}}, {}, "beta was 1 and is now 'not set'"),
        ({}, {"settings": {"beta": 4}}, "beta was 'not set' and is now 4"),
        ({"seed": 1}, {"seed": 2}, "seed was 1 and is now 2"),
        ({"log_every": 10}, {"log_every": 5}, "log_every was 10 and is now 5"),
    ],
)
def test_a_resumed_run_refuses_other_settings(
    before: dict[str, Any], after: dict[str, Any], message: str, tmp_path: Path
) -> None:
    train(NoisyModel(), out=tmp_path, steps=10, **before)
    config = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ValueError, match=f"checkpoint-0000010 was made with other settings: {message}"):
        train(NoisyModel(), out=tmp_path, steps=20, **after)
    assert (tmp_path / "config.json").read_bytes() == config


def test_a_resumed_run_refuses_another_learning_rate_or_optimizer(tmp_path: Path) -> None:
    train(NoisyModel(), out=tmp_path, steps=10)
    with pytest.raises(ValueError, match=r"optimizers\.first\.lr was 0.01 and is now 0.1"):
        train(NoisyModel(lr=0.1), out=tmp_path, steps=20)
    model = NoisyModel()
    model.optimizers = lambda: {"only": torch.optim.SGD(model.parameters(), lr=0.1)}  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"optimizers\.first\.kind was 'Adam' and is now 'not set'"):
        train(model, out=tmp_path, steps=20)


def test_a_resumed_run_refuses_another_model_and_other_batches(tmp_path: Path) -> None:
    train(NoisyModel(), out=tmp_path, steps=10)
    with pytest.raises(ValueError, match=r"first\.weight is \(4, 3\) in the file and \(5, 3\) in the model"):
        train(NoisyModel(width=5), out=tmp_path, steps=20)
    with pytest.raises(ValueError, match="another kind of batches"):
        train(NoisyModel(), [(torch.zeros(8, 3), None)], out=tmp_path, steps=20)


def interrupting(model: NoisyModel, at: int, interrupt: Callable[[], None]) -> NoisyModel:
    own_update = model.update

    def update(batch: Any, optimizers: Any, step: int) -> dict[str, Tensor]:
        if step == at:
            interrupt()
        return own_update(batch, optimizers, step)

    model.update = update  # type: ignore[method-assign]
    return model


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_finishes_the_step_and_the_run_can_go_on_as_if_it_had_not_been(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    straight = train(NoisyModel(), out=tmp_path / "straight")
    stopped = train(interrupting(NoisyModel(), 33, ctrl_c), out=tmp_path / "stopped")
    assert f"Stopped after 33 of 60 steps. Run it again to go on from {tmp_path / 'stopped'}, step 33." in (
        capsys.readouterr().out
    )
    assert stopped.interrupted == signal.SIGINT
    assert stopped.steps.tolist() == [10, 20, 30, 33]
    assert not train(NoisyModel(), out=tmp_path / "stopped", steps=33).interrupted
    resumed = train(NoisyModel(), out=tmp_path / "stopped")
    assert not resumed.interrupted
    assert resumed.rows == straight.rows
    assert_same_state(checkpointed(tmp_path / "stopped"), checkpointed(tmp_path / "straight"))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("moment", ["optimizers", "to"])
def test_ctrl_c_before_the_first_step_waits_until_torch_has_all_that_it_imports_on_the_way(
    moment: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model, done = NoisyModel(), []
    own = getattr(model, moment)

    def interrupted(*args: Any) -> Any:
        ctrl_c()
        done.append(moment)
        return own(*args)

    setattr(model, moment, interrupted)
    assert train(model, out=tmp_path).interrupted == signal.SIGINT
    assert (done, model.seen) == ([moment], [])
    assert "Stopped after 0 of 60 steps. Nothing was saved." in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_ends_a_run_as_sigterm_does(number: int, tmp_path: Path) -> None:
    stopped = train(interrupting(NoisyModel(), 33, lambda: signal.raise_signal(number)), out=tmp_path)
    assert stopped.interrupted == number
    assert load_checkpoint(tmp_path).step == 33
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_run_that_shall_outlive_its_terminal_does(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    try:
        run = train(interrupting(NoisyModel(), 33, lambda: signal.raise_signal(signal.SIGHUP)))
        assert not run.interrupted
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time as the loop sees it, which the test alone lets pass."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr("time.perf_counter", lambda: now.seconds)
    return now


def taking(model: NoisyModel, clock: SimpleNamespace, seconds: float) -> NoisyModel:
    own_update = model.update

    def timed(batch: Any, optimizers: Any, step: int) -> dict[str, Tensor]:
        clock.seconds += seconds
        return own_update(batch, optimizers, step)

    model.update = timed  # type: ignore[method-assign]
    return model


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps of all checkpoints that the loop makes."""
    steps: list[int] = []
    save = run.save_checkpoint

    def noted(*args: Any, step: int, **options: Any) -> Any:
        steps.append(step)
        return save(*args, step=step, **options)

    monkeypatch.setattr(run, "save_checkpoint", noted)
    return steps


def test_a_checkpoint_is_made_every_half_minute_and_time_changes_no_number(
    tmp_path: Path, clock: SimpleNamespace, saves: list[int]
) -> None:
    straight = train(NoisyModel(), out=tmp_path / "fast", checkpoint_every=25)
    assert saves == [25, 50, 60]
    saves.clear()
    slow = train(taking(NoisyModel(), clock, 4), out=tmp_path / "slow", checkpoint_every=25)
    assert saves == [8, 16, 24, 25, 33, 41, 49, 50, 58, 60]
    assert slow.rows == straight.rows
    assert slow.seconds == 240
    left, expected = checkpointed(tmp_path / "slow"), checkpointed(tmp_path / "fast")
    assert_same_state(left, expected)


def test_no_checkpoints_on_the_way_means_none_by_time_either(
    tmp_path: Path, clock: SimpleNamespace, saves: list[int]
) -> None:
    train(taking(NoisyModel(), clock, 40), out=tmp_path, checkpoint_every=0)
    assert saves == [60]


def test_a_disk_that_takes_long_to_save_is_not_asked_all_the_time(
    tmp_path: Path, clock: SimpleNamespace, saves: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = run.save_checkpoint

    def slowly(*args: Any, **options: Any) -> Any:
        clock.seconds += 20
        return save(*args, **options)

    monkeypatch.setattr(run, "save_checkpoint", slowly)
    train(taking(NoisyModel(), clock, 10), out=tmp_path)
    assert saves == [3, 23, 43, 60]


@pytest.mark.parametrize("interrupt", [raise_interrupt, lambda: (ctrl_c(), ctrl_c())])
def test_an_interrupt_amid_a_step_goes_on_from_the_checkpoint_before_as_if_it_had_not_been(
    interrupt: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    straight = train(NoisyModel(), out=tmp_path / "straight")
    out = tmp_path / "stopped"
    history = train(interrupting(NoisyModel(), 33, interrupt), out=out, checkpoint_every=20)
    assert history.interrupted == signal.SIGINT
    assert history.steps.tolist() == [10, 20, 30, 32]
    assert f"Stopped after 32 of 60 steps. Run it again to go on from {out}, step 20." in (
        capsys.readouterr().out
    )
    assert latest_checkpoint(out) == out / "checkpoint-0000020"
    assert train(NoisyModel(), out=out).rows == straight.rows
    assert_same_state(checkpointed(out), checkpointed(tmp_path / "straight"))


def test_an_interrupt_without_out_returns_the_history_and_says_that_nothing_is_saved(
    capsys: pytest.CaptureFixture,
) -> None:
    history = train(interrupting(NoisyModel(), 1, raise_interrupt))
    assert history.interrupted
    assert history.rows == []
    assert "Stopped after 0 of 60 steps. Nothing was saved" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mean_of_last", "evaluate", "save_checkpoint"])
def test_an_interrupt_between_two_steps_goes_on_from_the_checkpoint_before_with_all_records(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    options: dict[str, Any] = {"evaluate": evaluate, "evaluate_every": 20, "checkpoint_every": 20}
    straight = train(NoisyModel(), out=tmp_path / "straight", **options)
    owner = run if name == "save_checkpoint" else run.Run
    original, calls = getattr(owner, name), []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == (6 if name == "mean_of_last" else 3):
            raise_interrupt()
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, interrupted)
    out = tmp_path / "stopped"
    assert train(NoisyModel(), out=out, **options).interrupted == signal.SIGINT
    before = load_checkpoint(out).path
    assert before.name in ("checkpoint-0000020", "checkpoint-0000040")
    assert f"Run it again to go on from {out}, step {int(before.name[-7:])}." in capsys.readouterr().out
    monkeypatch.undo()
    assert train(NoisyModel(), out=out, **options).rows == straight.rows
    assert_same_state(checkpointed(out), checkpointed(tmp_path / "straight"))


def test_a_second_ctrl_c_while_the_first_is_obeyed_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    save = run.save_checkpoint

    def impatient(*args: Any, step: int, **kwargs: Any) -> Any:
        if step == 33:
            ctrl_c()
        return save(*args, step=step, **kwargs)

    monkeypatch.setattr(run, "save_checkpoint", impatient)
    model = interrupting(NoisyModel(), 33, ctrl_c)
    assert train(model, out=tmp_path, checkpoint_every=20).interrupted == signal.SIGINT
    assert f"Stopped after 33 of 60 steps. Run it again to go on from {tmp_path}, step 20." in (
        capsys.readouterr().out
    )


def test_an_interrupt_of_one_of_several_processes_ends_it_for_the_others_know_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt() -> None:
        monkeypatch.setattr(parallel, "size", lambda: 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(interrupting(NoisyModel(), 33, interrupt))


def test_the_handling_of_ctrl_c_by_another_program_is_left_alone() -> None:
    def other(number: int, frame: Any) -> None: ...

    before = signal.signal(signal.SIGINT, other)
    try:
        seen = []
        train(interrupting(NoisyModel(), 5, lambda: seen.append(signal.getsignal(signal.SIGINT))))
        assert seen == [other]
    finally:
        signal.signal(signal.SIGINT, before)


def test_fit_runs_in_a_thread_that_gets_no_signals() -> None:
    results: list[History] = []
    thread = threading.Thread(target=lambda: results.append(train(NoisyModel(), steps=5)))
    thread.start()
    thread.join()
    assert results[0].steps.tolist() == [5]


# Precision and onlookers


class Matmul(Scripted):
    """A model that says in which type its matrix product was computed."""

    def __init__(self) -> None:
        super().__init__(lambda step: {"bytes": torch.tensor(float(self.product().element_size()))})

    def product(self) -> Tensor:
        return self.weight[None] @ self.weight[:, None]


@pytest.mark.parametrize(("precision", "size"), [("float32", 4), ("bfloat16", 2)])
def test_precision_is_that_of_matrix_products_while_weights_stay_in_float32(
    precision: str, size: int
) -> None:
    model = Matmul()
    history = train(model, steps=10, precision=precision)
    assert history["bytes"].tolist() == [size]
    assert model.weight.dtype == torch.float32


@pytest.mark.parametrize(
    "build",
    [
        lambda: digit_vae(hidden=[8]),
        lambda: digit_autoencoder(hidden=[8], noise=0.1),
        lambda: digit_gan(width=2),
    ],
)
def test_in_bfloat16_models_learn_and_losses_have_the_precision_of_float32(
    build: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    x = torch.rand(8, 1, 28, 28).round()
    rows = {}
    for precision in PRECISIONS:
        torch.manual_seed(1)
        history = train(build(), [(x, None)], steps=1, log_every=1, precision=precision)
        rows[precision] = history.rows[0]
    assert rows["bfloat16"] != rows["float32"]
    assert rows["bfloat16"] == pytest.approx(rows["float32"], rel=0.02)
    for name, value in rows["bfloat16"].items():
        # A value rounded to bfloat16 would come through unchanged.
        assert name == "step" or float(torch.tensor(value).bfloat16()) != value


def test_another_precision_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown precision 'bfloat61'; did you mean 'bfloat16'"):
        train(NoisyModel(), precision="bfloat61")


def test_every_record_is_told_as_it_is_written_and_changes_nothing(tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    lines: list[int] = []

    def listen(row: dict[str, float]) -> None:
        told.append(dict(row))
        lines.append(len((tmp_path / "metrics.jsonl").read_text().splitlines()))
        row.clear()

    history = train(NoisyModel(), out=tmp_path, evaluate=evaluate, evaluate_every=20, on_record=listen)
    assert told == history.rows == train(NoisyModel(), evaluate=evaluate, evaluate_every=20).rows
    assert lines == list(range(1, len(told) + 1))


def test_what_a_listener_does_is_not_counted_as_training(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def listen(row: dict[str, float]) -> None:
        nonlocal clock
        clock += 100

    def update(step: int) -> dict[str, Tensor]:
        nonlocal clock
        clock += 1
        return {"loss": torch.zeros(())}

    monkeypatch.setattr("time.perf_counter", lambda: clock)
    assert train(Scripted(update), on_record=listen).seconds == 60


# Places that cannot be written


def test_a_folder_that_cannot_be_made_stops_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for out in (file, file / "below"):
        model = NoisyModel()
        with pytest.raises(OSError, match=f"cannot write into the folder {out}: .* Choose another one"):
            train(model, out=out)
        assert model.seen == []

    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match=r"cannot write into .*: Permission denied"):
        train(NoisyModel(), out=tmp_path / "locked")


def test_a_full_disk_amid_training_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    write = files.write_durably

    def until_full(path: Path, content: bytes) -> None:
        if path.parent.name.startswith(".checkpoint"):
            written.append(path)
        if len(written) == 5:  # the second file of the second checkpoint
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(files, "write_durably", until_full)
    with pytest.raises(
        OSError, match="No space left on device; checkpoint-0000020 is still there, whole"
    ) as caught:
        train(NoisyModel(), out=tmp_path, checkpoint_every=20)
    assert caught.value.errno == 28
    assert load_checkpoint(tmp_path).step == 20
    monkeypatch.undo()
    assert train(NoisyModel(), out=tmp_path).rows == train(NoisyModel()).rows


def test_the_bar_shows_the_terms(capsys: pytest.CaptureFixture) -> None:
    train(NoisyModel(), progress=True)
    assert "60/60" in (shown := capsys.readouterr().err)
    assert "loss " in shown
    train(NoisyModel(), progress=False)
    assert capsys.readouterr().err == ""


def test_an_endless_generator_is_followed() -> None:
    def stream() -> Iterator[Tensor]:
        while True:
            yield torch.zeros(4, 3)

    assert train(Scripted(lambda step: {"loss": torch.tensor(0.0)}), stream(), steps=12).images == 48
