import itertools
import math
from collections import Counter

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Independent

from gm_lib.distributions.counting import PixelCounts, TileCounts, log_smoothed
from gm_lib.distributions.estimates import assert_unbiased

MAKERS = [
    lambda x: TileCounts(x, 1, imaginary=2.0),
    lambda x: TileCounts(x, 2, imaginary=3.0),
    lambda x: TileCounts(x, 2, imaginary=0.25),
    lambda x: PixelCounts(x, imaginary=1.5),
]


@pytest.fixture
def few():
    """Thirty images of 2×2, the patterns of very different frequency."""
    patterns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4))).reshape(16, 1, 2, 2)
    chosen = torch.multinomial(torch.arange(1.0, 17) ** 2, 30, replacement=True, generator=seeded(1))
    return patterns[chosen]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def every_image(size):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=size**2))).reshape(-1, 1, size, size)


def code(x):
    return (x.flatten(1) @ 2.0 ** torch.arange(x[0].numel())).long()


def test_a_count_becomes_its_frequency_without_smoothing_and_minus_infinity_if_it_is_zero():
    log_p = log_smoothed(torch.tensor([0, 1, 3, 4]), n=8, pixels=2, imaginary=0.0)
    assert log_p.exp().tolist() == pytest.approx([0, 1 / 8, 3 / 8, 4 / 8])
    assert log_p[0] == -math.inf


def test_smoothing_adds_its_observations_evenly():
    log_p = log_smoothed(torch.tensor([0, 1, 3, 4]), n=8, pixels=2, imaginary=4.0)
    assert log_p.exp().tolist() == pytest.approx([1 / 12, 2 / 12, 4 / 12, 5 / 12])


@pytest.mark.parametrize("pixels", [784, 10_000])
def test_a_pattern_of_many_pixels_that_was_never_seen_costs_its_share_of_the_imaginary_ones(pixels):
    log_p = log_smoothed(torch.tensor([0]), n=30, pixels=pixels, imaginary=10.0)
    assert log_p.item() == pytest.approx(math.log(10 / 40) - pixels * math.log(2))


@pytest.mark.parametrize("make", MAKERS)
def test_the_probabilities_of_all_images_sum_to_one(make, few):
    assert make(few).log_prob(every_image(2)).exp().sum().item() == pytest.approx(1)


def test_the_probabilities_of_all_images_sum_to_one_also_when_they_are_cut():
    x = torch.randint(2, (20, 1, 4, 4), generator=seeded(0)).float()
    model = TileCounts(x, 2, imaginary=1.0)
    assert model.log_prob(every_image(4)).exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("make", MAKERS)
def test_samples_have_the_probabilities_that_log_prob_gives(make, few):
    model = make(few)
    n = 40_000
    drawn = torch.nn.functional.one_hot(code(model.sample(n, generator=seeded(2))), 16)
    order = code(every_image(2)).argsort()
    assert_unbiased(drawn, model.log_prob(every_image(2)).exp()[order])


def test_tiles_of_a_sample_are_independent_and_each_has_the_law_of_its_place():
    x = torch.randint(2, (6, 1, 4, 4), generator=seeded(3)).float()
    model = TileCounts(x, 2)
    drawn = model.sample(40_000, generator=seeded(4))
    places = [(slice(i, i + 2), slice(j, j + 2)) for i in (0, 2) for j in (0, 2)]
    for rows, columns in places:
        truth = torch.bincount(code(x[..., rows, columns]), minlength=16) / len(x)
        assert_unbiased(torch.nn.functional.one_hot(code(drawn[..., rows, columns]), 16), truth)
    first = [drawn[:, 0, rows.start, columns.start] for rows, columns in places]
    centred = [pixel - pixel.mean() for pixel in first]
    for a, b in itertools.combinations(centred, 2):
        assert_unbiased(a * b, 0.0)


def test_the_whole_image_as_one_tile_is_a_categorical_distribution_over_images(few):
    table = torch.bincount(code(few), minlength=16).double() + 3 / 16
    expected = Categorical(probs=table).log_prob(code(every_image(2)))
    torch.testing.assert_close(TileCounts(few, 2, imaginary=3.0).log_prob(every_image(2)), expected)


