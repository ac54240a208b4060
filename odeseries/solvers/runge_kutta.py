"""The package's own explicit Runge-Kutta methods: every row on its own times and steps."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from odeseries.interfaces import Solution, SolveOptions, Solver, VectorField
from odeseries.solvers import tableaux
from odeseries.solvers.grids import Grid
from odeseries.solvers.outputs import sink_for
from odeseries.solvers.pacing import AdaptivePace, FixedPace
from odeseries.solvers.rows import healed, status_of, stood_in
from odeseries.solvers.stepping import Clock, advance, march
from odeseries.solvers.tableaux import Tableau

__all__ = [
    "RK4",
    "AdaptiveStep",
    "Dopri5",
    "Euler",
    "FixedStep",
    "Heun",
    "Midpoint",
    "RowSteps",
    "RungeKutta",
    "Tsit5",
]


class RowSteps(Solver):
    """A one-step method with dense output at every row's own times.

    No row looks at another. Where only the first and the last time are asked for, nothing is
    interpolated.
    """

    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate every row over its own times.

        Raises
        ------
        SolverError
            If a row needs more than ``options.max_steps`` fixed steps; nothing is evaluated then.
        """
        solution = self._solve(field, y0, Clock.of(times), options)
        failed = solution.status != self.OK
        if not (solution.ys.requires_grad and bool(failed.any())):
            return solution

        def again() -> Tensor:
            clock = Clock.of(times).stopped(failed)
            return self._solve(field, stood_in(failed, y0), clock, options).ys

        return replace(solution, ys=healed(failed, solution.ys, again))

    @abstractmethod
    def _solve(
        self, field: VectorField, y0: Tensor, clock: Clock, options: SolveOptions
    ) -> Solution:
        """Integrate once; failed rows may be infinite or NaN."""


class RungeKutta(RowSteps):
    """An explicit method given by its tableau.

    References
    ----------
    Hairer, E., Norsett, S. P., Wanner, G. (1993). Solving Ordinary Differential Equations I.
    Second edition. Sections II.1 (methods), II.4 (step control) and II.6 (dense output).
    """

    tableau: ClassVar[Tableau]


class FixedStep(RungeKutta):
    """Steps of one length per row.

    With ``step`` a row's grid is :math:`t_0 + k h`, whatever else is asked for: its state at a
    time depends neither on its other times nor on the other rows. With ``n_steps`` the step is
    that share of the row's own span. Between steps the state is interpolated by the cubic Hermite
    polynomial through both ends' states and slopes, whose error is of order :math:`h^4`
    (linearly for order 1).
    """

    adaptive: ClassVar[bool] = False

    def _solve(
        self, field: VectorField, y0: Tensor, clock: Clock, options: SolveOptions
    ) -> Solution:
        """March over the grid."""
        pace = FixedPace(Grid.of(clock.elapsed, options))
        sink = sink_for(self.tableau.dense, y0, clock, exact=options.step is None)
        slope = field(clock.at(pace.elapsed, y0), y0) if sink.closing else None
        y, slope = march(field, partial(advance, self.tableau), (y0, slope), clock, pace, sink)
        status = status_of(y) if slope is None else status_of(y, slope)
        stages = len(self.tableau.nodes) - 1
        return Solution(sink.result(y), pace.stats(stages, int(sink.closing)), status)


class AdaptiveStep(RungeKutta):
    """Steps whose lengths every row chooses from its own estimated error."""

    adaptive: ClassVar[bool] = True

    def _solve(
        self, field: VectorField, y0: Tensor, clock: Clock, options: SolveOptions
    ) -> Solution:
        """March until every row has arrived or failed."""
        if options.rtol + options.atol < 10 * torch.finfo(y0.dtype).eps:
            warnings.warn(
                f"rtol={options.rtol:g} and atol={options.atol:g} are finer than {y0.dtype} can "
                f"resolve: raise them, or use states of torch.float64.",
                stacklevel=2,
            )
        pace = AdaptivePace(self.tableau, clock, options, compact=options.separable)
        sink = sink_for(self.tableau.dense, y0, clock, exact=True)
        slope = field(clock.at(pace.elapsed, y0), y0)
        pace.begin(field, y0, slope)
        y, _ = march(field, partial(advance, self.tableau), (y0, slope), clock, pace, sink)
        stats, status = pace.outcome()
        return Solution(sink.result(y), stats, status)


class Euler(FixedStep):
    """Explicit Euler: order 1, one evaluation a step. For comparison with residual networks."""

    order: ClassVar[float] = 1
    tableau: ClassVar[Tableau] = tableaux.EULER


class Midpoint(FixedStep):
    """Explicit midpoint rule: order 2, two evaluations a step. Cheap, for smooth learned fields."""

    order: ClassVar[float] = 2
    tableau: ClassVar[Tableau] = tableaux.MIDPOINT


class Heun(FixedStep):
    """Heun's method, the explicit trapezoidal rule: order 2, two evaluations a step.

    Like the midpoint rule, but it asks the field at the ends of the steps only, as suits fields
    driven by inputs that are known there.
    """

    order: ClassVar[float] = 2
    tableau: ClassVar[Tableau] = tableaux.HEUN


class RK4(FixedStep):
    """Classical Runge-Kutta method: order 4, four evaluations a step. The default."""

    order: ClassVar[float] = 4
    tableau: ClassVar[Tableau] = tableaux.RK4


class Dopri5(AdaptiveStep):
    """Dormand and Prince's pair of orders 5 and 4: six evaluations a step.

    The usual choice where the accuracy matters. The interpolation between steps is of order 4.

    References
    ----------
    Dormand, J. R., Prince, P. J. (1980). A Family of Embedded Runge-Kutta Formulae. Journal of
    Computational and Applied Mathematics 6(1). Table 2.
    Shampine, L. F. (1986). Some Practical Runge-Kutta Formulas. Mathematics of Computation
    46(173). (Interpolation.)
    """

    order: ClassVar[float] = 5
    tableau: ClassVar[Tableau] = tableaux.DOPRI5


class Tsit5(AdaptiveStep):
    """Tsitouras's pair of orders 5 and 4: six evaluations a step, often fewer steps than dopri5.

    References
    ----------
    Tsitouras, C. (2011). Runge-Kutta Pairs of Order 5(4) Satisfying Only the First Column
    Simplifying Assumption. Computers and Mathematics with Applications 62(2). Section 3.
    """

    order: ClassVar[float] = 5
    tableau: ClassVar[Tableau] = tableaux.TSIT5
