"""What goes wrong in the game of two players, and remedies: judged by the same numbers in the same time.

The same time is that of 7,500 plain steps for points and of 3,000 for stacked digits. It is kept by a number
of steps for each remedy, so that a seed gives the same numbers on another machine; what it came to is
measured too. Settings were chosen on seeds from 100 on, none on a seed that is reported.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn

from claims import Asked, Measured, at_least, at_most, claim, drawn, mnist
from gm_lib.data import Batches, Stacks, stacked, toy
from gm_lib.evaluation import ModeReport, copy_test, judge_digits, mode_coverage, stacked_mode_coverage
from gm_lib.evaluation.models import batches_for, evaluating
from gm_lib.gan import (
    GAN,
    PENALTIES,
    MLPDiscriminator,
    MLPGenerator,
    Packed,
    digit_gan,
    spectrally_normalized,
)
from gm_lib.runtime import device, forked_rng
from make_pretrained import train
from records import ROOT, SHARE


@dataclass(frozen=True)
class Remedy:
    """A change of the plain game: what it is called, how many steps fit, and the settings that it changes."""

    what: str
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)


def quantities(remedies: dict[str, Remedy], modes: int) -> dict[str, Asked]:
    """Return what is asked of each remedy by name: ``modes_plain`` and so on."""
    asked = {}
    for name, remedy in remedies.items():
        asked[f"modes_{name}"] = Asked(f"modes covered, of {modes:,}: {remedy.what}", "modes")
        asked[f"good_{name}"] = Asked(f"good samples: {remedy.what}", SHARE)
        asked[f"kl_{name}"] = Asked(f"KL of the modes: {remedy.what}", "nats")
        asked[f"seconds_{name}"] = Asked(
            f"processor time of {remedy.steps:,} steps: {remedy.what}", "seconds"
        )
    return asked


def of_modes(report: ModeReport, name: str) -> Measured:
    """Return what a report says of the samples called ``name``."""
    return {f"modes_{name}": report.covered, f"good_{name}": report.good, f"kl_{name}": report.kl}


def floors(report: ModeReport) -> Measured:
    """Return what a perfect sampler reaches with as many draws."""
    return {"modes_floor": report.covered_floor, "kl_floor": report.kl_floor}


# --- 25 Gaussians

GRID = toy("gaussian_grid")
GRID_SAMPLES = 2500  # as in the table of Srivastava et al. 2017
GRID_BATCH = 128
HIDDEN = [128, 128]
GRID_PLAIN: dict[str, Any] = {"lr": 3e-3, "betas": (0.5, 0.99), "average": 0.0}
GRID_REMEDIES = {
    "plain": Remedy("none, the non-saturating game", 7500),
    "unequal": Remedy("the discriminator learns four times as fast", 7500, {"lr": (1.5e-3, 6e-3)}),
    "memoryless": Remedy("Adam without a memory of gradients, β₁ = 0", 7500, {"betas": (0.0, 0.99)}),
    "averaged": Remedy("averaged weights of the generator", 7500, {"average": 0.999}),
    "clipped": Remedy(
        "Wasserstein loss, five steps of a discriminator with clipped weights",
        2000,
        {"loss": "wasserstein", "clip": 0.1, "discriminator_steps": 5},
    ),
    "wgan_gp": Remedy(
        "Wasserstein loss, five steps of a discriminator with gradient penalty",
        1500,
        {
            "loss": "wasserstein",
            "penalty": "gradient_penalty",
            "gamma": 0.1,
            "discriminator_steps": 5,
        },
    ),
    "spectral": Remedy("hinge loss, spectral norm", 3900, {"loss": "hinge", "spectral": True}),
    "r1": Remedy("R1", 5400, {"penalty": "r1", "gamma": 0.01}),
    "r1_r2": Remedy("R1 and R2", 3700, {"penalty": "r1+r2", "gamma": 0.01}),
    "relativistic": Remedy("relativistic loss", 7500, {"loss": "relativistic"}),
    "relativistic_r1_r2": Remedy(
        "relativistic loss, R1 and R2",
        3900,
        {"loss": "relativistic", "penalty": "r1+r2", "gamma": 0.01},
    ),
    "packed": Remedy("packs of two", 7500, {"pack": 2}),
    "best": Remedy(
        "β₁ = 0, averaged weights, step sizes that fall to 0",
        20_000,
        {"betas": (0.0, 0.99), "average": 0.999, "decay_steps": 20_000},
    ),
}


def grid_gan(
    *, penalty: str | None = None, gamma: float = 0.0, pack: int = 1, spectral: bool = False, **settings: Any
) -> GAN:
    """Return two small players for points on the plane, as wide and deep under every remedy."""
    discriminator: nn.Module = MLPDiscriminator((2 * pack,), HIDDEN)
    if spectral:
        spectrally_normalized(discriminator)
    if pack > 1:
        discriminator = Packed(discriminator, pack)
    weighted = partial(PENALTIES[penalty], gamma=gamma) if penalty else None
    return GAN(MLPGenerator(2, HIDDEN, (2,)), discriminator, penalty=weighted, **(GRID_PLAIN | settings))


def grid_points(n: int) -> Iterator[Tensor]:
    """Yield batches of n new points without end, from the random state that the training is given."""
    while True:
        yield GRID.sample((n,))


@claim(
    title="Remedies for dropped modes, on 25 Gaussians",
    claim=(
        "Two small networks play for about the same processor time under each remedy by itself: what each "
        "changes in the modes of a grid of Gaussians. Adam without a memory of gradients, averaged weights "
        "and falling step sizes together play for a minute of one core. A batch is 128 points for each step "
        "of the discriminator."
    ),
    data=(
        "new points of the grid in every batch (standard deviation 0.05, spacing 2); 2,500 samples, good "
        "within three standard deviations of a centre, a mode is covered by one good sample"
    ),
    **quantities(GRID_REMEDIES, 25)
    | {
        "modes_best": Asked(f"modes covered, of 25: {GRID_REMEDIES['best'].what}", "modes", aim=at_least(25)),
        "good_best": Asked(f"good samples: {GRID_REMEDIES['best'].what}", SHARE, aim=at_least(0.8)),
        "modes_floor": Asked("modes that a perfect sampler covers, on average", "modes"),
        "kl_floor": Asked("KL of the modes of a perfect sampler, on average", "nats"),
    },
)
def remedies_grid(seed: int) -> Measured:
    """Train the same two networks under each remedy, everything drawn from ``seed``."""
    measured: Measured = {}
    for name, remedy in GRID_REMEDIES.items():
        begun = time.process_time()
        with forked_rng(seed):
            model = grid_gan(**remedy.settings)
        points = grid_points(GRID_BATCH * model.discriminator_steps)
        train(model, points, steps=remedy.steps, seed=seed, device="cpu")
        measured[f"seconds_{name}"] = time.process_time() - begun
        report = mode_coverage(drawn(model, GRID_SAMPLES, seed), GRID)
        measured |= of_modes(report, name) | floors(report)
    return measured


# --- stacked digits

STACK_SAMPLES = 26_000  # as is customary
STACK_BATCH = 64
STACK_PLAIN: dict[str, Any] = {"shape": (3, 28, 28), "latent_dim": 64, "lr": 1e-3}
OURS: dict[str, Any] = {"loss": "relativistic", "penalty": "r1+r2", "gamma": 0.1}
STACK_REMEDIES = {
    "plain": Remedy("none, a DCGAN", 3000),
    "unequal": Remedy("the discriminator learns half as fast", 3000, {"discriminator_lr": 5e-4}),
    "packed": Remedy("packs of two", 3000, {"pack": 2}),
    "spectral": Remedy("hinge loss, spectral norm", 2400, {"loss": "hinge", "norm": "spectral"}),
    "wgan_gp": Remedy(
        "Wasserstein loss, five steps of a discriminator with gradient penalty",
        400,
        {
            "loss": "wasserstein",
            "penalty": "gradient_penalty",
            "gamma": 10.0,
            "discriminator_steps": 5,
        },
    ),
    "r1": Remedy("R1", 1700, {"penalty": "r1", "gamma": 0.1}),
    "best": Remedy("relativistic loss, R1 and R2", 1100, OURS),
}
REAL = {
    "modes_real": Asked("modes covered, of 1,000: real stacks of test digits", "modes"),
    "good_real": Asked("good samples: real stacks of test digits", SHARE),
    "kl_real": Asked("KL of the modes: real stacks of test digits", "nats"),
    "modes_floor": Asked("modes that a perfect sampler of equal modes covers, on average", "modes"),
    "kl_floor": Asked("KL of the modes of a perfect sampler of equal modes, on average", "nats"),
}
STACKS = (
    "MNIST: stacks of three of the 50,000 training digits, drawn anew in each batch; 26,000 samples, whose "
    "modes are what the digit classifier reads in their channels, compared with equal proportions; good if "
    "each of the three is read with a confidence of 90 % or more, and a mode is covered by any one sample"
)


def stack_batches(model: GAN, seed: int) -> Stacks:
    """Return batches of training digits, enough for each step of the discriminator."""
    n = STACK_BATCH * model.discriminator_steps
    return Stacks(mnist().train.x, batch_size=n, seed=seed, device=device())


def of_stacks(samples: Tensor, name: str) -> Measured:
    """Read stacked digits; return what is asked of them, and the floors."""
    report = stacked_mode_coverage(samples)
    return of_modes(report, name) | floors(report)


@claim(
    title="Remedies for dropped modes, on stacked MNIST",
    claim=(
        "A DCGAN for stacked digits is trained for about the same processor time, at most five minutes of "
        "one core, under each remedy. Under penalties and spectral norm its discriminator is without batch "
        "norm. Samples are those of averaged weights. A batch is 64 stacks for each step of the "
        "discriminator."
    ),
    data=STACKS,
    **quantities(STACK_REMEDIES, 1_000),
    **REAL,
)
def remedies_stacked(seed: int) -> Measured:
    """Train a DCGAN under each remedy, everything drawn from ``seed``."""
    measured = of_stacks(stacked(mnist().test.x, STACK_SAMPLES, seed=seed), "real")
    for name, remedy in STACK_REMEDIES.items():
        begun = time.process_time()
        with forked_rng(seed):
            model = digit_gan(**(STACK_PLAIN | remedy.settings))
        train(model, stack_batches(model, seed), steps=remedy.steps, seed=seed)
        measured[f"seconds_{name}"] = time.process_time() - begun
        measured |= of_stacks(drawn(model, STACK_SAMPLES, seed), name)
    return measured


HOURS = {
    "dcgan": Remedy("a DCGAN, step sizes that fall to 0", 60_000),
    "best": Remedy("relativistic loss, R1 and R2, step sizes that fall to 0", 24_000, OURS),
}


@claim(
    title="A thousand modes of stacked MNIST",
    claim=(
        "After less than two hours on one slow core a GAN with the relativistic loss, R1 and R2 covers at "
        "least 990 of the 1,000 modes; beside it a plain DCGAN, trained as long."
    ),
    data=STACKS,
    **{
        f"{key}_{name}": Asked(f"{what}: {remedy.what}, {remedy.steps:,} steps", unit)
        for name, remedy in HOURS.items()
        for key, what, unit in (
            ("modes", "modes covered, of 1,000", "modes"),
            ("good", "good samples", SHARE),
            ("kl", "KL of the modes", "nats"),
            ("hours", "hours of training", "hours"),
        )
    }
    | {
        "modes_best": Asked(
            f"modes covered, of 1,000: {HOURS['best'].what}", "modes", gate=at_least(990), aim=at_least(1_000)
        ),
        "kl_best": Asked(f"KL of the modes: {HOURS['best'].what}", "nats", aim=at_most(0.06)),
    },
    **REAL,
)
def stacked_best(seed: int) -> Measured:
    """Train both, or go on with what is in ``runs/stacked``, everything drawn from ``seed``."""
    measured = of_stacks(stacked(mnist().test.x, STACK_SAMPLES, seed=seed), "real")
    for name, remedy in HOURS.items():
        with forked_rng(seed):
            model = digit_gan(**(STACK_PLAIN | {"decay_steps": remedy.steps} | remedy.settings))
        history = train(
            model,
            stack_batches(model, seed),
            steps=remedy.steps,
            seed=seed,
            out=ROOT / "runs" / "stacked" / f"{name}-{seed}",
            settings=model.config,
        )
        measured |= of_stacks(drawn(model, STACK_SAMPLES, seed), name)
        measured[f"hours_{name}"] = history.seconds / 3600
    return measured


# --- digits

DIGIT_SAMPLES = 5000  # judged, against as many of the 10,000 test images
DIGIT_GANS = {
    "dcgan": Remedy("a DCGAN", 8_000),
    "best": Remedy("relativistic loss, R1 and R2", 3_300, OURS),
}
ASKED_OF_DIGITS = (
    ("frechet", "Fréchet distance of 5,000 samples to as many test images", "squared feature units"),
    ("precision", "precision", SHARE),
    ("recall", "recall", SHARE),
    ("copies", "distance to training over that to held-out digits, in units of fresh digits'", "ratio"),
    ("suspects", "suspected copies of 1,000 samples, 10 by chance", "samples"),
    ("seconds", "processor time of the training", "seconds"),
)


@claim(
    title="Two GANs on MNIST",
    claim=(
        "Trained for about the same processor time, some minutes of one core, step sizes falling to "
        "0: what the relativistic loss with R1 and R2 changes against a DCGAN, and that neither copies its "
        "training digits."
    ),
    data="MNIST: trained on the 50,000 training images, 64 in a batch; judged beside test images",
    **{
        f"{key}_{name}": Asked(f"{what}: {remedy.what}, {remedy.steps:,} steps", unit)
        for name, remedy in DIGIT_GANS.items()
        for key, what, unit in ASKED_OF_DIGITS
    },
    frechet_floor=Asked("Fréchet distance of 5,000 test images to as many others", "squared feature units"),
    precision_real=Asked("precision of real images", SHARE),
    recall_real=Asked("recall of real images", SHARE),
)
def gan_mnist(seed: int) -> Measured:
    """Train both, everything drawn from ``seed``, and judge what they draw."""
    data, measured = mnist(), {}
    mixed = data.test.x[torch.randperm(len(data.test.x), generator=Generator().manual_seed(seed))]
    held_out, fresh = mixed[:-1000], mixed[-1000:]
    for name, remedy in DIGIT_GANS.items():
        begun = time.process_time()
        with forked_rng(seed):
            model = digit_gan(**({"decay_steps": remedy.steps} | remedy.settings))
        batches = Batches(data.train.x, batch_size=64, seed=seed, device=device())
        train(model, batches, steps=remedy.steps, seed=seed)
        measured[f"seconds_{name}"] = time.process_time() - begun
        samples = drawn(model, DIGIT_SAMPLES, seed)
        report = judge_digits(samples, data.test.x, seed=seed)
        copies = copy_test(samples[: len(fresh)], data.train.x, held_out, fresh, seed=seed)
        found = {
            "frechet": report.frechet,
            "precision": report.precision,
            "recall": report.recall,
            "copies": copies.ratio,
            "suspects": copies.suspects,
        }
        measured |= {f"{key}_{name}": value for key, value in found.items()}
    real = {
        "frechet_floor": report.frechet_floor,
        "precision_real": report.precision_real,
        "recall_real": report.recall_real,
    }
    return measured | real


# --- few images

FEW = 500
LOOKS = (500, 1_000, 2_000)
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "all": ("all 50,000 digits", {}),
    "few": ("500 digits", {}),
    "augmented": ("500 digits, augmented", {"augment": True}),
    "r1": ("500 digits, R1", {"penalty": "r1", "gamma": 1.0}),
}
ASKED_OF_LOOKS = (
    ("gap", "mean logit of training digits above that of validation digits", "logits"),
    ("above", "pairs in which the training digit has the larger logit, not the validation digit", SHARE),
    ("frechet", "Fréchet distance of samples to validation digits", "squared feature units"),
)


def look(model: GAN, few: Tensor) -> Measured:
    """Compare the logits of ``few`` training images with those of validation images; judge samples."""
    valid = mnist().valid.x
    known, new = (logits(model, x) for x in (few, valid))
    above = (known[:, None] > new).double().mean().item()
    report = judge_digits(drawn(model, 2_000, 0), valid)
    return {"gap": (known.mean() - new.mean()).item(), "above": above, "frechet": report.frechet}


def logits(model: GAN, x: Tensor) -> Tensor:
    """Return what the discriminator says of images (n, 1, 28, 28) as they are, on the CPU: (n,)."""
    with evaluating(model.discriminator):
        parts = batches_for(model.discriminator, x, size=500)
        return torch.cat([model.discriminator(part).cpu() for part, _ in parts])


@claim(
    title="A GAN on 500 digits",
    claim=(
        "A discriminator that sees only 500 digits tells them from other digits after some time, one that "
        "sees 50,000 does not; what augmentation of real and generated digits, R1, and fewer steps change in "
        "that, and in the samples. The DCGANs are without batch norm in the discriminator, 64 digits a batch."
    ),
    data=(
        "MNIST: 500 training digits, others for each seed, or all 50,000, of which 500 are looked at; the "
        "10,000 validation digits; 2,000 samples"
    ),
    **{
        f"{key}_{name}_{step}": Asked(f"{what}: {how}, {step:,} steps", unit)
        for name, (how, _) in SMALL.items()
        for step in LOOKS
        for key, what, unit in ASKED_OF_LOOKS
    },
    frechet_copies=Asked(
        "Fréchet distance of 2,000 draws of the 500 digits to validation digits", "squared feature units"
    ),
)
def small_data(seed: int) -> Measured:
    """Train four times, everything drawn from ``seed``, and look at each of ``LOOKS`` steps."""
    x, generator = mnist().train.x, Generator().manual_seed(seed)
    few = x[torch.randperm(len(x), generator=generator)[:FEW]]
    copies = few[torch.randint(FEW, (2_000,), generator=generator)]
    measured: Measured = {"frechet_copies": judge_digits(copies, mnist().valid.x).frechet}
    for name, (_, settings) in SMALL.items():
        with forked_rng(seed):
            model = digit_gan(**({"norm": "none"} | settings))
        batches = Batches(x if name == "all" else few, batch_size=64, seed=seed, device=device())
        history = train(
            model,
            batches,
            steps=LOOKS[-1],
            seed=seed,
            evaluate=partial(look, few=few),
            evaluate_every=LOOKS[0],
        )
        for row in history.rows:
            if "gap" in row and row["step"] in LOOKS:
                step = int(row["step"])
                measured |= {f"{key}_{name}_{step}": row[key] for key, _, _ in ASKED_OF_LOOKS}
    return measured
