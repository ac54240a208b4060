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
from odeseries.nets import is_bare, is_plain
from odeseries.solvers.grids import Grid
from odeseries.solvers.options import options_of
from odeseries.solvers.outputs import polynomial
from odeseries.solvers.runge_kutta import FixedStep
from odeseries.solvers.tableaux import Tableau
from odeseries.stacked import Layers, Weights

__all__ = ["Plan", "Reader", "read", "reader_of"]

RTOL, ATOL, MOST_STEPS = 1e-3, 1e-4, 10_000
"""As ``solve`` has them; fixed steps take no notice of tolerances."""


Factors = list[tuple[int, list[list[Tensor]]]]
"""Numbers of slopes, and by gap and step, of shape (batch, 1), what they are multiplied by."""


@dataclass(frozen=True)
class Plan:
    """The steps over all gaps; their lengths are 0 in rows that have arrived.

    Attributes
    ----------
    counts : list of int
        Steps over every gap, the most of any row of the batch.
    stages : list of Factors
        How far the inner stages of a step are from its beginning.
    end : Factors
        How far its end is.
    onward : Factors or None
        How far the state is from which a row goes on: at the end of the step or, if the gap ends
        before, at the end of the gap. None if gaps end where steps do.
    """

    counts: list[int]
    stages: list[Factors]
    end: Factors
    onward: Factors | None

    @classmethod
    def of(cls, tableau: Tableau, gaps: Tensor, options: SolveOptions, dtype: torch.dtype) -> Plan:
        """Lay grids over gaps of shape (batch, n_rows), as the methods of fixed steps do."""
        spans = gaps.t()
        grid = Grid.of(torch.stack([torch.zeros_like(spans), spans], -1).flatten(0, 1), options)
        step, needed = grid.step.view_as(spans), grid.counts.view_as(spans)
        counts = needed.amax(1).tolist()
        tries = torch.arange(max(counts, default=0), device=gaps.device)[:, None, None]
        lengths = torch.where(needed > tries, step, 0)

        def factors(weights: Sequence[float | Tensor]) -> Factors:
            return [
                (j, _each((lengths * weight).to(dtype)))
                for j, weight in enumerate(weights)
                if isinstance(weight, Tensor) or weight
            ]

        *inner, last = map(factors, tableau.stages[1:])
        onward = None
        if options.step is not None:
            share = (spans - tries * step) / torch.where(step == 0, 1, step)
            onward = factors(_onward(tableau, share, needed == tries + 1))
        return cls(counts, inner, last, onward)

    def evaluations(self) -> int:
        """Evaluations of the field over all gaps."""
        closing = 0 if self.onward is None else 1
        return sum(count * (1 + len(self.stages)) + closing for count in self.counts if count)


def _each(values: Tensor) -> list[list[Tensor]]:
    """Views (batch, 1) of (n_steps, n_rows, batch), by row and step."""
    n_rows = values.shape[1]
    views = values[..., None].flatten(0, 1).unbind()
    return [list(views[i::n_rows]) for i in range(n_rows)]


def _onward(tableau: Tableau, share: Tensor, last: Tensor) -> list[Tensor]:
    """For every slope of a step its weight, by whether the gap ends in it, and where."""
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

    def begin(self) -> None:
        """Begin at the first gap."""
        self.done = 0
        self.field.begin()

    def across(self, i: int, y: Tensor) -> None:
        """Move states (batch, dim) over a gap, in place."""
        if self.plan.counts[i]:
            slope = self._slope(y)
            for k in range(self.plan.counts[i]):
                slope = self._step(i, k, y, slope)

    def _slope(self, y: Tensor) -> Tensor:
        """Evaluate the field."""
        i = self.done
        self.field.inputs[i].copy_(y)
        self.done += 1
        return self.field.evaluate(i)

    def _step(self, i: int, k: int, y: Tensor, slope: Tensor) -> Tensor:
        """Move states, in place; the slope there, which is out of date if no step follows."""
        slopes = [slope]
        for factors in self.plan.stages:
            slopes.append(self._slope(_moved(y, factors, i, k, slopes)))
        if self.plan.onward is None:
            _move(y, self.plan.end, i, k, slopes)
            return self._slope(y) if k + 1 < self.plan.counts[i] else slope
        slopes.append(self._slope(_moved(y, self.plan.end, i, k, slopes)))
        _move(y, self.plan.onward, i, k, slopes)
        return slopes[-1]

    def begin_back(self) -> None:
        """Begin the way back, from the last gap."""
        self.done = len(self.field.stack)
        self.field.begin_back()

    def back(self, i: int, grad: Tensor) -> None:
        """Make gradients at states after a gap those at the states before, in place."""
        carried: Tensor | None = None
        for k in range(self.plan.counts[i] - 1, -1, -1):
            carried = self._step_back(i, k, grad, carried)
        if carried is not None:
            self._slope_back(carried, onto=grad)

    def _slope_back(self, grad: Tensor, onto: Tensor | None = None) -> Tensor:
        """From the gradient at a slope to that at its state."""
        self.done -= 1
        return self.field.back(self.done, grad, onto)

    def _step_back(self, i: int, k: int, grad: Tensor, carried: Tensor | None) -> Tensor:
        """Gradient at the slope before a step; that at the state is changed in place."""
        at: dict[int, Tensor] = {}
        stages = self.plan.stages
        if self.plan.onward is None:
            if carried is not None:
                self._slope_back(carried, onto=grad)
            _pull(grad, self.plan.end, i, k, at)
        else:
            _pull(grad, self.plan.onward, i, k, at)
            close = at.pop(1 + len(stages))
            close = close if carried is None else close + carried
            _pull(self._stage_back(close, grad), self.plan.end, i, k, at)
        for j in range(len(stages), 0, -1):
            _pull(self._stage_back(at[j], grad), stages[j - 1], i, k, at)
        return at[0]

    def _stage_back(self, at_slope: Tensor, grad: Tensor) -> Tensor:
        """Gradient at a state on the way, which that at the beginning of the step gets too."""
        found = self._slope_back(at_slope)
        grad.add_(found)
        return found


