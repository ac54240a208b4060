"""Time stamps as they are stored: exact integers, or the numbers themselves."""

from __future__ import annotations

import datetime as dt
import numbers
from dataclasses import dataclass
from typing import Literal, TypeGuard

import numpy as np
import pandas as pd

from odeseries.errors import DataError
from odeseries.panel import Float64, Int64

__all__ = [
    "KIND_NAMES",
    "LARGEST",
    "PER_SECOND",
    "Kind",
    "Stamps",
    "Unit",
    "finer_units",
    "is_number",
    "latest",
    "read_stamps",
]

Kind = Literal["datetime", "timedelta", "number"]
Unit = Literal["s", "ms", "us", "ns"]

KIND_NAMES: dict[Kind, str] = {
    "datetime": "dates",
    "timedelta": "time differences",
    "number": "numbers",
}
PER_SECOND: dict[Unit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
LARGEST = 2**62  # differences of two stamps below this can't overflow int64


@dataclass(frozen=True, eq=False)
class Stamps:
    """Time stamps as they are stored, before any arithmetic.

    Attributes
    ----------
    kind : {"datetime", "timedelta", "number"}
        What the ticks count.
    ticks : ndarray of int64 or float64, shape (n,)
        Count of ``unit`` (since 1970 in UTC for dates), or the numbers themselves.
    unit : {"s", "ms", "us", "ns"} or None
        Unit of the ticks; None for numbers.
    tz : tzinfo or None
        Zone of dates; None for naive ones.
    """

    kind: Kind
    ticks: Int64 | Float64
    unit: Unit | None
    tz: dt.tzinfo | None

    def __len__(self) -> int:
        """Number of stamps."""
        return len(self.ticks)

    def take(self, rows: Int64) -> Stamps:
        """The stamps at some positions."""
        return Stamps(self.kind, self.ticks[rows], self.unit, self.tz)


def read_stamps(index: pd.Index, where: str) -> Stamps:
    """Exact stamps of an index.

    Parameters
    ----------
    index : Index of dates, time differences or numbers
        Anything else is refused.
    where : str
        What the index is, for messages, such as ``"the index of X"``.

    Returns
    -------
    Stamps

    Raises
    ------
    DataError
        If a stamp is missing or infinite, or the index is not made of times.
    """
    missing = np.flatnonzero(index.isna())
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(index)} time stamps in {where} are missing (NaT or NaN), the "
            f"first at position {missing[0]}. Remove these rows or give them a time."
        )
    if isinstance(index, pd.DatetimeIndex):
        return Stamps("datetime", index.asi8.copy(), index.unit, index.tz)
    if isinstance(index, pd.TimedeltaIndex):
        return Stamps("timedelta", index.asi8.copy(), index.unit, None)
    if pd.api.types.is_any_real_numeric_dtype(index.dtype):
        return Stamps("number", _numbers(index, where), None, None)
    raise DataError(_not_times(index, where))


def is_number(value: object) -> TypeGuard[numbers.Real]:
    """Whether a value is a real number; numpy counts its time differences as integers."""
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.timedelta64))


def finer_units(unit: Unit) -> list[Unit]:
    """The unit and all finer ones, coarsest first."""
    units = list(PER_SECOND)
    return units[units.index(unit) :]


def latest(unit: Unit) -> str:
    """The last date that can be counted in a unit, in UTC."""
    return str(np.datetime64(2**63 - 1, unit)).replace("T", " ")


def _numbers(index: pd.Index, where: str) -> Int64 | Float64:
    if pd.api.types.is_float_dtype(index.dtype):
        ticks = index.to_numpy(dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(ticks))
        problem = "is infinite"
    else:
        large = np.asarray((index >= LARGEST) | (index <= -LARGEST), dtype=bool)
        bad = np.flatnonzero(large)
        problem = "is too large for exact arithmetic (2**62 or more)"
    if len(bad):
        raise DataError(
            f"The time stamp at position {bad[0]} of {where} {problem}: {index[bad[0]]}."
        )
    return ticks if pd.api.types.is_float_dtype(index.dtype) else index.to_numpy(dtype=np.int64)


def _not_times(index: pd.Index, where: str) -> str:
    found = pd.api.types.infer_dtype(index)
    if found == "period":
        return f"Time stamps in {where} are periods: convert them with .to_timestamp()."
    if not len(index):
        return f"Time stamps in {where} are of type {index.dtype}, which is no type of time."
    return (
        f"Time stamps in {where} are of type {index.dtype} holding {found!r} (the first is "
        f"{index.tolist()[0]!r}): convert them with pd.to_datetime, pd.to_timedelta or "
        "pd.to_numeric."
    )
