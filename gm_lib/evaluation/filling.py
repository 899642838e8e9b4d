"""Missing cells filled without a generative model: what any model's filling should stand beside."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gm_lib.data.rows import Rows, places

NEIGHBOURS = (5, 10, 20)


def simple_fillings(train: Rows, valid: Rows, test: Rows, *, seed: int = 0) -> dict[str, Tensor]:
    """Fill the hidden cells of ``test`` in three ways, each learned from what ``train`` shows: (n, D) each.

    * "column mean": of a column that is not real, the share of each level, so that its mode is the guess.
    * "nearest rows": the mean of 5, 10 or 20 training rows that are nearest in the cells that both show; how
      many is chosen by what is hidden in ``valid``.
    * "linear": scikit-learn's ``IterativeImputer``, each column by a Bayesian linear regression on all
      others, in rounds, held within the range of the training cells. Of a categorical column the last level
      is left out, and is what the others lack to 1: all of them together would be collinear.

    Hidden cells of no split are looked at, but for the choice of how many neighbours. ``seed`` is for the
    order of columns. Raises ``ValueError`` for rows of other columns.
    """
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    if not train.columns == valid.columns == test.columns:
        raise ValueError("train, valid and test have different columns: compare rows of one table.")
    known = train.with_nan().double().numpy()
    kept = [
        j
        for _, column, at in places(train.columns)
        for j in range(at.start, at.stop - (column.kind == "categorical"))
    ]
    some, lines = known[:, kept], np.empty(test.values.shape)
    bounds = {"min_value": np.nanmin(some, 0), "max_value": np.nanmax(some, 0)}
    imputer = IterativeImputer(random_state=seed, max_iter=20, **bounds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 20 rounds are not the last: more change next to nothing
        lines[:, kept] = _filled(imputer, some, test.with_nan()[:, kept])
    for _, column, at in places(train.columns):
        if column.kind == "categorical":
            lines[:, at.stop - 1] = 1 - lines[:, at.start : at.stop - 1].sum(1)
    neighbours = {
        n: _filled(KNNImputer(n_neighbors=n), known, valid.with_nan()) for n in NEIGHBOURS if n <= len(train)
    }
    best = min(neighbours, key=lambda n: _loss(valid, neighbours[n]))
    found = {
        "column mean": _filled(SimpleImputer(), known, test.with_nan()),
        "nearest rows": _filled(KNNImputer(n_neighbors=best), known, test.with_nan()),
        "linear": lines,
    }
    return {name: torch.as_tensor(filled, dtype=test.values.dtype) for name, filled in found.items()}


def _filled(imputer: Any, known: np.ndarray, rows: Tensor) -> np.ndarray:
    return imputer.fit(known).transform(rows.double().numpy())


def _loss(rows: Rows, filled: np.ndarray) -> float:
    """Return the mean squared error of hidden real cells plus the share of other cells filled wrongly."""
    squared, right = rows.errors(torch.as_tensor(filled, dtype=rows.values.dtype))
    wrong = 1 - right
    return sum(values.mean().item() for values in (squared, wrong) if len(values))
