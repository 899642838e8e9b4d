"""What users give: a name, looked up, whose misspelling is answered with what was meant; a whole number."""

import difflib
import operator
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
def choose(kind: str, name: str, known: Mapping[str, T]) -> T: ...  # type: ignore[overload-overlap]
@overload
def choose(kind: str, name: str, known: Iterable[str]) -> str: ...
def choose(kind: str, name: str, known: Mapping[str, T] | Iterable[str]) -> T | str:
    """Return ``known[name]`` of a mapping, or ``name`` itself when ``known`` is a collection of names.

    ``kind`` says in the error what was being looked up, for example ``"data set"``.

    Raises ``ValueError`` for a name that is not known, offering the nearest ones and listing all.
    """
    names = sorted(known)
    if name not in names:
        raise ValueError(_unknown(kind, name, names))
    return known[name] if isinstance(known, Mapping) else name


def whole_number(name: str, value: Any, least: int = 0) -> int:
    """Return ``value`` as a Python int, whichever library's whole number it is.

    Raises ``ValueError`` naming what was given as ``name``, if it is none or less than ``least``.
    """
    try:
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # what tensors and arrays of several values raise
        number = least - 1
    if number < least:
        raise ValueError(f"{name} must be a whole number, at least {least}, not {value!r}.")
    return number


def _unknown(kind: str, name: str, names: list[str]) -> str:
    """Say that ``name`` is unknown, which names resemble it and which there are."""
    by_lower_case = {known.lower(): known for known in names}
    nearest = difflib.get_close_matches(str(name).lower(), by_lower_case, n=3)
    meant = " or ".join(repr(by_lower_case[match]) for match in nearest)
    suggestion = f"; did you mean {meant}?" if meant else "."
    return f"unknown {kind} {name!r}{suggestion} Known: {', '.join(names)}."
