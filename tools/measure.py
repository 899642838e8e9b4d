"""Measure what the course claims, with several seeds, and write the results to results/NAME.json.

    python tools/measure.py --list
    python tools/measure.py vae_quick
    python tools/measure.py vae_quick --seeds 0 1 2 3 4
    python tools/measure.py vae_quick --seeds 3 4 --add

A run that was interrupted goes on with the seeds that are still to do. When all are done, book/results.md is
made anew from all the records.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import hashlib
import inspect
import json
import os
import platform
import sys
import textwrap
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import claims_blur  # noqa: F401
import claims_codes  # noqa: F401
import claims_collapse  # noqa: F401
import claims_families  # noqa: F401
import claims_gan  # noqa: F401
import claims_images  # noqa: F401
import claims_judging  # noqa: F401
import claims_music  # noqa: F401
import claims_prose  # noqa: F401
import claims_published  # noqa: F401
import claims_speech  # noqa: F401
import claims_tables  # noqa: F401
import claims_tighter  # noqa: F401
import execution_cache
import first_models
import make_pretrained
import make_results_page
import mutants
from claims import (
    CLAIMS,
    QUICK_SAMPLES,
    Asked,
    Claim,
    Measured,
    at_least,
    at_most,
    claim,
    drawn,
    features,
    frechet_of_samples,
    mnist,
    samples_of_quick_gan,
)
from gm_lib import pretrained
from gm_lib.classifier import read_digits
from gm_lib.data import Batches, binarize
from gm_lib.distributions.counting import PixelCounts
from gm_lib.evaluation import (
    annealed_log_likelihood,
    frechet_distance,
    judge_digits,
    log_likelihood,
    negative_elbo,
)
from gm_lib.gan import GAN, digit_gan
from gm_lib.runtime import device, forked_rng
from gm_lib.system.files import replace_file
from gm_lib.vae import VAE, digit_autoencoder, digit_vae, iwae_bound, refine
from make_pretrained import train
from records import FOLDER, ROOT, SHARE, Quantity, Record, as_json, read, rounded, summary

PACKAGES = ("torch", "numpy", "gm_lib")
SEEDS = (0, 1, 2)


# --- the claims


@claim(
    title="The digit classifier, judge of samples",
    claim=(
        "The classifier that comes with the library reads at least 99.2 % of MNIST's test images correctly, "
        "and of the small digits that stand in for MNIST about as many. Its weights are those of seed 0."
    ),
    data="MNIST and scikit-learn's digits: trained on both training splits together, measured on test images",
    mnist=Asked("MNIST's 10,000 test images read correctly", SHARE, gate=at_least(0.992)),
    digits=Asked("the small digits' 300 test images read correctly", SHARE),
)
def digit_classifier(seed: int) -> Measured:
    """Train the classifier from ``seed`` by the command that made the weights that come with the library."""
    mnist()
    facts = make_pretrained.digit_classifier(seed, None).facts
    return {name: scores["test"]["share"] for name, scores in facts["accuracy"].items()}


@claim(
    title="The models of Part I on tossed digits",
    claim=(
        "Of the models of chapters 1, 2 and 5, the one that gives each pixel four neighbours drawn before it "
        "comes closest to the digits; a mixture of 40 causes stays behind it."
    ),
    data=(
        "MNIST, binarized by one toss of each grey value: counted on the 50,000 training images, smoothing "
        "chosen on the validation images, measured on the 10,000 test images; 5,000 samples"
    ),
    pixels=Asked("−log p(x), every pixel alone", "nats per image"),
    tiles=Asked("−log p(x), tiles of side 4", "nats per image"),
    tiles_by_digit=Asked("−log p(x), tiles of side 4 counted by digit", "nats per image"),
    neighbours=Asked("−log p(x), four neighbours", "nats per image"),
    causes=Asked("−log p(x), a mixture of 40 causes (30 steps of EM)", "nats per image"),
    causes_over_neighbours=Asked(
        "what 40 causes cost more than four neighbours", "nats per image", gate=at_least(0)
    ),
    frechet_pixels=Asked("Fréchet distance, every pixel alone", "squared feature units"),
    frechet_tiles=Asked("Fréchet distance, tiles of side 4", "squared feature units"),
    frechet_neighbours=Asked("Fréchet distance, four neighbours", "squared feature units"),
    frechet_causes=Asked("Fréchet distance, a mixture of 40 causes", "squared feature units"),
    frechet_tossed=Asked("Fréchet distance of real test images, tossed", "squared feature units"),
)
def first_digits(seed: int) -> Measured:
    """Count the digits of one toss from ``seed``, and score those of another."""
    data = mnist()
    generator = torch.Generator().manual_seed(seed)
    train_x, valid, test = (
        binarize(part.x, generator=generator) for part in (data.train, data.valid, data.test)
    )
    pixels = PixelCounts(train_x)
    tiles = first_models.tiles(train_x, valid, 4)
    by_digit = first_models.tiles_by_digit(train_x, data.train.y, valid, 4)
    neighbours = first_models.Neighbours(train_x)
    causes = first_models.causes(train_x.flatten(1), 40, 30, generator)
    log_p = {
        "pixels": pixels.log_prob(test),
        "tiles": tiles.log_prob(test),
        "tiles_by_digit": by_digit(test),
        "neighbours": neighbours.log_prob(test),
        "causes": causes.log_prob(test.flatten(1)),
    }
    nats = {name: -of_images.double().mean().item() for name, of_images in log_p.items()}
    drawn = {
        "pixels": pixels.sample(QUICK_SAMPLES, generator=generator),
        "tiles": tiles.sample(QUICK_SAMPLES, generator=generator),
        "neighbours": neighbours.sample(QUICK_SAMPLES, generator),
        "causes": causes.sample(QUICK_SAMPLES, generator)[1].reshape(-1, 1, 28, 28),
        "tossed": test[:QUICK_SAMPLES],
    }
    frechet = {
        f"frechet_{name}": judge_digits(x, data.valid.x, seed=seed).frechet for name, x in drawn.items()
    }
    return {**nats, "causes_over_neighbours": nats["causes"] - nats["neighbours"], **frechet}


@claim(
    title="The models of Part I on grey digits",
    claim=(
        "Probabilistic PCA with 50 latent dimensions, one width of noise for all pixels, is a worse density "
        "of grey digits than one Gaussian for each pixel, and that than one histogram for all pixels."
    ),
    data="MNIST, 256 grey levels: fitted to the 50,000 training images, measured on the 10,000 test images",
    histogram=Asked("one histogram for all pixels", "bits per pixel"),
    histograms=Asked("a histogram for each pixel", "bits per pixel"),
    gaussians=Asked("a Gaussian for each pixel, dequantized", "bits per pixel"),
    ppca_2=Asked("probabilistic PCA, 2 dimensions, dequantized", "bits per pixel"),
    ppca_50=Asked("probabilistic PCA, 50 dimensions, dequantized", "bits per pixel"),
    ppca_150=Asked("probabilistic PCA, 150 dimensions, dequantized", "bits per pixel"),
    ppca_50_over_gaussians=Asked(
        "what PCA with 50 dimensions costs more than the Gaussians", "bits per pixel", gate=at_least(0)
    ),
)
def first_grey(seed: int) -> Measured:
    """Fit the grey digits; ``seed`` draws the noise of the dequantization."""
    data = mnist()
    generator = torch.Generator().manual_seed(seed)
    bits = first_models.histogram_bits(data.train.x, data.test.x)
    bits |= first_models.density_bits(data.train.x, data.test.x, generator)
    return {**bits, "ppca_50_over_gaussians": bits["ppca_50"] - bits["gaussians"]}


@claim(
    title="A VAE on MNIST in the quick profile",
    claim=(
        "`digit_vae` with 50 latent dimensions, trained for 3,750 steps of 128 images, longer than in "
        "chapter 9, comes to 105 nats per test image or less."
    ),
    data="MNIST, dynamically binarized: trained on the 50,000 training images, measured on test images",
    negative_elbo=Asked("−ELBO, 10,000 test images", "nats per image", gate=at_most(105)),
    negative_elbo_1000=Asked("−ELBO, the first 1,000 test images", "nats per image"),
    bound_300=Asked(
        "bound of −log p(x) by 300 importance-weighted samples, the same 1,000 images", "nats per image"
    ),
    coin_entropy=Asked(
        "entropy of the binarization, which no model can save, 10,000 test images", "nats per image"
    ),
    frechet=Asked("Fréchet distance of 5,000 samples to the validation images", "squared feature units"),
)
def vae_quick(seed: int) -> Measured:
    """Train chapter 9's VAE with everything drawn from ``seed``, the tosses of the test images included."""
    data = mnist()
    with forked_rng(seed):
        test = binarize(data.test.x)
        model = digit_vae(latent_dim=50)
    batches = Batches(data.train.x, batch_size=128, seed=seed, device=device(), dynamic_binarization=True)
    train(model, batches, steps=3750, seed=seed, average=0.998)
    few = test[:1000]
    grey = data.test.x.double()
    coins = -(torch.xlogy(grey, grey) + torch.xlogy(1 - grey, 1 - grey)).flatten(1).sum(1)
    return {
        "negative_elbo": negative_elbo(model, test, seed=seed).mean,
        "negative_elbo_1000": negative_elbo(model, few, k=20, seed=seed).mean,
        "bound_300": -log_likelihood(model, few, k=300, seed=seed, progress=True).mean,
        "coin_entropy": coins.mean().item(),
        "frechet": frechet_of_samples(model, seed),
    }


