"""The built book as a browser meets it: its pages, and a Chromium that opens them and calls nobody."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
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

# A page is as its reader sees it once formulas, fonts and pictures are there, those far below too.
SETTLED = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  const pictures = [...document.images].filter((picture) => getComputedStyle(picture).display !== "none");
  for (const picture of pictures) picture.loading = "eager";
  await Promise.all(pictures.map((picture) => picture.decode().catch(() => {})));
}"""
# A page follows the system's choice of light or dark; one without a theme of its own has nothing to change.
HAS_THEME = "(theme) => (document.documentElement.dataset.theme ?? theme) === theme"
WITHOUT_MOTION = "*, ::before, ::after { animation: none !important; transition: none !important; }"


class MissingError(Exception):
    """What is needed is not there; the text says what to do."""


def html(root: Path) -> Path:
    """Return the folder of the built book; it need not be there yet."""
    return root / "_build" / "html"


def pages(site: Path) -> list[Path]:
    """Return every page in ``site``, relative to it.

    ``index.html`` is none: it only leads on to the first.
    """
    found = (path.relative_to(site) for path in site.rglob("*.html"))
    return sorted(path for path in found if path.parts[0] != "_static" and path.name != "index.html")


def find_chromium() -> str:
    """Return the Chromium that GM_CHROMIUM names, or the one on the path.

    Raises ``MissingError`` where there is none.
    """
    if named := os.environ.get("GM_CHROMIUM"):
        if shutil.which(named) is None:
            raise MissingError(f"No Chromium: GM_CHROMIUM is {named}, which is no program.")
        return named
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise MissingError(
            f"No Chromium: install one of {', '.join(PROGRAMS)}, or set GM_CHROMIUM to its path."
        )
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium, to be closed at the end.

    Raises ``MissingError`` where there is none.
    """
    program = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            with suppress(Error):  # Ctrl-C has closed it already
                browser.close()


def open_page(page: Page, address: str) -> None:
    """Let the tab ``page`` open an address, and wait until nothing of it will move any more."""
    page.goto(address)
    settle(page)
    page.wait_for_load_state("networkidle")
    page.add_style_tag(content=WITHOUT_MOTION)  # a change is seen at once


def settle(page: Page) -> None:
    """Wait until all is there that the page shows in its theme and width of now, far below too."""
    page.evaluate(SETTLED)


def set_theme(page: Page, theme: str) -> None:
    """Show the page in the theme ``light`` or ``dark``, as it follows the reader's system."""
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.wait_for_function(HAS_THEME, arg=theme, timeout=10_000)
