"""Pandas in and pandas out: exact times, ids, duplicates, indexes and messages."""

from __future__ import annotations

import copy
import datetime as dt
import re
from typing import Any

import numpy as np
import pandas as pd
import pandas.testing as tm
import pytest

import odeseries as ode
from odeseries import frames
from odeseries.errors import DataError
from odeseries.frames import (
    Clock,
    Schema,
    interval_output,
    point_output,
    quantile_output,
    read_frame,
    read_queries,
    sample_output,
)
from odeseries.panel import Panel

UNITS = ["s", "ms", "us", "ns"]
DAY = 86400.0


def daily(n: int = 5, unit: Any = "us", tz: str | None = None, **named: Any) -> Any:
    """Daily values 0, 1, 2, ... from 2020."""
    index = pd.date_range("2020-01-01", periods=n, tz=tz).as_unit(unit)
    return pd.Series(np.arange(float(n)), index=index, **named)


def future_times(*given: Any, **options: Any) -> Any:
    """Call the function of that name; an index or a frame comes back."""
    return frames.future_times(*given, **options)


def trio() -> Any:
    """A panel whose ids sort differently from their order, with levels 10, 100 and 1000."""
    ids, days = ["T1", "T2", "T11"], pd.date_range("2020-01-01", periods=4)
    index = pd.MultiIndex.from_product([ids, days], names=["id", "when"])
    return pd.DataFrame({"y": np.repeat([10.0, 100.0, 1000.0], 4)}, index=index)


def ask(X: object, data: Any, **options: Any) -> tuple[Any, Schema, Panel]:
    """Fit on data and ask for X."""
    panel, schema = read_frame(data, **options)
    return read_queries(X, schema, panel), schema, panel


# Times in


@pytest.mark.parametrize("unit", UNITS)
def test_units_give_the_same_panel(unit: Any) -> None:
    """One day is 86400 seconds in every resolution, and the clock keeps the data's own."""
    panel, schema = read_frame(daily(unit=unit))
    assert panel.times.tolist() == [0.0, DAY, 2 * DAY, 3 * DAY, 4 * DAY]
    assert panel.origins.tolist() == [0.0]
    assert schema.clock.unit == unit
    assert pd.Timestamp(int(schema.clock.reference), unit=unit) == pd.Timestamp("2020-01-01")


@pytest.mark.parametrize("fitted", UNITS)
@pytest.mark.parametrize("asked", UNITS)
def test_fit_in_one_unit_ask_in_another(fitted: str, asked: Any) -> None:
    """Times agree to the last bit, and the index keeps the unit asked for."""
    index = pd.date_range("2020-01-02 00:00:00.25", periods=3).as_unit(asked)
    queries, _, _ = ask(index, daily(unit=fitted))
    part = 0.0 if asked == "s" else 0.25
    assert queries.times.tolist() == [DAY + part, 2 * DAY + part, 3 * DAY + part]
    tm.assert_index_equal(queries.index, index, exact=True)


def test_dates_beyond_nanoseconds() -> None:
    """Years 1500 and 3969 work, also with a query in nanoseconds."""
    years = np.array(["1500-01-01", "1900-01-01", "3969-01-01"], dtype="datetime64[s]")
    queries, _, panel = ask(
        pd.DatetimeIndex(["2020-01-01"]).as_unit("ns"), pd.Series([1.0, 2.0, 3.0], years)
    )
    days = (years - years[0]).astype("timedelta64[D]").astype(float)
    assert panel.times.tolist() == (days * DAY).tolist()
    assert queries.times.tolist() == [(dt.date(2020, 1, 1) - dt.date(1500, 1, 1)).days * DAY]


@pytest.mark.parametrize(
    ("gap", "unit", "seconds"), [(1, "ns", 1e-9), (30_000_000_000, "ns", 30.0), (30, "s", 30.0)]
)
def test_close_stamps_stay_apart(gap: int, unit: Any, seconds: float) -> None:
    """Rows one nanosecond or 30 seconds apart, far from 1970, keep their distance."""
    first = np.datetime64("2024-06-01T00:00:00", unit)
    index = pd.DatetimeIndex([first, first + np.timedelta64(gap, unit)])
    panel, _ = read_frame(pd.Series([1.0, 2.0], index))
    assert panel.times.tolist() == [0.0, seconds]


def test_large_integers_are_subtracted_exactly() -> None:
    """Nanoseconds since 1970 as plain integers lose nothing and are never dates."""
    start = 1_700_000_000_000_000_001
    queries, schema, panel = ask([start + 3], pd.Series([1.0, 2.0], [start, start + 1]))
    assert schema.clock == Clock("number", start, None)
    assert panel.times.tolist() == [0.0, 1.0]
    assert queries.times.tolist() == [3.0]


def test_each_series_has_its_own_origin() -> None:
    """Origins are relative to the first stamp of the panel, times to the origin."""
    index = pd.MultiIndex.from_arrays([["b", "b", "a"], [7, 9, 4]])
    panel, schema = read_frame(pd.Series([1.0, 2.0, 3.0], index))
    assert schema.clock.reference == 4
    assert panel.origins.tolist() == [3.0, 0.0]
    assert panel.times.tolist() == [0.0, 2.0, 0.0]


@pytest.mark.parametrize("start", ["2020-01-01", "1990-03-05 06:07:08.123456"])
def test_asking_for_observed_stamps_gives_their_own_times(start: str) -> None:
    """Far from the reference a query still equals the stored time, bit by bit."""
    stamps = pd.date_range(start, periods=4, freq="1234567us").append(
        pd.date_range("2051-07-08 09:10:11.654321", periods=4, freq="7654321us")
    )
    index = pd.MultiIndex.from_arrays([["a"] * 4 + ["b"] * 4, stamps])
    queries, _, panel = ask(index, pd.Series(np.arange(8.0), index))
    assert queries.times.tolist() == panel.times.tolist()
    expected = (stamps.asi8 - np.repeat(stamps.asi8[[0, 4]], 4)) / {"us": 1e6, "ns": 1e9}[
        stamps.unit
    ]
    assert panel.times.tolist() == expected.tolist()


