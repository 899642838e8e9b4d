"""Sliders, quizzes, players: callbacks hold at every extreme, and nothing waits where nobody can answer."""

import base64
import inspect
import io
import itertools
import json
import math
from collections.abc import Callable
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

from gm_lib import widgets
from gm_lib.sound import RATE, midi_content, read_wav
from gm_lib.widgets import music_players, players, quiz, slide


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


# --- a quiz


def asking() -> tuple[Callable[..., Any], list[int], list[list[str]]]:
    """A quiz of three questions, the list of those that were shown, and that of what was given to finish."""
    shown: list[int] = []
    ended: list[list[str]] = []

    def start() -> Any:
        return quiz(shown.append, ended.append, questions=3, answers=["real", "made"])

    return start, shown, ended


@pytest.mark.usefixtures("in_notebook")
def test_a_quiz_asks_one_question_at_a_time_and_ends_with_all_answers_in_their_order() -> None:
    start, shown, ended = asking()
    progress, _, row = start().children
    real, made = row.children
    assert shown == [0]
    made.click()
    assert (shown, ended, progress.value) == ([0, 1], [], "1 of 3 answered")
    made.click()
    real.click()
    assert (shown, ended) == ([0, 1, 2], [["made", "made", "real"]])
    assert [real.disabled, made.disabled] == [True, True]


@pytest.mark.usefixtures("in_notebook")
def test_a_click_while_a_question_is_being_drawn_does_not_answer_it() -> None:
    buttons: list[Any] = []

    def show(i: int) -> None:
        for button in buttons if i == 1 else []:
            button.click()

    progress, _, row = quiz(show, print, questions=5, answers=["real", "made"]).children
    buttons.extend(row.children)
    row.children[0].click()
    assert progress.value == "1 of 5 answered"
    assert [button.disabled for button in buttons] == [False, False]


@pytest.mark.usefixtures("in_notebook")
def test_a_quiz_that_is_run_again_begins_anew() -> None:
    start, _, ended = asking()
    for _ in range(2):
        _, _, row = start().children
        for _ in range(3):
            row.children[0].click()
    assert ended == [["real"] * 3] * 2


@pytest.mark.parametrize("strict", [True, False])
def test_where_nobody_can_answer_a_quiz_is_tried_at_its_ends_and_nothing_is_shown(
    strict: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, allow_stdin=strict)
    monkeypatch.setenv("GM_STRICT", str(int(strict)))
    tried: list[Any] = []

    def noisy(value: Any) -> None:
        tried.append(value)
        print("shown")

    assert quiz(noisy, noisy, questions=5, answers=["a", "b"]) is None
    assert tried == [0, 4, ["a"] * 5, ["b"] * 5]
    assert capsys.readouterr().out == ""


def test_a_quiz_that_breaks_at_its_last_question_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_STRICT", "1")
    with pytest.raises(ZeroDivisionError):
        quiz(lambda i: 1 / (i - 8), print, questions=9, answers=["a", "b"])


@pytest.mark.parametrize(("questions", "answers"), [(0, ["a", "b"]), (3, ["a"]), (3, ["a", "a"])])
def test_a_quiz_without_questions_or_without_a_choice_is_refused(questions: int, answers: list[str]) -> None:
    with pytest.raises(ValueError, match="a quiz needs a question and two different answers"):
        quiz(print, print, questions=questions, answers=answers)


# --- players


def tones(n: int) -> torch.Tensor:
    """Tones of 200, 300, … Hz at different loudness, (n, 6016)."""
    k = torch.arange(n)[:, None]
    return 0.9 / (1 + k) * torch.sin(2 * math.pi * (200 + 100 * k) * torch.arange(6016) / 8000)


