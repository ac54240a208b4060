"""Training on forecasts from given times."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest

import odeseries as ode
from odeseries.errors import DataError
from odeseries.frames import read_frame
from odeseries.panel import Float64, Panel
from odeseries.sampling import WindowSampler, cutoff_windows, forecast_windows
from odeseries.scaling import Scaling
from odeseries.windows import Windows

CUTOFF = 5.0


def ragged() -> pd.DataFrame:
    """Series on both sides of the cutoff, and one on each side alone."""
    stamps = {"a": [0.0, 2.0, 5.0, 6.0, 7.0, 7.5], "b": [4.0, 5.5], "c": [1.0, 2.0], "d": [6.0]}
    return pd.concat({k: pd.DataFrame({"y": np.array(t)}, index=t) for k, t in stamps.items()})


def jumping(n_series: int = 12) -> pd.DataFrame:
    """Nothing before the cutoff tells of the jump after it, but that it comes at that time."""
    rng = np.random.default_rng(0)
    series = {}
    for i in range(n_series):
        times = np.sort(rng.uniform(0, 10, 24))
        values = np.where(times > CUTOFF, 3.0, 0.0) + 0.05 * rng.standard_normal(24)
        series[i] = pd.DataFrame({"y": values}, index=times)
    return pd.concat(series)


def test_what_is_seen_ends_at_the_cutoff_and_what_is_asked_at_the_horizon() -> None:
    """The row at the cutoff is seen; series without rows on either side are left out."""
    panel, _ = read_frame(ragged())
    scaled = Scaling.fitted(panel, 2.0).apply(panel)
    windows = cutoff_windows(scaled, np.array([CUTOFF / 2]), np.zeros(4), n_queries=8)
    assert windows.series.tolist() == [0, 1]
    stamps = scaled.values[:, 0] * panel.values.std() + panel.values.mean()
    asked = [
        stamps[w[:n]].round(6).tolist() for w, n in zip(windows.rows, windows.counts, strict=True)
    ]
    assert asked == [[6.0, 7.0], [5.5]]
    seen = [
        stamps[panel.offsets[i] : left].max() for i, left in zip((0, 1), windows.left, strict=True)
    ]
    np.testing.assert_allclose(seen, [5.0, 4.0])


def test_a_long_horizon_is_asked_for_all_over_by_each_of_its_windows() -> None:
    """Every row once, in windows of nearly equal size that reach from near to far."""
    series = pd.Series(np.arange(20.0), index=np.arange(20.0))
    panel, _ = read_frame(series)
    scaled = Scaling.fitted(panel, 15.0).apply(panel)
    windows = cutoff_windows(scaled, np.array([0.3]), np.zeros(1), n_queries=4)
    asked = [rows[:n] for rows, n in zip(windows.rows, windows.counts, strict=True)]
    assert sorted(np.concatenate(asked)) == list(range(5, 20))
    assert [len(rows) for rows in asked] == [4, 4, 4, 3]
    assert all(rows[0] < 9 and rows[-1] > 15 for rows in asked)


def sampler_of(scaled: Panel, cutoffs: Float64, n_queries: int) -> WindowSampler:
    """With the shares of interpolations and backcasts of a training without cutoffs."""
    rng = np.random.default_rng(0)
    shares = {"interpolation": 0.25, "backcast": 0.05}
    return WindowSampler(scaled, rng, n_queries=n_queries, **shares, cutoffs=cutoffs)


def test_a_cover_asks_from_the_cutoffs_alone() -> None:
    """Each epoch has every forecast equally often, and no interpolation or backcast."""
    panel, _ = read_frame(jumping())
    scaled = Scaling.fitted(panel, 2.0).apply(panel)
    sampler = sampler_of(scaled, np.array([CUTOFF / 2]), 64)
    cover = sampler.cover(30)
    assert np.bincount(cover.series).tolist() == [3] * 12
    assert (cover.right == cover.right_end).all()


def test_every_epoch_has_all_forecasts_from_the_cutoffs_in_an_order_of_its_own() -> None:
    """They are cut once; an epoch permutes them, once more for every repetition."""
    panel, _ = read_frame(jumping())
    scaled, cutoffs = Scaling.fitted(panel, 2.0).apply(panel), np.array([1.5, CUTOFF / 2])
    every = cutoff_windows(scaled, cutoffs, np.zeros(12), n_queries=2)
    sampler = sampler_of(scaled, cutoffs, 2)
    rng = np.random.default_rng(0)
    for least in (1, 2 * len(every), 5):
        n_orders = max(least // len(every), 1)
        order = np.concatenate([rng.permutation(len(every)) for _ in range(n_orders)])
        cover = sampler.cover(least)
        for f in fields(cover):
            np.testing.assert_array_equal(
                getattr(cover, f.name), getattr(every.take(order), f.name)
            )


def test_what_happens_at_the_cutoff_is_learnt() -> None:
    """Every forecast goes up, though no history shows that it will."""
    frame = jumping()
    model = ode.BaselineForecaster(4.0, cutoffs=CUTOFF, seasonality=None, random_state=0)
    early = frame[frame.index.get_level_values(1) <= CUTOFF]
    found = model.fit(frame).predict([6.0, 8.0], history=early)
    np.testing.assert_allclose(found["y"], 3.0, atol=0.15)


def test_a_combination_trains_all_its_members_from_the_cutoffs() -> None:
    """Every forecast goes up, though one from elsewhere would stay where it is."""
    frame = jumping()
    candidates = [ode.BaselineForecaster(method=m, seasonality=None) for m in ("last", "lags")]
    model = ode.AutoForecaster(4.0, candidates=candidates, cutoffs=CUTOFF, random_state=0)
    early = frame[frame.index.get_level_values(1) <= CUTOFF]
    found = model.fit(frame).predict([6.0, 8.0], history=early)
    assert model.best_.cutoffs == CUTOFF
    np.testing.assert_allclose(found["y"], 3.0, atol=0.15)


def test_a_cutoff_in_the_held_out_share_alone_is_trained_on() -> None:
    """Without an earlier cutoff nothing can be held out, and all data are used."""
    series = pd.Series(np.arange(30.0), index=np.arange(30.0))
    model = ode.LatentODEForecaster(
        3.0, cutoffs=[26.0], seasonality=None, n_rows=4, hidden=2, latent_dim=2
    ).fit(series)
    assert set(model.history_["phase"]) == {"training on all"}


def test_dates_are_read_like_those_asked_for() -> None:
    """Strings are dates in the fitted zone."""
    index = pd.date_range("2024-01-01", periods=40, freq="D", tz="Europe/Berlin")
    series = pd.Series(np.arange(40.0), index=index)
    model = ode.BaselineForecaster("5D", cutoffs=["2024-01-20", "2024-01-30"]).fit(series)
    assert np.isfinite(model.predict(["2024-02-12"])).all()


@pytest.mark.parametrize(
    ("cutoffs", "message"),
    [(100.0, "cutoffs"), ("2024-01-01", "time"), ([0.5, float("nan")], "cutoffs")],
)
def test_cutoffs_that_ask_for_nothing_are_refused(cutoffs: Any, message: str) -> None:
    """Behind all data, of another kind of time, or missing."""
    model = ode.BaselineForecaster(2.0, cutoffs=cutoffs)
    with pytest.raises(DataError, match=message):
        model.fit(jumping())


def gridded(first: float, step: float, later: int) -> tuple[pd.DataFrame, Float64]:
    """Thirty stamps of a grid, and a second series that begins some stamps later."""
    stamps = first + step * np.arange(30)
    rows = {"a": stamps, "b": stamps[later:]}
    return pd.concat({k: pd.DataFrame({"y": t}, index=t) for k, t in rows.items()}), stamps


@pytest.mark.parametrize("step", [1.0, 0.1, 86400.0])
@pytest.mark.parametrize("first", [0.0, -50.0, 1 / 3, 1e5])
def test_rounding_puts_no_row_on_the_other_side_of_a_cutoff_or_a_horizon(
    first: float, step: float
) -> None:
    """Companions and origins change nothing of what is asked for."""
    for n_ahead, later in [(n, k) for n in range(1, 15) for k in (1, 2, 5)]:
        frame, stamps = gridded(first, step, later)
        panel, schema = read_frame(frame)
        model = ode.BaselineForecaster(n_ahead * step, cutoffs=[stamps[12], stamps[22]])
        recipe = model._recipe(panel, schema)
        assert recipe.model_cutoffs is not None
        scaled = Scaling.fitted(panel, recipe.horizon).apply(panel)
        windows = cutoff_windows(scaled, recipe.model_cutoffs, np.zeros(2), n_queries=64)
        rows = [r[:n] - panel.offsets[i] for r, n, i in _windows(windows)]
        expected = [list(range(at, min(at + n_ahead, 30))) for at in (13, 23)]
        assert [r.tolist() for r in rows[:2]] == expected
        assert [(r + later).tolist() for r in rows[2:]] == expected


@pytest.mark.parametrize("n_ahead", [3, 7, 11])
def test_forecasts_from_anywhere_reach_to_the_horizon(n_ahead: int) -> None:
    """So do those that the length of the training is chosen by, and the stretches of an epoch."""
    panel, _ = read_frame(pd.Series(np.arange(60.0), index=np.arange(60.0)))
    scaled = Scaling.fitted(panel, float(n_ahead)).apply(panel)
    rng = np.random.default_rng(0)
    judged = forecast_windows(scaled, np.zeros(1), rng, n_queries=64, most=99)
    whole = judged.left + n_ahead <= 60
    assert (judged.counts[whole] == n_ahead).all()
    shares = {"interpolation": 0.0, "backcast": 0.0}
    cover = WindowSampler(scaled, rng, n_queries=64, **shares).cover(99)
    inner = (cover.left > 0) & (cover.right < 60)
    assert (cover.counts[inner] == n_ahead + 1).all()


def test_a_companion_that_begins_earlier_leaves_something_to_learn_from() -> None:
    """The row at the cutoff is seen, however far from the first stamp of all."""
    early = pd.Series([1.0, 2.0], index=[-50.0, -49.0])
    late = pd.Series([1.0, 2.0], index=[2.0, 4.0])
    params = {"method": "last", "cutoffs": 2.0, "validation_fraction": 0, "random_state": 0}
    model = ode.BaselineForecaster(3.0, **params).fit(pd.concat({"a": early, "b": late}))
    assert np.isfinite(model.predict([5.0])).all()


def _windows(windows: Windows) -> Any:
    """Rows, number of rows and series of each window."""
    return zip(windows.rows, windows.counts, windows.series, strict=True)
