"""Integration of learned dynamics over ragged batches."""

from odeseries.solvers.runge_kutta import RK4, Euler, FixedStep, Midpoint
from odeseries.solvers.solve import solve

__all__ = ["RK4", "Euler", "FixedStep", "Midpoint", "solve"]
