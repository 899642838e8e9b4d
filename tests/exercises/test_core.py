"""Claims about checks and hints, made on small exercises declared here."""

import contextlib
import importlib
import io
import math
import os
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
    Snapshot,
    Wrong,
    all_exercises,
    call,
    choice,
    choices,
    describe,
    exercise,
    expect,
    expect_close,
    expect_function,
    find,
    grade,
    is_close,
    number,
    predicted,
    tensor,
)

ID = "99.1"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Take back what a test declares."""
    yield
    core_module._EXERCISES.pop(ID, None)
    core_module._HINTS_GIVEN.clear()
    core_module._PREDICTIONS.pop(ID, None)


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


def test_an_exception_that_is_its_own_cause_is_reported():
    def answer(x):
        try:
            return x.no_such_thing
        except AttributeError as error:
            raise error from error

    declare_double()
    assert "AttributeError" in grade(ID, answer).message


def test_what_a_library_has_not_implemented_is_a_mistake_and_no_stub():
    declare_double()
    verdict = grade(ID, lambda x: torch.distributions.Categorical(x).rsample())
    assert verdict.outcome == "wrong"
    assert "NotImplementedError" in verdict.message


def test_what_compiled_code_has_not_implemented_is_a_mistake_and_no_stub():
    declare_double()
    verdict = grade(ID, lambda x: x.to(torch.complex64).clamp_min(0))
    assert verdict.outcome == "wrong"
    assert "not supported for complex" in verdict.message


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
    thread = threading.Thread(target=lambda: verdicts.append(grade(ID, endless)))
    thread.start()
    thread.join(20)
    assert "stopped after" in verdicts[0].message
    assert threading.active_count() == before


def endless(x):
    while True:
        pass


def loop_that_swallows_everything(stop):
    def answer(x):
        while not stop.is_set():
            with contextlib.suppress(BaseException):
                while not stop.is_set():
                    time.sleep(0.001)
        return x

    return answer


def test_what_cannot_be_stopped_is_left_behind_in_time_and_said_to_go_on():
    stop = threading.Event()
    declare_double(seconds=0.2)
    began = time.monotonic()
    verdict = grade(ID, loop_that_swallows_everything(stop))
    assert time.monotonic() - began < 10
    stop.set()
    assert verdict.outcome == "wrong"
    assert "given up after 1.2 seconds" in verdict.message  # it computed nothing
    assert "restart the kernel" in verdict.message


def test_the_time_that_imports_take_is_not_counted():
    def answer(x):
        for i in range(4):
            time.sleep(0.15)
            sys.modules[f"gm_lib_test_{i}"] = sys
        return 2 * x

    declare_double(seconds=0.4)
    try:
        assert grade(ID, answer).outcome == "right"
    finally:
        for i in range(4):
            sys.modules.pop(f"gm_lib_test_{i}", None)
    assert "stopped after" in grade(ID, lambda x: [time.sleep(0.01) for _ in range(1000)]).message


def test_waiting_for_a_busy_machine_is_not_counted_but_does_not_go_on_for_ever():
    declare_double(seconds=0.2)
    assert grade(ID, lambda x: time.sleep(0.5) or 2 * x).outcome == "right"
    assert "stopped after 1.2 seconds" in grade(ID, lambda x: [time.sleep(0.01) for _ in range(9999)]).message


def test_the_stop_button_ends_the_answer_too():
    before = threading.active_count()
    declare_double(seconds=60)
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        check(ID, endless)
    for _ in range(200):
        if threading.active_count() <= before:
            break
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_outside_the_main_thread_answers_are_judged_as_in_it():
    declare_double()
    verdicts = []
    for answer in (lambda x: 2 * x, lambda x: x * x, stub, lambda x: 1 / 0):
        thread = threading.Thread(target=lambda a=answer: verdicts.append(grade(ID, a)))
        thread.start()
        thread.join()
        assert str(verdicts[-1]) == str(grade(ID, answer))


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


def through_data(x):
    x.data += 1
    return x


def through_a_view(x):
    x.view(-1)[0] = 5
    return x


def through_numpy(x):
    x.detach().numpy()[:] = 0
    return x


@pytest.mark.parametrize("answer", [through_data, through_a_view, through_numpy])
def test_call_refuses_an_argument_changed_behind_autograds_back(answer):
    for x in (torch.ones(2), torch.nn.Parameter(torch.ones(2))):
        with torch.no_grad(), pytest.raises(Wrong, match="argument x in place"):
            call(answer, x)
    with pytest.raises(Wrong, match="argument x in place"):
        call(lambda x: x["a"].add_(1), {"a": torch.ones(2)})
    with pytest.raises(Wrong, match="argument x in place"):
        call(lambda x: x.pop(), [1, 2])
    with pytest.raises(Wrong, match="argument x in place"):
        call(lambda x: x.sort(), np.array([2.0, 1.0]))


def test_call_takes_an_argument_with_nan_that_stays_as_it_is():
    assert call(lambda x: x[1], torch.tensor([torch.nan, 2.0])) == 2


def test_call_refuses_a_gradient_left_behind_or_wiped_where_one_is_the_callers():
    def leaves(x):
        (x**2).sum().backward()
        return 1

    def wipes(x):
        x.grad = None
        return 1

    for planted in (None, torch.ones(2)):
        x = torch.ones(2, requires_grad=True)
        x.grad = planted
        with pytest.raises(Wrong, match=r"x\.grad"):
            call(leaves, x)
    x = torch.ones(2, requires_grad=True)
    x.grad = torch.ones(2)
    with pytest.raises(Wrong, match=r"x\.grad"):
        call(wipes, x)
    assert call(lambda x: leaves(x.requires_grad_()), torch.ones(2)) == 1  # nobody's gradient but its own


def test_call_refuses_an_answer_that_leaves_a_mode_changed():
    def switches_off(x):
        torch.set_grad_enabled(False)
        return x

    def doubles(x):
        torch.set_default_dtype(torch.float64)
        return x

    try:
        with pytest.raises(Wrong, match="gradient mode"):
            call(switches_off, 1)
        torch.set_grad_enabled(True)
        with pytest.raises(Wrong, match="default dtype"):
            call(doubles, 1)
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)


class Liar(torch.Tensor):
    """A tensor that says of itself that it is five."""

    def item(self):
        return 5.0

    def isnan(self):
        return torch.zeros(self.shape, dtype=torch.bool)

    def allclose(self, *_, **__):
        return True


def test_a_tensor_that_lies_is_read_as_a_plain_one():
    lie = torch.tensor(3.0).as_subclass(Liar)
    assert number(lie) == 3.0
    assert type(call(lambda: lie)) is torch.Tensor
    assert type(call(lambda: (lie, 1))[0]) is torch.Tensor
    assert not is_close(lie, 5.0)
    with pytest.raises(Wrong, match="NaN"):
        tensor(torch.tensor([torch.nan]).as_subclass(Liar))


def test_a_snapshot_tells_what_became_of_a_network():
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    x = torch.randn(5, 2)
    before = Snapshot(network)
    assert before.changed() == set()
    network(x)
    assert before.changed() == {"buffers"}
    network.eval()
    assert before.changed() == {"buffers", "modes"}
    network(x).sum().backward()
    assert before.changed() == {"buffers", "modes", "gradients"}
    planted = Snapshot(network, plant=True)
    assert planted.changed() == set()
    assert all((w.grad == 1).all() for w in network.parameters())
    network.zero_grad()
    assert planted.changed() == {"gradients"}
    with torch.no_grad():
        network[0].weight.data[0, 0] += 1
    assert planted.changed() == {"gradients", "weights"}


TWICE: dict[str, Any] = {
    "right": lambda x, k: k * x,
    "cases": [{"x": torch.tensor([2.0, 3.0]), "k": 2}, {"x": torch.tensor([[1.0], [4.0]]), "k": 3}],
    "mistakes": {"you took the power.": lambda x, k: x**k, "you doubled.": lambda x, k: 2 * x},
}


def test_a_function_is_judged_by_all_its_values():
    expect_function(lambda x, k: torch.stack([x] * k).sum(0), **TWICE)
    expect_function(lambda x, k: (k * x).tolist(), **TWICE)
    with pytest.raises(Wrong, match=r"^you took the power\.$"):
        expect_function(lambda x, k: x.pow(k), **TWICE)
    with pytest.raises(Wrong, match=r"^the result should be 3 at index \[0, 0\], and is 2, for x = .*k = "):
        expect_function(lambda x, k: torch.where(x > 1.5, k * x, 2 * x), **TWICE)


def test_a_mistake_that_explains_one_value_alone_is_told_as_a_guess():
    with pytest.raises(Wrong, match=r"^perhaps: you took the power\.$"):
        expect_function(lambda x, k: x**2, **TWICE)
    with pytest.raises(Wrong, match=r"^perhaps: squared\.$"):
        expect_close(4.0, 3.0, mistakes={"squared.": 4.0})
    with pytest.raises(Wrong, match=r"^squared\.$"):
        expect_close([4.0, 1.0], [3.0, 1.0], mistakes={"squared.": [4.0, 1.0]})


def test_the_function_with_the_bug_that_was_to_be_found_is_not_attempted():
    with pytest.raises(NotAttempted, match="still does"):
        expect_function(lambda x, k: x / k, unchanged=lambda x, k: x / k, **TWICE)
    declare(lambda answer: expect_function(answer, unchanged=lambda x, k: x / k, **TWICE))
    verdict = grade(ID, lambda x, k: x / k)
    assert str(verdict) == "· 99.1: not attempted yet: it still does what it did"


def test_nan_is_explained_by_a_mistake_that_leads_to_it_and_refused_otherwise():
    judged: dict[str, Any] = {
        "right": lambda x: x.logsumexp(0),
        "cases": [{"x": torch.tensor([0.0, 1.0])}, {"x": torch.tensor([500.0, 0.0])}],
        "mistakes": {"exp overflows.": lambda x: x.exp().sum(0).log()},
    }
    expect_function(lambda x: torch.logsumexp(x, 0), **judged)
    with pytest.raises(Wrong, match=r"^exp overflows"):
        expect_function(lambda x: torch.log(torch.sum(torch.exp(x))), **judged)
    with pytest.raises(Wrong, match="contains NaN"):
        expect_function(lambda x: x.logsumexp(0) * torch.nan, **judged)


def test_a_function_under_judgement_cannot_spoil_the_cases():
    def answer(x):
        seen.append(x)
        return 2 * x

    seen: list[Any] = []
    x = torch.ones(2)
    expect_function(answer, lambda x: 2 * x, [{"x": x}])
    assert seen[0] is not x


@pytest.mark.parametrize("value", ["falls", "Falls", " falls ", ["falls"], {"falls"}])
def test_a_choice_is_taken_however_it_is_written(value):
    assert choice(value, ("falls", "grows")) == "falls"


@pytest.mark.parametrize("value", ["fall", 3, ["falls", "grows"], None])
def test_what_is_no_choice_is_refused_with_the_names(value):
    with pytest.raises(Wrong, match=r"falls|None"):
        choice(value, ("falls", "grows"))


def test_choices_are_taken_by_key_or_in_their_order():
    wanted = {"first": "a tree", "second": "b"}
    for answer in (wanted, ["tree", "b"], {"FIRST": "A Tree", "second": "b"}):
        assert choices(answer, ("first", "second"), ("a tree", "b")) == wanted
    for answer, message in (
        ({"first": "b"}, '"second" is missing'),
        ({"third": "b"}, "no key 'third'"),
        (3, "dict"),
    ):
        with pytest.raises(Wrong, match=message):
            choices(answer, ("first", "second"), ("a tree", "b"))


def declare_prediction() -> list[str]:
    """Declare the exercise of predicting an experiment that says when it runs; return where it says so."""
    said: list[str] = []

    def checker(answer: Any) -> str:
        prediction, outcome = predicted(ID, answer, lambda value: number(value, "your prediction"))
        expect_close(prediction, outcome, name="your prediction")
        return "So it is."

    declare(checker)
    return said


def test_a_prediction_is_recorded_before_the_experiment_runs(capsys):
    said = declare_prediction()

    def experiment():
        said.append(capsys.readouterr().out)
        return 0.5

    check(ID, (..., experiment))
    check(ID, ("much", experiment))
    assert said == []
    capsys.readouterr()
    check(ID, (0.4, experiment))
    assert "Recorded: the number 0.4" in said[0]
    assert "should be 0.5, and is 0.4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        (0.4, "the number 0.4"),
        (12_345_678, "the number 12345678"),
        (2 / 3, "the number 0.6667"),
        ("falls", "falls"),
        (("more", "fewer"), "more, fewer"),
        ([1, 0.25, -1e-9], "the numbers 1, 0.25, -1e-09"),
        (
            {"noise": "about the same", "copies": "far more"},
            'about the same for "noise", far more for "copies"',
        ),
        ({"none": 1.0, "one": 2 / 3}, '1 for "none", 0.6667 for "one"'),
        ({f"{'a long name ' * 4}{i}": "grows" for i in range(5)}, 'grows for "a long name '),
        ((), "nothing"),
        (None, "None"),
        (True, "True"),
        (torch.ones(3, 2), "a tensor of shape (3, 2)"),
    ],
)
def test_a_prediction_is_repeated_in_plain_words(prediction, words, capsys):
    predicted(ID, ("as it was given", dict), lambda given: prediction)
    said = capsys.readouterr().out
    assert said.startswith(f"Recorded: {words}")
    assert said.endswith(". Now the experiment runs.\n")
    assert not re.search(r"\b(tuple|list|dict|text)\b|[({\[]'", said)


def test_a_verdict_recalls_the_first_prediction_in_plain_words(capsys):
    def checker(answer: Any) -> str:
        prediction, outcome = predicted(
            ID, answer, lambda given: choices(given, ("a", "b"), ("more", "less"))
        )
        expect(prediction == outcome, "no.")
        return "So it is."

    declare(checker)
    for guess in ("more", "less"):
        check(ID, ((guess, "less"), lambda: {"a": "less", "b": "less"}))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith('(Your first prediction was more for "a", less for "b".)')


@pytest.mark.parametrize("answer", [0.5, (0.5,), (0.5, 0.5), {"a": 1, "b": 2}, "ab"])
def test_a_prediction_without_its_experiment_is_told_what_is_wanted(answer):
    declare_prediction()
    assert "(prediction, experiment)" in grade(ID, answer).message


def test_the_verdict_on_a_later_prediction_recalls_the_first(capsys):
    declare_prediction()
    check(ID, (0.5, lambda: 0.5))
    assert "first prediction" not in capsys.readouterr().out
    for guess in (0.4, 0.45, 0.5):
        check(ID, (guess, lambda: 0.5))
    assert "first prediction was the number 0.5" in capsys.readouterr().out.splitlines()[-1]


def test_call_shows_the_arguments_that_the_function_should_take():
    def answer(mu):
        return mu

    with pytest.raises(Wrong, match=r"answer\(mu\) cannot be called with \(1, 2\)"):
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
    assert describe({"falls": 2}) == "the dict {'falls': 2}"
    assert describe([torch.ones(2)]) == describe([[1.0] * 9]) == "a list of length 1"
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
