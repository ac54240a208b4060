"""The forecaster of linear stochastic differential equations."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

import odeseries as ode
from odeseries.stationary import LEAST_VARIANCE, StationaryLaw, first_constants


def law(noise: float = 0.3) -> StationaryLaw:
    """One drift of time 1.5, one period of 2, no level to speak of."""
    constants = first_constants(1)
    constants[:] = -10.0
    constants[1] = math.log(noise)
    constants[2] = 0.0
    constants[5] = math.log(0.7)
    constants[8] = math.log(1.5)
    constants[-1] = math.log(4.0)
    rates = torch.tensor([math.pi * k for k in (1, 2, 3)], dtype=torch.float64)
    return StationaryLaw(constants[None], rates)


def test_covariance_is_that_of_the_formula() -> None:
    """A Matern drift and a damped wave."""
    gap = torch.tensor([[0.0, 0.4, 3.0]], dtype=torch.float64)
    found = law().covariance(torch.zeros(1, 1, dtype=torch.float64), gap)[0, 0, 0]
    near = math.sqrt(3) * gap[0] / 1.5
    right = (1 + near) * torch.exp(-near)
    right = right + 0.49 * torch.exp(-gap[0] / 4) * torch.cos(math.pi * gap[0])
    assert torch.allclose(found, right, atol=1e-6)


def test_forecast_given_values_is_that_of_a_gaussian_process() -> None:
    """Mean and deviation are those of scikit-learn's regressor."""
    rng = np.random.default_rng(0)
    times, asked = np.sort(rng.uniform(0, 8, 20)), np.array([8.5, 10.0, 3.3])
    values = rng.normal(size=20)
    constants = first_constants(0)
    constants[:] = -10.0
    constants[1], constants[2], constants[5] = math.log(0.3), math.log(1.2), math.log(1.5)
    plain = StationaryLaw(constants[None], torch.zeros(0, dtype=torch.float64))
    kernel = ConstantKernel(1.44) * Matern(1.5, nu=1.5) + WhiteKernel(0.09 + LEAST_VARIANCE)
    peer = GaussianProcessRegressor(kernel, optimizer=None).fit(times[:, None], values)
    mean, deviation = peer.predict(asked[:, None], return_std=True)
    t, v, a = (torch.from_numpy(x)[None] for x in (times, values, asked))
    ours, variance = plain.given(t, v[:, None], torch.ones(1, 1, 20, dtype=torch.float64), a)
    assert np.allclose(ours[0, 0], mean, atol=1e-6)
    assert np.allclose(variance[0, 0].sqrt(), deviation, atol=1e-6)


def test_what_is_not_observed_changes_nothing() -> None:
    """A masked value counts as if its row were not there."""
    t = torch.linspace(0, 3, 6, dtype=torch.float64)[None]
    v = torch.randn(1, 1, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.tensor([[[1.0, 0, 1, 1, 0, 1]]], dtype=torch.float64)
    seen = mask[0, 0] > 0
    asked = torch.tensor([[3.4]], dtype=torch.float64)
    whole = law().given(t, v * mask, mask, asked)
    few = law().given(t[:, seen], v[:, :, seen], mask[:, :, seen], asked)
    assert all(torch.allclose(a, b) for a, b in zip(whole, few, strict=True))
    assert torch.allclose(
        law().surprise(t, v * mask, mask),
        law().surprise(t[:, seen], v[:, :, seen], mask[:, :, seen]),
    )


def forecaster(horizon: float, seasonality: list[float] | None = None) -> ode.LinearSDEForecaster:
    """A quick one."""
    return ode.LinearSDEForecaster(horizon, n_rows=24, seasonality=seasonality, random_state=0)


@pytest.fixture(scope="module")
def series() -> pd.Series:
    """An Ornstein-Uhlenbeck process at irregular times, seen with noise."""
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.exponential(0.5, 260))
    state, values = 0.0, []
    for gap in np.diff(times, prepend=0.0):
        keep = math.exp(-gap / 3)
        state = keep * state + math.sqrt(1 - keep**2) * rng.normal()
        values.append(state + 0.1 * rng.normal())
    return pd.Series(values, index=times)


def test_forecast_is_close_to_the_best_one(series: pd.Series) -> None:
    """Nobody can forecast the process better than its own law."""
    model = forecaster(2.0).fit(series.iloc[:200])
    late = series.index[200:]
    errors, best = [], []
    for k in range(200, 258):
        ahead = series.index[k + 1]
        found = float(model.predict([ahead], history=series[: series.index[k]]).iloc[0])
        errors.append(abs(found - series[ahead]))
        best.append(abs(math.exp(-(ahead - series.index[k]) / 3) * series.iloc[k] - series[ahead]))
    assert len(late) == 60
    assert np.mean(errors) < 1.1 * np.mean(best)


def test_forecast_goes_back_to_the_mean_and_widens(series: pd.Series) -> None:
    """Far ahead only the stationary law is left."""
    model = forecaster(2.0).fit(series)
    last = series.index[-1]
    wide = model.predict_interval([last + 0.01, last + 1.0, last + 50.0], coverage=0.8)
    width = (wide.iloc[:, -1] - wide.iloc[:, 0]).to_numpy()
    assert width[0] < width[1] <= width[2]
    assert abs(float(model.predict([last + 500.0]).iloc[0])) < 0.5


def test_shift_of_time_and_change_of_unit_change_nothing(series: pd.Series) -> None:
    """Origin and units of times and values are arbitrary."""
    asked = series.index[-1] + np.array([0.3, 1.7])
    first = forecaster(2.0).fit(series)
    moved = pd.Series(100.0 + 1e3 * series.to_numpy(), index=4.0 * (series.index + 64.0))
    second = forecaster(8.0).fit(moved)
    found = second.predict(4.0 * (asked + 64.0)).to_numpy()
    assert np.allclose((found - 100.0) / 1e3, first.predict(asked).to_numpy(), atol=2e-3)


def test_period_is_kept_for_many_horizons() -> None:
    """A wave that is seen through noise goes on in phase."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 60, 240))
    y = pd.Series(np.sin(2 * math.pi * times / 5) + 0.1 * rng.normal(size=240), index=times)
    model = forecaster(2.0, seasonality=[5.0]).fit(y)
    asked = np.array([62.0, 65.5, 69.0])
    found = model.predict(asked).to_numpy()
    assert np.abs(found - np.sin(2 * math.pi * asked / 5)).max() < 0.15


def test_saved_and_loaded_it_answers_alike(series: pd.Series, tmp_path: Path) -> None:
    """A round trip through files."""
    model = forecaster(2.0).fit(series)
    model.save(tmp_path / "model")
    asked = [series.index[-1] + 1.0]
    again = ode.load(tmp_path / "model")
    pd.testing.assert_series_equal(model.predict(asked), again.predict(asked))
