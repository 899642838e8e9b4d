"""The spectrogram and the ways back, against closed forms, SciPy and a mel filter bank built another way."""

import math
import struct
import wave

import numpy as np
import pytest
import scipy.io.wavfile
import scipy.optimize
import scipy.signal
import torch
from IPython.display import Audio

from gm_lib import sound
from gm_lib.data.speech import synthesized_digits
from gm_lib.sound import (
    BANDS,
    FRAMES,
    HOP,
    RATE,
    SAMPLES,
    WINDOW,
    log_mel,
    midi_content,
    play_notes,
    read_wav,
    save_wav,
    to_sound,
)
from gm_lib.system import files


@pytest.fixture(scope="module")
def voices() -> torch.Tensor:
    """Synthesized digits, by voices in turn."""
    waveform = synthesized_digits(each=1).unflatten(0, (10, 6))
    return torch.stack([waveform[digit, digit % 6] for digit in range(10)])


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tone(frequency: float) -> torch.Tensor:
    return torch.cos(2 * math.pi * frequency * torch.arange(SAMPLES) / RATE)


# --- the short-time Fourier transform


def test_the_transform_is_scipys():
    x = noise(SAMPLES)
    window = scipy.signal.get_window("hann", WINDOW)
    theirs = scipy.signal.ShortTimeFFT(window, HOP, RATE).stft(x.numpy(), p0=0, p1=FRAMES)
    # SciPy counts time from the middle of a frame, and torch from its beginning: a sign for odd frequencies.
    sign = (-1.0) ** torch.arange(WINDOW // 2 + 1)[:, None]
    ours = sound.stft(x) * sign
    torch.testing.assert_close(ours, torch.from_numpy(theirs).to(ours.dtype), atol=2e-4, rtol=1e-4)


def test_the_inverse_gives_the_waveform_back_exactly():
    x = noise(3, SAMPLES).double()
    torch.testing.assert_close(sound.istft(sound.stft(x)), x, atol=1e-12, rtol=0)


def test_the_inverse_is_the_waveform_whose_transform_is_nearest():
    x = noise(SAMPLES).double()
    spectrum = sound.stft(x) * torch.rand(WINDOW // 2 + 1, FRAMES, generator=torch.Generator().manual_seed(2))

    def slope(waveform):
        waveform = waveform.clone().requires_grad_()
        off = (sound.stft(waveform) - spectrum).abs().square()
        # Of a real waveform the frequencies between the first and the last stand for two each.
        distance = 2 * off.sum() - off[[0, -1]].sum()
        return torch.autograd.grad(distance, waveform)[0].norm().item()

    # The squared distance is convex, so that where it is level it is least.
    assert slope(sound.istft(spectrum)) < 1e-9 * slope(x)


def test_parsevals_theorem_holds_in_each_frame():
    x = noise(SAMPLES).double()
    framed = torch.nn.functional.pad(x, (WINDOW // 2, WINDOW // 2)).unfold(0, WINDOW, HOP)
    energy = (framed * torch.hann_window(WINDOW, dtype=torch.float64)).square().sum(1)
    power = sound.stft(x).abs().square()
    torch.testing.assert_close((2 * power.sum(0) - power[0] - power[-1]) / WINDOW, energy)


# --- mel


def test_each_filter_is_a_triangle_even_on_the_mel_scale():
    filters = sound.mel_filters()
    assert filters.shape == (BANDS, WINDOW // 2 + 1)
    f = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    corners = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), BANDS + 2)
    hertz = 700 * (10 ** (corners / 2595) - 1)
    theirs = [np.interp(f, hertz[b : b + 3], [0, 1, 0], left=0, right=0) for b in range(BANDS)]
    np.testing.assert_allclose(filters, theirs, atol=1e-6)


def test_filters_share_each_frequency_between_two_bands_without_loss():
    f = torch.arange(WINDOW // 2 + 1) * RATE / WINDOW
    first, last = (700 * (10 ** (torch.tensor([1, BANDS]) * 2146.06 / (BANDS + 1) / 2595) - 1)).tolist()
    between = (f > first) & (f < last)
    torch.testing.assert_close(sound.mel_filters()[:, between].sum(0), torch.ones(int(between.sum())))


def test_too_many_bands_for_the_frequencies_are_refused():
    with pytest.raises(ValueError, match="of 256 bands some hold no frequency"):
        sound.mel_filters(256)


@pytest.mark.parametrize("frequency", [250, 1000, 3000])
def test_a_pure_tone_is_brightest_in_its_own_band(frequency):
    x = log_mel(tone(frequency))
    mel = 2595 * math.log10(1 + frequency / 700)
    expected = mel / (2595 * math.log10(1 + 4000 / 700)) * (BANDS + 1) - 1  # peaks are at 0, 1, … of this
    brightest = x[0, :, 4:-4].argmax(0).double()
    assert (brightest - expected).abs().max() <= 1


def test_half_the_amplitude_is_six_decibels_darker():
    x = log_mel(tone(1000) * torch.where(torch.arange(SAMPLES) < SAMPLES // 2, 1.0, 0.5))[0]
    darker = x[:, 10].max() - x[:, 36].max()
    assert darker.item() * sound.RANGE == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_a_picture_does_not_depend_on_loudness_and_fills_the_unit_interval(voices):
    x = log_mel(voices)
    assert x.shape == (10, 1, BANDS, FRAMES)
    assert x.amin() == 0
    assert torch.equal(x.amax((1, 2, 3)), torch.ones(10))
    torch.testing.assert_close(log_mel(0.01 * voices), x, atol=1e-5, rtol=0)


def test_short_sounds_are_followed_by_silence_and_long_ones_cut(voices):
    assert sound.fit(torch.tensor([1.0, 2.0]), 4).tolist() == [1, 2, 0, 0]
    assert sound.fit(torch.tensor([1.0, 2.0, 3.0]), 2).tolist() == [1, 2]
    long = torch.cat([voices[0], voices[1]])
    assert torch.equal(log_mel(long), log_mel(voices[0]))
    short = voices[0][:3000]
    assert torch.equal(log_mel(short), log_mel(torch.cat([short, torch.zeros(5000)])))
    assert log_mel(short)[0, :, 26:].max() == 0


def test_many_sounds_have_the_pictures_of_each():
    many = noise(250, 2000)
    x = log_mel(many)
    for k in (0, 99, 100, 249):
        torch.testing.assert_close(x[k], log_mel(many[k]))


def test_the_logarithm_is_undone_exactly_above_the_floor(voices):
    x = log_mel(voices)
    m = sound.mel_filters() @ sound.stft(voices).abs().square()
    relative = (m / m.amax((1, 2), keepdim=True))[:, None]
    found = sound.mel_power(x)
    seen = x > 0
    torch.testing.assert_close(found[seen], relative[seen], rtol=1e-4, atol=0)
    assert relative[~seen].max() <= 1.01e-6


@pytest.mark.parametrize(
    ("waveform", "error", "message"),
    [
        (torch.zeros(100), ValueError, "silent"),
        (torch.zeros(0), ValueError, r"shape \(samples,\)"),
        (torch.zeros(1, 2, 3), ValueError, r"got \(1, 2, 3\)"),
        (torch.tensor([0.1, float("nan")]), ValueError, "NaN"),
        (torch.ones(100, dtype=torch.int16), TypeError, r"not torch\.int16"),
        ([0.1, 0.2], TypeError, "not list"),
    ],
)
def test_what_is_no_sound_has_no_picture(waveform, error, message):
    with pytest.raises(error, match=message):
        log_mel(waveform)


# --- and back


def test_bands_are_spread_over_frequencies_as_by_scipys_nonnegative_least_squares(voices):
    power = sound.mel_power(log_mel(voices[0]))[0, :, 8:10]
    filters = sound.mel_filters()
    s = sound.linear_power(power, steps=2000)
    assert s.min() >= 0
    for column in range(2):
        _, least = scipy.optimize.nnls(filters.double().numpy(), power[:, column].double().numpy())
        found = (filters @ s[:, column] - power[:, column]).norm().item()
        assert found <= least + 5e-3 * power[:, column].norm().item()


def test_no_step_of_the_spreading_leads_away(voices):
    power = sound.mel_power(log_mel(voices[:2]))[:, 0].double()
    filters = sound.mel_filters().double()
    off = [(filters @ sound.linear_power(power, steps=n) - power).norm().item() for n in range(0, 30, 3)]
    assert off == sorted(off, reverse=True)
    assert off[-1] < 0.2 * off[0]


def inconsistency(waveform: torch.Tensor, magnitude: torch.Tensor) -> float:
    off = (sound.stft(waveform).abs() - magnitude).square().sum() / magnitude.square().sum()
    return off.sqrt().item()


def test_griffin_and_lim_come_nearer_and_with_momentum_nearest(voices):
    magnitude = sound.stft(voices[:3].double()).abs()
    plain = [
        inconsistency(sound.griffin_lim(magnitude, steps=n, momentum=0), magnitude) for n in (0, 1, 4, 32)
    ]
    assert plain == sorted(plain, reverse=True)
    fast = inconsistency(sound.griffin_lim(magnitude, steps=32), magnitude)
    assert fast < plain[-1] < 0.5 * plain[0]


def test_the_true_phases_would_stay(voices):
    spectrum = sound.stft(voices[0].double())
    assert inconsistency(sound.istft(spectrum), spectrum.abs()) < 1e-12


def test_a_picture_comes_back_as_a_sound_of_nearly_the_same_picture(voices):
    x = log_mel(voices)
    back = to_sound(x)
    assert back.shape == (10, SAMPLES)
    torch.testing.assert_close(back.abs().amax(1), torch.ones(10))
    off = (log_mel(back) - x).square().mean((1, 2, 3)).sqrt() * sound.RANGE
    others = (log_mel(back) - x.roll(1, 0)).square().mean((1, 2, 3)).sqrt() * sound.RANGE
    assert off.max() < 5  # decibels
    assert others.min() > 9


def test_the_pitch_of_a_tone_comes_back():
    back = to_sound(log_mel(tone(440)))
    spectrum = torch.fft.rfft(back * torch.hann_window(SAMPLES)).abs()
    assert spectrum.argmax().item() * RATE / SAMPLES == pytest.approx(440, rel=0.05)


def test_the_seed_decides_the_phases(voices):
    x = log_mel(voices[0])
    assert torch.equal(to_sound(x, seed=3), to_sound(x, seed=3))
    assert not torch.equal(to_sound(x, seed=3), to_sound(x, seed=4))
    torch.rand(1)
    state = torch.get_rng_state()
    to_sound(x)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, 28, 28), ValueError, r"\(1, 64, 48\) or \(n, 1, 64, 48\), not \(1, 28, 28\)"),
        (torch.full((1, BANDS, FRAMES), 1.1), ValueError, r"x\.clamp\(0, 1\)"),
        (torch.full((1, BANDS, FRAMES), float("nan")), ValueError, r"in \[0, 1\]"),
        (torch.zeros(1, BANDS, FRAMES, dtype=torch.int64), TypeError, "floating-point"),
    ],
)
def test_what_is_no_picture_has_no_sound(x, error, message):
    with pytest.raises(error, match=message):
        to_sound(x)


# --- files


def test_a_saved_waveform_is_what_scipy_reads_and_comes_back_to_half_a_level(tmp_path):
    x = torch.cat([noise(1000), torch.tensor([1.0, -1.0, 0.0])])
    save_wav(tmp_path / "x.wav", x)
    rate, theirs = scipy.io.wavfile.read(tmp_path / "x.wav")
    back = read_wav(tmp_path / "x.wav")
    assert rate == RATE
    np.testing.assert_array_equal(back, theirs.astype("float32") / 2**15)
    assert (back - x)[:-3].abs().max() <= 2**-16
    assert (back - x).abs().max() <= 2**-15
    assert (tmp_path / "x.wav").stat().st_size == 44 + 2 * len(x)
    save_wav(tmp_path / "y.wav", back)
    assert (tmp_path / "y.wav").read_bytes() == (tmp_path / "x.wav").read_bytes()


def test_what_scipy_writes_is_read(tmp_path):
    levels = np.arange(-300, 300, dtype=np.int16)
    scipy.io.wavfile.write(tmp_path / "x.wav", RATE, levels)
    np.testing.assert_array_equal(read_wav(tmp_path / "x.wav") * 2**15, levels)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.tensor([0.5, -1.5]), r"reaches 1\.5, and beyond 1 it would be clipped.*waveform / waveform"),
        (torch.tensor([0.5, float("inf")]), "infinities"),
        (torch.zeros(2, 100), r"one waveform \(samples,\), not \(2, 100\)"),
    ],
)
def test_what_would_be_clipped_is_refused_and_no_file_written(waveform, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_wav(tmp_path / "x.wav", waveform)
    assert not (tmp_path / "x.wav").exists()


def written(path, *, channels=1, width=2, rate=RATE, content=b"\x01\x02" * 100):
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(content)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 2}, "is a recording of 2 channels; expected one"),
        ({"width": 1}, "is stored with 8 bits a sample; expected 16"),
        ({"rate": 44100}, "is sampled 44,100 times a second; expected 8,000: resample it"),
        ({"content": b""}, "is empty; expected at least one sample"),
        ({"content": bytes(200)}, "is silent: all samples are 0; expected a sound"),
    ],
)
def test_a_recording_of_another_kind_is_refused_naming_it_and_what_was_expected(settings, message, tmp_path):
    written(tmp_path / "7_theo_1.wav", **settings)
    with pytest.raises(ValueError, match=rf"7_theo_1\.wav {message}.*Replace the file"):
        read_wav(tmp_path / "7_theo_1.wav")


