"""What the page shows of a chapter's cells, and what it folds.

A chapter is executed with the solutions in it. The page shows an exercise as a reader meets it: the task, the
stub to fill in, hints to open one by one, the check, and last, folded, the solution and what the check says
of it. Imports, the code behind figures, proofs and what is recalled of earlier chapters are folded too.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

from gm_book import fallback
from gm_lib.exercises.core import find
from proofs import claims, said
from solutions import BEGIN, solved, stub

LOGGER = logging.getLogger(__name__)
TASK = re.compile(r"Exercise (\d+\.\d+)")
RECALLED = re.compile(r"From [^.]+")
INLINE = re.compile(r"`([^`]+)`|\$([^$]+)\$")

# Tags of cells whose code is folded: the tag's class, the kind of fold, and the line that opens it.
FOLDED = (("tag_imports", "imports", "Imports"), ("tag_hide-input", "code", "The code behind this"))
PUNCTUATION = re.compile(r"[.,;:!?)\]]+(?=\s|$)")


class Fold(nodes.General, nodes.Element):
    """Something to open: a line with its ``name``, and under it what is hidden until the reader wants it.

    ``kind`` says what it is: code, hint, imports, proof, recall or solution.
    """


def visit_fold(translator: HTML5Translator, node: Fold) -> None:
    translator.body.append(f'<details class="fold fold-{node["kind"]}"><summary>{node["name"]}</summary>\n')


def depart_fold(translator: HTML5Translator, node: Fold) -> None:
    translator.body.append("</details>\n")


def show_exercises(app: Sphinx, document: nodes.document) -> None:
    """Gather each exercise, from its task to its check, in a box, and fold its solution away."""
    for task in list(document.findall(nodes.block_quote)):
        match = TASK.match(task.astext())
        if match is None:
            continue
        number = match[1]
        members = _until_check(task, number)
        if members is None:
            LOGGER.warning(
                "exercise %s has no cell with check(%r, …) after it", number, number, location=task
            )
            continue
        parent = task.parent
        box = nodes.container(classes=["exercise"], ids=[f"exercise-{number.replace('.', '-')}"])
        parent.insert(parent.index(task), box)
        solutions = [code for member in members for code in _show_stubs(member)]
        for member in members:
            parent.remove(member)
        *before, check = members
        verdict = _parts(check, "cell_code_output")
        for part in verdict:
            part.parent.remove(part)
        _drop_hint(check)
        box.extend(
            [
                *before,
                *_hints(number),
                check,
                Fold("", *solutions, *verdict, kind="solution", name="Solution"),
            ]
        )
    for code in _sources(document):
        if BEGIN in code.astext():
            LOGGER.warning("this solution belongs to no exercise, and would be seen", location=code)


def fold_cells(app: Sphinx, document: nodes.document) -> None:
    """Fold proofs, and the code of cells whose code is not the point."""
    real = not fallback.is_built_on_other_data(document)
    for cell in list(document.findall(nodes.container)):
        if cell.get("nb_element") != "cell_code":
            continue
        if "tag_proof" in cell["classes"]:
            source = next(_sources(cell)).astext()
            name = said(claims(source).count(real=real))
            cell.replace_self(Fold("", cell.deepcopy(), kind="proof", name=name))
            continue
        for tag, kind, name in FOLDED:
            if tag in cell["classes"]:
                for code in _parts(cell, "cell_code_source"):
                    code.replace_self(Fold("", code.deepcopy(), kind=kind, name=name))


def remove_widgets(app: Sphinx, document: nodes.document) -> None:
    """Leave out widgets (progress bars too): they would need a kernel, and scripts from another host."""
    for container in list(document.findall(nodes.container)):
        if container.get("nb_element") == "mime_bundle" and any(
            "widget-view+json" in child.get("mime_type", "") for child in container.children
        ):
            container.parent.remove(container)
    scripts = NbMetadataCollector.get_js_files(app.env, app.env.docname)
    for key in [key for key in scripts if key.startswith("ipywidgets")]:
        del scripts[key]


def mark_boxes(app: Sphinx, document: nodes.document) -> None:
    """Fold the quotations that recall an earlier chapter; make boxes of those that say what to remember."""
    for quote in list(document.findall(nodes.block_quote)):
        title = quote.parent.next_node(nodes.title)
        first = quote[0].astext()
        if RECALLED.fullmatch(first):
            quote.replace_self(Fold("", *quote[1:], kind="recall", name=first))
        elif title is not None and title.parent is quote.parent and title.astext() == "What to remember":
            quote["classes"] += ["box", "box-remember"]


def keep_punctuation(app: Sphinx, document: nodes.document) -> None:
    """Keep a formula and the comma or full stop after it on one line; a browser may break between the two."""
    for formula in list(document.findall(nodes.math)):
        parent = formula.parent
        place = parent.index(formula)
        after = parent[place + 1] if place + 1 < len(parent) else None
        mark = PUNCTUATION.match(after) if isinstance(after, nodes.Text) else None
        if mark and isinstance(after, nodes.Text):
            parent.remove(after)
            parent.remove(formula)
            together = nodes.inline("", "", formula, nodes.Text(mark[0]), classes=["nowrap"])
            parent.insert(place, [together, nodes.Text(after[mark.end() :])])


def let_tags_stand(app: Sphinx, document: nodes.document) -> None:
    r"""Let an equation of several lines have a `\tag`: it may not stand in the `split` that Sphinx makes."""
    for formula in document.findall(nodes.math_block):
        text = formula.astext()
        if r"\tag{" in text and r"\\" in text:
            formula["nowrap"] = True
            formula.children = [nodes.Text(rf"\begin{{equation*}}{text}\end{{equation*}}")]


def _until_check(task: nodes.Element, number: str) -> list[nodes.Node] | None:
    """Return the siblings from the task to the cell that checks it; None if another part comes before."""
    is_check = re.compile(rf'check\(\s*"{re.escape(number)}"')
    siblings = task.parent.children
    members = [task]
    for node in siblings[siblings.index(task) + 1 :]:
        if isinstance(node, nodes.section) or (
            isinstance(node, nodes.block_quote) and TASK.match(node.astext())
        ):
            return None
        members.append(node)
        if any(is_check.match(code.astext()) for code in _sources(node)):
            return members
    return None


def _sources(node: nodes.Node) -> Iterator[nodes.literal_block]:
    """Yield the code of the cells in ``node``, or of the cell that it is."""
    for container in node.findall(nodes.container):
        if container.get("nb_element") == "cell_code_source":
            yield from container.findall(nodes.literal_block)


def _parts(cell: nodes.Node, element: str) -> list[nodes.container]:
    """Return the parts of one kind in a cell: ``cell_code_source`` or ``cell_code_output``."""
    return [part for part in cell.findall(nodes.container) if part.get("nb_element") == element]


def _drop_hint(check: nodes.Node) -> None:
    """Leave out the line that asks for a hint: on a page the hints are there to open."""
    for code in list(_sources(check)):
        lines = [line for line in code.astext().split("\n") if not line.startswith("# hint(")]
        code.replace_self(_code("\n".join(lines), code))


def _show_stubs(member: nodes.Node) -> Iterator[nodes.container]:
    """Put stubs in the place of the solutions in one cell; yield the solutions."""
    for code in list(_sources(member)):
        source = code.astext()
        if BEGIN not in source:
            continue
        yield nodes.container("", _code(solved(source), code), classes=["cell_input"])
        code.replace_self(_code(stub(source), code))


def _code(text: str, like: nodes.literal_block) -> nodes.literal_block:
    # Without the raw source, docutils would take the text for parsed inline markup and not highlight it.
    return nodes.literal_block(text, text, **like.attributes)


def _hints(number: str) -> list[nodes.Node]:
    hints = find(number).hints
    names = ["Hint"] if len(hints) == 1 else [f"Hint {place}" for place in range(1, len(hints) + 1)]
    return [
        Fold("", paragraph(text), kind="hint", name=name) for name, text in zip(names, hints, strict=True)
    ]


def paragraph(text: str) -> nodes.paragraph:
    """Return a hint or a caption as a paragraph; of markup it knows `code` and $mathematics$."""
    paragraph = nodes.paragraph()
    end = 0
    for match in INLINE.finditer(text):
        code, maths = match.groups()
        paragraph += nodes.Text(text[end : match.start()])
        paragraph += nodes.literal(code, code) if code else nodes.math(maths, maths)
        end = match.end()
    paragraph += nodes.Text(text[end:])
    return paragraph
