"""Set the repository's name on GitHub everywhere it is needed: ``python tools/set_slug.py you/your-repo``.

The name stands in ``_config.yml``; links, badges and the notebooks follow it. Nothing is written when the
name is malformed or a chapter is broken.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from chapters import ROOT
from make_notebooks import derive, write
from repository import repository

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}(?<!\.git)")
ADDRESS = r"(github\.com[/:]|githubusercontent\.com/|colab\.research\.google\.com/github/)"

# Made from the rest, or not of this repository. Hidden folders are left out too, save these.
NOT_OURS = {"_build", "notebooks", "node_modules", "__pycache__"}
HIDDEN_BUT_OURS = {".github", ".ci"}


def valid_slug(text: str) -> str:
    """Return ``text`` when it reads "owner/name" as GitHub allows it, else raise ``ValueError``."""
    if not SLUG.fullmatch(text):
        given = re.search(r"github\.com[/:]([^/\s]+/[^/\s]+?)(\.git)?/?$", text)
        meant = f" Did you mean {given[1]}?" if given and SLUG.fullmatch(given[1]) else ""
        raise ValueError(f"{text!r} is no name of a repository: give owner/name, as in you/your-repo.{meant}")
    return text


def set_slug(new: str, root: Path = ROOT) -> list[str]:
    """Replace the present slug by ``new`` in every text file under ``root``; return what was changed.

    Only behind GitHub's or Colab's address, lest a slug such as "book/chapters" be taken for a path.

    Raises ``ValueError`` for a malformed slug, ``ChapterError`` when the notebooks cannot be made anew.
    """
    old = repository(root).slug
    valid_slug(new)
    derive(root)  # a broken chapter is found before anything is changed
    # Not a part of a longer name, "name-2" or "name.org"; a full stop, or ".git", may follow.
    pattern = re.compile(rf"{ADDRESS}{re.escape(old)}(?![\w-]|\.(?!git\b)\w)")
    changed = []
    for path in _text_files(root):
        text = path.read_bytes().decode("utf-8")
        if (replaced := pattern.sub(lambda match: match[1] + new, text)) != text:
            path.write_bytes(replaced.encode("utf-8"))
            changed.append(path.relative_to(root).as_posix())
    return [*(f"wrote {name}" for name in changed), *write(root)]


def _text_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name not in HIDDEN_BUT_OURS
            if not hidden and path.name not in NOT_OURS and path.suffix != ".egg-info":
                yield from _text_files(path)
        elif _is_text(path):
            yield path


def _is_text(path: Path) -> bool:
    try:
        return "\0" not in path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return False


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slug", metavar="OWNER/NAME", help="the repository's name on GitHub")
    try:
        changed = set_slug(parser.parse_args(arguments).slug, root)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(changed) or "It is set already.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
