"""Weigh the pages of the built book: what a browser loads to show each of them.

    python tools/weigh.py [PATTERN ...]

What makes the page are HTML, style sheets, scripts and fonts: as they are, and as gzip makes them, which most
servers send. Pictures are all of a page, also those that are loaded only when a reader comes to them, and all
the frames of its sliders. Needs Chromium.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Page, Request

from built_site import MissingError, chromium, html, open_page, pages
from shots import choose, name

ROOT = Path(__file__).resolve().parents[1]
TEXT = ("document", "stylesheet", "script", "font")


@dataclass(frozen=True)
class Weight:
    """What a browser loads for one page, by address: each file's kind and path."""

    files: dict[Path, str]

    def raw(self, *kinds: str) -> int:
        """Return the bytes of the files of these kinds; of all that make the page without kinds."""
        return sum(path.stat().st_size for path in self._of(kinds))

    def gzipped(self, *kinds: str) -> int:
        """Return the bytes that are sent where the server compresses."""
        return sum(map(_gzipped, self._of(kinds)))

    def _of(self, kinds: tuple[str, ...]) -> list[Path]:
        return [path for path, kind in self.files.items() if kind in (kinds or TEXT)]


@cache
def _gzipped(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 6))


def weigh(tab: Page, page: Path) -> Weight:
    """Open a page's file in the tab, with all its pictures, and return what was loaded for it."""
    files: dict[Path, str] = {}

    def note(request: Request) -> None:
        parts = urlsplit(request.url)
        path = Path(unquote(parts.path))
        if parts.scheme == "file" and path.is_file():  # what is missing, another test finds
            files[path] = request.resource_type

    tab.on("request", note)
    try:
        open_page(tab, page.as_uri())
    finally:
        tab.remove_listener("request", note)
    frames = "[...document.querySelectorAll('figure.frames')].flatMap((f) => JSON.parse(f.dataset.pictures))"
    files |= {(page.parent / frame).resolve(): "image" for frame in tab.evaluate(frames)}
    return Weight(files)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="pages with this in their names; all")
    patterns = parser.parse_args(arguments).patterns
    site = html(root)
    try:
        chosen = choose(pages(site), patterns)
        with chromium() as browser:
            tab = browser.new_page(offline=True)
            print("kB: raw = HTML + CSS + JS + fonts; the same gzipped; pictures")
            for page in chosen:
                weight = weigh(tab, site / page)
                parts = " + ".join(f"{weight.raw(kind) / 1000:.0f}" for kind in TEXT)
                print(
                    f"{weight.raw() / 1000:6.0f} = {parts}; {weight.gzipped() / 1000:.0f}; "
                    f"{weight.raw('image') / 1000:.0f}  {name(page)}",
                    flush=True,
                )
    except MissingError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