@claim(
    title="A GAN on MNIST in the quick profile",
    claim=(
        "`digit_gan`, trained for 1,200 steps of 64 images, writes all ten digits, and the course's "
        "classifier is sure of what at least 35 % of its samples show."
    ),
    data="MNIST: trained on the 50,000 training images; 5,000 samples beside the 10,000 validation images",
    digits=Asked("digits covered, of 10", "digits", gate=at_least(10)),
    confident=Asked("samples read with a confidence of 90 % or more", SHARE, at_least(0.35), at_least(0.5)),
    confident_real=Asked("real images read so", SHARE),
    relative=Asked("confident share relative to real images", SHARE),
    frechet=Asked("Fréchet distance in the classifier's features", "squared feature units"),
    frechet_floor=Asked("the same of as many real images", "squared feature units"),
    precision=Asked("precision", SHARE),
    recall=Asked("recall", SHARE),
)
def gan_quick(seed: int) -> Measured:
    """Train chapter 13's GAN with everything drawn from ``seed`` and let the classifier judge its samples."""
    samples = samples_of_quick_gan(seed)
    report = judge_digits(samples, mnist().valid.x, seed=seed).as_dict()
    return {name: report[name] for name in CLAIMS["gan_quick"].quantities}


@claim(
    title="A GAN on MNIST that is told the digit",
    claim=(
        "With labels for both players, and everything else as in the GAN above, more of the samples are read "
        "with confidence after the same 1,200 steps, and they show the digit that was asked for."
    ),
    data="MNIST: trained on the 50,000 training images; 5,000 samples beside the 10,000 validation images",
    digits=Asked("digits covered, of 10", "digits", gate=at_least(10)),
    confident=Asked("samples read with a confidence of 90 % or more", SHARE, at_least(0.35)),
    as_asked=Asked("samples read as the digit that was asked for", SHARE, at_least(0.8)),
    relative=Asked("confident share relative to real images", SHARE),
    frechet=Asked("Fréchet distance in the classifier's features", "squared feature units"),
)
def gan_labels_quick(seed: int) -> Measured:
    """Train the conditional GAN as ``gan_quick`` trains the other; ask it for each digit equally often."""
    asked = torch.arange(QUICK_SAMPLES) % 10
    samples = samples_of_quick_gan(seed, asked)
    read = read_digits(pretrained.digit_classifier(), samples).argmax(-1)
    report = judge_digits(samples, mnist().valid.x, seed=seed).as_dict()
    return {
        **{name: report[name] for name in ("digits", "confident", "relative", "frechet")},
        "as_asked": (read == asked).double().mean().item(),
    }


