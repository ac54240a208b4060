"""How far beyond the end of a data set stamps can be counted, and told apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from odeseries.errors import DataError
from odeseries.frames.stamps import LARGEST, PER_SECOND, Unit, latest

__all__ = ["Reach"]

DAY = 86400
LONGEST = 2**63 - 1  # ticks that int64 can count
EXACT = 2**53  # whole numbers up to it are float64
MOST = 10**8  # stamps, of 800 MB


@dataclass(frozen=True)
class Reach:
    """How far beyond the last stamps.

    Attributes
    ----------
    length : float
        In clock units.
    asked : object
        The horizon as it was given, for messages.
    """

    length: float
    asked: object

    def is_whole(self, end: pd.Index) -> bool:
        """Whether whole numbers lead there, or floats can't be told apart there."""
        return self.length.is_integer() or end[0] + self.length > EXACT

    def require_room(self, end: pd.DatetimeIndex | pd.TimedeltaIndex, unit: Unit) -> None:
        """Refuse what int64 can't count in a unit."""
        last = int(end.asi8[0]) * PER_SECOND[unit] // PER_SECOND[end.unit]
        if abs(last) > LONGEST:
            raise DataError(
                f"Steps up to horizon={self.asked!r} need times in the unit {unit!r}, which can't "
                f"count {end[0]}: ask for fewer or longer steps, or a rounder horizon."
            )
        room = LONGEST - last
        if round(self.length * PER_SECOND[unit]) <= room:
            return
        dated = isinstance(end, pd.DatetimeIndex)
        what = latest(unit) if dated else f"{LONGEST // PER_SECOND[unit] // DAY} days"
        hint = (
            ', or convert the times to a coarser unit with .as_unit("s")'
            if end.unit == "ns"
            else ""
        )
        raise DataError(
            f"horizon={self.asked!r} leads beyond {what}, where times in the unit {unit!r} end: "
            f"give at most {max(room, 0) // PER_SECOND[unit] // DAY} days{hint}."
        )

    def require_number(self, end: pd.Index) -> None:
        """Refuse what is beyond the numbers that stamps can be."""
        if pd.api.types.is_integer_dtype(end.dtype):
            if int(end[0]) + self.length >= LARGEST:
                raise DataError(
                    f"horizon={self.asked!r} leads from {end[0]} beyond 2**62, up to which whole "
                    "numbers are exact: shorten it."
                )
        elif not math.isfinite(float(end[0]) + self.length):
            raise DataError(f"horizon={self.asked!r} leads beyond the largest float: shorten it.")

    def require_resolved(self, end: pd.Index, step: float) -> None:
        """Refuse steps that floats can't take."""
        grain = math.ulp(float(end[0]) + self.length)
        if step < grain:
            raise DataError(
                f"Steps of {step:g} up to horizon={self.asked!r} can't be told apart in float64, "
                f"whose numbers near {end[0]} lie {grain:g} apart: ask for longer steps, or count "
                "the times from a later zero."
            )

    def require_few(self, step: float, freq: object) -> None:
        """Refuse more stamps than can be held."""
        if self.length / step > MOST:
            raise DataError(
                f"freq={freq!r} makes more than {MOST} stamps up to horizon={self.asked!r}: give a "
                "longer step or a shorter horizon."
            )
