r"""Small networks that are evaluated once after another, forward and backward, without a graph.

The evaluations are numbered. What goes into and comes out of every layer is kept in one tensor over
all evaluations, its stack, of the shape (count, batch, width): what is known beforehand is
multiplied at once, and so are the gradients of the weights,
:math:`\sum_k g_k^\top h_k = [g_1; g_2; \dots]^\top [h_1; h_2; \dots]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

__all__ = ["Layers"]


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
        Stack of every layer, as ``stacks`` makes it.
    """

    def __init__(
        self, parameters: Sequence[Tensor], inputs: Tensor, outputs: Sequence[Tensor]
    ) -> None:
        first, *others = parameters[::2]
        self.weights = [first[:, : inputs.shape[-1]], *others]
        self.stack, self.outputs = inputs, outputs

    def begin(self) -> None:
        """Begin to evaluate."""
        self.inputs = self.stack.unbind()
        *hidden, last = [out.unbind() for out in self.outputs]
        *turned, self.turned = [weight.t() for weight in self.weights]
        self.hidden, self.last = list(zip(hidden, turned, strict=True)), last

    @staticmethod
    def stacks(
        parameters: Sequence[Tensor], count: int, batch: int, known: Tensor | None = None
    ) -> list[Tensor]:
        """What is added to the products in every layer: the bias, and the part of ``known``.

        Parameters
        ----------
        parameters : sequence of Tensor
            Weight and bias of every layer.
        count, batch : int
            Number of evaluations, and of rows in each.
        known : Tensor of shape (count, batch, n_known), optional
            Part of the inputs, behind the others.
        """
        stacks = [bias.expand(count, batch, -1).contiguous() for bias in parameters[1::2]]
        if known is not None:
            part = parameters[0][:, -known.shape[-1] :]
            stacks[0].flatten(0, 1).addmm_(known.flatten(0, 1), part.t())
        return stacks

    def evaluate(self, i: int) -> Tensor:
        """Output of an evaluation, (batch, n_out), whose sums in the stacks become results."""
        x = self.inputs[i]
        for views, weight in self.hidden:
            x = views[i].addmm_(x, weight).tanh_()
        return self.last[i].addmm_(x, self.turned)

    def begin_back(self) -> None:
        r"""Begin the way back, with all slopes :math:`1 - \tanh^2` at once."""
        one = self.stack.new_ones(())
        slopes = [torch.addcmul(one, h, h, value=-1).unbind() for h in self.outputs[:-1]]
        self.grads: list[list[Tensor]] = [[] for _ in self.outputs]
        self.way = list(zip(self.weights[:0:-1], reversed(slopes), self.grads[-2::-1], strict=True))

    def back(self, i: int, grad: Tensor, onto: Tensor | None = None) -> Tensor:
        """From the gradient at an output to that at the input; the last evaluation comes first.

        The result is added to ``onto``, in place, if that is given.
        """
        self.grads[-1].append(grad)
        for weight, slopes, grads in self.way:
            grad = grad.mm(weight).mul_(slopes[i])
            grads.append(grad)
        return grad.mm(self.weights[0]) if onto is None else onto.addmm_(grad, self.weights[0])

    def sums(self, known: Tensor | None = None) -> Iterator[Tensor]:
        """Gradients of the parameters, after all evaluations."""
        stacks = [self.stack, *self.outputs[:-1]]
        for layer, stack in enumerate(stacks):
            grad, inputs = self.sensitivity(layer), stack.flatten(0, 1)
            weight = grad.t().mm(inputs)
            if known is not None and layer == 0:
                weight = torch.cat([weight, grad.t().mm(known.flatten(0, 1))], 1)
            yield weight
            yield grad.sum(0)

    def sensitivity(self, layer: int) -> Tensor:
        """Gradients at the outputs of a layer before its activation, (count * batch, width)."""
        if not self.grads[layer]:
            return self.outputs[layer].new_zeros(0, self.outputs[layer].shape[-1])
        return torch.cat(self.grads[layer][::-1])
