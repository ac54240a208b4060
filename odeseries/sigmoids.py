r"""Perceptrons with :math:`\tanh` written by sigmoids, which cost a third of the time.

With the sigmoid :math:`s` it is :math:`\tanh(z) = 2 s(2 z) - 1`. The factors and the constant go
into the weights and biases before and behind: what :math:`W h + b` is for :math:`h = \tanh(z)` is
:math:`2 W s + (b - W 1)` for the sigmoids.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

__all__ = ["by_sigmoids", "ways_back", "weight_sum"]


def by_sigmoids(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    r"""Weight and bias of every layer with sigmoids between the layers in place of :math:`\tanh`.

    Parameters
    ----------
    weights : sequence of Tensor of shape (n_out, n_in)
    biases : sequence of Tensor of shape (n_out,)
    """
    layers, last = [], len(weights) - 1
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        into = 1 if i == last else 2
        if i:
            layers.append((2 * into * weight, into * (bias - weight.sum(1))))
        else:
            layers.append((into * weight, into * bias))
    return layers


def ways_back(weights: Sequence[Tensor]) -> list[Tensor]:
    r"""By what gradients at the sums of all layers but the first are multiplied, the last first.

    This and the slope :math:`s (1 - s)` of the sigmoids before, a quarter of that of
    :math:`\tanh`, lead to the gradient at the sums of the layer before.
    """
    return [4 * weight for weight in weights[:0:-1]]


def weight_sum(product: Tensor, total: Tensor) -> Tensor:
    r"""Gradient of a weight, :math:`\sum g h^\top = 2 \sum g s^\top - \sum g 1^\top`.

    Parameters
    ----------
    product : Tensor of shape (n_out, n_in)
        :math:`\sum g s^\top`.
    total : Tensor of shape (n_out,)
        :math:`\sum g`.
    """
    return 2 * product - total[:, None]
