"""A small course to try the tools on."""

from pathlib import Path

import pytest
from toy_course import FILES


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """The folder of a course with chapters 7 and 8."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path
