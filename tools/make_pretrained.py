"""Train a model that comes with the library; write its weights and the card that says how they were made.

    python tools/make_pretrained.py digit_classifier

writes gm_lib/weights/digit_classifier.safetensors and .json. One thread of a CPU is used, so that the same
seed gives the same bytes again on the same machine and versions. Training that takes long keeps checkpoints
in --run: the same command goes on where it stopped.
"""

import argparse
import copy
import hashlib
import json
import math
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from gm_lib import pretrained
from gm_lib.beyond import Diffusion
from gm_lib.beyond import digit_autoregressive as untrained_autoregressive
from gm_lib.beyond import digit_diffusion as untrained_diffusion
from gm_lib.beyond import digit_flow as untrained_flow
from gm_lib.beyond import digit_flow_matching as untrained_flow_matching
from gm_lib.beyond import digit_vae_gan as untrained_vae_gan
from gm_lib.classifier import DigitClassifier, ImageClassifier, SpeechClassifier, read_digits
from gm_lib.cli.main import main as gm_lib
from gm_lib.cli.runs import load
from gm_lib.data import (
    Batch,
    Batches,
    ImageData,
    MusicData,
    Pieces,
    Recordings,
    SpeechData,
    Split,
    binarize,
    chorales,
    dequantize,
    images,
    names,
    shakespeare,
    spoken_digits,
)
from gm_lib.data.prose import windows
from gm_lib.data.shapes import SHAPE, entropy
from gm_lib.distributions.estimates import estimate
from gm_lib.evaluation import (
    WittenBell,
    active_units,
    bits_per_dim,
    factor_report,
    frechet_distance,
    gradient_energy,
    judge_digits,
    log_likelihood,
    nats_per_character,
    negative_elbo,
    ratio,
)
from gm_lib.gan import GAN, text_gan
from gm_lib.gan import digit_gan as dcgan
from gm_lib.gan.text import as_one_hot, as_rows
from gm_lib.gan.waves import WAVE_SHAPE
from gm_lib.networks import count_parameters
from gm_lib.pretrained import WEIGHTS
from gm_lib.runtime import forked_rng
from gm_lib.sound import log_mel, to_sound
from gm_lib.system.checkpoints import load_checkpoint
from gm_lib.system.files import replace_file
from gm_lib.training import History, fit
from gm_lib.vae import VAE, CharacterModel, SequenceVAE, TextVAE
from gm_lib.vae import digit_vae as untrained_vae
from gm_lib.vae import music_vae as untrained_music_vae


class Made(NamedTuple):
    """A trained model and what its card says about it besides how it was run."""

    model: nn.Module
    facts: dict[str, Any]


# Learning rate and steps, one stage after the other.
CLASSIFIER_STAGES = ((2e-3, 1200), (5e-4, 500), (1e-4, 200))
FROM_MNIST, FROM_DIGITS = 96, 32  # images of each set in a batch: the small one counts more than its size


def digit_classifier(seed: int, run: Path | None) -> Made:
    """Train the classifier on two sets of digits, a quarter of each batch from the smaller one."""
    sets = {name: images(name, fallback=False) for name in ("mnist", "digits")}
    with forked_rng(seed):
        model = DigitClassifier()
    batches = both_sets(sets, seed)
    train_in_stages(model, batches, CLASSIFIER_STAGES, seed)
    scores = {
        name: {"valid": accuracy(model, data.valid), "test": accuracy(model, data.test)}
        for name, data in sets.items()
    }
    data = (
        "MNIST's 50,000 and scikit-learn's 1,197 training digits (brought to 28×28), "
        f"{FROM_MNIST} and {FROM_DIGITS} in a batch, moved by up to 2 pixels, turned by up to 10°, scaled by "
        "up to a tenth. Settings were chosen on the validation images; the test images were looked at once."
    )
    stages = [{"lr": lr, "steps": steps} for lr, steps in CLASSIFIER_STAGES]
    return Made(model, {"data": data, "stages": stages, "accuracy": scores})


SPEECH_STAGES = ((2e-3, 350), (5e-4, 150), (1e-4, 50))
SPEECH_BATCH = 64


def speech_classifier(seed: int, run: Path | None) -> Made:
    """Train the classifier of spoken digits on training recordings and keep it in half precision."""
    data = spoken_digits(fallback=False)
    model = trained_on_speech(data.train, seed)
    kept = copy.deepcopy(model).half()
    model.load_state_dict(kept.state_dict())  # judged as it will be loaded
    facts = {
        "licence": LICENCE,
        "data": "The Free Spoken Digit Dataset's training recordings with numbers 10 to 49, "
        f"{len(data.train):,} by six speakers, {SPEECH_BATCH} in a batch, moved by up to 8 frames and 3 "
        "bands, stretched by up to 15 % in time and 10 % in frequency. So much was chosen by how well george "
        "and lucas were understood when they were held out, in all of their recordings: a third of the test "
        "recordings, which were looked at for no other choice.",
        "stages": [{"lr": lr, "steps": steps} for lr, steps in SPEECH_STAGES],
        "accuracy": {"valid": accuracy(model, data.valid), "test": accuracy(model, data.test)},
    }
    return Made(kept, facts)


def trained_on_speech(recordings: Recordings, seed: int) -> SpeechClassifier:
    """Return the classifier after its training on ``recordings``, everything drawn from ``seed``."""
    with forked_rng(seed):
        model = SpeechClassifier()
    generator = Generator().manual_seed(seed)
    stream = Batches(recordings.x, recordings.y, batch_size=SPEECH_BATCH, seed=seed, device="cpu")
    batches = (Batch(speech_jitter(batch.x, generator), batch.y) for batch in stream)
    train_in_stages(model, batches, SPEECH_STAGES, seed)
    return model.eval()


LICENCE = (
    "CC BY-SA 4.0, as the recordings it was made from: the Free Spoken Digit Dataset, Jackson et al. 2018, "
    "https://github.com/Jakobovski/free-spoken-digit-dataset."
)
SPEECH_SHAPE = (1, 64, 48)
SPEECH_DATA = (
    "The Free Spoken Digit Dataset's training recordings with numbers 10 to 49, 2,400 by six speakers, with "
    "their digits, {batch} in a batch. Settings were chosen among a few on the validation recordings, and "
    "none by the test recordings, which were seen more than once."
)
SPEECH_SAMPLES = 300  # judged, made sounds first, beside as many test recordings

