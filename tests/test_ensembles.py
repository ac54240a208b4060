"""Laws of several networks that forecast together."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode

pytestmark = pytest.mark.usefixtures("few_windows")

ASKED = [10.5, 40.0, 42.5]


@pytest.fixture(scope="module")
def y() -> pd.Series:
    """A sampled sine."""
    times = np.sort(np.random.default_rng(0).uniform(0, 40, 70))
    return pd.Series(np.sin(times), index=times)


def forecaster(n_members: int, **params: Any) -> ode.LatentODEForecaster:
    """A tiny forecaster of so many networks."""
    small = {"max_epochs": 2, "n_rows": 8, "n_lags": 2, "hidden": 8, "latent_dim": 4}
    return ode.LatentODEForecaster(
        4.0, **small, seasonality=None, random_state=0, n_members=n_members, **params
    )


@pytest.fixture(scope="module")
def three(y: pd.Series) -> ode.LatentODEForecaster:
    """Three networks, fitted."""
    return forecaster(3).fit(y)


def test_the_first_member_is_the_one_that_a_single_fit_trains(
    three: ode.LatentODEForecaster, y: pd.Series
) -> None:
    """Asking for more members changes none of those before."""
    one = forecaster(1).fit(y)
    for ours, alone in zip(
        three._fitted.net.parameters(), one._fitted.net.parameters(), strict=True
    ):
        assert torch.equal(ours, alone)


def test_members_differ_and_their_quantiles_are_averaged(three: ode.LatentODEForecaster) -> None:
    """The ensemble's quantiles are the mean of its members', which are not the same."""
    whole = three._fitted
    assert len(whole.others) == 2
    together = three.predict_quantiles(ASKED).to_numpy()
    alone = []
    for net in (whole.net, *whole.others):
        one = copy.copy(three)
        one._fitted = replace(whole, net=net, others=())
        alone.append(one.predict_quantiles(ASKED).to_numpy())
    assert not np.allclose(alone[0], alone[1], rtol=1e-3)
    np.testing.assert_allclose(together, np.mean(alone, 0), rtol=1e-5, atol=1e-6)


def test_an_ensemble_is_saved_whole(y: pd.Series, tmp_path: Path) -> None:
    """Forecasts come back equal to the bit."""
    model = forecaster(2).fit(y)
    model.save(tmp_path / "model.zip")
    again = ode.load(tmp_path / "model.zip")
    pd.testing.assert_frame_equal(again.predict_quantiles(ASKED), model.predict_quantiles(ASKED))
    assert len(again._fitted.others) == 1


def test_an_interrupted_member_is_left_out(y: pd.Series) -> None:
    """Ctrl-C keeps the complete networks."""

    def interrupt(record: Mapping[str, Any]) -> None:
        if record["phase"] == "training on all, member 3":
            raise KeyboardInterrupt

    with pytest.warns(ode.ConvergenceWarning, match="kept are the 2 complete networks"):
        model = forecaster(3, callbacks=interrupt).fit(y)
    assert len(model._fitted.others) == 1
    assert np.isfinite(model.predict(ASKED)).all()
