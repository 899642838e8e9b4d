"""Train any model that knows its own update: one loop, its record, its checkpoints."""

from gm_lib.system.checkpoints import (
    Checkpoint,
    latest_checkpoint,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from gm_lib.training.history import History
from gm_lib.training.loop import fit
from gm_lib.training.trainable import Trainable

__all__ = [
    "Checkpoint",
    "History",
    "Trainable",
    "fit",
    "latest_checkpoint",
    "load_checkpoint",
    "load_weights",
    "save_checkpoint",
]
