"""A continuous normalizing flow: a base distribution moved along a field."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from odeseries.cnf.bases import Base
from odeseries.cnf.path import end_of_noise, shares
from odeseries.cnf.velocity import Velocity
from odeseries.interfaces import Solver
from odeseries.nets import unrolled
from odeseries.solvers.regularised import Costs, Regularised
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
    solver : str or Solver class
        Method.
    options : mapping
        Steps or tolerances, see `odeseries.solve`.

    Attributes
    ----------
    noise : Tensor
        Standard deviation of the noise on the data whose density it is; 0 at first.

    References
    ----------
    Chen, R. T. Q., Rubanova, Y., Bettencourt, J., Duvenaud, D. (2018). Neural Ordinary
    Differential Equations. NeurIPS. Theorem 1.
    """

    noise: Tensor

    def __init__(
        self,
        velocity: Velocity,
        base: Base,
        *,
        solver: str | type[Solver],
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.velocity, self.base = velocity, base
        self.solver, self.options = solver, dict(options)
        self.register_buffer("noise", torch.zeros(1))

    def with_options(self, options: Mapping[str, Any]) -> Flow:
        """The same flow, of the same weights, with other steps or tolerances."""
        other = copy.copy(self)
        other.options = dict(options)
        return other

    def log_density(
        self, x: Tensor, condition: Tensor, probes: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Logarithm of the density ``[batch]``.

        Parameters
        ----------
        x : Tensor of shape (batch, dim)
            Data.
        condition, probes
            See `Velocity.with_divergence`.
        noise : Tensor of shape (batch,), optional
            Noise of every row, in place of the flow's.
        """
        z, log_volume = self.to_base(x, condition, probes, noise)
        return self.base.log_density(z) + log_volume

    def to_base(
        self, x: Tensor, condition: Tensor, probes: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Where data come from, and the logarithm of how much volumes grow on the way there.

        The arguments are those of ``log_density``.
        """
        end = end_of_noise(self.noise if noise is None else noise).expand(len(x))
        share = shares(end)[1][:, None]
        start = torch.cat([x * share, torch.zeros_like(share)], -1)
        clock = torch.stack([end, torch.zeros_like(end)], -1)
        moved = self._moved(self._with_volume(condition, probes), start, clock)
        return moved[:, :-1], moved[:, -1] + x.shape[-1] * share[:, 0].log()

    def from_base(self, z: Tensor, condition: Tensor) -> Tensor:
        """Where points of the base are moved to."""
        end = end_of_noise(self.noise)
        clock = torch.cat([torch.zeros_like(end), end])
        moved = self._moved(lambda t, s: self.velocity(t, s, condition), z, clock)
        return moved / shares(end)[1]

    def costs(self, x: Tensor, condition: Tensor, generator: torch.Generator) -> Costs:
        """Kinetic energy and Jacobian's norm along the paths from data to the base."""
        end = end_of_noise(self.noise)
        clock = torch.cat([end, torch.zeros_like(end)])
        field = Regularised(
            lambda t, s: self.velocity(t, s, condition), x * shares(end)[1], seed=generator
        )
        ys = solve(field, field.start, clock, solver=self.solver, **self.options).ys
        return field.split(ys)[1]

    def _with_volume(self, condition: Tensor, probes: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The field, with the divergence as one coordinate more."""

        def field(t: Tensor, state: Tensor) -> Tensor:
            return self.velocity.with_divergence(t, state[:, :-1], condition, probes)

        return field

    def _moved(
        self, field: Callable[[Tensor, Tensor], Tensor], start: Tensor, clock: Tensor
    ) -> Tensor:
        with self._prepared():
            return solve(field, start, clock, solver=self.solver, **self.options).ys[:, -1]

    def _prepared(self) -> AbstractContextManager[None]:
        """Make a field cheap that is not differentiated while it is solved."""
        plain = self.options.get("gradient", "autograd") == "autograd"
        return unrolled(self.velocity) if self.velocity.closed and plain else nullcontext()
