import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from gm_lib.beyond import (
    Diffusion,
    TimeMLP,
    diffusion,
    digit_diffusion,
    log_snr,
    noised,
    scales,
    slide_back,
    step_back,
)
from gm_lib.beyond.last_step import RealValues
from gm_lib.beyond.noising import HIGHEST, LOWEST, downward, draw_back, spread
from gm_lib.data import toy
from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.evaluation import negative_elbo
from gm_lib.runtime import forked_rng
from gm_lib.training import fit

V = 0.25  # variance of the Gaussian data of which all is known


class Exact(nn.Module):
    """The network that makes x̂ the mean of x given z_t, of x from N(0, V)."""

    shape, num_classes = (2,), 0

    def __init__(self):
        super().__init__()
        self.dtype_of = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, z, t, y=None):
        alpha, sigma = scales(t, z)
        return (alpha - alpha * V / (alpha**2 * V + sigma**2)) * z / sigma


class Says(nn.Module):
    """A network that says the label, or -1 where none is known, and keeps what it was told."""

    shape, num_classes = (1, 4, 4), 3

    def __init__(self):
        super().__init__()
        self.weight, self.told = nn.Parameter(torch.ones(())), []

    def forward(self, z, t, y=None):
        y = torch.full((len(z),), 3) if y is None else y
        self.told.append(y)
        return self.weight * torch.where(y == 3, -1.0, y.to(z.dtype)).view(-1, 1, 1, 1).expand(z.shape)


def closed_form(steps: int) -> torch.Tensor:
    """Return the terms of -ELBO for N(0, V) and the exact denoiser, means per value: (steps + 1,)."""
    snr = torch.linspace(LOWEST, HIGHEST, steps, dtype=torch.float64).exp()
    error = V / (1 + V * snr)
    alpha2 = snr[0] / (1 + snr[0])
    prior = 0.5 * (alpha2 * V + (1 - alpha2) - 1 - (1 - alpha2).log())
    last = 0.5 * (snr[-1] * error[-1] + (2 * math.pi / snr[-1]).log())
    return torch.cat([prior[None], 0.5 * (snr[1:] - snr[:-1]) * error[:-1], last[None]])


EXACT = 0.5 * math.log(2 * math.pi * math.e * V)


@pytest.fixture
def gaussian():
    """Return draws from N(0, V I) in the plane."""
    with forked_rng(1):
        return V**0.5 * torch.randn(4000, 2, dtype=torch.float64)


# --- the encoder


def test_what_is_kept_and_what_is_added_have_variance_1_together_and_the_ratio_of_the_schedule():
    t = torch.linspace(0, 1, 7, dtype=torch.float64)
    alpha, sigma = scales(t, torch.zeros(7, 3))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(7, 1, dtype=torch.float64))
    torch.testing.assert_close(2 * (alpha / sigma).log()[:, 0], log_snr(t))


def test_a_level_has_the_mean_and_the_variance_that_it_should():
    x, t = torch.full((50_000, 1), 3.0), torch.full((50_000,), 0.4)
    alpha, sigma = scales(t[:1], x)
    with forked_rng(0):
        z = noised(x, t)
    assert_unbiased(z, 3 * alpha[0])
    assert_unbiased((z - 3 * alpha).square(), sigma[0] ** 2)


def test_a_step_back_is_what_bayes_rule_says_of_z_s_given_z_t_and_x():
    t, s = torch.tensor([0.55], dtype=torch.float64), torch.tensor([0.4], dtype=torch.float64)
    x, z = torch.tensor([[1.3]], dtype=torch.float64), torch.tensor([[-0.2]], dtype=torch.float64)
    (alpha, sigma), (alpha_s, sigma_s) = scales(t, x), scales(s, x)
    on = alpha / alpha_s  # z_t = on z_s + noise, so that the variances add up to σ_t²
    noise = (sigma**2 - on**2 * sigma_s**2).sqrt()
    grid = torch.linspace(-6, 6, 200_001, dtype=torch.float64)
    log_p = Normal(alpha_s * x, sigma_s).log_prob(grid) + Normal(on * grid, noise).log_prob(z)
    p = log_p.softmax(1)
    mean = (p * grid).sum()
    found_mean, found_sd = step_back(z, x, t, s)
    assert found_mean.item() == pytest.approx(mean.item(), abs=1e-6)
    assert found_sd.item() == pytest.approx((p * (grid - mean).square()).sum().sqrt().item(), abs=1e-6)


