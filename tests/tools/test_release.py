"""Claims about making a release, and about what becomes of notebooks when the course moves on."""

import datetime
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from install_cell import RUNTIME, install_cell, library, run_install_cell

import make_notebooks
import make_readme
from chapters import ROOT
from release import main


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.rstrip()


def begin_history(folder: Path) -> None:
    """Commit what is in the folder as the first commit of its own repository, on the branch main."""
    make_notebooks.write(folder)
    make_readme.write(folder)
    (folder / ".gitignore").write_text("__pycache__/\n")  # a release in its own process imports from here
    git(folder, "init", "--quiet", "--initial-branch", "main")
    settings = {"user.name": "A", "user.email": "a@b.c", "commit.gpgsign": "false", "tag.gpgsign": "false"}
    for name, value in settings.items():
        git(folder, "config", name, value)
    commit(folder)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A change")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def state(folder: Path) -> dict[str, str]:
    """Return all that a release changes: commits, branches, tags, files, working trees."""
    asked = ("for-each-ref", "rev-parse HEAD", "status --porcelain", "worktree list", "diff HEAD")
    return {words: git(folder, *words.split()) for words in asked}


@pytest.fixture
def course(course):
    begin_history(course)
    return course


# What a release is ------------------------------------------------------------------------------------


def test_a_release_is_a_tagged_commit_and_the_branch_goes_on_to_the_next_version(course, capsys):
    start = git(course, "rev-parse", "HEAD")
    assert main(["1.3.0"], course) == 0
    assert git(course, "cat-file", "-t", "v1.3.0") == "tag"
    assert git(course, "rev-parse", "v1.3.0^{commit}") == git(course, "rev-parse", "HEAD~1")
    assert git(course, "rev-parse", "HEAD~2") == start
    assert git(course, "branch", "--show-current") == "main"
    assert git(course, "show", "v1.3.0:gm_lib/__init__.py") == '__version__ = "1.3.0"'
    assert (course / "gm_lib/__init__.py").read_text() == '__version__ = "1.3.1.dev0"\n'
    assert git(course, "status", "--porcelain") == ""
    assert len(git(course, "worktree", "list").splitlines()) == 1
    assert "git push --atomic origin main v1.3.0\n" in capsys.readouterr().out


def test_the_command_that_takes_a_release_back_does_so(course, capsys):
    before = state(course)
    assert main(["1.3.0"], course) == 0
    back = next(line for line in capsys.readouterr().out.splitlines() if "--delete" in line)
    subprocess.run(back, shell=True, cwd=course, check=True, capture_output=True)
    assert state(course) == before


def test_what_was_unreleased_in_the_changelog_gets_number_and_date_and_a_new_heading_opens(course):
    before = (course / "CHANGELOG.md").read_text()
    assert main(["1.3.0"], course) == 0
    dated = f"## 1.3.0 - {datetime.date.today().isoformat()}\n"
    assert git(course, "show", "v1.3.0:CHANGELOG.md") + "\n" == before.replace("## Unreleased\n", dated)
    assert (course / "CHANGELOG.md").read_text() == before.replace("Unreleased\n", f"Unreleased\n\n{dated}")


def test_the_citation_names_the_last_release_until_the_next(course):
    assert main(["1.3.0"], course) == 0
    today = datetime.date.today().isoformat()
    cited = f"cff-version: 1.2.0\ntitle: Toy\nlicense: MIT\nversion: 1.3.0\ndate-released: {today}\n"
    assert git(course, "show", "v1.3.0:CITATION.cff") + "\n" == cited
    assert (course / "CITATION.cff").read_text() == cited


def test_notebooks_and_readme_point_to_the_tag_in_a_release_and_to_the_branch_after_it(course):
    assert main(["1.3.0"], course) == 0
    for ref, other in (("main", "v1.3.0"), ("v1.3.0", "main")):
        git(course, "checkout", "--quiet", ref)
        assert make_notebooks.drift(course) == []
        assert not make_readme.drift(course)
        for name in ("README.md", "notebooks/07_toy.ipynb"):
            text = (course / name).read_text("utf-8")
            assert f"/blob/{ref}/notebooks/07_toy.ipynb" in text
            assert f"/blob/{other}/" not in text


