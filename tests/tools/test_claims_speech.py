"""The claim about spoken digits measures what it promises, with a new speaker who is really new."""

import dataclasses

import pytest
import torch

import claims_speech
import make_pretrained
from claims import CLAIMS
from gm_lib.data import Recordings, SpeechData
from gm_lib.data.published import FSDD_SPEAKERS
from gm_lib.data.speech import _split, synthesized_digits
from gm_lib.sound import RATE, SAMPLES, log_mel


@pytest.fixture
def short(monkeypatch):
    """Two steps on synthesized sounds under the names of the real speakers."""
    waveform = synthesized_digits(each=12)
    monkeypatch.setattr(make_pretrained, "SPEECH_STAGES", ((1e-3, 1), (1e-4, 1)))

    def spoken(*, held_out=None, fallback):
        assert not fallback
        return _split("fsdd", "a generator", FSDD_SPEAKERS, waveform, 12, held_out)

    def few(split):
        return Recordings(split.x[::8], split.y[::8], split.speaker[::8], split.waveform[::8])

    def fewer(**options):
        data = spoken(**options)
        return dataclasses.replace(data, test=few(data.test))

    monkeypatch.setattr(claims_speech, "spoken_digits", fewer)
    monkeypatch.setattr(make_pretrained, "spoken_digits", spoken)


@pytest.mark.usefixtures("short")
def test_the_claim_gives_what_was_promised_and_of_new_speakers_what_a_stranger_to_them_reads(monkeypatch):
    asked = []
    share = claims_speech.share_of_new_speaker

    def strangers(known: Recordings, new: Recordings, seed: int) -> float:
        asked.append((set(known.speaker.tolist()), set(new.speaker.tolist()), seed))
        return share(known, new, seed)

    monkeypatch.setattr(claims_speech, "share_of_new_speaker", strangers)
    claim = CLAIMS["speech_classifier"]
    measured = claim.measure(3)
    assert set(measured) == set(claim.quantities)
    assert all(0 <= value <= 1 for value in measured.values())
    everyone = set(range(6))
    assert asked == [
        (everyone - {FSDD_SPEAKERS.index(name)}, {FSDD_SPEAKERS.index(name)}, 3)
        for name in claims_speech.NEW_SPEAKERS
    ]


def test_a_sound_that_is_made_from_a_picture_is_judged_by_its_own_picture(monkeypatch):
    seen = []
    monkeypatch.setattr(claims_speech, "trained_on_speech", lambda recordings, seed: None)
    monkeypatch.setattr(claims_speech, "share_read", lambda model, x, y: seen.append(x) or 0.0)
    monkeypatch.setattr(claims_speech, "share_confident", lambda model, x: 0.0)
    monkeypatch.setattr(claims_speech, "share_of_new_speaker", lambda *_: 0.0)
    waveform = synthesized_digits(each=1)
    part = Recordings(log_mel(waveform), torch.arange(60), torch.arange(60), waveform)
    data = SpeechData("fsdd", "", FSDD_SPEAKERS, part, part, part)
    monkeypatch.setattr(claims_speech, "spoken_digits", lambda **_: data)
    CLAIMS["speech_classifier"].measure(0)
    real, rebuilt = seen[:2]
    assert torch.equal(real, part.x)
    assert rebuilt.shape == real.shape
    assert 0 < (rebuilt - real).abs().mean() < 0.05
    assert waveform.shape[1] == SAMPLES


def test_jitter_moves_and_stretches_a_little():
    x = torch.zeros(200, 1, 64, 48)
    x[:, :, 28:36, 20:28] = 1
    moved = make_pretrained.speech_jitter(x, torch.Generator().manual_seed(0))
    assert moved.shape == x.shape
    mass = moved.sum((1, 2, 3))
    rows = (moved.sum((1, 3)) * torch.arange(64.0)).sum(1) / mass
    columns = (moved.sum((1, 2)) * torch.arange(48.0)).sum(1) / mass
    assert 2 < (rows - 31.5).abs().max() < 3.6
    assert 7 < (columns - 23.5).abs().max() < 9.5
    assert 0.75 < (mass / 64).min() < 0.9
    assert 1.1 < (mass / 64).max() < 1.35


