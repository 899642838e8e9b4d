"""Claims about the mutants of a solution, and about which of them count."""

import pytest
from toy_course import TOY_CHAPTER

import mutants
from chapters import ROOT, chapter_paths, pages_of, parse
from mutants import Mutant, tally

SOLUTION = "secret_of_double = x + x\n    return secret_of_double"


def of(body: str, given: str = "") -> set[str]:
    """The changed statements of the mutants of a function `double(x)` with this body."""
    assert SOLUTION in TOY_CHAPTER
    text = TOY_CHAPTER.replace("def double(x):", f"{given}def double(x, y=1):").replace(SOLUTION, body)
    return {mutant.statement for mutant in mutants.mutants(parse(text, ROOT / "07_toy.md"), "7.1")}


@pytest.mark.parametrize(
    ("body", "some"),
    [
        ("return x - 2", {"return x + 2", "return 2 - x", "return x - 3", "return x - 1", "return y - 2"}),
        ("return x < 2.5", {"return x <= 2.5", "return x > 2.5", "return x < 5.0", "return x < -2.5"}),
        ("return x.sum(1)", {"return x.mean(1)", "return x", "return x.sum(0)", "return x.sum(2)"}),
        ("return torch.exp(-x)", {"return torch.exp(x)", "return torch.expm1(-x)", "return -x"}),
        ("return f(x, 1)", {"return f(1, x)", "return f(x, 2)", "return f(x, 0)", "return f(y, 1)"}),
        (
            "return f(x, dim=1, keepdim=True)",
            {"return f(x, keepdim=True)", "return f(x, dim=1, keepdim=False)"},
        ),
        ("x.zero_grad()\n    return x", {"pass", "x"}),
        ("return x.detach() if y else 1", {"return x if y else 1", "return x.detach() if not y else 1"}),
        ("return x[1:], y.T", {"return (x[:], y.T)", "return (y.T, x[1:])", "return (x[1:], y)"}),
        ('return "greater" if x and y else True', {'return "greater" if x or y else True'.replace('"', "'")}),
    ],
)
def test_every_small_mechanical_change_is_made(body, some):
    assert some <= of(body)


def test_what_is_given_is_not_changed_and_the_solution_itself_is_no_mutant():
    made = of("return x + 2", given="constant = 5 + 6\n\n\n")
    assert made
    assert not any("constant" in statement for statement in made)
    assert "return x + 2" not in made


def test_mutants_that_are_right_survive_unless_they_are_listed_as_equivalent():
    def judged(statement: str, mark: str) -> tuple[Mutant, str]:
        return Mutant("8.1", statement, ""), f"{mark} 8.1: …"

    verdicts = [judged("a", "✓"), judged("b", "✗"), judged("c", "✓"), judged("d", "·")]
    told: list[str] = []
    found = tally([("8.1", verdicts)], {"8.1": {"a": "the same", "b": "it is not"}}, told.append)
    assert (found.mutants, found.equivalent) == (4, 1)
    assert [mutant.statement for mutant in found.survivors] == ["c"]
    assert found.unknown == ["8.1: b"]
    assert found.rejected == pytest.approx(2 / 3)
    assert told == ["8.1: 4 mutants, 1 equivalent, 1 survivors", "    c"]


def test_a_chapter_stands_for_its_exercises_and_an_unknown_name_is_refused(capsys):
    assert mutants.exercises(["8"]) == [id for id in mutants.exercises([]) if id.startswith("8.")]
    assert mutants.exercises(["8.2", "0.1"]) == ["0.1", "8.2"]
    with pytest.raises(SystemExit):
        mutants.main(["8.99"])
    assert "'8.99'" in capsys.readouterr().err


def test_a_chapter_stands_for_the_exercises_of_all_its_pages_each_on_its_own_imports(lettered, monkeypatch):
    monkeypatch.setattr(mutants, "chapter_paths", lambda: chapter_paths(lettered))
    monkeypatch.setattr(mutants, "pages_of", lambda number: pages_of(number, lettered))
    assert mutants.exercises(["9"]) == ["9.1", "9.2", "9.3", "9.4"]
    pages = {id: mutants._page(id).path for id in mutants.exercises(["9"])}
    assert [path.name for path in pages.values()] == ["09a_ice.md"] * 2 + ["09b_snow.md"] * 2
    assert ["cmath" in mutants._imported(path) for path in pages.values()] == [False, False, True, True]


def test_a_mutant_that_never_ends_is_rejected():
    loops = "def double(x):\n    while True:\n        pass"
    chapter = mutants._page("8.2")
    assert mutants._verdict(chapter, "8.2", loops + "\nlocation_scale = double").startswith("✗")
