"""Two processes train one model as one would: on the CPU, over gloo, started by torchrun as a user starts them.

Each start costs seconds, so one start does everything that can be compared afterwards.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from gm_lib import parallel
from gm_lib.training import load_checkpoint

WORKER = Path(__file__).with_name("worker.py")
KINDS = ("vae", "gan")


def command(processes: int, *arguments: object) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *(launcher if processes > 1 else []), str(WORKER), *map(str, arguments)]


def run(processes: int, *arguments: object) -> str:
    done = subprocess.run(command(processes, *arguments), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("alone")
    run(1, "compare", folder)
    return torch.load(folder / "result-0.pt")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("together")
    run(2, "compare", folder)
    return [{"folder": folder, **torch.load(folder / f"result-{rank}.pt")} for rank in (0, 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_one_process_on_the_joint_batch(
    kind: str, alone: dict[str, Any], together: list[dict[str, Any]]
) -> None:
    for one in together:
        found, expected = one[f"{kind} gradients"], alone[f"{kind} gradients"]
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert gradient.abs().max() > 1e-4
            torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-6)


def test_gradients_are_those_of_distributed_data_parallel(together: list[dict[str, Any]]) -> None:
    for one in together:
        for name, gradient in one["ddp gradients"].items():
            torch.testing.assert_close(one["vae gradients"][name], gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_the_same_in_both_processes_and_nearly_those_of_one(
    kind: str, alone: dict[str, Any], together: list[dict[str, Any]]
) -> None:
    first, second = (one[kind]["weights"] for one in together)
    for name, weight in alone[kind]["weights"].items():
        assert torch.equal(first[name], second[name])
        # Adam divides by a gradient's size, which magnifies the rounding of the smallest ones.
        torch.testing.assert_close(first[name], weight, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_recorded_is_of_the_joint_batch_and_the_same_in_both(
    kind: str, alone: dict[str, Any], together: list[dict[str, Any]]
) -> None:
    first, second = (one[kind] for one in together)
    assert first["rows"] == second["rows"]
    assert first["images"] == second["images"] == alone[kind]["images"] == 5 * 8
    for found, expected in zip(first["rows"], alone[kind]["rows"], strict=True):
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_first_process_tells_what_was_recorded(kind: str, together: list[dict[str, Any]]) -> None:
    first, second = (one[kind] for one in together)
    assert first["told"] == first["rows"]
    assert second["told"] == []


def test_a_batch_that_cannot_be_shared_out_is_refused_by_all(together: list[dict[str, Any]]) -> None:
    for one in together:
        assert one["uneven"].startswith("a batch of 7 cannot be shared out evenly among 2 processes")


def contents(out: Path) -> dict[str, Any]:
    _, step, weights, state = load_checkpoint(out)
    state["history"].pop("seconds")
    return {"step": step, "weights": weights, **state}


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def test_as_many_processes_go_on_bit_for_bit_and_another_number_says_so(
    tmp_path: Path, together: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    run(2, "go_on", tmp_path / "straight")
    out = run(2, "go_on", together[0]["folder"])
    assert out.count("Going on from") == len(KINDS)  # said once, not by each process
    assert "It was trained by" not in out
    for kind in KINDS:
        straight, resumed = (
            contents(folder / kind) for folder in (tmp_path / "straight", together[0]["folder"])
        )
        # The first run recorded evaluations too, which change nothing else.
        rows = [row for row in resumed["history"].pop("rows") if "score" not in row]
        assert rows == straight["history"].pop("rows")
        assert same(straight, resumed)
    (together[0]["folder"] / "vae" / "checkpoint-0000009").rename(tmp_path / "checkpoint-0000009")


def test_a_process_that_fails_ends_the_run_with_its_error(tmp_path: Path) -> None:
    done = subprocess.run(command(2, "fail", tmp_path), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "ArithmeticError: the third step went wrong" in done.stderr


def test_sigterm_ends_all_processes_after_the_same_step_and_saves(tmp_path: Path) -> None:
    training = subprocess.Popen(command(2, "last", tmp_path), stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            if (tmp_path / "began").exists():
                break
            time.sleep(0.1)
        training.send_signal(signal.SIGTERM)
        out, _ = training.communicate(timeout=60)
    finally:
        training.kill()
    assert "Run it again to go on from" in out
    for rank in (0, 1):
        assert (tmp_path / f"stopped-{rank}").read_text() == str(int(signal.SIGTERM))
    assert load_checkpoint(tmp_path / "run").step > 0


# Alone


def test_alone_nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another launcher's variables mean nothing to it.
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    x = torch.arange(10.0)
    assert (parallel.size(), parallel.rank(), parallel.is_main(), parallel.local_rank()) == (1, 0, True, None)
    assert parallel.share(x) is x
    assert torch.equal(parallel.mean(x.clone()), x)
    assert parallel.from_main(5) == 5
    assert [parallel.any_of(flag) for flag in (False, True)] == [False, True]


def test_noise_alone_is_torch_randn() -> None:
    with parallel.sharing():
        found = parallel.randn((6, 2), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = torch.randn((6, 2), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.equal(found, expected)


def as_one_of(monkeypatch: pytest.MonkeyPatch, processes: int, rank: int) -> None:
    for name, value in {"WORLD_SIZE": processes, "RANK": rank, "LOCAL_RANK": rank}.items():
        monkeypatch.setitem(os.environ, name, str(value))
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)


def test_the_parts_of_batch_and_noise_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.arange(12.0).view(6, 2)
    parts, noise = [], []
    for rank in range(3):
        as_one_of(monkeypatch, 3, rank)
        parts.append(parallel.share(x))
        with parallel.sharing():
            noise.append(parallel.randn((2, 5), generator=torch.Generator().manual_seed(3)))
        assert parallel.randn((2, 5)).shape == (2, 5)
    assert torch.equal(torch.cat(parts), x)
    assert torch.equal(torch.cat(noise), torch.randn((6, 5), generator=torch.Generator().manual_seed(3)))


def test_a_device_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    as_one_of(monkeypatch, 2, 0)
    with pytest.raises(ValueError, match="2 processes cannot share mps"):
        parallel.join(torch.device("mps"))
