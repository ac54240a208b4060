"""The laws of a dynamics, the limit cycle, and the way by name."""

from __future__ import annotations

import pytest
import torch
from odeseries_vdp import VanDerPol

import odeseries as ode
from odeseries.testing import conforms


@conforms(VanDerPol, params={"strength": 1.0})
def test_conformance(check):
    """What every dynamics owes."""
    check()


def test_every_start_ends_on_the_limit_cycle():
    """Whose amplitude is 2, nearly independent of the strength."""
    dynamics = VanDerPol(2, strength=0.3)
    start = torch.tensor([[0.1, 0.0], [2.5, 1.0]])
    times = torch.linspace(0, 60, 600)
    with torch.no_grad():
        position = ode.solve(dynamics, start, times, step=0.05).ys[:, 300:, 0]
    assert position.amax(1) == pytest.approx([2.0, 2.0], abs=0.05)


def test_steps_of_a_tenth_are_stable():
    """From far outside of the cycle too, and at frequencies that no step could follow."""
    dynamics = VanDerPol(4, strength=1.2)
    dynamics.start_at(torch.tensor([300.0, 2.0]))
    assert dynamics.frequency.tolist() == [2.0, 4.0]
    with torch.no_grad():
        dynamics.frequency[0] = 300.0
        start = 9 * torch.eye(4)
        ys = ode.solve(dynamics, start, torch.linspace(0, 50, 500), step=0.1, solver="midpoint").ys
    assert ys.abs().max() < 40
    assert ys[:, 400:].abs().max() < 4


def test_the_hook_names_it():
    """As users type it behind the qualifier."""
    from odeseries_vdp import odeseries_dynamics

    assert odeseries_dynamics() == {"vdp": VanDerPol}