@pytest.mark.usefixtures("short")
def test_the_same_seed_makes_the_same_bytes_in_half_precision(tmp_path):
    threads = torch.get_num_threads()
    made = []
    for run, seed in enumerate((0, 0, 1)):
        try:
            arguments = ["speech_classifier", "--seed", str(seed), "--out", str(tmp_path / str(run))]
            assert make_pretrained.main(arguments) == 0
        finally:
            torch.set_num_threads(threads)
        made.append((tmp_path / str(run) / "speech_classifier.safetensors").read_bytes())
    assert made[0] == made[1] != made[2]
    assert len(made[0]) < 100_000


@pytest.mark.usefixtures("short")
def test_the_claim_about_models_gives_what_was_promised_and_holds_a_speaker_out(monkeypatch):
    for name in ("VAE_STEPS", "GAN_STEPS", "WAVE_STEPS"):
        monkeypatch.setattr(claims_speech, name, 1)
    small = claims_speech.SPEECH_WAVE_CONFIG | {"width": 2}
    monkeypatch.setattr(claims_speech, "SPEECH_WAVE_CONFIG", small)
    monkeypatch.setattr(claims_speech, "SPEECH_SAMPLES", 60)
    heard = []
    train = claims_speech.trained_speech_vae

    def listening(recordings, seed, steps, **config):
        heard.append((len(recordings.speaker.unique()), seed, config))
        return train(recordings, seed, steps, **config)

    monkeypatch.setattr(claims_speech, "trained_speech_vae", listening)
    claim = CLAIMS["speech_models"]
    measured = claim.measure(3)
    assert set(measured) == set(claim.quantities)
    assert heard == [
        (6, 3, {}),
        (6, 3, {"sigma": None}),
        (6, 3, {"sigma": None, "latent_dim": 4}),
        (5, 3, {}),
    ]


def test_a_swap_asks_for_every_other_digit_and_never_for_the_same():
    y = torch.arange(90) // 9
    pairs = torch.stack([y, claims_speech.another_digit(y)], 1).unique(dim=0)
    assert len(pairs) == 90
    assert (pairs[:, 0] != pairs[:, 1]).all()


def test_a_pattern_that_repeats_every_64_samples_has_strong_lines_and_noise_has_none():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(20, 1, SAMPLES, generator=generator)
    assert claims_speech.lines_of_the_strides(noise) == pytest.approx(1, abs=0.2)
    pattern = torch.randn(64, generator=generator).repeat(SAMPLES // 64)
    assert claims_speech.lines_of_the_strides(noise + pattern) > 3
    between = torch.cos(2 * torch.pi * (125 * 8 + 62.5) * torch.arange(SAMPLES) / RATE)
    assert claims_speech.lines_of_the_strides(noise + 5 * between) < 1


def test_the_voice_of_synthesized_speakers_is_found_whatever_they_say():
    data = _split("fsdd", "", FSDD_SPEAKERS, synthesized_digits(each=12), 12, None)
    probe = claims_speech.voice_probe(data.train)
    assert claims_speech.voice_found(probe, data.test.x, data.test.speaker) > 0.8
    wrong = (data.test.speaker + 1) % 6
    assert claims_speech.voice_found(probe, data.test.x, wrong) < 0.2


def test_a_waveform_is_judged_as_it_is_and_a_picture_once_it_has_become_a_sound():
    waveform = synthesized_digits(each=1)[:4]
    assert torch.equal(make_pretrained.heard_of(waveform[:, None]), log_mel(waveform))
    x = log_mel(waveform)
    assert 0 < (make_pretrained.heard_of(x) - x).abs().mean() < 0.05
