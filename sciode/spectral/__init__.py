"""Periodic grids, symbols of differential operators, dealiasing, resampling."""

from sciode.spectral.grid import Grid
from sciode.spectral.resample import resample
from sciode.spectral.symbol import Symbol

__all__ = ["Grid", "Symbol", "resample"]
