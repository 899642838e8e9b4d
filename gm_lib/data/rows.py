"""What a table is made of: columns of a kind, and rows of which some cells are hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

KINDS = ("real", "binary", "categorical")


@dataclass(frozen=True)
class Column:
    """A column: its ``kind`` is "real", "binary" or "categorical", and a categorical one names its levels.

    Raises ``ValueError`` for another kind, and a categorical column of fewer than two levels.
    """

    name: str
    kind: str
    levels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"the column {self.name!r} is of kind {self.kind!r}; known: {', '.join(KINDS)}.")
        if self.kind == "categorical" and len(self.levels) < 2:
            raise ValueError(f"the categorical column {self.name!r} needs the names of at least two levels.")

    @property
    def width(self) -> int:
        """How many numbers a cell of it is: one, or one for each level."""
        return len(self.levels) if self.kind == "categorical" else 1


def width_of(columns: Sequence[Column]) -> int:
    """Return D, how many numbers a row is."""
    return sum(column.width for column in columns)


def places(columns: Sequence[Column]) -> Iterator[tuple[int, Column, slice]]:
    """Yield each column's number, the column, and where its numbers are among the D of a row."""
    at = 0
    for i, column in enumerate(columns):
        yield i, column, slice(at, at + column.width)
        at += column.width


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table. ``values`` (n, D): what is in all cells. ``observed`` (n, C): which of them are shown.

    A model gets :attr:`x` alone; the rest is for judging it.
    """

    columns: tuple[Column, ...]
    values: Tensor
    observed: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shown(self) -> Tensor:
        """``observed`` for each number: (n, D)."""
        widths = torch.tensor([column.width for column in self.columns], device=self.observed.device)
        return self.observed.repeat_interleave(widths, dim=1)

    @property
    def x(self) -> Tensor:
        """What a model sees, (n, 2, D): the values, 0 in place of what is hidden, and 1 where it is shown."""
        return torch.stack([self.values.where(self.shown, 0.0), self.shown.to(self.values.dtype)], dim=1)

    def with_nan(self) -> Tensor:
        """Return the values with NaN in the hidden cells, as other libraries mark them: (n, D)."""
        return self.values.where(self.shown, torch.nan)

    def errors(self, filled: Tensor) -> tuple[Tensor, Tensor]:
        """Compare ``filled`` (n, D) with what is in the hidden cells.

        Returns the squared errors of the real cells, (cells,), in squared standard deviations of a column,
        and whether each binary or categorical cell has its highest number (of a binary one: the half of the
        scale) where the truth has, (cells,) of 0 and 1.
        """
        squared, right = [], []
        for i, column, at in places(self.columns):
            hidden = ~self.observed[:, i]
            truth, guess = self.values[hidden, at], filled[hidden, at]
            if column.kind == "real":
                squared.append((truth - guess).square().squeeze(1))
            elif column.kind == "binary":
                right.append(((guess > 0.5) == (truth > 0.5)).to(truth.dtype).squeeze(1))
            else:
                right.append((guess.argmax(1) == truth.argmax(1)).to(truth.dtype))
        nothing = self.values.new_empty(0)
        return torch.cat([nothing, *squared]), torch.cat([nothing, *right])
