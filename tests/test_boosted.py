"""Laws of the boosted trees, and of the forecasts that they make."""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor

import odeseries as ode
from odeseries.forecasters import boosted_network
from odeseries.forecasters.error_table import ErrorTable
from odeseries.trees import BoostedTrees
from tests.conftest import errors_from

N_SERIES, CUTOFF, HELD_OUT = 300, 1.0, 100


def step(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three columns, and a value with a jump and a product, without noise."""
    x = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))
    return x, 5 + (x[:, 0] > 0.4) + x[:, 1] * x[:, 2]


def test_trees_foretell_what_those_of_scikit_learn_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tensors say the same as the model that they were taken from, on rows never seen."""
    grown: list[HistGradientBoostingRegressor] = []
    original = BoostedTrees._grown

    def spied(self: BoostedTrees, columns: object, values: object) -> HistGradientBoostingRegressor:
        grown.append(original(self, columns, values))  # type: ignore[arg-type]
        return grown[-1]

    monkeypatch.setattr(BoostedTrees, "_grown", spied)
    x, y = step(500, 0)
    trees = BoostedTrees(30, 0)
    trees.fit(x, y)
    other = torch.cat([step(2000, 1)[0], x, 100 * torch.randn(50, 3)])
    expected = grown[0].predict(other.numpy()) + float(y.double().mean())
    np.testing.assert_allclose(trees.predict(other).numpy(), expected, rtol=1e-6)


def test_rows_at_a_threshold_go_where_they_went_in_training() -> None:
    """Values of single precision that are neighbours are told apart."""
    low = torch.tensor(0.3)
    high = torch.nextafter(low, torch.tensor(1.0))
    x = torch.cat([low.repeat(60), high.repeat(60)])[:, None]
    y = torch.cat([torch.zeros(60), torch.ones(60)])
    trees = BoostedTrees(200, 0)
    trees.fit(x, y)
    found = trees.predict(torch.stack([low, high])[:, None])
    assert float(found[0]) == pytest.approx(0, abs=0.01)
    assert float(found[1]) == pytest.approx(1, abs=0.01)


def test_more_trees_leave_less() -> None:
    """Each tree is grown on what those before it leave."""
    x, y = step(2000, 0)
    left = []
    for n_trees in (5, 20, 80):
        trees = BoostedTrees(n_trees, 0)
        trees.fit(x, y)
        left.append(float((step(500, 1)[1] - trees.predict(step(500, 1)[0])).square().mean()))
    assert left[0] > 3 * left[1] > 9 * left[2]


def test_a_row_is_foretold_by_trees_that_have_not_seen_its_group() -> None:
    """What is noise for others is not foretold, though every row of a group has the same."""
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(100).repeat_interleave(8)
    x = torch.rand(100, 3, generator=generator)[group]
    y = torch.randn(100, generator=generator).double()[group]
    trees = BoostedTrees(100, 0)
    unseen = trees.cross_fitted(x, y, group)
    trees.fit(x, y)
    assert float((y - trees.predict(x)).square().mean()) < 0.5 * float(y.square().mean())
    assert float((y - unseen).square().mean()) > 0.9 * float(y.square().mean())
    apart = trees.cross_fitted(x, y, torch.arange(800))
    assert float((y - apart).square().mean()) < float((y - unseen).square().mean())


def test_trees_of_any_size_are_read() -> None:
    """Trees take their sizes from what is read."""
    x, y = step(500, 0)
    trees, other = BoostedTrees(10, 0), BoostedTrees(10, 1)
    trees.fit(x, y)
    assert not other.is_grown
    other.load_state_dict(trees.state_dict())
    assert torch.equal(other.predict(x), trees.predict(x))


def test_values_without_anything_to_split_by_are_foretold_by_their_mean() -> None:
    """Trees of a single leaf."""
    trees = BoostedTrees(5, 0)
    trees.fit(torch.ones(60, 2), torch.arange(60.0))
    assert torch.allclose(trees.predict(torch.rand(3, 2)), torch.tensor(29.5).double())


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    """Of two channels; the second goes on at its level, or above it if the first was once high."""
    rng = np.random.default_rng(0)
    parts = {}
    for i in range(N_SERIES):
        times = np.sort(rng.uniform(0, 2, 16))
        early = times < CUTOFF
        first = np.where(early, rng.normal(size=16), np.nan)
        level = 10 * rng.normal()
        jump = 2.0 * (np.nanmax(first) > 1.2) if early.any() else 0.0
        second = level + np.where(early, 0.0, jump) + 0.1 * rng.normal(size=16)
        parts[i] = pd.DataFrame({"first": first, "second": second}, index=times)
    return pd.concat(parts)


def forecaster(**params: object) -> ode.BoostedForecaster:
    """A quick one."""
    chosen = {"n_rounds": 60, "n_lags": 2, "seasonality": None, "cutoffs": CUTOFF} | params
    return ode.BoostedForecaster(1.0, random_state=0).set_params(**chosen)


def trees_of(model: ode.BoostedForecaster) -> list[list[BoostedTrees]]:
    """Those of both forecasts of every channel."""
    return cast(boosted_network.BoostedNetwork, model._fitted.net).trees


@pytest.fixture(scope="module")
def fitted(panel: pd.DataFrame) -> ode.BoostedForecaster:
    """Fitted on all but the last series."""
    return forecaster().fit(panel.loc[: N_SERIES - HELD_OUT - 1])


def test_it_learns_what_a_regression_does_not(
    fitted: ode.BoostedForecaster, panel: pd.DataFrame
) -> None:
    """A jump in the summaries of another channel."""
    known, late = panel.loc[: N_SERIES - HELD_OUT - 1], panel.loc[N_SERIES - HELD_OUT :]
    shared = {"n_lags": 2, "seasonality": None, "cutoffs": CUTOFF, "random_state": 0}
    line = ode.BaselineForecaster(1.0, method="channels").set_params(**shared).fit(known)

    def error(model: ode.BaselineForecaster | ode.BoostedForecaster) -> float:
        return float(errors_from(CUTOFF, model, late)["second"].abs().mean())

    assert error(fitted) < 0.7 * error(line)


def test_it_is_the_mean_of_a_line_and_a_level_and_what_trees_foretell_of_either(
    panel: pd.DataFrame, fitted: ode.BoostedForecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without errors: half the line, a quarter each of last value and mean, and 3 deviations."""
    known, late = panel.loc[: N_SERIES - HELD_OUT - 1], panel.loc[N_SERIES - HELD_OUT :]
    shared = {"n_lags": 2, "seasonality": None, "cutoffs": CUTOFF, "random_state": 0}
    line = ode.BaselineForecaster(1.0, method="channels").set_params(**shared).fit(known)
    first = [pair[0].seed for pair in trees_of(fitted)]

    def told(self: BoostedTrees, x: Tensor) -> Tensor:
        return torch.full((len(x),), 2.0 if self.seed in first else 4.0).double()

    def none(self: ErrorTable, guess: Tensor, age: Tensor, levels: Tensor) -> Tensor:
        return torch.zeros(*guess.shape, len(levels)).double()

    monkeypatch.setattr(BoostedTrees, "predict", told)
    monkeypatch.setattr(ErrorTable, "quantiles", none)
    early = late.index.get_level_values(1) < CUTOFF
    asked, history = late[~early].index, late[early]
    series = asked.get_level_values(0)
    last = history["second"].groupby(level=0).last().reindex(series).to_numpy()
    mean = history["second"].groupby(level=0).mean().reindex(series).to_numpy()
    seen = np.isfinite(last)
    expected = (line.predict(asked, history=history)["second"] + (last + mean) / 2) / 2
    expected += 3.0 * known["second"].std(ddof=0)
    found = fitted.predict(asked, history=history)["second"]
    np.testing.assert_allclose(found[seen], expected[seen], rtol=1e-4, atol=1e-3)


def test_intervals_cover_what_they_say(fitted: ode.BoostedForecaster, panel: pd.DataFrame) -> None:
    """The errors are those on series that the trees had not seen."""
    late = panel.loc[N_SERIES - HELD_OUT :]
    after = late.index.get_level_values(1) >= CUTOFF
    found = fitted.predict_interval(late[after].index, history=late[~after])["second"]
    truth = late[after]["second"]
    inside = (truth >= found.iloc[:, 0]) & (truth <= found.iloc[:, 1])
    assert 0.72 < inside.mean() < 0.97


def test_saved_and_loaded_it_answers_alike(
    fitted: ode.BoostedForecaster, panel: pd.DataFrame, tmp_path: Path
) -> None:
    """A round trip through files."""
    fitted.save(tmp_path / "model")
    late = panel.loc[N_SERIES - 3 :]
    again = errors_from(CUTOFF, ode.load(tmp_path / "model"), late)
    pd.testing.assert_frame_equal(again, errors_from(CUTOFF, fitted, late))


def test_companions_change_nothing(fitted: ode.BoostedForecaster, panel: pd.DataFrame) -> None:
    """A series' forecast depends on its own values only."""
    late = panel.loc[N_SERIES - 5 :]
    alone = errors_from(CUTOFF, fitted, late.loc[[N_SERIES - 1]])
    among = errors_from(CUTOFF, fitted, late).loc[[N_SERIES - 1]]
    pd.testing.assert_frame_equal(alone, among, rtol=1e-9)


def test_a_channel_with_few_targets_is_left_to_the_regression(
    panel: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same forecasts as without trees."""
    monkeypatch.setattr(boosted_network, "FEWEST_TARGETS", 10**6)
    short = panel.loc[:40]
    line = ode.BaselineForecaster(1.0, method="channels", random_state=0)
    line.set_params(n_lags=2, seasonality=None, cutoffs=CUTOFF)
    found = errors_from(CUTOFF, forecaster().fit(short), short)
    pd.testing.assert_frame_equal(found, errors_from(CUTOFF, line.fit(short), short))


def test_wild_values_leave_a_channel_to_the_regression(panel: pd.DataFrame) -> None:
    """A few mistyped values, in which trees see a pattern, are not worth what all others lose."""
    wild = panel.copy()
    early = wild.index.get_level_values(1) < CUTOFF
    rng = np.random.default_rng(1)
    wild["second"] = rng.normal(size=len(wild))
    late = np.nonzero(~early)[0]
    wild.iloc[rng.choice(late, 25, replace=False), 1] = 3000.0
    model = forecaster().fit(wild)
    assert not trees_of(model)[1][0].is_grown
    found = errors_from(CUTOFF, model, wild)["second"].abs()
    assert found.median() < 30


def test_many_channels_are_learned_from_fewer_targets(
    panel: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is learned from is bounded for every channel, and over all together."""
    sizes: list[int] = []

    def spied(self: BoostedTrees, x: Tensor, y: Tensor) -> None:
        sizes.append(len(y))

    monkeypatch.setattr(BoostedTrees, "fit", spied)
    monkeypatch.setattr(boosted_network, "MOST_TARGETS", 150)
    forecaster().fit(panel.loc[:60])
    monkeypatch.setattr(boosted_network, "NUMBERS", 0)
    forecaster().fit(panel.loc[:60])
    assert set(sizes[: len(sizes) // 2]) == {150}
    assert set(sizes[len(sizes) // 2 :]) == {boosted_network.FEWEST_TARGETS}


def test_shift_of_time_and_change_of_unit_change_nothing() -> None:
    """Origin and units of times and values are arbitrary."""
    times = np.arange(300.0)
    y = pd.Series(np.sin(times), index=times)
    moved = pd.Series(64.0 + 8.0 * y.to_numpy(), index=4.0 * (times + 64.0))
    asked = np.array([300.5, 301.0])
    plain = {"cutoffs": None, "n_rounds": 20}
    first = forecaster(**plain).set_params(horizon=2.0).fit(y).predict(asked).to_numpy()
    model = forecaster(**plain).set_params(horizon=8.0).fit(moved)
    second = model.predict(4.0 * (asked + 64.0)).to_numpy()
    np.testing.assert_allclose((second - 64.0) / 8.0, first, atol=1e-5)


def test_few_values_are_answered_all_the_same() -> None:
    """There is a forecast where nothing can be learned."""
    y = pd.Series([1.0, 2.0, 4.0, 3.0, 5.0], index=[0.0, 1.0, 2.5, 3.0, 4.5])
    model = forecaster(cutoffs=None).set_params(horizon=2.0).fit(y)
    assert math.isfinite(float(model.predict([5.0]).iloc[0]))


def test_a_round_is_needed() -> None:
    """A parameter out of range is named."""
    with pytest.raises(ValueError, match="n_rounds"):
        forecaster(n_rounds=0).fit(pd.Series(np.arange(20.0)))


def test_targets_after_one_history_are_left_to_the_regression() -> None:
    """Trees that have not seen them could not be grown."""
    series = pd.Series(np.random.default_rng(0).normal(size=400).cumsum())
    params = {"cutoffs": 200.0, "validation_fraction": 0, "random_state": 0}
    short = pd.Series([5.0, 6.0], index=[0.0, 1.0])
    for y, horizon, further in [(series, 150.0, params), (short, 2.0, {"random_state": 0})]:
        model = ode.BoostedForecaster(horizon, **further).fit(y)
        assert not any(trees.is_grown for pair in trees_of(model) for trees in pair)
        assert np.isfinite(model.predict([y.index[-1] + 0.5 * horizon])).all()
