"""Where a forecast starts before anything is learned: level, scale, base and spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from odeseries.windows import Batch, Side

__all__ = ["Anchor", "Anchored", "held_slopes", "moments", "nearest"]

LONG_AGE = 20.0
N_KNOTS = 9
LOWEST_KNOT = math.log(1e-3)
KNOT_STEP = math.log(10) / 2
SMOOTHING = 2.0
MEAN_LOG_ABS_NORMAL = -0.635
SCALE_PRIOR = 4.0
TAIL = 0.01
"""Share of the queries of training at whose ages the error is not yet known."""
DECAYS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 1e4)


@dataclass(frozen=True, eq=False)
class Anchored:
    """Statistics of a batch's windows, in standardised units.

    Attributes
    ----------
    level, scale : Tensor of shape (batch, channels)
        Location and spread of what a window may see.
    base, spread : Tensor of shape (batch, n_queries, channels)
        First guess at the queries, and the typical size of its error.
    age : Tensor of shape (batch, n_queries, channels)
        Time from the query to the nearest observation; of both sides, their harmonic sum.
    """

    level: Tensor
    scale: Tensor
    base: Tensor
    spread: Tensor
    age: Tensor


class Anchor(nn.Module):
    """First guess: the last value decaying to the window's level; between two, the straight line.

    The scale of a window is shrunk towards the pooled one, its level (``local=False``) towards
    the channel's mean, by the share of the variance that lies between windows.

    Parameters
    ----------
    n_channels : int
        Channels.
    local : bool
        Whether the level of a window is its last value, as drifting single series need, instead
        of its shrunken mean.
    common_scale : bool, default=False
        Whether all windows have the pooled scale instead of one of their own.
    """

    pooled: Tensor
    prior: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, n_channels: int, *, local: bool, common_scale: bool = False) -> None:
        super().__init__()
        self.local, self.common_scale = local, common_scale
        self.register_buffer("pooled", torch.ones(n_channels))
        self.register_buffer("prior", torch.zeros(n_channels))
        self.register_buffer("lowest", torch.full((n_channels,), -2.0))
        self.register_buffer("highest", torch.full((n_channels,), 2.0))
        self.log_decay = nn.Parameter(torch.zeros(n_channels))
        self.log_spread = nn.Parameter(torch.zeros(n_channels, N_KNOTS))

    @torch.no_grad()
    def fit(self, batches: Sequence[Batch]) -> None:
        """Take pooled statistics, the best decay and the growth of the error from windows."""
        seen = [moments(b) for b in batches]
        count, mean, variance = (torch.cat(m) for m in zip(*seen, strict=True))
        several = count > 2
        weight = (count * several).sum(0)
        pooled = (variance * count * several).sum(0) / weight.clamp(min=1)
        pooled = torch.where(weight > 0, pooled, torch.ones_like(pooled))
        everything = _variance(mean, count > 0)
        between = (everything - 4 * pooled / count.sum(0).clamp(min=1) * len(count)).clamp(min=0.05)
        self.pooled.copy_(pooled.clamp(min=1e-12))
        self.prior.copy_((4 * pooled / between).clamp(max=100.0))
        self.lowest.copy_(_quantile(mean, count > 0, 0.05))
        self.highest.copy_(_quantile(mean, count > 0, 0.95))
        self._fit_decay(batches)
        self._fit_spread(batches)

    def _fit_decay(self, batches: Sequence[Batch]) -> None:
        """The decay with the least absolute error, per channel."""
        errors = []
        for decay in DECAYS:
            self.log_decay.fill_(float(torch.tensor(decay).log()))
            errors.append(_total([self._error(b)[0] for b in batches]))
        self.log_decay.copy_(
            torch.tensor(DECAYS).log().to(self.pooled)[torch.stack(errors).argmin(0)]
        )

    def _error(self, batch: Batch) -> tuple[Tensor, Anchored]:
        """Absolute error of the base in units of the scale, 0 where nothing was observed."""
        anchored = self(batch)
        error = (batch.targets - anchored.base).abs() / anchored.scale[:, None]
        return error.clamp(max=20.0) * batch.observed, anchored

    def _fit_spread(self, batches: Sequence[Batch]) -> None:
        """Smoothed least squares of the logarithm of the error, linear in the log age by pieces."""
        n_channels = len(self.pooled)
        gram = self.pooled.new_zeros(n_channels, N_KNOTS, N_KNOTS)
        right = self.pooled.new_zeros(n_channels, N_KNOTS)
        for batch in batches:
            error, anchored = self._error(batch)
            hats = _hats(anchored.age) * batch.observed[..., None]
            gram += torch.einsum("bqck,bqcl->ckl", hats, hats)
            right += torch.einsum("bqck,bqc->ck", hats, torch.log(error + 0.01))
        bend = torch.diff(torch.eye(N_KNOTS), n=2, dim=0).to(gram)
        level = 1e-3 * torch.eye(N_KNOTS).to(gram)
        fitted = torch.linalg.solve(gram + SMOOTHING * bend.T @ bend + level, right)
        counts = gram.sum(-1)
        self.log_spread.copy_(held_slopes(fitted, counts) - MEAN_LOG_ABS_NORMAL)

    def forward(self, batch: Batch) -> Anchored:
        """Level, scale, base and spread of every window."""
        count, mean, variance = moments(batch)
        value, age = nearest(batch)
        scale = self._scale(count, variance)
        known = count > 0
        if self.local:
            level = torch.where(known, _last(batch), torch.zeros_like(mean))
        else:
            level = count * mean / (count + self.prior)
            level = torch.where(known, level, torch.zeros_like(mean))
        value = torch.where(known[:, None], value, level[:, None])
        keep = torch.exp(-age * torch.exp(-self.log_decay))
        base = level[:, None] + keep * (value - level[:, None])
        if self.local:
            centre = count * mean / (count + 1e-6)
            base = centre[:, None] + keep * (value - centre[:, None])
        growth = torch.exp((_hats(age) * self.log_spread).sum(-1))
        return Anchored(level, scale, base, scale[:, None] * growth, age)

    def _scale(self, count: Tensor, variance: Tensor) -> Tensor:
        """Scale of every window and channel, (batch, channels)."""
        if self.common_scale:
            return self.pooled.sqrt().expand_as(variance)
        return ((count * variance + SCALE_PRIOR * self.pooled) / (count + SCALE_PRIOR)).sqrt()

    def clipped(self, level: Tensor) -> Tensor:
        """The level within what training saw, so that a drift leads nowhere unknown."""
        return torch.minimum(torch.maximum(level, self.lowest), self.highest)


def held_slopes(fitted: Tensor, counts: Tensor) -> Tensor:
    """Logarithms of errors without slopes that go on to ages of which hardly anything was seen.

    Towards age 0 the error does not grow. Beyond the longest ages neither does it shrink, nor grow
    faster than the root of the age, as that of a random walk.

    Parameters
    ----------
    fitted : Tensor of shape (channels, N_KNOTS)
        At the knots of the log age.
    counts : Tensor of shape (channels, N_KNOTS)
        How many queries were near each.

    Returns
    -------
    Tensor of shape (channels, N_KNOTS)
    """
    share = counts.cumsum(1) / counts.sum(1, keepdim=True).clamp(min=1e-9)
    knots = torch.arange(N_KNOTS, device=counts.device)
    first = (share < TAIL).sum(1, keepdim=True).clamp(max=N_KNOTS - 1)
    last = (share < 1 - TAIL).sum(1, keepdim=True).clamp(max=N_KNOTS - 1)
    at_first, at_last = fitted.gather(1, first), fitted.gather(1, last)
    most = at_last + KNOT_STEP / 2 * (knots - last)
    early = torch.where(knots < first, torch.minimum(fitted, at_first), fitted)
    return torch.where(knots > last, torch.minimum(torch.maximum(early, at_last), most), early)


def _hats(age: Tensor) -> Tensor:
    """Weights of the two nearest knots of the log age, shape (..., N_KNOTS); they sum to one."""
    place = (torch.log(age.clamp(min=1e-9)) - LOWEST_KNOT) / KNOT_STEP
    place = place.clamp(0, N_KNOTS - 1)[..., None]
    return (1 - (place - torch.arange(N_KNOTS, device=age.device)).abs()).clamp(min=0)


def moments(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Count, mean and variance of what each window sees, each (batch, channels)."""
    count = sum(s.mask.sum(1) for s in batch.sides())
    total = sum((s.mask * s.values).sum(1) for s in batch.sides())
    count, total = torch.as_tensor(count), torch.as_tensor(total)
    mean = total / count.clamp(min=1)
    square = sum((s.mask * (s.values - mean[:, None]) ** 2).sum(1) for s in batch.sides())
    return count, mean, torch.as_tensor(square) / count.clamp(min=1)


