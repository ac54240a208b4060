"""Laws of the frame layer on arbitrary frames: the asked index returns, bad data is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandas.testing as tm
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odeseries.errors import DataError
from odeseries.frames import future_times, point_output, read_frame, read_queries, sample_output

quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
ZONES = [None, "UTC", "Europe/Paris", "America/St_Johns", "Asia/Kathmandu"]
NAMES = st.sampled_from([None, "t", 0, ("a", 1)])


@st.composite
def stamps(draw: st.DrawFn, n: int) -> pd.Index:
    """Index of n distinct stamps, unsorted, of any legal kind, unit and zone."""
    ticks = draw(st.lists(st.integers(-(10**9), 4 * 10**9), min_size=n, max_size=n, unique=True))
    kind = draw(st.sampled_from(["datetime", "timedelta", "int", "float"]))
    name = draw(NAMES)
    if kind == "int":
        return pd.Index(
            np.array(ticks, dtype=np.int64) + draw(st.sampled_from([0, 10**18])), name=name
        )
    if kind == "float":
        return pd.Index(np.array(ticks) / 1024, name=name)
    unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
    values = np.array(ticks, dtype=np.int64).astype(f"{kind}64[{unit}]")
    if kind == "timedelta":
        index: pd.Index = pd.TimedeltaIndex(values)
    else:
        zone = draw(st.sampled_from(ZONES))
        dates = pd.DatetimeIndex(values)
        index = dates if zone is None else dates.tz_localize("UTC").tz_convert(zone)
    return index.rename(name)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """A legal wide frame or panel in any order of rows, with gaps."""
    n = draw(st.integers(1, 12))
    index = draw(stamps(n))
    if draw(st.booleans()):
        labels = st.sampled_from(["T1", "T11", 1, "1", 2.5])
        ids = pd.Index(draw(st.lists(labels, min_size=n, max_size=n)), tupleize_cols=False)
        index = pd.MultiIndex.from_arrays([ids.astype(object).rename("id"), index])
    floats = st.floats(-1e30, 1e30, width=64)
    first = draw(st.lists(floats, min_size=n, max_size=n))
    second = draw(st.lists(floats | st.just(np.nan), min_size=n, max_size=n))
    second[0] = 1.0
    return pd.DataFrame({"a": first, ("b", 2): second}, index=index).set_axis(["a", 7], axis=1)


@quick
@given(frames(), st.data())
def test_any_legal_frame_comes_back_on_the_asked_index(frame: pd.DataFrame, data: Any) -> None:
    """Asking for the rows of the data, shuffled and repeated, gives index and rows unchanged."""
    before = frame.copy(deep=True)
    panel, schema = read_frame(frame)
    rows = data.draw(st.lists(st.integers(0, len(frame) - 1), max_size=15))
    wanted = frame.iloc[rows]
    queries = read_queries(wanted, schema, panel)
    tm.assert_index_equal(queries.index, wanted.index, exact=True)
    tm.assert_frame_equal(frame, before)
    values = np.full((len(rows), 2), np.nan)
    for k, (series, time) in enumerate(zip(queries.series, queries.times, strict=True)):
        times, observed = panel.series(series)
        values[k] = observed[np.flatnonzero(times == time)[0]]
    tm.assert_frame_equal(point_output(values, queries, schema), wanted, check_column_type=False)


@quick
@given(frames(), st.randoms(use_true_random=False))
def test_order_of_rows_within_series_is_irrelevant(frame: pd.DataFrame, random: Any) -> None:
    """A shuffled frame gives the same series, whatever their order."""
    rows = list(range(len(frame)))
    random.shuffle(rows)
    (one, clock), (two, other) = read_frame(frame), read_frame(frame.iloc[rows])
    assert clock == other
    assert set(one.ids) == set(two.ids)
    two = two.select([two.ids.index(label) for label in one.ids])
    np.testing.assert_array_equal(one.times, two.times)
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.origins, two.origins)


@quick
@given(frames())
def test_panel_is_well_formed(frame: pd.DataFrame) -> None:
    """Times never decrease, begin at the origin, and no stored row is empty."""
    panel, _ = read_frame(frame)
    assert panel.offsets[-1] == panel.n_rows == len(frame)
    assert (panel.origins >= 0).all()
    for times, values in panel:
        assert (np.diff(times) >= 0).all()
        assert times[0] == pytest.approx(0.0, abs=1e-6)
        assert not np.isnan(values).all(axis=1).any()


@quick
@given(frames(), st.integers(1, 3))
def test_future_follows_the_end_and_samples_stack(frame: pd.DataFrame, n: int) -> None:
    """What future_times gives can be asked as it is, lies ahead, and is sampled in blocks."""
    panel, schema = read_frame(frame)
    horizon = 100 if schema.clock.kind == "number" else "100s"
    queries = read_queries(future_times(frame, horizon, n=n), schema, panel)
    assert (queries.times > panel.spans()[queries.series]).all()
    assert len(queries.times) == n * len(panel)
    paths = sample_output(np.zeros((2, len(queries.times), 2)), queries, schema)
    tm.assert_index_equal(paths.loc[1].index, queries.index, exact=False)


def _no_time(frame: pd.DataFrame) -> pd.DataFrame:
    when = frame.index.get_level_values(frame.index.nlevels - 1)
    return frame.set_axis(when.where(np.arange(len(when)) > 0), axis=0)


SPOIL: dict[str, Any] = {
    "array": lambda frame: frame.to_numpy(),
    "infinity": lambda frame: frame.assign(a=np.inf),
    "text": lambda frame: frame.assign(a="x"),
    "unobserved": lambda frame: frame.assign(a=np.nan),
    "no rows": lambda frame: frame.iloc[:0],
    "no columns": lambda frame: frame[[]],
    "no time": _no_time,
    "text times": lambda frame: frame.set_axis([f"t{k}" for k in range(len(frame))], axis=0),
    "conflict": lambda frame: pd.concat([frame, frame.assign(a=frame["a"] + 1 + frame["a"].abs())]),
}


@quick
@given(frames(), st.sampled_from(sorted(SPOIL)))
def test_any_illegal_frame_is_one_data_error(frame: pd.DataFrame, how: str) -> None:
    """Whatever is wrong, the error is the package's own and a whole sentence."""
    with pytest.raises(DataError) as caught:
        read_frame(SPOIL[how](frame))
    assert str(caught.value).endswith(".")
