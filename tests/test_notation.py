"""Claims about the page on notation: each symbol stands where the page says that it begins."""

import re

import pytest

from chapters import ROOT, chapter_paths, read

PAGE = (ROOT / "book/notation.md").read_text("utf-8")
MATHEMATICS = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)


def bare(formula: str) -> str:
    """Return a formula without what only spaces it: two ways of typing one symbol become one text."""
    formula = re.sub(r"\\(?:,|!|;|:|quad|qquad|big|Big|bigg|Bigg|left|right)(?![A-Za-z])|~|&", "", formula)
    formula = re.sub(r"_\{(\w)\}", r"_\1", formula)
    return re.sub(r"\s*([^A-Za-z\s])\s*", r"\1", re.sub(r"\s+", " ", formula)).strip()


def formulas(text: str) -> list[str]:
    return [bare(display or inline) for display, inline in MATHEMATICS.findall(text)]


# What each chapter says on all its pages, by number: its prose, and the formulas in it.
PROSE: dict[int, str] = {}
for chapter in (read(path) for path in chapter_paths() if path.name[0] != "A"):
    prose = [cell.source for cell in chapter.cells if cell.kind == "markdown"]
    PROSE[chapter.number] = "\n\n".join([PROSE.get(chapter.number, ""), *prose])
FORMULAS = {number: formulas(prose) for number, prose in PROSE.items()}


def stands_in(symbol: str, number: int) -> bool:
    """Tell whether a symbol, ``$…$`` or a word, stands in the chapter."""
    if not symbol.startswith("$"):
        return re.search(rf"\b{re.escape(symbol)}\b", PROSE[number]) is not None
    core = bare(symbol.strip("$"))
    before = r"(?<![A-Za-z\\])" if core[0].isalpha() else ""
    after = r"(?![A-Za-z])" if core[-1].isalpha() else ""
    pattern = re.compile(before + re.escape(core) + after)
    return any(pattern.search(formula) for formula in FORMULAS[number])


def table(heading: str) -> list[list[str]]:
    section = PAGE[PAGE.index(f"\n## {heading}\n") :].split("\n## ")[1]
    lines = [line for line in section.split("\n") if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def symbols(cell: str) -> list[str]:
    return re.findall(r"\$[^$]+\$|\b[A-Z]{2,}\b", cell)


ROWS = [
    (symbol, int(row[-1]))
    for heading in (
        "Data, latent variables, noise",
        "Models and their parameters",
        "Operations and objectives",
        "Two players",
    )
    for row in table(heading)
    for symbol in symbols(row[0])
]
OTHERS = {
    (symbol, int(number))
    for row in table("Letters with several meanings")
    for symbol in symbols(row[0])
    for number in re.findall(r"chapter (\d+)", row[1])
}


@pytest.mark.parametrize(("symbol", "chapter"), ROWS)
def test_a_symbol_begins_in_the_chapter_that_the_page_names(symbol, chapter):
    known = {number for other, number in OTHERS if other == symbol}
    before = [number for number in PROSE if number < chapter and stands_in(symbol, number)]
    assert stands_in(symbol, chapter), f"chapter {chapter} has no {symbol}"
    assert set(before) - known == set(), f"{symbol} stands in earlier chapters, and the page does not say so"


@pytest.mark.parametrize(("symbol", "chapter"), sorted(OTHERS))
def test_a_letter_has_its_other_meaning_where_the_page_says_so(symbol, chapter):
    assert stands_in(symbol, chapter)


def test_the_tables_were_read():
    assert len(ROWS) > 60
    assert len(OTHERS) > 10
    assert not stands_in("$\\aleph$", 1)
