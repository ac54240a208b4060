"""A loss that is decoded at the observed places alone is the one that is decoded everywhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode
from odeseries.forecasters.network import FlowNetwork
from odeseries.forecasters.places import Everywhere, Observed
from odeseries.sampling import WindowSampler
from odeseries.windows import Batch

pytestmark = pytest.mark.usefixtures("few_windows")

HEADS = ("quantile", "gaussian")


def sparse_panel() -> pd.DataFrame:
    """Series of three channels at irregular times, three values in five missing."""
    rng = np.random.default_rng(0)
    frames = {}
    for name in range(8):
        times = np.sort(rng.uniform(0, 10, 30))
        values = np.sin(times[:, None] + np.arange(3)) + 0.1 * rng.normal(size=(30, 3))
        kept = np.where(rng.random(values.shape) < 0.4, values, np.nan)
        frames[name] = pd.DataFrame(kept, times, list("abc"))
    return pd.concat(frames)


def moved(net: FlowNetwork) -> FlowNetwork:
    """The network away from its first weights, many of which are zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return net


@pytest.fixture(scope="module", params=HEADS)
def case(request: pytest.FixtureRequest) -> tuple[FlowNetwork, Batch]:
    """A network, and windows of its training data that ask from one side and from both."""
    model = ode.LatentODEForecaster(
        2.0, head=request.param, seasonality=[3.0], max_epochs=1, hidden=8, random_state=0
    ).fit(sparse_panel())
    learnt = model._learnt
    panel = learnt.fitted.scaling.apply(learnt.panel)
    sampler = WindowSampler(
        panel, np.random.default_rng(1), n_queries=8, interpolation=0.4, backcast=0.3
    )
    batch = learnt.fitted.loader(learnt.panel, learnt.recipe).batch(sampler.cover(20))
    return moved(learnt.fitted.net), batch


def decoded_everywhere(net: FlowNetwork, batch: Batch) -> torch.Tensor:
    """Mean loss over the observed targets of every window, from what is decoded at all places."""
    raw, anchored = net(batch)
    each = net.head.loss(raw, anchored.base, anchored.spread, batch.targets)
    return batch.mean_of_observed(each)


def test_loss_is_that_of_the_observed_among_all_places(case: tuple[FlowNetwork, Batch]) -> None:
    """Forecasts have the loss of their observed targets; so have backcasts."""
    net, batch = case
    assert batch.right is not None
    one_sided = torch.nonzero(batch.left.present ^ batch.right.present)[:, 0]
    some = batch.take(one_sided)
    torch.testing.assert_close(net.loss(some, None), decoded_everywhere(net, some))


def test_interpolations_are_weighted_sums_of_the_observed(case: tuple[FlowNetwork, Batch]) -> None:
    """The loss of a window that is seen from both sides is its mean times a factor above 1."""
    net, batch = case
    assert batch.right is not None
    both = batch.take(torch.nonzero(batch.left.present & batch.right.present)[:, 0])
    ratio = net.loss(both, None) / decoded_everywhere(net, both)
    assert ratio.min() > 1 - 1e-5
    assert ratio.max() > 1.01


def test_gradients_are_the_same(case: tuple[FlowNetwork, Batch]) -> None:
    """What the missing targets would have been decoded to has no part in a gradient."""
    net, batch = case
    assert batch.right is not None
    some = batch.take(torch.nonzero(~batch.right.present)[:, 0])
    found = []
    for loss in (net.loss(some, None), decoded_everywhere(net, some)):
        net.zero_grad()
        loss.mean().backward()
        found.append({k: p.grad.clone() for k, p in net.named_parameters() if p.grad is not None})
    assert len(found[0]) == len(found[1]) > 10
    for name, gradient in found[1].items():
        torch.testing.assert_close(found[0][name], gradient, rtol=1e-3, atol=1e-5)


def test_places_pick_what_grids_hold() -> None:
    """Places name the same elements of queries, channels and pairs as masks do."""
    generator = torch.Generator().manual_seed(0)
    observed = (torch.rand(3, 4, 5, generator=generator) < 0.3).float()
    picked, mask = Observed(observed), observed > 0
    shapes = {"of_query": (3, 4, 2), "of_channel": (3, 5, 2), "of_both": (3, 4, 5, 2)}
    for name, shape in shapes.items():
        values = torch.rand(shape, generator=generator)
        dense = getattr(Everywhere(), name)(values).expand(3, 4, 5, 2)
        assert torch.equal(getattr(picked, name)(values), dense[mask])


def test_means_are_those_of_each_window_and_zero_without_any() -> None:
    """One window has two places, one has none."""
    observed = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    found = Observed(observed).means(torch.tensor([1.0, 4.0]))
    assert found.tolist() == [2.5, 0.0]
