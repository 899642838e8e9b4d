import copy
import math

import pytest
import torch
from torch import nn

from gm_lib.networks import (
    FromMaps,
    OneAdam,
    ToMaps,
    check_batch,
    check_labels,
    conv_down,
    conv_up,
    count_parameters,
    decay,
    descend,
    mlp,
    one_hot,
)


def test_an_mlp_is_linear_layers_with_activations_between_them_and_none_at_the_end():
    net = mlp([3, 5, 4, 2], activation=nn.Tanh)
    assert [type(layer) for layer in net] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert [(m.in_features, m.out_features) for m in net if isinstance(m, nn.Linear)] == [
        (3, 5),
        (5, 4),
        (4, 2),
    ]


def test_an_mlp_works_on_the_last_dimension_whatever_the_leading_ones():
    net = mlp([3, 8, 2])
    x = torch.randn(4, 5, 3)
    torch.testing.assert_close(net(x)[2, 3], net(x[2, 3]))


def test_an_mlp_without_an_output_size_is_refused():
    with pytest.raises(ValueError, match="input and an output size"):
        mlp([3])


def test_numbers_become_maps_and_numbers_again_without_a_copy():
    x = torch.randn(2, 3 * 3 * 4)
    maps = ToMaps(4, 3)(x)
    assert maps.shape == (2, 4, 3, 3)
    assert torch.equal(maps[1, :, 2, 0], x[1, (2 * 3 + 0) * 4 :][:4])
    assert maps.is_contiguous(memory_format=torch.channels_last)
    again = FromMaps()(maps)
    assert torch.equal(again, x)
    assert maps.data_ptr() == again.data_ptr() == x.data_ptr()


def test_parameters_are_counted_once_and_only_if_trained():
    net = mlp([3, 5, 2])
    assert count_parameters(net) == (3 + 1) * 5 + (5 + 1) * 2
    net[0].requires_grad_(False)
    assert count_parameters(net) == (5 + 1) * 2


@pytest.mark.parametrize("shape", [(7,), (2, 3), (0,)])
def test_one_hot_equals_pytorchs(shape):
    y = torch.randint(0, 4, shape)
    expected = torch.nn.functional.one_hot(y, 4).float()
    torch.testing.assert_close(one_hot(y, 4), expected)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.tensor([0, 10]), r"0 … 9, got 0 … 10"),
        (torch.tensor([-1, 3]), r"0 … 9, got -1 … 3"),
        (torch.tensor([1.0]), "must be integers"),
        (torch.tensor([True]), "must be integers"),
        (None, "labels are needed"),
    ],
)
def test_labels_that_are_no_class_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        check_labels(y, 10)
    if y is not None:
        with pytest.raises(ValueError, match=message):
            one_hot(y, 10)


def test_going_down_halves_the_side_and_going_up_doubles_it():
    x = torch.randn(3, 2, 14, 14)
    assert conv_down(2, 5)(x).shape == (3, 5, 7, 7)
    assert conv_up(2, 5)(x).shape == (3, 5, 28, 28)


def test_batch_norm_comes_before_the_nonlinearity_and_takes_the_place_of_the_bias():
    assert [type(layer) for layer in conv_up(2, 5)] == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(layer) for layer in conv_down(2, 5)] == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert conv_down(2, 5)[0].bias is None
    assert [type(layer) for layer in conv_down(2, 5, batch_norm=False)] == [nn.Conv2d, nn.LeakyReLU]
    assert conv_down(2, 5, batch_norm=False)[0].bias is not None
    assert conv_up(2, 5)[0].bias is None


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (torch.zeros(4, 1, dtype=torch.long), ValueError, r"here \(4,\), got \(4, 1\)\. y\.squeeze\(1\)"),
        (torch.eye(10)[:4], ValueError, r"got \(4, 10\)\. y\.argmax\(1\) undoes one-hot"),
        (torch.zeros(3, dtype=torch.long), ValueError, r"here \(4,\), got \(3,\)\.$"),
        ([0, 1, 2, 3], TypeError, r"labels must be a torch\.Tensor, not list"),
    ],
)
def test_labels_in_another_form_are_refused_with_what_makes_them_right(y, error, message):
    with pytest.raises(error, match=message):
        check_labels(y, 10, 4)


def test_labels_of_any_integer_type_are_labels():
    for dtype in (torch.uint8, torch.int32, torch.int64):
        check_labels(torch.arange(4).to(dtype), 10, 4)


class Line(OneAdam):
    """Least squares, which one Adam trains."""

    def __init__(self, lr: float = 0.1):
        super().__init__()
        self.net, self.lr = nn.Linear(2, 1), lr

    def loss(self, x):
        return (self.net(x) - 100).square().mean()


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_descent_is_the_steps_that_pytorch_would_take_one_by_one(clip):
    x, model = torch.randn(8, 2), Line()
    by_hand = copy.deepcopy(model)
    optimizers = model.optimizers()
    adam = torch.optim.Adam(by_hand.parameters(), lr=0.1, fused=True)
    for step in range(1, 4):
        descend(model, model.loss(x), optimizers, step, 5, clip=clip)
        decay(adam, step, 5)
        adam.zero_grad()
        by_hand.loss(x).backward()
        if clip is not None:
            assert nn.utils.clip_grad_norm_(by_hand.parameters(), clip) > clip  # it did something
        adam.step()
        for found, expected in zip(model.parameters(), by_hand.parameters(), strict=True):
            assert torch.equal(found, expected)
            assert torch.equal(found.grad, expected.grad)
    assert adam.param_groups[0]["lr"] < 0.1


def test_a_descent_takes_a_step_with_each_optimizer():
    model = Line()
    weight, bias = (p.detach().clone() for p in model.parameters())
    optimizers = {
        "weight": torch.optim.SGD([model.net.weight], lr=0.5),
        "bias": torch.optim.SGD([model.net.bias], lr=0.25),
    }
    model.net.bias.grad = torch.ones(1)  # of another loss, and forgotten
    descend(model, model.net.weight.sum() + model.net.bias.sum(), optimizers)
    torch.testing.assert_close(model.net.weight.detach(), weight - 0.5)
    torch.testing.assert_close(model.net.bias.detach(), bias - 0.25)


def test_one_adam_has_all_parameters_and_the_models_step_size():
    model = Line(lr=0.3)
    (adam,) = model.optimizers().values()
    (group,) = adam.param_groups
    assert (type(adam), group["lr"], group["params"]) == (torch.optim.Adam, 0.3, [*model.parameters()])


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ([[0.0, 0.0]], [1], TypeError, "the test expects a torch.Tensor"),
        (torch.zeros(2, 3), torch.tensor([0, 1]), ValueError, r"the test expects x of shape \(n, 2\)"),
        (torch.tensor([[0.0, math.nan]]), torch.tensor([1]), ValueError, "NaN or infinite"),
        (torch.tensor([[0.0, math.inf]]), torch.tensor([1]), ValueError, "NaN or infinite"),
        (torch.zeros(2, 2), None, ValueError, "labels are needed"),
        (torch.zeros(2, 2), torch.tensor([0, 3]), ValueError, "0 … 2"),
    ],
)
def test_a_batch_that_cannot_be_learnt_from_is_refused(x, y, error, message):
    with pytest.raises(error, match=message):
        check_batch((x, y), (2,), 3, torch.zeros(()), "the test")


def test_without_classes_a_batch_needs_no_labels():
    check_batch((torch.zeros(2, 2), None), (2,), 0, torch.zeros(()), "the test")
    check_batch((torch.zeros(2, 2), torch.tensor([0, 2])), (2,), 3, torch.zeros(()), "the test")