def test_time_differences_and_floats() -> None:
    """Time differences count in seconds, floats in their own unit."""
    panel, schema = read_frame(pd.Series([1.0, 2.0], pd.to_timedelta(["1h", "2h"])))
    assert (panel.times.tolist(), schema.clock.kind) == ([0.0, 3600.0], "timedelta")
    panel, schema = read_frame(pd.Series([1.0, 2.0], [0.5, 2.25]))
    assert (panel.times.tolist(), schema.clock.reference) == ([0.0, 1.75], 0.5)


def test_autumn_clock_change_is_elapsed_time() -> None:
    """The repeated hour is two hours, and the answer has the caller's zone."""
    utc = pd.date_range("2022-10-29 22:00", periods=12, freq="h", tz="UTC")
    local = utc.tz_convert("Europe/Paris")
    queries, schema, panel = ask(utc.tz_convert("America/New_York"), pd.Series(1.0, local))
    assert np.diff(panel.times).tolist() == [3600.0] * 11
    assert queries.times.tolist() == panel.times.tolist()
    assert str(queries.index.tz) == "America/New_York"
    assert str(schema.tz) == "Europe/Paris"


@pytest.mark.parametrize(("day", "hours"), [("2022-10-30", 25), ("2022-03-27", 23)])
def test_days_of_25_and_23_hours(day: str, hours: int) -> None:
    """Every local hour of such a day is kept."""
    index = pd.date_range(day, periods=hours + 1, freq="h", tz="Europe/Paris")
    panel, _ = read_frame(pd.Series(1.0, index))
    assert panel.times[-1] == hours * 3600.0
    assert str(index[-1].date()) == str((pd.Timestamp(day) + pd.Timedelta("1D")).date())


# Rows in


def test_unsorted_rows_equal_sorted_rows_and_the_caller_keeps_his_frame() -> None:
    """Order of rows within a series is irrelevant; the object passed in stays as it is."""
    frame = daily(6).to_frame("a").assign(b=[np.nan, 1, 2, np.nan, 4, 5])
    shuffled = frame.iloc[[3, 0, 5, 1, 4, 2]]
    before = copy.deepcopy(shuffled)
    one, two = read_frame(frame)[0], read_frame(shuffled)[0]
    assert one.times.tolist() == two.times.tolist()
    np.testing.assert_array_equal(one.values, two.values)
    tm.assert_frame_equal(shuffled, before)


def test_rows_without_observation_change_nothing() -> None:
    """A row of NaN at a new first time leaves reference, origins and times alone."""
    frame = daily(3).to_frame("a").assign(b=[1.0, np.nan, 2.0])
    index = pd.DatetimeIndex(["2019-01-01"]).as_unit("us")
    nothing = pd.DataFrame({"a": [np.nan], "b": [np.nan]}, index=index)
    (one, schema_one), (two, schema_two) = (
        read_frame(frame),
        read_frame(pd.concat([nothing, frame])),
    )
    assert schema_one == schema_two
    assert one.times.tolist() == two.times.tolist()


def test_complementary_channels_merge() -> None:
    """Two rows of one time that fill each other's gaps, or agree, are one row."""
    index = pd.DatetimeIndex(["2020-01-01"] * 3 + ["2020-01-02"])
    frame = pd.DataFrame({"a": [1, np.nan, 1, 3], "b": [np.nan, 5, np.nan, np.nan]}, index=index)
    panel, _ = read_frame(frame)
    np.testing.assert_array_equal(panel.values, [[1, 5], [3, np.nan]])


@pytest.mark.parametrize(("rule", "expected"), [("mean", 3.0), ("last", 2.0)])
def test_conflicting_values_follow_the_rule(rule: str, expected: float) -> None:
    """The mean is over the observed values; the last is last in the caller's order."""
    index = pd.DatetimeIndex(["2021-01-01"] + ["2020-01-01"] * 5)
    frame = pd.DataFrame({"a": [9.0, 4.0, np.nan, 3.0, 2.0, np.nan], "b": 1.0}, index=index)
    panel, _ = read_frame(frame, duplicates=rule)
    assert panel.values.tolist() == [[expected, 1.0], [9.0, 1.0]]


def test_equal_values_survive_the_mean_exactly() -> None:
    """Three copies of a tenth are a tenth."""
    panel, _ = read_frame(pd.Series([0.1] * 3, [1, 1, 1]), duplicates="mean")
    assert panel.values.item() == 0.1


def test_conflict_is_named() -> None:
    """The message has series, column, stamp, both values and the ways out."""
    index = pd.MultiIndex.from_arrays([["a", "b", "b"], pd.DatetimeIndex(["2020-01-05"] * 3)])
    with pytest.raises(DataError) as caught:
        read_frame(pd.DataFrame({"load": [1.0, 2.0, 3.5]}, index=index))
    for part in ["'b'", "'load'", "2020-01-05", "2.0", "3.5", '"mean"', '"last"']:
        assert part in str(caught.value)


def test_equal_stamps_of_different_series_are_no_duplicates() -> None:
    """Series are told apart before stamps are compared."""
    panel, _ = read_frame(trio())
    assert panel.n_rows == 12


@pytest.mark.parametrize(
    "column",
    [
        pd.array([1, None, 3], dtype="Int64"),
        pd.array([1.0, None, 3.0], dtype="Float64"),
        pd.Series([1, None, 3], dtype=object),
        np.array([1.0, np.nan, 3.0], dtype=np.float32),
    ],
)
def test_numeric_types(column: Any) -> None:
    """Nullable, object and single-precision numbers are numbers; a gap is not observed."""
    panel, _ = read_frame(pd.DataFrame({"y": list(column)}, index=[0, 1, 2]).astype(column.dtype))
    assert panel.values.ravel().tolist() == [1.0, 3.0]
    assert panel.times.tolist() == [0.0, 2.0]


def test_booleans_are_zero_and_one() -> None:
    """Both kinds of boolean column are read."""
    frame = pd.DataFrame({"a": [True, False], "b": pd.array([None, True], dtype="boolean")})
    np.testing.assert_array_equal(read_frame(frame)[0].values, [[1, np.nan], [0, 1]])


# Ids


