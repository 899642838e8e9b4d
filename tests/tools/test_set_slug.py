"""Claims about setting the repository's name: nothing is forgotten, and it can be undone."""

from pathlib import Path

import pytest

import make_readme
from make_notebooks import drift, write
from repository import repository
from set_slug import main, set_slug, valid_slug


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_no_file_of_the_repository_keeps_the_old_name_and_setting_it_back_restores_every_byte(copy):
    before = contents(copy)
    old = repository(copy).slug
    set_slug("some-one/a.new_name", copy)
    after = contents(copy)
    assert [name for name, data in after.items() if old.encode() in data] == []
    assert repository(copy).slug == "some-one/a.new_name"
    assert drift(copy) == []
    assert not make_readme.drift(copy)
    changed = {name for name in before if before[name] != after[name]}
    assert {"_config.yml", "CITATION.cff", "README.md", "pyproject.toml"} <= changed
    assert {name for name in after if name.endswith(".ipynb")} <= changed
    set_slug(old, copy)
    assert contents(copy) == before


def test_only_the_repositorys_own_addresses_change(course):
    text = """
    https://github.com/someone/some.course and https://github.com/someone/some.course.git, (…/blob/main/x)
    git@github.com:someone/some.course.git https://colab.research.google.com/github/someone/some.course/blob/main
    kept: someone/some.course in a path, github.com/someone/some.course-2 github.com/someone/some.course.org
    kept: https://github.com/else/some.course https://github.com/someone/some-course
    At the end: https://github.com/someone/some.course.
    """
    (course / "README.md").write_text(text)
    (course / ".github").mkdir()
    (course / ".github" / "form.yml").write_text("url: https://github.com/someone/some.course\n")
    set_slug("new/name", course)
    assert (course / ".github" / "form.yml").read_text() == "url: https://github.com/new/name\n"
    first, *kept = (course / "README.md").read_text().split("kept:")
    assert first.count("new/name") == 4
    assert "someone/" not in first
    assert kept[0] == text.split("kept:")[1]
    assert kept[1] == text.split("kept:")[2].replace("some.course.\n", "some.course.\n").replace(
        "github.com/someone/some.course.\n", "github.com/new/name.\n"
    )


def test_a_name_that_looks_like_a_path_can_be_taken_back(course):
    (course / "README.md").write_text(
        "see book/chapters/07_toy.md at https://github.com/someone/some.course\n"
    )
    write(course)
    before = contents(course)
    set_slug("book/chapters", course)
    set_slug("someone/some.course", course)
    assert contents(course) == before


def test_what_is_no_text_or_not_ours_is_left_alone(course):
    files = {
        "image.png": b"\x89PNG\xff https://github.com/someone/some.course",
        ".git/config": b"https://github.com/someone/some.course",
        ".venv/lib/x.py": b"https://github.com/someone/some.course",
        "_build/html/index.html": b"https://github.com/someone/some.course",
    }
    for name, data in files.items():
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        (course / name).write_bytes(data)
    set_slug("new/name", course)
    assert {name: (course / name).read_bytes() for name in files} == files


@pytest.mark.parametrize("slug", ["you/your-repo", "a/b", "A-1/x.y_z-", "0/1", "o" * 39 + "/" + "n" * 100])
def test_what_github_allows_is_a_name(slug):
    assert valid_slug(slug) == slug


@pytest.mark.parametrize(
    "slug",
    [
        "",
        "you",
        "you/",
        "/repo",
        "a/b/c",
        "-you/repo",
        "you/re po",
        "you/..",
        "you/.",
        "you/repo.git",
        "yöu/repo",
        "you/repo\n",
        "you_/repo",
        "o" * 40 + "/n",
        "https://github.com/you/repo",
        "git@github.com:you/repo.git",
    ],
)
def test_a_malformed_name_is_refused_and_nothing_is_written(slug, course, capsys):
    before = contents(course)
    assert main(["--", slug], course) == 1
    error = capsys.readouterr().err
    assert "owner/name" in error
    assert ("Did you mean you/repo?" in error) == ("github.com" in slug)
    assert contents(course) == before


def test_with_a_broken_chapter_nothing_is_written(course, capsys):
    path = course / "book/chapters/07_toy.md"
    path.write_text(path.read_text("utf-8").replace("### END SOLUTION", ""), encoding="utf-8")
    before = contents(course)
    assert main(["new/name"], course) == 1
    assert "07_toy.md:" in capsys.readouterr().err
    assert contents(course) == before


def test_the_command_tells_what_it_wrote(course, capsys):
    assert main(["new/name"], course) == 0
    assert "wrote _config.yml\n" in capsys.readouterr().out
    assert main(["new/name"], course) == 0
    assert "set already" in capsys.readouterr().out
