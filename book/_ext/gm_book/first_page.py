"""What only the first page has: a plane of codes to move about in, cards of the chapters, date, citation."""

import html
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

import latent_plane
from gm_book import pictures
from gm_book.cells import Fold
from repository import repository

NUMBER = re.compile(r"(\d\d)[a-z]? (.+?)(?: \(coming\))?")


# The plane


class LatentPlane(SphinxDirective):
    """The directive ``latent-plane``: its content is said under the plane."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        made = latent_plane.plane(Path(self.env.srcdir) / "_build" / ".plane")
        address = _publish(self.env, made.picture)
        side, size = latent_plane.SIDE, latent_plane.SIDE * latent_plane.PIXELS
        codes = [round(code, 3) + 0.0 for code in latent_plane.middles()]
        grid = html.escape(json.dumps({"codes": codes, "readAs": made.read_as}))
        script = relative_uri(_address(self.env), "_static/plane.js")
        alternative = (
            f"{side} rows of {side} digits like handwritten ones, made by a VAE from the codes of a plane. "
            "Neighbours are alike; from one side to the other the digits turn into one another."
        )
        before = (
            f'<figure class="plane" data-plane="{grid}">\n<div class="plane-field">'
            f'<img src="{address}" alt="{alternative}" width="{size}" height="{size}" loading="eager" />'
            "</div>\n"
            '<figcaption class="plane-caption">'
        )
        caption = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, caption)
        return [
            nodes.raw("", before, format="html"),
            *caption.children,
            nodes.raw("", f'</figcaption></figure>\n<script defer src="{script}"></script>', format="html"),
        ]


# Author, date, citation


class Byline(SphinxDirective):
    """The directive ``byline``: the author, where the configuration names one, the version and the date."""

    def run(self) -> list[nodes.Node]:
        author = self.config.author
        parts = [author] if author else []
        parts += [f"Version {repository(Path(self.env.srcdir)).version}", today().isoformat()]
        return [nodes.paragraph("", " · ".join(parts), classes=["byline"])]


class CiteThis(SphinxDirective):
    """The directive ``cite-this``: a fold with the book's entry for BibTeX."""

    def run(self) -> list[nodes.Node]:
        entry = bibtex(Path(self.env.srcdir), self.config.html_title, self.config.author)
        return [Fold("", nodes.literal_block(entry, entry, language="bibtex"), kind="cite", name="Cite this")]


def today() -> date:
    """Return the day of the build, or that of SOURCE_DATE_EPOCH, with which a build can be repeated."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return (datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)).date()


def bibtex(root: Path, title: str, author: str) -> str:
    """Return an entry for BibTeX from CITATION.cff, with the configuration's ``title`` where it has none.

    An ``author`` that the configuration names goes before those of CITATION.cff. An address is told when
    there is one.
    """
    path = root / "CITATION.cff"
    cited = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else {}
    where = repository(root)
    authors = [author] if author else [_name(person) for person in cited.get("authors", [])]
    released = cited.get("date-released")
    fields = {
        "title": f"{{{cited.get('title', title)}}}",
        "author": " and ".join(authors),
        "year": str(released)[:4] if released else str(today().year),
        "version": str(cited.get("version", where.version)),
        "url": where.site or "",
    }
    lines = [f"  {name:<7} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@software{{{where.slug.split('/')[-1]},", *lines, "}"])


def _name(person: dict[str, str]) -> str:
    """Return a person as BibTeX has names, and braces around what is no person's name."""
    if "family-names" in person:
        return f"{person['family-names']}, {person.get('given-names', '')}".rstrip(", ")
    return f"{{{person['name']}}}"


# The cards


@dataclass(frozen=True)
class Card:
    """A chapter or a page of one: part, number, title, its page if it is here, the question it answers."""

    part: str
    number: str
    title: str
    page: str | None
    question: str


class ShowArc(SphinxPostTransform):
    """Show the table of the arc as cards, each with a picture of its chapter."""

    default_priority = 900

    def run(self, **kwargs: Any) -> None:
        boxes = [box for box in self.document.findall(nodes.container) if "arc" in box["classes"]]
        for box, cards in zip(boxes, arc(self.env).get(self.env.docname, []), strict=True):
            box.children = []
            box += nodes.raw("", "\n".join(self._parts(cards)), format="html")

    def _parts(self, cards: list[Card]) -> Iterator[str]:
        """Yield a list of cards for each part; those before the first part stand under no heading."""
        for place, card in enumerate(cards):
            if card.part or place == 0:
                yield "</ul>" if place else ""
                yield f'<p class="arc-part">{html.escape(card.part)}</p>' if card.part else ""
                yield '<ul class="cards">'
            yield f"<li>{show(self.env, card)}</li>"
        yield "</ul>"


def show(env: BuildEnvironment, card: Card) -> str:
    """Return a card as HTML, on the page that is written."""
    text = (
        f'{_picture(env, card)}<span class="card-title"><span class="card-number">{card.number}</span> '
        f'{html.escape(card.title)}</span><span class="card-question">{html.escape(card.question)}</span>'
    )
    if card.page is None:
        return f'<div class="card card-coming">{text}<span class="card-note">coming</span></div>'
    address = env.app.builder.get_relative_uri(env.docname, card.page)
    return f'<a class="card" href="{address}">{text}</a>'


def _picture(env: BuildEnvironment, card: Card) -> str:
    shown = pictures.thumbnail(env, card.page) if card.page else None
    if shown is None:
        return f'<span class="card-picture card-drawn" aria-hidden="true">{card.number}</span>'
    return shown.image(relative_uri(_address(env), "_images/"), "card-picture", "lazy")


def note_arc(app: Sphinx, document: nodes.document) -> None:
    """Keep the rows of a page's tables of the arc."""
    boxes = (box for box in document.findall(nodes.container) if "arc" in box["classes"])
    arc(app.env)[app.env.docname] = [[*_cards(app.env, box)] for box in boxes]


def arc(env: BuildEnvironment) -> dict[str, list[list[Card]]]:
    """Return the rows of each table of the arc, by the page that they stand on."""
    return vars(env).setdefault("gm_arc", {})


def question(env: BuildEnvironment, page: str) -> str | None:
    """Return the question that the arc says a page answers."""
    cards = (card for tables in arc(env).values() for table in tables for card in table)
    return next((card.question for card in cards if card.page == page), None)


def _cards(env: BuildEnvironment, box: nodes.Element) -> Iterator[Card]:
    for body in box.findall(nodes.tbody):
        for row in body.findall(nodes.row):
            part, chapter, asked = (cell.astext() for cell in row.children)
            named = NUMBER.fullmatch(chapter)
            if named:
                links = row.findall(lambda node: isinstance(node, nodes.Element) and "reftarget" in node)
                page = next((str(link["reftarget"]) for link in links), None)
                yield Card(part, str(int(named[1])), named[2], page, asked)


def _address(env: BuildEnvironment) -> str:
    return f"{env.docname}.html"


def _publish(env: BuildEnvironment, path: Path) -> str:
    """Copy a file to the pictures of the site; return its address on the page that is read."""
    target = Path(env.app.outdir) / "_images" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return relative_uri(_address(env), f"_images/{path.name}")
