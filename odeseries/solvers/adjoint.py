"""Gradients by the continuous adjoint equation, in memory that no number of steps adds to."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from odeseries.errors import GradientWarning, IntegrationError
from odeseries.interfaces import Solution, Solver
from odeseries.solvers.gradients import Job, added, input_gradients
from odeseries.solvers.pacing import AdaptivePace
from odeseries.solvers.rows import column
from odeseries.solvers.stepping import Clock, Pace, Step, weighted
from odeseries.solvers.tapes import Listener

__all__ = ["adjoint"]

RECONSTRUCTED = 1e-3
"""Largest error of a state found again backward, relative to 1 and the state, without a warning."""
TOLERANCES = 10.0
"""The same in tolerances, for a method that keeps them."""
GAUSS = {
    1: ((0.5, 1.0),),
    2: ((0.5 - 12**-0.5, 0.5), (0.5 + 12**-0.5, 0.5)),
    3: ((0.5 - 0.15**0.5, 5 / 18), (0.5, 4 / 9), (0.5 + 0.15**0.5, 5 / 18)),
}
"""Nodes and weights of Gauss and Legendre's rules on the unit interval, by their number."""


def adjoint(job: Job, y0: Tensor, times: Tensor, parameters: tuple[Tensor, ...]) -> Solution:
    r"""Solve without a graph; going back, solve for the state and its adjoint together.

    With :math:`\dot y = f(t, y, \theta)` and a loss L of the states at the times asked for, every
    row is taken from each of its times to the one before by

    .. math:: \dot y = f, \qquad \dot a = -a^\top \partial_y f, \qquad
              \frac{dL}{d\theta} = \int_{t_0}^{t_n} a^\top \partial_\theta f \, dt,

    where a jumps by the derivative of L at each time, and y starts afresh from the solution. The
    integral is taken by a Gauss-Legendre rule on every step, which the choice of the steps does
    not see (seminorm).

    References
    ----------
    Chen, R. T. Q., Rubanova, Y., Bettencourt, J., Duvenaud, D. (2018). Neural Ordinary
    Differential Equations. NeurIPS. Equations (3)-(5).
    Kidger, P., Chen, R. T. Q., Lyons, T. (2021). "Hey, that's not an ODE": Faster ODE Adjoints
    via Seminorms. ICML. Section 3.
    """
    ys = _Adjoint.apply(job, y0, times, *parameters)  # type: ignore[no-untyped-call]  # torch
    return job.solution(ys)


class _Adjoint(torch.autograd.Function):
    """The states as a function of initial states and parameters."""

    @staticmethod
    def forward(ctx: Any, job: Job, y0: Tensor, times: Tensor, *parameters: Tensor) -> Tensor:
        """Solve, and keep nothing but the states asked for."""
        ys = job.solve(y0, times)
        ctx.job = job
        ctx.save_for_backward(y0, times, ys, *parameters)
        return ys

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Go back from time to time."""
        y0, times, ys, *parameters = ctx.saved_tensors
        if torch.is_grad_enabled():
            return None, *ctx.job.through_steps(y0, times, tuple(parameters), grad)
        back = _Backward(ctx.job, times, ys.detach(), tuple(parameters))
        at_start = back.adjoint_at_start(grad)
        return None, at_start + grad[:, 0], None, *back.totals


class _Backward:
    """The way back over the times of a solution."""

    def __init__(self, job: Job, times: Tensor, ys: Tensor, parameters: tuple[Tensor, ...]) -> None:
        self.job, self.times, self.ys, self.parameters = job, times, ys, parameters
        self.totals: Sequence[Tensor | None] = [None] * len(parameters)
        self.whole, self.worst = Clock.of(times), 0.0
        # The adjoint's field differentiates, which a compiled one can't.
        self.options = replace(job.options, compile=False)
        self.lengths: Tensor | None = None

    def adjoint_at_start(self, grad: Tensor) -> Tensor:
        """The adjoint at the first times, of what comes after them."""
        a = torch.zeros_like(grad[:, 0])
        for k in range(grad.shape[1] - 1, 0, -1):
            a = self._to_the_time_before(k, a + grad[:, k])
        self._check()
        return a

    def _to_the_time_before(self, k: int, a: Tensor) -> Tensor:
        """The adjoint at the times before the k-th ones."""
        clock = Clock.of(self.times[:, [k, k - 1]])
        if not bool(clock.sign.any()):
            return a
        # The equation is linear: the tolerances are meant for an adjoint of size 1.
        size = a.flatten(1).abs().amax(1)
        size = torch.where(size > 0, size, 1)
        pair = _paired(self.ys[:, k], a / column(size, a))
        integral = _Integral(self, clock, size, self.lengths)
        solution = self.job.engine.march_between(
            self._field, pair, clock, self.whole, self.options, integral, self.lengths
        )
        self.lengths = integral.lengths
        # Rows without a way to go may be where their slope is infinite.
        still = clock.span == 0
        self._check_status(torch.where(still, Solver.OK, solution.status), k)
        y, a = _parted(torch.where(column(still, pair), pair, solution.ys[:, -1]))
        known = self.ys[:, k - 1]
        self.worst = max(self.worst, float(((y - known).abs() / (1 + known.abs())).amax()))
        return a * column(size, a)

    def _field(self, t: Tensor, pair: Tensor) -> Tensor:
        """Slope of the state and of its adjoint."""
        y, a = _parted(pair)
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            slope = self.job.field(t, y)
            (by_state,) = input_gradients([slope], [a], (y,))
        return _paired(slope.detach(), torch.zeros_like(a) if by_state is None else -by_state)

    def integrand(self, t: Tensor, pair: Tensor, factor: Tensor) -> None:
        """Add a value of the integral over the parameters, weighted by row."""
        y, a = _parted(pair)
        with torch.enable_grad():
            slope = self.job.field(t, y)
            found = input_gradients([slope], [a * factor], self.parameters)
        self.totals = added(self.totals, found)

    def _check_status(self, status: Tensor, k: int) -> None:
        """Raise where a row can't be taken back."""
        failed = (status != Solver.OK).nonzero()[:, 0].tolist()
        if failed:
            row = failed[0]
            start, end = float(self.times[row, k]), float(self.times[row, k - 1])
            raise IntegrationError(
                f"The adjoint of {len(failed)} of {len(status)} rows could not be integrated "
                f"backward: that of row {row} not from t={start:.6g} to {end:.6g} (status "
                f"{int(status[row])}). Take gradient='checkpoint', which needs no way back."
            )

    def _check(self) -> None:
        """Warn if going back did not lead to where the solution had come from."""
        options, bound = self.job.options, RECONSTRUCTED
        if self.job.engine.adaptive:
            bound = max(bound, TOLERANCES * (options.rtol + options.atol))
        if self.worst > bound:
            remedy = "tighter tolerances" if self.job.engine.adaptive else "shorter steps"
            warnings.warn(
                f"Going back from a time asked for to the one before missed the state there by "
                f"{self.worst:.2g} (relative to 1 and its size), so that the adjoint's gradients "
                f"are off: see whether {remedy} help, or take gradient='checkpoint'.",
                GradientWarning,
                stacklevel=2,
            )


