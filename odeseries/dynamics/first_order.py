"""A vector field given by a perceptron."""

from __future__ import annotations

from torch import Tensor, nn

from odeseries.interfaces import Dynamics
from odeseries.nets import Perceptron

__all__ = ["MLP"]


class MLP(Dynamics):
    r"""Neural ordinary differential equation :math:`\dot z = f(z)`, :math:`f` a perceptron.

    Parameters
    ----------
    dim : int
        Dimension of the state.
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

    def __init__(self, dim: int, *, hidden: int = 64, depth: int = 2) -> None:
        super().__init__(dim)
        self.field = Perceptron((dim, *[hidden] * depth, dim), nn.Tanh)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state, the same at every time."""
        del t, inputs
        out: Tensor = self.field(state)
        return out
