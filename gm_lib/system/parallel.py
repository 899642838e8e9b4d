"""Several processes that train one model, each on its part of every batch. ``torchrun`` starts them.

What one process would compute on the whole batch is computed by all of them together: each takes the same
rows of the batch and of the noise drawn for it (:func:`share`, :func:`randn`), and the gradients are averaged
before each optimizer's step (:func:`average_gradients`). That is what ``DistributedDataParallel`` does for a
module's ``forward()``, done here for any update: two players, several passes before one backward pass, a
penalty on gradients. Alone in the world, every function here does nothing and costs nothing.
"""

import atexit
import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

T = TypeVar("T")

_own_rows = (0, 1)  # this process's place and how many there are, while a batch is shared out


def launched() -> bool:
    """Tell whether ``torchrun`` started this process; other launchers' variables are not looked at."""
    return dist.is_available() and dist.is_torchelastic_launched()


def size() -> int:
    """Return the number of processes that ``torchrun`` started, 1 without it."""
    return _of_torchrun("WORLD_SIZE", 1)


def rank() -> int:
    """Return this process's place among them, from 0."""
    return _of_torchrun("RANK", 0)


def is_main() -> bool:
    """Tell whether this process writes and speaks for all."""
    return rank() == 0


def say(message: str) -> None:
    """Print ``message`` once, not once in each process, and not to a terminal that was closed."""
    if is_main():
        with contextlib.suppress(OSError):
            print(message, flush=True)


def local_rank() -> int | None:
    """Return this process's place among those of its machine, which is its GPU's; ``None`` when alone."""
    return _of_torchrun("LOCAL_RANK", 0) if size() > 1 else None


def join(device: torch.device) -> None:
    """Connect the processes, once and until they end: over gloo on the CPU, over nccl on CUDA.

    Raises ``ValueError`` for another kind of ``device``.
    """
    if size() == 1:
        return
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"{size()} processes cannot share {device.type}: train with one, or on the CPU.")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(dist.destroy_process_group)


@contextlib.contextmanager
def sharing() -> Iterator[None]:
    """Let :func:`randn` draw for the joint batch."""
    global _own_rows
    _own_rows = (rank(), size())
    try:
        yield
    finally:
        _own_rows = (0, 1)


def share(x: Tensor) -> Tensor:
    """Return this process's rows of ``x`` (n, ...): the ``rank``-th of ``size`` equal parts.

    Raises ``ValueError`` where n cannot be shared out evenly.
    """
    if len(x) % size():
        raise ValueError(
            f"a batch of {len(x)} cannot be shared out evenly among {size()} processes: choose a batch size "
            "that is a multiple of them, and batches without a smaller last one."
        )
    return x.chunk(size())[rank()] if size() > 1 else x


def randn(
    shape: tuple[int, ...] | torch.Size,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return standard normal noise of ``shape`` (n, ...), for this process's n rows of the batch.

    While a batch is shared out, the noise of the joint batch is drawn, the same in every process, and this
    process's rows are taken. Otherwise this is ``torch.randn``.
    """
    place, parts = _own_rows
    n, *rest = shape
    joint = torch.randn((parts * n, *rest), generator=generator, device=device, dtype=dtype)
    return joint[place * n : (place + 1) * n]


def uniform(
    shape: tuple[int, ...] | torch.Size,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return numbers from U(0, 1) of ``shape`` (n, ...), shared out among the processes as :func:`randn`'s.

    They are Φ(ε), where ε comes from N(0, 1) and Φ is its distribution function. One may be rounded to 1.
    """
    return torch.special.ndtr(randn(shape, device=device, dtype=dtype))


def average_gradients(optimizer: Optimizer) -> None:
    """Let ``optimizer`` step with gradients averaged over the processes, as if on the joint batch.

    That holds for losses that are means over the batch, of parts of equal size.
    """
    if size() == 1:
        return

    def average(*_: object) -> None:
        gradients = [
            p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        joint = mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, joint.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    optimizer.register_step_pre_hook(average)


def mean(x: Tensor) -> Tensor:
    """Return the mean of ``x`` over the processes, the same in all of them."""
    if size() > 1:
        with _naming_a_lost_process():
            dist.all_reduce(x)
        x /= size()
    return x


def any_of(*flags: bool) -> tuple[bool, ...]:
    """Tell of each of ``flags`` whether it is true in any process. On the CPU: no device is waited for."""
    if size() == 1:
        return flags
    found = torch.tensor(flags, dtype=torch.float32, device="cpu")
    with _naming_a_lost_process():
        dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return tuple(map(bool, found.tolist()))


def from_main(value: T) -> T:
    """Return the main process's ``value`` in every process. Each waits for it."""
    if size() == 1:
        return value
    box = [value]
    with _naming_a_lost_process():
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def check_same(given: Mapping[str, object]) -> None:
    """Raise ``ValueError`` in every process, naming the first thing that one was given otherwise."""
    if size() == 1:
        return
    found: list[Any] = [None] * size()
    with _naming_a_lost_process():
        dist.all_gather_object(found, dict(given))
    first = found[0]
    for process, other in enumerate(found):
        for name in {**first, **other}:
            if first.get(name) != other.get(name):
                raise ValueError(
                    f"process {process} was given {name} = {other.get(name)!r}, the first one "
                    f"{first.get(name)!r}. All must get the same arguments and data, and see the same folder."
                )


def copy_from_main(module: torch.nn.Module) -> None:
    """Give ``module`` the main process's parameters and buffers."""
    if size() > 1:
        with _naming_a_lost_process(), torch.no_grad():
            for value in module.state_dict().values():
                whole = value.contiguous()
                dist.broadcast(whole, src=0)
                value.copy_(whole)


@contextlib.contextmanager
def _naming_a_lost_process() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        message = f"process {rank()} waited in vain for another one, whose output may say why ({error})."
        raise ConnectionError(message) from error


def _of_torchrun(name: str, alone: int) -> int:
    return int(os.environ[name]) if launched() else alone
