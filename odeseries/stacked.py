r"""Small networks that are evaluated once after another, forward and backward, without a graph.

The evaluations are numbered. What goes into and comes out of every layer is kept in one tensor over
all evaluations, its stack, of the shape (count, batch, width): what is known beforehand is
multiplied at once, and so are the gradients of the weights, of some evaluations each,
:math:`\sum_k g_k^\top h_k = [g_1; g_2; \dots]^\top [h_1; h_2; \dots]`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from odeseries.sigmoids import by_sigmoids, ways_back, weight_sum

__all__ = ["WINDOW", "Layers"]

WINDOW = 16
"""Evaluations on the way back whose products are taken at once, while they are near."""


class Layers:
    r"""Perceptron with :math:`\tanh` between its layers.

    Parameters
    ----------
    parameters : sequence of Tensor
        Weight and bias of every layer. Columns of the first weight beyond the width of the inputs
        belong to what is known beforehand.
    inputs : Tensor of shape (count, batch, n_in)
        Where the arguments are when they are asked for.
    outputs : list of Tensor of shape (count, batch, n_out)
        Room for every layer, as ``stacks`` makes it.
    known : Tensor of shape (count, batch, n_known), optional
        What is known beforehand.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        inputs: Tensor,
        outputs: Sequence[Tensor],
        known: Tensor | None = None,
    ) -> None:
        self.parameters, self.n_in = parameters, inputs.shape[-1]
        self.stack, self.outputs, self.known = inputs, outputs, known

    @staticmethod
    def stacks(parameters: Sequence[Tensor], count: int, batch: int) -> list[Tensor]:
        """Room for what comes out of every layer of so many evaluations of so many rows."""
        return [bias.new_empty(count, batch, len(bias)) for bias in parameters[1::2]]

    def begin(self) -> None:
        """Begin to evaluate."""
        layers = by_sigmoids(self.parameters[::2], self.parameters[1::2])
        self.shifts = [bias for _, bias in layers]
        turned = [weight.t() for weight, _ in layers]
        turned[0], self.turned_known = turned[0].tensor_split([self.n_in])
        *turned, self.turned = turned
        self.inputs = self.stack.unbind()
        *hidden, self.last = [out.unbind() for out in self.outputs]
        self.hidden, self.filled = list(zip(hidden, turned, strict=True)), 0

    def _fill(self) -> None:
        """Put what is added to the products, for some more evaluations."""
        part = slice(self.filled, self.filled + WINDOW)
        for out, shift in zip(self.outputs, self.shifts, strict=True):
            out[part] = shift
        if self.known is not None:
            first, known = self.outputs[0][part], self.known[part]
            first.flatten(0, 1).addmm_(known.flatten(0, 1), self.turned_known)
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
        self.low, self.at_known, self.grads = len(self.stack), at_known, list[Tensor]()
        size = min(WINDOW, self.low)
        self.slopes = [out.new_empty(size, *out.shape[1:]) for out in self.outputs[:-1]]
        first, *others = self.parameters[::2]
        ways = [room.unbind() for room in self.slopes[::-1]]
        self.way = list(zip(ways_back([first, *others]), ways, strict=True))
        self.first, self.first_known = first.tensor_split([self.n_in], 1)
        self.products = [torch.zeros_like(weight) for weight in (self.first, *others)]
        self.totals = [torch.zeros_like(bias) for bias in self.parameters[1::2]]
        self.of_known = torch.zeros_like(self.first_known)
        self.found: list[Tensor] = []

    def back(self, i: int, grad: Tensor, onto: Tensor | None = None) -> Tensor:
        """From the gradient at an output to that at the input; the last evaluation comes first.

        The result is added to ``onto``, in place, if that is given.
        """
        if i < self.low:
            self._open(i)
        k = i - self.low
        self.grads.append(grad)
        for factor, slopes in self.way:
            grad = slopes[k].mul_(grad.mm(factor))
        return grad.mm(self.first) if onto is None else onto.addmm_(grad, self.first)

    def _open(self, i: int) -> None:
        """Go on to the evaluations before, with all their slopes at once."""
        self._add_up()
        self.low = max(0, i + 1 - WINDOW)
        for out, room in zip(self.outputs, self.slopes, strict=False):
            s = out[self.low : i + 1]
            torch.addcmul(s, s, s, value=-1, out=room[: len(s)])

    def _add_up(self) -> None:
        """Take the products of the evaluations that were gone back."""
        if not self.grads:
            return
        part = slice(self.low, self.low + len(self.grads))
        ends = [*(room[: len(self.grads)] for room in self.slopes), torch.stack(self.grads[::-1])]
        stacks = [self.stack, *self.outputs[:-1]]
        for layer, (end, stack) in enumerate(zip(ends, stacks, strict=True)):
            grad = end.flatten(0, 1)
            self.products[layer].addmm_(grad.t(), stack[part].flatten(0, 1))
            self.totals[layer].add_(grad.sum(0))
        if self.known is not None:
            self._back_to_known(ends[0].flatten(0, 1), self.known[part].flatten(0, 1))
        self.grads = []

    def _back_to_known(self, grad: Tensor, known: Tensor) -> None:
        """From the gradient at what the first layer adds up."""
        self.of_known.addmm_(grad.t(), known)
        if self.at_known:
            self.found.append(grad.mm(self.first_known))

    def sums(self) -> list[Tensor]:
        """Gradients of the parameters, after all evaluations."""
        self._add_up()
        first, *others = zip(self.products, self.totals, strict=True)
        sums = [torch.cat([first[0], self.of_known], 1), first[1]]
        for product, total in others:
            sums += [weight_sum(product, total), total]
        return sums

    def gradient_at_known(self) -> Tensor:
        """Gradient at what is known, (count, batch, n_known), after ``sums``."""
        assert self.known is not None
        found = self.found[::-1] or [self.known.new_zeros(0, self.known.shape[-1])]
        return torch.cat(found).view_as(self.known)
