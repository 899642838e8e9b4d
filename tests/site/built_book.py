"""Where the built book is, and which pages it has."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"


def pages() -> list[Path]:
    """Return every page, relative to ``HTML``; ``index.html``, which only leads on to the first, is none."""
    found = (path.relative_to(HTML) for path in HTML.rglob("*.html"))
    return sorted(path for path in found if path.parts[0] != "_static" and path.name != "index.html")


def chapters() -> list[Path]:
    """Return the pages that are chapters, in their order."""
    return [page for page in pages() if page.parent.name == "chapters"]
