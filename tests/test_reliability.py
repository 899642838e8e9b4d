"""The page on reliability claims nothing that no test shows, and quotes no message that nobody says."""

import ast
import functools
import re
from pathlib import Path

import pytest
from test_repository import ROOT, messages_in_the_code

PAGE = (ROOT / "book/reliability.md").read_text("utf-8")


@functools.cache
def by_name() -> dict[str, Path]:
    """Return the file of each test of the library."""
    return {
        node.name: path
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def rows() -> list[tuple[list[str], str]]:
    """Return the messages and the test in each row of the table of faults."""
    table = PAGE.partition("## What was tried")[2].partition("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    return [(re.findall(r"`([^`]*[ …][^`]*)`", said), test.strip("`")) for _, said, _, test in cells]


def pieces(message: str) -> list[str]:
    return [piece.strip() for piece in message.split("…") if piece.strip(" .:")]


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert named - by_name().keys() == set()
    assert {test for _, test in rows()} <= named


@pytest.mark.parametrize("message", sorted({message for messages, _ in rows() for message in messages}))
def test_every_message_that_the_page_quotes_can_be_said(message: str) -> None:
    pattern = re.compile(r".*".join(map(re.escape, pieces(message))), re.DOTALL)
    assert any(pattern.search(said) for said in messages_in_the_code())


@pytest.mark.parametrize(
    ("messages", "test"), rows(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_test_of_a_row_looks_for_its_messages(messages: list[str], test: str) -> None:
    looked_for = by_name()[test].read_text("utf-8").replace("\\", "")
    for message in messages:
        assert any(piece.strip(" .:,") in looked_for for piece in pieces(message)), message
