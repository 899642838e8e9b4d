import itertools

import pytest
import torch

from gm_lib.vae import AutoregressiveBernoulli, MaskedBernoulli

VALUES = 5
ALL = torch.tensor(list(itertools.product((0.0, 1.0), repeat=VALUES)))


@pytest.fixture
def model() -> MaskedBernoulli:
    torch.manual_seed(0)
    made = MaskedBernoulli([VALUES], 3)
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.8)  # also where it must not be looked at
    return made


def test_a_decoder_puts_out_biases_of_logits_and_of_hidden_units(model):
    assert model.params_shape == (4 * VALUES,)


def test_the_probabilities_of_all_values_sum_to_one(model):
    log_p = model.log_prob(ALL, torch.randn(4 * VALUES).expand(32, -1))
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-5)


def test_a_value_is_told_of_those_before_it_and_of_no_other(model):
    """p(x₁ … xᵢ) does not depend on what comes behind: summed over it, it is the product so far."""
    params = torch.randn(4 * VALUES)
    p = model.log_prob(ALL, params.expand(32, -1)).exp().reshape([2] * VALUES)
    with torch.no_grad():
        bias, told = model._biases(params)
        first = torch.relu(told) @ (model.out * model.seen)[0] + bias[0]
    torch.testing.assert_close(p[1].sum(), first.sigmoid())


def test_the_hidden_units_matter(model):
    """It is no AutoregressiveBernoulli: the log-odds of the last value are not linear in those before."""
    params = torch.randn(4 * VALUES)
    log_p = model.log_prob(ALL, params.expand(32, -1)).reshape([2] * VALUES)
    odds = (log_p[..., 1] - log_p[..., 0])[:, :, 0, 0]
    assert abs(odds[1, 1] - odds[1, 0] - odds[0, 1] + odds[0, 0]).item() > 1e-3


def test_a_hidden_unit_brings_the_value_before_to_its_own_value(model):
    """Without the direct way, the odds of each value but the first still depend on the one before it."""
    torch.nn.init.zeros_(model.weight)
    log_p = model.log_prob(ALL, torch.zeros(4 * VALUES).expand(32, -1)).exp().reshape([2] * VALUES)
    for i in range(1, VALUES):
        p = log_p.sum(tuple(range(i + 1, VALUES))) if i + 1 < VALUES else log_p
        odds = p[..., 1].log() - p[..., 0].log()
        assert (odds.select(-1, 1) - odds.select(-1, 0)).abs().max() > 1e-3


def test_at_first_it_is_independent_given_the_biases():
    params = torch.randn(32, 4 * VALUES)
    made, other = MaskedBernoulli([VALUES], 3), AutoregressiveBernoulli([VALUES])
    torch.testing.assert_close(made.log_prob(ALL, params), other.log_prob(ALL, params[:, :VALUES]))


def test_each_pattern_is_drawn_as_often_as_log_prob_says(model):
    params, n = 0.5 * torch.randn(4 * VALUES), 50_000
    draws = model.sample(params.expand(n, -1), torch.Generator().manual_seed(0))
    places = (draws * 2 ** torch.arange(VALUES - 1, -1, -1)).sum(1).long()
    shares = torch.bincount(places, minlength=32) / n
    p = model.log_prob(ALL, params.expand(32, -1)).exp()
    assert bool(((shares - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1 / n).all())


def test_draws_of_several_codes_broadcast(model):
    params = torch.randn(4, 3, 4 * VALUES)
    log_p = model.log_prob(ALL[:3], params)
    assert log_p.shape == (4, 3)
    torch.testing.assert_close(log_p[2, 1], model.log_prob(ALL[1], params[2, 1]))


def test_the_masks_are_no_weights_to_be_stored(model):
    assert set(model.state_dict()) == {"weight", "into", "out"}
