r"""Laws of paths of stochastic dynamics that share their diffusion: how far one is from another.

By Girsanov's theorem the divergence of the law of paths with the drift :math:`h` from that with
the drift :math:`f`, both with the diffusion :math:`g` and from the same starts, is

.. math:: \mathrm{KL} = \tfrac12 E_h \int |u(t, X_t)|^2 dt, \qquad g u = h - f.

References
----------
Li, X., Wong, T.-K. L., Chen, R. T. Q., Duvenaud, D. (2020). Scalable Gradients for Stochastic
Differential Equations. AISTATS. Equation (10).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from odeseries.errors import PluginError
from odeseries.interfaces import Dynamics
from odeseries.solvers.solve import solve

__all__ = ["ito_drift", "matched_drift", "path_divergence", "require_regular", "whitened"]


def require_regular(dynamics: Dynamics, allowed: tuple[str, ...], wanting: str) -> None:
    """Refuse a dynamics whose noise is of another kind than those allowed.

    Raises
    ------
    PluginError
        If so, with what wants the noise.
    """
    if dynamics.noise_type not in allowed:
        raise PluginError(
            f"{wanting} needs a diffusion that can be divided by, of {' or '.join(allowed)} noise; "
            f"{type(dynamics).__name__} has noise_type={dynamics.noise_type!r}."
        )


def whitened(diffusion: Tensor, difference: Tensor) -> Tensor:
    """The control :math:`u` with :math:`g u` the difference of two drifts.

    Parameters
    ----------
    diffusion : Tensor of shape (..., dim) or (..., dim, dim)
        Diagonal or regular.
    difference : Tensor of shape (..., dim)
        In the unit of the drift.

    Returns
    -------
    Tensor of shape (..., dim)
    """
    if diffusion.ndim == difference.ndim:
        return difference / diffusion
    control: Tensor = torch.linalg.solve(diffusion, difference[..., None])
    return control[..., 0]


def path_divergence(
    posterior: Dynamics,
    prior: Dynamics,
    y0: Tensor,
    times: Tensor,
    *,
    solver: str,
    seed: int | Tensor,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """States on paths of the posterior, and its divergence from the prior up to each time.

    Parameters
    ----------
    posterior, prior : Dynamics
        Their drifts are compared; the diffusion is the prior's.
    y0 : Tensor of shape (batch, ..., state_dim)
        Starts.
    times : Tensor of shape (batch, n_times)
        Times, of which the first belongs to ``y0``.
    solver, seed, options
        As in `odeseries.solve`.

    Returns
    -------
    states : Tensor of shape (batch, n_times, ..., state_dim)
    divergence : Tensor of shape (batch, n_times, ...)
        In nats, of the paths that were drawn; its mean over paths is the divergence.
    """
    start = functional.pad(y0, (0, 1))
    ys = solve(_Measured(posterior, prior), start, times, solver=solver, seed=seed, **options).ys
    return ys[..., :-1], ys[..., -1]


class _Measured(Dynamics):
    """Posterior with the divergence from the prior as one more coordinate, without noise."""

    bound_to_rows = True

    def __init__(self, posterior: Dynamics, prior: Dynamics) -> None:
        super().__init__(prior.state_dim + 1)
        self.posterior, self.prior = posterior, prior
        self.noise_type, self.sde_type = prior.noise_type, prior.sde_type
        self.autonomous = False

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift of the posterior, and half the square of the control."""
        del inputs
        y = state[..., :-1]
        drift = self.posterior(t, y)
        control = whitened(self.prior.diffusion(t, y), drift - self.prior(t, y))
        return torch.cat([drift, control.square().sum(-1, keepdim=True) / 2], -1)

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Diffusion of the prior."""
        del inputs
        found = self.prior.diffusion(t, state[..., :-1])
        one_more = (0, 1) if self.noise_type == "diagonal" else (0, 0, 0, 1)
        return functional.pad(found, one_more)


def ito_drift(dynamics: Dynamics, t: Tensor, state: Tensor) -> Tensor:
    r"""Drift in Ito's sense, :math:`f + \frac12 g g'` if the dynamics is meant in Stratonovich's.

    The noise is diagonal or additive, where :math:`g' = 0`.
    """
    drift: Tensor = dynamics(t, state)
    if dynamics.sde_type == "ito" or dynamics.noise_type == "additive":
        return drift
    diffusion, slope = _with_slope(dynamics, t, state)
    return drift + diffusion * slope / 2


def matched_drift(
    dynamics: Dynamics, t: Tensor, state: Tensor, velocity: Tensor, score: Tensor
) -> Tensor:
    r"""Drift with which the diffusion of a dynamics has given marginals, in Ito's sense.

    If a flow with the velocity :math:`v` carries the densities :math:`q_t` along, so does the
    stochastic equation with the diffusion :math:`g` and the drift

    .. math:: v + \tfrac12 g g^\top \nabla \log q_t + \tfrac12 \nabla \cdot (g g^\top).

    Parameters
    ----------
    dynamics : Dynamics
        Of diagonal or additive noise.
    t : Tensor, broadcastable to ``state[..., :1]``
        Time.
    state, velocity, score : Tensor of shape (..., state_dim)
        State, velocity of the flow there, and the gradient of the logarithm of the density.

    Returns
    -------
    Tensor of shape (..., state_dim)

    References
    ----------
    Bartosh, G., Vetrov, D., Naesseth, C. A. (2025). SDE Matching: Scalable and Simulation-Free
    Training of Latent Stochastic Differential Equations. ICML. Section 4.1.
    """
    if dynamics.noise_type == "additive":
        g = dynamics.diffusion(t, state)
        return velocity + torch.einsum("...im,...jm,...j->...i", g, g, score) / 2
    diffusion, slope = _with_slope(dynamics, t, state)
    return velocity + diffusion**2 * score / 2 + diffusion * slope


def _with_slope(dynamics: Dynamics, t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Diagonal diffusion, and the derivative of every entry by its own coordinate.

    An entry depends on no other coordinate, so that one product with the Jacobian gives all.
    """
    diffusion, product, *_ = torch.func.vjp(lambda y: dynamics.diffusion(t, y), state)
    return diffusion, product(torch.ones_like(state))[0]
