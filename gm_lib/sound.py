"""Sound as pictures: log-mel spectrograms, the way back to a waveform, WAV files; notes as sound and MIDI.

A waveform holds ``RATE`` = 8,000 numbers a second, in [-1, 1]. ``torch.stft`` cuts it into overlapping frames
and tells which frequencies are in each; 64 triangles, evenly spaced on the mel scale, gather their power, and
its logarithm is the picture (1, 64, 48) of 0.752 s. What it does not tell is the phase; :func:`griffin_lim`
looks for one that fits. A notebook plays a waveform by ``IPython.display.Audio(wave, rate=RATE)``, which puts
16 kB into the page for one.
"""

import math
import wave
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gm_lib.system.choose import whole_number
from gm_lib.system.files import replace_file

RATE = 8000  # samples per second
BANDS, FRAMES = 64, 48
WINDOW, HOP = 512, 128  # samples in a frame, and from one frame to the next: 64 and 16 ms
SAMPLES = (FRAMES - 1) * HOP  # the waveform of one picture: frames are centred on its samples 0, 128, …, 6016
RANGE = 60.0  # decibels from the loudest cell of a picture, 1, to the darkest, 0
KEYS, LOWEST = 88, 21  # of a piano, and the MIDI number of its lowest key, 27.5 Hz
STEP = 0.4  # seconds of one step of a piano roll, 150 quarter notes a minute
HARMONICS = 6  # of a note that is played, the k-th with amplitude 1 / k
TICKS = 480  # of a MIDI file's clock in a quarter note
AT_ONCE = 100  # waveforms, whose spectra of many more would not stay near the processor


def stft(waveform: Tensor) -> Tensor:
    """Return the short-time Fourier transform: (..., samples) to complex (..., 257, 1 + samples // 128).

    Row k is the frequency k · 8000 / 512 Hz. Frames of 512 samples under a Hann window, one every 128; before
    and behind the waveform is silence.
    """
    return torch.stft(
        waveform, WINDOW, HOP, window=_window(waveform), pad_mode="constant", return_complex=True
    )


def istft(spectrum: Tensor) -> Tensor:
    """Return the waveform whose transform is nearest: (..., 257, frames) to (..., 128 · (frames - 1)).

    Nearest to ``spectrum`` in squared distance [Griffin and Lim 1984]: the inverse of :func:`stft`.
    """
    samples = (spectrum.shape[-1] - 1) * HOP
    return torch.istft(spectrum, WINDOW, HOP, window=_window(spectrum.real), length=samples)


