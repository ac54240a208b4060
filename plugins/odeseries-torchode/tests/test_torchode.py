"""The laws of a solver, and torchode beside the package's own methods."""

from __future__ import annotations

import pytest
import torch
from odeseries_torchode import Dopri5, Heun, Tsit5, odeseries_solvers

import odeseries as ode
from odeseries.testing import conforms


@conforms(Dopri5, Heun, Tsit5)
def test_conformance(check):
    """What every solver owes."""
    check()


def stiffening(t, state):
    """Van der Pol oscillators, each row more abrupt than the one before."""
    strength = torch.linspace(0.1, 5.0, len(state), dtype=state.dtype)
    x, v = state.unbind(-1)
    return torch.stack([v, strength * (1 - x**2) * v - x], -1)


@pytest.mark.parametrize("solver", [Dopri5, Tsit5])
def test_it_agrees_with_the_package(solver):
    """On private times, and the abrupt rows take more steps than the gentle ones."""
    torch.manual_seed(0)
    y0 = torch.rand(6, 2, dtype=torch.float64) + 0.5
    times = 5 * torch.rand(6, 20, dtype=torch.float64).sort(1).values
    found = ode.solve(stiffening, y0, times, solver=solver, rtol=1e-8, atol=1e-9)
    right = ode.solve(stiffening, y0, times, solver="dopri5", rtol=1e-10, atol=1e-11)
    assert (found.ys - right.ys).abs().max() < 1e-5
    assert found.stats.accepted[-1] > 2 * found.stats.accepted[0]


def test_it_trains_a_forecaster():
    """Named where solvers are named."""
    y = ode.datasets.load_lynx_hare()
    model = ode.LatentODEForecaster(
        3.0,
        dynamics="mlp",
        solver=Tsit5,
        solver_params={"rtol": 1e-2},
        latent_dim=4,
        hidden=4,
        n_rows=4,
        max_epochs=1,
        random_state=0,
    ).fit(y)
    assert model.predict([1922.0]).notna().all(axis=None)


def test_the_hook_names_them():
    """As users type them behind the qualifier."""
    assert odeseries_solvers() == {"dopri5": Dopri5, "heun": Heun, "tsit5": Tsit5}
