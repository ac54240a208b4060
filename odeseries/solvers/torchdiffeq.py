"""The methods of torchdiffeq, behind the same interface.

Its solvers know one grid of times for a whole batch, so rows with equal times are solved
together, one group after another: for private times use the package's own methods.
"""

from __future__ import annotations

import warnings
from typing import ClassVar

import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Solution, SolveOptions, Solver, SolverStats, VectorField

__all__ = ["METHODS", "TorchDiffEq"]

ORDERS = {
    "dopri8": 8,
    "dopri5": 5,
    "bosh3": 3,
    "fehlberg2": 2,
    "adaptive_heun": 2,
    "euler": 1,
    "midpoint": 2,
    "heun2": 2,
    "heun3": 3,
    "rk4": 4,
    "explicit_adams": 4,
    "implicit_adams": 4,
}
ADAPTIVE = ("dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun")


class TorchDiffEq(Solver):
    """A method of torchdiffeq's ``odeint``; gradients by automatic differentiation.

    References
    ----------
    Chen, R. T. Q. (2018). torchdiffeq. https://github.com/rtqichen/torchdiffeq
    """

    method: ClassVar[str]

    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate groups of rows that share their times."""
        grids, owner = torch.unique(times, dim=0, return_inverse=True)
        batch = len(y0)
        ys = y0.new_empty(0)
        nfe = torch.zeros(batch, dtype=torch.int64, device=y0.device)
        status = torch.zeros_like(nfe)
        pieces, order = [], []
        for g in range(len(grids)):
            rows = (owner == g).nonzero()[:, 0]
            piece, count, code = self._group(field, y0[rows], grids[g], options)
            pieces.append(piece)
            order.append(rows)
            nfe[rows], status[rows] = count, code
        back = torch.cat(order).argsort()
        ys = torch.cat(pieces)[back]
        return Solution(ys, SolverStats(nfe, torch.zeros_like(nfe), torch.zeros_like(nfe)), status)

    def _group(
        self, field: VectorField, y0: Tensor, grid: Tensor, options: SolveOptions
    ) -> tuple[Tensor, int, int]:
        """States (rows, n_times, ...), evaluations and status of rows on one grid."""
        distinct, index = torch.unique_consecutive(grid, return_inverse=True)
        if len(distinct) == 1:
            return y0[:, None].expand(-1, len(grid), *y0.shape[1:]), 0, Solver.OK
        calls = 0

        def counted(t: Tensor, y: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return field(t.to(y.dtype).reshape([1] * y.ndim).expand(len(y), *[1] * (y.ndim - 1)), y)

        try:
            path = self._odeint(counted, y0, distinct, options)
        except AssertionError as error:
            stopped = Solver.STEP_BUDGET if "max_num_steps" in str(error) else Solver.STEP_UNDERFLOW
            if not torch.isfinite(counted(distinct[0], y0)).all():
                stopped = Solver.NON_FINITE
            nothing = torch.full_like(y0[:, None].expand(-1, len(grid), *y0.shape[1:]), torch.nan)
            return nothing, calls, stopped
        ys = path.movedim(0, 1)[:, index]
        finite = bool(torch.isfinite(ys.detach()).all())
        return ys, calls, Solver.OK if finite else Solver.NON_FINITE

    def _odeint(
        self, field: VectorField, y0: Tensor, grid: Tensor, options: SolveOptions
    ) -> Tensor:
        """The call itself."""
        from torchdiffeq import odeint

        extra: dict[str, float] = {}
        if self.adaptive:
            extra["max_num_steps"] = options.max_steps
        else:
            extra["step_size"] = _step(grid, options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            path: Tensor = odeint(
                field,
                y0,
                grid,
                rtol=options.rtol,
                atol=options.atol,
                method=self.method,
                options=extra,
            )
        return path


def _step(grid: Tensor, options: SolveOptions) -> float:
    """A bounded step: never the times asked for."""
    span = float((grid[-1] - grid[0]).abs())
    step = options.step if options.step is not None else span / (options.n_steps or 1)
    if span / step > options.max_steps:
        raise SolverError(
            f"{span / step:.0f} steps of {step:.3g} are more than max_steps={options.max_steps}: "
            "give a larger step, or raise max_steps."
        )
    return step


def _method(name: str, order: int) -> type[Solver]:
    """The class of one method."""
    text = f"torchdiffeq's ``{name}``, order {order}."
    body = {"__doc__": text, "__module__": __name__, "method": name, "order": order}
    return type(f"TorchDiffEq_{name}", (TorchDiffEq,), body | {"adaptive": name in ADAPTIVE})


METHODS: dict[str, type[Solver]] = {name: _method(name, order) for name, order in ORDERS.items()}
