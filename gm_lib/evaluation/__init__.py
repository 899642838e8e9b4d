"""How good is it? Estimates with their standard errors, and likelihoods of models with hidden variables."""

from gm_lib.evaluation.estimates import Estimate, assert_unbiased, estimate, report, standard_error
from gm_lib.evaluation.likelihood import (
    ActiveUnits,
    LikelihoodEstimate,
    active_units,
    bits_per_dim,
    log_likelihood,
    negative_elbo,
)

__all__ = [
    "ActiveUnits",
    "Estimate",
    "LikelihoodEstimate",
    "active_units",
    "assert_unbiased",
    "bits_per_dim",
    "estimate",
    "log_likelihood",
    "negative_elbo",
    "report",
    "standard_error",
]
