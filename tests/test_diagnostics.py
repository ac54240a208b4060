"""Laws of what a fitted forecaster shows of its dynamics."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import odeseries as ode

pytestmark = pytest.mark.usefixtures("few_windows")

mpl.use("Agg")

TINY: dict[str, Any] = {
    "hidden": 8,
    "n_rows": 6,
    "n_lags": 2,
    "max_epochs": 1,
    "seasonality": None,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def circles() -> pd.DataFrame:
    """Position and momentum on a circle, in large units and on a slow clock."""
    times = np.sort(np.random.default_rng(0).uniform(0, 1000, 60))
    waves = {"q": 50 + 20 * np.sin(times / 50), "p": 20 * np.cos(times / 50)}
    return pd.DataFrame(waves, index=pd.Index(times, name="t"))


@pytest.fixture(scope="module")
def conservative(circles: pd.DataFrame) -> ode.NeuralODEForecaster:
    """Fitted on the circle, for a moment."""
    params = {"hidden": 16, "depth": 1}
    return ode.NeuralODEForecaster(
        100.0, dynamics="hamiltonian", dynamics_params=params, **TINY
    ).fit(circles)


def test_latent_paths_are_the_median_of_a_forecast(
    conservative: ode.NeuralODEForecaster,
) -> None:
    """Where the data are the state and the head is symmetric, in the data's units."""
    times = [1010.0, 1050.0, 1100.0]
    path = conservative.latent(times)
    assert list(path.columns) == ["q", "p"]
    forecast = conservative.predict(times)
    pd.testing.assert_frame_equal(path, forecast, check_names=False, rtol=1e-3, atol=1e-2)


def test_the_field_is_the_slope_of_the_path(conservative: ode.NeuralODEForecaster) -> None:
    """Differences of close states are those of the field, in units of data and clock."""
    times = np.arange(1010.0, 1012.0, 0.5)
    path = conservative.latent(times).to_numpy()
    slope = (path[2] - path[0]) / (times[2] - times[0])
    np.testing.assert_allclose(conservative.vector_field(path[1]), slope, rtol=1e-2)


def test_the_energy_stays_along_the_field(conservative: ode.NeuralODEForecaster) -> None:
    """The derivative of the energy along the field of a conservative system is 0."""
    points = np.array([[60.0, 5.0], [40.0, -10.0], [55.0, 12.0]])
    field = conservative.vector_field(points)
    along, across = (
        np.abs(conservative.energy(points + e) - conservative.energy(points - e))
        for e in (field, field[:, ::-1] * [1, -1])
    )
    assert (along < 0.05 * across).all()
    assert conservative.energy(points).shape == (3,)


def test_what_is_asked_in_vain_is_said(
    circles: pd.DataFrame, conservative: ode.NeuralODEForecaster
) -> None:
    """No energy, points of a wrong dimension, nothing fitted."""
    plain = ode.LatentODEForecaster(100.0, latent_dim=4, **TINY)
    with pytest.raises(NotFittedError):
        plain.vector_field([0.0] * 4)
    plain.fit(circles)
    with pytest.raises(ode.PluginError, match="Linear has no energy: fit with dynamics='ham"):
        plain.energy([0.0] * 4)
    with pytest.raises(ode.DataError, match="have 3 coordinates: give 2 of a state"):
        conservative.vector_field([0.0] * 3)
    assert plain.latent([1010.0, 500.0]).shape == (2, 4)
    assert plain.nfe_ == 0


def test_work_is_counted(conservative: ode.NeuralODEForecaster) -> None:
    """Four evaluations a step of at most half a radian."""
    rate = conservative._fitted.net.pace
    assert conservative.nfe_ >= 4 * max(10, 2 * rate)


def test_lifted_points_have_velocities(circles: pd.DataFrame) -> None:
    """Channels alone are lifted to states; the first half of the slopes is the velocity."""
    params = {"hidden": 4, "depth": 1}
    model = ode.NeuralODEForecaster(
        100.0, dynamics="second_order", dynamics_params=params, **TINY
    ).fit(circles)
    assert model.vector_field(circles.iloc[0]).shape == (4,)
    path = model.latent([1050.0])
    assert list(path.columns) == ["q", "p", 2, 3]
    net = model._fitted.net
    expected = path[[2, 3]].to_numpy() * model._fitted.scaling.std * net.pace / 100.0
    np.testing.assert_allclose(model.vector_field(path)[:, :2], expected, rtol=1e-4)


def test_a_phase_portrait_shows_field_and_path(conservative: ode.NeuralODEForecaster) -> None:
    """Within the bounds, named after the coordinates."""
    path = conservative.latent([1010.0, 1050.0])
    ax = ode.phase_portrait(conservative, ((20, 80), (-30, 30)), paths=path, n_points=8)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("q", "p")
    assert ax.get_xlim() == (20, 80)
    assert len(ax.lines) == 1
    plt.close(ax.figure)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"coordinates": (0, 2)},
            r"coordinates=\(0, 2\) are counted from 0, but at is a state of 2",
        ),
        ({"coordinates": (0, -1)}, r"coordinates=\(0, -1\) must be two whole numbers, from 0 on"),
        ({"coordinates": (0,)}, r"coordinates=\(0,\) must be two"),
        ({"coordinates": 1}, "coordinates=1 must be two"),
        ({"coordinates": ("q", "p")}, r"coordinates=\('q', 'p'\) must be two whole numbers"),
        ({"coordinates": (1, 1)}, r"coordinates=\(1, 1\) must be different"),
        ({"paths": pd.DataFrame({"q": [1.0]})}, "paths have 1 columns: give states as latent"),
        ({"at": 0.0}, "at=0.0 must be a state"),
        ({"at": (0.0, np.nan)}, r"at=\(0.0, nan\) must be a state"),
        ({"at": (0.0, 0.0, 0.0)}, "have 3 coordinates: give 2 of a state"),
        ({"bounds": (20, 80)}, r"bounds=\(20, 80\) must be \(\(lowest, highest\)"),
        ({"bounds": ((20, 80), (-30,))}, r"bounds=.* must be \(\(lowest, highest\)"),
        ({"bounds": ((20, 80), (30, -30))}, r"bounds=.* must have the lowest value first"),
        ({"n_points": 1}, "n_points=1 must be a whole number, at least 2"),
        ({"n_points": 8.5}, "n_points=8.5 must be a whole number"),
    ],
)
def test_what_a_phase_portrait_cannot_show_is_said(
    conservative: ode.NeuralODEForecaster, options: dict[str, Any], text: str
) -> None:
    """In words, and no figure is opened."""
    before = plt.get_fignums()
    with pytest.raises(ValueError, match=text):
        ode.phase_portrait(conservative, **{"bounds": ((20, 80), (-30, 30)), **options})
    assert plt.get_fignums() == before
