"""What a check must leave as it found it."""

import random
from typing import Any

import numpy as np
import torch


def global_state() -> list[Any]:
    """Random states, default dtype, gradient mode and number of threads, comparable by ``==``."""
    return [
        random.getstate(),
        [np.asarray(part).tolist() for part in np.random.get_state()],  # noqa: NPY002
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    ]
