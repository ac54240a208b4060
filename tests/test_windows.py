"""What a window may see, and how windows become batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

import odeseries as ode
from odeseries.frames import read_frame
from odeseries.panel import Panel
from odeseries.sampling import (
    FEWEST_TARGETS,
    LONGEST_LEAD,
    WindowSampler,
    forecast_windows,
    query_windows,
    with_rare,
)
from odeseries.scaling import Scaling
from odeseries.windows import Loader, Windows


def scaled(frame: pd.DataFrame, horizon: float = 2.0) -> Panel:
    """A frame in model units."""
    panel, _ = read_frame(frame)
    return Scaling.fitted(panel, horizon).apply(panel)


def sampler(panel: Panel, interpolation: float = 0.3, backcast: float = 0.2) -> WindowSampler:
    """A sampler with few queries a window."""
    rng = np.random.default_rng(0)
    return WindowSampler(panel, rng, n_queries=5, interpolation=interpolation, backcast=backcast)


def loader(panel: Panel) -> Loader:
    """A loader with a short memory."""
    return Loader(panel, (0.7,), n_rows=8, n_lags=3, n_harmonics=2)


def test_every_observation_is_a_target_in_a_cover(panel: pd.DataFrame) -> None:
    """An epoch asks for each row at least once."""
    data = scaled(panel)
    windows = sampler(data).cover(1)
    asked = np.unique(windows.rows[windows.rows >= 0])
    np.testing.assert_array_equal(asked, np.arange(data.n_rows))


def test_nothing_is_learned_across_a_very_long_gap() -> None:
    """Rows far beyond a stretch are not seen with it, and every row is asked for all the same."""
    times = np.r_[np.arange(12.0), 1e6 + np.arange(12.0)]
    data = scaled(pd.DataFrame({"y": np.sin(times)}, index=times))
    windows = sampler(data).cover(50)
    assert np.unique(windows.rows[windows.rows >= 0]).tolist() == list(range(24))
    batch = loader(data).batch(windows)
    assert batch.right is not None
    for side in (batch.left, batch.right):
        assert bool((side.lead[side.present] <= LONGEST_LEAD).all())


def test_targets_are_never_seen(panel: pd.DataFrame) -> None:
    """The rows on either side exclude every target, and stay within the series."""
    data = scaled(panel)
    w = sampler(data).cover(1)
    for i in range(len(w)):
        rows = w.rows[i, : w.counts[i]]
        left_only = w.right_end[i] == w.right[i]
        seen_left = np.arange(data.offsets[w.series[i]], w.left[i])
        seen_right = np.arange(w.right[i], w.right_end[i])
        assert not np.isin(rows, seen_left).any()
        assert not np.isin(rows, seen_right).any()
        assert left_only or w.right_end[i] == data.offsets[w.series[i] + 1]


def test_hidden_values_change_no_input(panel: pd.DataFrame) -> None:
    """Other values at the hidden rows leave the batch as it is, but for the targets."""
    data = scaled(panel)
    windows = sampler(data).cover(1)
    for k in range(0, len(windows), 7):
        one = windows.take(np.array([k]))
        values = data.values.copy()
        hidden = np.arange(one.left[0], one.right[0])
        values[hidden] += 100.0
        before = loader(data).batch(one)
        after = loader(replace(data, values=values)).batch(one)
        for a, b in zip(before.sides(), after.sides(), strict=True):
            for name in ("values", "lags", "seasonal"):
                torch.testing.assert_close(getattr(a, name), getattr(b, name))


def test_both_sides_are_read_towards_the_query() -> None:
    """The last row read is the nearest one; leads and ages are measured from it."""
    frame = pd.DataFrame({"y": [0.0, 1.0, 2.0, 3.0, 4.0]}, index=[0.0, 1.0, 2.5, 4.0, 6.0])
    panel, _ = read_frame(frame)
    one = Windows.build([(0, 2, 3, 5)], [panel.times[[2]]], [np.array([2])])
    batch = Loader(panel, (), n_rows=8, n_lags=2, n_harmonics=1).batch(one)
    assert batch.right is not None
    assert batch.left.values[0, :, 0].tolist() == [0.0, 1.0]
    assert batch.right.values[0, :, 0].tolist() == [4.0, 3.0]
    assert batch.left.lead.item() == 1.5
    assert batch.right.lead.item() == 1.5
    assert batch.right.ages[0].tolist() == [2.0, 0.0]
    assert batch.right.gaps[0].tolist() == [0.0, 2.0]
    assert batch.left.lags[0, 0].tolist() == [1.0, 0.0]


def test_seasonal_values_lie_whole_periods_before_the_query() -> None:
    """The first one is the latest that may be seen; the period between is bridged by its rise."""
    times = np.arange(0.0, 10.0, 0.25)
    panel, _ = read_frame(pd.DataFrame({"y": times}, index=times))
    asked = np.array([8.1, 9.3])
    one = Windows.build([(0, 32, 40, 40)], [asked])
    batch = Loader(panel, (1.0,), n_rows=8, n_lags=2, n_harmonics=1).batch(one)
    np.testing.assert_allclose(batch.left.seasonal[0, :, 0], [[7.1, 6.1], [8.3, 7.3]], rtol=1e-6)


def test_queries_find_their_neighbours(panel: pd.DataFrame) -> None:
    """Each query's window ends with the rows next to it, in any order of asking."""
    data = scaled(panel)
    rng = np.random.default_rng(0)
    series = rng.integers(0, len(data), 40)
    times = rng.uniform(-1, 6, 40)
    windows, order = query_windows(data, series, times, 4)
    assert sorted(order) == list(range(40))
    flat = 0
    for i in range(len(windows)):
        for t in windows.times[i, : windows.counts[i]]:
            assert t == times[order[flat]]
            flat += 1
            start, end = data.offsets[windows.series[i]], data.offsets[windows.series[i] + 1]
            assert (data.times[start : windows.left[i]] <= t).all()
            assert (data.times[windows.right[i] : end] > t).all()


