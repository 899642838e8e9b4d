"""What models with latent variables have in common, whatever their p(x, z) and q(z | x): the training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from gm_lib.networks import VALUES_AT_ONCE, check_input, check_labels, descend
from gm_lib.system.choose import choose, whole_number
from gm_lib.vae.bounds import free_bits as count_free_bits
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.muon import Muon

OPTIMIZERS = ("adam", "muon")
# However clear its gradient, Adam moves the Gaussian's log σ by no more than its step size. At this pace σ
# arrives together with the decoder's error, and no steps are spent on one number alone.
FASTER = 10


class ElboTerms(NamedTuple):
    """The two prices in -ELBO = reconstruction + KL, per example and in nats."""

    reconstruction: Tensor
    """-log p(x | z) for one draw z from q(z | x): (n,)."""
    kl: Tensor
    """KL(q(z | x) ‖ p(z)), (n, parts): in closed form, dimension by dimension, (n, latent_dim), for the prior
    N(0, I); log q(z | x) - log p(z) at the draw, (n, 1), for any other; of a hierarchy, (n, levels)."""

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound: (n,)."""
        return -self.reconstruction - self.kl.sum(-1)


class LatentVariableModel(nn.Module):
    """A model of x with latent variables, trained on the ELBO or the bound of ``k`` draws.

    The options are those of :class:`gm_lib.vae.VAE`. A subclass sets its ``likelihood`` and says what its
    :meth:`elbo_terms`, :meth:`importance_weighted` and :meth:`matrices` are.

    Raises ``ValueError`` for options that do not go together.
    """

    likelihood: Likelihood
    num_classes: Any = 0  # Any: of one model it is a property

    def __init__(
        self,
        *,
        beta: float,
        free_bits: float,
        k: int,
        lr: float,
        optimizer: str,
        decay_steps: int,
    ):
        super().__init__()
        self.beta, self.free_bits, self.k = beta, free_bits, whole_number("k", k, 1)
        if self.k > 1 and (beta != 1 or free_bits):
            raise ValueError("beta and free bits weigh a KL: the importance-weighted bound (k > 1) has none.")
        self.lr, self.optimizer = lr, choose("optimizer", optimizer, OPTIMIZERS)
        self.decay_steps = whole_number("decay_steps", decay_steps)
        self.config: dict[str, Any] = {}

    def elbo_terms(self, x: Tensor, y: Tensor | None = None) -> ElboTerms:
        """Return the terms of the ELBO for each example, with one draw from q(z | x) that gradients pass."""
        raise NotImplementedError

    def importance_weighted(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the bound of ``k`` draws, (n,), and what its gradient is taken of, (n,)."""
        raise NotImplementedError

    def matrices(self) -> list[nn.Parameter]:
        """Return the weight matrices that are Muon's, if it is asked for."""
        raise NotImplementedError

    def forward(self, x: Tensor, y: Tensor | None = None) -> ElboTerms:
        """Return :meth:`elbo_terms`: what is trained, and what hooks and ``model.compile()`` get to see."""
        return self.elbo_terms(x, y)

    def elbo(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return an unbiased one-draw estimate of the ELBO for each example, in nats: (n,)."""
        return self.elbo_terms(x, y).elbo

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the optimizers. Call it when the model is on its device: a fused Adam is bound to it."""
        matrices = self.matrices() if self.optimizer == "muon" else []
        apart = {id(p) for p in (*self.likelihood.parameters(), *matrices)}
        own = [p for p in self.parameters() if id(p) not in apart]
        optimizers: dict[str, Optimizer] = {"adam": adam(own, self.likelihood, self.lr)}
        if matrices:
            optimizers["muon"] = Muon(matrices, lr=FASTER * self.lr)
        return optimizers

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``; return the terms, means over the batch in nats."""
        x, y = batch
        terms: dict[str, Tensor] = {}
        if self.k > 1:
            bound, objective = self.importance_weighted(x, y)
            loss, terms["loss"] = -objective.mean(), -bound.mean()
        else:
            reconstruction, kl = self(x, y)
            reconstruction, total = reconstruction.mean(), kl.sum(-1).mean()
            counted = count_free_bits(kl, self.free_bits) if self.free_bits else total
            loss = reconstruction + self.beta * counted
            terms |= {"loss": loss, "reconstruction": reconstruction, "kl": total}
        descend(self, loss, optimizers, step, self.decay_steps)
        return {name: value.detach() for name, value in terms.items()}

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, y)`` is this model's kind of data. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for all else.
        """
        x, y = batch
        self.likelihood.check(x)
        check_input(x, self.likelihood.event_shape, next(self.parameters()), "the model")
        if self.num_classes:
            check_labels(y, self.num_classes, len(x))


def adam(own: Iterable[nn.Parameter], likelihood: Likelihood, lr: float) -> Adam:
    """Return Adam for a model's ``own`` parameters and those of its likelihood.

    What the likelihood itself learns, one number for all pixels, moves ``FASTER`` times as far in a step.
    """
    groups: list[dict[str, Any]] = [{"params": list(own)}]
    if shared := list(likelihood.parameters()):
        groups.append({"params": shared, "lr": FASTER * lr})
    return Adam(groups, lr=lr, fused=True)


@torch.no_grad()
def examples(
    likelihood: Likelihood,
    params: Callable[[slice], Tensor],
    n: int,
    values_per_draw: int,
    generator: Generator | None,
    noisy: bool,
) -> Tensor:
    """Return n examples, means of p(x | params) or ``noisy`` draws, few at a time for the memory's sake.

    ``params(rows)``: the parameters of the examples in these rows. Shape (n, *event_shape).
    """
    at_once = max(1, VALUES_AT_ONCE // values_per_draw)
    made = []
    for rows in (slice(i, i + at_once) for i in range(0, max(n, 1), at_once)):
        of_rows = params(rows)
        made.append(likelihood.sample(of_rows, generator) if noisy else likelihood.mean(of_rows))
    return torch.cat(made)
