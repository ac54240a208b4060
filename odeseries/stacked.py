r"""Small networks that are evaluated once after another, forward and backward, without a graph.

The evaluations are numbered. What goes into and comes out of every layer is kept in one tensor over
all evaluations, its stack, of the shape (count, batch, width): what is known beforehand is
multiplied at once, and so are the gradients of the weights, of some evaluations each,
:math:`\sum_k g_k^\top h_k = [g_1; g_2; \dots]^\top [h_1; h_2; \dots]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from odeseries.sigmoids import by_sigmoids, ways_back, weight_sum

__all__ = ["WINDOW", "Layers", "Weights"]

WINDOW = 16
"""Evaluations on the way back whose products are taken at once, while they are near."""


class Weights:
    r"""Parameters of a perceptron with :math:`\tanh`, and the sums of their gradients.

    Parameters
    ----------
    parameters : sequence of Tensor
        Weight and bias of every layer. Columns of the first weight beyond the width of the inputs
        belong to what is known beforehand.
    n_in : int
        Width of the inputs.
    """

    def __init__(self, parameters: Sequence[Tensor], n_in: int) -> None:
        self.parameters, self.n_in = parameters, n_in
        self.clear()

    @cached_property
    def shifts(self) -> list[Tensor]:
        """What is added to the products of every layer."""
        return [bias for _, bias in self._by_sigmoids]

    @cached_property
    def turned(self) -> tuple[list[Tensor], Tensor]:
        """What the inputs of every layer, and what is known, are multiplied by."""
        turned = [weight.t() for weight, _ in self._by_sigmoids]
        first, known = turned[0].tensor_split([self.n_in])
        return [first, *turned[1:]], known

    @cached_property
    def _by_sigmoids(self) -> list[tuple[Tensor, Tensor]]:
        return by_sigmoids(self.parameters[::2], self.parameters[1::2])

    @cached_property
    def ways(self) -> list[Tensor]:
        """What gradients are multiplied by on the way back, the last layer first."""
        return ways_back(self.parameters[::2])

    @cached_property
    def first(self) -> tuple[Tensor, Tensor]:
        """The first weight: columns of the inputs, and of what is known."""
        of_inputs, of_known = self.parameters[0].tensor_split([self.n_in], 1)
        return of_inputs, of_known

    def clear(self) -> None:
        """Begin a way back."""
        self.products: list[Tensor] = []

    def add(self, grads: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
        """Take the products of some evaluations.

        Parameters
        ----------
        grads, inputs : sequence of Tensor of shape (n_rows, width)
            For every layer, gradients at its sums, and what went into it.
        """
        self._begin_sums()
        for i, (grad, x) in enumerate(zip(grads, inputs, strict=True)):
            self.products[i].addmm_(grad.t(), x)
            self.totals[i].add_(grad.sum(0))

    def _begin_sums(self) -> None:
        """Make room for the sums."""
        if not self.products:
            of_inputs, of_known = self.first
            self.products = [torch.zeros_like(x) for x in (of_inputs, *self.parameters[2::2])]
            self.totals = [torch.zeros_like(bias) for bias in self.parameters[1::2]]
            # Turned, since a product with few columns is slow.
            self.of_known = torch.zeros_like(of_known.t())

    def sums(self) -> list[Tensor]:
        """Gradients of the parameters, after all evaluations."""
        self._begin_sums()
        first, *others = zip(self.products, self.totals, strict=True)
        sums = [torch.cat([first[0], self.of_known.t()], 1), first[1]]
        for product, total in others:
            sums += [weight_sum(product, total), total]
        return sums


class Layers:
    r"""Evaluations of a perceptron with :math:`\tanh` between its layers.

    Parameters
    ----------
    weights : Weights
        Of the perceptron.
    inputs : Tensor of shape (count, batch, n_in)
        Where the arguments are when they are asked for.
    outputs : list of Tensor of shape (count, batch, n_out)
        Room for every layer, as ``stacks`` makes it.
    known : Tensor of shape (count, batch, n_known), optional
        What is known beforehand.
    """

    def __init__(
        self,
        weights: Weights,
        inputs: Tensor,
        outputs: Sequence[Tensor],
        known: Tensor | None = None,
    ) -> None:
        self.weights, self.stack, self.outputs, self.known = weights, inputs, outputs, known

    @staticmethod
    def stacks(parameters: Sequence[Tensor], count: int, batch: int) -> list[Tensor]:
        """Room for what comes out of every layer of so many evaluations of so many rows."""
        return [bias.new_empty(count, batch, len(bias)) for bias in parameters[1::2]]

    def begin(self) -> None:
        """Begin to evaluate."""
        *turned, self.turned = self.weights.turned[0]
        self.inputs = self.stack.unbind()
        *hidden, self.last = [out.unbind() for out in self.outputs]
        self.hidden, self.filled = list(zip(hidden, turned, strict=True)), 0

    def _fill(self) -> None:
        """Put what is added to the products, for some more evaluations."""
        part = slice(self.filled, self.filled + WINDOW)
        for out, shift in zip(self.outputs, self.weights.shifts, strict=True):
            out[part] = shift
        if self.known is not None:
            first, known = self.outputs[0][part], self.known[part]
            first.flatten(0, 1).addmm_(known.flatten(0, 1), self.weights.turned[1])
        self.filled += WINDOW

    def evaluate(self, i: int) -> Tensor:
        """Output of an evaluation, (batch, n_out); they come one after another."""
        if i >= self.filled:
            self._fill()
        x = self.inputs[i]
        for views, weight in self.hidden:
            x = views[i].addmm_(x, weight).sigmoid_()
        return self.last[i].addmm_(x, self.turned)

    def begin_back(self, *, at_known: bool = False) -> None:
        """Begin the way back, also to what is known if that is asked for."""
        self.low = self.high = len(self.stack)
        self.at_known, self.found = at_known, list[Tensor]()
        size = min(WINDOW, self.low)
        self.room = [out.new_empty(size, *out.shape[1:]) for out in self.outputs]
        *slopes, self.places = [room.unbind() for room in self.room]
        self.way = list(zip(self.weights.ways, slopes[::-1], strict=True))
        self.first = self.weights.first[0]

    def place(self, i: int) -> Tensor:
        """Where the gradient at an output may be put, instead of elsewhere, before ``back``."""
        if i < self.low:
            self._open(i)
        return self.places[i - self.low]

    def back(self, i: int, grad: Tensor, onto: Tensor | None = None) -> Tensor:
        """From the gradient at an output to that at the input; the last evaluation comes first.

        The result is added to ``onto``, in place, if that is given.
        """
        place, k = self.place(i), i - self.low
        if grad is not place:
            place.copy_(grad)
        for factor, slopes in self.way:
            grad = slopes[k].mul_(grad.mm(factor))
        return grad.mm(self.first) if onto is None else onto.addmm_(grad, self.first)

    def _open(self, i: int) -> None:
        """Go on to the evaluations before, with all their slopes at once."""
        self.close()
        self.low, self.high = max(0, i + 1 - WINDOW), i + 1
        for out, room in zip(self.outputs[:-1], self.room, strict=False):
            s = out[self.low : self.high]
            torch.addcmul(s, s, s, value=-1, out=room[: len(s)])

    def close(self) -> None:
        """Take the products of the evaluations that were gone back."""
        part = slice(self.low, self.high)
        count, self.high = self.high - self.low, self.low
        if not count:
            return
        grads = [room[:count].flatten(0, 1) for room in self.room]
        stacks = (self.stack, *self.outputs[:-1])
        self.weights.add(grads, [stack[part].flatten(0, 1) for stack in stacks])
        if self.known is not None:
            self._back_to_known(grads[0], self.known[part].flatten(0, 1))

    def _back_to_known(self, grad: Tensor, known: Tensor) -> None:
        """From the gradient at what the first layer adds up."""
        self.weights.of_known.addmm_(known.t(), grad)
        if self.at_known:
            self.found.append(grad.mm(self.weights.first[1]))

    def sums(self) -> list[Tensor]:
        """Gradients of the parameters, after all evaluations."""
        self.close()
        return self.weights.sums()

    def gradient_at_known(self) -> Tensor:
        """Gradient at what is known, (count, batch, n_known), after ``sums``."""
        assert self.known is not None
        found = self.found[::-1] or [self.known.new_zeros(0, self.known.shape[-1])]
        return torch.cat(found).view_as(self.known)
