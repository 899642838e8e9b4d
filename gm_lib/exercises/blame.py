"""Whose code raised an exception: the student's, or a library's that it called."""

from __future__ import annotations

import dis
import linecache
import sysconfig
import traceback
from pathlib import Path
from types import CodeType

_GM_LIB = Path(__file__).parents[1]
_INSTALLED = {"site-packages", "dist-packages"}
_STDLIB = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}


def student_line(error: BaseException, check: CodeType | None) -> str:
    """Return ", in your line 3, `return 1 / 0`": the last line of the student's code that led to ``error``.

    Empty when no code of the student's was running. ``check`` is the code of the check itself, left out.
    """
    places = [(file, line) for file, line, students in _frames(error, check) if students]
    if not places:
        return ""
    source = linecache.getline(*places[-1]).strip()
    return f", in your line {places[-1][1]}" + (f", `{source}`" if source else "")


def is_stub_error(error: BaseException | None, check: CodeType | None) -> bool:
    """Tell whether a ``NotImplementedError`` of the student's own code is behind ``error``.

    One that a library raises (a distribution that has no ``rsample``) is a mistake like any other. So is one
    from compiled code, of which the traceback shows nothing but the student's line: a stub says ``raise``.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an exception can be its own cause
        seen.add(id(error))
        frames = _frames(error, check)
        if isinstance(error, NotImplementedError) and frames and frames[-1][2] and _says_raise(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _says_raise(error: BaseException) -> bool:
    """Tell whether the innermost frame raised ``error`` by a ``raise`` statement, and not in a call."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and dis.opname[place.tb_frame.f_code.co_code[place.tb_lasti]] == "RAISE_VARARGS"


def summary(error: BaseException) -> str:
    """Return the exception's type and the first line of its message, whatever its ``str`` does.

    A line of more than 160 characters is cut after a word.
    """
    name = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception:
        return name
    if not lines:
        return name
    line = lines[0].rstrip(".")
    return f"{name}: {line if len(line) <= 160 else line[:160].rsplit(maxsplit=1)[0] + ' …'}"


def _frames(error: BaseException, check: CodeType | None) -> list[tuple[str, int, bool]]:
    """Return file, line and whether it is the student's code, for each frame from the outermost on."""
    return [
        (code.co_filename, line, code is not check and not _is_library(code.co_filename))
        for code, line in ((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
    ]


def _is_library(filename: str) -> bool:
    path = Path(filename)
    if filename.startswith("<frozen") or not _INSTALLED.isdisjoint(path.parts):
        return True
    return _GM_LIB in path.parents or not _STDLIB.isdisjoint(path.parents)
