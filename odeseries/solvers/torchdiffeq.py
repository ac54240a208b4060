"""The methods of torchdiffeq behind the same interface.

torchdiffeq knows one grid of times for a whole batch. Every row is therefore brought to its share
of its own span, and rows whose shares agree are solved together: one call for shared times, one
for each distinct grid otherwise, so that private times are the business of the package's own
methods.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Solution, SolveOptions, Solver, SolverStats, VectorField
from odeseries.solvers.dependencies import dependencies
from odeseries.solvers.gradients import once
from odeseries.solvers.grids import Grid
from odeseries.solvers.options import floored
from odeseries.solvers.rows import column, resting, status_of, stood_in
from odeseries.solvers.watched import AdaptiveField, BudgetError, Problem, WatchedField

__all__ = ["METHODS", "TorchDiffEq"]

SURRENDERS = ("underflow in dt", "non-finite values in state")
"""How torchdiffeq's assertions begin when it gives up; any other one is the field's own."""
SLACK = 1e-9
"""Share of a step by which rounding may make an interval longer than a number of steps."""


class TorchDiffEq(Solver):
    """A method of torchdiffeq's ``odeint``, or with ``gradient="adjoint"`` its ``odeint_adjoint``.

    An adaptive method holds the largest error of any row below the tolerances, so that no row is
    solved less accurately for its companions. Rows of one grid share their steps: if these are
    more than ``max_steps``, the rows whose errors govern the step fail, and the others go on
    without them. Between its steps torchdiffeq interpolates by a quartic, which the tolerances do
    not control. A method of fixed steps takes steps no longer than those of the package's own.

    Gradients go through the operations of the steps, or are found by the adjoint equation,
    solved backward from each time to the one before by the same method, whose steps the integrals
    over parameters do not shorten (seminorm).

    References
    ----------
    Chen, R. T. Q. (2018). torchdiffeq. https://github.com/rtqichen/torchdiffeq
    Kidger, P., Chen, R. T. Q., Lyons, T. (2021). "Hey, that's not an ODE": Faster ODE Adjoints
    via Seminorms. ICML. Section 3.
    """

    gradients: ClassVar[frozenset[str]] = frozenset({"autograd", "adjoint"})
    method: ClassVar[str]

    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate one group of rows with equal shares of their spans after another.

        Raises
        ------
        SolverError
            If a row needs more than ``options.max_steps`` fixed steps, or the times require
            gradients, which are not to be had: rows of equal shares have a grid in common.
        """
        if times.requires_grad and torch.is_grad_enabled():
            raise SolverError(
                f"{type(self).__name__} of torchdiffeq gives no derivatives by the times: use a "
                f"method of the package's own, such as 'dopri5'."
            )
        times = times.detach()
        span = times[:, -1] - times[:, 0]
        moving = span != 0
        shares = (times - times[:, :1]) / torch.where(moving, span, 1)[:, None]
        grids, owner = torch.unique(shares, dim=0, return_inverse=True)
        tally = _Tally.empty(y0, times.shape[1])
        able = moving & (tally.status == self.OK)
        counts = moving.long() if self.adaptive else Grid.of(times, options).counts
        learned = None
        if options.gradient == "adjoint":
            field, learned = _learned(field, y0, times, options)
        problem = Problem(field, y0, times[:, 0], span, counts, options, learned)
        for group, grid in enumerate(grids):
            self._solve_group(problem, grid, (owner == group) & able, tally)
        return tally.solution()

    def _solve_group(self, problem: Problem, grid: Tensor, rows: Tensor, tally: _Tally) -> None:
        """Solve rows on one grid, again without those that failed until none fails."""
        while bool(rows.any()):
            run = self._attempt(problem, grid, rows)
            failed = rows & (run.status != self.OK)
            tally.record(run, failed if bool(failed.any()) else rows)
            rows = failed.any() & rows & ~failed

    def _attempt(self, problem: Problem, grid: Tensor, rows: Tensor) -> _Run:
        """Call torchdiffeq once, and tell which rows failed."""
        shares, index = torch.unique_consecutive(grid, return_inverse=True)
        watched = AdaptiveField(problem, rows) if self.adaptive else WatchedField(problem, rows)
        try:
            path = self._path(problem, watched, shares, int(problem.counts[rows].max()))
        except (AssertionError, BudgetError) as error:
            if not isinstance(error, BudgetError) and not str(error).startswith(SURRENDERS):
                raise
            ys = problem.y0[:, None].expand(-1, len(grid), *problem.y0.shape[1:])
            return _Run(torch.full_like(ys, torch.nan), watched.blame(error), watched)
        ys = path.movedim(0, 1)[:, index]
        return _Run(ys, status_of(ys), watched)

    def _path(self, problem: Problem, watched: WatchedField, shares: Tensor, count: int) -> Tensor:
        """States (n_shares, batch, ...)."""
        from torchdiffeq import odeint, odeint_adjoint

        start = stood_in(~watched.rows, problem.y0)
        atol = floored(problem.options.atol, start.dtype)
        known: dict[str, Any] = {"rtol": problem.options.rtol, "atol": atol}
        known |= {"method": self.method, "options": self._options(watched, count)}
        if problem.learned is None:
            path: Tensor = odeint(watched, start, shares, **known)
            return path
        seminorm = {"norm": "seminorm"} if self.adaptive else known["options"]
        adjoint = {"adjoint_options": seminorm, "adjoint_params": problem.learned}
        path = odeint_adjoint(watched, start, shares, **known, **adjoint)
        return once(path, f"{type(self).__name__} of torchdiffeq")

    def _options(self, watched: WatchedField, count: int) -> dict[str, Any]:
        """Options of the method; torchdiffeq's own would step from one output to the next."""
        if self.adaptive:
            return {"norm": watched.norm}
        return {
            "grid_constructor": lambda func, y0, t: _even(t, count),
            "interp": "linear" if self.order == 1 else "cubic",
        }


