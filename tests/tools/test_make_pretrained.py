import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file

import make_pretrained
from gm_lib.beyond import digit_autoregressive
from gm_lib.classifier import DigitClassifier
from gm_lib.data import ImageData, Split, binarize, images
from gm_lib.runtime import forked_rng


@pytest.fixture(autouse=True)
def _threads_are_put_back():
    """``main`` trains on one thread, and leaves it at that."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_help_names_the_models(capsys):
    with pytest.raises(SystemExit) as ended:
        make_pretrained.main(["--help"])
    assert ended.value.code == 0
    assert "digit_classifier" in capsys.readouterr().out


def test_another_name_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        make_pretrained.main(["digit_classifer"])
    assert "choose from" in capsys.readouterr().err


def test_without_mnist_nothing_is_made(tmp_path, capsys):
    assert make_pretrained.main(["digit_classifier", "--out", str(tmp_path)]) == 1
    assert "mnist is not on this machine" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(make_pretrained, "CLASSIFIER_STAGES", ((1e-3, 2), (1e-4, 1)))
    sets = {"mnist": mnist, "digits": images("digits")}
    monkeypatch.setattr(make_pretrained, "images", lambda name, fallback: sets[name])
    monkeypatch.setattr(make_pretrained, "accuracy", lambda model, split: {"n": len(split)})
    made = []
    for run, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(run)
        status = make_pretrained.main(["digit_classifier", "--seed", str(seed), "--out", str(folder)])
        assert status == 0
        made.append((folder / "digit_classifier.safetensors").read_bytes())
    assert made[0] == made[1] != made[2]
    DigitClassifier().load_state_dict(load_file(folder / "digit_classifier.safetensors"))
    card = json.loads((folder / "digit_classifier.json").read_text("utf-8"))
    assert card["sha256"] == hashlib.sha256(made[2]).hexdigest()
    assert card["command"] == "python tools/make_pretrained.py digit_classifier --seed 1"
    assert card["stages"] == [{"lr": 1e-3, "steps": 2}, {"lr": 1e-4, "steps": 1}]


def test_jitter_moves_digits_a_little_and_keeps_them_digits():
    x = images("digits").train.x[:200]
    moved = make_pretrained.jitter(x, torch.Generator().manual_seed(0))
    assert moved.shape == x.shape
    assert moved.min() >= 0
    assert moved.max() <= 1
    rows = torch.arange(28.0)[:, None]
    centres = [(image * rows).sum((1, 2, 3)) / image.sum((1, 2, 3)) for image in (x, moved)]
    by = centres[1] - centres[0]
    # Two pixels of shift, and what turning and scaling do to a centre that is not in the middle.
    assert 1 < by.abs().max() < 3
    assert abs(by.mean()) < 4 * by.std() / len(by) ** 0.5
    # The scale is uniform on 0.9 … 1.1, and ink goes with the area.
    ink = moved.sum((1, 2, 3)) / x.sum((1, 2, 3))
    assert ink.min() > 0.75
    assert ink.max() < 1.3


def test_a_batch_has_three_mnist_images_for_each_small_digit(mnist):
    sets = {"mnist": mnist, "digits": images("digits")}
    batch = next(make_pretrained.both_sets(sets, seed=0))
    assert len(batch.x) == len(batch.y) == make_pretrained.FROM_MNIST + make_pretrained.FROM_DIGITS == 128
    # The small digits were enlarged, so they are smoother: less change from pixel to pixel, for the ink.
    change = (batch.x.diff(dim=2).abs().sum((1, 2, 3))) / batch.x.sum((1, 2, 3))
    assert change[96:].mean() < change[:96].mean()


def test_a_game_is_kept_with_both_players_and_its_history(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(make_pretrained, "MIDWAY_STEPS", 2)
    monkeypatch.setattr(make_pretrained, "MIDWAY_LOG", 1)
    monkeypatch.setattr(make_pretrained, "MIDWAY_LOOK", 2)
    monkeypatch.setattr(make_pretrained, "images", lambda name, fallback: mnist)
    assert make_pretrained.main(["digit_gan_labels_midway", "--out", str(tmp_path)]) == 0
    card = json.loads((tmp_path / "digit_gan_labels_midway.json").read_text("utf-8"))
    assert [row["step"] for row in card["history"]] == [1, 2, 2]
    assert {"discriminator_loss", "generator_loss"} <= card["history"][0].keys()
    assert {"confident", "digits", "frechet"} <= card["history"][-1].keys()
    kept = load_file(tmp_path / "digit_gan_labels_midway.safetensors")
    assert {name.partition(".")[0] for name in kept} == {"generator", "discriminator"}
    assert {value.dtype for value in kept.values()} == {torch.float16, torch.int64}


def test_the_models_of_shapes_are_made_in_stages_that_go_on_from_their_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setattr(make_pretrained, "SHAPES_VAE_STAGES", ((1e-3, 2, 4), (1e-4, 1, 1)))
    monkeypatch.setattr(make_pretrained, "SHAPES_GAN_STEPS", 2)
    monkeypatch.setattr(make_pretrained, "SHAPES_GAN_SAMPLES", 100)
    for name in ("shapes_vae", "shapes_gan"):
        made = []
        for out in ("first", "again"):
            arguments = [name, "--out", str(tmp_path / out), "--run", str(tmp_path / name)]
            assert make_pretrained.main(arguments) == 0
            made.append((tmp_path / out / f"{name}.safetensors").read_bytes())
        assert made[0] == made[1]
        card = json.loads((tmp_path / "first" / f"{name}.json").read_text("utf-8"))
        assert [stage["steps"] for stage in card["stages"]] == ([2, 1] if name == "shapes_vae" else [2])
        assert {value.dtype for value in load_file(tmp_path / "first" / f"{name}.safetensors").values()} <= {
            torch.float16,
            torch.int64,
        }


def test_a_vae_gan_and_its_pair_begin_with_the_same_weights_and_are_both_kept(tmp_path, monkeypatch, mnist):
    monkeypatch.setattr(make_pretrained, "VAE_GAN_STEPS", 1)
    monkeypatch.setattr(make_pretrained, "VAE_GAN_CONFIG", make_pretrained.VAE_GAN_CONFIG | {"lr": 1e-9})
    monkeypatch.setattr(make_pretrained, "SCORED", 100)
    monkeypatch.setattr(make_pretrained, "images", lambda name, fallback: mnist)
    assert make_pretrained.main(["digit_vae_gan", "--out", str(tmp_path)]) == 0
    kept = load_file(tmp_path / "digit_vae_gan.safetensors")
    judged = {name.partition(".")[2]: value for name, value in kept.items() if name.startswith("vae_gan.")}
    plain = {name.partition(".")[2]: value for name, value in kept.items() if name.startswith("vae.")}
    assert judged.keys() == plain.keys()
    assert len(judged) + len(plain) == len(kept)
    for name in judged:
        torch.testing.assert_close(judged[name], plain[name], rtol=0, atol=1e-3)
    card = json.loads((tmp_path / "digit_vae_gan.json").read_text("utf-8"))
    for name in ("vae_gan", "vae"):
        assert {"negative_elbo", "gradient_energy", "samples"} <= card[name].keys()


def test_the_autoregressive_model_is_kept_with_its_exact_score(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(make_pretrained, "AUTOREGRESSIVE_STEPS", 2)
    monkeypatch.setattr(make_pretrained, "SCORED", 20)
    monkeypatch.setattr(make_pretrained, "images", lambda name, fallback: mnist)
    assert make_pretrained.main(["digit_autoregressive", "--out", str(tmp_path)]) == 0
    card = json.loads((tmp_path / "digit_autoregressive.json").read_text("utf-8"))
    model = digit_autoregressive(**card["config"])
    kept = load_file(tmp_path / "digit_autoregressive.safetensors")
    assert {value.dtype for value in kept.values()} == {torch.float16}
    model.load_state_dict(kept)
    with forked_rng(0), torch.no_grad():
        nats = -model.log_prob(binarize(mnist.test.x[:20])).mean().item()
    assert card["negative_log_likelihood"]["nats"] == pytest.approx(nats)


def test_the_diffusion_model_is_kept_in_half_precision_with_its_bounds(mnist, tmp_path, monkeypatch):
    for name, value in {
        "DIFFUSION_STEPS": 2,
        "DIFFUSION_CONFIG": {"width": 8, "num_classes": 10},
        "DIFFUSION_SAMPLES": 100,
        "DIFFUSION_DRAWS": 1,
        "DIFFUSION_SCORED": 20,
    }.items():
        monkeypatch.setattr(make_pretrained, name, value)
    monkeypatch.setattr(make_pretrained, "images", lambda name, fallback: mnist)
    assert make_pretrained.main(["digit_diffusion", "--out", str(tmp_path)]) == 0
    card = json.loads((tmp_path / "digit_diffusion.json").read_text("utf-8"))
    assert card["config"]["width"] == 8
    assert all(card["negative_elbo"][which]["nats"] > 80 for which in ("without_label", "given_label"))
    kept = load_file(tmp_path / "digit_diffusion.safetensors")
    assert {value.dtype for value in kept.values()} == {torch.float16}


def test_a_flow_goes_on_from_its_checkpoint_and_is_kept_in_half_precision(mnist, tmp_path, monkeypatch):
    few = ImageData("mnist", "a test", *(Split(mnist.test.x[:40], mnist.test.y[:40]) for _ in range(3)))
    monkeypatch.setattr(make_pretrained, "images", lambda name, fallback: few)
    monkeypatch.setattr(make_pretrained, "FLOW_CONFIG", {"couplings": [2, 2], "width": 4})
    monkeypatch.setattr(make_pretrained, "FLOW_STEPS", 3)
    made = []
    for out in ("first", "again"):
        arguments = ["digit_flow", "--out", str(tmp_path / out), "--run", str(tmp_path / "run")]
        assert make_pretrained.main(arguments) == 0
        made.append((tmp_path / out / "digit_flow.safetensors").read_bytes())
    assert made[0] == made[1]
    kept = load_file(tmp_path / "first" / "digit_flow.safetensors")
    assert {value.dtype for value in kept.values()} == {torch.float16}
    # What the card says is of the weights as they were kept, of all images given.
    model = make_pretrained.untrained_flow(couplings=[2, 2], width=4)
    model.load_state_dict(kept)
    said = json.loads((tmp_path / "first" / "digit_flow.json").read_text("utf-8"))["bits_per_dim"]
    assert said["test"] == pytest.approx(make_pretrained.flow_bits(model, few.test.x, seed=0))
    assert said["test"]["images"] == 40


def test_a_training_that_is_stopped_writes_nothing_and_says_so(tmp_path, monkeypatch, capsys):
    def stopped(seed, run):
        raise KeyboardInterrupt

    monkeypatch.setitem(make_pretrained.MAKERS, "digit_gan", stopped)
    assert make_pretrained.main(["digit_gan", "--out", str(tmp_path / "weights")]) == 130
    assert "no weights were written" in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()


def test_flow_matching_is_judged_by_its_numbers_of_steps_as_it_is_kept(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(make_pretrained, "images", lambda name, fallback: mnist)
    monkeypatch.setattr(make_pretrained, "FLOW_MATCHING_STEPS", 2)
    monkeypatch.setattr(make_pretrained, "FLOW_MATCHING_LOOKS", (1, 3))
    monkeypatch.setattr(make_pretrained, "FLOW_MATCHING_SAMPLES", 150)
    assert make_pretrained.main(["digit_flow_matching", "--out", str(tmp_path)]) == 0
    card = json.loads((tmp_path / "digit_flow_matching.json").read_text("utf-8"))
    assert [look["euler_steps"] for look in card["samples"]] == [1, 3]
    assert all(look["frechet"] > 0 for look in card["samples"])
    assert card["config"]["num_classes"] == 10
    kept = load_file(tmp_path / "digit_flow_matching.safetensors")
    assert {value.dtype for value in kept.values()} == {torch.float16}
