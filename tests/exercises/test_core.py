"""Claims about checks and hints, made on small exercises declared here."""

import importlib
import io
import math
import random
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from global_state import global_state

from gm_lib.exercises import check, hint
from gm_lib.exercises import core as core_module
from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    all_exercises,
    call,
    describe,
    exercise,
    expect,
    expect_close,
    find,
    grade,
    is_close,
    number,
    tensor,
)

ID = "99.1"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Take back what a test declares."""
    yield
    core_module._EXERCISES.pop(ID, None)
    core_module._HINTS_GIVEN.clear()


def declare(checker: Callable[[Any], str | None], **options: Any) -> None:
    exercise(ID, "A toy", **{"hints": ("first", "second", "third"), **options})(checker)


def declare_double(**options: Any) -> None:
    """Declare the exercise of doubling the entries of a tensor."""

    def checker(answer: Any) -> str | None:
        x = torch.tensor([1.0, 2.0])
        y = tensor(call(answer, x), shape=(2,), name="the result")
        expect_close(y, 2 * x, name="the result", mistakes={"you squared it.": x**2})
        return "Twice as much."

    declare(checker, **options)


# What a student sees ------------------------------------------------------------------------------


def test_a_right_answer_gets_a_tick_and_the_praise(capsys):
    declare_double()
    check(ID, lambda x: x + x)
    assert capsys.readouterr().out == "✓ 99.1: correct. Twice as much.\n"


def test_a_known_mistake_gets_its_own_message(capsys):
    declare_double()
    check(ID, lambda x: x * x)
    assert capsys.readouterr().out == "✗ 99.1: you squared it.\n"


def test_an_unknown_mistake_is_told_what_was_expected_and_what_was_found(capsys):
    declare_double()
    check(ID, lambda x: torch.stack([2 * x[0], 7 * x[1]]))
    assert capsys.readouterr().out == "✗ 99.1: the result should be 4 at index [1], and is 14.\n"


def stub(x):
    raise NotImplementedError("Your turn.")


class StubInMethod:
    def __call__(self, x):
        raise NotImplementedError


def stub_behind_a_handler(x):
    try:
        return stub(x)
    except Exception as error:
        raise RuntimeError("something went wrong") from error


@pytest.mark.parametrize(
    "answer",
    [stub, StubInMethod(), stub_behind_a_handler, ..., (1, ...), [...], {"a": ...}, lambda x: ...],
    ids=["function", "method", "behind a handler", "value", "tuple", "list", "dict", "returned"],
)
def test_a_stub_is_not_attempted_and_not_wrong(answer, capsys):
    declare_double()
    check(ID, answer)
    assert capsys.readouterr().out == "· 99.1: not attempted yet\n"


def test_a_stub_called_by_the_check_itself_is_not_attempted():
    declare(lambda answer: answer(1))
    assert grade(ID, stub).outcome == "not attempted"


def test_a_stub_called_back_by_a_library_is_not_attempted():
    declare_double()
    assert grade(ID, lambda x: torch.vmap(stub)(x)).outcome == "not attempted"


def test_what_a_library_has_not_implemented_is_a_mistake_and_no_stub():
    declare_double()
    verdict = grade(ID, lambda x: torch.distributions.Categorical(x).rsample())
    assert verdict.outcome == "wrong"
    assert "NotImplementedError" in verdict.message


def test_an_exception_is_reported_with_the_students_line_and_the_arguments():
    declare_double()

    def answer(x):
        y = x + 1
        return y @ torch.ones(3, 4)  # the guilty line

    message = grade(ID, answer).message
    assert "RuntimeError" in message
    assert "`return y @ torch.ones(3, 4)  # the guilty line`" in message
    assert f"line {answer.__code__.co_firstlineno + 2}" in message
    assert "x = the tensor [1, 2]" in message


def test_an_exception_outside_of_call_still_names_the_students_line():
    declare(lambda answer: answer(0) and None)

    def answer(x):
        return 1 / x

    message = grade(ID, answer).message
    assert "ZeroDivisionError: division by zero" in message
    assert "`return 1 / x`" in message


def test_the_line_is_the_students_even_when_a_library_raises():
    declare_double()

    def answer(x):
        return torch.nn.functional.linear(x, torch.ones(5, 5))

    assert "`return torch.nn.functional.linear(x, torch.ones(5, 5))`" in grade(ID, answer).message


def test_the_line_is_the_students_even_when_pythons_own_machinery_raises():
    declare_double()
    verdict = grade(ID, lambda x: importlib.import_module("no_such_module"))
    assert 'importlib.import_module("no_such_module")' in verdict.message


def test_a_long_message_of_an_exception_is_cut_after_a_word():
    words = [f"word{i}" for i in range(100)]

    def message(text):
        def answer(x):
            raise ValueError(text)

        return grade(ID, answer).message

    declare_double()
    kept, cut, _ = message(" ".join(words)).partition(" …, in your line")
    assert cut
    kept = kept.removeprefix("your code stopped with ValueError: ").split()
    assert kept == words[: len(kept)]
    assert 150 < len(" ".join(kept)) <= 160
    assert f"ValueError: {'x' * 160}, in your line" in message("x" * 160 + ".")


def test_a_forgotten_return_is_suspected(capsys):
    declare_double()
    check(ID, lambda x: None)
    assert capsys.readouterr().out == "✗ 99.1: the result is None. Is a return missing?\n"


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __repr__

    @property
    def __name__(self):
        raise RuntimeError("no")


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no")


def raises_unprintable(x):
    raise UnprintableError


STRANGE = [
    None,
    "text",
    b"bytes",
    3.5,
    float("nan"),
    1j,
    10**400,
    True,
    [],
    {},
    [[1, 2], [3]],
    object(),
    Unprintable(),
    type,
    Unprintable,
    print,
    len,
    lambda: 1,
    lambda x, y: 1,
    lambda **options: 1,
    lambda x: None,
    lambda x: "text",
    lambda x: [["text"]],
    lambda x: Unprintable(),
    lambda x: torch.tensor([torch.nan, 1.0]),
    lambda x: x.to(torch.complex64),
    lambda x: torch.ones(0),
    lambda x: np.array(["a", None]),
    lambda x: exit(),
    lambda x: sys.exit("bye"),
    lambda x: answer_that_recurses(x),
    raises_unprintable,
    torch.nn.Linear(7, 7),
    torch.nn.Module(),
    torch.ones(2),
    torch.ones(2).int(),
]


def answer_that_recurses(x):
    return answer_that_recurses(x)


CHECKERS = {
    "call": lambda answer: expect(is_close(tensor(call(answer, torch.ones(2))), 5), "not five."),
    "number": lambda answer: expect(number(answer) == 12.5, "not 12.5."),
    "tensor": lambda answer: expect(is_close(tensor(answer), 12.5), "not 12.5."),
    "close": lambda answer: expect_close(answer, 12.5),
    "careless": lambda answer: expect(answer.shape[0] == answer(3).mean().item(), "no."),
}


@pytest.mark.parametrize("kind", CHECKERS)
def test_no_answer_however_strange_makes_a_check_raise(kind, capsys):
    declare(CHECKERS[kind])
    for answer in STRANGE:
        check(ID, answer)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("✓", "✗", "·"))]
    assert len(lines) == len(STRANGE)
    assert [line for line in lines if not re.match("✗ 99.1: .{8}", line)] == []


def test_an_answer_on_which_the_check_breaks_is_described():
    declare(CHECKERS["careless"])
    message = grade(ID, "a word").message
    assert "the text 'a word'" in message
    assert "AttributeError" in message


def test_what_an_answer_prints_is_seen(capsys):
    declare_double()
    check(ID, lambda x: print("looking at", x.tolist()) or 2 * x)
    assert "looking at [1.0, 2.0]" in capsys.readouterr().out


def test_a_terminal_without_the_marks_is_no_obstacle(monkeypatch):
    declare_double()
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    check(ID, lambda x: 2 * x)
    narrow.flush()
    assert narrow.buffer.getvalue().rstrip() == b"? 99.1: correct. Twice as much."


def test_interrupting_a_check_interrupts():
    def interrupted(x):
        raise KeyboardInterrupt

    declare_double()
    with pytest.raises(KeyboardInterrupt):
        check(ID, interrupted)


# Unknown exercises, hints, strictness -------------------------------------------------------------


def test_an_unknown_exercise_offers_the_nearest(capsys):
    declare_double()
    check("99.2", 1)
    hint("99.2")
    first, second = capsys.readouterr().out.splitlines()
    assert "did you mean '99.1'" in first
    assert "did you mean '99.1'" in second


def test_a_number_in_place_of_the_exercises_name_is_explained(capsys):
    declare_double()
    check(99.1, 1)
    assert '"99.1"' in capsys.readouterr().out


def test_a_forgotten_answer_is_asked_for(capsys):
    declare_double()
    check(ID)
    assert "the answer is missing" in capsys.readouterr().out


def test_checks_that_cannot_be_imported_lead_to_the_install_cell(monkeypatch, capsys):
    def broken(chapter: int) -> None:
        raise ImportError("cannot import name 'gumbel'")

    monkeypatch.setattr(core_module, "_load", broken)
    check("98.1", 1)
    hint("98.1")
    out = capsys.readouterr().out
    assert out.count("cannot import name 'gumbel'") == 2
    assert out.count("install cell") == 2


def test_hints_come_one_by_one_say_how_many_remain_and_the_last_is_repeated(capsys):
    declare_double()
    for _ in range(4):
        hint(ID)
    out = capsys.readouterr().out
    assert [
        out.count(f"{n} for 99.1: {text}") for n, text in [("1 of 3", "first"), ("2 of 3", "second")]
    ] == [1, 1]
    assert out.count("3 of 3 for 99.1: third") == 2
    assert [out.count(text) for text in ("2 more", "1 more", "the last one")] == [1, 1, 2]


def test_strict_raises_the_same_sentence_for_every_answer_that_is_not_right(monkeypatch, capsys):
    declare_double()
    monkeypatch.setenv("GM_STRICT", "1")
    check(ID, lambda x: 2 * x)
    assert capsys.readouterr().out.startswith("✓")
    for id, answer in [(ID, lambda x: x * x), (ID, stub), (ID, None), ("99.2", 1)]:
        monkeypatch.setenv("GM_STRICT", "0")
        check(id, answer)
        printed = capsys.readouterr().out.strip()
        monkeypatch.setenv("GM_STRICT", "1")
        with pytest.raises(AssertionError) as raised:
            check(id, answer)
        assert str(raised.value) == printed
    with pytest.raises(AssertionError, match="did you mean"):
        hint("99.2")


# Time and state -----------------------------------------------------------------------------------


def loop_that_swallows_an_interruption(x):
    try:
        while True:
            x = x + 1
    except:  # noqa: E722 (what students write)
        while True:
            x = x - 1


def test_an_endless_loop_is_given_up_even_when_it_swallows_an_exception():
    declare_double(seconds=0.2)
    verdict = grade(ID, loop_that_swallows_an_interruption)
    assert verdict.outcome == "wrong"
    assert "stopped after 0.2 seconds" in verdict.message


def test_an_endless_loop_outside_the_main_thread_is_given_up_and_ends():
    declare_double(seconds=0.2)
    before = threading.active_count()
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(grade(ID, lambda x: [0 for _ in iter(int, 1)])))
    thread.start()
    thread.join(20)
    assert "stopped after" in verdicts[0].message
    assert threading.active_count() == before


def test_outside_the_main_thread_answers_are_judged_as_in_it():
    declare_double()
    verdicts = []
    for answer in (lambda x: 2 * x, lambda x: x * x, stub, lambda x: 1 / 0):
        thread = threading.Thread(target=lambda a=answer: verdicts.append(grade(ID, a)))
        thread.start()
        thread.join()
        assert str(verdicts[-1]) == str(grade(ID, answer))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms on this platform")
def test_an_alarm_that_was_set_before_goes_on_afterwards():
    declare_double()
    rang = []
    old_handler = signal.signal(signal.SIGALRM, lambda *_: rang.append(True))
    old_timer = signal.setitimer(signal.ITIMER_REAL, 50)
    try:
        check(ID, lambda x: 2 * x)
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left <= 50
        check(ID, lambda x: time.sleep(0.05) or 2 * x)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= left - 0.05
        signal.raise_signal(signal.SIGALRM)
        assert rang
    finally:
        signal.setitimer(signal.ITIMER_REAL, *old_timer)
        signal.signal(signal.SIGALRM, old_handler)


def upset(x):
    random.random()
    np.random.rand()  # noqa: NPY002
    torch.manual_seed(3)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(torch.get_num_threads() + 1)
    return 2 * x


def upset_and_crash(x):
    upset(x)
    raise ValueError


def upset_and_hang(x):
    upset(x)
    while True:
        pass


@pytest.mark.parametrize("answer", [upset, upset_and_crash, upset_and_hang])
def test_a_check_leaves_the_global_state_as_it_was(answer):
    declare_double(seconds=0.2)
    before = global_state()
    check(ID, answer)
    assert global_state() == before


def test_a_check_sees_the_same_world_whatever_the_notebook_did():
    seen = []

    def checker(answer: Any) -> None:
        x = torch.ones(1, requires_grad=True)
        seen.append((random.random(), np.random.rand(), torch.rand(3).tolist(), (2 * x).requires_grad))  # noqa: NPY002

    declare(checker)
    check(ID, 1)
    with torch.no_grad():
        torch.manual_seed(17)
        torch.set_default_dtype(torch.float64)
        try:
            check(ID, 1)
        finally:
            torch.set_default_dtype(torch.float32)
    assert seen[0] == seen[1]
    assert seen[0][-1]


# Helpers and declarations -------------------------------------------------------------------------


def test_call_refuses_an_argument_changed_in_place():
    with pytest.raises(Wrong, match="argument x in place"):
        call(lambda x: x.add_(1), torch.ones(2))


def test_call_shows_the_arguments_that_the_function_should_take():
    def answer(mu):
        return mu

    with pytest.raises(Wrong, match=r"answer\(mu\) cannot be called with \(the number 1, the number 2\)"):
        call(answer, 1, 2)


def test_call_takes_functions_that_do_not_tell_their_arguments():
    assert call(max, 3, 4) == 4


def test_call_keeps_gradients():
    x = torch.ones(2, requires_grad=True)
    assert torch.autograd.grad(call(lambda x: (x**2).sum(), x), x)[0].tolist() == [2, 2]


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.array([2]), torch.tensor(2), torch.ones(1, 1) * 2]
)
def test_every_form_of_a_number_is_one(value):
    assert number(value) == 2.0


@pytest.mark.parametrize(
    "value", [True, "2", None, 2j, [2], torch.ones(2), float("nan"), torch.tensor(torch.inf)]
)
def test_what_is_no_finite_number_is_refused_by_name(value):
    with pytest.raises(Wrong, match=r"^the slope"):
        number(value, "the slope")


def test_an_infinite_number_is_one_where_it_may_be():
    for value in (math.inf, np.float32("inf"), np.array([np.inf]), torch.tensor(torch.inf)):
        assert number(value, finite=False) == math.inf


@pytest.mark.parametrize(
    "value", [np.float32(2), np.int64(2), np.array([2.0]), (np.array(2), [np.float64(2)])]
)
def test_call_makes_tensors_of_what_numpy_made(value):
    found = call(lambda: value)
    assert not isinstance(found, np.ndarray | np.number)
    parts = torch.utils._pytree.tree_leaves(found)
    assert all(isinstance(part, torch.Tensor) and part.item() == 2 for part in parts)


def test_call_leaves_arrays_of_texts_alone():
    assert call(lambda: np.array(["a"])).tolist() == ["a"]


@pytest.mark.parametrize("value", [[[1, 2]], ((1, 2),), np.array([[1.0, 2.0]]), torch.tensor([[1, 2]])])
def test_every_form_of_a_tensor_is_one(value):
    assert tensor(value, shape=(1, 2)).tolist() == [[1, 2]]


def test_a_blank_value_inside_a_helper_is_not_attempted():
    for helper in (number, tensor):
        with pytest.raises(NotAttempted):
            helper(...)


def test_the_wrong_shape_is_told_with_the_right_one():
    with pytest.raises(Wrong, match=r"shape \(3,\), and has shape \(1, 3\)"):
        tensor(torch.ones(1, 3), shape=(3,))
    with pytest.raises(Wrong, match=r"shape \(3,\), and has shape \(1, 3\)"):
        expect_close(torch.ones(1, 3), torch.ones(3))


def test_nothing_is_close_to_nan():
    assert not is_close(float("nan"), float("nan"))
    with pytest.raises(Wrong, match="is nan"):
        expect_close(torch.tensor([1.0, torch.nan]), torch.ones(2))


def test_numbers_that_differ_are_printed_until_they_differ():
    with pytest.raises(Wrong, match=r"should be 1\.249, and is 1\.2493\."):
        expect_close(1.24934, 1.24901)


def test_the_entry_that_is_told_is_a_wrong_one():
    with pytest.raises(Wrong, match=r"should be 2 at index \[1\], and is 2\.5\."):
        expect_close(torch.tensor([1e7 + 10, 2.5]), torch.tensor([1e7, 2.0]))


def test_descriptions_are_short_whatever_is_described():
    assert describe(None) == "None"
    assert describe(torch.ones(3, 2)) == "a tensor of shape (3, 2)"
    assert describe(np.array(0.5)) == "the array 0.5"
    assert describe(stub) == "the function stub"
    assert describe(StubInMethod) == "the class StubInMethod"
    assert all(len(describe(value)) < 100 for value in [*STRANGE, "x" * 10_000, list(range(10_000))])


@pytest.mark.parametrize(
    "fault",
    [
        {"id": "8"},
        {"id": "8.0"},
        {"id": "eight.one"},
        {"title": " "},
        {"hints": ()},
        {"hints": ("a", "b", "c", "d")},
        {"hints": "a"},
        {"hints": ("a", "")},
    ],
    ids=str,
)
def test_a_malformed_declaration_is_refused(fault):
    with pytest.raises(ValueError, match="exercise"):
        exercise(**{"id": ID, "title": "A toy", "hints": ("a",), **fault})


def test_an_id_belongs_to_one_module():
    declare_double()

    def elsewhere(answer: Any) -> None: ...

    elsewhere.__module__ = "gm_lib.exercises.chapter_98"
    with pytest.raises(ValueError, match="already declared in"):
        declare(elsewhere)
    declare_double()  # run again in a notebook: allowed
    assert find(ID).title == "A toy"


def test_checks_and_hints_need_no_network(monkeypatch, capsys):
    def refuse(*_: Any) -> None:
        raise OSError("there is no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for id in all_exercises():
        check(id, ...)
        check(id, None)
        hint(id)
    assert "there is no network" not in capsys.readouterr().out
