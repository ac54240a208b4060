"""Initial value problems with known solutions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["DECAY", "FORCED", "LOGISTIC", "PROBLEMS", "ROTATION", "SEASONAL", "Problem"]


@dataclass(frozen=True)
class Problem:
    """A field, initial states and the exact solution.

    Attributes
    ----------
    name : str
        For the tests' ids.
    field : callable
        ``field(t, state)``.
    y0 : Tensor of float64, shape (3, dim)
        Initial states, one per row.
    exact : callable
        ``exact(y0, start, t)`` with ``t`` of shape (batch, n_times) and ``start`` (batch, 1)
        gives states of shape (batch, n_times, dim).
    """

    name: str
    field: Callable[[Tensor, Tensor], Tensor]
    y0: Tensor
    exact: Callable[[Tensor, Tensor, Tensor], Tensor]

    def solution(self, times: Tensor) -> Tensor:
        """Exact states at times of shape (batch, n_times), the first ones being initial."""
        return self.exact(self.y0, times[:, :1], times)


def _rows(*states: list[float]) -> Tensor:
    return torch.tensor(states, dtype=torch.float64)


def _decay(y0: Tensor, start: Tensor, t: Tensor) -> Tensor:
    return y0[:, None] * torch.exp(start - t)[..., None]


def _turn(t: Tensor, y: Tensor) -> Tensor:
    return 2 * torch.stack([-y[..., 1], y[..., 0]], -1)


def _turned(y0: Tensor, start: Tensor, t: Tensor) -> Tensor:
    angle = 2 * (t - start)
    a, b = y0[:, None, 0], y0[:, None, 1]
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([cos * a - sin * b, sin * a + cos * b], -1)


def _logistic(y0: Tensor, start: Tensor, t: Tensor) -> Tensor:
    return 1 / (1 + (1 / y0[:, None] - 1) * torch.exp(start - t)[..., None])


def _seasonal(y0: Tensor, start: Tensor, t: Tensor) -> Tensor:
    return y0[:, None] * torch.exp(torch.sin(t) - torch.sin(start))[..., None]


def _swing(t: Tensor) -> Tensor:
    return ((2 * torch.sin(2 * t) + torch.cos(2 * t)) / 5)[..., None]


def _forced(y0: Tensor, start: Tensor, t: Tensor) -> Tensor:
    return _swing(t) + (y0[:, None] - _swing(start)) * torch.exp(start - t)[..., None]


DECAY = Problem("decay", lambda t, y: -y, _rows([1.0], [-2.0], [0.5]), _decay)
ROTATION = Problem("rotation", _turn, _rows([1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]), _turned)
LOGISTIC = Problem("logistic", lambda t, y: y * (1 - y), _rows([0.1], [0.5], [0.9]), _logistic)
SEASONAL = Problem(
    "seasonal", lambda t, y: torch.cos(t) * y, _rows([1.0], [2.0], [-1.0]), _seasonal
)
FORCED = Problem("forced", lambda t, y: torch.cos(2 * t) - y, _rows([1.0], [2.0], [-1.0]), _forced)
PROBLEMS = [DECAY, ROTATION, LOGISTIC, SEASONAL]
