"""Anchors that headings keep whatever they say.

In a page's source ``<a id="vae_quick"></a>`` on the line above a heading is an anchor, on GitHub and in a
notebook's links too; here it becomes the anchor of the heading's section, which other pages link as
``results.md#vae_quick``.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform

ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')


class NamedAnchors(SphinxTransform):
    """Give each section the anchor that stands above its heading."""

    default_priority = 870  # before MyST resolves the links within a page

    def apply(self, **kwargs: Any) -> None:
        for paragraph in list(self.document.findall(nodes.paragraph)):
            found = ANCHOR.fullmatch(paragraph.astext())
            section = paragraph.next_node(descend=False, siblings=True, ascend=True)
            if found is None or not isinstance(section, nodes.section):
                continue
            anchor = nodes.make_id(found[1])
            section["ids"].insert(0, anchor)
            self.document.ids[anchor] = section
            # What MyST knows of a heading: line, anchor, text
            self.document.myst_slugs[found[1]] = (section.line, anchor, section[0].astext())
            paragraph.parent.remove(paragraph)
