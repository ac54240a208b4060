"""Lengths of steps: given beforehand, or chosen by each row from its own error."""

from __future__ import annotations

import torch
from torch import Tensor

from odeseries.interfaces import SolveOptions, Solver, SolverStats, VectorField
from odeseries.solvers.grids import Grid
from odeseries.solvers.options import floored
from odeseries.solvers.rows import column, status_of
from odeseries.solvers.stepping import Clock, Pace, Step, Verdict, weighted
from odeseries.solvers.tableaux import Tableau

__all__ = ["AdaptivePace", "FixedPace"]

SAFETY, SHRINK, GROW = 0.89, 0.2, 10.0
INTEGRAL, PROPORTIONAL = 0.6, 0.4
FIRST = 2.0
"""First lengths relative to the published ones."""
BROKEN_SHRINK = 0.1
LEAST_ERROR = 1e-4
COMPACT_BELOW = 0.5
"""Share of rows with a way to go below which the others are put aside."""
STIFF_WATCH, STIFF_BOUND = 20, 3.25
"""Last tries of the budget, and the product of step and slope's rate that explicit steps allow."""


class FixedPace(Pace):
    """Steps of one length per row.

    Parameters
    ----------
    grid : Grid
        The steps of every row.
    """

    def __init__(self, grid: Grid) -> None:
        self.step, self.counts = grid.step.abs(), grid.counts
        self.end = torch.maximum(self.counts * self.step, grid.elapsed[:, -1].abs())
        self.total = int(grid.counts.max()) if len(grid.counts) else 0
        self.done = 0
        self.elapsed = torch.zeros_like(self.step)

    def lasts(self) -> bool:
        """Whether a row has a way to go."""
        return self.done < self.total

    def closing(self) -> bool:
        """Whether another step follows."""
        return self.done + 1 < self.total

    def propose(self) -> Tensor:
        """The given length; 0 for rows at their ends, which stay at states known to be finite."""
        return torch.where(self.counts > self.done, self.step, 0)

    def judge(self, y: Tensor, step: Step) -> Verdict:
        """Accept."""
        self.done += 1
        self.elapsed = self.reached(self.done)
        return Verdict(True)

    def reached(self, done: int) -> Tensor:
        """Times after so many steps, (batch,)."""
        return torch.where(self.counts > done, done * self.step, self.end)

    def stop(self, rows: Tensor) -> None:
        """Let rows stay where they are."""
        self.counts = torch.where(rows, self.done, self.counts)
        self.end = torch.where(rows, self.elapsed, self.end)
        self.total = int(self.counts.max())

    def put_aside(self) -> Tensor | None:
        """Keep all rows, so that what is computed for one depends on no other's length."""
        return None

    def stats(self, per_step: int, before: int) -> SolverStats:
        """Work of every row, given evaluations of a step and those before the first."""
        nfe = before + per_step * self.counts
        return SolverStats(nfe, self.counts, torch.zeros_like(self.counts))


