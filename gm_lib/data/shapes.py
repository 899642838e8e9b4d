"""Coloured shapes on coloured grounds: images drawn from a distribution that is known exactly.

Six independent factors, all values equally likely, decide on a rendering: which of ten shapes, its colour,
size, row and column, and the ground. *Grain* is added to each of the 3 · 32 · 32 values, independently: the
number of heads in four tosses of a coin, minus 2, in levels of 1/255. Two renderings differ somewhere by more
than four levels, and grain cannot close that gap. So an image has one cause, its probability is known, and so
is the entropy of the whole.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from gm_lib.data.batches import check_images

SIDE = 32
SHAPE = (3, SIDE, SIDE)
SHAPES = (
    "disc",
    "ring",
    "half disc",
    "crescent",
    "heart",
    "star",
    "triangle",
    "square",
    "diamond",
    "plus",
)
# Red, green and blue in levels of 255, and of a ground those at its top and at its bottom. All lie more than
# two levels inside 0 to 255, so that grain is never cut off.
COLOURS = {
    "red": (226, 74, 72),
    "orange": (243, 156, 60),
    "yellow": (250, 218, 98),
    "green": (98, 190, 104),
    "turquoise": (66, 196, 196),
    "blue": (84, 134, 236),
    "violet": (164, 104, 222),
    "white": (246, 242, 236),
}
GROUNDS = {
    "night": ((14, 18, 44), (44, 52, 100)),
    "forest": ((12, 46, 40), (30, 84, 62)),
    "wine": ((58, 16, 36), (98, 34, 58)),
    "slate": ((54, 60, 70), (90, 98, 110)),
    "earth": ((62, 42, 28), (106, 76, 50)),
    "plum": ((40, 22, 66), (80, 50, 112)),
}
SIZES = (5.5, 7.0, 8.5)  # half the height of a shape, in pixels
PLACES = (-6, -4, -2, 0, 2, 4, 6)  # pixels from the middle, of rows and of columns

# The factors in their order, with the number of their values; the shape is the label.
FACTORS = {
    "shape": len(SHAPES),
    "colour": len(COLOURS),
    "size": len(SIZES),
    "row": len(PLACES),
    "column": len(PLACES),
    "ground": len(GROUNDS),
}
RENDERINGS = math.prod(FACTORS.values())
GRAIN = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # the probabilities of -2, -1, 0, 1, 2 levels
_OVER = 8  # points along a pixel's side at which a shape is looked up: its edges are mixed in 65 steps


class Reading(NamedTuple):
    """What :func:`read_factors` found: ``factors`` int64 (n, 6) and ``distance`` float32 (n,)."""

    factors: Tensor
    distance: Tensor


def draw_shapes(n: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return n images (n, 3, 32, 32) with grain, and their factors (n, 6) in the order of ``FACTORS``.

    The values are multiples of 1/255 in [0, 1]. ``seed`` decides, with a generator of its own; both are on
    the CPU.
    """
    with torch.device("cpu"):
        generator = Generator().manual_seed(seed)
        columns = [torch.randint(values, (n,), generator=generator) for values in FACTORS.values()]
        factors = torch.stack(columns, dim=1)
        return render(factors) + _grain(n, generator), factors


def empty_grounds(n: int, *, seed: int) -> Tensor:
    """Return n images (n, 3, 32, 32) of grounds with grain and no shape: what no real image of this set is.

    A measure of samples has to tell them from images with a shape. ``seed`` as for :func:`draw_shapes`.
    """
    with torch.device("cpu"):
        generator = Generator().manual_seed(seed)
        return _scene().grounds[torch.randint(len(GROUNDS), (n,), generator=generator)] + _grain(n, generator)


