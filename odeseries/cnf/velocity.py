"""The field of a flow: any dynamics, told the time and the condition, with its divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from odeseries import plugins
from odeseries.arguments import require_keywords
from odeseries.dynamics.regressed import Regressed
from odeseries.interfaces import Dynamics
from odeseries.nets import unrolled
from odeseries.solvers.inference import differentiable_again, outside_inference

__all__ = ["Velocity", "divergence_by_probes", "divergence_by_rows"]

N_WAVES = 3
MOST_ROWS = 16


class Velocity(nn.Module):
    r"""Field :math:`v(t, s, c)` of a flow over a unit of time.

    A dynamics that takes inputs is told :math:`\cos(k \pi t)` and :math:`\sin(k \pi t)` for
    :math:`k \le 3`, and the condition.

    Parameters
    ----------
    dynamics : str or Dynamics class
        Ordinary, of a state of the dimension of the data.
    dim, n_conditions : int
        Dimension of the data, and of what they are conditioned on.
    params : mapping
        Hyperparameters of the dynamics.
    divergence : {"auto", "exact", "hutchinson"}
        How the divergence is found: "auto" is exact where the dynamics has it in closed form or
        the dimension is at most 16.

    Raises
    ------
    ValueError
        If the dynamics can't be the field of a flow, or takes no parameter of a name.
    """

    waves: Tensor

    def __init__(
        self,
        dynamics: str | type[Dynamics],
        dim: int,
        n_conditions: int,
        *,
        params: Mapping[str, Any],
        divergence: str,
    ) -> None:
        super().__init__()
        cls: type[Dynamics] = plugins.get("dynamics", dynamics)
        require_keywords(cls, params, ("n_inputs",), "dynamics_params")
        driven = cls.takes_inputs
        if n_conditions and not driven:
            raise ValueError(f"dynamics={dynamics!r} takes no inputs: it can't be conditional.")
        inputs = {"n_inputs": 2 * N_WAVES + n_conditions} if driven else {}
        self.dynamics = cls(dim, **inputs, **params)
        _check(self.dynamics, dynamics)
        self.gain = nn.Parameter(torch.ones(1))
        self.register_buffer("waves", math.pi * torch.arange(1.0, N_WAVES + 1), persistent=False)
        closed = self.dynamics.closed_divergence
        exact = divergence == "exact" or (divergence == "auto" and (closed or dim <= MOST_ROWS))
        self.exact, self.closed = exact, closed and exact

    def rest(self) -> None:
        """Begin as the field that moves nothing; how strong it is is learnt first then."""
        with torch.no_grad():
            self.gain.zero_()

    def forward(self, t: Tensor, state: Tensor, condition: Tensor) -> Tensor:
        """Velocity, of the shape of the state ``[batch, dim]``."""
        slope: Tensor = self.dynamics(t, state, self._inputs(t, condition))
        return self.gain * slope

    def squared_error(
        self, t: Tensor, state: Tensor, condition: Tensor, target: Tensor, weights: Tensor
    ) -> Tensor:
        r"""Weighted mean :math:`\frac{1}{nd} \sum_i w_i \|v(t_i, s_i, c_i) - u_i\|^2`.

        Parameters
        ----------
        t, state, condition
            As for ``with_divergence``.
        target : Tensor of shape (batch, dim)
            Velocities :math:`u` that are right.
        weights : Tensor of shape (batch,)
            Weights :math:`w`.
        """
        error = None
        if isinstance(self.dynamics, Regressed):
            inputs = self._inputs(t, condition)
            error = self.dynamics.squared_error(state, inputs, self.gain, target, weights)
        if error is None:
            with unrolled(self):
                missed = mse_loss(self(t, state, condition), target, reduction="none")
            error = torch.dot(weights, missed.sum(-1)) / target.numel()
        return error

    def with_divergence(
        self, t: Tensor, state: Tensor, condition: Tensor, probes: Tensor
    ) -> Tensor:
        """Velocity, and divergence as one coordinate more, ``[batch, dim + 1]``.

        Parameters
        ----------
        t : Tensor of shape (batch, 1)
            Time.
        state : Tensor of shape (batch, dim)
            State.
        condition : Tensor of shape (batch, n_conditions)
            What the density is conditioned on.
        probes : Tensor of shape (n_probes, batch or 1, dim)
            Random signs, the same all along a path; not looked at where the divergence is exact.
        """
        if self.closed:
            inputs = self._inputs(t, condition)
            slope, divergence = self.dynamics.with_divergence(t, state, inputs)
            return self.gain * torch.cat([slope, divergence[:, None]], -1)
        learning = torch.is_grad_enabled()
        with outside_inference(), torch.enable_grad():
            t, state, condition = map(differentiable_again, (t, state, condition))
            state = state if learning and state.requires_grad else state.detach().requires_grad_()
            slope = self(t, state, condition)
            if self.exact:
                divergence = divergence_by_rows(slope, state, create_graph=learning)
            else:
                divergence = divergence_by_probes(slope, state, probes, create_graph=learning)
        both = torch.cat([slope, divergence[:, None]], -1)
        return both if learning else both.detach()

    def _inputs(self, t: Tensor, condition: Tensor) -> Tensor:
        """The time as waves, and the condition."""
        angles = t * self.waves
        waves = torch.cat([angles.cos(), angles.sin()], -1).expand(len(condition), -1)
        return torch.cat([waves, condition], -1) if condition.shape[-1] else waves


def divergence_by_rows(slope: Tensor, state: Tensor, *, create_graph: bool) -> Tensor:
    """Trace of the Jacobian, by a backward pass for each of its rows.

    Parameters
    ----------
    slope, state : Tensor of shape (batch, dim)
        A field and the states from which autograd knows it to be computed.
    create_graph : bool
        Whether gradients of the trace will be asked for.

    Returns
    -------
    Tensor of shape (batch,)
    """
    parts = []
    for i in range(state.shape[-1]):
        (row,) = torch.autograd.grad(
            slope[..., i].sum(),
            state,
            create_graph=create_graph,
            retain_graph=True,
            materialize_grads=True,
        )
        parts.append(row[..., i])
    return torch.stack(parts).sum(0)


def divergence_by_probes(
    slope: Tensor, state: Tensor, probes: Tensor, *, create_graph: bool
) -> Tensor:
    r"""Unbiased estimate :math:`\frac1n \sum_i e_i^\top J e_i` of the trace of the Jacobian.

    Parameters
    ----------
    slope, state, create_graph
        As for `divergence_by_rows`.
    probes : Tensor of shape (n_probes, batch or 1, dim)
        Independent signs.

    References
    ----------
    Grathwohl, W., Chen, R. T. Q., Bettencourt, J., Sutskever, I., Duvenaud, D. (2019). FFJORD:
    Free-form Continuous Dynamics for Scalable Reversible Generative Models. ICLR. Equation (7).
    """
    parts = []
    for probe in probes:
        (row,) = torch.autograd.grad(
            slope,
            state,
            probe.expand_as(slope),
            create_graph=create_graph,
            retain_graph=True,
            materialize_grads=True,
        )
        parts.append((row * probe).sum(-1))
    return torch.stack(parts).mean(0)


def _check(dynamics: Dynamics, name: object) -> None:
    """Refuse what does not map a vector to a vector one to one."""
    if dynamics.noise_type is not None:
        raise ValueError(f"dynamics={name!r} is stochastic: give an ordinary one.")
    if dynamics.state_dim != dynamics.dim:
        raise ValueError(
            f"dynamics={name!r} moves {dynamics.state_dim} coordinates for {dynamics.dim} of the "
            f"data, which has no density of the data alone: give one that adds no coordinates."
        )
