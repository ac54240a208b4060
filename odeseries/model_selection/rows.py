"""The rows of a data set: time, series, and whether anything was observed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from odeseries.arguments import is_whole
from odeseries.errors import DataError
from odeseries.frames import Clock
from odeseries.frames.foreign import as_pandas
from odeseries.frames.layout import lay_out, named, number_ids
from odeseries.frames.stamps import KIND_NAMES, LARGEST, Kind, read_stamps
from odeseries.panel import Int64

__all__ = ["Rows", "read_rows"]

Bools = npt.NDArray[np.bool_]

LONGEST = LARGEST // 4
"""Of whole lengths, of which a few can be added to a time without an overflow."""
TEXT_OR_DATES = {"string", "datetime64", "datetime", "date", "timedelta64", "timedelta", "period"}
"""What pandas calls columns that no forecaster takes for values."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in the caller's order.

    Attributes
    ----------
    when : Index of length n_rows
        Times.
    who : Index of length n_rows or None
        Ids; None for one series without an id.
    codes : ndarray of int64, shape (n_rows,)
        Number of the series of each row.
    observed : ndarray of bool, shape (n_rows,)
        Whether any target was observed.
    values : DataFrame with n_rows rows
        The targets, and the past-only inputs if there are any.
    kind : {"datetime", "timedelta", "number"}
        What the times are.
    """

    when: pd.Index
    who: pd.Index | None
    codes: Int64
    observed: Bools
    values: pd.DataFrame
    kind: Kind

    @property
    def _whole(self) -> bool:
        """Whether times are whole numbers, of which floats tell large ones not apart."""
        return self.kind == "number" and self.when.dtype.kind == "i"

    def series_with(self, chosen: Bools) -> Bools:
        """Whether each row is of a series that has an observed row among the chosen ones."""
        n_series = int(self.codes.max(initial=-1)) + 1
        return np.bincount(self.codes[chosen & self.observed], minlength=n_series)[self.codes] > 0

    def length(self, value: object, name: str) -> Any:
        """A length of time, as what can be added to a time."""
        number = Clock(self.kind, 0, None).duration(value, name)  # refuses what is none
        if self.kind == "number":
            whole = is_whole(value) or (self._whole and number.is_integer())
            exact = whole and number < LONGEST
            return int(value) if exact else number  # type: ignore[call-overload]
        length, unit = pd.Timedelta(value), self.when.unit  # type: ignore[arg-type, attr-defined]
        coarse = length.as_unit(unit)
        return coarse if coarse == length else length

    def slack(self, horizon: Any, period: Any) -> Any:
        """What rounding may add to a time: nothing to dates and to whole numbers."""
        if self.kind != "number" or (self._whole and is_whole(horizon) and is_whole(period)):
            return 0 * horizon
        shorter = min(horizon, self.when.max() - self.when.min())
        return 1e-9 * shorter + 4 * np.spacing(np.abs(self.when).max())

    def upto(self, time: Any, slack: Any) -> Bools:
        """Whether each row lies at or before a time."""
        return np.asarray(self.when <= time + slack, dtype=bool)

    def snapped(self, time: Any, slack: Any) -> Any:
        """The last stamp that differs from a time by its rounding; the time itself otherwise."""
        if not slack:
            return time
        near = self.when[self.upto(time, slack) & ~self.upto(time - slack, 0)]
        return near.max() if len(near) else time

    def stamps(self, given: Sequence[Any] | pd.Index, name: str) -> pd.Index:
        """An index of times of the same kind and zone."""
        try:
            index = self._index(given)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name} can't be read as {KIND_NAMES[self.kind]}: {error}.") from error
        read_stamps(index, name)
        return index

    def _index(self, given: Sequence[Any] | pd.Index) -> pd.Index:
        if self.kind == "number":
            numbers: pd.Index = pd.Index(np.asarray(given))
            if not pd.api.types.is_any_real_numeric_dtype(numbers.dtype):
                raise TypeError(f"the first is {given[0]!r}")
            if self._whole and ((numbers % 1 == 0) & (np.abs(numbers) < LARGEST)).all():
                return numbers.astype(np.int64)
            return numbers
        if len(given) and pd.api.types.is_numeric_dtype(pd.Index(given).dtype):
            raise TypeError(f"the first, {given[0]}, is a number")
        if self.kind == "timedelta":
            return pd.TimedeltaIndex(given if isinstance(given, pd.Index) else list(given))
        dates = pd.DatetimeIndex(given if isinstance(given, pd.Index) else list(given))
        zone = self.when.tz  # type: ignore[attr-defined]
        if dates.tz is not None and zone is None:
            raise TypeError("they have a time zone, but the data have none")
        if dates.tz is not None or zone is None:
            return dates
        instants = dates.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
        none = np.flatnonzero(np.asarray(instants.isna()) & np.asarray(dates.notna()))
        if len(none):
            raise ValueError(
                f"{dates[none[0]]} is no single instant in {zone}, whose clock was changed "
                "then; give it as a pd.Timestamp with its zone"
            )
        return instants


def read_rows(
    X: object, y: object, time_col: Hashable, id_col: Hashable, targets: Any = None
) -> Rows:
    """Rows of a Series or DataFrame in any form that a forecaster is fitted on.

    Raises
    ------
    DataError
        If there are no rows, times or ids are missing or of no kind of time, targets are no
        columns, or rows are only numbered though there is a column of text or dates.
    """
    if time_col is None and y is None:
        _require_times(X)
    table = lay_out(X, y, time_col=time_col, id_col=id_col)
    if not len(table.when):
        raise DataError("X has no rows, so that there is nothing to split.")
    stamps = read_stamps(table.when, table.time_label)
    when = table.when
    if stamps.ticks.dtype.kind == "i" and stamps.kind == "number":
        when = pd.Index(stamps.ticks, name=when.name)  # differences of unsigned ones overflow
    codes, _ = number_ids(table.who, len(stamps))
    table, n_past = named(table, targets)
    wanted = table.values.iloc[:, : len(table.values.columns) - n_past]
    observed = wanted.notna().any(axis=1).to_numpy() | (not len(wanted.columns))
    return Rows(when, table.who, codes, observed, table.values, stamps.kind)


def _require_times(X: object) -> None:
    """Refuse a long frame without its column of times, whose row numbers would be the times."""
    X = as_pandas(X)
    if not isinstance(X, pd.DataFrame) or not _is_numbered(X.index):
        return
    for place, label in enumerate(X.columns):
        kind = pd.api.types.infer_dtype(X.iloc[:, place], skipna=True)
        if kind in TEXT_OR_DATES:
            raise DataError(
                f"The index of X only numbers its rows, and column {label!r} holds {kind}: name "
                "the columns of a long frame, time_col= and id_col=, in the splitter as in the "
                "forecaster, or put the times into the index."
            )


def _is_numbered(index: pd.Index) -> bool:
    """Whether an index is 0, 1, 2, ..., in any order."""
    if index.name is not None or not pd.api.types.is_integer_dtype(index.dtype):
        return False
    return np.array_equal(np.sort(index.to_numpy()), np.arange(len(index)))
