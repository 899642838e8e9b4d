"""Checkpoints: what goes in comes out, and no fault goes unnoticed or unnamed."""

import errno
import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from noisy_model import NoisyModel
from torch import nn

from gm_lib.system import files as module
from gm_lib.training import latest_checkpoint, load_checkpoint, load_weights, save_checkpoint

STATE = {"numbers": [1, 2.5, None, True], "pair": ("a", {"deep": torch.arange(3)})}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "run", NoisyModel(), step=400, state=STATE)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_comes_back(saved: Path) -> None:
    checkpoint = load_checkpoint(saved)
    assert checkpoint.path == saved
    assert checkpoint.step == 400
    assert checkpoint.state["numbers"] == STATE["numbers"]
    assert checkpoint.state["pair"][1]["deep"].tolist() == [0, 1, 2]
    expected = NoisyModel().state_dict()
    assert checkpoint.weights.keys() == expected.keys()
    assert all(torch.equal(checkpoint.weights[key], expected[key]) for key in expected)
    assert names(saved) == ["manifest.json", "state.pt", "weights.safetensors"]


def test_weights_load_from_a_run_a_checkpoint_or_a_file(saved: Path) -> None:
    expected = NoisyModel().state_dict()
    for source in (saved.parent, saved, saved / "weights.safetensors", str(saved)):
        model = NoisyModel()
        nn.init.zeros_(model.first.weight)
        load_weights(source, model)
        assert torch.equal(model.first.weight, expected["first.weight"])


