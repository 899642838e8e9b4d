"""The history of a run as its readers use it."""

import math

import pytest

from gm_lib.training import History

ROWS = [
    {"step": 5, "score": 0.5},
    {"step": 10, "loss": 3.0, "kl": 1.0},
    {"step": 20, "loss": 2.0, "kl": 1.5},
    {"step": 20, "score": 0.7},
]


def test_terms_and_evaluations_each_have_their_own_steps() -> None:
    history = History(rows=ROWS, terms=["loss", "kl"], seconds=2.0, images=100)
    assert history.steps.tolist() == [10, 20]
    assert history["kl"].tolist() == [1.0, 1.5]
    assert history.at("score").tolist() == [5, 20]
    assert history.final("score") == 0.7
    assert history.images_per_second == 50
    assert repr(history) == "History: 20 steps, score 0.7, loss 2, kl 1.5, 50 images/s"


def test_an_unknown_term_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown term 'los'; did you mean 'loss'"):
        History(rows=ROWS, terms=["loss", "kl"])["los"]


def test_an_empty_history_is_no_error_to_look_at() -> None:
    assert History().steps.tolist() == []
    assert math.isnan(History().images_per_second)
    assert "0 steps" in repr(History())
