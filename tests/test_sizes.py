"""Series of very different sizes are forecast as well as series that are alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import odeseries as ode
from odeseries.panel import Panel
from odeseries.sizes import sizes_of, typical_sizes


def waves(factor: float) -> pd.DataFrame:
    """Eight noisy waves around a level, every second one of another size."""
    rng, parts = np.random.default_rng(0), {}
    for k in range(8):
        times = np.sort(rng.uniform(0, 60, 60))
        values = 3 + np.sin(times * np.pi / 6 + k) + 0.2 * rng.standard_normal(60)
        parts[k] = pd.DataFrame({"y": values * (factor if k % 2 else 1.0)}, index=times)
    return pd.concat(parts, names=["id", "t"])


def asked() -> pd.MultiIndex:
    """Two times ahead of every series."""
    return pd.MultiIndex.from_product([range(8), [61.0, 64.0]], names=["id", "t"])


def panel(values: Any, lengths: Any) -> Panel:
    """A panel of one channel."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    n = len(offsets) - 1
    times = np.concatenate([np.arange(float(k)) for k in lengths])
    return Panel(tuple(range(n)), ("y",), offsets, np.zeros(n), times, np.c_[values])


@pytest.mark.parametrize("kind", [ode.BaselineForecaster, ode.LinearSDEForecaster])
def test_a_small_series_is_forecast_as_beside_its_likes(kind: Any) -> None:
    """However much larger the others are; each in units of its own, as is the interval."""
    answers = {}
    for factor in (20.0, 1e6):
        model = kind(6.0, random_state=0, seasonality=None).fit(waves(factor))
        found = model.predict_interval(asked(), coverage=0.8).to_numpy()
        sizes = np.where(asked().get_level_values("id") % 2, factor, 1.0)
        answers[factor] = found / sizes[:, None]
        assert (np.diff(answers[factor]) < 3).all()
    np.testing.assert_allclose(answers[1e6], answers[20.0], atol=0.5)


def test_series_that_are_alike_share_their_units() -> None:
    """A ratio of five is still alike; one of twenty-five is not."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(400)
    lengths = [100, 100, 100, 100]
    scale = np.repeat([1.0, 5.0, 1.0, 5.0], lengths)
    assert typical_sizes(panel(noise * scale, lengths)) is None
    typical = typical_sizes(panel(noise * scale**2, lengths))
    assert typical is not None
    assert typical[0] == pytest.approx(5, rel=0.1)
    sizes = sizes_of(panel(noise * scale**2, lengths), typical)[:, 0]
    np.testing.assert_allclose(sizes, [1, 25, 1, 25], rtol=0.2)


def test_series_that_are_calm_at_times_share_their_units() -> None:
    """However calm: what is calm in its first half may move in its second one."""
    rng = np.random.default_rng(0)
    noise, moves = rng.standard_normal((20, 2, 20)), rng.random((20, 2, 1)) < 0.4
    calm = panel((noise * np.where(moves, 1.0, 1e-3)).ravel(), [40] * 20)
    assert typical_sizes(calm) is None
    sizes = np.geomspace(1, 1e3, 20)[:, None, None]
    assert typical_sizes(panel((noise * sizes).ravel(), [40] * 20)) is not None


def test_series_of_few_values_share_their_units() -> None:
    """Nothing tells whether their sizes last; a half in which nothing was observed is no error."""
    values = np.full(20, np.nan)
    values[[0, 3, 10, 13]] = [1.0, 2.0, 1e6, 2e6]
    assert typical_sizes(panel(values, [10, 10])) is None


def test_short_and_constant_series_are_of_typical_size() -> None:
    """Their deviation tells little, or nothing."""
    values = np.r_[np.full(9, 7.0), 5.0, [1.0, 3.0]]
    sizes = sizes_of(panel(values, [9, 1, 2]), np.array([8.0]))[:, 0]
    np.testing.assert_allclose(sizes, [8.0, 8.0, 8**0.2 * 1.349**-0.8])


def test_answers_are_saved_drawn_and_scored_in_the_data_s_units(tmp_path: Path) -> None:
    """And so are those about a new series, whose size its own history tells."""
    data = waves(1e4)
    model = ode.BaselineForecaster(6.0, random_state=0, seasonality=None).fit(data)
    model.save(tmp_path / "model")
    loaded = ode.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.predict(asked()), model.predict(asked()))
    draws = model.sample(asked(), n_samples=200).groupby(level=["id", "t"])["y"].median()
    sizes = np.where(asked().get_level_values("id") % 2, 1e4, 1.0)
    np.testing.assert_allclose(draws / sizes, model.predict(asked())["y"] / sizes, atol=0.5)
    new = data.loc[[1]].rename(index={1: "new"}, level=0) * 1e3
    when = pd.MultiIndex.from_product([["new"], [61.0]], names=["id", "t"])
    one = model.predict(when, history=new).to_numpy() / 1e7
    np.testing.assert_allclose(one, model.predict(asked()).loc[[(1, 61.0)]] / 1e4, atol=0.02)