@claim(
    title="The settings of a GAN on MNIST",
    claim=(
        "What it does to the samples of `digit_gan` after 600 steps to change one of its settings: their "
        "Fréchet distance from real images."
    ),
    data="MNIST: trained on the 50,000 training images; 5,000 samples beside 5,000 validation images",
    usual=Asked("as it is: learning rate 0.002, β₁ = 0.5", "squared feature units"),
    slow=Asked("learning rate 0.0002", "squared feature units"),
    momentum=Asked("β₁ = 0.9", "squared feature units"),
    normal_init=Asked("weights of all layers from N(0, 0.02²)", "squared feature units"),
    first_norm=Asked("batch norm in the discriminator's first layer too", "squared feature units"),
)
def gan_settings(seed: int) -> Measured:
    """Train ``digit_gan`` with each setting, everything drawn from ``seed``."""
    return {name: distance_of_changed_gan(change, seed) for name, change in GAN_CHANGES.items()}


def draw_all_weights(model: GAN) -> None:
    """Draw the weights of convolutions and linear layers from N(0, 0.02²), as Radford et al. 2016 do."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
    model.averaged.load_state_dict(model.generator.state_dict())


def normalize_first_layer(model: GAN) -> None:
    """Put batch norm into the discriminator's first layer, between convolution and leaky ReLU."""
    convolution, activation = model.discriminator.net[0]
    norm = nn.BatchNorm2d(convolution.out_channels).to(convolution.weight.device)
    model.discriminator.net[0] = nn.Sequential(convolution, norm, activation)