def render(factors: Tensor) -> Tensor:
    """Return the images (n, 3, 32, 32) of factors (n, 6), without grain: multiples of 1/255 in [0, 1].

    Raises ``ValueError`` for another shape and for values that a factor does not have.
    """
    if factors.ndim != 2 or factors.shape[1] != len(FACTORS) or factors.is_floating_point():
        raise ValueError(
            f"factors are whole numbers (n, {len(FACTORS)}): {', '.join(FACTORS)}; got {factors.dtype} of "
            f"the shape {tuple(factors.shape)}."
        )
    for column, (name, values) in zip(factors.T, FACTORS.items(), strict=True):
        if len(column) and not 0 <= column.min() <= column.max() < values:
            raise ValueError(
                f"the factor {name} has the values 0 to {values - 1}, got {column.tolist()[:9]}."
            )
    scene = _scene()
    shape, colour, size, row, column, ground = factors.cpu().T
    mask = scene.masks[_mask_number(shape, size, row, column)].reshape(-1, 1, SIDE, SIDE)
    paint, behind = scene.colours[colour][:, :, None, None], scene.grounds[ground]
    return (255 * (behind + mask * (paint - behind))).round() / 255


def read_factors(x: Tensor, *, batch_size: int = 100) -> Reading:
    """Return the factors of the rendering that is nearest to each image, and how far away it is.

    ``x``: (n, 3, 32, 32) in [0, 1], from anywhere. All 70,560 renderings are compared, by the root of the
    mean squared difference over the 3,072 values, which is ``distance``. An image of this set is about 1/255
    from its own, by its grain.

    Raises what ``check_images`` does, and ``ValueError`` for another size.
    """
    check_images(x)
    if x.shape[1:] != SHAPE:
        raise ValueError(f"these are images of the shape (n, 3, {SIDE}, {SIDE}), got {tuple(x.shape)}.")
    found = torch.cat([_nearest(part) for part in x.detach().cpu().float().split(batch_size)])
    return Reading(found, (render(found) - x.detach().cpu()).square().mean((1, 2, 3)).sqrt())


def log_prob(x: Tensor) -> Tensor:
    """Return the true log p(x) in nats of images (n, 3, 32, 32): (n,), float64; -inf for what is never drawn.

    Raises what :func:`read_factors` does.
    """
    found = read_factors(x).factors
    grain = 255 * (x.detach().cpu() - render(found)).double()
    level = grain.round()
    possible = ((grain - level).abs() < 1e-3) & (level.abs() <= 2)
    log_p = torch.tensor(GRAIN, dtype=torch.float64, device="cpu").log()[(level.clamp(-2, 2) + 2).long()]
    total = log_p.sum((1, 2, 3)) - math.log(RENDERINGS)
    return torch.where(possible.all(3).all(2).all(1), total, -math.inf)


def entropy() -> float:
    """Return the entropy of the images in bits, exactly: no model needs fewer on average for fresh ones.

    It is that of the factors, log2 of the number of renderings, and that of the grain in each value.
    """
    return math.log2(RENDERINGS) - math.prod(SHAPE) * sum(p * math.log2(p) for p in GRAIN)


def _grain(n: int, generator: Generator) -> Tensor:
    tosses = torch.randint(16, (n, *SHAPE), generator=generator, dtype=torch.uint8)
    heads = torch.tensor([bin(toss).count("1") for toss in range(16)]).float()
    return (heads[tosses.int()] - 2) / 255


class _Scene(NamedTuple):
    masks: Tensor
    """How much of each pixel a shape covers, (masks, 1024)."""
    colours: Tensor
    """(colours, 3)."""
    grounds: Tensor
    """(grounds, 3, 32, 32), levels of 1/255."""


@cache
def _scene() -> _Scene:
    with torch.device("cpu"):
        down = torch.linspace(0, 1, SIDE)[:, None].expand(SIDE, SIDE)
        ends = torch.tensor(list(GROUNDS.values())).float()[..., None, None]  # (grounds, 2, 3, 1, 1)
        grounds = (ends[:, 0] + down * (ends[:, 1] - ends[:, 0])).round() / 255
        return _Scene(_masks(), torch.tensor(list(COLOURS.values())) / 255, grounds)


