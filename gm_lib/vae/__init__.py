"""Variational autoencoders, and the autoencoder that they are named after."""

from gm_lib.vae.autoencoder import Autoencoder, digit_autoencoder
from gm_lib.vae.autoregressive import AutoregressiveBernoulli
from gm_lib.vae.bounds import (
    ElboEstimates,
    doubly_reparameterized,
    elbo,
    elbo_estimates,
    free_bits,
    iwae_bound,
    log_importance_weights,
)
from gm_lib.vae.code_prior import CodePrior
from gm_lib.vae.columns import Columns, impute
from gm_lib.vae.convolutional import ConvDecoder, ConvEncoder
from gm_lib.vae.hierarchical import HierarchicalVAE, Inferred, digit_hierarchical_vae
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Gaussian,
    PixelGaussian,
    SharedDiscretizedLogistic,
    likelihood,
)
from gm_lib.vae.masked import MaskedBernoulli
from gm_lib.vae.model import VAE, ElboTerms, digit_vae
from gm_lib.vae.networks import Decoder, GaussianEncoder
from gm_lib.vae.priors import MixturePrior, StandardNormal, VampPrior
from gm_lib.vae.quantizers import FiniteScalarQuantizer, Quantized, VectorQuantizer, perplexity, used
from gm_lib.vae.refine import refine
from gm_lib.vae.sequence import SequenceVAE, music_vae
from gm_lib.vae.text import CharacterModel, Characters, TextDecoder, TextEncoder, TextVAE
from gm_lib.vae.vector_quantized import VQVAE, digit_vqvae

__all__ = [
    "LIKELIHOODS",
    "VAE",
    "VQVAE",
    "Autoencoder",
    "AutoregressiveBernoulli",
    "Bernoulli",
    "Categorical",
    "CharacterModel",
    "Characters",
    "CodePrior",
    "Columns",
    "ConvDecoder",
    "ConvEncoder",
    "Decoder",
    "DiscretizedLogistic",
    "ElboEstimates",
    "ElboTerms",
    "FiniteScalarQuantizer",
    "Gaussian",
    "GaussianEncoder",
    "HierarchicalVAE",
    "Inferred",
    "Likelihood",
    "MaskedBernoulli",
    "MixturePrior",
    "PixelGaussian",
    "Quantized",
    "SequenceVAE",
    "SharedDiscretizedLogistic",
    "StandardNormal",
    "TextDecoder",
    "TextEncoder",
    "TextVAE",
    "VampPrior",
    "VectorQuantizer",
    "digit_autoencoder",
    "digit_hierarchical_vae",
    "digit_vae",
    "digit_vqvae",
    "doubly_reparameterized",
    "elbo",
    "elbo_estimates",
    "free_bits",
    "impute",
    "iwae_bound",
    "likelihood",
    "log_importance_weights",
    "music_vae",
    "perplexity",
    "refine",
    "used",
]
