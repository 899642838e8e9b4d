"""The built pages as files: nothing from another host, every link arrives, every figure is described."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from built_book import HTML, ROOT, chapters, pages
from visitor import Visitor

from weigh import weigh

pytestmark = pytest.mark.site

# What a browser loads by itself. An ordinary <a href> may lead anywhere.
LOADING = ("src", "srcset", "poster", "data", "action")
CSS_URL = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")
# Bytes that a chapter may weigh. A slow line, 1.6 Mbit/s, brings the megabyte that is sent in five seconds.
# Uncompressed is what a phone must parse and run; half of it is MathJax. Figures come one by one, as
# they are reached: all of a chapter's take eight seconds there, spread over an hour or two.
RAW, GZIPPED, PICTURES = 2_600_000, 1_000_000, 1_500_000
FILE_NAME = re.compile(r"[\w./-]+\.(png|jpe?g|svg|gif|webp)", re.IGNORECASE)


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def loaded(page: BeautifulSoup) -> Iterator[str]:
    """Yield every address that a page makes a browser load."""
    for tag in page.find_all(True):
        assert isinstance(tag, Tag)
        yield from (str(tag[name]) for name in LOADING if tag.has_attr(name))
        if tag.name in ("link", "image", "use"):
            yield from (str(tag[name]) for name in ("href", "xlink:href") if tag.has_attr(name))
        if tag.has_attr("style") or tag.name == "style":
            yield from css_addresses(f"{tag.get('style', '')} {tag.string or ''}")


def css_addresses(text: str) -> Iterator[str]:
    for match in CSS_URL.finditer(text):
        yield match[1] or match[2]


def is_elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc) and not address.startswith("data:")


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_page_loads_nothing_from_another_host(page: Path) -> None:
    assert [address for address in loaded(soup(HTML / page)) if is_elsewhere(address)] == []


def test_no_style_sheet_loads_anything_from_another_host() -> None:
    sheets = list((HTML / "_static").rglob("*.css"))
    assert sheets
    for sheet in sheets:
        elsewhere = [a for a in css_addresses(sheet.read_text("utf-8")) if is_elsewhere(a)]
        assert elsewhere == [], sheet


def test_no_page_has_scripts_for_a_kernel() -> None:
    for page in pages():
        scripts = [str(s.get("src") or s) for s in soup(HTML / page).find_all("script")]
        assert not any(name in script for script in scripts for name in ("thebe", "widget", "require.js")), (
            page
        )


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_link_of_a_page_arrives(page: Path) -> None:
    lost = []
    for link in soup(HTML / page).find_all("a", href=True):
        parts = urlsplit(str(link["href"]))
        if parts.scheme or parts.netloc:
            continue
        target = (HTML / page).parent / unquote(parts.path) if parts.path else HTML / page
        if not target.is_file():
            lost.append(f"{link['href']}: no such file")
        elif parts.fragment and target.suffix == ".html":
            anchor = unquote(parts.fragment)
            if not soup(target.resolve()).find(attrs={"id": anchor}):
                lost.append(f"{link['href']}: no such place on that page")
    assert lost == []


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_figure_has_a_text_that_says_what_it_shows(page: Path) -> None:
    for image in soup(HTML / page).select(
        "article img:not(.card-picture, .opening-image)"
    ):  # they have words
        text = str(image.get("alt", "")).strip()
        assert len(text.split()) >= 3, f"{image.get('src')} is described by {text!r} only"
        assert not FILE_NAME.fullmatch(text)


def test_solutions_are_hidden_and_sources_not_published() -> None:
    assert not (HTML / "_sources").exists()
    for page in pages():
        assert "BEGIN SOLUTION" not in (HTML / page).read_text("utf-8"), page
        assert not soup(HTML / page).select("details.fold[open]"), page


@pytest.mark.parametrize("chapter", chapters(), ids=str)
def test_every_exercise_of_a_chapter_has_stub_check_and_solution(chapter: Path) -> None:
    source = (ROOT / chapter.with_suffix(".md")).read_text("utf-8")
    tasks = re.findall(r"^> \*\*Exercise (\d+\.\d+)\*\*", source, re.MULTILINE)
    boxes = soup(HTML / chapter).select("div.exercise")
    assert [box["id"] for box in boxes] == [f"exercise-{task.replace('.', '-')}" for task in tasks]
    for task, box in zip(tasks, boxes, strict=True):
        assert box.select(".fold-hint"), task
        assert len(box.select(".fold-solution")) == 1, task
        assert f"✓ {task}" in box.get_text(), f"{task} was not checked when the book was built"


@pytest.mark.parametrize("chapter", chapters(), ids=str)
def test_a_chapter_can_be_run_in_colab_and_downloaded_as_the_student_edition(chapter: Path) -> None:
    notebook = f"{chapter.stem}.ipynb"
    links = [str(link["href"]) for link in soup(HTML / chapter).select(".article-header-buttons a")]
    assert any(link.startswith("https://colab.research.google.com/github/") for link in links)
    assert any(link.endswith(f"/notebooks/{notebook}") and not is_elsewhere(link) for link in links)
    offered = (HTML / "notebooks" / notebook).read_text("utf-8")
    assert offered == (ROOT / "notebooks" / notebook).read_text("utf-8")
    assert "BEGIN SOLUTION" not in offered
    assert all(not cell.get("outputs") for cell in json.loads(offered)["cells"])


def test_the_status_page_has_a_complete_row_for_every_chapter() -> None:
    rows = soup(HTML / "book" / "status.html").select("article tbody tr")
    links = [str(link["href"]) for row in rows for link in row.select("a")]
    assert links == [f"chapters/{chapter.name}" for chapter in chapters()]
    for row in rows[:-1]:
        cells = [cell.get_text(strip=True) for cell in row.select("td")]
        assert all(cells), cells
        assert "not recorded" not in cells


def test_a_page_says_on_top_when_it_was_built_on_other_data_than_the_real_ones() -> None:
    rows = soup(HTML / "book" / "status.html").select("article tbody tr")[:-1]
    used = {Path(str(row.select_one("a")["href"])).name: row.get_text() for row in rows}  # type: ignore[index]
    without = {name for name, text in used.items() if "in the place of" in text}
    boxed = {
        chapter.name
        for chapter in chapters()
        if soup(HTML / chapter).select("section > h1 + .built-on-digits")
    }
    assert boxed == without


@pytest.mark.parametrize("chapter", chapters(), ids=str)
def test_a_chapter_is_not_heavier_than_a_slow_line_can_bear(chapter: Path, visitor: Visitor) -> None:
    weight = weigh(visitor.page, HTML / chapter)
    assert weight.raw() <= RAW, {path.name: path.stat().st_size for path in weight.files}
    assert weight.gzipped() <= GZIPPED
    assert weight.raw("image") <= PICTURES


@pytest.mark.parametrize("page", pages(), ids=str)
def test_pictures_in_the_text_wait_until_they_are_reached_and_keep_their_room(page: Path) -> None:
    for image in soup(HTML / page).select("article img"):
        sized = {"width", "height"} <= set(image.attrs) or "height:" in str(image.get("style"))
        assert sized, f"{image['src']}"[:100]
        top = image.find_parent("figure", class_="plane") or "opening-image" in image.get("class", [])
        if not top:  # what stands at the top of a page is seen at once
            assert image["loading"] == "lazy", f"{image['src']}"[:100]


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_page_without_a_formula_loads_no_mathjax(page: Path) -> None:
    loads = "mathjax/tex-chtml.js" in (HTML / page).read_text("utf-8")
    assert loads == (bool(soup(HTML / page).select("article .math")) or page.name == "search.html")


@pytest.mark.parametrize("page", pages(), ids=str)
def test_a_page_says_what_it_is_about(page: Path) -> None:
    tags = soup(HTML / page).select("meta[content]")
    told = {str(tag.get("name") or tag.get("property")): str(tag["content"]) for tag in tags}
    assert len(told["description"]) > 20
    assert told["og:title"]
    assert told["og:description"] == told["description"]
