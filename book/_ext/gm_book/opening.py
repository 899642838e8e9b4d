"""How a page opens: a question, a picture of what will have been built, and what it gives, needs and takes.

In the source all that is prose, a line in italics and a paragraph, and a notebook shows it as it is. On the
page the paragraph becomes a card.
"""

import html
import re
from collections.abc import Callable, Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

from gm_book import first_page, pictures
from gm_book.terms import joined

# The parts of the paragraph, by the words in bold that each begins with.
PARTS = (
    ("learn", re.compile(r"After this \w+ you can")),
    ("need", re.compile(r"You need")),
    ("time", re.compile(r"Time:")),
)
BETWEEN = re.compile(r";\s+(?:and\s+)?")


def lay_out(app: Sphinx, document: nodes.document) -> None:
    """Keep the question of a page, and make a card of the paragraph after it, its aims."""
    title = document.next_node(nodes.title)
    questions(app.env).pop(app.env.docname, None)
    paragraphs = [node for node in title.parent if isinstance(node, nodes.paragraph)] if title else []
    for paragraph in paragraphs[:2]:
        if _is_question(paragraph):
            questions(app.env)[app.env.docname] = " ".join(paragraph.astext().split())
            # No paragraph: one in large italics may be taken for a heading, and asked to be one.
            paragraph.replace_self(nodes.container("", *paragraph.children, classes=["opening-question"]))
        elif parts := _parts(paragraph):
            aims = " ".join(paragraph.astext().split())
            picture = [nodes.container(classes=["opening-picture"])] if _has_picture(app.env) else []
            paragraph.replace_self(nodes.container("", *picture, *parts, classes=["opening"], aims=aims))
            break


def questions(env: BuildEnvironment) -> dict[str, str]:
    """Return the question that each page opens with."""
    return vars(env).setdefault("gm_questions", {})


def question(env: BuildEnvironment, page: str) -> str | None:
    """Return the question that a page answers: its own, or else the one that the arc says it answers."""
    return questions(env).get(page) or first_page.question(env, page)


def aims(document: nodes.document) -> str | None:
    """Return what a page says in its card, as one text."""
    boxes = (box for box in document.findall(nodes.container) if "aims" in box)
    return next((str(box["aims"]) for box in boxes), None)


def _has_picture(env: BuildEnvironment) -> bool:
    return env.docname in pictures.pictures(env)


def _is_question(paragraph: nodes.paragraph) -> bool:
    return (
        len(paragraph) == 1 and isinstance(paragraph[0], nodes.emphasis) and paragraph.astext().endswith("?")
    )


def _parts(paragraph: nodes.paragraph) -> list[nodes.container]:
    """Return what a paragraph says in three parts, or nothing if it has not all of them in their order."""
    parts: list[nodes.container] = []
    for child in joined(paragraph.deepcopy()):
        place = len(parts)
        if (
            isinstance(child, nodes.strong)
            and place < len(PARTS)
            and PARTS[place][1].fullmatch(child.astext())
        ):
            parts.append(
                nodes.container("", nodes.paragraph("", "", child), classes=[f"opening-{PARTS[place][0]}"])
            )
        elif parts:
            parts[-1][0] += child
    if len(parts) < len(PARTS):
        return []
    name, *said = parts[0][0].children
    parts[0].children = []
    parts[0] += [nodes.paragraph("", "", name), _list(said)]
    return parts


def _list(said: list[nodes.Node]) -> nodes.bullet_list:
    """Return a sentence whose clauses are parted by semicolons as a list, without the last full stop."""
    clauses = [nodes.paragraph()]
    for node in said:
        if not isinstance(node, nodes.Text):
            clauses[-1] += node
            continue
        first, *others = BETWEEN.split(node)
        clauses[-1] += nodes.Text(first)
        clauses += [nodes.paragraph("", "", nodes.Text(text)) for text in others]
    _cut(clauses[0], 0, str.lstrip)
    _cut(clauses[-1], -1, lambda text: text.rstrip().removesuffix("."))
    return nodes.bullet_list("", *(nodes.list_item("", clause) for clause in clauses), bullet="*")


def _cut(clause: nodes.paragraph, place: int, cut: Callable[[str], str]) -> None:
    if isinstance(clause[place], nodes.Text):
        clause[place] = nodes.Text(cut(str(clause[place])))


class PageCards(SphinxDirective):
    """The directive ``page-cards``: a card for each page under this one, with question and picture."""

    def run(self) -> list[nodes.Node]:
        return [nodes.container(classes=["page-cards"])]


class ShowOpening(SphinxPostTransform):
    """Show a page's picture at its top, and the cards of the pages under it."""

    default_priority = 900

    def run(self, **kwargs: Any) -> None:
        for box in list(self.document.findall(nodes.container)):
            if "opening-picture" in box["classes"]:
                box += nodes.raw("", self._picture(), format="html")
            elif "page-cards" in box["classes"]:
                cards = [f"<li>{first_page.show(self.env, card)}</li>" for card in self._pages()]
                box += nodes.raw("", "\n".join(['<ul class="cards">', *cards, "</ul>"]), format="html")

    def _picture(self) -> str:
        """Return the picture as a link to the figure; what it shows is its name."""
        page = self.env.docname
        shown = pictures.thumbnail(self.env, page)
        if shown is None:
            return ""
        image = shown.image(relative_uri(f"{page}.html", "_images/"), "opening-image", "eager")
        says = html.escape(pictures.caption(page))
        return f'<a href="#{pictures.ANCHOR}">{image}<span class="opening-caption">{says}</span></a>'

    def _pages(self) -> Iterator[first_page.Card]:
        for page in self.env.toctree_includes.get(self.env.docname, []):
            label, _, title = self.env.titles[page].astext().partition(" · ")
            yield first_page.Card("", label, title, page, question(self.env, page) or "")
