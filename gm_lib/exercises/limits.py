"""Running an answer so that it leaves no trace and does not run for ever."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch

from gm_lib.runtime import forked_rng


class OutOfTime(BaseException):
    """The time is over. Not an ``Exception``: an answer's ``except Exception`` must let it pass."""


@contextlib.contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """Fix random state, default dtype and device, gradient mode inside; then they are what they were.

    The number of threads is restored too.
    """
    dtype, gradients, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    try:
        with forked_rng(seed), _on_the_cpu():
            torch.set_default_dtype(torch.float32)
            torch.set_grad_enabled(True)
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _on_the_cpu() -> contextlib.AbstractContextManager[Any]:
    """Return the context in which new tensors are on the CPU; it costs something only where they were not."""
    elsewhere = torch.get_default_device().type != "cpu"
    return torch.device("cpu") if elsewhere else contextlib.nullcontext()


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Return ``work()``, or raise ``OutOfTime`` when it takes longer than ``seconds``.

    An alarm interrupts it, where there is one. Elsewhere (Windows, or not in the main thread) it runs in a
    thread of its own, which is abandoned. An endless Python loop ends either way; one long operation inside a
    library is waited for in the first case and left behind in the second.
    """
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        return _within_by_alarm(seconds, work)
    return _within_by_thread(seconds, work)


def _within_by_alarm(seconds: float, work: Callable[[], Any]) -> Any:
    armed = True

    def ring(signum: int, frame: FrameType | None) -> None:
        if armed:
            raise OutOfTime

    began = time.monotonic()
    old_handler = signal.signal(signal.SIGALRM, ring)
    # It rings again and again: a bare `except:` in the answer may swallow the first.
    old_delay, old_interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
    try:
        try:
            return work()
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if old_handler is None else old_handler)
        if old_delay:  # another's alarm, such as a test runner's time limit, goes on from where it was
            left = max(old_delay - (time.monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, old_interval)


def _within_by_thread(seconds: float, work: Callable[[], Any]) -> Any:
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive() and thread.ident is not None:
        # Abandoned, and asked to stop, lest an endless loop slow down the rest of the notebook.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(OutOfTime))
        thread.join(0.5)
        raise OutOfTime
    if errors:
        raise errors[0]
    return results[0]
