"""The claims about images in colour (chapter 16a): a logistic scale for each value or one for all; widths."""

from __future__ import annotations

import time
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

from claims import Asked, Measured, claim
from gm_lib.data import Batches, images
from gm_lib.data.shapes import draw_shapes, empty_grounds, entropy, read_factors
from gm_lib.evaluation import bits_per_dim, factor_report, judge_digits, negative_elbo
from gm_lib.gan import digit_gan
from gm_lib.networks import count_parameters
from gm_lib.pretrained import shapes_classifier
from gm_lib.runtime import forked_rng
from gm_lib.vae import VAE, digit_vae
from make_pretrained import SHAPES_GAN_CONFIG, train
from records import SHARE

Model = TypeVar("Model", bound=nn.Module)
STEPS, BATCH, WIDTH, LATENT, RATE = 300, 32, 24, 32, 3e-3
SCALES = {"own": "discretized_logistic", "one": "shared_discretized_logistic"}
CALLED = {"own": "a scale for each value", "one": "one scale for all"}
SAMPLES = 500
BITS = "bits per dimension"
FROM = {"rebuilt": "z of validation images", "prior": "z from the prior"}
MADE = {
    **{
        f"{z}_{scale}": f"VAE, {called}, {what}"
        for scale, called in CALLED.items()
        for z, what in FROM.items()
    },
    "gan": "GAN",
    "ground": "grounds with grain, no shape",
    "real": "real images",
}


@claim(
    title="Images in colour",
    claim=(
        f"Two convolutional VAEs with the discretized logistic, {STEPS} steps of {BATCH} images each: the "
        "decoder gives a scale for each value, or one scale is learned for all. Bits per dimension by the "
        "ELBO; how far rebuilt images are from their own; and both models' images, means of p(x|z), judged "
        "beside those of a DCGAN after as many steps, empty grounds and fresh real images."
    ),
    data=(
        '`images("shapes")`: trained on the 10,000 training images; the bits are those of the 1,000 test '
        f"images, {SAMPLES} validation images are rebuilt, and the Fréchet distance is to the test images"
    ),
    floor=Asked("the entropy of the images", BITS),
    **{f"bits_{scale}": Asked(f"VAE, {called}", BITS) for scale, called in CALLED.items()},
    **{
        f"off_{scale}": Asked(f"VAE, {called}: from an image to what is rebuilt, root mean square", "levels")
        for scale, called in CALLED.items()
    },
    **{
        f"{factor}_{scale}": Asked(f"VAE, {called}: rebuilt with the right {factor}", SHARE)
        for scale, called in CALLED.items()
        for factor in ("shape", "colour")
    },
    **{
        f"{key}_{name}": Asked(f"{who}: {what}", unit)
        for name, who in MADE.items()
        for key, what, unit in (
            ("distance", "median distance to the nearest rendering", "levels"),
            ("frechet", f"Fréchet distance of {SAMPLES}", "squared feature units"),
        )
    },
)
def images_beyond_digits(seed: int) -> Measured:
    """Train the models from ``seed`` and judge them."""
    data = images("shapes")
    shape, x = tuple(data.train.x.shape[1:]), data.valid.x[:SAMPLES]
    causes = draw_shapes(len(data.valid), seed=1)[1][:SAMPLES]
    dims = x[0].numel()
    found: Measured = {"floor": entropy() / dims}
    made: dict[str, Tensor] = {"ground": empty_grounds(SAMPLES, seed=seed), "real": x}
    for scale, likelihood in SCALES.items():
        vae = trained(convolutional(shape, likelihood, WIDTH, seed), data.train.x, seed)
        found[f"bits_{scale}"] = bits_of(vae, data.test.x, seed)
        with torch.no_grad(), forked_rng(seed):
            z = {"rebuilt": vae.encode(x).mean, "prior": torch.randn(SAMPLES, LATENT)}
            made |= {f"{name}_{scale}": vae.likelihood.mean(vae.decode(code)) for name, code in z.items()}
        rebuilt = made[f"rebuilt_{scale}"]
        right = (read_factors(rebuilt).factors == causes).double().mean(0)
        found[f"off_{scale}"] = levels_off(rebuilt, x)
        found |= {f"shape_{scale}": right[0].item(), f"colour_{scale}": right[1].item()}
    with forked_rng(seed):
        gan = digit_gan(**SHAPES_GAN_CONFIG)
    trained(gan, data.train.x, seed)
    made["gan"] = gan.sample(SAMPLES, generator=Generator().manual_seed(seed))
    for name, samples in made.items():
        report = judge_digits(samples, data.test.x, classifier=shapes_classifier(), seed=seed)
        found[f"distance_{name}"] = factor_report(samples).distance
        found[f"frechet_{name}"] = report.frechet
    return found


WIDTHS = (6, 12, 24, 48)
OF_WIDTH = {
    "bits": ("bits", BITS),
    "off": ("from an image to what is rebuilt, root mean square", "levels"),
    "parameters": ("parameters", "numbers"),
    "seconds": ("processor time of the training", "seconds"),
}


@claim(
    title="Wider networks for images in colour",
    claim=(
        f"The VAE with one scale for all, {STEPS} steps of {BATCH} images, with networks of several widths: "
        "the channels of its first layer."
    ),
    data=f'`images("shapes")`: bits of the 1,000 test images; {SAMPLES} validation images are rebuilt',
    **{
        f"{key}_{width}": Asked(f"{width} channels: {what}", unit)
        for width in WIDTHS
        for key, (what, unit) in OF_WIDTH.items()
    },
)
def image_widths(seed: int) -> Measured:
    """Train a VAE of each width from ``seed``."""
    data = images("shapes")
    shape, x = tuple(data.train.x.shape[1:]), data.valid.x[:SAMPLES]
    found: Measured = {}
    for width in WIDTHS:
        begun = time.process_time()
        vae = trained(convolutional(shape, SCALES["one"], width, seed), data.train.x, seed)
        found[f"seconds_{width}"] = time.process_time() - begun
        found[f"parameters_{width}"] = float(count_parameters(vae))
        found[f"bits_{width}"] = bits_of(vae, data.test.x, seed)
        found[f"off_{width}"] = levels_off(vae.reconstruct(x), x)
    return found


def convolutional(shape: tuple[int, ...], likelihood: str, width: int, seed: int) -> VAE:
    with forked_rng(seed):
        return digit_vae(
            shape=shape,
            architecture="conv",
            hidden=width,
            latent_dim=LATENT,
            likelihood=likelihood,
            lr=RATE,
            optimizer="muon",
            decay_steps=STEPS,
        )


def bits_of(vae: VAE, x: Tensor, seed: int) -> float:
    bound = negative_elbo(vae, x, seed=seed).bound
    return bits_per_dim(-bound, x[0].numel()).mean().item()


def levels_off(rebuilt: Tensor, x: Tensor) -> float:
    return 255 * (rebuilt - x).square().mean((1, 2, 3)).sqrt().mean().item()


def trained(model: Model, x: torch.Tensor, seed: int) -> Model:
    """Train a model, all drawn from ``seed``, and return it in evaluation mode."""
    train(model, Batches(x, batch_size=BATCH, seed=seed, device="cpu"), steps=STEPS, seed=seed, device="cpu")
    return model.eval()
