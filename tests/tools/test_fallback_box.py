"""A page that was computed on other data than the text is about is known by what its cells printed."""

import contextlib
import io
import sys

import pytest
from docutils import nodes, utils

from chapters import ROOT
from gm_lib.data import chorales, images, names, shakespeare, spoken_digits

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from gm_book import fallback


def page_that_prints(*load, monkeypatch):
    monkeypatch.setenv("GM_OFFLINE", "1")
    monkeypatch.delenv("GM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/nothing/here")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for each in load:
            each()
    page = utils.new_document("page")
    page += [nodes.title(text="A page"), nodes.literal_block(text=printed.getvalue())]
    return page, printed.getvalue()


def box_on(page):
    app = type("App", (), {"env": type("Env", (), {"found_docs": ()})})
    fallback.announce(app, page)
    return page.next_node(nodes.note).astext()


@pytest.mark.parametrize(
    ("load", "real", "other"),
    [
        (images, "MNIST", "scikit-learn"),
        (spoken_digits, "the Free Spoken Digit Dataset", "synthesized voices"),
        (chorales, "the JSB chorales", "six chords"),
        (names, "the list of names", "a Markov chain"),
        (shakespeare, "tiny Shakespeare", "a Markov chain"),
    ],
)
def test_the_box_names_the_data_that_are_missing_and_those_in_their_place(load, real, other, monkeypatch):
    page, printed = page_that_prints(load, monkeypatch=monkeypatch)
    assert fallback.is_built_on_other_data(page)
    assert f"in the place of {real}, from" in fallback.shortened(printed.removeprefix("gm_lib.data: "))
    box = box_on(page)
    assert f"built without {real}. " in box
    assert other in box


def test_a_page_that_lacks_two_sets_names_both(monkeypatch):
    page, _ = page_that_prints(names, shakespeare, monkeypatch=monkeypatch)
    box = box_on(page)
    assert "built without the list of names and tiny Shakespeare. " in box
    assert box.count("Markov chain") == 1


def test_a_page_on_real_data_has_no_box():
    page = utils.new_document("page")
    page += [
        nodes.title(text="A page"),
        nodes.literal_block(text="gm_lib.data: fsdd, from a folder."),
    ]
    assert not fallback.is_built_on_other_data(page)
