"""What a model's filling stands beside."""

import pytest
import torch

from gm_lib.data import Column, split_table, table_data
from gm_lib.evaluation import simple_fillings

LEVELS = Column("side", "categorical", ("left", "middle", "right"))


def line(missing):
    """b = 2a, and the side says whether a is low, middling or high."""
    a = torch.rand(300, dtype=torch.float64)
    raw = torch.stack([a, 2 * a, (3 * a).floor()], dim=1)
    return split_table("line", (Column("a", "real"), Column("b", "real"), LEVELS), raw, missing=missing)


def test_the_column_mean_is_that_of_training_cells_and_its_mode_the_guess():
    data = table_data("wine", missing=0.3)
    filled = simple_fillings(data.train, data.valid, data.test)["column mean or mode"]
    hidden = ~data.test.shown
    expected = data.train.with_nan().nanmean(0).expand_as(filled)
    torch.testing.assert_close(filled[hidden], expected[hidden], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["wine", "crossed", "diabetes"])
def test_shown_cells_stay_and_levels_add_up_to_one(name):
    data = table_data(name, missing=0.3)
    for filled in simple_fillings(data.train, data.valid, data.test).values():
        torch.testing.assert_close(filled[data.test.shown], data.test.values[data.test.shown])
        assert filled.isfinite().all()
        if name == "wine":
            torch.testing.assert_close(filled[:, 13:].sum(1), torch.ones(len(filled)))


def test_linear_regressions_find_a_line_and_neighbours_nearly():
    data = line(0.15)
    errors = {
        who: data.test.errors(filled)
        for who, filled in simple_fillings(data.train, data.valid, data.test).items()
    }
    assert errors["regressions"][0].median() < 1e-3 < 0.1 < errors["column mean or mode"][0].median()
    assert errors["nearest rows"][1].mean() > errors["column mean or mode"][1].mean() + 0.2


def test_regressions_of_few_rows_are_penalized():
    """Of 16 columns without any relation the mean is the best filling, and 48 rows suggest others."""
    raw = torch.randn(80, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    columns = tuple(Column(f"x{i}", "real") for i in range(16))
    data = split_table("unrelated", columns, raw, missing=0.3)
    filled = simple_fillings(data.train, data.valid, data.test)
    squared = {who: data.test.errors(values)[0].mean() for who, values in filled.items()}
    assert squared["regressions"] < 1.2 * squared["column mean or mode"]


def test_hidden_cells_are_not_looked_at():
    data = table_data("iris", missing=0.3)
    spoilt = type(data.test)(data.columns, data.test.values.where(data.test.shown, 99.0), data.test.observed)
    before = simple_fillings(data.train, data.valid, data.test)
    after = simple_fillings(data.train, data.valid, spoilt)
    for who in before:
        assert torch.equal(before[who], after[who])


def test_rows_of_another_table_are_refused():
    iris, wine = (table_data(name, missing=0.2) for name in ("iris", "wine"))
    with pytest.raises(ValueError, match="different columns"):
        simple_fillings(iris.train, iris.valid, wine.test)
