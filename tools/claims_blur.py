"""The claim about blur: what the likelihood of a VAE does to the sharpness of its images (chapter 10)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from claims import QUICK_SAMPLES, Asked, Measured, at_most, claim, mnist
from gm_lib.data import Batches, binarize
from gm_lib.evaluation import gradient_energy, judge_digits
from gm_lib.pretrained import digit_classifier
from gm_lib.runtime import device, forked_rng
from gm_lib.vae import VAE, digit_vae
from make_pretrained import train
from records import SHARE

STEPS = 800
# Mean squared error over 64×64 colour pixels and 0.00025 times the KL is this Gaussian.
IMPLIED = (0.00025 * 3 * 64 * 64 / 2) ** 0.5
NEARLY_BLACK = 0.01

DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bernoulli": ("Bernoulli", {}),
    "fixed": ("Gaussian, σ = 1.24", {"likelihood": "gaussian", "sigma": IMPLIED}),
    "learned": ("Gaussian, σ learned", {"likelihood": "gaussian"}),
    "pixel": ("Gaussian, a σ for each pixel", {"likelihood": "pixel_gaussian"}),
    "logistic": ("discretized logistic", {"likelihood": "discretized_logistic"}),
}
ENERGY = "squared grey values per image"
FEATURES = "squared feature units"


def _asked() -> dict[str, Asked]:
    """Return the quantities of each decoder, by name."""
    asked: dict[str, Asked] = {}
    for key, (name, _) in DECODERS.items():
        asked |= {
            f"energy_{key}": Asked(f"{name}: gradient energy of samples, means of p(x | z)", ENERGY),
            f"energy_drawn_{key}": Asked(f"{name}: of samples drawn from p(x | z)", ENERGY),
            f"energy_rebuilt_{key}": Asked(f"{name}: of reconstructed validation images", ENERGY),
            f"confident_{key}": Asked(f"{name}: samples (means) read with a confidence of 90 %", SHARE),
            f"frechet_{key}": Asked(f"{name}: Fréchet distance of samples (means)", FEATURES),
            f"frechet_rebuilt_{key}": Asked(f"{name}: Fréchet distance of reconstructions", FEATURES),
            f"rate_{key}": Asked(f"{name}: rate, the mean KL", "nats per image"),
        }
    return asked


@claim(
    title="What the likelihood does to blur",
    claim=(
        "`digit_vae` with 50 latent dimensions, trained for 800 steps of 128 images with five likelihoods: a "
        "Gaussian whose fixed σ is far too wide rebuilds blurred images, one whose σ is learned sharp ones. "
        "Samples do not become better to the same degree. As much blur put on real images costs them much "
        "less of the Fréchet distance than it leaves the samples."
    ),
    data=(
        "MNIST: trained on the 50,000 training images (for the Bernoulli decoder dynamically binarized, else "
        "grey); 5,000 samples and 5,000 reconstructions beside the 10,000 validation images"
    ),
    energy_real=Asked("gradient energy of 5,000 validation images", ENERGY),
    energy_tossed=Asked("of the same images, tossed", ENERGY),
    frechet_blurred=Asked(
        "Fréchet distance of real images, blurred to the energy of the Bernoulli decoder's samples", FEATURES
    ),
    blurred_over_samples=Asked(
        "the same, as a share of the distance of these samples", SHARE, gate=at_most(0.5)
    ),
    sigma_learned=Asked("the σ that was learned", "grey values"),
    rms_learned=Asked("root mean squared error of that decoder, codes drawn from q(z | x)", "grey values"),
    nats_black_pixel=Asked(
        "a σ for each pixel: log density from pixels whose mean in training is below 0.01", "nats per image"
    ),
    nats_other_pixel=Asked("a σ for each pixel: log density from all other pixels", "nats per image"),
    **_asked(),
)
def blur_likelihoods(seed: int) -> Measured:
    """Train a VAE with each likelihood, everything drawn from ``seed``, and judge what it makes."""
    data, classifier = mnist(), digit_classifier()
    with forked_rng(seed):
        chosen = torch.randperm(len(data.valid.x))[:QUICK_SAMPLES]
        real = data.valid.x[chosen]
        tossed = binarize(real)

    def frechet_and_confident(x: Tensor) -> tuple[float, float]:
        report = judge_digits(x.clamp(0, 1), data.valid.x, classifier=classifier, seed=seed)
        return report.frechet, report.confident

    def energy(x: Tensor) -> float:
        return gradient_energy(x.clamp(0, 1)).mean().item()

    found: Measured = {"energy_real": energy(real), "energy_tossed": energy(tossed)}
    for key, (_, settings) in DECODERS.items():
        model = _trained(seed, settings, toss=key == "bernoulli")
        p_x: Any = model.likelihood
        with torch.no_grad(), forked_rng(seed):
            samples = model.sample(QUICK_SAMPLES).cpu()
            drawn = model.sample(QUICK_SAMPLES, noisy=True).cpu()
            seen = (tossed if key == "bernoulli" else real).to(device())
            rebuilt = model.reconstruct(seen).cpu()
            found[f"rate_{key}"] = model.elbo_terms(seen).kl.sum(1).mean().item()
            if key == "learned":
                off = p_x.mean(model.decode(model.encode(seen).sample())) - seen
                found["rms_learned"] = off.square().mean().sqrt().item()
                found["sigma_learned"] = p_x.log_scale.exp().item()
            if key == "pixel":
                params = model.decode(model.encode(seen).sample())
                by_pixel = p_x.distribution(params).base_dist.log_prob(seen).mean(0)
                black = data.train.x.mean(0).to(by_pixel.device) < NEARLY_BLACK
                found["nats_black_pixel"] = by_pixel[black].sum().item()
                found["nats_other_pixel"] = by_pixel[~black].sum().item()
        found[f"energy_{key}"], found[f"energy_drawn_{key}"] = energy(samples), energy(drawn)
        found[f"energy_rebuilt_{key}"] = energy(rebuilt)
        found[f"frechet_{key}"], found[f"confident_{key}"] = frechet_and_confident(samples)
        found[f"frechet_rebuilt_{key}"], _ = frechet_and_confident(rebuilt)
    blurred = blurred_to(real, found["energy_bernoulli"])
    found["frechet_blurred"], _ = frechet_and_confident(blurred)
    found["blurred_over_samples"] = found["frechet_blurred"] / found["frechet_bernoulli"]
    return found


def blurred_to(x: Tensor, target: float) -> Tensor:
    """Return images x (n, 1, h, w) under a Gaussian blur that leaves the mean gradient energy ``target``."""
    narrow, wide = 0.2, 4.0
    for _ in range(20):
        width = (narrow * wide) ** 0.5
        energy = gradient_energy(gaussian_blur(x[:1000], width)).mean().item()
        narrow, wide = (width, wide) if energy > target else (narrow, width)
    return gaussian_blur(x, width)


def gaussian_blur(x: Tensor, width: float) -> Tensor:
    """Return images x (n, 1, h, w), each pixel averaged by a Gaussian of this width in pixels."""
    bell = torch.exp(-0.5 * (torch.arange(-9, 10) / width) ** 2)
    kernel = bell[:, None] * bell / bell.sum() ** 2
    return F.conv2d(x, kernel[None, None], padding=9).clamp(0, 1)


def _trained(seed: int, settings: dict, toss: bool) -> VAE:
    data, where = mnist(), device()
    with forked_rng(seed):
        model = digit_vae(latent_dim=50, **settings)
    batches = Batches(data.train.x, batch_size=128, seed=seed, device=where, dynamic_binarization=toss)
    train(model, batches, steps=STEPS, seed=seed, average=0.998)
    return model
