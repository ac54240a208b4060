"""States at the times asked for, out of the steps of every row."""

from __future__ import annotations

import torch
from torch import Tensor

from odeseries.solvers.rows import column
from odeseries.solvers.stepping import Clock, Sink, Step
from odeseries.solvers.tableaux import Row

__all__ = ["Dense", "Ends", "sink_for"]

CHUNK = 8
"""Steps that are kept, where no gradient needs them, until the states in them are taken out."""


class Ends(Sink):
    """Keeps the states at the ends of the rows, and no step.

    Parameters
    ----------
    y0 : Tensor of shape (batch, ..., state_dim)
        Initial states.
    """

    closing = False

    def __init__(self, y0: Tensor) -> None:
        self.y0 = y0
        self.rows = torch.arange(len(y0), device=y0.device)
        self.left: list[tuple[Tensor, Tensor]] = []

    def record(self, before: Tensor, length: Tensor, after: Tensor, y: Tensor, step: Step) -> None:
        """Keep nothing."""

    def leave(self, y: Tensor, keep: Tensor) -> None:
        """Take the states of the rows that are at their ends."""
        gone = torch.ones_like(self.rows, dtype=torch.bool).index_fill(0, keep, False)
        index = gone.nonzero()[:, 0]
        self.left.append((self.rows[index], y[index]))
        self.rows = self.rows[keep]

    def result(self, y: Tensor) -> Tensor:
        """Initial and final states, (batch, 2, ..., state_dim)."""
        if self.left:
            rows, states = zip(*self.left, (self.rows, y), strict=True)
            y = torch.cat(states)[torch.cat(rows).argsort()]
        return torch.stack([self.y0, y], 1)


class Dense(Sink):
    """Interpolates within the steps, by the method's own polynomial.

    Parameters
    ----------
    polynomials : tuple of tuple of float
        For every move of a step, the coefficients of its polynomial from the first power on.
    y0 : Tensor of shape (batch, ..., state_dim)
        Initial states.
    clock : Clock
        Times asked for.
    size : int or None
        Steps after which they are evaluated and let go; None at the end only.
    """

    closing = True

    def __init__(
        self, polynomials: tuple[Row, ...], y0: Tensor, clock: Clock, size: int | None
    ) -> None:
        self.polynomials, self.y0, self.clock, self.size = polynomials, y0, clock, size
        self.rows = torch.arange(len(y0), device=y0.device)
        self.reached = torch.zeros_like(clock.span)
        self.steps: list[tuple[Tensor, Tensor, Tensor, list[Tensor]]] = []
        at_start = (clock.elapsed == 0).nonzero()
        self.taken = [(self._place(at_start), y0[at_start[:, 0]])]

    def resume(self, rows: Tensor, reached: Tensor) -> None:
        """Begin on the way, with some rows of the batch, where nothing has been taken yet."""
        self.rows, self.reached = rows, reached.detach()
        self.taken = [(rows[:0], self.y0[:0])]

    def record(self, before: Tensor, length: Tensor, after: Tensor, y: Tensor, step: Step) -> None:
        """Keep a step; take the states out of those before if there are many."""
        self.steps.append((before, length, after, [y, *step.moves]))
        if self.size is not None and len(self.steps) >= self.size:
            self.flush()

    def leave(self, y: Tensor, keep: Tensor) -> None:
        """Take the states out of the steps, whose rows are about to change."""
        self.flush()
        self.rows, self.reached, self.clock = (
            self.rows[keep],
            self.reached[keep],
            self.clock.take(keep),
        )

    def flush(self) -> None:
        """Evaluate the states at times within the steps that are kept, and let these go."""
        if not self.steps:
            return
        before, length, after = (torch.stack(x, 1) for x in list(zip(*self.steps, strict=True))[:3])
        after = after.detach()
        elapsed = self.clock.elapsed.detach()
        found = (elapsed > self.reached[:, None]) & (elapsed <= after[:, -1:])
        index = found.nonzero()
        row, asked = index.unbind(1)
        if len(row):
            which = torch.searchsorted(after, elapsed.contiguous())[row, asked]
            share = (self.clock.elapsed[row, asked] - before[row, which]) / length[row, which]
            flat = which * len(self.rows) + row
            states = self._interpolated(flat, share)
            self.taken.append((self._place(torch.stack([self.rows[row], asked], 1)), states))
        self.reached, self.steps = after[:, -1], []

    def _interpolated(self, flat: Tensor, share: Tensor) -> Tensor:
        """States in the steps at the flat positions, at the shares of them."""
        parts = [torch.cat(part) for part in zip(*(step[3] for step in self.steps), strict=True)]
        share = column(share.to(self.y0.dtype), self.y0)
        y = parts[0][flat]
        for move, coefficients in zip(parts[1:], self.polynomials, strict=True):
            if any(coefficients):
                y = torch.addcmul(y, _polynomial(coefficients, share), move[flat])
        return y

    def _place(self, index: Tensor) -> Tensor:
        """Flat positions of pairs of a row and a time."""
        return index[:, 0] * self.clock.elapsed.shape[1] + index[:, 1]

    def pieces(self) -> tuple[Tensor, Tensor]:
        """Flat positions among all rows and times, and the states there, in no order."""
        self.flush()
        places, states = zip(*self.taken, strict=True)
        return torch.cat(places), torch.cat(states)

    def result(self, y: Tensor) -> Tensor:
        """States (batch, n_times, ..., state_dim); NaN at times that were not reached."""
        shape = (len(self.y0), self.clock.elapsed.shape[1])
        places, states = self.pieces()
        total = shape[0] * shape[1]
        if len(places) < total:
            missing = torch.ones(total, dtype=torch.bool, device=y.device)
            missing = missing.index_fill(0, places, False).nonzero()[:, 0]
            unknown = states.new_full((len(missing), *self.y0.shape[1:]), torch.nan)
            places, states = torch.cat([places, missing]), torch.cat([states, unknown])
        return states[places.argsort()].reshape(*shape, *self.y0.shape[1:])


def _polynomial(coefficients: tuple[float, ...], share: Tensor) -> Tensor:
    """Evaluate a polynomial without a constant term by Horner's rule."""
    value = torch.full_like(share, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * share + coefficient
    return value * share


def sink_for(
    polynomials: tuple[Row, ...], y0: Tensor, clock: Clock, *, exact: bool
) -> Ends | Dense:
    """Choose what keeps the steps: nothing does where nothing but the end is asked for.

    ``exact`` says that the last step of every row ends at its last time, and not beyond it.
    """
    # The end's derivative with respect to its time is that of the interpolation.
    if exact and clock.elapsed.shape[1] == 2 and not clock.elapsed.requires_grad:
        return Ends(y0)
    return Dense(polynomials, y0, clock, None if torch.is_grad_enabled() else CHUNK)
