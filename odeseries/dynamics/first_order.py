"""A vector field given by a perceptron."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from odeseries.interfaces import Dynamics
from odeseries.nets import Perceptron, StateNetwork, is_bare

__all__ = ["MLP"]


class MLP(Dynamics, StateNetwork):
    r"""Neural ordinary differential equation :math:`\dot z = f(z, u)`, :math:`f` a perceptron.

    Parameters
    ----------
    dim : int
        Dimension of the state.
    n_inputs : int, default=0
        Number of known inputs :math:`u`.
    hidden : int, default=64
        Width of the hidden layers.
    depth : int, default=2
        Number of hidden layers.

    References
    ----------
    Chen, R. T. Q., Rubanova, Y., Bettencourt, J., Duvenaud, D. (2018). Neural Ordinary
    Differential Equations. NeurIPS. Equation (2).

    Examples
    --------
    >>> import torch
    >>> from odeseries.dynamics import MLP
    >>> MLP(3)(torch.zeros(5, 1), torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    takes_inputs: ClassVar[bool] = True

    def __init__(self, dim: int, *, n_inputs: int = 0, hidden: int = 64, depth: int = 2) -> None:
        super().__init__(dim, n_inputs=n_inputs)
        self.closed_divergence = depth == 2
        self.field = Perceptron((dim + n_inputs, *[hidden] * depth, dim), nn.Tanh)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state, the same at every time."""
        del t
        out: Tensor = self.field(self.with_inputs(state, inputs))
        return out

    def network_of_state(self) -> Perceptron | None:
        """The field, unless there are inputs or hooks."""
        alone = not self.n_inputs and type(self).forward is MLP.forward and is_bare(self)
        return self.field if alone else None

    def with_divergence(
        self, t: Tensor, state: Tensor, inputs: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Derivative and divergence, exact; of a field of two hidden layers."""
        del t
        return self.field.with_trace(self.with_inputs(state, inputs))
