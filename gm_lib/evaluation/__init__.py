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
from gm_lib.evaluation.distances import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from gm_lib.evaluation.extrapolation import FrechetAtInfinity, frechet_distance_at_infinity
from gm_lib.evaluation.factors import FactorReport, factor_report
from gm_lib.evaluation.filling import simple_fillings
from gm_lib.evaluation.information import RateSplit, split_rate
from gm_lib.evaluation.judgement import Judgement, judge
from gm_lib.evaluation.likelihood import (
    ActiveUnits,
    LikelihoodEstimate,
    active_units,
    bits_per_dim,
    dequantized_bits_per_dim,
    exact_log_likelihood,
    log_likelihood,
    negative_elbo,
)
from gm_lib.evaluation.music import ChordBigram, MusicReport, musical_statistics, pitch_classes, ratio
from gm_lib.evaluation.ngrams import (
    KneserNey,
    WittenBell,
    longest_known,
    nats_per_character,
    share_known,
)
from gm_lib.evaluation.noise import NoisyDecoder
from gm_lib.evaluation.sharpness import gradient_energy
from gm_lib.evaluation.training_value import TrainingReport, train_on_samples
from gm_lib.evaluation.two_sample import TwoSampleTest, detectable_accuracy, two_sample_test

__all__ = [
    "CONFIDENT",
    "COVERED",
    "ActiveUnits",
    "ChordBigram",
    "CopyReport",
    "DensityCoverage",
    "DigitReport",
    "FactorReport",
    "FrechetAtInfinity",
    "Judgement",
    "KneserNey",
    "LikelihoodEstimate",
    "ModeReport",
    "MusicReport",
    "NoisyDecoder",
    "PrecisionRecall",
    "RateSplit",
    "TrainingReport",
    "TwoSampleTest",
    "WittenBell",
    "active_units",
    "annealed_log_likelihood",
    "bits_per_dim",
    "copy_test",
    "density_coverage",
    "dequantized_bits_per_dim",
    "detectable_accuracy",
    "exact_log_likelihood",
    "expected_histogram_kl",
    "factor_report",
    "frechet_distance",
    "frechet_distance_at_infinity",
    "gradient_energy",
    "judge",
    "judge_digits",
    "kernel_distance",
    "log_likelihood",
    "longest_known",
    "mode_coverage",
    "musical_statistics",
    "nats_per_character",
    "negative_elbo",
    "pitch_classes",
    "precision_recall",
    "ratio",
    "share_known",
    "simple_fillings",
    "split_rate",
    "stacked_mode_coverage",
    "train_on_samples",
    "two_sample_test",
]
