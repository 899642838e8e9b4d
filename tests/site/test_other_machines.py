"""What a book does on other machines than its authors': other data, packages that warn. On a toy book."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from toy_book import ToyBook

ANNOUNCEMENT = '"gm_lib.data: a toy set, of nothing"'
OTHER_DATA = (
    '"gm_lib.data: mnist is not on this machine and could not be downloaded (a.host: not reachable). '
    'In its place digits, from scikit-learn: 3 images."'
)


@pytest.fixture
def toy(tmp_path: Path) -> ToyBook:
    toy = ToyBook(tmp_path)
    toy.fill()
    return toy


def test_a_page_built_on_other_data_says_so_on_top_and_the_status_page_in_few_words(toy: ToyBook) -> None:
    toy.edit("book/chapters/08_one.md", "images()", 'print("Nothing is loaded here.")')
    toy.edit("gm_lib/data/__init__.py", ANNOUNCEMENT, OTHER_DATA)
    toy.execute()
    toy.build()
    with_data = BeautifulSoup(toy.page("chapters/09a_two"), "html.parser")
    (box,) = with_data.select("section > h1 + .built-on-digits")
    assert "built without MNIST" in box.get_text()
    assert not BeautifulSoup(toy.page("chapters/08_one"), "html.parser").select(".built-on-digits")
    status = BeautifulSoup(toy.page("status"), "html.parser").get_text()
    assert "digits in the place of MNIST, from scikit-learn: 3 images." in status
    assert "downloaded" not in status


@pytest.mark.parametrize(("announced", "said"), [(ANNOUNCEMENT, "2 claims"), (OTHER_DATA, "1 claim")])
def test_what_is_claimed_of_mnist_alone_is_counted_on_mnist_alone(
    toy: ToyBook, announced: str, said: str
) -> None:
    name = "mnist" if announced == ANNOUNCEMENT else "digits"
    given = f'from types import SimpleNamespace\n\ndata = SimpleNamespace(name="{name}")\nimages()'
    toy.edit("book/chapters/08_one.md", "images()", given)
    guarded = 'if data.name == "mnist":\n    assert gm_lib.answer > 0'
    toy.edit("book/chapters/08_one.md", "assert gm_lib.answer > 0", guarded)
    toy.edit("gm_lib/data/__init__.py", ANNOUNCEMENT, announced)
    toy.execute()
    toy.build()
    (proof,) = BeautifulSoup(toy.page("chapters/08_one"), "html.parser").select(
        "details.fold-proof > summary"
    )
    assert proof.get_text() == f"✓ {said} checked"


def test_a_warning_is_shown_to_a_reader_and_fails_a_strict_build_cached_or_not(toy: ToyBook) -> None:
    toy.edit(
        "book/chapters/09a_two.md", "images()", 'import warnings\nwarnings.warn("it is late", stacklevel=1)'
    )
    reader = toy.execute()
    assert reader.returncode == 0
    assert "09a_two.md, cell 3, line 18: a warning" in reader.stdout
    assert "it is late" in reader.stdout
    toy.build()
    assert "it is late" in toy.page("chapters/09a_two")

    strict = toy.execute("--strict")
    assert strict.returncode == 1
    assert "09a_two: up to date" in strict.stdout
    assert "09a_two.md, cell 3, line 18: a warning" in strict.stderr
    assert "08_one" not in strict.stderr
