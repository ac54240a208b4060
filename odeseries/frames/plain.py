"""Rows and targets as scikit-learn takes them: no dates, nothing missing, whole numbers whole."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from odeseries.errors import DataError
from odeseries.frames.foreign import as_pandas

__all__ = ["plain_targets", "refuse_dates", "unknown_labels"]

DATES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}
"""What pandas calls objects that are dates or time differences."""


def refuse_dates(X: Any, name: str = "X") -> None:
    """Refuse columns of dates and of time differences, whose numbers depend on their unit.

    Parameters
    ----------
    X : array-like or frame
        Data, before they are turned into numbers.
    name : str
        What the user calls them.

    Raises
    ------
    DataError
        If there is such a column.
    """
    dated = [repr(label) for label, column in _columns(X) if _holds_dates(column)]
    if dated:
        raise DataError(
            f"{name} holds dates or time differences in column {', '.join(dated)}: turn them into "
            "numbers, such as days since a date, "
            "(dates - pd.Timestamp('2020-01-01')) / pd.Timedelta('1D')."
        )


def plain_targets(y: Any, name: str = "y") -> Any:
    """Targets of which none is missing, nullable whole numbers and booleans as plain ones.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, n_columns)
        Labels or numbers.
    name : str
        What the user calls them.

    Raises
    ------
    DataError
        If one is missing.
    """
    missing = np.asarray(pd.isna(y))
    if missing.ndim and missing.any():
        rows = np.flatnonzero(missing.reshape(len(missing), -1).any(1))
        raise DataError(
            f"{name} is missing in {len(rows)} of {len(missing)} rows, the first at position "
            f"{rows[0]}: drop these rows, or give them a value of their own."
        )
    if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
        return np.asarray(plain_targets(y.iloc[:, 0]))[:, None]
    dtype = getattr(y, "dtype", None)
    if isinstance(dtype, pd.api.extensions.ExtensionDtype) and dtype.kind in "iub":
        return y.to_numpy(f"{dtype.kind}{getattr(dtype, 'itemsize', 1)}")
    return y


def unknown_labels(y: Any, classes: Any) -> list[Any]:
    """Labels that equal no class, each once; the text "1" is not the number 1.

    Parameters
    ----------
    y : array of shape (n,)
        Labels.
    classes : array of shape (n_classes,)
        Known ones.
    """
    known = set(classes.tolist())
    return [label for label in dict.fromkeys(y.tolist()) if label not in known]


def _columns(X: Any) -> Iterator[tuple[Hashable, pd.Series]]:
    """Columns that may hold dates, each with its name or position."""
    table = as_pandas(X)
    if isinstance(table, (pd.Series, pd.Index)):
        table = pd.DataFrame({0 if table.name is None else table.name: table})
    if isinstance(table, (list, tuple)):
        table = np.array(table, dtype=object)
    if isinstance(table, np.ndarray) and table.dtype.kind in "mMO" and table.size and table.ndim:
        table = pd.DataFrame(table.reshape(len(table), -1))
    if isinstance(table, pd.DataFrame):
        for place, label in enumerate(table.columns):
            yield label, table.iloc[:, place]


def _holds_dates(column: pd.Series) -> bool:
    kind = column.dtype.kind
    return kind in "mM" or (kind == "O" and pd.api.types.infer_dtype(column) in DATES)
