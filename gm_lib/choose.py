"""Look a name up, and answer a misspelt one with the names that were meant."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar, overload

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


def _unknown(kind: str, name: str, names: list[str]) -> str:
    """Say that ``name`` is unknown, which names resemble it and which there are."""
    by_lower_case = {known.lower(): known for known in names}
    nearest = difflib.get_close_matches(str(name).lower(), by_lower_case, n=3)
    meant = " or ".join(repr(by_lower_case[match]) for match in nearest)
    suggestion = f"; did you mean {meant}?" if meant else "."
    return f"unknown {kind} {name!r}{suggestion} Known: {', '.join(names)}."
