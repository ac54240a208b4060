"""Laws of forecasts whose dynamics are driven by known inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode
from odeseries.driving import InputPath, Waves
from odeseries.panel import Panel
from odeseries.scenarios import scenarios

pytestmark = pytest.mark.usefixtures("few_windows")

SMALL: dict[str, Any] = {
    "dynamics": "mlp",
    "dynamics_params": {"hidden": 16, "depth": 1},
    "hidden": 16,
    "n_rows": 8,
    "n_lags": 2,
    "validation_fraction": 0.0,
    "learning_rate": 2e-2,
    "weight_decay": 0.0,
    "batch_size": 32,
    "solver_params": {"step": 0.2},
    "seasonality": None,
    "random_state": 0,
}
SHORT: dict[str, Any] = {"validation_fraction": 0.2, "max_epochs": 4}
FORECASTERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "latent_ode": (ode.LatentODEForecaster, {"latent_dim": 4, **SHORT}),
    "neural_ode": (ode.NeuralODEForecaster, {"solver": "midpoint"}),
    "ode_rnn": (ode.ODERNNForecaster, {"n_rows": 4, **SHORT}),
}


def tank(n: int, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """A level that follows x' = u - x under a dose rate that jumps at some irregular times."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.1, 0.5, n))
    dose = rng.choice([0.0, 1.0, 2.0], n)[np.cumsum(rng.random(n) < 0.3)]
    level = np.ones(n)
    for i, gap in enumerate(np.diff(times)):
        level[i + 1] = dose[i] + (level[i] - dose[i]) * np.exp(-gap)
    index = pd.Index(times, name="t")
    return pd.DataFrame({"dose": dose}, index=index), pd.Series(level, index=index, name="level")


@pytest.fixture(scope="module", params=list(FORECASTERS))
def followed(request: pytest.FixtureRequest) -> Any:
    """Each forecaster, fitted on the tank's first 200 rows, two of them for a moment only."""
    cls, params = FORECASTERS[request.param]
    X, y = tank(240, 0)
    return cls(2.0, **{**SMALL, **params}, input_interpolation="previous").fit(
        X.iloc[:200], y.iloc[:200]
    )


def test_the_way_matters_and_what_comes_after_does_not(followed: Any) -> None:
    """Doses before a query change its forecast; doses after it change nothing."""
    X, _ = tank(240, 0)
    asked = X.iloc[200:210].assign(dose=1.0)
    before, after = asked.copy(), asked.copy()
    before.iloc[:5] = 2.0
    after.iloc[6:] = 2.0
    plain = followed.predict(asked)
    assert abs(followed.predict(before).iloc[5] - plain.iloc[5]) > 1e-4
    np.testing.assert_allclose(followed.predict(after).iloc[:6], plain.iloc[:6], rtol=1e-5)


@pytest.mark.parametrize("followed", ["neural_ode"], indirect=True)
def test_a_system_whose_state_is_seen_is_foretold_under_a_new_course(followed: Any) -> None:
    """Three horizons ahead under a constant dose, the level is right within a tenth."""
    X, y = tank(240, 0)
    times = X.index[200:220]
    last = X["dose"].iloc[199]
    # The last dose that was seen acts until the first time asked for.
    start = last + (y.iloc[199] - last) * np.exp(-(times[0] - X.index[199]))
    for dose in (0.0, 2.0):
        truth = dose + (start - dose) * np.exp(-(times - times[0]))
        found = followed.predict(pd.DataFrame({"dose": dose}, index=times))
        assert float(np.abs(found - truth).max()) < 0.2


