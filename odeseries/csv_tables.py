"""CSV files of the command line: which column is what, which text is which time."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from odeseries.errors import DataError

__all__ = ["read_table"]

CLOCK = r"(?::|\dT)\d\d(?:\d\d){0,2}(?:[.,]\d+)?"  # its last part, or all of it after a T
OFFSET = rf"{CLOCK}\s*(Z|[+-]\d\d(?::?\d\d)?)$"
UNCOUNTED = (UnicodeDecodeError, csv.Error, StopIteration)  # such as in a compressed file
NAMELESS = r"Unnamed: \d+(\.\d+)*$"  # pandas' names of columns that have none
DAYS = (19000101, 21001231)  # whole numbers that are days, if all are


def read_table(
    file: Path, time: str | None, id_: str | None = None, target: Sequence[str] | None = None
) -> pd.DataFrame:
    """Targets of a CSV file under their times, or under (id, time).

    Parameters
    ----------
    file : Path
        With a header.
    time : str or None
        Column of the times: dates or numbers; None is refused with the columns that there are.
    id_ : str, optional
        Column of the series' ids.
    target : sequence of str, optional
        Columns wanted; all others if not given.

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        If the file can't be read, a column does not exist, or a time is no date.
    """
    if not file.is_file():
        raise DataError(f"There is no file {file}.")
    frame = _read(file)
    if time is None:
        columns = ", ".join(map(repr, frame.columns))
        raise DataError(f"Name the column of the times: --time COL, one of {columns}.")
    keys = [time] if id_ is None else [id_, time]
    targets = target or _others(frame, keys, file)
    named = [*keys, *targets]
    twice = next((c for c in named if named.count(c) > 1), None)
    if twice is not None:
        raise DataError(f"Column '{twice}' is named twice among --time, --id and --target.")
    missing = [c for c in named if c not in frame.columns]
    if missing:
        raise DataError(
            f"{file} has no column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(map(repr, frame.columns))}."
        )
    index = times = _times(frame[time], file)
    if id_ is not None:
        index = pd.MultiIndex.from_arrays([_ids(file, id_), times], names=keys)
    return frame[targets].set_axis(index)


def _read(file: Path) -> pd.DataFrame:
    """The columns of the header; rows may end in a comma, the header too."""
    try:
        with catch_warnings():
            simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(file, index_col=False)
            names = _header(file)
    except (pd.errors.ParserWarning, pd.errors.ParserError) as error:
        line = _longer(file)
        if line is None:
            raise DataError(f"{file} can't be read as CSV: {error}") from error
        raise DataError(
            f"Line {line} of {file} has more fields than the header: name every column in the "
            "header, or put fields that hold a comma in quotation marks."
        ) from error
    except (pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not a CSV file with a header: {error}") from error
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"The header of {file} has column '{twice}' twice: give each column its own name."
        )
    nameless = frame.columns.str.match(NAMELESS)
    return frame.loc[:, ~nameless | frame.notna().any().to_numpy()]


def _header(file: Path) -> list[str]:
    """Names as they are written; empty ones of columns that have none."""
    row = pd.read_csv(file, index_col=False, header=None, nrows=1, dtype=str, keep_default_na=False)
    return row.iloc[0].tolist()


def _others(frame: pd.DataFrame, keys: Sequence[str], file: Path) -> list[str]:
    """All columns but the keys and a nameless count of the rows, as pandas and R write it."""
    others = [column for column in frame.columns if column not in keys]
    for column in [c for c in others if re.match(NAMELESS, c)]:
        if not _counts_rows(frame[column]):
            raise DataError(
                f"Column '{column}' of {file} has no name in the header and does not count the "
                "rows: name it there, or name the columns to forecast: --target COL."
            )
        print(f"Not forecast: column '{column}' of {file} counts its rows.", file=sys.stderr)
        others.remove(column)
    return others


def _counts_rows(column: pd.Series) -> bool:
    """Whether it is 0, 1, 2, ... or 1, 2, 3, ..."""
    first = column.iloc[0] if len(column) else 0
    return first in (0, 1) and bool((column == np.arange(len(column)) + first).all())


def _longer(file: Path) -> int | None:
    """Line of the first row longer than the header, by more than a comma if there is such."""
    comma = None
    try:
        rows = _rows(file)
        width = len(next(rows)[1])
        for line, row in rows:
            if any(row[width:]) or len(row) > width + 1:
                return line
            if comma is None and len(row) > width:
                comma = line
    except UNCOUNTED:
        return None
    return comma


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, as pandas takes them, after the number of their first line."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.reader(lines)
        line = 1
        for row in rows:
            if len(row) > 1 or "".join(row).strip():
                yield line, row
            line = rows.line_num + 1


def _ids(file: Path, column: str) -> pd.Series:
    """Ids as they are written: 007 is not 7, and NA is an id; an empty cell is missing."""
    frame = pd.read_csv(file, index_col=False, usecols=[column], dtype=str, keep_default_na=False)
    text = frame[column]
    return text.where(text != "")


def _times(column: pd.Series, file: Path) -> pd.Index:
    """Numbers as they are, but for days such as 20240131; everything else as dates."""
    days = _days(column)
    if days is not None:
        return days
    if pd.api.types.is_numeric_dtype(column.dtype):
        numbers: pd.Index = pd.Index(column)
        return numbers
    text = column.astype(str).str.strip()
    offsets = text.str.extract(OFFSET, expand=False)
    parsed = _dates(text, file, utc=len(offsets.unique()) > 1)
    missing = parsed.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"{_place(column, file, missing)} is no date: {column[missing].iloc[0]!r}. "
            "Write it as ISO 8601, such as 2024-05-31, or leave the row out."
        )
    naive = offsets.isna().to_numpy()
    if naive.any() and not naive.all():
        raise DataError(
            f"{_place(column, file, naive)} has no UTC offset, though other rows have one. "
            "Give every time an offset, or none."
        )
    return pd.DatetimeIndex(parsed, name=column.name)


def _days(column: pd.Series) -> pd.Index | None:
    """Days in the basic format of ISO 8601, if all of several numbers are such."""
    whole = pd.api.types.is_integer_dtype(column.dtype)
    if not whole or len(column) < 2 or not column.between(*DAYS).all():
        return None
    parsed = pd.to_datetime(column.astype(str), format="%Y%m%d", errors="coerce")
    return None if parsed.isna().any() else pd.DatetimeIndex(parsed, name=column.name)


def _dates(text: pd.Series, file: Path, *, utc: bool) -> pd.Series:
    """Dates in ISO 8601 of any resolution, or all in the format of the first; NaT if not."""
    parsed = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=utc)
    written = text.dropna()
    if parsed.notna().any() or written.empty:
        return parsed
    with catch_warnings():
        simplefilter("ignore", UserWarning)  # that the month came first all the same
        form = guess_datetime_format(written.iloc[0], dayfirst=True)
    if form is None:
        return parsed
    day_first, month_first = (
        pd.to_datetime(text, format=f, errors="coerce", utc=utc) for f in _orders(form)
    )
    if day_first.equals(month_first):
        return day_first
    return _told_apart(day_first, month_first, text, file)


def _orders(form: str) -> tuple[str, str]:
    """The format with the day first and with the month first; after the year it is the month."""
    before, *parts = re.split("%[dm]", form)
    if len(parts) != 2:
        return form, form
    month_first = f"{before}%m{parts[0]}%d{parts[1]}"
    return (month_first if "%Y" in before else f"{before}%d{parts[0]}%m{parts[1]}"), month_first


def _told_apart(
    day_first: pd.Series, month_first: pd.Series, text: pd.Series, file: Path
) -> pd.Series:
    """The reading that a number above 12 leaves, as it can be no month."""
    days = (day_first.notna() & month_first.isna()).any()
    months = (month_first.notna() & day_first.isna()).any()
    if days == months:
        raise DataError(
            f"Day and month can't be told apart in column '{text.name}' of {file}, whose dates are "
            f"like {text.dropna().iloc[0]!r}. Write them as ISO 8601, such as 2024-05-31."
        )
    return day_first if days else month_first


def _place(column: pd.Series, file: Path, wrong: npt.NDArray[np.bool_]) -> str:
    """Name of the first wrong cell: its row, where lines can't be counted."""
    row = int(wrong.argmax()) + 1
    try:
        where = f"line {next(islice(_rows(file), row, None))[0]}"
    except UNCOUNTED:
        where = f"row {row} below the header"
    return f"Column '{column.name}' in {where} of {file}"