SPEECH_VAE_CONFIG: dict[str, Any] = {
    "shape": SPEECH_SHAPE,
    "architecture": "conv",
    "hidden": 8,
    "latent_dim": 16,
    "num_classes": 10,
    "likelihood": "gaussian",
    "sigma": 0.7,
    "lr": 4e-3,
}
SPEECH_VAE_STEPS = 4000


def speech_vae(seed: int, run: Path | None) -> Made:
    """Train a conditional VAE on pictures of spoken digits; keep its averaged weights in half precision."""
    data = spoken_digits(fallback=False)
    model = trained_speech_vae(data.train, seed, SPEECH_VAE_STEPS, run=run)
    kept = copy.deepcopy(model).half()
    model.load_state_dict({key: value.float() for key, value in kept.state_dict().items()})
    return Made(kept, _speech_facts(model, model.config, SPEECH_VAE_STEPS, seed, data, run))


def trained_speech_vae(
    recordings: Recordings, seed: int, steps: int, *, run: Path | None = None, **config: Any
) -> VAE:
    """Return the VAE after its training on ``recordings``; ``config`` changes ``SPEECH_VAE_CONFIG``."""
    with forked_rng(seed):
        model = untrained_vae(**SPEECH_VAE_CONFIG | config, decay_steps=steps)
    batches = Batches(recordings.x, recordings.y, batch_size=SPEECH_BATCH, seed=seed, device="cpu")
    options: dict[str, Any] = {"out": run, "checkpoint_every": 500} if run else {}
    train(model, batches, steps=steps, seed=seed, device="cpu", average=0.998, **options)
    return model


SPEECH_GAN_CONFIG: dict[str, Any] = {
    "shape": SPEECH_SHAPE,
    "latent_dim": 32,
    "width": 16,
    "num_classes": 10,
    "lr": 2e-3,
    "decay_steps": 2500,
}
SPEECH_GAN_STEPS = 2500


def speech_gan(seed: int, run: Path | None) -> Made:
    """Train a conditional DCGAN on pictures of spoken digits; keep its generator in half precision."""
    data = spoken_digits(fallback=False)
    model = trained_speech_gan(data.train.x, data.train.y, seed, SPEECH_GAN_STEPS, run=run)
    generator = model.averaged.half().requires_grad_()
    model.averaged = copy.deepcopy(generator).float()
    return Made(generator, _speech_facts(model, SPEECH_GAN_CONFIG, SPEECH_GAN_STEPS, seed, data, run))


def trained_speech_gan(
    x: Tensor, y: Tensor, seed: int, steps: int, *, run: Path | None = None, **config: Any
) -> GAN:
    """Return the GAN after its training on examples ``x``; ``config`` changes ``SPEECH_GAN_CONFIG``."""
    with forked_rng(seed):
        model = dcgan(**SPEECH_GAN_CONFIG | config)
    batches = Batches(x, y, batch_size=SPEECH_BATCH, seed=seed, device="cpu")
    options: dict[str, Any] = {"out": run, "checkpoint_every": 200} if run else {}
    train(model, batches, steps=steps, seed=seed, device="cpu", **options)
    return model


SPEECH_WAVE_CONFIG: dict[str, Any] = {
    "shape": WAVE_SHAPE,
    "architecture": "wave",
    "latent_dim": 16,
    "width": 8,
    "norm": "batch",
}
SPEECH_WAVE_STEPS = 1000


def speech_wave_gan(seed: int, run: Path | None) -> Made:
    """Train a conditional GAN on waveforms of spoken digits; keep its generator in half precision."""
    data = spoken_digits(fallback=False)
    x = loud_waves(data.train)
    model = trained_speech_gan(x, data.train.y, seed, SPEECH_WAVE_STEPS, run=run, **SPEECH_WAVE_CONFIG)
    generator = model.averaged.half().requires_grad_()
    model.averaged = copy.deepcopy(generator).float()
    config = SPEECH_GAN_CONFIG | SPEECH_WAVE_CONFIG
    return Made(generator, _speech_facts(model, config, SPEECH_WAVE_STEPS, seed, data, run))


def loud_waves(recordings: Recordings) -> Tensor:
    """Return waveforms (n, 1, 6016), the loudest sample of each at 1 or -1."""
    return (recordings.waveform / recordings.waveform.abs().amax(-1, keepdim=True)).unsqueeze(1)


def _speech_facts(
    model: VAE | GAN,
    config: dict[str, Any],
    steps: int,
    seed: int,
    data: SpeechData,
    run: Path | None,
) -> dict[str, Any]:
    """Return what a card says about a model of spoken digits; a ``run`` may have stopped and gone on."""
    digits = torch.arange(SPEECH_SAMPLES) % 10
    samples = model.sample(SPEECH_SAMPLES, digits, generator=Generator().manual_seed(seed))
    heard = heard_of(samples)
    reader = pretrained.speech_classifier()
    as_asked = estimate(read_digits(reader, heard).argmax(-1) == digits)
    clouds = [features_of(reader, part) for part in (data.test.x, heard, data.valid.x)]
    return {
        "licence": LICENCE,
        "data": SPEECH_DATA.format(batch=SPEECH_BATCH),
        "config": config,
        "stages": [{"lr": model.lr, "steps": steps}],
        **({"training_seconds": round(load_checkpoint(run).state["history"]["seconds"])} if run else {}),
        "samples": {
            "n": SPEECH_SAMPLES,
            "as_asked": as_asked.mean,
            "standard_error": as_asked.standard_error,
            "frechet": frechet_distance(clouds[0], clouds[1]),
            "frechet_of_validation_recordings": frechet_distance(clouds[0], clouds[2]),
        },
    }


def heard_of(samples: Tensor, seed: int = 0) -> Tensor:
    """Return the pictures of samples as they are heard: of waveforms, or of pictures that became sounds."""
    if samples.ndim == 4:
        samples = torch.cat([to_sound(part, seed=seed) for part in samples.clamp(0, 1).split(50)])
    return log_mel(samples.reshape(len(samples), -1))


@torch.no_grad()
def features_of(reader: SpeechClassifier, x: Tensor) -> Tensor:
    """Return the features (n, 32) of pictures of sounds."""
    return torch.cat([reader.features(part) for part in x.split(500)])


def train_in_stages(
    model: ImageClassifier | SpeechClassifier,
    batches: Iterator[Batch],
    stages: tuple[tuple[float, int], ...],
    seed: int,
) -> None:
    """Train a classifier with one step size after the other, each for its number of steps."""
    for stage, (lr, steps) in enumerate(stages):
        model.lr = lr
        train(model, batches, steps=steps, seed=seed + stage, device="cpu")


