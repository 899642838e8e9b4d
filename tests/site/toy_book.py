"""A book of two chapters, one of them a page under another, small enough to be executed and built in seconds.

It has a library of its own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

CHAPTER = """\
---
jupytext: {{text_representation: {{extension: .md, format_name: myst}}}}
kernelspec: {{display_name: Python 3, language: python, name: python3}}
---
# {title}

> **From earlier chapters**
>
> An answer was given.

```{{code-cell}} ipython3
:tags: [imports]
import gm_lib
from gm_lib.data import images
from gm_lib.exercises import check
```

```{{code-cell}} ipython3
:tags: [hide-input]
images()
print("The library says", gm_lib.answer)
{own}
```

```{{code-cell}} ipython3
:tags: [proof]
assert gm_lib.answer == 1
assert gm_lib.answer > 0
```

> **Exercise 8.1** · ●○○ · 5 min. Return the *answer*.

```{{code-cell}} ipython3
:tags: [exercise]
def answer():
    ### BEGIN SOLUTION
    return gm_lib.answer + 41
    ### END SOLUTION
```

```{{code-cell}} ipython3
check("8.1", answer)
# hint("8.1")
```
"""

# The parts of gm_lib that building a book asks for, without PyTorch: a kernel then starts in a second.
LIBRARY = {
    "__init__.py": '__version__ = "1.2.3"\nanswer = 1\n',
    "runtime.py": """\
import os

def profile():
    return os.environ.get("GM_PROFILE") or "quick"

def device():
    return "cpu"
""",
    "data/__init__.py": 'def images(name="mnist"):\n    print("gm_lib.data: a toy set, of nothing")\n',
    "data/sources.py": """\
import os
from pathlib import Path

def data_folder():
    return Path(os.environ["GM_DATA"]) if os.environ.get("GM_DATA") else None

def cache_folder():
    return Path(__file__).parent / "no-such-folder"
""",
    "exercises/__init__.py": "from gm_lib.exercises.core import check\n",
    "exercises/core.py": """\
import importlib
from types import SimpleNamespace

def find(id):
    chapter = int(id.split(".")[0])
    module = importlib.import_module(f"gm_lib.exercises.chapter_{chapter:02d}")
    return SimpleNamespace(hints=module.hints)

def check(id, answer):
    find(id)
    print(f"✓ {id}: {answer()}")
""",
    "exercises/chapter_08.py": 'hints = ("Look at `gm_lib`.", "It is $42$.")\n',
    "exercises/chapter_09.py": 'hints = ("There is `gm_lib` again.",)\n',
    # What only the first chapter reaches, and what only the second does.
    "shapes/__init__.py": "from .square import area\n",
    "shapes/square.py": "from gm_lib import units\n\ndef area():\n    return 9 * units.one\n",
    "units.py": "one = 1\n",
    "judge.py": """\
from pathlib import Path

def verdict():
    return (Path(__file__).parent / "weights" / "judge.txt").read_text()
""",
    "weights/judge.txt": "good\n",
    "unused.py": "x = 1\n",
}
ONE = "from gm_lib.shapes import area\nprint('The area is', area())"
TWO = "from gm_lib import judge\nprint(judge.verdict(), open('../../results/toy.json').read())"

PAGES = {
    "_toc.yml": """\
format: jb-book
root: book/intro
chapters:
  - file: book/chapters/08_one
  - file: book/nine
    sections:
      - file: book/chapters/09a_two
  - file: book/status
""",
    "book/intro.md": """\
# A toy

| | chapter |
|---|---|
| | [09 Nine](nine.md) |
| I | 10 Three *(coming)* |
""",
    "book/nine.md": """\
# 9 · Nine

| page |
|---|
| [09a Two](chapters/09a_two.md) |
| 09b Four *(coming)* |
""",
    "book/status.md": "# Status\n\n```{chapter-status}\n```\n",
    "book/references.bib": "",
    "book/chapters/08_one.md": CHAPTER.format(title="8 · One", own=ONE),
    "book/chapters/09a_two.md": CHAPTER.format(title="9a · Two", own=TWO).replace("8.1", "9.1"),
    "requirements.txt": "something==1.0\n",
    "results/toy.json": "{}\n",
}


def cell(code: str, option: str = "") -> str:
    """Return a code cell for a chapter."""
    return f"\n```{{code-cell}} ipython3\n{option}{code}\n```\n"


class ToyBook:
    """The toy under ``root``, with the real configuration, extension and style."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def fill(self) -> None:
        """Write the toy's files."""
        for name, text in (PAGES | {f"gm_lib/{name}": text for name, text in LIBRARY.items()}).items():
            self.write(name, text)
        config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
        config["sphinx"]["local_extensions"]["gm_book"] = str(ROOT / "book" / "_ext")
        self.write("_config.yml", yaml.safe_dump(config))
        (self.root / "book" / "_static").symlink_to(ROOT / "book" / "_static")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text("utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def execute(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run ``tools/execute.py`` as ``make book`` does."""
        return self._run(sys.executable, str(ROOT / "tools" / "execute.py"), *options)

    def executed(self) -> set[str]:
        """Return the chapters that a run executed, not those that it found up to date."""
        result = self.execute()
        assert result.returncode == 0, result.stderr
        return set(re.findall(r"(\w+): executed in", result.stdout))

    def build(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Build the pages, a warning being an error; ``--all``, as in ``make book``, reads all pages anew."""
        return self._run(
            str(Path(sys.executable).with_name("jupyter-book")),
            *("build", "-W", "-n", "--keep-going", *options, "."),
        )

    def made(self) -> None:
        """Execute and build all of it, as it is without data sets."""
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("GM_DATA", raising=False)
            self.executed()
            result = self.build("--all")
        assert result.returncode == 0, result.stdout + result.stderr

    def page(self, name: str) -> str:
        return (self.root / "_build" / "html" / "book" / f"{name}.html").read_text("utf-8")

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        # The toy's own gm_lib is found before the installed one.
        settings = {**os.environ, "PYTHONPATH": str(self.root)}
        return subprocess.run(
            command, cwd=self.root, env=settings, capture_output=True, text=True, timeout=120, check=False
        )
