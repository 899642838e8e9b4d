"""Figures on their page: numbers, captions, light and dark, enlarged, and on a phone. On a toy book."""

import base64
import colorsys
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from playwright.sync_api import Browser, Page
from toy_book import ROOT, ToyBook, cell
from visitor import DESK, Visitor

from gm_lib import plotting
from gm_lib.system.drawings import bundle

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from gm_book.figures import BLUE, DARK_BLUE, DARK_INK, PAPER, dark, darkened

PHONE = 375
INTRO = """\
# A toy

:::{div} arc
| part | chapter | the question it answers |
|---|---|---|
| | [08 One](chapters/08_one.md) | What is one? |
| | [09 Nine](nine.md) | What is more? |
:::
"""
ALT = "Two lines side by side"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">{}</svg>'


def two_panels() -> plt.Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    left.plot([0, 1], [0, 1])
    left.set(title="Left", xlabel="x")
    right.imshow(np.eye(4), cmap="gray")
    right.set_title("Right")
    return figure


def one_panel() -> plt.Figure:
    figure, axes = plt.subplots(figsize=(5, 3))
    axes.scatter(*np.random.default_rng(0).random((2, 3000)), s=9, color="black")
    axes.set_title("One")
    return figure


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyBook:
    """The toy with a chapter of five figures, in four cells; and one with a drawing on another page."""
    toy = ToyBook(tmp_path_factory.mktemp("toy") / "toy")
    toy.fill()
    with plt.rc_context():
        plotting.style()
        shown = {name: bundle(figure()) for name, figure in (("two", two_panels), ("one", one_panel))}
        plt.close("all")
    toy.write("book/intro.md", INTRO)
    toy.write("book/drawing.svg", shown["two"]["image/svg+xml"])
    toy.write(
        "book/nine.md", (toy.root / "book/nine.md").read_text("utf-8") + "\n![A drawing made](drawing.svg)\n"
    )

    def display(*names: str) -> str:
        lines = [f"display({shown[name]!r}, raw=True)" for name in names]
        return "\n".join(["from IPython.display import display", *lines])

    alt = f'image: {{alt: "{ALT}"}}'
    caption = 'figure: {caption: "What $x$ *does*."}'
    png = {"image/png": shown["one"]["image/png"]}
    toy.write(
        "book/chapters/08_one.md",
        (toy.root / "book/chapters/08_one.md").read_text("utf-8")
        + "\nSee [figure 8.2](#figure-8-2) and [the first](#figure-8-1).\n"
        + cell(display("two"), f":mystnb: {{{alt}, {caption}}}\n")
        + cell(display("one"), f":mystnb: {{{alt}}}\n")
        + cell(display("two", "one") + "\n'a text'", f":mystnb: {{{alt}, {caption}}}\n")
        + cell(f"display({png!r}, raw=True)", f":mystnb: {{{alt}}}\n"),
    )
    toy.write(
        "book/chapters/09a_two.md",
        (toy.root / "book/chapters/09a_two.md").read_text("utf-8")
        + "\nSee [there](08_one.md#figure-8-3).\n"
        + cell(display("one"), f":mystnb: {{{alt}}}\n"),
    )
    toy.made()
    return toy


def soup(toy: ToyBook, page: str = "chapters/08_one") -> BeautifulSoup:
    return BeautifulSoup(toy.page(page), "html.parser")


def address(toy: ToyBook, page: str = "chapters/08_one") -> str:
    return (toy.root / "_build" / "html" / "book" / f"{page}.html").as_uri()


def test_figures_are_numbered_through_a_page_and_link_to_themselves(toy: ToyBook) -> None:
    figures = soup(toy).select("figure.drawn")
    assert [figure["id"] for figure in figures] == [f"figure-8-{i}" for i in range(1, 6)]
    links = [figure.select_one("figcaption > a") for figure in figures]
    assert [link and link.get_text() for link in links] == [f"Figure 8.{i}" for i in range(1, 6)]
    assert [link and link["href"] for link in links] == [f"#figure-8-{i}" for i in range(1, 6)]
    assert [figure["id"] for figure in soup(toy, "chapters/09a_two").select("figure.drawn")] == [
        "figure-9a-1"
    ]


def test_a_caption_stands_once_a_cell_under_its_last_figure(toy: ToyBook) -> None:
    captions = [figure.figcaption.get_text() for figure in soup(toy).select("figure.drawn")]  # type: ignore[union-attr]
    said = "What \\(x\\) does."
    assert [caption.partition(" ")[2].partition(" ")[2].strip() for caption in captions] == [
        said,
        "",
        "",
        said,
        "",
    ]
    assert "a text" in soup(toy).get_text()


def test_text_of_this_page_and_of_another_links_a_figure(toy: ToyBook) -> None:
    assert soup(toy).select('article p a[href="#figure-8-2"]')
    assert soup(toy, "chapters/09a_two").select('article p a[href="08_one.html#figure-8-3"]')


