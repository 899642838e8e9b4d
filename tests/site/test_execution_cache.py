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
BOTH = {"08_one", "09_two"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> ToyBook:
    """The toy, executed and built once; no test here changes it."""
    toy = ToyBook(tmp_path_factory.mktemp("toy"))
    toy.fill()
    assert toy.executed() == BOTH
    toy.build()
    return toy


@pytest.fixture
def copy(built: ToyBook, tmp_path: Path) -> ToyBook:
    """A copy of the toy as it is after ``make book``, to be changed."""
    shutil.copytree(built.root, tmp_path / "toy", symlinks=True)
    return ToyBook(tmp_path / "toy")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy that is not executed, for asking where its cache would be."""
    monkeypatch.setenv("GM_PROFILE", "quick")
    toy = ToyBook(tmp_path)
    toy.fill()
    return tmp_path


# Executing


def test_only_what_changed_is_executed_again(copy: ToyBook) -> None:
    assert "The library says 1" in copy.page("chapters/08_one")
    copy.edit("book/chapters/08_one.md", "Return the *answer*.", "Return *the* answer, please.")
    copy.edit("book/chapters/09_two.md", "images()", "images();")
    assert copy.executed() == {"09_two"}, "prose has no outputs"

    copy.edit("gm_lib/__init__.py", "answer = 1", "answer = 2")
    assert copy.executed() == BOTH, "the library is in every output"
    copy.build()
    for page in ("chapters/08_one", "chapters/09_two"):
        assert "The library says 2" in copy.page(page)


def test_a_failing_cell_fails_the_command_and_says_where(copy: ToyBook) -> None:
    copy.edit("book/chapters/09_two.md", "gm_lib.answer + 41", "gm_lib.anwser + 41")
    result = copy.execute()
    assert result.returncode == 1
    assert "09_two: failed after" in result.stdout
    assert "Failed: book/chapters/09_two.md, cell 5, line 26" in result.stderr
    assert "has no attribute 'anwser'" in result.stderr
    assert copy.execute().returncode == 1, "a failure is not kept"


def test_the_cache_follows_library_lock_profile_and_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = root / "data"
    data.mkdir()
    monkeypatch.setenv("GM_DATA", str(data))
    seen = [execution_cache.cache_path(root)]

    def is_new() -> bool:
        seen.append(execution_cache.cache_path(root))
        return seen[-1] not in seen[:-1]

    (root / "gm_lib" / "runtime.py").open("a").write("\nx = 1\n")
    assert is_new()
    (root / "gm_lib" / "weights.bin").write_bytes(b"1")
    assert is_new()
    (root / "requirements.txt").write_text("something==1.1\n")
    assert is_new()
    (data / "train-images").write_bytes(b"12")
    assert is_new()
    (data / "train-images").write_bytes(b"123")
    assert is_new()
    monkeypatch.setenv("GM_PROFILE", "full")
    assert is_new()
    monkeypatch.setenv("GM_PROFILE", "quick")
    assert execution_cache.cache_path(root) == seen[-2], "what was executed before is still known"


def test_comments_and_compiled_files_do_not_make_a_cache_stale(root: Path) -> None:
    before = execution_cache.cache_path(root)
    module = root / "gm_lib" / "__init__.py"
    module.write_text("# The answer to everything\n" + module.read_text("utf-8").replace(" = ", "  =  "))
    (root / "gm_lib" / "__pycache__").mkdir()
    (root / "gm_lib" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert execution_cache.cache_path(root) == before


def test_caches_used_last_are_kept_and_older_ones_deleted(tmp_path: Path) -> None:
    names = [f"key{i}" for i in range(execution_cache.KEPT_CACHES + 2)]
    for age, name in enumerate(names):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    execution_cache.prune(tmp_path / names[-1])
    assert {path.name for path in tmp_path.iterdir()} == {
        names[-1],
        *names[: execution_cache.KEPT_CACHES - 1],
    }


# The pages


def exercise(built: ToyBook) -> Tag:
    box = BeautifulSoup(built.page("chapters/08_one"), "html.parser").select_one("div.exercise#exercise-8-1")
    assert box is not None
    return box


def test_an_exercise_shows_task_stub_hints_check_and_solution_in_this_order(built: ToyBook) -> None:
    texts = [part.get_text(" ", strip=True) for part in exercise(built).find_all(recursive=False)]
    begins = ["Exercise 8.1", "def answer", "Hint 1", "Hint 2", "check", "Solution"]
    assert [text[: len(begin)] for text, begin in zip(texts, begins, strict=True)] == begins
    assert "✓ 8.1: 42" in texts[4]


def test_the_solution_is_folded_away_and_nowhere_else(built: ToyBook) -> None:
    box = exercise(built)
    folds = box.select("details")
    assert [fold.summary.get_text() for fold in folds if fold.summary] == ["Hint 1", "Hint 2", "Solution"]
    assert not any(fold.has_attr("open") for fold in folds)
    assert "gm_lib.answer + 41" in folds[-1].get_text()
    folds[-1].extract()
    assert "+ 41" not in box.get_text()
    assert "NotImplementedError" in box.get_text()
    pages = built.root / "_build" / "html"
    assert not (pages / "_sources").exists()
    assert not any("BEGIN SOLUTION" in path.read_text("utf-8") for path in pages.rglob("*.html"))


def test_a_chapter_offers_colab_at_the_tag_of_the_version_and_its_student_edition(built: ToyBook) -> None:
    page = BeautifulSoup(built.page("chapters/08_one"), "html.parser")
    targets = [str(link["href"]) for link in page.select(".article-header-buttons a")]
    assert any(re.fullmatch(f"{COLAB}/[^/]+/[^/]+/blob/v1.2.3/notebooks/08_one.ipynb", t) for t in targets)
    assert "../../notebooks/08_one.ipynb" in targets
    other = BeautifulSoup(built.page("intro"), "html.parser")
    assert not other.select(".article-header-buttons a.btn-colab-button")


def test_chapters_to_come_are_named_and_not_linked(built: ToyBook) -> None:
    block = BeautifulSoup(built.page("chapters/08_one"), "html.parser").select_one("details.coming")
    assert block is not None
    assert [item.get_text() for item in block.select("li")] == ["10 Three"]
    assert not block.select("a")


def test_the_status_page_tells_what_the_runs_recorded(built: ToyBook) -> None:
    page = BeautifulSoup(built.page("status"), "html.parser")
    rows = [[cell.get_text(strip=True) for cell in row.select("td")] for row in page.select("tbody tr")]
    assert [row[0] for row in rows] == ["8 · One", "9 · Two", "All chapters"]
    for _, seconds, profile, data, date in rows[:-1]:
        assert int(seconds) < 60
        assert profile == "quick, on cpu"
        assert data == "a toy set"
        assert date.endswith("UTC")
    assert "Versions: python 3." in page.get_text()