@pytest.mark.parametrize(
    ("end", "message"),
    [(150, "cut off after 53 of 100 samples"), (20, "no WAV file"), (0, "no WAV .*it ends early")],
)
def test_a_truncated_recording_is_refused_naming_it(end, message, tmp_path):
    written(tmp_path / "x.wav")
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes()[:end])
    with pytest.raises(ValueError, match=rf"x\.wav is {message}"):
        read_wav(tmp_path / "x.wav")


def test_what_is_no_wav_file_is_refused_naming_it(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"an image, or a page of an error 404" * 10)
    with pytest.raises(ValueError, match=r"x\.wav is no WAV file that can be read"):
        read_wav(tmp_path / "x.wav")


def test_a_page_grows_by_less_than_20_kilobytes_for_each_sound_in_it():
    assert len(Audio(tone(440).numpy(), rate=RATE)._repr_html_()) < 20_000


def test_another_default_device_changes_nothing(voices):
    with torch.device("meta"):
        x = log_mel(voices[:2])
        assert x.is_cpu
        assert to_sound(x).is_cpu


def test_a_sound_whose_writing_fails_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    path, x = tmp_path / "x.wav", torch.linspace(-1, 1, 100)
    save_wav(path, x)
    before = path.read_bytes()
    monkeypatch.setattr(files, "write_durably", full)
    with pytest.raises(OSError, match="No space left"):
        save_wav(path, -x)
    assert path.read_bytes() == before
    assert [left.name for left in tmp_path.iterdir()] == ["x.wav"]


