"""Averaged weights: a copy of a model's weights that follows them, less shaken by the last batches."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gm_lib.networks import follow, tensors_of


class Averaged:
    """Weights, and batch-norm statistics with them, that follow those of ``model`` by :func:`follow`.

    They stand beside the model, which is trained with its own. Polyak and Juditsky 1992 average the whole
    path; this is the exponential kind, which forgets.
    """

    def __init__(self, model: nn.Module, average: float):
        self.model, self.average = model, average
        # Also what the model had of its own, while the averages are in it.
        self.values = [value.detach().clone() for value in tensors_of(model)]

    def follow(self, step: int) -> None:
        """Take in the weights that the model has after its ``step``-th update."""
        follow(self.values, tensors_of(self.model), self.average, step)

    @torch.no_grad()
    def swap(self) -> None:
        """Put the averages into the model, and what it had here; once more, and all is as it was."""
        for mine, its in zip(self.values, tensors_of(self.model), strict=True):
            before = its.clone()
            its.copy_(mine)
            mine.copy_(before)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Use the model with its averages."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def go_on(self, latest: list[Tensor]) -> None:
        """Take the averages from the model, into which a checkpoint put them, and give it ``latest``."""
        for mine, value in zip(self.values, latest, strict=True):
            mine.copy_(value)
        self.swap()
