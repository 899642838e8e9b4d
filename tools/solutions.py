"""Taking a solution out of a cell: what stands between ``### BEGIN SOLUTION`` and ``### END SOLUTION``.

Where a bug is to be found, students get the code that has it. It stands in the solution, after
``### INSTEAD``, as comments that begin with ``# ``::

    ### BEGIN SOLUTION
    loss = (denoise(x + noise) - x).square().sum()
    ### INSTEAD
    # loss = (denoise(x + noise) - (x + noise)).square().sum()
    ### END SOLUTION
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

BEGIN, INSTEAD, END = "### BEGIN SOLUTION", "### INSTEAD", "### END SOLUTION"
YOUR_TURN = "Your turn: replace this line by your code."

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITION = (*FUNCTION, ast.ClassDef)
COMPREHENSION = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class SolutionError(ValueError):
    """The solution in a cell cannot be taken out; the message says why and what to do."""


@dataclass(frozen=True)
class _Region:
    """A solution: the lines of its markers (from 1), its indentation, its statements, what is around it."""

    begin: int
    end: int
    indent: int
    statements: list[ast.stmt]
    around: tuple[Definition, ...]  # outermost first
    instead: tuple[str, ...] = ()  # the lines that students get, without indentation

    @property
    def in_function(self) -> bool:
        return bool(self.around) and isinstance(self.around[-1], FUNCTION)


def solved(source: str) -> str:
    """Return a cell as the book runs and shows it: without markers and what students get instead."""
    left_out = {n for begin, instead, end in _spans(source) for n in (begin, *range(instead, end + 1))}
    return "\n".join(line for i, line in enumerate(source.split("\n"), 1) if i not in left_out)


def stub(source: str) -> str:
    """Return a cell as students get it: every solution taken out.

    A solution becomes what stands after ``### INSTEAD``. Without that, the given lines of a function stay,
    and the solution becomes ``raise NotImplementedError``; elsewhere each name that the solution assigns
    becomes ``name = ...``, and names that begin with an underscore are left out. A cell without markers comes
    back unchanged.

    Raises ``SolutionError`` when markers are unmatched or misplaced, or the stub would not run.
    """
    lines = source.split("\n")
    regions = _regions(source)
    for region in reversed(regions):
        instead = [" " * region.indent + line for line in _replacement(region, regions)]
        lines[region.begin - 1 : region.end] = instead
    text = "\n".join(lines)
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise SolutionError(f"what stands after `{INSTEAD}` is not valid Python: {error}.") from error
    return text


def solution_lines(source: str) -> set[int]:
    """Return the lines, from 1, of the solutions of a cell."""
    return {line for begin, instead, _ in _spans(source) for line in range(begin + 1, instead)}


def student_names(source: str) -> set[str]:
    """Return the top-level names of a cell that depend on what the student writes: none without markers.

    Raises ``SolutionError`` as ``stub`` does.
    """
    names: set[str] = set()
    for region in _regions(source):
        names.update([region.around[0].name] if region.around else _assigned(region.statements))
    return names


def _replacement(region: _Region, regions: Sequence[_Region]) -> list[str]:
    if region.instead:
        return list(region.instead)
    assigned = _assigned(region.statements)
    if not region.in_function:
        return [f"{name} = ..." for name in assigned if not name.startswith("_")]
    # Given lines below may use what the solution assigns: without the names they would look like mistakes.
    names = [node for node in ast.walk(region.around[-1]) if isinstance(node, ast.Name)]
    given = [
        n for n in names if n.lineno > region.end and not any(r.begin < n.lineno < r.end for r in regions)
    ]
    needed = {name.id for name in given if isinstance(name.ctx, ast.Load)}
    return [*(f"{n} = ..." for n in assigned if n in needed), f'raise NotImplementedError("{YOUR_TURN}")']


def _marker_lines(source: str) -> dict[int, str]:
    """Return the lines that are markers: comments on a line of their own, not the same text in a string."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError) as error:
        raise SolutionError(f"a code cell is not valid Python: {error}.") from error
    marks = {}
    for token in tokens:
        if token.type == tokenize.COMMENT and re.match(
            r"#+ *((BEGIN|END) +SOLUTION|INSTEAD)\b", token.string, re.I
        ):
            if token.line.strip() not in (BEGIN, INSTEAD, END):
                raise SolutionError(
                    f"`{token.line.strip()}` should be `{BEGIN}`, `{INSTEAD}` or `{END}` and nothing else."
                )
            marks[token.start[0]] = token.string.strip()
    return marks


