"""Counting models of text, the baselines that a network has to beat, and how much of a text is copied.

Texts are rows of numbers, as ``gm_lib.data.prose`` has them: 0 is the end, and what follows it is padding.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from gm_lib.data.prose import END, counted, shifted
from gm_lib.distributions.estimates import Estimate
from gm_lib.system.choose import whole_number


class WittenBell:
    """Predict a symbol from the ``order`` symbols before it, by counts. Witten and Bell 1991; interpolated.

    Of a context h that was seen n(h) times, t(h) *different* symbols behind it,

        p(c | h) = (n(h, c) + t(h) p(c | h')) / (n(h) + t(h)),

    where h' is h without its first symbol; a context that was never seen leaves all to h'. At the bottom,
    below order 0, all ``symbols`` are equally likely. ``x``: rows (n, length), or one text (n,) without an
    end.

    Raises ``ValueError`` for numbers that are no symbols, and contexts too long for 64 bits.
    """

    def __init__(self, x: Tensor, order: int, symbols: int):
        self.order, self.symbols = whole_number("order", order), whole_number("symbols", symbols, 1)
        if (self.order + 1) * np.log2(symbols) > 62:
            raise ValueError(f"{order} of {symbols} symbols do not fit into 64 bits: take a smaller order.")
        rows = self._rows(x)
        keep = counted(rows)
        contexts, seen = self._contexts(rows)[keep].numpy(), rows[keep].numpy()
        self._tables = [
            _tabulate(contexts % self.symbols**k * self.symbols + seen, self.symbols)
            for k in range(self.order + 1)
        ]

    def log_prob(self, x: Tensor, order: int | None = None) -> Tensor:
        """Return log p of each symbol given those before it in nats, float64 as ``x``; 0 behind the end.

        ``order``: of the model that is asked, this one's own or a smaller one.
        """
        rows = self._rows(x)
        p = self._probability(self._contexts(rows).numpy(), rows.numpy(), order)
        log_p = torch.from_numpy(np.log(p)).where(counted(rows), 0.0)
        return log_p.reshape(x.shape)

    def next(self, context: Tensor) -> Tensor:
        """Return the distribution of the next symbol behind each context (n, any length): (n, symbols)."""
        n = len(context)
        before = torch.cat([torch.full((n, self.order), END), context], dim=1)
        keys = torch.zeros(n, dtype=torch.int64)
        for k in range(self.order):
            keys = keys * self.symbols + before[:, before.shape[1] - self.order + k]
        shape = n, self.symbols
        every = np.broadcast_to(np.arange(self.symbols), shape)
        return torch.from_numpy(self._probability(np.broadcast_to(keys.numpy()[:, None], shape), every))

    def sample(self, n: int, length: int, generator: Generator | None = None) -> Tensor:
        """Draw n texts as rows (n, length), padded behind their end."""
        x = torch.empty((n, 0), dtype=torch.int64)
        for _ in range(length):
            x = torch.cat([x, torch.multinomial(self.next(x), 1, generator=generator)], dim=1)
        return x.where(counted(x), END)

    def _rows(self, x: Tensor) -> Tensor:
        rows = (x if x.ndim == 2 else x[None]).long()
        if rows.numel() and not (int(rows.min()) >= 0 and int(rows.max()) < self.symbols):
            raise ValueError(
                f"symbols are 0 to {self.symbols - 1}, the text has {int(rows.min())} to {int(rows.max())}."
            )
        return rows

    def _contexts(self, rows: Tensor) -> Tensor:
        """Return the ``order`` symbols before each place as one number, the nearest as its last digit."""
        keys, before = torch.zeros_like(rows), rows
        for k in range(self.order):
            before = shifted(before)
            keys = keys + before * self.symbols**k
        return keys

    def _probability(self, contexts: np.ndarray, symbols: np.ndarray, order: int | None = None) -> np.ndarray:
        p = np.full(contexts.shape, 1 / self.symbols)
        for k, (known, n, different, pairs, n_pairs) in enumerate(
            self._used(self.order if order is None else order)
        ):
            h = contexts % self.symbols**k
            total, kinds = _look_up(h, known, n), _look_up(h, known, different)
            count = _look_up(h * self.symbols + symbols, pairs, n_pairs)
            p = np.where(total > 0, self._mixed(count, np.maximum(total, 1), kinds, p), p)
        return p

    def _used(self, order: int) -> list[tuple[np.ndarray, ...]]:
        """Return the tables of the orders 0 to ``order``."""
        return self._tables[: order + 1]

    def _mixed(self, count: np.ndarray, total: np.ndarray, kinds: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return p(c | h) of n(h, c), n(h), t(h) and p(c | h')."""
        return (count + kinds * p) / (total + kinds)


class KneserNey(WittenBell):
    """As :class:`WittenBell`, with a discount D taken from each count. Kneser and Ney 1995; interpolated.

        p(c | h) = (max(n(h, c) - D, 0) + D t(h) p(c | h')) / n(h),

    where below the order that is asked n(h', c) counts the *different* symbols seen before h'c, and n(h') is
    the sum of that over c.

    Raises ``ValueError`` also for a ``discount`` that is not above 0 and at most 1.
    """

    def __init__(self, x: Tensor, order: int, symbols: int, discount: float = 0.9):
        super().__init__(x, order, symbols)
        if not 0 < discount <= 1:
            raise ValueError(f"discount is a part of one count, above 0 and at most 1, not {discount}.")
        self.discount = discount
        self._below = [
            _tabulate(pairs % self.symbols**k, self.symbols)
            for k, (_, _, _, pairs, _) in enumerate(self._tables[1:], start=1)
        ]

    def _used(self, order: int) -> list[tuple[np.ndarray, ...]]:
        return [*self._below[:order], self._tables[order]]

    def _mixed(self, count: np.ndarray, total: np.ndarray, kinds: np.ndarray, p: np.ndarray) -> np.ndarray:
        return (np.maximum(count - self.discount, 0) + self.discount * kinds * p) / total


def _tabulate(pairs: np.ndarray, symbols: int) -> tuple[np.ndarray, ...]:
    """Return contexts, how often, with how many symbols behind; then with a symbol, how often."""
    pairs, n_pairs = np.unique(pairs, return_counts=True)
    known, first, different = np.unique(pairs // symbols, return_index=True, return_counts=True)
    return known, np.add.reduceat(n_pairs, first), different, pairs, n_pairs


def _look_up(keys: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the value of each key, 0 where it is not known."""
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, values[place], 0)


def nats_per_character(log_p: Tensor, x: Tensor) -> Estimate:
    """Return -log p per character, ends included, in nats, of texts (n, length): all nats by all characters.

    ``log_p``: (n,), of each text. The standard error is that of a ratio of two means over the n texts.

    Raises ``ValueError`` for shapes that do not fit, and fewer than two texts.
    """
    if x.ndim != 2 or log_p.shape != x.shape[:1] or len(x) < 2:
        raise ValueError(
            f"texts (n, length) and a number for each, n of 2 or more, are needed, not {tuple(x.shape)} and "
            f"{tuple(log_p.shape)}."
        )
    characters, nats = counted(x).sum(1).double(), -log_p.detach().cpu().double()
    mean = nats.sum() / characters.sum()
    error = (nats - mean * characters).std() / characters.mean() / len(x) ** 0.5
    return Estimate(mean.item(), error.item(), len(x))


def share_known(texts: Sequence[str], known: Sequence[str]) -> float:
    """Return the share of ``texts`` that are, as they are, among the ``known``."""
    memory = set(known)
    return sum(text in memory for text in texts) / len(texts)


def longest_known(text: str, known: str) -> int:
    """Return the length of the longest piece of ``text`` that stands, as it is, in ``known``."""
    longest, start = 0, 0
    while start + longest < len(text):
        # A longer piece than the best so far may begin here, or not: grow it while it is there.
        if text[start : start + longest + 1] in known:
            longest += 1
        else:
            start += 1
    return longest
