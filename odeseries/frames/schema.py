"""What is remembered of the fitted object."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from odeseries.errors import DataError
from odeseries.frames.clock import Clock
from odeseries.frames.stamps import KIND_NAMES, Stamps

__all__ = ["Form", "Schema", "check_stamps"]

Form = Literal["series", "wide", "multiindex", "long"]


@dataclass(frozen=True)
class Schema:
    """What was learnt about the fitted object, so that later ones are read the same way.

    Attributes
    ----------
    clock : Clock
        How stamps become numbers.
    form : {"series", "wide", "multiindex", "long"}
        A Series or a frame with one series, a panel with a two-level index, a long frame.
    targets : tuple of hashable
        Labels of the targets; an unnamed Series has the label 0.
    past : tuple of hashable
        Labels of the inputs that are seen, but not known ahead.
    inputs : tuple of hashable
        Labels of the covariates that are known ahead.
    static : tuple of bool
        Whether each covariate was constant within every series.
    as_series : bool
        Whether the targets were a Series, so that forecasts are one too.
    as_array : bool
        Whether the targets were an array, so that medians are one too.
    name : hashable
        Name of that Series.
    columns_name : hashable
        Name of the columns of a frame of targets.
    time_col, id_col : hashable
        Columns of a long frame; None otherwise.
    time_name, id_name : hashable
        Names of the time and the id in the fitted object; None if unnamed.
    tz : tzinfo or None
        Zone of the fitted dates.
    """

    clock: Clock
    form: Form
    targets: tuple[Hashable, ...]
    past: tuple[Hashable, ...]
    inputs: tuple[Hashable, ...]
    static: tuple[bool, ...]
    as_series: bool
    as_array: bool
    name: Hashable
    columns_name: Hashable
    time_col: Hashable
    id_col: Hashable
    time_name: Hashable
    id_name: Hashable
    tz: dt.tzinfo | None


def check_stamps(stamps: Stamps, schema: Schema, what: str) -> None:
    """Refuse stamps of another kind than the fitted ones.

    Parameters
    ----------
    stamps : Stamps
        Stamps of a later object.
    schema : Schema
        What was fitted.
    what : str
        Name of the later object, for the message.

    Raises
    ------
    DataError
        If one is dates and the other numbers, or one has a time zone and the other has none.
    """
    clock = schema.clock
    if stamps.kind != clock.kind:
        raise DataError(
            f"The model was fitted on {KIND_NAMES[clock.kind]}, but the times in {what} are "
            f"{KIND_NAMES[stamps.kind]}: give {KIND_NAMES[clock.kind]}, in an index or a list "
            "(a frame or Series is read by its index, or by its time column if long)."
        )
    if (stamps.tz is None) != (schema.tz is None):
        fitted, given = ("naive", "zoned") if schema.tz is None else ("zoned", "naive")
        cure = "tz_localize(None)" if schema.tz is None else f"tz_localize({str(schema.tz)!r})"
        raise DataError(
            f"The model was fitted on {fitted} dates, but the times in {what} are {given}: an "
            f"instant can't be told. Convert them with .{cure}."
        )
