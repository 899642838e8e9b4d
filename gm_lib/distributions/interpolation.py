"""Ways from one latent code to another.

Both take ``z0`` and ``z1`` of one shape (..., d) and ``t`` within [0, 1]: a number gives the point at t,
(..., d), a vector of numbers (steps,) a path of such points, (steps, ..., d).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def variance_preserving_path(z0: Tensor, z1: Tensor, t: Tensor | float) -> Tensor:
    """Return cos(πt/2) z0 + sin(πt/2) z1 for each t: from z0 at t = 0 to z1 at t = 1.

    For independent draws z0, z1 of N(0, I) every point of the path is one too, since cos² + sin² = 1; the
    straight line between them passes the origin at 1/√2 of their distance from it.

    Raises ``ValueError`` for ends of different shapes and for a t that is no number or vector in [0, 1].
    """
    angle = _steps(z0, z1, t) * (math.pi / 2)
    return angle.cos() * z0 + angle.sin() * z1


def slerp(z0: Tensor, z1: Tensor, t: Tensor | float) -> Tensor:
    """Return the point at t on the arc from z0 to z1, row by row: spherical linear interpolation.

    (sin((1-t)ω) z0 + sin(tω) z1) / sin ω, ω being the angle between the two. White 2016; Shoemake 1985. Ends
    that are equal or exactly opposite, to rounding, have no arc of their own, nor has an end at the origin:
    they are joined by the straight line. Gradients are finite everywhere.

    Raises as :func:`variance_preserving_path` does.
    """
    t = _steps(z0, z1, t)
    u, v = F.normalize(z0, dim=-1), F.normalize(z1, dim=-1)
    # Twice the sine and the cosine of ω/2. The arc cosine of u·v would lose half of the digits near ω = 0.
    apart, together = (torch.linalg.vector_norm(w, dim=-1, keepdim=True) for w in (u - v, u + v))
    no_arc = apart * together < 4 * torch.finfo(z0.dtype).eps ** 0.5  # the product is 2 sin ω
    straight = no_arc | ~u.any(-1, keepdim=True) | ~v.any(-1, keepdim=True)
    # What is not chosen must be finite too, or its gradient would be NaN.
    omega = 2 * torch.atan2(apart.masked_fill(straight, 1.0), together.masked_fill(straight, 1.0))
    of_z0 = torch.where(straight, 1 - t, ((1 - t) * omega).sin() / omega.sin())
    of_z1 = torch.where(straight, t, (t * omega).sin() / omega.sin())
    return of_z0 * z0 + of_z1 * z1


def _steps(z0: Tensor, z1: Tensor, t: Tensor | float) -> Tensor:
    """Return ``t`` with the shape (1, ...) or (steps, 1, ...), so that it multiplies whole ends."""
    if z0.shape != z1.shape:
        raise ValueError(f"both ends need one shape, got {tuple(z0.shape)} and {tuple(z1.shape)}.")
    t = torch.as_tensor(t, dtype=z0.dtype, device=z0.device)
    if t.dim() > 1 or not bool(((t >= 0) & (t <= 1)).all()):
        raise ValueError(f"t must be a number or a vector of numbers from 0 to 1, got {t.tolist()!r}.")
    return t.reshape(*t.shape, *[1] * z0.dim())
