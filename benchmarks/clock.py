"""The one clock that all contestants run by."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any


class Finished(Exception):
    """The steps are done: the way out of any trainer, whatever it still had in mind."""


class Clock:
    """Times the steps after the first ``warm_up`` ones, and ends the training after ``steps`` more.

    Call it after each step, inside ``with clock:``. What comes before the first step (building, reading) and
    after the last one (saving) is not counted; what a trainer does between its steps is.
    """

    def __init__(self, warm_up: int, steps: int) -> None:
        self.warm_up, self.steps = warm_up, steps
        self.done = 0
        self._start = self._end = time.perf_counter()

    def __call__(self) -> None:
        """Note that one more step is done."""
        self._end = time.perf_counter()
        self.done += 1
        if self.done == self.warm_up:
            self._start = self._end
        if self.done == self.warm_up + self.steps:
            raise Finished

    def __enter__(self) -> "Clock":
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if kind is None:
            raise RuntimeError(
                f"the training ended after {self.done} steps, before {self.warm_up + self.steps}"
            )
        return issubclass(kind, Finished)

    @property
    def seconds(self) -> float:
        """The seconds that the timed steps took."""
        return self._end - self._start

    def each(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches; whoever asks for the next one has done a step with the one before."""
        for batch in batches:
            yield batch
            self()
