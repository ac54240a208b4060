"""Forecasts by forests of random trees, in the form of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from odeseries.anchoring import moments, nearest
from odeseries.forecasters.baseline_network import BaselineNetwork, is_between
from odeseries.forecasters.summaries import summaries
from odeseries.metrics import LEVELS
from odeseries.model import ClosedForm
from odeseries.trees import QuantileForest
from odeseries.windows import Batch

__all__ = ["ForestNetwork"]

FEWEST_TARGETS = 50
NUMBERS_PER_WINDOW = 10**8 / 2048
"""In the columns of all forests, so that hundreds of channels take minutes, not hours."""


class ForestNetwork(ClosedForm):
    """The nearest value, and a forest for each channel that foretells the change from it.

    For what lies between or before the observations, and for a channel with few targets, the
    nearest value has the errors that it had in training.

    Parameters
    ----------
    n_channels : int
        Channels.
    n_trees : int
        Trees of a forest.
    n_windows : int
        Windows that they are grown from, at most.
    with_summaries : bool
        Whether they see summaries of all channels.
    """

    levels = tuple(LEVELS)

    def __init__(
        self, n_channels: int, n_trees: int, n_windows: int, *, with_summaries: bool
    ) -> None:
        super().__init__()
        self.n_start_windows, self.with_summaries = n_windows, with_summaries
        self.last = BaselineNetwork("last", n_channels, 0)
        seeds = torch.randint(2**31 - 1, (n_channels,)).tolist()
        self.grown = nn.ModuleList(QuantileForest(n_trees, seed) for seed in seeds)

    @property
    def forests(self) -> list[QuantileForest]:
        """The forest of every channel."""
        return cast(list[QuantileForest], list(self.grown))

    @torch.no_grad()
    def start(self, batches: Sequence[Batch]) -> None:
        """Grow the forests."""
        self.last.start(batches)
        ahead = [batch.take(_is_ahead(batch)) for batch in batches]
        ahead = [batch for batch in ahead if len(batch.asked)]
        if not ahead:
            return
        columns, changes = [self._columns(b) for b in ahead], [self._changes(b) for b in ahead]
        numbers = NUMBERS_PER_WINDOW * self.n_start_windows
        for channel, forest in enumerate(self.forests):
            seen = [batch.observed[..., channel] > 0 for batch in ahead]
            x = torch.cat([of(channel)[s] for of, s in zip(columns, seen, strict=True)])
            y = torch.cat([of[..., channel][s] for of, s in zip(changes, seen, strict=True)])
            most = max(int(numbers // (x.shape[1] * len(self.grown))), FEWEST_TARGETS)
            if len(y) >= FEWEST_TARGETS:
                forest.fit(x[:most], y[:most])

    @torch.no_grad()
    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest value and the quantiles of its change."""
        found, age = self.last.quantiles(batch, levels)
        chosen = _is_ahead(batch)
        ahead = batch.take(chosen)
        if not len(ahead.asked):
            return found, age
        guess, columns = self.last.guess(ahead)[0], self._columns(ahead)
        better = found[chosen]
        for channel, forest in enumerate(self.forests):
            if forest.is_grown:
                change = forest.quantiles(columns(channel).flatten(0, 1), levels)
                shape = (*guess.shape[:2], len(levels))
                better[..., channel, :] = guess[..., channel, None] + change.reshape(shape)
        found[chosen] = better
        return found, age

    def _columns(self, batch: Batch) -> _Columns:
        """What the forests see."""
        return _Columns(batch, with_summaries=self.with_summaries)

    def _changes(self, batch: Batch) -> Tensor:
        """What the nearest value leaves, (batch, n_queries, channels)."""
        return batch.targets - self.last.guess(batch)[0]


def _is_ahead(batch: Batch) -> Tensor:
    """Which windows are forecasts, (batch,)."""
    return batch.left.present & ~is_between(batch)


class _Columns:
    """What the forests see of every query of forecasts, channel by channel.

    Of the channel: the lagged values and the mean, relative to the last value, with their ages and
    the spread; seasonal values, relative to it; it, and its age. Of all channels: the last values,
    the last changes and their ages, and summaries if they are asked for. Lead, phases and known
    inputs.
    """

    def __init__(self, batch: Batch, *, with_summaries: bool) -> None:
        side = batch.left
        count, mean, variance = moments(batch)
        value, age = nearest(batch)
        last = side.lags[..., 0] * side.lag_mask[..., 0]
        changes = (side.lags - side.lags[..., :1]) * side.lag_mask
        ages = side.lag_ages * side.lag_mask
        centre = ((mean - last) * (count > 0))[..., None]
        spread = torch.stack([variance.clamp(min=0).sqrt(), torch.log1p(count)], -1)
        self.own = torch.cat([centre, changes[..., 1:], ages, spread], -1)
        moving = (side.seasonal - value[..., None]) * side.seasonal_mask
        self.at = torch.cat([moving, value[..., None], age[..., None]], -1)
        asked = [side.lead[..., None], batch.phases, batch.inputs]
        if last.shape[1] > 1:
            others = torch.cat([last, -changes[..., 1:2].sum(-1), ages[..., 0]], -1)
            asked.append(others[:, None].expand(*side.lead.shape, -1))
        if with_summaries:
            told = summaries(batch).to(last)
            asked.append(told[:, None].expand(*side.lead.shape, -1))
        self.shared = torch.cat(asked, -1)

    def __call__(self, channel: int) -> Tensor:
        """Of a channel, (batch, n_queries, n_columns)."""
        own = self.own[:, None, channel].expand(*self.shared.shape[:2], -1)
        return torch.cat([own, self.at[..., channel, :], self.shared], -1)
