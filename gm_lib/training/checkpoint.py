"""Checkpoints: written whole or not at all, verified when read, and never unpickled.

A checkpoint is a folder ``checkpoint-0000400`` (the number counts updates) that holds ``weights.safetensors``,
``state.pt`` (everything else: optimizers, random states, position in the data, history) and ``manifest.json``
with the SHA-256 of both. A run's folder keeps the newest one.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

WEIGHTS, STATE, MANIFEST = "weights.safetensors", "state.pt", "manifest.json"
_NAME = re.compile(r"checkpoint-(\d+)(\.old)?")


class Checkpoint(NamedTuple):
    """A verified checkpoint in memory: where it was, after how many updates, and its two parts."""

    path: Path
    step: int
    weights: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    folder: str | os.PathLike[str], model: nn.Module, *, step: int, state: Mapping[str, Any]
) -> Path:
    """Write ``folder/checkpoint-<step>`` and then remove the checkpoints before it. Return its path.

    ``state`` may hold tensors, numbers, strings, and lists, tuples and dictionaries of them. The new checkpoint
    is written under a temporary name, flushed to the disk and renamed, so that at every moment, power cuts
    included, ``folder`` has a whole one if it ever had one.

    Raises the ``OSError`` that stopped it (``PermissionError``, no space left…), saying what is still there.
    """
    folder = Path(folder)
    final = folder / f"checkpoint-{step:07d}"
    temporary = folder / f".{final.name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        files = {WEIGHTS: _weights_bytes(model), STATE: _state_bytes(state)}
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        files[MANIFEST] = json.dumps({"step": step, "sha256": sums}, indent=1).encode()
        for name, content in files.items():
            write_durably(temporary / name, content)
        _sync_folder(temporary)
        if (
            final.exists()
        ):  # a folder cannot be renamed onto a full one; .old still counts until it is removed
            shutil.rmtree(final.with_suffix(".old"), ignore_errors=True)
            final.rename(final.with_suffix(".old"))
        temporary.rename(final)
        _sync_folder(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        kept = None
        with contextlib.suppress(OSError):
            kept = latest_checkpoint(folder)
        message = (
            f"could not save {final}: {error.strerror or error}; "
            f"{f'{kept.name} is still there, whole' if kept else 'there is no earlier checkpoint'}. "
            "Free some space, or choose a folder that you may write to."
        )
        raise type(error)(error.errno, message) from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for other in _checkpoints(folder):
        if other != final:
            shutil.rmtree(other, ignore_errors=True)
    return final


def latest_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """Return the checkpoint with the most updates in a run's ``folder``, or ``None``."""
    return max(_checkpoints(Path(folder)), key=_order, default=None)


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint, or the newest one in a run's folder, on the CPU, and verify it.

    Raises ``FileNotFoundError`` when there is none or a part is missing, ``ValueError`` naming the file that is
    truncated or altered. Nothing is unpickled beyond tensors and plain values (``weights_only=True``).
    """
    path = _find(Path(folder))
    try:
        manifest = json.loads(_read(path / MANIFEST))
        step, sums = int(manifest["step"]), dict(manifest["sha256"])
        expected = {name: str(sums[name]) for name in (WEIGHTS, STATE)}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path / MANIFEST} is damaged. {_remedy(path)}") from error
    content = {name: _read(path / name) for name in expected}
    for name, digest in expected.items():
        if hashlib.sha256(content[name]).hexdigest() != digest:
            raise ValueError(
                f"{path / name} is damaged: its SHA-256 is not the one in {MANIFEST}. {_remedy(path)}"
            )
    weights = _parse_weights(path / WEIGHTS, content[WEIGHTS])
    state = torch.load(io.BytesIO(content[STATE]), map_location="cpu", weights_only=True)
    return Checkpoint(path, step, weights, state)


def load_weights(folder_or_file: str | os.PathLike[str], model: nn.Module) -> None:
    """Put saved weights into ``model``, which stays on its device.

    ``folder_or_file`` is a run's folder, a checkpoint, or a safetensors file.

    Raises what :func:`load_checkpoint` raises, and ``ValueError`` naming keys and shapes when the weights are
    those of another model; the model is then unchanged.
    """
    path = Path(folder_or_file)
    if path.is_file():
        put_weights(model, _parse_weights(path, _read(path)), path)
    else:
        checkpoint = load_checkpoint(path)
        put_weights(model, checkpoint.weights, checkpoint.path)


def put_weights(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Copy ``weights`` into ``model``, all of them or, when they do not fit (``ValueError``), none."""
    own = model.state_dict()
    problems = [f"{key} is missing from the file" for key in own if key not in weights]
    problems += [f"{key} is not in the model" for key in weights if key not in own]
    problems += [
        f"{key} has shape {tuple(weights[key].shape)} in the file, {tuple(own[key].shape)} in the model"
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"{source} holds the weights of another model than this {type(model).__name__}: "
            f"{'; '.join(problems[:3])}{more}. Build the model with the settings it was trained with."
        )
    model.load_state_dict(dict(weights))


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and wait until it has reached the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: under a temporary name, then renamed over ``path``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_durably(temporary, content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _weights_bytes(model: nn.Module) -> bytes:
    """Return the model's state as a safetensors file; copies, because that format refuses shared memory."""
    state = model.state_dict()
    return safetensors.torch.save(
        {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
    )


def _state_bytes(state: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def _parse_weights(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}). Fetch or train it again."
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing. {_remedy(path.parent)}") from error


def _remedy(path: Path) -> str:
    return f"Remove {path} to train again from the start, or put a sound copy there."


def _find(folder: Path) -> Path:
    """Return ``folder`` if it is a checkpoint, else the newest checkpoint in it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}. Train with out={str(folder)!r} to make it.")
    path = folder if _NAME.fullmatch(folder.name) else latest_checkpoint(folder)
    if path is None:
        raise FileNotFoundError(f"{folder} holds no checkpoint (a folder such as checkpoint-0000400).")
    return path


def _checkpoints(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return []


def _order(path: Path) -> tuple[int, bool]:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), match[2] is None


def _sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut, where the system can open folders."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
