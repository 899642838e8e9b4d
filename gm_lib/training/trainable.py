"""What a model must do so that ``gm_lib.training.fit`` can train it, and what is said where it does not."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Trainable(Protocol):
    """What ``fit`` asks of a model, which must also be an ``nn.Module``.

    A batch reaches it as the pair ``(x, y)``, y None where there are no labels, or as a longer tuple if it
    was one. A model may also have ``check(batch)``, which raises when a batch is not data that it can train
    on; it is shown the first one.
    """

    def optimizers(self) -> dict[str, Optimizer]:
        """Make fresh optimizers over the model's parameters, by name."""

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Do the ``step``-th update (counted from 1) and return the terms to record.

        Always the same names, each with a detached tensor without dimensions on the model's device.
        """


def check_trainable(model: object) -> None:
    """Raise ``TypeError`` for what ``fit`` cannot train."""
    # Not isinstance(model, Trainable): since Python 3.12 it sees nothing that a wrapper, such as that of
    # torch.compile, passes on by __getattr__.
    if not (isinstance(model, nn.Module) and all(hasattr(model, name) for name in ("optimizers", "update"))):
        raise TypeError(
            f"{type(model).__name__} cannot be trained: fit needs an nn.Module with optimizers() and "
            "update(batch, optimizers, step)."
        )


def check_terms(terms: Any, names: Sequence[str], device: torch.device, step: int) -> None:
    """Raise unless ``terms`` can be recorded as what ``update`` returned at ``step``. Reads no values.

    ``names``: those of the steps before, none at the first step. Raises ``TypeError`` for other things than
    tensors by name, ``ValueError`` naming the term that has other names, dimensions, a graph or a wrong
    device.
    """
    if not isinstance(terms, Mapping) or not terms or "step" in terms:
        raise TypeError(f"update() must return a dictionary of terms, none called 'step', not {terms!r}.")
    if names and set(terms) != set(names):
        raise ValueError(
            f"step {step}: update() returned the terms {sorted(terms)}, but {sorted(names)} before. "
            "Return the same names at every step."
        )
    for name, value in terms.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"update() returned {name!r} as a {type(value).__name__}; return a tensor.")
        if value.dim() != 0:
            raise ValueError(f"update() returned {name!r} of shape {tuple(value.shape)}; return its mean.")
        if value.requires_grad:
            raise ValueError(f"update() returned {name!r} with its graph; return {name}.detach().")
        if value.device.type != device.type:
            raise ValueError(f"update() returned {name!r} on {value.device}; the model is on {device}.")
