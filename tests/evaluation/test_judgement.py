"""The table of all measures: each number is that of the measure's own function, each gap has its reason."""

import json
import math
import time

import pytest
import torch
from torch import nn

from gm_lib import pretrained
from gm_lib.classifier import SpeechClassifier
from gm_lib.data import Split, binarize, images, spoken_digits, stacked
from gm_lib.evaluation import (
    NoisyDecoder,
    annealed_log_likelihood,
    copy_test,
    density_coverage,
    dequantized_bits_per_dim,
    exact_log_likelihood,
    frechet_distance_at_infinity,
    gradient_energy,
    judge,
    judge_digits,
    judgement,
    log_likelihood,
    negative_elbo,
    stacked_mode_coverage,
    train_on_samples,
    two_sample_test,
)
from gm_lib.evaluation.digits import look_at_digits
from gm_lib.gan import digit_gan
from gm_lib.runtime import forked_rng
from gm_lib.vae import digit_hierarchical_vae, digit_vae, digit_vqvae

NO_DENSITY = "not for this model: a generator has no density"


@pytest.fixture(scope="module")
def data():
    return images("digits")


@pytest.fixture(autouse=True)
def _quick_annealing(monkeypatch):
    monkeypatch.setattr(judgement, "TEMPERATURES", 3)


def missing(found):
    return {name for name, numbers in found.measures.items() if "missing" in numbers}


def line(found, title):
    (result,) = (text for text in str(found).splitlines() if text.startswith(f"{title}  "))
    return result


def draws(model, n, y=None):
    return model.sample(n, y, generator=torch.Generator().manual_seed(3)).clamp(0, 1)


def test_a_vae_is_measured_by_the_functions_of_this_package(data):
    model, valid = digit_vae(hidden=8, latent_dim=3, num_classes=10), data.valid
    settings = {"samples": 1_000, "k": 3, "limit": 20, "ais": 4, "learn": True, "seed": 3}
    found = judge(model, valid, training=data.train, against="a split", **settings)
    x, y = binarize(valid.x[:20], torch.Generator().manual_seed(3)), valid.y[:20]
    made, numbers = draws(model, 1_000, torch.arange(1_000) % 10), found.measures
    upper, lower = negative_elbo(model, x, y, seed=3), log_likelihood(model, x, y, k=3, seed=3)
    annealed = annealed_log_likelihood(model, x[:4], y[:4], temperatures=3, chains=8, seed=3)
    for name, mean, bound in (
        ("negative_elbo", upper.mean, upper),
        ("negative_log_likelihood_bound", -lower.mean, lower),
        ("annealed", -annealed.mean, annealed),
    ):
        assert numbers[name]["mean"] == pytest.approx(mean, rel=1e-6)
        assert numbers[name]["standard_error"] == pytest.approx(bound.standard_error, rel=1e-5)
        assert numbers[name]["images"] == len(bound.bound)
        assert numbers[name]["kind"] == "dynamically binarized, given their labels"
    assert numbers["digits"] == judge_digits(made, valid.x, seed=3, against="a split").as_dict()
    assert numbers["gradient_energy"]["mean"] == pytest.approx(gradient_energy(made).mean().item())
    assert numbers["gradient_energy"]["real_mean"] == pytest.approx(gradient_energy(valid.x).mean().item())
    looks = look_at_digits(made, valid.x, seed=3)
    density = density_coverage(looks.reference, looks.samples)  # as many of both
    assert numbers["density_coverage"] == density.as_dict()
    test = two_sample_test(looks.reference, looks.samples, seed=3)
    assert numbers["two_sample_test"] == test.as_dict()
    mixed = valid.x[torch.randperm(300, generator=torch.Generator().manual_seed(3))]
    copies = copy_test(made[:500], data.train.x, mixed[150:], mixed[:150], seed=3)
    assert numbers["copies"] == copies.as_dict()
    labels = torch.arange(1_000) % 10
    pairs = (valid.x, valid.y), (data.train.x, data.train.y)
    assert numbers["train_on_samples"] == train_on_samples(made, labels, *pairs, seed=3).as_dict()
    lacks = {"frechet_at_infinity", "negative_log_likelihood", "bits_per_dim"}  # 300 real images; hidden z
    assert missing(found) == lacks
    assert "of its log p(x) there are only bounds" in line(found, "-log p(x), exact")
    assert "of its log p(x) there are only bounds" in line(found, "bits per dimension, dequantized")
    assert "not computed: to extrapolate the Fréchet distance of 64 features takes at least 1280" in str(
        found
    )
    assert f"{upper}" in line(found, "-ELBO")
    assert str(found).splitlines()[0].split() == ["means", "of", "p(x", "|", "z)", "real", "images"]
    json.dumps(found.as_dict())


