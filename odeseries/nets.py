"""Small networks and their initialisation."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from odeseries.unrolled import Unrollable, Unrolled, Written

__all__ = [
    "Perceptron",
    "Potential",
    "StateNetwork",
    "in_one_precision",
    "is_bare",
    "is_linear",
    "is_plain",
    "last_bias",
    "mixed_layers",
    "rolled_up",
    "seeded_weights",
    "trace_of_layers",
    "unrolled",
    "written_out",
    "zero_last_layer",
]

_INITIALISING = threading.RLock()  # weights are drawn from the one generator of torch


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Draw initial weights inside from a seed; torch's generator is left as it was.

    Threads wait for one another.
    """
    with _INITIALISING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def unrolled(module: nn.Module) -> Iterator[None]:
    r"""Make what can be unrolled in a module cheap to evaluate many times in one graph.

    These are perceptrons with :math:`\tanh`, and what else says so. Their parameters must not be
    changed inside, nor between that and the backward pass. Where this is used within itself, a
    network's gradients are gathered over the outer one.
    """
    active = _UNROLLED.get()
    fresh: dict[nn.Module, Written] = {}
    for net in module.modules():
        written = net.unroll() if isinstance(net, Unrollable) and net not in active else None
        if written is not None:
            fresh[net] = written
    mark = _UNROLLED.set({**active, **fresh})
    try:
        yield
    finally:
        _UNROLLED.reset(mark)
        for written in fresh.values():
            written.close()


@contextmanager
def rolled_up() -> Iterator[None]:
    """Evaluate networks layer by layer inside, in graphs of their own, also within `unrolled`."""
    mark = _UNROLLED.set({})
    try:
        yield
    finally:
        _UNROLLED.reset(mark)


def written_out(net: nn.Module) -> Written | None:
    """The network as it was unrolled around here, if it was."""
    # No look-up of a context can be compiled.
    return None if torch.compiler.is_compiling() else _UNROLLED.get().get(net)


_UNROLLED: ContextVar[dict[nn.Module, Written]] = ContextVar("unrolled", default={})  # noqa: B039  # never changed


def in_one_precision(weight: Tensor) -> bool:
    """Whether operations keep to the precision of the weights, where these are."""
    return not torch.is_autocast_enabled(weight.device.type)


def is_bare(module: nn.Module) -> bool:
    """Whether a call does what the class says, without hooks or another ``forward``."""
    before = (module._forward_pre_hooks, module._backward_pre_hooks)
    after = (module._forward_hooks, module._backward_hooks)
    return not any((*before, *after)) and "forward" not in vars(module)


def is_linear(layer: nn.Module) -> bool:
    """Whether it is a bare linear layer, whose parameters are a weight and then a bias.

    They are not where another parameter makes the weight, such as by ``weight_norm``.
    """
    names = [name for name, _ in layer.named_parameters(recurse=False)]
    return type(layer) is nn.Linear and is_bare(layer) and names == ["weight", "bias"]


def is_plain(net: nn.Module) -> bool:
    """Whether it is a perceptron of linear layers with tanh between them, in one precision."""
    if type(net) is not Perceptron or not is_bare(net) or not is_bare(net.layers):
        return False
    layers = list(net.layers)
    between = all(type(layer) is nn.Tanh and is_bare(layer) for layer in layers[1::2])
    known = between and len(layers) % 2 == 1 and all(map(is_linear, layers[::2]))
    return known and in_one_precision(next(net.parameters()))


