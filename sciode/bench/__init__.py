"""Benchmarks: suites of data sets and models, run so that every number can be traced and repeated."""

from sciode.bench.config import DatasetEntry, ModelEntry, Suite
from sciode.bench.suites import load_suite, suite_names

__all__ = ["DatasetEntry", "ModelEntry", "Suite", "load_suite", "suite_names"]
