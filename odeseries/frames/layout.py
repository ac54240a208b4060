"""Which part of a pandas object is the time, which the series and which the values."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from odeseries.errors import DataError
from odeseries.frames.foreign import as_pandas
from odeseries.frames.schema import Form
from odeseries.panel import Int64

__all__ = ["ANONYMOUS", "Table", "lay_out", "listed", "named", "number_ids"]

ANONYMOUS = None
"""Id of a series that was given without one; a missing id is refused, so no other has it."""


@dataclass(frozen=True, eq=False)
class Table:
    """A pandas object taken apart; the rows are still the caller's, in the caller's order.

    Attributes
    ----------
    form : {"series", "wide", "multiindex", "long"}
        How the object was laid out.
    when : Index of length n_rows
        Time of each row.
    who : Index of length n_rows or None
        Id of each row; None for one series without an id.
    values : DataFrame with n_rows rows
        What was measured.
    inputs : DataFrame with n_rows rows
        Covariates that are known ahead; often no column at all.
    as_series : bool
        Whether the values were a Series.
    name : hashable
        Name of that Series.
    as_array : bool
        Whether the values were an array beside a frame of times and covariates.
    """

    form: Form
    when: pd.Index
    who: pd.Index | None
    values: pd.DataFrame
    inputs: pd.DataFrame
    as_series: bool
    name: Hashable
    as_array: bool = False

    @property
    def time_label(self) -> str:
        """What holds the times, for messages."""
        return f"column {self.when.name!r}" if self.form == "long" else "the index"


def lay_out(
    X: object, y: object = None, *, time_col: Hashable = None, id_col: Hashable = None
) -> Table:
    """Take a Series, a DataFrame or an Index apart.

    Parameters
    ----------
    X : Series, DataFrame or Index
        The data; with `y`, their times, ids and covariates.
    y : Series, DataFrame or array of shape (n_rows,) or (n_rows, n_targets), optional
        The targets, row by row as in `X`.
    time_col, id_col : hashable, optional
        Columns of a long frame.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        If the object is not a frame, has repeated column labels, lacks a named column, has an
        index of more than two levels, or one column is to be two things.
    """
    if isinstance(X, pd.Index):
        X = pd.DataFrame(index=X)
    X = as_pandas(X)
    _require_pandas(X, "X")
    assert isinstance(X, (pd.Series, pd.DataFrame)), "checked above"
    if time_col is not None and time_col == id_col:
        raise DataError(f"time_col and id_col are both {time_col!r}: name two columns.")
    if time_col is not None or id_col is not None:
        table = _long(X, time_col, id_col)
    else:
        table = _indexed(X)
    return table if y is None else _with_targets(table, as_pandas(y), X.index)


def named(table: Table, targets: Any) -> tuple[Table, int]:
    """The table with its targets first, then what is only seen; the number of the latter.

    Parameters
    ----------
    table : Table
    targets : hashable or sequence of hashable, or None
        Columns to be forecast; all of them if None.

    Raises
    ------
    DataError
        If they are not different columns, or the targets are given already.
    """
    if targets is None:
        return table, 0
    if len(table.inputs.columns) or table.as_series:
        raise DataError("targets= names columns of X; leave it out if there is a y or a Series.")
    columns: list[Any] = list(table.values.columns)
    targets = list(targets) if isinstance(targets, (pd.Index, np.ndarray)) else targets
    several = isinstance(targets, (list, tuple)) and targets not in columns
    names: list[Any] = list(targets) if several else [targets]
    absent = [label for label in names if label not in columns]
    if absent or not names or len(set(names)) < len(names):
        raise DataError(
            f"targets={targets!r} must name different columns of X, which has {listed(columns)}."
        )
    past = [label for label in columns if label not in names]
    return replace(table, values=table.values[names + past]), len(past)


def number_ids(who: pd.Index | None, n_rows: int) -> tuple[Int64, tuple[Hashable, ...]]:
    """Number the series in order of first appearance.

    Parameters
    ----------
    who : Index of length n_rows, or None
        Id of each row; None for one series without an id.
    n_rows : int
        Number of rows.

    Returns
    -------
    ndarray of int64, shape (n_rows,), and tuple of hashable
        Number of the series of each row, and the ids. Equal numbers, such as 1 and 1.0, are one id.

    Raises
    ------
    DataError
        If an id is missing or can't be hashed, or a number and a truth value are equal.
    """
    if who is None:
        return np.zeros(n_rows, dtype=np.int64), (ANONYMOUS,)
    try:
        codes, ids = pd.factorize(who)
    except TypeError as error:
        raise DataError(f"A series id can't be a label: {error}. Use text or numbers.") from error
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise DataError(
            f"{len(missing)} of {n_rows} rows have no series id (NaN or None), the first at "
            f"position {missing[0]}. Remove these rows or give them an id."
        )
    if pd.api.types.is_object_dtype(who.dtype):
        _refuse_equal_truths(who, codes, ids)
    return codes.astype(np.int64), tuple(ids.tolist())


def listed(labels: Sequence[Hashable], most: int = 5) -> str:
    """Labels for a message, cut after some."""
    shown = ", ".join(repr(label) for label in labels[:most])
    return shown if len(labels) <= most else f"{shown} and {len(labels) - most} more"


def _refuse_equal_truths(who: pd.Index, codes: Int64, ids: pd.Index) -> None:
    """Refuse True beside 1 and False beside 0, which Python holds for equal."""
    for code, label in enumerate(ids):
        if label not in (0, 1):
            continue
        alike = who[codes == code].tolist()
        if len({isinstance(one, (bool, np.bool_)) for one in alike}) > 1:
            raise DataError(
                f"The series ids {int(label)} and {bool(label)} are both there, but count as equal "
                "in Python and in pandas, so that two series would be one. Make all ids numbers "
                "or text."
            )


def _indexed(X: pd.Series | pd.DataFrame) -> Table:
    as_series = isinstance(X, pd.Series)
    values = X.to_frame() if isinstance(X, pd.Series) else X
    _require_unique_columns(values)
    name = X.name if isinstance(X, pd.Series) else None
    none = values[[]]
    if not isinstance(X.index, pd.MultiIndex):
        form: Form = "series" if as_series else "wide"
        return Table(form, X.index, None, values, none, as_series, name)
    if X.index.nlevels != 2:
        raise DataError(
            f"The index has {X.index.nlevels} levels, where two are understood: (series id, time). "
            "Join the levels of the id into one."
        )
    who, when = X.index.get_level_values(0), X.index.get_level_values(1)
    if isinstance(who, pd.DatetimeIndex) and not isinstance(when, pd.DatetimeIndex):
        raise DataError(
            "The first level of the index holds dates and the second does not, where (series id, "
            "time) is understood. Swap them with X.swaplevel()."
        )
    return Table("multiindex", when, who, values, none, as_series, name)


def _long(X: pd.Series | pd.DataFrame, time_col: Hashable, id_col: Hashable) -> Table:
    if time_col is None:
        raise DataError(f"id_col={id_col!r} needs time_col as well, the column of the times.")
    if isinstance(X, pd.Series):
        raise DataError(f"time_col={time_col!r} is for a long DataFrame, but X is a Series.")
    _require_unique_columns(X)
    used = [time_col] if id_col is None else [time_col, id_col]
    absent = [label for label in used if label not in X.columns]
    if absent:
        raise DataError(
            f"The long frame has no column {listed(absent)}; it has {listed(list(X.columns))}. "
            "If it is in the index, use X.reset_index()."
        )
    who = None if id_col is None else pd.Index(X[id_col], tupleize_cols=False)
    values = X.drop(columns=used)
    return Table("long", pd.Index(X[time_col]), who, values, values[[]], False, None)


def _with_targets(table: Table, y: object, index: pd.Index) -> Table:
    """The table whose values are those of y, and whose inputs are the columns of X."""
    as_array = isinstance(y, np.ndarray)
    y = _framed(y, index) if isinstance(y, np.ndarray) else y
    _require_pandas(y, "y")
    assert isinstance(y, (pd.Series, pd.DataFrame)), "checked above"
    if not y.index.equals(index):
        raise DataError(
            f"y has {len(y)} rows and X has {len(index)}, and their indexes differ: give y the "
            "index of X, row by row."
        )
    values = y.to_frame() if isinstance(y, pd.Series) else y
    _require_unique_columns(values)
    if as_array or (isinstance(y, pd.Series) and y.name is None):
        values = _relabelled(values, table.values.columns)
    keys = [] if table.form != "long" else [table.when.name, getattr(table.who, "name", None)]
    taken = [*table.values.columns, *keys]
    both = [label for label in values.columns if label in taken]
    if both:
        raise DataError(f"Column {both[0]!r} is in X and in y: rename or drop it in one of them.")
    as_series = isinstance(y, pd.Series) and (table.form != "long" or as_array)
    form: Form = "series" if as_series and table.form == "wide" else table.form
    name = y.name if isinstance(y, pd.Series) else None
    return Table(form, table.when, table.who, values, table.values, as_series, name, as_array)


def _framed(y: npt.NDArray[Any], index: pd.Index) -> pd.Series | pd.DataFrame:
    """Targets in an array, on the index of X."""
    if y.ndim not in (1, 2) or len(y) != len(index):
        raise DataError(
            f"y is an array of shape {y.shape}, but X has {len(index)} rows: give one target a row."
        )
    return pd.Series(y, index=index) if y.ndim == 1 else pd.DataFrame(y, index=index)


def _relabelled(values: pd.DataFrame, taken: pd.Index) -> pd.DataFrame:
    """Unnamed targets as y, or y0, y1 and so on, where X has columns of numbers too."""
    if not any(label in taken for label in values.columns):
        return values
    if len(values.columns) == 1:
        return values.set_axis(["y"], axis=1)
    return values.set_axis([f"y{k}" for k in range(len(values.columns))], axis=1)


def _require_pandas(X: object, name: str) -> None:
    if not isinstance(X, (pd.Series, pd.DataFrame)):
        raise DataError(
            f"{name} is a {type(X).__name__} and carries no time stamps: pass a pandas Series or "
            "DataFrame indexed by time, such as pd.Series(values, index=times). In a pipeline, use "
            'set_output(transform="pandas").'
        )


def _require_unique_columns(frame: pd.DataFrame) -> None:
    repeated = frame.columns[frame.columns.duplicated()].tolist()
    if repeated:
        raise DataError(f"Column {repeated[0]!r} appears more than once: rename one of them.")
