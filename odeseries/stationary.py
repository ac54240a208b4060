"""The Gaussian law of sums of linear stochastic differential equations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["N_WAVES", "StationaryLaw", "first_constants"]

SCALES = (0.1, 1.0, 10.0)
"""Times, in horizons, in which the drifts forget, before they are learned."""
N_WAVES = 3
"""An oscillator and its overtones, at every period."""
FIRST_DAMPING = 30.0
LEAST_VARIANCE = 1e-5
BOUNDS = (-10.0, 8.0)
"""Of the logarithms, within which covariances can be factored."""


class StationaryLaw:
    """A stationary Gaussian law of every channel.

    Parameters
    ----------
    constants : Tensor of shape (channels, n)
        Logarithms: sizes of the level, the noise, the drifts and the waves, times of the drifts,
        damping times.
    rates : Tensor of shape (n_waves,)
        Angular frequencies.
    """

    def __init__(self, constants: Tensor, rates: Tensor) -> None:
        n_scales, n_waves = len(SCALES), len(rates)
        sizes = [1, 1, n_scales, n_waves, n_scales, n_waves // N_WAVES]
        level, noise, self.drift, self.wave, self.times, self.damping = torch.split(
            constants.clamp(*BOUNDS).exp(), sizes, dim=1
        )
        self.level, self.noise = level[:, 0] ** 2, noise[:, 0] ** 2 + LEAST_VARIANCE
        self.rates = rates

    def covariance(self, left: Tensor, right: Tensor) -> Tensor:
        """Of noise-free values at times (batch, a) and (batch, b), (batch, channels, a, b)."""
        gap = (left[:, None, :, None] - right[:, None, None, :]).abs()
        total = self.level[:, None, None].expand(len(gap), -1, *gap.shape[-2:])
        for size, time in zip(self.drift.T, self.times.T, strict=True):
            near = gap * (math.sqrt(3) / time)[:, None, None]
            total = total + (size**2)[:, None, None] * (1 + near) * torch.exp(-near)
        for k, time in enumerate(self.damping.T):
            chosen = slice(k * N_WAVES, (k + 1) * N_WAVES)
            here, there = (self._waves(t, chosen) for t in (left, right))
            decay = torch.exp(-gap / time[:, None, None])
            total = total + decay * (here @ there.swapaxes(-1, -2))
        return total

    def _waves(self, times: Tensor, chosen: slice) -> Tensor:
        """Cosines and sines (batch, channels, n, 2 * n_waves), products of which are waves."""
        angle = (times[..., None] * self.rates[chosen])[:, None]
        size = self.wave[:, None, chosen]
        return torch.cat([size * torch.cos(angle), size * torch.sin(angle)], -1)

    def _factor(self, times: Tensor, mask: Tensor) -> Tensor:
        """Cholesky factor of the covariance of what is seen; what is not is white and apart."""
        between = self.covariance(times, times) * mask[..., :, None] * mask[..., None, :]
        nugget = torch.diag_embed(self.noise[:, None] * mask + 1 - mask)
        factor: Tensor = torch.linalg.cholesky(between + nugget)
        return factor

    def surprise(self, times: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Negative logarithm of the density of the values, but for a constant."""
        factor = self._factor(times, mask)
        white = torch.linalg.solve_triangular(factor, values[..., None], upper=False)
        log_det: Tensor = factor.diagonal(dim1=-2, dim2=-1).log().sum()
        total: Tensor = (white**2).sum() / 2 + log_det
        return total

    def given(
        self, times: Tensor, values: Tensor, mask: Tensor, asked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of noisy values at times asked for, (batch, channels, n)."""
        factor = self._factor(times, mask)
        cross = self.covariance(times, asked) * mask[..., None]
        solved = torch.linalg.solve_triangular(
            factor, torch.cat([cross, values[..., None]], -1), upper=False
        )
        gain, white = solved[..., :-1], solved[..., -1:]
        prior = self.level + self.noise + (self.drift**2).sum(1) + (self.wave**2).sum(1)
        variance = prior[:, None] - (gain**2).sum(-2)
        return (gain * white).sum(-2), variance.clamp(min=LEAST_VARIANCE)


def first_constants(n_periods: int) -> Tensor:
    """Logarithms of the constants before they are learned; see `StationaryLaw`."""
    waves = [0.3 / (1 + k) for _ in range(n_periods) for k in range(N_WAVES)]
    first = [1.0, 0.2, *(0.5 for _ in SCALES), *waves, *SCALES, *[FIRST_DAMPING] * n_periods]
    return torch.tensor(first, dtype=torch.float64).log()
