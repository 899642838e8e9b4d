"""Claims about training on more draws, the noise of its gradients, and priors other than N(0, I)."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor

from claims import Asked, Measured, at_least, at_most, claim, frechet_of_samples, mnist, tossed_batches
from gm_lib.data import binarize
from gm_lib.evaluation import log_likelihood, negative_elbo, split_rate
from gm_lib.runtime import device, forked_rng
from gm_lib.vae import VAE, MixturePrior, digit_vae
from gm_lib.vae.priors import log_prior
from make_pretrained import train

# How many gradients are drawn for each k: the floor of a ratio measured from R of them is 0.8 / √R.
GRADIENTS = {16: 100_000, 64: 60_000, 256: 40_000}
VARIANCE = 2 / 3  # of q in the linear-Gaussian model of Rainforth et al. 2018


@claim(
    title="Signal and noise in the gradients of importance-weighted training",
    claim=(
        "In the linear-Gaussian model of Rainforth et al. (2018), 20 dimensions, one x, the encoder 0.01 off "
        "its optimum, the encoder's gradient loses signal against noise as the number of draws grows from 16 "
        "to 256, and the decoder's gains; doubly reparameterized, the encoder's gains, too."
    ),
    data=(
        "one x drawn from the model for each seed; 40,000 to 100,000 gradients for each number of draws, "
        "signal-to-noise ratios averaged over the 20 components of the bias b or of the prior's mean"
    ),
    plain_256=Asked("encoder, plain, 256 draws (the signal from the other estimator)", "ratio"),
    measured_256=Asked("the same, with its own signal, which has the floor in it", "ratio"),
    doubly_256=Asked("encoder, doubly reparameterized, 256 draws", "ratio"),
    landing_256=Asked("encoder, sticking the landing (biased), 256 draws", "ratio"),
    decoder_256=Asked("decoder, 256 draws", "ratio"),
    slope_plain=Asked("slope of log ratio in log k, encoder, plain", "slope", gate=at_most(-0.4)),
    slope_measured=Asked("the same, with its own signal", "slope"),
    slope_doubly=Asked("slope, encoder, doubly reparameterized", "slope", gate=at_least(0.3)),
    slope_landing=Asked("slope, encoder, sticking the landing", "slope"),
    slope_decoder=Asked("slope, decoder", "slope", gate=at_least(0.4)),
)
def gradient_noise(seed: int) -> Measured:
    """Draw the gradients of one x with everything from ``seed``; fit slopes over 16, 64 and 256 draws."""
    generator = Generator().manual_seed(seed)
    mu, eps = torch.randn(2, 20, generator=generator)
    x = mu + math.sqrt(2) * eps
    off_a, off_b = (
        0.01 * torch.randn(20, 20, generator=generator),
        0.01 * torch.randn(20, generator=generator),
    )
    mean = 0.5 * (x + mu) + off_a @ x + off_b
    ratios: dict[str, list[Tensor]] = {}
    for k, count in GRADIENTS.items():
        parts = [gradients(mu, x, mean, k, 2000, generator) for _ in range(count // 2000)]
        found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        ratio = {name: value.mean(0).abs() / value.std(0) for name, value in found.items()}
        ratio["measured"] = ratio["plain"]
        ratio["plain"] = found["doubly"].mean(0).abs() / found["plain"].std(0)
        for name, value in ratio.items():
            ratios.setdefault(name, []).append(value.mean())
    measured = {}
    for name, values in ratios.items():
        measured[f"{name}_256"] = values[-1].item()
        logs = torch.stack(values).log().tolist()
        measured[f"slope_{name}"] = float(np.polyfit(np.log(list(GRADIENTS)), logs, 1)[0])
    return measured


def gradients(
    mu: Tensor, x: Tensor, mean: Tensor, k: int, count: int, generator: Generator
) -> dict[str, Tensor]:
    """Return ``count`` gradients of the bound of k draws: by b in three ways and by mu, (count, d) each.

    z ~ N(mu, I), x | z ~ N(z, I), q = N(mean, 2/3 I) with mean = A x + b.
    """
    eps = torch.randn(k, count, len(mu), generator=generator)
    z = mean + math.sqrt(VARIANCE) * eps
    log_w = 0.5 * (eps.square() - (z - mu).square() - (x - z).square()).sum(-1)
    share = log_w.softmax(0).unsqueeze(-1)
    through_z = mu + x - 2 * z  # of log p(x, z); log q does not move with the draw
    path = through_z + eps / math.sqrt(VARIANCE)  # with log q's own parameters held still
    return {
        "plain": (share * through_z).sum(0),
        "landing": (share * path).sum(0),
        "doubly": (share.square() * path).sum(0),
        "decoder": (share * (z - mu)).sum(0),
    }


STEPS = 400
LONGER = 5  # so many times as many steps with one draw take less time than those with twenty


@claim(
    title="Training a VAE on more draws",
    claim=(
        "Trained for 400 steps of 128 images on the importance-weighted bound, a VAE (784-200-20) comes to a "
        "better bound of 200 draws with 5 or 20 draws than with 1. But 2,000 steps with 1 draw, which take "
        "less time than 400 with 20, are better than all of them."
    ),
    data=(
        "MNIST, dynamically binarized: trained on the 50,000 training images, measured on the first 500 "
        "validation images"
    ),
    bound_1=Asked("bound of −log p(x) by 200 draws, trained with 1", "nats per image"),
    bound_5=Asked("the same, trained with 5", "nats per image"),
    bound_20=Asked("the same, trained with 20", "nats per image"),
    bound_20_doubly=Asked("the same, trained with 20, doubly reparameterized", "nats per image"),
    bound_1_longer=Asked("the same, trained with 1 for 2,000 steps", "nats per image"),
    elbo_1=Asked("−ELBO, trained with 1", "nats per image"),
    elbo_5=Asked("−ELBO, trained with 5", "nats per image"),
    elbo_20=Asked("−ELBO, trained with 20", "nats per image"),
    elbo_20_doubly=Asked("−ELBO, trained with 20, doubly reparameterized", "nats per image"),
    elbo_1_longer=Asked("−ELBO, trained with 1 for 2,000 steps", "nats per image"),
    saved_5=Asked("bound trained with 1 less that trained with 5", "nats per image"),
    saved_20=Asked("bound trained with 1 less that trained with 20", "nats per image"),
    saved_doubly=Asked("with 20 draws, plain less doubly reparameterized", "nats per image"),
    saved_longer=Asked(
        "bound trained with 20, doubly reparameterized, less that with 1 for 2,000 steps", "nats per image"
    ),
    times=Asked("processor time of the training with 20 draws over that with 1", "ratio"),
)
def more_draws(seed: int) -> Measured:
    """Train five VAEs from the same weights and batches; score each with 200 draws."""
    data, where = mnist(), device()
    with forked_rng(seed):
        valid = binarize(data.valid.x[:500]).to(where)
    settings: dict[str, tuple[int, dict[str, Any]]] = {
        "1": (STEPS, {}),
        "5": (STEPS, {"k": 5}),
        "20": (STEPS, {"k": 20}),
        "20_doubly": (STEPS, {"k": 20, "gradient": "doubly reparameterized"}),
        "1_longer": (LONGER * STEPS, {}),
    }
    measured, seconds = {}, {}
    for name, (steps, options) in settings.items():
        start = time.process_time()
        model = trained_vae({"latent_dim": 20, "hidden": 200, **options}, steps, seed)
        seconds[name] = time.process_time() - start
        measured[f"bound_{name}"] = -log_likelihood(model, valid, k=200, seed=seed).mean
        measured[f"elbo_{name}"] = negative_elbo(model, valid, k=5, seed=seed).mean
    bound = {name: measured[f"bound_{name}"] for name in settings}
    return measured | {
        "saved_5": bound["1"] - bound["5"],
        "saved_20": bound["1"] - bound["20"],
        "saved_doubly": bound["20"] - bound["20_doubly"],
        "saved_longer": bound["20_doubly"] - bound["1_longer"],
        "times": seconds["20"] / seconds["1"],
    }


PRIORS = {
    "normal": "N(0, I)",
    "mixture": "a mixture",
    "vamp": "a VampPrior",
    "after": "a mixture fitted afterwards",
}


@claim(
    title="Priors of a VAE",
    claim=(
        "A VAE (784-400-50, 1,500 steps of 128 images) whose prior is a mixture of 100 Gaussians or a "
        "VampPrior of 100, learned with it, has a better bound than with N(0, I), and its samples are "
        "nearer to real images. So are those of the first one, once its prior alone is replaced."
    ),
    data="MNIST, dynamically binarized: trained on the 50,000 training images; measured on validation images",
    **{
        f"{quantity}_{name}": Asked(what.format(prior), unit)
        for name, prior in PRIORS.items()
        for quantity, what, unit in (
            ("bound", "bound of −log p(x) by 200 draws, first 1,000 images, the prior {}", "nats per image"),
            ("rate", "rate, 5,000 images, the prior {}", "nats per image"),
            ("above", "log p(z) less log N(z; 0, I), codes of those images, the prior {}", "nats per image"),
            ("frechet", "Fréchet distance of 5,000 samples, the prior {}", "squared feature units"),
        )
    },
)
def better_priors(seed: int) -> Measured:
    """Train three VAEs from ``seed`` alike but for the prior, then give the first another prior."""
    data, where = mnist(), device()
    with forked_rng(seed):
        valid = binarize(data.valid.x[:5000]).to(where)
        some = binarize(data.train.x[:10_000]).to(where)
    measured = {}
    models = {
        prior: trained_vae({"latent_dim": 50, "prior": prior, "components": 100}, 1500, seed)
        for prior in ("normal", "mixture", "vamp")
    }
    for name in PRIORS:
        model = models["normal" if name == "after" else name]
        if name == "after":
            model.prior_network = fitted_prior(model, some, 100, seed)
        with torch.no_grad(), forked_rng(seed):
            z = model.encode(valid).sample()
            above = log_prior(model.prior, z) + 0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
        measured[f"bound_{name}"] = -log_likelihood(model, valid[:1000], k=200, seed=seed).mean
        measured[f"rate_{name}"] = split_rate(model, valid, seed=seed).rate.mean
        measured[f"above_{name}"] = above.mean().item()
        measured[f"frechet_{name}"] = frechet_of_samples(model, seed)
    return measured


def fitted_prior(model: VAE, x: Tensor, components: int, seed: int) -> MixturePrior:
    """Return a mixture of diagonal Gaussians fitted to a code of each x, (n, *event_shape), by EM."""
    with torch.no_grad(), forked_rng(seed):
        codes = model.encode(x).sample().cpu().double().numpy()
    fit = GaussianMixture(components, covariance_type="diag", tol=1e-2, random_state=seed).fit(codes)
    prior = MixturePrior(model.latent_dim, components)
    with torch.no_grad():
        prior.logits.copy_(torch.as_tensor(fit.weights_).log())
        prior.means.copy_(torch.as_tensor(fit.means_))
        prior.log_scales.copy_(0.5 * torch.as_tensor(fit.covariances_).log())
    return prior.to(x.device)


def trained_vae(options: dict[str, Any], steps: int, seed: int) -> VAE:
    """Return ``digit_vae(**options)``, trained on fresh tosses of MNIST with everything from ``seed``."""
    with forked_rng(seed):
        model = digit_vae(**options)
    train(model, tossed_batches(seed), steps=steps, seed=seed, average=0.998)
    return model
