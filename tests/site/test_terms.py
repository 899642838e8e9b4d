"""A chapter tells the meaning of a term where it first speaks of it; the glossary links the chapters."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser, Page, expect
from toy_book import ToyBook
from visitor import DESK, Visitor

GLOSSARY = r"""# Glossary

```{glossary}
Quoll
  A spotted animal, see {term}`Numbat`. Also called cat. *Chapter 8.*

Quoll distance
  How far an animal walks, $d$. *Chapters 8, 17.*

Numbat
  It eats ants. *Chapter 9.*

Rate
  How often a quoll does so. *Chapter 9.*

Jack–Jill theorem
  They went up. *Chapter 17.*

Bush density
  Of bushes. *Chapter 17.*

Ant lion, ant bear
  They eat what the first eats. *Chapter 17.*
```
"""
PROSE = r"""
## A numbat and a quoll

See `numbat`, [the numbat](../intro.md), $numbat$.

> **From earlier chapters**
>
> A numbat.

<details>
<summary>More</summary>

A numbat.

</details>

| numbat |
|---|
| numbat |

The *numbat-like* wombat.

Two quoll
distances are longer than a quoll’s. At this rate **numbats** walk,
and a cat, another numbat and a quoll follow.
Bush densities, ant bears and the Jack-Jill theorem.
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> ToyBook:
    """A toy book with a glossary; its first chapter speaks of animals, its second of a rate."""
    toy = ToyBook(tmp_path_factory.mktemp("toy") / "toy")
    toy.fill()
    toy.edit("_toc.yml", "  - file: book/status", "  - file: book/glossary\n  - file: book/status")
    toy.write("book/glossary.md", GLOSSARY)
    for name, prose in (
        ("08_one", PROSE),
        ("09a_two", "\n## Often\n\nThe rate of a *numbat*, a quoll distance.\n"),
    ):
        path = f"book/chapters/{name}.md"
        toy.write(path, (toy.root / path).read_text("utf-8") + prose)
    toy.made()
    return toy


def soup(toy: ToyBook, name: str) -> BeautifulSoup:
    return BeautifulSoup(toy.page(name), "html.parser")


