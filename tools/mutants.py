"""Change each exercise's solution in every small mechanical way, and see whether its check rejects it.

    python tools/mutants.py              all chapters
    python tools/mutants.py 8            one chapter
    python tools/mutants.py 8.2 8.3      some exercises

A mutant is the solution with one change: another operator, constant or function, a call or a keyword left
out, operands or arguments swapped, one parameter for another, a condition turned round. One that the check
calls right is a survivor, and is told as the statement that was changed. Either the check needs a case that
rejects it, or it is equivalent: right, though written otherwise. Such are listed with the reason in
tests/exercises/equivalent_mutants.json, by exercise and statement, and are left out of the score.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import functools
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch

from chapters import ROOT, Chapter, chapter_paths, pages_of, read
from gm_lib.exercises import core
from gm_lib.exercises.limits import within
from gm_lib.runtime import forked_rng
from solutions import solution_lines

EQUIVALENT = ROOT / "tests" / "exercises" / "equivalent_mutants.json"

Change = Callable[[Any], None]

_OPERATORS: dict[type[ast.operator], list[type[ast.operator]]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Div],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
}
_COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.GtE],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.LtE],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}
_PAIRS = (
    ("sum", "mean"),
    ("min", "max"),
    ("amin", "amax"),
    ("argmin", "argmax"),
    ("minimum", "maximum"),
    ("std", "var"),
    ("cumsum", "cumprod"),
    ("softmax", "log_softmax"),
    ("sigmoid", "logsigmoid"),
    ("sin", "cos"),
    ("floor", "ceil"),
    ("rand", "randn"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("exp", "expm1"),
    ("log", "log1p"),
    ("sample", "rsample"),
    ("any", "all"),
    ("softplus", "relu"),
    ("logsumexp", "amax"),
    ("clamp_min", "clamp_max"),
    ("train", "eval"),
)
_FUNCTIONS = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_MODULES = {"torch", "F", "nn", "math", "np"}


@dataclass(frozen=True)
class Mutant:
    """A changed solution: the exercise, the changed statement, and the code of the exercise's cells."""

    id: str
    statement: str
    code: str


def mutants(chapter: Chapter, id: str) -> list[Mutant]:
    """Return the mutants of one exercise's solution, each different from it and from the others."""
    code = chapter.code(id)
    inside = solution_lines(code)
    tree = ast.parse(code)
    found: dict[str, Mutant] = {}
    another = _another_parameter(tree)
    for place, node in enumerate(ast.walk(tree)):
        if getattr(node, "lineno", 0) not in inside:
            continue
        for change in [*_changes(node), *another.get(place, [])]:
            mutated = copy.deepcopy(tree)
            change(_nth(mutated, place))
            text = ast.unparse(ast.fix_missing_locations(mutated))
            if text != ast.unparse(tree):
                statement = _changed_statement(tree, mutated)
                found.setdefault(text, Mutant(id, statement, text))
    return list(found.values())


def _another_parameter(tree: ast.AST) -> dict[int, list[Change]]:
    """Return, by the place of each use of a function's parameter, the change to the next parameter."""
    places = {id(node): place for place, node in enumerate(ast.walk(tree))}
    changes = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            names = [arg.arg for arg in (*function.args.args, *function.args.kwonlyargs) if arg.arg != "self"]
            following = dict(zip(names, names[1:] + names[:1], strict=True))
            for node in ast.walk(function):
                if isinstance(node, ast.Name) and following.get(node.id, node.id) != node.id:
                    changes[places[id(node)]] = [_setting("id", following[node.id])]
    return changes


def _nth(tree: ast.AST, place: int) -> ast.AST:
    return next(node for i, node in enumerate(ast.walk(tree)) if i == place)


def _changed_statement(before: ast.AST, after: ast.AST) -> str:
    """Return the lines of ``after`` that are not in ``before``, or what was left out."""
    old, new = ast.unparse(before).splitlines(), ast.unparse(after).splitlines()
    pairs = list(zip(old, new, strict=False))
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
    line = new[first].strip() if first < len(new) else ""
    return line if len(old) == len(new) else f"{old[first].strip()}  →  {line}"


