"""A run may be killed at any moment: resumed, it ends bit for bit as one that was never stopped."""

import random
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import runs
from same_state import assert_same_state

KINDS = ["vae", "gan"]
SEED = random.randrange(2**32)  # any moment is meant: each time others, and a failure says which


class Straight(NamedTuple):
    """A run that nobody disturbed: what it left, and how long it took."""

    left: dict[str, Any]
    seconds: float
    operations: int


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def straight(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    out = tmp_path_factory.mktemp("straight") / kind
    run = runs.start(kind, out)
    assert run.begun.wait(60)
    begun = time.perf_counter()
    assert status(run) == 0
    return Straight(runs.what_a_run_leaves(out), time.perf_counter() - begun, run.operations)


def status(run: runs.Watched) -> int | None:
    run.process.join(120)
    return run.process.exitcode


def resumed(kind: str, out: Path) -> dict[str, Any]:
    assert status(runs.start(kind, out)) == 0
    return runs.what_a_run_leaves(out)


def test_two_processes_with_the_same_seed_leave_the_same(
    kind: str, straight: Straight, tmp_path: Path
) -> None:
    assert_same_state(resumed(kind, tmp_path / "again"), straight.left)


def test_killed_at_any_moment_and_resumed_it_ends_as_if_it_had_not_been(
    kind: str, straight: Straight, tmp_path: Path
) -> None:
    moments = random.Random(f"{kind} {SEED}")
    steps: list[int] = []
    for attempt in range(60):
        run = runs.start(kind, out := tmp_path / str(attempt))
        assert run.begun.wait(60)
        run.process.join(moments.uniform(0, straight.seconds))
        run.process.kill()
        if status(run) == -signal.SIGKILL:  # else it was done already
            steps.append(run.step)
            assert_same_state(resumed(kind, out), straight.left)
        if len(steps) == 6:
            break
    assert len(steps) == 6, SEED
    # Not only at the beginnings of epochs.
    assert any((step - 1) % runs.STEPS_PER_EPOCH for step in steps)


def test_killed_while_saving_and_resumed_it_ends_as_if_it_had_not_been(
    kind: str, straight: Straight, tmp_path: Path
) -> None:
    operations = random.Random(f"{kind} {SEED}").sample(range(1, straight.operations + 1), 6)
    for operation in operations:
        run = runs.start(kind, out := tmp_path / str(operation), kill_at=operation)
        assert (status(run), run.saving) == (-signal.SIGKILL, True)
        assert_same_state(resumed(kind, out), straight.left)


def test_killed_again_and_again_it_ends_as_if_it_had_not_been(
    kind: str, straight: Straight, tmp_path: Path
) -> None:
    moments = random.Random(f"{kind} {SEED}")
    saving_once = straight.operations * runs.CHECKPOINT_EVERY // runs.STEPS
    killed = 0
    while (ended := status(runs.start(kind, tmp_path / kind, moments.randint(1, 4 * saving_once)))) != 0:
        assert ended == -signal.SIGKILL
        killed += 1
    assert killed > 0
    assert_same_state(runs.what_a_run_leaves(tmp_path / kind), straight.left)
