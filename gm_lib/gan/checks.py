"""Which players can play with each other, and which rules of the game make no sense together."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gm_lib.gan.losses import LOSSES, Loss
from gm_lib.gan.networks import spectral_norm_of, weighted_layers
from gm_lib.gan.penalties import Penalty
from gm_lib.networks import require


def check_players(generator: Any, discriminator: Any) -> None:
    """Raise unless the players can play with each other.

    ``TypeError`` for one that does not know what it must, ``ValueError`` for two that do not fit.
    """
    classes = "the number of labels it takes, 0 for none"
    require(
        generator,
        "generator",
        latent_dim="the number of dimensions of z",
        out_shape="the shape of one example that it makes",
        num_classes=classes,
    )
    require(discriminator, "discriminator", in_shape="the shape of one example to judge", num_classes=classes)
    made, judged = tuple(generator.out_shape), tuple(discriminator.in_shape)
    if made != judged:
        raise ValueError(f"the generator makes examples of shape {made}, the discriminator judges {judged}.")
    if generator.num_classes != discriminator.num_classes:
        raise ValueError(
            f"the generator takes {generator.num_classes} classes, the discriminator "
            f"{discriminator.num_classes}: give both players the labels, or neither."
        )


def check_rules(
    discriminator: nn.Module,
    loss: Loss,
    penalty: Penalty | None,
    clip: float | None,
    augment: Callable[..., Any] | None,
) -> None:
    """Raise ``ValueError`` with the reason for what cannot work with this discriminator."""
    normalized = [spectral_norm_of(layer) for layer in weighted_layers(discriminator)]
    if penalty is not None and any(isinstance(part, _BatchNorm) for part in discriminator.modules()):
        raise ValueError(
            "a penalty is on the gradient of each example's logit, and through batch norm that is the "
            "gradient of a whole batch: take batch norm out of the discriminator."
        )
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be greater than 0, not {clip}: it bounds the discriminator's weights.")
    if clip is not None and any(normalized):
        raise ValueError(
            "clip bounds the numbers that spectral norm then divides by their size, which undoes it: choose "
            "one of the two."
        )
    limited = penalty is not None or clip is not None or (normalized and all(normalized))
    if loss.discriminator is LOSSES["wasserstein"].discriminator and not limited:
        raise ValueError(
            "the loss 'wasserstein' has no minimum while the discriminator may be as steep as it likes: add "
            "a penalty or clip, or put spectral norm on all of its layers (spectrally_normalized)."
        )
    shape = tuple(discriminator.in_shape)  # type: ignore[arg-type]
    if augment is not None and len(shape) != 3:
        raise ValueError(f"augment changes images (channels, height, width), not examples of shape {shape}.")
