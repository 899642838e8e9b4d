"""Tables: a likelihood with one distribution for each column, rows with missing cells, and filling them in.

A row is x (2, D), as ``gm_lib.data.tables`` makes it: the values, 0 where a cell is missing, and a mask, 1
where it is there. Given z the cells are independent. So a missing one is left out of p(x | z), which
integrates over it exactly, and the ELBO bounds the log-likelihood of the observed cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from gm_lib.data.rows import Column, places, width_of
from gm_lib.networks import VALUES_AT_ONCE, check_input
from gm_lib.system.choose import whole_number
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.model import VAE


class Columns(Likelihood):
    """One distribution for each column: Gaussian with a learned σ of its own, Bernoulli, or categorical.

    ``x`` (*batch, 2, D), values and mask; ``params`` (*lead, D): the mean of a real cell, the logit of a
    binary one, one logit for each level of a categorical one. ``log_prob`` is of the observed cells alone; it
    is a density in the real ones. Nazábal et al. 2020, without their other kinds of columns.

    Raises ``ValueError`` for no columns.
    """

    def __init__(self, columns: Sequence[Column]):
        if not columns:
            raise ValueError("a table needs at least one column.")
        super().__init__((2, width_of(columns)))
        self.columns = tuple(columns)
        self.places = list(places(columns))
        self.firsts = [at.start for _, _, at in self.places]
        real = sum(column.kind == "real" for column in columns)
        self.log_scale = nn.Parameter(torch.zeros(real))

    @property
    def params_shape(self) -> tuple[int, ...]:
        """The shape (D,) that a decoder must put out for one row."""
        return (self.event_shape[1],)

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return log p(observed cells | params) per row in nats: (*lead,)."""
        values, shown = x.unbind(-2)
        return (self.log_prob_of_cells(values, params) * shown[..., self.firsts]).sum(-1)

    def log_prob_of_cells(self, values: Tensor, params: Tensor) -> Tensor:
        """Return log p of each cell, (*lead, C), for values (*batch, D); of no meaning for missing cells."""
        cells, real = [], 0
        for _, column, at in self.places:
            x, param = values[..., at], params[..., at]
            if column.kind == "real":
                log_scale = self.log_scale[real]
                standardized = (x - param) * (-log_scale).exp()
                log_p = -0.5 * standardized.square() - log_scale - 0.5 * math.log(2 * math.pi)
                real += 1
            elif column.kind == "binary":
                log_p = x * F.logsigmoid(param) + (1 - x) * F.logsigmoid(-param)
            else:
                log_p = x * param.log_softmax(-1)
            cells.append(log_p.sum(-1))
        return torch.stack(cells, dim=-1)

    def distribution(self, params: Tensor) -> NoReturn:
        """Raise ``TypeError``: torch has no distribution of several kinds."""
        raise TypeError("columns of several kinds are no one distribution of torch: use log_prob and sample.")

    def mean(self, params: Tensor) -> Tensor:
        """Return all cells' means, probabilities where a column is not real: (*lead, 2, D), all shown."""
        return _complete([_mean(column, params[..., at]) for _, column, at in self.places])

    def sample(self, params: Tensor, generator: Generator | None = None) -> Tensor:
        """Return complete rows, every cell drawn on its own: (*lead, 2, D). No gradient."""
        made, real = [], 0
        for _, column, at in self.places:
            mean = _mean(column, params[..., at].detach())
            if column.kind == "real":
                eps = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
                made.append(mean + self.log_scale[real].detach().exp() * eps)
                real += 1
            elif column.kind == "binary":
                made.append(torch.bernoulli(mean, generator=generator))
            else:
                level = torch.multinomial(mean.flatten(0, -2), 1, generator=generator)
                made.append(torch.zeros_like(mean.flatten(0, -2)).scatter(1, level, 1.0).view_as(mean))
        return _complete(made)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` unless ``x`` (n, 2, D) is values and mask of rows of these columns.

        A missing cell must hold 0: anything else there would be seen by the encoder.
        """
        super().check(x)
        values, shown = x.unbind(1)
        if not bool(((shown == 0) | (shown == 1)).all()):
            raise ValueError("the mask, x[:, 1], says 1 where a cell is observed and 0 where it is missing.")
        if bool((values * (1 - shown) != 0).any()):
            raise ValueError(
                "a missing cell holds a value, which the encoder would see: put 0 there, x[:, 0] * x[:, 1]."
            )
        for _, column, at in self.places:
            cells, there = values[:, at], shown[:, at]
            if not bool((there == there[:, :1]).all()):
                raise ValueError(f"the mask hides some levels of {column.name!r} and shows others.")
            levels = column.kind != "real"
            if levels and not bool(((cells == 0) | (cells == 1)).all()):
                raise ValueError(f"the {column.kind} column {column.name!r} holds other values than 0 and 1.")
            if column.kind == "categorical" and not bool((cells.sum(1) == there[:, 0]).all()):
                raise ValueError(f"an observed cell of {column.name!r} has not exactly one level that is 1.")


@torch.no_grad()
def impute(model: VAE, x: Tensor, *, k: int, generator: Generator | None = None) -> Tensor:
    """Return rows with each missing cell filled by its mean given the observed ones: (n, D).

    ``x`` (n, 2, D). The mean is over z from p(z | observed cells): k draws from q(z | x), each weighted by
    p(observed cells | z) p(z) / q(z | x), the weights brought to the sum 1. It is biased by something of the
    order of 1/k. A binary or categorical cell gets probabilities. Mattei and Frellsen 2019.

    Raises ``TypeError`` for a model whose likelihood is not :class:`Columns`, ``ValueError`` for k < 1 and
    what ``Columns.check`` refuses.
    """
    k = whole_number("k", k, 1)
    if not isinstance(model.likelihood, Columns):
        raise TypeError(f"only tables have cells to fill in, not data of {type(model.likelihood).__name__}.")
    model.likelihood.check(x)
    check_input(x, model.likelihood.event_shape, next(model.parameters()), "the model")
    width, made = model.likelihood.event_shape[1], []
    for part in x.split(max(1, VALUES_AT_ONCE // (k * width))):
        q = model.encode(part)
        eps = torch.randn((k, *q.mean.shape), generator=generator, device=x.device, dtype=x.dtype)
        z = q.mean + q.stddev * eps
        weights = (model.log_joint(z, part) - q.log_prob(z).sum(-1)).softmax(0)
        means = model.likelihood.mean(model.decode(z))[:, :, 0]
        filled = torch.einsum("kn,knd->nd", weights, means)
        made.append(part[:, 0].where(part[:, 1] > 0, filled))
    return torch.cat(made) if made else x[:, 0]


def _mean(column: Column, params: Tensor) -> Tensor:
    if column.kind == "real":
        return params
    return params.sigmoid() if column.kind == "binary" else params.softmax(-1)


def _complete(parts: list[Tensor]) -> Tensor:
    """Return values, given column by column, with a mask that shows all: (*lead, 2, D)."""
    values = torch.cat(parts, dim=-1)
    return torch.stack([values, torch.ones_like(values)], dim=-2)
