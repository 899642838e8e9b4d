"""Make an environment with the locked packages and gm_lib in it; `make` calls this when it needs one.

An environment counts only if it was finished, and for the folder and the Python where it is now: its scripts
name both. Otherwise it is made anew. uv does the work where it is installed (`make UV=` keeps to pip).
"""

from __future__ import annotations  # a Python too old to run the course must be able to say so

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)
ROOT = Path(__file__).resolve().parents[1]
STAMP = ".ready"  # written last
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the environment, for example .venv")
    parser.add_argument("lock", nargs="?", default="requirements.txt", help="the file with what is installed")
    parser.add_argument("--uv", default="", help="path of uv; without it pip is used, which takes longer")
    parser.add_argument("--besides", nargs="*", default=[], help="what is installed without its requirements")
    parser.add_argument(
        "--check", action="store_true", help="only tell whether this Python's FOLDER is ready"
    )
    arguments = parser.parse_args()
    if arguments.check:
        return 0 if made_for(arguments.folder) == here() else 1
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        print(
            f"Python 3.11, 3.12, 3.13 or 3.14 is needed, {sys.executable} is {VERSION}. "
            "Choose another: make book PYTHON=python3.12",
            file=sys.stderr,
        )
        return 1
    try:
        set_up(arguments.folder, arguments.lock, arguments.besides, arguments.uv)
    except KeyboardInterrupt:
        print(f"\nSet-up was interrupted: the next make begins {arguments.folder} anew.", file=sys.stderr)
        return 130
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"\nSet-up stopped; what stopped it stands above.\n{error}", file=sys.stderr)
        if arguments.uv:
            print("If pip reaches a package index here and uv does not: make UV= book", file=sys.stderr)
        return 1
    return 0


def here() -> str:
    """Return what the stamp of an environment that works here says."""
    return f"Python {VERSION} in {ROOT}"


def made_for(folder: Path) -> str | None:
    """Return what the stamp of an environment says; None if it has none, because it was never finished."""
    stamp = folder / STAMP
    return stamp.read_text("utf-8") if stamp.is_file() else None


def set_up(folder: Path, lock: str, besides: list[str], uv: str) -> None:
    """Bring ``folder`` up to what ``lock`` says; make it anew if it is not whole or was made elsewhere."""
    python = folder / "bin" / "python"
    if folder.exists() and not _is_ready(folder):
        found = made_for(folder)
        why = f"it was made for {found}" if found else "its set-up was not finished"
        print(f"{folder} is made anew: {why}.", flush=True)
        shutil.rmtree(folder)
    print(f"Setting up {folder}; with uv this takes a minute, with pip some minutes.", flush=True)
    (folder / STAMP).unlink(missing_ok=True)  # until all is done it counts as unfinished
    fresh = not folder.exists()
    if uv:
        # Compiled once, as pip does it: where none may keep what it compiled, each process would do it anew.
        install = [uv, "pip", "install", "--compile-bytecode", "--python", str(python)]
        make = [uv, "venv", "--quiet", "--seed", "--python", sys.executable, str(folder)]
    else:
        install = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
        make = [sys.executable, "-m", "venv", str(folder)]
    if not sys.stdout.isatty():
        install.append("--quiet")
    if fresh:
        _run(make)
    _run([*install, "-r", lock])
    _run([*install, "--no-deps", *besides, "-e", "."])
    (folder / STAMP).write_text(here(), "utf-8")


def _is_ready(folder: Path) -> bool:
    """Ask the Python in ``folder`` whether it is the one for which all was installed there."""
    command = [str(folder / "bin" / "python"), __file__, str(folder), "--check"]
    try:
        return subprocess.run(command, check=False).returncode == 0
    except OSError:  # there is none, or it is a link to one that is gone
        return False


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
