"""Benchmarks: suites of data sets and models, run so that every number can be traced and repeated."""

from sciode.bench.compare import Comparison, compare_runs
from sciode.bench.config import DatasetEntry, ModelEntry, Suite
from sciode.bench.runner import run_suite
from sciode.bench.suites import load_suite, suite_names

__all__ = [
    "Comparison",
    "DatasetEntry",
    "ModelEntry",
    "Suite",
    "compare_runs",
    "load_suite",
    "run_suite",
    "suite_names",
]
