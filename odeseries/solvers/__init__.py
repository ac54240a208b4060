"""Integration of learned dynamics over ragged batches."""

from odeseries.solvers.noise import row_seeds
from odeseries.solvers.runge_kutta import RK4, Dopri5, Euler, Heun, Midpoint, Tsit5
from odeseries.solvers.solve import solve
from odeseries.solvers.symplectic import Leapfrog

__all__ = ["RK4", "Dopri5", "Euler", "Heun", "Leapfrog", "Midpoint", "Tsit5", "row_seeds", "solve"]
