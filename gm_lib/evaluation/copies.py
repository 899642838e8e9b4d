"""Does a generator copy its training data? Are its samples nearer to them than to data that it never saw?

How near a sample lies to the training data says nothing by itself: a blurred image is near to everything, and
the more data there are, the nearer is the nearest. Held-out data of the same distribution are the measure.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gm_lib.data import check_images
from gm_lib.distributions.estimates import as_tensor
from gm_lib.evaluation.refusals import refuse_itself

SUSPECT = 0.01  # a suspect's quotient is below this quantile of those of fresh examples
_FARTHEST = math.log(10.0)  # ten times nearer to one set than to the other: more does not count
_ROWS = 100  # of a matrix of all distances that are in memory at a time


@dataclass(frozen=True, eq=False)
class CopyReport:
    """What :func:`copy_test` found; prints as a small table.

    ``ratio``: the distance of a sample to the nearest training example over that to the nearest held-out one,
    the geometric mean over the samples, in units of the same mean over fresh examples. Copies make it small;
    ``standard_error`` is its own. ``p_value``: how often it is as small by chance if the samples are fresh
    examples of the same distribution. A p-value near 1 with a ratio above 1 is a finding too: these samples
    are unlike data, and then the test has little power. It says nothing against copies among them.

    ``suspects``: how many samples have a quotient below the lower 1 % quantile of the fresh examples, and
    ``suspects_by_chance`` how many fresh examples in their place would have it on average. Fewer than 100
    fresh examples cannot show a tail of 1 %: the quantile is their smallest, and more come by chance.

    ``ratios``: the quotient of each sample, (n,), not in units of anything, and ``nearest``: which training
    example is nearest to it, (n,). The samples with the smallest quotients are the ones to look at. Each
    quotient is held in [0.1, 10], in ``ratios`` and in the mean: an exact copy counts as ten times nearer.
    ``n`` samples and ``n_fresh`` fresh examples were compared with ``n_training`` and ``n_held_out`` ones.
    """

    ratio: float
    standard_error: float
    p_value: float
    suspects: int
    suspects_by_chance: float
    ratios: Tensor
    nearest: Tensor
    n: int
    n_fresh: int
    n_training: int
    n_held_out: int

    def as_dict(self) -> dict[str, Any]:
        """Return the plain numbers by name, for JSON."""
        return {name: value for name, value in vars(self).items() if not isinstance(value, Tensor)}

    def __str__(self) -> str:
        rows = [
            ("distance to training / held-out", f"{self.ratio:.3f} ± {self.standard_error:.3f}", "1"),
            ("  p-value", f"{self.p_value:.3f}", ""),
            ("suspects", f"{self.suspects:,}", f"{self.suspects_by_chance:.1f}"),
        ]
        lines = [f"{f'{self.n:,} samples':<32}{'these':>16}{'by chance':>12}"]
        lines += [f"{name:<32}{found:>16}{chance:>12}" for name, found, chance in rows]
        lines.append(
            f"beside {self.n_fresh:,} fresh examples; {self.n_training:,} training and {self.n_held_out:,} "
            "held-out ones"
        )
        if self.ratio > 1 and self.p_value > 0.95:
            lines.append("farther from both sets than fresh examples: samples unlike data, little power")
        return "\n".join(lines)


def copy_test(
    samples: Tensor | ArrayLike,
    training: Tensor | ArrayLike,
    held_out: Tensor | ArrayLike,
    fresh: Tensor | ArrayLike,
    *,
    align: bool = True,
    permutations: int = 999,
    seed: int = 0,
) -> CopyReport:
    """Test whether samples lie nearer to the training data than fresh data do, both beside held-out data.

    ``samples`` (n, ...), ``training`` (m, ...), ``held_out`` (k, ...), ``fresh`` (f, ...): vectors, or images
    (·, c, h, w) in [0, 1]. Distances are Euclidean. With ``align`` images are first moved by whole pixels
    until their centres of mass lie in the middle, so that a copy that was moved is found too.

    For a sample, the distance to the nearest training example is divided by that to the nearest held-out one:
    that it is blurred, or a digit of which there are many, enters into both. ``fresh`` are real examples that
    have no more to do with the one set than with the other; they are judged as if they were samples. The mean
    logarithm of the quotients is compared between the two. The p-value is one-sided, by ``permutations``
    random exchanges of samples and fresh examples, with a generator of its own, begun with ``seed``. It is
    exact for samples from the distribution of the fresh data, as a perfect generator makes them. Samples
    unlike data lie far from both sets, and their quotients near 1: with more training than held-out examples
    that is above those of fresh data. So the test cannot clear such samples, and a few copies among them may
    be hidden by the rest. Samples that are all alike have the same neighbours and say no more than one of
    them, but the p-value takes them for independent: of a generator that has collapsed it means nothing.

    The comparison of three sets of examples is that of Meehan et al. 2020. They compare the distances to the
    training set themselves, within the cells of a partition of the space. Here one mean goes over all
    samples: copies in one corner of the data may be missed, if samples elsewhere lie far off.

    It finds what is near in pixels: copies that were turned, scaled or redrawn pass. Give what the generator
    was trained on, whole and nothing else: copies of what is left out pass, and what resembles a few training
    examples is lost among many others. Fresh data by the hands that made the held-out data lie nearer to
    these, and make honest samples look like copies: mix before you part.

    Raises ``ValueError`` for arrays whose shapes do not fit, that hold too few examples (2 samples, 2 fresh
    examples, 1 of each other set are the least) or values that are not finite, for images out of [0, 1], for
    a fresh example that is in one of the other sets too, for samples that are the fresh examples and training
    examples that are the held-out ones, and for ``permutations`` below 1.
    """
    if permutations < 1:
        raise ValueError(f"permutations must be at least 1, not {permutations}.")
    clouds = {"samples": samples, "training examples": training, "held-out examples": held_out}
    clouds["fresh examples"] = fresh
    ours, theirs, reference, unseen = (_vectors(name, x, align) for name, x in clouds.items())
    for name, rows in zip(clouds, (ours, theirs, reference, unseen), strict=True):
        if rows.shape[1] != ours.shape[1]:
            raise ValueError(
                f"the {name} have {rows.shape[1]} values each, the samples {ours.shape[1]}: compare like "
                "with like."
            )
        if name in ("samples", "fresh examples") and len(rows) < 2:
            raise ValueError(f"at least 2 {name} are needed, got {len(rows)}.")
    refuse_itself("samples", ours, "fresh examples", unseen)
    refuse_itself("training examples", theirs, "held-out examples", reference)
    logs, nearest, touching = _log_ratios(torch.cat([ours, unseen]), theirs, reference)
    for name, at in zip(("training", "held-out"), touching[:, len(ours) :], strict=True):
        if at.any():
            raise ValueError(
                f"{int(at.sum())} of the fresh examples, the first of them number {int(at.int().argmax())}, "
                f"are {name} examples too: fresh examples must be in neither set. Take others, or leave them "
                "out."
            )
    n, f, generator = len(ours), len(unseen), torch.Generator("cpu").manual_seed(seed)
    of_ours, of_fresh = logs[:n], logs[n:]
    chosen = [torch.randperm(len(logs), generator=generator, device="cpu")[:n] for _ in range(permutations)]
    means = torch.stack([logs[rows].mean() for rows in chosen])
    as_small = int((means <= of_ours.mean() + 1e-12).sum())  # the sums of equal numbers may be rounded
    ratio = (of_ours.mean() - of_fresh.mean()).exp().item()
    error = math.sqrt(of_ours.var().item() / n + of_fresh.var().item() / f)
    place = max(int(SUSPECT * (f + 1)) - 1, 0)  # of the last fresh example in the lowest hundredth
    return CopyReport(
        ratio=ratio,
        standard_error=ratio * error,
        p_value=(1 + as_small) / (1 + permutations),
        suspects=int((of_ours < of_fresh.sort().values[place]).sum()),
        suspects_by_chance=n * (1 + place) / (f + 1),  # the j-th of f ordered ones has j / (f + 1) below it
        ratios=of_ours.exp(),
        nearest=nearest[:n],
        n=n,
        n_fresh=f,
        n_training=len(theirs),
        n_held_out=len(reference),
    )


def centred(x: Tensor) -> Tensor:
    """Move images (n, c, h, w) by whole pixels until their centres of mass are in the middle.

    Only what is brighter than half of an image's maximum has mass: a noisy background would hold the centre
    back. What leaves on one side comes back on the other. An image of one brightness stays where it is.
    """
    grey = x.double().sum(1)  # (n, h, w)
    ink = (grey - 0.5 * grey.amax((1, 2), keepdim=True)).clamp_min(0)
    total = ink.sum((1, 2)).clamp_min(1e-12)
    moves = []
    for profile in (ink.sum(2), ink.sum(1)):  # along the height, along the width
        size = profile.shape[1]
        places = torch.arange(size, dtype=torch.float64, device=x.device) - (size - 1) / 2
        moves.append((0.5 - (profile @ places) / total).floor().long())
    both, result = torch.stack(moves, dim=1), x.clone()
    for move in both.unique(dim=0):
        chosen = (both == move).all(1)
        result[chosen] = x[chosen].roll((int(move[0]), int(move[1])), dims=(2, 3))
    return result


def _vectors(name: str, values: Tensor | ArrayLike, align: bool) -> Tensor:
    """Return examples as rows of single precision on the CPU, images aligned first if asked for."""
    x = as_tensor(values)
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"the {name} must have the shape (n, ...), one in each row, got {tuple(x.shape)}.")
    x = x.cpu().float()
    if not x.isfinite().all():
        raise ValueError(f"the {name} hold NaN or infinite values.")
    if x.ndim == 4:
        check_images(x)
        x = centred(x) if align else x
    return x.flatten(1)


def _log_ratios(x: Tensor, training: Tensor, held_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log(nearest training / nearest held-out) of each row, and which training example it is: (n,).

    And whether the row is an example of either set itself: (2, n).
    """
    (to_training, nearest), (to_held_out, _) = (_nearest(x, known) for known in (training, held_out))
    # Where both are 0 the quotient is 1.
    ratios = to_training.clamp_min(1e-12).log() - to_held_out.clamp_min(1e-12).log()
    touching = torch.stack([to_training, to_held_out]) == 0
    return ratios.clamp(-_FARTHEST, _FARTHEST), nearest, touching


def _nearest(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance of each row to the nearest of ``known``, float64, and which it is: (n,) both.

    It is searched for in single precision, about the middle, and its distance then computed from the
    difference, so that a copy lies at distance 0.
    """
    middle = known.mean(0)
    centred_known = known - middle
    squares = centred_known.square().sum(1)
    found = torch.cat(
        [torch.addmm(squares, rows - middle, centred_known.T, alpha=-2).argmin(1) for rows in x.split(_ROWS)]
    )
    return (known[found] - x).double().norm(dim=1), found
