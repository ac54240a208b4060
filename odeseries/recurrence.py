"""The reading of rows one after another, by a flow between and a jump at each, as one node.

Autograd's graph of it has thousands of small nodes, which cost more than their arithmetic. Here
both ways are written out, where the field is a plain perceptron and its steps are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from odeseries import plugins
from odeseries.cells import Jumps, SpreadCell, jumps_of
from odeseries.dynamics.first_order import MLP
from odeseries.interfaces import Dynamics, SolveOptions, Solver
from odeseries.nets import is_plain
from odeseries.solvers.grids import Grid
from odeseries.solvers.outputs import polynomial
from odeseries.solvers.runge_kutta import FixedStep
from odeseries.solvers.solve import options_of
from odeseries.solvers.stepping import weighted
from odeseries.solvers.tableaux import Tableau
from odeseries.stacked import Layers

__all__ = ["Plan", "Reader", "read", "reader_of"]

RTOL, ATOL, MOST_STEPS = 1e-3, 1e-4, 10_000
"""As ``solve`` has them; fixed steps take no notice of tolerances."""


@dataclass(frozen=True)
class Plan:
    """The steps over all gaps.

    Attributes
    ----------
    tableau : Tableau
        Method.
    counts : list of int
        Steps over every gap, the most of any row of the batch.
    lengths : list of list of Tensor of shape (batch, 1)
        For every gap and step its signed length, 0 in rows that have arrived.
    weights : list of list of list of Tensor of shape (batch, 1)
        For every move of a step, gap and step: its share in the state that the row goes on from,
        which is that at the end of the step or, if the gap ends before, at the end of the gap.
        Empty if gaps end where steps do.
    """

    tableau: Tableau
    counts: list[int]
    lengths: list[list[Tensor]]
    weights: list[list[list[Tensor]]]

    @classmethod
    def of(cls, tableau: Tableau, gaps: Tensor, options: SolveOptions, dtype: torch.dtype) -> Plan:
        """Lay grids over gaps of shape (batch, n_rows), as the methods of fixed steps do."""
        spans = gaps.t()
        flat = torch.stack([torch.zeros_like(spans), spans], -1).flatten(0, 1)
        grid = Grid.of(flat, options)
        step, needed = grid.step.view_as(spans), grid.counts.view_as(spans)
        counts = needed.amax(1).tolist()
        tries = torch.arange(max(counts, default=0), device=gaps.device)[:, None, None]
        lengths = torch.where(needed > tries, step, 0).to(dtype)
        weights = []
        if options.step is not None:
            share = (spans - tries * step) / torch.where(step == 0, 1, step)
            weights = _weights(tableau, share, needed == tries + 1)
        return cls(tableau, counts, _each(lengths), [_each(weight.to(dtype)) for weight in weights])

    def evaluations(self) -> int:
        """Evaluations of the field over all gaps."""
        stages = len(self.tableau.nodes) - 1
        closing = 1 if self.weights else 0
        return sum(count * stages + closing for count in self.counts if count)


def _each(values: Tensor) -> list[list[Tensor]]:
    """Views (batch, 1) of (n_steps, n_rows, batch), by row and step."""
    return [list(of_row.unbind(0)) for of_row in values[..., None].unbind(1)]


def _weights(tableau: Tableau, share: Tensor, last: Tensor) -> list[Tensor]:
    """For every move of a step its weight, by whether the gap ends in it, and where."""
    ends = (*tableau.stages[-1], 0.0)
    return [
        torch.where(last, polynomial(inner, share), end)
        for inner, end in zip(tableau.dense, ends, strict=True)
    ]


class Flow:
    """All steps of a field between the rows, one after another, and the way back.

    Parameters
    ----------
    plan : Plan
        The steps.
    field : Layers
        The field, for as many evaluations as the plan says.
    """

    def __init__(self, plan: Plan, field: Layers) -> None:
        self.plan, self.field = plan, field
        self.done = 0
        *inner, self.last = plan.tableau.stages
        self.inner = inner[1:]

    def across(self, i: int, y: Tensor) -> Tensor:
        """State (batch, dim) after a gap that takes steps."""
        slope = self._slope(y)
        for k in range(self.plan.counts[i]):
            y, slope = self._step(i, k, y, slope)
        return y

    def _slope(self, y: Tensor) -> Tensor:
        """Evaluate the field."""
        self.field.inputs[self.done].copy_(y)
        self.done += 1
        return self.field.evaluate(self.done - 1)

    def _step(self, i: int, k: int, y: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """State and slope to go on from; the slope is out of date if no step follows."""
        h = self.plan.lengths[i][k]
        moves = [h * slope]
        for weights in self.inner:
            moves.append(h * self._slope(weighted(y, weights, moves)))
        end = weighted(y, self.last, moves)
        if not self._closes(i, k):
            return end, slope
        slope = self._slope(end)
        if not self.plan.weights:
            return end, slope
        moves.append(h * slope)
        for shares, move in zip(self.plan.weights, moves, strict=True):
            y = torch.addcmul(y, shares[i][k], move)
        return y, slope

    def _closes(self, i: int, k: int) -> bool:
        """Whether the slope at the end of a step is needed."""
        return bool(self.plan.weights) or k + 1 < self.plan.counts[i]

    def begin_back(self) -> None:
        """Begin the way back, from the last gap."""
        self.done = len(self.field.inputs)
        self.field.begin_back()

    def back(self, i: int, grad: Tensor) -> Tensor:
        """From the gradient at the state after a gap to that at the state before."""
        carried: Tensor | None = None
        for k in range(self.plan.counts[i] - 1, -1, -1):
            grad, carried = self._step_back(i, k, grad, carried)
        return grad if carried is None else grad + self._slope_back(carried)

    def _slope_back(self, grad: Tensor) -> Tensor:
        """From the gradient at a slope to that at its state."""
        self.done -= 1
        return self.field.back(self.done, grad)

    def _step_back(
        self, i: int, k: int, grad: Tensor, carried: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """From the gradients at what a step led to, to those at the state and slope before."""
        h = self.plan.lengths[i][k]
        if self.plan.weights:
            *moves, close = (grad * weights[i][k] for weights in self.plan.weights)
            close = h * close
            end = self._slope_back(close if carried is None else close + carried)
            total = grad + end
            moves = _added(moves, self.last, end)
        else:
            end = total = grad if carried is None else grad + self._slope_back(carried)
            moves = [end * weight for weight in self.last]
        for j in range(len(self.inner), 0, -1):
            inner = self._slope_back(h * moves[j])
            total = total + inner
            moves = _added(moves, self.inner[j - 1], inner)
        return total, h * moves[0]


def _added(moves: list[Tensor], weights: Sequence[float], grad: Tensor) -> list[Tensor]:
    """Gradients at moves, with those that a weighted sum of the first of them had."""
    more = [
        torch.add(move, grad, alpha=weight) if weight else move
        for move, weight in zip(moves, weights, strict=False)
    ]
    return more + moves[len(more) :]


@dataclass(frozen=True)
class Reader:
    """How rows are read.

    Attributes
    ----------
    plan : Plan
        Steps over the gaps.
    jumps : type of Jumps
        What happens at the rows.
    hidden, dim : int
        Width of the state, and of its first part, which the field moves.
    n_field : int
        Number of the field's parameters, which come before the cell's.
    real : list of Tensor of bool, shape (batch, 1), or None
        For every row read, where it is no padding; None if there is no padding.
    plain : callable
        The same for autograd, of rows (n_rows, batch, n_features).
    """

    plan: Plan
    jumps: type[Jumps]
    hidden: int
    dim: int
    n_field: int
    real: list[Tensor] | None
    plain: Callable[[Tensor], Tensor]

    def stacks(self, rows: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
        """What is kept of the reading."""
        count, (n_rows, batch, _) = self.plan.evaluations(), rows.shape
        field = parameters[: self.n_field]
        return [
            rows.new_zeros(n_rows, batch, self.hidden),
            rows.new_empty(count, batch, self.dim),
            *Layers.stacks(field, count, batch),
            *self.jumps.stacks(parameters[self.n_field :], rows, self.hidden),
        ]


class Reading:
    """A reading over what is kept of it."""

    def __init__(
        self,
        reader: Reader,
        rows: Tensor,
        parameters: Sequence[Tensor],
        stacks: Sequence[Tensor],
    ) -> None:
        n_field, layers = reader.n_field, 2 + reader.n_field // 2
        self.reader = reader
        self.before = stacks[0].unbind()
        self.moved = stacks[0][..., : reader.dim].unbind()
        field = Layers(parameters[:n_field], stacks[1], stacks[2:layers])
        self.flow = Flow(reader.plan, field)
        self.jumps = reader.jumps(parameters[n_field:], rows, stacks[0], stacks[layers:])

    def forward(self) -> Tensor:
        """State after the last row, (batch, hidden)."""
        state = torch.zeros_like(self.before[0])
        for i, before in enumerate(self.before):
            before.copy_(state)
            if self.reader.plan.counts[i]:
                self.moved[i].copy_(self.flow.across(i, state[:, : self.reader.dim]))
            after = self.jumps.jump(i)
            real = self.reader.real
            state = after if real is None else torch.where(real[i], after, state)
        return state

    def back(self, grad: Tensor, *, at_rows: bool) -> list[Tensor | None]:
        """Gradients at the rows, if they are asked for, and at all parameters."""
        self.jumps.begin_back()
        self.flow.begin_back()
        for i in reversed(range(len(self.before))):
            grad = self._row_back(i, grad)
        rows = self.jumps.at_rows() if at_rows else None
        return [rows, *self.flow.field.sums(), *self.jumps.sums()]

    def _row_back(self, i: int, grad: Tensor) -> Tensor:
        """From the gradient at the state after a row to that after the row before."""
        real, dim = self.reader.real, self.reader.dim
        passed = None if real is None else grad.masked_fill(real[i], 0)
        grad = self.jumps.back(i, grad if real is None else grad * real[i])
        if self.reader.plan.counts[i]:
            moved = self.flow.back(i, grad[:, :dim])
            grad = torch.cat([moved, grad[:, dim:]], 1) if dim < grad.shape[1] else moved
        return grad if passed is None else grad + passed


class _Read(torch.autograd.Function):
    """The node."""

    @staticmethod
    def forward(ctx: Any, reader: Reader, rows: Tensor, *parameters: Tensor) -> Tensor:
        """Read, and keep what was read."""
        stacks = reader.stacks(rows, parameters)
        ctx.reader = reader
        ctx.save_for_backward(rows, *parameters, *stacks)
        return Reading(reader, rows, parameters, stacks).forward()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Go back through the rows; by autograd if this is to be differentiated itself."""
        reader: Reader = ctx.reader
        n_inputs = len(ctx.needs_input_grad) - 1
        saved = ctx.saved_tensors
        inputs, stacks = saved[:n_inputs], saved[n_inputs:]
        if torch.is_grad_enabled():
            return None, *_differentiably(reader, inputs, grad)
        reading = Reading(reader, inputs[0], inputs[1:], stacks)
        return None, *reading.back(grad, at_rows=ctx.needs_input_grad[1])