# --- notes


def roll_of(*steps):
    x = torch.zeros(len(steps), 88)
    for row, keys in zip(x, steps, strict=True):
        row[list(keys)] = 1
    return x


def midi_events(content):
    """Return (tick, bytes) of a file's only track, read by the standard's rules, and the file's division."""
    assert content[:4] == b"MThd"
    form, tracks, division = struct.unpack(">HHH", content[8:14])
    assert (form, tracks, content[14:18]) == (0, 1, b"MTrk")
    (size,) = struct.unpack(">I", content[18:22])
    track, at, now, events = content[22:], 0, 0, []
    assert len(track) == size
    while at < size:
        delta = 0
        while True:
            delta = delta << 7 | track[at] & 0x7F
            at += 1
            if not track[at - 1] & 0x80:
                break
        now += delta
        length = 3 if track[at] != 0xFF else 3 + track[at + 2]
        events.append((now, track[at : at + length]))
        at += length
    return events, division


def test_the_a_above_middle_c_sounds_at_440_hz():
    sound = play_notes(roll_of([48]), seconds=1.0)
    assert sound.shape == (RATE,)
    assert torch.fft.rfft(sound).abs().argmax().item() == 440
    assert sound.abs().max().item() == pytest.approx(1)


def test_a_key_in_consecutive_steps_is_one_note_and_silence_is_silent():
    held = play_notes(roll_of([48], [48], [], [48]), seconds=0.1)
    assert held.reshape(4, 800)[0, -80:].abs().max() > 0.1  # no gap between the first two
    assert not bool(held.reshape(4, 800)[2].any())
    assert not bool(play_notes(roll_of([], [])).any())


