"""A small course to try the tools on, and a copy of this one."""

import re
import shutil
from pathlib import Path

import pytest
from toy_course import FILES, LETTERED

import make_notebooks
import make_readme
from chapters import ROOT, chapter_paths

NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "_build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", "node_modules"
)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """The folder of a course with chapters 7 and 8."""
    return _filled(tmp_path, FILES)


@pytest.fixture
def lettered(course: Path) -> Path:
    """The same course with a chapter of two pages: 9a, 9b and the page above them."""
    return _filled(course, LETTERED)


def _filled(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def rewrite(path: Path, pattern: str, text: str) -> None:
    path.write_text(re.sub(pattern, text, path.read_text("utf-8")), encoding="utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository, without its history; the tests of a module share it.

    Of the chapters the first stands for all: making a notebook of each takes seconds.
    """
    folder = Path(
        shutil.copytree(ROOT, tmp_path_factory.mktemp("copy"), ignore=NOT_COPIED, dirs_exist_ok=True)
    )
    for path in chapter_paths(folder)[1:]:
        path.unlink()
        for arc in ("book/intro.md", "book/domains.md", "book/families.md"):
            rewrite(folder / arc, rf".*\(chapters/{path.name}\).*\n", "")
        rewrite(folder / "book/chapters/00_tools.md", path.name, "../intro.md")
    make_notebooks.write(folder)
    make_readme.write(folder)
    return folder
