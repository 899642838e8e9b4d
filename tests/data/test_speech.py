"""Spoken digits: who is in which split, files that are not as they should be, the synthesized stand-in."""

import hashlib
import io
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from gm_lib.data import SpeechData, sources, speech, spoken_digits
from gm_lib.data.published import FSDD_SPEAKERS, SETS, DataFile, DataSet
from gm_lib.data.speech import find_speech, synthesized_digits
from gm_lib.sound import RATE, SAMPLES, log_mel, stft

EACH = 12  # recordings in the small set that stands for the published one


def wav(content: bytes, *, channels: int = 1, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(content)
    return file.getvalue()


def number(name: str) -> int:
    """Return a number that no other recording has; it is the first sample of the recording."""
    digit, speaker, index = name.removesuffix(".wav").split("_")
    return 1 + int(index) + EACH * (FSDD_SPEAKERS.index(speaker) + 6 * int(digit))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DataSet]:
    """A folder with recordings of a few samples, named as the published ones are, and what is known of it."""
    root = tmp_path_factory.mktemp("small")
    folder = root / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    files = tuple(
        DataFile(f"{digit}_{speaker}_{index}.wav")
        for digit in range(10)
        for speaker in FSDD_SPEAKERS
        for index in range(EACH)
    )
    digest = hashlib.sha256()
    for file in files:
        content = wav(np.array([number(file.name), 9000, -9000], "<i2").tobytes())
        (folder / file.name).write_bytes(content)
        digest.update(content)
    known = DataSet("small digits", "fsdd/recordings", files, (), checksum=f"sha256:{digest.hexdigest()}")
    return root, known


