"""Sliders, questions and players of sounds, for a notebook; sliders and players for a page, too."""

import base64
import contextlib
import html
import inspect
import io
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import torch
from IPython import get_ipython
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image, ImageChops
from torch import Tensor

from gm_lib import runtime
from gm_lib.sound import RATE, log_mel, midi_content, play_notes, wav_content
from gm_lib.system.choose import choose

Range = tuple[float, float] | tuple[float, float, float]


def slide(draw: Callable[..., Any], **sliders: Range | list[Any]) -> "ipywidgets.interactive | Frames | None":
    """Return sliders that call ``draw`` with their values, at once and whenever one is moved.

    Each keyword is an argument of ``draw`` and becomes a slider (a tuple: least, most, and perhaps the step)
    or a menu (a list). Sliders start at the argument's default value, if it has one, else in the middle. End
    a cell with the call, so that the notebook shows what it returns.

    Without a notebook, or where nobody can move a slider since a program runs the notebook (nbconvert,
    papermill), ``draw`` is called once, with the values that the sliders would start at, and ``None`` is
    returned.

    A page has no kernel to answer its sliders. So while the book is being built (``GM_STRICT=1``) ``draw`` is
    called at all their places, and :class:`Frames` are returned, of which the page shows the one that its
    reader asks for. There are at most 60 of them, of 400 kB together; with more places every second, third, …
    from the start on is taken, and both ends, of two sliders first of the one with more places. Of more than
    two sliders the first two move and the others stay at their start, after ``draw`` was tried at their ends.
    A list of growing numbers is a slider there, too.
    A frame shows the figures that ``draw`` leaves open or shows by ``plt.show()``, one below another, and
    under them what it prints. The global random state is the same before each, and later as it was.

    Raises ``ValueError`` for a name that is no argument of ``draw``, a missing one, or a range that is none;
    while the book is built also if ``draw`` leaves nothing to show, displays what is no figure, or makes
    frames of more than 130 kB.
    """
    _check(draw, sliders)
    start = {name: _first_value(draw, name, values) for name, values in sliders.items()}
    if runtime.strict():
        return _prerendered(draw, sliders, start)
    if not _someone_at_the_notebook():
        draw(**start)
        return None
    return ipywidgets.interactive(draw, **sliders)


@dataclass(frozen=True)
class Control:
    """A slider or menu of :class:`Frames`: its name, its places in words, and at which of them it starts."""

    name: str
    places: list[str]
    start: int
    is_menu: bool


@dataclass(frozen=True)
class Frames:
    """What a function draws at every place of its sliders, for a page; :func:`slide` makes them.

    ``pictures`` are WebP files, all of one size, and ``texts`` what was printed with each; one of the two may
    be empty. The last control moves fastest. ``width`` and ``height`` are pixels of the page: a picture has
    twice as many. ``inked``: it holds drawings on white alone, no images.

    As HTML it is a script with these as data, which the book's builder makes a figure with controls of.
    """

    controls: list[Control]
    pictures: list[bytes]
    texts: list[str]
    width: int
    height: int
    inked: bool

    def _repr_html_(self) -> str:
        data = vars(self) | {
            "controls": [vars(control) for control in self.controls],
            "pictures": [base64.b64encode(picture).decode() for picture in self.pictures],
        }
        return f"{FRAMES}{json.dumps(data).replace('</', '<' + chr(92) + '/')}</script>"

    def __repr__(self) -> str:
        places = " and ".join(f"{len(control.places)} places of {control.name}" for control in self.controls)
        return f"{len(self.pictures or self.texts)} frames, {places}"


FRAMES = '<script type="application/json" data-gm="frames">'
MOST_FRAMES, MOST_BYTES = 60, 400_000


