"""How long a chapter takes a careful reader, counted from what there is to read.

Two chapters of 3,600 words with 9 to 18 displayed formulas and 320 to 460 lines of code took such a reader
about 110 minutes each. The rates below give that.
"""

from __future__ import annotations

import re

from chapters import TASK, Chapter, check_call

WORDS_A_MINUTE = 150
MINUTES = {"formula in the text": 0.1, "displayed formula": 1.0, "line of code": 0.1, "figure": 1.0}

STATED = re.compile(
    r"\*\*Time:\*\*\s+(?P<reading>\d+)\s+minutes\s+to\s+read"
    r"(?:,\s+(?P<exercises>\d+)\s+for\s+the\s+exercises)?;"
)

_FOLDED = {"imports", "hide-input", "exercise", "proof"}
_DISPLAYED = re.compile(r"\$\$.+?\$\$", re.DOTALL)
_INLINE = re.compile(r"\$[^$]+\$")
_ADDRESS = re.compile(r"\]\([^)]*\)")


def reading_minutes(chapter: Chapter) -> int:
    """Return the minutes for prose, formulas, figures and the code in sight, to the next five."""
    prose = "\n".join(cell.source for cell in chapter.cells if cell.kind == "markdown")
    words = _INLINE.sub(" ", _DISPLAYED.sub(" ", _ADDRESS.sub("] ", prose)))
    code = [cell for cell in chapter.cells if cell.kind == "code"]
    in_sight = [c for c in code if not _FOLDED & set(c.tags) and check_call(c.source) is None]
    counts = {
        "formula in the text": len(_INLINE.findall(_DISPLAYED.sub(" ", prose))),
        "displayed formula": len(_DISPLAYED.findall(prose)),
        "line of code": sum(bool(line.strip()) for cell in in_sight for line in cell.source.split("\n")),
        "figure": sum("hide-input" in cell.tags for cell in code),
    }
    minutes = len(re.findall(r"[^\W\d_]+", words)) / WORDS_A_MINUTE
    minutes += sum(MINUTES[name] * count for name, count in counts.items())
    return 5 * round(minutes / 5)


def exercise_minutes(chapter: Chapter) -> int:
    """Return the sum of the minutes that the exercises state, to the next five."""
    stated = [int(m[2]) for c in chapter.cells if c.kind == "markdown" for m in TASK.findall(c.source)]
    return 5 * round(sum(stated) / 5)


def misstated(chapter: Chapter) -> str | None:
    """Return what a chapter should say of its time; None if it says so, or nearly: within a tenth."""
    reading, exercises = reading_minutes(chapter), exercise_minutes(chapter)
    match = STATED.search(chapter.cells[0].source if chapter.cells else "")
    if match and all(
        abs(int(match[name] or 0) - counted) <= max(5, counted / 10)
        for name, counted in (("reading", reading), ("exercises", exercises))
    ):
        return None
    for_exercises = f", {exercises} for the exercises" if exercises else ""
    return f"**Time:** {reading} minutes to read{for_exercises}; "
