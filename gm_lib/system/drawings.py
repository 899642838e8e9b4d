"""Figures as SVG drawings, which the pages of the book show: sharp at any size, and redrawn for the dark.

What of a figure stays as it is in the dark has an id in the drawing that begins with ``kept``: images, what
takes its colours from a map, and what is drawn over these.
"""

import base64
import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PathCollection, QuadMesh
from matplotlib.colors import Colormap, to_rgba
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from PIL import Image

from gm_lib.system.files import package_folder

TYPEFACE = "Inter"
PER_INCH = 110  # pixels of a page
POINTS = 72
MANY = 2000  # points of a line: with more it is drawn as pixels
MANY_MARKS = 500  # of a cloud, each as long as ten points of a line
MANY_CORNERS = 6000  # of areas, and of all that is drawn in one pair of axes
WIDTH = 380.0  # points: on a phone, letters of ten points are then as high as nine pixels
PANELS = 6  # columns of axes: more are one picture
AROUND = 0.06  # inches
SETTINGS: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "gm",
    "svg.image_inline": True,
    "image.composite_image": False,
}
NO_DATE: Any = dict.fromkeys(("Date", "Creator", "Format", "Type"))
NUMBERS = re.compile(r'\b(?:d|x|y)="[^"]*"')
KEPT_IMAGE = re.compile(r'id="kept\d')
OVER = re.compile(r'<g id="over\d+".*?(?=<g id="(?:axes_|over)\d+"|\Z)', re.DOTALL)
IMAGE = re.compile(r"<image\b[^>]*data:image/png;base64,(?P<png>[A-Za-z0-9+/=\s]+)[^>]*>")


def typeface(style: str) -> Path:
    """Return the file of the typeface of pages and figures, "normal" or "italic"; the extra ``book`` has it.

    Raises ``ModuleNotFoundError`` where that is not installed.
    """
    italic = "-Italic" if style == "italic" else ""
    return package_folder("fontpkg_inter") / "files" / f"{TYPEFACE}{italic}[opsz,wght].ttf"


def use_typeface() -> None:
    """Set the letters of all figures from now on in the typeface of the pages.

    What stands between dollars stays in matplotlib's own, and so does what Inter has no sign for. Matplotlib
    finds that only in a text without dollars: beside a formula, such a sign belongs into the formula.
    """
    for style in ("normal", "italic"):
        font_manager.fontManager.addfont(typeface(style))
    mpl.rcParams["font.family"] = [TYPEFACE, "DejaVu Sans"]


def show_as_drawings() -> None:
    """Let the notebook that this program is show every figure as a drawing too, beside its PNG."""
    use_typeface()
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        plt.switch_backend(mpl.get_backend())  # a notebook's own forgets, as it starts, what was set before
        shell.display_formatter.formatters["image/svg+xml"].for_type(Figure, drawing)


def bundle(figure: Figure) -> dict[str, str]:
    """Return what a notebook keeps of a figure while the book is built: the drawing, and a PNG for cards."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=figure.dpi, bbox_inches="tight")
    return {"image/svg+xml": drawing(figure), "image/png": base64.b64encode(content.getvalue()).decode()}


def drawing(figure: Figure) -> str:
    """Return the figure as SVG: the same text each time, letters as outlines, no ground where it is white.

    What has very many points is drawn as pixels, twice as fine as a page's. The attribute ``data-panels``
    tells which parts can stand below one another, each as "x y width height" in the drawing's units.
    """
    figure.draw_without_rendering()  # everything gets its place
    content = io.BytesIO()
    with contextlib.ExitStack() as afterwards:
        for number, (artist, properties) in enumerate(_changes(figure)):
            before = {name: getattr(artist, f"get_{name}")() for name in properties}
            afterwards.callback(artist.set, **before)
            artist.set(**{k: f"{v}{number}" if k == "gid" else v for k, v in properties.items()})
        engine = figure.get_layout_engine()  # at another resolution it would find other places
        figure.set_layout_engine("none")
        afterwards.callback(figure.set_layout_engine, engine)
        box = figure.get_tightbbox().padded(AROUND)
        panels = _panels(figure, box)
        afterwards.enter_context(mpl.rc_context(SETTINGS))
        figure.savefig(
            content,
            format="svg",
            dpi=2 * PER_INCH,
            bbox_inches=box,
            metadata=NO_DATE,
            facecolor="none" if _is_white(figure.get_facecolor()) else "auto",
        )
    return _shortened(content.getvalue().decode(), panels)


def _shortened(text: str, panels: list[str]) -> str:
    """Return a drawing without what nobody sees, its size in a page's pixels, and where its panels are."""
    begin = text.index("<svg")
    end = text.index(">", begin)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0]
    size = [f'{k}="{float(v) * PER_INCH / POINTS:.0f}"' for k, v in (("width", width), ("height", height))]
    root = re.sub(r'(?:width|height)="[\d.]+pt"\s*', "", text[begin:end])
    noted = [f'data-panels="{";".join(panels)}"'] if panels else []
    body = NUMBERS.sub(_with_short_numbers, text[end:])
    body = OVER.sub(lambda axes: axes[0].replace('id="image', 'id="keptimage'), body)
    body = IMAGE.sub(_with_small_pixels, body)
    return re.sub(r"\n +", "\n", " ".join([root, *size, *noted]) + body)


