r"""Fields of waves that are fitted to slopes, with the way back written out.

With :math:`v` as in `odeseries.dynamics.Fourier` times a gain :math:`a`, what is missed is
:math:`r = a v(x) - u`, and the loss :math:`\frac{1}{nd} \sum_i w_i \|r_i\|^2` has the gradient
:math:`\frac{2}{nd} w_i r_i` at the slope :math:`a v(x_i)`. It is one node of the graph, which knows
of the parameters alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from odeseries.dynamics.waves import Inside, back_through, products

__all__ = ["Regressed", "WavesMissed"]


class Regressed(ABC):
    """A field that can say how far it is from given slopes, cheaply for one evaluation."""

    @abstractmethod
    def squared_error(
        self, state: Tensor, inputs: Tensor | None, gain: Tensor, target: Tensor, weights: Tensor
    ) -> Tensor | None:
        r"""Weighted mean :math:`\frac{1}{nd} \sum_i w_i \|a v(s_i) - u_i\|^2`.

        Parameters
        ----------
        state : Tensor of shape (n, d)
            States :math:`s`.
        inputs : Tensor of shape (n, n_inputs) or None
            Known inputs.
        gain : Tensor of shape (1,)
            Factor :math:`a` of the field.
        target : Tensor of shape (n, d)
            Slopes :math:`u` that are right.
        weights : Tensor of shape (n,)
            Weights :math:`w`.

        Returns
        -------
        Tensor of shape () or None
            With first derivatives by the parameters and the gain; None where more is asked for, or
            where a subclass or other layers make the field something else.
        """


class WavesMissed(torch.autograd.Function):
    """Mean squared error of a field of waves; differentiable once, by its parameters."""

    @staticmethod
    def forward(
        ctx: Any,
        n_waves: int,
        x: Tensor,
        target: Tensor,
        weights: Tensor,
        gain: Tensor,
        *layers: Tensor,
    ) -> Tensor:
        """The error, from states and inputs side by side, and weights and biases of the layers."""
        inside = Inside.of(layers, x, n_waves)
        value = linear(inside.hidden, *layers[4:])
        missed = value.mul(gain).sub_(target)
        weighted = missed * weights.div(target.numel())[:, None]
        ctx.n_waves = n_waves
        ctx.save_for_backward(x, gain, value, weighted, *layers, *inside)
        return torch.dot(weighted.view(-1), missed.view(-1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Go back through the layers."""
        x, gain, value, weighted, *rest = ctx.saved_tensors
        layers, kept = rest[:6], rest[6:]
        at_slope = weighted * (2 * grad)
        of_gain = torch.dot(at_slope.view(-1), value.view(-1))[None]
        inside = Inside(*kept)
        pairs, _ = back_through(layers, inside, x, at_slope.mul_(gain), None, ctx.n_waves)
        grads = [g for layer in zip(*products(pairs), strict=True) for g in layer]
        return None, None, None, None, of_gain, *grads
