"""Diffusion: a hierarchy z_T → … → z_1 → x whose encoder only adds noise (:mod:`gm_lib.beyond.noising`).

A network guesses x̂ = E[x | z_t], which stands for the unknown x in each step down, from a time t to s < t
(Ho et al. 2020; in this form Kingma et al. 2021):

    p(z_s | z_t) = q(z_s | z_t, x = x̂),    KL(q ‖ p) = ½ (exp(log_snr(s)) - exp(log_snr(t))) ‖x - x̂‖²
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from gm_lib.beyond.guidance import wanted_labels, withheld_share, withhold
from gm_lib.beyond.last_step import Pixels, RealValues
from gm_lib.beyond.noising import downward, draw_back, log_snr, noised, slide_back, spread
from gm_lib.networks import OneAdam, check_batch, descend, evaluating
from gm_lib.system.choose import whole_number

SAMPLING_STEPS = 50  # if none are given
AT_ONCE = 500  # samples in the making at a time, for the memory's sake


class Diffusion(OneAdam):
    """A diffusion model with a ``network`` for noisy z, time and label, such as ``TimeUNet`` or ``TimeMLP``.

    Of real values of mean 0 and variance 1 or so, or with ``binary`` of pixels that are 0 or 1. ``steps``: T.
    It learns to find the noise (Ho et al. 2020, equation 14); a label is withheld in training with
    probability ``drop``. ``lr`` and ``decay_steps`` as of :class:`gm_lib.vae.VAE`; ``config``: its builder's.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        binary: bool = False,
        steps: int = 1000,
        drop: float = 0.1,
        lr: float = 2e-3,
        decay_steps: int = 0,
    ):
        super().__init__()
        known: Any = network  # Any: a module's attributes have no types that mypy could know
        self.network, self.shape, self.num_classes = known, known.shape, known.num_classes
        self.kind: Any = Pixels(self.shape) if binary else RealValues()
        self.steps, self.drop, self.lr = whole_number("steps", steps, 2), withheld_share(drop), lr
        self.decay_steps = whole_number("decay_steps", decay_steps)
        self.config: dict[str, Any] = {}

    def denoise(self, z: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x̂, the guess of E[x | z_t = z] (of pixels in [-1, 1]) for z (n, *shape), t (n,)."""
        return self.kind.mean(self._guess(z, t, y))

    def times(self, steps: int | None = None) -> Tensor:
        """Return the times of the levels 1 … T, or of so many ``steps`` in the place of T: from 0 to 1."""
        steps = self.steps if steps is None else whole_number("steps", steps, 2)
        return torch.linspace(0, 1, steps, device=self._like.device, dtype=self._like.dtype)

    def prior_nats(self, x: Tensor) -> Tensor:
        """Return KL(q(z_T | x) ‖ N(0, I)) in nats: (n,)."""
        alpha2 = torch.sigmoid(log_snr(x.new_ones(())))
        return 0.5 * (alpha2 * (self.kind.inside(x).square() - 1) - torch.log1p(-alpha2)).flatten(1).sum(1)

    def step_nats(self, x: Tensor, t: Tensor, s: Tensor, y: Tensor | None = None) -> Tensor:
        """Return KL(q(z_s | z_t, x) ‖ p(z_s | z_t)) at one draw of z_t, times s < t, (n,), in nats: (n,)."""
        clean = self.kind.inside(x)
        error = (clean - self.denoise(noised(clean, t), t, y)).square().flatten(1).sum(1)
        return 0.5 * (log_snr(s).exp() - log_snr(t).exp()) * error

    def last_nats(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return -log p(x | z_1) at one draw of z_1, in nats: (n,)."""
        t = x.new_zeros(len(x))
        return -self.kind.log_prob(x, self._guess(noised(self.kind.inside(x), t), t, y), t)

    def terms(self, x: Tensor, y: Tensor | None = None, *, steps: int | None = None) -> Tensor:
        """Return all that -ELBO is the sum of, in nats: prior, T - 1 steps, -log p(x | z_1): (n, T + 1)."""
        nats = [self.step_nats(x, t, s, y) for t, s in downward(self.times(steps), len(x))]
        return torch.stack([self.prior_nats(x), *nats, self.last_nats(x, y)], 1)

    def elbo(self, x: Tensor, y: Tensor | None = None, *, steps: int | None = None) -> Tensor:
        """Return an unbiased estimate of the ELBO, from one of the T - 1 steps per example, in nats: (n,).

        With other ``steps`` than T it is the bound of another model, which has the same network.
        """
        times = self.times(steps)
        i = (spread(x) * (len(times) - 1)).long()
        of_steps = (len(times) - 1) * self.step_nats(x, times[i + 1], times[i], y)
        return -(self.prior_nats(x) + of_steps + self.last_nats(x, y))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the squared error of the noise found, ‖ε - ε̂‖² / dimensions, at one of T levels: (n,)."""
        y = withhold(y, self.drop, self.num_classes)
        t, clean = self.times()[(spread(x) * self.steps).long()], self.kind.inside(x)
        error = clean - self.denoise(noised(clean, t), t, y)  # ε - ε̂ is -α / σ times that
        return log_snr(t).exp() * error.square().flatten(1).mean(1)

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``; return the loss."""
        loss = self(*batch).mean()
        descend(self, loss, optimizers, step, self.decay_steps)
        return {"loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise ``TypeError`` or ``ValueError`` unless the batch ``(x, y)`` is this model's kind of data."""
        check_batch(batch, self.shape, self.num_classes, self._like, "the model")
        self.kind.check(batch[0])

    @torch.no_grad()
    def sample(
        self,
        n: int,
        y: Any = None,
        *,
        steps: int | None = None,
        guidance: float = 0.0,
        deterministic: bool = False,
        generator: Generator | None = None,
    ) -> Tensor:
        """Return n examples in so many ``steps``, if not given ``SAMPLING_STEPS`` but at most T: (n, *shape).

        ``y``: n labels; without them none is known. By ``guidance`` w the network's answer moves on w times
        as far as the label moved it (Ho and Salimans 2022, equation 6; for pixels logits move, and x̂
        stays in range). With ``deterministic`` no noise is added on the way.
        """
        p, times = self._like, self.times(min(self.steps, SAMPLING_STEPS) if steps is None else steps)
        labels = wanted_labels(y, n, self.num_classes, p.device, guidance)
        made = p.new_zeros((n, *self.shape))
        with evaluating(self):
            for rows in (slice(first, first + AT_ONCE) for first in range(0, n, AT_ONCE)):
                told = None if labels is None else labels[rows]
                z = torch.randn(made[rows].shape, generator=generator, device=p.device, dtype=p.dtype)
                for t, s in downward(times, len(z)):
                    x = self.kind.mean(self._guess(z, t, told, guidance))
                    z = slide_back(z, x, t, s) if deterministic else draw_back(z, x, t, s, generator)
                guess = self._guess(z, s, told, guidance)
                made[rows] = self.kind.mode(guess) if deterministic else self.kind.draw(guess, s, generator)
        return made

    @property
    def _like(self) -> Tensor:
        """A tensor on the model's device, of its dtype."""
        return next(self.parameters(), torch.zeros(()))

    def _guess(self, z: Tensor, t: Tensor, y: Tensor | None, guidance: float = 0.0) -> Tensor:
        told = self.network(z, t, y)
        answer = told + guidance * (told - self.network(z, t)) if guidance else told
        return self.kind.guess(answer, z, t)
