"""A box on top of each page that was computed on other data because the real ones were not to be had."""

import re

from docutils import nodes
from sphinx.application import Sphinx

# What gm_lib.data prints then: which set was looked for, why it is not here, and what was loaded.
IN_ITS_PLACE = re.compile(
    r"^gm_lib\.data: (?P<real>.+?) (?:is|are) not on this machine and .+\. "
    r"In (?:its|their) place (?P<loaded>[^,\n]+), ",
    re.MULTILINE,
)
# What is said of the data that stand in.
STANDING_IN = {
    "digits": "the 1,797 small digits that come with scikit-learn",
    "synthesized sounds with no speech in them": (
        "synthesized voices, which have a pitch and resonances and speak no language"
    ),
    "synthesized pieces": "synthesized pieces, random walks over six chords, whose entropy is known",
    "synthesized text without sense": "strings drawn from a Markov chain, whose entropy is known",
}

SETUP = "book/setup"


def announce(app: Sphinx, document: nodes.document) -> None:
    """Put the box under a page's title if one of its cells printed that other data were loaded."""
    title, found = document.next_node(nodes.title), _loaded(document)
    if title is None or not found:
        return
    real = " and ".join(found)
    other = " and ".join(dict.fromkeys(STANDING_IN[loaded] for loaded in found.values()))
    text = nodes.paragraph(
        "",
        "",
        nodes.strong(text=f"This page was built without {real}. "),
        nodes.Text(
            f"In their place stand {other}. They are other data: the numbers and pictures below are theirs, "
            f"and what holds on the real ones alone is left out. "
        ),
    )
    if SETUP in app.env.found_docs:
        address = app.builder.get_relative_uri(app.env.docname, SETUP)
        text += nodes.reference("", "Setup", refuri=f"{address}#data", internal=True)
        text += nodes.Text(" says how to give it the real ones.")
    title.parent.insert(title.parent.index(title) + 1, nodes.note("", text, classes=["built-on-digits"]))


def is_built_on_other_data(document: nodes.document) -> bool:
    """Tell whether one of the page's cells printed that other data took the place of the real ones."""
    return bool(_loaded(document))


def shortened(announcement: str) -> str:
    """Return what was said of the data without the reasons why it was not other data."""

    def of(found: re.Match[str]) -> str:
        return f"{found['loaded']} in the place of {_named(found)}, "

    return IN_ITS_PLACE.sub(of, f"gm_lib.data: {announcement}").removeprefix("gm_lib.data: ")


def _loaded(document: nodes.document) -> dict[str, str]:
    """Return what the page's cells printed that they loaded, by the real data in whose place it stands."""
    return {
        _named(found): found["loaded"]
        for output in document.findall(nodes.literal_block)
        for found in IN_ITS_PLACE.finditer(output.astext())
    }


def _named(found: re.Match[str]) -> str:
    return "MNIST" if found["real"] == "mnist" else found["real"]
