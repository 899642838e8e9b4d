import math

import pytest
import torch

from gm_lib.data import images
from gm_lib.evaluation import copy_test
from gm_lib.evaluation.copies import centred

DIGITS = images("digits")


def points(n, seed, d=4):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


TRAINING, HELD_OUT, FRESH = points(1000, 0), points(500, 1), points(400, 2)


def test_fresh_points_are_not_flagged_and_their_p_values_are_uniform():
    p = [copy_test(points(100, s), TRAINING, HELD_OUT, points(100, s + 500)).p_value for s in range(10, 110)]
    values = torch.tensor(p)
    assert abs(values.mean() - 0.5) < 4 * (1 / 12 / 100) ** 0.5
    for level in (0.1, 0.5):
        share = (values <= level).double().mean()
        assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / 100)


def test_the_standard_error_is_the_spread_of_the_ratio_over_draws():
    reports = [copy_test(points(100, s), TRAINING, HELD_OUT, points(100, s + 500)) for s in range(10, 110)]
    ratios = torch.tensor([report.ratio for report in reports])
    said = sum(report.standard_error for report in reports) / len(reports)
    assert ratios.std().item() == pytest.approx(said, rel=0.3)
    assert ratios.mean().item() == pytest.approx(1, abs=4 * said / 10)


def test_a_copier_is_flagged_and_what_it_copied_is_named():
    chosen = torch.arange(0, 1000, 10)
    report = copy_test(TRAINING[chosen], TRAINING, HELD_OUT, FRESH)
    assert report.p_value == 0.001
    assert report.ratio < 0.2
    assert report.suspects == report.n == 100
    assert torch.equal(report.nearest, chosen)
    assert (report.ratios == report.ratios[0]).all()  # more than ten times nearer counts as ten times
    assert report.ratios[0] == pytest.approx(0.1)


def test_a_few_copies_among_fresh_points_are_found():
    samples = torch.cat([points(95, 3), TRAINING[:5]])
    report = copy_test(samples, TRAINING, HELD_OUT, FRESH)
    assert report.p_value < 0.01
    assert set(report.ratios.argsort()[:5].tolist()) == {95, 96, 97, 98, 99}


def test_copies_with_noise_are_found_until_the_noise_is_as_large_as_the_distances():
    ratios = [
        copy_test(TRAINING[:300] + sigma * points(300, 4), TRAINING, HELD_OUT, FRESH).ratio
        for sigma in (0.0, 0.1, 0.3, 2.0)
    ]
    assert ratios == sorted(ratios)
    assert ratios[2] < 0.9
    assert ratios[3] > 0.9


def test_samples_that_are_not_like_data_are_not_taken_for_copies():
    for samples in (0.3 * points(300, 5), 3 + points(300, 5), 3 * points(300, 5)):
        assert copy_test(samples, TRAINING, HELD_OUT, FRESH).p_value > 0.01


def test_one_who_copies_the_held_out_data_is_on_the_other_side():
    report = copy_test(HELD_OUT[:100], TRAINING, HELD_OUT, FRESH)
    assert report.ratio > 5
    assert report.p_value == 1


def test_equal_distances_of_zero_count_as_equal():
    both = torch.cat([TRAINING[:50], HELD_OUT])
    report = copy_test(TRAINING[:50], TRAINING, both, FRESH)
    assert (report.ratios == 1).all()


@pytest.mark.parametrize("n_fresh", [5, 20, 50, 100, 400])
def test_as_many_suspects_as_said_come_by_chance(n_fresh):
    counts = []
    for s in range(300):
        samples, fresh = points(100, 2 * s + 1000), points(n_fresh, 2 * s + 1001)
        report = copy_test(samples, TRAINING[:300], HELD_OUT[:200], fresh, permutations=1)
        counts.append(report.suspects)
    found = torch.tensor(counts).double()
    error = found.std().item() / len(found) ** 0.5
    assert found.mean().item() == pytest.approx(report.suspects_by_chance, abs=4 * error)


def test_fresh_examples_that_are_in_another_set_are_refused():
    for name, known in (("training", TRAINING), ("held-out", HELD_OUT)):
        fresh = torch.cat([FRESH[:7], known[3:5]])
        with pytest.raises(ValueError, match=f"2 of the fresh .* number 7, are {name} examples too"):
            copy_test(points(50, 7), TRAINING, HELD_OUT, fresh)


def test_noise_is_farther_than_data_and_the_report_says_so():
    report = copy_test(3 * points(300, 5), TRAINING, HELD_OUT, FRESH)
    assert report.ratio > 1
    assert report.p_value > 0.95
    assert "unlike data" in str(report).splitlines()[-1]
    assert "unlike data" not in str(copy_test(TRAINING[:50], TRAINING, HELD_OUT, FRESH))


