"""What a claim is, and what the claims share; ``tools/measure.py`` measures them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gm_lib.data import Batches, ImageData, images
from gm_lib.evaluation import judge_digits
from gm_lib.gan import digit_gan
from gm_lib.pretrained import digit_classifier
from gm_lib.runtime import device, forked_rng
from gm_lib.vae import VAE
from make_pretrained import train
from records import Limit

Measured = dict[str, float]


@dataclass(frozen=True)
class Asked:
    """A quantity that a claim is about: what it is, its unit, and what its values should keep."""

    what: str
    unit: str
    gate: Limit | None = None
    aim: Limit | None = None

    def __post_init__(self) -> None:
        if not self.unit:  # else found by the record, after the hours of measuring
            raise ValueError(f"{self.what!r} needs a unit: a word such as share, ratio or updates.")


@dataclass(frozen=True)
class Claim:
    """What is claimed of which data, and the function that measures it: from a seed to values by name."""

    title: str
    claim: str
    data: str
    quantities: dict[str, Asked]
    measure: Callable[[int], Measured]


CLAIMS: dict[str, Claim] = {}


def claim(
    title: str, claim: str, data: str, **quantities: Asked
) -> Callable[[Callable[[int], Measured]], Callable[[int], Measured]]:
    """Enter the decorated function among the claims, under its own name."""

    def enter(measure: Callable[[int], Measured]) -> Callable[[int], Measured]:
        CLAIMS[measure.__name__] = Claim(title, claim, data, quantities, measure)
        return measure

    return enter


def at_most(bound: float) -> Limit:
    return Limit("at_most", bound)


def at_least(bound: float) -> Limit:
    return Limit("at_least", bound)


# --- what the claims share

QUICK_SAMPLES = 5000


def frechet_of_samples(model: VAE, seed: int) -> float:
    """Return the Fréchet distance of samples, means of p(x | z) as z is drawn, to validation images."""
    return judge_digits(drawn(model, QUICK_SAMPLES, seed), mnist().valid.x, seed=seed).frechet


def drawn(model: Any, n: int, seed: int, **options: Any) -> Tensor:
    """Return n samples, on the CPU; ``options`` are those of the model's ``sample``."""
    where = next(model.parameters()).device
    return model.sample(n, generator=torch.Generator(where).manual_seed(seed), **options).cpu()


@torch.no_grad()
def features(x: Tensor) -> Tensor:
    """Return the digit classifier's features (n, 64) of images (n, 1, 28, 28)."""
    classifier = digit_classifier()
    return torch.cat([classifier.features(part) for part in x.split(500)])


def tossed_batches(seed: int) -> Batches:
    """Return batches of 128 training digits, tossed anew each time."""
    return Batches(mnist().train.x, batch_size=128, seed=seed, device=device(), dynamic_binarization=True)


def samples_of_quick_gan(seed: int, asked: Tensor | None = None) -> Tensor:
    """Train ``digit_gan``, with labels if digits are ``asked`` for, for the quick profile; draw samples."""
    data, where = mnist(), device()
    with forked_rng(seed):
        model = digit_gan(num_classes=0 if asked is None else 10)
    batches = Batches(data.train.x, data.train.y, batch_size=64, seed=seed, device=where)
    train(model, batches, steps=1200, seed=seed)
    return drawn(model, QUICK_SAMPLES, seed, y=None if asked is None else asked.to(where))


@functools.cache
def mnist() -> ImageData:
    """Return MNIST, read once."""
    return images("mnist", fallback=False)
