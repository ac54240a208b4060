r"""The field of waves as one node of a graph, with its divergence.

With the features :math:`f = g(W_1 x + b_1)`, sines in front and :math:`\tanh` behind, and
:math:`h = \mathrm{silu}(W_2 f + b_2)` the value is :math:`W_3 h + b_3` and the divergence
:math:`\mathrm{silu}'^\top M g'` with :math:`M = W_2 \odot (W_1 W_3)^\top`, see
`odeseries.nets.trace_of_layers`. The backward pass is the chain rule written out; products for
the weights are added up in place over all evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from odeseries.nets import mixed_layers
from odeseries.unrolled import Entry, Notes, Written

__all__ = ["Inside", "Waves", "back_through", "products"]

Pair = tuple[Tensor, Tensor]
"""What came back to a layer's output, and what went into it: the gradient is their product."""


class Waves(Written):
    """Three layers for one graph; the parameters must not be changed before the backward pass.

    Parameters
    ----------
    parameters : sequence of six Tensor
        Weights and biases of the layers.
    n_waves : int
        How many features are sines.
    """

    def __init__(self, parameters: Sequence[Tensor], n_waves: int) -> None:
        self.notes = _Sums(parameters, n_waves)
        self.token: Tensor = Entry.apply(self.notes, *parameters)  # type: ignore[no-untyped-call]  # torch

    def value(self, x: Tensor) -> Tensor:
        """Map ``[batch, n_in]`` to ``[batch, dim]``."""
        return self._evaluated(x, with_divergence=False)[0]

    def with_divergence(self, x: Tensor) -> Pair:
        """The value, and the divergence ``[batch]``."""
        return self._evaluated(x, with_divergence=True)

    def _evaluated(self, x: Tensor, *, with_divergence: bool) -> Pair:
        """Value and divergence, if it is asked for."""
        out = _Evaluation.apply(x, self.token, self.notes, with_divergence)  # type: ignore[no-untyped-call]  # torch
        value, divergence, token = out
        if torch.is_grad_enabled():
            self.token = token  # else without a graph, so that it would not lead to the parameters
        return value, divergence


class _Sums(Notes):
    """Gradients of the layers and of what mixes them, added up as they come."""

    def __init__(self, parameters: Sequence[Tensor], n_waves: int) -> None:
        super().__init__(parameters)
        self.n_waves = n_waves
        self.frozen = [p.detach() for p in parameters]
        self.clear()

    @cached_property
    def mixed(self) -> Tensor:
        """The factor of the divergence."""
        return mixed_layers(*self.frozen[::2])

    def clear(self) -> None:
        """Begin a backward pass."""
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []
        self.of_mixed: Tensor | None = None

    def add(self, pairs: list[Pair], mixing: Pair | None) -> None:
        """Add an evaluation's."""
        if self.weights:
            for total, (grad, inner) in zip(self.weights, pairs, strict=True):
                total.addmm_(grad.t(), inner)
            torch._foreach_add_(self.biases, [grad.sum(0) for grad, _ in pairs])
        else:
            self.weights, self.biases = products(pairs)
        if mixing is not None:
            grad, inner = mixing
            product = grad.t().mm(inner)
            self.of_mixed = product if self.of_mixed is None else self.of_mixed.add_(product)

    def gradients(self) -> list[Tensor | None]:
        """Of all parameters, in their order."""
        if not self.weights:
            return [None] * len(self.parameters)
        if self.of_mixed is not None:
            more = _unmixed(self.of_mixed, self.frozen[::2])
            self.weights = [a + b for a, b in zip(self.weights, more, strict=True)]
        return [g for layer in zip(self.weights, self.biases, strict=True) for g in layer]


class Inside(NamedTuple):
    """What is computed on the way, each of the shape (batch, hidden)."""

    features: Tensor
    slopes: Tensor
    arguments: Tensor
    gates: Tensor
    hidden: Tensor
    bends: Tensor

    @classmethod
    def of(cls, layers: Sequence[Tensor], x: Tensor, n_waves: int) -> Inside:
        """Features and their slopes, and the same of the second layer."""
        both = linear(x, layers[0], layers[1])
        # Copied, as functions of what lies together are quicker.
        phases, bumps = both[:, :n_waves].contiguous(), both[:, n_waves:].contiguous().tanh()
        features = torch.cat([phases.sin(), bumps], -1)
        slopes = torch.cat([phases.cos(), 1 - bumps * bumps], -1)
        arguments = linear(features, layers[2], layers[3])
        gates = arguments.sigmoid()
        hidden = arguments * gates
        bends = torch.addcmul(gates, hidden, 1 - gates)
        return cls(features, slopes, arguments, gates, hidden, bends)

    def curves(self) -> Tensor:
        """Second derivative of the second activation."""
        return self.gates * (1 - self.gates) * (2 + self.arguments - 2 * self.hidden)

    def turns(self, n_waves: int) -> Tensor:
        """Second derivatives of the first activations."""
        features, slopes = self.features, self.slopes
        bumps = features[:, n_waves:] * slopes[:, n_waves:]
        return torch.cat([-features[:, :n_waves], -2 * bumps], -1)


