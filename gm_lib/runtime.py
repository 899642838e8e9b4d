"""Where and how a program runs: device, profile, and the global random state."""

import contextlib
import os
import random
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch

from gm_lib.system import parallel
from gm_lib.system.choose import choose, whole_number

T = TypeVar("T")
Profile = Literal["quick", "full"]
PRECISIONS = ("float32", "bfloat16")


def profile() -> Profile:
    """Return ``"quick"`` (sized for two CPU cores) or ``"full"`` (sized for a GPU).

    The environment variable ``GM_PROFILE`` decides; unset or empty, the machine does: full if it has CUDA.

    Raises ``ValueError`` when ``GM_PROFILE`` holds anything else.
    """
    wanted = os.environ.get("GM_PROFILE")
    if not wanted:
        return "full" if torch.cuda.is_available() else "quick"
    return cast(Profile, choose("profile in GM_PROFILE", wanted, ("quick", "full")))


def budget(*, quick: T, full: T) -> T:
    """Return the value that belongs to the current :func:`profile`, for example a number of steps."""
    return full if profile() == "full" else quick


def strict() -> bool:
    """Tell whether ``GM_STRICT`` is set, as it is while the book is built: no answer may then be wrong."""
    return os.environ.get("GM_STRICT", "") not in ("", "0")


def device(name: str | torch.device | None = None) -> torch.device:
    """Return the device called ``name`` (``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``), or the best one.

    With ``None`` that is CUDA before MPS before the CPU. Each process that ``torchrun`` started gets the CUDA
    device of its own place on the machine.

    Raises ``ValueError`` for a device that this machine does not have, naming those that it has.
    """
    available = _available_devices()
    kind, _, index = str(name or available[0]).partition(":")
    if kind == "cuda" and not index and parallel.local_rank() is not None:
        index = str(parallel.local_rank())
    if choose("device", kind, ("cuda", "mps", "cpu")) not in available:
        raise ValueError(f"device {str(name)!r} is not available here. Available: {', '.join(available)}.")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if index and not (index.isdecimal() and int(index) < count):
        raise ValueError(
            f"there is no device {kind}:{index} here: {kind} has {count}, counted from {kind}:0."
        )
    return torch.device(f"{kind}:{index}" if index else kind)


def _available_devices() -> list[str]:
    """Return the kinds of device that this machine has, the fastest first."""
    return [
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
        "cpu",
    ]


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which matrix products and convolutions have a ``precision`` of ``PRECISIONS``."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch (on all devices); 0 ≤ ``seed`` < 2³²."""
    seed = whole_number("seed", seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the global state that other libraries draw from is what is meant)
    torch.manual_seed(seed)


def rng_state(device: torch.device | None = None) -> dict[str, Any]:
    """Return the global random states of Python, NumPy and PyTorch as tensors and plain values.

    PyTorch's are those of the CPU, and of CUDA and MPS where they are in use: of every CUDA device, or of
    ``device`` alone, which then stands for all of them.
    """
    numpy_state: Any = np.random.get_state()  # noqa: NPY002
    state = {
        "python": random.getstate(),
        "numpy": (numpy_state[0], numpy_state[1].tolist(), *numpy_state[2:]),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():
        if device is not None and device.type == "cuda":
            state["cuda"] = [torch.cuda.get_rng_state(device)]
        else:
            state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put the global random states back to what :func:`rng_state` returned, on the devices that are here."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        for gpu in range(torch.cuda.device_count()):
            torch.cuda.set_rng_state(state["cuda"][min(gpu, len(state["cuda"]) - 1)], gpu)
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


@contextlib.contextmanager
def forked_rng(seed: int | None = None) -> Iterator[None]:
    """Leave the global random states of Python, NumPy and PyTorch (CPU, CUDA, MPS) as they were found.

    With ``seed``, everything is seeded inside, so that the block is reproducible too.
    """
    before = rng_state()
    torch_seed = torch.initial_seed()
    try:
        if seed is not None:
            seed_everything(seed)
        yield
    finally:
        set_rng_state(before)
        if "cuda" not in before and torch.cuda.is_available():
            # CUDA had not started: it would have begun from PyTorch's seed, and it still shall.
            torch.cuda.manual_seed_all(torch_seed)
