"""What trees see of every query of forecasts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from odeseries.anchoring import moments, nearest
from odeseries.forecasters.baseline_network import is_between
from odeseries.forecasters.summaries import summaries
from odeseries.windows import Batch

__all__ = ["Columns", "Examples", "drawn", "is_ahead"]


def is_ahead(batch: Batch) -> Tensor:
    """Which windows are forecasts, (batch,)."""
    return batch.left.present & ~is_between(batch)


def drawn(n: int, most: int, seed: int) -> Tensor:
    """Positions of n examples; of more than there may be, some at random, in their order."""
    if n <= most:
        return torch.arange(n)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n, generator=generator)[:most].sort().values


class Columns:
    """What trees see of every query of forecasts, channel by channel.

    Of the channel: the lagged values and the mean, relative to the last value, with their ages and
    the spread; seasonal values, relative to it; it, and its age. Of all channels: the last values,
    the last changes and their ages, and summaries if they are asked for. Lead, phases and known
    inputs.

    Parameters
    ----------
    batch : Batch
        Forecasts alone.
    with_summaries : bool
        Whether summaries of all channels are among them.
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


class Examples:
    """The observed targets of forecasts, channel by channel.

    Parameters
    ----------
    batches : sequence of Batch
        Windows of any kind.
    with_summaries : bool
        As `Columns` take it.

    Attributes
    ----------
    batches : list of Batch
        The forecasts among them.
    """

    def __init__(self, batches: Sequence[Batch], *, with_summaries: bool) -> None:
        ahead = [batch.take(is_ahead(batch)) for batch in batches]
        self.batches = [batch for batch in ahead if len(batch.asked)]
        self._columns = [Columns(b, with_summaries=with_summaries) for b in self.batches]

    def columns(self, channel: int) -> Tensor:
        """What is seen of the channel's targets, (n, n_columns)."""
        return self._joined(channel, [of(channel) for of in self._columns])

    def values(self, channel: int, values: Sequence[Tensor]) -> Tensor:
        """Of values (batch, n_queries, channels), those at the channel's targets, (n,)."""
        return self._joined(channel, [each[..., channel] for each in values])

    def _joined(self, channel: int, parts: Sequence[Tensor]) -> Tensor:
        """What belongs to observed targets of a channel."""
        seen = [batch.observed[..., channel] > 0 for batch in self.batches]
        return torch.cat([part[mask] for part, mask in zip(parts, seen, strict=True)])