SHAPES_STAGES = ((2e-3, 300), (5e-4, 100))
SHAPES_BATCH = 64


def shapes_classifier(seed: int, run: Path | None) -> Made:
    """Train the classifier of shapes and keep it in half precision."""
    data = images("shapes")
    with forked_rng(seed):
        model = ImageClassifier(tuple(data.train.x.shape[1:]))
    batches = Batches(data.train.x, data.train.y, batch_size=SHAPES_BATCH, seed=seed, device="cpu")
    train_in_stages(model, batches, SHAPES_STAGES, seed)
    kept = copy.deepcopy(model).half()
    model.load_state_dict(kept.state_dict())  # judged as it will be loaded
    facts = {
        "data": "10,000 coloured shapes on coloured grounds, drawn by gm_lib.data.shapes, with the shape for "
        f"a label, {SHAPES_BATCH} in a batch. No setting was tried but this one.",
        "stages": [{"lr": lr, "steps": steps} for lr, steps in SHAPES_STAGES],
        "accuracy": {"valid": accuracy(model, data.valid), "test": accuracy(model, data.test)},
    }
    return Made(kept, facts)


SHAPES_VAE_CONFIG = {"width": 24, "latent_dim": 32}
# The step size at first, steps, and over how many it would fall to 0: the first stage is cut off on the way.
SHAPES_VAE_STAGES = ((3e-3, 16_000, 30_000), (2e-3, 4_000, 4_000))
SHAPES_VAE_BATCH = 32


def shapes_vae(seed: int, run: Path | None) -> Made:
    """Train a convolutional VAE of shapes and keep it in half precision."""
    data = images("shapes")
    with forked_rng(seed):
        model = pretrained.untrained_shapes_vae(**SHAPES_VAE_CONFIG)
    batches = Batches(data.train.x, batch_size=SHAPES_VAE_BATCH, seed=seed, device="cpu")
    for stage, (lr, steps, decay_steps) in enumerate(SHAPES_VAE_STAGES):
        model.lr, model.decay_steps = lr, decay_steps
        options: dict[str, Any] = {"device": "cpu", "precision": "bfloat16", "checkpoint_every": 1000}
        if run:
            options["out"] = run / f"stage-{stage}"
        train(model, batches, steps=steps, seed=seed + stage, **options)
    kept = copy.deepcopy(model).half()
    model.load_state_dict({key: value.float() for key, value in kept.state_dict().items()})
    dims = data.test.x[0].numel()
    bits = estimate(bits_per_dim(-negative_elbo(model.eval(), data.test.x, seed=seed).bound, dims))
    facts = {
        "data": "10,000 coloured shapes on coloured grounds, drawn by gm_lib.data.shapes, "
        f"{SHAPES_VAE_BATCH} in a batch. Settings were chosen by a few shorter trials on the validation "
        "images; the test images were looked at once.",
        "config": SHAPES_VAE_CONFIG,
        "stages": [
            {"lr": lr, "steps": steps, "decay_steps": decay} for lr, steps, decay in SHAPES_VAE_STAGES
        ],
        "precision": "bfloat16",
        **({"training_seconds": _seconds(*sorted(run.iterdir()))} if run else {}),
        "bits_per_dim": {"elbo": bits.mean, "standard_error": bits.standard_error, "floor": entropy() / dims},
    }
    return Made(kept, facts)


def _seconds(*runs: Path) -> int:
    """Return how long trainings took that may have stopped and gone on."""
    return round(sum(load_checkpoint(run).state["history"]["seconds"] for run in runs))


FLOW_CONFIG: dict[str, Any] = {"couplings": [6, 8], "width": 32, "lr": 2e-3, "decay_steps": 8_000}
FLOW_STEPS, FLOW_BATCH, FLOW_AVERAGE = 8_000, 32, 0.998


def digit_flow(seed: int, run: Path | None) -> Made:
    """Train a flow of grey digits and keep it in half precision."""
    data = images("mnist", fallback=False)
    with forked_rng(seed):
        model = untrained_flow(**FLOW_CONFIG)
    batches = Batches(data.train.x, batch_size=FLOW_BATCH, seed=seed, device="cpu")
    options: dict[str, Any] = {"precision": "bfloat16", "average": FLOW_AVERAGE, "checkpoint_every": 500}
    history = train(model, batches, steps=FLOW_STEPS, seed=seed, device="cpu", out=run, **options)
    kept = copy.deepcopy(model).half()
    model.load_state_dict({key: value.float() for key, value in kept.state_dict().items()})
    scores = {
        name: flow_bits(model, split.x, seed) for name, split in (("valid", data.valid), ("test", data.test))
    }
    facts = {
        "data": f"MNIST's 50,000 training images, {FLOW_BATCH} in a batch, 256 grey levels, dequantized anew "
        "each time. Settings were chosen by a few trials of some hundred steps on the validation images; the "
        "test images were looked at once.",
        "config": FLOW_CONFIG,
        "stages": [{"lr": model.lr, "steps": FLOW_STEPS, "average": FLOW_AVERAGE}],
        "precision": "bfloat16",
        "training_seconds": round(history.seconds),
        "bits_per_dim": {"of": "the density of dequantized levels, an upper bound on average", **scores},
    }
    return Made(kept, facts)


def flow_bits(model: nn.Module, x: Tensor, seed: int) -> dict[str, float]:
    """Return the bits per dimension of a model's density of dequantized levels, with their standard error."""
    noisy = dequantize(x, generator=Generator().manual_seed(seed))
    with torch.no_grad():
        log_p = torch.cat([model.eval().log_prob(part) for part in noisy.split(500)])  # type: ignore[operator]
    bits = estimate(bits_per_dim(log_p, x[0].numel(), bin_width=1 / 256))
    return {"mean": bits.mean, "standard_error": bits.standard_error, "images": bits.n}


SHAPES_GAN_CONFIG: dict[str, Any] = {
    "shape": SHAPE,
    "latent_dim": 32,
    "width": 24,
    "loss": "relativistic",
    "penalty": "r1+r2",
    "gamma": 1.0,
    "lr": 1e-3,
    "betas": (0.0, 0.99),
}
SHAPES_GAN_STEPS = 9_000
SHAPES_GAN_BATCH, SHAPES_GAN_SAMPLES = 32, 1000


