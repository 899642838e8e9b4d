"""Sliders: a callback that holds at every extreme, and nothing shown where no kernel could answer."""

import inspect
import itertools
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from gm_lib import widgets
from gm_lib.widgets import slide


@pytest.fixture(autouse=True)
def _outside_the_book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GM_STRICT", raising=False)


@pytest.fixture
def in_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, allow_stdin=True)


def answering(monkeypatch: pytest.MonkeyPatch, **request: bool) -> None:
    """Pretend that a cell is being run on behalf of somebody who answers questions, or who does not."""
    kernel = SimpleNamespace(get_parent=lambda: {"content": {"code": "slide(…)", **request}})
    monkeypatch.setattr(widgets, "get_ipython", lambda: SimpleNamespace(kernel=kernel))


Calls = list[tuple[float, int, str]]


def drawing() -> tuple[Callable[..., None], Calls]:
    """A callback, and the list of what it was called with."""
    calls: Calls = []

    def draw(z: float = 1.0, k: int = 3, kind: str = "mean") -> None:
        calls.append((z, k, kind))

    return draw, calls


SLIDERS: dict[str, Any] = {"z": (-3.0, 3.0), "k": (1, 9, 2), "kind": ["mean", "draw"]}


@pytest.mark.usefixtures("in_notebook")
def test_moving_a_slider_draws_at_its_every_extreme() -> None:
    draw, calls = drawing()
    control = slide(draw, **SLIDERS)
    assert calls == [(1.0, 3, "mean")]
    z, k, kind, _ = control.children
    extremes = set(itertools.product((-3.0, 3.0), (1, 9), ("mean", "draw")))
    for z.value, k.value, kind.value in sorted(extremes):
        pass  # the assignment moves the sliders
    assert extremes <= set(calls)


@pytest.mark.usefixtures("in_notebook")
def test_sliders_have_the_range_and_step_that_was_asked_for() -> None:
    z, k, kind, _ = slide(drawing()[0], **SLIDERS).children
    assert (z.min, z.max, z.value) == (-3.0, 3.0, 1.0)
    assert (k.min, k.max, k.step, k.value) == (1, 9, 2, 3)
    assert kind.options == ("mean", "draw")
    assert [control.description for control in (z, k, kind)] == ["z", "k", "kind"]


def test_a_front_end_that_does_not_say_whether_it_answers_gets_sliders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch)
    assert slide(drawing()[0], **SLIDERS) is not None


def test_where_a_program_runs_the_notebook_it_draws_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, allow_stdin=False)
    draw, calls = drawing()
    assert slide(draw, **SLIDERS) is None
    assert calls == [(1.0, 3, "mean")]


def test_nbclient_gets_what_was_drawn_and_no_slider_to_wait_for() -> None:
    cell = nbformat.v4.new_code_cell(
        "from gm_lib.widgets import slide\nslide(lambda k=3: print('drawn at', k), k=(1, 9))"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, kernel_name="python3").execute()
    assert [output.get("text") for output in cell.outputs] == ["drawn at 3\n"]
    assert "OutputModel" not in json.dumps(notebook.metadata)  # what nbclient would answer to


@pytest.mark.usefixtures("in_notebook")
def test_the_ends_of_a_slider_may_be_numpys_numbers() -> None:
    z, k, _ = slide(lambda z, k: None, z=(np.float32(0), np.float64(1)), k=(np.int64(1), 9)).children
    assert (z.min, z.max, k.min, k.max) == (0, 1, 1, 9)


def test_without_a_notebook_it_draws_once_where_the_sliders_would_start() -> None:
    draw, calls = drawing()
    assert slide(draw, **SLIDERS) is None
    assert calls == [(1.0, 3, "mean")]
    calls.clear()
    slide(lambda a, b: calls.append((a, b)), a=(0.0, 4.0), b=["x", "y"])
    assert calls == [(2.0, "x")]


@pytest.mark.usefixtures("in_notebook")
def test_while_the_book_is_built_it_is_tried_at_start_and_ends_and_nothing_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GM_STRICT", "1")
    draw, calls = drawing()
    kept = plt.figure()

    def noisy(**values: Any) -> None:
        draw(**values)
        plt.figure()
        print("drawn")

    noisy.__signature__ = inspect.signature(draw)  # type: ignore[attr-defined]
    assert slide(noisy, **SLIDERS) is None
    assert set(calls) == {(1.0, 3, "mean"), (-3.0, 1, "draw"), (3.0, 9, "mean")}
    assert capsys.readouterr().out == ""
    assert plt.get_fignums() == [kept.number]
    plt.close(kept)


def test_a_callback_that_breaks_at_an_end_of_its_slider_stops_the_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GM_STRICT", "1")
    with pytest.raises(ZeroDivisionError):
        slide(lambda k=3: 1 / (k - 9), k=(1, 9))


@pytest.mark.parametrize(
    "values", [(3, 1), (1, 1), (1,), (1, 2, 0), (1, 2, -1), (1, 2, 3, 4), ("a", "b"), [], 5, None]
)
def test_a_range_that_is_none_is_named(values: Any) -> None:
    with pytest.raises(ValueError, match=r"z=.* is no slider"):
        slide(drawing()[0], z=values)


def test_a_slider_for_no_argument_and_an_argument_without_slider_are_named() -> None:
    with pytest.raises(ValueError, match="unknown argument of draw 'kinds'; did you mean 'kind'"):
        slide(drawing()[0], kinds=["mean"])
    with pytest.raises(ValueError, match="draw needs 'b': give it a slider"):
        slide(lambda a, b: None, a=(0, 1))
