"""What is compared is the same: mathematics, steps, weights."""

import copy
import importlib.util
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from benchmarks import gan, vae
from benchmarks.clock import Clock, Goal
from gm_lib.data import binarize
from gm_lib.data import images as load_images
from gm_lib.gan import digit_gan


@pytest.fixture(scope="module")
def x():
    grey = torch.rand(256, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return binarize(grey, torch.Generator().manual_seed(0))


def our_loss(model, x):
    terms = model.elbo_terms(x)
    return terms.reconstruction.mean() + terms.kl.sum(-1).mean()


def loss_with_noise(function, *arguments):
    torch.manual_seed(7)
    return function(*arguments)


def test_the_script_and_our_vae_have_the_same_loss_and_gradient_for_the_same_weights_batch_and_noise(x):
    torch.manual_seed(0)
    theirs = vae.ScriptVAE()
    ours = vae.as_ours(vae.layers_of_script(theirs))
    losses = [
        loss_with_noise(lambda: vae.script_loss(*vae._order(theirs(x), x))),
        loss_with_noise(our_loss, ours, x),
    ]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=0)
    for loss in losses:
        loss.backward()
    ours_first = ours.encoder.net[0].weight.grad
    torch.testing.assert_close(theirs.to_hidden.weight.grad, ours_first, rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("pythae") is None, reason="pythae is not installed")
def test_pythae_and_our_vae_have_the_same_loss_for_the_same_weights_batch_and_noise(x):
    torch.manual_seed(0)
    theirs = vae.pythae_model()
    ours = vae.as_ours(vae.layers_of_pythae(theirs))
    losses = loss_with_noise(lambda: theirs({"data": x}).loss), loss_with_noise(our_loss, ours, x)
    torch.testing.assert_close(*losses, rtol=1e-5, atol=0)


def test_the_script_and_our_gan_have_the_same_losses_for_the_same_logits():
    torch.manual_seed(0)
    real, fake = torch.randn(64), torch.randn(64)
    loss = digit_gan().loss
    bce = F.binary_cross_entropy_with_logits
    theirs = bce(real, torch.ones(64)) + bce(fake, torch.zeros(64)), bce(fake, torch.ones(64))
    ours = loss.discriminator(real, fake).mean(), loss.generator(fake).mean()
    torch.testing.assert_close(theirs, ours)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_the_script_and_our_gan_have_the_same_players_but_for_the_order_of_the_pixels_in_memory(player):
    mine = getattr(digit_gan(latent_dim=gan.LATENT, width=gan.WIDTH), player)
    other = getattr(gan.ScriptGAN(), player)
    other.load_state_dict(dict(zip(other.state_dict(), mine.state_dict().values(), strict=True)))
    for layer in other:
        if isinstance(layer, torch.nn.Linear):  # ours counts the channels of a pixel first
            w = layer.weight.data
            w.copy_(w.reshape(7 * 7, 2 * gan.WIDTH, -1).transpose(0, 1).reshape(w.shape))
    x = torch.randn(4, gan.LATENT) if player == "generator" else torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(other(x), mine(x))


NEEDED = {
    "pythae": "pythae",
    "pythae_in_our_loop": "pythae",
    "lightning": "lightning",
    "torchgan": "torchgan",
}


def present(contestants):
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name in NEEDED and importlib.util.find_spec(NEEDED[name]) is None,
                reason=f"{NEEDED.get(name)} is not installed",
            ),
        )
        for name in contestants
    ]


@pytest.mark.parametrize("name", present(vae.CONTESTANTS))
def test_every_vae_takes_exactly_the_steps_asked_for(name, x):
    clock = Clock(1, 3)
    vae.CONTESTANTS[name](x, clock, seed=0)
    assert clock.done == 4
    assert clock.seconds > 0


@pytest.mark.parametrize("name", present(gan.CONTESTANTS))
def test_every_gan_takes_exactly_the_steps_asked_for(name, x):
    clock = Clock(0, 3)
    gan.CONTESTANTS[name](x, clock, seed=0)
    assert clock.done == 3


@pytest.mark.parametrize("name", present(["ours", "script", "pythae", "lightning"]))
def test_every_vae_is_looked_at_with_the_weights_that_it_has_then(name, x):
    losses = []

    @torch.no_grad()
    def score(model):
        losses.append(our_loss(model, x))
        return len(losses)

    clock = Clock(0, 30, Goal(score, -1, 6))
    vae.CONTESTANTS[name](x, clock, seed=0, dynamic=True)
    assert (len(losses), clock.reached, vae.looked_after(clock)) == (5, False, 30)
    assert all(later < before for before, later in pairwise(losses)), losses


