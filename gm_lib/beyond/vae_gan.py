"""The VAE-GAN: a VAE whose decoder also has to please a discriminator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from gm_lib.gan import LOSSES, r1
from gm_lib.networks import decay, descend, require
from gm_lib.system.choose import choose
from gm_lib.system.parallel import randn
from gm_lib.vae import VAE, Bernoulli, Likelihood
from gm_lib.vae.model_base import adam


class VAEGAN(VAE):
    """A VAE that learns on -ELBO + ``judge`` · (what its decoder pays as a generator). Larsen et al. 2016.

    Three things differ from theirs: the discriminator sees the decoder's means for codes from the prior, no
    reconstructions; the decoder's ``loss`` is non-saturating, where theirs is the discriminator's with the
    other sign; and the reconstruction stays -log p(x | z), where theirs is in the discriminator's features,
    so the ELBO is one of x. The encoder hears nothing of the discriminator. With the weight ``judge`` = 0
    the discriminator rests, and each update is the VAE's own.

    ``loss``: a key of ``gm_lib.gan.LOSSES``; ``gamma``: the weight of R1, what the discriminator pays for its
    slope at the data; ``discriminator_lr``: of its Adam, ``lr`` if not given. All that measures a VAE
    measures this one. Raises ``ValueError`` for a discriminator that does not fit, a negative weight, and
    coins as likelihood, whose mean is no data; ``TypeError`` for a discriminator without a shape.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        discriminator: nn.Module,
        *,
        judge: float = 1.0,
        loss: str = "non_saturating",
        gamma: float = 0.0,
        lr: float = 1e-3,
        discriminator_lr: float | None = None,
        decay_steps: int = 0,
    ):
        super().__init__(encoder, decoder, likelihood, lr=lr, decay_steps=decay_steps)
        require(discriminator, "discriminator", in_shape="the shape of one example", num_classes="0 for none")
        self.discriminator: Any = discriminator
        self.judge, self.loss = judge, choose("loss", loss, LOSSES)
        self.gamma, self.discriminator_lr = gamma, lr if discriminator_lr is None else discriminator_lr
        if not judge >= 0:
            raise ValueError(f"judge is a weight and not negative, not {judge}.")
        if isinstance(likelihood, Bernoulli):
            raise ValueError("coins have a grey mean, and no data are grey: use the likelihood 'gaussian'.")
        judged = tuple(discriminator.in_shape), discriminator.num_classes  # type: ignore[arg-type]
        if judged != (made := (self.shape, self.num_classes)):
            raise ValueError(f"shape and number of labels: the discriminator has {judged}, the VAE {made}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.likelihood.event_shape

    def optimizers(self) -> dict[str, Optimizer]:
        """Return both Adams, the VAE's and the discriminator's. Call it when the model is on its device."""
        own = [*self.encoder.parameters(), *self.decoder.parameters()]
        judge = Adam(self.discriminator.parameters(), self.discriminator_lr, (0.5, 0.999), fused=True)
        return {"adam": adam(own, self.likelihood, self.lr), "discriminator": judge}

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Let the discriminator learn, then encoder and decoder, from a batch ``(x, y)``.

        Returns means: ``loss``, ``reconstruction`` and ``kl`` of the VAE, in nats, and what the players pay,
        ``discriminator_loss`` and ``generator_loss``, 0 if the discriminator rests.
        """
        x, y = batch
        decay(optimizers["discriminator"], step, self.decay_steps)
        reconstruction, kl = self(x, y)
        reconstruction, kl = reconstruction.mean(), kl.sum(-1).mean()
        terms = {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}
        terms["discriminator_loss"] = terms["generator_loss"] = torch.zeros_like(kl)
        if self.judge:
            z = randn((len(x), self.latent_dim), device=x.device, dtype=x.dtype)
            terms |= self._play(x, self.likelihood.mean(self.decode(z, y)), y, optimizers["discriminator"])
        paid = terms["loss"] + self.judge * terms["generator_loss"]
        descend(self, paid, {"adam": optimizers["adam"]}, step, self.decay_steps)
        return {name: value.detach() for name, value in terms.items()}

    def _play(self, x: Tensor, x_fake: Tensor, y: Tensor | None, optimizer: Optimizer) -> dict[str, Tensor]:
        """Teach the discriminator; then return what it and the decoder pay, means over the batch."""
        fake_logits = self.discriminator(x_fake.detach(), y)
        loss = self.loss.discriminator(self.discriminator(x, y), fake_logits).mean()
        self.discriminator.zero_grad()
        loss.backward()
        if self.gamma:
            r1(lambda x: self.discriminator(x, y), x, x_fake, gamma=self.gamma).mean().backward()
        optimizer.step()
        real = [self.discriminator(x, y)] if self.loss.paired else []
        pays = self.loss.generator(self.discriminator(x_fake, y), *real).mean()
        return {"discriminator_loss": loss, "generator_loss": pays}


class UnitDecoder(nn.Module):
    """A decoder of means between 0 and 1, as a generator's: the ``decoder`` within, and a sigmoid."""

    def __init__(self, decoder: nn.Module):
        super().__init__()
        self.decoder: Any = decoder
        self.latent_dim, self.out_shape = self.decoder.latent_dim, self.decoder.out_shape
        self.num_classes = self.decoder.num_classes

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return means (*lead, *out_shape) for z (*lead, latent_dim)."""
        return self.decoder(z, y).sigmoid()
