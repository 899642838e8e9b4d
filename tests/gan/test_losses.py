import math

import pytest
import torch

from gm_lib.gan import LOSSES, MLPDiscriminator, r1

REAL = torch.tensor([-12.0, -1.5, 0.0, 0.3, 9.0], dtype=torch.float64)
FAKE = torch.tensor([8.0, 0.7, 0.0, -2.0, -15.0], dtype=torch.float64)


def test_the_discriminator_pays_minus_the_value_of_the_game():
    d_real, d_fake = REAL.sigmoid(), FAKE.sigmoid()
    for loss in LOSSES.values():
        torch.testing.assert_close(loss.discriminator(REAL, FAKE), -(d_real.log() + (1 - d_fake).log()))


def test_the_generators_losses_are_the_textbooks():
    d_fake = FAKE.sigmoid()
    torch.testing.assert_close(LOSSES["minimax"].generator(FAKE), (1 - d_fake).log())
    torch.testing.assert_close(LOSSES["non_saturating"].generator(FAKE), -d_fake.log())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_losses_and_gradients_stay_finite_where_the_sigmoid_has_rounded(name, player):
    extremes = torch.tensor([-1e4, 1e4])
    real, fake = (
        part.flatten().requires_grad_() for part in torch.meshgrid(extremes, extremes, indexing="ij")
    )
    paid = getattr(LOSSES[name], player)(*([real, fake] if player == "discriminator" else [fake]))
    gradients = torch.autograd.grad(paid.sum(), (real, fake), allow_unused=True)
    assert paid.shape == (4,)
    assert bool(paid.isfinite().all())
    assert all(bool(g.isfinite().all()) for g in gradients if g is not None)


def test_a_sure_discriminator_costs_nothing_when_right_and_the_logit_when_wrong():
    far = torch.tensor([1e4])
    for loss in LOSSES.values():
        assert loss.discriminator(far, -far).item() == 0.0
        assert loss.discriminator(-far, far).item() == 2e4
    assert LOSSES["non_saturating"].generator(-far).item() == 1e4
    assert LOSSES["minimax"].generator(-far).item() == 0.0


def test_only_the_non_saturating_gradient_survives_a_sure_discriminator():
    logits = torch.tensor([-20.0, 0.0, 20.0], dtype=torch.float64, requires_grad=True)
    slopes = {
        name: torch.autograd.grad(loss.generator(logits).sum(), logits)[0] for name, loss in LOSSES.items()
    }
    d = logits.detach().sigmoid()
    torch.testing.assert_close(slopes["minimax"], -d)
    torch.testing.assert_close(slopes["non_saturating"], -(1 - d))
    assert slopes["minimax"][0].abs() < 1e-8
    assert slopes["non_saturating"][0].abs() > 1 - 1e-8


def test_a_discriminator_that_cannot_tell_pays_log_4():
    zeros = torch.zeros(3)
    for loss in LOSSES.values():
        torch.testing.assert_close(loss.discriminator(zeros, zeros), torch.full((3,), math.log(4)))


# The penalty


def test_r1_of_a_linear_judge_is_half_the_squared_norm_of_its_weights():
    w = torch.tensor([3.0, -4.0], dtype=torch.float64)
    x = torch.randn(6, 2, dtype=torch.float64)
    torch.testing.assert_close(
        r1(lambda x: x @ w, x, x, gamma=2.0), torch.full((6,), 25.0, dtype=torch.float64)
    )


def test_r1_of_a_quadratic_judge_is_one_number_for_each_example():
    x = torch.randn(5, 1, 2, 2, dtype=torch.float64)
    paid = r1(lambda x: x.square().flatten(1).sum(1), x, torch.zeros_like(x))
    torch.testing.assert_close(paid, 2 * x.square().flatten(1).sum(1))


def test_r1_reaches_every_weight_that_shapes_the_slope_and_no_example():
    judge = MLPDiscriminator((2,), [8, 8])
    x = torch.randn(7, 2)
    r1(judge, x, x).mean().backward()
    assert not x.requires_grad
    for name, p in judge.named_parameters():
        if name.endswith("weight"):
            assert p.grad.abs().sum() > 0, name


def test_r1_does_not_look_at_generated_examples():
    judge, x = MLPDiscriminator((2,), [8]), torch.randn(4, 2)
    assert torch.equal(r1(judge, x, x), r1(judge, x, torch.full((4, 2), torch.nan)))
