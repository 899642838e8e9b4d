"""The glossary in the chapters: where a chapter first speaks of a term, the reader can ask for its meaning.

The first mention of each term in a chapter's prose becomes a link to the glossary, and its meaning stands
beside it, hidden until ``terms.js`` shows it. In the glossary the chapters that an entry names become links,
and those that also mention the term are added.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.writers.html5 import HTML5Translator

from gm_book.cells import Fold

# Words that prose also uses in another sense: they are marked only in the chapters that their entry names.
ORDINARY = {
    *("Baseline", "Bias", "Code", "Commitment", "Evidence", "Identified", "Mode", "Packing", "Power", "Rate"),
    "Responsibility",
}
# A chapter that means another thing by a word.
ANOTHER_SENSE = {
    *(("3", "Decoder"), ("3", "Encoder")),  # of arithmetic coding
    ("8", "Generator"),  # of random numbers
}
# What holds the word of a term and is another thing.
OTHER = ("a bit", "in code", "is evidence", "samples a second")

NUMBER = re.compile(r"A?\d+[a-z]?")  # of a chapter, or of a page of one
TREATED = re.compile(rf"Chapters? {NUMBER.pattern}(, {NUMBER.pattern})*\.")  # what ends an entry
ALSO = re.compile(r"(?:Abbreviated|[Aa]lso\s+called) (?P<name>[^.,;]+)\.|(?P<short>[A-Z]\w+) for short")
DETAILS = re.compile(r"<(/?)details\b")
PLURALS = ((r"([^aeiou])y$", r"\1ies"), (r"rix$", "rices"), (r"sis$", "ses"), (r"(s|x|ch|sh)$", r"\1es"))

# Where no term is marked: what is no prose, what is a link or a formula already, and what is folded away.
SKIPPED = (
    *(nodes.title, nodes.reference, addnodes.pending_xref, nodes.citation, nodes.note, nodes.table),
    *(nodes.literal, nodes.FixedTextElement, nodes.math, nodes.math_block, nodes.raw, nodes.Invisible, Fold),
)


@dataclass(frozen=True)
class Term:
    """An entry of the glossary: where it stands, what it says, and the chapters that it names."""

    page: str
    anchor: str
    name: str
    meaning: tuple[nodes.Node, ...]
    chapters: tuple[str, ...]

    def forms(self) -> Iterator[str]:
        """Yield what the term is called: its name, or the parts of that, and what its entry adds."""
        yield from re.sub(r" \(.*\)", "", self.name).split(", ")
        for match in ALSO.finditer(self.says()):
            yield match["name"] or match["short"]

    def says(self) -> str:
        return "".join(node.astext() for node in self.meaning)

    def is_treated_in(self, chapter: str) -> bool:
        """Tell whether the entry names this chapter, or the one that it is a page of."""
        return chapter in self.chapters or chapter.rstrip("abcdefg") in self.chapters


class Mention(nodes.Inline, nodes.TextElement):
    """The first mention of a term in a chapter: ``anchor`` is that of its entry, ``refuri`` leads there."""


class Meaning(nodes.Inline, nodes.TextElement):
    """What a term means, for the reader who asks."""


def visit_mention(translator: HTML5Translator, node: Mention) -> None:
    translator.body.append(
        f'<a class="term" id="{met(node["anchor"])}" href="{escape(node["refuri"])}" '
        f'aria-describedby="meaning-of-{node["anchor"]}">'
    )


def depart_mention(translator: HTML5Translator, node: Mention) -> None:
    translator.body.append("</a>")


def visit_meaning(translator: HTML5Translator, node: Meaning) -> None:
    translator.body.append(f'<span class="meaning" popover="manual" id="meaning-of-{node["anchor"]}">')


def depart_meaning(translator: HTML5Translator, node: Meaning) -> None:
    translator.body.append("</span>")


def met(anchor: str) -> str:
    """Return the anchor of a term's first mention in a chapter."""
    return f"met-{anchor}"


class Terms:
    """The terms of the glossary, and the search for the first mention of each in a chapter."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self.terms = {term.anchor: term for term in terms}
        # What is called so: several terms may share a word, and what is another thing has none.
        self._called: dict[str, list[Term]] = {plain(words): [] for words in OTHER}
        for term in self.terms.values():
            for form in term.forms():
                for spelling in spellings(form):
                    self._called.setdefault(spelling, []).append(term)
        # The longest first: where "score function" stands, nothing shorter is looked for.
        longest_first = sorted(self._called, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![\w–-])(?:{'|'.join(map(loosely, longest_first))})(?![\w–-])")

    def mentions(self, document: nodes.document, chapter: str) -> Iterator[tuple[nodes.Text, re.Match, Term]]:
        """Yield where in a chapter's prose each term is first mentioned, in their order."""
        found: set[str] = set()
        for text in prose(document) if self._called else ():
            for match in self._pattern.finditer(text):
                meant = self._meant(plain(match[0]), chapter)
                if meant and meant.anchor not in found:
                    found.add(meant.anchor)
                    yield text, match, meant

    def _meant(self, words: str, chapter: str) -> Term | None:
        """Return the term that a chapter calls so, if any."""
        terms = [term for term in self._called[words] if (chapter, term.name) not in ANOTHER_SENSE]
        treated = [term for term in terms if term.is_treated_in(chapter)]
        others = [term for term in terms if term.name not in ORDINARY and "(" not in term.name]
        return next(iter(treated + others), None)


