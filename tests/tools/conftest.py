"""A small course to try the tools on, and a copy of this one."""

import shutil
from pathlib import Path

import pytest
from toy_course import FILES

from chapters import ROOT

NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "_build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis", "node_modules"
)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """The folder of a course with chapters 7 and 8."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository, without its history; the tests of a module share it."""
    folder = tmp_path_factory.mktemp("copy")
    return Path(shutil.copytree(ROOT, folder, ignore=NOT_COPIED, dirs_exist_ok=True))
