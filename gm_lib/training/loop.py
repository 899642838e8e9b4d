"""The one training loop. It knows batches, device, seeds, records, checkpoints; a model knows its update."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from gm_lib import runtime
from gm_lib.data.stream import count_examples, refuse_a_lone_example, stream
from gm_lib.system import interrupts, parallel
from gm_lib.system.checkpoints import is_checkpoint
from gm_lib.system.choose import choose, whole_number
from gm_lib.system.files import locked, place
from gm_lib.system.settings import json_values
from gm_lib.training.history import History, Row, row_text
from gm_lib.training.run import Run
from gm_lib.training.trainable import check_trainable


def fit(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    steps: int,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: str = "float32",
    average: float = 0.0,
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

    With ``average`` > 0 a second set of weights follows the model's own, averaged ← a · averaged + (1 - a) ·
    its own, where a = min(``average``, (1 + step) / (10 + step)), and batch-norm statistics with them. The
    model is evaluated, saved and left with these: they are less shaken by the last batches, so larger
    learning rates do. It goes on from a checkpoint with its own.

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
    if not 0 <= average < 1:
        raise ValueError(f"average must be in [0, 1), not {average}: 0 averages no weights.")
    own = {"seed": seed, "log_every": log_every, "precision": precision}
    settings = json_values(own | ({"average": average} if average else {}) | dict(settings or {}))
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
        run = Run.start(model, batches, where, settings, average, folder, resume)
        run.on_record = on_record if main else None
        run.clock = time.perf_counter()
        if run.step >= steps:
            parallel.say(f"{folder} has {run.step} steps, {steps} were asked for: nothing is left to do.")
            if run.pending:  # a checkpoint holds the steps since the last record, but no record of them
                run.add(run.mean_of_last(run.pending))
            run.leave_averages()
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
                    run.save()
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
                run.note(terms)
                run.history.images += count_examples(batch) * parallel.size()
                bar.update()
                if run.step % log_every == 0:
                    row = run.mean_of_last(log_every)
                    run.add(row)
                    bar.set_postfix_str(row_text(row), refresh=False)
                if evaluate and run.step % evaluate_every == 0:
                    run.evaluate(evaluate, seed)
            if run.saved < run.step:
                run.save()
        except KeyboardInterrupt:
            if parallel.size() > 1:
                raise  # the others know nothing of it, and would wait for this process
            cut_short = signal.SIGINT  # and nothing is saved: a record may be missing
        if run.pending:
            run.add(run.mean_of_last(run.pending))
        if cut_short or run.step < steps:  # the last case: another process was asked
            run.history.interrupted = int(cut_short or asked_to_stop() or signal.SIGTERM)
        run.leave_averages()
        parallel.copy_from_main(model)
    model.eval()
    if run.history.interrupted:
        again = f"Run it again to go on from {folder}, step {run.saved}."
        how = again if folder and run.saved else "Nothing was saved."
        parallel.say(f"Stopped after {run.step} of {steps} steps. {how}")
    return run.history
