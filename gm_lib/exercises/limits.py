"""Running an answer so that it leaves no trace and does not run for ever."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from gm_lib.runtime import forked_rng

PATIENCE = 6


class OutOfTime(BaseException):
    """The time is over. Not an ``Exception``: an answer's ``except Exception`` must let it pass.

    ``seconds`` says how long it was, ``ended`` is false when the answer could not be stopped and still runs.
    """

    def __init__(self, seconds: float = 0.0, *, ended: bool = True) -> None:
        super().__init__()
        self.seconds, self.ended = seconds, ended


@contextlib.contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """Fix random state and default dtype inside; then they, and the number of threads, are what they were.

    Gradient mode and default device belong to a thread: that of ``within`` has gradients and the CPU.
    """
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    try:
        with forked_rng(seed):
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """Return ``work()``, or raise ``OutOfTime`` when it computes for longer than ``seconds``.

    It runs in a thread of its own, so that the time is over when it is over, whatever the work does: after it
    the thread is asked to end, again and again for a second, and if it does not (one long operation inside a
    library, a loop that swallows every exception) it is left behind, and ``OutOfTime.ended`` is false.

    What counts is the thread's processor time, where the platform tells it, and the clock, six times as long,
    for work that only waits: a busy machine is not the answer's fault. Nor is how long imports take: both
    count anew as long as modules are imported.
    """
    results: list[Any] = []
    errors: list[BaseException] = []
    # Not thread.join(): before Python 3.13 an interrupted one takes the thread for ended.
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    try:
        imported, started, began = -1, 0.0, 0.0
        while not done.is_set():
            computed, now = _processor_time(thread), time.monotonic()
            if len(sys.modules) > imported:
                imported, started, began = len(sys.modules), computed, now
            over = seconds if computed - started >= seconds else PATIENCE * seconds
            if now - began >= over:
                raise OutOfTime(over, ended=_end(thread, done))
            done.wait(min(seconds / 20, 0.1))
    except KeyboardInterrupt:  # the user's stop button
        _end(thread, done)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _processor_time(thread: threading.Thread) -> float:
    """Return the seconds that a thread has computed, or those of the clock where nobody tells."""
    if hasattr(time, "pthread_getcpuclockid") and thread.ident is not None:
        with contextlib.suppress(OSError):  # it has just ended
            return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return time.monotonic()


def _end(thread: threading.Thread, done: threading.Event) -> bool:
    """Raise ``OutOfTime`` in a thread until it is done, for at most a second; tell whether it is."""
    for _ in range(20):
        if thread.ident is not None and not done.is_set():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(OutOfTime)
            )
            done.wait(0.05)
    return done.is_set()