GAN_CHANGES: dict[str, Callable[[GAN], object]] = {
    "usual": lambda model: None,
    "slow": lambda model: setattr(model, "lr", 2e-4),
    "momentum": lambda model: setattr(model, "betas", (0.9, 0.999)),
    "normal_init": draw_all_weights,
    "first_norm": normalize_first_layer,
}


def distance_of_changed_gan(change: Callable[[GAN], object], seed: int) -> float:
    """Train ``digit_gan`` for 600 steps after a change; return the Fréchet distance of its samples."""
    data, where = mnist(), device()
    with forked_rng(seed):
        model = digit_gan()
        change(model)
    batches = Batches(data.train.x, batch_size=64, seed=seed, device=where)
    train(model, batches, steps=600, seed=seed)
    samples = drawn(model, QUICK_SAMPLES, seed)
    return frechet_distance(features(data.valid.x[:QUICK_SAMPLES]), features(samples))


@claim(
    title="A VAE in bfloat16",
    claim=(
        "`digit_vae` (784-400-20), trained for 3,750 steps of 128 images with matrix products in bfloat16, "
        "comes within 0.3 nats of the one trained in float32."
    ),
    data="MNIST, dynamically binarized: trained on the 50,000 training images, measured on test images",
    float32=Asked("−ELBO after training in float32, 10,000 test images", "nats per image"),
    bfloat16=Asked("−ELBO after training in bfloat16, the same", "nats per image"),
    difference=Asked("bfloat16 less float32", "nats per image", gate=at_most(0.3)),
)
def vae_bfloat16(seed: int) -> Measured:
    """Train a VAE in both precisions, from the same weights, batches and noise; score it in float32."""
    data = mnist()
    with forked_rng(seed):
        test = binarize(data.test.x)
    scores = {}
    for precision in ("float32", "bfloat16"):
        with forked_rng(seed):
            model = digit_vae(latent_dim=20)
        batches = Batches(data.train.x, batch_size=128, seed=seed, device=device(), dynamic_binarization=True)
        train(model, batches, steps=3750, seed=seed, precision=precision, average=0.998)
        scores[precision] = negative_elbo(model, test, seed=seed).mean
    return {**scores, "difference": scores["bfloat16"] - scores["float32"]}


