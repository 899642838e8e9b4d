"""The one training loop. It knows batches, device, seeds, records, checkpoints; a model knows its update."""

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm.auto import tqdm

from gm_lib import runtime
from gm_lib.data.stream import count_examples, refuse_a_lone_example, stream
from gm_lib.networks import evaluating
from gm_lib.system import interrupts, parallel
from gm_lib.system.choose import choose, whole_number
from gm_lib.system.files import locked, naming, place, remove_folder, replace_file
from gm_lib.system.settings import json_values, optimizer_settings, refuse_other_settings
from gm_lib.system.weight_files import check_finite, put_weights
from gm_lib.training.checkpoint import (
    Checkpoint,
    checkpoints,
    is_checkpoint,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from gm_lib.training.history import History, Row, row_text
from gm_lib.training.trainable import check_terms, check_trainable

_SAVE_WITHIN = 30.0  # seconds from one checkpoint to the next, and ten times what saving takes


@dataclasses.dataclass
class _Run:
    """The state of a run: what a checkpoint holds, and what is needed to take the next step."""

    model: Any
    optimizers: dict[str, Optimizer]
    batches: Any
    device: torch.device
    settings: dict[str, Any]
    folder: Path | None = None  # None too in a process that writes nothing
    on_record: Callable[[Row], None] | None = None
    history: History = dataclasses.field(default_factory=History)
    step: int = 0
    # One row of terms per step since the last record, on the device: reading it means waiting for the device.
    window: Tensor = dataclasses.field(default_factory=lambda: torch.empty(0, 0))
    clock: float = 0.0
    saved: int = 0  # the step of the last checkpoint
    save_by: float = 0.0  # the time of the next, at the latest

    @property
    def pending(self) -> int:
        """The number of steps since the last record."""
        return self.step % self.settings["log_every"]


def fit(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    steps: int,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: str = "float32",
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    log_every: int = 100,
    evaluate: Callable[[Any], Mapping[str, float]] | None = None,
    evaluate_every: int = 0,
    on_record: Callable[[Row], None] | None = None,
    resume: bool = True,
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> History:
    """Train ``model`` until it has done ``steps`` updates, and return what was recorded.

    ``model`` is ``Trainable``. It is moved to ``device`` (``None``: the best there is), trained in
    training mode and left in evaluation mode. ``batches`` is gone through again and again; each batch is a
    tensor or a tuple of tensors, with the examples along the first dimension, and comes to the model on its
    device and in its dtype. With ``precision="bfloat16"`` matrix products and convolutions are computed in it
    (autocast); weights and losses stay in float32.

    The run's random numbers depend on ``seed`` alone; the global random state is left as it was. Every
    ``log_every`` steps the mean of each term goes into the history, every ``evaluate_every`` steps what
    ``evaluate(model)`` returns, called in evaluation mode, without gradients, with the same random numbers
    each time. ``on_record`` is called with each such row; it must not draw from the global random state.

    With ``out``, that folder gets ``config.json`` (``settings``, JSON values), ``metrics.jsonl`` (the
    history) and a checkpoint every ``checkpoint_every`` steps, or half a minute (0: none), and at the end. A
    run that finds a checkpoint there goes on from it, unless ``resume`` is false; ``steps`` is always the
    total. If ``batches`` has a ``state_dict()``, as ``gm_lib.data.Batches`` has, it goes on as if it had
    never stopped. Without ``out`` nothing is written.

    Ctrl-C (a notebook's stop button), SIGTERM and SIGHUP (a closed terminal) end the run after the step it is
    in, save, and return the history so far. A second one does not wait for it; then nothing new is saved.

    Started by ``torchrun``, the processes train one model: each takes its rows of every batch, and of the
    noise that the model draws with ``gm_lib.system.parallel.randn``, and gradients are averaged. All must be
    given the same model, batches and arguments. The first one writes into ``out``, which all must see, and
    calls ``evaluate`` and ``on_record``.

    Raises ``TypeError`` for a model, batch or term of the wrong kind; ``ValueError`` for arguments out of
    range, no batches, and a checkpoint of other settings or another model; ``FloatingPointError`` naming step
    and term, or weight, that is not finite; ``OSError`` when ``out`` cannot be written, or another run does.
    """
    steps, log_every = whole_number("steps", steps, 1), whole_number("log_every", log_every, 1)
    checkpoint_every = whole_number("checkpoint_every", checkpoint_every)
    evaluate_every = whole_number("evaluate_every", evaluate_every)
    if (evaluate is None) != (evaluate_every == 0):
        raise ValueError("evaluate and evaluate_every go together: give both or neither.")
    check_trainable(model)
    folder = None if out is None else place(out)
    if folder and is_checkpoint(folder):
        raise ValueError(f"{folder} is a checkpoint: give the folder of its run as out, {folder.parent}.")
    choose("precision", precision, runtime.PRECISIONS)
    settings = json_values({"seed": seed, "log_every": log_every, "precision": precision, **(settings or {})})
    where = runtime.device(device)
    with contextlib.ExitStack() as stack:
        # First of all: torch imports much of itself on the way, and half imported it would serve nobody.
        asked_to_stop = stack.enter_context(interrupts.noted())
        stack.enter_context(runtime.forked_rng(seed))
        parallel.join(where)
        main = parallel.is_main()
        if folder and main:
            stack.enter_context(locked(folder))
        often = {"checkpoint_every": checkpoint_every, "evaluate_every": evaluate_every}
        parallel.check_same({"steps": steps, **often, **settings})
        run = _start(model, batches, where, settings, folder, resume)
        run.on_record = on_record if main else None
        run.clock = time.perf_counter()
        if run.step >= steps:
            parallel.say(f"{folder} has {run.step} steps, {steps} were asked for: nothing is left to do.")
            if run.pending:  # a checkpoint holds the steps since the last record, but no record of them
                _add(run, _mean_since_record(run, run.pending))
            return run.history
        # Once a second: in a notebook each refresh is a message, and a busy front end drops them.
        bar = tqdm(total=steps, initial=run.step, unit="step", mininterval=1, disable=not (progress and main))
        stack.enter_context(bar)
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
        parts = stream(batches, run.device, dtype)
        first, cut_short = run.step, 0
        model.train()
        try:
            while run.step < steps:
                # By step in every process, by time in the one that writes.
                late = run.folder is not None and time.perf_counter() >= run.save_by
                due = run.step > run.saved and (late or run.step % (checkpoint_every or steps) == 0)
                stop, due = parallel.any_of(bool(asked_to_stop()), due)
                if due and checkpoint_every:
                    _save(run)
                if stop:
                    break
                batch = next(parts)
                if run.step == first and hasattr(model, "check"):
                    with runtime.forked_rng():
                        run.model.check(batch)
                try:
                    with parallel.sharing(), runtime.autocast(where, precision):
                        terms = run.model.update(batch, run.optimizers, run.step + 1)
                except ValueError as error:
                    refuse_a_lone_example(batch, error)
                    raise
                _note(run, terms)
                run.step += 1
                run.history.images += count_examples(batch) * parallel.size()
                bar.update()
                if run.step % log_every == 0:
                    row = _mean_since_record(run, log_every)
                    _add(run, row)
                    bar.set_postfix_str(row_text(row), refresh=False)
                if evaluate and run.step % evaluate_every == 0:
                    _mean_since_record(run, run.pending)
                    _add(run, _evaluation(run, evaluate, seed))
                    run.clock = time.perf_counter()
            if run.saved < run.step:
                _save(run)
        except KeyboardInterrupt:
            if parallel.size() > 1:
                raise  # the others know nothing of it, and would wait for this process
            cut_short = signal.SIGINT  # and nothing is saved: a record may be missing
        if run.pending:
            _add(run, _mean_since_record(run, run.pending))
        if cut_short or run.step < steps:  # the last case: another process was asked
            run.history.interrupted = int(cut_short or asked_to_stop() or signal.SIGTERM)
        parallel.copy_from_main(model)
    model.eval()
    if run.history.interrupted:
        again = f"Run it again to go on from {folder}, step {run.saved}."
        how = again if folder and run.saved else "Nothing was saved."
        parallel.say(f"Stopped after {run.step} of {steps} steps. {how}")
    return run.history


def _start(
    model: Any,
    batches: Any,
    device: torch.device,
    settings: dict[str, Any],
    folder: Path | None,
    resume: bool,
) -> _Run:
    """Return a run before its first step, or where the checkpoint in ``folder`` left it."""
    found = latest_checkpoint(folder) if folder and resume else None
    parallel.check_same({"the last checkpoint": str(found)})
    checkpoint = load_checkpoint(found) if found else None
    model.to(device)
    parallel.copy_from_main(model)
    optimizers = model.optimizers()
    for optimizer in optimizers.values():
        parallel.average_gradients(optimizer)
    writes = folder if parallel.is_main() else None
    run = _Run(model, optimizers, batches, device, settings | optimizer_settings(optimizers), writes)
    if checkpoint:
        _go_on(run, checkpoint)
    if writes:
        with naming(writes):
            # Starting over: after an accident before the first save, the old run would be gone on with.
            for old in [] if resume else checkpoints(writes):
                remove_folder(old)
            replace_file(writes / "config.json", (json.dumps(settings, indent=1) + "\n").encode())
            lines = "".join(json.dumps(row) + "\n" for row in run.history.rows)
            replace_file(writes / "metrics.jsonl", lines.encode())
    run.saved, run.save_by = run.step, time.perf_counter() + _SAVE_WITHIN
    return run


def _go_on(run: _Run, checkpoint: Checkpoint) -> None:
    """Put ``run`` where ``checkpoint`` left it, or refuse (``ValueError``)."""
    state = checkpoint.state
    refuse_other_settings(checkpoint.path, state["settings"], run.settings)
    if (state["batches"] is not None) != hasattr(run.batches, "load_state_dict"):
        raise ValueError(f"{checkpoint.path} was made with another kind of batches than these.")
    if state["batches"] is not None:
        run.batches.load_state_dict(state["batches"])
    put_weights(run.model, checkpoint.weights, checkpoint.path)
    for name, optimizer in run.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    runtime.set_rng_state(state["rng"])
    run.history, run.step = History(**state["history"]), checkpoint.step
    run.window = state["window"].to(run.device)
    run.model.eval()
    parallel.say(f"Going on from {checkpoint.path}.")
    if state["processes"] != parallel.size():
        processes = f"{state['processes']} process(es), now by {parallel.size()}"
        parallel.say(f"It was trained by {processes}: sums are rounded, and batch norm works, differently.")


def _save(run: _Run) -> None:
    """Save the run as it is after its current step, unless a term before it or a weight is not finite."""
    _mean_since_record(run, run.pending)
    check_finite(run.model, run.optimizers, run.step)
    begun = time.perf_counter()
    if run.folder:
        state = {
            "settings": run.settings,
            "optimizers": {name: optimizer.state_dict() for name, optimizer in run.optimizers.items()},
            "batches": run.batches.state_dict() if hasattr(run.batches, "load_state_dict") else None,
            "rng": runtime.rng_state(run.device),
            "history": dataclasses.asdict(run.history),
            "window": run.window.cpu(),
            "processes": parallel.size(),
        }
        save_checkpoint(run.folder, run.model, step=run.step, state=state)
    run.saved, run.clock = run.step, time.perf_counter()
    run.save_by = run.clock + max(_SAVE_WITHIN, 10 * (run.clock - begun))


def _note(run: _Run, terms: Mapping[str, Tensor]) -> None:
    """Keep the terms of the step being done, on the device and without waiting for it."""
    check_terms(terms, run.history.terms, run.device, run.step + 1)
    if run.step == 0:
        run.history.terms = list(terms)
        run.window = torch.zeros(run.settings["log_every"], len(terms), device=run.device)
    run.window[run.pending] = torch.stack([terms[name] for name in run.history.terms])


def _mean_since_record(run: _Run, count: int) -> Row:
    """Return the mean of each term over the last ``count`` steps, having waited for the device.

    Raises ``FloatingPointError`` for the first value that is not finite.
    """
    if count == 0:
        return {}
    joint = parallel.mean(run.window[:count].cpu().double()).float()  # float64: a mean of means is that mean
    run.window[:count] = joint
    values = joint.double().numpy()
    before, run.clock = run.clock, time.perf_counter()
    run.history.seconds += run.clock - before
    terms = run.history.terms
    for row, column in np.argwhere(~np.isfinite(values)):
        raise FloatingPointError(
            f"step {run.step - count + 1 + row}: {terms[column]!r} is {values[row, column]} "
            f"({row_text(dict(zip(terms, values[row], strict=True)))}). Training has stopped; nothing after "
            "the last checkpoint was saved. Try a smaller learning rate; look for log(0), 0/0 and bad data."
        )
    return {"step": run.step, **dict(zip(terms, values.mean(axis=0).tolist(), strict=True))}


def _evaluation(run: _Run, evaluate: Callable[[Any], Mapping[str, float]], seed: int) -> Row:
    """Call ``evaluate`` in such a way that training goes on as if it had not been called."""
    with evaluating(run.model), torch.no_grad(), runtime.forked_rng(seed):
        found = evaluate(run.model) if parallel.is_main() else {}
        values = parallel.from_main({name: float(value) for name, value in found.items()})
    for name, value in values.items():
        if name in ("step", *run.history.terms):
            raise ValueError(f"evaluate() returned {name!r}, a name that is taken. Choose another.")
        if not np.isfinite(value):
            raise FloatingPointError(f"step {run.step}: evaluate() returned {value} as {name!r}.")
    return {"step": run.step, **values}


def _add(run: _Run, row: Row) -> None:
    """Add a record to the history and to ``metrics.jsonl``, and tell who asked to be told."""
    run.history.rows.append(row)
    if run.folder:
        with naming(run.folder), (run.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    if run.on_record:
        run.on_record(dict(row))
        run.clock = time.perf_counter()  # what a listener does with it is no training