def test_of_a_gan_the_table_says_why_it_has_no_likelihood_and_annealing_gives_it_one(data):
    model = digit_gan(width=4, latent_dim=3)
    found = judge(model, data.valid, samples=70, ais=2, sigma=0.3, seed=3)
    for title in ("-log p(x), exact", "bits per dimension, dequantized", "-ELBO"):
        assert NO_DENSITY in line(found, title)
    assert NO_DENSITY in line(found, "-log p(x), bound from k = 100 draws")
    assert str(found).splitlines()[0].split() == ["samples", "real", "images"]
    noisy = NoisyDecoder(model, sigma=0.3)
    bound = annealed_log_likelihood(noisy, data.valid.x[:2], temperatures=3, chains=8, seed=3)
    assert found.measures["annealed"]["mean"] == pytest.approx(-bound.mean, rel=1e-6)
    assert "Gaussian noise of sd 0.3" in line(found, "-log p(x), annealed bound")
    assert "it takes no labels" in line(found, "accuracy if trained on samples")
    assert "what the model learned from is not given" in line(found, "nearness to training images")
    without = judge(model, data.valid, samples=70, seed=3)
    assert "not asked for (ais); annealing gives one under Gaussian noise" in line(
        without, "-log p(x), annealed bound"
    )
    names = found.measures.keys() - {"annealed", "seconds_per_1000_samples"}
    assert all(found.measures[name] == without.measures[name] for name in names)


def test_of_stacks_the_modes_are_counted_and_what_reads_single_digits_is_not_for_them(data):
    model = digit_gan(shape=(3, 28, 28), width=4, latent_dim=3)
    found = judge(model, data.valid, training=data.train, samples=80, seed=3)
    theirs = stacked_mode_coverage(stacked(data.valid.x, 80, seed=3)).as_dict()
    assert found.measures["stacks"] == {
        "generated": stacked_mode_coverage(draws(model, 80)).as_dict(),
        "real": theirs,
    }
    assert f"{theirs['covered']}" in line(found, "modes covered, of 1,000")
    for title in ("Fréchet distance", "coverage", "nearness to training images"):
        assert "not for stacks: the judge reads single digits" in line(found, title)


@pytest.mark.parametrize("kind", ["hierarchical", "convolutional", "grey", "codes"])
def test_every_kind_of_vae_is_measured_on_its_kind_of_data(kind, data):
    model = {
        "hierarchical": lambda: digit_hierarchical_vae(hidden=8, levels=2, latent_dim=2),
        "convolutional": lambda: digit_vae(architecture="conv", hidden=4, latent_dim=2),
        "grey": lambda: digit_vae(hidden=8, latent_dim=2, likelihood="gaussian", sigma=0.3),
        "codes": lambda: digit_vqvae(num_codes=4, dim=2, width=4),
    }[kind]()
    found = judge(model, data.valid, samples=66, k=2, limit=6, ais=2)
    wanted = "grey values" if kind == "grey" else "dynamically binarized"
    assert wanted in found.measures["negative_elbo"]["kind"]
    assert ("missing" in found.measures["annealed"]) == (kind == "codes")
    if kind == "codes":
        assert "not computed: annealing follows gradients in z" in line(found, "-log p(x), annealed bound")


class ColourReader(nn.Module):
    """Reads images of three channels, as many classes as are asked for, by a layer that was drawn."""

    def __init__(self, shape, classes=4):
        super().__init__()
        self.shape = shape
        with forked_rng(0):
            self.body = nn.Sequential(nn.AvgPool2d(7), nn.Flatten(), nn.LazyLinear(5))
            self.head = nn.Linear(5, classes)
            self.body(torch.zeros(1, *shape))

    def features(self, x):
        return self.body(x)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize("sides", [(28, 28), (14, 21)])
