"""Run a notebook's install cell in a process of its own, with a stand-in for pip and without PyTorch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat

# Notes what pip is asked for. What `git+https` would bring from a branch or tag is copied from a folder; if
# there is none, nothing comes, as without a network.
RUN = """
import json, pathlib, re, shutil, sys
from IPython.core.interactiveshell import InteractiveShell
cell, site, sources = sys.argv[1:]
def pip(line):
    print("PIP", line)
    source = json.loads(sources).get(re.search(r"git[+]https://github.com/[^@]+@([^ \\"]+)", line)[1])
    if source:
        shutil.copytree(source, site, dirs_exist_ok=True)
shell = InteractiveShell.instance()
shell.register_magic_function(pip, "line")
done = shell.run_cell(pathlib.Path(cell).read_text("utf-8"))
print("RESULT", type(done.error_in_exec).__name__, done.error_in_exec)
"""

RUNTIME = "device = lambda: 'cpu'\nprofile = lambda: 'quick'\n"  # of gm_lib, without PyTorch


def install_cell(notebook: str) -> str:
    """Return the code of the install cell of a notebook, which is given as JSON."""
    cells = nbformat.reads(notebook, as_version=4).cells
    return next(cell.source for cell in cells if "install" in cell.metadata.get("tags", []))


def library(folder: Path, version: str) -> Path:
    """Make ``folder`` one that holds a gm_lib of this version, in which only what the cell uses is there."""
    package = folder / "gm_lib"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(f'__version__ = "{version}"')
    (package / "runtime.py").write_text(RUNTIME)
    return folder


def run_install_cell(cell: str, site: Path, sources: dict[str, Path]) -> str:
    """Run the cell where ``site`` is first on Python's path; return what it printed, and its error as RESULT.

    ``sources`` are the folders in which what a branch or tag brings is found. Where ``site`` holds no gm_lib,
    there is none.
    """
    for name in ("torch", "torchvision", "numpy"):  # installed, without the seconds that importing them takes
        (site / f"{name}-9.8.dist-info").mkdir(parents=True)
        (site / f"{name}-9.8.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 9.8+local\n")
        (site / f"{name}.py").touch()
    if not (site / "gm_lib").exists():  # the one of the tests themselves is not to be found
        (site / "gm_lib").mkdir()
        (site / "gm_lib" / "__init__.py").write_text("raise ImportError('missing')")
    path = site / "cell.py"
    path.write_text(cell, encoding="utf-8")
    env = os.environ | {
        "PYTHONPATH": str(site),
        "IPYTHONDIR": str(site / "ipython"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    env.pop("VIRTUAL_ENV", None)  # IPython would put what is installed there before ``site``
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(site), json.dumps(sources, default=str)],
        cwd=site,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
