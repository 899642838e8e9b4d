"""The built pages in a real browser without a network, from file:// and from a local server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from built_book import HTML, chapters, pages
from served import served
from visitor import Visitor

pytestmark = pytest.mark.site


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with served(HTML) as address:
        yield address


@pytest.fixture(params=["file", "http"])
def origin(request: pytest.FixtureRequest) -> str:
    return HTML.as_uri() if request.param == "file" else str(request.getfixturevalue("server"))


@pytest.mark.parametrize("name", pages(), ids=str)
def test_a_page_opens_without_a_complaint_and_typesets_its_mathematics(
    name: Path, origin: str, visitor: Visitor
) -> None:
    page = visitor.open(f"{origin}/{name.as_posix()}")
    assert visitor.complaints == []
    written = page.locator("article .math").count()
    assert page.locator("article mjx-container").count() >= written
    assert page.locator("mjx-merror, [data-mjx-error]").all_inner_texts() == []
    if name in chapters():
        assert written > 0


@pytest.mark.parametrize("name", [name for name in chapters() if name.name[0] != "A"], ids=str)
def test_hints_and_solutions_open_with_a_click(name: Path, visitor: Visitor) -> None:
    page = visitor.open((HTML / name).as_uri())
    solution = page.locator("details.fold-solution").first
    code = solution.locator("pre").first
    assert not code.is_visible()
    solution.locator("summary").click()
    assert code.is_visible()
    page.locator("details.fold-hint summary").first.click()
    assert page.locator("details.fold-hint > p").first.is_visible()
    assert visitor.complaints == []


def test_the_first_page_leads_on_to_the_introduction(origin: str, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(f"{origin}/index.html")
    page.wait_for_url("**/book/intro.html")
    assert "Generative Models" in page.title()
