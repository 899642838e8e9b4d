"""Picture every page of the built book, light and dark, on screens of several widths, to leaf through.

The pictures show whole pages with their folds closed. _build/shots is made anew, so that they all come from
one build; open _build/shots/index.html to look at them.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from playwright.sync_api import Browser, Page
from tqdm import tqdm

from built_site import MissingError, chromium, html, open_page, pages, set_theme, settle

ROOT = Path(__file__).resolve().parents[1]
VIEWER = Path(__file__).with_suffix(".html")

WIDTHS = (1280, 768, 375)
NARROWEST, WIDEST = 200, 4000
SCREEN = 900  # the height of a screen: what sticks to its edges is drawn once, at the top
PIECE = 8000  # Chromium draws no picture taller than 16,384 pixels
QUALITY = 80
HEIGHT = "Math.max(document.documentElement.scrollHeight, document.body.scrollHeight)"

# The heights of the pieces of one page in one theme at one width: [page][theme][width].
Album = dict[str, dict[str, dict[int, list[int]]]]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pages", nargs="+", metavar="PATTERN", help="pages with this in their names; * stands for anything"
    )
    parser.add_argument(
        "--widths", nargs="+", type=_width, default=WIDTHS, metavar="PIXELS", help="default: 1280 768 375"
    )
    options = parser.parse_args(arguments)
    site, album = html(root), root / "_build" / "shots"
    try:
        chosen = choose(pages(site), options.pages)
        with chromium() as browser, _made_anew(album) as folder:
            take(browser, site, chosen, list(dict.fromkeys(options.widths)), folder)
    except MissingError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Ctrl-C stops Playwright's own process too, of which it would complain at the end.
        logging.getLogger("asyncio").disabled = True
        print("Interrupted: no picture was changed.", file=sys.stderr)
        return 130
    print(f"Open {album / 'index.html'} in a browser.")
    return 0


def _width(text: str) -> int:
    if not (text.isdecimal() and NARROWEST <= int(text) <= WIDEST):
        raise argparse.ArgumentTypeError(f"{text}: a width is {NARROWEST} to {WIDEST} pixels.")
    return int(text)


def choose(found: list[Path], patterns: list[str] | None) -> list[Path]:
    """Return the pages with one of the patterns in their names, or all.

    Raises ``MissingError`` when nothing is built, or a pattern is in no page's name.
    """
    if not found:
        raise MissingError("Nothing is built yet: run make book first.")
    chosen: set[Path] = set()
    for pattern in patterns or ["*"]:
        fitting = {page for page in found if fnmatch(name(page), f"*{pattern}*")}
        if not fitting:
            known = "\n  ".join(map(name, found))
            raise MissingError(f"No page has {pattern} in its name. There are\n  {known}")
        chosen |= fitting
    return sorted(chosen)


def name(page: Path) -> str:
    """Return what a page is called: its path without the ending."""
    return page.with_suffix("").as_posix()


def take(browser: Browser, site: Path, chosen: list[Path], widths: list[int], folder: Path) -> None:
    """Take the pictures and write them, and the page to look at them on, to ``folder``."""
    album: Album = {}
    tab = browser.new_page(offline=True)
    with tqdm(total=len(chosen) * len(widths) * 2, unit="view", leave=False, disable=None) as progress:
        for path in chosen:
            progress.set_description(name(path))
            open_page(tab, (site / path).as_uri())
            for theme in ("light", "dark"):
                set_theme(tab, theme)
                for width in widths:
                    tab.set_viewport_size({"width": width, "height": SCREEN})
                    settle(tab)
                    start = folder / f"{name(path)}-{theme}-{width}"
                    heights = list(_write_pieces(tab, width, start))
                    album.setdefault(name(path), {}).setdefault(theme, {})[width] = heights
                    progress.update()
    viewer = VIEWER.read_text("utf-8").replace("/* album */ {}", json.dumps(album))
    (folder / "index.html").write_text(viewer, encoding="utf-8")


def _write_pieces(tab: Page, width: int, start: Path) -> Iterator[int]:
    """Write the page from top to bottom as pictures, ``start`` and a number; yield the height of each."""
    start.parent.mkdir(parents=True, exist_ok=True)
    # Asked of the browser itself: Playwright writes no WebP, and as JPEG these pictures are twice as large.
    session = tab.context.new_cdp_session(tab)
    height = tab.evaluate(HEIGHT)
    for number, top in enumerate(range(0, height, PIECE), start=1):
        piece = {"x": 0, "y": top, "width": width, "height": min(PIECE, height - top), "scale": 1}
        taken = session.send(
            "Page.captureScreenshot",
            {"format": "webp", "quality": QUALITY, "captureBeyondViewport": True, "clip": piece},
        )
        Path(f"{start}-{number}.webp").write_bytes(base64.b64decode(taken["data"]))
        yield piece["height"]
    session.detach()


@contextmanager
def _made_anew(folder: Path) -> Iterator[Path]:
    """Give an empty folder, which takes the place of ``folder`` at the end; if there is an error, never."""
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
