"""Claims about taking a solution out of a cell."""

import ast
import re
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solutions import BEGIN, END, INSTEAD, YOUR_TURN, SolutionError, solved, stub, student_names

RAISE = f'raise NotImplementedError("{YOUR_TURN}")'


def cell(text: str) -> str:
    """A cell in which `BEGIN`, `INSTEAD` and `END` stand for the markers."""
    text = re.sub(r"(?m)^( *)INSTEAD$", rf"\1{INSTEAD}", text)
    text = re.sub(r"(?m)^( *)BEGIN$", rf"\1{BEGIN}", dedent(text).strip("\n"))
    return re.sub(r"(?m)^( *)END$", rf"\1{END}", text)


def test_a_function_keeps_signature_docstring_and_given_lines():
    source = cell("""
        @torch.no_grad()
        def f(x, *, scale: float = 2.0) -> float:
            \"\"\"Scales x.

            Twice.
            \"\"\"
            check_images(x)  # given
            BEGIN
            y = x * scale
            return y
            END
    """)
    assert stub(source) == "\n".join([*source.split("\n")[:7], f"    {RAISE}"])


def test_where_a_bug_is_to_be_found_students_get_the_code_that_has_it():
    source = cell("""
        def f(x, n):
            x = x + 1
            BEGIN
            for _ in range(n):
                x = 2 * x  # doubled
            INSTEAD
            # for _ in range(n - 1):
            #     x = 2 * x  # doubled
            END
            return x
    """)
    lines = source.split("\n")
    assert solved(source) == "\n".join([*lines[:2], *lines[3:5], lines[-1]])
    buggy = ["    for _ in range(n - 1):", "        x = 2 * x  # doubled"]
    assert stub(source) == "\n".join([*lines[:2], *buggy, lines[-1]])
    assert student_names(source) == {"f"}


def test_what_students_get_instead_may_stand_outside_of_a_function():
    source = cell("""
        BEGIN
        settings = {"rate": 0.1}
        INSTEAD
        # settings = {"rate": ...}
        END
    """)
    assert stub(source) == 'settings = {"rate": ...}'
    assert student_names(source) == {"settings"}


@pytest.mark.parametrize(
    "instead",
    ["", "    y = x", "    #y = x", "    # y = (x", "    INSTEAD\n    # y = x"],
    ids=["nothing", "no comment", "no blank", "no Python", "twice"],
)
def test_what_cannot_be_given_instead_is_refused(instead):
    lines = ["def f(x):", "    BEGIN", "    y = 2 * x", "    INSTEAD", *instead.splitlines(), "    END"]
    source = cell("\n".join([*lines, "    return y"]))
    with pytest.raises(SolutionError):
        stub(source)


def test_a_method_keeps_its_class_and_the_methods_around_it():
    source = cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                BEGIN
                self.layer = nn.Linear(1, 1)
                END

            def forward(self, x):
                BEGIN
                return self.layer(x)
                END

            def given(self):
                return 1
    """)
    expected = source
    for secret in ("self.layer = nn.Linear(1, 1)", "return self.layer(x)"):
        expected = expected.replace(f"{BEGIN}\n        {secret}\n        {END}", RAISE)
    assert stub(source) == expected
    assert student_names(source) == {"Net"}


def test_given_lines_below_a_solution_find_the_names_they_use():
    source = cell("""
        def f(x):
            BEGIN
            mean = x.mean()
            hidden = 3
            END
            return mean
    """)
    assert stub(source) == f"def f(x):\n    mean = ...\n    {RAISE}\n    return mean"


def test_a_value_becomes_dots_and_helping_names_vanish():
    source = cell("""
        given = 3
        BEGIN
        # why
        _half = given / 2
        for i in range(3):
            _half += i
        a, b = _half, {j: j for j in range(2)}
        c: int = 3
        END
    """)
    assert stub(source) == "given = 3\na = ...\nb = ...\nc = ..."
    assert {"a", "b", "c"} <= student_names(source)


def test_a_value_in_a_block_keeps_its_indentation():
    source = cell("""
        with torch.no_grad():
            BEGIN
            total = x.sum()
            END
    """)
    assert stub(source) == "with torch.no_grad():\n    total = ..."


def test_several_solutions_in_one_function_raise_at_each():
    source = cell("""
        def f(x):
            if x:
                BEGIN
                return 1
                END
            else:
                BEGIN
                return 2
                END
    """)
    assert stub(source).count(RAISE) == 2
    ast.parse(stub(source))


def test_solved_is_the_source_without_its_markers():
    source = cell("""
        def f():
            BEGIN
            return 1
            END
    """)
    assert solved(source) == "def f():\n    return 1"


def test_a_cell_without_markers_is_left_alone():
    source = 'x = 1  # no solution\ny = """\n    ### BEGIN SOLUTION\n"""'
    assert stub(source) == solved(source) == source
    assert student_names(source) == set()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("BEGIN\nx = 1", "needs its"),
        ("x = 1\nEND", "needs its"),
        ("END\nx = 1\nBEGIN", "needs its"),
        ("BEGIN\nBEGIN\nx = 1\nEND\nEND", "needs its"),
        ("x = 1  ### BEGIN SOLUTION\nEND", "nothing else"),
        ("# BEGIN SOLUTION\nx = 1\nEND", "should be"),
        ("### begin solution\nx = 1\nEND", "should be"),
        ("BEGIN\nEND", "whole statements"),
        ("BEGIN\n# only words\nEND", "whole statements"),
        ("def f():\n    a = 1\nBEGIN\n    return a\nEND", "whole statements"),
        (
            "def f():\n    BEGIN\n    a = 1\n    END\n    return (\n        a)\n\nBEGIN\nx = [\nEND\n]",
            "whole statements",
        ),
        ("if a:\n    b = 1\nBEGIN\nelse:\n    b = 2\nEND", "whole statements"),
        ("def f():\n    if a:\n        BEGIN\n        b = 1\n    c = 2\n    END", "whole statements"),
        ("BEGIN\ndef f():\n    return 1\nEND", "whole definition"),
        ("class A:\n    BEGIN\n    def f(self):\n        return 1\n    END", "whole definition"),
        ("BEGIN\nprint(1)\nEND", "assigns no name"),
        ("BEGIN\n_x = 1\nEND", "assigns no name"),
        ("BEGIN\nx[0] = 1\nEND", "assigns no name"),
        ("BEGIN\nx = = 1\nEND", "not valid Python"),
        ("BEGIN\nx = '''\nEND", "not valid Python"),
    ],
)
def test_a_solution_that_cannot_be_taken_out_is_refused(source, message):
    for function in (stub, student_names):
        with pytest.raises(SolutionError, match=message):
            function(cell(source))


