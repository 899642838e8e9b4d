"""The one clock that all contestants run by."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from torch import nn

from gm_lib.runtime import forked_rng


class Finished(Exception):
    """The steps are done or the goal is reached: the way out of any trainer, whatever it has in mind."""


@dataclass(frozen=True)
class Goal:
    """What a model is to reach: ``score(model)``, looked at every ``every`` steps, at most ``at_most``."""

    score: Callable[[nn.Module], float]
    at_most: float
    every: int


class Clock:
    """Times the steps after the first ``warm_up`` ones, and ends the training after ``steps`` more.

    Call it after each step, inside ``with clock:``. What comes before the first step (building, reading) and
    after the last one (saving) is not counted; what a trainer does between its steps is. With a ``goal`` the
    training also ends where that is reached, and the time that looking takes is not counted.
    """

    def __init__(self, warm_up: int, steps: int, goal: Goal | None = None) -> None:
        self.warm_up, self.steps, self.goal = warm_up, steps, goal
        self.done = 0
        self.reached = False
        self._start = self._end = time.perf_counter()

    def __call__(self, model: Callable[[], nn.Module] | None = None) -> None:
        """Note that one more step is done. ``model`` returns what a goal is to look at, if it is time to."""
        self._end = time.perf_counter()
        self.done += 1
        if self.done == self.warm_up:
            self._start = self._end
        if model and self.goal and self.done % self.goal.every == 0:
            self.look(model)
        if self.done == self.warm_up + self.steps:
            raise Finished

    def look(self, model: Callable[[], nn.Module]) -> None:
        """Look whether the goal is reached, while the clock stands; ``Finished`` if it is."""
        assert self.goal is not None
        self._end = time.perf_counter()
        with forked_rng(0):
            self.reached = self.goal.score(model()) <= self.goal.at_most
        if self.reached:
            raise Finished
        now = time.perf_counter()
        self._start, self._end = self._start + now - self._end, now

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
