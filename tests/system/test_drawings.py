"""Figures as drawings for the pages: the same each time, small, and taken apart where they can be."""

import base64
import io
import re
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gm_lib.plotting import show_images
from gm_lib.system.drawings import PER_INCH, POINTS, TYPEFACE, drawing, use_typeface
from gm_lib.system.files import package_folder

PIXELS = re.compile(r"<image\b[^>]*base64,([^\"]+)\"[^>]*>")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def panels_of(text: str) -> list[list[float]]:
    noted = re.search(r'data-panels="([^"]+)"', text)
    return [[float(n) for n in part.split()] for part in noted[1].split(";")] if noted else []


def side_by_side(n: int, **options: object) -> Figure:
    figure, axes = plt.subplots(1, n, figsize=(9, 3), layout="constrained", **options)  # type: ignore[arg-type]
    for i, each in enumerate(axes):
        each.plot([0, 1], [i, 1])
        each.set(title=f"panel {i}", xlabel="x")
    return figure


def cloud(n: int) -> Figure:
    figure, axes = plt.subplots()
    axes.scatter(*np.random.default_rng(0).random((2, n)), s=4, color="C1")
    return figure


def test_a_figure_made_again_is_the_same_drawing_to_the_byte() -> None:
    assert drawing(side_by_side(2)) == drawing(side_by_side(2))
    assert drawing(cloud(5000)) == drawing(cloud(5000))


def test_drawing_leaves_the_figure_as_it_was() -> None:
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    image = left.imshow(np.eye(3), interpolation="nearest")
    dots = right.scatter(*np.random.default_rng(0).random((2, 5000)))
    engine = figure.get_layout_engine()
    drawing(figure)
    assert image.get_interpolation() == "nearest"
    assert not dots.get_rasterized()
    assert image.get_gid() is None
    assert left.patch.get_visible()
    assert figure.get_layout_engine() is engine
    assert figure.get_facecolor() == (1, 1, 1, 1)


def test_letters_are_those_of_the_pages_and_what_these_lack_is_drawn_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with plt.rc_context():
        assert f'id="{TYPEFACE}' not in drawing(side_by_side(2))
        use_typeface()
        figure = side_by_side(2)
        figure.axes[0].set_title("σ² of ∇f")
        figure.axes[1].set_title(r"σ² of $\nabla f$")
        text = drawing(figure)
    assert f'id="{TYPEFACE}' in text
    assert 'id="DejaVuSans-' in text, "a sign that it lacks"
    assert 'id="DejaVuSans-Oblique' in text, "a formula"
    assert not caplog.text


def test_letters_are_outlines_and_no_date_or_white_ground_is_in_it() -> None:
    figure = side_by_side(2)
    text = drawing(figure)
    assert "<text" not in text
    assert not re.search(r"20\d\d-", text)
    assert "fill: #ffffff" not in text
    figure.axes[0].set_facecolor("#ddeeff")
    assert "#ddeeff" in drawing(figure), "a ground that has a colour says something"


def test_a_drawing_is_as_large_as_on_a_page_before() -> None:
    figure = plt.figure(figsize=(5, 3))
    figure.add_axes((0, 0, 1, 1))
    root = drawing(figure).partition(">")[0]
    width, height = (int(n) for n in re.findall(r' (?:width|height)="(\d+)"', root))
    assert width >= 5 * PER_INCH
    assert height >= 3 * PER_INCH
    box = re.search(r'viewBox="0 0 ([\d.]+)', root)
    assert box
    assert width == round(float(box[1]) * PER_INCH / POINTS)


def test_very_many_points_are_pixels_and_few_are_not() -> None:
    few, many = drawing(cloud(300)), drawing(cloud(5000))
    assert not PIXELS.search(few)
    assert few.count("<use") > 300
    (image,) = PIXELS.findall(many)
    picture = Image.open(io.BytesIO(base64.b64decode(image))).convert("RGBA")
    assert picture.width > 1.8 * PER_INCH * 4, "twice as fine as the page"
    clear, solid = picture.getchannel("A").getextrema()
    assert clear == 0, "what is between the points is seen through"
    assert solid > 240  # type: ignore[operator]
    assert len(many) < 200_000


