"""What came out, in a sentence for each record, with the record's own numbers in it.

A sentence is written by hand; its numbers are filled in from the record, and what its words say of them
stands beside it as a condition. Measured anew, a record may come out otherwise: then the sentence is refused,
and is to be written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from records import SHARE, Quantity, Record, RecordError

KEPT = "\N{NO-BREAK SPACE}"
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
# Each by itself, on the grid of Gaussians.
REMEDIES = (
    *("plain", "unequal", "memoryless", "clipped", "wgan_gp", "spectral", "r1", "r1_r2", "packed"),
    *("relativistic", "relativistic_r1_r2"),
)

STACKED = ("unequal", "packed", "spectral", "wgan_gp", "r1", "best")  # on stacked digits


@dataclass(frozen=True)
class Sentence:
    """``text`` names quantities in braces; ``holds`` gets their values, one a seed, and must be true."""

    text: str
    holds: Callable[[Any], Iterable[Any]]


SENTENCES = {
    "autoencoder_codes": Sentence(
        "New images from an ordinary autoencoder are poor when its codes are drawn from N(0, I), at a "
        "Fréchet distance of {frechet_noise}, and far better when they are drawn from 30 Gaussians "
        "fitted to the codes of real images, at {frechet_mixture}.",
        lambda q: (3 * q.frechet_mixture < q.frechet_noise, q.frechet_mixture < q.frechet_gaussian),
    ),
    "beta_sweep": Sentence(
        "The ELBO is best at β = 1: a smaller β rebuilds images better from codes that hold more, "
        "{rate_01} nats at β = 0.1, and a larger one worse from codes that hold less, {rate_10} nats at"
        " β = 10.",
        lambda q: (
            q.left > 0,
            q.right > 0,
            q.rate_01 > q.rate_03,
            q.rate_03 > q.rate_1,
            q.rate_1 > q.rate_3,
            q.rate_3 > q.rate_10,
            q.distortion_01 < q.distortion_1,
            q.distortion_1 < q.distortion_10,
        ),
    ),
    "better_priors": Sentence(
        "A learned prior helps: it takes the bound of −log p from {bound_normal} nats with N(0, I) to "
        "{bound_vamp} with a VampPrior, and a mixture fitted after the training to {bound_after}; the "
        "samples become better in the same order.",
        lambda q: (
            q.bound_after < q.bound_vamp,
            q.bound_vamp < q.bound_normal,
            q.frechet_after < q.frechet_vamp,
            q.frechet_vamp < q.frechet_normal,
        ),
    ),
    "blur_likelihoods": Sentence(
        "The likelihood decides how sharply images are rebuilt: a Gaussian that is far too wide leaves "
        "them a gradient energy of {energy_rebuilt_fixed}, one whose width is learned "
        "{energy_rebuilt_learned}, where real images have {energy_real}; samples gain less.",
        lambda q: (
            q.energy_rebuilt_fixed < q.energy_rebuilt_learned,
            q.energy_rebuilt_learned < q.energy_real,
            q.frechet_fixed / q.frechet_learned < q.frechet_rebuilt_fixed / q.frechet_rebuilt_learned,
        ),
    ),
    "codes_quick": Sentence(
        "Discrete codes cost more than they save in so few steps: the bound of a VQ-VAE is "
        "{vq_over_vae} nats worse than that of an ordinary VAE, and the larger part of it pays for the "
        "codes.",
        lambda q: (q.vq_over_vae > 0, q.vq_codes > q.vq_image),
    ),
    "collapse": Sentence(
        "Where the weights between pixels learn ten times as fast as the networks, the code nearly "
        "dies, with {kl_fast} nats of KL in place of {kl_one_pace}; free bits bring {kl_free} back.",
        lambda q: (5 * q.kl_fast < q.kl_one_pace, 5 * q.kl_fast < q.kl_free),
    ),
    "collapse_longer": Sentence(
        "Trained three times as long, the model that had collapsed is the worse one, by "
        "{one_pace_gains} nats of the bound of −log p.",
        lambda q: (q.one_pace_gains > 0, q.kl_fast < q.kl_one_pace),
    ),
    "conv_quick": Sentence(
        "In as many steps convolutions save {saved} nats, but a step takes {slower} times as long; "
        "arithmetic with codes turns a 0 into a 1 in {codes_0_1} of cases, arithmetic with pixels in "
        "{pixels_0_1}.",
        lambda q: (q.saved > 0, q.slower > 1, q.codes_0_1 > q.pixels_0_1, q.codes_5_6 > q.pixels_5_6),
    ),
    "digit_classifier": Sentence(
        "The network that judges samples reads {mnist} of MNIST's test images correctly.",
        lambda q: (),
    ),
    "elbo_gaps": Sentence(
        "Most of what the ELBO leaves open is the encoder's: the best answer for each image would save "
        "{amortization_gap} nats, and {approximation_gap} more are lost because that answer must be a "
        "Gaussian without correlations.",
        lambda q: (q.amortization_gap > q.approximation_gap, q.approximation_gap > 0),
    ),
    "exercise_mutants": Sentence(
        "Of the wrong answers among {mutants} small mechanical changes to the solutions of {exercises} "
        "exercises, the checks reject {rejected}.",
        lambda q: (),
    ),
    "families": Sentence(
        "After five minutes of one thread the VAE's bound, {score_vae} nats, the autoregressive model's "
        "{score_autoregressive}, and diffusion's bound, {score_diffusion}, lie close together; codes with a "
        "prior need {score_codes} and have the nearest samples in black and white. Of grey samples the GAN's "
        "are nearest.",
        lambda q: (
            abs(q.score_vae - q.score_autoregressive) < 4,
            abs(q.score_diffusion - q.score_autoregressive) < 5,
            q.score_codes > q.score_diffusion + 20,
            *(
                q.frechet_codes < other
                for other in (q.frechet_vae, q.frechet_autoregressive, q.frechet_diffusion)
            ),
            *(
                q.frechet_gan < other
                for other in (q.frechet_vae_gan, q.frechet_flow_matching, q.frechet_flow)
            ),
        ),
    ),
    "first_digits": Sentence(
        "Of Part I's models the one that looks at four neighbouring pixels comes closest to the digits,"
        " with {neighbours} nats; a mixture of forty causes needs {causes}.",
        lambda q: (q.neighbours < q.tiles_by_digit, q.neighbours < q.causes, q.tiles_by_digit < q.tiles),
    ),
    "first_grey": Sentence(
        "Counting the grey levels of each pixel takes {histograms} bits per pixel; all models of "
        "Gaussians take more than three times as many, probabilistic PCA with 50 dimensions {ppca_50}.",
        lambda q: (q.gaussians > 3 * q.histograms, q.ppca_150 > 3 * q.histograms, q.ppca_50 > q.gaussians),
    ),
    "gan_labels_quick": Sentence(
        "A GAN that is told the digit writes the one that was asked for in {as_asked} of cases, and "
        "{confident} of its samples are read with confidence.",
        lambda q: (),
    ),
    "gan_mnist": Sentence(
        "In the same time of some minutes the DCGAN comes nearer to real digits, at a Fréchet distance of "
        "{frechet_dcgan}, than the relativistic loss with R1 and R2 and without batch norm, at "
        "{frechet_best}. Neither copies: the distance to training digits over that to held-out ones is "
        "{copies_dcgan} and {copies_best} times what it is for fresh digits.",
        lambda q: (
            q.frechet_dcgan.max() < q.frechet_best.min(),
            q.precision_dcgan.mean() > q.precision_best.mean(),
            min(q.copies_dcgan.min(), q.copies_best.min()) > 0.99,
            max(q.suspects_dcgan.max(), q.suspects_best.max()) < 10,
        ),
    ),
    "gan_quick": Sentence(
        "After 1,200 steps a GAN writes all ten digits, and {confident} of its samples are read with "
        "confidence, where real images reach {confident_real}.",
        lambda q: (q.digits == 10, q.confident < q.confident_real),
    ),
    "gan_settings": Sentence(
        "Learning rate and momentum matter most: a tenth of the one takes the Fréchet distance from "
        "{usual} to {slow}, more of the other to {momentum}; the other two changes do little.",
        lambda q: (
            q.slow > 1.5 * q.usual,
            q.momentum > 1.5 * q.usual,
            abs(q.normal_init / q.usual - 1) < 0.25,
            abs(q.first_norm / q.usual - 1) < 0.25,
        ),
    ),
    "gradient_noise": Sentence(
        "With more draws the encoder's gradient drowns in noise, with a signal-to-noise ratio of "
        "{plain_256} at 256 draws; doubly reparameterized it gains signal instead, and has "
        "{doubly_256}.",
        lambda q: (q.slope_plain < 0, q.slope_doubly > 0, q.plain_256 < q.doubly_256),
    ),
    "image_widths": Sentence(
        "From 6 channels to 48 the bits of coloured shapes fall from {bits_6} to {bits_48}, on "
        "average with each doubling by less, while the training takes longer.",
        lambda q: (
            q.bits_6 > q.bits_12,
            q.bits_12 > q.bits_24,
            q.bits_24 > q.bits_48,
            (q.bits_6 - q.bits_12).mean() > (q.bits_12 - q.bits_24).mean(),
            (q.bits_12 - q.bits_24).mean() > (q.bits_24 - q.bits_48).mean(),
            q.seconds_12 < q.seconds_24,
            q.seconds_24 < q.seconds_48,
        ),
    ),
    "images_beyond_digits": Sentence(
        "With one scale for all values a VAE rebuilds {shape_one} of the images with the right shape, "
        "with a scale for each value {shape_own}, although its bits are worse; new images of both, and "
        "of the GAN, stay far from real ones.",
        lambda q: (
            q.shape_one > q.shape_own,
            q.bits_one > q.bits_own,
            *(
                found > 20 * q.frechet_real
                for found in (q.frechet_prior_one, q.frechet_prior_own, q.frechet_gan)
            ),
        ),
    ),
    "levels_quick": Sentence(
        "Three levels of latent variables save {saved} nats against an ordinary VAE, and "
        "{saved_by_levels} of them come from there being levels.",
        lambda q: (q.saved_by_levels > 0, q.saved > q.saved_by_levels),
    ),
    "more_draws": Sentence(
        "Training on twenty draws saves {saved_20} nats in as many steps and takes {times} times the "
        "computing; five times as many steps with one draw do far better, {bound_1_longer} nats.",
        lambda q: (q.saved_20 > 0, q.times > 5, q.bound_1_longer < q.bound_20, q.saved_longer > q.saved_20),
    ),
    "music_models": Sentence(
        "A model that draws the keys of a chord one after the other needs {autoregressive} nats per "
        "time step, one that draws them independently {independent}; but the first makes no use of its "
        "code.",
        lambda q: (q.autoregressive < q.independent, q.autoregressive_kl < 0.01, q.independent_kl > 1),
    ),
    "prose_models": Sentence(
        "A recurrent network beats counting by Witten and Bell's rule by {ahead} nats per character; the "
        "VAE around it leaves its code unused, {plain_kl} nats per name, and when made to use it, "
        "{helped_kl} nats, is a worse model of names.",
        lambda q: (q.ahead > 0, q.plain_kl < 0.5, q.helped_kl > 6, q.helped_bound > q.plain_bound),
    ),
    "published_hierarchy": Sentence(
        "Three levels of latent variables come to {bound_500:.2f} nats, below the 82.90 that were "
        "published for two.",
        lambda q: (q.bound_500 < 82.90,),
    ),
    "published_iwae_5": Sentence(
        "The published 85.54 nats are reached, with {bound_5000:.2f} after 200 epochs.",
        lambda q: (q.bound_5000 <= 85.54, abs(q.epochs - 200) < 1),
    ),
    "published_vae": Sentence(
        "The published 86.76 nats are reached, with {bound_5000:.2f} after 300 epochs in place of 3,280.",
        lambda q: (q.bound_5000 <= 86.76, abs(q.epochs - 300) < 1),
    ),
    "remedies_grid": Sentence(
        "Of single remedies averaged weights give the most good samples, {good_averaged}; with falling "
        "step sizes, no memory of gradients and more time {good_best} are good, and all 25 modes are "
        "there in nine of ten runs.",
        lambda q: (
            (q.modes_best == 25).sum() == 9,
            q.modes_best.size == 10,
            q.good_best.mean() > q.good_averaged.mean(),
            *(q.good_averaged.mean() > getattr(q, f"good_{name}").mean() for name in REMEDIES),
        ),
    ),
    "remedies_stacked": Sentence(
        "In the same short time no remedy does better than the plain game: it covers {modes_plain} of 1,000 "
        "modes with a KL of {kl_plain}, and {good_plain} of its samples are good; with the relativistic "
        "loss, R1 and R2, without batch norm and in fewer steps, it is {modes_best} modes and {kl_best}.",
        lambda q: (
            *(q.kl_plain.mean() <= getattr(q, f"kl_{name}").mean() for name in STACKED),
            *(q.good_plain.mean() > getattr(q, f"good_{name}").mean() for name in STACKED),
            q.modes_best.mean() < q.modes_plain.mean(),
        ),
    ),
    "small_data": Sentence(
        "On 500 digits the discriminator learns them by heart, {above_few_2000} of pairs against "
        "{above_all_2000} with all digits, and after 2,000 steps the samples are hardly worse, at a "
        "Fréchet distance of {frechet_few_2000} against {frechet_all_2000}. Augmentation takes the knowledge "
        "away, {above_augmented_2000}, and makes the samples worse in these steps, at "
        "{frechet_augmented_2000}.",
        lambda q: (
            (q.above_few_2000 > 0.8).all(),
            (abs(q.above_all_2000 - 0.5) < 0.05).all(),
            (q.above_augmented_2000 < 0.6).all(),
            abs(q.frechet_few_2000.mean() - q.frechet_all_2000.mean()) < 0.7,
            q.frechet_augmented_2000.min() > q.frechet_few_2000.max(),
            q.frechet_augmented_2000.min() > q.frechet_all_2000.max(),
        ),
    ),
    "stacked_best": Sentence(
        "After an hour both games cover all 1,000 modes. The relativistic loss with R1 and R2 has the "
        "smaller KL, {kl_best} against {kl_dcgan}, and the plain DCGAN more good samples, {good_dcgan} "
        "against {good_best}; real stacks have {kl_real} and {good_real}.",
        lambda q: (
            (q.modes_best == 1_000).all(),
            (q.modes_dcgan == 1_000).all(),
            q.kl_best < q.kl_dcgan,
            q.good_best < q.good_dcgan,
            q.kl_real < q.kl_best,
            max(q.hours_best.max(), q.hours_dcgan.max()) < 1.5,
        ),
    ),
    "speech_classifier": Sentence(
        "The recognizer understands {real} of the test recordings; of a speaker whom it never heard it "
        "understands fewer, {new_jackson} of Jackson's and {new_theo} of Theo's.",
        lambda q: (q.new_jackson < q.real, q.new_theo < q.real),
    ),
    "speech_models": Sentence(
        "Of five models a VAE with a wide σ is understood best, in {vae_read} of its sounds; with a "
        "learned σ its pictures are nearer to real ones, and {tight_read} of its sounds are understood.",
        lambda q: (
            *(q.vae_read > found for found in (q.tight_read, q.narrow_read, q.gan_read, q.wave_read)),
            q.tight_frechet < q.vae_frechet,
        ),
    ),
    "stacks_quick": Sentence(
        "The top of a chain of latent variables stays nearly unused unless the decoder sees it and it "
        "is inferred from the top down; the two changes together save {both_over_neither} nats.",
        lambda q: (
            *(q.all_down_top > top for top in (q.all_up_top, q.chain_up_top, q.chain_down_top)),
            *(top < 1 for top in (q.all_up_top, q.chain_up_top, q.chain_down_top)),
            q.both_over_neither > 0,
        ),
    ),
    "table_filling": Sentence(
        "On a table made so that straight lines fail, the VAE fills best, with an error of "
        "{rmse_crossed_vae} against {rmse_crossed_linear} by linear regressions; on four real tables it"
        " is clearly ahead of them on none.",
        lambda q: (
            q.rmse_crossed_vae < q.rmse_crossed_linear,
            *(
                _clearly_below_zero(getattr(q, f"rmse_less_{name}_linear")) is False
                for name in ("iris", "wine", "breast_cancer", "diabetes")
            ),
        ),
    ),
    "vae_and_gan": Sentence(
        "For the same computing the GAN's samples are sharper and nearer to real digits, at a Fréchet "
        "distance of {frechet_gan} against the VAE's {frechet_vae}; a classifier still tells both from "
        "real ones, in {told_gan} and {told_vae} of cases.",
        lambda q: (
            q.frechet_gan < q.frechet_vae,
            abs(q.energy_gan - 1) < abs(q.energy_vae - 1),
            q.told_gan > 0.75,
            q.told_vae > 0.75,
        ),
    ),
    "vae_bfloat16": Sentence(
        "Half the precision in matrix products costs a VAE {difference} nats, which could be chance.",
        lambda q: (abs(q.difference.mean()) < 2 * _standard_error(q.difference),),
    ),
    "vae_quick": Sentence(
        "A VAE comes to {negative_elbo} nats per test image by its ELBO and to {bound_300} by a tighter"
        " bound; {coin_entropy} of them are the tosses that made the images black and white, which no "
        "model can save.",
        lambda q: (q.bound_300 < q.negative_elbo_1000, q.coin_entropy < q.bound_300),
    ),
}


def sentence(record: Record) -> str:
    """Return what came out, and what became of gates and aims. Raises ``RecordError`` if it is not so.

    A record without a sentence of its own has what became of gates and aims.
    """
    said = SENTENCES.get(record.name)
    if said is None:
        return judgement(record)
    values = {name: np.array(quantity.values) for name, quantity in record.quantities.items()}
    if not all(np.all(held) for held in said.holds(SimpleNamespace(**values))):
        raise RecordError(
            f"results/{record.name}.json: its numbers are not what its sentence says of them, {said.text!r}. "
            "Write it anew, in tools/results_sentences.py."
        )
    numbers = {name: Number(quantity) for name, quantity in record.quantities.items()}
    return f"{said.text.format(**numbers)} {judgement(record)}"


def judgement(record: Record) -> str:
    """Say what became of the gates and aims of a record."""
    gates = sum(quantity.gate is not None for quantity in record.quantities.values())
    aims = [q.aim.holds(q.mean) for q in record.quantities.values() if q.aim]
    if not gates and not aims:
        return "No gate was set."
    runs = "the one run" if len(record.seeds) == 1 else f"each of the {word(len(record.seeds))} runs"
    said = []
    if gates:
        said.append(f"{'Its gate was' if gates == 1 else f'Its {word(gates)} gates were'} kept in {runs}")
    if aims:
        reached = sum(aims)
        if len(aims) == 1:
            said.append(f"its aim was {'' if reached else 'not '}reached")
        else:
            share = "all" if reached == len(aims) else word(reached)
            were = "was" if reached == 1 else "were"
            said.append(f"of its {word(len(aims))} aims {share} {were} reached")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


class Number:
    """A mean as one says it: three digits, a whole percentage; or as a format asks for it."""

    def __init__(self, quantity: Quantity) -> None:
        self._mean = quantity.mean
        self._is_share = quantity.unit == SHARE

    def __format__(self, asked: str) -> str:
        mean = self._mean
        if self._is_share:
            percent = 100 * mean
            decimals = 0 if 2 <= percent <= 98 or percent.is_integer() else 1
            return f"{percent:.{decimals}f}{KEPT}%"
        if asked:
            return f"{mean:{asked}}"
        if mean.is_integer() or abs(mean) >= 100:
            return f"{mean:,.0f}"
        if abs(mean) < 0.1:
            return f"{mean:.2g}"
        return f"{mean:.{2 if abs(mean) < 10 else 1}f}"


def word(count: int) -> str:
    return WORDS[count] if count < len(WORDS) else str(count)


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5)


def _clearly_below_zero(values: np.ndarray) -> bool:
    return bool(values.mean() < -2 * _standard_error(values))
