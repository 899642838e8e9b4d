"""The table of executed chapters: seconds, profile, data, date, versions, as ``execute.py`` recorded them."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

import execution_cache
from gm_book import fallback
from gm_book.outputs import Shown, shown

HEADER = ("Chapter", "Seconds", "Profile", "Data", "Executed")


class StatusTable(nodes.General, nodes.Element):
    """Stands for the table until every chapter has been read."""


class ChapterStatus(SphinxDirective):
    """The directive ``chapter-status``: one row for each chapter in the table of contents."""

    def run(self) -> list[nodes.Node]:
        _pages(self.env).add(self.env.docname)
        return [StatusTable()]


class FillStatusTable(SphinxPostTransform):
    """Put the table in its place."""

    default_priority = 8  # before references are resolved

    def run(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(StatusTable)):
            node.replace_self(_table_and_versions(self.app, self.env.docname))


def outdated(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """Return the pages with the table: they are written anew whenever something was read anew."""
    return sorted(_pages(env) & env.found_docs)


def _pages(env: BuildEnvironment) -> set[str]:
    pages: set[str] = vars(env).setdefault("gm_status_pages", set())
    return pages


def _table_and_versions(app: Sphinx, docname: str) -> list[nodes.Node]:
    """Return a table with a row for each chapter and their sum; then, once, their data and the versions."""
    root = Path(app.srcdir)
    rows = []
    seconds = 0.0
    versions: dict[str, list[str]] = {}
    data: dict[str, None] = {}
    for path in execution_cache.book_chapters(root):
        chapter = path.relative_to(root).with_suffix("").as_posix()
        title = app.env.titles[chapter].astext()
        link = nodes.reference(
            "", title, refuri=app.builder.get_relative_uri(docname, chapter), internal=True
        )
        execution = shown(app.env)[chapter]
        rows.append([link, *_texts(*_columns(execution))])
        data |= dict.fromkeys(_data(execution))
        seconds += execution.record["execution_seconds"]
        used = ", ".join(f"{name} {version}" for name, version in execution.record["versions"].items())
        versions.setdefault(used, []).append(title)
    rows.append(_texts("All chapters", f"{seconds:.0f}", "", "", ""))
    lines = (
        [f"Versions: {used}"]
        if len(versions) == 1
        else [f"{', '.join(on)}: {used}" for used, on in versions.items()]
    )
    return [
        _as_table([_texts(*HEADER)], rows),
        nodes.paragraph(text="The data, in the words that the chapters printed:"),
        nodes.bullet_list("", *map(_item, data), bullet="*"),
        *(nodes.paragraph(text=f"{line}.") for line in lines),
    ]


def _data(execution: Shown) -> list[str]:
    """Return what an execution printed of the data that it loaded."""
    return [fallback.shortened(said) for said in execution.record["data"]]


def _name(said: str) -> str:
    """Return how what was said of data begins: their name."""
    return re.split(r"[,:]", said)[0]


def _item(said: str) -> nodes.list_item:
    """Return what was said of data as an item of a list."""
    name = _name(said)
    # A zero-width space after each slash lets a long path break into lines.
    rest = said.removeprefix(name).replace("/", "/\u200b")
    return nodes.list_item("", nodes.paragraph("", "", nodes.strong(text=name), nodes.Text(rest)))


def _columns(execution: Shown) -> tuple[str, ...]:
    """Return what is recorded of one execution, in the order of ``HEADER``."""
    record = execution.record
    return (
        f"{record['execution_seconds']:.0f}",
        f"{record['profile']}, on {record['device']}",
        "; ".join(dict.fromkeys(map(_name, _data(execution)))) or "none",
        f"{execution.created:%Y-%m-%d %H:%M} UTC",
    )


def _texts(*texts: str) -> list[nodes.Node]:
    return [nodes.Text(text) for text in texts]


def _as_table(head: list[list[nodes.Node]], body: list[list[nodes.Node]]) -> nodes.table:
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in HEADER), cols=len(HEADER))
    group += nodes.thead("", *map(_row, head))
    group += nodes.tbody("", *map(_row, body))
    return nodes.table("", group, classes=["colwidths-auto"])


def _row(cells: list[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))
