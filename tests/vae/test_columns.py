"""The likelihood of tables, and missing cells filled by the posterior."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, MultivariateNormal, Normal

from gm_lib.data import Batches, Column, table_data
from gm_lib.distributions.estimates import assert_unbiased, standard_error
from gm_lib.evaluation import log_likelihood, negative_elbo
from gm_lib.training import fit
from gm_lib.vae import VAE, Columns, Decoder, GaussianEncoder, digit_vae, impute

MIXED = (
    Column("size", "real"),
    Column("colour", "categorical", ("r", "g", "b")),
    Column("wet", "binary"),
    Column("weight", "real"),
)
REAL = tuple(Column(name, "real") for name in "abcde")


def likelihood():
    made = Columns(MIXED)
    with torch.no_grad():
        made.log_scale.copy_(torch.tensor([0.3, -0.7]))
    return made


def rows(n, shown=None):
    values = torch.cat(
        [
            torch.randn(n, 1),
            torch.eye(3)[torch.randint(3, (n,))],
            torch.randint(2, (n, 1)).float(),
            torch.randn(n, 1),
        ],
        dim=1,
    )
    cells = torch.ones(n, 4) if shown is None else torch.tensor(shown).float().expand(n, 4)
    mask = cells.repeat_interleave(torch.tensor([1, 3, 1, 1]), dim=1)
    return torch.stack([values * mask, mask], dim=1)


def small(columns, latent=2, hidden=(8,), **options):
    p_x_given_z = Columns(columns)
    encoder = GaussianEncoder(p_x_given_z.event_shape, [8], latent)
    return VAE(encoder, Decoder(latent, hidden, p_x_given_z.params_shape), p_x_given_z, **options)


def by_torch(x, params):
    """Log p of each cell from torch's own distributions: (n, 4)."""
    v = x[:, 0]
    return torch.stack(
        [
            Normal(params[:, 0], math.exp(0.3)).log_prob(v[:, 0]),
            Categorical(logits=params[:, 1:4]).log_prob(v[:, 1:4].argmax(1)),
            Bernoulli(logits=params[:, 4]).log_prob(v[:, 4]),
            Normal(params[:, 5], math.exp(-0.7)).log_prob(v[:, 5]),
        ],
        dim=1,
    )


def test_a_complete_row_has_the_sum_of_its_columns_as_torch_has_them():
    x, params = rows(20), 3 * torch.randn(20, 6)
    torch.testing.assert_close(likelihood().log_prob(x, params), by_torch(x, params).sum(1))


@pytest.mark.parametrize("shown", [(1, 0, 1, 1), (0, 1, 0, 0), (0, 0, 1, 1), (1, 1, 1, 0)])
def test_of_a_row_with_missing_cells_the_observed_ones_count(shown):
    torch.manual_seed(0)
    complete, params = rows(20), torch.randn(20, 6)
    torch.manual_seed(0)
    x = rows(20, shown)
    expected = (by_torch(complete, params) * torch.tensor(shown)).sum(1)
    torch.testing.assert_close(likelihood().log_prob(x, params), expected)


def test_a_row_without_cells_has_probability_one_and_gives_the_decoder_no_gradient():
    x, params = rows(5, (0, 0, 0, 0)), torch.randn(5, 6, requires_grad=True)
    log_p = likelihood().log_prob(x, params)
    assert (log_p == 0).all()
    (gradient,) = torch.autograd.grad(log_p.sum(), params)
    assert (gradient == 0).all()


def test_draws_broadcast_over_rows():
    x, params = rows(5, (1, 1, 0, 1)), torch.randn(7, 5, 6)
    expected = torch.stack([likelihood().log_prob(x, one) for one in params])
    torch.testing.assert_close(likelihood().log_prob(x, params), expected)


def test_samples_are_complete_rows_with_the_means_that_the_params_say():
    params, model = torch.randn(6), likelihood()
    made = model.sample(params.expand(20_000, 6), torch.Generator().manual_seed(0))
    model.check(made)
    assert (made[:, 1] == 1).all()
    assert_unbiased(made[:, 0], model.mean(params)[0])
    assert_unbiased((made[:, 0, 0] - params[0]).square(), math.exp(0.6))
    assert_unbiased((made[:, 0, 5] - params[5]).square(), math.exp(-1.4))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[:, :, :5], "shape"),
        (lambda x: x.index_fill(2, torch.tensor([0]), 0.5), "the mask"),
        (lambda x: torch.cat([x[:, :1] + 1, 0 * x[:, 1:]], 1), "which the encoder would see"),
        (lambda x: x * torch.tensor([1.0, 0, 1, 1, 1, 1]), "hides some levels of 'colour'"),
        (lambda x: torch.cat([x[:, :1] * 0 + 0.5, x[:, 1:]], 1), "'colour' holds other values"),
        (lambda x: torch.cat([x[:, :1] * 0, x[:, 1:]], 1), "not exactly one level"),
        (lambda x: x * torch.nan, "finite"),
    ],
)
def test_wrong_rows_are_refused(spoil, message):
    with pytest.raises(ValueError, match=message):
        likelihood().check(spoil(rows(6)))


def test_no_columns_make_no_table():
    with pytest.raises(ValueError, match="at least one column"):
        Columns(())


def test_there_is_no_torch_distribution_of_several_kinds():
    with pytest.raises(TypeError, match="several kinds"):
        likelihood().distribution(torch.zeros(6))


# --- in a VAE


