"""Built-in dynamics."""

from odeseries.dynamics.first_order import MLP
from odeseries.dynamics.linear import Linear
from odeseries.dynamics.stochastic import SDE

__all__ = ["MLP", "SDE", "Linear"]
