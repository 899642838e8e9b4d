"""On a page, sliders choose among frames that were drawn beforehand: without a kernel, from a disk."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup, Tag
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from toy_book import ToyBook
from visitor import DESK, Visitor

from gm_lib.widgets import Control, Frames

CELL = """
```{{code-cell}} ipython3
:tags: [hide-input]
:mystnb: {{image: {{alt: "A grey that changes"}}{more}}}
from pathlib import Path
from IPython.display import HTML
HTML(Path("{name}.html").read_text("utf-8"))
```
"""
FAR = "\nA line.\n" * 80


def grey(value: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (400, 200), (value, value, value)).save(content, "WEBP", lossless=True)
    return content.getvalue()


SHADE = Control("how light", ["0", "0.5", "1"], 1, False)
ONE = Frames([SHADE], [grey(v) for v in (10, 20, 30)], [], 200, 100, True)
KIND = Control("kind", ["a <b>", "c"], 0, True)
TWO = Frames(
    [KIND, SHADE],
    [grey(v) for v in (40, 50, 60, 70, 80, 90)],
    [f"{k} & {s}" for k in "ac" for s in (0, 1, 2)],
    200,
    100,
    False,
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyBook:
    """A toy book whose first chapter has two figures of frames, the second far below."""
    toy = ToyBook(tmp_path_factory.mktemp("toy") / "toy")
    toy.fill()
    for name, frames in (("one", ONE), ("two", TWO)):
        toy.write(f"book/chapters/{name}.html", frames._repr_html_())
    path = "book/chapters/08_one.md"
    cells = (
        CELL.format(name="one", more=""),
        CELL.format(name="two", more=', figure: {caption: "It is $x$."}'),
    )
    toy.write(path, (toy.root / path).read_text("utf-8") + FAR + cells[0] + FAR + cells[1])
    toy.made()
    return toy


def address(toy: ToyBook) -> str:
    return (toy.root / "_build" / "html" / "book" / "chapters" / "08_one.html").as_uri()


@pytest.fixture
def page(toy: ToyBook, visitor: Visitor) -> Iterator[Page]:
    visitor.page.goto(address(toy))  # not by open(), which loads what is lazy
    yield visitor.page
    assert visitor.complaints == []


def figures(toy: ToyBook) -> list[Tag]:
    return BeautifulSoup(toy.page("chapters/08_one"), "html.parser").select("figure.frames")


def content(toy: ToyBook, picture: str) -> bytes:
    return (toy.root / "_build" / "html" / "book" / "chapters" / picture).resolve().read_bytes()


def seen(page: Page, place: int = 0) -> str:
    """Return the file of the frame that a figure shows, once it is there."""
    image = page.locator("figure.frames img").nth(place)
    image.scroll_into_view_if_needed()
    expect(image).to_have_js_property("complete", True)
    return str(image.evaluate("(image) => image.currentSrc")).rpartition("/")[2]


def files(toy: ToyBook, place: int = 0) -> list[str]:
    return [name.rpartition("/")[2] for name in json.loads(str(figures(toy)[place]["data-pictures"]))]


def test_each_frame_is_a_file_and_the_one_of_the_start_stands_in_the_page(toy: ToyBook) -> None:
    one, two = figures(toy)
    for figure, frames, start in ((one, ONE, 1), (two, TWO, 1)):
        names = json.loads(str(figure["data-pictures"]))
        assert [content(toy, name) for name in names] == frames.pictures
        image = figure.img
        assert image is not None
        assert image["src"] == names[start]
        assert image["alt"] == "A grey that changes"
        assert (image["width"], image["height"], image["loading"]) == ("200", "100", "lazy")
    assert two.pre is not None
    assert two.pre.get_text() == "a & 1"
    assert "base64" not in toy.page("chapters/08_one")


def test_drawings_and_images_are_told_apart_and_a_caption_has_its_formula(toy: ToyBook) -> None:
    one, two = figures(toy)
    assert "frames-inked" in one["class"]
    assert "frames-inked" not in two["class"]
    assert two.select("figcaption .math")
    assert not one.select("figcaption")


def test_only_a_page_with_frames_loads_their_script(toy: ToyBook) -> None:
    assert "slides.js" in toy.page("chapters/08_one")
    assert "slides.js" not in toy.page("chapters/09a_two")


def test_frames_that_nobody_described_stop_the_build(toy: ToyBook) -> None:
    path, described = "book/chapters/08_one.md", 'alt: "A grey that changes"}}'
    try:
        toy.edit(path, described, 'alt: "Grey"}}')
        toy.executed()
        result = toy.build()
        assert result.returncode != 0
        assert "nothing says what this slide() shows" in result.stdout + result.stderr
    finally:
        toy.edit(path, 'alt: "Grey"}}', described)
        toy.executed()
        toy.build()


# In the browser


def test_the_keys_move_a_slider_and_what_it_says_is_read_aloud(page: Page, toy: ToyBook) -> None:
    slider = page.get_by_role("slider", name="how light").first
    slider.focus()
    assert seen(page) == files(toy)[1]
    expect(slider).to_have_attribute("aria-valuetext", "how light 0.5")
    page.keyboard.press("ArrowRight")
    assert seen(page) == files(toy)[2]
    expect(slider).to_have_attribute("aria-valuetext", "how light 1")
    expect(page.locator("figure.frames output").first).to_have_text("1")
    page.keyboard.press("Home")
    assert seen(page) == files(toy)[0]


def test_two_controls_choose_a_frame_of_the_grid_and_its_text(page: Page, toy: ToyBook) -> None:
    figure = page.locator("figure.frames").nth(1)
    menu, slider = figure.get_by_label("kind"), figure.get_by_role("slider")
    menu.select_option("c")
    assert seen(page, 1) == files(toy, 1)[4]
    slider.press("ArrowLeft")
    assert seen(page, 1) == files(toy, 1)[3]
    expect(figure.locator("pre")).to_have_text("c & 0")
    menu.select_option("a <b>")
    assert seen(page, 1) == files(toy, 1)[0]


def test_frames_are_loaded_when_the_figure_comes_near_and_not_before(toy: ToyBook, visitor: Visitor) -> None:
    asked: list[str] = []
    page = visitor.page
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto(address(toy))
    page.wait_for_timeout(300)
    assert not set(asked) & {*files(toy), *files(toy, 1)}
    page.locator("figure.frames").first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert set(files(toy)) <= set(asked)
    assert not set(asked) & set(files(toy, 1))


def test_without_scripts_the_frame_of_the_start_stands_and_no_control(toy: ToyBook, browser: Browser) -> None:
    with browser.new_context(viewport=DESK, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address(toy))
        page.locator("figure.frames").first.scroll_into_view_if_needed()
        expect(page.locator("figure.frames img").first).to_be_visible()
        assert page.locator(".frames-controls:visible").count() == 0


def test_the_frame_of_the_start_is_printed_without_controls(page: Page, toy: ToyBook) -> None:
    slider = page.get_by_role("slider").first
    slider.press("End")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert seen(page) == files(toy)[1]
    expect(slider).to_be_hidden()
    page.emulate_media(media="screen")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert seen(page) == files(toy)[2]
    expect(page.locator("figure.frames output").first).to_have_text("1")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_everybody_can_use_the_controls(visitor: Visitor, toy: ToyBook, theme: str, width: int) -> None:
    page = visitor.open(address(toy))
    visitor.look(width=width, theme=theme)  # type: ignore[arg-type]
    found = Axe().run(page, context="figure.frames").response["violations"]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for control in page.locator(".frames-controls :is(input, select)").all():
        box = control.bounding_box()
        assert box is not None
        assert box["height"] >= 24
        assert box["width"] >= 90 or control.evaluate("(control) => control.tagName") == "SELECT"


def test_weighing_a_page_counts_all_its_frames(toy: ToyBook, visitor: Visitor) -> None:
    from weigh import weigh

    weight = weigh(visitor.page, Path(address(toy).removeprefix("file://")))
    assert weight.raw("image") >= sum(map(len, [*ONE.pictures, *TWO.pictures]))


@pytest.mark.site
def test_a_tap_enlarges_the_frame_that_is_seen(page: Page, toy: ToyBook) -> None:
    first = seen(page)
    page.get_by_label("how light").first.press("ArrowRight")
    second = seen(page)
    assert first != second
    page.locator("figure.frames img").first.click()
    enlarged = page.locator("dialog.enlarged img")
    assert str(enlarged.get_attribute("src")).endswith(second)
    box = enlarged.bounding_box()
    assert box
    assert box["width"] > 2 * ONE.width
