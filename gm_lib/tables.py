"""Tables as a notebook and a page show them, from rows of Python values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

NUMBER = re.compile(r"[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?\s*(%|±.*)?|nan|[-+−]?inf|", re.IGNORECASE)


class Table:
    """Rows under named columns. The last line of a cell shows it; ``print`` writes it as aligned text.

    ``cells`` holds the texts row by row. Columns of numbers stand to the right, all others to the left.
    """

    def __init__(self, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        self.columns, self.cells = list(columns), [list(row) for row in cells]

    def _is_numeric(self) -> list[bool]:
        return [all(NUMBER.fullmatch(cell) for cell in column) for column in zip(*self.cells, strict=True)]

    def _repr_markdown_(self) -> str:
        """Return the table as notebooks render it: code and ``$mathematics$`` in a cell are typeset."""
        rule = ["---:" if numeric else ":---" for numeric in self._is_numeric()]
        lines = [self.columns, rule, *self.cells]
        return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)

    def __str__(self) -> str:
        columns = list(zip(self.columns, *self.cells, strict=True))
        padded = [
            [cell.rjust(width) if numeric else cell.ljust(width) for cell in column]
            for column, numeric in zip(columns, self._is_numeric(), strict=True)
            for width in [max(map(len, column))]
        ]
        return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))

    __repr__ = __str__


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return a table with named ``columns`` and one row for each sequence of ``rows``.

    A cell may be a text, a number, a tensor or array of one number, or anything that prints well, such as an
    ``Estimate``. Whole numbers get thousands separators, others four significant digits; for other digits
    hand over a text, ``f"{x:.1f}"``.

    Raises ``ValueError`` when there are no rows, a column has no name, or a row has not one cell for each.
    """
    columns, cells = list(columns), [[_text(value) for value in row] for row in rows]
    if not columns or not all(name.strip() for name in columns):
        raise ValueError(f"every column needs a name, got {columns!r}.")
    if not cells:
        raise ValueError(f"a table of {', '.join(columns)} needs at least one row, got none.")
    for place, row in enumerate(cells):
        if len(row) != len(columns):
            raise ValueError(
                f"row {place} has {len(row)} cells for {len(columns)} columns: {', '.join(columns)}."
            )
    return Table(columns, cells)


def _text(value: Any) -> str:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        if value.size != 1:
            raise ValueError(f"a cell holds one value, got an array of shape {tuple(value.shape)}.")
        value = value.item()
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|").replace("\n", " ")