def _masks() -> Tensor:
    """Return how much of each pixel is covered, for all shapes, sizes, rows and columns: (masks, 1024).

    Places are whole pixels, so each shape is drawn once in each size and then moved.
    """
    points = (torch.arange(SIDE * _OVER) + 0.5) / _OVER - SIDE / 2
    down, right = torch.meshgrid(points, points, indexing="ij")
    rows = torch.tensor(PLACES)
    drawn = []
    for i in range(len(SHAPES)):
        for size in SIZES:
            inside = _inside(right / size, down / size)[i].float()
            pixels = inside.reshape(SIDE, _OVER, SIDE, _OVER).mean((1, 3))
            drawn += [pixels.roll((row, column), (0, 1)) for row in rows.tolist() for column in PLACES]
    return torch.stack(drawn).flatten(1)


def _inside(x: Tensor, y: Tensor) -> list[Tensor]:
    """Return for each shape where it is, bool, at points x to the right and y down, in units of its size."""
    r, angle = torch.hypot(x, y), torch.atan2(x, -y)  # the angle from straight up
    turn = 2 * math.pi / 5
    off = ((angle + turn / 2) % turn - turn / 2).abs()  # from the nearest point of the star
    tip_x, notch_x, notch_y = r * off.cos() - 1, 0.42 * math.cos(turn / 2) - 1, 0.42 * math.sin(turn / 2)
    heart_x, heart_y = 1.2 * x, 0.15 - 1.2 * y
    heart = (heart_x**2 + heart_y**2 - 0.85).pow(3) - heart_x**2 * heart_y**3 * 1.4
    return [
        r < 0.95,
        (r < 1) & (r > 0.55),
        (r < 1) & (y > -0.05),
        (r < 1) & (torch.hypot(x - 0.45, y) > 0.8),
        heart < 0,
        notch_x * r * off.sin() > notch_y * tip_x,
        (y < 0.75) & (y > -0.95 + 1.75 * x.abs()),
        (x.abs() < 0.8) & (y.abs() < 0.8),
        x.abs() / 0.75 + y.abs() < 1,
        ((x.abs() < 0.32) | (y.abs() < 0.32)) & (x.abs() < 0.95) & (y.abs() < 0.95),
    ]


def _mask_number(shape: Tensor, size: Tensor, row: Tensor, column: Tensor) -> Tensor:
    return ((shape * len(SIZES) + size) * len(PLACES) + row) * len(PLACES) + column


@cache
def _squares() -> Tensor:
    """Return ‖render‖² for all masks, colours and grounds, before rounding: (masks, colours, grounds)."""
    scene = _scene()
    m, free = scene.masks, 1 - scene.masks
    ground, c = scene.grounds.flatten(2), scene.colours
    of_ground = free.square() @ ground.square().sum(1).T  # (masks, grounds)
    mixed = torch.einsum("mp,bkp,ck->mcb", m * free, ground, c)
    of_colour = m.square().sum(1)[:, None] * c.square().sum(1)
    return of_ground[:, None] + 2 * mixed + of_colour[:, :, None]


def _nearest(x: Tensor) -> Tensor:
    """Return the factors of the nearest rendering of images (n, 3, 32, 32): (n, 6).

    A rendering is m c + (1 - m) b, mask, colour and ground, so that its product with x is that of m with the
    colours of x, and of 1 - m with x · b: few products of matrices for all renderings.
    """
    scene, pixels = _scene(), x.flatten(2)
    by_colour = torch.einsum("nkp,mp,ck->nmc", pixels, scene.masks, scene.colours)
    against = torch.einsum("nkp,bkp->nbp", pixels, scene.grounds.flatten(2))
    by_ground = (against.sum(2)[:, :, None] - against @ scene.masks.T).mT  # (n, masks, grounds)
    cost = _squares() - 2 * (by_colour[..., None] + by_ground[:, :, None])
    best = cost.flatten(1).argmin(1)
    mask, colour, ground = (
        best // (len(COLOURS) * len(GROUNDS)),
        best // len(GROUNDS) % len(COLOURS),
        best % len(GROUNDS),
    )
    places = len(PLACES)
    shape, size = mask // places**2 // len(SIZES), mask // places**2 % len(SIZES)
    return torch.stack([shape, colour, size, mask // places % places, mask % places, ground], dim=1)
