"""What stands behind ``check("8.1", answer)`` and ``hint("8.1")``: how an exercise is declared and judged.

Adding an exercise takes three places. The task and its solution go into the chapter (CONTRIBUTING shows how).
The check goes into ``gm_lib/exercises/chapter_08.py``: a function that receives the student's answer, returns
when it is right (a string it returns is printed as praise) and raises ``Wrong`` when it is not::

    import torch

    from gm_lib.exercises.core import call, exercise, expect_close, tensor


    @exercise(
        "8.2",
        "Draws that a gradient passes through",
        hints=(
            "Which of the three arguments is random?",
            "exp(log_var) is a variance. What does the noise have to be multiplied by?",
            "mu + sqrt(exp(log_var)) * eps, and sqrt(exp(a)) = exp(a / 2).",
        ),
    )
    def _(answer):
        mu, log_var, eps = torch.zeros(4, 2), torch.full((4, 2), 2.0), torch.randn(4, 2)
        draws = tensor(call(answer, mu, log_var, eps), shape=(4, 2), name="the result")
        too_wide = "exp(log_var) is the variance; scale the noise by its square root."
        expect_close(
            draws,
            mu + (0.5 * log_var).exp() * eps,
            name="the result",
            mistakes={too_wide: mu + log_var.exp() * eps},
        )
        return "A gradient now reaches both mu and log_var."

Other right ways of writing it, at least two, and wrong answers, at least three, each with a piece of the
message that it must get, go into ``tests/exercises/cases_08.py``; one test runs them all::

    RIGHT = {"8.2": [with_sqrt, with_distributions]}
    WRONG = {"8.2": [(variance_as_scale, "square root"), (without_mean, "mu"), (draws_anew, "eps")]}

A check may be written for an answer of the right kind. ``call``, ``number`` and ``tensor`` turn a wrong kind
into a sentence, and whatever else happens is caught here: a stub that still raises ``NotImplementedError``
or is still ``...`` counts as not attempted; an exception in the student's code is reported with the line it
came from; an answer on which the check itself breaks is described; one that takes too long is given up on.
A check always sees the same random numbers, gradients enabled and float32 as the default dtype; afterwards
all of these are what they were before.

``check`` never raises in a student's notebook. Under ``GM_STRICT=1``, with which the book is built, an answer
that is not right raises ``AssertionError`` with the line that would have been printed.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gm_lib.exercises.answers import (
    NotAttempted,
    Snapshot,
    Wrong,
    call,
    choice,
    choices,
    describe,
    expect,
    expect_close,
    expect_function,
    in_words,
    is_close,
    number,
    tensor,
)
from gm_lib.exercises.blame import is_stub_error, student_line, summary
from gm_lib.exercises.limits import OutOfTime, undisturbed, within
from gm_lib.runtime import strict
from gm_lib.system.choose import choose

__all__ = [
    "Exercise",
    "NotAttempted",
    "Snapshot",
    "Verdict",
    "Wrong",
    "all_exercises",
    "call",
    "check",
    "choice",
    "choices",
    "describe",
    "exercise",
    "expect",
    "expect_close",
    "expect_function",
    "find",
    "grade",
    "hint",
    "is_close",
    "number",
    "predicted",
    "tensor",
]

Checker = Callable[[Any], str | None]

_MARKS = {"right": "✓", "wrong": "✗", "not attempted": "·"}


@dataclass(frozen=True)
class Exercise:
    """One exercise: number, title, one to three hints, the check and its time limit in seconds."""

    id: str
    title: str
    hints: tuple[str, ...]
    seconds: float
    checker: Checker


@dataclass(frozen=True)
class Verdict:
    """What a check found: the outcome, one or two sentences about it, and the exception behind it if any."""

    id: str
    outcome: Literal["right", "wrong", "not attempted"]
    message: str
    error: BaseException | None = None

    def __str__(self) -> str:
        """Return the line that ``check`` prints."""
        return f"{_MARKS[self.outcome]} {self.id}: {self.message}"


_EXERCISES: dict[str, Exercise] = {}
_HINTS_GIVEN: dict[str, int] = {}
_PREDICTIONS: dict[str, list[Any]] = {}  # what was predicted for an exercise, the first first
_MISSING = object()


def exercise(
    id: str, title: str, *, hints: Sequence[str], seconds: float = 5.0
) -> Callable[[Checker], Checker]:
    """Declare the decorated function as the check of exercise ``id``, which reads "chapter.number".

    ``hints`` are one to three, each giving away more than the one before. After ``seconds`` of computing the
    check gives up; it should need a small fraction of them.

    Raises ``ValueError`` when a part is missing or malformed, or when another module has declared this id.
    """
    if not re.fullmatch(r"(0|[1-9]\d?)\.[1-9]\d?", id):
        raise ValueError(f"exercise id {id!r} should be chapter.number, for example '8.2'.")
    if isinstance(hints, str) or not 1 <= len(hints) <= 3 or not all(text.strip() for text in hints):
        raise ValueError(f"exercise {id} needs a sequence of one to three hints, none of them empty.")
    if not title.strip():
        raise ValueError(f"exercise {id} needs a title.")

    def declare(checker: Checker) -> Checker:
        known = _EXERCISES.get(id)
        if known is not None and known.checker.__module__ != checker.__module__:
            raise ValueError(f"exercise {id} is already declared in {known.checker.__module__}.")
        _EXERCISES[id] = Exercise(id, title, tuple(hints), seconds, checker)
        return checker

    return declare


def find(id: str) -> Exercise:
    """Return the exercise called ``id``, importing its chapter's checks when they are needed.

    Raises ``ValueError`` for an id that is not known, offering the nearest ones.
    """
    if not isinstance(id, str):
        raise ValueError(f'the number of an exercise is a text: put it between quotation marks, "{id}".')
    if id not in _EXERCISES and (number := re.match(r"\d{1,2}(?=\.)", id)):
        _load(int(number[0]))
    if id in _EXERCISES:
        return _EXERCISES[id]
    chapter = f"{id.split('.')[0]}."
    same_chapter = {known: found for known, found in _EXERCISES.items() if known.startswith(chapter)}
    return choose("exercise", id, same_chapter or all_exercises())


def all_exercises() -> dict[str, Exercise]:
    """Return every exercise of every chapter by its id, in the order of their numbers (8.2 before 8.10)."""
    for chapter in _chapters():
        _load(chapter)
    return dict(sorted(_EXERCISES.items(), key=lambda item: tuple(map(int, item[0].split(".")))))


def _chapters() -> list[int]:
    names = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(int(name.removeprefix("chapter_")) for name in names if name.startswith("chapter_"))


def _load(chapter: int) -> None:
    if chapter in _chapters():
        importlib.import_module(f"gm_lib.exercises.chapter_{chapter:02d}")


def check(id: str, answer: Any = _MISSING) -> None:
    """Judge ``answer`` and print one line: ✓ it is right, ✗ what is wrong with it, · not attempted yet.

    Never raises, except under ``GM_STRICT=1``: anything but ✓ raises ``AssertionError`` with that line.
    """
    try:
        if answer is _MISSING:
            raise ValueError("the answer is missing: put it after the number, check(…, your_answer).")
        verdict = grade(id, answer)
    except Exception as error:
        verdict = Verdict(str(id), "wrong", _cannot_check(error), error)
    if verdict.outcome != "right" and strict():
        raise AssertionError(str(verdict)) from verdict.error
    _print(str(verdict))


def hint(id: str) -> None:
    """Print the next hint for exercise ``id`` and how many remain; when none does, the last one again."""
    try:
        hints = find(id).hints
    except Exception as error:
        if strict():
            raise AssertionError(_cannot_check(error)) from error
        _print(_cannot_check(error))
        return
    given = min(_HINTS_GIVEN.get(id, 0) + 1, len(hints))
    _HINTS_GIVEN[id] = given
    left = len(hints) - given
    _print(f"Hint {given} of {len(hints)} for {id}: {hints[given - 1]}")
    _print(f'({left} more: hint("{id}") again)' if left else "(That was the last one.)")


def grade(id: str, answer: Any) -> Verdict:
    """Judge ``answer`` without printing. Raises ``ValueError`` for an id that is not known."""
    exercise = find(id)
    if _is_blank(answer):
        return _not_attempted(id)
    try:
        with undisturbed(seed=zlib.crc32(id.encode())):
            praise = within(exercise.seconds, lambda: exercise.checker(answer))
    except OutOfTime as error:
        advice = "Is there a loop that never ends, or far more work than needed?"
        if error.ended:
            return Verdict(id, "wrong", f"stopped after {error.seconds:g} seconds. {advice}")
        advice += " It could not be stopped and goes on in the background: restart the kernel."
        return Verdict(id, "wrong", f"given up after {error.seconds:g} seconds. {advice}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: an answer that calls exit() must not end the kernel
        return _verdict_on(error, exercise, answer)
    message = f"correct. {praise}" if isinstance(praise, str) and praise else "correct."
    before = len(_PREDICTIONS.get(id, ())) - 1
    if before > 0:
        message += f" (Your first prediction was {in_words(_PREDICTIONS[id][0])}.)"
    return Verdict(id, "right", message)


def predicted(id: str, answer: Any, read: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Record a prediction, then run the experiment it is about; return the prediction and the outcome.

    ``answer`` is the pair (prediction, experiment): the experiment is a function without arguments, given in
    the chapter. ``read`` turns the prediction into what the check compares, and refuses what is none, before
    anything runs. A later prediction does not replace the first, which the verdict on a right one recalls.
    """
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not callable(answer[1]):
        raise Wrong(
            f'check("{id}", (prediction, experiment)) wants both in this order, the experiment as a '
            "function, without calling it."
        )
    prediction, experiment = answer
    expect(prediction is not None, "your prediction is None. Write one down; then the experiment runs.")
    prediction = read(prediction)
    recorded = _PREDICTIONS.setdefault(id, [])
    if not recorded or recorded[-1] != prediction:
        recorded.append(prediction)
    print(f"Recorded: {in_words(prediction)}. Now the experiment runs.")
    return prediction, call(experiment)


