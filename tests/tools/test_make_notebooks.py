"""Claims about the student notebooks that are made from a chapter."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import nbformat
import packaging
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from install_cell import install_cell, library, run_install_cell
from toy_course import TOY_CHAPTER

from chapters import ChapterError, parse
from make_notebooks import derive, drift, main, rewrite_links, student_notebook, write
from repository import Repository, repository

WHERE = Repository("someone/some.course", "main", "1.2.3.dev0")
RELEASE = Repository("someone/some.course", "main", "1.2.3")


def notebook(course, text=TOY_CHAPTER, where=WHERE):
    chapter = parse(text, course / "book" / "chapters" / "07_toy.md")
    return nbformat.reads(student_notebook(chapter, where), as_version=4)


def ids(course, text=TOY_CHAPTER):
    return {cell.source: cell.id for cell in notebook(course, text).cells}


def test_a_student_notebook_holds_no_solution(course):
    text = json.dumps(notebook(course))
    assert "secret" not in text
    assert "SOLUTION" not in text


def test_a_student_notebook_is_all_else_of_the_chapter(course):
    cells = notebook(course).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert code[1].startswith("# @title Imports\nimport math")
    assert code[2].startswith('def double(x):\n    """Twice x."""\n    raise NotImplementedError("')
    assert code[3:] == [
        'check("7.1", double)\n# hint("7.1")',
        "radius = 2.0",
        "area = ...",
        'check("7.2", area)\n# hint("7.2")',
        '# @title The code behind this output\nprint("the chapter goes on")',
    ]
    assert [c.source.split("\n")[0] for c in cells if c.cell_type == "markdown"][1:] == [
        "# 7 · A toy",
        "## First",
        "#### Exercise 7.2 · ●●● · 10 min",
    ]


def test_a_notebook_opens_in_colab_with_a_gpu_and_says_on_top_how_to_run_it(course):
    made = notebook(course)
    assert made.metadata.accelerator == "GPU"
    assert made.metadata.kernelspec.name == "python3"
    url = "https://colab.research.google.com/github/someone/some.course/blob/main/notebooks/07_toy.ipynb"
    assert made.cells[0].source.startswith(f"[Open this notebook in Colab]({url})\n")
    assert "Run the cells from the top" in made.cells[0].source
    assert not any("![" in cell.source for cell in made.cells), "an image from elsewhere is broken offline"


def test_one_install_cell_comes_before_all_other_code(course):
    code = [cell for cell in notebook(course).cells if cell.cell_type == "code"]
    assert [("install" in cell.metadata.get("tags", [])) for cell in code] == [True] + [False] * (
        len(code) - 1
    )
    assert "remove-cell" in code[0].metadata.tags
    assert 'wanted = ">=1.2.3.dev0"' in code[0].source
    assert 'course = "https://github.com/someone/some.course"' in code[0].source
    assert '"gm-lib @ git+{course}@main"' in code[0].source


def test_all_that_a_notebook_of_a_release_points_to_is_the_tag(course):
    text = json.dumps(notebook(course, where=RELEASE))
    assert "/blob/v1.2.3/notebooks/07_toy.ipynb" in text
    assert "/blob/v1.2.3/book/notation.md#sets" in text
    assert "git+{course}@v1.2.3" in text
    assert "main" not in text


def test_a_notebook_has_no_outputs_and_is_valid(course):
    for text in derive(course).values():
        made = nbformat.reads(text, as_version=4)
        nbformat.validate(made)
        code = [cell for cell in made.cells if cell.cell_type == "code"]
        assert code
        assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_plotting_code_is_folded_and_no_image_text_left_over(course):
    last = notebook(course).cells[-1]
    folded = {"jupyter": {"source_hidden": True}, "cellView": "form"}
    assert last.metadata == {"tags": ["hide-input"], **folded}


PROOF = """## First

