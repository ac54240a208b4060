r"""Networks that are evaluated again and again in one graph, as a solver does.

Autograd multiplies small matrices for the gradients of the weights at every evaluation, and adds
them up one by one. Here an evaluation is one node of the graph, whose backward pass notes what
went into every layer and what came back; the products are taken of many evaluations at once,
:math:`\sum_k g_k^\top h_k = [g_1; g_2; \dots]^\top [h_1; h_2; \dots]`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from odeseries.stacked import Weights

__all__ = [
    "Entry",
    "LayerNotes",
    "Notes",
    "Unrollable",
    "Unrolled",
    "Written",
    "back_differentiably",
]

tanh_backward = torch.ops.aten.tanh_backward.default

ENOUGH = 64
"""Evaluations after which the products are taken, so that what was noted can be let go."""


class Written(ABC):
    """A network written out for one graph; ``close`` says that all its evaluations are done."""

    notes: Notes

    def close(self) -> None:
        """Say that all evaluations are done."""
        self.notes.open = False


class Unrollable(ABC):
    """A module that can be written out for one graph."""

    @abstractmethod
    def unroll(self) -> Written | None:
        """Itself with its parameters as they are now; None if it is not of the kind."""


class Notes(ABC):
    """Parameters, and what is known so far of their gradients in a backward pass.

    Parameters
    ----------
    parameters : sequence of Tensor

    Attributes
    ----------
    open : bool
        Whether there may be more evaluations.
    differentiated : bool
        Whether there was a backward pass before the last evaluation.
    blank : Tensor
        As many zeros as the parameters have elements.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.sizes = [p.numel() for p in parameters]
        self.blank = self.parameters[0].detach().new_zeros(()).expand(sum(self.sizes))
        self.open, self.differentiated = True, False

    @abstractmethod
    def clear(self) -> None:
        """Begin a backward pass."""

    @abstractmethod
    def gradients(self) -> list[Tensor | None]:
        """Of all parameters, in their order, over all evaluations."""


