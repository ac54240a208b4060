"""Gradients of SciPy's solutions by the adjoint equation, solved by the same method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odeseries.errors import IntegrationError
from odeseries.interfaces import Solution, SolveOptions, Solver, VectorField
from odeseries.solvers.gradients import added, input_gradients, once
from odeseries.solvers.rows import stood_in
from odeseries.solvers.scipy_fields import Array, Path, RowField, Trajectory

__all__ = ["Job", "adjoint"]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(4)


@dataclass
class Job:
    """What was integrated, how, and what came out.

    Attributes
    ----------
    steps : callable
        ``steps(path, end, options)`` gives the interpolants of the steps of one system.
    field, options, solution
        Field, options and solution of the batch.
    ways : list of Trajectory
        The rows' states at all times.
    """

    steps: Callable[[Path, float, SolveOptions], Iterator[Any]]
    field: VectorField
    options: SolveOptions
    solution: Solution
    ways: list[Trajectory]


def adjoint(job: Job, y0: Tensor, times: Tensor, learned: tuple[Tensor, ...]) -> Solution:
    r"""Let gradients reach the initial states and what the field has learned.

    Going back along the solution y, every row is taken from each of its times to the one before
    by

    .. math:: \dot a = -a^\top \partial_y f(t, y), \qquad
              \frac{dL}{d\theta} = \int_{t_0}^{t_n} a^\top \partial_\theta f \, dt,

    where a jumps by the derivative of L at each time. What decays in the solution decays in a as
    well, going back, however stiff. The integral is taken by a Gauss-Legendre rule on every step,
    which the choice of the steps does not see.

    References
    ----------
    Chen, R. T. Q., Rubanova, Y., Bettencourt, J., Duvenaud, D. (2018). Neural Ordinary
    Differential Equations. NeurIPS. Equations (3)-(5).
    """
    ys = _Adjoint.apply(job, y0, times, *learned)  # type: ignore[no-untyped-call]  # torch
    return Solution(once(ys, "A method of SciPy"), job.solution.stats, job.solution.status)


class _Adjoint(torch.autograd.Function):
    """The states as a function of initial states and parameters."""

    @staticmethod
    def forward(ctx: Any, job: Job, y0: Tensor, times: Tensor, *learned: Tensor) -> Tensor:
        """Hand over the states that are known."""
        ctx.job = job
        ctx.save_for_backward(times, *learned)
        return job.solution.ys

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Take one row after another back; those that failed have no part."""
        times, *learned = ctx.saved_tensors
        back = _Backward(ctx.job, times, tuple(learned))
        at_start = torch.zeros_like(grad[:, 0])
        for row in (ctx.job.solution.status == Solver.OK).nonzero()[:, 0].tolist():
            at_start[row] = back.to_the_start(row, grad[row])
        return None, at_start, None, *back.totals


@dataclass
class _Linear:
    """The adjoint equation of a row, in the time since its last one.

    Attributes
    ----------
    inner : RowField
        The field of the row, in the time since its first one.
    way : Trajectory
        The row's states.
    last : float
        Where the equation starts, in the time of the field.
    start : ndarray of shape (size,)
        The adjoint there.
    finite : bool
        Whether what it last answered was finite.
    """

    inner: RowField
    way: Trajectory
    last: float
    start: Array
    finite: bool = True

    @property
    def dtype(self) -> torch.dtype:
        """Of the states."""
        return self.inner.dtype

    def __call__(self, elapsed: float, y: Array) -> Array:
        """Slope of the adjoint."""
        state = self.inner.tensor(self.way(self.last + elapsed)).requires_grad_()
        with torch.enable_grad():
            slope = self.inner.slope(self.last + elapsed, state)
        (found,) = input_gradients([slope], [self.inner.tensor(y)], (state,))
        product = np.zeros_like(y) if found is None else -found.flatten().double().cpu().numpy()
        self.finite = self.inner.smooth and bool(np.isfinite(product).all())
        return np.asarray(product)

    def jacobian(self, elapsed: float, y: Array) -> Array:
        """That of the field, transposed and of the other sign."""
        jacobian: Array = -self.inner.jacobian(self.last + elapsed, self.way(self.last + elapsed)).T
        self.finite = self.inner.finite
        return jacobian


class _Backward:
    """The way back of the rows, one after another."""

    def __init__(self, job: Job, times: Tensor, learned: tuple[Tensor, ...]) -> None:
        self.job, self.times, self.learned = job, times, learned
        self.totals: Sequence[Tensor | None] = [None] * len(learned)
        # A field that is asked for all rows meets harmless states in those that failed.
        self.start = stood_in(job.solution.status != Solver.OK, job.solution.ys[:, 0])

    def to_the_start(self, row: int, grad: Tensor) -> Tensor:
        """The adjoint of a row at its first time, given its jumps (n_times, ...)."""
        inner = RowField.of(self.job.field, self.start, self.times[:, 0], row, self.job.options)
        elapsed = (self.times[row] - self.times[row, 0]).double().tolist()
        a = grad[-1]
        for k in range(len(grad) - 1, 0, -1):
            if elapsed[k] != elapsed[k - 1] and bool(a.any()):
                a = self._to_the_time_before(inner, row, elapsed[k - 1 : k + 1], a)
            a = a + grad[k - 1]
        return a

    def _to_the_time_before(
        self, inner: RowField, row: int, ends: list[float], a: Tensor
    ) -> Tensor:
        """The adjoint of a row at the first of two times, given that at the second."""
        # The equation is linear: the tolerances are meant for an adjoint of size 1.
        size = float(a.abs().max())
        start = (a / size).flatten().double().cpu().numpy()
        linear = _Linear(inner, self.job.ways[row], ends[1], start)
        path = Path(linear)
        for dense in self.job.steps(path, ends[0] - ends[1], self.job.options):
            self._integrate(dense, linear, size)
        if path.status != Solver.OK or path.last is None:
            raise IntegrationError(
                f"The adjoint of row {row} could not be integrated backward over the time from "
                f"{ends[0]:.6g} to {ends[1]:.6g} since its start (status {path.status}): try other "
                f"tolerances, or gradient='checkpoint' with a method of the package's own."
            )
        return size * inner.tensor(path.last)

    def _integrate(self, dense: Any, linear: _Linear, size: float) -> None:
        """Add the integral over a step."""
        middle, half = (dense.t + dense.t_old) / 2, (dense.t - dense.t_old) / 2
        for node, weight in zip(NODES if self.learned else (), WEIGHTS, strict=False):
            elapsed = middle + half * node
            state = linear.inner.tensor(linear.way(linear.last + elapsed))
            a = linear.inner.tensor(np.asarray(dense(elapsed), dtype=float))
            with torch.enable_grad():
                slope = linear.inner.slope(linear.last + elapsed, state)
            found = input_gradients([slope], [-size * half * weight * a], self.learned)
            self.totals = added(self.totals, found)
