import itertools
import math

import pytest
import torch
from torch import nn

from gm_lib.beyond import MaskedAutoregressive, digit_autoregressive
from gm_lib.data import Batches
from gm_lib.training import fit

SHAPE = (1, 3, 4)
PIXELS = math.prod(SHAPE)
ALL = torch.tensor(list(itertools.product((0.0, 1.0), repeat=PIXELS))).view(-1, *SHAPE)


def wild(reach: int, shape: tuple[int, ...] = SHAPE, layers: int = 2) -> MaskedAutoregressive:
    """A model with weights so large that whatever it looks at shows."""
    torch.manual_seed(0)
    model = MaskedAutoregressive(shape, width=8, layers=layers, reach=reach)
    for p in model.parameters():
        nn.init.normal_(p, std=0.6)
    return model.eval()


@pytest.mark.parametrize("reach", [1, 2, 5])
def test_the_probabilities_of_all_images_sum_to_one(reach):
    assert wild(reach).double().log_prob(ALL.double()).logsumexp(0).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("reach", [1, 2, 5])
def test_a_pixel_depends_on_those_before_it_in_its_window_and_on_no_other(reach):
    x = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(1))
    depends = torch.autograd.functional.jacobian(lambda v: wild(reach)(v).flatten(), x).view(PIXELS, PIXELS)
    for i, j in itertools.product(range(PIXELS), repeat=2):
        (row, column), (other_row, other_column) = divmod(i, SHAPE[2]), divmod(j, SHAPE[2])
        inside = row - other_row <= reach and abs(column - other_column) <= reach
        assert bool(depends[i, j] != 0) == (j < i and inside), (i, j)


def test_an_edge_is_neither_black_nor_white():
    """At the left edge a black or white pixel in place of nothing would be another model."""
    model = wild(1)
    nn.init.zeros_(model.place)
    first, second = model(torch.zeros(1, *SHAPE)).flatten()[:2]
    assert abs(first - second) > 1e-3


def test_it_can_be_any_distribution_of_two_pixels():
    """With a hidden layer, p(x₂ | x₁) is free: trained on exact shares, it comes to them."""
    model = MaskedAutoregressive((1, 1, 2), width=16, layers=1, reach=1, lr=3e-2).double()
    x = torch.tensor([[0.0, 0.0], [0, 1], [1, 0], [1, 1]]).double().view(4, 1, 1, 2)
    shares = torch.tensor([0.5, 0.1, 0.05, 0.35]).double()
    adam = torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(300):
        adam.zero_grad()
        (-shares @ model.log_prob(x)).backward()
        adam.step()
    torch.testing.assert_close(model.log_prob(x).exp().detach(), shares, atol=1e-2, rtol=0)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_each_hidden_layer_matters(layers):
    model = wild(2, layers=layers)
    assert len(model.hidden) == layers
    model.log_prob(ALL[:50]).sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


