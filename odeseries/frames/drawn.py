"""One series by time, out of what a forecaster was given and what it answered."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from odeseries.errors import DataError
from odeseries.frames.foreign import as_pandas
from odeseries.frames.layout import listed
from odeseries.frames.stamps import KIND_NAMES, read_stamps

__all__ = ["Drawn", "read_drawn"]

INTERVAL_LEVELS = 3  # target, coverage, end


@dataclass(frozen=True, eq=False)
class Drawn:
    """One target of one series, indexed by time.

    Attributes
    ----------
    history, median : Series
        What was observed and what is forecast.
    bands : DataFrame
        Columns (coverage, "lower" or "upper").
    paths : Series or None
        With the number of the path as outer level of the index.
    """

    history: pd.Series
    median: pd.Series
    bands: pd.DataFrame
    paths: pd.Series | None


def read_drawn(
    history: object, median: object, intervals: object, paths: object, target: Hashable
) -> Drawn:
    """Choose one target and bring its times into the indexes.

    Parameters
    ----------
    history, median, intervals, paths : Series or DataFrame
        What a forecaster took and answered; paths may be None.
    target : hashable, or None
        By default the name of `history`, or of `median`, if they are Series, and the first target
        of the intervals otherwise.

    Raises
    ------
    DataError
        If there are several series, the target is not there or can't be told, or the times are
        not where those of the intervals are, or of another kind.
    """
    given = {"history": history, "median": median, "intervals": intervals}
    given = given if paths is None else {**given, "paths": paths}
    data = {name: _require_pandas(as_pandas(value), name) for name, value in given.items()}
    keys = _key_columns(data["intervals"])
    if len(keys) > 1:
        _require_one_id(data, keys[0])
    data = {name: _by_time(value, name, keys, data["intervals"]) for name, value in data.items()}
    _require_one_kind(data)
    known = [label for label in data["intervals"].columns.unique(0) if label not in keys]
    label = _label(known, data["history"], data["median"], target)
    return Drawn(
        _column(data["history"], label, "history"),
        _column(data["median"], label, "median"),
        pd.DataFrame(data["intervals"][label]).sort_index(),
        None if paths is None else _column(data["paths"], label, "paths"),
    )


def _require_pandas(data: object, name: str) -> Any:
    """Refuse arrays, which have no times, and intervals of other columns."""
    if not isinstance(data, (pd.Series, pd.DataFrame)):
        raise DataError(
            f"{name} is a {type(data).__name__} and carries no time stamps: give a Series or "
            "DataFrame, such as pd.Series(values, index=times)."
        )
    if name == "intervals" and getattr(data, "columns", data.index).nlevels != INTERVAL_LEVELS:
        raise DataError(
            'intervals must have columns (target, coverage, "lower" or "upper"): give what '
            "predict_interval returned."
        )
    return data


def _key_columns(intervals: pd.DataFrame) -> list[Hashable]:
    """The id column, if there is one, and the time column of the answer to a long frame."""
    return [label[0] for label in intervals.columns if label[1] == ""]


def _require_one_id(data: dict[str, Any], key: Hashable) -> None:
    """Refuse several series in long frames."""
    having = {name: value[key] for name, value in data.items() if _has_column(value, key)}
    ids = {name: column.drop_duplicates().tolist() for name, column in having.items()}
    for name, found in ids.items():
        if len(found) > 1:
            raise DataError(
                f"{name} is of a panel, with {len(found)} series in its column {key!r}, but one "
                "series can be drawn: choose it in all that is given, such as "
                f"{name}[{name}[{key!r}] == {found[0]!r}]."
            )
    one = {name: found[0] for name, found in ids.items() if len(found)}
    other = next((name for name in one if one[name] != one.get("intervals", one[name])), None)
    if other is not None:
        raise DataError(
            f"{other} is of the series {one[other]!r}, but intervals are of "
            f"{one['intervals']!r}: choose the same series in all that is given."
        )


def _by_time(data: Any, name: str, keys: Sequence[Hashable], intervals: pd.DataFrame) -> Any:
    """The data with their times in the last level of the index, below that of the paths."""
    n_levels = 2 if name == "paths" else 1
    if not keys:
        _require_one_series(data.index, name, n_levels)
        _require_indexed(data, name, intervals.index.name)
        return data
    time = keys[-1]
    if not _has_column(data, time):
        if data.index.names[-1] == time:
            _require_one_series(data.index, name, n_levels)
            return data
        raise DataError(
            f"intervals have their times in the column {time!r}, but {name} has no such column: "
            "give frames with it, as the forecaster took and returned them, or put it into the "
            f"index of {name}."
        )
    when = pd.Index(data[time], name=time)
    if name == "paths":
        when = pd.MultiIndex.from_arrays([data.index.get_level_values(0), when])
    return data.set_axis(when)


def _has_column(data: Any, label: Hashable) -> bool:
    return isinstance(data, pd.DataFrame) and label in data.columns


def _require_indexed(data: Any, name: str, time: Hashable) -> None:
    """Refuse a long frame beside intervals whose times are in the index."""
    if time is not None and data.index.names[-1] != time and _has_column(data, time):
        raise DataError(
            f"{name} has its times in the column {time!r}, intervals have them in the index: use "
            f"{name}.set_index({time!r}), after a choice of one series."
        )


def _require_one_kind(data: dict[str, Any]) -> None:
    """Refuse dates beside numbers, which may be those of the rows of a long frame."""
    times = {name: value.index.get_level_values(-1) for name, value in data.items() if len(value)}
    kinds = {name: read_stamps(index, f"the index of {name}").kind for name, index in times.items()}
    wanted = kinds.get("intervals")
    other = next((name for name, kind in kinds.items() if wanted not in (kind, None)), None)
    if other is not None:
        assert wanted is not None, "something differs from it"
        raise DataError(
            f"The times in the index of {other} are {KIND_NAMES[kinds[other]]}, those of intervals "
            f"are {KIND_NAMES[wanted]}: give both with the times of the data in the index, or both "
            "as long frames, as the forecaster took and returned them."
        )


def _label(
    known: Sequence[Hashable],
    history: pd.Series | pd.DataFrame,
    median: pd.Series | pd.DataFrame,
    target: Hashable,
) -> Hashable:
    """The target that is drawn."""
    if target is not None:
        if target not in known:
            raise DataError(f"target={target!r} has no intervals; there are those of {known}.")
        return target
    series = {"history": history, "median": median}
    names = {name: s.name for name, s in series.items() if isinstance(s, pd.Series)}
    named = [name for name, label in names.items() if label is not None]
    if not named and (len(known) == 1 or "history" not in names):
        return known[0]
    if not named or names[named[0]] not in known:
        what = f"{named[0]} is named {names[named[0]]!r}" if named else "history has no name"
        raise DataError(
            f"{what}, but intervals are of {listed(known)}: say with target= which of them belongs "
            "to it, or name it so."
        )
    return names[named[0]]


def _column(data: pd.Series | pd.DataFrame, target: Hashable, name: str) -> pd.Series:
    """The column of the target, if there are columns."""
    if isinstance(data, pd.Series):
        return data
    if target not in data.columns:
        raise DataError(f"{name} has no column {target!r}; it has {list(data.columns)}.")
    column: pd.Series = data[target]
    return column


def _require_one_series(index: pd.Index, name: str, n_levels: int) -> None:
    """Refuse a panel."""
    if index.nlevels > n_levels:
        level = index.names[-2] if index.names[-2] is not None else index.nlevels - 2
        first = index[:1].tolist()[0][-2]
        raise DataError(
            f"{name} is of a panel, but one series can be drawn: choose it in all that is given, "
            f"such as {name}.xs({first!r}, level={level!r})."
        )
