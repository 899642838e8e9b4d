"""What a page makes a browser load, and when: no MathJax without a formula, pictures when reached."""

import base64
import hashlib
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.images import get_image_size

LATE = re.compile(r"<(img|iframe)\b(?![^>]*\bloading=)([^>]*?)(\s*/?>)")
HAS_ROOM = re.compile(r'\s(?:width|style)="')
# Of a drawing's width and height, or else of its viewBox: the two numbers, and their unit if it is no pixel.
SVG_SIZES = (
    re.compile(r'<svg\b[^>]*?\swidth="(?P<width>[\d.]+)(?P<unit>pt)?"[^>]*?\sheight="(?P<height>[\d.]+)'),
    re.compile(r'<svg\b[^>]*?\sviewBox="[\d.-]+ [\d.-]+ (?P<width>[\d.]+) (?P<height>[\d.]+)(?P<unit>)"'),
)
PIXELS_OF_A_POINT = 4 / 3
SOURCE = re.compile(r'\bsrc="([^"]+)"')
SOUND = re.compile(r'"data:audio/wav;base64,([A-Za-z0-9+/=\s]+)"')
SOUNDS = "_sounds"
FORMULA = 'class="math'


def lighten(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Take from a page what it need not load, and put off what it need not load at once."""
    if doctree is None:
        return
    body = context["body"]
    if FORMULA not in body:
        # Sphinx gives MathJax also to a page under which, in the table of contents, another has formulas.
        scripts = context["script_files"]
        scripts[:] = [script for script in scripts if not _is_mathjax(script)]
    sounds = Path(app.outdir) / SOUNDS

    def write_sound(found: re.Match[str]) -> str:
        content = base64.b64decode(found[1])
        name = f"{hashlib.sha256(content).hexdigest()[:32]}.wav"
        sounds.mkdir(exist_ok=True)
        (sounds / name).write_bytes(content)
        return f'"{context["pathto"](f"{SOUNDS}/{name}", 1)}"'

    places = {name: Path(app.srcdir) / source for source, name in app.builder.images.items()}

    def put_off(found: re.Match[str]) -> str:
        tag, attributes, end = found.groups()
        source = SOURCE.search(attributes) if tag == "img" else None
        path = places.get(unquote(Path(unescape(source[1])).name)) if source else None
        size = _size(path) if path and not HAS_ROOM.search(attributes) else None
        room = f' width="{size[0]}" height="{size[1]}"' if size else ""
        return f'<{tag}{attributes}{room} loading="lazy"{end}'

    context["body"] = LATE.sub(put_off, SOUND.sub(write_sound, body))


def _size(path: Path) -> tuple[int, int] | None:
    """Return width and height of a picture, in pixels; None if they cannot be told."""
    if path.suffix != ".svg":
        return get_image_size(str(path))
    text = path.read_text("utf-8")
    found = next(filter(None, (pattern.search(text) for pattern in SVG_SIZES)), None)
    if found is None:
        return None
    pixels = PIXELS_OF_A_POINT if found["unit"] else 1
    return round(float(found["width"]) * pixels), round(float(found["height"]) * pixels)


def _is_mathjax(script: Any) -> bool:
    """Tell whether a script is MathJax, or says how it should work."""
    return "mathjax" in f"{script.filename or script.attributes.get('body', '')}".lower()