class Unrolled(Written):
    r"""A perceptron with :math:`\tanh` between its layers, for one graph.

    It stands for the layers as they are now: their parameters must not be changed before the
    backward pass. Gradients of any order are those of the layers up to rounding. If there is a
    backward pass before ``close``, then what evaluates the perceptron differentiates it itself,
    and the layers' own graph is made from then on.

    Parameters
    ----------
    layers : nn.Sequential
        Linear layers with biases, and activations between them.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        self.layers = layers
        linear_layers = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self.notes: LayerNotes = LayerNotes(linear_layers)
        self.token: Tensor = Entry.apply(self.notes, *self.notes.parameters)  # type: ignore[no-untyped-call]  # torch

    def __call__(self, x: Tensor) -> Tensor:
        """Map ``[..., n_in]`` to ``[..., n_out]``."""
        out: Tensor
        if self.notes.differentiated:
            out = self.layers(x)
            return out
        flat = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
        if torch.is_grad_enabled():
            out, self.token = _Evaluation.apply(flat, self.token, self.notes)  # type: ignore[no-untyped-call]  # torch
        else:
            out, _ = self.notes.evaluated(flat)
        return out if x.ndim == 2 else out.reshape(*x.shape[:-1], -1)


class LayerNotes(Notes):
    """Of linear layers; their inputs and what comes back are noted.

    Attributes
    ----------
    whole : Weights
        The same for nodes of many evaluations, which add to the sums themselves.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__([p for layer in layers for p in (layer.weight, layer.bias)])
        self.weights = [layer.weight.detach() for layer in layers]
        self.whole = Weights([p.detach() for p in self.parameters], layers[0].in_features)
        self.turned = [(layer.bias.detach(), layer.weight.detach().t()) for layer in layers]
        self.clear()

    def clear(self) -> None:
        """Begin a backward pass."""
        self.pairs: list[tuple[tuple[Tensor, ...], list[Tensor]]] = []
        self.sums: list[Tensor] = []
        self.whole.clear()

    def gradients(self) -> list[Tensor | None]:
        """Of all parameters, in their order, over all evaluations."""
        self.add_up()
        if self.whole.products:
            self._add(self.whole.sums())
        return [*self.sums] or [None] * len(self.parameters)

    def layered(self, x: Tensor) -> Tensor:
        """Output, with the graph of the layers."""
        *hidden, last = zip(self.parameters[::2], self.parameters[1::2], strict=True)
        for weight, bias in hidden:
            x = torch.tanh(linear(x, weight, bias))
        return linear(x, *last)

    def evaluated(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Output, and what goes into every layer."""
        inputs = [x]
        for bias, weight in self.turned[:-1]:
            x = torch.addmm(bias, x, weight).tanh_()
            inputs.append(x)
        return torch.addmm(self.turned[-1][0], x, self.turned[-1][1]), inputs

    def back(self, grad: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        """Gradient at the first layer's input; those at the layers' outputs are noted."""
        grads = [grad]
        for hidden, weight in zip(inputs[:0:-1], self.weights[:0:-1], strict=True):
            grad = tanh_backward(grad.mm(weight), hidden)
            grads.append(grad)
        # Without its graph, which leads back to these notes.
        self.pairs.append(((inputs[0].detach(), *inputs[1:]), grads))
        if len(self.pairs) >= ENOUGH:
            self.add_up()
        return grad.mm(self.weights[0])

    def add_up(self) -> None:
        """Take the products of all that was noted, and let it go."""
        if self.pairs:
            inputs, grads = (list(zip(*x, strict=True)) for x in zip(*self.pairs, strict=True))
            layers = zip(inputs, reversed(grads), strict=True)
            self._add([s for hidden, grad in layers for s in _product(hidden, grad)])
            self.pairs = []

    def _add(self, sums: list[Tensor]) -> None:
        """Add to the sums so far."""
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)] if self.sums else sums


def _product(hidden: tuple[Tensor, ...], grad: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Gradients of a layer's weight and bias."""
    grads = torch.cat(grad)
    return grads.t().mm(torch.cat(hidden)), grads.sum(0)


class Entry(torch.autograd.Function):
    """Where the gradients of all evaluations become those of the parameters.

    A token goes from here through all evaluations, so that this comes last on the way back. Its
    gradient tells an evaluation that it is not the first of a backward pass; in one that is itself
    to be differentiated it carries the parameters' gradients, one behind another.
    """

    @staticmethod
    def forward(ctx: Any, notes: Notes, *parameters: Tensor) -> Tensor:
        """Make the token."""
        ctx.notes = notes
        # Their versions are compared when they are asked for.
        ctx.save_for_backward(*parameters)
        return notes.blank.detach()

    @staticmethod
    def backward(ctx: Any, carried: Tensor) -> tuple[Tensor | None, ...]:
        """Add up."""
        parameters: tuple[Tensor, ...] = ctx.saved_tensors
        if torch.is_grad_enabled():
            pieces = torch.split(carried, ctx.notes.sizes)
            return None, *(piece.view_as(p) for piece, p in zip(pieces, parameters, strict=True))
        grads = ctx.notes.gradients()
        ctx.notes.clear()
        return None, *grads


class _Evaluation(torch.autograd.Function):
    """One evaluation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, token: Tensor, notes: LayerNotes) -> tuple[Tensor, Tensor]:
        """Evaluate, and keep what goes into the layers."""
        out, inputs = notes.evaluated(x)
        ctx.notes = notes
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        return out, notes.blank.detach()

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, carried: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None]:
        """Go back through the layers."""
        notes: LayerNotes = ctx.notes
        notes.differentiated |= notes.open
        if torch.is_grad_enabled():
            return back_differentiably(notes.parameters, ctx.saved_tensors[0], grad, carried)
        if carried is None:
            notes.clear()
            carried = notes.blank
        back = None if grad is None else notes.back(grad, ctx.saved_tensors)
        return back, carried, None


def back_differentiably(
    parameters: list[Tensor], x: Tensor, grad: Tensor | None, carried: Tensor | None
) -> tuple[Tensor | None, Tensor | None, None]:
    """The backward pass of an evaluation, out of operations that can be differentiated."""
    if grad is None:
        return None, carried, None
    hidden, weights = [x], parameters[::2]
    for weight, bias in zip(weights[:-1], parameters[1:-1:2], strict=True):
        hidden.append(torch.tanh(linear(hidden[-1], weight, bias)))
    others = []
    # Written out, since a call of autograd would look through the whole graph before it.
    for inner, weight in zip(reversed(hidden), reversed(weights), strict=True):
        others += [grad.sum(0), grad.t().mm(inner)]
        grad = grad.mm(weight)
        grad = grad if inner is x else grad * (1 - inner**2)
    back, flat = grad, torch.cat([g.flatten() for g in reversed(others)])
    return back, flat if carried is None else carried + flat, None