def test_ids_keep_their_order_and_level() -> None:
    """Shuffled rows: ids in order of first appearance, each with its own level."""
    data = trio().iloc[[9, 1, 4, 0, 8, 5, 3, 2, 7, 6, 11, 10]]
    panel, _ = read_frame(data)
    assert panel.ids == ("T11", "T1", "T2")
    assert [values.mean() for _, values in panel] == [1000.0, 10.0, 100.0]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([3, 1, 2], (3, 1, 2)),
        (["1", 1, "a"], ("1", 1, "a")),
        (pd.Categorical(["b", "a", "c"], categories=["a", "b", "c", "x", "y"]), ("b", "a", "c")),
        ([(1, "a"), (0, "b"), (1, "c")], ((1, "a"), (0, "b"), (1, "c"))),
    ],
)
def test_any_id_is_matched(ids: Any, expected: tuple[Any, ...]) -> None:
    """Integers, mixed types, categories and tuples; unused categories make no series."""
    who = pd.Index(ids, tupleize_cols=False)
    index = pd.MultiIndex.from_arrays([who, [5, 5, 5]], names=["who", "t"])
    queries, _, panel = ask(index[[2, 0, 2]], pd.Series([1.0, 2.0, 3.0], index))
    assert panel.ids == expected
    assert queries.series.tolist() == [2, 0, 2]
    crossed, _, _ = ask([6], pd.Series([1.0, 2.0, 3.0], index))
    assert list(crossed.index.get_level_values(0)) == list(expected)


@pytest.mark.parametrize("ids", [[(1, "a"), "b"], [(1, "a"), ("b", 2)]])
def test_tuples_that_have_no_order_are_labels_of_answers(ids: list[Any]) -> None:
    """Of ids and of targets, without a warning of pandas; in the order of their appearance."""
    who = pd.Series([ids[0], ids[1]] * 2, dtype=object)
    labels = pd.Index(["id", "t", *ids], dtype=object, tupleize_cols=False)
    data = pd.DataFrame([[w, t, 0.0, 1.0] for w, t in zip(who, [1, 1, 2, 2], strict=True)])
    data = data.set_axis(labels, axis=1)
    queries, schema, panel = ask([3, 4], data, time_col="t", id_col="id")
    assert queries.index.tolist() == [(ids[0], 3), (ids[0], 4), (ids[1], 3), (ids[1], 4)]
    assert queries.index.names == ["id", "t"]
    paths = sample_output(np.zeros((1, 4, 2)), queries, schema)
    assert paths.index.get_level_values("id").tolist() == [ids[0]] * 2 + [ids[1]] * 2
    quantiles = quantile_output(np.zeros((4, 2, 1)), [0.5], queries, schema)
    assert quantiles.columns.tolist() == [(ids[0], 0.5), (ids[1], 0.5)]
    times = future_times(pd.Series(0.0, queries.index), 1, n=1)
    assert times.tolist() == [(ids[0], 5), (ids[1], 5)]
    offsets = pd.to_timedelta([1, 1, 2, 2], "D")
    dated = data.assign(t=pd.Timestamp("2020") + offsets)
    _, schema, panel = ask([pd.Timestamp("2021")], dated, time_col="t", id_col="id")
    resolved = read_queries(queries.index.set_levels(offsets[[0, 2]], level=1), schema, panel)
    assert resolved.index.get_level_values("id").tolist() == [ids[0]] * 2 + [ids[1]] * 2


@pytest.mark.parametrize(("number", "truth"), [(1, True), (0.0, np.False_)])
def test_a_number_and_a_truth_value_that_are_equal_are_refused(number: Any, truth: Any) -> None:
    """They would be merged in silence."""
    who = pd.Series([number, "b", truth], dtype=object)
    data = pd.DataFrame({"id": who, "t": range(3), "y": 1.0})
    with pytest.raises(DataError, match=f"ids {int(number)} and {bool(truth)} are both there"):
        read_frame(data, time_col="t", id_col="id")


def test_equal_numbers_are_one_id() -> None:
    """And a truth value is an id where no number equals it."""
    who = pd.Series([2, True, 2.0, False], dtype=object)
    data = pd.DataFrame({"id": who, "t": range(4), "y": 1.0})
    assert read_frame(data, time_col="t", id_col="id")[0].ids == (2, True, False)


# The long form


def long_frame() -> pd.DataFrame:
    """Two series of two days under columns named by their user."""
    days = pd.to_datetime(["2020-01-02", "2020-01-01"] * 2)
    columns = {"ds": days, "y": [2.0, 1.0, 4.0, 3.0], "uid": ["b", "b", "a", "a"]}
    return pd.DataFrame(columns, index=[40, 30, 20, 10])


def test_long_frame_is_read_by_its_columns() -> None:
    """The columns of time and id are no channels."""
    panel, schema = read_frame(long_frame(), time_col="ds", id_col="uid")
    assert (panel.ids, panel.channels) == (("b", "a"), ("y",))
    assert panel.values.ravel().tolist() == [1.0, 2.0, 3.0, 4.0]
    assert (schema.form, schema.time_name, schema.id_name) == ("long", "ds", "uid")


