"""Claims about the models of Part I on the scoreboard: -log p(x) is that of the model named."""

import math

import pytest
import torch

import first_models
from first_models import CANDIDATES, Neighbours
from gm_lib.distributions.counting import TileCounts


@pytest.fixture
def blobs():
    """40 small images in which neighbouring pixels agree: (40, 1, 28, 28) of zeros and ones."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.bernoulli(torch.full((40, 1, 7, 7), 0.4), generator=generator)
    x = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return (x + torch.bernoulli(torch.full(x.shape, 0.1), generator=generator)) % 2


def test_neighbours_give_each_pixel_its_share_of_white_after_the_same_four(blobs):
    model, x = Neighbours(blobs), blobs[0, 0]
    by_hand = 0.0
    padded = torch.nn.functional.pad(blobs[:, 0], (1, 1, 1, 0))
    for i in range(28):
        for j in range(28):
            before = [padded[:, i + 1, j], padded[:, i, j], padded[:, i, j + 1], padded[:, i, j + 2]]
            same = torch.stack([b == b[0] for b in before]).all(0)
            white = (blobs[same, 0, i, j].sum().item() + 0.5) / (same.sum().item() + 1)
            by_hand += math.log(white if x[i, j] else 1 - white)
    assert model.log_prob(blobs[:1]).item() == pytest.approx(by_hand, rel=1e-9)


def test_samples_of_neighbours_are_as_probable_as_the_model_says(blobs):
    """E[log p(x)] of samples is minus the entropy: pixel by pixel, that of the coin that drew it."""
    model = Neighbours(blobs)
    x = model.sample(400, torch.Generator().manual_seed(1))
    row, column = torch.arange(28)[:, None], torch.arange(28)
    p = model.white[row, column, model.pattern(x)]
    entropy = torch.distributions.Bernoulli(probs=p).entropy().sum((1, 2))
    difference = model.log_prob(x) + entropy
    assert abs(difference.mean()) < 5 * difference.std() / math.sqrt(len(x))
    assert not torch.equal(x, model.sample(400, torch.Generator().manual_seed(2)))


def test_tiles_are_smoothed_as_is_best_for_the_validation_images(blobs):
    chosen = first_models.tiles(blobs[:30], blobs[30:], 4)
    scores = {m: TileCounts(blobs[:30], 4, imaginary=m).log_prob(blobs[30:]).mean() for m in CANDIDATES}
    assert chosen.imaginary == max(scores, key=scores.__getitem__)
    assert len({round(score.item(), 6) for score in scores.values()}) == len(CANDIDATES)


def test_tiles_by_digit_add_up_the_joint_probabilities(blobs):
    y = torch.arange(40) % 10
    log_prob = first_models.tiles_by_digit(blobs, y, blobs[:5], 4)
    x = blobs[7:9]
    candidates = []
    for m in CANDIDATES:
        each = [TileCounts(blobs[y == digit], 4, imaginary=m).log_prob(x).exp() for digit in range(10)]
        candidates.append(sum(p / 10 for p in each).log())
    assert any(torch.allclose(log_prob(x), wanted, rtol=1e-6) for wanted in candidates)


def test_a_histogram_costs_the_cross_entropy_of_the_levels():
    generator = torch.Generator().manual_seed(3)
    levels = torch.randint(0, 2, (500, 1, 28, 28), generator=generator) * 255
    x = levels.float() / 255  # half black, half white: one bit for each pixel
    bits = first_models.histogram_bits(x, x)
    assert bits["histogram"] == pytest.approx(1.0, abs=0.001)
    assert bits["histograms"] == pytest.approx(1.0, abs=0.02)


def test_gaussians_cost_what_the_normal_entropy_says():
    generator = torch.Generator().manual_seed(4)
    x = (torch.randint(0, 256, (4000, 1, 28, 28), generator=generator) / 255).float()
    bits = first_models.density_bits(x[:2000], x[2000:], generator)
    wide = 8 + 0.5 * math.log2(
        2 * math.pi * math.e / 12
    )  # a uniform variable under the normal of its variance
    assert bits["gaussians"] == pytest.approx(wide, abs=0.005)
    assert bits["ppca_2"] == pytest.approx(bits["gaussians"], abs=0.01), "nothing to share"