def _prerendered(draw: Callable[..., Any], sliders: dict[str, Any], start: dict[str, Any]) -> Frames:
    """Return what ``draw`` shows at each place of the first two sliders."""
    for end in (0, 1) if len(sliders) > 2 else ():
        _try(draw, **{name: _all_places(values, start[name])[-end] for name, values in sliders.items()})
    moved = list(sliders)[:2]
    places = [_all_places(sliders[name], start[name]) for name in moved]
    starts = [where.index(start[name]) for name, where in zip(moved, places, strict=True)]
    drawn: dict[tuple[Any, ...], _Shot] = {}
    most = 0  # only the start and the ends, from which is told for how many there is room
    while True:
        kept = _thinned([len(where) for where in places], starts, most)
        grid = list(itertools.product(*kept))
        for at in grid:
            if at not in drawn:
                here = {name: where[i] for name, where, i in zip(moved, places, at, strict=True)}
                drawn[at] = _shot(draw, **{**start, **here})
        shots = [drawn[at] for at in grid]
        pictures = _same_size([shot.pictures for shot in shots])
        files = [_webp(picture) for picture in pictures]
        size = sum(map(len, set(files))) or 1
        if most and size <= MOST_BYTES:
            break
        most = min(MOST_FRAMES if most == 0 else len(grid) - 1, len(grid) * MOST_BYTES // size)
        if most < 3:
            raise ValueError(
                f"{len(files)} frames take {size // 1000} kB, and there is room for {MOST_BYTES // 1000}: "
                "let draw make a smaller figure."
            )
    texts = [shot.text for shot in shots]
    return Frames(
        controls=[
            Control(
                name.replace("_", " "),
                [_in_words(where[i]) for i in some],
                some.index(first),
                not _in_order(where),
            )
            for name, where, some, first in zip(moved, places, kept, starts, strict=True)
        ],
        pictures=files,
        texts=texts if any(texts) else [],
        width=math.ceil(pictures[0].width / SHARP) if pictures else 0,
        height=math.ceil(pictures[0].height / SHARP) if pictures else 0,
        inked=not any(shot.has_images for shot in shots),
    )


def _all_places(values: Any, start: Any) -> list[Any]:
    """Return all that a slider or menu can be set to, with its start and both of its ends."""
    if isinstance(values, list):
        return values
    slider = ipywidgets.interactive.widget_from_abbrev(values, start)
    steps = int((slider.max - slider.min) / slider.step + 1e-6)
    places = [slider.min + k * slider.step for k in range(steps + 1)]
    if not isinstance(slider, ipywidgets.IntSlider):
        places = [round(float(place), 10) for place in places]
    return sorted({*places, start, slider.max})


def _in_order(places: list[Any]) -> bool:
    """Tell whether places are growing numbers, as those of a slider are, and perhaps those of a list."""
    return all(isinstance(place, Real) for place in places) and sorted(set(places)) == places


def _thinned(lengths: list[int], starts: list[int], most: int) -> list[list[int]]:
    """Return which places of each slider are kept, so that their grid has at most so many."""
    strides = [1 for _ in lengths]
    while True:
        kept = [
            sorted({0, n - 1, *range(first % stride, n, stride)})
            for n, first, stride in zip(lengths, starts, strides, strict=True)
        ]
        sizes = [len(some) for some in kept]
        if math.prod(sizes) <= max(most, 1) or max(sizes) <= 3:
            return kept
        strides[sizes.index(max(sizes))] += 1


def _in_words(value: Any) -> str:
    """Return a value as a page shows it beside its slider."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    words = f"{value:,}" if isinstance(value, int) else f"{float(value):,.7g}"
    return words.replace("-", "\N{MINUS SIGN}")


SHARP = 2  # pixels of a frame for each of the page's
_AROUND = 1.0  # inches around a figure in which something of it may lie, such as a legend
_EDGE = 12  # pixels of a frame that stay white around what is drawn


@dataclass(frozen=True)
class _Picture:
    """What of a figure is not white, and where that is: its left upper corner, in pixels."""

    image: Image.Image
    left: int
    top: int


@dataclass(frozen=True)
class _Shot:
    """What ``draw`` showed once."""

    pictures: list[_Picture]
    text: str
    has_images: bool


def _shot(draw: Callable[..., Any], **values: Any) -> _Shot:
    with _apart() as made:
        with runtime.forked_rng(seed=0), capture_output(stderr=False) as said:
            draw(**values)
        figures = made()
        text = said.stdout.rstrip()
        if said.outputs:
            raise ValueError(
                "a frame of slide() holds figures and what is printed, and draw displayed something else: "
                "end it with plt.show(), or print."
            )
        if not (figures or text):
            raise ValueError(f"draw made no figure and printed nothing at {values}.")
        has_images = any(figure.images or any(axes.images for axes in figure.axes) for figure in figures)
        return _Shot([_pictured(figure) for figure in figures], text, has_images)


@contextlib.contextmanager
def _apart() -> Iterator[Callable[[], list[Figure]]]:
    """Let no figure be shown inside, and close in the end those made here; yield what lists these."""

    def new() -> list[int]:
        return [number for number in plt.get_fignums() if number not in before]

    before, show = plt.get_fignums(), plt.show
    plt.show = lambda *args, **settings: None
    try:
        yield lambda: [plt.figure(number) for number in new()]
    finally:
        plt.show = show
        for number in new():
            plt.close(number)


def _pictured(figure: Figure) -> _Picture:
    """Return the figure's picture without the white around it."""
    width, height = figure.get_size_inches()
    content = io.BytesIO()
    figure.savefig(
        content,
        format="png",
        dpi=SHARP * figure.dpi,
        bbox_inches=Bbox([[-_AROUND, -_AROUND], [width + _AROUND, height + _AROUND]]),
        pil_kwargs={"compress_level": 0},
    )
    whole = Image.open(content).convert("RGB")
    box = ImageChops.difference(whole, Image.new("RGB", whole.size, "white")).getbbox() or (0, 0, 1, 1)
    return _Picture(whole.crop(box), box[0], box[1])


def _same_size(shots: list[list[_Picture]]) -> list[Image.Image]:
    """Return one image for each shot, all of one size; a shot's figures stand one below another."""
    rows = []  # for each place of a figure in a shot, what holds that figure of all shots
    for row in range(max(map(len, shots))):
        pictures = [shot[row] for shot in shots if len(shot) > row]
        rows.append(
            (
                min(picture.left for picture in pictures),
                min(picture.top for picture in pictures),
                max(picture.left + picture.image.width for picture in pictures),
                max(picture.top + picture.image.height for picture in pictures),
            )
        )
    if not rows:
        return []
    width = max(right - left for left, _, right, _ in rows) + 2 * _EDGE
    height = sum(bottom - top + 2 * _EDGE for _, top, _, bottom in rows)
    images = []
    for shot in shots:
        image, y = Image.new("RGB", (width, height), "white"), _EDGE
        for picture, (left, top, _, bottom) in zip(shot, rows, strict=False):
            image.paste(picture.image, (picture.left - left + _EDGE, picture.top - top + y))
            y += bottom - top + 2 * _EDGE
        images.append(image)
    return images


def _webp(image: Image.Image) -> bytes:
    """Return the image as a WebP file: exact, as lines are small, or nearly, if that is smaller."""
    files = []
    for quality in ({"lossless": True, "quality": 50, "method": 3}, {"quality": 50, "method": 4}):
        content = io.BytesIO()
        image.save(content, "WEBP", **quality)
        files.append(content.getvalue())
    return min(files, key=len)


def quiz(
    show: Callable[[int], Any],
    finish: Callable[[list[str]], Any],
    *,
    questions: int,
    answers: Sequence[str],
) -> ipywidgets.VBox | None:
    """Return a button for each of the ``answers``, and ask so many ``questions``, one at a time.

    ``show(i)`` draws or prints question i, from 0 on. An answer leads to the next question, the last one to
    ``finish(given)`` with all the answers that were given, in their order. End a cell with the call. While a
    question is being drawn the buttons are off: the second half of a double click must not answer it unseen.

    Without a notebook, where a program runs the notebook, and while the book is being built nobody can
    answer: nothing is shown then, and the page needs the questions in another form. Both functions are tried,
    though, on the first and the last question and with each answer to all, so that a broken one stops the
    build. Then it returns ``None``.

    Raises ``ValueError`` for no question, and for fewer than two answers or equal ones.
    """
    if questions < 1 or len(set(answers)) < max(2, len(answers)):
        raise ValueError(
            "a quiz needs a question and two different answers at least, "
            f"not {questions} questions and the answers {list(answers)!r}."
        )
    if runtime.strict() or not _someone_at_the_notebook():
        for i in (0, questions - 1):
            _try(show, i)
        for answer in answers:
            _try(finish, [answer] * questions)
        return None
    given: list[str] = []
    progress, screen = ipywidgets.Label(), ipywidgets.Output()
    buttons = [ipywidgets.Button(description=answer) for answer in answers]

    def go_on(pressed: ipywidgets.Button | None = None) -> None:
        if pressed is not None:
            if pressed.disabled:  # pressed before the front end knew
                return
            given.append(pressed.description)
        ended = len(given) == questions
        progress.value = f"{len(given)} of {questions} answered"
        for button in buttons:
            button.disabled = True
        screen.clear_output(wait=True)
        with screen:
            finish(list(given)) if ended else show(len(given))
        for button in buttons:
            button.disabled = ended

    for button in buttons:
        button.on_click(go_on)
    go_on()
    return ipywidgets.VBox([progress, screen, ipywidgets.HBox(buttons)])


class Players:
    """Sounds to be played, each with its picture and its name; :func:`players` makes them.

    A notebook and a page show it as HTML that holds the sounds themselves: it needs no kernel and no network.
    The browser's own player is used, with its keys, under the name that is read aloud. ``print`` names them.
    """

    def __init__(self, sounds: Sequence[tuple[str, bytes, bytes] | tuple[str, bytes, bytes, bytes]]) -> None:
        self.sounds = list(sounds)

    def _repr_html_(self) -> str:
        return f'<div style="{_ROW}">{"".join(_player(*sound) for sound in self.sounds)}</div>'

    def __repr__(self) -> str:
        return f"{len(self.sounds)} sounds: {', '.join(name for name, *_ in self.sounds)}"


def players(waveforms: Tensor, names: Sequence[str]) -> Players:
    """Return a player for each of the ``waveforms`` (n, samples), under its log-mel spectrogram and its name.

    End a cell with the call. All are played equally loud: each is brought to half of the largest that a WAV
    file can hold. Time runs to the right, 0.752 s, and frequency upwards; bright is loud. Each sound puts
    some 20 kB into the notebook or page. One that is silent is played as it is, under a black picture.

    Raises ``ValueError`` for another number of names, an empty name, and what ``gm_lib.sound`` refuses.
    """
    if waveforms.ndim != 2 or len(waveforms) != len(names):
        raise ValueError(
            f"players need waveforms (n, samples) and n names, not {tuple(waveforms.shape)} and {len(names)}."
        )
    if not all(name.strip() for name in names):
        raise ValueError(f"every sound needs a name, which is also read aloud, got {list(names)!r}.")
    return Players(
        [
            (name, wav_content(0.5 * wave / peak, RATE), _picture(wave))
            for name, wave in zip(names, waveforms.detach().cpu().float(), strict=True)
            for peak in [wave.abs().max().clamp(min=1e-12)]
        ]
    )


def music_players(rolls: Sequence[Tensor], names: Sequence[str]) -> Players:
    """Return a player for each of the piano ``rolls`` (steps, 88), with its picture, name and MIDI file.

    End a cell with the call. Time runs to the right and pitch upwards, from the 16th to the 79th key; what
    sounds is black. Vertical lines begin the steps, also in notes that go on, and horizontal ones lie under
    each C. A step takes 0.4 s, and each second of sound puts some 21 kB into the notebook or page.

    Raises ``ValueError`` for another number of names, an empty name, and what ``gm_lib.sound`` refuses.
    """
    if len(rolls) != len(names):
        raise ValueError(f"each piano roll needs a name: there are {len(rolls)} and {len(names)} names.")
    if not all(name.strip() for name in names):
        raise ValueError(f"every sound needs a name, which is also read aloud, got {list(names)!r}.")
    return Players(
        [
            (name, wav_content(0.5 * play_notes(roll)), _roll_picture(roll), midi_content(roll))
            for name, roll in zip(names, rolls, strict=True)
        ]
    )


_ROW = "display: flex; flex-wrap: wrap; gap: 0.9em; align-items: flex-end"
_PICTURE = "width: 100%; height: 7em; image-rendering: pixelated; border-radius: 4px"
_ROLL = "width: 100%; height: 192px; border-radius: 4px"  # three for each of 64 keys


def _player(name: str, wav: bytes, png: bytes, midi: bytes | None = None) -> str:
    """Return the HTML of one player, with a MIDI file if there is one; ``name`` may hold any characters."""
    name = html.escape(name)
    shown, width, link, style = "Spectrogram", "9.5em", "", _PICTURE
    if midi is not None:
        shown, width, style = "Piano roll", "14em", _ROLL
        link = (
            f' (<a style="color: inherit" download="{name}.mid" aria-label="MIDI file of {name}" '
            f'href="data:audio/midi;base64,{base64.b64encode(midi).decode()}">MIDI</a>)'
        )
    sound, picture = (base64.b64encode(content).decode() for content in (wav, png))
    return (
        f'<figure style="margin: 0; width: {width}">'
        f'<img alt="{shown} of the sound: {name}" style="{style}" '
        f'src="data:image/png;base64,{picture}">'
        f'<audio controls preload="metadata" aria-label="Play: {name}" style="width: 100%; height: 2.4em" '
        f'src="data:audio/wav;base64,{sound}"></audio>'
        f'<figcaption style="text-align: center; font-size: 0.85em; color: inherit">{name}{link}</figcaption>'
        "</figure>"
    )


def _picture(waveform: Tensor) -> bytes:
    """Return the PNG of a sound's log-mel spectrogram, the lowest band at the bottom."""
    x = log_mel(waveform)[0] if waveform.any() else torch.zeros(1, 1)
    content = io.BytesIO()
    plt.imsave(content, x.flip(0).numpy(), cmap="magma", vmin=0, vmax=1, format="png")
    return content.getvalue()


def _roll_picture(roll: Tensor) -> bytes:
    """Return the PNG of a piano roll, the highest key on top, without the keys that choirs do not reach.

    A step is 12 pixels wide and a key 3 high; the C's are keys 3, 15, 27, …
    """
    content = io.BytesIO()
    ink = roll[:, 15:79].T.detach().cpu().float().repeat_interleave(3, 0).repeat_interleave(12, 1)
    ink[3 * 12 :: 3 * 12] = ink[3 * 12 :: 3 * 12].clamp(min=0.25)  # the lowest row of a C, from key 27 on
    ink[:, ::12] = 0.15 + 0.45 * ink[:, ::12]  # the first column of a step
    plt.imsave(content, ink.flip(0).numpy(), cmap="gray_r", vmin=0, vmax=1, format="png")
    return content.getvalue()


def _check(draw: Callable[..., Any], sliders: dict[str, Any]) -> None:
    arguments = inspect.signature(draw).parameters
    for name, values in sliders.items():
        choose("argument of draw", name, arguments)
        if isinstance(values, list) and values:
            continue
        numbers = isinstance(values, tuple) and all(isinstance(value, Real) for value in values)
        if not (
            numbers and len(values) in (2, 3) and values[0] < values[1] and min(values[2:], default=1) > 0
        ):
            raise ValueError(
                f"{name}={values!r} is no slider: give (least, most) or (least, most, step), "
                "with least < most and step > 0, or a list to choose from."
            )
    for name, argument in arguments.items():
        if name not in sliders and argument.default is inspect.Parameter.empty:
            raise ValueError(f"draw needs {name!r}: give it a slider, for example {name}=(0.0, 1.0).")


def _try(draw: Callable[..., Any], *values: Any, **named: Any) -> None:
    """Call ``draw`` and show nothing of what it prints, displays and draws."""
    with _apart(), capture_output():
        draw(*values, **named)


def _someone_at_the_notebook() -> bool:
    """Tell whether there is a front end in which a person could answer a question, and so move a slider.

    A program that runs notebooks is none, and must get no slider: what is drawn below one such a program
    reports back to the kernel, and sending that it may overlook the kernel's word that the cell has ended,
    for which it then waits for ever.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and kernel.get_parent().get("content", {}).get("allow_stdin", True)


def _first_value(draw: Callable[..., Any], name: str, values: Any) -> Any:
    """Return the value that ipywidgets would start this slider at."""
    default = inspect.signature(draw).parameters[name].default
    return ipywidgets.interactive.widget_from_abbrev(values, default).value