def _changes(node: ast.AST) -> Iterator[Change]:
    """Yield the changes that can be made to a node, each a function that makes it in place."""
    match node:
        case ast.BinOp() | ast.AugAssign():
            for operator in _OPERATORS.get(type(node.op), []):
                yield _setting("op", operator())
            if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Add | ast.Mult):
                yield _swap_operands
        case ast.UnaryOp():
            yield lambda n: _become(n, n.operand)
        case ast.Compare():
            for comparison in _COMPARISONS.get(type(node.ops[0]), []):
                yield _setting("ops", [comparison(), *node.ops[1:]])
        case ast.BoolOp():
            yield _setting("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.Constant():
            for value in _other_values(node.value):
                yield _setting("value", value)
        case ast.If() | ast.IfExp() | ast.While():
            yield lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
        case ast.Tuple(elts=[_, _], ctx=ast.Load()):
            yield lambda n: n.elts.reverse()
        case ast.Slice():
            for end in ("lower", "upper", "step"):
                if getattr(node, end) is not None:
                    yield _setting(end, None)
        case ast.Attribute(attr="T" | "mT"):
            yield lambda n: _become(n, n.value)
        case ast.Expr(value=ast.Call()):
            yield lambda n: _become(n, ast.Pass())
        case ast.Call():
            yield from _changes_of_call(node)


def _changes_of_call(node: ast.Call) -> Iterator[Change]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in _FUNCTIONS:
        field = "attr" if isinstance(node.func, ast.Attribute) else "id"
        yield lambda n: setattr(n.func, field, _FUNCTIONS[name])
    if isinstance(node.func, ast.Attribute):
        if _is_module(node.func.value):
            if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
                yield lambda n: _become(n, n.args[0])
        else:
            yield lambda n: _become(n, n.func.value)
    if len(node.args) >= 2:
        yield lambda n: n.args.insert(0, n.args.pop(1))
    for keyword in range(len(node.keywords)):
        yield _without_keyword(keyword)


def _is_module(node: ast.AST) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in _MODULES


def _other_values(value: Any) -> list[Any]:
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value - 1]
        case float():
            return [2 * value, -value] if value else [1.0]
        case str():
            return [value + " "] if value.isspace() or not value else ["another"]
    return []


def _without_keyword(place: int) -> Change:
    return lambda node: node.keywords.pop(place)


def _setting(field: str, value: Any) -> Change:
    return lambda node: setattr(node, field, value)


def _swap_operands(node: ast.BinOp) -> None:
    node.left, node.right = node.right, node.left


def _become(node: ast.AST, other: ast.AST) -> None:
    """Put another node in the place of a node."""
    node.__class__ = other.__class__
    node.__dict__ = dict(other.__dict__)


# --- judging them


_read = functools.cache(read)


def _page(id: str) -> Chapter:
    """Return the page of its chapter that an exercise stands on."""
    pages = map(_read, pages_of(int(id.split(".")[0])))
    return next(page for page in pages if id in page.exercises)


@functools.cache
def _imported(path: Path) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    with forked_rng(), mpl.rc_context():
        exec(compile(_read(path).imports(), "<imports>", "exec"), names)
    return names


def judge(id: str) -> list[tuple[Mutant, str]]:
    """Return the mutants of an exercise, each with what its check says of it.

    Raises ``ValueError`` when the check does not call the solution itself right.
    """
    torch.set_num_threads(1)
    chapter = _page(id)
    began = time.monotonic()
    reference = _verdict(chapter, id, chapter.code(id))  # in no time, where the check remembers its games
    if not reference.startswith("✓"):
        raise ValueError(f"the solution of {id} is not right: {reference}")
    declared = core.find(id)
    least = max(2.0, declared.seconds / 4)
    patience = min(declared.seconds, least + 5.0 * (time.monotonic() - began))
    core._EXERCISES[id] = replace(declared, seconds=patience)
    try:
        return [(mutant, _verdict(chapter, id, mutant.code)) for mutant in mutants(chapter, id)]
    finally:
        core._EXERCISES[id] = declared


