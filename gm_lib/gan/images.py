"""Generators and discriminators of images of any shape (channels, height, width).

There are ``width`` channels at half the height and width, twice as many at a quarter, and so on to sides of
4 to 7. A label is one more plane for each class, all ones for the image's own and zeros for the others.
``norm`` normalizes a discriminator: "batch", "spectral" or "none". Without batch norm each image is judged by
itself, also in training mode, as a penalty on the gradient needs it.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gm_lib.data import check_images
from gm_lib.gan.networks import label, spectrally_normalized, with_label
from gm_lib.networks import FromMaps, ToMaps, check_input, conv_down, conv_up
from gm_lib.system.choose import choose

Shape = Sequence[int]
DIGIT_SHAPE = (1, 28, 28)


class _ImageGenerator(nn.Module):
    """A generator of images in [0, 1], the network ``net`` from z and label to them."""

    net: nn.Sequential

    def __init__(self, latent_dim: int, shape: Shape, num_classes: int):
        super().__init__()
        self.latent_dim, self.out_shape, self.num_classes = latent_dim, tuple(shape), num_classes

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return images (n, *out_shape) for z (n, latent_dim) and, if it takes them, labels y (n,)."""
        return self.net(with_label(z, y, self.num_classes)).to(z.dtype)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` for images out of [0, 1], which a sigmoid never leaves."""
        check_images(x)


class _ImageDiscriminator(nn.Module):
    """A discriminator of images, the network ``net`` from images and label planes to one number each."""

    net: nn.Sequential

    def __init__(self, shape: Shape, num_classes: int):
        super().__init__()
        self.in_shape, self.num_classes = tuple(shape), num_classes

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return logits (n,) for x (n, *in_shape) and, if it takes them, labels y (n,)."""
        # The bias, since to look at a weight under spectral norm is to change it.
        check_input(x, self.in_shape, self.net[-1].bias, "the discriminator")
        if self.num_classes:
            planes = label(y, self.num_classes).to(x.dtype)[:, :, None, None]
            x = torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], dim=1)
        return self.net(x).to(x.dtype).squeeze(-1)


class DCGANGenerator(_ImageGenerator):
    """G(z) for images in [0, 1]: small maps, doubled until they are the image's size. Radford et al. 2016.

    For 28×28: 7×7, 14×14. For 32×32: 4×4, 8×8, 16×16. Raises ``ValueError`` for what cannot be halved so.
    """

    def __init__(self, latent_dim: int, width: int, num_classes: int = 0, *, shape: Shape = DIGIT_SHAPE):
        super().__init__(latent_dim, shape, num_classes)
        sizes = _halves(shape, even=True)
        channels = [width * 2**i for i in range(len(sizes))]
        self.net = nn.Sequential(
            nn.Linear(latent_dim + num_classes, math.prod(sizes[-1]) * channels[-1], bias=False),
            ToMaps(channels[-1], *sizes[-1]),
            nn.BatchNorm2d(channels[-1]),
            nn.ReLU(inplace=True),
            *(conv_up(twice, once) for twice, once in pairwise(channels[::-1])),
            nn.ConvTranspose2d(width, shape[0], kernel_size=4, stride=2, padding=1),
            nn.Sigmoid(),
        )


class DCGANDiscriminator(_ImageDiscriminator):
    """The logit of D(x) for images: the maps of :class:`DCGANGenerator` in the opposite order."""

    def __init__(self, width: int, num_classes: int = 0, *, shape: Shape = DIGIT_SHAPE, norm: str = "batch"):
        super().__init__(shape, num_classes)
        sizes = _halves(shape, even=True)
        channels = [width * 2**i for i in range(len(sizes))]
        batch_norm = choose("norm", norm, ("batch", "spectral", "none")) == "batch"
        self.net = nn.Sequential(
            # No batch norm here: it would hide how bright an image is.
            conv_down(shape[0] + num_classes, width, batch_norm=False),
            *(conv_down(once, twice, batch_norm=batch_norm) for once, twice in pairwise(channels)),
            FromMaps(),
            nn.Linear(math.prod(sizes[-1]) * channels[-1], 1),
        )
        if norm == "spectral":
            spectrally_normalized(self.net)


class ResidualBlock(nn.Module):
    """x + f(x) for maps (n, channels, h, w), f three convolutions with leaky ReLUs between.

    As in Huang et al. 2024, but without groups of channels. ``silent``: f is 0 at first, by its last layer.
    """

    def __init__(self, channels: int, *, silent: bool = True):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels, channels, kernel_size=1, bias=False),
        )
        if silent:
            nn.init.zeros_(self.net[-1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the same shape."""
        return x + self.net(x)


class ResNetGenerator(_ImageGenerator):
    """G(z) for images in [0, 1]: residual blocks without normalization, in the way of Huang et al. 2024.

    Blocks at half the size, rounded up, at a quarter … Raises ``ValueError`` for a side of 7 or less.
    """

    def __init__(self, latent_dim: int, width: int, num_classes: int = 0, *, shape: Shape = DIGIT_SHAPE):
        super().__init__(latent_dim, shape, num_classes)
        sizes = _halves(shape, even=False)
        channels = width * 2 ** (len(sizes) - 1)
        layers: list[nn.Module] = [
            nn.Linear(latent_dim + num_classes, math.prod(sizes[-1]) * channels),
            ToMaps(channels, *sizes[-1]),
            ResidualBlock(channels),
        ]
        for size in sizes[-2::-1]:
            fewer = nn.Conv2d(channels, channels // 2, kernel_size=1)
            channels //= 2
            layers += [fewer, nn.Upsample(size, mode="bilinear"), ResidualBlock(channels)]
        extra = 1 - shape[1] % 2, 1 - shape[2] % 2  # even or odd sides, as the image has
        last = nn.ConvTranspose2d(width, shape[0], 3, stride=2, padding=1, output_padding=extra)
        self.net = nn.Sequential(*layers, last, nn.Sigmoid())


class ResNetDiscriminator(_ImageDiscriminator):
    """The logit of D(x) for images: the blocks of :class:`ResNetGenerator` in the opposite order.

    ``norm`` is "none", or "spectral", which divides by the size of weights, so that none may begin at zero.
    """

    def __init__(self, width: int, num_classes: int = 0, *, shape: Shape = DIGIT_SHAPE, norm: str = "none"):
        super().__init__(shape, num_classes)
        sizes, channels = _halves(shape, even=False), width
        silent = choose("norm of a residual network", norm, ("spectral", "none")) == "none"
        layers: list[nn.Module] = [
            nn.Conv2d(shape[0] + num_classes, width, kernel_size=3, stride=2, padding=1),
            ResidualBlock(width, silent=silent),
        ]
        for _ in sizes[1:]:
            more = nn.Conv2d(channels, 2 * channels, kernel_size=1)
            channels *= 2
            layers += [nn.AvgPool2d(2, ceil_mode=True), more, ResidualBlock(channels, silent=silent)]
        self.net = nn.Sequential(*layers, FromMaps(), nn.Linear(math.prod(sizes[-1]) * channels, 1))
        if not silent:
            spectrally_normalized(self.net)


def _halves(shape: Shape, *, even: bool) -> list[tuple[int, int]]:
    """Return (height, width) of the image's half, its quarter and so on, rounded up, while both are above 3.

    If what is halved is to be ``even``, it ends where it is not. Raises ``ValueError`` if it cannot begin.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"images have a shape (channels, height, width), not {tuple(shape)}.")
    _, height, width = shape
    sizes = []
    while min(height, width) > 7 and not (even and (height % 2 or width % 2)):
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    if not sizes:
        other = " and even, or take the residual networks" if even else ""
        raise ValueError(f"{height}×{width} images cannot be halved: make both sides larger than 7{other}.")
    return sizes
