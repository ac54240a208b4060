"""Laws of the summaries of what is seen, and of forests that are told them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode
from odeseries.forecasters.summaries import N_SUMMARIES, summaries
from odeseries.sampling import cutoff_windows
from tests.conftest import errors_from

N_SERIES, CUTOFF = 200, 1.0


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    """Of two channels; after the cutoff the second is the largest value of the first before it."""
    rng = np.random.default_rng(0)
    parts = {}
    for i in range(N_SERIES):
        times = np.sort(rng.uniform(0, 2, 16))
        early = times < CUTOFF
        first = np.where(early, rng.normal(size=16), np.nan)
        peak = np.nanmax(first) if early.any() else 0.0
        second = np.where(early, rng.normal(size=16), peak + 0.1 * rng.normal(size=16))
        parts[i] = pd.DataFrame({"first": first, "second": second}, index=times)
    return pd.concat(parts)


def forest(panel: pd.DataFrame, *, told: bool) -> ode.ForestForecaster:
    """Of all but the last fifty series."""
    model = ode.ForestForecaster(1.0, n_trees=10, summaries=told, cutoffs=CUTOFF, random_state=0)
    return model.set_params(n_lags=2, seasonality=None).fit(panel.loc[: N_SERIES - 51])


def error(model: ode.ForestForecaster, panel: pd.DataFrame) -> float:
    """Mean absolute error of the second channel after the cutoff."""
    return float(errors_from(CUTOFF, model, panel.loc[N_SERIES - 50 :])["second"].abs().mean())


def test_a_forest_that_is_told_the_largest_value_uses_it(
    panel: pd.DataFrame, tmp_path: Path
) -> None:
    """It errs much less, and a saved one is the same."""
    told = forest(panel, told=True)
    assert error(told, panel) < 0.7 * error(forest(panel, told=False), panel)
    told.save(tmp_path / "model")
    assert error(ode.load(tmp_path / "model"), panel) == error(told, panel)


def test_summaries_are_those_of_what_is_seen() -> None:
    """Of one channel with three values and one with none; what comes after is not looked at."""
    values = {"a": [1.0, 4.0, 2.0, 9.0], "b": [np.nan, np.nan, np.nan, 1.0]}
    frame = pd.DataFrame(values, index=[0.0, 0.4, 0.8, 1.5])
    panel = pd.concat({i: frame.assign(b=frame["b"] + i) for i in range(12)})
    model = ode.BaselineForecaster(1.0, cutoffs=CUTOFF, seasonality=None, random_state=0)
    model.fit(panel)
    loader = model._fitted.loader(model.panel_, model._recipe_)
    windows = cutoff_windows(loader.panel, np.array([CUTOFF]), np.zeros(12), n_queries=4)
    found = summaries(loader.batch(windows)).view(12, N_SUMMARIES, 2)
    unit = model._fitted.scaling
    a = (torch.tensor([1.0, 4.0, 2.0]).double() - float(unit.mean[0])) / float(unit.std[0])
    last, first, mean, least, largest = found[0, :5, 0]
    assert last == pytest.approx(float(a[2]), rel=1e-5)
    assert first == pytest.approx(float(a[0]), rel=1e-5)
    assert mean == pytest.approx(float(a.mean()), rel=1e-5)
    assert (least, largest) == pytest.approx((float(a.min()), float(a.max())), rel=1e-5)
    assert found[0, 6, 0] == pytest.approx(np.log(4), rel=1e-5)
    assert (found[0, :, 1] == 0).all()
