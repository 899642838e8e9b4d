"""A table whose distribution is known: the best filling of missing cells, exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.distributions import MultivariateNormal

from gm_lib.data.rows import Column, Rows


@dataclass(frozen=True, eq=False)
class KnownTable:
    """A mixture of K components: Gaussian real columns, and independent others within each component.

    Real columns come first, R of them. ``weights`` (K,), ``means`` (K, R), ``covariances`` (K, R, R);
    ``probabilities`` (K, D - R): of 1 in a binary column, of each level of a categorical one. All float64.
    """

    columns: tuple[Column, ...]
    weights: Tensor
    means: Tensor
    covariances: Tensor
    probabilities: Tensor

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Draw n complete rows with a code in each cell that is not real: (n, C)."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        eps = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        roots = torch.linalg.cholesky(self.covariances)
        made = [self.means[k] + (roots[k] @ eps[..., None]).squeeze(-1)]
        for _, column, at in self._others():
            p = self.probabilities[k, at]
            if column.kind == "binary":
                p = torch.cat([1 - p, p], dim=1)
            made.append(torch.multinomial(p, 1, generator=generator).double())
        return torch.cat(made, dim=1)

    def standardized(self, mean: Tensor, scale: Tensor) -> KnownTable:
        """Return the distribution after real columns had ``mean`` subtracted and were divided by ``scale``.

        Both (R,).
        """
        return replace(
            self,
            means=(self.means - mean) / scale,
            covariances=self.covariances / (scale[:, None] * scale),
        )

    def log_prob(self, rows: Rows) -> Tensor:
        """Return log p(the observed cells) in nats: (n,), a density in the real columns."""
        return self._log_joint(rows).logsumexp(1)

    def fill(self, rows: Rows) -> Tensor:
        """Return the observed cells, and in the others their mean given the observed ones: (n, D).

        For a binary or categorical cell that is the probability of each value. No filling has a smaller
        expected squared error, and none that takes the most probable level is right more often.
        """
        given = self._log_joint(rows).softmax(1)
        real = self.means.shape[1]
        filled = rows.values.double().clone()
        filled[:, real:] = (given @ self.probabilities).where(~rows.shown[:, real:], filled[:, real:])
        for pattern, which in _patterns(rows.observed[:, :real]):
            seen, hidden = pattern.nonzero().flatten(), (~pattern).nonzero().flatten()
            if not len(hidden):
                continue
            x = rows.values[which][:, seen].double()
            means = self.means[:, None, hidden].expand(-1, len(which), -1)
            if len(seen):
                within = self.covariances[:, seen][:, :, seen]
                between = self.covariances[:, hidden][:, :, seen]
                slopes = torch.linalg.solve(within, between.mT).mT  # Σ_hs Σ_ss⁻¹, (K, hidden, seen)
                means = means + (x - self.means[:, None, seen]) @ slopes.mT
            of_rows = torch.einsum("nk,knh->nh", given[which], means)
            filled[which[:, None], hidden] = of_rows
        return filled.to(rows.values.dtype)

    def _log_joint(self, rows: Rows) -> Tensor:
        """Return log p(component) + log p(observed cells | component): (n, K)."""
        real = self.means.shape[1]
        values = rows.values.double()
        found = self.weights.log().expand(len(rows), -1).clone()
        for i, column, at in self._others():
            p, x = self.probabilities[:, at], values[:, slice(real + at.start, real + at.stop)]
            log_p = x @ p.log().T
            if column.kind == "binary":
                log_p = log_p + (1 - x) @ (1 - p).log().T
            found += log_p.where(rows.observed[:, i, None], 0.0)
        for pattern, which in _patterns(rows.observed[:, :real]):
            seen = pattern.nonzero().flatten()
            if len(seen):
                within = self.covariances[:, seen][:, :, seen]
                gaussians = MultivariateNormal(self.means[:, seen], within)
                found[which] += gaussians.log_prob(values[which][:, None, seen])
        return found

    def _others(self) -> list[tuple[int, Column, slice]]:
        """Return number, column and place among ``probabilities`` of each column that is not real."""
        found, at = [], 0
        for i, column in enumerate(self.columns):
            if column.kind != "real":
                found.append((i, column, slice(at, at + column.width)))
                at += column.width
        return found


def crossed_table() -> KnownTable:
    """Return a table in which what depends on what is no straight line.

    Four equally likely components, at the corners (±1, ±1) of a and b. c is around 1 where a and b have the
    same sign and around -1 elsewhere: no linear function of either tells it. d follows a upwards within the
    first kind of corner and downwards within the other. ``flag`` tells a's side in 9 of 10 rows, ``kind``
    tells the two corners of equal signs apart, and both from the rest, in 8 of 10.
    """
    columns = (*(Column(name, "real") for name in "abcd"), Column("flag", "binary"))
    columns = (*columns, Column("kind", "categorical", ("both up", "both down", "crossed")))
    signs = torch.tensor([[1, 1], [-1, -1], [1, -1], [-1, 1]], dtype=torch.float64)
    same = signs.prod(1, keepdim=True)
    means = torch.cat([signs, same, torch.zeros(4, 1, dtype=torch.float64)], dim=1)
    covariances = 0.16 * torch.eye(4, dtype=torch.float64).expand(4, 4, 4).clone()
    covariances[:, 3, 3] = 1.0
    covariances[:, 0, 3] = covariances[:, 3, 0] = 0.9 * 0.4 * same.squeeze(1)
    flag = 0.5 + 0.4 * signs[:, :1]
    kind = torch.full((4, 3), 0.1, dtype=torch.float64)
    kind[torch.arange(4), torch.tensor([0, 1, 2, 2])] = 0.8
    quarter = torch.full((4,), 0.25, dtype=torch.float64)
    return KnownTable(columns, quarter, means, covariances, torch.cat([flag, kind], dim=1))


def _patterns(observed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return each row that occurs in ``observed`` (n, R), and the numbers of the rows that are so."""
    patterns, which = observed.unique(dim=0, return_inverse=True)
    return [(pattern, (which == i).nonzero().flatten()) for i, pattern in enumerate(patterns)]