@pytest.fixture
def given(small: tuple[Path, DataSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder in GM_DATA, which a test may damage."""
    root, known = small
    shutil.copytree(root, tmp_path / "data")
    monkeypatch.setenv("GM_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(SETS, "fsdd", known)
    monkeypatch.setattr(speech, "FSDD_RECORDINGS", EACH)
    return tmp_path / "data" / "fsdd" / "recordings"


@pytest.fixture(scope="module")
def stand_in() -> SpeechData:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GM_OFFLINE", "1")
        patch.setattr(sources, "cache_folder", lambda: Path("nowhere"))
        patch.delenv("GM_DATA", raising=False)
        return spoken_digits()


def names(part: speech.Recordings, data: SpeechData) -> set[str]:
    """Return the names of the recordings in a split, each checked by its first sample."""
    firsts = (part.waveform[:, 0] * 2**15).round().long().tolist()
    found = set()
    for first, digit, speaker in zip(firsts, part.y.tolist(), part.speaker.tolist(), strict=True):
        name = f"{digit}_{data.speakers[speaker]}_{(first - 1) % EACH}.wav"
        assert number(name) == first
        found.add(name)
    assert len(found) == len(part)
    return found


def index(name: str) -> int:
    return int(name.removesuffix(".wav").split("_")[2])


@pytest.mark.usefixtures("given")
def test_recordings_0_to_4_are_for_testing_5_to_9_for_validation_and_the_others_for_training(capsys) -> None:
    data = spoken_digits()
    assert data.name == "fsdd"
    parts = {name: names(getattr(data, name), data) for name in ("train", "valid", "test")}
    assert {index(name) for name in parts["test"]} == {0, 1, 2, 3, 4}
    assert {index(name) for name in parts["valid"]} == {5, 6, 7, 8, 9}
    assert {index(name) for name in parts["train"]} == {10, 11}
    assert [len(parts[name]) for name in parts] == [120, 300, 300]
    line = "gm_lib.data: fsdd, from $GM_DATA/fsdd/recordings: 120 train, 300 valid, 300 test recordings.\n"
    assert capsys.readouterr().out == line


@pytest.mark.usefixtures("given")
def test_a_speaker_held_out_is_in_the_test_split_alone_with_all_recordings(capsys) -> None:
    data = spoken_digits(held_out=4)
    theo = {file.name for file in SETS["fsdd"].files if "theo" in file.name}
    assert names(data.test, data) == theo
    assert not theo & (names(data.train, data) | names(data.valid, data))
    assert {index(name) for name in names(data.valid, data)} == {5, 6, 7, 8, 9}
    assert {index(name) for name in names(data.train, data)} == {10, 11}
    assert "theo in the test split alone" in capsys.readouterr().out


@pytest.mark.usefixtures("given")
def test_pictures_are_those_of_the_waveforms() -> None:
    part = spoken_digits().valid
    assert part.x.shape == (300, 1, 64, 48)
    assert part.waveform.shape == (300, SAMPLES)
    assert (part.x.dtype, part.y.dtype, part.speaker.dtype) == (torch.float32, torch.int64, torch.int64)
    torch.testing.assert_close(part.x, log_mel(part.waveform))


@pytest.mark.parametrize("speaker", [6, -1, 1.5])
def test_a_speaker_that_is_none_is_refused(speaker) -> None:
    with pytest.raises(ValueError, match="held_out"):
        spoken_digits(held_out=speaker)


SOUND = b"\1\2" * 300


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (wav(SOUND)[:300], "cut off after 128 of 300 samples; expected all of them"),
        (b"<html>", "no WAV file that can be read"),
        (wav(SOUND, rate=16_000), "sampled 16,000 times a second; expected 8,000"),
        (wav(SOUND, channels=2), "a recording of 2 channels; expected one"),
        (wav(b""), "empty"),
        (wav(bytes(600)), "silent"),
    ],
)
def test_a_damaged_recording_is_an_error_that_names_it_and_says_what_to_do(
    content: bytes, message: str, given: Path
) -> None:
    (given / "3_theo_7.wav").write_bytes(content)
    with pytest.raises(ValueError, match=rf"recordings/3_theo_7\.wav is {message}.*Replace the file"):
        spoken_digits()


def test_a_recording_that_is_whole_and_another_is_noticed(given: Path) -> None:
    (given / "3_theo_7.wav").write_bytes(wav(SOUND))
    with pytest.raises(OSError, match=r"720 files in .* are not those of small digits as published"):
        spoken_digits()


def test_a_name_that_does_not_parse_is_named_beside_what_was_expected(given: Path) -> None:
    (given / "3_theo_7.wav").rename(given / "three_theo_7.wav")
    with pytest.raises(FileNotFoundError, match=r"lacks 3_theo_7\.wav .* It holds three_theo_7\.wav, which"):
        spoken_digits()


def test_of_many_missing_recordings_the_first_and_the_last_are_named(given: Path) -> None:
    for path in given.glob("8_*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 8_george_0\.wav … 8_yweweler_11\.wav, 72 files"):
        spoken_digits()


# --- the stand-in


def test_without_files_and_network_synthesized_digits_take_their_place_and_the_line_says_so(
    capsys, monkeypatch
) -> None:
    monkeypatch.setattr(speech, "SYNTHESIZED", 11)
    assert find_speech() is None
    data = spoken_digits()
    assert data.name == "synthesized"
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "the Free Spoken Digit Dataset is not on this machine and v1.0.10.zip could not be" in printed
    assert "In its place synthesized sounds with no speech in them" in printed
    assert "60 train, 300 valid, 300 test recordings" in printed


def test_the_stand_in_can_be_asked_for_by_name(capsys, monkeypatch) -> None:
    monkeypatch.setattr(speech, "SYNTHESIZED", 11)
    monkeypatch.setattr(speech, "load_files", lambda *_, **__: pytest.fail("files were looked for"))
    assert spoken_digits("synthesized").source == "gm_lib.data.speech"
    assert capsys.readouterr().out.startswith("gm_lib.data: synthesized, from gm_lib.data.speech: 60 train")


def test_an_unknown_set_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'fsd'.*fsdd"):
        spoken_digits("fsd")


def test_where_nothing_may_take_their_place_it_is_an_error_that_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setenv("GM_OFFLINE", "1")
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: pytest.fail("a download was tried"))
    with pytest.raises(
        OSError, match=r"GM_OFFLINE is set.*\$GM_DATA/fsdd/recordings the 3,000 files such as 0_geo"
    ):
        spoken_digits(fallback=False)


def test_the_stand_in_has_all_voices_and_digits_in_each_split_evenly(stand_in: SpeechData) -> None:
    for part, each in ((stand_in.train, 10), (stand_in.valid, 5), (stand_in.test, 5)):
        counts = torch.zeros(10, 6).index_put_((part.y, part.speaker), torch.ones(len(part)), accumulate=True)
        assert torch.equal(counts, torch.full((10, 6), float(each)))


def test_a_voice_has_its_pitch_and_nothing_between_the_harmonics(stand_in: SpeechData) -> None:
    for voice, pitch in enumerate(speech.PITCHES):
        some = stand_in.test.waveform[(stand_in.test.speaker == voice) & (stand_in.test.y == 4)]
        power = torch.fft.rfft(some * torch.hann_window(SAMPLES)).abs().square()
        f = torch.arange(power.shape[1]) * RATE / SAMPLES
        for spectrum in power:
            fundamental = pitch * (0.96 + 0.08 * torch.linspace(0, 1, 200))
            near = torch.stack([((f / p - (f / p).round()).abs() * p < 8) & (f > p / 2) for p in fundamental])
            share = (near * spectrum).sum(1) / spectrum.sum()
            assert share.max() > 0.97


def test_most_of_the_power_of_a_digit_is_near_its_two_resonances(stand_in: SpeechData) -> None:
    part = stand_in.train
    f = torch.arange(257) * RATE / 512
    for digit, melody in enumerate(torch.tensor(speech.MELODIES, dtype=torch.float32)):
        power = stft(part.waveform[part.y == digit]).abs().square().mean(0)
        near = ((f > melody.min() - 300) & (f < melody[0].max() + 300)) | (
            (f > melody[1].min() - 300) & (f < melody[1].max() + 300)
        )
        assert power[near].sum() > 0.95 * power.sum()


def test_the_digits_can_be_told_apart_by_their_nearest_training_picture(stand_in: SpeechData) -> None:
    train, valid = stand_in.train, stand_in.valid
    nearest = torch.cdist(valid.x.flatten(1), train.x.flatten(1)).argmin(1)
    assert (train.y[nearest] == valid.y).double().mean() > 0.9


def test_the_seed_decides_the_synthesized_digits() -> None:
    first = synthesized_digits(each=1)
    assert first.shape == (60, SAMPLES)
    assert torch.equal(first, synthesized_digits(each=1))
    assert not torch.equal(first, synthesized_digits(each=1, seed=1))
    assert first.abs().max() <= 1


# --- the real ones


def test_the_published_recordings_are_split_as_stated(speech: SpeechData) -> None:
    assert speech.name == "fsdd"
    assert [len(part) for part in (speech.train, speech.valid, speech.test)] == [2400, 300, 300]
    for part in (speech.train, speech.valid, speech.test):
        counts = torch.bincount(part.y * 6 + part.speaker)
        assert torch.equal(counts, torch.full((60,), len(part) // 60))
        assert (part.x.amax((1, 2, 3)) == 1).all()
