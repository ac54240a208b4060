"""From a panel to padded batches: what lies before a query, what lies after it, and the query.

A query between two observations is asked from both sides. The side after it is read backwards,
as the side before it is read forwards, so that one encoder and one flow serve forecasts,
backcasts and interpolations. All times are in units of the horizon, all values standardised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from odeseries.knots import Knots
from odeseries.panel import Float64, Int64, Panel
from odeseries.seasonality import harmonics
from odeseries.seasons import N_SEASONS, seasons_of
from odeseries.thinning import thinned

__all__ = ["Batch", "Loader", "Side", "Windows"]

Bool = npt.NDArray[np.bool_]
_T = TypeVar("_T", "Batch", "Side")


@dataclass(frozen=True, eq=False)
class Windows:
    """Queries with the rows that may be seen, one window a line.

    Attributes
    ----------
    series : ndarray of int64, shape (n,)
        Series of each window.
    left, right : ndarray of int64, shape (n,)
        Rows of the panel before ``left`` and from ``right`` on may be seen.
    right_end : ndarray of int64, shape (n,)
        End of the rows after the query; equal to ``right`` where none may be seen.
    times : ndarray of float64, shape (n, n_queries)
        Times asked for, relative to the origin of the series, padded by repetition.
    rows : ndarray of int64, shape (n, n_queries)
        Rows of the targets in the panel, or -1 (padding, and queries without a target).
    counts : ndarray of int64, shape (n,)
        Number of queries of each window.
    asked : ndarray of int64, shape (n, n_queries)
        Which of the queries that were asked for stands here; 0 at padding and in training.
    """

    series: Int64
    left: Int64
    right: Int64
    right_end: Int64
    times: Float64
    rows: Int64
    counts: Int64
    asked: Int64

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.series)

    def take(self, chosen: Int64) -> Windows:
        """Some of the windows."""
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    @classmethod
    def build(
        cls,
        bounds: Sequence[tuple[int, int, int, int]],
        times: Sequence[Float64],
        rows: Sequence[Int64] | None = None,
        asked: Sequence[Int64] | None = None,
    ) -> Windows:
        """Pad lists of ``(series, left, right, right_end)``, times, target rows and queries."""
        counts = np.array([len(t) for t in times], dtype=np.int64)
        width = int(counts.max(initial=1))
        padded = np.zeros((len(times), width))
        targets = np.full((len(times), width), -1, dtype=np.int64)
        queries = np.zeros((len(times), width), dtype=np.int64)
        for i, t in enumerate(times):
            padded[i, : len(t)] = t
            padded[i, len(t) :] = t[-1]
            if rows is not None:
                targets[i, : len(t)] = rows[i]
            if asked is not None:
                queries[i, : len(t)] = asked[i]
        series, left, right, right_end = np.array(bounds, dtype=np.int64).reshape(-1, 4).T
        return cls(series, left, right, right_end, padded, targets, counts, queries)


@dataclass(frozen=True, eq=False)
class Side:
    """The rows on one side of the queries, in reading order: towards the query.

    Attributes
    ----------
    present : Tensor of bool, shape (batch,)
        Whether there are any rows.
    length : Tensor of int64, shape (batch,)
        Number of rows, at least 1 (an absent side holds one empty row).
    gaps, ages : Tensor of shape (batch, rows)
        Time since the row read before, and from the row to the anchor (the last row read).
    values, mask : Tensor of shape (batch, rows, channels)
        Standardised values (0 where not observed) and whether they were observed.
    phases : Tensor of shape (batch, rows, n_phases)
        First harmonics of the periods.
    waves : Tensor of shape (batch, rows, n_waves)
        First harmonics of the periods that only encoders see.
    inputs : Tensor of shape (batch, rows, n_inputs)
        Known inputs, standardised.
    lead : Tensor of shape (batch, n_queries)
        Time from the anchor to the query, never negative.
    lags, lag_ages, lag_mask : Tensor of shape (batch, channels, n_lags)
        The values last observed per channel, the latest first, and their ages at the anchor.
    seasonal, seasonal_mask : Tensor of shape (batch, n_queries, channels, n_seasonal)
        The value one and two periods back, interpolated, for every period.
    backward : bool
        Whether the rows lie after the queries.
    knots, knot_mask : Tensor of shape (batch, n_knots)
        Increasing times, relative to the anchor, at which the inputs are known between the
        farthest row and the farthest query, and whether there is a knot.
    knot_inputs : Tensor of shape (batch, n_knots, n_inputs)
        Known inputs at the knots, standardised.
    """

    present: Tensor
    length: Tensor
    gaps: Tensor
    ages: Tensor
    values: Tensor
    mask: Tensor
    phases: Tensor
    waves: Tensor
    inputs: Tensor
    lead: Tensor
    lags: Tensor
    lag_ages: Tensor
    lag_mask: Tensor
    seasonal: Tensor
    seasonal_mask: Tensor
    backward: bool
    knots: Tensor
    knot_mask: Tensor
    knot_inputs: Tensor

    def at_anchor(self, rows: Tensor) -> Tensor:
        """The last read of what there is of every row, (batch, rows, n); shape (batch, n)."""
        last = (self.length - 1)[:, None, None].expand(-1, 1, rows.shape[-1])
        return rows.gather(1, last)[:, 0]


@dataclass(frozen=True, eq=False)
class Batch:
    """Padded windows.

    Attributes
    ----------
    left : Side
        What was observed before the queries.
    right : Side or None
        What was observed after them; None if no window of the batch may see anything there.
    phases : Tensor of shape (batch, n_queries, n_phases)
        Harmonics of the periods at the queries.
    inputs : Tensor of shape (batch, n_queries, n_inputs)
        Known inputs at the queries, standardised.
    asked : Tensor of bool, shape (batch, n_queries)
        False at padding.
    targets, observed : Tensor of shape (batch, n_queries, channels)
        Standardised truth (0 where not observed) and whether it was observed; what is never
        forecast counts as not observed.
    """

    left: Side
    right: Side | None
    phases: Tensor
    inputs: Tensor
    asked: Tensor
    targets: Tensor
    observed: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return _mapped(self, lambda tensor: tensor.to(device))

    def take(self, rows: Tensor) -> Batch:
        """Some of the windows, by their positions."""
        return _mapped(self, lambda tensor: tensor[rows])

    def mean_of_observed(self, each: Tensor) -> Tensor:
        """Mean over the observed targets of every window, (batch,), of what each target has."""
        return (each * self.observed).sum((1, 2)) / self.observed.sum((1, 2)).clamp(min=1)

    def sides(self) -> list[Side]:
        """The sides that hold rows."""
        return [self.left] if self.right is None else [self.left, self.right]


class Loader:
    """Cuts padded batches from a panel in model units.

    Parameters
    ----------
    panel : Panel
        In the units of a `Scaling`.
    periods : sequence of float
        Periods in units of the horizon.
    n_rows : int
        Most rows of a side.
    n_lags : int
        Lagged values per channel.
    n_harmonics : int
        Harmonics at the queries.
    inputs : ndarray of float64, shape (n_asked, n_inputs), optional
        Standardised known inputs of the queries that windows refer to; without them, those of
        the panel at the times of the queries are taken.
    encoder_periods : sequence of float
        Further periods, in units of the horizon, of which only the rows have phases.
    thinning : float
        Share of the rows of every side that are hidden at random.
    rng : numpy.random.Generator, optional
        Chooses the rows that are hidden; without it none are.
    """

    def __init__(
        self,
        panel: Panel,
        periods: Sequence[float],
        *,
        n_rows: int,
        n_lags: int,
        n_harmonics: int,
        inputs: Float64 | None = None,
        encoder_periods: Sequence[float] = (),
        thinning: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.panel, self.asked_inputs = panel, inputs
        self.encoder_periods = tuple(encoder_periods)
        self.thinning, self.rng = thinning, rng
        self.periods = tuple(periods)
        self.n_rows, self.n_lags, self.n_harmonics = n_rows, n_lags, n_harmonics
        self._observed: dict[tuple[int, int], tuple[Float64, Float64]] = {}
        self._targets = np.arange(len(panel.channels)) < panel.n_targets
        self._inputs = _row_inputs(panel)
        self._knots = Knots(panel.inputs)

    def batch(self, windows: Windows) -> Batch:
        """The batch of some windows."""
        left = self._side(windows, backward=False)
        two_sided = bool((windows.right_end > windows.right).any())
        right = self._side(windows, backward=True) if two_sided else None
        absolute = windows.times + self.panel.origins[windows.series, None]
        asked = np.arange(windows.times.shape[1]) < windows.counts[:, None]
        truth = self.panel.values[windows.rows]
        seen = np.isfinite(truth) & (windows.rows >= 0)[..., None] & self._targets
        return Batch(
            left=left,
            right=right,
            phases=_tensor(harmonics(absolute, self.periods, self.n_harmonics)),
            inputs=_tensor(self._query_inputs(windows)),
            asked=torch.from_numpy(asked),
            targets=_tensor(np.where(seen, truth, 0.0)),
            observed=_tensor(seen),
        )

    def _query_inputs(self, windows: Windows) -> Float64:
        """Known inputs at the queries, (batch, n_queries, n_inputs)."""
        if self.asked_inputs is None:
            return np.asarray(self._inputs[windows.rows])
        return np.asarray(self.asked_inputs[windows.asked])

    def _side(self, windows: Windows, *, backward: bool) -> Side:
        """One side, its rows from the farthest to the nearest one."""
        panel, sign = self.panel, -1.0 if backward else 1.0
        index, valid, hidden = self._read(windows, backward=backward)
        count = valid.sum(1)
        present = count > 0
        anchor_row = np.where(present, index[np.arange(len(index)), count - 1], 0)
        nearest = np.where(valid.any(1), panel.times[anchor_row], windows.times[:, 0])
        times = np.where(valid, panel.times[index], nearest[:, None])
        values = panel.values[index]
        mask = np.isfinite(values) & valid[..., None]
        values = np.where(mask, values, 0.0)
        ages = sign * (nearest[:, None] - times)
        lead = np.maximum(sign * (windows.times - nearest[:, None]), 0.0)
        lags, lag_ages, lag_mask = self._lags(values, mask, ages)
        seasonal = self._seasonal(windows, nearest, present, hidden, backward=backward)
        absolute = times + panel.origins[windows.series, None]
        phases, waves = (
            np.where(valid[..., None], harmonics(absolute, periods, 1), 0.0)
            for periods in (self.periods, self.encoder_periods)
        )
        reach = np.concatenate([times, windows.times, self._next(windows)], 1)
        knots, knot_inputs, knot_mask = self._knots.within(
            windows.series, reach.min(1), reach.max(1)
        )
        return Side(
            present=torch.from_numpy(present),
            length=torch.from_numpy(np.maximum(count, 1)),
            gaps=_tensor(np.where(valid, -np.diff(ages, axis=1, prepend=ages[:, :1]), 0.0)),
            ages=_tensor(np.where(valid, ages, 0.0)),
            values=_tensor(values),
            mask=_tensor(mask),
            phases=_tensor(phases),
            waves=_tensor(waves),
            inputs=_tensor(np.where(valid[..., None], self._inputs[index], 0.0)),
            lead=_tensor(lead),
            lags=_tensor(lags),
            lag_ages=_tensor(lag_ages),
            lag_mask=_tensor(lag_mask),
            seasonal=_tensor(np.nan_to_num(seasonal)),
            seasonal_mask=_tensor(np.isfinite(seasonal)),
            backward=backward,
            knots=_tensor(np.where(knot_mask, knots - nearest[:, None], 0.0)),
            knot_mask=torch.from_numpy(knot_mask),
            knot_inputs=_tensor(knot_inputs),
        )

    def _read(self, windows: Windows, *, backward: bool) -> tuple[Int64, Bool, Float64 | None]:
        """Rows of a side in reading order, which of them there are, and the times hidden there.

        Where some are hidden, reading begins so much farther away that as many can be read.
        """
        thinning = 0.0 if self.rng is None else self.thinning
        most = round(self.n_rows / (1 - thinning))
        if backward:
            count = np.minimum(windows.right_end - windows.right, most)
        else:
            count = np.minimum(windows.left - self.panel.offsets[windows.series], most)
        steps = np.arange(max(int(count.max(initial=1)), 1))
        valid = steps < count[:, None]
        if backward:
            index = windows.right[:, None] + count[:, None] - 1 - steps
        else:
            index = windows.left[:, None] - count[:, None] + steps
        index = np.where(valid, index, 0)
        if self.rng is None or thinning == 0:
            return index, valid, None
        kept, there, hidden, away = thinned(count, thinning, self.rng)
        line = np.arange(len(index))[:, None]
        times = np.where(away, self.panel.times[index[line, hidden]], np.nan)
        return np.where(there, index[line, kept], 0), there, times

    def _next(self, windows: Windows) -> Float64:
        """Time of the first row seen after the queries, else of the first query; (batch, 1)."""
        seen = windows.right_end > windows.right
        row = np.where(seen, windows.right, 0)
        return np.asarray(np.where(seen, self.panel.times[row], windows.times[:, 0])[:, None])

    def _lags(self, values: Float64, mask: Bool, ages: Float64) -> tuple[Float64, Float64, Bool]:
        """The values last read per channel, the latest first, each (batch, channels, n_lags)."""
        order = np.where(mask, np.arange(mask.shape[1])[:, None], -1)
        latest = -np.sort(-order, axis=1)[:, : self.n_lags]
        missing = self.n_lags - latest.shape[1]
        latest = np.pad(latest, ((0, 0), (0, missing), (0, 0)), constant_values=-1)
        known = latest >= 0
        index = np.maximum(latest, 0)
        lags = np.where(known, np.take_along_axis(values, index, 1), 0.0)
        old = np.broadcast_to(ages[..., None], values.shape)
        lag_ages = np.where(known, np.take_along_axis(old, index, 1), 0.0)
        return lags.swapaxes(1, 2), lag_ages.swapaxes(1, 2), known.swapaxes(1, 2)

    def _seasonal(
        self,
        windows: Windows,
        nearest: Float64,
        present: Bool,
        hidden: Float64 | None,
        *,
        backward: bool,
    ) -> Float64:
        """Interpolated values whole periods away from the queries; NaN where nothing is known."""
        channels = self.panel.values.shape[1]
        shape = (*windows.times.shape, channels, N_SEASONS * len(self.periods))
        out = np.full(shape, np.nan)
        for i in np.flatnonzero(present) if self.periods else ():
            for c in range(channels):
                times, values = self._seen(int(windows.series[i]), c, nearest[i], backward)
                if hidden is not None:
                    kept = ~np.isin(times, hidden[i])
                    times, values = times[kept], values[kept]
                if len(times):
                    args = (windows.times[i], nearest[i], times, values, self.periods)
                    out[i, :, c] = seasons_of(*args)
        return out

    def _seen(
        self, series: int, channel: int, nearest: float, backward: bool
    ) -> tuple[Float64, Float64]:
        """Observed times and values of a channel up to the anchor, or from it on."""
        if (series, channel) not in self._observed:
            times, values = self.panel.series(series)
            known = np.isfinite(values[:, channel])
            self._observed[series, channel] = times[known], values[known, channel]
        times, values = self._observed[series, channel]
        if backward:
            start = int(np.searchsorted(times, nearest, "left"))
            return times[start:], values[start:]
        end = int(np.searchsorted(times, nearest, "right"))
        return times[:end], values[:end]


def _row_inputs(panel: Panel) -> Float64:
    """Known inputs at the rows of a panel, 0 (their mean) where they are not known at all."""
    if panel.inputs is None:
        return np.zeros((panel.n_rows, 0))
    owner = panel.owners()
    return np.nan_to_num(panel.inputs.at(owner, panel.times))


def _tensor(array: npt.NDArray[np.float64] | Bool) -> Tensor:
    """A float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _mapped(item: _T, change: Callable[[Tensor], Tensor]) -> _T:
    """The same with all tensors changed."""
    changed: dict[str, Any] = {}
    for f in fields(item):
        value = getattr(item, f.name)
        if isinstance(value, Tensor):
            changed[f.name] = change(value)
        elif isinstance(value, Side):
            changed[f.name] = _mapped(value, change)
    return replace(item, **changed)
