"""Quantizers: continuous vectors h made into codes, of which there are finitely many.

A quantizer is an ``nn.Module`` that knows ``num_codes`` and ``dim`` and maps h (n, *places, dim), a vector at
each place of each example, to :class:`Quantized`. ``indices(h)`` gives the numbers of the codes alone and
changes nothing, ``lookup(indices)`` the codes of numbers: (*shape,) to (*shape, dim).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gm_lib.system import parallel
from gm_lib.system.choose import whole_number

_EPS = 1e-3  # how far the bound of a FiniteScalarQuantizer stays inside the outermost levels


class Quantized(NamedTuple):
    """What a quantizer makes of h (n, *places, dim)."""

    codes: Tensor
    """The codes, (n, *places, dim). The gradient that reaches them goes on as if nothing had been rounded."""
    indices: Tensor
    """The numbers of the codes, 0 … num_codes - 1: (n, *places), int64."""
    commitment: Tensor
    """‖h - code‖² summed over the places: (n,). Its gradient goes to h alone. 0 without a codebook."""


class VectorQuantizer(nn.Module):
    """A codebook of ``num_codes`` vectors of ``dim`` numbers: each h becomes the nearest of them.

    In training mode a call moves the codebook: a code is the ratio of two moving averages, of the sum of the
    h nearest to it and of their number, each ← ``decay`` · average + (1 - ``decay``) · the batch's. van den
    Oord et al. 2017, appendix A.1. Both start at zero, which cancels in the ratio. A code without any h stays
    where it is. In evaluation mode nothing moves.

    A code is dead when its average number of h is below ``revive_below`` times that of all codes. In training
    mode each dead code is put on an h drawn from the batch and begins with a number of just that threshold.
    So the codebook begins on the first batch, at the scale that the encoder happens to have: of codes put
    elsewhere a few would be nearest to all h. With 0 none is revived, and the codes begin as draws from
    N(0, I).

    ``codebook`` (num_codes, dim) and ``usage`` (num_codes,), the average share of the h that each code has,
    are buffers: no optimizer moves them; checkpoints and averaged weights have them.

    Raises ``ValueError`` for a decay outside [0, 1) and ``revive_below`` outside [0, 1).
    """

    def __init__(self, num_codes: int, dim: int, *, decay: float = 0.99, revive_below: float = 0.1):
        super().__init__()
        self.num_codes = whole_number("num_codes", num_codes, 1)
        self.dim = whole_number("dim", dim, 1)
        for name, value in {"decay": decay, "revive_below": revive_below}.items():
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be in [0, 1), not {value}.")
        self.decay, self.revive_below = decay, revive_below
        self.codebook: Tensor
        self.usage: Tensor
        self.register_buffer("codebook", torch.randn(self.num_codes, self.dim))
        self.register_buffer("usage", torch.zeros(self.num_codes))

    def forward(self, h: Tensor) -> Quantized:
        """Return codes, indices and commitment; in training mode let the codebook learn from h."""
        indices = self.indices(h)
        codes = self.lookup(indices)
        if self.training:  # after the codes are looked up: the next batch is the first to see the change
            self._learn(h.detach().flatten(0, -2), indices.flatten())
        commitment = (h - codes).square().flatten(1).sum(1)
        return Quantized(codes + (h - h.detach()), indices, commitment)

    @torch.no_grad()
    def indices(self, h: Tensor) -> Tensor:
        """Return the number of the code nearest to each h (n, *places, dim): (n, *places). Nothing moves."""
        _check_vectors(h, self.dim)
        # Half of ‖h - e‖² without ‖h‖², which is the same for all codes; precise under autocast too.
        with torch.autocast(h.device.type, enabled=False):
            half_square = 0.5 * self.codebook.square().sum(1)
            far = torch.addmm(
                half_square, h.flatten(0, -2).to(self.codebook.dtype), self.codebook.T, alpha=-1
            )
        return far.argmin(1).view(h.shape[:-1])

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the codes of ``indices`` (*shape,): (*shape, dim). Raises ``ValueError`` if out of range."""
        _check_on_cpu(indices, self.num_codes)
        return self.codebook[indices]

    @torch.no_grad()
    def _learn(self, h: Tensor, indices: Tensor) -> None:
        """Let the codes ``indices`` (m,) take in the h (m, dim) nearest to them; revive the dead."""
        h = h.to(self.codebook.dtype)
        count = h.new_zeros(self.num_codes).index_add_(0, indices, h.new_ones(len(h)))
        total = torch.zeros_like(self.codebook).index_add_(0, indices, h)
        chosen = _draw_rows(h, self.num_codes) if self.revive_below else torch.zeros_like(total)
        # One exchange between processes, as if they had the joint batch. Shares, not counts: they are small
        # numbers whatever the batch, and the ratio is the same.
        joint = parallel.mean(torch.cat([count.unsqueeze(1) / len(h), total / len(h), chosen], dim=1))
        share, mean, chosen = joint.split([1, self.dim, self.dim], dim=1)
        usage = self.decay * self.usage.unsqueeze(1) + (1 - self.decay) * share
        # The new ratio as a step from the old one: where there is no h, it is exactly none.
        step = (1 - self.decay) * (mean - share * self.codebook) / usage
        codebook = self.codebook + step.where(usage > 0, 0)
        threshold = self.revive_below * usage.mean()
        dead = usage < threshold
        self.codebook.copy_(torch.where(dead, chosen, codebook))
        self.usage.copy_(torch.where(dead, threshold, usage).squeeze(1))


