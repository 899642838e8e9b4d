"""Posterior collapse made and cured, and what a weight on the KL term does: claims of chapter 10."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.optim import Optimizer

from claims import Asked, Measured, at_least, at_most, claim, mnist, tossed_batches
from gm_lib.data import binarize
from gm_lib.evaluation import active_units, judge_digits, log_likelihood, negative_elbo, split_rate
from gm_lib.runtime import device, forked_rng
from gm_lib.vae import VAE, AutoregressiveBernoulli, Decoder, GaussianEncoder, digit_vae
from make_pretrained import train

STEPS = 800
SHAPE = (1, 28, 28)
WIDTH, LATENT_DIM = 200, 20
NATS, IMAGES = "nats per image", "2,000 validation images"


class WarmingUp(VAE):
    """A VAE whose β rises evenly from 0 to 1 over the first half of the training."""

    def update(self, batch: object, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        self.beta = min(1.0, step / (STEPS / 2))
        return super().update(batch, optimizers, step)


class AtOnePace(VAE):
    """A VAE whose likelihood learns with the same step size as its networks."""

    def optimizers(self) -> dict[str, Optimizer]:
        optimizers = super().optimizers()
        for group in optimizers["adam"].param_groups:
            group["lr"] = group["initial_lr"] = self.lr
        return optimizers


def autoregressive(seed: int, kind: type[VAE] = VAE, free_bits: float = 0.0) -> VAE:
    """Return chapter 10's VAE in which each pixel also sees those before it."""
    with forked_rng(seed):
        encoder = GaussianEncoder(SHAPE, [WIDTH], LATENT_DIM)
        decoder = Decoder(LATENT_DIM, [WIDTH], SHAPE)
    return kind(encoder, decoder, AutoregressiveBernoulli(SHAPE), lr=2e-3, free_bits=free_bits)


