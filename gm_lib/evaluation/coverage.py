"""Which modes does a sampler reach, and in which proportions? For distributions whose modes are known.

Beside each number stands what a perfect sampler scores with as many draws: even a faultless histogram of n
draws differs from the distribution it came from.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.distributions import Binomial, Distribution, MixtureSameFamily

from gm_lib.data import check_images
from gm_lib.distributions.estimates import as_tensor
from gm_lib.evaluation.models import Model, batches_for, evaluating

CONFIDENT = 0.9  # the least probability at which the classifier's reading of a digit counts


@dataclass(frozen=True)
class ModeReport:
    """How ``n`` samples fall on the modes of a distribution; prints as a small table.

    ``good``: share of samples that belong to a mode without doubt. ``covered``: modes, of ``modes``, with at
    least one such sample. ``kl``: KL(histogram of the samples over the modes ‖ true proportions), in nats; it
    asks only for the proportions, so every sample counts for the mode it is nearest to. The ``floor`` of each
    is its expectation for n draws of a perfect sampler; ``good_floor`` is None where it is not known.
    """

    good: float
    good_floor: float | None
    covered: int
    covered_floor: float
    modes: int
    kl: float
    kl_floor: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers by name, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        best = "" if self.good_floor is None else f"{self.good_floor:.1%}"
        lines = [
            f"{f'{self.n:,} samples':<24}{'these':>10}{'perfect':>12}",
            f"{'good samples':<24}{self.good:>10.1%}{best:>12}",
            f"{f'modes covered, of {self.modes:,}':<24}{self.covered:>10,}{self.covered_floor:>12,.1f}",
            f"{'KL of the modes, nats':<24}{self.kl:>10.4f}{self.kl_floor:>12.4f}",
        ]
        return "\n".join(lines)


def mode_coverage(samples: Tensor | ArrayLike, mixture: Distribution, *, radius: float = 3.0) -> ModeReport:
    """Judge samples (n, d) of a mixture of Gaussians whose modes lie apart, like ``toy("gaussian_grid")``.

    ``mixture``: a ``MixtureSameFamily`` of Gaussians that are independent in each dimension. A sample is good
    within ``radius`` standard deviations of a centre (3, as is customary). The floors take the modes for
    separate: each draw of a perfect sampler is then good with the probability that χ²_d ≤ radius².

    Raises ``ValueError`` for another distribution, samples of another shape than (n, d) or none, and values
    that are not finite.
    """
    if not (isinstance(mixture, MixtureSameFamily) and len(mixture.batch_shape) == 0):
        raise ValueError(
            f"modes are known of one MixtureSameFamily of Gaussians, not of {type(mixture).__name__}: "
            "gm_lib.data.toy('gaussian_grid') is one."
        )
    centres = mixture.component_distribution.mean.cpu().double()  # (modes, d)
    points = as_tensor(samples).cpu().double()
    if points.ndim != 2 or points.shape[1] != centres.shape[-1] or len(points) == 0:
        raise ValueError(
            f"samples of this mixture have the shape (n, {centres.shape[-1]}), got {tuple(points.shape)}."
        )
    if not points.isfinite().all():
        raise ValueError("the samples hold NaN or infinite values.")
    scale = mixture.component_distribution.stddev.cpu().double()
    # In units of each mode's own standard deviations.
    distance = torch.stack(
        [((points - centre) / sigma).norm(dim=1) for centre, sigma in zip(centres, scale, strict=True)]
    )
    nearest = distance.min(0)
    good = nearest.values <= radius
    chi2 = torch.special.gammainc(*centres.new_tensor([centres.shape[-1] / 2, radius**2 / 2]))
    p = mixture.mixture_distribution.probs.cpu()
    return _report(nearest.indices, good, good, p, chi2.item())


def stacked_mode_coverage(
    samples: Tensor, *, classifier: Model | None = None, weights: Tensor | None = None
) -> ModeReport:
    """Judge stacked digits (n, 3, 28, 28) in [0, 1]: three digits in three channels are one of 1,000 modes.

    The mode of a sample is what ``classifier`` reads in its channels: 100 a + 10 b + c. It is good if each of
    the three is read with a probability of at least ``CONFIDENT``; following custom a mode is covered by any
    sample that is read as it. ``weights``: (1000,), the true proportions; None for equal ones. State them and
    n with the result: the KL's floor is about 999 / 2n. ``classifier``: an ``nn.Module`` from (n, 1, 28, 28)
    to logits (n, 10); None for ``gm_lib.pretrained.digit_classifier()``. The floors take it to be faultless.

    Raises ``ValueError`` for samples of another shape or out of range, and weights that are no proportions.
    """
    check_images(samples)
    if samples.shape[1:] != (3, 28, 28):
        raise ValueError(f"stacked digits have the shape (n, 3, 28, 28), got {tuple(samples.shape)}.")
    p = torch.full((1_000,), 1e-3, device="cpu") if weights is None else as_tensor(weights).cpu()
    if p.shape != (1_000,) or not (p >= 0).all() or not math.isclose(p.sum().item(), 1, rel_tol=1e-6):
        raise ValueError("weights must be 1,000 proportions, none negative, that add up to 1.")
    if classifier is None:
        from gm_lib.pretrained import digit_classifier

        classifier = digit_classifier()
    with evaluating(classifier):
        logits = [
            classifier(x).cpu() for x, _ in batches_for(classifier, samples.flatten(0, 1)[:, None], size=500)
        ]
    probability, digit = torch.cat(logits).double().softmax(1).max(1)
    mode = digit.unflatten(0, (-1, 3)) @ digit.new_tensor([100, 10, 1])
    confident = (probability >= CONFIDENT).unflatten(0, (-1, 3)).all(1)
    return _report(mode, confident, torch.ones_like(confident), p, None)


def histogram_kl(counts: Tensor, p: Tensor) -> float:
    """Return KL(counts / n ‖ p) in nats for counts (modes,) of n draws; infinite if one fell where p is 0."""
    share = counts.double() / counts.sum()
    return (torch.xlogy(share, share) - torch.xlogy(share, p.double())).sum().item()


def expected_histogram_kl(n: int, p: Tensor) -> float:
    """Return the expectation of the KL between the histogram of n draws from ``p`` (modes,) and p, in nats.

    A count is binomial, so it is exactly Σ_k E[c/n · log(c / n p_k)] with c ~ B(n, p_k). It is about
    (modes - 1) / 2n as soon as n is much larger than the number of modes. Raises ``ValueError`` for n < 1.
    """
    if n < 1:
        raise ValueError(f"a histogram needs at least 1 draw, got n={n}.")
    c = torch.arange(1, n + 1, dtype=torch.float64, device=p.device)
    total = 0.0
    for value, times in zip(*p.double().unique(return_counts=True), strict=True):
        if value > 0:
            chance = Binomial(n, value).log_prob(c).exp()
            total += (times * (chance * c / n * (c / (n * value)).log()).sum()).item()
    return total


def _report(mode: Tensor, good: Tensor, covering: Tensor, p: Tensor, good_floor: float | None) -> ModeReport:
    """Count samples by their ``mode`` (n,); the modes of the ``covering`` samples, bool (n,), are covered."""
    n, modes = len(mode), len(p)
    p = p.double() / p.double().sum()  # in single precision a thousand shares do not quite add up
    reached = 1.0 if good_floor is None else good_floor
    return ModeReport(
        good=good.double().mean().item(),
        good_floor=good_floor,
        covered=len(mode[covering].unique()),
        covered_floor=(1 - (1 - reached * p) ** n).sum().item(),
        modes=modes,
        kl=histogram_kl(mode.bincount(minlength=modes), p),
        kl_floor=expected_histogram_kl(n, p),
        n=n,
    )
