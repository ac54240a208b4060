"""Splits keep the future out of the training, and backtests tell what was forecast when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline

import odeseries as ode
from odeseries.errors import DataError
from odeseries.metrics import LEVELS
from odeseries.model_selection import PanelSplit, TimeSplit, backtest

pytestmark = pytest.mark.usefixtures("few_windows")

MONTH = pd.Timedelta("30D")
FORMS = ["dates", "zoned", "seconds", "differences", "numbers", "integers"]


def times(form: str, days: np.ndarray) -> pd.Index:
    """Days since 2000 in a kind of time stamp."""
    if form == "numbers":
        return pd.Index(days.astype(float), name="time")
    if form == "integers":
        return pd.Index(np.round(days).astype(np.int64), name="time")
    differences = pd.to_timedelta(np.round(days), "D")
    if form == "differences":
        return pd.TimedeltaIndex(differences, name="time")
    dates = pd.DatetimeIndex(pd.Timestamp("2000-01-01") + differences, name="time")
    if form == "zoned":
        return dates.tz_localize("UTC").tz_convert("Europe/Berlin")
    return dates.as_unit("s") if form == "seconds" else dates


def lasting(form: str, days: int) -> Any:
    """A length of time."""
    return days if form in ("numbers", "integers") else f"{days}D"


@pytest.fixture
def days() -> np.ndarray:
    """Sixty distinct irregular days of 400, the first and the last among them."""
    rng = np.random.default_rng(0)
    inner = rng.choice(np.arange(1, 400), 58, replace=False)
    return np.sort(np.concatenate([[0, 400], inner])).astype(float)


@pytest.fixture
def frame(days: np.ndarray) -> pd.DataFrame:
    """Three series on the same days in a long frame, shuffled."""
    parts = [pd.DataFrame({"who": w, "when": days, "value": days + k}) for k, w in enumerate("abc")]
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=0)


def folds_of(cv: TimeSplit, X: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """All folds."""
    return list(cv.split(X))


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_time_is_split_alike(form: str, days: np.ndarray) -> None:
    """Cutoffs at days 350, 325 and 300: up to them, and fifty days on; edges are exact."""
    y = pd.Series(0.0, index=times(form, days))
    cv = TimeSplit(lasting(form, 50), period=lasting(form, 25), n_splits=3)
    found = folds_of(cv, y)
    assert cv.get_n_splits(y) == len(found) == 3
    for cutoff, (train, test) in zip([300, 325, 350], found, strict=True):
        np.testing.assert_array_equal(train, np.flatnonzero(days <= cutoff))
        inside = (days > cutoff) & (days <= cutoff + 50)
        np.testing.assert_array_equal(test, np.flatnonzero(inside))


@pytest.mark.parametrize("form", FORMS)
def test_cutoffs_are_given_in_the_kind_of_the_data(form: str, days: np.ndarray) -> None:
    """And come back as they are, earliest first."""
    y = pd.Series(0.0, index=times(form, days))
    given = times(form, np.array([200.0, 100.0]))
    cv = TimeSplit(lasting(form, 50), cutoffs=given)
    assert cv.get_n_splits() == 2
    folds = cv.folds(y)
    assert [fold.cutoff for fold in folds] == [given[1], given[0]]
    assert days[folds[0].test].min() > 100
    assert days[folds[0].test].max() <= 150


@pytest.mark.parametrize("form", FORMS)
def test_a_cutoff_that_is_given_twice_is_named(form: str, days: np.ndarray) -> None:
    """Its rows would be there twice."""
    given = times(form, np.array([200.0, 100.0, 200.0]))
    y, length = pd.Series(0.0, index=times(form, days)), lasting(form, 50)
    with pytest.raises(DataError, match=f"cutoffs has {re.escape(str(given[0]))} more than once"):
        TimeSplit(length, cutoffs=given).folds(y)


def test_one_cutoff_in_two_ways_is_given_twice(days: np.ndarray) -> None:
    """As a date and as its string."""
    y = pd.Series(0.0, index=times("dates", days))
    cv = TimeSplit("50D", cutoffs=[pd.Timestamp("2000-06-01"), "2000-06-01"])
    with pytest.raises(DataError, match=r"cutoffs has 2000-06-01 00:00:00 more than once"):
        cv.folds(y)


def test_no_cutoffs_and_numbers_for_dates_are_refused() -> None:
    """Pandas would take numbers for nanoseconds."""
    for values in (pd.date_range("2000", periods=90), pd.to_timedelta(np.arange(90), "D")):
        y = pd.Series(np.arange(90.0), values)
        with pytest.raises(DataError, match="cutoffs is empty"):
            TimeSplit("3D", cutoffs=[]).folds(y)
        for number in (5, 1707523200000000000, 5.5):
            with pytest.raises(DataError, match=f"the first, {number}, is a number"):
                TimeSplit("3D", cutoffs=[number]).folds(y)


def test_cutoffs_may_be_strings_in_the_zone_of_the_data(days: np.ndarray) -> None:
    """Midnight in Berlin is an hour before midnight in UTC."""
    y = pd.Series(0.0, index=times("zoned", days))
    (fold,) = TimeSplit("50D", cutoffs=["2000-06-01"]).folds(y)
    assert fold.cutoff == pd.Timestamp("2000-05-31 22:00", tz="UTC")


@pytest.mark.parametrize("form", FORMS)
def test_a_single_cutoff_needs_no_list(form: str, days: np.ndarray) -> None:
    """It is the list of one."""
    y, (one,) = pd.Series(0.0, index=times(form, days)), times(form, np.array([200.0]))
    alone, listed = (TimeSplit(lasting(form, 50), cutoffs=given) for given in (one, [one]))
    assert alone.get_n_splits() == 1
    assert [f.cutoff for f in alone.folds(y)] == [f.cutoff for f in listed.folds(y)] == [one]


@pytest.mark.parametrize("n_splits", [0, -1, 2.5, True])
def test_a_number_of_folds_is_a_whole_number(n_splits: Any, frame: pd.DataFrame) -> None:
    """At least one; two for a panel, whose series are split."""
    with pytest.raises(ValueError, match=f"n_splits={n_splits} must be a whole number"):
        TimeSplit("8D", n_splits=n_splits)
    with pytest.raises(DataError, match=f"into n_splits={n_splits} folds"):
        list(PanelSplit(n_splits, time_col="when", id_col="who").split(frame))


def test_as_many_folds_as_fit(days: np.ndarray) -> None:
    """From three horizons, or from ``initial``, after the start to a horizon before the end."""
    y = pd.Series(0.0, index=times("numbers", days))
    assert [fold.cutoff for fold in TimeSplit(50).folds(y)] == [150, 200, 250, 300, 350]
    assert [f.cutoff for f in TimeSplit(50, initial=200).folds(y)] == [200, 250, 300, 350]
    assert [f.cutoff for f in TimeSplit(50, period=100).folds(y)] == [150, 250, 350]
    with pytest.raises(ValueError, match="pass X, or set n_splits"):
        TimeSplit(50).get_n_splits()


def layouts(frame: pd.DataFrame) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The same rows as a long frame and as a panel with a two-level index."""
    yield frame, {"time_col": "when", "id_col": "who"}
    yield frame.set_index(["who", "when"]), {}


