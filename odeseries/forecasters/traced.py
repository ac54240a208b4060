"""What a network whose forecasts follow one dynamics lets be looked at."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from odeseries.interfaces import Dynamics
from odeseries.model import Model
from odeseries.windows import Batch

__all__ = ["Traced"]


class Traced(Model):
    """A network whose forecasts follow one dynamics.

    Attributes
    ----------
    dynamics : Dynamics
        What the states follow.
    """

    dynamics: Dynamics

    @property
    def n_visible(self) -> int:
        """Number of first coordinates of a state that are the channels themselves."""
        return 0

    @property
    def pace(self) -> float:
        """Units of the dynamics' time in a horizon."""
        return 1.0

    @abstractmethod
    def trace(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States at the queries and the work of reaching them.

        They are those ahead of what is seen before the queries or, where nothing is, behind what
        is seen after them.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        states : Tensor of shape (batch, n_queries, state_dim)
        nfe : Tensor of int64, shape (batch,)
            Evaluations of the field.
        """
