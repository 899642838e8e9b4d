"""The report on samples of shapes: what is planted in them is found."""

import math

import pytest
import torch

from gm_lib.data.shapes import FACTORS, draw_shapes, render
from gm_lib.evaluation import factor_report
from gm_lib.evaluation.factors import VALID


@pytest.fixture(scope="module")
def real():
    return draw_shapes(600, seed=11)


def test_real_images_are_valid_and_their_factors_hang_together_as_chance_has_it(real):
    report = factor_report(*real)
    assert (report.valid, report.covered, report.values, report.known) == (
        1.0,
        41,
        sum(FACTORS.values()),
        1.0,
    )
    assert report.distance == pytest.approx(1, abs=0.05)
    assert report.uneven < 2 * report.uneven_floor
    assert report.dependence == pytest.approx(report.dependence_floor, rel=0.25)


def test_a_valid_image_is_near_to_one_rendering_only():
    """The nearest pairs are a small disc and a small square; others were found farther apart by a search."""
    pairs = render(
        torch.tensor(
            [
                [shape, c, 0, row, 3, g]
                for c in range(8)
                for row in range(7)
                for g in range(6)
                for shape in (0, 7)
            ]
        )
    )
    levels = 255 * (pairs[::2] - pairs[1::2]).square().mean((1, 2, 3)).sqrt()
    assert 2 * VALID < levels.min() < 2 * VALID + 0.5
    some = draw_shapes(80, seed=1)[1]
    apart = 255 * torch.cdist(render(some).flatten(1), render(some).flatten(1)) / 3072**0.5
    assert apart.fill_diagonal_(math.inf).min() > 2 * VALID
    half_and_half = (pairs[::2] + pairs[1::2]) / 2
    assert factor_report(half_and_half[::20]).valid == 0


def test_a_colour_that_follows_the_shape_is_dependence(real):
    factors = real[1].clone()
    factors[:, 1] = factors[:, 0] % 8
    report = factor_report(render(factors))
    # The entropy of colours of which two have twice the share, but for chance.
    assert report.dependence - report.dependence_floor > 2.5
    assert factor_report(real[0]).dependence < report.dependence - 2


def test_uneven_shares_alone_are_no_dependence(real):
    factors = real[1].clone()
    factors[:, 0] %= 5
    factors[:, 5] %= 3
    report = factor_report(render(factors))
    assert report.uneven == pytest.approx(2 + report.uneven_floor, abs=0.1)
    assert report.dependence < 1.1 * report.dependence_floor


def test_a_shape_that_is_left_out_makes_shares_uneven(real):
    x, factors = real
    report = factor_report(x[factors[:, 0] < 5], torch.zeros(1, 6, dtype=torch.int64))
    assert report.covered == 36
    assert report.uneven == pytest.approx(1 + report.uneven_floor, abs=0.08)  # half of them: one bit
    assert report.known == 0


def test_an_image_far_from_every_rendering_counts_for_nothing(real):
    noise = torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    report = factor_report(torch.cat([real[0][:60], noise]))
    assert report.valid == 0.75
    assert report.valid_error == pytest.approx(math.sqrt(0.75 * 0.25 / 79))
    assert report.covered == factor_report(real[0][:60]).covered
    nothing = factor_report(noise)
    assert nothing.valid == nothing.covered == 0
    assert math.isnan(nothing.dependence)
    assert "0.0%" in str(nothing)
