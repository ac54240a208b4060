"""The package's own explicit Runge-Kutta methods: fixed steps, every row on its own times."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Solution, SolveOptions, Solver, SolverStats, VectorField

__all__ = ["RK4", "Euler", "FixedStep", "Midpoint"]


class FixedStep(Solver):
    """Steps of one length per row, with dense output between them.

    A row starts at its own first time and steps towards its own last time; the grid depends on
    the step and the start alone, never on the other times or rows. With ``n_steps`` the step is
    that share of the row's own span.

    References
    ----------
    Hairer, E., Norsett, S. P., Wanner, G. (1993). Solving Ordinary Differential Equations I.
    Section II.1 (methods), Section II.6, equation (6.7) (cubic Hermite dense output).
    """

    adaptive: ClassVar[bool] = False
    stages: ClassVar[int]

    @abstractmethod
    def increment(self, field: VectorField, t: Tensor, h: Tensor, y: Tensor, k1: Tensor) -> Tensor:
        """``(y(t + h) - y(t)) / h`` by the method, given the slope ``k1`` at ``t``."""

    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate every row over its own times."""
        elapsed = times - times[:, :1]
        signed, counts = _steps(elapsed, options)
        self._check_budget(elapsed, signed, counts, options)
        step = signed.to(y0.dtype)
        most = int(counts.max()) if counts.numel() else 0
        start = _column(times[:, 0].to(y0.dtype), y0)
        h = _column(step, y0)
        states, slopes = [y0], [field(start, y0)]
        for k in range(most):
            active = _column(counts > k, y0)
            t = start + k * h
            stepped = states[-1] + h * self.increment(field, t, h, states[-1], slopes[-1])
            new = torch.where(active, stepped, states[-1])
            states.append(new)
            slopes.append(torch.where(active, field(t + h, new), slopes[-1]))
        ys = self._dense(states, slopes, elapsed, signed, counts)
        return Solution(ys, self._stats(counts), _status(states))

    def _dense(
        self,
        states: list[Tensor],
        slopes: list[Tensor],
        elapsed: Tensor,
        step: Tensor,
        counts: Tensor,
    ) -> Tensor:
        """States at the times asked for, by interpolation within the step that holds each."""
        nonzero = torch.where(step == 0, torch.ones_like(step), step)
        position = elapsed / nonzero[:, None]
        highest = (counts - 1).clamp(min=0)[:, None]
        k = torch.minimum(position.floor().long().clamp(min=0), highest)
        share = (position - k).to(states[0].dtype)
        all_states, all_slopes = torch.stack(states, 1), torch.stack(slopes, 1)
        share = share.reshape(*share.shape, *[1] * (states[0].ndim - 1))
        h = step.to(states[0].dtype).reshape(-1, *[1] * states[0].ndim)
        after = torch.minimum(k + 1, counts[:, None])
        y_a, y_b = _pick(all_states, k), _pick(all_states, after)
        if self.order == 1:
            return torch.where(share == 0, y_a, y_a + share * (y_b - y_a))
        f_a, f_b = _pick(all_slopes, k), _pick(all_slopes, after)
        return _hermite(share, h, y_a, y_b, f_a, f_b)

    def _stats(self, counts: Tensor) -> SolverStats:
        """Evaluations and steps per row; the first slope is shared with the dense output."""
        return SolverStats(1 + self.stages * counts, counts, torch.zeros_like(counts))

    def _check_budget(
        self, elapsed: Tensor, step: Tensor, counts: Tensor, options: SolveOptions
    ) -> None:
        """Refuse a solve that would take more steps than allowed, before any work is done."""
        if not torch.isfinite(elapsed).all():
            row = int((~torch.isfinite(elapsed)).any(1).nonzero()[0, 0])
            raise SolverError(f"The times of row {row} are not finite: remove NaN and infinities.")
        if not (counts > options.max_steps).any():
            return
        row = int(counts.argmax())
        raise SolverError(
            f"Row {row} needs {int(counts[row])} steps of {abs(float(step[row])):.3g} to cover "
            f"{float(elapsed[row].abs().max()):.3g} time units, more than max_steps="
            f"{options.max_steps}: give a larger step, or raise max_steps."
        )


class Euler(FixedStep):
    """Explicit Euler: order 1, one evaluation a step. For comparison with residual networks."""

    order: ClassVar[int] = 1
    stages: ClassVar[int] = 1

    def increment(self, field: VectorField, t: Tensor, h: Tensor, y: Tensor, k1: Tensor) -> Tensor:
        """The slope at the start."""
        return k1


class Midpoint(FixedStep):
    """Explicit midpoint: order 2, two evaluations a step. Cheap, for smooth learned fields."""

    order: ClassVar[int] = 2
    stages: ClassVar[int] = 2

    def increment(self, field: VectorField, t: Tensor, h: Tensor, y: Tensor, k1: Tensor) -> Tensor:
        """The slope in the middle."""
        return field(t + h / 2, y + h / 2 * k1)


class RK4(FixedStep):
    """The classical method: order 4, four evaluations a step. For accurate smooth solutions.

    The dense output between steps is of third order.
    """

    order: ClassVar[int] = 4
    stages: ClassVar[int] = 4

    def increment(self, field: VectorField, t: Tensor, h: Tensor, y: Tensor, k1: Tensor) -> Tensor:
        """The weighted mean of four slopes."""
        k2 = field(t + h / 2, y + h / 2 * k1)
        k3 = field(t + h / 2, y + h / 2 * k2)
        k4 = field(t + h, y + h * k3)
        return (k1 + 2 * (k2 + k3) + k4) / 6


def _steps(elapsed: Tensor, options: SolveOptions) -> tuple[Tensor, Tensor]:
    """Signed step and number of steps of each row."""
    farthest = elapsed.gather(1, elapsed.abs().argmax(1, keepdim=True))[:, 0]
    if options.step is None:
        n_steps = options.n_steps or 1
        return farthest / n_steps, torch.where(farthest == 0, 0, n_steps).long()
    step = torch.sign(farthest) * options.step
    return step, torch.ceil(farthest.abs() / options.step - 1e-9).long()


def _column(values: Tensor, like: Tensor) -> Tensor:
    """One value per row, broadcasting against a state."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _pick(stacked: Tensor, index: Tensor) -> Tensor:
    """Entries ``stacked[b, index[b, i]]``."""
    shape = (*index.shape, *[1] * (stacked.ndim - 2))
    return stacked.gather(1, index.reshape(shape).expand(*index.shape, *stacked.shape[2:]))


def _hermite(s: Tensor, h: Tensor, a: Tensor, b: Tensor, fa: Tensor, fb: Tensor) -> Tensor:
    """Cubic through two states with two slopes, at the share ``s`` of the step."""
    inner = (1 - 2 * s) * (b - a) + (s - 1) * h * fa + s * h * fb
    return (1 - s) * a + s * b + s * (s - 1) * inner


def _status(states: list[Tensor]) -> Tensor:
    """Whether a row's states are finite."""
    finite = torch.isfinite(states[-1].detach().flatten(1)).all(1)
    return torch.where(finite, Solver.OK, Solver.NON_FINITE)
