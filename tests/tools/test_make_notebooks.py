"""Claims about the student notebooks that are made from a chapter."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_course import TOY_CHAPTER

from chapters import ChapterError, parse
from make_notebooks import Repository, derive, drift, main, repository, rewrite_links, student_notebook, write

WHERE = Repository("someone/some.course", "main", "1.2.3")


def notebook(course, text=TOY_CHAPTER):
    chapter = parse(text, course / "book" / "chapters" / "07_toy.md")
    return nbformat.reads(student_notebook(chapter, WHERE), as_version=4)


def ids(course, text=TOY_CHAPTER):
    return {cell.source: cell.id for cell in notebook(course, text).cells}


def test_a_student_notebook_holds_no_solution(course):
    text = json.dumps(notebook(course))
    assert "secret" not in text
    assert "SOLUTION" not in text


def test_a_student_notebook_is_all_else_of_the_chapter(course):
    cells = notebook(course).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert code[1].startswith("import math")
    assert code[2].startswith('def double(x):\n    """Twice x."""\n    raise NotImplementedError("')
    assert code[3:] == [
        'check("7.1", double)\n# hint("7.1")',
        "radius = 2.0",
        "area = ...",
        'check("7.2", area)\n# hint("7.2")',
        'print("the chapter goes on")',
    ]
    assert [c.source.split("\n")[0] for c in cells if c.cell_type == "markdown"][1:] == [
        "# 7 · A toy",
        "## First",
        "> **Exercise 7.2** · ●●● · 10 min. Give `area` of a circle with this `radius`.",
    ]


def test_a_notebook_opens_in_colab_with_a_gpu_and_a_badge_on_top(course):
    made = notebook(course)
    assert made.metadata.accelerator == "GPU"
    assert made.metadata.kernelspec.name == "python3"
    url = "https://colab.research.google.com/github/someone/some.course/blob/main/notebooks/07_toy.ipynb"
    assert made.cells[0].source.endswith(f"]({url})")


def test_one_install_cell_comes_before_all_other_code(course):
    code = [cell for cell in notebook(course).cells if cell.cell_type == "code"]
    assert [("install" in cell.metadata.get("tags", [])) for cell in code] == [True] + [False] * (
        len(code) - 1
    )
    assert "remove-cell" in code[0].metadata.tags
    assert 'wanted = "1.2.3"' in code[0].source
    assert '"gm-lib @ git+https://github.com/someone/some.course@main"' in code[0].source


def test_a_notebook_has_no_outputs_and_is_valid(course):
    for text in derive(course).values():
        made = nbformat.reads(text, as_version=4)
        nbformat.validate(made)
        code = [cell for cell in made.cells if cell.cell_type == "code"]
        assert code
        assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_plotting_code_is_folded_and_no_image_text_left_over(course):
    last = notebook(course).cells[-1]
    assert last.metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}


# Links --------------------------------------------------------------------------------------------


def test_links_work_from_the_notebook(course):
    opening = next(cell.source for cell in notebook(course).cells if cell.source.startswith("# 7"))
    assert "[chapter 8](08_next.ipynb)" in opening
    assert "[the notation](https://github.com/someone/some.course/blob/main/book/notation.md#sets)" in opening
    assert "[a paper](https://example.org/a.md)" in opening
    assert r"$\mathbb E[z](\theta)$ and $f[x](y.md$" in opening


@settings(max_examples=200)
@given(st.text(alphabet="ab[]()$\\{}:/.#md \n`*", max_size=60))
def test_prose_without_a_link_to_a_page_is_never_touched(text):
    path = parse.__globals__["ROOT"] / "book" / "chapters" / "07_toy.md"
    changed = rewrite_links(text, path, WHERE)
    assert changed == text or re.search(r"\]\([^\s()#:]+\.md[#)]", text)


# Cell ids -----------------------------------------------------------------------------------------


def test_ids_are_unique_even_among_equal_cells(course):
    same = "```{code-cell} ipython3\nprint(1)\n```\n"
    edit(course / "book/chapters/07_toy.md", "## First\n", f"## First\n\n{same}\n{same}\n{same}\n")
    (made,) = (json.loads(text) for path, text in derive(course).items() if path.stem == "07_toy")
    all_ids = [cell["id"] for cell in made["cells"]]
    assert len(set(all_ids)) == len(all_ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", id) for id in all_ids)


def test_a_new_cell_leaves_the_ids_of_all_others(course):
    new = "## First\n\n```{code-cell} ipython3\nprint(1)\n```\n\nWords.\n"
    before, after = ids(course), ids(course, TOY_CHAPTER.replace("## First\n", new))
    kept = set(before) & set(after)
    assert len(kept) >= len(before) - 1
    assert {source: before[source] for source in kept} == {source: after[source] for source in kept}


def test_an_exercise_is_called_by_its_number_whatever_is_in_it(course):
    after = ids(course, TOY_CHAPTER.replace('"""Twice x."""', '"""Two times x."""'))
    assert [id for source, id in after.items() if "Two times" in source] == ["exercise-7-1"]


def test_another_solution_changes_nothing_for_students(course):
    before = notebook(course)
    assert notebook(course, TOY_CHAPTER.replace("x + x", "2 * x")) == before


# The folder ---------------------------------------------------------------------------------------


def test_writing_twice_gives_the_same_bytes_and_the_second_time_nothing_to_do(course):
    assert len(write(course)) == 2
    first = {path.name: path.read_bytes() for path in (course / "notebooks").iterdir()}
    assert write(course) == []
    for path in (course / "notebooks").iterdir():
        path.unlink()
    write(course)
    assert {path.name: path.read_bytes() for path in (course / "notebooks").iterdir()} == first
    assert all(b"\r" not in data and data.endswith(b"}\n") for data in first.values())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda root: (root / "notebooks/07_toy.ipynb").unlink(), "notebooks/07_toy.ipynb: is missing"),
        (
            lambda root: (root / "notebooks/06_old.ipynb").write_text("{}"),
            "notebooks/06_old.ipynb: its chapter is gone",
        ),
        (
            lambda root: edit(root / "notebooks/07_toy.ipynb", "goes on", "stops"),
            "notebooks/07_toy.ipynb: line ",
        ),
        (
            lambda root: edit(root / "book/chapters/07_toy.md", "goes on", "stops"),
            "notebooks/07_toy.ipynb: line ",
        ),
        (lambda root: edit(root / "gm_lib/__init__.py", "1.2.3", "1.2.4"), "notebooks/07_toy.ipynb: line "),
        (lambda root: edit(root / "_config.yml", "some.course", "other"), "notebooks/07_toy.ipynb: line "),
        (
            lambda root: append(root / "notebooks/07_toy.ipynb", "\n"),
            "notebooks/07_toy.ipynb: is shorter or longer",
        ),
    ],
    ids=["missing", "left over", "notebook edited", "chapter edited", "version", "slug", "longer"],
)
def test_check_fails_on_every_kind_of_drift_and_writing_mends_it(course, change, line, capsys):
    write(course)
    assert drift(course) == []
    assert main(["--check"], course) == 0
    change(course)
    before = {path: path.read_bytes() for path in (course / "notebooks").iterdir()}
    assert main(["--check"], course) == 1
    assert line in capsys.readouterr().out
    assert {path: path.read_bytes() for path in (course / "notebooks").iterdir()} == before
    assert main([], course) == 0
    assert drift(course) == []


def edit(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path, text):
    path.write_text(path.read_text("utf-8") + text, encoding="utf-8")


def test_other_notebooks_in_the_folder_are_left_alone(course):
    write(course)
    mine = course / "notebooks" / "my_notes.ipynb"
    mine.write_text("mine")
    assert write(course) == []
    assert drift(course) == []
    assert mine.read_text() == "mine"


def test_a_broken_chapter_is_reported_by_line_and_nothing_is_written(course, capsys):
    write(course)
    before = {path: path.read_bytes() for path in (course / "notebooks").iterdir()}
    edit(course / "book/chapters/07_toy.md", "### END SOLUTION", "### END")
    edit(course / "book/chapters/08_next.md", "# 8 · Next", "Next")
    with pytest.raises(ChapterError):
        derive(course)
    assert main([], course) == 1
    error = capsys.readouterr().err
    assert re.search(r"07_toy\.md:\d+: ", error)
    assert "08_next.md:" in error
    assert {path: path.read_bytes() for path in (course / "notebooks").iterdir()} == before


def test_slug_branch_and_version_are_read_from_where_they_stand(course):
    assert repository(course) == WHERE
    edit(course / "gm_lib/__init__.py", "__version__", "version")
    with pytest.raises(ChapterError, match="__version__"):
        repository(course)


def test_help_tells_what_the_command_does(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "--check" in capsys.readouterr().out


# The install cell ---------------------------------------------------------------------------------

# Runs the install cell in IPython, with a pip that notes what it is asked for and may write another gm_lib.
RUN_INSTALL_CELL = """
import sys, pathlib
from IPython.core.interactiveshell import InteractiveShell
cell, folder, installs = sys.argv[1:]
shell = InteractiveShell.instance()
def pip(line):
    print("PIP", line)
    if installs:
        package = pathlib.Path(folder) / "gm_lib"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text(f'__version__ = "{installs}"  # the new one')
        (package / "runtime.py").write_text("device = lambda: 'cpu'\\nprofile = lambda: 'quick'")
