"""The network of a density, made from its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from odeseries.cnf.bases import Base
from odeseries.cnf.flow import Flow
from odeseries.cnf.velocity import Velocity
from odeseries.interfaces import Dynamics, Solver
from odeseries.nets import seeded_weights

__all__ = ["Design"]


@dataclass(frozen=True)
class Design:
    """What a user asks of the network; see the parameters of the estimator."""

    dynamics: str | type[Dynamics]
    dynamics_params: Mapping[str, Any]
    divergence: str
    solver: str | type[Solver]

    def build(
        self, base: Base, dim: int, n_conditions: int, options: Mapping[str, Any], seed: int
    ) -> Flow:
        """Make an untrained flow; global generators are not touched.

        Parameters
        ----------
        base : Base
            Distribution that the field moves.
        dim, n_conditions : int
            Dimension of the data, and of what they are conditioned on.
        options : mapping
            Steps or tolerances.
        seed : int
            Of the initial weights.
        """
        with seeded_weights(seed):
            velocity = Velocity(
                self.dynamics,
                dim,
                n_conditions,
                params=self.dynamics_params,
                divergence=self.divergence,
            )
        return Flow(velocity, base, solver=self.solver, options=options)
