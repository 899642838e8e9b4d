"""The icons of the pages, as drawings in each page.

The theme's templates name icons of Font Awesome, ``<i class="fa-solid fa-list"></i>``, and let a script of
1.5 MB or three fonts draw them. Here each page has a sprite with the shapes of the dozen that it uses, taken
from that script when the book is built. Neither script nor fonts are published, and no style sheet names
their glyphs.
"""

import re
import shutil
from functools import cache
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

from gm_lib.system.files import package_folder

LOGGER = logging.getLogger(__name__)
THEME = "pydata_sphinx_theme"  # which the book's theme extends
SCRIPT = "theme/pydata_sphinx_theme/static/scripts/fontawesome.js"
ICON = re.compile(r'<(?:i|span)\s([^>]*?)class="([^"]*\bfa-[^"]*)"([^>]*)></(?:i|span)>')
LOADS_SCRIPT = re.compile(r"<script[^>]*/fontawesome\.js[^>]*></script>")
# "expand":[448,512,[],"f065","M32 32C…"], the names in quotation marks only where they need some.
SHAPE = re.compile(r'"?([\w-]+)"?:\[(\d+),(\d+),\[([^\]]*)\],"[0-9a-f]+","(M[^"]+)"\]')
STYLES = {"fa-solid", "fa-brands", "fa-regular", "fa-lg", "fa-fw"}  # how an icon is drawn, not which
LICENCE = "Icons: Font Awesome Free by @fontawesome, https://fontawesome.com, CC BY 4.0"
UNUSED = ("scripts/fontawesome*", "vendor/fontawesome")


@cache
def shapes() -> dict[str, tuple[str, str]]:
    """Return the box and the path of each icon that Font Awesome has, by its names."""
    script = package_folder(THEME) / SCRIPT
    found: dict[str, tuple[str, str]] = {}
    for name, width, height, aliases, path in SHAPE.findall(script.read_text("utf-8")):
        shape = (f"0 0 {width} {height}", path)
        for each in (name, *re.findall(r'"([\w-]+)"', aliases)):
            found[each] = shape  # the solid ones come last: of two with one name it is theirs
    return found


def draw(page: str) -> str:
    """Return a piece of a page with drawings in the place of the icons' names, behind the shapes they use."""
    used: dict[str, tuple[str, str]] = {}

    def drawing(icon: re.Match[str]) -> str:
        classes = icon[2].split()
        name = next((c.removeprefix("fa-") for c in classes if c.startswith("fa-") and c not in STYLES), "")
        if name not in shapes():
            LOGGER.warning("no icon is called %r: %s", name, icon[0])
            return icon[0]
        used[name] = shapes()[name]
        attributes = f"{icon[1]}{icon[3]}".replace('aria-hidden="true"', "").split()
        kept = "".join(f" {attribute}" for attribute in attributes)
        return (
            f'<svg class="svg-inline--fa {icon[2]}" viewBox="{used[name][0]}" aria-hidden="true"{kept}>'
            f'<use href="#icon-{name}"/></svg>'
        )

    drawn = ICON.sub(drawing, LOADS_SCRIPT.sub("", page))
    if not used:
        return drawn
    symbols = "".join(
        f'<symbol id="icon-{name}" viewBox="{box}"><path fill="currentColor" d="{path}"/></symbol>'
        for name, (box, path) in sorted(used.items())
    )
    return f"<svg hidden><!-- {LICENCE} -->{symbols}</svg>{drawn}"


GLYPHS = re.compile(r'(?:\.fa-[\w-]+:before,?)+\{content:"[^"]*"\}')


def remove_unused(app: Sphinx, exception: Exception | None) -> None:
    """Leave out of the site what the theme brought to draw icons."""
    for pattern in UNUSED:
        for path in (Path(app.outdir) / "_static").glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    for sheet in (Path(app.outdir) / "_static" / "styles").glob("pydata-sphinx-theme.css"):
        sheet.write_text(GLYPHS.sub("", sheet.read_text("utf-8")), "utf-8")
