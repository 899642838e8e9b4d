"""The generative adversarial network: two players, and the one update in which each learns in turn."""

import contextlib
import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from gm_lib.gan.losses import LOSSES, Loss
from gm_lib.gan.networks import DCGANDiscriminator, DCGANGenerator, check_players
from gm_lib.gan.penalties import Penalty, r1
from gm_lib.networks import check_input, check_labels, evaluating, follow, labels_of, tensors_of
from gm_lib.system.choose import choose
from gm_lib.system.parallel import randn

_AT_ONCE = 1000  # images generated at a time, for the memory's sake


class GAN(nn.Module):
    """A generator G(z), z from N(0, I), learning from a discriminator D(x). Goodfellow et al. 2014.

    ``generator`` maps z (n, latent_dim) to examples (n, *out_shape), ``discriminator`` examples to logits
    (n,); both also take labels, and both or none use them. ``gm_lib.gan.networks`` says what else is asked of
    players of your own. One update is ``discriminator_steps`` steps of the discriminator, each on an equal
    part of the batch and as many new generated examples, then one of the generator, on the last of these (the
    paper's algorithm 1 makes new ones, in one pass more). ``loss`` is a :class:`Loss` or a key of ``LOSSES``;
    ``penalty`` is added to what the discriminator pays; ``lr`` and ``betas`` are those of both Adams.

    ``averaged`` is a copy of the generator whose weights, and batch-norm statistics with them, follow those
    of ``generator``: averaged ← a · averaged + (1 - a) · generator, where a = min(``average``, (1 + step) /
    (10 + step)), so that it spans the last tenth of a short run. :meth:`generate` and :meth:`sample` use it.
    ``config`` holds :func:`digit_gan`'s arguments when that function built the model.

    Raises ``TypeError`` for players that do not know their shapes and for what is no loss, ``ValueError`` for
    players that do not fit each other, batch norm under a penalty, and numbers out of range.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        loss: Loss | str = "non_saturating",
        penalty: Penalty | None = None,
        lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        discriminator_steps: int = 1,
        average: float = 0.999,
    ):
        super().__init__()
        check_players(generator, discriminator, penalty)
        loss = choose("loss", loss, LOSSES) if isinstance(loss, str) else loss
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a gm_lib.gan.Loss or a key of LOSSES, not {type(loss).__name__}.")
        if discriminator_steps < 1:
            raise ValueError(f"discriminator_steps must be at least 1, not {discriminator_steps}.")
        if not 0 <= average < 1:
            raise ValueError(f"average must be in [0, 1), not {average}: 0 keeps the latest weights only.")
        self.generator: Any = generator  # Any: a module's attributes have no types that mypy could know
        self.discriminator: Any = discriminator
        self.averaged = copy.deepcopy(generator).requires_grad_(False)
        self.loss, self.penalty = loss, penalty
        self.lr, self.betas = lr, betas
        self.discriminator_steps, self.average = discriminator_steps, average
        self.config: dict[str, Any] = {}

    @property
    def latent_dim(self) -> int:
        """The number of dimensions of z."""
        return self.generator.latent_dim

    @property
    def num_classes(self) -> int:
        """The number of labels of a conditional model, 0 for an unconditional one."""
        return self.generator.num_classes

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return :meth:`generate`, (n, *out_shape)."""
        return self.generate(z, y)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return what the averaged generator makes of z (n, latent_dim), in evaluation mode: (n, *out_shape).

        Each example depends on its own z (and label) alone, whatever mode the model is in.
        """
        parts = [slice(i, i + _AT_ONCE) for i in range(0, max(len(z), 1), _AT_ONCE)]
        with evaluating(self.averaged):
            return torch.cat([self.averaged(z[part], None if y is None else y[part]) for part in parts])

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Return n generated examples: (n, *out_shape). ``y``: n labels, for a conditional model."""
        z = self._noise(n, generator)
        return self.generate(z, labels_of(y, n, self.num_classes, z.device))

    def optimizers(self) -> dict[str, Optimizer]:
        """Return an Adam for each player. Call it when the model is on its device: fused, they stay there."""
        return {
            name: Adam(player.parameters(), lr=self.lr, betas=self.betas, fused=True)
            for name, player in (("generator", self.generator), ("discriminator", self.discriminator))
        }

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Let each player learn, the discriminator first, from a batch ``(x, y)``.

        Returns means over the last step of each: the losses, the penalty if there is one, and the probability
        of being real that the discriminator gave to the real and to the generated examples.
        """
        x, y = batch
        terms: dict[str, Tensor] = {}
        for i in range(self.discriminator_steps):
            part = slice(i, None, self.discriminator_steps)
            x_part, y_part = x[part], None if y is None else y[part]
            with torch.set_grad_enabled(i == self.discriminator_steps - 1):  # the generator's, for its step
                x_fake = self.generator(self._noise(len(x_part)), y_part)
            terms = self.discriminator_step(x_part, x_fake, y_part, optimizers["discriminator"])
        terms |= self.generator_step(x_fake, y_part, optimizers["generator"])
        # Batch-norm statistics too: they belong to the weights that they were measured with.
        follow(tensors_of(self.averaged), tensors_of(self.generator), self.average, step)
        return terms

    def discriminator_step(
        self, x: Tensor, x_fake: Tensor, y: Tensor | None, optimizer: Optimizer
    ) -> dict[str, Tensor]:
        """Teach the discriminator with real examples and as many generated ones; return its terms.

        Nothing of the generator changes: what it made is cut from its history first.
        """
        x_fake = x_fake.detach()
        real_logits, fake_logits = self.discriminator(x, y), self.discriminator(x_fake, y)
        loss = self.loss.discriminator(real_logits, fake_logits).mean()
        paid, terms = loss, {"discriminator_loss": loss}
        if self.penalty is not None:
            terms["penalty"] = self.penalty(lambda x: self.discriminator(x, y), x, x_fake).mean()
            paid = loss + terms["penalty"]
        self.discriminator.zero_grad()
        paid.backward()
        optimizer.step()
        terms |= {"d_real": real_logits.sigmoid().mean(), "d_fake": fake_logits.sigmoid().mean()}
        return {name: term.detach() for name, term in terms.items()}

    def generator_step(self, x_fake: Tensor, y: Tensor | None, optimizer: Optimizer) -> dict[str, Tensor]:
        """Teach the generator with examples that know how it made them; return its term.

        Nothing of the discriminator changes: the gradient passes through it.
        """
        with _borrowed(self.discriminator):
            loss = self.loss.generator(self.discriminator(x_fake, y)).mean()
            self.generator.zero_grad()
            loss.backward()
        optimizer.step()
        return {"generator_loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, y)`` is data that the generator could make. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for all else.
        """
        x, y = batch
        check_input(x, tuple(self.generator.out_shape), next(self.parameters()), "the model")
        if not bool(x.isfinite().all()):
            raise ValueError("the data holds NaN or infinite values.")
        if hasattr(self.generator, "check"):
            self.generator.check(x)
        if self.num_classes:
            check_labels(y, self.num_classes, len(x))
        if len(x) % self.discriminator_steps:
            raise ValueError(
                f"a batch of {len(x)} cannot be shared out evenly among {self.discriminator_steps} "
                "discriminator steps: choose a batch size that is a multiple of them."
            )

    def _noise(self, n: int, generator: Generator | None = None) -> Tensor:
        p = next(self.generator.parameters())
        return randn((n, self.latent_dim), generator=generator, device=p.device, dtype=p.dtype)