def shapes_gan(seed: int, run: Path | None) -> Made:
    """Train a DCGAN of shapes, paired and with both penalties; keep its generator in half precision."""
    data = images("shapes")
    with forked_rng(seed):
        model = dcgan(**SHAPES_GAN_CONFIG, decay_steps=SHAPES_GAN_STEPS)
    batches = Batches(data.train.x, batch_size=SHAPES_GAN_BATCH, seed=seed, device="cpu")
    options: dict[str, Any] = {"out": run, "checkpoint_every": 500} if run else {}
    train(model, batches, steps=SHAPES_GAN_STEPS, seed=seed, device="cpu", precision="bfloat16", **options)
    generator = model.averaged.half().requires_grad_()
    model.averaged = copy.deepcopy(generator).float()  # judged as it will be loaded
    samples = model.sample(SHAPES_GAN_SAMPLES, generator=Generator().manual_seed(seed))
    reader = pretrained.shapes_classifier()
    report = judge_digits(samples, data.test.x, classifier=reader, seed=seed, against="test images of shapes")
    truth = factor_report(samples)
    facts = {
        "data": "10,000 coloured shapes on coloured grounds, drawn by gm_lib.data.shapes, "
        f"{SHAPES_GAN_BATCH} in a batch. Settings were chosen by a few shorter trials on the validation "
        "images; the test images were looked at once.",
        "config": SHAPES_GAN_CONFIG,
        "stages": [{"lr": model.lr, "steps": SHAPES_GAN_STEPS}],
        "precision": "bfloat16",
        **({"training_seconds": _seconds(run)} if run else {}),
        "samples": {**report.as_dict(), "distance": truth.distance, "valid": truth.valid},
    }
    return Made(generator, facts)


FLOW_MATCHING_WIDTH, FLOW_MATCHING_STEPS, FLOW_MATCHING_BATCH = 32, 6000, 64
FLOW_MATCHING_LOOKS, FLOW_MATCHING_SAMPLES = (1, 2, 4, 8, 16, 32), 2000  # Euler's steps, samples of each


def digit_flow_matching(seed: int, run: Path | None) -> Made:
    """Train flow matching with labels on MNIST; keep its averaged weights in half precision."""
    data = images("mnist", fallback=False)
    with forked_rng(seed):
        model = untrained_flow_matching(
            width=FLOW_MATCHING_WIDTH, num_classes=10, decay_steps=FLOW_MATCHING_STEPS
        )
    batches = Batches(data.train.x, data.train.y, batch_size=FLOW_MATCHING_BATCH, seed=seed, device="cpu")
    options: dict[str, Any] = {"out": run, "checkpoint_every": 500} if run else {}
    options |= {"device": "cpu", "precision": "bfloat16", "average": 0.999}
    train(model, batches, steps=FLOW_MATCHING_STEPS, seed=seed, **options)
    kept = copy.deepcopy(model).half()
    model.load_state_dict({key: value.float() for key, value in kept.state_dict().items()})
    digits, judge = torch.arange(FLOW_MATCHING_SAMPLES) % 10, pretrained.digit_classifier()
    scores = []
    for steps in FLOW_MATCHING_LOOKS:
        generator = Generator().manual_seed(seed)
        x = model.sample(FLOW_MATCHING_SAMPLES, digits, steps=steps, generator=generator)
        obeyed = estimate(read_digits(judge, x).argmax(-1) == digits).mean
        report = judge_digits(x, data.test.x, seed=seed, against="MNIST's test images")
        scores.append({"euler_steps": steps, **report.as_dict(), "as_asked": obeyed})
    facts = {
        "data": f"MNIST's 50,000 training digits with their labels, {FLOW_MATCHING_BATCH} in a batch. The "
        "test images were looked at once.",
        "config": model.config,
        "stages": [{"lr": model.lr, "steps": FLOW_MATCHING_STEPS}],
        "precision": "bfloat16",
        **({"training_seconds": _seconds(run)} if run else {}),
        "samples": scores,
    }
    return Made(kept, facts)


# Models of text. All were trained in bfloat16.
NAMES_DATA = (
    "25,494 of the 29,494 different names in makemore's names.txt (Karpathy, MIT licence), {batch} in a "
    "batch. Settings were set after a few short trials, on the validation names where there is a likelihood, "
    "and none by the test names, which were seen more than once."
)
NAMES_SHAPE: dict[str, Any] = {"symbols": 27, "length": 16}
NAMES_STEPS, NAMES_BATCH, NAMES_WIDTH = 2500, 128, 128
NAMES_VAES: dict[str, dict[str, Any]] = {
    "names_vae_collapsed": {},
    "names_vae": {"free_bits": 0.5, "dropout": 0.3},
}
NAMES_GAN_STEPS = 1500
PLAYS_CONFIG: dict[str, Any] = {"symbols": 66, "length": 500, "width": 196}
PLAYS_STEPS, PLAYS_BATCH, PLAYS_WINDOW = 1500, 64, 128
IN_HALF: dict[str, Any] = {"device": "cpu", "precision": "bfloat16"}


def names_model(seed: int, run: Path | None) -> Made:
    """Train the autoregressive model of names and keep its averaged weights in half precision."""
    data = names(fallback=False)
    with forked_rng(seed):
        model = CharacterModel(**NAMES_SHAPE, width=NAMES_WIDTH, decay_steps=NAMES_STEPS)
    kept, facts = _trained_on_text(model, data.train, NAMES_STEPS, NAMES_BATCH, seed, run)
    with torch.no_grad():
        scores = {
            split: asdict(nats_per_character(model.log_prob(x), x))
            for split, x in (("valid", data.valid), ("test", data.test))
        }
    return Made(kept, {"data": NAMES_DATA.format(batch=NAMES_BATCH), **facts, "nats_per_character": scores})


def names_vae(name: str, seed: int, run: Path | None) -> Made:
    """Train the VAE of names called ``name`` and keep its averaged weights in half precision."""
    data = names(fallback=False)
    with forked_rng(seed):
        model = TextVAE(**NAMES_SHAPE, width=NAMES_WIDTH, decay_steps=NAMES_STEPS, **NAMES_VAES[name])
    kept, facts = _trained_on_text(model, data.train, NAMES_STEPS, NAMES_BATCH, seed, run)
    scores = {}
    for split, x in (("valid", data.valid), ("test", data.test)):
        with torch.no_grad(), forked_rng(seed):
            kl = estimate(model.elbo_terms(x).kl.sum(-1))
        scores[split] = {
            "elbo": asdict(nats_per_character(-negative_elbo(model, x, k=5, seed=seed).bound, x)),
            "bound": asdict(nats_per_character(log_likelihood(model, x, k=100, seed=seed).bound, x)),
            "k": 100,
            "kl": kl.mean,
            "active_units": active_units(model, x).count,
        }
    return Made(kept, {"data": NAMES_DATA.format(batch=NAMES_BATCH), **facts, "nats_per_character": scores})


