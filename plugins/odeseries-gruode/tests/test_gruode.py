"""The laws of dynamics and forecasters, and those of a filter."""

from __future__ import annotations

import doctest

import numpy as np
import odeseries_gruode
import pytest
import torch
from odeseries_gruode import (
    GRUBayes,
    GRUField,
    GRUODEForecaster,
    odeseries_dynamics,
    odeseries_forecasters,
)

import odeseries as ode
from odeseries.testing import conforms

SMALL = {"hidden": 4, "solver_params": {"step": 1.0}}


@conforms(GRUField)
def test_dynamics(check):
    """What every dynamics owes."""
    check()


@conforms(GRUODEForecaster, params=SMALL)
def test_forecaster(check):
    """What every forecaster owes."""
    check()


def test_the_state_stays_in_its_box():
    """From inside it never leaves [-1, 1], from outside it falls back, however long it takes."""
    torch.manual_seed(0)
    field = GRUField(6)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.mul_(20)
        start = torch.cat([2 * torch.rand(50, 6) - 1, torch.full((1, 6), 9.0)])
        ys = ode.solve(field, start, torch.linspace(0, 20, 40), step=0.05).ys
    assert ys[:50].abs().max() <= 1 + 1e-4
    assert (ys[50, 1:].amax(-1) <= ys[50, :-1].amax(-1) + 1e-4).all()


def test_without_a_network_the_gates_are_half_open():
    """With all weights zero h' = -h / 2, whose solution is known."""
    field = GRUField(3)
    torch.nn.init.zeros_(field.gates.weight), torch.nn.init.zeros_(field.gates.bias)
    torch.nn.init.zeros_(field.candidate.weight), torch.nn.init.zeros_(field.candidate.bias)
    times = torch.tensor([0.0, 0.5, 3.0])
    with torch.no_grad():
        ys = ode.solve(field, torch.ones(1, 3), times).ys
    assert ys[0, :, 0].numpy() == pytest.approx(np.exp(-times.numpy() / 2), abs=1e-4)


@pytest.fixture
def encoder():
    """An encoder of two channels."""
    torch.manual_seed(1)
    return GRUBayes(
        7,
        2,
        GRUField(4),
        solver="midpoint",
        solver_params={"step": 0.5},
        noise=0.1,
        mixing=0.5,
    )


def test_later_rows_change_no_earlier_state(encoder):
    """The filter at a row knows nothing of what follows."""
    rows, gaps = torch.randn(3, 6, 7), torch.rand(3, 6)
    rows[..., 2:4] = (rows[..., 2:4] > 0).float()
    length = torch.full((3,), 4)
    seen = encoder(rows, gaps, length)
    rows[:, 4:], gaps[:, 4:] = 7.0, 3.0
    assert torch.equal(encoder(rows, gaps, length), seen)


def test_a_channel_that_is_not_observed_changes_nothing(encoder):
    """What stands under a zero of the mask is not looked at."""
    rows, gaps = torch.randn(2, 3, 7), torch.rand(2, 3)
    rows[..., 2], rows[..., 3] = 1.0, 0.0
    length = torch.full((2,), 3)
    seen = encoder(rows, gaps, length)
    rows[..., 1] = 5.0
    assert torch.equal(encoder(rows, gaps, length), seen)


def test_the_divergence_vanishes_after_a_bayesian_update(encoder):
    """It is that of two normal distributions; the update shrinks towards the observation."""
    values = torch.tensor([[2.0, -1.0]])
    mean, log_std = torch.zeros(1, 2), torch.zeros(1, 2)
    weight = 1 / (1 + 0.1**2)
    updated = (weight * values, 0.5 * torch.log(torch.tensor(1 - weight)).expand(1, 2))
    surprise = 0.5 * values**2
    assert torch.allclose(encoder._loss(values, (mean, log_std), updated), surprise, atol=1e-3)
    stayed = encoder._loss(values, (mean, log_std), (mean, log_std)) - surprise
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(updated[0], updated[1].exp()), normal(mean, log_std.exp())
    )
    assert torch.allclose(stayed, encoder.mixing * expected, atol=1e-3)


def test_the_field_serves_the_built_in_forecasters():
    """As the dynamics of the ODE-RNN's state."""
    y = ode.datasets.load_lynx_hare()
    model = ode.ODERNNForecaster(
        3.0, dynamics=GRUField, hidden=4, n_rows=4, max_epochs=1, random_state=0
    ).fit(y)
    assert np.isfinite(model.predict([1921.5, 1923.0])).all(axis=None)


def test_the_hooks_name_them():
    """As users type them behind the qualifier."""
    assert odeseries_dynamics() == {"gru": GRUField}
    assert odeseries_forecasters() == {"gruode": GRUODEForecaster}


def test_the_example():
    """In the docstring."""
    assert doctest.testmod(odeseries_gruode).failed == 0
