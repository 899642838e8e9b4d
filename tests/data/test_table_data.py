"""Tables: columns encoded, standardized without a look at test rows, hidden cells, and the known table."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn.datasets import load_diabetes, load_wine

from gm_lib.data import TABLES, Column, Rows, split_table, table_data
from gm_lib.data.known_table import crossed_table
from gm_lib.distributions.estimates import assert_unbiased

MIXED = (Column("size", "real"), Column("wet", "binary"), Column("colour", "categorical", ("r", "g", "b")))


def mixed(n=40):
    """A size, all of them different, a binary code and a code of three levels: (n, 3)."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    size = 100 + 5 * torch.linspace(-2, 2, n)[order]
    return torch.stack([size, torch.arange(n) % 2, torch.arange(n) % 3], dim=1)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_dealt_to_three_splits_without_a_cell_lost(name):
    data = table_data(name, missing=0.2)
    rows = [data.train, data.valid, data.test]
    n = {"iris": 150, "wine": 178, "breast_cancer": 569, "diabetes": 442, "crossed": 4000}[name]
    assert sum(map(len, rows)) == n
    assert len(data.train) == int(0.6 * n)
    for part in rows:
        assert part.values.isfinite().all()
        assert part.x.shape == (len(part), 2, sum(column.width for column in data.columns))
    seen = torch.cat([part.observed for part in rows]).double()
    assert_unbiased(seen.flatten(), 0.8)


def test_wine_is_that_of_scikit_learn_in_another_order():
    data, found = table_data("wine"), load_wine()
    values = torch.cat([part.values for part in (data.train, data.valid, data.test)]).double()
    raw = values[:, :13] * data.scale[:13] + data.mean[:13]
    raw = torch.cat([raw, values[:, 13:].argmax(1, keepdim=True)], dim=1).numpy()
    expected = np.column_stack([found.data, found.target])
    order, sorting = np.lexsort(raw.T.round(3)), np.lexsort(expected.T.round(3))
    np.testing.assert_allclose(raw[order], expected[sorting], rtol=1e-4, atol=1e-4)


def test_the_sex_is_the_binary_column_of_diabetes_and_all_else_is_real():
    data = table_data("diabetes")
    kinds = {column.name: column.kind for column in data.columns}
    assert kinds.pop("sex") == "binary"
    assert set(kinds.values()) == {"real"}
    assert list(kinds)[-1] == "progression"
    values = torch.cat([part.values for part in (data.train, data.valid, data.test)])
    share = (load_diabetes(scaled=False).data[:, 1] == 2).mean()
    assert values[:, 1].mean().item() == pytest.approx(share)


def test_real_columns_are_standardized_by_the_training_cells_that_are_shown():
    data = table_data("iris", missing=0.3)
    for i in range(4):
        seen = data.train.values[data.train.observed[:, i], i].double()
        assert seen.mean().item() == pytest.approx(0, abs=1e-6)
        assert seen.std().item() == pytest.approx(1, abs=1e-6)


def test_the_scale_does_not_change_when_hidden_cells_or_test_rows_do():
    raw = mixed(60)
    before = split_table("t", MIXED, raw, missing=0.3, seed=1)
    known = torch.zeros(60, dtype=torch.bool)  # find the training rows whose size is shown
    for row in before.train.values[before.train.observed[:, 0], 0]:
        known |= ((raw[:, 0] - before.mean[0]) / before.scale[0] - row).abs() < 1e-4
    assert known.sum() == before.train.observed[:, 0].sum()
    changed = raw.clone()
    changed[~known, 0] += 1000
    after = split_table("t", MIXED, changed, missing=0.3, seed=1)
    assert (after.mean[0], after.scale[0]) == (before.mean[0], before.scale[0])


def test_what_is_hidden_is_not_in_what_a_model_sees():
    data = split_table("t", MIXED, mixed(), missing=0.5)
    values, shown = data.train.x.unbind(1)
    assert (values[shown == 0] == 0).all()
    assert ((shown == 1) == data.train.shown).all()
    assert torch.equal(data.train.with_nan().isnan(), shown == 0)
    assert torch.equal(data.train.shown[:, 2], data.train.shown[:, 4])  # the levels of one cell together
    assert torch.equal(data.train.shown[:, 2], data.train.observed[:, 2])