def with_neighbours(seed: int) -> VAE:
    """Return the same with W held at zero but for the four neighbours that come before a pixel."""
    model = autoregressive(seed)
    row, column = (torch.arange(784, device=device()) // 28, torch.arange(784, device=device()) % 28)
    near = ((row[:, None] - row).abs() <= 1) & ((column[:, None] - column).abs() <= 1)
    weight = model.likelihood.get_parameter("weight")
    weight.register_hook(lambda gradient: gradient * near.to(gradient.device))
    return model


@functools.cache
def tossed(seed: int) -> Tensor:
    """Return the validation images, one toss of each."""
    with forked_rng(seed):
        return binarize(mnist().valid.x)


def trained(model: VAE, seed: int, steps: int = STEPS) -> VAE:
    """Train on dynamically binarized digits."""
    train(model, tossed_batches(seed), steps=steps, seed=seed, average=0.998)
    return model


WAYS = {
    "fast": "W at ten times the step size",
    "one_pace": "W at the step size of the networks",
    "warm": "β warmed up",
    "free": "half a nat free per dimension",
    "near": "W limited to four neighbours",
    "without_z": "W without z",
}
MEASURES = {
    "kl": ("KL", NATS),
    "information": ("mutual information of code and image", NATS),
    "active": ("active dimensions of 20", "dimensions"),
    "negative_elbo": ("−ELBO", NATS),
    "bound": ("bound of −log p(x) by 50 importance weights, the first 1,000", NATS),
}


def quantities_of_collapse() -> dict[str, Asked]:
    """Return what is asked of each way to train, by name: ``kl_fast`` and so on."""
    asked = {
        f"{measure}_{way}": Asked(f"{what}: {how}", unit)
        for way, how in WAYS.items()
        for measure, (what, unit) in MEASURES.items()
        if way != "without_z" or measure == "negative_elbo"
    }
    gates = {"kl_fast": at_most(2.5), "kl_one_pace": at_least(6), "kl_free": at_least(8)}
    gates |= {"active_fast": at_least(8)}
    for name, gate in gates.items():
        asked[name] = Asked(asked[name].what, asked[name].unit, gate=gate)
    return asked


@claim(
    title="Posterior collapse and its cures",
    claim=(
        "A VAE with 20 latent dimensions whose pixels also see all pixels before them through a matrix W "
        "collapses, nearly, where W learns ten times as fast as the networks, and not where both learn at "
        "one pace; and what warming up β, free bits and a weaker W change in that, after 800 steps of 128 "
        "images."
    ),
    data=f"MNIST, dynamically binarized: trained on the 50,000 training images, measured on {IMAGES}",
    **quantities_of_collapse(),
)
def collapse(seed: int) -> Measured:
    """Train the model in six ways with everything drawn from ``seed``."""
    models = {
        "fast": autoregressive(seed),
        "one_pace": autoregressive(seed, AtOnePace),
        "warm": autoregressive(seed, WarmingUp),
        "free": autoregressive(seed, free_bits=0.5),
        "near": with_neighbours(seed),
    }
    measured: Measured = {}
    for way, model in models.items():
        measured |= {f"{name}_{way}": value for name, value in of_codes(trained(model, seed), seed).items()}
    deaf = autoregressive(seed)
    with torch.no_grad():
        deaf.decoder.net[0].weight.zero_()
    deaf.decoder.net[0].weight.requires_grad_(False)
    measured["negative_elbo_without_z"] = negative_elbo(trained(deaf, seed), tossed(seed)[:2000]).mean
    return measured


def of_codes(model: VAE, seed: int) -> Measured:
    """Measure what the codes say, and both bounds."""
    x = tossed(seed)
    rate = split_rate(model, x[:2000], seed=seed)
    return {
        "kl": rate.rate.mean,
        "information": rate.mutual_information.mean,
        "active": active_units(model, x[:2000]).count,
        "negative_elbo": negative_elbo(model, x[:2000], k=4, seed=seed).mean,
        "bound": -log_likelihood(model, x[:1000], k=50, seed=seed).mean,
    }


@claim(
    title="Posterior collapse, trained three times as long",
    claim=(
        "After 2,400 steps of 128 images the model in which W learns ten times as fast uses its codes a "
        "little more than after 800, and is a worse model of images than the one in which W learns at the "
        "pace of the networks."
    ),
    data=f"MNIST, dynamically binarized: trained on the 50,000 training images, measured on {IMAGES}",
    **{
        f"{measure}_{way}": Asked(f"{what}: {WAYS[way]}", unit)
        for way in ("fast", "one_pace", "free")
        for measure, (what, unit) in MEASURES.items()
    },
    one_pace_gains=Asked(
        "by how much the bound is lower with one pace than with the fast W", NATS, gate=at_least(2)
    ),
)
def collapse_longer(seed: int) -> Measured:
    """Train in three ways for longer, everything drawn from ``seed``."""
    models = {
        "fast": autoregressive(seed),
        "one_pace": autoregressive(seed, AtOnePace),
        "free": autoregressive(seed, free_bits=0.5),
    }
    measured: Measured = {}
    for way, model in models.items():
        found = of_codes(trained(model, seed, steps=3 * STEPS), seed)
        measured |= {f"{name}_{way}": value for name, value in found.items()}
    return measured | {"one_pace_gains": measured["bound_fast"] - measured["bound_one_pace"]}


BETAS = {"01": 0.1, "03": 0.3, "1": 1.0, "3": 3.0, "10": 10.0}


@claim(
    title="The weight of the KL term, on digits",
    claim=(
        "A VAE with 20 latent dimensions, trained with five weights β of the KL term for 800 steps of 128 "
        "images: rate and distortion trade places, −ELBO is lowest at β = 1, and below it samples from the "
        "prior fall behind images decoded from codes of images."
    ),
    data=(
        f"MNIST, dynamically binarized: trained on the 50,000 training images, measured on {IMAGES}, one "
        "toss of each; 2,000 samples beside the next 4,000 grey ones"
    ),
    **{
        f"{name}_{key}": Asked(f"{what}, β = {beta:g}", unit)
        for key, beta in BETAS.items()
        for name, (what, unit) in {
            "rate": ("rate", NATS),
            "distortion": ("distortion", NATS),
            "prior_kl": ("KL from the aggregate posterior of these images to the prior", NATS),
            "active": ("active dimensions of 20", "dimensions"),
            "frechet": ("Fréchet distance of samples", "squared feature units"),
            "frechet_codes": (
                "Fréchet distance of images decoded from codes of images",
                "squared feature units",
            ),
        }.items()
    },
    left=Asked("−ELBO at β = 0.3 above that at β = 1", NATS, gate=at_least(0)),
    right=Asked("−ELBO at β = 3 above that at β = 1", NATS, gate=at_least(0)),
)
def beta_sweep(seed: int) -> Measured:
    """Train with each weight, everything drawn from ``seed``."""
    x, real = tossed(seed)[:2000], mnist().valid.x[4000:8000]
    measured: Measured = {}
    for key, beta in BETAS.items():
        with forked_rng(seed):
            model = digit_vae(latent_dim=LATENT_DIM, hidden=WIDTH, beta=beta)
        trained(model, seed)
        rate = split_rate(model, x, seed=seed)
        generator = torch.Generator(device()).manual_seed(seed)
        with torch.no_grad(), forked_rng(seed):
            codes = model.encode(tossed(seed)[2000:4000].to(device())).sample()
            decoded = model.likelihood.mean(model.decode(codes)).cpu()
        samples = model.sample(2000, generator=generator).cpu()
        total = negative_elbo(model, x, k=4, seed=seed).mean
        measured |= {
            f"rate_{key}": rate.rate.mean,
            f"distortion_{key}": total - rate.rate.mean,
            f"prior_kl_{key}": rate.prior_kl.mean,
            f"active_{key}": active_units(model, x).count,
            f"frechet_{key}": judge_digits(samples, real, seed=seed).frechet,
            f"frechet_codes_{key}": judge_digits(decoded, real, seed=seed).frechet,
        }
    sums = {key: measured[f"rate_{key}"] + measured[f"distortion_{key}"] for key in BETAS}
    return measured | {"left": sums["03"] - sums["1"], "right": sums["3"] - sums["1"]}
