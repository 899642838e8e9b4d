"""Figures: numbers and captions, and a drawing for light pages beside one for dark ones.

While the book is executed ``gm_lib.system.drawings`` makes a figure an SVG. From it the dark drawing is made
by exchanging colours: ink and paper change places and a hue stays one. The colours of the lines, which can
be told apart on both, stay, but for the blue, whose letters are too dark on dark; images and what their
colours are read with stay too. What else a page does with a figure, ``figures.js`` does.
"""

import base64
import hashlib
import io
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.writers.html5 import HTML5Translator

from gm_book.slides import Frames
from gm_book.terms import NUMBER

LINES = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}  # gm_lib.plotting.COLOURS
BLUE, DARK_BLUE = "#0072b2", "#2489cf"
PAPER = (0x12, 0x12, 0x12)  # of the theme's dark pages
INK, DARK_INK = 0.27, 0.92  # lightness of letters on light pages and on dark ones
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
KEPT = re.compile(r'<g id="kept\d+"[^>]*>|<image\b[^>]*\bid="kept[^>]*>')
GROUP = re.compile(r"<g\b[^>]*>|</g>")
MATPLOTLIB = '<g id="figure_1">'
PIXELS = re.compile(r"(data:image/png;base64,)([A-Za-z0-9+/=\s]+)")
PANELS = re.compile(r'<svg\b[^>]*\bviewBox="0 0 ([\d.]+ [\d.]+)"[^>]*\bdata-panels="([^"]+)"')


class Drawn(nodes.General, nodes.Element):
    """A figure: its pictures, then perhaps its caption. ``name`` is what it is called, "Figure 9.3"."""


class Caption(nodes.General, nodes.TextElement):
    """What a figure is called, and what is said under it."""


def visit_drawn(translator: HTML5Translator, node: Drawn) -> None:
    anchor = f' id="{node["ids"][0]}"' if node["ids"] else ""
    panels = f' data-panels="{escape(node["panels"])}"' if node.get("panels") else ""
    translator.body.append(f'<figure class="drawn"{anchor}{panels}>\n')


def depart_drawn(translator: HTML5Translator, node: Drawn) -> None:
    translator.body.append("</figure>\n")


def visit_caption(translator: HTML5Translator, node: Caption) -> None:
    link = f'<a class="figure-number" href="#{node["anchor"]}">{node["name"]}</a> '
    translator.body.append(f"<figcaption>{link}")


def depart_caption(translator: HTML5Translator, node: Caption) -> None:
    translator.body.append("</figcaption>\n")


class Figures(SphinxTransform):
    """Number a page's figures, and give each drawing its dark counterpart."""

    default_priority = 869  # before MyST resolves the links within a page

    def apply(self, **kwargs: Any) -> None:
        title = self.document.next_node(nodes.title)
        number = re.match(rf"({NUMBER.pattern}) · ", title.astext()) if title is not None else None
        self._unwrap()
        count = 0
        for bundle in list(self.document.findall(_is_bundle)):
            if not any(isinstance(part, nodes.image) for part in bundle.findall()):
                continue
            count += 1
            drawn = bundle.parent if isinstance(bundle.parent, Drawn) else Drawn()
            if drawn is not bundle.parent:
                bundle.replace_self(drawn)
                drawn += bundle
            if number:
                self._name(drawn, f"{number[1]}.{count}")
            for image in list(bundle.findall(nodes.image)):
                self._add_dark(image, drawn)
        for image in list(self.document.findall(nodes.image)):
            paragraph = image.parent
            alone = isinstance(paragraph, nodes.paragraph) and len(paragraph) == 1
            if alone and (source := self._drawing(image)) and MATPLOTLIB in source:
                drawn = Drawn()
                paragraph.replace_self(drawn)
                drawn += image
                self._add_dark(image, drawn)

    def _unwrap(self) -> None:
        """Make figures of the cells' captions: one caption below the last picture of each cell."""
        for figure in list(self.document.findall(nodes.figure)):
            bundles = [child for child in figure if _is_bundle(child)]
            if not bundles:
                continue
            later = figure.parent[figure.parent.index(figure) + 1 :]
            if any(_is_picture(node) for node in later) or not any(map(_is_picture, bundles)):
                figure.replace_self(bundles)
                continue
            words = [child for node in figure.findall(nodes.caption) for child in node.children]
            figure.replace_self(Drawn("", *bundles, *([Caption("", "", *words)] if words else [])))

    def _name(self, drawn: Drawn, number: str) -> None:
        name, anchor = f"Figure {number}", nodes.make_id(f"figure-{number}")
        drawn["ids"] = [anchor]
        self.document.ids[anchor] = drawn
        self.document.myst_slugs[anchor] = (drawn.line, anchor, name)  # as of a heading
        caption = drawn.next_node(Caption)
        if caption is None:
            caption = Caption()
            drawn += caption
        caption["name"], caption["anchor"] = name, anchor

    def _drawing(self, image: nodes.image) -> str | None:
        """Return the text of an image's file, if that is an SVG."""
        path = Path(self.env.relfn2path(image["uri"], self.env.docname)[1])
        return path.read_text("utf-8") if path.suffix == ".svg" and path.is_file() else None

    def _add_dark(self, image: nodes.image, drawn: Drawn) -> None:
        text = self._drawing(image)
        if text is None:
            return
        if panels := PANELS.search(text):
            drawn["panels"] = f"{panels[1]};{panels[2]}"
        made = (
            Path(self.env.srcdir)
            / "_build"
            / ".dark"
            / f"{hashlib.sha256(text.encode()).hexdigest()}-dark.svg"
        )
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(darkened(text), "utf-8")
        other = image.deepcopy()
        other["uri"] = f"/{made.relative_to(self.env.srcdir).as_posix()}"
        image["classes"].append("in-the-light")
        other["classes"].append("in-the-dark")
        image.parent.insert(image.parent.index(image) + 1, other)


