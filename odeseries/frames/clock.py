"""Differences of exact time stamps, in float64."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.errors import OutOfBoundsDatetime, OutOfBoundsTimedelta

from odeseries.errors import DataError
from odeseries.frames.stamps import (
    KIND_NAMES,
    PER_SECOND,
    Kind,
    Stamps,
    Unit,
    finer_units,
    is_number,
)
from odeseries.panel import Float64, Int64

__all__ = ["Clock", "as_seconds"]

_NANOS = 10**9
LONGEST_TEXT = pd.Timedelta.max.days


@dataclass(frozen=True)
class Clock:
    """How stamps become numbers: differences are taken in int64, floats come after.

    A time of a panel is relative to the origin of its series, and an origin to the reference.
    Origins are float64; they are rounded to what float64 resolves at their distance (a
    nanosecond up to 48 days, then a microsecond up to 136 years), and the times are relative
    to the rounded origin, so that no stamp loses anything to the rounding.

    Attributes
    ----------
    kind : {"datetime", "timedelta", "number"}
        What the stamps are.
    reference : int or float
        Exact zero of the clock: a count of ``unit`` (since 1970 in UTC for dates), or a number.
    unit : {"s", "ms", "us", "ns"} or None
        Unit of the reference; None for numbers. Times and origins are in seconds for dates and
        time differences, and in the numbers' own unit otherwise.
    """

    kind: Kind
    reference: int | float
    unit: Unit | None

    def duration(self, value: object, name: str = "horizon") -> float:
        """Length of time in clock units.

        Parameters
        ----------
        value : str, timedelta or number
            ``"730D"``, a ``Timedelta``, ``timedelta`` or ``timedelta64`` for dates and time
            differences; an int or a float for numbers.
        name : str
            Name of the parameter, for the message.

        Returns
        -------
        float
            Seconds, or the number itself; positive and finite.

        Raises
        ------
        DataError
            If the value is of the other kind, too long to be read, or not positive and finite.
        """
        length = _as_number(value) if self.kind == "number" else as_seconds(value, name)
        if length is None:
            wanted = "a number" if self.kind == "number" else 'a length of time such as "730D"'
            raise DataError(
                f"{name}={value!r} is not understood: the time stamps are "
                f"{KIND_NAMES[self.kind]}, so give {wanted}."
            )
        if not (0 < length < math.inf):
            raise DataError(f"{name}={value!r} must be positive and finite.")
        return length

    def origins(self, first: Stamps) -> Float64:
        """Origins of series that begin at the given stamps, shape (n,), in clock units."""
        if self.kind == "number":
            return (first.ticks - self.reference).astype(np.float64)
        whole, nanos = self._since_reference(first)
        return np.asarray(whole + nanos / _NANOS, dtype=np.float64)

    def times(self, stamps: Stamps, origins: Float64) -> Float64:
        """Time of each stamp relative to its own origin.

        Parameters
        ----------
        stamps : Stamps, length n
            Stamps in any unit.
        origins : ndarray of float64, shape (n,)
            Origin of the series of each stamp.

        Returns
        -------
        ndarray of float64, shape (n,)
            In clock units.
        """
        if self.kind == "number":
            return self._number_times(stamps.ticks, origins)
        whole, nanos = self._since_reference(stamps)
        origin_whole, origin_nanos = _recover(origins)
        carry, nanos = np.divmod(nanos - origin_nanos, _NANOS)
        return np.asarray((whole - origin_whole + carry) + nanos / _NANOS, dtype=np.float64)

    def dates(self, origins: Float64, times: Float64) -> pd.DatetimeIndex:
        """Dates in UTC, without zone, of times relative to origins; finer than ``unit`` if needed.

        Parameters
        ----------
        origins, times : ndarray of float64, shape (n,)
            As in a panel.

        Returns
        -------
        DatetimeIndex of length n
        """
        assert self.unit is not None, "numbers are no dates"
        reference = _split(np.array([self.reference], dtype=np.int64), self.unit)
        parts = [reference, _recover(origins), _recover(times)]
        carry, nanos = np.divmod(sum(part[1] for part in parts), _NANOS)
        whole = sum(part[0] for part in parts) + carry
        exact = (u for u in finer_units(self.unit) if not np.any(nanos % (_NANOS // PER_SECOND[u])))
        unit = next(exact)
        ticks = whole * PER_SECOND[unit] + nanos // (_NANOS // PER_SECOND[unit])
        return pd.DatetimeIndex(ticks.astype(f"datetime64[{unit}]"))

    def _since_reference(self, stamps: Stamps) -> tuple[Int64, Int64]:
        whole, nanos = _split(stamps.ticks, stamps.unit)
        zero, zero_nanos = _split(np.array([self.reference], dtype=np.int64), self.unit)
        carry, nanos = np.divmod(nanos - zero_nanos, _NANOS)
        return whole - zero + carry, nanos

    def _number_times(self, ticks: Int64 | Float64, origins: Float64) -> Float64:
        integers = ticks.dtype == np.int64 and isinstance(self.reference, int)
        if integers and np.array_equal(origins, np.rint(origins)):
            return (ticks - self.reference - origins.astype(np.int64)).astype(np.float64)
        return np.asarray(ticks - (self.reference + origins), dtype=np.float64)


def _as_number(value: object) -> float | None:
    return float(value) if is_number(value) else None


def as_seconds(value: object, name: str) -> float | None:
    """Seconds of a length of time.

    Parameters
    ----------
    value : str, timedelta or timedelta64
        Such as ``"730D"``.
    name : str
        Name of the parameter, for the message.

    Returns
    -------
    float or None
        None if the value is no length of time.

    Raises
    ------
    DataError
        If it is too long to be read.
    """
    if _is_bare(value):
        return None  # pandas takes it for nanoseconds
    if not isinstance(value, (str, dt.timedelta, np.timedelta64)):
        return None
    try:
        length = pd.Timedelta(value)
    except (OutOfBoundsDatetime, OutOfBoundsTimedelta, OverflowError) as error:
        raise DataError(
            f"{name}={value!r} is too long: text may say up to {LONGEST_TEXT} days, a "
            'np.timedelta64 such as np.timedelta64(400000, "D") up to 2**63 seconds.'
        ) from error
    except ValueError:
        return None
    if pd.isna(length):
        return None
    return float(length.to_timedelta64() / np.timedelta64(1, "s"))


def _is_bare(value: object) -> bool:
    """Whether a value is a number without a unit, in a string or in a timedelta64."""
    if isinstance(value, str):
        return value.strip().lstrip("+-").replace(".", "", 1).isdigit()
    return isinstance(value, np.timedelta64) and np.datetime_data(value.dtype)[0] == "generic"


def _split(ticks: Int64 | Float64, unit: Unit | None) -> tuple[Int64, Int64]:
    """Whole seconds and nanoseconds below a second, both exact."""
    assert unit is not None, "numbers have no unit"
    whole, part = np.divmod(ticks.astype(np.int64, copy=False), PER_SECOND[unit])
    return whole, part * (_NANOS // PER_SECOND[unit])


def _recover(seconds: Float64) -> tuple[Int64, Int64]:
    """Whole seconds and nanoseconds of a float that was rounded to its grain."""
    whole = np.floor(seconds).astype(np.int64)
    grain = _grain(whole)
    nanos = np.rint((seconds - whole) * (_NANOS / grain)).astype(np.int64) * grain
    return whole, nanos


def _grain(whole: Int64) -> Int64:
    """Nanoseconds that float64 tells apart at a distance of so many seconds."""
    size = np.abs(whole)
    return np.select([size < 2**22, size < 2**32, size < 2**42], [1, 10**3, 10**6], _NANOS)