def test_counts_are_those_of_a_dictionary_row_by_row():
    x = torch.randint(2, (50, 1, 6, 6), generator=seeded(5)).float()
    other = torch.randint(2, (9, 1, 6, 6), generator=seeded(6)).float()
    count = TileCounts(x, 3).count(other)
    assert count.shape == (9, 4)
    for place, (i, j) in enumerate(itertools.product((0, 3), repeat=2)):
        seen = Counter(tuple(tile.flatten().tolist()) for tile in x[:, 0, i : i + 3, j : j + 3])
        mine = [seen[tuple(tile.flatten().tolist())] for tile in other[:, 0, i : i + 3, j : j + 3]]
        assert count[:, place].tolist() == mine


def test_the_memorizer_copies_and_gives_each_training_image_its_share():
    x = torch.randint(2, (40, 1, 8, 8), generator=seeded(7)).float()
    model = TileCounts(x, 8)
    drawn = model.sample(100, generator=seeded(8))
    assert (drawn[:, None] == x[None]).flatten(2).all(2).any(1).all()
    torch.testing.assert_close(model.log_prob(x), torch.full((40,), -math.log(40)).double())
    assert (model.log_prob(1 - x) == -math.inf).all()


def test_tiles_of_one_pixel_are_the_independent_pixels(few):
    torch.testing.assert_close(
        TileCounts(few, 1, imaginary=2.5).log_prob(every_image(2)),
        PixelCounts(few, imaginary=2.5).log_prob(every_image(2)),
    )


def test_another_smoothing_counts_nothing_anew_and_leaves_the_model_as_it_was(few):
    model = TileCounts(few, 2, imaginary=1.0)
    other = model.smoothed(5.0)
    expected = TileCounts(few, 2, imaginary=5.0).log_prob(every_image(2))
    torch.testing.assert_close(other.log_prob(every_image(2)), expected)
    assert (model.imaginary, other.imaginary) == (1.0, 5.0)
    with pytest.raises(ValueError, match="imaginary is -2"):
        model.smoothed(-2)


def test_independent_pixels_are_bernoulli_variables(few):
    model = PixelCounts(few)
    coins = Independent(Bernoulli(probs=(few.double().sum(0) + 0.5) / 31), 3)
    torch.testing.assert_close(model.log_prob(every_image(2)), coins.log_prob(every_image(2).double()))


def test_a_pixel_that_never_changed_is_certain_without_smoothing():
    x = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    model = PixelCounts(x, imaginary=0.0)
    assert model.log_prob(x).exp().tolist() == pytest.approx([0.5, 0.5])
    assert model.log_prob(torch.tensor([[1.0, 0.0]])).item() == -math.inf


@pytest.mark.parametrize("make", MAKERS)
def test_the_global_random_state_is_used_only_without_a_generator(make, few):
    model = make(few)
    before = torch.get_rng_state()
    first = model.sample(50, generator=seeded(9))
    assert torch.equal(first, model.sample(50, generator=seeded(9)))
    assert torch.equal(torch.get_rng_state(), before)


def test_fair_coins_come_as_often_as_the_imaginary_observations_demand():
    ones = torch.ones(30, 1, 5, 5)  # so that every zero in a sample is a coin's
    drawn = TileCounts(ones, 5, imaginary=10.0).sample(20_000, generator=seeded(10))
    assert_unbiased(drawn.flatten(1).mean(1), 1 - 0.5 * 10 / 40)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x: TileCounts(x.numpy(), 2), TypeError, "torch.Tensor, not ndarray"),
        (lambda x: TileCounts(0.3 * x, 2), ValueError, "threshold grey images"),
        (lambda x: TileCounts(x, 3), ValueError, "tiles of side 3 do not fill an image of side 2"),
        (lambda x: TileCounts(x, 0), ValueError, "tiles of side 0"),
        (lambda x: TileCounts(x[:, 0], 2), ValueError, r"\(n, 1, size, size\), not \(30, 2, 2\)"),
        (lambda x: TileCounts(x[:0], 2), ValueError, "n > 0"),
        (lambda x: TileCounts(x, 2, imaginary=-1), ValueError, "imaginary is -1"),
        (lambda x: TileCounts(x, 2).log_prob(torch.zeros(3, 1, 4, 4)), ValueError, "as in training"),
        (lambda x: PixelCounts(x, imaginary=math.inf), ValueError, "imaginary is inf"),
        (lambda x: PixelCounts(x).log_prob(0.5 * x), ValueError, "zeros and ones"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_a_reason(make, error, message, few):
    with pytest.raises(error, match=message):
        make(few)