def _even(shares: Tensor, count: int) -> Tensor:
    """Grid from the first share to the last in steps of at most ``1 / count``."""
    steps = math.ceil(count * abs(float(shares[-1] - shares[0])) - SLACK)
    ends = (float(shares[0]), float(shares[-1]))
    return torch.linspace(*ends, max(steps, 1) + 1, dtype=shares.dtype, device=shares.device)


def _learned(
    field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
) -> tuple[VectorField, tuple[Tensor, ...] | None]:
    """The field, and what the adjoint equation finds gradients of; None where none are sought."""
    if not (torch.is_grad_enabled() and len(y0)):
        return field, None
    t = column(times[:, 0], y0).to(y0.dtype)
    field, learned = dependencies(field, t, y0, options.parameters)
    return field, learned if learned or y0.requires_grad else None


@dataclass(frozen=True)
class _Run:
    """What one call gave: states (batch, n_times, ...), status (batch,), and the work."""

    ys: Tensor
    status: Tensor
    work: WatchedField


@dataclass
class _Tally:
    """The solution, filled in one group of rows after another."""

    ys: Tensor
    status: Tensor
    nfe: Tensor
    accepted: Tensor
    rejected: Tensor

    @classmethod
    def empty(cls, y0: Tensor, n_times: int) -> _Tally:
        """Start with every row at rest; one that starts at infinity or NaN has failed already."""
        counts = torch.zeros(3, len(y0), dtype=torch.int64, device=y0.device)
        return cls(resting(y0, n_times), status_of(y0), *counts)

    def record(self, run: _Run, rows: Tensor) -> None:
        """Take over the result of some rows, all of them solved or all failed."""
        failed = bool((run.status[rows] != Solver.OK).any())
        ys = run.ys.detach() if failed else run.ys
        self.ys = torch.where(column(rows, ys), ys, self.ys)
        self.status = torch.where(rows, run.status, self.status)
        self.nfe = self.nfe + rows * run.work.nfe
        self.accepted = self.accepted + rows * (run.work.steps - run.work.rejected)
        self.rejected = self.rejected + rows * run.work.rejected

    def solution(self) -> Solution:
        """Hand the result over."""
        stats = SolverStats(self.nfe, self.accepted, self.rejected)
        return Solution(self.ys, stats, self.status)


