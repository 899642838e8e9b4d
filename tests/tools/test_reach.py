"""Which files a chapter's code reaches: by the rules, in a small library, and compared with sys.modules."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import execution_cache
import reach

ROOT = Path(__file__).resolve().parents[2]

LIBRARY = {
    "__init__.py": "",
    "ground.py": "",
    "round/__init__.py": "from .circle import area\n__all__ = ['area', 'draw']\n",
    "round/circle.py": "from ..ground import pi\n",
    "round/sphere.py": "import gm_lib.ground as under\n",
    "lazy.py": "def draw():\n    from gm_lib import plots\n\ndef area():\n    return 1\n",
    "passing.py": "from gm_lib.lazy import draw\n__all__ = ['draw']\n",
    "decorated.py": "@register\ndef draw():\n    from gm_lib import plots\n",
    "attributes.py": "def __getattr__(name):\n    from gm_lib import plots\n",
    "plots.py": "",
    "table.py": "KINDS = {'round': 'gm_lib.round.sphere:Sphere'}\n",
    "named.py": "import importlib\ndef load(n):\n    importlib.import_module(f'gm_lib.{n}.circle')\n",
    "checks/__init__.py": "def check(id, answer):\n    __import__(f'gm_lib.checks.chapter_{id[0]}')\n",
    "checks/chapter_08.py": "from gm_lib import ground\n",
    "checks/chapter_09.py": "",
    "cards.py": "from importlib.resources import files\nWEIGHTS = files('gm_lib') / 'weights'\n",
    "mixture.py": "names = ['weights', 'means']\n",
    "weights/gan.bin": "",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> reach.Sources:
    root = tmp_path_factory.mktemp("library")
    records = {"results/one.json": "{}", "results/.one.partial.json": "{}"}
    for name, text in (records | {f"gm_lib/{name}": text for name, text in LIBRARY.items()}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return reach.Sources(root)


@pytest.mark.parametrize(
    ("cell", "reached"),
    [
        ("import torch", ""),
        ("import gm_lib", "__init__"),
        ("import gm_lib.ground", "__init__ ground"),
        ("from gm_lib import ground as g", "__init__ ground"),
        ("if False:\n    import gm_lib.ground", "__init__ ground"),
        ("%matplotlib inline\nimport gm_lib", "__init__"),
        ("def unfinished(:\n", ""),
        # A package runs its __init__, with what that imports, whichever of its modules is wanted.
        ("from gm_lib.round import area", "__init__ round/__init__ round/circle ground"),
        ("import gm_lib.round.sphere", "__init__ round/__init__ round/circle round/sphere ground"),
        ("from gm_lib.round import sphere", "__init__ round/__init__ round/circle round/sphere ground"),
        ("from gm_lib.round import *", "__init__ round/__init__ round/circle round/sphere ground"),
        # Imports inside functions
        ("from gm_lib.lazy import area\narea()", "__init__ lazy"),
        ("from gm_lib.lazy import draw\ndraw()", "__init__ lazy plots"),
        ("from gm_lib.lazy import draw as d\nd()", "__init__ lazy plots"),
        ("from gm_lib import lazy\nlazy.draw()", "__init__ lazy plots"),
        ("from gm_lib import lazy\ngetattr(lazy, 'draw')()", "__init__ lazy plots"),
        ("from gm_lib import passing", "__init__ passing lazy"),
        ("from gm_lib import passing\npassing.draw()", "__init__ passing lazy plots"),
        ("from gm_lib import decorated", "__init__ decorated plots"),
        ("from gm_lib import attributes", "__init__ attributes plots"),
        # Names in strings
        ("from gm_lib import table", "__init__ table round/__init__ round/circle round/sphere ground"),
        ("from gm_lib import named", "__init__ named round/__init__ round/circle ground"),
        ("print('gm_lib.ground: solid')", ""),
        ("from gm_lib.checks import check", "__init__ checks/__init__"),
        (
            "from gm_lib.checks import check\ncheck('8.1', 1)\nplot(color='9.5')",
            "__init__ checks/__init__ checks/chapter_08 ground",
        ),
        # Other files
        ("import gm_lib.cards", "__init__ cards weights/gan.bin"),
        ("import gm_lib.mixture", "__init__ mixture"),
        ("open('../../results/one.json')", "../results/one.json"),
    ],
)
def test_code_reaches_what_python_would_run_and_the_files_it_names(
    sources: reach.Sources, cell: str, reached: str
) -> None:
    library = sources.root / "gm_lib"
    expected = {library / (name if Path(name).suffix else f"{name}.py") for name in reached.split()}
    assert sources.reached_by([cell]) == {path.resolve() for path in expected}


# What is printed afterwards is JSON; a check of an answer that is none says so, on a line of its own before.
IMPORTS_AND_A_CHECK = """
{imports}
check({exercise!r}, None)
import json, sys
print(json.dumps([getattr(module, "__file__", None) for module in sys.modules.values()]))
"""


@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
def test_all_of_the_library_that_a_chapter_loads_was_seen_without_running_it(which: int) -> None:
    path = execution_cache.book_chapters(ROOT)[which]
    cells = [cell for cell in execution_cache.read_chapter(path).cells if cell.cell_type == "code"]
    code = [cell.source for cell in cells]
    imports = [cell.source for cell in cells if "imports" in cell.metadata.get("tags", [])]
    (exercise, *_) = (found[1] for text in code if (found := re.search(r'^check\("(\d+\.\d+)"', text, re.M)))
    program = IMPORTS_AND_A_CHECK.format(imports="\n".join(imports), exercise=exercise)
    printed = subprocess.check_output([sys.executable, "-c", program], cwd=path.parent, text=True)
    loaded = {Path(file).resolve() for file in json.loads(printed.splitlines()[-1]) if file}
    ours = {file for file in loaded if file.is_relative_to(ROOT / "gm_lib")}
    sources = reach.Sources(ROOT)
    reached = sources.reached_by(code)
    assert any(re.fullmatch(r"chapter_\d+\.py", file.name) for file in ours), "the check's module is loaded"
    assert ours <= reached
    assert reached < set(sources.library), "not simply everything"
