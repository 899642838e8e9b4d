"""Numbers of equations, as a page shows them."""

from pathlib import Path

from toy_book import ToyBook
from visitor import Visitor

ONE_LINE = r"$$a = b\tag{8.1}$$"
TWO_LINES = r"""$$\begin{aligned}
a &= b \\
&= c
\end{aligned}\tag{8.2}$$"""


def test_an_equation_of_one_line_and_one_of_two_have_their_numbers(tmp_path: Path, visitor: Visitor) -> None:
    toy = ToyBook(tmp_path / "toy")
    toy.fill()
    path = "book/chapters/08_one.md"
    toy.write(path, (toy.root / path).read_text("utf-8") + f"\n{ONE_LINE}\n\n{TWO_LINES}\n")
    toy.made()
    page = visitor.open((toy.root / "_build" / "html" / "book" / "chapters" / "08_one.html").as_uri())
    tags = page.locator("mjx-labels")
    assert tags.count() == 2
    assert page.locator("mjx-merror").count() == 0
