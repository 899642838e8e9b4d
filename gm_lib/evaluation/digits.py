"""How do a model's digits look to a judge who knows real ones? The judge is a classifier of digits."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gm_lib.data import check_images
from gm_lib.evaluation.coverage import CONFIDENT
from gm_lib.evaluation.distances import frechet_distance, kernel_distance, precision_recall
from gm_lib.evaluation.models import Model, batches_for, evaluating

COVERED = 0.01  # the least share of the samples, read with confidence as one digit, that covers this digit
_DIGIT_SHAPE = (1, 28, 28)


@dataclass(frozen=True)
class DigitReport:
    """What :func:`judge_digits` found; prints as a small table, samples beside real images.

    ``*_floor`` and ``*_real`` are the same measures of as many *real* images, which no model has to beat.
    ``frechet``, ``kernel`` (with its standard error ``kernel_error``): distances to real images in the
    classifier's features; small is good. ``precision`` and ``recall``: shares in [0, 1]. ``confident``: the
    share of images that are read as some digit with a probability of at least 0.9, and ``relative`` the same
    in units of what real images reach (nan if they reach nothing). ``digits``: how many of the ten are
    covered, that is, read with confidence in at least 1 % of the samples; ``shares``: these ten shares.
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
            ("digits covered, of 10", f"{self.digits}", ""),
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

    ``samples`` (n, 1, 28, 28) and ``real`` (m, 1, 28, 28), both in [0, 1]. ``real`` is cut at random into two
    parts without a common image: one as large as the samples, which is judged like them and gives the floors,
    and the rest, the reference that both are held against. With fewer than 2n real images only m // 2 of the
    samples, drawn at random, are judged, so that the counts stay equal; the report says how many.

    A digit counts as covered from 1 % of the samples on, a tenth of an equal share. That is well above what a
    classifier misreads with confidence when the digit never occurs, and well below what chance takes away
    from a digit that occurs as often as the others. The distances are in the classifier's features, so they
    compare only with results by the same classifier, the same counts and the same real images: ``against``
    names these in the report.

    ``classifier``: an ``nn.Module`` with ``features(x)``, (n, d), and ``head(features)``, the logits (n, 10),
    used on its own device in evaluation mode; None for ``gm_lib.pretrained.digit_classifier()``. ``seed``
    decides on the parts, with a generator of its own.

    Raises ``ValueError`` for images of another shape, out of [0, 1] or not finite, and for fewer than d + 1
    samples or 2 (d + 1) real images, which the Fréchet distance needs; ``TypeError`` for what is no tensor of
    floating-point numbers.
    """
    for name, x in (("samples", samples), ("real images", real)):
        check_images(x)
        if x.shape[1:] != _DIGIT_SHAPE:
            raise ValueError(f"the {name} must have the shape (n, 1, 28, 28), got {tuple(x.shape)}.")
    if classifier is None:
        from gm_lib.pretrained import digit_classifier  # here: it needs a file that only this default needs

        classifier = digit_classifier()
    generator = torch.Generator("cpu").manual_seed(seed)
    count = min(len(samples), len(real) // 2)
    judged = torch.randperm(len(samples), generator=generator, device="cpu")[:count]
    ours, ours_read = _look(classifier, samples[judged.to(samples.device)])
    theirs, theirs_read = _look(classifier, real)
    needed = ours.shape[1] + 1
    if count < needed:
        raise ValueError(
            f"judging digits by {needed - 1} features needs at least {needed} samples and {2 * needed} real "
            f"images, or their covariances lack in rank; got {len(samples)} and {len(real)}."
        )
    shuffled = theirs[torch.randperm(len(real), generator=generator, device="cpu")]
    held_out, reference = shuffled.tensor_split([count])
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
        n_samples=count,
        n_given=len(samples),
        n_reference=len(reference),
        n_real=len(real),
        against=against,
    )


def _look(classifier: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features (n, d) of images, and which digit each is read as with confidence: bool (n, 10)."""
    features, probabilities = [], []
    with evaluating(classifier):
        for batch, _ in batches_for(classifier, x, size=500):
            found = classifier.features(batch)
            features.append(found.cpu())
            probabilities.append(classifier.head(found).cpu().double().softmax(1))
    return torch.cat(features), torch.cat(probabilities) >= CONFIDENT
