"""Variational autoencoders, and the autoencoder that they are named after."""

from gm_lib.vae.autoencoder import Autoencoder, digit_autoencoder
from gm_lib.vae.bounds import (
    ElboEstimates,
    doubly_reparameterized,
    elbo,
    elbo_estimates,
    free_bits,
    iwae_bound,
    log_importance_weights,
)
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
from gm_lib.vae.priors import MixturePrior, StandardNormal, VampPrior
from gm_lib.vae.refine import refine

__all__ = [
    "LIKELIHOODS",
    "VAE",
    "Autoencoder",
    "Bernoulli",
    "Categorical",
    "Decoder",
    "DiscretizedLogistic",
    "ElboEstimates",
    "ElboTerms",
    "Gaussian",
    "GaussianEncoder",
    "Likelihood",
    "MixturePrior",
    "StandardNormal",
    "VampPrior",
    "digit_autoencoder",
    "digit_vae",
    "doubly_reparameterized",
    "elbo",
    "elbo_estimates",
    "free_bits",
    "iwae_bound",
    "likelihood",
    "log_importance_weights",
    "refine",
]
