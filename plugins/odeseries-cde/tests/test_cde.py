"""The laws of a forecaster, and those of a control that knows no future."""

from __future__ import annotations

import doctest

import numpy as np
import odeseries_cde
import pandas as pd
import pytest
import torch
from odeseries_cde import (
    CDEEncoder,
    ControlledField,
    NeuralCDEForecaster,
    odeseries_forecasters,
)

import odeseries as ode
from odeseries.testing import conforms


@conforms(NeuralCDEForecaster, params={"latent_dim": 4, "hidden": 4})
def test_forecaster(check):
    """What every forecaster owes."""
    check()


@conforms(ControlledField)
def test_field(check):
    """Its field while nothing is observed is a dynamics like others."""
    check()


@pytest.fixture
def encoder():
    """An encoder of two channels and seven features."""
    torch.manual_seed(0)
    field = ControlledField(3, n_controls=CDEEncoder.n_controls(7), width=8)
    return CDEEncoder(7, 2, field, solver="midpoint", steps=1)


def rows_of(n_rows):
    """Rows with gaps in both channels."""
    torch.manual_seed(2)
    rows, gaps = torch.randn(3, n_rows, 7), torch.rand(3, n_rows)
    gaps[:, 0] = 0.0
    rows[..., 2:4] = (torch.rand(3, n_rows, 2) < 0.6).float()
    rows[..., :2] *= rows[..., 2:4]
    return rows, gaps


def test_later_rows_change_no_earlier_state(encoder):
    """However they are changed: in value, in time, or taken away."""
    rows, gaps = rows_of(6)
    length = torch.tensor([4, 2, 1])
    seen = encoder(rows, gaps, length)
    assert torch.allclose(encoder(rows[:, :4], gaps[:, :4], length), seen, atol=1e-6)
    for i, n in enumerate(length):
        rows[i, n:], gaps[i, n:] = 9.0, 4.0
    assert torch.equal(encoder(rows, gaps, length), seen)


def test_time_passes_between_rows_and_values_jump_at_them(encoder):
    """On every piece of the control either time moves or the rest does."""
    rows, gaps = rows_of(5)
    change = encoder.controls(rows, gaps).diff(dim=1)
    assert (change[:, 0::2, 1:] == 0).all()
    assert (change[:, 1::2, 0] == 0).all()
    assert torch.allclose(change[:, 0::2, 0], gaps[:, 1:])


def test_what_is_not_observed_is_held(encoder):
    """The control keeps the value last seen, whatever stands under the mask."""
    rows, gaps = rows_of(5)
    corners = encoder.controls(rows, gaps)
    other = torch.where(rows[..., 2:4] > 0, rows[..., :2], 7.0)
    other[:, 0] = rows[:, 0, :2]
    changed = encoder.controls(torch.cat([other, rows[..., 2:]], -1), gaps)
    assert torch.equal(changed, corners)


def test_a_linear_response_is_solved_exactly():
    """With one state and F(z) = z the solution is the exponential of the control."""

    class Exponential(ControlledField):
        def response(self, state):
            return state[..., None].expand(*state.shape, self.n_controls)

    field = Exponential(1, n_controls=CDEEncoder.n_controls(4))
    encoder = CDEEncoder(4, 1, field, solver="midpoint", steps=50)
    rows, gaps = 0.3 * torch.randn(2, 4, 4), torch.rand(2, 4)
    rows[..., 1] = 1.0
    controls = encoder.controls(rows, gaps)
    with torch.no_grad():
        start = torch.tanh(encoder.first(controls[:, 0]))
        end = encoder(rows, gaps, torch.tensor([4, 4]))
    total = (controls[:, -1] - controls[:, 0]).sum(-1, keepdim=True)
    assert torch.allclose(end, start * torch.exp(total), rtol=1e-3)


def test_a_forecast_uses_no_later_value():
    """Rows after the cutoff may be anything: what is forecast from before them stays."""
    times = np.sort(np.random.default_rng(0).uniform(0, 20, 60))
    y = pd.Series(np.sin(times), index=times)
    model = NeuralCDEForecaster(
        2.0, latent_dim=4, hidden=4, n_rows=4, max_epochs=1, random_state=0
    ).fit(y)
    past = y[y.index < 15]
    asked = [15.5, 16.9]
    forecast = model.predict_quantiles(asked, history=past)
    changed = pd.concat([past, pd.Series([50.0, -50.0], index=[17.0, 18.0])])
    first = model.predict_quantiles([15.5], history=changed[changed.index < 16])
    assert np.allclose(first, forecast.iloc[:1], rtol=1e-5)
    assert not np.allclose(
        model.predict(asked, history=changed), model.predict(asked, history=past)
    )


def test_the_hook_names_it():
    """As users type it behind the qualifier."""
    assert odeseries_forecasters() == {"cde": NeuralCDEForecaster}
    assert issubclass(NeuralCDEForecaster, ode.BaseForecaster)


def test_the_example():
    """In the docstring."""
    assert doctest.testmod(odeseries_cde).failed == 0
