"""What search engines and messengers tell of a page: its description, and what a link to it shows."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from gm_book import icons
from gm_book.opening import aims, question
from repository import repository

LONGEST = 200  # characters; more is cut where it is shown
PICTURE = "_static/readme.png"


def describe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Hand the template what stands in the page's head, by name. Addresses are told once the book has one."""
    title, book = _plain(context.get("title", "")), app.config.html_title
    described = description(app, pagename, doctree) or f"{title or book}: a page of the book {book}."
    site = repository(Path(app.srcdir)).site
    about = [
        ("description", described),
        ("og:type", "article" if pagename != app.config.root_doc else "website"),
        ("og:site_name", book),
        ("og:title", title or book),
        ("og:description", described),
    ]
    if app.config.author:
        about.append(("author", app.config.author))
    if site:
        card = f"_images/card-{Path(pagename).name}.webp"
        picture = card if (Path(app.outdir) / card).is_file() else PICTURE
        about += [
            ("og:url", f"{site}{app.builder.get_target_uri(pagename)}"),
            ("og:image", f"{site}{picture}"),
        ]
    context["about_page"] = about
    context["draw_icons"] = icons.draw


def description(app: Sphinx, pagename: str, doctree: nodes.document | None) -> str:
    """Return the question that a page answers, if there is one, and how its text begins."""
    parts = [question(app.env, pagename), (aims(doctree) or _beginning(doctree)) if doctree else None]
    return shortened(" ".join(filter(None, parts)))


def _beginning(doctree: nodes.document) -> str | None:
    """Return the first paragraph of a section itself, but for its question, that has no formula."""
    for paragraph in doctree.findall(nodes.paragraph):
        if list(paragraph.findall(nodes.math)):
            continue
        if isinstance(paragraph.parent, nodes.section):
            text = " ".join(paragraph.astext().split())
            if len(text) > 40:
                return text
    return None


def shortened(text: str) -> str:
    """Return a text of at most ``LONGEST`` characters: whole sentences, or whole words and an ellipsis."""
    if len(text) <= LONGEST:
        return text
    words = text[:LONGEST].rpartition(" ")[0]
    sentence = max(words.rfind(mark) for mark in (". ", "? ", "; "))
    return words[: sentence + 1].rstrip(";") if sentence > LONGEST / 2 else f"{words.rstrip(',;:–')} …"


def _plain(title: str) -> str:
    return re.sub(r"<[^>]+>", "", str(title)).strip()
