"""Pieces of music as piano rolls in fixed splits: Bach's chorales, and synthesized ones of known entropy."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gm_lib.data.published import SETS
from gm_lib.data.sources import DownloadError, find_folder, load_files
from gm_lib.system.choose import choose, whole_number

KEYS = 88  # of a piano
LOWEST = 21  # the MIDI number of its lowest key, an A; middle C is 60
SPLITS = ("train", "valid", "test")

# The synthesized pieces: a Markov chain over six chords in C major, which begins in C. Row and column: from,
# to. Each chord sounds in one of three voicings, drawn anew at every step; no two of the eighteen are equal.
CHORDS = ("C", "Dm", "Em", "F", "G", "Am")
TRANSITIONS = (
    (0.40, 0.10, 0.05, 0.20, 0.15, 0.10),
    (0.05, 0.35, 0.00, 0.10, 0.50, 0.00),
    (0.00, 0.10, 0.30, 0.30, 0.00, 0.30),
    (0.25, 0.15, 0.00, 0.30, 0.30, 0.00),
    (0.50, 0.00, 0.05, 0.05, 0.30, 0.10),
    (0.00, 0.30, 0.05, 0.30, 0.10, 0.25),
)
VOICINGS = (
    ((48, 64, 67, 72), (52, 67, 72, 76), (48, 67, 76, 84)),
    ((50, 65, 69, 74), (53, 69, 74, 77), (50, 69, 77, 81)),
    ((52, 67, 71, 76), (55, 71, 76, 79), (52, 71, 79, 83)),
    ((53, 69, 72, 77), (57, 72, 77, 81), (53, 65, 69, 84)),
    ((55, 67, 71, 74), (59, 67, 74, 79), (55, 71, 74, 83)),
    ((57, 69, 72, 76), (60, 69, 76, 81), (57, 72, 76, 84)),
)
SYNTHESIZED = {"train": 200, "valid": 60, "test": 60}
SHORTEST, LONGEST = 32, 64  # steps of a synthesized piece


@dataclass(frozen=True, eq=False)
class Pieces:
    """Pieces on the CPU: ``x`` float32 (n, steps, 88), 1 where a key sounds; ``lengths`` int64 (n,).

    Key 0 is MIDI number 21, the lowest of a piano. Behind the end of a shorter piece stand zeros, which are
    no part of it: only ``lengths`` tells them from silence.
    """

    x: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def steps(self) -> int:
        """The number of time steps of all pieces together."""
        return int(self.lengths.sum())

    def piece(self, i: int) -> Tensor:
        """Return piece ``i`` without what stands behind it: (steps, 88)."""
        return self.x[i, : int(self.lengths[i])]


@dataclass(frozen=True, eq=False)
class MusicData:
    """Pieces in three splits. ``name`` is the set really loaded, ``source`` where it came from."""

    name: str
    source: str
    train: Pieces
    valid: Pieces
    test: Pieces


def chorales(name: str = "jsb", *, fallback: bool = True) -> MusicData:
    """Load the pieces called ``name`` and print one line that says what was loaded.

    * ``"jsb"``: chorales by J. S. Bach, one chord for each quarter note, transposed to C, in the splits of
      Boulanger-Lewandowski, Bengio and Vincent 2012: 229, 76 and 77 pieces. The music is in the public
      domain; the file, of czhuang/JSB-Chorales-dataset, states no licence. It comes from the folder in
      ``GM_DATA``, the user's cache or a download. Only if it is not here and cannot be downloaded (or must
      not be: ``GM_OFFLINE=1``), ``"synthesized"`` is loaded in its place, and the line says so; with
      ``fallback=False`` that is an error.
    * ``"synthesized"``: the :func:`synthesized_pieces`, 200, 60 and 60, of which the entropy is known.

    Raises ``ValueError`` for another name; ``FileNotFoundError`` for a ``GM_DATA`` that is no folder, and
    ``OSError`` for a file of other contents or that is nowhere and may not be replaced.
    """
    choose("set of pieces", name, ("jsb", "synthesized"))
    with torch.device("cpu"):
        try:
            data = _load(name)
            announcement = f"{data.name}, from {data.source}"
        except DownloadError as error:
            known = SETS["jsb"]
            missing = f"{known.name} are not on this machine and {error}."
            if not fallback:
                raise DownloadError(
                    f"{missing} Nothing can take their place here: set GM_DATA to a folder that holds "
                    f"$GM_DATA/{known.folder}/{known.files[0].name}."
                ) from error
            data = _load("synthesized")
            announcement = f"{missing} In their place {data.name} pieces, from {data.source}"
    sizes = ", ".join(f"{len(part):,} {split}" for split, part in _parts(data).items())
    steps = ", ".join(f"{part.steps:,}" for part in _parts(data).values())
    print(f"gm_lib.data: {announcement}: {sizes} pieces of {steps} steps together.")
    return data


def find_music() -> str | None:
    """Say where the chorales lie on this machine, checked; None if they would be downloaded.

    Raises what :func:`chorales` raises for a wrong ``GM_DATA`` and for a broken file.
    """
    return load_files(SETS["jsb"])[1] if find_folder(SETS["jsb"]) else None


def piano_roll(piece: Sequence[Sequence[int]], *, name: str = "the piece") -> Tensor:
    """Return the piano roll (steps, 88) of a piece given as MIDI numbers: those that sound, step by step.

    A step may be empty: all are silent. ``name`` is what errors call the piece.

    Raises ``ValueError`` for a piece without steps, and for a note that is no whole number from 21 to 108,
    the keys of a piano; both name the piece, and the second the step, counted from 0.
    """
    if not len(piece):
        raise ValueError(f"{name} is empty: a piece has at least one step. Leave it out.")
    x = torch.zeros(len(piece), KEYS)
    for step, notes in enumerate(piece):
        for note in notes:
            whole = isinstance(note, Integral) and not isinstance(note, bool)
            if not whole or not LOWEST <= note < LOWEST + KEYS:
                raise ValueError(
                    f"step {step} of {name} has the note {note!r}: expected MIDI numbers, whole and from "
                    f"{LOWEST} to {LOWEST + KEYS - 1}, the keys of a piano. Transpose the piece by octaves."
                )
            x[step, int(note) - LOWEST] = 1
    return x


def notes_of(x: Tensor) -> list[tuple[int, ...]]:
    """Return a piano roll (steps, 88) as MIDI numbers, the lowest first, step by step: undo `piano_roll`.

    Raises ``ValueError`` for another shape.
    """
    if x.ndim != 2 or x.shape[1] != KEYS:
        raise ValueError(f"a piano roll has the shape (steps, {KEYS}), not {tuple(x.shape)}.")
    return [tuple((row.nonzero()[:, 0] + LOWEST).tolist()) for row in x.cpu()]


def pad(rolls: Sequence[Tensor]) -> Pieces:
    """Gather piano rolls (steps, 88) of any lengths, zeros behind those that are shorter than the longest.

    Raises ``ValueError`` for no pieces.
    """
    if not rolls:
        raise ValueError("there are no pieces to gather.")
    x = torch.nn.utils.rnn.pad_sequence(list(rolls), batch_first=True)
    return Pieces(x, torch.tensor([len(roll) for roll in rolls]))


def synthesized_pieces(n: int, *, seed: int = 0) -> Pieces:
    """Return ``n`` pieces of 32 to 64 steps of which all is known: a Markov chain over chords in C major.

    The first chord is C, the next follow :data:`TRANSITIONS`, and each sounds in one of three
    :data:`VOICINGS`, equally likely and independent of all else. Lengths are uniform.
    """
    generator = torch.Generator("cpu").manual_seed(whole_number("seed", seed))
    chain, rolls = torch.tensor(TRANSITIONS), []
    for _ in range(whole_number("n", n, 1)):
        steps = int(torch.randint(SHORTEST, LONGEST + 1, (), generator=generator))
        voicing = torch.randint(3, (steps,), generator=generator).tolist()
        chords = [0]
        while len(chords) < steps:
            chords.append(int(torch.multinomial(chain[chords[-1]], 1, generator=generator)))
        rolls.append(piano_roll([VOICINGS[chord][v] for chord, v in zip(chords, voicing, strict=True)]))
    return pad(rolls)


def synthesized_entropy(lengths: Tensor, *, independent: bool = False) -> float:
    """Return what the best model of :func:`synthesized_pieces` scores: expected -log p, in nats per step.

    Over pieces of these ``lengths`` (n,), all steps counted alike: log 3 for the voicing of each, and for
    each but the first of a piece the entropy of the next chord, given the last one. With ``independent`` it
    is the best of those models whose keys are independent, given the steps before: the sum of the entropies
    of the keys, given the last chord, which the last step tells.
    """
    chain = torch.tensor(TRANSITIONS, dtype=torch.float64)
    if independent:
        on = torch.stack([piano_roll(three).mean(0) for three in VOICINGS]).double()  # p(key | chord)
        at_first, of_next = _of_keys(on[0]), _of_keys(chain @ on)
    else:
        at_first = torch.tensor(math.log(3))
        of_next = math.log(3) + torch.special.entr(chain).sum(1)  # (6,)
    now = torch.eye(len(CHORDS), dtype=torch.float64)[0]
    spent = [0.0, float(at_first)]  # nats on the first t steps
    for _ in range(int(lengths.max()) - 1):
        spent.append(spent[-1] + float(now @ of_next))
        now = now @ chain
    return sum(spent[int(steps)] for steps in lengths) / int(lengths.sum())


def _of_keys(p: Tensor) -> Tensor:
    """Return the entropy of independent keys that are on with these probabilities (*, 88), in nats: (*)."""
    return (torch.special.entr(p) + torch.special.entr(1 - p)).sum(-1)


def _parts(data: MusicData) -> dict[str, Pieces]:
    return {"train": data.train, "valid": data.valid, "test": data.test}


def _load(name: str) -> MusicData:
    """Read the published pieces, or make the synthesized ones."""
    if name == "synthesized":
        parts = {
            split: synthesized_pieces(n, seed=seed) for seed, (split, n) in enumerate(SYNTHESIZED.items())
        }
        return MusicData(name, "gm_lib.data.music", **parts)
    (content,), place = load_files(SETS["jsb"])
    return MusicData(name, place, **_read(json.loads(content), Path(SETS["jsb"].files[0].name).name))


def _read(pieces: dict[str, Any], file: str) -> dict[str, Pieces]:
    """Return the splits of a file that has, by split, pieces as lists of lists of MIDI numbers."""
    return {
        split: pad(
            [
                piano_roll(piece, name=f"piece {i} of {split} in {file}")
                for i, piece in enumerate(pieces[split])
            ]
        )
        for split in SPLITS
    }
