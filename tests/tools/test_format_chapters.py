"""Claims about formatting the code of a chapter."""

import pytest
from toy_course import TOY_CHAPTER

from chapters import ChapterError, parse
from format_chapters import formatted, main


def test_a_formatted_chapter_is_left_alone(course):
    assert formatted(TOY_CHAPTER, course / "book/chapters/07_toy.md") == TOY_CHAPTER


def test_only_code_is_formatted_markers_prose_and_options_stay(course):
    path = course / "book/chapters/07_toy.md"
    untidy = TOY_CHAPTER.replace("radius = 2.0", "radius=2.0").replace("x + x\n", "(x+x)\n")
    untidy = untidy.replace("import math\n\nfrom", "from gm_lib import runtime\nimport math\nfrom")
    untidy = untidy.replace("## First", "## First\n\nx=1 is prose\n\n    x=1\n\n```\nx=1\n```")
    path.write_text(untidy, encoding="utf-8")
    assert main([], course) == 0
    tidy = path.read_text("utf-8")
    assert tidy.count("x=1") == 3
    assert "radius = 2.0\n" in tidy
    assert "secret_of_double = x + x\n" in tidy
    assert "import math\n\nfrom gm_lib import runtime\nfrom gm_lib.exercises import check, hint\n" in tidy
    before, after = parse(untidy, path), parse(tidy, path)
    assert [(c.kind, c.tags) for c in after.cells] == [(c.kind, c.tags) for c in before.cells]
    assert after.exercises == before.exercises
    assert formatted(tidy, path) == tidy


def test_every_page_of_a_chapter_is_formatted(lettered):
    path = lettered / "book/chapters/09b_snow.md"
    text = path.read_text("utf-8").replace("radius = 2.0", "radius=2.0")
    path.write_text(text, encoding="utf-8")
    assert main([], lettered) == 0
    assert "radius = 2.0\n" in path.read_text("utf-8")


def test_a_cell_that_is_no_python_is_reported_with_its_chapter(course):
    path = course / "book/chapters/07_toy.md"
    with pytest.raises(ChapterError, match=r"07_toy\.md"):
        formatted(TOY_CHAPTER.replace("radius = 2.0", "radius = = 2.0"), path)
