"""Periodic grids, symbols of differential operators, dealiasing, resampling."""

from sciode.core.symbol import Symbol
from sciode.spectral.grid import Grid
from sciode.spectral.resample import resample

__all__ = ["Grid", "Symbol", "resample"]