@claim(
    title="An autoencoder as a generator, by where its codes come from",
    claim=(
        "What the decoder of chapter 6's autoencoder (784-400-200-10, 800 steps of 128 images) writes "
        "depends on where its codes come from: drawn from 30 Gaussians that were fitted to codes, they give "
        "images at most half as far from real ones as drawn from N(0, I)."
    ),
    data="MNIST: trained on the 50,000 training images; 5,000 samples beside the 10,000 validation images",
    error=Asked("squared error, 10,000 validation images, summed over the pixels", "per image"),
    error_pca=Asked("the same with ten principal components", "per image"),
    frechet_rebuilt=Asked("Fréchet distance, reconstructions", "squared feature units"),
    frechet_noise=Asked("Fréchet distance, codes from N(0, I)", "squared feature units"),
    frechet_box=Asked("Fréchet distance, codes from a box around the codes", "squared feature units"),
    frechet_gaussian=Asked("Fréchet distance, codes from one Gaussian", "squared feature units"),
    frechet_mixture=Asked("Fréchet distance, codes from 30 Gaussians", "squared feature units"),
    mixture_over_noise=Asked(
        "Fréchet distance with 30 Gaussians over that with N(0, I)", "ratio", gate=at_most(0.5)
    ),
    confident_noise=Asked("read with a confidence of 90 % or more, codes from N(0, I)", SHARE),
    confident_mixture=Asked("read so, codes from 30 Gaussians", SHARE),
)
def autoencoder_codes(seed: int) -> Measured:
    """Train chapter 6's autoencoder with everything drawn from ``seed``; judge what it makes of codes."""
    data, where = mnist(), device()
    with forked_rng(seed):
        model = digit_autoencoder(latent_dim=10, hidden=[400, 200], lr=3e-3)
    batches = Batches(data.train.x, batch_size=128, seed=seed, device=where)
    train(model, batches, steps=800, seed=seed, average=0.998)
    with torch.no_grad():
        codes = model.encode(data.train.x.to(where)).cpu()
    low, high = codes.quantile(0.01, dim=0), codes.quantile(0.99, dim=0)
    mixture = GaussianMixture(30, random_state=seed, tol=1e-2, max_iter=200).fit(
        codes[:10_000].double().numpy()
    )
    mixture.random_state = np.random.RandomState(seed)  # the fit's own seed would start the draws anew
    with forked_rng(seed):
        drawn = {
            "noise": torch.randn(QUICK_SAMPLES, 10),
            "box": low + (high - low) * torch.rand(QUICK_SAMPLES, 10),
            "gaussian": MultivariateNormal(codes.mean(0), codes.T.cov()).sample((QUICK_SAMPLES,)),
            "mixture": torch.as_tensor(mixture.sample(QUICK_SAMPLES)[0], dtype=torch.float32),
        }
        chosen = torch.randperm(len(data.valid.x))[:QUICK_SAMPLES]
    with torch.no_grad():
        made = {name: model.decode(z.to(where)).cpu() for name, z in drawn.items()}
    made["rebuilt"] = model.reconstruct(data.valid.x[chosen].to(where)).cpu()
    found = {name: judge_digits(x, data.valid.x, seed=seed) for name, x in made.items()}
    centred, mean = data.valid.x.flatten(1).double(), data.train.x.flatten(1).double().mean(0)
    centred = centred - mean
    axes = torch.linalg.eigh((data.train.x.flatten(1).double() - mean).T.cov()).eigenvectors[:, -10:]
    return {
        "error": model.errors(data.valid.x.to(where)).mean().item(),
        "error_pca": (centred.square().sum(1) - (centred @ axes).square().sum(1)).mean().item(),
        **{f"frechet_{name}": report.frechet for name, report in found.items()},
        "mixture_over_noise": found["mixture"].frechet / found["noise"].frechet,
        "confident_noise": found["noise"].confident,
        "confident_mixture": found["mixture"].confident,
    }


