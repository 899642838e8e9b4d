"""Text by characters in fixed splits: first names, Shakespeare, and synthesized text of known entropy.

A text is a row of whole numbers: characters count from 1 in the order of the alphabet, 0 is the *end*. What
follows the first end is padding and means nothing. A row without an end is a piece cut from a longer text.
Before the first character stands an end too: it is what a model sees when it has to begin.
"""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gm_lib.data.published import SETS
from gm_lib.data.sources import DownloadError, find_folder, load_files
from gm_lib.system.choose import choose, whole_number

END = 0
LONGEST_NAME = 15
SPLIT_SEED = 0  # of the permutation that splits the names
HELD_OUT = 2_000  # names for validation, and as many for testing
# Of a long text the last tenth is for testing. Not what comes before it is for validation: the cut goes
# through a play of Shakespeare's, and who has not read its first half does not know its speakers' names.
VALID, TEST = (0.8, 0.85), 0.9
NAMES, PROSE = ("names", "synthesized"), ("shakespeare", "synthesized")
LETTERS = "abdeiklmnorstu"  # of the synthesized texts
SYNTHESIZED_NAMES, SYNTHESIZED_PROSE = 24_000, 200_000


class Alphabet:
    """The characters that texts are made of, each with its number: 1 for the first; 0 is the end.

    Raises ``ValueError`` for no characters, or one that is there twice.
    """

    def __init__(self, characters: str):
        if not characters or len(set(characters)) < len(characters):
            raise ValueError(
                f"an alphabet needs characters, each of them once, not {characters!r}: "
                "''.join(sorted(set(text))) makes one."
            )
        self.characters = characters
        self._codes = {character: code for code, character in enumerate(characters, start=1)}

    @property
    def symbols(self) -> int:
        """How many numbers there are: the characters and the end."""
        return len(self.characters) + 1

    def __repr__(self) -> str:
        return f"Alphabet({self.characters!r})"

    def encode(self, texts: Sequence[str], length: int | None = None) -> Tensor:
        """Return texts as rows of numbers, int64 (n, length), each ended and padded by 0.

        ``length`` must have room for the longest and its end; it is just that if not given. Raises
        ``TypeError`` for a single text in place of several, ``ValueError`` for no texts, one that is too
        long, and a character that is not in the alphabet.
        """
        if isinstance(texts, str):
            raise TypeError(f"encode takes several texts, [{texts[:20]!r}] for one; encode_text takes one.")
        if not texts:
            raise ValueError("there are no texts to encode.")
        needed = max(map(len, texts)) + 1
        length = needed if length is None else length
        if needed > length:
            longest = max(texts, key=len)
            raise ValueError(
                f"{longest!r} has {needed - 1} characters and an end, and rows have room for {length}: "
                "leave it out, or give a larger length."
            )
        x = torch.full((len(texts), length), END)
        for row, text in zip(x, texts, strict=True):
            row[: len(text)] = self.encode_text(text)
        return x

    def encode_text(self, text: str) -> Tensor:
        """Return the numbers of one text without an end, int64 (len(text),).

        Raises ``ValueError`` for a character that is not in the alphabet.
        """
        try:
            return torch.tensor([self._codes[character] for character in text], dtype=torch.int64)
        except KeyError as error:
            missing = str(error.args[0])
            raise ValueError(
                f"the character {missing!r} (place {text.index(missing)} of {text[:40]!r}) is not in the "
                f"alphabet, which has {self.characters!r}: leave it out or replace it, or make an alphabet "
                "that has it."
            ) from error

    def decode(self, x: Tensor) -> list[str]:
        """Return the texts of rows (n, length), each up to its first end.

        Raises ``ValueError`` for another shape, and for numbers that are none of the alphabet's.
        """
        if x.ndim != 2:
            raise ValueError(f"decode takes rows (n, length), not {tuple(x.shape)}; x[None] makes one row.")
        if x.numel() and not (int(x.min()) >= 0 and int(x.max()) < self.symbols):
            raise ValueError(
                f"the alphabet has the numbers 0 to {self.symbols - 1}, and the rows hold "
                f"{int(x.min())} to {int(x.max())}."
            )
        symbols = "\0" + self.characters
        return ["".join(symbols[int(c)] for c in row).partition("\0")[0] for row in x.tolist()]


def counted(x: Tensor) -> Tensor:
    """Return which symbols of rows (..., length) belong to the text, its end included: bool, as ``x``."""
    return ((x == END).cumsum(-1) - (x == END).long()) == 0


def shifted(x: Tensor) -> Tensor:
    """Return what stands before each symbol of rows (n, length): one place later, an end first."""
    return torch.cat([torch.full_like(x[:, :1], END), x[:, :-1]], dim=1)


def windows(text: Tensor, length: int, step: int | None = None) -> Tensor:
    """Cut a text (n,) into pieces (pieces, length), ``step`` apart, one after the other if not given.

    What is left at the end is dropped. Raises ``ValueError`` for a text shorter than one piece.
    """
    length = whole_number("length", length, 1)
    if text.ndim != 1 or len(text) < length:
        raise ValueError(f"a text (n,) of at least {length} characters is needed, not {tuple(text.shape)}.")
    return text.unfold(0, length, whole_number("step", length if step is None else step, 1)).contiguous()


