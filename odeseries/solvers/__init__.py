"""Integration of learned dynamics over ragged batches."""

from odeseries.solvers.events import Event, solve_event
from odeseries.solvers.noise import row_seeds
from odeseries.solvers.regularised import Costs, Regularised, random_end
from odeseries.solvers.runge_kutta import RK4, Dopri5, Euler, Heun, Midpoint, Tsit5
from odeseries.solvers.solve import solve
from odeseries.solvers.symplectic import Leapfrog

__all__ = [
    "RK4",
    "Costs",
    "Dopri5",
    "Euler",
    "Event",
    "Heun",
    "Leapfrog",
    "Midpoint",
    "Regularised",
    "Tsit5",
    "random_end",
    "row_seeds",
    "solve",
    "solve_event",
]