def _differentiably(
    reader: Reader, inputs: tuple[Tensor, ...], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """The backward pass out of operations that can be differentiated."""
    out = reader.plain(inputs[0])
    asked = [x for x in inputs if x.requires_grad]
    found = iter(torch.autograd.grad(out, asked, grad, create_graph=True))
    return tuple(next(found) if x.requires_grad else None for x in inputs)


def reader_of(
    field: Dynamics,
    method: tuple[Any, dict[str, Any]],
    cell: SpreadCell | nn.GRUCell,
    rows: Tensor,
    gaps: Tensor,
    length: Tensor,
    plain: Callable[[Tensor], Tensor],
) -> Reader | None:
    """The reading written out, if that can be and gradients are wanted.

    Parameters
    ----------
    field : Dynamics
        What the state follows.
    cell : SpreadCell or nn.GRUCell
        What updates it.
    method : tuple of solver and dict
        As ``solve`` takes the solver and its options.
    rows : Tensor of shape (n_rows, batch, n_features)
        Rows in reading order.
    gaps, length : Tensor
        As an encoder takes them.
    plain : callable
        The same of rows for autograd.
    """
    solver, options = method
    jumps = jumps_of(cell)
    if not (torch.is_grad_enabled() and jumps is not None and _is_written_out(field, rows)):
        return None
    cls = type(solver) if isinstance(solver, Solver) else plugins.get("solver", solver)
    if gaps.requires_grad or not issubclass(cls, FixedStep) or options.keys() - {"step", "n_steps"}:
        return None
    checked = options_of(options.get("step"), options.get("n_steps"), RTOL, ATOL, MOST_STEPS)
    if checked.step is not None and float(gaps.abs().max()) > checked.step * checked.max_steps:
        return None
    real = torch.arange(len(rows), device=length.device)[:, None] < length
    return Reader(
        Plan.of(cls.tableau, gaps, checked, rows.dtype),
        jumps,
        cell.hidden_size,
        field.dim,
        len(list(field.parameters())),
        None if bool(real.all()) else list(real[..., None].unbind()),
        plain,
    )


def _is_written_out(field: Dynamics, rows: Tensor) -> bool:
    """Whether a field is a perceptron and nothing else, in the precision of the rows."""
    if type(field) is not MLP or field.n_inputs:
        return False
    return is_plain(field.field) and next(field.parameters()).dtype == rows.dtype


def read(reader: Reader, rows: Tensor, field: nn.Module, cell: nn.Module) -> Tensor:
    """State after the last row.

    Parameters
    ----------
    reader : Reader
        How.
    rows : Tensor of shape (n_rows, batch, n_features)
        Rows in reading order.
    field, cell : nn.Module
        Whose parameters the reader's are.

    Returns
    -------
    Tensor of shape (batch, hidden)
    """
    out: Tensor = _Read.apply(reader, rows, *field.parameters(), *cell.parameters())  # type: ignore[no-untyped-call]  # torch
    return out
