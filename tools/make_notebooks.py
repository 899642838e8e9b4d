"""Derive the student notebooks in notebooks/ from the chapters in book/chapters/.

A student's notebook has the chapter's prose and code without solutions and outputs, a link that opens it in
Colab, and one cell that installs gm_lib where it is missing. Never edit a notebook: edit the chapter.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from chapter_problems import problems
from chapters import (
    LINK,
    ROOT,
    TASK,
    Cell,
    Chapter,
    ChapterError,
    chapter_files,
    chapter_paths,
    read,
    stub,
)
from proofs import notebook_cell
from repository import Repository, repository

NUMBER = re.compile(r"(?m)^#### Exercise (\d+\.\d+) · ")
RECALL = re.compile(r"(?m)^> \*\*(From [^*\n]+)\*\*\n((?:>.*\n?)+)")
TITLES = {"imports": "Imports", "hide-input": "The code behind this output"}  # what Colab shows for the code

ABOVE = """\
[Open this notebook in Colab]({colab})

Run the cells from the top, because each needs those above it; after a restart of the kernel, again from the
top. *Run all* reaches the end whether the exercises are done or not. What is folded opens with a click."""

# Flat, without functions: a student who opens it shall be able to read it. packaging comes with gm_lib: where
# either is missing, both are installed.
INSTALL = """\
# @title Run this cell first: it installs gm_lib, the course's library, if missing
import importlib
import sys
from importlib.metadata import version
from importlib.util import find_spec

{why}
wanted = "{wanted}"
course = "https://github.com/{slug}"
try:
    from packaging.specifiers import SpecifierSet

    import gm_lib

    found = gm_lib.__version__
    fits = SpecifierSet(wanted).contains(found, prereleases=True)
except ImportError:
    fits = False

if not fits:
    # torch, torchvision and numpy are named in the versions that are here, so that
    # pip leaves them alone.
    here = filter(find_spec, ("torch", "torchvision", "numpy"))
    keep = " ".join(f"{{name}}=={{version(name)}}" for name in here)
    %pip install -q "gm-lib @ git+{{course}}@{ref}" {{keep}}
    # A gm_lib that was imported before is forgotten, or Python would go on with it.
    for name in list(sys.modules):
        if name.partition(".")[0] == "gm_lib":
            del sys.modules[name]
    importlib.invalidate_caches()
    try:
        from packaging.specifiers import SpecifierSet

        import gm_lib

        found = gm_lib.__version__
    except ImportError:
        raise ImportError(
            "gm_lib could not be installed; pip says why above. It needs the "
            f"network: offline, copy {{course}} and run `pip install .` there."
        ) from None
    if not SpecifierSet(wanted).contains(found, prereleases=True):
        raise ImportError(
            f"gm_lib {{found}} is here, this notebook was made for gm_lib{{wanted}}. "
            "Restart the kernel and run this cell again; if that does not help, "
            f"take the newest notebook from {{course}}"
        )

from gm_lib.runtime import device, profile

print(f"gm_lib {{found}}, device: {{device()}}, profile: {{profile()}}")"""

RELEASED = """\
# This notebook belongs to release {version} of the course and uses the gm_lib of
# that release. Both stay where they are: a copy that you saved works on when the
# course has a newer release."""

BETWEEN_RELEASES = """\
# This notebook was made between two releases of the course: it takes gm_lib as it
# is being worked on, in the version below or a newer one. A notebook to keep for
# long is better taken from a release."""


