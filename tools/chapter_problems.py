"""What is wrong with a chapter, found before it is made into a notebook."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from chapters import LINK, TASK, Cell, Chapter, check_call, pages_of
from proofs import ProofError, claims
from reading_time import misstated
from solutions import BEGIN, DEFINITION, END, SolutionError, stub, student_names

# What reads differently, or not at all, in Colab, JupyterLab, on GitHub or in the book.
FORBIDDEN_IN_PROSE = (
    (
        re.compile(r"^ *(`{3,}|~{3,}|:{3,})\{", re.M),
        "a MyST directive: prose is CommonMark, tables, <details>.",
    ),
    (re.compile(r"\{[a-z][a-z:-]*\}`"), "a MyST role: prose is CommonMark, tables, <details>."),
    (re.compile(r"!\["), "an image: notebooks cannot show files of the repository, draw it in a cell."),
    (re.compile(r"\[\^\w+\]"), "a footnote: notebooks do not show footnotes."),
    (re.compile(r"^ *[-*] \[[ xX]\] ", re.M), "a task list: the book cannot be built with one."),
)

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def problems(chapter: Chapter) -> list[str]:
    """Return what is wrong with a chapter, as lines ``name.md:12: what, and what to do``."""
    found: list[tuple[int, str]] = [*_opening(chapter), *_numbering(chapter)]
    for cell in chapter.cells:
        judge = _prose if cell.kind == "markdown" else _code
        found += [(cell.line, text) for text in judge(cell, chapter)]
    if not found:  # else a broken cell would be reported again as all that follows from it
        found += [*_uses_of_answers(chapter), *_names_taken_from_sliders(chapter)]
    return [f"{chapter.path.name}:{line}: {text}" for line, text in sorted(found)]


def _opening(chapter: Chapter) -> Iterator[tuple[int, str]]:
    first = chapter.cells[0] if chapter.cells else None
    title = f"# {chapter.label} · "
    if first is None or first.kind != "markdown" or not first.source.startswith(title):
        yield 1, f"a chapter begins with its title, `{title}…`."
    code = [cell for cell in chapter.cells if cell.kind == "code"]
    if not code or "imports" not in code[0].tags:
        line = code[0].line if code else 1
        yield line, "the first code cell needs the tag `imports`: the exercises are tested on top of it."
    if wanted := misstated(chapter):
        yield 1, f"by its length the opening should say, or nearly: `{wanted}…`."


def _prose(cell: Cell, chapter: Chapter) -> Iterator[str]:
    yield from (text for pattern, text in FORBIDDEN_IN_PROSE if pattern.search(cell.source))
    tasks = TASK.findall(cell.source)
    if len(tasks) < len(re.findall(r"^ *> *\**Exercise", cell.source, re.M)):
        yield "a task begins `> **Exercise 8.2** · ●○○ · 5 min. Task …`, with exactly these marks."
    if len(tasks) > 1:
        yield "two tasks follow each other: each is followed by its own cell and check."
    for target, _ in LINK.findall(cell.source):
        if not (chapter.path.parent / target).is_file():
            yield f"the link to {target} leads nowhere. A chapter that is not there yet is named, not linked."


def _code(cell: Cell, chapter: Chapter) -> Iterator[str]:
    try:
        ast.parse(cell.source)
        names = student_names(cell.source)
    except (SyntaxError, SolutionError) as error:
        yield str(error) if isinstance(error, SolutionError) else f"a code cell is not valid Python: {error}."
        return
    if "proof" in cell.tags:
        try:
            claims(cell.source)
        except ProofError as error:
            yield str(error)
    if names and "exercise" not in cell.tags:
        yield "a cell with a solution needs the tag `exercise`."
    if "exercise" in cell.tags and not names:
        yield f"a cell tagged `exercise` needs a solution between `{BEGIN}` and `{END}`."


def _numbering(chapter: Chapter) -> Iterator[tuple[int, str]]:
    """Yield numbers out of order, and tasks, cells and checks that do not make a complete exercise."""
    prose = [cell for cell in chapter.cells if cell.kind == "markdown"]
    tasks = [(cell.line, match[1]) for cell in prose for match in TASK.finditer(cell.source)]
    for place, (line, id) in enumerate(tasks, 1 + _exercises_before(chapter) if tasks else 1):
        wanted = f"{chapter.number}.{place}"
        if id != wanted:
            yield line, f"exercise {id} should be {wanted}: {_ORDER}"
        elif id not in chapter.exercises:
            yield line, f"exercise {id} is not complete. {_FORM.format(id=id)}"
    cells = {exercise.cell for exercise in chapter.exercises.values()}
    checks = {exercise.check: exercise.id for exercise in chapter.exercises.values()}
    for place, cell in enumerate(chapter.cells):
        if cell.kind != "code":
            continue
        if "exercise" in cell.tags and place not in cells:
            yield cell.line, "a cell tagged `exercise` belongs to no complete exercise."
        if place not in checks and "check" in _reads(cell.source):
            yield cell.line, "this use of check belongs to no complete exercise."
        if place in checks and f'# hint("{checks[place]}")' not in cell.source.split("\n"):
            yield cell.line, f'the line after the check should be `# hint("{checks[place]}")`.'


def _exercises_before(chapter: Chapter) -> int:
    """Return how many exercises the earlier pages of the same chapter have."""
    pages = pages_of(chapter.number, chapter.path.parents[2])
    earlier = (path for path in pages if path.name < chapter.path.name)
    return sum(len(TASK.findall(path.read_text("utf-8"))) for path in earlier)


_ORDER = "they are numbered in the order of the chapter, through all its pages."
_FORM = 'After the task come a cell tagged `exercise` and one with nothing but `check("{id}", answer)`.'


def _uses_of_answers(chapter: Chapter) -> Iterator[tuple[int, str]]:
    """Yield where code relies on a student's answer, so that an exercise left undone stops the notebook."""
    answers: set[str] = set()
    checks = {exercise.check for exercise in chapter.exercises.values()}
    for place, cell in enumerate(chapter.cells):
        if cell.kind != "code":
            continue
        if place in checks:
            call = check_call(cell.source)
            if call and _evaluates(call[1], answers):
                yield cell.line, "a check is given an answer by name (or several), nothing computed from one."
            continue
        own = student_names(cell.source)
        answers |= own
        for statement in ast.parse(stub(cell.source)).body:
            names = _Names()
            names.visit(statement)
            used = sorted(answers & names.read)
            if used and own and isinstance(statement, DEFINITION):
                answers.add(statement.name)  # a helper given with the exercise, as unfinished as the answer
            elif used:
                line = cell.line + (0 if own else statement.lineno - 1)
                yield line, f"uses {used[0]}, which a student may not have written: only its check may."
            elif not own:
                answers -= names.bound


