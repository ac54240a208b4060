"""What the units of the model can't tell apart is said, and nothing else."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import odeseries as ode

TIMES = np.arange(60.0)
WAVE = np.sin(TIMES / 5)


def fitted(data: Any, horizon: Any = 3.0, **settings: Any) -> ode.BaselineForecaster:
    """The cheapest model."""
    return ode.BaselineForecaster(horizon, method="last", random_state=0, **settings).fit(data)


def two_levels(offset: float) -> pd.DataFrame:
    """A wave, and the same around another level."""
    series = {"low": WAVE, "high": WAVE + offset}
    return pd.concat({k: pd.DataFrame({"y": v}, TIMES) for k, v in series.items()})


def test_series_that_vary_too_little_are_named() -> None:
    """Beside others of another level, and beside an outlier."""
    fitted(two_levels(1e4))
    with pytest.warns(UserWarning, match=r"2 of 2 series .*channel 'y' of series 'low' has quart"):
        fitted(two_levels(1e7))
    outlier = pd.Series(WAVE, TIMES).where(TIMES != 10, 1e12)
    with pytest.warns(UserWarning, match=r"channel 0 has quartiles .*Leave out outliers"):
        fitted(outlier)


def test_a_history_on_another_level_is_named() -> None:
    """When it is asked about, and not where it is as that of the fit."""
    wave = pd.Series(WAVE, TIMES)
    model = fitted(wave)
    model.predict([10.0, 70.0], history=wave + 1e3)
    with pytest.warns(UserWarning, match=r"vary too little .*at values up to 1\.\de\+08"):
        model.predict([10.0, 70.0], history=wave + 1e8)


def test_times_that_count_as_equal_are_counted() -> None:
    """Bursts in a span that is long beside them, until the horizon is as short."""
    bursts = pd.Series(np.r_[WAVE, WAVE], np.r_[TIMES * 1e-3, 3e8 + TIMES * 1e-3])
    with pytest.warns(UserWarning, match=r"114 times count as equal .*the first 0.001 after it"):
        fitted(bursts, None)
    fitted(bursts, 0.01)


def test_constant_and_mostly_constant_series_are_fine() -> None:
    """Nothing of them is lost."""
    rain = pd.Series(np.where(TIMES % 10 == 3, WAVE**2, 0.0), TIMES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(pd.Series(1e9, TIMES))
        fitted(rain)
