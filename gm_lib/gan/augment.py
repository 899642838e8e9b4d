"""A random change of images that gradients pass, for discriminators with few real images to learn from."""

import torch
from torch import Tensor

from gm_lib.system.parallel import uniform


def augment_images(x: Tensor) -> Tensor:
    """Return images (n, c, h, w), each moved and with a hole in it: Zhao et al. 2020.

    Each is moved by up to an eighth of its height and width, where zeros come in, and a rectangle of half its
    height and width, anywhere in it, is set to 0. Both are drawn anew for each image at each call.
    """
    n, _, h, w = x.shape
    u = uniform((n, 4), device=x.device, dtype=x.dtype)
    source_rows, row_inside, row_in_hole = _along(h, u[:, 0:1], u[:, 1:2])
    source_columns, column_inside, column_in_hole = _along(w, u[:, 2:3], u[:, 3:4])
    moved = x.gather(2, source_rows[:, None, :, None].expand_as(x))
    moved = moved.gather(3, source_columns[:, None, None, :].expand_as(x))
    inside = row_inside[:, :, None] & column_inside[:, None, :]
    hole = row_in_hole[:, :, None] & column_in_hole[:, None, :]
    return moved * (inside & ~hole)[:, None]


def _along(side: int, u_shift: Tensor, u_hole: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each place along a side, where its content comes from, whether there is any, and the hole.

    ``u_shift`` and ``u_hole``, (n, 1), are uniform in [0, 1]; each result is (n, side).
    """
    places = torch.arange(side, device=u_shift.device)
    furthest = round(side / 8)
    shift = (u_shift * (2 * furthest + 1)).floor().clamp(max=2 * furthest) - furthest
    source = places - shift.long()
    hole = (places + 0.5 - u_hole * side).abs() < side / 4
    return source.clamp(0, side - 1), (source >= 0) & (source < side), hole
