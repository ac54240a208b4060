"""Laws of the damped oscillations that second-order dynamics begin with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode
from odeseries.dynamics import SecondOrder
from odeseries.forecasters.oscillations import Excerpt, Oscillations, acceleration

ROOTS = np.array([-0.05 + 0.8j, -0.2 + 2.5j])
GAINS = np.array([[0.7], [-1.2]])
LEVEL, DIRECT = 0.3, 0.4


def excerpt(n: int, n_points: int, seed: int) -> Excerpt:
    """Windows of two driven oscillations that were going on already, at irregular times."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 12, (n, n_points)))
    times -= times[:, :1]
    weights = (rng.random(times.shape) < 0.9).astype(float)
    known = rng.standard_normal((n, n_points, 1))
    place = np.tile(np.arange(n_points), (n, 1))
    between = (known[:, 1:] + known[:, :-1]) / 2
    silent = Excerpt(times, times, weights, known, place, np.diff(times), between)
    driven = (silent.responses(ROOTS) / ROOTS.imag[:, None, None, None]).imag
    phases = rng.standard_normal((2, n, 1)) + 1j * rng.standard_normal((2, n, 1))
    free = (phases * np.exp(ROOTS[:, None, None] * times)).real.sum(0)
    values = LEVEL + DIRECT * known[..., 0] + free + np.einsum("knpi,ki->np", driven, GAINS)
    values = np.where(weights > 0, values, 99.0)
    return Excerpt(times, values, weights, known, place, silent.gaps, between)


def test_oscillations_are_found_in_irregular_windows() -> None:
    """Stiffness, damping, gains, level and what acts at once are those that made the data."""
    excerpts = [excerpt(6, 40, 0), excerpt(3, 30, 1)]
    found = Oscillations.found(excerpts, 2, fastest=6.0, n_direct=1)
    assert found is not None
    order = found.stiffness.argsort()
    np.testing.assert_allclose(found.stiffness[order], np.abs(ROOTS) ** 2, rtol=1e-3)
    np.testing.assert_allclose(found.damping[order], -2 * ROOTS.real, rtol=1e-2)
    np.testing.assert_allclose(found.gain[order], GAINS, rtol=1e-2)
    assert found.level == pytest.approx(LEVEL, abs=0.01)
    assert found.direct == pytest.approx([DIRECT], abs=0.01)


def test_nothing_is_found_where_less_was_observed_than_is_unknown() -> None:
    """Windows of four points hold no two oscillations that began anyhow."""
    assert Oscillations.found([excerpt(5, 4, 0)], 2, fastest=6.0, n_direct=0) is None


def test_the_equation_of_positions_is_that_of_the_oscillations() -> None:
    """Its roots are theirs, and at rest every channel is its level and its driven part."""
    first = Oscillations(
        np.array([1.0, 4.0, 9.0]), np.array([0.1, 0.2, 0.3]), GAINS[[0, 1, 0]], np.zeros(0), 0.5
    )
    second = Oscillations(np.array([2.0, 5.0]), np.array([0.4, 0.6]), GAINS, np.zeros(0), -1.0)
    dynamics = SecondOrder(5, n_inputs=1, hidden=4, depth=0).double()
    dynamics.start_acceleration(*acceleration([first, second], 5))
    with torch.no_grad():
        weight, bias = dynamics.springs.weight.numpy(), dynamics.springs.bias.numpy()
    matrix = np.block([[np.zeros((5, 5)), np.eye(5)], [weight[:, :10]]])
    stiffness, damping = (
        np.concatenate([getattr(c, name) for c in (first, second)])
        for name in ("stiffness", "damping")
    )
    roots = -damping / 2 + 1j * np.sqrt(stiffness - damping**2 / 4)
    found = np.linalg.eigvals(matrix)
    np.testing.assert_allclose(np.sort(found.imag)[5:], np.sort(roots.imag), rtol=1e-4)
    np.testing.assert_allclose(np.sort(found.real)[::2], np.sort(roots.real), rtol=1e-3)
    rest = np.linalg.solve(weight[:, :5], -weight[:, 10] - bias)
    for at, channel in enumerate((first, second)):
        assert rest[at] == pytest.approx(
            channel.level + (channel.gain[:, 0] / channel.stiffness).sum(), rel=1e-4
        )


def pushed(n: int) -> tuple[pd.DataFrame, pd.Series]:
    """Two oscillators, summed, pushed by a force that also moves the sensor at once."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.1, 0.3, n))
    force = np.convolve(rng.standard_normal(n + 4), np.ones(5) / 5, "valid")
    between, state = (force[1:] + force[:-1]) / 2, np.zeros(2, dtype=complex)
    states = [state]
    for gap, push in zip(np.diff(times), between, strict=True):
        decay = np.exp(ROOTS * gap)
        state = decay * state + (decay - 1) / ROOTS * push
        states.append(state)
    seen = 2 * np.array(states).imag.sum(1) + 0.5 * force
    return pd.DataFrame({"force": force}, index=times), pd.Series(seen, index=times)


def forecaster(horizon: float, **params: Any) -> ode.NeuralODEForecaster:
    """A small one, that hardly leaves the start it is given."""
    return ode.NeuralODEForecaster(
        horizon,
        dynamics="second_order",
        dynamics_params={"depth": 0, "hidden": 4},
        feedthrough=True,
        seasonality=None,
        n_rows=8,
        hidden=8,
        learning_rate=1e-4,
        max_epochs=1,
        batch_size=4,
        random_state=0,
        **params,
    )


def test_two_oscillators_are_foretold_far_ahead_by_one_epoch_of_training() -> None:
    """Eight horizons ahead the error is below a tenth, as the force may act at once."""
    X, y = pushed(400)
    model = forecaster(
        5.0, extra_dims=1, solver_params={"step": 0.04}, validation_fraction=0.1
    ).fit(X.iloc[:200], y.iloc[:200])
    wrong = model.predict(X.iloc[200:]) - y.iloc[200:]
    # What a wrong start leaves is gone after half of the time.
    assert np.sqrt((wrong[100:] ** 2).mean()) < 0.1 * y.std()


def test_what_acts_at_once_is_part_of_every_answer() -> None:
    """A channel that is its input and nothing else is told between, before and after the rows."""
    times = np.cumsum(np.random.default_rng(0).uniform(0.2, 0.4, 60))
    force = pd.DataFrame({"force": np.random.default_rng(1).standard_normal(60)}, index=times)
    seen = 2.0 * force["force"].rename("seen")
    model = forecaster(2.0).fit(force, seen)
    hidden = np.r_[0:3, 20:25, 55:60]
    history = force.drop(index=times[hidden]), seen.drop(index=times[hidden])
    told = model.predict(force.iloc[hidden], history=history)
    np.testing.assert_allclose(told, seen.iloc[hidden], atol=0.2)
