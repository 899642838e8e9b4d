"""Equality bit for bit of what runs leave behind."""

from pathlib import Path
from typing import Any

from torch import Tensor

from gm_lib.training import load_checkpoint


def checkpointed(out: Path) -> dict[str, Any]:
    """What the checkpoint in ``out`` holds, without the time it took."""
    _, step, weights, state = load_checkpoint(out)
    state["history"].pop("seconds")
    return {"step": step, "weights": weights, **state}


def assert_same_state(first: Any, second: Any) -> None:
    """Assert equality bit for bit through dictionaries, sequences and tensors."""
    if isinstance(first, Tensor):
        assert first.dtype == second.dtype
        assert first.shape == second.shape
        assert first.detach().cpu().numpy().tobytes() == second.detach().cpu().numpy().tobytes()
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same_state(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same_state(one, other)
    else:
        assert first == second
