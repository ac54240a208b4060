"""Ways to the gradients of a solution, of which the steps' own graph is one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Solution, SolveOptions, Solver, SolverStats, VectorField
from odeseries.solvers.stepping import Clock, Pace, Scheme
from odeseries.solvers.tableaux import Row
from odeseries.solvers.tapes import Block, Listener, Tape

__all__ = ["GRADIENTS", "Engine", "Gate", "Job", "added", "input_gradients", "once"]

GRADIENTS = ("autograd", "checkpoint", "adjoint")


class Engine(Solver):
    """A one-step method of the package's own, as the ways to its gradients see it.

    Attributes
    ----------
    polynomials : tuple of tuple of float
        For every move of a step, the coefficients of its polynomial from the first power on.
    """

    polynomials: ClassVar[tuple[Row, ...]]

    @abstractmethod
    def scheme(self, options: SolveOptions) -> Scheme:
        """What takes the steps of one solve."""

    @abstractmethod
    def march_all(
        self,
        field: VectorField,
        y0: Tensor,
        clock: Clock,
        options: SolveOptions,
        listener: Listener | None = None,
    ) -> Solution:
        """Integrate once; failed rows may be infinite or NaN."""

    @abstractmethod
    def march_between(
        self,
        field: VectorField,
        y0: Tensor,
        clock: Clock,
        whole: Clock,
        options: SolveOptions,
        listener: Listener,
        first: Tensor | None,
    ) -> Solution:
        """Integrate over parts of spans, in steps as they are over the whole ones.

        The first of chosen lengths may be known.
        """

    @abstractmethod
    def replay(self, clock: Clock, options: SolveOptions, block: Block) -> Pace:
        """The pace at which a block of steps that were taken is taken again."""


@dataclass
class Job:
    """A field to be integrated by a method, whose gradients are sought.

    Attributes
    ----------
    engine : Engine
        Method.
    field : callable
        Vector field.
    options : SolveOptions
        Steps and tolerances.
    stats, status : SolverStats, Tensor or None
        Filled in by the solve: work and status per row.
    """

    engine: Engine
    field: VectorField
    options: SolveOptions
    stats: SolverStats | None = None
    status: Tensor | None = None

    def solve(self, y0: Tensor, times: Tensor, tape: Tape | None = None) -> Tensor:
        """States; the rest is filled in."""
        solution = self.engine.march_all(self.field, y0, Clock.of(times), self.options, tape)
        self.stats, self.status = solution.stats, solution.status
        return solution.ys

    def solution(self, ys: Tensor) -> Solution:
        """The states with the work and status of the solve that gave them."""
        assert self.stats is not None
        assert self.status is not None
        return Solution(ys, self.stats, self.status)

    def through_steps(
        self, y0: Tensor, times: Tensor, parameters: tuple[Tensor, ...], grad: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Gradients by the graph of all steps, which can be differentiated again.

        They are by the initial states, by the times, which are constant, and by the parameters.
        """
        # No graph of a compiled step can be.
        options = replace(self.options, compile=False)
        gate = Gate()
        y0 = gate.behind(y0)
        solution = self.engine.march_all(self.field, y0, Clock.of(times), options)
        inputs = (y0, *parameters)
        by_start, *more = input_gradients([solution.ys], [grad], inputs, create_graph=True)
        gate.open = True
        return by_start, None, *more


class Gate:
    """Between tensors and those before them, open to gradients only when it is opened.

    A tensor before the states or times may be a parameter of the field too, whose gradient is
    that of the field alone.
    """

    open = False

    def behind(self, x: Tensor) -> Tensor:
        """The tensor behind the gate."""
        out: Tensor = _Passage.apply(x, self._back)  # type: ignore[no-untyped-call]  # torch
        return out

    def _back(self, grad: Tensor) -> Tensor | None:
        """The gradient, or nothing."""
        return grad if self.open else None


class _Passage(torch.autograd.Function):
    """The tensor itself, whose gradient goes through a function on its way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, back: Callable[[Tensor], Tensor | None]) -> Tensor:
        """Hand the tensor on."""
        ctx.back = back
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        """Hand on what the function makes of the gradient."""
        return ctx.back(grad), None


def added(totals: Sequence[Tensor | None], more: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Sums of gradients, where None is nothing."""
    return [
        b if a is None else a if b is None else a + b for a, b in zip(totals, more, strict=True)
    ]


def input_gradients(
    outputs: list[Tensor],
    grads: list[Tensor],
    inputs: tuple[Tensor, ...],
    *,
    create_graph: bool = False,
) -> tuple[Tensor | None, ...]:
    """Gradients with respect to inputs; None for those that play no part or need none."""
    pairs = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if out.requires_grad]
    sought = [x for x in inputs if x.requires_grad]
    if not pairs or not sought:
        return (None,) * len(inputs)
    outs, seeds = zip(*pairs, strict=True)
    found = iter(
        torch.autograd.grad(outs, sought, seeds, allow_unused=True, create_graph=create_graph)
    )
    return tuple(next(found) if x.requires_grad else None for x in inputs)


def once(ys: Tensor, method: str) -> Tensor:
    """Refuse the gradients of gradients, which another library's adjoint takes for zero.

    Parameters
    ----------
    ys : Tensor
        States, whose gradients come from an adjoint.
    method : str
        Name of the method, for the error.
    """

    def back(grad: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise SolverError(
                f"{method} with gradient='adjoint' can be differentiated once only: leave out "
                f"create_graph=True, or take a method of the package's own, such as 'dopri5'."
            )
        return grad

    out: Tensor = _Passage.apply(ys, back)  # type: ignore[no-untyped-call]  # torch
    return out
