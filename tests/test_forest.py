"""Laws of the forests of random trees, and of the forecasts that they make."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import ExtraTreesRegressor
from torch import Tensor

import odeseries as ode
from odeseries.forecasters import forest_network
from odeseries.trees import LEAST_LEAF, SHARE_OF_COLUMNS, QuantileForest

LEVELS = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])


def wedge(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three columns, and a value that is as wide as the first one is large."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 3, generator=generator)
    return x, x[:, 0] * torch.randn(n, generator=generator)


def test_quantiles_are_those_of_the_conditional_distribution() -> None:
    """A forest learns a spread that depends on what it sees."""
    forest = QuantileForest(50, 0)
    forest.fit(*wedge(4000, 0))
    x, y = wedge(4000, 1)
    found = forest.quantiles(x, LEVELS)
    below = (y[:, None] <= found).double().mean(0)
    assert torch.allclose(below, LEVELS.double(), atol=0.03)
    wide = x[:, 0] > 0.8
    spread = found[:, 4] - found[:, 0]
    assert spread[wide].mean() > 4 * spread[x[:, 0] < 0.2].mean()


def test_the_mean_of_the_mixture_is_the_prediction_of_the_same_trees() -> None:
    """The quantiles of the leaves keep their means, to what thinning costs."""
    x, y = wedge(300, 0)
    forest = QuantileForest(20, 3)
    forest.fit(x, y)
    trees = ExtraTreesRegressor(
        20, min_samples_leaf=LEAST_LEAF, max_features=SHARE_OF_COLUMNS, random_state=3
    ).fit(x.numpy(), y.double().numpy())
    levels = (torch.arange(100) + 0.5) / 100
    mean = forest.quantiles(x, levels).mean(1)
    assert np.abs(mean.numpy() - trees.predict(x.numpy())).max() < 0.02


def test_quantiles_never_cross_and_stay_within_what_was_seen() -> None:
    """Nothing is extrapolated."""
    x, y = wedge(500, 0)
    forest = QuantileForest(10, 0)
    forest.fit(x, y)
    found = forest.quantiles(10 * torch.randn(50, 3), torch.linspace(0.01, 0.99, 99))
    assert bool((found.diff(dim=1) >= 0).all())
    assert found.min() >= y.min()
    assert found.max() <= y.max()


def test_weights_of_any_size_are_read() -> None:
    """A forest takes its sizes from what is read."""
    x, y = wedge(500, 0)
    forest, other = QuantileForest(10, 0), QuantileForest(10, 1)
    forest.fit(x, y)
    assert not other.is_grown
    other.load_state_dict(forest.state_dict())
    assert torch.equal(other.quantiles(x, LEVELS), forest.quantiles(x, LEVELS))
    assert other.is_grown


def test_values_that_are_all_alike_are_foretold() -> None:
    """A tree without a split is one leaf."""
    forest = QuantileForest(5, 0)
    forest.fit(torch.rand(40, 2), torch.full((40,), 2.5))
    assert torch.equal(forest.quantiles(torch.rand(3, 2), LEVELS), torch.full((3, 5), 2.5).double())


@pytest.fixture(scope="module")
def led() -> pd.DataFrame:
    """The second channel follows the square of the first one, one unit later."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=500)
    second = np.append(0.0, first[:-1] ** 2) + 0.05 * rng.normal(size=500)
    return pd.DataFrame({"first": first, "second": second}, index=np.arange(500.0))


def forecaster(horizon: float = 1.0) -> ode.ForestForecaster:
    """A quick one."""
    return ode.ForestForecaster(horizon, n_lags=2, seasonality=None, random_state=0)


@pytest.fixture(scope="module")
def fitted(led: pd.DataFrame) -> ode.ForestForecaster:
    """Fitted on all but the last values."""
    return forecaster().fit(led.iloc[:450])


def test_channels_foretell_one_another(fitted: ode.ForestForecaster, led: pd.DataFrame) -> None:
    """A response that is no line in the values of another channel is found."""
    line = ode.BaselineForecaster(1.0, n_lags=2, seasonality=None, random_state=0).fit(
        led.iloc[:450]
    )
    late = led.index[451:]
    error = {
        model: np.mean(
            [
                abs(model.predict([t], history=led[: t - 0.5])["second"].iloc[0] - led["second"][t])
                for t in late
            ]
        )
        for model in (fitted, line)
    }
    assert error[fitted] < 0.7 * error[line]


