"""Where the outputs of executed chapters are kept, and what makes them stale.

A chapter's outputs come from its cells, from the files that these reach (``reach.py`` tells which), from
Python and the installed packages, from the profile and from the data. jupyter-cache looks at the cells alone;
so all else is hashed into the name of a folder, one for each state of each chapter, that holds its cache.
``tools/execute.py`` fills these folders, the book's Sphinx extension reads from them.

A number that the prose quotes from ``results/`` is no output: it needs no execution, and is not looked at.
Nor are environment variables that only say how data is found, such as GM_OFFLINE: what was found counts.
"""

import ast
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, CacheBundleOut
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from sphinx_external_toc.parsing import parse_toc_yaml

import reach

# For each chapter: going back to another profile, other data or another branch need not execute it again.
KEPT_STATES = 6
KEPT_VERSIONS = 3  # of the chapter's cells, in each of these states


def prepare_environment() -> None:
    """Set the environment that every chapter of the book is executed in."""
    os.environ["GM_STRICT"] = "1"  # an exercise whose own solution fails must fail the build
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # the debugger's remark is no output of a chapter
    # One thread for each chapter: its outputs then do not depend on how many run side by side.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if os.environ.get("GM_DATA"):
        # Relative to where the command was given; a chapter runs in its own folder.
        os.environ["GM_DATA"] = str(Path(os.environ["GM_DATA"]).expanduser().resolve())


def book_chapters(root: Path) -> list[Path]:
    """Return the pages of the table of contents that are notebooks, in the order of the book."""
    sources = [root / f"{docname}.md" for docname in parse_toc_yaml(root / "_toc.yml")]
    return [path for path in sources if path.is_file() and is_myst_markdown_notebook(path.read_text("utf-8"))]


def read_chapter(path: Path) -> nbformat.NotebookNode:
    """Return the notebook exactly as the book's builder reads it, or it would not be found in the cache."""
    return myst_nb_reader_plugin(str(path))


def cell_timeout(root: Path) -> int:
    """Return the seconds that one cell may take, as ``_config.yml`` says."""
    return int(yaml.safe_load((root / "_config.yml").read_text("utf-8"))["execute"]["timeout"])


@dataclass(frozen=True)
class Chapter:
    """A chapter of the book: its cells, the files they reach, and the folder with what came of them."""

    path: Path
    notebook: nbformat.NotebookNode
    reached: set[Path]
    folder: Path

    def executed(self) -> CacheBundleOut | None:
        """Return the notebook with outputs, and its record; None if it must be executed."""
        if not self.folder.is_dir():
            return None
        cache = get_cache(str(self.folder))
        try:
            return cache.get_cache_bundle(cache.match_cache_notebook(self.notebook).pk)
        except KeyError:
            return None

    def store(self, executed: nbformat.NotebookNode, record: dict[str, Any]) -> None:
        """Keep the notebook with outputs, and its record."""
        cache = get_cache(str(self.folder))
        cache.change_cache_limit(KEPT_VERSIONS)
        bundle = CacheBundleIn(executed, str(self.path), data=record)
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def chapters(root: Path) -> list[Chapter]:
    """Return the chapters in the order of the book, for library, lock, profile and data as they are now."""
    sources = reach.Sources(root)
    surroundings = [*_surroundings(root)]
    found = []
    for path in book_chapters(root):
        notebook = read_chapter(path)
        reached = sources.reached_by(cell.source for cell in notebook.cells if cell.cell_type == "code")
        key = _digest([*surroundings, *_contents(root, reached)])
        found.append(Chapter(path, notebook, reached, cache_folder(root) / path.stem / key))
    return found


def key_of_library(root: Path) -> str:
    """Return a text that changes with the whole library, the lock, the profile and the data."""
    return _digest([*_surroundings(root), *_contents(root, reach.Sources(root).library)])


def cache_folder(root: Path) -> Path:
    """Return the folder that holds, for each chapter, a folder with its states."""
    return root / "_build" / ".jupyter_cache"


def prune(current: list[Chapter], root: Path) -> None:
    """Mark the states as used now; delete all but the few that were used last, and chapters that are gone."""
    for chapter in current:
        chapter.folder.mkdir(parents=True, exist_ok=True)
        os.utime(chapter.folder)
        by_use = sorted(chapter.folder.parent.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in by_use[:-KEPT_STATES]:
            shutil.rmtree(path)
    used = {chapter.folder.parent for chapter in current}
    for path in cache_folder(root).iterdir():
        if path.is_dir() and path not in used:
            shutil.rmtree(path)


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:16]


def _surroundings(root: Path) -> Iterator[str]:
    """Yield what every chapter depends on: Python, the profile, the lock, the data at hand."""
    from gm_lib.runtime import profile  # it imports PyTorch, which is slow: not before it is needed

    yield f"{sys.version_info.major}.{sys.version_info.minor}"
    yield profile()
    yield (root / "requirements.txt").read_text("utf-8")
    yield from _data_files()


def _contents(root: Path, files: Iterable[Path]) -> Iterator[str]:
    """Yield what files hold: of Python its syntax, without comments and layout."""
    for path in sorted(files):
        yield path.relative_to(root).as_posix()
        if path.suffix == ".py":
            yield ast.dump(ast.parse(path.read_bytes(), filename=str(path)))
        else:
            yield hashlib.sha256(path.read_bytes()).hexdigest()


def _data_files() -> Iterator[str]:
    """Yield names and sizes of the data files at hand; when they are read, `gm_lib.data` checks the rest."""
    from gm_lib.data.sources import cache_folder, data_folder

    for folder in filter(None, (data_folder(), cache_folder())):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield f"{path.relative_to(folder).as_posix()} {path.stat().st_size}"
