"""Pictures show what was seen and forecast, and nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

import odeseries as ode
from odeseries.plotting import plot_forecast, plot_history

pytestmark = pytest.mark.usefixtures("few_windows")

mpl.use("agg")


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def forecast(start: pd.Index, level: float = 5.0) -> tuple[pd.Series, pd.DataFrame]:
    """A flat median and two intervals for the targets "flow" and "heat" at some times."""
    columns = pd.MultiIndex.from_product([["flow", "heat"], [0.5, 0.975], ["lower", "upper"]])
    low_high = np.array([-1.0, 1.0, -3.0, 3.0])
    values = np.tile(np.concatenate([level + low_high, 50 + low_high]), (len(start), 1))
    return pd.Series(level, index=start, name="flow"), pd.DataFrame(
        values, index=start, columns=columns
    )


@pytest.fixture
def history() -> pd.Series:
    """Ten daily values with a hole."""
    index = pd.date_range("2024-01-01", periods=10, name="day")
    return pd.Series([0.0, 1, 2, np.nan, 4, 5, 6, 7, 8, 9], index=index, name="flow")


def lines(ax: Axes) -> dict[str, np.ndarray]:
    """Points of the labelled lines, shape (n, 2)."""
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in ax.lines}


def test_points_median_and_bands_are_the_numbers_given(history: pd.Series) -> None:
    """Observed points without the hole; the wide band below the narrow one."""
    median, intervals = forecast(pd.date_range("2024-01-11", periods=5))
    ax = plot_forecast(history, median, intervals)
    drawn = lines(ax)
    seen = history.dropna()
    np.testing.assert_allclose(
        drawn["observed"], np.column_stack([date2num(seen.index.to_numpy()), seen])
    )
    assert (drawn["median forecast"][:, 1] == 5).all()
    wide, narrow = ax.collections
    assert (wide.get_label(), narrow.get_label()) == ("97.5% interval", "50% interval")
    heights = [band.get_paths()[0].vertices[:, 1] for band in (wide, narrow)]
    assert [(h.min(), h.max()) for h in heights] == [(2, 8), (4, 6)]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("day", "flow")
    legend = ax.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == 4


def test_the_end_of_the_history_is_marked_only_under_a_forecast(history: pd.Series) -> None:
    """A line at the last observation; none where the times lie inside the history."""
    ahead = plot_forecast(history, *forecast(pd.date_range("2024-01-11", periods=5)))
    ends = [line.get_xdata() for line in ahead.lines if line.get_linestyle() == ":"]
    (end,) = ends
    assert set(np.asarray(end, dtype="datetime64[D]")) == {np.datetime64("2024-01-10")}
    inside = plot_forecast(history, *forecast(pd.date_range("2024-01-02", periods=5)))
    assert not [line for line in inside.lines if line.get_linestyle() == ":"]


def test_another_target_is_chosen_by_name(history: pd.Series) -> None:
    """Its bands lie around 50."""
    median, intervals = forecast(pd.date_range("2024-01-11", periods=5), level=50.0)
    ax = plot_forecast(history.rename("heat"), median, intervals, target="heat")
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == 53
    assert ax.get_ylabel() == "heat"


def test_rows_may_come_in_any_order_and_with_numbers_for_times() -> None:
    """The line runs from left to right; only the last observations are shown."""
    history = pd.Series([3.0, 1.0, 2.0], index=[3.0, 1.0, 2.0])
    median, intervals = forecast(pd.Index([6.0, 4.0, 5.0]))
    before = history.copy()
    ax = plot_forecast(history, median, intervals, last=2)
    drawn = lines(ax)
    np.testing.assert_array_equal(drawn["observed"], [[2, 2], [3, 3]])
    np.testing.assert_array_equal(drawn["median forecast"][:, 0], [4, 5, 6])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time", "value")
    pd.testing.assert_series_equal(history, before)


def test_time_differences_are_drawn_in_a_unit_of_a_few_steps() -> None:
    """Days, or hours where there are few; axes that were drawn on keep their unit."""
    hours = pd.to_timedelta(np.arange(0.0, 120, 12), "h")
    history = pd.Series(np.arange(10.0), index=pd.TimedeltaIndex(hours, name="age"))
    median, intervals = forecast(hours[-3:] + pd.Timedelta("36h"))
    index = pd.MultiIndex.from_product([[0], median.index], names=["sample", "age"])
    paths = pd.DataFrame({"flow": [1.0, 2, 3]}, index=index)
    ax = plot_forecast(history, median, intervals, paths=paths)
    drawn = lines(ax)
    assert ax.get_xlabel() == "age [days]"
    np.testing.assert_allclose(drawn["observed"][:, 0], np.arange(10) / 2)
    for name in ("median forecast", "sample paths"):
        np.testing.assert_allclose(drawn[name][:, 0], [5, 5.5, 6])
    assert ax.collections[0].get_paths()[0].vertices[:, 0].max() == 6
    (end,) = [line.get_xdata() for line in ax.lines if line.get_linestyle() == ":"]
    assert set(np.asarray(end)) == {4.5}
    short = history[:3], median.set_axis(hours[3:6]), intervals.set_axis(hours[3:6])
    assert plot_forecast(*short).get_xlabel() == "age [hours]"
    assert plot_forecast(*short, ax=ax).get_xlabel() == "age [days]"


def test_sample_paths_are_thin_lines_one_a_sample(history: pd.Series) -> None:
    """Of the chosen target, from left to right, with one entry in the legend."""
    median, intervals = forecast(pd.date_range("2024-01-11", periods=3))
    when = median.index[[2, 0, 1]]
    index = pd.MultiIndex.from_product([[0, 1], when], names=["sample", "day"])
    paths = pd.DataFrame({"flow": [3.0, 1, 2, 6, 4, 5], "heat": 9.0}, index=index)
    ax = plot_forecast(history, median, intervals, paths=paths)
    thin = [line for line in ax.lines if line.get_linewidth() < 0.7]
    assert [np.asarray(line.get_ydata()).tolist() for line in thin] == [[1, 2, 3], [4, 5, 6]]
    assert all(np.array_equal(line.get_xdata(), median.index) for line in thin)
    labels = [str(line.get_label()) for line in ax.lines]
    assert labels.count("sample paths") == 1
    alone = plot_forecast(history, median, intervals, paths=paths["heat"])
    assert np.asarray(alone.lines[0].get_ydata()).tolist() == [9, 9, 9]


def test_all_that_a_forecaster_answers_can_be_drawn(
    wave: pd.Series, wave_model: ode.LatentODEForecaster
) -> None:
    """Median, intervals and paths of one model in one picture."""
    times = ode.future_times(wave, "60D", n=7)
    ax = ode.plot_forecast(
        wave,
        wave_model.predict(times),
        wave_model.predict_interval(times),
        paths=wave_model.sample(times, n_samples=4),
    )
    assert len(ax.lines) == 4 + 3
    ax.figure.canvas.draw()


class Fitted(BaseEstimator):
    """As a forecaster after a fit of two phases."""

    def __init__(self, phases: list[str], held_out: list[float]) -> None:
        loss = np.arange(len(phases), 0, -1.0)
        self.history_ = pd.DataFrame({"phase": phases, "loss": loss, "held_out_loss": held_out})

    def fit(self) -> None:
        """What makes it an estimator."""


def test_losses_are_drawn_epoch_after_epoch() -> None:
    """Both phases under one label, the best held-out epoch marked, a line between the phases."""
    fitted = Fitted(["search"] * 3 + ["all"] * 2, [5.0, 3.0, 4.0, np.nan, np.nan])
    ax = plot_history(fitted)
    drawn = lines(ax)
    np.testing.assert_array_equal(drawn["loss"], [[1, 5], [2, 4], [3, 3]])
    (rest,) = [line for line in ax.lines if np.array_equal(line.get_xdata(), [4, 5])]
    np.testing.assert_array_equal(rest.get_ydata(), [2, 1])
    np.testing.assert_array_equal(drawn["held-out loss"][:3], [[1, 5], [2, 3], [3, 4]])
    np.testing.assert_array_equal(drawn["best held-out loss"], [[2, 3]])
    (change,) = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert set(np.asarray(change.get_xdata())) == {3.5}
    assert [text.get_text() for text in ax.texts] == ["search", "all"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


def test_without_a_held_out_part_there_is_one_curve() -> None:
    """One epoch is a point."""
    ax = plot_history(Fitted(["all"], [np.nan]))
    assert list(lines(ax)) == ["loss"]
    assert ax.lines[0].get_marker() == "."


def test_a_forecaster_draws_its_own_history(wave_model: ode.LatentODEForecaster) -> None:
    """On the axes given; before the fit it says so."""
    figure, ax = plt.subplots()
    assert wave_model.plot_history(ax) is ax
    assert plt.get_fignums() == [figure.number]
    with pytest.raises(NotFittedError):
        ode.LatentODEForecaster().plot_history()


def test_what_was_not_trained_in_epochs_has_no_losses_to_draw(wave: pd.Series) -> None:
    """A baseline, alone or as the best of several."""
    model = ode.BaselineForecaster("60D", method="last", random_state=0).fit(wave)
    best = ode.AutoForecaster("60D", candidates=[model], random_state=0).fit(wave)
    for estimator in (model, best):
        with pytest.raises(ValueError, match="BaselineForecaster was not trained in epochs"):
            plot_history(estimator)


def test_given_axes_are_drawn_on(history: pd.Series) -> None:
    """No figure of its own is opened."""
    figure, ax = plt.subplots()
    assert plot_forecast(history, *forecast(history.index), ax=ax) is ax
    assert plt.get_fignums() == [figure.number]


def test_without_matplotlib_the_extra_is_named(
    history: pd.Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'odeseries\[plot\]'"):
        plot_forecast(history, *forecast(history.index))
    with pytest.raises(ImportError, match=r"pip install 'odeseries\[plot\]'"):
        plot_history(Fitted(["all"], [1.0]))


@pytest.mark.parametrize("last", [0, -3, 1.5, True])
def test_at_least_one_last_observation_is_drawn(history: pd.Series, last: Any) -> None:
    """Zero would be all; no figure is opened."""
    with pytest.raises(ValueError, match=f"last={last} must be a whole number, at least 1"):
        plot_forecast(history, *forecast(history.index), last=last)
    assert not plt.get_fignums()


def test_frames_are_drawn_by_their_column(history: pd.Series) -> None:
    """As the Series of the target."""
    median, intervals = forecast(pd.date_range("2024-01-11", periods=5))
    frames = [data.to_frame().assign(heat=-1.0) for data in (history, median)]
    drawn = [lines(plot_forecast(*pair, intervals)) for pair in ((history, median), frames)]
    for name, points in drawn[0].items():
        np.testing.assert_array_equal(drawn[1][name], points)
    one = plot_forecast(history.to_frame(), median.to_frame(), intervals)
    assert one.get_ylabel() == "flow"


def test_a_target_that_is_not_there_is_named(history: pd.Series) -> None:
    """With those that are."""
    median, intervals = forecast(history.index)
    with pytest.raises(ValueError, match=r"target='z' has no intervals.*\['flow', 'heat'\]"):
        plot_forecast(history, median, intervals, target="z")
    with pytest.raises(ValueError, match=r"history has no column 'heat'; it has \['flow'\]"):
        plot_forecast(history.to_frame(), median, intervals, target="heat")


@pytest.mark.parametrize("well", ["a", 3])
@pytest.mark.parametrize("name", ["history", "median", "intervals", "paths"])
def test_a_panel_is_refused_with_how_to_choose(history: pd.Series, name: str, well: Any) -> None:
    """What the message says can be drawn."""
    median, intervals = forecast(history.index)
    paths = pd.concat({0: median}, names=["sample"])
    given = {"history": history, "median": median, "intervals": intervals, "paths": paths}
    place = 1 if name == "paths" else 0
    panel = pd.concat({well: given[name]}, names=["well"]).swaplevel(0, place)
    choice = re.escape(f"{name}.xs({well!r}, level='well')")
    with pytest.raises(ValueError, match=f"{name} is of a panel.*{choice}"):
        plot_forecast(**{**given, name: panel})  # type: ignore[arg-type]
    plot_forecast(**{**given, name: panel.xs(well, level="well")})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def two_wells() -> pd.DataFrame:
    """A long frame of two series and two targets, the rows of one after those of the other."""
    days, step = pd.date_range("2024-01-01", periods=30), np.arange(30.0)
    flow = [10 + np.sin(step), 50 + np.cos(step)]
    wells = [
        pd.DataFrame({"heat": 5.0 + y, "well": name, "day": days, "flow": y})
        for name, y in zip("ab", flow, strict=True)
    ]
    return pd.concat(wells, ignore_index=True)


@pytest.mark.parametrize("id_col", ["well", None])
def test_long_frames_are_drawn_at_their_times(two_wells: pd.DataFrame, id_col: str | None) -> None:
    """All that a forecaster of long frames answers, of one series."""
    history = two_wells if id_col else two_wells[two_wells["well"] == "a"].drop(columns="well")
    model = ode.BaselineForecaster(
        "8D", method="last", time_col="day", id_col=id_col, random_state=0
    ).fit(history)
    times = ode.future_times(history, "8D", n=4, time_col="day", id_col=id_col)
    given = {
        "history": history,
        "median": model.predict(times),
        "intervals": model.predict_interval(times),
        "paths": model.sample(times, n_samples=3),
    }
    if id_col:
        given = {name: data[data["well"] == "b"] for name, data in given.items()}
    drawn = plot_forecast(**given, target="flow")
    points, days = lines(drawn), pd.date_range("2024-02-01", periods=4, freq="2D")
    np.testing.assert_array_equal(points["observed"][:, 1], given["history"]["flow"])
    assert points["observed"][-1, 0] == date2num(np.datetime64("2024-01-30"))
    for name in ("median forecast", "sample paths"):
        np.testing.assert_array_equal(points[name][:, 0], date2num(days.to_numpy()))
    np.testing.assert_array_equal(points["median forecast"][:, 1], given["median"]["flow"])
    assert (drawn.get_xlabel(), drawn.get_ylabel()) == ("day", "flow")
    assert plot_forecast(**given).get_ylabel() == "heat"


def long_forecast(wells: str = "a") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Median and intervals of "flow" and "heat", with the columns "well" and "day" in front."""
    days = pd.date_range("2024-02-01", periods=4)
    median, intervals = forecast(pd.RangeIndex(len(wells) * 4))
    frame = median.to_frame().assign(heat=50.0)
    for data, depth in ((frame, 1), (intervals, 3)):
        for place, (key, values) in enumerate(
            {"well": np.repeat(list(wells), 4), "day": np.tile(days, len(wells))}.items()
        ):
            data.insert(place, key if depth == 1 else (key, "", ""), values)  # type: ignore[arg-type]
    return frame, intervals


