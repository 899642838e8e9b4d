"""Rounds of measurements: every contestant once, then every one again; finished rounds survive Ctrl-C."""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gm_lib.system.files import replace_file

Values = dict[str, float]
Round = dict[str, Values]  # by contestant
Measured = dict[str, list[Round]]  # by part


@dataclass(frozen=True)
class Job:
    """What a contestant does in a round: a function, ``module:name``, called in the process ``worker``."""

    function: str
    arguments: dict[str, Any] = field(default_factory=dict)
    worker: str = ""  # the contestant's own, if empty


@dataclass(frozen=True)
class Part:
    """A table to fill: ``jobs`` by contestant, given the number of the round."""

    name: str
    rounds: int
    jobs: Callable[[int], dict[str, Job]]


Ask = Callable[[str, str, dict[str, Any]], Values]


def measure(
    parts: list[Part], ask: Ask, kept: Path, made_by: str, end_of_part: Callable[[], None]
) -> Measured:
    """Measure all parts and return them; rounds that ``kept`` holds are not measured again.

    ``ask(worker, function, arguments)`` lets a contestant work. A round that was interrupted is done again as
    a whole: what is compared was measured side by side. ``kept`` counts only if ``made_by`` is the same.
    """
    measured = read_kept(kept, made_by)
    for place, part in enumerate(parts, start=1):
        rounds = measured.setdefault(part.name, [])
        for number in range(len(rounds), part.rounds):
            done: Round = {}
            for contestant, job in part.jobs(number).items():
                where = (
                    f"[{place}/{len(parts)}] {part.name}, round {number + 1} of {part.rounds}: {contestant}"
                )
                print(where, end=" ", flush=True)
                start = time.perf_counter()
                done[contestant] = ask(job.worker or contestant, job.function, job.arguments)
                shown = ", ".join(f"{name} {value:.4g}" for name, value in done[contestant].items())
                print(f"{shown} ({time.perf_counter() - start:.0f} s)", flush=True)
            rounds.append(done)
            replace_file(kept, json.dumps({"made_by": made_by, "measured": measured}).encode())
        end_of_part()
    return measured


def read_kept(kept: Path, made_by: str) -> Measured:
    """Return the rounds of an interrupted run; none if it was made by other code or on another machine."""
    if not kept.is_file():
        return {}
    found = json.loads(kept.read_text("utf-8"))
    if found["made_by"] != made_by:
        print(f"{kept.name} is of other code or another machine: everything is measured again.")
        return {}
    return found["measured"]


class Spread(NamedTuple):
    """A median over the rounds, with the lowest and the highest value."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    """Return median, lowest and highest."""
    return Spread(statistics.median(values), min(values), max(values))


def values(rounds: list[Round], contestant: str, name: str) -> list[float]:
    """Return a contestant's value of every round."""
    return [each[contestant][name] for each in rounds]


def ratios(rounds: list[Round], above: str, below: str, name: str) -> list[float]:
    """Return in each round the value of one contestant over that of another."""
    return [each[above][name] / each[below][name] for each in rounds]


@dataclass(frozen=True)
class Gate:
    """What must come out: the median of the values, one for each round, is at least the bound."""

    what: str
    bound: float
    values: Callable[[Mapping[str, list[Round]]], list[float]]
    aim: float | None = None

    def verdict(self, measured: Mapping[str, list[Round]]) -> "Verdict":
        """Judge what was measured."""
        result = spread(self.values(measured))
        reached = None if self.aim is None else result.median >= self.aim
        return Verdict(self, result, result.median >= self.bound, reached)


@dataclass(frozen=True)
class Verdict:
    """What became of a gate, and of its aim if it has one."""

    gate: Gate
    result: Spread
    kept: bool
    aim_reached: bool | None

    def __str__(self) -> str:
        return (
            f"{'kept' if self.kept else 'MISSED':<9} {self.gate.what}: {self.result.median:.3g} "
            f"({self.result.low:.3g} to {self.result.high:.3g}), gate ≥ {self.gate.bound:g}"
        )


def verdicts(gates: list[Gate], measured: Mapping[str, list[Round]]) -> Iterator[Verdict]:
    """Judge all gates."""
    return (gate.verdict(measured) for gate in gates)
