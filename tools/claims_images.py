"""The claim about images in colour: what capacity and step size do to bits per dimension (chapter 16a)."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Generator, nn

from claims import Asked, Measured, claim
from gm_lib.data import Batches, images
from gm_lib.data.shapes import empty_grounds, entropy
from gm_lib.evaluation import bits_per_dim, factor_report, judge_digits, negative_elbo
from gm_lib.gan import digit_gan
from gm_lib.pretrained import shapes_classifier
from gm_lib.runtime import forked_rng
from gm_lib.vae import VAE, ConvDecoder, ConvEncoder, DiscretizedLogistic
from make_pretrained import train
from records import SHARE

Model = TypeVar("Model", bound=nn.Module)
STEPS, BATCH, LATENT = 300, 32, 16
WIDTHS = (6, 24)
RATE = 3e-3
DECAY_STEPS = {"falling": STEPS, "constant": 0}  # over how many updates the step size falls to 0; 0: never
SAMPLES = 500
BITS = "bits per dimension"
OF_SAMPLES = {
    "distance": ("median distance to the nearest rendering", "levels"),
    "frechet": ("Fréchet distance to 500 test images", "squared feature units"),
    "confident": ("read with a confidence of 90 % or more", SHARE),
}
FROM = {
    "rebuilt": "z of validation images",
    "codes": "z from a Gaussian fitted to the codes",
    "prior": "z from the prior",
    "one": "the mean code for all",
}
MADE = {
    **{f"{z}_{how}": f"VAE, {what}, {how}" for z, what in FROM.items() for how in ("mean", "drawn")},
    "gan": "GAN",
    "ground": "grounds with grain, no shape",
    "real": "real images",
}


@claim(
    title="Images in colour",
    claim=(
        f"A convolutional VAE with the discretized logistic, {STEPS} steps of {BATCH} images, in bits per "
        f"dimension by the ELBO: two widths, each with a step size that falls from {RATE} to 0 and with "
        f"{RATE} throughout. The wider one with the falling step size is judged by the means of p(x|z) and "
        "by draws from it, for several z, beside a DCGAN after as many steps, empty grounds and fresh real "
        "images."
    ),
    data=(
        '`images("shapes")`: trained on the 10,000 training images; the bits are those of the 1,000 test '
        f"images. {SAMPLES} samples each; the real ones are validation images"
    ),
    floor=Asked("the entropy of the images", BITS),
    **{
        f"bits_{width}_{rate}": Asked(f"VAE of width {width}, {rate} step size", BITS)
        for width in WIDTHS
        for rate in DECAY_STEPS
    },
    **{
        f"{key}_{name}": Asked(f"{who}: {what}", unit)
        for name, who in MADE.items()
        for key, (what, unit) in OF_SAMPLES.items()
    },
)
def images_beyond_digits(seed: int) -> Measured:
    """Train the models from ``seed`` and judge them."""
    data = images("shapes")
    shape = tuple(data.train.x.shape[1:])
    dims = data.train.x[0].numel()
    found: Measured = {"floor": entropy() / dims}
    vaes = {}
    for width in WIDTHS:
        for rate, decay_steps in DECAY_STEPS.items():
            with forked_rng(seed):
                p_x_given_z = DiscretizedLogistic(shape)
                encoder = ConvEncoder(shape, width, LATENT)
                decoder = ConvDecoder(LATENT, width, p_x_given_z.params_shape)
                vae = VAE(encoder, decoder, p_x_given_z, lr=RATE, optimizer="muon", decay_steps=decay_steps)
            vaes[width, rate] = trained(vae, data.train.x, seed)
            bound = negative_elbo(vae, data.test.x, seed=seed).bound
            found[f"bits_{width}_{rate}"] = bits_per_dim(-bound, dims).mean().item()
    with forked_rng(seed):
        gan = digit_gan(shape=shape, width=24)
    trained(gan, data.train.x, seed)
    vae = vaes[24, "falling"]
    generator = Generator().manual_seed(seed)
    with torch.no_grad(), forked_rng(seed):
        codes = vae.encode(data.train.x[:4000]).sample()
        fitted = torch.distributions.MultivariateNormal(codes.mean(0), codes.T.cov())
        z = {
            "rebuilt": vae.encode(data.valid.x[:SAMPLES]).mean,
            "codes": fitted.sample((SAMPLES,)),
            "prior": torch.randn(SAMPLES, LATENT),
            "one": codes.mean(0).expand(SAMPLES, -1),
        }
        params = {name: vae.decode(code) for name, code in z.items()}
        made = {f"{name}_mean": vae.likelihood.mean(p) for name, p in params.items()}
        made |= {f"{name}_drawn": vae.likelihood.sample(p) for name, p in params.items()}
    made["ground"] = empty_grounds(SAMPLES, seed=seed)
    made |= {"gan": gan.sample(SAMPLES, generator=generator).clamp(0, 1), "real": data.valid.x[:SAMPLES]}
    for name, x in made.items():
        truth, report = (
            factor_report(x),
            judge_digits(x, data.test.x, classifier=shapes_classifier(), seed=seed),
        )
        values = (truth.distance, report.frechet, report.confident)
        found |= {f"{key}_{name}": value for key, value in zip(OF_SAMPLES, values, strict=True)}
    return found


def trained(model: Model, x: torch.Tensor, seed: int) -> Model:
    """Train a model, all drawn from ``seed``, and return it in evaluation mode."""
    train(model, Batches(x, batch_size=BATCH, seed=seed, device="cpu"), steps=STEPS, seed=seed, device="cpu")
    return model.eval()