@pytest.mark.parametrize("interpolation", ["linear", "previous"])
def test_what_is_no_knot_is_irrelevant(interpolation: Any) -> None:
    """Times and inputs under the mask of the knots change no quantile."""
    X, y = tank(60, 1)
    spied: list[tuple[ode.Model, ode.Batch]] = []

    class Spy(ode.LatentODEForecaster):
        def build(self, spec: ode.Spec) -> Any:
            net = super().build(spec)
            start = net.start
            net.start = lambda batches: (spied.append((net, batches[0])), start(batches))
            return net

    Spy(
        1.0,
        **{**SMALL, "max_epochs": 1, "validation_fraction": 0.2},
        input_interpolation=interpolation,
    ).fit(X, y)
    net, batch = spied[-1]
    side = batch.left
    hidden = ~side.knot_mask
    assert hidden.any()
    other = replace(
        side,
        knots=torch.where(hidden, 5.0, side.knots),
        knot_inputs=torch.where(hidden[..., None], 7.0, side.knot_inputs),
    )
    levels = torch.tensor([0.1, 0.5], dtype=torch.float64)
    with torch.no_grad():
        expected, got = (net.quantiles(replace(batch, left=s), levels)[0] for s in (side, other))
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize("interpolation", ["linear", "previous"])
def test_a_reversed_path_has_the_same_inputs(interpolation: Any) -> None:
    """At the mirrored times, between and beyond the knots."""
    times = torch.tensor([[0.0, 1.0, 2.5], [0.0, 2.0, 2.0]])
    values = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0))
    path = InputPath(times, values, interpolation=interpolation)
    asked = torch.tensor([[-1.0, 0.3, 1.7, 9.0], [-1.0, 0.3, 1.7, 9.0]])[..., None]
    torch.testing.assert_close(path.reversed()(-asked), path(asked))


def test_a_levelled_path_has_the_means() -> None:
    """Between two knots the mean of both; as the line beyond them."""
    path = InputPath(torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([[[0.0], [2.0], [4.0]]]))
    asked = torch.tensor([[-1.0, 0.1, 0.9, 2.0, 5.0]])[..., None]
    assert path.levelled()(asked).flatten().tolist() == [0.0, 1.0, 1.0, 3.0, 4.0]


def test_waves_go_on_from_their_phases() -> None:
    """Sine and cosine of every period, beside what is given at knots."""
    start, turns = torch.tensor([[0.3, 1.0], [2.0, -1.0]]), torch.tensor([2.0, 5.0])
    pairs = torch.stack([torch.sin(start), torch.cos(start)], -1).flatten(1)
    path = InputPath(torch.zeros(2, 1), torch.full((2, 1, 1), 7.0), waves=Waves(pairs, turns))
    t = torch.tensor([[0.0, 0.4, -1.0], [0.0, 3.0, 9.0]])[..., None]
    angle = start[:, None] + turns * t
    expected = torch.stack([torch.sin(angle), torch.cos(angle)], -1).flatten(2)
    assert path.n_inputs == 5
    torch.testing.assert_close(path(t), torch.cat([torch.full((2, 3, 1), 7.0), expected], -1))


def test_a_season_drives_data_that_are_the_state() -> None:
    """A field of one dimension can't turn back by itself, but can be driven to."""
    times = np.arange(0.0, 40.0, 0.5)
    y = pd.Series(np.sin(2 * np.pi * times / 5), index=times)
    params = {**SMALL, "seasonality": [5.0], "solver": "midpoint"}
    model = ode.NeuralODEForecaster(2.5, **params).fit(y)
    later = np.arange(40.0, 45.0, 0.5)
    assert float(np.abs(model.predict(later) - np.sin(2 * np.pi * later / 5)).mean()) < 0.2
    assert model.latent([-1.0, 20.2]).notna().all().all()


def test_scenarios_are_told_apart_by_their_inputs() -> None:
    """Equal rows belong together; a second input at one time makes a course of its own."""
    inputs = Panel(
        ids=("a", "b"),
        channels=("u",),
        offsets=np.array([0, 2, 3]),
        origins=np.zeros(2),
        times=np.array([0.0, 1.0, 0.0]),
        values=np.array([[1.0], [2.0], [3.0]]),
    )
    panel = replace(inputs, inputs=inputs)
    series, times = np.array([0, 0, 0, 0, 1]), np.array([2.0, 1.0, 2.0, 2.0, 1.0])
    asked = np.array([[5.0], [6.0], [5.0], [7.0], [8.0]])
    (first, base), (second, other) = scenarios(panel, series, times, asked)
    assert (first.tolist(), second.tolist()) == ([0, 1, 2, 4], [3])
    assert base.inputs is not None
    assert other.inputs is not None
    assert base.inputs.times.tolist() == other.inputs.times.tolist() == [0.0, 1.0, 2.0, 0.0, 1.0]
    assert base.inputs.values[:, 0].tolist() == [1.0, 6.0, 5.0, 3.0, 8.0]
    assert other.inputs.values[:, 0].tolist() == [1.0, 6.0, 7.0, 3.0, 8.0]
