import hashlib
import json
import math
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from gm_lib import pretrained
from gm_lib.classifier import DigitClassifier, read_digits
from gm_lib.data import Split, binarize, dequantize, images
from gm_lib.data.shapes import SHAPE, draw_shapes, entropy, read_factors
from gm_lib.distributions.estimates import estimate
from gm_lib.evaluation import (
    WittenBell,
    bits_per_dim,
    factor_report,
    gradient_energy,
    judge_digits,
    log_likelihood,
    nats_per_character,
    negative_elbo,
    ratio,
)
from gm_lib.runtime import forked_rng
from gm_lib.sound import log_mel, to_sound

NAMES = sorted(path.stem for path in pretrained.WEIGHTS.glob("*.json"))


def share_read(split: Split) -> float:
    """Return the share of a split that the shipped classifier reads correctly."""
    logits = read_digits(pretrained.digit_classifier(), split.x)
    return (logits.argmax(-1) == split.y).double().mean().item()


def test_the_classifier_reads_at_least_99_2_percent_of_the_test_images_of_mnist(mnist):
    share = share_read(mnist.test)
    assert share >= 0.992
    assert share == pytest.approx(pretrained.card("digit_classifier")["accuracy"]["mnist"]["test"]["share"])


def test_the_classifier_reads_the_small_digits_as_well_as_its_card_says():
    said = pretrained.card("digit_classifier")["accuracy"]["digits"]["test"]
    assert share_read(images("digits").test) == pytest.approx(said["share"])
    assert said["share"] >= 0.97
    assert said["n"] == 300


def test_every_feature_of_the_classifier_tells_images_apart():
    with torch.no_grad():
        features = pretrained.digit_classifier().features(images("digits").train.x)
    assert torch.linalg.matrix_rank(features - features.mean(0)) == 64


def test_the_classifier_comes_ready_to_judge():
    classifier = pretrained.digit_classifier()
    assert not any(module.training for module in classifier.modules())
    assert not any(p.requires_grad for p in classifier.parameters())
    assert {(p.dtype, p.device.type) for p in classifier.parameters()} == {(torch.float32, "cpu")}


def test_the_generator_comes_ready_to_write():
    generator = pretrained.digit_gan()
    assert not any(module.training for module in generator.modules())
    assert not any(p.requires_grad for p in generator.parameters())
    assert {(p.dtype, p.device.type) for p in generator.parameters()} == {(torch.float32, "cpu")}
    z = torch.randn(20, generator.latent_dim, generator=torch.Generator().manual_seed(0))
    y = torch.arange(20) % 10
    x = generator(z, y)
    assert x.shape == (20, 1, 28, 28)
    assert 0 <= x.min() <= x.max() <= 1
    torch.testing.assert_close(generator(z[7:8], y[7:8]), x[7:8])


def test_the_discriminator_of_the_generator_tells_real_digits_from_its_samples_and_from_noise(mnist):
    discriminator = pretrained.digit_gan_discriminator()
    assert not any(module.training for module in discriminator.modules())
    assert not any(p.requires_grad for p in discriminator.parameters())
    x, y = mnist.test.x[:1000], mnist.test.y[:1000]
    generator = torch.Generator().manual_seed(1)
    made = pretrained.digit_gan()(torch.randn(1000, 32, generator=generator), y)
    real, fake, noise = (discriminator(each, y) for each in (x, made, torch.rand_like(x)))
    assert real.shape == (1000,)
    for others, least in ((fake, 0.6), (noise, 0.9)):
        above = (real > others).double()  # by chance in half of the pairs
        assert above.mean() - 4 * above.std() / 1000**0.5 > least
    assert (fake > noise).double().mean() > 0.9, "to it a sample is more like a digit than noise is"


def test_samples_of_the_generator_are_as_good_as_its_card_says(mnist):
    generator, card = pretrained.digit_gan(), pretrained.card("digit_gan")
    n = 2000
    z = torch.randn(n, generator.latent_dim, generator=torch.Generator().manual_seed(1))
    y = torch.arange(n) % 10
    x = generator(z, y)
    report = judge_digits(x, mnist.test.x)
    as_asked = (read_digits(pretrained.digit_classifier(), x).argmax(-1) == y).double().mean().item()
    assert report.digits == card["samples"]["digits"] == 10
    for found, said in (
        (report.confident, card["samples"]["confident"]),
        (as_asked, card["samples"]["as_asked"]),
    ):
        # Both shares are of draws, 2,000 here and 5,000 on the card.
        assert found == pytest.approx(said, abs=4 * (said * (1 - said) * (1 / n + 1 / 5000)) ** 0.5)


