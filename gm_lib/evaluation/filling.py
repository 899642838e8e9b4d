"""Missing cells filled without a generative model: what any model's filling should stand beside."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gm_lib.data.rows import Rows, places

NEIGHBOURS = (5, 10, 20)
PENALTIES = (0.1, 1.0, 10.0, 30.0, 100.0)
_ROUNDS = 20


def simple_fillings(train: Rows, valid: Rows, test: Rows, *, seed: int = 0) -> dict[str, Tensor]:
    """Fill the hidden cells of ``test`` in three ways, each learned from what ``train`` shows: (n, D) each.

    * "column mean or mode": of a column that is not real the share of each level, so that its mode is the
      guess.
    * "nearest rows": the mean of 5, 10 or 20 training rows that are nearest in the cells that both show; how
      many is chosen by the squared error of what is hidden in ``valid``.
    * "regressions": scikit-learn's ``IterativeImputer``, each column by a linear regression on all others,
      in 20 rounds, held within the range of the training cells. The regressions have a penalty on squared
      slopes, 0.1 to 100, chosen as the number of neighbours is: with a small one, a table of 100 rows is
      fitted too closely. Of a categorical column the last level is left out, and is what the others lack
      to 1: all of them together would be collinear.

    Hidden cells of no split are looked at, but for these two choices. ``seed`` is for the order of columns.
    Raises ``ValueError`` for rows of other columns.
    """
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
    from sklearn.linear_model import Ridge

    if not train.columns == valid.columns == test.columns:
        raise ValueError("train, valid and test have different columns: compare rows of one table.")
    known = train.with_nan().double().numpy()
    kept = [
        j
        for _, column, at in places(train.columns)
        for j in range(at.start, at.stop - (column.kind == "categorical"))
    ]
    bounds = {"min_value": np.nanmin(known[:, kept], 0), "max_value": np.nanmax(known[:, kept], 0)}

    def by(imputer: Any) -> Callable[[Rows], np.ndarray]:
        imputer.fit(known)
        return lambda rows: imputer.transform(rows.with_nan().double().numpy())

    def by_lines(penalty: float) -> Callable[[Rows], np.ndarray]:
        imputer = IterativeImputer(Ridge(penalty), max_iter=_ROUNDS, random_state=seed, **bounds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the last round still changed something
            imputer.fit(known[:, kept])

        def fill(rows: Rows) -> np.ndarray:
            filled = np.empty(rows.values.shape)
            filled[:, kept] = imputer.transform(rows.with_nan().double().numpy()[:, kept])
            for _, column, at in places(rows.columns):
                if column.kind == "categorical":
                    filled[:, at.stop - 1] = 1 - filled[:, at.start : at.stop - 1].sum(1)
            return filled

        return fill

    ways = {
        "column mean or mode": [by(SimpleImputer())],
        "nearest rows": [by(KNNImputer(n_neighbors=n)) for n in NEIGHBOURS if n <= len(train)],
        "regressions": [by_lines(penalty) for penalty in PENALTIES],
    }
    found = {
        name: min(fills, key=lambda fill: _loss(valid, fill(valid)))(test) for name, fills in ways.items()
    }
    return {name: torch.as_tensor(filled, dtype=test.values.dtype) for name, filled in found.items()}


def _loss(rows: Rows, filled: np.ndarray) -> float:
    """Return the mean squared error of all numbers that hidden cells are, levels as one-hot."""
    hidden = ~rows.shown.numpy()
    return float(np.square(filled - rows.values.numpy())[hidden].mean())
