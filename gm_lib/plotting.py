"""Pictures of images and of training runs, in one quiet style.

Every function returns its figure. In a notebook a figure appears once, whether or not it ends the cell.
"""

import contextlib
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from cycler import cycler
from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from PIL import Image
from torch import Tensor

from gm_lib.runtime import strict
from gm_lib.system import drawings
from gm_lib.system.choose import whole_number
from gm_lib.system.files import replace_file
from gm_lib.system.vision import torchvision
from gm_lib.training.history import History

# The colours of Okabe and Ito (2008), which colour-blind readers can tell apart, without the yellow, which is
# too pale on white. The dashes tell lines apart in grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (9, 2)), (0, (3, 1)), (0, (1, 2)))

_INK, _PAPER, _FAINT = "#262626", "white", "#e4e4e4"
_STYLE: Any = {
    "figure.figsize": (6.4, 3.6),
    "figure.facecolor": _PAPER,  # opaque, so that labels stay readable on a dark page
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    "savefig.facecolor": _PAPER,
    "axes.facecolor": _PAPER,
    "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=DASHES),
    "axes.edgecolor": "#808080",
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": "#606060",
    "ytick.color": "#606060",
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "font.size": 10,
    "text.color": _INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "figure.dpi": 110,
    "savefig.dpi": 160,
}
# A scheme: inches between boxes that are 1 apart, and the looks of what is drawn, what is not, and an arrow.
_APART = (1.25, 0.85)
_AROUND_TEXT = 0.12  # inches between a text and the edge of the figure, its box among them
_DRAWN: Any = {"boxstyle": "ellipse,pad=0.25", "fc": "#e3eef5", "ec": COLOURS[0]}
_GIVEN: Any = {"boxstyle": "round,pad=0.4,rounding_size=0.2", "fc": "#f4f4f4", "ec": "#808080"}
_ARROW: Any = {
    "arrowstyle": "-|>",
    "mutation_scale": 11,
    "color": "#606060",
    "linewidth": 1.3,
    "linestyle": "-",
    "shrinkA": 3,
    "shrinkB": 3,
    "zorder": 3,  # after the boxes: how large they are is known when their texts have been drawn
}
_GAP = 2  # pixels between the images of a grid


def style() -> None:
    """Give all of matplotlib's figures from now on the look of the ones made here."""
    mpl.rcParams.update(_STYLE)


def show_images(
    x: Any,
    *,
    rows: int | None = None,
    columns: int | None = None,
    title: str | None = None,
    labels: Sequence[Any] | Tensor | None = None,
) -> Figure:
    """Show images in a grid, without axes, and return the figure.

    ``x``: (n, 1, height, width) or (n, height, width) in grey, (n, 3, height, width) in colour; a tensor or
    an array with values in [0, 1], 0 black. Without ``rows`` and ``columns`` up to ten images stand in one
    row, more in a square. ``labels``: n texts or numbers, also as a tensor, one below each image.

    Raises ``TypeError`` or ``ValueError`` for what is no such images, for a grid too small for them, and for
    another number of labels.
    """
    images = _as_images(x)
    n, height, width = images.shape[:3]
    rows, columns = _grid_shape(n, rows, columns)
    if labels is not None and len(labels) != n:
        raise ValueError(f"there are {n} images but {len(labels)} labels.")
    room = 0 if labels is None else round(0.34 * height)
    grid = _tile(images, rows, columns, room)
    inches = min(0.9, 7.2 / columns) / width  # per pixel
    with _styled():
        around = 0.14  # inches of padding, so that the grid fills what is left
        size = (grid.shape[1] * inches + around, grid.shape[0] * inches + around + (0.36 if title else 0))
        figure = plt.figure(figsize=size, FigureClass=NotebookFigure)
        axes = figure.add_subplot()
        axes.imshow(grid, vmin=0, vmax=1, cmap="gray", interpolation="nearest")
        axes.set_axis_off()
        if title:
            axes.set_title(title)
        for i, label in enumerate([] if labels is None else labels):
            row, column = divmod(i, columns)
            axes.text(
                column * (width + _GAP) + (width - 1) / 2,
                row * (height + room + _GAP) + 1.08 * height,
                str(label.tolist() if isinstance(label, Tensor) else label),
                ha="center",
                va="top",
                fontsize=min(9, 72 * 0.24 * height * inches),
            )
    return figure


