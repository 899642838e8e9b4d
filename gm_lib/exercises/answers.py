"""What a check may do with a student's answer, each wrong kind of answer turned into a sentence."""

from __future__ import annotations

import contextlib
import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gm_lib.exercises.blame import is_stub_error, student_line, summary


class Wrong(Exception):
    """Raised by a check: the answer is wrong, and the message says how, fitted to the mistake."""


class NotAttempted(Exception):
    """Raised while checking: the answer is still the stub. A message, if any, says how one knows."""


def expect(condition: Any, message: str) -> None:
    """Raise ``Wrong`` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise Wrong(message)


def call(answer: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Return the student's ``answer(*args, **kwargs)``.

    What NumPy made comes back as a tensor, on the CPU, so that checks judge numbers and not their type.

    Raises ``Wrong`` when the answer cannot be called, or not with these arguments; when it raises, naming the
    exception, the student's line and the arguments; when it returns None; when it changes a tensor, an array,
    a list or a dictionary given to it, in whatever way (in place, through a view or ``.data``), or the
    gradient of one that requires it; when it leaves gradients switched off or another default dtype. What
    becomes of a network given to it is for the check to say: see ``Snapshot``.
    Raises ``NotAttempted`` when it is a stub.
    """
    if not callable(answer):
        given = describe(answer)
        raise Wrong(
            f"a function is needed, and this is {given}. Give the function itself, without calling it."
        )
    arguments = _arguments(answer, args, kwargs)
    before = {name: _copy(value) for name, value in arguments.items()}
    gradients = {name: _copy(v.grad) for name, v in arguments.items() if _is_leaf(v) and v.requires_grad}
    modes = _modes()
    try:
        result = answer(*args, **kwargs)
    except Exception as error:
        if is_stub_error(error, call.__code__):
            raise NotAttempted from error
        place = student_line(error, call.__code__)
        at = ", ".join(f"{name} = {_argument(value)}" for name, value in arguments.items())
        called = f"called with {at}" if at else "called without arguments"
        raise Wrong(f"your code stopped with {summary(error)}{place}, {called}.") from error
    for name, value in arguments.items():
        if not same(before[name], value):
            raise Wrong(
                f"your code changes its argument {name} in place: {name} is not what it was. Work on a copy."
            )
    for name, gradient in gradients.items():
        if not same(gradient, arguments[name].grad):
            raise Wrong(
                f"your code changes the gradient of its argument, {name}.grad, which is the caller's. "
                "torch.autograd.grad returns a gradient and leaves none behind."
            )
    for now, was, what in zip(_modes(), modes, _MODES, strict=True):
        expect(now == was, f"your code leaves {what} changed for all that comes after it.")
    _refuse_nothing(result, "the result")
    return _without_numpy(result)


_MODES = ("gradient mode (torch.no_grad and the like)", "the default dtype")


def _modes() -> tuple[Any, ...]:
    return torch.is_grad_enabled(), torch.get_default_dtype()


class Snapshot:
    """What a network was before an answer saw it, to tell afterwards what has changed.

    ``plant`` puts a gradient of ones into every parameter first, so that a missing ``zero_grad`` shows.
    """

    def __init__(self, network: torch.nn.Module, *, plant: bool = False) -> None:
        self.network = network
        if plant:
            for parameter in network.parameters():
                parameter.grad = torch.ones_like(parameter)
        self._was = self._state()

    def changed(self) -> set[str]:
        """Return which of "weights", "buffers", "gradients", "modes" (train or eval) have changed."""
        now = self._state()
        return {what for what, was in self._was.items() if not same(was, now[what])}

    def _state(self) -> dict[str, Any]:
        network = self.network
        return {
            "weights": {name: _copy(w.detach()) for name, w in network.named_parameters()},
            "buffers": {name: _copy(b) for name, b in network.named_buffers()},
            "gradients": {name: _copy(w.grad) for name, w in network.named_parameters()},
            "modes": {name: part.training for name, part in network.named_modules()},
        }


def number(value: Any, name: str = "your answer", *, finite: bool = True) -> float:
    """Return ``value``, a Python or NumPy number or a tensor or array with one element, as a float.

    It must be finite unless ``finite`` is false.

    Raises ``Wrong`` when it is anything else, calling it ``name``.
    """
    _refuse_nothing(value, name)
    value = _plain_tensor(value)
    if isinstance(value, torch.Tensor | np.ndarray) and math.prod(value.shape) == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise Wrong(f"{name} should be a number, and is {describe(value)}.")
    if finite and not math.isfinite(value):
        raise Wrong(f"{name} is {float(value)}, not a finite number.")
    return float(value)


