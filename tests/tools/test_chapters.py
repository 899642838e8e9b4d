"""Claims about reading a chapter and about what is found wrong with it."""

import pytest
from toy_course import TOY_CHAPTER

from chapter_problems import problems
from chapters import ChapterError, chapter_paths, pages_of, parse, read


@pytest.fixture
def found(course):
    """What is wrong with the toy chapter after an edit."""

    def edit(*replacements: tuple[str, str]) -> list[str]:
        text = TOY_CHAPTER
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        return problems(parse(text, course / "book" / "chapters" / "07_toy.md"))

    return edit


def after_first_check(code: str) -> tuple[str, str]:
    """An edit that puts a code cell behind the first exercise's check."""
    end = '# hint("7.1")\n```\n'
    return end, f"{end}\n```{{code-cell}} ipython3\n{code}\n```\n"


def test_the_chapters_come_in_the_order_of_their_numbers_and_then_the_appendices(course):
    (course / "book/chapters/notes.md").write_text("# no chapter\n")
    (course / "book/chapters/A1_words.md").write_text("# A1 · Words\n")
    assert [path.name for path in chapter_paths(course)] == ["07_toy.md", "08_next.md", "A1_words.md"]


def test_the_pages_of_a_chapter_stand_together_in_the_order_of_their_letters(lettered):
    (lettered / "book/chapters/10_after.md").write_text("# 10 · After\n")
    (lettered / "book/chapters/09A_notes.md").write_text("# no chapter\n")
    names = ["07_toy.md", "08_next.md", "09a_ice.md", "09b_snow.md", "10_after.md"]
    assert [path.name for path in chapter_paths(lettered)] == names
    assert [path.name for path in pages_of(9, lettered)] == ["09a_ice.md", "09b_snow.md"]
    assert [path.name for path in pages_of(7, lettered)] == ["07_toy.md"]


@pytest.mark.parametrize(
    ("name", "label"),
    [("00_a", "0"), ("07_toy", "7"), ("09b_snow", "9b"), ("16a_b", "16a"), ("A1_words", "A1")],
)
def test_a_page_is_called_by_its_number_and_letter(name, label, course):
    chapter = parse(TOY_CHAPTER, course / f"book/chapters/{name}.md")
    assert chapter.label == label
    if label != "A1":
        assert chapter.number == int(label.rstrip("ab"))


def test_exercises_are_numbered_through_the_pages_of_a_chapter(lettered):
    pages = [read(path) for path in pages_of(9, lettered)]
    assert [id for page in pages for id in page.exercises] == ["9.1", "9.2", "9.3", "9.4"]
    assert [problems(page) for page in pages] == [[], []]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("9.3", "9.1", "9.1 should be 9.3: they are numbered in the order of the chapter, through all"),
        ("9.4", "9.5", "exercise 9.5 should be 9.4"),
        ("# 9b · Snow", "# 9 · Snow", "begins with its title, `# 9b · …`"),
    ],
)
def test_a_page_that_counts_anew_or_bears_another_number_is_told(old, new, message, lettered):
    path = lettered / "book/chapters/09b_snow.md"
    text = path.read_text("utf-8")
    assert old in text
    found = problems(parse(text.replace(old, new), path))
    assert any(message in line for line in found), found


def test_a_chapter_tells_its_exercises_with_what_is_given_for_them(course):
    chapter = read(course / "book/chapters/07_toy.md")
    assert chapter.number == 7
    assert [(e.id, e.difficulty, e.minutes) for e in chapter.exercises.values()] == [
        ("7.1", "●○○", 5),
        ("7.2", "●●●", 10),
    ]
    assert "import math" in chapter.imports()
    assert chapter.answer("7.1") == "double"
    assert chapter.code("7.2").startswith("radius = 2.0\n\n### BEGIN SOLUTION\n")


def test_each_cell_knows_its_line(course):
    code = "```{code-cell} ipython3\nprint(1)\n```\n\n"
    text = f"{TOY_CHAPTER}\n{code}{code}```{{code-cell}} ipython3\nif True:\n    print(1)\n```\n\n{code}"
    chapter = parse(text, course / "book/chapters/07_toy.md")
    lines = text.split("\n")
    for cell in chapter.cells:
        own = cell.source.split("\n")
        assert lines[cell.line - 1 : cell.line - 1 + len(own)] == own
    assert len({cell.line for cell in chapter.cells}) == len(chapter.cells)


@pytest.mark.parametrize(
    "text", ["# Only prose\n", "---\n: [\n---\n", "---\nkernelspec: {name: julia}\n---\n"]
)
def test_a_file_that_is_no_notebook_is_refused_by_name(text, course):
    with pytest.raises(ChapterError, match=r"07_toy\.md"):
        parse(text, course / "book/chapters/07_toy.md")


