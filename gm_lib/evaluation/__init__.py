"""How good is it? Likelihoods, and judges of samples."""

from gm_lib.evaluation.annealed import annealed_log_likelihood
from gm_lib.evaluation.copies import CopyReport, copy_test
from gm_lib.evaluation.coverage import (
    CONFIDENT,
    ModeReport,
    expected_histogram_kl,
    mode_coverage,
    stacked_mode_coverage,
)
from gm_lib.evaluation.digits import COVERED, DigitReport, judge_digits
from gm_lib.evaluation.distances import PrecisionRecall, frechet_distance, kernel_distance, precision_recall
from gm_lib.evaluation.information import RateSplit, split_rate
from gm_lib.evaluation.likelihood import (
    ActiveUnits,
    LikelihoodEstimate,
    active_units,
    bits_per_dim,
    log_likelihood,
    negative_elbo,
)
from gm_lib.evaluation.sharpness import gradient_energy

__all__ = [
    "CONFIDENT",
    "COVERED",
    "ActiveUnits",
    "CopyReport",
    "DigitReport",
    "LikelihoodEstimate",
    "ModeReport",
    "PrecisionRecall",
    "RateSplit",
    "active_units",
    "annealed_log_likelihood",
    "bits_per_dim",
    "copy_test",
    "expected_histogram_kl",
    "frechet_distance",
    "gradient_energy",
    "judge_digits",
    "kernel_distance",
    "log_likelihood",
    "mode_coverage",
    "negative_elbo",
    "precision_recall",
    "split_rate",
    "stacked_mode_coverage",
]
