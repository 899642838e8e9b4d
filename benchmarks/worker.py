"""The process in which one contestant runs: its own imports, its own threads, idle between its turns.

It reads jobs from standard input, one JSON object a line: ``{"function": "module:name", "arguments": {…}}``,
and answers each with a line: ``{"result": …}`` or ``{"error": "…"}``. Whatever a peer prints goes to standard
error.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback
from importlib import import_module
from typing import Any


class WorkerError(RuntimeError):
    """A contestant failed; the message is its traceback, or the last of what it printed."""


class Worker:
    """The other end: starts the process and sends it jobs."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (close() does)
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **counts, "PYTHONUNBUFFERED": "1"},
            text=True,
            start_new_session=True,  # Ctrl-C is for the program that measures; it ends its workers
        )

    def ask(self, function: str, arguments: dict[str, Any]) -> dict[str, float]:
        """Return what the function returns there. Raises ``WorkerError`` if it fails or the process ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"function": function, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and the empty answer below says so
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise WorkerError(
                f"{self.name} ended before it answered. It printed:\n{self._log.read()[-2000:]}"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name} failed in {function}:\n{answer['error']}")
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._log.close()


def serve() -> None:
    """Answer jobs until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        module, _, name = job["function"].partition(":")
        try:
            answer = {"result": getattr(import_module(module), name)(**job["arguments"])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
