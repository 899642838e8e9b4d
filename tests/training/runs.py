"""Small runs of the course's own models, trained in processes of their own that may be killed at any moment.

The processes are forked from one that has imported torch already, so that each takes a moment.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

from gm_lib.data import Batches
from gm_lib.gan import digit_gan
from gm_lib.training import History, fit, load_checkpoint
from gm_lib.training import run as training_run
from gm_lib.vae import digit_vae

CONTEXT = multiprocessing.get_context("forkserver")
# torch._dynamo: the first optimizer would import it, again in each process.
CONTEXT.set_forkserver_preload(["gm_lib.vae", "gm_lib.gan", "gm_lib.training", "torch._dynamo"])

STEPS, STEPS_PER_EPOCH, CHECKPOINT_EVERY = 43, 9, 6


def model(kind: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return digit_vae(hidden=8, latent_dim=3) if kind == "vae" else digit_gan(width=2, latent_dim=3)


def batches(kind: str) -> Batches:
    grey = torch.rand(75, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    return Batches(grey, batch_size=8, seed=3, device="cpu", dynamic_binarization=kind == "vae")


def evaluate(model: Any) -> dict[str, float]:
    return {"brightness": float(model.sample(5).mean())}


def train(kind: str, out: Path, **options: Any) -> History:
    options = {
        "steps": STEPS,
        "seed": 4,
        "log_every": 10,
        "checkpoint_every": CHECKPOINT_EVERY,
        "evaluate": evaluate,
        "evaluate_every": 15,
        "average": 0.9 if kind == "vae" else 0.0,  # the GAN averages by itself
    } | options
    return fit(
        options.pop("model", None) or model(kind),
        options.pop("batches", None) or batches(kind),
        out=out,
        device="cpu",
        progress=False,
        **options,
    )


def what_a_run_leaves(out: Path) -> dict[str, Any]:
    """All that a finished run has on the disk, without the time that it took."""
    checkpoint = load_checkpoint(out)
    checkpoint.state["history"].pop("seconds")
    return {
        "config": (out / "config.json").read_bytes(),
        "metrics": (out / "metrics.jsonl").read_bytes(),
        "step": checkpoint.step,
        "weights": checkpoint.weights,
        "state": checkpoint.state,
    }


# In another process


class Watched:
    """A process that trains, and what it says of itself: the step it is in, and whether it is saving."""

    process: ForkServerProcess

    def __init__(self) -> None:
        self.begun = CONTEXT.Event()
        self._step, self._saving, self._operations = (CONTEXT.Value("i", 0, lock=False) for _ in range(3))

    step = property(lambda self: self._step.value)
    saving = property(lambda self: bool(self._saving.value))
    operations = property(lambda self: self._operations.value)

    def follow(self, trained: Any, kill_at: int | None) -> None:
        """Follow a model and its saving; kill this process before the ``kill_at``-th operation on a file."""
        update, save = trained.update, training_run.save_checkpoint

        def followed_update(batch: Any, optimizers: Any, step: int) -> Any:
            self._step.value = step
            self.begun.set()
            return update(batch, optimizers, step)

        def followed_save(*args: Any, **kwargs: Any) -> Any:
            self._saving.value = 1
            path = save(*args, **kwargs)
            self._saving.value = 0
            return path

        def count(event: str, args: tuple[Any, ...]) -> None:
            if self._saving.value and (event == "open" or event.startswith("os.")):
                self._operations.value += 1
                if self._operations.value == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        trained.update = followed_update
        training_run.save_checkpoint = followed_save
        sys.addaudithook(count)


def _train_followed(kind: str, out: Path, watched: Watched, kill_at: int | None) -> None:
    torch.set_num_threads(1)
    trained = model(kind)
    watched.follow(trained, kill_at)
    with (out.parent / f"{out.name}.log").open("a") as log, redirect_stdout(log):
        train(kind, out, model=trained)


def start(kind: str, out: Path, kill_at: int | None = None) -> Watched:
    """Begin to train in another process; ``kill_at``: see :meth:`Watched.follow`."""
    watched = Watched()
    watched.process = run(_train_followed, kind, out, watched, kill_at)
    return watched


def run(function: Callable[..., Any], *args: Any) -> ForkServerProcess:
    """Call ``function`` in another process."""
    process = CONTEXT.Process(target=function, args=args, daemon=True)
    process.start()
    return process


# A disk of one's own


def mount_own(folder: Path, kind: str, options: str, *flags: int) -> None:
    """Mount something at ``folder`` that this process alone sees, and that is gone when it ends.

    Raises ``PermissionError`` where neither root nor a user's own namespace may do so, as in some containers.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *args: Any) -> None:
        if getattr(libc, name)(*args) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    new_mounts, new_user, private = 0x20000, 0x10000000, 0x44000  # MS_REC | MS_PRIVATE
    user, group = os.geteuid(), os.getegid()
    call("unshare", new_mounts if user == 0 else new_mounts | new_user)
    if user != 0:
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    call("mount", b"none", b"/", None, private, None)
    for flag in flags or (0,):
        call("mount", str(folder).encode(), str(folder).encode(), kind.encode(), flag, options.encode())
