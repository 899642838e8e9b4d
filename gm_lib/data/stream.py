"""Batches without end, on the device they are used on, and each process's part of them."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from gm_lib.data.batches import Batch
from gm_lib.system import parallel


def stream(
    batches: Iterable[Any], device: torch.device, dtype: torch.dtype | None = None
) -> Iterator[tuple[Any, ...]]:
    """Go through ``batches`` over and over; yield this process's part of each, on the device.

    A batch is a tensor or a tuple of tensors with the examples along the first dimension. As a
    :class:`Batch`, the pair (x, y), comes what was one or a tensor alone; a longer tuple comes as one. Every
    process must be given the same ones. Floating-point numbers get the ``dtype``, if one is given.

    Raises ``ValueError`` if there are none, one is empty, or one is another kind of data than the first;
    ``TypeError`` for another kind of batch, and for data that is not in batches yet.
    """
    _check_in_batches(batches)
    first: Tensor | None = None
    while True:
        count = 0
        for count, given in enumerate(batches, start=1):
            batch, n = _as_tuple(given), count_examples(given)
            first = batch[0] if first is None else first
            if batch[0].dtype != first.dtype or batch[0].dim() != first.dim():
                raise ValueError(
                    f"batch {count} is {_described(batch[0])}, the first one {_described(first)}. "
                    "Labels belong into the batch of their examples: (x, y)."
                )
            yield _part_on_device(batch, n, device, dtype)
        if count == 0:
            raise ValueError(
                "there are no (more) batches. Give something with batches in it that can be gone through "
                "again (gm_lib.data.Batches, a DataLoader, a list), or a generator that does not end."
            )


def _check_in_batches(batches: Any) -> None:
    """Raise ``TypeError`` for examples that nobody has put into batches, or for a single batch."""
    examples = isinstance(batches, Dataset) and not isinstance(batches, IterableDataset)
    one = isinstance(batches, Tensor) or (
        isinstance(batches, tuple) and all(isinstance(part, Tensor | None) for part in batches)
    )
    if examples or one or not isinstance(batches, Iterable):
        raise TypeError(
            f"batches must be gone through batch by batch, and a {type(batches).__name__} is not: give "
            "gm_lib.data.Batches(x, y), a DataLoader, or a list of batches."
        )


def _as_tuple(batch: Any) -> tuple[Any, ...]:
    """Return a batch as the pair (x, y), or as the longer tuple that it is."""
    if hasattr(batch, "_fields"):
        return batch
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    return Batch(*parts, *[None][: 2 - len(parts)]) if len(parts) in (1, 2) else parts


def _described(x: Tensor) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)}"


def count_examples(batch: Any) -> int:
    """Return the number of examples in a batch: the length of its first tensor."""
    first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    kind = type(first).__name__
    if not isinstance(first, Tensor) or first.dim() == 0:
        raise TypeError(f"a batch must be a tensor of examples, or a tuple that starts with one, not {kind}.")
    if len(first) == 0:
        raise ValueError("a batch is empty: there is nothing to learn from it.")
    return len(first)


def refuse_a_lone_example(batch: Any, error: ValueError) -> None:
    """Raise ``ValueError`` if ``error`` came from a batch of one, of which batch norm can make nothing."""
    if count_examples(batch) == 1:
        raise ValueError(
            f"a batch has a single example, of which batch norm can make nothing ({error}). Leave a smaller "
            "last batch out: Batches(x, y) does, and a DataLoader with drop_last=True."
        ) from error


def _part_on_device(part: Any, n: int, device: torch.device, dtype: torch.dtype | None) -> Any:
    """Return this process's rows of a tensor, or of a tuple's, on the device; other things as they are."""
    if isinstance(part, Tensor):
        rows = parallel.share(part) if part.dim() and len(part) == n else part
        if dtype and rows.dtype != dtype and rows.is_floating_point():
            rows = rows.to(dtype)
        return rows.to(device, non_blocking=True)
    if isinstance(part, (tuple, list)):
        parts = [_part_on_device(each, n, device, dtype) for each in part]
        return type(part)(*parts) if hasattr(part, "_fields") else type(part)(parts)
    return part
