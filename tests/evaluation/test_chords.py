import math

import pytest
import torch

from gm_lib.data import piano_roll
from gm_lib.evaluation import ChordBigram, musical_statistics, pitch_classes, ratio

C, G, F = (48, 64, 67, 72), (55, 67, 71, 74), (53, 69, 72, 77)
UP = tuple(note + 2 for note in C)  # every voice moves by a tone: C, D


def both(*steps):
    """Two equal pieces, which any statistic needs."""
    return [piano_roll(steps)] * 2


def test_a_ratio_counts_all_steps_alike():
    found = ratio(torch.tensor([10.0, 90.0]), torch.tensor([10, 30]))
    assert found.mean == pytest.approx(2.5)
    assert found.mean != pytest.approx((1 + 3) / 2)


def test_the_error_of_a_ratio_is_the_spread_of_the_ratio_over_new_draws():
    generator = torch.Generator().manual_seed(0)
    n, draws = 60, 3000
    count = torch.randint(20, 100, (draws, n), generator=generator).double()
    total = 3 * count + count.sqrt() * torch.randn(draws, n, generator=generator)
    found = [ratio(t, c) for t, c in zip(total, count, strict=True)]
    spread = torch.tensor([one.mean for one in found]).std().item()
    claimed = torch.tensor([one.standard_error for one in found]).mean().item()
    assert claimed == pytest.approx(spread, rel=5 / math.sqrt(2 * draws))


def test_a_ratio_of_one_piece_or_of_nothing_is_refused():
    with pytest.raises(ValueError, match="two pieces or more"):
        ratio(torch.tensor([1.0]), torch.tensor([1.0]))
    with pytest.raises(ValueError, match=r"sum to 0\.0"):
        ratio(torch.zeros(2), torch.zeros(2))


def test_a_chord_is_known_whatever_its_octaves_and_doublings():
    assert pitch_classes(piano_roll([C, (60, 64, 67), (), (21, 59)])) == [(0, 4, 7), (0, 4, 7), (), (9, 11)]


def test_the_probabilities_of_all_chords_sum_to_one():
    bigram = ChordBigram([piano_roll([C, G, C, F, C, G])])
    seen = {*bigram.all, (1, 2, 3)}
    for before in (None, ChordBigram.START, (0, 4, 7), (2, 7, 11), (1, 2)):
        rest = 2**12 - len(seen)  # all other sets of pitch classes are alike
        total = sum(bigram.probability(chord, before) for chord in seen)
        total += rest * bigram.probability((1, 2, 3, 4, 5), before)
        assert total == pytest.approx(1)


def test_the_bigram_is_witten_and_bell_s():
    bigram = ChordBigram([piano_roll([C, G, C, F])])
    c, g = (0, 4, 7), (2, 7, 11)
    p_g = (1 + 3 / 4096) / (4 + 3)  # one of four steps, three kinds
    assert bigram.probability(g) == pytest.approx(p_g)
    assert bigram.probability(g, c) == pytest.approx((1 + 2 * p_g) / (2 + 2))
    surprise = bigram.surprise(piano_roll([C, G]))
    expected = math.log(bigram.probability(c, ChordBigram.START)) + math.log(bigram.probability(g, c))
    assert surprise == pytest.approx(-expected)


def test_parallel_fifths_and_octaves_are_found_in_voices_that_move():
    assert musical_statistics(both(C, UP)).parallels.mean == 1
    assert musical_statistics(both(C, G)).parallels.mean == 0  # the upper voices' fourths do not count
    held = (48, 55, 64, 72), (48, 55, 65, 74)  # the fifth stays, and is no parallel
    assert musical_statistics(both(*held)).parallels.mean == 0
    fifth = (48, 55, 64, 71), (50, 57, 64, 72)
    assert musical_statistics(both(*fifth)).parallels.mean == 1
    octave = (48, 60, 64, 67), (50, 62, 65, 69)
    assert musical_statistics(both(*octave)).parallels.mean == 1
    higher_held = (36, 55, 64, 67), (48, 55, 64, 67)  # the bass leaps an octave under a fifth that is held
    assert musical_statistics(both(*higher_held, higher_held[0])).parallels.mean == 0
    lower_held = (36, 43, 60, 64), (36, 55, 60, 64)
    assert musical_statistics(both(*lower_held)).parallels.mean == 0
    to_the_other = (48, 55, 64, 69), (50, 62, 65, 69)  # from a fifth to an octave
    assert musical_statistics(both(*to_the_other)).parallels.mean == 0
    contrary = (48, 67, 72, 76), (53, 60, 69, 74)  # bass and tenor, from a twelfth to a fifth
    assert musical_statistics(both(*contrary)).parallels.mean == 1
    by_a_twelfth = (48, 64, 67, 72), (50, 62, 69, 77)  # bass and alto, 19 semitones apart
    assert musical_statistics(both(*by_a_twelfth)).parallels.mean == 1


def test_a_voice_that_goes_beyond_its_neighbour_overlaps():
    assert musical_statistics(both((48, 60, 64, 72), (48, 65, 69, 72))).overlaps.mean == 1
    assert musical_statistics(both((48, 60, 64, 72), (48, 60, 65, 72))).overlaps.mean == 0
    assert musical_statistics(both((48, 60, 67, 72), (43, 47, 62, 71))).overlaps.mean == 1


def test_span_and_repetition_are_counted_over_their_own_steps():
    found = musical_statistics(both(C, C, (), (60,), G, C))
    assert found.span.mean == pytest.approx((24 + 24 + 0 + 19 + 24) / 5)
    assert found.repeats.mean == pytest.approx(1 / 5)
    assert musical_statistics(both(C, C, G, (), G, C)).moves.mean == pytest.approx(2 / 5)


def test_where_nothing_can_be_counted_there_is_no_share():
    found = musical_statistics(both((60,), (62,)))
    assert found.moves.mean == 0
    assert math.isnan(found.parallels.mean)
    assert math.isnan(found.overlaps.mean)
    assert found.repeats.mean == 0
    with pytest.raises(ValueError, match="two pieces or more"):
        musical_statistics([piano_roll([C, G])])
