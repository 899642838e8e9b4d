"""The judge of digits, on scikit-learn's, with a small classifier trained here for a second."""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gm_lib.data import images
from gm_lib.evaluation import frechet_distance, judge_digits, kernel_distance, precision_recall
from gm_lib.networks import mlp
from gm_lib.runtime import forked_rng


class Reader(nn.Module):
    """784 pixels, 24 features, 10 logits."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), mlp([784, 24]), nn.Tanh())
        self.head = nn.Linear(24, 10)

    def features(self, x):
        assert not torch.is_grad_enabled()
        return self.body(x)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.fixture(scope="module")
def data():
    return images("digits")


@pytest.fixture(scope="module")
def reader(data):
    with forked_rng(0):
        model = Reader()
        adam = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(150):
            adam.zero_grad()
            F.cross_entropy(model(data.train.x), data.train.y).backward()
            adam.step()
    return model


@pytest.fixture(scope="module")
def real(data):
    return data.train.x


@pytest.fixture(scope="module")
def fresh(data):
    """598 real digits that are not among `real`: what a perfect model would write."""
    return torch.cat([data.valid.x, data.test.x])[:598]


def blurred(x):
    return F.avg_pool2d(x, 9, stride=1, padding=4)


def noise(like):
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(0))


def test_a_perfect_model_scores_what_real_images_do(reader, real, fresh):
    report = judge_digits(fresh, real, classifier=reader)
    assert report.frechet == pytest.approx(report.frechet_floor, rel=1)
    assert abs(report.kernel - report.kernel_floor) < 5 * report.kernel_error
    assert report.precision == pytest.approx(report.precision_real, abs=0.08)
    assert report.recall == pytest.approx(report.recall_real, abs=0.08)
    assert report.digits == 10
    assert report.confident_real > 0.8
    assert report.relative == pytest.approx(1, abs=0.1)


def test_copies_of_a_few_images_are_precise_and_recall_nothing(reader, real, fresh):
    copies = fresh[:10].repeat(60, 1, 1, 1)[:598]
    report, perfect = (
        judge_digits(copies, real, classifier=reader),
        judge_digits(fresh, real, classifier=reader),
    )
    assert report.recall < 0.02
    assert perfect.recall > 0.5
    assert report.frechet > 3 * perfect.frechet
    assert report.kernel > perfect.kernel + 5 * perfect.kernel_error


def test_a_model_that_writes_only_some_digits_covers_only_those(reader, data, real):
    x, y = torch.cat([data.valid.x, data.test.x]), torch.cat([data.valid.y, data.test.y])
    report = judge_digits(x[y < 4], real, classifier=reader)
    assert report.digits == 4
    assert min(report.shares[:4]) > 0.15
    assert max(report.shares[4:]) < 0.01
    assert report.relative > 0.9
    assert report.recall < 0.7 * report.recall_real


def test_noise_is_far_away_has_no_precision_and_is_not_all_digits(reader, real, fresh):
    report, perfect = (
        judge_digits(noise(fresh), real, classifier=reader),
        judge_digits(fresh, real, classifier=reader),
    )
    assert report.frechet > 5 * perfect.frechet
    assert report.kernel > perfect.kernel + 5 * report.kernel_error
    assert report.precision < 0.2
    assert report.recall < 0.2
    assert report.digits < 10


def test_the_more_a_digit_is_blurred_the_worse_it_looks(reader, real, fresh):
    perfect, a_little, much = (
        judge_digits(x, real, classifier=reader) for x in (fresh, blurred(fresh), blurred(blurred(fresh)))
    )
    assert perfect.frechet < a_little.frechet < much.frechet
    assert perfect.kernel < a_little.kernel < much.kernel
    assert perfect.relative > max(a_little.relative, much.relative)  # being sure is not being right
    assert perfect.precision > max(a_little.precision, much.precision)


def test_the_report_is_the_measures_on_features_of_disjoint_parts(reader, real, fresh):
    report = judge_digits(fresh[:200], real, classifier=reader, seed=3)
    generator = torch.Generator().manual_seed(3)
    torch.randperm(200, generator=generator)
    order = torch.randperm(len(real), generator=generator)
    with torch.no_grad():
        ours, reference, held_out = (
            reader.features(x) for x in (fresh[:200], real[order[200:]], real[order[:200]])
        )
        sure = reader(fresh[:200]).softmax(1).max(1).values >= 0.9
        sure_of_real = reader(real).softmax(1).max(1).values >= 0.9
    assert report.frechet == pytest.approx(frechet_distance(reference, ours), rel=1e-5)
    assert report.frechet_floor == pytest.approx(frechet_distance(reference, held_out), rel=1e-5)
    kernel = kernel_distance(reference, ours)
    assert (report.kernel, report.kernel_error) == pytest.approx(
        (kernel.mean, kernel.standard_error), rel=1e-4
    )
    assert report.kernel_floor == pytest.approx(kernel_distance(reference, held_out).mean, rel=1e-3)
    assert (report.precision, report.recall) == pytest.approx(precision_recall(reference, ours))
    assert (report.precision_real, report.recall_real) == pytest.approx(precision_recall(reference, held_out))
    assert report.confident == pytest.approx(sure.double().mean().item())
    assert report.confident_real == pytest.approx(sure_of_real.double().mean().item())
    assert report.relative == pytest.approx(report.confident / report.confident_real)
    assert sum(report.shares) == pytest.approx(report.confident)
    assert (report.n_samples, report.n_given, report.n_reference, report.n_real) == (200, 200, 997, 1_197)


def test_one_per_cent_of_the_samples_covers_a_digit_and_less_does_not(reader, data, real):
    x, y = data.train.x, data.train.y
    with torch.no_grad():
        sure = reader(x).softmax(1).amax(1) > 0.95
        right = reader(x).argmax(1) == y
    zeros, ones = (x[sure & right & (y == digit)] for digit in (0, 1))
    two = torch.cat([zeros[:50].repeat(4, 1, 1, 1)[:198], ones[:2]])
    one = torch.cat([zeros[:50].repeat(4, 1, 1, 1)[:199], ones[:1]])
    assert judge_digits(two, real, classifier=reader).digits == 2
    assert judge_digits(one, real, classifier=reader).digits == 1


def test_with_few_real_images_fewer_samples_are_judged_and_the_report_says_so(reader, real, fresh):
    report = judge_digits(fresh, real[:301], classifier=reader)
    assert (report.n_samples, report.n_given, report.n_reference) == (150, 598, 151)
    assert "150 samples (of 598), and as many real images, against 151 others" in str(report)
    ordered = torch.cat([noise(fresh)[:299], fresh[:299]])  # half of each, whatever part is judged
    assert judge_digits(ordered, real[:301], classifier=reader).recall > 0.1


def test_the_order_of_the_samples_does_not_matter(reader, real, fresh):
    report = judge_digits(fresh, real, classifier=reader)
    turned = judge_digits(fresh.flip(0), real, classifier=reader)
    for name, value in report.as_dict().items():
        if name != "against":
            assert turned.as_dict()[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_the_seed_decides_on_the_parts_and_the_global_random_state_stays(reader, real, fresh):
    state = torch.get_rng_state()
    first, same, other = (judge_digits(fresh[:100], real, classifier=reader, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first.frechet_floor != other.frechet_floor
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("training", [True, False])
def test_the_classifier_is_used_in_evaluation_mode_and_left_as_it_was(real, fresh, training):
    with forked_rng(0):
        model = Reader()
        model.body = nn.Sequential(model.body, nn.BatchNorm1d(24), nn.Dropout(0.5)).train(training)
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, again = (judge_digits(fresh[:60], real, classifier=model) for _ in range(2))
    assert repr(first) == repr(again)  # one of the numbers is nan, which equals nothing
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_classifier_that_is_sure_of_no_real_image_gives_no_relative_share(real, fresh):
    with forked_rng(0):
        report = judge_digits(fresh[:60], real, classifier=Reader())
    assert report.confident_real == 0
    assert math.isnan(report.relative)


def test_the_report_prints_a_table_with_counts_and_goes_into_json(reader, real, fresh):
    report = judge_digits(fresh[:100], real, classifier=reader, against="1,197 training images of digits")
    lines = str(report).splitlines()
    assert lines[0].split() == ["samples", "real"]
    assert lines[1].split() == ["Fréchet", "distance", f"{report.frechet:.2f}", f"{report.frechet_floor:.2f}"]
    assert lines[-1] == (
        "100 samples, and as many real images, against 1,097 others of 1,197 training images of digits"
    )
    assert max(map(len, lines[:-1])) == 48
    assert json.loads(json.dumps(report.as_dict()))["shares"] == list(report.shares)


def test_images_of_another_shape_range_or_type_are_refused(reader, real):
    with pytest.raises(
        ValueError, match=r"samples must have the shape \(n, 1, 28, 28\), got \(99, 3, 28, 28\)"
    ):
        judge_digits(torch.zeros(99, 3, 28, 28), real, classifier=reader)
    with pytest.raises(ValueError, match=r"real images must have the shape .*got \(99, 1, 8, 8\)"):
        judge_digits(real, torch.zeros(99, 1, 8, 8), classifier=reader)
    with pytest.raises(ValueError, match=r"go from -1 to 1: \(x \+ 1\) / 2 brings"):
        judge_digits(2 * real - 1, real, classifier=reader)
    with pytest.raises(ValueError, match="NaN"):
        judge_digits(real * math.nan, real, classifier=reader)
    with pytest.raises(TypeError, match="uint8"):
        judge_digits((real * 255).byte(), real, classifier=reader)


def test_samples_that_are_the_real_images_are_refused(reader, real):
    with pytest.raises(ValueError, match="samples and the real images are the same 1197 rows"):
        judge_digits(real.flip(0), real, classifier=reader)


def test_too_few_images_are_refused_when_one_image_was_looked_at(reader, real, fresh):
    looked_at = []
    hook = reader.body.register_forward_hook(lambda _module, x, _y: looked_at.append(len(x[0])))
    with pytest.raises(ValueError, match="at least 25 samples"):
        judge_digits(fresh[:24], real, classifier=reader)
    hook.remove()
    assert looked_at == [1]


@pytest.mark.parametrize(("n", "m"), [(24, 500), (200, 49)])
def test_too_few_images_are_refused_with_the_numbers_needed(reader, real, fresh, n, m):
    message = f"24 features needs at least 25 samples and 50 real images.*rank; got {n} and {m}"
    with pytest.raises(ValueError, match=message):
        judge_digits(fresh[:n], real[:m], classifier=reader)
    judge_digits(fresh[: max(n, 25)], real[: max(m, 50)], classifier=reader)
