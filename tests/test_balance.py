"""The loss in which rarely observed channels count more."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode
from odeseries.forecasters.network import FlowNetwork, balanced

pytestmark = pytest.mark.usefixtures("few_windows")

COUNT = torch.tensor([1000.0, 10.0, 1.0, 0.0])


def test_weights_are_powers_of_the_counts() -> None:
    """With 0 every value counts alike, with 1 every channel; the mean over values is 1."""
    assert torch.equal(balanced(COUNT, 0.0), torch.ones(4))
    by_channel = (COUNT * balanced(COUNT, 1.0))[:3]
    torch.testing.assert_close(by_channel, torch.full((3,), 1011 / 3))
    half = balanced(COUNT, 0.5)
    assert half[1] / half[0] == pytest.approx(10.0)
    assert (COUNT * half).sum() / COUNT.sum() == pytest.approx(1.0)
    assert torch.isfinite(half).all()


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    """Of one channel that is observed always and one that is at every tenth row."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 4, (12, 30)), 1)
    often = rng.normal(size=(12, 30))
    rare = np.where(np.arange(30) % 10 == 5, rng.normal(size=(12, 30)), np.nan)
    index = pd.MultiIndex.from_arrays([np.repeat(np.arange(12), 30), times.ravel()])
    return pd.DataFrame({"often": often.ravel(), "rare": rare.ravel()}, index=index)


def network(panel: pd.DataFrame, balance: float) -> tuple[FlowNetwork, ode.LatentODEForecaster]:
    """A network after a short fit, and its forecaster."""
    model = ode.LatentODEForecaster(
        1.0, balance=balance, hidden=8, latent_dim=4, max_epochs=1, random_state=0
    ).fit(panel)
    net = model._fitted.net
    assert isinstance(net, FlowNetwork)
    return net, model


def test_the_rare_channel_has_the_greater_share(panel: pd.DataFrame) -> None:
    """In the loss of a fit, by the parameter; nothing changes without it."""
    net, model = network(panel, 0.5)
    ratio = float(net.importance[1] / net.importance[0])
    assert ratio == pytest.approx(10**0.5, rel=0.25)
    assert torch.equal(network(panel, 0.0)[0].importance, torch.ones(2))
    found = model.predict([4.1])
    assert np.isfinite(found.to_numpy()).all()


def test_only_powers_between_nothing_and_all_are_taken(panel: pd.DataFrame) -> None:
    """Beyond 1 rare channels would count more than all others."""
    with pytest.raises(ValueError, match="balance"):
        ode.LatentODEForecaster(1.0, balance=1.5).fit(panel)
