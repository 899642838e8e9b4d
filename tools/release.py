"""Make a release: ``python tools/release.py 0.2.0``.

Two commits and a tag. The first commit is the release: version, CHANGELOG.md, CITATION.cff, notebooks,
README.md; the tag v0.2.0 is on it. The second opens the way to the next one, 0.2.1.dev0. Both are made in a
folder of their own, and the branch moves to them at the very end: what fails or is stopped before that has
changed nothing here. Nothing is pushed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.version import Version

import make_notebooks
import make_readme
from chapters import ROOT
from repository import VERSION_LINE, Repository, repository

FINAL = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
OPEN = "## Unreleased\n"
UNRELEASED = re.compile(rf"^{OPEN}(.*?)(?=^## |\Z)", re.M | re.S)


class ReleaseError(Exception):
    """There is no release to be made; the message says why and what to do. Nothing has changed."""


def release(version: str, date: str, root: Path = ROOT) -> str:
    """Commit and tag ``version`` as of ``date`` ("2026-11-28"), commit the way to the next; return that one.

    Raises ``ReleaseError``, ``ValueError`` for a broken chapter, and ``OSError``.
    """
    where = repository(root)
    tag = _refuse(version, where, root)
    major, minor, micro = Version(version).release
    following = f"{major}.{minor}.{micro + 1}.dev0"
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        try:
            _git(root, "worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
            _close_changes(tree, version, date)
            _cite(tree, version, date)
            released = _commit(tree, version, f"Release {version}")
            _open_changes(tree)
            opened = _commit(tree, following, f"On the way to the next release: {following}")
        finally:
            with contextlib.suppress(ReleaseError):  # it was never made, and that is told already
                _git(root, "worktree", "remove", "--force", str(tree))
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        _git(root, "tag", "--annotate", "--message", f"Release {version}", tag, released)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes too late now, for git too
        _git(root, "merge", "--quiet", "--ff-only", opened, start_new_session=True)
    except BaseException:
        with contextlib.suppress(ReleaseError):  # there may be no tag yet
            _git(root, "tag", "--delete", tag)
        _git(root, "read-tree", "-m", "-u", opened, "HEAD")  # the files may be those of the release already
        raise
    finally:
        signal.signal(signal.SIGINT, interrupt)
    return following


def _refuse(version: str, where: Repository, root: Path) -> str:
    """Return the tag that the release will have; raise ``ReleaseError`` when it is not to be made."""
    if not FINAL.fullmatch(version):
        raise ReleaseError(f"{version!r} is no version to release: give three numbers, as in 0.2.0.")
    if Version(version) <= Version(where.version):
        raise ReleaseError(f"{version} is not newer than {where.version}, the version here.")
    if where.slug.startswith("OWNER/"):
        raise ReleaseError(
            f"nobody could install from {where.slug}: say where the course lives, "
            "python tools/set_slug.py you/your-repo, and commit that."
        )
    if changed := _git(root, "status", "--porcelain"):
        raise ReleaseError(f"a release is made of what is committed. Commit or put away first:\n{changed}")
    if (branch := _git(root, "branch", "--show-current")) != where.branch:
        raise ReleaseError(
            f"the branch here is {branch or 'none'}, but between releases the notebooks install from "
            f"{where.branch} (repository.branch in _config.yml): git switch {where.branch}."
        )
    tag = Repository(where.slug, where.branch, version).ref
    if _git(root, "tag", "--list", tag):
        raise ReleaseError(
            f"there is a tag {tag}, and a release is never made twice: choose the next version."
        )
    changes = UNRELEASED.search((root / "CHANGELOG.md").read_text("utf-8"))
    if changes is None or not changes[1].strip():
        raise ReleaseError(
            f"CHANGELOG.md has nothing under the heading `{OPEN.strip()}`: write what changed."
        )
    return tag


def _close_changes(tree: Path, version: str, date: str) -> None:
    path = tree / "CHANGELOG.md"
    _write(path, UNRELEASED.sub(rf"## {version} - {date}\n\1", path.read_text("utf-8"), count=1))


def _open_changes(tree: Path) -> None:
    path = tree / "CHANGELOG.md"
    _write(path, re.sub(r"^## ", f"{OPEN}\n## ", path.read_text("utf-8"), count=1, flags=re.M))


def _cite(tree: Path, version: str, date: str) -> None:
    """Name this release in CITATION.cff, where it stays until the next: a state between two is not cited."""
    path = tree / "CITATION.cff"
    text = re.sub(r"^(version|date-released):.*\n", "", path.read_text("utf-8"), flags=re.M)
    _write(path, f"{text}version: {version}\ndate-released: {date}\n")


def _commit(tree: Path, version: str, message: str) -> str:
    """Set the version, make anew what follows from it, and commit all; return the commit."""
    path = tree / "gm_lib" / "__init__.py"
    _write(path, VERSION_LINE.sub(f'__version__ = "{version}"', path.read_text("utf-8")))
    make_notebooks.write(tree)
    make_readme.write(tree)
    # The hooks look for .venv, which this folder has not; what they would make anew was just made.
    _git(tree, "add", "--all")
    _git(tree, "commit", "--quiet", "--no-verify", "--message", message)
    return _git(tree, "rev-parse", "HEAD")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _git(folder: Path, *arguments: str, start_new_session: bool = False) -> str:
    """Run git; return what it prints. Raises ``ReleaseError`` with its own words."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=start_new_session,
    )
    if done.returncode:
        raise ReleaseError(f"git {' '.join(arguments)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.rstrip()


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status: 0 released, 1 nothing has changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", help="three numbers, newer than gm_lib.__version__")
    version = parser.parse_args(arguments).version
    try:
        following = release(version, datetime.date.today().isoformat(), root)
    except (ReleaseError, ValueError, OSError) as error:
        print(f"No release: {error}", file=sys.stderr)
        return 1
    branch = repository(root).branch
    print(
        f"Tagged v{version}; {branch} is at {following} now. Nothing is pushed yet. To publish:\n"
        f"  git push --atomic origin {branch} v{version}\n"
        "To take it back instead:\n"
        f"  git tag --delete v{version} && git reset --keep HEAD~2"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
