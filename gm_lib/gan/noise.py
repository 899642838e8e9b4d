"""Uniform random numbers that do not depend on how many processes train."""

import torch
from torch import Tensor

from gm_lib.system.parallel import randn


def uniform(n: int, k: int, like: Tensor) -> Tensor:
    """Return k numbers from U(0, 1) for each of this process's n examples: (n, k), in the dtype of ``like``.

    They are Φ(ε), where ε comes from N(0, 1) and Φ is its distribution function: the model's own source of
    noise, which gives several processes what one would have drawn. A number may be rounded to 1.
    """
    return torch.special.ndtr(randn((n, k), device=like.device, dtype=like.dtype))
