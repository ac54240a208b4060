r"""Explicit Runge-Kutta steps of a perceptron, each of which is one node of the graph.

Autograd's graph of a step has a node for every evaluation, every multiple and every sum, which
cost more than their arithmetic. Here the way back is written out. With the moves
:math:`m_i = h f(y_i)` from the stages :math:`y_i = y + \sum_{j < i} a_{ij} m_j`, the gradients are,
from the last stage to the first,

.. math::
    \bar y_i = h\, f'(y_i)^\top \bar m_i, \quad
    \bar m_j \mathrel{+}= a_{ij} \bar y_i, \quad
    \bar y \mathrel{+}= \bar y_i
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from odeseries.interfaces import VectorField
from odeseries.nets import Perceptron, written_out
from odeseries.solvers.stepping import Step, advance, weighted
from odeseries.solvers.tableaux import Row, Tableau
from odeseries.stacked import Layers
from odeseries.unrolled import LayerNotes, Unrolled, back_differentiably

__all__ = ["PerceptronField", "whole_step"]


class PerceptronField:
    """A field that is a perceptron of the state, and nothing else.

    Parameters
    ----------
    net : Perceptron
        That one.
    field : callable
        The same as a field.
    """

    def __init__(self, net: Perceptron, field: VectorField) -> None:
        self.net, self.field = net, field

    def __call__(self, t: Tensor, state: Tensor) -> Tensor:
        """Derivative of the state."""
        return self.field(t, state)


def whole_step(
    tableau: Tableau,
    field: VectorField,
    t: Tensor,
    h: Tensor,
    y: Tensor,
    slope: Tensor,
    *,
    closing: bool,
) -> Step:
    """The scheme of an explicit Runge-Kutta method; one node where that can be."""
    net = _written_out(field, h, y)
    if net is None:
        return advance(tableau, field, t, h, y, slope, closing=closing)
    method = (tableau, closing)
    net.token, end, *moves = _Step.apply(net.notes, method, h, y, slope, net.token)  # type: ignore[no-untyped-call]  # torch
    return Step(end, moves.pop(0), moves) if closing else Step(end, None, moves)


def _written_out(field: VectorField, h: Tensor, y: Tensor) -> Unrolled | None:
    """The perceptron of a field whose steps can each be one node, if they can."""
    net = written_out(field.net) if isinstance(field, PerceptronField) else None
    if not isinstance(net, Unrolled) or not torch.is_grad_enabled() or h.requires_grad:
        return None
    fits = not net.notes.differentiated and y.dtype == net.notes.blank.dtype
    return net if fits else None


class _Step(torch.autograd.Function):
    """One step: the state at its end, the slope there if it is closing, and the moves."""

    @staticmethod
    def forward(
        ctx: Any,
        notes: LayerNotes,
        method: tuple[Tableau, bool],
        h: Tensor,
        y: Tensor,
        slope: Tensor,
        token: Tensor,
    ) -> tuple[Tensor, ...]:
        """Take the step, and keep what goes into the layers."""
        tableau, closing = method
        stages = tableau.stages[1:-1]
        states = y.new_empty(len(stages) + closing, *y.shape)
        layers = _layers(notes, states, None)
        layers.begin()
        moves = [h * slope]
        for i, (state, weights) in enumerate(zip(states.unbind(), stages, strict=False)):
            state.copy_(weighted(y, weights, moves))
            moves.append(h * layers.evaluate(i).view(y.shape))
        end = weighted(y, tableau.stages[-1], moves)
        last = []
        if closing:
            states[-1] = end
            last = [layers.evaluate(len(stages)).view(y.shape).clone()]
            moves.append(h * last[0])
        ctx.notes, ctx.method = notes, method
        ctx.save_for_backward(h, y, slope, states, *layers.outputs[:-1])
        ctx.set_materialize_grads(False)
        return notes.blank.detach(), end, *last, *moves

    @staticmethod
    def backward(ctx: Any, carried: Tensor | None, *grads: Tensor | None) -> Any:
        """Go back through the stages."""
        notes: LayerNotes = ctx.notes
        notes.differentiated |= notes.open
        tableau, closing = ctx.method
        h, y, slope, states, *hidden = ctx.saved_tensors
        at_end, at_last, at_moves = grads[0], grads[1] if closing else None, grads[1 + closing :]
        if torch.is_grad_enabled():
            again = _Differentiable(notes, _stages(notes, tableau, h, y, slope), carried)
            found = _back(tableau, h, at_end, at_last, [*at_moves], again)
            return None, None, None, *found, again.carried
        if carried is None:
            notes.clear()
            carried = notes.blank
        layers = _layers(notes, states, hidden)
        layers.begin_back()

        def back(i: int, grad: Tensor) -> Tensor:
            return layers.back(i, grad.reshape(-1, grad.shape[-1])).view(grad.shape)

        found = _back(tableau, h, at_end, at_last, [*at_moves], back)
        layers.close()
        return None, None, None, *found, carried


def _layers(notes: LayerNotes, states: Tensor, hidden: list[Tensor] | None) -> Layers:
    """Evaluations at states (count, batch, ..., dim), with what came out of the hidden layers."""
    count, *batch, dim = states.shape
    flat = states.view(count, math.prod(batch), dim)
    if hidden is None:
        outputs = Layers.stacks(notes.whole.parameters, *flat.shape[:2])
    else:
        outputs = [*hidden, flat]
    return Layers(notes.whole, flat, outputs)


def _back(
    tableau: Tableau,
    h: Tensor,
    at_end: Tensor | None,
    at_last: Tensor | None,
    at_moves: list[Tensor | None],
    back: Callable[[int, Tensor], Tensor],
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients at the state and the slope before a step.

    Parameters
    ----------
    at_end, at_last, at_moves : Tensor or None
        Gradients at the state and the slope behind it and at the moves.
    back : callable
        From the number of an evaluation and the gradient at its slope to that at its state.
    """
    inner = tableau.stages[1:-1]
    if len(at_moves) > 1 + len(inner):
        at_last = _plus(at_last, at_moves.pop(), h)
    if at_last is not None:
        at_end = _sum(at_end, back(len(inner), at_last))
    at_start = at_end
    _spread(at_moves, tableau.stages[-1], at_end)
    for i, weights in reversed(list(enumerate(inner))):
        grad = at_moves[i + 1]
        if grad is not None:
            at_slope = h * grad
        elif at_start is not None:
            at_slope = torch.zeros_like(at_start)  # evaluations are gone through without a gap
        else:
            continue
        at_stage = back(i, at_slope)
        at_start = _sum(at_start, at_stage)
        _spread(at_moves, weights, at_stage)
    first = at_moves[0]
    return at_start, None if first is None else h * first


