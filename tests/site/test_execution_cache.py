"""What is executed again and what is not, and what a page shows of an exercise: on a toy book."""

import os
import re
import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag
from toy_book import ToyBook

import execution_cache

COLAB = "https://colab.research.google.com/github"
BOTH = {"08_one", "09a_two"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> ToyBook:
    """The toy and its data, executed and built once; no test here changes it."""
    folder = tmp_path_factory.mktemp("toy")
    toy = ToyBook(folder / "toy")
    toy.fill()
    toy.write("../data/train-images", "12")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GM_PROFILE", "quick")
        patch.setenv("GM_DATA", str(folder / "data"))
        assert toy.executed() == BOTH
        result = toy.build("--all")
    assert result.returncode == 0, result.stdout + result.stderr
    return toy


@pytest.fixture
def copy(built: ToyBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyBook:
    """A copy of the toy as it is after ``make book``, to be changed."""
    shutil.copytree(built.root.parent, tmp_path / "copy", symlinks=True)
    monkeypatch.setenv("GM_PROFILE", "quick")
    monkeypatch.setenv("GM_DATA", str(tmp_path / "copy" / "data"))
    return ToyBook(tmp_path / "copy" / "toy")


def stale(toy: ToyBook) -> set[str]:
    """Return the chapters that would be executed."""
    return {c.path.stem for c in execution_cache.chapters(toy.root) if c.executed() is None}


# Executing


def test_only_what_changed_is_executed_again_and_its_page_shows_it(copy: ToyBook) -> None:
    copy.build("--all")  # where it is now: a book that has moved is read anew
    assert "The area is 9" in copy.page("chapters/08_one")
    copy.edit("book/chapters/09a_two.md", "images()", "images();")
    assert copy.executed() == {"09a_two"}
    copy.edit("gm_lib/shapes/square.py", "9", "16")
    assert copy.executed() == {"08_one"}, "the other chapter has no squares"
    result = copy.build()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "The area is 16" in copy.page("chapters/08_one")


@pytest.mark.skipif(os.name == "nt", reason="pyzmq has no ipc on Windows")
def test_kernels_that_start_at_once_cannot_be_given_the_same_port(copy: ToyBook) -> None:
    transport = "__import__('ipykernel').connect.get_connection_info(unpack=True)['transport']"
    copy.edit("book/chapters/09a_two.md", "gm_lib.answer + 41", f"print({transport}) or gm_lib.answer + 41")
    assert copy.executed() == {"09a_two"}
    (two,) = (c for c in execution_cache.chapters(copy.root) if c.path.stem == "09a_two")
    _, bundle = two.executed()
    printed = [o.get("text", "") for cell in bundle.nb.cells for o in cell.get("outputs", [])]
    assert "ipc\n" in "".join(printed)


def test_the_builder_stops_where_outputs_lack_and_executes_nothing(copy: ToyBook) -> None:
    copy.edit("gm_lib/shapes/square.py", "9", "16")
    result = copy.build()
    assert result.returncode != 0
    assert "book/chapters/08_one has not been executed" in result.stdout + result.stderr
    copy.edit("book/chapters/09a_two.md", "Return the *answer*.", "Return *the* answer, please.")
    assert copy.executed() == {"08_one"}, "prose has no outputs"


def test_a_failing_cell_fails_the_command_and_says_where(copy: ToyBook) -> None:
    copy.edit("book/chapters/09a_two.md", "gm_lib.answer + 41", "gm_lib.anwser + 41")
    result = copy.execute()
    assert result.returncode == 1
    assert "09a_two: failed after" in result.stdout
    assert "Failed: book/chapters/09a_two.md, cell 7, line 42" in result.stderr
    assert "has no attribute 'anwser'" in result.stderr
    assert copy.execute().returncode == 1, "a failure is not kept"


@pytest.mark.parametrize(
    ("name", "chapters"),
    [
        ("gm_lib/__init__.py", BOTH),
        ("gm_lib/shapes/__init__.py", {"08_one"}),
        ("gm_lib/shapes/square.py", {"08_one"}),
        ("gm_lib/units.py", {"08_one"}),
        ("gm_lib/judge.py", {"09a_two"}),
        ("gm_lib/exercises/core.py", BOTH),
        ("gm_lib/exercises/chapter_08.py", {"08_one"}),
        ("gm_lib/exercises/chapter_09.py", {"09a_two"}),
        ("gm_lib/unused.py", set()),
        ("gm_lib/weights/judge.txt", {"09a_two"}),
        ("results/toy.json", {"09a_two"}),
        ("requirements.txt", BOTH),
        ("../data/train-images", BOTH),
    ],
)
def test_a_changed_file_makes_those_chapters_stale_that_use_it(
    copy: ToyBook, name: str, chapters: set[str]
) -> None:
    with (copy.root / name).open("a") as file:
        file.write("\nchanged = 1\n")
    assert stale(copy) == chapters


@pytest.mark.parametrize(
    ("name", "chapters"),
    [("gm_lib/units.py", {"08_one"}), ("gm_lib/weights/judge.txt", {"09a_two"}), ("gm_lib/unused.py", set())],
)
def test_a_deleted_file_makes_those_chapters_stale_that_used_it(
    copy: ToyBook, name: str, chapters: set[str]
) -> None:
    (copy.root / name).unlink()
    assert stale(copy) == chapters


def test_data_at_hand_count_only_for_a_chapter_that_looked_for_some(copy: ToyBook) -> None:
    copy.edit("gm_lib/data/sources.py", "import os", "import os\nasked_for = set()")
    copy.edit("gm_lib/data/__init__.py", "def images", "from gm_lib.data import sources\n\ndef images")
    look = "images()\ngm_lib.data.sources.asked_for.add('MNIST')\n"
    copy.edit("book/chapters/08_one.md", "images()\n", look)
    assert copy.executed() == BOTH
    copy.write("../data/train-images", "another size")
    assert stale(copy) == {"08_one"}


def test_a_module_counts_from_when_a_used_one_imports_it(copy: ToyBook) -> None:
    copy.edit("gm_lib/units.py", "one = 1", "from gm_lib.unused import x as one")
    assert copy.executed() == {"08_one"}
    copy.edit("gm_lib/unused.py", "x = 1", "x = 2")
    assert copy.executed() == {"08_one"}


def test_another_profile_has_outputs_of_its_own(copy: ToyBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_PROFILE", "full")
    assert stale(copy) == BOTH
    monkeypatch.setenv("GM_PROFILE", "quick")
    assert stale(copy) == set(), "what was executed before is still known"


def test_comments_compiled_files_and_quoted_records_make_nothing_stale(copy: ToyBook) -> None:
    copy.edit("book/chapters/08_one.md", "# 8 · One", "# 8 · One\n\nIt was [57.7 %](../results.md#toy).")
    copy.edit("gm_lib/units.py", "one = 1", "# The smallest\none  =  1")
    copy.write("gm_lib/__pycache__/units.cpython-311.pyc", "1")
    copy.write("results/toy.json", '{"changed": 1}')
    assert stale(copy) == {"09a_two"}, "its code reads the record"


def test_going_back_to_an_earlier_state_executes_nothing(copy: ToyBook) -> None:
    copy.edit("gm_lib/shapes/square.py", "9", "16")
    assert copy.executed() == {"08_one"}
    copy.edit("gm_lib/shapes/square.py", "16", "9")
    assert stale(copy) == set()


def test_states_used_last_are_kept_and_older_ones_deleted(copy: ToyBook) -> None:
    chapters = execution_cache.chapters(copy.root)
    (state,) = chapters[0].folder.iterdir()
    names = [f"key{i}" for i in range(execution_cache.KEPT_STATES + 1)]
    for age, name in enumerate(names):
        (state.parent / name).mkdir()
        os.utime(state.parent / name, (1000 - age, 1000 - age))
    gone = state.parent.with_name("07_gone")
    (gone / "key").mkdir(parents=True)
    execution_cache.prune(chapters, copy.root)
    kept = {path.name for path in state.parent.iterdir()}
    assert kept == {state.name, *names[: execution_cache.KEPT_STATES - 1]}
    assert not gone.exists()


# The pages


def chapter(built: ToyBook) -> BeautifulSoup:
    return BeautifulSoup(built.page("chapters/08_one"), "html.parser")


def exercise(built: ToyBook) -> Tag:
    box = chapter(built).select_one("div.exercise#exercise-8-1")
    assert box is not None
    return box


def test_an_exercise_shows_task_stub_hints_check_and_solution_in_this_order(built: ToyBook) -> None:
    texts = [part.get_text(" ", strip=True) for part in exercise(built).find_all(recursive=False)]
    begins = ["Exercise 8.1", "def answer", "Hint 1", "Hint 2", "check", "Solution"]
    assert [text[: len(begin)] for text, begin in zip(texts, begins, strict=True)] == begins
    assert "hint(" not in exercise(built).get_text(), "on a page hints are there to open"


def test_solution_and_verdict_are_folded_away_and_nowhere_else(built: ToyBook) -> None:
    box = exercise(built)
    folds = box.select("details")
    assert [fold.summary.get_text() for fold in folds if fold.summary] == ["Hint 1", "Hint 2", "Solution"]
    assert not any(fold.has_attr("open") for fold in folds)
    assert "gm_lib.answer + 41" in folds[-1].get_text()
    assert "✓ 8.1: 42" in folds[-1].get_text()
    folds[-1].extract()
    assert "+ 41" not in box.get_text()
    assert "✓" not in box.get_text()
    assert "NotImplementedError" in box.get_text()
    pages = built.root / "_build" / "html"
    assert not (pages / "_sources").exists()
    assert not any("BEGIN SOLUTION" in path.read_text("utf-8") for path in pages.rglob("*.html"))


@pytest.mark.parametrize(
    ("kind", "line", "inside"),
    [
        ("imports", "Imports", "import gm_lib"),
        ("code", "The code behind this", "gm_lib.answer)"),
        ("proof", "✓ 2 claims checked", "assert gm_lib.answer > 0"),
        ("recall", "From earlier chapters", "An answer was given."),
    ],
)
def test_what_only_proves_or_prepares_is_one_line_that_opens(
    built: ToyBook, kind: str, line: str, inside: str
) -> None:
    page = chapter(built)
    (fold,) = page.select(f"details.fold-{kind}")
    assert fold.summary is not None
    assert fold.summary.get_text() == line
    assert inside in fold.get_text()
    fold.extract()
    assert inside not in page.get_text()


def test_the_output_of_folded_code_stays_in_sight(built: ToyBook) -> None:
    page = chapter(built)
    for fold in page.select("details"):
        fold.extract()
    assert "The library says 1" in page.get_text()


def test_a_chapter_offers_colab_at_the_tag_of_the_version_and_its_student_edition(built: ToyBook) -> None:
    page = BeautifulSoup(built.page("chapters/08_one"), "html.parser")
    targets = [str(link["href"]) for link in page.select("a.btn[href]")]
    assert any(re.fullmatch(f"{COLAB}/[^/]+/[^/]+/blob/v1.2.3/notebooks/08_one.ipynb", t) for t in targets)
    (download,) = page.select("a[download]")
    assert download["href"] == "../../notebooks/08_one.ipynb"
    other = BeautifulSoup(built.page("intro"), "html.parser")
    assert not other.select("a.btn-colab-button")


def test_chapters_to_come_are_named_and_not_linked(built: ToyBook) -> None:
    block = BeautifulSoup(built.page("chapters/08_one"), "html.parser").select_one("details.coming")
    assert block is not None
    assert [item.get_text() for item in block.select("li")] == ["09b Four", "10 Three"]
    assert not block.select("a")


def test_the_pages_of_a_chapter_stand_under_its_heading_and_one_leads_to_the_next(built: ToyBook) -> None:
    page = BeautifulSoup(built.page("chapters/08_one"), "html.parser")
    (heading,) = (item for item in page.select("nav.bd-links li") if item.select_one('a[href$="nine.html"]'))
    assert [link["href"] for link in heading.select(":scope ul a")] == ["09a_two.html"]
    assert [toggle.get("aria-label") for toggle in heading.select("summary")] == ["Pages of this chapter"]
    for name, around in {
        "nine": ["chapters/08_one.html", "chapters/09a_two.html"],
        "chapters/09a_two": ["../nine.html", "../status.html"],
    }.items():
        links = BeautifulSoup(built.page(name), "html.parser").select(".prev-next-area a")
        assert [link["href"] for link in links] == around


def test_the_status_page_tells_what_the_runs_recorded(built: ToyBook) -> None:
    page = BeautifulSoup(built.page("status"), "html.parser")
    rows = [[cell.get_text(strip=True) for cell in row.select("td")] for row in page.select("tbody tr")]
    assert [row[0] for row in rows] == ["8 · One", "9a · Two", "All chapters"]
    for _, seconds, profile, data, date in rows[:-1]:
        assert int(seconds) < 60
        assert profile == "quick, on cpu"
        assert data == "a toy set"
        assert date.endswith("UTC")
    assert "Versions: python 3." in page.get_text()
    assert [item.get_text() for item in page.select("article li")] == ["a toy set, of nothing"], (
        "said once for both"
    )
