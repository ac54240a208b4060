"""Steps, above all explicit Runge-Kutta ones, every row with a length of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from odeseries.interfaces import VectorField
from odeseries.solvers.rows import column, stood_in
from odeseries.solvers.tableaux import Tableau

__all__ = ["Clock", "Pace", "Scheme", "Sink", "Step", "Verdict", "advance", "march", "weighted"]


@dataclass(frozen=True)
class Clock:
    """Times of every row, as a start and what has elapsed since.

    Attributes
    ----------
    start, sign : Tensor of shape (batch,)
        First time; 1 where times increase, -1 where they decrease, 0 where they stand still.
    elapsed : Tensor of shape (batch, n_times)
        Times asked for, from the start, not negative.
    """

    start: Tensor
    sign: Tensor
    elapsed: Tensor

    @classmethod
    def of(cls, times: Tensor) -> Clock:
        """Read times of shape (batch, n_times)."""
        elapsed = times - times[:, :1]
        sign = torch.sign(elapsed[:, -1].detach())
        return cls(times[:, 0], sign, elapsed * sign[:, None])

    @property
    def span(self) -> Tensor:
        """Last time from the start, (batch,), a constant."""
        return self.elapsed[:, -1].detach()

    def take(self, rows: Tensor) -> Clock:
        """The clock of some rows."""
        return Clock(self.start[rows], self.sign[rows], self.elapsed[rows])

    def stopped(self, failed: Tensor) -> Clock:
        """Let failed rows stay where the first healthy one starts."""
        rest = self.elapsed.masked_fill(failed[:, None], 0)
        return replace(self, start=stood_in(failed, self.start), elapsed=rest)

    def at(self, elapsed: Tensor, like: Tensor) -> Tensor:
        """Times (batch, 1, ...) in the dtype of the states."""
        return column(torch.addcmul(self.start, self.sign, elapsed), like).to(like.dtype)

    def signed(self, length: Tensor, like: Tensor) -> Tensor:
        """Lengths (batch, 1, ...) of steps in the direction of the times."""
        return column(self.sign * length, like).to(like.dtype)


@dataclass(frozen=True)
class Step:
    """What a step gave.

    Attributes
    ----------
    y : Tensor of shape (batch, ..., state_dim)
        State at its end.
    slope : Tensor or None
        Slope there, if it was asked for.
    moves : list of Tensor
        What the interpolation within the step is made of, such as the slopes of all stages times
        the length.
    """

    y: Tensor
    slope: Tensor | None
    moves: list[Tensor]


def weighted(y: Tensor, weights: tuple[float, ...], moves: list[Tensor]) -> Tensor:
    """State plus the weighted moves."""
    for weight, move in zip(weights, moves, strict=False):
        if weight:
            y = torch.add(y, move, alpha=weight)
    return y


class Scheme(Protocol):
    """Takes one step of every row."""

    def __call__(
        self,
        field: VectorField,
        t: Tensor,
        h: Tensor,
        y: Tensor,
        slope: Tensor,
        *,
        closing: bool,
    ) -> Step:
        """Step from ``y``, where the slope is known; with the slope at the end if closing."""


def advance(
    tableau: Tableau,
    field: VectorField,
    t: Tensor,
    h: Tensor,
    y: Tensor,
    slope: Tensor,
    *,
    closing: bool,
) -> Step:
    """The scheme of an explicit Runge-Kutta method."""
    moves = [h * slope]
    for node, weights in zip(tableau.nodes[1:-1], tableau.stages[1:-1], strict=True):
        moves.append(h * field(torch.add(t, h, alpha=node), weighted(y, weights, moves)))
    y = weighted(y, tableau.stages[-1], moves)
    if not closing:
        return Step(y, None, moves)
    end = field(t + h, y)
    return Step(y, end, [*moves, h * end])


@dataclass(frozen=True)
class Verdict:
    """What became of a step that was tried.

    Attributes
    ----------
    taken : bool
        Whether any row advanced; otherwise nothing of the step may be kept.
    accept : Tensor of bool, shape (batch,), or None
        Rows that advanced; None if all did.
    """

    taken: bool
    accept: Tensor | None = None


class Pace(Protocol):
    """Decides on the lengths of the steps; the lengths of rows at their ends are 0."""

    elapsed: Tensor
    """Where every row is, (batch,)."""

    def lasts(self) -> bool:
        """Whether a row has a way to go."""

    def closing(self) -> bool:
        """Whether the slope at the end of the coming step is needed for the next."""

    def propose(self) -> Tensor:
        """Lengths of the coming step, (batch,)."""

    def judge(self, y: Tensor, step: Step) -> Verdict:
        """Look at the step that was proposed, and move on."""

    def put_aside(self) -> Tensor | None:
        """Let rows go that are at their ends; those to go on with, None for all."""


class Sink(Protocol):
    """Takes what is to be kept of the steps."""

    closing: bool
    """Whether the slope at the end of every step is needed."""

    def record(self, before: Tensor, length: Tensor, after: Tensor, y: Tensor, step: Step) -> None:
        """Keep a step from the state ``y`` at ``before``; rows that rejected it stay there."""

    def leave(self, y: Tensor, keep: Tensor) -> None:
        """Let all rows go but those to be kept."""


def march(
    field: VectorField,
    scheme: Scheme,
    start: tuple[Tensor, Tensor | None],
    clock: Clock,
    pace: Pace,
    sink: Sink,
) -> tuple[Tensor, Tensor | None]:
    """Step until no row has a way to go.

    Parameters
    ----------
    field, scheme, clock
        What is integrated, how, and when.
    start : tuple of Tensor and (Tensor or None)
        States and, if known, slopes at the start.
    pace, sink
        What decides on the steps, and what keeps them.

    Returns
    -------
    tuple of Tensor and (Tensor or None)
        States and slopes at the end, of the rows that were kept until then.
    """
    y, slope = start
    while pace.lasts():
        before, length = pace.elapsed, pace.propose()
        t, h = clock.at(before, y), clock.signed(length, y)
        if slope is None:
            slope = field(t, y)
        step = scheme(field, t, h, y, slope, closing=sink.closing or pace.closing())
        verdict = pace.judge(y, step)
        if not verdict.taken:
            continue
        sink.record(before, length, pace.elapsed, y, step)
        y, slope = _moved(y, slope, step, verdict.accept)
        keep = pace.put_aside()
        if keep is not None:
            sink.leave(y, keep)
            y, clock = y[keep], clock.take(keep)
            slope = None if slope is None else slope[keep]
    return y, slope


def _moved(
    y: Tensor, slope: Tensor, step: Step, accept: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """State and slope after a step, in the rows that took it."""
    if accept is None or step.slope is None:
        return step.y, step.slope
    accept = column(accept, y)
    return torch.where(accept, step.y, y), torch.where(accept, step.slope, slope)