def test_several_series_of_a_long_frame_are_refused(two_wells: pd.DataFrame) -> None:
    """With how to choose one, which has to be the same everywhere."""
    median, intervals = long_forecast("ab")
    with pytest.raises(ValueError, match=r"history\[history\['well'\] == 'a'\]"):
        plot_forecast(two_wells, median, intervals)
    one = two_wells[two_wells["well"] == "b"]
    with pytest.raises(ValueError, match=r"median is of a panel, with 2 series in.* 'well'"):
        plot_forecast(one, median, intervals)
    with pytest.raises(ValueError, match="history is of the series 'b', but intervals are of 'a'"):
        plot_forecast(one, *long_forecast("a"))


def test_times_are_where_those_of_the_intervals_are(two_wells: pd.DataFrame) -> None:
    """Otherwise row numbers would be drawn for times; arrays have none."""
    one = two_wells[two_wells["well"] == "a"]
    median, intervals = long_forecast()
    dated, bands = median.set_index("day"), intervals.set_axis(pd.DatetimeIndex(median["day"]))
    bands = bands[["flow", "heat"]]
    plot_forecast(one.set_index("day"), dated, bands)
    plot_forecast(one.set_index("day")["flow"], median, intervals)
    with pytest.raises(ValueError, match=r"times in the column 'day', but median has no such"):
        plot_forecast(one, median["flow"], intervals)
    with pytest.raises(ValueError, match=r"history has its times in the column 'day'.*set_index"):
        plot_forecast(one, dated, bands)
    with pytest.raises(ValueError, match=r"the index of history are numbers, those of interv.*dat"):
        plot_forecast(one.rename(columns={"day": "date"}), dated, bands)
    with pytest.raises(ValueError, match="median is a ndarray and carries no time stamps"):
        plot_forecast(one, median["flow"].to_numpy(), intervals)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"intervals must have columns \(target, coverage"):
        plot_forecast(one, median, median)


