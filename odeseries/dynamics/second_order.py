"""A vector field of positions and velocities, in which only the acceleration is learned."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from odeseries.interfaces import Dynamics
from odeseries.nets import Perceptron, zero_last_layer

__all__ = ["SecondOrder"]

DAMPING = 0.5
"""Of springs of stiffness 1 to begin with, which oscillate and come to rest."""
CORRECTION = 0.1
"""So that what is linear is learned by the linear function, which goes on beyond the data."""


class SecondOrder(Dynamics):
    r"""Second-order neural ordinary differential equation :math:`\ddot x = f(x, \dot x, t, u)`.

    The state is (position, velocity) and the vector the position, whose initial velocity is
    learned as a function of it. The acceleration is a linear function, that of damped springs
    to begin with, and a tenth of a perceptron, which begins as zero: so the linear function
    learns what is linear, and the acceleration is sensible where there were no data. If what
    comes in knows velocities, as an encoder may infer them, ``velocity="given"`` takes the second
    half of the vector for them.

    Parameters
    ----------
    dim : int
        Dimension of the vector.
    n_inputs : int, default=0
        Number of known inputs :math:`u`.
    hidden : int, default=64
        Width of the hidden layers.
    depth : int, default=2
        Number of hidden layers of the acceleration; with 0 it is linear.
    velocity : {"learned", "given"}, default="learned"
        Where initial velocities come from.
    autonomous : bool, default=True
        Whether the acceleration ignores the time.

    Raises
    ------
    ValueError
        If ``velocity`` is unknown, or given in a vector of odd dimension.

    References
    ----------
    Norcliffe, A., Bodnar, C., Day, B., Simidjievski, N., Lio, P. (2020). On Second Order
    Behaviour in Augmented Neural ODEs. NeurIPS. Section 3 (the equation and its state), section
    4.1 (the learned initial velocity).

    Examples
    --------
    >>> import torch
    >>> from odeseries.dynamics import SecondOrder
    >>> dynamics = SecondOrder(3)
    >>> state = dynamics.lift(torch.ones(5, 3))
    >>> state.shape, bool((dynamics(torch.zeros(5, 1), state)[:, :3] == state[:, 3:]).all())
    (torch.Size([5, 6]), True)
    """

    order: ClassVar[int] = 2
    takes_inputs: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        *,
        n_inputs: int = 0,
        hidden: int = 64,
        depth: int = 2,
        velocity: str = "learned",
        autonomous: bool = True,
    ) -> None:
        super().__init__(dim, n_inputs=n_inputs)
        if velocity not in ("learned", "given"):
            raise ValueError(f"velocity={velocity!r} is unknown: use 'learned' or 'given'.")
        if velocity == "given" and dim % 2:
            raise ValueError(
                f"dim={dim} is odd: with velocity='given' one half of the vector is positions and "
                f"the other half velocities."
            )
        self.autonomous = autonomous
        half = dim if velocity == "learned" else dim // 2
        self.velocity = Perceptron((dim, hidden, dim), nn.Tanh) if velocity == "learned" else None
        seen = 2 * half + n_inputs + (not autonomous)
        self.springs = nn.Linear(seen, half)
        with torch.no_grad():
            spring = torch.eye(half)
            self.springs.weight[:, : 2 * half] = torch.cat([-spring, -DAMPING * spring], 1)
        self.nonlinear = Perceptron((seen, *[hidden] * depth, half), nn.Tanh) if depth else None
        if self.nonlinear is not None:
            zero_last_layer(self.nonlinear)

    @torch.no_grad()
    def start_acceleration(self, weight: Tensor, bias: Tensor) -> None:
        """Give the springs the linear equation found in the data."""
        self.springs.weight.zero_()
        self.springs.weight[:, : weight.shape[1]] = weight.to(self.springs.weight)
        self.springs.bias[:] = bias.to(self.springs.bias)

    @property
    def state_dim(self) -> int:
        """Dimension of position and velocity together."""
        return self.dim if self.velocity is None else 2 * self.dim

    def lift(self, z: Tensor) -> Tensor:
        """Append the initial velocity, unless it is there."""
        return z if self.velocity is None else torch.cat([z, self.velocity(z)], -1)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Velocity and acceleration."""
        seen = self.with_inputs(state, inputs)
        if not self.autonomous:
            seen = torch.cat([seen, t.expand_as(state[..., :1])], -1)
        acceleration = self.springs(seen)
        if self.nonlinear is not None:
            acceleration = acceleration + CORRECTION * self.nonlinear(seen)
        return torch.cat([state[..., self.state_dim // 2 :], acceleration], -1)
