"""How good is it? Estimates with their standard errors, and likelihoods of models with hidden variables."""

from gm_lib.evaluation.estimates import Estimate, assert_unbiased, estimate, report, standard_error

__all__ = ["Estimate", "assert_unbiased", "estimate", "report", "standard_error"]