def digit_gan(
    *,
    latent_dim: int = 32,
    width: int = 32,
    num_classes: int = 0,
    loss: str = "non_saturating",
    gamma: float = 0.0,
    lr: float = 2e-3,
    average: float = 0.999,
) -> GAN:
    """Return a DCGAN for 1×28×28 images in [0, 1], with ``width`` channels at 14×14 and twice as many at 7×7.

    ``loss``: a key of ``gm_lib.gan.LOSSES``. ``gamma`` > 0 adds that much of the penalty :func:`r1` and takes
    batch norm out of the discriminator, since the penalty is on the gradient of each image by itself.

    Raises ``ValueError`` for an unknown loss.
    """
    model = GAN(
        DCGANGenerator(latent_dim, width, num_classes),
        DCGANDiscriminator(width, num_classes, batch_norm=not gamma),
        loss=loss,
        penalty=partial(r1, gamma=gamma) if gamma else None,
        lr=lr,
        average=average,
    )
    model.config = {
        "latent_dim": latent_dim,
        "width": width,
        "num_classes": num_classes,
        "loss": loss,
        "gamma": gamma,
        "lr": lr,
        "average": average,
    }
    # The layout in which convolutions are fastest, on the CPU and on tensor cores; the numbers are the same.
    return model.to(memory_format=torch.channels_last)


@contextlib.contextmanager
def _borrowed(player: nn.Module) -> Iterator[None]:
    """Use a player and leave no trace: no gradients, buffers (batch norm, spectral norm) as they were."""
    trained = [p for p in player.parameters() if p.requires_grad]
    buffers = [(buffer, buffer.clone()) for buffer in player.buffers()]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
