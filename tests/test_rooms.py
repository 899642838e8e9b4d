"""The rooms of gm_lib and what each may import: downward only, as CONTRIBUTING shows them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "gm_lib"

# From the ground up. Every room may also import system and runtime, and runtime may import system.
GROUND = {"system", "runtime"}
MAY_IMPORT: dict[str, set[str]] = {
    "system": set(),
    "runtime": set(),
    "networks": set(),
    "sound": set(),
    "data": {"sound"},
    "distributions": {"data", "networks"},
    "widgets": {"sound"},
    "tables": set(),
    "vae": {"distributions", "networks", "data"},
    "gan": {"distributions", "networks", "data"},
    "beyond": {"distributions", "networks", "data", "vae", "gan"},
    "classifier": {"networks", "data"},
    "training": {"networks", "data"},
    "plotting": {"training"},
    "pretrained": {"vae", "gan", "beyond", "classifier", "training", "data"},
    "evaluation": {"distributions", "networks", "data", "pretrained"},
}
EVERYTHING = {"exercises", "cli", "__main__"}


def rooms() -> set[str]:
    found = {path.relative_to(LIBRARY).parts[0].removesuffix(".py") for path in LIBRARY.rglob("*.py")}
    return found - {"__init__"}


def imported_rooms(path: Path) -> set[str]:
    """Return which rooms a module imports from, other than its own; imports inside functions count too."""
    own = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = (name.split(".") for name in names)
    return {found[1] for found in parts if found[0] == "gm_lib" and len(found) > 1} & rooms() - {own}


def test_every_room_has_its_place():
    assert rooms() == set(MAY_IMPORT) | EVERYTHING


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_from_rooms_below_it(room):
    place = LIBRARY / room
    paths = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    ground = set() if room == "system" else {"system"} if room == "runtime" else GROUND
    upward = {path.name: imported_rooms(path) - MAY_IMPORT[room] - ground for path in paths}
    assert {name: found for name, found in upward.items() if found} == {}


def test_the_rooms_stand_in_an_order_in_which_each_comes_after_those_it_imports():
    order = list(MAY_IMPORT)
    for room, below in MAY_IMPORT.items():
        assert {other for other in below if order.index(other) > order.index(room)} == set(), room


def test_each_family_beyond_fits_on_three_pages():
    lengths = {
        path.name: len(path.read_text("utf-8").splitlines()) for path in (LIBRARY / "beyond").glob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > 150} == {}


def test_contributing_shows_every_room_and_what_it_may_import():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Rooms")[2].partition("\n## ")[0]
    shown = {}
    for names, below in re.findall(r"^\| (`[^|]+) \|[^|]*\|([^|]*)\|$", text, flags=re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            shown[name] = set(re.findall(r"`(\w+)`", below))
    assert {room: shown.get(room) for room in MAY_IMPORT} == MAY_IMPORT
    assert {"exercises", "cli"} <= set(shown)