def _spans(source: str) -> list[tuple[int, int, int]]:
    """Return for each solution the lines of its markers; without an ``INSTEAD``, the last stands for it."""
    marks = sorted(_marker_lines(source).items())
    kinds = " ".join(kind for _, kind in marks)
    if not re.fullmatch(f"({BEGIN} ({INSTEAD} )?{END} ?)*", kinds):
        raise SolutionError(f"each `{BEGIN}` needs its `{END}` after it, and none within another.")
    spans, places = [], [line for line, kind in marks if kind != INSTEAD]
    for begin, end in zip(places[::2], places[1::2], strict=True):
        instead = [line for line, kind in marks if kind == INSTEAD and begin < line < end]
        spans.append((begin, instead[0] if instead else end, end))
    return spans


def _regions(source: str) -> list[_Region]:
    spans = _spans(source)
    if not spans:
        return []
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise SolutionError(f"a code cell is not valid Python: {error}.") from error
    return [_region(source, tree, *span) for span in spans]


def _region(source: str, tree: ast.Module, begin: int, instead: int, end: int) -> _Region:
    lines = source.split("\n")
    where = f"the solution in lines {begin} to {end} of its cell"
    statements, around = _block(tree, begin, instead, ())
    covered = {n for s in statements for n in range(_first_line(s), _last_line(s) + 1)}
    left_over = [n for n in range(begin + 1, end) if n not in covered and _is_code(lines[n - 1])]
    indents = {len(lines[n - 1]) - len(lines[n - 1].lstrip()) for n in (begin, instead, end)}
    indents |= {s.col_offset for s in statements if _begins_line(s, lines)}
    if not statements or left_over or len(indents) != 1:
        raise SolutionError(f"{where} must be whole statements, and its markers be indented as they are.")
    given = [line.strip() for line in lines[instead : end - 1]]
    if instead < end and (not given or any(line != "#" and not line.startswith("# ") for line in given)):
        raise SolutionError(f"{where}: after `{INSTEAD}` come lines of code, each behind `# `.")
    region = _Region(
        begin, end, indents.pop(), statements, around, tuple(line.removeprefix("#")[1:] for line in given)
    )
    if not region.in_function:
        _demand_values(region, where)
    return region


def _demand_values(region: _Region, where: str) -> None:
    if any(isinstance(statement, DEFINITION) for statement in region.statements):
        raise SolutionError(
            f"{where} holds a whole definition: move `{BEGIN}` below signature and docstring."
        )
    if all(name.startswith("_") for name in _assigned(region.statements)):
        raise SolutionError(f"{where} is outside of a function and assigns no name for students to fill in.")


def _block(
    node: ast.AST, begin: int, end: int, around: tuple[Definition, ...]
) -> tuple[list[ast.stmt], tuple[Definition, ...]]:
    """Return the outermost statements of one block between two lines, and the definitions around them."""
    if isinstance(node, DEFINITION):
        around = (*around, node)
    for part in ("body", "orelse", "finalbody"):
        block = getattr(node, part, None)
        if isinstance(block, list):  # a lambda's body is an expression
            inside = [s for s in block if begin < _first_line(s) and _last_line(s) < end]
            if inside:
                return inside, around
    for child in ast.iter_child_nodes(node):
        inside, found = _block(child, begin, end, around)
        if inside:
            return inside, found
    return [], around


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.strip().startswith("#")


def _begins_line(statement: ast.stmt, lines: Sequence[str]) -> bool:
    return not lines[statement.lineno - 1].encode()[: statement.col_offset].strip()


def _first_line(statement: ast.stmt) -> int:
    return min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])


def _last_line(statement: ast.stmt) -> int:
    return statement.end_lineno or statement.lineno


def _assigned(statements: Sequence[ast.stmt]) -> list[str]:
    """Return the names that statements bind in their own scope, in the order of the text."""
    names: list[str] = []
    todo: list[ast.AST] = list(reversed(statements))
    while todo:
        node = todo.pop()
        if isinstance(node, DEFINITION):
            names.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.For | ast.AsyncFor):
            todo.extend(reversed([*node.body, *node.orelse]))  # the loop's own variable is no result
        elif not isinstance(node, (ast.Lambda, *COMPREHENSION)):
            todo.extend(reversed(list(ast.iter_child_nodes(node))))
    return list(dict.fromkeys(names))
