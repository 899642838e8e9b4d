"""How sharp are images? A measure of edges, which noise and binarization have too."""

from torch import Tensor

from gm_lib.data import check_images


def gradient_energy(x: Tensor) -> Tensor:
    """Return the sum over all pairs of neighbouring pixels of their squared difference: (n,).

    ``x``: images (n, channels, height, width) in [0, 1]; neighbours are one pixel apart, across or down. Of
    two images with the same edges the sharper has more. It is no measure of quality: noise has most of all.
    A toss of probabilities p has the energy of p and p (1 - p) for both pixels of each pair, on average.

    Raises ``ValueError`` for images of another shape, out of [0, 1] or not finite; ``TypeError`` for what is
    no tensor of floating-point numbers.
    """
    check_images(x)
    across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return across.square().sum((1, 2, 3)) + down.square().sum((1, 2, 3))