def _spread(at_moves: list[Tensor | None], weights: Row, grad: Tensor | None) -> None:
    """From the gradient at a weighted sum to those at the moves."""
    for j, weight in enumerate(weights):
        if weight and grad is not None:
            have = at_moves[j]
            at_moves[j] = grad * weight if have is None else torch.add(have, grad, alpha=weight)


def _sum(total: Tensor | None, more: Tensor) -> Tensor:
    return more if total is None else total + more


def _plus(total: Tensor | None, more: Tensor | None, factor: Tensor) -> Tensor | None:
    if more is None:
        return total
    return more * factor if total is None else torch.addcmul(total, more, factor)


def _stages(
    notes: LayerNotes, tableau: Tableau, h: Tensor, y: Tensor, slope: Tensor
) -> list[Tensor]:
    """States at which the field is evaluated, with the graph of the layers."""
    moves, states = [h * slope], []
    for weights in tableau.stages[1:]:
        states.append(weighted(y, weights, moves))
        moves.append(h * notes.layered(states[-1]))
    return states


class _Differentiable:
    """The way back through evaluations, out of operations that can be differentiated."""

    def __init__(self, notes: LayerNotes, states: list[Tensor], carried: Tensor | None) -> None:
        self.notes, self.states, self.carried = notes, states, carried

    def __call__(self, i: int, grad: Tensor) -> Tensor:
        """From the gradient at a slope to that at its state."""
        width = grad.shape[-1]
        state, at_slope = self.states[i].reshape(-1, width), grad.reshape(-1, width)
        parameters = self.notes.parameters
        found, self.carried, _ = back_differentiably(parameters, state, at_slope, self.carried)
        assert found is not None
        return found.view(grad.shape)