class FiniteScalarQuantizer(nn.Module):
    """Each number of h is bounded and rounded to one of so many levels: no codebook. Mentzer et al. 2024.

    ``levels``: the number of levels for each of the dim = len(levels) numbers of a vector; their product is
    the number of codes. A code has the values -1, …, 1 in equal steps for an odd number L of levels, and -1,
    …, 1 - 2/L for an even one, where half a step is taken off so that L levels and no more can be reached.
    The bound is a tanh, and gradients pass through it, and by the rounding.

    Raises ``ValueError`` for no levels, fewer than 2, or more codes than int64 can number.
    """

    def __init__(self, levels: Sequence[int]):
        super().__init__()
        self.levels = [whole_number("each of the levels", level, 2) for level in levels]
        self.num_codes, self.dim = math.prod(self.levels), len(self.levels)
        if not self.levels or self.num_codes >= 2**63:
            raise ValueError(f"levels must be whole numbers whose product int64 holds, not {levels}.")
        self.bases: Tensor
        self.counts: Tensor
        self.half_widths: Tensor
        bases = [math.prod(self.levels[:i]) for i in range(self.dim)]
        self.register_buffer("bases", torch.tensor(bases), persistent=False)
        self.register_buffer("counts", torch.tensor(self.levels), persistent=False)
        # floating point, so that it has the dtype of the codes
        half_widths = torch.tensor([float(level // 2) for level in self.levels])
        self.register_buffer("half_widths", half_widths, persistent=False)

    def forward(self, h: Tensor) -> Quantized:
        """Return codes, indices and a commitment of zeros."""
        bounded = self._bound(h)
        indices = self._number(bounded)
        codes = self.lookup(indices) + (bounded - bounded.detach()) / self.half_widths
        return Quantized(codes, indices, h.new_zeros(len(h)))

    @torch.no_grad()
    def indices(self, h: Tensor) -> Tensor:
        """Return the number of the code of each h (n, *places, dim): (n, *places)."""
        return self._number(self._bound(h))

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the codes of ``indices`` (*shape,): (*shape, dim). Raises ``ValueError`` if out of range."""
        _check_on_cpu(indices, self.num_codes)
        level = indices.unsqueeze(-1) // self.bases % self.counts
        return (level - self.half_widths) / self.half_widths

    def _bound(self, h: Tensor) -> Tensor:
        """Return h in units of a step, within what rounds to the levels: -L/2 … L/2 - 1, or ±(L - 1)/2."""
        _check_vectors(h, self.dim)
        half = 0.5 * (self.counts.to(h.dtype) - 1) * (1 - _EPS)
        offset = 0.5 * (self.counts % 2 == 0)
        # the tangent as published: h = 0 stays (nearly) 0, and of two levels it makes something finite
        return half * (h + torch.tan(offset / half)).tanh() - offset

    def _number(self, bounded: Tensor) -> Tensor:
        """Return the number of the code that ``bounded`` (*shape, dim) rounds to: (*shape,)."""
        return ((bounded.round() + self.half_widths).long() * self.bases).sum(-1)


def perplexity(indices: Tensor, num_codes: int) -> Tensor:
    """Return how many codes seem to be in use: exp of the entropy of their shares in ``indices``. A number.

    1 where all are the same, ``num_codes`` where all codes are used equally often. ``indices``: any shape.
    """
    return torch.special.entr(_shares(indices, num_codes)).sum().exp()


def used(indices: Tensor, num_codes: int) -> Tensor:
    """Return which share of the ``num_codes`` codes occurs in ``indices`` (any shape): a number in [0, 1]."""
    return (_shares(indices, num_codes) > 0).float().mean()


def check_indices(indices: Tensor, num_codes: int) -> None:
    """Raise unless ``indices`` are integers in 0 … ``num_codes`` - 1, at least one. Reads the values.

    ``TypeError`` for what is no tensor, ``ValueError`` for all else.
    """
    if not isinstance(indices, Tensor):
        raise TypeError(f"indices must be a torch.Tensor, not {type(indices).__name__}; try torch.as_tensor.")
    if indices.dtype != torch.int64 or indices.numel() == 0:
        what = f"{indices.dtype} of shape {tuple(indices.shape)}"
        raise ValueError(f"indices of codes must be torch.int64, at least one, got {what}.")
    low, high = (int(bound) for bound in indices.aminmax())
    if low < 0 or high >= num_codes:
        raise ValueError(f"indices of codes must lie in 0 … {num_codes - 1}, got {low} … {high}.")


def _check_on_cpu(indices: Tensor, num_codes: int) -> None:
    """Refuse indices out of range where looking does not make the host wait for a device."""
    if indices.device.type == "cpu" and not torch.compiler.is_compiling():
        check_indices(indices, num_codes)


def _shares(indices: Tensor, num_codes: int) -> Tensor:
    """Return which share of ``indices`` each code has: (num_codes,), float32."""
    _check_on_cpu(indices, num_codes)
    flat = indices.flatten()
    return torch.zeros(num_codes, device=flat.device).index_add_(
        0, flat, torch.full(flat.shape, 1 / len(flat), device=flat.device)
    )


def _draw_rows(h: Tensor, count: int) -> Tensor:
    """Draw ``count`` rows of all processes' h together, (m, dim) each; return those of this one, times size.

    Rows of another process are zeros here: the mean over the processes is the drawn rows, as one process
    would have drawn them from the joint batch. Each row is drawn once if there are enough of them.
    """
    total = parallel.size() * len(h)
    order = torch.randperm(total, device=h.device)
    rows = order.repeat(math.ceil(count / total))[:count] - parallel.rank() * len(h)
    mine = ((rows >= 0) & (rows < len(h))).unsqueeze(1)
    return parallel.size() * h[rows.clamp(0, len(h) - 1)] * mine


def _check_vectors(h: Tensor, dim: int) -> None:
    if h.ndim < 2 or h.shape[-1] != dim:
        raise ValueError(
            f"the quantizer takes vectors of {dim} numbers, (n, *places, {dim}), got {tuple(h.shape)}: "
            "the channels of feature maps come last, h.movedim(1, -1)."
        )
