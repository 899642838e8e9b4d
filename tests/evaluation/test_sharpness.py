import pytest
import torch

from gm_lib.data import binarize, images
from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.evaluation import gradient_energy

DIGITS = images("digits").valid.x[:50]


def test_an_edge_counts_by_its_length_and_the_square_of_its_height():
    x = torch.zeros(3, 1, 6, 8)
    x[0, ..., 5:] = 1.0  # a vertical edge, six pixels long
    x[1, :, 2:] = 0.5  # a horizontal one, eight pixels long, half as high
    assert gradient_energy(x).tolist() == [6.0, 2.0, 0.0]


def test_it_is_the_sum_over_all_pairs_of_neighbours_in_every_channel():
    x = torch.rand(4, 2, 3, 5)
    by_pair = torch.zeros(4)
    for i in range(3):
        for j in range(5):
            for down, right in ((0, 1), (1, 0)):
                if i + down < 3 and j + right < 5:
                    by_pair += (x[:, :, i + down, j + right] - x[:, :, i, j]).square().sum(1)
    torch.testing.assert_close(gradient_energy(x), by_pair)


def test_turning_mirroring_and_inverting_an_image_keep_its_energy():
    energy = gradient_energy(DIGITS)
    for x in (DIGITS.flip(-1), DIGITS.transpose(-1, -2), 1 - DIGITS):
        torch.testing.assert_close(gradient_energy(x), energy)


def test_a_toss_has_the_energy_of_its_probabilities_and_their_variances_on_average():
    p = torch.rand(1, 1, 7, 6)
    tosses = binarize(p.expand(20_000, 1, 7, 6), generator=torch.Generator().manual_seed(0))
    variance = p * (1 - p)
    pairs = variance[..., 1:].sum() + variance[..., :-1].sum()
    pairs += variance[..., 1:, :].sum() + variance[..., :-1, :].sum()
    assert_unbiased(gradient_energy(tosses), gradient_energy(p)[0] + pairs)


def test_averaging_neighbours_takes_energy_away_and_noise_adds_it():
    energy = gradient_energy(DIGITS)
    blurred = torch.nn.functional.avg_pool2d(DIGITS, 3, stride=1, padding=1)
    noisy = (DIGITS + 0.2 * torch.randn(DIGITS.shape)).clamp(0, 1)
    assert bool((gradient_energy(blurred) < energy).all())
    assert bool((gradient_energy(noisy) > energy).all())


@pytest.mark.parametrize(
    ("x", "error", "told"),
    [
        (torch.rand(28, 28), ValueError, "shape"),
        (2 * torch.ones(1, 1, 4, 4), ValueError, r"\[0, 1\]"),
        (torch.ones(1, 1, 4, 4, dtype=torch.uint8), TypeError, "floating point"),
        ([[0.0]], TypeError, "torch.Tensor"),
    ],
)
def test_what_is_no_image_is_refused(x, error, told):
    with pytest.raises(error, match=told):
        gradient_energy(x)
