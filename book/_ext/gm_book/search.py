"""The book's search: its page, and the index of every section, exercise and term with the text seen there.

The index is a script that sets a variable: a page opened from a disk may load scripts, and fetch nothing.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, PageElement, SoupStrainer, Tag
from sphinx.application import Sphinx

INDEX = "_static/search_index.js"
# What is a result of its own, beside the terms of the glossary.
PLACES = "section[id], div.exercise[id], div.citation[id]"
# Cells are code and what it printed. What is folded is for opening: no search may give a solution away.
LEFT_OUT = (
    "a.headerlink, div.cell, details.fold, div.citation > .label, span.meaning, p.also, script, style, svg"
)
HEADING = re.compile("h[1-6]")


def replace_sphinx_search(app: Sphinx) -> None:
    """Keep Sphinx from making an index of its own: of whole pages, with all that is folded in them."""
    app.builder.search = False  # type: ignore[attr-defined]


def search_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield the search page, which Sphinx makes for its own index only."""
    app.env.get_domain("math").data["has_equations"]["search"] = True  # in the results: MathJax is loaded
    yield "search", {}, "search.html"


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """Write the index from the pages as they were written, in the book's order."""
    if exception is not None or app.builder.name != "html":
        return
    addresses = [app.builder.get_target_uri(name) for name in app.env.collect_relations()]
    index = [[address, places((Path(app.outdir) / address).read_text("utf-8"))] for address in addresses]
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    (Path(app.outdir) / INDEX).write_text(f"const SEARCH_INDEX = {text};\n", "utf-8")


def places(page: str) -> list[tuple[str, str, str]]:
    """Return anchor, title and text of each place on a page; the first of them is the page itself."""
    article = BeautifulSoup(page, "html.parser", parse_only=SoupStrainer("article"))
    for tag in article.select(LEFT_OUT):
        tag.decompose()
    for aside in article.select("details"):
        aside.replace_with(aside.summary or "")
    for formula in article.select("div.math"):
        formula.replace_with(" … ")
    for cells, mark in (("td + td, th + th", "· "), ("tbody > tr > :first-child", "– ")):
        for cell in article.select(cells):
            if _text(cell):
                cell.insert(0, mark)
    for term in article.select("dl.glossary > dt[id]"):
        explained = term.find_next_sibling("dd")
        term.name = "h2"
        term.wrap(article.new_tag("section", id=str(term["id"]))).extend([explained] if explained else [])
    # From the last to the first: each is taken out before the place that it stands in.
    return [_take_out(place) for place in reversed(article.select(PLACES))][::-1]


def _take_out(place: Tag) -> tuple[str, str, str]:
    """Take a place out of its page; return its anchor, title and text."""
    place.extract()
    title = place.find(HEADING, recursive=False) or place.strong
    if title:
        title.extract()
    return str(place["id"]), _text(title), _text(place).lstrip("· ")


def _text(tag: PageElement | None) -> str:
    return " ".join(tag.get_text().split()) if tag else ""
