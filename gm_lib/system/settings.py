"""The settings of a run: kept as JSON, and compared before a run goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch.optim import Optimizer


def plain(value: Any) -> Any:
    """Return ``value`` with Python's numbers for NumPy's, also within dictionaries, lists and tuples.

    A checkpoint is read by a loader that takes no others, and JSON has no others.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def json_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings as JSON gives them back, tuples as lists; ``TypeError`` if it cannot hold one."""
    settings = plain(settings)
    for name, value in settings.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"the setting {name!r} is not a JSON value: {value!r}.") from error
    return json.loads(json.dumps(settings))


def optimizer_settings(optimizers: Mapping[str, Optimizer]) -> dict[str, Any]:
    """Return the numbers that the optimizers were made with, such as ``optimizers.adam.lr``."""
    return {
        f"optimizers.{name}.{key}": value
        for name, optimizer in optimizers.items()
        for key, value in plain({"kind": type(optimizer).__name__, **optimizer.defaults}).items()
        if isinstance(value, (int, float, str, tuple)) and not isinstance(value, bool)
    }


def refuse_other_settings(source: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise ``ValueError`` naming the settings that differ: a run in two ways would be neither."""
    absent = "not set"
    pairs = {name: (old.get(name, absent), new.get(name, absent)) for name in {**old, **new}}
    changed = [f"{name} was {was!r} and is now {now!r}" for name, (was, now) in pairs.items() if was != now]
    if changed:
        raise ValueError(
            f"{source} was made with other settings: {'; '.join(changed)}. "
            "Go on with the old ones, choose another folder (out), or start over (resume=False, --no-resume)."
        )
