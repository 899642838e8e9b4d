"""What can go wrong around a run, tried one by one: a clear error each time, and nothing lost."""

import contextlib
import fcntl
import json
import os
import pty
import resource
import signal
import sys
import termios
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from same_state import assert_same_state

from gm_lib.cli.main import main
from gm_lib.gan import GAN
from gm_lib.training import latest_checkpoint, load_checkpoint
from gm_lib.vae import VAE

SKIPPED = 77
BIND, READ_ONLY, REMOUNT = 0x1000, 0x1, 0x20


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing went wrong with."""
    out = tmp_path_factory.mktemp("straight") / "vae"
    assert ended(runs.start("vae", out).process) == 0
    return out


def ended(process: Any) -> int | None:
    process.join(120)
    return process.exitcode


def assert_it_goes_on_as_if_nothing_had_been(out: Path, straight: Path, kind: str = "vae") -> None:
    runs.train(kind, out)
    assert_same_state(runs.what_a_run_leaves(out), runs.what_a_run_leaves(straight))


def in_a_process(function: Callable[..., None], *args: Any) -> None:
    """Run a part of a test in a process of its own, for what it does to itself."""
    status = ended(runs.run(function, *args))
    if status == SKIPPED:
        pytest.skip("this machine lets nobody mount a small disk")
    assert status == 0, "see the traceback of the other process"


def mounted(*args: Any) -> None:
    torch.set_num_threads(1)
    try:
        runs.mount_own(*args)
    except OSError:
        sys.exit(SKIPPED)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*"))


# The place where a run is kept


def _fill_the_disk(out: Path, straight: Path) -> None:
    room = int(2.7 * size(load_checkpoint(straight).path))
    out.mkdir()
    mounted(out, "tmpfs", f"size={room}")
    with pytest.raises(
        OSError, match=r"could not save .*: No space left on device; checkpoint-0000012 is still there, whole"
    ):
        runs.train("vae", out)
    mounted(out, "tmpfs", f"size={4 * room}", REMOUNT)
    assert load_checkpoint(out).step == 12
    assert_it_goes_on_as_if_nothing_had_been(out, straight)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to mount a small disk")
def test_a_full_disk_while_saving_leaves_the_checkpoint_before(straight: Path, tmp_path: Path) -> None:
    in_a_process(_fill_the_disk, tmp_path / "disk", straight)


def _fill_the_disk_to_the_brim(out: Path, straight: Path) -> None:
    out.mkdir()
    mounted(out, "tmpfs", "size=4m")

    def fill(model: Any) -> dict[str, float]:
        with contextlib.suppress(OSError), (out / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        # The page that metrics.jsonl has already must be full too.
        (out / "metrics.jsonl").write_text("\n" * (4096 - 1))
        return runs.evaluate(model)

    with pytest.raises(OSError, match=r"cannot write into the folder .*: No space left on device"):
        runs.train("vae", out, evaluate=fill)
    (out / "ballast").unlink()
    assert load_checkpoint(out).step == 12
    assert_it_goes_on_as_if_nothing_had_been(out, straight)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to mount a small disk")
def test_a_disk_too_full_for_a_record_leaves_the_checkpoint_before(straight: Path, tmp_path: Path) -> None:
    in_a_process(_fill_the_disk_to_the_brim, tmp_path / "disk", straight)


def _limit_files(out: Path, straight: Path) -> None:
    torch.set_num_threads(1)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(model: Any) -> dict[str, float]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))  # enough for the weights, not for the rest
        return runs.evaluate(model)

    with pytest.raises(
        OSError, match=r"could not save .*: File too large; checkpoint-0000012 is still there, whole"
    ):
        runs.train("vae", out, evaluate=limit)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert_it_goes_on_as_if_nothing_had_been(out, straight)


def test_a_size_limit_reached_amid_a_file_leaves_the_checkpoint_before(
    straight: Path, tmp_path: Path
) -> None:
    in_a_process(_limit_files, tmp_path / "vae", straight)


def _write_protect(out: Path) -> None:
    mounted(out, "none", "", BIND, BIND | READ_ONLY | REMOUNT)
    model = runs.model("vae")
    with pytest.raises(OSError, match=r"cannot write into the folder .*: Read-only file system"):
        runs.train("vae", out, model=model)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux to mount a folder read-only")
def test_a_read_only_folder_stops_before_the_first_step_and_keeps_its_run(
    straight: Path, tmp_path: Path
) -> None:
    runs.train("vae", tmp_path, steps=20)
    in_a_process(_write_protect, tmp_path)
    assert_it_goes_on_as_if_nothing_had_been(tmp_path, straight)


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_not_disturbed(
    straight: Path, tmp_path: Path
) -> None:
    first = runs.start("vae", out := tmp_path / "vae")
    assert first.begun.wait(60)
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BlockingIOError, match=f"another run is writing into {out}. Wait for its end"):
            runs.train("vae", out)
    finally:
        os.kill(first.process.pid, signal.SIGCONT)
    assert ended(first.process) == 0
    assert_same_state(runs.what_a_run_leaves(out), runs.what_a_run_leaves(straight))


@pytest.mark.parametrize("torn", ["metrics.jsonl", "config.json"])
def test_a_torn_record_or_config_is_written_anew_from_the_checkpoint(
    torn: str, straight: Path, tmp_path: Path
) -> None:
    runs.train("vae", tmp_path, steps=20)
    path = tmp_path / torn
    path.write_bytes(path.read_bytes()[:-7])
    assert_it_goes_on_as_if_nothing_had_been(tmp_path, straight)


def test_beside_a_damaged_checkpoint_the_one_before_goes_on_to_the_same_end(
    straight: Path, tmp_path: Path
) -> None:
    runs.train("vae", tmp_path, steps=20)
    newest = load_checkpoint(tmp_path).path
    (newest / "state.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=f"remove {newest} to go on from checkpoint-0000018, the one before"):
        runs.train("vae", tmp_path)
    newest.rename(tmp_path / "damaged")
    assert_it_goes_on_as_if_nothing_had_been(tmp_path, straight)


# Values that are not finite


def poisoned(kind: str, step_of_poison: int) -> Any:
    """Return a model in which one gradient is NaN at one step, while the loss is finite."""
    model = runs.model(kind)
    update, weight = model.update, list(model.parameters())[1]
    now = 0
    weight.register_hook(lambda gradient: gradient * (float("nan") if now == step_of_poison else 1))

    def noted(batch: Any, optimizers: Any, step: int) -> Any:
        nonlocal now
        now = step
        return update(batch, optimizers, step)

    model.update = noted
    return model


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_a_gradient_that_is_not_finite_reaches_no_checkpoint(kind: str, tmp_path: Path) -> None:
    whole = runs.train(kind, tmp_path / "straight")
    with pytest.raises(FloatingPointError, match=r"step 24: '.*' of the model is not finite"):
        runs.train(kind, tmp_path / "poisoned", model=poisoned(kind, step_of_poison=24))
    assert load_checkpoint(tmp_path / "poisoned").step == 18
    with pytest.raises(FloatingPointError, match=r"step 22: '.*loss' is nan"):
        runs.train(kind, tmp_path / "poisoned", model=poisoned(kind, step_of_poison=21))
    assert load_checkpoint(tmp_path / "poisoned").step == 18
    assert runs.train(kind, tmp_path / "poisoned").rows == whole.rows


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_a_gradient_too_large_to_be_squared_reaches_no_checkpoint(kind: str, tmp_path: Path) -> None:
    model = runs.model(kind)
    weight = list(model.parameters())[1]
    weight.register_hook(lambda gradient: torch.full_like(gradient, 1e25))
    with pytest.raises(FloatingPointError, match=r"step 6: 'exp_avg_sq' of the optimizer '.*' is not finite"):
        runs.train(kind, tmp_path, model=model)
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_data_that_is_not_finite_is_refused_or_stops_the_run(kind: str, value: float, tmp_path: Path) -> None:
    good = torch.rand(8, 1, 28, 28).round()
    bad = good.clone()
    bad[3, 0, 5, 5] = value
    with pytest.raises(ValueError, match=r"NaN|must be in \[0, 1\]|values"):
        runs.train(kind, tmp_path / "first", batches=[(bad, None)])
    with pytest.raises(FloatingPointError, match=r"step 9: '.*' is (nan|-?inf)"):
        runs.train(kind, tmp_path / "later", batches=[(good, None)] * 8 + [(bad, None)])
    assert load_checkpoint(tmp_path / "later").step == 6


# Another model


@pytest.mark.parametrize("other", [VAE, GAN], ids=["vae", "gan"])
def test_a_run_of_another_architecture_is_refused_and_left_as_it_was(
    other: Any, straight: Path, tmp_path: Path
) -> None:
    runs.train("vae", tmp_path, steps=20)
    model = runs.digit_vae(hidden=9, latent_dim=3) if other is VAE else runs.model("gan")
    message = {
        VAE: r"holds the weights of another model than this VAE: encoder.net.0.weight is \(8, 784\)",
        GAN: r"made with other settings: .*optimizers.adam.kind was 'Adam' and is now 'not set'",
    }
    with pytest.raises(ValueError, match=message[other]):
        runs.train("vae", tmp_path, model=model)
    assert_it_goes_on_as_if_nothing_had_been(tmp_path, straight)


# Asked to stop


def _train_by_command(log: Path, arguments: list[str], stop_with: int | None) -> None:
    torch.set_num_threads(1)
    update = VAE.update

    def stopping(self: VAE, batch: Any, optimizers: Any, step: int) -> Any:
        if stop_with and step == 13:
            os.kill(os.getpid(), stop_with)
        return update(self, batch, optimizers, step)

    VAE.update = stopping  # type: ignore[method-assign]
    with log.open("w") as file, redirect_stdout(file):
        main(arguments)


SMALL = ["--data", "digits", "--steps", "20", "--hidden", "4", "--latent-dim", "2", "--device", "cpu"]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_asked_to_stop_a_command_saves_says_how_to_go_on_and_does_so_bit_for_bit(
    number: int, status: int, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def train(name: str, stop_with: int | None = None) -> int | None:
        arguments = ["train", "vae", *SMALL, "--out", str(tmp_path / name)]
        return ended(runs.run(_train_by_command, log, arguments, stop_with))

    assert train("straight") == 0
    assert train("stopped", number) == status
    assert f"Stopped after 13 of 20 steps. Run it again to go on from {tmp_path / 'stopped'}, step 13." in (
        log.read_text()
    )
    assert load_checkpoint(tmp_path / "stopped").step == 13
    assert train("stopped") == 0
    straight, stopped = (runs.what_a_run_leaves(tmp_path / name) for name in ("straight", "stopped"))
    assert_same_state(stopped, straight)


def _train_in_a_terminal(name: str, out: Path) -> None:
    """Train by the command line with the terminal ``name`` as one's own, for longer than it stays open."""
    torch.set_num_threads(1)
    os.setsid()
    terminal = os.open(name, os.O_RDWR)
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(terminal), "w") for _ in range(2))
    main(["train", "vae", *SMALL, "--steps", "1000000", "--out", str(out)])


def test_a_terminal_that_is_closed_leaves_a_checkpoint_of_the_step_it_was_in(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = runs.run(_train_in_a_terminal, os.ttyname(theirs), tmp_path)
    record = tmp_path / "metrics.jsonl"
    while process.is_alive() and not (record.exists() and record.read_text()):
        time.sleep(0.05)
    os.close(theirs)
    os.close(ours)
    assert ended(process) != -signal.SIGHUP
    last = json.loads(record.read_text().splitlines()[-1])["step"]
    assert load_checkpoint(tmp_path).step >= last >= 100