def test_a_midi_file_tells_the_notes():
    events, division = midi_events(midi_content(roll_of([39, 43], [39], [], [39]), seconds=0.5))
    assert events[0] == (0, b"\xff\x51\x03" + (500_000).to_bytes(3, "big"))
    assert events[-1] == (4 * division, b"\xff\x2f\x00")
    notes = [(tick / division, event[0] >> 4, event[1]) for tick, event in events[1:-1]]
    on, off = 9, 8
    assert sorted(notes) == sorted(
        [(0, on, 60), (0, on, 64), (1, off, 64), (2, off, 60), (3, on, 60), (4, off, 60)]
    )
    assert [tick for tick, _ in events] == sorted(tick for tick, _ in events)


def test_a_long_rest_takes_more_bytes_of_time():
    events, division = midi_events(midi_content(roll_of(*[[]] * 40, [5])))
    assert events[1] == (40 * division, bytes([0x90, 26, 80]))


@pytest.mark.parametrize(
    ("x", "seconds", "said"),
    [
        (torch.zeros(2, 3, 88), 0.4, "one alone"),
        (torch.zeros(0, 88), 0.4, "one alone"),
        (torch.full((2, 88), 0.5), 0.4, "other values"),
        (torch.zeros(2, 88), 0.0, "above 0"),
        (torch.zeros(2, 88), 20.0, "below 16"),
    ],
)
def test_what_cannot_be_played_is_refused(x, seconds, said):
    for made in (play_notes, midi_content):
        with pytest.raises(ValueError, match=said):
            made(x, seconds=seconds)