def test_the_pixels_of_a_grid_of_images_are_kept_exactly() -> None:
    x = np.random.default_rng(0).random((4, 8, 8)).astype(np.float32)
    (image,) = PIXELS.findall(drawing(show_images(x, columns=2)))
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(image))).convert("L"))
    assert picture.shape == (18, 18)
    np.testing.assert_array_equal(picture[:8, :8], plt.get_cmap("gray")(x[0], bytes=True)[..., 0])


@pytest.mark.parametrize(("n", "expected"), [(2, 2), (3, 3), (4, 2)])
def test_panels_side_by_side_are_parts_that_hold_each_axes_whole(n: int, expected: int) -> None:
    figure = side_by_side(n)
    text = drawing(figure)
    parts = panels_of(text)
    assert len(parts) == expected, "as many beside one another as fit on a phone"
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)', text)
    assert box
    for x, y, width, height in parts:
        assert x >= -3
        assert y >= -3
        assert x + width <= float(box[1]) + 3
        assert y + height <= float(box[2]) + 3
    first, second, *_ = parts
    assert first[0] + first[2] <= second[0] + 4, "no part shows a piece of another"
    assert sum(part[2] for part in parts) > 0.85 * float(box[1])


def test_a_title_above_all_panels_is_a_part_of_its_own() -> None:
    figure = side_by_side(2)
    figure.suptitle("Above both of them")
    title, left, _ = panels_of(drawing(figure))
    assert title[1] + title[3] <= left[1] + 6
    assert title[3] < 40


def test_what_belongs_together_is_not_taken_apart() -> None:
    joined = side_by_side(2)
    joined.text(0.5, 0.5, "a text across the gap between both panels", ha="center")
    small = plt.subplots(1, 2, figsize=(4, 2))[0]
    stacked = plt.subplots(2, 1, figsize=(9, 5))[0]
    rows_of_ten = plt.subplots(1, 10, figsize=(9, 1.2))[0]
    assert not any(panels_of(drawing(figure)) for figure in (joined, small, stacked, rows_of_ten))


def test_what_is_read_by_its_colours_or_lies_on_an_image_is_marked_to_be_kept() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    left.imshow(np.eye(4), cmap="viridis")
    left.text(1, 1, "on it")
    right.scatter([0, 1], [0, 1], c=[0, 1], cmap="viridis")
    right.plot([0, 1], [1, 0])
    assert len(re.findall(r'id="kept\d+"', drawing(figure))) == 3, "image, its text, the cloud; not the line"
    pale = plt.figure().add_subplot()
    pale.contourf(np.random.default_rng(0).random((5, 5)), cmap="Blues")
    assert "kept" not in drawing(pale.figure), "what is white on paper is dark in the dark"  # type: ignore[arg-type]


def test_a_cloud_over_areas_whose_colours_mean_numbers_is_kept_with_them() -> None:
    def over(colours: str) -> str:
        figure = cloud(5000)
        figure.axes[0].contourf(np.linspace(0, 1, 5), np.linspace(0, 1, 5), np.eye(5), cmap=colours)
        figure.axes[0].scatter([0.2, 0.3], [0.2, 0.3])
        figure.axes[0].text(0.5, 0.5, "on it")
        figure.add_axes((0.9, 0.9, 0.1, 0.1)).scatter(*np.random.default_rng(0).random((2, 900)))
        return drawing(figure)

    kept = [image.group() for image in re.finditer("<image[^>]*>", over("viridis"))]
    assert ['id="keptimage' in image for image in kept] == [True, False], "in its own axes alone"
    assert len(re.findall(r'<g id="kept\d+"', over("viridis"))) == 3, "the areas, the two points, the text"
    assert "kept" not in over("Blues")


def test_a_package_that_is_not_installed_is_named_with_what_to_do() -> None:
    assert (package_folder("PIL") / "Image.py").is_file()
    with pytest.raises(ModuleNotFoundError, match="no_such_package is not installed: run make setup"):
        package_folder("no_such_package")
