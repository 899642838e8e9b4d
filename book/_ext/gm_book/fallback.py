"""A box on top of each page that was computed on other data because the real ones were not to be had."""

import re

from docutils import nodes
from sphinx.application import Sphinx

# What gm_lib.data prints then: which set was looked for, why it is not here, and what was loaded.
IN_ITS_PLACE = re.compile(r"^gm_lib\.data: (?P<why>.+)\. In its place (?P<loaded>[^,\n]+), ", re.MULTILINE)
# What stands in: for what, and what is said of it.
STANDING_IN = {
    "digits": ("MNIST", "the 1,797 small digits that come with scikit-learn"),
    "synthesized sounds with no speech in them": (
        "the Free Spoken Digit Dataset",
        "synthesized voices, which have a pitch and resonances and speak no language",
    ),
}

SETUP = "book/setup"


def announce(app: Sphinx, document: nodes.document) -> None:
    """Put the box under a page's title if one of its cells printed that other data were loaded."""
    title, loaded = document.next_node(nodes.title), _loaded(document)
    if title is None or not loaded:
        return
    real, other = STANDING_IN[loaded]
    text = nodes.paragraph(
        "",
        "",
        nodes.strong(text=f"This page was built without {real}. "),
        nodes.Text(
            f"In its place stand {other}. They are other data: the numbers and pictures below are theirs, "
            f"and what holds on {real} alone is left out. "
        ),
    )
    if SETUP in app.env.found_docs:
        address = app.builder.get_relative_uri(app.env.docname, SETUP)
        text += nodes.reference("", "Setup", refuri=f"{address}#data", internal=True)
        text += nodes.Text(f" says how to give it {real}.")
    title.parent.insert(title.parent.index(title) + 1, nodes.note("", text, classes=["built-on-digits"]))


def is_built_on_other_data(document: nodes.document) -> bool:
    """Tell whether one of the page's cells printed that other data took the place of the real ones."""
    return bool(_loaded(document))


def shortened(announcement: str) -> str:
    """Return what was said of the data without the reasons why it was not other data."""

    def of(found: re.Match[str]) -> str:
        return f"{found['loaded']} in {STANDING_IN[found['loaded']][0]}'s place, "

    return IN_ITS_PLACE.sub(of, f"gm_lib.data: {announcement}").removeprefix("gm_lib.data: ")


def _loaded(document: nodes.document) -> str:
    """Return what a cell of the page printed that it loaded in the place of real data, or nothing."""
    outputs = (IN_ITS_PLACE.search(output.astext()) for output in document.findall(nodes.literal_block))
    return next((found["loaded"] for found in outputs if found), "")
