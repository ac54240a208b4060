"""Laws of how a latent SDE begins: its noise explains single increments."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from odeseries.dynamics import SDE
from odeseries.forecasters.decoder import FIRST_NOISE, Decoder
from odeseries.forecasters.increments import Increments, explain
from odeseries.nets import seeded_weights
from tests.test_windows import loader, sampler, scaled

NOISE = 0.03


def increments(n: int = 1500) -> Increments:
    """Of an equation whose disturbance grows with the state, observed with noise."""
    generator = torch.Generator().manual_seed(0)
    values = 2 * torch.rand(n, 1, generator=generator) - 1
    gap = 0.1 * torch.rand(n, 1, generator=generator)
    draws = torch.randn(3, n, 1, generator=generator)
    change = size(values) * gap.sqrt() * draws[0] + NOISE * (draws[1] + draws[2])
    return Increments(values, change, gap)


def size(values: torch.Tensor) -> torch.Tensor:
    """Disturbance at values."""
    return 0.6 + 0.4 * values


def test_increments_tell_a_diffusion_that_grows_with_the_state_from_noise() -> None:
    """Before anything is trained, the diffusion is right to 15 % and the noise to 30 %."""
    seen = increments()
    with seeded_weights(0):
        dynamics = SDE(1, hidden=16)
    found = explain(dynamics, seen.values, seen.change, seen.gap, torch.tensor([FIRST_NOISE]))
    grid = torch.linspace(-0.9, 0.9, 10)[:, None]
    ratio = dynamics.diffusion(seen.gap[:10], grid) / size(grid)
    assert (ratio - 1).abs().max() < 0.15
    assert float(found.exp()) == pytest.approx(NOISE, rel=0.3)


def test_what_explains_increments_leaves_the_drift_alone() -> None:
    """Increments are too short to tell a drift."""
    seen = increments(100)
    with seeded_weights(0):
        dynamics = SDE(1, hidden=16)
    before = [p.clone() for p in dynamics.drift.parameters()]
    explain(dynamics, seen.values, seen.change, seen.gap, torch.tensor([FIRST_NOISE]))
    assert all(torch.equal(a, b) for a, b in zip(before, dynamics.drift.parameters(), strict=True))
    assert all(p.grad is None or not p.grad.any() for p in dynamics.parameters())


def test_increments_are_of_rows_that_were_seen_in_all_channels(panel: pd.DataFrame) -> None:
    """Values under the mask change nothing, and every increment is one of the data."""
    data = scaled(panel)
    batch = loader(data).batch(sampler(data).cover(1))
    hidden = {
        name: replace(side, values=side.values + 7 * (1 - side.mask))
        for name, side in (("left", batch.left), ("right", batch.right))
        if side is not None
    }
    seen, other = Increments.of([batch]), Increments.of([replace(batch, **hidden)])
    assert len(seen.gap)
    assert torch.equal(seen.change, other.change)
    assert torch.equal(seen.values, other.values)
    assert (seen.gap > 0).all()


def test_coordinates_begin_disturbed_independently_with_variance_one() -> None:
    """Also where the channels move together; with fewer coordinates than channels they don't."""
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(1000, 2, generator=generator) @ torch.tensor([[1.0, 0.8], [0.0, 0.6]])
    values = torch.randn(1000, 2, generator=generator)
    seen = Increments(values, 0.1**0.5 * steps, torch.full((1000, 1), 0.1))
    decoder = Decoder(3, 2, 8)
    assert len(decoder.start(seen)) == 2
    here, change, _ = decoder.coordinates(seen)
    assert here[:, :2].std(0).tolist() == pytest.approx([1.0, 1.0], rel=0.01)
    assert abs(float(torch.corrcoef(change.detach().T)[0, 1])) < 0.05
    assert not len(Decoder(1, 2, 8).start(seen))
