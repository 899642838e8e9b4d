"""Published likelihoods of MNIST, reached by the commands that a reader would type: hours, not minutes.

A training leaves its checkpoints in ``runs/published/NAME-SEED``, and what is measured of its test images a
thousand at a time in a file beside them: an interrupted run goes on with both.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from claims import Asked, Measured, at_most, claim, mnist
from gm_lib.data import binarize
from gm_lib.evaluation import active_units, log_likelihood, negative_elbo
from gm_lib.runtime import device, forked_rng
from gm_lib.system.checkpoints import load_checkpoint
from gm_lib.system.files import replace_file
from gm_lib.vae.model_base import LatentVariableModel
from make_pretrained import BURDA, vae_by_command
from records import ROOT, Limit

DRAWS = 5000  # importance weights for each image
FEWER = 500  # for a network whose decoder costs six times as much: the bound is the looser for it
PART = 1000  # images measured at a time
BATCH = 512  # images, where a network asks for no other number
EPOCH = 60_000 // BATCH  # steps

TEST = (
    "MNIST, dynamically binarized: trained on the 60,000 images that are not for testing, measured on one "
    "draw "
)
QUANTITIES = {
    "negative_elbo": "−ELBO, the same images",
    "active": "active latent dimensions",
    "epochs": "how often each image was shown",
    "hours": "hours of training, one thread",
}


def published(name: str, options: str, steps: int, seed: int, draws: int = DRAWS) -> Measured:
    """Train by the command line, or go on with what is there, and measure on the test images."""
    out = ROOT / "runs" / "published" / f"{name}-{seed}"
    model: LatentVariableModel = vae_by_command(
        f"--batch-size {BATCH} {options} --steps {steps} --decay-steps {steps}", seed, out
    ).to(device())
    history = load_checkpoint(out).state["history"]
    with forked_rng(seed):
        test = binarize(mnist().test.x)
    return {
        f"bound_{draws}": -bound_of_parts(model, test, draws, seed, out / f"bound_{draws}.json"),
        "negative_elbo": negative_elbo(model, test, k=10, seed=seed).mean,
        "epochs": history["images"] / 60_000,
        "active": active_units(model, test).count,
        "hours": history["seconds"] / 3600,
    }


def bound_of_parts(model: LatentVariableModel, x: torch.Tensor, draws: int, seed: int, file: Path) -> float:
    """Return the mean bound of log p(x), measured part by part; those that ``file`` holds are done."""
    done: list[float] = json.loads(file.read_text()) if file.exists() else []
    parts = x.split(PART)
    for place in range(len(done), len(parts)):
        done.append(log_likelihood(model, parts[place], k=draws, seed=seed + place, progress=True).mean)
        replace_file(file, json.dumps(done).encode())
    return sum(value * len(part) for value, part in zip(done, parts, strict=True)) / len(x)


def asked(gate: Limit, aim: Limit, draws: int = DRAWS) -> dict[str, Asked]:
    """Return what is measured of each network, with gate and aim of the bound."""
    units = {"active": "dimensions", "epochs": "epochs", "hours": "hours"}
    bound = Asked(
        f"bound of −log p(x) by {draws:,} importance weights, 10,000 test images", "nats per image", gate, aim
    )
    others = {name: Asked(what, units.get(name, "nats per image")) for name, what in QUANTITIES.items()}
    return {f"bound_{draws}": bound} | others


@claim(
    "A published VAE, trained in less than an hour",
    "The 784-200-200-50 network that Burda et al. (2016) trained for 3,280 epochs to 86.76 nats comes within "
    "half a nat of that in 300 epochs.",
    TEST + "of the 10,000 test images for each seed",
    **asked(gate=at_most(86.76 + 0.5), aim=at_most(86.76)),
)
def published_vae(seed: int) -> Measured:
    return published("vae", BURDA, 300 * EPOCH, seed)


@claim(
    "A published importance-weighted autoencoder",
    "The same network trained on five draws, published 85.54 nats, comes within half a nat of that in 200 "
    "epochs, with the doubly reparameterized gradient.",
    TEST + "of the 10,000 test images",
    **asked(gate=at_most(85.54 + 0.5), aim=at_most(85.54)),
)
def published_iwae_5(seed: int) -> Measured:
    options = f"{BURDA} --k 5 --gradient 'doubly reparameterized'"
    return published("iwae_5", options, 200 * EPOCH, seed)


@claim(
    "A hierarchy of linear layers, against published likelihoods",
    "Three levels of twenty dimensions between linear layers, trained on the ELBO for less than two hours, "
    "come within 84 nats; the two-layer network of Burda et al. (2016), trained on fifty draws, had 82.90.",
    TEST + "of the 10,000 test images",
    **asked(gate=at_most(84), aim=at_most(82), draws=FEWER),
)
def published_hierarchy(seed: int) -> Measured:
    options = "--architecture hierarchical --precision bfloat16"
    return published("hierarchy", options, 26_000, seed, FEWER)


@claim(
    "A hierarchy of convolutions, against published likelihoods",
    "Eight levels of maps between convolutions, trained on the ELBO for some hours of one GPU, come below "
    "80.7 nats.",
    TEST + "of the 10,000 test images",
    **asked(gate=at_most(80.7), aim=at_most(78), draws=FEWER),
)
def published_hierarchy_conv(seed: int) -> Measured:
    options = (
        "--architecture hierarchical-conv --levels 8 --latent-dim 8 --hidden 64 --optimizer adam "
        "--learning-rate 1e-3 --batch-size 256 --precision bfloat16 --device cuda"
    )
    return published("hierarchy_conv", options, 80_000, seed, FEWER)
