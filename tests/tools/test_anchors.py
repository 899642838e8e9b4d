"""A heading may have an anchor of its own, which stays when its words change."""

import sys

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

from chapters import ROOT

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from gm_book.anchors import NamedAnchors

PAGES = {
    "index.md": """# One

See [the toy](two.md#toy_gan) and [its words](two.md#a-toy).

```{toctree}
two
```
""",
    "two.md": """# Two

It is [below](#toy_gan).

<a id="toy_gan"></a>

## A toy

<a id="in_the_text"></a>

A paragraph.
""",
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BeautifulSoup]:
    """A site of two pages, built with every warning an error."""
    folder = tmp_path_factory.mktemp("anchors")
    for name, text in PAGES.items():
        (folder / name).write_text(text, "utf-8")
    app = Sphinx(
        folder,
        None,
        folder / "html",
        folder / "doctrees",
        "html",
        confoverrides={"extensions": ["myst_parser"], "myst_heading_anchors": 2},
        status=None,
        warning=sys.stderr,
        warningiserror=True,
        keep_going=True,
    )
    app.add_transform(NamedAnchors)
    app.build()
    assert app.statuscode == 0
    return {
        name: BeautifulSoup((folder / "html" / f"{name}.html").read_text("utf-8"), "html.parser")
        for name in ("index", "two")
    }


def links(page: BeautifulSoup) -> dict[str, str]:
    return {link.get_text(): str(link["href"]) for link in page.select("a.reference[href]")}


def test_a_heading_is_reached_by_its_anchor_and_by_its_words(pages: dict[str, BeautifulSoup]) -> None:
    section = pages["two"].select_one("section#toy-gan")
    assert section is not None
    assert section.find("h2").get_text().startswith("A toy")  # type: ignore[union-attr]
    assert section.find(id="a-toy")
    assert links(pages["index"])["the toy"] == "two.html#toy-gan"
    assert links(pages["index"])["its words"].startswith("two.html#")
    assert links(pages["two"])["below"] == "#toy-gan"


def test_an_anchor_above_no_heading_stays_where_it_is(pages: dict[str, BeautifulSoup]) -> None:
    assert pages["two"].find(id="in_the_text")
    assert not pages["two"].find(id="toy_gan")
