import pytest
import torch

from gm_lib.beyond.guidance import wanted_labels, withheld_share, withhold
from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.runtime import forked_rng

CPU = torch.device("cpu")


def test_labels_become_the_unknown_one_as_often_as_asked_for():
    y = torch.arange(4000) % 3
    with forked_rng(0):
        told = withhold(y, 0.25, 3)
    assert_unbiased((told == 3).double(), 0.25)
    assert torch.equal(told[told != 3], y[told != 3])
    assert y.max() == 2  # what was given stays


def test_numbers_that_were_drawn_decide_which_labels_are_withheld():
    u = torch.tensor([0.0, 0.1, 0.2, 0.3])
    assert withhold(torch.tensor([0, 1, 2, 0]), 0.2, 3, u).tolist() == [3, 3, 2, 0]


@pytest.mark.parametrize(("y", "num_classes"), [(None, 3), (torch.tensor([0, 1]), 0), (None, 0)])
def test_where_no_labels_are_nothing_is_drawn(y, num_classes):
    with forked_rng(0):
        before = torch.get_rng_state()
        assert withhold(y, 0.5, num_classes) is y
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("drop", [-0.1, 1.0, float("nan")])
def test_a_share_that_leaves_no_labels_or_is_none_is_refused(drop):
    with pytest.raises(ValueError, match="share of labels withheld"):
        withheld_share(drop)
    assert withheld_share(0.0) == 0


def test_guidance_needs_labels_and_a_model_that_takes_them():
    assert wanted_labels([0, 1], 2, 3, CPU, 2.0).tolist() == [0, 1]
    assert wanted_labels(None, 2, 3, CPU, 0.0) is None
    for y, num_classes in ((None, 3), ([0, 1], 0)):
        with pytest.raises(ValueError, match="guidance leads towards labels"):
            wanted_labels(y, 2, num_classes, CPU, 2.0)
    with pytest.raises(ValueError, match="needs 3 labels"):
        wanted_labels([0, 1], 3, 3, CPU, 0.0)