def test_each_image_is_drawn_as_often_as_log_prob_says():
    shape, n = (1, 2, 3), 50_000
    model = wild(1, shape)
    every = ALL[: 2**6].view(-1, PIXELS)[:, -6:].view(-1, *shape)
    with torch.no_grad():
        p = model.log_prob(every).exp()
    draws = model.sample(n, generator=torch.Generator().manual_seed(0)).flatten(1)
    shares = torch.bincount((draws @ 2.0 ** torch.arange(5, -1, -1)).long(), minlength=64) / n
    assert bool(((shares - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1 / n).all())


def test_what_is_known_stays_and_the_rest_is_drawn_from_the_conditional():
    shape, n = (1, 2, 3), 20_000
    model = wild(1, shape)
    begun = torch.tensor([1.0, 0, 1, 1]), torch.tensor([9.0, float("nan")])
    x = torch.cat(begun).view(1, *shape).expand(n, -1, -1, -1)
    draws = model.complete(x, 4, generator=torch.Generator().manual_seed(0)).flatten(1)
    assert torch.equal(draws[:, :4], begun[0].expand(n, -1))
    ends = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    with torch.no_grad():
        p = model.log_prob(torch.cat([begun[0].expand(4, -1), ends], 1).view(-1, *shape)).softmax(0)
    shares = torch.bincount((draws[:, 4:] @ torch.tensor([2.0, 1])).long(), minlength=4) / n
    assert bool(((shares - p).abs() < 5 * (p * (1 - p) / n).sqrt() + 1 / n).all())


def test_nothing_is_drawn_where_all_is_known():
    assert torch.equal(wild(2).complete(ALL[:50], PIXELS), ALL[:50])


def test_draws_come_from_the_generator_alone():
    model = wild(2)
    state = torch.get_rng_state()
    first, again = (model.sample(20, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (20, *SHAPE)
    assert set(first.unique().tolist()) == {0.0, 1.0}


def test_many_images_are_scored_as_each_by_itself():
    model, x = wild(2), ALL[:205]
    alone = torch.cat([model.log_prob(part) for part in x.split(1)])
    torch.testing.assert_close(model.log_prob(x), alone, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_comes_near_the_entropy_of_what_it_saw(precision):
    """Two kinds of images, 3 : 1, cost on average their entropy, and not less."""
    x = torch.stack([ALL[1234], ALL[777]])[torch.tensor([0, 0, 0, 1] * 64)]
    torch.manual_seed(0)
    model = MaskedAutoregressive(SHAPE, width=16, reach=3, lr=2e-2, decay_steps=150)
    batches = Batches(x, batch_size=256, device="cpu")
    history = fit(model, batches, steps=150, device="cpu", precision=precision, progress=False)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    with torch.no_grad():
        assert -model.log_prob(x).mean().item() == pytest.approx(entropy, abs=0.03)
    assert set(history.rows[0]) == {"step", "loss"}


def test_the_step_size_falls_to_nothing():
    model = MaskedAutoregressive(SHAPE, width=4, reach=1, decay_steps=10)
    optimizers = model.optimizers()
    model.update((ALL[:8], None), optimizers, 6)
    assert optimizers["adam"].param_groups[0]["lr"] == pytest.approx(model.lr / 2)
    model.update((ALL[:8], None), optimizers, 11)
    assert optimizers["adam"].param_groups[0]["lr"] == 0


def test_the_builder_makes_the_same_model_from_its_config():
    model = digit_autoregressive(width=4, layers=1, reach=2, lr=1e-3)
    again = digit_autoregressive(**model.config)
    again.load_state_dict(model.state_dict())
    assert again.config == model.config
    assert model.shape == (1, 28, 28)
    assert model.num_classes == 0
    x = (torch.rand(2, 1, 28, 28) < 0.2).float()
    assert torch.equal(model.log_prob(x), again.log_prob(x))


def test_what_follows_from_the_shape_is_no_weight_to_be_stored():
    assert "before" not in MaskedAutoregressive(SHAPE, width=4, reach=1).state_dict()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.full((2, *SHAPE), 0.5), ValueError, "binarize"),
        (torch.full((2, *SHAPE), math.nan), ValueError, "finite"),
        (torch.zeros(SHAPE), ValueError, r"x\[None\]"),
        (torch.zeros(2, 1, 28, 28), ValueError, r"\(n, 1, 3, 4\)"),
        (torch.zeros(2, *SHAPE, dtype=torch.int64), ValueError, "floating-point"),
        ([[0.0]], TypeError, "torch.Tensor"),
    ],
)
def test_what_is_no_image_of_zeros_and_ones_is_refused(x, error, message):
    with pytest.raises(error, match=message):
        MaskedAutoregressive(SHAPE, width=4, reach=1).check((x, None))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (3, 8, 8)}, "one bit for each pixel"),
        ({"shape": (8, 8)}, "one bit for each pixel"),
        ({"reach": 0}, "reach"),
        ({"width": 0}, "width"),
        ({"layers": -1}, "layers"),
    ],
)
def test_settings_that_make_no_model_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        digit_autoregressive(**options)


def test_more_known_pixels_than_there_are_is_refused():
    with pytest.raises(ValueError, match="12 pixels"):
        wild(1).complete(ALL[:2], 13)
