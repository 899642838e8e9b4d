"""Two processes train one model as one would: on the CPU, over gloo.

A start costs seconds, so one of them does everything that can be compared afterwards, and torchrun, a process
more, is there only where its own part in a failure is the matter.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import worker
from same_state import assert_same_state, checkpointed
from scipy import stats

from gm_lib.system import interrupts, parallel
from gm_lib.training import load_checkpoint

WORKER = Path(__file__).with_name("worker.py")
KINDS = ("vae", "gan")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(processes: int, *arguments: object) -> list[subprocess.Popen]:
    """Start workers in the environment that torchrun gives them."""
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    if processes > 1:
        common |= {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": str(processes)}
    return [
        subprocess.Popen(
            [sys.executable, str(WORKER), *map(str, arguments)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]


def outputs(workers: list[subprocess.Popen]) -> list[str]:
    """Wait for the workers, none of which may fail; return what each printed."""
    try:
        printed = [worker.communicate(timeout=250)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0] * len(workers)
    return printed


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("alone")
    outputs(start(1, "compare", folder))
    return torch.load(folder / "result-0.pt")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what each of two processes found, with the folder of their runs and what each printed."""
    folder = tmp_path_factory.mktemp("together")
    printed = outputs(start(2, "compare", folder))
    return [
        {"folder": folder, "printed": printed[rank], **torch.load(folder / f"result-{rank}.pt")}
        for rank in (0, 1)
    ]


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


def test_processes_that_were_not_given_the_same_are_refused_by_all(together: list[dict[str, Any]]) -> None:
    for one in together:
        assert one["other steps"].startswith("process 1 was given steps = 5, the first one 4.")
        assert one["other settings"].startswith("process 1 was given data = 'digits', the first one 'mnist'.")
        assert one["other seed"].startswith("process 1 was given seed = 1, the first one 0.")
    assert not (together[0]["folder"] / "others" / "config.json").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_processes_go_on_bit_for_bit(kind: str, together: list[dict[str, Any]]) -> None:
    straight, resumed = (checkpointed(together[0]["folder"] / name) for name in (f"{kind} straight", kind))
    # The resumed run evaluated in its first part, which changed nothing else.
    rows = [row for row in resumed["history"].pop("rows") if "score" not in row]
    assert rows == straight["history"].pop("rows")
    assert_same_state(straight, resumed)
    assert "Going on from" in together[0]["printed"]
    assert "It was trained by" not in together[0]["printed"]


def test_another_number_of_processes_may_go_on_and_says_so(
    together: list[dict[str, Any]], capsys: pytest.CaptureFixture
) -> None:
    worker.train("vae", steps=10, out=together[0]["folder"] / "vae")
    assert "It was trained by 2 process(es), now by 1" in capsys.readouterr().out


def test_only_the_first_process_speaks(together: list[dict[str, Any]]) -> None:
    assert together[1]["printed"] == ""


def test_a_process_that_fails_ends_the_run_with_its_error(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    failing = [*torchrun, str(WORKER), "fail", str(tmp_path)]
    done = subprocess.run(failing, capture_output=True, text=True, timeout=250)
    assert done.returncode != 0
    assert "ArithmeticError: the third step went wrong" in done.stderr


def test_sigterm_to_one_process_ends_all_after_the_same_step_and_saves(tmp_path: Path) -> None:
    workers = start(2, "last", tmp_path)
    for _ in range(1000):
        if (tmp_path / "began").exists() or any(worker.poll() is not None for worker in workers):
            break
        time.sleep(0.1)
    workers[1].send_signal(signal.SIGTERM)
    printed = outputs(workers)
    assert "Run it again to go on from" in printed[0]
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
    assert parallel.any_of(False, True) == (False, True)


def test_noise_alone_is_torch_randn() -> None:
    with parallel.sharing():
        found = parallel.randn((6, 2), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = torch.randn((6, 2), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.equal(found, expected)


def test_uniform_numbers_of_the_parts_are_those_of_the_whole_and_each_from_0_to_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = []
    torch.manual_seed(3)
    whole = parallel.uniform((4000, 2), dtype=torch.float64)
    assert whole.dtype == torch.float64
    assert stats.kstest(whole.flatten().numpy(), "uniform").pvalue > 1e-3
    for rank in range(2):
        torch.manual_seed(3)
        monkeypatch.setattr(parallel, "_own_rows", (rank, 2))
        parts.append(parallel.uniform((2000, 2), dtype=torch.float64))
    assert torch.equal(torch.cat(parts), whole)


def as_one_of(monkeypatch: pytest.MonkeyPatch, processes: int, rank: int) -> None:
    for name, value in {"WORLD_SIZE": processes, "RANK": rank, "LOCAL_RANK": rank}.items():
        monkeypatch.setitem(os.environ, name, str(value))
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)


@pytest.mark.parametrize("processes", [1, 2])
def test_under_torchrun_a_signal_that_comes_twice_was_sent_once(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_one_of(monkeypatch, processes, 0)
    with interrupts.noted() as asked:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        assert asked() == signal.SIGINT


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