def test_panels_have_common_cutoffs_in_any_order_of_rows(frame: pd.DataFrame) -> None:
    """Positions are those of the caller's rows; training rows of all series lie before."""
    for X, columns in layouts(frame):
        for fold in TimeSplit(50, n_splits=2, **columns).folds(X):
            train, test = frame.iloc[fold.train], frame.iloc[fold.test]
            assert (train["when"] <= fold.cutoff).all()
            assert test["when"].between(fold.cutoff, fold.cutoff + 50, inclusive="right").all()
            assert set(test["who"]) == set(train["who"]) == {"a", "b", "c"}
            assert len(train) == (frame["when"] <= fold.cutoff).sum()


def test_series_without_observations_on_both_sides_are_not_tested(frame: pd.DataFrame) -> None:
    """One begins after the cutoff, one is not observed before it, and one not after it."""
    when, who = frame["when"], frame["who"]
    late = frame[(who != "a") | (when > 340)].reset_index(drop=True)
    late.loc[(late["who"] == "b") & (late["when"] <= 350), "value"] = np.nan
    X = pd.concat([late, frame[who == "a"].assign(who="d")], ignore_index=True)
    X = pd.concat([X, frame[(who == "a") & (when < 340)].assign(who="e")], ignore_index=True)
    (fold,) = TimeSplit(50, cutoffs=[340], time_col="when", id_col="who").folds(X)
    assert set(X["who"].iloc[fold.train]) == {"c", "d", "e"}
    assert set(X["who"].iloc[fold.test]) == {"c", "d"}