class _Evaluation(torch.autograd.Function):
    """One evaluation, with the divergence if it is asked for."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, token: Tensor, notes: _Sums, with_divergence: bool
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Evaluate."""
        inside = Inside.of(notes.frozen, x, notes.n_waves)
        value = linear(inside.hidden, *notes.frozen[4:])
        divergence, mixed = None, None
        if with_divergence:
            mixed = linear(inside.slopes, notes.mixed)
            divergence = (mixed * inside.bends).sum(-1)
        ctx.notes = notes
        ctx.save_for_backward(x, mixed, *inside)
        ctx.set_materialize_grads(False)
        return value, divergence, notes.blank.detach()

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, growth: Tensor | None, carried: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Go back through the layers."""
        notes: _Sums = ctx.notes
        notes.differentiated |= notes.open
        x, mixed, *kept = ctx.saved_tensors
        if grad is None:
            grad = x.new_zeros(len(x), len(notes.frozen[-1]))
        if torch.is_grad_enabled():
            back, flat = _differentiably(notes, x, grad, growth)
            return back, flat if carried is None else carried + flat, None, None
        if carried is None:
            notes.clear()
            carried = notes.blank
        mixing = None if growth is None else (growth[:, None], mixed, notes.mixed)
        pairs, more = back_through(notes.frozen, Inside(*kept), x, grad, mixing, notes.n_waves)
        notes.add(pairs, more)
        of_x = pairs[0][0].mm(notes.frozen[0]) if ctx.needs_input_grad[0] else None
        return of_x, carried, None, None


def back_through(
    layers: Sequence[Tensor],
    inside: Inside,
    x: Tensor,
    grad: Tensor,
    mixing: tuple[Tensor, Tensor, Tensor] | None,
    n_waves: int,
) -> tuple[list[Pair], Pair | None]:
    """The pairs of the three layers and of the mixing factor.

    The mixing is the gradient at the divergence (batch, 1), :math:`M g'` and :math:`M`.
    """
    second = grad.mm(layers[4]) * inside.bends
    more = None
    if mixing is not None:
        growth, mixed, factor = mixing
        second = torch.addcmul(second, growth * mixed, inside.curves())
        more = (growth * inside.bends, inside.slopes)
    first = second.mm(layers[2]) * inside.slopes
    if mixing is not None and more is not None:
        first = torch.addcmul(first, more[0].mm(factor), inside.turns(n_waves))
    pairs = [(first, x), (second, inside.features), (grad, inside.hidden)]
    return pairs, more


def products(pairs: list[Pair]) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of weights and of biases."""
    return [grad.t().mm(inner) for grad, inner in pairs], [grad.sum(0) for grad, _ in pairs]


def _unmixed(grad: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of the weights from that of the factor that they are mixed to."""
    first, second, last = weights
    inner = first[:, : len(last)]
    of_product = (grad * second).t()
    of_first = torch.cat([of_product.mm(last.t()), torch.zeros_like(first[:, len(last) :])], -1)
    return [of_first, grad * inner.mm(last).t(), inner.t().mm(of_product)]


def _differentiably(notes: _Sums, x: Tensor, grad: Tensor, growth: Tensor | None) -> Pair:
    """The backward pass of an evaluation, out of operations that can be differentiated."""
    layers = notes.parameters
    inside, mixing = Inside.of(layers, x, notes.n_waves), None
    if growth is not None:
        factor = mixed_layers(*layers[::2])
        mixing = (growth[:, None], linear(inside.slopes, factor), factor)
    pairs, more = back_through(layers, inside, x, grad, mixing, notes.n_waves)
    weights, biases = products(pairs)
    if more is not None:
        added = _unmixed(more[0].t().mm(more[1]), layers[::2])
        weights = [a + b for a, b in zip(weights, added, strict=True)]
    grads = [g for layer in zip(weights, biases, strict=True) for g in layer]
    return pairs[0][0].mm(layers[0]), torch.cat([g.flatten() for g in grads])
