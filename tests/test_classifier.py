import pytest
import torch
from torch import nn

from gm_lib.classifier import DigitClassifier, read_digits
from gm_lib.data import Batches, ImageData, images
from gm_lib.runtime import forked_rng
from gm_lib.training import fit


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return images("digits")


@pytest.fixture
def classifier() -> DigitClassifier:
    with forked_rng(seed=0):
        return DigitClassifier().eval()


def test_there_are_ten_logits_and_64_features_for_each_image(classifier, digits):
    x = digits.valid.x[:7]
    assert classifier(x).shape == (7, 10)
    assert classifier.features(x).shape == (7, 64)


def test_the_logits_are_a_linear_function_of_features_that_have_passed_a_relu(classifier, digits):
    x = digits.valid.x
    features = classifier.features(x)
    assert torch.equal(classifier(x), features @ classifier.head.weight.T + classifier.head.bias)
    assert features.min() == 0
    assert features.max() > 0


def test_an_image_is_read_the_same_alone_and_in_company(classifier, digits):
    x = digits.valid.x
    torch.testing.assert_close(classifier(x[:1]), classifier(x)[:1], rtol=1e-4, atol=1e-5)


def test_the_update_descends_the_mean_cross_entropy_that_it_reports(digits):
    with forked_rng(seed=0):
        classifier = DigitClassifier(lr=1e-3).train()
    batch = (digits.train.x[:100], digits.train.y[:100])
    optimizers = classifier.optimizers()
    terms = [classifier.update(batch, optimizers, step) for step in (1, 2, 3)]
    with forked_rng(seed=0):
        fresh = DigitClassifier().train()
    log_p = torch.distributions.Categorical(logits=fresh(batch[0])).log_prob(batch[1])
    torch.testing.assert_close(terms[0]["loss"], -log_p.mean())
    assert terms[2]["loss"] < terms[0]["loss"]
    assert 0 <= terms[0]["accuracy"] <= 1
    assert not any(value.requires_grad for value in terms[0].values())


def test_it_learns_to_read_the_small_digits_in_a_hundred_steps(digits):
    with forked_rng(seed=0):
        classifier = DigitClassifier()
    stream = Batches(digits.train.x, digits.train.y, batch_size=64, seed=0, device="cpu")
    history = fit(classifier, stream, steps=100, log_every=10, device="cpu", progress=False)
    assert history.final("accuracy") > 0.9
    right = read_digits(classifier, digits.valid.x).argmax(-1) == digits.valid.y
    assert right.double().mean() > 0.8


def test_reading_in_parts_is_reading_all_at_once(classifier, digits):
    x = digits.valid.x
    torch.testing.assert_close(read_digits(classifier, x, batch_size=70), classifier(x).detach())
    assert not read_digits(classifier, x).requires_grad


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 1, 8, 8), (3, 3, 28, 28), (3, 784)])
def test_images_of_another_shape_are_refused_with_theirs(classifier, shape):
    with pytest.raises(ValueError, match=r"shape \(n, 1, 28, 28\), got \(" + str(shape[0])):
        classifier(torch.zeros(shape))


def test_a_batch_that_is_no_digits_is_refused_before_training(classifier, digits):
    x, y = digits.train.x[:4], digits.train.y[:4]
    classifier.check((x, y))
    with pytest.raises(ValueError, match="divide by 255"):
        classifier.check((255 * x, y))
    with pytest.raises(ValueError, match="labels must lie in 0 … 9"):
        classifier.check((x, y + 10))
    with pytest.raises(ValueError, match="labels are needed"):
        classifier.check((x, None))


def test_a_bias_before_a_batch_norm_would_do_nothing(classifier):
    norms = [m for m in classifier.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    before = [m for m in classifier.body if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(norms) == len(before) == 4
    assert all(module.bias is None for module in before)


def test_labels_of_any_integer_type_teach_the_same():
    terms = []
    for dtype in (torch.int64, torch.int32, torch.uint8):
        torch.manual_seed(0)
        model, batch = DigitClassifier(), (torch.rand(8, 1, 28, 28), torch.arange(8).to(dtype))
        model.check(batch)
        terms.append(model.update(batch, model.optimizers(), 1))
    assert terms[0] == terms[1] == terms[2]
