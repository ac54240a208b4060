"""Small fitted models and series that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode

FEW = {
    "odeseries.phases.LEAST_STEPS_PER_EPOCH": 2,
    "odeseries.phases.FEWEST_AT_START": 64,
    "odeseries.holding_out.HELD_WINDOWS": 32,
    "odeseries.holding_out.HIDDEN_WINDOWS": 16,
}
FAST = {"max_epochs": 1, "patience": 3, "random_state": 0, "n_rows": 16, "n_lags": 4}


def errors_from(cutoff: float, model: ode.BaseForecaster, panel: pd.DataFrame) -> pd.DataFrame:
    """Those of forecasts of all rows from a cutoff on, from what comes before it."""
    early = panel.index.get_level_values(1) < cutoff
    asked = panel[~early]
    return model.predict(asked.index, history=panel[early]) - asked


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors are fastest on one thread."""
    torch.set_num_threads(1)


@contextmanager
def few() -> Iterator[None]:
    """Fits by few windows an epoch, to begin with and to judge by, which small data need."""
    with pytest.MonkeyPatch.context() as patch:
        for name, number in FEW.items():
            patch.setattr(name, number)
        yield


@pytest.fixture(scope="module")
def few_windows() -> Iterator[None]:
    """For the laws of a module that hold of any fit."""
    with few():
        yield


@pytest.fixture(scope="session")
def wave() -> pd.Series:
    """A noisy sine at 150 irregular days of three years."""
    rng = np.random.default_rng(0)
    days = np.sort(rng.uniform(0, 1000, 150)).round(3)
    index = pd.DatetimeIndex(pd.Timestamp("2020-01-01") + pd.to_timedelta(days, "D"), name="when")
    values = 5 + np.sin(2 * np.pi * days / 90) + 0.05 * rng.standard_normal(150)
    return pd.Series(values, index=index, name="wave")


@pytest.fixture(scope="session")
def panel() -> pd.DataFrame:
    """Ten spirals at private times, a fifth of the entries not observed."""
    frame = ode.datasets.make_damped_spirals(10, 30, random_state=0)
    hidden = np.random.default_rng(1).random(frame.shape) < 0.2
    return frame.mask(hidden)


@pytest.fixture(scope="session")
def wave_model(wave: pd.Series) -> ode.LatentODEForecaster:
    """Fitted on the wave."""
    with few():
        return ode.LatentODEForecaster("60D", **FAST).fit(wave)


@pytest.fixture(scope="session")
def panel_model(panel: pd.DataFrame) -> ode.LatentODEForecaster:
    """Fitted on the panel."""
    with few():
        return ode.LatentODEForecaster(2.0, **FAST).fit(panel)
