"""A reader of the built pages: a browser tab that can be given any screen, and that keeps every complaint."""

import re
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, Request, Route, ViewportSize

from built_site import open_page, set_theme

DESK: ViewportSize = {"width": 1280, "height": 900}
TOOLS = Path(__file__).with_name("page_tools.js")
LISTED = 20


class Visitor:
    """A tab that is let through to the built pages only."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.context.route(re.compile("."), self._route)
        page.context.add_init_script(path=TOOLS)
        page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self._note_failure)
        page.on("response", lambda r: r.status >= 400 and self.complaints.append(f"{r.url}: {r.status}"))

    def open(self, address: str) -> Page:
        open_page(self.page, address)
        return self.page

    def look(
        self,
        *,
        width: int = DESK["width"],
        theme: Literal["light", "dark"] = "light",
        folds: Literal["closed", "open"] = "closed",
    ) -> None:
        """Give the tab this screen; whatever is not named is as when a page is opened."""
        self.page.set_viewport_size({"width": width, "height": DESK["height"]})
        self.page.evaluate("(open) => pageTools.setFolds(open)", folds == "open")
        set_theme(self.page, theme)

    def _note_failure(self, request: Request) -> None:
        """Complain, unless the page was left while its icon, which no page waits for, was still loading."""
        if not (request.url.endswith("/favicon.svg") and request.failure == "net::ERR_ABORTED"):
            self.complaints.append(f"{request.url}: {request.failure}")

    def _route(self, route: Route) -> None:
        if re.match(r"file://|data:|blob:|http://127\.0\.0\.1:", route.request.url):
            route.continue_()
        else:
            self.complaints.append(f"asks another host: {route.request.url}")
            route.abort()


def listed(found: list[str]) -> str:
    """Return what was found, one line each, for the message of a test that fails: as much as one can read."""
    more = [f"... and {len(found) - LISTED} more"] if len(found) > LISTED else []
    return "\n".join(["", *found[:LISTED], *more])