def _with_short_numbers(found: re.Match[str]) -> str:
    numbers = re.sub(r"(\.\d\d)\d+", r"\1", found[0])
    return re.sub(r"\s*([MLCQz])\s*", r"\1", numbers) if found[0].startswith("d") else numbers


def _with_small_pixels(found: re.Match[str]) -> str:
    """Return an image's element with fewer bytes.

    Squares stay exactly as they are; in lines and clouds 256 colours are enough.
    """
    image = Image.open(io.BytesIO(base64.b64decode(found["png"])))
    pixels = np.asarray(image)
    content, kind = io.BytesIO(), "png"
    if not KEPT_IMAGE.search(found[0]):
        image.quantize(256, method=Image.Quantize.FASTOCTREE).save(content, format="png", optimize=True)
    elif pixels[..., 3].min() == 255 and (pixels[..., :3] == pixels[..., :1]).all():
        image.convert("L").save(content, format="png", optimize=True)
    else:
        squares = "pixelated" in found[0]
        kind = "webp"
        image.save(content, format="webp", lossless=squares, quality=80, method=4)
    return found[0].replace(
        f"data:image/png;base64,{found['png']}",
        f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}",
    )


def _is_white(colour: Any) -> bool:
    return to_rgba(colour)[:3] == (1, 1, 1)


def _changes(figure: Figure) -> Iterator[tuple[Artist, dict[str, Any]]]:
    """Yield what is drawn in another way in a drawing than in a PNG, and how."""
    places = [axes.get_window_extent() for axes in figure.axes]
    for i, axes in enumerate(figure.axes):
        if _is_white(axes.patch.get_facecolor()) and not any(map(places[i].overlaps, places[:i])):
            yield axes.patch, {"visible": False}
        images = [image for image in axes.images if image.get_visible()]
        for image in images:
            yield image, {"gid": "kept"} | ({"interpolation": "none"} if _is_coarse(image) else {})
        many = list(_many(axes))
        coloured = [artist for artist in axes.get_children() if _is_coloured(artist, axes)]
        grounds: list[Artist] = [
            *images,
            *(artist for artist in coloured if isinstance(artist, ContourSet | QuadMesh)),
        ]
        if grounds:
            yield axes, {"gid": "over"}
        for artist in axes.get_children():
            if artist in many:
                yield artist, {"rasterized": True}
            if artist in coloured or _lies_on(artist, axes, grounds):
                yield artist, {"gid": "kept"}


def _is_coarse(image: AxesImage) -> bool:
    """Tell whether an image's own pixels are seen as squares, at least two of a page's pixels wide."""
    if type(image) is not AxesImage or image.get_interpolation() not in ("nearest", "auto", "antialiased"):
        return False
    rows, columns = np.asarray(image.get_array()).shape[:2]
    box, pixels = image.get_window_extent(), PER_INCH / image.figure.dpi
    return bool(box.width * pixels >= 2 * columns and box.height * pixels >= 2 * rows)