@dataclass(frozen=True, eq=False)
class ProseData:
    """Text in three splits, int64 on the CPU. ``name``: the set really loaded, ``source``: where from.

    Names are rows (n, 16), ended and padded by 0; of Shakespeare each split is one text (n,) without an end.
    ``listed``: names as the file has them, with repetitions; None for the rest. ``entropy``: nats per
    character (ends included) of the distribution that synthesized text was drawn from, None where nobody
    knows it.
    """

    name: str
    source: str
    alphabet: Alphabet
    train: Tensor
    valid: Tensor
    test: Tensor
    listed: Tensor | None = None
    entropy: float | None = None

    @property
    def long(self) -> bool:
        """Whether each split is one long text, and no list of short ones."""
        return self.train.ndim == 1


def names(name: str = "names", *, fallback: bool = True) -> ProseData:
    """Load first names, one a row of 16 numbers, and print one line that says what was loaded.

    * ``"names"``: the names.txt of makemore [Karpathy, MIT licence], names given to children in the United
      States in 2018 by the Social Security Administration's list: 32,033 lines of a to z. A name stands on
      two lines if girls and boys were given it. So repetitions are removed *before* the split; of the 29,494
      that are left 2,000 drawn at random are for testing and 2,000 for validation.
    * ``"synthesized"``: 24,000 draws from a Markov chain, of which the entropy is known; a few may repeat.

    Where files come from and when a stand-in is taken is as for :func:`gm_lib.data.spoken_digits`.

    Raises ``ValueError`` for another name, ``FileNotFoundError`` for a ``GM_DATA`` that is no folder, and
    ``OSError`` for a file that is broken or another's, or is nowhere and may not be replaced.
    """
    choose("set of names", name, NAMES)
    return _load(name, "names", fallback)


def shakespeare(name: str = "shakespeare", *, fallback: bool = True) -> ProseData:
    """Load plays as one text, and print one line that says what was loaded.

    * ``"shakespeare"``: "tiny Shakespeare" [Karpathy 2015; the plays are in the public domain], 1,115,394
      characters, 65 different ones. The last tenth is for testing, as others have it; the 5 % behind the
      first 80 % are for validation, and the training text is what was before them joined to what was behind.
    * ``"synthesized"``: 200,000 characters of a Markov chain, of which the entropy is known.

    Files, stand-in and errors are as for :func:`names`.
    """
    choose("set of prose", name, PROSE)
    return _load(name, "shakespeare", fallback)


def find_prose(name: str) -> str | None:
    """Say where "names" or "shakespeare" lies on this machine, checked; None if it would be downloaded."""
    return load_files(SETS[name])[1] if find_folder(SETS[name]) else None


def _load(name: str, kind: str, fallback: bool) -> ProseData:
    """Read the published file, or make the synthesized text, and announce it. ``kind``: a key of ``SETS``."""
    with torch.device("cpu"):
        synthesized = _synthesized_names if kind == "names" else _synthesized_prose
        try:
            if name == "synthesized":
                data = synthesized()
            else:
                (content,), place = load_files(SETS[kind])
                data = (_read_names if kind == "names" else _read_shakespeare)(content.decode("ascii"), place)
            announcement = f"{data.name}, from {data.source}"
        except DownloadError as error:
            missing = f"{SETS[kind].name} is not on this machine and {error}."
            if not fallback:
                raise DownloadError(
                    f"{missing} Nothing can take its place here: set GM_DATA to a folder that holds it, as "
                    f"$GM_DATA/{SETS[kind].folder}/{SETS[kind].files[0].name}."
                ) from error
            data = synthesized()
            announcement = f"{missing} In its place {data.name} text without sense, from {data.source}"
    parts = (("train", data.train), ("valid", data.valid), ("test", data.test))
    sizes = ", ".join(f"{len(part):,} {which}" for which, part in parts)
    print(f"gm_lib.data: {announcement}: {sizes} {'characters' if data.long else 'names'}.")
    return data


def _read_names(content: str, place: str) -> ProseData:
    """Split the names, once repetitions are gone: one that is both in training and test tests nothing."""
    lines = content.split()
    alphabet = Alphabet("".join(sorted(set("".join(lines)))))
    listed = alphabet.encode(lines, LONGEST_NAME + 1)
    unique = alphabet.encode(sorted(set(lines)), LONGEST_NAME + 1)
    return _split_rows("names", place, alphabet, unique, listed, None)


def _split_rows(
    name: str, place: str, alphabet: Alphabet, x: Tensor, listed: Tensor | None, entropy: float | None
) -> ProseData:
    x = x[torch.randperm(len(x), generator=Generator().manual_seed(SPLIT_SEED))]
    test, valid, train = x[:HELD_OUT], x[HELD_OUT : 2 * HELD_OUT], x[2 * HELD_OUT :]
    return ProseData(name, place, alphabet, train, valid, test, listed, entropy)


