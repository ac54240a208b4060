"""Observed rows of all series, and what becomes of equal stamps."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from odeseries.errors import DataError
from odeseries.frames.layout import ANONYMOUS
from odeseries.frames.stamps import Stamps
from odeseries.panel import Float64, Int64

__all__ = ["RULES", "Rows", "merge_equal_stamps"]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of measured values or of inputs; ``codes`` numbers their series."""

    ids: tuple[Hashable, ...]
    channels: tuple[Hashable, ...]
    codes: Int64
    stamps: Stamps
    when: pd.Index
    values: Float64

    def take(self, rows: Int64) -> Rows:
        """The rows at some positions."""
        return Rows(
            self.ids,
            self.channels,
            self.codes[rows],
            self.stamps.take(rows),
            self.when[rows],
            self.values[rows],
        )

    def observed(self) -> Rows:
        """The rows in which anything was observed."""
        return self.take(np.flatnonzero(~np.isnan(self.values).all(axis=1)))

    def sorted(self) -> Rows:
        """Rows by series and time; equal stamps stay in the order given."""
        return self.take(np.lexsort((self.stamps.ticks, self.codes)))

    def label(self, row: int) -> str:
        """Series and time of a row, for messages."""
        who = self.ids[self.codes[row]]
        series = "" if who is ANONYMOUS else f"series {who!r}, "
        return f"{series}time {self.when[row]}"


def merge_equal_stamps(rows: Rows, starts: Int64, duplicates: str) -> Float64:
    """Values of one row for each run of equal stamps.

    Parameters
    ----------
    rows : Rows
        Sorted rows.
    starts : ndarray of int64, shape (n_runs,)
        First row of each run.
    duplicates : {"error", "mean", "last"}
        What to do with a channel that has different values within a run.

    Returns
    -------
    ndarray of float64, shape (n_runs, n_channels)

    Raises
    ------
    DataError
        If the values differ and the rule is "error".
    """
    low = np.fmin.reduceat(rows.values, starts, axis=0)
    high = np.fmax.reduceat(rows.values, starts, axis=0)
    conflict = low < high
    return np.where(conflict, RULES[duplicates](rows, starts, conflict), low)


def _refuse(rows: Rows, starts: Int64, conflict: Bools) -> Float64:
    found = np.argwhere(conflict)
    if len(found):
        run, channel = found[0]
        first = int(starts[run])
        end = starts[run + 1] if run + 1 < len(starts) else len(rows.values)
        column = rows.values[first:end, channel]
        one = column[~np.isnan(column)][0]
        other = column[~np.isnan(column) & (column != one)][0]
        raise DataError(
            f"Column {rows.channels[channel]!r} has two values at one time: {one} and {other} "
            f"({rows.label(first)}), the first of {len(found)} such conflicts. Remove one, or "
            'choose duplicates="mean" or duplicates="last".'
        )
    return np.zeros(conflict.shape)


def _mean(rows: Rows, starts: Int64, conflict: Bools) -> Float64:
    del conflict
    observed = ~np.isnan(rows.values)
    count = np.add.reduceat(observed.astype(np.int64), starts, axis=0)
    lengths = np.diff(np.append(starts, len(rows.values)))
    shares = np.nan_to_num(rows.values) / np.repeat(np.maximum(count, 1), lengths, axis=0)
    return np.asarray(np.add.reduceat(shares, starts, axis=0), dtype=np.float64)


def _last(rows: Rows, starts: Int64, conflict: Bools) -> Float64:
    del conflict
    row = np.arange(len(rows.values))[:, None]
    last = np.maximum.reduceat(np.where(np.isnan(rows.values), -1, row), starts, axis=0)
    return np.take_along_axis(rows.values, last, axis=0)


RULES: dict[str, Callable[[Rows, Int64, Bools], Float64]] = {
    "error": _refuse,
    "mean": _mean,
    "last": _last,
}
