"""Pictures: the right pixels in the right place, the wrong input named, and each figure shown once."""

import os
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from gm_lib import plotting
from gm_lib.plotting import COLOURS, curves, image_grid, save_images, scheme, show_images, style
from gm_lib.training import History

mpl.use("agg")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with mpl.rc_context():
        yield
    plt.close("all")


def grey(n: int, height: int = 4, width: int = 6) -> torch.Tensor:
    """Images of n different, even shades."""
    return torch.linspace(0, 0.9, n).reshape(n, 1, 1, 1).expand(n, 1, height, width)


# Grids


def test_a_grid_puts_image_i_in_row_and_column_of_i_between_white_lines() -> None:
    grid = image_grid(grey(5), columns=3)
    assert grid.shape == (4 + 2 + 4, 6 + 2 + 6 + 2 + 6)
    assert grid.dtype == np.float32
    expected = np.ones_like(grid)
    for i in range(5):
        row, column = divmod(i, 3)
        expected[row * 6 : row * 6 + 4, column * 8 : column * 8 + 6] = float(grey(5)[i, 0, 0, 0])
    assert (grid == expected).all()


def test_a_colour_grid_keeps_its_colours() -> None:
    red = torch.tensor([1.0, 0.0, 0.25]).reshape(1, 3, 1, 1).expand(2, 3, 4, 4)
    grid = image_grid(red)
    assert grid.shape == (4, 10, 3)
    assert (grid[:, :4] == [1.0, 0.0, 0.25]).all()
    assert (grid[:, 4:6] == 1).all()


@pytest.mark.parametrize(
    "x",
    [
        grey(4),
        grey(4).squeeze(1),
        grey(4).numpy(),
        grey(4).double(),
        grey(4).clone().requires_grad_(),
        grey(4).bfloat16().float(),
        grey(4) > 0.5,
        (grey(4) > 0.5).long().numpy(),
        grey(4).tolist(),
    ],
)
def test_tensors_and_arrays_of_all_kinds_are_shown(x: Any) -> None:
    assert isinstance(show_images(x), Figure)


@pytest.mark.parametrize(
    ("n", "options", "shape"),
    [
        (1, {}, (1, 1)),
        (10, {}, (1, 10)),
        (36, {}, (6, 6)),
        (11, {}, (3, 4)),
        (20, {"columns": 10}, (2, 10)),
        (20, {"rows": 4}, (4, 5)),
        (7, {"rows": 2, "columns": 5}, (2, 5)),
    ],
)
def test_the_shape_of_the_grid(n: int, options: dict[str, int], shape: tuple[int, int]) -> None:
    (axes,) = show_images(grey(n), **options).axes
    rows, columns = shape
    assert axes.images[0].get_array().shape == (rows * 6 - 2, columns * 8 - 2)


def test_a_figure_shows_black_as_0_and_white_as_1_without_axes() -> None:
    (axes,) = show_images(grey(3) * 0 + 0.5).axes
    assert axes.images[0].get_clim() == (0, 1)
    assert axes.images[0].get_cmap().name == "gray"
    assert not axes.axison


def test_title_and_labels_are_written_each_label_below_its_image() -> None:
    figure = show_images(grey(4, 28, 28), columns=2, title="Shades", labels=torch.arange(4).tolist())
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "Shades"
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2", "3"]
    grid = axes.images[0].get_array()
    figure.draw_without_rendering()
    for text in axes.texts:
        box = text.get_window_extent().transformed(axes.transData.inverted())
        left, right = sorted((box.x0, box.x1))
        top, bottom = sorted((box.y0, box.y1))
        assert 0 <= left < right <= grid.shape[1]
        assert 0 <= top < bottom <= grid.shape[0]
        assert (grid[int(top) : int(bottom), int(left) : int(right)] == 1).all()


@pytest.mark.parametrize("kind", [torch.tensor, np.array, list, lambda y: list(torch.tensor(y))])
@pytest.mark.parametrize("y", [[0], [3, 0, 7]])
def test_labels_may_be_a_tensor_an_array_or_a_list_of_either(kind: Any, y: list[int]) -> None:
    (axes,) = show_images(grey(len(y)), labels=kind(y)).axes
    assert [text.get_text() for text in axes.texts] == [str(label) for label in y]