class Tags(HTMLParser):
    """The tags of some HTML with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def shown(*args: Any) -> Tags:
    return Tags(players(*args)._repr_html_())


def test_a_player_holds_its_own_sound_and_none_asks_the_network_or_a_kernel():
    waveforms = tones(3)
    page = shown(waveforms, ["low", "middle", "high"])
    audio = page.of("audio")
    assert len(audio) == len(page.of("img")) == 3
    for waveform, one in zip(waveforms, audio, strict=True):
        kind, content = one["src"].split(",")
        assert kind == "data:audio/wav;base64"
        heard = read_wav(base64.b64decode(content))
        torch.testing.assert_close(heard, 0.5 * waveform / waveform.abs().max(), atol=1e-4, rtol=0)
    sources = [value for _, attributes in page.tags for name, value in attributes.items() if name == "src"]
    assert all(source.startswith("data:") for source in sources)
    assert not page.of("script")


def test_a_player_has_the_browsers_keys_and_a_name_that_is_seen_and_read_aloud():
    page = shown(tones(2), ["a three", '<b>&"quoted"'])
    assert [one["aria-label"] for one in page.of("audio")] == ["Play: a three", 'Play: <b>&"quoted"']
    assert all("controls" in one for one in page.of("audio"))
    assert [one["alt"] for one in page.of("img")] == [
        "Spectrogram of the sound: a three",
        'Spectrogram of the sound: <b>&"quoted"',
    ]
    assert "a three" in page.text
    assert not page.of("b")
    assert repr(players(tones(2), ["a", "b"])) == "2 sounds: a, b"


def test_the_picture_of_a_player_has_low_frequencies_at_the_bottom():
    page = shown(tones(1), ["200 Hz"])
    content = base64.b64decode(page.of("img")[0]["src"].split(",")[1])
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("L"), dtype=float)
    assert picture.shape == (64, 48)
    assert picture[48:].mean() > 2 * picture[:32].mean()


def test_silence_is_played_and_what_is_no_row_of_sounds_is_refused():
    assert len(shown(torch.zeros(1, 6016), ["nothing"]).of("audio")) == 1
    with pytest.raises(ValueError, match=r"n names, not \(2, 6016\) and 1"):
        players(tones(2), ["one"])
    with pytest.raises(ValueError, match=r"not \(6016,\) and 1"):
        players(tones(1)[0], ["one"])
    with pytest.raises(ValueError, match="every sound needs a name"):
        players(tones(2), ["one", " "])
    with pytest.raises(ValueError, match="NaN or infinities"):
        players(tones(2) / 0, ["one", "two"])


def test_twenty_four_players_are_less_than_a_megabyte():
    assert len(players(tones(24), [str(i) for i in range(24)])._repr_html_()) < 700_000


def test_music_has_its_piano_roll_its_sound_and_its_midi_file():
    roll = torch.zeros(4, 88)
    roll[0, 39] = roll[3, 51] = 1
    made = music_players([roll, roll[:2]], ["a <piece>", "half"])
    page = Tags(made._repr_html_())
    assert [image["alt"] for image in page.of("img")] == [
        "Piano roll of the sound: a <piece>",
        "Piano roll of the sound: half",
    ]
    picture = Image.open(io.BytesIO(base64.b64decode(page.of("img")[0]["src"].split(",")[1]))).convert("L")
    pixels = np.asarray(picture)
    assert picture.size == (4 * 12, 64 * 3)
    inside = pixels[1::3, 6::12]  # the middle of a key, away from the lines
    assert np.argwhere(inside < 128).tolist() == [[27, 3], [39, 0]]  # the higher note further up, and later
    grey = (pixels > 128) & (pixels < 250)
    assert np.flatnonzero(grey.all(0)).tolist() == [12, 24]  # steps begin here, and the notes elsewhere
    assert np.flatnonzero(grey[:, 15]).tolist() == [3 * (64 - key + 15) - 1 for key in (75, 63, 51, 39, 27)]
    assert 50 < pixels[3 * 39 + 1, 0] < 200  # a note shows the line of its step
    assert page.of("a")[0]["download"] == "a <piece>.mid"
    assert base64.b64decode(page.of("a")[1]["href"].split(",")[1]) == midi_content(roll[:2])
    sound = read_wav(base64.b64decode(page.of("audio")[0]["src"].split(",")[1]))
    assert len(sound) == 4 * 0.4 * RATE
    with pytest.raises(ValueError, match="2 and 1 names"):
        music_players([roll, roll], ["one"])
    with pytest.raises(ValueError, match="needs a name"):
        music_players([roll], [" "])
