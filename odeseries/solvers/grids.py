"""Grids of fixed steps, one for every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from odeseries.errors import IntegrationError, SolverError
from odeseries.interfaces import SolveOptions
from odeseries.solvers.rows import stood_in

__all__ = ["Grid", "over_budget"]

SLACK = 1e-9
"""Share of a step by which rounding may make a span longer than a number of steps."""


@dataclass(frozen=True)
class Grid:
    """Grids ``start + k * step`` for ``k <= counts``, in the dtype of the times.

    Attributes
    ----------
    start, step : Tensor of shape (batch,)
        First time and signed length of a step.
    counts : Tensor of int64, shape (batch,)
        Number of steps.
    elapsed : Tensor of shape (batch, n_times)
        Times asked for, from the start.
    """

    start: Tensor
    step: Tensor
    counts: Tensor
    elapsed: Tensor

    @classmethod
    def of(cls, times: Tensor, options: SolveOptions) -> Grid:
        """Lay the grids over times of shape (batch, n_times).

        Raises
        ------
        SolverError
            If neither ``step`` nor ``n_steps`` is given.
        IntegrationError
            If a row has more than ``max_steps``.
        """
        elapsed = times - times[:, :1]
        span = elapsed[:, -1]
        needed = _needed(span, options)
        step = _signed_step(span, options)
        _check_budget(needed, step, span, options.max_steps)
        return cls(times[:, 0], step, needed.long(), elapsed)

    @classmethod
    def within(cls, times: Tensor, longest: Tensor) -> Grid:
        """Divide spans evenly into steps that are no longer than those of shape (batch,)."""
        elapsed = times - times[:, :1]
        span = elapsed[:, -1]
        counts = (span.abs() / torch.where(longest > 0, longest, 1) - SLACK).ceil().clamp(min=1)
        return cls(times[:, 0], span / counts, (counts * (span != 0)).long(), elapsed)

    def stopped(self, failed: Tensor) -> Grid:
        """Let failed rows stay where the first healthy one starts."""
        return Grid(
            start=stood_in(failed, self.start),
            step=self.step.masked_fill(failed, 0),
            counts=self.counts.masked_fill(failed, 0),
            elapsed=self.elapsed.masked_fill(failed[:, None], 0),
        )


def over_budget(times: Tensor, options: SolveOptions) -> Tensor:
    """Rows of times (batch, n_times) that would need more steps than are allowed."""
    return _needed((times[:, -1] - times[:, 0]).detach(), options) > options.max_steps


def _needed(span: Tensor, options: SolveOptions) -> Tensor:
    """Steps that reach over spans, in the dtype of these."""
    if options.step is not None:
        return (span.abs() / options.step).ceil()
    if options.n_steps is not None:
        return torch.where(span == 0, 0.0, float(options.n_steps))
    raise SolverError("A method of fixed steps needs step or n_steps: give one of them.")


def _signed_step(span: Tensor, options: SolveOptions) -> Tensor:
    """Length of a step in the direction of the times."""
    if options.step is not None:
        return torch.sign(span) * options.step
    return span / cast("int", options.n_steps)


def _check_budget(needed: Tensor, step: Tensor, span: Tensor, max_steps: int) -> None:
    """Raise before any work is done."""
    excess = needed > max_steps
    if bool(excess.any()):
        row = int(excess.int().argmax())
        raise IntegrationError(
            f"Row {row} would need {float(needed[row]):.0f} steps of {abs(float(step[row])):.3g} "
            f"for its span of {abs(float(span[row])):.3g}, more than max_steps={max_steps}: give "
            f"a longer step, or raise max_steps."
        )
