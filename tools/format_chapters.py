"""Format and mend the code cells of the chapters with ruff, as it does for Python files.

ruff reads no MyST; it is given each chapter's cells as a notebook, under the rules of notebooks/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from chapters import ROOT, ChapterError, chapter_paths, parse


def formatted(text: str, path: Path) -> str:
    """Return a chapter's text with its code cells formatted; markers and all else stay.

    Raises ``ChapterError`` when the text is no chapter or ruff cannot read a cell.
    """
    cells = [cell for cell in parse(text, path).cells if cell.kind == "code"]
    lines = text.split("\n")
    for cell, new in reversed(list(zip(cells, _ruff([c.source for c in cells], path), strict=True))):
        old = cell.source.split("\n")
        start = cell.line - 1
        if lines[start : start + len(old)] != old:
            raise ChapterError(f"{path.name}:{cell.line}: this cell is not written as it is read.")
        lines[start : start + len(old)] = new.split("\n")
    return "\n".join(lines)


def _ruff(sources: list[str], path: Path) -> list[str]:
    cells: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"c{i}",
            "metadata": {},
            "outputs": [],
            "source": s,
        }
        for i, s in enumerate(sources)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    text = json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})
    for command in (["check", "--fix", "--exit-zero", "--quiet"], ["format", "--quiet"]):
        name = f"notebooks/{path.stem}.ipynb"
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"]
        done = subprocess.run(ruff, input=text, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ChapterError(f"{path.name}: {done.stderr.strip()}")
        text = done.stdout
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"]]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    try:
        for path in chapter_paths(root):
            text = path.read_text("utf-8")
            if (new := formatted(text, path)) != text:
                path.write_text(new, encoding="utf-8", newline="\n")
                print(f"formatted {path.relative_to(root)}")
    except ChapterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