def _move(y: Tensor, factors: Factors, i: int, k: int, slopes: list[Tensor]) -> None:
    """Move states by slopes, in place."""
    for j, factor in factors:
        y.addcmul_(factor[i][k], slopes[j])


def _moved(y: Tensor, factors: Factors, i: int, k: int, slopes: list[Tensor]) -> Tensor:
    """States moved by slopes."""
    for j, factor in factors:
        y = torch.addcmul(y, factor[i][k], slopes[j])
    return y


def _pull(grad: Tensor, factors: Factors, i: int, k: int, at: dict[int, Tensor]) -> None:
    """From the gradient at moved states to those at the slopes, which are added up."""
    for j, factor in factors:
        h = factor[i][k]
        at[j] = torch.addcmul(at[j], h, grad) if j in at else h * grad


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
            rows.new_zeros(n_rows + 1, batch, self.hidden),
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
        self.reader, self.states = reader, stacks[0]
        field = Layers(Weights(parameters[:n_field], reader.dim), stacks[1], stacks[2:layers])
        self.flow = Flow(reader.plan, field)
        self.jumps = reader.jumps(parameters[n_field:], rows, stacks[0], stacks[layers:])

    def forward(self) -> Tensor:
        """State after the last row, (batch, hidden)."""
        self.flow.begin()
        self.jumps.begin()
        moved = self.states[:-1, :, : self.reader.dim].unbind()
        for i in range(len(moved)):
            self._read(i, moved[i])
        return self.states[-1].clone()

    def _read(self, i: int, moved: Tensor) -> None:
        """Go over the gap to a row, and read it."""
        real = self.reader.real
        waiting = None if real is None else self.states[i].clone()
        self.flow.across(i, moved)
        self.jumps.jump(i)
        if real is not None and waiting is not None:
            after = self.states[i + 1]
            after.copy_(torch.where(real[i], after, waiting))

    def back(self, grad: Tensor, *, at_rows: bool) -> list[Tensor | None]:
        """Gradients at the rows, if they are asked for, and at all parameters."""
        self.flow.begin_back()
        self.jumps.begin_back(at_rows=at_rows)
        for i in reversed(range(len(self.states) - 1)):
            grad = self._row_back(i, grad)
        sums = [*self.flow.field.sums(), *self.jumps.sums()]
        return [self.jumps.at_rows() if at_rows else None, *sums]

    def _row_back(self, i: int, grad: Tensor) -> Tensor:
        """From the gradient at the state after a row to that after the row before."""
        real, dim = self.reader.real, self.reader.dim
        passed = None if real is None else grad.masked_fill(real[i], 0)
        grad = self.jumps.back(i, grad if real is None else grad * real[i])
        self.flow.back(i, grad[:, :dim] if dim < self.reader.hidden else grad)
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
    """The reading written out, if that can be.

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
    if jumps is None or not _is_usual(cell) or not len(gaps) or not _is_written_out(field, rows):
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
    if type(field) is not MLP or field.n_inputs or not is_bare(field):
        return False
    fits = is_plain(field.field) and next(field.parameters()).dtype == rows.dtype
    return fits and _count(field) == 1 + len(field.field.layers)


def _is_usual(cell: SpreadCell | nn.GRUCell) -> bool:
    """Whether a cell has its own parameters in their order, and does nothing else with them."""
    if isinstance(cell, SpreadCell):
        parts = (cell.gates, cell.candidate)
        plain = all(is_plain(part) and len(part.layers) == 3 for part in parts)
        return is_bare(cell) and plain and _count(cell) == 8
    names = [name for name, _ in cell.named_parameters()]
    return is_bare(cell) and names == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]


def _count(module: nn.Module) -> int:
    """Number of parameters, each counted once."""
    return len(list(module.parameters()))


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
