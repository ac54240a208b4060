"""Problems with known solutions that the laws of a solver are stated on, and their errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import odeseries as ode
from odeseries.testing.checks import Subject, require

__all__ = [
    "FINE",
    "STATES",
    "TIMES",
    "accuracy",
    "difference",
    "first_way",
    "require_near",
    "seasonal",
    "solved",
    "tight",
    "turn",
    "turned",
]

STATES = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]], dtype=torch.float64)
TIMES = torch.tensor(
    [[0.0, 0.31, 0.8, 1.0], [2.0, 1.7, 1.6, 1.1], [-1.0, -0.9, -0.2, 0.4]], dtype=torch.float64
)
FINE = 200
TIGHTEST = 1e-7


def turn(t: Tensor, y: Tensor) -> Tensor:
    """A harmonic oscillator, y1'' = -4 y1."""
    del t
    return 2 * torch.stack([-y[..., 1], y[..., 0]], -1)


def turned(times: Tensor, y0: Tensor) -> Tensor:
    """Its exact states at times (batch, n_times)."""
    angle = 2 * (times - times[:, :1])
    a, b = y0[:, None, 0], y0[:, None, 1]
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([cos * a - sin * b, sin * a + cos * b], -1)


def seasonal(t: Tensor, y: Tensor) -> Tensor:
    """A growth rate that follows the clock, y' = cos(t) y."""
    return torch.cos(t) * y


def solved(
    subject: Subject,
    field: Callable[[Tensor, Tensor], Tensor],
    y0: Tensor,
    times: Tensor,
    *,
    n_steps: int = FINE,
    rtol: float | None = None,
    gradient: Any = None,
    on_failure: Any = "raise",
) -> ode.Solution:
    """The solution, in fine steps or to tight tolerances as the method wants it."""
    rtol = tight(subject) if rtol is None else rtol
    return ode.solve(
        field,
        y0,
        times,
        solver=subject.cls,
        n_steps=None if subject.cls.adaptive else n_steps,
        rtol=rtol,
        atol=rtol / 100,
        gradient=gradient or first_way(subject),
        on_failure=on_failure,
    )


def first_way(subject: Subject) -> Any:
    """The default way to the gradients, or the first one that there is."""
    return min(subject.cls.gradients, key=lambda way: (way != "autograd", way))


def tight(subject: Subject) -> float:
    """A tolerance that a method of that order reaches in a reasonable number of steps."""
    return float(max(TIGHTEST, 0.01 * 0.1**subject.cls.order))


def accuracy(subject: Subject) -> float:
    """Error allowed where a smooth field is solved finely over about one unit of time."""
    if subject.cls.adaptive:
        return max(1e-4, 400 * tight(subject))
    order = float(min(subject.cls.order, 4))
    return max(20 * math.pow(2 / FINE, order), 1e-7)


def difference(a: Tensor, b: Tensor) -> float:
    """Largest difference; infinite where one is not finite."""
    return float(torch.nan_to_num((a - b).abs(), nan=math.inf).max())


def require_near(subject: Subject, a: Tensor, b: Tensor, message: str) -> None:
    """Require that states agree to the accuracy allowed."""
    error = difference(a.detach(), b.detach())
    limit = accuracy(subject)
    require(error <= limit, f"{message} The error is {error:.2g}, where {limit:.2g} is allowed.")
