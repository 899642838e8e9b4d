"""The rate and its two parts, where they are known in closed form."""

import math

import pytest
import torch
from linear_gaussian import LinearGaussian
from torch.distributions import Normal, kl_divergence

from gm_lib.evaluation import split_rate


class Given(torch.nn.Module):
    """x holds the means and the standard deviations of q(z | x); the labels, if any, shift the means."""

    def __init__(self, latent_dim):
        super().__init__()
        self.prior = Normal(torch.zeros(latent_dim), torch.ones(latent_dim))

    def encode(self, x, y=None):
        assert not torch.is_grad_enabled()
        mean, std = x.chunk(2, dim=1)
        return Normal(mean if y is None else mean + 100.0 * y.unsqueeze(1), std)


def codes(mean, std):
    return torch.cat([mean, torch.as_tensor(std).expand_as(mean)], dim=1)


def test_codes_that_are_all_equal_tell_nothing_and_the_rate_is_all_distance_to_the_prior():
    x = codes(torch.tensor([[1.0, -0.5]]), 0.4).expand(700, 4)
    split = split_rate(Given(2), x, draws=20)
    exact = kl_divergence(Normal(torch.tensor([1.0, -0.5]), 0.4), Normal(0.0, 1.0)).sum().item()
    assert split.rate.mean == pytest.approx(exact, rel=1e-6)
    assert split.mutual_information.mean == pytest.approx(0.0, abs=1e-9)
    assert split.prior_kl.mean == pytest.approx(exact, abs=4 * split.prior_kl.standard_error)
    assert split.n == 700


@pytest.mark.parametrize("std", [0.1, 1e-4])
def test_codes_that_are_far_apart_tell_which_example_it_was(std):
    widths = std * torch.linspace(1, 2, 41).unsqueeze(1)
    split = split_rate(Given(1), codes(torch.linspace(-50, 50, 41).unsqueeze(1), widths), draws=3)
    assert split.mutual_information.mean == pytest.approx(math.log(41), abs=1e-3)
    assert split.mutual_information.standard_error < 1e-3


def test_two_kinds_of_examples_far_apart_tell_one_bit_however_many_there_are():
    x = codes(torch.tensor([[-9.0], [9.0]]).repeat(150, 1), 0.5)
    split = split_rate(Given(1), x)
    assert split.mutual_information.mean == pytest.approx(math.log(2), abs=1e-9)
    assert split.mutual_information.standard_error == pytest.approx(0, abs=1e-9)


def test_a_gaussian_channel_carries_what_shannon_says():
    mean, std = 1.2 * torch.randn(4_000, 1), 0.7
    split = split_rate(Given(1), codes(mean, std), draws=2)
    information = 0.5 * math.log(1 + 1.2**2 / std**2)
    distance = kl_divergence(Normal(0.0, math.hypot(1.2, std)), Normal(0.0, 1.0)).item()
    for part, exact in ((split.mutual_information, information), (split.prior_kl, distance)):
        assert part.standard_error < 0.03
        assert part.mean == pytest.approx(exact, abs=5 * part.standard_error)


def test_where_q_is_the_posterior_and_x_comes_from_the_model_no_part_is_lost_to_the_prior():
    exact = LinearGaussian()
    split = split_rate(exact.model, exact.marginal.sample((5_000,)), draws=2)
    information = -0.5 * torch.logdet(exact.covariance).item()  # of the prior it is 0
    assert split.prior_kl.mean == pytest.approx(0, abs=5 * split.prior_kl.standard_error)
    assert split.mutual_information.mean == pytest.approx(
        information, abs=5 * split.mutual_information.standard_error
    )
    assert split.rate.mean == pytest.approx(information, abs=5 * split.rate.standard_error)


def test_the_two_parts_sum_to_the_rate_within_the_standard_error():
    angle = torch.linspace(0, 2 * math.pi, 301)[:-1]
    ring = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)  # the rate is the same for every example
    split = split_rate(Given(2), codes(ring, 0.3), draws=30)
    assert split.rate.standard_error == pytest.approx(0, abs=1e-6)
    error = math.hypot(split.mutual_information.standard_error, split.prior_kl.standard_error)
    assert error < 0.03
    total = split.mutual_information.mean + split.prior_kl.mean
    assert total == pytest.approx(split.rate.mean, abs=4 * error)


def test_the_rate_is_the_mean_of_the_closed_form():
    mean, std = torch.randn(1_300, 3), torch.rand(1_300, 3) + 0.1
    split = split_rate(Given(3), torch.cat([mean, std], dim=1))
    each = kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).sum(1)
    assert split.rate.mean == pytest.approx(each.mean().item(), rel=1e-5)
    assert split.rate.standard_error == pytest.approx(each.std().item() / math.sqrt(1_300), rel=1e-5)


def test_labels_reach_the_encoder():
    x, y = codes(torch.zeros(60, 1), 1.0), torch.arange(60) % 3
    assert split_rate(Given(1), x, y).mutual_information.mean == pytest.approx(math.log(3), abs=1e-9)


def test_it_is_the_same_in_pieces_of_any_size(monkeypatch):
    x = torch.cat([torch.randn(50, 2), torch.rand(50, 2) + 0.1], dim=1)
    together = split_rate(Given(2), x, draws=3)
    monkeypatch.setattr("gm_lib.evaluation.information.VALUES_AT_ONCE", 7 * 50)
    in_pieces = split_rate(Given(2), x, draws=3)
    for name in ("rate", "mutual_information", "prior_kl"):
        assert getattr(in_pieces, name).mean == pytest.approx(getattr(together, name).mean, rel=1e-9)


def test_the_same_seed_gives_the_same_numbers_and_the_global_state_stays():
    x = codes(torch.randn(20, 1), 0.5)
    state = torch.get_rng_state()
    first, second, other = (split_rate(Given(1), x, seed=seed) for seed in (0, 0, 1))
    assert first.prior_kl == second.prior_kl
    assert first.prior_kl != other.prior_kl
    assert torch.equal(torch.get_rng_state(), state)


def test_it_prints_the_three_numbers_and_the_most_that_n_examples_allow():
    split = split_rate(Given(1), codes(torch.randn(1_000, 1), 0.5))
    rate, information, distance = str(split).splitlines()
    assert str(split.rate) in rate
    assert str(split.mutual_information) in information
    assert "at most log 1,000 = 6.91" in information
    assert str(split.prior_kl) in distance


def test_too_little_to_measure_is_refused():
    with pytest.raises(ValueError, match="at least 2 examples and 1 draw"):
        split_rate(Given(1), codes(torch.zeros(1, 1), 1.0))
    with pytest.raises(ValueError, match="draws=0"):
        split_rate(Given(1), codes(torch.zeros(3, 1), 1.0), draws=0)
