"""What a latent path is inferred from: the observations of a window beyond its anchor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from odeseries.windows import Batch, Side

__all__ = ["Evidence", "between", "gathered", "leads"]

NEAREST_ROWS = 8
LEAST_GAP = 1e-4
"""In horizons. Of observations that are closer one is taken: no path is smooth enough for both."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Observations in the order in which a path from the anchor comes to them.

    Attributes
    ----------
    times : Tensor of shape (batch, n)
        Rising times from the anchor, padded by repetition of the last one (0 if there is none).
    values, seen : Tensor of shape (batch, n, channels)
        Standardised values (0 where not observed), and whether they were observed.
    count : Tensor of int64, shape (batch,)
        Number of times that are not padding.
    """

    times: Tensor
    values: Tensor
    seen: Tensor
    count: Tensor

    @classmethod
    def sorted(cls, times: Tensor, values: Tensor, seen: Tensor) -> Evidence:
        """Sort observations by time, and drop those without a value or too close to another."""
        times = torch.where(seen.any(-1), times, torch.inf)
        order = times.argsort(dim=1, stable=True)
        times = times.gather(1, order)
        gap = times.diff(dim=1, prepend=torch.zeros_like(times[:, :1]))
        kept = torch.isfinite(times) & (gap >= LEAST_GAP)
        first = (~kept).long().argsort(dim=1, stable=True)
        count = kept.sum(1)
        width = max(int(count.max()), 1)
        first = first[:, :width]
        index = order.gather(1, first)
        valid = torch.arange(width, device=times.device) < count[:, None]
        times = torch.where(valid, times.gather(1, first), 0).cummax(1).values
        return cls(
            times,
            _picked(values, index) * valid[..., None],
            _picked(seen, index) & valid[..., None],
            count,
        )

    @property
    def valid(self) -> Tensor:
        """Which times are not padding, (batch, n)."""
        places = torch.arange(self.times.shape[1], device=self.times.device)
        return places < self.count[:, None]

    def knots(self) -> Tensor:
        """The anchor's time, 0, and then the others: (batch, n + 1)."""
        return functional.pad(self.times, (1, 0))

    def gaps(self) -> Tensor:
        """Time from the one before, (batch, n)."""
        return self.knots().diff(dim=1)


def gathered(batch: Batch) -> Evidence:
    """The evidence of each window.

    What was asked for, if rows of one side are seen; where both are, the nearest rows after the
    queries, from which an answer must be inferred when the truth is not known.
    """
    times, seen = leads(batch), (batch.observed > 0) & batch.asked[..., None]
    if batch.right is None:
        return Evidence.sorted(times, batch.targets, seen)
    both = between(batch)
    after = _nearest_rows(batch.right)
    reached = (batch.left.lead + batch.right.lead)[:, :1] + after[0]
    return Evidence.sorted(
        torch.cat([times, reached], 1),
        torch.cat([batch.targets, after[1]], 1),
        torch.cat([seen & ~both[:, None, None], after[2] & both[:, None, None]], 1),
    )


def between(batch: Batch) -> Tensor:
    """Whether rows on both sides of the queries are seen, (batch,)."""
    if batch.right is None:
        return torch.zeros_like(batch.left.present)
    return batch.left.present & batch.right.present


def leads(batch: Batch) -> Tensor:
    """Times from the anchor to the queries: the last row before them, or the first one after."""
    if batch.right is None:
        return batch.left.lead
    return torch.where(batch.left.present[:, None], batch.left.lead, batch.right.lead)


def _nearest_rows(side: Side) -> tuple[Tensor, Tensor, Tensor]:
    """Ages, values and mask of the rows next to the queries, the nearest first."""
    index = side.length[:, None] - 1 - torch.arange(NEAREST_ROWS, device=side.length.device)
    there = (index >= 0)[..., None]
    index = index.clamp(min=0)
    mask = (_picked(side.mask, index) > 0) & there
    return side.ages.gather(1, index), _picked(side.values, index), mask


def _picked(table: Tensor, index: Tensor) -> Tensor:
    """Rows ``table[b, index[b, i]]``."""
    return table.gather(1, index[..., None].expand(-1, -1, table.shape[-1]))