class Perceptron(nn.Module, Unrollable):
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
        written = written_out(self)
        net: Callable[[Tensor], Tensor] = written if isinstance(written, Unrolled) else self.layers
        return net(x)

    def unroll(self) -> Unrolled | None:
        """Itself for one graph, if there is nothing but linear layers and tanh."""
        return Unrolled(self.layers) if is_plain(self) else None

    def with_trace(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Output, and the trace of its Jacobian by the first inputs, as many as outputs.

        Parameters
        ----------
        x : Tensor of shape (..., sizes[0])
            Inputs of a network of two hidden layers with the activation :math:`\tanh`.

        Returns
        -------
        output : Tensor of shape (..., sizes[-1])
        trace : Tensor of shape (...)
        """
        first, _, second, _, last = cast("list[nn.Linear]", list(self.layers))
        h1 = torch.tanh(first(x))
        h2 = torch.tanh(second(h1))
        out = last(h2)
        # Asked for after the calls, in which hooks may make them anew.
        weights = (first.weight, second.weight, last.weight)
        return out, trace_of_layers(weights, (1 - h1**2, 1 - h2**2))


class StateNetwork(ABC):
    """A dynamics whose field may be a perceptron of the state, and nothing else."""

    @abstractmethod
    def network_of_state(self) -> Perceptron | None:
        """That perceptron; None if inputs or a subclass make the field something else."""


def trace_of_layers(
    weights: tuple[Tensor, Tensor, Tensor], slopes: tuple[Tensor, Tensor]
) -> Tensor:
    r"""Trace of the Jacobian of :math:`W_3 g_2(W_2 g_1(W_1 x))` in closed form.

    By the chain rule and :math:`\mathrm{tr}(AB) = \mathrm{tr}(BA)` it is
    :math:`g_2'^\top [W_2 \odot (W_1 W_3)^\top] g_1'`, which costs no more than a layer whatever the
    number of inputs.

    Parameters
    ----------
    weights : tuple of three Tensor
        :math:`W_1, W_2, W_3`; only the first columns of :math:`W_1`, as many as there are
        outputs, are those of :math:`x`.
    slopes : tuple of two Tensor of shape (..., width)
        :math:`g_1', g_2'` at their arguments.

    Returns
    -------
    Tensor of shape (...)
    """
    return ((slopes[0] @ mixed_layers(*weights).T) * slopes[1]).sum(-1)


def mixed_layers(first: Tensor, second: Tensor, last: Tensor) -> Tensor:
    r"""The factor :math:`W_2 \odot (W_1 W_3)^\top` of the trace, see `trace_of_layers`."""
    return second * (first[:, : len(last)] @ last).T


class Potential(nn.Module):
    r"""Scalar function given by a perceptron with :math:`\tanh`, and its gradient in closed form.

    The gradient is the chain rule written out: with :math:`h_i = \tanh(W_i h_{i-1} + b_i)` and
    the value :math:`w^\top h_n`, it is :math:`g_n = w` and
    :math:`g_{i-1} = W_i^\top [(1 - h_i^2) \odot g_i]` down to :math:`g_0`. It needs no autograd,
    so that it works where gradients are off and costs one more pass where they are on.

    Parameters
    ----------
    dim : int
        Dimension of the argument.
    hidden : int
        Width of the hidden layers.
    depth : int
        Number of hidden layers.
    """

    def __init__(self, dim: int, hidden: int, depth: int) -> None:
        super().__init__()
        sizes = (dim, *[hidden] * depth)
        self.layers = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes))
        # A constant added to a potential changes nothing: no bias.
        self.last = nn.Linear(sizes[-1], 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Value, from ``[..., dim]`` to ``[...]``."""
        out: Tensor = self.last(self._hidden(x)[-1])
        return out[..., 0]

    def gradient(self, x: Tensor) -> Tensor:
        """Gradient at ``x``, of the shape of ``x``."""
        activations = self._hidden(x)
        if not is_bare(self.last):
            self.last(activations[-1])  # in which hooks make the weight anew
        slope = self.last.weight[0]
        for layer, hidden in zip(reversed(self._linear()), reversed(activations), strict=True):
            slope = (slope * (1 - hidden**2)) @ layer.weight
        return slope

    def _linear(self) -> list[nn.Linear]:
        return cast("list[nn.Linear]", list(self.layers))

    def _hidden(self, x: Tensor) -> list[Tensor]:
        """Activations of every hidden layer."""
        activations = []
        for layer in self.layers:
            x = torch.tanh(layer(x))
            activations.append(x)
        return activations


def zero_last_layer(net: Perceptron) -> None:
    """Let the network start as the zero function; its gradients are not zero."""
    last = _last_layer(net)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()


def last_bias(net: Perceptron) -> Tensor:
    """The bias of the last layer, without gradients; what is written to it is the network's."""
    return _last_layer(net).bias.detach()


def _last_layer(net: Perceptron) -> nn.Linear:
    last = net.layers[-1]
    if not isinstance(last, nn.Linear):
        raise TypeError(f"the last layer is a {type(last).__name__}, not a linear one")
    return last
