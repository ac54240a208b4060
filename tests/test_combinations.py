"""Every forecaster with every dynamics: it trains, is saved and forecasts, or says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import odeseries as ode

pytestmark = pytest.mark.usefixtures("few_windows")

TINY: dict[str, Any] = {
    "hidden": 4,
    "n_rows": 4,
    "n_lags": 2,
    "max_epochs": 1,
    "seasonality": None,
    "solver_params": {"step": 0.5},
    "random_state": 0,
}
FORECASTERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "latent_ode": (ode.LatentODEForecaster, {"latent_dim": 4}),
    "latent_sde": (ode.LatentSDEForecaster, {"latent_dim": 4}),
    "neural_ode": (ode.NeuralODEForecaster, {}),
    "ode_rnn": (ode.ODERNNForecaster, {}),
}
ORDINARY = ("latent_ode", "neural_ode", "ode_rnn")
DYNAMICS: dict[str, dict[str, Any]] = {
    "augmented": {"extra_dims": 1, "hidden": 4, "depth": 1},
    "hamiltonian": {"hidden": 4, "depth": 1, "dissipation": True},
    "linear": {},
    "mlp": {"hidden": 4, "depth": 1},
    "second_order": {"hidden": 4, "depth": 1},
    "sde": {"hidden": 4, "depth": 1},
}
SENSELESS = {
    **{(name, "sde"): "stochastic dynamics.*LatentSDEForecaster" for name in ORDINARY},
    **{(name, "convolutional"): "field on images.*ODENetClassifier" for name in FORECASTERS},
}
COMBINATIONS = [(f, d) for f in FORECASTERS for d in DYNAMICS if (f, d) not in SENSELESS]


def data() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two driven channels of 16 rows."""
    rng = np.random.default_rng(0)
    index = pd.Index(np.sort(rng.uniform(0, 10, 16)), name="t")
    X = pd.DataFrame({"force": rng.standard_normal(16)}, index=index)
    y = pd.DataFrame({"a": np.sin(index), "b": np.cos(index)}, index=index)
    return X, y


@pytest.mark.parametrize(("forecaster", "dynamics"), COMBINATIONS)
def test_a_combination_trains_saves_loads_and_forecasts(
    forecaster: str, dynamics: str, tmp_path: Path
) -> None:
    """Driven by an input; the loaded model forecasts the same."""
    X, y = data()
    cls, params = FORECASTERS[forecaster]
    model = cls(2.0, dynamics=dynamics, dynamics_params=DYNAMICS[dynamics], **{**TINY, **params})
    model.fit(X.iloc[:14], y.iloc[:14])
    forecast = model.predict(X.iloc[14:])
    assert forecast.shape == (2, 2)
    assert np.isfinite(forecast.to_numpy()).all()
    model.save(tmp_path / "model.zip")
    pd.testing.assert_frame_equal(ode.load(tmp_path / "model.zip").predict(X.iloc[14:]), forecast)


@pytest.mark.parametrize(("forecaster", "dynamics"), list(SENSELESS))
def test_a_combination_that_makes_no_sense_says_why(forecaster: str, dynamics: str) -> None:
    """And names what to use instead."""
    cls, params = FORECASTERS[forecaster]
    model = cls(2.0, dynamics=dynamics, **{**TINY, **params})
    with pytest.raises(ode.PluginError, match=SENSELESS[forecaster, dynamics]):
        model.fit(*data())