def _names_taken_from_sliders(chapter: Chapter) -> Iterator[tuple[int, str]]:
    """Yield where a cell binds anew what a slider above reads: moved after all cells, it would stop."""
    functions: dict[str, ast.FunctionDef] = {}
    read: dict[str, str] = {}  # a name, and the function that a slider calls and that reads it
    for cell in chapter.cells:
        if cell.kind != "code":
            continue
        tree = ast.parse(cell.source)
        names = _Names()
        names.visit(tree)
        for name in sorted(names.bound & read.keys()):
            yield cell.line, f"binds {name} anew, which the slider of {read[name]} above reads: another name."
        functions |= {part.name: part for part in tree.body if isinstance(part, ast.FunctionDef)}
        for call in ast.walk(tree):
            match call:
                case ast.Call(func=ast.Name("slide"), args=[ast.Name(shown), *_]):
                    read |= dict.fromkeys(_read_by(shown, functions), shown)


def _read_by(name: str, functions: dict[str, ast.FunctionDef]) -> set[str]:
    """Return the names that a function of the page reads, and those that it calls."""
    found, todo = set[str](), {name}
    while todo:
        at = todo.pop()
        found.add(at)
        if at in functions:
            names = _Names()
            names.visit(functions[at])
            todo |= names.read - found
    return found


def _evaluates(answer: ast.expr, answers: set[str]) -> bool:
    """Tell whether an expression does more with a student's answer than hand it over."""
    match answer:
        case ast.Name() | ast.Lambda():
            return False
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Dict(values=parts):
            return any(_evaluates(part, answers) for part in parts)
    return any(isinstance(n, ast.Name) and n.id in answers for n in ast.walk(answer))


def _reads(source: str) -> set[str]:
    names = _Names()
    try:
        names.visit(ast.parse(source))
    except SyntaxError:
        return set()  # reported where the cell itself is judged
    return names.read


class _Names(ast.NodeVisitor):
    """The names that code reads from around it (``read``) and those it binds (``bound``), as it runs."""

    def __init__(self, bound: set[str] | None = None) -> None:
        self.bound = set(bound or ())
        self.read: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.bound.add(node.id)
        elif node.id not in self.bound:
            self.read.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._visit_all(node.value, *node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._visit_all(node.annotation, node.value, node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id not in self.bound:
            self.read.add(node.target.id)
        self._visit_all(node.value, node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._visit_all(node.value, node.target)

    def visit_For(self, node: ast.For) -> None:
        self._visit_all(node.iter, node.target, *node.body, *node.orelse)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.bound.update(alias.asname or alias.name.split(".")[0] for alias in node.names)

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all(*node.decorator_list, node.returns)
        self._visit_function(node.args, node.body, node.name)
        self.bound.add(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all(*node.decorator_list, *node.bases, *node.keywords)
        self._visit_inner(self.bound | {node.name}, *node.body)
        self.bound.add(node.name)

    def visit_ListComp(self, node: Comprehension) -> None:
        elements = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        parts = [part for g in node.generators for part in (g.iter, g.target, *g.ifs)]
        self._visit_inner(self.bound, *parts, *elements)

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp

    def _visit_function(self, args: ast.arguments, body: Sequence[ast.AST], name: str = "") -> None:
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
        self._visit_all(*args.defaults, *args.kw_defaults, *(a.annotation for a in every))
        names = [n for statement in body for n in ast.walk(statement) if isinstance(n, ast.Name)]
        local = {n.id for n in names if isinstance(n.ctx, ast.Store)} | {a.arg for a in every}
        self._visit_inner(self.bound | local | {name}, *body)

    def _visit_inner(self, bound: set[str], *nodes: ast.AST | None) -> None:
        inner = _Names(bound)
        inner._visit_all(*nodes)
        self.read |= inner.read

    def _visit_all(self, *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)