def curves(
    history: History, terms: Sequence[str] | None = None, *, title: str | None = None, ylabel: str = "value"
) -> Figure:
    """Draw recorded terms of a training run against its steps, and return the figure.

    ``terms``: names of terms or evaluations; by default all terms of the loss. ``ylabel`` should say what
    they are and in which units, such as ``"nats per image"``.

    Raises ``ValueError`` for a term that was not recorded, or when nothing was.
    """
    if not history.rows:
        raise ValueError("this history is empty: train for at least one step before drawing it.")
    names = history.terms if terms is None else terms
    lines = [(name, history.at(name), history[name]) for name in names]
    with _styled():
        figure = plt.figure(FigureClass=NotebookFigure)
        axes = figure.add_subplot()
        for name, steps, values in lines:
            few = len(steps) < 3  # one or two records make no line that could be seen
            axes.plot(steps, values, label=name, marker="o" if few else None)
        axes.set_xlabel("step")
        axes.set_ylabel(ylabel)
        axes.margins(x=0.01)
        axes.legend()
        if title:
            axes.set_title(title)
    return figure


def scheme(
    places: Mapping[str, tuple[float, float]],
    arrows: Sequence[tuple[str, str] | tuple[str, str, str]],
    *,
    drawn: Sequence[str] = (),
    title: str | None = None,
) -> Figure:
    """Draw what is made of what, as boxes and arrows, and return the figure.

    ``places``: the text of each box, and where its middle is, (x, y), y upwards; 1 apart is next to one
    another, and a row of six fills the width of a page. ``arrows``: from which box to which, and perhaps a
    word beside the arrow; two between the same boxes, there and back, are bent. ``drawn``: the boxes that are
    random variables; they are round, all others have corners. Texts may hold mathematics between dollars.

    Raises ``ValueError`` for no box, and for an arrow or a drawn box that names none.
    """
    if not places:
        raise ValueError("a scheme needs a box at least.")
    for name in [*drawn, *(end for arrow in arrows for end in arrow[:2])]:
        if name not in places:
            raise ValueError(f"there is no box {name!r}, only {', '.join(map(repr, places))}.")
    middles = {name: np.array(place) * _APART for name, place in places.items()}  # in inches
    with _styled():
        figure = plt.figure(FigureClass=NotebookFigure)
        axes = figure.add_subplot()
        axes.set_axis_off()
        if title:
            axes.set_title(title)
        boxes, room = {}, {}
        for name, middle in middles.items():
            look = _DRAWN if name in drawn else _GIVEN
            text = axes.text(middle[0], middle[1], name, ha="center", va="center", bbox=look)
            boxes[name] = text.get_bbox_patch()
            needed = np.array(text.get_window_extent().size) / figure.dpi / 2 + _AROUND_TEXT
            room[name] = np.maximum(needed, np.array(_APART) / 2)
        low = np.min([middles[name] - room[name] for name in places], axis=0)
        high = np.max([middles[name] + room[name] for name in places], axis=0)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        width, height = high - low
        figure.set_size_inches(width, height + (0.36 if title else 0))
        ways = {(start, end) for start, end, *_ in arrows}
        for start, end, *words in arrows:
            along = middles[end] - middles[start]
            bend = 0.25 if (end, start) in ways else 0.0
            axes.add_patch(
                FancyArrowPatch(
                    tuple(middles[start]),
                    tuple(middles[end]),
                    patchA=boxes[start],
                    patchB=boxes[end],
                    connectionstyle=f"arc3,rad={bend}",
                    **_ARROW,
                )
            )
            across = np.array([along[1], -along[0]])  # to the right of its way, where a bent arrow runs
            middle = middles[start] + along / 2 + bend / 2 * across
            sideways = abs(across[0]) > abs(across[1])
            if not bend and across[0 if sideways else 1] < 0:  # beside a straight one: at its right, or above
                across = -across
            for word in words:
                axes.annotate(
                    word,
                    tuple(middle),
                    xytext=tuple(5 * np.sign(across) * ((1, 0) if sideways else (0, 1))),
                    textcoords="offset points",
                    ha=("left" if across[0] > 0 else "right") if sideways else "center",
                    va="center" if sideways else ("bottom" if across[1] > 0 else "top"),
                    fontsize=9,
                )
    return figure


def image_grid(x: Any, columns: int | None = None) -> np.ndarray:
    """Return the images as one picture: float32 in [0, 1], (height, width) in grey or (height, width, 3).

    ``x`` and the errors are those of :func:`show_images`. White lines of two pixels separate the images.
    """
    images = _as_images(x)
    return _tile(images, *_grid_shape(len(images), None, columns))


