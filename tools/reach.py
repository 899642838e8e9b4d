"""Which files of the repository a piece of code reaches: what its outputs can depend on besides itself.

Nothing is executed; the code is read. It reaches

* the modules that it imports, and what they import in turn; with each module the packages that it lies in,
  since Python runs their ``__init__`` first. An import inside a function counts if the function's name occurs
  in the code that is reached, other than where it is only passed on, by ``from … import`` or in ``__all__``;
* the modules that it names in a string, ``"gm_lib.vae"`` or ``"gm_lib.vae:VAE"``: this is how a module is
  imported that is known by its name only. Where part of the name is computed, as in
  ``f"gm_lib.parts.{name}"``, these are all modules that fit. Modules called ``chapter_NN`` hold the checks of
  a chapter's exercises: of these, the ones whose exercises the code asks for, as in ``check("8.1", …)``;
* the library's other files, such as weights, when a module says where it lies (``__file__``, ``__path__``,
  ``importlib.resources`` or ``get_data``) and names the file or a folder above it in a string;
* the records in ``results/``, all of them, when a string names that folder.

More may be reached than is used, which costs an execution. What is used and not reached, since its name is
written in another way, makes ``tools/execute.py`` fail: it asks the kernel which files were loaded and read.
"""

import ast
import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

LIBRARY = "gm_lib"
RECORDS = "results"


@dataclass
class _Names:
    """What a piece of code names, as far as it matters here."""

    imports: dict[str, set[str]] = field(default_factory=dict)  # by the function that they are in, or ""
    patterns: set[str] = field(default_factory=set)  # regular expressions for modules
    words: set[str] = field(default_factory=set)  # variables and attributes that are used
    strings: set[str] = field(default_factory=set)
    exercises_of: set[int] = field(default_factory=set)  # chapters


class Sources:
    """The library and the records under ``root``; each file is read once, when it is first reached."""

    def __init__(self, root: Path) -> None:
        self.root = root
        files = (root / LIBRARY).rglob("*")
        self.library = [path for path in files if path.is_file() and "__pycache__" not in path.parts]
        self._modules = [_dotted(path.relative_to(root)) for path in self.library if path.suffix == ".py"]
        self._names_of = cache(self._read)

    def reached_by(self, cells: Iterable[str]) -> set[Path]:
        """Return the files that code cells, which may use IPython's syntax, reach together."""
        own = []
        for cell in cells:
            with contextlib.suppress(SyntaxError):  # such a cell cannot run, so it imports nothing
                own.append(_names_in(ast.parse(TransformerManager().transform_cell(cell)), package=()))
        chapters = {chapter for names in own for chapter in names.exercises_of}
        reached: set[Path] = set()
        while True:
            named = [*own, *(self._names_of(path) for path in reached if path.suffix == ".py")]
            found = set(self._named_files(named, chapters))
            if found <= reached:
                return reached
            reached |= found

    def _named_files(self, named: list[_Names], chapters: set[int]) -> Iterator[Path]:
        used = {"", *(word for names in named for word in names.words | names.strings)}
        for names in named:
            for function in names.imports.keys() & used:
                for module in names.imports[function]:
                    yield from self._run_by_importing(module)
            for pattern in names.patterns:
                for module in self._modules:
                    checks = re.search(r"\.chapter_(\d+)$", module)
                    if re.fullmatch(pattern, module) and (not checks or int(checks[1]) in chapters):
                        yield from self._run_by_importing(module)
            yield from self._beside(names)

    def _run_by_importing(self, module: str) -> Iterator[Path]:
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            place = self.root.joinpath(*parts[:end])
            yield from filter(Path.is_file, (place / "__init__.py", place.with_name(f"{place.name}.py")))

    def _beside(self, names: _Names) -> Iterator[Path]:
        parts = {part for text in names.strings for part in text.split("/")}
        if not names.words.isdisjoint(("__file__", "__path__", "resources", "get_data")):
            for path in self.library:
                if path.suffix != ".py" and not parts.isdisjoint(path.relative_to(self.root / LIBRARY).parts):
                    yield path
        if RECORDS in parts:
            yield from (self.root / RECORDS).glob("[!.]*.json")

    def _read(self, path: Path) -> _Names:
        tree = ast.parse(path.read_bytes(), filename=str(path))
        return _names_in(tree, package=path.relative_to(self.root).parent.parts)


def _names_in(tree: ast.Module, package: tuple[str, ...]) -> _Names:
    """Return what the code of a module names; ``package`` is what its relative imports start from."""
    names = _Names()
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            continue
        imports = names.imports.setdefault(_called_by_name(statement), set())
        for node in ast.walk(statement):
            match node:
                case ast.Import():
                    imports.update(alias.name for alias in node.names)
                    names.words.update(part for alias in node.names for part in alias.name.split("."))
                case ast.ImportFrom():
                    start = package[: len(package) + 1 - node.level] if node.level else ()
                    base = ".".join([*start, *filter(None, [node.module])])
                    imports.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
                    if node.names[0].name == "*":
                        names.patterns.add(rf"{re.escape(base)}\.\w+")
                    names.words.update(base.split("."), (alias.name for alias in node.names if alias.asname))
                case ast.Call(args=[ast.Constant(value=str(text)), *_]):
                    if number := re.fullmatch(r"(\d{1,2})\.\d{1,2}", text):
                        names.exercises_of.add(int(number[1]))
                case ast.Name():
                    names.words.add(node.id)
                case ast.Attribute():
                    names.words.add(node.attr)
                case ast.Constant(value=str(text)):
                    names.strings.add(text)
                    if module := re.fullmatch(rf"({LIBRARY}(\.\w+)*)(:\w+)?", text):
                        imports.add(module[1])
                case ast.JoinedStr():
                    parts = (
                        re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+"
                        for part in node.values
                    )
                    if (pattern := "".join(parts)).startswith(rf"{LIBRARY}\."):
                        names.patterns.add(pattern)
    return names


def _called_by_name(statement: ast.stmt) -> str:
    """Return the name of a function that runs only where its name is used; "" for all other code."""
    if not isinstance(statement, ast.FunctionDef) or statement.decorator_list:
        return ""
    return "" if statement.name.startswith("__") else statement.name  # Python calls a module's __getattr__


def _dotted(path: Path) -> str:
    """Return the name that a file is imported by."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
