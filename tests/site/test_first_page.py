"""The first page, what is told of a page, and what a page makes a browser load: on a toy book."""

import base64
import io
import math
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from PIL import Image
from playwright.sync_api import Browser, Page
from served import served
from toy_book import ROOT, ToyBook, cell
from visitor import Visitor

import latent_plane
from gm_lib import pretrained
from weigh import weigh

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from gm_book import icons
from gm_book.about import LONGEST, shortened
from gm_book.first_page import bibtex

INTRO = """\
# A toy

It has two pages, which is enough for somebody who only wants to look at them once.

```{latent-plane}
A place is a code; [one](chapters/08_one.md) is an example.
```

:::{div} begin
[Begin](chapters/08_one.md)
[Setup](nine.md)
:::

```{byline}
```

:::{div} arc
| part | chapter | the question it answers |
|---|---|---|
| | [08 One](chapters/08_one.md) | What is <one>? |
| **II More** | [09 Nine](nine.md) | What is more? |
| | 10 Three *(coming)* | What is to come? |
:::

```{cite-this}
```
"""
NINE = """\
# 9 · Nine

| page |
|---|
| [09a Two](chapters/09a_two.md) |
| 09b Four *(coming)* |

```{note}
This page has a box.
```
"""
# What the plane asks of gm_lib. The ink of a code's digit is the sigmoid of its two numbers' sum.
PRETRAINED = """\
from types import SimpleNamespace

def card(name):
    return {"name": name}

def digit_vae(*, plane):
    def decode(z):
        return z.sum(1).sigmoid().view(-1, 1, 1, 1).expand(-1, 1, 28, 28)
    return SimpleNamespace(decode=decode, likelihood=SimpleNamespace(mean=lambda params: params))

def digit_classifier():
    import torch
    return lambda x: torch.nn.functional.one_hot((10 * x.mean((1, 2, 3))).long().clamp(max=9), 10)
"""
RED, BLUE = (255, 0, 0), (0, 0, 255)
WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"
SIZE = (300, 90)
SLUG = "github.com/somebody/a-course"
BETWEEN = 0.4  # seconds that a tour needs to have moved


