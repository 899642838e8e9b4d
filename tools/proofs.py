"""Cells tagged ``proof``: what a chapter asserts about its own numbers, folded on page and in notebook."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

# Claims under one of these hold on real data only: on MNIST, or on the recordings of spoken digits.
GUARDS = tuple(f'data.name == "{name}"' for name in ("mnist", "fsdd", "names"))
# Under this one they hold on the shapes: a page that asks for them has them, unless its reader changes that.
SHAPES_GUARD = 'data.name == "shapes"'


class ProofError(ValueError):
    """A cell is no proof; the message says why and what to do."""


@dataclass(frozen=True)
class Claims:
    """How many claims a proof makes: ``always``, and on the real data of its ``guard`` ``on_real`` more."""

    always: int
    on_real: int
    guard: str = ""

    def count(self, *, real: bool) -> int:
        """Return how many are checked on this data."""
        return self.always + self.on_real * real


def claims(source: str) -> Claims:
    """Return how many claims a proof makes: each ``assert`` and each call of an ``assert…`` function is one.

    What a loop or a function asserts is one claim however often it runs. Raises ``ProofError`` for code that
    is no proof: it claims nothing, prints, or has another guard than one of ``GUARDS`` or,
    for the shapes, ``SHAPES_GUARD``.
    """
    tree = ast.parse(source)
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    guards = {guard for node in guarded for guard in (*GUARDS, SHAPES_GUARD) if _is(node, guard)}
    if len(guards) > 1 or any(not _is(node, guard) for node in guarded for guard in guards or ("",)):
        raise ProofError(f"a proof knows one guard, `if {GUARDS[0]}:` without else, or that of another set.")
    if any(isinstance(node, ast.Name) and node.id == "print" for node in ast.walk(tree)):
        raise ProofError("a proof prints nothing: what a reader shall see stands in the cell before it.")
    real = any(guard in GUARDS for guard in guards)
    on_real = sum(1 for node in guarded for _ in _claims(node)) if real else 0
    found = Claims(sum(1 for _ in _claims(tree)) - on_real, on_real, *guards)
    if not found.count(real=True):
        raise ProofError("a cell tagged `proof` asserts something.")
    return found


def said(count: int) -> str:
    """Return what a reader is told of so many claims."""
    return f"✓ {count} claim{'' if count == 1 else 's'} checked"


def notebook_cell(source: str) -> str:
    """Return a proof as students get it: under a title for Colab, and saying so when all claims hold."""
    found = claims(source)
    always = f'print("{said(found.always)}")'
    if found.on_real:
        both = f'print("{said(found.count(real=True))}")'
        always = f"if {found.guard}:\n    {both}" + (f"\nelse:\n    {always}" if found.always else "")
    elif found.guard:
        always = f"if {found.guard}:\n    {always}"
    return f"# @title What the text says of this result, checked\n{source}\n\n{always}"


def _is(node: ast.AST, guard: str) -> bool:
    """Tell whether a statement is ``if guard:`` without else."""
    wanted = ast.unparse(ast.parse(guard))
    return isinstance(node, ast.If) and ast.unparse(node.test) == wanted and not node.orelse


def _claims(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the claims in a statement; what a function defined here asserts is claimed where it is called."""
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        return
    if isinstance(node, ast.Assert):
        yield node
        return
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name.startswith("assert_"):
            yield node
            return
    for child in ast.iter_child_nodes(node):
        yield from _claims(child)
