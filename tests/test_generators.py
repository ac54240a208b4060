"""Generated series obey the laws of their systems, and their sampling is as stated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from odeseries import datasets

Make = Callable[..., pd.DataFrame]

SYSTEMS = [
    datasets.make_double_ou,
    datasets.make_lotka_volterra,
    datasets.make_pendulum,
    datasets.make_spring,
    datasets.make_two_body,
]


def constant(quantity: pd.Series, tolerance: float = 1e-8) -> bool:
    """Whether a quantity is conserved within every series, and differs between them."""
    groups = quantity.groupby(level="series")
    return (groups.std() < tolerance).all() and groups.mean().std() > 0.01


def test_lotka_volterra_conserves_its_first_integral() -> None:
    """And both populations stay positive."""
    frame = datasets.make_lotka_volterra(5, 50, noise=0.0)
    prey, predator = frame["prey"], frame["predator"]
    assert (frame > 0).all(axis=None)
    assert constant(prey - np.log(prey) + 4 / 3 * predator - 2 / 3 * np.log(predator))


def test_springs_conserve_their_energy() -> None:
    """And the velocity is a quarter of a period ahead of the position."""
    frame = datasets.make_spring(5, 50, noise=0.0)
    energy = (frame["position"] ** 2 + frame["velocity"] ** 2) / 2
    assert constant(energy)
    assert energy.between(0.02, 0.5).all()


def test_pendulums_conserve_their_energy_and_do_not_turn_over() -> None:
    """The energy at the top would be 2."""
    frame = datasets.make_pendulum(5, 50, noise=0.0)
    energy = frame["velocity"] ** 2 / 2 + 1 - np.cos(frame["angle"])
    assert constant(energy)
    assert (energy < 2).all()
    assert frame["angle"].abs().max() < 2.8


def test_two_bodies_conserve_energy_and_momenta() -> None:
    """The common centre rests at the origin."""
    frame = datasets.make_two_body(5, 50, noise=0.0)
    first = frame[["x1", "y1", "vx1", "vy1"]].to_numpy()
    second = frame[["x2", "y2", "vx2", "vy2"]].to_numpy()
    np.testing.assert_allclose(first + second, 0, atol=1e-12)
    distance = np.hypot(*(first - second)[:, :2].T)
    kinetic = (first[:, 2:] ** 2 + second[:, 2:] ** 2).sum(1) / 2
    turning = 2 * (first[:, 0] * first[:, 3] - first[:, 1] * first[:, 2])
    assert constant(pd.Series(kinetic - 1 / distance, index=frame.index))
    assert constant(pd.Series(turning, index=frame.index))
    assert distance.min() >= 0.8 - 1e-9
    assert distance.max() <= 1.2 * (1 + 0.5) / (1 - 0.5) + 1e-9


@pytest.mark.parametrize(
    ("make", "place", "speed"),
    [
        (datasets.make_spring, "position", "velocity"),
        (datasets.make_pendulum, "angle", "velocity"),
        (datasets.make_two_body, "y2", "vy2"),
    ],
)
def test_velocities_are_derivatives(make: Make, place: str, speed: str) -> None:
    """Central differences of densely sampled positions."""
    series = make(1, 5000, noise=0.0, duration=5.0).loc[0]
    t = series.index.to_numpy()
    change = (series[place].to_numpy()[2:] - series[place].to_numpy()[:-2]) / (t[2:] - t[:-2])
    np.testing.assert_allclose(change, series[speed].to_numpy()[1:-1], atol=0.01)


def test_the_double_process_is_stationary() -> None:
    """Mean, variance and correlation at every time, and their decay, as the formulas say."""
    frame = datasets.make_double_ou(4000, 3, noise=0.0, duration=3.0, correlation=0.8)
    values = frame.to_numpy().reshape(4000, 3, 2)
    variance = np.array([0.4**2 / (2 * 0.5), 0.6**2 / (2 * 1.0)])
    between = 0.8 * 0.4 * 0.6 / 1.5
    for k in range(3):
        np.testing.assert_allclose(values[:, k].mean(0), [1, -1], atol=0.03)
        covariance = np.cov(values[:, k].T)
        np.testing.assert_allclose(np.diag(covariance), variance, rtol=0.08)
        assert covariance[0, 1] == pytest.approx(between, rel=0.1)
    times = frame.index.get_level_values("time").to_numpy().reshape(4000, 3)
    for c, rate in enumerate([0.5, 1.0]):
        centred = values[..., c] - [1, -1][c]
        expected = variance[c] * np.exp(-rate * (times[:, 2] - times[:, 0])).mean()
        assert (centred[:, 0] * centred[:, 2]).mean() == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("make", SYSTEMS)
def test_times_are_private_and_seeds_repeat(make: Make) -> None:
    """Uniform in [0, duration]; the same numbers for the same seed alone."""
    frame = make(4, 50, duration=7.0, random_state=3)
    times = frame.index.get_level_values("time")
    assert frame.index.names == ["series", "time"]
    assert len(frame) == 200
    assert times.is_unique
    assert 0 <= times.min() < 0.5
    assert 6.5 < times.max() <= 7
    pd.testing.assert_frame_equal(frame, make(4, 50, duration=7.0, random_state=3))
    assert not frame.equals(make(4, 50, duration=7.0, random_state=4))


@pytest.mark.parametrize("make", SYSTEMS)
def test_noise_and_holes_are_laid_over_the_same_truth(make: Make) -> None:
    """The stated size and share; what is not hidden is what it is without holes."""
    truth, noisy = make(20, 50, noise=0.0), make(20, 50, noise=0.3)
    assert (noisy - truth).to_numpy().std() == pytest.approx(0.3, rel=0.06)
    holes = make(20, 50, noise=0.3, missing=0.4)
    pd.testing.assert_frame_equal(holes, noisy.where(holes.notna()))
    n = holes.shape[1]
    assert holes.isna().to_numpy().mean() == pytest.approx(0.4 * (1 - 1 / n), abs=0.03)
    assert holes.notna().any(axis=1).all()
    assert (make(2, 10, missing=1 - 1e-12).notna().sum(axis=1) == 1).all()


def test_impossible_shares_and_correlations_are_refused() -> None:
    """With the argument's name."""
    with pytest.raises(ValueError, match="missing=1 is not a share"):
        datasets.make_spring(missing=1)
    with pytest.raises(ValueError, match="correlation=1 must lie in"):
        datasets.make_double_ou(correlation=1)


ALL = [*SYSTEMS, datasets.make_damped_spirals, datasets.make_periodic]


@pytest.mark.parametrize("make", ALL)
def test_no_observations_and_no_duration(make: Make) -> None:
    """An empty frame of the same columns, and series at their starts."""
    empty, full = make(3, 0), make(3, 4)
    assert empty.shape == (0, full.shape[1])
    assert empty.columns.equals(full.columns)
    assert empty.index.names == full.index.names
    still = make(2, 4, noise=0.0, duration=0.0)
    assert (still.index.get_level_values("time") == 0).all()
    assert (still.groupby(level="series").std() < 1e-12).all(axis=None)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"n_series": 0}, "n_series=0 must be at least 1"),
        ({"n_obs": -1}, "n_obs=-1 must be at least 0"),
        ({"noise": -1}, "noise=-1 must be at least 0, and finite"),
        ({"duration": -2.0}, r"duration=-2\.0 must be at least 0"),
        ({"noise": np.nan}, "noise=nan must be at least 0"),
    ],
)
def test_impossible_sizes_are_refused(make: Make, wrong: dict[str, float], text: str) -> None:
    """With the argument's name."""
    with pytest.raises(ValueError, match=text):
        make(**wrong)
