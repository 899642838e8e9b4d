"""The search finds sections, exercises and terms, from a disk as from a server, and nothing folded."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from built_book import HTML, pages
from playwright.sync_api import expect
from served import served
from toy_book import ToyBook
from visitor import Visitor

pytestmark = pytest.mark.site

SECTIONS = r"""
## The quoll

A *quoll* weighs $m = \frac{1}{2}$ of a numbat. Of its density nothing is known.

<details>
<summary>Where this comes from</summary>

A wallaby said so.

</details>

### Where it lives

Far from any numbat: Fréchet's quokka weighs more, and the quoll keeps away.
"""
GLOSSARY = """\
# Glossary

Every word.

```{glossary}
Numbat
  It eats what a numbat eats.

Quoll distance
  How far an animal walks.
```
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of a toy book with sections, a glossary and animals that live in what is folded only."""
    toy = ToyBook(tmp_path_factory.mktemp("toy") / "toy")
    toy.fill()
    toy.edit("_toc.yml", "  - file: book/status", "  - file: book/glossary\n  - file: book/status")
    toy.write("book/glossary.md", GLOSSARY)
    chapter = "book/chapters/08_one.md"
    toy.edit(chapter, "return gm_lib.answer + 41", 'possum = "bandicoot"\n    return possum')
    toy.edit("gm_lib/exercises/chapter_08.py", "It is $42$.", "It is no bilby.")
    toy.write(chapter, (toy.root / chapter).read_text("utf-8") + SECTIONS)
    toy.made()
    return toy.root / "_build" / "html"


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    with served(site) as address:
        yield address


@pytest.fixture(params=["file", "http"])
def origin(request: pytest.FixtureRequest, site: Path) -> str:
    return site.as_uri() if request.param == "file" else str(request.getfixturevalue("server"))


class Search:
    """A visitor who searches, and what is shown then."""

    def __init__(self, visitor: Visitor, origin: str) -> None:
        self.visitor = visitor
        self.page = visitor.page
        self.origin = origin
        self.status = self.page.get_by_role("status")
        self.links = self.page.locator("#search-results a")
        self.marks = self.page.locator("#search-results p mark")

    def __call__(self, query: str) -> list[str]:
        """Return the titles of what is found, once the page has told how much that is."""
        self.visitor.open(f"{self.origin}/search.html?q={quote(query)}")
        expect(self.status).to_contain_text(f"for “{query}”")
        assert self.visitor.complaints == []
        return self.links.all_inner_texts()


@pytest.fixture
def search(visitor: Visitor, site: Path) -> Search:
    return Search(visitor, site.as_uri())


def test_what_is_found_is_marked_and_a_click_away_from_a_disk_and_from_a_server(
    visitor: Visitor, origin: str
) -> None:
    search = Search(visitor, origin)
    assert search("keeps away") == ["8 · One › Where it lives"]
    assert search.page.title().startswith("1 place for “keeps away”")
    assert search.marks.all_inner_texts() == ["keeps", "away"]
    search.links.click()
    search.page.wait_for_url("**/book/chapters/08_one.html#where-it-lives")
    assert search.page.locator("section#where-it-lives h3").is_visible()
    assert visitor.complaints == []


def test_sections_exercises_and_terms_are_found_titles_before_texts(search: Search) -> None:
    quoll, lives = "8 · One › The quoll", "8 · One › Where it lives"
    assert search("quoll") == [quoll, "Glossary › Quoll distance", lives]
    assert search("numbat") == ["Glossary › Numbat", quoll, lives]
    assert search("quoll distance") == ["Glossary › Quoll distance"]
    assert search("exercise 9.1")[0] == "9a · Two › Exercise 9.1"
    assert search("glossary") == ["Glossary"], "and not each of its terms"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("dens", {"density"}),
        ("densities", {"density"}),
        ("FRECHET", {"Fréchet"}),
        ("numbat’s density", {"numbat", "density"}),
        ("what is the density of a numbat?", {"numbat", "density"}),
    ],
)
def test_a_word_is_found_by_its_beginning_in_other_forms_and_in_a_question(
    search: Search, query: str, words: set[str]
) -> None:
    assert len(search(query)) == 1
    assert set(search.marks.all_inner_texts()) == words


def test_formulas_are_typeset_but_not_those_that_somebody_searches_for(search: Search) -> None:
    search("quoll weighs")
    assert search.page.locator("#search-results p mjx-container").count() == 1
    search(r"\(x\)")
    search.page.evaluate("MathJax.typesetPromise()")
    assert search.page.locator("mjx-container").count() == 0


@pytest.mark.parametrize(
    ("word", "where"),
    [
        ("possum", "in a solution"),
        ("bandicoot", "in the verdict on a solution"),
        ("bilby", "in a hint"),
        ("Hint", "what opens one"),
        ("wallaby", "in an aside"),
        ("says", "in an output"),
        ("area", "in code"),
    ],
)
def test_what_is_folded_or_code_is_not_found(site: Path, search: Search, word: str, where: str) -> None:
    assert word in (site / "book" / "chapters" / "08_one.html").read_text("utf-8"), where
    assert search(word) == []
    assert word not in (site / "_static" / "search_index.js").read_text("utf-8")
    assert not (site / "searchindex.js").exists(), "Sphinx's index has everything"


def test_who_finds_nothing_is_told_so_and_what_to_try(search: Search) -> None:
    assert search("quolls density zebra") == []
    assert search.page.title().startswith("Nothing for")
    said = search.status.inner_text()
    assert "Nothing was found" in said
    assert "“zebra” occurs nowhere." in said
    assert "density occurs in 1 place." in said
    assert search("numbast") == []
    assert "Did you mean numbat?" in search.status.inner_text()
    search.status.get_by_role("link", name="numbat").click()
    expect(search.status).to_contain_text("3 places for “numbat”")


def test_the_search_box_of_a_page_leads_to_the_results_and_tab_and_enter_to_a_section(
    visitor: Visitor, origin: str
) -> None:
    page = visitor.open(f"{origin}/book/chapters/09a_two.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("keeps away")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=keeps+away*")
    page.locator("#search-results a").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/08_one.html#where-it-lives")
    assert visitor.complaints == []


@pytest.mark.parametrize("query", ["numbat", "numbast zebra"])
@pytest.mark.parametrize("width", [1280, 375])
def test_the_results_can_be_read_by_everybody_in_light_and_dark(
    search: Search, query: str, width: int
) -> None:
    search(query)
    for theme in ("light", "dark"):
        search.visitor.look(width=width, theme=theme)
        wrong = Axe().run(search.page, context=".bd-search-container").response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in wrong] == []
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert search.page.evaluate(over) == 0


def test_in_the_built_book_every_result_has_its_place_and_every_page_has_results() -> None:
    script = (HTML / "_static" / "search_index.js").read_text("utf-8")
    index = dict(json.loads(script.removeprefix("const SEARCH_INDEX = ").removesuffix(";\n")))
    assert {*index, "genindex.html", "search.html"} == {page.as_posix() for page in pages()}
    for address, places in index.items():
        page = BeautifulSoup((HTML / address).read_text("utf-8"), "html.parser")
        there = {tag["id"] for tag in page.select("article [id]")}
        assert [anchor for anchor, *_ in places if anchor not in there] == [], address


def test_the_built_book_is_searched(visitor: Visitor) -> None:
    search = Search(visitor, HTML.as_uri())
    titles = search("reparameterization trick")
    assert titles[:2] == ["Glossary › Reparameterization trick", "8 · The reparameterization trick"]
    assert "8 · The reparameterization trick › Second way: open the draw" in titles
