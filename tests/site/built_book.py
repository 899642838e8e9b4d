"""Where the built book is, and which pages it has."""

from pathlib import Path

import built_site

ROOT = Path(__file__).resolve().parents[2]
HTML = built_site.html(ROOT)


def pages() -> list[Path]:
    """Return every page, relative to ``HTML``."""
    return built_site.pages(HTML)


def chapters() -> list[Path]:
    """Return the pages that are chapters, in their order."""
    return [page for page in pages() if page.parent.name == "chapters"]
