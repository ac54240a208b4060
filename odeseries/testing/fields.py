"""Dynamics as their laws are tested: made, stirred, and asked at random states."""

from __future__ import annotations

import torch
from torch import Tensor

import odeseries as ode
from odeseries.testing.checks import Subject, require

__all__ = [
    "BATCH",
    "clock",
    "close",
    "diffused",
    "finite",
    "new",
    "random_states",
    "stated",
    "stirred",
    "stochastic",
]

BATCH = 5


def new(subject: Subject, dim: int, n_inputs: int = 0) -> ode.Dynamics:
    """A dynamics of some dimension, as its class makes it."""
    inputs = {"n_inputs": n_inputs} if n_inputs else {}
    dynamics: ode.Dynamics = subject.cls(dim, **subject.params, **inputs)
    require(
        "_parameters" in vars(dynamics),
        f"{subject.cls.__qualname__}.__init__ must call super().__init__(dim) first.",
    )
    return dynamics


def stirred(
    subject: Subject, dtype: torch.dtype = torch.float64, *, n_inputs: int = 0
) -> ode.Dynamics:
    """A dynamics whose parameters are stirred, so that a network that starts at zero moves."""
    dynamics = new(subject, subject.dim, n_inputs)
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return dynamics.to(dtype)


def random_states(dynamics: ode.Dynamics, *shape: int) -> Tensor:
    """Random states that the dynamics itself lifted."""
    dtype = next((p.dtype for p in dynamics.parameters()), torch.float64)
    lifted = dynamics.lift(torch.randn(*shape, dynamics.dim, dtype=dtype))
    return (lifted + 0.1 * torch.randn_like(lifted)).detach()


def clock(states: Tensor) -> Tensor:
    """One random time per state."""
    return torch.rand(*states.shape[:-1], 1, dtype=states.dtype)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> bool:
    """Whether two results agree, NaN with nothing."""
    return a.shape == b.shape and bool(((a - b).abs() <= tolerance * (1 + b.abs())).all())


def finite(found: Tensor, what: str) -> Tensor:
    """What was found, if it is finite, which comes before any other law."""
    require(
        torch.isfinite(found).all(),
        f"The {what} is NaN or infinite at random states of a size around 1.",
    )
    return found


def diffused(
    dynamics: ode.Dynamics,
    t: Tensor,
    states: Tensor,
    inputs: Tensor | None = None,
    *,
    judged: slice = slice(None),
) -> Tensor:
    """Drift and, of a stochastic dynamics, diffusion, side by side; finite in the judged rows."""
    given = () if inputs is None else (inputs,)
    drift: Tensor = dynamics(t, states, *given)
    if dynamics.noise_type is None:
        return drift
    diffusion = dynamics.diffusion(t, states, *given)
    finite(diffusion[judged], "diffusion")
    return torch.cat([drift, diffusion.flatten(drift.ndim - 1)], -1)


def stated(subject: Subject, name: str) -> object:
    """What a dynamics says about itself, which may be a matter of its hyperparameters."""
    try:
        return getattr(stirred(subject), name)
    except Exception:
        # What can't be made is for the checks to report; which of them apply, its class says.
        return getattr(subject.cls, name)


def stochastic(subject: Subject) -> bool:
    """Whether there is a diffusion."""
    return stated(subject, "noise_type") is not None