def test_held_out_forecasts_start_late(panel: pd.DataFrame) -> None:
    """No cutoff lies before the start of the held-out part."""
    data = scaled(panel)
    starts = 0.8 * data.spans()
    windows = forecast_windows(data, starts, np.random.default_rng(0), n_queries=5, most=50)
    assert len(windows) > 0
    first = windows.times[:, 0]
    assert (first >= starts[windows.series]).all()
    assert (windows.times.max(1) - data.times[windows.left - 1] <= 1.0 + 1e-9).all()


def test_a_batch_costs_what_its_rows_cost() -> None:
    """Private stamps are padded to the longest window, never to their union."""
    frame = ode.datasets.make_periodic(50, 40, random_state=0)
    windows = sampler(scaled(frame)).cover(1).take(np.arange(50))
    batch = loader(scaled(frame)).batch(windows)
    assert batch.left.values.shape[1] <= 8
    assert batch.targets.shape[1] <= 5


def test_channels_that_are_rare_begin_with_more_windows() -> None:
    """Windows beyond the first are those that ask for a channel with too few targets so far."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(1500), [0.0, 1.0]], names=["id", "time"])
    values = pd.DataFrame(rng.normal(size=(3000, 2)), index=index, columns=["often", "rare"])
    values.loc[rng.random(3000) > 0.1, "rare"] = np.nan
    data = scaled(values, horizon=1.0)
    kinds = {"interpolation": 0.0, "backcast": 0.0}
    every = WindowSampler(data, rng, n_queries=4, cutoffs=np.zeros(1), **kinds).cover(1)
    some = with_rare(data, every, 500)
    is_rare = np.isfinite(data.values[every.rows[:, 0], 1])
    expected = is_rare | (np.arange(1500) < 500)
    np.testing.assert_array_equal(some.series, every.series[expected])


def test_windows_suffice_where_no_channel_is_rare() -> None:
    """A channel that is in all windows asks for no more of them."""
    values = pd.Series(np.arange(900.0), index=np.arange(900.0)).to_frame("y")
    data = scaled(values, horizon=1.0)
    every = sampler(data, interpolation=0.0, backcast=0.0).cover(800)
    some = with_rare(data, every, 300)
    np.testing.assert_array_equal(some.times, every.times[:300])
    assert with_rare(data, every, 100).counts.sum() >= FEWEST_TARGETS
