"""What a training run recorded: the terms of its loss, its evaluations, and its speed."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from gm_lib.choose import choose

Row = dict[str, float]


@dataclasses.dataclass
class History:
    """The record of a training run, in the order in which it was written.

    ``rows`` holds dictionaries with the key ``"step"`` (updates done so far) and either each term's mean over
    the steps since the row before, or what ``evaluate`` returned. ``history["loss"]`` is one term as an array,
    ``history.at("loss")`` the steps that it belongs to.

    ``seconds`` is the time spent in updates, and ``images`` the number of examples they saw; both count all
    parts of a resumed run, and neither counts evaluating or saving. ``interrupted`` says that the run was
    stopped by hand before its last step.
    """

    rows: list[Row] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    images: int = 0
    interrupted: bool = False

    @property
    def terms(self) -> list[str]:
        """The names of all terms and evaluations, in order of appearance."""
        return list(dict.fromkeys(key for row in self.rows for key in row if key != "step"))

    @property
    def steps(self) -> np.ndarray:
        """The steps at which the terms of the loss were recorded: the last step of each window."""
        return self.at(self.terms[0]) if self.rows else np.empty(0, dtype=np.int64)

    @property
    def images_per_second(self) -> float:
        """Examples trained on per second; NaN before anything was measured."""
        return self.images / self.seconds if self.seconds > 0 else float("nan")

    def __getitem__(self, term: str) -> np.ndarray:
        """Return the recorded values of ``term``, shape (number of records,).

        Raises ``ValueError`` for a term that was not recorded, naming those that were.
        """
        choose("term", term, self.terms)
        return np.array([row[term] for row in self.rows if term in row])

    def __iter__(self) -> Iterator[str]:
        return iter(self.terms)

    def __contains__(self, term: object) -> bool:
        return term in self.terms

    def at(self, term: str) -> np.ndarray:
        """Return the steps at which ``term`` was recorded, shape (number of records,), as integers."""
        choose("term", term, self.terms)
        return np.array([row["step"] for row in self.rows if term in row], dtype=np.int64)

    def final(self, term: str) -> float:
        """Return the last recorded value of ``term``."""
        return float(self[term][-1])

    def __repr__(self) -> str:
        if not self.rows:
            return "History(nothing recorded)"
        values = ", ".join(f"{term} {self.final(term):.4g}" for term in self.terms)
        stopped = ", interrupted" if self.interrupted else ""
        return f"History({self.rows[-1]['step']:.0f} steps{stopped}: {values}; {self.images_per_second:,.0f} images/s)"
