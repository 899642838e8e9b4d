"""The claim about all families of the book on MNIST, each with the same processor time to learn (page 17f).

A family's training leaves its checkpoints in ``runs/families/SEED/FAMILY``, and what was measured of it in a
file there: an interrupted run goes on with both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from claims import Asked, Measured, claim, drawn, mnist
from gm_lib.beyond import (
    digit_autoregressive,
    digit_diffusion,
    digit_flow,
    digit_flow_matching,
    digit_vae_gan,
)
from gm_lib.data import Batches, binarize, dequantize
from gm_lib.evaluation import (
    bits_per_dim,
    dequantized_bits_per_dim,
    exact_log_likelihood,
    judge_digits,
    log_likelihood,
    negative_elbo,
)
from gm_lib.gan import digit_gan
from gm_lib.networks import count_parameters
from gm_lib.runtime import forked_rng
from gm_lib.system.files import replace_file
from gm_lib.vae import CodePrior, digit_vae, digit_vqvae
from make_pretrained import train
from records import ROOT, SHARE

SECONDS = 300  # of processor time for each training
TIMED, WARM = 100, 5  # updates that tell how long one takes, and those before them
BATCH = 128
OF_CODES = 0.6  # the part of a VQ-VAE's time that is not its prior's
JUDGED, SCORED = 5_000, 1_000  # samples, and test images for the likelihood
DRAWS = 100  # importance weights for each image, or steps of a diffusion's bound
NATS, BITS = "nats per image", "bits per dimension"
SAMPLES = "samples' processor time, seconds per 1,000"
TITLES = {
    "frechet": ("Fréchet distance", "squared feature units"),
    "precision": ("precision", SHARE),
    "recall": ("recall", SHARE),
    "sampling": (SAMPLES, "seconds"),
    "parameters": ("parameters", "numbers"),
    "steps": ("updates in its time", "updates"),
    "training": ("processor time of its training", "seconds"),
}


@dataclass(frozen=True)
class Family:
    """How a family is built, from the steps over which its step size falls, and what likelihood it has.

    ``binary``: it learns binarized pixels and is judged by draws of them. ``score``: what is known of
    log p(x), its unit, and the function of model, images and seed that measures it. ``sampling``: options of
    its ``sample``. ``prior``: a part of its time is that of a prior over its codes.
    """

    called: str
    build: Callable[[int], nn.Module]
    binary: bool
    score: tuple[str, str, Callable[[Any, Tensor, int], float]] | None = None
    average: float = 0.998
    sampling: tuple[tuple[str, Any], ...] = ()
    prior: bool = False


def exact(model: Any, x: Tensor, seed: int) -> float:
    return -exact_log_likelihood(model, x, seed=seed).mean


def weighted(model: Any, x: Tensor, seed: int) -> float:
    return -log_likelihood(model, x, k=DRAWS, seed=seed).mean


def one_draw(model: Any, x: Tensor, seed: int) -> float:
    """Return -ELBO by ``DRAWS`` one-draw estimates for each image."""
    return negative_elbo(model, x, k=DRAWS, seed=seed).mean


def of_codes(model: Any, x: Tensor, seed: int) -> float:
    """Return -ELBO of a VQ-VAE, in which nothing is drawn."""
    return negative_elbo(model, x, seed=seed).mean


def bits(model: Any, x: Tensor, seed: int) -> float:
    return dequantized_bits_per_dim(model, x, seed=seed).mean


def bounded_bits(model: Any, x: Tensor, seed: int) -> float:
    """Return the bits of dequantized levels by the bound of ``DRAWS`` importance weights."""
    noisy = dequantize(x, generator=Generator().manual_seed(seed))
    bound = log_likelihood(model, noisy, k=DRAWS, seed=seed).bound
    return bits_per_dim(bound, x[0].numel(), bin_width=1 / 256).mean().item()


def vae(steps: int) -> nn.Module:
    return digit_vae(latent_dim=50, hidden=[200, 200], activation="tanh", optimizer="muon", decay_steps=steps)


def gan(steps: int) -> nn.Module:
    return digit_gan(loss="relativistic", penalty="r1+r2", gamma=0.1, decay_steps=steps)


BY_WEIGHTS = f"bound by {DRAWS} importance weights"
DRAW_PIXELS = (("noisy", True),)
FAMILIES = {
    "vae": Family("VAE", vae, True, (BY_WEIGHTS, NATS, weighted), sampling=DRAW_PIXELS),
    "codes": Family(
        "VQ-VAE and prior",
        lambda _: digit_vqvae(),
        True,
        ("−ELBO", NATS, of_codes),
        sampling=DRAW_PIXELS,
        prior=True,
    ),
    "gan": Family("GAN, relativistic, R1 and R2", gan, False, average=0.0),
    "vae_gan": Family(
        "VAE-GAN", lambda steps: digit_vae_gan(decay_steps=steps), False, (BY_WEIGHTS, BITS, bounded_bits)
    ),
    "autoregressive": Family(
        "autoregressive", lambda steps: digit_autoregressive(decay_steps=steps), True, ("exact", NATS, exact)
    ),
    "flow": Family("flow", lambda steps: digit_flow(decay_steps=steps), False, ("dequantized", BITS, bits)),
    "diffusion": Family(
        "diffusion", lambda steps: digit_diffusion(decay_steps=steps), True, ("−ELBO", NATS, one_draw)
    ),
    "flow_matching": Family("flow matching", lambda steps: digit_flow_matching(decay_steps=steps), False),
}


def _asked() -> dict[str, Asked]:
    asked = {}
    for name, family in FAMILIES.items():
        if family.score:
            how, unit, _ = family.score
            asked[f"score_{name}"] = Asked(f"{family.called}: −log p(x), {how}", unit)
        for key, (what, unit) in TITLES.items():
            asked[f"{key}_{name}"] = Asked(f"{family.called}: {what}", unit)
    return asked


@claim(
    title="The families on MNIST with the same time to learn",
    claim=(
        f"What eight families come to in {SECONDS // 60} minutes of one thread's processor time each, with "
        "the settings that the library gives them: likelihood, where there is one, and samples. Measured in "
        "pieces: the processor time below is that of trainings and samples alone."
    ),
    data=(
        "MNIST: trained on the 50,000 training images; VAE, codes, autoregressive model and diffusion on "
        "binarized pixels, and judged by draws of pixels beside binarized validation images, the others on "
        f"grey values beside grey ones. Likelihoods of the first {SCORED:,} test images, {JUDGED:,} samples. "
        "Nats of binarized pixels and bits of grey levels do not compare"
    ),
    **_asked(),
)
def families(seed: int) -> Measured:
    """Train each family from ``seed`` and measure it; those that were finished are read again."""
    found: Measured = {}
    for name, family in FAMILIES.items():
        folder = ROOT / "runs" / "families" / str(seed) / name
        done = folder / "measured.json"
        if not done.is_file():
            values = measured(*trained(family, seed, folder), family, seed)
            replace_file(done, json.dumps(values).encode())
            print(f"{family.called}, seed {seed}: {values}", flush=True)
        found |= {f"{key}_{name}": value for key, value in json.loads(done.read_text()).items()}
    return found


def measured(model: Any, cost: dict[str, float], family: Family, seed: int) -> dict[str, float]:
    """Return what is asked of a trained family; ``cost``: its steps and seconds."""
    real, x = mnist().valid.x, mnist().test.x[:SCORED]
    if family.binary:
        real, x = (binarize(part, Generator().manual_seed(seed)) for part in (real, x))
    begun = time.process_time()
    samples = drawn(model, JUDGED, seed, **dict(family.sampling))
    sampling = 1_000 * (time.process_time() - begun) / JUDGED
    report = judge_digits(samples, real, seed=seed)
    return {
        **({"score": family.score[2](model, x, seed)} if family.score else {}),
        **{key: getattr(report, key) for key in ("frechet", "precision", "recall")},
        **cost,
        "sampling": sampling,
        "parameters": float(count_parameters(model)),
    }


def trained(family: Family, seed: int, folder: Path) -> tuple[Any, dict[str, float]]:
    """Return the family's model after ``SECONDS`` of processor time, and its steps and seconds."""
    x = mnist().train.x
    fit_for = partial(fitted, seed=seed, average=family.average)
    images = partial(
        Batches, x, batch_size=BATCH, seed=seed, device="cpu", dynamic_binarization=family.binary
    )
    seconds = OF_CODES * SECONDS if family.prior else SECONDS
    model, cost = fit_for(family.build, images, seconds, folder)
    if family.prior:
        with torch.no_grad():
            tossed = binarize(x, Generator().manual_seed(seed))
            codes = torch.cat([model.indices(part) for part in tossed.split(500)])
        batches = partial(Batches, codes, batch_size=BATCH, seed=seed, device="cpu")
        k = model.quantizer.num_codes
        model.prior, more = fit_for(
            lambda _: CodePrior(k, model.places), batches, SECONDS - seconds, folder / "prior"
        )
        cost = {key: cost[key] + more[key] for key in cost}
    return model, cost


