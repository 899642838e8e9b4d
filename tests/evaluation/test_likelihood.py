import math

import pytest
import torch
from scipy.stats import bernoulli, norm

from gm_lib.data import dequantize
from gm_lib.distributions.estimates import estimate
from gm_lib.evaluation import (
    active_units,
    annealed_log_likelihood,
    bits_per_dim,
    dequantized_bits_per_dim,
    exact_log_likelihood,
    log_likelihood,
    negative_elbo,
    split_rate,
)
from gm_lib.vae import digit_vae


class Table(torch.nn.Module):
    """A model whose log-weights stand in a table (k, n): x says which column, and rows are dealt in order."""

    def __init__(self, table):
        super().__init__()
        self.table = table
        self.dealt = torch.zeros(table.shape[1], dtype=torch.long)
        self.largest_call = 0

    def log_weights(self, x, y=None, *, k, generator=None):
        assert not self.training
        assert not torch.is_grad_enabled()
        columns = x[:, 0].long()
        start = int(self.dealt[columns[0]])
        assert bool((self.dealt[columns] == start).all())
        self.dealt[columns] += k
        self.largest_call = max(self.largest_call, k)
        assert start + k <= len(self.table), "more draws than were asked for"
        return self.table[start : start + k, columns]

    def elbo(self, x, y=None):
        return self.log_weights(x, y, k=1)[0]


def table(k=23, n=11):
    # Wildly different weights, so that a wrong merge shows and exp() alone underflows.
    return -900 + 30 * torch.randn(k, n, dtype=torch.float64)


@pytest.mark.parametrize("chunk", [1, 2, 7, 22, 23, 24, 1_000])
@pytest.mark.parametrize("batch_size", [1, 4, 11, 50])
def test_the_bound_is_the_same_in_chunks_of_any_size_and_uses_exactly_k_draws(chunk, batch_size):
    model = Table(table())
    x = torch.arange(11.0).unsqueeze(1)
    result = log_likelihood(model, x, k=23, batch_size=batch_size, chunk=chunk)
    expected = model.table.logsumexp(0) - math.log(23)
    torch.testing.assert_close(result.bound, expected, rtol=1e-12, atol=1e-10)
    assert bool((model.dealt == 23).all())
    assert model.largest_call <= chunk


def test_mean_and_standard_error_are_those_over_the_examples():
    model = Table(table())
    result = log_likelihood(model, torch.arange(11.0).unsqueeze(1), k=23)
    assert result.mean == pytest.approx(result.bound.mean().item())
    assert result.standard_error == pytest.approx(result.bound.std().item() / math.sqrt(11))
    assert str(result) == str(estimate(result.bound))


def test_one_example_has_a_bound_but_no_standard_error():
    result = log_likelihood(Table(table()), torch.zeros(1, 1), k=23)
    assert math.isfinite(result.mean)
    assert math.isnan(result.standard_error)


def test_negative_elbo_averages_exactly_k_draws():
    model = Table(table())
    result = negative_elbo(model, torch.arange(11.0).unsqueeze(1), k=23, batch_size=4)
    torch.testing.assert_close(result.bound, -model.table.mean(0))
    assert bool((model.dealt == 23).all())


def test_impossible_data_has_likelihood_minus_infinity_and_not_nan():
    model = Table(torch.full((5, 2), -math.inf, dtype=torch.float64))
    result = log_likelihood(model, torch.arange(2.0).unsqueeze(1), k=5, chunk=2)
    assert bool((result.bound == -math.inf).all())


class Noisy(torch.nn.Module):
    """Draws its weights, from the generator given or from the global state."""

    def log_weights(self, x, y=None, *, k, generator=None):
        return torch.randn(k, len(x), generator=generator)

    def elbo(self, x, y=None):
        return torch.randn(len(x))