def test_the_generator_is_read_with_confidence_nine_tenths_as_often_as_real_digits():
    samples = pretrained.card("digit_gan")["samples"]
    assert samples["relative"] == pytest.approx(samples["confident"] / samples["confident_real"])
    assert samples["relative"] >= 0.9


def test_flow_matching_writes_the_digits_it_is_asked_for_as_often_as_its_card_says():
    model, said = pretrained.digit_flow_matching(), pretrained.card("digit_flow_matching")["samples"]
    assert not any(module.training for module in model.modules())
    assert not any(p.requires_grad for p in model.parameters())
    (at,) = (look["as_asked"] for look in said if look["euler_steps"] == 8)
    y = torch.arange(200) % 10
    x = model.sample(200, y, steps=8, generator=torch.Generator().manual_seed(1))
    found = (read_digits(pretrained.digit_classifier(), x).argmax(-1) == y).double().mean().item()
    assert found == pytest.approx(at, abs=4 * (at * (1 - at) * (1 / 200 + 1 / 2000)) ** 0.5)
    assert (pretrained.WEIGHTS / "digit_flow_matching.safetensors").stat().st_size <= 700_000


def test_a_few_steps_of_flow_matching_write_digits_and_one_writes_their_mean():
    by_steps = {
        look["euler_steps"]: look["frechet"] for look in pretrained.card("digit_flow_matching")["samples"]
    }
    assert by_steps[1] > 2 * by_steps[4]


@pytest.mark.parametrize("labels", [False, True])
def test_a_game_from_the_middle_of_its_training_goes_on(labels, mnist):
    model = pretrained.digit_gan_midway(labels=labels)
    assert model.num_classes == (10 if labels else 0)
    assert all(
        part.training for player in (model.generator, model.discriminator) for part in player.modules()
    )
    assert all(p.requires_grad for p in (*model.generator.parameters(), *model.discriminator.parameters()))
    assert not any(p.requires_grad for p in model.averaged.parameters())
    for name, value in model.averaged.state_dict().items():
        assert torch.equal(value, model.generator.state_dict()[name])
    before = torch.cat([p.detach().flatten().clone() for p in model.generator.parameters()])
    model.update((mnist.train.x[:64], mnist.train.y[:64]), model.optimizers(), 1)
    after = torch.cat([p.detach().flatten() for p in model.generator.parameters()])
    assert not torch.equal(before, after)