class Dopri5(TorchDiffEq):
    """Dormand and Prince's pair of orders 5 and 4 (1980). The usual choice."""

    method, order, adaptive = "dopri5", 5, True


class Dopri8(TorchDiffEq):
    """Prince and Dormand's pair of orders 8 and 7 (1981). For tight tolerances at few times.

    Its steps are so long that the interpolation between them may be far less accurate.
    """

    method, order, adaptive = "dopri8", 8, True


class Bosh3(TorchDiffEq):
    """Bogacki and Shampine's pair of orders 3 and 2 (1989). For loose tolerances."""

    method, order, adaptive = "bosh3", 3, True


class Fehlberg2(TorchDiffEq):
    """Fehlberg's pair of orders 2 and 1 (1969). Its estimate of the error is far too small."""

    method, order, adaptive = "fehlberg2", 2, True


class AdaptiveHeun(TorchDiffEq):
    """Heun's method of order 2 with error control by Euler's."""

    method, order, adaptive = "adaptive_heun", 2, True


class Euler(TorchDiffEq):
    """Explicit Euler of order 1, in fixed steps."""

    method, order, adaptive = "euler", 1, False


class Midpoint(TorchDiffEq):
    """Explicit midpoint rule of order 2, in fixed steps."""

    method, order, adaptive = "midpoint", 2, False


class Heun2(TorchDiffEq):
    """Heun's method of order 2, in fixed steps."""

    method, order, adaptive = "heun2", 2, False


class Heun3(TorchDiffEq):
    """Heun's method of order 3, in fixed steps."""

    method, order, adaptive = "heun3", 3, False


class RK4(TorchDiffEq):
    """Kutta's 3/8 rule of order 4, in fixed steps."""

    method, order, adaptive = "rk4", 4, False


class _Adams(TorchDiffEq):
    """Multistep methods in fixed steps, the first few of them by Runge-Kutta of order 4."""

    def _options(self, watched: WatchedField, count: int) -> dict[str, Any]:
        # torchdiffeq's default, order 12, is unstable at nearly any useful step, and its start
        # allows no more than order 4.
        return super()._options(watched, count) | {"max_order": 5}


class ExplicitAdams(_Adams):
    """Adams and Bashforth's method of order 4, in fixed steps."""

    method, order, adaptive = "explicit_adams", 4, False


class ImplicitAdams(_Adams):
    """Adams, Bashforth and Moulton's predictor and corrector of order 4, in fixed steps.

    ``"adams"`` is this method, too. It is not the one of variable order and steps that early
    papers on neural differential equations call ``adams``: torchdiffeq 0.2.5 has no adaptive
    Adams method any more, so that ``step`` or ``n_steps`` decide on the accuracy and the
    tolerances do not. ``"torchdiffeq:scipy_lsoda"`` chooses Adams' orders and steps by itself.
    """

    method, order, adaptive = "implicit_adams", 4, False


METHODS: dict[str, type[Solver]] = {
    "dopri5": Dopri5,
    "dopri8": Dopri8,
    "bosh3": Bosh3,
    "fehlberg2": Fehlberg2,
    "adaptive_heun": AdaptiveHeun,
    "euler": Euler,
    "midpoint": Midpoint,
    "heun2": Heun2,
    "heun3": Heun3,
    "rk4": RK4,
    "explicit_adams": ExplicitAdams,
    "implicit_adams": ImplicitAdams,
    "fixed_adams": ImplicitAdams,
}
"""Classes by torchdiffeq's names; ``scipy_solver`` has a module of its own."""