@pytest.mark.parametrize("evaluate", [log_likelihood, negative_elbo])
def test_the_same_seed_gives_the_same_estimate_and_the_global_state_stays(evaluate):
    x = torch.zeros(7, 1)
    state = torch.get_rng_state()
    first, second, other = (evaluate(Noisy(), x, k=4, seed=seed).bound for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_put_back(training):
    model = Table(table()).train(training)
    log_likelihood(model, torch.zeros(1, 1), k=1)
    assert model.training is training


class Encoder(torch.nn.Module):
    def encode(self, x, y=None):
        return torch.distributions.Normal(x * torch.tensor([1.0, 0.05, 0.0]), 1.0)


def test_active_units_are_the_variance_of_the_posterior_mean_over_the_data():
    x = torch.randn(1_300, 3)
    units = active_units(Encoder(), x)
    expected = (x * torch.tensor([1.0, 0.05, 0.0])).double().var(0)
    torch.testing.assert_close(units.variance, expected)
    assert units.active.tolist() == [True, False, False]
    assert units.count == 1
    assert active_units(Encoder(), x, threshold=1e-4).count == 2


def test_a_flat_density_costs_the_bits_of_its_levels_and_a_fair_coin_one():
    flat = torch.zeros(5)  # log 1: uniform on [0, 1]^784
    torch.testing.assert_close(bits_per_dim(flat, 784, bin_width=1 / 256), torch.full((5,), 8.0))
    coins = torch.tensor([784 * math.log(0.5)])
    torch.testing.assert_close(bits_per_dim(coins, 784), torch.ones(1))


def test_bits_per_dim_of_a_histogram_are_those_of_the_levels_it_counts():
    p = torch.tensor([0.5, 0.25, 0.125, 0.125])
    entropy = float(-(p * p.log2()).sum())
    density = (4 * p).log()  # constant on each of four bins of [0, 1]
    assert float((p * bits_per_dim(density, 1, bin_width=1 / 4)).sum()) == pytest.approx(entropy)
    assert float((p * bits_per_dim(p.log(), 1)).sum()) == pytest.approx(entropy)


@pytest.mark.parametrize("wrong", [{"dims": 0}, {"dims": 3, "bin_width": 0.0}])
def test_bits_per_dim_refuse_what_is_no_dimension_or_width(wrong):
    with pytest.raises(ValueError, match="dims must be at least 1 and bin_width positive"):
        bits_per_dim(torch.zeros(1), **wrong)


def test_nothing_to_evaluate_is_an_error_that_says_so():
    with pytest.raises(ValueError, match=r"k is the number of draws per example.*got 0"):
        log_likelihood(Noisy(), torch.zeros(3, 1), k=0)
    with pytest.raises(ValueError, match="no data to evaluate"):
        negative_elbo(Noisy(), torch.zeros(0, 1))
    with pytest.raises(ValueError, match="at least 2 examples are needed, got 1"):
        active_units(Encoder(), torch.zeros(1, 3))


MEASURES = [
    lambda model, x: log_likelihood(model, x, k=2),
    lambda model, x: negative_elbo(model, x),
    lambda model, x: active_units(model, x),
    lambda model, x: annealed_log_likelihood(model, x, temperatures=3, chains=2, leapfrog=2),
    lambda model, x: split_rate(model, x),
]


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("likelihood", "bad", "message"),
    [
        ("bernoulli", torch.full((4, 1, 28, 28), 0.5), "exactly 0 or 1"),
        ("bernoulli", torch.full((4, 1, 28, 28), 255.0), "exactly 0 or 1"),
        ("gaussian", torch.full((4, 1, 28, 28), math.nan), "NaN or infinity"),
        ("categorical", torch.full((4, 1, 28, 28), 0.001), "256 levels"),
        ("bernoulli", torch.zeros(1, 28, 28), "makes a batch of one"),
        ("bernoulli", torch.zeros(4, 1, 28, 28, dtype=torch.uint8), "floating-point"),
    ],
)
def test_data_that_the_model_could_not_be_trained_on_is_refused(measure, likelihood, bad, message):
    with pytest.raises(ValueError, match=message):
        measure(digit_vae(likelihood=likelihood, hidden=4, latent_dim=2), bad)


def test_labels_that_the_model_could_not_be_trained_on_are_refused():
    model, x = digit_vae(num_classes=10, hidden=4, latent_dim=2), torch.zeros(4, 1, 28, 28)
    for y, message in (
        (None, "labels are needed"),
        (torch.zeros(3), "4 examples but 3"),
        (torch.eye(10)[:4], "argmax"),
    ):
        with pytest.raises(ValueError, match=message):
            negative_elbo(model, x, y)


