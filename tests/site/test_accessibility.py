"""What axe says of every page: whether screen readers, the keyboard and weak eyes find their way."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from visitor import Visitor, listed

pytestmark = pytest.mark.site

DESK, PHONE = 1280, 375
# All of axe's rules but those of WCAG's third level, which no whole site is asked to meet (WCAG 2.2, 5.2).
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice", "experimental")
# One rule wants a landmark of whatever scrolls by the keys: there would be dozens, for tables, on a page.
# Contrast takes axe longer than all else; test_layout.py looks at more texts than axe does, in both themes.
NOT_ASKED = ("focus-order-semantics", "color-contrast")
SETTLED = 500  # milliseconds after which the theme has decided, for another width, where the Tab key stops
SHOWN = 160  # characters of an element in a message


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_axe_finds_nothing_wrong(opened: Visitor, width: int) -> None:
    opened.look(width=width, folds="open")
    opened.page.wait_for_timeout(SETTLED)
    options = {
        "runOnly": {"type": "tag", "values": TAGS},
        "rules": {rule: {"enabled": False} for rule in NOT_ASKED},
        "resultTypes": ["violations"],
        "preload": False,  # it would fetch the style sheets, which file:// forbids
    }
    violations = Axe().run(opened.page, options=options).response["violations"]
    found = [text for violation in violations for text in texts(violation)]
    assert not found, listed(found)


def texts(violation: dict) -> list[str]:
    """Return one text for each element that breaks a rule: the rule, where the element is, how it begins."""
    rule = f"{violation['id']} ({violation['impact']})"
    return [
        f"{rule}: {' '.join(map(str, node['target']))}: {node['html'][:SHOWN]}" for node in violation["nodes"]
    ]
