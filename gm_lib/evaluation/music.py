"""What can be said of pieces of music without listening: surprise of their chords, faults of their voices.

A piece is a piano roll (steps, 88), 1 where a key sounds. A model's pieces stand beside real ones and beside
shuffled ones, which have the chords of music and none of its order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from gm_lib.distributions.estimates import Estimate

Chord = tuple[int, ...]
VOICES = 4  # soprano, alto, tenor, bass: what a piano roll does not tell, the four notes of a step by height


def ratio(total: Tensor, count: Tensor) -> Estimate:
    """Return Σ total / Σ count over n pieces, each (n,), with the standard error that pieces give it.

    So nats per time step: ``ratio(-log_p, lengths)``. All steps count alike, and long pieces more than short
    ones. The error is that of a ratio of means (Cochran 1977, section 2.11): pieces are drawn independently,
    steps are not.

    Raises ``ValueError`` for other shapes, fewer than two pieces, and counts that sum to 0.
    """
    total, count = total.double(), count.double()
    if total.ndim != 1 or total.shape != count.shape or len(total) < 2 or not count.sum() > 0:
        raise ValueError(
            "a ratio needs a total and a count of each piece, two pieces or more and something counted: got "
            f"{tuple(total.shape)} and {tuple(count.shape)}, which sum to {float(count.sum())}."
        )
    value = (total.sum() / count.sum()).item()
    off = total - value * count
    error = (off.square().sum() / (len(off) - 1) / len(off)).sqrt() / count.mean()
    return Estimate(value, error.item(), len(off))


def pitch_classes(roll: Tensor) -> list[Chord]:
    """Return the chord of each step, whatever its octaves and doublings: C is 0, C♯ 1, … B 11."""
    return [tuple(sorted({(key + 9) % 12 for key in row.nonzero()[:, 0].tolist()})) for row in roll.cpu()]


class ChordBigram:
    """How often a chord follows another in some pieces: p(chord | the one before), with a way out.

    After a chord seen n times, with d different ones after it, p = (count + d · p₁) / (n + d), where p₁ is
    the share of the chord in all steps, smoothed in the same way towards 1 / 4,096, that of each set of the
    twelve pitch classes (Witten and Bell 1991). The first chord of a piece follows a sign of its own.
    """

    START: Chord = (-1,)

    def __init__(self, pieces: Sequence[Tensor]):
        self.after: dict[Chord, Counter[Chord]] = {}
        self.all: Counter[Chord] = Counter()
        for roll in pieces:
            chords = pitch_classes(roll)
            self.all.update(chords)
            for before, now in zip([self.START, *chords[:-1]], chords, strict=True):
                self.after.setdefault(before, Counter())[now] += 1

    def probability(self, now: Chord, before: Chord | None = None) -> float:
        """Return p(``now`` | ``before``), or p₁(``now``) without one."""
        if before is None:
            seen, rest = self.all, 2.0**-12
        else:
            seen, rest = self.after.get(before, Counter()), self.probability(now)
        n, kinds = seen.total(), len(seen)
        return (seen[now] + kinds * rest) / (n + kinds) if n else rest

    def surprise(self, roll: Tensor) -> float:
        """Return -log p of a piece's chords, summed over its steps, in nats."""
        chords = pitch_classes(roll)
        pairs = zip([self.START, *chords[:-1]], chords, strict=True)
        return -sum(math.log(self.probability(now, before)) for before, now in pairs)


@dataclass(frozen=True)
class MusicReport:
    """What :func:`musical_statistics` counts, each a share or a mean with the standard error over pieces."""

    moves: Estimate
    """Of all steps but the first: how many go from four notes to four other ones. The next two are shares
    of these moves."""
    parallels: Estimate
    """In how many of the moves two voices a fifth or an octave apart are the same interval apart again, both
    having moved. Whole octaves between the two do not matter, nor does the direction."""
    overlaps: Estimate
    """In how many of the moves a voice goes beyond where its neighbour just was."""
    span: Estimate
    """Semitones from the lowest to the highest note of a step that is not silent."""
    repeats: Estimate
    """Of all steps but the first: how many have the notes of the step before."""


def musical_statistics(pieces: Sequence[Tensor]) -> MusicReport:
    """Return what a musician would count, in two pieces or more. See :class:`MusicReport`.

    A piano roll knows no voices; of a step with four notes the lowest is called the bass, and so on. So
    voices cannot cross, and what is left of crossing is overlap. Where there was nothing to count, as in
    pieces without a move from four notes to four others, a share is NaN.

    Raises ``ValueError`` for fewer pieces.
    """
    counts = torch.tensor([_counted(roll) for roll in pieces], dtype=torch.float64).reshape(-1, 7)
    parallels, overlaps, moves, span, sounding, repeats, steps = counts.T
    pairs = (moves, steps), (parallels, moves), (overlaps, moves), (span, sounding), (repeats, steps)
    nothing = Estimate(math.nan, math.nan, len(counts))
    return MusicReport(
        *(nothing if len(counts) > 1 and not count.any() else ratio(total, count) for total, count in pairs)
    )


def _counted(roll: Tensor) -> tuple[int, ...]:
    """Return parallels, overlaps, moves; semitones, steps that sound; repeats, steps but the first."""
    steps = [row.nonzero()[:, 0].tolist() for row in roll.cpu()]
    parallels = overlaps = moves = repeats = 0
    for before, now in pairwise(steps):
        repeats += before == now
        if len(before) == len(now) == VOICES and before != now:
            moves += 1
            parallels += any(
                before[i] != now[i]
                and before[j] != now[j]
                and (now[j] - now[i]) % 12 == (before[j] - before[i]) % 12 in (0, 7)
                for i in range(VOICES)
                for j in range(i + 1, VOICES)
            )
            overlaps += any(now[i] > before[i + 1] or now[i + 1] < before[i] for i in range(VOICES - 1))
    spans = [notes[-1] - notes[0] for notes in steps if notes]
    return parallels, overlaps, moves, sum(spans), len(spans), repeats, len(steps) - 1