@pytest.mark.parametrize("measure", MEASURES)
def test_arrays_lists_other_precisions_and_tensors_with_a_graph_measure_the_same(measure):
    model = digit_vae(hidden=4, latent_dim=2)
    x = torch.randint(0, 2, (3, 1, 28, 28)).float()
    with_graph = x.clone().requires_grad_() * 1.0
    first, *others = (
        str(measure(model, data))
        for data in (x, x.double(), x.half(), x.double().numpy(), x.tolist(), with_graph)
    )
    assert others == [first] * 5
    assert str(measure(model.double(), x))  # a model in double precision takes data in single


class Wide(torch.nn.Module):
    """A model whose decoder puts out a million numbers for one draw; notes how many it makes at a time."""

    values_per_draw = 2**20

    def __init__(self):
        super().__init__()
        self.draws = []

    def log_weights(self, x, y=None, *, k, generator=None):
        self.draws.append(k * len(x))
        return torch.zeros(k, len(x))


def test_a_decoder_that_puts_out_many_numbers_is_asked_for_few_draws_at_a_time():
    model = Wide()
    log_likelihood(model, torch.zeros(9, 1), k=10)
    assert sum(model.draws) == 90
    assert max(model.draws) == 4  # 2²² numbers, 16 MiB
    assert digit_vae(likelihood="categorical").values_per_draw == 256 * 784


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused_for_a_model_without_a_check(value):
    x = torch.arange(11.0).unsqueeze(1)
    x[3] = value
    with pytest.raises(ValueError, match="x holds NaN or infinite values"):
        log_likelihood(Table(table()), x, k=23)


class Density(torch.nn.Module):
    """A model of a known density (or probability), the same for each value of x."""

    def __init__(self, log_p):
        super().__init__()
        self.log_p = log_p

    def log_prob(self, x, y=None):
        assert not torch.is_grad_enabled()
        return self.log_p(x).flatten(1).sum(1)

    def check(self, batch):
        if not bool((batch[0] < 1).all()):
            raise ValueError("the density ends at 1.")


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_exact_log_likelihood_of_independent_pixels_is_that_of_scipy(batch_size):
    x = (torch.rand(7, 1, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    model = Density(lambda x: torch.distributions.Bernoulli(0.3).log_prob(x))
    model.check = lambda batch: None
    found = exact_log_likelihood(model, x, batch_size=batch_size)
    expected = bernoulli(0.3).logpmf(x.numpy()).reshape(7, -1).sum(1)
    torch.testing.assert_close(found.bound, torch.tensor(expected), rtol=1e-6, atol=1e-6)
    assert found.mean == pytest.approx(expected.mean())
    assert found.standard_error == pytest.approx(expected.std(ddof=1) / math.sqrt(7), rel=1e-6)


def test_a_uniform_density_needs_all_eight_bits_of_256_levels_and_four_of_16():
    for levels, bits in ((256, 8.0), (16, 4.0)):
        x = torch.randint(levels, (5, 1, 3, 3)) / (levels - 1)
        found = dequantized_bits_per_dim(Density(torch.zeros_like), x, levels=levels)
        assert found.mean == pytest.approx(bits, abs=1e-12)
        assert found.standard_error == pytest.approx(0, abs=1e-12)


def test_the_bits_of_a_gaussian_are_those_of_its_density_at_the_levels_moved_by_the_seed():
    x = torch.randint(256, (6, 1, 3, 3), generator=torch.Generator().manual_seed(1)) / 255
    model = Density(lambda x: torch.distributions.Normal(0.5, 0.2).log_prob(x))
    found = dequantized_bits_per_dim(model, x, seed=4)
    moved = dequantize(x, generator=torch.Generator().manual_seed(4)).double().numpy()
    bits = -norm(0.5, 0.2).logpdf(moved).reshape(6, -1).mean(1) / math.log(2) + 8
    assert found.mean == pytest.approx(bits.mean(), rel=1e-6)
    assert found.standard_error == pytest.approx(bits.std(ddof=1) / math.sqrt(6), rel=1e-4)
    assert found.mean != dequantized_bits_per_dim(model, x, seed=5).mean
    with pytest.raises(ValueError, match="expects the 256 levels"):
        dequantized_bits_per_dim(model, x / 3)


def test_of_data_that_the_model_refuses_there_is_no_log_likelihood():
    with pytest.raises(ValueError, match="the density ends at 1"):
        exact_log_likelihood(Density(torch.zeros_like), torch.ones(2, 1, 3, 3))
