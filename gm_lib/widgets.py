"""Sliders for a notebook."""

import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.utils.capture import capture_output

from gm_lib import runtime
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
            _try(
                draw,
                {
                    name: values[end - 1 if isinstance(values, list) else end]
                    for name, values in sliders.items()
                },
            )
        _try(draw, start)
        return None
    if not _someone_at_the_notebook():
        draw(**start)
        return None
    return ipywidgets.interactive(draw, **sliders)


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


def _try(draw: Callable[..., Any], values: dict[str, Any]) -> None:
    """Call ``draw`` and show nothing of what it prints, displays and draws."""
    before = plt.get_fignums()
    with capture_output():
        draw(**values)
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