def test_the_two_ways_down_lead_to_levels_with_the_right_distribution_if_x_is_known():
    t, s = torch.full((50_000,), 0.6), torch.full((50_000,), 0.45)
    x = torch.full((50_000, 1), 2.0)
    alpha, sigma = scales(s[:1], x)
    with forked_rng(0):
        z = noised(x, t)
        mean, sd = step_back(z, x, t, s)
        drawn = mean + sd * torch.randn(z.shape)
    for there in (drawn, slide_back(z, x, t, s)):
        assert_unbiased(there, 2 * alpha[0])
        assert_unbiased((there - 2 * alpha).square(), sigma[0] ** 2)


def test_a_draw_of_a_step_back_has_its_mean_and_standard_deviation_and_its_generator():
    z, x = torch.full((40_000, 1), 0.3).double(), torch.full((40_000, 1), -1.0).double()
    t, s = torch.full((40_000,), 0.6).double(), torch.full((40_000,), 0.2).double()
    drawn = draw_back(z, x, t, s, torch.Generator().manual_seed(0))
    mean, sd = step_back(z, x, t, s)
    assert drawn.dtype == z.dtype
    assert_unbiased((drawn - mean)[:, 0], 0.0)
    assert_unbiased((drawn - mean).square()[:, 0], sd[0].item() ** 2)
    assert torch.equal(drawn, draw_back(z, x, t, s, torch.Generator().manual_seed(0)))


def test_the_way_down_goes_from_each_time_to_the_one_before_for_each_example():
    pairs = [*downward(torch.tensor([0.0, 0.25, 1.0]), 2)]
    assert [(t.tolist(), s.tolist()) for t, s in pairs] == [
        ([1.0, 1.0], [0.25, 0.25]),
        ([0.25, 0.25], [0.0, 0.0]),
    ]


def test_batches_are_spread_over_the_levels_and_every_example_may_get_each():
    with forked_rng(0):
        u = torch.stack([spread(torch.zeros(8)) for _ in range(4000)])
    assert_unbiased(u, torch.full((8,), 0.5))
    assert_unbiased(u.square(), torch.full((8,), 1 / 3))
    torch.testing.assert_close(u.sort(1).values.diff(dim=1), torch.full((4000, 7), 1 / 8))
    assert (u < 1).all()


# --- the bound


def test_the_nats_of_a_step_are_the_kl_of_the_two_gaussians(gaussian):
    model, x = Diffusion(Exact()), gaussian[:50]
    t, s = x.new_full((50,), 0.5), x.new_full((50,), 0.47)
    with forked_rng(0):
        found = model.step_nats(x, t, s)
    with forked_rng(0):
        z = noised(x, t)
    q, p = (Normal(*step_back(z, clean, t, s)) for clean in (x, model.denoise(z, t)))
    torch.testing.assert_close(found, kl_divergence(q, p).sum(1))


def test_the_nats_of_the_prior_are_the_kl_of_the_last_level(gaussian):
    model, x = Diffusion(Exact()), gaussian[:50]
    alpha, sigma = scales(x.new_ones(50), x)
    q = Normal(alpha * x, sigma.expand_as(x))
    expected = kl_divergence(q, Normal(torch.zeros_like(x), 1.0)).sum(1)
    torch.testing.assert_close(model.prior_nats(x), expected)


def test_every_term_has_its_closed_form_for_gaussian_data(gaussian):
    with forked_rng(0), torch.no_grad():
        terms = Diffusion(Exact()).terms(gaussian, steps=10)
    assert terms.shape == (4000, 11)
    assert_unbiased(terms, 2 * closed_form(10))


def test_the_bound_lies_above_the_exact_nats_and_its_gap_goes_as_one_over_the_steps(gaussian):
    gaps = {}
    for steps in (32, 256):
        with forked_rng(0), torch.no_grad():
            bound = Diffusion(Exact()).terms(gaussian, steps=steps).sum(1)
        exact = -Normal(0, V**0.5).log_prob(gaussian).sum(1)
        assert_unbiased(bound - exact, 2 * (closed_form(steps).sum() - EXACT))
        gaps[steps] = closed_form(steps).sum().item() - EXACT
    assert gaps[32] > gaps[256] > 0
    assert gaps[32] / gaps[256] == pytest.approx(255 / 31, rel=0.2)