def test_what_the_classifier_reads_decides_whether_three_channels_are_a_colour_image(sides):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(400, 3, *sides, generator=generator)
    real = Split(x[:200], torch.arange(200) % 4)
    reader = ColourReader((3, *sides))
    found = judge(Fixed(x[200:]), real, classifier=reader, samples=100, seed=3)
    assert found.measures["digits"] == judge_digits(x[200:300], real.x, classifier=reader, seed=3).as_dict()
    assert "stacks" not in found.measures
    assert "of 4, each in at least 1%" in line(found, "classes covered")
    assert "classes covered, of 4  " in str(judge_digits(x[200:], real.x, classifier=reader))


def test_a_model_of_what_the_classifier_does_not_read_is_told_which_shape_it_reads(data):
    colour = Split(torch.rand(80, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(80))
    found = judge(Fixed(colour.x.flip(1)), colour, samples=70)
    assert "must have the shape (n, 1, 28, 28), got (70, 3, 32, 32)" in found.measures["digits"]["missing"]
    assert "missing" not in found.measures["gradient_energy"]


def test_spoken_digits_are_judged_by_who_reads_their_pictures():
    speech = spoken_digits()  # synthesized
    found = judge(Fixed(speech.test.x), speech.valid, classifier=SpeechClassifier(), samples=100, seed=3)
    assert found.measures["digits"]["n_samples"] == 100
    assert "stacks" not in found.measures


class Pixels(nn.Module):
    """Independent pixels with an exact likelihood: ``log_prob``; or with ``elbo`` that has no draws to weigh.

    Of binarized pixels tosses, of grey values a density on [0, 1).
    """

    num_classes = 0

    def __init__(self, binary):
        super().__init__()
        self.binary = binary
        tossed, grey = torch.distributions.Bernoulli(0.2), torch.distributions.Beta(0.5, 2.0)
        self.of_pixel = tossed if binary else grey

    def log_prob(self, x, y=None):
        return self.of_pixel.log_prob(x if self.binary else x.clamp(1e-3, 1 - 1e-3)).flatten(1).sum(1)

    def check(self, batch):
        if self.binary and not bool(((batch[0] == 0) | (batch[0] == 1)).all()):
            raise ValueError("pixels are 0 or 1.")

    def sample(self, n, y=None, *, generator=None):
        return torch.rand(n, 1, 28, 28, generator=generator)


class Bounded(Pixels):
    """The same with a bound that no draws make tighter, as a diffusion model has."""

    def elbo(self, x, y=None):
        return self.log_prob(x) - 3


def test_a_model_with_log_prob_gets_its_exact_nats_of_binarized_pixels_and_no_bits(data):
    model = Pixels(binary=True)
    found = judge(model, data.valid, samples=70, limit=30, ais=2, seed=3)
    x = binarize(data.valid.x[:30], torch.Generator().manual_seed(3))
    expected = exact_log_likelihood(model, x)
    numbers = found.measures["negative_log_likelihood"]
    assert numbers["mean"] == pytest.approx(-expected.mean)
    assert numbers["standard_error"] == pytest.approx(expected.standard_error)
    assert (numbers["unit"], numbers["kind"]) == ("nats per image", "dynamically binarized")
    assert f"{-expected.mean:.0f} ± " in line(found, "-log p(x), exact")
    assert "it is of binarized pixels" in line(found, "bits per dimension, dequantized")
    for title in ("-ELBO", "-log p(x), bound from k = 100 draws", "-log p(x), annealed bound"):
        assert "not for this model: it has no hidden variables" in line(found, title)


def test_a_density_of_grey_values_gets_bits_of_dequantized_levels_and_no_nats(data):
    model, levels = Pixels(binary=False), (data.valid.x * 255).round() / 255
    split = Split(levels, data.valid.y)
    found = judge(model, split, samples=70, limit=30, seed=3)
    expected = dequantized_bits_per_dim(model, levels[:30], seed=3)
    numbers = found.measures["bits_per_dim"]
    assert numbers["mean"] == pytest.approx(expected.mean)
    assert (numbers["unit"], numbers["images"]) == ("bits per dimension", 30)
    assert numbers["kind"] == "256 grey levels, dequantized with seed 3"
    assert "it has a density, of grey values" in line(found, "-log p(x), exact")
    assert "negative_log_likelihood" in missing(found)


def test_a_model_whose_elbo_has_no_draws_to_weigh_gets_the_bound_alone(data):
    model = Bounded(binary=True)
    found = judge(model, data.valid, samples=70, limit=30, ais=2, seed=3)
    x = binarize(data.valid.x[:30], torch.Generator().manual_seed(3))
    assert found.measures["negative_elbo"]["mean"] == pytest.approx(negative_elbo(model, x).mean)
    assert "it weighs no draws of z" in line(found, "-log p(x), bound from k = 100 draws")
    assert "this model has no log_joint to follow" in line(found, "-log p(x), annealed bound")
    assert "there are only bounds" in line(found, "-log p(x), exact")
    anneal = judge(Fixed(data.test.x), data.valid, samples=70, ais=2, seed=3)
    assert "this model has no such z" in line(anneal, "-log p(x), annealed bound")


class Fixed(nn.Module):
    """A sampler of the images that it is given, and nothing else."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def sample(self, n, y=None, *, generator=None):
        return self.x[torch.arange(n) % len(self.x)]


def test_a_sampler_that_hands_out_its_training_images_is_found_out(data):
    found = judge(Fixed(data.train.x), data.valid, training=data.train, samples=150)
    copies = found.measures["copies"]
    assert copies["ratio"] < 0.3
    assert copies["p_value"] < 0.01
    assert found.measures["digits"]["frechet"] < 3 * found.measures["digits"]["frechet_floor"]
    fresh = judge(Fixed(data.test.x), data.valid, training=data.train, samples=150)
    assert fresh.measures["copies"]["p_value"] > 0.01


def test_with_enough_images_the_frechet_distance_is_extrapolated(data):
    x = torch.cat([data.train.x, data.valid.x]).repeat(3, 1, 1, 1)
    x = (x + 0.1 * torch.rand(x.shape)).clamp(0, 1)
    found = judge(Fixed(x[3_000:]), Split(x[:3_000], torch.zeros(3_000)), samples=1_400, seed=3)
    looks = look_at_digits(x[3_000:4_400], x[:3_000], seed=3)
    expected = frechet_distance_at_infinity(looks.reference, looks.samples, seed=3)
    assert found.measures["frechet_at_infinity"] == expected.as_dict()
    ours = density_coverage(looks.reference[:1_400], looks.samples)  # of 1,600
    assert found.measures["density_coverage"] == ours.as_dict()


def test_too_few_samples_leave_gaps_with_reasons_and_no_sample_is_an_error(data):
    found = judge(Fixed(data.test.x), data.valid, training=data.train, samples=20)
    assert "at least 65 samples" in found.measures["digits"]["missing"]
    assert "at least 65 samples" in line(found, "recall")
    assert "missing" not in found.measures["copies"]
    with pytest.raises(ValueError, match=r"nothing could be measured:\n(.|\n)*NaN"):
        judge(Fixed(torch.full((9, 1, 28, 28), math.nan)), data.valid, training=data.train, samples=9)
    with pytest.raises(TypeError, match="has no attribute 'sample'"):
        judge(nn.Identity(), data.valid)


def test_images_that_it_learned_from_are_no_measure_of_copies(data):
    both = Split(torch.cat([data.train.x, data.valid.x]), torch.cat([data.train.y, data.valid.y]))
    found = judge(Fixed(data.test.x), data.valid, training=both, samples=20)
    assert "fresh examples" in found.measures["copies"]["missing"]
    assert "are training examples too" in found.measures["copies"]["missing"]


def test_the_seconds_are_those_of_a_thousand_samples(monkeypatch, data):
    ticks = iter([10.0, 10.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks, 0.0))
    found = judge(Fixed(data.test.x), data.valid, samples=20)
    assert found.measures["seconds_per_1000_samples"] == {"seconds": 25.0}
    assert line(found, "seconds for 1,000 samples").split()[-3:] == ["25", "on", "cpu"]


def test_the_callers_random_numbers_are_left_as_they_were(data):
    model, classifier = digit_gan(), pretrained.digit_classifier()
    before = torch.get_rng_state()
    judge(model, data.valid, samples=100, classifier=classifier)
    assert torch.equal(torch.get_rng_state(), before)
