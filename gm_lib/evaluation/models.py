"""How a model is looked at: batch by batch on its own device, in evaluation mode, without gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gm_lib import networks

Model: TypeAlias = Any  # an nn.Module, known by what it can do


def batches_for(
    model: Model, x: Tensor, y: Tensor | None = None, *, size: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield ``x`` (n, ...) and ``y`` (n,) in order, ``size`` examples at a time, on the model's device."""
    device = device_of(model)
    for start in range(0, len(x), size):
        labels = None if y is None else y[start : start + size].to(device)
        yield x[start : start + size].to(device), labels


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Evaluation mode without gradients; the modes of the model's parts are put back afterwards."""
    with networks.evaluating(model), torch.no_grad():
        yield


def device_of(model: Model) -> torch.device:
    """Return the device of the model's parameters; the CPU for a model that has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))
