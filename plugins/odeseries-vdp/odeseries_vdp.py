"""Van der Pol oscillators with learned parameters, as a dynamics for odeseries."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

import odeseries as ode

__all__ = ["VanDerPol", "odeseries_dynamics"]

FARTHEST, FASTEST = 5.0, 4.0
"""Squared position and frequency beyond which damping and speed grow no more: steps of a tenth
stay stable up to a strength of 1.25."""


class VanDerPol(ode.Dynamics):
    r"""Self-sustained oscillations :math:`\ddot x = \mu (1 - x^2) \omega \dot x - \omega^2 x`.

    The vector holds the positions :math:`x` of all oscillators, then their velocities over
    :math:`\omega`. Strength :math:`\mu > 0` and frequency :math:`\omega` of each are learned.
    Whatever the start, an oscillator ends on its limit cycle: forecasts neither die nor grow.

    Parameters
    ----------
    dim : int
        Dimension of the vector, an even number.
    strength : float, default=0.5
        Initial :math:`\mu`; the larger, the more abrupt the oscillation.
    frequency : float, default=1.0
        Initial :math:`\omega` of the slowest, in radians per unit of model time; at most 4.

    References
    ----------
    van der Pol, B. (1926). On relaxation-oscillations. Philosophical Magazine 2, 978-992.
    """

    def __init__(self, dim: int, *, strength: float = 0.5, frequency: float = 1.0) -> None:
        super().__init__(dim)
        if dim % 2:
            raise ValueError(f"dim={dim} is odd, but every oscillator needs two coordinates.")
        start = torch.linspace(frequency, max(frequency, FASTEST), dim // 2)
        self.raw_strength = nn.Parameter(torch.full_like(start, math.log(math.expm1(strength))))
        self.frequency = nn.Parameter(start)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state, the same at every time."""
        position, velocity = state.chunk(2, -1)
        damping = functional.softplus(self.raw_strength) * (1 - (position**2).clamp(max=FARTHEST))
        frequency = self.frequency.clamp(-FASTEST, FASTEST)
        return torch.cat([frequency * velocity, frequency * (damping * velocity - position)], -1)

    @torch.no_grad()
    def start_at(self, frequencies: Tensor) -> None:
        """Give the first oscillators the frequencies found in the data that they can follow."""
        slow = frequencies[frequencies < FASTEST][: len(self.frequency)]
        self.frequency[: len(slow)] = slow.to(self.frequency)


@ode.hookimpl
def odeseries_dynamics() -> dict[str, type[ode.Dynamics]]:
    """Dynamics that this distribution offers, by name."""
    return {"vdp": VanDerPol}
