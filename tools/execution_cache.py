"""Where the outputs of executed chapters are kept, and what makes them stale.

A chapter's outputs come from its cells, from the files that it loaded and read, from Python and the installed
packages, from the profile and from the data. jupyter-cache looks at the cells alone; so all else is hashed
into the name of a folder, one for each state of each chapter, that holds its cache. Which files of the
library and which records a chapter uses is not guessed: its kernel noted them. As long as none has changed,
the same cells would use the same files again. It noted too whether any data were looked for: where none were,
what lies at hand does not count. ``tools/execute.py`` fills these folders, the book's Sphinx
extension reads from them.

A number that the prose quotes from ``results/`` is no output: it needs no execution, and is not looked at.
Nor are environment variables that only say how data is found, such as GM_OFFLINE: what was found counts.
"""

import ast
import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import yaml
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, CacheBundleOut
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from sphinx_external_toc.parsing import parse_toc_yaml

# For each chapter: going back to another profile, other data or another branch need not execute it again.
KEPT_STATES = 6
KEPT_VERSIONS = 3  # of the chapter's cells, in each of these states
OURS = ("gm_lib", "results")  # the folders whose files count; packages are known by the lock
USED = "used.json"  # in a state's folder, the files of it, and DATA if data at hand count
DATA = "data"


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
    """A chapter of the book: its cells, and the folder with the states in which it was executed."""

    root: Path
    path: Path
    notebook: nbformat.NotebookNode
    surroundings: list[str]
    data: list[str]
    content: Callable[[Path], str]

    @property
    def folder(self) -> Path:
        """The folder that has a folder for each state, named by what the outputs come from."""
        return cache_folder(self.root) / self.path.stem

    def executed(self) -> tuple[Path, CacheBundleOut] | None:
        """Return the state of now, and the notebook executed in it with its record; None if there is none."""
        for listed in self.folder.glob(f"*/{USED}"):  # a state without was interrupted as it was stored
            state = listed.parent
            if self._key(json.loads(listed.read_text("utf-8"))) == state.name:
                cache = get_cache(str(state))
                with contextlib.suppress(KeyError):  # the cells have changed since
                    bundle = cache.get_cache_bundle(cache.match_cache_notebook(self.notebook).pk)
                    os.utime(state)
                    return state, bundle
        return None

    def store(
        self, executed: nbformat.NotebookNode, files: Iterable[str], record: dict[str, Any], *, data: bool
    ) -> None:
        """Keep the notebook with outputs, and its record.

        ``files`` are those that it loaded and read; ``data``: whether it looked for data.
        """
        used = [*sorted(self._ours(files)), *([DATA] if data else [])]
        state = self.folder / self._key(used)
        state.mkdir(parents=True, exist_ok=True)
        (state / USED).write_text(json.dumps(used, indent=1), "utf-8")
        cache = get_cache(str(state))
        cache.change_cache_limit(KEPT_VERSIONS)
        bundle = CacheBundleIn(executed, str(self.path), data=record)
        cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)

    def _ours(self, files: Iterable[str]) -> Iterator[str]:
        for name in set(files):
            path = Path(name).resolve()
            if path.is_relative_to(self.root) and "__pycache__" not in path.parts:
                relative = path.relative_to(self.root)
                if relative.parts[0] in OURS and path.is_file():
                    yield relative.as_posix()

    def _key(self, used: list[str]) -> str:
        files = [name for name in used if name != DATA]
        data = self.data if DATA in used else []
        return _digest(
            [*self.surroundings, *data, *used, *(self.content(self.root / name) for name in files)]
        )


def chapters(root: Path) -> list[Chapter]:
    """Return the chapters in the order of the book, with library, lock, profile and data as they are now."""
    root = root.resolve()
    surroundings, data, content = [*_surroundings(root)], [*_data_files()], cache(_content)  # read once
    return [
        Chapter(root, path, read_chapter(path), surroundings, data, content) for path in book_chapters(root)
    ]


def key_of_library(root: Path) -> str:
    """Return a text that changes with the whole library, the lock, the profile and the data."""
    files = (path for path in sorted((root / "gm_lib").rglob("*")) if path.is_file())
    library = [path for path in files if "__pycache__" not in path.parts]
    names = (path.relative_to(root).as_posix() for path in library)
    return _digest([*_surroundings(root), *_data_files(), *names, *map(_content, library)])


def cache_folder(root: Path) -> Path:
    """Return the folder that holds, for each chapter, a folder with its states."""
    return root / "_build" / ".jupyter_cache"


def prune(current: list[Chapter], root: Path) -> None:
    """Delete all but the few states that were used last, and those of chapters that are gone."""
    for chapter in current:
        by_use = sorted(chapter.folder.glob("*"), key=lambda path: path.stat().st_mtime)
        for path in by_use[:-KEPT_STATES]:
            shutil.rmtree(path)
    used = {chapter.folder for chapter in current}
    for path in cache_folder(root).glob("*"):
        if path.is_dir() and path not in used:
            shutil.rmtree(path)


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:16]


def _surroundings(root: Path) -> Iterator[str]:
    """Yield what every chapter depends on: Python, the profile, the lock."""
    from gm_lib.runtime import profile  # it imports PyTorch, which is slow: not before it is needed

    yield f"{sys.version_info.major}.{sys.version_info.minor}"
    yield profile()
    yield (root / "requirements.txt").read_text("utf-8")


def _content(path: Path) -> str:
    """Return what a file holds: of Python its syntax, without comments and layout."""
    if not path.is_file():
        return "it is gone"
    if path.suffix == ".py":
        return ast.dump(ast.parse(path.read_bytes(), filename=str(path)))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _data_files() -> Iterator[str]:
    """Yield names and sizes of the data files at hand; when they are read, `gm_lib.data` checks the rest."""
    from gm_lib.data.sources import cache_folder, data_folder

    folders = [data_folder()]
    with contextlib.suppress(FileNotFoundError):  # a user without a home has no cache
        folders.append(cache_folder())
    for folder in filter(None, folders):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield f"{path.relative_to(folder).as_posix()} {path.stat().st_size}"
