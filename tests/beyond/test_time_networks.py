import math

import pytest
import torch

from gm_lib.beyond.networks import FEATURES, TimeMLP, TimeUNet, time_features
from gm_lib.networks import count_parameters
from gm_lib.runtime import forked_rng


@pytest.fixture
def unet():
    """Return a small U-Net whose last layer does not say 0, with a batch for it."""
    with forked_rng(0):
        net = TimeUNet((2, 12, 8), width=8, num_classes=3)
        torch.nn.init.normal_(net.out.weight)
        return net, torch.randn(5, 2, 12, 8), torch.rand(5), torch.tensor([0, 1, 2, 0, 1])


def test_the_features_of_a_time_are_sines_and_cosines_of_1_to_1000_radians():
    t = torch.tensor([0.0, 0.5], dtype=torch.float64)
    found = time_features(t)
    assert found.shape == (2, FEATURES)
    assert torch.equal(
        found[0], torch.tensor([0.0, 1.0], dtype=torch.float64).repeat_interleave(FEATURES // 2)
    )
    first, last = 0, FEATURES // 2 - 1
    assert found[1, first].item() == pytest.approx(math.sin(0.5))
    assert found[1, last].item() == pytest.approx(math.sin(500), abs=1e-9)


def test_the_times_of_a_thousand_levels_are_told_apart():
    features = time_features(torch.linspace(0, 1, 1000))
    assert torch.cdist(features, features).fill_diagonal_(1).min() > 0.1


def test_a_unet_says_0_before_training():
    net = TimeUNet(width=8)
    assert torch.equal(net(torch.randn(2, 1, 28, 28), torch.rand(2)), torch.zeros(2, 1, 28, 28))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 12, 8), (1, 4, 4)])
def test_a_unet_answers_in_the_shape_and_dtype_of_its_input(shape):
    net = TimeUNet(shape, width=8).double()
    x = torch.randn(2, *shape, dtype=torch.float64)
    answer = net(x, torch.rand(2, dtype=torch.float64))
    assert answer.shape == x.shape
    assert answer.dtype == torch.float64


def test_each_example_is_answered_by_itself(unet):
    net, x, t, y = unet
    alone = torch.cat([net(x[i : i + 1], t[i : i + 1], y[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(net(x, t, y), alone, atol=1e-5, rtol=1e-4)


def test_the_answer_depends_on_each_of_input_time_and_label(unet):
    net, x, t, y = unet
    before = net(x, t, y)
    for other in (net(x + 1, t, y), net(x, 1 - t, y), net(x, t, (y + 1) % 3)):
        assert ((other - before).flatten(1).norm(dim=1) > 1e-3).all()


def test_a_label_that_is_dropped_is_the_unknown_label_and_no_other(unet):
    net, x, t, _ = unet
    without = net(x, t)
    assert torch.equal(without, net(x, t, torch.full((5,), 3)))
    for digit in range(3):
        assert not torch.equal(without, net(x, t, torch.full((5,), digit)))


def test_a_unet_without_labels_does_not_look_at_any():
    net = TimeUNet((1, 4, 4), width=8)
    torch.nn.init.normal_(net.out.weight)
    x, t = torch.randn(2, 1, 4, 4), torch.rand(2)
    assert torch.equal(net(x, t), net(x, t, torch.tensor([0, 1])))


def test_labels_cost_a_vector_each_and_one_for_the_unknown():
    plain, told = (count_parameters(TimeUNet(width=16, num_classes=k)) for k in (0, 10))
    assert told - plain == 11 * 4 * 16


def test_the_whole_image_can_decide_on_the_middle_pixel():
    with forked_rng(0):
        net = TimeUNet(width=8)
        torch.nn.init.normal_(net.out.weight)
        x = torch.randn(1, 1, 28, 28, requires_grad=True)
    net(x, torch.tensor([0.5]))[0, 0, 14, 14].backward()
    assert (x.grad[0, 0, [0, 0, 27, 27], [0, 27, 0, 27]] != 0).all()


@pytest.mark.parametrize("shape", [(1, 30, 28), (1, 28, 26), (28, 28), (0, 28, 28)])
def test_a_shape_that_cannot_be_halved_twice_is_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        TimeUNet(shape)


def test_labels_out_of_range_are_refused_and_the_unknown_one_is_not(unet):
    net = unet[0]
    net.check(torch.tensor([0, 3]), 2)
    net.check(None, 2)
    for y in (torch.tensor([0, 4]), torch.tensor([-1, 0]), torch.tensor([0.0, 1.0]), torch.tensor([0])):
        with pytest.raises(ValueError, match="labels"):
            net.check(y, 2)


def test_an_mlp_answers_with_as_many_numbers_and_depends_on_the_time():
    with forked_rng(0):
        net, x = TimeMLP(3, (16,)), torch.randn(4, 3)
    early, late = net(x, torch.zeros(4)), net(x, torch.ones(4))
    assert early.shape == (4, 3)
    assert net.shape == (3,)
    assert ((early - late).norm(dim=1) > 1e-3).all()
    assert count_parameters(net) == (3 + FEATURES + 1) * 16 + 17 * 3
