"""A box on top of each page that was computed on the small digits because MNIST was not to be had."""

import re

from docutils import nodes
from sphinx.application import Sphinx

# What gm_lib.data prints then: which set was looked for, why it is not here, and what was loaded.
IN_ITS_PLACE = re.compile(r"^gm_lib\.data: (?P<why>.+)\. In its place (?P<loaded>\w+), ", re.MULTILINE)

SETUP = "book/setup"


def announce(app: Sphinx, document: nodes.document) -> None:
    """Put the box under a page's title if one of its cells printed that other data took MNIST's place."""
    title = document.next_node(nodes.title)
    if title is None or not is_built_on_digits(document):
        return
    text = nodes.paragraph(
        "",
        "",
        nodes.strong(text="This page was built without MNIST. "),
        nodes.Text(
            "In its place stand the 1,797 small digits that come with scikit-learn. They are other data: "
            "the numbers and pictures below are theirs, and what holds on MNIST alone is left out. "
        ),
    )
    if SETUP in app.env.found_docs:
        address = app.builder.get_relative_uri(app.env.docname, SETUP)
        text += nodes.reference("", "Setup", refuri=f"{address}#data", internal=True)
        text += nodes.Text(" says how to give it MNIST.")
    title.parent.insert(title.parent.index(title) + 1, nodes.note("", text, classes=["built-on-digits"]))


def is_built_on_digits(document: nodes.document) -> bool:
    """Tell whether one of the page's cells printed that other data took MNIST's place."""
    return any(IN_ITS_PLACE.search(output.astext()) for output in document.findall(nodes.literal_block))


def shortened(announcement: str) -> str:
    """Return what was said of the data without the reasons why it was not other data."""
    return IN_ITS_PLACE.sub(r"\g<loaded> in MNIST's place, ", f"gm_lib.data: {announcement}").removeprefix(
        "gm_lib.data: "
    )
