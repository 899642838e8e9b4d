"""Measure the speed and the quality of gm_lib beside its peers; write results/benchmarks.json and its page.

    make bench                   sets up the peers in an environment of their own, then does this
    python -m benchmarks
    python -m benchmarks gan_time   measures this part anew and keeps the others of the record

The machine should have nothing else to do. All parts take about an hour on two cores, most of it until the
GANs are good. A run that was interrupted goes on with the rounds that are still to do. The exit status is 1
when a gate is missed.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import page
from benchmarks.plan import GATES, THREADS, parts
from benchmarks.rounds import Measured, measure, verdicts
from benchmarks.worker import Worker, WorkerError
from gm_lib.system.files import replace_file

ROOT = Path(__file__).resolve().parents[1]
NAMES = [part.name for part in parts(bfloat16=False)]
PACKAGES = ("torch", "numpy", "gm_lib", "pythae", "lightning", "torchgan")


def hardware() -> str:
    """Say in general words what this program runs on."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} CPU cores with {torch.backends.cpu.get_cpu_capability()}, {THREADS} threads used, no GPU"


def fingerprint() -> str:
    """Return a text that changes when the code, the packages or the machine do."""
    digest = hashlib.sha256()
    for folder in ("benchmarks", "gm_lib"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    digest.update((ROOT / "benchmarks" / "requirements.txt").read_bytes())
    return f"{digest.hexdigest()[:16]} {platform.node()} {hardware()}"


def setting() -> dict[str, Any]:
    """Return what all parts of a record must have in common."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {"command": "`make bench`", "hardware": hardware(), "versions": versions}


def record(measured: Measured, earlier: dict[str, Any]) -> dict[str, Any]:
    """Return what results/benchmarks.json holds: every value of every round, and how it was measured.

    Parts that were not measured now are those of the ``earlier`` record.
    """
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    rounded = {
        part: [
            {
                who: {name: float(f"{value:.5g}") for name, value in found.items()}
                for who, found in each.items()
            }
            for each in rounds
        ]
        for part, rounds in measured.items()
    }
    return {
        **setting(),
        "dates": earlier.get("dates", {}) | dict.fromkeys(measured, today),
        "measured": earlier.get("measured", {}) | rounded,
    }


def earlier_record(root: Path) -> dict[str, Any]:
    """Return the record, if parts measured now may stand beside its parts. Raises ``ValueError`` if not."""
    found = json.loads((root / page.RECORD).read_text("utf-8"))
    for name, value in setting().items():
        if found[name] != value:
            raise ValueError(
                f"{page.RECORD} was measured with other {name} ({found[name]}, now {value}): measure all "
                "parts, so that one page has one machine and one set of packages."
            )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to measure: " + ", ".join(NAMES))
    only = parser.parse_args(arguments).parts
    if unknown := set(only) - set(NAMES):
        parser.error(f"unknown {', '.join(sorted(unknown))}; the parts are {', '.join(NAMES)}.")
    from benchmarks.vae import has_bfloat16

    workers: dict[str, Worker] = {}

    def ask(worker: str, function: str, arguments: dict[str, Any]) -> dict[str, float]:
        if worker not in workers:
            workers[worker] = Worker(worker, THREADS)
        return workers[worker].ask(function, arguments)

    def end_workers() -> None:
        while workers:
            workers.popitem()[1].close()

    kept = ROOT / "results" / ".benchmarks.partial.json"
    wanted = [part for part in parts(has_bfloat16()) if part.name in (only or NAMES)]
    try:
        earlier = earlier_record(ROOT) if only else {}
        measured = measure(wanted, ask, kept, fingerprint(), end_workers)
    except KeyboardInterrupt:
        print(
            "\nInterrupted. Finished rounds are kept; the same command goes on from there.", file=sys.stderr
        )
        return 130
    except (WorkerError, OSError, ValueError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    finally:
        end_workers()
    made = record({part.name: measured[part.name] for part in wanted}, earlier)
    text = json.dumps(made, ensure_ascii=False, indent=1) + "\n"
    replace_file(ROOT / page.RECORD, text.encode())
    kept.unlink()
    status = page.main([])
    judged = list(verdicts(GATES, made["measured"]))
    print(*judged, sep="\n")
    return status or int(any(not verdict.kept for verdict in judged))


if __name__ == "__main__":
    sys.exit(main())