def test_a_cutoff_before_a_gap_is_passed_over() -> None:
    """Nothing lies in its horizon; given by hand it is refused."""
    y = pd.Series(0.0, index=[0.0, 1, 2, 3, 10, 11, 12])
    cutoffs = [fold.cutoff for fold in TimeSplit(1.0, initial=1.0).folds(y)]
    assert cutoffs == [1, 2, 9, 10, 11]
    assert [f.cutoff for f in TimeSplit(1.0, initial=1.0, n_splits=4).folds(y)] == [2, 9, 10, 11]
    with pytest.raises(DataError, match=r"the cutoff 5\.0 and in the horizon"):
        TimeSplit(1.0, cutoffs=[5.0]).folds(y)


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (TimeSplit("50D"), "horizon='50D' is not understood"),
        (TimeSplit(-1.0), "horizon=-1.0 must be positive"),
        (TimeSplit(50, period=0), "period=0 must be positive"),
        (TimeSplit(50, initial="1D"), "initial='1D' is not understood"),
        (TimeSplit(50, n_splits=9), "room for 7 folds of horizon=50, but 9 are wanted"),
        (TimeSplit(500), "room for 0 folds"),
        (TimeSplit(50, cutoffs=["2020-01-01"]), "cutoffs can't be read as numbers"),
        (TimeSplit(50, cutoffs=[1e9]), "No series has something observed"),
    ],
)
def test_what_cannot_be_split_is_said(cv: TimeSplit, message: str, days: np.ndarray) -> None:
    """The argument is named."""
    with pytest.raises(DataError, match=message):
        cv.folds(pd.Series(0.0, index=times("numbers", days)))


def test_bad_data_and_contradictions_are_refused(days: np.ndarray) -> None:
    """Zones, NaN, emptiness, and two ways to place the cutoffs at once."""
    dated = pd.Series(0.0, index=times("dates", days))
    with pytest.raises(DataError, match="have a time zone, but the data have none"):
        TimeSplit("50D", cutoffs=[pd.Timestamp("2000-06-01", tz="UTC")]).folds(dated)
    with pytest.raises(DataError, match="Nothing was observed"):
        TimeSplit("50D").folds(dated * np.nan)
    with pytest.raises(DataError, match="no rows"):
        TimeSplit("50D").folds(dated.iloc[:0])
    with pytest.raises(ValueError, match="not both"):
        TimeSplit("50D", n_splits=2, cutoffs=["2000-06-01"]).folds(dated)


def test_nanoseconds_count_over_decades() -> None:
    """A stamp on the cutoff is trained on, one a nanosecond later is tested."""
    index = pd.DatetimeIndex(
        ["1970-01-01", "2020-01-01", "2020-01-01 00:00:00.000000001", "2020-01-02"]
    ).as_unit("ns")
    ((train, test),) = TimeSplit("1D", n_splits=1).split(pd.Series(0.0, index=index))
    assert train.tolist() == [0, 1]
    assert test.tolist() == [2, 3]


def test_dates_beyond_the_nanosecond_range_are_split() -> None:
    """The year 3969."""
    index = pd.DatetimeIndex(np.arange("3960", "3970", dtype="datetime64[Y]").astype("M8[s]"))
    ((train, test),) = TimeSplit("730D", n_splits=1).split(pd.Series(0.0, index=index))
    assert (len(train), len(test)) == (8, 2)


def test_panel_splits_test_every_series_once(frame: pd.DataFrame) -> None:
    """Whole series, in any layout, the same for the same seed."""
    for X, columns in layouts(frame):
        cv = PanelSplit(3, random_state=0, **columns)
        folds = list(cv.split(X))
        assert cv.get_n_splits() == len(folds) == 3
        tested = [set(frame["who"].iloc[test]) for _, test in folds]
        assert sorted("".join(sorted(t)) for t in tested) == ["a", "b", "c"]
        for train, test in folds:
            assert set(frame["who"].iloc[train]).isdisjoint(frame["who"].iloc[test])
            assert len(train) + len(test) == len(frame)
        again = [test for _, test in cv.split(X)]
        for (_, test), same in zip(folds, again, strict=True):
            np.testing.assert_array_equal(test, same)