@claim(
    title="What the ELBO of a VAE leaves open",
    claim=(
        "The ELBO of a VAE with 10 latent dimensions and a diagonal q, trained for 3,750 steps of 128 "
        "images, falls short of log p(x) by two gaps: what no diagonal Gaussian reaches, and what the "
        "encoder leaves to the best one."
    ),
    data="MNIST, dynamically binarized: trained on the 50,000 training images, measured on test images",
    bound_1000=Asked(
        "bound of −log p(x) by 1,000 importance-weighted samples, the first 1,000 test images",
        "nats per image",
    ),
    negative_elbo=Asked("−ELBO with the encoder's q, the first 100 test images", "nats per image"),
    negative_elbo_refined=Asked("−ELBO with the best diagonal q, the same 100 images", "nats per image"),
    bound_5000=Asked(
        "bound of −log p(x) by 5,000 importance-weighted samples of the encoder's q, the same 100 images",
        "nats per image",
    ),
    bound_5000_refined=Asked(
        "the same by samples of the best diagonal q, made wider by 15 %", "nats per image"
    ),
    annealed=Asked(
        "bound of −log p(x) by annealing (300 temperatures, 16 chains), the same 100 images",
        "nats per image",
    ),
    approximation_gap=Asked(
        "−ELBO with the best diagonal q less the bound by its own samples", "nats per image"
    ),
    amortization_gap=Asked("−ELBO with the encoder's q less that with the best diagonal q", "nats per image"),
    frechet=Asked("Fréchet distance of 5,000 samples to the validation images", "squared feature units"),
)
def elbo_gaps(seed: int) -> Measured:
    """Train a VAE with everything drawn from ``seed``, and bound log p(x) of test images in four ways."""
    data, where = mnist(), device()
    with forked_rng(seed):
        test = binarize(data.test.x[:1000]).to(where)
        model = digit_vae(latent_dim=10)
    batches = Batches(data.train.x, batch_size=128, seed=seed, device=where, dynamic_binarization=True)
    train(model, batches, steps=3750, seed=seed, average=0.998)
    few = test[:100]
    with torch.no_grad():
        encoded = negative_elbo_of(model, few, model.encode(few), seed)
    best = refine(model, few, steps=1000, seed=seed)
    refined = negative_elbo_of(model, few, best, seed)
    bound = negative_bound_of(model, few, Normal(best.mean, 1.15 * best.stddev), 5000, seed)
    return {
        "bound_1000": -log_likelihood(model, test, k=1000, seed=seed, progress=True).mean,
        "negative_elbo": encoded,
        "negative_elbo_refined": refined,
        "bound_5000": -log_likelihood(model, few, k=5000, seed=seed).mean,
        "bound_5000_refined": bound,
        "annealed": -annealed_log_likelihood(
            model, few, temperatures=300, chains=16, seed=seed, progress=True
        ).mean,
        "approximation_gap": refined - bound,
        "amortization_gap": encoded - refined,
        "frechet": frechet_of_samples(model, seed),
    }


@claim(
    "The checks of the exercises",
    "The check of an exercise calls wrong what a small mechanical change makes of the solution: another "
    "operator, constant, function or parameter, a call or keyword left out, operands or arguments swapped. "
    "Mutants that are right all the same are listed with the reason, and not counted.",
    "the exercises of all chapters",
    exercises=Asked("how many exercises there are", "exercises"),
    mutants=Asked("how many mutants their solutions have", "mutants"),
    equivalent=Asked("how many of those are right, though written otherwise", "mutants"),
    rejected=Asked("which share of the others the check rejects", SHARE, at_least(0.98)),
)
def exercise_mutants(seed: int) -> Measured:
    ids = mutants.exercises([])
    found = mutants.score(ids, tell=lambda _: None)
    return {
        "exercises": len(ids),
        "mutants": found.mutants,
        "equivalent": found.equivalent,
        "rejected": found.rejected,
    }