def tensor(
    value: Any, *, shape: Sequence[int] | None = None, name: str = "your answer", nan: bool = False
) -> torch.Tensor:
    """Return ``value``, a tensor, array, number or nested lists of numbers or of such tensors, as a tensor.

    A tensor comes back as it is, on its device and with its gradient.

    Raises ``Wrong`` when it is anything else, contains NaN (unless ``nan``), or has another ``shape``,
    calling it ``name``.
    """
    _refuse_nothing(value, name)
    value = _plain_tensor(value)
    if not isinstance(value, torch.Tensor):
        if not isinstance(value, np.ndarray | numbers.Real | list | tuple):
            raise Wrong(f"{name} should be a tensor, and is {describe(value)}.")
        try:
            value = torch.as_tensor(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise Wrong(f"{name} should be a tensor, and is {describe(value)}: {summary(error)}.") from error
    if shape is not None and tuple(value.shape) != tuple(shape):
        raise Wrong(f"{name} should have shape {tuple(shape)}, and has shape {tuple(value.shape)}.")
    if not nan and value.is_floating_point() and bool(value.isnan().any()):
        raise Wrong(f"{name} contains NaN.")
    return value


def is_close(
    value: Any, expected: Any, *, rtol: float = 1e-4, atol: float = 1e-5, equal_nan: bool = False
) -> bool:
    """Tell whether two numbers, arrays or tensors agree in shape, and within atol + rtol·|expected|."""
    found, wanted = _doubles(value, expected)
    if found.shape != wanted.shape:
        return False
    return torch.allclose(found, wanted, rtol=rtol, atol=atol, equal_nan=equal_nan)


def expect_close(
    value: Any,
    expected: Any,
    *,
    name: str = "your answer",
    mistakes: Mapping[str, Any] | None = None,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Raise ``Wrong`` unless ``is_close(value, expected)``.

    ``mistakes`` maps a message to the value that the mistake leads to; the first that fits gives the message,
    hedged where it is a single number that fits. When none does, the message tells what was expected and what
    was found where the two differ most.
    """
    if is_close(value, expected, rtol=rtol, atol=atol):
        return
    for message, mistaken in (mistakes or {}).items():
        if is_close(value, mistaken, rtol=rtol, atol=atol):
            raise Wrong(message if torch.as_tensor(value).numel() > 1 else _hedged(message))
    found, wanted = _doubles(value, expected)
    if found.shape != wanted.shape:
        raise Wrong(f"{name} should have shape {tuple(wanted.shape)}, and has shape {tuple(found.shape)}.")
    apart = (found - wanted).abs().nan_to_num(nan=torch.inf)
    apart[torch.isclose(found, wanted, rtol=rtol, atol=atol)] = -1.0  # right, however far in absolute terms
    worst = int(apart.argmax())
    index = [int(i) for i in np.unravel_index(worst, found.shape)] if found.dim() else []
    at = f" at index {index}" if index else ""
    is_, should_be = _told_apart(found.flatten()[worst].item(), wanted.flatten()[worst].item())
    raise Wrong(f"{name} should be {should_be}{at}, and is {is_}.")


def expect_function(
    answer: Any,
    right: Callable[..., Any],
    cases: Sequence[Mapping[str, Any]],
    *,
    mistakes: Mapping[str, Callable[..., Any]] | None = None,
    unchanged: Callable[..., Any] | None = None,
    name: str | Callable[..., str] = "the result",
    read: Callable[[Any], Any] | None = None,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Raise ``Wrong`` unless the student's function is what ``right`` is, called with each of ``cases``.

    A case holds the arguments, in their order, by the names that messages give them. ``mistakes`` maps a
    message to a function of the same arguments: it is told as the mistake when it explains *all* results,
    NaN for NaN, so that nobody is told a mistake on account of one coincidence; what explains only the first
    wrong result is told with a "perhaps". ``unchanged`` is the function with the bug that was to be found:
    when it explains all results, ``NotAttempted`` is raised. ``name`` says what a result is, or is a function
    of the arguments that does. ``read`` turns a result, and what the functions return, into a tensor.
    """
    names = [name if isinstance(name, str) else name(*case.values()) for case in cases]
    found = []
    for case, what in zip(cases, names, strict=True):
        result = call(answer, *(_copy(value) for value in case.values()))
        found.append(tensor(result if read is None else read(result), name=what, nan=True))

    def value(function: Callable[..., Any], case: Mapping[str, Any]) -> Any:
        result = function(*(_copy(given) for given in case.values()))
        return result if read is None else read(result)

    def explains(function: Callable[..., Any], which: Sequence[int]) -> bool:
        for i in which:  # most mistakes are ruled out by the first case
            try:
                mistaken = value(function, cases[i])
            except Exception:  # a mistake that cannot be made with these arguments
                return False
            if not is_close(found[i], mistaken, rtol=rtol, atol=atol, equal_nan=True):
                return False
        return True

    everywhere = range(len(cases))
    wanted = [value(right, case) for case in cases]
    off = [i for i in everywhere if not is_close(found[i], wanted[i], rtol=rtol, atol=atol)]
    if not off:
        return
    if unchanged is not None and explains(unchanged, everywhere):
        raise NotAttempted("it still does what it did")
    for message, mistaken in (mistakes or {}).items():
        expect(not explains(mistaken, everywhere), message)
    for message, mistaken in (mistakes or {}).items():
        expect(not explains(mistaken, off[:1]), _hedged(message))
    arguments = ", ".join(f"{key} = {_argument(given)}" for key, given in cases[off[0]].items())
    try:
        tensor(found[off[0]], name=names[off[0]])
        expect_close(found[off[0]], wanted[off[0]], name=names[off[0]], rtol=rtol, atol=atol)
    except Wrong as wrong:
        told = not isinstance(name, str) or len(arguments) > 120
        raise wrong if told else Wrong(f"{str(wrong).rstrip('.')}, for {arguments}.") from None


def _hedged(message: str) -> str:
    """Return the message of a mistake that is only a guess."""
    return f"perhaps: {message}"


def choice(value: Any, names: Sequence[str], what: str = "your answer") -> str:
    """Return which of ``names`` was chosen; case, blanks, underscores and a leading article do not matter.

    Raises ``Wrong`` when it is none of them, calling it ``what``.
    """
    _refuse_nothing(value, what)
    listed = ", ".join(f'"{name}"' for name in names)
    if isinstance(value, list | tuple | set | frozenset):
        if len(value) != 1:
            raise Wrong(f"choose one name for {what}, and you give {len(value)}. The names are {listed}.")
        (value,) = value
    known = {_plain_text(name): name for name in names}
    if not isinstance(value, str) or _plain_text(value) not in known:
        raise Wrong(f"{describe(value)} for {what} is none of the names. They are {listed}.")
    return known[_plain_text(value)]


def choices(answer: Any, keys: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return which of ``names`` the answer gives to each of ``keys``.

    A dictionary is asked for; one name for each key, in their order, is as good.

    Raises ``Wrong`` when a key is missing or unknown, or a value is none of the names.
    """
    if isinstance(answer, list | tuple | np.ndarray) and len(answer) == len(keys):
        answer = dict(zip(keys, answer, strict=True))
    listed = ", ".join(f'"{key}"' for key in keys)
    if not isinstance(answer, Mapping):
        wanted = f"a dictionary with the keys {listed} is needed, or one name for each"
        raise Wrong(f"{wanted}, and this is {describe(answer)}.")
    known = {_plain_text(key): key for key in keys}
    chosen: dict[str, str] = {}
    for given, value in answer.items():
        key = known.get(_plain_text(given)) if isinstance(given, str) else None
        if key is None:
            raise Wrong(f"there is no key {given!r}. The keys are {listed}.")
        chosen[key] = choice(value, names, f'"{key}"')
    missing = [key for key in keys if key not in chosen]
    if missing:
        raise Wrong(f'an answer for "{missing[0]}" is missing.')
    return chosen


def _plain_text(text: str) -> str:
    """Return a name without the differences that do not matter: case, blanks, underscores, an article."""
    return " ".join(text.casefold().replace("_", " ").split()).removeprefix("a ")


def _told_apart(*values: complex) -> list[str]:
    """Print numbers with four digits, or with as many as it takes to tell them apart."""
    for digits in range(4, 18):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(values):
            break
    return texts


def describe(value: Any) -> str:
    """Say in a few words what ``value`` is: "a tensor of shape (3, 2)", "the text 'abc'", "the class Foo"."""
    kind = type(value).__name__
    try:
        if value is None or isinstance(value, bool):
            return str(value)
        if isinstance(value, torch.Tensor | np.ndarray):
            return _describe_array(value)
        if isinstance(value, numbers.Real):
            return f"the number {value:.4g}" if isinstance(value, float) else f"the number {_short(value)}"
        if isinstance(value, str):
            return f"the text {_short(value)}"
        if isinstance(value, type):
            return f"the class {value.__name__}"
        if inspect.isroutine(value):
            return f"the function {value.__name__}"
        if isinstance(value, list | tuple | dict | set):
            items = [*value, *value.values()] if isinstance(value, dict) else value
            short = len(text := repr(value)) <= 60 and all(isinstance(i, str | int | float) for i in items)
            return f"the {kind} {text}" if short else f"a {kind} of length {len(value)}"
    except Exception:
        pass  # what cannot even be looked at is named by its type
    return f"an object of type {kind}"


def in_words(prediction: Any) -> str:
    """Say what was predicted: "the number 0.4", "the numbers 1, 2", "more, fewer", 'falls for "a", …'."""
    if isinstance(prediction, Mapping):
        return ", ".join(f'{_item(value)} for "{key}"' for key, value in prediction.items())
    if isinstance(prediction, list | tuple):
        kind = "the numbers " if prediction and all(isinstance(i, numbers.Real) for i in prediction) else ""
        return kind + (", ".join(map(_item, prediction)) or "nothing")
    return prediction if isinstance(prediction, str) else describe(prediction)


def _item(value: Any) -> str:
    return value if isinstance(value, str) else _argument(value)


def _argument(value: Any) -> str:
    """Say what an argument is, as it stands after "name = "."""
    return describe(value).removeprefix("the number ")


def _describe_array(value: torch.Tensor | np.ndarray) -> str:
    kind = "tensor" if isinstance(value, torch.Tensor) else "array"
    if value.ndim > 1 or not 0 < math.prod(value.shape) <= 4:
        return f"a {kind} of shape {tuple(value.shape)}"
    content = value.tolist()
    if not isinstance(content, list):
        return f"the {kind} {_plain(content)}"
    return f"the {kind} [{', '.join(map(_plain, content))}]"


def _plain(item: Any) -> str:
    return f"{item:.4g}" if isinstance(item, float) else str(item)


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _without_numpy(value: Any) -> Any:
    """Return arrays and numbers of NumPy as plain tensors on the CPU, also within tuples and lists."""
    if type(value) in (tuple, list):
        return type(value)(map(_without_numpy, value))
    if isinstance(value, np.ndarray | np.number):
        with contextlib.suppress(TypeError, ValueError):  # texts and the like stay what they are
            return torch.as_tensor(np.array(value), device="cpu")
    return _plain_tensor(value)


def _doubles(*values: Any) -> list[torch.Tensor]:
    """Return the values as tensors in double precision, complex if one of them is, on the CPU."""
    tensors = [torch.as_tensor(_plain_tensor(value)).detach().cpu() for value in values]
    dtype = torch.complex128 if any(t.is_complex() for t in tensors) else torch.float64
    return [t.to(dtype) for t in tensors]


def _refuse_nothing(value: Any, name: str) -> None:
    if value is ...:
        raise NotAttempted
    if value is None:
        raise Wrong(f"{name} is None. Is a return missing?")


def _arguments(answer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments under the names that the student's function gives them."""
    target = answer.forward if isinstance(answer, torch.nn.Module) else answer
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):  # some functions written in C do not tell
        return {f"argument {i + 1}": value for i, value in enumerate(args)} | kwargs
    try:
        return dict(signature.bind(*args, **kwargs).arguments)
    except TypeError as error:
        name = getattr(target, "__name__", type(target).__name__)
        given = ", ".join([*map(_argument, args), *(f"{key} = {_argument(v)}" for key, v in kwargs.items())])
        problem = f"{name}{signature} cannot be called with ({given}): {error}"
        raise Wrong(f"{problem}. Keep the arguments that the task gives.") from error


def _is_leaf(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_leaf


def _plain_tensor(value: Any) -> Any:
    """Return an instance of a subclass of Tensor as a plain one: what it says of itself may be untrue."""
    if isinstance(value, torch.Tensor) and type(value) not in (torch.Tensor, torch.nn.Parameter):
        return value.as_subclass(torch.Tensor)
    return value


def _copy(value: Any) -> Any:
    """Return a copy of tensors, arrays and what contains them; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(map(_copy, value))
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    return value


def same(before: Any, after: Any) -> bool:
    """Tell whether two values are equal, NaN for NaN, entry by entry in what contains others."""
    if before is after:
        return True
    if isinstance(before, torch.Tensor | np.ndarray) and isinstance(after, torch.Tensor | np.ndarray):
        if before.shape != after.shape or before.dtype != after.dtype:
            return False
        equal: Any = (before == after) | (before != before)
        return bool(equal.all())
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(same, before, after))
    if isinstance(before, dict):
        return list(before) == list(after) and all(same(before[key], after[key]) for key in before)
    return False
