"""What the rules of the game change in it: losses, step sizes, clipping, augmentation, packs."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from gm_lib.data import Batches
from gm_lib.gan import (
    GAN,
    LOSSES,
    DCGANDiscriminator,
    Loss,
    MLPDiscriminator,
    MLPGenerator,
    Packed,
    augment_images,
    digit_gan,
    gradient_penalty,
    r1,
    spectrally_normalized,
)
from gm_lib.training import fit

SMALL = {"latent_dim": 4, "width": 4}


def plane_gan(discriminator=None, **settings):
    return GAN(MLPGenerator(3, [16], (2,)), discriminator or MLPDiscriminator((2,), [16]), **settings)


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Losses


def test_a_paired_loss_gives_the_generator_the_real_examples_of_its_part_and_no_other_does():
    for name, loss in LOSSES.items():
        model, judged = plane_gan(loss=loss, discriminator_steps=2, penalty=r1), []
        model.discriminator.register_forward_hook(lambda *call, to=judged: to.append(call[1][0].detach()))
        x = torch.randn(8, 2)
        model.update((x, None), model.optimizers(), 1)
        # Two steps of the discriminator: real, generated, and once more real, for the penalty.
        taught = judged[6:]
        assert len(taught) == (2 if name == "relativistic" else 1), name
        if name == "relativistic":
            assert torch.equal(taught[0], judged[4])
            assert torch.equal(taught[1], x[1::2])


def test_a_relativistic_update_is_the_two_textbook_steps():
    model, x = plane_gan(loss="relativistic").double(), torch.randn(8, 2).double()
    hand = copy.deepcopy(model)
    sgd = {n: torch.optim.SGD(getattr(model, n).parameters(), 0.1) for n in ("generator", "discriminator")}
    torch.manual_seed(7)
    terms = model.update((x, None), sgd, 1)
    torch.manual_seed(7)
    z = torch.randn(8, 3, dtype=torch.float64)
    for player, sign in ((hand.discriminator, 1), (hand.generator, -1)):
        difference = hand.discriminator(x) - hand.discriminator(hand.generator(z))
        paid = -(sign * difference).sigmoid().log().mean()
        parameters = list(player.parameters())
        for p, g in zip(parameters, torch.autograd.grad(paid, parameters), strict=True):
            p.data -= 0.1 * g
    for player in ("generator", "discriminator"):
        for ours, theirs in zip(*(getattr(of, player).parameters() for of in (model, hand)), strict=True):
            torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(terms["generator_loss"], paid.detach())


def test_a_paired_generator_step_without_real_examples_is_refused():
    model = plane_gan(loss="relativistic")
    with pytest.raises(ValueError, match="compares generated with real examples: give x"):
        model.generator_step(model.generator(torch.randn(4, 3)), None, model.optimizers()["generator"])


@pytest.mark.parametrize("name", LOSSES)
def test_probabilities_are_recorded_where_the_loss_makes_them_and_mean_logits_elsewhere(name):
    model = plane_gan(loss=name, penalty=r1)
    still = torch.optim.SGD(model.discriminator.parameters(), 0.0)
    x, x_fake = torch.randn(2, 8, 2)
    terms = model.discriminator_step(x, x_fake, None, still)
    real, fake = model.discriminator(x).detach(), model.discriminator(x_fake).detach()
    if name in ("minimax", "non_saturating"):
        expected = {"d_real": real.sigmoid().mean(), "d_fake": fake.sigmoid().mean()}
    else:
        expected = {"score_real": real.mean(), "score_fake": fake.mean()}
    assert terms.keys() - {"discriminator_loss", "penalty"} == expected.keys()
    for term, value in expected.items():
        torch.testing.assert_close(terms[term], value)


def test_a_loss_of_ones_own_is_taken_to_make_probabilities_of_examples_that_are_not_paired():
    own = Loss(*LOSSES["minimax"][:2])
    assert own == LOSSES["minimax"]


# Step sizes


def test_each_player_has_its_step_size_and_both_fall_to_0_along_half_a_cosine():
    model = plane_gan(lr=(1e-3, 4e-3), decay_steps=10)
    optimizers = model.optimizers()
    for step in range(1, 13):
        before = state(model)
        model.update((torch.randn(8, 2), None), optimizers, step)
        share = 0.5 * (1 + math.cos(math.pi * min(step - 1, 10) / 10))
        for name, lr in (("generator", 1e-3), ("discriminator", 4e-3)):
            (group,) = optimizers[name].param_groups
            assert group["lr"] == pytest.approx(share * lr)
            moved = max(
                (p - before[f"{name}.{n}"]).abs().max() for n, p in getattr(model, name).named_parameters()
            )
            assert (moved > 0) == (share > 0)
    assert [o.param_groups[0]["lr"] for o in plane_gan(lr=1e-3).optimizers().values()] == [1e-3, 1e-3]


# Clipping


def test_after_each_step_no_parameter_of_a_clipped_discriminator_is_larger_than_clip():
    model, found = plane_gan(loss="wasserstein", clip=0.01, discriminator_steps=2), []
    nn.init.constant_(model.discriminator.net[0].bias, 5.0)
    model.discriminator.net[2].bias.requires_grad_(False).fill_(7.0)  # frozen: not the model's to change
    step = model.discriminator_step

    def look(*arguments):
        terms = step(*arguments)
        found.append(max(p.abs().max().item() for p in model.discriminator.parameters() if p.requires_grad))
        return terms

    model.discriminator_step = look
    model.update((torch.randn(8, 2), None), model.optimizers(), 1)
    assert found == pytest.approx([0.01, 0.01])
    assert model.discriminator.net[2].bias.item() == 7.0
    assert max(p.abs().max() for p in model.generator.parameters()) > 0.01


# Augmentation


def test_what_is_generated_is_augmented_as_what_is_real_in_both_players_steps():
    seen, given = [], []

    def shift(x):
        given.append(x.detach())
        return x + 10

    model = digit_gan(**SMALL, gamma=1.0)
    model.augment = shift
    model.discriminator.register_forward_hook(lambda *call: seen.append(call[1][0].detach()))
    x = torch.rand(4, 1, 28, 28)
    model.update((x, None), model.optimizers(), 1)
    real, fake, taught = given
    assert torch.equal(real, x)
    assert torch.equal(fake, taught)
    assert [s.min().item() >= 10 for s in seen] == [True] * 4  # the penalty's too
    assert torch.equal(seen[2], seen[0])


def test_the_generators_gradient_passes_the_augmentation():
    x = torch.rand(64, 2, 16, 12, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    seen = augment_images(x)
    weight = torch.randn_like(seen)
    (slope,) = torch.autograd.grad((seen * weight).sum(), x)
    # Linear in x: what it makes of another image with the same draws tells the gradient.
    direction = torch.randn_like(x)
    torch.manual_seed(0)
    torch.testing.assert_close((slope * direction).sum(), (augment_images(direction) * weight).sum())


def test_augmented_images_are_moved_each_by_its_own_draw_and_have_a_hole_of_half_their_sides():
    torch.manual_seed(0)
    rows = torch.arange(1.0, 33)[:, None].expand(32, 24)
    columns = torch.arange(1.0, 25)[None].expand(32, 24)
    x = torch.stack([rows, columns]).expand(500, 2, 32, 24)
    seen = augment_images(x)
    kept = (seen[:, 0] > 0).double()
    for channel, places, furthest in ((0, rows, 4), (1, columns, 3)):
        moved = (seen[:, channel] - places) * kept
        shift = moved.flatten(1).sum(1) / kept.flatten(1).sum(1)
        torch.testing.assert_close(moved, shift[:, None, None] * kept)  # one shift for all pixels of an image
        assert set(shift.round().int().tolist()) == set(range(-furthest, furthest + 1))
    zeros = 32 * 24 - kept.flatten(1).sum(1)
    # A hole in the middle is 16 × 12; one at the border is cut; what comes in with a shift is 0 too.
    assert zeros.min() >= 8 * 6
    assert zeros.max() <= 16 * 12 + 4 * 24 + 3 * 32
    assert zeros.median() > 8 * 12


# Packs


def test_a_packed_logit_depends_on_all_of_its_pack_and_on_nothing_else():
    for judge, shape in (
        (Packed(MLPDiscriminator((6,), [16]), 3), (2,)),
        (Packed(DCGANDiscriminator(4, shape=(6, 16, 16), norm="none"), 3), (2, 16, 16)),
    ):
        assert judge.in_shape == shape
        x = torch.rand(12, *shape)
        logits = judge(x)
        assert logits.shape == (4,)
        for i in range(12):
            other = x.clone()
            other[i] += 1
            changed = (judge(other) - logits).abs() > 1e-6
            assert changed.tolist() == [pack == i // 3 for pack in range(4)]


def test_a_packed_discriminator_notices_collapse_that_no_single_example_shows():
    """Each generated example looks real, but all of a batch are the same: only a pack can tell."""
    torch.manual_seed(0)
    told = {}
    for m in (1, 2):
        judge = MLPDiscriminator((m,), [32])
        model = GAN(MLPGenerator(1, [], (1,)), Packed(judge, m), lr=5e-3)
        learn = model.optimizers()["discriminator"]
        for _ in range(400):
            x = torch.randn(64, 1)
            same = torch.randn(32, 1).repeat_interleave(2, 0)  # N(0, 1) each, and neighbours equal
            terms = model.discriminator_step(x, same, None, learn)
        told[m] = (terms["d_real"] - terms["d_fake"]).item()
    assert told[1] < 0.15  # two batches of 64 differ a little
    assert told[2] > 0.3


def test_batches_that_do_not_make_packs_and_packs_with_labels_are_refused():
    model = plane_gan(Packed(MLPDiscriminator((6,), [8]), 3), discriminator_steps=2)
    model.check((torch.randn(12, 2), None))
    with pytest.raises(ValueError, match="in packs of 3: choose a batch size that is a multiple of 6"):
        model.check((torch.randn(8, 2), None))
    with pytest.raises(ValueError, match="8 examples cannot be put into packs of 3"):
        model.discriminator(torch.randn(8, 2))
    with pytest.raises(ValueError, match=r"shape \(5,\) cannot judge packs of 3: give it 3 times"):
        Packed(MLPDiscriminator((5,), [8]), 3)
    with pytest.raises(ValueError, match="packs have no labels"):
        Packed(MLPDiscriminator((6,), [8], 10), 3)


# Refusals


def spectral():
    return spectrally_normalized(MLPDiscriminator((2,), [8]))


@pytest.mark.parametrize(
    ("judge", "settings", "message"),
    [
        (None, {"loss": "wasserstein"}, "no minimum while the discriminator may be as steep"),
        (spectral, {"clip": 0.1}, "clip bounds the numbers that spectral norm then rescales"),
        (None, {"clip": 0.0}, "clip must be greater than 0"),
        (None, {"augment": augment_images}, r"changes images .*, not examples of shape \(2,\)"),
        (None, {"decay_steps": -1}, "decay_steps must be a whole number"),
        (None, {"discriminator_steps": 1.5}, "discriminator_steps must be a whole number"),
    ],
)
def test_rules_that_make_no_sense_together_are_refused_with_the_reason(judge, settings, message):
    with pytest.raises(ValueError, match=message):
        plane_gan(judge and judge(), **settings)


def test_a_wasserstein_loss_is_content_with_whatever_bounds_the_slope():
    for settings in ({"clip": 0.1}, {"penalty": gradient_penalty}, {"penalty": partial(r1, gamma=0.1)}):
        plane_gan(loss="wasserstein", **settings)
    plane_gan(spectral(), loss="wasserstein")
    half = MLPDiscriminator((2,), [8])
    spectrally_normalized(half.net[0])
    with pytest.raises(ValueError, match="put spectral norm on all of its layers"):
        plane_gan(half, loss="wasserstein")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"penalty": "r1"}, "the penalty 'r1' needs its weight, gamma"),
        ({"penalty": "r3", "gamma": 1.0}, "unknown penalty 'r3'. Known: gradient_penalty, r1, "),
        ({"gamma": 1.0, "norm": "batch"}, "take batch norm out"),
        ({"architecture": "resnet", "norm": "batch"}, "unknown norm of a residual network 'batch'"),
        ({"architecture": "dcgan2"}, "did you mean 'dcgan'"),
        ({"pack": 2, "num_classes": 10}, "packs have no labels"),
        ({"pack": 0}, "pack must be a whole number, at least 1"),
    ],
)
def test_a_digit_gan_refuses_settings_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        digit_gan(**SMALL, **settings)


# Runs

OPTIONS = {
    "relativistic": {"loss": "relativistic", "penalty": "r1+r2", "gamma": 0.5},
    "gradient penalty": {"loss": "wasserstein", "penalty": "gradient_penalty", "gamma": 10.0},
    "clip": {"loss": "wasserstein", "clip": 0.02, "norm": "none"},
    "spectral": {"loss": "hinge", "norm": "spectral", "discriminator_steps": 2},
    "augment, packs": {"loss": "least_squares", "augment": True, "pack": 2},
    "rates": {"discriminator_lr": 4e-3, "decay_steps": 5, "betas": (0.0, 0.9)},
    "resnet": {"architecture": "resnet", "num_classes": 10},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_that_was_interrupted_goes_on_bit_for_bit_under_any_rule_and_its_config_rebuilds_it(
    tmp_path, name
):
    x, y = torch.rand(16, 1, 14, 14), torch.arange(16) % 10

    def train(steps, out=None):
        torch.manual_seed(0)
        model = digit_gan(**SMALL, shape=(1, 14, 14), **OPTIONS[name])
        batches = Batches(x, y, batch_size=8, seed=0, device="cpu")
        history = fit(model, batches, steps=steps, device="cpu", out=out, progress=False, log_every=1)
        return model, history

    whole, history = train(5)
    train(2, tmp_path)
    resumed, again = train(5, tmp_path)
    assert equal(state(whole), state(resumed))
    assert history.rows == again.rows
    rebuilt = digit_gan(**whole.config)
    rebuilt.load_state_dict(whole.state_dict())
    z = torch.randn(4, 4)
    assert torch.equal(rebuilt.generate(z, y[:4]), whole.generate(z, y[:4]))
    assert rebuilt.config == whole.config


def test_settings_of_runs_made_before_there_were_rules_build_the_model_they_built():
    torch.manual_seed(0)
    old = digit_gan(latent_dim=5, width=4, num_classes=0, loss="minimax", gamma=0.5, lr=1e-4, average=0.5)
    assert (old.penalty.func, old.penalty.keywords) == (r1, {"gamma": 0.5})
    assert (old.lr, old.betas, old.discriminator_steps, old.decay_steps) == (1e-4, (0.5, 0.999), 1, 0)
    assert (old.clip, old.augment) == (None, None)
    assert list(old.discriminator.state_dict()) == [
        "net.0.0.weight",
        "net.0.0.bias",
        "net.1.0.weight",
        "net.1.0.bias",
        "net.3.weight",
        "net.3.bias",
    ]
    names = digit_gan(**SMALL).discriminator.state_dict()
    assert {n.removeprefix("net.1.1.") for n in names if n.startswith("net.1.1.")} == {
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
