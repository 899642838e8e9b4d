"""Where a page states a number that nothing stands behind.

A number in the text was computed by the chapter that states it, or it is quoted from a record in results/:

    the classifier reads [99.3 %](../results.md#digit_classifier) of the test images

Three rules, each a function that returns lines ``file.md:12: the number, and what to do``:

* ``misquoted``: every number in the text of such a link is in that record, rounded to the digits shown;
* ``unmeasured``: on a page that computes nothing, a decimal number, and any number with a measured unit,
  stands in such a link;
* ``without_literal``: in a chapter such a number stands in the chapter's code, where an assertion or a
  definition answers for it, or in such a link.

What a cell prints or shows is computed, and none of their business. The two last leave out what is
``allowed``: passages that state nothing measured, such as the size of a download. One that is not there any
more is reported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from chapters import TASK, parse
from records import SHARE, Record

QUOTE = re.compile(r"\[([^\[\]]*)\]\(([\w./-]*\bresults\.md)(?:#([\w-]*))?\)")

_NOT_BEFORE = r"(?<![\w.^/×{#-])"
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_WORDS = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty"
    r"|sixty|seventy|eighty|ninety|hundred|thousand|half an?)"
)
# Seconds and bytes too: they differ from machine to machine.
_UNIT = (
    r"(?:\\?%|per ?cent|nats?|bits?|ms|seconds?|minutes?|hours?|[kMGT]i?B|GFLOPs?"
    r"|(?:images|samples|steps)(?:/s| (?:a|per) second))"
)
_PERCENT = r"\$?[\s~]*(?:\\,)?\\?%"
# In "52.5 ± 2.8 %" and "50 to 55 %" the first number is in per cent too.
_ALSO_PERCENT = rf"(?=[\s$]*(?:±|\\pm|to|and|or|[-–])[\s$]*{_DIGITS}{_PERCENT})"
_QUOTED = re.compile(rf"{_NOT_BEFORE}({_DIGITS})(?!\.?\d)({_PERCENT}|{_ALSO_PERCENT})?")
_DECIMAL = re.compile(r"(?<![\w.^{#])\d[\d,]*\.\d+(?![\d.]*\d)")
_MEASURED = re.compile(
    rf"{_NOT_BEFORE}(?:{_DIGITS}\$?[\s*~]*(?:\\[,;])?(?:{_UNIT}|s)|{_WORDS}[\s*~-]+{_UNIT})(?![\w])",
    re.IGNORECASE,
)
# Numbers that are names: of a place in the book, of a version, of a licence.
_NAMES = re.compile(
    r"\b(?:exercises?|sections?|chapters?|tables?|figures?|equations?|python|version|CC BY)"
    r"(?:,?\s+(?:(?:and|or|to)\s+)?\d+(?:\.\d+)*\b)+",
    re.IGNORECASE,
)
_TAG = re.compile(r"\\tag\{(\d+\.\d+)\}")  # an equation's number, which prose has between brackets
_READING_TIME = re.compile(r"\*\*Time:\*\*.*?(?=\n\n|\Z)", re.DOTALL)
_ALTERNATIVE = re.compile(
    r'^\s*(?::mystnb: \{image: \{)?alt: (?:"(?P<text>[^"\n]*)"|(?P<plain>[^"\n]+))', re.M
)


def misquoted(page: str, text: str, records: Mapping[str, Record]) -> list[str]:
    """Return the quotations in ``text`` that no record answers for."""
    found = []
    for match in QUOTE.finditer(_without_code(text)):
        where = f"{page}:{_line(text, match.start())}:"
        quoted, _, name = match.groups()
        quoted = " ".join(quoted.split())
        numbers = list(_QUOTED.finditer(quoted))
        if not name:
            if numbers:
                found.append(f"{where} [{quoted}] does not say which record: results.md#NAME.")
        elif name == "scoreboard" and not numbers:
            continue  # the table of all models is no record, and has nothing to quote by itself
        elif name not in records:
            known = ", ".join(records) or "none yet"
            found.append(
                f"{where} [{quoted}] quotes results/{name}.json, which there is not. There are: {known}."
            )
        else:
            found += [
                f"{where} {number[0]} in [{quoted}] is not in results/{name}.json, rounded to these digits. "
                "Write what was measured, or measure again."
                for number in numbers
                if not _is_in(number, records[name])
            ]
    return found


def unmeasured(page: str, text: str, allowed: Collection[str] = ()) -> list[str]:
    """Return the numbers that look measured and have no record, on a page that computes nothing."""
    prose, found = _without_allowed(page, _prose(text), allowed)
    for start, number in _numbers(prose):
        found.append(
            f"{page}:{_line(text, start)}: {number!r} looks measured. Quote a record, "
            f"[{number}](results.md#NAME), or say it without a number."
        )
    return found


def without_literal(page: str, text: str, allowed: Collection[str] = ()) -> list[str]:
    """Return the numbers in a chapter's prose and alternative texts that stand in none of its code cells."""
    chapter = parse(text, Path(page))
    literals = _literals(cell.source for cell in chapter.cells if cell.kind == "code")
    prose, found = _without_allowed(page, _prose(text), allowed)
    described = _only(_ALTERNATIVE, text)
    for start, number in sorted({*_numbers(prose), *_numbers(described)}):
        values = [float(digits.replace(",", "")) for digits in re.findall(_DIGITS, number)]
        if not all({value, round(value / 100, 12)} & literals for value in values):
            found.append(
                f"{page}:{_line(text, start)}: {number!r} stands in no code cell. Assert it beside the text, "
                f"let a cell print it, or quote a record, [{number}](../results.md#NAME)."
            )
    return found


