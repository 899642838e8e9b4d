"""What stands around the text of a page: header buttons, coming chapters in the sidebar, footer."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from repository import repository

LICENCE = "https://creativecommons.org/licenses/by/4.0/"
COMING = re.compile(r"(\d\d .+) \(coming\)")


def note_coming(app: Sphinx, document: nodes.document) -> None:
    """Take from the first page's table of the whole arc which chapters are still to come."""
    if app.env.docname == app.config.root_doc:
        cells = (COMING.fullmatch(entry.astext()) for entry in document.findall(nodes.entry))
        app.env.gm_coming = [cell[1] for cell in cells if cell]  # type: ignore[attr-defined]


def list_coming(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Hand the coming chapters to the sidebar's template."""
    context["coming_chapters"] = getattr(app.env, "gm_coming", [])


def complete(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add a chapter's buttons to the header and the licence to the footer."""
    where = repository(Path(app.srcdir))
    name = Path(pagename).name
    if "kernelspec" in app.env.metadata.get(pagename, {}):
        context["header_buttons"][:0] = [
            {
                "type": "link",
                "url": where.colab(name),
                "text": "Colab",
                "icon": "_static/images/logo_colab.png",
                "tooltip": "Run this chapter in Colab",
                "label": "colab-button",
            },
            {
                "type": "link",
                "url": context["pathto"](f"notebooks/{name}.ipynb", 1),
                "icon": "fas fa-download",
                "tooltip": "Download this chapter as a notebook, exercises open",
                "label": "download-notebook-button",
            },
        ]
    context["theme_extra_footer"] = (
        f'<p>Text: <a href="{LICENCE}">CC BY 4.0</a>. Code: MIT. '
        f'<a href="https://github.com/{where.slug}">Source of this book</a>.</p>'
    )