def student_notebook(chapter: Chapter, where: Repository) -> str:
    """Return the student edition of a chapter, a notebook as JSON: the same bytes on every platform.

    Raises ``SolutionError`` for a chapter in which ``problems`` finds some.
    """
    name = chapter.path.stem
    cells = [_above(name, where), *_chapter_cells(chapter, where)]
    for cell, id in zip(cells, _ids(name, cells), strict=True):
        cell["id"] = id
    notebook = {
        "cells": cells,
        "metadata": {
            "accelerator": "GPU",
            "colab": {"gpuType": "T4", "name": f"{name}.ipynb", "provenance": [], "toc_visible": True},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    nbformat.validate(nbformat.from_dict(notebook))
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _above(name: str, where: Repository) -> dict[str, Any]:
    return _cell("markdown", ABOVE.format(colab=where.colab(name)), ("above",))


def _chapter_cells(chapter: Chapter, where: Repository) -> Iterator[dict[str, Any]]:
    installed = False
    for cell in chapter.cells:
        if cell.kind == "markdown":
            text = unfold_quotes(rewrite_links(cell.source, chapter.path, where))
            yield _cell("markdown", text, cell.tags)
            continue
        if not installed:
            yield _cell("code", _install(where), ("install", "remove-cell"))
            installed = True
        yield _cell("code", _code(cell), cell.tags)


def _code(cell: Cell) -> str:
    """Return a code cell as students get it; what is folded gets the title that Colab shows in its place."""
    if "proof" in cell.tags:
        return notebook_cell(cell.source)
    title = next((f"# @title {TITLES[tag]}\n" for tag in cell.tags if tag in TITLES), "")
    return title + stub(cell.source)


def unfold_quotes(text: str) -> str:
    """Return prose with its boxes as notebooks show them: tasks under headings, what is recalled to open.

    Notebooks show a quotation in grey, whatever it is, and hide nothing in it.
    """
    text = RECALL.sub(lambda m: _details(m[1], _unquoted(m[2])), text)
    parts = TASK.split(text)
    done = [parts[0]]
    for number, difficulty, minutes, rest in zip(*(parts[i::4] for i in (1, 2, 3, 4)), strict=True):
        first, *others = rest.split("\n")
        quoted = next((i for i, line in enumerate(others) if not line.startswith(">")), len(others))
        task = "\n".join([first, _unquoted("\n".join(others[:quoted])), *others[quoted:]])
        done.append(f"#### Exercise {number} · {difficulty} · {minutes} min\n\n{task}")
    return "".join(done).rstrip("\n")


def _details(name: str, text: str) -> str:
    return f"<details>\n<summary><b>{name}</b></summary>\n\n{text.strip()}\n\n</details>\n"


def _unquoted(text: str) -> str:
    return re.sub(r"(?m)^> ?", "", text)


def _install(where: Repository) -> str:
    why = (RELEASED if where.released else BETWEEN_RELEASES).format(version=where.version)
    wanted = ("==" if where.released else ">=") + where.version
    return INSTALL.format(why=why, wanted=wanted, slug=where.slug, ref=where.ref)


def _cell(kind: str, source: str, tags: tuple[str, ...]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"tags": list(tags)} if tags else {}
    if {"install", "imports", "proof", "hide-input", "remove-input"} & set(tags):
        metadata["jupyter"] = {"source_hidden": True}
        metadata["cellView"] = "form"  # Colab shows the title in place of the code
    cell = {"cell_type": kind, "metadata": metadata, "source": source.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _ids(name: str, cells: list[dict[str, Any]]) -> Iterator[str]:
    """Yield an id for each cell that stays the same when other cells come, go or change.

    Exercises are called by their number, what the converter adds by its tag, every other cell by its content.
    """
    seen: Counter[str] = Counter()
    exercise = ""
    for cell in cells:
        source, tags = "".join(cell["source"]), cell["metadata"].get("tags", [])
        if cell["cell_type"] == "markdown" and (tasks := NUMBER.findall(source)):
            exercise = tasks[-1].replace(".", "-")
        if "exercise" in tags:
            id = f"exercise-{exercise}"
        elif "above" in tags or "install" in tags:
            id = tags[0]
        else:
            id = hashlib.sha256(f"{name}\n{cell['cell_type']}\n{source}".encode()).hexdigest()[:12]
        seen[id] += 1
        yield id if seen[id] == 1 else f"{id}-{seen[id]}"


def rewrite_links(text: str, chapter: Path, where: Repository) -> str:
    """Return prose with its relative links to .md files working from notebooks/.

    Another chapter's becomes its notebook, any other page's its address in the repository.
    """
    root = chapter.parents[2]

    def rewrite(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        path = (chapter.parent / target).resolve()
        if path.parent == chapter.parent.resolve():
            return f"]({path.stem}.ipynb)"  # headings have other anchors in a notebook
        page = path.relative_to(root.resolve()).as_posix()
        return f"]({where.page(page)}{anchor})"

    return LINK.sub(rewrite, text)


def derive(root: Path = ROOT) -> dict[Path, str]:
    """Return every notebook that the chapters give, by the file it belongs in.

    Raises ``ChapterError`` with one line for each problem of a chapter.
    """
    where = repository(root)
    notebooks, found = {}, []
    for path in chapter_paths(root):
        try:
            chapter = read(path)
        except ChapterError as error:
            found.append(str(error))
            continue
        if faults := problems(chapter):
            found += faults
        else:
            notebooks[root / "notebooks" / f"{path.stem}.ipynb"] = student_notebook(chapter, where)
    if found:
        raise ChapterError("\n".join(found))
    return notebooks


def drift(root: Path = ROOT) -> list[str]:
    """Return one line for each file in notebooks/ that is not what the chapters give."""
    notebooks = derive(root)
    lines = [f"notebooks/{path.name}: its chapter is gone" for path in _leftovers(root, notebooks)]
    for path, text in notebooks.items():
        if not path.is_file():
            lines.append(f"notebooks/{path.name}: is missing")
        elif (old := path.read_text("utf-8")) != text:
            lines.append(f"notebooks/{path.name}: {_first_difference(old, text)}")
    return sorted(lines)


def write(root: Path = ROOT) -> list[str]:
    """Bring notebooks/ up to date; return one line for each file that was written or removed."""
    notebooks = derive(root)
    (root / "notebooks").mkdir(exist_ok=True)
    done = []
    for path in _leftovers(root, notebooks):
        path.unlink()
        done.append(f"removed notebooks/{path.name}: its chapter is gone")
    for path, text in notebooks.items():
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            done.append(f"wrote notebooks/{path.name}")
    return done


def _leftovers(root: Path, notebooks: dict[Path, str]) -> list[Path]:
    return sorted(set(chapter_files(root / "notebooks", ".ipynb")) - set(notebooks))


def _first_difference(old: str, new: str) -> str:
    pairs = zip(old.split("\n"), new.split("\n"), strict=False)
    line, found, wanted = next(((i, a, b) for i, (a, b) in enumerate(pairs, 1) if a != b), (0, "", ""))
    if not line:
        return "is shorter or longer than its chapter gives"
    return f"line {line} is `{found.strip()[:60]}`, its chapter gives `{wanted.strip()[:60]}`"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status: 0 done or up to date, 1 drift or a broken chapter."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if notebooks/ is not what the chapters give"
    )
    check = parser.parse_args(arguments).check
    try:
        lines = drift(root) if check else write(root)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines) if lines else "notebooks/ is up to date")
    if check and lines:
        print("Run `make notebooks` and commit notebooks/; edit chapters, not notebooks.", file=sys.stderr)
    return 1 if check and lines else 0


if __name__ == "__main__":
    sys.exit(main())
