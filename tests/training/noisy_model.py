"""A small model for the tests of the loop: every source of randomness, a buffer, two optimizers."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gm_lib.data import Batches


class NoisyModel(nn.Module):
    """Two players on noisy data: what one learns, the other is told with noise."""

    def __init__(self, width: int = 4, lr: float = 1e-2):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.first = nn.Linear(3, width)
            self.second = nn.Linear(width, 1)
        self.norm = nn.BatchNorm1d(width)
        self.lr = lr
        self.seen: list[Tensor] = []

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "first": torch.optim.Adam([*self.first.parameters(), *self.norm.parameters()], lr=self.lr),
            "second": torch.optim.SGD(self.second.parameters(), lr=self.lr, momentum=0.9),
        }

    def update(
        self, batch: Any, optimizers: dict[str, torch.optim.Optimizer], step: int
    ) -> dict[str, Tensor]:
        x = batch[0]
        self.seen.append(x)
        noise = torch.randn_like(x) + random.gauss(0, 0.1) + np.random.normal(0, 0.1)  # noqa: NPY002
        loss = ((self.second(self.norm(self.first(x + noise)).tanh()) - x.sum(1, keepdim=True)) ** 2).mean()
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers.values():
            optimizer.step()
        return {"loss": loss.detach(), "noise": noise.mean()}


def data(seed: int = 3) -> Batches:
    """Seven batches an epoch, so that 25 steps end in the middle of one."""
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    return Batches(x, batch_size=8, seed=seed, device="cpu")


def evaluate(model: NoisyModel) -> dict[str, float]:
    return {"score": float(model.second.weight.sum() + torch.randn(()))}
