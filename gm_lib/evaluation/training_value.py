"""What can be learned from generated examples? A classifier trained on them is tested on real ones."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gm_lib.data import check_images
from gm_lib.distributions.estimates import Estimate, estimate
from gm_lib.evaluation.learner import small_network
from gm_lib.evaluation.models import Model, batches_for, evaluating
from gm_lib.evaluation.refusals import refuse_itself, refuse_part
from gm_lib.networks import check_labels

RUNS = 5  # networks trained on parts of the samples, and as many on parts of the real images
HIDDEN = 100  # units of each network
PASSES = 30  # of each over its training images
FEWEST = 10  # training images for each class and network, on average
FEWEST_TESTS = 100  # test images: with fewer the standard error may be above 5 %


@dataclass(frozen=True)
class TrainingReport:
    """What :func:`train_on_samples` found; prints as a small table.

    ``accuracy``: the share of the test images that networks trained on samples name rightly, the mean of
    ``runs`` networks, and ``accuracy_real`` that of networks trained on as many real images; ``difference``
    is the first minus the second. Each has its ``_error``, a standard error: of other training images and
    other starts, and of other test images. ``classes`` of ``classes_real`` occur among the labels of the
    samples. ``n`` images trained each network, others for each, of ``n_given`` samples; ``n_test`` tested it.
    ``labels_read``: the labels of the samples were read by a classifier.
    """

    accuracy: float
    accuracy_error: float
    accuracy_real: float
    accuracy_real_error: float
    difference: float
    difference_error: float
    classes: int
    classes_real: int
    runs: int
    n: int
    n_given: int
    n_test: int
    labels_read: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers by name, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        def shown(mean: float, error: float) -> str:
            return f"{Estimate(100 * mean, 100 * error, self.n_test)} %"

        labels = "labels read by a classifier" if self.labels_read else "labels as given"
        rows = [
            ("trained on samples", shown(self.accuracy, self.accuracy_error)),
            ("trained on real images", shown(self.accuracy_real, self.accuracy_real_error)),
            ("  difference", shown(self.difference, self.difference_error)),
            (f"classes, of {self.classes_real}", str(self.classes)),
        ]
        lines = [f"{f'accuracy on {self.n_test:,} test images':<34}"]
        lines += [f"{name:<34}{value:>16}" for name, value in rows]
        lines.append(
            f"{self.runs} networks on {self.n:,} samples each, of {self.n_given:,}, {labels}; "
            "as many on real images"
        )
        return "\n".join(line.rstrip() for line in lines)


def train_on_samples(
    samples: Tensor,
    labels: Tensor | None,
    test: tuple[Tensor, Tensor],
    real: tuple[Tensor, Tensor],
    *,
    classifier: Model | None = None,
    seed: int = 0,
) -> TrainingReport:
    """Train classifiers on generated images, others on as many real ones, and test all on real images.

    After the classification accuracy score of Ravuri and Vinyals 2019. ``samples`` (n, c, h, w) with
    ``labels`` (n,), the classes that the generator was told to write. ``test`` and ``real``: images and
    labels, both real, without a common image. All images are in [0, 1]. A generator that leaves out a class,
    or what varies within one, or writes another class than it was told, costs accuracy; that its images look
    wrong to us need not.

    For a generator without labels, give None: then ``classifier`` reads them, an ``nn.Module`` from images to
    logits (n, classes), or None for ``gm_lib.pretrained.digit_classifier()``. This classifier has seen real
    images, and its knowledge comes along: with read labels, even a generator that mixes up its classes may
    score well.

    Of samples and real images, as many as there are of the fewer are taken at random, and dealt to five
    networks each. One network on all of them would be more accurate, but what other training images would
    have made of it could not be seen; with a thousand digits that is more than what other test images would.
    The networks are alike: the pixels, one hidden layer of 100 ReLUs, 30 passes of Adam. ``seed`` decides on
    their starts and their images, with generators of its own.

    Raises ``ValueError`` for images out of [0, 1] or of different shapes, labels that do not fit or lie
    outside the classes of the real images, samples that are the real images, test images that are all among
    the samples or the real images, fewer than 50 images for each class to train on, and fewer than 100 to
    test on; ``TypeError`` for what is no tensor of floating-point numbers.
    """
    (real_x, real_y), (test_x, test_y) = real, test
    sets = {"samples": samples, "real training images": real_x, "test images": test_x}
    for name, x in sets.items():
        check_images(x)
        if x.shape[1:] != real_x.shape[1:]:
            raise ValueError(
                f"the {name} have the shape {tuple(x.shape[1:])} each, the real training images "
                f"{tuple(real_x.shape[1:])}: compare like with like."
            )
    classes = _classes(real_y, len(real_x))
    check_labels(test_y, classes, len(test_x))
    count = min(len(samples), len(real_x))
    if count < RUNS * FEWEST * classes:
        raise ValueError(
            f"to train {RUNS} networks on {classes} classes takes at least {RUNS * FEWEST * classes} "
            f"samples and as many real images, got {len(samples)} and {len(real_x)}."
        )
    if len(test_x) < FEWEST_TESTS:
        raise ValueError(f"an accuracy needs at least {FEWEST_TESTS} test images, got {len(test_x)}.")
    refuse_itself("samples", samples, "real training images", real_x)
    refuse_part("test images", test_x, "samples", samples)
    refuse_part("test images", test_x, "real training images", real_x)
    read = labels is None
    labels = _read(classifier, samples) if labels is None else labels
    check_labels(labels, classes, len(samples))
    generator = torch.Generator("cpu").manual_seed(seed)
    unseen, n = test_x.cpu().flatten(1), count // RUNS
    right = torch.empty(2, RUNS, len(test_x), dtype=torch.float64, device="cpu")
    for side, (x, y) in enumerate(((samples, labels), (real_x, real_y))):
        dealt = torch.randperm(len(x), generator=generator, device="cpu")[: RUNS * n].split(n)
        for run, chosen in enumerate(dealt):
            network = small_network(
                x.detach().cpu()[chosen].flatten(1),
                y.cpu()[chosen],
                hidden=HIDDEN,
                batch_size=50,
                passes=PASSES,
                seed=seed + run,
            )
            right[side, run] = network(unseen) == test_y.cpu()
    ours, theirs, difference = map(_over_both, (right[0], right[1], right[0] - right[1]))
    return TrainingReport(
        accuracy=ours.mean,
        accuracy_error=ours.standard_error,
        accuracy_real=theirs.mean,
        accuracy_real_error=theirs.standard_error,
        difference=difference.mean,
        difference_error=difference.standard_error,
        classes=len(labels.unique()),
        classes_real=len(real_y.unique()),
        runs=RUNS,
        n=n,
        n_given=len(samples),
        n_test=len(test_x),
        labels_read=read,
    )


def _over_both(values: Tensor) -> Estimate:
    """Return the mean of values (runs, images) with a standard error over the runs and over the images.

    The two variances are added. What is particular to a run and an image is in both, so that the error is
    rather too large.
    """
    runs, tests = estimate(values.mean(1)), estimate(values.mean(0))
    return Estimate(tests.mean, math.hypot(runs.standard_error, tests.standard_error), tests.n)


def _classes(y: Tensor, n: int) -> int:
    """Return how many classes the labels (n,) of the real images have, or refuse them."""
    highest = int(y.max()) + 1 if isinstance(y, Tensor) and y.numel() else 1
    check_labels(y, highest, n)
    if highest < 2:
        raise ValueError("the real training images have only one class: there is nothing to learn.")
    return highest


def _read(classifier: Model | None, x: Tensor) -> Tensor:
    """Return the classes that a classifier reads in images: (n,)."""
    if classifier is None:
        from gm_lib.pretrained import digit_classifier  # here: it needs a file that only this default needs

        classifier = digit_classifier()
    with evaluating(classifier):
        return torch.cat(
            [classifier(part).cpu().argmax(1) for part, _ in batches_for(classifier, x, size=500)]
        )
