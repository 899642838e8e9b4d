"""Cells tagged ``proof``: what a chapter asserts about its own numbers, folded on page and in notebook."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

GUARD = 'data.name == "mnist"'  # claims under it hold on MNIST only


class ProofError(ValueError):
    """A cell is no proof; the message says why and what to do."""


@dataclass(frozen=True)
class Claims:
    """How many claims a proof makes: ``always``, and on MNIST ``on_mnist`` more."""

    always: int
    on_mnist: int

    def count(self, *, mnist: bool) -> int:
        """Return how many are checked on this data."""
        return self.always + self.on_mnist * mnist


def claims(source: str) -> Claims:
    """Return how many claims a proof makes: each ``assert`` and each call of an ``assert…`` function is one.

    What a loop or a function asserts is one claim however often it runs. Raises ``ProofError`` for code that
    is no proof: it claims nothing, prints, or has another guard than ``if data.name == "mnist":``.
    """
    tree, guard = ast.parse(source), ast.unparse(ast.parse(GUARD))
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    for node in guarded:
        if ast.unparse(node.test) != guard or node.orelse:
            raise ProofError(f"a proof knows one guard, `if {GUARD}:` without else.")
    if any(isinstance(node, ast.Name) and node.id == "print" for node in ast.walk(tree)):
        raise ProofError("a proof prints nothing: what a reader shall see stands in the cell before it.")
    on_mnist = sum(1 for node in guarded for _ in _claims(node))
    found = Claims(sum(1 for _ in _claims(tree)) - on_mnist, on_mnist)
    if not found.count(mnist=True):
        raise ProofError("a cell tagged `proof` asserts something.")
    return found


def said(count: int) -> str:
    """Return what a reader is told of so many claims."""
    return f"✓ {count} claim{'' if count == 1 else 's'} checked"


def notebook_cell(source: str) -> str:
    """Return a proof as students get it: under a title for Colab, and saying so when all claims hold."""
    found = claims(source)
    always = f'print("{said(found.always)}")'
    if found.on_mnist:
        both = f'print("{said(found.count(mnist=True))}")'
        always = f"if {GUARD}:\n    {both}" + (f"\nelse:\n    {always}" if found.always else "")
    return f"# @title What the text says of this result, checked\n{source}\n\n{always}"


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
