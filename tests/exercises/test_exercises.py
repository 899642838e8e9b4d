"""Each exercise of each chapter: reference, other right ways, stub and known mistakes get their verdicts.

Reference and stub are taken from the chapter, the rest from ``cases_NN.py``, which holds for each exercise

    RIGHT = {"8.2": [answer, ...]}                                      at least two other right ways
    WRONG = {"8.2": [(answer, "a piece of the message"), ...]}          at least three mistakes
    REFUSED = {"8.2": {"as numpy": "a gradient is asked for"}}          VARIANTS that are no right answers
"""

import functools
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from global_state import global_state

from chapters import Chapter, chapter_paths, read, solved, stub
from gm_lib.exercises import check
from gm_lib.exercises.core import Exercise, all_exercises, grade
from gm_lib.runtime import forked_rng
from mutants import equivalent, judge

CHAPTERS = [chapter for chapter in map(read, chapter_paths()) if not chapter.path.name.startswith("A")]
DIFFICULTIES = {"●○○", "●●○", "●●●"}


def declared() -> dict[str, Exercise]:
    """The exercises that gm_lib declares, without those that other tests may have."""
    return {
        id: e
        for id, e in all_exercises().items()
        if e.checker.__module__.startswith("gm_lib.exercises.chapter_")
    }


@functools.cache
def cases(chapter: int) -> Any:
    path = Path(__file__).with_name(f"cases_{chapter:02d}.py")
    if not path.is_file():
        return SimpleNamespace(RIGHT={}, WRONG={}, REFUSED={})
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def imported(path: Path) -> dict[str, Any]:
    """The names that a notebook has after the cells tagged `imports`."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with forked_rng(), mpl.rc_context():
        exec(compile(read(path).imports(), f"<imports of {path.name}>", "exec"), names)
    return names


def run(chapter: Chapter, id: str, code: str) -> Any:
    """The answer that `check` is given when the exercise's cell holds `code`."""
    names = dict(imported(chapter.path))
    with forked_rng(0):
        exec(compile(code, f"<exercise {id}>", "exec"), names)
        return eval(chapter.answer(id), names)


def answers() -> Iterator[Any]:
    for chapter in CHAPTERS:
        module = cases(chapter.number)
        for id in chapter.exercises:
            yield pytest.param(chapter, id, "reference", None, "✓", id=f"{id}-reference")
            yield pytest.param(chapter, id, "stub", None, "· {id}: not attempted yet", id=f"{id}-stub")
            for i, answer in enumerate(module.RIGHT.get(id, [])):
                yield pytest.param(chapter, id, "right", answer, "✓", id=f"{id}-right{i}")
            for i, (answer, piece) in enumerate(module.WRONG.get(id, [])):
                yield pytest.param(chapter, id, "wrong", answer, piece, id=f"{id}-wrong{i}")


@pytest.mark.parametrize(("chapter", "id", "kind", "answer", "message"), list(answers()))
def test_every_answer_gets_its_verdict(chapter, id, kind, answer, message, capsys, monkeypatch):
    if kind == "reference":
        answer = run(chapter, id, solved(chapter.code(id)))
    elif kind == "stub":
        answer = run(chapter, id, stub(chapter.code(id)))
    capsys.readouterr()
    mark = {"stub": "·", "wrong": "✗"}.get(kind, "✓")
    monkeypatch.setenv("GM_STRICT", "1")

    def verdict() -> str:
        if mark == "✓":
            check(id, answer)
            return capsys.readouterr().out.strip().splitlines()[-1]
        with pytest.raises(AssertionError) as stopped:
            check(id, answer)
        return str(stopped.value)

    state = global_state()
    first = verdict()
    assert global_state() == state
    assert first.startswith(f"{mark} {id}: ")
    assert message.format(id=id) in first
    if kind in ("reference", "stub"):
        assert verdict() == first  # a check remembers nothing


