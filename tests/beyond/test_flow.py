"""Flows: what their layers say of volumes is what autograd says, and what they do can be undone."""

import json
import math

import pytest
import torch
from scipy.stats import kstest
from torch import nn
from torch.distributions import (
    AffineTransform,
    Independent,
    MultivariateNormal,
    Normal,
    SigmoidTransform,
    TransformedDistribution,
)

from gm_lib.beyond import CouplingFlow, digit_flow, point_flow
from gm_lib.beyond.flow_layers import EDGE, Coupling, Scaling, Shuffle, Squash, halves
from gm_lib.data import Batches, dequantize
from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.networks import mlp
from gm_lib.runtime import forked_rng
from gm_lib.training import fit

SMALL = (1, 8, 8)


def shaken(model: nn.Module, by: float = 0.1, seed: int = 0) -> nn.Module:
    """Return the model in double precision with weights that are no longer those of the identity."""
    generator = torch.Generator().manual_seed(seed)
    model.double()
    for p in model.parameters():
        p.data += by * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return model


def normal(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(n_in, n_out):
    return mlp([n_in, 8, n_out], nn.SiLU)


LAYERS = {
    "coupling": (lambda: Coupling(torch.tensor([True, False, False]), network), (3,)),
    "scaling": (lambda: Scaling((2, 3)), (2, 3)),
    "shuffle": (Shuffle, (4, 2, 3)),
    "squash": (Squash, (1, 2, 2)),
    "points": (lambda: point_flow(3, couplings=4, hidden=8), (3,)),
    "digits": (lambda: digit_flow(shape=SMALL, couplings=(4, 4), width=4), (16, 2, 2)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_and_a_whole_flow_can_be_undone_both_ways(name):
    make, shape = LAYERS[name]
    with forked_rng(0):
        f = shaken(make())
    z = normal(5, *shape)
    x = f(z)
    back, _ = f.inverse(x)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(f(back), x)
    assert not torch.allclose(f(z).flatten(), z.flatten())


@pytest.mark.parametrize("name", LAYERS)
def test_the_log_determinant_is_that_of_autograds_jacobian(name):
    make, shape = LAYERS[name]
    with forked_rng(0):
        f = shaken(make())
    z = normal(4, *shape, seed=2)
    _, log_det = f.inverse(f(z))
    assert log_det.shape == (4,)
    for one, told in zip(z, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda one: f(one[None])[0], one)
        square = jacobian.reshape(one.numel(), one.numel())
        torch.testing.assert_close(torch.linalg.slogdet(square).logabsdet, told)


def test_one_scaling_is_the_affine_transform_of_torch():
    f = CouplingFlow((3,), [shaken(Scaling((3,)))]).double()
    scaling = f.layers[0]
    affine = AffineTransform(scaling.t.detach(), scaling.s.detach().exp(), event_dim=1)
    oracle = TransformedDistribution(Independent(Normal(torch.zeros(3).double(), 1.0), 1), [affine])
    x = normal(50, 3)
    torch.testing.assert_close(f.log_prob(x), oracle.log_prob(x))


def test_couplings_whose_networks_know_nothing_are_an_affine_transform():
    with forked_rng(0):
        f = point_flow(couplings=2, hidden=4).double()
    shift, log_scale = torch.tensor([0.7, -1.2]), torch.tensor([0.4, -0.3])
    for layer in f.layers[:2]:  # the last layer's weights are 0; its biases are s and t, s before the bound
        moved = int(layer.moved)
        s = 3 * torch.atanh(log_scale[moved] / 3)
        layer.network[-1].bias.data = torch.stack([s, shift[moved]]).double()
    oracle = Normal(shift.double(), log_scale.double().exp())
    x = normal(50, 2)
    torch.testing.assert_close(f.log_prob(x), oracle.log_prob(x).sum(1))


def test_the_squashing_alone_is_the_logistic_normal_of_torch():
    f = CouplingFlow((1, 2, 2), [Scaling((1, 2, 2)), Squash()]).double()
    stretch = 1 / (1 - 2 * EDGE)
    parts = [SigmoidTransform(), AffineTransform(-EDGE * stretch, stretch)]
    oracle = TransformedDistribution(Normal(torch.zeros(1, 2, 2).double(), 1.0), parts)
    x = torch.rand(50, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(f.log_prob(x), oracle.log_prob(x).flatten(1).sum(1))


def test_the_density_of_points_has_the_area_1():
    with forked_rng(1):
        f = shaken(point_flow(couplings=6, hidden=16))
    axis = torch.linspace(-12, 12, 601).double()
    with torch.no_grad():
        log_p = f.log_prob(torch.cartesian_prod(axis, axis))
    area = log_p.exp().sum() * (axis[1] - axis[0]) ** 2
    assert area.item() == pytest.approx(1, abs=1e-3)


def test_a_flow_begins_as_the_identity():
    x = normal(7, 2).float()
    torch.testing.assert_close(point_flow()(x), x)
    digits = digit_flow(shape=SMALL)
    z, _ = digits.inverse(torch.full((1, *SMALL), 0.5))
    torch.testing.assert_close(z, torch.zeros(1, 16, 2, 2))


def test_a_flow_learns_a_correlated_gaussian():
    truth = MultivariateNormal(torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 1.6], [1.6, 4.0]]))
    with forked_rng(3):
        f, x, new = (
            point_flow(couplings=4, hidden=16, decay_steps=600),
            truth.sample((4000,)),
            truth.sample((4000,)),
        )
    fit(f, Batches(x, batch_size=200, seed=0, device="cpu"), steps=600, device="cpu", progress=False)
    with torch.no_grad():
        regret = truth.log_prob(new) - f.log_prob(new)
        drawn = f.sample(20_000, generator=torch.Generator().manual_seed(4))
    assert regret.mean() < 0.03  # the KL divergence, estimated
    assert drawn.mean(0).tolist() == pytest.approx([1.0, -2.0], abs=0.15)
    assert torch.cov(drawn.T).flatten().tolist() == pytest.approx([1.0, 1.6, 1.6, 4.0], abs=0.3)


def test_samples_have_the_density_that_the_flow_says():
    with forked_rng(1):
        f = shaken(point_flow(couplings=4, hidden=8), by=0.2)
    x = f.sample(20_000, generator=torch.Generator().manual_seed(5))
    # The mean of g(x) / p(x) over draws is the area under g, here that of a normal density.
    g = Normal(0.0, 0.7).log_prob(x).sum(1)
    assert_unbiased((g - f.log_prob(x)).exp(), 1.0)


def test_an_update_dequantizes_each_grey_level_evenly_over_its_bin(monkeypatch):
    model, seen = digit_flow(shape=SMALL, couplings=(2, 2), width=4), []
    before = model.log_prob
    monkeypatch.setattr(model, "log_prob", lambda x: (seen.append(x), before(x))[1])
    levels = torch.randint(256, (400, *SMALL), generator=torch.Generator().manual_seed(0))
    with forked_rng(0):
        model.update((levels / 255, None), model.optimizers(), 1)
    assert torch.equal((seen[0] * 256).floor().long(), levels)
    within = (seen[0].double() * 256).remainder(1)
    assert kstest(within.flatten().numpy(), "uniform").pvalue > 1e-3


def test_the_bits_of_dequantized_values_bound_those_of_the_levels():
    model = CouplingFlow((1, 1, 1), [Scaling((1, 1, 1)), Squash()]).double()
    model.layers[0].t.data.fill_(-1.0)
    edges = EDGE + (1 - 2 * EDGE) * torch.arange(5).double() / 4  # of four levels, whose bins are wide
    levels = Normal(-1.0, 1.0).cdf(edges.logit()).diff()  # P of each level: the area over its bin
    assert levels.sum() < 1  # a little lies beyond black and white
    x = (torch.arange(4).double() / 3).reshape(-1, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    log_p = torch.stack([model.log_prob(dequantize(x, 4, generator)) for _ in range(4000)])
    each = log_p - math.log(4)
    assert_unbiased(each.exp(), levels)  # on average over u it is P
    assert (each.mean(0) < levels.log() - 0.01).all()  # and its logarithm less than log P


def test_samples_of_images_are_grey_levels_and_repeat_with_the_generator():
    with forked_rng(0):
        model = shaken(digit_flow(shape=SMALL, couplings=(2, 2), width=4)).float()
    state = torch.get_rng_state()
    x, again = (model.sample(6, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(x, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert x.shape == (6, *SMALL)
    torch.testing.assert_close((x * 255).round() / 255, x)
    assert 0 <= x.min() < x.max() <= 1
    assert not torch.equal(model.sample(6, generator=torch.Generator().manual_seed(4)), x)


@pytest.mark.parametrize("channels", [2, 3, 4, 12, 16])
def test_masks_come_in_pairs_that_leave_no_channel_unmoved(channels):
    masks = halves(channels, 2 * channels)
    for kept, others in zip(masks[::2], masks[1::2], strict=True):
        assert torch.equal(kept, ~others)
        assert kept.any()
        assert not kept.all()


def test_six_masks_of_a_squeezed_image_part_every_two_channels():
    masks = torch.stack(halves(4, 6))
    for a in range(4):
        for b in range(a):
            assert (masks[:, a] != masks[:, b]).any()


def test_a_flow_is_built_again_from_its_config_and_weights():
    with forked_rng(0):
        model = shaken(digit_flow(shape=SMALL, couplings=(2, 4), width=6)).float()
    again = digit_flow(**json.loads(json.dumps(model.config)))
    again.load_state_dict(model.state_dict())
    x = torch.rand(3, *SMALL, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.log_prob(x), model.log_prob(x))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_flow_of_images_learns_and_each_term_is_recorded(precision):
    x = (torch.rand(64, *SMALL, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    with forked_rng(0):
        model = digit_flow(shape=SMALL, couplings=(2, 2), width=8)
    batches = Batches(x, batch_size=32, seed=0, device="cpu")
    history = fit(model, batches, steps=40, log_every=10, device="cpu", precision=precision, progress=False)
    losses = [row["loss"] for row in history.rows]
    assert losses[-1] < losses[0] - 10
    assert model.log_prob(x).dtype == torch.float32


@pytest.mark.parametrize(
    ("x", "error", "piece"),
    [
        ([[0.5]], TypeError, "torch.Tensor"),
        (torch.zeros(2, 1, 28, 24), ValueError, "shape"),
        (torch.full((2, *SMALL), 1.5), ValueError, r"\[0, 1\]"),
        (torch.full((2, *SMALL), math.nan), ValueError, "NaN"),
        (torch.zeros(2, *SMALL).double(), ValueError, "float32"),
    ],
)
def test_images_that_a_flow_cannot_learn_from_are_refused(x, error, piece):
    with pytest.raises(error, match=piece):
        digit_flow(shape=SMALL).check((x, None))


def test_points_may_lie_anywhere_but_not_nowhere():
    point_flow().check((torch.tensor([[-7.0, 1e4]]), None))
    with pytest.raises(ValueError, match="NaN"):
        point_flow().check((torch.tensor([[math.inf, 0.0]]), None))
    with pytest.raises(ValueError, match="shape"):
        point_flow().check((torch.zeros(3, 3), None))


@pytest.mark.parametrize("shape", [(1, 27, 28), (1, 28, 30), (28, 28)])
def test_an_image_that_cannot_be_halved_twice_is_refused(shape):
    with pytest.raises(ValueError, match="multiples of 4"):
        digit_flow(shape=shape)


def test_one_number_has_no_half_that_could_stay():
    with pytest.raises(ValueError, match="dim"):
        point_flow(1)
