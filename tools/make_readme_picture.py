"""Draw the README's picture: what a VAE with two latent dimensions, trained on MNIST, makes of codes.

Left, the latent manifold: a grid of codes, whose cells are all equally probable under the
prior, and the mean image that the decoder makes of each. Right, the same for codes drawn from the prior.

    python tools/make_readme_picture.py

trains for a few minutes on two CPU cores and writes book/_static/readme.png.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gm_lib.data import Batches, images
from gm_lib.evaluation import negative_elbo
from gm_lib.runtime import device, forked_rng
from gm_lib.training import fit
from gm_lib.vae import VAE, digit_vae

PICTURE = Path(__file__).resolve().parents[1] / "book" / "_static" / "readme.png"
SIDE = 16  # images along each side of a square
GAP = 28  # pixels between the squares
LEVELS = 32  # shades in the file; more cannot be told apart and make it larger
INK = (24, 58, 96)
STEPS = 15_000


def main() -> int:
    """Train, draw, write; return the exit status."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    try:
        data = images("mnist", fallback=False)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    with forked_rng(seed=0):
        model = digit_vae(latent_dim=2, hidden=(400, 400))
    fit(model, Batches(data.train.x, dynamic_binarization=True), steps=STEPS, seed=0)
    with forked_rng(seed=0):
        held_out = torch.bernoulli(data.test.x)
    print(f"-ELBO on the test images, binarized once: {negative_elbo(model, held_out)} nats")
    white = torch.zeros(SIDE * 28, GAP)
    picture = torch.cat(
        [square(decode(model, grid_of_codes())), white, square(decode(model, random_codes()))], 1
    )
    write(picture, PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")
    return 0


def grid_of_codes() -> Tensor:
    """Return SIDE² codes, (SIDE², 2), at the middles of cells that the prior makes equally probable."""
    middles = (torch.arange(SIDE) + 0.5) / SIDE
    along = torch.distributions.Normal(0.0, 1.0).icdf(middles)
    rows, columns = torch.meshgrid(along.flip(0), along, indexing="ij")
    return torch.stack([columns.flatten(), rows.flatten()], dim=1)


def random_codes() -> Tensor:
    """Return SIDE² codes drawn from the prior, (SIDE², 2)."""
    return torch.randn(SIDE**2, 2, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def decode(model: VAE, z: Tensor) -> Tensor:
    """Return the mean images (n, 1, 28, 28) of the codes, on the CPU."""
    return model.likelihood.mean(model.decode(z.to(device()))).cpu()


def square(x: Tensor) -> Tensor:
    """Lay SIDE² images out in a square, row by row: (SIDE·28, SIDE·28)."""
    return x.view(SIDE, SIDE, 28, 28).transpose(1, 2).reshape(SIDE * 28, SIDE * 28)


def write(picture: Tensor, path: Path) -> None:
    """Write grey values in [0, 1], (h, w), as ink on white paper."""
    shades = np.linspace([255, 255, 255], INK, LEVELS).round().astype(np.uint8)
    image = Image.fromarray((picture.numpy() * (LEVELS - 1)).round().astype(np.uint8), mode="L")
    image.putpalette(shades.tobytes())
    image.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