def figure(colour: tuple[int, int, int]) -> str:
    """Return the code of a cell that shows a picture with a border of white."""
    picture = Image.new("RGB", SIZE, "white")
    picture.paste(colour, (20, 20, SIZE[0] - 20, SIZE[1] - 20))
    content = io.BytesIO()
    picture.save(content, "PNG")
    encoded = base64.b64encode(content.getvalue())
    return f"import base64\nfrom IPython.display import HTML, Image\nImage(base64.b64decode({encoded!r}))"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyBook:
    """The toy with a first page like the book's, a chapter with a formula, two figures and a sound."""
    toy = ToyBook(tmp_path_factory.mktemp("toy") / "toy")
    toy.fill()
    toy.write("book/intro.md", INTRO)
    toy.write("book/nine.md", NINE)
    toy.write("gm_lib/pretrained.py", PRETRAINED)
    toy.write("book/drawing.svg", '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100"></svg>\n')
    points = '<svg xmlns="http://www.w3.org/2000/svg" width="300pt" viewBox="0 0 9 9" height="150pt"></svg>\n'
    toy.write("book/points.svg", points)
    sound = f"data:audio/wav;base64,{base64.b64encode(WAV).decode()}"
    toy.write(
        "book/chapters/08_one.md",
        (toy.root / "book/chapters/08_one.md").read_text("utf-8")
        + "\nA formula, $x$. ![A drawing](../drawing.svg) ![Twice as wide](../points.svg)\n"
        + cell(figure(RED), ':mystnb: {image: {alt: "A figure of some width"}}\n')
        + cell(figure(BLUE), ':mystnb: {image: {alt: "A blue figure"}}\n')
        + cell(f'HTML(\'<audio controls src="{sound}"></audio><iframe srcdoc="a frame"></iframe>\')'),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1000000000")
        toy.made()
    return toy


def soup(toy: ToyBook, page: str = "intro") -> BeautifulSoup:
    return BeautifulSoup(toy.page(page), "html.parser")


def told(toy: ToyBook, page: str) -> dict[str, str]:
    """Return what the page's head tells of it, by name."""
    tags = soup(toy, page).select("head meta[content]")
    return {str(tag.get("name") or tag.get("property")): str(tag["content"]) for tag in tags}


def file_of(toy: ToyBook, page: str, address: str | list[str]) -> Path:
    return (toy.root / "_build" / "html" / "book" / page).parent / str(address)


# The plane


@pytest.fixture(scope="module")
def address(toy: ToyBook) -> Iterator[str]:
    with served(toy.root / "_build" / "html") as address:
        yield f"{address}/book/intro.html"


def ink(x: float, y: float) -> float:
    """Return the red that a code's digit has on paper."""
    return 255 - (255 - latent_plane.INK[0]) / (1 + math.exp(-x - y))


def drawn(page: Page) -> float:
    """Return the red in the middle of the digit that is drawn now."""
    canvas = "document.querySelector('.plane-digit')"
    return float(page.evaluate(f"{canvas}.getContext('2d').getImageData(50, 50, 1, 1).data[0]"))


def place(page: Page) -> tuple[float, float]:
    """Return where the mark is, in digits from the upper left corner."""
    style = page.locator(".plane-mark").evaluate("(mark) => [mark.style.left, mark.style.top]")
    left, top = (float(value.removesuffix("%")) / 100 * latent_plane.SIDE for value in style)
    return left, top


@pytest.fixture
def still(browser: Browser, address: str) -> Iterator[Page]:
    """The first page for a reader who has asked for no motion."""
    with browser.new_context(reduced_motion="reduce", has_touch=True) as context:
        visitor = Visitor(context.new_page())
        yield visitor.open(address)
        # The tests look at what is drawn, which no page does.
        assert [text for text in visitor.complaints if "willReadFrequently" not in text] == []


@pytest.mark.site
def test_who_asks_for_no_motion_sees_none_and_can_ask_for_it(still: Page) -> None:
    middle = latent_plane.SIDE / 2
    still.wait_for_timeout(1000 * BETWEEN)
    assert place(still) == pytest.approx((middle, middle))
    still.get_by_role("button", name="Take a tour").click()
    still.wait_for_timeout(1000 * BETWEEN)
    assert place(still) != pytest.approx((middle, middle))


@pytest.mark.site
def test_the_tour_begins_by_itself_and_ends_where_the_reader_says(visitor: Visitor, address: str) -> None:
    page = visitor.open(address)
    before = place(page)
    page.wait_for_timeout(1000 * BETWEEN)
    assert place(page) != before
    page.get_by_role("button", name="Stop the tour").click()
    stopped = place(page)
    page.wait_for_timeout(1000 * BETWEEN)
    assert place(page) == stopped
    assert visitor.complaints == []


@pytest.mark.site
def test_the_digit_under_the_pointer_is_drawn(still: Page) -> None:
    codes = latent_plane.middles()
    assert drawn(still) == pytest.approx(ink(0, 0), abs=4)
    box = still.locator(".plane-field").bounding_box()
    assert box
    column, row = 20, 3  # the middle of a digit
    size = box["width"] / latent_plane.SIDE
    still.mouse.move(box["x"] + (column + 0.5) * size, box["y"] + (row + 0.5) * size)
    code = codes[column], codes[latent_plane.SIDE - 1 - row]
    assert drawn(still) == pytest.approx(ink(*code), abs=4)
    assert still.locator(".plane-says").inner_text() == f"code ({code[0]:.1f}, {code[1]:.1f})"
    # In the middle between two digits, as much of each.
    still.mouse.move(box["x"] + (column + 1) * size, box["y"] + (row + 0.5) * size)
    between = (ink(*code) + ink(codes[column + 1], code[1])) / 2
    assert drawn(still) == pytest.approx(between, abs=4)


@pytest.mark.site
def test_arrow_keys_move_by_one_digit_up_to_the_edge_and_say_what_it_is_read_as(still: Page) -> None:
    codes, side = latent_plane.middles(), latent_plane.SIDE
    still.locator(".plane-field").focus()
    still.keyboard.press("ArrowRight")
    assert place(still) == pytest.approx((side // 2 + 1.5, side // 2 + 0.5))
    for _ in range(side):
        still.keyboard.press("ArrowUp")
    assert place(still) == pytest.approx((side // 2 + 1.5, 0.5))
    x, y = codes[side // 2 + 1], codes[-1]
    read_as = int(10 / (1 + math.exp(-x - y)))
    assert still.get_by_role("status").last.inner_text() == (
        f"The digit of the code ({x:.1f}, {y:.1f}): read as a {read_as}"
    )


@pytest.mark.site
def test_a_finger_moves_the_mark_and_not_the_page(still: Page) -> None:
    box = still.locator(".plane-field").bounding_box()
    assert box
    still.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.2 * box["height"])
    assert place(still) == pytest.approx((0.9 * latent_plane.SIDE, 0.2 * latent_plane.SIDE), abs=0.1)
    assert still.locator(".plane-field").evaluate("(field) => getComputedStyle(field).touchAction") == "none"


@pytest.mark.site
def test_without_javascript_a_picture_of_the_whole_plane_stands_there(browser: Browser, address: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        figure = page.locator("figure.plane")
        assert figure.locator("img").is_visible()
        assert figure.locator("img").get_attribute("alt")
        assert figure.get_by_role("button").count() == 0
        assert page.get_by_role("link", name="Begin").get_attribute("href") == "chapters/08_one.html"


def test_the_picture_has_every_code_in_its_place(toy: ToyBook) -> None:
    (image,) = soup(toy).select("figure.plane img")
    picture = Image.open(file_of(toy, "intro", image["src"])).convert("RGB")
    side, pixels = latent_plane.SIDE, latent_plane.PIXELS
    assert (
        picture.size
        == (side * pixels, side * pixels)
        == (int(str(image["width"])), int(str(image["height"])))
    )
    codes = latent_plane.middles()
    for column, row in ((0, 0), (3, 20), (24, 24), (12, 12)):
        red, _, _ = picture.getpixel((column * pixels + 14, row * pixels + 14))  # type: ignore[misc]
        assert red == pytest.approx(ink(codes[column], codes[side - 1 - row]), abs=4), (column, row)


def test_each_place_of_the_plane_is_equally_probable_and_the_middle_one_is_the_origin() -> None:
    codes = latent_plane.middles()
    below = [0.5 * (1 + math.erf(code / math.sqrt(2))) for code in codes]
    steps = [b - a for a, b in pairwise(below)]
    assert steps == pytest.approx([1 / latent_plane.SIDE] * len(steps))
    assert codes[latent_plane.SIDE // 2] == pytest.approx(0)


def test_the_picture_is_rendered_once_for_a_model_and_always_the_same(
    toy: ToyBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = latent_plane.plane(tmp_path)
    before = made.picture.read_bytes(), made.picture.stat().st_mtime_ns
    assert len(made.read_as) == latent_plane.SIDE**2
    assert set(made.read_as) == set("0123456789")
    assert latent_plane.plane(tmp_path) == made
    assert (made.picture.read_bytes(), made.picture.stat().st_mtime_ns) == before
    made.picture.unlink()
    assert latent_plane.plane(tmp_path).picture.read_bytes() == before[0]
    card = pretrained.card
    monkeypatch.setattr(pretrained, "card", lambda name: {**card(name), "seed": "another"})
    assert latent_plane.plane(tmp_path).picture != made.picture


# The cards, author, date and citation


def test_the_arc_is_cards_with_a_figure_of_the_chapter_or_a_drawn_picture(toy: ToyBook) -> None:
    page = soup(toy)
    assert [part.get_text() for part in page.select(".arc-part")] == ["II More"]
    one, nine, three = page.select("ul.cards > li > .card")
    assert one["href"] == "chapters/08_one.html"
    assert [span.get_text() for span in one.select("span")] == ["8 One", "8", "What is <one>?"]
    assert nine["href"] == "nine.html"
    assert three.name == "div"
    assert "coming" in three.get_text()
    assert three.select_one("span.card-drawn")
    assert nine.select_one("span.card-drawn"), "no page of it has a figure"
    assert not page.select(".arc table")


def test_a_card_shows_the_first_figure_without_its_margin_and_waits_until_it_is_reached(toy: ToyBook) -> None:
    (image,) = soup(toy).select("ul.cards img")
    assert image["loading"] == "lazy"
    picture = Image.open(file_of(toy, "intro", image["src"])).convert("RGB")
    assert picture.size == (int(str(image["width"])), int(str(image["height"])))
    red, green, _ = picture.getpixel((picture.width // 2, picture.height // 2))  # type: ignore[misc]
    assert red > 200
    assert green < 50, "the red figure, not the blue one"
    beside = (20, picture.height // 2)
    assert picture.getpixel(beside)[1] < 50, "of the white around it only a little is left"  # type: ignore[index]


def test_the_byline_has_version_and_date_and_an_author_when_one_is_named(toy: ToyBook) -> None:
    (line,) = soup(toy).select("p.byline")
    assert line.get_text() == "Version 1.2.3 · 2001-09-09"


@pytest.mark.parametrize(
    ("citation", "author", "url", "lines"),
    [
        (None, "", "OWNER/a-course", ["@software{a-course,", "title   = {{Toys}},"]),
        (None, "A. Writer", "OWNER/a-course", ["author  = {A. Writer},"]),
        (None, "", "Somebody/somebody.github.io", ["url     = {https://somebody.github.io/},"]),
        (None, "", "somebody/a-course", ["url     = {https://somebody.github.io/a-course/},"]),
        (
            "authors: [{name: The authors}]\ntitle: Other",
            "",
            "OWNER/a",
            ["author  = {{The authors}},", "{{Other}},"],
        ),
        ("authors: [{name: The authors}]", "A. Writer", "OWNER/a", ["author  = {A. Writer},"]),
        (
            "authors: [{family-names: Writer, given-names: Ann}]\nversion: 2.0.0\ndate-released: 2031-02-03",
            "",
            "OWNER/a",
            ["author  = {Writer, Ann},", "version = {2.0.0},", "year    = {2031},"],
        ),
    ],
)
def test_a_citation_is_made_of_the_citation_file_and_the_configuration(
    tmp_path: Path, citation: str | None, author: str, url: str, lines: list[str]
) -> None:
    (tmp_path / "gm_lib").mkdir()
    (tmp_path / "gm_lib/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "_config.yml").write_text(f"repository: {{url: https://github.com/{url}}}\n")
    if citation:
        (tmp_path / "CITATION.cff").write_text(citation)
    entry = bibtex(tmp_path, "Toys", author)
    for line in lines:
        assert line in entry
    assert entry.endswith("}")
    assert ("url" in entry) == ("OWNER" not in url)


def test_the_page_offers_its_citation_in_a_fold(toy: ToyBook) -> None:
    (fold,) = soup(toy).select("details.fold-cite")
    assert fold.summary
    assert fold.summary.get_text() == "Cite this"
    assert "@software{" in fold.get_text()
    assert not fold.has_attr("open")


# What is told of a page


def test_a_page_is_described_by_the_question_it_answers_and_how_its_text_begins(toy: ToyBook) -> None:
    assert told(toy, "intro")["description"].startswith("It has two pages, which is enough")
    assert told(toy, "chapters/08_one")["description"] == "What is <one>?"
    for page in ("intro", "nine", "chapters/08_one", "chapters/09a_two", "status"):
        about = told(toy, page)
        assert about["og:description"] == about["description"]
        assert about["og:title"] in soup(toy, page).h1.get_text()  # type: ignore[union-attr]
        assert about["og:site_name"] == "Generative Models"
        assert "author" not in about


def test_addresses_are_told_once_the_book_has_one(toy: ToyBook) -> None:
    assert not any("://" in content for content in told(toy, "intro").values())
    config = (toy.root / "_config.yml").read_text("utf-8")
    toy.edit("_config.yml", "github.com/OWNER/generative-models-course", SLUG)
    toy.edit("_config.yml", "author: ''", "author: A. Writer")
    try:
        result = toy.build()
        assert result.returncode == 0, result.stderr
        about = told(toy, "chapters/08_one")
        assert about["og:url"] == "https://somebody.github.io/a-course/book/chapters/08_one.html"
        assert about["og:image"] == "https://somebody.github.io/a-course/_images/card-08_one.webp"
        assert told(toy, "status")["og:image"].endswith("/a-course/_static/readme.png")
        assert about["author"] == "A. Writer"
        assert soup(toy).select("p.byline")[0].get_text().startswith("A. Writer · Version 1.2.3")
    finally:
        toy.write("_config.yml", config)
        toy.build()


@pytest.mark.parametrize("length", [10, 200, 201, 500])
def test_a_long_description_ends_with_a_sentence_or_a_word(length: int) -> None:
    words = ("word " * 120)[:length].strip()
    assert len(shortened(words)) <= LONGEST + 2
    assert shortened(words).removesuffix(" …") in words
    assert shortened(f"{'word ' * 25}end. {'more ' * 40}").endswith("end.")


# What a page loads


def test_icons_are_drawn_from_shapes_in_the_page_and_neither_script_nor_font_is_there(toy: ToyBook) -> None:
    site = toy.root / "_build" / "html"
    for path in site.rglob("*.html"):
        if "_static" in path.parts or path.name == "index.html":
            continue
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        used = {str(use["href"]).removeprefix("#") for use in page.select("svg > use")}
        assert used, path
        assert used == {str(symbol["id"]) for symbol in page.select("symbol")}, path
        assert not [tag for tag in page.select("i, span") if re.search(r"\bfa-", str(tag.get("class")))], path
        assert "fontawesome.js" not in path.read_text("utf-8")
    assert not list(site.rglob("fontawesome*"))
    assert not list(site.rglob("fa-*.woff2"))


def test_an_icon_that_there_is_not_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(icons.LOGGER, "warning", lambda message, *values: said.append(message % values))
    assert "#icon-list" in icons.draw('<i class="fa-solid fa-list"></i>')
    unknown = '<i class="fas fa-no-such-thing" title="x"></i>'
    assert icons.draw(unknown) == unknown
    assert said == [f"no icon is called 'no-such-thing': {unknown}"]


@pytest.mark.site
@pytest.mark.parametrize("page", ["intro", "nine", "chapters/08_one"])
def test_nothing_that_a_page_shows_is_missing(visitor: Visitor, toy: ToyBook, page: str) -> None:
    opened = visitor.open((toy.root / "_build" / "html" / "book" / f"{page}.html").as_uri())
    assert visitor.complaints == []
    for picture in opened.locator("article img").all():
        opened.set_viewport_size({"width": 375, "height": 900})
        natural, shown = picture.evaluate("(p) => [p.naturalWidth / p.naturalHeight, p.width / p.height]")
        assert shown == pytest.approx(natural, rel=0.02), "in whatever room, pictures keep their shape"
    opened.set_viewport_size({"width": 1280, "height": 900})
    for icon in opened.locator("svg:has(> use):visible").all():
        box = icon.bounding_box()
        assert box
        assert 8 < box["height"] < 30, icon.evaluate("(icon) => icon.outerHTML")
        assert 4 < box["width"] < 30, icon.evaluate("(icon) => icon.outerHTML")


def test_only_a_page_with_a_formula_loads_mathjax(toy: ToyBook) -> None:
    assert "MathJax" not in toy.page("intro"), "below it in the table of contents there are formulas"
    assert "MathJax" not in toy.page("status")
    assert "mathjax/tex-chtml.js" in toy.page("chapters/08_one")
    assert "mathjax/tex-chtml.js" in (toy.root / "_build/html/search.html").read_text("utf-8")


def test_pictures_and_frames_wait_until_they_are_reached_and_pictures_have_their_room(toy: ToyBook) -> None:
    page = soup(toy, "chapters/08_one")
    images = page.select("article img")
    assert [image["alt"] for image in images] == [
        "A drawing",
        "Twice as wide",
        "A figure of some width",
        "A blue figure",
    ]
    for image in images:
        assert image["loading"] == "lazy"
    sizes = [(int(str(image["width"])), int(str(image["height"]))) for image in images]
    assert sizes == [(200, 100), (400, 200), SIZE, SIZE]
    assert [frame["loading"] for frame in page.select("article iframe")] == ["lazy"]


@pytest.mark.site
def test_what_waits_is_on_paper_too(visitor: Visitor, toy: ToyBook) -> None:
    page = visitor.page
    page.goto((toy.root / "_build" / "html" / "book" / "chapters" / "08_one.html").as_uri())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("[loading=lazy]").count() == 0


def test_a_sound_is_a_file_beside_the_page(toy: ToyBook) -> None:
    (sound,) = soup(toy, "chapters/08_one").select("article audio")
    assert isinstance(sound, Tag)
    assert file_of(toy, "chapters/08_one", sound["src"]).read_bytes() == WAV


@pytest.mark.site
def test_a_page_weighs_what_a_browser_loads_for_it_with_the_pictures_that_wait(
    visitor: Visitor, toy: ToyBook
) -> None:
    page = toy.root / "_build" / "html" / "book" / "chapters" / "08_one.html"
    weight = weigh(visitor.page, page)
    kinds = {path.name: kind for path, kind in weight.files.items()}
    assert kinds["08_one.html"] == "document"
    assert kinds["book.css"] == "stylesheet"
    assert kinds["tex-chtml.js"] == "script"
    assert {kind for name, kind in kinds.items() if name.endswith(".woff")} == {"font"}
    figures = [
        file_of(toy, "chapters/08_one", image["src"])
        for image in soup(toy, "chapters/08_one").select("article img")
    ]
    assert {figure.name for figure in figures} <= {name for name, kind in kinds.items() if kind == "image"}
    assert weight.raw("document") == page.stat().st_size
    assert weight.raw() == sum(weight.raw(kind) for kind in ("document", "stylesheet", "script", "font"))
    assert 0 < weight.gzipped() < weight.raw()
