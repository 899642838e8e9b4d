"""Claims about the list of chapters in README.md, which is made from the chapters."""

import pytest

from make_readme import BEGIN, END, drift, main, readme, write

COLAB = "https://colab.research.google.com/github/someone/some.course/blob"


def edit(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_list_has_the_chapters_that_are_here_and_counts_them_and_their_exercises(course):
    text = readme(course)
    assert f"| 07 A toy | [open in Colab]({COLAB}/main/notebooks/07_toy.ipynb) |\n" in text
    assert f"| 08 What is next? | [open in Colab]({COLAB}/main/notebooks/08_next.ipynb) |\n" in text
    assert "06 Before" not in text
    assert "2 of the course's 3 chapters are here, with 2 exercises." in text


def test_each_page_of_a_chapter_is_listed_in_its_place_and_a_part_of_a_chapter_counts_as_a_part(lettered):
    text = readme(lettered)
    rows = "\n".join(
        f"| {title} | [open in Colab]({COLAB}/main/notebooks/{name}.ipynb) |"
        for title, name in [
            ("08 What is next?", "08_next"),
            ("09a Ice", "09a_ice"),
            ("09b Snow", "09b_snow"),
        ]
    )
    assert f"{rows}\n\n" in text
    assert "09 Water |" not in text
    assert "09c Steam" not in text
    told = "2 of the course's 4 chapters and 2 of the 3 pages of chapter 9 are here, with 6 exercises."
    assert told in text
    edit(lettered / "book/water.md", "| 09c Steam *(coming)* | It rises. |\n", "")
    assert "3 of the course's 4 chapters are here, with 6 exercises." in readme(lettered)


def test_a_chapter_whose_pages_are_all_coming_is_not_here(lettered):
    for name in ("[09a Ice](chapters/09a_ice.md)", "[09b Snow](chapters/09b_snow.md)"):
        edit(lettered / "book/water.md", name, f"{name[1:].partition(']')[0]} *(coming)*")
    assert "2 of the course's 4 chapters are here, with 2 exercises." in readme(lettered)


def test_what_stands_around_the_list_is_left_alone(course):
    text = readme(course)
    assert text.startswith(f"# Toy\n\n{BEGIN}\n|")
    assert text.endswith(f".\n{END}\n\nBy hand.\n")
    assert "old" not in text


def test_the_readme_of_a_release_opens_the_notebooks_of_its_tag(course):
    edit(course / "gm_lib/__init__.py", "1.2.3.dev0", "1.2.3")
    assert f"{COLAB}/v1.2.3/notebooks/07_toy.ipynb" in readme(course)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("README.md", "A toy |", "Toys |"),
        ("book/intro.md", "[07 A toy]", "[07 Toys]"),
        ("book/intro.md", "06 Before *(coming)*", ""),
        ("book/chapters/07_toy.md", "> **Exercise 7.1** ·", "> **Example** ·"),
        ("_config.yml", "some.course", "other"),
        ("gm_lib/__init__.py", "1.2.3.dev0", "1.2.3"),
    ],
    ids=["readme", "title", "coming", "exercise", "slug", "version"],
)
def test_check_fails_on_every_kind_of_drift_and_writing_mends_it(name, old, new, course, capsys):
    assert write(course)
    assert not write(course)
    assert main(["--check"], course) == 0
    edit(course / name, old, new)
    before = (course / "README.md").read_bytes()
    assert main(["--check"], course) == 1
    assert "run python tools/make_readme.py" in capsys.readouterr().err
    assert (course / "README.md").read_bytes() == before
    assert main([], course) == 0
    assert not drift(course)


@pytest.mark.parametrize("line", [BEGIN, END])
def test_a_readme_without_a_place_for_the_list_is_told_and_left_as_it_is(line, course, capsys):
    edit(course / "README.md", line, "")
    before = (course / "README.md").read_bytes()
    assert main([], course) == 1
    assert line in capsys.readouterr().err
    assert (course / "README.md").read_bytes() == before


def test_help_tells_what_the_command_does(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "--check" in capsys.readouterr().out
