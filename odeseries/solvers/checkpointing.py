"""Gradients of the steps in little memory: most of them are taken again, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from odeseries.interfaces import Solution
from odeseries.solvers.gradients import Job, added, input_gradients
from odeseries.solvers.outputs import Dense
from odeseries.solvers.stepping import Clock, march
from odeseries.solvers.tapes import Block, Tape

__all__ = ["checkpointed"]

KEPT = len(Block.__dataclass_fields__) - 2
"""Tensors of a block."""


def checkpointed(job: Job, y0: Tensor, times: Tensor, parameters: tuple[Tensor, ...]) -> Solution:
    r"""Solve without a graph; going back, take the steps of one block after another with theirs.

    Of n steps about :math:`\sqrt n` states are kept, and no more than twice as many steps have
    a graph at a time, for one further evaluation of each stage.

    References
    ----------
    Griewank, A., Walther, A. (2008). Evaluating Derivatives. Second edition. Section 12.2
    (checkpoints at regular distances).
    """
    ys = _Checkpointed.apply(job, y0, times, *parameters)  # type: ignore[no-untyped-call]  # torch
    return job.solution(ys)


class _Checkpointed(torch.autograd.Function):
    """The states as a function of initial states and parameters."""

    @staticmethod
    def forward(ctx: Any, job: Job, y0: Tensor, times: Tensor, *parameters: Tensor) -> Tensor:
        """Solve, and keep the blocks."""
        tape = Tape(y0, chosen=job.engine.adaptive)
        ys = job.solve(y0, times, tape)
        blocks = tape.written()
        ctx.job, ctx.n_parameters = job, len(parameters)
        ctx.numbers = [(block.first, block.count) for block in blocks]
        kept = chain.from_iterable(block.tensors for block in blocks)
        ctx.save_for_backward(y0, times, *parameters, *kept)
        return ys

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Go back through the blocks."""
        y0, times, *rest = ctx.saved_tensors
        parameters = tuple(rest[: ctx.n_parameters])
        if torch.is_grad_enabled():
            return None, *ctx.job.through_steps(y0, times, parameters, grad)
        blocks = _unpacked(ctx.numbers, rest[ctx.n_parameters :])
        totals: Sequence[Tensor | None] = [None] * len(parameters)
        by_end: Tensor | None = None
        for block in reversed(blocks):
            by_end, *more = _through(ctx.job, block, times, parameters, grad, by_end)
            totals = added(totals, more)
        return None, by_end, None, *totals


def _unpacked(numbers: list[tuple[int, int]], tensors: list[Any]) -> list[Block]:
    """The blocks, out of what was saved of them."""
    groups = (tensors[k : k + KEPT] for k in range(0, len(tensors), KEPT))
    return [Block(*pair, *group) for pair, group in zip(numbers, groups, strict=True)]


def _through(
    job: Job,
    block: Block,
    times: Tensor,
    parameters: tuple[Tensor, ...],
    grad: Tensor,
    by_end: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """Gradients with respect to the states before a block and to parameters.

    ``by_end`` are those with respect to the states after it.
    """
    with torch.enable_grad():
        y = block.y.detach().requires_grad_()
        whole = Clock.of(times)
        clock = whole.take(block.rows)
        sink = Dense(job.engine.polynomials, y, clock)
        if block.first:
            sink.resume(block.rows, block.elapsed)
        pace = job.engine.replay(clock, job.options, block)
        slope = job.field(clock.at(pace.elapsed, y), y)
        end, _ = march(job.field, job.engine.scheme(job.options), (y, slope), clock, pace, sink)
        places, states = sink.pieces()
    outputs, grads = [states], [grad.flatten(0, 1)[places]]
    if by_end is not None:
        outputs, grads = [*outputs, end], [*grads, by_end]
    return input_gradients(outputs, grads, (y, *parameters))
