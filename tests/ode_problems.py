"""Initial value problems without a known solution, one row each, and SciPy's answer to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

__all__ = ["IVP", "IVPS", "STIFF", "kepler", "van_der_pol"]

N_TIMES = 13


@dataclass(frozen=True)
class IVP:
    """A field, an initial state and a span.

    Attributes
    ----------
    name : str
        For the tests' ids.
    field : callable
        ``field(t, state)``.
    start : tuple of float
        Initial state.
    span : float
        Last time; the first is 0.
    """

    name: str
    field: Callable[[Tensor, Tensor], Tensor]
    start: tuple[float, ...]
    span: float

    @property
    def y0(self) -> Tensor:
        """Initial state of the one row, (1, dim)."""
        return torch.tensor([self.start], dtype=torch.float64)

    @property
    def times(self) -> Tensor:
        """Some times, (n_times,)."""
        return torch.linspace(0, self.span, N_TIMES, dtype=torch.float64)

    def scipy(self, method: str, tolerance: float) -> Tensor:
        """States (n_times, dim) by a method of SciPy at equal tolerances."""

        def field(t: float, y: np.ndarray) -> np.ndarray:
            return self.field(torch.tensor(t), torch.from_numpy(y)).numpy()

        found = solve_ivp(
            field,
            (0, self.span),
            np.array(self.start),
            method=method,
            t_eval=self.times.numpy(),
            rtol=tolerance,
            atol=tolerance,
        )
        return torch.from_numpy(found.y.T)


def van_der_pol(stiffness: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Oscillator whose damping depends on its place."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        place, speed = y.unbind(-1)
        return torch.stack([speed, stiffness * (1 - place**2) * speed - place], -1)

    return field


def kepler(t: Tensor, y: Tensor) -> Tensor:
    """Motion around a mass at the origin; the state is place and velocity."""
    place, velocity = y.chunk(2, -1)
    return torch.cat([velocity, -place / place.square().sum(-1, keepdim=True) ** 1.5], -1)


def _lorenz(t: Tensor, y: Tensor) -> Tensor:
    a, b, c = y.unbind(-1)
    return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)


def _damped(t: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[..., 1], -4 * y[..., 0] - 0.2 * y[..., 1]], -1)


def _lotka_volterra(t: Tensor, y: Tensor) -> Tensor:
    prey, predators = y.unbind(-1)
    return torch.stack([(1.5 - predators) * prey, (prey - 3) * predators], -1)


IVPS = [
    IVP("van der pol", van_der_pol(1.0), (2.0, 0.0), 10.0),
    IVP("lorenz", _lorenz, (1.0, 1.0, 1.0), 3.0),
    IVP("kepler", kepler, (0.7, 0.0, 0.0, (1.3 / 0.7) ** 0.5), 8.0),
    IVP("damped", _damped, (1.0, 0.0), 10.0),
    IVP("lotka-volterra", _lotka_volterra, (10.0, 5.0), 6.0),
    IVP("exponential", lambda t, y: -y, (1.0,), 5.0),
    IVP("seasonal", lambda t, y: torch.cos(t) * y, (1.0,), 10.0),
    IVP("nearly singular", lambda t, y: y**2, (1.0,), 0.95),
]
STIFF = IVP("stiff van der pol", van_der_pol(1000.0), (2.0, 0.0), 1000.0)
