"""Being asked to stop: by Ctrl-C, a notebook's stop button, a batch system, a terminal that is closed."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from gm_lib.system import parallel


@contextlib.contextmanager
def noted() -> Iterator[Callable[[], int]]:
    """Note the first Ctrl-C (SIGINT), SIGTERM or SIGHUP instead of stopping at once.

    Gives a function that returns the signal's number, 0 while there was none. A second signal does not wait:
    it raises ``KeyboardInterrupt`` or, of the others, ``SystemExit``. Under ``torchrun`` it is ignored: the
    keyboard's reaches every process, and ``torchrun`` passes it on once more.

    Signals reach the main thread alone, and another program's own handling of them is left as it is: so is
    nohup's, which lets a program outlive its terminal.
    """
    got = 0
    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if hasattr(signal, "SIGHUP"):  # not on Windows
        usual[signal.SIGHUP] = signal.SIG_DFL
    ours = [number for number, handler in usual.items() if signal.getsignal(number) == handler]
    if threading.current_thread() is not threading.main_thread():
        ours = []

    def note(number: int, frame: Any) -> None:
        nonlocal got
        if not got or parallel.launched():
            got = got or number
        elif number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        else:
            sys.exit(128 + number)

    for number in ours:
        signal.signal(number, note)
    try:
        yield lambda: got
    finally:
        for number in ours:
            signal.signal(number, usual[number])
