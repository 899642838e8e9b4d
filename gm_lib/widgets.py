"""Sliders, questions and players of sounds, for a notebook; players for a page, too."""

import base64
import html
import inspect
import io
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
import torch
from IPython import get_ipython
from IPython.utils.capture import capture_output
from torch import Tensor

from gm_lib import runtime
from gm_lib.sound import RATE, log_mel, midi_content, play_notes, wav_content
from gm_lib.system.choose import choose

Range = tuple[float, float] | tuple[float, float, float]


def slide(draw: Callable[..., Any], **sliders: Range | list[Any]) -> ipywidgets.interactive | None:
    """Return sliders that call ``draw`` with their values, at once and whenever one is moved.

    Each keyword is an argument of ``draw`` and becomes a slider (a tuple: least, most, and perhaps the step)
    or a menu (a list). Sliders start at the argument's default value, if it has one, else in the middle. End
    a cell with the call, so that the notebook shows what it returns.

    Without a notebook, or where nobody can move a slider since a program runs the notebook (nbconvert,
    papermill), ``draw`` is called once, with the values that the sliders would start at. While the
    book is being built (``GM_STRICT=1``) nothing is shown, since a page has no kernel to answer its sliders:
    there a figure of its own takes their place. ``draw`` is tried, though, at the start and at both ends of
    the sliders, so that a broken one stops the build. Both return ``None``.

    Raises ``ValueError`` for a name that is no argument of ``draw``, a missing one, or a range that is none.
    """
    _check(draw, sliders)
    start = {name: _first_value(draw, name, values) for name, values in sliders.items()}
    if runtime.strict():
        for end in (0, 1):
            ends = {
                name: values[end - 1 if isinstance(values, list) else end] for name, values in sliders.items()
            }
            _try(draw, **ends)
        _try(draw, **start)
        return None
    if not _someone_at_the_notebook():
        draw(**start)
        return None
    return ipywidgets.interactive(draw, **sliders)


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
    before = plt.get_fignums()
    with capture_output():
        draw(*values, **named)
    for number in set(plt.get_fignums()) - set(before):
        plt.close(number)


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
