"""The chapters as sources: which there are, what cells one has, where its exercises are and what solves them.

The page of an exercise, the student notebook and the tests all take stub and solution from here, so that they
cannot differ.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jupytext

from solutions import BEGIN, END, SolutionError, solved, stub

__all__ = [
    "BEGIN",
    "END",
    "LINK",
    "ROOT",
    "TASK",
    "Cell",
    "Chapter",
    "ChapterError",
    "Exercise",
    "SolutionError",
    "chapter_files",
    "chapter_paths",
    "check_call",
    "pages_of",
    "parse",
    "read",
    "solved",
    "stub",
]

ROOT = Path(__file__).resolve().parents[1]

# What the file of a chapter is called, of one of its pages where it has several, of an appendix.
NAME = re.compile(r"(?:\d\d[a-z]?|A\d)_.+")
TASK = re.compile(r"^> \*\*Exercise (\d+\.\d+)\*\* · ([●○]{3}) · (\d+) min\. (?=\S)", re.M)
# Relative .md targets only. A broader pattern takes mathematics such as `$E[z](\theta)$` for a link.
LINK = re.compile(r"\]\((?!\w+:)([^()\s#]+\.md)(#[^()\s]*)?\)")


class ChapterError(ValueError):
    """A file is no chapter; the message says which and what to do."""


@dataclass(frozen=True)
class Cell:
    """One cell of a chapter ("markdown" or "code"), and the line of the file on which its text begins."""

    kind: str
    source: str
    tags: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Exercise:
    """One exercise: number, difficulty (``●○○``), minutes, and the places of its cells in the chapter.

    ``given`` are the code cells between task and ``cell``, the one that holds the solution.
    """

    id: str
    difficulty: str
    minutes: int
    given: tuple[int, ...]
    cell: int
    check: int


@dataclass(frozen=True)
class Chapter:
    """A chapter: its file, its cells, and its complete exercises by number."""

    path: Path
    cells: tuple[Cell, ...]
    exercises: dict[str, Exercise]

    @property
    def number(self) -> int:
        """Return the chapter's number, one for all its pages. An appendix has none, and no exercises."""
        return int(self.path.name[:2])

    @property
    def label(self) -> str:
        """Return what its title calls it: ``7``, ``16a``, ``A1``."""
        return self.path.name.partition("_")[0].removeprefix("0")

    def imports(self) -> str:
        """Return the code of the cells tagged ``imports``, on which every exercise stands."""
        return "\n\n".join(cell.source for cell in self.cells if "imports" in cell.tags)

    def code(self, id: str) -> str:
        """Return the code of exercise ``id``, with the solution: what is given, then its cell."""
        exercise = self.exercises[id]
        return "\n\n".join(self.cells[place].source for place in (*exercise.given, exercise.cell))

    def answer(self, id: str) -> str:
        """Return the expression that the check of exercise ``id`` is given, as Python."""
        call = check_call(self.cells[self.exercises[id].check].source)
        assert call is not None  # a complete exercise has its check
        return ast.unparse(call[1])


def chapter_paths(root: Path = ROOT) -> list[Path]:
    """Return the files of the chapters, ``07_elbo.md``, then of the appendices, ``A1_mathematics.md``.

    A chapter of several pages has a file for each: ``16a_images.md``, ``16b_speech.md``.
    """
    return chapter_files(root / "book" / "chapters", ".md")


def chapter_files(folder: Path, ending: str) -> list[Path]:
    """Return the files in a folder that are called as chapters are, in the order of the book."""
    return sorted(path for path in folder.glob(f"*{ending}") if NAME.fullmatch(path.stem))


def pages_of(number: int, root: Path = ROOT) -> list[Path]:
    """Return the files of one chapter in their order; most chapters have one page only."""
    return [path for path in chapter_paths(root) if path.name.startswith(f"{number:02d}")]


def read(path: Path) -> Chapter:
    """Return the chapter in a file. Raises ``ChapterError`` when it is no MyST notebook."""
    return parse(path.read_text("utf-8"), path)


def parse(text: str, path: Path) -> Chapter:
    """Return the chapter in ``text``, the content of ``path``. Raises ``ChapterError`` when it is none."""
    try:
        notebook = jupytext.reads(text, fmt="md:myst")
    except Exception as error:  # jupytext and YAML have many
        raise ChapterError(f"{path.name}:1: cannot be read as a MyST notebook: {error}") from error
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        raise ChapterError(f"{path.name}:1: the header must name the kernel python3; copy another chapter's.")
    cells: list[Cell] = []
    lines = [line.strip() for line in text.split("\n")]
    place = 0
    for cell in notebook.cells:
        own = cell.source.split("\n")
        place = lines.index(own[0].strip(), place) if own[0].strip() in lines[place:] else place
        cells.append(Cell(cell.cell_type, cell.source, tuple(cell.metadata.get("tags", ())), place + 1))
        place += len(own)
    return Chapter(path, tuple(cells), {exercise.id: exercise for exercise in _exercises(cells)})


def check_call(source: str) -> tuple[str, ast.expr] | None:
    """Return number and answer when a cell is one statement ``check("8.2", answer)``, else None."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return None
    match body:
        case [ast.Expr(ast.Call(func=ast.Name("check"), args=[ast.Constant(str(id)), answer], keywords=[]))]:
            return id, answer
    return None


def _exercises(cells: Sequence[Cell]) -> Iterator[Exercise]:
    """Yield each complete exercise: task, then a cell tagged ``exercise``, the next code cell its check."""
    task: tuple[str, str, str] | None = None
    given: list[int] = []
    for place, cell in enumerate(cells):
        if cell.kind == "markdown":
            if tasks := TASK.findall(cell.source):
                task, given = tasks[-1], []
        elif task and "exercise" in cell.tags:
            id, difficulty, minutes = task
            check = next((i for i in range(place + 1, len(cells)) if cells[i].kind == "code"), place)
            call = check_call(cells[check].source)
            if call is not None and call[0] == id:
                yield Exercise(id, difficulty, int(minutes), tuple(given), place, check)
            task = None
        else:
            given.append(place)
