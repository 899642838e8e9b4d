import itertools

import pytest
import torch

from gm_lib.vae import AutoregressiveBernoulli, Bernoulli

SHAPE = (1, 2, 3)
ALL = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6))).reshape(-1, *SHAPE)


@pytest.fixture
def model() -> AutoregressiveBernoulli:
    made = AutoregressiveBernoulli(SHAPE)
    torch.nn.init.normal_(made.weight, std=0.7)  # also where it must not be looked at
    return made


def test_the_probabilities_of_all_images_sum_to_one(model):
    log_p = model.log_prob(ALL, torch.randn(SHAPE).expand(64, *SHAPE))
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-5)


def test_it_is_the_product_of_the_conditionals(model):
    params, x = torch.randn(SHAPE), ALL[37]
    logits, expected = params.flatten().clone(), 0.0
    for i, value in enumerate(x.flatten()):
        logit = logits[i] + sum(model.weight[i, j] * x.flatten()[j] for j in range(i))
        expected += torch.distributions.Bernoulli(logits=logit).log_prob(value)
    torch.testing.assert_close(model.log_prob(x, params), expected)


def test_without_weights_it_is_bernoulli():
    params = torch.randn(64, *SHAPE)
    mine, other = AutoregressiveBernoulli(SHAPE), Bernoulli(SHAPE)
    torch.testing.assert_close(mine.log_prob(ALL, params), other.log_prob(ALL, params))


def test_each_image_is_drawn_as_often_as_log_prob_says(model):
    params, n = 0.5 * torch.randn(SHAPE), 100_000
    draws = model.sample(params.expand(n, *SHAPE), torch.Generator().manual_seed(0))
    places = (draws.flatten(1) * 2 ** torch.arange(5, -1, -1)).sum(1).long()
    shares = torch.bincount(places, minlength=64) / n
    p = model.log_prob(ALL, params.expand(64, *SHAPE)).exp()
    # The standard error that is known: of a rare image's few draws none can be estimated.
    assert ((shares - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1 / n).all()


def test_draws_of_several_codes_broadcast(model):
    params, x = torch.randn(4, 3, *SHAPE), ALL[:3]
    log_p = model.log_prob(x, params)
    assert log_p.shape == (4, 3)
    torch.testing.assert_close(log_p[2, 1], model.log_prob(x[1], params[2, 1]))


def test_a_mean_or_a_torch_distribution_is_not_pretended(model):
    with pytest.raises(NotImplementedError, match="average draws"):
        model.mean(torch.randn(2, *SHAPE))
    with pytest.raises(NotImplementedError, match="log_prob"):
        model.distribution(torch.randn(2, *SHAPE))