def test_weights_that_share_memory_or_are_not_contiguous_come_back(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.one = nn.Linear(3, 3, bias=False)
            self.other = nn.Linear(3, 3, bias=False)
            self.other.weight = self.one.weight
            self.register_buffer("turned", torch.full((2, 3), value).T)
            nn.init.constant_(self.one.weight, value)

    save_checkpoint(tmp_path, Tied(7.0), step=1, state={})
    model = Tied(0.0)
    load_weights(tmp_path, model)
    assert (model.one.weight == 7).all()
    assert model.other.weight is model.one.weight
    assert (model.get_buffer("turned") == 7).all()


def test_the_newest_checkpoint_and_the_one_before_are_kept_and_other_files_left_alone(saved: Path) -> None:
    run = saved.parent
    (run / "notes.txt").write_text("mine")
    for step in (500, 600):
        (run / ".checkpoint-0000300.tmp").mkdir()  # left by a process killed while saving
        save_checkpoint(run, NoisyModel(), step=step, state={})
    assert names(run) == ["checkpoint-0000500", "checkpoint-0000600", "notes.txt"]


def test_half_of_a_removed_checkpoint_is_not_taken_for_a_whole(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, **options: Any) -> None:
        if path.exists():
            (path / "weights.safetensors").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        module.remove_folder(saved)
    assert latest_checkpoint(saved.parent) is None


def test_a_checkpoint_of_fewer_steps_takes_the_place_of_those_with_more(saved: Path) -> None:
    save_checkpoint(saved.parent, NoisyModel(), step=300, state={})
    assert names(saved.parent) == ["checkpoint-0000300"]


def test_the_same_step_can_be_saved_again(saved: Path) -> None:
    again = save_checkpoint(saved.parent, NoisyModel(), step=400, state={"second": True})
    assert again == saved
    assert load_checkpoint(saved.parent).state == {"second": True}
    assert names(saved.parent) == ["checkpoint-0000400"]


def test_the_latest_is_the_one_with_the_most_steps_and_one_set_aside_counts(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nowhere") is None
    assert latest_checkpoint(tmp_path) is None
    for name in (
        "checkpoint-9999999",
        "checkpoint-10000000.old",
        "checkpoint-best",
        ".checkpoint-20000000.tmp",
    ):
        (tmp_path / name).mkdir()
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-10000000.old"
    (tmp_path / "checkpoint-10000000").mkdir()
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-10000000"


# Faults while saving


def faults(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int, error: OSError) -> None:
    """Let the ``number``-th call of a function that saving uses raise ``error``, before it does anything."""
    original, calls = getattr(owner, name), []

    def sometimes(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == number:
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, sometimes)


FULL = OSError(28, "No space left on device")
DENIED = PermissionError(13, "Permission denied")


# The functions that saving calls, and which of their calls fails; 400 is the step that was saved before.
MOMENTS = [
    *[(Path, "mkdir", 1, step) for step in (400, 500)],
    *[(Path, "open", number, step) for number in (1, 2, 3) for step in (400, 500)],
    *[(os, "fsync", number, step) for number in (1, 2, 3, 4) for step in (400, 500)],
    (Path, "rename", 1, 400),
    (Path, "rename", 2, 400),
    (Path, "rename", 1, 500),
]


@pytest.mark.parametrize(("owner", "name", "number", "step"), MOMENTS)
@pytest.mark.parametrize("error", [FULL, DENIED], ids=["full", "denied"])
def test_whenever_saving_fails_the_checkpoint_before_still_loads(
    owner: Any,
    name: str,
    number: int,
    error: OSError,
    step: int,
    saved: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults(monkeypatch, owner, name, number, error)
    with pytest.raises(
        type(error), match=f"{error.strerror}; checkpoint-0000400.* is still there, whole"
    ) as caught:
        save_checkpoint(saved.parent, NoisyModel(), step=step, state={"second": True})
    assert caught.value.errno == error.errno
    monkeypatch.undo()
    assert load_checkpoint(saved.parent).state["numbers"] == STATE["numbers"]
    assert len(names(saved.parent)) == 1
    save_checkpoint(saved.parent, NoisyModel(), step=step, state={"third": True})
    assert load_checkpoint(saved.parent).state == {"third": True}
    assert names(saved.parent) == sorted({"checkpoint-0000400", f"checkpoint-0000{step}"})


@pytest.mark.parametrize("missing", ["ENOTSUP", "EINVAL", "ENOSYS"])
def test_a_file_system_that_cannot_flush_a_folder_or_file_keeps_checkpoints_all_the_same(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(descriptor: int) -> None:
        raise OSError(getattr(errno, missing), os.strerror(getattr(errno, missing)))

    monkeypatch.setattr(os, "fsync", unable)
    for step in (400, 500):
        save_checkpoint(tmp_path, NoisyModel(), step=step, state=STATE)
    assert load_checkpoint(tmp_path).step == 500


def test_a_folder_is_kept_for_one_program_where_there_are_locks_and_used_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with module.locked(tmp_path):
        with pytest.raises(BlockingIOError, match="another run is writing"), module.locked(tmp_path):
            pass
        monkeypatch.setattr(module, "fcntl", None)  # as on Windows, where no folder can be opened
        monkeypatch.setattr(os, "open", lambda *args: pytest.fail("a folder was opened"))
        with module.locked(tmp_path / "new"):
            assert (tmp_path / "new").is_dir()


def test_a_file_that_cannot_be_written_is_named_and_no_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "taken").mkdir()
    for path in (tmp_path / "file" / "out.json", tmp_path / "taken"):
        for attempt in (lambda path: module.replace_file(path, b"x"), module.check_writable):
            with pytest.raises(OSError, match=re.escape(str(path))) as caught:
                attempt(path)
            assert caught.value.filename == str(path)
            assert "tmp" not in str(caught.value).removeprefix("/tmp").replace(str(tmp_path), "")
    module.check_writable(tmp_path / "new" / "out.json")
    assert list((tmp_path / "new").iterdir()) == []


def test_an_interrupt_while_saving_leaves_the_checkpoint_before(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults(monkeypatch, module, "write_durably", 2, KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(saved.parent, NoisyModel(), step=500, state={})
    assert names(saved.parent) == ["checkpoint-0000400"]


def test_a_place_that_cannot_hold_a_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(
        OSError, match=r"could not save .*file/run/checkpoint-0000001: .* no earlier checkpoint"
    ):
        save_checkpoint(tmp_path / "file" / "run", NoisyModel(), step=1, state={})


# Faults found while loading


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_flipped_bit_anywhere_in_the_tensors_is_noticed_and_the_file_named(saved: Path) -> None:
    for name in ("weights.safetensors", "state.pt"):
        whole = (saved / name).read_bytes()
        for bit in random.sample(range(8 * len(whole)), 40):
            (saved / name).write_bytes(flipped(whole, bit))
            with pytest.raises(ValueError, match=f"{name} is damaged: its SHA-256 is not .* remove {saved}"):
                load_checkpoint(saved.parent)
        (saved / name).write_bytes(whole)
    assert load_checkpoint(saved.parent).step == 400


def test_no_flipped_bit_of_the_manifest_gives_a_wrong_checkpoint(saved: Path) -> None:
    path = saved / "manifest.json"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        path.write_bytes(flipped(whole, bit))
        try:
            step = load_checkpoint(saved).step
        except ValueError as error:
            assert re.search(r"\.(json|safetensors|pt) is damaged", str(error))  # noqa: PT017 (or it loads)
        else:
            assert step == 400


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt", "manifest.json"])
def test_a_file_cut_short_at_any_length_is_named(name: str, saved: Path) -> None:
    whole = (saved / name).read_bytes()
    lengths = {0, 1, len(whole) // 2, len(whole) - 1, *random.sample(range(len(whole)), 10)}
    for load in (load_checkpoint, lambda folder: load_weights(folder, NoisyModel())):
        for length in lengths:
            (saved / name).write_bytes(whole[:length])
            with pytest.raises(ValueError, match=f"{name} is damaged.* remove {saved}"):
                load(saved.parent)


def test_beside_a_damaged_checkpoint_there_is_the_one_before_and_the_message_says_so(saved: Path) -> None:
    run = saved.parent
    newer = save_checkpoint(run, NoisyModel(), step=500, state={})
    (newer / "state.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=f"remove {newer} to go on from checkpoint-0000400, the one before"):
        load_checkpoint(run)
    shutil.rmtree(newer)
    assert load_checkpoint(run).state["numbers"] == STATE["numbers"]
    (saved / "state.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=f"remove {saved} to train again from the start"):
        load_checkpoint(run)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"step": 1}', '{"step": 1, "sha256": {}}'])
def test_a_damaged_manifest_is_named(content: str, saved: Path) -> None:
    (saved / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest.json is damaged"):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt", "manifest.json"])
def test_a_missing_file_is_named(name: str, saved: Path) -> None:
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        load_checkpoint(saved.parent)


def test_a_missing_folder_or_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"there is no folder {tmp_path}/nowhere"):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
        load_weights(tmp_path, NoisyModel())
    with pytest.raises(FileNotFoundError, match=f"there is no file {tmp_path}/no.safetensors. Give one"):
        load_weights(tmp_path / "no.safetensors", NoisyModel())


class Trap:
    """Unpickled without care, this would make a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def in_old_format(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def in_new_format(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "write",
    [
        in_new_format,
        in_old_format,
        *[partial(pickle.dumps, protocol=protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)],
        lambda trap: b"",
        lambda trap: b"PK no zip archive",
        lambda trap: b"no pickle",
    ],
)
def test_a_state_that_would_run_code_or_is_none_is_refused(
    write: Callable[[Any], bytes], saved: Path
) -> None:
    sprung = saved.parent / "sprung"
    (saved / "state.pt").write_bytes(write({"numbers": Trap(sprung)}))
    # Whoever exchanges the state can also write its sum.
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["sha256"]["state.pt"] = hashlib.sha256((saved / "state.pt").read_bytes()).hexdigest()
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"state.pt holds something else than tensors and plain values"):
        load_checkpoint(saved)
    assert not sprung.exists()


def test_a_weights_file_that_is_none_is_refused_and_not_unpickled(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(ValueError, match=r"weights.pt is not a whole safetensors file"):
        load_weights(tmp_path / "weights.pt", NoisyModel())
    assert not (tmp_path / "sprung").exists()


def test_the_weights_of_another_model_are_refused_naming_what_differs(tmp_path: Path) -> None:
    weights = NoisyModel().state_dict()
    del weights["first.bias"]
    weights["third.weight"] = torch.zeros(2)
    weights["second.weight"] = torch.zeros(1, 9)
    safetensors.torch.save_file(weights, tmp_path / "other.safetensors")
    model = NoisyModel()
    nn.init.zeros_(model.first.weight)
    with pytest.raises(ValueError, match="of another model than this NoisyModel") as caught:
        load_weights(tmp_path / "other.safetensors", model)
    for part in (
        "first.bias is not in the file",
        "third.weight is not in the model",
        "second.weight is (1, 9) in the file and (1, 4) in the model",
    ):
        assert part in str(caught.value)
    assert (model.first.weight == 0).all()


def test_many_differences_are_counted(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"0.weight is not in the file.*; and \d+ more"):
        load_weights(saved, nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)))