@pytest.mark.parametrize("name", present(["ours", "script", "torchgan"]))
def test_a_gan_that_reaches_its_goal_ends_there_with_the_steps_that_it_took(name, x):
    looks = []

    def score(model):
        looks.append(model)
        return -len(looks)

    clock = Clock(0, 30, Goal(score, -2, 3))
    gan.CONTESTANTS[name](x, clock, seed=0)
    assert (len(looks), clock.reached, vae.looked_after(clock)) == (2, True, 6)


@pytest.mark.parametrize("name", present(["ours", "script", "torchgan"]))
def test_a_gan_is_judged_by_samples_and_left_as_it_was(name, x, monkeypatch):
    real = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(gan, "real_features", lambda: real)
    drawn = []
    usual = gan.features
    monkeypatch.setattr(gan, "features", lambda made: (drawn.append(made), usual(made))[1])

    def score(model):
        before = copy.deepcopy(model.state_dict()), [part.training for part in model.modules()]
        distance = seeded(gan.distance_to_real_digits, model, 200)
        assert same(model.state_dict(), before[0])  # batch norm has learned nothing of the samples
        assert [part.training for part in model.modules()] == before[1]
        return distance

    gan.CONTESTANTS[name](x, Clock(0, 2, Goal(score, -1, 1)), seed=0)
    assert [len(samples) for samples in drawn] == [200, 200]
    assert not torch.equal(*drawn)  # it has learned meanwhile


def same(these, those):
    return all(torch.equal(these[name], those[name]) for name in those)


def seeded(function, *arguments):
    torch.manual_seed(1)
    return function(*arguments)


def test_the_distance_of_a_generator_is_what_judge_says_of_real_images_and_of_noise(monkeypatch):
    """Half of the images against the other half is near; uniform noise is far."""
    images = load_images("digits").train.x
    real, other = images[::2], images[1::2]
    monkeypatch.setattr(gan, "real_features", lambda: gan.features(real))

    class Copier(torch.nn.Module):
        def forward(self, z):
            return other[: len(z)]

    class Noise(torch.nn.Module):
        def forward(self, z):
            return torch.rand(len(z), 1, 28, 28)

    near, far = (gan.distance_to_real_digits(model(), len(other)) for model in (Copier, Noise))
    assert near < 10 < far


def test_the_binarization_is_drawn_anew_where_it_is_asked_for(monkeypatch):
    grey = torch.full((256, 1, 28, 28), 0.5)
    seen = []
    usual = vae.ScriptVAE.forward
    monkeypatch.setattr(vae.ScriptVAE, "forward", lambda self, x: (seen.append(x), usual(self, x))[1])
    vae.script(grey, Clock(0, 2), seed=0, dynamic=True)
    assert all(set(x.unique().tolist()) == {0, 1} for x in seen)
    assert not torch.equal(seen[0], seen[1])


def test_the_clock_stands_while_the_goal_is_looked_at_and_looking_draws_no_random_numbers(monkeypatch):
    now = iter([0.0, 0.0, 2.0, 2.0, 9.0, 12.0, 12.0])  # made, started, a step, a look of 7 s, a step, a look
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    clock = Clock(0, 5, Goal(lambda model: float(torch.rand(())) + 1 - clock.done, 0.0, 1))
    with clock:
        clock(lambda: None)
        clock(lambda: None)
    assert clock.reached
    assert clock.seconds == 12 - 7
    assert torch.equal(torch.get_rng_state(), before)


def test_the_last_look_is_not_counted_either_when_the_goal_is_never_reached(monkeypatch):
    now = iter([0.0, 0.0, 2.0, 2.0, 9.0, 11.0, 11.0, 20.0])  # made, started, a step, a look, a step, a look
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    clock = Clock(0, 2, Goal(lambda model: 1.0, 0.0, 1))
    with clock:
        for _ in range(2):
            clock(lambda: None)
    assert clock.seconds == 2 + 2


def test_the_clock_counts_neither_the_warm_up_nor_what_comes_after_the_last_step(monkeypatch):
    now = iter([0.0, 5.0, 7.0, 9.0, 100.0])  # the start, three steps, and later
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    clock = Clock.__new__(Clock)
    clock.warm_up, clock.steps, clock.done, clock.goal = 1, 2, 0, None
    with clock:
        for _ in range(5):
            clock()
    assert clock.seconds == 9 - 5


def test_a_training_that_ends_too_early_is_an_error():
    with pytest.raises(RuntimeError, match="after 1 steps, before 2"), Clock(0, 2) as clock:
        clock()


def test_the_floor_has_the_products_of_a_step_and_no_others(monkeypatch):
    flops = []
    usual = torch.mm

    def counted(left, right, *, out):
        flops.append(2 * left.shape[0] * left.shape[1] * right.shape[1])
        return usual(left, right, out=out)

    monkeypatch.setattr(torch, "mm", counted)
    vae.floor(warm_up=0, steps=1)
    weights = [784 * 400, 400 * 40, 20 * 400, 400 * 784]
    assert sum(flops) == 2 * vae.BATCH * (3 * sum(weights) - weights[0])
