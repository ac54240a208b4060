"""A batch's field over one grid of shares, watched so that a failure can be laid to its rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from odeseries.interfaces import SolveOptions, Solver, VectorField
from odeseries.solvers.rows import column, status_of, stood_in

__all__ = ["AdaptiveField", "BudgetError", "Problem", "WatchedField"]

GOVERNING = 0.1
"""Rows whose scaled error is at least this share of the largest one govern a shared step."""


@dataclass(frozen=True)
class Problem:
    """A batch to be integrated.

    Attributes
    ----------
    field : callable
        Vector field.
    y0 : Tensor of shape (batch, ..., state_dim)
        Initial states.
    start, span : Tensor of shape (batch,)
        First time and signed time from there to the last one.
    counts : Tensor of int64, shape (batch,)
        Number of fixed steps.
    options : SolveOptions
        Steps and tolerances.
    learned : tuple of Tensor, or None
        What the adjoint equation finds the gradients of; None if they go through the steps.
    """

    field: VectorField
    y0: Tensor
    start: Tensor
    span: Tensor
    counts: Tensor
    options: SolveOptions
    learned: tuple[Tensor, ...] | None = None


class BudgetError(Exception):
    """More steps than allowed."""


class WatchedField:
    """The field over the share of each row's span; rows that don't take part stand still.

    Parameters
    ----------
    problem : Problem
        The whole batch.
    rows : Tensor of bool, shape (batch,)
        Rows that take part.
    """

    def __init__(self, problem: Problem, rows: Tensor) -> None:
        self.field, self.max_steps = problem.field, problem.options.max_steps
        self.start = column(stood_in(~rows, problem.start), problem.y0)
        self.span = column(stood_in(~rows, problem.span), problem.y0)
        self.rows = rows
        self.nfe = self.steps = self.rejected = 0
        self.fresh = True
        self.broken = torch.zeros_like(rows)
        self.errors = torch.zeros(len(rows), dtype=problem.y0.dtype, device=rows.device)

    def __call__(self, share: Tensor, state: Tensor) -> Tensor:
        """Slope with respect to the share, of the state's shape."""
        self.nfe += 1
        t = self.start + share.to(self.start.dtype) * self.span
        slope = self.field(t.to(state.dtype), state) * self.span.to(state.dtype)
        # Only the first rows of a step count: what is infinite in one of them may make the step
        # NaN that all share, and so the others' states.
        broken = self.rows & (status_of(slope) != Solver.OK)
        self.broken = torch.where(self.broken.any() & (not self.fresh), self.broken, broken)
        self.fresh = False
        slope = torch.where(column(self.rows, slope), slope, 0)
        # torchdiffeq's adjoint differentiates by the state what may not depend on it.
        return slope + 0 * state if state.requires_grad and not slope.requires_grad else slope

    def callback_step(self, share: Tensor, state: Tensor, step: Tensor) -> None:
        """Count a step that is about to be tried."""
        del share, state, step
        if self.steps >= self.max_steps:
            raise BudgetError
        self.steps += 1
        self.fresh = True

    def norm(self, scaled: Tensor) -> Tensor:
        """Largest root mean square of any row, as a constant: steps are not differentiated."""
        flat = scaled.detach().flatten(1)
        # Squares of errors that are divided by next to nothing would be infinite.
        unit = flat.abs().amax(1, keepdim=True).clamp(min=1)
        sizes = (flat / unit).square().mean(1).sqrt() * unit[:, 0]
        # The last that is not zero tells which row stopped the solve.
        self.errors = torch.where(sizes.amax() == 0, self.errors, sizes)
        return sizes.amax()

    def blame(self, error: Exception) -> Tensor:
        """Status of every row after torchdiffeq gave up, which it does for the whole batch."""
        if isinstance(error, BudgetError):
            return self._governing(GOVERNING) * Solver.STEP_BUDGET
        if bool(self.broken.any()):
            return self.broken * Solver.NON_FINITE
        return self._governing(1.0) * Solver.STEP_UNDERFLOW

    def _governing(self, share: float) -> Tensor:
        """Rows with at least that share of the largest error; all where errors are not known."""
        found = self.rows & (self.errors >= share * self.errors[self.rows].amax())
        return found if bool(found.any()) else self.rows


class AdaptiveField(WatchedField):
    """The same, told of rejected steps, of which only adaptive methods know."""

    def callback_reject_step(self, share: Tensor, state: Tensor, step: Tensor) -> None:
        """Count a step that was tried in vain."""
        del share, state, step
        self.rejected += 1
