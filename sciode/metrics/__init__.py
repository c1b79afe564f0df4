"""How good a prediction is: errors of fields, spectra, correlation, conservation, and PDEBench's six."""

from sciode.metrics.accumulator import PDEBenchMetrics
from sciode.metrics.conservation import Drift, conservation_drift
from sciode.metrics.correlation import correlation, correlation_time, crossing_time
from sciode.metrics.efficiency import accuracy_gain, efficiency_gain
from sciode.metrics.ensemble import (
    crps,
    ensemble_error,
    ensemble_spread,
    rank_histogram,
    spread_skill,
    warning_time,
)
from sciode.metrics.events import EventScores, event_scores, hysteresis
from sciode.metrics.fields import nrmse, relative_l1, relative_l2, rmse, vrmse
from sciode.metrics.gaussian import coverage, front_position, gaussian_crps, gaussian_log_likelihood
from sciode.metrics.pdebench import pdebench_metrics
from sciode.metrics.probabilistic import (
    bootstrap,
    central,
    conformal_factor,
    energy_score,
    gaussian_nll,
    interval_score,
    mixture_nll,
    pit,
    reliability,
)
from sciode.metrics.shells import shell_wavenumbers, spectrum
from sciode.metrics.spectra import band_error, spectral_error

__all__ = [
    "Drift",
    "EventScores",
    "PDEBenchMetrics",
    "accuracy_gain",
    "band_error",
    "bootstrap",
    "central",
    "conformal_factor",
    "conservation_drift",
    "correlation",
    "correlation_time",
    "coverage",
    "crossing_time",
    "crps",
    "efficiency_gain",
    "energy_score",
    "ensemble_error",
    "ensemble_spread",
    "event_scores",
    "front_position",
    "gaussian_crps",
    "gaussian_log_likelihood",
    "gaussian_nll",
    "hysteresis",
    "interval_score",
    "mixture_nll",
    "nrmse",
    "pdebench_metrics",
    "pit",
    "rank_histogram",
    "relative_l1",
    "relative_l2",
    "reliability",
    "rmse",
    "shell_wavenumbers",
    "spectral_error",
    "spectrum",
    "spread_skill",
    "vrmse",
    "warning_time",
]