# What is no release -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version",
    ["", "1.3", "1.3.0.0", "1.3.0rc1", "1.3.0.dev0", "1.3.0.post1", "1.3.0+x", "v1.3.0", "1.03.0", "1.3.0\n"],
)
def test_a_version_that_is_not_three_numbers_is_refused(version, course, capsys):
    before = state(course)
    assert main(["--", version], course) == 1
    assert "three numbers, as in 0.2.0" in capsys.readouterr().err
    assert state(course) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda root: edit(root / "gm_lib/__init__.py", "1.2.3.dev0", "1.3.0"), "not newer than 1.3.0"),
        (
            lambda root: edit(root / "gm_lib/__init__.py", "1.2.3.dev0", "1.10.0.dev0"),
            "not newer than 1.10.0",
        ),
        (lambda root: edit(root / "_config.yml", "someone/", "OWNER/"), "tools/set_slug.py you/your-repo"),
        (lambda root: git(root, "tag", "v1.3.0"), "there is a tag v1.3.0"),
        (lambda root: git(root, "switch", "--quiet", "-c", "mine"), "the branch here is mine"),
        (lambda root: git(root, "checkout", "--quiet", "--detach"), "the branch here is none"),
        (lambda root: edit(root / "CHANGELOG.md", "### Added\n\n- A toy, ## and all.\n", ""), "has nothing"),
        (lambda root: edit(root / "CHANGELOG.md", "## Unreleased\n", ""), "has nothing"),
        (lambda root: edit(root / "book/chapters/07_toy.md", "### END SOLUTION", ""), "07_toy.md:"),
        (lambda root: edit(root / "README.md", make_readme.END, ""), "must stand between"),
    ],
    ids=["same", "older", "owner", "tag", "branch", "detached", "empty", "unwritten", "chapter", "readme"],
)
def test_where_a_release_would_be_wrong_it_is_refused_and_nothing_changes(change, reason, course, capsys):
    change(course)
    if git(course, "status", "--porcelain"):
        commit(course)
    before = state(course)
    assert main(["1.3.0"], course) == 1
    assert reason in capsys.readouterr().err
    assert state(course) == before


@pytest.mark.parametrize("name", ["README.md", "notes.txt"], ids=["changed", "new"])
def test_what_is_not_committed_is_named_and_stays_as_it_is(name, course, capsys):
    (course / name).write_text("mine")
    before = state(course)
    assert main(["1.3.0"], course) == 1
    assert name in capsys.readouterr().err
    assert state(course) == before
    assert (course / name).read_text() == "mine"


def test_help_tells_what_the_command_does(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "Nothing is pushed" in capsys.readouterr().out.replace("\n", " ")


# Half a release -----------------------------------------------------------------------------------------


def hook(course: Path, ref: str, then: str) -> None:
    """Let git run the shell's command ``then`` when it is about to change a branch or tag."""
    path = course / ".git" / "hooks" / "reference-transaction"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nif [ "$1" = prepared ] && grep -q " {ref}$"; then {then}; fi\n')
    path.chmod(0o755)


def test_when_git_cannot_commit_nothing_has_changed(course, capsys):
    path = course / ".git" / "hooks" / "prepare-commit-msg"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\necho not today >&2; exit 1\n")
    path.chmod(0o755)
    before = state(course)
    assert main(["1.3.0"], course) == 1
    assert "not today" in capsys.readouterr().err
    assert state(course) == before


@pytest.mark.parametrize("ref", ["refs/tags/v1.3.0", "refs/heads/main"])
def test_when_git_fails_at_the_tag_or_at_the_branch_nothing_has_changed(ref, course, capsys):
    hook(course, ref, "echo not today >&2; exit 1")
    before = state(course)
    assert main(["1.3.0"], course) == 1
    assert "No release: git" in capsys.readouterr().err
    assert state(course) == before


@pytest.mark.parametrize("times", [1, 2])
def test_who_stops_it_while_it_prepares_has_changed_nothing(times, course, monkeypatch):
    calls = []

    def stop(root):
        calls.append(root)
        if len(calls) == times:
            raise KeyboardInterrupt

    before = state(course)
    monkeypatch.setattr(make_readme, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        main(["1.3.0"], course)
    assert len(calls) == times
    assert state(course) == before


# Runs the command in the folder it is started in, with Ctrl-C as it is in a terminal.
RELEASE = """
import os, pathlib, release, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
pathlib.Path(".git/pid").write_text(str(os.getpid()))
sys.exit(release.main(["1.3.0"], pathlib.Path.cwd()))
"""


def release_with_ctrl_c(course: Path, ref: str) -> int:
    """Make a release in its own process, with Ctrl-C when git would change ``ref``; return its status.

    What it prints to stderr goes on to ours, which a failing test shows.
    """
    hook(course, ref, f'kill -INT "-$(cat {course}/.git/pid)"')  # to all its processes, as the keys do
    done = subprocess.run(
        [sys.executable, "-c", RELEASE],
        cwd=course,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "tools"), str(ROOT)))},
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stderr, file=sys.stderr)
    return done.returncode


