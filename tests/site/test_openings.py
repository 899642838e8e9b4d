"""How pages open: their question, their picture, and the card of what they give, need and take."""

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from toy_book import ROOT, ToyBook
from visitor import Visitor

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from gm_book import pictures

QUESTION = "*Why is an\nanswer 42?*\n\n"
AIMS = (
    "**After this chapter you can** add $x$; say\nwhy, in one way;\nand read [nine](../nine.md). "
    "**You need** nothing.\n**Time:** 5 minutes to read, 5 for the exercises; no computing.\n\n"
)
CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.md"))
PAGES = [page for page in CHAPTERS if re.match(r"\d\d|A\d", page.name)]
OPENING = re.compile(
    r"^# (?P<title>.+)\n\n\*(?P<question>[^*]+\?)\*\n\n\*\*After this \w+ you can\*\*\s(?P<aims>.+?)"
    r"\*\*You need\*\*\s.+?\*\*Time:\*\*\s",
    re.MULTILINE | re.DOTALL,
)


def red_with_a_drawing() -> str:
    """Return a cell that shows a red picture, which pages show as a drawing."""
    picture = Image.new("RGB", (300, 90), "white")
    picture.paste((255, 0, 0), (20, 20, 280, 70))
    content = io.BytesIO()
    picture.save(content, "PNG")
    bundle = {
        "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="90"></svg>',
        "image/png": base64.b64encode(content.getvalue()).decode(),
    }
    return (
        "\n```{code-cell} ipython3\n:mystnb: {image: {alt: 'A red field'}}\n"
        f"from IPython.display import display\ndisplay({bundle!r}, raw=True)\n```\n"
    )


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyBook:
    toy = ToyBook(tmp_path_factory.mktemp("toy") / "toy")
    toy.fill()
    toy.edit("book/chapters/08_one.md", "# 8 · One\n\n", f"# 8 · One\n\n{QUESTION}{AIMS}")
    one = (toy.root / "book/chapters/08_one.md").read_text("utf-8")
    toy.write("book/chapters/08_one.md", one + red_with_a_drawing())
    less = "*What is two?*\n\n**After this page you can** count. **You need** fingers.\n\n"
    toy.edit("book/chapters/09a_two.md", "# 9a · Two\n\n", f"# 9a · Two\n\n{less}")
    toy.edit("book/nine.md", "# 9 · Nine\n", "# 9 · Nine\n\n*What is more?*\n\n```{page-cards}\n```\n")
    toy.made()
    return toy


def soup(toy: ToyBook, page: str) -> BeautifulSoup:
    return BeautifulSoup(toy.page(page), "html.parser")


def said(element: object) -> str:
    return " ".join(element.get_text().split())  # type: ignore[attr-defined]


# The page


def test_a_page_opens_with_question_picture_aims_needs_and_time_in_this_order(toy: ToyBook) -> None:
    section = soup(toy, "chapters/08_one").select_one("article section")
    assert section
    title, question, card = section.find_all(recursive=False)[:3]
    assert title.name == "h1"
    assert said(question) == "Why is an answer 42?"
    assert "opening-question" in question["class"]
    assert "opening" in card["class"]
    parts = [part["class"][0] for part in card.find_all(recursive=False)]
    assert parts == ["opening-picture", "opening-learn", "opening-need", "opening-time"]


def test_what_one_learns_is_a_list_and_what_one_needs_and_the_time_are_sentences(toy: ToyBook) -> None:
    page = soup(toy, "chapters/08_one")
    assert [said(p) for p in page.select(".opening-learn > p")] == ["After this chapter you can"]
    assert [said(li) for li in page.select(".opening-learn li")] == [
        r"add \(x\)",
        "say why, in one way",
        "read nine",
    ]
    assert page.select_one(".opening-learn a[href='../nine.html']"), "links stay links"
    assert [said(p) for p in page.select(".opening-need")] == ["You need nothing."]
    assert [said(p) for p in page.select(".opening-time")] == [
        "Time: 5 minutes to read, 5 for the exercises; no computing."
    ]