class AdaptivePace(Pace):
    r"""Every row holds its own estimated error, in the root mean square, at the tolerances.

    The length of a row's next step is that of its last times
    :math:`0.89 e_n^{-(k_I + k_P) / p} e_{n-1}^{k_P / p}` (PI control), where e is the error
    relative to the tolerances, p the order of the method, :math:`k_I = 0.6` and
    :math:`k_P = 0.4`, within the bounds 0.2 and 10.

    Parameters
    ----------
    tableau : Tableau
        Method.
    clock : Clock
        Times of every row.
    options : SolveOptions
        Tolerances and most steps.
    compact : bool
        Whether rows may be put aside, because the field treats rows alike.

    References
    ----------
    Hairer, E., Norsett, S. P., Wanner, G. (1993). Solving Ordinary Differential Equations I.
    Second edition. Section II.4, equations (4.11)-(4.14) (first step, taken twice as long).
    Hairer, E., Wanner, G. (1996). Solving Ordinary Differential Equations II. Second edition.
    Section IV.2, equations (2.11) and (2.43c) (detection of stiffness, control).
    Gustafsson, K. (1991). Control Theoretic Techniques for Stepsize Selection in Explicit
    Runge-Kutta Methods. ACM Transactions on Mathematical Software 17(4). (PI control.)
    """

    def __init__(
        self, tableau: Tableau, clock: Clock, options: SolveOptions, *, compact: bool
    ) -> None:
        self.tableau, self.options, self.compact, self.clock = tableau, options, compact, clock
        self.span = self.length = self.proposed = clock.span
        self.elapsed = torch.zeros_like(self.span)
        self.previous = torch.full_like(self.span, LEAST_ERROR)
        self.growth = torch.full_like(self.span, GROW)
        self.rows = torch.arange(len(self.span), device=self.span.device)
        self.tries, self.rejected, self.status, self.stiff = torch.zeros(
            4, len(self.span), dtype=torch.int64, device=self.span.device
        )
        self.total = torch.zeros_like(torch.stack([self.tries, self.rejected, self.status]))
        self.left = self.tried = self.started = 0

    @torch.no_grad()
    def begin(self, field: VectorField, y: Tensor, slope: Tensor) -> None:
        """Choose the first lengths; rows that start at infinity or NaN have failed."""
        y, slope = y.detach(), slope.detach()
        self.start_size = _size(y)
        scale = self._scale(y, y)
        if not self.options.atol:
            # Otherwise a coordinate that starts at zero would ask for a step of no length.
            scale = torch.maximum(scale, column(self.options.rtol * self.start_size, y))
        at, rate = _norm(y / scale), _norm(slope / scale)
        guess = torch.where((at < 1e-5) | (rate < 1e-5), 1e-3 * self.span, 0.01 * at / rate)
        # A rate beyond what the dtype holds would leave no length at all, and no end of tries.
        guess = torch.maximum(guess.to(self.span.dtype), self._least())
        guess = torch.minimum(guess, self.span)
        h = self.clock.signed(guess, y)
        later = field(self.clock.at(guess, y), torch.addcmul(y, h, slope))
        most = torch.maximum(rate, _norm((later - slope) / scale) / guess.to(y.dtype))
        length = FIRST * (0.01 / most) ** (1 / self.tableau.order)
        length = torch.minimum(100 * guess, length.to(self.span.dtype))
        # Where the trial went to infinity, the small guess is the better one.
        self.length = torch.where(length > 0, length, guess)
        self._set_off(status_of(y, slope) != Solver.OK, 2)

    @torch.no_grad()
    def go_on(self, y: Tensor, slope: Tensor, lengths: Tensor) -> None:
        """Begin with lengths that were sensible before; 0 where none is known."""
        self.start_size = _size(y)
        self.length = torch.where(lengths > 0, torch.minimum(lengths, self.span), self.span)
        self._set_off(status_of(y, slope) != Solver.OK, 1)

    def _set_off(self, broken: Tensor, started: int) -> None:
        """Count the rows that have a way to go and have not failed already."""
        self.status = torch.where(broken, Solver.NON_FINITE, self.status)
        self.span = torch.where(broken, self.elapsed, self.span)
        self.left, self.started = int((self.span > 0).sum()), started

    def lasts(self) -> bool:
        """Whether a row has a way to go."""
        return self.left > 0

    def closing(self) -> bool:
        """Whether the slope at the end is needed: it is for the error."""
        return True

    @torch.no_grad()
    def propose(self) -> Tensor:
        """The length chosen after the last step, or what is left."""
        self.proposed = torch.minimum(self.length, self.span - self.elapsed)
        return self.proposed

    @torch.no_grad()
    def judge(self, y: Tensor, step: Step) -> Verdict:
        """Compare the errors with the tolerances, and choose the next lengths."""
        y, length = y.detach(), self.proposed
        moves = [move.detach() for move in step.moves]
        ratio = self._ratio(y, step.y.detach(), moves)
        moving = length > 0
        accept = ratio <= 1
        broken = moving & ~torch.isfinite(ratio)
        chosen = length * self._factor(ratio)
        after = torch.where(length < self.span - self.elapsed, self.elapsed + length, self.span)
        after = torch.where(accept, after, self.elapsed)
        going = after < self.span
        # Whoever rejected has a least length; nobody who has a way to go may have none at all.
        stuck = going & (chosen <= ~accept * self._least())
        # The one transfer to the host in a step.
        flags = torch.stack([broken, ~accept, stuck, going, accept & moving]).sum(1).tolist()
        self.tried += 1
        if flags[0]:
            return self._retry(y, broken)
        self.tries = self.tries + moving
        self.left = flags[3]
        self.elapsed, self.length = after, chosen
        if not flags[1]:
            self.previous = ratio.clamp(min=LEAST_ERROR)
            self.growth = torch.full_like(chosen, GROW)
        else:
            self.previous = torch.where(accept, ratio.clamp(min=LEAST_ERROR), self.previous)
            self.growth = torch.where(accept, GROW, 1.0).to(chosen.dtype)
            self.rejected = self.rejected + (moving & ~accept)
        if flags[2]:
            self._fail(stuck, Solver.STEP_UNDERFLOW, y)
        self._watch(y, step.y.detach(), moves)
        return Verdict(flags[4] > 0, accept if flags[1] else None)

    def _retry(self, y: Tensor, broken: Tensor) -> Verdict:
        """Shorten the steps to infinity or NaN, and leave all others as they were."""
        self.length = torch.where(broken, BROKEN_SHRINK * self.proposed, self.length)
        self.tries, self.rejected = self.tries + broken, self.rejected + broken
        self.growth = torch.where(broken, 1.0, self.growth)
        self._fail(broken & (self.length <= self._least()), Solver.NON_FINITE, y)
        self._check_budget(y)
        return Verdict(False)

    def _watch(self, y: Tensor, end: Tensor, moves: list[Tensor]) -> None:
        """Near the end of the budget, see whether stability rules the steps."""
        if self.tried > self.options.max_steps - STIFF_WATCH:
            last, before = self.tableau.stages[-1], self.tableau.stages[-2]
            weights = tuple(b - a for b, a in zip(last, (*before, 0.0), strict=True))
            apart = _norm(weighted(torch.zeros_like(y), weights, moves))
            rate = _norm(moves[-1] - moves[-2]) / apart.clamp(min=torch.finfo(y.dtype).tiny)
            self.stiff = self.stiff + (rate > STIFF_BOUND)
            self._check_budget(y)

    def _check_budget(self, y: Tensor) -> None:
        """Stop rows that have tried as many steps as are allowed."""
        if self.tried >= self.options.max_steps:
            over = (self.tries >= self.options.max_steps) & (self.elapsed < self.span)
            stiff = over & (self.stiff > STIFF_WATCH // 2)
            self._fail(stiff, Solver.STIFF, y)
            self._fail(over & ~stiff, Solver.STEP_BUDGET, y)

    def _fail(self, failed: Tensor, code: int, y: Tensor) -> None:
        """Let rows stay where they are; those whose states are huge have blown up."""
        named = torch.full_like(self.status, code)
        if code in (Solver.NON_FINITE, Solver.STEP_UNDERFLOW):
            huge = _size(y) > (1 + self.start_size) * torch.finfo(y.dtype).eps ** -0.5
            named = torch.where(huge, Solver.BLOW_UP, named)
        self.status = torch.where(failed, named, self.status)
        self.stop(failed)

    def stop(self, rows: Tensor) -> None:
        """Let rows stay where they are."""
        self.span = torch.where(rows, self.elapsed, self.span)
        self.left = int((self.elapsed < self.span).sum())

    def _least(self) -> Tensor:
        """Shortest useful lengths."""
        reach = torch.maximum(self.elapsed, 1e-3 * self.span)
        return 10 * torch.finfo(reach.dtype).eps * reach

    def put_aside(self) -> Tensor | None:
        """Go on with the rows that have a way to go, if it pays to put the others aside."""
        # Steps of a single row would be compiled once more.
        fewest = 2 if self.options.compile else 1
        if not (self.compact and fewest <= self.left < COMPACT_BELOW * len(self.rows)):
            return None
        self._write()
        keep = (self.elapsed < self.span).nonzero()[:, 0]
        for name in STATE:
            setattr(self, name, getattr(self, name)[keep])
        self.clock = self.clock.take(keep)
        return keep

    def _write(self) -> None:
        """Enter the work and status of the present rows into those of the batch."""
        self.total[:, self.rows] = torch.stack([self.tries, self.rejected, self.status])

    def _ratio(self, y: Tensor, end: Tensor, moves: list[Tensor]) -> Tensor:
        """Estimated error of every row relative to its tolerance."""
        first, *rest = self.tableau.error
        error = moves[0] * first
        for weight, move in zip(rest, moves[1:], strict=True):
            if weight:
                error = error.add_(move, alpha=weight)
        return _norm(error.div_(self._scale(y, end))).to(self.span.dtype)

    def _scale(self, y: Tensor, end: Tensor) -> Tensor:
        """Tolerance of every coordinate."""
        floor = floored(self.options.atol, y.dtype)
        return torch.maximum(y.abs(), end.abs()).mul_(self.options.rtol).add_(floor)

    def _factor(self, ratio: Tensor) -> Tensor:
        """Next length relative to the last."""
        damping = PROPORTIONAL / self.tableau.order
        exponent = INTEGRAL / self.tableau.order + damping
        factor = ratio.pow(-exponent).mul_(self.previous.pow(damping)).mul_(SAFETY)
        return torch.minimum(factor.clamp_(min=SHRINK), self.growth)

    def outcome(self) -> tuple[SolverStats, Tensor]:
        """Work and status of every row of the batch."""
        self._write()
        tries, rejected, status = self.total
        nfe = self.started + (len(self.tableau.nodes) - 1) * tries
        return SolverStats(nfe, tries - rejected, rejected), status


STATE = (
    "span",
    "length",
    "elapsed",
    "previous",
    "growth",
    "rows",
    "tries",
    "rejected",
    "status",
    "stiff",
    "start_size",
)


def _size(y: Tensor) -> Tensor:
    """Largest absolute coordinate of every row."""
    return y.detach().flatten(1).abs().amax(1)


def _norm(x: Tensor) -> Tensor:
    """Root mean square of every row."""
    flat = x.flatten(1)
    length: Tensor = torch.linalg.vector_norm(flat, dim=1)
    return length.mul_(flat.shape[1] ** -0.5)
