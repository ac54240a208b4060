"""Stochastic dynamics whose drift and diffusion are networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.interfaces import Dynamics
from odeseries.nets import Perceptron

__all__ = ["SDE", "Disturbed"]

QUIET = -2.0
"""Where raw diffusions start: softplus makes .13 of it, small beside states of order 1."""


class SDE(Dynamics):
    r"""Neural stochastic differential equation :math:`dX = f(X, u) dt + g(X) dW`.

    The drift is a perceptron, which known inputs drive. The diffusion is never below ``floor``,
    so that a quotient by it, as in the divergence between two laws of paths, stays finite:

    * diagonal noise: :math:`g_i = \mathrm{floor} + \mathrm{softplus}(n_i(x_i))` with a small
      network for every coordinate, which sees that coordinate alone, as Milstein's method needs;
    * additive noise: a constant lower triangular matrix, so that coordinates are disturbed
      together; its diagonal is positive in the same way, and the matrix therefore regular;
    * general noise: such a matrix given by a perceptron of the state.

    Parameters
    ----------
    dim : int
        Dimension of the state.
    n_inputs : int, default=0
        Number of known inputs :math:`u`.
    hidden : int, default=64
        Width of the hidden layers.
    depth : int, default=2
        Number of hidden layers of the drift.
    noise_type : {"diagonal", "additive", "general"}, default="diagonal"
        Kind of the diffusion.
    sde_type : {"ito", "stratonovich"}, default="ito"
        Calculus in which the equation is meant; it decides which solvers integrate it.
    floor : float, default=0.01
        Least diffusion, in the unit of the state per square root of the unit of time.

    Raises
    ------
    ValueError
        If the noise type or the calculus is unknown, or the floor is not positive.

    References
    ----------
    Li, X., Wong, T.-K. L., Chen, R. T. Q., Duvenaud, D. (2020). Scalable Gradients for
    Stochastic Differential Equations. AISTATS. Section 5 (latent stochastic differential
    equations).

    Examples
    --------
    >>> import torch
    >>> from odeseries import solve
    >>> from odeseries.dynamics import SDE
    >>> times = torch.tensor([0.0, 0.3, 1.0])
    >>> solve(SDE(2), torch.zeros(5, 2), times, solver="milstein", seed=0).ys.shape
    torch.Size([5, 3, 2])
    """

    takes_inputs: ClassVar[bool] = True
    noise_type = "diagonal"

    def __init__(
        self,
        dim: int,
        *,
        n_inputs: int = 0,
        hidden: int = 64,
        depth: int = 2,
        noise_type: Literal["diagonal", "additive", "general"] = "diagonal",
        sde_type: Literal["ito", "stratonovich"] = "ito",
        floor: float = 0.01,
    ) -> None:
        super().__init__(dim, n_inputs=n_inputs)
        if noise_type not in DIFFUSIONS or sde_type not in ("ito", "stratonovich"):
            raise ValueError(
                f"noise_type={noise_type!r} and sde_type={sde_type!r}: use one of "
                f"{', '.join(DIFFUSIONS)}, and 'ito' or 'stratonovich'."
            )
        if not floor > 0:
            raise ValueError(f"floor={floor} must be positive: it is the least diffusion.")
        self.noise_type, self.sde_type = noise_type, sde_type
        self.drift = Perceptron((dim + n_inputs, *[hidden] * depth, dim), nn.Tanh)
        self.noise = DIFFUSIONS[noise_type](dim, hidden, floor)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift, the same at every time."""
        del t
        out: Tensor = self.drift(self.with_inputs(state, inputs))
        return out

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion: of the shape of the state if diagonal, else with one more axis of ``dim``."""
        del t, inputs
        out: Tensor = self.noise(state)
        return out

    def start_noise(self, size: Tensor) -> None:
        """Let the diffusion be about of this size, on its diagonal."""
        self.noise.start(size)


class Disturbed(Dynamics):
    r"""An ordinary dynamics with a learned diffusion: :math:`dX = f(t, X, u) dt + g(X) dW`.

    Every coordinate of the state is disturbed on its own, as by the diagonal noise of `SDE`.

    Parameters
    ----------
    dynamics : Dynamics
        The drift.
    hidden : int, default=64
        Width of the hidden layer of the diffusion.
    floor : float, default=0.01
        Least diffusion.

    Raises
    ------
    ValueError
        If the dynamics is stochastic already.

    Examples
    --------
    >>> import torch
    >>> from odeseries.dynamics import MLP, Disturbed
    >>> disturbed = Disturbed(MLP(2))
    >>> disturbed.diffusion(torch.zeros(5, 1), torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    def __init__(self, dynamics: Dynamics, *, hidden: int = 64, floor: float = 0.01) -> None:
        super().__init__(dynamics.dim, n_inputs=dynamics.n_inputs)
        if dynamics.noise_type is not None:
            raise ValueError(f"{type(dynamics).__name__} is stochastic already: use it as it is.")
        self.dynamics, self.noise_type = dynamics, "diagonal"
        self.autonomous = dynamics.autonomous
        self.noise = _Diagonal(dynamics.state_dim, hidden, floor)

    @property
    def state_dim(self) -> int:
        """Dimension of the ordinary dynamics' state."""
        return self.dynamics.state_dim

    def lift(self, z: Tensor) -> Tensor:
        """Lift as the ordinary dynamics does."""
        return self.dynamics.lift(z)

    def read(self, state: Tensor) -> Tensor:
        """Read as the ordinary dynamics does."""
        return self.dynamics.read(state)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift."""
        out: Tensor = self.dynamics(t, state, inputs)
        return out

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion of every coordinate."""
        del t, inputs
        out: Tensor = self.noise(state)
        return out

    def start_noise(self, size: Tensor) -> None:
        """Let the diffusion be about of this size."""
        self.noise.start(size)


class _Noise(nn.Module, ABC):
    """Diffusion above a floor."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor

    @abstractmethod
    def start(self, size: Tensor) -> None:
        """Begin with about this size, (n,), in the first coordinates."""

    def raw(self, size: Tensor) -> Tensor:
        """What softplus and the floor make a size of; the inverse of both."""
        return torch.log(torch.expm1((size - self.floor).clamp(min=self.floor)))


class _Diagonal(_Noise):
    """One network of one hidden layer per coordinate, all evaluated at once."""

    def __init__(self, dim: int, hidden: int, floor: float) -> None:
        super().__init__(floor)
        self.slope = nn.Parameter(torch.randn(dim, hidden))
        self.shift = nn.Parameter(torch.randn(dim, hidden))
        self.out = nn.Parameter(torch.randn(dim, hidden) / hidden)
        self.bias = nn.Parameter(torch.full((dim,), QUIET))

    def forward(self, state: Tensor) -> Tensor:
        """Diffusion of every coordinate."""
        features = torch.tanh(state[..., None] * self.slope + self.shift)
        return self.floor + functional.softplus((features * self.out).sum(-1) + self.bias)

    @torch.no_grad()
    def start(self, size: Tensor) -> None:
        """Set the biases."""
        self.bias[: len(size)] = self.raw(size)


class _Triangular(_Noise):
    """Lower triangular matrices with a positive diagonal."""

    def __init__(self, dim: int, floor: float) -> None:
        super().__init__(floor)
        self.dim = dim

    def matrix(self, raw: Tensor) -> Tensor:
        """From ``[..., dim * dim]`` to ``[..., dim, dim]``."""
        square = raw.reshape(*raw.shape[:-1], self.dim, self.dim)
        diagonal = self.floor + functional.softplus(square.diagonal(dim1=-2, dim2=-1) + QUIET)
        return square.tril(-1) + torch.diag_embed(diagonal)

    def start_entries(self, flat: Tensor, size: Tensor) -> None:
        """Set the diagonal of what becomes a matrix, (dim * dim,)."""
        diagonal = flat.reshape(self.dim, self.dim).diagonal()
        diagonal[: len(size)] = self.raw(size) - QUIET


class _Additive(_Triangular):
    """A matrix that is learned as it is."""

    def __init__(self, dim: int, hidden: int, floor: float) -> None:
        del hidden
        super().__init__(dim, floor)
        self.entries = nn.Parameter(torch.zeros(dim * dim))

    def forward(self, state: Tensor) -> Tensor:
        """The matrix, whatever the state."""
        return self.matrix(self.entries).expand(*state.shape, self.dim)

    @torch.no_grad()
    def start(self, size: Tensor) -> None:
        """Set the matrix."""
        self.start_entries(self.entries, size)


class _General(_Triangular):
    """A matrix given by a perceptron."""

    def __init__(self, dim: int, hidden: int, floor: float) -> None:
        super().__init__(dim, floor)
        self.net = Perceptron((dim, hidden, dim * dim), nn.Tanh)

    def forward(self, state: Tensor) -> Tensor:
        """The matrix at the state."""
        return self.matrix(self.net(state))

    @torch.no_grad()
    def start(self, size: Tensor) -> None:
        """Set the biases of the last layer."""
        last = self.net.layers[-1]
        if isinstance(last, nn.Linear):
            self.start_entries(last.bias, size)


DIFFUSIONS: dict[str, Callable[[int, int, float], _Noise]] = {
    "diagonal": _Diagonal,
    "additive": _Additive,
    "general": _General,
}
