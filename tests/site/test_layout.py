"""How every page looks in a real browser: on wide and narrow screens, in the dark, on paper."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from visitor import Visitor, listed

pytestmark = pytest.mark.site

PHONE = 375
PAPER = 718  # A4 without the margins that browsers leave, 1 cm, in the 96 pixels of an inch

FAINT_TEXTS = Path(__file__).with_name("faint_texts.js").read_text("utf-8")
# What has a width of its own, and is scrolled on a screen where it has no room.
WIDE = "article :is(pre, div.math, mjx-container[display], .pst-scrollable-table-container)"
LOOK = (
    "[document.documentElement.dataset.theme, [...document.querySelectorAll('details')].map((d) => d.open)]"
)

both_themes = pytest.mark.parametrize("theme", ["light", "dark"])
folds_closed_and_open = pytest.mark.parametrize("folds", ["closed", "open"])


def test_letters_are_the_ones_that_come_with_the_book(opened: Visitor) -> None:
    opened.look()
    faces = opened.page.evaluate(
        "[...document.fonts].filter((f) => f.family === 'Inter').map((f) => f.status)"
    )
    assert len(faces) == 2
    assert "loaded" in faces
    assert "error" not in faces
    families = opened.page.evaluate(
        "[...document.querySelectorAll('body, h1, article p, nav a')]"
        ".map((element) => getComputedStyle(element).fontFamily)"
    )
    assert {family.partition(",")[0] for family in families} == {"Inter"}


@pytest.mark.parametrize("width", [1280, 390, 320])
@folds_closed_and_open
def test_a_page_is_as_wide_as_the_screen(opened: Visitor, width: int, folds: str) -> None:
    opened.look(width=width, folds=folds)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


@folds_closed_and_open
def test_code_has_room_on_a_desk(opened: Visitor, folds: str) -> None:
    opened.look(folds=folds)
    found = ask(opened, "wide", "article .cell_input pre")
    assert not found, listed(found)


def test_no_formula_is_cut_on_a_phone(opened: Visitor) -> None:
    opened.look(width=PHONE, folds="open")
    found = ask(opened, "cutFormulas")
    assert not found, listed(found)


@pytest.mark.parametrize("width", [1280, PHONE])
@both_themes
def test_every_text_stands_out_from_its_ground(opened: Visitor, width: int, theme: str) -> None:
    opened.look(width=width, theme=theme, folds="open")
    found = opened.page.evaluate(FAINT_TEXTS)
    assert not found, listed(found)


def test_the_verdict_on_a_solution_is_folded_with_it(opened: Visitor) -> None:
    opened.look()
    found = ask(opened, "openVerdicts")
    assert not found, listed(found)


def test_a_link_to_a_notebook_saves_it(opened: Visitor) -> None:
    found = ask(opened, "openedNotebooks")
    assert not found, listed(found)


def test_the_tab_key_stops_at_no_formula(opened: Visitor) -> None:
    opened.look(folds="open")
    found = ask(opened, "formulasToTabTo")
    assert not found, listed(found)


def test_on_paper_nothing_is_cut(opened: Visitor) -> None:
    with printed(opened, folds="open") as paper:
        assert paper.evaluate("document.documentElement.scrollWidth") <= PAPER
        found = ask(opened, "wide", WIDE) + ask(opened, "cutFormulas")
        assert not found, listed(found)


@both_themes
def test_on_paper_every_text_stands_out_from_white(opened: Visitor, theme: str) -> None:
    with printed(opened, theme=theme, folds="open") as paper:
        found = paper.evaluate(FAINT_TEXTS, True)
        assert not found, listed(found)


@pytest.mark.parametrize(("theme", "folds"), [("dark", "closed"), ("light", "open")])
def test_after_printing_a_page_looks_as_before(opened: Visitor, theme: str, folds: str) -> None:
    opened.look(width=PAPER, theme=theme, folds=folds)
    before = opened.page.evaluate(LOOK)
    with printed(opened, theme=theme, folds=folds):
        pass
    assert opened.page.evaluate(LOOK) == before


def ask(visitor: Visitor, question: str, *arguments: str) -> list[str]:
    """Return what is wrong with the page, as page_tools.js says it."""
    answer: list[str] = visitor.page.evaluate(
        f"(arguments) => pageTools.{question}(...arguments)", list(arguments)
    )
    return answer


@contextmanager
def printed(visitor: Visitor, **look: Any) -> Iterator[Page]:
    """Give the page as it is on paper, after telling it that it will be printed; then tell it that it was."""
    visitor.look(width=PAPER, **look)
    visitor.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    visitor.page.emulate_media(media="print")
    try:
        yield visitor.page
    finally:
        visitor.page.emulate_media(media="screen")
        visitor.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
