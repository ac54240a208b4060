"""The one data structure inside: a ragged panel of irregular, partly observed series."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["Float64", "Int64", "Panel"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

NORMAL_QUARTILES = 1.349
"""Distance of the quartiles of a normal distribution in its standard deviations."""
CONSTANT = 1e-9
"""Deviation of a constant, as a share of its largest value."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Series of different lengths, stored one after another.

    Rows are ordered by series and time; a row in which nothing was observed is not stored.

    Attributes
    ----------
    ids : tuple of hashable, length n_series
        Labels of the series.
    channels : tuple of hashable, length n_channels
        Labels of the channels.
    offsets : ndarray of int64, shape (n_series + 1,)
        The rows of series ``i`` are ``offsets[i]:offsets[i + 1]``.
    origins : ndarray of float64, shape (n_series,)
        First stamp of each series, relative to the clock's reference, in clock units
        (seconds for dates).
    times : ndarray of float64, shape (n_rows,)
        Stamps relative to the origin of their series, in clock units; never decreasing.
    values : ndarray of float64, shape (n_rows, n_channels)
        NaN is "not observed".
    n_past : int
        The last so many channels are inputs that are seen, but never forecast.
    inputs : Panel or None
        Known inputs of the same series, relative to the same origins, also at times at which
        nothing was observed; its times may be negative.
    """

    ids: tuple[Hashable, ...]
    channels: tuple[Hashable, ...]
    offsets: Int64
    origins: Float64
    times: Float64
    values: Float64
    n_past: int = 0
    inputs: Panel | None = None

    def __len__(self) -> int:
        """Number of series."""
        return len(self.ids)

    @property
    def n_rows(self) -> int:
        """Number of stored rows over all series."""
        return len(self.times)

    @property
    def n_targets(self) -> int:
        """Number of channels to be forecast; they come first."""
        return len(self.channels) - self.n_past

    def rows(self, i: int) -> slice:
        """The rows of series ``i``."""
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def series(self, i: int) -> tuple[Float64, Float64]:
        """Times of shape (rows,) and values of shape (rows, channels) of series ``i``."""
        rows = self.rows(i)
        return self.times[rows], self.values[rows]

    def __iter__(self) -> Iterator[tuple[Float64, Float64]]:
        """Times and values of one series after another."""
        return (self.series(i) for i in range(len(self)))

    def owners(self) -> Int64:
        """Position of the series of every row, shape (n_rows,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def deviations(self) -> tuple[Float64, Float64]:
        """Counts of values and their deviations, (n_series, n_channels); 0 for constants.

        Deviations are told from the quartiles, which few wild values don't move.
        """
        largest = np.maximum(np.nanmax(np.abs(self.values), axis=0, initial=0.0), 1e-300)
        frame, owner = pd.DataFrame(self.values / largest), self.owners()
        groups = frame.groupby(owner)
        everyone = range(len(self))
        counts = groups.count().reindex(everyone, fill_value=0).to_numpy(dtype=np.float64)
        quartiles = groups.quantile(0.75) - groups.quantile(0.25)
        deviations = quartiles.reindex(everyone).fillna(0.0).to_numpy() / NORMAL_QUARTILES
        farthest = frame.abs().groupby(owner).max().reindex(everyone).fillna(0.0).to_numpy()
        return counts, largest * np.where(deviations > CONSTANT * farthest, deviations, 0.0)

    def spans(self) -> Float64:
        """Time from the first to the last row of each series, shape (n_series,)."""
        last = np.array([t[-1] if len(t) else 0.0 for t, _ in self], dtype=np.float64)
        return last

    def select(self, chosen: Sequence[int] | Int64) -> Panel:
        """The panel of some series, in the order given."""
        chosen = np.asarray(chosen, dtype=np.int64)
        lengths = np.diff(self.offsets)[chosen]
        rows = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in chosen]
        flat = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        return replace(
            self,
            ids=tuple(self.ids[i] for i in chosen),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            origins=self.origins[chosen],
            times=self.times[flat],
            values=self.values[flat],
            inputs=None if self.inputs is None else self.inputs.select(chosen),
        )

    def before(self, limits: Float64) -> Panel:
        """The rows whose time is at most ``limits[i]`` in series ``i``; series and inputs stay."""
        owner = self.owners()
        keep = self.times <= limits[owner]
        counts = np.bincount(owner[keep], minlength=len(self))
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            times=self.times[keep],
            values=self.values[keep],
        )

    def joined(self, other: Panel) -> Panel:
        """The series of this panel and then those of another one with the same channels."""
        return replace(
            self,
            ids=(*self.ids, *other.ids),
            offsets=np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            origins=np.concatenate([self.origins, other.origins]),
            times=np.concatenate([self.times, other.times]),
            values=np.concatenate([self.values, other.values]),
            inputs=None
            if self.inputs is None or other.inputs is None
            else self.inputs.joined(other.inputs),
        )

    def at(self, series: Int64, times: Float64) -> Float64:
        """Values at any times, shape (n, n_channels).

        Between two observations of a channel they are interpolated linearly, before the first
        and after the last one they are held; NaN where the channel was never observed.
        """
        out = np.full((len(times), len(self.channels)), np.nan)
        for i in np.unique(series):
            asked = series == i
            known, values = self.series(int(i))
            for c in range(len(self.channels)):
                seen = np.isfinite(values[:, c])
                if seen.any():
                    out[asked, c] = np.interp(times[asked], known[seen], values[seen, c])
        return out
