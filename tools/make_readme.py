"""Bring the list of chapters in README.md up to date: each one's link to Colab, and how many are here.

Which chapters there are is told by the table of the whole arc in book/intro.md. The row of a chapter of
several pages leads to a page above them, whose own table names them. The exercises are counted in the pages.
The rest of README.md is written by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from chapters import ROOT, TASK
from gm_lib.system.files import replace_file
from repository import repository

README, ARC = "README.md", "book/intro.md"
BEGIN = "<!-- Made by tools/make_readme.py. Do not edit: edit book/intro.md. -->"
END = "<!-- Until here. -->"
HERE = re.compile(r"\| \[(\d\d[a-z]? [^\]]+)\]\(([\w/]+)\.md\) \|")
COMING = re.compile(r"\| \d\d[a-z]? [^|]+ \*\(coming\)\* \|")


def readme(root: Path = ROOT) -> str:
    """Return README.md with the list of chapters as it should be.

    Raises ``ValueError`` where README.md lacks the two lines that the list stands between.
    """
    text = (root / README).read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{README}: the list of chapters must stand between the lines {BEGIN} and {END}")
    return f"{before}{begin}\n{_chapters(root)}\n{end}{after}"


def _chapters(root: Path) -> str:
    where, book = repository(root), (root / ARC).parent
    arc = (root / ARC).read_text("utf-8")
    linked = HERE.findall(arc)
    pages, whole, parts = [], 0, []
    for title, target in linked:
        own, coming = [(title, target)], 0
        if not target.startswith("chapters/"):
            table = (book / f"{target}.md").read_text("utf-8")
            own, coming = HERE.findall(table), len(COMING.findall(table))
        pages += own
        if own and coming:
            parts.append(f"{len(own)} of the {len(own) + coming} pages of chapter {int(title[:2])}")
        whole += bool(own) and not coming
    exercises = sum(len(TASK.findall((book / f"{page}.md").read_text("utf-8"))) for _, page in pages)
    rows = (f"| {title} | [open in Colab]({where.colab(Path(page).name)}) |" for title, page in pages)
    all_ = len(linked) + len(COMING.findall(arc))
    here = " and ".join([f"{whole} of the course's {all_} chapters", *parts])
    counts = (
        f"{here} are here, with {exercises} exercises. "
        f"[The whole arc]({ARC}) names them all and the question each answers."
    )
    return "\n".join(["| chapter | notebook |", "|---|---|", *rows, "", counts])


def drift(root: Path = ROOT) -> bool:
    """Return whether README.md is not what the chapters give."""
    return (root / README).read_text("utf-8") != readme(root)


def write(root: Path = ROOT) -> bool:
    """Bring README.md up to date; return whether it was written."""
    if changed := drift(root):
        replace_file(root / README, readme(root).encode())
    return changed


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status: 0 done or up to date, 1 drift or lines that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help=f"write nothing; fail if {README} is not what the chapters give"
    )
    check = parser.parse_args(arguments).check
    try:
        changed = drift(root) if check else write(root)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if check and changed:
        print(f"{README} is not what the chapters give: run python tools/make_readme.py", file=sys.stderr)
        return 1
    print(f"wrote {README}" if changed else f"{README} is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
