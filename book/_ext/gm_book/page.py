"""What stands around the text of a page: header buttons, coming chapters in the sidebar, footer."""

import re
from itertools import chain
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from repository import repository

LICENCE = "https://creativecommons.org/licenses/by/4.0/"
COMING = re.compile(r"(\d\d[a-z]? .+) \(coming\)")


def note_coming(app: Sphinx, document: nodes.document) -> None:
    """Take from a page's tables which chapters, or pages of a chapter, are still to come."""
    cells = (COMING.fullmatch(entry.astext()) for entry in document.findall(nodes.entry))
    _coming(app)[app.env.docname] = [cell[1] for cell in cells if cell]


def _coming(app: Sphinx) -> dict[str, list[str]]:
    """Return what is still to come, by the page that names it."""
    return vars(app.env).setdefault("gm_coming_on", {})


def visit_citation(translator: HTML5Translator, node: nodes.citation) -> None:
    """Begin a reference as an entry of its list; docutils gives it a role that was taken out of ARIA."""
    HTML5Translator.visit_citation(translator, node)
    translator.body[-1] = translator.body[-1].replace("doc-biblioentry", "listitem")


def depart_citation(translator: HTML5Translator, node: nodes.citation) -> None:
    HTML5Translator.depart_citation(translator, node)


def prepare(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Hand our templates what they show: the coming chapters, and where a chapter's notebook is."""
    coming = (titles for page, titles in _coming(app).items() if page in app.env.found_docs)
    context["coming_chapters"] = sorted(chain.from_iterable(coming))
    if "kernelspec" in app.env.metadata.get(pagename, {}):
        name = Path(pagename).name
        context["chapter_colab"] = repository(Path(app.srcdir)).colab(name)
        context["chapter_notebook"] = context["pathto"](f"notebooks/{name}.ipynb", 1)


def add_footer(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add licence and source to the footer."""
    slug = repository(Path(app.srcdir)).slug
    context["theme_extra_footer"] = (
        f'<p>Text: <a href="{LICENCE}">CC BY 4.0</a>. Code: MIT. '
        f'<a href="https://github.com/{slug}">Source of this book</a>.</p>'
    )
