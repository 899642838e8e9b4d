"""Text by characters: codes, splits, files that are not as they should be, the synthesized stand-in."""

import dataclasses
import itertools
import math

import pytest
import torch

from gm_lib.data import Alphabet, names, shakespeare, sources
from gm_lib.data.prose import MarkovChain, counted, find_prose, shifted, windows
from gm_lib.data.published import SETS


def test_what_was_encoded_is_decoded():
    alphabet = Alphabet("abc ")
    texts = ["abc", "", "a b c"]
    x = alphabet.encode(texts, 7)
    assert x.shape == (3, 7)
    assert x[0].tolist() == [1, 2, 3, 0, 0, 0, 0]
    assert alphabet.decode(x) == texts


def test_what_follows_the_first_end_is_padding():
    x = torch.tensor([[1, 0, 2, 0], [0, 1, 1, 1], [1, 2, 1, 2]])
    assert Alphabet("ab").decode(x) == ["a", "", "abab"]
    assert counted(x).tolist() == [[True, True, False, False], [True, False, False, False], [True] * 4]
    assert shifted(x).tolist() == [[0, 1, 0, 2], [0, 0, 1, 1], [0, 1, 2, 1]]


def test_a_character_never_seen_is_named_with_its_place():
    with pytest.raises(ValueError, match=r"character 'é' \(place 4 of 'chloé'\) is not in the alphabet"):
        Alphabet("cehlo").encode(["chloé"])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: Alphabet("aba"), ValueError, "each of them once"),
        (lambda: Alphabet(""), ValueError, "needs characters"),
        (lambda: Alphabet("ab").encode("ab"), TypeError, "takes several texts"),
        (lambda: Alphabet("ab").encode([]), ValueError, "no texts"),
        (lambda: Alphabet("ab").encode(["ab"], 2), ValueError, "'ab' has 2 characters and an end"),
        (lambda: Alphabet("ab").decode(torch.tensor([1, 2])), ValueError, r"x\[None\] makes one row"),
        (lambda: Alphabet("ab").decode(torch.tensor([[3]])), ValueError, "numbers 0 to 2"),
        (lambda: windows(torch.arange(3), 4), ValueError, "at least 4 characters"),
        (lambda: names("nams"), ValueError, "names"),
        (lambda: shakespeare("names"), ValueError, "shakespeare"),
        (lambda: MarkovChain(torch.ones(2, 2, 2)), ValueError, "sum to 1"),
    ],
)
def test_wrong_input_is_told_what_was_expected(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong()


def test_windows_follow_each_other():
    assert windows(torch.arange(7), 3).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert windows(torch.arange(5), 3, step=2).tolist() == [[0, 1, 2], [2, 3, 4]]


def test_without_files_and_network_synthesized_text_takes_their_place_and_says_so(capsys):
    for load, unit in ((names, "names"), (shakespeare, "characters")):
        data = load()
        said = capsys.readouterr().out
        assert data.name == "synthesized"
        assert "is not on this machine" in said
        assert "In its place synthesized text without sense" in said
        assert f"{len(data.test):,} test {unit}." in said
        assert data.entropy > 1
        assert data.long == (unit == "characters")
    with pytest.raises(OSError, match=r"set GM_DATA to a folder that holds it, as .*text/names\.txt"):
        names(fallback=False)


def test_the_synthesized_texts_are_always_the_same():
    first, second = names("synthesized"), names("synthesized")
    assert torch.equal(first.train, second.train)
    assert len(first.test) == len(first.valid) == 2_000


def test_the_entropy_of_short_texts_is_that_of_all_texts_enumerated():
    chain = MarkovChain.drawn(3, ends=True, seed=4)
    length, nats, symbols, total = 5, 0.0, 0.0, 0.0
    for n in range(1, length):
        for letters in itertools.product((1, 2), repeat=n):
            # At the last place nothing but the end can stand.
            text = (*letters, 0) if n < length - 1 else letters
            p, a, b = 1.0, 0, 0
            for c in text:
                p, a, b = p * chain.p[a, b, c].item(), b, c
            nats -= p * math.log(p)
            symbols += p * (n + 1)
            total += p
    assert total == pytest.approx(1)
    assert chain.entropy_of_texts(length) == pytest.approx(nats / symbols)


def test_the_log_probability_of_a_drawn_text_is_minus_its_entropy_on_average():
    chain = MarkovChain.drawn(6, ends=False, seed=0)
    x = chain.text(40_000, torch.Generator().manual_seed(0))
    log_p = chain.p[x[:-2], x[1:-1], x[2:]].log()
    error = log_p.std() / len(log_p) ** 0.5
    assert abs(-log_p.mean() - chain.entropy_rate()) < 5 * error


def test_names_repeat_in_the_list_and_never_across_splits(prose):
    data, _ = prose
    parts = [set(data.alphabet.decode(part)) for part in (data.train, data.valid, data.test)]
    assert [len(part) for part in parts] == [25_494, 2_000, 2_000]
    assert len(set.union(*parts)) == 29_494
    assert len(data.listed) == 32_033
    assert data.alphabet.characters == "abcdefghijklmnopqrstuvwxyz"


def test_the_plays_are_split_where_others_split_them(prose):
    _, data = prose
    assert data.alphabet.symbols == 66
    assert len(data.train) + len(data.valid) + len(data.test) == 1_115_394
    assert len(data.test) == 111_540
    assert data.alphabet.decode(data.train[None, :14]) == ["First Citizen:"]


def test_a_file_of_other_contents_is_named(tmp_path, monkeypatch):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "names.txt").write_text("emma\n")
    monkeypatch.setenv("GM_DATA", str(tmp_path))
    with pytest.raises(OSError, match=r"names\.txt is broken: it holds 5 bytes, expected 228,145"):
        names()


def test_a_plain_file_is_downloaded_by_the_mirror_s_name(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setitem(
        SETS, "shakespeare", dataclasses.replace(SETS["shakespeare"], mirrors=("https://x/",))
    )
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(sources, "_retrieve", lambda *given: asked.append(given))
    sources._download(SETS["shakespeare"], tmp_path / "text")
    (url, path, checksum) = asked[0]
    assert url == "https://x/input.txt"
    assert path == tmp_path / "text" / "tinyshakespeare.txt"
    assert checksum.startswith("sha256:86c4")
    assert find_prose("shakespeare") is None
