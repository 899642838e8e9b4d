"""Variational autoencoders."""

from gm_lib.vae.bounds import elbo, iwae_bound, log_importance_weights
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Gaussian,
    likelihood,
)
from gm_lib.vae.model import VAE, ElboTerms, digit_vae
from gm_lib.vae.networks import Decoder, GaussianEncoder

__all__ = [
    "LIKELIHOODS",
    "VAE",
    "Bernoulli",
    "Categorical",
    "Decoder",
    "DiscretizedLogistic",
    "ElboTerms",
    "Gaussian",
    "GaussianEncoder",
    "Likelihood",
    "digit_vae",
    "elbo",
    "iwae_bound",
    "likelihood",
    "log_importance_weights",
]