```{code-cell} ipython3
:tags: [proof]
assert 1 + 1 == 2
if data.name == "mnist":
    assert 2 + 2 == 4
    assert 3 + 3 == 6
```
"""


@pytest.mark.parametrize(("name", "said"), [("mnist", "✓ 3 claims checked"), ("digits", "✓ 1 claim checked")])
def test_a_proof_is_folded_and_says_how_many_claims_held_on_this_data(course, capsys, name, said):
    made = notebook(course, TOY_CHAPTER.replace("## First\n", PROOF))
    (proof,) = (cell for cell in made.cells if "proof" in cell.metadata.get("tags", []))
    assert proof.metadata["jupyter"] == {"source_hidden": True}
    assert proof.metadata["cellView"] == "form"
    assert proof.source.startswith("# @title What the text says of this result, checked\n")
    exec(proof.source, {"data": SimpleNamespace(name=name)})
    assert capsys.readouterr().out == f"{said}\n"
    wrong = proof.source.replace("== 2", "== 3")
    with pytest.raises(AssertionError):
        exec(wrong, {"data": SimpleNamespace(name=name)})


def test_what_is_recalled_opens_and_tasks_stand_under_headings(course):
    quoted = (
        "## First\n\n> **From earlier chapters**\n>\n> *Sums.* They add.\n>\n> $$x + y$$\n\n"
        "Words.\n\n> A quotation.\n"
    )
    text = TOY_CHAPTER.replace("## First\n", quoted).replace(
        "Write `double`.", "Write\n> `double`.\n>\n> * Twice."
    )
    prose = "\n\n".join(c.source for c in notebook(course, text).cells if c.cell_type == "markdown")
    assert (
        "<details>\n<summary><b>From earlier chapters</b></summary>\n\n*Sums.* They add.\n\n$$x + y$$\n\n"
        "</details>\n\nWords.\n\n> A quotation.\n"
    ) in prose
    assert "#### Exercise 7.1 · ●○○ · 5 min\n\nWrite\n`double`.\n\n* Twice." in prose


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


def test_each_page_of_a_chapter_has_its_notebook_and_one_whose_page_is_gone_is_removed(lettered):
    write(lettered)
    folder = lettered / "notebooks"
    names = ["07_toy.ipynb", "08_next.ipynb", "09a_ice.ipynb", "09b_snow.ipynb"]
    assert sorted(path.name for path in folder.iterdir()) == names
    snow = (folder / "09b_snow.ipynb").read_text("utf-8")
    assert "/blob/main/notebooks/09b_snow.ipynb" in snow
    assert '"id": "exercise-9-3"' in snow
    (lettered / "book/chapters/09b_snow.md").unlink()
    assert drift(lettered) == ["notebooks/09b_snow.ipynb: its chapter is gone"]
    assert write(lettered) == ["removed notebooks/09b_snow.ipynb: its chapter is gone"]


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
    edit(course / "gm_lib/__init__.py", "1.2.3.dev0", "1.2.x")
    with pytest.raises(ValueError, match=r"'1\.2\.x'; write"):
        repository(course)
    edit(course / "gm_lib/__init__.py", "__version__", "version")
    with pytest.raises(ValueError, match="__version__"):
        repository(course)


def test_help_tells_what_the_command_does(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "--check" in capsys.readouterr().out


# The install cell ---------------------------------------------------------------------------------


@pytest.fixture
def install(course, tmp_path):
    """Run the install cell where gm_lib has the version `here` (or is missing) and pip installs another."""

    def run(here: str, installs: str, where: Repository = WHERE) -> str:
        site = tmp_path / "site"
        if here:
            library(site, here)
        sources = {where.ref: library(tmp_path / "source", installs)} if installs else {}
        return run_install_cell(install_cell(json.dumps(notebook(course, where=where))), site, sources)

    return run


@pytest.mark.parametrize(
    ("here", "where"),
    [
        ("1.2.3", RELEASE),
        ("1.2.3.dev0", WHERE),
        ("1.2.3.dev1", WHERE),
        ("1.2.3", WHERE),
        ("1.10.0.dev0", WHERE),
    ],
)
def test_a_gm_lib_that_fits_is_not_installed_again(here, where, install):
    out = install(here, "", where)
    assert "PIP" not in out
    assert f"gm_lib {here}, device: cpu, profile: quick" in out
    assert "RESULT NoneType" in out


@pytest.mark.parametrize(
    ("here", "where", "installs"),
    [
        ("", RELEASE, "1.2.3"),
        ("1.2.2", RELEASE, "1.2.3"),
        ("1.2.4", RELEASE, "1.2.3"),
        ("1.2.3.dev0", RELEASE, "1.2.3"),
        ("", WHERE, "1.2.3.dev0"),
        ("1.2.2", WHERE, "1.2.3.dev0"),
        ("1.2.2", WHERE, "1.3.0.dev0"),
    ],
)
def test_a_gm_lib_that_is_missing_or_does_not_fit_is_installed_and_torch_torchvision_and_numpy_are_pinned(
    here, where, installs, install
):
    out = install(here, installs, where)
    pip = next(line for line in out.splitlines() if line.startswith("PIP"))
    source = f"git+https://github.com/someone/some.course@{where.ref}"
    assert (
        pip.split("install ")[1]
        == f'-q "gm-lib @ {source}" torch==9.8+local torchvision==9.8+local numpy==9.8+local'
    )
    assert f"gm_lib {installs}, device: cpu, profile: quick" in out
    assert "RESULT NoneType" in out


def test_where_packaging_is_missing_it_comes_with_gm_lib(install, tmp_path):
    without, brought = tmp_path / "site" / "packaging", tmp_path / "source" / "packaging"
    without.mkdir(parents=True)
    (without / "__init__.py").touch()
    (without / "specifiers.py").write_text("raise ImportError('missing')")
    shutil.copytree(Path(packaging.__file__).parent, brought)
    out = install("1.2.3.dev0", "1.2.3.dev1")
    assert "gm_lib 1.2.3.dev1, device: cpu, profile: quick" in out
    assert "RESULT NoneType" in out


def test_without_a_network_the_cell_says_what_to_do(install):
    out = install("", "")
    assert "RESULT ImportError gm_lib could not be installed" in out
    assert "needs the network" in out


@pytest.mark.parametrize(
    ("where", "installs", "made_for"), [(WHERE, "1.2.2", ">=1.2.3.dev0"), (RELEASE, "1.2.4", "==1.2.3")]
)
def test_a_gm_lib_of_the_wrong_version_after_installing_is_told(where, installs, made_for, install):
    out = install("1.2.1", installs, where)
    assert f"RESULT ImportError gm_lib {installs} is here, this notebook was made for gm_lib{made_for}" in out
