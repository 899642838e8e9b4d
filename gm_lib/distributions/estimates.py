"""Means of random draws, always with their standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """The mean of ``n`` independent draws and the standard error of that mean. Prints as ``2.97 ± 0.02``."""

    mean: float
    standard_error: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.{self._decimals()}f} ± {self.standard_error:.{self._decimals()}f}"

    def _decimals(self) -> int:
        """Decimals that show the error to one significant digit, to two when the first is a 1."""
        if not (math.isfinite(self.standard_error) and self.standard_error > 0):
            return 2
        exponent = math.floor(math.log10(self.standard_error))
        leading = round(self.standard_error / 10**exponent, 1)
        return max(0, -exponent + (leading < 2))


def standard_error(values: Tensor | ArrayLike, dim: int = 0) -> Tensor:
    """Standard error of the mean of independent draws: their standard deviation (n - 1) over the root of n.

    ``values`` holds one draw per index along ``dim``; the result is float64 and lacks that dimension.
    Raises ValueError for fewer than two draws, which have no standard deviation.
    """
    draws = _draws(values)
    n = draws.shape[dim]
    if n < 2:
        raise ValueError(f"a standard error needs at least 2 draws, got {n}: draw more.")
    return draws.std(dim) / math.sqrt(n)


def estimate(values: Tensor | ArrayLike) -> Estimate:
    """Mean and standard error of ``values``, one number per draw: shape (n,). ValueError for other shapes."""
    draws = _draws(values)
    if draws.ndim != 1:
        raise ValueError(
            f"expected one number per draw, shape (n,), got shape {tuple(draws.shape)}: choose one component."
        )
    return Estimate(draws.mean().item(), standard_error(draws).item(), len(draws))


def report(name: str, values: Tensor | ArrayLike, *, of: str = "draws") -> Estimate:
    """Print ``name: mean ± standard error (n draws)`` for ``values`` of shape (n,); return the estimate.

    ``of`` says what the values are, if not draws: ``"images"``, ``"points"``.
    """
    result = estimate(values)
    print(f"{name}: {result}  ({result.n:,} {of})")
    return result


def assert_unbiased(
    values: Tensor | ArrayLike, expected: Tensor | ArrayLike, *, standard_errors: float = 4
) -> None:
    """Assert that the mean of the draws lies within ``standard_errors`` standard errors of ``expected``.

    ``values`` has shape (n, ...), one draw per row; ``expected`` broadcasts to the remaining shape, and every
    component must agree. Raises AssertionError stating mean, standard error, expectation and distance.
    """
    draws = _draws(values)
    mean, error = draws.mean(0), standard_error(draws)
    target = _draws(expected).expand_as(mean)
    # Draws that are all equal have no error; they must then match to rounding.
    allowed = standard_errors * error + 1e-6 * target.abs().clamp_min(1e-6)
    distance = (mean - target).abs()
    if bool((distance <= allowed).all()):
        return
    worst = int((distance / allowed).nan_to_num(nan=math.inf).argmax())
    m, s, t = (float(v.reshape(-1)[worst]) for v in (mean, error, target))
    where = f" (component {worst} of {mean.numel()})" if mean.numel() > 1 else ""
    away = f"{abs(m - t) / s:.1f}" if s > 0 else "infinitely many"
    raise AssertionError(
        f"mean {m:.5g} with standard error {s:.2g} from {len(draws):,} draws{where}, expected {t:.5g}: "
        f"{away} standard errors away, allowed {standard_errors:g}."
    )


def as_tensor(values: Tensor | ArrayLike) -> Tensor:
    """Return a tensor, array or nested lists of numbers as a tensor without a graph.

    A tensor stays on its device, and all else comes to be on the CPU, whatever the default device. Raises
    ``TypeError`` for what holds no numbers.
    """
    if isinstance(values, Tensor):
        return values.detach()
    try:
        return torch.as_tensor(np.asarray(values), device="cpu")
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"numbers are needed, a tensor, array or list, not {type(values).__name__}."
        ) from error


def _draws(values: Tensor | ArrayLike) -> Tensor:
    return as_tensor(values).cpu().to(torch.float64)