def test_with_ctrl_c_at_the_tag_nothing_has_changed(course):
    before = state(course)
    assert release_with_ctrl_c(course, "refs/tags/v1.3.0") == -signal.SIGINT
    assert state(course) == before


def test_ctrl_c_at_the_branch_comes_too_late(course):
    assert release_with_ctrl_c(course, "refs/heads/main") == 0
    assert git(course, "rev-parse", "v1.3.0^{commit}") == git(course, "rev-parse", "main~1")
    assert git(course, "status", "--porcelain") == ""


# What becomes of notebooks -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moved(copy):
    """This course with a history: ``first`` is at 7.0.0.dev0, then 7.0.0 and 8.0.0 were released."""
    (copy / "gm_lib/__init__.py").write_text('__version__ = "7.0.0.dev0"\n')
    config = (copy / "_config.yml").read_text("utf-8")
    (copy / "_config.yml").write_text(re.sub(r"github\.com/\S+", "github.com/someone/course", config))
    for version in ("7.0.0", "8.0.0"):
        (copy / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- Something.\n")
        if version == "7.0.0":
            begin_history(copy)
            git(copy, "tag", "first")
        else:
            commit(copy)
        assert main([version], copy) == 0
    return copy


def cell_of(moved: Path, ref: str) -> str:
    """Return the install cell of a notebook as it was at a tag."""
    return install_cell(git(moved, "show", f"{ref}:notebooks/00_tools.ipynb"))


def from_github(moved: Path, ref: str, folder: Path) -> Path:
    """Return the folder with what a branch or tag would bring, PyTorch not needed."""
    git(moved, "archive", "--output", f"{folder}.tar", ref, "gm_lib")
    shutil.unpack_archive(f"{folder}.tar", folder)
    (folder / "gm_lib" / "runtime.py").write_text(RUNTIME)
    return folder


@pytest.fixture
def run(moved, tmp_path):
    """Run an install cell today, ``here`` being the gm_lib of a branch or tag, or 6.0.0, older than all."""

    def run(cell: str, here: str = "") -> str:
        site = tmp_path / "site"
        if here:
            from_github(moved, here, site) if here != "6.0.0" else library(site, here)
        sources = {ref: from_github(moved, ref, tmp_path / ref) for ref in ("main", "v7.0.0", "v8.0.0")}
        return run_install_cell(cell, site, sources)

    return run


@pytest.mark.parametrize("here", ["", "main"], ids=["missing", "newer"])
def test_a_notebook_of_a_release_gets_that_release_though_the_course_has_moved_on(here, moved, run):
    out = run(cell_of(moved, "v7.0.0"), here)
    assert "github.com/someone/course@v7.0.0" in out
    assert "gm_lib 7.0.0, device: cpu" in out
    assert "RESULT NoneType" in out


def test_if_it_installed_the_branch_it_would_die_at_the_next_version(moved, run):
    out = run(cell_of(moved, "v7.0.0").replace("@v7.0.0", "@main"))
    assert "RESULT ImportError gm_lib 8.0.1.dev0 is here, this notebook was made for gm_lib==7.0.0" in out


@pytest.mark.parametrize("here", ["", "6.0.0"], ids=["missing", "older"])
def test_a_notebook_made_between_releases_installs_the_branch_and_accepts_what_is_there_now(here, moved, run):
    out = run(cell_of(moved, "first"), here)
    assert "github.com/someone/course@main" in out
    assert "gm_lib 8.0.1.dev0, device: cpu" in out
    assert "RESULT NoneType" in out


def test_a_notebook_made_between_releases_is_content_with_a_newer_gm_lib(moved, run):
    out = run(cell_of(moved, "first"), "v8.0.0")
    assert "PIP" not in out
    assert "gm_lib 8.0.0, device: cpu" in out