@pytest.mark.parametrize("steps", [2, 9])
def test_one_step_is_an_unbiased_estimate_of_the_sum_of_all(gaussian, steps):
    model, x = Diffusion(Exact(), steps=steps), gaussian[:7]
    with forked_rng(0), torch.no_grad():
        one = -model.elbo(x.repeat(40_000, 1)).view(-1, 7)
        all_of_them = model.terms(x.repeat(10_000, 1)).sum(1).view(-1, 7)
    error = (one.var(0) / len(one) + all_of_them.var(0) / len(all_of_them)).sqrt()
    assert ((one.mean(0) - all_of_them.mean(0)).abs() < 4 * error).all()


def test_pixels_of_fair_coins_cost_log_2_each_and_a_little_more():
    model = digit_diffusion(shape=(1, 4, 4), width=8, steps=500)
    with forked_rng(0), torch.no_grad():
        x = torch.bernoulli(torch.full((300, 1, 4, 4), 0.5))
        per_pixel = model.terms(x).sum(1) / 16
    mean, error = per_pixel.mean().item(), per_pixel.std().item() / 300**0.5
    assert math.log(2) - 4 * error < mean < math.log(2) + 0.03 + 4 * error


def test_negative_elbo_takes_the_model_as_it_takes_others(gaussian):
    found = negative_elbo(Diffusion(Exact(), steps=20), gaussian, k=2)
    assert abs(found.mean - 2 * closed_form(20).sum().item()) < 4 * found.standard_error


def test_the_last_step_of_real_values_is_what_a_level_says_of_x_by_itself():
    # log p(x | z) = log q(z | x) + log α for each value, if nothing is known of x but z.
    t, x = torch.full((5,), 0.5), torch.randn(5, 3)
    alpha, sigma = scales(t, x)
    z = noised(x, t)
    expected = (Normal(alpha * x, sigma).log_prob(z) + alpha.log()).sum(1)
    torch.testing.assert_close(RealValues().log_prob(x, z / alpha, t), expected)


# --- what is learned


def test_the_loss_is_the_squared_error_of_the_noise():
    # Of N(0, V) the noise found is wrong by α² V / (α² V + σ²) on average.
    model = Diffusion(Exact(), steps=50)
    snr = log_snr(torch.linspace(0, 1, 50, dtype=torch.float64)).exp()
    with forked_rng(0), torch.no_grad():
        loss = model(V**0.5 * torch.randn(100_000, 2, dtype=torch.float64))
    assert_unbiased(loss, (snr * V / (1 + snr * V)).mean())


def test_training_brings_the_bound_near_the_entropy_and_not_below():
    p = toy("two_moons")
    with forked_rng(0):
        x = p.sample((20_000,))
        model = Diffusion(TimeMLP(2, (64, 64)), steps=200, lr=5e-3, decay_steps=400)
        before = model.terms(x[:500]).sum(1).mean().item()

        def stream():
            while True:
                yield x[torch.randint(len(x), (256,))], None

        fit(model, stream(), steps=400, device="cpu", progress=False)
        fresh = p.sample((500,))
        with torch.no_grad():
            gap = model.terms(fresh).sum(1) + p.log_prob(fresh)
        samples = model.sample(1000, steps=100)
    assert 0 < gap.mean() < 1.5
    assert before > gap.mean() + 1
    assert p.log_prob(samples).median() > -5


def test_labels_are_withheld_as_often_as_asked_for_and_then_unknown():
    x, y = torch.zeros(4000, 1, 4, 4), torch.arange(4000) % 3
    for drop in (0.0, 0.3):
        model = Diffusion(Says(), binary=True, drop=drop)
        with forked_rng(0):
            model(x, y)
        (told,) = model.network.told
        assert_unbiased((told == 3).double(), drop)
        assert torch.equal(told[told != 3], y[told != 3])


# --- samples


