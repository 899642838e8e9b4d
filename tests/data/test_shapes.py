"""The shapes: an image has one cause, its probability is known, and both can be read back."""

import itertools
import math

import pytest
import torch
from torch.distributions import Binomial

from gm_lib.data import check_images, images, shapes
from gm_lib.data.shapes import FACTORS, RENDERINGS, draw_shapes, entropy, log_prob, read_factors, render
from gm_lib.vae import DiscretizedLogistic


@pytest.fixture(scope="module")
def drawn():
    return draw_shapes(400, seed=5)


def test_the_factors_of_an_image_are_read_back_through_its_grain(drawn):
    x, factors = drawn
    found = read_factors(x)
    assert torch.equal(found.factors, factors)
    torch.testing.assert_close(255 * found.distance, torch.ones(400), rtol=0, atol=0.1)  # its sd is 1 level


def test_grain_cannot_carry_one_rendering_to_another():
    scene = shapes._scene()
    contrast = 255 * (scene.colours[:, None, :, None, None] - scene.grounds).abs().amin((3, 4)).amax(2).min()
    of_masks = torch.cdist(scene.masks, scene.masks, p=math.inf).fill_diagonal_(1)
    assert of_masks.min() * contrast > 4 + 1  # grain's range, and what rounding may take
    of_colours, of_grounds = (
        255 * torch.cdist(c, c, p=math.inf).fill_diagonal_(1)
        for c in (scene.colours, scene.grounds[..., [0, -1], 0].flatten(1))
    )
    assert min(of_colours.min(), of_grounds.min()) > 4
    assert (
        scene.masks.amax(1) == 1
    ).all()  # the colour is seen in full, and below, in the corners, the ground
    assert scene.masks.reshape(-1, 32, 32)[:, [0, 0, -1, -1], [0, -1, 0, -1]].max() == 0


def test_the_nearest_rendering_is_that_of_a_search_one_by_one():
    generator = torch.Generator().manual_seed(0)
    near, _ = draw_shapes(6, seed=1)
    noisy = (near + 0.1 * torch.randn(near.shape, generator=generator)).clamp(0, 1)
    x = torch.cat([noisy, 0.4 * near, (near + near.flip(0)) / 2])  # some that are nowhere near
    some = torch.stack([torch.randint(n, (3_000,), generator=generator) for n in FACTORS.values()], 1)
    found = read_factors(x)
    others = torch.cat([some, found.factors])
    distances = torch.cdist(x.flatten(1), render(others).flatten(1)) / 3072**0.5
    torch.testing.assert_close(distances.min(1).values, found.distance, rtol=1e-3, atol=1e-5)
    assert (others[distances.argmin(1)] == found.factors).all()


def test_values_are_grey_levels_in_range_and_the_grain_has_a_binomial_distribution(drawn):
    x, factors = drawn
    check_images(x)
    DiscretizedLogistic((3, 32, 32)).check(x)
    grain = (255 * (x - render(factors))).round().long().flatten() + 2
    share = grain.bincount() / len(grain)
    p = Binomial(4, 0.5).log_prob(torch.arange(5.0)).exp()
    assert torch.allclose(p, torch.tensor(shapes.GRAIN))
    assert ((share - p).abs() < 4 * (p * (1 - p) / len(grain)).sqrt()).all()


def test_all_factors_are_uniform_and_independent():
    n = 4_000
    _, factors = draw_shapes(n, seed=3)
    assert math.prod(FACTORS.values()) == RENDERINGS == 70_560
    sizes = list(FACTORS.values())
    for i, j in itertools.product(range(6), repeat=2):
        if i == j:
            counts, p = factors[:, i].bincount(minlength=sizes[i]), 1 / sizes[i]
        else:
            pairs = factors[:, i] * sizes[j] + factors[:, j]
            counts, p = pairs.bincount(minlength=sizes[i] * sizes[j]), 1 / (sizes[i] * sizes[j])
        off = (counts - n * p) / (n * p * (1 - p)) ** 0.5
        assert off.abs().max() < 5  # of about 1,500 counts


def test_the_entropy_is_the_mean_of_minus_log_p(drawn):
    bits = -log_prob(drawn[0]) / math.log(2)
    assert abs(bits.mean() - entropy()) < 4 * bits.std() / 20
    assert entropy() / 3072 == pytest.approx(2.0359, abs=1e-4)


def test_probabilities_of_all_grain_on_one_rendering_add_up_to_its_share(drawn):
    """Of one value with the others as they are: its five levels share what the other values leave."""
    x, factors = drawn[0][:1], drawn[1][:1]
    levels = render(factors)[0, 1, 4, 4] + torch.arange(-2, 3) / 255
    five = x.repeat(5, 1, 1, 1)
    five[:, 1, 4, 4] = levels
    p = (log_prob(five) - log_prob(five).logsumexp(0)).exp()
    torch.testing.assert_close(p, torch.tensor(shapes.GRAIN, dtype=torch.float64))


@pytest.mark.parametrize("change", [3 / 255, 0.4 / 255])
def test_what_is_never_drawn_has_no_probability(drawn, change):
    x = render(drawn[1][:2])
    x[1, 0, 3, 3] += change
    found = log_prob(x)
    assert found[0] > -math.inf
    assert found[1] == -math.inf


def test_images_of_shapes_come_in_fixed_splits_labelled_by_shape(capsys):
    data = images("shapes")
    said = capsys.readouterr().out
    assert "shapes, from gm_lib.data.shapes: 10,000 train, 1,000 valid, 1,000 test images" in said
    assert data.train.x.shape == (10_000, 3, 32, 32)
    found = read_factors(data.test.x[:50]).factors
    assert torch.equal(found[:, 0], data.test.y[:50])
    assert not torch.equal(data.valid.x, data.test.x)
    assert torch.equal(data.valid.x[:9], draw_shapes(1_000, seed=1)[0][:9])
    counts = torch.bincount(data.train.y, minlength=10) / 10_000
    assert ((counts - 0.1).abs() < 4 * (0.09 / 10_000) ** 0.5).all()


def test_empty_grounds_have_a_ground_and_grain_and_no_shape():
    x = shapes.empty_grounds(60, seed=3)
    check_images(x)
    grounds = shapes._scene().grounds
    off = (255 * (x[:, None] - grounds)).abs().amax((2, 3, 4))
    assert (off.round().sort(1).values[:, 0] == 2).all()
    assert len(off.argmin(1).unique()) == len(grounds)
    assert torch.equal(x, shapes.empty_grounds(60, seed=3))
    assert (log_prob(x) == -math.inf).all()


def test_factors_and_images_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"factors are whole numbers \(n, 6\): shape, colour"):
        render(torch.zeros(3, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match="the factor size has the values 0 to 2"):
        render(torch.tensor([[0, 0, 3, 0, 0, 0]]))
    with pytest.raises(ValueError, match=r"of the shape \(n, 3, 32, 32\), got \(2, 1, 28, 28\)"):
        read_factors(torch.zeros(2, 1, 28, 28))
    with pytest.raises(ValueError, match="divide by 255"):
        read_factors(torch.full((2, 3, 32, 32), 255.0))


def test_the_callers_random_numbers_are_left_as_they_were():
    before = torch.get_rng_state()
    draw_shapes(2, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
