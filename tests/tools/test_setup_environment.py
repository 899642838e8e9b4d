"""Claims about setting up: an environment that was not finished, or was made elsewhere, is never used."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chapters import ROOT

# Makes an environment without installing anything, and does what the file `accident` beside it says.
UV = """\
#!/bin/sh
if [ "$1" = venv ]; then
  for folder; do :; done
  mkdir -p "$folder/bin"
  ln -s "{python}" "$folder/bin/python"
elif [ -e "{accident}" ]; then
  . "{accident}"
fi
"""


class Course:
    """A folder with the set-up tool, and a uv that installs nothing; its name has a space."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.accident = root.parent / "accident"
        self.uv = root.parent / "uv"
        self.uv.write_text(UV.format(python=sys.executable, accident=self.accident))
        self.uv.chmod(0o755)
        (root / "tools").mkdir(parents=True)
        shutil.copy2(ROOT / "tools" / "setup_environment.py", root / "tools")
        shutil.copy2(ROOT / "Makefile", root)
        for name in ("requirements.txt", "pyproject.toml"):
            (root / name).touch()

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def make_setup(self) -> subprocess.CompletedProcess[str]:
        command = ["make", "setup", f"UV={self.uv}", f"PYTHON={sys.executable}"]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)

    def change_lock(self) -> None:
        # Not touch(): file times move in steps, and within one the lock would seem as old as the environment.
        later = (self.root / "requirements.txt").stat().st_mtime + 10
        os.utime(self.root / "requirements.txt", (later, later))

    def move(self, name: str) -> None:
        self.root = self.root.rename(self.root.with_name(name))


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path / "my course")


def test_a_finished_set_up_is_not_done_again(course):
    assert course.make_setup().returncode == 0
    assert "Nothing to be done" in course.make_setup().stdout


def test_a_changed_lock_is_installed_into_the_environment_that_is_there(course):
    course.make_setup()
    (course.venv / "installed by hand").touch()
    course.change_lock()
    assert "Setting up" in course.make_setup().stdout
    assert (course.venv / "installed by hand").exists()


@pytest.mark.parametrize(
    ("accident", "said"),
    [("exit 1", "Set-up stopped"), ("kill -INT $PPID; sleep 1", "Set-up was interrupted")],
)
def test_an_environment_that_was_not_finished_is_made_anew(course, accident, said):
    course.accident.write_text(accident)
    failed = course.make_setup()
    assert failed.returncode != 0
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    (course.venv / "half").touch()
    course.accident.unlink()
    again = course.make_setup()
    assert "is made anew: its set-up was not finished" in again.stdout
    assert not (course.venv / "half").exists()
    assert "Nothing to be done" in course.make_setup().stdout


def test_an_update_that_was_not_finished_counts_as_unfinished_too(course):
    course.make_setup()
    course.change_lock()
    course.accident.write_text("exit 1")
    assert course.make_setup().returncode != 0
    course.accident.unlink()
    assert "its set-up was not finished" in course.make_setup().stdout


def test_an_environment_that_was_moved_is_made_anew(course):
    course.make_setup()
    course.move("renamed course")
    moved = course.make_setup()
    assert "is made anew: it was made for Python" in moved.stdout
    assert moved.returncode == 0
    assert "Nothing to be done" in course.make_setup().stdout


def test_an_environment_whose_python_is_gone_is_made_anew(course):
    course.make_setup()
    (course.venv / "bin" / "python").unlink()
    (course.venv / "bin" / "python").symlink_to(course.root / "no such python")
    assert "is made anew" in course.make_setup().stdout
    assert "Nothing to be done" in course.make_setup().stdout


def test_what_uv_installs_is_compiled_at_once_as_pip_does_it(course, tmp_path):
    course.accident.write_text(f'echo "$@" >> "{tmp_path}/installed"')
    assert course.make_setup().returncode == 0
    for command in (tmp_path / "installed").read_text().splitlines():
        assert command.startswith("pip install --compile-bytecode ")


def test_a_uv_that_is_not_there_is_named_and_pip_offered(course):
    course.uv.unlink()
    failed = course.make_setup()
    assert str(course.uv) in failed.stderr
    assert "make UV= book" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("given", "handed_over"),
    [
        ("my data/x", "{root}/my data/x"),
        ("/my data", "/my data"),
        ("~/my data", "~/my data"),
        ("data", "{root}/data"),
    ],
)
@pytest.mark.parametrize("by", ["environment", "command line"])
def test_the_recipes_get_gm_data_whole_and_absolute(course, given, handed_over, by):
    (course.root / "show.mk").write_text('show:\n\t@printf %s "$$GM_DATA"\n')
    on_the_line = [f"GM_DATA={given}"] if by == "command line" else []
    environment = {name: value for name, value in os.environ.items() if name != "GM_DATA"}
    shown = subprocess.run(
        ["make", "-s", "-f", "Makefile", "-f", "show.mk", "show", *on_the_line],
        cwd=course.root,
        env=environment if on_the_line else {**environment, "GM_DATA": given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == handed_over.format(root=course.root.resolve())
