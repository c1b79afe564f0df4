"""Probabilistic forecasts of sensor logs: fit on runs, predict with what is planned, know what is not known."""

from sciode.forecast.anchored import AnchoredEnsemble
from sciode.forecast.backtest import backtest
from sciode.forecast.base import Forecaster
from sciode.forecast.baselines import Persistence, Ridge, Seasonal
from sciode.forecast.design import Design
from sciode.forecast.judge import alarms, judge
from sciode.forecast.laplace import LaplaceForecaster
from sciode.forecast.latent import LatentSDE
from sciode.forecast.learn import Training
from sciode.forecast.process import ProcessForecaster
from sciode.forecast.variational import VariationalForecaster

__all__ = [
    "AnchoredEnsemble",
    "Design",
    "Forecaster",
    "LaplaceForecaster",
    "LatentSDE",
    "Persistence",
    "ProcessForecaster",
    "Ridge",
    "Seasonal",
    "Training",
    "VariationalForecaster",
    "alarms",
    "backtest",
    "judge",
]