def said(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def meaning(page: BeautifulSoup, term: Tag) -> Tag:
    box = page.find(id=str(term["aria-describedby"]))
    assert isinstance(box, Tag)
    return box


def test_the_first_mention_in_prose_is_marked_the_longest_term_first(toy: ToyBook) -> None:
    terms = soup(toy, "chapters/08_one").select("a.term")
    assert [said(term) for term in terms] == [
        "quoll distances",
        "quoll",
        "numbats",
        "Bush densities",
        "ant bears",
        "Jack-Jill theorem",
    ]
    assert {term.find_parent(["p", "strong"]).name for term in terms} == {"p", "strong"}  # type: ignore[union-attr]


def test_an_ordinary_word_is_marked_only_where_the_glossary_says(toy: ToyBook) -> None:
    marked = soup(toy, "chapters/09a_two").select("a.term")
    assert [said(term) for term in marked] == ["rate", "numbat", "quoll distance"]


def test_a_mention_leads_to_its_entry_and_its_meaning_stands_beside_it(toy: ToyBook) -> None:
    page = soup(toy, "chapters/08_one")
    distance, quoll, *_ = page.select("a.term")
    assert distance["href"] == "../glossary.html#term-Quoll-distance"
    assert said(meaning(page, quoll)) == "A spotted animal, see Numbat. Also called cat. In the glossary"
    assert meaning(page, quoll).has_attr("popover")
    assert [link["href"] for link in meaning(page, quoll).select("a")] == [quoll["href"]]
    assert meaning(page, distance).select(".math")
    assert soup(toy, "glossary").find(id="term-Quoll-distance")


def test_the_glossary_links_the_chapters_that_treat_a_term_and_those_that_mention_it(toy: ToyBook) -> None:
    page = soup(toy, "glossary")
    found = {}
    for term in page.select("dl.glossary > dt"):
        entry = term.find_next_sibling("dd")
        assert isinstance(entry, Tag)
        links = [(said(link), str(link["href"])) for link in entry.select("em a, .also a")]
        found[str(term["id"])] = (said(entry).partition(". ")[2], links)
    assert found["term-Quoll"][1] == [("8", "chapters/08_one.html#met-term-Quoll")]
    assert found["term-Quoll-distance"][0] == "Chapters 8, 17. Also in chapter 9a."
    assert found["term-Numbat"] == (
        "Chapter 9. Also in chapters 8, 9a.",
        [
            ("9", "nine.html"),
            ("8", "chapters/08_one.html#met-term-Numbat"),
            ("9a", "chapters/09a_two.html#met-term-Numbat"),
        ],
    )
    assert found["term-Rate"][0] == "Chapter 9. Also in chapter 9a."
    for page_, id_ in (link[1].split("#") for _, links in found.values() for link in links if "#" in link[1]):
        assert soup(toy, page_.removesuffix(".html")).find(id=id_)


def test_only_a_page_with_terms_loads_their_script_and_a_formula_in_a_meaning_is_typeset(
    toy: ToyBook,
) -> None:
    scripts = {
        name: [
            str(script.get("src")).partition("?")[0].rpartition("/")[2]
            for script in soup(toy, name).select("script")
        ]
        for name in ("chapters/09a_two", "intro")
    }
    assert "terms.js" in scripts["chapters/09a_two"]
    assert "tex-chtml.js" in scripts["chapters/09a_two"]
    assert "terms.js" not in scripts["intro"]


def test_the_search_finds_no_meaning_in_a_chapter(toy: ToyBook) -> None:
    index = (toy.root / "_build" / "html" / "_static" / "search_index.js").read_text("utf-8")
    assert "longer than a quoll’s" in index
    assert index.count("A spotted animal") == 1, "in the glossary"
    assert "Also in chapter" not in index


def test_a_changed_entry_changes_the_chapters_that_show_it(toy: ToyBook, tmp_path: Path) -> None:
    entry = "It eats ants."
    try:
        toy.edit("book/glossary.md", entry, "It eats termites.")
        result = toy.build()
        assert result.returncode == 0, result.stdout + result.stderr
        assert "It eats termites." in toy.page("chapters/09a_two")
    finally:
        toy.edit("book/glossary.md", "It eats termites.", entry)
        toy.build()


# In the browser


@pytest.fixture
def page(toy: ToyBook, visitor: Visitor) -> Page:
    return visitor.open((toy.root / "_build" / "html" / "book" / "chapters" / "08_one.html").as_uri())


def box(page: Page, words: str = "numbats"):
    term = page.locator("a.term", has_text=words)
    return term, page.locator(f"#{term.get_attribute('aria-describedby')}")


def test_a_pointer_shows_the_meaning_and_may_move_onto_it(page: Page) -> None:
    term, meaning = box(page)
    expect(meaning).to_be_hidden()
    term.hover()
    expect(meaning).to_be_visible()
    meaning.hover()
    page.wait_for_timeout(500)
    expect(meaning).to_be_visible()
    page.mouse.move(5, 5)
    expect(meaning).to_be_hidden()


def test_the_keys_show_the_meaning_reach_its_link_and_close_it(page: Page) -> None:
    term, meaning = box(page)
    box(page, "Bush densities")[0].focus()
    page.keyboard.press("Shift+Tab")
    expect(term).to_be_focused()
    expect(meaning).to_be_visible()
    page.keyboard.press("Escape")
    expect(meaning).to_be_hidden()
    expect(term).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    expect(meaning.locator("a")).to_be_focused()
    expect(meaning).to_be_visible()
    page.keyboard.press("Tab")
    expect(meaning).to_be_hidden()


@pytest.fixture
def phone(toy: ToyBook, browser: Browser) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 375, "height": 700}, has_touch=True) as context:
        visitor = Visitor(context.new_page())
        yield visitor.open((toy.root / "_build" / "html" / "book" / "chapters" / "08_one.html").as_uri())
        assert visitor.complaints == []


def test_a_tap_shows_the_meaning_and_another_closes_it(phone: Page) -> None:
    term, meaning = box(phone)
    term.tap()
    expect(meaning).to_be_visible()
    place = meaning.bounding_box()
    assert place is not None
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= 375
    term.tap()
    expect(meaning).to_be_hidden()
    term.tap()
    phone.locator("article h1").tap()
    expect(meaning).to_be_hidden()
    term.tap()
    meaning.locator("a").tap()
    phone.wait_for_url("**/glossary.html#term-Numbat")


def test_a_click_leads_to_the_glossary(page: Page) -> None:
    box(page)[0].click()
    page.wait_for_url("**/glossary.html#term-Numbat")


def test_without_scripts_a_term_is_a_link_and_no_meaning_is_in_the_way(
    toy: ToyBook, browser: Browser
) -> None:
    with browser.new_context(viewport=DESK, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((toy.root / "_build" / "html" / "book" / "chapters" / "08_one.html").as_uri())
        assert page.locator(".meaning:visible").count() == 0
        page.locator("a.term", has_text="numbats").click()
        page.wait_for_url("**/glossary.html#term-Numbat")


def test_nothing_of_it_is_printed(page: Page) -> None:
    term, meaning = box(page)
    term.hover()
    expect(meaning).to_be_visible()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    expect(meaning).to_be_hidden()
    expect(term).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_everybody_can_read_an_open_meaning(visitor: Visitor, page: Page, theme: str, width: int) -> None:
    visitor.look(width=width, theme=theme)  # type: ignore[arg-type]
    for words in ("quoll distances", "numbats"):
        term, meaning = box(page, words)
        term.hover()
        expect(meaning).to_be_visible()
        found = Axe().run(page, context=".meaning:popover-open").response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
