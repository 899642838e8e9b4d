"""What would make a measure meaningless, refused before the work."""

from collections import Counter

import torch
from torch import Tensor


def refuse_itself(first: str, x: Tensor, second: str, y: Tensor) -> None:
    """Raise ``ValueError`` if ``x`` and ``y``, (n, ...) both, hold the same rows, in any order.

    ``first`` and ``second`` name them in the message. One row that differs in one bit lets both pass, and so
    does a set that lies in the other.
    """
    if len(x) and x.shape == y.shape and _rows(x) == _rows(y):
        raise ValueError(
            f"the {first} and the {second} are the same {len(x)} rows: a set compared with itself scores "
            "what no other can, and tells nothing. Compare it with others of its kind, such as held-out data."
        )


def refuse_part(first: str, x: Tensor, second: str, y: Tensor) -> None:
    """Raise ``ValueError`` if every row of ``x`` (n, ...) is a row of ``y`` (m, ...) too."""
    if len(x) and x.shape[1:] == y.shape[1:] and not _rows(x).keys() - _rows(y).keys():
        raise ValueError(
            f"all {len(x)} {first} are among the {second}: hold them out, or the result tells what was "
            "remembered."
        )


def _rows(x: Tensor) -> Counter[bytes]:
    """Count the rows by their bytes in float64; adding 0 makes -0.0 the same as 0.0."""
    rows = x.detach().flatten(1).to("cpu", torch.float64) + 0.0
    return Counter(row.tobytes() for row in rows.numpy())
