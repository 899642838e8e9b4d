"""Diffusion: a hierarchy z_T → … → z_1 → x whose encoder only adds noise (:mod:`gm_lib.beyond.noising`).

A network guesses x̂ = E[x | z_t], which stands for the unknown x in each step down, from a time t to s < t:

    p(z_s | z_t) = q(z_s | z_t, x = x̂),    KL(q ‖ p) = ½ (exp(log_snr(s)) - exp(log_snr(t))) ‖x - x̂‖²

(Ho et al. 2020; in this form Kingma et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from gm_lib.beyond.last_step import Pixels, RealValues
from gm_lib.beyond.networks import TimeUNet
from gm_lib.beyond.noising import log_snr, noised, slide_back, spread, step_back
from gm_lib.networks import check_input, check_labels, decay, evaluating, labels_of
from gm_lib.system.choose import whole_number
from gm_lib.system.parallel import randn

SAMPLING_STEPS = 50  # if none are given
AT_ONCE = 500  # samples in the making at a time, for the memory's sake


class Diffusion(nn.Module):
    """A diffusion model with a ``network`` for noisy z, time and label, such as ``TimeUNet`` or ``TimeMLP``.

    Of real values of mean 0 and variance 1 or so, or with ``binary`` of pixels that are 0 or 1. ``steps``: T.
    It learns to find the noise (Ho et al. 2020, equation 14); a label is withheld in training with
    probability ``drop``. ``lr`` and ``decay_steps`` as of :class:`gm_lib.vae.VAE`. ``config`` holds the
    arguments of :func:`digit_diffusion` when that built the model.
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
        self.network: Any = network
        self.shape: Any = self.network.shape
        self.num_classes: Any = self.network.num_classes
        self.kind: Any = Pixels(self.shape) if binary else RealValues()
        self.steps = whole_number("steps", steps, 2)
        self.decay_steps = whole_number("decay_steps", decay_steps)
        if not 0 <= drop < 1:
            raise ValueError(f"drop is the share of labels withheld, from 0 to below 1, not {drop}.")
        self.drop, self.lr = drop, lr
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
        times = self.times(steps).flip(0)
        pairs = [times[i : i + 2].expand(len(x), 2).unbind(1) for i in range(len(times) - 1)]
        nats = [self.step_nats(x, t, s, y) for t, s in pairs]
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
        if self.num_classes and y is not None:
            withheld = torch.special.ndtr(randn(y.shape, device=x.device)) < self.drop
            y = y.where(~withheld, self.num_classes)
        t, clean = self.times()[(spread(x) * self.steps).long()], self.kind.inside(x)
        error = clean - self.denoise(noised(clean, t), t, y)  # ε - ε̂ is -α / σ times that
        return log_snr(t).exp() * error.square().flatten(1).mean(1)

    def optimizers(self) -> dict[str, Optimizer]:
        """Return Adam. Call it when the model is on its device."""
        return {"adam": Adam(self.parameters(), lr=self.lr, fused=True)}

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``; return the loss."""
        loss = self(*batch).mean()
        self.zero_grad()
        loss.backward()
        decay(optimizers["adam"], step, self.decay_steps)
        optimizers["adam"].step()
        return {"loss": loss.detach()}

    def check(self, batch: Any) -> None:
        """Raise ``TypeError`` or ``ValueError`` unless the batch ``(x, y)`` is this model's kind of data."""
        x, y = batch
        check_input(x, self.shape, self._like, "the model")
        if not x.isfinite().all():
            raise ValueError("x holds NaN or infinite values: look at how it was computed.")
        self.kind.check(x)
        if self.num_classes:
            check_labels(y, self.num_classes, len(x))

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
        p = self._like
        times = self.times(min(self.steps, SAMPLING_STEPS) if steps is None else steps)
        labels = labels_of(y, n, self.num_classes, p.device)
        if guidance and labels is None:
            raise ValueError("guidance leads towards labels: give y, to a model that takes labels.")
        like: dict[str, Any] = {"generator": generator, "device": p.device, "dtype": p.dtype}
        made = [p.new_zeros((0, *self.shape))]
        with evaluating(self):
            for first in range(0, n, AT_ONCE):
                z = torch.randn((min(AT_ONCE, n - first), *self.shape), **like)
                told = None if labels is None else labels[first : first + AT_ONCE]
                for i in range(len(times) - 1, 0, -1):
                    t, s = times[i].expand(len(z)), times[i - 1].expand(len(z))
                    x = self.kind.mean(self._guess(z, t, told, guidance))
                    if deterministic:
                        z = slide_back(z, x, t, s)
                    else:
                        mean, sd = step_back(z, x, t, s)
                        z = mean + sd * torch.randn(z.shape, **like)
                t = times[0].expand(len(z))
                guess = self._guess(z, t, told, guidance)
                made.append(self.kind.mode(guess) if deterministic else self.kind.draw(guess, t, generator))
        return torch.cat(made)

    @property
    def _like(self) -> Tensor:
        """A tensor on the model's device, of its dtype."""
        return next(self.parameters(), torch.zeros(()))

    def _guess(self, z: Tensor, t: Tensor, y: Tensor | None, guidance: float = 0.0) -> Tensor:
        answer = self.network(z, t, y)
        if guidance:
            answer = answer + guidance * (answer - self.network(z, t))
        return self.kind.guess(answer, z, t)


def digit_diffusion(
    *,
    shape: Sequence[int] = (1, 28, 28),
    width: int = 32,
    num_classes: int = 0,
    steps: int = 1000,
    drop: float = 0.1,
    lr: float = 2e-3,
    decay_steps: int = 0,
) -> Diffusion:
    """Return a diffusion model of binarized images (n, *shape), with a ``TimeUNet`` of this ``width``."""
    config = dict(locals()) | {"shape": list(shape)}
    network = TimeUNet(shape, width=width, num_classes=num_classes)
    model = Diffusion(network, binary=True, steps=steps, drop=drop, lr=lr, decay_steps=decay_steps)
    model.config = config
    return model
