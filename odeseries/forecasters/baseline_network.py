"""Simple forecasts in the form of a network: nothing is trained, all is found in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from odeseries.anchoring import moments, nearest
from odeseries.forecasters.across import Across
from odeseries.forecasters.error_table import ErrorTable
from odeseries.forecasters.parts import make_sizes
from odeseries.forecasters.regression import CLIP, Regression, n_different, standardised
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

BINS = {"climatology": (1, 1), "channels": (8, 3)}
"""In which errors are told apart, of the guess and of the age, at most."""
BY_AGE = (1, 6)
"""The same of all other methods."""
FADES = (0.05, 0.4)
"""Times, in horizons, in which what is known now loses its weight."""
MANY_WINDOWS = 16384
"""For a regression on all channels, whose columns are hundreds if they are dozens."""
TARGETS_PER_COLUMN = 3
"""Fewer than these are not enough for a regression."""
FEWEST_DIFFERENT = 20
"""Different examples, however often each is drawn."""


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
        self.errors = ErrorTable(n_channels, *BINS.get(method, BY_AGE))
        shape = (n_channels, n_columns)
        self.register_buffer("weights", torch.zeros(n_channels, n_columns + 1, dtype=torch.float64))
        self.register_buffer("bounds", torch.zeros(n_channels, 2, dtype=torch.float64))
        self.register_buffer("centre", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("size", torch.ones(shape, dtype=torch.float64))

    @torch.no_grad()
    def start(self, batches: Sequence[Batch]) -> None:
        """Fit the regression, then the quantiles of the errors."""
        if self.method in REGRESSED:
            for channel in range(len(self.weights)):
                self._regress(channel, batches)
        if self.across is not None:
            self._regress_across(self.across, batches)
        guesses = [self.guess(batch) for batch in batches]
        for channel in range(len(self.weights)):
            parts = [errors_of(channel, *one) for one in zip(batches, guesses, strict=True)]
            self.tabulate(channel, parts)

    @torch.no_grad()
    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """The guess and the quantiles of its errors, by age and, of some methods, by guess."""
        guess, age = self.guess(batch)
        errors = self.errors.quantiles(guess, age, levels)
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
        columns, left, ages = [], [], []
        for batch in batches:
            seen = (batch.observed[..., channel] > 0) & ~is_between(batch)[:, None]
            value, age = nearest(batch)
            columns.append(_design(batch, slice(channel, channel + 1))[..., 0, :][seen])
            left.append((batch.targets - value)[..., channel][seen].double())
            ages.append(age[..., channel][seen].double())
        x, y = torch.cat(columns), torch.cat(left)
        if len(y) < TARGETS_PER_COLUMN * x.shape[1] or n_different(x, y) < FEWEST_DIFFERENT:
            return
        found = Regression.fitted(x, y, torch.cat(ages))
        if found is not None:
            self.centre[channel], self.size[channel] = found.centre, found.size
            self.bounds[channel], self.weights[channel] = found.bounds, found.weights

    def _regress_across(self, across: Across, batches: Sequence[Batch]) -> None:
        """Regress what is left on what all channels of a window tell."""
        errors = [batch.targets - self.guess(batch)[0] for batch in batches]
        seen = [(b.observed > 0) & ~is_between(b)[:, None, None] for b in batches]
        across.fit(batches, errors, seen)

    def tabulate(self, channel: int, parts: Sequence[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Take guesses, ages and errors (n,) of a channel into the table."""
        self.errors.take(channel, *(torch.cat(part) for part in zip(*parts, strict=True)))


def n_features(spec: Spec, n_lags: int) -> int:
    """Columns of the regression."""
    sizes = make_sizes(spec, n_lags, 1)
    faded = sizes.n_lags + 1 + sizes.n_seasonal
    return faded * (1 + len(FADES)) + sizes.n_query_phases + sizes.n_inputs + 1


def errors_of(
    channel: int, batch: Batch, guesses: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Guesses, ages and errors of the observed targets of a channel, (n,) each."""
    guess, age = (each[..., channel] for each in guesses)
    seen = batch.observed[..., channel] > 0
    return guess[seen], age[seen], (batch.targets[..., channel] - guess)[seen]


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


REGRESSED = ("lags", "channels")
METHODS = ("climatology", "last", "mean", *REGRESSED)
