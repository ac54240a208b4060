"""States of a latent flow at leads in any order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode


@pytest.mark.parametrize("dynamics", ["linear", "mlp"])
def test_the_order_of_the_leads_changes_no_state(dynamics: str) -> None:
    """Rising, falling, mixed, repeated or before the anchor: each lead has its own state."""
    times = np.arange(20.0)
    model = ode.LatentODEForecaster(
        2.0,
        dynamics=dynamics,
        solver_params={"step": 0.25},
        validation_fraction=0,
        n_steps=1,
        seasonality=None,
        hidden=4,
        latent_dim=4,
        random_state=0,
    ).fit(pd.Series(np.sin(times), times))
    net = model._fitted.net
    code = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    rising = torch.tensor([0.0, 0.25, 0.25, 0.5, 1.0]).expand(3, -1)
    places = torch.tensor([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 0, 4, 2, 1]])
    for sign in (1.0, -1.0):
        expected, _ = net._states(code, sign * rising, None)
        found, _ = net._states(code, sign * rising.gather(1, places), None)
        index = places[..., None].expand_as(expected)
        torch.testing.assert_close(found, expected.gather(1, index))
        assert not torch.equal(expected[:, 1], expected[:, 3])