def mel_filters(bands: int = BANDS) -> Tensor:
    """Return the triangles (bands, 257) that gather the power of frequencies into bands.

    Their feet and peaks are evenly spaced on the mel scale, m = 2595 log₁₀(1 + f / 700 Hz) [O'Shaughnessy
    1987], from 0 to 4,000 Hz. Each peak is 1.

    Raises ``ValueError`` for so many bands that one would be too narrow to hold any of the frequencies.
    """
    bands = whole_number("bands", bands, 1)
    top = 2595 * math.log10(1 + RATE / 2 / 700)
    mel = torch.linspace(0, top, bands + 2, dtype=torch.float64, device="cpu")
    foot, peak, end = (700 * (10 ** (mel / 2595) - 1)).unfold(0, 3, 1).unbind(1)
    f = torch.arange(WINDOW // 2 + 1, device="cpu") * (RATE / WINDOW)
    rising = (f - foot[:, None]) / (peak - foot)[:, None]
    falling = (end[:, None] - f) / (end - peak)[:, None]
    filters = torch.minimum(rising, falling).clamp(min=0)
    if not bool(filters.any(1).all()):
        raise ValueError(f"of {bands} bands some hold no frequency: give fewer, as {BANDS}.")
    return filters.float()


def log_mel(waveform: Tensor) -> Tensor:
    """Return the picture of a sound in [0, 1]: (samples,) to (1, 64, 48), and (n, samples) to (n, 1, 64, 48).

    A waveform that is shorter than 6,016 samples (0.752 s) is followed by silence, a longer one is cut. With
    m = ``mel_filters() @ |stft|²``, a cell is x = 1 + log₁₀(m / max m) · 10 dB / 60 dB, and 0 where it is
    more than 60 dB below the loudest: how loud the whole is does not matter. Row 0 is the lowest band.
    :func:`mel_power` undoes it.

    Raises ``ValueError`` for a waveform of another shape, with NaN or infinities, or silent; ``TypeError``
    for what is no tensor of floating-point numbers.
    """
    _check_waveform(waveform)
    if waveform.ndim == 2 and len(waveform) > AT_ONCE:
        return torch.cat([log_mel(part) for part in waveform.split(AT_ONCE)])
    fitted = fit(waveform)
    m = mel_filters().to(fitted) @ stft(fitted).abs().square()
    loudest = m.amax((-2, -1), keepdim=True)
    if not bool((loudest > 0).all()):
        raise ValueError("a waveform is silent, and has no loudest cell: leave it out.")
    decibels = 10 * (m / loudest).clamp(min=1e-30).log10()
    return (1 + decibels / RANGE).clamp(min=0).unsqueeze(-3)


def fit(waveform: Tensor, samples: int = SAMPLES) -> Tensor:
    """Bring (..., any length) to (..., samples): silence behind what is too short, the rest cut off."""
    return F.pad(waveform, (0, max(0, samples - waveform.shape[-1])))[..., :samples]


def mel_power(x: Tensor) -> Tensor:
    """Undo the logarithm: pictures (..., 64, 48) to the power in each band, relative to the loudest.

    The power is 10^(6 (x - 1)), exact wherever x > 0; at 0 it is 60 dB below the loudest, or less.
    """
    return 10 ** ((x - 1) * (RANGE / 10))


def linear_power(power: Tensor, steps: int = 50) -> Tensor:
    """Spread the power of bands (..., 64, frames) over frequencies: (..., 257, frames), none negative.

    64 bands do not determine 257 frequencies. Of S ≥ 0 with least |F S - power|², F the filters, it takes
    what multiplicative updates S ← S · Fᵀ power / Fᵀ F S reach from a constant [Lee and Seung 2001];
    none of them makes that distance larger.
    """
    filters = mel_filters().to(power)
    wanted, mixed = filters.T @ power, filters.T @ filters
    loudest = power.amax((-2, -1), keepdim=True).clamp(min=1e-20)
    s = loudest.expand_as(wanted)
    for _ in range(steps):
        # Nothing is let fall below -120 dB: numbers near the least that a float can be are slow to compute.
        s = torch.maximum(s * wanted / (mixed @ s).clamp(min=1e-30), 1e-12 * loudest)
    return s


def griffin_lim(magnitude: Tensor, *, steps: int = 32, momentum: float = 0.99, seed: int = 0) -> Tensor:
    """Return a waveform (..., 128 · (frames - 1)) whose |stft| comes near ``magnitude`` (..., 257, frames).

    From random phases it goes back and forth between waveforms and spectra of these magnitudes [Griffin and
    Lim 1984], each step carried on by ``momentum`` [Perraudin, Balazs and Søndergaard 2013]; with 0 it is
    the older method, whose steps never go away from the magnitudes.
    """
    generator = torch.Generator("cpu").manual_seed(whole_number("seed", seed))
    turn = 2 * math.pi * torch.rand(magnitude.shape, generator=generator, device="cpu")
    spectrum = torch.polar(magnitude, turn.to(magnitude))
    before = torch.zeros_like(spectrum)
    for _ in range(steps):
        possible = stft(istft(spectrum))
        ahead = possible + momentum * (possible - before)
        spectrum = torch.polar(magnitude, ahead.angle())
        before = possible
    return istft(spectrum)


@torch.no_grad()
def to_sound(x: Tensor, *, steps: int = 32, seed: int = 0) -> Tensor:
    """Return the sound of a picture: (1, 64, 48) to (6016,), and (n, 1, 64, 48) to (n, 6016), peak 1.

    :func:`mel_power`, :func:`linear_power`, and ``steps`` of :func:`griffin_lim` from phases that ``seed``
    decides. The original waveform does not come back, since its phases are lost, but one that sounds alike.

    Raises ``ValueError`` for another shape and for values that are out of [0, 1]; ``TypeError`` for what is
    no tensor of floating-point numbers.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError("a picture of a sound must be a floating-point torch.Tensor: log_mel makes one.")
    if x.shape[-3:] != (1, BANDS, FRAMES) or x.ndim > 4:
        raise ValueError(
            f"pictures of sounds have the shape (1, {BANDS}, {FRAMES}) or (n, 1, {BANDS}, {FRAMES}), not "
            f"{tuple(x.shape)}."
        )
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError("pictures of sounds have values in [0, 1], these have others: x.clamp(0, 1)?")
    magnitude = linear_power(mel_power(x.float().squeeze(-3))).sqrt()
    waveform = griffin_lim(magnitude, steps=steps, seed=seed)
    return waveform / waveform.abs().amax(-1, keepdim=True).clamp(min=1e-12)


def read_wav(file: str | Path | bytes, rate: int = RATE, *, name: str | Path | None = None) -> Tensor:
    """Return the waveform (samples,) of a WAV file, a path or its content: 16 bits, one channel, ``rate``.

    float32 in [-1, 1). ``name`` is what errors call it, where the path is not given.

    Raises ``ValueError`` naming the file when it is no whole WAV file, of another rate, width or number of
    channels, empty or silent, and what opening it raises.
    """
    content = file if isinstance(file, bytes) else Path(file).read_bytes()
    name = name or ("the WAV content" if isinstance(file, bytes) else file)
    try:
        with wave.open(BytesIO(content)) as reader:
            channels, width, found_rate, samples = reader.getparams()[:4]
            data = reader.readframes(samples)
    except (wave.Error, EOFError) as error:
        raise _refused(
            name, f"no WAV file that can be read ({str(error) or 'it ends early'})", "PCM, whole"
        ) from error
    if channels != 1:
        raise _refused(name, f"a recording of {channels} channels", "one: average them, or keep the first")
    if width != 2:
        raise _refused(name, f"stored with {8 * width} bits a sample", "16")
    if found_rate != rate:
        raise _refused(name, f"sampled {found_rate:,} times a second", f"{rate:,}: resample it")
    if len(data) < channels * width * samples:
        raise _refused(name, f"cut off after {len(data) // 2:,} of {samples:,} samples", "all of them")
    if not samples:
        raise _refused(name, "empty", "at least one sample")
    waveform = torch.from_numpy(np.frombuffer(data, "<i2").astype("float32")) / 2**15
    if not bool(waveform.any()):
        raise _refused(name, "silent: all samples are 0", "a sound")
    return waveform


def save_wav(path: str | Path, waveform: Tensor, rate: int = RATE) -> None:
    """Write a waveform (samples,) in [-1, 1] as the WAV file of :func:`wav_content`, whole or not at all.

    Raises what that function raises, and ``OSError`` naming ``path``, which is then as it was.
    """
    replace_file(path, wav_content(waveform, rate))


def wav_content(waveform: Tensor, rate: int = RATE) -> bytes:
    """Return the WAV file of a waveform (samples,) in [-1, 1]: 16 bits, two bytes for each sample.

    :func:`read_wav` gives it back to within 2⁻¹⁶, and 2⁻¹⁵ at 1 itself, which 16 bits do not have.

    Raises ``ValueError`` for another shape, for NaN and for values out of [-1, 1], which would be clipped;
    ``TypeError`` for what is no tensor of floating-point numbers.
    """
    _check_waveform(waveform)
    if waveform.ndim != 1:
        raise ValueError(f"a WAV file holds one waveform (samples,), not {tuple(waveform.shape)}: save each.")
    peak = waveform.abs().max().item()
    if peak > 1:
        raise ValueError(
            f"the waveform reaches {peak:.4g}, and beyond 1 it would be clipped, which is heard: "
            "waveform / waveform.abs().max() brings it to 1."
        )
    levels = (waveform.detach().cpu().double() * 2**15).round().clamp(max=2**15 - 1).to(torch.int16)
    content = BytesIO()
    with wave.open(content, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(whole_number("rate", rate, 1))
        writer.writeframes(levels.numpy().astype("<i2").tobytes())
    return content.getvalue()


def play_notes(x: Tensor, *, seconds: float = STEP) -> Tensor:
    """Return the sound of a piano roll (steps, 88), each step of so many ``seconds``: (samples,), peak 1.

    Key k has the pitch 27.5 Hz · 2^(k / 12). A key that sounds in consecutive steps is one note, held; it is
    a sum of harmonics below half the rate that dies away, by 1 / e in 0.8 s. Silence stays silence.

    Raises ``ValueError`` for another shape, values but 0 and 1, and seconds that are not above 0.
    """
    roll = _checked_roll(x)
    samples = _checked_step(seconds)
    sound = torch.zeros(len(roll) * samples, dtype=torch.float64)
    for key, start, end in _notes(roll):
        t = torch.arange((end - start) * samples, dtype=torch.float64) / RATE
        f = 27.5 * 2 ** (key / 12)
        k = torch.arange(1, HARMONICS + 1)[:, None]
        waves = (torch.sin(2 * math.pi * f * k * t) / k * (k * f < RATE / 2)).sum(0)
        edges = (torch.minimum(t, t.flip(0)) / 0.01).clamp(max=1)  # 10 ms in and out, or it clicks
        sound[start * samples : end * samples] += waves * (-t / 0.8).exp() * edges
    return (sound / sound.abs().max().clamp(min=1e-12)).float()


def midi_content(x: Tensor, *, seconds: float = STEP) -> bytes:
    """Return the standard MIDI file of a piano roll (steps, 88): one track, a quarter note for each step.

    A key that sounds in consecutive steps is one note, held. Raises what :func:`play_notes` raises.
    """
    roll = _checked_roll(x)
    _checked_step(seconds)
    events = [(0, b"\xff\x51\x03" + round(1e6 * seconds).to_bytes(3, "big"))]  # microseconds a quarter
    for key, start, end in _notes(roll):
        events += [(start, bytes([0x90, LOWEST + key, 80])), (end, bytes([0x80, LOWEST + key, 0]))]
    events.sort(key=lambda event: event[0])  # a key never ends and begins at one moment: that is a held note
    events.append((len(roll), b"\xff\x2f\x00"))
    track, now = b"", 0
    for step, event in events:
        track += _variable_length(TICKS * (step - now)) + event
        now = step
    head = b"MThd" + b"".join(n.to_bytes(size, "big") for n, size in ((6, 4), (0, 2), (1, 2), (TICKS, 2)))
    return head + b"MTrk" + len(track).to_bytes(4, "big") + track


def _notes(roll: Tensor) -> list[tuple[int, int, int]]:
    """Return each note as its key, first step, and the step after its last; in the order of their starts."""
    around = F.pad(roll.int(), (0, 0, 1, 1))
    change = (around[1:] - around[:-1]).T  # (88, steps + 1): 1 where a note begins, -1 where it has ended
    starts, ends = (change == 1).nonzero().tolist(), (change == -1).nonzero().tolist()
    found = [(key, start, end) for (key, start), (_, end) in zip(starts, ends, strict=True)]
    return sorted(found, key=lambda note: note[1])


def _variable_length(ticks: int) -> bytes:
    """Write a number as MIDI files do, seven bits a byte, with the top bit set in all but the last."""
    digits = [ticks & 0x7F]
    while ticks := ticks >> 7:
        digits.append(0x80 | ticks & 0x7F)
    return bytes(digits[::-1])


def _checked_roll(x: Tensor) -> Tensor:
    if x.ndim != 2 or x.shape[1] != KEYS or not len(x):
        raise ValueError(f"a piano roll has the shape (steps, {KEYS}), not {tuple(x.shape)}: play one alone.")
    if not bool(((x == 0) | (x == 1)).all()):
        raise ValueError("a piano roll holds 1 where a key sounds and else 0, this one other values.")
    return x.detach().cpu()


def _checked_step(seconds: float) -> int:
    """Return how many samples one step has."""
    if not 1 / RATE <= seconds < 16:  # a tempo has three bytes in a MIDI file
        raise ValueError(f"seconds, the length of a step, must be above 0 and below 16, not {seconds}.")
    return round(seconds * RATE)


def _window(like: Tensor) -> Tensor:
    return torch.hann_window(WINDOW, dtype=like.dtype, device=like.device)


def _check_waveform(waveform: Tensor) -> None:
    if not isinstance(waveform, Tensor) or not waveform.is_floating_point():
        kind = waveform.dtype if isinstance(waveform, Tensor) else type(waveform).__name__
        raise TypeError(f"a waveform must be a floating-point torch.Tensor in [-1, 1], not {kind}.")
    if waveform.ndim not in (1, 2) or waveform.numel() == 0:
        raise ValueError(
            f"a waveform has the shape (samples,), or several (n, samples), got {tuple(waveform.shape)}."
        )
    if not bool(waveform.isfinite().all()):
        raise ValueError("a waveform holds NaN or infinities: look at how it was computed.")


def _refused(name: str | Path, found: str, expected: str) -> ValueError:
    return ValueError(
        f"{name} is {found}; expected {expected}. Replace the file by a right one, or leave it out."
    )
