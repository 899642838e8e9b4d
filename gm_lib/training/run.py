"""A training run: its state, the records of its steps, and its checkpoints."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from gm_lib import runtime
from gm_lib.networks import evaluating
from gm_lib.system import parallel
from gm_lib.system.checkpoints import (
    Checkpoint,
    checkpoints,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from gm_lib.system.files import naming, remove_folder, replace_file
from gm_lib.system.settings import optimizer_settings, refuse_other_settings
from gm_lib.system.weight_files import check_finite, put_weights
from gm_lib.training.averaging import Averaged
from gm_lib.training.history import History, Row, row_text
from gm_lib.training.trainable import check_terms

_SAVE_WITHIN = 30.0  # seconds from one checkpoint to the next, and ten times what saving takes


@dataclasses.dataclass
class Run:
    """The state of a run: what a checkpoint holds, and what is needed to take the next step."""

    model: Any
    optimizers: dict[str, Optimizer]
    batches: Any
    device: torch.device
    settings: dict[str, Any]
    averaged: Averaged | None = None
    folder: Path | None = None  # None too in a process that writes nothing
    on_record: Callable[[Row], None] | None = None
    history: History = dataclasses.field(default_factory=History)
    step: int = 0
    # One row of terms per step since the last record, on the device: reading it means waiting for the device.
    window: Tensor = dataclasses.field(default_factory=lambda: torch.empty(0, 0))
    clock: float = 0.0
    saved: int = 0  # the step of the last checkpoint
    save_by: float = 0.0  # the time of the next, at the latest

    @classmethod
    def start(
        cls,
        model: Any,
        batches: Any,
        device: torch.device,
        settings: dict[str, Any],
        average: float,
        folder: Path | None,
        resume: bool,
    ) -> "Run":
        """Return a run before its first step, or where the checkpoint in ``folder`` left it."""
        found = latest_checkpoint(folder) if folder and resume else None
        parallel.check_same({"the last checkpoint": str(found)})
        checkpoint = load_checkpoint(found) if found else None
        model.to(device)
        parallel.copy_from_main(model)
        optimizers = model.optimizers()
        for optimizer in optimizers.values():
            parallel.average_gradients(optimizer)
        run = cls(model, optimizers, batches, device, settings | optimizer_settings(optimizers))
        run.averaged = Averaged(model, average) if average else None
        run.folder = folder if parallel.is_main() else None
        if checkpoint:
            run.go_on(checkpoint)
        if run.folder:
            with naming(run.folder):
                # Starting over: after an accident before the first save, the old run would be gone on with.
                for old in [] if resume else checkpoints(run.folder):
                    remove_folder(old)
                replace_file(run.folder / "config.json", (json.dumps(settings, indent=1) + "\n").encode())
                lines = "".join(json.dumps(row) + "\n" for row in run.history.rows)
                replace_file(run.folder / "metrics.jsonl", lines.encode())
        run.saved, run.save_by = run.step, time.perf_counter() + _SAVE_WITHIN
        return run

    def go_on(self, checkpoint: Checkpoint) -> None:
        """Go to where ``checkpoint`` left the run, or refuse (``ValueError``)."""
        state = checkpoint.state
        refuse_other_settings(checkpoint.path, state["settings"], self.settings)
        if (state["batches"] is not None) != hasattr(self.batches, "load_state_dict"):
            raise ValueError(f"{checkpoint.path} was made with another kind of batches than these.")
        if state["batches"] is not None:
            self.batches.load_state_dict(state["batches"])
        put_weights(self.model, checkpoint.weights, checkpoint.path)
        if self.averaged:
            self.averaged.go_on(state["latest"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        runtime.set_rng_state(state["rng"])
        self.history, self.step = History(**state["history"]), checkpoint.step
        self.window = state["window"].to(self.device)
        self.model.eval()
        parallel.say(f"Going on from {checkpoint.path}.")
        if state["processes"] != parallel.size():
            processes = f"{state['processes']} process(es), now by {parallel.size()}"
            parallel.say(
                f"It was trained by {processes}: sums are rounded, and batch norm works, differently."
            )

    def save(self) -> None:
        """Save the run after its current step, unless a term before it or a weight is not finite."""
        self.mean_of_last(self.pending)
        check_finite(self.model, self.optimizers, self.step)
        begun = time.perf_counter()
        if self.folder:
            with self.averages():
                state = {
                    "settings": self.settings,
                    "optimizers": {name: each.state_dict() for name, each in self.optimizers.items()},
                    "latest": [value.cpu() for value in self.averaged.values] if self.averaged else [],
                    "batches": self.batches.state_dict()
                    if hasattr(self.batches, "load_state_dict")
                    else None,
                    "rng": runtime.rng_state(self.device),
                    "history": dataclasses.asdict(self.history),
                    "window": self.window.cpu(),
                    "processes": parallel.size(),
                }
                save_checkpoint(self.folder, self.model, step=self.step, state=state)
        self.saved, self.clock = self.step, time.perf_counter()
        self.save_by = self.clock + max(_SAVE_WITHIN, 10 * (self.clock - begun))

    @property
    def pending(self) -> int:
        """The number of steps since the last record."""
        return self.step % self.settings["log_every"]

    def note(self, terms: Mapping[str, Tensor]) -> None:
        """Count the step that is done; keep its terms, on the device and without waiting for it."""
        check_terms(terms, self.history.terms, self.device, self.step + 1)
        if self.step == 0:
            self.history.terms = list(terms)
            self.window = torch.zeros(self.settings["log_every"], len(terms), device=self.device)
        self.window[self.pending] = torch.stack([terms[name] for name in self.history.terms])
        self.step += 1
        if self.averaged:
            self.averaged.follow(self.step)

    def mean_of_last(self, count: int) -> Row:
        """Return the mean of each term over the last ``count`` steps, having waited for the device.

        Raises ``FloatingPointError`` for the first value that is not finite.
        """
        if count == 0:
            return {}
        # float64: a mean of means is that mean
        joint = parallel.mean(self.window[:count].cpu().double()).float()
        self.window[:count] = joint
        values = joint.double().numpy()
        before, self.clock = self.clock, time.perf_counter()
        self.history.seconds += self.clock - before
        terms = self.history.terms
        for row, column in np.argwhere(~np.isfinite(values)):
            raise FloatingPointError(
                f"step {self.step - count + 1 + row}: {terms[column]!r} is {values[row, column]} "
                f"({row_text(dict(zip(terms, values[row], strict=True)))}). Training has stopped; nothing "
                "after the last checkpoint was saved. Try a smaller learning rate; look for log(0), 0/0 and "
                "bad data."
            )
        return {"step": self.step, **dict(zip(terms, values.mean(axis=0).tolist(), strict=True))}

    def evaluate(self, function: Callable[[Any], Mapping[str, float]], seed: int) -> None:
        """Record what ``function`` returns of the model, so that training goes on as if it had not."""
        self.mean_of_last(self.pending)
        with self.averages(), evaluating(self.model), torch.no_grad(), runtime.forked_rng(seed):
            found = function(self.model) if parallel.is_main() else {}
            values = parallel.from_main({name: float(value) for name, value in found.items()})
        for name, value in values.items():
            if name in ("step", *self.history.terms):
                raise ValueError(f"evaluate() returned {name!r}, a name that is taken. Choose another.")
            if not np.isfinite(value):
                raise FloatingPointError(f"step {self.step}: evaluate() returned {value} as {name!r}.")
        self.add({"step": self.step, **values})
        self.clock = time.perf_counter()

    def add(self, row: Row) -> None:
        """Add a record to the history and to ``metrics.jsonl``, and tell who asked to be told."""
        self.history.rows.append(row)
        if self.folder:
            with naming(self.folder), (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
        if self.on_record:
            with self.averages():
                self.on_record(dict(row))
            self.clock = time.perf_counter()  # what a listener does with it is no training

    def averages(self) -> contextlib.AbstractContextManager[None]:
        """Use the model with the averaged weights, if there are any."""
        return self.averaged.in_place() if self.averaged else contextlib.nullcontext()

    def leave_averages(self) -> None:
        """Leave the averaged weights in the model, for good."""
        if self.averaged:
            self.averaged.swap()