@torch.no_grad()
def negative_elbo_of(model: VAE, x: Tensor, q: Normal, seed: int) -> float:
    """Return the mean -ELBO of x (n, ...) with ``q``, (n, latent_dim), from 500 draws and the exact KL."""
    with forked_rng(seed):
        log_p = torch.stack([model.likelihood.log_prob(x, model.decode(q.sample())) for _ in range(500)])
    return (kl_divergence(q, model.prior).sum(1) - log_p.mean(0)).mean().item()


@torch.no_grad()
def negative_bound_of(model: VAE, x: Tensor, q: Normal, k: int, seed: int) -> float:
    """Return the mean importance-weighted bound of -log p(x), k weights of draws from ``q`` for each x."""
    with forked_rng(seed):
        draws = (q.sample() for _ in range(k))
        log_w = torch.stack([model.log_joint(z, x) - q.log_prob(z).sum(-1) for z in draws])
    return -iwae_bound(log_w.double()).mean().item()


# --- measuring


def measure(name: str, seeds: tuple[int, ...], root: Path = ROOT, *, add: bool = False) -> Record:
    """Measure a claim with each seed that is not done yet; write its record; return it.

    With ``add`` the record that is there keeps its seeds, and the others are added to them.

    A finished seed is kept in ``results/.NAME.partial.json`` until all are done, and counts as long as the
    claim's function, library, lock and data are what they were. Raises what the claim raises, and
    ``ValueError`` for a gate that does not hold: the seeds then stay there, to be looked at, and no record is
    written. So do seeds that cannot be added, since the record is of another claim, version or machine.
    """
    claim = CLAIMS[name]
    partial = root / FOLDER / f".{name}.partial.json"
    made_by = fingerprint(claim)  # now: the files may be edited while it runs
    done = finished_seeds(partial, made_by)
    if add:
        there = read(root / FOLDER / f"{name}.json")
        done |= seeds_of_record(there)
        seeds = tuple(dict.fromkeys((*there.seeds, *seeds)))
    for place, seed in enumerate(seeds, start=1):
        where = f"[{place}/{len(seeds)}] {name}, seed {seed}:"
        if str(seed) in done:
            print(f"{where} done before", flush=True)
            continue
        print(f"{where} measuring", flush=True)
        clock, cpu = time.perf_counter(), time.process_time()
        values = claim.measure(seed)
        seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
        if set(values) != set(claim.quantities):
            raise ValueError(f"{name} promises {sorted(claim.quantities)} and measured {sorted(values)}.")
        done[str(seed)] = {"values": values, "seconds": seconds, "cpu_seconds": cpu_seconds}
        keep_seeds(partial, made_by, done)
        shown = ", ".join(f"{key} {value:.5g}" for key, value in values.items())
        print(f"{where} {shown} ({seconds:.0f} s)", flush=True)
    record = as_record(name, seeds, [done[str(seed)] for seed in seeds])
    if add and (other := differences(there, record)):
        raise ValueError(f"{name}.json is of another {', '.join(other)} than now: measure all seeds again.")
    for key, quantity in record.quantities.items():
        if quantity.gate and not all(map(quantity.gate.holds, quantity.values)):
            raise ValueError(
                f"{name}: {key} is {quantity.values}, its gate is {quantity.gate}. No record was written; "
                f"the values are in {partial.name}."
            )
    replace_file(root / FOLDER / f"{name}.json", as_json(record).encode())
    partial.unlink()
    return record


def seeds_of_record(record: Record) -> dict[str, Any]:
    """Return what a record holds of each of its seeds, as it is kept of an interrupted run."""
    return {
        str(seed): {
            "values": {key: quantity.values[place] for key, quantity in record.quantities.items()},
            "seconds": record.seconds[place],
            "cpu_seconds": record.cpu_seconds[place],
        }
        for place, seed in enumerate(record.seeds)
    }


