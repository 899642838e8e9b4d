"""The one training loop: it knows batches, devices, seeds, records and checkpoints; the model knows its update."""

import contextlib
import dataclasses
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm.auto import tqdm

from gm_lib import runtime
from gm_lib.training.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_checkpoint,
    put_weights,
    replace_file,
    save_checkpoint,
)
from gm_lib.training.history import History, Row

B = TypeVar("B")


@runtime_checkable
class Trainable(Protocol):
    """What :func:`fit` asks of a model, which must also be an ``nn.Module``.

    ``optimizers()`` makes fresh optimizers over the model's parameters. ``update(batch, optimizers, step)`` does
    the model's ``step``-th update (counted from 1) and returns the terms to record: always the same names, each a
    detached tensor without dimensions. A model may also have ``check(batch)``, which raises when a batch is not
    data it can train on; it sees the first batch only.
    """

    def optimizers(self) -> dict[str, Optimizer]:
        """Make the optimizers of all parameters, by name."""

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Update the parameters on one batch and return the terms to record."""


@dataclasses.dataclass
class _Run:
    """All that changes from step to step, next to the model itself."""

    model: Any
    optimizers: dict[str, Optimizer]
    batches: Any
    device: torch.device
    settings: dict[str, Any]
    history: History
    log_every: int
    step: int = 0
    terms: tuple[str, ...] = ()
    # One row of terms per step since the last record, on the device: reading it is the only wait for the device.
    window: Tensor | None = None
    filled: int = 0
    clock: float = 0.0


def fit(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    steps: int,
    seed: int = 0,
    device: str | torch.device | None = None,
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    log_every: int = 100,
    evaluate: Callable[[Any], Mapping[str, float]] | None = None,
    evaluate_every: int = 0,
    resume: bool = True,
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> History:
    """Train ``model`` until it has done ``steps`` updates, and return what was recorded.

    ``model`` is :class:`Trainable`. It is moved to ``device`` (``None``: the best there is), trained in training
    mode, and left in evaluation mode. ``batches`` is gone through again and again; its batches are tensors, or
    tuples and dictionaries of them, with the examples along the first dimension.

    The random numbers of the run depend on ``seed`` alone, and the global random state afterwards is what it was
    before. Every ``log_every`` steps the mean of each term since the last record goes into the history;
    every ``evaluate_every`` steps also ``evaluate(model)``, called in evaluation mode, without gradients, and
    with the same random numbers each time.

    With ``out``, that folder gets ``config.json`` (the ``settings``, JSON values), ``metrics.jsonl`` (the
    history) and, every ``checkpoint_every`` steps and at the end, a checkpoint. A run with a checkpoint in
    ``out`` goes on from there, exactly as if it had never stopped, unless ``resume`` is false; ``steps`` is
    always the total. Without ``out`` nothing is written. Ctrl-C (a notebook's stop button) ends the run after
    the step it is in, saves, and returns the history so far; a second one stops at once.

    Raises ``TypeError`` for a model, batch or term of the wrong kind; ``ValueError`` for arguments out of range,
    empty batches, and a checkpoint made with other settings or of another model; ``FloatingPointError`` naming
    step and term when a value is not finite; ``OSError`` when ``out`` cannot be written.
    """
    _check_arguments(model, steps, checkpoint_every, log_every, evaluate, evaluate_every)
    where = runtime.device(device)
    all_settings = _json_settings({"seed": seed, "log_every": log_every, **(settings or {})})
    folder = _prepare(out)
    found = latest_checkpoint(folder) if folder and resume else None
    checkpoint = load_checkpoint(found) if found else None

    with contextlib.ExitStack() as stack:
        stack.enter_context(runtime.forked_rng(seed))
        model.to(where)
        run = _start(model, batches, where, all_settings, log_every, checkpoint)
        if folder:
            replace_file(folder / "config.json", (json.dumps(all_settings, indent=1) + "\n").encode())
            replace_file(folder / "metrics.jsonl", "".join(map(_json_line, run.history.rows)).encode())
        if checkpoint and run.step >= steps:
            print(f"{checkpoint.path} has {run.step} of {steps} steps already: nothing left to do.")
            model.eval()
            return run.history
        stop = stack.enter_context(_interrupt_noted())
        bar = stack.enter_context(tqdm(total=steps, initial=run.step, disable=not progress, unit="step"))
        stream = _endless(batches, where)
        first, saved = run.step + 1, run.step
        model.train()
        run.clock = time.perf_counter()
        try:
            while run.step < steps and not stop.is_set():
                batch = next(stream)
                if run.step + 1 == first:
                    _check_batch(model, batch)
                _record(run, run.model.update(batch, run.optimizers, run.step + 1))
                run.step += 1
                run.history.images += _examples(batch)
                bar.update()
                if run.step % log_every == 0:
                    row = _mean_of_window(run)
                    _add_row(run, row, folder)
                    run.filled = 0
                    bar.set_postfix_str(_text(row), refresh=False)
                if evaluate and run.step % evaluate_every == 0:
                    _mean_of_window(run)
                    _add_row(run, _evaluation(run, evaluate, seed), folder)
                    run.clock = time.perf_counter()
                if folder and checkpoint_every and run.step % checkpoint_every == 0:
                    _save(run, folder)
                    saved = run.step
        except KeyboardInterrupt:
            stop.set()
        run.history.interrupted = run.step < steps
        if folder and saved < run.step:
            _save(run, folder)
        if run.filled:
            _add_row(run, _mean_of_window(run), folder)
        model.eval()
    if run.history.interrupted:
        go_on = f"Run the same again to go on from {folder}." if folder else "With out=… it could be resumed."
        print(f"Stopped after {run.step} of {steps} steps. {go_on}")
    return run.history


def _start(
    model: Any,
    batches: Any,
    device: torch.device,
    settings: dict[str, Any],
    log_every: int,
    checkpoint: Checkpoint | None,
) -> _Run:
    """Return a run at its first step, or where ``checkpoint`` left it; check all before changing anything."""
    optimizers = model.optimizers()
    settings = settings | _optimizer_settings(optimizers)
    run = _Run(model, optimizers, batches, device, settings, History(), log_every)
    if checkpoint is None:
        return run
    state = checkpoint.state
    _refuse_other_settings(checkpoint.path, state["settings"], settings)
    put_weights(model, checkpoint.weights, checkpoint.path)
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    if state["batches"] is not None:
        batches.load_state_dict(state["batches"])
    _set_rng_state(state["rng"], device)
    run.history = History(**state["history"])
    run.step, run.terms, run.filled = checkpoint.step, tuple(state["terms"]), len(state["window"])
    run.window = torch.empty(log_every, len(run.terms), device=device)
    run.window[: run.filled] = state["window"].to(device)
    return run


def _save(run: _Run, folder: Path) -> None:
    """Save the run after its current step; a term that is not finite is found first, and nothing is saved."""
    _mean_of_window(run)
    has_position = hasattr(run.batches, "state_dict")
    state = {
        "settings": run.settings,
        "optimizers": {name: optimizer.state_dict() for name, optimizer in run.optimizers.items()},
        "batches": run.batches.state_dict() if has_position else None,
        "rng": _rng_state(run.device),
        "history": dataclasses.asdict(run.history) | {"interrupted": False},
        "terms": list(run.terms),
        "window": run.window[: run.filled].cpu() if run.window is not None else torch.empty(0),
    }
    save_checkpoint(folder, run.model, step=run.step, state=state)
    run.clock = time.perf_counter()


def _record(run: _Run, terms: Mapping[str, Tensor]) -> None:
    """Keep the terms of one step on the device, without waiting for it."""
    if run.window is None:
        run.terms = tuple(terms)
        run.window = torch.empty(run.log_every, len(run.terms), device=run.device)
    if set(terms) != set(run.terms):
        raise ValueError(
            f"step {run.step + 1}: update() returned the terms {sorted(terms)}, before that {sorted(run.terms)}. "
            "It must return the same names at every step."
        )
    for name, value in terms.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"update() returned {name!r} as {type(value).__name__}; a tensor is needed.")
        if value.dim() != 0:
            raise ValueError(
                f"update() returned {name!r} of shape {tuple(value.shape)}; average it over the batch."
            )
        if value.requires_grad:
            raise ValueError(
                f"update() returned {name!r} still attached to its graph; return {name}.detach()."
            )
        if value.device.type != run.device.type:
            raise ValueError(f"update() returned {name!r} on {value.device}; the model is on {run.device}.")
    run.window[run.filled] = torch.stack([terms[name] for name in run.terms])
    run.filled += 1


def _mean_of_window(run: _Run) -> Row:
    """Wait for the device, stop the clock, and return the mean of each term over the steps not yet recorded.

    Raises ``FloatingPointError`` for the first value that is not finite.
    """
    if run.window is None or run.filled == 0:
        return {"step": run.step}
    values = run.window[: run.filled].cpu().double().numpy()
    now = time.perf_counter()
    run.history.seconds += now - run.clock
    run.clock = now
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise FloatingPointError(
            f"step {run.step - run.filled + 1 + row}: {run.terms[column]!r} is {values[row, column]} "
            f"({_text(dict(zip(run.terms, values[row], strict=True)))}). Nothing of this was saved. "
            "Try a smaller learning rate or clip the gradients, and check the data and logarithms of zero."
        )
    return {"step": run.step, **dict(zip(run.terms, values.mean(axis=0).tolist(), strict=True))}


def _evaluation(run: _Run, evaluate: Callable[[Any], Mapping[str, float]], seed: int) -> Row:
    """Call ``evaluate`` so that training goes on as if it had not been called."""
    modes = {module: module.training for module in run.model.modules()}
    run.model.eval()
    try:
        with torch.no_grad(), runtime.forked_rng(seed):
            values = {name: float(value) for name, value in evaluate(run.model).items()}
    finally:
        for module, training in modes.items():
            module.training = training
    for name, value in values.items():
        if name == "step" or name in run.terms:
            raise ValueError(
                f"evaluate() returned {name!r}, which update() uses already; choose another name."
            )
        if not np.isfinite(value):
            raise FloatingPointError(f"step {run.step}: evaluate() returned {name!r} = {value}.")
    return {"step": run.step, **values}


def _add_row(run: _Run, row: Row, folder: Path | None) -> None:
    run.history.rows.append(row)
    if folder:
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(_json_line(row))


def _endless(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """Yield the batches, on the device, over and over."""
    count = 0
    while True:
        before = count
        for batch in batches:
            count += 1
            yield _on_device(batch, device)
        if count == 0:
            raise ValueError("batches is empty: there is nothing to train on.")
        if count == before:
            raise ValueError(
                f"batches ended after {count} and cannot start again: it is a generator. "
                "Give a list, a DataLoader, gm_lib.data.Batches or an endless generator."
            )


def _on_device(batch: B, device: torch.device) -> B:
    """Return a tensor, tuple, list or dictionary of tensors on the device; other things are left alone."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return type(batch)({key: _on_device(value, device) for key, value in batch.items()})  # type: ignore
    if isinstance(batch, (tuple, list)):
        parts = [_on_device(value, device) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


def _examples(batch: Any) -> int:
    """Return the number of examples in a batch: the length of its first tensor."""
    if isinstance(batch, Tensor):
        return len(batch)
    parts = batch.values() if isinstance(batch, Mapping) else batch
    for part in parts if isinstance(batch, (tuple, list, Mapping)) else ():
        if isinstance(part, Tensor):
            return len(part)
    raise TypeError(
        f"a batch must be a tensor, or a tuple or dictionary of tensors, not {type(batch).__name__}."
    )


def _check_batch(model: Any, batch: Any) -> None:
    if _examples(batch) == 0:
        raise ValueError("the first batch has no examples.")
    if hasattr(model, "check"):
        with runtime.forked_rng():
            model.check(batch)


def _check_arguments(
    model: nn.Module, steps: int, checkpoint_every: int, log_every: int, evaluate: Any, evaluate_every: int
) -> None:
    if not (isinstance(model, nn.Module) and isinstance(model, Trainable)):
        raise TypeError(
            f"{type(model).__name__} cannot be trained: an nn.Module with optimizers() and "
            "update(batch, optimizers, step) is needed."
        )
    for name, value, least in (
        ("steps", steps, 1),
        ("log_every", log_every, 1),
        ("checkpoint_every", checkpoint_every, 0),
        ("evaluate_every", evaluate_every, 0),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number, {least} or more, not {value!r}.")
    if (evaluate is None) != (evaluate_every == 0):
        raise ValueError("evaluate and evaluate_every go together: give both or neither.")


def _prepare(out: str | os.PathLike[str] | None) -> Path | None:
    """Make the folder ``out``, so that a run that could not be saved does not start."""
    if out is None:
        return None
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = (
            f"cannot make the folder {folder} for this run: {error.strerror or error}. Choose another out=…"
        )
        raise type(error)(error.errno, message) from error
    return folder


def _json_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as JSON gives them back (tuples become lists)."""
    for name, value in settings.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"the setting {name!r} is not a JSON value: {value!r}.") from error
    return json.loads(json.dumps(settings))


def _optimizer_settings(optimizers: Mapping[str, Optimizer]) -> dict[str, Any]:
    """Return the numbers that the optimizers were made with, such as ``optimizers.adam.lr``."""
    return {
        f"optimizers.{name}.{key}": list(value) if isinstance(value, tuple) else value
        for name, optimizer in optimizers.items()
        for key, value in {"kind": type(optimizer).__name__, **optimizer.defaults}.items()
        if isinstance(value, (int, float, str, tuple)) and not isinstance(value, bool)
    }


def _refuse_other_settings(source: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    absent = "(not set)"
    changed = [
        f"{name} was {old.get(name, absent)!r} and is now {new.get(name, absent)!r}"
        for name in [*old, *(name for name in new if name not in old)]
        if old.get(name, absent) != new.get(name, absent)
    ]
    if changed:
        raise ValueError(
            f"{source} was made with other settings: {'; '.join(changed)}. "
            "Go on with the old ones, choose another out=…, or start over with resume=False."
        )


def _rng_state(device: torch.device) -> dict[str, Any]:
    """Return the global random states as tensors and plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    state = {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), position, has_gauss, gauss),
        "cpu": torch.get_rng_state(),
    }
    if device.type in ("cuda", "mps"):
        state[device.type] = getattr(torch, device.type).get_rng_state()
    return state


def _set_rng_state(state: Mapping[str, Any], device: torch.device) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["cpu"])
    if device.type != "cpu" and device.type in state:
        getattr(torch, device.type).set_rng_state(state[device.type])


@contextlib.contextmanager
def _interrupt_noted() -> Iterator[threading.Event]:
    """Let the first Ctrl-C set the yielded event, so that a step is finished before stopping; the next raises."""
    stop = threading.Event()
    own = signal.default_int_handler
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not own
    ):
        yield stop
        return

    def note(number: int, frame: Any) -> None:
        if stop.is_set():
            own(number, frame)
        stop.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, own)


def _json_line(row: Row) -> str:
    return json.dumps(row) + "\n"


def _text(row: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