def _many(axes: Axes) -> Iterator[Artist]:
    """Yield what of the axes is drawn as pixels: lines, clouds and areas with very many points."""
    artists: list[Line2D | Collection] = [*axes.lines, *axes.collections]
    sizes = {artist: _size(artist) for artist in artists}
    everything = sum(number for number, _ in sizes.values()) > MANY_CORNERS
    for artist, (number, few) in sizes.items():
        if number > few or (everything and number > MANY_MARKS / 4):
            yield artist


def _size(artist: Line2D | Collection) -> tuple[int, int]:
    """Return of how many points or marks something is made, and how many it may have as a drawing."""
    if isinstance(artist, Line2D):
        marked = artist.get_marker() not in ("None", None, "", " ")
        path = artist.get_path().cleaned(artist.get_transform(), simplify=not marked)
        return np.shape(path.vertices)[0], MANY_MARKS if marked else MANY
    if isinstance(artist, QuadMesh):
        return int(np.asarray(artist.get_array()).size), MANY_MARKS
    paths = artist.get_paths()
    if isinstance(artist, PathCollection):  # one path, many places
        return max(len(paths), len(np.atleast_2d(artist.get_offsets()))), MANY_MARKS
    return sum(np.shape(path.vertices)[0] for path in paths), MANY_CORNERS


def _is_coloured(artist: Artist, axes: Axes) -> bool:
    """Tell whether colours mean numbers, unless white means none of them, which dark means in the dark."""
    bar = getattr(axes, "_colorbar", None)
    if bar is not None and isinstance(artist, Collection):
        return isinstance(bar.mappable, AxesImage) or not _is_pale(bar.mappable.get_cmap())
    if not isinstance(artist, Collection) or artist.get_array() is None:
        return False
    filled = not isinstance(artist, ContourSet) or artist.filled
    return not (filled and _is_pale(artist.get_cmap()))


def _is_pale(colours: Colormap) -> bool:
    return any(min(colours(end)[:3]) > 0.85 for end in (0.0, 1.0))


def _lies_on(artist: Artist, axes: Axes, grounds: list[Artist]) -> bool:
    """Tell whether something is drawn over an image, or over areas whose colours mean numbers."""
    around = (axes.patch, axes.xaxis, axes.yaxis, axes.title, *axes.spines.values(), *grounds)
    if not grounds or not artist.get_visible() or artist in around:
        return False
    box = (axes if isinstance(artist, Collection) else artist).get_window_extent()  # a cloud's has no end
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    places = [ground if isinstance(ground, AxesImage) else axes for ground in grounds]
    return any(place.get_window_extent().contains(x, y) for place in places)


def _panels(figure: Figure, box: Bbox) -> list[str]:
    """Return the parts of a figure in the order of reading, or none if it cannot be taken apart.

    A part is one or more columns of axes that keep to themselves, or what stands above or below all axes.
    """
    if box.width * POINTS <= WIDTH:
        return []
    extents = [axes.get_tightbbox() for axes in figure.axes if axes.get_visible()]
    boxes = [extent for extent in extents if extent is not None and extent.width > 0]
    loose = [artist.get_window_extent() for artist in (*figure.texts, *figure.legends, *figure.lines)]
    if not boxes or figure.subfigs or figure.patches:
        return []
    middle = Bbox.union(boxes)
    above = [extent for extent in loose if extent.y0 >= middle.y1 - 1]
    below = [extent for extent in loose if extent.y1 <= middle.y0 + 1]
    columns: list[Bbox] = []
    for extent in sorted([*boxes, *(e for e in loose if e not in above + below)], key=lambda e: e.x0):
        if columns and extent.x0 < columns[-1].x1 - 1:
            columns[-1] = Bbox.union([columns[-1], extent])
        else:
            columns.append(extent)
    if not 1 < len(columns) <= PANELS:
        return []
    points = POINTS / figure.dpi
    together = [columns[0]]
    for column in columns[1:]:  # as many beside one another as fit
        if (column.x1 - together[-1].x0) * points <= WIDTH:
            together[-1] = Bbox.union([together[-1], column])
        else:
            together.append(column)
    if len(together) == 1:
        return []
    return [
        " ".join(
            f"{number:.1f}"
            for number in (
                extent.x0 * points - box.x0 * POINTS - 2,
                box.y1 * POINTS - extent.y1 * points - 2,
                extent.width * points + 4,
                extent.height * points + 4,
            )
        )
        for extent in [*above, *together, *below]
    ]