def _verdict_on(error: BaseException, exercise: Exercise, answer: Any) -> Verdict:
    """Tell what an exception from a check means: a stub, a known mistake, a crash, or a strange answer."""
    check_code = getattr(exercise.checker, "__code__", None)
    if isinstance(error, NotAttempted) and str(error):
        return _not_attempted(exercise.id, error, f": {error}")
    if isinstance(error, NotAttempted) or is_stub_error(error, check_code):
        return _not_attempted(exercise.id, error)
    if isinstance(error, Wrong):
        message = str(error)
    elif place := student_line(error, check_code):
        message = f"your code stopped with {summary(error)}{place}."
    else:
        message = (
            f"the check can make nothing of your answer, {describe(answer)} ({summary(error)}). "
            "Compare it with what the task asks for."
        )
    return Verdict(exercise.id, "wrong", message, error)


def _not_attempted(id: str, error: BaseException | None = None, how_one_knows: str = "") -> Verdict:
    return Verdict(id, "not attempted", f"not attempted yet{how_one_knows}", error)


def _is_blank(answer: Any) -> bool:
    """Tell whether an answer, or a part of one that has several, is still ``...``."""
    parts = tuple(answer.values()) if isinstance(answer, dict) else answer
    return answer is ... or (isinstance(parts, tuple | list) and any(part is ... for part in parts))


def _cannot_check(error: Exception) -> str:
    if isinstance(error, ValueError):  # our own sentence, about an unknown exercise
        return str(error)
    return (
        f"the check could not be loaded ({summary(error)}). gm_lib may be older than this notebook: "
        "run the install cell at its top and restart the kernel."
    )


def _print(text: str) -> None:
    try:
        print(text)
    except UnicodeEncodeError:  # a terminal that lacks these marks
        encoding = sys.stdout.encoding or "ascii"
        print(text.encode(encoding, "replace").decode(encoding))
