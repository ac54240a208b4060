"""The package's own explicit Runge-Kutta methods: every row on its own times and steps."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from odeseries.interfaces import Solution, SolveOptions, SolverStats, VectorField, no_work
from odeseries.solvers import tableaux
from odeseries.solvers.by_times import with_times
from odeseries.solvers.compiling import CompiledSteps
from odeseries.solvers.differentiable import differentiable
from odeseries.solvers.gradients import GRADIENTS, Engine
from odeseries.solvers.grids import Grid
from odeseries.solvers.outputs import sink_for
from odeseries.solvers.pacing import AdaptivePace, FixedPace
from odeseries.solvers.rows import apart, chosen, healed, resting, seen_through, status_of
from odeseries.solvers.stepping import Clock, Pace, Scheme, march
from odeseries.solvers.tableaux import Tableau
from odeseries.solvers.tapes import Block, Listener, Replay, Window
from odeseries.solvers.whole_steps import whole_step

__all__ = [
    "RK4",
    "AdaptiveStep",
    "Dopri5",
    "Euler",
    "FixedRows",
    "FixedStep",
    "Heun",
    "Midpoint",
    "RowSteps",
    "RungeKutta",
    "Tsit5",
]


class RowSteps(Engine):
    """A one-step method with dense output at every row's own times.

    No row looks at another. Where only the first and the last time are asked for, nothing is
    interpolated.
    """

    gradients: ClassVar[frozenset[str]] = frozenset(GRADIENTS)

    def integrate(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate every row over its own times; one that stays at a time stays as it is.

        Raises
        ------
        SolverError
            If a row needs more than ``options.max_steps`` fixed steps; nothing is evaluated then.
        """
        self.check(y0)
        if times.requires_grad and torch.is_grad_enabled():

            def integrated(y0: Tensor, times: Tensor) -> Solution:
                return self._apart(field, y0, times, options)

            return with_times(field, y0, times, integrated, options.parameters)
        return self._apart(field, y0, times.detach(), options)

    def check(self, y0: Tensor) -> None:
        """Refuse states that the method can't move."""

    def _apart(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate the rows that have a way to go."""
        still = times[:, -1] == times[:, 0]
        if not bool(still.any()):
            return self._healed(field, y0, times, options)
        rest = Solution(resting(y0, times.shape[1]), no_work(len(y0), y0.device), status_of(y0))
        if bool(still.all()):
            return rest
        moving = self._healed(field, *apart(still, y0, times), options)
        return chosen(still, rest, moving)

    def _healed(
        self, field: VectorField, y0: Tensor, times: Tensor, options: SolveOptions
    ) -> Solution:
        """Integrate, so that rows that fail spoil no gradients."""
        solution = seen_through(differentiable(self, field, y0, times, options))
        failed = solution.status != self.OK
        if not (solution.ys.requires_grad and bool(failed.any())):
            return solution

        def again() -> Tensor:
            return differentiable(self, field, *apart(failed, y0, times), options).ys

        return replace(solution, ys=healed(failed, solution.ys, y0, again))


class FixedRows(RowSteps):
    """Steps of one length per row.

    With ``step`` a row's grid is :math:`t_0 + k h`, whatever else is asked for: its state at a
    time depends neither on its other times nor on the other rows. With ``n_steps`` the step is
    that share of the row's own span.
    """

    adaptive: ClassVar[bool] = False

    @abstractmethod
    def stats(self, scheme: Scheme, pace: FixedPace, before: int) -> SolverStats:
        """Work of every row, given the evaluations before the first step."""

    def march_all(
        self,
        field: VectorField,
        y0: Tensor,
        clock: Clock,
        options: SolveOptions,
        listener: Listener | None = None,
    ) -> Solution:
        """March over the grid."""
        grid = Grid.of(clock.elapsed, options)
        exact = options.step is None
        return self._march(field, y0, clock, grid, self.scheme(options), listener, exact=exact)

    def march_between(
        self,
        field: VectorField,
        y0: Tensor,
        clock: Clock,
        whole: Clock,
        options: SolveOptions,
        listener: Listener,
        first: Tensor | None,
    ) -> Solution:
        """Divide the parts evenly into steps that are no longer."""
        del first
        grid = Grid.within(clock.elapsed, Grid.of(whole.elapsed, options).step.abs())
        scheme = self.scheme(options)
        return self._march(field, y0, clock, grid, scheme, listener, exact=True)

    def _march(
        self,
        field: VectorField,
        y0: Tensor,
        clock: Clock,
        grid: Grid,
        scheme: Scheme,
        listener: Listener | None,
        *,
        exact: bool,
    ) -> Solution:
        """March over a grid whose last steps, if exact, end at the last times."""
        pace = FixedPace(grid)
        sink = sink_for(self.polynomials, y0, clock, exact=exact)
        heard = sink if listener is None else listener.over(sink, pace)
        slope = field(clock.at(pace.elapsed, y0), y0) if heard.closing else None
        y, slope = march(field, scheme, (y0, slope), clock, pace, heard)
        status = status_of(y) if slope is None else status_of(y, slope)
        return Solution(sink.result(y), self.stats(scheme, pace, int(heard.closing)), status)

    def replay(self, clock: Clock, options: SolveOptions, block: Block) -> Pace:
        """Some steps of the grid."""
        return Window(Grid.of(clock.elapsed, options), block)


class RungeKutta(RowSteps):
    """An explicit method given by its tableau.

    References
    ----------
    Hairer, E., Norsett, S. P., Wanner, G. (1993). Solving Ordinary Differential Equations I.
    Second edition. Sections II.1 (methods), II.4 (step control) and II.6 (dense output).
    """

    compiles: ClassVar[bool] = True
    tableau: ClassVar[Tableau]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "tableau" in cls.__dict__:
            cls.polynomials = cls.tableau.dense

    def scheme(self, options: SolveOptions) -> Scheme:
        """The steps of the tableau."""
        return CompiledSteps(self.tableau) if options.compile else partial(whole_step, self.tableau)


class FixedStep(RungeKutta, FixedRows):
    """Explicit steps of one length per row.

    Between steps the state is interpolated by the cubic Hermite polynomial through both ends'
    states and slopes, whose error is of order :math:`h^4` (linearly for order 1).
    """

    def stats(self, scheme: Scheme, pace: FixedPace, before: int) -> SolverStats:
        """As many evaluations a step as there are stages."""
        return pace.stats(len(self.tableau.nodes) - 1, before)


class AdaptiveStep(RungeKutta):
    """Steps whose lengths every row chooses from its own estimated error."""

    adaptive: ClassVar[bool] = True

    def march_all(
        self,
        field: VectorField,
        y0: Tensor,
        clock: Clock,
        options: SolveOptions,
        listener: Listener | None = None,
    ) -> Solution:
        """March until every row has arrived or failed."""
        return self._march(field, y0, clock, options, listener, None)

    def march_between(
        self,
        field: VectorField,
        y0: Tensor,
        clock: Clock,
        whole: Clock,
        options: SolveOptions,
        listener: Listener,
        first: Tensor | None,
    ) -> Solution:
        """March over the parts."""
        del whole
        return self._march(field, y0, clock, options, listener, first)

    def _march(
        self,
        field: VectorField,
        y0: Tensor,
        clock: Clock,
        options: SolveOptions,
        listener: Listener | None,
        first: Tensor | None,
    ) -> Solution:
        """March from steps whose lengths are known, or chosen first."""
        if options.rtol + options.atol < 10 * torch.finfo(y0.dtype).eps:
            warnings.warn(
                f"rtol={options.rtol:g} and atol={options.atol:g} are finer than {y0.dtype} can "
                f"resolve: raise them, or use states of torch.float64.",
                stacklevel=2,
            )
        pace = AdaptivePace(self.tableau, clock, options, compact=options.separable)
        sink = sink_for(self.polynomials, y0, clock, exact=True, adaptive=True)
        heard = sink if listener is None else listener.over(sink, pace)
        slope = field(clock.at(pace.elapsed, y0), y0)
        if first is None:
            pace.begin(field, y0, slope)
        else:
            pace.go_on(y0, slope, first)
        y, _ = march(field, self.scheme(options), (y0, slope), clock, pace, heard)
        stats, status = pace.outcome()
        return Solution(sink.result(y), stats, status)

    def replay(self, clock: Clock, options: SolveOptions, block: Block) -> Pace:
        """The lengths that were chosen."""
        del clock, options
        return Replay(block)


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
    driven by inputs that are known there and do not jump.
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
    """Tsitouras's pair of orders 5 and 4: six evaluations a step, smaller errors than dopri5.

    Its estimate of the error is taken 2.3 times, for a fifth more evaluations: as published
    it is sharper than that of other pairs, whose errors at equal tolerances are then smaller
    where errors grow fast.

    References
    ----------
    Tsitouras, C. (2011). Runge-Kutta Pairs of Order 5(4) Satisfying Only the First Column
    Simplifying Assumption. Computers and Mathematics with Applications 62(2). Section 3.
    """

    order: ClassVar[float] = 5
    tableau: ClassVar[Tableau] = tableaux.TSIT5
