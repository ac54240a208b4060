"""Rows of a batch: one value per row against a state, and rows that failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from odeseries.interfaces import Solution, Solver, SolverStats

__all__ = [
    "answered",
    "apart",
    "chosen",
    "column",
    "healed",
    "resting",
    "seen_through",
    "status_of",
    "stood_in",
]


def column(values: Tensor, like: Tensor) -> Tensor:
    """Reshape (batch, ...) so that it broadcasts against ``like`` of at least as many axes."""
    return values.reshape(*values.shape, *[1] * (like.ndim - values.ndim))


def answered(found: Tensor, state: Tensor) -> Tensor:
    """What a field returned, in the dtype of the states and in memory of its own.

    What no graph guards may be a buffer, in which the field writes its next answer.
    """
    guarded = found.requires_grad and torch.is_grad_enabled()
    return found.to(state.dtype, copy=not guarded)


def resting(y0: Tensor, n_times: int) -> Tensor:
    """States (batch, n_times, ...) of rows that stay where they start, in memory of their own."""
    states = y0[:, None].expand(-1, n_times, *y0.shape[1:])
    return states.clone(memory_format=torch.contiguous_format)


def status_of(*parts: Tensor) -> Tensor:
    """Tell rows whose every number is finite from the others, as codes of shape (batch,)."""
    finite = [torch.isfinite(part.detach()).flatten(1).all(1) for part in parts]
    return torch.where(torch.stack(finite).all(0), Solver.OK, Solver.NON_FINITE)


def seen_through(solution: Solution) -> Solution:
    """The solution, in which no row is called solved whose states are not finite.

    Near the largest number of the dtype an interpolation overflows where no step did.
    """
    solved = solution.status == Solver.OK
    status = torch.where(solved, status_of(solution.ys), solution.status)
    return replace(solution, status=status)


def healed(failed: Tensor, ys: Tensor, y0: Tensor, again: Callable[[], Tensor]) -> Tensor:
    """States of a solve in which rows failed, whose gradients are those of the healthy rows.

    What is infinite in failed rows would reach the gradients of parameters that all share, so
    that the healthy ones are taken from ``again``, a solve without the others. If all have failed,
    there is a graph still, of gradients that are zero.
    """
    if not bool(failed.all()):
        healthy = again()
    else:
        healthy = resting(y0, ys.shape[1]).requires_grad_(ys.requires_grad)
    return torch.where(column(failed, ys), ys.detach(), healthy)


def stood_in(failed: Tensor, values: Tensor) -> Tensor:
    """Replace failed rows by the first healthy one.

    A solve is repeated with the result so that a failed row takes part with harmless numbers:
    hiding its own by a mask would leave products of zero and infinity in the gradients of
    parameters that all rows share. No gradient reaches the healthy row from there, where a field
    that knows its rows may be infinite.
    """
    healthy = int(failed.int().argmin())
    return torch.where(column(failed, values), values[healthy].detach(), values)


def apart(rows: Tensor, y0: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """States and times of a solve in which rows stay where the first of the others starts."""
    start = stood_in(rows, times[:, :1]).expand_as(times)
    return stood_in(rows, y0), torch.where(rows[:, None], start, times)


def chosen(rows: Tensor, some: Solution, others: Solution) -> Solution:
    """One solution in these rows, and another one in the others."""

    def picked(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(column(rows, a), a, b)

    stats = SolverStats(
        picked(some.stats.nfe, others.stats.nfe),
        picked(some.stats.accepted, others.stats.accepted),
        picked(some.stats.rejected, others.stats.rejected),
    )
    return Solution(picked(some.ys, others.ys), stats, picked(some.status, others.status))