def _read_shakespeare(content: str, place: str) -> ProseData:
    alphabet = Alphabet("".join(sorted(set(content))))
    return _split_text("shakespeare", place, alphabet, alphabet.encode_text(content), None)


def _split_text(name: str, place: str, alphabet: Alphabet, x: Tensor, entropy: float | None) -> ProseData:
    """Cut a text into its splits; the training text is what lies before and behind the validation text."""
    a, b, c = (int(share * len(x)) for share in (*VALID, TEST))
    train = torch.cat([x[:a], x[b:c]])
    return ProseData(name, place, alphabet, train, x[a:b], x[c:], None, entropy)


class MarkovChain:
    """Texts in which each symbol depends on the two before it, with probabilities that are known.

    ``p`` float64 (symbols, symbols, symbols): p[a, b, c] is the probability of c behind a, b. Before a text
    stand two ends. Raises ``ValueError`` for rows that do not sum to 1.
    """

    def __init__(self, p: Tensor):
        if p.ndim != 3 or not bool(((p.sum(-1) - 1).abs() < 1e-9).all()):
            raise ValueError("p must be (symbols, symbols, symbols), and sum to 1 over the last.")
        self.p = p

    @classmethod
    def drawn(cls, symbols: int, *, ends: bool, seed: int = 0) -> "MarkovChain":
        """Draw a chain in which a few symbols are likely behind each pair; without ``ends`` it never ends."""
        generator = Generator().manual_seed(whole_number("seed", seed))
        weights = torch.rand(symbols, symbols, symbols, generator=generator, dtype=torch.float64) ** 6
        weights[..., END] = 0
        p = weights / weights.sum(-1, keepdim=True)
        if ends:
            p, end = 0.84 * p, 0.16
            p[..., END] = end
            p[END, END] /= 1 - end  # no empty text
            p[END, END, END] = 0
            p[END, END] /= p[END, END].sum()
        return cls(p)

    def texts(self, n: int, length: int, generator: Generator) -> Tensor:
        """Draw ``n`` texts as rows (n, length), of which the last symbol is the end at the latest."""
        x = torch.full((n, length), END)
        a = b = torch.full((n,), END)
        alive = torch.ones(n, dtype=torch.bool)
        for t in range(length - 1):
            c = torch.multinomial(self.p[a, b], 1, generator=generator)[:, 0]
            x[:, t] = torch.where(alive, c, END)
            alive &= c != END
            a, b = b, c
        return x

    def text(self, n: int, generator: Generator) -> Tensor:
        """Draw one text of ``n`` symbols that does not end: (n,)."""
        below = self.p.cumsum(-1).tolist()  # lists, since one step at a time is slow with tensors
        a = b = END
        made = []
        for u in torch.rand(n, generator=generator, dtype=torch.float64).tolist():
            row = below[a][b]
            a, b = b, min(bisect(row, u), len(row) - 1)
            made.append(b)
        return torch.tensor(made)

    def entropy_of_texts(self, length: int) -> float:
        """Return the entropy of :meth:`texts` per symbol, ends included, in nats: exact, by summing up."""
        state = torch.zeros(self.p.shape[:2], dtype=torch.float64)
        state[END, END] = 1  # before the first character; later no state has an end in it
        h, nats, symbols = -torch.xlogy(self.p, self.p).sum(-1), 0.0, 0.0
        for t in range(length):
            nats += (state * h).sum().item() if t < length - 1 else 0.0
            symbols += state.sum().item()
            state = torch.einsum("ab,abc->bc", state, self.p)
            state[:, END] = 0
        return nats / symbols

    def entropy_rate(self) -> float:
        """Return the entropy of :meth:`text` per symbol in nats: that of each pair's row, over the pairs."""
        state = torch.full(self.p.shape[:2], 1.0, dtype=torch.float64)
        state[END], state[:, END] = 0, 0
        state /= state.sum()
        for _ in range(2_000):
            state = torch.einsum("ab,abc->bc", state, self.p)
        return (state * -torch.xlogy(self.p, self.p).sum(-1)).sum().item()


def _synthesized_names() -> ProseData:
    alphabet = Alphabet(LETTERS)
    chain = MarkovChain.drawn(alphabet.symbols, ends=True, seed=0)
    x = chain.texts(SYNTHESIZED_NAMES, LONGEST_NAME + 1, Generator().manual_seed(1))
    entropy = chain.entropy_of_texts(LONGEST_NAME + 1)
    return _split_rows("synthesized", "gm_lib.data.prose", alphabet, x, None, entropy)


def _synthesized_prose() -> ProseData:
    alphabet = Alphabet(LETTERS)
    chain = MarkovChain.drawn(alphabet.symbols, ends=False, seed=2)
    x = chain.text(SYNTHESIZED_PROSE, Generator().manual_seed(3))
    return _split_text("synthesized", "gm_lib.data.prose", alphabet, x, chain.entropy_rate())
