"""What a check may do with a student's answer, each wrong kind of answer turned into a sentence."""

from __future__ import annotations

import contextlib
import inspect
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gm_lib.exercises.blame import is_stub_error, student_line, summary


class Wrong(Exception):
    """Raised by a check: the answer is wrong, and the message says how, fitted to the mistake."""


class NotAttempted(Exception):
    """Raised while checking: the answer is still the stub."""


def expect(condition: Any, message: str) -> None:
    """Raise ``Wrong`` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise Wrong(message)


def call(answer: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Return the student's ``answer(*args, **kwargs)``.

    What NumPy made comes back as a tensor, on the CPU, so that checks judge numbers and not their type.

    Raises ``Wrong`` when the answer cannot be called, or not with these arguments; when it raises, naming the
    exception, the student's line and the arguments; when it returns None or changes a tensor given to it.
    Raises ``NotAttempted`` when it is a stub.
    """
    if not callable(answer):
        given = describe(answer)
        raise Wrong(
            f"a function is needed, and this is {given}. Give the function itself, without calling it."
        )
    arguments = _arguments(answer, args, kwargs)
    versions = {name: v._version for name, v in arguments.items() if _has_version(v)}
    try:
        result = answer(*args, **kwargs)
    except Exception as error:
        if is_stub_error(error, call.__code__):
            raise NotAttempted from error
        place = student_line(error, call.__code__)
        at = ", ".join(f"{name} = {describe(value)}" for name, value in arguments.items())
        called = f"called with {at}" if at else "called without arguments"
        raise Wrong(f"your code stopped with {summary(error)}{place}, {called}.") from error
    for name, version in versions.items():
        if arguments[name]._version != version:
            raise Wrong(f"your code changes its argument {name} in place. Make a new tensor instead.")
    _refuse_nothing(result, "the result")
    return _without_numpy(result)


def call_intact(answer: Any, /, **given: Any) -> Any:
    """Return ``call(answer, …)`` with what is given, in this order.

    Raises ``Wrong`` too when something given was changed where ``call`` cannot see it: through ``.data``, a
    NumPy array on the same memory or ``dict.pop``.
    """
    before = {name: _copy(value) for name, value in given.items()}
    result = call(answer, *given.values())
    for name, value in given.items():
        if not _same(before[name], value):
            raise Wrong(
                f"your code changes its argument {name} in place: {name} is not what it was. Work on a copy."
            )
    return result


def number(value: Any, name: str = "your answer", *, finite: bool = True) -> float:
    """Return ``value``, a Python or NumPy number or a tensor or array with one element, as a float.

    It must be finite unless ``finite`` is false.

    Raises ``Wrong`` when it is anything else, calling it ``name``.
    """
    _refuse_nothing(value, name)
    if isinstance(value, torch.Tensor | np.ndarray) and math.prod(value.shape) == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise Wrong(f"{name} should be a number, and is {describe(value)}.")
    if finite and not math.isfinite(value):
        raise Wrong(f"{name} is {float(value)}, not a finite number.")
    return float(value)


def tensor(value: Any, *, shape: Sequence[int] | None = None, name: str = "your answer") -> torch.Tensor:
    """Return ``value``, a tensor, array, number or nested lists of numbers, as a tensor.

    A tensor comes back as it is, on its device and with its gradient.

    Raises ``Wrong`` when it is anything else, contains NaN, or has another ``shape``, calling it ``name``.
    """
    _refuse_nothing(value, name)
    if not isinstance(value, torch.Tensor):
        if not isinstance(value, np.ndarray | numbers.Real | list | tuple):
            raise Wrong(f"{name} should be a tensor, and is {describe(value)}.")
        try:
            value = torch.as_tensor(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise Wrong(f"{name} should be a tensor, and is {describe(value)}: {summary(error)}.") from error
    if shape is not None and tuple(value.shape) != tuple(shape):
        raise Wrong(f"{name} should have shape {tuple(shape)}, and has shape {tuple(value.shape)}.")
    if value.is_floating_point() and bool(value.isnan().any()):
        raise Wrong(f"{name} contains NaN.")
    return value


def is_close(value: Any, expected: Any, *, rtol: float = 1e-4, atol: float = 1e-5) -> bool:
    """Tell whether two numbers, arrays or tensors agree in shape, and within atol + rtol·|expected|."""
    found, wanted = _doubles(value, expected)
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=rtol, atol=atol)


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

    ``mistakes`` maps a message to the value that the mistake leads to; the first that fits gives the message.
    When none does, the message tells what was expected and what was found where the two differ most.
    """
    if is_close(value, expected, rtol=rtol, atol=atol):
        return
    for message, mistaken in (mistakes or {}).items():
        if is_close(value, mistaken, rtol=rtol, atol=atol):
            raise Wrong(message)
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
            return f"a {kind} of length {len(value)}"
    except Exception:
        pass  # what cannot even be looked at is named by its type
    return f"an object of type {kind}"


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
    """Return arrays and numbers of NumPy as tensors on the CPU, also within tuples and lists."""
    if type(value) in (tuple, list):
        return type(value)(map(_without_numpy, value))
    if isinstance(value, np.ndarray | np.number):
        with contextlib.suppress(TypeError, ValueError):  # texts and the like stay what they are
            return torch.as_tensor(np.array(value), device="cpu")
    return value


def _doubles(*values: Any) -> list[torch.Tensor]:
    """Return the values as tensors in double precision, complex if one of them is, on the CPU."""
    tensors = [torch.as_tensor(value).detach().cpu() for value in values]
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
        given = ", ".join([*map(describe, args), *(f"{key} = {describe(v)}" for key, v in kwargs.items())])
        problem = f"{name}{signature} cannot be called with ({given}): {error}"
        raise Wrong(f"{problem}. Keep the arguments that the task gives.") from error


def _has_version(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not value.is_inference()


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return value.clone() if isinstance(value, torch.Tensor) else value


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, dict):
        return list(before) == list(after) and all(_same(before[key], after[key]) for key in before)
    return torch.equal(before, after) if isinstance(before, torch.Tensor) else before is after
