"""SciPy's methods, implicit ones for stiff problems above all, behind the same interface."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import (
    Solution,
    SolveOptions,
    Solver,
    SolverStats,
    VectorField,
    no_work,
)
from odeseries.solvers.dependencies import dependencies
from odeseries.solvers.options import floored
from odeseries.solvers.rows import column, resting, status_of
from odeseries.solvers.scipy_adjoint import Job, adjoint
from odeseries.solvers.scipy_fields import Array, Path, RowField, System, Trajectory

__all__ = ["METHODS", "SciPy"]

LEAST_RTOL = 100 * float(np.finfo(float).eps)
"""Relative tolerance below which SciPy warns and takes this one."""
REFUSED = "infs or NaNs"
"""How NumPy's error names what it refuses; any other one is the field's own."""


class SciPy(Solver):
    """A method of ``scipy.integrate``, every row on its own times and in steps of its own.

    torchdiffeq hands a batch to SciPy as one large system, whose Jacobian couples all rows and
    whose failure is everyone's. Here SciPy is given one row after another, in float64 on the
    CPU: that suits few rows, and stiff ones, for which nothing explicit will do. Implicit methods
    get the Jacobian by automatic differentiation, so that fields in single precision serve too.
    The states between the steps are SciPy's dense output.

    What SciPy computes leaves no graph: where autograd's could be asked for, the method refuses.
    With ``gradient="adjoint"`` the adjoint equation is solved backward by the same method along
    the interpolated solution, which is kept, since a stiff one can't be found again on the way.

    References
    ----------
    Virtanen, P., and others (2020). SciPy 1.0: Fundamental Algorithms for Scientific Computing in
    Python. Nature Methods 17.
    """

    adaptive: ClassVar[bool] = True
    gradients: ClassVar[frozenset[str]] = frozenset({"adjoint"})
    method: ClassVar[str]
    implicit: ClassVar[bool] = False

    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate one row after another.

        Raises
        ------
        SolverError
            If the solution would need a graph.
        """
        if not len(y0):
            return Solution(resting(y0, times.shape[1]), no_work(0, y0.device), status_of(y0))
        if not torch.is_grad_enabled():
            return self.solved(field, y0, times, options)
        t = column(times[:, 0].detach(), y0).to(y0.dtype)
        field, learned = dependencies(field, t, y0, options.parameters)
        sought = bool(learned) or y0.requires_grad
        if times.requires_grad or (sought and options.gradient != "adjoint"):
            raise SolverError(
                f"{type(self).__name__} of SciPy leaves no graph for autograd, and knows no "
                f"derivatives by the times: take gradient='adjoint', solve under torch.no_grad(), "
                f"or use a method of the package's own, such as 'dopri5'."
            )
        if not sought:
            return self.solved(field, y0, times, options)
        ways = [Trajectory() for _ in range(len(y0))]
        solution = self.solved(field, y0, times, options, ways)
        return adjoint(Job(self.steps, field, options, solution, ways), y0, times, learned)

    def solved(
        self,
        field: VectorField,
        y0: Tensor,
        times: Tensor,
        options: SolveOptions,
        ways: list[Trajectory] | None = None,
    ) -> Solution:
        """Integrate without a graph; with the trajectories of the rows if there are any to fill."""
        with torch.no_grad():
            paths = []
            for row in range(len(y0)):
                inner = RowField.of(field, y0, times[:, 0], row, options)
                way = None if ways is None else ways[row]
                paths.append(self._path(inner, times[row], options, way))
        return _gathered(paths, y0, times.shape[1])

    def _path(
        self, field: RowField, times: Tensor, options: SolveOptions, way: Trajectory | None
    ) -> _Row:
        """Integrate one row."""
        elapsed = (times - times[0]).double().cpu().numpy()
        path = Path(field)
        states = np.tile(field.start, (len(elapsed), 1))
        if elapsed[-1] != 0:
            states[elapsed != 0] = np.nan
            for dense in self.steps(path, float(elapsed[-1]), options):
                within = (np.abs(elapsed) > abs(dense.t_old)) & (np.abs(elapsed) <= abs(dense.t))
                if within.any():
                    states[within] = dense(elapsed[within]).T
                if way is not None:
                    way.add(dense)
        elif not np.isfinite(field.start).all():
            path.status = self.NON_FINITE
        return _Row(states, field.count, path)

    def steps(self, path: Path, end: float, options: SolveOptions) -> Iterator[Any]:
        """Interpolants of the steps from the start, until the end or a failure."""
        if not np.isfinite([path.field.start, path.field(0.0, path.field.start)]).all():
            path.status = self.NON_FINITE
            return
        solver = None
        while path.status == self.OK and (solver is None or solver.status == "running"):
            if path.taken >= options.max_steps:
                path.status = self.STEP_BUDGET
                return
            solver = self._stepped(path, solver, end, options)
            if solver is not None:
                yield solver.dense_output()

    def _stepped(self, path: Path, solver: Any, end: float, options: SolveOptions) -> Any:
        """SciPy's stepper after one more step; None after a failure, which is noted."""
        path.taken += 1
        try:
            # LSODA says by a warning what the status says too.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                solver = self._solver(path.field, end, options) if solver is None else solver
                solver.step()
        except (ValueError, np.linalg.LinAlgError) as error:
            # The linear algebra of the implicit methods refuses what is not finite, as with a
            # step that is too small to divide by.
            if path.field.finite and REFUSED not in str(error):
                raise
            return path.fail(self.STEP_UNDERFLOW if path.field.finite else self.NON_FINITE)
        finite = path.field.finite and bool(np.isfinite(solver.y).all())
        # LSODA takes steps of length 0, and steps to NaN, for steps like any other.
        if solver.status == "failed" or solver.t == solver.t_old or not finite:
            return path.fail(self.STEP_UNDERFLOW if finite else self.NON_FINITE)
        path.last = solver.y
        return solver

    def _solver(self, field: System, end: float, options: SolveOptions) -> Any:
        """SciPy's stepper, before its first step."""
        from scipy import integrate

        jacobian = {"jac": field.jacobian} if self.implicit else {}
        return getattr(integrate, self.method)(
            field,
            0.0,
            field.start,
            end,
            rtol=max(options.rtol, LEAST_RTOL),
            atol=floored(options.atol, field.dtype),
            **jacobian,
        )


