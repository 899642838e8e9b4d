"""Measured results as files: what stands in one of results/*.json, read and checked.

A record holds a claim of the course with everything that is needed to measure it again: the command, the
seeds, each seed's value of each quantity, the time it took and on what. ``tools/measure.py`` writes them,
``tools/make_results_page.py`` shows them all on one page, and a test compares what pages quote with them.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "results"
BENCHMARKS = "benchmarks.json"  # no record: it has a page of its own, by benchmarks/page.py

SHARE = "share"  # the unit of shares and ratios: kept as fractions, shown in per cent
DIGITS = 6  # significant digits that are kept of a number

_TEXTS = ("title", "claim", "data", "command", "hardware", "date")
_FIELDS = {*_TEXTS, "seeds", "quantities", "seconds", "cpu_seconds", "versions"}
_PARTS = {"what", "unit", "values", "mean", "sd", "standard_error", "gate", "aim"}


class RecordError(ValueError):
    """A file in results/ is no record; the message names the file, what was expected and what to do."""


@dataclass(frozen=True)
class Limit:
    """What a value should not cross: at least or at most ``bound``."""

    kind: str  # "at_least" or "at_most"
    bound: float

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.bound:g}"

    def holds(self, value: float) -> bool:
        """Tell whether ``value`` is on the right side."""
        return value >= self.bound if self.kind == "at_least" else value <= self.bound


@dataclass(frozen=True)
class Quantity:
    """One quantity of a record, measured once for each seed.

    ``sd`` (n - 1) and ``standard_error`` of the mean are over the seeds, None with a single one. Every value
    must keep the ``gate``; the ``aim`` is for the mean, and the page says whether it was reached.
    """

    what: str
    unit: str
    values: tuple[float, ...]
    mean: float
    sd: float | None
    standard_error: float | None
    gate: Limit | None = None
    aim: Limit | None = None


@dataclass(frozen=True)
class Record:
    """One of results/*.json. ``seconds`` (wall clock) and ``cpu_seconds`` are one for each seed."""

    name: str
    title: str
    claim: str
    data: str
    command: str
    seeds: tuple[int, ...]
    quantities: dict[str, Quantity]
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    hardware: str
    versions: dict[str, str]
    date: str

    def numbers(self) -> Iterator[tuple[float, str]]:
        """Yield every number that the record holds, with its unit."""
        for quantity in self.quantities.values():
            limits = [limit.bound for limit in (quantity.gate, quantity.aim) if limit]
            summary = [quantity.mean, quantity.sd, quantity.standard_error]
            for number in (*quantity.values, *summary, *limits):
                if number is not None:
                    yield number, quantity.unit
        for seconds in (self.seconds, self.cpu_seconds):
            for number in (*seconds, statistics.fmean(seconds)):
                yield number, "seconds"


def rounded(number: float) -> float:
    """Return a number with as many significant digits as are kept."""
    return float(f"{number:.{DIGITS}g}")


def summary(values: Sequence[float]) -> dict[str, float | None]:
    """Return ``mean``, ``sd`` and ``standard_error`` of the values of a quantity."""
    sd = statistics.stdev(values) if len(values) > 1 else None
    error = None if sd is None else sd / math.sqrt(len(values))
    return {
        "mean": rounded(statistics.fmean(values)),
        "sd": None if sd is None else rounded(sd),
        "standard_error": None if error is None else rounded(error),
    }


def as_json(record: Record) -> str:
    """Return the text of the record's file."""
    fields = asdict(record)
    del fields["name"]
    for quantity in fields["quantities"].values():
        for key in ("gate", "aim"):
            limit = quantity.pop(key)
            if limit:
                quantity[key] = {limit["kind"]: limit["bound"]}
    return json.dumps(fields, ensure_ascii=False, indent=1) + "\n"


def paths(root: Path = ROOT) -> list[Path]:
    """Return the records' files, in the order of their names."""
    files = (root / FOLDER).glob("*.json")
    return sorted(path for path in files if not path.name.startswith(".") and path.name != BENCHMARKS)


def read_all(root: Path = ROOT) -> dict[str, Record]:
    """Return every record by its name. Raises ``RecordError`` with a line for each problem of a file."""
    records, found = {}, []
    for path in paths(root):
        try:
            records[path.stem] = read(path)
        except RecordError as error:
            found.append(str(error))
    if found:
        raise RecordError("\n".join(found))
    return records


def read(path: Path) -> Record:
    """Return the record in a file. Raises ``RecordError`` with a line for each thing wrong with it."""
    where = f"{FOLDER}/{path.name}"
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{where}: is not whole JSON ({error}). {_again(path)}") from error
    if faults := list(_faults(path.stem, fields)):
        raise RecordError("\n".join(f"{where}: {fault}" for fault in faults))
    quantities = {name: _quantity(parts) for name, parts in fields["quantities"].items()}
    lists = {key: tuple(fields[key]) for key in ("seeds", "seconds", "cpu_seconds")}
    return Record(path.stem, **fields | {"quantities": quantities} | lists)


def _quantity(parts: Mapping[str, Any]) -> Quantity:
    limits = {key: Limit(*next(iter(parts[key].items()))) for key in ("gate", "aim") if key in parts}
    return Quantity(**{**parts, "values": tuple(parts["values"]), **limits})


def _again(path: Path) -> str:
    return f"Measure it again: python tools/measure.py {path.stem}"


def _faults(name: str, fields: Any) -> Iterator[str]:
    """Yield what is wrong with the content of the file of record ``name``."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        yield "the name should be small letters, digits and _: it is the record's anchor on the page."
    if not isinstance(fields, dict):
        yield f"a record is an object with fields, not {type(fields).__name__}."
        return
    yield from _other_keys(fields, _FIELDS, _FIELDS, "")
    yield from (
        f"{key} should be a text, not {fields[key]!r}."
        for key in _TEXTS
        if key in fields and not (isinstance(fields[key], str) and fields[key].strip())
    )
    seeds = fields.get("seeds")
    if not (isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds)):
        yield f"seeds should be a list of whole numbers, not {seeds!r}."
        return
    if len(set(seeds)) < len(seeds):
        yield f"a seed is named twice in {seeds}."
    for key in ("seconds", "cpu_seconds"):
        yield from _wrong_values(fields.get(key), len(seeds), key)
    if not re.fullmatch(r"20\d\d-\d\d-\d\d", str(fields.get("date"))):
        yield f"date should be written like 2026-01-31, not {fields.get('date')!r}."
    versions = fields.get("versions")
    if not (isinstance(versions, dict) and all(isinstance(version, str) for version in versions.values())):
        yield f"versions should be texts by the package's name, not {versions!r}."
    quantities = fields.get("quantities")
    if not (isinstance(quantities, dict) and quantities):
        yield f"quantities should be an object with at least one quantity, not {quantities!r}."
        return
    for key, parts in quantities.items():
        yield from _faults_of_quantity(key, parts, len(seeds))


def _faults_of_quantity(key: str, parts: Any, seeds: int) -> Iterator[str]:
    if not isinstance(parts, dict):
        yield f"quantity {key} should be an object with fields, not {parts!r}."
        return
    yield from _other_keys(parts, _PARTS - {"gate", "aim"}, _PARTS, f" of {key}")
    for text in ("what", "unit"):
        if text in parts and not (isinstance(parts[text], str) and parts[text].strip()):
            yield f"{text} of {key} should be a text, not {parts[text]!r}."
    wrong = list(_wrong_values(parts.get("values"), seeds, f"values of {key}"))
    yield from wrong
    if wrong:
        return
    values = parts["values"]
    if parts.get("unit") == SHARE and not all(0 <= value <= 2 for value in values):
        yield f"{key} is a share, kept as a fraction such as 0.52, so its values are not {values}."
    for name, wanted in summary(values).items():
        if name in parts and not _same(parts[name], wanted, max(map(abs, values))):
            yield f"{name} of {key} is {parts[name]}, but its values give {wanted}."
    for limit in ("gate", "aim"):
        if limit not in parts:
            continue
        bound = parts[limit]
        if not (isinstance(bound, dict) and len(bound) == 1 and {*bound} <= {"at_least", "at_most"}):
            forms = '{"at_least": number} or {"at_most": number}'
            yield f"{limit} of {key} should be {forms}, not {bound!r}."
            continue
        kept = Limit(*next(iter(bound.items())))
        if not _is_number(kept.bound):
            yield f"{limit} of {key} should have a number as its bound, not {kept.bound!r}."
        elif limit == "gate" and not all(map(kept.holds, values)):
            yield f"not every value of {key} keeps its gate, {kept}: {values}."


def _other_keys(found: Mapping[str, Any], needed: set[str], known: set[str], of: str) -> Iterator[str]:
    yield from (f"the field {key}{of} is missing." for key in sorted(needed - {*found}))
    yield from (f"the field {key}{of} is unknown; is it misspelt?" for key in sorted({*found} - known))


def _wrong_values(values: Any, seeds: int, what: str) -> Iterator[str]:
    if not (isinstance(values, list) and all(map(_is_number, values))):
        yield f"{what} should be a list of finite numbers, not {values!r}."
    elif len(values) != seeds:
        yield f"{what} are {len(values)}, but there are {seeds} seeds: one for each."


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _same(found: Any, wanted: float | None, scale: float) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return _is_number(found) and math.isclose(found, wanted, rel_tol=1e-4, abs_tol=1e-6 * scale)