@pytest.mark.parametrize("shown", [(1, 1, 1, 1, 1), (1, 0, 1, 1, 0), (0, 0, 0, 0, 1)])
def test_of_a_linear_decoder_importance_weights_are_unbiased_for_the_density_of_observed_cells(shown):
    model, covariance, bias = linear()
    values, seen = MultivariateNormal(bias, covariance).sample((4,)), torch.tensor(shown).bool()
    exact = MultivariateNormal(bias[seen], covariance[seen][:, seen]).log_prob(values[:, seen])
    with torch.no_grad():
        log_w = model.log_weights(masked(values, shown), k=20_000, generator=torch.Generator().manual_seed(0))
    assert_unbiased((log_w - exact).exp(), torch.ones(4))


def linear():
    """A VAE of five real columns with a linear decoder: (model, covariance, mean) of its p(x)."""
    model = small(REAL, hidden=())
    W, sigma = 0.7 * torch.randn(5, 2), torch.tensor([0.7, 0.8, 1.0, 0.9, 0.7])
    with torch.no_grad():
        model.likelihood.log_scale.copy_(sigma.log())
        model.decoder.net[0].weight.copy_(W)
        for p in model.encoder.parameters():  # q is the prior: with enough draws it must do
            p.zero_()
    return model, W @ W.T + sigma.square().diag(), model.decoder.net[0].bias.detach()


def masked(values, shown):
    mask = torch.tensor(shown).float().expand_as(values)
    return torch.stack([values * mask, mask], dim=1)


@pytest.mark.parametrize("shown", [(1, 1, 0, 1, 1), (0, 1, 0, 0, 1), (1, 0, 0, 0, 0)])
def test_of_a_linear_decoder_the_filling_is_the_conditional_mean(shown):
    model, covariance, bias = linear()
    values = MultivariateNormal(bias, covariance).sample((1,))
    seen = torch.tensor(shown).bool()
    slopes = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, ~seen])
    exact = bias[~seen] + (values[0, seen] - bias[seen]) @ slopes
    x = masked(values, shown).expand(200, -1, -1)  # 200 times the same row, each filled by draws of its own
    filled = impute(model, x, k=500, generator=torch.Generator().manual_seed(0))
    assert torch.equal(filled[:, seen], x[:, 0, seen])
    error = (filled[:, ~seen].mean(0) - exact).abs()  # a bias of the order of 1/k besides
    assert (error < 4 * filled[:, ~seen].std(0) / math.sqrt(200) + 0.02).all()


def test_a_row_without_cells_is_filled_with_the_mean_of_samples():
    model = small(MIXED)
    with torch.no_grad():
        for p in model.encoder.parameters():  # q is the prior, as the posterior is here
            p.zero_()
    nothing = rows(1, (0, 0, 0, 0))
    filled = impute(model, nothing.expand(200, -1, -1), k=50, generator=torch.Generator().manual_seed(0))
    means = model.sample(20_000, generator=torch.Generator().manual_seed(1))[:, 0]
    error = (standard_error(filled).square() + standard_error(means).square()).sqrt()
    assert ((filled.mean(0) - means.mean(0)).abs() < 4 * error + 1e-6).all()


def test_a_zero_that_is_observed_is_another_row_than_a_missing_cell():
    model, x = small(MIXED), rows(4, (1, 1, 1, 0))
    observed = x.clone()
    observed[:, 1, 5] = 1.0
    first, second = (negative_elbo(model, one, k=50).mean for one in (x, observed))
    assert first != pytest.approx(second, abs=0.1)


def test_a_value_left_in_a_missing_cell_is_refused_before_anything_is_filled_or_measured():
    leak = rows(4, (1, 1, 1, 0))
    leak[:, 0, 5] = 1.0
    for judge in (impute, log_likelihood):
        with pytest.raises(ValueError, match="which the encoder would see"):
            judge(small(MIXED), leak, k=5)


def test_fit_trains_it_on_rows_with_missing_cells_towards_the_truth():
    data = table_data("crossed", missing=0.3)
    model = small(data.columns, latent=3, hidden=(32,), k=10, lr=5e-3)
    before = -log_likelihood(model, data.valid.x, k=100).mean
    batches = Batches(data.train.x, batch_size=100, seed=0, device="cpu")
    fit(model, batches, steps=300, device="cpu", average=0.99, progress=False)
    after = -log_likelihood(model, data.valid.x, k=100).mean
    truth = -data.truth.log_prob(data.valid).mean().item()
    assert truth < after < truth + 0.5 * (before - truth)
    error = {
        name: data.valid.errors(filled)[0].mean().item()
        for name, filled in {
            "model": impute(model, data.valid.x, k=200),
            "truth": data.truth.fill(data.valid),
            "zero": data.valid.values * 0,
        }.items()
    }
    assert error["truth"] < error["model"] < 0.85 * error["zero"]


def test_only_tables_can_be_filled():
    with pytest.raises(TypeError, match="only tables"):
        impute(digit_vae(), torch.zeros(2, 1, 28, 28), k=5)


@pytest.mark.parametrize("k", [0, 1.5])
def test_a_filling_needs_at_least_one_draw(k):
    with pytest.raises(ValueError, match="k must be a whole number"):
        impute(small(MIXED), rows(3), k=k)


def test_no_rows_are_filled_with_nothing_or_refused():
    with pytest.raises(ValueError, match="shape"):
        impute(small(MIXED), rows(3)[:0], k=5)
