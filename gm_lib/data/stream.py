"""Batches without end, on the device they are used on, and each process's part of them."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from gm_lib import parallel


def stream(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """Go through ``batches`` over and over; yield this process's part of each, on the device.

    A batch is a tensor or a tuple of tensors with the examples along the first dimension. Every process must
    be given the same ones.

    Raises ``ValueError`` if there are none or one is empty, ``TypeError`` for another kind of batch.
    """
    while True:
        count = 0
        for count, batch in enumerate(batches, start=1):  # noqa: B007 (it is looked at after the loop)
            yield _part_on_device(batch, count_examples(batch), device)
        if count == 0:
            raise ValueError(
                "there are no (more) batches. Give something with batches in it that can be gone through "
                "again (gm_lib.data.Batches, a DataLoader, a list), or a generator that does not end."
            )


def count_examples(batch: Any) -> int:
    """Return the number of examples in a batch: the length of its first tensor."""
    first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    kind = type(first).__name__
    if not isinstance(first, Tensor) or first.dim() == 0:
        raise TypeError(f"a batch must be a tensor of examples, or a tuple that starts with one, not {kind}.")
    if len(first) == 0:
        raise ValueError("a batch is empty: there is nothing to learn from it.")
    return len(first)


def _part_on_device(batch: Any, n: int, device: torch.device) -> Any:
    """Return this process's rows of a tensor, or of a tuple's, on the device; other things as they are."""
    if isinstance(batch, Tensor):
        rows = parallel.share(batch) if batch.dim() and len(batch) == n else batch
        return rows.to(device, non_blocking=True)
    if isinstance(batch, (tuple, list)):
        parts = [_part_on_device(part, n, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch
