"""Lower bounds of log p(x), read off the joint log-weights of draws z from q(z | x).

Shapes: (k, n), k draws of z for each of n examples; results (n,), in nats.
"""

from typing import NamedTuple

from torch import Tensor

from gm_lib.distributions.monte_carlo import log_mean_exp


def log_importance_weights(log_p_x_given_z: Tensor, log_p_z: Tensor, log_q_z_given_x: Tensor) -> Tensor:
    """Return log w = log p(x | z) + log p(z) - log q(z | x), with z from q(z | x). Any one shape."""
    return log_p_x_given_z + log_p_z - log_q_z_given_x


def elbo(log_p_x_given_z: Tensor, log_p_z: Tensor, log_q_z_given_x: Tensor) -> Tensor:
    """Return the evidence lower bound, estimated from k draws: the mean of log w. (k, n) to (n,).

    Kingma and Welling 2014, equation 2.
    """
    return log_importance_weights(log_p_x_given_z, log_p_z, log_q_z_given_x).mean(0)


class ElboEstimates(NamedTuple):
    """Three estimates of one ELBO from each draw, (k, n) in nats: equal in the mean, not in the spread."""

    three_densities: Tensor
    """log p(x | z) + log p(z) - log q(z | x), nothing in closed form."""
    closed_kl: Tensor
    """log p(x | z) - KL(q(z | x) ‖ p(z))."""
    closed_entropy: Tensor
    """log p(x | z) + log p(z) + H(q(z | x))."""


def elbo_estimates(
    log_p_x_given_z: Tensor, log_p_z: Tensor, log_q_z_given_x: Tensor, *, kl: Tensor, entropy: Tensor
) -> ElboEstimates:
    """Return three unbiased estimates of the ELBO for each draw z from q(z | x), three times (k, n).

    ``kl``: KL(q(z | x) ‖ p(z)), ``entropy``: H(q(z | x)), both exact, (n,), in nats. The first form has no
    variance where q is the posterior: there it is log p(x). The second is what a VAE is trained on. Kingma
    and Welling 2014, appendix B.

    Raises ``ValueError`` for shapes that are not (k, n) thrice and (n,) twice.
    """
    shape = log_p_x_given_z.shape
    given = {"log_p_z": log_p_z, "log_q_z_given_x": log_q_z_given_x, "kl": kl, "entropy": entropy}
    for name, value in given.items():
        expected = shape[1:] if name in ("kl", "entropy") else shape
        if len(shape) != 2 or value.shape != expected:
            raise ValueError(
                f"log-densities must be (k, n), kl and entropy (n,), summed over the latent dimensions: "
                f"log_p_x_given_z is {tuple(shape)} and {name} {tuple(value.shape)}."
            )
    return ElboEstimates(
        three_densities=log_importance_weights(log_p_x_given_z, log_p_z, log_q_z_given_x),
        closed_kl=log_p_x_given_z - kl,
        closed_entropy=log_p_x_given_z + log_p_z + entropy,
    )


def iwae_bound(log_w: Tensor) -> Tensor:
    """Return the importance-weighted bound: the log of the mean of w over k draws. (k, n) to (n,).

    Its expectation rises with k and tends to log p(x): slowly where q is narrower than the posterior, as an
    encoder trained on the ELBO tends to be. Burda, Grosse and Salakhutdinov 2016, equation 8.
    """
    return log_mean_exp(log_w)


def free_bits(kl: Tensor, nats: float) -> Tensor:
    """Return the KL as the training loss counts it: each part for at least ``nats``. (n, parts) to ().

    The mean over the batch of each part (a latent dimension, or a group of them) below ``nats`` is raised to
    it, and has no gradient there: so much information is free. 0 leaves the mean of the sum as it is.
    Kingma et al. 2016.
    """
    return kl.mean(0).clamp(min=nats).sum()


def doubly_reparameterized(log_w: Tensor, z: Tensor) -> Tensor:
    """Return a number whose gradient is the doubly reparameterized one of the importance-weighted bound.

    ``log_w``: (k, n), in which the parameters of q are constants but where they made ``z``, (k, n, d). Each
    draw's gradient then counts by its share v of the weights for all that is after z, the decoder, and by v²
    on its way through z to the encoder: unbiased, and unlike the plain one its signal-to-noise ratio does
    not fall with k. Tucker et al. 2019. The value itself is no bound: use :func:`iwae_bound`.
    """
    share = log_w.detach().softmax(0)
    if z.requires_grad:
        z.register_hook(lambda gradient: share.unsqueeze(-1) * gradient)
    return (share * log_w).sum(0)
