"""Weights to be saved, which must be finite, and saved ones: read, and put into a model, all or none."""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.optim import Optimizer


def parse_weights(path: Path, content: bytes) -> dict[str, Tensor]:
    """Return the tensors in ``content``, read from ``path``; ``ValueError`` if it is no safetensors file."""
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}. Get or make it again.") from error


def named_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's ``state_dict()`` under its own names, also where ``torch.compile`` wraps a part."""
    return {_own_name(key): value for key, value in model.state_dict().items()}


def _own_name(key: str) -> str:
    return key.replace("_orig_mod.", "")


def put_weights(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Copy ``weights`` into ``model``: all of them or, when they do not fit (``ValueError``), none."""
    own = {key: tuple(value.shape) for key, value in named_weights(model).items()}
    saved = {key: tuple(value.shape) for key, value in weights.items()}
    problems = [f"{key} is not in the file" for key in own if key not in saved]
    problems += [f"{key} is not in the model" for key in saved if key not in own]
    problems += [
        f"{key} is {saved[key]} in the file and {own[key]} in the model"
        for key in own
        if own[key] != saved.get(key, own[key])
    ]
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"{source} holds the weights of another model than this {type(model).__name__}: "
            f"{'; '.join(problems[:3])}{more}. Build the model with the settings it was trained with."
        )
    model.load_state_dict({key: weights[_own_name(key)] for key in model.state_dict()})


def check_finite(model: nn.Module, optimizers: Mapping[str, Optimizer], step: int) -> None:
    """Raise ``FloatingPointError`` naming what is not finite, though losses may be: a gradient was not.

    Looked at are weights, and what optimizers remember of the gradients: where Adam's second moment is
    infinite, the weight stays as it is for ever.
    """
    found = [(name, "the model", value) for name, value in named_weights(model).items()]
    for kind, optimizer in optimizers.items():
        for state in optimizer.state.values():
            found += [(name, f"the optimizer {kind!r}", value) for name, value in state.items()]
    for name, owner, value in found:
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all()):
            raise FloatingPointError(
                f"step {step}: {name!r} of {owner} is not finite, though the losses so far are: a gradient "
                "was not, or was too large to be squared. Training has stopped; nothing after the last "
                "checkpoint was saved. Look for sqrt(0), 0 · log(0), norms of zero and far too large data."
            )
