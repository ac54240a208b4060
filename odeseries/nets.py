"""Small networks and their initialisation."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["Perceptron", "zero_last_layer"]


class Perceptron(nn.Module):
    """Fully connected layers with a smooth activation between them.

    Parameters
    ----------
    sizes : tuple of int
        Widths of input, hidden layers and output.
    activation : type of nn.Module
        Activation between the layers.
    """

    def __init__(self, sizes: tuple[int, ...], activation: type[nn.Module] = nn.SiLU) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), activation()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., sizes[0]]`` to ``[..., sizes[-1]]``."""
        out: Tensor = self.layers(x)
        return out


def zero_last_layer(net: Perceptron) -> None:
    """Let the network start as the zero function; its gradients are not zero."""
    last = net.layers[-1]
    if not isinstance(last, nn.Linear):
        raise TypeError(f"the last layer is a {type(last).__name__}, not a linear one")
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
