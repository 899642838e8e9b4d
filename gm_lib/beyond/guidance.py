"""Labels for guidance: a network is asked with and without them, so in training some are withheld.

Ho and Salimans 2022. The label ``num_classes`` says that none is known. How far guidance goes is for each
family to say, where it samples.
"""

from typing import Any

import torch
from torch import Tensor

from gm_lib.networks import labels_of
from gm_lib.system.parallel import uniform


def withheld_share(drop: float) -> float:
    """Return ``drop``, the share of labels withheld. Raises ``ValueError`` unless it lies in [0, 1)."""
    if not 0 <= drop < 1:
        raise ValueError(f"drop is the share of labels withheld, from 0 to below 1, not {drop}.")
    return drop


def withhold(y: Tensor | None, drop: float, num_classes: int, u: Tensor | None = None) -> Tensor | None:
    """Return labels y (n,), each with probability ``drop`` the unknown one. ``u``: uniform (n,), if drawn.

    A model without classes, or without y, has no labels to withhold: then y comes back, and nothing is drawn.
    """
    if not num_classes or y is None:
        return y
    u = uniform(y.shape, device=y.device) if u is None else u
    return y.where(u >= drop, num_classes)


def wanted_labels(y: Any, n: int, num_classes: int, device: torch.device, guidance: float) -> Tensor | None:
    """Return :func:`gm_lib.networks.labels_of`. Raises ``ValueError`` for ``guidance`` without labels."""
    labels = labels_of(y, n, num_classes, device)
    if guidance and labels is None:
        raise ValueError("guidance leads towards labels: give y, to a model that takes labels.")
    return labels
