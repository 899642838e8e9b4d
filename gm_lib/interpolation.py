"""Ways from one latent code to another."""

import math

import torch.nn.functional as F
from torch import Tensor


def variance_preserving_path(z0: Tensor, z1: Tensor, t: Tensor) -> Tensor:
    """Return cos(πt/2) z0 + sin(πt/2) z1 for each t: from z0 at t = 0 to z1 at t = 1.

    For independent draws z0, z1 of N(0, I) every point of the path is one too, since cos² + sin² = 1; the
    straight line between them passes the origin at 1/√2 of their distance from it. ``z0``, ``z1``: the same
    shape (..., d); ``t``: (steps,) in [0, 1]. Returns (steps, ..., d).

    Raises ``ValueError`` for ends of different shapes and for a t that is not a vector within [0, 1].
    """
    if z0.shape != z1.shape:
        raise ValueError(f"both ends need one shape, got {tuple(z0.shape)} and {tuple(z1.shape)}.")
    if t.dim() != 1 or not bool(((t >= 0) & (t <= 1)).all()):
        raise ValueError(f"t must be a vector of numbers from 0 to 1, got {t.tolist()!r}.")
    angle = (t * (math.pi / 2)).reshape(-1, *[1] * z0.dim())
    return angle.cos() * z0 + angle.sin() * z1


def slerp(z0: Tensor, z1: Tensor, t: float) -> Tensor:
    """Return the point at t, from 0 to 1, on the arc from z0 to z1: spherical linear interpolation.

    (sin((1-t)ω) z0 + sin(tω) z1) / sin ω, ω being the angle between the two, row by row. ``z0``, ``z1``: the
    same shape (..., d), neither zero nor opposite to each other. White 2016; Shoemake 1985.

    Raises ``ValueError`` for ends of different shapes.
    """
    if z0.shape != z1.shape:
        raise ValueError(f"both ends need one shape, got {tuple(z0.shape)} and {tuple(z1.shape)}.")
    omega = F.cosine_similarity(z0, z1, dim=-1).acos().unsqueeze(-1)
    return (((1 - t) * omega).sin() * z0 + (t * omega).sin() * z1) / omega.sin()
