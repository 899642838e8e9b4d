"""What can be learned from samples: on scikit-learn's digits, and where the best accuracy is known."""

import json
import math

import pytest
import torch
from scipy.stats import norm
from torch import nn

from gm_lib.data import images
from gm_lib.evaluation import train_on_samples

DIGITS = images("digits")
REAL = DIGITS.train.x[:650], DIGITS.train.y[:650]
OTHERS = DIGITS.train.x[650:], DIGITS.train.y[650:]  # 547, what a perfect generator would write
TEST = torch.cat([DIGITS.valid.x, DIGITS.test.x]), torch.cat([DIGITS.valid.y, DIGITS.test.y])


def grey(n, seed, *, apart=0.2):
    """Images of one pixel: class 0 about 0.5 - apart / 2, class 1 about 0.5 + apart / 2, both with sd 0.1."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n,), generator=generator)
    x = 0.5 + apart * (y - 0.5) + 0.1 * torch.randn(n, generator=generator)
    return x.clamp(0, 1).reshape(-1, 1, 1, 1), y


def test_both_accuracies_are_the_best_possible_where_it_is_known():
    r = train_on_samples(*grey(3000, 0), grey(5000, 1), grey(3000, 2))
    best = norm.cdf(1.0)  # the classes are two standard deviations apart
    for accuracy, error in ((r.accuracy, r.accuracy_error), (r.accuracy_real, r.accuracy_real_error)):
        assert math.sqrt(best * (1 - best) / 5000) < 1.1 * error < 0.02
        assert accuracy == pytest.approx(best, abs=4 * error)


def test_a_generator_whose_classes_lie_elsewhere_teaches_the_wrong_boundary():
    x, y = grey(3000, 0)
    r = train_on_samples((x + 0.1).clamp(0, 1), y, grey(5000, 1), grey(3000, 2))
    expected = (norm.cdf(0) + norm.cdf(2)) / 2  # the boundary lies at 0.6 in place of 0.5
    assert r.accuracy == pytest.approx(expected, abs=0.04)
    assert r.difference == pytest.approx(expected - norm.cdf(1), abs=0.04)
    assert r.difference < -5 * r.difference_error


def test_a_perfect_generator_teaches_what_real_images_do():
    r = train_on_samples(*OTHERS, TEST, REAL)
    assert r.accuracy_real > 0.85
    assert abs(r.difference) < 4 * r.difference_error
    assert (r.classes, r.classes_real, r.labels_read) == (10, 10, False)
    assert (r.runs, r.n, r.n_given, r.n_test) == (5, 109, 547, len(TEST[0]))


def test_a_class_that_is_never_written_is_never_named():
    x, y = (torch.cat([a, b]) for a, b in zip(OTHERS, REAL, strict=True))
    r = train_on_samples(x[y != 3], y[y != 3], TEST, REAL)
    most = 1 - (TEST[1] == 3).double().mean().item()
    assert r.classes == 9
    assert most - 0.12 < r.accuracy <= most


def test_one_class_alone_is_always_named():
    x, y = OTHERS
    sevens = x[y == 7].repeat(12, 1, 1, 1)
    r = train_on_samples(sevens, torch.full((len(sevens),), 7), TEST, REAL)
    assert r.classes == 1
    assert r.accuracy == pytest.approx((TEST[1] == 7).double().mean().item())


def test_labels_that_mean_nothing_teach_nothing():
    x, y = OTHERS
    r = train_on_samples(x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))], TEST, REAL)
    assert r.accuracy < 0.3
    assert r.accuracy_real > 0.85


class Reader(nn.Module):
    """Reads images by the nearest real one."""

    def forward(self, x):
        assert not torch.is_grad_enabled()
        nearest = torch.cdist(x.flatten(1), REAL[0].flatten(1)).argmin(1)
        return nn.functional.one_hot(REAL[1][nearest], 10).float()


def test_labels_are_read_if_none_are_given_and_the_report_says_so():
    x, y = OTHERS
    with torch.no_grad():
        right = Reader()(x).argmax(1)
    read = train_on_samples(x, None, TEST, REAL, classifier=Reader())
    given = train_on_samples(x, right, TEST, REAL)
    assert (right == y).double().mean() > 0.9
    assert read.labels_read
    assert {**read.as_dict(), "labels_read": False} == given.as_dict()
    assert "labels read by a classifier" in str(read)
    assert "labels as given" in str(given)


def test_the_digit_classifier_reads_by_default():
    r = train_on_samples(OTHERS[0], None, TEST, REAL)
    assert r.labels_read
    assert r.accuracy > 0.8


def test_the_standard_errors_are_the_spread_over_other_training_and_test_images():
    found = [
        train_on_samples(*grey(500, s), grey(300, 100 + s), grey(500, 200 + s), seed=s) for s in range(40)
    ]
    for name, error in (
        ("accuracy", "accuracy_error"),
        ("accuracy_real", "accuracy_real_error"),
        ("difference", "difference_error"),
    ):
        spread = torch.tensor([getattr(r, name) for r in found]).std().item()
        said = math.sqrt(sum(getattr(r, error) ** 2 for r in found) / 40)
        assert said == pytest.approx(spread, rel=0.45)  # four standard errors of a spread of 40
    assert found[0].difference == pytest.approx(found[0].accuracy - found[0].accuracy_real)


def test_with_many_test_images_the_error_is_that_of_other_training_images():
    found = [train_on_samples(*OTHERS, TEST, REAL, seed=s) for s in range(6)]
    among_tests = math.sqrt(found[0].accuracy * (1 - found[0].accuracy) / found[0].n_test)
    assert sum(r.accuracy_error for r in found) / 6 > among_tests


def test_as_many_real_images_as_samples_are_taken_and_at_random():
    order = REAL[1].argsort()  # sorted by class
    r = train_on_samples(*OTHERS, TEST, (REAL[0][order], REAL[1][order]))
    assert r.n == 547 // 5
    assert r.accuracy_real > 0.85
    r = train_on_samples(*REAL, TEST, OTHERS)
    assert (r.n, r.n_given) == (547 // 5, 650)


def test_the_seed_decides_and_the_global_random_state_stays():
    state = torch.get_rng_state()
    first, same, other = (train_on_samples(*OTHERS, TEST, REAL, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first != other
    assert torch.equal(torch.get_rng_state(), state)


def test_what_does_not_fit_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr("gm_lib.evaluation.training_value.small_network", None)  # calling it would fail
    x, y = OTHERS
    for samples, labels, test, real, message in (
        (2 * x - 1, y, TEST, REAL, r"\(x \+ 1\) / 2 brings"),
        (x * math.nan, y, TEST, REAL, "NaN"),
        (x[..., :14], y, TEST, REAL, r"samples have the shape \(1, 28, 14\) each, the real training images"),
        (x, y, (x[..., :14], y), REAL, "test images have the shape"),
        (x, y[:-1], TEST, REAL, "labels must have the shape"),
        (x, y + 1, TEST, REAL, r"labels must lie in 0 … 9, got 1 … 10"),
        (x, y.float(), TEST, REAL, "labels must be integers"),
        (x, y, (TEST[0], TEST[1] + 1), REAL, "labels must lie in 0 … 9"),
        (x, y, TEST, (REAL[0], REAL[1] * 0), "only one class"),
        (x[:499], y[:499], TEST, REAL, "10 classes takes at least 500 samples .*got 499 and 650"),
        (x, y, (TEST[0][:99], TEST[1][:99]), REAL, "at least 100 test images, got 99"),
        (REAL[0].flip(0), REAL[1].flip(0), TEST, REAL, "samples and the real training images are the same"),
        (*TEST, TEST, REAL, "test images are among the samples"),
        (x, y, (REAL[0][:200], REAL[1][:200]), REAL, "200 test images are among the real training images"),
    ):
        with pytest.raises(ValueError, match=message):
            train_on_samples(samples, labels, test, real)
    with pytest.raises(TypeError, match="uint8"):
        train_on_samples((255 * x).byte(), y, TEST, REAL)


def test_it_prints_a_table_and_goes_into_json():
    r = train_on_samples(*grey(103, 0), grey(100, 1), grey(120, 2))
    lines = str(r).splitlines()
    assert lines[0] == "accuracy on 100 test images"
    assert lines[4].split() == ["classes,", "of", "2", "2"]
    assert lines[5] == "5 networks on 20 samples each, of 103, labels as given; as many on real images"
    assert json.loads(json.dumps(r.as_dict())) == r.as_dict()