def test_the_distances_are_those_of_all_pairs():
    samples = points(20, 6)
    report = copy_test(samples, TRAINING, HELD_OUT, FRESH)
    to_training = torch.cdist(
        samples.double(), TRAINING.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    to_held_out = torch.cdist(
        samples.double(), HELD_OUT.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    torch.testing.assert_close(report.ratios, to_training.amin(1) / to_held_out.amin(1))
    assert torch.equal(report.nearest, to_training.argmin(1))


# --- images


def shifted(x):
    return x.roll((2, -1), dims=(2, 3))


def test_images_that_were_moved_are_still_found_and_without_alignment_are_not():
    real = DIGITS.train.x, DIGITS.valid.x, DIGITS.test.x
    copies = shifted(DIGITS.train.x[:100])
    assert copy_test(copies, *real).suspects == 100
    assert copy_test(copies, *real, align=False).suspects < 10


def test_moved_and_slightly_noisy_copies_of_digits_are_flagged():
    generator = torch.Generator().manual_seed(0)
    copies = shifted(DIGITS.train.x[:100])
    noisy = (copies + 0.05 * torch.randn(copies.shape, generator=generator)).clamp(0, 1)
    report = copy_test(noisy, DIGITS.train.x, DIGITS.valid.x, DIGITS.test.x)
    assert report.p_value == 0.001
    assert report.suspects > 20 * report.suspects_by_chance


def test_real_test_images_of_mnist_are_not_flagged(mnist):
    # The hands that wrote the first half of the test file are others than those of the second.
    test = mnist.test.x[torch.randperm(10_000, generator=torch.Generator().manual_seed(0))]
    for part in (slice(0, 200), slice(200, 400), slice(400, 600)):
        report = copy_test(test[part], mnist.train.x[:10_000], mnist.valid.x[:5000], test[9000:9400])
        assert report.p_value > 0.005


def test_moving_an_image_by_whole_pixels_does_not_change_where_it_is_centred():
    x = DIGITS.train.x[:50]
    assert torch.equal(centred(shifted(x)), centred(x))
    assert torch.equal(centred(torch.zeros(2, 1, 5, 5)), torch.zeros(2, 1, 5, 5))


def test_centred_images_have_their_mass_within_half_a_pixel_of_the_middle():
    x = torch.zeros(1, 1, 7, 9)
    x[0, 0, 1, 2] = 1
    assert centred(x)[0, 0, 3, 4] == 1


# --- what is refused, and the report


def test_the_same_seed_gives_the_same_report_and_the_global_state_is_left():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    reports = [copy_test(points(50, 7), TRAINING, HELD_OUT, FRESH, seed=3) for _ in range(2)]
    assert reports[0].as_dict() == reports[1].as_dict()
    assert torch.equal(before, torch.get_rng_state())


def test_arrays_and_other_dtypes_are_taken():
    ours = copy_test(points(50, 7), TRAINING, HELD_OUT, FRESH)
    theirs = copy_test(points(50, 7).double().numpy(), TRAINING.numpy(), HELD_OUT.tolist(), FRESH)
    assert theirs.as_dict() == pytest.approx(ours.as_dict())


@pytest.mark.parametrize(
    ("clouds", "message"),
    [
        (
            (points(5, 0, d=3), TRAINING, HELD_OUT, FRESH),
            "training examples have 4 values each, the samples 3",
        ),
        ((torch.zeros(4), TRAINING, HELD_OUT, FRESH), r"samples must have the shape \(n, ...\)"),
        ((TRAINING, torch.zeros(0, 4), HELD_OUT, FRESH), "training examples must have the shape"),
        ((TRAINING, TRAINING, HELD_OUT, FRESH * math.nan), "fresh examples hold NaN"),
        ((TRAINING[:1], TRAINING, HELD_OUT, FRESH), "at least 2 samples are needed, got 1"),
        ((TRAINING, TRAINING, HELD_OUT, FRESH[:1]), "at least 2 fresh examples are needed"),
        ((DIGITS.test.x * 2, DIGITS.train.x, DIGITS.valid.x, DIGITS.test.x), r"must be in \[0, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(clouds, message):
    with pytest.raises(ValueError, match=message):
        copy_test(*clouds)


def test_no_permutations_are_refused():
    with pytest.raises(ValueError, match="permutations must be at least 1, not 0"):
        copy_test(FRESH, TRAINING, HELD_OUT, FRESH, permutations=0)


def test_sets_that_are_one_and_the_same_are_refused():
    with pytest.raises(ValueError, match="samples and the fresh examples are the same 400 rows"):
        copy_test(FRESH.flip(0), TRAINING, HELD_OUT, FRESH)
    with pytest.raises(ValueError, match="training examples and the held-out examples are the same 500"):
        copy_test(points(50, 7), HELD_OUT, HELD_OUT.flip(0), FRESH)
    copy_test(TRAINING, TRAINING, HELD_OUT, FRESH, permutations=1)  # a copier is what it looks for


def test_the_report_prints_a_table_and_gives_plain_numbers():
    report = copy_test(points(50, 7), TRAINING, HELD_OUT, FRESH)
    lines = str(report).splitlines()
    assert lines[0].split() == ["50", "samples", "these", "by", "chance"]
    assert lines[1].split()[-2:] == [f"{report.standard_error:.3f}", "1"]
    assert lines[3].split() == ["suspects", str(report.suspects), "0.5"]
    assert lines[4] == "beside 400 fresh examples; 1,000 training and 500 held-out ones"
    assert set(report.as_dict()) == {
        "ratio",
        "standard_error",
        "p_value",
        "suspects",
        "suspects_by_chance",
        "n",
        "n_fresh",
        "n_training",
        "n_held_out",
    }
