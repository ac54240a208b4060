"""The paths between noise and data that flow matching learns from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["Point", "end_of_noise", "on_path", "shares"]

QUARTER = math.pi / 2

Point = tuple[Tensor, Tensor]
"""Where a path is, and its velocity there."""


def shares(t: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of noise and of data at a time, whose squares sum to one."""
    return torch.cos(QUARTER * t), torch.sin(QUARTER * t)


def on_path(t: Tensor, noise: Tensor, x: Tensor) -> Point:
    r"""State and velocity at ``t`` on the path from noise at 0 to data at 1.

    .. math:: s_t = \cos(\tfrac{\pi}{2} t) z + \sin(\tfrac{\pi}{2} t) x

    Where the data are standard normal, so is every :math:`s_t`, and no field is needed at all.

    Parameters
    ----------
    t : Tensor of shape (batch, 1)
        Times.
    noise, x : Tensor of shape (batch, dim)
        Standard normal numbers, and data.

    Returns
    -------
    state, velocity : Tensor of shape (batch, dim)

    References
    ----------
    Albergo, M. S., Vanden-Eijnden, E. (2023). Building Normalizing Flows with Stochastic
    Interpolants. ICLR. Equation (5).
    """
    of_noise, of_x = shares(t)
    state = torch.addcmul(of_noise * noise, of_x, x)
    return state, torch.addcmul(QUARTER * of_noise * x, of_x, noise, value=-QUARTER)


def end_of_noise(noise: Tensor) -> Tensor:
    """Time at which the share of noise is so many times that of the data; 1 for none."""
    return torch.atan2(torch.ones_like(noise), noise) / QUARTER
