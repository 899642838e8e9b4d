"""Where the outputs of executed chapters are kept, and what makes them stale.

A chapter's outputs come from its cells, from the library, from the installed packages, from the profile and
from the data. jupyter-cache looks at the cells alone; so all else is hashed into the name of the folder that
holds its cache. ``tools/execute.py`` fills that folder, the book's Sphinx extension reads from it.
"""

import ast
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import yaml
from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin
from sphinx_external_toc.parsing import parse_toc_yaml

KEPT_CACHES = 4  # going back to another profile or other data need not execute everything again


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


def cache_path(root: Path) -> Path:
    """Return the folder of the cache that is valid for the present library, lock, profile and data."""
    from gm_lib.runtime import profile  # it imports PyTorch, which is slow: not before it is needed

    digest = hashlib.sha256()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    parts = (python, profile(), *_library(root), _lock(root), *_data_files())
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode())
    return root / "_build" / ".jupyter_cache" / digest.hexdigest()[:16]


def prune(current: Path) -> None:
    """Mark the cache as used now, and delete all but the few that were used last."""
    current.mkdir(parents=True, exist_ok=True)
    os.utime(current)
    by_use = sorted((p for p in current.parent.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for path in by_use[:-KEPT_CACHES]:
        shutil.rmtree(path)


def _library(root: Path) -> Iterator[str]:
    """Yield what the library consists of: its syntax, without comments and layout, and its other files."""
    for path in sorted((root / "gm_lib").rglob("*")):
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        yield path.relative_to(root).as_posix()
        if path.suffix == ".py":
            yield ast.dump(ast.parse(path.read_bytes(), filename=str(path)))
        else:
            yield hashlib.sha256(path.read_bytes()).hexdigest()


def _lock(root: Path) -> str:
    return (root / "requirements.txt").read_text("utf-8")


def _data_files() -> Iterator[str]:
    """Yield names and sizes of the data files at hand; when they are read, `gm_lib.data` checks the rest."""
    from gm_lib.data.sources import cache_folder, data_folder

    for folder in filter(None, (data_folder(), cache_folder())):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield f"{path.relative_to(folder).as_posix()} {path.stat().st_size}"
