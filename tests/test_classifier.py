import pytest
import torch
from torch import nn

from gm_lib.classifier import DigitClassifier, ImageClassifier, SpeechClassifier, read_digits
from gm_lib.data import Batches, ImageData, images
from gm_lib.data.speech import synthesized_digits
from gm_lib.runtime import forked_rng
from gm_lib.sound import log_mel
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


# --- spoken digits


@pytest.fixture
def listener() -> SpeechClassifier:
    with forked_rng(seed=0):
        return SpeechClassifier().eval()


def test_pictures_of_sounds_have_ten_logits_and_32_features_each(listener):
    x = torch.rand(3, 1, 64, 48)
    features = listener.features(x)
    assert features.shape == (3, 32)
    assert features.min() == 0
    assert torch.equal(listener(x), features @ listener.head.weight.T + listener.head.bias)
    assert torch.equal(read_digits(listener, x), listener(x).detach())


def test_a_written_digit_is_no_spoken_one(listener, digits):
    with pytest.raises(ValueError, match=r"shape \(n, 1, 64, 48\), got \(4, 1, 28, 28\)"):
        listener(digits.train.x[:4])
    with pytest.raises(ValueError, match=r"shape \(n, 1, 64, 48\), got"):
        listener.check((digits.train.x[:4], digits.train.y[:4]))


def test_synthesized_digits_are_learned_in_forty_steps():
    waveform = synthesized_digits(each=5)
    x, y = log_mel(waveform), torch.arange(10).repeat_interleave(30)
    new = torch.arange(300) % 5 == 0  # one of each digit by each voice
    with forked_rng(seed=0):
        model = SpeechClassifier()
    stream = Batches(x[~new], y[~new], batch_size=32, seed=0, device="cpu")
    fit(model, stream, steps=40, device="cpu", progress=False)
    assert (read_digits(model, x[new]).argmax(-1) == y[new]).double().mean() > 0.8


# --- images of other shapes


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (2, 9, 17)])
def test_images_of_any_shape_from_8_on_have_ten_logits_and_64_features(shape):
    model = ImageClassifier(shape).eval()
    x = torch.rand(3, *shape)
    assert model.features(x).shape == (3, 64)
    assert model(x).shape == (3, 10)
    assert model.shape == shape


def test_a_classifier_of_digits_is_one_of_images_of_their_shape():
    with forked_rng(seed=0):
        general = ImageClassifier((1, 28, 28)).state_dict()
    with forked_rng(seed=0):
        ours = DigitClassifier().state_dict()
    assert all(torch.equal(ours[name], value) for name, value in general.items())


@pytest.mark.parametrize("shape", [(28, 28), (3, 7, 32), (0, 32, 32)])
def test_a_shape_that_cannot_be_halved_three_times_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(channels, height, width\) with sides from 8 on"):
        ImageClassifier(shape)
