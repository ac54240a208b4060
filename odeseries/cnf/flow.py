"""A continuous normalizing flow: a base distribution moved along a field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from odeseries.cnf.bases import Base
from odeseries.cnf.path import end_of_noise, shares
from odeseries.cnf.velocity import Velocity
from odeseries.interfaces import Solver
from odeseries.solvers.solve import solve

__all__ = ["Flow"]


class Flow(nn.Module):
    r"""Density of what a field makes of a base distribution.

    .. math:: \dot s = v(t, s), \quad s(0) \sim p_0, \quad x = s(T) / \sin(\tfrac{\pi}{2} T),
        \quad \log p(x) = \log p_0(s(0)) - \int_0^T \nabla \cdot v\, dt + d \log
        \sin(\tfrac{\pi}{2} T)

    :math:`T = 1` unless the density is that of data with noise; see `odeseries.cnf.path`.

    Parameters
    ----------
    velocity : Velocity
        Field.
    base : Base
        Distribution at time 0.
    noise : float
        Standard deviation of the noise on the data whose density it is.
    solver : str or Solver class
        Method.
    options : mapping
        Steps or tolerances, see `odeseries.solve`.

    References
    ----------
    Chen, R. T. Q., Rubanova, Y., Bettencourt, J., Duvenaud, D. (2018). Neural Ordinary
    Differential Equations. NeurIPS. Theorem 1.
    """

    def __init__(
        self,
        velocity: Velocity,
        base: Base,
        *,
        noise: float,
        solver: str | type[Solver],
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.velocity, self.base, self.noise = velocity, base, noise
        self.solver, self.options = solver, dict(options)

    def log_density(self, x: Tensor, condition: Tensor, probes: Tensor) -> Tensor:
        """Logarithm of the density ``[batch]`` of ``[batch, dim]``."""
        z, log_volume = self.to_base(x, condition, probes)
        return self.base.log_density(z) + log_volume

    def to_base(self, x: Tensor, condition: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
        """Where data come from, and the logarithm of how much volumes grow on the way there."""
        end, share = self._end()
        start = torch.cat([x * share, torch.zeros_like(x[:, :1])], -1)
        moved = self._moved(self._with_volume(condition, probes), start, [end, 0.0])
        log_share = x.shape[-1] * torch.log(torch.tensor(share)).item()
        return moved[:, :-1], log_share + moved[:, -1]

    def from_base(self, z: Tensor, condition: Tensor) -> Tensor:
        """Where points of the base are moved to."""
        end, share = self._end()
        return self._moved(lambda t, s: self.velocity(t, s, condition), z, [0.0, end]) / share

    def _end(self) -> tuple[float, float]:
        """Time of the data, and the share of them in the state there."""
        end = end_of_noise(self.noise)
        return end, float(shares(torch.tensor(end, dtype=torch.float64))[1])

    def _with_volume(self, condition: Tensor, probes: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The field, with the divergence as one coordinate more."""

        def field(t: Tensor, state: Tensor) -> Tensor:
            slope, divergence = self.velocity.with_divergence(t, state[:, :-1], condition, probes)
            return torch.cat([slope, divergence[:, None]], -1)

        return field

    def _moved(
        self, field: Callable[[Tensor, Tensor], Tensor], start: Tensor, times: list[float]
    ) -> Tensor:
        clock = torch.tensor(times, dtype=start.dtype, device=start.device)
        return solve(field, start, clock, solver=self.solver, **self.options).ys[:, -1]
