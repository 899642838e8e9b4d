"""A page that was computed on other data than the text is about is known by what its cells printed."""

import contextlib
import io
import sys

import pytest
from docutils import nodes, utils

from chapters import ROOT
from gm_lib.data import images, spoken_digits

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from gm_book import fallback


@pytest.mark.parametrize(
    ("load", "real", "other"),
    [(images, "MNIST", "scikit-learn"), (spoken_digits, "Free Spoken Digit Dataset", "synthesized voices")],
)
def test_the_box_names_the_data_that_are_missing_and_those_in_their_place(load, real, other, monkeypatch):
    monkeypatch.setenv("GM_OFFLINE", "1")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        load()
    page = utils.new_document("page")
    page += [nodes.title(text="A page"), nodes.literal_block(text=printed.getvalue())]
    assert fallback.is_built_on_other_data(page)
    place = fallback.shortened(printed.getvalue().removeprefix("gm_lib.data: "))
    assert f"in {real}'s place" in place or f"in the {real}'s place" in place
    app = type("App", (), {"env": type("Env", (), {"found_docs": ()})})
    fallback.announce(app, page)
    assert f"built without {real}" in page.astext() or f"built without the {real}" in page.astext()
    assert other in page.astext()


def test_a_page_on_real_data_has_no_box():
    page = utils.new_document("page")
    page += [
        nodes.title(text="A page"),
        nodes.literal_block(text="gm_lib.data: fsdd, from a folder."),
    ]
    assert not fallback.is_built_on_other_data(page)