def plain(text: str) -> str:
    """Return a text with spaces, dashes and apostrophes of one kind."""
    return " ".join(text.split()).replace("–", "-").replace("’", "'")


def loosely(words: str) -> str:
    """Return the regular expression of a plain text, with any spaces, dashes and apostrophes."""
    return re.escape(words).replace(r"\ ", r"\s+").replace(r"\-", "[–-]").replace("'", "['’]")


def spellings(form: str) -> Iterator[str]:
    """Yield how a form is written: within a sentence and at its beginning, one of it and several."""
    form = plain(form)
    inside = form[0].lower() + form[1:] if re.match(r"[A-Z][a-z]+\b", form) else form
    for begun in dict.fromkeys((form, inside, form[0].upper() + form[1:])):
        yield begun
        yield next((re.sub(a, b, begun) for a, b in PLURALS if re.search(a, begun)), f"{begun}s")


def prose(element: nodes.Element) -> Iterator[nodes.Text]:
    """Yield the texts in which a term may be marked."""
    folded = 0  # in how many <details> of the source we are
    for child in joined(element):
        if isinstance(child, nodes.raw):
            folded += sum(-1 if match[1] else 1 for match in DETAILS.finditer(child.astext()))
        elif folded or isinstance(child, SKIPPED) or is_cell(child) or is_question(child):
            continue
        elif isinstance(child, nodes.Text):
            yield child
        elif isinstance(child, nodes.Element):
            yield from prose(child)


def joined(element: nodes.Element) -> list[nodes.Node]:
    """Join the texts that MyST makes of the lines of a paragraph; return what the element then holds."""
    children: list[nodes.Node] = []
    for is_text, run in groupby(element.children, key=lambda child: isinstance(child, nodes.Text)):
        together = list(run)
        children += [nodes.Text("".join(map(str, together)))] if is_text else together
    element.children = []
    element.extend(children)
    return children


