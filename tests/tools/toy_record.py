"""A record to try the tools on: two quantities, three seeds."""

import json
from pathlib import Path

from records import Limit, Quantity, Record, as_json, summary


def at_least(bound: float) -> Limit:
    return Limit("at_least", bound)


def at_most(bound: float) -> Limit:
    return Limit("at_most", bound)


def quantity(what: str, unit: str, *values: float, gate=None, aim=None) -> Quantity:
    return Quantity(what, unit, values, **summary(values), gate=gate, aim=aim)


def toy_record(name: str = "toy_gan", **changes) -> Record:
    """A record as tools/measure.py would write it, with ``changes``."""
    fields = {
        "name": name,
        "title": "A toy",
        "claim": "It writes digits.",
        "data": "a toy set, test images",
        "command": f"python tools/measure.py {name} --seeds 0 1 2",
        "seeds": (0, 1, 2),
        "quantities": {
            "confident": quantity(
                "confident", "share", 0.5, 0.52, 0.555, gate=at_least(0.35), aim=at_least(0.6)
            ),
            "price": quantity("−ELBO", "nats per image", 1102.61, 1102.9, 1103.4, gate=at_most(1105)),
            "floor": quantity("entropy", "nats per image", 46.0, 46.0, 46.0),
        },
        "seconds": (50.0, 52.0, 60.0),
        "cpu_seconds": (40.0, 41.0, 42.0),
        "hardware": "2 CPU cores, 1 thread used, no GPU",
        "versions": {"python": "3.11.9", "torch": "2.13.0"},
        "date": "2026-01-31",
    }
    return Record(**fields | changes)


def put(root: Path, record: Record, **fields) -> Path:
    """Write a record into ``results/``, with ``fields`` of its file replaced, or left out (None)."""
    path = root / "results" / f"{record.name}.json"
    path.parent.mkdir(exist_ok=True)
    content = json.loads(as_json(record)) | fields
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), "utf-8")
    return path