@pytest.mark.parametrize("deterministic", [False, True])
def test_samples_of_the_exact_denoiser_have_the_variance_that_the_steps_lead_to(deterministic):
    steps, variance = 100, 1.0
    times = torch.linspace(1, 0, steps, dtype=torch.float64)[:, None]
    for t, s in pairwise(times):  # all is linear: follow the variance of z
        one = torch.ones(1, 1, dtype=torch.float64)
        alpha, sigma = scales(t, one)
        x = alpha * V / (alpha**2 * V + sigma**2)
        if deterministic:
            variance = slide_back(one, x, t, s).item() ** 2 * variance
        else:
            mean, sd = step_back(one, x, t, s)
            variance = mean.item() ** 2 * variance + sd.item() ** 2
    alpha, sigma = (value.item() for value in scales(times[-1], one))
    variance *= (alpha * V / (alpha**2 * V + sigma**2)) ** 2
    variance += 0 if deterministic else (sigma / alpha) ** 2
    made = Diffusion(Exact()).sample(
        4000, steps=steps, deterministic=deterministic, generator=torch.Generator().manual_seed(0)
    )
    assert made.shape == (4000, 2)
    assert_unbiased(made.flatten(), 0.0)
    assert_unbiased(made.flatten().square(), variance)
    assert variance == pytest.approx(V, rel=0.15)


def test_samples_of_pixels_are_0_or_1_come_with_labels_and_from_their_seed_alone():
    model = Diffusion(Says(), binary=True)
    first, again, other = (
        model.sample(6, torch.arange(6) % 3, steps=3, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert first.shape == (6, 1, 4, 4)
    assert set(first.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert model.sample(0).shape == (0, 1, 4, 4)


def test_many_samples_are_made_a_few_at_a_time_each_with_its_own_label(monkeypatch):
    monkeypatch.setattr(diffusion, "AT_ONCE", 2)
    model, y = Diffusion(Says(), binary=True), torch.tensor([0, 1, 2, 2, 1])
    assert model.sample(5, y, steps=2).shape == (5, 1, 4, 4)
    assert torch.equal(torch.cat(model.network.told[::2]), y)  # of two guesses for each part, the first


def test_guidance_goes_on_as_many_times_as_far_as_the_label_led():
    model, z, t = Diffusion(Says(), binary=True), torch.zeros(3, 1, 4, 4), torch.full((3,), 0.5)
    y = torch.arange(3)
    for w in (0.0, 1.0, 2.5):
        found = model._guess(z, t, y, w)[:, 0, 0, 0]  # logits at z = 0 are what the network says
        torch.testing.assert_close(found, (1 + w) * y - w * -1.0)
    assert model.sample(2, [0, 1], steps=2, guidance=3.0).shape == (2, 1, 4, 4)


def test_guidance_without_a_label_is_refused():
    with pytest.raises(ValueError, match="guidance leads towards labels"):
        Diffusion(Says(), binary=True).sample(2, guidance=1.0)


def test_sampling_leaves_the_mode_and_gradients_of_the_network_alone():
    model = Diffusion(Says(), binary=True).train()
    samples = model.sample(2, [0, 1], steps=2)
    assert model.network.training
    assert not samples.requires_grad


# --- refusals


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ([[0.0]], torch.tensor([0]), TypeError, "torch.Tensor"),
        (torch.zeros(2, 1, 4, 5), torch.tensor([0, 1]), ValueError, "shape"),
        (torch.full((2, 1, 4, 4), 0.5), torch.tensor([0, 1]), ValueError, "binarize"),
        (torch.full((2, 1, 4, 4), math.nan), torch.tensor([0, 1]), ValueError, "NaN"),
        (torch.zeros(2, 1, 4, 4), None, ValueError, "labels are needed"),
        (torch.zeros(2, 1, 4, 4), torch.tensor([0, 3]), ValueError, "labels must lie in 0 … 2"),
    ],
)
def test_data_of_another_kind_are_refused(x, y, error, message):
    with pytest.raises(error, match=message):
        Diffusion(Says(), binary=True).check((x, y))


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"steps": 1}, {"drop": 1.0}, {"drop": -0.1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Diffusion(Says(), **wrong)
    with pytest.raises(ValueError, match="steps"):
        Diffusion(Says()).sample(1, steps=1)


def test_a_model_is_built_again_from_its_config():
    model = digit_diffusion(width=8, num_classes=10, steps=50, drop=0.15)
    again = digit_diffusion(**model.config)
    again.load_state_dict(model.state_dict())
    assert again.config == model.config
    assert (again.steps, again.drop, again.num_classes) == (50, 0.15, 10)