shell.register_magic_function(pip, "line")
done = shell.run_cell(pathlib.Path(cell).read_text())
print("RESULT", type(done.error_in_exec).__name__, done.error_in_exec)
"""


@pytest.fixture
def install(course, tmp_path):
    """Run the install cell where gm_lib has the version `here` (or is missing) and pip installs another."""

    def run(here: str, installs: str) -> str:
        folder = tmp_path / "site"
        # Installed, without the seconds that importing them takes.
        for name in ("torch", "torchvision", "numpy"):
            (folder / f"{name}-9.8.dist-info").mkdir(parents=True)
            (folder / f"{name}-9.8.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 9.8+local\n")
            (folder / f"{name}.py").touch()
        package = folder / "gm_lib"
        package.mkdir()
        if here:
            (package / "__init__.py").write_text(f'__version__ = "{here}"')
            (package / "runtime.py").write_text("device = lambda: 'cpu'\nprofile = lambda: 'quick'")
        else:
            (package / "__init__.py").write_text("raise ImportError('missing')")
        cell = tmp_path / "cell.py"
        cell.write_text(
            next(c.source for c in notebook(course).cells if "install" in c.metadata.get("tags", []))
        )
        done = subprocess.run(
            [sys.executable, "-c", RUN_INSTALL_CELL, str(cell), str(folder), installs],
            cwd=folder,
            env=os.environ
            | {"PYTHONPATH": str(folder), "IPYTHONDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    return run


def test_the_right_gm_lib_is_not_installed_again(install):
    out = install("1.2.3", "")
    assert "PIP" not in out
    assert "gm_lib 1.2.3, device: cpu, profile: quick" in out
    assert "RESULT NoneType" in out


@pytest.mark.parametrize("here", ["", "1.2.2"], ids=["missing", "other version"])
def test_a_missing_or_other_gm_lib_is_installed_and_torch_torchvision_and_numpy_are_pinned(here, install):
    out = install(here, "1.2.3")
    pip = next(line for line in out.splitlines() if line.startswith("PIP"))
    assert pip.split("install ")[1] == (
        '-q "gm-lib @ git+https://github.com/someone/some.course@main" '
        "torch==9.8+local torchvision==9.8+local numpy==9.8+local"
    )
    assert "gm_lib 1.2.3, device: cpu, profile: quick" in out
    assert "RESULT NoneType" in out


def test_without_a_network_the_cell_says_what_to_do(install):
    out = install("", "")
    assert "RESULT ImportError gm_lib could not be installed" in out
    assert "needs the network" in out


def test_a_gm_lib_of_the_wrong_version_after_installing_is_told(install):
    assert "RESULT ImportError gm_lib 1.2.4 is here, this notebook was made for 1.2.3" in install(
        "1.2.2", "1.2.4"
    )
