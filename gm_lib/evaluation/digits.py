"""How do a model's samples look to a judge who knows real ones? The judge is a classifier of their domain."""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gm_lib.data import check_images
from gm_lib.evaluation.coverage import CONFIDENT
from gm_lib.evaluation.distances import frechet_distance, kernel_distance, precision_recall
from gm_lib.evaluation.models import Model, batches_for, evaluating
from gm_lib.evaluation.refusals import refuse_itself

COVERED = 0.01  # the least share of the samples, read with confidence as one digit, that covers this digit
_DIGIT_SHAPE = (1, 28, 28)


@dataclass(frozen=True)
class DigitReport:
    """What :func:`judge_digits` found; prints as a small table, samples beside real images.

    ``*_floor`` and ``*_real`` are the same measures of as many *real* images, which no model has to beat.
    ``frechet``, ``kernel`` (with its standard error ``kernel_error``): distances to real images in the
    classifier's features; small is good. ``precision`` and ``recall``: shares in [0, 1]. ``confident``: the
    share of images that are read as some class with a probability of at least 0.9, and ``relative`` the same
    in units of what real images reach (nan if they reach nothing). ``digits``: how many of the classes, ten
    digits or others, are covered, that is, read with confidence in at least 1 % of the samples; ``shares``:
    the share of each class.
    ``n_samples`` were judged of ``n_given``, against ``n_reference`` of ``n_real`` real images; ``against``
    says which.
    """

    frechet: float
    frechet_floor: float
    kernel: float
    kernel_error: float
    kernel_floor: float
    precision: float
    precision_real: float
    recall: float
    recall_real: float
    digits: int
    shares: tuple[float, ...]
    confident: float
    confident_real: float
    relative: float
    n_samples: int
    n_given: int
    n_reference: int
    n_real: int
    against: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and texts by name, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        given = "" if self.n_given == self.n_samples else f" (of {self.n_given:,})"
        rows = [
            ("", "samples", "real"),
            ("Fréchet distance", f"{self.frechet:.2f}", f"{self.frechet_floor:.2f}"),
            ("kernel distance", f"{self.kernel:.4f}", f"{self.kernel_floor:.4f}"),
            ("  its standard error", f"{self.kernel_error:.4f}", ""),
            ("precision", f"{self.precision:.1%}", f"{self.precision_real:.1%}"),
            ("recall", f"{self.recall:.1%}", f"{self.recall_real:.1%}"),
            (
                f"read with ≥ {CONFIDENT:.0%} confidence",
                f"{self.confident:.1%}",
                f"{self.confident_real:.1%}",
            ),
            ("  relative to real images", f"{self.relative:.1%}", ""),
            (f"classes covered, of {len(self.shares)}", f"{self.digits}", ""),
        ]
        table = [f"{name:<28}{ours:>10}{real:>10}" for name, ours, real in rows]
        return "\n".join(
            [
                *table,
                f"{self.n_samples:,} samples{given}, and as many real images, against "
                f"{self.n_reference:,} others of {self.against}",
            ]
        )


def judge_digits(
    samples: Tensor,
    real: Tensor,
    *,
    classifier: Model | None = None,
    seed: int = 0,
    against: str = "the real images",
) -> DigitReport:
    """Compare generated digits with real ones, by the features and the readings of a classifier.

    So are images of other domains, by a classifier that reads these. ``samples`` (n, *shape) and ``real``
    (m, *shape) have the ``shape`` that it reads and are in [0, 1]. ``real`` is cut at random into two parts
    without a common image: one as large as the samples, which is judged like them and gives the floors, and
    the rest, the reference that both are held against. With fewer than 2n real images only m // 2 of the
    samples, drawn at random, are judged, so that the counts stay equal; the report says how many.

    A class counts as covered from 1 % of the samples on, a tenth of an equal share. That is well above what a
    classifier misreads with confidence when the class never occurs, and well below what chance takes away
    from one of ten that occurs as often as the others. The distances are in the classifier's features, so
    they compare only with results by the same classifier, the same counts and the same real images:
    ``against`` names these in the report.

    ``classifier``: an ``nn.Module`` with ``features(x)``, (n, d), and ``head(features)``, the logits
    (n, classes), used on its own device in evaluation mode. Its ``shape`` says what it reads, (1, 28, 28) if
    it has none; None for ``gm_lib.pretrained.digit_classifier()``. ``seed`` decides on the parts, with a
    generator of its own.

    Raises ``ValueError`` for images of another shape, out of [0, 1] or not finite, for samples that are the
    real images, and for fewer than d + 1 samples or 2 (d + 1) real images, which the Fréchet distance needs;
    ``TypeError`` for what is no tensor of floating-point numbers.
    """
    return report_of(look_at_digits(samples, real, classifier=classifier, seed=seed), against)