def test_each_drawing_has_a_light_and_a_dark_file_of_the_same_size_with_the_same_text(toy: ToyBook) -> None:
    for page, number in (("chapters/08_one", 4), ("nine", 1)):
        drawn = [f for f in soup(toy, page).select("figure.drawn") if len(f.select("img")) == 2]
        assert len(drawn) == number
        for figure in drawn:
            light, night = figure.select("img")
            assert light["class"] == ["in-the-light"]
            assert night["class"] == ["in-the-dark"]
            assert light["src"] != night["src"]
            for name in ("alt", "width", "height", "loading"):
                assert light[name] == night[name]
            assert light["loading"] == "lazy"
            assert str(light["src"]).endswith(".svg")
    assert not soup(toy, "nine").select("figcaption"), "a page that is no chapter numbers nothing"


def test_a_picture_that_is_no_drawing_is_a_figure_too(toy: ToyBook) -> None:
    (image,) = soup(toy).select("#figure-8-5 img")
    assert str(image["src"]).endswith(".png")


def test_a_card_of_the_first_page_has_its_picture_from_the_png_beside_the_drawing(toy: ToyBook) -> None:
    (card, below) = soup(toy, "intro").select(".cards img")
    assert str(card["src"]).endswith("card-08_one.webp")
    assert str(below["src"]).endswith("card-09a_two.webp")
    with Image.open(toy.root / "_build/html/_images/card-08_one.webp") as picture:
        assert np.asarray(picture.convert("L")).min() < 100


# In a browser


@pytest.mark.site
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_reader_loads_and_sees_the_drawings_of_the_theme_alone(
    browser: Browser, toy: ToyBook, theme: str
) -> None:
    asked: list[str] = []
    with browser.new_context(viewport=DESK, color_scheme=theme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
        page.goto(address(toy))
        for figure in page.locator("figure.drawn").all():
            figure.scroll_into_view_if_needed()
            page.wait_for_timeout(100)
        files = {
            name: {Path(str(image["src"])).name for image in soup(toy).select(f"img.in-the-{name}")}
            for name in ("light", "dark")
        }
        other = "dark" if theme == "light" else "light"
        assert files[theme] <= set(asked)
        assert not files[other] & set(asked)
        assert page.locator(f"img.in-the-{theme}:visible").count() == 4
        assert page.locator(f"img.in-the-{other}:visible").count() == 0


@pytest.mark.site
def test_without_a_script_and_on_paper_the_light_drawings_stand(browser: Browser, toy: ToyBook) -> None:
    with browser.new_context(viewport=DESK, java_script_enabled=False, color_scheme="dark") as context:
        page = context.new_page()
        page.goto(address(toy))
        assert page.locator("img.in-the-light:visible").count() == 4
        assert page.locator("img.in-the-dark:visible").count() == 0
        assert page.locator("figure.drawn button").count() == 0
    with browser.new_context(viewport=DESK, color_scheme="dark") as context:
        page = context.new_page()
        page.goto(address(toy))
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.locator("img.in-the-light:visible").count() == 4
        assert page.locator("img.in-the-dark:visible").count() == 0
        assert page.locator("button.enlarge:visible").count() == 0


@pytest.fixture
def opened(visitor: Visitor, toy: ToyBook) -> Iterator[Page]:
    yield visitor.open(address(toy))
    assert visitor.complaints == []


def width_of(page: Page, selector: str) -> float:
    box = page.locator(selector).first.bounding_box()
    assert box
    return box["width"]


@pytest.mark.site
def test_a_figure_opens_by_a_tap_or_a_key_and_closes_in_three_ways(opened: Page) -> None:
    dialog, button = opened.locator("dialog.enlarged"), opened.locator("#figure-8-1 .enlarge")
    assert button.get_attribute("aria-label") == "Enlarge Figure 8.1"
    opened.locator("#figure-8-1 img:visible").click()
    assert dialog.is_visible()
    assert "8.1" in dialog.inner_text()
    assert dialog.locator("img").get_attribute("alt") == ALT
    opened.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("(button) => button === document.activeElement"), "focus comes back"
    opened.keyboard.press("Enter")
    assert dialog.is_visible()
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    opened.keyboard.press("Enter")
    opened.mouse.click(3, 3)
    assert not dialog.is_visible()


@pytest.mark.site
def test_an_enlarged_figure_is_at_least_as_large_as_it_was_drawn(opened: Page, visitor: Visitor) -> None:
    for width in (DESK["width"], PHONE):
        visitor.look(width=width)
        opened.locator("#figure-8-4 .enlarge").focus()
        opened.keyboard.press("Enter")
        drawn = opened.locator("dialog img").evaluate("(image) => Number(image.getAttribute('width'))")
        assert width_of(opened, "dialog img") >= drawn
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            "its room scrolls, not the page"
        )
        opened.keyboard.press("Escape")


