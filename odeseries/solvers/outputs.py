"""States at the times asked for, out of the steps of every row."""

from __future__ import annotations

import torch
from torch import Tensor

from odeseries.solvers.stepping import Clock, Sink, Step
from odeseries.solvers.tableaux import Row

__all__ = ["Dense", "Ends", "polynomial", "sink_for"]

CHUNK = 16
"""Steps that are kept until the states in them are taken out."""


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

    The states of a row at its times are one product of matrices: every time weighs the states and
    moves of all steps that are kept, those of its own step by the polynomial, the others by 0.

    Parameters
    ----------
    polynomials : tuple of tuple of float
        For every move of a step, the coefficients of its polynomial from the first power on.
    y0 : Tensor of shape (batch, ..., state_dim)
        Initial states.
    clock : Clock
        Times asked for.
    """

    closing = True

    def __init__(self, polynomials: tuple[Row, ...], y0: Tensor, clock: Clock) -> None:
        self.polynomials, self.y0, self.clock = polynomials, y0, clock
        self.used = [j for j, weights in enumerate(polynomials) if any(weights)]
        self.all_rows = True
        self.rows = torch.arange(len(y0), device=y0.device)
        # The first times, where nothing has elapsed, are taken out of the first step.
        self.reached = torch.full_like(clock.span, -1)
        self.spans: list[tuple[Tensor, Tensor, Tensor]] = []
        self.parts: list[Tensor] = []
        self.taken: list[tuple[Tensor, Tensor]] = []

    def resume(self, rows: Tensor, reached: Tensor) -> None:
        """Begin on the way, with some rows of the batch, where nothing has been taken yet."""
        self.rows, self.reached, self.all_rows = rows, reached.detach(), False

    def record(self, before: Tensor, length: Tensor, after: Tensor, y: Tensor, step: Step) -> None:
        """Keep a step; take the states out of those before if there are many."""
        self.spans.append((before, length, after))
        self.parts += [y, *(step.moves[j] for j in self.used)]
        if len(self.spans) >= CHUNK:
            self.flush()

    def leave(self, y: Tensor, keep: Tensor) -> None:
        """Take the states out of the steps, whose rows are about to change."""
        self.flush()
        self.all_rows = False
        self.rows, self.reached, self.clock = (
            self.rows[keep],
            self.reached[keep],
            self.clock.take(keep),
        )

    def flush(self) -> None:
        """Evaluate the states at times within the steps that are kept, and let these go."""
        if not self.spans:
            return
        before, length, after = (torch.stack(x, 1) for x in zip(*self.spans, strict=True))
        after, known = after.detach(), self.clock.elapsed.detach()
        first = (known <= self.reached[:, None]).sum(1)
        end = (known <= after[:, -1:]).sum(1)
        least, most = torch.stack(torch.aminmax(end - first)).tolist()
        if most:
            index = first[:, None] + torch.arange(most, device=first.device)
            elapsed = self.clock.elapsed.gather(1, index.clamp(max=known.shape[1] - 1))
            which = torch.searchsorted(after, elapsed.detach()).clamp_(max=after.shape[1] - 1)
            length = torch.where(length > 0, length, 1)
            share = (elapsed - before.gather(1, which)) / length.gather(1, which)
            states = self._states(which, share).reshape(-1, *self.y0.shape[1:])
            place = self._place(self.rows[:, None], index).flatten()
            if least < most:
                inside = (index < end[:, None]).flatten().nonzero()[:, 0]
                place, states = place[inside], states.index_select(0, inside)
            self.taken.append((place, states))
        self.reached, self.spans, self.parts = after[:, -1], [], []

    def _states(self, which: Tensor, share: Tensor) -> Tensor:
        """States (batch * n_times, size) within steps of these numbers, at shares of them."""
        n_steps, size = len(self.spans), 1 + len(self.used)
        shape = (len(which), n_steps, size, self.y0.shape[1:].numel())
        parts = torch.stack(self.parts, 1).reshape(shape)
        powers, coefficients = self._powers(share), parts.new_tensor(self._coefficients())
        own = which[:, None] == torch.arange(n_steps, device=which.device)[:, None]
        # The times come last, since there are the most of them.
        weights = torch.where(own[:, :, None], powers.to(parts.dtype)[:, None], 0).flatten(1, 2)
        return weights.mT.bmm(coefficients.matmul(parts).flatten(1, 2)).flatten(0, 1)

    def _coefficients(self) -> list[list[float]]:
        """For every power of the share of a step, the weights of its first state and its moves."""
        moves = zip(*(self.polynomials[j] for j in self.used), strict=True)
        return [[1.0, *[0.0] * len(self.used)], *([0.0, *weights] for weights in moves)]

    def _powers(self, share: Tensor) -> Tensor:
        """Powers (batch, 1 + degree, n_times) of shares from 0 on."""
        powers = [torch.ones_like(share)]
        for _ in self.polynomials[self.used[0]]:
            powers.append(powers[-1] * share)
        return torch.stack(powers, 1)

    def _place(self, row: Tensor, index: Tensor) -> Tensor:
        """Flat positions of the times of rows."""
        return row * self.clock.elapsed.shape[1] + index

    def pieces(self) -> tuple[Tensor, Tensor]:
        """Flat positions among all rows and times, and the states there, in no order."""
        self.flush()
        if not self.taken:
            at_start = (self.clock.elapsed.detach() == 0) & (self.reached[:, None] < 0)
            row, index = at_start.nonzero().unbind(1)
            return self._place(self.rows[row], index), self.y0[row]
        if len(self.taken) == 1:
            return self.taken[0]
        places, states = zip(*self.taken, strict=True)
        return torch.cat(places), torch.cat(states)

    def result(self, y: Tensor) -> Tensor:
        """States (batch, n_times, ..., state_dim); NaN at times that were not reached."""
        shape = (len(self.y0), self.clock.elapsed.shape[1], *self.y0.shape[1:])
        places, states = self.pieces()
        if self.all_rows and len(self.taken) == 1 and len(places) == shape[0] * shape[1]:
            return states.reshape(shape)
        unknown = states.new_full((shape[0] * shape[1], *shape[2:]), torch.nan)
        return unknown.index_copy(0, places, states).reshape(shape)


class ExactDense(Dense):
    """The same without products of matrices, which round by the shape of the batch.

    What is computed for a time depends on no other time and no other row, bit for bit.
    """

    def _states(self, which: Tensor, share: Tensor) -> Tensor:
        """States (batch * n_times, size) within steps of these numbers, at shares of them."""
        row = torch.arange(len(which), device=which.device)[:, None]
        flat = (row + which * len(which)).flatten()
        share = share.to(self.y0.dtype).reshape(-1, 1)
        kinds = [self.parts[j :: 1 + len(self.used)] for j in range(1 + len(self.used))]
        y, *moves = (torch.cat(kind).flatten(1).index_select(0, flat) for kind in kinds)
        for j, move in zip(self.used, moves, strict=True):
            y = torch.addcmul(y, polynomial(self.polynomials[j], share), move)
        return y


def polynomial(coefficients: tuple[float, ...], share: Tensor) -> Tensor:
    """Evaluate a polynomial without a constant term by Horner's rule."""
    value = torch.full_like(share, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * share + coefficient
    return value * share


def sink_for(
    polynomials: tuple[Row, ...],
    y0: Tensor,
    clock: Clock,
    *,
    exact: bool,
    adaptive: bool = False,
) -> Ends | Dense:
    """Choose what keeps the steps: nothing does where nothing but the end is asked for.

    ``exact`` says that the last step of every row ends at its last time, and not beyond it;
    ``adaptive`` that rows agree with themselves in another batch up to rounding only.
    """
    if exact and clock.elapsed.shape[1] == 2:
        return Ends(y0)
    return (Dense if adaptive else ExactDense)(polynomials, y0, clock)
