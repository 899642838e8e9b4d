"""How long a chapter takes to read is counted, and what it says of itself is held against that."""

import pytest
from toy_course import TOY_CHAPTER

from chapters import ROOT, parse
from reading_time import MINUTES, WORDS_A_MINUTE, exercise_minutes, misstated, reading_minutes


def minutes(more=""):
    return reading_minutes(parse(TOY_CHAPTER + more, ROOT / "book" / "chapters" / "07_toy.md"))


LINES = "\n".join(["x = 1"] * 300)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("\nword" * 30 * WORDS_A_MINUTE, 30),
        ("\n\n$$x + y = z$$\n" * 30, 30 * MINUTES["displayed formula"]),
        ("\n$x$" * 300, 300 * MINUTES["formula in the text"]),
        (f"\n```{{code-cell}}\n{LINES}\n```\n", 300 * MINUTES["line of code"]),
        (f"\n```{{code-cell}}\n:tags: [proof]\n{LINES}\n```\n", 0),
        ("\n```{code-cell}\n:tags: [hide-input]\nx = 1\n```\n" * 30, 30 * MINUTES["figure"]),
        ("\n[word](https://a.long.address/of/many/words.html)" * 30 * WORDS_A_MINUTE, 30),
    ],
)
def test_words_formulas_figures_and_code_in_sight_take_their_time_and_what_is_folded_none(more, expected):
    assert minutes(more) - minutes() == pytest.approx(expected, abs=5)


@pytest.mark.parametrize(("stated", "is_right"), [("5", True), ("0", True), ("15", False)])
def test_a_chapter_may_be_off_by_five_minutes(stated, is_right):
    text = TOY_CHAPTER.replace("5 minutes to read", f"{stated} minutes to read")
    chapter = parse(text, ROOT / "book" / "chapters" / "07_toy.md")
    assert exercise_minutes(chapter) == 15
    assert (misstated(chapter) is None) == is_right