def test_the_picture_is_cut_out_of_the_png_and_leads_to_the_figure_where_it_stands(toy: ToyBook) -> None:
    page = soup(toy, "chapters/08_one")
    (link,) = page.select(".opening-picture a")
    assert said(link) == "A figure of this page"
    (place,) = page.select(str(link["href"]))
    assert place.select_one("img[src$='.svg']"), "the page itself shows the drawing"
    (image,) = link.select("img")
    assert image["alt"] == "", "the link's words say what it shows"
    assert image["loading"] == "eager", "it is seen at once"
    path = toy.root / "_build/html/book/chapters" / str(image["src"])
    picture = Image.open(path).convert("RGB")
    assert picture.size == (int(str(image["width"])), int(str(image["height"])))
    assert picture.getpixel((picture.width // 2, picture.height // 2))[1] < 50  # type: ignore[index]


def test_a_paragraph_without_all_parts_stays_one_and_the_question_is_kept(toy: ToyBook) -> None:
    page = soup(toy, "chapters/09a_two")
    assert [said(p) for p in page.select(".opening-question")] == ["What is two?"]
    assert not page.select(".opening")
    assert "After this page you can count. You need fingers." in said(page.article)


def test_a_page_above_others_shows_a_card_for_each_with_its_question(toy: ToyBook) -> None:
    page = soup(toy, "nine")
    assert [said(p) for p in page.select(".opening-question")] == ["What is more?"]
    (card,) = page.select("ul.cards > li > a.card")
    assert card["href"] == "chapters/09a_two.html"
    assert [said(span) for span in card.select(".card-title, .card-question")] == ["9a Two", "What is two?"]


def test_a_page_is_described_by_its_question_and_its_aims(toy: ToyBook) -> None:
    for name, begin in (
        ("chapters/08_one", "Why is an answer 42? After this chapter you can add x;"),
        ("nine", "What is more?"),
    ):
        (tag,) = soup(toy, name).select("meta[name=description]")
        assert str(tag["content"]).startswith(begin)


@pytest.mark.site
def test_on_a_desk_the_picture_stands_beside_the_aims_and_on_a_phone_above(
    visitor: Visitor, toy: ToyBook
) -> None:
    page = visitor.open((toy.root / "_build/html/book/chapters/08_one.html").as_uri())

    def boxes() -> list[dict[str, float]]:
        found = [page.locator(f".opening-{name}").bounding_box() for name in ("picture", "learn", "need")]
        return [dict(box) for box in found if box]

    picture, learn, need = boxes()
    assert picture["x"] >= learn["x"] + learn["width"]
    assert picture["y"] == pytest.approx(learn["y"], abs=2)
    assert need["y"] >= learn["y"] + learn["height"]
    page.set_viewport_size({"width": 375, "height": 900})
    picture, learn, need = boxes()
    assert picture["y"] + picture["height"] <= learn["y"] < need["y"]
    assert picture["x"] + picture["width"] <= 375
    page.set_viewport_size({"width": 1280, "height": 900})


# The pictures


def two_panels() -> Image.Image:
    figure = Image.new("RGB", (200, 100), "white")
    figure.paste("blue", (10, 20, 90, 90))
    figure.paste("green", (110, 20, 190, 90))
    figure.paste("red", (10, 2, 60, 10))  # the title
    return figure


@pytest.mark.parametrize("right", [0.47, 0.5, 0.56, 0.6])
def test_the_edge_of_a_part_moves_to_where_it_cuts_no_panel(right: float) -> None:
    part = pictures.part_of(two_panels(), (0, 0.12, right, 1))
    assert part.size == (80, 70)
    assert part.getcolors() == [(80 * 70, (0, 0, 255))]


def test_an_edge_far_from_any_gap_stays_where_it_is() -> None:
    assert pictures.part_of(two_panels(), (0, 0.12, 0.25, 1)).size == (40, 70)


def test_every_picture_has_one_shape_and_shows_the_whole_part() -> None:
    for size in ((900, 100), (100, 300), (2000, 1250)):
        whole = pictures.framed(Image.new("RGB", size, (255, 0, 255)))
        assert whole.width / whole.height == pytest.approx(pictures.SHAPE, rel=0.01)
        assert whole.width <= pictures.WIDTH
        inked = np.asarray(whole)[:, :, 1] < 128
        rows, columns = inked.any(axis=1).sum(), inked.any(axis=0).sum()
        assert columns / rows == pytest.approx(size[0] / size[1], rel=0.05), "nothing of it is cut"


def test_a_grid_of_dark_images_stands_on_black_and_a_drawing_on_white() -> None:
    grid = Image.new("RGB", (210, 100), "white")
    for place in range(2):
        grid.paste("black", (110 * place, 0, 110 * place + 100, 100))
        grid.paste("white", (110 * place + 40, 40, 110 * place + 60, 60))
    whole = np.asarray(pictures.framed(grid).convert("L"))
    assert whole[0, 0] == 0
    assert (whole > 128).sum() == 2 * 20 * 20, "the gap is black, the strokes are white"
    assert np.asarray(pictures.framed(two_panels()).convert("L"))[0, 0] == 255


# The sources


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_opens_with_its_title_one_question_and_its_aims(page: Path) -> None:
    opening = OPENING.search(page.read_text("utf-8"))
    assert opening, "title, *question?*, **After this … you can**, **You need**, **Time:**"
    assert opening["question"].count("?") == 1
    assert len(opening["question"].split()) <= 22
    assert 2 <= len(opening["aims"].split(";")) <= 8


def test_the_arc_asks_of_each_chapter_what_its_page_asks() -> None:
    arc = (ROOT / "book" / "intro.md").read_text("utf-8")
    asked = dict(re.findall(r"\]\(([\w/]+\.md)\) \| ([^|]+\?) \|", arc))
    assert len(asked) >= 18
    for name, question in asked.items():
        assert f"\n\n*{question}*\n" in (ROOT / "book" / name).read_text("utf-8"), name


def test_every_page_has_a_picture_that_is_a_figure_of_it_and_says_what_it_shows() -> None:
    assert set(pictures.PICTURES) == {page.stem for page in PAGES}
    for page in PAGES:
        choice = pictures.PICTURES[page.stem]
        text = page.read_text("utf-8")
        assert len(re.findall(rf'alt: "{re.escape(choice.begin)}', text)) == 1, page.stem
        assert 3 <= len(choice.caption.split()) <= 12, page.stem
        left, top, right, bottom = choice.part
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
