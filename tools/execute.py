"""Execute the chapters of the book, several at a time, and keep their outputs for the builder.

A chapter whose outputs are in the cache is skipped: only what changed is executed again. Changes in the files
that it used, in the lock, the profile or the data count too. A failing cell fails the command, after all else
is done. What a chapter wrote on stderr, the warnings of packages, is shown; with --strict it is a failure.
"""

import argparse
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

import execution_cache
from execution_cache import Chapter

# What every chapter's kernel runs before the chapter, to know which files it opens.
WATCH = """
import os as _os, sys as _sys
def _watch(event, arguments, read=set(), abspath=_os.path.abspath):
    if event == "open" and isinstance(arguments[0], str):
        read.add(abspath(arguments[0]))
    return read
_sys.addaudithook(_watch)
"""
# What it is asked when the chapter is through. It is no cell of the chapter: its output goes into the cache's
# record, from which the status page is made.
RECORD_CELL = """
import json, platform, sys
_files = {getattr(module, "__dict__", {}).get("__file__") for module in sys.modules.values()}
_used = sorted(_files - {None} | _watch("", ()))
from gm_lib.runtime import device, profile
_loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in ("torch", "numpy", "gm_lib")}
print(json.dumps({
    "profile": profile(),
    "device": str(device()),
    "files": _used,
    "asked_for": sorted(getattr(sys.modules.get("gm_lib.data.sources"), "asked_for", ["unknown"])),
    "versions": {"python": platform.python_version(), **{k: v for k, v in _loaded.items() if v}},
}))
"""
ANNOUNCEMENT = re.compile(r"^gm_lib\.data: (?P<what>.+)$", re.MULTILINE)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Execution:
    """What came of executing one chapter."""

    notebook: nbformat.NotebookNode
    seconds: float
    record: dict[str, Any]
    error: str | None


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "book", nargs="?", type=Path, default=Path(), help="the folder with _config.yml (here)"
    )
    parser.add_argument("--workers", type=int, default=2, help="chapters executed side by side (2)")
    parser.add_argument("--strict", action="store_true", help="fail if a chapter writes anything on stderr")
    arguments = parser.parse_args()
    if arguments.workers < 1:
        parser.error(f"--workers must be 1 or more, not {arguments.workers}")
    execution_cache.prepare_environment()
    try:
        look_ahead()
        return execute_book(arguments.book.resolve(), workers=arguments.workers, strict=arguments.strict)
    except KeyboardInterrupt:
        print("\nInterrupted. What was finished is kept; the next run goes on from there.", file=sys.stderr)
        return 130


def look_ahead() -> None:
    """Find or download the images before two chapters do so at once, and say which ones the book will use.

    Broken data, or a profile that there is not, end the command here, with what gm_lib says about it.
    """
    from gm_lib.data import images
    from gm_lib.runtime import profile

    try:
        profile()
        images("mnist")
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error


def execute_book(root: Path, *, workers: int, strict: bool) -> int:
    """Execute the chapters that are not in the cache, and return the exit status: 1 if one of them failed.

    Warnings, of chapters in the cache too, are printed; with ``strict`` they count as failures.
    """
    chapters = execution_cache.chapters(root)
    stale = []
    for chapter in chapters:
        if chapter.executed():
            print(f"{chapter.path.stem}: up to date", flush=True)
        else:
            stale.append(chapter)
    failures = []
    timeout = execution_cache.cell_timeout(root)
    for done, (chapter, result) in enumerate(_run(stale, timeout, workers), start=1):
        outcome = "failed after" if result.error else "executed in"
        print(f"[{done}/{len(stale)}] {chapter.path.stem}: {outcome} {result.seconds:.0f} s", flush=True)
        if result.error:
            failures.append(f"{chapter.path.relative_to(root)}, {result.error}")
        else:
            used, data = result.record.pop("files"), result.record.pop("asked_for")
            record = {"execution_seconds": result.seconds, **result.record}
            chapter.store(result.notebook, used, record, data=bool(data))
    execution_cache.prune(chapters, root)
    warnings = [warning for chapter in chapters for warning in _warnings(chapter)]
    for warning in warnings:
        print(f"\n{warning}", file=sys.stderr if strict else sys.stdout)
    for failure in failures:
        print(f"\nFailed: {failure}", file=sys.stderr)
    return 1 if failures or (strict and warnings) else 0


