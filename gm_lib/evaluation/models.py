"""How a model is looked at: data of its own kind, batch by batch on its own device, without gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gm_lib import networks
from gm_lib.distributions.estimates import as_tensor

Model: TypeAlias = Any  # an nn.Module, known by what it can do


def data_for(model: Model, x: Any, y: Any = None) -> tuple[Tensor, Tensor | None]:
    """Return ``x`` and ``y``, tensors, arrays or lists, as tensors that the model takes, or refuse them.

    ``x`` gets the model's dtype. Raises what the model's own ``check((x, y))`` does, if it has one, as
    ``gm_lib.training.fit`` would, and ``ValueError`` for values that are not finite and for another number of
    labels than of examples.
    """
    x, y = as_tensor(x), None if y is None else as_tensor(y)
    if x.is_floating_point():
        x = x.to(dtype_of(model, x))
    if y is not None and len(y) != len(x):
        raise ValueError(f"there are {len(x)} examples but {len(y)} labels.")
    if hasattr(model, "check"):
        model.check((x, y))
    if not x.isfinite().all():
        raise ValueError("x holds NaN or infinite values: look at how it was computed.")
    return x, y


def batches_for(
    model: Model, x: Tensor, y: Tensor | None = None, *, size: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield ``x`` (n, ...) and ``y`` (n,) in order, ``size`` at a time, with the model's device and dtype."""
    device, dtype = device_of(model), dtype_of(model, x)
    for start in range(0, len(x), size):
        labels = None if y is None else y[start : start + size].to(device)
        yield x[start : start + size].to(device, dtype), labels


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Evaluation mode without gradients; the modes of the model's parts are put back afterwards."""
    with networks.evaluating(model), torch.no_grad():
        yield


def device_of(model: Model) -> torch.device:
    """Return the device of the model's parameters; the CPU for a model that has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def dtype_of(model: Model, x: Tensor) -> torch.dtype:
    """Return the dtype of the model's parameters; that of ``x`` for a model that has none."""
    return next((p.dtype for p in model.parameters()), x.dtype)


def log_prior(model: Model, z: Tensor) -> Tensor:
    """Return log p(z) in nats for z (*lead, latent_dim): (*lead,), for a prior of either kind.

    Its batch shape is (latent_dim,), as of a Normal, or its event shape is, as of a mixture.
    """
    log_p = model.prior.log_prob(z)
    return log_p.sum(-1) if log_p.shape == z.shape else log_p


def values_per_draw(model: Model, x: Tensor) -> int:
    """Return how many numbers the model computes for one example of ``x`` (n, ...) and one z."""
    return getattr(model, "values_per_draw", x[0].numel())