def names_gan(seed: int, run: Path | None) -> Made:
    """Train the GAN of names and keep its averaged generator in half precision."""
    data = names(fallback=False)
    with forked_rng(seed):
        model = text_gan(**NAMES_SHAPE)
    batch = 64 * model.discriminator_steps
    batches = Batches(as_one_hot(data.train, 27), batch_size=batch, seed=seed, device="cpu")
    options: dict[str, Any] = {"out": run, "checkpoint_every": 200} if run else {}
    history = train(model, batches, steps=NAMES_GAN_STEPS, seed=seed, **IN_HALF, **options)
    generator = model.averaged.half().requires_grad_()
    model.averaged = copy.deepcopy(generator).float()
    x = as_rows(model.sample(2000, generator=Generator().manual_seed(seed)))
    judge = WittenBell(data.train, 4, 27)
    facts = {
        "data": NAMES_DATA.format(batch=batch),
        "config": model.config,
        "stages": [{"lr": model.lr, "steps": NAMES_GAN_STEPS}],
        "training_seconds": round(history.seconds),
        "samples": {
            "n": len(x),
            "nats_per_character_by_counts_of_4": nats_per_character(judge.log_prob(x).sum(1), x).mean,
            "different": len(x.unique(dim=0)),
        },
    }
    return Made(generator, facts)


