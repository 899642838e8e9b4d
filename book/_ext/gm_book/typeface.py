"""The typeface of the pages: Inter, in the size that a page needs.

``gm_lib.system.drawings`` sets the figures in the same one. The package brings two files of 0.9 MB with every
weight and 2,900 shapes; the pages get the weights and characters that they use, in 50 kB.
"""

import hashlib
import importlib.metadata
import io
import shutil
from pathlib import Path
from typing import Any

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont
from sphinx.application import Sphinx

from gm_lib.system.drawings import typeface
from gm_lib.system.files import replace_file

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "fontpkg-inter"
# Letters of the languages of Western Europe, Greek ones, and the signs that stand in text outside of formulas
RANGES = ((0x20, 0x7F), (0xA0, 0x100), (0x391, 0x3CA))
SIGNS = "ıłŁŌōŠšžćčńěᵢ–—‘’“”…•′″‹›€⁰⁴⁵⁶⁷⁸⁹⁺⁻ⁿ₀₁₂₃₄₅₆₇₈₉ℓ←↑→↓↔∂∆∇∈∏∑−√∞∫≈≠≤≥⌊⌋○●✓✗"
OPTICAL_SIZE = 14
FACES: dict[str, dict[str, Any]] = {
    "normal": {"opsz": OPTICAL_SIZE, "wght": (400, 700)},
    "italic": {"opsz": OPTICAL_SIZE, "wght": 400},
}


def add_typeface(app: Sphinx) -> None:
    """Write the faces to where ``book.css`` looks for them, and the licence beside them.

    They are made once, and again when the package, the characters or the weights are others.
    """
    asked = repr((importlib.metadata.version(PACKAGE), RANGES, SIGNS, FACES))
    digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
    target = Path(app.outdir) / "_static" / "fonts"
    target.mkdir(parents=True, exist_ok=True)
    for style in FACES:
        made = ROOT / "_build" / ".typeface" / f"{style}-{digest}.woff2"
        if not made.is_file():
            content = io.BytesIO()
            face(style).save(content)
            replace_file(made, content.getvalue())
        shutil.copyfile(made, target / f"inter-{style}.woff2")
    (target / "LICENCE.txt").write_text(licence(), "utf-8")


def face(style: str) -> TTFont:
    """Return the font of ``style``, "normal" or "italic", with what the pages use of it."""
    font = TTFont(typeface(style))
    options = Options(layout_features=["kern", "tnum"], hinting=False)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes={code for begin, end in RANGES for code in range(begin, end)}, text=SIGNS)
    subsetter.subset(font)
    font = instantiateVariableFont(font, FACES[style])
    font.flavor = "woff2"
    return font


def licence() -> str:
    """Return the licence that comes with the package: the fonts may be changed and passed on with it."""
    files = importlib.metadata.files(PACKAGE) or []
    return next(file for file in files if file.name == "LICENSE").read_text()
