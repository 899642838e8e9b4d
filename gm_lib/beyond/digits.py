"""Each family as a model of the book's images, by its settings: what a run's ``config.json`` builds again."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from gm_lib.beyond.autoregressive import MaskedAutoregressive
from gm_lib.beyond.diffusion import Diffusion
from gm_lib.beyond.flow import CouplingFlow
from gm_lib.beyond.flow_layers import Coupling, Scaling, Shuffle, Squash, halves
from gm_lib.beyond.flow_matching import FlowMatching
from gm_lib.beyond.networks import TimeUNet
from gm_lib.beyond.vae_gan import VAEGAN, UnitDecoder
from gm_lib.gan import DCGANDiscriminator
from gm_lib.vae import ConvDecoder, ConvEncoder, Gaussian
from gm_lib.vae.model import DIGIT_SHAPE


def digit_autoregressive(
    *,
    shape: Sequence[int] = (1, 28, 28),
    width: int = 128,
    layers: int = 2,
    reach: int = 9,
    lr: float = 4e-3,
    decay_steps: int = 0,
) -> MaskedAutoregressive:
    """Return an autoregressive model of binarized images; arguments as of :class:`MaskedAutoregressive`."""
    config = dict(locals())
    model = MaskedAutoregressive(
        shape, width=width, layers=layers, reach=reach, lr=lr, decay_steps=decay_steps
    )
    model.config = config | {"shape": list(shape)}
    return model


def digit_diffusion(
    *,
    shape: Sequence[int] = (1, 28, 28),
    width: int = 32,
    num_classes: int = 0,
    steps: int = 1000,
    drop: float = 0.1,
    lr: float = 2e-3,
    decay_steps: int = 0,
) -> Diffusion:
    """Return a diffusion model of binarized images (n, *shape), with a ``TimeUNet`` of this ``width``."""
    config = dict(locals()) | {"shape": list(shape)}
    network = TimeUNet(shape, width=width, num_classes=num_classes)
    model = Diffusion(network, binary=True, steps=steps, drop=drop, lr=lr, decay_steps=decay_steps)
    model.config = config
    return model


def digit_flow(
    *,
    shape: Sequence[int] = (1, 28, 28),
    couplings: Sequence[int] = (6, 8),
    width: int = 32,
    lr: float = 2e-3,
    decay_steps: int = 0,
) -> CouplingFlow:
    """Return a flow of images of a ``shape`` (c, h, w), h and w multiples of 4.

    ``couplings``: how many there are where 2×2 pixels are the channels of one place, and where 4×4 are;
    each has two hidden convolutions of ``width`` channels. Raises ``ValueError`` for other shapes.
    """
    config = dict(locals()) | {"shape": list(shape), "couplings": list(couplings)}
    if len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
        raise ValueError(f"shape must be (channels, h, w), h and w multiples of 4, not {tuple(shape)}.")

    def network(n_in: int, n_out: int) -> nn.Sequential:
        sizes = pairwise((n_in, width, width, n_out))
        first, second, third = (nn.Conv2d(a, b, 3, padding=1) for a, b in sizes)
        return nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), third)

    fine = [Coupling(kept, network) for kept in halves(4 * shape[0], couplings[0])]
    coarse = [Coupling(kept, network) for kept in halves(16 * shape[0], couplings[1])]
    layers = [*coarse, Shuffle(), *fine, Shuffle(), Scaling(shape), Squash()]
    model = CouplingFlow(shape, layers, lr=lr, decay_steps=decay_steps)
    model.config = config
    return model


def digit_flow_matching(
    *,
    shape: Sequence[int] = (1, 28, 28),
    width: int = 32,
    num_classes: int = 0,
    drop: float = 0.1,
    lr: float = 2e-3,
    decay_steps: int = 0,
) -> FlowMatching:
    """Return flow matching with a ``TimeUNet`` for images in [0, 1] of a ``shape`` (channels, h, w).

    ``width`` is the network's, the rest as of :class:`FlowMatching`. Raises what these two raise.
    """
    config = dict(locals()) | {"shape": list(shape)}
    unet = TimeUNet(shape, width=width, num_classes=num_classes)
    model = FlowMatching(unet, drop=drop, lr=lr, decay_steps=decay_steps)
    model.config = config
    return model


def digit_vae_gan(
    *,
    shape: Sequence[int] = DIGIT_SHAPE,
    latent_dim: int = 16,
    width: int = 16,
    num_classes: int = 0,
    judge: float = 40.0,
    gamma: float = 0.1,
    lr: float = 2e-3,
    decay_steps: int = 0,
) -> VAEGAN:
    """Return a VAE-GAN for grey images in [0, 1] of a ``shape`` (channels, height, width).

    p(x | z) is a Gaussian with one learned scale. ``width``: channels at half the height and width, in all
    three networks. The discriminator has the penalty R1 with the weight ``gamma``.
    """
    config = dict(locals()) | {"shape": list(shape)}
    model = VAEGAN(
        ConvEncoder(shape, width, latent_dim, num_classes),
        UnitDecoder(ConvDecoder(latent_dim, width, shape, num_classes)),
        Gaussian(shape),
        DCGANDiscriminator(width, num_classes, shape=shape, norm="none"),
        judge=judge,
        gamma=gamma,
        lr=lr,
        decay_steps=decay_steps,
    )
    model.config = config
    return model