def _is_bundle(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "mime_bundle"


def _is_picture(node: nodes.Node) -> bool:
    return next(iter(node.findall(nodes.image)), None) is not None


def add_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load the script that enlarges figures, on pages that have some."""
    if doctree is not None and any(doctree.next_node(kind) is not None for kind in (Drawn, Frames)):
        app.add_js_file("figures.js", loading_method="defer")


# Colours


def darkened(drawing: str) -> str:
    """Return a drawing, an SVG as Matplotlib writes it, in the colours of a dark page."""
    parts, end = [], 0
    for kept in KEPT.finditer(drawing):
        if kept.start() >= end:
            element = _whole(drawing, kept)
            parts += [_redrawn(drawing[end : kept.start()]), _with_fill(element, "#000000")]
            end = kept.start() + len(element)
    return _with_fill("".join([*parts, _redrawn(drawing[end:])]), dark("#000000"))


def _with_fill(element: str, colour: str) -> str:
    """Return an element in which all has a colour that says none: Matplotlib leaves out black."""
    return re.sub(r"<(svg|g)\b", rf'<\1 fill="{colour}"', element, count=1)


def _whole(drawing: str, begin: re.Match[str]) -> str:
    """Return the element with this beginning, with all groups in it."""
    if begin[0].startswith("<image"):
        return begin[0]
    depth = 0
    for tag in GROUP.finditer(drawing, begin.start()):
        depth += -1 if tag[0] == "</g>" else 1
        if depth == 0:
            return drawing[begin.start() : tag.end()]
    return drawing[begin.start() :]


def _redrawn(part: str) -> str:
    """Return a part of a drawing with other colours."""
    with_pixels = PIXELS.sub(lambda found: found[1] + _recoloured(found[2]), part)
    return COLOUR.sub(lambda found: dark(found[0]), with_pixels)


@cache
def dark(colour: str) -> str:
    """Return a colour, "#rrggbb", as a dark page has it."""
    if colour in LINES:
        return DARK_BLUE if colour == BLUE else colour
    return "#" + bytes(_inverted(_rgb(colour)[None])[0].tolist()).hex()


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def _inverted(rgb: np.ndarray) -> np.ndarray:
    """Return colours, (n, 3) bytes, with the lightness of OKLab turned round: white is the page's paper."""
    lab = _to_lab(rgb)
    paper = _to_lab(np.array([PAPER]))[0]
    share = (1 - lab[:, :1]) / (1 - INK)  # how far from paper to ink
    lightness = (paper[0] + share * (DARK_INK - paper[0])).clip(0, 0.96)
    hue = lab[:, 1:] + paper[1:] * (1 - share).clip(0, 1)
    return _to_rgb(np.concatenate([lightness, hue], axis=1))


# Ottosson (2020), A perceptual color space for image processing
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _to_lab(rgb: np.ndarray) -> np.ndarray:
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _CONES.T) @ _LAB.T


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    linear = ((lab @ np.linalg.inv(_LAB).T) ** 3 @ np.linalg.inv(_CONES).T).clip(0, 1)
    share = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(share * 255).astype(np.uint8)


def _recoloured(png: str) -> str:
    """Return lines and clouds that were drawn as pixels in the colours of a dark page, in base64."""
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"))
    rgb = pixels[..., :3].reshape(-1, 3)
    grey = (np.ptp(rgb, axis=1) < 12) & (pixels[..., 3].reshape(-1) > 0)
    blue = np.abs(rgb - _rgb(BLUE)).max(axis=1) < 12
    rgb[grey] = _inverted(rgb[grey])
    rgb[blue] = _rgb(DARK_BLUE)
    pixels[..., :3] = rgb.reshape(pixels[..., :3].shape)
    content = io.BytesIO()
    Image.fromarray(pixels).quantize(256, method=Image.Quantize.FASTOCTREE).save(
        content, format="png", optimize=True
    )
    return base64.b64encode(content.getvalue()).decode()
