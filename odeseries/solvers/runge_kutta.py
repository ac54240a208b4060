"""The package's own explicit Runge-Kutta methods: fixed steps, every row on its own times."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from odeseries.interfaces import Solution, SolveOptions, Solver, SolverStats, VectorField
from odeseries.solvers.grids import Grid
from odeseries.solvers.rows import column, status_of, stood_in

__all__ = ["RK4", "Euler", "FixedStep", "Midpoint"]


class FixedStep(Solver):
    r"""Steps of one length per row, with dense output between them.

    A row starts at its first time and steps towards its last. With ``step`` its grid is
    :math:`t_0 + k h`, whatever else is asked for: a row's state at a time depends neither on its
    other times nor on the other rows. With ``n_steps`` the step is that share of the row's own
    span. Between steps the state is interpolated, by the cubic Hermite polynomial through both
    ends' states and slopes, whose error is of order :math:`h^4` (linearly for order 1).

    References
    ----------
    Hairer, E., Norsett, S. P., Wanner, G. (1993). Solving Ordinary Differential Equations I.
    Second edition. Section II.1 (methods); Section II.6, equation (6.7) (dense output).
    """

    adaptive: ClassVar[bool] = False
    stages: ClassVar[int]

    @abstractmethod
    def increment(self, field: VectorField, t: Tensor, h: Tensor, y: Tensor, k1: Tensor) -> Tensor:
        """Mean slope over a step, ``(y(t + h) - y(t)) / h``, given the slope ``k1`` at ``t``.

        Parameters
        ----------
        field : callable
            Vector field.
        t, h : Tensor of shape (batch, 1, ...)
            Start and signed length of the step of every row; a row at its end has length 0.
        y, k1 : Tensor of shape (batch, ..., state_dim)
            State and slope at ``t``.

        Returns
        -------
        Tensor of shape (batch, ..., state_dim)
        """

    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate every row over its own times.

        Raises
        ------
        SolverError
            If a row needs more than ``options.max_steps`` steps; nothing is evaluated then.
        """
        grid = Grid.of(times, options)
        ys, status = self._march(field, y0, grid)
        failed = status != self.OK
        if bool(failed.any()):
            ys = ys.detach()
            if not bool(failed.all()):
                rest, _ = self._march(field, stood_in(failed, y0), grid.stopped(failed))
                ys = torch.where(column(failed, ys), ys, rest)
        return Solution(ys, self._stats(grid.counts), status)

    def _march(self, field: VectorField, y0: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """States at the times asked for, and the status of every row."""
        t = column(grid.start, y0)
        states, slopes = [y0], [field(t.to(y0.dtype), y0)]
        for k in range(int(grid.counts.max()) if len(y0) else 0):
            # A row at its end goes on with steps of length 0, back to a state known to be finite.
            h = column(torch.where(grid.counts > k, grid.step, 0), y0).to(y0.dtype)
            mean = self.increment(field, t.to(y0.dtype), h, states[-1], slopes[-1])
            states.append(states[-1] + h * mean)
            t = column(grid.start + grid.counts.clamp(max=k + 1) * grid.step, y0)
            slopes.append(field(t.to(y0.dtype), states[-1]))
        all_states, all_slopes = torch.stack(states, 1), torch.stack(slopes, 1)
        return self._dense(all_states, all_slopes, grid), status_of(all_states, all_slopes)

    def _dense(self, states: Tensor, slopes: Tensor, grid: Grid) -> Tensor:
        """Interpolate states and slopes (batch, n_steps + 1, ...) at the times asked for."""
        moving = torch.where(grid.step == 0, 1, grid.step)
        position = grid.elapsed / moving[:, None]
        # A time on the grid belongs to the step that ends there, not to one that may never be.
        before = torch.minimum(position.ceil().long() - 1, grid.counts[:, None] - 1).clamp(min=0)
        after = torch.minimum(before + 1, grid.counts[:, None])
        share = column((position - before).to(states.dtype), states)
        a, b = _pick(states, before), _pick(states, after)
        if self.order == 1:
            return a + share * (b - a)
        h = column(grid.step.to(states.dtype), states)
        return _hermite(share, h, (a, b), (_pick(slopes, before), _pick(slopes, after)))

    def _stats(self, counts: Tensor) -> SolverStats:
        """Count evaluations and steps; a step's last slope is the next one's first."""
        return SolverStats(1 + self.stages * counts, counts, torch.zeros_like(counts))


class Euler(FixedStep):
    """Explicit Euler: order 1, one evaluation a step. For comparison with residual networks."""

    order: ClassVar[int] = 1
    stages: ClassVar[int] = 1

    def increment(self, field: VectorField, t: Tensor, h: Tensor, y: Tensor, k1: Tensor) -> Tensor:
        """Take the slope at the start."""
        return k1


class Midpoint(FixedStep):
    """Explicit midpoint rule: order 2, two evaluations a step. Cheap, for smooth learned fields."""

    order: ClassVar[int] = 2
    stages: ClassVar[int] = 2

    def increment(self, field: VectorField, t: Tensor, h: Tensor, y: Tensor, k1: Tensor) -> Tensor:
        """Take the slope in the middle."""
        return field(t + h / 2, y + h / 2 * k1)


class RK4(FixedStep):
    """Classical Runge-Kutta method: order 4, four evaluations a step. The default."""

    order: ClassVar[int] = 4
    stages: ClassVar[int] = 4

    def increment(self, field: VectorField, t: Tensor, h: Tensor, y: Tensor, k1: Tensor) -> Tensor:
        """Take the weighted mean of four slopes."""
        k2 = field(t + h / 2, y + h / 2 * k1)
        k3 = field(t + h / 2, y + h / 2 * k2)
        k4 = field(t + h, y + h * k3)
        return (k1 + 2 * (k2 + k3) + k4) / 6


def _pick(stacked: Tensor, index: Tensor) -> Tensor:
    """Entries ``stacked[b, index[b, i]]``."""
    return stacked[torch.arange(len(stacked), device=index.device)[:, None], index]


def _hermite(
    s: Tensor, h: Tensor, ends: tuple[Tensor, Tensor], slopes: tuple[Tensor, Tensor]
) -> Tensor:
    """Evaluate the cubic through both ends of a step with both slopes, at the share ``s`` of it."""
    (a, b), (fa, fb) = ends, slopes
    inner = (1 - 2 * s) * (b - a) + (s - 1) * h * fa + s * h * fb
    return (1 - s) * a + s * b + s * (s - 1) * inner
