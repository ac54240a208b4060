"""When a function of the state crosses zero, for every row, and derivatives of that time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from odeseries import plugins
from odeseries.errors import IntegrationError, SolverError
from odeseries.interfaces import (
    Dynamics,
    Solution,
    SolveOptions,
    Solver,
    SolverStats,
    VectorField,
)
from odeseries.solvers.grids import over_budget
from odeseries.solvers.options import learned, options_of
from odeseries.solvers.outputs import polynomial
from odeseries.solvers.pacing import AdaptivePace, FixedPace
from odeseries.solvers.rows import apart, column, status_of, stood_in
from odeseries.solvers.runge_kutta import RowSteps
from odeseries.solvers.solve import (
    check_state,
    checked_field,
    explained,
    per_row,
    refuse_forward,
    solved,
    untouched,
)
from odeseries.solvers.stepping import Clock, Pace, Step
from odeseries.solvers.tapes import Listener

__all__ = ["Event", "solve_event"]

HALVINGS = 60
"""Bisections of a step; more than the digits of a double."""

Condition = Callable[[Tensor, Tensor], Tensor]
"""``event(t, state)``: a number for every row, (batch,), where ``t`` is (batch, 1, ...)."""


@dataclass(frozen=True)
class Event:
    """First crossings.

    Attributes
    ----------
    times : Tensor of shape (batch,)
        When the rows cross; NaN in those that do not, up to their last time.
    states : Tensor of shape (batch, ..., state_dim)
        States there; NaN in rows that do not cross.
    found : Tensor of bool, shape (batch,)
        Whether a row crosses.
    stats : SolverStats
        Work per row of the search; the states there are another solve.
    status : Tensor of int64, shape (batch,)
        0 where the row was solved up to its crossing or its last time, otherwise one of the
        codes of ``Solver``.
    """

    times: Tensor
    states: Tensor
    found: Tensor
    stats: SolverStats
    status: Tensor


def solve_event(
    dynamics: Dynamics | VectorField,
    y0: Tensor,
    times: Tensor,
    event: Condition,
    *,
    direction: Literal["either", "rising", "falling"] = "either",
    solver: str | type[Solver] | Solver = "dopri5",
    step: float | None = None,
    n_steps: int | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    max_steps: int = 10_000,
    gradient: Literal["autograd", "checkpoint", "adjoint"] = "autograd",
    parameters: Iterable[Tensor] = (),
    on_failure: Literal["raise", "nan"] = "raise",
    on_no_event: Literal["nan", "raise"] = "nan",
) -> Event:
    r"""Integrate every row until a function of time and state crosses zero.

    A crossing is seen where the function changes its sign from one step to the next, and is then
    found by bisection of the method's interpolation; two within one step are missed. A function
    that is zero at the start has not crossed. The crossing has an error of the order of the
    tolerances, divided by the function's speed there.

    Time and state of the crossing can be differentiated once with respect to whatever the
    solution or the function depends on, by the implicit function theorem: with
    :math:`g(t^*, y(t^*)) = 0` and y's change :math:`\delta y` at fixed time,

    .. math:: \delta t^* = -\frac{\delta g + \partial_y g \, \delta y}
              {\partial_t g + \partial_y g \, f}, \qquad
              \delta y^* = \delta y + f \, \delta t^*.

    Parameters
    ----------
    dynamics : Dynamics or callable
        As for `solve`; ordinary.
    y0 : Tensor of shape (batch, ..., dim)
        States at the first times.
    times : Tensor of shape (2,) or (batch, 2)
        First times, and last ones up to which a crossing is looked for; in either direction.
    event : callable
        ``event(t, state)`` of shape (batch,), with ``t`` of shape (batch, 1, ...). It is asked
        for all rows at once, so that it may know thresholds of their own.
    direction : {"either", "rising", "falling"}, default="either"
        Which crossings count, in the order in which the row passes through its times.
    solver : str, Solver class or Solver, default="dopri5"
        One of the package's own for ordinary dynamics.
    step, n_steps, rtol, atol, max_steps, gradient, parameters, on_failure
        As for `solve`.
    on_no_event : {"nan", "raise"}, default="nan"
        Whether rows without a crossing are NaN, or raise.

    Returns
    -------
    Event

    Raises
    ------
    IntegrationError
        If a row fails and ``on_failure="raise"``; a SolverError too.
    SolverError
        If there is no crossing and ``on_no_event="raise"``, if the function is NaN in a row
        without one and ``on_failure="raise"``, or if what is asked for is impossible.

    References
    ----------
    Chen, R. T. Q., Amos, B., Nickel, M. (2021). Learning Neural Event Functions for Ordinary
    Differential Equations. ICLR. Equations (5) and (6). Hairer, E., Norsett, S. P., Wanner, G.
    (1993). Solving Ordinary Differential Equations I. Section II.6 (location by dense output).

    Examples
    --------
    >>> import torch
    >>> from odeseries import solve_event
    >>> height = torch.tensor([[5.0], [20.0]])
    >>> ball = torch.cat([height, torch.zeros(2, 1)], 1)  # height and speed
    >>> fall = lambda t, y: torch.stack([y[:, 1], torch.full_like(y[:, 1], -9.81)], 1)
    >>> landing = solve_event(fall, ball, torch.tensor([0.0, 1.5]), lambda t, y: y[:, 0])
    >>> landing.times, landing.found
    (tensor([1.0096,    nan]), tensor([ True, False]))
    """
    check_state(dynamics, y0, on_failure)
    times = per_row(times, y0, None)
    if times.shape[1] != 2:
        raise SolverError(
            f"times has {times.shape[1]} columns: give the first and the last time of every row."
        )
    method = _own(dynamics, solver)
    options = replace(
        options_of(step, n_steps, rtol, atol, max_steps),
        gradient=gradient,
        parameters=learned(dynamics, parameters),
    )
    method.check(y0)
    field, asked = checked_field(dynamics), _Asked(event, direction)
    over = torch.zeros(len(y0), dtype=torch.bool, device=y0.device)
    if on_failure == "nan" and not method.adaptive:
        over = over_budget(times, options)
    with untouched(y0):
        at, found, search = _searched(method, field, y0, times, options, asked, over, on_failure)
    _report(search, found, times, on_failure, on_no_event)
    ends = torch.where(found, at, times[:, 0].detach())
    until = torch.stack([times[:, 0], ends], 1)
    again = _on_the_same_grid(options, times)
    last = solved(dynamics, y0, until, method, again, None, on_failure)
    status = torch.where(found, last.status, search.status)
    found = found & (status == Solver.OK)
    at, states = _differentiable(field, event, ends, last.ys[:, -1], found)
    return Event(
        torch.where(found, at, torch.nan),
        torch.where(column(found, states), states, torch.nan),
        found,
        search.stats,
        status,
    )


def _on_the_same_grid(options: SolveOptions, times: Tensor) -> SolveOptions:
    """The options with which a solve up to the crossings takes the steps of the search."""
    if options.n_steps is None:
        return options
    step = times.detach().diff(dim=1)[:, 0].abs() / options.n_steps
    return replace(options, step=torch.where(step > 0, step, 1), n_steps=None)


def _own(dynamics: object, solver: str | type[Solver] | Solver) -> RowSteps:
    """The method, if it tells of its steps."""
    if isinstance(dynamics, Dynamics) and dynamics.noise_type is not None:
        raise SolverError(
            f"{type(dynamics).__name__} is stochastic: sample its paths with solve, and look for "
            f"their crossings."
        )
    method = solver if isinstance(solver, Solver) else plugins.get("solver", solver)()
    if not isinstance(method, RowSteps):
        raise SolverError(
            f"{type(method).__name__} does not tell of its steps: take a method of the package's "
            f"own, such as 'dopri5' or 'rk4'."
        )
    return method


@dataclass(frozen=True)
class _Asked:
    """A function of time and state, and which of its crossings count."""

    event: Condition
    direction: str

    def __post_init__(self) -> None:
        if self.direction not in ("either", "rising", "falling"):
            raise SolverError(
                f"direction={self.direction!r} is unknown: use 'either', 'rising' or 'falling'."
            )

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        """Values, which rise through zero if they are to count; any sign if either do."""
        value = self.event(t, y)
        if not isinstance(value, Tensor) or value.dtype == torch.bool:
            given = "booleans" if isinstance(value, Tensor) else type(value).__name__
            raise SolverError(
                f"The event returned {given}: return a tensor of one number for every row, which "
                f"changes its sign at the event, such as state[:, 0] - threshold."
            )
        if value.shape != y.shape[:1]:
            raise SolverError(
                f"The event returned the shape {tuple(value.shape)} for {len(y)} rows: return one "
                f"number for every row, such as state[:, 0] - threshold."
            )
        return -value if self.direction == "falling" else value

    def crossed(self, before: Tensor, after: Tensor) -> Tensor:
        """Rows whose values crossed."""
        rising = (before < 0) & (after >= 0)
        return rising | (before > 0) & (after <= 0) if self.direction == "either" else rising


@torch.no_grad()
def _searched(
    method: RowSteps,
    field: VectorField,
    y0: Tensor,
    times: Tensor,
    options: SolveOptions,
    asked: _Asked,
    over: Tensor,
    on_failure: str,
) -> tuple[Tensor, Tensor, Solution]:
    """Times of crossings, the rows that have one, and the solve up to there.

    Rows that need too many steps have failed; they and those without a way to go stay apart.
    """
    y0, times = y0.detach(), times.detach()
    still = over | (times[:, -1] == times[:, 0])
    rest = torch.where(over, Solver.STEP_BUDGET, status_of(y0))
    if bool(still.any()):
        y0, times = apart(still, y0, torch.where(still[:, None], times[:, :1], times))
    clock = Clock.of(times)
    watch = _Watch(asked, clock, y0, method.polynomials)
    search = method.march_all(field, y0, clock, options, watch)
    elapsed = watch.located()
    # The last of steps of a given length may go beyond the last time.
    found = watch.found & (elapsed <= clock.span) & ~still
    search = replace(search, status=torch.where(still, rest, search.status))
    undefined = watch.undefined & ~found & ~still & (search.status == Solver.OK)
    if bool(undefined.any()):
        search = _unseen(search, undefined, times[:, 0], on_failure)
    return torch.addcmul(clock.start, clock.sign, elapsed), found, search


def _unseen(search: Solution, undefined: Tensor, start: Tensor, on_failure: str) -> Solution:
    """Rows whose crossings, if there are any, can't be seen have failed."""
    if on_failure == "raise":
        row = int(undefined.int().argmax())
        raise SolverError(
            f"The event is NaN in {int(undefined.sum())} of {len(undefined)} rows, first in row "
            f"{row} after t={float(start[row]):.6g}, so that no crossing could be seen: return a "
            f'number wherever the solution goes; on_failure="nan" keeps the other rows.'
        )
    return replace(search, status=torch.where(undefined, Solver.NON_FINITE, search.status))


