"""The autoencoder: a code for each example and the way back, with no distribution over either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gm_lib.data import check_images
from gm_lib.networks import OneAdam, check_input, descend, evaluating, mlp
from gm_lib.system.parallel import randn
from gm_lib.vae.model import DIGIT_SHAPE
from gm_lib.vae.networks import Decoder


class Autoencoder(OneAdam):
    """An encoder to codes z (n, d) and a decoder back to x (n, *event_shape), trained on the squared error.

    ``encoder`` maps (n, *event_shape) to (n, d), ``decoder`` (*lead, d) to (*lead, *event_shape): any modules
    do, two ``nn.Linear`` too. An encoder with ``check(x)`` has a say in which data is refused. With ``noise``
    > 0 the encoder is shown x + noise · ε with ε from N(0, I) in training, and the target stays the clean x:
    a denoising autoencoder. Vincent 2011; in Vincent et al. 2008 parts of x are set to zero instead. ``lr``
    is Adam's step size. ``config`` holds :func:`digit_autoencoder`'s arguments when that function built the
    model.

    Raises ``ValueError`` for noise that is negative or not finite.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, noise: float = 0.0, lr: float = 1e-3):
        super().__init__()
        if not (noise >= 0 and math.isfinite(noise)):
            raise ValueError(f"noise is a standard deviation, finite and at least 0, not {noise}.")
        self.encoder: Any = encoder  # Any: a module's attributes have no types that mypy could know
        self.decoder: Any = decoder
        self.noise, self.lr = noise, lr
        self.config: dict[str, Any] = {}

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes of x (n, *event_shape): (n, d)."""
        return self.encoder(x).to(x.dtype)  # autocast's may be shorter

    def decode(self, z: Tensor) -> Tensor:
        """Return what the decoder makes of codes z (*lead, d): (*lead, *event_shape)."""
        return self.decoder(z).to(z.dtype)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded code of each example, without noise and without a graph: as x."""
        return self.decode(self.encode(x))

    @torch.no_grad()
    def errors(self, x: Tensor) -> Tensor:
        """Return the squared error of each example's reconstruction, summed over its values: (n,).

        The encoder sees x itself, without noise. No graph: what is trained is :meth:`forward`. Raises
        ``ValueError`` where the reconstruction does not have the shape of x.
        """
        return self._errors(x, x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the squared errors that training lowers, (n,): of x + noise · ε decoded, against x."""
        if self.noise == 0:
            return self._errors(x, x)
        return self._errors(x + self.noise * randn(x.shape, device=x.device, dtype=x.dtype), x)

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``; return the mean error. Labels are not looked at."""
        x, _ = batch
        loss = self(x).mean()
        descend(self, loss, optimizers)
        return {"loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, y)`` can be encoded, decoded and compared. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for values that are not finite, another dtype, no
        examples, reconstructions of another shape, and what the encoder's own ``check`` refuses.
        """
        x, _ = batch
        check_input(x, tuple(getattr(x, "shape", ())[1:]), next(self.parameters()), "the autoencoder")
        if x.numel() == 0 or not bool(torch.isfinite(x).all()):
            raise ValueError(
                f"the autoencoder expects finite data, got shape {tuple(x.shape)}"
                f"{' with NaN or infinity' if x.numel() else ', no values'}."
            )
        if hasattr(self.encoder, "check"):
            self.encoder.check(x)
        with evaluating(self):
            self.errors(x[:1])

    def _errors(self, seen: Tensor, target: Tensor) -> Tensor:
        """Return the squared error between what is made of ``seen`` and ``target``, per example: (n,)."""
        made = self.decode(self.encode(seen))
        if made.shape != target.shape:
            raise ValueError(
                f"the decoder made {tuple(made.shape)} of examples of shape {tuple(target.shape)}: it must "
                "put out examples as the encoder takes them."
            )
        return (made - target).square().flatten(1).sum(1)


class _DigitEncoder(nn.Module):
    """The network from images in [0, 1] to codes: (n, 1, 28, 28) to (n, latent_dim)."""

    def __init__(self, hidden: Sequence[int], latent_dim: int):
        super().__init__()
        self.net = mlp([math.prod(DIGIT_SHAPE), *hidden, latent_dim])

    def forward(self, x: Tensor) -> Tensor:
        """Return the codes. Raises ``ValueError`` for images of another shape or dtype."""
        check_input(x, DIGIT_SHAPE, self.net[0].weight, "the encoder")
        return self.net(x.flatten(1))

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` or ``TypeError`` for all but images in [0, 1]: no others can be decoded."""
        check_images(x)


def digit_autoencoder(
    *, latent_dim: int = 2, hidden: int | Sequence[int] = 400, noise: float = 0.0, lr: float = 1e-3
) -> Autoencoder:
    """Return an autoencoder for 1×28×28 images in [0, 1], its ``hidden`` layers mirrored in the decoder.

    Codes are unbounded, (n, latent_dim); the decoder ends in a sigmoid.
    """
    layers = [hidden] if isinstance(hidden, int) else list(hidden)
    decoder = nn.Sequential(Decoder(latent_dim, layers[::-1], DIGIT_SHAPE), nn.Sigmoid())
    model = Autoencoder(_DigitEncoder(layers, latent_dim), decoder, noise=noise, lr=lr)
    model.config = {"latent_dim": latent_dim, "hidden": layers, "noise": noise, "lr": lr}
    return model
