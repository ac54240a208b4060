"""Stochastic dynamics whose laws are known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from odeseries.interfaces import Dynamics

__all__ = [
    "Brownian",
    "Circle",
    "Doomed",
    "Geometric",
    "OrnsteinUhlenbeck",
    "ScalarGeometric",
    "StratonovichGeometric",
]


class Brownian(Dynamics):
    """dX = dW."""

    noise_type = "additive"

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Stand still."""
        return torch.zeros_like(state)

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Take the noise as it is."""
        return torch.eye(self.dim).to(state).expand(*state.shape, self.dim)


class Geometric(Dynamics):
    """dX = mu X dt + sigma X dW: X = X0 exp((mu - sigma^2 / 2) t + sigma W)."""

    noise_type = "diagonal"

    def __init__(self, dim: int, mu: float = 0.5, sigma: float = 0.8) -> None:
        super().__init__(dim)
        self.mu, self.sigma = mu, sigma

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Grow in proportion."""
        return self.mu * state

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Vary in proportion."""
        return self.sigma * state


class ScalarGeometric(Geometric):
    """The same with one Brownian motion for all coordinates."""

    noise_type = "scalar"

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Vary in proportion, all coordinates together."""
        return self.sigma * state[..., None]


class StratonovichGeometric(Geometric):
    """The same coefficients in Stratonovich's sense: X = X0 exp(mu t + sigma W)."""

    sde_type = "stratonovich"


class OrnsteinUhlenbeck(Dynamics):
    """dX = -theta X dt + sigma dW: normal, with the stationary variance sigma^2 / 2 theta."""

    noise_type = "diagonal"

    def __init__(self, dim: int, theta: float = 1.0, sigma: float = 0.5) -> None:
        super().__init__(dim)
        self.theta, self.sigma = theta, sigma

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Return to zero."""
        return -self.theta * state

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Be disturbed everywhere alike."""
        return torch.full_like(state, self.sigma)


class Circle(Dynamics):
    """Two Brownian motions turn the plane: the angle is 0.3 W1 + 0.4 W2, the radius fixed."""

    noise_type = "general"
    sde_type = "stratonovich"

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Stand still."""
        return torch.zeros_like(state)

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Turn."""
        turned = torch.stack([-state[..., 1], state[..., 0]], -1)
        return torch.stack([0.3 * turned, 0.4 * turned], -1)


class Doomed(Dynamics):
    """dX = rate X^2 dt + X dW / 10, which blows up from large states."""

    noise_type = "diagonal"

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.rate = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Grow ever faster."""
        return self.rate * state**2

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Vary in proportion."""
        return state / 10
