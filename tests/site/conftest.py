"""Without a built book or without Chromium the tests of the pages are skipped and say so; in CI they fail."""

import os
import shutil
from collections.abc import Iterator

import pytest
from built_book import HTML
from playwright.sync_api import Browser, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# No service of the browser's own may call home: a page's requests are all there is.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


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
    found = os.environ.get("GM_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        missing(f"no Chromium: install one of {', '.join(BROWSERS)}, or set GM_CHROMIUM to its path.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()
