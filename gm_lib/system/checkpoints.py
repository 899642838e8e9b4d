"""Checkpoints: written whole or not at all, verified when read, and never unpickled.

A checkpoint is a folder ``checkpoint-0000400`` (400 updates) with ``weights.safetensors``, ``state.pt`` (the
rest: optimizers, random states, position in the data, history) and ``manifest.json`` with their SHA-256.
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

from gm_lib.system.files import place, remove_folder, replace_folder
from gm_lib.system.settings import plain
from gm_lib.system.weight_files import named_weights, parse_weights, put_weights

PathLike = str | os.PathLike[str]
_WEIGHTS, _STATE, _MANIFEST = "weights.safetensors", "state.pt", "manifest.json"
_NAME = re.compile(r"checkpoint-(\d+)(\.old)?")


class Checkpoint(NamedTuple):
    """A checkpoint in memory, verified: where it was, after how many updates, and its two parts."""

    path: Path
    step: int
    weights: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(folder: PathLike, model: nn.Module, *, step: int, state: Mapping[str, Any]) -> Path:
    """Write ``folder/checkpoint-<step>``, and remove all others but the one before it. Return its path.

    ``state``: tensors, numbers, strings, and lists, tuples and dictionaries of them. All is written under a
    temporary name, flushed to the disk and renamed: at every moment, power cuts included, ``folder`` has a
    whole checkpoint if it ever had one. The one before stays for the day on which this one is damaged.

    Raises the ``OSError`` that stopped it (no permission, no space left…), saying what is still there.
    """
    folder = place(folder)
    final = folder / f"checkpoint-{step:07d}"
    # Copies, because safetensors refuses tensors that share memory.
    weights = {key: value.detach().cpu().clone().contiguous() for key, value in named_weights(model).items()}
    buffer = io.BytesIO()
    torch.save(plain(state), buffer)
    files = {_WEIGHTS: safetensors.torch.save(weights), _STATE: buffer.getvalue()}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[_MANIFEST] = json.dumps({"step": step, "sha256": sums}, indent=1).encode()
    try:
        replace_folder(final, files)
    except OSError as error:
        kept = None
        with contextlib.suppress(OSError):
            kept = latest_checkpoint(folder)
        still = f"{kept.name} is still there, whole" if kept else "there is no earlier checkpoint"
        reason = error.strerror or error
        message = f"could not save {final}: {reason}; {still}. Free space or choose another folder."
        raise type(error)(error.errno, message) from error
    others = sorted((path for path in checkpoints(folder) if path != final), key=_order)
    before = [path for path in others if _order(path)[0] < step][-1:]
    for other in others:
        if other not in before:
            with contextlib.suppress(OSError):  # the new one is safe: a leftover is no reason to stop
                remove_folder(other)
    for leftover in folder.glob(".checkpoint-*.tmp"):  # of processes killed while saving or removing
        shutil.rmtree(leftover, ignore_errors=True)
    return final


def latest_checkpoint(folder: PathLike) -> Path | None:
    """Return the checkpoint with the most updates in a run's ``folder``, or ``None``."""
    return max(checkpoints(place(folder)), key=_order, default=None)


def load_checkpoint(folder: PathLike) -> Checkpoint:
    """Read a checkpoint, or the newest one in a run's folder, onto the CPU, and verify it.

    Raises ``FileNotFoundError`` when there is none or a part of it is missing, and ``ValueError`` naming the
    file that is truncated, altered, or holds more than tensors and plain values (it is then not unpickled).
    """
    path = place(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}. Train with out={str(path)!r} to make it.")
    if not is_checkpoint(path):
        latest = latest_checkpoint(path)
        if latest is None:
            raise FileNotFoundError(f"{path} holds no checkpoint (a folder such as checkpoint-0000400).")
        path = latest
    try:
        manifest = json.loads(_read(path / _MANIFEST))
        step, sums = int(manifest["step"]), {name: manifest["sha256"][name] for name in (_WEIGHTS, _STATE)}
        if step != _order(path)[0]:
            raise ValueError(f"{path.name} is not the place for step {step}")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path / _MANIFEST} is damaged. {_remedy(path)}") from error
    content = {name: _read(path / name) for name in sums}
    for name, expected in sums.items():
        if hashlib.sha256(content[name]).hexdigest() != expected:
            raise ValueError(f"{path / name} is damaged: its SHA-256 is not {expected}. {_remedy(path)}")
    try:
        state = torch.load(io.BytesIO(content[_STATE]), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the loader stumbles on in what is no state
        message = f"{path / _STATE} holds something else than tensors and plain values, and was not opened."
        raise ValueError(message) from error
    return Checkpoint(path, step, parse_weights(path / _WEIGHTS, content[_WEIGHTS]), state)


def load_weights(folder_or_file: PathLike, model: nn.Module) -> None:
    """Put saved weights into ``model``, which stays on its device.

    ``folder_or_file`` is a run's folder, a checkpoint, or a safetensors file.

    Raises what :func:`load_checkpoint` raises, and ``ValueError`` naming keys and shapes when the weights are
    those of another model, which is then left unchanged.
    """
    path = place(folder_or_file)
    if path.is_file():
        put_weights(model, parse_weights(path, path.read_bytes()), path)
    elif path.suffix == ".safetensors":
        raise FileNotFoundError(f"there is no file {path}. Give one that is there, or the folder of a run.")
    else:
        checkpoint = load_checkpoint(path)
        put_weights(model, checkpoint.weights, checkpoint.path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing. {_remedy(path.parent)}") from error


def _remedy(path: Path) -> str:
    before = max((p for p in checkpoints(path.parent) if _order(p) < _order(path)), key=_order, default=None)
    how = f"go on from {before.name}, the one before" if before else "train again from the start"
    return f"Put a sound copy there, or remove {path} to {how}."


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a run's folder, in no order."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [path for path in folder.iterdir() if is_checkpoint(path)]
    return []


def is_checkpoint(path: Path) -> bool:
    """Tell whether a folder is a checkpoint, not a run, by its name."""
    return _NAME.fullmatch(path.name) is not None


def _order(path: Path) -> tuple[int, bool]:
    """Order checkpoints by their step, and one set aside before the one that took its place."""
    return int(path.name.removesuffix(".old").partition("-")[2]), path.suffix != ".old"
