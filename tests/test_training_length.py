"""How long a fit trains where nothing is held out to choose it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

import odeseries as ode

pytestmark = pytest.mark.usefixtures("few_windows")

TINY: dict[str, Any] = {"n_rows": 4, "n_lags": 2, "seasonality": None, "random_state": 0}
BLIND: dict[str, Any] = TINY | {"validation_fraction": 0}
TRAINED = [
    ode.LatentODEForecaster,
    ode.LatentSDEForecaster,
    ode.NeuralODEForecaster,
    ode.ODERNNForecaster,
]


def series() -> pd.Series:
    """A noisy wave at uneven times."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 20, 60))
    return pd.Series(np.sin(times) + 0.1 * rng.standard_normal(60), index=times)


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize("n_steps", [1, 13])
def test_a_named_length_is_trained_exactly(kind: Any, n_steps: int) -> None:
    """In one phase, within an epoch or beyond its end."""
    model = kind(2.0, n_steps=n_steps, **BLIND).fit(series())
    assert set(model.history_["phase"]) == {"training on all"}
    assert model.history_["step"].iloc[-1] == model.n_steps_ == n_steps


def test_every_member_is_trained_as_long() -> None:
    """Each phase ends after the named number of steps."""
    model = ode.LatentODEForecaster(2.0, n_steps=5, n_members=3, **BLIND).fit(series())
    assert model.history_.groupby("phase")["step"].max().tolist() == [5, 5, 5]


def test_a_longer_training_learns_more() -> None:
    """The step count reaches the network, not the record alone."""
    short, long = (
        ode.LatentODEForecaster(
            2.0, n_steps=n, hidden=8, latent_dim=4, batch_size=160, **BLIND
        ).fit(series())
        for n in (2, 60)
    )
    assert long.history_["loss"].iloc[-1] < 0.95 * short.history_["loss"].iloc[-1]


def test_without_a_length_there_are_a_hundred_steps() -> None:
    """What was trained before a length could be named."""
    model = ode.LatentODEForecaster(2.0, hidden=2, latent_dim=2, **BLIND).fit(series())
    assert model.history_["step"].iloc[-1] == model.n_steps_ == 100


def test_a_length_is_not_both_named_and_chosen() -> None:
    """The message tells what to set."""
    model = ode.LatentODEForecaster(2.0, n_steps=5, **TINY)
    with pytest.raises(ValueError, match=r"n_steps=5 .* set validation_fraction=0"):
        model.fit(series())
    with pytest.raises(ValueError, match="'n_steps'"):
        ode.LatentODEForecaster(2.0, n_steps=0, **BLIND).fit(series())


def test_a_limit_on_time_shortens_a_named_length() -> None:
    """The rate falls in the time that there is, and fewer steps are taken."""
    started = time.perf_counter()
    model = ode.LatentODEForecaster(2.0, n_steps=10**6, max_time=0.5, **BLIND).fit(series())
    assert time.perf_counter() - started < 10
    assert 1 <= model.history_["step"].iloc[-1] < 10**5