# Property: whatever the cell, the stub is Python, and nothing of the solution is in it.

secrets = st.sampled_from(
    [
        "secret = secret_call(1)",
        "secret_call(x)",
        "if secret:\n    secret = 2\nelse:\n    secret = [3, 4]",
        'secret = """secret\n  secret"""',
        "for secret in range(3):\n    secret_call(secret)",
        "# a secret comment",
        "with secret_call() as secret:\n    pass",
        "try:\n    secret = 1\nexcept ValueError as secret_error:\n    secret = 2",
        "def secret_helper(secret):\n    return secret",
        "secret = (\n    1 +\n    2\n)",
        "@secret_call\nclass Secret:\n    secret: int = 1",
        "return secret",
    ]
)
givens = st.sampled_from(
    ["", "given = 1", "# given words", "if given:\n    given = 2", '"""given"""', "given: int = 3"]
)


def indented(text: str, by: int) -> str:
    return "\n".join(" " * by + line if line else "" for line in text.split("\n"))


@st.composite
def exercise_cells(draw: st.DrawFn) -> str:
    """A cell with functions, methods and values, some lines given and some between markers."""
    parts = []
    for n in range(draw(st.integers(1, 3))):
        shape = draw(st.sampled_from(["function", "method", "value", "nested"]))
        body = [draw(givens)]
        for _ in range(draw(st.integers(1, 2))):
            lines = "\n".join(draw(st.lists(secrets, min_size=0, max_size=3)))
            body += [f"{BEGIN}\n{lines}\nsecret_result = 1\n{END}", draw(givens)]
        text = "\n".join(body)
        if shape == "value":
            lines = "\n".join(["_secret = secret_call(1)"] * draw(st.integers(0, 2)))
            text = f"given = 0\n{BEGIN}\n{lines}\nanswer_{n} = secret_call({n})\n{END}\n{draw(givens)}"
        elif shape == "function":
            text = f'def answer_{n}(x):\n    """Given."""\n{indented(text, 4)}'
        elif shape == "nested":
            text = f"def answer_{n}(x):\n    for given in x:\n{indented(text, 8)}\n    return given"
        else:
            text = f"class Answer{n}:\n    given = 1\n\n    def f(self):\n{indented(text, 8)}"
        parts.append(text)
    return "\n\n\n".join(parts)


@settings(max_examples=150, deadline=None)
@given(exercise_cells())
def test_every_stub_is_python_without_a_line_of_the_solution(source):
    student = stub(source)
    ast.parse(student)
    assert "secret" not in student.lower()
    assert "SOLUTION" not in student
    assert sum("..." in line or RAISE in line for line in student.split("\n")) >= 1


@settings(max_examples=100, deadline=None)
@given(exercise_cells())
def test_a_stub_keeps_every_given_line_and_is_its_own_stub(source):
    student = stub(source)
    outside = re.sub(rf"(?s) *{BEGIN}.*?{END}", "", source)
    assert [
        line for line in student.split("\n") if "..." not in line and RAISE not in line and line.strip()
    ] == [line for line in outside.split("\n") if line.strip()]
    assert stub(student) == student
    assert solved(source).replace("\n", "") == re.sub(rf" *({BEGIN}|{END})|\n", "", source)
