"""A GAN of short texts: characters are chosen by Gumbel-softmax, so that a gradient comes through.

Examples are one-hot: (n, length, symbols), of rows (n, length) as ``gm_lib.data.prose`` has them.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gm_lib.data.prose import END, counted
from gm_lib.gan.model import GAN
from gm_lib.gan.penalties import gradient_penalty
from gm_lib.networks import one_hot


def as_one_hot(x: Tensor, symbols: int) -> Tensor:
    """Return rows (n, length) as one-hot examples, float32 (n, length, symbols)."""
    return one_hot(x.long(), symbols)


def as_rows(x: Tensor) -> Tensor:
    """Return one-hot examples (n, length, symbols) as rows (n, length), padded behind their first end."""
    rows = x.argmax(-1)
    return rows.where(counted(rows), END)


def straight_through(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Return one-hot draws from softmax(logits) on the last dimension, with the gradient of soft ones.

    ``noise``: standard Gumbel, as ``logits``. The value is argmax(logits + noise), the gradient that of
    softmax((logits + noise) / temperature): it is biased. Jang et al. 2017; Maddison et al. 2017.
    """
    soft = ((logits + noise) / temperature).softmax(-1)
    hard = F.one_hot(soft.argmax(-1), logits.shape[-1]).to(soft.dtype)
    return hard + (soft - soft.detach())


class TextGenerator(nn.Module):
    """From z to a text, all characters at once: linear, then convolutions along the text.

    The last length · symbols numbers of z become the Gumbel noise of the draws, the others are the code. So
    one z makes one text, and ``gm_lib.gan.GAN`` needs to know nothing of it.
    """

    num_classes = 0

    def __init__(self, symbols: int, length: int, code_dim: int, width: int, temperature: float):
        super().__init__()
        self.out_shape, self.code_dim, self.temperature = (length, symbols), code_dim, temperature
        self.latent_dim = code_dim + length * symbols
        self.first = nn.Linear(code_dim, length * width)
        self.convolutions = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(width, symbols, 1),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return one-hot texts (n, length, symbols) for z (n, latent_dim)."""
        code, noise = z[:, : self.code_dim], z[:, self.code_dim :]
        logits = self.convolutions(self.first(code).unflatten(1, (-1, self.out_shape[0]))).transpose(1, 2)
        u = torch.special.ndtr(noise).clamp(1e-6, 1 - 1e-6).unflatten(1, self.out_shape)
        return straight_through(logits, -(-u.log()).log(), self.temperature)


class TextDiscriminator(nn.Module):
    """From one-hot texts to logits: convolutions along the text, then a linear layer."""

    num_classes = 0

    def __init__(self, symbols: int, length: int, width: int):
        super().__init__()
        self.in_shape = (length, symbols)
        self.net = nn.Sequential(
            nn.Conv1d(symbols, width, 5, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(width, width, 5, padding=2),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(length * width, 1),
        )

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return logits (n,) for x (n, length, symbols)."""
        return self.net(x.transpose(1, 2)).squeeze(1)


def text_gan(
    *,
    symbols: int,
    length: int,
    code_dim: int = 32,
    width: int = 64,
    temperature: float = 1.0,
    gamma: float = 10.0,
    lr: float = 1e-3,
    discriminator_steps: int = 2,
) -> GAN:
    """Return a Wasserstein GAN of short texts, with a gradient penalty of the weight ``gamma``."""
    config: dict[str, Any] = dict(locals())
    model = GAN(
        TextGenerator(symbols, length, code_dim, width, temperature),
        TextDiscriminator(symbols, length, width),
        loss="wasserstein",
        penalty=partial(gradient_penalty, gamma=gamma),
        lr=lr,
        betas=(0.5, 0.9),
        discriminator_steps=discriminator_steps,
    )
    model.config = config
    return model