def test_a_figure_has_a_white_ground_whatever_the_page(tmp_path: Path) -> None:
    mpl.rcParams["figure.facecolor"] = "none"
    show_images(grey(3), title="Shades").savefig(tmp_path / "figure.png")
    assert Image.open(tmp_path / "figure.png").convert("RGBA").getpixel((1, 1)) == (255, 255, 255, 255)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ("text", TypeError, "not str"),
        (None, (TypeError, ValueError), "images must"),
        (torch.zeros(28, 28), ValueError, r"not \(28, 28\)\. A single image x is x\[None\]"),
        (torch.zeros(5, 2, 28, 28), ValueError, r"not \(5, 2, 28, 28\)"),
        (torch.zeros(0, 1, 28, 28), ValueError, "no images to show"),
        (torch.full((2, 1, 4, 4), float("nan")), ValueError, "NaN"),
        (torch.full((2, 1, 4, 4), float("inf")), ValueError, "infinite"),
        (torch.full((2, 1, 4, 4), 255), ValueError, "from 255 to 255. Divide bytes by 255"),
        (torch.full((2, 1, 4, 4), -1.0), ValueError, r"\(x \+ 1\) / 2"),
    ],
)
def test_what_cannot_be_shown_is_named(x: Any, error: Any, message: str) -> None:
    for function in (show_images, image_grid):
        with pytest.raises(error, match=message):
            function(x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": 0}, "columns must be a whole number, at least 1"),
        ({"rows": 1.5}, "rows must be a whole number"),
        ({"rows": 2, "columns": 2}, r"5 images do not fit into 2 rows of 2: pass x\[:4\]"),
        ({"labels": ["a", "b"]}, "5 images but 2 labels"),
    ],
)
def test_a_grid_that_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        show_images(grey(5), **options)


# Files


def test_a_saved_picture_is_the_grid(tmp_path: Path) -> None:
    path = save_images(grey(5), tmp_path / "new" / "samples.png", columns=2)
    assert path == tmp_path / "new" / "samples.png"
    saved = np.asarray(Image.open(path))
    assert (saved == np.round(image_grid(grey(5), columns=2) * 255)).all()
    colour = save_images(torch.rand(2, 3, 4, 4), tmp_path / "colour.png")
    assert Image.open(colour).mode == "RGB"


def test_a_picture_is_saved_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_images(grey(5), tmp_path / "samples.png")
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_images(grey(3), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_no_png_and_a_place_that_is_no_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"end in .png, not as in 'samples.jpg'"):
        save_images(grey(5), tmp_path / "samples.jpg")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        save_images(grey(5), tmp_path / "file" / "samples.png")


# Curves

HISTORY = History(
    rows=[
        {"step": 10, "loss": 3.0, "kl": 1.0},
        {"step": 20, "loss": 2.0, "kl": 1.5},
        {"step": 20, "test": 2.5},
        {"step": 30, "loss": 1.0, "kl": 2.0},
    ],
    terms=["loss", "kl"],
)


def test_curves_draw_each_term_at_its_own_steps() -> None:
    (axes,) = curves(HISTORY, ["kl", "test"], title="Terms", ylabel="nats per image").axes
    kl, test = axes.lines
    assert kl.get_xdata().tolist() == [10, 20, 30]
    assert kl.get_ydata().tolist() == [1.0, 1.5, 2.0]
    assert test.get_xdata().tolist() == [20]
    assert test.get_marker() == "o"
    assert axes.get_xlabel() == "step"
    assert axes.get_ylabel() == "nats per image"
    assert axes.get_title(loc="left") == "Terms"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["kl", "test"]


def test_curves_draw_all_terms_of_the_loss_by_default_told_apart_by_colour_and_dash() -> None:
    (axes,) = curves(HISTORY).axes
    loss, kl = axes.lines
    assert (loss.get_label(), kl.get_label()) == ("loss", "kl")
    assert loss.get_color() != kl.get_color()
    assert loss.get_linestyle() != kl.get_linestyle()


def test_curves_of_an_unknown_term_or_of_nothing_are_errors() -> None:
    with pytest.raises(ValueError, match="did you mean 'loss'"):
        curves(HISTORY, ["los"])
    with pytest.raises(ValueError, match="this history is empty"):
        curves(History())
    assert plt.get_fignums() == []


# Style

# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as the two commonest dichromats see it.
DICHROMATS = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def linear(colour: str) -> np.ndarray:
    encoded = np.array(mpl.colors.to_rgb(colour))
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear RGB."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ rgb.clip(0, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", DICHROMATS)
def test_colour_blind_readers_can_tell_the_colours_apart(eyes: str) -> None:
    seen = [lab(np.array(DICHROMATS[eyes]) @ linear(colour)) for colour in COLOURS]
    distances = [float(np.linalg.norm(a - b)) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 10  # about 2 can just be noticed


def test_the_colours_stand_out_from_the_paper() -> None:
    for colour in COLOURS:
        luminance = float(np.array([0.2126, 0.7152, 0.0722]) @ linear(colour))
        assert 1.05 / (luminance + 0.05) > 2.2


def test_style_is_for_all_figures_and_the_functions_leave_no_trace_of_it() -> None:
    before = mpl.rcParams.copy()
    show_images(grey(3))
    curves(HISTORY)
    assert mpl.rcParams == before
    style()
    (axes,) = plt.figure().subplots(1, squeeze=False)[0]
    assert axes.plot([0, 1])[0].get_color() == COLOURS[0]
    assert not axes.spines["top"].get_visible()
    assert len(plotting.DASHES) == len(COLOURS)


# A notebook

CELLS = {
    "last line": "show_images(x)",
    "not the last line": "show_images(x)\nprint('after')",
    "with a semicolon": "show_images(x);",
    "two, one of them last": "first = show_images(x)\nsecond = show_images(x[:1])\nsecond",
    "again": "first",
    "a figure of one's own after ours": "plt.figure().add_subplot().plot([0, 1]);",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("book", [False, True], ids=["a notebook", "the book"])
def test_a_notebook_shows_each_figure_once(book: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_STRICT", "1" if book else "")
    setup = """
        import matplotlib.pyplot as plt, torch
        from gm_lib.plotting import show_images
        x = torch.rand(2, 4, 4)
    """
    notebook = new_notebook(cells=[new_code_cell(dedent(source)) for source in (setup, *CELLS.values())])
    NotebookClient(notebook, kernel_name="python3").execute()
    shown = [
        [o.data["text/plain"] for o in cell.outputs if "image/png" in o.get("data", {})]
        for cell in notebook.cells
    ]
    assert dict(zip(CELLS, map(len, shown[1:]), strict=True)) == dict(
        zip(CELLS, (1, 1, 1, 2, 1, 1), strict=True)
    )
    first, second = (float(text.partition("size ")[2].partition("x")[0]) for text in shown[4])
    assert first > second  # in the order in which they were made
    drawn = [
        {"image/png", "image/svg+xml"} & set(o.data)
        for cell in notebook.cells
        for o in cell.outputs
        if "text/plain" in o.get("data", {})
    ]
    assert all(("image/svg+xml" in kinds) == book for kinds in drawn)
    assert all("image/png" in kinds for kinds in drawn)


# Schemes


def boxes(figure: Figure) -> dict[str, Any]:
    """Return the extent of each text of a scheme, in pixels, with the box around it if it has one."""
    figure.canvas.draw()
    found = {}
    for text in figure.axes[0].texts:
        box = text.get_bbox_patch()
        found[text.get_text()] = box.get_window_extent() if box else text.get_window_extent()
    return found


def arrows(figure: Figure) -> list[Any]:
    """Return the extent of each arrow of a scheme, in pixels."""
    figure.canvas.draw()
    drawn = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    return [patch.get_transform().transform_path(patch.get_path()).get_extents() for patch in drawn]


SCHEME = {"noise $z$": (0, 0), "generator": (1.5, 0), "judge": (3, 0), "real": (3, 1)}
WAYS = [
    ("noise $z$", "generator", "in"),
    ("generator", "judge", "fakes"),
    ("judge", "generator", "gradient"),
    ("real", "judge", "data"),
]


def test_a_scheme_has_each_box_at_its_place_and_the_drawn_ones_round():
    figure = scheme(SCHEME, WAYS, drawn=["noise $z$"])
    found = boxes(figure)
    centre = {name: (box.x0 + box.x1, box.y0 + box.y1) for name, box in found.items() if name in SCHEME}
    assert centre["noise $z$"][0] < centre["generator"][0] < centre["judge"][0]
    assert centre["real"][0] == pytest.approx(centre["judge"][0], abs=2)
    assert centre["real"][1] > centre["judge"][1]
    style_of = {text.get_text(): text.get_bbox_patch() for text in figure.axes[0].texts}
    corners = {name: type(box.get_boxstyle()).__name__ for name, box in style_of.items() if box}
    assert corners == {name: "Ellipse" if name == "noise $z$" else "Round" for name in SCHEME}


def test_a_box_that_is_wider_than_its_place_is_whole():
    figure = scheme({"a": (0, 0), "a box with many words on one line": (1, 0)}, [], drawn=["a"])
    for box in boxes(figure).values():
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_an_arrow_runs_between_its_boxes_and_enters_neither():
    figure = scheme(SCHEME, WAYS)
    found = boxes(figure)
    arrow = arrows(figure)[0]
    assert found["noise $z$"].x1 < arrow.x0 < arrow.x1 < found["generator"].x0


def test_what_goes_there_and_back_takes_two_ways():
    _, there, back, _ = arrows(scheme(SCHEME, WAYS))
    assert there.y0 < back.y0
    assert there.y1 < back.y1


def test_nothing_of_a_scheme_lies_on_another():
    found = list(boxes(scheme(SCHEME, WAYS)).values())
    assert len(found) == len(SCHEME) + len(WAYS)
    for i, box in enumerate(found):
        assert box.count_overlaps(found[:i]) == 0


@pytest.mark.parametrize(
    ("places", "ways", "drawn", "message"),
    [
        ({}, [], [], "a box at least"),
        (SCHEME, [("generator", "jugde")], [], "there is no box 'jugde', only 'noise \\$z\\$', 'generator'"),
        (SCHEME, [], ["z"], "there is no box 'z'"),
    ],
)
def test_a_scheme_refuses_what_names_no_box(places, ways, drawn, message):
    with pytest.raises(ValueError, match=message):
        scheme(places, ways, drawn=drawn)
