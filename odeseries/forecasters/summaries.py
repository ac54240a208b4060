"""What was seen of every channel of a window, in a few numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from odeseries.anchoring import moments
from odeseries.windows import Batch

__all__ = ["N_SUMMARIES", "summaries"]

N_SUMMARIES = 8
CLIP = 10.0
SMALL = 0.1


def summaries(batch: Batch) -> Tensor:
    """Summaries of what is seen of all channels, whatever is asked.

    Of every channel the last and the first value, mean, least and largest value, the logarithms of
    spread and number of values, and whether there are any.

    Returns
    -------
    Tensor of float64, shape (batch, 8 n_channels)
        One summary of all channels after another; 0 where nothing is seen.
    """
    count, mean, variance = moments(batch)
    known = count > 0
    values = torch.cat([side.values for side in batch.sides()], 1)
    mask = torch.cat([side.mask for side in batch.sides()], 1) > 0
    least = torch.where(mask, values, torch.inf).amin(1)
    largest = torch.where(mask, values, -torch.inf).amax(1)
    each = [
        _last(batch),
        _first(batch),
        mean,
        least,
        largest,
        torch.log(variance.clamp(min=0).sqrt() + SMALL),
    ]
    shown = [torch.where(known, part, 0.0).clamp(-CLIP, CLIP) for part in each]
    return torch.cat([*shown, torch.log1p(count), known.to(count)], 1).double()


def _last(batch: Batch) -> Tensor:
    """The value before the queries, or the one after them where nothing lies before."""
    value, seen = batch.left.lags[..., 0], batch.left.lag_mask[..., 0] > 0
    if batch.right is None:
        return value
    return torch.where(seen, value, batch.right.lags[..., 0])


def _first(batch: Batch) -> Tensor:
    """The earliest value that is read of every channel, of the side that is read to the queries."""
    side = batch.left
    row = side.mask.argmax(1, keepdim=True)
    return side.values.gather(1, row)[:, 0]
