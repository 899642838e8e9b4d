"""Music: which pieces are in which split, notes and files that are not as they should be, the stand-in."""

import gzip
import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from gm_lib.data import MusicData, chorales, music, notes_of, piano_roll, sources
from gm_lib.data.music import (
    CHORDS,
    LONGEST,
    SHORTEST,
    TRANSITIONS,
    VOICINGS,
    find_music,
    pad,
    synthesized_entropy,
    synthesized_pieces,
)
from gm_lib.data.published import SETS

FILE = SETS["jsb"].files[0].name


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither GM_DATA nor the cache has the file, and nothing may be downloaded."""
    monkeypatch.setenv("GM_DATA", str(tmp_path))
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("GM_OFFLINE", "1")
    return tmp_path


def test_a_piano_roll_gives_its_notes_back():
    piece = [(21, 60, 108), (), (60,)]
    x = piano_roll(piece)
    assert x.shape == (3, 88)
    assert x.sum() == 4
    assert x[0, 60 - 21] == 1
    assert notes_of(x) == piece


@pytest.mark.parametrize("note", [20, 109, -1, 60.5, True, "C"])
def test_a_note_that_no_piano_has_is_refused_by_piece_and_step(note):
    with pytest.raises(ValueError, match="step 1 of piece 7") as error:
        piano_roll([(60,), (64, note)], name="piece 7")
    assert repr(note) in str(error.value)
    assert "21 to 108" in str(error.value)


def test_an_empty_piece_is_refused():
    with pytest.raises(ValueError, match="piece 7 is empty"):
        piano_roll([], name="piece 7")
    with pytest.raises(ValueError, match="no pieces"):
        pad([])


def test_notes_are_read_from_single_piano_rolls():
    with pytest.raises(ValueError, match="88"):
        notes_of(torch.zeros(2, 3, 88))


def test_behind_a_shorter_piece_stand_zeros_that_are_no_part_of_it():
    pieces = pad([piano_roll([(60,), ()]), piano_roll([(61,), (62,), (63,)])])
    assert pieces.x.shape == (2, 3, 88)
    assert pieces.lengths.tolist() == [2, 3]
    assert pieces.steps == 5
    assert notes_of(pieces.piece(0)) == [(60,), ()]


def test_all_synthesized_chords_differ_and_the_chain_is_one_that_reaches_every_chord():
    assert len({voicing for chord in VOICINGS for voicing in chord}) == 3 * len(CHORDS)
    chain = torch.tensor(TRANSITIONS)
    torch.testing.assert_close(chain.sum(1), torch.ones(len(CHORDS)))
    assert bool((chain.matrix_power(5) > 0).all())


def test_synthesized_pieces_follow_the_chain():
    """The share of each next chord, and of each voicing, within 5 standard errors."""
    pieces = synthesized_pieces(300, seed=3)
    assert int(pieces.lengths.min()) >= SHORTEST
    assert int(pieces.lengths.max()) <= LONGEST
    of = {voicing: (c, v) for c, chord in enumerate(VOICINGS) for v, voicing in enumerate(chord)}
    counts, voicings = torch.zeros(6, 6), torch.zeros(3)
    for i in range(len(pieces)):
        found = [of[notes] for notes in notes_of(pieces.piece(i))]
        assert found[0][0] == 0
        for (now, voicing), (after, _) in pairwise(found):
            counts[now, after] += 1
            voicings[voicing] += 1
    n, p = counts.sum(1, keepdim=True), torch.tensor(TRANSITIONS)
    assert bool(((counts / n - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all())
    third, total = torch.tensor(1 / 3), voicings.sum()
    assert bool(((voicings / total - third).abs() < 5 * (third * (1 - third) / total).sqrt()).all())


def test_the_entropy_is_what_the_chain_itself_scores_on_its_pieces():
    pieces = synthesized_pieces(400, seed=4)
    of = {voicing: c for c, chord in enumerate(VOICINGS) for voicing in chord}
    spent = []
    for i in range(len(pieces)):
        chords = [of[notes] for notes in notes_of(pieces.piece(i))]
        nats = len(chords) * math.log(3)
        nats -= sum(math.log(TRANSITIONS[a][b]) for a, b in pairwise(chords))
        spent.append(nats)
    off = torch.tensor(spent) - synthesized_entropy(pieces.lengths) * pieces.lengths
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off))
    assert synthesized_entropy(torch.tensor([1, 1])) == pytest.approx(math.log(3))


def test_the_entropy_of_independent_keys_is_what_they_score_on_its_pieces():
    pieces = synthesized_pieces(400, seed=4)
    of = {voicing: c for c, chord in enumerate(VOICINGS) for voicing in chord}
    share = torch.tensor(
        [[sum(key + 21 in notes for notes in chord) / 3 for key in range(88)] for chord in VOICINGS]
    )
    spent = []
    for i in range(len(pieces)):
        x = pieces.piece(i)
        chords = [of[notes] for notes in notes_of(x)]
        p = torch.stack([share[0], *(torch.tensor(TRANSITIONS[c]) @ share for c in chords[:-1])])
        spent.append(-(torch.xlogy(x, p) + torch.xlogy(1 - x, 1 - p)).sum())
    off = torch.stack(spent) - synthesized_entropy(pieces.lengths, independent=True) * pieces.lengths
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off))


def test_pieces_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first, again = synthesized_pieces(3, seed=5), synthesized_pieces(3, seed=5)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(synthesized_pieces(3, seed=6).x[:, :32], first.x[:, :32])


def test_without_the_file_synthesized_pieces_take_its_place_and_a_line_says_so(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
):
    data = chorales()
    assert data.name == "synthesized"
    assert "In their place synthesized pieces" in capsys.readouterr().out
    with pytest.raises(sources.DownloadError, match=r"set GM_DATA to a folder that holds \$GM_DATA/jsb"):
        chorales(fallback=False)
    assert find_music() is None


def test_splits_of_synthesized_pieces_differ():
    data = chorales("synthesized")
    parts = data.train, data.valid, data.test
    assert [len(part) for part in parts] == [200, 60, 60]
    assert len({part.x[0, :32].numpy().tobytes() for part in parts}) == 3


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="jsb"):
        chorales("jbs")


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_of_other_contents_is_an_error_that_names_it(nowhere: Path, packed: bool):
    content = json.dumps({"train": [[[60]]], "valid": [[[60]]], "test": [[[60]]]}).encode()
    (nowhere / "jsb").mkdir()
    path = nowhere / "jsb" / (f"{FILE}.gz" if packed else FILE)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(OSError, match="is broken") as error:
        chorales()
    assert path.name in str(error.value)


def test_a_wrong_note_in_a_file_is_told_with_its_place():
    with pytest.raises(ValueError, match=r"step 0 of piece 1 of valid in a\.json"):
        music._read({"train": [[[60]]], "valid": [[[60]], [[200]]], "test": [[[60]]]}, "a.json")


def test_what_is_downloaded_is_the_plain_file(nowhere: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GM_OFFLINE")
    asked = []

    def retrieve(url: str, path: Path, checksum: str | None) -> None:
        asked.append((url, checksum))
        raise ValueError("another content")

    monkeypatch.setattr(sources, "_retrieve", retrieve)
    with pytest.raises(OSError, match="could not be downloaded"):
        chorales()
    ((url, checksum),) = asked
    assert url.endswith(f"/{FILE}")
    assert checksum == SETS["jsb"].files[0].checksum


def test_the_chorales_have_the_published_splits_and_notes(music: MusicData):
    parts = music.train, music.valid, music.test
    assert [len(part) for part in parts] == [229, 76, 77]
    assert [part.steps for part in parts] == [13_807, 4_602, 4_725]
    sounding = [notes for part in parts for i in range(len(part)) for notes in notes_of(part.piece(i))]
    assert (min(n[0] for n in sounding if n), max(n[-1] for n in sounding if n)) == (43, 96)
    assert all(len(notes) <= 4 for notes in sounding)


def test_most_chorales_end_on_a_c_in_the_bass(music: MusicData):
    last = [notes_of(music.train.piece(i))[-1] for i in range(len(music.train))]
    assert sum(notes[0] % 12 == 0 for notes in last if notes) == 214