def mapped(value: Any, change: Any) -> Any:
    """A value with ``change`` made to each floating-point tensor in it."""
    if isinstance(value, torch.Tensor):
        return change(value) if value.is_floating_point() else value
    if type(value) in (list, tuple):
        return type(value)(mapped(item, change) for item in value)
    return value


def require_gradient(x: torch.Tensor) -> torch.Tensor:
    return x if x.requires_grad else x.clone().requires_grad_()


def in_double(answer: Any) -> Any:
    """An answer that computes in double precision."""
    return lambda *given: answer(*mapped(given, torch.Tensor.double))


def as_numpy(answer: Any) -> Any:
    """An answer that returns NumPy's arrays."""
    return lambda *given: mapped(answer(*given), lambda x: x.detach().cpu().numpy())


def with_history(answer: Any) -> Any:
    """An answer whose results depend, for autograd, on all that it was given."""
    return lambda *given: answer(*mapped(given, require_gradient))


def without_history(answer: Any) -> Any:
    """An answer through which no gradient passes."""
    return torch.no_grad()(answer)


VARIANTS = {
    "in double": in_double,
    "as numpy": as_numpy,
    "with history": with_history,
    "without history": without_history,
}
NUMBERS = {"in numpy": np.float64, "a tensor": torch.tensor, "an array": np.array}


@pytest.mark.parametrize(
    ("chapter", "id"), [pytest.param(c, id, id=id) for c in CHAPTERS for id in c.exercises]
)
def test_a_right_answer_is_right_in_any_precision_as_an_array_and_with_or_without_gradients(chapter, id):
    refused = getattr(cases(chapter.number), "REFUSED", {}).get(id, {})
    right = [run(chapter, id, solved(chapter.code(id))), *cases(chapter.number).RIGHT.get(id, [])]
    for answer in right:
        if inspect.isfunction(answer):
            for name, variant in VARIANTS.items():
                verdict = grade(id, functools.wraps(answer)(variant(answer)))
                if "your code stopped with" in verdict.message:
                    continue  # the answer itself works only in float32, or with NumPy
                wanted = "wrong" if name in refused else "right"
                assert (name, verdict.outcome) == (name, wanted), verdict.message
        elif isinstance(answer, int | float) and not isinstance(answer, bool):
            for name, kind in NUMBERS.items():
                verdict = grade(id, kind(answer))
                assert (name, verdict.outcome) == (name, "right"), verdict.message


@pytest.mark.parametrize("id", [id for chapter in CHAPTERS for id in chapter.exercises])
def test_no_mechanical_mutant_of_a_solution_is_called_right(id):
    excused = set(equivalent().get(id, {}))
    survivors = {mutant.statement for mutant, verdict in judge(id) if verdict.startswith("✓")}
    assert survivors - excused == set()
    assert excused - survivors == set(), "these are listed as equivalent, and are rejected or not made"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.path.stem)
def test_every_exercise_is_complete(chapter):
    module = cases(chapter.number)
    least = 2 if chapter.label[-1].isalpha() else 5  # a chapter of several pages has them on all of these
    assert least <= len(chapter.exercises) <= 8
    for id, exercise in chapter.exercises.items():
        assert exercise.difficulty in DIFFICULTIES
        assert 1 <= exercise.minutes <= 30
        assert declared()[id].checker.__module__ == f"gm_lib.exercises.chapter_{chapter.number:02d}"
        assert 1 <= len(declared()[id].hints) <= 3
        assert len(module.RIGHT[id]) >= 2, f"{id}: give at least two other right ways"
        assert len(module.WRONG[id]) >= 3, f"{id}: give at least three mistakes"
        assert all(len(piece) >= 4 for _, piece in module.WRONG[id]), f"{id}: tell a mistake by more"


def test_every_check_belongs_to_an_exercise_of_a_chapter():
    in_chapters = {id for chapter in CHAPTERS for id in chapter.exercises}
    in_cases = {
        id for chapter in CHAPTERS for id in {**cases(chapter.number).RIGHT, **cases(chapter.number).WRONG}
    }
    assert set(declared()) == in_chapters
    assert in_cases == in_chapters
