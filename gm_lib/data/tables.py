"""Tables: rows of columns of several kinds, with missing cells. Real sets, and one that is known exactly.

A column is real, binary or categorical. Written as numbers, a row has one for each real column, standardized,
one for each binary column, 0 or 1, and for a categorical column as many as it has levels, one of them 1 and
the rest 0 (one-hot). D is how many that are in all, C how many columns there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gm_lib.data.known_table import KnownTable, crossed_table
from gm_lib.data.rows import Column, Rows, width_of
from gm_lib.system.choose import choose, whole_number

_PARTS = (0.6, 0.2)  # of the rows, for training and for validation; the rest are test rows
_KNOWN_ROWS = 4000


@dataclass(frozen=True, eq=False)
class TableData:
    """A table in three splits of :class:`Rows`, of which some cells are hidden.

    ``mean`` and ``scale``, (C,): what real columns were standardized by, of training cells that are not
    hidden; 0 and 1 for other columns. ``truth``: the distribution of the rows, where it is known.
    """

    name: str
    columns: tuple[Column, ...]
    train: Rows
    valid: Rows
    test: Rows
    mean: Tensor
    scale: Tensor
    truth: KnownTable | None = None


def table_data(name: str, *, missing: float = 0.0, seed: int = 0) -> TableData:
    """Load the table called ``name``, hide a share ``missing`` of its cells, and print one line about it.

    * ``"iris"``: 150 flowers, four lengths and the species, of three [Fisher 1936].
    * ``"wine"``: 178 wines, 13 measurements and the grape variety, of three.
    * ``"breast_cancer"``: 569 tumours, 30 measurements and whether benign.
    * ``"diabetes"``: 442 patients, age, sex, eight measurements and the illness a year later, a number.
    * ``"crossed"``: 4,000 rows of four real columns, a binary and a categorical one, drawn from a
      :class:`KnownTable`, so that the best filling is known: ``truth``.

    All are with scikit-learn or made here: none is downloaded. Rows are dealt 60 : 20 : 20 to the splits.
    ``seed`` decides on that and on which cells are hidden, each independently of everything (missing
    completely at random).

    Raises ``ValueError`` for another name, and what :func:`split_table` raises.
    """
    raw, columns = choose("table", name, TABLES)(seed)
    truth = crossed_table() if name == "crossed" else None
    data = split_table(name, columns, raw, missing=missing, seed=seed, truth=truth)
    sizes = f"{len(data.train):,} train, {len(data.valid):,} valid, {len(data.test):,} test rows"
    print(f"gm_lib.data: {name}: {sizes} of {len(columns)} columns; {missing:.0%} of the cells hidden.")
    return data


def split_table(
    name: str,
    columns: Sequence[Column],
    raw: Tensor,
    *,
    missing: float = 0.0,
    seed: int = 0,
    truth: KnownTable | None = None,
) -> TableData:
    """Split, standardize and encode a complete table, and hide cells of it: see :func:`table_data`.

    ``raw`` (n, C): real values as they are, binary columns as 0 and 1, categorical ones as 0, 1, …. ``truth``
    is the distribution of ``raw``, and is standardized with it.

    Raises ``ValueError`` naming the column for NaN (hidden cells are judged by what was in them, so all must
    be known), values that are none of the column's, and training cells that are all alike; for another number
    of columns, fewer than 10 rows, and a share that is not in [0, 1).
    """
    if raw.ndim != 2 or raw.shape[1] != len(columns):
        raise ValueError(f"{name} has {len(columns)} columns, but the values have shape {tuple(raw.shape)}.")
    if len(raw) < 10:
        raise ValueError(f"{name} has {len(raw)} rows: at least 10 are needed for three splits.")
    if not 0 <= missing < 1:
        raise ValueError(f"missing is the share of cells to hide, from 0 to below 1, not {missing}.")
    raw = raw.to("cpu", torch.float64)
    for column, values in zip(columns, raw.T, strict=True):
        _check_values(name, column, values)
    generator = Generator("cpu").manual_seed(whole_number("seed", seed))
    order = torch.randperm(len(raw), generator=generator, device="cpu")
    observed = torch.rand(raw.shape, generator=generator, device="cpu") >= missing
    first, second = int(_PARTS[0] * len(raw)), int(sum(_PARTS) * len(raw))
    train, valid, test = order[:first], order[first:second], order[second:]
    mean = torch.zeros(len(columns), dtype=torch.float64, device="cpu")
    scale = torch.ones_like(mean)
    for i, column in enumerate(columns):
        seen = raw[train, i][observed[train, i]]
        if len(seen) < 2 or bool((seen == seen[0]).all()):
            raise ValueError(
                f"the column {column.name!r} of {name} has one value in all training cells that are not "
                "hidden: nothing can be learned of it. Leave it out, hide less, or take another seed."
            )
        if column.kind == "real":
            mean[i], scale[i] = seen.mean(), seen.std()
    encoded = _encoded(columns, (raw - mean) / scale).float()
    rows = [Rows(tuple(columns), encoded[part], observed[part]) for part in (train, valid, test)]
    real = [i for i, column in enumerate(columns) if column.kind == "real"]
    known = None if truth is None else truth.standardized(mean[real], scale[real])
    return TableData(name, tuple(columns), rows[0], rows[1], rows[2], mean.float(), scale.float(), known)


def _check_values(name: str, column: Column, values: Tensor) -> None:
    """Raise ``ValueError`` unless the values (n,) are those of a column of its kind, all known."""
    if not bool(values.isfinite().all()):
        raise ValueError(
            f"the column {column.name!r} of {name} holds NaN or infinity. Give complete rows, and hide "
            "cells by missing=…: what is filled in is judged by what was there."
        )
    levels = {"binary": 2, "categorical": len(column.levels)}.get(column.kind)
    if levels and not bool(((values == values.round()) & (values >= 0) & (values < levels)).all()):
        raise ValueError(
            f"the {column.kind} column {column.name!r} of {name} is coded 0 … {levels - 1}, and holds other "
            "values."
        )


def _encoded(columns: Sequence[Column], values: Tensor) -> Tensor:
    """Return values (n, C), codes for levels, as numbers (n, D), one-hot for levels."""
    made = torch.zeros(len(values), width_of(columns), dtype=values.dtype, device="cpu")
    at = 0
    for i, column in enumerate(columns):
        if column.kind == "categorical":
            made[:, at : at + column.width].scatter_(1, values[:, i : i + 1].long(), 1.0)
        else:
            made[:, at] = values[:, i]
        at += column.width
    return made


def _with_class(loader: str, label: str) -> Callable[[int], tuple[Tensor, tuple[Column, ...]]]:
    """Return what reads a set of scikit-learn whose measurements are real, with its class as a column."""

    def read(seed: int) -> tuple[Tensor, tuple[Column, ...]]:
        from sklearn import datasets  # here: it takes as long to import as the rest of the library

        found = getattr(datasets, loader)()
        levels = tuple(map(str, found.target_names))
        kind = "binary" if len(levels) == 2 else "categorical"
        columns = (*(Column(str(one), "real") for one in found.feature_names), Column(label, kind, levels))
        values = torch.as_tensor(found.data), torch.as_tensor(found.target).double()[:, None]
        return torch.cat(values, dim=1), columns

    return read


def _diabetes(seed: int) -> tuple[Tensor, tuple[Column, ...]]:
    from sklearn import datasets

    found = datasets.load_diabetes(scaled=False)
    raw = torch.cat([torch.as_tensor(found.data), torch.as_tensor(found.target)[:, None]], dim=1)
    names = [*found.feature_names, "progression"]
    sex = names.index("sex")
    raw[:, sex] -= 1  # coded 1 and 2 there, without a word on which is which
    columns = (Column(one, "binary" if i == sex else "real") for i, one in enumerate(names))
    return raw, tuple(columns)


def _crossed(seed: int) -> tuple[Tensor, tuple[Column, ...]]:
    truth = crossed_table()
    # Not the generator that deals the rows, which begins with the same seed.
    rows = truth.sample(_KNOWN_ROWS, Generator("cpu").manual_seed(1_000_003 + seed))
    return rows, truth.columns


TABLES: dict[str, Callable[[int], tuple[Tensor, tuple[Column, ...]]]] = {
    "iris": _with_class("load_iris", "species"),
    "wine": _with_class("load_wine", "variety"),
    "breast_cancer": _with_class("load_breast_cancer", "diagnosis"),
    "diabetes": _diabetes,
    "crossed": _crossed,
}