def save_images(x: Any, path: str | os.PathLike[str], columns: int | None = None) -> Path:
    """Save the :func:`image_grid` of ``x`` as a PNG file, whole or not at all, and return its path.

    Raises ``ValueError`` unless the name ends in ``.png``, and the ``OSError`` that prevents writing.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"images are saved as PNG: let the name end in .png, not as in {path.name!r}.")
    content = io.BytesIO()
    Image.fromarray(np.round(image_grid(x, columns) * 255).astype(np.uint8)).save(content, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content.getvalue())
    return path


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    """Use the style inside.

    Not ``mpl.rc_context``: a notebook switches on its showing of figures when the first one is made, and that
    function would switch it off again.
    """
    before = {key: mpl.rcParams[key] for key in _STYLE}
    mpl.rcParams.update(_STYLE)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


class NotebookFigure(Figure):
    """A figure that a notebook shows once.

    A notebook shows the figures that are open when a cell ends, and the value of the cell's last line too: a
    function that returns its figure would draw it twice. So this one is closed when it is shown.
    """

    def _ipython_display_(self) -> None:
        from IPython.core.pylabtools import print_figure
        from IPython.display import display

        def shown(figure: Figure) -> dict[str, Any]:
            if strict():
                return drawings.bundle(figure)
            return {"image/png": print_figure(figure, base64=True)}

        figures = [manager.canvas.figure for manager in Gcf.get_all_fig_managers()]
        earlier = figures[: figures.index(self)] if self in figures else []
        for figure in (*earlier, self):
            display({**shown(figure), "text/plain": repr(figure)}, raw=True)
            plt.close(figure)


def _as_images(x: Any) -> np.ndarray:
    """Return images as float32, (n, height, width) or (n, height, width, 3), or raise what is wrong."""
    if isinstance(x, Tensor):
        x = x.detach().cpu().float()
    try:
        images = np.asarray(x, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(f"images must be a tensor or an array of numbers, not {type(x).__name__}.") from error
    shape = images.shape
    if images.ndim == 4 and shape[1] == 1:
        images = images[:, 0]
    elif images.ndim == 4 and shape[1] == 3:
        images = np.moveaxis(images, 1, -1)
    elif images.ndim != 3:
        raise ValueError(
            f"images must have the shape (n, 1, height, width), (n, 3, height, width) or (n, height, width), "
            f"not {shape}. A single image x is x[None]; flat ones are x.reshape(-1, 1, height, width)."
        )
    if images.size == 0:
        raise ValueError(f"there are no images to show: the shape is {shape}.")
    low, high = float(images.min()), float(images.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("the images hold NaN or infinite values.")
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"image values must be in [0, 1], but they go from {low:.4g} to {high:.4g}. Divide bytes by 255; "
            "bring [-1, 1] there by (x + 1) / 2."
        )
    return images.clip(0, 1)


def _grid_shape(n: int, rows: int | None, columns: int | None) -> tuple[int, int]:
    """Return the number of rows and columns for n images."""
    for name, value in (("rows", rows), ("columns", columns)):
        if value is not None:
            whole_number(name, value, 1)
    if columns is None:
        columns = math.ceil(n / rows) if rows else n if n <= 10 else math.ceil(math.sqrt(n))
    rows = rows or math.ceil(n / columns)
    if rows * columns < n:
        raise ValueError(f"{n} images do not fit into {rows} rows of {columns}: pass x[:{rows * columns}].")
    return rows, columns


def _tile(images: np.ndarray, rows: int, columns: int, room: int = 0) -> np.ndarray:
    """Return the images side by side on white, with ``room`` more white pixels below each row."""
    x = torch.from_numpy(images)
    x = x.unsqueeze(1) if x.ndim == 3 else x.movedim(-1, 1)
    # Each image brings the white at its right and below it; white images fill the last row.
    x = F.pad(x, (0, _GAP, 0, room + _GAP, 0, 0, 0, rows * columns - len(x)), value=1.0)
    grid = torchvision().utils.make_grid(x, nrow=columns, padding=0)[:, :-_GAP, :-_GAP]
    return (grid[0] if images.ndim == 3 else grid.movedim(0, -1)).numpy()


if strict():  # the book is being built
    drawings.show_as_drawings()