@dataclass(frozen=True)
class _Row:
    """States (n_times, size) of a row, NaN where they are not known, and what they took."""

    states: Array
    nfe: int
    path: Path


def _gathered(rows: list[_Row], y0: Tensor, n_times: int) -> Solution:
    """The solution of all rows."""
    shape = (len(y0), n_times, *y0.shape[1:])
    states = np.stack([row.states for row in rows])
    ys = torch.from_numpy(states).to(y0).reshape(shape)
    counts = [[row.nfe, row.path.taken, 0, row.path.status] for row in rows]
    columns = torch.tensor(counts, dtype=torch.int64).to(y0.device).unbind(1)
    nfe, taken, rejected, status = columns
    return Solution(ys, SolverStats(nfe, taken, rejected), status)


class RK23(SciPy):
    """Bogacki and Shampine's pair of orders 3 and 2. For loose tolerances."""

    method, order = "RK23", 3


class RK45(SciPy):
    """Dormand and Prince's pair of orders 5 and 4."""

    method, order = "RK45", 5


class DOP853(SciPy):
    """Dormand and Prince's method of order 8. For tight tolerances and reference solutions."""

    method, order = "DOP853", 8


class Radau(SciPy):
    """Radau IIA of three stages, implicit, order 5. The first choice for stiff problems.

    References
    ----------
    Hairer, E., Wanner, G. (1996). Solving Ordinary Differential Equations II. Second edition.
    Section IV.8.
    """

    method, order, implicit = "Radau", 5, True


class BDF(SciPy):
    """Backward differentiation of orders 1 to 5, implicit. For stiff problems of many coordinates.

    References
    ----------
    Shampine, L. F., Reichelt, M. W. (1997). The MATLAB ODE Suite. SIAM Journal on Scientific
    Computing 18(1).
    """

    method, order, implicit = "BDF", 5, True


class LSODA(SciPy):
    """Adams' methods, and backward differentiation where the problem is found to be stiff.

    References
    ----------
    Petzold, L. (1983). Automatic Selection of Methods for Solving Stiff and Nonstiff Systems of
    Ordinary Differential Equations. SIAM Journal on Scientific and Statistical Computing 4(1).
    """

    method, order, implicit = "LSODA", 5, True


METHODS: dict[str, type[Solver]] = {
    "scipy_rk23": RK23,
    "scipy_rk45": RK45,
    "scipy_dop853": DOP853,
    "scipy_radau": Radau,
    "scipy_bdf": BDF,
    "scipy_lsoda": LSODA,
}
"""Classes by torchdiffeq's name for them, ``scipy_solver``, and SciPy's own."""
