"""Sliders, quizzes, players: callbacks hold at every extreme, and nothing waits where nobody can answer."""

import base64
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
from matplotlib.patches import Rectangle
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
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


# --- while the book is built


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_STRICT", "1")


def marked(x: float = 0.5, y: float = 0.5, *, size: tuple[float, float] = (2.0, 1.5)) -> Any:
    """A figure without axes, with a small square at (x, y)."""
    figure = plt.figure(figsize=size)
    figure.patches.append(Rectangle((x, y), 0.1, 0.1, transform=figure.transFigure, color="black"))
    return figure


def opened(frames: Any) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(file)).convert("L"), dtype=float) for file in frames.pictures]


def square(image: np.ndarray) -> tuple[float, float]:
    """Where the middle of the black square is, in pixels from the left and from the top."""
    rows, columns = np.nonzero(image < 128)
    return columns.mean(), rows.mean()


@pytest.mark.usefixtures("building")
def test_a_page_gets_a_frame_of_every_place_and_knows_where_the_slider_starts() -> None:
    frames = slide(lambda x=0.5: marked(x), x=(0.0, 0.8, 0.1))
    assert len(frames.pictures) == 9
    (control,) = frames.controls
    assert control.places == ["0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]
    assert (control.name, control.start, control.is_menu) == ("x", 5, False)
    assert repr(frames) == "9 frames, 9 places of x"


@pytest.mark.usefixtures("building")
def test_frames_have_one_size_twice_as_sharp_and_what_moves_moves_in_them() -> None:
    frames = slide(lambda x=0.4, y=0.0: marked(x, y), x=(0.0, 0.8, 0.4), y=(0.0, 0.8, 0.8))
    images = opened(frames)
    assert {image.shape for image in images} == {images[0].shape}
    assert (2 * frames.height, 2 * frames.width) == pytest.approx(images[0].shape, abs=2)
    inch = 2 * plt.rcParams["figure.dpi"]
    x, y = np.array([square(image) for image in images]).T
    # the last slider moves fastest
    np.testing.assert_allclose(x - x[0], 2.0 * inch * np.array([0, 0, 0.4, 0.4, 0.8, 0.8]), atol=1.5)
    np.testing.assert_allclose(y - y[0], -1.5 * inch * np.array([0, 0.8] * 3), atol=1.5)


@pytest.mark.usefixtures("building")
def test_a_figure_that_grows_and_several_figures_still_make_frames_of_one_size() -> None:
    def draw(k: int) -> None:
        for i in range(k):
            marked(0.1 * i, size=(1.0 + k, 1.0))
            plt.show()

    one, two, three = opened(slide(draw, k=(1, 3)))
    assert one.shape == two.shape == three.shape
    assert [(image < 128).any(axis=1).sum() > 0 for image in (one, two, three)] == [True] * 3
    heights = [np.diff((image < 128).any(axis=1).astype(int)).clip(0).sum() for image in (one, two, three)]
    assert heights == [1, 2, 3]


@pytest.mark.usefixtures("building")
def test_what_is_printed_is_kept_as_text_with_or_without_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    def draw(kind: str) -> None:
        print("this is", kind)

    frames = slide(draw, kind=["a", "b"])
    assert (frames.texts, frames.pictures, frames.controls[0].is_menu) == (
        ["this is a", "this is b"],
        [],
        True,
    )
    assert capsys.readouterr().out == ""
    frames = slide(lambda x: (marked(x), print(x)), x=(0, 1))
    assert (frames.texts, len(frames.pictures)) == (["0", "1"], 2)


@pytest.mark.usefixtures("building")
def test_too_many_places_are_thinned_evenly_and_start_and_ends_stay() -> None:
    called: list[int] = []

    def draw(d: int = 7) -> None:
        called.append(d)
        print(d)

    frames = slide(draw, d=(0, 250))
    kept = [int(place) for place in frames.controls[0].places]
    assert len(kept) <= 60
    assert sorted(called) == kept
    assert {0, 7, 250} <= set(kept)
    assert frames.controls[0].start == kept.index(7)
    assert set(np.diff(kept[1:-1])) == {5}


@pytest.mark.parametrize("lengths", [(61,), (200,), (61, 29), (100, 2), (30, 40)])
@pytest.mark.parametrize("most", [60, 10])
def test_a_thinned_grid_is_no_larger_than_asked_and_keeps_start_and_ends(
    lengths: tuple[int, ...], most: int
) -> None:
    starts = [n // 3 for n in lengths]
    kept = widgets._thinned(list(lengths), starts, most)
    assert math.prod(map(len, kept)) <= most
    assert all({0, start, n - 1} <= set(some) for n, start, some in zip(lengths, starts, kept, strict=True))


@pytest.mark.usefixtures("building")
def test_frames_that_are_too_heavy_become_fewer() -> None:
    def noise(k: int = 0) -> None:
        figure = plt.figure(figsize=(2, 2))
        figure.figimage(np.random.default_rng(k).random((440, 440)), cmap="gray", vmin=0, vmax=1)

    frames = slide(noise, k=(0, 40))
    assert 3 <= len(frames.pictures) < 41
    assert sum(map(len, frames.pictures)) <= 400_000
    assert [frames.controls[0].places[i] for i in (0, -1)] == ["0", "40"]
    assert not frames.inked


@pytest.mark.usefixtures("building")
def test_of_three_sliders_two_move_after_all_were_tried_at_their_ends() -> None:
    calls: list[tuple[int, int, int]] = []

    def draw(a: int = 1, b: int = 1, c: int = 5) -> None:
        calls.append((a, b, c))
        print(a, b, c)

    frames = slide(draw, a=(0, 2), b=(0, 1), c=(0, 9))
    assert [control.name for control in frames.controls] == ["a", "b"]
    assert set(frames.texts) == {f"{a} {b} 5" for a in (0, 1, 2) for b in (0, 1)}
    assert {(0, 0, 0), (2, 1, 9)} <= set(calls)


@pytest.mark.usefixtures("building")
def test_frames_do_not_depend_on_the_random_state_and_leave_it_as_it_was() -> None:
    def draw(k: int) -> None:
        print(k, torch.rand(2), np.random.random(2))  # noqa: NPY002

    torch.manual_seed(5)
    first = slide(draw, k=(0, 3)).texts
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == after
    torch.manual_seed(6)
    assert slide(draw, k=(0, 3)).texts == first


@pytest.mark.usefixtures("building")
def test_frames_made_again_have_the_same_bytes() -> None:
    first, second = (slide(marked, x=(0.0, 0.5, 0.1))._repr_html_() for _ in range(2))
    assert first == second


@pytest.mark.usefixtures("building")
def test_a_drawing_is_inked_and_one_with_an_image_is_not() -> None:
    def draw(k: int, image: bool = True) -> None:
        ax = plt.figure(figsize=(1, 1)).add_subplot()
        if image:
            ax.imshow(np.eye(k + 2))
        else:
            ax.plot([0, k])

    assert slide(lambda k: draw(k, image=False), k=(0, 1)).inked
    assert not slide(draw, k=(0, 1)).inked


@pytest.mark.usefixtures("building")
def test_a_list_of_growing_numbers_is_a_slider_on_the_page_and_another_a_menu() -> None:
    kinds = {
        values: slide(print_only, x=list(values)).controls[0].is_menu
        for values in [(1, 2.5, 10), (3, 2), ("a", "b")]
    }
    assert list(kinds.values()) == [False, True, True]


@pytest.mark.usefixtures("building")
def test_places_are_written_as_one_writes_numbers() -> None:
    frames = slide(print_only, x=[-0.1 - 0.2, 0.0, 10, 1e6])
    assert frames.controls[0].places == ["−0.3", "0", "10", "1,000,000"]


def print_only(x: Any) -> None:
    print(x)


@pytest.mark.usefixtures("building")
def test_what_no_frame_can_hold_and_nothing_at_all_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="draw made no figure and printed nothing"):
        slide(lambda k: None, k=(0, 1))
    cell = nbformat.v4.new_code_cell(
        "from gm_lib.widgets import slide\nfrom IPython.display import HTML, display\n"
        "slide(lambda k: display(HTML('<b>')), k=(1, 9))"
    )
    with pytest.raises(CellExecutionError, match="draw displayed something else"):
        NotebookClient(nbformat.v4.new_notebook(cells=[cell]), kernel_name="python3").execute()


@pytest.mark.usefixtures("building")
def test_in_a_kernel_shown_figures_become_frames_and_nothing_else_is_shown() -> None:
    cell = nbformat.v4.new_code_cell(
        "import matplotlib.pyplot as plt\nfrom gm_lib import plotting\nfrom gm_lib.widgets import slide\n"
        "def draw(k):\n    plt.figure()\n    plt.show()\n"
        "    return plotting.show_images(plotting.np.full((1, 8, 8), k / 9))\n"
        "slide(draw, k=(1, 9))"
    )
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), kernel_name="python3").execute()
    (output,) = cell.outputs
    assert output["output_type"] == "execute_result"
    assert output["data"]["text/plain"] == "9 frames, 9 places of k"
    assert output["data"]["text/html"].startswith(widgets.FRAMES)


@pytest.mark.usefixtures("building")
def test_figures_of_before_stay_open_and_those_of_frames_do_not() -> None:
    kept, show = plt.figure(), plt.show
    slide(marked, x=(0.0, 0.5, 0.1))
    assert plt.get_fignums() == [kept.number]
    assert plt.show is show
    plt.close(kept)


@pytest.mark.usefixtures("building")
def test_a_callback_that_breaks_anywhere_on_its_slider_stops_the_build() -> None:
    for place in (1, 5, 9):
        with pytest.raises(ZeroDivisionError):
            slide(lambda k=3, place=place: print(1 / (k - place)), k=(1, 9))


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