def fitted(
    build: Callable[[int], nn.Module],
    batches: Callable[[], Batches],
    seconds: float,
    folder: Path,
    *,
    seed: int,
    average: float,
) -> tuple[Any, dict[str, float]]:
    """Train for as many steps as take the ``seconds``, or go on; return the model, its steps and seconds."""
    plan, spent = folder / "steps.json", folder / "seconds.json"
    if not plan.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        steps = max(1, round(seconds / seconds_of_a_step(build, batches)))
        replace_file(plan, json.dumps(steps).encode())
    steps = json.loads(plan.read_text())
    before = json.loads(spent.read_text()) if spent.is_file() else 0.0
    begun = time.process_time()
    with forked_rng(seed):
        model = build(steps)
    try:
        train(
            model,
            batches(),
            steps=steps,
            seed=seed,
            device="cpu",
            average=average,
            out=folder,
            progress=False,
        )
    finally:  # of an interrupted training too
        total = before + time.process_time() - begun
        replace_file(spent, json.dumps(total).encode())
    return model, {"steps": float(steps), "training": total}


def seconds_of_a_step(build: Callable[[int], nn.Module], batches: Callable[[], Batches]) -> float:
    """Return the processor time of one update, by the difference of a longer and a shorter training."""
    spent = []
    for steps in (WARM, WARM + TIMED):
        with forked_rng(0):
            model = build(0)
        begun = time.process_time()
        train(model, batches(), steps=steps, seed=0, device="cpu", average=0.5, progress=False)
        spent.append(time.process_time() - begun)
    return max(spent[1] - spent[0], 1e-6) / TIMED
