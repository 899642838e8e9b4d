"""Weights to be saved, which must be finite, and saved ones: read, and put into a model, all or none."""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn


def parse_weights(path: Path, content: bytes) -> dict[str, Tensor]:
    """Return the tensors in ``content``, read from ``path``; ``ValueError`` if it is no safetensors file."""
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}. Get or make it again.") from error


def put_weights(model: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Copy ``weights`` into ``model``: all of them or, when they do not fit (``ValueError``), none."""
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
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
    model.load_state_dict(dict(weights))


def check_finite(model: nn.Module, step: int) -> None:
    """Raise ``FloatingPointError`` naming a weight that is not finite: losses may be, and a gradient not."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise FloatingPointError(
                f"step {step}: {name!r} of the model is not finite, though the losses so far are, so a "
                "gradient was not. Training has stopped; nothing after the last checkpoint was saved. Look "
                "for sqrt(0), 0 · log(0) and norms of zero."
            )