def test_long_answers_carry_the_asked_columns_and_index() -> None:
    """Id and time first, rows and index as asked; wide columns are padded with ''."""
    wanted = long_frame().iloc[[2, 0, 2]]
    queries, schema, _ = ask(wanted, long_frame(), time_col="ds", id_col="uid")
    assert queries.series.tolist() == [1, 0, 1]
    answer = point_output(np.array([[1.0], [2.0], [3.0]]), queries, schema)
    expected = wanted[["uid", "ds"]].assign(y=[1.0, 2.0, 3.0])
    tm.assert_frame_equal(answer, expected)
    table = quantile_output(np.ones((3, 1, 2)), [0.1, 0.9], queries, schema)
    assert list(table.columns) == [("uid", ""), ("ds", ""), ("y", 0.1), ("y", 0.9)]
    tm.assert_series_equal(table["ds"], wanted["ds"])
    ends = interval_output(np.ones((3, 1, 1)), np.ones((3, 1, 1)), [0.9], queries, schema)
    tm.assert_series_equal(ends["uid"], wanted["uid"])
    paths = sample_output(np.arange(6.0).reshape(2, 3, 1), queries, schema)
    assert paths["y"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    tm.assert_frame_equal(paths.loc[1, ["uid", "ds"]], wanted[["uid", "ds"]])


def test_long_without_id_is_one_series() -> None:
    """A long frame may hold one series."""
    one = long_frame().iloc[:2].drop(columns="uid")
    queries, schema, panel = ask(one, one, time_col="ds")
    assert (len(panel), queries.times.tolist()) == (1, [DAY, 0.0])
    assert list(point_output(np.ones((2, 1)), queries, schema).columns) == ["ds", "y"]


def test_targets_may_come_in_y() -> None:
    """With y, X carries times, ids and covariates."""
    data = daily(name="co2")
    panel, schema = read_frame(pd.DataFrame(index=data.index), data)
    assert (schema.form, schema.name, panel.channels) == ("series", "co2", ("co2",))
    keys, target = long_frame()[["ds", "uid"]], long_frame()["y"]
    assert read_frame(keys, target, time_col="ds", id_col="uid")[0].channels == ("y",)
    with pytest.raises(DataError, match="'co2' is in X and in y"):
        read_frame(data.to_frame("co2"), data)
    with pytest.raises(DataError, match="their indexes differ"):
        read_frame(pd.DataFrame(index=data.index), data[:-1])
    for key in ("ds", "uid"):
        with pytest.raises(DataError, match=f"'{key}' is in X and in y"):
            read_frame(keys, target.rename(key), time_col="ds", id_col="uid")


def test_targets_may_be_named_by_an_index_or_array() -> None:
    """As by a list."""
    frame = daily().to_frame("a").assign(b=7.0)
    for targets in (["b"], pd.Index(["b"]), np.array(["b"])):
        panel, _ = read_frame(frame, targets=targets)
        assert panel.channels == ("b", "a")


def test_more_columns_than_targets_are_refused() -> None:
    """In an array, where no names tell which are meant."""
    X = pd.DataFrame({"u": np.arange(3.0)}, index=np.arange(3.0))
    _, schema = read_frame(X, np.arange(3.0))
    with pytest.raises(DataError, match="y has 2 columns, but the targets of the fit are"):
        read_frame(X, np.zeros((3, 2)), schema=schema)


# History


def test_history_picks_targets_by_name() -> None:
    """Order and extra columns don't matter; a missing target is named."""
    frame = daily().to_frame("a").assign(b=7.0)
    _, schema = read_frame(frame)
    panel, _ = read_frame(frame[["b", "a"]].assign(note="text"), schema=schema)
    assert panel.channels == ("a", "b")
    assert panel.values[2].tolist() == [2.0, 7.0]
    with pytest.raises(DataError, match="lacks the target columns 'b'"):
        read_frame(frame[["a"]], schema=schema)


def test_history_keeps_the_clock_of_the_fit() -> None:
    """Later data in another unit and zone lies where it should on the fitted clock."""
    _, schema = read_frame(daily(unit="s", tz="UTC"))
    later = daily(unit="ns", tz="UTC")
    later.index = (later.index + pd.Timedelta("10D 500ms")).tz_convert("Asia/Tokyo")
    panel, again = read_frame(later, schema=schema)
    assert again is schema
    assert panel.origins.tolist() == [10 * DAY + 0.5]
    assert panel.times.tolist() == [0.0, DAY, 2 * DAY, 3 * DAY, 4 * DAY]


def test_single_history_for_a_panel_model_and_panel_for_a_single_one() -> None:
    """Ids are labels only, so the forms may differ where that is unambiguous."""
    _, schema = read_frame(trio())
    one = pd.DataFrame({"y": [1.0]}, index=pd.DatetimeIndex(["2020-02-01"]))
    panel, _ = read_frame(one, schema=schema)
    assert len(panel) == 1
    queries = read_queries(one.index, schema, panel)
    tm.assert_index_equal(queries.index, one.index, exact=True)
    _, single = read_frame(daily(name="y"))
    panel, _ = read_frame(trio(), schema=single)
    assert panel.ids == ("T1", "T2", "T11")


def test_history_may_lack_a_channel_but_not_a_series() -> None:
    """A channel without observation is fine in a history; a series without any is not."""
    frame = daily().to_frame("a").assign(b=7.0)
    _, schema = read_frame(frame)
    panel, _ = read_frame(frame.assign(b=np.nan), schema=schema)
    assert np.isnan(panel.values[:, 1]).all()
    with pytest.raises(DataError, match="Nothing was observed in the history"):
        read_frame(frame * np.nan, schema=schema)


# Times out


@pytest.mark.parametrize(
    "index",
    [
        pd.DatetimeIndex(["2020-01-09", "2020-01-03", "2020-01-09"], name="t"),
        pd.date_range("2020-01-01", periods=3, freq="W"),
        pd.DatetimeIndex([], dtype="datetime64[ms]"),
    ],
)
def test_the_asked_index_comes_back(index: pd.Index) -> None:
    """Order, duplicates, names, unit and type are kept, however the index is wrapped."""
    for X in [index, pd.DataFrame(index=index), pd.Series(0.0, index=index)]:
        queries, schema, _ = ask(X, daily(name="co2"))
        tm.assert_index_equal(queries.index, index, exact=True)
        answer = point_output(np.ones((len(index), 1)), queries, schema)
        tm.assert_series_equal(answer, pd.Series(1.0, index=index, name="co2"))


@pytest.mark.parametrize(
    "X",
    [
        "2020-01-03",
        ["2020-01-03"],
        pd.Timestamp("2020-01-03"),
        dt.datetime(2020, 1, 3),
        dt.date(2020, 1, 3),
        np.datetime64("2020-01-03"),
        np.array(["2020-01-03"], dtype="datetime64[D]"),
        [dt.datetime(2020, 1, 3)],
        pd.Timedelta("-2D"),
        dt.timedelta(days=-2),
        [np.timedelta64(-2, "D")],
        pd.to_timedelta(["-48h"]),
    ],
)
def test_one_stamp_or_a_list(X: object) -> None:
    """Every way to say 3 January, when the history ends on the 5th."""
    queries, _, _ = ask(X, daily().rename_axis("t"))
    assert queries.times.tolist() == [2 * DAY]
    assert list(queries.index) == [pd.Timestamp("2020-01-03")]
    assert queries.index.name == "t"


def test_strings_and_offsets_take_the_fitted_zone() -> None:
    """Text without a zone is local time of the fit; text with one is that instant."""
    data = daily(tz="Europe/Paris")
    for X in ["2020-01-03", "2020-01-02T23:00Z", pd.Timedelta("-2D")]:
        queries, _, _ = ask(X, data)
        assert queries.times.tolist() == [2 * DAY]
    with pytest.raises(DataError, match="no single instant"):
        ask("2022-10-30 02:30", data)


def test_offsets_end_where_each_series_ends() -> None:
    """On a panel an offset follows the last observation of each series, absolute and id outer."""
    data = trio().iloc[:-1]
    queries, _, _ = ask(pd.to_timedelta(["1D", "2D"]), data)
    days = ["2020-01-05", "2020-01-06"] * 2 + ["2020-01-04", "2020-01-05"]
    expected = pd.MultiIndex.from_arrays(
        [["T1", "T1", "T2", "T2", "T11", "T11"], pd.DatetimeIndex(days)], names=["id", "when"]
    )
    tm.assert_index_equal(queries.index, expected)
    assert queries.times.tolist() == [4 * DAY, 5 * DAY, 4 * DAY, 5 * DAY, 3 * DAY, 4 * DAY]


def test_offsets_are_exact_far_away_and_finer_than_the_data() -> None:
    """In year 3969 with seconds, and by half a second on daily data."""
    far = pd.Series([1.0], np.array(["3969-01-01"], dtype="datetime64[s]"))
    queries, _, _ = ask(pd.Timedelta("1D").as_unit("ns"), far)
    assert queries.index[0] == pd.Timestamp("3969-01-02")
    queries, _, _ = ask(pd.Timedelta("500ms"), daily(unit="s"))
    assert queries.index[0] == pd.Timestamp("2020-01-05 00:00:00.5")
    assert queries.times.tolist() == [4 * DAY + 0.5]


def test_bare_times_on_a_panel_mean_every_series() -> None:
    """Id is the outer level, under the fitted names."""
    queries, schema, _ = ask(["2020-02-01", "2020-01-01"], trio())
    assert queries.series.tolist() == [0, 0, 1, 1, 2, 2]
    assert queries.times.tolist() == [31 * DAY, 0.0] * 3
    answer = point_output(np.arange(6.0)[:, None], queries, schema)
    assert answer.loc[("T2", pd.Timestamp("2020-02-01")), "y"] == 2.0
    assert answer.index.names == ["id", "when"]


def test_multiindex_query_names_its_series() -> None:
    """Rows may name series in any order, and the same one twice."""
    index = trio().index[[8, 0, 8, 5]]
    queries, _, _ = ask(index, trio())
    assert queries.series.tolist() == [2, 0, 2, 1]
    tm.assert_index_equal(queries.index, index, exact=True)


def test_numbers_are_stamps_on_numbers() -> None:
    """Zero and minus three are times like any other there, and integers may meet floats."""
    data = pd.Series([1.0, 2.0], index=[0, 10])
    assert ask(0, data)[0].times.tolist() == [0.0]
    assert ask([-3, 2.5], data)[0].times.tolist() == [-3.0, 2.5]
    assert ask(np.int64(7), data)[0].times.tolist() == [7.0]


@pytest.mark.parametrize("data", [daily(tz="Asia/Tokyo"), pd.Series([1.0]), trio()])
@pytest.mark.parametrize("X", [[], pd.Index([]), pd.DataFrame()])
def test_nothing_asked_nothing_answered(data: Any, X: object) -> None:
    """An empty request gives an empty answer with the right columns and type of index."""
    queries, schema, _ = ask(X, data)
    fitted, answer = data.index, point_output(np.zeros((0, 1)), queries, schema)
    assert len(answer) == 0
    assert answer.index.nlevels == fitted.nlevels
    last = fitted.nlevels - 1
    assert answer.index.get_level_values(last).dtype == fitted.get_level_values(last).dtype


# Values out


def test_outputs_have_the_documented_columns() -> None:
    """Values land under their own target, alpha, coverage and end."""
    queries, schema, _ = ask(daily().index[:3], daily().to_frame("a").assign(b=1.0))
    values = np.arange(12.0).reshape(3, 2, 2)
    table = quantile_output(values, [0.1, 0.9], queries, schema)
    assert table[("b", 0.9)].tolist() == [3.0, 7.0, 11.0]
    assert table[("a", 0.1)].tolist() == [0.0, 4.0, 8.0]
    ends = interval_output(-values, values, [0.5, 0.9], queries, schema)
    assert list(ends.columns[:3]) == [("a", 0.5, "lower"), ("a", 0.5, "upper"), ("a", 0.9, "lower")]
    assert ends[("b", 0.9, "lower")].tolist() == [-3.0, -7.0, -11.0]
    assert list(point_output(values[..., 0], queries, schema).columns) == ["a", "b"]


def test_samples_have_an_outer_level() -> None:
    """One path is one block under its number, for a single series and for a panel."""
    queries, schema, _ = ask(daily().index[:3], daily(name="co2"))
    paths = sample_output(np.arange(6.0).reshape(2, 3, 1), queries, schema)
    assert paths.name == "co2"
    assert paths.index.names == ["sample", None]
    expected = pd.Series([3.0, 4.0, 5.0], daily().index[:3], name="co2")
    tm.assert_series_equal(paths.loc[1], expected, check_freq=False)
    queries, schema, _ = ask(trio().index, trio())
    table = sample_output(np.arange(24.0).reshape(2, 12, 1), queries, schema)
    assert table.index.names == ["sample", "id", "when"]
    assert table.loc[(1, "T1", pd.Timestamp("2020-01-02")), "y"] == 13.0


def test_unnamed_series() -> None:
    """The answer is an unnamed Series; in columns the target is called 0."""
    queries, schema, _ = ask(daily().index, daily())
    assert point_output(np.ones((5, 1)), queries, schema).name is None
    assert list(quantile_output(np.ones((5, 1, 1)), [0.5], queries, schema)) == [(0, 0.5)]


# Durations and future times


@pytest.mark.parametrize(
    "value", ["2D", pd.Timedelta("2D"), dt.timedelta(days=2), np.timedelta64(48, "h")]
)
def test_durations_are_seconds(value: object) -> None:
    """Every way to say two days."""
    assert Clock("datetime", 0, "s").duration(value) == 2 * DAY
    assert Clock("timedelta", 0, "ns").duration(value) == 2 * DAY


@pytest.mark.parametrize("value", [5, "5", "W", "0D", "-1D", pd.NaT, None, True, "1095000D"])
def test_bad_durations_are_named(value: object) -> None:
    """Numbers are no durations on dates, and neither is nothing or less."""
    with pytest.raises(DataError, match=re.escape(f"step={value!r}")):
        Clock("datetime", 0, "s").duration(value, "step")


@pytest.mark.parametrize("value", ["5", np.timedelta64(3, "s"), 0, -3, np.inf, np.nan, True])
def test_bad_number_durations(value: object) -> None:
    """On numbers only a positive finite number is a duration."""
    assert Clock("number", 0, None).duration(np.float32(2.5)) == 2.5
    with pytest.raises(DataError, match="horizon="):
        Clock("number", 0, None).duration(value)


def test_future_times_by_frequency() -> None:
    """Anchored frequencies land on their anchor, in the unit and zone of the data."""
    weeks = future_times(daily(unit="s", tz="Europe/Paris").rename_axis("t"), "14D", freq="W")
    expected = pd.DatetimeIndex(["2020-01-12", "2020-01-19"], name="t")
    assert list(weeks) == list(expected.tz_localize("Europe/Paris"))
    assert (weeks.name, weeks.unit, str(weeks.tz)) == ("t", "s", "Europe/Paris")
    fine = future_times(daily(unit="s"), "1s", freq="250ms")
    assert (fine - daily().index[-1]).total_seconds().tolist() == [0.25, 0.5, 0.75, 1.0]
    hours = future_times(pd.Series([1.0], pd.to_timedelta(["1h"])), "3h", freq="1h")
    assert list(hours) == list(pd.to_timedelta(["2h", "3h", "4h"]))
    assert future_times(pd.Series([1.0], [5]), 3, freq=1).tolist() == [6, 7, 8]
    steps = future_times(pd.Series([1.0], [5.0]), 0.3, freq=0.1)
    assert list(steps) == pytest.approx([5.1, 5.2, 5.3])


def test_future_times_equally_spaced() -> None:
    """The last stamp is at the horizon; the unit is refined only where the steps need it."""
    dates = future_times(daily(unit="s").rename_axis("t"), "4D", n=2)
    expected = pd.DatetimeIndex(["2020-01-07", "2020-01-09"], name="t").as_unit("s")
    tm.assert_index_equal(dates, expected, exact=True)
    assert len(future_times(daily(), "730D")) == 100
    tiny = future_times(daily(unit="s"), "1s", n=4)
    assert (tiny - daily().index[-1]).total_seconds().tolist() == [0.25, 0.5, 0.75, 1.0]
    assert future_times(pd.Series([1.0], [5]), 4, n=2).tolist() == [7, 9]
    assert future_times(pd.Series([1.0], [5]), 1, n=2).tolist() == [5.5, 6.0]
    far = pd.Series([1.0], np.array(["3969-01-01"], dtype="datetime64[s]"))
    assert future_times(far, "2D", n=1)[0] == pd.Timestamp("3969-01-03")
    assert future_times(far, "8D", freq="4D")[1] == pd.Timestamp("3969-01-09")


def test_future_times_of_a_panel_follow_each_end() -> None:
    """A panel gives (id, time), a long frame gives a long frame; both can be asked as they are."""
    data = trio().iloc[[11, *range(8)]]
    index = future_times(data, "1D", n=1)
    assert list(index) == [
        ("T11", pd.Timestamp("2020-01-05")),
        ("T1", pd.Timestamp("2020-01-05")),
        ("T2", pd.Timestamp("2020-01-05")),
    ]
    assert index.names == ["id", "when"]
    assert ask(index, data)[0].times.tolist() == [DAY, 4 * DAY, 4 * DAY]
    frame = future_times(long_frame(), "1D", n=1, time_col="ds", id_col="uid")
    expected = {"uid": ["b", "a"], "ds": pd.to_datetime(["2020-01-03"] * 2)}
    tm.assert_frame_equal(frame, pd.DataFrame(expected), check_dtype=False)
    queries, _, _ = ask(frame, long_frame(), time_col="ds", id_col="uid")
    assert queries.times.tolist() == [2 * DAY, 2 * DAY]


@pytest.mark.parametrize(
    "options",
    [
        {"freq": "W", "n": 3},
        {"n": 0},
        {"n": -3},
        {"n": 2.0},
        {"n": True},
        {"freq": "1?"},
        {"freq": 3},
        {"freq": "-1D"},
        {"freq": "0D"},
        {"freq": pd.DateOffset(days=-1)},
    ],
)
def test_bad_future_requests(options: dict[str, Any]) -> None:
    """Counts below one and unusable frequencies are refused by name."""
    with pytest.raises(DataError, match=r"freq|n="):
        future_times(daily(), "14D", **options)


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize("freq", ["D", pd.DateOffset(days=1)])
def test_days_keep_the_hour_of_a_clock_that_is_changed(freq: Any) -> None:
    """An hour that is left out becomes the next instant; of one twice there it is the first."""
    spring = pd.Series([1.0], pd.DatetimeIndex(["2024-03-30 02:30"], tz=BERLIN, name="t"))
    after = future_times(spring, "2D", freq=freq)
    assert [str(day) for day in after] == ["2024-03-31 03:00:00+02:00", "2024-04-01 02:30:00+02:00"]
    assert after.name == "t"
    autumn = pd.Series([1.0], pd.DatetimeIndex(["2024-10-26 02:30"], tz=BERLIN))
    after = future_times(autumn, "49h", freq=freq)
    assert [str(day) for day in after] == ["2024-10-27 02:30:00+02:00", "2024-10-28 02:30:00+01:00"]
    hours = future_times(spring, "1D", freq="12h")
    assert [str(day) for day in hours] == ["2024-03-30 14:30:00+01:00", "2024-03-31 03:30:00+02:00"]


def test_an_hour_that_is_left_out_does_not_make_a_stamp_twice() -> None:
    """On the clock 02:00 and 02:30 are both 03:00 then."""
    spring = pd.Series([1.0], pd.DatetimeIndex(["2024-03-31 01:30"], tz=BERLIN))
    after = future_times(spring, "1h", freq=pd.DateOffset(minutes=30))
    assert [str(day) for day in after] == ["2024-03-31 03:00:00+02:00", "2024-03-31 03:30:00+02:00"]


@pytest.mark.parametrize("options", [{}, {"n": 2}, {"freq": "1000D"}])
@pytest.mark.parametrize("tz", [None, BERLIN])
def test_a_horizon_beyond_the_unit_names_its_end(options: dict[str, Any], tz: str | None) -> None:
    """For nanoseconds it comes in 2262; other units go on."""
    message = r"horizon='100000D' leads beyond 2262-04-11 .*'ns' end: give at most 88\d\d\d days"
    with pytest.raises(DataError, match=message):
        future_times(daily(unit="ns", tz=tz), "100000D", **options)
    far = np.timedelta64(400_000, "D")
    with pytest.raises(
        DataError, match=r"horizon=(?:np|numpy)\.timedelta64\(400000,'D'\) leads beyond 2262"
    ):
        future_times(daily(unit="ns", tz=tz), far, **options)
    dates = future_times(daily(unit="us", tz=tz), far, **options)
    assert dates[-1].year == 3115
    with pytest.raises(DataError, match="leads beyond 294247-01-10"):
        future_times(daily(unit="us", tz=tz), np.timedelta64(2**50, "s"), **options)


@pytest.mark.parametrize("options", [{}, {"freq": "1000D"}])
def test_a_horizon_beyond_time_differences_names_their_end(options: dict[str, Any]) -> None:
    """292 years in nanoseconds."""
    data = pd.Series([1.0], pd.TimedeltaIndex(["3D"]).as_unit("ns"))
    with pytest.raises(DataError, match=r"beyond 106751 days, where .* give at most 106748 days"):
        future_times(data, "106750D", **options)


def test_steps_that_a_far_date_can_not_be_counted_in_are_refused() -> None:
    """Nanoseconds after the year 1500."""
    data = pd.Series([1.0], np.array(["1500-01-01"], dtype="datetime64[s]"))
    with pytest.raises(DataError, match="need times in the unit 'ns', which can't count 1500-01"):
        future_times(data, "1us", n=1000)
    assert future_times(data, "1us", n=1).unit == "us"


INTEGERS = ["int8", "uint8", "int64", "uint64", "Int64", "UInt64"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_whole_numbers_end_within_the_horizon(dtype: str) -> None:
    """Exactly at it if that takes fractions; counted steps stay whole."""
    data = pd.Series([1.0], pd.Index([5], dtype=dtype))
    assert future_times(data, 7.5, n=3).tolist() == [7.5, 10.0, 12.5]
    assert future_times(data, 7.5, freq=1).tolist() == [6, 7, 8, 9, 10, 11, 12]
    assert future_times(data, 7.5, freq=5.0).tolist() == [10]
    after = future_times(data, 7, n=3)
    assert after.tolist() == [7, 10, 12]
    assert pd.api.types.is_integer_dtype(after.dtype)
    assert future_times(data, 0.3, freq=0.1).max() == 5.3
    with pytest.raises(DataError, match=r"horizon=1e\+300 leads from 5 beyond 2\*\*62"):
        future_times(data, 1e300, n=3)


@pytest.mark.parametrize("dtype", [name for name in INTEGERS if "64" in name])
def test_large_whole_numbers_are_kept_exactly(dtype: str) -> None:
    """Where floats are 256 apart; what needs fractions is refused."""
    data = pd.Series([1.0], pd.Index([2**60 + 1], dtype=dtype))
    for horizon in (7, 7.5):
        steps = future_times(data, horizon, n=3)
        assert steps.tolist() == [2**60 + 3, 2**60 + 6, 2**60 + 8]
        assert future_times(data, horizon, freq=1).tolist() == [2**60 + 1 + k for k in range(1, 8)]
    with pytest.raises(DataError, match=r"Steps of 0.07 up to horizon=7 can't be told apart"):
        future_times(data, 7)
    with pytest.raises(DataError, match=r"Steps of 0.5 up to horizon=7 can't be told apart"):
        future_times(data, 7, freq=0.5)


def test_fractions_of_a_unit_end_at_the_horizon() -> None:
    """Not at the next whole second, nor a nanosecond later."""
    data = pd.Series([1.0], pd.TimedeltaIndex(["3D"]).as_unit("s"))
    assert list(future_times(data, "1.5s", n=1)) == [pd.Timedelta("3D") + pd.Timedelta("1.5s")]
    almost = pd.Timedelta("1D") - pd.Timedelta(1, "ns")
    assert list(future_times(data, almost, freq="12h")) == [pd.Timedelta("3.5D")]


@pytest.mark.parametrize(
    ("data", "horizon", "freq"),
    [
        (pd.Series([1.0], [5.0]), 1.0, 1e-300),
        (pd.Series([1.0], [5]), 1e300, 1),
        (pd.Series([1.0], pd.to_timedelta(["1h"])), "1D", "50ns"),
        (daily(), "730D", "us"),
    ],
)
def test_more_stamps_than_can_be_held_are_refused(data: Any, horizon: Any, freq: Any) -> None:
    """Before memory runs out."""
    with pytest.raises(DataError, match=r"freq=.* makes more than 100000000 stamps up to horizon"):
        future_times(data, horizon, freq=freq)


def test_numbers_that_floats_can_not_hold_are_refused() -> None:
    """Too large, or too close to one another."""
    with pytest.raises(DataError, match=r"horizon=1.7e\+308 leads beyond the largest float"):
        future_times(pd.Series([1.0], [1e308]), 1.7e308)
    with pytest.raises(DataError, match="horizon=1e-20 can't be told apart in float64"):
        future_times(pd.Series([1.0], [5.0]), 1e-20, n=3)


@pytest.mark.parametrize("value", ["400000D", "99999999999999999999D", np.timedelta64(2**62, "W")])
def test_durations_that_can_not_be_read_are_called_too_long(value: object) -> None:
    """They are understood; a timedelta64 may be longer than text."""
    with pytest.raises(DataError, match=r"is too long: text may say up to 106751 days.*64\(400000"):
        Clock("datetime", 0, "s").duration(value)
    assert Clock("datetime", 0, "s").duration(np.timedelta64(400_000, "D")) == 400_000 * DAY


def test_an_offset_beyond_the_unit_of_the_dates_names_its_end() -> None:
    """Far ones and ones of nanoseconds are not wrapped around into the past."""
    message = (
        r"offset 100000 days 00:00:00 leads .* unit 'ns' can't count, which ends at 2262-04-11"
    )
    with pytest.raises(DataError, match=message):
        ask(pd.Timedelta("100000D"), daily(unit="ns"))
    with pytest.raises(DataError, match=r"offset 400000 days .* which ends at 2262-04-11"):
        ask(pd.Timedelta(np.timedelta64(400_000, "D")), daily(unit="ns"))
    queries, _, _ = ask(pd.Timedelta(np.timedelta64(400_000, "D")), daily(unit="us"))
    assert queries.times.tolist() == [400_004 * DAY]
    mixed = [pd.Timedelta(np.timedelta64(400_000, "D")), pd.Timedelta(1, "ns")]
    with pytest.raises(DataError, match="can't all be counted in the unit 'ns' that one of them"):
        ask(mixed, daily())
    with pytest.raises(DataError, match="can't all be counted in the unit 'ns' that one of them"):
        ask([pd.Timestamp("3000-01-01"), pd.Timestamp("2020-01-01 00:00:00.000000001")], daily())


# Refusals

BAD_DATA: list[tuple[Any, str]] = [
    (daily().to_numpy(), r'ndarray.*pd\.Series.*set_output\(transform="pandas"\)'),
    ([1.0, 2.0], "list"),
    (daily()[:0], "no rows"),
    (daily().to_frame()[[]], "no column"),
    (daily().to_period("D"), "to_timestamp"),
    (daily().set_axis(list("abcde")), "pd.to_datetime"),
    (daily().set_axis([True, False] * 2 + [True]), "bool .* first is True"),
    (daily().set_axis([0, 1, np.nan, 3, np.nan]), "2 of 5 .* position 2"),
    (daily().set_axis([0, 1, 2, np.inf, 4]), "position 3 .* infinite: inf"),
    (daily().set_axis(np.array([0, 1, 2, 3, 2**63], dtype=np.uint64)), "position 4 .*: 92"),
    (daily().set_axis(pd.DatetimeIndex([pd.NaT] * 5)), "5 of 5"),
    (daily().replace(3.0, -np.inf), "-inf at position 3 .*2020-01-04"),
    (daily().to_frame("a").assign(b=["1", "2", "3", "4", "5"]), "'b'.*'1' at position 0"),
    (daily().to_frame("a").assign(b=[1, None, "x", 2, 3]), "'b'.*'x' at position 2"),
    (daily().to_frame("a").assign(b=pd.Timestamp("2020")), "'b' is not numeric"),
    (daily().to_frame("a").assign(b=1j), "'b' is not numeric"),
    (daily().to_frame("a").assign(b=np.nan), "observed in column 'b'"),
    (pd.concat([daily(name="a"), daily(name="a")], axis=1), "appears more than once"),
    (pd.concat([daily(), daily()], axis=1).set_axis([0, 0], axis=1), "Column 0 appears"),
    (trio().where(trio()["y"] != 100.0), "1 of 3 series: 'T2'"),
    (trio().swaplevel(), "swaplevel"),
    (pd.concat({"x": trio()}), "3 levels"),
    (daily().set_axis(pd.MultiIndex.from_arrays([list("aab") + [None] * 2, range(5)])), "2 of 5"),
]


@pytest.mark.parametrize(("data", "message"), BAD_DATA)
def test_bad_data_is_refused(data: Any, message: str) -> None:
    """The message names what is wrong and where."""
    with pytest.raises(DataError, match=message):
        read_frame(data)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (3, "fitted on dates, but the times in X are numbers"),
        (pd.Series(pd.date_range("2020", periods=3)), "read by its index"),
        (["2020-01-01", None], "1 of 2 .* position 1"),
        (pd.DatetimeIndex(["2020-01-01", pd.NaT]), "1 of 2 .* position 1"),
        ("soon", "'soon' can't be read"),
        ("730D", "pd.Timedelta"),
        (pd.Timestamp("2020", tz="UTC"), "tz_localize"),
        ([pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2020")], "others have none"),
        (pd.Period("2020"), "to_timestamp"),
        (pd.period_range("2020", periods=2), "to_timestamp"),
        (pd.Index(["2020-01-01"]), "pd.to_datetime"),
        ([pd.Timedelta("1D"), 3], "pd.to_timedelta"),
        ([np.timedelta64(1, "Y")], "can't be read"),
        (np.array([[1, 2]]), r"shape \(1, 2\)"),
        (True, "boolean"),
        (trio().index, "without an id"),
    ],
)
def test_bad_requests_are_refused(X: object, message: str) -> None:
    """On a model of naive dates."""
    with pytest.raises(DataError, match=message):
        ask(X, daily())


def test_other_refusals() -> None:
    """Unknown series, other kinds of time, misplaced options."""
    with pytest.raises(DataError, match=r"series 'Z' is not in the history.*history="):
        ask(pd.MultiIndex.from_product([["Z"], trio().index.levels[1]]), trio())
    with pytest.raises(DataError, match="tz_localize"):
        ask(daily().index, daily(tz="UTC"))
    with pytest.raises(DataError, match="fitted on numbers, but the times in X are dates"):
        ask(daily().index, pd.Series([1.0, 2.0]))
    with pytest.raises(DataError, match="is a string"):
        ask("2020-01-01", pd.Series([1.0, 2.0]))
    with pytest.raises(DataError, match="the times in the history are numbers"):
        read_frame(pd.Series([1.0]), schema=read_frame(daily())[1])
    with pytest.raises(DataError, match="duplicates='first'"):
        read_frame(daily(), duplicates="first")
    with pytest.raises(DataError, match="no column 'when'"):
        read_frame(long_frame(), time_col="when")
    with pytest.raises(DataError, match="unhashable"):
        read_frame(long_frame().assign(uid=[[1]] * 4), time_col="ds", id_col="uid")
    with pytest.raises(DataError, match="needs time_col"):
        read_frame(long_frame(), id_col="uid")
    with pytest.raises(DataError, match="X is a Series"):
        read_frame(daily(), time_col="ds")


@pytest.mark.parametrize("missing", [pd.NaT, np.timedelta64("NaT")])
def test_a_missing_offset_that_is_asked_for_is_named(missing: Any) -> None:
    """Whichever library it is of."""
    days = pd.date_range("2024", periods=30, freq="D")
    model = ode.BaselineForecaster("5D").fit(pd.Series(np.sin(np.arange(30.0)), days))
    with pytest.raises(DataError, match=r"1 of 2 time stamps in the times asked for are missing"):
        model.predict([pd.Timedelta("1D"), missing])
