"""The VAE and the GAN of the course on one scale: the same data, the same time, the same judges (chapter 15).

The same time is kept by a number of steps for each model, fixed beforehand, so that a seed gives the same
numbers on another machine; what it came to is measured too. No setting was chosen for this comparison: they
are the defaults of the commands ``train vae`` and ``train gan``, except for the VAEs' 50 latent dimensions,
the convolutions of one of them, and step sizes that fall to 0 in the end.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from claims import Asked, Measured, claim, drawn, features, mnist
from gm_lib.data import Batches, binarize
from gm_lib.evaluation import (
    CONFIDENT,
    COVERED,
    copy_test,
    density_coverage,
    frechet_distance,
    frechet_distance_at_infinity,
    gradient_energy,
    kernel_distance,
    log_likelihood,
    precision_recall,
    train_on_samples,
    two_sample_test,
)
from gm_lib.gan import digit_gan
from gm_lib.pretrained import digit_classifier
from gm_lib.runtime import device, forked_rng
from gm_lib.vae import digit_vae
from make_pretrained import train
from records import SHARE

SAMPLES = 5000  # judged, beside 5,000 of the 10,000 test images; the others are judged like samples
COPIES = 1000  # of them are looked at by the copy test, beside as many fresh images
SCORED, DRAWS = 1000, 100  # test images whose likelihood is bounded, and importance weights for each
LOOKS, LOOK_SAMPLES = 10, 2000  # during the training, at validation images; the last half of them counts


@dataclass(frozen=True)
class Contestant:
    """What a model is called and made of, and how many steps it has in the same time as the others."""

    what: str
    make: Callable[..., nn.Module]
    settings: dict[str, Any]
    steps: int
    batch_size: int
    average: float = 0.0  # of the weights, by the training; a GAN averages by itself


MODELS = {
    "vae": Contestant("VAE", digit_vae, {"latent_dim": 50}, 11_000, 128, 0.998),
    "conv": Contestant(
        "VAE with convolutions", digit_vae, {"latent_dim": 50, "architecture": "conv"}, 2_000, 128, 0.998
    ),
    "gan": Contestant("GAN", digit_gan, {}, 2_450, 64),
}
FEATURES = "squared feature units"
OF_IMAGES = {
    "frechet": ("Fréchet distance", FEATURES),
    "infinity": ("Fréchet distance where the line in 1/n meets 0", FEATURES),
    "kernel": ("kernel distance", "squared kernel units"),
    "precision": ("precision", SHARE),
    "recall": ("recall", SHARE),
    "density": ("density", "balls"),
    "coverage": ("coverage", SHARE),
    "digits": ("digits covered, of 10", "digits"),
    "confident": ("read with a confidence of 90 % or more", SHARE),
    "energy": ("gradient energy, in units of the reference's", "ratio"),
    "told": ("told from the reference by a classifier of their features", SHARE),
}
OF_SAMPLES = {
    "copies": ("distance to training over that to held-out digits, in units of fresh digits'", "ratio"),
    "suspects": ("suspected copies of 1,000 samples, 10 by chance", "samples"),
    "useful": ("accuracy of classifiers trained on samples, whose labels the digit classifier reads", SHARE),
    "cpu": ("processor time of the training", "seconds"),
    "speed": ("processor time of 1,000 samples", "seconds"),
    "steady": ("standard deviation of the Fréchet distance over the last five looks of ten", FEATURES),
    "last": ("mean Fréchet distance of these five, 2,000 samples to 5,000 validation images", FEATURES),
}
OF_VAES = {
    "bound": ("bound of −log p(x) by 100 importance weights, 1,000 test images", "nats per image"),
    "energy_drawn": ("gradient energy of draws from p(x | z), in units of tossed test images'", "ratio"),
    "frechet_drawn": ("Fréchet distance of draws from p(x | z) to tossed test images", FEATURES),
}


def asked() -> dict[str, Asked]:
    """Return what is asked of each model, and of real images in the place of samples, by name."""
    found = {}
    for name, model in MODELS.items():
        of_model = OF_IMAGES | OF_SAMPLES | (OF_VAES if name != "gan" else {})
        for key, (what, unit) in of_model.items():
            found[f"{key}_{name}"] = Asked(f"{model.what}: {what}", unit)
    for key, (what, unit) in OF_IMAGES.items():
        found[f"{key}_real"] = Asked(f"real images: {what}", unit)
    found["useful_real"] = Asked("real images: accuracy of classifiers trained on as many", SHARE)
    found["frechet_tossed"] = Asked("real images, tossed: Fréchet distance to others", FEATURES)
    return found


@claim(
    title="The VAE and the GAN on one scale",
    claim=(
        "`digit_vae` with 50 latent dimensions (11,000 steps of 128 images), the same with convolutions "
        "(2,000 steps) and `digit_gan` (2,450 steps of 64 images) are trained for about the same processor "
        "time, some three minutes of one slow core, and judged by the same numbers. The samples of the VAEs "
        "are the means of p(x | z); what is drawn from p(x | z) has rows of its own."
    ),
    data=(
        "MNIST: trained on the 50,000 training images, which the VAEs see tossed anew in each batch; 5,000 "
        "samples beside 5,000 test images, and the other 5,000 test images in the place of samples. No "
        "setting was chosen by test images"
    ),
    **asked(),
)
def vae_and_gan(seed: int) -> Measured:
    """Train the three, everything drawn from ``seed``, and judge what they draw."""
    data = mnist()
    generator = Generator().manual_seed(seed)
    order = torch.randperm(len(data.test.x), generator=generator)
    test_x, test_y = data.test.x[order], data.test.y[order]
    reference, others = test_x[:SAMPLES], test_x[SAMPLES:]
    tossed, tossed_others = (binarize(x, generator=generator) for x in (reference, others))
    measured = {f"{key}_real": value for key, value in of_images(others, reference, seed).items()}
    measured["frechet_tossed"] = frechet_distance(features(tossed), features(tossed_others))
    for name, contestant in MODELS.items():
        model, found = trained(contestant, seed)
        begun = time.process_time()
        drawn(model, 1000, seed)
        found["speed"] = time.process_time() - begun
        samples = drawn(model, SAMPLES, seed)
        copies = copy_test(samples[:COPIES], data.train.x, test_x[COPIES:], test_x[:COPIES], seed=seed)
        value = train_on_samples(
            samples, None, (test_x, test_y), (data.train.x[:SAMPLES], data.train.y[:SAMPLES]), seed=seed
        )
        found |= of_images(samples, reference, seed)
        found |= {"copies": copies.ratio, "suspects": copies.suspects, "useful": value.accuracy}
        if name != "gan":
            noisy = drawn(model, SAMPLES, seed, noisy=True)
            bound = log_likelihood(model, tossed[:SCORED].to(device()), k=DRAWS, seed=seed)
            found |= {
                "bound": -bound.mean,
                "energy_drawn": (gradient_energy(noisy).mean() / gradient_energy(tossed).mean()).item(),
                "frechet_drawn": frechet_distance(features(tossed), features(noisy)),
            }
        measured |= {f"{key}_{name}": value for key, value in found.items()}
        measured["useful_real"] = value.accuracy_real
    return measured


def trained(contestant: Contestant, seed: int) -> tuple[nn.Module, Measured]:
    """Train a model with step sizes that fall to 0; return it, its time, and how steady it was to the end."""
    data, settings = mnist(), contestant.settings | {"decay_steps": contestant.steps}
    known = features(data.valid.x[:SAMPLES])
    looking = 0.0

    def look(model: nn.Module) -> Measured:
        nonlocal looking
        begun = time.process_time()
        found = frechet_distance(known, features(drawn(model, LOOK_SAMPLES, seed)))
        looking += time.process_time() - begun
        return {"frechet": found}

    with forked_rng(seed):
        model = contestant.make(**settings)
    batches = Batches(
        data.train.x,
        batch_size=contestant.batch_size,
        seed=seed,
        device=device(),
        dynamic_binarization=contestant.make is digit_vae,
    )
    begun = time.process_time()
    history = train(
        model,
        batches,
        steps=contestant.steps,
        seed=seed,
        average=contestant.average,
        evaluate=look,
        evaluate_every=contestant.steps // LOOKS,
    )
    seconds = time.process_time() - begun - looking
    seen = [row["frechet"] for row in history.rows if "frechet" in row]
    late = seen[len(seen) // 2 :]
    return model, {"cpu": seconds, "steady": statistics.stdev(late), "last": statistics.fmean(late)}


def of_images(x: Tensor, reference: Tensor, seed: int) -> Measured:
    """Return what is asked of any images x (n, 1, 28, 28) beside as many of the ``reference``."""
    known, seen = features(reference), features(x)
    infinite = frechet_distance_at_infinity(known, seen, seed=seed)
    near, around = precision_recall(known, seen), density_coverage(known, seen)
    told = two_sample_test(known, seen, seed=seed)
    sure = digit_classifier().head(seen).softmax(1) >= CONFIDENT
    return {
        "frechet": infinite.distance,
        "infinity": infinite.at_infinity,
        "kernel": kernel_distance(known, seen).mean,
        "precision": near.precision,
        "recall": near.recall,
        "density": around.density,
        "coverage": around.coverage,
        "digits": int((sure.float().mean(0) >= COVERED).sum()),
        "confident": sure.any(1).float().mean().item(),
        "energy": (gradient_energy(x).mean() / gradient_energy(reference).mean()).item(),
        "told": told.accuracy,
    }
