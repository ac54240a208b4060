"""Forecasting irregular time series with learned continuous-time dynamics."""

from odeseries import datasets, metrics
from odeseries.errors import (
    ConvergenceWarning,
    DataError,
    OdeSeriesError,
    PluginError,
    SolverError,
)
from odeseries.forecasters import BaseForecaster, LatentODEForecaster, ODERNNForecaster
from odeseries.frames import future_times
from odeseries.hookspecs import hookimpl
from odeseries.interfaces import Dynamics, Solution, Solver
from odeseries.model_selection import PanelSplit, TimeSplit, backtest
from odeseries.plugins import register
from odeseries.solvers import solve

__all__ = [
    "BaseForecaster",
    "ConvergenceWarning",
    "DataError",
    "Dynamics",
    "LatentODEForecaster",
    "ODERNNForecaster",
    "OdeSeriesError",
    "PanelSplit",
    "PluginError",
    "Solution",
    "Solver",
    "SolverError",
    "TimeSplit",
    "backtest",
    "datasets",
    "future_times",
    "hookimpl",
    "metrics",
    "register",
    "solve",
]
