"""The generative adversarial network: two players, and the one update in which each learns in turn."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from gm_lib.gan.losses import LOSSES, Loss
from gm_lib.gan.networks import Packed, check_players, check_rules
from gm_lib.gan.penalties import Penalty
from gm_lib.networks import check_batch, decay, evaluating, follow, labels_of, tensors_of
from gm_lib.system.choose import choose, whole_number
from gm_lib.system.parallel import randn

_AT_ONCE = 1000  # images generated at a time, for the memory's sake


class GAN(nn.Module):
    """A generator G(z), z from N(0, I), learning from a discriminator D(x). Goodfellow et al. 2014.

    ``generator`` maps z (n, latent_dim) to examples (n, *out_shape), ``discriminator`` examples to logits
    (n,); both also take labels, and both or none use them. ``gm_lib.gan.networks`` says what else is asked of
    players of your own. One update is ``discriminator_steps`` steps of the discriminator, each on an equal
    part of the batch and as many new generated examples, then one of the generator, on the last of these (the
    paper's algorithm 1 makes new ones, in one pass more). ``loss`` is a :class:`Loss` or a key of ``LOSSES``;
    ``penalty`` is added to what the discriminator pays. With ``clip`` each of the discriminator's steps ends
    with its parameters clamped to ±clip (Arjovsky et al. 2017). ``augment``, a random change of images that
    gradients pass, comes before the discriminator in both players' steps, for real and generated images alike
    (Zhao et al. 2020); a penalty then is at what the discriminator sees.

    ``lr`` is the step size of both Adams, or a pair, the generator's and the discriminator's; ``betas`` are
    both's. With ``decay_steps`` the step sizes fall to 0 in so many updates, along half a cosine.

    ``averaged`` is a copy of the generator whose weights, and batch-norm statistics with them, follow those
    of ``generator``: averaged ← a · averaged + (1 - a) · generator, where a = min(``average``, (1 + step) /
    (10 + step)), so that it spans the last tenth of a short run. :meth:`generate` and :meth:`sample` use it.
    ``config`` holds :func:`digit_gan`'s arguments when that function built the model.

    Raises ``TypeError`` for players that do not know their shapes and for what is no loss, ``ValueError`` for
    players that do not fit each other, rules that make no sense together, and numbers out of range.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        loss: Loss | str = "non_saturating",
        penalty: Penalty | None = None,
        clip: float | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
        lr: float | tuple[float, float] = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        decay_steps: int = 0,
        discriminator_steps: int = 1,
        average: float = 0.999,
    ):
        super().__init__()
        check_players(generator, discriminator)
        loss = choose("loss", loss, LOSSES) if isinstance(loss, str) else loss
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a gm_lib.gan.Loss or a key of LOSSES, not {type(loss).__name__}.")
        if not 0 <= average < 1:
            raise ValueError(f"average must be in [0, 1), not {average}: 0 keeps the latest weights only.")
        self.generator: Any = generator  # Any: a module's attributes have no types that mypy could know
        self.discriminator: Any = discriminator
        self.averaged = copy.deepcopy(generator).requires_grad_(False)
        self.loss, self.penalty, self.clip, self.augment = loss, penalty, clip, augment
        self.lr, self.betas = lr, betas
        self.decay_steps = whole_number("decay_steps", decay_steps)
        self.discriminator_steps = whole_number("discriminator_steps", discriminator_steps, 1)
        self.average = average
        check_rules(self)
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
        rates = self.lr if isinstance(self.lr, tuple) else (self.lr, self.lr)
        players = {"generator": self.generator, "discriminator": self.discriminator}
        return {
            name: Adam(player.parameters(), lr=lr, betas=self.betas, fused=True)
            for (name, player), lr in zip(players.items(), rates, strict=True)
        }

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Let each player learn, the discriminator first, from a batch ``(x, y)``.

        Returns means over the last step of each: the losses, the penalty if there is one, and what the
        discriminator says of real and of generated examples: "d_real" and "d_fake", the probability of being
        real, or "score_real" and "score_fake", the logit, where the loss makes no probability of it.
        """
        x, y = batch
        for optimizer in optimizers.values():
            decay(optimizer, step, self.decay_steps)
        for i in range(self.discriminator_steps):
            part = slice(i, None, self.discriminator_steps)
            x_part, y_part = x[part], None if y is None else y[part]
            with torch.set_grad_enabled(i == self.discriminator_steps - 1):  # the generator's, for its step
                x_fake = self.generator(self._noise(len(x_part)), y_part)
            terms = self.discriminator_step(x_part, x_fake, y_part, optimizers["discriminator"])
        terms |= self.generator_step(x_fake, y_part, optimizers["generator"], x_part)
        # Batch-norm statistics too: they belong to the weights that they were measured with.
        follow(tensors_of(self.averaged), tensors_of(self.generator), self.average, step)
        return terms

    def discriminator_step(
        self, x: Tensor, x_fake: Tensor, y: Tensor | None, optimizer: Optimizer
    ) -> dict[str, Tensor]:
        """Teach the discriminator with real examples and as many generated ones; return its terms.

        Nothing of the generator changes: what it made is cut from its history first.
        """
        x, x_fake = self._seen(x), self._seen(x_fake.detach())
        real_logits, fake_logits = self.discriminator(x, y), self.discriminator(x_fake, y)
        loss = self.loss.discriminator(real_logits, fake_logits).mean()
        paid, terms = loss, {"discriminator_loss": loss}
        if self.penalty is not None:
            terms["penalty"] = self.penalty(lambda x: self.discriminator(x, y), x, x_fake).mean()
            paid = loss + terms["penalty"]
        self.discriminator.zero_grad()
        paid.backward()
        optimizer.step()
        if self.clip is not None:
            with torch.no_grad():
                for p in self.discriminator.parameters():
                    if p.requires_grad:
                        p.clamp_(-self.clip, self.clip)
        if self.loss.probability:
            terms |= {"d_real": real_logits.sigmoid().mean(), "d_fake": fake_logits.sigmoid().mean()}
        else:
            terms |= {"score_real": real_logits.mean(), "score_fake": fake_logits.mean()}
        return {name: term.detach() for name, term in terms.items()}

    def generator_step(
        self, x_fake: Tensor, y: Tensor | None, optimizer: Optimizer, x: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Teach the generator with examples that know how it made them; return its term.

        ``x``: as many real examples, which only a paired loss looks at. Nothing of the discriminator changes:
        the gradient passes through it.
        """
        with _borrowed(self.discriminator):
            logits = [self.discriminator(self._seen(x_fake), y)]
            if self.loss.paired:
                if x is None:
                    raise ValueError("a paired loss compares generated with real examples: give x.")
                logits.append(self.discriminator(self._seen(x), y))
            loss = self.loss.generator(*logits).mean()
            self.generator.zero_grad()
            loss.backward()
        optimizer.step()
        return {"generator_loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, y)`` is data that the generator could make. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for all else.
        """
        x, _ = batch
        shape = tuple(self.generator.out_shape)
        check_batch(batch, shape, self.num_classes, next(self.parameters()), "the model")
        if hasattr(self.generator, "check"):
            self.generator.check(x)
        m = self.discriminator.m if isinstance(self.discriminator, Packed) else 1
        if len(x) % (least := self.discriminator_steps * m):
            raise ValueError(
                f"a batch of {len(x)} cannot be shared out evenly among {self.discriminator_steps} "
                f"discriminator steps in packs of {m}: choose a batch size that is a multiple of {least}."
            )

    def _seen(self, x: Tensor) -> Tensor:
        return x if self.augment is None else self.augment(x)

    def _noise(self, n: int, generator: Generator | None = None) -> Tensor:
        p = next(self.generator.parameters())
        return randn((n, self.latent_dim), generator=generator, device=p.device, dtype=p.dtype)


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