@pytest.mark.site
def test_on_a_phone_panels_stand_below_one_another_and_letters_have_nine_pixels(
    opened: Page, visitor: Visitor
) -> None:
    assert opened.locator(".panel").count() == 0
    visitor.look(width=PHONE)
    panels = opened.locator("#figure-8-1 .panel")
    assert panels.count() == 2
    upper, lower = (panel.bounding_box() for panel in panels.all())
    assert upper
    assert lower
    assert upper["y"] + upper["height"] <= lower["y"] + 1
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for figure in opened.locator("figure.drawn:has(img.in-the-light)").all():
        image = figure.locator("img:visible").first
        # A drawing's units are points, and the smallest labels have about ten of them.
        drawn = image.evaluate("(image) => image.getAttribute('width') * 72 / 110")
        box = image.bounding_box()
        assert box
        assert 10 * box["width"] / drawn >= 9
    alts = [image.get_attribute("alt") for image in panels.locator("img.in-the-light").all()]
    assert alts == [ALT, ""], "it is described once"
    visitor.look(width=DESK["width"])
    assert opened.locator(".panel").count() == 0
    assert opened.locator("#figure-8-1 img:visible").count() == 1


@pytest.mark.site
def test_a_panel_shows_its_part_of_the_drawing(opened: Page, visitor: Visitor) -> None:
    visitor.look(width=PHONE)
    panel = opened.locator("#figure-8-1 .panel").last
    panel.scroll_into_view_if_needed()
    opened.evaluate(
        "Promise.all([...document.querySelectorAll('.panel img')].filter((image) => image.checkVisibility())"
        ".map((image) => { image.loading = 'eager'; return image.decode(); }))"
    )
    picture = np.asarray(Image.open(io.BytesIO(panel.screenshot())).convert("L"))
    middle = picture[picture.shape[0] // 4 : -picture.shape[0] // 4]
    black = (middle < 20).mean()
    assert 0.2 < black < 0.95, "a diagonal of four white squares on black"


# Colours


def lightness(colour: str) -> float:
    return colorsys.rgb_to_hls(*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)))[1]


def contrast(colour: str, ground: str) -> float:
    """The contrast of WCAG 2.1: letters are read from 4.5 on."""

    def luminance(text: str) -> float:
        shares = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted([luminance(colour), luminance(ground)])
    return (lighter + 0.05) / (darker + 0.05)


def test_in_the_dark_ink_and_paper_change_places_and_lines_keep_their_colours() -> None:
    paper = dark("#ffffff")
    assert paper == "#" + bytes(PAPER).hex()
    assert lightness(dark("#262626")) > 0.85
    assert lightness(dark("#000000")) > lightness(dark("#606060")) > lightness(dark("#e4e4e4"))
    lines = [colour.lower() for colour in plotting.COLOURS[:-1]]
    for colour in lines:
        assert contrast(dark(colour), paper) > 4.5, "letters in it can be read"
    assert [dark(colour) == colour for colour in lines].count(False) == 1
    assert dark(BLUE) == DARK_BLUE
    assert contrast(BLUE, paper) < 4
    red, green, blue = (int(dark("#e3eef5")[i : i + 2], 16) for i in (1, 3, 5))
    assert red < green < blue < 90, "a light tint is a dark one of the same hue"
    assert 0 < DARK_INK < 1


def test_black_that_a_drawing_does_not_name_is_light_in_the_dark_and_black_on_what_is_kept() -> None:
    drawing = SVG.format('<path d="M 0 0"/><g id="kept1"><g><path style="stroke: #262626"/></g></g><path/>')
    night = BeautifulSoup(darkened(drawing), "html.parser")
    assert night.svg
    assert night.svg["fill"] == dark("#000000")
    kept = night.find(id="kept1")
    assert kept
    assert kept["fill"] == "#000000"  # type: ignore[index]
    assert "#262626" in str(kept)
    assert darkened(SVG.format('<g><path style="stroke: #262626"/></g>')).count("#262626") == 0


def pixels(text: str) -> list[np.ndarray]:
    found = re.findall(r"base64,([A-Za-z0-9+/=\s]+)", text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each))).convert("RGBA")) for each in found]


def test_a_cloud_of_black_pixels_is_light_in_the_dark_and_an_image_stays() -> None:
    with plt.rc_context():
        plotting.style()
        cloud, grid = (bundle(figure())["image/svg+xml"] for figure in (one_panel, two_panels))
        plt.close("all")
    (before,), (after,) = pixels(cloud), pixels(darkened(cloud))
    solid = before[..., 3] > 200
    assert before[solid][:, :3].mean() < 60
    assert after[solid][:, :3].mean() > 180
    assert np.abs(before[..., 3].astype(int) - after[..., 3]).max() < 16
    np.testing.assert_array_equal(pixels(grid)[0], pixels(darkened(grid))[0])


def test_the_extension_and_the_library_agree_on_the_colours_of_lines() -> None:
    from gm_book.figures import LINES

    assert {colour.lower() for colour in plotting.COLOURS} - {"#000000"} == LINES