def test_panel_splits_differ_by_seed_and_in_size_by_one() -> None:
    """Twenty series in three folds."""
    panel = ode.datasets.make_periodic(20, 5)
    orders = []
    for seed in (0, 1):
        tested = [test for _, test in PanelSplit(3, random_state=seed).split(panel)]
        assert sorted(len(test) // 5 for test in tested) == [6, 7, 7]
        orders.append(np.concatenate(tested))
    assert not np.array_equal(*orders)


def test_too_few_series_are_refused(wave: pd.Series) -> None:
    """A single series is for TimeSplit."""
    with pytest.raises(DataError, match="TimeSplit splits a single series"):
        list(PanelSplit(2).split(wave))


class Drift(BaseEstimator):
    """A normal distribution around the last value seen, as wide as the training data."""

    def fit(self, X: pd.Series, y: None = None) -> Drift:
        """Learn the spread."""
        self.history_, self.spread_ = X, X.std()
        return self

    def predict_quantiles(
        self, X: pd.Series, history: pd.Series | None = None, alpha: Sequence[float] = (0.5,)
    ) -> pd.DataFrame:
        """Around the last value of the history."""
        last = (self.history_ if history is None else history).iloc[-1]
        columns = {(X.name, a): last + self.spread_ * norm.ppf(a) for a in alpha}
        return pd.DataFrame(columns, index=X.index)


@pytest.fixture
def fast() -> ode.LatentODEForecaster:
    """A small forecaster of the wave."""
    return ode.LatentODEForecaster(
        "60D",
        hidden=8,
        latent_dim=4,
        n_rows=8,
        n_lags=2,
        seasonality=None,
        validation_fraction=0,
        n_steps=3,
        random_state=0,
    )


class TestWithForecasters:
    """In scikit-learn's tools, and in backtests."""

    def test_both_splitters_serve_panels(
        self, panel: pd.DataFrame, fast: ode.LatentODEForecaster
    ) -> None:
        """Finite skills by time and by series, in grid search and cross validation."""
        fast.set_params(horizon=2.0)
        panel = panel.loc[:3]
        by_time = TimeSplit(2.0, n_splits=1)
        search = GridSearchCV(fast, {"n_lags": [1, 2]}, cv=by_time, error_score="raise").fit(panel)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert np.isfinite(search.score(panel))
        scores = cross_val_score(fast, panel, cv=PanelSplit(2, random_state=0), error_score="raise")
        assert np.isfinite(scores).all()

    def test_long_frames_are_split_and_backtested_like_panels(
        self, panel: pd.DataFrame, fast: ode.LatentODEForecaster
    ) -> None:
        """The same table from either layout."""
        long = panel.reset_index()
        columns = {"time_col": "time", "id_col": "series"}
        fast.set_params(horizon=2.0)
        table = backtest(fast, panel, cv=TimeSplit(2.0, n_splits=1))
        other = backtest(
            clone(fast).set_params(**columns), long, cv=TimeSplit(2.0, n_splits=1, **columns)
        )
        pd.testing.assert_frame_equal(table, other)

    def test_what_is_only_seen_makes_no_series_a_tested_one(self, panel: pd.DataFrame) -> None:
        """A series whose target begins after the cutoff is no part of the fold."""
        when = panel.index.get_level_values(1)
        cutoff = when.max() - 2.0
        late = panel.copy()
        late.loc[(panel.index.get_level_values(0) == 2) & (when <= cutoff), "y"] = np.nan
        cv = TimeSplit(2.0, cutoffs=[cutoff], targets="y")
        (fold,) = cv.folds(late)
        for part in (fold.train, fold.test):
            assert 2 not in late.index[part].get_level_values(0)
            assert 1 in late.index[part].get_level_values(0)
        model = ode.BaselineForecaster(2.0, targets="y", random_state=0)
        table = backtest(model, late, cv=TimeSplit(2.0, cutoffs=[cutoff]))
        pd.testing.assert_frame_equal(table, backtest(model, late, cv=cv))
        assert set(table["target"]) == {"y"}
        assert set(table["series"]) == set(late.index[fold.test].get_level_values(0))
        with pytest.raises(DataError, match="targets='z' must name different columns"):
            TimeSplit(2.0, targets="z").folds(late)

    def test_the_table_holds_every_observed_value_after_each_cutoff(
        self, panel: pd.DataFrame, fast: ode.LatentODEForecaster
    ) -> None:
        """Once per target, with its truth, its lead and quantiles in order."""
        cv = TimeSplit(2.0, period=1.0, n_splits=2)
        table = backtest(fast.set_params(horizon=2.0), panel, cv=cv, alpha=[0.1, 0.9], refit=False)
        assert list(table.columns) == [
            "cutoff",
            "series",
            "time",
            "lead",
            "target",
            "truth",
            0.1,
            0.9,
        ]
        for fold in cv.folds(panel):
            part = table[table["cutoff"] == fold.cutoff]
            assert len(part) == panel.iloc[fold.test].notna().to_numpy().sum()
            for target in ("x", "y"):
                rows = part[part["target"] == target]
                keys = pd.MultiIndex.from_frame(rows[["series", "time"]])
                np.testing.assert_array_equal(panel[target].loc[keys], rows["truth"])
        np.testing.assert_allclose(table["time"] - table["cutoff"], table["lead"])
        assert table["lead"].between(0, 2, inclusive="right").all()
        assert (table[0.1] < table[0.9]).all()

    @pytest.mark.parametrize("refit", [True, False])
    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_the_future_changes_no_forecast(
        self, wave: pd.Series, refit: bool, n_jobs: int | None
    ) -> None:
        """Values after the last cutoff are replaced; two workers tell the same as one."""
        cv = TimeSplit("60D", n_splits=3)
        table = backtest(Drift(), wave, cv=cv, refit=refit)
        assert table["lead"].dtype.kind == "m"
        changed = wave.copy()
        changed.iloc[cv.folds(wave)[-1].test] += 1000
        with joblib.parallel_config(backend="threading"):
            other = backtest(Drift(), changed, cv=cv, refit=refit, n_jobs=n_jobs)
        pd.testing.assert_frame_equal(table.drop(columns="truth"), other.drop(columns="truth"))
        last = table["cutoff"] == table["cutoff"].max()
        np.testing.assert_allclose(other["truth"] - table["truth"], 1000.0 * last)

    def test_a_fold_is_the_fit_and_the_forecast_by_hand(self, wave: pd.Series) -> None:
        """Refitted at its cutoff, or with the history up to it; the forecaster stays as it is."""
        cv = TimeSplit("60D", n_splits=3)
        first, _, last = cv.folds(wave)
        ahead, seen = wave.iloc[last.test], wave.iloc[last.train]
        forecaster, levels = Drift(), LEVELS.tolist()
        answers = {
            True: Drift().fit(seen).predict_quantiles(ahead, alpha=levels),
            False: Drift().fit(wave.iloc[first.train]).predict_quantiles(ahead, seen, levels),
        }
        assert not np.allclose(*answers.values())
        for refit, answer in answers.items():
            table = backtest(forecaster, wave, cv=cv, alpha=levels, refit=refit)
            chosen = table["cutoff"] == last.cutoff
            np.testing.assert_array_equal(table.loc[chosen, levels], answer)
        assert not hasattr(forecaster, "spread_")
        median = backtest(forecaster, wave, cv=cv, alpha=0.5)
        np.testing.assert_array_equal(median.loc[chosen, 0.5], answers[True]["wave", 0.5])

    @pytest.mark.parametrize("names", [[("flow", "in")], [("flow", "in"), ("flow", "out")]])
    def test_a_pair_is_a_name_of_a_target(self, wave: pd.Series, names: list[Any]) -> None:
        """Of a series, and of the columns of a frame of two levels."""
        data = pd.DataFrame({name: wave + k for k, name in enumerate(names)})
        given = wave.rename(names[0]) if len(names) == 1 else data
        model, cv = ode.BaselineForecaster("60D", random_state=0), TimeSplit("60D", n_splits=1)
        table = backtest(model, given, cv=cv)
        assert table["target"].unique().tolist() == names
        for name in names:
            part = table[[target == name for target in table["target"]]]
            np.testing.assert_array_equal(part["truth"], data[name].loc[part["time"]])

    @pytest.mark.parametrize("dtype", ["Float64", "category", object])
    def test_values_of_any_type_are_a_truth(self, dtype: Any, wave: pd.Series) -> None:
        """As they are for a fit, also where some are missing."""
        y = wave.where(np.arange(len(wave)) % 3 > 0)
        model, cv = ode.BaselineForecaster("60D", random_state=0), TimeSplit("60D", n_splits=1)
        pd.testing.assert_frame_equal(
            backtest(model, y.astype(dtype), cv=cv), backtest(model, y, cv=cv)
        )

    def test_a_frame_without_values_is_refused(self, wave: pd.Series) -> None:
        """As it is by a fit."""
        with pytest.raises(DataError, match="no column to forecast"):
            backtest(ode.BaselineForecaster("60D"), wave.to_frame()[[]], cv=TimeSplit("60D"))

    def test_a_backtest_needs_cutoffs(self, panel: pd.DataFrame) -> None:
        """Splits by series have none."""
        with pytest.raises(TypeError, match=r"PanelSplit.* has no cutoffs.*pass a TimeSplit"):
            backtest(Drift(), panel, cv=PanelSplit(2))  # type: ignore[arg-type]

    def test_a_backtest_needs_quantiles(self, panel: pd.DataFrame) -> None:
        """A pipeline has none."""
        with pytest.raises(TypeError, match=r"Pipeline forecasts no quantiles.* its last step"):
            backtest(Pipeline([("drift", Drift())]), panel, cv=TimeSplit(2.0))

    def test_covariates_are_known_ahead_and_targets_follow_y(
        self, days: np.ndarray, fast: ode.LatentODEForecaster
    ) -> None:
        """Splits count observed targets; y may be an array; the covariates of the test are read."""
        index = times("dates", days)
        X = pd.DataFrame({"force": np.sin(days)}, index=index)
        y = pd.Series(np.where(days > 380, np.nan, days), index=index, name="load")
        cv = TimeSplit("30D", n_splits=2)
        last = index[days <= 380][-1]
        assert [fold.cutoff for fold in cv.folds(X, y)] == [last - 2 * MONTH, last - MONTH]
        named = backtest(fast, X, y, cv=cv, refit=False)
        assert set(named["target"]) == {"load"}
        bare = backtest(fast, X, y.to_numpy(), cv=cv, refit=False)
        pd.testing.assert_frame_equal(named.drop(columns="target"), bare.drop(columns="target"))
        once = TimeSplit("30D", n_splits=1)
        assert np.isfinite(cross_val_score(fast, X, y, cv=once, error_score="raise")).all()

    def test_polars_frames_are_split_by_their_rows(
        self, frame: pd.DataFrame, fast: ode.LatentODEForecaster
    ) -> None:
        """The folds and the table of the pandas frame."""
        columns = {"time_col": "when", "id_col": "who"}
        cv = TimeSplit(50.0, n_splits=1, **columns)
        polars = pl.DataFrame({name: frame[name].to_list() for name in frame.columns})
        for ours, theirs in zip(cv.split(frame), cv.split(polars), strict=True):
            np.testing.assert_array_equal(ours[1], theirs[1])
        forecaster = fast.set_params(horizon=50.0, **columns)
        pd.testing.assert_frame_equal(
            backtest(forecaster, frame, cv=cv),
            backtest(forecaster, polars, cv=cv),
            check_dtype=False,
        )


@pytest.mark.parametrize("step", [0.1, 0.01, 0.3, 0.7, 1 / 3, 1e-3])
@pytest.mark.parametrize(
    ("dtype", "origin"),
    [("float64", 0.0), ("float64", -5.3), ("float64", 1e6), ("Float64", 0.1), ("float32", -5.3)],
)
def test_steps_that_floats_round_are_split_like_whole_numbers(
    step: float, dtype: str, origin: float
) -> None:
    """Every row from the second cutoff on is tested once; cutoffs are the stamps themselves."""
    for n in (11, 40):
        whole = pd.Series(0.0, index=np.arange(n))
        stamps = pd.Index(origin + step * np.arange(n), dtype=dtype)
        for horizon, period in [(1, 1), (2, 1), (3, 3)]:
            expected = TimeSplit(horizon, initial=1, period=period).folds(whole)
            cv = TimeSplit(horizon * step, initial=step, period=period * step)
            found = cv.folds(pd.Series(0.0, index=stamps))
            assert [f.test.tolist() for f in found] == [f.test.tolist() for f in expected]
            assert [f.train.tolist() for f in found] == [f.train.tolist() for f in expected]
            assert [f.cutoff for f in found] == [stamps[f.cutoff] for f in expected]


def test_whole_times_are_exact_whatever_number_the_lengths_are() -> None:
    """Beyond 2**53, where floats tell neighbours not apart."""
    y = pd.Series(0.0, index=2**53 + np.arange(30))
    for given in (TimeSplit(3.0), TimeSplit(3, period=3.0), TimeSplit(3.0, initial=9.0)):
        expected = TimeSplit(3).folds(y)
        assert [f.test.tolist() for f in given.folds(y)] == [f.test.tolist() for f in expected]
        assert [f.cutoff for f in given.folds(y)] == [f.cutoff for f in expected]
    (fold,) = TimeSplit(3, cutoffs=[float(y.index[20])]).folds(y)
    assert (fold.train[-1], fold.test.tolist()) == (20, [21, 22, 23])


@pytest.mark.parametrize("horizon", [1e3, 1e9, 1e19, 1e300, 2**61, 10**30])
def test_a_horizon_far_beyond_the_end_tests_all_that_follows(horizon: float) -> None:
    """And sees nothing of it, on whole times and on floats."""
    for index in (np.arange(60), np.arange(60.0)):
        y = pd.Series(0.0, index=index)
        (fold,) = TimeSplit(horizon, cutoffs=[30]).folds(y)
        assert (fold.train[-1], fold.test[0], fold.test[-1]) == (30, 31, 59)
        with pytest.raises(DataError, match="room for 0 folds"):
            TimeSplit(horizon).folds(y)


def test_cutoffs_when_the_clock_was_changed() -> None:
    """The hour that there was twice, and the one that there was not; a stamp with its zone is."""
    autumn, spring = (
        pd.date_range(day, periods=60, freq="h", tz="Europe/Berlin")
        for day in ("2024-10-26", "2024-03-30")
    )
    for index, cutoff in ((autumn, "2024-10-27 02:30"), (spring, "2024-03-31 02:30")):
        with pytest.raises(DataError, match=f"{cutoff}:00 is no single instant in Europe/Berlin"):
            TimeSplit("6h", cutoffs=[cutoff]).folds(pd.Series(0.0, index=index))
    exact = pd.Timestamp("2024-10-27 02:00+01:00").tz_convert("Europe/Berlin")
    (fold,) = TimeSplit("6h", cutoffs=[exact]).folds(pd.Series(0.0, index=autumn))
    assert (fold.train[-1], len(fold.test)) == (27, 6)


def test_given_cutoffs_test_the_end_of_their_horizon() -> None:
    """0.7 + 0.1 is less than 0.8."""
    y = pd.Series(0.0, index=np.arange(11) / 10)
    for fold in TimeSplit(0.1, cutoffs=y.index[1:-1]).folds(y):
        assert fold.test.tolist() == [len(fold.train)]


def test_large_whole_numbers_are_compared_exactly() -> None:
    """Nanoseconds since 1970: a stamp one after the cutoff is tested, one past the end is not."""
    y = pd.Series(0.0, index=1_700_000_000 * 10**9 + np.array([0, 1, 10**15, 10**15 + 1]))
    (fold,) = TimeSplit(10**15, cutoffs=[y.index[0]]).folds(y)
    assert (fold.train.tolist(), fold.test.tolist()) == ([0], [1, 2])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint64", "UInt8", "Int64"])
def test_whole_times_of_every_width_are_split_alike(dtype: str) -> None:
    """Nothing overflows below zero or above 255, and what does not fit is refused at once."""
    y = pd.Series(0.0, index=pd.Index(np.arange(250), dtype=dtype))
    plain = pd.Series(0.0, index=np.arange(250))
    for horizon in (np.uint8(20), 20, 20.0):
        found = TimeSplit(horizon, period=9).folds(y)
        expected = TimeSplit(20, period=9).folds(plain)
        assert [f.cutoff for f in found] == [f.cutoff for f in expected]
        assert [f.test.tolist() for f in found] == [f.test.tolist() for f in expected]
    with pytest.raises(DataError, match="room for 0 folds"):
        TimeSplit(300).folds(y)


class Zero(BaseEstimator):
    """Zero for every quantile of y; the columns are those of any forecaster."""

    def __init__(self, time_col: Any = None, id_col: Any = None, targets: Any = None) -> None:
        self.time_col, self.id_col, self.targets = time_col, id_col, targets

    def fit(self, X: pd.DataFrame, y: None = None) -> Zero:
        """Learn nothing."""
        return self

    def predict_quantiles(self, X: pd.DataFrame, alpha: Sequence[float]) -> pd.DataFrame:
        """Nothing but zeros."""
        return pd.DataFrame({("y", a): 0.0 for a in alpha}, index=X.index)


class TestColumnsOfLongFrames:
    """A splitter that is not told the columns takes those of the forecaster, or refuses."""

    @pytest.fixture
    def backwards(self) -> pd.DataFrame:
        """Two series in a long frame of numbers whose last rows come first."""
        when = np.arange(29.0, -1, -1)
        parts = [pd.DataFrame({"who": k, "when": when, "y": when % 3}) for k in (1, 2)]
        return pd.concat(parts, ignore_index=True)

    def test_a_backtest_takes_the_columns_of_the_forecaster(self, backwards: pd.DataFrame) -> None:
        """Row numbers are no times."""
        columns = {"time_col": "when", "id_col": "who"}
        table = backtest(Zero(**columns), backwards, cv=TimeSplit(3.0, n_splits=1))
        told = backtest(Zero(**columns), backwards, cv=TimeSplit(3.0, n_splits=1, **columns))
        pd.testing.assert_frame_equal(table, told)
        assert sorted(table["time"]) == [27, 27, 28, 28, 29, 29]

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            ({"time_col": "when"}, {"time_col": "then", "id_col": "who"}),
            ({"time_col": "when", "id_col": "who"}, {"time_col": "when"}),
            ({"time_col": "when"}, {}),
            ({"targets": ["y"]}, {"targets": "z"}),
        ],
    )
    def test_a_backtest_refuses_columns_that_differ(
        self, backwards: pd.DataFrame, ours: dict[str, Any], theirs: dict[str, Any]
    ) -> None:
        """And names both."""
        name = list(ours)[-1]
        with pytest.raises(ValueError, match=rf"cv has {name}=.*forecaster has {name}="):
            backtest(Zero(**theirs), backwards, cv=TimeSplit(3.0, **ours))

    @pytest.mark.parametrize("given", ["y", ["y"], ("y",)])
    def test_one_target_may_be_named_in_a_list(self, wave: pd.Series, given: Any) -> None:
        """The same column."""
        cv = TimeSplit("60D", n_splits=1, targets=given)
        assert len(backtest(Zero(targets="y"), wave.to_frame("y"), cv=cv))

    def test_long_frames_are_not_split_by_row_number(self, backwards: pd.DataFrame) -> None:
        """Text or dates in a column tell that rows are no times; a wide frame is split as ever."""
        dated = backwards.assign(when=pd.Timestamp("2024-01-01") + backwards["when"] * MONTH)
        named = backwards.assign(who=backwards["who"].astype(str))
        polars = pl.DataFrame({name: named[name].to_list() for name in named.columns})
        for X in (dated, named, named.sample(frac=1, random_state=0), polars):
            for cv in (TimeSplit(3), PanelSplit(2)):
                with pytest.raises(DataError, match=r"only numbers its rows.*time_col= and id_col"):
                    next(iter(cv.split(X)))
        with pytest.raises(DataError, match="'when' holds datetime64"):
            cross_val_score(Zero("when", "who"), dated, cv=TimeSplit(3, n_splits=1), scoring=len)
        assert len(TimeSplit(3).folds(backwards))
        assert len(TimeSplit(3).folds(named.rename_axis("row")))
        assert len(TimeSplit(3).folds(named[["who"]], named["y"]))


def test_a_backtest_refuses_an_infinite_truth_before_any_fit(panel: pd.DataFrame) -> None:
    """Though no fit would see it; the series and the time are named."""
    last = panel.index.tolist()[-1]
    panel = panel.copy()
    panel.loc[last, "y"] = np.inf
    place = re.escape(f"(series {last[0]!r}, time {last[1]})")
    with pytest.raises(DataError, match=f"'y' holds inf at position {len(panel) - 1} {place}"):
        backtest(None, panel, cv=TimeSplit(2.0, n_splits=1))


@pytest.mark.parametrize("alpha", [[0.5, 0.5], [], [0.1, 90], 0.0, [float("nan")]])
def test_a_backtest_refuses_its_levels_before_any_fit(alpha: Any) -> None:
    """Twice the same, none, and what is no probability."""
    with pytest.raises(
        ValueError, match=r"alpha=.* (no probability twice|a list of|not a probability)"
    ):
        backtest(None, pd.Series(0.0, index=range(30)), cv=TimeSplit(3), alpha=alpha)
