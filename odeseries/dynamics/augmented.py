"""A vector field with room to go around."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from odeseries.interfaces import Dynamics
from odeseries.nets import Perceptron, StateNetwork, is_bare

__all__ = ["Augmented"]


class Augmented(Dynamics, StateNetwork):
    r"""Augmented neural ordinary differential equation: more coordinates than the vector has.

    :math:`\frac{d}{dt} [z, a] = f([z, a], u)` from :math:`a = 0`, of which :math:`z` is read.
    Paths of an ordinary equation never cross, so that what they do to the vector is continuous
    and one to one; here they pass each other in the additional dimensions, and the field stays
    simple.

    Parameters
    ----------
    dim : int
        Dimension of the vector.
    n_inputs : int, default=0
        Number of known inputs :math:`u`.
    extra_dims : int, default=2
        Number of additional coordinates :math:`a`.
    hidden : int, default=64
        Width of the hidden layers.
    depth : int, default=2
        Number of hidden layers.

    Raises
    ------
    ValueError
        If there is no additional coordinate.

    References
    ----------
    Dupont, E., Doucet, A., Teh, Y. W. (2019). Augmented Neural ODEs. NeurIPS. Section 5.

    Examples
    --------
    >>> import torch
    >>> from odeseries.dynamics import Augmented
    >>> Augmented(2, extra_dims=3).lift(torch.ones(1, 2))
    tensor([[1., 1., 0., 0., 0.]])
    """

    takes_inputs: ClassVar[bool] = True

    def __init__(
        self, dim: int, *, n_inputs: int = 0, extra_dims: int = 2, hidden: int = 64, depth: int = 2
    ) -> None:
        super().__init__(dim, n_inputs=n_inputs)
        if extra_dims < 1:
            raise ValueError(f"extra_dims={extra_dims} must be at least 1; with none, take 'mlp'.")
        self.extra_dims = extra_dims
        self.field = Perceptron(
            (self.state_dim + n_inputs, *[hidden] * depth, self.state_dim), nn.Tanh
        )

    @property
    def state_dim(self) -> int:
        """Dimension of the vector and of what is added to it."""
        return self.dim + self.extra_dims

    def lift(self, z: Tensor) -> Tensor:
        """Append zeros."""
        return functional.pad(z, (0, self.extra_dims))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state, the same at every time."""
        del t
        out: Tensor = self.field(self.with_inputs(state, inputs))
        return out

    def network_of_state(self) -> Perceptron | None:
        """The field, unless there are inputs or hooks."""
        alone = not self.n_inputs and type(self).forward is Augmented.forward and is_bare(self)
        return self.field if alone else None
