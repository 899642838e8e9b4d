"""What each player of the game pays, per example and on logits: D(x) = sigmoid(logit).

The discriminator's loss is a function of the logits of real and of generated examples, (n,) each, the
generator's one of the logits of what it made; both return (n,). Whoever pays less plays better; the mean over
the batch is taken where the loss is used.
``softplus(-t)`` is -log sigmoid(t), and stays exact where the sigmoid has rounded to 0 or 1.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return -log D(x) - log(1 - D(G(z))): minus the value of the game. Goodfellow et al. 2014, eq. 1."""
    return softplus(-real_logits) + softplus(fake_logits)


def minimax_generator_loss(fake_logits: Tensor) -> Tensor:
    """Return log(1 - D(G(z))), the generator's part of the same value. Goodfellow et al. 2014, eq. 1.

    Its gradient with respect to the logit is -D(G(z)): it vanishes where the discriminator is sure.
    """
    return -softplus(fake_logits)


def non_saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """Return -log D(G(z)). Goodfellow et al. 2014, section 3.

    Its gradient with respect to the logit is -(1 - D(G(z))): largest where the discriminator is sure.
    """
    return softplus(-fake_logits)


class Loss(NamedTuple):
    """The two players' losses, of (real_logits, fake_logits) and of (fake_logits), all of shape (n,)."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


LOSSES: dict[str, Loss] = {
    "minimax": Loss(discriminator_loss, minimax_generator_loss),
    "non_saturating": Loss(discriminator_loss, non_saturating_generator_loss),
}
