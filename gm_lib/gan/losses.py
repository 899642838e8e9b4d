"""What each player of the game pays, per example and on logits.

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


def least_squares_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return (D(x) - 1)²/2 + D(G(z))²/2, where D is the logit itself. Mao et al. 2017."""
    return 0.5 * ((real_logits - 1).square() + fake_logits.square())


def least_squares_generator_loss(fake_logits: Tensor) -> Tensor:
    """Return (D(G(z)) - 1)²/2. Mao et al. 2017."""
    return 0.5 * (fake_logits - 1).square()


def hinge_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return max(0, 1 - D(x)) + max(0, 1 + D(G(z))). Lim and Ye 2017; Miyato et al. 2018."""
    return (1 - real_logits).relu() + (1 + fake_logits).relu()


def wasserstein_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return D(G(z)) - D(x), to be minimized over D with bounded slopes only. Arjovsky et al. 2017."""
    return fake_logits - real_logits


def wasserstein_generator_loss(fake_logits: Tensor) -> Tensor:
    """Return -D(G(z)). Arjovsky et al. 2017; with the hinge, Lim and Ye 2017."""
    return -fake_logits


def relativistic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return -log sigmoid(D(x) - D(G(z))), D the logits. Jolicoeur-Martineau 2019; Huang et al. 2024."""
    return softplus(fake_logits - real_logits)


def relativistic_generator_loss(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """Return -log sigmoid(D(G(z)) - D(x)): the generated one of the pair is to seem the real one."""
    return softplus(real_logits - fake_logits)


class Loss(NamedTuple):
    """The two players' losses, of (real_logits, fake_logits) and of (fake_logits), all of shape (n,)."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[..., Tensor]
    paired: bool = False
    """Whether the generator's is one of (fake_logits, real_logits), which costs it a pass over real data."""
    probability: bool = True
    """Whether the discriminator is trained so that sigmoid(logit) is the probability of being real."""


LOSSES: dict[str, Loss] = {
    "minimax": Loss(discriminator_loss, minimax_generator_loss),
    "non_saturating": Loss(discriminator_loss, non_saturating_generator_loss),
    "least_squares": Loss(least_squares_loss, least_squares_generator_loss, probability=False),
    "hinge": Loss(hinge_loss, wasserstein_generator_loss, probability=False),
    "wasserstein": Loss(wasserstein_loss, wasserstein_generator_loss, probability=False),
    "relativistic": Loss(relativistic_loss, relativistic_generator_loss, paired=True, probability=False),
}