def test_between_two_observations_it_is_the_line(led: pd.DataFrame) -> None:
    """Interpolations are those of the nearest values."""
    short = led.iloc[:80]
    line = ode.BaselineForecaster(1.0, method="last", seasonality=None, random_state=0).fit(short)
    found = forecaster().fit(short).predict([20.25, 41.5])
    pd.testing.assert_frame_equal(found, line.predict([20.25, 41.5]), atol=0.1)


def test_far_companions_change_nothing(fitted: ode.ForestForecaster, led: pd.DataFrame) -> None:
    """A query's answer depends on its own time only."""
    end = led.index[449]
    alone = fitted.predict_quantiles([end + 0.7])
    among = fitted.predict_quantiles([end + 0.3, end + 0.7, 20.25, end + 100.0])
    np.testing.assert_allclose(alone.to_numpy()[0], among.to_numpy()[1], rtol=1e-12)


def test_shift_of_time_and_change_of_unit_change_nothing() -> None:
    """Origin and units of times and values are arbitrary."""
    times = np.arange(200.0)
    y = pd.Series(np.sin(times), index=times)
    moved = pd.Series(64.0 + 8.0 * y.to_numpy(), index=4.0 * (times + 64.0))
    asked = np.array([200.5, 201.0])
    first = forecaster(2.0).fit(y).predict(asked).to_numpy()
    second = forecaster(8.0).fit(moved).predict(4.0 * (asked + 64.0)).to_numpy()
    np.testing.assert_allclose((second - 64.0) / 8.0, first, atol=1e-5)


def test_saved_and_loaded_it_answers_alike(
    fitted: ode.ForestForecaster, led: pd.DataFrame, tmp_path: Path
) -> None:
    """A round trip through files."""
    fitted.save(tmp_path / "forest.zip")
    again = ode.load(tmp_path / "forest.zip")
    asked = led.index[449] + np.array([0.5, 1.0])
    pd.testing.assert_frame_equal(again.predict(asked), fitted.predict(asked))


def test_few_targets_are_answered_with_the_errors_of_the_last_value() -> None:
    """Too few targets grow no forest, and there is a forecast all the same."""
    y = pd.Series([1.0, 2.0, 4.0, 3.0, 5.0], index=[0.0, 1.0, 2.5, 3.0, 4.5])
    model = forecaster(2.0).fit(y)
    assert math.isfinite(float(model.predict([5.0]).iloc[0]))


def test_a_forest_needs_a_tree() -> None:
    """A parameter out of range is named."""
    with pytest.raises(ValueError, match="n_trees"):
        ode.ForestForecaster(1.0, n_trees=0).fit(pd.Series(np.arange(20.0)))


def test_many_channels_are_learned_from_fewer_targets(
    led: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is learned from is bounded over all channels together."""
    sizes: list[int] = []

    def spied(self: QuantileForest, x: Tensor, y: Tensor) -> None:
        sizes.append(len(y))

    monkeypatch.setattr(QuantileForest, "fit", spied)
    monkeypatch.setattr(forest_network, "NUMBERS_PER_WINDOW", 5)
    forecaster().fit(led.iloc[:100])
    monkeypatch.setattr(forest_network, "NUMBERS_PER_WINDOW", 10)
    forecaster().fit(led.iloc[:100])
    first, second = sizes[:4], sizes[4:]
    assert len(set(first)) == len(set(second)) == 1
    assert second[0] // 2 == pytest.approx(first[0], abs=1)


def test_trees_are_grown_from_the_windows_that_are_named() -> None:
    """More of them where they are asked for, and the same as ever where they are not."""
    spec = ode.Spec(2, 0, (), 1)
    assert ode.ForestForecaster(n_trees=2).build(spec).n_start_windows == 2048
    assert ode.ForestForecaster(n_trees=2, n_windows=64).build(spec).n_start_windows == 64