@pytest.mark.parametrize("labels", [False, True])
def test_the_discriminator_of_a_game_from_the_middle_tells_real_from_generated(labels, mnist):
    model, n = pretrained.digit_gan_midway(labels=labels), 1000
    x, y = mnist.valid.x[:n], mnist.valid.y[:n] if labels else None
    z = torch.randn(n, model.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.discriminator(x, y), model.discriminator(model.generator(z, y), y)
    # Who cannot tell has a loss of log 4 for each pair.
    gain = math.log(4) - model.loss.discriminator(*logits)
    assert gain.mean() > 4 * gain.std() / n**0.5


@pytest.mark.parametrize("labels", [False, True])
def test_a_game_from_the_middle_of_its_training_is_as_good_as_its_card_says(labels, mnist):
    model = pretrained.digit_gan_midway(labels=labels)
    history = pretrained.card("digit_gan_labels_midway" if labels else "digit_gan_midway")["history"]
    said = [row["frechet"] for row in history if "frechet" in row]
    y = torch.arange(1000) % 10 if labels else None
    samples = model.sample(1000, y, generator=torch.Generator().manual_seed(0))
    found = judge_digits(samples, mnist.valid.x[:2000])
    assert found.digits == 10
    # The card is of the averaged generator; what was kept is the latest one.
    assert found.frechet == pytest.approx(said[-1], rel=0.25)
    assert found.frechet < 0.7 * said[0]


@pytest.mark.parametrize("plane", [False, True])
def test_the_bound_on_a_vaes_card_is_what_it_has(mnist, plane):
    model, said = pretrained.digit_vae(plane=plane), pretrained.card("digit_vae" + "_plane" * plane)
    said = said["negative_bound"]
    x = binarize(mnist.test.x[:500], torch.Generator().manual_seed(1))
    found = log_likelihood(model, x, k=said["importance_weights"])
    spread = math.hypot(found.standard_error, said["standard_error"])
    assert abs(-found.mean - said["nats"]) < 4 * spread
    assert said["nats"] < (150 if plane else 95)


@pytest.mark.parametrize("plane", [False, True])
def test_a_pretrained_vae_draws_digits_and_learns_no_more(plane):
    model = pretrained.digit_vae(plane=plane)
    assert model.latent_dim == (2 if plane else 50)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    samples = model.sample(500, generator=torch.Generator().manual_seed(0))
    report = judge_digits(samples, images("digits").train.x)
    assert report.digits == 10
    assert report.confident > 0.4


def test_the_autoregressive_model_is_as_good_as_its_card_says_and_draws_digits(mnist):
    model, said = pretrained.digit_autoregressive(), pretrained.card("digit_autoregressive")
    said = said["negative_log_likelihood"]
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    with forked_rng(0):  # the images and tosses of the card
        x = binarize(mnist.test.x[: said["test_images"]])[:500]
    nats = estimate(-model.log_prob(x))
    assert abs(nats.mean - said["nats"]) < 4 * math.hypot(nats.standard_error, said["standard_error"])
    assert said["nats"] < 90
    samples = model.sample(300, generator=torch.Generator().manual_seed(0))
    report = judge_digits(samples, images("digits").train.x)
    assert report.digits == 10
    assert report.confident > 0.25


def test_all_weights_together_are_smaller_than_ten_megabytes_and_those_of_chapter_17_than_three():
    size = {path.name: path.stat().st_size for path in pretrained.WEIGHTS.iterdir()}
    assert sum(size.values()) < 10_000_000
    families = ("vae_gan", "autoregressive", "flow", "diffusion", "flow_matching")
    assert sum(size[f"digit_{family}.safetensors"] for family in families) < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_how_the_model_was_made_and_how_good_it_is(name):
    card = pretrained.card(name)
    said = {"name", "command", "seed", "data", "stages", "cpu_seconds", "hardware", "versions", "sha256"}
    assert said <= card.keys()
    assert card["command"].startswith(f"python tools/make_pretrained.py {name}")


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_and_as_their_card_says(name):
    content = (pretrained.WEIGHTS / f"{name}.safetensors").read_bytes()
    assert len(content) <= 1_000_000
    assert hashlib.sha256(content).hexdigest() == pretrained.card(name)["sha256"]


def test_shares_on_the_classifiers_card_have_their_standard_errors():
    for of_set in pretrained.card("digit_classifier")["accuracy"].values():
        for score in of_set.values():
            p, n = score["share"], score["n"]
            assert score["standard_error"] == pytest.approx((p * (1 - p) / (n - 1)) ** 0.5)


def test_spoken_digits_are_read_as_well_as_the_card_says(speech):
    model, said = pretrained.speech_classifier(), pretrained.card("speech_classifier")["accuracy"]
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    for name in ("valid", "test"):
        part = getattr(speech, name)
        right = (read_digits(model, part.x).argmax(-1) == part.y).double()
        assert right.mean().item() == pytest.approx(said[name]["share"], abs=1 / 300 + 1e-9)
    assert said["test"]["share"] >= 0.96


def test_the_listeners_weights_are_small_and_most_features_are_alive(speech):
    assert (pretrained.WEIGHTS / "speech_classifier.safetensors").stat().st_size <= 150_000
    features = pretrained.speech_classifier().features(speech.test.x)
    assert (features.amax(0) > 0).all()


def test_shapes_are_read_and_given_bits_as_their_cards_say():
    test = images("shapes").test
    reader, vae = pretrained.shapes_classifier(), pretrained.shapes_vae()
    right = (read_digits(reader, test.x[:300]).argmax(-1) == test.y[:300]).double().mean()
    assert right >= 0.99
    said = pretrained.card("shapes_vae")["bits_per_dim"]
    bits = bits_per_dim(-negative_elbo(vae, test.x[:300], seed=1).bound, 3072)
    assert abs(bits.mean() - said["elbo"]) < 4 * bits.std() / 300**0.5
    assert said["floor"] == pytest.approx(entropy() / 3072)
    assert bits.min() > said["floor"]
    weights = pretrained.WEIGHTS.glob("shapes_*.safetensors")
    assert sum(path.stat().st_size for path in weights) <= 1_300_000


def test_the_judged_vae_and_its_pair_are_as_sharp_and_as_likely_as_their_card_says(mnist):
    said, test = pretrained.card("digit_vae_gan"), mnist.test.x[1000:1500]
    models = {"vae_gan": pretrained.digit_vae_gan(), "vae": pretrained.digit_vae_gan(judged=False)}
    for name, model in models.items():
        bound = negative_elbo(model, test, seed=1)
        expected = said[name]["negative_elbo"]
        error = math.hypot(bound.standard_error, expected["standard_error"])
        assert abs(bound.mean - expected["nats"]) < 4 * error
        energy = estimate(gradient_energy(model.sample(500, generator=torch.Generator().manual_seed(1))))
        expected = said[name]["gradient_energy"]
        error = math.hypot(energy.standard_error, expected["standard_error"])
        assert abs(energy.mean - expected["mean"]) < 4 * error
    assert models["vae"].judge == 0 < models["vae_gan"].judge
    assert said["vae_gan"]["gradient_energy"]["mean"] > said["vae"]["gradient_energy"]["mean"]
    assert said["vae_gan"]["samples"]["frechet"] < said["vae"]["samples"]["frechet"]
    assert said["vae_gan"]["negative_elbo"]["nats"] > said["vae"]["negative_elbo"]["nats"]
    assert (pretrained.WEIGHTS / "digit_vae_gan.safetensors").stat().st_size <= 600_000


def test_the_flow_of_digits_has_the_bits_that_its_card_says(mnist):
    flow, said = pretrained.digit_flow(), pretrained.card("digit_flow")["bits_per_dim"]["test"]
    x = dequantize(mnist.test.x[:500], generator=torch.Generator().manual_seed(1))
    bits = bits_per_dim(flow.log_prob(x), 784, bin_width=1 / 256)
    assert abs(bits.mean() - said["mean"]) < 4 * bits.std() / 500**0.5
    assert said["mean"] < 1.69  # bits of a histogram for each pixel, which no noise was added to
    assert (pretrained.WEIGHTS / "digit_flow.safetensors").stat().st_size <= 600_000


def test_the_flow_of_digits_can_be_undone_in_single_precision(mnist):
    flow, x = pretrained.digit_flow(), dequantize(mnist.test.x[:50])
    z, _ = flow.inverse(x)
    assert (flow(z) - x).abs().max() < 1 / 512  # less than half the bin of a level


def test_shapes_keep_their_causes_when_they_are_rebuilt():
    x, causes = draw_shapes(100, seed=5)
    read = read_factors(pretrained.shapes_vae().reconstruct(x)).factors
    # By guessing a colour is right once in eight times, a shape once in ten.
    assert (read == causes).float().mean(0).min() > 0.8


def test_samples_of_shapes_are_as_good_as_their_card_says():
    generator, said = pretrained.shapes_gan(), pretrained.card("shapes_gan")["samples"]
    assert not any(module.training for module in generator.modules())
    z = torch.randn(500, generator.latent_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        x = generator(z)
    assert x.shape == (500, *SHAPE)
    found = judge_digits(x, images("shapes").test.x, classifier=pretrained.shapes_classifier())
    assert found.frechet == pytest.approx(said["frechet"], rel=0.2)
    assert said["frechet"] < 25  # empty grounds have 76
    p = said["confident"]
    assert found.confident == pytest.approx(
        p, abs=4 * (p * (1 - p) * (1 / 500 + 1 / said["n_samples"])) ** 0.5
    )
    assert factor_report(x[:200]).distance == pytest.approx(said["distance"], rel=0.1)


def test_the_diffusion_model_bounds_what_its_card_says_and_writes_the_digits_that_it_is_asked_for(mnist):
    model, said = pretrained.digit_diffusion(), pretrained.card("digit_diffusion")
    with forked_rng(0), torch.no_grad():
        x = binarize(mnist.test.x[:500])
        bound = estimate(torch.stack([-model.elbo(x) for _ in range(4)]).mean(0))
    expected = said["negative_elbo"]["without_label"]
    error = math.hypot(bound.standard_error, expected["standard_error"])
    assert abs(bound.mean - expected["nats"]) < 4 * error
    digits = torch.arange(100) % 10
    made = model.sample(100, digits, generator=torch.Generator().manual_seed(0))
    share = (read_digits(pretrained.digit_classifier(), made).argmax(-1) == digits).double().mean().item()
    p = said["samples"]["as_asked"]
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) * (1 / 100 + 1 / said["samples"]["n_samples"])) + 0.01
    assert p > 0.8
    assert (pretrained.WEIGHTS / "digit_diffusion.safetensors").stat().st_size <= 700_000


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown pretrained model 'digit_clasifier'; did you mean 'digit_c"):
        pretrained.card("digit_clasifier")


