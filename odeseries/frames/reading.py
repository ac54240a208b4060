"""From a pandas object to the ragged panel."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from odeseries.errors import DataError
from odeseries.frames.clock import Clock
from odeseries.frames.columns import refuse_infinite, table_of_floats
from odeseries.frames.layout import ANONYMOUS, Table, lay_out, listed, named, number_ids
from odeseries.frames.merging import RULES, Rows, merge_equal_stamps
from odeseries.frames.schema import Schema, check_stamps
from odeseries.frames.stamps import Stamps, read_stamps
from odeseries.panel import Float64, Panel

__all__ = ["read_frame"]


def read_frame(
    X: object,
    y: object = None,
    *,
    time_col: Hashable = None,
    id_col: Hashable = None,
    duplicates: str = "error",
    targets: Any = None,
    schema: Schema | None = None,
) -> tuple[Panel, Schema]:
    """Read a pandas object into a panel; the object itself is left as it is.

    Parameters
    ----------
    X : Series or DataFrame
        One series (the index holds dates, time differences or numbers), a panel (two-level index
        of series id and time) or a long frame. NaN is "not observed". Rows may be in any order;
        a row without any observation is dropped.
    y : Series, DataFrame or array, optional
        The targets; the columns of `X` are then covariates that are known ahead.
    time_col, id_col : hashable, optional
        Columns of a long frame. With a `schema` they default to the fitted ones.
    duplicates : {"error", "mean", "last"}
        What to do with different values of one channel at one time of one series. Equal values
        and values of different channels are merged in any case.
    targets : hashable or sequence of hashable, optional
        Columns of `X` to be forecast; the others are then seen and never forecast.
    schema : Schema, optional
        What was learnt in fitting: targets, inputs and covariates are then picked by name, other
        columns are ignored, and the kind of time must be the fitted one.

    Returns
    -------
    Panel, Schema
        Series are in order of first appearance. The schema is the given one, if any.

    Raises
    ------
    DataError
        If the data can't be used; the message names the series, the column and the position.

    Notes
    -----
    The id of a single series without one is None.
    """
    if duplicates not in RULES:
        raise DataError(f"duplicates={duplicates!r} is none of {listed(list(RULES))}.")
    if schema is not None and isinstance(X, pd.DataFrame) and X.index.nlevels == 1:
        time_col = schema.time_col if time_col is None else time_col
        id_col = schema.id_col if id_col is None else id_col
    table = lay_out(X, y, time_col=time_col, id_col=id_col)
    if not len(table.when):
        raise DataError("X has no rows: at least one observation is needed.")
    if schema is None:
        table, n_past = named(table, targets)
    else:
        table, n_past = _picked(table, schema), len(schema.past)
    stamps = read_stamps(table.when, table.time_label)
    if schema is not None:
        check_stamps(stamps, schema, "the history")
    if not len(table.values.columns):
        raise DataError("X has no column to forecast beside its times and ids.")
    values, inputs = _rows(table, table.values, stamps), _rows(table, table.inputs, stamps)
    rows = values.observed()
    if schema is None:
        _require_observed_columns(rows)
        _require_observed_columns(inputs)
        schema = _learn(table, rows, inputs, n_past, time_col, id_col)
    _require_observed_series(rows, n_past)
    panel = _assemble(rows.sorted(), duplicates, schema.clock)
    if not len(inputs.channels):
        return replace(panel, n_past=n_past), schema
    known = _assemble(inputs.observed().sorted(), duplicates, schema.clock, panel.origins)
    return replace(panel, n_past=n_past, inputs=known), schema


def _picked(table: Table, schema: Schema) -> Table:
    """Targets, inputs and covariates by their fitted names."""
    values, targets = table.values, list(schema.targets)
    if table.as_series and len(targets) == 1:
        values = values.set_axis(targets, axis=1)
    elif table.as_array and len(values.columns) > len(targets):
        raise DataError(
            f"The history's y has {len(values.columns)} columns, but the targets of the fit are "
            f"{listed(targets)}: give one column for each."
        )
    elif table.as_array:
        values = values.set_axis(targets[: len(values.columns)], axis=1)
    offered = pd.concat([values, table.inputs], axis=1)
    _require_columns(offered, targets, "target")
    _require_columns(offered, list(schema.past), "input")
    _require_columns(offered, list(schema.inputs), "covariate")
    chosen = offered[[*targets, *schema.past]]
    return replace(table, values=chosen, inputs=offered[list(schema.inputs)])


def _require_columns(offered: pd.DataFrame, wanted: list[Hashable], what: str) -> None:
    absent = [label for label in wanted if label not in offered.columns]
    if absent:
        raise DataError(
            f"The history lacks the {what} columns {listed(absent)}; it has "
            f"{listed(list(offered.columns))}."
        )


def _rows(table: Table, frame: pd.DataFrame, stamps: Stamps) -> Rows:
    """Rows of some columns, all finite or NaN."""
    codes, ids = number_ids(table.who, len(table.when))
    values = table_of_floats(frame)
    rows = Rows(ids, tuple(frame.columns), codes, stamps, table.when, values)
    refuse_infinite(values, rows.channels, rows.label)
    return rows


def _require_observed_columns(rows: Rows) -> None:
    empty = np.atleast_1d(np.isnan(rows.values).all(axis=0))
    if empty.any():
        absent = [label for label, bad in zip(rows.channels, empty.tolist(), strict=True) if bad]
        raise DataError(
            f"Nothing was observed in column {listed(absent)}: every value is NaN. Drop it."
        )


def _require_observed_series(rows: Rows, n_past: int) -> None:
    seen = ~np.isnan(rows.values[:, : len(rows.channels) - n_past]).all(axis=1)
    counts = np.bincount(rows.codes[seen], minlength=len(rows.ids))
    empty = [rows.ids[i] for i in np.flatnonzero(counts == 0)]
    if empty == [ANONYMOUS]:
        raise DataError("Nothing was observed in the history: every value is NaN.")
    if empty:
        of_targets = " of the targets" if n_past else ""
        raise DataError(
            f"Nothing was observed in {len(empty)} of {len(rows.ids)} series: {listed(empty)}. "
            f"Every value{of_targets} is NaN; drop these series."
        )


def _learn(
    table: Table, rows: Rows, inputs: Rows, n_past: int, time_col: Hashable, id_col: Hashable
) -> Schema:
    stamps = rows.stamps
    n_targets = len(rows.channels) - n_past
    return Schema(
        clock=Clock(stamps.kind, stamps.ticks.min().item(), stamps.unit),
        form=table.form,
        targets=rows.channels[:n_targets],
        past=rows.channels[n_targets:],
        inputs=inputs.channels,
        static=_static(inputs),
        as_series=table.as_series,
        as_array=table.as_array,
        name=table.name,
        columns_name=None if table.as_series else table.values.columns.name,
        time_col=time_col,
        id_col=id_col,
        time_name=table.when.name,
        id_name=None if table.who is None else table.who.name,
        tz=stamps.tz,
    )


def _static(inputs: Rows) -> tuple[bool, ...]:
    """Whether each covariate is constant within every series that has it."""
    if not inputs.channels:
        return ()
    grouped = pd.DataFrame(inputs.values).groupby(inputs.codes)
    highest, lowest = grouped.max(), grouped.min()
    return tuple(((highest == lowest) | highest.isna()).all().tolist())


def _assemble(rows: Rows, duplicates: str, clock: Clock, origins: Float64 | None = None) -> Panel:
    """The panel of sorted rows; each series starts at its first row unless origins are given."""
    same = (np.diff(rows.codes) == 0) & (np.diff(rows.stamps.ticks) == 0)
    starts = np.flatnonzero(np.concatenate([[True], ~same])[: len(rows.codes)])
    values = merge_equal_stamps(rows, starts, duplicates) if same.any() else rows.values
    rows = rows.take(starts)
    counts = np.bincount(rows.codes, minlength=len(rows.ids))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    if origins is None:
        origins = clock.origins(rows.stamps.take(offsets[:-1]))
    times = clock.times(rows.stamps, origins[rows.codes])
    return Panel(rows.ids, rows.channels, offsets, origins, times, values)
