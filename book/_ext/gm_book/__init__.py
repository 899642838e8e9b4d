"""The book's own Sphinx extension: what Jupyter Book does not do for these chapters.

* ``cells``: an exercise shows its stub, then hints, check and solution; what is folded; no widgets
* ``page``: the buttons in a chapter's header, the footer, the coming chapters in the sidebar
* ``anchors``: anchors of headings that stay when their words change
* ``assets``: MathJax and the student notebooks, so that nothing is loaded from another host
* ``fallback``: a box on pages that were built without MNIST
* ``outputs``: each chapter shows what ``tools/execute.py`` kept of its execution; nothing is executed here
* ``icons``, ``load``: what a page makes a browser load, and when; icons without a script for them
* ``figures``: numbers and captions of figures; a drawing for light pages and one for dark ones
* ``opening``, ``pictures``: the top of a page: its question, its picture, what it gives, needs and takes
* ``first_page``: the plane of codes, the cards of the chapters, date and citation
* ``about``: description, and what is shown of a link to the page
* ``search``: a search for sections, exercises and terms that works from a disk too
* ``slides``: what a slider was seen to draw, as frames that a reader moves
* ``status``: the table of what was executed, when, and on which data
* ``typeface``: the letters of the pages, which are those of the figures
* ``terms``: the first mention of a glossary term in a chapter shows its meaning, and the glossary links back
"""

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))

import execution_cache
from gm_book import (
    about,
    anchors,
    assets,
    cells,
    fallback,
    figures,
    first_page,
    icons,
    load,
    opening,
    page,
    pictures,
    search,
    slides,
    status,
    terms,
    typeface,
)
from gm_book.outputs import Outputs


def setup(app: Sphinx) -> dict[str, Any]:
    execution_cache.prepare_environment()
    outputs = Outputs(Path(app.srcdir))
    app.connect("env-get-outdated", outputs.outdated)
    app.connect("source-read", outputs.choose)
    app.connect("config-inited", add_templates)
    app.connect("builder-inited", assets.copy_mathjax)
    app.connect("builder-inited", typeface.add_typeface)
    app.connect("builder-inited", search.replace_sphinx_search)
    app.add_transform(anchors.NamedAnchors)
    app.add_transform(figures.Figures)
    app.connect("doctree-read", slides.show_frames)
    app.connect("doctree-read", cells.show_exercises)
    app.connect("doctree-read", cells.fold_cells)
    app.connect("doctree-read", cells.remove_widgets)
    app.connect("doctree-read", cells.mark_boxes)
    app.connect("doctree-read", pictures.note)
    app.connect("doctree-read", opening.lay_out)
    app.connect("doctree-read", cells.keep_punctuation)
    app.connect("doctree-read", cells.let_tags_stand)
    app.connect("doctree-read", page.note_coming)
    app.connect("doctree-read", fallback.announce)
    app.connect("doctree-read", first_page.note_arc)
    app.connect("env-updated", status.outdated)
    app.connect("env-updated", terms.read)
    app.add_node(cells.Fold, html=(cells.visit_fold, cells.depart_fold))
    app.add_node(nodes.citation, override=True, html=(page.visit_citation, page.depart_citation))
    app.add_node(figures.Drawn, html=(figures.visit_drawn, figures.depart_drawn))
    app.add_node(figures.Caption, html=(figures.visit_caption, figures.depart_caption))
    app.connect("html-page-context", figures.add_script)
    app.add_directive("chapter-status", status.ChapterStatus)
    app.add_directive("latent-plane", first_page.LatentPlane)
    app.add_directive("byline", first_page.Byline)
    app.add_directive("cite-this", first_page.CiteThis)
    app.add_node(status.StatusTable)
    app.add_post_transform(status.FillStatusTable)
    app.add_node(terms.Mention, html=(terms.visit_mention, terms.depart_mention))
    app.add_node(terms.Meaning, html=(terms.visit_meaning, terms.depart_meaning))
    app.add_post_transform(terms.ShowTerms)
    app.connect("html-page-context", terms.add_script)
    app.add_directive("page-cards", opening.PageCards)
    app.add_node(slides.Frames, html=(slides.visit_frames, slides.depart_frames))
    app.connect("html-page-context", slides.add_script)
    app.add_post_transform(first_page.ShowArc)
    app.add_post_transform(opening.ShowOpening)
    # Before the theme drops templates that show nothing, and after it has set its own footer.
    app.connect("html-page-context", page.prepare, priority=100)
    app.connect("html-page-context", page.add_footer, priority=900)
    app.connect("html-page-context", about.describe, priority=900)
    app.connect("html-page-context", load.lighten, priority=900)
    app.connect("html-collect-pages", search.search_page)
    app.connect("build-finished", assets.copy_notebooks)
    app.connect("build-finished", search.write_index)
    app.connect("build-finished", icons.remove_unused)
    return {"parallel_read_safe": False, "parallel_write_safe": True}


def add_templates(app: Sphinx, config: Config) -> None:
    config.templates_path.append(str(Path(__file__).parent / "templates"))