def _report(
    search: Solution, found: Tensor, times: Tensor, on_failure: str, on_no_event: str
) -> None:
    """Raise for rows that failed or have no crossing, if that is asked for."""
    if on_no_event not in ("nan", "raise"):
        raise SolverError(f"on_no_event={on_no_event!r} is unknown: use 'nan' or 'raise'.")
    if on_failure == "raise" and bool((search.status != Solver.OK).any()):
        raise IntegrationError(explained(search, times))
    if on_no_event == "raise" and not bool(found.all()):
        row = int((~found).int().argmax())
        raise SolverError(
            f"{int((~found).sum())} of {len(found)} rows have no event: row {row} has none from "
            f"t={float(times[row, 0]):.6g} to {float(times[row, 1]):.6g}. Give a later last time, "
            f"or take on_no_event='nan'."
        )


def _differentiable(
    field: VectorField, event: Condition, at: Tensor, states: Tensor, found: Tensor
) -> tuple[Tensor, Tensor]:
    """Times and states of crossings, with their derivatives; other rows have none."""
    # What is infinite or NaN in other rows would reach what the event has learned.
    usual, t = states, at
    if not bool(found.all()):
        usual, t = stood_in(~found, states), stood_in(~found, at)
    t = column(t, states).to(states.dtype)
    value = event(t, usual)
    refuse_forward(value, "of an event")
    if not value.requires_grad:
        return at, states
    speed, slope = _speed(field, event, t, usual.detach())
    moving: tuple[Tensor, Tensor] = _AtCrossing.apply(
        at, states, value, torch.where(found, speed, 1), slope
    )  # type: ignore[no-untyped-call]  # torch
    return moving


