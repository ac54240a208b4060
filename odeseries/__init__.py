"""Forecasting irregular time series with learned continuous-time dynamics."""

from odeseries.interfaces import Dynamics, Solution, Solver
from odeseries.solvers import solve

__all__ = ["Dynamics", "Solution", "Solver", "solve"]