# --- files that are not as they should be


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """Return a copy of the folder of weights that a test may damage."""
    folder = Path(shutil.copytree(pretrained.WEIGHTS, tmp_path / "weights"))
    monkeypatch.setattr(pretrained, "WEIGHTS", folder)
    return folder


def test_a_file_with_one_altered_byte_is_refused_naming_it_and_both_checksums(weights):
    path = weights / "digit_classifier.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not the file that its card describes") as refused:
        pretrained.digit_classifier()
    for part in (str(path), hashlib.sha256(content).hexdigest(), "Install gm_lib again"):
        assert part in str(refused.value)
    assert pretrained.card("digit_classifier")["sha256"] in str(refused.value)


def test_a_missing_file_is_refused_with_what_to_do(weights):
    (weights / "digit_classifier.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"digit_classifier\.safetensors is missing\. Install gm_lib"):
        pretrained.digit_classifier()


def test_a_library_without_cards_is_refused_with_what_to_do(weights):
    for path in weights.glob("*.json"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no pretrained model\. Install gm_lib again"):
        pretrained.card("digit_classifier")


def store(folder: Path, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Write weights and the least of a card."""
    content = safetensors.torch.save(tensors)
    (folder / f"{name}.safetensors").write_bytes(content)
    (folder / f"{name}.json").write_text(json.dumps({"sha256": hashlib.sha256(content).hexdigest()}))


def test_weights_stored_in_half_precision_become_those_of_the_model(weights):
    small = nn.Linear(3, 2)
    store(weights, "small", {name: value.half() for name, value in small.state_dict().items()})
    loaded = pretrained._load("small", nn.Linear(3, 2))
    assert loaded.weight.dtype == torch.float32
    assert torch.equal(loaded.weight, small.weight.half().float())


def test_the_weights_of_another_model_are_refused(weights):
    store(weights, "small", nn.Linear(3, 2).state_dict())
    with pytest.raises(ValueError, match="holds the weights of another model than this DigitClassifier"):
        pretrained._load("small", DigitClassifier())


# --- models of spoken digits

SPEAKING = ("speech_vae", "speech_gan", "speech_wave_gan")


def spoken(name: str, n: int) -> torch.Tensor:
    """Return pictures of n sounds by a model, as they are heard: the digits in turn."""
    model, y = getattr(pretrained, name)(), torch.arange(n) % 10
    z = torch.randn(n, model.latent_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        x = model.likelihood.mean(model.decode(z, y)).clamp(0, 1) if name == "speech_vae" else model(z, y)
    return log_mel(x.squeeze(1) if name == "speech_wave_gan" else to_sound(x))


@pytest.mark.parametrize("name", SPEAKING)
def test_a_model_of_speech_is_read_as_often_as_its_card_says(name):
    said, n = pretrained.card(name), 100
    read = read_digits(pretrained.speech_classifier(), spoken(name, n)).argmax(-1)
    share = (read == torch.arange(n) % 10).double().mean().item()
    expected = said["samples"]["as_asked"]
    assert abs(share - expected) < 4 * math.sqrt(
        expected * (1 - expected) * (1 / n + 1 / said["samples"]["n"])
    )


@pytest.mark.parametrize("name", [*SPEAKING, "speech_classifier"])
def test_what_learned_from_the_recordings_bears_their_licence(name):
    assert pretrained.card(name)["licence"].startswith("CC BY-SA 4.0")


def test_the_models_of_speech_take_less_than_a_megabyte_together():
    sizes = [(pretrained.WEIGHTS / f"{name}.safetensors").stat().st_size for name in SPEAKING]
    assert sum(sizes) < 1_000_000


# --- music


def test_the_model_of_chorales_bounds_what_its_card_says_and_passes_the_gate(music):
    model, said = pretrained.music_vae(), pretrained.card("music_vae")["nats_per_step"]
    assert said["test"]["k=10"]["mean"] < 6.2
    x, lengths = music.valid.x, music.valid.lengths
    found = ratio(-log_likelihood(model, x, lengths, k=1).bound, lengths)
    # Another draw of the codes hardly matters: the KL says that they tell next to nothing.
    assert found.mean == pytest.approx(said["valid"]["k=1"]["mean"], abs=0.05)
    assert not any(p.requires_grad for p in model.parameters())


def test_the_model_of_chorales_sings_with_four_voices():
    x = pretrained.music_vae().sample(20, torch.full((20,), 20), generator=torch.Generator().manual_seed(0))
    assert x.shape == (20, 20, 88)
    assert (x.sum(-1) == 4).float().mean() > 0.75  # of real steps nine of ten have four notes


def test_the_weights_of_the_model_of_chorales_are_small():
    assert (pretrained.WEIGHTS / "music_vae.safetensors").stat().st_size <= 550_000


# --- models of text

WRITING = ("names_model", "names_vae", "names_vae_collapsed", "names_gan", "shakespeare_model")


def test_the_model_of_names_is_as_likely_as_its_card_says_and_beats_counting(prose):
    data, _ = prose
    with torch.no_grad():
        found = nats_per_character(pretrained.names_model().log_prob(data.test), data.test)
    counting = nats_per_character(WittenBell(data.train, 4, 27).log_prob(data.test).sum(1), data.test)
    said = pretrained.card("names_model")["nats_per_character"]["test"]["mean"]
    assert found.mean == pytest.approx(said, abs=1e-3)
    assert found.mean < counting.mean - 0.05


def test_of_two_vaes_of_names_one_says_nothing_and_one_some_nats(prose):
    data, _ = prose
    for collapsed in (True, False):
        model = pretrained.names_vae(collapsed=collapsed)
        with torch.no_grad(), forked_rng(0):
            terms = model.elbo_terms(data.test)
        kl = terms.kl.sum(1).mean().item()
        name = "names_vae_collapsed" if collapsed else "names_vae"
        said = pretrained.card(name)["nats_per_character"]["test"]
        assert kl == pytest.approx(said["kl"], abs=0.01)
        assert kl < 0.5 if collapsed else kl > 6
        assert nats_per_character(terms.elbo, data.test).mean == pytest.approx(said["elbo"]["mean"], abs=0.02)


def test_the_model_of_plays_is_as_likely_as_its_card_says(prose):
    _, data = prose
    part = data.test[:20_000]
    model = pretrained.shakespeare_model()
    nats = -model.log_prob_text(part).mean().item()
    counting = -WittenBell(data.train, 4, 66).log_prob(part).mean().item()
    assert nats < counting
    assert abs(nats - pretrained.card("shakespeare_model")["nats_per_character"]["test"]) < 0.3


def test_the_gan_of_names_writes_short_texts_of_letters():
    generator = pretrained.names_gan()
    z = torch.randn(200, generator.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = generator(z)
    assert x.shape == (200, 16, 27)
    assert torch.equal(x.sum(-1), torch.ones(200, 16))
    assert len(x.argmax(-1).unique(dim=0)) > 180


def test_each_model_of_text_takes_at_most_400_kilobytes():
    assert all((pretrained.WEIGHTS / f"{name}.safetensors").stat().st_size <= 400_000 for name in WRITING)
