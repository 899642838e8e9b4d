"""What can be watched while a run trains: the log follows records, whoever makes them."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gm_lib.cli.logs import RunLog


def grey(value: float) -> torch.Tensor:
    return torch.full((20, 1, 28, 28), value)


def follow(folder: Path, steps: range, total: int, value: float = 0.0, **options: object) -> RunLog:
    """Tell a log of a run's records and close it."""
    log = RunLog(folder, lambda: grey(value), steps=total, **options)
    for step in steps:
        log({"step": step, "loss": step + value})
    log.close()
    return log


def pictures(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in (folder / "samples").glob("step-*.png"))


def curves(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (30, [30]),
        (250, [100, 200]),
        (1_200, list(range(100, 1_201, 100))),
        (4_000, list(range(400, 4_001, 400))),
        (20_000, list(range(2_000, 20_001, 2_000))),
    ],
)
def test_a_run_has_about_ten_pictures_however_long_it_is(
    steps: int, expected: list[int], tmp_path: Path
) -> None:
    records = range(100, steps + 1, 100) if steps >= 100 else range(steps, steps + 1)
    follow(tmp_path, records, steps, fresh=True)
    assert pictures(tmp_path) == expected


def test_several_records_of_one_step_make_one_picture(tmp_path: Path) -> None:
    drawn = []
    log = RunLog(tmp_path, lambda: drawn.append(1) or grey(0), steps=100, fresh=True)
    for name in ("loss", "valid"):
        log({"step": 100, name: 1.0})
    assert len(drawn) == 1


def test_a_line_says_step_and_values_as_often_as_there_is_a_picture(tmp_path: Path) -> None:
    lines: list[str] = []
    follow(tmp_path, range(100, 2_001, 100), 2_000, fresh=True, say=lines.append)
    assert len(lines) == len(pictures(tmp_path))
    assert lines[0] == "step 200 of 2,000: loss 200"


def test_tensorboard_has_every_record_and_the_pictures(tmp_path: Path) -> None:
    follow(tmp_path, range(100, 2_001, 100), 2_000, value=0.5, fresh=True, tensorboard=True)
    found = curves(tmp_path)
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [
        (step, step + 0.5) for step in range(100, 2_001, 100)
    ]
    # The accumulator keeps a sample of the pictures, and always the last one.
    last = found.Images("samples")[-1]
    assert last.step == 2_000
    with Image.open(tmp_path / "samples" / "step-0002000.png") as picture:
        assert (last.width, last.height) == picture.size


def test_tensorboard_can_be_looked_at_while_the_run_goes_on(tmp_path: Path) -> None:
    log = RunLog(tmp_path, lambda: grey(0), steps=1_000, fresh=True, tensorboard=True)
    for step in (100, 200):
        log({"step": step, "loss": 0.0})
        assert curves(tmp_path).Scalars("loss")[-1].step == step
    log.close()


def test_a_killed_run_that_goes_on_has_every_step_once_in_tensorboard(tmp_path: Path) -> None:
    log = RunLog(tmp_path, lambda: grey(0), steps=1_000, fresh=True, tensorboard=True)
    for step in range(100, 601, 100):
        log({"step": step, "loss": float(step)})
    # Killed: nobody closes it. The last checkpoint was that of step 300.
    follow(tmp_path, range(400, 1_001, 100), 1_000, value=0.25, fresh=False, tensorboard=True)
    events = curves(tmp_path).Scalars("loss")
    assert [event.step for event in events] == list(range(100, 1_001, 100))
    assert [event.value % 1 for event in events] == [0.0] * 3 + [0.25] * 7
    steps = [event.step for event in curves(tmp_path).Images("samples")]
    assert steps == sorted(set(steps))


def test_a_fresh_run_leaves_no_judgement_of_the_one_it_replaces(tmp_path: Path) -> None:
    names = {"samples.png", "evaluation.json", "notes.txt"}
    for name in names:
        (tmp_path / name).write_text("of the run before")
    follow(tmp_path, range(0), 300, fresh=True)
    assert names <= {path.name for path in tmp_path.iterdir()}
    follow(tmp_path, range(100, 301, 100), 300, fresh=True)
    assert names & {path.name for path in tmp_path.iterdir()} == {"notes.txt"}


def test_a_fresh_run_removes_the_pictures_and_curves_of_the_one_it_replaces(tmp_path: Path) -> None:
    follow(tmp_path, range(100, 901, 100), 900, fresh=True, tensorboard=True)
    (tmp_path / "samples" / "mine.png").touch()
    follow(tmp_path, range(100, 301, 100), 300, fresh=True, tensorboard=True)
    assert pictures(tmp_path) == [100, 200, 300]
    assert [event.step for event in curves(tmp_path).Scalars("loss")] == [100, 200, 300]
    assert (tmp_path / "samples" / "mine.png").exists()


def test_a_run_without_records_leaves_its_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "step-0000100.png").touch()
    follow(tmp_path, range(0), 300, fresh=True, tensorboard=True)
    assert pictures(tmp_path) == [100]
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]