def test_a_sound_chapter_has_no_problems(found):
    assert found() == []


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([("# 7 · A toy", "A toy")], "begins with its title"),
        ([("# 7 · A toy", "# 8 · A toy")], "begins with its title, `# 7 · …`"),
        ([("**Time:** 5 minutes", "**Time:** Five minutes")], "0 minutes to read, 15 for the exercises"),
        ([("15 for the exercises", "30 for the exercises")], "nearly: `**Time:** 0 minutes to read, 15 for"),
        ([("tags: [hide-input]", "tags: [proof]")], "a proof prints nothing"),
        ([(":tags: [imports]\n", "")], "the tag `imports`"),
        ([("08_next.md#a-section", "10_later.md")], "10_later.md leads nowhere"),
        ([("Reads", "```{note}\nno\n```\nReads")], "directive"),
        ([("Reads", "{ref}`here` reads")], "role"),
        ([("Reads", "![a picture](a.png)")], "image"),
        ([("Reads", "Reads[^1]")], "footnote"),
        ([("Reads", "- [ ] task\n\nReads")], "task list"),
        ([("· ●○○ · 5 min.", "(5 min)")], "with exactly these marks"),
        ([("**Exercise 7.2**", "**Exercise 7.3**")], "7.3 should be 7.2"),
        ([("**Exercise 7.2**", "**Exercise 7.1**")], "7.1 should be 7.2"),
        ([("**Exercise 7.1**", "**Exercise 8.1**")], "8.1 should be 7.1"),
        ([('check("7.1", double)', 'check("7.2", double)')], "7.1 is not complete"),
        ([('check("7.1", double)', 'print(double)\ncheck("7.1", double)')], "7.1 is not complete"),
        ([('# hint("7.1")', "")], '`# hint("7.1")`'),
        ([('# hint("7.1")', 'hint("7.1")')], "7.1 is not complete"),
        ([after_first_check('check("7.1", 3)')], "belongs to no complete exercise"),
        ([("### BEGIN SOLUTION\n    secret", "secret")], "needs its"),
        ([("    return secret_of_double\n    ### END", "### END")], "whole statements"),
        ([(":tags: [exercise]\n", "")], "needs the tag `exercise`"),
        ([after_first_check("x = = 1")], "not valid Python"),
    ],
)
def test_a_fault_is_reported_with_file_and_line(found, edits, message):
    lines = found(*edits)
    assert any(message in line for line in lines), lines
    assert all(line.startswith("07_toy.md:") and line.split(":")[1].isdigit() for line in lines)


def test_a_fault_is_reported_where_it_is(found):
    (line,) = found(after_first_check("y = 1\nx = double(3)"))
    number = int(line.split(":")[1])
    assert (
        TOY_CHAPTER.replace(*after_first_check("y = 1\nx = double(3)")).split("\n")[number - 1]
        == "x = double(3)"
    )


@pytest.mark.parametrize(
    "code",
    [
        "double(2)",
        "x = [double(i) for i in range(3)]",
        "def uses():\n    return double(2)",
        "double = double",
        "class Uses(double):\n    pass",
        "f = lambda x=double: x",
        "print(f'{double(1)}')",
        "for i in range(double(2)):\n    pass",
        "double += 1",
    ],
)
def test_code_that_uses_an_answer_outside_of_its_check_is_found(found, code):
    (line,) = found(after_first_check(code))
    assert "uses double, which a student may not have written" in line


@pytest.mark.parametrize(
    "code",
    [
        "double = 2\nprint(double)",
        "from gm_lib import double\ndouble(1)",
        "def double(x):\n    return double(x - 1)",
        "def other(double):\n    return double",
        "def other():\n    double = 1\n    return double",
        "x = [double for double in range(3)]",
        "x = {double: i for i, double in enumerate('abc')}",
        "f = lambda double: double",
        "for double in range(3):\n    print(double)",
        "x.double = 1\nx.double()",
        "f(double=1)",
        "with f() as double:\n    print(double)",
    ],
)
def test_another_thing_of_the_same_name_is_no_answer(found, code):
    assert found(after_first_check(code)) == []


def test_a_rebound_name_is_the_students_no_longer(found):
    assert (
        found(after_first_check("double = abs"), ('print("the chapter', 'double(2); print("the chapter'))
        == []
    )


SLIDER = "both = [1, 2]\ndef half(): return both\ndef look(k=1): print(half()[k])\nslide(look, k=(0, 1))"


def test_a_name_that_a_slider_reads_is_not_bound_anew_below_it(found):
    def with_a_slider_and(code):
        return found(after_first_check(f"{SLIDER}\n```\n\n```{{code-cell}} ipython3\n{code}"))

    (line,) = with_a_slider_and("x = 1\nfor both in range(3):\n    pass")
    assert "binds both anew, which the slider of look above reads" in line
    (line,) = with_a_slider_and("def half():\n    return 3")
    assert "binds half anew" in line
    assert with_a_slider_and("other = [both for both in range(3)]\nk = 3") == []


@pytest.mark.parametrize("answer", ["double(2)", "double.__name__", "[double(1)]", "-area"])
def test_a_check_that_computes_with_the_answer_is_found(found, answer):
    (line,) = (
        found(('check("7.1", double)', f'check("7.1", {answer})'))
        if "area" not in answer
        else found(('check("7.2", area)', f'check("7.2", {answer})'))
    )
    assert "nothing computed from" in line


@pytest.mark.parametrize("answer", ["(double, double)", "{'a': double}", "lambda x: double(x)"])
def test_a_check_may_be_given_several_answers(found, answer):
    assert found(('check("7.1", double)', f'check("7.1", {answer})')) == []


def test_an_exercise_whose_own_cell_would_stop_the_student_is_found(found):
    (line,) = found(("### END SOLUTION\n```\n", "### END SOLUTION\nfour = double(2)\n```\n"))
    assert "uses double" in line


def test_a_helper_given_with_an_exercise_is_as_unfinished_as_the_answer(found):
    helper = "### END SOLUTION\n\ndef quadruple(x):\n    return double(double(x))\n```\n"
    assert found(("### END SOLUTION\n```\n", helper)) == []
    (line,) = found(
        ("### END SOLUTION\n```\n", helper), ('print("the chapter', 'print(quadruple(2), "the chapter')
    )
    assert "uses quadruple" in line