def is_cell(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and "nb_element" in node


def is_question(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and "opening-question" in node["classes"]


def entries(document: nodes.document, page: str) -> Iterator[tuple[Term, nodes.definition]]:
    """Yield the terms of a page, each with the place of its meaning."""
    for glossary in document.findall(addnodes.glossary):
        for item in glossary.findall(nodes.definition_list_item):
            term, definition = item.next_node(nodes.term), item.next_node(nodes.definition)
            paragraph = definition.next_node(nodes.paragraph) if definition is not None else None
            if term is None or definition is None or paragraph is None:
                continue
            *says, last = (flattened(child) for child in paragraph.children)
            chapters = NUMBER.findall(last.astext()) if TREATED.fullmatch(last.astext()) else []
            meaning = says if isinstance(last, nodes.emphasis) else [*says, last]
            yield Term(page, term["ids"][0], term.astext(), tuple(meaning), tuple(chapters)), definition


def flattened(node: nodes.Node) -> nodes.Node:
    """Return a copy without links."""
    copy = node.deepcopy()
    if isinstance(copy, nodes.reference | addnodes.pending_xref):
        return nodes.inline("", "", *(flattened(child) for child in copy.children))
    if isinstance(copy, nodes.Element):
        copy.children = []
        copy.extend(flattened(child) for child in getattr(node, "children", ()))
    return copy


@dataclass
class Glossary:
    """What a build knows of the glossary: its terms, and which of them each chapter mentions."""

    terms: Terms
    mentioned: dict[str, list[str]]  # anchors of terms, by the page of the chapter

    def looks_like(self) -> list[tuple[str, str, str]]:
        """Return what of the terms chapters show: if it changed, their pages are written anew."""
        return [(term.page, term.name, term.says()) for term in self.terms.terms.values()]


def read(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """Look for the terms in all chapters, once all pages are read; return the pages to be written anew."""
    before = vars(env).get("gm_glossary")
    pages = [page for page in env.found_docs if _has_terms(env, page)]
    terms = Terms(term for page in sorted(pages) for term, _ in entries(env.get_doctree(page), page))
    mentioned = {}
    for chapter in sorted(chapters(env)):
        found = [term for _, _, term in terms.mentions(env.get_doctree(chapter), number(env, chapter))]
        mentioned[chapter] = [term.anchor for term in found]
        if any(next(iter(part.findall(nodes.math)), None) for term in found for part in term.meaning):
            env.get_domain("math").data["has_equations"][chapter] = True  # the page loads MathJax
    now = vars(env)["gm_glossary"] = Glossary(terms, mentioned)
    if before is None or before.looks_like() != now.looks_like():
        return [*pages, *mentioned]
    return pages if before.mentioned != mentioned else []


def chapters(env: BuildEnvironment) -> list[str]:
    """Return the pages that are chapters: those that are executed."""
    return [page for page in env.found_docs if "kernelspec" in env.metadata[page]]


def number(env: BuildEnvironment, page: str) -> str:
    """Return a chapter's number, which begins its title; "" for other pages."""
    found = re.match(rf"({NUMBER.pattern}) · ", env.titles[page].astext())
    return found[1] if found else ""


def _has_terms(env: BuildEnvironment, page: str) -> bool:
    return any(
        kind == "term" and docname == page
        for _, _, kind, docname, _, _ in env.get_domain("std").get_objects()
    )


class ShowTerms(SphinxPostTransform):
    """Mark the first mentions in a chapter; link the chapters in the glossary."""

    default_priority = 5  # before references are resolved: those of a meaning are left out
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        known: Glossary = vars(self.env)["gm_glossary"]
        here = self.env.docname
        if here in known.mentioned:
            found = known.terms.mentions(self.document, number(self.env, here))
            for text, mentions in groupby(list(found), key=lambda mention: mention[0]):
                self._mark(text, [(match, term) for _, match, term in mentions])
        for term, definition in list(entries(self.document, here)):
            self._link_chapters(term, definition)

    def _mark(self, text: nodes.Text, mentions: list[tuple[re.Match, Term]]) -> None:
        """Put the mentions in a text, each with its meaning, in the place of their words."""
        parts: list[nodes.Node] = []
        end = 0
        for match, term in mentions:
            address = f"{self._address(term.page)}#{term.anchor}"
            link = nodes.reference("", "In the glossary", refuri=address, internal=True)
            meaning = Meaning("", *(node.deepcopy() for node in term.meaning), link, anchor=term.anchor)
            parts += [
                nodes.Text(text[end : match.start()]),
                Mention("", match[0], refuri=address, anchor=term.anchor),
                meaning,
            ]
            end = match.end()
        text.parent.replace(text, [*parts, nodes.Text(text[end:])])

    def _link_chapters(self, term: Term, definition: nodes.definition) -> None:
        """Link the chapters that an entry names, and add those that also mention its term."""
        known: Glossary = vars(self.env)["gm_glossary"]
        pages = {number(self.env, page): page for page in self.env.found_docs}
        paragraph = definition.next_node(nodes.paragraph)
        if term.chapters and paragraph is not None:
            named = nodes.emphasis()
            end = 0
            text = paragraph[-1].astext()
            for match in NUMBER.finditer(text):
                before = re.sub(r"(?<=\w) $", "\N{NO-BREAK SPACE}", text[end : match.start()])
                named += [nodes.Text(before), self._chapter(match[0], pages, term)]
                end = match.end()
            named += nodes.Text(text[end:])
            paragraph.replace(paragraph[-1], named)
        also = [number(self.env, page) for page, found in known.mentioned.items() if term.anchor in found]
        if also := [each for each in also if each not in term.chapters]:
            line = nodes.paragraph(
                "", "Also in chapter " if len(also) == 1 else "Also in chapters ", classes=["also"]
            )
            for place, each in enumerate(also):
                line += [*([nodes.Text(", ")] if place else []), self._chapter(each, pages, term)]
            line += nodes.Text(".")
            definition += line

    def _chapter(self, name: str, pages: dict[str, str], term: Term) -> nodes.Node:
        """Return a chapter's number as a link to where it first mentions a term, or to its beginning."""
        known: Glossary = vars(self.env)["gm_glossary"]
        if name not in pages:
            return nodes.Text(name)  # it is still to come
        place = f"#{met(term.anchor)}" if term.anchor in known.mentioned.get(pages[name], ()) else ""
        return nodes.reference("", name, refuri=f"{self._address(pages[name])}{place}", internal=True)

    def _address(self, page: str) -> str:
        return self.app.builder.get_relative_uri(self.env.docname, page)


def add_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load the script that shows meanings, on pages that have some."""
    if doctree is not None and doctree.next_node(Mention) is not None:
        app.add_js_file("terms.js", loading_method="defer")
