"""Spoken digits in fixed splits: the Free Spoken Digit Dataset, and synthesized ones that need no network."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gm_lib.data.published import FSDD_RECORDINGS, FSDD_SPEAKERS, SETS
from gm_lib.data.sources import DownloadError, find_folder, load_files
from gm_lib.sound import RATE, SAMPLES, fit, log_mel, read_wav
from gm_lib.system.choose import choose, whole_number

# Of the recordings of each digit by each speaker, the first are for testing, the next for validation.
TEST, VALID = 5, 5

# The synthesized digits: where the two resonances of a voice begin, are halfway, and end, in hertz, and the
# pitches of the voices. Both are within what people do; the melodies are made up and sound like no language.
MELODIES = (
    ((300, 300, 500), (2200, 1600, 1000)),
    ((350, 700, 500), (800, 1200, 1600)),
    ((300, 300, 300), (1800, 1200, 800)),
    ((400, 300, 300), (1200, 1800, 2400)),
    ((600, 500, 350), (900, 800, 800)),
    ((800, 700, 400), (1200, 1600, 2100)),
    ((400, 450, 400), (2000, 1800, 2000)),
    ((550, 350, 550), (1700, 1300, 1700)),
    ((500, 400, 300), (1800, 2200, 2400)),
    ((350, 800, 350), (1500, 1300, 1500)),
)
PITCHES = (95, 110, 130, 155, 185, 220)
SYNTHESIZED = 20  # recordings of each digit by each voice


@dataclass(frozen=True, eq=False)
class Recordings:
    """Spoken digits on the CPU: ``x`` float32 (n, 1, 64, 48), their pictures by ``gm_lib.sound.log_mel``.

    ``y`` int64 (n,): the digit. ``speaker`` int64 (n,): who speaks, a place in ``SpeechData.speakers``.
    ``waveform`` float32 (n, 6016) in [-1, 1]: 0.752 s, with silence behind what is shorter and the rest cut.
    """

    x: Tensor
    y: Tensor
    speaker: Tensor
    waveform: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class SpeechData:
    """Spoken digits in three splits. ``name`` is the set really loaded, ``source`` where it came from."""

    name: str
    source: str
    speakers: tuple[str, ...]
    train: Recordings
    valid: Recordings
    test: Recordings


def spoken_digits(name: str = "fsdd", *, held_out: int | None = None, fallback: bool = True) -> SpeechData:
    """Load the spoken digits called ``name`` and print one line that says what was loaded.

    * ``"fsdd"``: the Free Spoken Digit Dataset [Jackson et al. 2018, CC BY-SA 4.0], release 1.0.10: 3,000
      recordings at 8 kHz, each digit fifty times by six speakers. As its authors split it, numbers 0 to 4 are
      for testing and the others for training; of these, numbers 5 to 9 are for validation here: 2,400, 300
      and 300. All speakers are in all three. Files come from the folder in ``GM_DATA``, the user's cache or a
      download. Only if they are not here and cannot be downloaded (or must not be: ``GM_OFFLINE=1``),
      ``"synthesized"`` is loaded in their place, and the line says so; with ``fallback=False`` that is an
      error.
    * ``"synthesized"``: the :func:`synthesized_digits`, 600, 300 and 300, in which there is no speech.

    ``held_out``: the number of a speaker, 0 to 5, who is then in the test split alone, with all recordings,
    while the other splits are without.

    Raises ``ValueError`` for another name or a speaker that is none, and naming the file for a recording
    that is broken, empty, silent, or not at 8 kHz with one channel of 16 bits; ``FileNotFoundError`` for a
    ``GM_DATA`` that is no folder or holds only part of the set, and ``OSError`` for files of other contents
    or that are nowhere and may not be replaced.
    """
    choose("set of spoken digits", name, ("fsdd", "synthesized"))
    if held_out is not None and whole_number("held_out", held_out) >= len(FSDD_SPEAKERS):
        raise ValueError(
            f"held_out is the number of a speaker, 0 to {len(FSDD_SPEAKERS) - 1}, not {held_out}."
        )
    with torch.device("cpu"):
        try:
            data = _load(name, held_out)
            announcement = f"{data.name}, from {data.source}"
        except DownloadError as error:
            missing = f"{SETS['fsdd'].name} is not on this machine and {error}."
            if not fallback:
                raise DownloadError(
                    f"{missing} Nothing can take its place here: set GM_DATA to a folder that holds it, in "
                    f"$GM_DATA/{SETS['fsdd'].folder} the 3,000 files such as {SETS['fsdd'].files[0].name}."
                ) from error
            data = _load("synthesized", held_out)
            announcement = (
                f"{missing} In its place {data.name} sounds with no speech in them, from {data.source}"
            )
    who = "" if held_out is None else f"; {data.speakers[held_out]} in the test split alone"
    sizes = f"{len(data.train):,} train, {len(data.valid):,} valid, {len(data.test):,} test recordings"
    print(f"gm_lib.data: {announcement}: {sizes}{who}.")
    return data


def _load(name: str, held_out: int | None) -> SpeechData:
    """Read the published recordings, or make the synthesized ones."""
    if name == "synthesized":
        speakers = tuple(f"voice at {pitch} Hz" for pitch in PITCHES)
        return _split(
            name, "gm_lib.data.speech", speakers, synthesized_digits(SYNTHESIZED), SYNTHESIZED, held_out
        )
    contents, place = load_files(SETS["fsdd"], examine=lambda path, content: read_wav(content, name=path))
    waveform = torch.stack([fit(read_wav(content)) for content in contents])
    return _split(name, place, FSDD_SPEAKERS, waveform, FSDD_RECORDINGS, held_out)


def find_speech() -> str | None:
    """Say where the Free Spoken Digit Dataset lies on this machine, checked; None if it would be downloaded.

    Raises what :func:`spoken_digits` raises for a wrong ``GM_DATA`` and for broken files.
    """
    return load_files(SETS["fsdd"])[1] if find_folder(SETS["fsdd"]) else None


def synthesized_digits(each: int = SYNTHESIZED, *, seed: int = 0) -> Tensor:
    """Return waveforms (60 · each, 6016) of which all is known: ten digits, six voices, ``each`` times.

    The last index runs fastest, then the voice, then the digit. A digit is one of the ``MELODIES`` of two
    resonances, a voice one of the ``PITCHES``: harmonics of the pitch, the k-th as strong as two Gaussian
    bells of 120 Hz around the resonances make it, the second bell half as high. Each recording has a pitch up
    to 4 % off, a length of 0.3 to 0.6 s, a beginning within the first 0.08 s, and noise of -46 dB.
    """
    generator = torch.Generator("cpu").manual_seed(whole_number("seed", seed))
    return torch.stack(
        [
            _synthesized(torch.tensor(melody, dtype=torch.float32), pitch, generator)
            for melody in MELODIES
            for pitch in PITCHES
            for _ in range(whole_number("each", each, 1))
        ]
    )


def _synthesized(melody: Tensor, pitch: float, generator: torch.Generator) -> Tensor:
    """Return one waveform (6016,) of a melody (2, 3) in hertz."""
    off, length, start = torch.rand(3, generator=generator).tolist()
    pitch *= 1 + 0.04 * (2 * off - 1)
    samples, start = round((0.3 + 0.3 * length) * RATE), round(0.08 * start * RATE)
    k = torch.arange(1, int(RATE / 2 / pitch) + 1)[:, None]  # harmonics below half the rate
    course = F.interpolate(melody[None], size=25, mode="linear", align_corners=True)[0]  # (2, 25)
    bells = torch.exp(-0.5 * ((k * pitch - course[:, None]) / 120) ** 2)
    bells = F.threshold(bells, 1e-6, 0)  # what lies as far below is slow to compute, and not heard
    strengths = F.interpolate(
        (bells[0] + 0.5 * bells[1])[None], size=samples, mode="linear", align_corners=True
    )[0]
    turns = torch.frac(k * torch.arange(samples) * (pitch / RATE))
    voiced = (strengths * torch.cos(2 * math.pi * turns)).sum(0)
    ramp = torch.linspace(0, 1, samples)
    sound = 0.9 * (voiced * (torch.minimum(ramp, 1 - ramp) * 8).clamp(max=1))
    sound = sound / sound.abs().max()
    sound = F.pad(sound, (start, SAMPLES - start - samples))
    return (sound + 0.005 * torch.randn(SAMPLES, generator=generator)).clamp(-1, 1)


def _split(
    name: str, place: str, speakers: tuple[str, ...], waveform: Tensor, each: int, held_out: int | None
) -> SpeechData:
    """Split waveforms (10 · speakers · each, samples) in the order digit, speaker, index."""
    y, speaker, index = torch.cartesian_prod(
        torch.arange(10), torch.arange(len(speakers)), torch.arange(each)
    ).T
    x = log_mel(waveform)

    def those(chosen: Tensor) -> Recordings:
        return Recordings(x[chosen], y[chosen], speaker[chosen], waveform[chosen])

    test, heard = index < TEST, torch.ones_like(y, dtype=torch.bool)
    if held_out is not None:
        test, heard = speaker == held_out, speaker != held_out
    valid = (index >= TEST) & (index < TEST + VALID)
    train = index >= TEST + VALID
    return SpeechData(name, place, speakers, those(train & heard), those(valid & heard), those(test))
