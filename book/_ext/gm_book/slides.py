"""What `slide()` drew at every place of its sliders, as a figure whose reader moves them without a kernel."""

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.osutil import relative_uri
from sphinx.writers.html5 import HTML5Translator

from gm_book.cells import paragraph

LOGGER = logging.getLogger(__name__)
OUTPUT = '<script type="application/json" data-gm="frames">'  # how gm_lib.widgets.Frames shows itself
FOLDER = "_frames"
FEW_WORDS = 3


class Frames(nodes.General, nodes.Element):
    """A figure of frames, with its caption in it, if it has one.

    ``data`` is what gm_lib.widgets.Frames holds, ``alt`` says what is seen, ``number`` counts on the page.
    """


def show_frames(app: Sphinx, document: nodes.document) -> None:
    """Put a figure in the place of the data that `slide()` left in a cell's output."""
    number = 0
    for cell in list(document.findall(nodes.container)):
        if cell.get("nb_element") != "cell_code":
            continue
        for output in list(cell.findall(nodes.raw)):
            text = output.astext().strip()
            if not text.startswith(OUTPUT):
                continue
            about = cell.get("cell_metadata", {}).get("mystnb", {})
            alt = str(about.get("image", {}).get("alt", ""))
            if len(alt.split()) < FEW_WORDS:
                LOGGER.warning(
                    'nothing says what this slide() shows: give its cell :mystnb: {image: {alt: "…"}}',
                    location=cell,
                )
            number += 1
            data = json.loads(text.removeprefix(OUTPUT).removesuffix("</script>"))
            figure = Frames("", data=data, alt=alt, number=number)
            if caption := about.get("figure", {}).get("caption"):
                figure += paragraph(str(caption))
            output.parent.parent.replace_self(figure)  # the bundle of this and the same as plain text


def visit_frames(translator: HTML5Translator, node: Frames) -> None:
    """Write the files, and begin the figure: the frame where the sliders start, and hidden controls."""
    data, builder = node["data"], translator.builder
    here = relative_uri(builder.get_target_uri(builder.current_docname), FOLDER)
    folder = Path(builder.outdir) / FOLDER
    pictures = [f"{here}/{_write(base64.b64decode(picture), folder)}" for picture in data["pictures"]]
    start = 0
    for control in data["controls"]:
        start = start * len(control["places"]) + control["start"]
    kind = "frames frames-inked" if data["inked"] else "frames"
    texts = data["texts"]
    translator.body.append(
        f'<figure class="{kind}" data-pictures="{_attribute(pictures)}" data-texts="{_attribute(texts)}">'
    )
    if pictures:
        translator.body.append(
            f'<img src="{pictures[start]}" alt="{escape(node["alt"])}" loading="lazy" '
            f'width="{data["width"]}" height="{data["height"]}">'
        )
    if texts:
        translator.body.append(f'<pre aria-live="polite">{escape(texts[start])}</pre>')
    controls = (
        _control(control, f"frames-{node['number']}-{place}")
        for place, control in enumerate(data["controls"], start=1)
    )
    translator.body.append(f'<div class="frames-controls" hidden>{"".join(controls)}</div>')
    if node.children:
        translator.body.append("<figcaption>")


def depart_frames(translator: HTML5Translator, node: Frames) -> None:
    translator.body.append("</figcaption></figure>\n" if node.children else "</figure>\n")


def add_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load the script that moves frames, on pages that have some."""
    if doctree is not None and doctree.next_node(Frames) is not None:
        app.add_js_file("slides.js", loading_method="defer")


def _control(control: dict[str, Any], id_: str) -> str:
    name, places, start = escape(control["name"]), control["places"], control["start"]
    label = f'<label for="{id_}">{name}</label>'
    if control["is_menu"]:
        options = "".join(
            f'<option value="{i}"{" selected" if i == start else ""}>{escape(place)}</option>'
            for i, place in enumerate(places)
        )
        return f'{label}<select id="{id_}" autocomplete="off">{options}</select>'
    said = escape(places[start])
    return (
        f'{label}<input id="{id_}" type="range" min="0" max="{len(places) - 1}" value="{start}" '
        f'autocomplete="off" data-places="{_attribute(places)}" aria-valuetext="{name} {said}">'
        f'<output for="{id_}" aria-live="off">{said}</output>'
    )


def _attribute(value: Any) -> str:
    return escape(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _write(content: bytes, folder: Path) -> str:
    """Write a frame, and return its file's name; equal frames are one file."""
    name = f"{_digest(content)}.webp"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return name


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
