import math

import pytest
import torch

from gm_lib.gan import GAN, LOSSES, MLPDiscriminator, MLPGenerator
from gm_lib.networks import decay

PROBABILITIES = ("minimax", "non_saturating")


def textbook(loss: str, real, fake):
    """Both players' losses as the papers write them, in float64."""
    d_real, d_fake, difference = real.sigmoid(), fake.sigmoid(), (real - fake).sigmoid()
    value = -(d_real.log() + (1 - d_fake).log())
    zero = torch.zeros_like(real)
    return {
        "minimax": (value, (1 - d_fake).log()),
        "non_saturating": (value, -d_fake.log()),
        "least_squares": ((real - 1) ** 2 / 2 + (fake - 0) ** 2 / 2, (fake - 1) ** 2 / 2),
        "hinge": (-torch.minimum(zero, real - 1) - torch.minimum(zero, -fake - 1), -fake),
        "wasserstein": (-(real - fake), -fake),
        "relativistic": (-difference.log(), -(1 - difference).log()),
    }[loss]


def both(loss: str, real, fake):
    players = LOSSES[loss]
    generators = (fake, real) if players.paired else (fake,)
    return players.discriminator(real, fake), players.generator(*generators)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_its_textbooks_expression(name):
    # A 0 and a 1 among the logits, where the hinges are, and none where 1 - sigmoid(t) has lost its digits.
    real = torch.tensor([-12.0, -1.5, 0.0, 0.3, 1.0, 9.0], dtype=torch.float64)
    fake = torch.tensor([8.0, 0.7, -1.0, 0.0, -2.0, -15.0], dtype=torch.float64)
    for found, expected in zip(both(name, real, fake), textbook(name, real, fake), strict=True):
        assert found.shape == (6,)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_gradients_stay_finite_where_the_sigmoid_has_rounded(name):
    extremes = torch.tensor([-1e4, 1e4])
    real, fake = (
        part.flatten().requires_grad_() for part in torch.meshgrid(extremes, extremes, indexing="ij")
    )
    for paid in both(name, real, fake):
        gradients = torch.autograd.grad(paid.sum(), (real, fake), allow_unused=True)
        assert paid.shape == (4,)
        assert bool(paid.isfinite().all())
        assert all(bool(g.isfinite().all()) for g in gradients if g is not None)


def test_a_sure_discriminator_costs_nothing_when_right_and_the_logit_when_wrong():
    far = torch.tensor([1e4])
    for name in PROBABILITIES:
        loss = LOSSES[name]
        assert loss.discriminator(far, -far).item() == 0.0
        assert loss.discriminator(-far, far).item() == 2e4
    assert LOSSES["non_saturating"].generator(-far).item() == 1e4
    assert LOSSES["minimax"].generator(-far).item() == 0.0
    assert LOSSES["relativistic"].discriminator(far, -far).item() == 0.0
    assert LOSSES["relativistic"].generator(-far, far).item() == 2e4


def test_only_the_minimax_gradient_vanishes_for_a_generator_that_a_discriminator_is_sure_of():
    real = torch.full((3,), 20.0, dtype=torch.float64)
    fake = torch.tensor([-20.0, 0.0, 20.0], dtype=torch.float64, requires_grad=True)
    slopes = {name: torch.autograd.grad(both(name, real, fake)[1].sum(), fake)[0] for name in LOSSES}
    d = fake.detach().sigmoid()
    torch.testing.assert_close(slopes["minimax"], -d)
    torch.testing.assert_close(slopes["non_saturating"], -(1 - d))
    assert slopes["minimax"][0].abs() < 1e-8
    for name in set(LOSSES) - {"minimax"}:
        assert slopes[name][0] < -1 + 1e-8, name


def test_a_discriminator_that_cannot_tell_pays_what_a_coin_would():
    zeros = torch.zeros(3)
    expected = {
        "minimax": math.log(4),
        "non_saturating": math.log(4),
        "least_squares": 0.5,
        "hinge": 2.0,
        "wasserstein": 0.0,
        "relativistic": math.log(2),
    }
    assert expected.keys() == LOSSES.keys()
    for name, paid in expected.items():
        torch.testing.assert_close(LOSSES[name].discriminator(zeros, zeros), torch.full((3,), paid))


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"wasserstein"}))
def test_on_four_outcomes_the_discriminator_becomes_what_theory_says(name):
    """Where p and q are known, so is the best logit, whatever the losses' shapes between the outcomes."""
    counts_p, counts_q = torch.tensor([4, 3, 2, 1]), torch.tensor([1, 1, 5, 3])
    p, q = counts_p / 10, counts_q / 10
    outcomes = torch.eye(4)
    # All pairs of a real and a generated example: the mean over this batch is the expectation.
    real = outcomes.repeat_interleave(counts_p, 0).repeat_interleave(10, 0)
    fake = outcomes.repeat_interleave(counts_q, 0).repeat(10, 1)
    model = GAN(MLPGenerator(1, [], (4,)), MLPDiscriminator((4,), []), loss=name)
    learn = torch.optim.SGD(model.discriminator.parameters(), lr=0.5)
    for step in range(1, 1501):
        decay(learn, step, 1500)
        model.discriminator_step(real, fake, None, learn)
    logits = model.discriminator(outcomes).detach()
    if name == "relativistic":  # which only knows differences
        logits, best = logits - logits.mean(), (p / q).log() - (p / q).log().mean()
    elif name == "least_squares":
        best = p / (p + q)
    elif name == "hinge":
        best = (p - q).sign()
    else:
        logits, best = logits.sigmoid(), p / (p + q)
    torch.testing.assert_close(logits, best, atol=0.02, rtol=0)
