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
from odeseries.interfaces import Solution, SolveOptions, Solver, SolverStats, VectorField
from odeseries.solvers.rows import column
from odeseries.solvers.scipy_fields import Array, RowField

__all__ = ["METHODS", "SciPy"]

LEAST_RTOL = 100 * float(np.finfo(float).eps)
"""Relative tolerance below which SciPy warns and takes this one."""


class SciPy(Solver):
    """A method of ``scipy.integrate``, every row on its own times and in steps of its own.

    torchdiffeq hands a batch to SciPy as one large system, whose Jacobian couples all rows and
    whose failure is everyone's. Here SciPy is given one row after another, in float64 on the
    CPU: that suits few rows, and stiff ones, for which nothing explicit will do. Implicit methods
    get the Jacobian by automatic differentiation, so that fields in single precision serve too.
    The states between the steps are SciPy's dense output.

    What SciPy computes leaves no graph: where a gradient could be asked for, the method refuses.

    References
    ----------
    Virtanen, P., and others (2020). SciPy 1.0: Fundamental Algorithms for Scientific Computing in
    Python. Nature Methods 17.
    """

    adaptive: ClassVar[bool] = True
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
        self._check_graph(field, y0, times)
        with torch.no_grad():
            paths = [
                self._path(RowField.of(field, y0, times, row, options), times[row], options)
                for row in range(len(y0))
            ]
        return _gathered(paths, y0, times.shape[1])

    def _check_graph(self, field: VectorField, y0: Tensor, times: Tensor) -> None:
        """Refuse to cut a graph silently."""
        if not (torch.is_grad_enabled() and len(y0)):
            return
        slope = field(column(times[:, 0], y0).to(y0.dtype), y0)
        if slope.requires_grad or y0.requires_grad or times.requires_grad:
            raise SolverError(
                f"{type(self).__name__} of SciPy leaves no graph for autograd: solve under "
                f"torch.no_grad(), or use a method of the package's own or of torchdiffeq, such "
                f"as 'dopri5'."
            )

    def _path(self, field: RowField, times: Tensor, options: SolveOptions) -> _Path:
        """Integrate one row."""
        elapsed = (times - times[0]).double().cpu().numpy()
        path = _Path(np.tile(field.start, (len(elapsed), 1)), field)
        if not np.isfinite(field.start).all():
            path.status = self.NON_FINITE
        elif elapsed[-1] != 0:
            with warnings.catch_warnings():
                # LSODA says by a warning what the status says too.
                warnings.simplefilter("ignore")
                self._march(path, elapsed, options)
        return path

    def _march(self, path: _Path, elapsed: Array, options: SolveOptions) -> None:
        """Step to the end, and read the states off."""
        path.states[elapsed != 0] = np.nan
        if not np.isfinite(path.field(0.0, path.field.start)).all():
            path.status = self.NON_FINITE
            return
        try:
            for dense in self._steps(path, float(elapsed[-1]), options):
                within = (np.abs(elapsed) > abs(dense.t_old)) & (np.abs(elapsed) <= abs(dense.t))
                if within.any():
                    path.states[within] = dense(elapsed[within]).T
        except (ValueError, np.linalg.LinAlgError):
            # The linear algebra of the implicit methods refuses what is not finite.
            if path.field.finite:
                raise
            path.status = path.named(self.NON_FINITE)

    def _steps(self, path: _Path, end: float, options: SolveOptions) -> Iterator[Any]:
        """Interpolants of the steps, until the end or a failure."""
        solver = self._solver(path.field, end, options)
        while solver.status == "running":
            if path.taken >= options.max_steps:
                path.status = self.STEP_BUDGET
                return
            solver.step()
            path.taken += 1
            finite = path.field.finite and bool(np.isfinite(solver.y).all())
            # LSODA takes steps of length 0, and steps to NaN, for steps like any other.
            if solver.status == "failed" or solver.t == solver.t_old or not finite:
                path.status = path.named(self.STEP_UNDERFLOW if finite else self.NON_FINITE)
                return
            path.last = solver.y
            yield solver.dense_output()

    def _solver(self, field: RowField, end: float, options: SolveOptions) -> Any:
        """SciPy's stepper, before its first step."""
        from scipy import integrate

        jacobian = {"jac": field.jacobian} if self.implicit else {}
        return getattr(integrate, self.method)(
            field,
            0.0,
            field.start,
            end,
            rtol=max(options.rtol, LEAST_RTOL),
            atol=options.atol,
            **jacobian,
        )


@dataclass
class _Path:
    """What is known of a row.

    Attributes
    ----------
    states : ndarray of shape (n_times, size)
        States at the times asked for; NaN where they are not known.
    field : RowField
        The row's field, which counts its evaluations.
    last : ndarray or None
        State after the last step.
    taken, status : int
        Steps, and what became of the row.
    """

    states: Array
    field: RowField
    last: Array | None = None
    taken: int = 0
    status: int = Solver.OK

    def named(self, code: int) -> int:
        """The code of a failure, or that of a state that has grown without bound."""
        if self.last is None:
            return code
        bound = (1 + np.abs(self.field.start).max()) * torch.finfo(self.field.dtype).eps ** -0.5
        return Solver.BLOW_UP if np.abs(self.last).max() > bound else code


def _gathered(paths: list[_Path], y0: Tensor, n_times: int) -> Solution:
    """The solution of all rows."""
    shape = (len(y0), n_times, *y0.shape[1:])
    states = np.stack([path.states for path in paths]) if paths else np.empty(shape)
    ys = torch.from_numpy(states).to(y0).reshape(shape)
    counts = [[path.field.count, path.taken, 0, path.status] for path in paths]
    nfe, taken, rejected, status = (
        torch.tensor(counts, dtype=torch.int64).reshape(-1, 4).to(y0.device).unbind(1)
    )
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
