"""Lower bounds of log p(x), read off the joint log-weights of draws z from q(z | x).

Shapes: (k, n), k draws of z for each of n examples; results (n,), in nats.
"""

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


def iwae_bound(log_w: Tensor) -> Tensor:
    """Return the importance-weighted bound: the log of the mean of w over k draws. (k, n) to (n,).

    Its expectation rises with k and tends to log p(x). Burda, Grosse and Salakhutdinov 2016, equation 8.
    """
    return log_mean_exp(log_w)
