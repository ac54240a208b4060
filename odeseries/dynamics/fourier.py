"""A vector field that is quick to learn details."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from odeseries.dynamics.regressed import Regressed, WavesMissed
from odeseries.dynamics.waves import Waves
from odeseries.interfaces import Dynamics
from odeseries.nets import in_one_precision, is_bare, is_linear, trace_of_layers, written_out
from odeseries.unrolled import Unrollable

__all__ = ["Fourier"]


class Fourier(Dynamics, Unrollable, Regressed):
    r"""Field :math:`W_3\, \mathrm{silu}(W_2 [\tanh(W_1 z + b), \sin(\Omega z + \varphi)])`.

    The waves resolve details that a perceptron learns slowly. All features are bounded, and so is
    the field: far away it neither grows nor explodes.

    Parameters
    ----------
    dim : int
        Dimension of the state.
    n_inputs : int, default=0
        Number of known inputs, which every feature of the first layer sees.
    hidden : int, default=128
        Width of both hidden layers; half of the first are waves.
    frequency : float, default=1.5
        Standard deviation of the angular frequencies along any direction, in two dimensions; of
        each coordinate it is :math:`\sqrt{2 / d}` times that.

    References
    ----------
    Tancik, M., Srinivasan, P. P., Mildenhall, B., et al. (2020). Fourier Features Let Networks
    Learn High Frequency Functions in Low Dimensional Domains. NeurIPS. Equation (5); here the
    frequencies are learnt on.

    Examples
    --------
    >>> import torch
    >>> from odeseries.dynamics import Fourier
    >>> Fourier(3)(torch.zeros(5, 1), torch.zeros(5, 3)).shape
    torch.Size([5, 3])
    """

    takes_inputs: ClassVar[bool] = True
    closed_divergence = True

    def __init__(
        self, dim: int, *, n_inputs: int = 0, hidden: int = 128, frequency: float = 1.5
    ) -> None:
        super().__init__(dim, n_inputs=n_inputs)
        if hidden < 2:
            raise ValueError(f"hidden={hidden} must be at least 2: half of the features are waves.")
        self.n_waves = hidden // 2
        self.first = nn.Linear(dim + n_inputs, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, dim)
        with torch.no_grad():
            spread = frequency * math.sqrt(2 / dim)
            self.first.weight[: self.n_waves, :dim].normal_(0, spread)
            self.first.bias[: self.n_waves].uniform_(0, 2 * math.pi)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state, the same at every time."""
        del t
        x = self.with_inputs(state, inputs)
        waves = written_out(self)
        if isinstance(waves, Waves) and not waves.notes.differentiated:
            return waves.value(x.reshape(-1, x.shape[-1])).view(state.shape)
        phases, bumps = self._first(x)
        features = torch.cat([phases.sin(), bumps.tanh()], -1)
        out: Tensor = self.last(functional.silu(self.second(features)))
        return out

    def with_divergence(
        self, t: Tensor, state: Tensor, inputs: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Derivative and divergence, exact."""
        del t
        x = self.with_inputs(state, inputs)
        waves = written_out(self)
        if isinstance(waves, Waves) and not waves.notes.differentiated:
            value, divergence = waves.with_divergence(x.reshape(-1, x.shape[-1]))
            return value.view(state.shape), divergence.view(state.shape[:-1])
        phases, bumps = self._first(x)
        bumps = bumps.tanh()
        arguments = self.second(torch.cat([phases.sin(), bumps], -1))
        gate = arguments.sigmoid()
        hidden = arguments * gate
        slopes = (torch.cat([phases.cos(), 1 - bumps**2], -1), gate + hidden * (1 - gate))
        out = self.last(hidden)
        # Asked for after the calls, in which hooks may make them anew.
        weights = (self.first.weight, self.second.weight, self.last.weight)
        return out, trace_of_layers(weights, slopes)

    def unroll(self) -> Waves | None:
        """Itself for one graph, unless a layer was made something else."""
        parameters = self._written()
        return None if parameters is None else Waves(parameters, self.n_waves)

    def squared_error(
        self, state: Tensor, inputs: Tensor | None, gain: Tensor, target: Tensor, weights: Tensor
    ) -> Tensor | None:
        """Weighted mean of squared errors, see `odeseries.dynamics.regressed.Regressed`."""
        parameters = self._written()
        x = self.with_inputs(state, inputs)
        asks_more = x.requires_grad or target.requires_grad or weights.requires_grad
        own = type(self).forward is Fourier.forward and is_bare(self)
        if parameters is None or asks_more or not own:
            return None
        out: Tensor = WavesMissed.apply(self.n_waves, x, target, weights, gain, *parameters)  # type: ignore[no-untyped-call]  # torch
        return out

    def _written(self) -> list[Tensor] | None:
        """Weight and bias of every layer, unless one is something else than a linear layer."""
        layers = [self.first, self.second, self.last]
        if not all(map(is_linear, layers)) or not in_one_precision(self.first.weight):
            return None
        return [p for layer in layers for p in (layer.weight, layer.bias)]

    def _first(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Phases of the waves, and arguments of the other features."""
        arguments = self.first(x)
        return arguments[..., : self.n_waves], arguments[..., self.n_waves :]