def _speed(field: VectorField, event: Condition, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Rate of the event's function along the solution, (batch,), and the solution's slope."""
    with torch.no_grad():
        slope = field(t, y)
    with torch.enable_grad():
        t, y = t.detach().requires_grad_(), y.detach().requires_grad_()
        by_t, by_y = torch.autograd.grad(event(t, y).sum(), (t, y), materialize_grads=True)
    return by_t.flatten(1).sum(1) + (by_y * slope).flatten(1).sum(1), slope


class _AtCrossing(torch.autograd.Function):
    """Times and states where a function vanishes, which change as the implicit theorem says."""

    @staticmethod
    def forward(
        ctx: Any, at: Tensor, states: Tensor, value: Tensor, speed: Tensor, slope: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both as they are."""
        ctx.save_for_backward(speed, slope)
        return at.clone(), states.clone()

    @staticmethod
    def backward(ctx: Any, by_at: Tensor, by_states: Tensor) -> tuple[Tensor | None, ...]:
        """Through the states at fixed time, and through the value that shifts the time."""
        if torch.is_grad_enabled():
            raise SolverError(
                "An event can be differentiated once only: no gradient of its gradient is known, "
                "so leave out create_graph=True."
            )
        speed, slope = ctx.saved_tensors
        by_time = by_at.to(speed.dtype) + (by_states * slope).flatten(1).sum(1)
        return None, by_states, -by_time / speed, None, None


class _Watch(Listener):
    """Notes, for every row, the step in which it crosses.

    Parameters
    ----------
    asked : _Asked
        What is to cross.
    clock : Clock
        Times of every row.
    y0 : Tensor of shape (batch, ..., state_dim)
        Initial states.
    polynomials : tuple of tuple of float
        Of the method's moves.
    """

    closing = True

    def __init__(
        self, asked: _Asked, clock: Clock, y0: Tensor, polynomials: tuple[tuple[float, ...], ...]
    ) -> None:
        self.asked, self.clock, self.polynomials = asked, clock, polynomials
        self.before = self.length = torch.zeros_like(clock.start)
        self.found = torch.zeros_like(clock.start, dtype=torch.bool)
        self.value = asked(clock.at(self.before, y0), y0)
        self.undefined = torch.isnan(self.value)
        self.kept: list[Tensor] = []

    def begin(self, pace: Pace) -> None:
        """Learn where rows can be stopped."""
        assert isinstance(pace, FixedPace | AdaptivePace)
        self.pace = pace

    def listen(self, before: Tensor, length: Tensor, after: Tensor, y: Tensor, step: Step) -> None:
        """Look at the end of a step, in rows that have not crossed yet."""
        moved = after > before
        value = self.asked(self.clock.at(after, y), step.y)
        fresh = moved & ~self.found & self.asked.crossed(self.value, value)
        self.found = self.found | fresh
        self.undefined = self.undefined | moved & torch.isnan(value)
        # Rows that have crossed keep the value before.
        self.value = torch.where(moved & ~self.found, value, self.value)
        if not bool(fresh.any()):
            return
        self.pace.stop(fresh)
        self.before = torch.where(fresh, before, self.before)
        self.length = torch.where(fresh, length, self.length)
        parts = [y, *step.moves]
        old = self.kept or parts
        self.kept = [torch.where(column(fresh, y), a, b) for a, b in zip(parts, old, strict=True)]

    def dismiss(self, keep: Tensor) -> None:
        """Not called: the rows stay together, since the event is asked for all at once."""
        raise AssertionError("rows were put aside")

    def located(self) -> Tensor:
        """Times of the crossings from the start, (batch,), by bisection of all rows at once."""
        low, high = torch.zeros_like(self.before), torch.ones_like(self.before)
        if not self.kept:
            return low
        y, *moves = self.kept

        def values(share: Tensor) -> Tensor:
            t = self.clock.at(self.before + share * self.length, y)
            return self.asked(t, self._inside(y, moves, share))

        sign = torch.sign(self.value)
        # The end of the step is beyond, whatever rounding makes of the interpolation there.
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            beyond = values(middle) * sign <= 0
            low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
        return self.before + high * self.length

    def _inside(self, y: Tensor, moves: list[Tensor], share: Tensor) -> Tensor:
        """States at shares of a step."""
        share = column(share.to(y.dtype), y)
        for move, coefficients in zip(moves, self.polynomials, strict=True):
            if any(coefficients):
                y = torch.addcmul(y, polynomial(coefficients, share), move)
        return y
