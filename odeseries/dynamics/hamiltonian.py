"""Dynamics that conserve a learned energy, or lose it and are driven."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.interfaces import Dynamics
from odeseries.nets import Potential

__all__ = ["Hamiltonian"]

SLIGHT = -3.0
"""Where raw dampings start: softplus makes .05 of it."""


class Well(nn.Module):
    r"""Energy :math:`U(x) = \frac12 \lVert F x \rVert^2 + \phi(x)` and its gradient.

    The first part is that of coupled springs, to begin with all of stiffness 1; the second a
    perceptron's, which is bounded. So the energy rises in every direction in which a spring
    pulls, however far.

    Parameters
    ----------
    dim : int
        Dimension of the argument.
    hidden : int
        Width of the hidden layers of the perceptron.
    depth : int
        Number of its hidden layers.
    """

    def __init__(self, dim: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.springs = nn.Parameter(torch.eye(dim))
        self.correction = Potential(dim, hidden, depth)

    def forward(self, x: Tensor) -> Tensor:
        """Value, from ``[..., dim]`` to ``[...]``."""
        held = (x @ self.springs.T).square().sum(-1) / 2
        bent: Tensor = self.correction(x)
        return held + bent

    def gradient(self, x: Tensor) -> Tensor:
        """Gradient at ``x``, of the shape of ``x``."""
        held = x @ self.springs.T @ self.springs
        return held + self.correction.gradient(x)


class Hamiltonian(Dynamics):
    r"""Hamiltonian neural network, driven and damped on request (port-Hamiltonian).

    With positions :math:`q` and momenta :math:`p`, the two halves of the state, and a learned
    energy :math:`H`,

    .. math:: \dot q = \partial_p H, \qquad
              \dot p = -\partial_q H - R \, \partial_p H + G u,

    where the dissipation :math:`R` is diagonal and positive, and the inputs :math:`u` are forces
    through a learned matrix :math:`G`. Without both, :math:`H` is constant along every path and
    volumes are kept; without forces it never grows.

    The energy is that of coupled springs, a positive semi-definite quadratic form which is the
    identity to begin with, and a perceptron's. A perceptron's alone is level far from
    the data, and paths that come there run away; springs hold them.

    Parameters
    ----------
    dim : int
        Dimension of the state, an even number.
    n_inputs : int, default=0
        Number of known inputs :math:`u`.
    hidden : int, default=64
        Width of the hidden layers.
    depth : int, default=2
        Number of hidden layers, at least 1.
    separable : bool, default=False
        Whether :math:`H(q, p) = V(q) + T(p)`, as methods such as leapfrog need it.
    dissipation : bool, default=False
        Whether energy is lost.
    springs : bool, default=True
        Whether the energy has springs beside the perceptron; without, for systems whose forces
        fade with distance, such as planets.

    Raises
    ------
    ValueError
        If the dimension is odd, or there is no hidden layer.

    References
    ----------
    Greydanus, S., Dzamba, M., Yosinski, J. (2019). Hamiltonian Neural Networks. NeurIPS.
    Equations (1)-(3). Zhong, Y. D., Dey, B., Chakraborty, A. (2020). Dissipative SymODEN. ICLR
    Workshop on Integration of Deep Neural Models and Differential Equations. Equation (3) (the
    port-Hamiltonian form).

    Examples
    --------
    >>> import torch
    >>> from odeseries.dynamics import Hamiltonian
    >>> dynamics = Hamiltonian(4)
    >>> dynamics.energy(torch.zeros(5, 4)).shape, dynamics(torch.zeros(1), torch.zeros(5, 4)).shape
    (torch.Size([5]), torch.Size([5, 4]))
    """

    takes_inputs: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        *,
        n_inputs: int = 0,
        hidden: int = 64,
        depth: int = 2,
        separable: bool = False,
        dissipation: bool = False,
        springs: bool = True,
    ) -> None:
        super().__init__(dim, n_inputs=n_inputs)
        if dim % 2:
            raise ValueError(
                f"dim={dim} is odd: every position of a Hamiltonian system has its momentum. Give "
                f"an even dimension, or take 'second_order', which adds the velocities."
            )
        if depth < 1:
            raise ValueError(
                f"depth={depth} must be at least 1: without a hidden layer the energy is that of "
                f"springs. Take 'second_order' with depth=0 for a linear system."
            )
        half = dim // 2
        self.separable = separable
        make: type[Well] | type[Potential] = Well if springs else Potential
        self.potential = make(half if separable else dim, hidden, depth)
        self.kinetic = make(half, hidden, depth) if separable else None
        self.raw_damping = nn.Parameter(torch.full((half,), SLIGHT)) if dissipation else None
        self.drive = nn.Linear(n_inputs, half, bias=False) if n_inputs else None

    def energy(self, state: Tensor) -> Tensor:
        """Energy, up to a constant.

        Parameters
        ----------
        state : Tensor of shape (..., dim)
            Positions and momenta.

        Returns
        -------
        Tensor of shape (...)
        """
        if self.kinetic is None:
            total: Tensor = self.potential(state)
            return total
        position, momentum = state.chunk(2, -1)
        parts: Tensor = self.potential(position) + self.kinetic(momentum)
        return parts

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of positions and momenta, the same at every time."""
        del t
        by_position, by_momentum = self._gradient(state).chunk(2, -1)
        force = -by_position
        if self.raw_damping is not None:
            force = force - functional.softplus(self.raw_damping) * by_momentum
        if self.drive is not None:
            force = force + self.drive(self.checked_inputs(inputs))
        return torch.cat([by_momentum, force], -1)

    def _gradient(self, state: Tensor) -> Tensor:
        """Gradient of the energy."""
        if self.kinetic is None:
            return self.potential.gradient(state)
        position, momentum = state.chunk(2, -1)
        return torch.cat([self.potential.gradient(position), self.kinetic.gradient(momentum)], -1)
