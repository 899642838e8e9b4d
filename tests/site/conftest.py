"""Without a built book or without Chromium the tests of the pages are skipped and say so; in CI they fail."""

import os
from collections.abc import Iterator

import pytest
from built_book import HTML, pages
from playwright.sync_api import Browser
from visitor import DESK, Visitor

from built_site import MissingError, chromium


def missing(what: str) -> None:
    """Skip the test for want of something; in CI, where it must be there, fail it."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(autouse=True)
def _is_built(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("site") and not (HTML / "index.html").is_file():
        missing("there is no built book: run make book first.")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium: the one that GM_CHROMIUM names, or the one on the path."""
    try:
        with chromium() as browser:
            yield browser
    except MissingError as error:
        missing(str(error))


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    with browser.new_context(viewport=DESK) as context:
        yield Visitor(context.new_page())


@pytest.fixture(scope="module", params=pages(), ids=str)
def opened(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Visitor]:
    """A visitor on each page in turn; opening one takes seconds, so the tests of a module share it."""
    with browser.new_context(viewport=DESK) as context:
        visitor = Visitor(context.new_page())
        visitor.open((HTML / request.param).as_uri())
        yield visitor
