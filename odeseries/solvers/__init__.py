"""Integration of learned dynamics over ragged batches."""

from odeseries.solvers.noise import row_seeds
from odeseries.solvers.runge_kutta import RK4, Euler, FixedStep, Midpoint
from odeseries.solvers.solve import solve

__all__ = ["RK4", "Euler", "FixedStep", "Midpoint", "row_seeds", "solve"]
