"""The built pages in a real browser without a network, from file:// and from a local server."""

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from built_book import HTML, chapters, pages
from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.site

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

FAINT_TEXTS = (Path(__file__).parent / "faint_texts.js").read_text("utf-8")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    handler = partial(_Quiet, directory=str(HTML))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(params=["file", "http"])
def origin(request: pytest.FixtureRequest) -> str:
    return HTML.as_uri() if request.param == "file" else str(request.getfixturevalue("server"))


class Visitor:
    """A browser tab that is let through to the built pages only, and that keeps every complaint."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.context.route(re.compile("."), self._route)
        page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda r: self.complaints.append(f"{r.url}: {r.failure}"))
        page.on("response", lambda r: r.status >= 400 and self.complaints.append(f"{r.url}: {r.status}"))

    def open(self, address: str) -> Page:
        self.page.goto(address)
        self.page.evaluate("async () => { await window.MathJax?.startup?.promise; }")
        self.page.wait_for_load_state("networkidle")
        return self.page

    def _route(self, route: Route) -> None:
        if re.match(r"file://|data:|blob:|http://127\.0\.0\.1:", route.request.url):
            route.continue_()
        else:
            self.complaints.append(f"asks another host: {route.request.url}")
            route.abort()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    with browser.new_context(viewport=DESK) as context:
        yield Visitor(context.new_page())


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


@pytest.mark.parametrize("name", pages(), ids=str)
def test_a_page_fits_the_screen_and_its_text_stands_out_from_the_ground(name: Path, visitor: Visitor) -> None:
    page = visitor.open((HTML / name).as_uri())
    page.evaluate("document.querySelectorAll('article details').forEach((d) => (d.open = true))")
    page.add_style_tag(content="* { transition: none !important; }")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.locator(f"html[data-theme={scheme}]").wait_for()
        assert page.evaluate(FAINT_TEXTS) == [], scheme
    for size in (DESK, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        width, room = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert width <= room, f"{width} pixels wide on a screen of {room}"


def test_search_finds_a_chapter_by_a_word_in_it(origin: str, visitor: Visitor) -> None:
    page = visitor.open(f"{origin}/search.html?q=reparameterization")
    results = page.locator("#search-results a")
    results.first.wait_for(timeout=10_000)
    assert any("08_reparameterization" in str(link.get_attribute("href")) for link in results.all())
    assert visitor.complaints == []


def test_the_search_box_opens_and_leads_to_the_results(origin: str, visitor: Visitor) -> None:
    page = visitor.open(f"{origin}/book/intro.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("reparameterization")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=reparameterization*")
    page.locator("#search-results a").first.wait_for(timeout=10_000)
    assert visitor.complaints == []


@pytest.mark.parametrize("name", chapters(), ids=str)
def test_hints_and_solutions_open_with_a_click(name: Path, visitor: Visitor) -> None:
    page = visitor.open((HTML / name).as_uri())
    solution = page.locator("details.fold-solution").first
    code = solution.locator("pre")
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