def _warnings(chapter: Chapter) -> Iterator[str]:
    """Yield what each cell of a chapter wrote on stderr, with its place."""
    if not (executed := chapter.executed()):
        return
    _, bundle = executed
    code = iter(cell for cell in bundle.nb.cells if cell.cell_type == "code")  # prose is not kept
    lines = chapter.notebook.metadata["source_map"]
    for number, (authored, line) in enumerate(zip(chapter.notebook.cells, lines, strict=True), start=1):
        if authored.cell_type != "code":
            continue
        written = "".join(
            output["text"]
            for output in next(code).get("outputs", [])
            if output["output_type"] == "stream" and output["name"] == "stderr"
        )
        if written.strip():
            place = f"{chapter.path.relative_to(chapter.root)}, cell {number}, line {line}"
            yield f"{place}: a warning\n{ANSI.sub('', written).rstrip()}"


def _run(chapters: list[Chapter], timeout: int, workers: int) -> Iterator[tuple[Chapter, Execution]]:
    """Execute chapters side by side; yield each as it is done."""
    if not chapters:
        return
    # Processes, each with a main thread: there nbclient can end its kernel when the command is interrupted.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(chapters)), mp_context=context) as pool:
        running = [pool.submit(execute, chapter.notebook, chapter.path, timeout) for chapter in chapters]
        try:
            for future in as_completed(running):
                yield chapters[running.index(future)], future.result()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


def execute(notebook: nbformat.NotebookNode, chapter: Path, timeout: int) -> Execution:
    """Execute one chapter in its own folder, in a new kernel."""
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        return _execute(notebook, chapter, timeout, Path(sockets))


def _execute(notebook: nbformat.NotebookNode, chapter: Path, timeout: int, sockets: Path) -> Execution:
    at = {"index": -1}

    def remember(cell: nbformat.NotebookNode, cell_index: int) -> None:
        at["index"] = cell_index

    with_record = nbformat.from_dict(notebook)
    with_record.cells = [*notebook.cells, nbformat.v4.new_code_cell(RECORD_CELL)]
    client = NotebookClient(
        with_record,
        timeout=timeout,
        store_widget_state=False,
        record_timing=False,  # times in a cell's metadata would change the key it is found by
        extra_arguments=["--log-level=CRITICAL", f"--IPKernelApp.exec_lines={WATCH}"],
        resources={"metadata": {"path": str(chapter.parent)}},
        on_cell_execute=remember,
    )
    kernel = client.create_kernel_manager()
    if os.name != "nt":  # pyzmq has no such sockets on Windows
        # By sockets in a folder of its own: two kernels that start at once can be given the same port.
        kernel.transport, kernel.connection_file = "ipc", str(sockets / "kernel.json")
    started = time.perf_counter()
    error, record = None, {}
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as exception:
        error = _explain(exception, notebook, at["index"], timeout)
    else:
        record = json.loads(with_record.cells.pop()["outputs"][0]["text"])
        record["data"] = announced_data(with_record)
    return Execution(with_record, time.perf_counter() - started, record, error)


def announced_data(notebook: nbformat.NotebookNode) -> list[str]:
    """Return what the cells of an executed chapter printed about the data they used, each line once."""
    printed = (
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream" and output["name"] == "stdout"
    )
    return list(dict.fromkeys(match["what"] for text in printed for match in ANNOUNCEMENT.finditer(text)))


def _explain(exception: Exception, notebook: nbformat.NotebookNode, index: int, timeout: int) -> str:
    """Return where a chapter failed and why, ready to be printed."""
    if not 0 <= index < len(notebook.cells):
        return f"outside of its cells\n\n{exception}"
    where = f"cell {index + 1}, line {notebook.metadata['source_map'][index]}"
    if isinstance(exception, CellExecutionError):
        return f"{where}\n\n{ANSI.sub('', str(exception))}"
    if isinstance(exception, CellTimeoutError):
        why = f"ran for more than {timeout} s (execute: timeout in _config.yml)"
    else:
        why = "ended its kernel, perhaps for want of memory"
    return f"{where}: {why}\n\n{notebook.cells[index].source}"


if __name__ == "__main__":
    sys.exit(main())
