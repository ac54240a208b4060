"""Built-in dynamics."""

from odeseries.dynamics.augmented import Augmented
from odeseries.dynamics.convolutional import Convolutional
from odeseries.dynamics.first_order import MLP
from odeseries.dynamics.fourier import Fourier
from odeseries.dynamics.hamiltonian import Hamiltonian
from odeseries.dynamics.linear import Linear
from odeseries.dynamics.second_order import SecondOrder
from odeseries.dynamics.stochastic import SDE, Disturbed

__all__ = [
    "MLP",
    "SDE",
    "Augmented",
    "Convolutional",
    "Disturbed",
    "Fourier",
    "Hamiltonian",
    "Linear",
    "SecondOrder",
]
