"""Simple forecasts in the form of a network: nothing is trained, all is found in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from odeseries.anchoring import moments, nearest
from odeseries.forecasters.across import Across
from odeseries.forecasters.parts import make_sizes
from odeseries.forecasters.regression import CLIP, Regression, standardised
from odeseries.metrics import LEVELS
from odeseries.model import ClosedForm
from odeseries.recipe import Spec
from odeseries.windows import Batch, Side

__all__ = [
    "MANY_WINDOWS",
    "METHODS",
    "REGRESSED",
    "BaselineNetwork",
    "errors_of",
    "is_between",
    "n_features",
]

TAILS = (0.001, 0.005)
TABLE = torch.tensor([*TAILS, *LEVELS, *(1 - p for p in reversed(TAILS))], dtype=torch.float64)
N_BINS = 6
PER_BIN = 80
FADES = (0.05, 0.4)
"""Times, in horizons, in which what is known now loses its weight."""
MANY_WINDOWS = 16384
"""For a regression on all channels, whose columns are hundreds if they are dozens."""
TARGETS_PER_COLUMN = 3
"""Fewer than these are not enough for a regression."""


class BaselineNetwork(ClosedForm):
    """A guess at the query, and the quantiles of its errors by the age of the last value.

    Parameters
    ----------
    method : {"climatology", "last", "mean", "lags", "channels"}
        The guess: the mean of all, the nearest value, the mean of what is seen, or the nearest
        value corrected by a ridge regression on lagged and seasonal values, by no more than in
        training, and, with "channels", by what the other ones tell. Between two observations the
        nearest value is the line through both, and it is not corrected.
    n_channels : int
        Channels.
    n_columns : int
        Columns of the regression, from `n_features`.
    """

    levels = tuple(LEVELS)

    ages: Tensor
    table: Tensor
    weights: Tensor
    bounds: Tensor
    centre: Tensor
    size: Tensor

    def __init__(self, method: str, n_channels: int, n_columns: int) -> None:
        super().__init__()
        self.method = method
        self.across = Across(n_channels) if method == "channels" else None
        if self.across is not None:
            self.n_start_windows = MANY_WINDOWS
        normal = torch.special.ndtri(TABLE).expand(n_channels, N_BINS, -1)
        self.register_buffer("ages", torch.zeros(n_channels, N_BINS, dtype=torch.float64))
        self.register_buffer("table", normal.clone())
        shape = (n_channels, n_columns)
        self.register_buffer("weights", torch.zeros(n_channels, n_columns + 1, dtype=torch.float64))
        self.register_buffer("bounds", torch.zeros(n_channels, 2, dtype=torch.float64))
        self.register_buffer("centre", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("size", torch.ones(shape, dtype=torch.float64))

    @torch.no_grad()
    def start(self, batches: Sequence[Batch]) -> None:
        """Fit the regression, then the quantiles of the errors."""
        if self.method in REGRESSED:
            for channel in range(len(self.table)):
                self._regress(channel, batches)
        if self.across is not None:
            self._regress_across(self.across, batches)
        guesses = [self.guess(batch) for batch in batches]
        for channel in range(len(self.table)):
            pairs = [errors_of(channel, *one) for one in zip(batches, guesses, strict=True)]
            self.tabulate(channel, pairs)

    @torch.no_grad()
    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """The guess and the quantiles of its errors at the age."""
        guess, age = self.guess(batch)
        rows = _interpolated(self.ages, self.table, age)
        place = torch.searchsorted(TABLE.to(levels.device), levels.double().contiguous())
        high = place.clamp(1, len(TABLE) - 1)
        known = TABLE.to(levels.device)
        share = (levels - known[high - 1]) / (known[high] - known[high - 1])
        share = share.clamp(0, 1)
        errors = rows[..., high - 1] + share * (rows[..., high] - rows[..., high - 1])
        return guess[..., None] + errors, age

    def guess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Guess and age at every query, (batch, n_queries, channels)."""
        value, age = nearest(batch)
        value, age = value.double(), age.double()
        if self.method == "climatology":
            return torch.zeros_like(value), age
        count, mean, _ = moments(batch)
        seen = (count > 0)[:, None].expand_as(value)
        if self.method == "mean":
            return torch.where(seen, mean[:, None].double().expand_as(value), 0.0), age
        value = torch.where(seen, value, 0.0)
        if self.method in REGRESSED:
            columns = standardised(_design(batch), self.centre, self.size)
            more = (columns * self.weights[:, 1:]).sum(-1) + self.weights[:, 0]
            more = more.clamp(self.bounds[:, 0], self.bounds[:, 1])
            if self.across is not None:
                more = more + self.across(batch)[:, None]
            value = torch.where(is_between(batch)[:, None, None], value, value + more)
        return value, age

    def _regress(self, channel: int, batches: Sequence[Batch]) -> None:
        """Ridge regression of what the nearest value leaves, its penalty by cross-validation."""
        columns, left = [], []
        for batch in batches:
            seen = (batch.observed[..., channel] > 0) & ~is_between(batch)[:, None]
            columns.append(_design(batch, slice(channel, channel + 1))[..., 0, :][seen])
            left.append((batch.targets - nearest(batch)[0])[..., channel][seen].double())
        x, y = torch.cat(columns), torch.cat(left)
        if len(y) < TARGETS_PER_COLUMN * x.shape[1]:
            return
        found = Regression.fitted(x, y)
        if found is not None:
            self.centre[channel], self.size[channel] = found.centre, found.size
            self.bounds[channel], self.weights[channel] = found.bounds, found.weights

    def _regress_across(self, across: Across, batches: Sequence[Batch]) -> None:
        """Regress what is left on what all channels of a window tell."""
        errors = [batch.targets - self.guess(batch)[0] for batch in batches]
        seen = [(b.observed > 0) & ~is_between(b)[:, None, None] for b in batches]
        across.fit(batches, errors, seen)

    def tabulate(self, channel: int, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Quantiles of a channel's errors in bins of the age, of ages and errors (n,)."""
        age, error = (torch.cat(part) for part in zip(*pairs, strict=True))
        if not len(error):
            return
        bins = 1 if self.method == "climatology" else min(N_BINS, max(len(age) // PER_BIN, 1))
        groups = age.argsort(stable=True).tensor_split(bins)
        levels = TABLE.to(error.device)
        for k in range(N_BINS):
            group = groups[min(k, bins - 1)]
            self.table[channel, k] = torch.quantile(error[group], levels)
            self.ages[channel, k] = age[group].median() + 1e-9 * k


def n_features(spec: Spec, n_lags: int) -> int:
    """Columns of the regression."""
    sizes = make_sizes(spec, n_lags, 1)
    faded = sizes.n_lags + 1 + sizes.n_seasonal
    return faded * (1 + len(FADES)) + sizes.n_query_phases + sizes.n_inputs + 1


def errors_of(channel: int, batch: Batch, guesses: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Ages and errors of the observed targets of a channel."""
    guess, age = guesses
    seen = batch.observed[..., channel] > 0
    return age[..., channel][seen], (batch.targets - guess)[..., channel][seen]


def _design(batch: Batch, chosen: slice = slice(None)) -> Tensor:
    """Columns of the regression of some channels, (batch, n_queries, channels, n_columns).

    Lagged and seasonal values and the mean of the window, relative to the nearest value, and that
    value itself, each with weights that fade with the age; harmonics and inputs at the query.
    """
    value, age = (x[..., chosen] for x in nearest(batch))
    count, mean, _ = (x[:, chosen] for x in moments(batch))
    known = (count > 0)[:, None, :, None]
    lags, mask = _of_sides(batch, lambda side: (side.lags[:, chosen], side.lag_mask[:, chosen]))
    centred = (lags - lags[..., :1]) * mask
    centred[..., 0] = mean - lags[..., 0]
    moving = centred[:, None].expand(*age.shape, -1)
    seasonal, seen = _of_sides(
        batch, lambda side: (side.seasonal[:, :, chosen], side.seasonal_mask[:, :, chosen])
    )
    moving = torch.cat([moving, (seasonal - value[..., None]) * seen, value[..., None]], -1)
    moving = (moving * known).clamp(-CLIP, CLIP)
    fades = [moving, *(moving * torch.exp(-age / time)[..., None] for time in FADES)]
    shared = torch.cat([batch.phases, batch.inputs.clamp(-CLIP, CLIP)], -1)
    shared = shared[:, :, None].expand(*age.shape, -1)
    return torch.cat([*fades, shared, torch.log1p(10 * age)[..., None]], -1).double()


def is_between(batch: Batch) -> Tensor:
    """Which windows are seen from both sides, (batch,)."""
    if batch.right is None:
        return torch.zeros_like(batch.left.present)
    return batch.left.present & batch.right.present


def _of_sides(batch: Batch, part: Callable[[Side], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """A part of the left side, or of the right one where nothing lies to the left."""
    values, mask = part(batch.left)
    if batch.right is None:
        return values, mask
    other, other_mask = part(batch.right)
    left = batch.left.present.reshape(-1, *[1] * (values.ndim - 1))
    return torch.where(left, values, other), torch.where(left, mask, other_mask)


def _interpolated(ages: Tensor, table: Tensor, age: Tensor) -> Tensor:
    """Rows of the tables (channels, bins, levels) at ages (batch, n_queries, channels)."""
    out = []
    for c in range(len(table)):
        at = age[..., c].contiguous()
        high = torch.searchsorted(ages[c], at).clamp(1, N_BINS - 1)
        low, gap = ages[c][high - 1], ages[c][high] - ages[c][high - 1]
        share = ((at - low) / gap).clamp(0, 1)[..., None]
        out.append(table[c][high - 1] * (1 - share) + table[c][high] * share)
    return torch.stack(out, -2)


REGRESSED = ("lags", "channels")
METHODS = ("climatology", "last", "mean", *REGRESSED)