def shape_read_by(classifier: Model | None) -> tuple[int, int, int]:
    """Return the shape (channels, height, width) of what the classifier reads, a digit's if it has none."""
    return tuple(getattr(classifier, "shape", _DIGIT_SHAPE))


class Looks(NamedTuple):
    """What the classifier sees in samples and real images: features (·, d), and readings, bool (·, c)."""

    samples: Tensor
    """Of those samples that are judged, (n, d)."""
    samples_read: Tensor
    held_out: Tensor
    """Of as many real images, (n, d)."""
    reference: Tensor
    """Of the other real images."""
    real_read: Tensor
    """Of all real images."""
    n_given: int


def look_at_digits(samples: Tensor, real: Tensor, *, classifier: Model | None = None, seed: int = 0) -> Looks:
    """Return what :func:`judge_digits` compares; its arguments and errors are those of that function."""
    shape = shape_read_by(classifier)
    for name, x in (("samples", samples), ("real images", real)):
        check_images(x)
        if x.shape[1:] != shape:
            sides = ", ".join(map(str, shape))
            raise ValueError(f"the {name} must have the shape (n, {sides}), got {tuple(x.shape)}.")
    refuse_itself("samples", samples, "real images", real)
    if classifier is None:
        from gm_lib.pretrained import digit_classifier  # here: it needs a file that only this default needs

        classifier = digit_classifier()
    count = min(len(samples), len(real) // 2)
    needed = _look(classifier, real[:1])[0].shape[1] + 1
    if count < needed:
        raise ValueError(
            f"judging samples by {needed - 1} features needs at least {needed} samples and {2 * needed} real "
            f"images, or their covariances lack in rank; got {len(samples)} and {len(real)}."
        )
    generator = torch.Generator("cpu").manual_seed(seed)
    judged = torch.randperm(len(samples), generator=generator, device="cpu")[:count]
    ours, ours_read = _look(classifier, samples[judged.to(samples.device)])
    theirs, theirs_read = _look(classifier, real)
    shuffled = theirs[torch.randperm(len(real), generator=generator, device="cpu")]
    held_out, reference = shuffled.tensor_split([count])
    return Looks(ours, ours_read, held_out, reference, theirs_read, len(samples))


def report_of(looks: Looks, against: str) -> DigitReport:
    """Return the report of :func:`judge_digits` on what was seen."""
    ours, ours_read, held_out, reference, theirs_read, n_given = looks
    confident, confident_real = (read.any(1).double().mean().item() for read in (ours_read, theirs_read))
    shares = ours_read.double().mean(0)
    kernel = kernel_distance(reference, ours)
    likeness, likeness_real = precision_recall(reference, ours), precision_recall(reference, held_out)
    return DigitReport(
        frechet=frechet_distance(reference, ours),
        frechet_floor=frechet_distance(reference, held_out),
        kernel=kernel.mean,
        kernel_error=kernel.standard_error,
        kernel_floor=kernel_distance(reference, held_out).mean,
        precision=likeness.precision,
        precision_real=likeness_real.precision,
        recall=likeness.recall,
        recall_real=likeness_real.recall,
        digits=int((shares >= COVERED).sum()),
        shares=tuple(shares.tolist()),
        confident=confident,
        confident_real=confident_real,
        relative=confident / confident_real if confident_real else math.nan,
        n_samples=len(ours),
        n_given=n_given,
        n_reference=len(reference),
        n_real=len(theirs_read),
        against=against,
    )


def _look(classifier: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features (n, d) of images, and which class each is read as with confidence: bool (n, ·)."""
    features, probabilities = [], []
    with evaluating(classifier):
        for batch, _ in batches_for(classifier, x, size=500):
            found = classifier.features(batch)
            features.append(found.cpu())
            probabilities.append(classifier.head(found).cpu().double().softmax(1))
    return torch.cat(features), torch.cat(probabilities) >= CONFIDENT