def test_a_seed_gives_the_same_table_again_and_another_seed_another():
    first, again, other = (table_data("iris", missing=0.2, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.test.x, again.test.x)
    assert not torch.equal(first.test.x, other.test.x)


def test_errors_are_those_of_hidden_cells_alone():
    values = torch.tensor([[1.0, 1, 0, 1, 0], [2.0, 0, 1, 0, 0]])
    observed = torch.tensor([[False, True, False], [False, False, True]])
    filled = torch.tensor([[3.0, 0, 0.1, 0.3, 0.6], [2.5, 0.4, 0, 0, 1]])
    squared, right = Rows(MIXED, values, observed).errors(filled)
    assert squared.tolist() == [4.0, 0.25]
    assert right.tolist() == [1.0, 0.0]  # the binary cell of the second row, the colour of the first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"raw": mixed().index_fill(0, torch.tensor([3]), math.nan)}, "'size' of t holds NaN"),
        ({"raw": mixed() * torch.tensor([1.0, 2, 1])}, "'wet' of t is coded 0 … 1"),
        ({"raw": mixed() + torch.tensor([0, 0, 0.5])}, "'colour' of t is coded 0 … 2"),
        ({"raw": mixed() * torch.tensor([0.0, 1, 1])}, "'size' of t has one value"),
        ({"raw": mixed() * torch.tensor([1.0, 0, 1])}, "'wet' of t has one value"),
        ({"raw": mixed()[:, :2]}, "t has 3 columns"),
        ({"raw": mixed(9)}, "at least 10"),
        ({"missing": 1.0}, "share of cells to hide"),
        ({"missing": -0.1}, "share of cells to hide"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_a_wrong_table_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        split_table(**({"name": "t", "columns": MIXED, "raw": mixed()} | change))


def test_an_unknown_table_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'wine'"):
        table_data("wines")


@pytest.mark.parametrize(("kind", "levels"), [("ordinal", ()), ("categorical", ("one",))])
def test_a_wrong_column_is_refused(kind, levels):
    with pytest.raises(ValueError, match=r"the (categorical )?column 'x'"):
        Column("x", kind, levels)


# --- the table whose distribution is known


def rows_of(truth, n, missing, seed=0):
    raw = truth.sample(n, torch.Generator().manual_seed(seed))
    data = split_table("crossed", truth.columns, raw, missing=missing, seed=seed, truth=truth)
    return data.truth, data.train


def test_samples_have_the_means_and_covariances_that_the_table_says():
    truth = crossed_table()
    rows = truth.sample(20_000, torch.Generator().manual_seed(0))
    assert_unbiased(rows[:, :4], truth.weights @ truth.means)
    second = truth.covariances + truth.means[:, :, None] * truth.means[:, None, :]
    products = (rows[:, :4, None] * rows[:, None, :4]).flatten(1)
    assert_unbiased(products, (truth.weights[:, None, None] * second).sum(0).flatten())
    assert_unbiased(rows[:, 4], 0.5)
    assert_unbiased(rows[:, 4] * rows[:, 0], truth.weights @ (truth.probabilities[:, 0] * truth.means[:, 0]))
    shares = torch.nn.functional.one_hot(rows[:, 5].long(), 3)
    assert_unbiased(shares, truth.weights @ truth.probabilities[:, 1:])


def test_log_p_of_complete_rows_is_that_of_scipy():
    truth, rows = rows_of(crossed_table(), 50, missing=0)
    total = np.zeros(len(rows))
    for k in range(4):
        gauss = stats.multivariate_normal(truth.means[k].numpy(), truth.covariances[k].numpy())
        p = gauss.pdf(rows.values[:, :4].numpy())
        p *= stats.bernoulli(truth.probabilities[k, 0].item()).pmf(rows.values[:, 4].numpy())
        p *= (rows.values[:, 5:].numpy() * truth.probabilities[k, 1:].numpy()).sum(1)
        total += p / 4
    np.testing.assert_allclose(truth.log_prob(rows), np.log(total), rtol=1e-5)


@pytest.mark.parametrize("column", [0, 1, 2, 3])
def test_hiding_a_cell_integrates_over_it(column):
    truth, rows = rows_of(crossed_table(), 100, missing=0)
    shown = torch.ones(1, 6, dtype=torch.bool)
    one = Rows(rows.columns, rows.values[:1], shown.index_fill(1, torch.tensor([column]), False))

    def density(value):
        values = one.values.clone()
        values[0, column] = value
        return truth.log_prob(Rows(rows.columns, values, shown)).exp().item()

    area = integrate.quad(density, -8, 8, points=(-1, 1), limit=200)[0]
    mean = integrate.quad(lambda v: v * density(v), -8, 8, points=(-1, 1), limit=200)[0] / area
    assert truth.log_prob(one).item() == pytest.approx(math.log(area), abs=1e-4)
    assert truth.fill(one)[0, column].item() == pytest.approx(mean, abs=1e-4)


def test_the_filling_of_a_level_is_its_probability_by_bayes_rule():
    truth, rows = rows_of(crossed_table(), 100, missing=0)
    observed = torch.tensor([[True, True, False, True, False, False]])
    filled = truth.fill(Rows(rows.columns, rows.values[:1], observed))
    p = []
    for level in torch.eye(3):
        values = rows.values[:1].clone()
        values[0, 5:] = level
        shown = torch.tensor([[True, True, False, True, False, True]])
        p.append(truth.log_prob(Rows(rows.columns, values, shown)).exp())
    torch.testing.assert_close(filled[0, 5:].double(), torch.cat(p) / torch.cat(p).sum())


def test_of_a_row_without_any_cell_the_filling_is_the_mean_of_all():
    truth, rows = rows_of(crossed_table(), 100, missing=0)
    nothing = Rows(rows.columns, rows.values[:1], torch.zeros(1, 6, dtype=torch.bool))
    means = torch.cat([truth.weights @ truth.means, truth.weights @ truth.probabilities])
    torch.testing.assert_close(truth.fill(nothing)[0].double(), means, rtol=1e-5, atol=1e-5)
    assert truth.log_prob(nothing).item() == pytest.approx(0, abs=1e-12)


def test_shown_cells_are_left_as_they_are():
    truth, rows = rows_of(crossed_table(), 200, missing=0.4)
    filled = truth.fill(rows)
    assert torch.equal(filled[rows.shown], rows.values[rows.shown])


def test_no_other_filling_has_a_smaller_error_than_the_known_one():
    truth, rows = rows_of(crossed_table(), 5000, missing=0.3)
    best = rows.errors(truth.fill(rows))[0]
    for shift in (-0.1, 0.1):  # away from the mean costs its square, on average
        assert_unbiased(rows.errors(truth.fill(rows) + shift)[0] - best, 0.01)
