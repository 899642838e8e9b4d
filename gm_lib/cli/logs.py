"""What can be watched while a run trains: pictures of its samples, lines of text, TensorBoard's curves."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from torch import Tensor

from gm_lib.plotting import image_grid, save_images
from gm_lib.training import History, fit, latest_checkpoint
from gm_lib.training.history import Row, row_text

_EVERY = 100  # steps from one record of fit to the next
_PICTURES = 10  # of a run, about


class RunLog:
    """Follows a run by its records: give it to :func:`gm_lib.training.fit` as ``on_record``.

    About ten times in ``steps``, each ``every`` steps, ``folder/samples/step-0000400.png`` gets what
    ``draw()`` returns, images always of the same noise, and ``say`` a line of text, if given. With
    ``tensorboard``, event files in the folder hold all records and the pictures. A ``fresh`` run first
    removes what an earlier one left; another goes on where its checkpoint was, and hides from TensorBoard
    what came after that.
    """

    def __init__(
        self,
        folder: Path,
        draw: Callable[[], Tensor],
        *,
        steps: int,
        fresh: bool,
        tensorboard: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.folder, self.draw, self.steps = folder, draw, steps
        self.every = min(steps, max(_EVERY, steps // _PICTURES // _EVERY * _EVERY))
        self.fresh, self.tensorboard, self.say = fresh, tensorboard, say
        self._writer: Any = None
        self._drawn = self._begun = 0

    def __call__(self, row: Row) -> None:
        """Note one record."""
        step = int(row["step"])
        if not self._begun:  # not before: a run that is refused must leave the folder as it was
            self._begin(step)
        if self._writer:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, step)
        if step % self.every == 0:
            if self.say:
                self.say(f"step {step:,} of {self.steps:,}: {row_text(row)}")
            if step != self._drawn:
                self._draw(step)
        if self._writer:
            self._writer.flush()  # what a kill leaves, and what can be looked at now, is whole

    def close(self) -> None:
        """Finish the event files."""
        if self._writer:
            self._writer.close()

    def _begin(self, step: int) -> None:
        self._begun = step
        if self.fresh:
            for pattern in ("samples.png", "samples/step-*.png", "events.out.tfevents.*", "evaluation.json"):
                for left in self.folder.glob(pattern):
                    left.unlink()
        if self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=None if self.fresh else step)

    def _draw(self, step: int) -> None:
        x = self.draw()
        save_images(x, self.folder / "samples" / f"step-{step:07d}.png", columns=10)
        if self._writer:
            self._writer.add_image("samples", image_grid(x, 10), step, dataformats="HW")
        self._drawn = step


def fit_and_log(
    model: Any,
    batches: Any,
    out: Path,
    draw: Callable[[], Tensor],
    *,
    steps: int,
    resume: bool,
    tensorboard: bool,
    evaluate: Callable[[Any], dict[str, float]] | None,
    **options: Any,
) -> History:
    """Train in the folder ``out``, followed by a :class:`RunLog`; leave if it is interrupted.

    ``options`` are those of :func:`gm_lib.training.fit`. On a terminal its bar is shown, else lines of text.
    """
    watched = sys.stderr.isatty()
    log = RunLog(
        out,
        draw,
        steps=steps,
        fresh=not resume or latest_checkpoint(out) is None,
        tensorboard=tensorboard,
        say=None if watched else partial(click.echo, err=True),
    )
    with contextlib.closing(log):
        history = fit(
            model,
            batches,
            steps=steps,
            out=out,
            evaluate=evaluate,
            evaluate_every=log.every if evaluate else 0,
            resume=resume,
            progress=watched,
            on_record=log,
            **options,
        )
    if history.interrupted:
        click.get_current_context().exit(128 + history.interrupted)  # what a shell expects after a signal
    return history