def shakespeare_model(seed: int, run: Path | None) -> Made:
    """Train the autoregressive model of plays and keep its averaged weights in half precision."""
    data = shakespeare(fallback=False)
    with forked_rng(seed):
        model = CharacterModel(**PLAYS_CONFIG, decay_steps=PLAYS_STEPS)
    rows = windows(data.train, PLAYS_WINDOW, PLAYS_WINDOW // 4)
    kept, facts = _trained_on_text(model, rows, PLAYS_STEPS, PLAYS_BATCH, seed, run)
    scores = {
        split: -model.log_prob_text(x).double().mean().item()
        for split, x in (("valid", data.valid), ("test", data.test))
    }
    said = (
        "Tiny Shakespeare (Karpathy 2015; the plays are in the public domain) without its last tenth, the "
        f"test text, and 5 % for validation: pieces of {PLAYS_WINDOW} characters, {PLAYS_BATCH} in a batch. "
        "No setting was tried but this one, and nothing was chosen by the test text, seen more than once."
    )
    return Made(kept, {"data": said, **facts, "nats_per_character": scores})


def _trained_on_text(
    model: CharacterModel | TextVAE, rows: Tensor, steps: int, batch: int, seed: int, run: Path | None
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a model of text; return what is kept of it, and leave the model as it will be loaded."""
    batches = Batches(rows, batch_size=batch, seed=seed, device="cpu")
    options: dict[str, Any] = {"out": run, "checkpoint_every": 200} if run else {}
    history = train(model, batches, steps=steps, seed=seed, average=0.998, **IN_HALF, **options)
    kept = copy.deepcopy(model).half()
    model.load_state_dict({key: value.float() for key, value in kept.state_dict().items()})
    facts = {"config": model.config, "stages": [{"lr": model.lr, "steps": steps}]}
    return kept, {**facts, "training_seconds": round(history.seconds)}


# What the players are made of; their step sizes fall to 0.
GAN_STEPS, GAN_BATCH = 12_000, 64
GAN_CONFIG: dict[str, Any] = {"latent_dim": 32, "width": 32, "num_classes": 10, "decay_steps": GAN_STEPS}
GAN_SAMPLES = 5000  # judged, against as many of the 10,000 test images


def digit_gan(seed: int, run: Path | None) -> Made:
    """Train a conditional DCGAN on MNIST; keep both players, the generator averaged, in half precision."""
    data = images("mnist", fallback=False)
    with forked_rng(seed):
        model = dcgan(**GAN_CONFIG)
    batches = Batches(data.train.x, data.train.y, batch_size=GAN_BATCH, seed=seed, device="cpu")
    options: dict[str, Any] = {"device": "cpu", "out": run, "checkpoint_every": 500}
    history = train(model, batches, steps=GAN_STEPS, seed=seed, **options)
    players = nn.ModuleDict({"generator": model.averaged, "discriminator": model.discriminator}).half()
    model.averaged = copy.deepcopy(players["generator"]).float()  # judged as it will be loaded
    digits = torch.arange(GAN_SAMPLES) % 10
    samples = model.sample(GAN_SAMPLES, digits, generator=Generator().manual_seed(seed))
    obeyed = estimate(read_digits(pretrained.digit_classifier(), samples).argmax(-1) == digits)
    judge = partial(judge_digits, samples, seed=seed)
    valid = judge(data.valid.x, against="MNIST's validation images")
    test = judge(data.test.x, against="MNIST's test images")
    facts = {
        "data": f"MNIST's 50,000 training digits with their labels, {GAN_BATCH} in a batch. Settings were "
        "chosen on the validation images; the test images were looked at once.",
        "config": GAN_CONFIG,
        "stages": [{"lr": model.lr, "steps": GAN_STEPS}],
        "training_seconds": round(history.seconds),
        "valid": valid.as_dict(),
        "samples": {**test.as_dict(), "as_asked": obeyed.mean},
    }
    return Made(players.requires_grad_(), facts)


# The two games that chapter 13 goes on with: what the models are made of, and how many steps they have done.
MIDWAY_CONFIGS: dict[str, dict[str, Any]] = {
    "digit_gan_midway": {"latent_dim": 32, "width": 32},
    "digit_gan_labels_midway": {"latent_dim": 32, "width": 16, "num_classes": 10},
}
MIDWAY_STEPS = 1000
MIDWAY_LOG, MIDWAY_LOOK = 20, 200  # steps between two records of the losses, and between two looks at samples


def midway(name: str, seed: int, run: Path | None) -> Made:
    """Train the game called ``name`` for a while and keep both players, in half precision.

    The card holds the history of the training, so that what a chapter trains further has a beginning.
    """
    data = images("mnist", fallback=False)
    with forked_rng(seed):
        model = dcgan(**MIDWAY_CONFIGS[name])
    batches = Batches(data.train.x, data.train.y, batch_size=GAN_BATCH, seed=seed, device="cpu")

    def look(model: GAN) -> dict[str, float]:
        labels = torch.arange(1000) % 10 if model.num_classes else None
        samples = model.sample(1000, labels, generator=Generator().manual_seed(seed))
        report = judge_digits(samples, data.valid.x[:2000])
        return {"confident": report.confident, "digits": report.digits, "frechet": report.frechet}

    options: dict[str, Any] = {"evaluate": look, "evaluate_every": MIDWAY_LOOK, "log_every": MIDWAY_LOG}
    if run:
        options |= {"out": run, "checkpoint_every": 200}
    history = train(model, batches, steps=MIDWAY_STEPS, seed=seed, device="cpu", **options)
    rows = [{key: float(f"{value:.5g}") for key, value in row.items()} for row in history.rows]
    facts = {
        "data": f"MNIST's 50,000 training digits, {GAN_BATCH} in a batch; looked at beside 2,000 validation "
        "images. The test images were not looked at.",
        "config": MIDWAY_CONFIGS[name],
        "stages": [{"lr": model.lr, "steps": MIDWAY_STEPS}],
        "history": rows,
    }
    players = nn.ModuleDict({"generator": model.generator, "discriminator": model.discriminator})
    return Made(players.half(), facts)


VAE_GAN_CONFIG: dict[str, Any] = {"latent_dim": 16, "width": 16, "judge": 40.0, "gamma": 0.1, "lr": 2e-3}
VAE_GAN_STEPS, VAE_GAN_BATCH = 1200, 64


def digit_vae_gan(seed: int, run: Path | None) -> Made:
    """Train a VAE-GAN of grey digits and, in the same way, the VAE that is its pair; keep both."""
    data = images("mnist", fallback=False)
    models, scores, seconds = nn.ModuleDict(), {}, {}
    for name, judge in (("vae_gan", VAE_GAN_CONFIG["judge"]), ("vae", 0.0)):
        with forked_rng(seed):
            model = untrained_vae_gan(**VAE_GAN_CONFIG | {"judge": judge, "decay_steps": VAE_GAN_STEPS})
        batches = Batches(data.train.x, batch_size=VAE_GAN_BATCH, seed=seed, device="cpu")
        options: dict[str, Any] = {"out": run / name, "checkpoint_every": 1000} if run else {}
        history = train(model, batches, steps=VAE_GAN_STEPS, seed=seed, average=0.998, **IN_HALF, **options)
        models[name] = copy.deepcopy(model).half()
        model.load_state_dict({key: value.float() for key, value in models[name].state_dict().items()})
        samples = model.sample(SCORED, generator=Generator().manual_seed(seed))
        bound = negative_elbo(model, data.test.x[:SCORED], seed=seed)
        energy = estimate(gradient_energy(samples))
        seconds[name] = round(history.seconds)
        scores[name] = {
            "negative_elbo": {"nats": bound.mean, "standard_error": bound.standard_error},
            "gradient_energy": {"mean": energy.mean, "standard_error": energy.standard_error},
            "samples": judge_digits(samples, data.test.x, seed=seed, against="MNIST's test images").as_dict(),
        }
    facts = {
        "data": f"MNIST's 50,000 training digits, grey, {VAE_GAN_BATCH} in a batch, with the same weights at "
        "first and the same batches for both. Settings were chosen by a few shorter trials on the "
        "validation images; the test images were looked at once.",
        "config": VAE_GAN_CONFIG,
        "stages": [{"lr": VAE_GAN_CONFIG["lr"], "steps": VAE_GAN_STEPS}],
        "training_seconds": seconds,
        **scores,
    }
    return Made(models, facts)


# The network of Burda et al. 2016 with one stochastic layer.
BURDA = "--hidden 200 --hidden 200 --latent-dim 50 --activation tanh"
# The VAEs: the options of `python -m gm_lib train vae` that make them, with the steps.
VAES: dict[str, str] = {
    "digit_vae": f"{BURDA} --steps 93600 --decay-steps 93600",
    "digit_vae_plane": "--hidden 160 --hidden 80 --latent-dim 2 --steps 46800 --decay-steps 46800",
}
VAE_RECIPE = "--optimizer muon --batch-size 256 --average 0.999 --final --device cpu"
SCORED, SCORED_DRAWS = 2000, 200  # of the test images, and importance weights for each


def vae_by_command(options: str, seed: int, out: Path) -> VAE:
    """Train a VAE by the command line with these ``options`` in ``out``, or go on with what is there."""
    command = shlex.split(f"train vae {VAE_RECIPE} {options} --seed {seed}")
    if gm_lib([*command, "--out", str(out)], standalone_mode=False):  # a status: it was stopped
        raise KeyboardInterrupt
    model: VAE = load(out, "cpu")[0]
    return model


def vae(name: str, seed: int, run: Path | None) -> Made:
    """Train a VAE on all that is not for testing, and keep its averaged weights in half precision."""
    options = VAES[name]
    out = run or Path("runs") / "pretrained" / f"{name}-{seed}"
    model = vae_by_command(options, seed, out)
    kept = copy.deepcopy(model).half()
    model.load_state_dict({key: value.float() for key, value in kept.state_dict().items()})
    with forked_rng(seed):
        test = binarize(images("mnist", fallback=False).test.x[:SCORED])
    bound = log_likelihood(model, test, k=SCORED_DRAWS, seed=seed)
    facts = {
        "data": "MNIST's 60,000 digits that are not for testing, binarized anew in each batch. Settings were "
        "chosen on validation images; the test images were looked at once.",
        "config": model.config,
        "stages": [{"lr": model.lr, "steps": model.decay_steps}],
        "training_seconds": round(load_checkpoint(out).state["history"]["seconds"]),
        "trained_by": f"python -m gm_lib train vae {VAE_RECIPE} {options} --seed {seed}",
        "negative_bound": {
            "nats": -bound.mean,
            "standard_error": bound.standard_error,
            "importance_weights": SCORED_DRAWS,
            "test_images": SCORED,
        },
    }
    return Made(kept, facts)


AUTOREGRESSIVE_CONFIG: dict[str, Any] = {"width": 128, "layers": 2, "reach": 9, "lr": 4e-3}
AUTOREGRESSIVE_STEPS, AUTOREGRESSIVE_BATCH = 1500, 64


def digit_autoregressive(seed: int, run: Path | None) -> Made:
    """Train an autoregressive model of binarized digits and keep its weights in half precision."""
    data = images("mnist", fallback=False)
    with forked_rng(seed):
        model = untrained_autoregressive(**AUTOREGRESSIVE_CONFIG, decay_steps=AUTOREGRESSIVE_STEPS)
    batches = Batches(
        data.train.x, batch_size=AUTOREGRESSIVE_BATCH, seed=seed, device="cpu", dynamic_binarization=True
    )
    options: dict[str, Any] = {"out": run, "checkpoint_every": 500} if run else {}
    train(model, batches, steps=AUTOREGRESSIVE_STEPS, seed=seed, **IN_HALF, **options)
    kept = copy.deepcopy(model).half()
    model.load_state_dict({key: value.float() for key, value in kept.state_dict().items()})
    with forked_rng(seed):  # the same images, tossed in the same way, as those that score the VAEs
        test = binarize(data.test.x[:SCORED])
    with torch.no_grad():
        nats = estimate(-model.log_prob(test))
    facts = {
        "data": "MNIST's 50,000 training digits, binarized anew in each batch, "
        f"{AUTOREGRESSIVE_BATCH} in a batch. Settings were chosen by a few shorter trials on the validation "
        "images; the test images were looked at once.",
        "config": model.config,
        "stages": [{"lr": model.lr, "steps": AUTOREGRESSIVE_STEPS}],
        "precision": "bfloat16",
        **({"training_seconds": _seconds(run)} if run else {}),
        "negative_log_likelihood": {
            "nats": nats.mean,
            "standard_error": nats.standard_error,
            "test_images": SCORED,
        },
    }
    return Made(kept, facts)


def train(model: nn.Module, batches: Iterable[Any], *, steps: int, seed: int, **options: Any) -> History:
    """Train to the end; a run that is stopped counts for nothing, so Ctrl-C raises ``KeyboardInterrupt``."""
    history = fit(model, batches, steps=steps, seed=seed, **options)
    if history.interrupted:
        raise KeyboardInterrupt
    return history


def both_sets(sets: dict[str, ImageData], seed: int) -> Iterator[Batch]:
    """Yield batches of images of both sets, slightly moved, without end."""
    generator = torch.Generator().manual_seed(seed)
    counts = {"mnist": FROM_MNIST, "digits": FROM_DIGITS}
    streams = [
        Batches(sets[name].train.x, sets[name].train.y, batch_size=count, seed=seed, device="cpu")
        for name, count in counts.items()
    ]
    for parts in zip(*streams, strict=True):
        x, y = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        yield Batch(jitter(x, generator), y)


def jitter(x: Tensor, generator: Generator) -> Tensor:
    """Return images (n, 1, 28, 28), each moved by up to 2 pixels, turned by up to 10°, scaled by 0.9–1.1."""
    u = 2 * torch.rand(len(x), 4, generator=generator) - 1
    angle, scale = u[:, 0] * torch.pi / 18, 1 + 0.1 * u[:, 1]
    shift = u[:, 2:] * 2 / 14  # affine_grid counts from -1 to 1 across 28 pixels
    cos, sin = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    grid = F.affine_grid(torch.cat([linear, shift[:, :, None]], dim=2), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False).clamp(0, 1)


def speech_jitter(x: Tensor, generator: Generator) -> Tensor:
    """Return pictures (n, 1, 64, 48), each moved by up to 8 frames and 3 bands, and stretched.

    In time by up to 15 %, as speech is faster and slower, and in frequency by up to 10 %, as voices differ.
    """
    u = 2 * torch.rand(len(x), 4, generator=generator) - 1
    zero = torch.zeros(len(x))
    along_time = torch.stack([1 + 0.15 * u[:, 0], zero, u[:, 2] * 8 / 24], dim=1)  # -1 to 1 across 48 frames
    along_frequency = torch.stack([zero, 1 + 0.1 * u[:, 1], u[:, 3] * 3 / 32], dim=1)
    grid = F.affine_grid(
        torch.stack([along_time, along_frequency], dim=1), list(x.shape), align_corners=False
    )
    return F.grid_sample(x, grid, align_corners=False).clamp(0, 1)


def accuracy(model: nn.Module, split: Split | Recordings) -> dict[str, float]:
    """Return the share of a split that is read correctly, its standard error and the number of examples."""
    right = estimate(read_digits(model, split.x).argmax(-1) == split.y)
    return {"share": right.mean, "standard_error": right.standard_error, "n": right.n}


MUSIC_VAE_CONFIG: dict[str, Any] = {
    "output": "autoregressive",
    "hidden": 128,
    "units": 4,
    "dropout": 0.4,
    "lr": 2e-3,
    "decay_steps": 3000,
}
MUSIC_VAE_STEPS, MUSIC_EVERY, MUSIC_BATCH = 1500, 250, 16
MUSIC_VAE_SHIPPED = {"hidden": 96}  # three quarters of the width, for two thirds of the file


def music_vae(seed: int, run: Path | None) -> Made:
    """Train a model of chorales; keep, in half precision, the weights that did best in validation."""
    data = chorales(fallback=False)
    model, step = trained_music_vae(data, seed, MUSIC_VAE_STEPS, **MUSIC_VAE_SHIPPED)
    kept = copy.deepcopy(model).half()
    model.load_state_dict({key: value.float() for key, value in kept.state_dict().items()})
    facts = {
        "data": "The JSB chorales' 229 training pieces, one chord for each quarter note, transposed to C, "
        f"{MUSIC_BATCH} in a batch. Settings, and when to stop, were chosen on the validation pieces, and "
        "nothing by the test pieces.",
        "config": model.config,
        "stages": [{"lr": model.lr, "steps": step}],
        "nats_per_step": {split: music_scores(model, getattr(data, split), seed) for split in MUSIC_SPLITS},
    }
    return Made(kept, facts)


def trained_music_vae(data: MusicData, seed: int, steps: int, **config: Any) -> tuple[SequenceVAE, int]:
    """Return the model as it was when the validation pieces' bound was best, and after how many steps.

    ``config`` changes ``MUSIC_VAE_CONFIG``.
    """
    with forked_rng(seed):
        model = untrained_music_vae(**MUSIC_VAE_CONFIG | config)
    batches = Batches(data.train.x, data.train.lengths, batch_size=MUSIC_BATCH, seed=seed, device="cpu")
    best, state = math.inf, model.state_dict()
    looked = at = 0

    def validate(model: SequenceVAE) -> dict[str, float]:
        nonlocal best, state, looked, at
        bound = negative_elbo(model, data.valid.x, data.valid.lengths, seed=seed).bound
        nats = (bound.sum() / data.valid.steps).item()
        looked += MUSIC_EVERY
        if nats < best:
            best, state, at = nats, copy.deepcopy(model.state_dict()), looked
        return {"valid": nats}

    train(
        model,
        batches,
        steps=steps,
        seed=seed,
        device="cpu",
        average=0.995,
        evaluate=validate,
        evaluate_every=MUSIC_EVERY,
    )
    model.load_state_dict(state)
    return model.eval(), at


MUSIC_SPLITS = ("valid", "test")


def music_scores(model: SequenceVAE, pieces: Pieces, seed: int) -> dict[str, Any]:
    """Return bounds of -log p, nats per time step, from 1 and from 10 draws, and how much of it is KL."""
    with forked_rng(seed), torch.no_grad():
        kl = model.eval().elbo_terms(pieces.x, pieces.lengths).kl.sum() / pieces.steps
    scores: dict[str, Any] = {"kl": kl.item()}
    for k in (1, 10):
        bound = log_likelihood(model, pieces.x, pieces.lengths, k=k, seed=seed).bound
        found = ratio(-bound, pieces.lengths)
        scores[f"k={k}"] = {"mean": found.mean, "standard_error": found.standard_error}
    return scores


DIFFUSION_CONFIG: dict[str, Any] = {"width": 32, "num_classes": 10, "lr": 1e-3, "decay_steps": 5000}
DIFFUSION_STEPS, DIFFUSION_BATCH = 5000, 64
DIFFUSION_SAMPLES = 1000  # judged
DIFFUSION_SCORED, DIFFUSION_DRAWS = 2000, 4  # test images, and draws for the bound of each


def digit_diffusion(seed: int, run: Path | None) -> Made:
    """Train a diffusion model of binarized digits with their labels; keep its averaged weights, halved."""
    data = images("mnist", fallback=False)
    with forked_rng(seed):
        model = untrained_diffusion(**DIFFUSION_CONFIG)
    options: dict[str, Any] = {"batch_size": DIFFUSION_BATCH, "seed": seed, "device": "cpu"}
    batches = Batches(data.train.x, data.train.y, dynamic_binarization=True, **options)
    out: dict[str, Any] = {"out": run, "checkpoint_every": 200} if run else {}
    history = train(
        model,
        batches,
        steps=DIFFUSION_STEPS,
        seed=seed,
        device="cpu",
        average=0.998,
        precision="bfloat16",
        **out,
    )
    kept = copy.deepcopy(model).half()
    model.load_state_dict({key: value.float() for key, value in kept.state_dict().items()})
    with forked_rng(seed):
        test = binarize(data.test.x)
    bounds = {
        name: diffusion_bound(model, test[:DIFFUSION_SCORED], y, seed)
        for name, y in (("without_label", None), ("given_label", data.test.y[:DIFFUSION_SCORED]))
    }
    digits = torch.arange(DIFFUSION_SAMPLES) % 10
    samples = model.sample(DIFFUSION_SAMPLES, digits, generator=Generator().manual_seed(seed))
    obeyed = estimate(read_digits(pretrained.digit_classifier(), samples).argmax(-1) == digits)
    report = judge_digits(samples, test, seed=seed, against="MNIST's test images, binarized")
    facts = {
        "data": "MNIST's 50,000 training digits with their labels, binarized anew in each batch, "
        f"{DIFFUSION_BATCH} in a batch. No setting was chosen by the "
        "test images, which were seen more than once.",
        "config": model.config,
        "stages": [{"lr": model.lr, "steps": DIFFUSION_STEPS}],
        "precision": "bfloat16",
        "training_seconds": round(history.seconds),
        "negative_elbo": {**bounds, "draws": DIFFUSION_DRAWS, "test_images": DIFFUSION_SCORED},
        "samples": {**report.as_dict(), "as_asked": obeyed.mean},
    }
    return Made(kept, facts)


def diffusion_bound(model: Diffusion, x: Tensor, y: Tensor | None, seed: int) -> dict[str, float]:
    """Return -ELBO in nats per image with its standard error, from so many draws for each image."""
    with forked_rng(seed), torch.no_grad():
        of_images = [
            torch.stack(
                [-model.elbo(x[i], None if y is None else y[i]) for _ in range(DIFFUSION_DRAWS)]
            ).mean(0)
            for i in torch.arange(len(x)).split(500)
        ]
    found = estimate(torch.cat(of_images))
    return {"nats": found.mean, "standard_error": found.standard_error}


MAKERS: dict[str, Callable[[int, Path | None], Made]] = {
    "digit_classifier": digit_classifier,
    "speech_classifier": speech_classifier,
    "speech_vae": speech_vae,
    "speech_gan": speech_gan,
    "speech_wave_gan": speech_wave_gan,
    "music_vae": music_vae,
    "names_model": names_model,
    **{name: partial(names_vae, name) for name in NAMES_VAES},
    "names_gan": names_gan,
    "shakespeare_model": shakespeare_model,
    "shapes_classifier": shapes_classifier,
    "shapes_vae": shapes_vae,
    "shapes_gan": shapes_gan,
    "digit_autoregressive": digit_autoregressive,
    "digit_flow": digit_flow,
    "digit_gan": digit_gan,
    "digit_vae_gan": digit_vae_gan,
    "digit_diffusion": digit_diffusion,
    "digit_flow_matching": digit_flow_matching,
    **{name: partial(midway, name) for name in MIDWAY_CONFIGS},
    **{name: partial(vae, name) for name in VAES},
}


def main(arguments: list[str] | None = None) -> int:
    """Make the model that the command names; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(MAKERS), help="the model to make")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and everything (default 0)")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to (default: %(default)s)")
    parser.add_argument("--run", type=Path, help="folder for the checkpoints of a long training")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    started = time.process_time()
    try:
        model, facts = MAKERS[chosen.name](chosen.seed, chosen.run)
    except KeyboardInterrupt:
        print(
            "\nInterrupted; no weights were written. A GAN with --run, and a VAE, go on from there.",
            file=sys.stderr,
        )
        return 130
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    content = safetensors.torch.save({k: v.contiguous() for k, v in model.state_dict().items()})
    card = {
        "name": chosen.name,
        "command": f"python tools/make_pretrained.py {chosen.name} --seed {chosen.seed}",
        "seed": chosen.seed,
        **facts,
        "parameters": count_parameters(model),
        "cpu_seconds": round(time.process_time() - started),
        "hardware": f"one thread of a CPU ({platform.machine()})",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    chosen.out.mkdir(parents=True, exist_ok=True)
    replace_file(chosen.out / f"{chosen.name}.safetensors", content)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    replace_file(chosen.out / f"{chosen.name}.json", text.encode())
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
