"""Built-in dynamics."""

from odeseries.dynamics.first_order import MLP
from odeseries.dynamics.linear import Linear

__all__ = ["MLP", "Linear"]
