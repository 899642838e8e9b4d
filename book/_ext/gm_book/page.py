"""What stands around the text of a page: header buttons, coming chapters in the sidebar, footer."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from repository import repository

LICENCE = "https://creativecommons.org/licenses/by/4.0/"
COMING = re.compile(r"(\d\d .+) \(coming\)")


def note_coming(app: Sphinx, document: nodes.document) -> None:
    """Take from the first page's table of the whole arc which chapters are still to come."""
    if app.env.docname == app.config.root_doc:
        cells = (COMING.fullmatch(entry.astext()) for entry in document.findall(nodes.entry))
        app.env.gm_coming = [cell[1] for cell in cells if cell]  # type: ignore[attr-defined]


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
    context["coming_chapters"] = getattr(app.env, "gm_coming", [])
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