def _numbers(prose: str) -> Iterator[tuple[int, str]]:
    """Yield the place and the text of each decimal number, and of each number with a measured unit."""
    measured = list(_MEASURED.finditer(prose))
    for match in measured:
        yield match.start(), " ".join(match[0].split())
    inside = {place for match in measured for place in range(*match.span())}
    for match in _DECIMAL.finditer(prose):
        if match.start() not in inside:
            yield match.start(), match[0]


def _is_in(number: re.Match[str], record: Record) -> bool:
    """Tell whether a number, with or without %, is one of the record's, rounded to the digits it has."""
    shown = float(number[1].replace(",", ""))
    half = 0.5 * 10 ** -len(number[1].partition(".")[2])
    percent = number[2] is not None
    return any(
        abs(abs(100 * value if percent else value) - shown) <= half * (1 + 1e-9)
        for value, unit in record.numbers()
        if (unit == SHARE) == percent
    )


def _literals(sources: Iterator[str]) -> set[float]:
    """Return the absolute values of all numbers that are written in code."""
    constants = (
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant)
    )
    return {abs(float(value)) for value in constants if isinstance(value, int | float)}


def _without_allowed(page: str, prose: str, allowed: Collection[str]) -> tuple[str, list[str]]:
    """Blank the allowed passages; return the rest, and a line for each passage that is not there."""
    found = []
    for passage in allowed:
        pattern = re.compile(r"\s+".join(map(re.escape, passage.split())))
        if not pattern.search(prose):
            found.append(f"{page}: the passage {passage!r} is allowed, but it is not there any more.")
        prose = _blank(pattern, prose)
    return prose, found


def _prose(text: str) -> str:
    """Return the text with everything blanked that states no number: code, quotations, addresses, names."""
    text = _blank(QUOTE, _without_code(text))
    text = _blank(re.compile(r"(?<=\])\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*\)|https?://\S+"), text)
    equations = [re.compile(re.escape(f"({number})")) for number in _TAG.findall(text)]
    for pattern in (TASK, _NAMES, _READING_TIME, *equations):
        text = _blank(pattern, text)
    return text


def _without_code(text: str) -> str:
    """Return the text with header, code, comments and directives blanked; the rest stays in its place."""
    for pattern in (
        re.compile(r"\A---\n.*?^---$", re.MULTILINE | re.DOTALL),
        re.compile(
            r"^(?P<fence>`{3,}|~{3,})(?!\{glossary\}).*?^(?P=fence)[^\S\n]*$", re.MULTILINE | re.DOTALL
        ),
        re.compile(r"<!--.*?-->", re.DOTALL),
        re.compile(r"(?<!`)(`+)(?!`)[^\n]+?(?:\n[^\n]+?)*?(?<!`)\1(?!`)"),
    ):
        text = _blank(pattern, text)
    return text


def _only(pattern: re.Pattern[str], text: str) -> str:
    """Return the text with all blanked but what the pattern's groups match."""
    kept = list(_blanks(text))
    for match in pattern.finditer(text):
        for group in range(1, pattern.groups + 1):
            start, end = match.span(group)
            kept[max(start, 0) : max(end, 0)] = text[max(start, 0) : max(end, 0)]
    return "".join(kept)


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: _blanks(match[0]), text)


def _blanks(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
