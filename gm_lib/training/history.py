"""What a training run recorded: the terms of its loss, its evaluations, and its speed."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from gm_lib.system.choose import choose

Row = dict[str, float]


def row_text(row: Mapping[str, float]) -> str:
    """Return the values of a row in one line, without its step."""
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")


@dataclasses.dataclass
class History:
    """The record of a training run, in the order in which it was written.

    ``rows`` are dictionaries with the key ``"step"`` (updates done so far) and either the mean of each of
    ``terms`` over the steps since the record before, or what ``evaluate`` returned. ``history["loss"]`` is
    one of them as an array, ``history.at("loss")`` the steps that it belongs to.

    ``seconds`` is the time spent in updates and ``images`` the number of examples that they saw, over all
    parts of a resumed run, without evaluating and saving. ``interrupted``: the signal that ended it before
    its last step (1: SIGHUP, 2: Ctrl-C, 15: SIGTERM), 0 if none did.
    """

    rows: list[Row] = dataclasses.field(default_factory=list)
    terms: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    images: int = 0
    interrupted: int = 0

    @property
    def steps(self) -> np.ndarray:
        """The steps at which the terms were recorded, each the last one of its window."""
        return self.at(self.terms[0]) if self.rows else np.empty(0, dtype=np.int64)

    @property
    def images_per_second(self) -> float:
        """Examples trained on per second; NaN before anything was measured."""
        return self.images / self.seconds if self.seconds > 0 else float("nan")

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the recorded values of a term or an evaluation, shape (number of records,).

        Raises ``ValueError`` for a name that was not recorded, listing those that were.
        """
        return np.array([row[name] for row in self._rows_with(name)])

    def at(self, name: str) -> np.ndarray:
        """Return the steps at which ``name`` was recorded, whole numbers of shape (number of records,)."""
        return np.array([row["step"] for row in self._rows_with(name)], dtype=np.int64)

    def final(self, name: str) -> float:
        """Return the last recorded value of ``name``."""
        return float(self[name][-1])

    def _rows_with(self, name: str) -> list[Row]:
        choose("term", name, {key for row in self.rows for key in row if key != "step"})
        return [row for row in self.rows if name in row]

    def __repr__(self) -> str:
        last = {name: value for row in self.rows for name, value in row.items()}
        values = f", {row_text(last)}" if self.rows else ""
        stopped = " (interrupted)" if self.interrupted else ""
        speed = f"{self.images_per_second:,.0f} images/s"
        return f"History: {last.get('step', 0)} steps{stopped}{values}, {speed}"