def test_the_name_of_a_series_chooses_the_target(history: pd.Series) -> None:
    """Of frames it is the first; a name that is no target needs one to be named."""
    median, intervals = forecast(pd.date_range("2024-01-11", periods=5))
    both = median.to_frame().assign(heat=50.0)
    ax = plot_forecast(history.rename("heat"), both, intervals)
    assert set(lines(ax)["median forecast"][:, 1]) == {50}
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == 53
    with pytest.raises(ValueError, match=r"history is named 'z', but intervals are of 'flow', 'h"):
        plot_forecast(history.rename("z"), both, intervals)
    with pytest.raises(ValueError, match=r"history has no name, .* say with target="):
        plot_forecast(history.rename(None), both, intervals)
    named = plot_forecast(history.rename("z"), both, intervals, target="heat")
    assert set(lines(named)["median forecast"][:, 1]) == {50}
    assert plot_forecast(history.rename(None), both[["flow"]], intervals[["flow"]]).lines


def test_the_legend_hides_no_points(history: pd.Series) -> None:
    """It is where there are none; here they are at the top left."""
    median, intervals = forecast(pd.date_range("2024-01-11", periods=5), level=-5.0)
    falling = history.set_axis(history.index).mul(-1)
    ax = plot_forecast(falling, median, intervals)
    ax.figure.canvas.draw()
    legend = ax.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    seen = ax.transData.transform(lines(ax)["observed"])
    assert not box.count_contains(seen)


def test_what_is_drawn_twice_has_one_entry_in_the_legend(history: pd.Series) -> None:
    """The second forecast of the same series; new labels are added."""
    median, intervals = forecast(pd.date_range("2024-01-11", periods=5))
    ax = plot_forecast(history, median, intervals)
    later = median.index + pd.Timedelta("9D")
    plot_forecast(history, median.set_axis(later), intervals.set_axis(later), ax=ax)
    ax.plot(later, median, label="more")
    plot_forecast(history, median, intervals, ax=ax)
    legend = ax.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    bands = ["97.5% interval", "50% interval"]
    assert sorted(labels) == sorted([*bands, "observed", "median forecast", "more"])