def _paired(y: Tensor, a: Tensor) -> Tensor:
    """State and adjoint side by side.

    In two halves (q, p) they are laid as (q, a_p, p, a_q): where q moves by p alone and p by q
    alone, so do these halves, which keeps symplectic steps explicit and reversible.
    """
    if y.shape[-1] % 2:
        return torch.cat([y, a], -1)
    (q, p), (by_q, by_p) = y.chunk(2, -1), a.chunk(2, -1)
    return torch.cat([q, by_p, p, by_q], -1)


def _parted(pair: Tensor) -> tuple[Tensor, Tensor]:
    """The state and its adjoint."""
    if pair.shape[-1] % 4:
        y, a = pair.chunk(2, -1)
        return y, a
    q, by_p, p, by_q = pair.chunk(4, -1)
    return torch.cat([q, p], -1), torch.cat([by_q, by_p], -1)


class _Integral(Listener):
    """Adds up the integral over the parameters, step by step.

    Parameters
    ----------
    back : _Backward
        What knows the integrand, and holds the totals.
    clock : Clock
        Times of every row.
    size : Tensor of shape (batch,)
        Size of the adjoint where it is 1 in the pair.
    lengths : Tensor of shape (batch,), or None
        What was chosen last for a next step, before this part of the way.
    """

    def __init__(self, back: _Backward, clock: Clock, size: Tensor, lengths: Tensor | None) -> None:
        self.back, self.clock, self.size = back, clock, size
        self.lengths = torch.zeros_like(clock.span) if lengths is None else lengths
        self.rows = torch.arange(len(size), device=size.device)
        self.polynomials = back.job.engine.polynomials
        self.rule = GAUSS[(int(back.job.engine.order) + 1) // 2]
        self.closing = bool(back.parameters)

    def begin(self, pace: Pace) -> None:
        """See the lengths that are chosen."""
        self.pace = pace

    def listen(self, before: Tensor, length: Tensor, after: Tensor, y: Tensor, step: Step) -> None:
        """Add a step."""
        if isinstance(self.pace, AdaptivePace):
            known, chosen = self.lengths[self.rows], self.pace.length
            # A step that was cut short at the end of the way says little of what was possible.
            chosen = torch.where(after < self.clock.span, chosen, torch.maximum(known, chosen))
            kept = torch.where(after > before, chosen, known)
            self.lengths = self.lengths.index_copy(0, self.rows, kept)
        if not self.closing:
            return
        t, h = self.clock.at(before, y), self.clock.signed(after - before, y)
        scale = h * column(self.size, y)
        for share, weight in self.rule:
            inner = weighted(y, _weights(self.polynomials, share), step.moves)
            self.back.integrand(torch.add(t, h, alpha=share), inner, -weight * scale)

    def dismiss(self, keep: Tensor) -> None:
        """Go on with some rows."""
        self.clock, self.size, self.rows = self.clock.take(keep), self.size[keep], self.rows[keep]


def _weights(polynomials: tuple[tuple[float, ...], ...], share: float) -> tuple[float, ...]:
    """Weights of the moves at a share of the step."""
    return tuple(
        sum(c * share ** (power + 1) for power, c in enumerate(coefficients))
        for coefficients in polynomials
    )