def differences(record: Record, other: Record) -> list[str]:
    """Name what keeps the seeds of two records from standing in one."""
    parts = ("title", "claim", "data", "hardware", "versions")
    found = [part for part in parts if getattr(record, part) != getattr(other, part)]
    asked, others = (
        {key: (q.what, q.unit, q.gate, q.aim) for key, q in each.quantities.items()}
        for each in (record, other)
    )
    return found + ["set of quantities"] * (asked != others)


def as_record(name: str, seeds: tuple[int, ...], done: list[dict[str, Any]]) -> Record:
    """Return the record of a claim from what was kept of each seed."""
    claim = CLAIMS[name]
    quantities = {}
    for key, asked in claim.quantities.items():
        values = [rounded(each["values"][key]) for each in done]
        found = summary(values)
        assert found["mean"] is not None  # only the spread of a single value is unknown
        quantities[key] = Quantity(
            asked.what,
            asked.unit,
            tuple(values),
            found["mean"],
            found["sd"],
            found["standard_error"],
            asked.gate,
            asked.aim,
        )
    return Record(
        name=name,
        title=claim.title,
        claim=claim.claim,
        data=claim.data,
        command=f"python tools/measure.py {name} --seeds {' '.join(map(str, seeds))}",
        seeds=seeds,
        quantities=quantities,
        seconds=tuple(round(each["seconds"], 1) for each in done),
        cpu_seconds=tuple(round(each["cpu_seconds"], 1) for each in done),
        hardware=hardware(),
        versions={"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
        date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
    )


def hardware() -> str:
    """Say in general words what this program runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    where = device()
    gpu = {"cuda": "one CUDA GPU", "mps": "an Apple GPU"}.get(where.type, "no GPU")
    if where.type == "cuda":
        gpu = f"one {torch.cuda.get_device_name(where)}"
    return f"{cores} CPU cores, {threads} thread{'s' if threads > 1 else ''} used, {gpu}"


def fingerprint(claim: Claim) -> str:
    """Return a text that changes when the function of the claim, the library, the lock or the data do."""
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(claim.measure))).body
    assert isinstance(function, ast.FunctionDef)
    code = "".join(map(ast.dump, function.body))
    return f"{hashlib.sha256(code.encode()).hexdigest()[:16]} {execution_cache.key_of_library(ROOT)}"


def finished_seeds(partial: Path, made_by: str) -> dict[str, Any]:
    """Return what an interrupted run has left, by seed; nothing if it was made by other code or data."""
    if not partial.is_file():
        return {}
    kept = json.loads(partial.read_text("utf-8"))
    if kept["made_by"] != made_by:
        print(f"{partial.name} is of other code or data than now: its seeds are measured again.")
        return {}
    return kept["seeds"]


def keep_seeds(partial: Path, made_by: str, done: dict[str, Any]) -> None:
    """Write what is finished, for a later run to go on from."""
    partial.parent.mkdir(exist_ok=True)
    replace_file(partial, json.dumps({"made_by": made_by, "seeds": done}, indent=1).encode())


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name", nargs="?", choices=sorted(CLAIMS), metavar="NAME", help="the claim to measure"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="which seeds (0 1 2)")
    parser.add_argument(
        "--add", action="store_true", help="keep the seeds that the record holds, and add these"
    )
    parser.add_argument("--list", action="store_true", help="list the claims that can be measured")
    asked = parser.parse_args(arguments)
    if asked.list:
        for name, claim in sorted(CLAIMS.items()):
            print(f"{name:18} {claim.title}")
        return 0
    if asked.name is None:
        parser.error("name a claim, or ask for the --list")
    seeds = tuple(dict.fromkeys(asked.seeds))
    if min(seeds) < 0:
        parser.error(f"a seed is 0 or more, not {min(seeds)}")
    try:
        record = measure(asked.name, seeds, root, add=asked.add)
    except KeyboardInterrupt:
        print("\nInterrupted. Finished seeds are kept; the same command goes on from there.", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {FOLDER}/{record.name}.json")
    return make_results_page.main([], root)


if __name__ == "__main__":
    sys.exit(main())
