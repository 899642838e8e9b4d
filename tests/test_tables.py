"""A table shows what it was given: every cell, under its column, on pages and in plain text."""

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt

from gm_lib.distributions.estimates import Estimate
from gm_lib.tables import table

COLUMNS = ["model", "KL, nats", "images", "read"]
ROWS = [
    ["a|b", torch.tensor(0.00012345), 1234, "81.3 %"],
    [r"$q(z \mid x)$", np.float64(23.456), np.int64(20), Estimate(2.97, 0.02, 100)],
]
TEXTS = [["a|b", "0.0001234", "1,234", "81.3 %"], [r"$q(z \mid x)$", "23.46", "20", "2.97 ± 0.02"]]


def rendered(shown):
    """Return head and rows of a Markdown table as an independent parser reads it."""
    tokens = MarkdownIt("commonmark").enable("table").parse(shown._repr_markdown_())
    cells = [
        (tokens[i - 1].attrGet("style"), token.content)
        for i, token in enumerate(tokens)
        if token.type == "inline"
    ]
    n = len(COLUMNS)
    return [cells[i : i + n] for i in range(0, len(cells), n)]


def test_a_page_shows_every_cell_under_its_column():
    head, *rows = rendered(table(COLUMNS, ROWS))
    assert [text for _, text in head] == COLUMNS
    assert [[text for _, text in row] for row in rows] == TEXTS


def test_numbers_stand_to_the_right_and_words_to_the_left():
    sides = [style.removeprefix("text-align:") for style, _ in rendered(table(COLUMNS, ROWS))[0]]
    assert sides == ["left", "right", "right", "right"]


def test_plain_text_has_the_same_cells_in_columns_of_one_width():
    lines = str(table(COLUMNS, ROWS)).split("\n")
    assert len(lines) == 3
    for line, texts in zip(lines, [COLUMNS, *TEXTS], strict=True):
        places = [line.index(text) for text in texts]
        assert places == sorted(places)
    assert (
        len({line.index(row[1]) + len(row[1]) for line, row in zip(lines, [COLUMNS, *TEXTS], strict=True)})
        == 1
    )


def test_truth_values_and_nothing_are_words():
    assert table(["a", "b"], [[True, None]]).cells == [["True", "None"]]


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        (["a", ""], [[1, 2]], "every column needs a name"),
        ([], [[]], "every column needs a name"),
        (["a"], [], "at least one row"),
        (["a", "b"], [[1, 2], [3]], "row 1 has 1 cells for 2 columns: a, b"),
        (["a"], [[torch.ones(3)]], r"one value, got an array of shape \(3,\)"),
    ],
)
def test_what_is_no_table_is_refused(columns, rows, message):
    with pytest.raises(ValueError, match=message):
        table(columns, rows)
