import pytest
import torch
from scipy import stats

from gm_lib.gan import PENALTIES, MLPDiscriminator, Packed, gradient_penalty, penalties, r1, r2


def norm_squared(x):
    return x.square().flatten(1).sum(1)


@pytest.fixture
def mixed(monkeypatch):
    """Mixing weights that stay with their examples, however the batch is cut: those of real example i."""
    weights = torch.rand(12, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def use(rows=slice(None)):
        monkeypatch.setattr(penalties, "uniform", lambda shape, **_: weights[rows].view(shape))
        return weights[rows]

    return use


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


def test_r2_is_r1_at_the_generated_examples_and_does_not_look_at_real_ones():
    judge, x_real, x_fake = MLPDiscriminator((2,), [8]), torch.randn(4, 2), torch.randn(4, 2)
    at_fake = r2(judge, torch.full((4, 2), torch.nan), x_fake, gamma=3.0)
    assert torch.equal(at_fake, r1(judge, x_fake, x_real, gamma=3.0))
    both = PENALTIES["r1+r2"](judge, x_real, x_fake, gamma=3.0)
    torch.testing.assert_close(both, r1(judge, x_real, x_fake, gamma=3.0) + at_fake)


# The gradient penalty


@pytest.mark.parametrize("n", [1, 16])
@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)])
def test_a_linear_judge_of_unit_norm_pays_no_gradient_penalty_at_any_batch_size(n, shape):
    w = torch.nn.functional.normalize(torch.randn(4, dtype=torch.float64), dim=0)
    x, other = torch.randn(2, n, *shape, dtype=torch.float64)
    paid = gradient_penalty(lambda x: x.flatten(1) @ w, x, other)
    torch.testing.assert_close(paid, torch.zeros(n, dtype=torch.float64))
    paid = gradient_penalty(lambda x: 3 * x.flatten(1) @ w, x, other, gamma=5.0)
    torch.testing.assert_close(paid, torch.full((n,), 5.0 * (3 - 1) ** 2, dtype=torch.float64))


def test_the_gradient_penalty_of_a_quadratic_judge_is_that_of_the_mixed_examples(mixed):
    x_real, x_fake = torch.randn(2, 12, 1, 2, 3, dtype=torch.float64)
    u = mixed().view(-1, 1, 1, 1)
    x = u * x_real + (1 - u) * x_fake
    expected = 10 * (2 * x.flatten(1).norm(dim=1) - 1) ** 2
    torch.testing.assert_close(gradient_penalty(norm_squared, x_real, x_fake), expected)


def test_the_gradient_penalty_does_not_depend_on_how_the_batch_is_cut(mixed):
    judge = MLPDiscriminator((3,), [8]).double()
    x_real, x_fake = torch.randn(2, 12, 3, dtype=torch.float64)
    mixed()
    whole = gradient_penalty(judge, x_real, x_fake)
    for rows in (slice(0, 1), slice(1, 6), slice(6, 12)):
        mixed(rows)
        torch.testing.assert_close(gradient_penalty(judge, x_real[rows], x_fake[rows]), whole[rows])


def test_every_example_is_mixed_by_a_uniform_weight_of_its_own():
    seen = []

    def judge(x):
        seen.append(x.detach())
        return x.sum(1)

    torch.manual_seed(0)
    gradient_penalty(judge, torch.ones(4000, 3), torch.zeros(4000, 3))
    (x,) = seen
    assert torch.equal(x, x[:, :1].expand(-1, 3))  # one weight for all that belongs to an example
    assert stats.kstest(x[:, 0].numpy(), "uniform").pvalue > 1e-3


def test_a_judge_that_is_flat_has_a_gradient_penalty_that_can_be_learnt_from():
    judge = MLPDiscriminator((2,), [8])
    torch.nn.init.zeros_(judge.net[-1].weight)
    paid = gradient_penalty(judge, torch.randn(5, 2), torch.randn(5, 2), gamma=2.0)
    torch.testing.assert_close(paid, torch.full((5,), 2.0))
    paid.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in judge.parameters() if p.grad is not None)


# Packs, processes


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_of_packs_is_that_of_the_judge_within_on_whole_packs(name, mixed):
    inner = MLPDiscriminator((6,), [8]).double()
    x_real, x_fake = torch.randn(2, 12, 2, dtype=torch.float64)
    u = mixed()
    paid = PENALTIES[name](Packed(inner, 3), x_real, x_fake, gamma=2.0)
    assert paid.shape == (4,)
    if name == "gradient_penalty":
        x = (u * x_real + (1 - u) * x_fake).view(4, 6).requires_grad_()
        (slopes,) = torch.autograd.grad(inner(x).sum(), x)
        torch.testing.assert_close(paid.detach(), 2 * (slopes.norm(dim=1) - 1) ** 2)
    else:
        packs = x_real.view(4, 6), x_fake.view(4, 6)
        torch.testing.assert_close(paid, PENALTIES[name](inner, *packs, gamma=2.0))