def _verdict(chapter: Chapter, id: str, code: str) -> str:
    names = dict(_imported(chapter.path))

    def answer() -> Any:
        exec(compile(code, f"<exercise {id}>", "exec"), names)
        return eval(chapter.answer(id), names)

    with contextlib.redirect_stdout(io.StringIO()), forked_rng(0):
        try:
            given = within(30.0, answer)
        except BaseException as error:
            return f"✗ {id}: does not run ({type(error).__name__})"
        return str(core.grade(id, given))


def equivalent() -> dict[str, dict[str, str]]:
    """Return the mutants that are right answers: by exercise, then by statement, the reason."""
    return json.loads(EQUIVALENT.read_text("utf-8"))


@dataclass(frozen=True)
class Score:
    """How the mutants of some exercises fared. ``survivors`` were called right, and are not equivalent."""

    mutants: int
    equivalent: int
    survivors: list[Mutant]
    unknown: list[str]  # listed as equivalent, and rejected or not made

    @property
    def rejected(self) -> float:
        """Return the share that was rejected, of those that are not equivalent."""
        return 1.0 - len(self.survivors) / max(self.mutants - self.equivalent, 1)


def score(ids: list[str], jobs: int = 2, tell: Callable[[str], object] = print) -> Score:
    """Judge the mutants of exercises in processes of their own, telling the survivors as they are found."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return tally(zip(ids, pool.map(judge, ids), strict=True), equivalent(), tell)


def tally(
    judged: Iterable[tuple[str, list[tuple[Mutant, str]]]],
    known: Mapping[str, Mapping[str, str]],
    tell: Callable[[str], object] = print,
) -> Score:
    """Count what became of the mutants of each exercise; ``known`` holds those listed as equivalent."""
    all_, equal, survivors, unknown = 0, 0, [], []
    for id, verdicts in judged:
        right = [mutant for mutant, verdict in verdicts if verdict.startswith("✓")]
        excused = known.get(id, {})
        off = [mutant for mutant in right if mutant.statement not in excused]
        all_, equal = all_ + len(verdicts), equal + len(right) - len(off)
        survivors += off
        unknown += [f"{id}: {text}" for text in excused if text not in {m.statement for m in right}]
        tell(f"{id}: {len(verdicts)} mutants, {len(right) - len(off)} equivalent, {len(off)} survivors")
        for mutant in off:
            tell(f"    {mutant.statement}")
    return Score(all_, equal, survivors, unknown)


def exercises(wanted: list[str]) -> list[str]:
    """Return the ids of the exercises that are asked for by id or by chapter; all if none is.

    Raises ``ValueError`` for what is neither.
    """
    chapters = [read(path) for path in chapter_paths() if path.name[0] != "A"]
    ids = [id for chapter in chapters for id in chapter.exercises]
    for name in wanted:
        if not any(name in (id, id.split(".")[0]) for id in ids):
            raise ValueError(f"there is neither a chapter nor an exercise {name!r}.")
    return [id for id in ids if not wanted or id in wanted or id.split(".")[0] in wanted]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 1 when a mutant survives or an excuse is out of date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a chapter (8) or an exercise (8.2)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="how many processes")
    asked = parser.parse_args(arguments)
    try:
        ids = exercises(asked.names)
    except ValueError as error:
        parser.error(str(error))
    found = score(ids, asked.jobs, functools.partial(print, flush=True))
    for text in found.unknown:
        print(f"{EQUIVALENT.name} lists a mutant that is rejected or does not exist: {text}")
    print(
        f"{found.mutants} mutants, {found.equivalent} of them equivalent; "
        f"of the others {found.rejected:.1%} rejected, {len(found.survivors)} survived"
    )
    return 1 if found.survivors or found.unknown else 0


if __name__ == "__main__":
    sys.exit(main())