def _side_nearest(side: Side) -> tuple[Tensor, Tensor]:
    """Value next to the query on a side and its age; a long age where nothing is known."""
    known = side.lag_mask[:, None, :, 0] > 0
    age = side.lead[..., None] + side.lag_ages[:, None, :, 0]
    age = torch.where(known, age.clamp(max=LONG_AGE), torch.full_like(age, LONG_AGE))
    return side.lags[:, None, :, 0].expand_as(age), age


def nearest(batch: Batch) -> tuple[Tensor, Tensor]:
    """Value at the query by the straight line between the nearest ones, and its age."""
    value, age = _side_nearest(batch.left)
    if batch.right is None:
        return value, age
    other, other_age = _side_nearest(batch.right)
    known = batch.left.lag_mask[:, None, :, 0] > 0
    other_known = batch.right.lag_mask[:, None, :, 0] > 0
    total = age + other_age + 1e-9
    line = (other_age * value + age * other) / total
    both = age * other_age / total
    value = torch.where(known & other_known, line, torch.where(known, value, other))
    age = torch.where(known & other_known, both, torch.where(known, age, other_age))
    return value, age


def _last(batch: Batch) -> Tensor:
    """The value next to the queries, the mean of both sides where both are known."""
    weight = sum(s.lag_mask[..., 0] for s in batch.sides())
    total = sum(s.lags[..., 0] for s in batch.sides())
    return torch.as_tensor(total) / torch.as_tensor(weight).clamp(min=1)


def _variance(values: Tensor, chosen: Tensor) -> Tensor:
    """Variance of the chosen values per channel."""
    n = chosen.sum(0).clamp(min=1)
    mean = (values * chosen).sum(0) / n
    return ((values - mean) ** 2 * chosen).sum(0) / n


def _quantile(values: Tensor, chosen: Tensor, level: float) -> Tensor:
    """Quantile of the chosen values per channel; NaN-free."""
    masked = torch.where(chosen, values, torch.full_like(values, float("nan")))
    return torch.nanquantile(masked, level, dim=0).nan_to_num()


def _total(errors: Sequence[Tensor]) -> Tensor:
    """Sum over windows and queries."""
    return torch.stack([e.sum((0, 1)) for e in errors]).sum(0)
